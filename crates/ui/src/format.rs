//! Numbers and times in the words of people.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// What a number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    #[default]
    None,
    Seconds,
    Bytes,
    BytesPerSecond,
    /// Events per second.
    PerSecond,
    /// A ratio of 0 to 1, shown as per cent.
    Ratio,
    /// Already per cent.
    Percent,
}

/// A number with its unit, at most four significant digits.
pub fn value(number: f64, unit: Unit) -> String {
    if number.is_nan() {
        return "no data".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+∞" } else { "−∞" }.to_owned();
    }
    match unit {
        Unit::None => scaled(number, 1000.0, &["", "k", "M", "G", "T", "P"]),
        Unit::PerSecond => scaled(number, 1000.0, &["/s", "k/s", "M/s", "G/s"]),
        Unit::Bytes => scaled(
            number,
            1024.0,
            &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"],
        ),
        Unit::BytesPerSecond => scaled(
            number,
            1024.0,
            &[" B/s", " KiB/s", " MiB/s", " GiB/s", " TiB/s"],
        ),
        Unit::Ratio => format!("{} %", plain(number * 100.0)),
        Unit::Percent => format!("{} %", plain(number)),
        Unit::Seconds => seconds(number),
    }
}

fn scaled(number: f64, base: f64, suffixes: &[&str]) -> String {
    let mut scaled = number;
    let mut index = 0;
    while scaled.abs() >= base && index + 1 < suffixes.len() {
        scaled /= base;
        index += 1;
    }
    format!("{}{}", plain(scaled), suffixes[index])
}

fn seconds(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude == 0.0 {
        "0 s".to_owned()
    } else if magnitude < 0.001 {
        format!("{} µs", plain(number * 1e6))
    } else if magnitude < 1.0 {
        format!("{} ms", plain(number * 1e3))
    } else if magnitude < 120.0 {
        format!("{} s", plain(number))
    } else if magnitude < 7200.0 {
        format!("{} min", plain(number / 60.0))
    } else if magnitude < 172_800.0 {
        format!("{} h", plain(number / 3600.0))
    } else {
        format!("{} d", plain(number / 86_400.0))
    }
}

/// A bare number: three to four significant digits, no trailing zeros, exponent only when needed.
pub fn plain(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e7).contains(&magnitude) {
        return format!("{number:.2e}").replace('-', "−");
    }
    let decimals = match magnitude {
        m if m >= 1000.0 => 0,
        m if m >= 100.0 => 1,
        m if m >= 10.0 => 2,
        m if m >= 0.1 => 3,
        m if m >= 0.01 => 4,
        _ => 6,
    };
    let text = format!("{number:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text.as_str()
    };
    text.replace('-', "−")
}

/// A length of time in at most two units: `45 s`, `3 min`, `2 h 5 min`, `3 d 4 h`. The script says it the same way.
pub fn span(duration: SignedDuration) -> String {
    let total = duration.as_secs().unsigned_abs();
    let (days, hours, minutes, seconds) = (
        total / 86_400,
        total % 86_400 / 3600,
        total % 3600 / 60,
        total % 60,
    );
    let two = |a: u64, a_unit: &str, b: u64, b_unit: &str| {
        if b == 0 {
            format!("{a} {a_unit}")
        } else {
            format!("{a} {a_unit} {b} {b_unit}")
        }
    };
    if days >= 10 {
        format!("{days} d")
    } else if days > 0 {
        two(days, "d", hours, "h")
    } else if hours > 0 {
        two(hours, "h", minutes, "min")
    } else if minutes >= 10 {
        format!("{minutes} min")
    } else if minutes > 0 {
        two(minutes, "min", seconds, "s")
    } else {
        format!("{seconds} s")
    }
}

/// A short measured time: `850 ms`, `1.2 s`, then as [`span`].
pub fn took(duration: SignedDuration) -> String {
    if duration.as_secs() < 60 {
        seconds(duration.as_secs_f64())
    } else {
        span(duration)
    }
}

/// `3 min ago`, `in 4 min`, `now`.
pub fn relative(now: Timestamp, at: Timestamp) -> String {
    let delta = now.duration_since(at);
    if delta.as_secs().abs() < 2 {
        "now".to_owned()
    } else if delta.is_negative() {
        format!("in {}", span(delta))
    } else {
        format!("{} ago", span(delta))
    }
}

/// `Sat 21 Nov 22:14:05`, with the year when it is not this one.
pub fn stamp(zone: &TimeZone, now: Timestamp, at: Timestamp) -> String {
    let local = at.to_zoned(zone.clone());
    if local.year() == now.to_zoned(zone.clone()).year() {
        local.strftime("%a %-d %b %H:%M:%S").to_string()
    } else {
        local.strftime("%a %-d %b %Y %H:%M:%S").to_string()
    }
}

/// `22:14` today, `Sat 22:14` within a week, else `21 Nov 22:14`.
pub fn brief(zone: &TimeZone, now: Timestamp, at: Timestamp) -> String {
    let local = at.to_zoned(zone.clone());
    let today = now.to_zoned(zone.clone());
    let days = now.duration_since(at).as_secs().unsigned_abs() / 86_400;
    if local.date() == today.date() {
        local.strftime("%H:%M").to_string()
    } else if days < 6 {
        local.strftime("%a %H:%M").to_string()
    } else {
        local.strftime("%-d %b %H:%M").to_string()
    }
}

/// Whole numbers with thin spaces between thousands.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
