//! XOR of neighbouring values (Pelkonen et al., "Gorilla", VLDB 2015), as Prometheus arranges its bits.

use super::CHUNK_SAMPLES_MAX;
use super::bits::{BitReader, BitWriter};

/// A chunk of floats that grows sample by sample: what the head keeps.
#[derive(Clone, Debug)]
pub(crate) struct XorChunk {
    out: BitWriter,
    values: ValueState,
    count: u16,
    first_time: i64,
    last_time: i64,
    delta: i64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueState {
    bits: u64,
    leading: u8,
    trailing: u8,
}

const NO_WINDOW: u8 = 255;

// === impl XorChunk ===

impl XorChunk {
    /// A chunk with its first sample.
    pub(crate) fn new(time: i64, value: f64) -> Self {
        let mut out = BitWriter::default();
        out.put(time as u64, 64);
        out.put(value.to_bits(), 64);
        Self {
            out,
            values: ValueState::new(value.to_bits()),
            count: 1,
            first_time: time,
            last_time: time,
            delta: 0,
        }
    }

    pub(crate) fn count(&self) -> usize {
        usize::from(self.count)
    }

    pub(crate) fn first_time(&self) -> i64 {
        self.first_time
    }

    pub(crate) fn last_time(&self) -> i64 {
        self.last_time
    }

    pub(crate) fn last_value(&self) -> f64 {
        f64::from_bits(self.values.bits)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.out.capacity()
    }

    /// Adds a sample. The caller keeps times ascending and at most [`CHUNK_SAMPLES_MAX`] samples.
    #[inline]
    pub(crate) fn push(&mut self, time: i64, value: f64) {
        let delta = time.wrapping_sub(self.last_time);
        let change = delta.wrapping_sub(self.delta);
        put_change(&mut self.out, change);
        self.values.put(&mut self.out, value.to_bits());
        self.delta = delta;
        self.last_time = time;
        self.count += 1;
    }

    /// Copies the encoded bytes, for a reader.
    pub(crate) fn copy_to(&self, out: &mut Vec<u8>) {
        self.out.copy_to(out);
    }

    /// The encoded bytes, without room to grow.
    pub(crate) fn into_bytes(self) -> Box<[u8]> {
        self.out.finish().into_boxed_slice()
    }
}

/// Decodes the bytes of an [`XorChunk`], appending to the columns.
pub(crate) fn decode(
    bytes: &[u8],
    count: usize,
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Option<()> {
    if count == 0 || count > CHUNK_SAMPLES_MAX {
        return None;
    }
    let mut reader = BitReader::new(bytes);
    times.reserve(count);
    values.reserve(count);
    let mut time = reader.take(64)? as i64;
    let mut state = ValueState::new(reader.take(64)?);
    let mut delta = 0_i64;
    times.push(time);
    values.push(f64::from_bits(state.bits));
    for _ in 1..count {
        delta = delta.wrapping_add(take_change(&mut reader)?);
        time = time.wrapping_add(delta);
        times.push(time);
        values.push(f64::from_bits(state.take(&mut reader)?));
    }
    Some(())
}

/// Encodes values alone.
pub(super) fn encode_values(out: &mut BitWriter, values: &[f64]) {
    let Some((first, rest)) = values.split_first() else {
        return;
    };
    out.put(first.to_bits(), 64);
    let mut state = ValueState::new(first.to_bits());
    for value in rest {
        state.put(out, value.to_bits());
    }
}

/// Decodes what [`encode_values`] wrote.
pub(super) fn decode_values(
    reader: &mut BitReader<'_>,
    count: usize,
    values: &mut Vec<f64>,
) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    values.reserve(count);
    let mut state = ValueState::new(reader.take(64)?);
    values.push(f64::from_bits(state.bits));
    for _ in 1..count {
        values.push(f64::from_bits(state.take(reader)?));
    }
    Some(())
}

#[inline]
pub(crate) fn put_change(out: &mut BitWriter, change: i64) {
    match change {
        0 => out.put(0, 1),
        -8191..=8192 => out.put(0b10 << 14 | (change as u64 & 0x3fff), 16),
        -65535..=65536 => out.put(0b110 << 17 | (change as u64 & 0x1_ffff), 20),
        -524_287..=524_288 => out.put(0b1110 << 20 | (change as u64 & 0xf_ffff), 24),
        _ => {
            out.put(0b1111, 4);
            out.put(change as u64, 64);
        }
    }
}

#[inline]
pub(crate) fn take_change(reader: &mut BitReader<'_>) -> Option<i64> {
    let len = match reader.ones(4)? {
        0 => return Some(0),
        1 => 14,
        2 => 17,
        3 => 20,
        _ => return Some(reader.take(64)? as i64),
    };
    let bits = reader.take(len)? as i64;
    // The range is -(2^(len-1) - 1) ..= 2^(len-1).
    Some(if bits > 1 << (len - 1) {
        bits - (1 << len)
    } else {
        bits
    })
}

// === impl ValueState ===

impl ValueState {
    pub(crate) fn new(bits: u64) -> Self {
        Self {
            bits,
            leading: NO_WINDOW,
            trailing: 0,
        }
    }

    #[inline]
    pub(crate) fn put(&mut self, out: &mut BitWriter, bits: u64) {
        let change = bits ^ self.bits;
        self.bits = bits;
        if change == 0 {
            out.put(0, 1);
            return;
        }
        let leading = change.leading_zeros().min(31) as u8;
        let trailing = change.trailing_zeros() as u8;
        if self.leading != NO_WINDOW && leading >= self.leading && trailing >= self.trailing {
            out.put(0b10, 2);
            let len = 64 - u32::from(self.leading) - u32::from(self.trailing);
            out.put(change >> self.trailing, len);
            return;
        }
        self.leading = leading;
        self.trailing = trailing;
        let len = 64 - u32::from(leading) - u32::from(trailing);
        // A length of 64 is written as 0; zero significant bits cannot occur.
        let head = 0b11 << 11 | u64::from(leading) << 6 | u64::from(len & 63);
        out.put(head, 13);
        out.put(change >> trailing, len);
    }

    #[inline]
    pub(crate) fn take(&mut self, reader: &mut BitReader<'_>) -> Option<u64> {
        if !reader.bit()? {
            return Some(self.bits);
        }
        if reader.bit()? {
            let head = reader.take(11)? as u32;
            let len = match head & 63 {
                0 => 64,
                len => len,
            };
            let leading = head >> 6;
            self.trailing = 64_u32.checked_sub(leading + len)? as u8;
            self.leading = leading as u8;
        } else if self.leading == NO_WINDOW {
            return None;
        }
        let len = 64 - u32::from(self.leading) - u32::from(self.trailing);
        self.bits ^= reader.take(len)? << self.trailing;
        Some(self.bits)
    }
}
