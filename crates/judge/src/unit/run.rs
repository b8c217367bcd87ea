//! Runs the tests of one file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::duration::format_duration;
use bellwether_model::histogram::ResetHint;
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{MemorySeries, Value};
use bellwether_model::{Labels, Problem};
use bellwether_promql::histogram::detect_reset;
use bellwether_promql::promqltest::Point;
use bellwether_promql::{Engine, EngineOptions, referenced_metrics};
use jiff::Timestamp;

use crate::engine::{EngineSettings, GroupOutcome, RuleEngine};
use crate::rules::{GroupConfig, RuleKind};
use crate::status::AlertState;
use crate::unit::compare::{alert_lines, expected_lines, got_lines, pairs, same_samples, samples};
use crate::unit::{
    AlertTest, Coverage, ExpectedAlert, ExprTest, Failure, FileReport, TestFile, TestGroup,
    TestReport,
};

/// Ticks of one test: more than a year of minutes.
const TICKS_MAX: u128 = 2_000_000;

pub(super) fn run(
    file: &TestFile,
    groups: &[GroupConfig],
    wanted: &dyn Fn(&str) -> bool,
    coverage: &mut Coverage,
) -> FileReport {
    coverage.add(groups);
    let mut ordered = groups.to_vec();
    // Groups that are not named count as the first, as in promtool; the sort is stable.
    ordered.sort_by_key(|group| {
        let place = file.group_eval_order.iter().position(|n| *n == group.name);
        place.unwrap_or(0)
    });
    let mut report = FileReport {
        file: file.file.clone(),
        problems: Vec::new(),
        tests: Vec::new(),
        skipped: 0,
    };
    for (index, test) in file.tests.iter().enumerate() {
        if !wanted(&test.name) {
            report.skipped += 1;
            continue;
        }
        let name = match test.name.as_str() {
            "" => format!("unnamed#{index}"),
            name => name.to_owned(),
        };
        let mut one = TestReport {
            name,
            line: test.line,
            checks: 0,
            failures: Vec::new(),
        };
        Running::new(file, test, &ordered).run(&mut one, coverage);
        report.tests.push(one);
    }
    report
}

struct Running<'a> {
    file: &'a TestFile,
    test: &'a TestGroup,
    groups: &'a [GroupConfig],
    engine: RuleEngine,
    promql: Engine,
    source: MemorySeries,
    /// Next point per series.
    next: Vec<usize>,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn trouble(problem: &Problem) -> Failure {
    Failure {
        line: problem.line,
        column: problem.column,
        what: "this test".to_owned(),
        error: Some(problem.message.clone()),
        expected: Vec::new(),
        got: Vec::new(),
    }
}

// === impl Running ===

impl<'a> Running<'a> {
    fn new(file: &'a TestFile, test: &'a TestGroup, groups: &'a [GroupConfig]) -> Self {
        let settings = EngineSettings {
            evaluation_interval: test.interval,
            external_labels: test.external_labels.clone(),
            external_url: test.external_url.trim_end_matches('/').to_owned(),
            ..EngineSettings::default()
        };
        let start = Timestamp::from_millisecond(test.start_ms).unwrap_or_default();
        let mut engine = RuleEngine::new(settings.clone());
        drop(engine.load(start, settings, groups.to_vec()));
        let promql = Engine::new(EngineOptions {
            subquery_step_ms: millis(file.evaluation_interval),
            ..EngineOptions::default()
        });
        Self {
            file,
            test,
            groups,
            engine,
            promql,
            source: MemorySeries::default(),
            next: vec![0; test.series.len()],
        }
    }

    fn run(&mut self, report: &mut TestReport, coverage: &mut Coverage) {
        report
            .failures
            .extend(self.test.problems.iter().map(trouble));
        if !self.test.problems.is_empty() {
            return;
        }
        let alerts = self.test.alerts.iter().map(|test| test.eval_time);
        let exprs = self.test.exprs.iter().map(|test| test.eval_time);
        let last = alerts.chain(exprs).max().unwrap_or_default();
        let interval = self.file.evaluation_interval;
        if last.as_millis() / interval.as_millis().max(1) > TICKS_MAX {
            report.failures.push(Failure {
                line: self.test.line,
                column: self.test.column,
                what: "this test".to_owned(),
                error: Some(format!(
                    "its last eval_time is more than {TICKS_MAX} evaluation intervals away"
                )),
                expected: Vec::new(),
                got: Vec::new(),
            });
            return;
        }
        let mut by_time: BTreeMap<Duration, Vec<&AlertTest>> = BTreeMap::new();
        for test in &self.test.alerts {
            by_time.entry(test.eval_time).or_default().push(test);
        }
        let mut now = Duration::ZERO;
        while now <= last {
            let tick = self.test.start_ms + millis(now);
            self.feed(tick);
            if let Err(failures) = self.tick(tick, now, coverage) {
                report.failures.extend(failures);
                return;
            }
            for (_, tests) in by_time.range(now..now + interval) {
                for test in tests {
                    report.checks += 1;
                    report.failures.extend(self.check_alert(test));
                    coverage.expected(&test.alertname, &test.expected);
                }
            }
            now += interval;
        }
        for test in &self.test.exprs {
            report.checks += 1;
            report.failures.extend(self.check_expr(test, coverage));
        }
    }

    /// Gives the store all points up to a time.
    fn feed(&mut self, until: i64) {
        let step = millis(self.test.interval);
        // A series named twice has the later points only.
        for (index, line) in self.test.series.iter().enumerate() {
            let hidden = self.test.series[index + 1..]
                .iter()
                .any(|later| later.labels == line.labels);
            while let Some(point) = line.points.get(self.next[index]) {
                let time = self.test.start_ms + step * self.next[index] as i64;
                if time > until {
                    break;
                }
                self.next[index] += 1;
                let value = match point {
                    _ if hidden => continue,
                    Point::Omitted => continue,
                    Point::Float(value) => Value::Float(*value),
                    Point::Histogram(histogram, _) => Value::Histogram(Arc::clone(histogram)),
                };
                append(&mut self.source, &line.labels, time, value);
            }
        }
    }

    /// Evaluates all groups at a tick.
    fn tick(
        &mut self,
        tick: i64,
        elapsed: Duration,
        coverage: &mut Coverage,
    ) -> Result<(), Vec<Failure>> {
        let mut errors = Vec::new();
        let mut changed = false;
        for group in self.groups {
            let outcome =
                match self
                    .engine
                    .evaluate_group(&group.key(), tick, &self.source, &self.promql)
                {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        errors.push(error.to_string());
                        continue;
                    }
                };
            changed |= !outcome.batch.events.is_empty();
            note_recorded(group, &outcome, coverage);
            errors.extend(outcome.errors.iter().map(|error| {
                format!(
                    "rule {} ({}:{}) at {}: {}",
                    error.rule,
                    group.file,
                    error.line,
                    format_duration(elapsed),
                    error.message
                )
            }));
            for sample in outcome.samples {
                append(
                    &mut self.source,
                    &sample.labels,
                    sample.timestamp,
                    sample.value,
                );
            }
        }
        if changed {
            self.note_alerts(coverage);
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(errors
            .into_iter()
            .map(|error| Failure {
                line: self.test.line,
                column: self.test.column,
                what: "evaluation".to_owned(),
                error: Some(error),
                expected: Vec::new(),
                got: Vec::new(),
            })
            .collect())
    }

    fn note_alerts(&self, coverage: &mut Coverage) {
        for group in self.engine.status().groups {
            for (index, rule) in group.rules.iter().enumerate() {
                for alert in &rule.alerts {
                    coverage.alert(
                        (&group.file, &group.name, index),
                        &alert.labels,
                        alert.state == AlertState::Firing,
                    );
                }
            }
        }
    }

    /// Firing alerts of a name, sorted.
    fn firing(&self, alertname: &str, expected: &[ExpectedAlert]) -> Vec<ExpectedAlert> {
        let mut found = Vec::new();
        for (group, status) in self.groups.iter().zip(self.engine.status().groups) {
            for (config, rule) in group.rules.iter().zip(status.rules) {
                if config.kind != RuleKind::Alerting || config.name != alertname {
                    continue;
                }
                for alert in rule.alerts {
                    if alert.state != AlertState::Firing {
                        continue;
                    }
                    let labels = pairs(&alert.labels);
                    let mut annotations = pairs(&alert.annotations);
                    // An annotation that came out empty is one, for promtool.
                    for (name, _) in &config.annotations {
                        if !alert.annotations.contains(name) {
                            annotations.push((name.clone(), String::new()));
                        }
                    }
                    annotations.sort();
                    // Keys of ours that promtool does not know need not be expected.
                    for (key, set) in [("owner", &config.owner), ("runbook", &config.runbook)] {
                        let wanted = expected
                            .iter()
                            .any(|alert| alert.annotations.iter().any(|(name, _)| name == key));
                        if !set.is_empty() && !wanted {
                            annotations.retain(|(name, _)| name != key);
                        }
                    }
                    found.push(ExpectedAlert {
                        labels,
                        annotations,
                    });
                }
            }
        }
        found.sort();
        found
    }

    fn check_alert(&self, test: &AlertTest) -> Option<Failure> {
        let got = self.firing(&test.alertname, &test.expected);
        (got != test.expected).then(|| Failure {
            line: test.line,
            column: test.column,
            what: format!(
                "alert {} at {}",
                test.alertname,
                format_duration(test.eval_time)
            ),
            error: None,
            expected: alert_lines(&test.expected),
            got: alert_lines(&got),
        })
    }

    fn check_expr(&self, test: &ExprTest, coverage: &mut Coverage) -> Option<Failure> {
        let mut failure = Failure {
            line: test.line,
            column: test.column,
            what: format!(
                "{} at {}",
                test.expr.trim(),
                format_duration(test.eval_time)
            ),
            error: None,
            expected: Vec::new(),
            got: Vec::new(),
        };
        let mut failed = |error: String| {
            failure.error = Some(error);
            Some(failure.clone())
        };
        let expr = match self.promql.parse(&test.expr) {
            Ok(expr) => expr,
            Err(error) => return failed(error.to_string()),
        };
        coverage.asked(&referenced_metrics(&expr).0);
        let time = self.test.start_ms + millis(test.eval_time);
        let result = match self.promql.instant(&self.source, &expr, time) {
            Ok(result) => result,
            Err(error) => return failed(error.to_string()),
        };
        let Some(got) = samples(result.value) else {
            return failed("the result is not a vector or scalar".to_owned());
        };
        let expected = match &test.expected {
            Ok(expected) => expected,
            Err(error) => return failed(error.clone()),
        };
        if same_samples(expected, &got, self.file.fuzzy_compare) {
            return None;
        }
        failure.expected = expected_lines(expected);
        failure.got = got_lines(&got);
        Some(failure)
    }
}

fn note_recorded(group: &GroupConfig, outcome: &GroupOutcome, coverage: &mut Coverage) {
    for (index, rule) in group.rules.iter().enumerate() {
        if rule.kind != RuleKind::Recording {
            continue;
        }
        let given = outcome.samples.iter().any(|sample| {
            !matches!(sample.value, Value::Float(value) if bellwether_model::series::is_stale(value))
                && sample.labels.get(METRIC_NAME) == rule.name
                && rule
                    .labels
                    .iter()
                    .all(|(name, text)| sample.labels.get(name) == text.as_str())
        });
        if given {
            coverage.recorded(&group.file, &group.name, index);
        }
    }
}

/// Appends as a store does: in order only, and a histogram that continues the one before it says so.
fn append(source: &mut MemorySeries, labels: &Labels, time: i64, value: Value) {
    let value = match value {
        Value::Histogram(histogram) if histogram.reset_hint != ResetHint::Gauge => {
            let continues = match source.last(labels) {
                Some((_, Value::Histogram(before))) => {
                    before.reset_hint != ResetHint::Gauge
                        && histogram.reset_hint != ResetHint::Reset
                        && !detect_reset(&histogram, before)
                }
                _ => false,
            };
            let reset_hint = if continues {
                ResetHint::NotReset
            } else {
                ResetHint::Unknown
            };
            let mut histogram = histogram;
            if histogram.reset_hint != reset_hint {
                Arc::make_mut(&mut histogram).reset_hint = reset_hint;
            }
            Value::Histogram(histogram)
        }
        other => other,
    };
    source.append(labels, time, value);
}
