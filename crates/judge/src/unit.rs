//! Unit tests of rules, in promtool's format.
//!
//! A test file names rule files and has tests: series that are fed minute by minute, and what must be true at which
//! time: which alerts fire, and what an expression gives. It is run on the engine that runs the rules live.
//!
//! What decides a verdict is promtool's: every group is evaluated at every `evaluation_interval` from the start, whatever
//! its own interval; only samples up to that tick are there; a time between two ticks is checked against the one before
//! it; only firing alerts are compared, with all their labels and annotations; the first error of an evaluation ends the
//! test; NaN is equal to nothing.
//!
//! On top of it: [`Coverage`], which rules no test made fire or record.
//!
//! Source of the format: Prometheus, `docs/configuration/unit_testing_rules.md`.

mod compare;
mod coverage;
mod junit;
mod read;
mod run;

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::histogram::Histogram;
use bellwether_model::{Labels, Problem, Problems};
use bellwether_promql::promqltest::SeriesLine;
use serde::Serialize;

pub use compare::diff;
pub use coverage::{Coverage, RuleCoverage};
pub use junit::junit;

use crate::rules::GroupConfig;

/// A test file as read.
#[derive(Clone, Debug)]
pub struct TestFile {
    pub file: Arc<str>,
    /// Patterns, as written.
    pub rule_files: Vec<Pattern>,
    pub evaluation_interval: Duration,
    /// Groups to evaluate in this order; the others keep theirs.
    pub group_eval_order: Vec<String>,
    /// Floats may differ in their last bit.
    pub fuzzy_compare: bool,
    pub tests: Vec<TestGroup>,
}

/// A file or glob with its place.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub text: String,
    pub line: u32,
    pub column: u32,
}

/// One entry of `tests`.
#[derive(Clone, Debug)]
pub struct TestGroup {
    /// Empty when it has none.
    pub name: String,
    /// Distance of the points of its series.
    pub interval: Duration,
    pub series: Vec<SeriesLine>,
    pub alerts: Vec<AlertTest>,
    pub exprs: Vec<ExprTest>,
    pub external_labels: Labels,
    pub external_url: String,
    /// Milliseconds since 1970.
    pub start_ms: i64,
    pub line: u32,
    pub column: u32,
    /// Why it cannot be run: series or alert tests that are wrong.
    pub problems: Vec<Problem>,
}

/// Names and values in the order of their names; unlike labels, a value may be empty.
pub type Pairs = Vec<(String, String)>;

/// One entry of `alert_rule_test`.
#[derive(Clone, Debug)]
pub struct AlertTest {
    pub eval_time: Duration,
    pub alertname: String,
    pub expected: Vec<ExpectedAlert>,
    pub line: u32,
    pub column: u32,
}

/// One entry of `exp_alerts`, with `alertname`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedAlert {
    pub labels: Pairs,
    pub annotations: Pairs,
}

/// One entry of `promql_expr_test`.
#[derive(Clone, Debug)]
pub struct ExprTest {
    pub expr: String,
    pub eval_time: Duration,
    /// Or why a sample cannot be read.
    pub expected: Result<Vec<ExpectedSample>, String>,
    pub line: u32,
    pub column: u32,
}

/// One entry of `exp_samples`.
#[derive(Clone, Debug)]
pub struct ExpectedSample {
    pub labels: Labels,
    pub value: f64,
    pub histogram: Option<Histogram>,
}

/// What became of one test file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    pub file: Arc<str>,
    /// Faults of the test file or its rule files; with an error nothing was run.
    pub problems: Vec<Problem>,
    pub tests: Vec<TestReport>,
    /// Tests that `--run` left out.
    pub skipped: usize,
}

/// What became of one test.
#[derive(Clone, Debug, Serialize)]
pub struct TestReport {
    /// `unnamed#2` when it has no name.
    pub name: String,
    pub line: u32,
    /// Checks that were made.
    pub checks: usize,
    pub failures: Vec<Failure>,
}

/// One check that did not hold, or why a test could not go on.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub line: u32,
    pub column: u32,
    /// `alert A at 5m`, `up > 0 at 1m`.
    pub what: String,
    /// What went wrong, when it is not a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Lines.
    pub expected: Vec<String>,
    /// Lines.
    pub got: Vec<String>,
}

// === impl TestFile ===

impl TestFile {
    /// Reads a test file. What makes the whole file unusable is reported and gives `None`; what is wrong with one test is
    /// kept in it.
    pub fn read(file: &str, text: &str, problems: &mut Problems) -> Option<Self> {
        read::read(file, text, problems)
    }

    /// Runs the tests whose name `wanted` takes (it gets an empty one for tests without) on rule groups in the order of
    /// their files, and notes in `coverage` what they made the rules do.
    pub fn run(
        &self,
        groups: &[GroupConfig],
        wanted: &dyn Fn(&str) -> bool,
        coverage: &mut Coverage,
    ) -> FileReport {
        run::run(self, groups, wanted, coverage)
    }
}

// === impl FileReport ===

impl FileReport {
    /// Whether all went well.
    pub fn passed(&self) -> bool {
        self.tests.iter().all(|test| test.failures.is_empty())
            && !self
                .problems
                .iter()
                .any(|problem| problem.severity == bellwether_model::Severity::Error)
    }
}

#[cfg(test)]
mod tests;
