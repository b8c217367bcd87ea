//! Our API against its own document: each endpoint is in it, answers as it says, and refuses in problem+json.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http::{Answer, JSON, send};
use crate::server::{API, Server};

/// Path, method and operation of each endpoint in the document.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            all.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    all
}

#[track_caller]
fn is_problem(answer: &Answer, what: &str) {
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{what}: {}",
        answer.text()
    );
    let body = answer.json();
    assert_eq!(body["status"], answer.status, "{what}");
    for key in ["type", "title", "detail"] {
        assert!(
            body[key].as_str().is_some_and(|text| !text.is_empty()),
            "{what}: no {key} in {body}"
        );
    }
}

/// A parameter's value that exists.
fn fill(path: &str, case: &str, run: &str) -> String {
    path.replace("{case}", case)
        .replace("{run}", run)
        .replace("{schedule}", "primary")
        .replace("{id}", "none")
        .replace("{name}", "none")
}

fn config() -> String {
    "host: false\nfind_services: false\noncall:\n  people:\n    ana: {name: Ana}\n  schedules:\n    primary:\n      \
     layers:\n        - members: [ana]\n          start: 2026-01-01\n          turn: 1w\n"
        .to_owned()
}

fn start(data: &std::path::Path) -> Server {
    let file = data.join("bellwether.yml");
    std::fs::write(&file, config()).unwrap();
    Server::start(data)
}

#[test]
fn the_document_and_the_server_agree() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    let document = server.api("/openapi.json");
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let listed: BTreeSet<(String, String)> = operations(&document)
        .into_iter()
        .map(|(path, method, _)| (path, method))
        .collect();
    let built: BTreeSet<(String, String)> = bellwether::http::api::endpoints()
        .into_iter()
        .map(|endpoint| {
            (
                format!("{API}{}", endpoint.path),
                endpoint.method.to_owned(),
            )
        })
        .collect();
    assert_eq!(listed, built);
    let opened = server.post("/case-by-hand", &json!({"title": "a case"}));
    assert_eq!(opened.status, 200, "{}", opened.text());
    let case = server.api("/cases")[0]["id"].as_str().unwrap().to_owned();
    let nowhere = "00000000000000000000000000";
    let limited = server.post(
        "/tokens",
        &json!({"name": "respond-only", "scopes": ["respond"]}),
    );
    let limited = format!("Bearer {}", limited.json()["token"].as_str().unwrap());
    for (path, method, operation) in operations(&document) {
        let what = format!("{method} {path}");
        let place = fill(&path, &case, nowhere);
        if method == "GET" {
            let answer = server.get(&place);
            if path.contains("{run}") || path.ends_with("/plan") {
                // There is no such run, and the case has no runbook.
                assert_eq!(answer.status, 404, "{what}: {}", answer.text());
                is_problem(&answer, &what);
            } else {
                assert_eq!(answer.status, 200, "{what}: {}", answer.text());
                assert_eq!(answer.header("content-type"), "application/json", "{what}");
                fits(
                    &answer.json(),
                    &operation["responses"]["200"]["content"]["application/json"]["schema"],
                    &what,
                );
            }
        }
        // Without rights: nobody for whatever is not reading; a token of another scope for all.
        let scope = operation["description"].as_str().unwrap().to_owned();
        if scope != "Scope: read." {
            let answer = send(server.address, &method, &place, &[JSON], b"{}").unwrap();
            assert_eq!(answer.status, 401, "{what}: {}", answer.text());
            is_problem(&answer, &what);
        }
        if scope != "Scope: respond." {
            let answer = send(
                server.address,
                &method,
                &place,
                &[JSON, ("Authorization", &limited)],
                b"{}",
            )
            .unwrap();
            assert_eq!(answer.status, 403, "{what}: {}", answer.text());
            is_problem(&answer, &what);
        }
        // From a foreign host name nobody is anybody.
        let answer = send(
            server.address,
            &method,
            &place,
            &[JSON, ("Host", "evil.example")],
            b"{}",
        )
        .unwrap();
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    }
    server.stop();
}

/// Whether an answer has the type that the schema says, and its required keys.
fn fits(value: &Value, schema: &Value, what: &str) {
    match schema["type"].as_str() {
        Some("array") => assert!(value.is_array(), "{what}: {value}"),
        Some("object") => assert!(value.is_object(), "{what}: {value}"),
        _ => {}
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        assert!(
            value.get(key.as_str().unwrap()).is_some(),
            "{what}: no {key} in {value}"
        );
    }
}

#[test]
fn bad_requests_are_the_callers_fault_and_said_so() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.post("/case-by-hand", &json!({"title": "a case"}));
    let case = server.api("/cases")[0]["id"].as_str().unwrap().to_owned();
    let document = server.api("/openapi.json");
    let mut wrong = Vec::new();
    let mut check = |answer: &Answer, what: String, must_fail: bool| {
        let refused = (400..500).contains(&answer.status);
        let problem = answer.header("content-type") == "application/problem+json";
        if answer.status >= 500 || (refused && !problem) || (must_fail && !refused) {
            wrong.push(format!(
                "{what}: {} {} {}",
                answer.status,
                answer.header("content-type"),
                answer.text()
            ));
        }
    };
    let bodies = [
        ("no JSON", "{"),
        ("another type", "\"x\""),
        ("a list", "[1]"),
        (
            "wrong types",
            r#"{"title": 1, "text": 1, "name": 1, "seconds": "x", "as_of": "x", "as_of_step": "x", "digest": 1, "part": 1, "count": "x", "step": 1, "schedule": 1}"#,
        ),
        ("nothing", ""),
        ("not UTF-8", "\u{fffd}"),
        ("deep", &"[".repeat(10_000)),
        (
            "out of range",
            r#"{"title": "", "text": "", "seconds": -1, "as_of": -1, "count": -1, "name": "", "scopes": []}"#,
        ),
    ];
    for (path, method, operation) in operations(&document) {
        if method != "POST" {
            continue;
        }
        let place = fill(&path, &case, "00000000000000000000000000");
        let takes = operation.get("requestBody").is_some();
        // These take no body at all, and do not look at it.
        let ignores = path.ends_with("/unacknowledge") || path.ends_with("/undo");
        for (name, body) in bodies {
            // A change that needs nothing may come with nothing.
            let must_fail =
                takes && ["no JSON", "another type", "wrong types", "deep"].contains(&name);
            check(
                &server.request("POST", &place, &[JSON], body),
                format!("POST {path} with {name}"),
                must_fail && !ignores,
            );
        }
        // Each required key left out.
        for key in operation["requestBody"]["content"]["application/json"]["schema"]["required"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let answer = server.request("POST", &place, &[JSON], "{}");
            check(&answer, format!("POST {path} without {key}"), true);
        }
        check(
            &server.request("POST", &place, &[("Content-Type", "text/plain")], "x"),
            format!("POST {path} as text"),
            takes && !ignores,
        );
    }
    for (method, path) in [
        ("GET", "/cases/none"),
        ("GET", "/cases/%00"),
        ("GET", "/cases/none/why"),
        ("GET", "/runs/none"),
        ("GET", "/nothing"),
        ("POST", "/cases/none/acknowledge"),
        ("POST", "/runs/none/approve"),
        ("DELETE", "/cases"),
        ("PUT", "/status"),
        ("DELETE", "/overrides/none"),
        ("DELETE", "/tokens/none"),
        ("GET", "/oncall/none/shifts"),
        ("GET", "/oncall/primary/shifts?from=yesterday"),
        (
            "GET",
            "/oncall/primary/shifts?from=2026-01-01T00:00:00Z&to=2036-01-01T00:00:00Z",
        ),
    ] {
        check(
            &server.request(method, &format!("{API}{path}"), &[JSON], ""),
            format!("{method} {path}"),
            true,
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        !server.log().contains("ended by a fault of ours") && !server.log().contains("panicked"),
        "{}",
        server.log()
    );
    server.stop();
}
