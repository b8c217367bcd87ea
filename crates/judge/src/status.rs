//! What the rule engine shows: for `/api/v1/rules`, `/api/v1/alerts` and the UI.

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::Labels;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rules::RuleKind;

/// State of an alert, or of the worst alert of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    #[default]
    Inactive,
    Pending,
    Firing,
}

/// How the last evaluation of a rule went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not evaluated yet.
    #[default]
    Unknown,
    Ok,
    #[serde(rename = "err")]
    Error,
}

/// All groups, in the order they were loaded.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    pub groups: Vec<GroupStatus>,
}

/// One rule group.
#[derive(Clone, Debug, Serialize)]
pub struct GroupStatus {
    pub name: String,
    pub file: Arc<str>,
    pub interval: Duration,
    pub query_offset: Duration,
    /// 0: no limit.
    pub limit: usize,
    pub rules: Vec<RuleStatus>,
    pub last_evaluation: Option<Timestamp>,
    /// As the caller measured it ([`crate::RuleEngine::note_duration`]).
    pub evaluation_time: Duration,
    /// Slots evaluated.
    pub iterations: u64,
    /// Slots skipped because an evaluation came late.
    pub iterations_missed: u64,
}

/// One rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleStatus {
    pub kind: RuleKind,
    pub name: String,
    /// The expression, printed.
    pub query: String,
    pub hold: Duration,
    pub keep_firing_for: Duration,
    /// As configured, with the group's labels, not expanded.
    pub labels: Labels,
    /// As configured, not expanded.
    pub annotations: Labels,
    pub owner: String,
    pub runbook: String,
    /// Line of the rule in its file.
    pub line: u32,
    /// State of the worst alert; inactive for recording rules.
    pub state: AlertState,
    pub health: Health,
    /// Empty when the last evaluation went well.
    pub last_error: String,
    pub last_evaluation: Option<Timestamp>,
    /// Samples that the last evaluation read: what the rule costs.
    pub samples_read: usize,
    /// Series that the last evaluation gave.
    pub series: usize,
    /// Pending and firing alerts, sorted by labels.
    pub alerts: Vec<AlertStatus>,
}

/// One pending or firing alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertStatus {
    pub labels: Labels,
    pub annotations: Labels,
    pub state: AlertState,
    /// Since when the condition holds.
    pub active_at: Timestamp,
    /// Since when it fires.
    pub fired_at: Option<Timestamp>,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since: Option<Timestamp>,
    pub value: f64,
}

impl Status {
    /// All pending and firing alerts with the rule they belong to.
    pub fn alerts(&self) -> impl Iterator<Item = (&GroupStatus, &RuleStatus, &AlertStatus)> {
        self.groups.iter().flat_map(|group| {
            group
                .rules
                .iter()
                .flat_map(move |rule| rule.alerts.iter().map(move |alert| (group, rule, alert)))
        })
    }
}

impl AlertState {
    /// The word Prometheus uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}
