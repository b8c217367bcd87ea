//! Which rules no test made fire, or record.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bellwether_model::Labels;
use serde::Serialize;

use crate::rules::{GroupConfig, RuleKind};
use crate::unit::{ExpectedAlert, Pairs};

/// Label sets that are kept per rule and kind; more are not worth reading.
const LABEL_SETS_MAX: usize = 1_000;

/// What all tests together made the rules do.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// By file, place of the group in it, place of the rule in the group.
    rules: BTreeMap<(Arc<str>, usize, usize), RuleCoverage>,
}

/// What tests made one rule do.
#[derive(Clone, Debug, Serialize)]
pub struct RuleCoverage {
    pub file: Arc<str>,
    pub line: u32,
    pub group: String,
    pub name: String,
    pub kind: RuleKind,
    /// An alert fired, or a series was recorded.
    pub covered: bool,
    /// An expectation names the alert, or its time passed with nothing expected and nothing fired.
    pub checked: bool,
    /// Alerts that fired in a test.
    pub fired: BTreeSet<Labels>,
    /// Alerts that were pending in a test and fired in none.
    pub never_fired: BTreeSet<Labels>,
    /// Alerts that fired and that no expectation names.
    pub never_expected: BTreeSet<Labels>,
    #[serde(skip)]
    pending: BTreeSet<Labels>,
    #[serde(skip)]
    expected: BTreeSet<Labels>,
}

// === impl Coverage ===

impl Coverage {
    /// Makes the rules of groups known; a rule that is known keeps what it has.
    pub fn add(&mut self, groups: &[GroupConfig]) {
        let mut places: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for group in groups {
            let place = places.entry(group.file.clone()).or_default();
            for (index, rule) in group.rules.iter().enumerate() {
                self.rules
                    .entry((group.file.clone(), *place, index))
                    .or_insert_with(|| RuleCoverage {
                        file: group.file.clone(),
                        line: rule.line,
                        group: group.name.clone(),
                        name: rule.name.clone(),
                        kind: rule.kind,
                        covered: false,
                        checked: false,
                        fired: BTreeSet::new(),
                        never_fired: BTreeSet::new(),
                        never_expected: BTreeSet::new(),
                        pending: BTreeSet::new(),
                        expected: BTreeSet::new(),
                    });
            }
            *place += 1;
        }
    }

    fn of(&mut self, file: &Arc<str>, group: &str, index: usize) -> Option<&mut RuleCoverage> {
        self.rules
            .range_mut((file.clone(), 0, 0)..)
            .take_while(|((of, _, _), _)| of == file)
            .find(|((_, _, at), rule)| *at == index && rule.group == group)
            .map(|(_, rule)| rule)
    }

    pub(super) fn recorded(&mut self, file: &Arc<str>, group: &str, index: usize) {
        if let Some(rule) = self.of(file, group, index) {
            rule.covered = true;
        }
    }

    pub(super) fn alert(
        &mut self,
        (file, group, index): (&Arc<str>, &str, usize),
        labels: &Labels,
        firing: bool,
    ) {
        let Some(rule) = self.of(file, group, index) else {
            return;
        };
        let into = if firing {
            rule.covered = true;
            &mut rule.fired
        } else {
            &mut rule.pending
        };
        if into.len() < LABEL_SETS_MAX && !into.contains(labels) {
            into.insert(labels.clone());
        }
    }

    /// A test looked at all alerts of a name.
    pub(super) fn expected(&mut self, alertname: &str, expected: &[ExpectedAlert]) {
        for rule in self.rules.values_mut() {
            if rule.kind == RuleKind::Alerting && rule.name == alertname {
                rule.checked = true;
                rule.expected
                    .extend(expected.iter().map(|alert| labels(&alert.labels)));
            }
        }
    }

    /// A test asked for an expression that reads these metrics.
    pub(super) fn asked(&mut self, metrics: &[String]) {
        for rule in self.rules.values_mut() {
            if rule.kind == RuleKind::Recording && metrics.contains(&rule.name) {
                rule.checked = true;
            }
        }
    }

    /// All rules by file and place.
    pub fn rules(&self) -> Vec<RuleCoverage> {
        self.rules
            .values()
            .cloned()
            .map(|mut rule| {
                rule.never_fired = rule.pending.difference(&rule.fired).cloned().collect();
                rule.never_expected = rule.fired.difference(&rule.expected).cloned().collect();
                rule
            })
            .collect()
    }

    /// How many rules of a kind are covered, and how many there are.
    pub fn count(&self, kind: RuleKind) -> (usize, usize) {
        let of_kind = || self.rules.values().filter(|rule| rule.kind == kind);
        (
            of_kind().filter(|rule| rule.covered).count(),
            of_kind().count(),
        )
    }

    /// Share of all rules that are covered, 0 to 100; 100 when there is none.
    pub fn percent(&self) -> f64 {
        let covered = self.rules.values().filter(|rule| rule.covered).count();
        match self.rules.len() {
            0 => 100.0,
            all => 100.0 * covered as f64 / all as f64,
        }
    }
}

impl fmt::Display for RuleCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, not) = match self.kind {
            RuleKind::Alerting => ("alert", "never fired"),
            RuleKind::Recording => ("record", "never gave a series"),
        };
        write!(f, "{}:{}: {word} {}", self.file, self.line, self.name)?;
        if !self.covered {
            write!(f, ": {not}")?;
        }
        for labels in &self.never_fired {
            write!(f, "\n    pending only: {labels}")?;
        }
        for labels in &self.never_expected {
            write!(f, "\n    fired, but in no exp_alerts: {labels}")?;
        }
        Ok(())
    }
}

fn labels(pairs: &Pairs) -> Labels {
    pairs.iter().map(|(name, value)| (name, value)).collect()
}
