//! The lab's engine: what a measurement is, how two are compared, when a series of commits got worse.
//!
//! What it does: numbers in, findings out. [`LatencySummary`] is the form of latencies in every result file; the load
//! generator, comparisons, the gate and experiments share it.
//!
//! Invariants: no IO, no clock, no randomness but from seeds that are part of the input; equal inputs give equal bytes.
//!
//! Not here: running and timing anything, reading files, HTTP, git.

pub mod latency;

pub use latency::LatencySummary;
