//! What a delivery carries for its adapter: plain data, no secrets.

use bellwether_model::{CaseId, Labels};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::Urgency;

/// What a message to a person is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// Somebody must look.
    Page,
    /// The policy has been gone through without an answer; this person is the fallback.
    Fallback,
    /// It is over: low-key.
    Resolved,
}

/// An alert in a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageAlert {
    pub fingerprint: String,
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Timestamp,
    pub firing: bool,
    pub generator_url: String,
}

/// Payload of the channels `terminal`, `browser`, `desktop`, `ntfy`, and of `email` to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagePayload {
    pub kind: PageKind,
    pub case: CaseId,
    /// Five characters to read out.
    pub code: String,
    pub title: String,
    pub summary: String,
    pub urgency: Urgency,
    /// The `severity` label.
    pub severity: String,
    pub labels: Labels,
    pub annotations: Labels,
    pub since: Timestamp,
    pub opened_at: Timestamp,
    pub runbook: Option<String>,
    /// What the diagnosis steps saw, when they were in time.
    pub diagnosis: Option<String>,
    /// At most [`ALERTS_MAX`]; `alerts_total` counts all.
    pub alerts: Vec<PageAlert>,
    pub alerts_total: usize,
    /// Alerts that may explain it: `HostCpuHigh {instance="a"}`.
    pub causes: Vec<String>,
    /// Id and name of the person.
    pub person: String,
    pub person_name: String,
    /// From 1, as people count.
    pub step: u32,
    pub steps: u32,
    pub loop_number: u32,
    /// Goes back in `Acknowledge` and `EscalateNow`.
    pub as_of_step: u32,
    /// What an adapter asks the shell for to make a link that acknowledges: the token itself is not stored.
    pub ack_ref: String,
    /// Where the case is shown, below the external address: `/cases/case-0…`.
    pub path: String,
    /// Why this person gets this page.
    pub why: Vec<String>,
    /// Subject of an e-mail, title of a push message.
    pub subject: String,
    /// Body as plain text.
    pub text: String,
}

/// Payload of the channels `webhook` and `email` to a receiver of the route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotificationPayload {
    /// Name of the receiver, kind and position of the integration: where the adapter finds address and secrets.
    pub receiver: String,
    pub integration: String,
    pub index: usize,
    pub group_key: String,
    /// Why it is sent, in Alertmanager's words: `first notification`.
    pub reason: String,
    /// Alertmanager's webhook body, version 4. Also the data of templates.
    pub body: Value,
    /// Subject and text in plain words, for e-mail; a template may replace them.
    pub subject: String,
    pub text: String,
}

/// Alerts that one page lists.
pub const ALERTS_MAX: usize = 20;
