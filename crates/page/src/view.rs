//! What the pager shows: owned copies for the API and the UI.

use bellwether_model::{CaseId, Labels};
use jiff::Timestamp;
use serde::Serialize;

use crate::record::{Case, Silence, SilenceState};

/// State of an alert in Alertmanager's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Unprocessed,
    Active,
    Suppressed,
}

/// An alert with its status, as `GET /api/v2/alerts` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertView {
    pub fingerprint: String,
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    pub receivers: Vec<String>,
    pub state: AlertState,
    pub silenced_by: Vec<String>,
    /// Fingerprints.
    pub inhibited_by: Vec<String>,
    /// Names of time intervals.
    pub muted_by: Vec<String>,
    /// Open cases it belongs to.
    pub cases: Vec<CaseId>,
}

/// A group, as `GET /api/v2/alerts/groups` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    pub key: String,
    pub labels: Labels,
    pub receiver: String,
    pub route_labels: Labels,
    /// Names of the time intervals that mute its route now.
    pub muted_by: Vec<String>,
    pub alerts: Vec<AlertView>,
    pub next_flush: Timestamp,
}

/// A silence and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SilenceView {
    pub silence: Silence,
    pub state: SilenceState,
}

/// An alert that may explain a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    pub fingerprint: String,
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Timestamp,
    /// Labels it shares with the case.
    pub shared: Vec<String>,
}

/// A case with what is known around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseView {
    pub case: Case,
    pub causes: Vec<Cause>,
    /// What happens next and when: `step 2 pages schedule primary`.
    pub next: Option<(Timestamp, String)>,
    /// Why no page goes out at the moment: all its alerts are silenced, inhibited or muted.
    pub withheld: Option<String>,
}

/// Who is on call, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OnCallView {
    pub person: String,
    pub name: String,
    /// `layer weekdays`, `override ovr-0…`.
    pub source: String,
}
