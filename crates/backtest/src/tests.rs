mod laws;
mod month;
mod reading;
mod sweep;

use std::collections::BTreeMap;

use bellwether_judge::{EngineSettings, GroupConfig, RuleEngine, RuleFile};
use bellwether_model::series::MemorySeries;
use bellwether_model::{Labels, Problems};
use bellwether_promql::Engine;
use jiff::Timestamp;

use crate::replay::Replayed;

const MINUTE: i64 = 60_000;

/// A firing alert's life: rule, labels, from, to.
type Firing = (String, String, i64, Option<i64>);

fn groups(text: &str) -> Vec<GroupConfig> {
    let mut problems = Problems::default();
    let groups = RuleFile::read("r.yml", text, &mut problems);
    assert!(!problems.has_errors(), "{problems}");
    groups
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

/// What the live engine does, slot by slot, from a time on; its samples go into `series`.
fn live(
    groups: &[GroupConfig],
    settings: &EngineSettings,
    series: &mut MemorySeries,
    (from, to): (i64, i64),
) -> Vec<Firing> {
    let mut engine = RuleEngine::new(settings.clone());
    drop(engine.load(at(from), settings.clone(), groups.to_vec()));
    let promql = Engine::default();
    let mut open: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut all: Vec<Firing> = Vec::new();
    while let Some(wake) = engine.wake_at().filter(|wake| *wake <= at(to)) {
        for due in engine.due(wake) {
            let outcome = engine
                .evaluate_group(&due.key, due.slot, series, &promql)
                .unwrap();
            for sample in &outcome.samples {
                series.push(&sample.labels, sample.timestamp, sample.value.clone());
            }
            for event in &outcome.batch.events {
                let rule = event.data["rule"].as_str().unwrap().to_owned();
                let labels: Labels = serde_json::from_value(event.data["labels"].clone()).unwrap();
                let key = (rule.clone(), labels.to_string());
                match event.kind.as_str() {
                    "alert_firing" => {
                        open.insert(key, all.len());
                        all.push((rule, labels.to_string(), due.slot, None));
                    }
                    "alert_resolved" => {
                        if let Some(index) = open.remove(&key) {
                            all[index].3 = Some(due.slot);
                        }
                    }
                    _ => {}
                }
            }
            // A rule over its limit drops its alerts without a word.
            for error in &outcome.errors {
                if error.message.starts_with("exceeded limit") {
                    open.retain(|(rule, _), index| {
                        let gone = *rule == error.rule;
                        if gone {
                            all[*index].3 = Some(due.slot);
                        }
                        !gone
                    });
                }
            }
        }
    }
    all.sort();
    all
}

fn fired(replayed: &Replayed, groups: &[GroupConfig]) -> Vec<Firing> {
    let mut all: Vec<Firing> = Vec::new();
    for alert in &replayed.alerts {
        for life in &alert.episodes {
            if let Some(fired_at) = life.fired_at {
                all.push((
                    groups[alert.group].rules[alert.rule].name.clone(),
                    alert.labels.to_string(),
                    fired_at,
                    life.ended_at,
                ));
            }
        }
    }
    all.sort();
    all
}
