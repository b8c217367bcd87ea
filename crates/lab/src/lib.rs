//! The lab's engine: what a measurement is, how two are compared, when a series of commits got worse.
//!
//! What it does: numbers in, findings out. [`LatencySummary`] is the form of latencies in every result file, [`Samples`] that of
//! any benchmark ([`import`] reads those of other tools). [`compare`] judges two, pair by pair; [`gate`] a series of commits,
//! with its own error rate beside it ([`calibrate`]); [`queries`] how many statements a request costs; [`experiment`] keeps a
//! question with its answer so that the answer can be computed again.
//!
//! Invariants: no IO, no clock, no randomness but from seeds that are part of the input; equal inputs give equal bytes.
//!
//! Not here: running and timing anything, reading files, HTTP, git.

pub mod calibrate;
pub mod compare;
pub mod experiment;
pub mod gate;
pub mod import;
pub mod latency;
pub mod queries;
pub mod samples;
pub mod text;

pub use latency::LatencySummary;
pub use samples::{Samples, Unit};
