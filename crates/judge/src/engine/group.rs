//! One rule group at work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::labels::{ALERT_NAME, METRIC_NAME};
use bellwether_model::series::{SeriesSource, Value, stale_nan};
use bellwether_model::state::{NewEvent, Subject};
use bellwether_model::{Batch, Labels, PostedAlert};
use bellwether_promql::{Engine, InstantSample, QueryValue};
use bellwether_template::escape;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::engine::alert::{ActiveAlert, Holds};
use crate::engine::overlay::Overlay;
use crate::engine::stored::{StoredRule, record_id};
use crate::engine::{
    ALERT_RULE, Due, EngineSettings, GroupKey, GroupOutcome, RuleError, RuleSample, schedule,
};
use crate::rules::{GroupConfig, RuleConfig, RuleKind};
use crate::status::{AlertState, AlertStatus, GroupStatus, Health, RuleStatus};
use crate::text::Context;

/// A group with the state of its rules.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) config: GroupConfig,
    pub(super) interval_ms: i64,
    pub(super) next_slot: i64,
    pub(super) evaluation_time: Duration,
    query_offset: Duration,
    offset_ms: i64,
    rules: Vec<RuleState>,
    /// Series of rules that were removed from this group, to be marked stale at the next slot.
    stale: Vec<Labels>,
    last_evaluation: Option<Timestamp>,
    iterations: u64,
    missed: u64,
}

/// What status shows of a rule's configuration, made once.
#[derive(Clone, Debug, Default)]
struct Shown {
    query: String,
    labels: Labels,
    annotations: Labels,
}

#[derive(Debug)]
struct RuleState {
    config: RuleConfig,
    shown: Shown,
    record_id: String,
    /// Whether a record of this rule may exist.
    recorded: bool,
    active: BTreeMap<Labels, ActiveAlert>,
    /// Series of the last evaluation that went well.
    previous: BTreeSet<Labels>,
    health: Health,
    last_error: String,
    last_evaluation: Option<Timestamp>,
    samples_read: usize,
    series: usize,
}

/// What all rules of one tick share.
struct Tick<'a> {
    /// The slot.
    now: Timestamp,
    now_ms: i64,
    /// Time of the query and of its results: the slot less the query offset.
    data_ms: i64,
    interval_ms: i64,
    limit: usize,
    file: &'a str,
    group: &'a str,
    settings: &'a EngineSettings,
    promql: &'a Engine,
}

// === impl Group ===

impl Group {
    pub(super) fn new(config: GroupConfig, settings: &EngineSettings, now_ms: i64) -> Self {
        let interval = config.interval.unwrap_or(settings.evaluation_interval);
        let interval_ms = (interval.as_millis() as i64).max(1);
        let offset_ms = schedule::offset_ms(&config.file, &config.name, interval_ms);
        let mut counts: BTreeMap<(RuleKind, String, Labels), usize> = BTreeMap::new();
        let rules = config
            .rules
            .iter()
            .map(|rule| {
                let nth = counts.entry(identity(rule)).or_default();
                *nth += 1;
                RuleState::new(&config, rule.clone(), *nth)
            })
            .collect();
        Self {
            query_offset: config.query_offset.unwrap_or(settings.query_offset),
            config,
            interval_ms,
            next_slot: schedule::slot_from(now_ms, interval_ms, offset_ms),
            evaluation_time: Duration::ZERO,
            offset_ms,
            rules,
            stale: Vec::new(),
            last_evaluation: None,
            iterations: 0,
            missed: 0,
        }
    }

    pub(super) fn is(&self, key: &GroupKey) -> bool {
        self.config.file == key.file && self.config.name == key.name
    }

    /// Continues what `before`, the same group of the configuration before, had in hand.
    pub(super) fn take_over(&mut self, before: Self, batch: &mut Batch) {
        if before.interval_ms == self.interval_ms {
            self.next_slot = before.next_slot;
        }
        self.evaluation_time = before.evaluation_time;
        self.last_evaluation = before.last_evaluation;
        self.iterations = before.iterations;
        self.missed = before.missed;
        self.stale = before.stale;
        let mut old: BTreeMap<String, RuleState> = before
            .rules
            .into_iter()
            .map(|rule| (rule.record_id.clone(), rule))
            .collect();
        for rule in &mut self.rules {
            if let Some(state) = old.remove(&rule.record_id) {
                let (config, shown) = (rule.config.clone(), rule.shown.clone());
                *rule = RuleState {
                    config,
                    shown,
                    ..state
                };
            }
        }
        for (_, rule) in old {
            rule.forget(batch);
            self.stale.extend(rule.previous);
        }
    }

    /// Takes up stored state of rules that have none yet.
    pub(super) fn adopt(&mut self, orphans: &mut BTreeMap<String, StoredRule>) {
        for rule in &mut self.rules {
            if rule.config.kind == RuleKind::Alerting
                && rule.active.is_empty()
                && let Some(stored) = orphans.remove(&rule.record_id)
            {
                rule.adopt(stored);
            }
        }
    }

    /// The group is no longer configured: deletes its records, returns its series.
    pub(super) fn retire(self, batch: &mut Batch) -> Vec<Labels> {
        let mut series = self.stale;
        for rule in self.rules {
            rule.forget(batch);
            series.extend(rule.previous);
        }
        series
    }

    pub(super) fn due(&mut self, now_ms: i64) -> Option<Due> {
        if self.next_slot > now_ms {
            return None;
        }
        let slot = schedule::slot_at(now_ms, self.interval_ms, self.offset_ms);
        // Before the first evaluation nothing can be missed.
        let missed = if self.iterations == 0 {
            0
        } else {
            ((slot - self.next_slot) / self.interval_ms).max(0) as u64
        };
        self.missed += missed;
        self.iterations += 1;
        self.next_slot = slot + self.interval_ms;
        Some(Due {
            key: self.config.key(),
            slot,
            missed,
        })
    }

    pub(super) fn evaluate(
        &mut self,
        slot: i64,
        settings: &EngineSettings,
        source: &dyn SeriesSource,
        promql: &Engine,
    ) -> GroupOutcome {
        let now = Timestamp::from_millisecond(slot).unwrap_or_default();
        let tick = Tick {
            now,
            now_ms: slot,
            data_ms: slot - self.query_offset.as_millis() as i64,
            interval_ms: self.interval_ms,
            limit: self.config.limit,
            file: &self.config.file,
            group: &self.config.name,
            settings,
            promql,
        };
        let mut outcome = GroupOutcome::default();
        let mut overlay = Overlay::new(source);
        for rule in &mut self.rules {
            let samples = rule.evaluate(&tick, &overlay, &mut outcome);
            overlay.add(&samples);
            outcome.samples.extend(samples);
        }
        let given: BTreeSet<Labels> = self
            .rules
            .iter()
            .flat_map(|rule| rule.previous.iter().cloned())
            .collect();
        for labels in std::mem::take(&mut self.stale) {
            if !given.contains(&labels) {
                outcome.samples.push(stale_sample(labels, tick.data_ms));
            }
        }
        self.last_evaluation = Some(now);
        outcome
    }

    pub(super) fn status(&self) -> GroupStatus {
        GroupStatus {
            name: self.config.name.clone(),
            file: self.config.file.clone(),
            interval: Duration::from_millis(self.interval_ms as u64),
            query_offset: self.query_offset,
            limit: self.config.limit,
            rules: self.rules.iter().map(RuleState::status).collect(),
            last_evaluation: self.last_evaluation,
            evaluation_time: self.evaluation_time,
            iterations: self.iterations,
            iterations_missed: self.missed,
        }
    }
}

/// What makes two rules of a group the same one.
fn identity(rule: &RuleConfig) -> (RuleKind, String, Labels) {
    (rule.kind, rule.name.clone(), rule.label_texts())
}

fn stale_sample(labels: Labels, timestamp: i64) -> RuleSample {
    RuleSample {
        labels,
        timestamp,
        value: Value::Float(stale_nan()),
    }
}

// === impl RuleState ===

impl RuleState {
    fn new(group: &GroupConfig, config: RuleConfig, nth: usize) -> Self {
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

    fn adopt(&mut self, stored: StoredRule) {
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

    fn forget(&self, batch: &mut Batch) {
        if self.recorded {
            batch.delete(ALERT_RULE, &self.record_id);
        }
    }

    /// Evaluates the rule and returns its samples, stale markers included; nothing after an error.
    fn evaluate(
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
        let result = tick
            .promql
            .instant(source, &self.config.expr, tick.data_ms)
            .map_err(|error| error.to_string())?;
        self.samples_read = result.stats.samples;
        match result.value {
            QueryValue::Vector(samples) => Ok(samples),
            QueryValue::Scalar { timestamp, value } => Ok(vec![InstantSample {
                labels: Labels::empty(),
                timestamp,
                value: Value::Float(value),
            }]),
            QueryValue::String { .. } | QueryValue::Matrix(_) => {
                Err("rule result is not a vector or scalar".to_owned())
            }
        }
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
            let mut builder = sample.labels.to_builder();
            builder.remove(METRIC_NAME);
            for (name, text) in &self.config.labels {
                builder.set(name, &text.expand(&context));
            }
            builder.set(ALERT_NAME, &self.config.name);
            let labels = builder.build();
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
        self.step(tick, found)
    }

    /// Steps every alert of the rule, given those whose condition holds now.
    fn step(
        &mut self,
        tick: &Tick<'_>,
        mut found: BTreeMap<Labels, ActiveAlert>,
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

    fn status(&self) -> RuleStatus {
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
