//! Services against a server on loopback that answers as they do (recorded conversations of their documentation):
//! what we send, and what their answers become.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use bellwether_connect::http::HttpSettings;
use bellwether_connect::services::{
    ReceiptMap, Service, ServiceChannel, TemplateCall, Twilio, twilio_receipt,
};
use bellwether_connect::{Action, Attempt, Channel as _, Message, Outcome, Priority, Verdict};
use bellwether_model::state::Receipt;
use bellwether_model::{DeliveryId, Secret};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Clone, Default)]
struct Peer {
    /// Status and body of the next answers; the last one stays.
    answers: Arc<Mutex<Vec<(u16, String)>>>,
    seen: Arc<Mutex<Vec<(String, HeaderMap, String)>>>,
}

async fn peer(answers: &[(u16, &str)]) -> (String, Peer) {
    let peer = Peer::default();
    *peer.answers.lock().unwrap() = answers
        .iter()
        .rev()
        .map(|(status, body)| (*status, (*body).to_owned()))
        .collect();
    let app = axum::Router::new()
        .fallback(answer)
        .with_state(peer.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, peer)
}

async fn answer(
    State(peer): State<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let line = format!("{method} {uri}");
    let body = String::from_utf8_lossy(&body).into_owned();
    peer.seen.lock().unwrap().push((line, headers, body));
    let mut answers = peer.answers.lock().unwrap();
    let (status, body) = if answers.len() > 1 {
        answers.pop().unwrap()
    } else {
        answers[0].clone()
    };
    Response::builder()
        .status(status)
        .body(body.into())
        .unwrap()
}

fn message() -> Message {
    Message {
        title: "checkout <slow> [K7QZM]".to_owned(),
        text: "p99 over 2 s & rising\nSince Mon 02:10".to_owned(),
        priority: Priority::High,
        tags: vec!["page".to_owned()],
        link: Some("https://b.example.org/cases/case-1".to_owned()),
        actions: vec![Action {
            label: "Acknowledge".to_owned(),
            url: Secret::new("https://b.example.org/a/case-1/ana/1/00ff"),
        }],
        ..Message::default()
    }
}

async fn send(service: Service, http: HttpSettings, message: Message) -> Outcome {
    let attempt = Attempt {
        id: DeliveryId::from_raw(1),
        key: "page:case-1:1:0:ana:0".to_owned(),
        attempt: 1,
        thread: "case-1".to_owned(),
        now: "2026-11-21T22:33:44Z".parse().unwrap(),
        timeout: Duration::from_secs(10),
        message,
    };
    ServiceChannel::new(service, http)
        .unwrap()
        .deliver(attempt)
        .await
}

fn bearer(token: &str) -> HttpSettings {
    HttpSettings {
        bearer: Some(Secret::new(token)),
        ..HttpSettings::default()
    }
}

fn last(peer: &Peer) -> (String, HeaderMap, Value) {
    let seen = peer.seen.lock().unwrap();
    let (line, headers, body) = seen.last().unwrap().clone();
    (
        line,
        headers,
        serde_json::from_str(&body).unwrap_or(json!(body)),
    )
}

#[tokio::test]
async fn slack() {
    let (server, peer) = peer(&[
        (
            200,
            r#"{"ok":true,"channel":"C1","ts":"1503435956.000247"}"#,
        ),
        (200, r#"{"ok":false,"error":"channel_not_found"}"#),
        (200, r#"{"ok":false,"error":"ratelimited"}"#),
        (200, "ok"),
        (404, "no_team"),
    ])
    .await;
    let app = || Service::Slack {
        url: Secret::new(format!("{server}/api/chat.postMessage")),
        channel: "U123".to_owned(),
    };
    let made = send(app(), bearer("xoxb-1"), message()).await;
    assert_eq!(
        (made.verdict, made.receipt, made.provider_id.as_str()),
        (Verdict::Done, Receipt::Sent, "1503435956.000247")
    );
    let (line, headers, body) = last(&peer);
    assert_eq!(line, "POST /api/chat.postMessage");
    assert_eq!(headers["authorization"], "Bearer xoxb-1");
    assert_eq!(headers["idempotency-key"], "page:case-1:1:0:ana:0");
    assert_eq!(body["channel"], "U123");
    assert_eq!(
        body["blocks"][0]["text"]["text"],
        ":rotating_light: *checkout &lt;slow&gt; [K7QZM]*"
    );
    assert_eq!(
        body["blocks"][2]["elements"][0]["url"],
        "https://b.example.org/a/case-1/ana/1/00ff"
    );
    assert_eq!(
        body["metadata"]["event_payload"]["key"],
        "page:case-1:1:0:ana:0"
    );
    let made = send(app(), bearer("xoxb-1"), message()).await;
    assert_eq!(
        (made.verdict, made.error.as_str()),
        (Verdict::Failed, "Slack: channel_not_found")
    );
    let made = send(app(), bearer("xoxb-1"), message()).await;
    assert!(matches!(made.verdict, Verdict::Retry { .. }) && made.retry_safe);
    // A webhook, with a body from templates.
    let hook = || Service::Slack {
        url: Secret::new(format!("{server}/services/T/B/X")),
        channel: String::new(),
    };
    let own = Message {
        body: json!({"attachments": [{"title": "t"}]}),
        ..message()
    };
    let made = send(hook(), HttpSettings::default(), own).await;
    assert_eq!(made.receipt, Receipt::Sent);
    assert_eq!(last(&peer).2, json!({"attachments": [{"title": "t"}]}));
    let made = send(hook(), HttpSettings::default(), message()).await;
    assert_eq!(
        (made.verdict, made.error.as_str()),
        (Verdict::Failed, "HTTP 404: no_team")
    );
}

#[tokio::test]
async fn mattermost_and_teams() {
    let (server, peer) = peer(&[(200, "ok"), (202, "1"), (429, "slow down")]).await;
    let service = Service::Mattermost {
        url: Secret::new(format!("{server}/hooks/x")),
        channel: "@ana".to_owned(),
    };
    let made = send(service, HttpSettings::default(), message()).await;
    assert_eq!(made.receipt, Receipt::Sent);
    let (_, _, body) = last(&peer);
    assert_eq!(
        (&body["channel"], &body["priority"]["priority"]),
        (&json!("@ana"), &json!("urgent"))
    );
    assert!(
        body["text"]
            .as_str()
            .unwrap()
            .contains("[Acknowledge](https://b.example.org/a/case-1/ana/1/00ff)")
    );
    let teams = || Service::MsTeams {
        url: Secret::new(format!("{server}/workflows/1")),
    };
    let made = send(teams(), HttpSettings::default(), message()).await;
    assert_eq!(
        (made.verdict, made.receipt),
        (Verdict::Done, Receipt::Accepted)
    );
    let (_, _, body) = last(&peer);
    let card = &body["attachments"][0]["content"];
    assert_eq!(
        (&card["type"], &card["version"]),
        (&json!("AdaptiveCard"), &json!("1.4"))
    );
    assert_eq!(card["actions"][0]["title"], "Acknowledge");
    assert!(
        send(teams(), HttpSettings::default(), message())
            .await
            .retry_safe
    );
}

#[tokio::test]
async fn telegram_and_discord() {
    let (server, peer) = peer(&[
        (200, r#"{"ok":true,"result":{"message_id":42}}"#),
        (429, r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 5","parameters":{"retry_after":5}}"#),
        (400, r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#),
        (200, r#"{"id":"1234567"}"#),
        (429, r#"{"message":"You are being rate limited.","retry_after":1.5,"global":false}"#),
    ])
    .await;
    let telegram = || Service::Telegram {
        url: server.clone(),
        token: Secret::new("1:SECRET"),
        chat: "-100123".to_owned(),
        thread: Some(7),
    };
    let made = send(telegram(), HttpSettings::default(), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Sent, "42")
    );
    let (line, _, body) = last(&peer);
    assert_eq!(line, "POST /bot1:SECRET/sendMessage");
    assert_eq!(
        (&body["chat_id"], &body["message_thread_id"]),
        (&json!(-100_123), &json!(7))
    );
    assert_eq!(
        body["reply_markup"]["inline_keyboard"][0][0]["text"],
        "Acknowledge"
    );
    let made = send(telegram(), HttpSettings::default(), message()).await;
    assert_eq!(
        made.verdict,
        Verdict::Retry {
            after: Some(Duration::from_secs(5))
        }
    );
    let made = send(telegram(), HttpSettings::default(), message()).await;
    assert_eq!(made.error, "Telegram: Bad Request: chat not found");
    assert!(!made.error.contains("SECRET"));
    let discord = || Service::Discord {
        url: Secret::new(format!("{server}/api/webhooks/1/x")),
    };
    let made = send(discord(), HttpSettings::default(), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Sent, "1234567")
    );
    assert_eq!(last(&peer).0, "POST /api/webhooks/1/x?wait=true");
    assert_eq!(last(&peer).2["allowed_mentions"], json!({"parse": []}));
    let made = send(discord(), HttpSettings::default(), message()).await;
    assert_eq!(
        made.verdict,
        Verdict::Retry {
            after: Some(Duration::from_millis(1500))
        }
    );
}

#[tokio::test]
async fn matrix_repeats_under_one_transaction() {
    let (server, peer) = peer(&[
        (500, "{}"),
        (200, r#"{"event_id":"$abc"}"#),
        (
            403,
            r#"{"errcode":"M_FORBIDDEN","error":"not in the room"}"#,
        ),
    ])
    .await;
    let matrix = || Service::Matrix {
        url: server.clone(),
        room: "!r:example.org".to_owned(),
    };
    let made = send(matrix(), bearer("syt"), message()).await;
    assert!(matches!(made.verdict, Verdict::Retry { .. }) && made.retry_safe);
    let first = last(&peer).0;
    let made = send(matrix(), bearer("syt"), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Sent, "$abc")
    );
    assert_eq!(first, last(&peer).0);
    assert!(
        first.starts_with("PUT /_matrix/client/v3/rooms/%21r%3Aexample.org/send/m.room.message/"),
        "{first}"
    );
    assert!(
        last(&peer).2["formatted_body"]
            .as_str()
            .unwrap()
            .starts_with("<strong>checkout &lt;slow&gt;")
    );
    assert_eq!(
        send(matrix(), bearer("syt"), message()).await.verdict,
        Verdict::Failed
    );
}

#[tokio::test]
async fn pagerduty_and_opsgenie() {
    let (server, peer) = peer(&[
        (
            202,
            r#"{"status":"success","message":"Event processed","dedup_key":"case-1"}"#,
        ),
        (202, r#"{"status":"success","dedup_key":"case-1"}"#),
        (
            400,
            r#"{"status":"invalid event","errors":["'routing_key' is missing"]}"#,
        ),
        (
            202,
            r#"{"result":"Request will be processed","took":0.3,"requestId":"43a29c5c"}"#,
        ),
        (
            202,
            r#"{"result":"Request will be processed","took":0.3,"requestId":"43a29c5d"}"#,
        ),
    ])
    .await;
    let duty = || Service::PagerDuty {
        url: format!("{server}/v2/enqueue"),
        routing_key: Secret::new("k".repeat(32)),
    };
    let made = send(duty(), HttpSettings::default(), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Accepted, "case-1")
    );
    let (_, _, body) = last(&peer);
    assert_eq!(
        (&body["event_action"], &body["payload"]["severity"]),
        (&json!("trigger"), &json!("critical"))
    );
    assert_eq!(body["routing_key"].as_str().unwrap().len(), 32);
    let over = || Message {
        priority: Priority::Low,
        ..message()
    };
    send(duty(), HttpSettings::default(), over()).await;
    assert_eq!(last(&peer).2["event_action"], "resolve");
    assert_eq!(
        send(duty(), HttpSettings::default(), message())
            .await
            .verdict,
        Verdict::Failed
    );
    let genie = || Service::Opsgenie {
        url: server.clone(),
    };
    let key = HttpSettings {
        headers: vec![("Authorization".to_owned(), Secret::new("GenieKey abc"))],
        ..HttpSettings::default()
    };
    let made = send(genie(), key.clone(), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Accepted, "43a29c5c")
    );
    let (line, headers, body) = last(&peer);
    assert_eq!(
        (line.as_str(), &headers["authorization"]),
        ("POST /v2/alerts", &"GenieKey abc".parse().unwrap())
    );
    assert_eq!(
        (&body["alias"], &body["priority"]),
        (&json!("case-1"), &json!("P1"))
    );
    send(genie(), key, over()).await;
    assert_eq!(
        last(&peer).0,
        "POST /v2/alerts/case-1/close?identifierType=alias"
    );
}

#[tokio::test]
async fn twilio_and_pushover() {
    let (server, peer) = peer(&[
        (201, r#"{"sid":"SM1","status":"queued"}"#),
        (400, r#"{"code":21211,"message":"The 'To' number is not a valid phone number.","status":400}"#),
        (201, r#"{"sid":"CA1","status":"queued"}"#),
        (200, r#"{"status":1,"request":"r1","receipt":"rc1"}"#),
        (400, r#"{"user":"invalid","errors":["user identifier is invalid"],"status":0,"request":"r2"}"#),
    ])
    .await;
    let twilio = || Twilio {
        url: server.clone(),
        account: "AC1".to_owned(),
        from: "+15005550006".to_owned(),
        to: "+4917012345".to_owned(),
        status_callback: Some(Secret::new("https://b.example.org/receipt/x")),
    };
    let basic = || HttpSettings {
        basic: Some(("AC1".to_owned(), Secret::new("t0ken"))),
        ..HttpSettings::default()
    };
    let made = send(Service::TwilioSms(twilio()), basic(), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Queued, "SM1")
    );
    let (line, headers, body) = last(&peer);
    assert_eq!(line, "POST /2010-04-01/Accounts/AC1/Messages.json");
    assert!(
        headers["authorization"]
            .to_str()
            .unwrap()
            .starts_with("Basic ")
    );
    let body = body.as_str().unwrap().to_owned();
    assert!(body.starts_with("To=%2B4917012345&From=%2B15005550006&StatusCallback=https%3A%2F%2Fb.example.org%2Freceipt%2Fx&Body=checkout"), "{body}");
    let made = send(Service::TwilioSms(twilio()), basic(), message()).await;
    assert_eq!(
        (made.verdict, made.error.as_str()),
        (
            Verdict::Failed,
            "HTTP 400: The 'To' number is not a valid phone number. (21211)"
        )
    );
    let made = send(Service::TwilioVoice(twilio()), basic(), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Queued, "CA1")
    );
    let (line, _, body) = last(&peer);
    assert_eq!(line, "POST /2010-04-01/Accounts/AC1/Calls.json");
    assert!(
        body.as_str()
            .unwrap()
            .contains("Press%201%20to%20take%20it")
    );
    let pushover = || Service::Pushover {
        url: format!("{server}/1/messages.json"),
        token: Secret::new("app"),
        user: Secret::new("usr"),
    };
    let made = send(pushover(), HttpSettings::default(), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Sent, "rc1")
    );
    assert!(
        last(&peer)
            .2
            .as_str()
            .unwrap()
            .contains("priority=2&retry=60&expire=1800")
    );
    assert_eq!(
        send(pushover(), HttpSettings::default(), message())
            .await
            .verdict,
        Verdict::Failed
    );
}

#[test]
fn states_of_twilio() {
    for (state, receipt) in [
        ("queued", Receipt::Queued),
        ("accepted", Receipt::Accepted),
        ("sent", Receipt::Sent),
        ("delivered", Receipt::Delivered),
        ("read", Receipt::Read),
        ("undelivered", Receipt::FailedPermanently),
        ("no-answer", Receipt::FailedTemporarily),
        ("in-progress", Receipt::Answered),
        ("a new word", Receipt::Unknown),
    ] {
        assert_eq!(twilio_receipt(state), receipt, "{state}");
    }
}

#[tokio::test]
async fn any_service_by_its_template() {
    let (server, peer) = peer(&[
        (200, r#"{"data":{"id":77,"state":"sent_to_carrier"}}"#),
        (200, r#"{"data":{"id":78,"state":"rejected"}}"#),
        (200, r#"{"data":{"id":79,"state":"wait"}}"#),
        (200, "not json"),
    ])
    .await;
    let service = || {
        Service::Template(Box::new(TemplateCall {
            method: "PUT".to_owned(),
            url: Secret::new(format!("{server}/sms?to=1")),
            headers: vec![
                ("Content-Type".to_owned(), "text/plain".to_owned()),
                ("X-Key".to_owned(), "1".to_owned()),
            ],
            body: "hello".to_owned(),
            receipts: ReceiptMap {
                id: "/data/id".to_owned(),
                status: "/data/state".to_owned(),
                words: BTreeMap::from([
                    ("sent_to_carrier".to_owned(), Receipt::Delivered),
                    ("rejected".to_owned(), Receipt::FailedPermanently),
                    ("wait".to_owned(), Receipt::FailedTemporarily),
                ]),
            },
        }))
    };
    let made = send(service(), HttpSettings::default(), message()).await;
    assert_eq!(
        (made.receipt, made.provider_id.as_str()),
        (Receipt::Delivered, "77")
    );
    let (line, headers, body) = last(&peer);
    assert_eq!(
        (line.as_str(), body, &headers["x-key"]),
        ("PUT /sms?to=1", json!("hello"), &"1".parse().unwrap())
    );
    assert_eq!(
        send(service(), HttpSettings::default(), message())
            .await
            .verdict,
        Verdict::Failed
    );
    assert!(matches!(
        send(service(), HttpSettings::default(), message())
            .await
            .verdict,
        Verdict::Retry { .. }
    ));
    assert_eq!(
        send(service(), HttpSettings::default(), message())
            .await
            .receipt,
        Receipt::Accepted
    );
}
