//! Where a target saturates.
//!
//! First a ladder of users (closed, 1, 2, 4, ...) until throughput no longer grows: the universal scalability law is
//! fitted to it. Then the highest rate is searched at which an open run is still good: its p99 is within the objective,
//! what is asked is answered, and hardly anything fails. The rate is raised by half until a run is bad, the gap is
//! halved, and the last good rate has to hold three times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::usl::{UslFit, UslPoint};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The p99 that is still good; by default five times that at a tenth of the highest throughput.
    pub objective: Option<Duration>,
    /// Rate that is not exceeded.
    pub rate_max: f64,
    pub users_max: usize,
}

/// One measurement that the search asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Probe {
    Users(usize),
    Rate(f64),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// The p99 that counted as good.
    pub objective_p99_ms: f64,
    /// The highest rate that held three times; none when not even the lowest did.
    pub rate: Option<f64>,
    /// The lowest rate that was bad; none when the limit on the rate was reached first.
    pub bad_from: Option<f64>,
    /// Highest throughput of the closed ladder.
    pub peak_throughput: f64,
    pub usl: Option<UslFit>,
    pub ladder: Vec<LadderStep>,
    pub steps: Vec<RateStep>,
    /// Measurements that were about the generator, not the target.
    pub invalid: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LadderStep {
    pub users: usize,
    pub throughput: f64,
    pub p99_ms: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RateStep {
    pub rate: f64,
    pub throughput: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub failed_share: f64,
    pub good: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

const GROWTH: f64 = 1.5;
const CONFIRMATIONS: usize = 3;
/// The search ends when good and bad are so close.
const PRECISION: f64 = 1.05;
/// Answered part of what was asked for that is still good.
const ANSWERED_MIN: f64 = 0.97;
const FAILED_MAX: f64 = 0.01;
/// Growth from step to step below which the ladder is at its end.
const LADDER_GAIN: f64 = 1.05;
const STEPS_MAX: usize = 40;

/// Searches; `measure` makes a run.
pub fn search<E>(
    search: Search,
    mut measure: impl FnMut(Probe) -> Result<Report, E>,
) -> Result<Knee, E> {
    let mut knee = Knee::default();
    ladder(&search, &mut knee, &mut measure)?;
    if knee.peak_throughput <= 0.0 {
        return Ok(knee);
    }
    let start = (knee.peak_throughput / 10.0).clamp(1.0, search.rate_max);
    let first = probe(start, &mut knee, &mut measure)?;
    knee.objective_p99_ms = match search.objective {
        Some(objective) => objective.as_secs_f64() * 1e3,
        None => first.p99_ms * 5.0,
    };
    let objective = knee.objective_p99_ms;
    knee.steps.clear();
    knee.steps.push(judged(first, objective));
    let mut good = knee.steps[0].good.then_some(start);
    let mut bad = (!knee.steps[0].good).then_some(start);
    while knee.steps.len() < STEPS_MAX {
        let next = match (good, bad) {
            (Some(good), None) if good >= search.rate_max * 0.999 => break,
            (Some(good), None) => (good * GROWTH).min(search.rate_max),
            (None, Some(bad)) if bad <= 1.0 => break,
            (None, Some(bad)) => (bad / 2.0).max(1.0),
            (Some(good), Some(bad)) if bad / good > PRECISION => (good * bad).sqrt(),
            (Some(rate), _) => {
                if confirmed(rate, objective, &mut knee, &mut measure)? {
                    break;
                }
                bad = Some(rate);
                good = knee.best_below(rate);
                continue;
            }
            (None, None) => break,
        };
        let step = judged(probe(next, &mut knee, &mut measure)?, objective);
        if step.good {
            good = Some(next);
        } else {
            bad = Some(next);
        }
        knee.steps.push(step);
    }
    knee.rate = good;
    knee.bad_from = bad;
    Ok(knee)
}

fn ladder<E>(
    search: &Search,
    knee: &mut Knee,
    measure: &mut impl FnMut(Probe) -> Result<Report, E>,
) -> Result<(), E> {
    let mut points = Vec::new();
    let (mut users, mut flat) = (1, 0);
    while users <= search.users_max && flat < 3 {
        let report = measure(Probe::Users(users))?;
        knee.invalid += u32::from(!report.valid);
        let throughputs: Vec<f64> = report
            .series
            .iter()
            .skip(1)
            .map(|slice| slice.answered as f64 / slice.length_s)
            .collect();
        if report.throughput_rps < knee.peak_throughput * LADDER_GAIN {
            flat += 1;
        } else {
            flat = 0;
        }
        knee.peak_throughput = knee.peak_throughput.max(report.throughput_rps);
        knee.ladder.push(LadderStep {
            users,
            throughput: report.throughput_rps,
            p99_ms: report.latency.p99_ms,
        });
        points.push(UslPoint {
            concurrency: users as f64,
            throughputs,
        });
        users *= 2;
    }
    knee.usl = UslFit::of(&points);
    Ok(())
}

fn probe<E>(
    rate: f64,
    knee: &mut Knee,
    measure: &mut impl FnMut(Probe) -> Result<Report, E>,
) -> Result<RateStep, E> {
    let report = measure(Probe::Rate(rate))?;
    knee.invalid += u32::from(!report.valid);
    let why = report.invalid.first().cloned().unwrap_or_default();
    Ok(RateStep {
        rate,
        throughput: report.throughput_rps,
        p50_ms: report.latency.p50_ms,
        p99_ms: report.latency.p99_ms,
        failed_share: report.failed as f64 / report.requests.max(1) as f64,
        good: false,
        why,
    })
}

fn judged(step: RateStep, objective: f64) -> RateStep {
    let why = if step.p99_ms > objective {
        format!("p99 of {:.1} ms", step.p99_ms)
    } else if step.throughput < step.rate * ANSWERED_MIN {
        format!("only {:.0} a second were answered", step.throughput)
    } else if step.failed_share > FAILED_MAX {
        format!("{:.1} % failed", step.failed_share * 100.0)
    } else {
        String::new()
    };
    RateStep {
        good: why.is_empty(),
        why,
        ..step
    }
}

/// Whether the rate holds again and again.
fn confirmed<E>(
    rate: f64,
    objective: f64,
    knee: &mut Knee,
    measure: &mut impl FnMut(Probe) -> Result<Report, E>,
) -> Result<bool, E> {
    for _ in 1..CONFIRMATIONS {
        let step = judged(probe(rate, knee, measure)?, objective);
        let good = step.good;
        knee.steps.push(step);
        if !good {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Knee {
    /// The highest rate below this one at which no run was bad.
    fn best_below(&self, rate: f64) -> Option<f64> {
        let bad = |other: f64| {
            self.steps
                .iter()
                .any(|step| step.rate == other && !step.good)
        };
        self.steps
            .iter()
            .map(|step| step.rate)
            .filter(|other| *other < rate && !bad(*other))
            .max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Slice;

    /// A server of so many requests a second whose latency grows like that of a queue (M/M/1).
    fn server(capacity: f64) -> impl FnMut(Probe) -> Result<Report, ()> {
        move |probe| {
            let (throughput, p99) = match probe {
                Probe::Users(users) => {
                    let n = users as f64;
                    let x = capacity * n / (n + 3.0);
                    (x, n / x * 1e3)
                }
                Probe::Rate(rate) => {
                    let load = (rate / capacity).min(0.999_9);
                    (rate.min(capacity), 4.6 / (capacity * (1.0 - load)) * 1e3)
                }
            };
            let mut report = Report {
                valid: true,
                requests: 1000,
                throughput_rps: throughput,
                series: vec![
                    Slice {
                        answered: throughput as u64,
                        length_s: 1.0,
                        ..Slice::default()
                    };
                    4
                ],
                ..Report::default()
            };
            report.latency.p99_ms = p99;
            Ok(report)
        }
    }

    #[test]
    fn the_knee_of_a_queue_is_found() {
        let settings = Search {
            objective: Some(Duration::from_millis(46)),
            rate_max: 1e6,
            users_max: 1024,
        };
        // p99 = 4.6 s / (1000 - rate) is 46 ms at 900.
        let knee = search(settings, server(1000.0)).unwrap();
        let rate = knee.rate.unwrap();
        assert!((850.0..=900.0).contains(&rate), "{rate}");
        assert!(knee.bad_from.unwrap() / rate <= PRECISION);
        let law = knee.usl.unwrap().law;
        // n / (n + 3) is the law with alpha 1/4 and no coherency cost.
        assert!(
            (law.alpha - 0.25).abs() < 0.01 && law.beta < 1e-4,
            "{law:?}"
        );
        let same = knee.steps.iter().filter(|step| step.rate == rate).count();
        assert_eq!(same, CONFIRMATIONS);
    }

    #[test]
    fn limits_end_the_search() {
        let settings = Search {
            objective: None,
            rate_max: 300.0,
            users_max: 64,
        };
        let knee = search(settings, server(1000.0)).unwrap();
        assert_eq!((knee.rate, knee.bad_from), (Some(300.0), None));
        let dead = search(settings, |_| Ok::<_, ()>(Report::default())).unwrap();
        assert_eq!(dead.rate, None);
    }
}
