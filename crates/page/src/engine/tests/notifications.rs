//! Receivers: what Alertmanager would have sent, and when.

use bellwether_model::{MatchOp, Matcher};
use jiff::SignedDuration;
use serde_json::Value;

use super::{World, alert};
use crate::event::{NewSilence, PagerEvent};

const HOOK: &str = r#"
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1h
  routes:
    - {matchers: ['team="night"'], mute_time_intervals: [mornings]}
    - {matchers: ['team="both"'], receiver: quiet, continue: true}
    - {matchers: ['team="both"']}
receivers:
  - {name: hook, webhook_configs: [{url: "http://127.0.0.1:9/", max_alerts: 2}]}
  - {name: quiet, webhook_configs: [{url: "http://127.0.0.1:9/", send_resolved: false}]}
inhibit_rules:
  - {source_matchers: ['severity="page"'], target_matchers: ['severity=~"page|warning"'], equal: [cluster]}
time_intervals:
  - {name: mornings, time_intervals: [{times: [{start_time: "06:00", end_time: "09:00"}]}]}
"#;

fn sent(world: &World) -> String {
    let start: jiff::Timestamp = super::START.parse().unwrap();
    let lines: Vec<String> = world
        .sent
        .iter()
        .map(|(at, delivery)| {
            let passed = at.duration_since(start).as_secs();
            let body = &delivery.payload["body"];
            let alerts: Vec<String> = body["alerts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|alert| {
                    format!(
                        "{}={}",
                        alert["labels"]["i"].as_str().unwrap_or("-"),
                        alert["status"].as_str().unwrap()
                    )
                })
                .collect();
            format!(
                "{:>3}:{:02} {} {} {} [{}] truncated {} ({})",
                passed / 60,
                passed % 60,
                delivery.target,
                body["status"].as_str().unwrap(),
                body["groupKey"].as_str().unwrap(),
                alerts.join(" "),
                body["truncatedAlerts"],
                body["notification_reason"].as_str().unwrap(),
            )
        })
        .collect();
    lines.join("\n")
}

#[test]
fn wait_interval_repeat_and_reasons() {
    let mut world = World::new(HOOK);
    let (a, b, c): (&[_], &[_], &[_]) = (
        &[("alertname", "X"), ("i", "a")],
        &[("alertname", "X"), ("i", "b")],
        &[("alertname", "X"), ("i", "c")],
    );
    world
        .hold(&[a], 1)
        .hold(&[a, b, c], 6)
        .end(c)
        .hold(&[a, b], 64)
        .end(a)
        .end(b)
        .minutes(10);
    insta::assert_snapshot!(sent(&world));
    assert!(world.pager.groups(world.now).is_empty() && world.pager.alerts(world.now).is_empty());
    assert!(
        world.records.keys().all(|(kind, _)| kind == "nflog"),
        "{:?}",
        world.records.keys()
    );
}

#[test]
fn the_body_is_alertmanagers() {
    let mut world = World::new(HOOK);
    let mut one = alert(&[("alertname", "X"), ("i", "a"), ("job", "j")]);
    one.generator_url = "http://prometheus/graph".to_owned();
    world
        .post(vec![
            one,
            alert(&[("alertname", "X"), ("i", "b"), ("job", "j")]),
        ])
        .minutes(1);
    let payload: Value = world.sent[0].1.payload.clone();
    insta::assert_snapshot!(serde_json::to_string_pretty(&payload).unwrap());
}

#[test]
fn an_old_start_is_told_at_once_and_an_end_first_seen_is_not() {
    let mut world = World::new(HOOK);
    let mut old = alert(&[("alertname", "Old")]);
    old.starts_at = Some(world.now - SignedDuration::from_mins(2));
    world.post(vec![old]);
    assert_eq!(world.sent.len(), 1, "its wait is over");
    world.end(&[("alertname", "Gone")]).minutes(1);
    assert_eq!(world.sent.len(), 1);
    // Ended before the wait was over: nobody is told.
    world
        .fire(&[("alertname", "Blip")])
        .seconds(10)
        .end(&[("alertname", "Blip")])
        .seconds(30);
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn two_routes_and_a_receiver_that_wants_no_ends() {
    let mut world = World::new(HOOK);
    let both: &[_] = &[("alertname", "X"), ("team", "both")];
    world.hold(&[both], 2).end(both).minutes(6).hold(&[both], 2);
    insta::assert_snapshot!(sent(&world));
}

#[test]
fn one_of_two_equal_sources_is_enough_to_inhibit() {
    let mut world = World::new(HOOK);
    let page = |i| {
        [
            ("alertname", "P"),
            ("severity", "page"),
            ("cluster", "c"),
            ("i", i),
        ]
    };
    let warning: &[_] = &[
        ("alertname", "W"),
        ("severity", "warning"),
        ("cluster", "c"),
    ];
    world
        .post(vec![alert(&page("1")), alert(&page("2")), alert(warning)])
        .minutes(1);
    assert_eq!(
        world.sent.len(),
        1,
        "the sources themselves are told: {}",
        sent(&world)
    );
    let shown = world.pager.alerts(world.now);
    let inhibited = shown
        .iter()
        .find(|alert| alert.labels.get("alertname") == "W")
        .unwrap();
    assert_eq!(inhibited.inhibited_by.len(), 1);
    world.end(&page("1")).hold(&[&page("2"), warning], 6);
    assert!(
        !sent(&world).contains("\"W\""),
        "the other source still fires: {}",
        sent(&world)
    );
    world.end(&page("2")).hold(&[warning], 6);
    assert!(sent(&world).contains("\"W\""), "{}", sent(&world));
}

#[test]
fn a_muted_route_waits_for_its_time() {
    let mut world = World::new(HOOK);
    let night: &[_] = &[("alertname", "N"), ("team", "night")];
    world.hold(&[night], 59);
    assert!(world.sent.is_empty());
    assert_eq!(world.pager.alerts(world.now)[0].muted_by, ["mornings"]);
    world.hold(&[night], 10);
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn a_failing_receiver_is_told_again_and_only_once() {
    let mut world = World::new(HOOK);
    let x: &[_] = &[("alertname", "X")];
    world.broken = vec!["webhook"];
    world.hold(&[x], 6);
    world.broken.clear();
    world.hold(&[x], 20).crash().hold(&[x], 20);
    insta::assert_snapshot!(sent(&world));
}

#[test]
fn silences_have_alertmanagers_life() {
    let mut world = World::new(HOOK);
    let sets = vec![
        vec![Matcher::new(MatchOp::Regex, "i", "a|b").unwrap()],
        vec![Matcher::equal("alertname", "Y")],
    ];
    let new = NewSilence {
        matcher_sets: sets.clone(),
        ends_at: world.now + SignedDuration::from_mins(30),
        created_by: "ana".into(),
        comment: "c".into(),
        ..NewSilence::default()
    };
    world.step(PagerEvent::SilenceSet(new.clone()));
    let id = world.pager.silences(world.now)[0].silence.id.clone();
    assert_eq!(id.len(), 36, "a UUID, as the interface demands: {id}");
    let x = |i| [("alertname", "X"), ("i", i)];
    world
        .post(vec![
            alert(&x("a")),
            alert(&x("c")),
            alert(&[("alertname", "Y")]),
        ])
        .minutes(1);
    assert_eq!(sent(&world).lines().count(), 1, "{}", sent(&world));
    assert_eq!(world.pager.silence_preview(&sets, world.now).len(), 2);
    // A longer end keeps the id; other matchers make a new one and end the old.
    let start = world.pager.silences(world.now)[0].silence.starts_at;
    let longer = NewSilence {
        id: Some(id.clone()),
        starts_at: Some(start),
        ends_at: world.now + SignedDuration::from_hours(2),
        ..new.clone()
    };
    world.step(PagerEvent::SilenceSet(longer.clone()));
    assert_eq!(world.words(), ["silence_updated"]);
    let other = NewSilence {
        matcher_sets: vec![vec![Matcher::equal("i", "z")]],
        ..longer
    };
    world.step(PagerEvent::SilenceSet(other));
    assert_eq!(world.words(), ["silence_expired", "silence_created"]);
    world.crash();
    assert_eq!(world.pager.silences(world.now).len(), 2);
    world.step(PagerEvent::SilenceExpire {
        id: id.clone(),
        actor: "ana".into(),
    });
    assert_eq!(world.words(), ["refused"]);
    for bad in [
        NewSilence {
            matcher_sets: Vec::new(),
            ..new.clone()
        },
        NewSilence {
            matcher_sets: vec![vec![Matcher::new(MatchOp::Regex, "a", ".*").unwrap()]],
            ..new.clone()
        },
        NewSilence {
            ends_at: world.now - SignedDuration::from_mins(1),
            ..new.clone()
        },
        NewSilence {
            id: Some("sil-none".into()),
            ..new
        },
    ] {
        world.step(PagerEvent::SilenceSet(bad));
        assert_eq!(world.words(), ["refused"]);
    }
    // Kept for 120 hours after the end, then gone.
    world.advance(SignedDuration::from_hours(123));
    assert!(world.pager.silences(world.now).is_empty());
}

#[test]
fn a_steady_alert_is_not_written_at_each_heartbeat() {
    let mut world = World::new(HOOK);
    world.fire(&[("alertname", "X")]).minutes(1);
    let mut writes = 0;
    for _ in 0..60 {
        world.fire(&[("alertname", "X")]);
        writes += world.last_batch.records.len();
        world.seconds(1);
    }
    assert!(writes <= 1, "{writes} writes in a minute of heartbeats");
}

#[test]
fn odd_alerts_are_refused_and_the_others_taken() {
    let mut world = World::new(HOOK);
    let mut backwards = alert(&[("alertname", "B")]);
    backwards.starts_at = Some(world.now);
    backwards.ends_at = Some(world.now - SignedDuration::from_mins(1));
    let huge = "x".repeat(1 << 20);
    world.post(vec![
        alert(&[]),
        backwards,
        alert(&[("a", &huge)]),
        alert(&[("alertname", "ok")]),
    ]);
    assert_eq!(
        world.words(),
        [
            "alert_refused",
            "alert_refused",
            "alert_refused",
            "alert_received"
        ]
    );
}
