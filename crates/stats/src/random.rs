//! Numbers from a seed: what simulation and resampling draw from. Equal seeds give equal results on every machine.

use crate::special::normal_quantile_fast;

/// A generator with a seed.
///
/// Source: Steele, Lea, Flood, *Fast splittable pseudorandom number generators* (2014), SplitMix64. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in the open interval (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.draw() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// A whole number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        // Multiply-shift (Lemire 2019); the bias is below 2^-32 for every length that fits in memory.
        ((u128::from(self.draw()) * end as u128) >> 64) as usize
    }

    /// A draw from the standard normal distribution, by inversion.
    pub fn normal(&mut self) -> f64 {
        normal_quantile_fast(self.uniform())
    }

    /// A draw from the exponential distribution with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Puts the items in a random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}
