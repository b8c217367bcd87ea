//! Who is on call: layers of rotations, overrides, and the shifts they give.
//!
//! A layer hands over at local times. All local times are resolved by one function ([`local_time::instant`], the rule
//! of RFC 5545), for the end of a turn and for the start of the next, so that no gap or overlap can arise where clocks
//! change. Intervals are half-open, in whole seconds.

pub mod local_time;
mod shifts;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A schedule: layers by priority; those of equal priority are on call together.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub name: String,
    /// IANA name.
    pub time_zone_name: String,
    pub time_zone: TimeZone,
    pub layers: Vec<Layer>,
}

/// One rotation.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub name: String,
    /// A higher number takes the place of a lower one where it has somebody.
    pub priority: i32,
    /// Taken in turn. A member is a list of people: one, a pair, a team, or nobody (an empty turn).
    pub members: Vec<Vec<String>>,
    /// Local time of the first hand-over; nobody is on call before.
    pub start: DateTime,
    /// Local time from which the layer is gone.
    pub until: Option<DateTime>,
    pub turn: Turn,
    /// Only within these windows; empty is always.
    pub restrictions: Vec<Restriction>,
}

/// How long a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Seconds of elapsed time.
    Seconds(u32),
    /// Local days: hand-over at the same time of the clock.
    Days(u32),
    /// Local weeks.
    Weeks(u32),
    /// Calendar months; a day that a month lacks is its last.
    Months(u32),
}

/// A weekly window of local time. `to` not after `from` reaches into the next day; `24:00` is `to == 00:00`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// Bit 0 is Monday. The day on which the window begins.
    pub weekdays: u8,
    pub from: Time,
    pub to: Time,
}

/// How an override changes who is on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrideKind {
    /// On call too.
    Add,
    /// Not on call.
    Remove,
    /// In somebody's place; does nothing while that person is not on call.
    Replace,
    /// These and nobody else.
    Only,
}

/// A change of who is on call, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    pub version: u32,
    pub id: String,
    pub schedule: String,
    pub layer: Option<String>,
    pub kind: OverrideKind,
    pub people: Vec<String>,
    pub replaces: Option<String>,
    pub from: Timestamp,
    /// Not included.
    pub until: Timestamp,
    pub by: String,
    pub comment: String,
}

/// Where a shift comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShiftSource {
    Layer(String),
    Override(String),
}

/// One person on call without a break, `[start, end)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shift {
    pub start: Timestamp,
    pub end: Timestamp,
    pub person: String,
    pub source: ShiftSource,
}

/// Shifts that one question may return.
pub const SHIFTS_MAX: usize = 100_000;
/// Days that one question may cover.
pub const SPAN_DAYS_MAX: i64 = 3_700;

// === impl ShiftSource ===

impl std::fmt::Display for ShiftSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Layer(name) => write!(f, "layer {name}"),
            Self::Override(id) => write!(f, "override {id}"),
        }
    }
}

// === impl Schedule ===

impl Schedule {
    /// Who is on call at an instant, and why; people sorted. Overrides of other schedules are ignored.
    pub fn on_call_at(&self, at: Timestamp, overrides: &[Override]) -> Vec<(String, ShiftSource)> {
        shifts::on_call_at(self, at, overrides)
    }

    /// Shifts that overlap `[from, to)`, cut to it, sorted by start. Within one schedule, a person has no two shifts
    /// at the same time.
    pub fn shifts(&self, from: Timestamp, to: Timestamp, overrides: &[Override]) -> Vec<Shift> {
        shifts::shifts(self, from, to, overrides)
    }

    /// Stretches of `[from, to)` in which nobody is on call.
    pub fn gaps(
        &self,
        from: Timestamp,
        to: Timestamp,
        overrides: &[Override],
    ) -> Vec<(Timestamp, Timestamp)> {
        shifts::gaps(&self.shifts(from, to, overrides), from, to)
    }
}
