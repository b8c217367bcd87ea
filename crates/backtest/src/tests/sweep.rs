//! Every combination of a sweep is what a replay of that very rule gives.

use std::time::Duration;

use bellwether_judge::EngineSettings;
use bellwether_model::series::{MemorySeries, Value};
use bellwether_promql::{Engine, ParserOptions, parse};
use proptest::prelude::*;

use super::{MINUTE, groups};
use crate::pages::Routing;
use crate::replay::{AlertHistory, Range, Replaying, Rules, replay};
use crate::run::{Backtest, warmup_ms};
use crate::score::Night;
use crate::sweep::{SweepError, Tries, comparison_of, evaluate};

const START: i64 = 1_800_000_000_000;

fn file(op: &str, threshold: f64, hold: u64, keep: u64) -> String {
    format!(
        "groups: [{{name: g, interval: 1m, rules: [{{record: r, expr: 2 * m}}, \
         {{alert: A, expr: 'r {op} {threshold} and on (i) up', for: {hold}s, keep_firing_for: {keep}s}}]}}]"
    )
}

fn with<T>(source: &MemorySeries, len: i64, work: impl FnOnce(&Backtest<'_>) -> T) -> T {
    work(&Backtest {
        source,
        promql: &Engine::default(),
        settings: &EngineSettings::default(),
        from: START,
        to: START + len * MINUTE,
        phases: 1,
        threads: 1,
        routing: &Routing::built_in(),
        incidents: None,
        night: &Night::default(),
        progress: &(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_combination_is_a_replay(
        values in prop::collection::vec((0_u8..10, 0_u8..10, 0_u8..8), 5..60),
        op in prop::sample::select(vec![">", ">=", "<", "<="]),
        keep in 0_u64..3,
        holds in prop::collection::vec(0_u64..6, 1..4),
        thresholds in prop::collection::vec(0_u8..20, 1..6),
    ) {
        let mut source = MemorySeries::default();
        for (minute, (a, b, up)) in values.iter().enumerate() {
            let at = START + minute as i64 * MINUTE;
            for (name, value, there) in [("m{i=\"a\"}", a, true), ("m{i=\"b\"}", b, true), ("up{i=\"a\"}", up, *up < 7)] {
                let value = if there { f64::from(*value) } else { f64::NAN };
                source.push(&bellwether_promql::parse_metric(name).unwrap(), at, Value::Float(value));
            }
        }
        let tries = Tries {
            rule: "A".to_owned(),
            thresholds: thresholds.iter().map(|t| f64::from(*t)).collect(),
            holds: holds.iter().map(|hold| Duration::from_secs(hold * 50)).collect(),
        };
        let base = groups(&file(op, 7.0, 60, keep * 70));
        with(&source, values.len() as i64, |with| {
            let evaluated = evaluate(&base, &tries, with).unwrap();
            for threshold in &tries.thresholds {
                for hold in &tries.holds {
                    let own = groups(&file(op, *threshold, hold.as_secs(), keep * 70));
                    let settings = EngineSettings::default();
                    let replayed = replay(
                        Rules { groups: &own, settings: &settings },
                        Range { from: with.from, to: with.to, warmup: warmup_ms(&own, &settings), phase: (0, 1) },
                        Replaying { source: with.source, promql: with.promql, threads: 1, slice: None, progress: &() },
                    )
                    .unwrap();
                    let mut expected: Vec<AlertHistory> = replayed.alerts;
                    for alert in &mut expected {
                        alert.episodes.retain(|life| life.fired_at.is_some());
                    }
                    expected.retain(|alert| !alert.episodes.is_empty());
                    prop_assert_eq!(evaluated.lives(*threshold, *hold), expected, "{} {:?}", threshold, hold);
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn pages_counted_by_group_are_the_pagers() {
    // Alerts that come and go in all ways: alone, together, one after the other, for long.
    let mut source = MemorySeries::default();
    let up = bellwether_promql::parse_metric("up{i=\"a\"}").unwrap();
    for minute in 0..2_000_i64 {
        let at = START + minute * MINUTE;
        for (name, value) in [
            ("m{i=\"a\"}", if (minute / 7) % 5 == 0 { 4.0 } else { 1.0 }),
            ("m{i=\"b\"}", if (minute / 13) % 7 == 0 { 6.0 } else { 0.5 }),
            (
                "m{i=\"c\"}",
                if (600..1500).contains(&minute) {
                    9.0
                } else {
                    0.0
                },
            ),
        ] {
            source.push(
                &bellwether_promql::parse_metric(name).unwrap(),
                at,
                Value::Float(value),
            );
        }
        source.push(&up, at, Value::Float(1.0));
    }
    let rules =
        groups("groups: [{name: g, interval: 1m, rules: [{alert: A, expr: m > 3, for: 2m}]}]");
    let tries = Tries {
        rule: "A".to_owned(),
        thresholds: vec![0.7, 2.0, 5.0, 8.0],
        holds: [0, 120, 600, 1200].map(Duration::from_secs).to_vec(),
    };
    let routes = "
route: {receiver: p, group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}
receivers: [{name: p, pagerduty_configs: [{routing_key: k}]}]
";
    let mode = bellwether_page::matchers::Mode::default();
    let (config, _) = bellwether_page::PageConfig::parse_alertmanager("a.yml", routes, mode);
    let routing = Routing::new(config.unwrap());
    with(&source, 2_000, |with| {
        let with = &Backtest {
            routing: &routing,
            ..*with
        };
        let sweep = evaluate(&rules, &tries, with)
            .unwrap()
            .sweep(&tries, with)
            .unwrap();
        assert_eq!(sweep.points.len(), 5 * 4);
        assert!(sweep.shown.iter().filter(|shown| shown.now).count() == 1);
        for shown in &sweep.shown {
            let difference = shown.point.pages.abs_diff(shown.figures.pages);
            assert!(
                difference * 10 <= shown.figures.pages.max(10),
                "{:?}: the pager pages {}",
                shown.point,
                shown.figures.pages
            );
        }
    });
}

#[test]
fn a_threshold_is_found_where_there_is_one() {
    let shown = |text: &str| {
        let (subject, comparison, threshold) =
            comparison_of(&parse(text, &ParserOptions::default()).unwrap())?;
        Some(format!("{subject} | {} | {threshold}", comparison.as_str()))
    };
    assert_eq!(shown("rate(a[5m]) > 0.5").unwrap(), "rate(a[5m]) | > | 0.5");
    assert_eq!(shown("(a / b <= -1)").unwrap(), "a / b | <= | -1");
    assert_eq!(
        shown("a > 1 and on (x) b > 2 unless c").unwrap(),
        "a and on (x) b > 2 unless c | > | 1"
    );
    for none in [
        "a > b",
        "a == 1",
        "absent(a)",
        "a > bool 1",
        "a > 1 or b > 2",
    ] {
        assert_eq!(shown(none), None, "{none}");
    }
}

#[test]
fn what_cannot_be_swept_says_why() {
    let source = MemorySeries::default();
    let why = |text: &str| {
        let tries = Tries {
            rule: "A".to_owned(),
            thresholds: vec![1.0],
            holds: Vec::new(),
        };
        with(&source, 10, |with| {
            evaluate(&groups(text), &tries, with).err().unwrap()
        })
    };
    let rule = |rule: &str| format!("groups: [{{name: g, rules: [{rule}]}}]");
    assert!(matches!(
        why(&rule("{alert: B, expr: a > 1}")),
        SweepError::NoSuchAlert(_)
    ));
    assert!(matches!(
        why(&rule("{alert: A, expr: a > b}")),
        SweepError::NoThreshold(_)
    ));
    assert!(matches!(
        why(&rule(
            "{alert: A, expr: a > 1, labels: {v: '{{ $value }}'}}"
        )),
        SweepError::SlotBySlot(_)
    ));
}
