//! Other pagers: PagerDuty's Events API v2, Opsgenie's Alert API, Pushover.

use bellwether_model::Secret;
use bellwether_model::state::Receipt;
use serde_json::json;

use super::{
    Request, by_status, cut, form, is_high, json_of, json_request, segment, taken, with_links,
};
use crate::channel::{Attempt, Blame, Message, Outcome, Priority, Verdict};
use crate::http::HttpAnswer;

/// Whether the message says that it is over.
fn is_resolved(message: &Message) -> bool {
    message.priority == Priority::Low
}

pub(super) fn pagerduty(url: &str, routing_key: &Secret, attempt: &Attempt) -> Request {
    let message = &attempt.message;
    let mut body = if message.body.is_null() {
        let mut links: Vec<serde_json::Value> = Vec::new();
        links.extend(
            message
                .link
                .iter()
                .map(|link| json!({"href": link, "text": "Open"})),
        );
        json!({
            "event_action": if is_resolved(message) { "resolve" } else { "trigger" },
            "payload": {
                "summary": cut(&message.title, 1024),
                "source": "bellwether",
                "severity": if is_high(message) { "critical" } else { "warning" },
                "custom_details": {"text": cut(&message.text, 32_000)},
            },
            "links": links,
            "client": "Bellwether",
        })
    } else {
        message.body.clone()
    };
    body["routing_key"] = json!(routing_key.expose());
    if body.get("dedup_key").is_none() {
        // One incident per case or group there, however often it is told of.
        body["dedup_key"] = json!(cut(&attempt.thread, 255));
    }
    let made = json_request(Secret::new(url), &body, |answer| {
        let body = json_of(answer);
        taken(
            answer,
            Receipt::Accepted,
            body["dedup_key"].as_str().unwrap_or_default(),
        )
    });
    Request {
        idempotent: true,
        ..made
    }
}

pub(super) fn opsgenie(url: &str, attempt: &Attempt) -> Request {
    let message = &attempt.message;
    let alias = cut(&attempt.thread, 512);
    let base = url.trim_end_matches('/');
    let over = if message.body.is_null() {
        is_resolved(message)
    } else {
        message.body["close"].as_bool() == Some(true)
    };
    let (address, body) = if over {
        let address = format!(
            "{base}/v2/alerts/{}/close?identifierType=alias",
            segment(alias)
        );
        (address, json!({"source": "bellwether"}))
    } else {
        let mut body = if message.body.is_null() {
            json!({
                "message": cut(&message.title, 130),
                "description": cut(&with_links(message), 15_000),
                "priority": if is_high(message) { "P1" } else { "P4" },
                "tags": message.tags,
                "source": "bellwether",
            })
        } else {
            message.body.clone()
        };
        body["alias"] = json!(alias);
        (format!("{base}/v2/alerts"), body)
    };
    let made = json_request(Secret::new(address), &body, |answer| {
        let body = json_of(answer);
        taken(
            answer,
            Receipt::Accepted,
            body["requestId"].as_str().unwrap_or_default(),
        )
    });
    Request {
        idempotent: true,
        ..made
    }
}

pub(super) fn pushover(url: &str, token: &Secret, user: &Secret, message: &Message) -> Request {
    let text = if message.text.is_empty() {
        "-"
    } else {
        &message.text
    };
    let mut pairs = vec![
        ("token", token.expose()),
        ("user", user.expose()),
        ("title", cut(&message.title, 250)),
        ("message", cut(text, 1024)),
    ];
    match message.priority {
        // Rings until it is acknowledged there, at most half an hour: the escalation goes on by itself meanwhile.
        Priority::High => pairs.extend([("priority", "2"), ("retry", "60"), ("expire", "1800")]),
        Priority::Normal => pairs.push(("priority", "0")),
        Priority::Low => pairs.push(("priority", "-1")),
    }
    if let Some(action) = message.actions.first() {
        pairs.extend([
            ("url", action.url.expose()),
            ("url_title", action.label.as_str()),
        ]);
    } else if let Some(link) = &message.link {
        pairs.push(("url", link));
    }
    Request {
        method: "POST",
        url: Secret::new(url),
        content_type: "application/x-www-form-urlencoded",
        body: form(&pairs),
        read: read_pushover,
        idempotent: false,
    }
}

fn read_pushover(answer: &HttpAnswer) -> Outcome {
    let body = json_of(answer);
    let made = by_status(answer);
    if made.verdict == Verdict::Done && body["status"].as_i64() == Some(0) {
        return Outcome::failed("Pushover refused the message", Blame::Operator);
    }
    let id = body["receipt"].as_str().or(body["request"].as_str());
    taken(answer, Receipt::Sent, id.unwrap_or_default())
}
