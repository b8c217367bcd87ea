//! Showing that two things are the same: two one-sided tests.

use crate::quantile::sorted;
use crate::rank::{midranks, signed_rank_cdf};
use crate::special::{normal_cdf, student_cdf};

/// p-value of "the mean differs from 0 by `margin` or more": small when it is shown to lie within.
///
/// Source: Schuirmann, *A comparison of the two one-sided tests procedure* (1987). Assumes independent values that are
/// about normal. 1 for fewer than two values.
pub fn tost_student(values: &[f64], margin: f64) -> f64 {
    let n = values.len() as f64;
    if n < 2.0 {
        return 1.0;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    if error == 0.0 {
        return if mean.abs() < margin { 0.0 } else { 1.0 };
    }
    let low = 1.0 - student_cdf((mean + margin) / error, n - 1.0);
    let high = student_cdf((mean - margin) / error, n - 1.0);
    low.max(high)
}

/// As [`tost_student`] with two one-sided signed-rank tests: for differences that are symmetric, with outliers or not.
///
/// Sources: Schuirmann (1987) with Wilcoxon (1945). Exact up to 50 values without ties.
pub fn tost_signed_rank(differences: &[f64], margin: f64) -> f64 {
    let low: Vec<f64> = differences.iter().map(|d| d + margin).collect();
    let high: Vec<f64> = differences.iter().map(|d| margin - d).collect();
    signed_rank_above(&low).max(signed_rank_above(&high))
}

/// One-sided p-value of the signed-rank test: small when the differences tend above 0.
pub fn signed_rank_above(differences: &[f64]) -> f64 {
    let kept: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|d| *d != 0.0 && !d.is_nan())
        .collect();
    let sizes: Vec<f64> = kept.iter().map(|d| d.abs()).collect();
    let ranks = midranks(&sizes);
    let negative: f64 = ranks
        .iter()
        .zip(&kept)
        .filter(|(_, d)| **d < 0.0)
        .map(|(rank, _)| rank)
        .sum();
    let n = kept.len();
    let has_ties = sorted(&sizes).windows(2).any(|pair| pair[0] == pair[1]);
    if n == 0 {
        1.0
    } else if n <= 50 && !has_ties {
        // P(W- <= observed).
        signed_rank_cdf(negative as usize, n)
    } else {
        let nf = n as f64;
        let sd = (nf * (nf + 1.0) * (2.0 * nf + 1.0) / 24.0).sqrt();
        normal_cdf((negative - nf * (nf + 1.0) / 4.0 + 0.5) / sd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn student_against_r() {
        // R: TOSTER::tsum_TOST(m1 = 0.1, sd1 = 0.4, n1 = 20, eqb = 0.3): t = (0.1 - 0.3) / (0.4 / sqrt(20)) = -2.236, p = 0.01878
        let mut values = vec![0.0; 20];
        let spread = 0.4 * (19.0f64 / 20.0).sqrt();
        for (index, value) in values.iter_mut().enumerate() {
            *value = 0.1 + if index % 2 == 0 { spread } else { -spread };
        }
        let p = tost_student(&values, 0.3);
        assert!((p - 0.01878).abs() < 2e-4, "{p}");
        assert_eq!(tost_student(&[0.0], 1.0), 1.0);
    }

    #[test]
    fn at_the_margin_equivalence_is_claimed_five_times_in_a_hundred() {
        let mut random = Random::new(31);
        let (mut student, mut rank) = (0, 0);
        for _ in 0..2000 {
            let values: Vec<f64> = (0..15).map(|_| 1.0 + 0.3 * random.normal()).collect();
            student += i32::from(tost_student(&values, 1.0) <= 0.05);
            rank += i32::from(tost_signed_rank(&values, 1.0) <= 0.05);
        }
        assert!((70..=130).contains(&student), "{student}");
        assert!((65..=130).contains(&rank), "{rank}");
    }

    #[test]
    fn too_few_values_show_nothing() {
        assert!(tost_signed_rank(&[0.0, 0.0, 0.0, 0.0], 0.1) > 0.05);
        assert!(tost_signed_rank(&[0.001, -0.002, 0.003, 0.001, 0.0, 0.002], 0.1) < 0.05);
    }
}
