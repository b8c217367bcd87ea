//! Who may do what, as an attacker on the network and in the browser would try it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{Answer, FORM, JSON, form, send};
use crate::server::{API, Server, cookie_of};
use crate::support::wait_for;

fn nobody(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    send(to, method, path, headers, body.as_bytes())
        .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

fn open_case(server: &Server, title: &str) -> String {
    let opened = server.post("/case-by-hand", &json!({"title": title, "high": true}));
    assert_eq!(opened.status, 200, "{}", opened.text());
    let case = opened.json()["case"].clone();
    case.as_str().map_or_else(
        || case["id"].as_str().expect("an id").to_owned(),
        str::to_owned,
    )
}

fn status_of(server: &Server, case: &str) -> Value {
    server.api(&format!("/cases/{case}"))["case"]["status"].clone()
}

#[test]
fn nobody_reads_over_loopback_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let case = open_case(&server, "a case");
    let to = server.address;
    for path in [
        "/",
        "/metrics",
        "/api/v1/query?query=1",
        &format!("{API}/cases"),
        &format!("{API}/cases/{case}"),
    ] {
        assert_eq!(nobody(to, "GET", path, &[], "").status, 200, "{path}");
    }
    for (path, body) in [
        (format!("{API}/cases/{case}/acknowledge"), "{}"),
        (format!("{API}/cases/{case}/resolve"), "{}"),
        (format!("{API}/case-by-hand"), "{\"title\": \"x\"}"),
        (
            format!("{API}/tokens"),
            "{\"name\": \"x\", \"scopes\": [\"admin\"]}",
        ),
        (format!("{API}/login-links"), ""),
        (format!("{API}/reload"), ""),
        ("/-/reload".to_owned(), ""),
    ] {
        let answer = nobody(to, "POST", &path, &[JSON], body);
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
    }
    assert_eq!(
        nobody(to, "GET", &format!("{API}/tokens"), &[], "").status,
        401
    );
    // A page elsewhere that rebinds its name to loopback, and names that only look like ours.
    for host in [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
    ] {
        let answer = nobody(to, "GET", &format!("{API}/cases"), &[("Host", host)], "");
        assert!(
            [400, 401].contains(&answer.status),
            "{host:?}: {}",
            answer.status
        );
        let page = nobody(to, "GET", "/", &[("Host", host)], "");
        assert!(!page.text().contains("a case"), "{host:?} sees the page");
    }
    // A wrong token is not better than none, and a broken one no fault of ours.
    for value in ["Bearer bw_wrong", "Bearer ", "Basic YTpi", "\u{7f}"] {
        let answer = nobody(
            to,
            "POST",
            &format!("{API}/cases/{case}/resolve"),
            &[("Authorization", value), JSON],
            "{}",
        );
        assert!(
            [400, 401].contains(&answer.status),
            "{value:?}: {}",
            answer.status
        );
    }
    assert_ne!(status_of(&server, &case), "resolved");
    let page = nobody(to, "GET", "/", &[], "");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), value);
    }
    assert!(
        page.header("content-security-policy")
            .contains("default-src"),
        "{:?}",
        page.headers
    );
    server.stop();
}

#[test]
fn a_token_does_what_its_scopes_say() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let case = open_case(&server, "a case");
    let token = |scopes: &[&str]| {
        let issued = server.post("/tokens", &json!({"name": "ci", "scopes": scopes}));
        assert_eq!(issued.status, 200, "{}", issued.text());
        issued.json()["token"].as_str().unwrap().to_owned()
    };
    let with = |token: &str, method: &str, path: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        nobody(
            server.address,
            method,
            &format!("{API}{path}"),
            &[("Authorization", &bearer), JSON],
            body,
        )
        .status
    };
    let comment = format!("/cases/{case}/comment");
    let run = format!("/cases/{case}/run");
    let read = token(&["read"]);
    assert_eq!(with(&read, "GET", "/cases", ""), 200);
    assert_eq!(with(&read, "POST", &comment, "{\"text\": \"x\"}"), 403);
    let respond = token(&["respond"]);
    assert_eq!(with(&respond, "GET", "/cases", ""), 403);
    assert_eq!(with(&respond, "POST", &comment, "{\"text\": \"x\"}"), 200);
    assert_eq!(with(&respond, "POST", &run, "{}"), 403);
    assert_eq!(
        with(
            &respond,
            "POST",
            "/tokens",
            "{\"name\": \"y\", \"scopes\": [\"admin\"]}"
        ),
        403
    );
    let runs = token(&["run"]);
    // Allowed, but there is nothing to run.
    assert_eq!(with(&runs, "POST", &run, "{}"), 404);
    assert_eq!(with(&runs, "POST", &comment, "{\"text\": \"x\"}"), 403);
    let listed = server.get(&format!("{API}/tokens")).text();
    assert!(listed.contains("ci") && !listed.contains(&read));
    // Ended, it is nobody's, also after a restart.
    assert_eq!(
        server
            .request("DELETE", &format!("{API}/tokens/ci"), &[], "")
            .status,
        200
    );
    assert_eq!(with(&respond, "POST", &comment, "{\"text\": \"x\"}"), 401);
    server.kill();
    let server = Server::start(data.path());
    let bearer = format!("Bearer {respond}");
    let answer = nobody(
        server.address,
        "POST",
        &format!("{API}{comment}"),
        &[("Authorization", &bearer), JSON],
        "{\"text\": \"x\"}",
    );
    assert_eq!(answer.status, 401);
    for secret in [&read, &respond] {
        let text = [server.log(), server.get("/api/v1/status/config").text()].concat();
        assert!(!text.contains(secret.as_str()));
        let state = std::fs::read(data.path().join("state.sqlite")).unwrap();
        assert!(
            !state
                .windows(secret.len())
                .any(|window| window == secret.as_bytes()),
            "the token itself is stored"
        );
    }
    server.stop();
}

/// The CSRF token of a session, as its pages carry it.
fn csrf_of(server: &Server, cookie: &str) -> String {
    let page = nobody(server.address, "GET", "/", &[("Cookie", cookie)], "").text();
    let at = page
        .find("csrf")
        .unwrap_or_else(|| panic!("no CSRF token in the page:\n{page}"));
    let rest = &page[at..];
    let rest = &rest[rest
        .find("content=\"")
        .or_else(|| rest.find("value=\""))
        .expect("a value")..];
    rest.split('"').nth(1).expect("quoted").to_owned()
}

#[test]
fn sessions_begin_once_and_need_their_csrf_token() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let to = server.address;
    // The link for the first administrator.
    let log = wait_for("the setup link", 10, || {
        Some(server.log()).filter(|log| log.contains("/setup?ticket="))
    });
    let ticket = log
        .split("/setup?ticket=")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(
        nobody(to, "GET", "/setup?ticket=wrong", &[], "").status,
        401
    );
    assert_eq!(
        nobody(to, "GET", &format!("/setup?ticket={ticket}"), &[], "").status,
        200
    );
    let set_up = |ticket: &str, name: &str, password: &str| {
        nobody(
            to,
            "POST",
            "/setup",
            &[FORM],
            &form(&[("ticket", ticket), ("name", name), ("password", password)]),
        )
    };
    assert_eq!(set_up("wrong", "ana", "correct horse").status, 401);
    assert_eq!(set_up(&ticket, "ana", "short").status, 401);
    let begun = set_up(&ticket, "ana", "correct horse");
    assert!(
        begun
            .header("set-cookie")
            .contains("HttpOnly; SameSite=Strict"),
        "{:?}",
        begun.headers
    );
    let cookie = cookie_of(&begun);
    let again = set_up(&ticket, "bo", "another horse");
    assert_eq!((again.status, again.header("set-cookie")), (401, ""));

    // A change through the session needs the token that only our pages know.
    let case = open_case(&server, "a case");
    let path = format!("{API}/cases/{case}/comment");
    let change = |headers: &[(&str, &str)]| {
        let mut headers = headers.to_vec();
        headers.extend([("Cookie", cookie.as_str()), JSON]);
        nobody(to, "POST", &path, &headers, "{\"text\": \"x\"}").status
    };
    let csrf = csrf_of(&server, &cookie);
    assert_eq!(change(&[]), 403);
    assert_eq!(change(&[("X-CSRF-Token", "")]), 403);
    assert_eq!(change(&[("X-CSRF-Token", "wrong")]), 403);
    assert_eq!(change(&[("X-CSRF-Token", &csrf)]), 200);

    // A link that logs in works once.
    let link = server.post("/login-links", &json!({})).json()["link"]
        .as_str()
        .unwrap()
        .to_owned();
    let path_of_link = format!("/{}", link.splitn(4, '/').nth(3).unwrap());
    let first = nobody(to, "GET", &path_of_link, &[], "");
    assert!(
        cookie_of(&first).starts_with("bellwether_session="),
        "{:?}",
        first.headers
    );
    let second = nobody(to, "GET", &path_of_link, &[], "");
    assert_eq!((second.status, second.header("set-cookie")), (401, ""));
    // It leads nowhere else.
    let link = server.post("/login-links", &json!({})).json()["link"]
        .as_str()
        .unwrap()
        .to_owned();
    let away = format!(
        "/{}&next=https://evil.example/",
        link.splitn(4, '/').nth(3).unwrap()
    );
    let led = nobody(to, "GET", &away, &[], "");
    assert!(
        !led.text().contains("evil.example") && !led.header("location").contains("evil.example")
    );

    // Logging out ends the session, and takes its token too.
    let out = |csrf: &str| {
        nobody(
            to,
            "POST",
            "/logout",
            &[("Cookie", &cookie), FORM],
            &form(&[("csrf", csrf)]),
        )
    };
    out("wrong");
    assert_eq!(
        change(&[("X-CSRF-Token", &csrf)]),
        200,
        "another site logged ana out"
    );
    out(&csrf);
    assert_eq!(change(&[("X-CSRF-Token", &csrf)]), 401);
    rate_limit(&server);
    server.stop();
}

fn rate_limit(server: &Server) {
    let log_in = |name: &str, password: &str| {
        let body = form(&[("name", name), ("password", password)]);
        nobody(server.address, "POST", "/login", &[FORM], &body)
    };
    let good = log_in("ana", "correct horse");
    assert!(
        cookie_of(&good).starts_with("bellwether_session="),
        "{}",
        good.status
    );
    for _ in 0..5 {
        let wrong = log_in("ana", "wrong");
        assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
    }
    let limited = log_in("ana", "correct horse");
    assert_eq!(limited.status, 429, "no limit on wrong passwords");
    assert_eq!(limited.header("set-cookie"), "");
    assert!(
        limited.text().contains("too many attempts"),
        "{}",
        limited.text()
    );
    // Unknown names say no more than known ones.
    let unknown = log_in("zoe", "wrong");
    assert!(unknown.status == 401 && unknown.text().contains("the name or the password is wrong"));
    assert!(!server.log().contains("correct horse"));
}

#[test]
fn behind_a_proxy_loopback_is_a_stranger_and_may_not_flood() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["--external-url", "https://us.example.org"]);
    let ask = || nobody(server.address, "GET", "/api/v1/query?query=1", &[], "");
    assert_eq!(ask().status, 401);
    let limited = (0..2_000)
        .map(|_| ask())
        .find(|answer| answer.status != 401)
        .expect("no limit on strangers");
    assert_eq!(limited.status, 429);
    assert_eq!(limited.header("retry-after"), "1");
    // Whoever is known goes on.
    assert_eq!(server.get("/cases").status, 200);
    server.stop();
}

#[test]
fn an_acknowledging_link_needs_a_tap_and_its_signature() {
    let data = tempfile::tempdir().unwrap();
    let ntfy = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let received = std::sync::Arc::clone(&ntfy);
    let push = crate::tiny::Tiny::start(0, move |request, stream| {
        let text = format!(
            "{:?} {}",
            request.headers,
            String::from_utf8_lossy(&request.body)
        );
        received.lock().unwrap().push(text);
        crate::tiny::reply(stream, 200, "{}")
    });
    let config = format!(
        "host: false\noncall:\n  people:\n    ana:\n      name: Ana\n      ntfy: {{server: 'http://{}', topic: hush-topic}}\n",
        push.address
    );
    let server = Server::with_config(data.path(), &config);
    let case = open_case(&server, "a case");
    let link = wait_for("the push message", 30, || {
        let all = ntfy.lock().unwrap();
        let text = all.iter().find(|text| text.contains("/a/"))?;
        let rest = &text[text.find("/a/")?..];
        Some(
            rest.split(|c: char| !(c.is_ascii_alphanumeric() || "/-_.".contains(c)))
                .next()?
                .to_owned(),
        )
    });
    let to = server.address;
    // Programs that look at links change nothing.
    for method in ["GET", "HEAD"] {
        assert_eq!(nobody(to, method, &link, &[], "").status, 200, "{link}");
    }
    assert_eq!(status_of(&server, &case), "open");
    let (unsigned, signature) = link.rsplit_once('/').unwrap();
    let other: String = signature.chars().rev().collect();
    for forged in [
        format!("{unsigned}/{other}"),
        format!("{unsigned}/{}", &signature[..signature.len() - 2]),
        format!("{unsigned}/00"),
        link.replace("/ana/", "/bo/"),
    ] {
        assert_eq!(
            nobody(to, "POST", &forged, &[FORM], "").status,
            403,
            "{forged}"
        );
        assert_eq!(nobody(to, "GET", &forged, &[], "").status, 403, "{forged}");
    }
    assert_eq!(status_of(&server, &case), "open");
    // The link is its own proof: it works without a session, also from a foreign host name.
    assert_eq!(nobody(to, "POST", &link, &[FORM], "").status, 200);
    let view = server.api(&format!("/cases/{case}"));
    assert_eq!(view["case"]["status"], "acknowledged");
    assert_eq!(view["case"]["acknowledged_by"], "user:ana");
    server.stop();
}

#[test]
fn odd_paths_and_huge_bodies_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let to = server.address;
    let mut places = Vec::new();
    for base in ["/assets", "/static", "", "/runbooks"] {
        for trick in [
            "/../../../../../etc/passwd",
            "/..%2f..%2f..%2f..%2fetc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/....//etc/passwd",
            "/%00",
        ] {
            places.push(format!("{base}{trick}"));
        }
    }
    places.push("/../admin.token".to_owned());
    for path in &places {
        let answer = nobody(to, "GET", path, &[], "");
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        assert!(
            !answer.text().contains("root:") && !answer.text().contains(&server.token),
            "{path}"
        );
    }
    let bearer = format!("Bearer {}", server.token);
    let huge = format!("{{\"title\": \"{}\"}}", "x".repeat(6 << 20));
    for (path, kind) in [
        (format!("{API}/case-by-hand"), JSON),
        ("/api/v1/query".to_owned(), FORM),
        ("/login".to_owned(), FORM),
    ] {
        let answer = nobody(
            to,
            "POST",
            &path,
            &[("Authorization", &bearer), kind],
            &huge,
        );
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
    let long = format!("/api/v1/query?query={}", "1%2B".repeat(200_000));
    if let Ok(answer) = send(to, "GET", &long, &[], b"") {
        assert!(
            (400..500).contains(&answer.status),
            "a long address: {}",
            answer.status
        );
    }
    assert_eq!(server.get("/-/healthy").status, 200);
    server.stop();
}

#[test]
fn secrets_of_the_configuration_stay_there() {
    let data = tempfile::tempdir().unwrap();
    let config = "\
global:
  smtp_smarthost: '127.0.0.1:1'
  smtp_from: us@example.org
  smtp_auth_username: us
  smtp_auth_password: hush-mail
scrape_configs:
  - job_name: basic
    basic_auth: {username: u, password: hush-flow}
    static_configs: [{targets: ['127.0.0.1:1']}]
  - job_name: bearer
    authorization:
      credentials: hush-bearer
    static_configs: [{targets: ['127.0.0.1:1']}]
  - job_name: folded
    basic_auth:
      username: u
      password: >-
        hush-folded
    static_configs: [{targets: ['127.0.0.1:1']}]
  - job_name: quoted
    basic_auth:
      username: u
      \"password\": 'hush-quoted'
    static_configs: [{targets: ['127.0.0.1:1']}]
route: {receiver: hooks}
receivers:
  - name: hooks
    webhook_configs:
      - url: http://us:hush-url@127.0.0.1:1/hush-path
";
    let server = Server::with_config(data.path(), config);
    open_case(&server, "a case");
    wait_for("scrapes that fail", 60, || {
        server
            .value("count(up{job=~\"basic|bearer\"} == 0)")
            .filter(|n| *n == 2.0)
    });
    let mut seen = Vec::new();
    for path in [
        "/api/v1/status/config",
        "/api/v1/targets",
        "/api/v1/status/flags",
        "/metrics",
        "/",
        "/targets",
        "/status",
        "/rules",
        "/oncall",
        &format!("{API}/status"),
        &format!("{API}/cases"),
        &format!("{API}/alerts"),
    ] {
        seen.push((path.to_owned(), server.get(path).text()));
    }
    // An error beside a secret does not quote it either.
    std::fs::write(
        data.path().join("bellwether.yml"),
        config
            .replace("  smtp_from", "  smtp_form")
            .replace("basic_auth: {username", "basic_aut: {username"),
    )
    .unwrap();
    seen.push((
        "a failed reload".to_owned(),
        server.request("POST", "/-/reload", &[], "").text(),
    ));
    seen.push(("the log".to_owned(), server.log()));
    assert!(
        seen.iter()
            .any(|(place, text)| place.ends_with("config") && text.contains("<secret>"))
    );
    let mut leaks = Vec::new();
    for (place, text) in &seen {
        for secret in ["mail", "flow", "bearer", "folded", "quoted", "url", "path"] {
            if text.contains(&format!("hush-{secret}")) {
                leaks.push(format!("hush-{secret} in {place}"));
            }
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
    server.stop();
}
