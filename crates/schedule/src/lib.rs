//! Who is on call: layers of rotations, overrides, holidays, and the shifts they give.
//!
//! What it does: one model that expresses the schedules of PagerDuty (v2 and v3), Opsgenie, Grafana OnCall and GoAlert.
//! A schedule is layers by priority; those of equal priority are on call together, and a higher one takes the place of
//! a lower one where it has somebody. Overrides change the result: `only` has the last word, then overrides of the
//! schedule, then those of a layer, then the layers.
//!
//! Entry points: [`Schedule::shifts`], [`Schedule::on_call_at`], [`read`] (YAML), [`recur`] (RFC 5545 rules),
//! [`ical`] (calendars in and out), [`import`] (other products' API answers to YAML), [`report`] (gaps, fairness,
//! what an edit changes).
//!
//! Invariants: pure, no clock. All local times are resolved by one function ([`local_time::instant`], the rule of
//! RFC 5545), for the end of a turn and for the start of the next, so that no gap or overlap can arise where clocks
//! change. Intervals are half-open, in whole seconds.
//!
//! Not here: people's addresses, policies, who is paged (page).

pub mod holiday;
pub mod ical;
pub mod import;
pub mod local_time;
pub mod read;
pub mod recur;
pub mod report;
mod shifts;
mod turns;
pub mod write;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use holiday::Holidays;
use recur::Recurrence;

/// A schedule: layers by priority; those of equal priority are on call together.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub name: String,
    /// Whose it is; calendars of a team hold all its schedules.
    pub team: Option<String>,
    /// IANA name.
    pub time_zone_name: String,
    pub time_zone: TimeZone,
    pub layers: Vec<Layer>,
    /// Overrides that the configuration gives; those made on the way are records of the pager.
    pub overrides: Vec<Override>,
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
    /// Local time from which the layer is there, when that is later than `start` (which then only says whose turn
    /// it is).
    pub from: Option<DateTime>,
    /// Local time from which the layer is gone.
    pub until: Option<DateTime>,
    pub cover: Cover,
    /// Which turns count for "who is next".
    pub turn_counts: TurnCounts,
    /// Only within these windows; empty is always.
    pub restrictions: Vec<Restriction>,
    /// Days on which the layer is off, or the only ones on which it is on.
    pub holidays: Option<(HolidayUse, Holidays)>,
    /// The layer's own zone; the schedule's when absent.
    pub time_zone: Option<(String, TimeZone)>,
}

/// When a layer has somebody.
#[derive(Clone, Debug, PartialEq)]
pub enum Cover {
    /// Without a break, in turns of one length.
    Turns(Turn),
    /// At the times of a recurrence rule, each so long (elapsed time for hours, local time for whole days).
    Events {
        rule: Box<Recurrence>,
        seconds: u32,
        /// Events that one member has before the next.
        per_member: u32,
        /// Occurrences that are left out, by their local start.
        except: Vec<DateTime>,
    },
}

/// Which turns count for "who is next".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnCounts {
    /// All that pass by the clock, also those that a restriction hides (PagerDuty v2).
    Wall,
    /// Only those with time on call in them (PagerDuty v3, Grafana OnCall's days).
    Worked,
}

/// What a layer does on holidays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolidayUse {
    /// Nobody is on call on it.
    Off,
    /// It is on call on holidays alone.
    Only,
}

/// How long a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Seconds of elapsed time.
    Seconds(u32),
    /// Hours of the clock: a repeated hour is not counted twice, a skipped one not left out (GoAlert).
    ClockHours(u32),
    /// Local days: hand-over at the same time of the clock.
    Days(u32),
    /// Local weeks.
    Weeks(u32),
    /// Calendar months; a day that a month lacks is its last.
    Months(u32),
}

/// A weekly window of local time. `24:00` is `to == 00:00` on the next day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// Bit 0 is Monday. The day on which the window begins.
    pub weekdays: u8,
    pub from: Time,
    pub to: Time,
    /// Days later on which it ends, up to 7.
    pub days_later: u8,
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

// === impl OverrideKind ===

impl OverrideKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Add, Self::Remove, Self::Replace, Self::Only];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::Only => "only",
        }
    }
}

// === impl ShiftSource ===

impl std::fmt::Display for ShiftSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Layer(name) => write!(f, "layer {name}"),
            Self::Override(id) => write!(f, "override {id}"),
        }
    }
}

// === impl Layer ===

impl Layer {
    /// A layer that is always there, in the schedule's zone.
    pub fn new(name: &str, members: Vec<Vec<String>>, start: DateTime, cover: Cover) -> Self {
        Self {
            name: name.to_owned(),
            priority: 0,
            members,
            start,
            from: None,
            until: None,
            turn_counts: match cover {
                Cover::Turns(_) => TurnCounts::Wall,
                Cover::Events { .. } => TurnCounts::Worked,
            },
            cover,
            restrictions: Vec::new(),
            holidays: None,
            time_zone: None,
        }
    }
}

// === impl Schedule ===

impl Schedule {
    /// Who is on call at an instant, and why; people sorted. Overrides of other schedules are ignored; those of the
    /// configuration hold too.
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

    /// Everybody whom the layers and the configuration's overrides name, sorted.
    pub fn people(&self) -> Vec<&str> {
        let layers = self
            .layers
            .iter()
            .flat_map(|layer| layer.members.iter().flatten());
        let overrides = self.overrides.iter().flat_map(|change| &change.people);
        let mut people: Vec<&str> = layers.chain(overrides).map(String::as_str).collect();
        people.sort_unstable();
        people.dedup();
        people
    }
}
