//! Bayesian online change-point detection: a second opinion that follows a series value by value.

use crate::quantile::{mad, median};
use crate::special::ln_gamma;

/// What is believed before the first value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Probability of a change at each value.
    pub hazard: f64,
    /// Normal-gamma: strength of the mean, shape and rate of the precision (on the scale of the whole series' robust
    /// deviation).
    pub kappa: f64,
    pub alpha: f64,
    pub beta: f64,
}

/// A change that the run length fell back to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Index of the first value of the new run.
    pub at: usize,
    /// Posterior probability of a run that began within two values of it, when it was accepted.
    pub probability: f64,
}

/// Values that a new run must last before it is believed.
const LASTS: usize = 5;
/// Run lengths with less posterior mass are dropped.
const MASS_MIN: f64 = 1e-7;

impl Default for Prior {
    fn default() -> Self {
        Self {
            hazard: 1.0 / 250.0,
            kappa: 0.1,
            alpha: 1.0,
            beta: 0.5,
        }
    }
}

/// One hypothesis: the current run began here.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    log_mass: f64,
    mean: f64,
    kappa: f64,
    alpha: f64,
    beta: f64,
}

/// Changes of mean or spread.
///
/// Source: Adams & MacKay, *Bayesian online changepoint detection* (2007), normal values with unknown mean and variance.
/// The series is centred and scaled by its median and MAD first. Assumes independent values within a run, about normal:
/// outliers and memory make it see more changes than there are, so it is a second opinion, never the first.
pub fn bocpd(values: &[f64], prior: Prior) -> Vec<Change> {
    let (Some(centre), Some(spread)) = (median(values), mad(values)) else {
        return Vec::new();
    };
    let scale = if spread > 0.0 { spread } else { 1.0 };
    let mut runs: Vec<Run> = Vec::new();
    let mut changes: Vec<Change> = Vec::new();
    let mut current = 0;
    for (t, value) in values.iter().enumerate() {
        let x = (value - centre) / scale;
        if !x.is_finite() {
            continue;
        }
        step(&mut runs, t, x, prior);
        let Some(best) = runs.iter().max_by(|a, b| a.log_mass.total_cmp(&b.log_mass)) else {
            continue;
        };
        let moved = best.start.abs_diff(current) > 2;
        if moved && t + 1 - best.start >= LASTS && best.start > current {
            let probability = runs
                .iter()
                .filter(|run| run.start.abs_diff(best.start) <= 2)
                .map(|run| run.log_mass.exp())
                .sum();
            current = best.start;
            changes.push(Change {
                at: best.start,
                probability,
            });
        }
    }
    changes
}

fn step(runs: &mut Vec<Run>, t: usize, x: f64, prior: Prior) {
    let fresh = Run {
        start: t,
        log_mass: 0.0,
        mean: 0.0,
        kappa: prior.kappa,
        alpha: prior.alpha,
        beta: prior.beta,
    };
    if runs.is_empty() {
        runs.push(fresh.updated(x));
        return;
    }
    // The mass of all old runs moves to the new one by the hazard, before the value is seen.
    let total: f64 = runs.iter().map(|run| run.log_mass.exp()).sum();
    for run in runs.iter_mut() {
        run.log_mass += (1.0 - prior.hazard).ln();
    }
    runs.push(Run {
        log_mass: (total * prior.hazard).ln(),
        ..fresh
    });
    for run in runs.iter_mut() {
        let seen = run.log_predictive(x);
        *run = run.updated(x);
        run.log_mass += seen;
    }
    let max = runs
        .iter()
        .map(|run| run.log_mass)
        .fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = runs.iter().map(|run| (run.log_mass - max).exp()).sum();
    for run in runs.iter_mut() {
        run.log_mass -= max + total.ln();
    }
    runs.retain(|run| run.log_mass.exp() > MASS_MIN);
}

impl Run {
    /// Logarithm of Student's density of the next value.
    fn log_predictive(&self, x: f64) -> f64 {
        let df = 2.0 * self.alpha;
        let scale = self.beta * (self.kappa + 1.0) / (self.alpha * self.kappa);
        let t = (x - self.mean).powi(2) / scale;
        ln_gamma(f64::midpoint(df, 1.0))
            - ln_gamma(df / 2.0)
            - 0.5 * (df * std::f64::consts::PI * scale).ln()
            - f64::midpoint(df, 1.0) * (t / df).ln_1p()
    }

    fn updated(&self, x: f64) -> Self {
        Self {
            mean: (self.kappa * self.mean + x) / (self.kappa + 1.0),
            kappa: self.kappa + 1.0,
            alpha: self.alpha + 0.5,
            beta: self.beta + self.kappa * (x - self.mean).powi(2) / (2.0 * (self.kappa + 1.0)),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn steps_of_a_quiet_series_are_found() {
        let mut random = Random::new(41);
        let values: Vec<f64> = (0..150)
            .map(|i| {
                random.normal()
                    + if i < 60 {
                        10.0
                    } else if i < 110 {
                        14.0
                    } else {
                        8.0
                    }
            })
            .collect();
        let found = bocpd(&values, Prior::default());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].at.abs_diff(60) <= 2 && found[1].at.abs_diff(110) <= 2,
            "{found:?}"
        );
        assert!(found.iter().all(|change| change.probability > 0.5));
    }

    #[test]
    fn normal_noise_is_rarely_a_change() {
        let flagged = (0..200)
            .filter(|seed| {
                let mut random = Random::new(*seed);
                let values: Vec<f64> = (0..100).map(|_| random.normal()).collect();
                !bocpd(&values, Prior::default()).is_empty()
            })
            .count();
        assert!(flagged <= 30, "{flagged} of 200");
    }

    /// The posterior over run starts against the slow definition: all segmentations, each with its marginal likelihood.
    #[test]
    fn posterior_is_that_of_all_segmentations() {
        let values = [0.3, -0.2, 0.1, 3.0, 3.3, 2.7];
        let prior = Prior::default();
        let mut runs = Vec::new();
        for (t, x) in values.iter().enumerate() {
            step(&mut runs, t, *x, prior);
        }
        let n = values.len();
        let mut slow = vec![0.0; n];
        for pattern in 0u32..1 << (n - 1) {
            let (mut log, mut start) = (0.0, 0);
            let mut run = None;
            for (t, value) in values.iter().enumerate() {
                let is_new = t > 0 && pattern & (1 << (t - 1)) != 0;
                if t > 0 {
                    log += if is_new {
                        prior.hazard.ln()
                    } else {
                        (1.0 - prior.hazard).ln()
                    };
                }
                if is_new || run.is_none() {
                    start = t;
                    run = Some(Run {
                        start,
                        log_mass: 0.0,
                        mean: 0.0,
                        kappa: prior.kappa,
                        alpha: prior.alpha,
                        beta: prior.beta,
                    });
                }
                let current = run.unwrap();
                log += current.log_predictive(*value);
                run = Some(current.updated(*value));
            }
            slow[start] += log.exp();
        }
        let total: f64 = slow.iter().sum();
        for run in runs {
            assert!((run.log_mass.exp() - slow[run.start] / total).abs() < 1e-6);
        }
    }
}
