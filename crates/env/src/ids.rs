//! Randomness.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_model::IdSource;

/// Low bits that ids take besides the time.
const COUNTED: u64 = (1 << 22) - 1;

/// Ids from the operating system's randomness. The low 22 bits count on from a random start: an id holds only those
/// besides its millisecond, and a storm makes thousands of ids in one, so that random ones would soon collide.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

static NEXT: LazyLock<AtomicU64> =
    LazyLock::new(|| AtomicU64::new(u64::from_le_bytes(random_bytes())));

impl IdSource for SystemIds {
    fn next_u64(&mut self) -> u64 {
        let counted = NEXT.fetch_add(1, Ordering::Relaxed) & COUNTED;
        (u64::from_le_bytes(random_bytes()) & !COUNTED) | counted
    }

    fn skip(&mut self, ids: u64) {
        NEXT.fetch_add(ids, Ordering::Relaxed);
    }
}

/// Random bytes, fit for keys.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that draws randomness"
)]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// A random token of 160 bits in lower-case base 32, fit for links, sessions and API tokens.
pub fn random_token() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    random_bytes::<32>()
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bellwether_model::DeliveryId;

    use super::*;

    #[test]
    fn ids_of_one_millisecond_differ() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let ids: BTreeSet<_> = (0..50_000)
            .map(|_| DeliveryId::new(now, &mut SystemIds))
            .collect();
        assert_eq!(ids.len(), 50_000);
    }
}
