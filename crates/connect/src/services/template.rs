//! Any HTTP service: request and receipts as configured.

use std::collections::BTreeMap;

use bellwether_model::Secret;
use bellwether_model::state::Receipt;
use serde_json::Value;

use super::{Request, by_status, json_of};
use crate::channel::{Attempt, Blame, Outcome, Verdict, short};
use crate::http::HttpAnswer;

/// A request whose texts are complete.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateCall {
    pub method: String,
    pub url: Secret,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub receipts: ReceiptMap,
}

/// How the service's answer is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiptMap {
    /// JSON pointer (RFC 6901) to the message's id.
    pub id: String,
    /// JSON pointer to a word that says how it stands; empty: the HTTP status alone decides.
    pub status: String,
    /// The service's words and what they prove. A word that is not here proves nothing but that it was taken.
    pub words: BTreeMap<String, Receipt>,
}

// === impl TemplateCall ===

impl TemplateCall {
    pub(super) fn request(&self, _: &Attempt) -> Result<Request, String> {
        if self.url.is_empty() {
            return Err("the channel has no url".to_owned());
        }
        Ok(Request {
            method: "POST",
            url: self.url.clone(),
            content_type: "",
            body: self.body.clone().into_bytes(),
            read: by_status,
            idempotent: false,
        })
    }

    pub(super) fn receipt(&self, answer: &HttpAnswer) -> Outcome {
        let mut made = by_status(answer);
        if made.verdict != Verdict::Done {
            return made;
        }
        let body = json_of(answer);
        let word = |pointer: &str| match body.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        if !self.receipts.id.is_empty() {
            made.provider_id = short(word(&self.receipts.id));
        }
        if self.receipts.status.is_empty() {
            return made;
        }
        let state = word(&self.receipts.status);
        match self.receipts.words.get(&state) {
            Some(Receipt::FailedPermanently) => {
                Outcome::failed(format!("the service says {state:?}"), Blame::Peer)
            }
            Some(Receipt::FailedTemporarily) => {
                Outcome::retry(format!("the service says {state:?}"), None, true)
            }
            Some(receipt) => {
                made.receipt = *receipt;
                made
            }
            None => made,
        }
    }
}
