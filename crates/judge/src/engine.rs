//! Evaluates rule groups and keeps the state of their alerts.

pub(crate) mod alert;
mod group;
mod overlay;
mod rule;
pub(crate) mod schedule;
mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::series::{SeriesSource, Value};
use bellwether_model::state::{Kind, Record};
use bellwether_model::{Batch, Labels, PostedAlert};
use bellwether_promql::Engine;
use jiff::Timestamp;

use crate::rules::GroupConfig;
use crate::status::Status;
use group::Group;
use stored::StoredRule;

/// Records of alerting rules: one per rule that has alerts, written when one of them changes its state.
pub const ALERT_RULE: Kind = Kind("alert_rule");

/// How long a resolved alert is kept and sent again.
pub const RESOLVED_RETENTION: Duration = Duration::from_mins(15);

/// Records of rules that are not configured are forgotten after this time.
const ORPHAN_RETENTION: Duration = Duration::from_hours(24);

/// What all groups share.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// Interval of groups that name none.
    pub evaluation_interval: Duration,
    /// Query offset of groups that name none.
    pub query_offset: Duration,
    /// Added to every alert that is sent, where the alert does not have the label itself.
    pub external_labels: Labels,
    /// Without a slash at the end: `http://host:9876`.
    pub external_url: String,
    /// A firing alert is sent again after this time.
    pub resend_delay: Duration,
    /// Until then no firing alert resolves ([`RuleEngine::hold_firing`]).
    pub hold_firing_until: Option<Timestamp>,
}

/// Which group: file and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    pub file: Arc<str>,
    pub name: String,
}

/// A group whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub key: GroupKey,
    /// Evaluation time in milliseconds since 1970.
    pub slot: i64,
    /// Slots before it that were missed and are skipped.
    pub missed: u64,
}

/// A sample to append.
#[derive(Clone, Debug)]
pub struct RuleSample {
    pub labels: Labels,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The stale marker is a float.
    pub value: Value,
}

/// A rule that could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub rule: String,
    pub line: u32,
    pub message: String,
}

/// All that one evaluation of a group gives.
#[derive(Clone, Debug, Default)]
pub struct GroupOutcome {
    /// Recorded series, `ALERTS`, `ALERTS_FOR_STATE` and stale markers, in order of the rules.
    pub samples: Vec<RuleSample>,
    /// Alerts to send: firing ones that are new or due again, resolved ones.
    pub alerts: Vec<PostedAlert>,
    /// Records of rules whose alerts changed state, and the events `alert_pending`, `alert_firing`, `alert_resolved`
    /// (subject `alert/<fingerprint>`).
    pub batch: Batch,
    pub errors: Vec<RuleError>,
    /// Samples read by all rules.
    pub samples_read: usize,
}

/// A group that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TickError {
    /// No group of this key is loaded (any more).
    UnknownGroup,
}

/// All rule groups with the state of their alerts.
#[derive(Debug)]
pub struct RuleEngine {
    settings: EngineSettings,
    /// In order of loading.
    groups: Vec<Group>,
    /// State of rules that are not configured (now), by record id.
    orphans: BTreeMap<String, StoredRule>,
    /// Series of removed groups, to be marked stale at that time.
    removed: Vec<(i64, Vec<Labels>)>,
}

// === impl EngineSettings ===

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            evaluation_interval: Duration::from_mins(1),
            query_offset: Duration::ZERO,
            external_labels: Labels::empty(),
            external_url: String::new(),
            resend_delay: Duration::from_mins(1),
            hold_firing_until: None,
        }
    }
}

// === impl GroupConfig ===

impl GroupConfig {
    /// Key of this group.
    pub fn key(&self) -> GroupKey {
        GroupKey {
            file: Arc::clone(&self.file),
            name: self.name.clone(),
        }
    }
}

// === impl RuleEngine ===

impl RuleEngine {
    /// An engine without rules.
    pub fn new(settings: EngineSettings) -> Self {
        Self {
            settings,
            groups: Vec::new(),
            orphans: BTreeMap::new(),
            removed: Vec::new(),
        }
    }

    /// Takes over a new set of groups at `now`; also the first one. State goes to the rule of the same group, name and
    /// labels, the n-th to the n-th. Series of rules that are gone are marked stale, their records are deleted.
    pub fn load(
        &mut self,
        now: Timestamp,
        settings: EngineSettings,
        groups: Vec<GroupConfig>,
    ) -> Batch {
        let now_ms = now.as_millisecond();
        let mut batch = Batch::default();
        let mut old: BTreeMap<GroupKey, Group> = std::mem::take(&mut self.groups)
            .into_iter()
            .map(|group| (group.config.key(), group))
            .collect();
        let hold_firing_until = self.settings.hold_firing_until;
        self.settings = EngineSettings {
            hold_firing_until,
            ..settings
        };
        for config in groups {
            let before = old.remove(&config.key());
            let mut group = Group::new(config, &self.settings, now_ms);
            if let Some(before) = before {
                group.take_over(before, &mut batch);
            }
            group.adopt(&mut self.orphans);
            self.groups.push(group);
        }
        for (_, group) in old {
            let after = now_ms + 2 * group.interval_ms;
            self.removed.push((after, group.retire(&mut batch)));
        }
        batch
    }

    /// Takes up the state of a run before this one; call it after the first [`RuleEngine::load`]. Alerts go on exactly
    /// where they were: `for` is measured from the time the alert became active, so a pending alert whose time ran out
    /// while nothing was evaluated fires at the first slot at which its condition still holds. State of rules that are
    /// not configured waits a day for them to come back.
    pub fn restore(&mut self, now: Timestamp, records: &[Record]) -> Batch {
        let mut batch = Batch::default();
        for record in records.iter().filter(|record| record.kind == ALERT_RULE.0) {
            match StoredRule::read(&record.body) {
                Some(stored) => {
                    self.orphans.insert(record.id.clone(), stored);
                }
                None => batch.delete(ALERT_RULE, &record.id),
            }
        }
        for group in &mut self.groups {
            group.adopt(&mut self.orphans);
        }
        self.orphans.retain(|id, stored| {
            let keep = now.duration_since(stored.updated_at)
                < ORPHAN_RETENTION.try_into().expect("a day fits");
            if !keep {
                batch.delete(ALERT_RULE, id);
            }
            keep
        });
        batch
    }

    /// Keeps alerts that fire firing until a time, though their condition may not hold. After a restart the data has
    /// a gap: a rate over a short window has too few samples, and what is not known to be over must not resolve.
    pub fn hold_firing(&mut self, until: Timestamp) {
        self.settings.hold_firing_until = Some(until);
    }

    /// The groups with a slot at or before `now` that they were not evaluated for, in order of loading. Each is
    /// returned once per slot; slots that were missed are counted and skipped.
    pub fn due(&mut self, now: Timestamp) -> Vec<Due> {
        let now = now.as_millisecond();
        self.groups
            .iter_mut()
            .filter_map(|group| group.due(now))
            .collect()
    }

    /// When the next group has its slot, or removed series must be marked.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let slots = self.groups.iter().map(|group| group.next_slot);
        let removed = self.removed.iter().map(|(at, _)| *at);
        let next = slots.chain(removed).min()?;
        Timestamp::from_millisecond(next).ok()
    }

    /// Stale markers for the series of groups that were removed two intervals ago.
    pub fn expire(&mut self, now: Timestamp) -> Vec<RuleSample> {
        let now = now.as_millisecond();
        let mut samples = Vec::new();
        self.removed.retain(|(at, series)| {
            if *at > now {
                return true;
            }
            samples.extend(series.iter().map(|labels| RuleSample {
                labels: labels.clone(),
                timestamp: *at,
                value: Value::Float(bellwether_model::series::stale_nan()),
            }));
            false
        });
        samples
    }

    /// Evaluates one group at its slot. Rules run in order, each sees what the ones before it gave.
    pub fn evaluate_group(
        &mut self,
        key: &GroupKey,
        slot: i64,
        source: &dyn SeriesSource,
        promql: &Engine,
    ) -> Result<GroupOutcome, TickError> {
        let settings = &self.settings;
        let group = self
            .groups
            .iter_mut()
            .find(|group| group.is(key))
            .ok_or(TickError::UnknownGroup)?;
        Ok(group.evaluate(slot, settings, source, promql))
    }

    /// Notes how long the last evaluation of a group took.
    pub fn note_duration(&mut self, key: &GroupKey, duration: Duration) {
        if let Some(group) = self.groups.iter_mut().find(|group| group.is(key)) {
            group.evaluation_time = duration;
        }
    }

    /// What all groups and rules are like now.
    pub fn status(&self) -> Status {
        Status {
            groups: self.groups.iter().map(Group::status).collect(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }
}

impl std::fmt::Display for TickError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownGroup => f.write_str("no such rule group is loaded"),
        }
    }
}
impl std::error::Error for TickError {}

#[cfg(test)]
mod tests;
