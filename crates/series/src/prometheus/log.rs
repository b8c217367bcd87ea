//! Prometheus' write-ahead log: what is in no block yet. Read whole, into memory.
//!
//! Format: `tsdb/docs/format/wal.md` and `tsdb/record/record.go` in Prometheus' repository. Pages of 32 KiB hold
//! fragments of records; a checkpoint is a log of its own that stands for the segments before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint, Span};
use bellwether_model::series::SampleBuffer;
use bellwether_model::{Label, Labels};

use super::checksum::crc32c;
use crate::codec::bytes::Reader;
use crate::head::series::sort;
use crate::report::{Damage, DamageKind};

const PAGE: usize = 32 << 10;
/// Bytes that one record may have after decompression.
const RECORD_MAX: usize = 128 << 20;

/// What the log holds, by series.
#[derive(Debug, Default)]
pub(super) struct ForeignLog {
    /// Sorted by labels; samples in time order.
    pub(super) series: Vec<(Labels, SampleBuffer)>,
}

#[derive(Debug, Default)]
struct Replay {
    labels: BTreeMap<u64, Labels>,
    series: BTreeMap<Labels, SampleBuffer>,
}

/// Number at the end of a name such as `00000012` or `checkpoint.00000012`.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.rsplit('.').next()?.parse().ok()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.extension().is_none() && number(path).is_some())
        .collect();
    all.sort_by_key(|path| number(path));
    all
}

/// The newest checkpoint's segments and those after it.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let checkpoint = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            path.is_dir() && name.is_some_and(|name| name.starts_with("checkpoint."))
        })
        .filter_map(|path| Some((number(&path)?, path)))
        .max();
    let after = checkpoint.as_ref().map(|(last, _)| *last);
    let mut all = checkpoint.map_or_else(Vec::new, |(_, path)| segments(&path));
    let rest = segments(dir).into_iter();
    all.extend(rest.filter(|path| after.is_none_or(|last| number(path) > Some(last))));
    all
}

// === impl ForeignLog ===

impl ForeignLog {
    /// Reads `wal` and `wbl` of a data folder; what cannot be read is left out and reported.
    pub(super) fn open(dir: &Path, damage: &mut Vec<Damage>) -> Self {
        let mut replay = Replay::default();
        for folder in ["wal", "wbl"] {
            let files = files(&dir.join(folder));
            for (index, path) in files.iter().enumerate() {
                let bytes = match fs::read(path) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        damage.push(bad(path, 0, &error.to_string()));
                        continue;
                    }
                };
                let last = index + 1 == files.len();
                if let Err((offset, why)) = replay.segment(&bytes)
                    // The end of the last segment is what was being written.
                    && !(last && why == CUT)
                {
                    damage.push(bad(path, offset, why));
                }
            }
        }
        let mut series: Vec<_> = replay.series.into_iter().collect();
        for (_, buffer) in &mut series {
            sort(buffer, (0, 0));
        }
        series.retain(|(_, b)| !b.timestamps.is_empty() || !b.histograms.is_empty());
        Self { series }
    }
}

const CUT: &str = "the segment ends within a record";

fn bad(path: &Path, offset: usize, detail: &str) -> Damage {
    Damage {
        kind: DamageKind::BadSegment,
        path: path.to_owned(),
        offset: offset as u64,
        detail: detail.to_owned(),
    }
}

fn decompress(kind: u8, bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if kind & 0x10 != 0 {
        return Err("the log is compressed with zstd, which is not read");
    }
    if kind & 0x08 == 0 {
        return Ok(bytes);
    }
    let length = snap::raw::decompress_len(&bytes).map_err(|_| "bad snappy")?;
    if length > RECORD_MAX {
        return Err("a record is too large");
    }
    snap::raw::Decoder::new()
        .decompress_vec(&bytes)
        .map_err(|_| "bad snappy")
}

impl Replay {
    /// Reads one segment up to its end or to the first fault, which is named with its place.
    fn segment(&mut self, bytes: &[u8]) -> Result<(), (usize, &'static str)> {
        let mut record = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let kind = bytes[at];
            let left = PAGE - at % PAGE;
            let fragment = kind % 8;
            if fragment == 0 {
                // The rest of the page is empty.
                at += left;
                continue;
            }
            let Some(head) = bytes.get(at..at + 7) else {
                return Err((at, CUT));
            };
            let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
            let sum = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
            if length + 7 > left {
                return Err((at, "a fragment is longer than its page"));
            }
            let Some(part) = bytes.get(at + 7..at + 7 + length) else {
                return Err((at, CUT));
            };
            if crc32c(part) != sum {
                return Err((at, "wrong checksum"));
            }
            if matches!(fragment, 1 | 2) {
                record.clear();
            }
            record.extend_from_slice(part);
            if record.len() > RECORD_MAX {
                return Err((at, "a record is too large"));
            }
            if matches!(fragment, 1 | 4) {
                let whole = decompress(kind, std::mem::take(&mut record));
                let whole = whole.map_err(|why| (at, why))?;
                self.record(&whole).ok_or((at, "a record is malformed"))?;
            }
            at += 7 + length;
        }
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        if reader.is_empty() {
            return Some(());
        }
        match reader.byte()? {
            1 => self.describe(&mut reader),
            2 => self.floats(&mut reader),
            3 => self.delete(&mut reader),
            7 | 9 => self.histograms(&mut reader, false),
            8 | 10 => self.histograms(&mut reader, true),
            // Exemplars, marks of mapped chunks, metadata, and what later versions add.
            _ => Some(()),
        }
    }

    fn describe(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        while !reader.is_empty() {
            let reference = be64(reader)?;
            let count = reader.count()?;
            let mut labels = Vec::with_capacity(count);
            for _ in 0..count {
                labels.push(Label {
                    name: Arc::from(reader.str()?),
                    value: Arc::from(reader.str()?),
                });
            }
            let pairs = labels.iter().map(|label| (&*label.name, &*label.value));
            self.labels.insert(reference, Labels::new(pairs));
        }
        Some(())
    }

    /// The samples of a series that was described; others have no labels to be found by.
    fn buffer(&mut self, reference: u64) -> Option<&mut SampleBuffer> {
        let labels = self.labels.get(&reference)?;
        if !self.series.contains_key(labels) {
            self.series.insert(labels.clone(), SampleBuffer::default());
        }
        self.series.get_mut(labels)
    }

    fn floats(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        if reader.is_empty() {
            return Some(());
        }
        let (first, time) = (be64(reader)?, be64(reader)?.cast_signed());
        while !reader.is_empty() {
            let reference = first.wrapping_add_signed(reader.signed()?);
            let at = time.wrapping_add(reader.signed()?);
            let value = f64::from_bits(be64(reader)?);
            if let Some(buffer) = self.buffer(reference) {
                buffer.timestamps.push(at);
                buffer.floats.push(value);
            }
        }
        Some(())
    }

    fn delete(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        while !reader.is_empty() {
            let (reference, min, max) = (be64(reader)?, reader.signed()?, reader.signed()?);
            let Some(buffer) = self.buffer(reference) else {
                continue;
            };
            let gone = |time: i64| (min..=max).contains(&time);
            let samples = buffer
                .timestamps
                .iter()
                .copied()
                .zip(buffer.floats.iter().copied());
            let (times, floats) = samples.filter(|(time, _)| !gone(*time)).unzip();
            (buffer.timestamps, buffer.floats) = (times, floats);
            buffer.histograms.retain(|(time, _)| !gone(*time));
        }
        Some(())
    }

    fn histograms(&mut self, reader: &mut Reader<'_>, float: bool) -> Option<()> {
        if reader.is_empty() {
            return Some(());
        }
        let (first, time) = (be64(reader)?, be64(reader)?.cast_signed());
        while !reader.is_empty() {
            let reference = first.wrapping_add_signed(reader.signed()?);
            let at = time.wrapping_add(reader.signed()?);
            let histogram = histogram(reader, float)?;
            if let Some(buffer) = self.buffer(reference) {
                buffer.histograms.push((at, Arc::new(histogram)));
            }
        }
        Some(())
    }
}

fn be64(reader: &mut Reader<'_>) -> Option<u64> {
    Some(u64::from_be_bytes(reader.take(8)?.try_into().ok()?))
}

fn double(reader: &mut Reader<'_>) -> Option<f64> {
    be64(reader).map(f64::from_bits)
}

fn spans(reader: &mut Reader<'_>) -> Option<Vec<Span>> {
    let count = reader.count()?;
    (0..count)
        .map(|_| {
            Some(Span {
                offset: i32::try_from(reader.signed()?).ok()?,
                length: u32::try_from(reader.varint()?).ok()?,
            })
        })
        .collect()
}

fn buckets(reader: &mut Reader<'_>, float: bool) -> Option<Vec<f64>> {
    let count = reader.count()?;
    let mut sum = 0_i64;
    (0..count)
        .map(|_| {
            if float {
                return double(reader);
            }
            sum = sum.wrapping_add(reader.signed()?);
            Some(sum as f64)
        })
        .collect()
}

fn histogram(reader: &mut Reader<'_>, float: bool) -> Option<Histogram> {
    let number = |reader: &mut Reader<'_>| {
        if float {
            double(reader)
        } else {
            reader.varint().map(|count| count as f64)
        }
    };
    let mut out = Histogram {
        reset_hint: match reader.byte()? {
            1 => ResetHint::Reset,
            2 => ResetHint::NotReset,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        },
        schema: i32::try_from(reader.signed()?).ok()?,
        zero_threshold: double(reader)?,
        zero_count: number(reader)?,
        count: number(reader)?,
        sum: double(reader)?,
        ..Histogram::default()
    };
    out.positive_spans = spans(reader)?;
    out.negative_spans = spans(reader)?;
    out.positive_buckets = buckets(reader, float)?;
    out.negative_buckets = buckets(reader, float)?;
    if out.schema == CUSTOM_BUCKETS_SCHEMA {
        let count = reader.count()?;
        let bounds: Option<Vec<f64>> = (0..count).map(|_| double(reader)).collect();
        out.custom_values = Some(bounds?.into());
    }
    let fits = |spans: &[Span], buckets: &[f64]| {
        let wanted: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        wanted == buckets.len() as u64
    };
    (fits(&out.positive_spans, &out.positive_buckets)
        && fits(&out.negative_spans, &out.negative_buckets))
    .then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..11_u8) {
            let mut replay = Replay::default();
            let _ = replay.segment(&bytes);
            let mut record = vec![kind];
            record.extend_from_slice(&bytes);
            let _ = replay.record(&record);
        }
    }
}
