//! Thirty days with twelve incidents: every figure against a slow, obvious reference that shares nothing with the engines.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_judge::{EngineSettings, GroupConfig};
use bellwether_model::Problems;
use bellwether_model::series::{MemorySeries, Value};
use bellwether_page::PageConfig;
use bellwether_page::matchers::Mode;
use bellwether_promql::Engine;

use super::{MINUTE, groups};
use crate::incidents::{self, Incident};
use crate::pages::{Routing, Why};
use crate::report::{ChangeKind, Report};
use crate::run::{Backtest, compare, run};
use crate::score::Night;
use crate::text::{self, Shown};

/// 2026-03-01, a Sunday.
const FROM: i64 = 1_772_323_200_000;
const TO: i64 = FROM + 30 * 24 * 60 * MINUTE;
const SERVICES: [&str; 3] = ["api", "db", "web"];
const STEP: i64 = 30_000;

const ROUTES: &str = "
route:
  receiver: pager
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
  - {matchers: [severity=none], receiver: nobody}
receivers:
- {name: pager, pagerduty_configs: [{routing_key: k}]}
- {name: nobody}
inhibit_rules:
- {source_matchers: [alertname=Errors], target_matchers: [alertname=Cpu], equal: [service]}
";

/// Fields of what was generated, by metric, service and scrape.
type Data = BTreeMap<(&'static str, &'static str), Vec<Option<f64>>>;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Twelve incidents: most are seen in the errors of one service, one only in its load, one nowhere.
fn incidents() -> Vec<Incident> {
    let mut text = "id,start,end,title,labels\n".to_owned();
    for number in 0..12_i64 {
        let start = FROM / 1000 + (number * 59 + 11) * 3600 + number * 137;
        let end = start + [45, 8, 120, 25, 400, 12, 60, 33, 90, 15, 50, 70][number as usize] * 60;
        let service = SERVICES[number as usize % 3];
        text.push_str(&format!(
            "INC-{number},{start},{end},trouble,service={service}\n"
        ));
    }
    let mut problems = Problems::default();
    let all = incidents::read("i.csv", &text, &mut problems);
    assert!(problems.0.is_empty(), "{problems}");
    all
}

fn data(incidents: &[Incident]) -> Data {
    let mut random = Random(7);
    let mut data = Data::new();
    let len = ((TO - FROM + 6 * 60 * MINUTE) / STEP) as usize;
    for service in SERVICES {
        let mut noise: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
        for metric in ["errors", "load"] {
            for _ in 0..40 {
                let start = random.below(len as u64) as i64;
                noise
                    .entry(metric)
                    .or_default()
                    .push((start, start + 3 + random.below(60) as i64));
            }
        }
        for metric in ["errors", "load"] {
            let mut values = Vec::new();
            for index in 0..len as i64 {
                let now = FROM - 6 * 60 * MINUTE + index * STEP;
                let hurt = incidents.iter().enumerate().any(|(number, incident)| {
                    let inside = now >= incident.start.as_millisecond() + 90_000
                        && now < incident.end.as_millisecond() - 60_000;
                    let seen = match number {
                        3 => false,
                        5 => metric == "load",
                        _ => metric == "errors" || number % 2 == 0,
                    };
                    inside && seen && incident.labels.get("service") == service
                });
                let noisy = noise[metric]
                    .iter()
                    .any(|(from, to)| (*from..*to).contains(&index));
                let base = random.below(100) as f64 / 100.0;
                let value = match (hurt, noisy) {
                    (true, _) => 20.0 + base,
                    (false, true) => 8.0 + 5.0 * base,
                    _ => base,
                };
                // Every 997th scrape fails.
                values.push((random.below(997) != 0).then_some(value));
            }
            data.insert((metric, service), values);
        }
    }
    data
}

fn source(data: &Data) -> MemorySeries {
    let mut source = MemorySeries::default();
    for ((metric, service), values) in data {
        let labels =
            bellwether_promql::parse_metric(&format!("{metric}{{service=\"{service}\"}}")).unwrap();
        for (index, value) in values.iter().enumerate() {
            if let Some(value) = value {
                let time = FROM - 6 * 60 * MINUTE + index as i64 * STEP;
                source.push(&labels, time, Value::Float(*value));
            }
        }
    }
    source
}

fn rules(errors_above: u32, errors_for: &str) -> Vec<GroupConfig> {
    groups(&format!(
        "groups:
- name: month
  interval: 1m
  rules:
  - {{alert: Errors, expr: errors > {errors_above}, for: {errors_for}, labels: {{severity: page}}}}
  - {{alert: Cpu, expr: load > 10, for: 10m, keep_firing_for: 3m, labels: {{severity: page}}}}
  - {{alert: Hint, expr: load > 5, labels: {{severity: none}}}}
"
    ))
}

// === the reference ===

/// One rule of the reference: metric, threshold, minutes of `for` and `keep_firing_for`.
struct Plain {
    name: &'static str,
    metric: &'static str,
    above: f64,
    hold: i64,
    keep: i64,
}

/// A page: when, why, of which alert, for which services.
type Seen = (i64, Why, &'static str, BTreeSet<&'static str>);

/// When an alert fires, by alert and service.
type Lives = BTreeMap<&'static str, BTreeMap<&'static str, Times>>;

/// When an alert fires: from, to (exclusive).
type Times = Vec<(i64, i64)>;

fn firing(rule: &Plain, service: &'static str, data: &Data, first_slot: i64) -> Times {
    let values = &data[&(rule.metric, service)];
    let mut times = Times::new();
    let (mut active, mut fires, mut missing): (Option<i64>, Option<i64>, Option<i64>) =
        (None, None, None);
    let mut now = first_slot;
    while now <= TO {
        // The newest sample of the last five minutes.
        let newest = (now - (FROM - 6 * 60 * MINUTE)).div_euclid(STEP);
        let value = (newest - 9..=newest)
            .rev()
            .filter(|index| FROM - 6 * 60 * MINUTE + index * STEP > now - 5 * MINUTE)
            .find_map(|index| values.get(usize::try_from(index).ok()?).copied().flatten());
        if value.is_some_and(|value| value > rule.above) {
            missing = None;
            let since = *active.get_or_insert(now);
            if fires.is_none() && now - since >= rule.hold * MINUTE {
                fires = Some(now);
            }
        } else if let Some(from) = fires {
            let since = *missing.get_or_insert(now);
            if now - since >= rule.keep * MINUTE {
                times.push((from, now));
                (active, fires, missing) = (None, None, None);
            }
        } else {
            active = None;
        }
        now += MINUTE;
    }
    times.extend(fires.map(|from| (from, i64::MAX)));
    times
}

/// Notifications of one group that is named by its alert: when, why, and the services that fired.
fn notifications(
    members: &BTreeMap<&'static str, Times>,
    inhibitors: &BTreeMap<&'static str, Times>,
) -> Vec<(i64, Why, BTreeSet<&'static str>)> {
    let fires = |times: Option<&Times>, at: i64| {
        times.is_some_and(|times| times.iter().any(|(from, to)| (*from..*to).contains(&at)))
    };
    let mut sent = Vec::new();
    // What the log says: services told as firing, as resolved, and when.
    let mut log: Option<(BTreeSet<&str>, BTreeSet<&str>, i64)> = None;
    let mut starts: Vec<i64> = members.values().flatten().map(|(from, _)| *from).collect();
    starts.sort_unstable();
    let mut over = i64::MIN;
    for start in starts {
        if start < over {
            continue;
        }
        // A group is made; it lives until half a minute after it is empty.
        let mut flush = start + 30_000;
        let mut held: BTreeSet<&str> = BTreeSet::new();
        let mut joined = start - 1;
        loop {
            if flush > TO {
                return sent;
            }
            for (service, times) in members {
                if times
                    .iter()
                    .any(|(from, _)| (joined + 1..=flush).contains(from))
                {
                    held.insert(service);
                }
            }
            joined = flush;
            let free = held
                .iter()
                .filter(|service| !fires(inhibitors.get(**service), flush));
            let (now, ended): (BTreeSet<&str>, BTreeSet<&str>) = free
                .copied()
                .partition(|service| fires(members.get(service), flush));
            if log
                .as_ref()
                .is_some_and(|(.., at)| flush >= at + 8 * 60 * MINUTE)
            {
                log = None;
            }
            let why = match &log {
                None if now.is_empty() => None,
                None => Some(Some(Why::First)),
                Some((told, ..)) if !now.is_subset(told) => Some(Some(if told.is_empty() {
                    Why::First
                } else {
                    Why::NewAlerts
                })),
                Some((told, ..)) if now.is_empty() => {
                    (!told.is_empty() && !ended.is_empty()).then_some(None)
                }
                Some((_, told, _)) if !ended.is_subset(told) => Some(None),
                Some((.., at)) => (*at < flush - 4 * 60 * MINUTE).then_some(Some(Why::Repeat)),
            };
            if let Some(why) = why {
                sent.extend(why.map(|why| (flush, why, now.clone())));
                log = Some((now.clone(), ended.clone(), flush));
            }
            held.retain(|service| fires(members.get(service), flush));
            if held.is_empty() {
                // Does anybody come back in time?
                let back = members
                    .values()
                    .flatten()
                    .any(|(from, _)| (flush + 1..flush + 30_000).contains(from));
                if !back {
                    over = flush + 30_000;
                    break;
                }
            }
            flush += 5 * MINUTE;
        }
    }
    sent
}

/// Pages of the whole month: when, why, which alert, which services.
fn reference(data: &Data, errors: (f64, i64), first_slot: i64) -> (Vec<Seen>, Lives) {
    let plain = [
        Plain {
            name: "Errors",
            metric: "errors",
            above: errors.0,
            hold: errors.1,
            keep: 0,
        },
        Plain {
            name: "Cpu",
            metric: "load",
            above: 10.0,
            hold: 10,
            keep: 3,
        },
    ];
    let mut all: BTreeMap<&str, BTreeMap<&str, Times>> = BTreeMap::new();
    for rule in &plain {
        for service in SERVICES {
            let times = firing(rule, service, data, first_slot);
            all.entry(rule.name).or_default().insert(service, times);
        }
    }
    let nobody = BTreeMap::new();
    let mut pages = Vec::new();
    for (name, members) in &all {
        let inhibitors = if *name == "Cpu" {
            &all["Errors"]
        } else {
            &nobody
        };
        for (at, why, services) in notifications(members, inhibitors) {
            if at >= FROM {
                pages.push((at, why, *name, services));
            }
        }
    }
    pages.sort();
    (pages, all)
}

// === the tests ===

fn backtest(
    rules: &[GroupConfig],
    source: &MemorySeries,
    incidents: &[Incident],
    phases: usize,
) -> Report {
    with(source, incidents, phases, |with| run(rules, with).unwrap())
}

fn with<T>(
    source: &MemorySeries,
    incidents: &[Incident],
    phases: usize,
    work: impl FnOnce(&Backtest<'_>) -> T,
) -> T {
    let (config, problems) = PageConfig::parse_alertmanager("a.yml", ROUTES, Mode::default());
    assert!(!problems.has_errors(), "{problems}");
    let routing = Routing::new(config.unwrap());
    work(&Backtest {
        source,
        promql: &Engine::default(),
        settings: &EngineSettings::default(),
        from: FROM,
        to: TO,
        phases,
        threads: 2,
        routing: &routing,
        incidents: Some(incidents),
        night: &Night::default(),
        progress: &(),
    })
}

fn first_slot(rules: &[GroupConfig]) -> i64 {
    let settings = EngineSettings::default();
    let warmup = crate::run::warmup_ms(rules, &settings);
    rules[0].first_slot(&settings, FROM - warmup)
}

fn shown(report: &Report) -> Vec<Seen> {
    let mut all: Vec<_> = report
        .pages
        .iter()
        .map(|row| {
            let name = ["Errors", "Cpu", "Hint"][row.rows[0]];
            let services = row.page.alerts.iter().map(|alert| {
                *SERVICES
                    .iter()
                    .find(|service| **service == alert.get("service"))
                    .unwrap()
            });
            (row.page.at, row.page.why, name, services.collect())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn every_figure_is_that_of_the_reference() {
    let incidents = incidents();
    let data = data(&incidents);
    let source = source(&data);
    let rules = rules(10, "5m");
    let report = backtest(&rules, &source, &incidents, 1);
    assert_eq!(report.failures, []);
    let (pages, times) = reference(&data, (10.0, 5), first_slot(&rules));
    assert_eq!(shown(&report), pages);
    assert!(
        pages.len() > 20,
        "{} pages: something to count",
        pages.len()
    );
    for why in [Why::First, Why::NewAlerts, Why::Repeat] {
        assert!(pages.iter().any(|page| page.1 == why), "{why:?}");
    }

    let about = |page: &(i64, Why, &str, BTreeSet<&str>), incident: &Incident| {
        page.0 >= incident.start.as_millisecond() - 5 * MINUTE
            && page.0 <= incident.end.as_millisecond()
            && page.3.contains(incident.labels.get("service"))
    };
    let total = &report.total;
    let caught: Vec<&Incident> = incidents
        .iter()
        .filter(|i| pages.iter().any(|p| about(p, i)))
        .collect();
    assert_eq!(
        (total.caught, total.missed),
        (caught.len(), 12 - caught.len())
    );
    assert!(total.missed >= 1 && total.caught >= 8, "{total:?}");
    let precise = pages
        .iter()
        .filter(|p| incidents.iter().any(|i| about(p, i)))
        .count();
    assert_eq!(total.precision, Some(precise as f64 / pages.len() as f64));
    let at_night = pages.iter().filter(|p| {
        let hour = p.0 / 3_600_000 % 24;
        !(7..22).contains(&hour)
    });
    assert_eq!(total.pages_at_night, at_night.count());
    let end = |page: &(i64, Why, &'static str, BTreeSet<&'static str>)| -> i64 {
        let of = |service: &&'static str| {
            let times = &times[page.2][*service];
            times
                .iter()
                .find(|(from, to)| (*from..*to).contains(&page.0))
                .unwrap()
                .1
        };
        page.3.iter().map(of).max().unwrap()
    };
    let short = pages.iter().filter(|page| end(page) - page.0 < 5 * MINUTE);
    assert_eq!(total.pages_short, short.count());
    let mut delays: Vec<i64> = caught
        .iter()
        .map(|i| {
            pages
                .iter()
                .filter(|p| about(p, i))
                .map(|p| p.0)
                .min()
                .unwrap()
                - i.start.as_millisecond()
        })
        .collect();
    delays.sort_unstable();
    // The middle one, or the earlier of two.
    assert_eq!(total.detect_p50_ms, Some(delays[(delays.len() - 1) / 2]));
    let mut resets: Vec<i64> = caught
        .iter()
        .map(|i| {
            pages.iter().filter(|p| about(p, i)).map(end).max().unwrap() - i.end.as_millisecond()
        })
        .collect();
    resets.sort_unstable();
    assert_eq!(total.reset_p50_ms, Some(resets[(resets.len() - 1) / 2]));
    let mut flaps = 0;
    for services in times.values().flat_map(BTreeMap::values) {
        flaps += services
            .windows(2)
            .filter(|w| w[1].0 - w[0].1 < 60 * MINUTE && w[1].0 >= FROM)
            .count();
    }
    assert_eq!(
        report.rules[0].figures.flaps + report.rules[1].figures.flaps,
        flaps
    );
    for (row, name) in ["Errors", "Cpu"].into_iter().enumerate() {
        let own: Vec<_> = pages.iter().filter(|page| page.2 == name).collect();
        let figures = &report.rules[row].figures;
        assert_eq!(figures.pages, own.len(), "{name}");
        let caught = incidents
            .iter()
            .filter(|i| own.iter().any(|p| about(p, i)))
            .count();
        assert_eq!(figures.caught, caught, "{name}");
        let fired = times[name]
            .values()
            .flatten()
            .filter(|(from, _)| (FROM..=TO).contains(from));
        assert_eq!(report.rules[row].firings, fired.count(), "{name}");
    }
    assert_eq!(report.rules[2].figures.pages, 0, "it only explains");
    assert!(report.rules[2].firings > 10);
}

#[test]
fn a_loosened_rule_shows_its_pages_and_the_incident_it_loses() {
    let incidents = incidents();
    let data = data(&incidents);
    let source = source(&data);
    let (before, after) = (rules(10, "5m"), rules(15, "10m"));
    let comparison = with(&source, &incidents, 1, |with| {
        compare(&before, &after, with).unwrap()
    });
    let old = reference(&data, (10.0, 5), first_slot(&before)).0;
    let new = reference(&data, (15.0, 10), first_slot(&after)).0;
    assert_eq!(comparison.pages_delta, new.len() as i64 - old.len() as i64);
    assert!(comparison.pages_delta < 0);
    let caught = |pages: &[(i64, Why, &str, BTreeSet<&str>)]| -> BTreeSet<String> {
        let by = incidents.iter().filter(|i| {
            let range = i.start.as_millisecond() - 5 * MINUTE..=i.end.as_millisecond();
            pages
                .iter()
                .any(|p| range.contains(&p.0) && p.3.contains(i.labels.get("service")))
        });
        by.map(|i| i.id.clone()).collect()
    };
    let (old, new) = (caught(&old), caught(&new));
    assert_eq!(
        comparison.lost,
        old.difference(&new).cloned().collect::<Vec<_>>()
    );
    assert_eq!(
        comparison.lost,
        ["INC-1"],
        "eight minutes are too short for it"
    );
    assert!(comparison.is_worse(None));
    let kinds: Vec<(&str, ChangeKind)> = comparison
        .rules
        .iter()
        .map(|c| (c.name.as_str(), c.kind))
        .collect();
    assert!(kinds.contains(&("Errors", ChangeKind::Edited)), "{kinds:?}");
    let same = with(&source, &incidents, 1, |with| {
        compare(&before, &before, with).unwrap()
    });
    assert_eq!(
        (same.rules.len(), same.pages_delta, same.is_worse(Some(0))),
        (0, 0, false)
    );
}

#[test]
fn phases_are_a_range_around_the_live_one() {
    let incidents = incidents();
    let source = source(&data(&incidents));
    let rules = rules(10, "5m");
    let one = backtest(&rules, &source, &incidents, 1);
    let four = backtest(&rules, &source, &incidents, 4);
    assert_eq!(four.total.pages, one.total.pages);
    let (low, high) = four.total.pages_range;
    assert!(low <= one.total.pages && one.total.pages <= high);
    assert!(low < high, "slots of half a minute later see other edges");
    assert_eq!(one.total.pages_range, (one.total.pages, one.total.pages));
}

#[test]
fn a_report_reads_well() {
    let incidents = incidents();
    let source = source(&data(&incidents));
    let (before, after) = (rules(10, "5m"), rules(15, "10m"));
    let report = backtest(&after, &source, &incidents, 4);
    assert_eq!(
        text::report(&report, Shown::default()),
        include_str!("report.txt")
    );
    let comparison = with(&source, &incidents, 1, |with| {
        compare(&before, &after, with).unwrap()
    });
    assert_eq!(
        text::comparison(&comparison, Shown::default()),
        include_str!("comparison.txt")
    );
}
