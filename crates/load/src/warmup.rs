//! Where the warm-up of a run ends.

use bellwether_stats::changepoint::{Settings, change_points};

/// Number of first values that lie on a higher level than what follows; at most `most`. `None` when there is no fall
/// of at least `effect`, relative to the level before.
pub(crate) fn end(values: &[f64], most: usize, alpha: f64, effect: f64) -> Option<usize> {
    let settings = Settings {
        alpha,
        floor: effect,
    };
    change_points(values, settings)
        .iter()
        .filter(|point| point.at <= most && point.after < point.before)
        .map(|point| point.at)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, level: f64) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| level * (1.0 + 0.02 * ((i * 7919 % 13) as f64 - 6.0) / 6.0))
    }

    #[test]
    fn a_slow_start_is_cut_and_a_steady_run_is_not() {
        let slow: Vec<f64> = noise(8, 3.0).chain(noise(32, 1.0)).collect();
        assert_eq!(end(&slow, 12, 0.002, 0.1), Some(8));
        // Too late to be a warm-up, and a rise is none.
        assert_eq!(end(&slow, 7, 0.002, 0.1), None);
        let rise: Vec<f64> = noise(8, 1.0).chain(noise(32, 3.0)).collect();
        assert_eq!(end(&rise, 12, 0.002, 0.1), None);
        let steady: Vec<f64> = noise(40, 1.0).collect();
        assert_eq!(end(&steady, 12, 0.002, 0.1), None);
    }
}
