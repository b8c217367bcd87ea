//! Rules over history: the pages that they would have sent, held against incidents.
//!
//! What it does: replays rule groups over a range of stored samples ([`replay()`]), sends the alerts through the pager's own
//! grouping, inhibition, silences and repeats ([`pages`]), and scores the pages against labelled incidents ([`score`]).
//! [`run()`] does all of it, in several phases of the slots, and gives a [`Report`]; [`sweep`] tries thresholds and
//! durations of one alert on one evaluation.
//!
//! Data flow: rules -> order (who reads whom) -> batches of rules, evaluated by ranges where that is the same as slot by
//! slot, else by the live engine -> runs of ticks -> lives of alerts -> the pager -> pages -> report.
//!
//! Invariants: the alerts' state machine is judge's, the grouping is page's: no second copy of either. A replay in slices
//! gives what one in a piece gives, and both what the live engine did. Threads change nothing in the result. History
//! that the rules themselves wrote when they were live is not read.
//!
//! Not here: where samples come from, files, the clock, printing.

mod history;
pub mod incidents;
mod order;
pub mod pages;
mod ranged;
pub mod replay;
pub mod report;
pub mod run;
pub mod score;
mod stepped;
pub mod sweep;
pub mod text;

pub use incidents::Incident;
pub use replay::{AlertHistory, Range, Replayed, Replaying, Rules, replay};
pub use report::{Comparison, Report};
pub use run::{Backtest, compare, run};

/// Told how far a backtest is, from any of its threads.
pub trait Progress: Sync {
    /// Work that is to come: evaluations of rules.
    fn begin(&self, _units: u64) {}
    /// Work that was done.
    fn advance(&self, _units: u64) {}
    /// Whether to give up.
    fn stopped(&self) -> bool {
        false
    }
}

/// Nobody looks.
impl Progress for () {}

/// The caller gave up ([`Progress::stopped`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}
impl std::error::Error for Stopped {}

#[cfg(test)]
mod tests;
