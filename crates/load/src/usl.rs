//! The universal scalability law: how throughput grows with concurrency.
//!
//! X(N) = λN / (1 + α(N-1) + βN(N-1)): λ is what one alone gets through, α the share that must queue (contention), β
//! the cost of agreeing with each other (coherency), which makes throughput fall again after N* = √((1-α)/β).
//!
//! Source: N. Gunther, *Guerrilla Capacity Planning* (2007), chapters 4 to 6. Fitted by least squares on X
//! (Levenberg-Marquardt) with α and β not below 0; the start is the linear fit of N/X.

use bellwether_stats::random::Random;
use serde::{Deserialize, Serialize};

/// The law with its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usl {
    pub lambda: f64,
    pub alpha: f64,
    pub beta: f64,
}

/// A fit with 95 % intervals of what it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UslFit {
    pub law: Usl,
    pub alpha_interval: [f64; 2],
    pub beta_interval: [f64; 2],
    /// Concurrency of the highest throughput; none when the law has no maximum.
    pub peak_concurrency: Option<f64>,
    /// The highest throughput that the law allows: at its maximum, or the limit λ/α; none when it grows for ever.
    pub peak_throughput: Option<f64>,
    pub peak_interval: Option<[f64; 2]>,
    /// Share of the variance that the law explains.
    pub r_squared: f64,
}

/// Measurements at one concurrency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UslPoint {
    pub concurrency: f64,
    /// Throughput of each second, or other slice of time.
    pub throughputs: Vec<f64>,
}

const RESAMPLES: usize = 1000;

impl Usl {
    pub fn throughput(&self, n: f64) -> f64 {
        self.lambda * n / (1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0))
    }

    /// Where throughput is highest.
    pub fn peak_concurrency(&self) -> Option<f64> {
        (self.beta > 1e-9 && self.alpha < 1.0).then(|| ((1.0 - self.alpha) / self.beta).sqrt())
    }

    pub fn peak_throughput(&self) -> Option<f64> {
        match self.peak_concurrency() {
            Some(n) => Some(self.throughput(n.max(1.0))),
            None => (self.alpha > 1e-9).then(|| self.lambda / self.alpha),
        }
    }

    /// The fit to `(concurrency, throughput)`; `None` for fewer than three different concurrencies.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let usable: Vec<(f64, f64)> = points
            .iter()
            .copied()
            .filter(|(n, x)| *n > 0.0 && *x > 0.0 && n.is_finite() && x.is_finite())
            .collect();
        let mut different: Vec<f64> = usable.iter().map(|(n, _)| *n).collect();
        different.sort_by(f64::total_cmp);
        different.dedup();
        if different.len() < 3 {
            return None;
        }
        let start = linear(&usable);
        Some(refine(&usable, start))
    }

    fn squares(&self, points: &[(f64, f64)]) -> f64 {
        points
            .iter()
            .map(|(n, x)| (x - self.throughput(*n)).powi(2))
            .sum()
    }
}

/// N/X = (1 + α(N-1) + βN(N-1))/λ is linear in its three coefficients.
fn linear(points: &[(f64, f64)]) -> Usl {
    let (mut matrix, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
    for (n, x) in points {
        let row = [1.0, n - 1.0, n * (n - 1.0)];
        for i in 0..3 {
            right[i] += row[i] * n / x;
            for j in 0..3 {
                matrix[i][j] += row[i] * row[j];
            }
        }
    }
    let fallback = points.iter().map(|(n, x)| x / n).fold(0.0, f64::max);
    match solve(matrix, right) {
        Some([a, b, c]) if a > 0.0 => Usl {
            lambda: 1.0 / a,
            alpha: (b / a).max(0.0),
            beta: (c / a).max(0.0),
        },
        _ => Usl {
            lambda: fallback,
            alpha: 0.01,
            beta: 0.0,
        },
    }
}

/// Levenberg-Marquardt with the bounds kept by projection.
fn refine(points: &[(f64, f64)], start: Usl) -> Usl {
    let mut law = start;
    let mut best = law.squares(points);
    let mut damping = 1e-3;
    for _ in 0..200 {
        let (mut matrix, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
        for (n, x) in points {
            let under = 1.0 + law.alpha * (n - 1.0) + law.beta * n * (n - 1.0);
            let value = law.lambda * n / under;
            let slope = [
                n / under,
                -value * (n - 1.0) / under,
                -value * n * (n - 1.0) / under,
            ];
            for i in 0..3 {
                right[i] += slope[i] * (x - value);
                for j in 0..3 {
                    matrix[i][j] += slope[i] * slope[j];
                }
            }
        }
        for (i, row) in matrix.iter_mut().enumerate() {
            row[i] *= 1.0 + damping;
        }
        let Some([a, b, c]) = solve(matrix, right) else {
            break;
        };
        let next = Usl {
            lambda: (law.lambda + a).max(1e-12),
            alpha: (law.alpha + b).max(0.0),
            beta: (law.beta + c).max(0.0),
        };
        let squares = next.squares(points);
        if squares < best {
            let gain = (best - squares) / best.max(1e-300);
            (law, best) = (next, squares);
            damping = (damping / 3.0).max(1e-12);
            if gain < 1e-12 {
                break;
            }
        } else {
            damping *= 4.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    law
}

/// Cramer's rule; `None` for a singular matrix.
fn solve(m: [[f64; 3]; 3], r: [f64; 3]) -> Option<[f64; 3]> {
    let det = |m: [[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let all = det(m);
    if all == 0.0 || !all.is_finite() {
        return None;
    }
    let mut found = [0.0; 3];
    for (column, value) in found.iter_mut().enumerate() {
        let mut with = m;
        for row in 0..3 {
            with[row][column] = r[row];
        }
        *value = det(with) / all;
    }
    Some(found)
}

impl UslFit {
    /// The law of some measurements. Intervals by bootstrap: slices of time are drawn anew at each concurrency, 1,000
    /// times, with a fixed seed. `None` for fewer than three concurrencies.
    pub fn of(points: &[UslPoint]) -> Option<Self> {
        let means: Vec<(f64, f64)> = points
            .iter()
            .map(|point| (point.concurrency, mean(&point.throughputs)))
            .collect();
        let law = Usl::fit(&means)?;
        let mut random = Random::new(7);
        let mut drawn: Vec<Usl> = Vec::with_capacity(RESAMPLES);
        for _ in 0..RESAMPLES {
            let sample: Vec<(f64, f64)> = points
                .iter()
                .filter(|point| !point.throughputs.is_empty())
                .map(|point| {
                    let n = point.throughputs.len();
                    let sum: f64 = (0..n).map(|_| point.throughputs[random.below(n)]).sum();
                    (point.concurrency, sum / n as f64)
                })
                .collect();
            drawn.extend(Usl::fit(&sample));
        }
        let interval = |value: &dyn Fn(&Usl) -> Option<f64>| -> Option<[f64; 2]> {
            let mut values: Vec<f64> = drawn.iter().filter_map(value).collect();
            // An interval of something that often does not exist would say too much.
            if values.len() * 20 < drawn.len() * 19 || values.is_empty() {
                return None;
            }
            values.sort_by(f64::total_cmp);
            let at = |q: f64| values[((values.len() - 1) as f64 * q).round() as usize];
            Some([at(0.025), at(0.975)])
        };
        let all = mean(&means.iter().map(|(_, x)| *x).collect::<Vec<_>>());
        let spread: f64 = means.iter().map(|(_, x)| (x - all).powi(2)).sum();
        Some(Self {
            law,
            alpha_interval: interval(&|law| Some(law.alpha)).unwrap_or_default(),
            beta_interval: interval(&|law| Some(law.beta)).unwrap_or_default(),
            peak_concurrency: law.peak_concurrency(),
            peak_throughput: law.peak_throughput(),
            peak_interval: interval(&Usl::peak_throughput),
            r_squared: 1.0 - law.squares(&means) / spread.max(1e-300),
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC SDM91 on a Sun 4, from the vignette of R's package `usl`, which fits sigma 0.0277 and kappa 0.000104.
    const SDM91: [(f64, f64); 7] = [
        (1.0, 64.9),
        (18.0, 995.9),
        (36.0, 1652.4),
        (72.0, 1853.2),
        (108.0, 1828.9),
        (144.0, 1775.0),
        (216.0, 1702.2),
    ];

    #[test]
    fn the_published_fit_is_reproduced() {
        let law = Usl::fit(&SDM91).unwrap();
        assert!((law.alpha - 0.0277).abs() < 0.001, "{law:?}");
        assert!((law.beta - 0.000_104).abs() < 0.000_005, "{law:?}");
        assert!((law.lambda - 90.0).abs() < 1.0, "{law:?}");
        let peak = law.peak_concurrency().unwrap();
        assert!((peak - 96.5).abs() < 1.5, "{peak}");
    }

    #[test]
    fn exact_data_gives_back_its_law() {
        let truth = Usl {
            lambda: 1000.0,
            alpha: 0.05,
            beta: 0.002,
        };
        let points: Vec<UslPoint> = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
            .map(|n| UslPoint {
                concurrency: n,
                throughputs: [0.99, 1.0, 1.01]
                    .map(|noise| truth.throughput(n) * noise)
                    .into(),
            })
            .into();
        let fit = UslFit::of(&points).unwrap();
        assert!((fit.law.alpha - 0.05).abs() < 1e-6 && (fit.law.beta - 0.002).abs() < 1e-6);
        assert!(fit.alpha_interval[0] < 0.05 && fit.alpha_interval[1] > 0.05);
        let [low, high] = fit.peak_interval.unwrap();
        let peak = truth.peak_throughput().unwrap();
        assert!(low < peak && peak < high && high / low < 1.05);
        assert!(fit.r_squared > 0.999_9);
    }

    #[test]
    fn too_little_is_no_fit() {
        assert_eq!(Usl::fit(&[(1.0, 10.0), (2.0, 19.0), (2.0, 18.0)]), None);
        assert!(UslFit::of(&[]).is_none());
        // A line has no peak, and nothing to say about one.
        let line = Usl::fit(&[(1.0, 10.0), (2.0, 20.0), (4.0, 40.0)]).unwrap();
        assert!(
            line.peak_throughput().is_none_or(|peak| peak > 1e6),
            "{line:?}"
        );
    }
}
