//! How samples are written and read: the traits between observe, the stores and the query engine.
//!
//! Times are milliseconds since 1970 (`i64`), as Prometheus has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::Matcher;

/// Bits of the NaN that marks a series as stale.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether a value is the staleness marker (an ordinary NaN is not).
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// A sample's value.
#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// Handle of a series inside one sink, for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u64);

/// One sample for a resolved series.
#[derive(Clone, Debug)]
pub struct RefSample {
    pub series: SeriesRef,
    pub timestamp: i64,
    pub value: Value,
}

/// What became of an appended batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendReport {
    pub appended: usize,
    /// Older than the out-of-order window allows.
    pub out_of_order: usize,
    /// Same time, same value: counted, not stored, no error.
    pub duplicate: usize,
    /// Same time, other value: the first stays.
    pub conflicting: usize,
    /// The reference is not known (its series was collected): resolve the labels again.
    pub unknown: usize,
}

/// Why samples could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("series limit of {limit} reached: refused {labels}")]
    TooManySeries { limit: usize, labels: Labels },
    #[error("write samples")]
    Io(#[source] std::io::Error),
    #[error("the store is closed")]
    Closed,
}

/// Where samples go.
pub trait SampleSink: Send + Sync {
    /// Finds or creates the series with these labels.
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, SinkError>;
    /// Appends samples; when it returns, they are in the write-ahead log as the sink's durability setting says.
    fn append(&self, samples: &[RefSample]) -> Result<AppendReport, SinkError>;
}

/// What to read.
#[derive(Clone, Debug)]
pub struct Selection {
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// First millisecond wanted, inclusive.
    pub min: i64,
    /// Last millisecond wanted, inclusive.
    pub max: i64,
}

/// Why samples could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the query selects more than {limit} series")]
    TooManySeries { limit: usize },
    #[error("read samples: {0}")]
    Io(String),
    #[error("query was cancelled: {0}")]
    Cancelled(String),
}

/// Samples of one series in columns, reused from series to series.
///
/// `floats` and `histograms` are each in time order; a series normally has one kind only. Stale markers are floats.
#[derive(Clone, Debug, Default)]
pub struct SampleBuffer {
    pub timestamps: Vec<i64>,
    pub floats: Vec<f64>,
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

/// The series a selection found, sorted by labels. Decoding happens in [`SeriesSet::read`], once per series.
pub trait SeriesSet: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Labels of series `index`.
    fn labels(&self, index: usize) -> &Labels;
    /// Clears `buffer` and fills it with the samples of series `index` in the selection's range.
    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError>;
}

/// A sample with labels that lead to more about it, such as a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub labels: Labels,
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// What is known about a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metadata {
    /// `counter`, `gauge`, `histogram`, `gaugehistogram`, `summary`, `info`, `stateset` or `unknown`.
    pub kind: String,
    pub help: String,
    pub unit: String,
}

/// Where samples come from: the embedded store, a folder of blocks, another server.
pub trait SeriesSource: Send + Sync {
    /// Finds the series of a selection.
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError>;
    /// Label names in use, sorted, among series that match any of `selectors` (all series if empty) within the range.
    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError>;
    /// Values of one label, sorted, likewise.
    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError>;
    /// Label sets of the series that match any of `selectors`, sorted, likewise.
    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError>;
}

// === impl SampleBuffer ===

impl SampleBuffer {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.floats.clear();
        self.histograms.clear();
    }

    /// Adds one sample; the caller adds them in time order.
    pub fn push(&mut self, timestamp: i64, value: Value) {
        match value {
            Value::Float(value) => {
                self.timestamps.push(timestamp);
                self.floats.push(value);
            }
            Value::Histogram(histogram) => self.histograms.push((timestamp, histogram)),
        }
    }
}

/// A source held in memory, for tests, test scripts and overlays. Simple, not fast.
#[derive(Clone, Debug, Default)]
pub struct MemorySeries(BTreeMap<Labels, Vec<(i64, Value)>>);

struct MemorySet<'a> {
    found: Vec<(&'a Labels, &'a [(i64, Value)])>,
}

// === impl MemorySeries ===

impl MemorySeries {
    /// Adds a sample, keeping time order; a sample at the same time replaces the one there.
    pub fn push(&mut self, labels: &Labels, timestamp: i64, value: Value) {
        let samples = self.0.entry(labels.clone()).or_default();
        match samples.binary_search_by_key(&timestamp, |sample| sample.0) {
            Ok(index) => samples[index].1 = value,
            Err(index) => samples.insert(index, (timestamp, value)),
        }
    }

    /// Adds a sample that is newer than all of its series, as a store does. Returns whether it was.
    pub fn append(&mut self, labels: &Labels, timestamp: i64, value: Value) -> bool {
        let samples = match self.0.get_mut(labels) {
            Some(samples) => samples,
            None => self.0.entry(labels.clone()).or_default(),
        };
        let newer = samples.last().is_none_or(|(last, _)| *last < timestamp);
        if newer {
            samples.push((timestamp, value));
        }
        newer
    }

    /// The newest sample of a series.
    pub fn last(&self, labels: &Labels) -> Option<&(i64, Value)> {
        self.0.get(labels)?.last()
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops samples before a time, and series that have none left.
    pub fn drop_before(&mut self, min: i64) {
        self.0.retain(|_, samples| {
            let old = samples.partition_point(|(t, _)| *t < min);
            samples.drain(..old);
            !samples.is_empty()
        });
    }

    fn matching(&self, selectors: &[Vec<Matcher>], min: i64, max: i64) -> Vec<&Labels> {
        self.0
            .iter()
            .filter(|(_, samples)| samples.iter().any(|(t, _)| (min..=max).contains(t)))
            .map(|(labels, _)| labels)
            .filter(|labels| {
                selectors.is_empty()
                    || selectors
                        .iter()
                        .any(|all| all.iter().all(|m| m.matches_labels(labels)))
            })
            .collect()
    }
}

impl SeriesSource for MemorySeries {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let found = self
            .0
            .iter()
            .filter(|(labels, _)| selection.matchers.iter().all(|m| m.matches_labels(labels)))
            .filter_map(|(labels, samples)| {
                let from = samples.partition_point(|(t, _)| *t < selection.min);
                let to = samples.partition_point(|(t, _)| *t <= selection.max);
                (from < to).then(|| (labels, &samples[from..to]))
            })
            .collect();
        Ok(Box::new(MemorySet { found }))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let names: std::collections::BTreeSet<String> = self
            .matching(selectors, min, max)
            .into_iter()
            .flat_map(|labels| labels.iter().map(|label| label.name.to_string()))
            .collect();
        Ok(names.into_iter().collect())
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let values: std::collections::BTreeSet<String> = self
            .matching(selectors, min, max)
            .into_iter()
            .map(|labels| labels.get(name).to_owned())
            .filter(|value| !value.is_empty())
            .collect();
        Ok(values.into_iter().collect())
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        Ok(self
            .matching(selectors, min, max)
            .into_iter()
            .cloned()
            .collect())
    }
}

impl SeriesSet for MemorySet<'_> {
    fn len(&self) -> usize {
        self.found.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        self.found[index].0
    }

    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError> {
        buffer.clear();
        for (timestamp, value) in self.found[index].1 {
            buffer.push(*timestamp, value.clone());
        }
        Ok(())
    }
}
