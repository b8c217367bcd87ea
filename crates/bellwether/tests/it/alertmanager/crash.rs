//! `kill -9` while alerts and silences come in over HTTP: what was answered 2xx is there, what is silenced stays
//! silent, and nobody is told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::Daemon;
use crate::http::{JSON, send};
use crate::support::{bellwether, free_port, pause, wait_until};
use crate::tiny::{Tiny, reply};

/// Idempotency keys by group, of the notifications that were answered 200.
type Told = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

fn receiver(failing: Arc<AtomicBool>) -> (Tiny, Told) {
    let told = Told::default();
    let kept = Arc::clone(&told);
    let tiny = Tiny::start(0, move |request, stream| {
        if failing.load(Ordering::Relaxed) {
            return reply(stream, 500, "");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let name = body["groupLabels"]["alertname"]
            .as_str()
            .unwrap_or_default();
        let key = request.header("idempotency-key").to_owned();
        let mut kept = kept.lock().unwrap();
        kept.entry(name.to_owned()).or_default().insert(key);
        drop(kept);
        reply(stream, 200, "")
    });
    (tiny, told)
}

#[derive(Default)]
struct Accepted {
    alerts: BTreeSet<String>,
    silences: BTreeMap<String, String>,
}

/// Posts until the server is gone.
fn feed(address: std::net::SocketAddr, round: u32, stop: &AtomicBool) -> Accepted {
    let mut accepted = Accepted::default();
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("R{round}N{number}");
        let silenced = number % 3 == 0;
        if silenced {
            let silence = json!({
                "matchers": [{"name": "alertname", "value": name, "isRegex": false}],
                "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
                "createdBy": "crash", "comment": "",
            });
            let body = silence.to_string();
            let Ok(answer) = send(
                address,
                "POST",
                "/api/v2/silences",
                &[JSON],
                body.as_bytes(),
            ) else {
                break;
            };
            assert_eq!(answer.status, 200, "{}", answer.text());
            let id = answer.json()["silenceID"].as_str().unwrap().to_owned();
            accepted.silences.insert(name.clone(), id);
        }
        let alerts = json!([{"labels": {"alertname": name}, "endsAt": "2099-01-01T00:00:00Z"}]);
        let body = alerts.to_string();
        let Ok(answer) = send(address, "POST", "/api/v2/alerts", &[JSON], body.as_bytes()) else {
            break;
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        accepted.alerts.insert(name);
        pause(Duration::from_millis(2));
    }
    accepted
}

fn crash(rounds: u32, fails_for: Option<Duration>) {
    let failing = Arc::new(AtomicBool::new(fails_for.is_some()));
    let (to, told) = receiver(Arc::clone(&failing));
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "route: {{receiver: a, group_by: [alertname], group_wait: 0s, group_interval: 5s, repeat_interval: 4h}}\n\
         receivers: [{{name: a, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        to.address
    );
    let port = free_port();
    let clock = SystemClock::new();
    let start = || {
        let mut command = bellwether();
        command.arg("alertmanager");
        Daemon::start(command, folder.path(), "ours", &config, port)
    };
    let mut all = Accepted::default();
    let mut random = 11_u64;
    for round in 0..rounds {
        let ours = start();
        let stop = AtomicBool::new(false);
        let accepted = std::thread::scope(|scope| {
            let feeding = scope.spawn(|| feed(ours.address, round, &stop));
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            pause(Duration::from_millis(20 + (random >> 33) % 600));
            stop.store((random >> 20).is_multiple_of(4), Ordering::Relaxed);
            ours.process.kill();
            feeding.join().unwrap()
        });
        all.alerts.extend(accepted.alerts);
        all.silences.extend(accepted.silences);
        if fails_for.is_some_and(|time| clock.monotonic() > time) {
            failing.store(false, Ordering::Relaxed);
        }
    }
    let ours = start();
    let there = |path: &str, key: fn(&Value) -> &Value| -> BTreeSet<String> {
        let list = ours.get(path);
        let items = list.as_array().unwrap().iter();
        items
            .map(|item| key(item).as_str().unwrap().to_owned())
            .collect()
    };
    let alerts = there("/alerts", |alert| &alert["labels"]["alertname"]);
    let lost: Vec<_> = all.alerts.difference(&alerts).collect();
    assert!(
        lost.is_empty(),
        "lost alerts of {}: {lost:?}",
        all.alerts.len()
    );
    let silences = there("/silences", |silence| &silence["id"]);
    let lost: Vec<_> = all
        .silences
        .values()
        .filter(|id| !silences.contains(*id))
        .collect();
    assert!(lost.is_empty(), "lost silences: {lost:?}");
    if let Some(time) = fails_for {
        wait_until("the receiver to work again", 60, || {
            clock.monotonic() > time
        });
        failing.store(false, Ordering::Relaxed);
    }
    let loud = || {
        all.alerts
            .iter()
            .filter(|name| !all.silences.contains_key(*name))
    };
    wait_until("everybody to be told", 90, || {
        let told = told.lock().unwrap();
        loud().all(|name| told.contains_key(name))
    });
    // Another interval passes: nothing is said again.
    pause(Duration::from_secs(6));
    let told = told.lock().unwrap();
    for name in all.silences.keys() {
        assert!(!told.contains_key(name), "{name} is silenced and was told");
    }
    let twice: Vec<_> = told.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(twice.is_empty(), "told again: {twice:?}");
    println!(
        "{rounds} kills, {} alerts, {} silences, {} groups told",
        all.alerts.len(),
        all.silences.len(),
        told.len()
    );
}

#[test]
fn nothing_that_was_accepted_is_lost() {
    crash(6, None);
}

#[test]
fn nothing_is_lost_while_the_receiver_fails() {
    crash(4, Some(Duration::from_secs(8)));
}

#[test]
#[ignore = "200 kills, some minutes; cargo test -p bellwether --test it two_hundred_kills -- --ignored"]
fn two_hundred_kills() {
    crash(200, None);
}

#[test]
#[ignore = "200 kills, some minutes; cargo test -p bellwether --test it two_hundred_kills -- --ignored"]
fn two_hundred_kills_with_a_receiver_that_fails() {
    crash(200, Some(Duration::from_secs(25)));
}
