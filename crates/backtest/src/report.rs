//! What a backtest says.

use std::collections::BTreeMap;

use bellwether_judge::{GroupConfig, RuleKind};
use jiff::Timestamp;
use serde::Serialize;

use crate::pages::{Page, Suppressed};
use crate::score::{Figures, Outcome};

/// One alerting rule in a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleRow {
    pub file: String,
    pub group: String,
    pub name: String,
    /// `severity` as configured.
    pub severity: String,
    pub line: u32,
    /// Times that one of its alerts fired.
    pub firings: usize,
    /// Alerts (label sets) that fired.
    pub alerts: usize,
    /// Pages with alerts of no other rule: so many fewer there would be without it.
    pub pages_alone: usize,
    /// Incidents that no other rule caught: so many would be lost without it.
    pub caught_alone: usize,
    #[serde(flatten)]
    pub figures: Figures,
}

/// A rule that could not be evaluated now and then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureRow {
    pub file: String,
    pub line: u32,
    pub rule: String,
    /// Evaluations that failed.
    pub evaluations: usize,
    pub first_at: Option<Timestamp>,
    pub message: String,
}

/// What a set of rules would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub from: Timestamp,
    pub to: Timestamp,
    /// Rules that were replayed, recording rules among them.
    pub rules_total: usize,
    pub series: usize,
    /// Samples read over all phases.
    pub samples: u64,
    /// Evaluations of rules over all phases.
    pub evaluations: u64,
    pub phases: usize,
    /// All rules together.
    pub total: Figures,
    /// Alerting rules in the order of their files.
    pub rules: Vec<RuleRow>,
    /// None without a list of incidents.
    pub incidents: Option<Vec<Outcome>>,
    /// Notifications of firing alerts by channel, pages among them.
    pub notifications: BTreeMap<String, u64>,
    /// Cases that only made a ticket.
    pub tickets: u64,
    pub suppressed: Suppressed,
    pub failures: Vec<FailureRow>,
    /// The pages themselves, with the rows of `rules` they belong to.
    pub pages: Vec<PageRow>,
    /// What should be known before one believes these figures.
    pub notes: Vec<String>,
}

/// A page in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageRow {
    /// Rows of the rules with an alert in it.
    pub rows: Vec<usize>,
    #[serde(flatten)]
    pub page: Page,
}

/// What changes from one set of rules to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub before: Report,
    pub after: Report,
    /// Pages after less pages before.
    pub pages_delta: i64,
    /// Ids of incidents that only the rules before catch.
    pub lost: Vec<String>,
    /// Ids of incidents that only the rules after catch.
    pub gained: Vec<String>,
    /// Rules that are not the same, or do not page the same.
    pub rules: Vec<Change>,
}

/// How a rule differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub name: String,
    pub group: String,
    pub kind: ChangeKind,
    /// Rows in the reports.
    pub before: Option<usize>,
    pub after: Option<usize>,
}

/// What was done to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Removed,
    Edited,
    /// The rule is the same, what it pages is not.
    Affected,
}

// === impl RuleRow ===

impl RuleRow {
    /// `ApiErrors (page)`.
    pub fn title(&self) -> String {
        match self.severity.as_str() {
            "" => self.name.clone(),
            severity => format!("{} ({severity})", self.name),
        }
    }
}

// === impl Comparison ===

impl Comparison {
    /// Compares two reports of the same time and incidents.
    pub fn new(
        (before_groups, before): (&[GroupConfig], Report),
        (after_groups, after): (&[GroupConfig], Report),
    ) -> Self {
        let caught = |report: &Report| -> Vec<(String, bool)> {
            let outcomes = report.incidents.iter().flatten();
            outcomes
                .map(|outcome| (outcome.id.clone(), outcome.caught))
                .collect()
        };
        let (mut lost, mut gained) = (Vec::new(), Vec::new());
        for ((id, was), (_, is)) in caught(&before).into_iter().zip(caught(&after)) {
            match (was, is) {
                (true, false) => lost.push(id),
                (false, true) => gained.push(id),
                _ => {}
            }
        }
        Self {
            pages_delta: after.total.pages as i64 - before.total.pages as i64,
            rules: changes((before_groups, &before), (after_groups, &after)),
            before,
            after,
            lost,
            gained,
        }
    }

    /// Whether the change must not pass: an incident is lost, or pages grow by more than is allowed.
    pub fn is_worse(&self, new_pages_max: Option<u64>) -> bool {
        let grown = u64::try_from(self.pages_delta).unwrap_or(0);
        !self.lost.is_empty() || new_pages_max.is_some_and(|max| grown > max)
    }
}

/// Alerting rules by group, name and place among their likes: text of what matters for pages, and row.
fn keyed(groups: &[GroupConfig]) -> BTreeMap<(String, String, usize), (String, usize)> {
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut all = BTreeMap::new();
    let alerting = groups.iter().flat_map(|group| {
        let rules = group.rules.iter();
        rules
            .filter(|rule| rule.kind == RuleKind::Alerting)
            .map(move |rule| (group, rule))
    });
    for (row, (group, rule)) in alerting.enumerate() {
        let nth = seen
            .entry((group.name.clone(), rule.name.clone()))
            .or_default();
        *nth += 1;
        let resolve = rule.resolve.as_ref().map(|resolve| &resolve.text);
        let text = format!(
            "{} {:?} {:?} {} {:?} {:?} {:?} {resolve:?}",
            rule.expr,
            rule.hold,
            rule.keep_firing_for,
            rule.label_texts(),
            group.interval,
            group.query_offset,
            group.limit,
        );
        all.insert((group.name.clone(), rule.name.clone(), *nth), (text, row));
    }
    all
}

fn changes(
    (before_groups, before): (&[GroupConfig], &Report),
    (after_groups, after): (&[GroupConfig], &Report),
) -> Vec<Change> {
    let old = keyed(before_groups);
    let new = keyed(after_groups);
    let mut all = Vec::new();
    for (key, (text, row)) in &new {
        let known = old.get(key);
        let kind = match known {
            None => ChangeKind::Added,
            Some((was, _)) if was != text => ChangeKind::Edited,
            Some((_, was)) => {
                let same = before.rules[*was].figures == after.rules[*row].figures;
                if same {
                    continue;
                }
                ChangeKind::Affected
            }
        };
        all.push(Change {
            name: key.1.clone(),
            group: key.0.clone(),
            kind,
            before: known.map(|(_, row)| *row),
            after: Some(*row),
        });
    }
    for (key, (_, row)) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        all.push(Change {
            name: key.1.clone(),
            group: key.0.clone(),
            kind: ChangeKind::Removed,
            before: Some(*row),
            after: None,
        });
    }
    all
}
