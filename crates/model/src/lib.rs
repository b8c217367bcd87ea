//! The words of the domain, shared by every other crate.
//!
//! What it does: defines labels and matchers, samples and the traits through which they are read and written,
//! alerts, problems with a source position, secrets that never print, and the *record / outbox / timeline* types
//! an engine returns in its [`Decision`].
//!
//! Entry points: [`Labels`], [`Matcher`], [`series`], [`state`].
//!
//! Invariants: no IO, no async, no clock, no randomness; every collection that is iterated is ordered, so that equal
//! inputs give equal bytes.
//!
//! Not here: wire formats (they live at the edge that speaks them) and anything only one stage needs.

pub mod alert;
pub mod duration;
pub mod histogram;
pub mod id;
pub mod labels;
pub mod matcher;
pub mod problem;
pub mod secret;
pub mod series;
pub mod state;

pub use alert::PostedAlert;
pub use id::{CaseId, DeliveryId, IdSource, OverrideId, RunId, uuid};
pub use labels::{Label, Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use problem::{Problem, Problems, Severity, suggest};
pub use secret::Secret;
pub use state::{Batch, Decision};
