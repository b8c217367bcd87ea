//! Replay is what live did.

use std::fmt::Write as _;

use bellwether_judge::EngineSettings;
use bellwether_model::series::{MemorySeries, Value, stale_nan};
use bellwether_promql::Engine;
use proptest::prelude::*;

use super::{Firing, MINUTE, fired, groups, live};
use crate::replay::{Range, Replayed, Replaying, Rules, replay};

const START: i64 = 1_800_000_000_000;

/// Rules that read series, each other, themselves, later rules, alerts; that fail now and then; that have a limit or
/// labels that change.
const POOL: [&str; 18] = [
    "{record: 'r:sum', expr: 'sum by (i) (m)'}",
    "{record: 'r:double', expr: '2 * r:sum'}",
    "{record: 'r:all', expr: 'm > 3', labels: {k: v}}",
    "{record: 'r:count', expr: 'count_over_time(r:sum[7m])'}",
    "{record: 'r:self', expr: 'max(m) > 6 or r:self - 1 > 0'}",
    "{alert: A, expr: 'm > 5', for: FOR, keep_firing_for: KEEP}",
    "{alert: B, expr: 'r:double > 8', for: FOR, labels: {who: '{{ $labels.i }}'}}",
    "{alert: C, expr: 'max_over_time(r:sum[5m]) > 6 and r:count > 2', keep_firing_for: KEEP}",
    "{alert: D, expr: 'absent(n)', for: FOR}",
    "{alert: E, expr: 'ALERTS{alertname=~\"A.*\", alertstate=\"firing\"}', for: FOR}",
    "{alert: F, expr: 'm > 4', labels: {v: '{{ $value }}'}}",
    "{alert: G, expr: 'm + on () n > 9', for: FOR}",
    "{alert: H, expr: '{__name__=~\"m|n\"} > 4', for: FOR}",
    "{alert: I, expr: 'm > 5', resolve_expr: 'm < 3', for: FOR, keep_firing_for: KEEP}",
    "{alert: J, expr: 'm', absent_by: {labels: [i], within: 10m}, for: FOR}",
    "{alert: K, expr: 'r:self > 4'}",
    "{alert: L, expr: 'sum(r:all @ end()) > 8', keep_firing_for: KEEP}",
    "{alert: M, expr: '(sum(m) > 17) or r:later > 20', for: FOR}",
];

#[derive(Clone)]
struct World {
    rules: String,
    /// Per minute and series: a value, a stale marker (10), or nothing (11 and more).
    values: Vec<[u8; 4]>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows: Vec<String> = self.values.iter().map(|row| format!("{row:?}")).collect();
        write!(f, "{}{}", self.rules, rows.join(""))
    }
}

/// Rules (which, `for`, `keep_firing_for`), interval, limit, offset.
type Group = (Vec<(usize, u64, u64)>, usize, usize, u8);

fn file(groups: Vec<Group>) -> String {
    let mut text = "groups:\n".to_owned();
    for (number, (rules, interval, limit, offset)) in groups.into_iter().enumerate() {
        let interval = ["30s", "1m", "2m", "90s"][interval % 4];
        let limit = i32::from(limit == 0);
        let offset = if offset == 0 { "45s" } else { "0s" };
        writeln!(text, "- name: g{number}\n  interval: {interval}\n  limit: {limit}\n  query_offset: {offset}\n  rules:").unwrap();
        for (place, (rule, hold, keep)) in rules.into_iter().enumerate() {
            let rule = POOL[rule % POOL.len()];
            // Who records what must be clear; alerts are told apart by their names.
            let record = rule.starts_with("{record");
            if record && text.contains(rule) {
                continue;
            }
            let rule = rule
                .replace(
                    ", expr",
                    &if record {
                        ", expr".to_owned()
                    } else {
                        format!("_{number}_{place}, expr")
                    },
                )
                .replace("FOR", &format!("{}s", hold * 40))
                .replace("KEEP", &format!("{}s", keep * 50));
            writeln!(text, "  - {rule}").unwrap();
        }
        if number == 0 {
            text.push_str("  - {record: 'r:later', expr: 'sum(m) + 1'}\n");
        }
    }
    text
}

fn world() -> impl Strategy<Value = World> {
    let rule = (0..POOL.len(), 0_u64..5, 0_u64..5);
    let group = (
        prop::collection::vec(rule, 1..7),
        0_usize..4,
        0_usize..6,
        0_u8..6,
    );
    let values = prop::collection::vec(prop::array::uniform4(0_u8..14), 20..70);
    (prop::collection::vec(group, 1..4), values).prop_map(|(groups, values)| World {
        rules: file(groups),
        values,
    })
}

fn series(values: &[[u8; 4]]) -> MemorySeries {
    let mut series = MemorySeries::default();
    for (minute, row) in values.iter().enumerate() {
        for (name, value) in ["m{i=\"a\"}", "m{i=\"b\"}", "n{i=\"a\"}", "n{i=\"c\"}"]
            .iter()
            .zip(row)
        {
            let labels = bellwether_promql::parse_metric(name).unwrap();
            let value = match value {
                0..=9 => f64::from(*value),
                10 => stale_nan(),
                _ => continue,
            };
            series.push(&labels, START + minute as i64 * MINUTE, Value::Float(value));
        }
    }
    series
}

fn again(
    world: &World,
    source: &MemorySeries,
    range: (i64, i64),
    warmup: i64,
    slice: Option<i64>,
    threads: usize,
) -> Replayed {
    let (groups, settings) = (groups(&world.rules), EngineSettings::default());
    replay(
        Rules {
            groups: &groups,
            settings: &settings,
        },
        Range {
            from: range.0,
            to: range.1,
            warmup,
            phase: (0, 1),
        },
        Replaying {
            source,
            promql: &Engine::default(),
            threads,
            slice,
            progress: &(),
        },
    )
    .unwrap()
}

fn edges(all: &[Firing], (from, to): (i64, i64)) -> Vec<(String, String, i64, bool)> {
    let mut edges = Vec::new();
    for (rule, labels, fired, ended) in all {
        let sides = [(Some(*fired), true), (*ended, false)];
        for (at, begins) in sides {
            if let Some(at) = at.filter(|at| (from..=to).contains(at)) {
                edges.push((rule.clone(), labels.clone(), at, begins));
            }
        }
    }
    edges.sort();
    edges
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 160 } else { 2000 }))]

    /// Edge for edge what the live engine did, though the history has what it wrote; in slices and with threads too.
    #[test]
    fn replay_is_live(world in world(), slice in 1_i64..30) {
        let groups = groups(&world.rules);
        let settings = EngineSettings::default();
        let mut source = series(&world.values);
        let span = (START - 20 * MINUTE, START + (world.values.len() as i64 + 10) * MINUTE);
        let expected = live(&groups, &settings, &mut source, (span.0 - 200 * MINUTE, span.1));
        let whole = again(&world, &source, span, 10 * MINUTE, None, 1);
        prop_assert_eq!(edges(&fired(&whole, &groups), span), edges(&expected, span), "{}", world.rules);
        let sliced = again(&world, &source, span, 10 * MINUTE, Some(slice * MINUTE), 2);
        prop_assert_eq!(&sliced.alerts, &whole.alerts, "{}", world.rules);
        prop_assert_eq!(&sliced.failures, &whole.failures, "{}", world.rules);
    }

    /// Any hour, begun in the middle of things.
    #[test]
    fn any_part_is_live(world in world(), from in 30_i64..50, len in 1_i64..20) {
        // A rule that reads itself remembers its beginning for ever, and so does one that is held by its history.
        let kept = world.rules.lines().filter(|line| !line.contains("r:self") && !line.contains("resolve_expr"));
        let world = World { rules: kept.collect::<Vec<_>>().join("\n") + "\n", ..world };
        let groups = groups(&world.rules);
        let settings = EngineSettings::default();
        let mut source = series(&world.values);
        let end = START + (world.values.len() as i64 + 10) * MINUTE;
        let all = live(&groups, &settings, &mut source, (START - 100 * MINUTE, end));
        let span = (START + from * MINUTE, end.min(START + (from + len) * MINUTE));
        let part = again(&world, &source, span, 40 * MINUTE, None, 1);
        prop_assert_eq!(edges(&fired(&part, &groups), span), edges(&all, span), "{}", world.rules);
    }
}
