//! Intervals by resampling, from a fixed seed.

use crate::finding::Interval;
use crate::quantile::{harrell_davis, quantile_sorted, sorted};
use crate::random::Random;

/// Resamples that intervals are taken from.
pub const RESAMPLES: usize = 2_000;

/// Percentile interval of a statistic of a series with memory, from blocks of `n^(1/3)` neighbours.
///
/// Source: Künsch, *The jackknife and the bootstrap for general stationary observations* (1989); block length by Hall,
/// Horowitz, Jing (1995). Assumes stationarity. `None` for fewer than 8 values.
pub fn moving_block_interval(
    values: &[f64],
    statistic: impl Fn(&[f64]) -> f64,
    confidence: f64,
    seed: u64,
) -> Option<Interval> {
    let n = values.len();
    if n < 8 {
        return None;
    }
    let block = (n as f64).cbrt().ceil() as usize;
    let mut random = Random::new(seed);
    let mut sample = Vec::with_capacity(n + block);
    let results: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            sample.clear();
            while sample.len() < n {
                let from = random.below(n - block + 1);
                sample.extend_from_slice(&values[from..from + block]);
            }
            sample.truncate(n);
            statistic(&sample)
        })
        .collect();
    percentile(&results, confidence)
}

/// The logarithm of the ratio of a quantile of `b` to that of `a` (Harrell-Davis), with its bootstrap interval.
///
/// Source: Wilcox, *Introduction to Robust Estimation and Hypothesis Testing*, section 4.3 (percentile bootstrap). Assumes
/// independent positive values; for requests of one run pass one value per run or per second, not each request.
pub fn quantile_ratio(
    a: &[f64],
    b: &[f64],
    q: f64,
    confidence: f64,
    seed: u64,
) -> Option<(f64, Interval)> {
    if a.len() < 8 || b.len() < 8 || a.iter().chain(b).any(|v| *v <= 0.0 || v.is_nan()) {
        return None;
    }
    let estimate = (harrell_davis(b, q)? / harrell_davis(a, q)?).ln();
    let mut random = Random::new(seed);
    let mut draw = |from: &[f64]| -> Vec<f64> {
        (0..from.len())
            .map(|_| from[random.below(from.len())])
            .collect()
    };
    let results: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let (x, y) = (draw(a), draw(b));
            Some((harrell_davis(&y, q)? / harrell_davis(&x, q)?).ln())
        })
        .collect();
    Some((estimate, percentile(&results, confidence)?))
}

fn percentile(results: &[f64], confidence: f64) -> Option<Interval> {
    let results = sorted(results);
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval {
        low: quantile_sorted(&results, tail)?,
        high: quantile_sorted(&results, 1.0 - tail)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_interval_of_theory() {
        let mut random = Random::new(51);
        let values: Vec<f64> = (0..400).map(|_| random.normal()).collect();
        let mean = |sample: &[f64]| sample.iter().sum::<f64>() / sample.len() as f64;
        let found = moving_block_interval(&values, mean, 0.95, 1).unwrap();
        // 2 * 1.96 / sqrt(400)
        assert!((found.width() / 0.196 - 1.0).abs() < 0.2, "{found:?}");
        assert_eq!(moving_block_interval(&values, mean, 0.95, 1), Some(found));
        assert_eq!(moving_block_interval(&values[..7], mean, 0.95, 1), None);
    }

    #[test]
    fn a_slower_tail_is_seen_in_its_quantile() {
        let mut random = Random::new(52);
        let a: Vec<f64> = (0..60).map(|_| (0.2 * random.normal()).exp()).collect();
        let b: Vec<f64> = (0..60)
            .map(|_| 1.3 * (0.2 * random.normal()).exp())
            .collect();
        let (estimate, interval) = quantile_ratio(&a, &b, 0.9, 0.95, 3).unwrap();
        assert!(
            interval.contains(1.3f64.ln()) && interval.low > 0.0,
            "{estimate} {interval:?}"
        );
        assert!(quantile_ratio(&[0.0; 9], &b, 0.5, 0.95, 3).is_none());
    }
}
