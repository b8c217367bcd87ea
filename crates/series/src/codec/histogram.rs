//! Native histograms, one after the other: the layout when it changes, the counts as differences.

use std::sync::Arc;

use bellwether_model::histogram::{Histogram, ResetHint, Span};

use super::CHUNK_SAMPLES_MAX;
use super::bytes::{Reader, exact_integer, put_signed, put_varint};

/// Buckets (or spans, or bounds) that one histogram may have.
const PARTS_MAX: usize = 1 << 16;

/// A chunk of histograms that grows sample by sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encoder {
    out: Vec<u8>,
    time: i64,
    delta: i64,
    layout: Option<Box<Histogram>>,
    values: Vec<f64>,
}

// === impl Encoder ===

impl Encoder {
    pub(crate) fn push(&mut self, time: i64, sample: &Histogram) {
        let delta = time.wrapping_sub(self.time);
        put_signed(&mut self.out, delta.wrapping_sub(self.delta));
        self.time = time;
        self.delta = delta;
        let same = self
            .layout
            .as_ref()
            .is_some_and(|layout| same_layout(layout, sample));
        self.out
            .push(u8::from(!same) << 2 | hint_code(sample.reset_hint));
        if !same {
            put_layout(&mut self.out, sample);
            let mut layout = sample.clone();
            layout.positive_buckets = Vec::new();
            layout.negative_buckets = Vec::new();
            self.layout = Some(Box::new(layout));
            self.values.clear();
        }
        put_varint(&mut self.out, sample.positive_buckets.len() as u64);
        put_varint(&mut self.out, sample.negative_buckets.len() as u64);
        for (index, value) in values_of(sample).enumerate() {
            let before = self.values.get(index).copied().unwrap_or_default();
            put_value(&mut self.out, before, value);
            match self.values.get_mut(index) {
                Some(slot) => *slot = value,
                None => self.values.push(value),
            }
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.out
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

/// Decodes `count` histograms, appending to `out`.
pub(crate) fn decode(
    bytes: &[u8],
    count: usize,
    out: &mut Vec<(i64, Arc<Histogram>)>,
) -> Option<()> {
    if count > CHUNK_SAMPLES_MAX {
        return None;
    }
    let mut reader = Reader::new(bytes);
    let (mut time, mut delta) = (0_i64, 0_i64);
    let mut layout = None;
    let mut values: Vec<f64> = Vec::new();
    for _ in 0..count {
        delta = delta.wrapping_add(reader.signed()?);
        time = time.wrapping_add(delta);
        let flags = reader.byte()?;
        if flags & 4 != 0 {
            layout = Some(read_layout(&mut reader)?);
            values.clear();
        }
        let mut sample: Histogram = layout.clone()?;
        sample.reset_hint = hint(flags & 3);
        let positive = reader.count()?;
        let negative = reader.count()?;
        let total = positive + negative + 3;
        values.resize(total.max(values.len()), 0.0);
        for value in &mut values[..total] {
            *value = read_value(&mut reader, *value)?;
        }
        sample.count = values[0];
        sample.sum = values[1];
        sample.zero_count = values[2];
        sample.positive_buckets = values[3..3 + positive].to_vec();
        sample.negative_buckets = values[3 + positive..total].to_vec();
        out.push((time, Arc::new(sample)));
    }
    Some(())
}

fn values_of(sample: &Histogram) -> impl Iterator<Item = f64> {
    [sample.count, sample.sum, sample.zero_count]
        .into_iter()
        .chain(sample.positive_buckets.iter().copied())
        .chain(sample.negative_buckets.iter().copied())
}

/// Whether two histograms are the same bit for bit (NaN included).
pub(crate) fn same(a: &Histogram, b: &Histogram) -> bool {
    let bits = |sample: &Histogram| -> Vec<u64> { values_of(sample).map(f64::to_bits).collect() };
    same_layout(a, b)
        && a.reset_hint == b.reset_hint
        && a.positive_buckets.len() == b.positive_buckets.len()
        && bits(a) == bits(b)
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let bounds = |sample: &Histogram| {
        sample
            .custom_values
            .as_ref()
            .map(|bounds| bounds.iter().map(|b| b.to_bits()).collect::<Vec<_>>())
    };
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && bounds(a) == bounds(b)
}

fn put_layout(out: &mut Vec<u8>, sample: &Histogram) {
    put_signed(out, i64::from(sample.schema));
    out.extend_from_slice(&sample.zero_threshold.to_bits().to_le_bytes());
    for spans in [&sample.positive_spans, &sample.negative_spans] {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_signed(out, i64::from(span.offset));
            put_varint(out, u64::from(span.length));
        }
    }
    // Zero: no custom bounds; otherwise their number and one.
    match &sample.custom_values {
        None => put_varint(out, 0),
        Some(bounds) => {
            put_varint(out, bounds.len() as u64 + 1);
            for bound in bounds.iter() {
                out.extend_from_slice(&bound.to_bits().to_le_bytes());
            }
        }
    }
}

fn read_layout(reader: &mut Reader<'_>) -> Option<Histogram> {
    let schema = i32::try_from(reader.signed()?).ok()?;
    let zero_threshold = reader.f64()?;
    let positive_spans = read_spans(reader)?;
    let negative_spans = read_spans(reader)?;
    let custom_values = match reader.varint()? {
        0 => None,
        count => {
            let count = usize::try_from(count - 1).ok()?;
            if count > PARTS_MAX || count * 8 > reader.len() {
                return None;
            }
            Some(
                (0..count)
                    .map(|_| reader.f64())
                    .collect::<Option<Arc<[f64]>>>()?,
            )
        }
    };
    Some(Histogram {
        schema,
        zero_threshold,
        positive_spans,
        negative_spans,
        custom_values,
        ..Histogram::default()
    })
}

fn read_spans(reader: &mut Reader<'_>) -> Option<Vec<Span>> {
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

/// Integers as zigzag difference with a low bit 0; anything else as a byte 1 and its bits.
fn put_value(out: &mut Vec<u8>, before: f64, value: f64) {
    match (exact_integer(before), exact_integer(value)) {
        (Some(before), Some(value)) => {
            put_varint(out, super::bytes::zigzag(value - before) << 1);
        }
        _ => {
            out.push(1);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

fn read_value(reader: &mut Reader<'_>, before: f64) -> Option<f64> {
    let code = reader.varint()?;
    if code & 1 == 1 {
        return reader.f64();
    }
    let before = exact_integer(before)?;
    Some(before.wrapping_add(super::bytes::unzigzag(code >> 1)) as f64)
}

fn hint_code(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

fn hint(code: u8) -> ResetHint {
    match code {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}
