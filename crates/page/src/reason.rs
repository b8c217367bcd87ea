//! Why the pager did, or did not, do something. The word is the same in logs, metrics, API and documentation.

use serde::Serialize;

/// One decision with the facts behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    // What came in.
    /// An alert cannot be taken; the others of its post were.
    AlertRefused {
        index: usize,
        text: String,
    },
    AlertReceived {
        fingerprint: String,
    },
    AlertResolved {
        fingerprint: String,
    },
    /// Something asked for cannot be done: no such case, silence, person.
    Refused {
        text: String,
    },
    // Notification of a group, per integration (Alertmanager's words).
    FirstNotification {
        group: String,
        integration: String,
    },
    NewAlertsInGroup {
        group: String,
        integration: String,
    },
    AllAlertsResolved {
        group: String,
        integration: String,
    },
    NewResolvedAlerts {
        group: String,
        integration: String,
    },
    RepeatIntervalElapsed {
        group: String,
        integration: String,
    },
    /// Nothing new since the last notification.
    DoNotNotify {
        group: String,
        integration: String,
    },
    /// Only resolved alerts, and the integration does not want them.
    ResolvedNotWanted {
        group: String,
        integration: String,
    },
    /// The receiver's integration is known but not delivered yet.
    IntegrationNotDelivered {
        group: String,
        integration: String,
    },
    NotificationDelivered {
        group: String,
        integration: String,
    },
    NotificationFailed {
        group: String,
        integration: String,
    },
    // Why an alert or a group went no further.
    Inhibited {
        group: String,
        alerts: usize,
    },
    Silenced {
        group: String,
        alerts: usize,
    },
    OutsideActiveInterval {
        group: String,
    },
    MutedByInterval {
        group: String,
    },
    // Cases.
    CaseOpened {
        case: String,
    },
    /// The alert's severity never opens a case; it is shown as context.
    ContextOnly {
        group: String,
    },
    AlertJoined {
        case: String,
    },
    UrgencyRaised {
        case: String,
    },
    CaseResolved {
        case: String,
    },
    AlreadyResolved {
        case: String,
    },
    AlreadyAcknowledged {
        case: String,
    },
    Acknowledged {
        case: String,
    },
    Unacknowledged {
        case: String,
    },
    Snoozed {
        case: String,
    },
    SnoozeEnded {
        case: String,
    },
    AcknowledgementExpired {
        case: String,
    },
    WaitsForContext {
        case: String,
    },
    ContextReceived {
        case: String,
    },
    ContextOverdue {
        case: String,
    },
    // Escalation.
    StepFired {
        case: String,
        step: u32,
    },
    EmptyStepSkipped {
        case: String,
        step: u32,
    },
    StepHeld {
        case: String,
        step: u32,
    },
    PolicyRepeats {
        case: String,
    },
    PolicyExhausted {
        case: String,
    },
    FallbackPaged {
        case: String,
    },
    NobodyToPage {
        case: String,
    },
    StaleEscalate {
        case: String,
    },
    PageSent {
        case: String,
        person: String,
        channel: String,
    },
    PageDelivered {
        case: String,
        person: String,
        channel: String,
    },
    PageFailed {
        case: String,
        person: String,
        channel: String,
    },
    /// The person has no address for the rule's channel.
    ChannelUnavailable {
        case: String,
        person: String,
        channel: String,
    },
    /// No positive receipt in time: the next rule fires now.
    ReceiptOverdue {
        case: String,
        person: String,
    },
    /// All firing alerts of the case are muted at the moment.
    PageWithheld {
        case: String,
        why: String,
    },
    UnknownDelivery,
    // Silences, overrides, configuration.
    SilenceCreated {
        id: String,
    },
    SilenceUpdated {
        id: String,
    },
    SilenceExpired {
        id: String,
    },
    OverrideAdded {
        id: String,
    },
    OverrideRemoved {
        id: String,
    },
    Reconfigured,
    CommentAdded {
        case: String,
    },
}

// === impl Reason ===

impl Reason {
    /// The stable word, as in the serialised form.
    pub fn as_str(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(map)) => map
                .get("reason")
                .and_then(|word| word.as_str())
                .unwrap_or_default()
                .to_owned(),
            _ => String::new(),
        }
    }
}
