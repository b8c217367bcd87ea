//! A schedule as the configuration would write it: what [`read`](crate::read) reads gives the same schedule again.

use std::fmt::Write as _;

use jiff::civil::DateTime;

use crate::read::EMPTY;
use crate::{
    Cover, HolidayUse, Layer, Override, OverrideKind, Restriction, Schedule, Turn, TurnCounts,
};

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A scalar that YAML reads as this text.
pub fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'/' | b'@' | b'.' | b'-'))
        && text.as_bytes()[0].is_ascii_alphabetic()
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

fn local(at: DateTime) -> String {
    if at.second() == 0 {
        at.strftime("%Y-%m-%dT%H:%M").to_string()
    } else {
        at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
    }
}

fn flow(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}

fn member(people: &[String]) -> String {
    match people {
        [] => EMPTY.to_owned(),
        [one] if one != EMPTY => quoted(one),
        several => {
            let quoted: Vec<String> = several.iter().map(|person| quoted(person)).collect();
            flow(&quoted)
        }
    }
}

fn duration(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds != 0 && u64::is_multiple_of(seconds, length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

fn turn(turn: Turn) -> String {
    match turn {
        Turn::Seconds(n) => duration(n.into()),
        Turn::ClockHours(n) => format!("clock {n}h"),
        Turn::Days(n) => format!("{n}d"),
        Turn::Weeks(n) => format!("{n}w"),
        Turn::Months(n) => format!("{n}mo"),
    }
}

fn restriction(window: &Restriction) -> String {
    let mut parts = Vec::new();
    let days: Vec<String> = (0..7)
        .filter(|day| window.weekdays & (1 << day) != 0)
        .map(|day| DAY_NAMES[day].to_owned())
        .collect();
    if days.len() < 7 {
        parts.push(format!("weekdays: {}", flow(&days)));
    }
    let clock = |time: jiff::civil::Time| time.strftime("%H:%M").to_string();
    parts.push(format!("from: \"{}\"", clock(window.from)));
    let by_itself = u8::from(window.to <= window.from);
    if window.days_later == by_itself {
        parts.push(format!("to: \"{}\"", clock(window.to)));
    } else {
        let first = window.weekdays.trailing_zeros() as usize;
        let day = DAY_NAMES[(first + window.days_later as usize) % 7];
        parts.push(format!("to: \"{day} {}\"", clock(window.to)));
    }
    format!("{{{}}}", parts.join(", "))
}

fn layer(out: &mut String, pad: &str, layer: &Layer) {
    let mut line = |text: String| {
        out.push_str(pad);
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("- name: {}", quoted(&layer.name)));
    if layer.priority != 0 {
        line(format!("  priority: {}", layer.priority));
    }
    let members: Vec<String> = layer.members.iter().map(|people| member(people)).collect();
    line(format!("  members: {}", flow(&members)));
    line(format!("  start: {}", local(layer.start)));
    for (key, at) in [("from", layer.from), ("until", layer.until)] {
        if let Some(at) = at {
            line(format!("  {key}: {}", local(at)));
        }
    }
    let usual = match &layer.cover {
        Cover::Turns(length) => {
            line(format!("  turn: {}", turn(*length)));
            TurnCounts::Wall
        }
        Cover::Events {
            rule,
            seconds,
            per_member,
            except,
        } => {
            line(format!("  rrule: \"{rule}\""));
            line(format!("  duration: {}", duration((*seconds).into())));
            if *per_member != 1 {
                line(format!("  shifts_per_member: {per_member}"));
            }
            if !except.is_empty() {
                let times: Vec<String> = except.iter().map(|at| local(*at)).collect();
                line(format!("  except: {}", flow(&times)));
            }
            TurnCounts::Worked
        }
    };
    if layer.turn_counts != usual {
        let word = match layer.turn_counts {
            TurnCounts::Wall => "wall",
            TurnCounts::Worked => "worked",
        };
        line(format!("  turn_counts: {word}"));
    }
    if !layer.restrictions.is_empty() {
        line("  restrictions:".to_owned());
        for window in &layer.restrictions {
            line(format!("  - {}", restriction(window)));
        }
    }
    if let Some((how, days)) = &layer.holidays {
        let how = match how {
            HolidayUse::Off => "off",
            HolidayUse::Only => "only",
        };
        line(format!("  holidays: {{{how}: {}}}", quoted(&days.name)));
    }
    if let Some((zone, _)) = &layer.time_zone {
        line(format!("  timezone: {}", quoted(zone)));
    }
}

fn change(out: &mut String, pad: &str, change: &Override) {
    let people: Vec<String> = change.people.iter().map(|person| quoted(person)).collect();
    let mut parts = Vec::new();
    if change.kind != OverrideKind::Only {
        parts.push(format!("kind: {}", change.kind.as_str()));
    }
    if let Some(layer) = &change.layer {
        parts.push(format!("layer: {}", quoted(layer)));
    }
    parts.push(format!("people: {}", flow(&people)));
    if let Some(person) = &change.replaces {
        parts.push(format!("replaces: {}", quoted(person)));
    }
    parts.push(format!("from: \"{}\"", change.from));
    parts.push(format!("until: \"{}\"", change.until));
    if !change.comment.is_empty() {
        parts.push(format!("comment: {}", quoted(&change.comment)));
    }
    _ = writeln!(out, "{pad}- {{{}}}", parts.join(", "));
}

/// The schedule below its name, each line behind `indent` spaces.
pub fn schedule(schedule: &Schedule, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let mut out = String::new();
    if let Some(team) = &schedule.team {
        _ = writeln!(out, "{pad}team: {}", quoted(team));
    }
    _ = writeln!(out, "{pad}timezone: {}", quoted(&schedule.time_zone_name));
    _ = writeln!(out, "{pad}layers:");
    for one in &schedule.layers {
        layer(&mut out, &pad, one);
    }
    if !schedule.overrides.is_empty() {
        _ = writeln!(out, "{pad}overrides:");
        for one in &schedule.overrides {
            change(&mut out, &pad, one);
        }
    }
    out
}
