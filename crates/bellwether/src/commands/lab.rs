//! The lab's commands: compare, gate, exp.

mod comment;
mod compare;
mod exp;
mod gate;
pub(crate) mod pictures;
mod queries;

use std::path::Path;
use std::process::ExitCode;

use bellwether_lab::compare::Report;

pub(super) use compare::run as compare;
pub(super) use exp::run as exp;
pub(super) use gate::run as gate;

use super::complain;
use crate::EXIT_BAD_INPUT;

/// What went wrong, and whether the input was to blame.
pub(super) enum Fault {
    /// Exit code 64.
    Input(String),
    /// Exit code 1.
    Failed(String),
}

impl Fault {
    fn input(error: impl std::fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Prints a fault; the exit code.
fn ended(result: Result<ExitCode, Fault>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(Fault::Input(text)) => {
            complain(text);
            ExitCode::from(EXIT_BAD_INPUT)
        }
        Err(Fault::Failed(text)) => {
            complain(text);
            ExitCode::FAILURE
        }
    }
}

/// Writes a file, and the folders above it.
fn write(path: &Path, text: &str) -> Result<(), Fault> {
    let failed = |error| Fault::failed(format_args!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

/// One SVG file for each metric of a comparison.
fn draw(report: &Report, folder: &Path) -> Result<(), Fault> {
    for metric in &report.metrics {
        let picture = bellwether_ui::lab::distributions(&pictures::distributions(report, metric));
        let name = format!(
            "{}.svg",
            bellwether_lab::experiment::slug(&metric.metric.name)
        );
        write(&folder.join(name), &bellwether_ui::lab::alone(&picture))?;
    }
    Ok(())
}
