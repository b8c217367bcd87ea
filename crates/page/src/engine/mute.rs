//! What mutes an alert: inhibition by other alerts, silences, time intervals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::{Labels, MatchOp};
use jiff::Timestamp;

use super::Pager;
use super::state::hex;
use crate::config::{InhibitRule, RouteNode};
use crate::record::{Silence, SilenceState};

/// Firing source alerts per rule and values of the rule's `equal` labels: a counted set, so that the end of one of
/// two equal sources does not end the inhibition.
#[derive(Debug, Default)]
pub(super) struct InhibitIndex {
    /// The value says whether the source matches the rule's target too.
    sources: BTreeMap<SourceKey, BTreeMap<u64, bool>>,
}

/// Position of the rule and the values of its `equal` labels.
type SourceKey = (usize, Vec<Arc<str>>);

/// Silences by one `=` matcher of each matcher set; those without one are looked at for every alert.
#[derive(Debug, Default)]
pub(super) struct SilenceIndex {
    by_label: BTreeMap<(Arc<str>, Arc<str>), BTreeSet<String>>,
    others: BTreeSet<String>,
}

fn all_match(matchers: &[bellwether_model::Matcher], labels: &Labels) -> bool {
    matchers
        .iter()
        .all(|matcher| matcher.matches_labels(labels))
}

fn equal_values(rule: &InhibitRule, labels: &Labels) -> Vec<Arc<str>> {
    rule.equal
        .iter()
        .map(|name| Arc::from(labels.get(name)))
        .collect()
}

// === impl InhibitIndex ===

impl InhibitIndex {
    pub(super) fn add(&mut self, rules: &[InhibitRule], fingerprint: u64, labels: &Labels) {
        for (index, rule) in rules.iter().enumerate() {
            if all_match(&rule.source, labels) {
                self.sources
                    .entry((index, equal_values(rule, labels)))
                    .or_default()
                    .insert(fingerprint, all_match(&rule.target, labels));
            }
        }
    }

    pub(super) fn remove(&mut self, rules: &[InhibitRule], fingerprint: u64, labels: &Labels) {
        for (index, rule) in rules.iter().enumerate() {
            if all_match(&rule.source, labels) {
                let key = (index, equal_values(rule, labels));
                if let Some(set) = self.sources.get_mut(&key) {
                    set.remove(&fingerprint);
                    if set.is_empty() {
                        self.sources.remove(&key);
                    }
                }
            }
        }
    }

    /// Alerts that inhibit this one. An alert that matches both sides cannot be inhibited by another such alert.
    pub(super) fn inhibitors(
        &self,
        rules: &[InhibitRule],
        fingerprint: u64,
        labels: &Labels,
    ) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        for (index, rule) in rules.iter().enumerate() {
            if !all_match(&rule.target, labels) {
                continue;
            }
            let two_sided = all_match(&rule.source, labels);
            let Some(set) = self.sources.get(&(index, equal_values(rule, labels))) else {
                continue;
            };
            let source = set
                .iter()
                .find(|(source, both)| **source != fingerprint && !(two_sided && **both));
            found.extend(source.map(|(source, _)| *source));
        }
        found
    }
}

// === impl SilenceIndex ===

impl SilenceIndex {
    pub(super) fn add(&mut self, silence: &Silence) {
        for set in &silence.matcher_sets {
            let key = set
                .iter()
                .find(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty());
            match key {
                Some(matcher) => {
                    self.by_label
                        .entry((Arc::clone(&matcher.name), Arc::clone(&matcher.value)))
                        .or_default()
                        .insert(silence.id.clone());
                }
                None => {
                    self.others.insert(silence.id.clone());
                }
            }
        }
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.others.remove(id);
        self.by_label.retain(|_, set| {
            set.remove(id);
            !set.is_empty()
        });
    }

    fn candidates<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a String> {
        labels
            .iter()
            .filter_map(|label| {
                self.by_label
                    .get(&(Arc::clone(&label.name), Arc::clone(&label.value)))
            })
            .flatten()
            .chain(&self.others)
    }
}

// === impl Pager ===

impl Pager {
    /// Ids of the active silences that match.
    pub(super) fn silenced_by(&self, labels: &Labels, now: Timestamp) -> BTreeSet<&str> {
        self.silence_index
            .candidates(labels)
            .filter_map(|id| self.silences.get(id))
            .filter(|silence| silence.state(now) == SilenceState::Active && silence.matches(labels))
            .map(|silence| silence.id.as_str())
            .collect()
    }

    pub(super) fn inhibited_by(&self, fingerprint: u64, labels: &Labels) -> BTreeSet<u64> {
        self.inhibit
            .inhibitors(&self.config.inhibit_rules, fingerprint, labels)
    }

    /// The time interval that mutes a route now, and whether it is a mute interval (or the lack of an active one).
    pub(super) fn route_muted(&self, node: &RouteNode, now: Timestamp) -> Option<(String, bool)> {
        let holds = |name: &String| {
            self.config
                .time_intervals
                .get(name)
                .is_some_and(|list| list.iter().any(|interval| interval.contains(now)))
        };
        if !node.active_time_intervals.is_empty() && !node.active_time_intervals.iter().any(holds) {
            return Some((node.active_time_intervals.join(", "), false));
        }
        node.mute_time_intervals
            .iter()
            .find(|name| holds(name))
            .map(|name| (name.clone(), true))
    }

    /// Why an alert would not be told of, if so.
    pub(super) fn muted(
        &self,
        fingerprint: u64,
        labels: &Labels,
        now: Timestamp,
    ) -> Option<String> {
        if let Some(source) = self.inhibited_by(fingerprint, labels).first() {
            return Some(format!("inhibited by alert {}", hex(*source)));
        }
        self.silenced_by(labels, now)
            .first()
            .map(|id| format!("silenced by {id}"))
    }
}
