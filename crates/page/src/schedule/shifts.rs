//! From layers and overrides to shifts.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span, Timestamp, ToSpan};

use super::local_time::{instant, local};
use super::{
    Layer, Override, OverrideKind, Restriction, SHIFTS_MAX, SPAN_DAYS_MAX, Schedule, Shift,
    ShiftSource, Turn,
};

/// People on call together for a stretch of time.
#[derive(Clone, Debug)]
struct Stretch<'a> {
    start: Timestamp,
    end: Timestamp,
    people: &'a [String],
}

pub(super) fn on_call_at(
    schedule: &Schedule,
    at: Timestamp,
    overrides: &[Override],
) -> Vec<(String, ShiftSource)> {
    let end = at
        .checked_add(SignedDuration::from_secs(1))
        .unwrap_or(Timestamp::MAX);
    let mut found: Vec<(String, ShiftSource)> = shifts(schedule, at, end, overrides)
        .into_iter()
        .filter(|shift| shift.start <= at && at < shift.end)
        .map(|shift| (shift.person, shift.source))
        .collect();
    found.sort();
    found
}

pub(super) fn shifts(
    schedule: &Schedule,
    from: Timestamp,
    to: Timestamp,
    overrides: &[Override],
) -> Vec<Shift> {
    let longest = SignedDuration::from_hours(24 * SPAN_DAYS_MAX);
    let to = to.min(from.checked_add(longest).unwrap_or(Timestamp::MAX));
    if from >= to {
        return Vec::new();
    }
    let layers: Vec<Vec<Stretch<'_>>> = schedule
        .layers
        .iter()
        .map(|layer| stretches(schedule, layer, from, to))
        .collect();
    let mut changes: Vec<&Override> = overrides
        .iter()
        .filter(|change| change.schedule == schedule.name)
        .filter(|change| change.from < to && change.until > from)
        .collect();
    // `Only` has the last word; otherwise in the order in which they were made.
    changes.sort_by_key(|change| (change.kind == OverrideKind::Only, &change.id));
    let mut sweep = Sweep {
        schedule,
        layers: &layers,
        changes: &changes,
        next: vec![0; layers.len()],
        open: Vec::new(),
        done: Vec::new(),
    };
    let edges: Vec<Timestamp> = edges(&layers, &changes, from, to).into_iter().collect();
    for pair in edges.windows(2) {
        sweep.take(pair[0], pair[1]);
        if sweep.done.len() > SHIFTS_MAX {
            break;
        }
    }
    sweep.finish()
}

pub(super) fn gaps(
    shifts: &[Shift],
    from: Timestamp,
    to: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    let mut gaps = Vec::new();
    let mut covered = from;
    for shift in shifts {
        if shift.start > covered {
            gaps.push((covered, shift.start));
        }
        covered = covered.max(shift.end);
    }
    if covered < to {
        gaps.push((covered, to));
    }
    gaps
}

/// Every instant at which something may change.
fn edges(
    layers: &[Vec<Stretch<'_>>],
    changes: &[&Override],
    from: Timestamp,
    to: Timestamp,
) -> BTreeSet<Timestamp> {
    let of_layers = layers
        .iter()
        .flatten()
        .flat_map(|stretch| [stretch.start, stretch.end]);
    let of_changes = changes
        .iter()
        .flat_map(|change| [change.from, change.until]);
    of_layers
        .chain(of_changes)
        .filter(|at| from < *at && *at < to)
        .chain([from, to])
        .collect()
}

/// Goes through the stretches between edges and joins equal neighbours.
struct Sweep<'a> {
    schedule: &'a Schedule,
    layers: &'a [Vec<Stretch<'a>>],
    changes: &'a [&'a Override],
    /// First stretch of each layer that may still matter.
    next: Vec<usize>,
    open: Vec<Shift>,
    done: Vec<Shift>,
}

impl Sweep<'_> {
    fn take(&mut self, start: Timestamp, end: Timestamp) {
        let mut now = self.on_call(start);
        now.sort();
        now.dedup_by(|a, b| a.0 == b.0);
        let mut open = Vec::with_capacity(now.len());
        let mut before = std::mem::take(&mut self.open);
        for (person, source) in now {
            let same = before.iter().position(|shift| {
                shift.person == person && shift.source == source && shift.end == start
            });
            open.push(match same {
                Some(index) => Shift {
                    end,
                    ..before.swap_remove(index)
                },
                None => Shift {
                    start,
                    end,
                    person,
                    source,
                },
            });
        }
        self.done.append(&mut before);
        self.open = open;
    }

    fn on_call(&mut self, at: Timestamp) -> Vec<(String, ShiftSource)> {
        let mut best: Option<i32> = None;
        let mut found: Vec<(String, ShiftSource)> = Vec::new();
        for (index, layer) in self.schedule.layers.iter().enumerate() {
            let stretches = &self.layers[index];
            while stretches
                .get(self.next[index])
                .is_some_and(|stretch| stretch.end <= at)
            {
                self.next[index] += 1;
            }
            let mut people: Vec<(String, ShiftSource)> = stretches
                .get(self.next[index])
                .filter(|stretch| stretch.start <= at)
                .map(|stretch| {
                    let source = || ShiftSource::Layer(layer.name.clone());
                    stretch
                        .people
                        .iter()
                        .map(|person| (person.clone(), source()))
                        .collect()
                })
                .unwrap_or_default();
            for change in self
                .changes
                .iter()
                .filter(|change| change.layer.as_ref() == Some(&layer.name))
            {
                apply(change, at, &mut people);
            }
            if people.is_empty() || best.is_some_and(|best| best > layer.priority) {
                continue;
            }
            if best.is_none_or(|best| best < layer.priority) {
                found.clear();
                best = Some(layer.priority);
            }
            found.append(&mut people);
        }
        for change in self.changes.iter().filter(|change| change.layer.is_none()) {
            apply(change, at, &mut found);
        }
        found
    }

    fn finish(mut self) -> Vec<Shift> {
        self.done.append(&mut self.open);
        self.done.sort();
        self.done
    }
}

fn apply(change: &Override, at: Timestamp, people: &mut Vec<(String, ShiftSource)>) {
    if at < change.from || change.until <= at {
        return;
    }
    let own = change
        .people
        .iter()
        .map(|person| (person.clone(), ShiftSource::Override(change.id.clone())));
    match change.kind {
        OverrideKind::Add => people.extend(own),
        OverrideKind::Remove => people.retain(|(person, _)| !change.people.contains(person)),
        OverrideKind::Replace => {
            let before = people.len();
            people.retain(|(person, _)| Some(person) != change.replaces.as_ref());
            if people.len() < before {
                people.extend(own);
            }
        }
        OverrideKind::Only => {
            people.clear();
            people.extend(own);
        }
    }
}

/// A layer's turns within `[from, to)`, cut to its restrictions, in order.
fn stretches<'a>(
    schedule: &Schedule,
    layer: &'a Layer,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Stretch<'a>> {
    let zone = &schedule.time_zone;
    let first = instant(zone, layer.start);
    let last = layer.until.map_or(to, |until| instant(zone, until).min(to));
    if layer.members.is_empty() || last <= from {
        return Vec::new();
    }
    let windows = windows(schedule, layer, from, last);
    let mut found = Vec::new();
    let mut index = first_turn(schedule, layer, from.max(first));
    let mut start = boundary(schedule, layer, index);
    while start < last && found.len() <= SHIFTS_MAX {
        let end = boundary(schedule, layer, index + 1);
        let members = &layer.members[(index as usize) % layer.members.len()];
        if end > from && start < end && !members.is_empty() {
            let (start, end) = (start.max(from), end.min(last));
            match &windows {
                None => found.push(Stretch {
                    start,
                    end,
                    people: members,
                }),
                Some(windows) => {
                    let begin = windows.partition_point(|(_, until)| *until <= start);
                    for (open, close) in windows[begin..].iter().take_while(|(open, _)| *open < end)
                    {
                        found.push(Stretch {
                            start: start.max(*open),
                            end: end.min(*close),
                            people: members,
                        });
                    }
                }
            }
        }
        if end == Timestamp::MAX {
            break;
        }
        index += 1;
        start = end;
    }
    found.retain(|stretch| stretch.start < stretch.end);
    found
}

/// Start of turn `index`; the end of the turn before it.
fn boundary(schedule: &Schedule, layer: &Layer, index: u64) -> Timestamp {
    let zone = &schedule.time_zone;
    let count =
        |n: u32| i64::try_from(u64::from(n.max(1)).saturating_mul(index)).unwrap_or(i64::MAX);
    let moved = |span: Result<Span, jiff::Error>| {
        let moved = span.and_then(|span| layer.start.checked_add(span));
        moved.map_or(Timestamp::MAX, |at| instant(zone, at))
    };
    match layer.turn {
        Turn::Seconds(n) => instant(zone, layer.start)
            .checked_add(SignedDuration::from_secs(count(n)))
            .unwrap_or(Timestamp::MAX),
        Turn::Days(n) => moved(Span::new().try_days(count(n))),
        Turn::Weeks(n) => moved(Span::new().try_weeks(count(n))),
        Turn::Months(n) => moved(Span::new().try_months(count(n))),
    }
}

/// The turn in which an instant lies (not before the first).
fn first_turn(schedule: &Schedule, layer: &Layer, at: Timestamp) -> u64 {
    let passed = local(&schedule.time_zone, at)
        .duration_since(layer.start)
        .as_secs()
        .max(0) as u64;
    const DAY: u64 = 86_400;
    let length = match layer.turn {
        Turn::Seconds(n) => u64::from(n.max(1)),
        Turn::Days(n) => u64::from(n.max(1)) * DAY,
        Turn::Weeks(n) => u64::from(n.max(1)) * 7 * DAY,
        Turn::Months(n) => u64::from(n.max(1)) * 31 * DAY,
    };
    // Too early rather than too late: clocks may have changed, and months differ.
    let slack = match layer.turn {
        Turn::Seconds(n) => 2 + 2 * DAY / u64::from(n.max(1)),
        _ => 2,
    };
    let mut index = (passed / length).saturating_sub(slack);
    while boundary(schedule, layer, index + 1) <= at && index < u64::MAX / 2 {
        let next = boundary(schedule, layer, index + 1);
        if next == Timestamp::MAX {
            break;
        }
        index += 1;
    }
    index
}

/// The union of a layer's weekly windows that touch `[from, to)`; `None` is always.
fn windows(
    schedule: &Schedule,
    layer: &Layer,
    from: Timestamp,
    to: Timestamp,
) -> Option<Vec<(Timestamp, Timestamp)>> {
    if layer.restrictions.is_empty() {
        return None;
    }
    let zone = &schedule.time_zone;
    let one_day = 1.day();
    let mut day = local(zone, from).date().saturating_sub(one_day);
    let last = local(zone, to).date();
    let mut found: Vec<(Timestamp, Timestamp)> = Vec::new();
    while day <= last {
        for window in &layer.restrictions {
            if let Some((open, close)) = window_on(window, day)
                && let (open, close) = (instant(zone, open), instant(zone, close))
                && open < close
            {
                found.push((open, close));
            }
        }
        let Ok(next) = day.tomorrow() else { break };
        day = next;
    }
    found.sort();
    let mut joined: Vec<(Timestamp, Timestamp)> = Vec::with_capacity(found.len());
    for (open, close) in found {
        match joined.last_mut() {
            Some((_, end)) if open <= *end => *end = (*end).max(close),
            _ => joined.push((open, close)),
        }
    }
    Some(joined)
}

fn window_on(window: &Restriction, day: Date) -> Option<(DateTime, DateTime)> {
    let bit = day.weekday().to_monday_zero_offset();
    if window.weekdays & (1 << bit) == 0 {
        return None;
    }
    let close = if window.to > window.from {
        day
    } else {
        day.tomorrow().ok()?
    };
    Some((day.to_datetime(window.from), close.to_datetime(window.to)))
}
