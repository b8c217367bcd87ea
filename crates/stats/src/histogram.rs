//! Latencies in a histogram that merges.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

use crate::finding::Interval;
use crate::quantile::{ranks, required_rank};

/// Durations from 1 µs to 1 h with three significant digits: every quantile is within [`Histogram::RELATIVE_ERROR`] of
/// the exact one, also after merging. Longer ones count as 1 h.
///
/// Source: G. Tene, HdrHistogram; merging adds counts, so the merge of shards *is* the histogram of all their values.
#[derive(Clone, Debug)]
pub struct Histogram(Hdr<u64>);

/// Why an encoded histogram cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("the histogram is not HdrHistogram V2: {0}")]
    Format(String),
    #[error("the histogram is longer than {max} bytes")]
    TooLong { max: usize },
}

/// Bytes that one encoded histogram may have, packed or unpacked.
const ENCODED_MAX: usize = 4 << 20;
const COOKIE_V2: u32 = 0x1c84_9303 | 0x10;
const COOKIE_V2_DEFLATE: u32 = 0x1c84_9304 | 0x10;

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// The longest duration that is told apart, in µs.
    pub const MICROS_MAX: u64 = 3_600_000_000;
    /// How far a quantile may lie from the exact one, relatively (three significant digits).
    pub const RELATIVE_ERROR: f64 = 1e-3;

    /// An empty histogram.
    pub fn new() -> Self {
        let hdr = Hdr::new_with_bounds(1, Self::MICROS_MAX, 3).expect("the bounds are valid");
        Self(hdr)
    }

    /// Adds a duration, rounded to the nearest µs.
    pub fn record(&mut self, value: Duration) {
        self.record_micros_f64(value.as_secs_f64() * 1e6);
    }

    /// Adds a duration in µs.
    pub fn record_micros(&mut self, micros: u64) {
        self.0.saturating_record(micros.min(Self::MICROS_MAX));
    }

    /// Adds a duration in ms. What is not a number is not added.
    pub fn record_ms(&mut self, ms: f64) {
        self.record_micros_f64(ms * 1e3);
    }

    fn record_micros_f64(&mut self, micros: f64) {
        if !micros.is_nan() {
            // The cast saturates: negative becomes 0.
            self.record_micros(micros.round() as u64);
        }
    }

    /// Adds the same duration several times.
    pub fn record_micros_n(&mut self, micros: u64, count: u64) {
        self.0
            .saturating_record_n(micros.min(Self::MICROS_MAX), count);
    }

    /// Adds all of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("both have the same bounds, which no constructor changes");
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many durations were added.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The arithmetic mean in ms; 0 when empty.
    pub fn mean_ms(&self) -> f64 {
        if self.count() == 0 {
            return 0.0;
        }
        self.0.mean() / 1e3
    }

    /// The longest in ms; 0 when empty.
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// The shortest in ms; 0 when empty.
    pub fn min_ms(&self) -> f64 {
        if self.count() == 0 {
            return 0.0;
        }
        self.0.min() as f64 / 1e3
    }

    /// The quantile in ms: the smallest recorded value that at least `q` of all values do not exceed. 0 when empty.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        if self.count() == 0 {
            return 0.0;
        }
        let rank = required_rank(q, self.count());
        self.value_at_rank(rank).unwrap_or(0) as f64 / 1e3
    }

    /// Order-statistic interval of a quantile in ms; `None` when there are too few values for one of its sides.
    ///
    /// Source: David & Nagaraja, *Order Statistics*, section 7.1. Assumes independent values: see [`Self::interval_effective`].
    pub fn interval_ms(&self, q: f64, confidence: f64) -> Option<Interval> {
        self.interval_effective(q, confidence, self.count() as f64)
    }

    /// As [`Self::interval_ms`], when the values are worth only `n_effective` independent ones
    /// (see [`crate::effective_sample_size`]).
    pub fn interval_effective(
        &self,
        q: f64,
        confidence: f64,
        n_effective: f64,
    ) -> Option<Interval> {
        let n = (n_effective.floor() as u64).min(self.count());
        let (low, high) = ranks(q, n, confidence)?;
        let scale = self.count() as f64 / n as f64;
        let low = ((low - 1) as f64 * scale) as u64 + 1;
        let high = ((high as f64 * scale).ceil() as u64).min(self.count());
        Some(Interval {
            low: self.value_at_rank(low)? as f64 / 1e3,
            high: self.value_at_rank(high)? as f64 / 1e3,
        })
    }

    /// The share of values that do not exceed `ms`.
    pub fn share_within(&self, ms: f64) -> f64 {
        if self.count() == 0 {
            return 0.0;
        }
        let within = self.0.count_between(0, (ms.max(0.0) * 1e3) as u64);
        within as f64 / self.count() as f64
    }

    /// The recorded values in ms with their counts, growing.
    pub fn buckets_ms(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.0.iter_recorded().map(|step| {
            (
                self.0.median_equivalent(step.value_iterated_to()) as f64 / 1e3,
                step.count_since_last_iteration(),
            )
        })
    }

    /// The value of a rank (from 1) in µs: the middle of its bucket, never beyond the extremes.
    fn value_at_rank(&self, rank: u64) -> Option<u64> {
        if rank == 0 {
            return None;
        }
        let mut seen = 0;
        for step in self.0.iter_recorded() {
            seen += step.count_since_last_iteration();
            if seen >= rank {
                let middle = self.0.median_equivalent(step.value_iterated_to());
                return Some(middle.clamp(self.0.min(), self.0.max()));
            }
        }
        None
    }

    /// As base64 of HdrHistogram's V2 format with deflate: what its other implementations read ("HISTFAAAA...").
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .expect("writing to memory does not fail");
        STANDARD.encode(bytes)
    }

    /// Reads what [`Self::encode`] or another implementation wrote, whatever its bounds; values are taken as µs.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        if text.len() > ENCODED_MAX {
            return Err(DecodeError::TooLong { max: ENCODED_MAX });
        }
        let packed = STANDARD.decode(text.trim())?;
        let plain = unpack(&packed)?;
        let read: Hdr<u64> = Deserializer::new()
            .deserialize(&mut plain.as_slice())
            .map_err(|error| DecodeError::Format(error.to_string()))?;
        let mut histogram = Self::new();
        for step in read.iter_recorded() {
            histogram.record_micros_n(
                read.median_equivalent(step.value_iterated_to()),
                step.count_since_last_iteration(),
            );
        }
        Ok(histogram)
    }

    /// The library's histogram, for its log writer.
    pub fn as_hdr(&self) -> &Hdr<u64> {
        &self.0
    }
}

/// The uncompressed form, its stated length checked: the library would allocate whatever the header says.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let word = |bytes: &[u8], at: usize| -> Result<u32, DecodeError> {
        let bytes: [u8; 4] = bytes
            .get(at..at + 4)
            .and_then(|four| four.try_into().ok())
            .ok_or_else(|| DecodeError::Format("it ends in its header".to_owned()))?;
        Ok(u32::from_be_bytes(bytes))
    };
    let plain = match word(packed, 0)? {
        COOKIE_V2 => packed.to_vec(),
        COOKIE_V2_DEFLATE => {
            let mut plain = Vec::new();
            flate2::read::ZlibDecoder::new(packed.get(8..).unwrap_or_default())
                .take(ENCODED_MAX as u64 + 1)
                .read_to_end(&mut plain)
                .map_err(|error| DecodeError::Format(error.to_string()))?;
            plain
        }
        other => {
            return Err(DecodeError::Format(format!(
                "it begins with {other:#010x}, which is neither V2 nor V2 with deflate"
            )));
        }
    };
    if plain.len() > ENCODED_MAX {
        return Err(DecodeError::TooLong { max: ENCODED_MAX });
    }
    // Header: cookie, payload length, normalising offset, digits, lowest and highest value, conversion ratio.
    let payload = word(&plain, 4)? as usize;
    if plain.len() < 40 || payload != plain.len() - 40 {
        return Err(DecodeError::Format(format!(
            "its header promises {payload} bytes, {} follow",
            plain.len().saturating_sub(40)
        )));
    }
    if word(&plain, 12)? > 5 {
        return Err(DecodeError::Format("more than five digits".to_owned()));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests;
