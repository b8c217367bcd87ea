//! Chance from a seed, and ids that never collide.

use bellwether_model::IdSource;

/// Numbers from a seed (Steele, Lea, Flood: SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

/// Ids from a seed. The low 22 bits count on, as those of the live source do: ids of one millisecond differ.
#[derive(Clone, Debug)]
pub struct SimIds {
    random: Random,
    count: u64,
}

const COUNTED: u64 = (1 << 22) - 1;

// === impl Random ===

impl Random {
    /// A source; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low).saturating_add(1);
        low.saturating_add((self.draw() % span) as i64)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.draw() % 1_000 < per_mille
    }

    /// One of several, which must not be none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[(self.draw() % from.len() as u64) as usize]
    }
}

// === impl SimIds ===

impl SimIds {
    /// A source; equal seeds give equal ids.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = random.draw();
        Self { random, count }
    }
}

impl IdSource for SimIds {
    fn next_u64(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        (self.random.draw() & !COUNTED) | (self.count & COUNTED)
    }

    fn skip(&mut self, ids: u64) {
        self.count = self.count.wrapping_add(ids);
    }
}
