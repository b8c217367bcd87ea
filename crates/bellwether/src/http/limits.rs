//! How many requests one caller may send: a bucket of permits each, filled at a steady rate.
//!
//! A stranger gets few, so that guessing and flooding are slow; a person at a browser never meets the limit; a machine
//! with a token may send alerts by the thousand. This machine itself, over loopback, is not limited: who is on it
//! can do worse.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Callers that are remembered; more of them share one bucket.
const CALLERS_MAX: usize = 4_096;

/// Who is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// Nobody we know, by address (IPv6: by network).
    Stranger(IpAddr),
    /// Somebody with a session.
    Person(String),
    /// A program with an API token.
    Machine(String),
    /// Whoever comes when too many are remembered.
    Rest,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    permits: f64,
    at: Duration,
}

/// The buckets.
#[derive(Debug, Default)]
pub struct Limits {
    buckets: BTreeMap<Caller, Bucket>,
}

// === impl Caller ===

impl Caller {
    /// A stranger; addresses of one IPv6 network (/64) are one.
    pub fn stranger(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Stranger(address.into()),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                Self::Stranger(IpAddr::V6(network.into()))
            }
        }
    }

    /// Permits per second, and how many can be saved up.
    fn rate(&self) -> (f64, f64) {
        match self {
            Self::Stranger(_) | Self::Rest => (20.0, 100.0),
            Self::Person(_) => (100.0, 500.0),
            Self::Machine(_) => (10_000.0, 20_000.0),
        }
    }
}

// === impl Limits ===

impl Limits {
    /// Takes a permit at a monotonic time; an error says how long to wait for the next.
    pub fn take(&mut self, caller: Caller, now: Duration) -> Result<(), Duration> {
        let known = self.buckets.contains_key(&caller);
        if !known && self.buckets.len() >= CALLERS_MAX {
            self.forget_full(now);
        }
        let caller = if known || self.buckets.len() < CALLERS_MAX {
            caller
        } else {
            Caller::Rest
        };
        let (rate, most) = caller.rate();
        let bucket = self.buckets.entry(caller).or_insert(Bucket {
            permits: most,
            at: now,
        });
        let passed = now.saturating_sub(bucket.at).as_secs_f64();
        bucket.permits = (bucket.permits + passed * rate).min(most);
        bucket.at = now;
        if bucket.permits >= 1.0 {
            bucket.permits -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - bucket.permits) / rate))
        }
    }

    /// A full bucket is as good as none.
    fn forget_full(&mut self, now: Duration) {
        self.buckets.retain(|caller, bucket| {
            let (rate, most) = caller.rate();
            let passed = now.saturating_sub(bucket.at).as_secs_f64();
            bucket.permits + passed * rate < most
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(last: u8) -> Caller {
        Caller::stranger(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_flood_is_slowed_and_others_are_not() {
        let mut limits = Limits::default();
        let taken = (0..1_000)
            .filter(|_| limits.take(stranger(1), Duration::ZERO).is_ok())
            .count();
        assert_eq!(taken, 100);
        assert!(limits.take(stranger(2), Duration::ZERO).is_ok());
        let wait = limits.take(stranger(1), Duration::ZERO).unwrap_err();
        assert_eq!(wait, Duration::from_millis(50));
        assert!(limits.take(stranger(1), wait).is_ok());
    }

    #[test]
    fn any_number_of_callers_takes_bounded_memory() {
        let mut limits = Limits::default();
        for index in 0..10_000_u32 {
            let caller = Caller::stranger(IpAddr::from(index.to_be_bytes()));
            let _ = limits.take(caller, Duration::ZERO);
        }
        assert!(limits.buckets.len() <= CALLERS_MAX + 1);
        let later = Duration::from_mins(1);
        assert!(limits.take(stranger(1), later).is_ok());
        assert!(limits.buckets.len() < 10);
    }

    #[test]
    fn a_network_of_ipv6_is_one_stranger() {
        let of = |text: &str| Caller::stranger(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), stranger(1));
    }
}
