//! Rank tests and the estimates that invert them: no distribution is assumed, and one outlier decides nothing.

use crate::finding::Interval;
use crate::quantile::sorted;
use crate::special::{normal_cdf, normal_quantile};

/// A rank test with the estimate and interval that belong to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankTest {
    /// The Hodges-Lehmann estimate.
    pub estimate: f64,
    /// The interval that inverts the test; unbounded when there are too few values for the confidence.
    pub interval: Interval,
    /// Two-sided p-value of "no shift".
    pub p: f64,
    /// The statistic: W+ (signed-rank) or U (Mann-Whitney).
    pub statistic: f64,
}

/// Beyond this many values the normal approximation, with its correction for ties, is used.
const EXACT_MAX: usize = 50;
/// Pairs of values beyond which quantiles of all differences are taken from evenly spaced order statistics.
const PAIRS_MAX: usize = 4_000_000;

/// Ranks from 1; equal values share the mean of their ranks.
pub fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let mut to = from + 1;
        while to < order.len() && values[order[to]] == values[order[from]] {
            to += 1;
        }
        for index in &order[from..to] {
            ranks[*index] = (from + to + 1) as f64 / 2.0;
        }
        from = to;
    }
    ranks
}

/// Wilcoxon's signed-rank test of paired differences against 0, with the Hodges-Lehmann median of their Walsh averages
/// and the interval that inverts the test.
///
/// Sources: Wilcoxon (1945); Hodges & Lehmann (1963); Hollander & Wolfe, *Nonparametric Statistical Methods*, section 3.
/// Assumes independent differences that are symmetric about their centre (as differences of two exchangeable runs are).
/// Exact up to 50 differences without ties, else by the normal approximation with tie and continuity corrections. Zeros
/// are left out of the test (Wilcoxon) and kept in the estimate.
pub fn signed_rank(differences: &[f64], confidence: f64) -> RankTest {
    let differences: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|d| !d.is_nan())
        .collect();
    let walsh = walsh_averages(&differences);
    let Some(estimate) = crate::quantile::quantile_sorted(&walsh, 0.5) else {
        return RankTest::NOTHING;
    };
    let non_zero: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let sizes: Vec<f64> = non_zero.iter().map(|d| d.abs()).collect();
    let ranks = midranks(&sizes);
    let positive: f64 = ranks
        .iter()
        .zip(&non_zero)
        .filter(|(_, d)| **d > 0.0)
        .map(|(rank, _)| rank)
        .sum();
    let n = non_zero.len();
    let is_tied = ranks.iter().any(|rank| rank.fract() != 0.0) || has_ties(&sizes);
    let p = if n == 0 {
        1.0
    } else if n <= EXACT_MAX && !is_tied {
        let total = (n * (n + 1) / 2) as f64;
        let extreme = positive.min(total - positive);
        (2.0 * signed_rank_cdf(extreme as usize, n)).min(1.0)
    } else {
        let nf = n as f64;
        let mean = nf * (nf + 1.0) / 4.0;
        let variance = nf * (nf + 1.0) * (2.0 * nf + 1.0) / 24.0 - tie_sum(&sizes) / 48.0;
        two_sided(positive - mean, variance)
    };
    RankTest {
        estimate,
        interval: signed_rank_interval(&walsh, differences.len(), confidence),
        p,
        statistic: positive,
    }
}

/// Mann-Whitney's test of two independent samples (`b` against `a`), with the Hodges-Lehmann shift from `a` to `b` and its
/// interval.
///
/// Sources: Mann & Whitney (1947); Hollander & Wolfe, section 4. The test assumes independent values; the shift and its
/// interval also that the distributions differ by a shift alone (take logarithms of durations first). Exact up to 50
/// values in each sample without ties, else by the normal approximation with tie and continuity corrections.
pub fn mann_whitney(a: &[f64], b: &[f64], confidence: f64) -> RankTest {
    let (a, b) = (sorted(a), sorted(b));
    if a.is_empty() || b.is_empty() {
        return RankTest::NOTHING;
    }
    let (m, n) = (a.len(), b.len());
    let all: Vec<f64> = a.iter().chain(&b).copied().collect();
    let ranks = midranks(&all);
    let u = ranks[m..].iter().sum::<f64>() - (n * (n + 1)) as f64 / 2.0;
    let p = if m <= EXACT_MAX && n <= EXACT_MAX && !has_ties(&all) {
        let extreme = u.min((m * n) as f64 - u);
        (2.0 * mann_whitney_cdf(extreme as usize, m, n)).min(1.0)
    } else {
        let total = (m + n) as f64;
        let mean = (m * n) as f64 / 2.0;
        let ties = tie_sum(&all) / (total * (total - 1.0));
        two_sided(u - mean, (m * n) as f64 / 12.0 * (total + 1.0 - ties))
    };
    let shift = hodges_lehmann_shift(&a, &b, confidence);
    RankTest {
        p,
        statistic: u,
        ..shift
    }
}

/// The Hodges-Lehmann shift from `a` to `b` alone: the median of all differences, with the interval that inverts
/// Mann-Whitney. For its p-value see [`mann_whitney`].
pub fn hodges_lehmann_shift(a: &[f64], b: &[f64], confidence: f64) -> RankTest {
    let (a, b) = (thinned(sorted(a)), thinned(sorted(b)));
    let (m, n) = (a.len(), b.len());
    let mut differences: Vec<f64> = b
        .iter()
        .flat_map(|y| a.iter().map(move |x| y - x))
        .collect();
    differences.sort_unstable_by(f64::total_cmp);
    let Some(estimate) = crate::quantile::quantile_sorted(&differences, 0.5) else {
        return RankTest::NOTHING;
    };
    let tail = (1.0 - confidence) / 2.0;
    let cut = if m <= EXACT_MAX && n <= EXACT_MAX {
        let mut below = 0.0;
        let distribution = mann_whitney_distribution(m, n);
        distribution
            .iter()
            .take_while(|probability| {
                below += **probability;
                below <= tail
            })
            .count()
    } else {
        let mean = (m * n) as f64 / 2.0;
        let sd = (mean * (m + n + 1) as f64 / 6.0).sqrt();
        (mean + normal_quantile(tail) * sd - 0.5).floor().max(0.0) as usize
    };
    RankTest {
        estimate,
        interval: inverted(&differences, cut),
        p: f64::NAN,
        statistic: f64::NAN,
    }
}

impl RankTest {
    /// What no data say.
    const NOTHING: Self = Self {
        estimate: f64::NAN,
        interval: Interval::ALL,
        p: 1.0,
        statistic: 0.0,
    };
}

/// All means of two values (each with itself too), growing.
fn walsh_averages(values: &[f64]) -> Vec<f64> {
    let values = thinned(sorted(values));
    let mut averages: Vec<f64> = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (index, x) in values.iter().enumerate() {
        averages.extend(values[index..].iter().map(|y| 0.5 * (x + y)));
    }
    averages.sort_unstable_by(f64::total_cmp);
    averages
}

/// Evenly spaced order statistics, when all pairs would be too many to sort.
fn thinned(sorted: Vec<f64>) -> Vec<f64> {
    let max = (PAIRS_MAX as f64).sqrt() as usize;
    if sorted.len() <= max {
        return sorted;
    }
    let step = sorted.len() as f64 / max as f64;
    (0..max)
        .map(|index| sorted[((index as f64 + 0.5) * step) as usize])
        .collect()
}

fn signed_rank_interval(walsh: &[f64], n: usize, confidence: f64) -> Interval {
    let tail = (1.0 - confidence) / 2.0;
    let total = n * (n + 1) / 2;
    let cut = if n <= EXACT_MAX {
        let counts = signed_rank_counts(n);
        let all = (n as f64).exp2();
        let mut below = 0.0;
        counts
            .iter()
            .take_while(|count| {
                below += **count / all;
                below <= tail
            })
            .count()
    } else {
        let nf = n as f64;
        let sd = (nf * (nf + 1.0) * (2.0 * nf + 1.0) / 24.0).sqrt();
        (total as f64 / 2.0 + normal_quantile(tail) * sd - 0.5)
            .floor()
            .max(0.0) as usize
    };
    // A thinned sample has fewer averages than `n` would have.
    inverted(
        walsh,
        (cut as f64 * walsh.len() as f64 / total.max(1) as f64) as usize,
    )
}

/// The order statistics that a test with `cut` rejected values at each end leaves.
fn inverted(sorted: &[f64], cut: usize) -> Interval {
    if cut == 0 || cut * 2 > sorted.len() {
        return Interval::ALL;
    }
    Interval {
        low: sorted[cut - 1],
        high: sorted[sorted.len() - cut],
    }
}

/// How many of the 2^n sign patterns give each value of W+ (dynamic programming over the ranks).
fn signed_rank_counts(n: usize) -> Vec<f64> {
    let total = n * (n + 1) / 2;
    let mut counts = vec![0.0; total + 1];
    counts[0] = 1.0;
    for rank in 1..=n {
        for sum in (rank..=total).rev() {
            counts[sum] += counts[sum - rank];
        }
    }
    counts
}

/// P(W+ <= w) for n differences without ties.
pub(crate) fn signed_rank_cdf(w: usize, n: usize) -> f64 {
    let counts = signed_rank_counts(n);
    let below: f64 = counts.iter().take(w + 1).sum();
    below / (n as f64).exp2()
}

/// P(U <= u) for samples of m and n without ties.
pub(crate) fn mann_whitney_cdf(u: usize, m: usize, n: usize) -> f64 {
    let distribution = mann_whitney_distribution(m, n);
    distribution.iter().take(u + 1).sum::<f64>().min(1.0)
}

/// Probabilities of each U: the Gaussian binomial coefficient, by its product formula, as probabilities so that nothing
/// overflows.
fn mann_whitney_distribution(m: usize, n: usize) -> Vec<f64> {
    let size = m * n;
    let mut weights = vec![0.0; size + 1];
    weights[0] = 1.0;
    // Multiply by (1 - q^(n+i)) / (1 - q^i) for i = 1..=m, each kept normalised by (n + i) / i.
    for i in 1..=m {
        for k in (n + i..=size).rev() {
            weights[k] -= weights[k - n - i];
        }
        for k in i..=size {
            weights[k] += weights[k - i];
        }
        let scale = i as f64 / (n + i) as f64;
        for weight in &mut weights {
            *weight *= scale;
        }
    }
    weights
}

fn has_ties(values: &[f64]) -> bool {
    let sorted = sorted(values);
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// Sum of t^3 - t over groups of t equal values.
fn tie_sum(values: &[f64]) -> f64 {
    sorted(values)
        .chunk_by(|a, b| a == b)
        .map(|group| (group.len() as f64).powi(3) - group.len() as f64)
        .sum()
}

/// Two-sided p-value of a deviation from the mean, with continuity correction.
fn two_sided(deviation: f64, variance: f64) -> f64 {
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (deviation.abs() - 0.5).max(0.0) / variance.sqrt();
    (2.0 * normal_cdf(-z)).min(1.0)
}

#[cfg(test)]
mod tests;
