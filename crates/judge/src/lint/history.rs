//! What the past says of rules: never fired, only ever together with others, over before anybody came.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::duration::format_brief;
use bellwether_model::problem::Severity;

use crate::lint::{Finding, Level, Options, check as check_of, level};
use crate::rules::{GroupConfig, RuleConfig, RuleKind};

/// Firings that are needed to say something of a rule.
const FIRINGS_MIN: usize = 5;
/// A page that is over by then was not worth it.
const SHORT_MS: i64 = 5 * 60_000;
/// Share of firings that makes it a habit.
const SHARE: f64 = 0.9;

/// One time an alert fired. Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Firing {
    pub from: i64,
    /// `None`: it still was at the end.
    pub to: Option<i64>,
}

/// When rules fired, over a stretch of the past. Milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub from: i64,
    pub to: i64,
    /// By file and line of the rule; a rule that is not here could not be evaluated.
    pub firings: BTreeMap<(Arc<str>, u32), Vec<Firing>>,
}

struct Page<'a> {
    group: &'a GroupConfig,
    rule: &'a RuleConfig,
    firings: &'a [Firing],
}

pub(super) fn check(
    groups: &[GroupConfig],
    history: &History,
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    let mut pages = Vec::new();
    let span_ms = u64::try_from(history.to - history.from).unwrap_or(0);
    let span = format_brief(std::time::Duration::from_millis(span_ms));
    for group in groups {
        for rule in &group.rules {
            if rule.kind != RuleKind::Alerting {
                continue;
            }
            let Some(firings) = history.firings.get(&(group.file.clone(), rule.line)) else {
                continue;
            };
            if firings.is_empty() {
                push(
                    findings,
                    group,
                    rule,
                    options,
                    "never-fired",
                    format!("did not fire in {span} of history"),
                    "is it for something rare? then test it (`rules test`); else its metric may be gone",
                );
            }
            if level(&rule.label_texts(), &options.page).0 == Level::Page {
                pages.push(Page {
                    group,
                    rule,
                    firings,
                });
            }
        }
    }
    for page in &pages {
        short(page, options, findings);
        redundant(page, &pages, options, findings);
    }
}

fn push(
    findings: &mut Vec<Finding>,
    group: &GroupConfig,
    rule: &RuleConfig,
    options: &Options,
    id: &'static str,
    message: String,
    hint: &str,
) {
    findings.push(Finding {
        check: id,
        severity: check_of(id).map_or(Severity::Note, |check| check.severity),
        file: group.file.clone(),
        line: rule.line,
        column: rule.column,
        group: group.name.clone(),
        rule: rule.name.clone(),
        level: Some(level(&rule.label_texts(), &options.page).0),
        message,
        hint: Some(hint.to_owned()),
    });
}

fn short(page: &Page<'_>, options: &Options, findings: &mut Vec<Finding>) {
    let all = page.firings.len();
    let short = page
        .firings
        .iter()
        .filter(|firing| firing.to.is_some_and(|to| to - firing.from < SHORT_MS))
        .count();
    if all >= FIRINGS_MIN && short as f64 >= SHARE * all as f64 {
        push(
            findings,
            page.group,
            page.rule,
            options,
            "self-resolving",
            format!(
                "{short} of {all} times it was over within 5 minutes, before anybody could act"
            ),
            "a longer `for`, or severity: ticket",
        );
    }
}

/// Pages that nearly always come while one and the same other page fires.
fn redundant(page: &Page<'_>, pages: &[Page<'_>], options: &Options, findings: &mut Vec<Finding>) {
    let all = page.firings.len();
    if all < FIRINGS_MIN {
        return;
    }
    for other in pages {
        if std::ptr::eq(other.rule, page.rule) {
            continue;
        }
        let inside = page
            .firings
            .iter()
            .filter(|firing| {
                other.firings.iter().any(|wide| {
                    wide.from <= firing.from && wide.to.is_none_or(|to| firing.from <= to)
                })
            })
            .count();
        // Of two that always come together the one that comes first is the one to keep.
        let mutual = other.firings.len() == all && page.rule.line < other.rule.line;
        if inside as f64 >= SHARE * all as f64 && !mutual {
            push(
                findings,
                page.group,
                page.rule,
                options,
                "always-redundant",
                format!(
                    "{inside} of {all} times {} already fired when it began",
                    other.rule.name
                ),
                "severity: context, or inhibit it by that alert",
            );
            return;
        }
    }
}
