//! Channels against servers on loopback that speak the protocol: HTTP by axum, SMTP by a sink of our own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use bellwether_connect::desktop::Desktop;
use bellwether_connect::email::{Email, EmailTarget, SmtpTls};
use bellwether_connect::http::{HttpCall, HttpClient, HttpError, HttpSettings, MAX_ANSWER};
use bellwether_connect::ntfy::{Ntfy, NtfyTarget};
use bellwether_connect::terminal::Terminal;
use bellwether_connect::webhook::{Webhook, WebhookTarget};
use bellwether_connect::{Action, Attempt, Blame, Channel, Message, Outcome, Priority, Verdict};
use bellwether_model::state::Receipt;
use bellwether_model::{DeliveryId, Secret};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// What a request looked like: path, headers, body.
type Seen = Arc<Mutex<Vec<(String, HeaderMap, Vec<u8>)>>>;

/// A server that answers by path: `/status/503`, `/slow`, `/endless`, `/away`, `/here`, `/ntfy`, everything else 200.
async fn http_server() -> (String, Seen) {
    let seen = Seen::default();
    let app = axum::Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&seen));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

async fn answer(
    State(seen): State<Seen>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().to_owned();
    seen.lock()
        .unwrap()
        .push((path.clone(), headers.clone(), body.to_vec()));
    let response = Response::builder();
    if let Some(status) = path.strip_prefix("/status/") {
        return response
            .status(status.parse::<u16>().unwrap())
            .header("Retry-After", "7")
            .body("because \u{1b}[1m reasons".into())
            .unwrap();
    }
    match path.as_str() {
        "/slow" => {
            tokio::time::sleep(Duration::from_mins(10)).await;
            response.body("late".into()).unwrap()
        }
        "/endless" => {
            let endless = stream::repeat_with(|| Ok::<_, Infallible>(vec![b'x'; 8192]));
            response.body(Body::from_stream(endless)).unwrap()
        }
        "/away" => response
            .status(307)
            .header("Location", "http://localhost:1/taken")
            .body(Body::empty())
            .unwrap(),
        "/here" => response
            .status(307)
            .header("Location", "/taken")
            .body(Body::empty())
            .unwrap(),
        "/" => response
            .body(json!({ "id": "ntfy-1" }).to_string().into())
            .unwrap(),
        _ => response.body("ok".into()).unwrap(),
    }
}

fn attempt(message: Message) -> Attempt {
    Attempt {
        id: DeliveryId::from_raw(1),
        key: "case-1/1/ana".to_owned(),
        attempt: 1,
        thread: "case-0000000000001".to_owned(),
        now: "2026-11-21T22:33:44Z".parse().unwrap(),
        timeout: Duration::from_secs(30),
        message,
    }
}

async fn hook(url: &str, timeout: Duration) -> Outcome {
    let target = WebhookTarget {
        url: Secret::new(url),
        http: HttpSettings::default(),
    };
    let attempt = Attempt {
        timeout,
        ..attempt(Message {
            body: json!({ "version": "4" }),
            ..Message::default()
        })
    };
    Webhook::new(target).unwrap().deliver(attempt).await
}

#[tokio::test]
async fn a_webhook_carries_body_key_and_credentials() {
    let (server, seen) = http_server().await;
    let target = WebhookTarget {
        url: Secret::new(format!("{server}/hook?token=abc")),
        http: HttpSettings {
            bearer: Some(Secret::new("b3arer")),
            headers: vec![("X-Extra".to_owned(), Secret::new("extra"))],
            ..HttpSettings::default()
        },
    };
    assert!(!format!("{target:?}").contains("abc"));
    let body = json!({ "version": "4", "alerts": [] });
    let message = Message {
        body: body.clone(),
        ..Message::default()
    };
    let channel = Webhook::new(target).unwrap();
    assert!(!format!("{channel:?}").contains("b3arer"));
    let outcome = channel.deliver(attempt(message)).await;
    assert_eq!(outcome, Outcome::done(Receipt::Accepted, ""));
    let seen = seen.lock().unwrap();
    let (path, headers, sent) = &seen[0];
    assert_eq!(path, "/hook");
    assert_eq!(headers["idempotency-key"], "case-1/1/ana");
    assert_eq!(headers["authorization"], "Bearer b3arer");
    assert_eq!(headers["x-extra"], "extra");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(serde_json::from_slice::<Value>(sent).unwrap(), body);
}

#[tokio::test]
async fn statuses_say_whether_to_repeat() {
    let (server, _) = http_server().await;
    let long = Duration::from_secs(30);
    for (status, retries, safe) in [
        (204, false, false),
        (400, false, true),
        (401, false, true),
        (404, false, true),
        (410, false, true),
        (408, true, true),
        (429, true, true),
        (500, true, false),
        (502, true, false),
        (503, true, true),
    ] {
        let outcome = hook(&format!("{server}/status/{status}"), long).await;
        let expected = match (status, retries) {
            (204, _) => Verdict::Done,
            (_, true) => Verdict::Retry {
                after: Some(Duration::from_secs(7)),
            },
            (_, false) => Verdict::Failed,
        };
        assert_eq!(outcome.verdict, expected, "{status}");
        assert_eq!(outcome.retry_safe, safe, "{status}");
        if status != 204 {
            assert_eq!(
                outcome.error,
                format!("HTTP {status}: because  [1m reasons")
            );
            let blame = if retries {
                Blame::Peer
            } else {
                Blame::Operator
            };
            assert_eq!(outcome.blame, blame, "{status}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_tried_again_and_errors_hide_the_address() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let outcome = hook(&format!("http://{closed}/s3cret"), Duration::from_secs(30)).await;
    assert_eq!(outcome.verdict, Verdict::Retry { after: None });
    assert!(outcome.retry_safe && outcome.error.starts_with("cannot connect"));
    assert!(!outcome.error.contains("s3cret"), "{}", outcome.error);
    let (server, _) = http_server().await;
    let outcome = hook(&format!("{server}/slow"), Duration::from_millis(50)).await;
    assert_eq!(outcome.verdict, Verdict::Retry { after: None });
    assert!(!outcome.retry_safe, "it may have been taken");
    assert_eq!(outcome.error, "no answer within 0.05s");
    for bad in ["", "file:///etc/passwd", "http://", "not an address s3cret"] {
        let outcome = hook(bad, Duration::from_secs(30)).await;
        assert_eq!(outcome.verdict, Verdict::Failed, "{bad}");
        assert!(!outcome.error.contains("s3cret"));
    }
}

#[tokio::test]
async fn redirects_stay_on_the_host() {
    let (server, seen) = http_server().await;
    let away = hook(&format!("{server}/away"), Duration::from_secs(30)).await;
    assert_eq!(away.verdict, Verdict::Failed);
    assert!(away.error.contains("same host"), "{}", away.error);
    let here = hook(&format!("{server}/here"), Duration::from_secs(30)).await;
    assert_eq!(here.verdict, Verdict::Done);
    let seen = seen.lock().unwrap();
    let paths: Vec<&str> = seen.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/away", "/here", "/taken"]);
    assert_eq!(seen[2].2, br#"{"version":"4"}"#);
    assert_eq!(seen[2].1["idempotency-key"], "case-1/1/ana");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (server, _) = http_server().await;
    let client = HttpClient::new(HttpSettings::default()).unwrap();
    let call = HttpCall {
        method: "GET".to_owned(),
        url: Secret::new(format!("{server}/endless")),
        headers: vec![],
        body: vec![],
        idempotency_key: String::new(),
        timeout: Duration::from_secs(30),
    };
    let answer = client.call(call.clone()).await.unwrap();
    assert_eq!((answer.status, answer.truncated), (200, true));
    assert_eq!(answer.body.len(), MAX_ANSWER);
    let bad = HttpCall {
        method: "NOT A METHOD".to_owned(),
        ..call
    };
    let refused = client.call(bad).await.unwrap_err();
    assert!(matches!(refused, HttpError::BadRequest { .. }) && refused.surely_not_sent());
}

#[tokio::test]
async fn ntfy_gets_title_priority_buttons_and_gives_its_id() {
    let (server, seen) = http_server().await;
    let channel = Ntfy::new(NtfyTarget {
        server,
        topic: Secret::new("ops-7f3a"),
        http: HttpSettings::default(),
    })
    .unwrap();
    let message = Message {
        title: "Disk full".to_owned(),
        text: "ü".repeat(4000),
        priority: Priority::High,
        tags: vec!["critical".to_owned()],
        link: Some("https://pager.example/cases/1".to_owned()),
        actions: vec![Action {
            label: "Acknowledge".to_owned(),
            url: Secret::new("https://pager.example/ack/token"),
        }],
        ..Message::default()
    };
    assert!(!format!("{message:?}").contains("token"));
    let outcome = channel.deliver(attempt(message)).await;
    assert_eq!(outcome, Outcome::done(Receipt::Sent, "ntfy-1"));
    let seen = seen.lock().unwrap();
    let mut body: Value = serde_json::from_slice(&seen[0].2).unwrap();
    assert_eq!(body["message"].as_str().unwrap().len(), 3500);
    body["message"] = json!("");
    assert_eq!(
        body,
        json!({
            "topic": "ops-7f3a",
            "title": "Disk full",
            "message": "",
            "priority": 5,
            "tags": ["critical"],
            "click": "https://pager.example/cases/1",
            "actions": [{
                "action": "http",
                "label": "Acknowledge",
                "url": "https://pager.example/ack/token",
                "method": "POST",
                "clear": true,
            }],
        })
    );
}

#[tokio::test]
async fn the_terminal_takes_a_page_and_never_blocks() {
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let message = || Message {
        title: "Disk full".to_owned(),
        ..Message::default()
    };
    let written = Arc::new(Mutex::new(Vec::new()));
    // Held: the terminal is stopped.
    let stopped = written.lock().unwrap();
    let terminal = Terminal::new(Box::new(Shared(Arc::clone(&written))));
    let mut outcomes = Vec::new();
    for _ in 0..100 {
        // Ready at once, so the lock is not held over a wait.
        let mut delivery = terminal.deliver(attempt(message()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(outcome) = delivery.as_mut().poll(&mut context) else {
            panic!("it waits");
        };
        outcomes.push(outcome);
    }
    drop(stopped);
    assert_eq!(outcomes[0].verdict, Verdict::Done);
    let last = outcomes.last().unwrap();
    assert_eq!(last.verdict, Verdict::Retry { after: None });
    assert!(last.retry_safe);
}

#[tokio::test]
async fn the_desktop_is_told_by_notify_send_or_says_why_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let missing = Desktop::with_program("/no/such/notify-send");
    let outcome = missing.deliver(attempt(Message::default())).await;
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(outcome.error.contains("not installed"), "{}", outcome.error);

    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("notify-send");
    let log = folder.path().join("log");
    let script = format!("#!/bin/sh\nprintf '%s|' \"$@\" > {}\n", log.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let desktop = Desktop::with_program(program.to_str().unwrap());
    let message = Message {
        title: "--help".to_owned(),
        text: "db-1".to_owned(),
        priority: Priority::High,
        ..Message::default()
    };
    let outcome = desktop.deliver(attempt(message)).await;
    assert_eq!(outcome.verdict, Verdict::Done, "{outcome:?}");
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "--app-name=Bellwether|--urgency|critical|--|--help|db-1|"
    );
}

// === e-mail ===

/// A mail server for one conversation. `fail_at` is answered with `reply` instead. Gives what the client said.
async fn smtp_sink(
    fail_at: &'static str,
    reply: &'static str,
) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let conversation = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut said = Vec::new();
        write.write_all(b"220 sink ESMTP\r\n").await.unwrap();
        let mut in_data = false;
        while let Ok(Some(line)) = lines.next_line().await {
            said.push(line.clone());
            let verb = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
            let answer = if in_data {
                if line != "." {
                    continue;
                }
                in_data = false;
                "250 2.0.0 queued as 4F2A\r\n"
            } else if !fail_at.is_empty() && verb == fail_at {
                reply
            } else {
                match verb.as_str() {
                    "EHLO" => {
                        "250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN\r\n"
                    }
                    "AUTH" => "235 2.7.0 ok\r\n",
                    "DATA" => {
                        in_data = true;
                        "354 go on\r\n"
                    }
                    "QUIT" => {
                        drop(write.write_all(b"221 bye\r\n").await);
                        break;
                    }
                    _ => "250 ok\r\n",
                }
            };
            if write.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
        said
    });
    (port, conversation)
}

fn target(port: u16) -> EmailTarget {
    EmailTarget {
        host: "127.0.0.1".to_owned(),
        port,
        tls: SmtpTls::None,
        hello: "pager.example".to_owned(),
        from: "Bellwether <pager@example.org>".to_owned(),
        to: "ana@example.org, Bo <bo@example.org>".to_owned(),
        ..EmailTarget::default()
    }
}

fn mail() -> Attempt {
    attempt(Message {
        title: "[FIRING] Disk full\r\nBcc: eve@example.org".to_owned(),
        text: "db-1 has 0 % left".to_owned(),
        html: Some("<p>db-1 has <b>0 %</b> left</p>".to_owned()),
        priority: Priority::High,
        link: Some("https://pager.example/cases/1".to_owned()),
        headers: vec![("X-Team".to_owned(), "ops".to_owned())],
        ..Message::default()
    })
}

#[tokio::test]
async fn a_mail_is_threaded_and_has_both_forms() {
    let (port, conversation) = smtp_sink("", "").await;
    let target = EmailTarget {
        user: "pager".to_owned(),
        password: Secret::new("p4ssword"),
        ..target(port)
    };
    assert!(!format!("{target:?}").contains("p4ssword"));
    let email = Email::new(target).unwrap();
    assert!(!format!("{email:?}").contains("p4ssword"));
    let outcome = email.deliver(mail()).await;
    assert_eq!(outcome.verdict, Verdict::Done, "{outcome:?}");
    assert_eq!(outcome.receipt, Receipt::Accepted);
    assert!(outcome.provider_id.contains("4F2A"), "{outcome:?}");
    let said = conversation.await.unwrap();
    for line in [
        "EHLO pager.example",
        "RCPT TO:<ana@example.org>",
        "RCPT TO:<bo@example.org>",
        "Message-ID: <dlv-0000000000001@example.org>",
        "References: <case-0000000000001@example.org>",
        "In-Reply-To: <case-0000000000001@example.org>",
        "Subject: [FIRING] Disk full  Bcc: eve@example.org",
        "Auto-Submitted: auto-generated",
        "X-Priority: 1",
        "X-Team: ops",
        "Date: Sat, 21 Nov 2026 22:33:44 +0000",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
        "db-1 has 0 % left",
        "https://pager.example/cases/1",
        "<p>db-1 has <b>0 %</b> left</p>",
    ] {
        assert!(said.iter().any(|l| l == line), "{line} is not in {said:#?}");
    }
    assert!(said.iter().any(|line| line.starts_with("AUTH PLAIN ")));
    assert!(!said.iter().any(|line| line.starts_with("Bcc:")));
    let mails = said
        .iter()
        .filter(|l| l.starts_with("MAIL FROM:<pager@example.org>"));
    assert_eq!(mails.count(), 1);
}

#[tokio::test]
async fn headers_of_the_configuration_replace_ours_but_not_the_recipients() {
    let (port, conversation) = smtp_sink("", "").await;
    let mut attempt = mail();
    attempt.thread = "{}/{team=\"ops\"}:{alertname=\"DiskFull\"}".to_owned();
    attempt.message.headers = vec![
        ("Subject".to_owned(), "own words".to_owned()),
        ("To".to_owned(), "the people of ops".to_owned()),
    ];
    let outcome = Email::new(target(port)).unwrap().deliver(attempt).await;
    assert_eq!(outcome.verdict, Verdict::Done, "{outcome:?}");
    let said = conversation.await.unwrap();
    let has = |wanted: &str| said.iter().any(|line| line == wanted);
    assert!(
        has("Subject: own words") && has("To: the people of ops"),
        "{said:#?}"
    );
    assert!(has("RCPT TO:<ana@example.org>") && has("RCPT TO:<bo@example.org>"));
    let thread = said
        .iter()
        .find(|line| line.starts_with("References: <thread-"));
    assert_eq!(
        thread.map(String::len),
        Some("References: <thread-@example.org>".len() + 32)
    );
}

#[tokio::test]
async fn mail_servers_that_refuse_are_believed() {
    for (at, reply, verdict, safe) in [
        ("RCPT", "550 5.1.1 no such user\r\n", Verdict::Failed, true),
        (
            "RCPT",
            "450 4.2.0 greylisted\r\n",
            Verdict::Retry { after: None },
            true,
        ),
        (
            "MAIL",
            "421 4.3.2 shutting down\r\n",
            Verdict::Retry { after: None },
            true,
        ),
        (
            "AUTH",
            "535 5.7.8 wrong password\r\n",
            Verdict::Failed,
            true,
        ),
    ] {
        let (port, conversation) = smtp_sink(at, reply).await;
        let target = EmailTarget {
            user: "pager".to_owned(),
            password: Secret::new("p4ssword"),
            ..target(port)
        };
        let outcome = Email::new(target).unwrap().deliver(mail()).await;
        assert_eq!(
            (outcome.verdict, outcome.retry_safe),
            (verdict, safe),
            "{outcome:?}"
        );
        assert!(!outcome.error.is_empty() && !outcome.error.contains("p4ssword"));
        conversation.await.unwrap();
    }
}

#[tokio::test]
async fn mail_is_not_sent_in_clear_when_tls_is_wanted() {
    let (port, conversation) = smtp_sink("", "").await;
    let wanted = EmailTarget {
        tls: SmtpTls::StartTls,
        ..target(port)
    };
    let outcome = Email::new(wanted).unwrap().deliver(mail()).await;
    assert_ne!(outcome.verdict, Verdict::Done);
    let said = conversation.await.unwrap();
    assert!(
        !said.iter().any(|line| line.starts_with("MAIL")),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_silent_or_missing_mail_server_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = Email::new(target(port)).unwrap();
    let attempt = Attempt {
        timeout: Duration::from_millis(100),
        ..mail()
    };
    let outcome = silent.deliver(attempt).await;
    assert_eq!(outcome.verdict, Verdict::Retry { after: None });
    assert!(!outcome.retry_safe);
    drop(listener);
    let outcome = Email::new(target(port)).unwrap().deliver(mail()).await;
    assert_eq!(outcome.verdict, Verdict::Retry { after: None });
    for to in ["", "not an address", "a@b, ,"] {
        let bad = EmailTarget {
            to: to.to_owned(),
            ..target(port)
        };
        assert!(Email::new(bad).is_err(), "{to:?}");
    }
}
