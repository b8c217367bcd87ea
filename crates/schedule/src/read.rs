//! Schedules and holidays as the configuration writes them (YAML).

use std::collections::BTreeMap;

use bellwether_model::{Problem, Problems, suggest};
use bellwether_yaml::{MapReader, Node, Value};
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use crate::holiday::{HolidaySpan, Holidays};
use crate::local_time::instant;
use crate::recur::Recurrence;
use crate::{
    Cover, HolidayUse, Layer, Override, OverrideKind, Restriction, Schedule, Turn, TurnCounts,
};

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u64 = 86_400;
/// The member who is nobody.
pub const EMPTY: &str = "EMPTY";
/// Layers, members, windows, overrides that one list may have.
const ENTRIES_MAX: usize = 5_000;

/// What a schedule may name.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Ids of people, sorted.
    pub people: &'a [&'a str],
    /// By name.
    pub holidays: &'a BTreeMap<String, Holidays>,
}

/// A hint with the nearest name, or all of them.
pub fn with_names(problem: Problem, word: &str, names: &[&str]) -> Problem {
    match suggest(word, names.iter().copied()) {
        Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
        None => problem.with_hint(format!("there is {}", names.join(", "))),
    }
}

/// Takes `timezone` (or `time_zone`).
pub fn zone(map: &mut MapReader<'_, '_>) -> Option<(String, TimeZone)> {
    let node = match map.take("timezone") {
        Some(node) => node,
        None => map.take("time_zone")?,
    };
    let name = node.as_text().unwrap_or_default();
    match TimeZone::get(name) {
        Ok(zone) => Some((name.to_owned(), zone)),
        Err(_) => {
            map.problems().push(
                node.error(format!("unknown time zone {name:?}"))
                    .with_hint("an IANA name such as Europe/Berlin"),
            );
            None
        }
    }
}

/// A set of holidays: a list of days.
pub fn holidays(name: &str, node: &Node, problems: &mut Problems) -> Holidays {
    let items = bellwether_yaml::Reader::new(problems).list(node, "holidays");
    let mut days: Vec<HolidaySpan> = Vec::new();
    for item in items.iter().take(ENTRIES_MAX) {
        let text = match item.get("date") {
            Some(date) => date.as_text(),
            None => item.as_text(),
        };
        match text.unwrap_or_default().parse() {
            Ok(day) => days.push(day),
            Err(error) => problems.push(
                item.error(format!("holidays {name:?}: {error}"))
                    .with_hint("write it as 2026-04-03, 12-25 (every year) or 12-24..12-26"),
            ),
        }
    }
    Holidays {
        name: name.to_owned(),
        days,
    }
}

/// One schedule.
pub fn schedule(name: String, node: &Node, known: Known<'_>, problems: &mut Problems) -> Schedule {
    let mut map = MapReader::new(node, "schedule", problems);
    map.ignore(&["id", "name"]);
    let (time_zone_name, time_zone) =
        zone(&mut map).unwrap_or_else(|| ("UTC".to_owned(), TimeZone::UTC));
    let layers: Vec<Layer> = map
        .list("layers")
        .iter()
        .take(ENTRIES_MAX)
        .enumerate()
        .map(|(index, node)| layer(index, node, known, map.problems()))
        .collect();
    let overrides_node = map.take("overrides");
    let team = map.text("team").filter(|team| !team.is_empty());
    let mut made = Schedule {
        name,
        team,
        time_zone_name,
        time_zone,
        layers,
        overrides: Vec::new(),
    };
    if let Some(list) = overrides_node {
        let items = bellwether_yaml::Reader::new(map.problems()).list(list, "overrides");
        made.overrides = items
            .iter()
            .take(ENTRIES_MAX)
            .enumerate()
            .filter_map(|(index, node)| change(index, node, &made, known, map.problems()))
            .collect();
    }
    if made.layers.is_empty() {
        let problem = node.error(format!("schedule {:?} has no layers", made.name));
        map.problems()
            .push(problem.with_hint("nobody is ever on call on it"));
    }
    map.finish();
    made
}

fn known_person(name: &str, known: Known<'_>, node: &Node, problems: &mut Problems) {
    if known.people.binary_search(&name).is_err() {
        let problem = node.error(format!("there is no person {name:?}"));
        problems.push(with_names(problem, name, known.people));
    }
}

/// A person, several, or nobody.
fn people(node: &Node, known: Known<'_>, problems: &mut Problems) -> Vec<String> {
    let found: Vec<String> = match &node.value {
        Value::Scalar { text, .. } if text == EMPTY => Vec::new(),
        Value::Scalar { text, .. } => vec![text.clone()],
        Value::Null => Vec::new(),
        _ => bellwether_yaml::Reader::new(problems).texts(node, "members"),
    };
    for person in &found {
        known_person(person, known, node, problems);
    }
    found
}

fn layer(index: usize, node: &Node, known: Known<'_>, problems: &mut Problems) -> Layer {
    let mut map = MapReader::new(node, "layer", problems);
    let name = map
        .text("name")
        .unwrap_or_else(|| format!("layer {}", index + 1));
    let priority = map.integer("priority").unwrap_or(0) as i32;
    let members: Vec<Vec<String>> = map
        .list("members")
        .iter()
        .take(ENTRIES_MAX)
        .map(|node| people(node, known, map.problems()))
        .collect();
    if members.is_empty() {
        map.problems().push(node.error("this layer has no members"));
    }
    let start = date_time(&mut map, "start");
    if start.is_none() {
        let problem = node.error("this layer has no valid start");
        map.problems()
            .push(problem.with_hint("a local time such as 2026-01-05T09:00"));
    }
    let start = start.unwrap_or(DateTime::constant(2026, 1, 5, 9, 0, 0, 0));
    let (from, until) = (date_time(&mut map, "from"), date_time(&mut map, "until"));
    let cover = cover(&mut map);
    let mut made = Layer::new(&name, members, start, cover);
    if let Some(node) = map.take("turn_counts") {
        match node.as_text().unwrap_or_default() {
            "wall" => made.turn_counts = TurnCounts::Wall,
            "worked" => made.turn_counts = TurnCounts::Worked,
            other => {
                let problem = node.error(format!("turn_counts: unknown word {other:?}"));
                map.problems().push(problem.with_hint("wall or worked"));
            }
        }
    }
    made.restrictions = map
        .list("restrictions")
        .iter()
        .take(ENTRIES_MAX)
        .filter_map(|node| restriction(node, map.problems()))
        .collect();
    made.holidays = map
        .take("holidays")
        .and_then(|node| holiday_use(node, known, map.problems()));
    made.time_zone = zone(&mut map);
    map.finish();
    Layer {
        priority,
        from,
        until,
        ..made
    }
}

/// `turn`, or `rrule` with `duration` and `shifts_per_member`.
fn cover(map: &mut MapReader<'_, '_>) -> Cover {
    let turn_node = map.take("turn");
    let rule_node = map.take("rrule");
    let duration_node = map.take("duration");
    let per_member_node = map.take("shifts_per_member");
    let except_nodes = map.list("except");
    let Some(rule_node) = rule_node else {
        for node in [duration_node, per_member_node].into_iter().flatten() {
            let problem = node.error("this belongs to a layer with `rrule`");
            map.problems().push(problem);
        }
        let turn = match turn_node {
            None => Turn::Weeks(1),
            Some(node) => read_turn(node.as_text().unwrap_or_default()).unwrap_or_else(|| {
                let problem = node.error("not the length of a turn");
                map.problems()
                    .push(problem.with_hint("write it as 12h, clock 12h, 1d, 2w or 1mo"));
                Turn::Weeks(1)
            }),
        };
        return Cover::Turns(turn);
    };
    if let Some(node) = turn_node {
        let problem = node.error("`turn` and `rrule` exclude each other");
        map.problems().push(problem);
    }
    let rule = rule_node.as_text().unwrap_or_default().parse();
    let rule: Recurrence = rule.unwrap_or_else(|error: String| {
        let problem = rule_node.error(format!("rrule: {error}"));
        map.problems()
            .push(problem.with_hint("as in RFC 5545: FREQ=WEEKLY;BYDAY=MO,TU"));
        Recurrence::every(1, crate::recur::Frequency::Weekly)
    });
    let seconds = match duration_node {
        Some(node) => map
            .reader()
            .duration(node, "duration")
            .map_or(0, |duration| duration.as_secs()),
        None => 0,
    };
    if !(60..=366 * DAY).contains(&seconds) {
        let node = duration_node.unwrap_or(rule_node);
        let problem = node.error("a layer with `rrule` has a duration of a minute to a year");
        map.problems()
            .push(problem.with_hint("how long each event is: duration: 12h"));
    }
    let per_member = match per_member_node {
        Some(node) => map
            .reader()
            .integer(node, "shifts_per_member")
            .filter(|count| (1..=1000).contains(count))
            .unwrap_or_else(|| {
                let problem = node.error("shifts_per_member must be 1 to 1000");
                map.problems().push(problem);
                1
            }),
        None => 1,
    };
    let mut except = Vec::new();
    for node in except_nodes.iter().take(ENTRIES_MAX) {
        match local_text(node.as_text().unwrap_or_default()) {
            Some(at) => except.push(at),
            None => {
                let problem = node.error("except: not a local time");
                map.problems()
                    .push(problem.with_hint("the start of an event: 2026-01-05T09:00"));
            }
        }
    }
    Cover::Events {
        rule: Box::new(rule),
        seconds: seconds.clamp(60, 366 * DAY) as u32,
        per_member: per_member as u32,
        except,
    }
}

/// `{off: de}` or `{only: de}`.
fn holiday_use(
    node: &Node,
    known: Known<'_>,
    problems: &mut Problems,
) -> Option<(HolidayUse, Holidays)> {
    let mut map = MapReader::new(node, "holidays", problems);
    let mut found = None;
    for (key, how) in [("off", HolidayUse::Off), ("only", HolidayUse::Only)] {
        let Some(node) = map.take(key) else {
            continue;
        };
        let name = node.as_text().unwrap_or_default();
        match known.holidays.get(name) {
            Some(days) => found = Some((how, days.clone())),
            None => {
                let names: Vec<&str> = known.holidays.keys().map(String::as_str).collect();
                let problem = node.error(format!("there are no holidays {name:?}"));
                map.problems().push(with_names(problem, name, &names));
            }
        }
    }
    map.finish();
    found
}

fn local_text(text: &str) -> Option<DateTime> {
    text.trim().replacen(' ', "T", 1).parse().ok()
}

fn date_time(map: &mut MapReader<'_, '_>, key: &'static str) -> Option<DateTime> {
    let node = map.take(key)?;
    let text = node.as_text().unwrap_or_default().trim();
    let found = local_text(text);
    if found.is_none() {
        map.problems().push(
            node.error(format!("{key}: not a local time: {text:?}"))
                .with_hint("write it as 2026-01-05T09:00"),
        );
    }
    found
}

/// Whole days become local days: the clock decides, not the seconds.
pub fn read_turn(text: &str) -> Option<Turn> {
    if let Some(months) = text.strip_suffix("mo") {
        return months
            .parse()
            .ok()
            .filter(|n| (1..=120).contains(n))
            .map(Turn::Months);
    }
    let (text, by_clock) = match text.strip_prefix("clock ") {
        Some(rest) => (rest.trim(), true),
        None => (text, false),
    };
    let seconds = bellwether_model::duration::parse_duration(text)
        .ok()?
        .as_secs();
    match seconds {
        3600..=315_360_000 if by_clock && seconds % 3600 == 0 => {
            Some(Turn::ClockHours((seconds / 3600) as u32))
        }
        _ if by_clock => None,
        60..=315_360_000 => Some(turn_of_seconds(seconds)),
        _ => None,
    }
}

/// A turn of so many seconds: local days and weeks where it can be said so, elapsed time otherwise.
pub fn turn_of_seconds(seconds: u64) -> Turn {
    match seconds {
        _ if seconds != 0 && seconds.is_multiple_of(7 * DAY) => {
            Turn::Weeks((seconds / 7 / DAY) as u32)
        }
        _ if seconds != 0 && seconds.is_multiple_of(DAY) => Turn::Days((seconds / DAY) as u32),
        _ => Turn::Seconds(seconds.clamp(60, u64::from(u32::MAX)) as u32),
    }
}

fn day_of(text: &str) -> Option<usize> {
    DAY_NAMES
        .iter()
        .position(|day| text.len() >= 3 && text.is_char_boundary(3) && text.starts_with(day))
}

/// Minutes of `HH:MM`, up to `24:00`.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= 1440).then_some(total)
}

fn time_of(minute: u16) -> Time {
    Time::constant((minute / 60 % 24) as i8, (minute % 60) as i8, 0, 0)
}

fn restriction(node: &Node, problems: &mut Problems) -> Option<Restriction> {
    let mut map = MapReader::new(node, "restriction", problems);
    let mut weekdays = 0_u8;
    let mut first_day = None;
    for node in map.list("weekdays") {
        let text = node.as_text().unwrap_or_default().to_lowercase();
        let range = match text.split_once([':', '-']) {
            Some((from, to)) => day_of(from).zip(day_of(to)),
            None => day_of(&text).zip(day_of(&text)),
        };
        match range {
            Some((from, to)) => {
                let days = (to + 7 - from) % 7;
                weekdays |= (0..=days).fold(0, |mask, offset| mask | 1 << ((from + offset) % 7));
                first_day = first_day.or(Some(from));
            }
            None => {
                let problem = node.error(format!("not a weekday: {text:?}"));
                map.problems()
                    .push(problem.with_hint("mon to sun, or a range such as mon:fri"));
            }
        }
    }
    let from = time(&mut map, "from", false)?.1;
    let (to_day, to) = time(&mut map, "to", true)?;
    let midnight = 1440;
    let days_later = match to_day {
        Some(to_day) => {
            if weekdays.count_ones() != 1 {
                let problem = node.error("a window that ends on a named day begins on one day");
                map.problems()
                    .push(problem.with_hint("weekdays: [fri], from: \"17:00\", to: \"mon 08:00\""));
            }
            let days = (to_day + 7 - first_day.unwrap_or(to_day)) % 7;
            let later = days + usize::from(to == midnight);
            match later {
                0 if to <= from => 7,
                later => later as u8,
            }
        }
        None => u8::from(to == midnight || to <= from),
    };
    map.finish();
    Some(Restriction {
        weekdays: if weekdays == 0 { 0x7f } else { weekdays },
        from: time_of(from),
        to: time_of(to),
        days_later,
    })
}

/// `"09:00"`, or `"mon 09:00"` where a day may be named. Without the key: midnight.
fn time(
    map: &mut MapReader<'_, '_>,
    key: &'static str,
    with_day: bool,
) -> Option<(Option<usize>, u16)> {
    let Some(node) = map.take(key) else {
        return Some((None, 0));
    };
    let text = node.as_text().unwrap_or_default().trim().to_lowercase();
    let (day, clock) = match text.split_once(' ') {
        Some((day, clock)) if with_day => (Some(day_of(day)), clock),
        _ => (None, text.as_str()),
    };
    match (day, minute_of_day(clock)) {
        (None, Some(minute)) => Some((None, minute)),
        (Some(Some(day)), Some(minute)) => Some((Some(day), minute)),
        _ => {
            let problem = node.error(format!("{key}: not a time of the day"));
            map.problems()
                .push(problem.with_hint("write it as \"09:00\", up to \"24:00\""));
            None
        }
    }
}

/// An override of the configuration. Times are local, or RFC 3339.
fn change(
    index: usize,
    node: &Node,
    schedule: &Schedule,
    known: Known<'_>,
    problems: &mut Problems,
) -> Option<Override> {
    let mut map = MapReader::new(node, "override", problems);
    let kind = match map.take("kind") {
        None => Some(OverrideKind::Only),
        Some(node) => {
            let text = node.as_text().unwrap_or_default();
            let kind = OverrideKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == text);
            if kind.is_none() {
                let problem = node.error(format!("unknown kind of override {text:?}"));
                let names = OverrideKind::ALL.map(OverrideKind::as_str);
                map.problems().push(with_names(problem, text, &names));
            }
            kind
        }
    };
    let people: Vec<String> = map
        .list("people")
        .iter()
        .flat_map(|node| people(node, known, map.problems()))
        .collect();
    let replaces = map.take("replaces").and_then(|node| {
        let name = node.as_text().unwrap_or_default().to_owned();
        known_person(&name, known, node, map.problems());
        Some(name).filter(|name| !name.is_empty())
    });
    let layer = map.take("layer").and_then(|node| {
        let name = node.as_text().unwrap_or_default();
        let names: Vec<&str> = schedule
            .layers
            .iter()
            .map(|layer| layer.name.as_str())
            .collect();
        if !names.contains(&name) {
            let problem = node.error(format!("there is no layer {name:?}"));
            map.problems().push(with_names(problem, name, &names));
            return None;
        }
        Some(name.to_owned())
    });
    let (from, until) = (
        moment(&mut map, "from", schedule),
        moment(&mut map, "until", schedule),
    );
    let comment = map.text("comment").unwrap_or_default();
    if (kind == Some(OverrideKind::Replace)) != replaces.is_some() {
        let problem = node.error("`replaces` belongs to the kind replace, and is needed there");
        map.problems().push(problem);
    }
    if people.is_empty() && kind != Some(OverrideKind::Only) {
        let problem = node.error("this override names nobody");
        map.problems().push(problem);
    }
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        let problem = node.error("an override ends after it begins");
        map.problems().push(problem);
    }
    map.finish();
    Some(Override {
        version: 1,
        id: format!("config-{:04}", index + 1),
        schedule: schedule.name.clone(),
        layer,
        kind: kind?,
        people,
        replaces,
        from: from?,
        until: until?,
        by: "configuration".to_owned(),
        comment,
    })
}

fn moment(
    map: &mut MapReader<'_, '_>,
    key: &'static str,
    schedule: &Schedule,
) -> Option<Timestamp> {
    let Some(node) = map.take(key) else {
        let problem = map.node().error(format!("this override has no `{key}`"));
        map.problems().push(problem);
        return None;
    };
    let text = node.as_text().unwrap_or_default().trim();
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let found = local_text(text).map(|local| instant(&schedule.time_zone, local));
    if found.is_none() {
        map.problems().push(
            node.error(format!("{key}: not a time: {text:?}"))
                .with_hint("write it as 2026-01-05T09:00 or 2026-01-05T08:00:00Z"),
        );
    }
    found
}
