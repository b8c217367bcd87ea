//! What a schedule means for people: gaps, load and its fairness, hard nights, and what an edit changes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::local_time::{instant, local};
use crate::{Schedule, Shift};

/// The night, by the person's own clock (or the schedule's).
const NIGHT: (Time, Time) = (Time::constant(22, 0, 0, 0), Time::constant(6, 0, 0, 0));
/// Rest between two shifts that labour law in the EU asks for.
pub const REST: SignedDuration = SignedDuration::from_hours(11);
/// Of a night that counts, so much must be on call.
const NIGHT_PART: SignedDuration = SignedDuration::from_hours(2);

/// A stretch in which nobody is on call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub schedule: String,
    pub start: Timestamp,
    pub end: Timestamp,
    pub seconds: i64,
}

/// What one person carries in a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub person: String,
    /// Shifts, neighbouring ones counted as one.
    pub shifts: usize,
    pub hours: f64,
    /// Of those, between 22:00 and 06:00.
    pub night_hours: f64,
    /// Of those, on Saturday and Sunday.
    pub weekend_hours: f64,
    /// Nights with at least two hours on call.
    pub nights: usize,
    /// Nights that follow such a night.
    pub nights_in_a_row: usize,
    /// Nights in which the clock changes.
    pub clock_change_nights: usize,
    /// Hours of rest between two shifts, the least; `None` with one shift.
    pub least_rest_hours: Option<f64>,
    /// Hours compared with the mean of all: 1 is the same.
    pub share: f64,
}

/// Load of everybody, and how even it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    pub schedule: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub people: Vec<Load>,
    /// 1 is even; the share of the least loaded in the most loaded person's hours.
    pub evenness: f64,
    /// The same for nights.
    pub night_evenness: f64,
}

/// What an edit changes in a span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Stretches whose people are others than before.
    pub moved: Vec<Moved>,
    pub gaps_added: Vec<Gap>,
    pub gaps_closed: Vec<Gap>,
    /// `ana: 2026-03-01 and 2026-03-02`.
    pub nights_in_a_row_added: Vec<String>,
    pub clock_change_nights_added: Vec<String>,
}

/// A stretch with other people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub schedule: String,
    pub start: Timestamp,
    pub end: Timestamp,
    pub before: Vec<String>,
    pub after: Vec<String>,
}

/// Gaps of a schedule's shifts within `[from, to)`.
pub fn gaps(schedule: &str, shifts: &[Shift], from: Timestamp, to: Timestamp) -> Vec<Gap> {
    crate::shifts::gaps(shifts, from, to)
        .into_iter()
        .map(|(start, end)| Gap {
            schedule: schedule.to_owned(),
            start,
            end,
            seconds: end.duration_since(start).as_secs(),
        })
        .collect()
}

/// A person's shifts with neighbours joined: where one layer ends and another begins, nothing ends for the person.
fn joined(shifts: &[Shift]) -> BTreeMap<&str, Vec<(Timestamp, Timestamp)>> {
    let mut by_person: BTreeMap<&str, Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
    for shift in shifts {
        let own = by_person.entry(&shift.person).or_default();
        match own.last_mut() {
            Some((_, end)) if *end >= shift.start => *end = (*end).max(shift.end),
            _ => own.push((shift.start, shift.end)),
        }
    }
    by_person
}

fn overlap(a: (Timestamp, Timestamp), b: (Timestamp, Timestamp)) -> SignedDuration {
    let (start, end) = (a.0.max(b.0), a.1.min(b.1));
    if start < end {
        end.duration_since(start)
    } else {
        SignedDuration::ZERO
    }
}

fn hours(duration: SignedDuration) -> f64 {
    (duration.as_secs_f64() / 360.0).round() / 10.0
}

/// Nights of a stretch: the day on which each begins, and when it is.
fn nights(
    zone: &TimeZone,
    start: Timestamp,
    end: Timestamp,
) -> Vec<(Date, (Timestamp, Timestamp))> {
    let mut found = Vec::new();
    let mut day = local(zone, start).date().saturating_sub(1.day());
    let last = local(zone, end).date();
    while day <= last {
        let Ok(next) = day.checked_add(1.day()) else {
            break;
        };
        let night = (
            instant(zone, day.to_datetime(NIGHT.0)),
            instant(zone, next.to_datetime(NIGHT.1)),
        );
        if night.0 < end && start < night.1 {
            found.push((day, night));
        }
        day = next;
    }
    found
}

/// Days on whose night a person is on call, and of those the ones with a change of the clock.
fn nights_on_call(
    zone: &TimeZone,
    own: &[(Timestamp, Timestamp)],
) -> (BTreeSet<Date>, BTreeSet<Date>) {
    let mut worked: BTreeMap<Date, (SignedDuration, bool)> = BTreeMap::new();
    for stretch in own {
        for (day, night) in nights(zone, stretch.0, stretch.1) {
            let changes = night.1.duration_since(night.0) != SignedDuration::from_hours(8);
            let entry = worked.entry(day).or_insert((SignedDuration::ZERO, changes));
            entry.0 += overlap(*stretch, night);
        }
    }
    let counted = worked.iter().filter(|(_, (time, _))| *time >= NIGHT_PART);
    let all = counted.clone().map(|(day, _)| *day).collect();
    let changing = counted
        .filter(|(_, (_, changes))| *changes)
        .map(|(day, _)| *day)
        .collect();
    (all, changing)
}

fn in_a_row(nights: &BTreeSet<Date>) -> Vec<(Date, Date)> {
    nights
        .iter()
        .filter_map(|day| {
            let before = day.checked_sub(1.day()).ok()?;
            nights.contains(&before).then_some((before, *day))
        })
        .collect()
}

/// Load of everybody on a schedule. `zone_of` is a person's own zone, for whose night it is.
pub fn fairness(
    schedule: &Schedule,
    shifts: &[Shift],
    (from, to): (Timestamp, Timestamp),
    zone_of: &dyn Fn(&str) -> Option<TimeZone>,
) -> Fairness {
    let by_person = joined(shifts);
    let mut people: Vec<Load> = Vec::new();
    let none = Vec::new();
    let mut names: BTreeSet<&str> = schedule.people().into_iter().collect();
    names.extend(by_person.keys());
    for person in names {
        let own = by_person.get(person).unwrap_or(&none);
        let zone = zone_of(person).unwrap_or_else(|| schedule.time_zone.clone());
        people.push(load(person, own, &zone));
    }
    let mean = people.iter().map(|load| load.hours).sum::<f64>() / people.len().max(1) as f64;
    for load in &mut people {
        load.share = if mean > 0.0 {
            (load.hours / mean * 100.0).round() / 100.0
        } else {
            1.0
        };
    }
    let even = |values: Vec<f64>| {
        let most = values.iter().copied().fold(0.0, f64::max);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        if most > 0.0 {
            (least / most * 100.0).round() / 100.0
        } else {
            1.0
        }
    };
    Fairness {
        schedule: schedule.name.clone(),
        from,
        to,
        evenness: even(people.iter().map(|load| load.hours).collect()),
        night_evenness: even(people.iter().map(|load| load.night_hours).collect()),
        people,
    }
}

fn load(person: &str, own: &[(Timestamp, Timestamp)], zone: &TimeZone) -> Load {
    let total: SignedDuration = own
        .iter()
        .map(|(start, end)| end.duration_since(*start))
        .fold(SignedDuration::ZERO, |a, b| a + b);
    let mut night = SignedDuration::ZERO;
    let mut weekend = SignedDuration::ZERO;
    for stretch in own {
        for (_, at) in nights(zone, stretch.0, stretch.1) {
            night += overlap(*stretch, at);
        }
        weekend += weekend_part(zone, *stretch);
    }
    let (nights, changing) = nights_on_call(zone, own);
    let rest = own
        .windows(2)
        .map(|pair| pair[1].0.duration_since(pair[0].1))
        .min();
    Load {
        person: person.to_owned(),
        shifts: own.len(),
        hours: hours(total),
        night_hours: hours(night),
        weekend_hours: hours(weekend),
        nights: nights.len(),
        nights_in_a_row: in_a_row(&nights).len(),
        clock_change_nights: changing.len(),
        least_rest_hours: rest.map(hours),
        share: 0.0,
    }
}

fn weekend_part(zone: &TimeZone, (start, end): (Timestamp, Timestamp)) -> SignedDuration {
    let mut total = SignedDuration::ZERO;
    let mut day = local(zone, start).date();
    let last = local(zone, end).date();
    while day <= last {
        let Ok(next) = day.checked_add(1.day()) else {
            break;
        };
        if day.weekday().to_monday_zero_offset() >= 5 {
            let whole = (
                instant(zone, day.at(0, 0, 0, 0)),
                instant(zone, next.at(0, 0, 0, 0)),
            );
            total += overlap((start, end), whole);
        }
        day = next;
    }
    total
}

/// People on call at an instant, of sorted shifts.
fn people_at(shifts: &[Shift], at: Timestamp) -> Vec<String> {
    let mut people: Vec<String> = shifts
        .iter()
        .filter(|shift| shift.start <= at && at < shift.end)
        .map(|shift| shift.person.clone())
        .collect();
    people.sort();
    people.dedup();
    people
}

/// What has changed from one schedule's shifts to another's within `[from, to)`.
pub fn changes(
    schedule: &Schedule,
    before: &[Shift],
    after: &[Shift],
    (from, to): (Timestamp, Timestamp),
) -> Changes {
    let mut edges: Vec<Timestamp> = before
        .iter()
        .chain(after)
        .flat_map(|shift| [shift.start, shift.end])
        .chain([from, to])
        .filter(|at| from <= *at && *at <= to)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let mut moved: Vec<Moved> = Vec::new();
    for pair in edges.windows(2) {
        let (was, is) = (people_at(before, pair[0]), people_at(after, pair[0]));
        if was == is {
            continue;
        }
        match moved.last_mut() {
            Some(last) if last.end == pair[0] && last.before == was && last.after == is => {
                last.end = pair[1];
            }
            _ => moved.push(Moved {
                schedule: schedule.name.clone(),
                start: pair[0],
                end: pair[1],
                before: was,
                after: is,
            }),
        }
    }
    let old_gaps = gaps(&schedule.name, before, from, to);
    let new_gaps = gaps(&schedule.name, after, from, to);
    let hard = |shifts: &[Shift]| {
        let mut rows: BTreeSet<String> = BTreeSet::new();
        let mut clocks: BTreeSet<String> = BTreeSet::new();
        for (person, own) in joined(shifts) {
            let (nights, changing) = nights_on_call(&schedule.time_zone, &own);
            // A week on call is nights in a row by design: only those that a hand-over lies between count.
            let breaks: BTreeSet<Date> = own
                .iter()
                .skip(1)
                .map(|(start, _)| local(&schedule.time_zone, *start).date())
                .collect();
            rows.extend(
                in_a_row(&nights)
                    .into_iter()
                    .filter(|(_, second)| breaks.contains(second))
                    .map(|(first, second)| format!("{person}: {first} and {second}")),
            );
            clocks.extend(changing.into_iter().map(|day| format!("{person}: {day}")));
        }
        (rows, clocks)
    };
    let (old_rows, old_clocks) = hard(before);
    let (new_rows, new_clocks) = hard(after);
    Changes {
        moved,
        gaps_added: new_gaps
            .iter()
            .filter(|gap| !old_gaps.contains(gap))
            .cloned()
            .collect(),
        gaps_closed: old_gaps
            .iter()
            .filter(|gap| !new_gaps.contains(gap))
            .cloned()
            .collect(),
        nights_in_a_row_added: new_rows.difference(&old_rows).cloned().collect(),
        clock_change_nights_added: new_clocks.difference(&old_clocks).cloned().collect(),
    }
}

// === impl Changes ===

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
