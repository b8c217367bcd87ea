//! Where a series changed its level: the weighted normal-scores CUSUM (WNS).
//!
//! The values become normal scores of their ranks, so no outlier has more weight than its rank and one table of
//! critical values serves every distribution. The largest weighted CUSUM over all splits is divided by the standard
//! deviation of what the best split leaves, inflated for autocorrelation. Because the critical values were simulated
//! for that *maximum*, the p-value is valid although the split was searched for.
//!
//! Sources: weighted CUSUM: Csörgő & Horváth, *Limit Theorems in Change-Point Analysis* (1997); normal scores:
//! van der Waerden (1952); binary segmentation: Vostrikova (1981).

mod critical;

use serde::{Deserialize, Serialize};

pub use critical::{critical_value, p_value};

use crate::finding::{Interval, percent};
use crate::quantile::median;
use crate::rank::{hodges_lehmann_shift, midranks};
use crate::special::normal_quantile_fast;

/// The shortest series that is looked at.
pub const LENGTH_MIN: usize = 12;
/// Points that a segment has at least: fewer are a spike, not a level.
pub const SEGMENT_MIN: usize = 5;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Probability that a series without any change shows one.
    pub alpha: f64,
    /// The smallest change of level that matters, relative to the level before (0.03 is 3 %). 0 reports every change.
    pub floor: f64,
}

/// A change of level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangePoint {
    /// Index of the first value of the new level.
    pub at: usize,
    /// Medians of the levels on both sides.
    pub before: f64,
    pub after: f64,
    /// The new level relative to the old one, in percent (infinite when the old one is 0).
    pub effect_percent: f64,
    /// How far the values moved (Hodges-Lehmann), with an interval at 95 %.
    pub shift: f64,
    pub interval: Interval,
    /// The WNS statistic of the two neighbouring segments, and its p-value.
    pub statistic: f64,
    pub p: f64,
}

/// The best split of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Index of the first value after it.
    pub at: usize,
    /// The maximum of the weighted CUSUM in units of its long-run standard deviation.
    pub statistic: f64,
    /// Lag-1 autocorrelation that was allowed for.
    pub rho: f64,
}

impl Default for Settings {
    /// False alarms of 0.2 % for independent values, about 1 % at an autocorrelation of 0.5; every change.
    fn default() -> Self {
        Self {
            alpha: 0.002,
            floor: 0.0,
        }
    }
}

/// The best split of a series and how extreme it is; `None` for series shorter than [`LENGTH_MIN`], with values that are
/// not finite, or without any variation.
///
/// Assumes that the series without its change is stationary, with short memory like AR(1) up to 0.9.
pub fn best_split(values: &[f64]) -> Option<Split> {
    if values.len() < LENGTH_MIN || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    split_of_scores(&scores(values))
}

/// Normal scores of the (mid)ranks.
fn scores(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let ranks = midranks(values);
    ranks
        .iter()
        .map(|rank| normal_quantile_fast((rank - 0.5) / n))
        .collect()
}

fn split_of_scores(scores: &[f64]) -> Option<Split> {
    let n = scores.len();
    let mean = scores.iter().sum::<f64>() / n as f64;
    let (mut best, mut at, mut sum) = (0.0, 0, 0.0);
    for k in 1..=n - SEGMENT_MIN {
        sum += scores[k - 1] - mean;
        let height = sum.abs() / (k as f64 * (n - k) as f64).sqrt();
        if k >= SEGMENT_MIN && height > best {
            (best, at) = (height, k);
        }
    }
    (at > 0).then(|| at_place(scores, at))
}

/// The statistic of one split.
fn at_place(scores: &[f64], at: usize) -> Split {
    let n = scores.len();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (left, right) = (mean(&scores[..at]), mean(&scores[at..]));
    let residual = |i: usize| scores[i] - if i < at { left } else { right };
    let squares: f64 = (0..n).map(|i| residual(i).powi(2)).sum();
    let products: f64 = (1..n).map(|i| residual(i - 1) * residual(i)).sum();
    let lag_1 = if squares > 0.0 {
        products / squares
    } else {
        0.0
    };
    let rho = (lag_1 + 3.0 / n as f64).clamp(0.0, 0.9);
    // Values that split into two constants leave nothing; the floor keeps the statistic finite.
    let variance = (squares / (n - 2) as f64).max(1e-6) * (1.0 + rho) / (1.0 - rho);
    // |sum to k of (r - mean)| / sqrt(k (n - k) / n) is the distance of the two means times this weight.
    let weight = (at as f64 * (n - at) as f64 / n as f64).sqrt();
    Split {
        at,
        statistic: (left - right).abs() * weight / variance.sqrt(),
        rho,
    }
}

/// All changes of level, in order.
///
/// Binary segmentation at `alpha`; each place is then sought again between its neighbours; then every point is tested
/// against the segments beside it, and those that do not hold are dropped, the weakest first. What is left and reaches the
/// floor is reported. A series with values that are not finite has none.
pub fn change_points(values: &[f64], settings: Settings) -> Vec<ChangePoint> {
    let mut at = Vec::new();
    if values.iter().all(|value| value.is_finite()) {
        segment(values, 0, settings.alpha, &mut at);
    }
    at.sort_unstable();
    for index in 0..at.len() {
        let (from, to) = neighbours(&at, index, values.len());
        if let Some(split) = best_split(&values[from..to]) {
            at[index] = from + split.at;
        }
    }
    loop {
        let found: Vec<ChangePoint> = (0..at.len())
            .map(|index| describe(values, &at, index))
            .collect();
        let weakest = found
            .iter()
            .enumerate()
            .filter(|(_, point)| point.p > settings.alpha)
            .max_by(|(_, a), (_, b)| a.p.total_cmp(&b.p));
        match weakest {
            Some((index, _)) => {
                at.remove(index);
            }
            None => {
                let matters =
                    |point: &ChangePoint| point.effect_percent.abs() >= settings.floor * 100.0;
                return found.into_iter().filter(matters).collect();
            }
        }
    }
}

fn segment(values: &[f64], offset: usize, alpha: f64, at: &mut Vec<usize>) {
    let Some(split) = best_split(values) else {
        return;
    };
    if p_value(split.statistic, values.len()) > alpha {
        return;
    }
    at.push(offset + split.at);
    segment(&values[..split.at], offset, alpha, at);
    segment(&values[split.at..], offset + split.at, alpha, at);
}

/// Where the segments on both sides of a point begin and end.
fn neighbours(at: &[usize], index: usize, length: usize) -> (usize, usize) {
    let from = index.checked_sub(1).map_or(0, |before| at[before]);
    (from, at.get(index + 1).copied().unwrap_or(length))
}

/// A point seen from the segments beside it. Its p-value is that of a searched maximum: the place was searched for.
fn describe(values: &[f64], at: &[usize], index: usize) -> ChangePoint {
    let (from, to) = neighbours(at, index, values.len());
    let both = &values[from..to];
    let (left, right) = both.split_at(at[index] - from);
    let (before, after) = (
        median(left).unwrap_or(f64::NAN),
        median(right).unwrap_or(f64::NAN),
    );
    let moved = hodges_lehmann_shift(left, right, 0.95);
    let split = (both.len() >= LENGTH_MIN).then(|| at_place(&scores(both), left.len()));
    ChangePoint {
        at: at[index],
        before,
        after,
        effect_percent: relative_percent(before, after),
        shift: moved.estimate,
        interval: moved.interval,
        statistic: split.map_or(0.0, |split| split.statistic),
        p: split.map_or(1.0, |split| p_value(split.statistic, both.len())),
    }
}

/// The change from one level to another in percent of the first.
pub fn relative_percent(before: f64, after: f64) -> f64 {
    if before == after {
        0.0
    } else if before > 0.0 && after > 0.0 {
        percent((after / before).ln())
    } else {
        (after - before) / before.abs() * 100.0
    }
}

/// Where the warm-up of a run ends: the number of leading values to leave out.
///
/// Only the first half is searched and only a level that differs from the rest counts as warm-up, so that a change in
/// the middle of the run is not cut away. Values are those of equal slices of time, such as the median latency of each
/// second. 0 when there is none or the series is too short to tell.
pub fn warm_up_end(values: &[f64], alpha: f64) -> usize {
    let points = change_points(values, Settings { alpha, floor: 0.0 });
    points
        .iter()
        .map(|point| point.at)
        .filter(|at| *at <= values.len() / 2)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
