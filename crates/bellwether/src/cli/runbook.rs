//! Runbooks.

use std::path::PathBuf;

use clap::Subcommand;

use super::ServerArgs;

#[derive(Debug, Subcommand)]
pub enum Runbook {
    /// How files and folders read, and what is missing for the next rung.
    Lint {
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// One runbook as it was read.
    Show { file: PathBuf },
    /// What would run, with its digest.
    Plan {
        file: PathBuf,
        /// Inputs: name=value.
        #[arg(long = "input", value_name = "NAME=VALUE")]
        inputs: Vec<String>,
        /// Which part: diagnosis, fix, or a step's id.
        #[arg(long, default_value = "fix")]
        part: String,
    },
    /// Runs of a server.
    History {
        #[command(flatten)]
        server: ServerArgs,
    },
}
