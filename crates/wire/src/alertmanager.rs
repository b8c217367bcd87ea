//! Alertmanager's API v2: <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>.
//!
//! Reading: [`read_alerts`], [`read_silence`], [`Query`]. Writing: [`alerts_json`], [`groups_json`],
//! [`silences_json`], [`silence_json`], [`receivers_json`], [`status_json`].

mod alerts;
mod query;
mod silences;
#[cfg(test)]
mod tests;
mod views;

pub use alerts::{ALERTS_MAX, Posted, read_alerts};
pub use query::{Query, SilenceQuery, is_uuid, receiver_query};
pub use silences::{read_silence, silence_refusal};
pub use views::{
    Version, alerts_json, groups_json, receivers_json, silence_json, silences_json, status_json,
};

use crate::Refusal;

/// The answer to a body that is not what it must be.
fn unreadable(what: &str, error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    if text.starts_with(crate::json::TOO_MANY) {
        return Refusal::coded(413, 413, format!("{what}: {text}"));
    }
    Refusal::coded(
        400,
        400,
        format!("parsing {what} body from \"\" failed, because {text}"),
    )
}
