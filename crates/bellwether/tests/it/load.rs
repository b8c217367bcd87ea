//! `bellwether load` as it is used from a shell.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Process, bellwether, pause, run};
use crate::tiny::Tiny;

fn target() -> Tiny {
    Tiny::start(0, |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    })
}

#[test]
fn a_run_prints_what_was_measured_and_writes_its_files() {
    let target = target();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let ran = run(
        bellwether()
            .args(["load", &format!("http://{}/x", target.address)])
            .args(["--rate", "100", "--duration", "2s", "--json"])
            .args(["--hdr-log", &file("x.hlog"), "--svg", &file("x.svg")])
            .args(["-H", "X-A: b", "--assert", "errors<50%"])
            .args(["--assert", "service.p50>1h"]),
        60,
    );
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    // The second condition cannot hold; a generator that a busy machine made late says so first.
    let code = if report["valid"] == true { 1 } else { 3 };
    assert_eq!(ran.code, Some(code), "{}", ran.err);
    assert_eq!(report["requests"], 200);
    for kind in ["latency", "service"] {
        for name in ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"] {
            assert!(report[kind][name].as_f64().unwrap() > 0.0, "{kind} {name}");
        }
    }
    assert_eq!(report["assertions"][0]["verdict"], "met");
    let log = std::fs::read_to_string(file("x.hlog")).unwrap();
    assert!(log.starts_with("#[Histogram log format version 1.3]"));
    assert!(log.contains("\nTag=latency,0.000,"));
    assert!(
        std::fs::read_to_string(file("x.svg"))
            .unwrap()
            .contains("class=\"cell\"")
    );
}

#[test]
fn what_must_not_be_is_refused() {
    let refused = |args: &[&str]| {
        let ran = run(bellwether().arg("load").args(args), 20);
        assert_eq!(ran.code, Some(64), "{args:?}: {}", ran.err);
        ran.err
    };
    assert!(refused(&["http://192.0.2.1/"]).contains("--i-own-this-target"));
    assert!(refused(&["http://127.0.0.1:1/", "--rate", "1000000"]).contains("--max-rate"));
    assert!(refused(&["http://127.0.0.1:1/", "--duration", "2h"]).contains("--max-duration"));
    assert!(refused(&["ftp://127.0.0.1/"]).contains("http://"));
    assert!(refused(&[]).contains("no target"));
}

#[test]
fn a_generator_that_was_stopped_says_so() {
    let target = target();
    let mut command = bellwether();
    command
        .args(["load", &format!("http://{}/", target.address)])
        .args(["--rate", "200", "--duration", "5s", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = Process::spawn(&mut command);
    // Held still for a second, early in the run.
    pause(Duration::from_secs(2));
    process.signal("STOP");
    pause(Duration::from_secs(1));
    process.signal("CONT");
    let mut out = String::new();
    let mut pipe = process.0.stdout.take().unwrap();
    pipe.read_to_string(&mut out).unwrap();
    let code = process.0.wait().unwrap().code();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["valid"]), (Some(3), &Value::Bool(false)));
    let why = report["invalid"].to_string();
    assert!(why.contains("stood still for"), "{why}");
}
