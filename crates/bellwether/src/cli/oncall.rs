//! Schedules.

use std::path::PathBuf;

use clap::Subcommand;

use super::{ServerArgs, duration};

#[derive(Debug, Subcommand)]
pub enum Oncall {
    /// Who is on call now.
    Who {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Shifts of a configuration's schedules, offline.
    Show {
        #[arg(long, default_value = "bellwether.yml")]
        config: PathBuf,
        /// How far ahead.
        #[arg(long, default_value = "2w", value_parser = duration)]
        ahead: std::time::Duration,
    },
}
