//! The only crate that reads a clock, draws randomness or looks at environment variables.
//!
//! Entry points: [`Clock`] with [`SystemClock`], [`SystemIds`], [`Backoff`], [`vars`], [`logging`].
//!
//! Not here: IO of one stage (observe, series, store and connect have their own).

pub mod backoff;
pub mod clock;
pub mod ids;
pub mod logging;
pub mod vars;

pub use backoff::Backoff;
pub use clock::{Clock, SystemClock};
pub use ids::{SystemIds, random_bytes, random_token};
