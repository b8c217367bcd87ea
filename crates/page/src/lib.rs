//! The paging engine: from posted alerts to notifications, cases, and pages that reach a person.
//!
//! What it does: alerts are merged by fingerprint, routed and grouped as Alertmanager does it; a group that goes to a
//! `page_configs` receiver is a *case*, which is escalated through a policy (schedules, people, channels) until it is
//! acknowledged, resolved, or at the policy's fallback.
//!
//! Entry points: [`PageConfig`] (read from YAML, every fault with its place), [`Pager`] (`step(now, event, ids)` gives
//! a decision: records to store, deliveries for the outbox, timeline entries, the next time to wake, and the reasons),
//! [`schedule`] (who is on call, shifts).
//!
//! Invariants: pure and synchronous, no clock, no randomness of its own, ordered collections: equal inputs give equal
//! bytes. Every state that outlives a step is in a record of the same decision, so that [`Pager::restore`] goes on
//! where a crash stopped it. A delivery's key names its case, loop, step, person and rule, so a repeat never pages
//! twice. A page is never silent: it is acknowledged, escalated to the fallback, or withheld with a recorded reason.
//!
//! Not here: sending anything (adapters take deliveries from the outbox), templates, HTTP, storage.

pub mod config;
pub mod engine;
pub mod event;
pub mod interval;
pub mod matchers;
pub mod payload;
pub mod reason;
pub mod record;
pub mod view;

pub use bellwether_schedule as schedule;
pub use config::PageConfig;
pub use engine::{Pager, Violation, urgency_of};
pub use event::{DeliveryResult, NewCase, NewOverride, NewSilence, PagerEvent};
pub use payload::{NotificationPayload, PagePayload};
pub use reason::Reason;
pub use record::{ALERT, CASE, Case, CaseStatus, GROUP, NFLOG, OVERRIDE, SILENCE, Urgency};
