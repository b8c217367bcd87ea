//! Unit tests of rules.

use std::path::PathBuf;

use clap::Args;

/// Unit tests of rules, in promtool's format.
#[derive(Debug, Args)]
pub struct RulesTest {
    /// Test files, or patterns.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Only tests whose name this regular expression matches; may be given more than once.
    #[arg(long, value_name = "REGEX")]
    pub run: Vec<String>,
    /// Failures as a difference, line by line.
    #[arg(long)]
    pub diff: bool,
    /// Write the results as JUnit XML, too.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Results and coverage as JSON.
    #[arg(long)]
    pub json: bool,
    /// Keys of rule files that are not known are warnings.
    #[arg(long)]
    pub ignore_unknown_fields: bool,
    /// Allow experimental functions and modifiers of PromQL.
    #[arg(long)]
    pub experimental: bool,
    /// Fail when the tests made less than this percentage of the rules fire or record.
    #[arg(long, value_name = "PERCENT")]
    pub min_coverage: Option<f64>,
}
