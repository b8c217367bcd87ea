//! How often the gate errs on *your* series: shuffled and injected-shift trials.

use bellwether_stats::binomial::clopper_pearson;
use bellwether_stats::changepoint::{Settings, change_points};
use bellwether_stats::quantile::median;
use bellwether_stats::random::Random;
use bellwether_stats::{Better, Interval};
use serde::{Deserialize, Serialize};

use crate::samples::digits;

/// The error rate of the gate on one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Points of the series, and trials of each kind.
    pub points: usize,
    pub trials: usize,
    /// Share of shuffled trials in which a worsening was reported, with its interval at 95 %.
    pub false_alarms: f64,
    pub false_alarms_interval: Interval,
    /// Of each injected size (0.05 is 5 % worse), the share of trials in which it was found.
    pub power: Vec<(f64, f64)>,
    /// The smallest of these sizes that was found in nine trials of ten.
    pub finds: Option<(f64, f64)>,
}

/// Sizes that are injected.
pub const SIZES: [f64; 10] = [0.01, 0.02, 0.03, 0.05, 0.07, 0.10, 0.15, 0.20, 0.30, 0.50];
/// A size counts as found when this share of the trials finds it.
const FOUND: f64 = 0.9;
/// How near the injected place a change must be reported.
const NEAR: usize = 5;

/// Calibrates the detector on a series.
///
/// What is not noise is taken out first: each segment between change points keeps its scatter relative to its own median.
/// A shuffled trial draws blocks of neighbours of `n^(1/3)` points, so memory stays; an injected one then makes everything
/// from a random place in the middle half on worse by the size. `None` for fewer than 12 points.
pub fn calibrate(
    values: &[f64],
    settings: Settings,
    better: Better,
    trials: usize,
    seed: u64,
) -> Option<Calibration> {
    let n = values.len();
    if n < bellwether_stats::changepoint::LENGTH_MIN
        || values.iter().any(|value| !value.is_finite())
    {
        return None;
    }
    let noise = noise_of(values);
    let mut random = Random::new(seed);
    let is_worse = |effect: f64| match better {
        Better::Lower => effect > 0.0,
        Better::Higher => effect < 0.0,
    };
    let alarms = (0..trials)
        .filter(|_| {
            let series = shuffled(&noise, &mut random);
            change_points(&series, settings)
                .iter()
                .any(|point| is_worse(point.effect_percent))
        })
        .count();
    let mut power = Vec::new();
    for size in SIZES {
        if size < settings.floor {
            continue;
        }
        let factor = match better {
            Better::Lower => 1.0 + size,
            Better::Higher => 1.0 - size,
        };
        let found = (0..trials)
            .filter(|_| {
                let mut series = shuffled(&noise, &mut random);
                let at = n / 4 + random.below(n.div_ceil(2));
                for value in &mut series[at..] {
                    *value *= factor;
                }
                // A size at the floor itself is measured around it: what is asked is whether the change is seen.
                let settings = Settings {
                    floor: settings.floor.min(size / 2.0),
                    ..settings
                };
                change_points(&series, settings).iter().any(|point| {
                    is_worse(point.effect_percent) && point.at.abs_diff(at) <= NEAR.max(n / 10)
                })
            })
            .count();
        power.push((size, found as f64 / trials as f64));
        if found == trials {
            break;
        }
    }
    Some(Calibration {
        points: n,
        trials,
        false_alarms: alarms as f64 / trials as f64,
        false_alarms_interval: clopper_pearson(alarms as u64, trials as u64, 0.95),
        finds: power.iter().copied().find(|(_, share)| *share >= FOUND),
        power,
    })
}

/// Each value relative to the median of its segment, around the median of the last one.
fn noise_of(values: &[f64]) -> Vec<f64> {
    let mut edges = vec![0];
    edges.extend(
        change_points(values, Settings::default())
            .iter()
            .map(|point| point.at),
    );
    edges.push(values.len());
    let level = edges
        .iter()
        .rev()
        .nth(1)
        .and_then(|from| median(&values[*from..]))
        .unwrap_or(0.0);
    edges
        .windows(2)
        .flat_map(|edge| {
            let segment = &values[edge[0]..edge[1]];
            let middle = median(segment).unwrap_or(0.0);
            segment.iter().map(move |value| {
                if middle > 0.0 && level > 0.0 {
                    value / middle * level
                } else {
                    value - middle + level
                }
            })
        })
        .collect()
}

fn shuffled(values: &[f64], random: &mut Random) -> Vec<f64> {
    let n = values.len();
    let block = (n as f64).cbrt().ceil() as usize;
    let mut series = Vec::with_capacity(n + block);
    while series.len() < n {
        let from = random.below(n - block + 1);
        series.extend_from_slice(&values[from..from + block]);
    }
    series.truncate(n);
    series
}

impl Calibration {
    /// The error rate in one line: `1.2 % false alarms, finds 5 % in 94 %`.
    pub fn line(&self) -> String {
        let alarms = format!(
            "{} % false alarms",
            digits((self.false_alarms * 1000.0).round() / 10.0)
        );
        match (self.finds, self.power.last()) {
            (Some((size, share)), _) => format!(
                "{alarms}, finds {} % in {:.0} %",
                digits(size * 100.0),
                share * 100.0
            ),
            (None, Some((size, share))) => {
                format!(
                    "{alarms}, too noisy: finds {} % only in {:.0} %",
                    digits(size * 100.0),
                    share * 100.0
                )
            }
            (None, None) => alarms,
        }
    }
}

#[cfg(test)]
mod tests;
