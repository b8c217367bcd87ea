//! From a body to stored samples: parsing, label conflicts, relabelling, limits, staleness.
//!
//! Entry point: [`Ingest`], one per target. Invariants: a body is stored whole or not at all, and nothing is asked of
//! the sink before the whole body was read; a line whose series is known costs one look-up; whatever was stored and
//! is not there any more gets a staleness marker.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{
    Metadata, RefSample, SampleSink, SeriesRef, SinkError, Value, stale_nan,
};
use bellwether_model::{Labels, LabelsBuilder};

use crate::config::{Limits, SAMPLES_MAX_DEFAULT};
use crate::exposition::{
    Entry, Fact, Format, Parser, Sample, Series, decode_series, unescape_help,
};
use crate::relabel::{self, Relabel, is_valid_metric_name};

/// Metric families of one target whose metadata is kept.
const METADATA_MAX: usize = 20_000;
/// Bytes of a help text that are kept.
const HELP_BYTES_MAX: usize = 2_000;

/// How the samples of a target are treated.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Labels that every series of the target gets.
    pub target: Labels,
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    pub legacy_names: bool,
    pub limits: Limits,
    pub metric_relabel: Vec<Relabel>,
}

/// What one scrape brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub scraped: usize,
    pub post_relabel: usize,
    pub added: usize,
}

/// What is reported about a scrape beside its samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub up: bool,
    pub duration_seconds: f64,
    pub counts: Counts,
    /// `scrape_timeout_seconds`, `scrape_sample_limit`, `scrape_body_size_bytes`, when asked for.
    pub extra: Option<(f64, f64, f64)>,
}

/// Why a body was not stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("{0}")]
    Parse(#[from] crate::exposition::ParseError),
    #[error("line {line}: {reason}")]
    Series { line: usize, reason: String },
    #[error("sample limit exceeded: more than {limit} samples")]
    SampleLimit { limit: usize },
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Sink(#[from] SinkError),
}

/// A series of the target, by its text in the body.
struct Known {
    text: Arc<[u8]>,
    state: State,
    /// Last scrape that had it.
    seen: u64,
    /// Stored by the last good scrape and to be marked stale when it goes.
    live: bool,
}

/// Index of a known series, time, value.
type Point = (usize, i64, f64);

enum State {
    /// Relabelling drops it.
    Dropped,
    Unresolved(Labels),
    /// The labels are in the sink; should it forget them, they are made from the text again.
    Resolved(SeriesRef),
}

#[expect(
    clippy::disallowed_types,
    reason = "one look-up per scraped line is the hot path of scraping; never iterated"
)]
type Index = std::collections::HashMap<Arc<[u8]>, usize>;

/// The memory of one target between scrapes.
pub struct Ingest {
    sink: Arc<dyn SampleSink>,
    rules: Arc<Rules>,
    index: Index,
    known: Vec<Known>,
    /// Which known series is likely the next: exporters keep their order, and a comparison is cheaper than a look-up.
    next: usize,
    /// Stored under rules that have changed since; stale unless the next scrape has them again.
    orphans: Vec<SeriesRef>,
    scrape: u64,
    metadata: BTreeMap<String, Metadata>,
    reported: Vec<(String, Option<SeriesRef>)>,
}

const REPORT_NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

// === impl Ingest ===

impl Ingest {
    /// A target that was never scraped.
    pub fn new(sink: Arc<dyn SampleSink>, rules: Arc<Rules>) -> Self {
        Self {
            sink,
            rules,
            index: Index::new(),
            known: Vec::new(),
            next: 0,
            orphans: Vec::new(),
            scrape: 0,
            metadata: BTreeMap::new(),
            reported: Vec::new(),
        }
    }

    /// Goes on under other rules: what was stored under the old ones and does not come again is marked stale.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        if *rules == *self.rules {
            return;
        }
        self.orphans.extend(self.live_refs());
        self.orphans
            .extend(self.reported.drain(..).filter_map(|(_, series)| series));
        self.index.clear();
        self.known.clear();
        self.rules = rules;
    }

    /// What the target says about its metrics.
    pub fn metadata(&self) -> &BTreeMap<String, Metadata> {
        &self.metadata
    }

    fn live_refs(&self) -> Vec<SeriesRef> {
        self.known
            .iter()
            .filter_map(|known| match known.state {
                State::Resolved(series) if known.live => Some(series),
                _ => None,
            })
            .collect()
    }

    /// Stores a body that was scraped at `at` (milliseconds). On an error nothing of it is stored and all that was
    /// there before is marked stale.
    pub fn store(&mut self, body: &[u8], format: Format, at: i64) -> Result<Counts, IngestError> {
        self.scrape += 1;
        let result = self
            .read(body, format, at)
            .and_then(|(points, mut counts)| {
                counts.added = self.write(&points)?;
                Ok(counts)
            });
        if result.is_ok() {
            self.sweep(at);
        } else {
            self.fail(at);
        }
        result
    }

    /// Reads the whole body: which known series has which value. Asks nothing of the sink.
    fn read(
        &mut self,
        body: &[u8],
        format: Format,
        at: i64,
    ) -> Result<(Vec<Point>, Counts), IngestError> {
        let limit = match self.rules.limits.samples {
            0 => SAMPLES_MAX_DEFAULT,
            limit => limit,
        };
        // A body with far too many samples is refused before any of it is taken apart.
        if self.rules.metric_relabel.is_empty() && has_more_samples(body, limit) {
            return Err(IngestError::SampleLimit { limit });
        }
        let mut counts = Counts::default();
        let mut points = Vec::with_capacity(self.known.len());
        self.next = 0;
        for entry in Parser::new(body, format) {
            let sample = match entry? {
                Entry::Sample(sample) => sample,
                Entry::Metadata { fact, name, text } => {
                    self.note(fact, &name, &text);
                    continue;
                }
            };
            counts.scraped += 1;
            let index = self.look_up(&sample)?;
            let known = &mut self.known[index];
            known.seen = self.scrape;
            if matches!(known.state, State::Dropped) {
                // Dropped series cost memory too.
                if counts.scraped > limit.max(SAMPLES_MAX_DEFAULT) {
                    return Err(IngestError::SampleLimit {
                        limit: limit.max(SAMPLES_MAX_DEFAULT),
                    });
                }
                continue;
            }
            counts.post_relabel += 1;
            if counts.post_relabel > limit {
                return Err(IngestError::SampleLimit { limit });
            }
            let own_time = sample.timestamp.filter(|_| self.rules.honor_timestamps);
            known.live |= own_time.is_none() || self.rules.track_timestamps_staleness;
            points.push((index, own_time.unwrap_or(at), sample.value));
        }
        Ok((points, counts))
    }

    #[inline]
    fn look_up(&mut self, sample: &Sample<'_>) -> Result<usize, IngestError> {
        let guess = self.next;
        if self
            .known
            .get(guess)
            .is_some_and(|known| *known.text == *sample.series)
        {
            self.next += 1;
            return Ok(guess);
        }
        let index = match self.index.get(sample.series) {
            Some(index) => *index,
            None => self.learn(sample)?,
        };
        self.next = index + 1;
        Ok(index)
    }

    /// Takes up a series that was not there before.
    #[cold]
    fn learn(&mut self, sample: &Sample<'_>) -> Result<usize, IngestError> {
        let fail = |reason| IngestError::Series {
            line: sample.line,
            reason,
        };
        let state = match self.rules.labels(sample.series).map_err(fail)? {
            None => State::Dropped,
            Some(labels) => {
                if !is_valid_metric_name(labels.metric_name(), self.rules.legacy_names) {
                    return Err(fail(format!(
                        "invalid metric name {:?} after relabelling",
                        labels.metric_name()
                    )));
                }
                self.rules.check_limits(&labels)?;
                State::Unresolved(labels)
            }
        };
        let text: Arc<[u8]> = sample.series.into();
        let index = self.known.len();
        self.known.push(Known {
            text: Arc::clone(&text),
            state,
            seen: self.scrape,
            live: false,
        });
        self.index.insert(text, index);
        Ok(index)
    }

    fn note(&mut self, fact: Fact, name: &str, text: &str) {
        if !self.metadata.contains_key(name) {
            if self.metadata.len() >= METADATA_MAX {
                return;
            }
            let unknown = Metadata {
                kind: "unknown".to_owned(),
                ..Metadata::default()
            };
            self.metadata.insert(name.to_owned(), unknown);
        }
        let Some(entry) = self.metadata.get_mut(name) else {
            return;
        };
        let unescaped;
        let (field, text) = match fact {
            Fact::Type => (&mut entry.kind, text),
            Fact::Unit => (&mut entry.unit, text),
            Fact::Help => {
                unescaped =
                    unescape_help(&text[..text.floor_char_boundary(HELP_BYTES_MAX)]).into_owned();
                (&mut entry.help, unescaped.as_str())
            }
        };
        if field != text {
            text.clone_into(field);
        }
    }

    /// Resolves and appends. Gives the number of series that are new to this target.
    fn write(&mut self, points: &[Point]) -> Result<usize, IngestError> {
        let added = self.resolve()?;
        let samples = |known: &[Known]| -> Vec<RefSample> {
            points
                .iter()
                .filter_map(|(index, timestamp, value)| match known[*index].state {
                    State::Resolved(series) => Some(RefSample {
                        series,
                        timestamp: *timestamp,
                        value: Value::Float(*value),
                    }),
                    _ => None,
                })
                .collect()
        };
        let report = self.sink.append(&samples(&self.known))?;
        if report.unknown > 0 {
            // The sink has forgotten some: ask again for all and append once more; what is there counts as duplicate.
            for known in &mut self.known {
                if let State::Resolved(_) = known.state
                    && let Ok(Some(labels)) = self.rules.labels(&known.text)
                {
                    known.state = State::Unresolved(labels);
                }
            }
            self.resolve()?;
            self.sink.append(&samples(&self.known))?;
        }
        Ok(added)
    }

    fn resolve(&mut self) -> Result<usize, SinkError> {
        let mut added = 0;
        for known in &mut self.known {
            if let State::Unresolved(labels) = &known.state {
                let series = self.sink.resolve(labels)?;
                known.state = State::Resolved(series);
                added += 1;
            }
        }
        Ok(added)
    }

    /// After a good scrape: marks what is gone as stale and forgets it.
    fn sweep(&mut self, at: i64) {
        let mut stale = std::mem::take(&mut self.orphans);
        let (scrape, mut gone) = (self.scrape, false);
        for known in self.known.iter().filter(|known| known.seen != scrape) {
            gone = true;
            if let State::Resolved(series) = known.state
                && known.live
            {
                stale.push(series);
            }
        }
        if gone {
            self.forget(|known| known.seen == scrape);
        }
        if !stale.is_empty() {
            let mut live = self.live_refs();
            live.sort_unstable();
            stale.retain(|series| live.binary_search(series).is_err());
            self.mark_stale(&stale, at);
        }
    }

    fn forget(&mut self, keep: impl Fn(&Known) -> bool) {
        self.known.retain(keep);
        self.index.clear();
        for (index, known) in self.known.iter().enumerate() {
            self.index.insert(Arc::clone(&known.text), index);
        }
        if self.known.capacity() > 1024 && self.known.capacity() > self.known.len() * 4 {
            self.known.shrink_to_fit();
            self.index.shrink_to_fit();
        }
    }

    /// A scrape failed: everything the target had is stale.
    pub fn fail(&mut self, at: i64) {
        let mut stale = std::mem::take(&mut self.orphans);
        let scrape = self.scrape;
        // What the failed body alone had was never stored.
        self.forget(|known| known.seen < scrape || matches!(known.state, State::Resolved(..)));
        stale.extend(self.live_refs());
        for known in &mut self.known {
            known.live = false;
        }
        self.mark_stale(&stale, at);
    }

    fn mark_stale(&self, series: &[SeriesRef], at: i64) {
        if series.is_empty() {
            return;
        }
        let samples: Vec<RefSample> = series
            .iter()
            .map(|series| RefSample {
                series: *series,
                timestamp: at,
                value: Value::Float(stale_nan()),
            })
            .collect();
        if let Err(error) = self.sink.append(&samples) {
            tracing::warn!(%error, series = samples.len(), "staleness markers were not stored");
        }
    }

    /// Stores `up` and the `scrape_*` series.
    pub fn report(&mut self, report: &Report, at: i64) -> Result<(), SinkError> {
        let Counts {
            scraped,
            post_relabel,
            added,
        } = report.counts;
        let (timeout, sample_limit, body) = report.extra.unwrap_or_default();
        let values = [
            f64::from(u8::from(report.up)),
            report.duration_seconds,
            scraped as f64,
            post_relabel as f64,
            added as f64,
            timeout,
            sample_limit,
            body,
        ];
        let wanted = if report.extra.is_some() {
            REPORT_NAMES.len()
        } else {
            5
        };
        for _attempt in 0..2 {
            let mut samples = Vec::with_capacity(wanted);
            for (index, value) in values.iter().take(wanted).enumerate() {
                let series = self.report_series(index)?;
                samples.push(RefSample {
                    series,
                    timestamp: at,
                    value: Value::Float(*value),
                });
            }
            if self.sink.append(&samples)?.unknown == 0 {
                break;
            }
            self.reported.clear();
        }
        Ok(())
    }

    fn report_series(&mut self, index: usize) -> Result<SeriesRef, SinkError> {
        while self.reported.len() <= index {
            self.reported
                .push((REPORT_NAMES[self.reported.len()].to_owned(), None));
        }
        if let Some(series) = self.reported[index].1 {
            return Ok(series);
        }
        let labels = self.rules.target.with(METRIC_NAME, REPORT_NAMES[index]);
        let series = self.sink.resolve(&labels)?;
        self.reported[index].1 = Some(series);
        Ok(series)
    }

    /// The target is gone: everything of it is stale.
    pub fn end(&mut self, at: i64) {
        let mut stale = std::mem::take(&mut self.orphans);
        stale.extend(self.live_refs());
        stale.extend(self.reported.drain(..).filter_map(|(_, series)| series));
        self.known.clear();
        self.index.clear();
        self.mark_stale(&stale, at);
    }
}

/// Whether more than `limit` lines look like samples.
fn has_more_samples(body: &[u8], limit: usize) -> bool {
    let lines = memchr::memchr_iter(b'\n', body).count();
    lines > limit
        && body
            .split(|byte| *byte == b'\n')
            .filter(|line| {
                line.iter()
                    .find(|byte| !byte.is_ascii_whitespace())
                    .is_some_and(|byte| *byte != b'#')
            })
            .nth(limit)
            .is_some()
}

// === impl Rules ===

impl Rules {
    /// Labels that the series with this text gets; `None` when relabelling drops it.
    fn labels(&self, text: &[u8]) -> Result<Option<Labels>, String> {
        let series = decode_series(text)?;
        Ok(relabel::apply(&self.metric_relabel, &self.join(&series)))
    }

    /// Joins a series' labels with the target's. When both have a name: with `honor_labels` the series' stays, else
    /// the target's wins and the series' is kept as `exported_<name>`.
    fn join(&self, series: &Series<'_>) -> Labels {
        let mut builder = LabelsBuilder::default();
        builder.set(METRIC_NAME, &series.name);
        for (name, value) in &series.labels {
            builder.set(name, value);
        }
        let mut conflicts: Vec<(String, String)> = Vec::new();
        for label in &self.target {
            if self.honor_labels {
                // A label that is there and empty counts: it says that the series shall not have it.
                if !series.labels.iter().any(|(name, _)| **name == *label.name) {
                    builder.set(&label.name, &label.value);
                }
                continue;
            }
            let own = builder.get(&label.name);
            if !own.is_empty() {
                conflicts.push((label.name.to_string(), own.to_owned()));
            }
            builder.set(&label.name, &label.value);
        }
        conflicts.sort_by_key(|(name, _)| name.len());
        for (name, value) in conflicts {
            let mut exported = format!("exported_{name}");
            while !builder.get(&exported).is_empty() {
                exported = format!("exported_{exported}");
            }
            builder.set(&exported, &value);
        }
        builder.build()
    }

    fn check_limits(&self, labels: &Labels) -> Result<(), IngestError> {
        let Limits {
            labels: count_max,
            label_name_length,
            label_value_length,
            ..
        } = self.limits;
        let metric: String = labels.metric_name().chars().take(50).collect();
        if count_max > 0 && labels.len() > count_max {
            return Err(IngestError::Limit(format!(
                "label_limit exceeded (metric: {metric}, number of labels: {}, limit: {count_max})",
                labels.len()
            )));
        }
        for label in labels {
            for (what, length, max) in [
                (
                    "label_name_length_limit",
                    label.name.len(),
                    label_name_length,
                ),
                (
                    "label_value_length_limit",
                    label.value.len(),
                    label_value_length,
                ),
            ] {
                if max > 0 && length > max {
                    let name: String = label.name.chars().take(50).collect();
                    return Err(IngestError::Limit(format!(
                        "{what} exceeded (metric: {metric}, label: {name}, length: {length}, limit: {max})"
                    )));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
