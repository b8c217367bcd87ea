//! Recurrence rules of iCalendar (RFC 5545, section 3.3.10), on local times.
//!
//! A rule's candidates are the days of one period (a year, month, week, day); the `BY` parts keep those that fit, and
//! `BYSETPOS` picks among them. Frequencies finer than an hour are refused: nobody hands over each minute.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::{Timestamp, ToSpan};

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// When the rule ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The whole day is in.
    Date(Date),
    Local(DateTime),
    Instant(Timestamp),
}

/// A rule, without its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence {
    pub frequency: Frequency,
    pub interval: u32,
    pub count: Option<u32>,
    pub until: Option<Until>,
    pub by_month: Vec<i8>,
    pub by_week_number: Vec<i8>,
    pub by_year_day: Vec<i16>,
    pub by_month_day: Vec<i8>,
    /// With 0 for every one, 2 for the second, -1 for the last of its month or year.
    pub by_day: Vec<(i16, Weekday)>,
    pub by_hour: Vec<i8>,
    pub by_minute: Vec<i8>,
    pub by_second: Vec<i8>,
    pub by_set_position: Vec<i16>,
    pub week_start: Weekday,
}

/// Entries of one list of a rule.
const LIST_MAX: usize = 400;
/// Periods without an occurrence after which a rule counts as one that never comes.
const PERIODS_MAX: u64 = 100_000;

const DAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Monday),
    ("TU", Weekday::Tuesday),
    ("WE", Weekday::Wednesday),
    ("TH", Weekday::Thursday),
    ("FR", Weekday::Friday),
    ("SA", Weekday::Saturday),
    ("SU", Weekday::Sunday),
];

/// An occurrence: which period it lies in (from 0, counted in steps of the interval) and its local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub period: u64,
    pub at: DateTime,
}

/// Occurrences in order, from the first.
#[derive(Debug)]
pub struct Occurrences<'a> {
    rule: &'a Recurrence,
    start: DateTime,
    period: u64,
    waiting: std::vec::IntoIter<DateTime>,
    given: u32,
    done: bool,
}

fn weekday(text: &str) -> Option<Weekday> {
    DAYS.iter()
        .find(|(name, _)| *name == text)
        .map(|(_, day)| *day)
}

fn list<T: FromStr>(key: &str, text: &str, fits: impl Fn(&T) -> bool) -> Result<Vec<T>, String> {
    let items: Vec<&str> = text.split(',').collect();
    if items.len() > LIST_MAX {
        return Err(format!("{key} has more than {LIST_MAX} entries"));
    }
    items
        .into_iter()
        .map(|item| {
            let number = item.trim().trim_start_matches('+').parse().ok();
            number
                .filter(|number| fits(number))
                .ok_or_else(|| format!("{key}: {item:?} does not fit"))
        })
        .collect()
}

/// `20261231`, `20261231T090000` or `20261231T090000Z`; RFC 3339 as well.
fn until(text: &str) -> Option<Until> {
    if let Ok(date) = Date::strptime("%Y%m%d", text) {
        return Some(Until::Date(date));
    }
    if let Ok(at) = DateTime::strptime("%Y%m%dT%H%M%SZ", text) {
        return at
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|at| Until::Instant(at.timestamp()));
    }
    if let Ok(at) = DateTime::strptime("%Y%m%dT%H%M%S", text) {
        return Some(Until::Local(at));
    }
    if let Ok(at) = text.parse() {
        return Some(Until::Instant(at));
    }
    text.parse().ok().map(Until::Local)
}

// === impl Recurrence ===

impl Recurrence {
    /// Every `interval` periods, and nothing else.
    pub fn every(interval: u32, frequency: Frequency) -> Self {
        Self {
            frequency,
            interval: interval.max(1),
            count: None,
            until: None,
            by_month: Vec::new(),
            by_week_number: Vec::new(),
            by_year_day: Vec::new(),
            by_month_day: Vec::new(),
            by_day: Vec::new(),
            by_hour: Vec::new(),
            by_minute: Vec::new(),
            by_second: Vec::new(),
            by_set_position: Vec::new(),
            week_start: Weekday::Monday,
        }
    }

    /// All occurrences from the start on, in order. The start itself is one only when the rule says so.
    pub fn from(&self, start: DateTime) -> Occurrences<'_> {
        self.skipping_to(start, start)
    }

    /// Occurrences from about `not_before` on: whole periods before it are skipped, unless `COUNT` needs them counted.
    pub fn skipping_to(&self, start: DateTime, not_before: DateTime) -> Occurrences<'_> {
        let mut period = 0;
        if self.count.is_none() && not_before > start {
            let days = i64::from(
                start
                    .date()
                    .until((jiff::Unit::Day, not_before.date()))
                    .map_or(0, |span| span.get_days()),
            );
            let length = match self.frequency {
                Frequency::Hourly => 0,
                Frequency::Daily => 1,
                Frequency::Weekly => 7,
                Frequency::Monthly => 31,
                Frequency::Yearly => 366,
            };
            let interval = i64::from(self.interval);
            let passed = if length == 0 {
                (days - 1) * 24 / interval
            } else {
                days / (length * interval)
            };
            period = (passed - 2).max(0) as u64;
        }
        Occurrences {
            rule: self,
            start,
            period,
            waiting: Vec::new().into_iter(),
            given: 0,
            done: false,
        }
    }

    /// The local times of one period, in order.
    fn expand(&self, start: DateTime, period: u64) -> Option<Vec<DateTime>> {
        let steps = i64::try_from(period.checked_mul(u64::from(self.interval))?).ok()?;
        let mut hour = None;
        let days = match self.frequency {
            Frequency::Hourly => {
                let at = start
                    .checked_add(steps.checked_mul(1)?.hours_checked()?)
                    .ok()?;
                hour = Some(at.hour());
                vec![at.date()]
            }
            Frequency::Daily => vec![start.date().checked_add(steps.days_checked()?).ok()?],
            Frequency::Weekly => {
                let back = i64::from(start.weekday().since(self.week_start));
                let first = start.date().checked_sub(back.days()).ok()?;
                let first = first
                    .checked_add(steps.checked_mul(7)?.days_checked()?)
                    .ok()?;
                (0..7)
                    .filter_map(|n: i64| first.checked_add(n.days()).ok())
                    .collect()
            }
            Frequency::Monthly => {
                let first = start.date().first_of_month();
                let first = first.checked_add(steps.months_checked()?).ok()?;
                days_of(first, first.days_in_month().into())
            }
            Frequency::Yearly => {
                let first = start.date().first_of_year();
                let first = first.checked_add(steps.years_checked()?).ok()?;
                days_of(first, first.days_in_year())
            }
        };
        let mut found: Vec<DateTime> = Vec::new();
        for day in days.into_iter().filter(|day| self.takes(*day, start)) {
            self.times(day, start, hour, &mut found);
        }
        found.sort();
        if !self.by_set_position.is_empty() {
            let length = found.len() as i64;
            let wanted: BTreeSet<i64> = self
                .by_set_position
                .iter()
                .map(|position| match i64::from(*position) {
                    position if position > 0 => position - 1,
                    position => length + position,
                })
                .collect();
            found = wanted
                .into_iter()
                .filter_map(|index| found.get(usize::try_from(index).ok()?).copied())
                .collect();
        }
        Some(found)
    }

    fn times(&self, day: Date, start: DateTime, hour: Option<i8>, found: &mut Vec<DateTime>) {
        let or = |list: &[i8], own: i8| {
            if list.is_empty() {
                vec![own]
            } else {
                list.to_vec()
            }
        };
        let hours = match hour {
            Some(hour) if self.by_hour.is_empty() || self.by_hour.contains(&hour) => vec![hour],
            Some(_) => return,
            None => or(&self.by_hour, start.hour()),
        };
        for hour in hours {
            for minute in or(&self.by_minute, start.minute()) {
                for second in or(&self.by_second, start.second()) {
                    if let Ok(time) = Time::new(hour, minute, second.min(59), 0) {
                        found.push(day.to_datetime(time));
                    }
                }
            }
        }
    }

    fn takes(&self, day: Date, start: DateTime) -> bool {
        let by_days = !(self.by_week_number.is_empty()
            && self.by_year_day.is_empty()
            && self.by_month_day.is_empty()
            && self.by_day.is_empty());
        let of_start = match self.frequency {
            _ if by_days => true,
            Frequency::Yearly => {
                day.day() == start.day()
                    && (!self.by_month.is_empty() || day.month() == start.month())
            }
            Frequency::Monthly => day.day() == start.day(),
            Frequency::Weekly => day.weekday() == start.weekday(),
            Frequency::Daily | Frequency::Hourly => true,
        };
        let fits = |empty: bool, found: bool| empty || found;
        of_start
            && fits(
                self.by_month.is_empty(),
                self.by_month.contains(&day.month()),
            )
            && fits(
                self.by_month_day.is_empty(),
                self.by_month_day.contains(&day.day())
                    || self
                        .by_month_day
                        .contains(&(day.day() - day.days_in_month() - 1)),
            )
            && fits(
                self.by_year_day.is_empty(),
                self.by_year_day.contains(&day.day_of_year())
                    || self
                        .by_year_day
                        .contains(&(day.day_of_year() - day.days_in_year() - 1)),
            )
            && fits(self.by_week_number.is_empty(), self.in_weeks(day))
            && fits(self.by_day.is_empty(), self.on_weekdays(day))
    }

    /// Week 1 is the first with four days in the year.
    fn in_weeks(&self, day: Date) -> bool {
        let week_of = |year: i16| {
            let first = Date::new(year, 1, 4).ok()?;
            let back = i64::from(first.weekday().since(self.week_start));
            first.checked_sub(back.days()).ok()
        };
        let Some((mut begin, mut next)) = week_of(day.year()).zip(week_of(day.year() + 1)) else {
            return false;
        };
        if day < begin {
            next = begin;
            begin = week_of(day.year() - 1).unwrap_or(begin);
        } else if day >= next {
            begin = next;
            next = week_of(day.year() + 2).unwrap_or(next);
        }
        let weeks = |from: Date, to: Date| {
            from.until((jiff::Unit::Day, to))
                .map_or(0, |span| span.get_days() / 7) as i8
        };
        let number = weeks(begin, day) + 1;
        let total = weeks(begin, next);
        self.by_week_number.contains(&number) || self.by_week_number.contains(&(number - total - 1))
    }

    fn on_weekdays(&self, day: Date) -> bool {
        let (position, length) = match self.frequency {
            Frequency::Monthly => (i16::from(day.day()), i16::from(day.days_in_month())),
            Frequency::Yearly if !self.by_month.is_empty() => {
                (i16::from(day.day()), i16::from(day.days_in_month()))
            }
            Frequency::Yearly => (day.day_of_year(), day.days_in_year()),
            Frequency::Weekly | Frequency::Daily | Frequency::Hourly => (0, 0),
        };
        self.by_day.iter().any(|(nth, weekday)| {
            *weekday == day.weekday()
                && (*nth == 0
                    || length == 0
                    || (position - 1) / 7 + 1 == *nth
                    || -((length - position) / 7 + 1) == *nth)
        })
    }

    fn is_after_end(&self, at: DateTime, instant: impl Fn(DateTime) -> Timestamp) -> bool {
        match self.until {
            None => false,
            Some(Until::Date(date)) => at.date() > date,
            Some(Until::Local(end)) => at > end,
            Some(Until::Instant(end)) => instant(at) > end,
        }
    }

    /// Whether an occurrence is behind the rule's end, in a time zone.
    pub fn has_ended(&self, at: DateTime, zone: &jiff::tz::TimeZone) -> bool {
        self.is_after_end(at, |at| crate::local_time::instant(zone, at))
    }
}

fn days_of(first: Date, length: i16) -> Vec<Date> {
    (0..i64::from(length))
        .filter_map(|n| first.checked_add(n.days()).ok())
        .collect()
}

/// Spans that do not panic when they are out of range.
trait Checked {
    fn hours_checked(self) -> Option<jiff::Span>;
    fn days_checked(self) -> Option<jiff::Span>;
    fn months_checked(self) -> Option<jiff::Span>;
    fn years_checked(self) -> Option<jiff::Span>;
}

impl Checked for i64 {
    fn hours_checked(self) -> Option<jiff::Span> {
        jiff::Span::new().try_hours(self).ok()
    }
    fn days_checked(self) -> Option<jiff::Span> {
        jiff::Span::new().try_days(self).ok()
    }
    fn months_checked(self) -> Option<jiff::Span> {
        jiff::Span::new().try_months(self).ok()
    }
    fn years_checked(self) -> Option<jiff::Span> {
        jiff::Span::new().try_years(self).ok()
    }
}

impl FromStr for Recurrence {
    type Err = String;

    /// Reads `FREQ=WEEKLY;BYDAY=MO,TU`, with or without `RRULE:`.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.trim().to_ascii_uppercase();
        let body = upper.strip_prefix("RRULE:").unwrap_or(&upper);
        let mut rule = Self::every(1, Frequency::Daily);
        let mut seen: Vec<&str> = Vec::new();
        for part in body.split(';').filter(|part| !part.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("{part:?} is not KEY=VALUE"));
            };
            if seen.contains(&key) {
                return Err(format!("{key} is given twice"));
            }
            seen.push(key);
            rule.take(key, value)?;
        }
        if !seen.contains(&"FREQ") {
            return Err("FREQ is missing".to_owned());
        }
        if rule.count.is_some() && rule.until.is_some() {
            return Err("COUNT and UNTIL exclude each other".to_owned());
        }
        let numbered = rule.by_day.iter().any(|(nth, _)| *nth != 0);
        if numbered && !matches!(rule.frequency, Frequency::Monthly | Frequency::Yearly) {
            return Err("BYDAY with a number belongs to months and years".to_owned());
        }
        Ok(rule)
    }
}

impl Recurrence {
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "FREQ" => {
                self.frequency = match value {
                    "HOURLY" => Frequency::Hourly,
                    "DAILY" => Frequency::Daily,
                    "WEEKLY" => Frequency::Weekly,
                    "MONTHLY" => Frequency::Monthly,
                    "YEARLY" => Frequency::Yearly,
                    "SECONDLY" | "MINUTELY" => {
                        return Err(format!("FREQ={value} is finer than an hour"));
                    }
                    _ => return Err(format!("FREQ={value} is unknown")),
                };
            }
            "INTERVAL" => {
                let interval = value.parse().ok().filter(|n| (1..=100_000).contains(n));
                self.interval = interval.ok_or(format!("INTERVAL={value} does not fit"))?;
            }
            "COUNT" => {
                let count = value.parse().ok().filter(|n| (1..=1_000_000).contains(n));
                self.count = Some(count.ok_or(format!("COUNT={value} does not fit"))?);
            }
            "UNTIL" => {
                self.until = Some(until(value).ok_or(format!("UNTIL={value} is not a time"))?);
            }
            "BYMONTH" => self.by_month = list(key, value, |n| (1..=12).contains(n))?,
            "BYWEEKNO" => {
                self.by_week_number = list(key, value, |n: &i8| *n != 0 && n.unsigned_abs() <= 53)?;
            }
            "BYYEARDAY" => {
                self.by_year_day = list(key, value, |n: &i16| *n != 0 && n.unsigned_abs() <= 366)?;
            }
            "BYMONTHDAY" => {
                self.by_month_day = list(key, value, |n: &i8| *n != 0 && n.unsigned_abs() <= 31)?;
            }
            "BYHOUR" => self.by_hour = list(key, value, |n| (0..=23).contains(n))?,
            "BYMINUTE" => self.by_minute = list(key, value, |n| (0..=59).contains(n))?,
            "BYSECOND" => self.by_second = list(key, value, |n| (0..=60).contains(n))?,
            "BYSETPOS" => {
                self.by_set_position =
                    list(key, value, |n: &i16| *n != 0 && n.unsigned_abs() <= 366)?;
            }
            "BYDAY" => {
                if value.split(',').count() > LIST_MAX {
                    return Err(format!("BYDAY has more than {LIST_MAX} entries"));
                }
                for item in value.split(',') {
                    let item = item.trim();
                    let at = item.len().saturating_sub(2);
                    let (number, day) = item
                        .split_at_checked(at)
                        .ok_or(format!("BYDAY: {item:?} is not a weekday"))?;
                    let day = weekday(day).ok_or(format!("BYDAY: {item:?} is not a weekday"))?;
                    let nth = match number.trim_start_matches('+') {
                        "" => 0,
                        number => number
                            .parse()
                            .ok()
                            .filter(|n: &i16| *n != 0 && n.unsigned_abs() <= 53)
                            .ok_or(format!("BYDAY: {item:?} is not a weekday"))?,
                    };
                    self.by_day.push((nth, day));
                }
            }
            "WKST" => {
                self.week_start = weekday(value).ok_or(format!("WKST={value} is not a weekday"))?;
            }
            _ => return Err(format!("{key} is not a part of a recurrence rule")),
        }
        Ok(())
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frequency = match self.frequency {
            Frequency::Hourly => "HOURLY",
            Frequency::Daily => "DAILY",
            Frequency::Weekly => "WEEKLY",
            Frequency::Monthly => "MONTHLY",
            Frequency::Yearly => "YEARLY",
        };
        write!(f, "FREQ={frequency}")?;
        if self.interval != 1 {
            write!(f, ";INTERVAL={}", self.interval)?;
        }
        if let Some(count) = self.count {
            write!(f, ";COUNT={count}")?;
        }
        match self.until {
            None => {}
            Some(Until::Date(date)) => write!(f, ";UNTIL={}", date.strftime("%Y%m%d"))?,
            Some(Until::Local(at)) => write!(f, ";UNTIL={}", at.strftime("%Y%m%dT%H%M%S"))?,
            Some(Until::Instant(at)) => write!(f, ";UNTIL={}", at.strftime("%Y%m%dT%H%M%SZ"))?,
        }
        fn join<T: ToString>(items: &[T]) -> String {
            let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
            texts.join(",")
        }
        let days: Vec<String> = self
            .by_day
            .iter()
            .map(|(nth, day)| {
                let name = DAYS
                    .iter()
                    .find(|(_, known)| known == day)
                    .map_or("MO", |(name, _)| name);
                if *nth == 0 {
                    name.to_owned()
                } else {
                    format!("{nth}{name}")
                }
            })
            .collect();
        for (key, text) in [
            ("BYMONTH", join(&self.by_month)),
            ("BYWEEKNO", join(&self.by_week_number)),
            ("BYYEARDAY", join(&self.by_year_day)),
            ("BYMONTHDAY", join(&self.by_month_day)),
            ("BYDAY", days.join(",")),
            ("BYHOUR", join(&self.by_hour)),
            ("BYMINUTE", join(&self.by_minute)),
            ("BYSECOND", join(&self.by_second)),
            ("BYSETPOS", join(&self.by_set_position)),
        ] {
            if !text.is_empty() {
                write!(f, ";{key}={text}")?;
            }
        }
        if self.week_start != Weekday::Monday {
            let name = DAYS.iter().find(|(_, day)| *day == self.week_start);
            write!(f, ";WKST={}", name.map_or("MO", |(name, _)| name))?;
        }
        Ok(())
    }
}

// === impl Occurrences ===

impl Iterator for Occurrences<'_> {
    type Item = Occurrence;

    fn next(&mut self) -> Option<Occurrence> {
        let first = self.period;
        loop {
            if self.done || self.rule.count.is_some_and(|count| self.given >= count) {
                return None;
            }
            if let Some(at) = self.waiting.next() {
                if at < self.start {
                    continue;
                }
                self.given += 1;
                return Some(Occurrence {
                    period: self.period - 1,
                    at,
                });
            }
            // A rule may name a day that never comes (30 February).
            if self.period - first > PERIODS_MAX {
                self.done = true;
                return None;
            }
            match self.rule.expand(self.start, self.period) {
                Some(found) => self.waiting = found.into_iter(),
                None => self.done = true,
            }
            self.period += 1;
        }
    }
}
