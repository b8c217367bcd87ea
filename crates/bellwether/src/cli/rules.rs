//! Rule files.

use std::path::PathBuf;

use clap::Subcommand;

use super::{RulesBacktest, RulesLint, RulesSweep, RulesTest};

#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Every problem of rule files, with file, line, column and a hint; exit 1 if one is an error.
    Check {
        /// Rule files, folders with rule files, or patterns.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Problems as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run unit tests of rules (promtool's format) and say which rules no test made fire.
    Test(RulesTest),
    /// Replay rules over stored history to the pages they would have sent.
    Backtest(Box<RulesBacktest>),
    /// Try thresholds and durations of one alert on one evaluation: pages against missed incidents.
    Sweep(Box<RulesSweep>),
    /// Pages on causes, dead runbook links, alerts that cannot work; exit 1 when something was found.
    Lint(RulesLint),
}
