//! What the pager is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::state::{DeliveryState, Receipt};
use bellwether_model::{CaseId, DeliveryId, Labels, Matcher, PostedAlert};
use jiff::Timestamp;

use crate::config::PageConfig;
use crate::record::Urgency;
use crate::schedule::OverrideKind;

/// One event. Whatever is due at `now` is done first, whichever event it is.
#[derive(Clone, Debug)]
pub enum PagerEvent {
    /// Alerts as a sender states them. `source` names the sender in the timeline: `judge`, `api`, `prometheus`.
    Alerts {
        alerts: Vec<PostedAlert>,
        source: String,
    },
    /// Nothing but time has passed.
    Tick,
    /// How a delivery stands. Feed it for every delivery of this engine that ends; repeats are harmless.
    DeliveryResult(DeliveryResult),
    /// Somebody takes the case: escalation stops. `as_of` is the step counter of the page that was answered.
    Acknowledge {
        case: CaseId,
        actor: String,
        as_of: Option<u32>,
    },
    /// Somebody gives the case back: escalation begins again.
    Unacknowledge { case: CaseId, actor: String },
    /// The case is over, whatever its alerts say.
    Resolve {
        case: CaseId,
        actor: String,
        text: String,
    },
    /// Quiet until a time, then escalation begins again.
    Snooze {
        case: CaseId,
        actor: String,
        until: Timestamp,
    },
    /// Go to the next step now. Does nothing when more steps than `as_of_step` have begun since: a late tap cannot
    /// skip a step twice.
    EscalateNow {
        case: CaseId,
        actor: String,
        as_of_step: u32,
    },
    /// A note for the timeline.
    Comment {
        case: CaseId,
        actor: String,
        text: String,
    },
    /// A case by hand, when people see it first.
    OpenCase(NewCase),
    /// A silence, new or edited.
    SilenceSet(NewSilence),
    /// Ends a silence now.
    SilenceExpire { id: String, actor: String },
    /// A change of who is on call.
    OverrideAdd(NewOverride),
    /// Takes such a change back.
    OverrideRemove { id: String, actor: String },
    /// What the runbook's diagnosis steps saw; the first page of the case waits for it, a few seconds at most.
    ContextReady { case: CaseId, text: String },
    /// A new configuration; state is kept.
    Reconfigure(Arc<PageConfig>),
}

/// How a delivery stands, as its adapter found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryResult {
    pub id: DeliveryId,
    pub state: DeliveryState,
    pub receipt: Receipt,
    /// Attempts begun.
    pub attempt: u32,
    /// Why the last attempt failed; empty when it did not.
    pub error: String,
}

/// A case opened by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCase {
    pub title: String,
    pub summary: String,
    pub urgency: Urgency,
    /// Name of the escalation policy; `None` takes the first one.
    pub policy: Option<String>,
    pub actor: String,
    pub labels: Labels,
    pub annotations: Labels,
}

/// A silence as its author wants it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NewSilence {
    /// Set to edit one. When matchers or the past change, the old one ends and a new id is given.
    pub id: Option<String>,
    /// An alert is silenced when all matchers of one set match.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// In the past or absent: now.
    pub starts_at: Option<Timestamp>,
    pub ends_at: Timestamp,
    pub created_by: String,
    pub comment: String,
    pub annotations: BTreeMap<String, String>,
}

/// A change of who is on call, for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOverride {
    pub schedule: String,
    /// Only this layer; `None` is the whole schedule.
    pub layer: Option<String>,
    pub kind: OverrideKind,
    /// Who is added, removed, put in place, or alone on call.
    pub people: Vec<String>,
    /// Whose place is taken, for `Replace`.
    pub replaces: Option<String>,
    pub from: Timestamp,
    /// Not included.
    pub until: Timestamp,
    pub actor: String,
    pub comment: String,
}
