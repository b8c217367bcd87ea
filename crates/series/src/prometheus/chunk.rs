//! Prometheus' float chunk: the XOR encoding with its own head.

use bellwether_model::series::SampleBuffer;

use crate::codec::CHUNK_SAMPLES_MAX;
use crate::codec::bits::BitReader;
use crate::codec::bytes::unzigzag;
use crate::codec::xor::{ValueState, take_change};

/// Decodes a chunk with encoding 1, appending to `buffer`.
pub(super) fn decode_floats(bytes: &[u8], buffer: &mut SampleBuffer) -> Option<()> {
    let mut reader = BitReader::new(bytes);
    let count = reader.take(16)? as usize;
    if count > CHUNK_SAMPLES_MAX {
        return None;
    }
    let mut time = 0_i64;
    let mut delta = 0_i64;
    let mut state = ValueState::new(0);
    for index in 0..count {
        match index {
            0 => time = unzigzag(take_varint(&mut reader)?),
            1 => delta = take_varint(&mut reader)? as i64,
            _ => delta = delta.wrapping_add(take_change(&mut reader)?),
        }
        let bits = if index == 0 {
            let bits = reader.take(64)?;
            state = ValueState::new(bits);
            bits
        } else {
            time = time.wrapping_add(delta);
            state.take(&mut reader)?
        };
        buffer.timestamps.push(time);
        buffer.floats.push(f64::from_bits(bits));
    }
    Some(())
}

fn take_varint(reader: &mut BitReader<'_>) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = reader.take(8)?;
        value |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
