//! Services that take a message over HTTP: chat, push, SMS and voice, other pagers, and any other by a template.
//!
//! Each is a request made from the message and a reading of the answer: what the service says about the message
//! becomes one of our receipts, its own "too fast" and "no such channel" become a retry and a failure. A message with
//! a body of its own ([`Message::body`](crate::Message::body), from a receiver's templates) is sent as that body.

mod chat;
mod pagers;
mod phone;
mod template;

use std::time::Duration;

use bellwether_model::Secret;
use bellwether_model::state::Receipt;
use serde_json::Value;

use crate::channel::{
    Attempt, Blame, BoxFuture, Channel, Message, Outcome, Priority, Verdict, short,
};
use crate::http::{HttpAnswer, HttpCall, HttpClient, HttpError, HttpSettings, outcome};

pub use phone::twilio_receipt;
pub use template::{ReceiptMap, TemplateCall};

/// Which service, and where.
#[derive(Clone, Debug, PartialEq)]
pub enum Service {
    /// An incoming webhook, or `chat.postMessage` with a bot's token (in the HTTP settings) and a channel or user id.
    Slack {
        url: Secret,
        channel: String,
    },
    /// An incoming webhook; `channel` is `@name` for a person.
    Mattermost {
        url: Secret,
        channel: String,
    },
    /// A workflow's webhook.
    MsTeams {
        url: Secret,
    },
    /// `url` is the Bot API's address.
    Telegram {
        url: String,
        token: Secret,
        chat: String,
        thread: Option<i64>,
    },
    Discord {
        url: Secret,
    },
    /// `url` is the homeserver; the token is in the HTTP settings.
    Matrix {
        url: String,
        room: String,
    },
    /// Events API v2.
    PagerDuty {
        url: String,
        routing_key: Secret,
    },
    /// Alert API v2; the key is in the HTTP settings.
    Opsgenie {
        url: String,
    },
    TwilioSms(Twilio),
    /// Reads the message out, and takes a key press as the answer.
    TwilioVoice(Twilio),
    Pushover {
        url: String,
        token: Secret,
        user: Secret,
    },
    Template(Box<TemplateCall>),
}

/// An account of Twilio (or something that speaks its API).
#[derive(Clone, Debug, PartialEq)]
pub struct Twilio {
    pub url: String,
    pub account: String,
    /// A number, or a messaging service (`MG…`).
    pub from: String,
    pub to: String,
    /// Where it tells how the message fares.
    pub status_callback: Option<Secret>,
}

/// A service as a channel.
#[derive(Clone, Debug)]
pub struct ServiceChannel {
    client: HttpClient,
    service: Service,
}

/// A request, and how its answer is read.
struct Request {
    method: &'static str,
    url: Secret,
    content_type: &'static str,
    body: Vec<u8>,
    read: fn(&HttpAnswer) -> Outcome,
    /// The service knows a repeat by the delivery's key: no repeat can double it.
    idempotent: bool,
}

// === helpers of the services ===

fn json_request(url: Secret, body: &Value, read: fn(&HttpAnswer) -> Outcome) -> Request {
    Request {
        method: "POST",
        url,
        content_type: "application/json",
        body: body.to_string().into_bytes(),
        read,
        idempotent: false,
    }
}

/// `application/x-www-form-urlencoded`.
fn form(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = String::new();
    for (key, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        encode(&mut out, key);
        out.push('=');
        encode(&mut out, value);
    }
    out.into_bytes()
}

fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char);
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// A part of a path.
fn segment(text: &str) -> String {
    let mut out = String::new();
    encode(&mut out, text);
    out
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// The answer as JSON; null when it is none.
fn json_of(answer: &HttpAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

/// What the status alone says.
fn by_status(answer: &HttpAnswer) -> Outcome {
    outcome(Ok(answer.clone()))
}

/// Taken, with the service's id and what that proves.
fn taken(answer: &HttpAnswer, receipt: Receipt, id: impl Into<String>) -> Outcome {
    let mut made = by_status(answer);
    if made.verdict == Verdict::Done {
        made.receipt = receipt;
        made.provider_id = short(id.into());
    }
    made
}

fn wait(seconds: f64) -> Option<Duration> {
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(3600.0)))
}

/// The message as plain text with its links, for services that know no buttons.
fn with_links(message: &Message) -> String {
    let mut text = message.text.clone();
    for action in &message.actions {
        text.push_str(&format!("\n{}: {}", action.label, action.url.expose()));
    }
    if let Some(link) = &message.link {
        text.push_str(&format!("\n{link}"));
    }
    text
}

fn is_high(message: &Message) -> bool {
    message.priority == Priority::High
}

// === impl Service ===

impl Service {
    /// The channel's name, as in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Mattermost { .. } => "mattermost",
            Self::MsTeams { .. } => "msteams",
            Self::Telegram { .. } => "telegram",
            Self::Discord { .. } => "discord",
            Self::Matrix { .. } => "matrix",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Opsgenie { .. } => "opsgenie",
            Self::TwilioSms(_) => "sms",
            Self::TwilioVoice(_) => "voice",
            Self::Pushover { .. } => "pushover",
            Self::Template(_) => "template",
        }
    }

    fn request(&self, attempt: &Attempt) -> Result<Request, String> {
        let message = &attempt.message;
        Ok(match self {
            Self::Slack { url, channel } => chat::slack(url, channel, attempt),
            Self::Mattermost { url, channel } => chat::mattermost(url, channel, message),
            Self::MsTeams { url } => chat::teams(url, message),
            Self::Telegram {
                url,
                token,
                chat,
                thread,
            } => chat::telegram(url, token, chat, *thread, message),
            Self::Discord { url } => chat::discord(url, message),
            Self::Matrix { url, room } => chat::matrix(url, room, attempt),
            Self::PagerDuty { url, routing_key } => pagers::pagerduty(url, routing_key, attempt),
            Self::Opsgenie { url } => pagers::opsgenie(url, attempt),
            Self::Pushover { url, token, user } => pagers::pushover(url, token, user, message),
            Self::TwilioSms(twilio) => phone::sms(twilio, message),
            Self::TwilioVoice(twilio) => phone::voice(twilio, message),
            Self::Template(call) => return call.request(attempt),
        })
    }
}

// === impl ServiceChannel ===

impl ServiceChannel {
    /// A channel to one service.
    pub fn new(service: Service, http: HttpSettings) -> Result<Self, HttpError> {
        Ok(Self {
            client: HttpClient::new(http)?,
            service,
        })
    }
}

impl Channel for ServiceChannel {
    fn name(&self) -> &'static str {
        self.service.name()
    }

    fn deliver(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let request = match self.service.request(&attempt) {
                Ok(request) => request,
                Err(error) => return Outcome::failed(error, Blame::Operator),
            };
            let mut headers = vec![("Content-Type".to_owned(), request.content_type.to_owned())];
            if let Service::Template(call) = &self.service {
                headers.clear();
                headers.extend(call.headers.iter().cloned());
            }
            let call = HttpCall {
                method: match &self.service {
                    Service::Template(call) => call.method.clone(),
                    _ => request.method.to_owned(),
                },
                url: request.url,
                headers,
                body: request.body,
                idempotency_key: attempt.key,
                timeout: attempt.timeout,
            };
            let mut made = match self.client.call(call).await {
                Ok(answer) => match &self.service {
                    Service::Template(call) => call.receipt(&answer),
                    _ => (request.read)(&answer),
                },
                Err(error) => outcome(Err(error)),
            };
            if request.idempotent && matches!(made.verdict, Verdict::Retry { .. }) {
                made.retry_safe = true;
            }
            made
        })
    }
}
