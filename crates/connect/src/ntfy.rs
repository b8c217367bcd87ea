//! Push messages by ntfy (<https://docs.ntfy.sh/publish/#publish-as-json>).

use bellwether_model::Secret;
use bellwether_model::state::Receipt;
use serde_json::{Value, json};

use crate::channel::{Attempt, BoxFuture, Channel, Message, Outcome, Priority, Verdict};
use crate::http::{HttpCall, HttpClient, HttpError, HttpSettings, outcome};

/// ntfy turns longer messages into attachments.
const MAX_TEXT: usize = 3500;
const MAX_TITLE: usize = 250;
/// ntfy shows three buttons.
const MAX_ACTIONS: usize = 3;

/// Where to send.
#[derive(Clone, Debug, Default)]
pub struct NtfyTarget {
    /// Address of the server, without the topic.
    pub server: String,
    /// Who knows the topic can read it.
    pub topic: Secret,
    pub http: HttpSettings,
}

/// Publishes to one topic.
#[derive(Clone, Debug)]
pub struct Ntfy {
    client: HttpClient,
    target: NtfyTarget,
}

// === impl Ntfy ===

impl Ntfy {
    /// A channel to one topic.
    pub fn new(target: NtfyTarget) -> Result<Self, HttpError> {
        Ok(Self {
            client: HttpClient::new(target.http.clone())?,
            target,
        })
    }

    fn body(&self, message: &Message) -> Value {
        let cut = |text: &str, max| text[..text.floor_char_boundary(max)].to_owned();
        let mut body = json!({
            "topic": self.target.topic.expose(),
            "title": cut(&message.title, MAX_TITLE),
            "message": cut(&message.text, MAX_TEXT),
            "priority": match message.priority {
                Priority::Low => 2,
                Priority::Normal => 3,
                Priority::High => 5,
            },
            "tags": message.tags,
            "actions": message.actions.iter().take(MAX_ACTIONS).map(|action| json!({
                "action": "http",
                "label": action.label,
                "url": action.url.expose(),
                "method": "POST",
                "clear": true,
            })).collect::<Vec<_>>(),
        });
        if let Some(link) = &message.link {
            body["click"] = json!(link);
        }
        body
    }
}

impl Channel for Ntfy {
    fn name(&self) -> &'static str {
        "ntfy"
    }

    fn deliver(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let call = HttpCall {
                method: "POST".to_owned(),
                url: Secret::new(self.target.server.clone()),
                headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
                body: self.body(&attempt.message).to_string().into_bytes(),
                idempotency_key: attempt.key,
                timeout: attempt.timeout,
            };
            let answer = self.client.call(call).await;
            let id = answer
                .as_ref()
                .ok()
                .and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok())
                .and_then(|body| body["id"].as_str().map(str::to_owned));
            let mut outcome = outcome(answer);
            if outcome.verdict == Verdict::Done {
                // The server has it; whether a phone has it is not known.
                outcome.receipt = Receipt::Sent;
                outcome.provider_id = id.unwrap_or_default();
            }
            outcome
        })
    }
}
