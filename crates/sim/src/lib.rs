//! The whole loop in simulated time: one seed, one history, byte for byte.
//!
//! What it does: [`World`] holds the real engines (rules, pager, runs, wired by `bellwether-flow`), a store in memory,
//! an outbox with the semantics of the live one, and a simulated outside: a service whose replicas turn slow, channels
//! that fail, people who sleep, a process that is killed between record and do. [`Scenario`] reads the scenario
//! language of `docs/simulation.md` and prints timelines; [`month`] runs random months and counts; [`oncall`] rehearses
//! who would be paged for given alerts.
//!
//! Data flow: next job or timer -> inputs -> engine steps -> one commit -> deliveries -> the outside -> inputs. After a
//! crash everything but the store and the outside is thrown away and restored from the store alone.
//!
//! Invariants, checked after each commit and at the end: PG1, PG2, PG4, AC1 to AC3 (the engines' own checks), and the
//! same once more from the outside: what receivers got, what was executed, what was answered as recorded.
//!
//! Not here: sockets, threads, real time, the series store, the HTTP interface.

mod checks;
pub mod month;
pub mod oncall;
mod outbox;
mod people;
mod random;
mod rules;
pub mod scenario;
mod service;
mod world;

pub use checks::Violation;
pub use month::{Figures, Month, Report, run_month};
pub use outbox::Behaviour;
pub use random::{Random, SimIds};
pub use scenario::{Played, Scenario, ScenarioError};
pub use service::{Fault, Service};
pub use world::{CrashPoint, Setup, World, read_page_config};
