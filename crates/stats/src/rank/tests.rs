//! Against published examples, R, and slow implementations that enumerate.

use proptest::prelude::*;

use super::*;
use crate::random::Random;

#[test]
#[expect(
    clippy::approx_constant,
    reason = "3.14 is a score of the published table"
)]
fn hollander_and_wolfe_depression_scores() {
    // Hollander & Wolfe, table 3.1 (Hamilton depression scale); R: wilcox.test(y, x, paired = TRUE, conf.int = TRUE)
    // V = 5, p = 0.03906, estimate -0.46, interval [-0.786, -0.010].
    let x = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
    let y = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
    let differences: Vec<f64> = y.iter().zip(x).map(|(y, x)| y - x).collect();
    let test = signed_rank(&differences, 0.95);
    assert_eq!(test.statistic, 5.0);
    assert!((test.p - 0.0390625).abs() < 1e-9);
    assert!((test.estimate + 0.46).abs() < 1e-9, "{}", test.estimate);
    assert!((test.interval.low + 0.786).abs() < 1e-9);
    assert!((test.interval.high + 0.010).abs() < 1e-9);
}

#[test]
fn hollander_and_wolfe_permeability() {
    // Table 4.1; R: wilcox.test(x, y): W = 35, p = 0.2544 (two-sided); shift of x from y 0.305, interval [-0.15, 0.76].
    let x = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    let y = [1.15, 0.88, 0.90, 0.74, 1.21];
    let test = mann_whitney(&y, &x, 0.95);
    assert_eq!(test.statistic, 35.0);
    assert!((test.p - 0.2544).abs() < 1e-4, "{}", test.p);
    assert!((test.estimate - 0.305).abs() < 1e-9);
    assert!((test.interval.low + 0.15).abs() < 1e-9);
    assert!((test.interval.high - 0.76).abs() < 1e-9);
}

#[test]
fn too_few_values_give_no_interval_and_no_claim() {
    let test = signed_rank(&[1.0, 1.1, 1.2, 1.3, 1.4], 0.95);
    assert_eq!(test.interval, Interval::ALL);
    assert!(test.p > 0.05);
    assert_eq!(signed_rank(&[], 0.95).p, 1.0);
    assert_eq!(mann_whitney(&[], &[1.0], 0.95).interval, Interval::ALL);
    assert_eq!(
        mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], 0.95).interval,
        Interval::ALL
    );
}

#[test]
fn approximations_meet_the_exact_values() {
    let mut random = Random::new(5);
    let values: Vec<f64> = (0..50).map(|_| random.normal() + 0.35).collect();
    let exact = signed_rank(&values, 0.95);
    let n = 50.0f64;
    let z = (exact.statistic - n * (n + 1.0) / 4.0).abs() - 0.5;
    let p = 2.0 * normal_cdf(-z / (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt());
    assert!((p - exact.p).abs() < 0.003, "{p} and {}", exact.p);
    // 51 values take the other path; the interval must not jump.
    let more: Vec<f64> = values.iter().copied().chain([exact.estimate]).collect();
    let approximate = signed_rank(&more, 0.95);
    assert!((approximate.interval.low - exact.interval.low).abs() < 0.05);
    assert!((approximate.interval.high - exact.interval.high).abs() < 0.05);
}

#[test]
fn intervals_cover_as_often_as_they_say() {
    let mut random = Random::new(9);
    let (mut paired, mut shifted, mut large) = (0, 0, 0);
    for _ in 0..1500 {
        let d: Vec<f64> = (0..12).map(|_| random.normal() + 3.0).collect();
        paired += i32::from(signed_rank(&d, 0.95).interval.contains(3.0));
        let a: Vec<f64> = (0..9).map(|_| random.exponential()).collect();
        let b: Vec<f64> = (0..11).map(|_| random.exponential() + 2.0).collect();
        shifted += i32::from(mann_whitney(&a, &b, 0.95).interval.contains(2.0));
        let d: Vec<f64> = (0..60).map(|_| random.normal() + 3.0).collect();
        large += i32::from(signed_rank(&d, 0.95).interval.contains(3.0));
    }
    for covered in [paired, shifted, large] {
        assert!((1405..=1470).contains(&covered), "{covered} of 1500");
    }
}

proptest! {
    /// P(W+ <= w) by going through all sign patterns.
    #[test]
    fn signed_rank_distribution_is_that_of_all_patterns(n in 1usize..11, w in 0usize..56) {
        let patterns = 1u32 << n;
        let below = (0..patterns)
            .filter(|pattern| (0..n).filter(|i| pattern & (1 << i) != 0).map(|i| i + 1).sum::<usize>() <= w)
            .count();
        let slow = below as f64 / f64::from(patterns);
        prop_assert!((signed_rank_cdf(w, n) - slow).abs() < 1e-12);
    }

    /// P(U <= u) by going through all ways to choose.
    #[test]
    fn mann_whitney_distribution_is_that_of_all_choices(m in 1usize..6, n in 1usize..6, u in 0usize..26) {
        let total = m + n;
        let (mut below, mut all) = (0, 0);
        for pattern in 0u32..1 << total {
            if pattern.count_ones() as usize != n {
                continue;
            }
            all += 1;
            let ranks: usize = (0..total).filter(|i| pattern & (1 << i) != 0).map(|i| i + 1).sum();
            below += usize::from(ranks - n * (n + 1) / 2 <= u);
        }
        let slow = f64::from(below as u32) / f64::from(all);
        prop_assert!((mann_whitney_cdf(u, m, n) - slow).abs() < 1e-9);
    }

    #[test]
    fn mirrored_data_give_mirrored_results(values in prop::collection::vec(-100.0f64..100.0, 1..40)) {
        let mirrored: Vec<f64> = values.iter().map(|v| -v).collect();
        let (a, b) = (signed_rank(&values, 0.9), signed_rank(&mirrored, 0.9));
        prop_assert!((a.p - b.p).abs() < 1e-9);
        prop_assert!((a.estimate + b.estimate).abs() < 1e-9);
        prop_assert!(a.interval.low == f64::NEG_INFINITY || (a.interval.low + b.interval.high).abs() < 1e-9);
    }

    #[test]
    fn midranks_sum_up(values in prop::collection::vec(0i32..8, 1..60)) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let n = values.len() as f64;
        prop_assert!((midranks(&values).iter().sum::<f64>() - n * (n + 1.0) / 2.0).abs() < 1e-9);
    }
}

#[test]
fn large_distributions_stay_probabilities() {
    let distribution = mann_whitney_distribution(50, 50);
    assert!((distribution.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(distribution.iter().all(|p| *p > -1e-9));
}
