//! One rule at work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{SeriesSource, Value, stale_nan};
use bellwether_model::state::{NewEvent, Subject};
use bellwether_model::{Batch, Labels, PostedAlert};
use bellwether_promql::{Engine, Expr, InstantSample, QueryValue};
use bellwether_template::escape;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::engine::alert::{ActiveAlert, Holds};
use crate::engine::stored::{StoredRule, record_id};
use crate::engine::{ALERT_RULE, EngineSettings, GroupOutcome, RuleError, RuleSample};
use crate::rules::{GroupConfig, RuleConfig, RuleKind};
use crate::status::{AlertState, AlertStatus, Health, RuleStatus};
use crate::text::Context;

/// What status shows of a rule's configuration, made once.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) query: String,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
}

#[derive(Debug)]
pub(super) struct RuleState {
    pub(super) config: RuleConfig,
    pub(super) shown: Shown,
    pub(super) record_id: String,
    /// Whether a record of this rule may exist.
    pub(super) recorded: bool,
    pub(super) active: BTreeMap<Labels, ActiveAlert>,
    /// Series of the last evaluation that went well.
    pub(super) previous: BTreeSet<Labels>,
    pub(super) health: Health,
    pub(super) last_error: String,
    pub(super) last_evaluation: Option<Timestamp>,
    pub(super) samples_read: usize,
    pub(super) series: usize,
}

/// What all rules of one tick share.
pub(super) struct Tick<'a> {
    /// The slot.
    pub(super) now: Timestamp,
    pub(super) now_ms: i64,
    /// Time of the query and of its results: the slot less the query offset.
    pub(super) data_ms: i64,
    pub(super) interval_ms: i64,
    pub(super) limit: usize,
    pub(super) file: &'a str,
    pub(super) group: &'a str,
    pub(super) settings: &'a EngineSettings,
    pub(super) promql: &'a Engine,
}

impl Tick<'_> {
    /// Whether alerts that fire are kept, whatever the data says.
    fn holds_firing(&self) -> bool {
        self.settings
            .hold_firing_until
            .is_some_and(|until| self.now < until)
    }
}

pub(super) fn stale_sample(labels: Labels, timestamp: i64) -> RuleSample {
    RuleSample {
        labels,
        timestamp,
        value: Value::Float(stale_nan()),
    }
}

// === impl RuleState ===

impl RuleState {
    pub(super) fn new(group: &GroupConfig, config: RuleConfig, nth: usize) -> Self {
        let word = match config.kind {
            RuleKind::Alerting => "alert",
            RuleKind::Recording => "record",
        };
        let labels = config.label_texts().with("__kind__", word);
        Self {
            record_id: record_id(&group.file, &group.name, &config.name, &labels, nth),
            shown: Shown {
                query: config.expr.to_string(),
                labels: config.label_texts(),
                annotations: config.annotation_texts(),
            },
            config,
            recorded: false,
            active: BTreeMap::new(),
            previous: BTreeSet::new(),
            health: Health::Unknown,
            last_error: String::new(),
            last_evaluation: None,
            samples_read: 0,
            series: 0,
        }
    }

    pub(super) fn adopt(&mut self, stored: StoredRule) {
        self.recorded = true;
        self.active = stored
            .alerts
            .into_iter()
            .map(|alert| (alert.labels.clone(), alert))
            .collect();
        self.previous = self
            .active
            .values()
            .filter(|alert| alert.is_active())
            .flat_map(|alert| synthetic(alert, 0))
            .map(|sample| sample.labels)
            .collect();
    }

    pub(super) fn forget(&self, batch: &mut Batch) {
        if self.recorded {
            batch.delete(ALERT_RULE, &self.record_id);
        }
    }

    /// Evaluates the rule and returns its samples, stale markers included; nothing after an error.
    pub(super) fn evaluate(
        &mut self,
        tick: &Tick<'_>,
        source: &dyn SeriesSource,
        outcome: &mut GroupOutcome,
    ) -> Vec<RuleSample> {
        self.last_evaluation = Some(tick.now);
        let before = self.active.clone();
        let result = self.query(tick, source).and_then(|vector| {
            self.series = vector.len();
            match self.config.kind {
                RuleKind::Recording => self.record(tick, vector),
                RuleKind::Alerting => self.alert(tick, source, vector),
            }
        });
        outcome.samples_read += self.samples_read;
        let samples = match result {
            Ok(samples) => {
                self.health = Health::Ok;
                self.last_error.clear();
                self.with_stale_markers(tick, samples)
            }
            Err(message) => {
                self.health = Health::Error;
                self.last_error.clone_from(&message);
                outcome.errors.push(RuleError {
                    rule: self.config.name.clone(),
                    line: self.config.line,
                    message,
                });
                Vec::new()
            }
        };
        if self.config.kind == RuleKind::Alerting {
            self.send(tick, outcome);
            self.write_record(tick, &before, outcome);
        }
        samples
    }

    fn query(
        &mut self,
        tick: &Tick<'_>,
        source: &dyn SeriesSource,
    ) -> Result<Vec<InstantSample>, String> {
        let (vector, samples) = vector_of(tick, source, &self.config.expr)?;
        self.samples_read = samples;
        Ok(vector)
    }

    fn record(
        &self,
        tick: &Tick<'_>,
        vector: Vec<InstantSample>,
    ) -> Result<Vec<RuleSample>, String> {
        let mut seen = BTreeSet::new();
        let mut samples = Vec::with_capacity(vector.len());
        for sample in vector {
            let mut builder = sample.labels.to_builder();
            builder.set(METRIC_NAME, &self.config.name);
            for (name, text) in &self.config.labels {
                builder.set(name, text.as_str());
            }
            let labels = builder.build();
            if !seen.insert(labels.clone()) {
                return Err(
                    "vector contains metrics with the same labelset after applying rule labels"
                        .to_owned(),
                );
            }
            samples.push(RuleSample {
                labels,
                timestamp: tick.data_ms,
                value: sample.value,
            });
        }
        if tick.limit > 0 && samples.len() > tick.limit {
            return Err(format!(
                "exceeded limit of {} with {} series",
                tick.limit,
                samples.len()
            ));
        }
        Ok(samples)
    }

    fn alert(
        &mut self,
        tick: &Tick<'_>,
        source: &dyn SeriesSource,
        vector: Vec<InstantSample>,
    ) -> Result<Vec<RuleSample>, String> {
        let query = |text: &str| query_in_template(tick, source, text);
        let mut found: BTreeMap<Labels, ActiveAlert> = BTreeMap::new();
        for sample in vector {
            let context = Self::context(tick, &sample.labels, &sample.value, &query);
            let labels = self.config.alert_labels(&sample.labels, &context);
            let annotations: Labels = self
                .config
                .annotations
                .iter()
                .map(|(name, text)| (name, text.expand(&context)))
                .collect();
            let alert = ActiveAlert::new(labels.clone(), annotations, tick.now, context.value);
            if found.insert(labels, alert).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels"
                        .to_owned(),
                );
            }
        }
        let held = self.held(tick, source, &found)?;
        self.step(tick, found, &held)
    }

    /// Alerts that fire, whose condition does not hold, and which `resolve_expr` does not end yet.
    fn held(
        &mut self,
        tick: &Tick<'_>,
        source: &dyn SeriesSource,
        found: &BTreeMap<Labels, ActiveAlert>,
    ) -> Result<BTreeSet<Labels>, String> {
        let Some(resolve) = &self.config.resolve else {
            return Ok(BTreeSet::new());
        };
        let asked = self.active.iter().any(|(labels, alert)| {
            alert.state == AlertState::Firing && !found.contains_key(labels)
        });
        if !asked {
            return Ok(BTreeSet::new());
        }
        let query = |text: &str| query_in_template(tick, source, text);
        let mut read = 0;
        let mut labels_of = |expr: &Expr| -> Result<BTreeSet<Labels>, String> {
            let (vector, samples) = vector_of(tick, source, expr)?;
            read += samples;
            Ok(vector
                .iter()
                .map(|sample| {
                    let context = Self::context(tick, &sample.labels, &sample.value, &query);
                    self.config.alert_labels(&sample.labels, &context)
                })
                .collect())
        };
        let there = labels_of(&resolve.subject)?;
        let over = labels_of(&resolve.expr)?;
        self.samples_read += read;
        Ok(there.difference(&over).cloned().collect())
    }

    /// Steps every alert of the rule, given those whose condition holds now, and those that are held.
    fn step(
        &mut self,
        tick: &Tick<'_>,
        mut found: BTreeMap<Labels, ActiveAlert>,
        held: &BTreeSet<Labels>,
    ) -> Result<Vec<RuleSample>, String> {
        let times = Holds {
            hold: self.config.hold,
            keep_firing_for: self.config.keep_firing_for,
        };
        self.active
            .retain(|labels, alert| match found.remove(labels) {
                Some(now) if alert.is_active() => {
                    alert.value = now.value;
                    alert.annotations = now.annotations;
                    alert.holds(tick.now, times);
                    true
                }
                Some(now) => {
                    *alert = now;
                    alert.holds(tick.now, times);
                    true
                }
                None if alert.state == AlertState::Firing && tick.holds_firing() => true,
                None if held.contains(labels) && alert.is_held(tick.now, times) => true,
                None => !alert.is_missing(tick.now, times),
            });
        for (labels, mut alert) in found {
            alert.holds(tick.now, times);
            self.active.insert(labels, alert);
        }
        let count = self.active.values().filter(|a| a.is_active()).count();
        if tick.limit > 0 && count > tick.limit {
            self.active.clear();
            return Err(format!(
                "exceeded limit of {} with {count} alerts",
                tick.limit
            ));
        }
        Ok(self
            .active
            .values()
            .filter(|alert| alert.is_active())
            .flat_map(|alert| synthetic(alert, tick.data_ms))
            .collect())
    }

    fn context<'c>(
        tick: &Tick<'c>,
        labels: &'c Labels,
        value: &Value,
        query: &'c dyn Fn(&str) -> bellwether_template::prometheus::QueryResult,
    ) -> Context<'c> {
        Context {
            labels,
            value: match value {
                Value::Float(value) => *value,
                // A histogram as `$value`: its count says most.
                Value::Histogram(histogram) => histogram.count,
            },
            external_labels: &tick.settings.external_labels,
            external_url: &tick.settings.external_url,
            now_ms: tick.now_ms,
            query,
        }
    }

    fn with_stale_markers(
        &mut self,
        tick: &Tick<'_>,
        mut samples: Vec<RuleSample>,
    ) -> Vec<RuleSample> {
        let now: BTreeSet<Labels> = samples.iter().map(|s| s.labels.clone()).collect();
        let gone = std::mem::take(&mut self.previous);
        samples.extend(
            gone.into_iter()
                .filter(|labels| !now.contains(labels))
                .map(|labels| stale_sample(labels, tick.data_ms)),
        );
        self.previous = now;
        samples
    }

    fn send(&mut self, tick: &Tick<'_>, outcome: &mut GroupOutcome) {
        let resend = tick.settings.resend_delay;
        let valid = resend.max(Duration::from_millis(tick.interval_ms as u64)) * 4;
        let valid_until = SignedDuration::try_from(valid)
            .ok()
            .and_then(|valid| tick.now.checked_add(valid).ok());
        let url = format!(
            "{}/graph?g0.expr={}&g0.tab=1",
            tick.settings.external_url,
            escape::query(&self.config.expr_text)
        );
        for alert in self.active.values_mut() {
            if !alert.take_for_sending(tick.now, resend) {
                continue;
            }
            let mut labels = tick.settings.external_labels.to_builder();
            for label in &alert.labels {
                labels.set(&label.name, &label.value);
            }
            outcome.alerts.push(PostedAlert {
                labels: labels.build(),
                annotations: alert.annotations.clone(),
                starts_at: alert.fired_at,
                ends_at: alert.resolved_at.or(valid_until),
                generator_url: url.clone(),
            });
        }
    }

    /// Writes the record and the events of what changed since `before`.
    fn write_record(
        &mut self,
        tick: &Tick<'_>,
        before: &BTreeMap<Labels, ActiveAlert>,
        outcome: &mut GroupOutcome,
    ) {
        for (labels, alert) in &self.active {
            let was = before.get(labels);
            if was.map(|was| (was.state, was.active_at)) != Some((alert.state, alert.active_at)) {
                outcome.batch.events.push(self.event(tick, alert));
            }
        }
        let same = self.active.len() == before.len()
            && self
                .active
                .iter()
                .zip(before)
                .all(|((_, now), (_, was))| same_but_for_sending(now, was));
        if same {
            return;
        }
        if self.active.is_empty() {
            if self.recorded {
                outcome.batch.delete(ALERT_RULE, &self.record_id);
            }
            self.recorded = false;
            return;
        }
        let stored = StoredRule {
            file: tick.file.to_owned(),
            group: tick.group.to_owned(),
            rule: self.config.name.clone(),
            updated_at: tick.now,
            alerts: self.active.values().cloned().collect(),
        };
        outcome
            .batch
            .put(ALERT_RULE, &self.record_id, &stored.to_body(), None);
        self.recorded = true;
    }

    fn event(&self, tick: &Tick<'_>, alert: &ActiveAlert) -> NewEvent {
        let (kind, word) = match alert.state {
            AlertState::Pending => ("alert_pending", "is pending"),
            AlertState::Firing => ("alert_firing", "is firing"),
            AlertState::Inactive => ("alert_resolved", "is resolved"),
        };
        let summary = alert.annotations.get("summary");
        let text = match summary {
            "" => format!("{} {word}", self.config.name),
            summary => format!("{} {word}: {summary}", self.config.name),
        };
        NewEvent {
            at: tick.now,
            subject: Subject::new("alert", format!("{:016x}", alert.labels.fingerprint())),
            kind: kind.to_owned(),
            actor: format!("rule:{}", self.config.name),
            text,
            data: json!({
                "file": tick.file,
                "group": tick.group,
                "rule": self.config.name,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "active_at": alert.active_at,
                "value": alert.value.to_string(),
            }),
        }
    }

    pub(super) fn status(&self) -> RuleStatus {
        let alerts: Vec<AlertStatus> = self
            .active
            .values()
            .filter(|alert| alert.is_active())
            .map(|alert| AlertStatus {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                state: alert.state,
                active_at: alert.active_at,
                fired_at: alert.fired_at,
                keep_firing_since: alert.keep_firing_since,
                value: alert.value,
            })
            .collect();
        RuleStatus {
            kind: self.config.kind,
            name: self.config.name.clone(),
            query: self.shown.query.clone(),
            hold: self.config.hold,
            keep_firing_for: self.config.keep_firing_for,
            labels: self.shown.labels.clone(),
            annotations: self.shown.annotations.clone(),
            owner: self.config.owner.clone(),
            runbook: self.config.runbook.clone(),
            line: self.config.line,
            state: alerts
                .iter()
                .map(|alert| alert.state)
                .max()
                .unwrap_or_default(),
            health: self.health,
            last_error: self.last_error.clone(),
            last_evaluation: self.last_evaluation,
            samples_read: self.samples_read,
            series: self.series,
            alerts,
        }
    }
}

/// What is the same means: nothing to record. (When it was sent, its value and its annotations come with the next
/// change.)
fn same_but_for_sending(now: &ActiveAlert, was: &ActiveAlert) -> bool {
    let ActiveAlert {
        labels,
        annotations: _,
        state,
        active_at,
        fired_at,
        resolved_at,
        keep_firing_since,
        last_sent_at: _,
        value: _,
    } = now;
    (labels, *state, *active_at, *fired_at) == (&was.labels, was.state, was.active_at, was.fired_at)
        && (*resolved_at, *keep_firing_since) == (was.resolved_at, was.keep_firing_since)
}

/// `ALERTS` and `ALERTS_FOR_STATE` of one alert.
fn synthetic(alert: &ActiveAlert, timestamp: i64) -> [RuleSample; 2] {
    let mut state = alert.labels.to_builder();
    state
        .set(METRIC_NAME, "ALERTS")
        .set("alertstate", alert.state.as_str());
    [
        RuleSample {
            labels: state.build(),
            timestamp,
            value: Value::Float(1.0),
        },
        RuleSample {
            labels: alert.labels.with(METRIC_NAME, "ALERTS_FOR_STATE"),
            timestamp,
            value: Value::Float(alert.active_at.as_second() as f64),
        },
    ]
}

/// Evaluates an expression of a rule; also how many samples that read.
fn vector_of(
    tick: &Tick<'_>,
    source: &dyn SeriesSource,
    expr: &Expr,
) -> Result<(Vec<InstantSample>, usize), String> {
    let result = tick
        .promql
        .instant(source, expr, tick.data_ms)
        .map_err(|error| error.to_string())?;
    let vector = match result.value {
        QueryValue::Vector(samples) => samples,
        QueryValue::Scalar { timestamp, value } => vec![InstantSample {
            labels: Labels::empty(),
            timestamp,
            value: Value::Float(value),
        }],
        QueryValue::String { .. } | QueryValue::Matrix(_) => {
            return Err("rule result is not a vector or scalar".to_owned());
        }
    };
    Ok((vector, result.stats.samples))
}

/// `query` of a template: runs at the evaluation time, also in a replay.
fn query_in_template(
    tick: &Tick<'_>,
    source: &dyn SeriesSource,
    text: &str,
) -> bellwether_template::prometheus::QueryResult {
    let expr = tick.promql.parse(text).map_err(|error| error.to_string())?;
    let result = tick
        .promql
        .instant(source, &expr, tick.now_ms)
        .map_err(|error| error.to_string())?;
    let samples = match result.value {
        QueryValue::Vector(samples) => samples,
        QueryValue::Scalar { timestamp, value } => vec![InstantSample {
            labels: Labels::empty(),
            timestamp,
            value: Value::Float(value),
        }],
        QueryValue::String { .. } | QueryValue::Matrix(_) => {
            return Err("query result is not a vector or scalar".to_owned());
        }
    };
    Ok(samples
        .into_iter()
        .map(|sample| match sample.value {
            Value::Float(value) => (sample.labels, value),
            Value::Histogram(histogram) => (sample.labels, histogram.count),
        })
        .collect())
}
