//! `runbook draft`: the commands of an incident as a page to begin with.

use std::path::Path;
use std::process::ExitCode;

use super::{Fault, say};

pub(super) fn draft(file: &Path, title: &str) -> Result<ExitCode, Fault> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Fault::bad(format!("{}: {error}", file.display())))?;
    say(bellwether_act::draft::draft(title, &text).trim_end());
    Ok(ExitCode::SUCCESS)
}
