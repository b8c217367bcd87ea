//! Load: requests that are sent when they are due, and measured from then.
//!
//! What it does: an *open* generator by default. Arrivals follow a plan that does not wait for answers, so a target that
//! stalls is still asked, and what queues up counts: latency is measured from the intended send. Service time (from the
//! real send) is kept beside it. Timeouts and errors are samples.
//!
//! How it flows: [`Plan`] -> [`run()`] -> threads ([`worker`]), each with its share of the arrivals and its own
//! connections -> one [`record::Record`] a thread and interval -> [`collect::Collector`] -> [`Report`], judged by
//! [`check`]: a run in which the generator was late, starved or stopped is invalid and says why.
//!
//! Invariants: nothing waits longer than its timeout; every request that became due is counted exactly once, answered
//! or failed; what a target sends is bounded (heads, chunk lines, interim responses) and bodies are not kept; nothing
//! is allocated per request on the HTTP/1.1 path.
//!
//! Not here: statistics (crate `stats`), comparing runs (crate `lab`), the command line and pictures.

pub mod arrival;
pub mod assertion;
pub mod collect;
pub mod git;
pub mod hdrlog;
pub mod knee;
pub mod plan;
pub mod record;
pub mod replay;
pub mod report;
pub mod response;
pub mod scenario;
pub mod target;
pub mod usl;

mod check;
mod http2;
mod jobs;
mod request;
mod run;
mod stream;
mod tls;
mod warmup;
mod worker;

pub use plan::Plan;
pub use report::Report;
pub use run::{Progress, RunError, Stop, run};
pub use target::{Target, TargetError};
pub use tls::TlsError;
