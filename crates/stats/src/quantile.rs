//! Quantiles of plain samples, with intervals that assume no distribution.

use crate::finding::Interval;
use crate::special::{beta_inc, binomial_cdf};

/// A quantile of values, by linear interpolation between order statistics (type 7 of Hyndman & Fan 1996, the default of R
/// and NumPy). Values need not be sorted; those that are not numbers are left out. `None` without values.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    quantile_sorted(&sorted(values), q)
}

/// As [`quantile`], of values that are sorted already.
pub fn quantile_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let share = place - below as f64;
    Some(sorted[below] + share * (sorted[above] - sorted[below]))
}

/// The middle value. `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Median absolute deviation from the median, scaled to estimate a normal standard deviation (factor 1.4826).
pub fn mad(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    Some(1.4826 * median(&deviations)?)
}

/// The values in growing order, without those that are not numbers.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The rank (from 1) of the smallest value that at least `q` of `n` values do not exceed.
pub(crate) fn required_rank(q: f64, n: u64) -> u64 {
    // 0.95 * 100 is 95.00000000000001: the tolerance keeps exact products exact.
    let exact = q.clamp(0.0, 1.0) * n as f64;
    ((exact - 1e-9 * exact.max(1.0)).ceil() as u64).clamp(1, n)
}

/// Ranks `(l, u)`, from 1, whose order statistics enclose the quantile `q` of the population with at least the given
/// confidence, each side with half of the error. `None` when `n` values cannot give one of the sides.
///
/// Source: David & Nagaraja, *Order Statistics* (2003), section 7.1: `x(l) <= Q < x(u)` has probability
/// `P(l <= Bin(n, q) < u)` for every continuous distribution. Assumes independent, identically distributed values.
pub fn ranks(q: f64, n: u64, confidence: f64) -> Option<(u64, u64)> {
    let tail = (1.0 - confidence) / 2.0;
    // The largest l with P(Bin < l) <= tail.
    let low = last_true(n, |l| binomial_cdf(l as i64 - 1, n, q) <= tail)?;
    // The smallest u with P(Bin >= u) <= tail.
    let high = first_true(n, |u| 1.0 - binomial_cdf(u as i64 - 1, n, q) <= tail)?;
    Some((low, high))
}

/// Order-statistic interval of a quantile of plain samples; see [`ranks`]. `None` when there are too few.
pub fn quantile_interval(values: &[f64], q: f64, confidence: f64) -> Option<Interval> {
    let sorted = sorted(values);
    let (low, high) = ranks(q, sorted.len() as u64, confidence)?;
    Some(Interval {
        low: sorted[low as usize - 1],
        high: sorted[high as usize - 1],
    })
}

/// How many independent values a two-sided interval of the quantile needs: what to print when [`ranks`] gives `None`.
pub fn samples_for(q: f64, confidence: f64) -> u64 {
    // The harder side: P(Bin(n, q) = n) or P(Bin(n, q) = 0) must fall to the tail.
    let tail = (1.0 - confidence) / 2.0;
    let side = q.max(1.0 - q);
    (tail.ln() / side.ln()).ceil() as u64
}

/// The quantile by a weighted mean of all order statistics: smoother than [`quantile`] for small samples.
///
/// Source: Harrell & Davis, *A new distribution-free quantile estimator*, Biometrika 69 (1982).
pub fn harrell_davis(values: &[f64], q: f64) -> Option<f64> {
    let sorted = sorted(values);
    if sorted.is_empty() || !(0.0..=1.0).contains(&q) {
        return None;
    }
    if q <= 0.0 || q >= 1.0 {
        return quantile_sorted(&sorted, q);
    }
    let n = sorted.len() as f64;
    let (a, b) = ((n + 1.0) * q, (n + 1.0) * (1.0 - q));
    let mut before = 0.0;
    let mut sum = 0.0;
    for (index, value) in sorted.iter().enumerate() {
        let upto = beta_inc(a, b, (index + 1) as f64 / n);
        sum += (upto - before) * value;
        before = upto;
    }
    Some(sum)
}

/// The largest number of 1..=n for which a condition holds that, once false, stays false.
fn last_true(n: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if n == 0 || !holds(1) {
        return None;
    }
    let (mut low, mut high) = (1, n + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low)
}

/// The smallest number of 1..=n for which a condition holds that, once true, stays true.
fn first_true(n: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if n == 0 || !holds(n) {
        return None;
    }
    let (mut low, mut high) = (0, n);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests;
