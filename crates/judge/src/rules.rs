//! Rule files, read with the position of every fault.

mod read;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::labels::{ALERT_NAME, METRIC_NAME};
use bellwether_model::{Labels, Problem, Problems};
use bellwether_promql::{Expr, ParserOptions};
use serde::Serialize;

use crate::text::{Context, TemplateText};

/// Reads rule files.
#[derive(Clone, Debug, Default)]
pub struct RuleFile {
    /// What the expressions may use.
    pub parser: ParserOptions,
    /// Keys that are not known are warnings, and the rule is used.
    pub ignore_unknown_keys: bool,
}

/// One group of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// File as the user named it.
    pub file: Arc<str>,
    pub name: String,
    /// `None`: the global evaluation interval.
    pub interval: Option<Duration>,
    /// `None`: the global one.
    pub query_offset: Option<Duration>,
    /// Alerts or series that one rule may give; 0: no limit.
    pub limit: usize,
    /// In order of evaluation.
    pub rules: Vec<RuleConfig>,
    pub line: u32,
}

/// What a rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    Recording,
    Alerting,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleConfig {
    pub kind: RuleKind,
    /// Name of the alert, or of the series that is recorded.
    pub name: String,
    pub expr: Expr,
    /// The expression as written.
    pub expr_text: String,
    /// `for`
    pub hold: Duration,
    pub keep_firing_for: Duration,
    /// With those of the group, sorted by name.
    pub labels: Vec<(String, TemplateText)>,
    /// Sorted by name.
    pub annotations: Vec<(String, TemplateText)>,
    /// `resolve_expr`: when a firing alert is over, if that is not as soon as `expr` no longer holds.
    pub resolve: Option<Resolve>,
    /// Who owns it; handed on as the annotation `owner`.
    pub owner: String,
    /// What to do about it; handed on as the annotation `runbook`.
    pub runbook: String,
    pub line: u32,
    pub column: u32,
}

/// Hysteresis: an alert that fires goes on firing until this holds for its labels, or until its data is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolve {
    /// A comparison. An alert is over when this gives a sample with the labels of the one that made it.
    pub expr: Expr,
    /// The left side of the comparison: while it has a sample of those labels, the data is there.
    pub subject: Expr,
    /// As written.
    pub text: String,
}

// === impl RuleFile ===

impl RuleFile {
    /// Reads a file with the stable language. What is wrong is reported, the rest is returned: a bad rule does not
    /// hide its group, a bad group not the others.
    pub fn read(file: &str, text: &str, problems: &mut Problems) -> Vec<GroupConfig> {
        Self::default().read_with(file, text, problems)
    }

    /// Reads a file.
    pub fn read_with(&self, file: &str, text: &str, problems: &mut Problems) -> Vec<GroupConfig> {
        read::read(self, file, text, problems)
    }
}

// === impl RuleConfig ===

impl RuleConfig {
    /// Labels as configured, not expanded.
    pub fn label_texts(&self) -> Labels {
        texts(&self.labels)
    }

    /// Annotations as configured, not expanded.
    pub fn annotation_texts(&self) -> Labels {
        texts(&self.annotations)
    }
}

impl RuleConfig {
    /// Labels of the alert that a sample of `expr` makes: the sample's without the name, those of the rule expanded.
    pub(crate) fn alert_labels(&self, sample: &Labels, context: &Context<'_>) -> Labels {
        let mut builder = sample.to_builder();
        builder.remove(METRIC_NAME);
        for (name, text) in &self.labels {
            builder.set(name, &text.expand(context));
        }
        builder.set(ALERT_NAME, &self.name);
        builder.build()
    }
}

/// Rules that are there twice: same kind, name and labels. Their series or alerts would collide or be sent twice.
pub fn duplicates(groups: &[GroupConfig]) -> Problems {
    let mut problems = Problems::default();
    let mut seen: BTreeMap<(RuleKind, &str, Labels), (&GroupConfig, &RuleConfig)> = BTreeMap::new();
    for group in groups {
        for rule in &group.rules {
            let key = (rule.kind, rule.name.as_str(), rule.label_texts());
            let Some((first_group, first)) = seen.get(&key) else {
                seen.insert(key, (group, rule));
                continue;
            };
            let word = match rule.kind {
                RuleKind::Alerting => "alert",
                RuleKind::Recording => "record",
            };
            let same = if first.expr_text == rule.expr_text {
                "with the same expression"
            } else {
                "with another expression"
            };
            problems.push(
                Problem::warning(
                    &group.file,
                    rule.line,
                    rule.column,
                    format!(
                        "{word} {} is there before with the same labels, {same} ({}:{})",
                        rule.name, first_group.file, first.line
                    ),
                )
                .with_hint(match rule.kind {
                    RuleKind::Alerting => "give one of them another name or label, or remove it",
                    RuleKind::Recording => {
                        "two rules that record one series overwrite each other; rename or remove one"
                    }
                }),
            );
        }
    }
    problems
}

fn texts(pairs: &[(String, TemplateText)]) -> Labels {
    pairs
        .iter()
        .map(|(name, text)| (name, text.as_str()))
        .collect()
}

#[cfg(test)]
mod tests;
