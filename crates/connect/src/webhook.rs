//! Webhooks: the message's body as JSON to an address.

use bellwether_model::Secret;

use crate::channel::{Attempt, BoxFuture, Channel, Outcome};
use crate::http::{HttpCall, HttpClient, HttpError, HttpSettings, outcome};

/// Where to send.
#[derive(Clone, Debug, Default)]
pub struct WebhookTarget {
    pub url: Secret,
    pub http: HttpSettings,
}

/// Posts [`Message::body`](crate::Message::body) to one address.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: HttpClient,
    url: Secret,
}

// === impl Webhook ===

impl Webhook {
    /// A channel to one address.
    pub fn new(target: WebhookTarget) -> Result<Self, HttpError> {
        Ok(Self {
            client: HttpClient::new(target.http)?,
            url: target.url,
        })
    }
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn deliver(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let call = HttpCall {
                method: "POST".to_owned(),
                url: self.url.clone(),
                headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
                body: attempt.message.body.to_string().into_bytes(),
                idempotency_key: attempt.key,
                timeout: attempt.timeout,
            };
            outcome(self.client.call(call).await)
        })
    }
}
