//! The regression gate: budgets, and changes of level over a series of commits.
//!
//! Data flow: a file of rules ([`GateConfig`]) and a history of results, one [`Entry`] per commit in the order of the
//! branch, become one [`SeriesReport`] for each benchmark. A change for the worse that is still fresh is a *suspect*: the
//! caller runs base and head again, interleaved, and hands the result in ([`SeriesReport::confirm`]); only what is confirmed
//! fails the gate when the rules ask for confirmation.

mod config;
mod report;

use std::collections::BTreeMap;

use bellwether_stats::bocpd::{Prior, bocpd};
use bellwether_stats::changepoint::{ChangePoint, Settings, change_points};
use bellwether_stats::quantile::{median, quantile_interval};
use bellwether_stats::{Better, Interval, Verdict};
use serde::{Deserialize, Serialize};

pub use config::{Confirm, GateConfig, History, QueryBudget, Rule, parse_share};
pub use report::{junit, junit_with, markdown, plain};

use crate::calibrate::{Calibration, calibrate};
use crate::compare::Report;
use crate::samples::{Samples, Unit};

/// The results of one commit, as the history keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub version: u32,
    pub commit: String,
    /// When it was measured.
    pub at: jiff::Timestamp,
    pub results: Vec<Samples>,
    /// Series whose level at this commit was accepted as the new normal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
}

/// One benchmark over the commits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesReport {
    pub name: String,
    pub unit: Unit,
    pub better: Better,
    pub floor: f64,
    pub is_critical: bool,
    pub verdict: Verdict,
    /// Whether it fails the gate.
    pub fails: bool,
    /// In words: what was found, or why nothing can be said.
    pub why: String,
    /// Commits with their value (the median of what was measured), oldest first.
    pub commits: Vec<String>,
    pub values: Vec<f64>,
    pub change_points: Vec<SeenChange>,
    /// The budget, the present level and its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetReport>,
    /// The gate's own error rate on this series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The re-run that a suspect led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Report>,
}

/// A change of level and the commits around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenChange {
    /// The first commit of the new level, and the last of the old one.
    pub commit: String,
    pub before_commit: String,
    #[serde(flatten)]
    pub point: ChangePoint,
    pub is_worse: bool,
    /// Not accepted, and within the window in which the gate speaks.
    pub is_fresh: bool,
    /// Whether the Bayesian detector sees it too, within five commits.
    pub has_second_opinion: bool,
}

/// A budget and where the present commit stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetReport {
    pub budget: f64,
    pub level: f64,
    /// Of the level, at 95 %; absent when there are too few values.
    pub interval: Option<Interval>,
    /// `worse` is over budget, `same` within it, `cannot-tell` when the interval straddles it.
    pub verdict: Verdict,
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    pub version: u32,
    pub commit: String,
    pub verdict: Verdict,
    pub fails: bool,
    pub series: Vec<SeriesReport>,
}

/// Judges a history; the last entry is the commit in question.
pub fn check(config: &GateConfig, history: &[Entry], strict: bool) -> GateReport {
    let mut names: BTreeMap<&str, &Samples> = BTreeMap::new();
    for samples in history.last().into_iter().flat_map(|entry| &entry.results) {
        names.insert(&samples.name, samples);
    }
    let mut series: Vec<SeriesReport> = names
        .values()
        .map(|samples| series_report(config, history, samples, strict))
        .collect();
    hold_down_false_discoveries(&mut series, config.alpha);
    GateReport::of(
        history
            .last()
            .map_or(String::new(), |entry| entry.commit.clone()),
        series,
    )
}

fn series_report(
    config: &GateConfig,
    history: &[Entry],
    present: &Samples,
    strict: bool,
) -> SeriesReport {
    let rule = config.rule_for(&present.name);
    let better = rule.better.unwrap_or(present.better);
    let points: Vec<(&Entry, f64)> = history
        .iter()
        .filter_map(|entry| {
            let samples = entry
                .results
                .iter()
                .find(|samples| samples.name == present.name)?;
            Some((entry, median(&samples.values)?))
        })
        .collect();
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let accepted_from = points
        .iter()
        .rposition(|(entry, _)| entry.accepted.contains(&present.name));
    let settings = Settings {
        alpha: config.alpha,
        floor: rule.floor,
    };
    let second = bocpd(&values, Prior::default());
    let changes: Vec<SeenChange> = change_points(&values, settings)
        .into_iter()
        .map(|point| SeenChange {
            commit: points[point.at].0.commit.clone(),
            before_commit: points[point.at - 1].0.commit.clone(),
            is_worse: (point.effect_percent > 0.0) == (better == Better::Lower),
            is_fresh: point.at + config.fresh >= values.len()
                && accepted_from.is_none_or(|at| point.at > at),
            has_second_opinion: second
                .iter()
                .any(|change| change.at.abs_diff(point.at) <= 5),
            point,
        })
        .collect();
    let budget = rule
        .budget
        .map(|budget| budget_report(budget, present, better));
    let calibration = (config.trials > 0)
        .then(|| calibrate(&values, settings, better, config.trials, 1))
        .flatten();
    let mut report = SeriesReport {
        name: present.name.clone(),
        unit: present.unit,
        better,
        floor: rule.floor,
        is_critical: rule.critical,
        verdict: Verdict::CannotTell,
        fails: false,
        why: String::new(),
        commits: points
            .iter()
            .map(|(entry, _)| entry.commit.clone())
            .collect(),
        values,
        change_points: changes,
        budget,
        calibration,
        confirmation: None,
    };
    report.settle(strict, config.confirm.is_some());
    report
}

fn budget_report(budget: f64, present: &Samples, better: Better) -> BudgetReport {
    let level = median(&present.values).unwrap_or(f64::NAN);
    let interval = quantile_interval(&present.values, 0.5, 0.95);
    // Mirrored when more is better, so that "above" is always bad.
    let sign = if better == Better::Lower { 1.0 } else { -1.0 };
    let (low, high) = interval.map_or((level * sign, level * sign), |i| {
        let (a, b) = (i.low * sign, i.high * sign);
        (a.min(b), a.max(b))
    });
    let verdict = match interval {
        _ if low > budget * sign => Verdict::Worse,
        _ if high <= budget * sign => Verdict::Same,
        _ => Verdict::CannotTell,
    };
    BudgetReport {
        budget,
        level,
        interval,
        verdict,
    }
}

/// Among many series some change by chance: Benjamini and Hochberg over all, Holm over those marked critical.
fn hold_down_false_discoveries(series: &mut [SeriesReport], alpha: f64) {
    use bellwether_stats::multiple::{benjamini_hochberg, holm};
    for is_critical in [true, false] {
        let members: Vec<usize> = (0..series.len())
            .filter(|i| series[*i].is_critical == is_critical)
            .collect();
        let p: Vec<f64> = members
            .iter()
            .map(|i| series[*i].suspect().map_or(1.0, |change| change.point.p))
            .collect();
        let (adjusted, limit) = if is_critical {
            (holm(&p), alpha.max(0.01))
        } else {
            (benjamini_hochberg(&p), 0.05)
        };
        for (index, adjusted) in members.into_iter().zip(adjusted) {
            let report = &mut series[index];
            if report.suspect().is_some() && adjusted > limit {
                report.verdict = Verdict::CannotTell;
                report.fails = report.is_over_budget();
                report.why.push_str("; not significant among all series");
            }
        }
    }
}

// === impl SeriesReport ===

impl SeriesReport {
    /// The newest fresh change for the worse.
    pub fn suspect(&self) -> Option<&SeenChange> {
        self.change_points
            .iter()
            .rev()
            .find(|change| change.is_worse && change.is_fresh)
    }

    fn is_over_budget(&self) -> bool {
        self.budget
            .as_ref()
            .is_some_and(|budget| budget.verdict == Verdict::Worse)
    }

    /// Verdict and words from what was found.
    fn settle(&mut self, strict: bool, needs_confirmation: bool) {
        let newest = self
            .change_points
            .iter()
            .rev()
            .find(|change| change.is_fresh);
        let (mut verdict, mut why) = match newest {
            Some(change) => (
                if change.is_worse {
                    Verdict::Worse
                } else {
                    Verdict::Better
                },
                format!(
                    "{} since {}{}",
                    crate::samples::signed_percent(change.point.effect_percent),
                    short(&change.commit),
                    if change.has_second_opinion {
                        ", both detectors agree"
                    } else {
                        ""
                    }
                ),
            ),
            None if self.values.len() < bellwether_stats::changepoint::LENGTH_MIN => (
                Verdict::CannotTell,
                format!(
                    "{} commits; at least {} are needed",
                    self.values.len(),
                    bellwether_stats::changepoint::LENGTH_MIN
                ),
            ),
            None => self.unchanged(),
        };
        self.fails = verdict == Verdict::Worse && !needs_confirmation;
        if verdict == Verdict::Worse && needs_confirmation {
            why.push_str("; not confirmed yet");
        }
        if let Some(budget) = &self.budget {
            let shown = self.unit.show(budget.budget);
            match budget.verdict {
                Verdict::Worse => {
                    verdict = Verdict::Worse;
                    self.fails = true;
                    why = format!(
                        "{} is over the budget of {shown}; {why}",
                        self.unit.show(budget.level)
                    );
                }
                Verdict::CannotTell => {
                    why = format!(
                        "{} may be over the budget of {shown}; {why}",
                        self.unit.show(budget.level)
                    );
                }
                _ => {}
            }
        }
        self.fails |= strict && verdict == Verdict::CannotTell;
        (self.verdict, self.why) = (verdict, why);
    }

    /// No change: whether the series is quiet enough for that to mean "the same".
    fn unchanged(&self) -> (Verdict, String) {
        let floor = self.floor.max(0.001);
        let finds = self
            .calibration
            .as_ref()
            .and_then(|calibration| calibration.finds);
        match finds {
            Some((size, _)) if size <= floor.max(0.05) => (
                Verdict::Same,
                format!(
                    "no change; one of {} % would have been found",
                    crate::samples::digits(size * 100.0)
                ),
            ),
            Some((size, _)) => (
                Verdict::CannotTell,
                format!(
                    "no change found, but only changes of {} % or more would be",
                    crate::samples::digits(size * 100.0)
                ),
            ),
            None => (
                Verdict::CannotTell,
                "no change found, but the series is too noisy to see one".to_owned(),
            ),
        }
    }

    /// Takes the re-run of a suspect: only a re-run that is `worse` lets it fail.
    pub fn confirm(&mut self, report: Report, strict: bool) {
        let seen = report
            .metrics
            .iter()
            .find(|metric| metric.metric.name == self.name);
        let verdict = seen.map_or(report.verdict, |metric| metric.finding.verdict);
        let effect = seen.map_or(String::new(), |metric| crate::text::effect(&metric.finding));
        match verdict {
            Verdict::Worse => {
                self.fails = true;
                self.why = self.why.replace("; not confirmed yet", "");
                self.why
                    .push_str(&format!("; confirmed by a re-run: {effect}"));
            }
            other => {
                self.verdict = if other == Verdict::CannotTell {
                    Verdict::CannotTell
                } else {
                    other
                };
                self.fails = self.is_over_budget() || strict && other == Verdict::CannotTell;
                self.why = self.why.replace("; not confirmed yet", "");
                self.why
                    .push_str(&format!("; a re-run says {other}: {effect}"));
            }
        }
        self.confirmation = Some(report);
    }
}

// === impl GateReport ===

impl GateReport {
    /// The whole from its parts.
    pub fn of(commit: String, series: Vec<SeriesReport>) -> Self {
        let any = |verdict| series.iter().any(|report| report.verdict == verdict);
        let verdict = if any(Verdict::Worse) {
            Verdict::Worse
        } else if any(Verdict::Better) {
            Verdict::Better
        } else if series.is_empty() || any(Verdict::CannotTell) {
            Verdict::CannotTell
        } else {
            Verdict::Same
        };
        Self {
            version: 1,
            commit,
            verdict,
            fails: series.iter().any(|report| report.fails),
            series,
        }
    }
}

/// An entry as it is stored: one line of JSON.
pub fn write_entry(entry: &Entry) -> String {
    let mut text =
        serde_json::to_string(entry).expect("maps have text keys and numbers are finite");
    text.push('\n');
    text
}

/// Reads what [`write_entry`] wrote.
pub fn read_entry(text: &str) -> Result<Entry, String> {
    let entry: Entry = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if entry.version != 1 {
        return Err(format!(
            "version {} is from a newer bellwether",
            entry.version
        ));
    }
    Ok(entry)
}

/// A commit as people read it.
pub fn short(commit: &str) -> &str {
    commit
        .get(..10)
        .filter(|_| commit.bytes().all(|b| b.is_ascii_hexdigit()))
        .unwrap_or(commit)
}

#[cfg(test)]
mod tests;
