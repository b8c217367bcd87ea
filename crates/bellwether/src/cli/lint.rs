//! Lint of rules.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::duration;

/// Checks that need judgement: what pages on a cause, leads nowhere, or cannot work.
#[derive(Debug, Args)]
pub struct RulesLint {
    /// Rule files, folders with rule files, or patterns.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Folder that runbook links are relative to: links are followed.
    #[arg(long, value_name = "DIR")]
    pub runbooks: Option<PathBuf>,
    /// Alerts whose labels match page, others do not: 'pager="pagerduty"' (may be repeated). By default the label
    /// severity decides.
    #[arg(long, value_name = "MATCHERS")]
    pub page: Vec<String>,
    /// How long samples are kept.
    #[arg(long, value_name = "DURATION", default_value = "15d", value_parser = duration)]
    pub retention: Duration,
    /// Interval of groups that name none.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub evaluation_interval: Duration,
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub scrape_interval: Duration,
    /// A page that waits longer than this in `for` is late.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub response: Duration,
    /// Replay the rules over this data folder's history, too: what never fired, is always redundant, or over at once.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The same over a Prometheus' data folder.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub prometheus: Option<PathBuf>,
    /// How much of the history.
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration)]
    pub last: Duration,
    /// Only these checks.
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Not these checks.
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Form of the findings.
    #[arg(long, value_enum, default_value = "text")]
    pub format: LintFormat,
    /// The same as --format json.
    #[arg(long)]
    pub json: bool,
    /// Least severity that makes the command fail.
    #[arg(long, value_enum, default_value = "warning")]
    pub fail_on: FailOn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    Text,
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// GitLab's code quality report.
    CodeQuality,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum FailOn {
    Error,
    Warning,
    Note,
    Never,
}
