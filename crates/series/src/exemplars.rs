//! The newest exemplars, in memory: a ring of fixed size, as Prometheus keeps them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bellwether_model::series::Exemplar;
use bellwether_model::{Labels, Matcher};

/// Characters that the labels of one exemplar may have together, as OpenMetrics says.
const LABEL_CHARS_MAX: usize = 128;

/// The newest exemplars of all series. Share it with an `Arc`.
#[derive(Debug)]
pub struct Exemplars {
    capacity: usize,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<(Labels, Exemplar)>,
    /// How many of a series are in the ring, and its newest.
    series: BTreeMap<Labels, (usize, Exemplar)>,
}

/// What became of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Yes,
    /// The newest of the series is the same.
    Duplicate,
    /// Older than the newest of its series.
    OutOfOrder,
    /// Its labels are too long.
    TooLong,
}

impl Exemplars {
    /// Room for `capacity` exemplars; 0 keeps none.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ring: Mutex::default(),
        }
    }

    /// Keeps an exemplar of a series; the oldest of all makes room.
    pub fn add(&self, series: &Labels, exemplar: Exemplar) -> Kept {
        let chars = |text: &str| text.chars().count();
        let length: usize = exemplar
            .labels
            .iter()
            .map(|label| chars(&label.name) + chars(&label.value))
            .sum();
        if length > LABEL_CHARS_MAX {
            return Kept::TooLong;
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, newest)) = ring.series.get(series) {
            if *newest == exemplar {
                return Kept::Duplicate;
            }
            if newest.timestamp > exemplar.timestamp {
                return Kept::OutOfOrder;
            }
        }
        if self.capacity == 0 {
            return Kept::Yes;
        }
        while ring.entries.len() >= self.capacity {
            ring.drop_oldest();
        }
        let known = ring.series.entry(series.clone());
        let (count, newest) = known.or_insert_with(|| (0, exemplar.clone()));
        *count += 1;
        newest.clone_from(&exemplar);
        ring.entries.push_back((series.clone(), exemplar));
        Kept::Yes
    }

    /// Exemplars of series that match any of `selectors`, within a time range (milliseconds, both inclusive), by series
    /// and time.
    pub fn select(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: BTreeMap<&Labels, Vec<Exemplar>> = BTreeMap::new();
        for series in ring.series.keys() {
            let matches = |all: &Vec<Matcher>| all.iter().all(|m| m.matches_labels(series));
            if selectors.iter().any(matches) {
                found.insert(series, Vec::new());
            }
        }
        for (series, exemplar) in &ring.entries {
            if (min..=max).contains(&exemplar.timestamp)
                && let Some(all) = found.get_mut(series)
            {
                all.push(exemplar.clone());
            }
        }
        let found = found.into_iter().filter(|(_, all)| !all.is_empty());
        found.map(|(series, all)| (series.clone(), all)).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Ring {
    fn drop_oldest(&mut self) {
        let Some((series, _)) = self.entries.pop_front() else {
            return;
        };
        if let Some((count, _)) = self.series.get_mut(&series) {
            *count -= 1;
            if *count == 0 {
                self.series.remove(&series);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(trace: &str, timestamp: i64) -> Exemplar {
        Exemplar {
            labels: Labels::new([("trace_id", trace)]),
            value: 1.0,
            timestamp,
        }
    }

    #[test]
    fn the_newest_stay_and_are_found_by_series_and_time() {
        let exemplars = Exemplars::new(3);
        let (a, b) = (Labels::new([("job", "a")]), Labels::new([("job", "b")]));
        assert_eq!(exemplars.add(&a, exemplar("1", 10)), Kept::Yes);
        assert_eq!(exemplars.add(&a, exemplar("1", 10)), Kept::Duplicate);
        assert_eq!(exemplars.add(&a, exemplar("0", 5)), Kept::OutOfOrder);
        assert_eq!(
            exemplars.add(&a, exemplar(&"x".repeat(200), 11)),
            Kept::TooLong
        );
        for time in [20, 30] {
            assert_eq!(exemplars.add(&b, exemplar("2", time)), Kept::Yes);
        }
        let all = [
            vec![Matcher::equal("job", "a")],
            vec![Matcher::equal("job", "b")],
        ];
        assert_eq!(exemplars.select(&all, 0, 100).len(), 2);
        assert_eq!(exemplars.add(&b, exemplar("3", 40)), Kept::Yes);
        // The first made room, and its series is forgotten with it.
        let found = exemplars.select(&all, 25, 40);
        assert_eq!(found, [(b, vec![exemplar("2", 30), exemplar("3", 40)])]);
        assert_eq!(exemplars.len(), 3);
    }
}
