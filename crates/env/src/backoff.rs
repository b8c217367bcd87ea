//! Growing pauses between attempts.

use std::time::Duration;

/// Exponential backoff with a ceiling and full determinism: jitter comes from the caller's number.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// Pause before attempt `attempt` (1 = the first repeat): doubles each time, then up to a quarter is taken off by
    /// `jitter` so that many waiters spread out.
    pub fn pause(&self, attempt: u32, jitter: u64) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1_u32 << attempt.saturating_sub(1).min(20));
        let pause = doubled.min(self.max);
        pause.mul_f64(1.0 - (jitter % 1_000) as f64 / 4_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(10),
        };
        let pauses: Vec<u64> = (1..=6)
            .map(|attempt| backoff.pause(attempt, 0).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        assert_eq!(
            backoff.pause(5, 999),
            Duration::from_secs(10).mul_f64(1.0 - 999.0 / 4000.0)
        );
    }
}
