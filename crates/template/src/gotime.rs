//! Go's layouts for times: `2006-01-02 15:04:05`.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp, Zoned};

use crate::format;
use crate::value::Value;

/// What `time.Time.String` writes.
const STRING_LAYOUT: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Elements of a layout; where two begin alike the longer stands first.
const ELEMENTS: [&str; 38] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "__2",
    "_2",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "Z070000",
    "Z07:00:00",
    "Z0700",
    "Z07:00",
    "Z07",
    "-070000",
    "-07:00:00",
    "-0700",
    "-07:00",
    "-07",
    "PM",
    "pm",
    ".0",
    ",0",
    ".9",
    ",9",
    "1",
    "2",
    "3",
    "4",
    "5",
    "",
];

/// `time.Time.Format`.
pub fn format_layout(time: &Zoned, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let element = ELEMENTS
            .iter()
            .find(|element| !element.is_empty() && rest.starts_with(**element));
        let taken = match element {
            Some(&"Jan") if rest[3..].starts_with(|c: char| c.is_ascii_lowercase()) => 0,
            Some(&"Mon") if rest[3..].starts_with(|c: char| c.is_ascii_lowercase()) => 0,
            Some(element) => write_element(&mut out, time, element, rest),
            None => 0,
        };
        let taken = if taken == 0 {
            out.push(c);
            c.len_utf8()
        } else {
            taken
        };
        rest = &rest[taken..];
    }
    out
}

/// `time.Time.String`.
pub fn format_string(time: &Zoned) -> String {
    format_layout(time, STRING_LAYOUT)
}

/// Writes one element and returns how much of the layout it took.
fn write_element(out: &mut String, time: &Zoned, element: &str, rest: &str) -> usize {
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let weekday = DAYS[time.weekday().to_sunday_zero_offset() as usize];
    let month = MONTHS[(time.month() - 1) as usize];
    let written = match element {
        "January" => write!(out, "{month}"),
        "Jan" => write!(out, "{}", &month[..3]),
        "1" => write!(out, "{}", time.month()),
        "01" => write!(out, "{:02}", time.month()),
        "Monday" => write!(out, "{weekday}"),
        "Mon" => write!(out, "{}", &weekday[..3]),
        "2" => write!(out, "{}", time.day()),
        "_2" => write!(out, "{:2}", time.day()),
        "02" => write!(out, "{:02}", time.day()),
        "__2" => write!(out, "{:3}", time.day_of_year()),
        "002" => write!(out, "{:03}", time.day_of_year()),
        "15" => write!(out, "{:02}", time.hour()),
        "3" => write!(out, "{hour12}"),
        "03" => write!(out, "{hour12:02}"),
        "4" => write!(out, "{}", time.minute()),
        "04" => write!(out, "{:02}", time.minute()),
        "5" => write!(out, "{}", time.second()),
        "05" => write!(out, "{:02}", time.second()),
        "2006" => write!(out, "{:04}", time.year()),
        "06" => write!(out, "{:02}", time.year().rem_euclid(100)),
        "PM" => write!(out, "{}", if time.hour() >= 12 { "PM" } else { "AM" }),
        "pm" => write!(out, "{}", if time.hour() >= 12 { "pm" } else { "am" }),
        "MST" => write!(out, "{}", zone_name(time)),
        ".0" | ",0" | ".9" | ",9" => return write_fraction(out, time, element, rest),
        _ => write!(out, "{}", zone_offset(time, element)),
    };
    written.expect("writing to a String");
    element.len()
}

fn zone_name(time: &Zoned) -> String {
    time.strftime("%Z").to_string()
}

fn zone_offset(time: &Zoned, element: &str) -> String {
    let seconds = time.offset().seconds();
    if element.starts_with('Z') && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let abs = seconds.unsigned_abs();
    let (hours, minutes, rest) = (abs / 3600, abs / 60 % 60, abs % 60);
    match &element[1..] {
        "0700" => format!("{sign}{hours:02}{minutes:02}"),
        "07:00" => format!("{sign}{hours:02}:{minutes:02}"),
        "07" => format!("{sign}{hours:02}"),
        "070000" => format!("{sign}{hours:02}{minutes:02}{rest:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// `.000` writes so many digits, `.999` drops zeros at the end; a digit right after makes it plain text.
fn write_fraction(out: &mut String, time: &Zoned, element: &str, rest: &str) -> usize {
    let digit = char::from(element.as_bytes()[1]);
    let length = rest[1..].chars().take_while(|c| *c == digit).count();
    let after = rest[1 + length..].chars().next();
    if length > 9 || after.is_some_and(|c| c.is_ascii_digit()) {
        return 0;
    }
    let nanos = format!("{:09}", time.subsec_nanosecond());
    let mut part = &nanos[..length];
    if digit == '9' {
        part = part.trim_end_matches('0');
    }
    if digit == '0' || !part.is_empty() {
        out.push_str(&element[..1]);
        out.push_str(part);
    }
    1 + length
}

/// A moment in UTC.
pub fn utc(timestamp: Timestamp) -> Zoned {
    timestamp.to_zoned(jiff::tz::TimeZone::UTC)
}

/// Methods of `time.Time`.
pub(crate) fn call_time(
    time: &Zoned,
    method: &str,
    args: &[Value],
) -> Option<Result<Value, String>> {
    let wrong = || Err(format!("wrong arguments for time.Time.{method}"));
    let value = match (method, args) {
        ("Format", [layout]) => match layout.as_str() {
            Some(layout) => format_layout(time, layout).into(),
            None => return Some(wrong()),
        },
        ("String", []) => format_string(time).into(),
        ("UTC" | "Local", []) => Value::time(utc(time.timestamp())),
        ("Unix", []) => time.timestamp().as_second().into(),
        ("UnixMilli", []) => time.timestamp().as_millisecond().into(),
        ("UnixMicro", []) => time.timestamp().as_microsecond().into(),
        ("UnixNano", []) => (time.timestamp().as_nanosecond() as i64).into(),
        ("Year", []) => i64::from(time.year()).into(),
        ("Month", []) => MONTHS[(time.month() - 1) as usize].into(),
        ("Day", []) => i64::from(time.day()).into(),
        ("Hour", []) => i64::from(time.hour()).into(),
        ("Minute", []) => i64::from(time.minute()).into(),
        ("Second", []) => i64::from(time.second()).into(),
        ("Nanosecond", []) => i64::from(time.subsec_nanosecond()).into(),
        ("YearDay", []) => i64::from(time.day_of_year()).into(),
        ("Weekday", []) => DAYS[time.weekday().to_sunday_zero_offset() as usize].into(),
        ("IsZero", []) => (time.year() == 1 && time.day_of_year() == 1).into(),
        ("Add", [Value::Duration(by)]) => match time.checked_add(*by) {
            Ok(time) => Value::time(time),
            Err(error) => return Some(Err(error.to_string())),
        },
        ("Sub", [Value::Time(other)]) => {
            Value::Duration(time.timestamp().duration_since(other.timestamp()))
        }
        ("Before", [Value::Time(other)]) => (time.timestamp() < other.timestamp()).into(),
        ("After", [Value::Time(other)]) => (time.timestamp() > other.timestamp()).into(),
        ("Equal", [Value::Time(other)]) => (time.timestamp() == other.timestamp()).into(),
        (
            "Format" | "String" | "UTC" | "Local" | "Unix" | "UnixMilli" | "Year" | "Month" | "Day"
            | "Hour" | "Minute" | "Second" | "Weekday" | "Add" | "Sub" | "Before" | "After"
            | "Equal" | "IsZero",
            _,
        ) => return Some(wrong()),
        _ => return None,
    };
    Some(Ok(value))
}

/// Methods of `time.Duration`.
pub(crate) fn call_duration(
    duration: SignedDuration,
    method: &str,
    args: &[Value],
) -> Option<Result<Value, String>> {
    let nanos = duration.as_nanos();
    let value = match (method, args) {
        ("String", []) => format::format_duration(duration).into(),
        ("Hours", []) => (nanos as f64 / 3.6e12).into(),
        ("Minutes", []) => (nanos as f64 / 6e10).into(),
        ("Seconds", []) => duration.as_secs_f64().into(),
        ("Milliseconds", []) => (duration.as_millis() as i64).into(),
        ("Microseconds", []) => (duration.as_micros() as i64).into(),
        ("Nanoseconds", []) => (nanos as i64).into(),
        ("Abs", []) => duration.abs().into(),
        ("Truncate", [Value::Duration(step)]) => rounded(duration, *step, false),
        ("Round", [Value::Duration(step)]) => rounded(duration, *step, true),
        _ => return None,
    };
    Some(Ok(value))
}

fn rounded(duration: SignedDuration, step: SignedDuration, half_away: bool) -> Value {
    let (nanos, step) = (duration.as_nanos(), step.as_nanos());
    if step <= 0 {
        return duration.into();
    }
    let mut result = nanos - nanos % step;
    if half_away && (nanos % step).abs() * 2 >= step {
        result += step * nanos.signum();
    }
    SignedDuration::from_nanos(result.clamp(i64::MIN.into(), i64::MAX.into()) as i64).into()
}
