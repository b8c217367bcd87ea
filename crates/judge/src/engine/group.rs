//! One rule group at work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::series::SeriesSource;
use bellwether_model::{Batch, Labels};
use bellwether_promql::Engine;
use jiff::Timestamp;

use crate::engine::overlay::Overlay;
use crate::engine::rule::{RuleState, Tick, stale_sample};
use crate::engine::stored::StoredRule;
use crate::engine::{Due, EngineSettings, GroupKey, GroupOutcome, schedule};
use crate::rules::{GroupConfig, RuleConfig, RuleKind};
use crate::status::GroupStatus;

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
