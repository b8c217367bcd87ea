use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{MemorySeries, Value, is_stale};
use bellwether_model::state::Record;
use bellwether_model::{Batch, Labels, PostedAlert, Problems};
use bellwether_promql::Engine;
use jiff::Timestamp;
use proptest::prelude::*;

use crate::engine::{EngineSettings, GroupOutcome, RuleEngine};
use crate::rules::{GroupConfig, RuleFile};
use crate::status::{AlertState, Health};

const START: i64 = 1_800_000_000;
const MINUTE: i64 = 60_000;

fn groups(text: &str) -> Vec<GroupConfig> {
    let mut problems = Problems::default();
    let groups = RuleFile::read("r.yml", text, &mut problems);
    assert!(!problems.has_errors(), "{problems}");
    groups
}

/// A group with one alert on `m > 0`.
fn alert(more: &str) -> String {
    format!(
        "groups:\n- name: g\n  interval: 1m\n  rules:\n  - alert: A\n    expr: m > 0\n{}",
        more.lines()
            .flat_map(|line| ["    ", line, "\n"])
            .collect::<String>()
    )
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

/// The engine with everything around it: samples, records, a clock that steps from slot to slot.
struct World {
    engine: RuleEngine,
    settings: EngineSettings,
    groups: Vec<GroupConfig>,
    series: MemorySeries,
    records: BTreeMap<String, Record>,
    promql: Engine,
    now: i64,
}

impl World {
    fn new(text: &str) -> Self {
        Self::with(text, EngineSettings::default())
    }

    fn with(text: &str, settings: EngineSettings) -> Self {
        let mut engine = RuleEngine::new(settings.clone());
        let groups = groups(text);
        drop(engine.load(at(START * 1000), settings.clone(), groups.clone()));
        let now = engine
            .wake_at()
            .map_or(START * 1000, Timestamp::as_millisecond);
        Self {
            engine,
            settings,
            groups,
            series: MemorySeries::default(),
            records: BTreeMap::new(),
            promql: Engine::default(),
            now,
        }
    }

    fn set(&mut self, series: &str, value: f64) {
        let labels = bellwether_promql::parse_metric(series).unwrap();
        self.series.push(&labels, self.now, Value::Float(value));
    }

    fn store(&mut self, batch: Batch) {
        for write in batch.records {
            assert_eq!(write.kind, crate::engine::ALERT_RULE);
            match write.body {
                Some(body) => {
                    // Through text, as a database has it.
                    let body = serde_json::from_str(&body.to_string()).unwrap();
                    let record = Record {
                        kind: write.kind.0.to_owned(),
                        id: write.id.clone(),
                        version: 1,
                        due_at: None,
                        body,
                    };
                    self.records.insert(write.id, record);
                }
                None => assert!(self.records.remove(&write.id).is_some()),
            }
        }
    }

    /// Evaluates all groups that are due and goes on to the next minute.
    fn tick(&mut self) -> GroupOutcome {
        let mut all = GroupOutcome::default();
        for due in self.engine.due(at(self.now)) {
            let outcome = self
                .engine
                .evaluate_group(&due.key, due.slot, &self.series, &self.promql)
                .unwrap();
            for sample in &outcome.samples {
                self.series
                    .push(&sample.labels, sample.timestamp, sample.value.clone());
            }
            self.store(outcome.batch.clone());
            all.samples.extend(outcome.samples);
            all.alerts.extend(outcome.alerts);
            all.errors.extend(outcome.errors);
            all.batch.append(outcome.batch);
        }
        self.now += MINUTE;
        all
    }

    fn reload(&mut self, text: &str) {
        self.groups = groups(text);
        // Just after the last slot, as a person would.
        let batch = self.engine.load(
            at(self.now - MINUTE + 1),
            self.settings.clone(),
            self.groups.clone(),
        );
        self.store(batch);
    }

    /// Loses everything but samples and records.
    fn crash(&mut self) {
        let after = at(self.now - MINUTE + 1);
        self.engine = RuleEngine::new(self.settings.clone());
        drop(
            self.engine
                .load(after, self.settings.clone(), self.groups.clone()),
        );
        let records: Vec<Record> = self.records.values().cloned().collect();
        let batch = self.engine.restore(after, &records);
        self.store(batch);
    }

    /// One word per tick: state (I, P, F) and `!` when something was sent.
    fn play(&mut self, values: &str) -> String {
        let mut words = Vec::new();
        for word in values.split_whitespace() {
            match word {
                "_" => {
                    if self.series_known() {
                        self.set("m{i=\"a\"}", bellwether_model::series::stale_nan());
                    }
                }
                value => self.set("m{i=\"a\"}", value.parse().unwrap()),
            }
            let outcome = self.tick();
            let state = self.engine.status().groups[0].rules[0].state;
            let letter = match state {
                AlertState::Inactive => "I",
                AlertState::Pending => "P",
                AlertState::Firing => "F",
            };
            let sent = if outcome.alerts.is_empty() { "" } else { "!" };
            words.push(format!("{letter}{sent}"));
        }
        words.join(" ")
    }

    fn series_known(&self) -> bool {
        use bellwether_model::series::SeriesSource as _;
        !self.series.series(&[], 0, i64::MAX).unwrap().is_empty()
    }
}

#[test]
fn states_follow_the_condition() {
    for (name, more, values, expected) in [
        ("no for fires at once", "", "0 1 1 1 0 0", "I F! F F! I! I"),
        ("for is waited out", "for: 2m", "1 1 1 1 0", "P P F! F I!"),
        (
            "one missing tick drops a pending alert",
            "for: 2m",
            "1 1 0 1 1 1",
            "P P I P P F!",
        ),
        (
            "a gap counts as missing",
            "for: 2m",
            "1 1 _ 1 1 1",
            "P P I P P F!",
        ),
        (
            "keeps firing while less than the time",
            "keep_firing_for: 2m",
            "1 0 0 0 0",
            "F! F F! I! I",
        ),
        (
            "a return resets keep_firing_for",
            "keep_firing_for: 2m",
            "1 0 0 1 0 0 0",
            "F! F F! F F! F I!",
        ),
        (
            "keep_firing_for is for firing only",
            "for: 2m\nkeep_firing_for: 5m",
            "1 1 0 0",
            "P P I I",
        ),
        (
            "fires anew after it was resolved",
            "",
            "1 0 1 0",
            "F! I! F! I!",
        ),
        (
            "between the two thresholds a firing alert goes on",
            "resolve_expr: m < -5",
            "0 1 0 -3 1 -4 -6 0",
            "I F! F F! F F! I! I",
        ),
        (
            "hysteresis is for firing only",
            "for: 2m\nresolve_expr: m < -5",
            "1 1 0 1",
            "P P I P",
        ),
        (
            "what is gone does not hold an alert",
            "resolve_expr: m < -5",
            "1 -1 _ -1",
            "F! F I! I",
        ),
        (
            "keep_firing_for begins when hysteresis ends",
            "resolve_expr: m < -5\nkeep_firing_for: 2m",
            "1 0 -6 -6 -6",
            "F! F F! F I!",
        ),
    ] {
        assert_eq!(World::new(&alert(more)).play(values), expected, "{name}");
    }
}

#[test]
fn what_was_seen_and_is_gone_is_absent() {
    let mut world = World::new(
        "groups: [{name: g, interval: 1m, rules: [{alert: Gone, expr: 'm', absent_by: {labels: [i], within: 10m}}]}]",
    );
    let gone = |world: &mut World| {
        world.tick();
        let status = world.engine.status();
        let mut gone: Vec<String> = status
            .alerts()
            .map(|(_, _, alert)| alert.labels.get("i").to_owned())
            .collect();
        gone.sort();
        gone.join(",")
    };
    let mut seen = Vec::new();
    for minute in 0..14 {
        world.set("m{i=\"a\"}", 1.0);
        if minute < 2 {
            world.set("m{i=\"b\"}", 1.0);
        } else if minute == 2 {
            world.set("m{i=\"b\"}", bellwether_model::series::stale_nan());
        }
        seen.push(gone(&mut world));
    }
    // Forgotten ten minutes after the last sample.
    let expected = [
        "", "", "b", "b", "b", "b", "b", "b", "b", "b", "b", "", "", "",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn resolved_alerts_are_sent_for_a_quarter_of_an_hour() {
    let mut world = World::new(&alert(""));
    world.play("1 0");
    let resolved_at = at(world.now - MINUTE);
    let mut sent: Vec<(i64, PostedAlert)> = Vec::new();
    for minute in 1..=20 {
        world.set("m{i=\"a\"}", 0.0);
        let outcome = world.tick();
        sent.extend(outcome.alerts.into_iter().map(|alert| (minute, alert)));
    }
    assert!(
        sent.iter()
            .all(|(_, alert)| alert.ends_at == Some(resolved_at))
    );
    let minutes: Vec<i64> = sent.iter().map(|(minute, _)| *minute).collect();
    assert_eq!(minutes, [2, 4, 6, 8, 10, 12, 14]);
    assert!(world.records.is_empty(), "forgotten for good");
}

#[test]
fn what_is_sent_is_complete() {
    let settings = EngineSettings {
        external_labels: Labels::new([("cluster", "c1"), ("team", "external")]),
        external_url: "http://bw:9876".to_owned(),
        ..EngineSettings::default()
    };
    let text = alert(
        "labels: {team: db, level: 'v{{ $labels.i }}'}\nannotations: {summary: '{{ $labels.i }}={{ $value }} in {{ $externalLabels.cluster }}{{ $labels.none }}'}\nrunbook: fix-it\nowner: ana",
    );
    let mut world = World::with(&text, settings);
    world.set("m{i=\"a\"}", 1e6);
    let now = at(world.now);
    let outcome = world.tick();
    let alert = &outcome.alerts[0];
    assert_eq!(
        alert.labels.to_string(),
        r#"{alertname="A", cluster="c1", i="a", level="va", team="db"}"#
    );
    assert_eq!(
        alert.annotations.to_string(),
        r#"{owner="ana", runbook="fix-it", summary="a=1e+06 in c1"}"#
    );
    assert_eq!(alert.starts_at, Some(now));
    assert_eq!(alert.ends_at, Some(at(now.as_millisecond() + 4 * MINUTE)));
    assert_eq!(
        alert.generator_url,
        "http://bw:9876/graph?g0.expr=m+%3E+0&g0.tab=1"
    );
    let event = &outcome.batch.events[0];
    assert_eq!(
        (&*event.kind, &*event.text),
        ("alert_firing", "A is firing: a=1e+06 in c1")
    );
}

fn shown(outcome: &GroupOutcome) -> Vec<String> {
    outcome
        .samples
        .iter()
        .map(|sample| match sample.value {
            Value::Float(value) if is_stale(value) => format!("{} stale", sample.labels),
            Value::Float(value) => format!("{} {value}", sample.labels),
            Value::Histogram(_) => format!("{} histogram", sample.labels),
        })
        .collect()
}

#[test]
fn synthetic_series_follow_the_state() {
    let mut world = World::new(&alert("for: 1m"));
    world.set("m{i=\"a\"}", 1.0);
    let since = world.now / 1000;
    assert_eq!(
        shown(&world.tick()),
        [
            r#"ALERTS{alertname="A", alertstate="pending", i="a"} 1"#.to_owned(),
            format!(r#"ALERTS_FOR_STATE{{alertname="A", i="a"}} {since}"#),
        ]
    );
    world.set("m{i=\"a\"}", 1.0);
    assert_eq!(
        shown(&world.tick()),
        [
            r#"ALERTS{alertname="A", alertstate="firing", i="a"} 1"#.to_owned(),
            format!(r#"ALERTS_FOR_STATE{{alertname="A", i="a"}} {since}"#),
            r#"ALERTS{alertname="A", alertstate="pending", i="a"} stale"#.to_owned(),
        ]
    );
    world.set("m{i=\"a\"}", 0.0);
    assert_eq!(
        shown(&world.tick()),
        [
            r#"ALERTS{alertname="A", alertstate="firing", i="a"} stale"#,
            r#"ALERTS_FOR_STATE{alertname="A", i="a"} stale"#,
        ]
    );
    assert_eq!(shown(&world.tick()), [""; 0]);
}

#[test]
fn later_rules_see_earlier_ones_at_the_same_tick() {
    let mut world = World::new(
        "groups:\n- name: g\n  interval: 1m\n  labels: {from: group}\n  rules:\n  - {record: a, expr: m, labels: {x: '1'}}\n  - {record: b, expr: a * 2}\n  - {alert: C, expr: b > 5}\n  - {record: d, expr: ALERTS > 0}\n",
    );
    world.set("m{i=\"a\"}", 3.0);
    assert_eq!(
        shown(&world.tick()),
        [
            r#"a{from="group", i="a", x="1"} 3"#.to_owned(),
            r#"b{from="group", i="a", x="1"} 6"#.to_owned(),
            r#"ALERTS{alertname="C", alertstate="firing", from="group", i="a", x="1"} 1"#
                .to_owned(),
            format!(
                r#"ALERTS_FOR_STATE{{alertname="C", from="group", i="a", x="1"}} {}"#,
                world.now / 1000 - 60
            ),
            r#"d{alertname="C", alertstate="firing", from="group", i="a", x="1"} 1"#.to_owned(),
        ]
    );
    // The source vanishes: everything built on it goes stale in one tick.
    world.set("m{i=\"a\"}", bellwether_model::series::stale_nan());
    let stale = shown(&world.tick());
    assert_eq!(stale.len(), 5, "{stale:?}");
    assert!(
        stale.iter().all(|line| line.ends_with(" stale")),
        "{stale:?}"
    );
}

#[test]
fn query_offset_shifts_data_but_not_the_alert() {
    let text = alert("").replace("interval: 1m", "interval: 1m\n  query_offset: 1m");
    let mut world = World::new(&text);
    world.set("m{i=\"a\"}", 1.0);
    assert!(
        world.tick().samples.is_empty(),
        "the sample is not a minute old"
    );
    let slot = world.now;
    let outcome = world.tick();
    assert!(
        outcome
            .samples
            .iter()
            .all(|sample| sample.timestamp == slot - MINUTE)
    );
    assert_eq!(outcome.alerts[0].starts_at, Some(at(slot)));
    assert_eq!(
        world.engine.status().groups[0].query_offset,
        Duration::from_mins(1)
    );
}

#[test]
fn an_error_keeps_state_and_marks_nothing() {
    let mut world = World::new(&alert("labels: {i: same}"));
    world.set("m{i=\"a\"}", 1.0);
    assert_eq!(world.tick().alerts.len(), 1);
    world.set("m{i=\"b\"}", 1.0);
    let outcome = world.tick();
    assert!(
        outcome.errors[0].message.contains("same labelset"),
        "{:?}",
        outcome.errors
    );
    assert!(outcome.samples.is_empty());
    let status = world.engine.status();
    let rule = &status.groups[0].rules[0];
    assert_eq!((rule.health, rule.alerts.len()), (Health::Error, 1));
    world.set("m{i=\"b\"}", 0.0);
    world.set("m{i=\"a\"}", 1.0);
    let outcome = world.tick();
    assert!(outcome.errors.is_empty());
    let rule_status = &world.engine.status().groups[0].rules[0];
    assert_eq!(
        (rule_status.health, &*rule_status.last_error),
        (Health::Ok, "")
    );
}

#[test]
fn a_limit_drops_all_alerts_of_the_rule() {
    let mut world = World::new(&alert("").replace("interval: 1m", "interval: 1m\n  limit: 1"));
    world.set("m{i=\"a\"}", 1.0);
    assert!(world.tick().errors.is_empty());
    world.set("m{i=\"b\"}", 1.0);
    let outcome = world.tick();
    assert_eq!(
        outcome.errors[0].message,
        "exceeded limit of 1 with 2 alerts"
    );
    assert!(world.engine.status().groups[0].rules[0].alerts.is_empty());
    assert!(world.records.is_empty());
}

#[test]
fn a_template_that_fails_still_fires_its_alert() {
    let mut world = World::new(&alert("annotations: {summary: '{{ .Value.none }}'}"));
    world.set("m{i=\"a\"}", 1.0);
    let outcome = world.tick();
    assert!(
        outcome.alerts[0]
            .annotations
            .get("summary")
            .starts_with("<error expanding template: template annotation summary of A:1:"),
        "{:?}",
        outcome.alerts[0].annotations
    );
}

#[test]
fn templates_can_query_at_the_time_of_the_evaluation() {
    let mut world = World::new(&alert(
        "annotations: {other: '{{ with query \"n\" }}{{ . | first | value }}{{ end }}'}",
    ));
    world.set("m{i=\"a\"}", 1.0);
    world.set("n", 42.0);
    assert_eq!(world.tick().alerts[0].annotations.get("other"), "42");
}

#[test]
fn a_reload_keeps_the_state_of_rules_that_stay() {
    let mut world = World::new(&alert("for: 3m"));
    assert_eq!(world.play("1 1"), "P P");
    // Another rule in front, another expression, another hold: still the same alert.
    world.reload(
        &alert("for: 2m").replace("  - alert: A", "  - alert: Z\n    expr: none\n  - alert: A"),
    );
    world.set("m{i=\"a\"}", 1.0);
    world.tick();
    let status = world.engine.status();
    assert_eq!(status.groups[0].rules[1].state, AlertState::Firing);
    assert_eq!(status.groups[0].iterations, 3);
    // A raised `for` sends it back.
    world.reload(&alert("for: 1h"));
    assert_eq!(world.play("1"), "P");
    // Other labels: another rule, from the start.
    world.reload(&alert("for: 2m\nlabels: {x: y}"));
    assert_eq!(world.play("1 1 1"), "P P F!");
}

#[test]
fn equal_rules_keep_their_place() {
    let twice = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {alert: A, expr: m > 0, for: 10m}\n  - {alert: A, expr: n > 0, for: 10m}\n";
    let mut world = World::new(twice);
    world.set("n", 1.0);
    world.tick();
    world.reload(twice);
    let status = world.engine.status();
    let counts: Vec<usize> = status.groups[0]
        .rules
        .iter()
        .map(|rule| rule.alerts.len())
        .collect();
    assert_eq!(counts, [0, 1]);
    world.crash();
    let status = world.engine.status();
    let counts: Vec<usize> = status.groups[0]
        .rules
        .iter()
        .map(|rule| rule.alerts.len())
        .collect();
    assert_eq!(counts, [0, 1]);
}

#[test]
fn series_of_removed_rules_go_stale() {
    let two = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {record: a, expr: m}\n  - {record: b, expr: m}\n- name: h\n  interval: 1m\n  rules:\n  - {alert: C, expr: m > 0}\n";
    let mut world = World::new(two);
    world.set("m", 1.0);
    world.tick();
    world.tick();
    assert_eq!(world.records.len(), 1);
    world.reload("groups:\n- name: g\n  interval: 1m\n  rules:\n  - {record: b, expr: m}\n");
    assert!(
        world.records.is_empty(),
        "the record of a removed rule is deleted"
    );
    let reloaded = at(world.now - MINUTE + 1);
    assert_eq!(shown(&world.tick()), ["b 1", "a stale"]);
    let before = world
        .engine
        .expire(reloaded + jiff::SignedDuration::from_secs(119));
    assert!(before.is_empty());
    let after = world
        .engine
        .expire(reloaded + jiff::SignedDuration::from_mins(2));
    assert_eq!(after.len(), 2);
    assert!(
        after
            .iter()
            .all(|s| s.labels.metric_name().starts_with("ALERTS"))
    );
    assert!(
        world
            .engine
            .expire(reloaded + jiff::SignedDuration::from_mins(9))
            .is_empty()
    );
}

#[test]
fn slots_stay_in_place_and_missed_ones_are_skipped() {
    let text =
        "groups:\n- {name: a, interval: 1m, rules: []}\n- {name: b, interval: 1m, rules: []}\n";
    let mut engine = RuleEngine::new(EngineSettings::default());
    let start = START * 1000;
    drop(engine.load(at(start), EngineSettings::default(), groups(text)));
    let first: Vec<i64> = (0..60)
        .flat_map(|second| engine.due(at(start + second * 1000 + 999)))
        .map(|due| due.slot)
        .collect();
    assert_eq!(first.len(), 2);
    assert_ne!(first[0], first[1], "groups spread out");
    assert!(
        first
            .iter()
            .all(|slot| (start..start + MINUTE).contains(slot))
    );
    let late = engine.due(at(start + 5 * MINUTE + 59_999));
    assert_eq!(
        late.iter().map(|due| due.missed).collect::<Vec<_>>(),
        [4, 4]
    );
    for due in &late {
        assert_eq!((due.slot - start) / MINUTE, 5);
        assert!(
            first.contains(&(due.slot - 5 * MINUTE)),
            "the place of a group stays"
        );
    }
    assert!(
        engine.due(at(start + 5 * MINUTE + 59_999)).is_empty(),
        "once per slot"
    );
    assert_eq!(engine.status().groups[0].iterations_missed, 4);
}

#[test]
fn downtime_counts_for_a_pending_alert_that_still_holds() {
    let mut world = World::new(&alert("for: 10m"));
    assert_eq!(world.play("1 1"), "P P");
    world.now += 20 * MINUTE;
    world.crash();
    assert_eq!(world.play("1"), "F!");
    // And for one that does not: it is gone, without a page.
    let mut world = World::new(&alert("for: 10m"));
    world.play("1 1");
    world.now += 20 * MINUTE;
    world.crash();
    assert_eq!(world.play("0"), "I");
}

#[test]
fn records_of_unknown_rules_wait_a_day() {
    let mut world = World::new(&alert("for: 10m"));
    world.play("1 1");
    let stored: Vec<Record> = world.records.values().cloned().collect();
    let mut engine = RuleEngine::new(EngineSettings::default());
    let now = at(world.now);
    drop(engine.load(now, EngineSettings::default(), Vec::new()));
    assert!(engine.restore(now, &stored).is_empty());
    drop(engine.load(now, EngineSettings::default(), groups(&alert("for: 10m"))));
    assert_eq!(
        engine.status().groups[0].rules[0].state,
        AlertState::Pending
    );
    let mut engine = RuleEngine::new(EngineSettings::default());
    drop(engine.load(now, EngineSettings::default(), Vec::new()));
    let batch = engine.restore(now + jiff::SignedDuration::from_hours(25), &stored);
    assert_eq!(batch.records.len(), 1);
    // A record that nobody can read is deleted, not stumbled over.
    let bad = Record {
        body: serde_json::json!({"version": "99"}),
        ..stored[0].clone()
    };
    assert_eq!(engine.restore(now, &[bad]).records.len(), 1);
}

/// What matters of one tick: series of alerts, states, and the first sending of each firing and each resolution.
#[derive(Debug, PartialEq)]
struct Seen {
    samples: Vec<String>,
    states: Vec<(Labels, AlertState, Timestamp, Option<Timestamp>)>,
    news: Vec<String>,
}

fn run(script: &[[Option<bool>; 2]], crashes: &[bool]) -> Vec<Seen> {
    let text = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {alert: A, expr: m > 0}\n  - {alert: B, expr: m > 0, for: 2m}\n  - {alert: C, expr: m > 0, for: 1m, keep_firing_for: 2m}\n  - {alert: D, expr: m > 0, keep_firing_for: 3m, annotations: {v: '{{ $value }}'}}\n";
    let mut world = World::new(text);
    let mut sent = std::collections::BTreeSet::new();
    let mut seen = Vec::new();
    for (tick, values) in script.iter().enumerate() {
        for (name, value) in ["m{i=\"a\"}", "m{i=\"b\"}"].iter().zip(values) {
            match value {
                Some(value) => world.set(name, f64::from(u8::from(*value))),
                None => world.set(name, bellwether_model::series::stale_nan()),
            }
        }
        let outcome = world.tick();
        assert!(outcome.errors.is_empty());
        let news = outcome
            .alerts
            .iter()
            .map(|alert| {
                let ended = alert.ends_at.filter(|end| *end < at(world.now));
                format!("{} {:?} {ended:?}", alert.labels, alert.starts_at)
            })
            .filter(|line| sent.insert(line.clone()))
            .collect();
        let status = world.engine.status();
        seen.push(Seen {
            samples: shown(&outcome),
            states: status
                .alerts()
                .map(|(_, _, alert)| {
                    (
                        alert.labels.clone(),
                        alert.state,
                        alert.active_at,
                        alert.keep_firing_since,
                    )
                })
                .collect(),
            news,
        });
        if crashes.get(tick) == Some(&true) {
            world.crash();
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn crashes_at_any_tick_change_nothing(
        script in prop::collection::vec(
            [prop::option::weighted(0.9, any::<bool>()), prop::option::weighted(0.9, any::<bool>())],
            1..40,
        ),
        crashes in prop::collection::vec(any::<bool>(), 40),
    ) {
        // In one piece, in chunks, and with a restart after every tick.
        let whole = run(&script, &[]);
        prop_assert_eq!(&whole, &run(&script, &crashes));
        prop_assert_eq!(&whole, &run(&script, &[true; 40]));
    }
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let outcome = || {
        let mut world = World::new(&alert("for: 1m"));
        world.set("m{i=\"b\"}", 1.0);
        world.set("m{i=\"a\"}", 1.0);
        let first = world.tick();
        format!(
            "{:?} {}",
            shown(&first),
            serde_json::to_string(&first.batch).unwrap()
        )
    };
    assert_eq!(outcome(), outcome());
    assert!(outcome().contains(METRIC_NAME) || outcome().contains("ALERTS"));
}

/// After a restart the data has a gap; what fired goes on until it is known to be over.
#[test]
fn a_firing_alert_outlives_the_gap_of_a_restart() {
    let text = "groups: [{name: g, interval: 1s, rules: [{alert: A, expr: x > 0}]}]";
    let groups = RuleFile::read("f", text, &mut Problems::default());
    let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
    let promql = Engine::default();
    let mut series = MemorySeries::default();
    let labels = Labels::new([("__name__", "x")]);
    series.push(&labels, at(0).as_millisecond(), Value::Float(1.0));
    let firing = |engine: &RuleEngine| engine.status().alerts().count();
    let tick = |engine: &mut RuleEngine, series: &MemorySeries, second: i64| {
        let mut batch = Batch::default();
        for due in engine.due(at(second)) {
            batch.append(
                engine
                    .evaluate_group(&due.key, due.slot, series, &promql)
                    .unwrap()
                    .batch,
            );
        }
        batch
    };
    let mut engine = RuleEngine::new(EngineSettings::default());
    drop(engine.load(at(0), EngineSettings::default(), groups.clone()));
    let batch = tick(&mut engine, &series, 2);
    assert_eq!(firing(&engine), 1);
    let records: Vec<Record> = batch
        .records
        .into_iter()
        .map(|write| Record {
            kind: write.kind.0.to_owned(),
            id: write.id,
            version: 1,
            due_at: None,
            body: write.body.unwrap(),
        })
        .collect();

    // The process is gone and comes back; the series is not there yet.
    let gap = MemorySeries::default();
    let mut engine = RuleEngine::new(EngineSettings::default());
    drop(engine.load(at(10), EngineSettings::default(), groups));
    drop(engine.restore(at(10), &records));
    engine.hold_firing(at(20));
    drop(tick(&mut engine, &gap, 15));
    assert_eq!(firing(&engine), 1, "kept");
    drop(tick(&mut engine, &gap, 22));
    assert_eq!(firing(&engine), 0, "over");
}
