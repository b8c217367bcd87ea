//! Records of the log: framing, series and samples.

use std::sync::Arc;

use bellwether_model::labels::{Label, Labels};
use bellwether_model::series::Value;

use crate::codec::bytes::{Reader, put_signed, put_str, put_varint};
use crate::codec::{put_histogram, read_histogram};

/// First bytes of every record, to find the next one behind a damaged one.
pub(crate) const MARK: [u8; 4] = *b"\xf5BWr";
/// Mark, length, checksum.
pub(crate) const FRAME_LEN: usize = 12;
/// Longest payload of one record.
pub(crate) const PAYLOAD_MAX: usize = 32 << 20;
/// Payload length at which a writer starts another record.
pub(crate) const PAYLOAD_GOAL: usize = 4 << 20;

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;

const NEXT_REF: u8 = 0x80;
const SAME_TIME: u8 = 0x40;
const FLOAT: u8 = 0;
const POSITIVE: u8 = 1;
const NEGATIVE: u8 = 2;
const HISTOGRAM: u8 = 3;

/// Writes records one after the other into a buffer.
#[derive(Debug, Default)]
pub(crate) struct RecordWriter {
    pub(crate) out: Vec<u8>,
    start: Option<usize>,
    kind: u8,
    series: u64,
    time: i64,
}

/// What a record says.
pub(crate) trait Visit {
    fn series(&mut self, reference: u64, labels: Labels);
    fn sample(&mut self, reference: u64, time: i64, value: Value);
}

/// Checksum of a record: its length and its payload.
pub(crate) fn checksum(payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(payload.len() as u32).to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

// === impl RecordWriter ===

impl RecordWriter {
    pub(crate) fn clear(&mut self) {
        self.out.clear();
        self.start = None;
    }

    fn open(&mut self, kind: u8) {
        if let Some(start) = self.start {
            let long = self.out.len() - start > PAYLOAD_GOAL;
            if self.kind == kind && !long {
                return;
            }
            self.close();
        }
        self.start = Some(self.out.len());
        self.out.extend_from_slice(&[0; FRAME_LEN]);
        self.out.push(kind);
        self.kind = kind;
        self.series = 0;
        self.time = 0;
    }

    /// Ends the record being written; call it before the buffer is used.
    pub(crate) fn close(&mut self) {
        let Some(start) = self.start.take() else {
            return;
        };
        let payload = &self.out[start + FRAME_LEN..];
        let (len, sum) = (payload.len() as u32, checksum(payload));
        self.out[start..start + 4].copy_from_slice(&MARK);
        self.out[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
        self.out[start + 8..start + 12].copy_from_slice(&sum.to_le_bytes());
    }

    /// Describes a series.
    pub(crate) fn series(&mut self, reference: u64, labels: &Labels) {
        self.open(SERIES);
        put_varint(&mut self.out, reference);
        put_varint(&mut self.out, labels.len() as u64);
        for label in labels {
            put_str(&mut self.out, &label.name);
            put_str(&mut self.out, &label.value);
        }
    }

    /// Adds a sample.
    #[inline]
    pub(crate) fn sample(&mut self, reference: u64, time: i64, value: &Value) {
        self.open(SAMPLES);
        let head = self.out.len();
        self.out.push(0);
        let mut flags = 0;
        if reference == self.series.wrapping_add(1) {
            flags |= NEXT_REF;
        } else {
            let change = reference.wrapping_sub(self.series) as i64;
            put_signed(&mut self.out, change);
        }
        if time == self.time {
            flags |= SAME_TIME;
        } else {
            put_signed(&mut self.out, time.wrapping_sub(self.time));
        }
        self.series = reference;
        self.time = time;
        match value {
            Value::Float(value) => {
                let integer = *value as i64;
                let bits = value.to_bits();
                if (integer as f64).to_bits() == bits && integer.unsigned_abs() < 1 << 53 {
                    let magnitude = integer.unsigned_abs();
                    let len = 8 - (magnitude.leading_zeros() / 8) as usize;
                    self.out.extend_from_slice(&magnitude.to_le_bytes()[..len]);
                    let kind = if integer < 0 { NEGATIVE } else { POSITIVE };
                    flags |= kind << 4 | len as u8;
                } else {
                    // Short decimals and halves have zero bytes at the end.
                    let len = 8 - (bits.trailing_zeros() / 8) as usize;
                    self.out.extend_from_slice(&bits.to_be_bytes()[..len]);
                    flags |= FLOAT << 4 | len as u8;
                }
            }
            Value::Histogram(sample) => {
                flags |= HISTOGRAM << 4;
                put_histogram(&mut self.out, sample);
            }
        }
        self.out[head] = flags;
    }
}

/// Reads a payload whose checksum was right. `None`: it does not say what a writer of this version says.
pub(crate) fn visit(payload: &[u8], to: &mut dyn Visit) -> Option<()> {
    let mut reader = Reader::new(payload);
    match reader.byte()? {
        SERIES => {
            while !reader.is_empty() {
                let reference = reader.varint()?;
                let labels = read_labels(&mut reader)?;
                to.series(reference, labels);
            }
        }
        SAMPLES => {
            let (mut series, mut time) = (0_u64, 0_i64);
            while !reader.is_empty() {
                let flags = reader.byte()?;
                let change = match flags & NEXT_REF {
                    0 => reader.signed()?,
                    _ => 1,
                };
                series = series.wrapping_add(change as u64);
                if flags & SAME_TIME == 0 {
                    time = time.wrapping_add(reader.signed()?);
                }
                to.sample(series, time, read_value(&mut reader, flags)?);
            }
        }
        _ => return None,
    }
    Some(())
}

fn read_value(reader: &mut Reader<'_>, flags: u8) -> Option<Value> {
    let len = usize::from(flags & 0xf);
    let kind = flags >> 4 & 3;
    if kind == HISTOGRAM {
        return read_histogram(reader).map(Value::Histogram);
    }
    if len > 8 {
        return None;
    }
    let bytes = reader.take(len)?;
    let mut word = [0; 8];
    word[..len].copy_from_slice(bytes);
    Some(Value::Float(match kind {
        POSITIVE => u64::from_le_bytes(word) as f64,
        NEGATIVE => -(u64::from_le_bytes(word) as f64),
        _ => f64::from_bits(u64::from_be_bytes(word)),
    }))
}

fn read_labels(reader: &mut Reader<'_>) -> Option<Labels> {
    let count = reader.count()?;
    let mut labels: Vec<Label> = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let name: Arc<str> = reader.str()?.into();
        let value: Arc<str> = reader.str()?.into();
        let ascending = labels.last().is_none_or(|last| last.name < name);
        if !ascending || value.is_empty() {
            return None;
        }
        labels.push(Label { name, value });
    }
    Some(Labels::from_sorted(labels))
}
