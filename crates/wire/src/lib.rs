//! The wire formats of paging: what senders post, and what clients of other pagers want to read.
//!
//! What it does: bytes become alerts and silences for the pager, its views become the JSON that Alertmanager's clients
//! know, and whatever is wrong gets the answer that the original would give.
//!
//! Entry points: [`alertmanager`] (API v2, version 0.34).
//!
//! Invariants: pure, no IO, no clock; whatever a stranger sends has a limit; a bad part of a message never hides the
//! good ones where the original stores those too.
//!
//! Not here: HTTP itself, who may do what, deciding anything.

pub mod alertmanager;
mod json;
mod refusal;

pub use refusal::Refusal;
