//! Chat: Slack, Mattermost, Microsoft Teams, Telegram, Discord, Matrix.

use bellwether_model::Secret;
use bellwether_model::state::Receipt;
use serde_json::{Value, json};

use super::{
    Request, by_status, cut, is_high, json_of, json_request, segment, taken, wait, with_links,
};
use crate::channel::{Attempt, Blame, Message, Outcome};
use crate::http::HttpAnswer;

/// Slack's limit of a section's text is 3,000 characters.
const SLACK_TEXT: usize = 2900;
const TELEGRAM_TEXT: usize = 4000;
const DISCORD_TEXT: usize = 1900;
const LONG_TEXT: usize = 16_000;

/// Slack's three special characters.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

pub(super) fn slack(url: &Secret, channel: &str, attempt: &Attempt) -> Request {
    let message = &attempt.message;
    let mut body = if message.body.is_null() {
        let mark = if is_high(message) {
            ":rotating_light: "
        } else {
            ""
        };
        let title = slack_text(&message.title);
        let mut blocks = vec![
            json!({"type": "section", "text": {"type": "mrkdwn", "text": format!("{mark}*{title}*")}}),
            json!({"type": "section", "text": {"type": "mrkdwn", "text": slack_text(cut(&message.text, SLACK_TEXT))}}),
        ];
        let mut buttons: Vec<Value> = message
            .actions
            .iter()
            .map(|action| {
                json!({"type": "button", "style": "primary", "url": action.url.expose(),
                    "text": {"type": "plain_text", "text": action.label}})
            })
            .collect();
        if let Some(link) = &message.link {
            buttons.push(json!({"type": "button", "url": link, "text": {"type": "plain_text", "text": "Open"}}));
        }
        if !buttons.is_empty() {
            blocks.push(json!({"type": "actions", "elements": buttons}));
        }
        json!({"text": message.title, "blocks": blocks, "unfurl_links": false})
    } else {
        message.body.clone()
    };
    if !channel.is_empty() {
        body["channel"] = json!(channel);
    }
    if url.expose().ends_with("/chat.postMessage") {
        // So that a repeat can be found again.
        body["metadata"] =
            json!({"event_type": "bellwether", "event_payload": {"key": attempt.key}});
    }
    json_request(url.clone(), &body, read_slack)
}

/// The web API answers 200 with `ok: false`; a webhook answers `ok` as text.
fn read_slack(answer: &HttpAnswer) -> Outcome {
    let body = json_of(answer);
    if body["ok"].as_bool() != Some(false) {
        return taken(
            answer,
            Receipt::Sent,
            body["ts"].as_str().unwrap_or_default(),
        );
    }
    let error = format!("Slack: {}", body["error"].as_str().unwrap_or("refused"));
    match body["error"].as_str() {
        Some("ratelimited" | "rate_limited") => Outcome::retry(error, answer.retry_after, true),
        Some("internal_error" | "fatal_error" | "service_unavailable" | "request_timeout") => {
            Outcome::retry(error, None, false)
        }
        _ => Outcome::failed(error, Blame::Operator),
    }
}

pub(super) fn mattermost(url: &Secret, channel: &str, message: &Message) -> Request {
    let mut body = if message.body.is_null() {
        let mark = if is_high(message) {
            ":rotating_light: "
        } else {
            ""
        };
        let mut lines = vec![
            format!("{mark}**{}**", message.title),
            cut(&message.text, LONG_TEXT).to_owned(),
        ];
        let mut links: Vec<String> = message
            .actions
            .iter()
            .map(|action| format!("[{}]({})", action.label, action.url.expose()))
            .collect();
        links.extend(message.link.iter().map(|link| format!("[Open]({link})")));
        lines.push(links.join(" · "));
        let mut body = json!({"text": lines.join("\n\n")});
        if is_high(message) {
            body["priority"] = json!({"priority": "urgent", "requested_ack": false});
        }
        body
    } else {
        message.body.clone()
    };
    if !channel.is_empty() {
        body["channel"] = json!(channel);
    }
    json_request(url.clone(), &body, |answer| {
        taken(answer, Receipt::Sent, "")
    })
}

pub(super) fn teams(url: &Secret, message: &Message) -> Request {
    let body = if message.body.is_null() {
        let mut actions: Vec<Value> = message
            .actions
            .iter()
            .map(|action| json!({"type": "Action.OpenUrl", "title": action.label, "url": action.url.expose()}))
            .collect();
        actions.extend(
            message
                .link
                .iter()
                .map(|link| json!({"type": "Action.OpenUrl", "title": "Open", "url": link})),
        );
        let color = if is_high(message) {
            "attention"
        } else {
            "default"
        };
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        {"type": "TextBlock", "text": message.title, "weight": "Bolder", "size": "Medium", "wrap": true, "color": color},
                        {"type": "TextBlock", "text": cut(&message.text, LONG_TEXT).replace('\n', "\n\n"), "wrap": true},
                    ],
                    "actions": actions,
                    "msteams": {"width": "Full"},
                },
            }],
        })
    } else {
        message.body.clone()
    };
    // A workflow takes it (202) before anything is shown.
    json_request(url.clone(), &body, by_status)
}

pub(super) fn telegram(
    url: &str,
    token: &Secret,
    chat: &str,
    thread: Option<i64>,
    message: &Message,
) -> Request {
    let address = Secret::new(format!(
        "{}/bot{}/sendMessage",
        url.trim_end_matches('/'),
        token.expose()
    ));
    let mut body = if message.body.is_null() {
        let text = format!("{}\n\n{}", message.title, message.text);
        let mut row: Vec<Value> = message
            .actions
            .iter()
            .map(|action| json!({"text": action.label, "url": action.url.expose()}))
            .collect();
        row.extend(
            message
                .link
                .iter()
                .map(|link| json!({"text": "Open", "url": link})),
        );
        let mut body = json!({
            "text": cut(&text, TELEGRAM_TEXT),
            "disable_notification": !is_high(message),
            "link_preview_options": {"is_disabled": true},
        });
        if !row.is_empty() {
            body["reply_markup"] = json!({"inline_keyboard": [row]});
        }
        body
    } else {
        message.body.clone()
    };
    body["chat_id"] = chat
        .parse::<i64>()
        .map_or_else(|_| json!(chat), |id| json!(id));
    if let Some(thread) = thread {
        body["message_thread_id"] = json!(thread);
    }
    json_request(address, &body, |answer| {
        let body = json_of(answer);
        if body["ok"].as_bool() == Some(false) {
            let text = body["description"].as_str().unwrap_or("refused");
            let error = format!("Telegram: {text}");
            return match (answer.status, body["parameters"]["retry_after"].as_f64()) {
                (429, seconds) => Outcome::retry(error, seconds.and_then(wait), true),
                (500.., _) => Outcome::retry(error, None, false),
                _ => Outcome::failed(error, Blame::Operator),
            };
        }
        let id = body["result"]["message_id"]
            .as_i64()
            .map(|id| id.to_string());
        taken(answer, Receipt::Sent, id.unwrap_or_default())
    })
}

pub(super) fn discord(url: &Secret, message: &Message) -> Request {
    // `wait` makes it answer once the message is there, with its id.
    let with = if url.expose().contains('?') { '&' } else { '?' };
    let address = Secret::new(format!("{}{with}wait=true", url.expose()));
    let body = if message.body.is_null() {
        let text = format!("**{}**\n{}", message.title, with_links(message));
        json!({"content": cut(&text, DISCORD_TEXT), "allowed_mentions": {"parse": []}})
    } else {
        message.body.clone()
    };
    json_request(address, &body, |answer| {
        let body = json_of(answer);
        if answer.status == 429 {
            let after = body["retry_after"]
                .as_f64()
                .and_then(wait)
                .or(answer.retry_after);
            return Outcome::retry("Discord: too many messages", after, true);
        }
        taken(
            answer,
            Receipt::Sent,
            body["id"].as_str().unwrap_or_default(),
        )
    })
}

/// The transaction id makes a repeat harmless: the homeserver knows it.
pub(super) fn matrix(url: &str, room: &str, attempt: &Attempt) -> Request {
    let message = &attempt.message;
    let address = format!(
        "{}/_matrix/client/v3/rooms/{}/send/m.room.message/{}",
        url.trim_end_matches('/'),
        segment(room),
        segment(&attempt.id.to_string()),
    );
    let text = format!("{}\n{}", message.title, with_links(message));
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let mut html = format!(
        "<strong>{}</strong><br/>{}",
        escape(&message.title),
        escape(&message.text).replace('\n', "<br/>")
    );
    for action in &message.actions {
        html.push_str(&format!(
            "<br/><a href=\"{}\">{}</a>",
            escape(action.url.expose()),
            escape(&action.label)
        ));
    }
    if let Some(link) = &message.link {
        html.push_str(&format!("<br/><a href=\"{}\">Open</a>", escape(link)));
    }
    let body = json!({
        "msgtype": if is_high(message) { "m.text" } else { "m.notice" },
        "body": cut(&text, LONG_TEXT),
        "format": "org.matrix.custom.html",
        "formatted_body": cut(&html, LONG_TEXT),
    });
    let made = json_request(Secret::new(address), &body, |answer| {
        let body = json_of(answer);
        if answer.status == 429 {
            let after = body["retry_after_ms"]
                .as_f64()
                .map(|ms| ms / 1000.0)
                .and_then(wait);
            return Outcome::retry("Matrix: too many messages", after, true);
        }
        taken(
            answer,
            Receipt::Sent,
            body["event_id"].as_str().unwrap_or_default(),
        )
    });
    Request {
        method: "PUT",
        idempotent: true,
        ..made
    }
}
