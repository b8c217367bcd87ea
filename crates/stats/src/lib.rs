//! The statistics core: pure numbers in, findings out.
//!
//! What it does: everything that says "different", "the same" or "cannot tell" says it through here: the load generator,
//! comparisons, the regression gate. [`Finding`] is the one result type, [`Verdict`] has the four words.
//!
//! Entry points: [`Histogram`] for latencies; [`quantile::quantile_interval`]; [`rank::signed_rank`] and
//! [`rank::mann_whitney`]; [`sequential::symmetric_sequence`] for looks while data come in; [`binomial::compare_rates`];
//! [`equivalence::tost_signed_rank`]; [`multiple`] for many at once; [`changepoint::change_points`] and, as a second
//! opinion, [`bocpd::bocpd`]; [`effective_sample_size`].
//!
//! Invariants: no IO, no clock; randomness only from a seed that is passed in, so equal inputs give equal bytes; every
//! public function names its source and what it assumes; values that are not numbers are left out or refused, never
//! averaged.
//!
//! Not here: what is measured and how (the lab and its loader), units other than those of the caller.

pub mod autocorrelation;
pub mod binomial;
pub mod bocpd;
pub mod bootstrap;
pub mod changepoint;
pub mod equivalence;
pub mod finding;
pub mod histogram;
pub mod multiple;
pub mod quantile;
pub mod random;
pub mod rank;
pub mod sequential;
pub mod special;

pub use autocorrelation::effective_sample_size;
pub use finding::{Better, Evidence, Finding, Interval, Verdict};
pub use histogram::Histogram;
