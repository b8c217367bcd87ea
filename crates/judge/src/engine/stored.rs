//! The state of an alerting rule as a record.

use bellwether_model::Labels;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::alert::ActiveAlert;

/// Body of an [`crate::engine::ALERT_RULE`] record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "version")]
enum Body {
    #[serde(rename = "1")]
    V1(StoredRule),
}

/// What a restart needs to go on where it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredRule {
    /// For people who look at the record.
    pub(super) file: String,
    pub(super) group: String,
    pub(super) rule: String,
    /// Slot of the change that wrote it.
    pub(super) updated_at: Timestamp,
    pub(super) alerts: Vec<ActiveAlert>,
}

impl StoredRule {
    /// Reads a record's body; `None` when it is of a version not known.
    pub(super) fn read(body: &Value) -> Option<Self> {
        match Body::deserialize(body).ok()? {
            Body::V1(stored) => Some(stored),
        }
    }

    /// The body to write.
    pub(super) fn to_body(&self) -> impl Serialize {
        Body::V1(self.clone())
    }
}

/// Id of a rule's record: the same as long as group, name, labels and place among its likes stay the same.
pub(super) fn record_id(
    file: &str,
    group: &str,
    rule: &str,
    labels: &Labels,
    nth: usize,
) -> String {
    let identity = labels
        .with("__file__", file)
        .with("__group__", group)
        .with("__rule__", rule);
    format!("{:016x}-{nth}", identity.fingerprint())
}
