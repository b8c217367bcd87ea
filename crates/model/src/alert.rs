//! An alert as it is handed from judge to page, or posted by another system.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::labels::Labels;

/// One alert as a sender states it; what it leaves out is filled in by the receiver (Alertmanager API v2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedAlert {
    pub labels: Labels,
    #[serde(default)]
    pub annotations: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// Given and not in the future: the alert is resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    #[serde(default, rename = "generatorURL")]
    pub generator_url: String,
}
