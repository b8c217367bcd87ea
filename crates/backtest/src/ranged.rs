//! Rules of one group by ranges: many ticks at once, all rules in one plan.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_judge::replay::{AlertLabels, Condition, Run};
use bellwether_judge::{RuleConfig, RuleKind};
use bellwether_model::Labels;
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{Value, stale_nan};
use bellwether_promql::{
    Engine, EngineOptions, Expr, Interruption, Plan, QueryError, QueryValue, RangeSeries,
};

use crate::Stopped;
use crate::history::{Column, History};
use crate::order::{Slots, expressions};
use crate::replay::{AlertHistory, Failure, Given, Replayed, Shared, lives};
use crate::sweep::{Step, Values};

/// Points that the answers of one evaluation should have together.
const POINTS: usize = 3_000_000;
/// Samples that one query of a plan may hold.
const SAMPLES_MAX: usize = 12_000_000;
/// Failing ticks of one rule that are looked for one by one; then the rule counts as failing to the end of the part.
const FAILURES_MAX: usize = 2_000;

/// One rule with what is known of it so far.
#[derive(Debug)]
struct Track {
    /// Position in the group.
    rule: usize,
    /// Queries of the plan.
    queries: std::ops::Range<usize>,
    /// Labels of the alert by labels of a series of the result.
    labels: BTreeMap<Labels, Labels>,
    runs: BTreeMap<Labels, Vec<Run>>,
    /// Recorded series: the last tick with a sample, and whether the end was marked.
    seen: BTreeMap<Labels, (usize, bool)>,
    failed: BTreeSet<usize>,
    message: String,
    /// Values on a scale, of the rule that is looked at.
    steps: BTreeMap<Labels, Vec<Step>>,
}

/// A batch of rules of one group.
#[derive(Debug)]
pub(crate) struct Ranged {
    group: usize,
    plan: Plan,
    engine: Engine,
    tracks: Vec<Track>,
    /// The first tick that is not evaluated yet.
    next: usize,
    /// Ticks to evaluate at once.
    part: usize,
}

/// Answers of one query over a part: series, or ticks at which it failed besides the series of the others.
struct Answer {
    series: Vec<RangeSeries>,
    failed: BTreeSet<usize>,
    message: String,
}

/// Ticks of a group in the time of its data.
#[derive(Clone, Copy)]
struct Part {
    first: usize,
    len: usize,
    start: i64,
    step: i64,
}

// === impl Part ===

impl Part {
    fn new(slots: &Slots, first: usize, len: usize) -> Self {
        Self {
            first,
            len,
            start: slots.ticks.time(first) - slots.query_offset,
            step: slots.interval,
        }
    }

    fn end(&self) -> i64 {
        self.start + self.step * (self.len as i64 - 1)
    }

    fn tick(&self, time: i64) -> usize {
        self.first + usize::try_from((time - self.start) / self.step).unwrap_or(0)
    }

    fn time(&self, tick: usize) -> i64 {
        self.start + self.step * (tick - self.first) as i64
    }

    fn cut(&self, at: usize) -> (Self, Self) {
        let left = Self { len: at, ..*self };
        let right = Self {
            first: self.first + at,
            len: self.len - at,
            start: self.start + self.step * at as i64,
            step: self.step,
        };
        (left, right)
    }
}

/// Ticks with a sample, ascending.
fn present(series: &RangeSeries, part: Part) -> Vec<usize> {
    let mut ticks: Vec<usize> = series.floats.iter().map(|(t, _)| part.tick(*t)).collect();
    if !series.histograms.is_empty() {
        ticks.extend(series.histograms.iter().map(|(t, _)| part.tick(*t)));
        ticks.sort_unstable();
    }
    ticks
}

// === impl Ranged ===

impl Ranged {
    pub(crate) fn new(group: usize, rules: &[usize], shared: &Shared<'_>) -> Self {
        let mut queries: Vec<Expr> = Vec::new();
        let mut tracks = Vec::new();
        for rule in rules {
            let place = &shared.order.rules[*rule];
            let first = queries.len();
            queries.extend(expressions(place.config).into_iter().cloned());
            tracks.push(Track {
                rule: place.rule,
                queries: first..queries.len(),
                labels: BTreeMap::new(),
                runs: BTreeMap::new(),
                seen: BTreeMap::new(),
                failed: BTreeSet::new(),
                message: String::new(),
                steps: BTreeMap::new(),
            });
        }
        let options = shared.promql.options().clone();
        let engine = Engine::new(EngineOptions {
            samples_max: options.samples_max.min(SAMPLES_MAX),
            ..options
        });
        Self {
            group,
            plan: Plan::new(queries),
            engine,
            tracks,
            next: 0,
            part: 0,
        }
    }

    /// Evaluates all ticks before a time.
    pub(crate) fn advance(
        &mut self,
        shared: &Shared<'_>,
        history: &History<'_>,
        until: i64,
    ) -> Result<Given, Stopped> {
        let slots = &shared.order.slots[self.group];
        let end = slots.ticks.at_or_after(until);
        let mut given = Given::default();
        while self.next < end {
            let mut len = end - self.next;
            if self.part == 0 {
                let probe = Part::new(slots, self.next + len / 2, 1);
                let result = self.engine.replay(
                    history,
                    &self.plan,
                    probe.start,
                    probe.start,
                    probe.step,
                    &interrupt(shared),
                );
                let widest = result
                    .answers
                    .iter()
                    .flatten()
                    .map(|answer| size(&answer.value));
                self.part = part_for(widest.sum());
            }
            len = len.min(self.part);
            let part = Part::new(slots, self.next, len);
            let result = self.engine.replay(
                history,
                &self.plan,
                part.start,
                part.end(),
                part.step,
                &interrupt(shared),
            );
            given.samples += result.stats.samples as u64;
            given.series = given.series.max(result.stats.series);
            given.evaluations += (len * self.tracks.len()) as u64;
            let mut answers = Vec::new();
            for (query, answer) in result.answers.into_iter().enumerate() {
                answers.push(match answer {
                    Ok(answer) => Answer::good(answer.value),
                    Err(error) => {
                        self.answer_in_parts(shared, history, query, part, error, &mut given)?
                    }
                });
            }
            let widest: usize = answers.iter().map(|answer| answer.series.len()).sum();
            self.part = part_for(widest).min(self.part.saturating_mul(2));
            for track in &mut self.tracks {
                let own = &mut answers[track.queries.clone()];
                track.take(shared, self.group, part, own, &mut given);
            }
            self.next += len;
            shared.progress.advance((len * self.tracks.len()) as u64);
        }
        Ok(given)
    }

    /// A query that failed over a part: by halves, until the ticks are found at which it fails.
    fn answer_in_parts(
        &self,
        shared: &Shared<'_>,
        history: &History<'_>,
        query: usize,
        part: Part,
        error: QueryError,
        given: &mut Given,
    ) -> Result<Answer, Stopped> {
        let plan = Plan::new([self.plan.queries()[query].clone()]);
        let mut all = Answer::good(QueryValue::Matrix(Vec::new()));
        let mut open = vec![(part, Some(error))];
        while let Some((part, error)) = open.pop() {
            let error = match error {
                Some(error) => error,
                None => {
                    let mut result = self.engine.replay(
                        history,
                        &plan,
                        part.start,
                        part.end(),
                        part.step,
                        &interrupt(shared),
                    );
                    given.samples += result.stats.samples as u64;
                    match result.answers.pop() {
                        Some(Ok(answer)) => {
                            all.add(Answer::good(answer.value));
                            continue;
                        }
                        Some(Err(error)) => error,
                        None => continue,
                    }
                }
            };
            if matches!(error, QueryError::Canceled | QueryError::Timeout) {
                return Err(Stopped);
            }
            if part.len == 1 || all.failed.len() >= FAILURES_MAX {
                all.failed.extend(part.first..part.first + part.len);
                if all.message.is_empty() {
                    all.message = error.to_string();
                }
                continue;
            }
            let (left, right) = part.cut(part.len / 2);
            open.push((right, None));
            open.push((left, None));
        }
        Ok(all)
    }

    pub(crate) fn finish(
        self,
        shared: &Shared<'_>,
        replayed: &mut Replayed,
        values: &mut Option<Values>,
    ) {
        for track in self.tracks {
            let (group, rule) = (self.group, track.rule);
            if shared.tap.is_some_and(|(place, _)| place == (group, rule)) {
                *values = Some(Values {
                    ticks: shared.order.slots[group].ticks.clone(),
                    failed: track.failed.clone(),
                    steps: track.steps,
                });
            }
            for (labels, runs) in track.runs {
                let episodes = lives(shared, group, rule, &runs, &track.failed);
                replayed.alerts.push(AlertHistory {
                    group,
                    rule,
                    labels,
                    episodes,
                });
            }
            if let Some(first) = track.failed.first() {
                replayed.failures.push(Failure {
                    group,
                    rule,
                    ticks: track.failed.len(),
                    first_at: shared.order.slots[group].ticks.time(*first),
                    message: track.message,
                });
            }
        }
    }
}

fn interrupt(shared: &Shared<'_>) -> impl Fn() -> Option<Interruption> {
    || shared.progress.stopped().then_some(Interruption::Canceled)
}

fn part_for(series: usize) -> usize {
    (POINTS / series.max(1)).clamp(64, 200_000)
}

fn size(value: &QueryValue) -> usize {
    match value {
        QueryValue::Matrix(matrix) => matrix.len(),
        QueryValue::Vector(vector) => vector.len(),
        QueryValue::Scalar { .. } | QueryValue::String { .. } => 1,
    }
}

// === impl Answer ===

impl Answer {
    fn good(value: QueryValue) -> Self {
        let series = match value {
            QueryValue::Matrix(matrix) => matrix,
            _ => Vec::new(),
        };
        Self {
            series,
            failed: BTreeSet::new(),
            message: String::new(),
        }
    }

    fn add(&mut self, other: Self) {
        self.series.extend(other.series);
        self.failed.extend(other.failed);
    }
}

// === impl Track ===

impl Track {
    fn take(
        &mut self,
        shared: &Shared<'_>,
        group: usize,
        part: Part,
        answers: &mut [Answer],
        given: &mut Given,
    ) {
        for answer in answers.iter_mut() {
            self.failed.append(&mut answer.failed);
            if self.message.is_empty() {
                self.message = std::mem::take(&mut answer.message);
            }
        }
        let config = &shared.rules.groups[group].rules[self.rule];
        match config.kind {
            RuleKind::Recording => self.record(config, part, answers, given),
            RuleKind::Alerting => self.alert(shared, group, config, part, answers),
        }
    }

    fn alert(
        &mut self,
        shared: &Shared<'_>,
        group: usize,
        config: &RuleConfig,
        part: Part,
        answers: &mut [Answer],
    ) {
        let tap = shared.tap.filter(|(place, _)| *place == (group, self.rule));
        let naming = AlertLabels::new(config, shared.rules.settings);
        // Labels that ask a query or show the value are evaluated slot by slot, never here.
        let mut name = |labels: &Labels| {
            let known = self.labels.get(labels).cloned();
            known.unwrap_or_else(|| {
                let made = naming.of(labels, 0.0, 0, &|_| Ok(Vec::new()));
                self.labels.insert(labels.clone(), made.clone());
                made
            })
        };
        let mut by_alert = |answer: &mut Answer| {
            let mut found: BTreeMap<Labels, Vec<Vec<usize>>> = BTreeMap::new();
            for series in std::mem::take(&mut answer.series) {
                let ticks = present(&series, part);
                let labels = name(&series.labels);
                if let Some((_, scale)) = tap {
                    let steps = self.steps.entry(labels.clone()).or_default();
                    for (time, value) in &series.floats {
                        scale.push(steps, part.tick(*time), *value);
                    }
                }
                found.entry(labels).or_default().push(ticks);
            }
            found
        };
        let holding = by_alert(&mut answers[0]);
        let mut over = match answers {
            [_, there, over] => {
                let there = by_alert(there);
                Some((there, by_alert(over)))
            }
            _ => None,
        };
        let doubled = "vector contains metrics with the same labelset after applying alert labels";
        let holding = self.single(holding, doubled);
        let Some((there, over)) = &mut over else {
            for (labels, ticks) in holding {
                let runs = self.runs.entry(labels).or_default();
                push_ticks(runs, &ticks, Condition::Holds);
            }
            return;
        };
        for labels in there.keys() {
            self.runs.entry(labels.clone()).or_default();
        }
        let flat = |all: Option<&Vec<Vec<usize>>>| -> BTreeSet<usize> {
            all.into_iter().flatten().flatten().copied().collect()
        };
        for (labels, mut ticks) in holding {
            self.runs.entry(labels.clone()).or_default();
            let held = flat(there.get(&labels));
            let ended = flat(over.get(&labels));
            ticks.sort_unstable();
            let runs = self.runs.entry(labels.clone()).or_default();
            push_both(runs, &ticks, &held, &ended);
            there.remove(&labels);
        }
        for (labels, held) in std::mem::take(there) {
            let held = flat(Some(&held));
            let ended = flat(over.get(&labels));
            let runs = self.runs.entry(labels).or_default();
            push_both(runs, &[], &held, &ended);
        }
        // Held alone makes no alert.
        self.runs.retain(|_, runs| !runs.is_empty());
    }

    /// One list of ticks per label set; ticks with more than one sample fail the rule.
    fn single(
        &mut self,
        found: BTreeMap<Labels, Vec<Vec<usize>>>,
        message: &str,
    ) -> Vec<(Labels, Vec<usize>)> {
        let mut all = Vec::new();
        for (labels, mut lists) in found {
            if lists.len() == 1 {
                all.extend(lists.pop().map(|ticks| (labels, ticks)));
                continue;
            }
            let mut ticks: Vec<usize> = lists.into_iter().flatten().collect();
            ticks.sort_unstable();
            let doubled: Vec<usize> = ticks
                .windows(2)
                .filter(|pair| pair[0] == pair[1])
                .map(|pair| pair[0])
                .collect();
            if !doubled.is_empty() {
                self.failed.extend(doubled);
                if self.message.is_empty() {
                    message.clone_into(&mut self.message);
                }
            }
            ticks.dedup();
            all.push((labels, ticks));
        }
        all
    }

    fn record(
        &mut self,
        config: &RuleConfig,
        part: Part,
        answers: &mut [Answer],
        given: &mut Given,
    ) {
        let mut found: BTreeMap<Labels, Vec<RangeSeries>> = BTreeMap::new();
        for series in std::mem::take(&mut answers[0].series) {
            let known = self.labels.get(&series.labels).cloned();
            let labels = known.unwrap_or_else(|| {
                let made = recorded_labels(config, &series.labels);
                self.labels.insert(series.labels.clone(), made.clone());
                made
            });
            found.entry(labels).or_default().push(series);
        }
        let ticks: BTreeMap<Labels, Vec<Vec<usize>>> = found
            .iter()
            .filter(|(_, all)| all.len() > 1)
            .map(|(labels, all)| {
                let lists = all.iter().map(|series| present(series, part)).collect();
                (labels.clone(), lists)
            })
            .collect();
        drop(self.single(
            ticks,
            "vector contains metrics with the same labelset after applying rule labels",
        ));
        for labels in found.keys() {
            self.seen
                .entry(labels.clone())
                .or_insert((usize::MAX, true));
        }
        let end = part.first + part.len;
        let failed = &self.failed;
        let next_good = |tick: usize| (tick..end).find(|tick| !failed.contains(tick));
        for (labels, (last, marked)) in &mut self.seen {
            let mut column = Column::default();
            let mark = |column: &mut Column, last: usize, before: usize| {
                let from = last.wrapping_add(1).max(part.first);
                let at = next_good(from).filter(|tick| *tick < before);
                if let Some(tick) = at {
                    column.push(part.time(tick), Value::Float(stale_nan()));
                }
                at.is_some()
            };
            for (tick, value) in points(found.remove(labels).unwrap_or_default(), part) {
                if failed.contains(&tick) {
                    continue;
                }
                if !*marked && *last + 1 < tick {
                    mark(&mut column, *last, tick);
                }
                column.push(part.time(tick), value);
                (*last, *marked) = (tick, false);
            }
            if !*marked {
                *marked = mark(&mut column, *last, end);
            }
            if column.len() > 0 {
                given.recorded.add(labels.clone(), column);
            }
        }
    }
}

/// Samples of series that are one recorded series, by tick.
fn points(all: Vec<RangeSeries>, part: Part) -> Vec<(usize, Value)> {
    let mut points: Vec<(usize, Value)> = Vec::new();
    let mut mixed = all.len() > 1;
    for series in all {
        mixed |= !series.floats.is_empty() && !series.histograms.is_empty();
        let floats = series.floats.into_iter();
        points.extend(floats.map(|(t, v)| (part.tick(t), Value::Float(v))));
        let histograms = series.histograms.into_iter();
        points.extend(histograms.map(|(t, h)| (part.tick(t), Value::Histogram(h))));
    }
    if mixed {
        points.sort_by_key(|(tick, _)| *tick);
    }
    points
}

fn recorded_labels(config: &RuleConfig, sample: &Labels) -> Labels {
    let mut builder = sample.to_builder();
    builder.set(METRIC_NAME, &config.name);
    for (name, text) in &config.labels {
        builder.set(name, text.as_str());
    }
    builder.build()
}

fn push(runs: &mut Vec<Run>, tick: usize, condition: Condition) {
    match runs.last_mut() {
        Some(last) if last.last + 1 == tick && last.condition == condition => last.last = tick,
        _ => runs.push(Run {
            first: tick,
            last: tick,
            condition,
        }),
    }
}

fn push_ticks(runs: &mut Vec<Run>, ticks: &[usize], condition: Condition) {
    for tick in ticks {
        push(runs, *tick, condition);
    }
}

fn push_both(
    runs: &mut Vec<Run>,
    holding: &[usize],
    there: &BTreeSet<usize>,
    over: &BTreeSet<usize>,
) {
    let mut ticks: BTreeMap<usize, Condition> = there
        .difference(over)
        .map(|tick| (*tick, Condition::Held))
        .collect();
    ticks.extend(holding.iter().map(|tick| (*tick, Condition::Holds)));
    for (tick, condition) in ticks {
        push(runs, tick, condition);
    }
}
