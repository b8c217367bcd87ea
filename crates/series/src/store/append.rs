//! Writing: judge every sample, log what is accepted, then put it into memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_model::Labels;
use bellwether_model::series::{AppendReport, RefSample, SampleSink, SeriesRef, SinkError, Value};

use super::{Counters, Store, lock};
use crate::disk::sync_folder;
use crate::head::Table;
use crate::head::series::{Series, SeriesData, Verdict};
use crate::options::Durability;

/// A sample that is going to be stored.
struct Accepted<'a> {
    series: &'a Series,
    sample: &'a RefSample,
    late: bool,
}

/// What judging a batch gave.
#[derive(Default)]
struct Judged<'a> {
    accepted: Vec<Accepted<'a>>,
    report: AppendReport,
    oldest: i64,
    newest: i64,
}

/// Bytes of names and values that one series may have. Whoever ingests sets far lower limits; this one keeps a log record
/// within what a reader believes.
const LABEL_BYTES_MAX: usize = 1 << 20;
/// Buckets that one histogram may have, likewise.
const BUCKETS_MAX: usize = 1 << 16;

fn too_large(what: &'static str) -> SinkError {
    SinkError::Io(std::io::Error::new(std::io::ErrorKind::InvalidInput, what))
}

fn has_too_many_buckets(value: &Value) -> bool {
    let Value::Histogram(sample) = value else {
        return false;
    };
    [
        sample.positive_buckets.len(),
        sample.negative_buckets.len(),
        sample.positive_spans.len(),
        sample.negative_spans.len(),
        sample
            .custom_values
            .as_ref()
            .map_or(0, |bounds| bounds.len()),
    ]
    .iter()
    .any(|count| *count > BUCKETS_MAX)
}

impl Store {
    /// Forces what was appended to stable storage. Call it about every second
    /// ([`Durability::interval`](crate::Durability::interval)).
    pub fn sync(&self) -> Result<(), SinkError> {
        let appends = lock(&self.log).appends;
        self.sync_to(appends)
    }

    /// Waits until append number `wanted` is on stable storage; threads that wait together share one sync.
    fn sync_to(&self, wanted: u64) -> Result<(), SinkError> {
        let mut synced = lock(&self.synced);
        if *synced >= wanted {
            return Ok(());
        }
        let (handle, appends) = {
            let log = lock(&self.log);
            (log.wal.handle().map_err(SinkError::Io)?, log.appends)
        };
        if let Some(file) = handle
            && let Err(error) = file.sync_data()
        {
            // What the kernel could not write is gone from its cache: nothing more may rely on this segment.
            lock(&self.log).wal.retire();
            return Err(SinkError::Io(error));
        }
        *synced = appends;
        Ok(())
    }

    fn judge<'a>(
        &self,
        table: &'a Table,
        samples: &[&'a RefSample],
        segment: u32,
        log: &mut super::Log,
    ) -> Judged<'a> {
        let mut judged = Judged {
            accepted: Vec::with_capacity(samples.len()),
            oldest: i64::MAX,
            newest: i64::MIN,
            ..Judged::default()
        };
        let min_valid = self.head.min_valid();
        for group in samples.chunk_by(|a, b| a.series == b.series) {
            let Some(series) = table.get(group[0].series) else {
                judged.report.unknown += group.len();
                continue;
            };
            let data = series.lock();
            let first = judged.accepted.len();
            for (index, sample) in group.iter().enumerate() {
                let (time, value) = (sample.timestamp, &sample.value);
                let verdict = if index == 0 {
                    data.judge(time, value, min_valid, self.window)
                } else {
                    self.judge_next(&data, &judged.accepted[first..], sample, min_valid)
                };
                match verdict {
                    Verdict::Append | Verdict::Insert => {
                        judged.oldest = judged.oldest.min(time);
                        judged.newest = judged.newest.max(time);
                        log.samples.sample(series.reference.0, time, value);
                        judged.accepted.push(Accepted {
                            series,
                            sample,
                            late: verdict == Verdict::Insert,
                        });
                    }
                    Verdict::Duplicate => judged.report.duplicate += 1,
                    Verdict::Conflict => judged.report.conflicting += 1,
                    Verdict::TooOld => judged.report.out_of_order += 1,
                }
            }
            if judged.accepted.len() > first && data.segment != segment {
                log.series.series(series.reference.0, &series.labels);
            }
        }
        judged.report.appended = judged.accepted.len();
        judged
    }

    /// Judges a further sample of a series in one batch, after those already accepted.
    fn judge_next(
        &self,
        data: &SeriesData,
        before: &[Accepted<'_>],
        sample: &RefSample,
        min_valid: i64,
    ) -> Verdict {
        let time = sample.timestamp;
        let newest = before.iter().map(|known| known.sample.timestamp).max();
        if newest.is_some_and(|newest| newest.saturating_sub(time) > self.window) {
            return Verdict::TooOld;
        }
        let twin = before.iter().find(|known| known.sample.timestamp == time);
        if let Some(twin) = twin {
            let same = crate::head::series::same_value(&twin.sample.value, &sample.value);
            return if same {
                Verdict::Duplicate
            } else {
                Verdict::Conflict
            };
        }
        match data.judge(time, &sample.value, min_valid, self.window) {
            Verdict::Append if newest.is_some_and(|newest| newest > time) => Verdict::Insert,
            verdict => verdict,
        }
    }

    fn store(&self, accepted: &[Accepted<'_>], segment: u32) {
        for group in accepted.chunk_by(|a, b| std::ptr::eq(a.series, b.series)) {
            let mut data = group[0].series.lock();
            data.segment = segment;
            for Accepted { sample, late, .. } in group {
                if *late {
                    data.insert(sample.timestamp, sample.value.clone());
                } else {
                    data.append(sample.timestamp, &sample.value, self.span);
                }
            }
        }
    }

    fn append_logged(&self, samples: &[&RefSample]) -> Result<(AppendReport, u64), SinkError> {
        let mut log = lock(&self.log);
        let log = &mut *log;
        let segment = log.wal.begin().map_err(SinkError::Io)?;
        log.series.clear();
        log.samples.clear();
        let table = self.head.table();
        let judged = self.judge(&table, samples, segment, log);
        if !judged.accepted.is_empty() {
            log.series.close();
            log.samples.close();
            let described = log.series.out.len();
            log.series.out.extend_from_slice(&log.samples.out);
            log.wal
                .write(&log.series.out, described, judged.newest)
                .map_err(SinkError::Io)?;
            self.store(&judged.accepted, segment);
            log.appends += 1;
            let counters = &self.counters;
            counters.oldest.fetch_min(judged.oldest, Ordering::SeqCst);
            counters.newest.fetch_max(judged.newest, Ordering::SeqCst);
        }
        Ok((judged.report, log.appends))
    }
}

impl SampleSink for Store {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, SinkError> {
        if labels.byte_len() > LABEL_BYTES_MAX {
            return Err(too_large("a series has more than 1 MiB of labels"));
        }
        match self.head.resolve(labels, self.options.max_series) {
            Ok(series) => Ok(series.reference),
            Err(error) => {
                Counters::add(&self.counters.refused, 1);
                Err(error)
            }
        }
    }

    fn append(&self, samples: &[RefSample]) -> Result<AppendReport, SinkError> {
        if samples.is_empty() {
            return Ok(AppendReport::default());
        }
        if samples
            .iter()
            .any(|sample| has_too_many_buckets(&sample.value))
        {
            return Err(too_large("a histogram has more than 65,536 buckets"));
        }
        let mut order: Vec<&RefSample> = samples.iter().collect();
        // All samples of one series are stored under one lock: a reader sees all of a batch's or none.
        if !samples
            .windows(2)
            .all(|pair| pair[0].series <= pair[1].series)
        {
            order.sort_by_key(|sample| sample.series);
        }
        let (report, appends) = self.append_logged(&order)?;
        if self.options.durability == Durability::EachAppend && report.appended > 0 {
            self.sync_to(appends)?;
        }
        Counters::add(&self.counters.appended, report.appended);
        Counters::add(&self.counters.out_of_order, report.out_of_order);
        Counters::add(&self.counters.duplicate, report.duplicate);
        Counters::add(&self.counters.conflicting, report.conflicting);
        Ok(report)
    }
}

/// Puts replayed samples into a series as they were accepted once.
pub(super) fn replay(
    series: &Arc<Series>,
    time: i64,
    value: Value,
    min_valid: i64,
    span: i64,
) -> bool {
    let mut data = series.lock();
    match data.judge(time, &value, min_valid, i64::MAX) {
        Verdict::Append => data.append(time, &value, span),
        Verdict::Insert => data.insert(time, value),
        Verdict::Duplicate | Verdict::Conflict | Verdict::TooOld => return false,
    }
    true
}

/// Makes a new folder durable.
pub(super) fn make_folder(path: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => Ok(()),
    }
}
