//! Slots: which times a group is evaluated at.

use bellwether_model::Labels;

/// Distance of a group's slots from whole intervals: groups spread out, each keeps its place.
pub(crate) fn offset_ms(file: &str, name: &str, interval_ms: i64) -> i64 {
    let hash = Labels::new([("file", file), ("name", name)]).fingerprint();
    (hash % interval_ms.max(1) as u64) as i64
}

/// The last slot at or before `now`.
pub(crate) fn slot_at(now: i64, interval_ms: i64, offset_ms: i64) -> i64 {
    (now - offset_ms).div_euclid(interval_ms) * interval_ms + offset_ms
}

/// The first slot at or after `now`.
pub(crate) fn slot_from(now: i64, interval_ms: i64, offset_ms: i64) -> i64 {
    slot_at(now + interval_ms - 1, interval_ms, offset_ms)
}
