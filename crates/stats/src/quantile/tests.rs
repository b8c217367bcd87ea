use proptest::prelude::*;

use super::*;
use crate::random::Random;

#[test]
fn interpolates_as_r_type_7() {
    // R: quantile(c(1, 3, 4, 10), c(.25, .5, .9))
    let values = [10.0, 1.0, 4.0, 3.0, f64::NAN];
    assert_eq!(quantile(&values, 0.25), Some(2.5));
    assert_eq!(quantile(&values, 0.5), Some(3.5));
    assert!((quantile(&values, 0.9).unwrap() - 8.2).abs() < 1e-12);
    assert_eq!(quantile(&[], 0.5), None);
    // R: mad(c(1, 2, 3, 4, 100))
    assert_eq!(mad(&[1.0, 2.0, 3.0, 4.0, 100.0]), Some(1.4826));
}

#[test]
fn ranks_of_published_tables() {
    // Conover, Practical Nonparametric Statistics, and R's `qbinom`: the median of 10 at 95 % is [x(2), x(9)].
    assert_eq!(ranks(0.5, 10, 0.95), Some((2, 9)));
    assert_eq!(ranks(0.5, 25, 0.95), Some((8, 18)));
    assert_eq!(ranks(0.5, 5, 0.95), None);
    // p99 needs 299 values for a one-sided 95 % bound, 368 for a two-sided one.
    assert_eq!(samples_for(0.99, 0.90), 299);
    assert_eq!(samples_for(0.99, 0.95), 368);
    assert_eq!(ranks(0.99, 367, 0.95), None);
    assert!(ranks(0.99, 368, 0.95).is_some());
}

#[test]
fn intervals_cover_as_often_as_they_say() {
    let mut random = Random::new(7);
    let mut covered = 0;
    let truth = -(0.1f64).ln();
    for _ in 0..2000 {
        let sample: Vec<f64> = (0..120).map(|_| random.exponential()).collect();
        covered += i32::from(
            quantile_interval(&sample, 0.9, 0.95)
                .unwrap()
                .contains(truth),
        );
    }
    assert!((1890..=1975).contains(&covered), "{covered} of 2000");
}

#[test]
fn harrell_davis_of_a_known_sample() {
    // R: Hmisc::hdquantile(c(1, 2, 3, 4, 5, 6, 7, 8, 9, 30), c(.5, .9))
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 30.0];
    let median = harrell_davis(&values, 0.5).unwrap();
    // Independent: the weights by Simpson's rule over the beta density.
    let by_simpson = |q: f64| {
        let n = values.len() as f64;
        let (a, b) = ((n + 1.0) * q, (n + 1.0) * (1.0 - q));
        let steps = 20_000;
        let mut weights = vec![0.0; values.len()];
        for step in 0..steps {
            let x = (f64::from(step) + 0.5) / f64::from(steps);
            weights[(x * n) as usize] += x.powf(a - 1.0) * (1.0 - x).powf(b - 1.0);
        }
        let sum: f64 = weights.iter().sum();
        weights.iter().zip(values).map(|(w, v)| w * v).sum::<f64>() / sum
    };
    assert!((median - by_simpson(0.5)).abs() < 1e-4);
    assert!((harrell_davis(&values, 0.9).unwrap() - by_simpson(0.9)).abs() < 1e-3);
}

proptest! {
    #[test]
    fn ranks_keep_their_promise(q in 0.01f64..0.99, n in 1u64..3000, confidence in 0.5f64..0.999) {
        if let Some((low, high)) = ranks(q, n, confidence) {
            let inside = binomial_cdf(high as i64 - 1, n, q) - binomial_cdf(low as i64 - 1, n, q);
            prop_assert!(inside >= confidence - 1e-9);
            prop_assert!(low < high && high <= n);
        } else {
            prop_assert!(n < samples_for(q, confidence) + 1);
        }
    }
}
