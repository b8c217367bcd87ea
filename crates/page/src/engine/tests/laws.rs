//! Laws that hold for every history, and a year of it.

use std::sync::Arc;

use bellwether_model::state::{DeliveryState, Receipt, Record};
use jiff::SignedDuration;
use proptest::prelude::*;

use super::{World, alert, config};
use crate::Pager;
use crate::event::{DeliveryResult, NewSilence, PagerEvent};

const MIXED: &str = r#"
route:
  receiver: people
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 20m
  routes:
    - {matchers: ['i=~"a|b"'], receiver: hook, continue: true}
    - {matchers: ['severity=~".*"']}
receivers:
  - {name: people, page_configs: [{policy: main}]}
  - {name: hook, webhook_configs: [{url: "http://127.0.0.1:9/"}]}
inhibit_rules:
  - {source_matchers: ['alertname="A"'], target_matchers: ['alertname="B"'], equal: [i]}
oncall:
  ack_timeout: 10m
  people:
    ana: {email: a@example.org, rules: {high: [terminal, {after: 1m, channel: email}]}}
    bo: {}
  policies:
    main: {steps: [{notify: ["person:ana"], wait: 3m}, {notify: ["person:bo"], wait: 3m}], repeat: 1}
"#;

#[derive(Clone, Debug)]
enum Act {
    Fire(usize, usize, usize),
    End(usize, usize, usize),
    Pass(i64),
    Ack,
    Unack,
    Resolve,
    Snooze(i64),
    Escalate(u32),
    Context,
    Silence(usize, i64),
    Result(usize, bool),
    Reload,
}

const NAMES: [&str; 3] = ["A", "B", "C"];
const PLACES: [&str; 3] = ["a", "b", "c"];
const SEVERITIES: [&str; 4] = ["page", "ticket", "context", ""];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0..3_usize, 0..3_usize, 0..4_usize).prop_map(|(n, p, s)| Act::Fire(n, p, s)),
        3 => (0..3_usize, 0..3_usize, 0..4_usize).prop_map(|(n, p, s)| Act::End(n, p, s)),
        6 => (1..400_i64).prop_map(Act::Pass),
        1 => Just(Act::Ack),
        1 => Just(Act::Unack),
        1 => Just(Act::Resolve),
        1 => (1..600_i64).prop_map(Act::Snooze),
        1 => (0..4_u32).prop_map(Act::Escalate),
        1 => Just(Act::Context),
        1 => (0..3_usize, 1..900_i64).prop_map(|(n, s)| Act::Silence(n, s)),
        6 => (0..5_usize, any::<bool>()).prop_map(|(n, ok)| Act::Result(n, ok)),
        1 => Just(Act::Reload),
    ]
}

fn event(world: &World, act: &Act) -> Option<PagerEvent> {
    let labels = |n: usize, p: usize, s: usize| {
        alert(&[
            ("alertname", NAMES[n]),
            ("i", PLACES[p]),
            ("severity", SEVERITIES[s]),
        ])
    };
    let case = world.pager.cases().first().map(|case| case.id);
    let actor = || "user:x".to_owned();
    let post = |alert| PagerEvent::Alerts {
        alerts: vec![alert],
        source: "test".to_owned(),
    };
    Some(match act {
        Act::Fire(n, p, s) => {
            let mut alert = labels(*n, *p, *s);
            // New words each time, so that it is written at once and not with the next flush of heartbeats.
            alert.annotations = alert.annotations.with("n", &world.ids.0.to_string());
            alert.ends_at = Some(world.now + SignedDuration::from_mins(30));
            post(alert)
        }
        Act::End(n, p, s) => {
            let mut alert = labels(*n, *p, *s);
            alert.ends_at = Some(world.now);
            post(alert)
        }
        Act::Pass(_) => PagerEvent::Tick,
        Act::Ack => PagerEvent::Acknowledge {
            case: case?,
            actor: actor(),
            as_of: None,
        },
        Act::Unack => PagerEvent::Unacknowledge {
            case: case?,
            actor: actor(),
        },
        Act::Resolve => PagerEvent::Resolve {
            case: case?,
            actor: actor(),
            text: String::new(),
        },
        Act::Snooze(s) => PagerEvent::Snooze {
            case: case?,
            actor: actor(),
            until: world.now + SignedDuration::from_secs(*s),
        },
        Act::Escalate(n) => PagerEvent::EscalateNow {
            case: case?,
            actor: actor(),
            as_of_step: *n,
        },
        Act::Context => PagerEvent::ContextReady {
            case: case?,
            text: "seen".to_owned(),
        },
        Act::Silence(n, s) => PagerEvent::SilenceSet(NewSilence {
            matcher_sets: vec![vec![bellwether_model::Matcher::equal(
                "alertname",
                NAMES[*n],
            )]],
            ends_at: world.now + SignedDuration::from_secs(*s),
            created_by: "x".to_owned(),
            ..NewSilence::default()
        }),
        Act::Result(n, ok) => {
            let delivery = world.outbox.get(*n)?;
            PagerEvent::DeliveryResult(DeliveryResult {
                id: delivery.id,
                state: if *ok {
                    DeliveryState::Done
                } else {
                    DeliveryState::Failed
                },
                receipt: Receipt::Unknown,
                attempt: 1,
                error: String::new(),
            })
        }
        Act::Reload => PagerEvent::Reconfigure(Arc::clone(world.pager.config())),
    })
}

/// Steps the pager and one restored from the records so far: both must decide the same.
fn step_both(world: &mut World, event: &PagerEvent) -> Result<(), TestCaseError> {
    let records: Vec<Record> = world.records.values().cloned().collect();
    let mut twin = Pager::new(Arc::clone(world.pager.config()));
    prop_assert!(twin.restore(&records, world.stepped).is_empty());
    prop_assert_eq!(twin.next_wake(), world.pager.next_wake());
    let mut ids = world.ids.clone();
    let expected = twin.step(world.now, event.clone(), &mut ids);
    world.step(event.clone());
    prop_assert_eq!(&world.last, &expected.why);
    prop_assert_eq!(&world.last_batch, &expected.batch);
    Ok(())
}

fn run(acts: &[Act]) -> Result<(), TestCaseError> {
    let mut world = World::with(config(MIXED));
    world.mute = vec!["terminal", "browser", "desktop", "email", "webhook"];
    for act in acts {
        if let Act::Pass(seconds) = act {
            let until = world.now + SignedDuration::from_secs(*seconds);
            while let Some(wake) = world.pager.next_wake().filter(|wake| *wake <= until) {
                world.now = world.now.max(wake);
                step_both(&mut world, &PagerEvent::Tick)?;
            }
            world.now = until;
        }
        if let Some(event) = event(&world, act) {
            if let PagerEvent::DeliveryResult(result) = &event {
                let id = result.id;
                world.outbox.retain(|delivery| delivery.id != id);
            }
            step_both(&mut world, &event)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A pager restored from what has been written goes on exactly as the one that never stopped; invariants hold at
    /// each step (the world checks them) and no key is used twice.
    #[test]
    fn restored_is_as_good_as_running(acts in proptest::collection::vec(act(), 1..40)) {
        run(&acts)?;
    }

    /// The order of alerts within a post changes nothing that is recorded.
    #[test]
    fn order_within_a_post_does_not_matter(
        picks in proptest::collection::btree_set((0..3_usize, 0..3_usize, 0..4_usize), 1..12),
        seed in any::<u64>(),
    ) {
        let alerts: Vec<_> = picks
            .iter()
            .map(|(n, p, s)| alert(&[("alertname", NAMES[*n]), ("i", PLACES[*p]), ("severity", SEVERITIES[*s])]))
            .collect();
        let mut shuffled = alerts.clone();
        let mut state = seed;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            shuffled.swap(index, (state >> 33) as usize % (index + 1));
        }
        let mut one = World::with(config(MIXED));
        let mut two = World::with(config(MIXED));
        one.post(alerts).minutes(4);
        two.post(shuffled).minutes(4);
        prop_assert_eq!(one.records, two.records);
        prop_assert_eq!(one.log, two.log);
    }
}

/// Alerts at the rate of 100,000 a year: everything goes through and everything is forgotten again.
#[test]
fn a_year_of_alerts() {
    let mut pager = Pager::new(config(MIXED));
    let mut ids = super::Counter(0);
    let mut now: jiff::Timestamp = super::START.parse().unwrap();
    let (mut pages, mut steps) = (0_usize, 0_usize);
    let mut outbox = Vec::new();
    // The default run takes the first week.
    let total = 2_000;
    for n in 0..total {
        let until = now + SignedDuration::from_secs(365 * 86_400 / 100_000);
        while let Some(wake) = pager.next_wake().filter(|wake| *wake <= until) {
            now = now.max(wake);
            let decision = pager.step(now, PagerEvent::Tick, &mut ids);
            outbox.extend(decision.batch.deliveries);
            steps += 1;
        }
        now = until;
        for delivery in std::mem::take(&mut outbox) {
            pages += 1;
            let result = DeliveryResult {
                id: delivery.id,
                state: DeliveryState::Done,
                receipt: Receipt::Delivered,
                attempt: 1,
                error: String::new(),
            };
            outbox.extend(
                pager
                    .step(now, PagerEvent::DeliveryResult(result), &mut ids)
                    .batch
                    .deliveries,
            );
        }
        let name = format!("N{}", n % 50);
        let mut one = alert(&[
            ("alertname", &name),
            ("i", PLACES[n % 3]),
            ("severity", SEVERITIES[n % 4]),
        ]);
        one.ends_at = Some(now + SignedDuration::from_mins(20));
        let event = PagerEvent::Alerts {
            alerts: vec![one],
            source: "test".to_owned(),
        };
        outbox.extend(pager.step(now, event, &mut ids).batch.deliveries);
        steps += 1;
        if n % 100 == 0 {
            assert_eq!(pager.check_invariants(now), []);
        }
    }
    assert!(pages > total / 4, "{pages} pages in {steps} steps");
    let end = now + SignedDuration::from_hours(24 * 9);
    while let Some(wake) = pager.next_wake().filter(|wake| *wake <= end) {
        now = wake;
        let _decision = pager.step(now, PagerEvent::Tick, &mut ids);
    }
    assert!(
        pager.cases().is_empty() && pager.alerts(now).is_empty(),
        "nothing is left behind"
    );
}
