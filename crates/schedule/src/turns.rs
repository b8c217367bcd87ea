//! One layer alone: its turns and events, cut to its restrictions, its holidays and its time.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ToSpan};

use crate::local_time::{instant, local};
use crate::{Cover, HolidayUse, Layer, Restriction, SHIFTS_MAX, Schedule, Turn, TurnCounts};

const DAY: u64 = 86_400;

/// People on call together for a stretch of time.
#[derive(Clone, Debug)]
pub(crate) struct Stretch<'a> {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) people: &'a [String],
}

/// The layer's stretches within `[from, to)`, sorted by start. Those of events may overlap.
pub(crate) fn stretches<'a>(
    schedule: &'a Schedule,
    layer: &'a Layer,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Stretch<'a>> {
    let zone = layer
        .time_zone
        .as_ref()
        .map_or(&schedule.time_zone, |(_, zone)| zone);
    let rotation = Rotation { zone, layer };
    let begin = layer.from.map_or(layer.start, |from| from.max(layer.start));
    let first = instant(zone, begin).max(from);
    let last = layer.until.map_or(to, |until| instant(zone, until).min(to));
    if layer.members.is_empty() || last <= first {
        return Vec::new();
    }
    let windows = rotation.windows(first, last);
    let mut found = Vec::new();
    match &layer.cover {
        Cover::Turns(turn) => rotation.turns(*turn, first, last, windows.as_deref(), &mut found),
        Cover::Events { .. } => rotation.events(first, last, windows.as_deref(), &mut found),
    }
    found
}

struct Rotation<'a> {
    zone: &'a TimeZone,
    layer: &'a Layer,
}

type Windows = [(Timestamp, Timestamp)];

/// Adds `[start, end)` as far as the windows allow.
fn cut<'a>(
    (start, end): (Timestamp, Timestamp),
    people: &'a [String],
    windows: Option<&Windows>,
    found: &mut Vec<Stretch<'a>>,
) {
    if start >= end || people.is_empty() {
        return;
    }
    let Some(windows) = windows else {
        found.push(Stretch { start, end, people });
        return;
    };
    let begin = windows.partition_point(|(_, until)| *until <= start);
    for (open, close) in windows[begin..].iter().take_while(|(open, _)| *open < end) {
        let (start, end) = (start.max(*open), end.min(*close));
        if start < end {
            found.push(Stretch { start, end, people });
        }
    }
}

// === impl Rotation ===

impl<'a> Rotation<'a> {
    fn member(&self, turn: u64) -> &'a [String] {
        let members = &self.layer.members;
        &members[(turn % members.len() as u64) as usize]
    }

    fn turns(
        &self,
        turn: Turn,
        first: Timestamp,
        last: Timestamp,
        windows: Option<&Windows>,
        found: &mut Vec<Stretch<'a>>,
    ) {
        let mut index = self.first_turn(turn, first);
        let mut start = self.boundary(turn, index);
        let mut worked = self.worked_before(turn, index);
        while start < last && found.len() <= SHIFTS_MAX {
            let end = self.boundary(turn, index + 1);
            let number = worked.unwrap_or(index);
            if end > first && start < end {
                let cut_to = (start.max(first), end.min(last));
                cut(cut_to, self.member(number), windows, found);
            }
            if let Some(worked) = &mut worked {
                *worked += u64::from(self.is_worked(turn, index));
            }
            if end == Timestamp::MAX {
                break;
            }
            index += 1;
            start = end;
        }
    }

    /// Local time at which a turn begins; `None` behind the end of time.
    fn local_boundary(&self, turn: Turn, index: u64) -> Option<DateTime> {
        let count =
            |n: u32| i64::try_from(u64::from(n.max(1)).saturating_mul(index)).unwrap_or(i64::MAX);
        let span = match turn {
            Turn::Seconds(n) => Span::new().try_seconds(count(n)),
            Turn::ClockHours(n) => Span::new().try_hours(count(n)),
            Turn::Days(n) => Span::new().try_days(count(n)),
            Turn::Weeks(n) => Span::new().try_weeks(count(n)),
            Turn::Months(n) => Span::new().try_months(count(n)),
        };
        self.layer.start.checked_add(span.ok()?).ok()
    }

    /// Start of turn `index`; the end of the turn before it.
    fn boundary(&self, turn: Turn, index: u64) -> Timestamp {
        if let Turn::Seconds(n) = turn {
            let seconds = u64::from(n.max(1)).saturating_mul(index);
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            return instant(self.zone, self.layer.start)
                .checked_add(SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MAX);
        }
        let at = |index| {
            self.local_boundary(turn, index)
                .map_or(Timestamp::MAX, |at| instant(self.zone, at))
        };
        let own = at(index);
        let Turn::ClockHours(n) = turn else {
            return own;
        };
        // Where clocks jump, a time before the jump is read past it: a later hand-over must not come before it.
        let back = (25 / u64::from(n.max(1)) + 1).min(index);
        (1..=back).map(|n| at(index - n)).fold(own, Timestamp::max)
    }

    /// The turn in which an instant lies (not before the first).
    fn first_turn(&self, turn: Turn, at: Timestamp) -> u64 {
        let passed = local(self.zone, at)
            .duration_since(self.layer.start)
            .as_secs()
            .max(0) as u64;
        let length = match turn {
            Turn::Seconds(n) => u64::from(n.max(1)),
            Turn::ClockHours(n) => u64::from(n.max(1)) * 3600,
            Turn::Days(n) => u64::from(n.max(1)) * DAY,
            Turn::Weeks(n) => u64::from(n.max(1)) * 7 * DAY,
            Turn::Months(n) => u64::from(n.max(1)) * 31 * DAY,
        };
        // Too early rather than too late: clocks may have changed, and months differ.
        let slack = match turn {
            Turn::Seconds(_) | Turn::ClockHours(_) => 2 + 2 * DAY / length,
            _ => 2,
        };
        let mut index = (passed / length).saturating_sub(slack);
        loop {
            let next = self.boundary(turn, index + 1);
            if next > at || next == Timestamp::MAX {
                return index;
            }
            index += 1;
        }
    }

    /// Turns before `index` with a window in them; `None` when all turns count.
    fn worked_before(&self, turn: Turn, index: u64) -> Option<u64> {
        if self.layer.turn_counts == TurnCounts::Wall || self.layer.restrictions.is_empty() {
            return None;
        }
        // Turns of whole days see the same weekdays again after seven; longer ones always have a window or never.
        let Turn::Days(_) = turn else {
            return Some((0..index).filter(|n| self.is_worked(turn, *n)).count() as u64);
        };
        let in_cycle = |until: u64| (0..until).filter(|n| self.is_worked(turn, *n)).count() as u64;
        Some(index / 7 * in_cycle(7) + in_cycle(index % 7))
    }

    /// Whether a restriction leaves anything of a turn, by local time.
    fn is_worked(&self, turn: Turn, index: u64) -> bool {
        let bounds = self
            .local_boundary(turn, index)
            .zip(self.local_boundary(turn, index + 1));
        let Some((start, end)) = bounds else {
            return true;
        };
        let mut day = start.date().saturating_sub(7.days());
        let last = end.date().min(start.date().saturating_add(8.days()));
        while day <= last {
            let open = |window: &Restriction| {
                window_on(window, day).is_some_and(|(open, close)| open < end && start < close)
            };
            if self.layer.restrictions.iter().any(open) {
                return true;
            }
            let Ok(next) = day.tomorrow() else {
                return false;
            };
            day = next;
        }
        false
    }

    fn events(
        &self,
        first: Timestamp,
        last: Timestamp,
        windows: Option<&Windows>,
        found: &mut Vec<Stretch<'a>>,
    ) {
        let Cover::Events {
            rule,
            seconds,
            per_member,
            except,
        } = &self.layer.cover
        else {
            return;
        };
        let seconds = i64::from((*seconds).max(1));
        // Worked turns are counted from the first event on; the others follow from their period.
        let begin = match self.layer.turn_counts {
            TurnCounts::Wall => {
                let back = SignedDuration::from_secs(seconds + 2 * DAY as i64);
                let early = first.checked_sub(back).unwrap_or(Timestamp::MIN);
                local(self.zone, early)
            }
            TurnCounts::Worked => self.layer.start,
        };
        let per_member = u64::from((*per_member).max(1));
        for (number, one) in (0_u64..).zip(rule.skipping_to(self.layer.start, begin)) {
            let start = instant(self.zone, one.at);
            if start >= last || found.len() > SHIFTS_MAX || rule.has_ended(one.at, self.zone) {
                break;
            }
            let end = self.event_end(one.at, start, seconds);
            if end <= first || except.contains(&one.at) {
                continue;
            }
            let number = match self.layer.turn_counts {
                TurnCounts::Wall => one.period,
                TurnCounts::Worked => number,
            };
            let cut_to = (start.max(first), end.min(last));
            cut(cut_to, self.member(number / per_member), windows, found);
        }
        found.sort_by_key(|stretch| stretch.start);
    }

    /// Whole days end at the same time of the clock (RFC 5545 calls this nominal); hours are elapsed.
    fn event_end(&self, at: DateTime, start: Timestamp, seconds: i64) -> Timestamp {
        if seconds % DAY as i64 == 0 {
            let days = seconds / DAY as i64;
            let end = at.checked_add(days.days()).unwrap_or(DateTime::MAX);
            return instant(self.zone, end);
        }
        let end = start.checked_add(SignedDuration::from_secs(seconds));
        end.unwrap_or(Timestamp::MAX)
    }

    /// When the layer may be on call within `[from, to)`: the union of its weekly windows, without (or only) its
    /// holidays. `None` is always.
    fn windows(&self, from: Timestamp, to: Timestamp) -> Option<Vec<(Timestamp, Timestamp)>> {
        let (first_day, last_day) = (local(self.zone, from).date(), local(self.zone, to).date());
        let weekly = (!self.layer.restrictions.is_empty())
            .then(|| self.weekly(first_day.saturating_sub(8.days()), last_day));
        let Some((how, holidays)) = &self.layer.holidays else {
            return weekly;
        };
        let days: Vec<(Timestamp, Timestamp)> = holidays
            .stretches(first_day.saturating_sub(1.day()), last_day)
            .into_iter()
            .map(|(start, end)| (instant(self.zone, start), instant(self.zone, end)))
            .filter(|(start, end)| start < end)
            .collect();
        let weekly = weekly.unwrap_or_else(|| vec![(from, to)]);
        Some(match how {
            HolidayUse::Off => without(&weekly, &days),
            HolidayUse::Only => both(&weekly, &days),
        })
    }

    fn weekly(&self, mut day: Date, last: Date) -> Vec<(Timestamp, Timestamp)> {
        let mut found: Vec<(Timestamp, Timestamp)> = Vec::new();
        while day <= last {
            for window in &self.layer.restrictions {
                if let Some((open, close)) = window_on(window, day)
                    && let (open, close) = (instant(self.zone, open), instant(self.zone, close))
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
        joined
    }
}

fn window_on(window: &Restriction, day: Date) -> Option<(DateTime, DateTime)> {
    let bit = day.weekday().to_monday_zero_offset();
    if window.weekdays & (1 << bit) == 0 {
        return None;
    }
    let close = day.checked_add(i64::from(window.days_later).days()).ok()?;
    Some((day.to_datetime(window.from), close.to_datetime(window.to)))
}

/// What two sorted lists have in common.
fn both(a: &Windows, b: &Windows) -> Vec<(Timestamp, Timestamp)> {
    let mut found = Vec::new();
    let mut from = 0;
    for (open, close) in a {
        from += b[from..].partition_point(|(_, until)| until <= open);
        for (start, end) in b[from..].iter().take_while(|(start, _)| start < close) {
            found.push(((*open).max(*start), (*close).min(*end)));
        }
    }
    found
}

/// The first list without the second.
fn without(a: &Windows, b: &Windows) -> Vec<(Timestamp, Timestamp)> {
    let mut found = Vec::new();
    for (open, close) in a {
        let mut at = *open;
        let from = b.partition_point(|(_, until)| until <= open);
        for (start, end) in b[from..].iter().take_while(|(start, _)| start < close) {
            if at < *start {
                found.push((at, *start));
            }
            at = at.max(*end);
        }
        if at < *close {
            found.push((at, *close));
        }
    }
    found
}
