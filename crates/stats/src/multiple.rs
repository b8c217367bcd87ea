//! Many comparisons at once.

/// Holm's adjusted p-values, in the order given: below `alpha` means a claim, with the probability of *any* false claim at
/// most `alpha`.
///
/// Source: Holm, *A simple sequentially rejective multiple test procedure* (1979). Holds under any dependence.
pub fn holm(p: &[f64]) -> Vec<f64> {
    adjusted(p, |rank, m| (m - rank) as f64, false)
}

/// Benjamini's and Hochberg's adjusted p-values, in the order given: of the claims below `alpha`, at most that share is
/// false on average.
///
/// Source: Benjamini & Hochberg (1995). Assumes independent or positively dependent tests.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    adjusted(p, |rank, m| m as f64 / (rank + 1) as f64, true)
}

/// Which e-values are claims when at most a share of `alpha` of the claims may be false.
///
/// Source: Wang & Ramdas, *False discovery rate control with e-values* (2022). Holds under any dependence.
pub fn e_benjamini_hochberg(e: &[f64], alpha: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..e.len()).collect();
    order.sort_by(|a, b| e[*b].total_cmp(&e[*a]));
    let m = e.len() as f64;
    let claims = (1..=order.len())
        .rev()
        .find(|k| e[order[k - 1]] >= m / (alpha * *k as f64))
        .unwrap_or(0);
    let mut is_claim = vec![false; e.len()];
    for index in &order[..claims] {
        is_claim[*index] = true;
    }
    is_claim
}

fn adjusted(p: &[f64], factor: impl Fn(usize, usize) -> f64, from_largest: bool) -> Vec<f64> {
    let m = p.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut result = vec![1.0; m];
    let mut bound: f64 = if from_largest { 1.0 } else { 0.0 };
    for step in 0..m {
        let rank = if from_largest { m - 1 - step } else { step };
        let index = order[rank];
        let scaled = (p[index] * factor(rank, m)).min(1.0);
        bound = if from_largest {
            bound.min(scaled)
        } else {
            bound.max(scaled)
        };
        result[index] = bound;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_r_adjusts() {
        // R: p.adjust(c(.01, .02, .03, .04, .05), "holm"), "BH"
        let p = [0.04, 0.01, 0.05, 0.02, 0.03];
        let near = |found: Vec<f64>, expected: [f64; 5]| {
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-12, "{found:?}");
            }
        };
        near(holm(&p), [0.09, 0.05, 0.09, 0.08, 0.09]);
        near(benjamini_hochberg(&p), [0.05; 5]);
        near(
            benjamini_hochberg(&[0.001, 0.008, 0.039, 0.041, 0.9]),
            [0.005, 0.02, 0.05125, 0.05125, 0.9],
        );
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn e_values_claim_by_their_number() {
        // Of 4 at 5 %: one needs 80, two need 40 each, three 26.7.
        assert_eq!(
            e_benjamini_hochberg(&[41.0, 45.0, 2.0, 1.0], 0.05),
            [true, true, false, false]
        );
        assert_eq!(
            e_benjamini_hochberg(&[41.0, 5.0, 2.0, 1.0], 0.05),
            [false; 4]
        );
        assert_eq!(
            e_benjamini_hochberg(&[90.0, 5.0, 2.0, 1.0], 0.05),
            [true, false, false, false]
        );
    }
}
