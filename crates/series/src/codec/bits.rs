//! Bits, most significant first.

/// Appends bits to bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, aligned left; always fewer than 64.
    pending: u64,
    pending_len: u8,
}

/// Takes bits from bytes; `None` when they run out.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Bits read from `bytes` and not yet taken, aligned left. Bits past `held` are either zero or the true next bits.
    window: u64,
    held: u32,
}

// === impl BitWriter ===

impl BitWriter {
    /// Appends the `len` (at most 64) lowest bits of `value`.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, len: u32) {
        if len == 0 {
            return;
        }
        let value = if len == 64 {
            value
        } else {
            value & ((1 << len) - 1)
        };
        let free = 64 - u32::from(self.pending_len);
        if len < free {
            self.pending |= value << (free - len);
            self.pending_len += len as u8;
            return;
        }
        let word = self.pending | (value >> (len - free));
        if self.bytes.capacity() - self.bytes.len() < 8 {
            // Chunks in the head are many and small: growing by doubling would waste half of their memory.
            self.bytes.reserve_exact(64.max(self.bytes.len() / 4));
        }
        self.bytes.extend_from_slice(&word.to_be_bytes());
        let left = len - free;
        self.pending = if left == 0 { 0 } else { value << (64 - left) };
        self.pending_len = left as u8;
    }

    /// Bits written so far.
    pub(crate) fn bit_len(&self) -> usize {
        self.bytes.len() * 8 + usize::from(self.pending_len)
    }

    /// Bytes of memory in use.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Writes the finished bytes to `out` without ending this writer.
    pub(crate) fn copy_to(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        let tail = self.pending.to_be_bytes();
        out.extend_from_slice(&tail[..usize::from(self.pending_len).div_ceil(8)]);
    }

    /// The bytes, the last one filled up with zero bits.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        let tail = self.pending.to_be_bytes();
        let tail = &tail[..usize::from(self.pending_len).div_ceil(8)];
        bytes.reserve_exact(tail.len());
        bytes.extend_from_slice(tail);
        bytes
    }
}

// === impl BitReader ===

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            window: 0,
            held: 0,
        }
    }

    #[inline]
    fn refill(&mut self) {
        if self.held > 56 {
            return;
        }
        if let Some(next) = self.bytes.get(self.position..self.position + 8) {
            let mut word = [0; 8];
            word.copy_from_slice(next);
            self.window |= u64::from_be_bytes(word) >> self.held;
            let taken = (64 - self.held) / 8;
            self.position += taken as usize;
            self.held += taken * 8;
            return;
        }
        while self.held <= 56 {
            let Some(byte) = self.bytes.get(self.position) else {
                return;
            };
            self.window |= u64::from(*byte) << (56 - self.held);
            self.position += 1;
            self.held += 8;
        }
    }

    /// Takes `len` (at most 64) bits.
    #[inline]
    pub(crate) fn take(&mut self, len: u32) -> Option<u64> {
        if len > 56 {
            let high = self.take(len - 32)?;
            return Some(high << 32 | self.take(32)?);
        }
        if len == 0 {
            return Some(0);
        }
        if self.held < len {
            self.refill();
            if self.held < len {
                return None;
            }
        }
        let value = self.window >> (64 - len);
        self.window <<= len;
        self.held -= len;
        Some(value)
    }

    /// Takes one bit.
    #[inline]
    pub(crate) fn bit(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// Counts one bits up to the zero that ends them, which is taken too; stops after `max` ones without a zero.
    #[inline]
    pub(crate) fn ones(&mut self, max: u32) -> Option<u32> {
        let mut count = 0;
        while count < max {
            if self.held == 0 {
                self.refill();
                if self.held == 0 {
                    return None;
                }
            }
            let run = (!self.window)
                .leading_zeros()
                .min(self.held)
                .min(max - count);
            count += run;
            if run == 64 {
                self.window = 0;
            } else {
                self.window <<= run;
            }
            self.held -= run;
            if count < max && self.held > 0 {
                self.window <<= 1;
                self.held -= 1;
                return Some(count);
            }
        }
        Some(count)
    }
}
