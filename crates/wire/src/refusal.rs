//! Answers that refuse.

use serde_json::{Value, json};

/// Why a request is not taken, in the words of the interface that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Body of the answer; `None` is an empty one.
    pub body: Option<Value>,
}

// === impl Refusal ===

impl Refusal {
    /// A body that is one JSON text, as handlers of Alertmanager's API v2 answer.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            body: Some(Value::String(text.into())),
        }
    }

    /// `{"code":602,"message":"..."}`, as the checks before those handlers answer.
    pub fn coded(status: u16, code: u16, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            status,
            body: Some(json!({"code": code, "message": message})),
        }
    }

    /// No body at all.
    pub fn empty(status: u16) -> Self {
        Self { status, body: None }
    }
}
