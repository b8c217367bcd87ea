//! One series in the head: finished chunks, the growing one, and late samples.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_model::histogram::Histogram;
use bellwether_model::labels::Labels;
use bellwether_model::series::{SampleBuffer, SeriesRef, Value};

use crate::codec::histogram::{self, Encoder};
use crate::codec::xor::{self, XorChunk};

/// Samples at which a growing chunk is finished.
const CHUNK_SAMPLES: usize = 240;

/// One series. Appends are serial (the store's append lock); the mutex is for readers beside them.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) reference: SeriesRef,
    pub(crate) labels: Labels,
    data: Mutex<SeriesData>,
}

/// The samples of a series.
#[derive(Debug)]
pub(crate) struct SeriesData {
    /// Log segment that describes this series; zero if none does.
    pub(crate) segment: u32,
    /// Newest sample ever appended.
    newest: i64,
    /// Whether it was created since the last truncation: its first sample may still be on the way.
    fresh: bool,
    sealed: Vec<Sealed>,
    open: Open,
    /// Samples that came late, by time.
    late: Vec<(i64, Value)>,
}

#[derive(Debug)]
enum Open {
    None,
    Floats(XorChunk),
    Histograms(Box<OpenHistograms>),
}

#[derive(Debug)]
struct OpenHistograms {
    encoder: Encoder,
    count: usize,
    first_time: i64,
    last_time: i64,
    last: Arc<Histogram>,
}

#[derive(Debug)]
struct Sealed {
    min: i64,
    max: i64,
    count: u16,
    histograms: bool,
    bytes: Box<[u8]>,
}

/// What is to become of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is late and still welcome.
    Insert,
    Duplicate,
    Conflict,
    TooOld,
}

/// Figures of one series.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeriesFigures {
    pub(crate) samples: u64,
    pub(crate) chunks: usize,
    pub(crate) bytes: u64,
    pub(crate) time: Option<(i64, i64)>,
}

pub(crate) fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Histogram(a), Value::Histogram(b)) => histogram::same(a, b),
        _ => false,
    }
}

// === impl Series ===

impl Series {
    pub(crate) fn new(reference: SeriesRef, labels: Labels) -> Self {
        Self {
            reference,
            labels,
            data: Mutex::new(SeriesData {
                segment: 0,
                newest: i64::MIN,
                fresh: true,
                sealed: Vec::new(),
                open: Open::None,
                late: Vec::new(),
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SeriesData> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops chunks whose samples are all older than `time`; says whether the series can go.
    pub(crate) fn truncate(&self, time: i64) -> bool {
        let mut data = self.lock();
        data.truncate(time);
        let idle = data.is_empty() && !data.fresh;
        data.fresh = false;
        idle
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

// === impl SeriesData ===

impl SeriesData {
    fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.late.is_empty() && matches!(self.open, Open::None)
    }

    /// Judges a sample against what is there; `window` is how late it may be.
    #[inline]
    pub(crate) fn judge(&self, time: i64, value: &Value, min_valid: i64, window: i64) -> Verdict {
        if time < min_valid {
            return Verdict::TooOld;
        }
        if time > self.newest {
            return Verdict::Append;
        }
        self.judge_late(time, value, window)
    }

    #[cold]
    fn judge_late(&self, time: i64, value: &Value, window: i64) -> Verdict {
        let known = if time == self.newest {
            self.last_value()
        } else if self.newest.saturating_sub(time) > window {
            return Verdict::TooOld;
        } else {
            self.value_at(time)
        };
        match known {
            Some(known) if same_value(&known, value) => Verdict::Duplicate,
            Some(_) => Verdict::Conflict,
            None => Verdict::Insert,
        }
    }

    fn last_value(&self) -> Option<Value> {
        match &self.open {
            Open::Floats(chunk) => Some(Value::Float(chunk.last_value())),
            Open::Histograms(open) => Some(Value::Histogram(Arc::clone(&open.last))),
            Open::None => self.value_at(self.newest),
        }
    }

    fn value_at(&self, time: i64) -> Option<Value> {
        let mut buffer = SampleBuffer::default();
        self.read(time, time, &mut buffer);
        let float = buffer.floats.first().copied().map(Value::Float);
        float.or_else(|| {
            let (_, sample) = buffer.histograms.pop()?;
            Some(Value::Histogram(sample))
        })
    }

    /// Adds a sample judged [`Verdict::Append`].
    #[inline]
    pub(crate) fn append(&mut self, time: i64, value: &Value, span: i64) {
        self.newest = time;
        match (&mut self.open, value) {
            (Open::Floats(chunk), Value::Float(value))
                if chunk.count() < CHUNK_SAMPLES
                    && chunk.first_time().div_euclid(span) == time.div_euclid(span) =>
            {
                chunk.push(time, *value);
            }
            (Open::Histograms(open), Value::Histogram(sample))
                if open.count < CHUNK_SAMPLES
                    && open.first_time.div_euclid(span) == time.div_euclid(span) =>
            {
                open.encoder.push(time, sample);
                open.count += 1;
                open.last_time = time;
                open.last = Arc::clone(sample);
            }
            _ => self.open_chunk(time, value),
        }
    }

    /// Adds a sample judged [`Verdict::Insert`].
    pub(crate) fn insert(&mut self, time: i64, value: Value) {
        let position = self.late.partition_point(|(known, _)| *known < time);
        self.late.insert(position, (time, value));
    }

    fn open_chunk(&mut self, time: i64, value: &Value) {
        self.seal();
        self.open = match value {
            Value::Float(value) => Open::Floats(XorChunk::new(time, *value)),
            Value::Histogram(sample) => {
                let mut encoder = Encoder::default();
                encoder.push(time, sample);
                Open::Histograms(Box::new(OpenHistograms {
                    encoder,
                    count: 1,
                    first_time: time,
                    last_time: time,
                    last: Arc::clone(sample),
                }))
            }
        };
    }

    fn seal(&mut self) {
        let sealed = match std::mem::replace(&mut self.open, Open::None) {
            Open::None => return,
            Open::Floats(chunk) => Sealed {
                min: chunk.first_time(),
                max: chunk.last_time(),
                count: chunk.count() as u16,
                histograms: false,
                bytes: chunk.into_bytes(),
            },
            Open::Histograms(open) => Sealed {
                min: open.first_time,
                max: open.last_time,
                count: open.count as u16,
                histograms: true,
                bytes: open.encoder.into_bytes().into_boxed_slice(),
            },
        };
        self.sealed.reserve_exact(1);
        self.sealed.push(sealed);
    }

    fn truncate(&mut self, time: i64) {
        // Chunks end at span borders and truncation happens there, so a chunk goes or stays whole.
        self.sealed.retain(|chunk| chunk.max >= time);
        self.sealed.shrink_to_fit();
        let open_max = match &self.open {
            Open::None => i64::MAX,
            Open::Floats(chunk) => chunk.last_time(),
            Open::Histograms(open) => open.last_time,
        };
        if open_max < time {
            self.open = Open::None;
        }
        self.late.retain(|(late, _)| *late >= time);
        self.late.shrink_to_fit();
    }

    /// Whether any sample may lie in the range.
    pub(crate) fn overlaps(&self, min: i64, max: i64) -> bool {
        let hit = |from: i64, to: i64| from <= max && to >= min;
        let open = match &self.open {
            Open::None => false,
            Open::Floats(chunk) => hit(chunk.first_time(), chunk.last_time()),
            Open::Histograms(open) => hit(open.first_time, open.last_time),
        };
        open || self.sealed.iter().any(|chunk| hit(chunk.min, chunk.max))
            || self.late.iter().any(|(time, _)| hit(*time, *time))
    }

    /// Appends the samples of the range to `buffer`, in time order.
    pub(crate) fn read(&self, min: i64, max: i64, buffer: &mut SampleBuffer) {
        let first = (buffer.timestamps.len(), buffer.histograms.len());
        let hit = |from: i64, to: i64| from <= max && to >= min;
        for chunk in &self.sealed {
            if hit(chunk.min, chunk.max) {
                read_chunk(
                    &chunk.bytes,
                    usize::from(chunk.count),
                    chunk.histograms,
                    buffer,
                );
            }
        }
        match &self.open {
            Open::Floats(chunk) if hit(chunk.first_time(), chunk.last_time()) => {
                let mut bytes = Vec::new();
                chunk.copy_to(&mut bytes);
                read_chunk(&bytes, chunk.count(), false, buffer);
            }
            Open::Histograms(open) if hit(open.first_time, open.last_time) => {
                read_chunk(open.encoder.bytes(), open.count, true, buffer);
            }
            _ => {}
        }
        let late = self.late.iter().filter(|(time, _)| hit(*time, *time));
        for (time, value) in late {
            buffer.push(*time, value.clone());
        }
        trim(buffer, first, min, max);
        if !self.late.is_empty() {
            sort(buffer, first);
        }
    }

    pub(crate) fn figures(&self) -> SeriesFigures {
        let mut figures = SeriesFigures {
            samples: self.late.len() as u64,
            bytes: (self.late.capacity() * size_of::<(i64, Value)>()) as u64,
            ..SeriesFigures::default()
        };
        let mut add = |count: usize, bytes: usize, min: i64, max: i64| {
            figures.samples += count as u64;
            figures.chunks += 1;
            figures.bytes += bytes as u64;
            let (from, to) = figures.time.unwrap_or((min, max));
            figures.time = Some((from.min(min), to.max(max)));
        };
        for chunk in &self.sealed {
            add(
                usize::from(chunk.count),
                chunk.bytes.len(),
                chunk.min,
                chunk.max,
            );
        }
        match &self.open {
            Open::None => {}
            Open::Floats(c) => add(c.count(), c.capacity(), c.first_time(), c.last_time()),
            Open::Histograms(open) => add(
                open.count,
                open.encoder.bytes().len(),
                open.first_time,
                open.last_time,
            ),
        }
        for (time, _) in &self.late {
            let (from, to) = figures.time.unwrap_or((*time, *time));
            figures.time = Some((from.min(*time), to.max(*time)));
        }
        figures
    }
}

fn read_chunk(bytes: &[u8], count: usize, histograms: bool, buffer: &mut SampleBuffer) {
    let whole = if histograms {
        histogram::decode(bytes, count, &mut buffer.histograms)
    } else {
        xor::decode(bytes, count, &mut buffer.timestamps, &mut buffer.floats)
    };
    debug_assert!(whole.is_some(), "a chunk in memory decodes");
}

/// Removes what lies outside the range from the part of `buffer` after `first`, which may be unsorted.
pub(crate) fn trim(buffer: &mut SampleBuffer, first: (usize, usize), min: i64, max: i64) {
    let inside = |time: i64| min <= time && time <= max;
    let (from, to) = (first.0, buffer.timestamps.len());
    if buffer.timestamps[from..to]
        .iter()
        .any(|time| !inside(*time))
    {
        let mut kept = from;
        for index in from..to {
            if inside(buffer.timestamps[index]) {
                buffer.timestamps[kept] = buffer.timestamps[index];
                buffer.floats[kept] = buffer.floats[index];
                kept += 1;
            }
        }
        buffer.timestamps.truncate(kept);
        buffer.floats.truncate(kept);
    }
    if buffer.histograms[first.1..]
        .iter()
        .any(|(time, _)| !inside(*time))
    {
        let tail: Vec<_> = buffer.histograms.drain(first.1..).collect();
        buffer
            .histograms
            .extend(tail.into_iter().filter(|(time, _)| inside(*time)));
    }
}

/// Puts the part of `buffer` after `first` in time order; of several samples at one time the first stays.
pub(crate) fn sort(buffer: &mut SampleBuffer, first: (usize, usize)) {
    let times = &buffer.timestamps[first.0..];
    if !times.windows(2).all(|pair| pair[0] < pair[1]) {
        let floats = buffer.floats[first.0..].iter().copied();
        let mut samples: Vec<(i64, f64)> = times.iter().copied().zip(floats).collect();
        samples.sort_by_key(|(time, _)| *time);
        samples.dedup_by_key(|(time, _)| *time);
        buffer.timestamps.truncate(first.0);
        buffer.floats.truncate(first.0);
        for (time, value) in samples {
            buffer.timestamps.push(time);
            buffer.floats.push(value);
        }
    }
    let histograms = &buffer.histograms[first.1..];
    if !histograms.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        let mut samples: Vec<_> = buffer.histograms.drain(first.1..).collect();
        samples.sort_by_key(|(time, _)| *time);
        samples.dedup_by_key(|(time, _)| *time);
        buffer.histograms.extend(samples);
    }
}
