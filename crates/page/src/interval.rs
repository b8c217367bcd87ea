//! Alertmanager's time intervals: minutes of the day, weekdays, days of the month, months, years, in a location.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One interval: it holds when each non-empty list has an entry that holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeInterval {
    /// Minutes of the day, `[start, end)`; 1440 is 24:00.
    pub times: Vec<(u16, u16)>,
    /// Both ends included; 0 is Sunday.
    pub weekdays: Vec<(u8, u8)>,
    /// Both ends included; negative counts from the end of the month.
    pub days_of_month: Vec<(i8, i8)>,
    /// Both ends included.
    pub months: Vec<(u8, u8)>,
    /// Both ends included.
    pub years: Vec<(i32, i32)>,
    /// UTC when absent.
    pub location: Option<TimeZone>,
}

// === impl TimeInterval ===

impl TimeInterval {
    /// Whether an instant lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        let zone = self.location.clone().unwrap_or(TimeZone::UTC);
        let local = zone.to_datetime(at);
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let weekday = local.weekday().to_sunday_zero_offset();
        within(&self.times, |(from, to)| {
            (i64::from(from)..i64::from(to)).contains(&minute)
        }) && within(&self.weekdays, |(from, to)| {
            (from as i8..=to as i8).contains(&weekday)
        }) && within(&self.days_of_month, |range| {
            day_within(range, local.day(), local.days_in_month())
        }) && within(&self.months, |(from, to)| {
            (from as i8..=to as i8).contains(&local.month())
        }) && within(&self.years, |(from, to)| {
            (from..=to).contains(&i32::from(local.year()))
        })
    }
}

fn within<T: Copy>(ranges: &[T], hit: impl Fn(T) -> bool) -> bool {
    ranges.is_empty() || ranges.iter().any(|range| hit(*range))
}

/// A negative day counts from the month's last; both ends are clamped to the month.
fn day_within((from, to): (i8, i8), day: i8, last: i8) -> bool {
    let absolute = |edge: i8| if edge < 0 { last + edge + 1 } else { edge };
    let (from, to) = (absolute(from), absolute(to));
    // A range that lies wholly outside the month never holds.
    if from > last || to < 1 {
        return false;
    }
    (from.max(1)..=to.min(last)).contains(&day)
}

#[cfg(test)]
mod tests;
