//! Debian's Alertmanager and ours, fed the same alerts with the same file: the same notifications in the same windows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_env::{Clock, SystemClock};
use serde_json::{Value, json};

use super::Daemon;
use crate::support::pause;
use crate::tiny::{Tiny, reply};

/// When it came, and what it said: status and alerts with their state and begin.
type Notification = (Duration, String);

struct Receiver {
    tiny: Tiny,
    /// By receiver and group key.
    seen: Arc<Mutex<BTreeMap<String, Vec<Notification>>>>,
}

fn receiver(clock: SystemClock) -> Receiver {
    let seen: Arc<Mutex<BTreeMap<String, Vec<Notification>>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let tiny = Tiny::start(0, move |request, stream| {
        let at = clock.monotonic();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut alerts: Vec<String> = body["alerts"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|alert| {
                format!(
                    "{} {} {} {}",
                    alert["fingerprint"], alert["status"], alert["startsAt"], alert["annotations"]
                )
            })
            .collect();
        alerts.sort();
        let said = format!(
            "{} {} {} {} [{}]",
            body["status"],
            body["groupLabels"],
            body["commonLabels"],
            body["truncatedAlerts"],
            alerts.join("; ")
        );
        let key = format!("{} {}", body["receiver"], body["groupKey"]);
        kept.lock()
            .unwrap()
            .entry(key)
            .or_default()
            .push((at, said));
        reply(stream, 200, "")
    });
    Receiver { tiny, seen }
}

/// No repeat interval is a multiple of its group interval: there Alertmanager repeats now at one flush, now at the
/// next, because it counts from when the receiver answered.
fn config(to: &Tiny) -> String {
    format!(
        "\
route:
  receiver: all
  group_by: [alertname, cluster]
  group_wait: 1s
  group_interval: 3s
  repeat_interval: 8s
  routes:
    - matchers: [team=\"quick\"]
      receiver: quick
      group_by: ['...']
      group_wait: 0s
      group_interval: 2s
      repeat_interval: 7s
      continue: true
    - matchers: [team=~\"quick|slow\"]
      receiver: slow
      group_wait: 2s
      group_interval: 5s
      repeat_interval: 12s
    - matchers: [team=\"quiet\"]
      receiver: quiet
inhibit_rules:
  - source_matchers: [severity=\"critical\"]
    target_matchers: [severity=\"warning\"]
    equal: [cluster]
receivers:
  - name: all
    webhook_configs: [{{url: 'http://{0}/'}}]
  - name: quick
    webhook_configs: [{{url: 'http://{0}/', max_alerts: 1}}]
  - name: slow
    webhook_configs: [{{url: 'http://{0}/', send_resolved: false}}]
  - name: quiet
    webhook_configs: [{{url: 'http://{0}/'}}]
",
        to.address
    )
}

/// Numbers without a pattern.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Feeds both for so many seconds and compares what came.
fn compare(seconds: u64) {
    const CLUSTERS: u64 = 4;
    const INSTANCES: u64 = 5;
    let clock = SystemClock::new();
    let (to_ours, to_theirs) = (receiver(clock), receiver(clock));
    let folder = tempfile::tempdir().unwrap();
    let Some(theirs) = Daemon::debians(folder.path(), &config(&to_theirs.tiny)) else {
        return;
    };
    let ours = Daemon::ours(folder.path(), &config(&to_ours.tiny));
    let both = |method: &str, path: &str, body: &str| {
        // At once, so that their timers run alike.
        std::thread::scope(|scope| {
            let a = scope.spawn(|| theirs.request(method, path, body));
            let b = ours.request(method, path, body);
            let a = a.join().unwrap();
            assert_eq!(a.status, b.status, "{path}: {} / {}", a.text(), b.text());
        });
    };
    let mut random = Random(7);
    let begun = clock.monotonic();
    let now = || clock.now();
    let mut firing: BTreeMap<String, Value> = BTreeMap::new();
    let end = begun + Duration::from_secs(seconds);
    let mut ticks = 0_u64;
    while clock.monotonic() < end {
        ticks += 1;
        // Something changes in each tick, and a tick is no multiple of an interval.
        let team = ["quick", "slow", "quiet", "none"][random.below(4) as usize];
        let severity = ["critical", "warning", "warning", "info"][random.below(4) as usize];
        let labels = json!({
            "alertname": format!("A{}", random.below(3)),
            "cluster": format!("c{}", random.below(CLUSTERS)),
            "instance": format!("i{}", random.below(INSTANCES)),
            "severity": severity,
            "team": team,
        });
        let key = labels.to_string();
        let mut post: Vec<Value> = Vec::new();
        match firing.remove(&key) {
            Some(mut alert) => {
                alert["endsAt"] = json!(now().to_string());
                post.push(alert);
            }
            None => {
                let begin = format!("{:.3}", now());
                let alert = json!({
                    "labels": labels,
                    "annotations": {"summary": format!("tick {ticks}")},
                    "startsAt": begin,
                });
                post.push(alert.clone());
                firing.insert(key, alert);
            }
        }
        // Prometheus says again what fires.
        if ticks.is_multiple_of(7) {
            post.extend(firing.values().cloned());
        }
        both("POST", "/alerts", &Value::from(post).to_string());
        if ticks.is_multiple_of(11) {
            let silence = json!({
                "matchers": [{"name": "cluster", "value": format!("c{}", random.below(CLUSTERS)), "isRegex": false}],
                "startsAt": now().to_string(),
                "endsAt": (now() + jiff::SignedDuration::from_millis(4_400)).to_string(),
                "createdBy": "twin",
                "comment": "",
            });
            both("POST", "/silences", &silence.to_string());
        }
        pause(Duration::from_millis(370));
    }
    // What is under way arrives.
    pause(Duration::from_secs(4));
    let (a, b) = (to_theirs.seen.lock().unwrap(), to_ours.seen.lock().unwrap());
    let total: usize = a.values().map(Vec::len).sum();
    assert!(total as u64 > seconds / 2, "only {total} notifications");
    let mut differences = Vec::new();
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for key in keys {
        let (none_a, none_b) = (Vec::new(), Vec::new());
        let (a, b) = (a.get(key).unwrap_or(&none_a), b.get(key).unwrap_or(&none_b));
        differences.extend(difference(key, a, b));
    }
    println!("{total} notifications of {} groups", a.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// How far two notifications of one flush may be apart: both processes share this machine with the other tests.
const WINDOW: Duration = Duration::from_millis(900);

fn difference(key: &str, theirs: &[Notification], ours: &[Notification]) -> Option<String> {
    let all = |list: &[Notification]| -> String {
        list.iter()
            .map(|(at, said)| format!("\n    {:.2} {said}", at.as_secs_f64()))
            .collect()
    };
    let shown = || format!("{key}\n  theirs:{}\n  ours:{}", all(theirs), all(ours));
    // The last one may have come to one of them only, before the end.
    if theirs.len().abs_diff(ours.len()) > 1 {
        return Some(format!("{} and {}: {}", theirs.len(), ours.len(), shown()));
    }
    for ((at_a, a), (at_b, b)) in theirs.iter().zip(ours) {
        if a != b {
            return Some(format!("another text: {}", shown()));
        }
        if at_a.abs_diff(*at_b) > WINDOW {
            return Some(format!("another window: {}", shown()));
        }
    }
    None
}

#[test]
fn the_same_notifications_in_the_same_windows() {
    compare(25);
}

#[test]
#[ignore = "20 minutes; cargo test -p bellwether --test it twenty_minutes -- --ignored"]
fn twenty_minutes_of_the_same_notifications() {
    compare(20 * 60);
}
