//! Cases and escalation: timelines by example.

use std::collections::BTreeSet;

use bellwether_model::PostedAlert;
use jiff::SignedDuration;

use super::{World, alert, config};
use crate::event::{NewCase, NewOverride, PagerEvent};
use crate::record::{CaseStatus, Urgency};
use crate::schedule::OverrideKind;
use crate::{PagePayload, Pager};

const TEAM: &str = r#"
route: {receiver: people, group_by: [alertname], group_wait: 10s, group_interval: 1m, repeat_interval: 1h}
receivers: [{name: people, page_configs: [{policy: main}]}]
oncall:
  people:
    ana: {email: ana@example.org, ntfy: "https://ntfy.example.org/ana", rules: {high: [ntfy, {after: 2m, channel: email}], low: [browser]}}
    bo: {email: bo@example.org, rules: {high: [email], low: [browser]}}
  schedules:
    primary: {layers: [{name: week, members: [ana, bo], start: 2026-03-02T00:00, turn: 1d}]}
    nobody: {layers: [{name: gone, members: [ana], start: 2026-01-01T00:00, until: 2026-02-01T00:00}]}
  policies:
    main:
      steps:
        - {notify: ["schedule:primary"], wait: 5m}
        - {notify: ["schedule:nobody"], wait: 5m}
        - {notify: ["person:bo"], wait: 5m}
      repeat: 1
      fallback: [everyone]
"#;

const SYMPTOM: &[(&str, &str)] = &[
    ("alertname", "Slow"),
    ("severity", "page"),
    ("service", "shop"),
];

/// Each alert is a group of its own, and is sent at once.
const STORM: &str = r#"
route: {receiver: hook, group_by: ["..."], group_wait: 0s}
receivers: [{name: hook, webhook_configs: [{url: "http://127.0.0.1:9/"}]}]
"#;

#[test]
fn fired_paged_acknowledged_resolved() {
    let mut world = World::new(TEAM);
    world.fire(SYMPTOM).seconds(30);
    let case = world.case_id();
    let ack = || PagerEvent::Acknowledge {
        case,
        actor: "user:ana".into(),
        as_of: Some(1),
    };
    world.step(ack()).step(ack());
    assert_eq!(world.words(), ["already_acknowledged"]);
    world.minutes(1).end(SYMPTOM).minutes(10);
    insta::assert_snapshot!(world.timeline());
    assert_eq!(world.case().status, CaseStatus::Resolved);
    let last: PagePayload =
        serde_json::from_value(world.sent.last().unwrap().1.payload.clone()).unwrap();
    assert_eq!(
        last.subject,
        format!("Resolved: Slow on shop [{}]", world.case().code)
    );
}

#[test]
fn nobody_answers_to_the_end_of_the_policy_and_beyond() {
    let mut world = World::new(TEAM);
    world.hold(&[SYMPTOM], 70);
    insta::assert_snapshot!(world.timeline());
    assert!(world.case().escalation.exhausted);
}

#[test]
fn a_broken_channel_fires_the_next_rule_and_a_broken_person_the_next_step() {
    let mut world = World::new(TEAM);
    world.broken = vec!["ntfy"];
    world.fire(SYMPTOM).seconds(15);
    world.broken = vec!["ntfy", "email"];
    world
        .end(SYMPTOM)
        .minutes(2)
        .fire(&[("alertname", "Down"), ("severity", "page")])
        .minutes(3);
    insta::assert_snapshot!(world.timeline());
}

#[test]
fn no_receipt_in_time_fires_the_next_rule() {
    let mut world = World::new(TEAM);
    world.mute = vec!["ntfy"];
    world.fire(SYMPTOM).seconds(40);
    insta::assert_snapshot!(world.timeline());
}

#[test]
fn an_acknowledgement_runs_out_and_a_snooze_ends() {
    let mut world = World::new(TEAM);
    world.hold(&[SYMPTOM], 1);
    let case = world.case_id();
    world.step(PagerEvent::Acknowledge {
        case,
        actor: "user:ana".into(),
        as_of: None,
    });
    world.hold(&[SYMPTOM], 31);
    assert_eq!(world.case().status, CaseStatus::Open);
    let until = world.now + SignedDuration::from_mins(3);
    world.step(PagerEvent::Snooze {
        case,
        actor: "user:bo".into(),
        until,
    });
    world.hold(&[SYMPTOM], 4);
    world.step(PagerEvent::Acknowledge {
        case,
        actor: "user:bo".into(),
        as_of: None,
    });
    world.step(PagerEvent::Unacknowledge {
        case,
        actor: "user:bo".into(),
    });
    world.step(PagerEvent::Comment {
        case,
        actor: "user:bo".into(),
        text: "looking".into(),
    });
    insta::assert_snapshot!(world.timeline());
}

#[test]
fn a_late_tap_cannot_skip_a_step_twice() {
    let mut world = World::new(TEAM);
    world.fire(SYMPTOM).seconds(20);
    let case = world.case_id();
    let tap = |as_of_step| PagerEvent::EscalateNow {
        case,
        actor: "user:ana".into(),
        as_of_step,
    };
    world.step(tap(1));
    let pages = world.case().pages.len();
    world.step(tap(1));
    assert_eq!(world.words(), ["stale_escalate"]);
    assert_eq!(world.case().pages.len(), pages);
    insta::assert_snapshot!(world.timeline());
}

#[test]
fn the_first_page_waits_for_the_diagnosis_but_not_for_ever() {
    let mut world = World::new(TEAM);
    let mut post = alert(SYMPTOM);
    post.annotations = post.annotations.with("runbook", "slow-shop.md");
    world.post(vec![post.clone()]).seconds(12);
    assert!(world.sent.is_empty(), "waits");
    let case = world.case_id();
    world.step(PagerEvent::ContextReady {
        case,
        text: "replica 2 answers in 3 s".into(),
    });
    let page: PagePayload = serde_json::from_value(world.sent[0].1.payload.clone()).unwrap();
    assert_eq!(page.diagnosis.as_deref(), Some("replica 2 answers in 3 s"));
    assert!(
        page.text.contains("replica 2") && page.text.contains("slow-shop.md"),
        "{}",
        page.text
    );

    let mut late = World::new(TEAM);
    late.post(vec![post]).seconds(17);
    assert!(late.sent.is_empty());
    late.seconds(2);
    assert_eq!(late.sent.len(), 1, "goes without");
}

#[test]
fn severities_decide_who_is_woken() {
    let mut world = World::new(TEAM);
    let cause: &[(&str, &str)] = &[
        ("alertname", "CpuHigh"),
        ("severity", "context"),
        ("service", "shop"),
    ];
    world.fire(cause).seconds(30);
    assert!(
        world.pager.cases().is_empty(),
        "context alone is never a case"
    );
    world
        .fire(&[("alertname", "DiskFills"), ("severity", "ticket")])
        .seconds(30);
    assert_eq!(world.case().urgency, Urgency::Low);
    assert_eq!(world.sent[0].1.channel, "browser");
    world.fire(SYMPTOM).seconds(30);
    let page: PagePayload = serde_json::from_value(world.sent[1].1.payload.clone()).unwrap();
    assert_eq!(
        (page.urgency, page.causes),
        (Urgency::High, vec!["CpuHigh {service=\"shop\"}".to_owned()])
    );
    // A ticket does not nag: one message in the first day.
    world.minutes(60 * 12);
    assert_eq!(
        world
            .sent
            .iter()
            .filter(|(_, d)| d.channel == "browser")
            .count(),
        2,
        "a page and its end"
    );
}

#[test]
fn alerts_join_and_raise_the_urgency() {
    let mut world = World::new(TEAM);
    let ticket: &[(&str, &str)] = &[
        ("alertname", "Slow"),
        ("severity", "ticket"),
        ("service", "shop"),
    ];
    world
        .fire(ticket)
        .minutes(2)
        .post(vec![alert(ticket), alert(SYMPTOM)])
        .minutes(2);
    insta::assert_snapshot!(world.timeline());
    assert_eq!(world.pager.cases().len(), 1);
    assert_eq!(world.case().title, "Slow on shop");
}

#[test]
fn a_case_resolved_by_hand_stays_so_while_the_same_alert_fires() {
    let mut world = World::new(TEAM);
    world.hold(&[SYMPTOM], 2);
    let case = world.case_id();
    world.step(PagerEvent::Resolve {
        case,
        actor: "user:ana".into(),
        text: "known".into(),
    });
    world.hold(&[SYMPTOM], 10).crash().hold(&[SYMPTOM], 10);
    assert_eq!(world.pager.cases().len(), 1, "not opened again");
    world.hold(&[SYMPTOM], 60);
    assert_eq!(
        world.pager.cases().len(),
        2,
        "after the repeat interval it is"
    );
}

#[test]
fn silences_hold_pages_back_with_a_reason_and_let_them_go() {
    let mut world = World::new(TEAM);
    world.hold(&[SYMPTOM], 2);
    let pages = world.sent.len();
    let set = crate::NewSilence {
        matcher_sets: vec![vec![bellwether_model::Matcher::equal("service", "shop")]],
        ends_at: world.now + SignedDuration::from_mins(10),
        created_by: "ana".into(),
        comment: "deploy".into(),
        ..crate::NewSilence::default()
    };
    world.step(PagerEvent::SilenceSet(set));
    world.hold(&[SYMPTOM], 9);
    assert_eq!(world.sent.len(), pages, "held back");
    assert!(
        world
            .pager
            .case(world.case_id(), world.now)
            .unwrap()
            .withheld
            .is_some()
    );
    world.crash().hold(&[SYMPTOM], 3);
    assert!(world.sent.len() > pages, "let go");
    insta::assert_snapshot!(world.timeline());
}

#[test]
fn overrides_change_whom_a_step_pages() {
    let mut world = World::new(TEAM);
    world.step(PagerEvent::OverrideAdd(NewOverride {
        schedule: "primary".into(),
        layer: None,
        kind: OverrideKind::Replace,
        people: vec!["bo".into()],
        replaces: Some("ana".into()),
        from: world.now,
        until: world.now + SignedDuration::from_hours(2),
        actor: "user:ana".into(),
        comment: "dentist".into(),
    }));
    world.crash().fire(SYMPTOM).seconds(20);
    assert_eq!(world.sent[0].1.target, "bo@example.org");
    let shown = world.pager.who_is_on_call("primary", world.now);
    assert!(shown[0].source.starts_with("override ovr-"), "{shown:?}");
    let why = world.pager.why(world.case_id(), world.now).join("\n");
    assert!(why.contains("schedule primary, override ovr-"), "{why}");
}

#[test]
fn a_case_by_hand_pages_and_ends_by_hand() {
    let mut world = World::new(TEAM);
    world.step(PagerEvent::OpenCase(NewCase {
        title: "checkout is broken".into(),
        summary: "users say so".into(),
        urgency: Urgency::High,
        policy: None,
        actor: "user:bo".into(),
        labels: bellwether_model::Labels::empty(),
        annotations: bellwether_model::Labels::empty(),
    }));
    assert_eq!(world.sent.len(), 1);
    let case = world.pager.find_case(&world.case().code.clone()).unwrap();
    world.step(PagerEvent::Resolve {
        case,
        actor: "user:bo".into(),
        text: String::new(),
    });
    assert!(world.case().is_resolved());
    world.minutes(60 * 24 * 8);
    assert!(world.pager.cases().is_empty(), "forgotten after a week");
}

#[test]
fn without_a_config_the_keyboard_is_paged() {
    let mut world = World::with(std::sync::Arc::default());
    world.fire(&[("alertname", "Down")]).seconds(6);
    let channels: Vec<&str> = world.sent.iter().map(|(_, d)| d.channel.as_str()).collect();
    assert_eq!(channels, ["terminal", "browser", "desktop"]);
}

#[test]
fn a_crash_at_any_point_goes_on_as_if_nothing_had_been() {
    let run = |crashes: bool| {
        let mut world = World::new(TEAM);
        for minute in 0..40 {
            world.post(vec![alert(SYMPTOM)]);
            for _ in 0..6 {
                world.seconds(10);
                if crashes && minute % 3 == 0 {
                    world.crash();
                }
            }
        }
        world.log.retain(|line| !line.contains("crash"));
        world.timeline()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_new_configuration_keeps_cases_and_moves_groups() {
    let mut world = World::new(TEAM);
    world.hold(&[SYMPTOM], 2);
    let other = TEAM
        .replace("group_by: [alertname]", "group_by: [service]")
        .replace("wait: 5m", "wait: 7m");
    world.step(PagerEvent::Reconfigure(config(&other)));
    world.hold(&[SYMPTOM], 3);
    assert_eq!(
        world.pager.cases().len(),
        1,
        "the case goes on in the new group"
    );
    assert!(
        world.case().group_key.contains("service"),
        "{}",
        world.case().group_key
    );
    let pinned = world.case().escalation.policy.steps[0].wait;
    assert_eq!(
        pinned.as_secs(),
        300,
        "the policy of a case under way is its own"
    );
    world.end(SYMPTOM).minutes(2);
    assert!(world.pager.cases().iter().all(|case| case.is_resolved()));
}

#[test]
fn downtime_is_not_taken_for_the_end_of_an_alert() {
    let mut world = World::new(TEAM);
    world.hold(&[SYMPTOM], 2);
    let records: Vec<_> = world.records.values().cloned().collect();
    world.now += SignedDuration::from_mins(30);
    world.pager = Pager::new(std::sync::Arc::clone(world.pager.config()));
    world.pager.restore(&records, world.now);
    world.minutes(4);
    assert_eq!(
        world.case().status,
        CaseStatus::Open,
        "it may still be told of"
    );
    world.minutes(2);
    assert_eq!(world.case().status, CaseStatus::Resolved, "but it was not");
}

#[test]
fn the_ids_of_a_storm_differ() {
    let mut world = World::new(STORM);
    let storm = |from: usize| -> Vec<PostedAlert> {
        (from..from + 3_000)
            .map(|index| {
                alert(&[
                    ("alertname", "Down"),
                    ("instance", &index.to_string()),
                    ("severity", "page"),
                ])
            })
            .collect()
    };
    let mut ids = BTreeSet::new();
    for from in [0, 3_000] {
        let alerts = storm(from);
        let source = "test".to_owned();
        let event = PagerEvent::Alerts { alerts, source };
        let decision = world.pager.step(world.now, event, &mut world.ids);
        for delivery in decision.batch.deliveries {
            assert!(ids.insert(delivery.id), "{} twice", delivery.id);
        }
    }
    assert!(ids.len() >= 6_000, "{}", ids.len());
}

#[test]
fn a_case_of_many_alerts_has_a_small_record_and_forgets_old_ends() {
    let mut world = World::new(TEAM);
    let many: Vec<_> = (0..700)
        .map(|n| {
            let instance = format!("i{n}");
            alert(&[
                ("alertname", "Down"),
                ("service", "shop"),
                ("severity", "page"),
                ("instance", instance.as_str()),
            ])
        })
        .collect();
    world.post(many.clone()).minutes(3);
    let id = world.case_id();
    assert_eq!(
        world.pager.case(id, world.now).unwrap().case.alerts.len(),
        700
    );
    for mut one in many.into_iter().take(699) {
        one.ends_at = Some(world.now);
        world.post(vec![one]);
    }
    let check = |world: &World| {
        let case = world.pager.case(id, world.now).unwrap().case;
        assert_eq!(case.firing().count(), 1);
        assert_eq!(case.alerts.len(), 501, "one fires, the last 500 that ended");
        assert!(!case.is_resolved());
    };
    check(&world);
    let own = world
        .records
        .values()
        .filter(|record| record.kind == "case");
    let largest = own
        .map(|record| record.body.to_string().len())
        .max()
        .unwrap();
    assert!(largest < 20_000, "{largest} bytes");
    world.crash();
    check(&world);
}
