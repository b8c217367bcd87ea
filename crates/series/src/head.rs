//! The newest hours, in memory: series, their growing chunks, and the index of their labels.

pub(crate) mod postings;
pub(crate) mod series;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bellwether_model::labels::Labels;
use bellwether_model::series::{SeriesRef, SinkError};

use postings::{LabelMap, Postings};
use series::Series;

/// Series and the index over their labels.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    lookup: LabelMap,
    pub(crate) postings: Postings,
    live: usize,
    pub(crate) created: u64,
    pub(crate) removed: u64,
}

/// A place for a series. References name the place and its generation, so that one to a dropped series is noticed.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    series: Option<Arc<Series>>,
}

/// The head of a store.
#[derive(Debug)]
pub(crate) struct Head {
    table: RwLock<Table>,
    /// Samples older than this are in blocks (or gone): the head takes and keeps none of them.
    min_valid: AtomicI64,
}

// === impl Head ===

impl Head {
    pub(crate) fn new(min_valid: i64) -> Self {
        Self {
            table: RwLock::default(),
            min_valid: AtomicI64::new(min_valid),
        }
    }

    pub(crate) fn min_valid(&self) -> i64 {
        self.min_valid.load(Ordering::SeqCst)
    }

    pub(crate) fn set_min_valid(&self, time: i64) {
        self.min_valid.store(time, Ordering::SeqCst);
    }

    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds or creates a series; creating fails when `limit` are there.
    pub(crate) fn resolve(&self, labels: &Labels, limit: usize) -> Result<Arc<Series>, SinkError> {
        if let Some(series) = self.table().find(labels) {
            return Ok(series);
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if let Some(series) = table.find(labels) {
            return Ok(series);
        }
        if table.live >= limit {
            return Err(SinkError::TooManySeries {
                limit,
                labels: labels.clone(),
            });
        }
        Ok(table.create(labels))
    }

    /// Every series, in order of their numbers.
    pub(crate) fn all(&self) -> Vec<Arc<Series>> {
        self.table().iter().cloned().collect()
    }

    /// Drops samples older than `time` and series that have none left; returns how many series went.
    pub(crate) fn truncate(&self, time: i64) -> usize {
        let mut empty = Vec::new();
        for series in self.all() {
            if series.truncate(time) {
                empty.push(series);
            }
        }
        if empty.is_empty() {
            return 0;
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        // Appends hold the table while they write, so what is still empty now has no sample in flight.
        empty.retain(|series| series.is_empty());
        table.remove(&empty);
        empty.len()
    }
}

// === impl Table ===

impl Table {
    fn find(&self, labels: &Labels) -> Option<Arc<Series>> {
        let slot = self.lookup.get(labels)?;
        self.slots.get(slot as usize)?.series.clone()
    }

    /// The series a reference names, if it is still there.
    #[inline]
    pub(crate) fn get(&self, reference: SeriesRef) -> Option<&Arc<Series>> {
        let slot = self.slots.get(reference.0 as u32 as usize)?;
        if u64::from(slot.generation) != reference.0 >> 32 {
            return None;
        }
        slot.series.as_ref()
    }

    /// The series with a number of the index.
    pub(crate) fn by_number(&self, number: u32) -> Option<&Arc<Series>> {
        self.slots.get(number as usize)?.series.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.slots.iter().filter_map(|slot| slot.series.as_ref())
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    fn create(&mut self, labels: &Labels) -> Arc<Series> {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let labels = self.postings.add(number, labels);
        let slot = &mut self.slots[number as usize];
        let reference = SeriesRef(u64::from(slot.generation) << 32 | u64::from(number));
        let series = Arc::new(Series::new(reference, labels.clone()));
        slot.series = Some(Arc::clone(&series));
        self.lookup.insert(labels, number);
        self.live += 1;
        self.created += 1;
        series
    }

    fn remove(&mut self, gone: &[Arc<Series>]) {
        let mut numbers = BTreeSet::new();
        for series in gone {
            let number = series.reference.0 as u32;
            let slot = &mut self.slots[number as usize];
            slot.series = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.lookup.remove(&series.labels);
            self.free.push(number);
            numbers.insert(number);
            self.live -= 1;
            self.removed += 1;
        }
        self.postings
            .remove(&numbers, gone.iter().map(|series| &series.labels));
    }
}
