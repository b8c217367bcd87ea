//! The demo runs to its end, and notices when it does not.

use crate::support::{bellwether, run, wait_for};

fn demo(args: &[&str]) -> crate::support::Ran {
    let data = tempfile::tempdir().unwrap();
    let mut command = bellwether();
    command
        .args(["demo", "--ci", "--warmup", "10s", "--data"])
        .arg(data.path())
        .args(args);
    run(&mut command, 300)
}

#[test]
fn a_slow_replica_becomes_a_page_a_fix_and_a_resolved_case() {
    let ran = demo(&[]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    // In this order: the page has what the diagnosis saw, and nothing runs before the tap. Whether the alert or the
    // runbook sees first that users are well again is open.
    let moments: Vec<usize> = [
        "opened a case",
        "diagnosis ran",
        "page went out",
        "tap: run the fix",
        "check holds",
        "case is resolved",
    ]
    .iter()
    .map(|stage| {
        ran.out
            .find(stage)
            .unwrap_or_else(|| panic!("no {stage:?} in:\n{}", ran.out))
    })
    .collect();
    let (before, after) = moments.split_at(4);
    assert!(before.is_sorted(), "{moments:?}\n{}", ran.out);
    assert!(
        after.iter().all(|moment| moment > &before[3]),
        "{moments:?}\n{}",
        ran.out
    );
    assert!(ran.out.contains("all 7 stages happened"));
}

#[test]
fn by_itself_when_it_may() {
    let ran = demo(&["--auto"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    assert!(!ran.out.contains("tap: run the fix"), "{}", ran.out);
    assert!(ran.out.contains("all 7 stages happened"));
}

#[test]
fn a_loop_that_breaks_is_a_failure() {
    let data = tempfile::tempdir().unwrap();
    let mut command = bellwether();
    command
        .args(["demo", "--ci", "--warmup", "2s", "--data"])
        .arg(data.path());
    let demo = std::thread::spawn(move || run(&mut command, 60));
    let pid = wait_for("the demo's server", 60, || {
        let about = std::fs::read(data.path().join("server.json")).ok()?;
        serde_json::from_slice::<serde_json::Value>(&about).ok()?["pid"].as_u64()
    });
    let killed = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("kill -KILL {pid}"))
        .status()
        .unwrap();
    assert!(killed.success());
    let ran = demo.join().unwrap();
    assert_eq!(ran.code, Some(1), "{}\n{}", ran.out, ran.err);
    assert!(ran.err.contains("error: the demo stopped"), "{}", ran.err);
    assert!(!ran.out.contains("stages happened"), "{}", ran.out);
}
