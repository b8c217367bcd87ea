//! iCalendar (RFC 5545): shifts out as feeds, calendars of others in as layers.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::recur::{Frequency, Recurrence};
use crate::{Cover, Layer, Schedule, Shift};

/// Bytes of a calendar that are read.
pub const BYTES_MAX: usize = 4 << 20;
/// Events of a calendar that are read.
pub const EVENTS_MAX: usize = 5_000;
/// Longest line that RFC 5545 likes, in bytes.
const LINE: usize = 75;

/// An entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub schedule: &'a str,
    pub shift: &'a Shift,
    /// The person's name, to read.
    pub name: &'a str,
}

// === out ===

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A line in pieces of at most 75 bytes.
fn fold(out: &mut String, line: &str) {
    let mut rest = line;
    let mut room = LINE;
    while rest.len() > room {
        let at = rest.floor_char_boundary(room);
        out.push_str(&rest[..at]);
        out.push_str("\r\n ");
        rest = &rest[at..];
        room = LINE - 1;
    }
    out.push_str(rest);
    out.push_str("\r\n");
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A calendar of shifts. Equal shifts have equal ids, so that a calendar program that polls sees changes and no new
/// events; `now` is when it was made.
pub fn feed<'a>(
    title: &str,
    entries: impl IntoIterator<Item = Entry<'a>>,
    now: Timestamp,
) -> String {
    let mut out = String::new();
    for line in [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Bellwether//on-call//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
    ] {
        fold(&mut out, line);
    }
    fold(&mut out, &format!("X-WR-CALNAME:{}", escape(title)));
    for entry in entries {
        let Entry {
            schedule,
            shift,
            name,
        } = entry;
        let mut line = |text: &str| fold(&mut out, text);
        line("BEGIN:VEVENT");
        // GoAlert takes person, schedule and end: a shift whose start is cut by the feed's window stays the same.
        line(&format!("UID:{}@bellwether", uid(schedule, shift)));
        line(&format!("DTSTAMP:{}", utc(now)));
        line(&format!("DTSTART:{}", utc(shift.start)));
        line(&format!("DTEND:{}", utc(shift.end)));
        line(&format!(
            "SUMMARY:{}",
            escape(&format!("{name}: on call ({schedule})"))
        ));
        line(&format!(
            "DESCRIPTION:{}",
            escape(&format!("{} on {schedule}, {}", shift.person, shift.source))
        ));
        line("TRANSP:TRANSPARENT");
        line("BEGIN:VALARM");
        line("ACTION:DISPLAY");
        line("TRIGGER:-PT15M");
        line(&format!(
            "DESCRIPTION:{}",
            escape(&format!("On call in 15 minutes: {schedule}"))
        ));
        line("END:VALARM");
        line("END:VEVENT");
    }
    fold(&mut out, "END:VCALENDAR");
    out
}

/// FNV-1a, 128 bits: an id needs no secrecy.
fn uid(schedule: &str, shift: &Shift) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let end = shift.end.as_second().to_string();
    for part in [schedule, "\u{0}", &shift.person, "\u{0}", &end] {
        for byte in part.bytes() {
            hash ^= u128::from(byte);
            hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
    format!("{hash:032x}")
}

// === in ===

/// One line of a calendar, unfolded.
#[derive(Debug)]
struct Property {
    name: String,
    parameters: BTreeMap<String, String>,
    value: String,
}

/// A local time with its zone; a date is its midnight.
#[derive(Clone, Debug, PartialEq)]
struct Moment {
    at: DateTime,
    zone: Option<(String, TimeZone)>,
    is_date: bool,
}

/// An event of a calendar.
#[derive(Clone, Debug, Default)]
struct Event {
    uid: String,
    summary: String,
    start: Option<Moment>,
    end: Option<Moment>,
    duration: Option<i64>,
    rules: Vec<String>,
    extra: Vec<Moment>,
    except: Vec<Moment>,
    replaces: Option<Moment>,
    cancelled: bool,
}

fn unfold(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match line.strip_prefix([' ', '\t']) {
            Some(rest) if !lines.is_empty() => {
                if let Some(last) = lines.last_mut() {
                    last.push_str(rest);
                }
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// `NAME;PARAM=VALUE;PARAM="VALUE":VALUE`.
fn property(line: &str) -> Option<Property> {
    let mut parts: Vec<String> = vec![String::new()];
    let mut quoted = false;
    let mut value = None;
    for (index, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => parts.push(String::new()),
            ':' if !quoted => {
                value = Some(line[index + 1..].to_owned());
                break;
            }
            c => parts.last_mut()?.push(c),
        }
    }
    let parameters = parts[1..]
        .iter()
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (key.to_ascii_uppercase(), value.to_owned()))
        .collect();
    Some(Property {
        name: parts[0].to_ascii_uppercase(),
        parameters,
        value: value?,
    })
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(c) => out.push(c),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

fn moment(text: &str, zone: Option<&(String, TimeZone)>) -> Option<Moment> {
    let text = text.trim();
    if let Ok(date) = Date::strptime("%Y%m%d", text) {
        return Some(Moment {
            at: date.at(0, 0, 0, 0),
            zone: None,
            is_date: true,
        });
    }
    let (text, zone) = match text.strip_suffix('Z') {
        Some(text) => (text, Some(("UTC".to_owned(), TimeZone::UTC))),
        None => (text, zone.cloned()),
    };
    let at = DateTime::strptime("%Y%m%dT%H%M%S", text)
        .or_else(|_| DateTime::strptime("%Y%m%dT%H%M", text))
        .ok()?;
    Some(Moment {
        at,
        zone,
        is_date: false,
    })
}

/// `PT12H`, `P1D`, `P1W`, in seconds.
fn duration(text: &str) -> Option<i64> {
    let span: jiff::Span = text.trim().trim_start_matches('+').parse().ok()?;
    let seconds = i64::from(span.get_weeks()) * 604_800
        + i64::from(span.get_days()) * 86_400
        + i64::from(span.get_hours()) * 3600
        + span.get_minutes() * 60
        + span.get_seconds();
    (seconds > 0).then_some(seconds)
}

struct Reader {
    events: Vec<Event>,
    problems: Vec<String>,
}

impl Reader {
    fn zone(&mut self, property: &Property) -> Option<(String, TimeZone)> {
        let name = property.parameters.get("TZID")?.trim_start_matches('/');
        if let Ok(zone) = TimeZone::get(name) {
            return Some((name.to_owned(), zone));
        }
        // `/freeassociation.sourceforge.net/Europe/Berlin`
        let tail: Vec<&str> = name.rsplitn(3, '/').collect();
        if let [city, area, ..] = tail[..]
            && let tail = format!("{area}/{city}")
            && let Ok(zone) = TimeZone::get(&tail)
        {
            return Some((tail, zone));
        }
        let text = format!("unknown time zone {name:?}: read in the schedule's");
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
        None
    }

    fn moments(&mut self, property: &Property) -> Vec<Moment> {
        let zone = self.zone(property);
        property
            .value
            .split(',')
            // A period of RDATE: only its start matters here.
            .map(|text| text.split('/').next().unwrap_or(text))
            .filter_map(|text| moment(text, zone.as_ref()))
            .collect()
    }

    fn take(&mut self, event: &mut Event, property: &Property) {
        match property.name.as_str() {
            "UID" => event.uid.clone_from(&property.value),
            "SUMMARY" => event.summary = unescape(&property.value),
            "DTSTART" => event.start = self.moments(property).pop(),
            "DTEND" => event.end = self.moments(property).pop(),
            "DURATION" => event.duration = duration(&property.value),
            "RRULE" => event.rules.push(property.value.clone()),
            "RDATE" => event.extra.extend(self.moments(property)),
            "EXDATE" => event.except.extend(self.moments(property)),
            "RECURRENCE-ID" => event.replaces = self.moments(property).pop(),
            "STATUS" => event.cancelled = property.value.trim().eq_ignore_ascii_case("CANCELLED"),
            _ => {}
        }
    }

    fn read(&mut self, text: &str) {
        let mut open: Option<Event> = None;
        // Components within an event (alarms) have properties of the same names.
        let mut inner = 0_usize;
        for line in unfold(text) {
            let Some(property) = property(&line) else {
                continue;
            };
            let value = property.value.trim().to_ascii_uppercase();
            match (property.name.as_str(), value.as_str(), &mut open) {
                ("BEGIN", "VEVENT", None) => open = Some(Event::default()),
                ("BEGIN", _, Some(_)) => inner += 1,
                ("END", "VEVENT", Some(_)) if inner == 0 => {
                    self.events.extend(open.take());
                    if self.events.len() >= EVENTS_MAX {
                        let text = format!("only the first {EVENTS_MAX} events are read");
                        self.problems.push(text);
                        return;
                    }
                }
                ("END", _, Some(_)) => inner = inner.saturating_sub(1),
                (_, _, Some(event)) if inner == 0 => self.take(event, &property),
                _ => {}
            }
        }
    }
}

/// A layer of one event, before people are known: `who` is its summary without the priority.
#[derive(Clone, Debug, PartialEq)]
pub struct CalendarLayer {
    pub who: Vec<String>,
    pub layer: Layer,
}

/// Reads a calendar: each event becomes a layer whose members are named by its summary (names or e-mail addresses,
/// by commas; Grafana OnCall's `[L1]` before them is the priority). All-day events are days of `zone`. What cannot be
/// read is named in the second part.
pub fn read(text: &str, zone: &TimeZone) -> (Vec<CalendarLayer>, Vec<String>) {
    let mut reader = Reader {
        events: Vec::new(),
        problems: Vec::new(),
    };
    if text.len() > BYTES_MAX {
        let problem = format!("a calendar of more than {BYTES_MAX} bytes");
        return (Vec::new(), vec![problem]);
    }
    if !text.trim_start().starts_with("BEGIN:VCALENDAR") {
        return (Vec::new(), vec!["not an iCalendar file".to_owned()]);
    }
    reader.read(text);
    let Reader {
        events,
        mut problems,
    } = reader;
    // Instances that were moved or cancelled are left out of their series.
    let mut moved: BTreeMap<&str, Vec<&Moment>> = BTreeMap::new();
    for event in &events {
        if let Some(replaced) = &event.replaces {
            moved.entry(&event.uid).or_default().push(replaced);
        }
    }
    let mut layers = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if event.cancelled {
            continue;
        }
        let own = moved
            .get(event.uid.as_str())
            .filter(|_| event.replaces.is_none());
        match event_layers(event, index, own, zone) {
            Ok(found) => layers.extend(found),
            Err(error) => problems.push(format!("event {:?}: {error}", event.summary)),
        }
    }
    (layers, problems)
}

fn event_layers(
    event: &Event,
    index: usize,
    moved: Option<&Vec<&Moment>>,
    zone: &TimeZone,
) -> Result<Vec<CalendarLayer>, String> {
    let start = event.start.as_ref().ok_or("it has no start")?;
    let own_zone = start.zone.as_ref().map_or(zone, |(_, zone)| zone);
    let local = |moment: &Moment| match &moment.zone {
        Some((_, zone)) if zone != own_zone => {
            let at = crate::local_time::instant(zone, moment.at);
            crate::local_time::local(own_zone, at)
        }
        _ => moment.at,
    };
    let seconds = match (&event.end, event.duration) {
        (Some(end), _) if start.is_date => {
            let days = start.at.date().until((jiff::Unit::Day, end.at.date()));
            i64::from(days.map_or(1, |days| days.get_days()).max(1)) * 86_400
        }
        (Some(end), _) => {
            let end_zone = end.zone.as_ref().map_or(own_zone, |(_, zone)| zone);
            let end = crate::local_time::instant(end_zone, end.at);
            let start = crate::local_time::instant(own_zone, start.at);
            end.duration_since(start).as_secs()
        }
        (None, Some(seconds)) => seconds,
        (None, None) if start.is_date => 86_400,
        (None, None) => return Err("it has no end".to_owned()),
    };
    if !(1..=366 * 86_400).contains(&seconds) {
        return Err("it lasts no time, or more than a year".to_owned());
    }
    let (priority, who) = summary(&event.summary);
    if who.is_empty() {
        return Err("its summary names nobody".to_owned());
    }
    let mut except: Vec<DateTime> = event
        .except
        .iter()
        .chain(moved.into_iter().flatten().copied())
        .map(local)
        .map(|at| {
            // A whole day of the series, by its date.
            if start.is_date {
                at.date().at(0, 0, 0, 0)
            } else {
                at
            }
        })
        .collect();
    except.sort();
    except.dedup();
    let mut once = Recurrence::every(1, Frequency::Daily);
    once.count = Some(1);
    let mut rules: Vec<(DateTime, Recurrence)> = Vec::new();
    for rule in &event.rules {
        rules.push((start.at, rule.parse()?));
    }
    if rules.is_empty() {
        rules.push((start.at, once.clone()));
    }
    rules.extend(event.extra.iter().map(|extra| (local(extra), once.clone())));
    let name = format!("{} {}", who.join(", "), index + 1);
    Ok(rules
        .into_iter()
        .map(|(at, rule)| {
            let cover = Cover::Events {
                rule: Box::new(rule),
                seconds: seconds as u32,
                per_member: 1,
                except: except.clone(),
            };
            let mut layer = Layer::new(&name, Vec::new(), at, cover);
            layer.priority = priority;
            layer.time_zone.clone_from(&start.zone);
            CalendarLayer {
                who: who.clone(),
                layer,
            }
        })
        .collect())
}

/// `[L2] ana, bo@example.org` is priority 2 and two people.
fn summary(text: &str) -> (i32, Vec<String>) {
    let text = text.trim();
    let (priority, rest) = match text
        .strip_prefix("[L")
        .and_then(|rest| rest.split_once(']'))
    {
        Some((digits, rest)) => match digits.parse::<i32>() {
            Ok(priority) if (0..=9).contains(&priority) => (priority, rest),
            _ => (0, text),
        },
        None => (0, text),
    };
    let who = rest
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .take(50)
        .collect();
    (priority, who)
}

/// What a feed covers by default: a month back, half a year ahead.
pub fn feed_span(now: Timestamp) -> (Timestamp, Timestamp) {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    (
        now.checked_sub(days(31)).unwrap_or(Timestamp::MIN),
        now.checked_add(days(183)).unwrap_or(Timestamp::MAX),
    )
}

/// The shifts of a schedule as entries; `name` gives a person's name.
pub fn entries<'a>(
    schedule: &'a Schedule,
    shifts: &'a [Shift],
    name: &'a dyn Fn(&str) -> Option<&'a str>,
) -> impl Iterator<Item = Entry<'a>> {
    shifts.iter().map(move |shift| Entry {
        schedule: &schedule.name,
        shift,
        name: name(&shift.person).unwrap_or(&shift.person),
    })
}
