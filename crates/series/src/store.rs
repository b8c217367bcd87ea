//! The store: one folder, shared by every thread that writes and reads.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use bellwether_model::series::{
    AppendReport, MemorySeries, RefSample, SampleSink, Selection, SeriesRef, SeriesSet,
    SeriesSource, SinkError, SourceError,
};
use bellwether_model::{Labels, Matcher};
use jiff::Timestamp;

use crate::options::Options;
use crate::report::{
    Cardinality, MaintainReport, OpenError, OpenReport, SnapshotError, Stats, VerifyReport,
};

/// The embedded store. Share it with an `Arc`; every method takes `&self`.
pub struct Store {
    inner: RwLock<(Vec<Labels>, MemorySeries)>,
}

impl Store {
    /// Opens (or creates) the store in `dir` and replays its log. Damage does not stop it: it is in the report.
    pub fn open(_dir: &Path, _options: Options) -> Result<(Self, OpenReport), OpenError> {
        let inner = RwLock::default();
        Ok((Self { inner }, OpenReport::default()))
    }

    /// Forces what was appended to stable storage. Call it about every second ([`crate::Durability::interval`]).
    pub fn sync(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Writes full spans of the head to blocks, merges blocks, deletes what is past retention, puts damaged blocks
    /// aside. Call it every half minute or so from a thread that may block; appends and reads go on meanwhile.
    pub fn maintain(&self, _now: Timestamp) -> MaintainReport {
        MaintainReport::default()
    }

    /// Figures about the store now.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Who makes the series: the `top` largest of each kind.
    pub fn cardinality(&self, _top: usize) -> Cardinality {
        Cardinality::default()
    }

    /// Reads every block and checks every checksum.
    pub fn verify(&self) -> VerifyReport {
        VerifyReport::default()
    }

    /// Writes a copy of the store as it is now into the empty or missing folder `to`; it opens as a store.
    pub fn snapshot(&self, _to: &Path) -> Result<(), SnapshotError> {
        Ok(())
    }
}

impl SampleSink for Store {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, SinkError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let position = inner.0.iter().position(|known| known == labels);
        let index = position.unwrap_or_else(|| {
            inner.0.push(labels.clone());
            inner.0.len() - 1
        });
        Ok(SeriesRef(index as u64))
    }

    fn append(&self, samples: &[RefSample]) -> Result<AppendReport, SinkError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let mut report = AppendReport::default();
        for sample in samples {
            match inner.0.get(sample.series.0 as usize).cloned() {
                None => report.unknown += 1,
                Some(labels) => {
                    inner
                        .1
                        .push(&labels, sample.timestamp, sample.value.clone());
                    report.appended += 1;
                }
            }
        }
        Ok(report)
    }
}

struct Snapshot(Vec<(Labels, bellwether_model::series::SampleBuffer)>);

impl SeriesSet for Snapshot {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn labels(&self, index: usize) -> &Labels {
        &self.0[index].0
    }
    fn read(
        &self,
        index: usize,
        buffer: &mut bellwether_model::series::SampleBuffer,
    ) -> Result<(), SourceError> {
        buffer.clone_from(&self.0[index].1);
        Ok(())
    }
}

impl SeriesSource for Store {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let set = inner.1.select(selection)?;
        let mut out = Vec::new();
        for index in 0..set.len() {
            let mut buffer = bellwether_model::series::SampleBuffer::default();
            set.read(index, &mut buffer)?;
            out.push((set.labels(index).clone(), buffer));
        }
        Ok(Box::new(Snapshot(out)))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.1.label_names(selectors, min, max)
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.1.label_values(name, selectors, min, max)
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.1.series(selectors, min, max)
    }
}
