//! From layers and overrides to shifts.

use jiff::Timestamp;

use super::{Override, Schedule, Shift, ShiftSource};

pub(super) fn on_call_at(_: &Schedule, _: Timestamp, _: &[Override]) -> Vec<(String, ShiftSource)> {
    Vec::new()
}

pub(super) fn shifts(_: &Schedule, _: Timestamp, _: Timestamp, _: &[Override]) -> Vec<Shift> {
    Vec::new()
}

pub(super) fn gaps(_: &[Shift], _: Timestamp, _: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    Vec::new()
}
