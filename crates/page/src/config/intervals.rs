//! `time_intervals` and the older `mute_time_intervals`.

use std::collections::BTreeMap;

use bellwether_model::Problems;
use bellwether_yaml::{MapReader, Node};
use jiff::tz::TimeZone;

use crate::interval::TimeInterval;

const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Reads a list of named intervals into `known`.
pub(super) fn read(
    items: &[Node],
    what: &'static str,
    known: &mut BTreeMap<String, Vec<TimeInterval>>,
    problems: &mut Problems,
) {
    for item in items {
        let mut map = MapReader::new(item, what, problems);
        let name = map.required_text("name").unwrap_or_default();
        let nodes = map.list("time_intervals");
        map.finish();
        let list = nodes.iter().map(|node| interval(node, problems)).collect();
        if known.insert(name.clone(), list).is_some() {
            problems.push(item.error(format!("{what} {name:?} is not unique")));
        }
    }
}

fn interval(node: &Node, problems: &mut Problems) -> TimeInterval {
    let mut map = MapReader::new(node, "time interval", problems);
    let times = map.list("times");
    let mut ranges = |key: &'static str, read: fn(&str) -> Result<(i64, i64), String>| {
        let mut found = Vec::new();
        for node in map.list(key) {
            let text = node.as_text().unwrap_or_default();
            match read(text) {
                Ok(range) => found.push(range),
                Err(message) => map.problems().push(node.error(format!("{key}: {message}"))),
            }
        }
        found
    };
    let weekdays = ranges("weekdays", weekday_range);
    let days_of_month = ranges("days_of_month", day_range);
    let months = ranges("months", month_range);
    let years = ranges("years", year_range);
    let location = location(&mut map);
    map.finish();
    TimeInterval {
        times: times
            .iter()
            .filter_map(|node| time_range(node, problems))
            .collect(),
        weekdays: weekdays
            .into_iter()
            .map(|(a, b)| (a as u8, b as u8))
            .collect(),
        days_of_month: days_of_month
            .into_iter()
            .map(|(a, b)| (a as i8, b as i8))
            .collect(),
        months: months
            .into_iter()
            .map(|(a, b)| (a as u8, b as u8))
            .collect(),
        years: years
            .into_iter()
            .map(|(a, b)| (a as i32, b as i32))
            .collect(),
        location,
    }
}

fn location(map: &mut MapReader<'_, '_>) -> Option<TimeZone> {
    let node = map.take("location")?;
    let name = node.as_text().unwrap_or_default();
    if matches!(name, "" | "UTC") {
        return None;
    }
    if name == "Local" {
        return Some(TimeZone::system());
    }
    match TimeZone::get(name) {
        Ok(zone) => Some(zone),
        Err(_) => {
            map.problems().push(
                node.error(format!("unknown time zone {name:?}"))
                    .with_hint("an IANA name such as Europe/Berlin"),
            );
            None
        }
    }
}

fn time_range(node: &Node, problems: &mut Problems) -> Option<(u16, u16)> {
    let mut map = MapReader::new(node, "time range", problems);
    let start = map.required_text("start_time");
    let end = map.required_text("end_time");
    map.finish();
    let (start, end) = (start?, end?);
    let mut minutes = |text: &str| {
        let found = minute_of_day(text);
        if found.is_none() {
            problems.push(
                node.error(format!("couldn't parse timestamp {text}, invalid format"))
                    .with_hint("write it as HH:MM, 00:00 to 24:00, in quotes"),
            );
        }
        found
    };
    let (start, end) = (minutes(&start)?, minutes(&end)?);
    if start >= end {
        problems.push(node.error("start time cannot be equal or greater than end time"));
        return None;
    }
    Some((start, end))
}

/// `HH:MM`, two digits each, up to `24:00`.
pub(super) fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= 1440).then_some(total)
}

fn split(text: &str) -> Result<(String, String), String> {
    let text = text.to_lowercase();
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [one] => Ok(((*one).to_owned(), (*one).to_owned())),
        [from, to] => Ok(((*from).to_owned(), (*to).to_owned())),
        _ => Err(format!("couldn't parse range {text}, invalid format")),
    }
}

fn weekday(text: &str) -> Result<i64, String> {
    DAYS.iter()
        .position(|day| *day == text)
        .map(|day| day as i64)
        .ok_or_else(|| format!("{text} is not a valid weekday"))
}

fn weekday_range(text: &str) -> Result<(i64, i64), String> {
    let (from, to) = split(text)?;
    let (from, to) = (weekday(&from)?, weekday(&to)?);
    if from > to {
        return Err("start day cannot be before end day".to_owned());
    }
    Ok((from, to))
}

fn number(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a whole number"))
}

fn day_range(text: &str) -> Result<(i64, i64), String> {
    let (from, to) = split(text)?;
    let (from, to) = (number(&from)?, number(&to)?);
    for day in [from, to] {
        if day == 0 || !(-31..=31).contains(&day) {
            return Err(format!(
                "{day} is not a valid day of the month: out of range"
            ));
        }
    }
    if from < 0 && to > 0 {
        return Err("end day must be negative if start day is negative".to_owned());
    }
    let absolute = |day: i64| if day < 0 { 30 + day } else { day };
    if absolute(from) > absolute(to) {
        return Err(format!("end day {to} is always before start day {from}"));
    }
    Ok((from, to))
}

fn month(text: &str) -> Result<i64, String> {
    if let Some(index) = MONTHS.iter().position(|month| *month == text) {
        return Ok(index as i64 + 1);
    }
    number(text)
        .ok()
        .filter(|month| (1..=12).contains(month))
        .ok_or_else(|| format!("{text} is not a valid month"))
}

fn month_range(text: &str) -> Result<(i64, i64), String> {
    let (from, to) = split(text)?;
    let (from, to) = (month(&from)?, month(&to)?);
    if from > to {
        return Err(format!("end month {to} is before start month {from}"));
    }
    Ok((from, to))
}

fn year_range(text: &str) -> Result<(i64, i64), String> {
    let (from, to) = split(text)?;
    let (from, to) = (number(&from)?, number(&to)?);
    if from > to {
        return Err(format!("end year {to} is before start year {from}"));
    }
    Ok((from, to))
}
