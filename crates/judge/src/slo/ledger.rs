//! Good and bad as counts, minute by minute: every window is the difference of two sums.
//!
//! Counts are whole numbers, and sums of them are exact in a float up to 2^53, so a window of 30 days costs as much as
//! one of 5 minutes and has no rounding. Ratios are formed last. Increments of counters are taken from sample to sample
//! (a smaller value is a reset, and counts whole), without extrapolation: each event is counted once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bellwether_model::Labels;
use bellwether_model::matcher::Matcher;
use bellwether_model::series::{SampleBuffer, Selection, SeriesSource, SourceError, is_stale};
use serde::Serialize;

use crate::slo::Slo;

/// Width of a bucket.
const BUCKET_MS: i64 = 60_000;

/// Counters behind an objective, when it names them plainly.
#[derive(Clone, Debug, PartialEq)]
pub struct Counters {
    /// Bad or good events.
    pub part: Vec<Matcher>,
    /// Whether `part` counts good ones.
    pub part_is_good: bool,
    /// All events.
    pub total: Vec<Matcher>,
}

/// Events of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Events {
    pub bad: f64,
    pub total: f64,
}

/// Counts of one objective over its window.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Number of the first bucket.
    first: i64,
    /// Sums up to and with each bucket, since the ledger began.
    sums: VecDeque<Events>,
    /// Sums before the first bucket.
    base: Events,
    /// Last value of each counter.
    last: BTreeMap<(bool, Labels), f64>,
    /// Samples up to this time are counted.
    counted_to: Option<i64>,
}

// === impl Events ===

impl Events {
    /// Share of bad events; `None` when there were none at all.
    pub fn ratio(self) -> Option<f64> {
        (self.total > 0.0).then(|| self.bad / self.total)
    }

    /// How many times faster than it may the budget of `slo` burns.
    pub fn burn(self, slo: &Slo) -> Option<f64> {
        self.ratio().map(|ratio| ratio / slo.budget())
    }

    /// Share of the budget that is left; below 0 when it is overspent.
    pub fn budget_left(self, slo: &Slo) -> Option<f64> {
        self.ratio().map(|ratio| 1.0 - ratio / slo.budget())
    }

    /// Lower end of Wilson's interval of the share of bad events, for a quantile `z` of the normal distribution.
    /// (E. B. Wilson, "Probable inference", 1927.)
    pub fn lower_bound(self, z: f64) -> Option<f64> {
        let (bad, total, square) = (self.bad, self.total, z * z);
        (total > 0.0).then(|| {
            let spread = (bad * (total - bad) / total).max(0.0) + square / 4.0;
            ((bad + square / 2.0 - z * spread.sqrt()) / (total + square)).max(0.0)
        })
    }

    fn minus(self, other: Self) -> Self {
        Self {
            bad: self.bad - other.bad,
            total: self.total - other.total,
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// Adds events at a time, milliseconds since 1970. A time before the last bucket counts in the last one.
    pub fn add(&mut self, time: i64, events: Events) {
        let bucket = time.div_euclid(BUCKET_MS);
        if self.sums.is_empty() {
            self.first = bucket;
            self.sums.push_back(self.base);
        }
        let newest = self.first + self.sums.len() as i64 - 1;
        let sum = *self.sums.back().expect("there is a bucket");
        for _ in newest..bucket {
            self.sums.push_back(sum);
        }
        let last = self.sums.back_mut().expect("there is a bucket");
        last.bad += events.bad;
        last.total += events.total;
    }

    /// Events of the whole minutes in the window that ends with the minute of `end`.
    pub fn over(&self, end: i64, window: Duration) -> Events {
        let last = end.div_euclid(BUCKET_MS);
        let minutes = (window.as_millis() as i64 / BUCKET_MS).max(1);
        self.sum_to(last).minus(self.sum_to(last - minutes))
    }

    fn sum_to(&self, bucket: i64) -> Events {
        let index = bucket - self.first;
        match self.sums.len() as i64 {
            0 => self.base,
            _ if index < 0 => self.base,
            len => self.sums[index.min(len - 1) as usize],
        }
    }

    /// Forgets minutes that no window up to `window` needs any more.
    pub fn trim(&mut self, end: i64, window: Duration) {
        let keep_from = end.div_euclid(BUCKET_MS) - window.as_millis() as i64 / BUCKET_MS;
        while self.first <= keep_from && self.sums.len() > 1 {
            self.base = self.sums.pop_front().expect("there are two");
            self.first += 1;
        }
    }

    /// Time up to which samples are counted.
    pub fn counted_to(&self) -> Option<i64> {
        self.counted_to
    }

    /// Counts all samples after the last call (at first: after `from`) up to `to`.
    pub fn advance(
        &mut self,
        counters: &Counters,
        source: &dyn SeriesSource,
        from: i64,
        to: i64,
    ) -> Result<(), SourceError> {
        let after = self.counted_to.unwrap_or(from);
        let mut minutes: BTreeMap<i64, Events> = BTreeMap::new();
        for (is_total, matchers) in [(false, &counters.part), (true, &counters.total)] {
            let set = source.select(&Selection {
                matchers: matchers.clone(),
                min: after.saturating_add(1),
                max: to,
            })?;
            let mut buffer = SampleBuffer::default();
            for index in 0..set.len() {
                set.read(index, &mut buffer)?;
                let key = (is_total, set.labels(index).clone());
                let mut last = self.last.get(&key).copied();
                for (time, value) in buffer.timestamps.iter().zip(&buffer.floats) {
                    if is_stale(*value) || value.is_nan() {
                        continue;
                    }
                    let grown = match last {
                        Some(before) if *value >= before => value - before,
                        Some(_) => *value,
                        None => 0.0,
                    };
                    last = Some(*value);
                    let events = minutes.entry(*time).or_default();
                    if is_total {
                        events.total += grown;
                        if counters.part_is_good {
                            events.bad += grown;
                        }
                    } else if counters.part_is_good {
                        events.bad -= grown;
                    } else {
                        events.bad += grown;
                    }
                }
                if let Some(value) = last {
                    self.last.insert(key, value);
                }
            }
        }
        for (time, events) in minutes {
            self.add(time, events);
        }
        self.counted_to = Some(to.max(after));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
