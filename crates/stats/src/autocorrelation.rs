//! How much a series that remembers itself is worth.

/// Autocorrelation at a lag, with the usual divisor `n` (so that the sequence is positive definite). 0 for a constant.
///
/// Source: Box, Jenkins, Reinsel, *Time Series Analysis*, section 2.1.
pub fn autocorrelation(values: &[f64], lag: usize) -> f64 {
    let n = values.len();
    if n <= lag {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let spread: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    if spread <= 0.0 {
        return 0.0;
    }
    let joint: f64 = (0..n - lag)
        .map(|i| (values[i] - mean) * (values[i + lag] - mean))
        .sum();
    joint / spread
}

/// How many independent values a stationary series is worth for the variance of its mean: `n / (1 + 2 sum rho_k)`,
/// between 1 and `n`.
///
/// Source: C. J. Geyer, *Practical Markov Chain Monte Carlo* (1992): the sum ends where a pair of neighbouring
/// autocorrelations is no longer positive. Assumes stationarity; a step or trend makes it small, which errs on the safe side.
pub fn effective_sample_size(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 4 {
        return n as f64;
    }
    let mut sum = 0.0;
    let mut lag = 0;
    let mut before = f64::INFINITY;
    while lag + 1 < n {
        let pair = autocorrelation(values, lag) + autocorrelation(values, lag + 1);
        if pair <= 0.0 {
            break;
        }
        // Geyer's monotone sequence: a pair that grows again is noise.
        before = pair.min(before);
        sum += before;
        lag += 2;
        // Beyond this the series is one observation anyway, and each further lag costs O(n).
        if lag > 2_000 {
            break;
        }
    }
    (n as f64 / (2.0 * sum - 1.0).max(1.0)).clamp(1.0, n as f64)
}

/// As [`effective_sample_size`] for a series that is AR(1) with lag-1 autocorrelation `rho`: `n (1 - rho) / (1 + rho)`.
pub fn effective_sample_size_ar1(n: usize, rho: f64) -> f64 {
    n as f64 * (1.0 - rho) / (1.0 + rho)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn ar1(rho: f64, n: usize, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        let mut value = random.normal();
        (0..n)
            .map(|_| {
                value = rho * value + (1.0 - rho * rho).sqrt() * random.normal();
                value
            })
            .collect()
    }

    #[test]
    fn known_values() {
        // R: acf(c(1, 2, 3, 4, 5), plot = FALSE)
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!((autocorrelation(&values, 1) - 0.4).abs() < 1e-12);
        assert!((autocorrelation(&values, 2) + 0.1).abs() < 1e-12);
        assert_eq!(autocorrelation(&[2.0; 9], 1), 0.0);
    }

    #[test]
    fn series_with_memory_are_worth_what_theory_says() {
        for rho in [0.0, 0.5, 0.8] {
            let theory = effective_sample_size_ar1(20_000, rho);
            let found = effective_sample_size(&ar1(rho, 20_000, 11));
            assert!(
                (found / theory - 1.0).abs() < 0.15,
                "rho {rho}: {found} against {theory}"
            );
        }
        assert_eq!(effective_sample_size(&[1.0, 1.0]), 2.0);
    }
}
