//! The same rules on the same targets, side by side with Debian's Prometheus, while things go wrong: the same alerts pass
//! through the same states.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use serde_json::Value;

use crate::http::{form, send};
use crate::prometheus::start_prometheus;
use crate::server::Server;
use crate::support::{local, pause, wait_until};
use crate::tiny::{Tiny, reply};

/// Units of time of one round of faults.
const ROUND: f64 = 44.0;

/// What the target says at a time of a round; `None`: it is out of order.
fn exposition(now: f64, errors: &mut (f64, f64)) -> Option<String> {
    let at = now % ROUND;
    let within = |from: f64, to: f64| (from..to).contains(&at);
    if within(18.0, 25.0) {
        return None;
    }
    // The counter grows with the time that has passed, and begins anew once in each round.
    let (last, count) = *errors;
    let rate = if within(27.0, 35.0) { 40.0 } else { 0.1 };
    let restarts = (now / ROUND).floor() != (last / ROUND).floor();
    let before = if restarts { 0.0 } else { count };
    *errors = (now, before + (now - last).max(0.0) * rate);
    let queue = |lane: &str, full: bool| {
        format!("queue{{lane=\"{lane}\"}} {}\n", if full { 50 } else { 1 })
    };
    let mut text = format!("errors_total {}\n", errors.1);
    text.push_str(&queue("a", within(4.0, 14.0)));
    // Too short to fire.
    text.push_str(&queue("b", within(6.0, 11.0)));
    if !within(35.0, 41.0) {
        text.push_str("seen 1\n");
    }
    Some(text)
}

/// `unit` seconds; rules are evaluated every two units, targets scraped every one.
fn rules(unit: u64) -> String {
    format!(
        "groups:
- name: live
  interval: {interval}s
  rules:
  - record: queue:all
    expr: sum(queue)
  - alert: QueueFull
    expr: queue > 10
    for: {hold}s
    keep_firing_for: {keep}s
    labels: {{lane_name: 'lane {{{{ $labels.lane }}}}'}}
  - alert: AllFull
    expr: queue:all > 20
  - alert: Errors
    expr: rate(errors_total[{window}s]) > 5
    for: {interval}s
  - alert: Down
    expr: up == 0
    for: {interval}s
  - alert: Gone
    expr: absent(seen)
",
        interval = 2 * unit,
        hold = 7 * unit,
        keep = 4 * unit,
        window = 5 * unit,
    )
}

/// Stretches of time in one state: alert, labels, state -> (from, to), seconds since the faults began.
type States = BTreeMap<String, Vec<(f64, f64)>>;

/// From the samples of `ALERTS`: a gap of more than one evaluation ends a stretch.
fn states(answer: &Value, begun: f64, until: f64, interval: f64) -> States {
    let mut all = States::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let labels: BTreeMap<&str, &str> = series["metric"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "__name__")
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let mut stretches: Vec<(f64, f64)> = Vec::new();
        for point in series["values"].as_array().unwrap() {
            let at = point[0].as_f64().unwrap() - begun;
            if !(0.0..until).contains(&at) {
                continue;
            }
            match stretches.last_mut() {
                Some(last) if at - last.1 < 1.6 * interval => last.1 = at,
                _ => stretches.push((at, at)),
            }
        }
        if !stretches.is_empty() {
            all.insert(format!("{labels:?}"), stretches);
        }
    }
    all
}

/// Runs the faults for some rounds and compares. Both look at different moments: what they see is apart by less than one
/// scrape and one evaluation.
fn side_by_side(unit: u64, rounds: u32) {
    let clock = SystemClock::new();
    // Milliseconds of the clock when the faults begin; before that all is well.
    let begin = Arc::new(AtomicU64::new(u64::MAX));
    let target = {
        let (begin, errors) = (Arc::clone(&begin), Mutex::new((0.0, 0.0)));
        Tiny::start(0, move |_, stream| {
            let now = clock.monotonic().as_millis() as u64;
            let since = now.saturating_sub(begin.load(Ordering::Relaxed));
            let text = exposition(
                since as f64 / 1000.0 / unit as f64,
                &mut errors.lock().unwrap(),
            );
            match text {
                Some(text) => reply(stream, 200, &text),
                None => reply(stream, 503, "out of order"),
            }
        })
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules(unit)).unwrap();
    let config = format!(
        "global: {{scrape_interval: {unit}s, evaluation_interval: {interval}s}}
rule_files: [{rules}]
scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}]
",
        interval = 2 * unit,
        rules = folder.path().join("rules.yml").display(),
        target = target.address,
    );
    let Some(prometheus) = start_prometheus(folder.path(), &config) else {
        return;
    };
    let server = Server::with_config(
        folder.path(),
        &format!("{config}host: false\nfind_services: false\ndefault_rules: false\n"),
    );
    let ask = |query: &str| {
        let path = format!("/api/v1/query?{}", form(&[("query", query)]));
        send(local(prometheus.port), "GET", &path, &[], b"")
            .unwrap()
            .json()
    };
    wait_until("both to see the target", 60, || {
        let theirs = ask("queue:all")["data"]["result"][0]["value"][1] == "2";
        theirs && server.value("queue:all") == Some(2.0)
    });
    let begun = SystemClock::new().now().as_millisecond() as f64 / 1000.0;
    begin.store(clock.monotonic().as_millis() as u64, Ordering::Relaxed);
    let length = ROUND * unit as f64 * f64::from(rounds);
    pause(Duration::from_secs_f64(length + 2.0 * unit as f64));

    let interval = 2.0 * unit as f64;
    let query = format!("ALERTS[{}s]", length as u64 + 120);
    let ours = server
        .prometheus("/query", &[("query", query.as_str())])
        .json();
    let ours = states(&ours, begun, length, interval);
    let theirs = states(&ask(&query), begun, length, interval);
    println!("ours: {ours:#?}\ntheirs: {theirs:#?}");
    let names = |states: &States| states.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    assert_eq!(ours.len(), 9, "{:#?}", names(&ours));
    let apart = interval + unit as f64;
    for (name, stretches) in &ours {
        let others = &theirs[name];
        assert_eq!(
            stretches.len(),
            others.len(),
            "{name}: {stretches:?}, Prometheus: {others:?}"
        );
        for (own, other) in stretches.iter().zip(others) {
            let (from, to) = ((own.0 - other.0).abs(), (own.1 - other.1).abs());
            assert!(
                from <= apart && to <= apart,
                "{name}: {own:?}, Prometheus: {other:?}"
            );
        }
    }
    server.stop();
}

#[test]
#[ignore = "takes a minute; cargo test -p bellwether --test it judged -- --ignored"]
fn alerts_pass_through_the_states_of_prometheus() {
    side_by_side(1, 1);
}

#[test]
#[ignore = "takes 22 minutes; cargo test -p bellwether --test it judged -- --ignored"]
fn alerts_pass_through_the_states_of_prometheus_for_long() {
    side_by_side(3, 10);
}
