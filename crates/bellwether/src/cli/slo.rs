//! Objectives.

use std::path::PathBuf;

use clap::Subcommand;

/// Service level objectives: `slos:`, OpenSLO v1, Sloth prometheus/v1, Pyrra.
#[derive(Debug, Subcommand)]
pub enum Slo {
    /// Write plain Prometheus rules: counts and burn rates per window, alerts, the budget.
    Generate {
        /// Files with objectives, of any known format.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write to this file instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// What objectives promise, how fast their alerts notice, and what is counted.
    Show {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// Write objectives of another tool as `slos:` of a configuration.
    Import {
        /// Files of OpenSLO v1, Sloth prometheus/v1 (also its Kubernetes form) or Pyrra.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write to this file instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}
