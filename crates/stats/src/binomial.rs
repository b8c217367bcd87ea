//! Counts: shares with exact intervals, and two rates of rare events.

use crate::finding::{Better, Evidence, Finding, Interval, Verdict, percent};
use crate::special::{beta_quantile, binomial_cdf};

/// Events in an exposure: errors in requests, restarts in hours, samples of a frame in all samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub events: u64,
    /// Positive; the same unit on both sides of a comparison.
    pub exposure: f64,
}

/// Exact interval of a share of `events` in `n`.
///
/// Source: Clopper & Pearson (1934), by quantiles of the beta distribution. Assumes independent trials; covers at least
/// as often as it says.
pub fn clopper_pearson(events: u64, n: u64, confidence: f64) -> Interval {
    let tail = (1.0 - confidence) / 2.0;
    let (k, rest) = (events as f64, n.saturating_sub(events) as f64);
    Interval {
        low: if events == 0 {
            0.0
        } else {
            beta_quantile(tail, k, rest + 1.0)
        },
        high: if events >= n {
            1.0
        } else {
            beta_quantile(1.0 - tail, k + 1.0, rest)
        },
    }
}

/// Two-sided exact test that `b` has the same rate as `a`, conditional on the total of events.
///
/// Source: Przyborowski & Wilenski (1940): given the total, the events of `b` are binomial with its share of the exposure.
/// Valid at zero events on either side. Assumes independent events. The p-value is twice the smaller tail.
pub fn conditional_binomial_p(a: Rate, b: Rate) -> f64 {
    let (total, share) = conditional(a, b);
    let k = b.events as i64;
    let at_most = binomial_cdf(k, total, share);
    let at_least = 1.0 - binomial_cdf(k - 1, total, share);
    (2.0 * at_most.min(at_least)).min(1.0)
}

/// The rate of `b` against that of `a`: the logarithm of their ratio, with the exact interval that follows from the
/// conditional test. `floor` is the smallest ratio that matters, as a relative change (0.1 is 10 %).
pub fn compare_rates(a: Rate, b: Rate, floor: f64, better: Better, confidence: f64) -> Finding {
    let (total, share) = conditional(a, b);
    let log_ratio = |p: f64| (p / (1.0 - p)).ln() - (share / (1.0 - share)).ln();
    let interval = if total == 0 {
        Interval::ALL
    } else {
        clopper_pearson(b.events, total, confidence).map(log_ratio)
    };
    // Half an event on each side keeps the estimate finite (Haldane 1956).
    let estimate =
        ((b.events as f64 + 0.5) / b.exposure).ln() - ((a.events as f64 + 0.5) / a.exposure).ln();
    Finding {
        estimate,
        interval,
        confidence,
        evidence: Evidence::P(conditional_binomial_p(a, b)),
        effect_percent: percent(estimate),
        n_effective: total as f64,
        verdict: Verdict::of(estimate, interval, floor.ln_1p(), better),
    }
}

fn conditional(a: Rate, b: Rate) -> (u64, f64) {
    (a.events + b.events, b.exposure / (a.exposure + b.exposure))
}

#[cfg(test)]
mod tests;
