//! Encodings of samples: what a chunk's bytes mean. Pure; no encoding knows where its bytes are kept.
//!
//! Every decoder takes bytes from a stranger: it returns `None` for what it cannot read, never panics, and allocates no
//! more than [`CHUNK_SAMPLES_MAX`] samples.

pub(crate) mod bits;
pub(crate) mod bytes;
pub(crate) mod column;
pub(crate) mod histogram;
pub(crate) mod xor;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bellwether_model::histogram::Histogram;
use bellwether_model::series::is_stale;

use bits::{BitReader, BitWriter};
use bytes::{Reader, put_varint};

/// Most samples that one chunk may hold.
pub(crate) const CHUNK_SAMPLES_MAX: usize = 4096;

/// How the bytes of a chunk in a block are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Column of times, XOR of neighbouring values.
    Xor,
    /// Column of times, column of decimal mantissas with one exponent, exceptions.
    Decimal,
    /// Times and histograms, one after the other.
    Histogram,
}

/// Summary of a chunk of floats, to skip decoding when it cannot matter. NaN counts in no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Zone {
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// Sum of the values just before each decrease: what a counter lost by resets inside the chunk.
    pub(crate) reset_sum: f64,
    /// Whether there is a NaN or a staleness marker.
    pub(crate) special: bool,
}

// === impl Encoding ===

impl Encoding {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Xor => 1,
            Self::Decimal => 2,
            Self::Histogram => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Xor),
            2 => Some(Self::Decimal),
            3 => Some(Self::Histogram),
            _ => None,
        }
    }
}

// === impl Zone ===

impl Zone {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut zone = Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            first: values.first().copied().unwrap_or_default(),
            last: values.last().copied().unwrap_or_default(),
            reset_sum: 0.0,
            special: false,
        };
        let mut before = f64::NAN;
        for &value in values {
            if value.is_nan() {
                zone.special = true;
                if is_stale(value) {
                    continue;
                }
            } else {
                zone.min = zone.min.min(value);
                zone.max = zone.max.max(value);
            }
            if value < before {
                zone.reset_sum += before;
            }
            before = value;
        }
        zone
    }
}

/// Encodes floats for a block: decimal columns where that is exact and smaller, XOR otherwise.
pub(crate) fn encode_floats(times: &[i64], values: &[f64]) -> (Encoding, Vec<u8>) {
    let mut out = BitWriter::default();
    column::encode(&mut out, times);
    let time_bits = out.bit_len();
    let decimal = column::to_decimal(values).map(|decimal| {
        let mut out = out.clone();
        decimal.encode(&mut out);
        out
    });
    // XOR costs a bit per sample at least, so a decimal column below that need not be compared.
    if let Some(decimal) = &decimal
        && decimal.bit_len() - time_bits <= values.len() * 12
    {
        return (Encoding::Decimal, decimal.clone().finish());
    }
    xor::encode_values(&mut out, values);
    match decimal {
        Some(decimal) if decimal.bit_len() <= out.bit_len() => {
            (Encoding::Decimal, decimal.finish())
        }
        _ => (Encoding::Xor, out.finish()),
    }
}

/// Decodes `count` floats, appending to the columns. On `None` the columns hold rubbish at their end.
pub(crate) fn decode_floats(
    encoding: Encoding,
    bytes: &[u8],
    count: usize,
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Option<()> {
    if count > CHUNK_SAMPLES_MAX {
        return None;
    }
    let mut reader = BitReader::new(bytes);
    column::decode(&mut reader, count, times)?;
    match encoding {
        Encoding::Xor => xor::decode_values(&mut reader, count, values),
        Encoding::Decimal => column::decode_decimal(&mut reader, count, values),
        Encoding::Histogram => None,
    }
}

/// Encodes histograms for a block.
pub(crate) fn encode_histograms(samples: &[(i64, Arc<Histogram>)]) -> Vec<u8> {
    let mut encoder = histogram::Encoder::default();
    for (time, sample) in samples {
        encoder.push(*time, sample);
    }
    encoder.into_bytes()
}

/// Bytes of one histogram alone, as the log stores it.
pub(crate) fn put_histogram(out: &mut Vec<u8>, sample: &Histogram) {
    let mut encoder = histogram::Encoder::default();
    encoder.push(0, sample);
    let bytes = encoder.into_bytes();
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(&bytes);
}

/// Reads what [`put_histogram`] wrote.
pub(crate) fn read_histogram(reader: &mut Reader<'_>) -> Option<Arc<Histogram>> {
    let length = usize::try_from(reader.varint()?).ok()?;
    let mut samples = Vec::new();
    histogram::decode(reader.take(length)?, 1, &mut samples)?;
    samples.pop().map(|(_, sample)| sample)
}
