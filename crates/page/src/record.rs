//! What the pager keeps: one record per alert, group, notification log entry, case, silence and override.
//!
//! Bodies are JSON with a `version` tag. A record that waits carries the time in `due_at`.

use std::collections::BTreeMap;

use bellwether_model::state::{DeliveryState, Kind, Receipt};
use bellwether_model::{CaseId, DeliveryId, Labels, Matcher};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Channel, Policy, Rule};

/// One alert, by fingerprint.
pub const ALERT: Kind = Kind("alert");
/// One group of alerts on one route.
pub const GROUP: Kind = Kind("group");
/// What an integration was last told about a group.
pub const NFLOG: Kind = Kind("nflog");
/// One case.
pub const CASE: Kind = Kind("case");
/// One alert of a case, by case and fingerprint: a case of thousands of alerts is not written anew with each of them.
pub const CASE_ALERT: Kind = Kind("case_alert");
/// One silence.
pub const SILENCE: Kind = Kind("silence");
/// One change of who is on call.
pub const OVERRIDE: Kind = Kind("override");
/// All kinds that [`Pager::restore`](crate::Pager::restore) wants.
pub const KINDS: [Kind; 7] = [ALERT, GROUP, NFLOG, CASE, CASE_ALERT, SILENCE, OVERRIDE];

/// How fast somebody must look.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// A ticket: in working hours, no ringing.
    #[default]
    Low,
    /// A page: now, at any hour.
    High,
}

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseStatus {
    /// Nobody has it yet: escalation runs.
    Open,
    Acknowledged,
    Snoozed,
    Resolved,
}

/// An alert as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAlert {
    pub version: u32,
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    /// Whether `ends_at` is only "not heard of since", not the sender's word.
    pub timeout: bool,
    pub updated_at: Timestamp,
    #[serde(default)]
    pub generator_url: String,
    #[serde(default)]
    pub source: String,
    /// Its end was noticed and handled.
    #[serde(default)]
    pub resolved: bool,
    /// Groups that have dropped it, their receivers having been told of its end.
    #[serde(default)]
    pub left: Vec<String>,
}

/// A notification that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    pub delivery: DeliveryId,
    pub firing: Vec<String>,
    pub resolved: Vec<String>,
    pub at: Timestamp,
}

/// A group as stored. Its alerts are found again by routing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGroup {
    pub version: u32,
    /// As Alertmanager prints it: `{}/{severity="page"}:{alertname="X"}`.
    pub key: String,
    /// Identity of the route in the tree.
    pub route: String,
    pub labels: Labels,
    pub created_at: Timestamp,
    /// Whether it has been flushed at least once.
    pub flushed: bool,
    pub flushes: u64,
    pub next_flush: Timestamp,
    /// Since when it has had no alerts.
    #[serde(default)]
    pub empty_since: Option<Timestamp>,
    /// By integration: `webhook/0`.
    #[serde(default)]
    pub in_flight: BTreeMap<String, InFlight>,
    /// Whether a notification of the present flush has failed.
    #[serde(default)]
    pub failed: bool,
    /// Why alerts of the last flush went no further; empty when all did.
    #[serde(default)]
    pub muted: String,
}

/// A notification log entry as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredNflog {
    pub version: u32,
    pub group: String,
    pub receiver: String,
    /// `webhook/0`.
    pub integration: String,
    pub firing: Vec<String>,
    pub resolved: Vec<String>,
    pub at: Timestamp,
    pub expires_at: Timestamp,
}

/// An alert of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseAlert {
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Timestamp,
    /// Set when it has ended.
    pub ended_at: Option<Timestamp>,
    #[serde(default)]
    pub generator_url: String,
}

/// An alert of a case as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCaseAlert {
    pub version: u32,
    pub case: CaseId,
    pub fingerprint: String,
    #[serde(flatten)]
    pub alert: CaseAlert,
}

/// One attempt to reach one person on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub delivery: DeliveryId,
    /// Idempotency key.
    pub key: String,
    pub person: String,
    pub channel: Channel,
    pub at: Timestamp,
    /// Counts steps begun, over all loops.
    pub step_number: u32,
    pub step: u32,
    pub loop_number: u32,
    /// Position in the person's rules.
    pub rule: u32,
    /// Sent to the policy's fallback.
    #[serde(default)]
    pub fallback: bool,
    pub state: DeliveryState,
    pub receipt: Receipt,
    #[serde(default)]
    pub error: String,
    /// By when a positive receipt is expected; the next rule fires then.
    pub receipt_by: Option<Timestamp>,
}

/// One person being tried, rule after rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    pub person: String,
    /// Why this person: `schedule primary, layer weekdays`.
    pub source: String,
    /// Their rules when the step began.
    pub rules: Vec<Rule>,
    pub next_rule: u32,
    /// When the next rule fires; `None` when there is none left.
    pub next_at: Option<Timestamp>,
    pub started_at: Timestamp,
    pub step: u32,
    pub step_number: u32,
    pub loop_number: u32,
    #[serde(default)]
    pub fallback: bool,
}

/// How far the escalation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Copied when the case opened: edits do not change a case under way.
    pub policy: Policy,
    /// Position of the next step to fire.
    pub next_step: u32,
    /// From 1; grows with each pass through the policy and each new start after an acknowledgement ran out.
    pub loop_number: u32,
    /// Passes of the present start.
    pub passes: u32,
    /// Steps begun so far, over all loops: what "as of step" means.
    pub steps_fired: u32,
    /// When the next step fires (or the fallback, or the fallback again).
    pub next_at: Option<Timestamp>,
    /// The policy has been gone through; the fallback was told.
    pub exhausted: bool,
}

/// One case: what is being handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    pub version: u32,
    pub id: CaseId,
    /// Five characters to read out.
    pub code: String,
    pub status: CaseStatus,
    pub urgency: Urgency,
    pub title: String,
    pub summary: String,
    /// Group id and receiver it came from; empty for a case by hand.
    pub group: String,
    /// As Alertmanager prints it.
    #[serde(default)]
    pub group_key: String,
    pub receiver: String,
    /// `page/0`.
    pub integration: String,
    /// Labels all its alerts share.
    pub labels: Labels,
    /// Annotations all its alerts share.
    pub annotations: Labels,
    /// By fingerprint: those that fire and the last that have ended. Stored as records of their own; the case's record
    /// has an empty map.
    pub alerts: BTreeMap<String, CaseAlert>,
    pub opened_at: Timestamp,
    pub opened_by: String,
    pub since: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<Timestamp>,
    /// When the acknowledgement runs out.
    pub acknowledged_until: Option<Timestamp>,
    pub snoozed_until: Option<Timestamp>,
    /// What the diagnosis saw.
    pub context: Option<String>,
    /// Until when the first page waits for it.
    pub context_until: Option<Timestamp>,
    pub escalation: Escalation,
    pub ladders: Vec<Ladder>,
    pub pages: Vec<Page>,
    /// Why it exists, in words, for "why was I paged".
    pub why: Vec<String>,
    /// Fingerprints of the alerts shown as context in the timeline already.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Why no page goes out at the moment, though one is due.
    #[serde(default)]
    pub withheld: Option<String>,
    /// When a case whose pages are withheld is looked at again.
    #[serde(default)]
    pub recheck_at: Option<Timestamp>,
    /// Resolved by a person, not by its alerts.
    #[serde(default)]
    pub resolved_by_hand: bool,
}

/// A silence as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub version: u32,
    pub id: String,
    pub matcher_sets: Vec<Vec<Matcher>>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub updated_at: Timestamp,
    pub created_by: String,
    pub comment: String,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// Alertmanager's words for where a silence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceState {
    Pending,
    Active,
    Expired,
}

// === impl ===

impl Urgency {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
        }
    }
}

impl CaseStatus {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Resolved => "resolved",
        }
    }
}

impl Case {
    /// Whether it is over.
    pub fn is_resolved(&self) -> bool {
        self.status == CaseStatus::Resolved
    }

    /// Link or name of the runbook, from the annotations `runbook` or `runbook_url` of the case or of an alert.
    pub fn runbook(&self) -> Option<&str> {
        std::iter::once(&self.annotations)
            .chain(self.alerts.values().map(|alert| &alert.annotations))
            .flat_map(|annotations| [annotations.get("runbook"), annotations.get("runbook_url")])
            .find(|text| !text.is_empty())
    }

    /// Alerts that have not ended.
    pub fn firing(&self) -> impl Iterator<Item = (&String, &CaseAlert)> {
        self.alerts
            .iter()
            .filter(|(_, alert)| alert.ended_at.is_none())
    }
}

impl Silence {
    /// Where it stands at a time.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if self.ends_at <= now {
            SilenceState::Expired
        } else if self.starts_at > now {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    /// Whether its matchers fit, whatever the time.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matcher_sets
            .iter()
            .any(|set| !set.is_empty() && set.iter().all(|matcher| matcher.matches_labels(labels)))
    }
}
