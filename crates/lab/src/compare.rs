//! Two things compared: pairs of runs that come in one after another, or two result sets that are there already.
//!
//! Interleaved: run A and B by turns (A B, B A, A B, ...), hand each pair to [`Comparison::push`], stop when it says so.
//! Each metric is the logarithm of B over A; its interval is a confidence sequence, so looking after every pair costs no
//! honesty. With `m` metrics each gets a share of the error: the confidence holds for all of them together.

use bellwether_stats::equivalence::tost_signed_rank;
use bellwether_stats::finding::percent;
use bellwether_stats::quantile::median;
use bellwether_stats::rank::{hodges_lehmann_shift, mann_whitney, signed_rank};
use bellwether_stats::sequential::{
    e_value_above, e_value_below, e_value_symmetric, symmetric_sequence,
};
use bellwether_stats::{Better, Evidence, Finding, Interval, Verdict, effective_sample_size};
use serde::{Deserialize, Serialize};

use crate::samples::{Samples, Unit};

/// A quantity that is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// `wall time`, `p99`, `cpu per request`.
    pub name: String,
    pub unit: Unit,
    pub better: Better,
    /// The smallest relative change that matters: 0.03 is 3 %.
    pub floor: f64,
}

/// How long to go on, and how sure to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Pairs before the first verdict.
    pub pairs_min: usize,
    /// Pairs after which it stops whatever is known.
    pub pairs_max: usize,
    /// Confidence of all claims together.
    pub confidence: f64,
}

/// A comparison that is under way.
#[derive(Clone, Debug)]
pub struct Comparison {
    metrics: Vec<Metric>,
    limits: Limits,
    pairs: Vec<Pair>,
}

/// One value for each metric, of a run of each side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub base: Vec<f64>,
    pub candidate: Vec<f64>,
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    pub base: String,
    pub candidate: String,
    /// How the data came about, in words.
    pub method: String,
    /// Confidence of all claims together.
    pub confidence: f64,
    /// The whole comparison: `worse` if any metric is, else `better` if any is, `same` if all are.
    pub verdict: Verdict,
    /// Why it ended, or why it cannot tell.
    pub why: String,
    pub metrics: Vec<MetricReport>,
}

/// The result for one metric, with everything it was computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricReport {
    #[serde(flatten)]
    pub metric: Metric,
    pub base_median: f64,
    pub candidate_median: f64,
    /// Estimate and interval are logarithms of candidate over base.
    pub finding: Finding,
    pub base_values: Vec<f64>,
    pub candidate_values: Vec<f64>,
}

/// Values on each side below which nothing is claimed about two result sets, however clear they look.
const VALUES_MIN: usize = 6;
/// Below this a ratio has no meaning: a time or size of zero counts as this much.
const TINY: f64 = 1e-9;

impl Default for Limits {
    fn default() -> Self {
        Self {
            pairs_min: 10,
            pairs_max: 40,
            confidence: 0.95,
        }
    }
}

// === impl Comparison ===

impl Comparison {
    /// Begins.
    pub fn new(metrics: Vec<Metric>, limits: Limits) -> Self {
        Self {
            metrics,
            limits,
            pairs: Vec::new(),
        }
    }

    /// Which side of the next pair runs first: A B, B A, A B, ... so that drift meets both alike.
    pub fn candidate_first(&self) -> bool {
        self.pairs.len() % 2 == 1
    }

    /// Pairs so far.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Adds a pair; its values must be one for each metric.
    pub fn push(&mut self, pair: Pair) {
        debug_assert_eq!(pair.base.len(), self.metrics.len());
        self.pairs.push(pair);
    }

    /// Whether it is over: everything is decided, or the pairs are used up.
    pub fn is_over(&self) -> bool {
        let n = self.pairs.len();
        n >= self.limits.pairs_max
            || n >= self.limits.pairs_min
                && (0..self.metrics.len())
                    .all(|index| self.finding(index).verdict != Verdict::CannotTell)
    }

    /// What can be said now about one metric; valid at every look.
    pub fn finding(&self, index: usize) -> Finding {
        let metric = &self.metrics[index];
        let differences: Vec<f64> = self
            .pairs
            .iter()
            .map(|pair| log_ratio(pair.base[index], pair.candidate[index]))
            .collect();
        sequential_finding(&differences, metric, self.limits, self.metrics.len())
    }

    /// The result so far.
    pub fn report(&self, base: &str, candidate: &str) -> Report {
        let column = |index: usize, of: fn(&Pair) -> &Vec<f64>| -> Vec<f64> {
            self.pairs.iter().map(|pair| of(pair)[index]).collect()
        };
        let metrics: Vec<MetricReport> = self
            .metrics
            .iter()
            .enumerate()
            .map(|(index, metric)| {
                let base_values = column(index, |pair| &pair.base);
                let candidate_values = column(index, |pair| &pair.candidate);
                MetricReport {
                    metric: metric.clone(),
                    base_median: median(&base_values).unwrap_or(f64::NAN),
                    candidate_median: median(&candidate_values).unwrap_or(f64::NAN),
                    finding: self.finding(index),
                    base_values,
                    candidate_values,
                }
            })
            .collect();
        let verdict = overall(&metrics);
        let n = self.pairs.len();
        let why = match verdict {
            Verdict::CannotTell if n < self.limits.pairs_min => {
                format!(
                    "only {n} pairs of runs; at least {} are needed",
                    self.limits.pairs_min
                )
            }
            Verdict::CannotTell => {
                format!("{n} pairs of runs do not decide it; more pairs or a quieter machine may")
            }
            _ if n >= self.limits.pairs_max => format!("all {n} pairs of runs were made"),
            _ => format!("everything was decided after {n} pairs of runs"),
        };
        Report {
            version: 1,
            base: base.to_owned(),
            candidate: candidate.to_owned(),
            method: "interleaved runs (A B, B A, ...), each in a fresh process; sequential signed-rank confidence sequence of the log ratio".to_owned(),
            confidence: self.limits.confidence,
            verdict,
            why,
            metrics,
        }
    }
}

/// The finding of paired differences of logarithms, valid whenever one looks.
fn sequential_finding(
    differences: &[f64],
    metric: &Metric,
    limits: Limits,
    metrics: usize,
) -> Finding {
    let alpha = 1.0 - limits.confidence;
    let share = alpha / metrics.max(1) as f64;
    let floor = metric.floor.ln_1p();
    let estimate = signed_rank(differences, 0.5).estimate;
    let interval = symmetric_sequence(differences, share);
    let mut verdict = Verdict::of(estimate, interval, floor, metric.better);
    // Two one-sided tests at the full error: claiming equivalence wrongly needs one of them to err.
    if verdict == Verdict::CannotTell
        && e_value_below(differences, floor) >= 1.0 / alpha
        && e_value_above(differences, -floor) >= 1.0 / alpha
    {
        verdict = Verdict::Same;
    }
    if differences.len() < limits.pairs_min {
        verdict = Verdict::CannotTell;
    }
    Finding {
        estimate,
        interval,
        confidence: 1.0 - share,
        evidence: Evidence::E(e_value_symmetric(differences, 0.0)),
        effect_percent: percent(estimate),
        n_effective: differences.len() as f64,
        verdict,
    }
}

/// Compares what two files say about the benchmarks that both have. Values are independent samples: of each benchmark all
/// values of one side against all of the other; values that remember each other are first taken together in blocks.
pub fn compare_samples(
    (base_name, base): (&str, &[Samples]),
    (candidate_name, candidate): (&str, &[Samples]),
    floor: impl Fn(&Samples) -> f64,
    confidence: f64,
) -> Report {
    let common: Vec<(&Samples, &Samples)> = base
        .iter()
        .filter_map(|a| Some((a, candidate.iter().find(|b| b.name == a.name)?)))
        .collect();
    let share = (1.0 - confidence) / common.len().max(1) as f64;
    let metrics: Vec<MetricReport> = common
        .iter()
        .map(|(a, b)| {
            let metric = Metric {
                name: a.name.clone(),
                unit: a.unit,
                better: a.better,
                floor: floor(a),
            };
            MetricReport {
                finding: sample_finding(&a.values, &b.values, &metric, share, 1.0 - confidence),
                metric,
                base_median: median(&a.values).unwrap_or(f64::NAN),
                candidate_median: median(&b.values).unwrap_or(f64::NAN),
                base_values: a.values.clone(),
                candidate_values: b.values.clone(),
            }
        })
        .collect();
    let verdict = overall(&metrics);
    let fewest = metrics
        .iter()
        .map(|m| m.base_values.len().min(m.candidate_values.len()))
        .min();
    let why = match (verdict, fewest) {
        (_, None) => "no benchmark is in both".to_owned(),
        (Verdict::CannotTell, Some(n)) if n < VALUES_MIN => {
            format!("too few values: {n} on one side, at least {VALUES_MIN} are needed")
        }
        (Verdict::CannotTell, _) => "the values do not decide it".to_owned(),
        (_, Some(_)) => format!("{} benchmarks are in both", metrics.len()),
    };
    Report {
        version: 1,
        base: base_name.to_owned(),
        candidate: candidate_name.to_owned(),
        method: "two result sets: Mann-Whitney and the Hodges-Lehmann shift of the logarithms; values with memory in blocks".to_owned(),
        confidence,
        verdict,
        why,
        metrics,
    }
}

fn sample_finding(a: &[f64], b: &[f64], metric: &Metric, share: f64, alpha: f64) -> Finding {
    let logs = |values: &[f64]| -> Vec<f64> { values.iter().map(|v| v.max(TINY).ln()).collect() };
    let (a, b) = (blocked(&logs(a)), blocked(&logs(b)));
    let test = mann_whitney(&a, &b, 1.0 - share);
    let floor = metric.floor.ln_1p();
    let mut verdict = Verdict::of(test.estimate, test.interval, floor, metric.better);
    // A claim needs the test too: the interval alone is of a pure shift.
    if matches!(verdict, Verdict::Worse | Verdict::Better) && test.p > share {
        verdict = Verdict::CannotTell;
    }
    if verdict == Verdict::CannotTell {
        // Two one-sided tests at alpha are the interval at 1 - 2 alpha.
        // (Fewer than six values on a side would "show" it by having no room to disagree.)
        let wide = hodges_lehmann_shift(&a, &b, 1.0 - 2.0 * alpha).interval;
        if wide.low > -floor && wide.high < floor {
            verdict = Verdict::Same;
        }
    }
    if a.len().min(b.len()) < VALUES_MIN {
        verdict = Verdict::CannotTell;
    }
    Finding {
        estimate: test.estimate,
        interval: test.interval,
        confidence: 1.0 - share,
        evidence: Evidence::P(test.p),
        effect_percent: percent(test.estimate),
        n_effective: a.len().min(b.len()) as f64,
        verdict,
    }
}

/// Medians of blocks as long as one independent value's worth; the values themselves when they have no memory.
fn blocked(values: &[f64]) -> Vec<f64> {
    let worth = effective_sample_size(values);
    let block = (values.len() as f64 / worth.max(1.0)).round() as usize;
    if values.len() < 16 || block <= 1 {
        return values.to_vec();
    }
    values.chunks(block).filter_map(median).collect()
}

fn log_ratio(base: f64, candidate: f64) -> f64 {
    (candidate.max(TINY) / base.max(TINY)).ln()
}

fn overall(metrics: &[MetricReport]) -> Verdict {
    let any = |verdict| {
        metrics
            .iter()
            .any(|metric| metric.finding.verdict == verdict)
    };
    if any(Verdict::Worse) {
        Verdict::Worse
    } else if any(Verdict::Better) {
        Verdict::Better
    } else if metrics.is_empty() || any(Verdict::CannotTell) {
        Verdict::CannotTell
    } else {
        Verdict::Same
    }
}

// === impl Report ===

impl Report {
    /// The same result computed again from the raw values that the report carries, for `exp show`.
    #[must_use]
    pub fn recomputed(&self, limits: Limits) -> Self {
        let is_paired = self.method.starts_with("interleaved");
        if is_paired {
            let metrics = self
                .metrics
                .iter()
                .map(|report| report.metric.clone())
                .collect();
            let mut comparison = Comparison::new(metrics, limits);
            let n = self
                .metrics
                .first()
                .map_or(0, |metric| metric.base_values.len());
            for index in 0..n {
                let of = |values: fn(&MetricReport) -> &Vec<f64>| -> Vec<f64> {
                    self.metrics
                        .iter()
                        .filter_map(|m| values(m).get(index).copied())
                        .collect()
                };
                let pair = Pair {
                    base: of(|m| &m.base_values),
                    candidate: of(|m| &m.candidate_values),
                };
                if pair.base.len() == self.metrics.len()
                    && pair.candidate.len() == self.metrics.len()
                {
                    comparison.push(pair);
                }
            }
            return comparison.report(&self.base, &self.candidate);
        }
        let side = |values: fn(&MetricReport) -> &Vec<f64>| -> Vec<Samples> {
            self.metrics
                .iter()
                .map(|m| Samples {
                    name: m.metric.name.clone(),
                    unit: m.metric.unit,
                    better: m.metric.better,
                    values: values(m).clone(),
                })
                .collect()
        };
        let floor = |samples: &Samples| {
            let found = self.metrics.iter().find(|m| m.metric.name == samples.name);
            found.map_or(0.0, |m| m.metric.floor)
        };
        let (base, candidate) = (side(|m| &m.base_values), side(|m| &m.candidate_values));
        compare_samples(
            (&self.base, &base),
            (&self.candidate, &candidate),
            floor,
            limits.confidence,
        )
    }
}

/// The interval as relative changes in percent.
pub fn percent_interval(interval: Interval) -> Interval {
    interval.map(percent)
}

/// Whether differences of logarithms are shown to lie within a floor, for one look at a fixed sample.
pub fn is_equivalent(differences: &[f64], floor: f64, alpha: f64) -> bool {
    tost_signed_rank(differences, floor.ln_1p()) <= alpha
}

#[cfg(test)]
mod tests;
