//! When requests are due.
//!
//! Times are nanoseconds from the start of the run. Each thread takes its share of the arrivals: every n-th of a
//! regular sequence, an own Poisson process of the n-th part of the rate.

use std::sync::Arc;
use std::time::Duration;

use bellwether_stats::random::Random;

/// How arrivals follow each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrival {
    /// One every `1 / rate` seconds.
    Constant { rate: f64 },
    /// Independent arrivals, `rate` in a second on average: the gaps are exponentially distributed.
    Poisson { rate: f64 },
    /// A rate that goes evenly from one value to another over the run.
    Ramp { from: f64, to: f64, over: Duration },
    /// The given times, one request of the scenario each, in order.
    Replay { times: Arc<[u64]> },
}

impl Arrival {
    /// The highest rate in a second.
    pub fn peak(&self) -> f64 {
        match self {
            Self::Constant { rate } | Self::Poisson { rate } => *rate,
            Self::Ramp { from, to, .. } => from.max(*to),
            Self::Replay { times } => replay_peak(times),
        }
    }

    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant { .. } => "constant",
            Self::Poisson { .. } => "poisson",
            Self::Ramp { .. } => "ramp",
            Self::Replay { .. } => "replay",
        }
    }

    /// The arrivals of one of `parts` threads.
    pub fn share(&self, part: usize, parts: usize, seed: u64) -> Arrivals {
        Arrivals {
            arrival: self.clone(),
            part,
            parts,
            next: 0,
            clock: 0.0,
            random: Random::new(
                seed ^ (part as u64)
                    .wrapping_add(1)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ),
        }
    }
}

/// Most arrivals in any one second.
fn replay_peak(times: &[u64]) -> f64 {
    const SECOND: u64 = 1_000_000_000;
    let mut first = 0;
    let mut peak = 0;
    for (last, time) in times.iter().enumerate() {
        while time - times.get(first).copied().unwrap_or(*time) >= SECOND {
            first += 1;
        }
        peak = peak.max(last + 1 - first);
    }
    peak as f64
}

/// One thread's arrivals, in order: when, and the how manieth of the whole run (exact for a replay).
#[derive(Debug)]
pub struct Arrivals {
    arrival: Arrival,
    part: usize,
    parts: usize,
    next: u64,
    clock: f64,
    random: Random,
}

impl Iterator for Arrivals {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next * self.parts as u64 + self.part as u64;
        self.next += 1;
        let seconds = match &self.arrival {
            Arrival::Constant { rate } => number as f64 / rate,
            Arrival::Poisson { rate } => {
                self.clock += self.random.exponential() * self.parts as f64 / rate;
                self.clock
            }
            Arrival::Ramp { from, to, over } => ramp_time(*from, *to, *over, number as f64)?,
            Arrival::Replay { times } => {
                let time = times.get(usize::try_from(number).ok()?)?;
                return Some((*time, number));
            }
        };
        Some(((seconds * 1e9) as u64, number))
    }
}

/// When the n-th arrival is due: where the integral of the rate is n. After the ramp the last rate is held.
fn ramp_time(from: f64, to: f64, over: Duration, n: f64) -> Option<f64> {
    let over = over.as_secs_f64();
    let all = from.midpoint(to) * over;
    if n >= all {
        return (to > 0.0).then(|| over + (n - all) / to);
    }
    let slope = (to - from) / over;
    if slope.abs() < 1e-12 {
        return Some(n / from);
    }
    // from*t + slope*t^2/2 = n, in the form that does not cancel.
    let root = (from * from + 2.0 * slope * n).max(0.0).sqrt();
    Some(2.0 * n / (from + root))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrival: &Arrival, parts: usize, until: u64) -> Vec<u64> {
        let mut all: Vec<u64> = (0..parts)
            .flat_map(|part| {
                arrival
                    .share(part, parts, 7)
                    .map(|(time, _)| time)
                    .take_while(move |time| *time < until)
            })
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn constant_arrivals_are_the_same_over_any_number_of_threads() {
        let arrival = Arrival::Constant { rate: 500.0 };
        let one = times(&arrival, 1, 2_000_000_000);
        assert_eq!(one.len(), 1000);
        assert_eq!(one[..3], [0, 2_000_000, 4_000_000]);
        assert_eq!(one, times(&arrival, 3, 2_000_000_000));
    }

    #[test]
    fn poisson_gaps_have_mean_and_deviation_of_an_exponential() {
        let arrival = Arrival::Poisson { rate: 1000.0 };
        let all = times(&arrival, 2, 100_000_000_000);
        let gaps: Vec<f64> = all.windows(2).map(|w| (w[1] - w[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() - 1.0).abs() < 0.03, "{variance}");
        assert_eq!(all, times(&arrival, 2, 100_000_000_000));
    }

    #[test]
    fn a_ramp_has_as_many_arrivals_as_its_mean_rate() {
        let ramp = |from, to| Arrival::Ramp {
            from,
            to,
            over: Duration::from_secs(10),
        };
        let up = times(&ramp(0.0, 200.0), 2, 10_000_000_000);
        assert!((999..=1001).contains(&up.len()), "{}", up.len());
        // A quarter of them in the first half.
        let early = up.iter().filter(|time| **time < 5_000_000_000).count();
        assert!((249..=251).contains(&early), "{early}");
        let down = times(&ramp(200.0, 0.0), 1, 100_000_000_000);
        assert!((999..=1001).contains(&down.len()), "{}", down.len());
        assert_eq!(ramp(3.0, 9.0).peak(), 9.0);
    }

    #[test]
    fn a_replay_keeps_its_times() {
        let replay = Arrival::Replay {
            times: [0, 5, 5, 1_200_000_000].into(),
        };
        assert_eq!(times(&replay, 3, u64::MAX), [0, 5, 5, 1_200_000_000]);
        assert_eq!(replay.peak(), 3.0);
    }
}
