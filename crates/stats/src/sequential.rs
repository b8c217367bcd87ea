//! Looking while the data come in: confidence sequences and e-values, valid at every look and at any stop.

use crate::finding::Interval;
use crate::special::{beta_inc, ln_gamma};

/// Bets of [`e_value_symmetric`], from careful to bold; the mixture needs no tuning.
const BETS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// What an e-value is cut to, so that it stays a finite number in JSON.
const E_MAX: f64 = 1e300;

/// The tuning of [`normal_mixture_radius`] that is tightest after `t` observations.
///
/// Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, *Time-uniform central limit theory and asymptotic confidence
/// sequences* (Annals of Statistics 2024), appendix B.2.
pub fn rho_for(t: f64, alpha: f64) -> f64 {
    let x = -2.0 * alpha.ln();
    ((x + (x + 1.0).ln()) / t).sqrt()
}

/// Half the width, around the running mean, of an asymptotic confidence sequence: with probability `1 - alpha` it holds
/// the mean at *all* times `t` at once. For a one-sided bound pass twice the alpha.
///
/// Source: as [`rho_for`], theorem 2.2. `sd` is the running standard deviation. Assumes independent observations of finite
/// variance, and enough of them for the variance to be known: it is inflated by `sqrt((t - 1) / (t - 4))`, and there is no
/// bound before the sixth.
pub fn normal_mixture_radius(sd: f64, t: u64, rho: f64, alpha: f64) -> f64 {
    if t < 6 {
        return f64::INFINITY;
    }
    let t = t as f64;
    let inflated = sd * ((t - 1.0) / (t - 4.0)).sqrt();
    let spread = t * rho * rho + 1.0;
    inflated * (2.0 * spread / (t * t * rho * rho) * (spread.sqrt() / alpha).ln()).sqrt()
}

/// Confidence sequence of a mean, by [`normal_mixture_radius`] on all values so far.
pub fn mean_sequence(values: &[f64], rho: f64, alpha: f64) -> Interval {
    let n = values.len() as f64;
    if values.len() < 2 {
        return Interval::ALL;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let radius = normal_mixture_radius(variance.sqrt(), values.len() as u64, rho, alpha);
    Interval {
        low: mean - radius,
        high: mean + radius,
    }
}

/// E-value against "symmetric about `centre` (or tending below it)": evidence that differences tend above.
///
/// Each difference bets on its sign an amount that grows with the rank of its size among those so far: a test martingale,
/// because under symmetry the sign is a fair coin whatever the sizes. Exact for every sample size and every symmetric
/// distribution, at every look; an outlier counts as one rank.
///
/// Sources: sequential ranks: Reynolds, *A sequential signed-rank test for symmetry* (Annals of Statistics 1975); betting:
/// Ramdas, Grünwald, Vovk, Shafer, *Game-theoretic statistics and safe anytime-valid inference* (2023). Assumes that the
/// differences are independent and in the order in which they were seen.
pub fn e_value_above(differences: &[f64], centre: f64) -> f64 {
    let mut logs = [0.0; BETS.len()];
    for (index, difference) in differences.iter().enumerate() {
        let moved = difference - centre;
        if moved == 0.0 || moved.is_nan() {
            continue;
        }
        let size = moved.abs();
        let smaller = differences[..=index]
            .iter()
            .filter(|other| (*other - centre).abs() <= size)
            .count();
        let stake = smaller as f64 / (index + 1) as f64;
        for (log, bet) in logs.iter_mut().zip(BETS) {
            *log += moved.signum() * bet * stake - ln_cosh(bet * stake);
        }
    }
    mixed(&logs)
}

/// The mirror image of [`e_value_above`].
pub fn e_value_below(differences: &[f64], centre: f64) -> f64 {
    let mirrored: Vec<f64> = differences.iter().map(|d| -d).collect();
    e_value_above(&mirrored, -centre)
}

/// Two-sided e-value against "symmetric about `centre`".
pub fn e_value_symmetric(differences: &[f64], centre: f64) -> f64 {
    0.5 * (e_value_above(differences, centre) + e_value_below(differences, centre))
}

/// Confidence sequence of the centre of symmetric differences: all centres whose [`e_value_symmetric`] is below `1/alpha`.
/// May be looked at after every difference.
pub fn symmetric_sequence(differences: &[f64], alpha: f64) -> Interval {
    // The e-value changes only where a sign or an order of sizes does: at the Walsh averages.
    let mut steps: Vec<f64> = Vec::new();
    for (index, x) in differences.iter().enumerate() {
        steps.extend(differences[index..].iter().map(|y| 0.5 * (x + y)));
    }
    steps.retain(|step| step.is_finite());
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    let (Some(first), Some(last)) = (steps.first().copied(), steps.last().copied()) else {
        return Interval::ALL;
    };
    let refused = |centre: f64| e_value_symmetric(differences, centre) >= 1.0 / alpha;
    let beyond = (last - first).max(1e-9);
    let middle = |i: usize| 0.5 * (steps[i] + steps[i + 1]);
    // From outside inwards, until a centre can no longer be refused; the hull, whatever shape the set has.
    let low = if refused(first - beyond) {
        (0..steps.len() - 1)
            .find(|i| !refused(middle(*i)))
            .map_or(last, |i| steps[i])
    } else {
        f64::NEG_INFINITY
    };
    let high = if refused(last + beyond) {
        (0..steps.len() - 1)
            .rev()
            .find(|i| !refused(middle(*i)))
            .map_or(first, |i| steps[i + 1])
    } else {
        f64::INFINITY
    };
    Interval {
        low: low.min(high),
        high: high.max(low),
    }
}

/// E-value against "the share is at most `share`", from `events` in `n`: a beta mixture over all larger shares.
///
/// Source: Robbins (1970); Ramdas et al. (2023). Assumes independent trials; valid at every look, also at zero events.
pub fn e_value_share_above(events: u64, n: u64, share: f64) -> f64 {
    let (k, rest) = (events as f64, n.saturating_sub(events) as f64);
    // Uniform over (share, 1): the likelihood ratio's mean.
    let log_beta = ln_gamma(k + 1.0) + ln_gamma(rest + 1.0) - ln_gamma(n as f64 + 2.0);
    let upper = 1.0 - beta_inc(k + 1.0, rest + 1.0, share);
    let log = log_beta + upper.ln() - (1.0 - share).ln() - k * share.ln() - rest * (-share).ln_1p();
    log.exp().min(E_MAX)
}

/// The mean of several martingales, from their logarithms.
fn mixed(logs: &[f64]) -> f64 {
    let sum: f64 = logs.iter().map(|log| log.min(690.0).exp()).sum();
    (sum / logs.len() as f64).min(E_MAX)
}

fn ln_cosh(x: f64) -> f64 {
    x.abs() + (-2.0 * x.abs()).exp().ln_1p() - std::f64::consts::LN_2
}

#[cfg(test)]
mod tests;
