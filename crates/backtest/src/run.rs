//! The whole backtest: replay, page, score, in several phases.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_judge::{EngineSettings, GroupConfig, RuleKind};
use bellwether_model::series::SeriesSource;
use bellwether_promql::Engine;
use jiff::Timestamp;

use crate::incidents::Incident;
use crate::pages::{Page, Paged, Routing, page};
use crate::replay::{AlertHistory, Range, Replayed, Replaying, Rules, replay};
use crate::report::{Comparison, FailureRow, PageRow, Report, RuleRow};
use crate::score::{self, Figures, Night};
use crate::{Progress, Stopped};

/// Shortest time before the range that is evaluated too.
const WARMUP_MIN_MS: i64 = 3_600_000;

/// Everything a backtest needs besides the rules.
#[derive(Clone, Copy)]
pub struct Backtest<'a> {
    pub source: &'a dyn SeriesSource,
    pub promql: &'a Engine,
    pub settings: &'a EngineSettings,
    /// Milliseconds since 1970.
    pub from: i64,
    pub to: i64,
    /// Phases of the slots, at least 1. The first is that of the live engine; its figures are the report's, the others
    /// give the range.
    pub phases: usize,
    pub threads: usize,
    pub routing: &'a Routing,
    /// `None`: there is no list, and nothing is said about incidents.
    pub incidents: Option<&'a [Incident]>,
    pub night: &'a Night,
    pub progress: &'a dyn Progress,
}

/// Pages and alerts of one rule.
type OfRule<'a> = (Vec<&'a Page>, Vec<&'a AlertHistory>);

struct Phase {
    replayed: Replayed,
    paged: Paged,
}

/// Alerting rules by position (group, rule), in order: their rows.
fn rows(groups: &[GroupConfig]) -> BTreeMap<(usize, usize), usize> {
    let alerting = groups.iter().enumerate().flat_map(|(group, config)| {
        let rules = config.rules.iter().enumerate();
        rules
            .filter(|(_, rule)| rule.kind == RuleKind::Alerting)
            .map(move |(rule, _)| (group, rule))
    });
    alerting
        .enumerate()
        .map(|(row, place)| (place, row))
        .collect()
}

/// How long before the range evaluation begins: long enough for what fires at its start to be known.
pub fn warmup_ms(groups: &[GroupConfig], settings: &EngineSettings) -> i64 {
    let longest = groups
        .iter()
        .flat_map(|group| {
            let interval = group.interval_ms(settings);
            group.rules.iter().map(move |rule| {
                let hold = (rule.hold + rule.keep_firing_for).as_millis();
                i64::try_from(hold).unwrap_or(i64::MAX / 4) + 3 * interval
            })
        })
        .max()
        .unwrap_or(0);
    longest + WARMUP_MIN_MS
}

/// Backtests a set of rules.
pub fn run(groups: &[GroupConfig], with: &Backtest<'_>) -> Result<Report, Stopped> {
    let rows = rows(groups);
    let phases = with.phases.max(1);
    let mut first: Option<Phase> = None;
    let mut counts: Vec<(usize, usize)> = Vec::new();
    let mut total_range = (usize::MAX, 0);
    let (mut samples, mut evaluations) = (0, 0);
    for phase in 0..phases {
        let replayed = replay(
            Rules {
                groups,
                settings: with.settings,
            },
            Range {
                from: with.from,
                to: with.to,
                warmup: warmup_ms(groups, with.settings),
                phase: (phase, phases),
            },
            Replaying {
                source: with.source,
                promql: with.promql,
                threads: with.threads,
                slice: None,
                progress: with.progress,
            },
        )?;
        samples += replayed.samples;
        evaluations += replayed.evaluations;
        let span = (with.from, with.to);
        let paged = page(&replayed, with.settings, with.routing, span, with.progress)?;
        counts.resize(rows.len(), (usize::MAX, 0));
        let mut own = vec![0; rows.len()];
        for place in paged.pages.iter().flat_map(|page| &page.rules) {
            if let Some(row) = rows.get(place) {
                own[*row] += 1;
            }
        }
        for (range, count) in counts.iter_mut().zip(own) {
            *range = (range.0.min(count), range.1.max(count));
        }
        let count = paged.pages.len();
        total_range = (total_range.0.min(count), total_range.1.max(count));
        first.get_or_insert(Phase { replayed, paged });
    }
    let phase = first.expect("there is at least one phase");
    let mut report = report(groups, with, &rows, phase);
    report.phases = phases;
    report.samples = samples;
    report.evaluations = evaluations;
    report.total.pages_range = total_range;
    for (row, range) in report.rules.iter_mut().zip(counts) {
        row.figures.pages_range = range;
    }
    Ok(report)
}

/// Backtests two sets of rules over the same history.
pub fn compare(
    before: &[GroupConfig],
    after: &[GroupConfig],
    with: &Backtest<'_>,
) -> Result<Comparison, Stopped> {
    let old = run(before, with)?;
    let new = run(after, with)?;
    Ok(Comparison::new((before, old), (after, new)))
}

fn report(
    groups: &[GroupConfig],
    with: &Backtest<'_>,
    rows: &BTreeMap<(usize, usize), usize>,
    phase: Phase,
) -> Report {
    let Phase { replayed, paged } = phase;
    let span = (with.from, with.to);
    let incidents = with.incidents.unwrap_or_default();
    let figures = |pages: &[&Page], alerts: &[&AlertHistory]| -> Figures {
        score::figures(pages, alerts, incidents, with.night, span)
    };
    let all_pages: Vec<&Page> = paged.pages.iter().collect();
    let all_alerts: Vec<&AlertHistory> = replayed.alerts.iter().collect();
    let mut by_rule: BTreeMap<(usize, usize), OfRule<'_>> = BTreeMap::new();
    for page in &paged.pages {
        for place in &page.rules {
            by_rule.entry(*place).or_default().0.push(page);
        }
    }
    for alert in &replayed.alerts {
        by_rule
            .entry((alert.group, alert.rule))
            .or_default()
            .1
            .push(alert);
    }
    let caught_by: Vec<BTreeSet<(usize, usize)>> = incidents
        .iter()
        .map(|incident| {
            let about = paged
                .pages
                .iter()
                .filter(|page| score::is_about(page, incident));
            about.flat_map(|page| page.rules.iter().copied()).collect()
        })
        .collect();
    let alone = |rules: &BTreeSet<(usize, usize)>, place: &(usize, usize)| {
        rules.len() == 1 && rules.contains(place)
    };
    let inside = |at: i64| (span.0..=span.1).contains(&at);
    let rule_rows = rows
        .keys()
        .map(|place| {
            let config = &groups[place.0];
            let rule = &config.rules[place.1];
            let (pages, alerts) = by_rule.remove(place).unwrap_or_default();
            let fired = |alert: &AlertHistory| {
                let lives = alert.episodes.iter();
                lives
                    .filter(|life| life.fired_at.is_some_and(inside))
                    .count()
            };
            RuleRow {
                file: config.file.to_string(),
                group: config.name.clone(),
                name: rule.name.clone(),
                severity: rule.label_texts().get("severity").to_owned(),
                line: rule.line,
                firings: alerts.iter().map(|alert| fired(alert)).sum(),
                alerts: alerts.iter().filter(|alert| fired(alert) > 0).count(),
                pages_alone: pages
                    .iter()
                    .filter(|page| alone(&page.rules, place))
                    .count(),
                caught_alone: caught_by.iter().filter(|rules| alone(rules, place)).count(),
                figures: figures(&pages, &alerts),
            }
        })
        .collect();
    let failures = replayed
        .failures
        .iter()
        .map(|failure| {
            let group = &groups[failure.group];
            let rule = &group.rules[failure.rule];
            FailureRow {
                file: group.file.to_string(),
                line: rule.line,
                rule: rule.name.clone(),
                evaluations: failure.ticks,
                first_at: Timestamp::from_millisecond(failure.first_at).ok(),
                message: failure.message.clone(),
            }
        })
        .collect();
    Report {
        from: Timestamp::from_millisecond(with.from).unwrap_or_default(),
        to: Timestamp::from_millisecond(with.to).unwrap_or_default(),
        rules_total: groups.iter().map(|group| group.rules.len()).sum(),
        series: replayed.series,
        samples: replayed.samples,
        evaluations: replayed.evaluations,
        phases: 1,
        total: figures(&all_pages, &all_alerts),
        rules: rule_rows,
        incidents: with.incidents.map(|all| score::outcomes(&all_pages, all)),
        notifications: paged.notifications.clone(),
        tickets: paged.tickets,
        suppressed: paged.suppressed,
        failures,
        notes: notes(with),
        pages: paged
            .pages
            .iter()
            .map(|page| PageRow {
                rows: page
                    .rules
                    .iter()
                    .filter_map(|place| rows.get(place).copied())
                    .collect(),
                page: page.clone(),
            })
            .collect(),
    }
}

fn notes(with: &Backtest<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if with.incidents.is_none() {
        notes.push(
            "no incidents are given: what these pages were worth is not known, only how many they are"
                .to_owned(),
        );
    }
    if with.routing.page_receivers.is_empty() && !with.routing.wakes_people() {
        notes.push(
            "no receiver pages people (page, pagerduty, opsgenie, ...): every notification counts as a page"
                .to_owned(),
        );
    }
    notes.push(
        "stored samples may have come late: the live rule had perhaps not seen the last of them"
            .to_owned(),
    );
    notes
}
