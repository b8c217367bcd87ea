//! What every channel takes and gives.

use std::pin::Pin;
use std::time::Duration;

use bellwether_model::state::Receipt;
use bellwether_model::{DeliveryId, Secret};
use jiff::Timestamp;
use serde_json::Value;

/// A boxed future, so that [`Channel`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Longest error text that is kept.
const MAX_ERROR: usize = 500;

/// How loud a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Good to know: something is over.
    Low,
    #[default]
    Normal,
    /// Somebody must look now.
    High,
}

/// A button under a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What is on it: `Acknowledge`.
    pub label: String,
    /// A POST to this address does it. Secret: it carries a signed token.
    pub url: Secret,
}

/// What is to be said. Each channel takes what it can show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// One line.
    pub title: String,
    /// Plain text.
    pub text: String,
    pub html: Option<String>,
    pub priority: Priority,
    /// Short words such as the severity.
    pub tags: Vec<String>,
    /// Where to look.
    pub link: Option<String>,
    pub actions: Vec<Action>,
    /// The body of a webhook, complete.
    pub body: Value,
    /// Further e-mail headers.
    pub headers: Vec<(String, String)>,
}

/// One attempt of a delivery.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub id: DeliveryId,
    /// Idempotency key: equal in every attempt.
    pub key: String,
    /// From 1.
    pub attempt: u32,
    /// What it belongs to (case id, group key): mail clients show equal ones as one conversation.
    pub thread: String,
    pub now: Timestamp,
    /// The channel answers within this time.
    pub timeout: Duration,
    pub message: Message,
}

/// What to do with the delivery now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Try again, not before this time has passed when the other side named one.
    Retry {
        after: Option<Duration>,
    },
    /// A repeat would fail as well.
    Failed,
}

/// Who can do something about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Configuration.
    Operator,
    /// The other side or the network.
    Peer,
    /// This program.
    Us,
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    pub receipt: Receipt,
    /// The other side's id of the message, when it gave one.
    pub provider_id: String,
    /// Empty when it went well. Never holds a secret.
    pub error: String,
    pub blame: Blame,
    /// Whether the other side surely did not take it, so that a repeat cannot double it.
    pub retry_safe: bool,
}

/// A way to a person or a system.
pub trait Channel: Send + Sync {
    /// The channel's name, as in the delivery.
    fn name(&self) -> &'static str;

    /// Makes one attempt. Never fails and never retries: the outcome says what happened.
    fn deliver(&self, attempt: Attempt) -> BoxFuture<'_, Outcome>;
}

// === impl Outcome ===

impl Outcome {
    /// The other side took it.
    pub fn done(receipt: Receipt, provider_id: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Done,
            receipt,
            provider_id: provider_id.into(),
            error: String::new(),
            blame: Blame::Peer,
            retry_safe: false,
        }
    }

    /// It may work later.
    pub fn retry(error: impl Into<String>, after: Option<Duration>, retry_safe: bool) -> Self {
        Self {
            verdict: Verdict::Retry { after },
            receipt: Receipt::FailedTemporarily,
            provider_id: String::new(),
            error: short(error.into()),
            blame: Blame::Peer,
            retry_safe,
        }
    }

    /// It will not work until somebody changes something.
    pub fn failed(error: impl Into<String>, blame: Blame) -> Self {
        Self {
            verdict: Verdict::Failed,
            receipt: Receipt::FailedPermanently,
            provider_id: String::new(),
            error: short(error.into()),
            blame,
            retry_safe: true,
        }
    }
}

/// At most [`MAX_ERROR`] bytes, on one line.
pub(crate) fn short(text: String) -> String {
    let mut line = text.replace(|c: char| c.is_control(), " ");
    if line.len() > MAX_ERROR {
        line.truncate(line.floor_char_boundary(MAX_ERROR));
        line.push('…');
    }
    line
}
