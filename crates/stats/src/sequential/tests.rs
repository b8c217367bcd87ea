use proptest::prelude::*;

use super::*;
use crate::random::Random;

#[test]
fn looking_after_every_difference_keeps_the_error_rate() {
    // Heavy tails, 40 looks, 1,000 sequences: Ville's inequality promises at most 5 %.
    let mut random = Random::new(21);
    let mut refused = 0;
    for _ in 0..1000 {
        let mut differences = Vec::new();
        let mut ever = false;
        for _ in 0..40 {
            differences.push(random.normal() / random.uniform());
            ever |= e_value_symmetric(&differences, 0.0) >= 20.0;
        }
        refused += i32::from(ever);
    }
    assert!((5..=50).contains(&refused), "{refused} of 1000");
}

#[test]
fn confidence_sequences_hold_the_truth_at_all_times() {
    let mut random = Random::new(22);
    let (mut lost, mut mean_lost) = (0, 0);
    let rho = rho_for(20.0, 0.05);
    for _ in 0..200 {
        let mut differences = Vec::new();
        let (mut ever, mut mean_ever) = (false, false);
        for n in 1..=40 {
            differences.push(2.0 + random.normal());
            if n % 3 == 0 {
                ever |= !symmetric_sequence(&differences, 0.05).contains(2.0);
                mean_ever |= !mean_sequence(&differences, rho, 0.05).contains(2.0);
            }
        }
        lost += i32::from(ever);
        mean_lost += i32::from(mean_ever);
    }
    assert!(lost <= 10, "{lost} of 200");
    assert!(mean_lost <= 14, "{mean_lost} of 200");
}

#[test]
fn a_real_difference_is_found_early() {
    let mut random = Random::new(23);
    let mut needed = Vec::new();
    for _ in 0..100 {
        let mut differences = Vec::new();
        while e_value_symmetric(&differences, 0.0) < 20.0 && differences.len() < 100 {
            differences.push(1.5 + random.normal());
        }
        needed.push(differences.len() as f64);
    }
    let median = crate::quantile::median(&needed).unwrap();
    assert!((6.0..16.0).contains(&median), "{median}");
}

#[test]
fn few_differences_bound_nothing() {
    assert_eq!(symmetric_sequence(&[1.0, 1.1, 0.9], 0.05), Interval::ALL);
    assert_eq!(symmetric_sequence(&[], 0.05), Interval::ALL);
    assert_eq!(normal_mixture_radius(1.0, 5, 0.5, 0.05), f64::INFINITY);
    // Equal differences (a deterministic counter) are bounded to themselves.
    let same = symmetric_sequence(&[0.25; 14], 0.05);
    assert_eq!((same.low, same.high), (0.25, 0.25));
}

#[test]
fn radius_is_the_published_formula() {
    // t = 100, rho = 0.3, alpha = 0.05, sd = 1 by hand: sqrt(2 * 10 / 900 * ln(sqrt(10) / 0.05)) * sqrt(99 / 96).
    let by_hand =
        (2.0 * 10.0 / 900.0 * (10.0f64.sqrt() / 0.05).ln()).sqrt() * (99.0f64 / 96.0).sqrt();
    assert!((normal_mixture_radius(1.0, 100, 0.3, 0.05) - by_hand).abs() < 1e-12);
}

#[test]
fn shares_at_zero_baseline() {
    // 8 errors of 200 against a share of 0.1 %: beyond doubt; none of 200: evidence for nothing.
    assert!(e_value_share_above(8, 200, 0.001) > 1e4);
    assert!(e_value_share_above(0, 200, 0.001) < 1.0);
    // Against the mean of the likelihood ratio by Simpson's rule.
    let (k, n, share) = (5, 40, 0.05);
    let steps = 200_000;
    let slow: f64 = (0..steps)
        .map(|i| {
            let p = share + (1.0 - share) * (f64::from(i) + 0.5) / f64::from(steps);
            (p / share).powi(k) * ((1.0 - p) / (1.0 - share)).powi(n - k)
        })
        .sum::<f64>()
        / f64::from(steps);
    let fast = e_value_share_above(k as u64, n as u64, share);
    assert!((fast / slow - 1.0).abs() < 1e-4, "{fast} and {slow}");
}

proptest! {
    #[test]
    fn shifting_the_data_shifts_the_sequence(values in prop::collection::vec(-50i32..50, 8..20), shift in -9i32..9) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let moved: Vec<f64> = values.iter().map(|v| v + f64::from(shift)).collect();
        let (a, b) = (symmetric_sequence(&values, 0.1), symmetric_sequence(&moved, 0.1));
        prop_assert_eq!(a.low + f64::from(shift), b.low);
        prop_assert_eq!(a.high + f64::from(shift), b.high);
    }
}
