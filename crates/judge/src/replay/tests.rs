use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::series::{MemorySeries, Value, stale_nan};
use bellwether_model::{Labels, Problems};
use bellwether_promql::Engine;
use jiff::Timestamp;
use proptest::prelude::*;

use crate::engine::{EngineSettings, RuleEngine};
use crate::replay::{AlertLabels, Condition, Episode, Run, Ticks, episodes};
use crate::rules::{GroupConfig, RuleFile};

fn rule(more: &str) -> GroupConfig {
    let text =
        format!("groups: [{{name: g, interval: 1m, rules: [{{alert: A, expr: m > 5{more}}}]}}]");
    let mut problems = Problems::default();
    let mut groups = RuleFile::read("r.yml", &text, &mut problems);
    assert!(!problems.has_errors(), "{problems}");
    groups.remove(0)
}

/// What the live engine does, tick by tick: read off its timeline.
fn live(group: &GroupConfig, ticks: &Ticks, values: &[Option<u8>]) -> Vec<Episode> {
    let settings = EngineSettings::default();
    let mut engine = RuleEngine::new(settings.clone());
    drop(engine.load(
        Timestamp::from_millisecond(ticks.time(0)).unwrap(),
        settings,
        vec![group.clone()],
    ));
    let labels = Labels::new([("__name__", "m")]);
    let mut source = MemorySeries::default();
    let mut all: Vec<Episode> = Vec::new();
    for (tick, value) in values.iter().enumerate() {
        let now = ticks.time(tick);
        let value = value.map_or_else(stale_nan, f64::from);
        source.push(&labels, now, Value::Float(value));
        let outcome = engine
            .evaluate_group(&group.key(), now, &source, &Engine::default())
            .unwrap();
        assert_eq!(outcome.errors, []);
        for event in outcome.batch.events {
            match event.kind.as_str() {
                "alert_pending" => all.push(Episode {
                    active_at: now,
                    fired_at: None,
                    ended_at: None,
                }),
                "alert_firing" => {
                    if all.last().is_none_or(|last| last.ended_at.is_some()) {
                        all.push(Episode {
                            active_at: now,
                            fired_at: None,
                            ended_at: None,
                        });
                    }
                    all.last_mut().unwrap().fired_at = Some(now);
                }
                "alert_resolved" => all.last_mut().unwrap().ended_at = Some(now),
                other => panic!("{other}"),
            }
        }
        // A pending alert that goes away leaves no event: it is simply no longer there.
        let gone = engine.status().alerts().next().is_none();
        if let Some(last) = all
            .last_mut()
            .filter(|last| gone && last.ended_at.is_none())
        {
            last.ended_at = Some(now);
        }
    }
    all
}

fn runs(values: &[Option<u8>], over: Option<u8>) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    for (tick, value) in values.iter().enumerate() {
        let condition = match (value, over) {
            (Some(value), _) if *value > 5 => Condition::Holds,
            (Some(value), Some(over)) if *value >= over => Condition::Held,
            _ => continue,
        };
        match all.last_mut() {
            Some(last) if last.last + 1 == tick && last.condition == condition => last.last = tick,
            _ => all.push(Run {
                first: tick,
                last: tick,
                condition,
            }),
        }
    }
    all
}

proptest! {
    /// Runs give what ticks give, whatever the times of the rule.
    #[test]
    fn runs_are_the_live_engine(
        values in prop::collection::vec(prop::option::weighted(0.9, 0_u8..10), 1..60),
        hold in 0_u64..6,
        keep in 0_u64..6,
        over in prop::option::of(1_u8..6),
    ) {
        // Seconds that are no multiple of the interval too.
        let resolve = over.map_or(String::new(), |over| format!(", resolve_expr: 'm < {over}'"));
        let group = rule(&format!(", for: {}s, keep_firing_for: {}s{resolve}", hold * 45, keep * 45));
        let ticks = Ticks::Even { first: 1_800_000_000_000, interval: 60_000, len: values.len() };
        let fast = episodes(&group.rules[0], &ticks, &runs(&values, over));
        prop_assert_eq!(fast, live(&group, &ticks, &values));
    }

    /// Listed ticks are the same as even ones.
    #[test]
    fn ticks_are_found_by_time(first in -100_i64..100, interval in 1_i64..50, len in 0_usize..20, time in -200_i64..1500) {
        let even = Ticks::Even { first, interval, len };
        let listed = Ticks::Listed((0..len).map(|index| even.time(index)).collect());
        prop_assert_eq!(even.at_or_after(time), listed.at_or_after(time));
    }
}

#[test]
fn labels_vary_with_the_value_only_when_they_name_it() {
    let mut found = BTreeMap::new();
    for label in [
        "plain",
        "{{ $labels.job }}-{{ .Labels.instance }}",
        "{{ $value }}",
        "{{ with query \\\"up\\\" }}x{{ end }}",
        "{{ . }}",
        "{{ $labels.job | title }}",
    ] {
        let group = rule(&format!(", labels: {{a: \"{label}\"}}"));
        let settings = EngineSettings::default();
        found.insert(label, AlertLabels::new(&group.rules[0], &settings).vary());
    }
    let varying: Vec<&str> = found
        .iter()
        .filter(|(_, vary)| **vary)
        .map(|(label, _)| *label)
        .collect();
    assert_eq!(
        varying,
        [
            "{{ $value }}",
            "{{ . }}",
            "{{ with query \\\"up\\\" }}x{{ end }}"
        ]
    );
}

#[test]
fn a_pending_alert_waits_for_the_first_slot_after_its_time() {
    let ticks = Ticks::Even {
        first: 0,
        interval: 60_000,
        len: 10,
    };
    let run = Run {
        first: 1,
        last: 5,
        condition: Condition::Holds,
    };
    let found = super::episodes_with(Duration::from_secs(90), Duration::ZERO, &ticks, &[run]);
    assert_eq!(
        found,
        [Episode {
            active_at: 60_000,
            fired_at: Some(180_000),
            ended_at: Some(360_000)
        }]
    );
}
