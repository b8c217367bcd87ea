//! Samples as a block of Prometheus: index version 2 and float chunks, which Prometheus and `promtool` open.
//!
//! Format: `tsdb/docs/format` in Prometheus' repository. Native histograms are left out and counted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::series::{SampleBuffer, Selection, SeriesSource};

use super::checksum::crc32c;
use crate::codec::bits::BitWriter;
use crate::codec::bytes::{put_signed, put_varint, zigzag};
use crate::codec::xor::{ValueState, put_change};
use crate::openmetrics::{ExportError, ExportReport};

/// Samples of one chunk, as Prometheus has them.
const CHUNK_SAMPLES: usize = 120;
/// Bytes of one file of chunks.
const SEGMENT_BYTES: u64 = 512 << 20;
/// Time that one block covers, in milliseconds.
const BLOCK_SPAN: i64 = 24 * 3_600_000;

/// Writes what `selection` finds into blocks below `dir`, one per day that has samples.
pub fn write_prometheus_blocks(
    source: &dyn SeriesSource,
    selection: &Selection,
    dir: &Path,
) -> Result<ExportReport, ExportError> {
    fs::create_dir_all(dir)?;
    let mut report = ExportReport::default();
    let mut names = std::collections::BTreeSet::new();
    let mut from = selection.min;
    while let Some(first) = first_time(source, selection, from)? {
        let start = first.div_euclid(BLOCK_SPAN) * BLOCK_SPAN;
        let end = start.saturating_add(BLOCK_SPAN);
        let part = Selection {
            matchers: selection.matchers.clone(),
            min: start.max(selection.min),
            max: (end - 1).min(selection.max),
        };
        let temporary = dir.join(format!("export-{start}.tmp"));
        let written = Block::write(source, &part, &temporary, &mut report)?;
        if let Some(name) = written.filter(|name| names.insert(name.clone())) {
            fs::rename(&temporary, dir.join(name))?;
        } else {
            fs::remove_dir_all(&temporary)?;
        }
        if end > selection.max {
            break;
        }
        from = end;
    }
    Ok(report)
}

/// Time of the oldest sample from `from` on.
fn first_time(
    source: &dyn SeriesSource,
    selection: &Selection,
    from: i64,
) -> Result<Option<i64>, ExportError> {
    let set = source.select(&Selection {
        min: from,
        ..selection.clone()
    })?;
    let mut buffer = SampleBuffer::default();
    let mut first = None;
    for index in 0..set.len() {
        set.read(index, &mut buffer)?;
        first = first
            .into_iter()
            .chain(buffer.timestamps.first().copied())
            .min();
    }
    Ok(first)
}

/// Where a chunk lies.
struct Meta {
    min: i64,
    max: i64,
    reference: u64,
}

/// The files of chunks.
struct Chunks<'a> {
    dir: &'a Path,
    file: BufWriter<File>,
    number: u64,
    at: u64,
    count: u64,
}

struct Block;

fn segment(dir: &Path, number: u64) -> io::Result<BufWriter<File>> {
    let mut file = BufWriter::new(File::create(dir.join(format!("{number:06}")))?);
    file.write_all(&[0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0])?;
    Ok(file)
}

impl<'a> Chunks<'a> {
    fn new(dir: &'a Path) -> io::Result<Self> {
        Ok(Self {
            dir,
            file: segment(dir, 1)?,
            number: 1,
            at: 8,
            count: 0,
        })
    }

    fn add(&mut self, times: &[i64], values: &[f64]) -> io::Result<Meta> {
        let mut bytes = vec![1];
        encode(times, values).copy_to_end(&mut bytes);
        let mut head = Vec::new();
        put_varint(&mut head, bytes.len() as u64 - 1);
        let sum = crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        let length = (head.len() + bytes.len()) as u64;
        if self.at + length > SEGMENT_BYTES {
            self.file.flush()?;
            self.number += 1;
            self.file = segment(self.dir, self.number)?;
            self.at = 8;
        }
        let reference = (self.number - 1) << 32 | self.at;
        self.file.write_all(&head)?;
        self.file.write_all(&bytes)?;
        self.at += length;
        self.count += 1;
        Ok(Meta {
            min: times[0],
            max: times[times.len() - 1],
            reference,
        })
    }
}

/// Bits of a chunk.
struct Encoded(BitWriter);

impl Encoded {
    fn copy_to_end(self, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        self.0.copy_to(&mut bytes);
        out.append(&mut bytes);
    }
}

fn put_bytes(out: &mut BitWriter, value: u64) {
    let mut bytes = Vec::with_capacity(10);
    put_varint(&mut bytes, value);
    for byte in bytes {
        out.put(u64::from(byte), 8);
    }
}

/// Prometheus' XOR chunk; there is at least one sample.
fn encode(times: &[i64], values: &[f64]) -> Encoded {
    let mut out = BitWriter::default();
    out.put(times.len() as u64, 16);
    put_bytes(&mut out, zigzag(times[0]));
    out.put(values[0].to_bits(), 64);
    let mut state = ValueState::new(values[0].to_bits());
    let mut delta = 0_i64;
    for index in 1..times.len() {
        let next = times[index].wrapping_sub(times[index - 1]);
        if index == 1 {
            put_bytes(&mut out, next as u64);
        } else {
            put_change(&mut out, next.wrapping_sub(delta));
        }
        delta = next;
        state.put(&mut out, values[index].to_bits());
    }
    Encoded(out)
}

/// Bytes with their length before and their checksum after.
fn framed(content: &[u8]) -> Vec<u8> {
    let mut out = (content.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(content);
    out.extend_from_slice(&crc32c(content).to_be_bytes());
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

impl Block {
    /// Writes one block; gives its name, or `None` when there is no sample.
    fn write(
        source: &dyn SeriesSource,
        part: &Selection,
        dir: &Path,
        report: &mut ExportReport,
    ) -> Result<Option<String>, ExportError> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        let chunk_dir = dir.join("chunks");
        fs::create_dir_all(&chunk_dir)?;
        let mut chunks = Chunks::new(&chunk_dir)?;
        let set = source.select(part)?;
        let mut series: Vec<(Labels, Vec<Meta>)> = Vec::new();
        let mut buffer = SampleBuffer::default();
        let (mut samples, mut min, mut max) = (0_u64, i64::MAX, i64::MIN);
        let mut order: Vec<usize> = (0..set.len()).collect();
        order.sort_by(|a, b| set.labels(*a).cmp(set.labels(*b)));
        for index in order {
            set.read(index, &mut buffer)?;
            report.skipped += buffer.histograms.len() as u64;
            if buffer.timestamps.is_empty() {
                continue;
            }
            let times = buffer.timestamps.chunks(CHUNK_SAMPLES);
            let values = buffer.floats.chunks(CHUNK_SAMPLES);
            let metas: io::Result<Vec<Meta>> = times
                .zip(values)
                .map(|(times, values)| chunks.add(times, values))
                .collect();
            samples += buffer.timestamps.len() as u64;
            min = min.min(buffer.timestamps[0]);
            max = max.max(buffer.timestamps[buffer.timestamps.len() - 1]);
            series.push((set.labels(index).clone(), metas?));
        }
        chunks.file.flush()?;
        if series.is_empty() {
            return Ok(None);
        }
        let index = index(&series);
        fs::write(dir.join("index"), &index)?;
        let name = ulid(min, &index);
        let (count, chunk_count) = (series.len(), chunks.count);
        let meta = format!(
            "{{\"ulid\":\"{name}\",\"minTime\":{min},\"maxTime\":{},\"stats\":{{\"numSamples\":{samples},\
             \"numSeries\":{count},\"numChunks\":{chunk_count}}},\"compaction\":{{\"level\":1,\"sources\":[\"{name}\"]}},\
             \"version\":1}}\n",
            max + 1
        );
        fs::write(dir.join("meta.json"), meta)?;
        report.series = report.series.max(count);
        report.samples += samples;
        Ok(Some(name))
    }
}

/// A name that sorts by time: 10 characters of milliseconds, 16 from the content, so that equal blocks are called alike.
fn ulid(time: i64, content: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut hash = 0xcbf2_9ce4_8422_2325_u128;
    for byte in content {
        hash = (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3_0000_0000_0000_01b3);
    }
    let value = (u128::from(time.max(0).cast_unsigned()) & ((1 << 48) - 1)) << 80
        | (hash & ((1 << 80) - 1));
    (0..26)
        .rev()
        .map(|place| char::from(DIGITS[(value >> (5 * place) & 31) as usize]))
        .collect()
}

/// The index of a block.
fn index(series: &[(Labels, Vec<Meta>)]) -> Vec<u8> {
    let mut out = vec![0xba, 0xaa, 0xd7, 0x00, 2];
    // Symbols: every name and value, sorted.
    let mut symbols: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for label in series.iter().flat_map(|(labels, _)| labels.iter()) {
        symbols.insert(Arc::clone(&label.name), 0);
        symbols.insert(Arc::clone(&label.value), 0);
    }
    for (number, place) in symbols.values_mut().enumerate() {
        *place = number as u64;
    }
    let symbols_at = out.len() as u64;
    let mut content = (symbols.len() as u32).to_be_bytes().to_vec();
    for symbol in symbols.keys() {
        text(&mut content, symbol);
    }
    out.extend(framed(&content));
    // Series, each on a multiple of 16 bytes, which is its number.
    out.resize(out.len().next_multiple_of(16), 0);
    let series_at = out.len() as u64;
    let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    let all = postings.entry(("", "")).or_default();
    all.reserve(series.len());
    for (labels, metas) in series {
        out.resize(out.len().next_multiple_of(16), 0);
        let number = (out.len() / 16) as u32;
        postings.entry(("", "")).or_default().push(number);
        let mut entry = Vec::new();
        put_varint(&mut entry, labels.len() as u64);
        for label in labels {
            put_varint(&mut entry, symbols[&label.name]);
            put_varint(&mut entry, symbols[&label.value]);
            let of_label = postings.entry((&label.name, &label.value));
            of_label.or_default().push(number);
        }
        put_varint(&mut entry, metas.len() as u64);
        let (mut end, mut reference) = (0, 0);
        for (place, meta) in metas.iter().enumerate() {
            if place == 0 {
                put_signed(&mut entry, meta.min);
                put_varint(&mut entry, (meta.max - meta.min) as u64);
                put_varint(&mut entry, meta.reference);
            } else {
                put_varint(&mut entry, (meta.min - end) as u64);
                put_varint(&mut entry, (meta.max - meta.min) as u64);
                put_signed(
                    &mut entry,
                    meta.reference.wrapping_sub(reference).cast_signed(),
                );
            }
            (end, reference) = (meta.max, meta.reference);
        }
        put_varint(&mut out, entry.len() as u64);
        out.extend_from_slice(&entry);
        out.extend_from_slice(&crc32c(&entry).to_be_bytes());
    }
    // Version 2 has label indices that nobody reads: the table of them is empty.
    out.resize(out.len().next_multiple_of(4), 0);
    let label_indices_at = out.len() as u64;
    let mut offsets = Vec::new();
    let postings_at = out.len() as u64;
    for (label, numbers) in &postings {
        out.resize(out.len().next_multiple_of(4), 0);
        offsets.push((*label, out.len() as u64));
        let mut content = (numbers.len() as u32).to_be_bytes().to_vec();
        for number in numbers {
            content.extend_from_slice(&number.to_be_bytes());
        }
        out.extend(framed(&content));
    }
    let label_table_at = out.len() as u64;
    out.extend(framed(&0_u32.to_be_bytes()));
    let postings_table_at = out.len() as u64;
    let mut content = (offsets.len() as u32).to_be_bytes().to_vec();
    for ((name, value), offset) in offsets {
        content.push(2);
        text(&mut content, name);
        text(&mut content, value);
        put_varint(&mut content, offset);
    }
    out.extend(framed(&content));
    let toc: Vec<u8> = [
        symbols_at,
        series_at,
        label_indices_at,
        label_table_at,
        postings_at,
        postings_table_at,
    ]
    .iter()
    .flat_map(|place| place.to_be_bytes())
    .collect();
    out.extend_from_slice(&toc);
    out.extend_from_slice(&crc32c(&toc).to_be_bytes());
    out
}
