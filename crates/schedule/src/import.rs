//! On-call set-ups of other products, from the JSON that their APIs return, to our configuration.
//!
//! Give it all answers that you have (users, schedules, overrides, escalation policies), one document or many: each is
//! known by its shape. What has no counterpart here is named in [`Imported::notes`], and nothing is left out silently.

mod goalert;
mod grafana;
mod opsgenie;
mod pagerduty;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::local_time::local;
use crate::write::quoted;
use crate::{Layer, Override, OverrideKind, Schedule, ical, write};

/// Where the documents come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// REST API v2 and v3.
    PagerDuty,
    Opsgenie,
    /// Grafana OnCall's public API.
    GrafanaOnCall,
    /// Answers of GoAlert's GraphQL API.
    GoAlert,
}

/// A person as far as the documents know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub email: String,
    pub time_zone: String,
    /// Telephone numbers, as contact methods.
    pub phone: String,
}

/// A step of a policy: whom to notify (`schedule:NAME`, `person:ID`), and minutes until the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub notify: Vec<String>,
    pub wait_minutes: u64,
}

/// An escalation policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub name: String,
    pub steps: Vec<Step>,
    pub repeat: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// By our id.
    pub people: BTreeMap<String, Person>,
    pub schedules: Vec<Schedule>,
    pub policies: Vec<Policy>,
    /// What was left out or is only nearly the same.
    pub notes: Vec<String>,
}

/// Documents that one import takes.
const DOCUMENTS_MAX: usize = 10_000;
/// Overrides of a schedule that are kept.
const OVERRIDES_MAX: usize = 5_000;

/// Reads documents. `now` decides which overrides are over, and whose turn a stateful rotation is in.
pub fn import(product: Product, documents: &[Value], now: Timestamp) -> Imported {
    let mut import = Import {
        now,
        ids: BTreeMap::new(),
        found: Imported::default(),
    };
    // An array at the top is several documents.
    let mut all: Vec<&Value> = Vec::new();
    for document in documents {
        match document {
            Value::Array(items) => all.extend(items),
            one => all.push(one),
        }
    }
    if all.len() > DOCUMENTS_MAX {
        import.note(format!(
            "only the first {DOCUMENTS_MAX} documents were read"
        ));
        all.truncate(DOCUMENTS_MAX);
    }
    match product {
        Product::PagerDuty => pagerduty::read(&mut import, &all),
        Product::Opsgenie => opsgenie::read(&mut import, &all),
        Product::GrafanaOnCall => grafana::read(&mut import, &all),
        Product::GoAlert => goalert::read(&mut import, &all),
    }
    if import.found.schedules.is_empty() && import.found.policies.is_empty() {
        import.note("no schedule and no policy was found in these documents".to_owned());
    }
    import.found
}

/// Reads an iCalendar file as one schedule of the given name.
pub fn calendar(name: &str, text: &str, zone_name: &str, zone: &TimeZone) -> Imported {
    let mut import = Import {
        now: Timestamp::UNIX_EPOCH,
        ids: BTreeMap::new(),
        found: Imported::default(),
    };
    let (layers, problems) = ical::read(text, zone);
    import.found.notes = problems;
    let layers: Vec<Layer> = layers
        .into_iter()
        .map(|found| {
            let people = found
                .who
                .iter()
                .map(|who| import.person(who, who, None))
                .collect();
            Layer {
                members: vec![people],
                ..found.layer
            }
        })
        .collect();
    import.add_schedule(name, zone_name, layers);
    import.found
}

/// What the readers share.
struct Import {
    now: Timestamp,
    /// Their ids to ours: `user/PXYZ`, `schedule/PABC`.
    ids: BTreeMap<String, String>,
    found: Imported,
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn instant(value: &Value, key: &str) -> Option<Timestamp> {
    let text = value[key].as_str()?;
    text.parse().ok().or_else(|| {
        // `2026-01-05T09:00:00`, which these APIs mean in UTC.
        let at: DateTime = text.parse().ok()?;
        at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
    })
}

/// Local time in whole seconds: less means nothing here.
fn local_to(zone: &TimeZone, at: Timestamp) -> DateTime {
    let at = local(zone, at);
    at.date()
        .to_datetime(Time::constant(at.hour(), at.minute(), at.second(), 0))
}

/// `HH:MM` or `HH:MM:SS`.
fn clock(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    Time::new(hour % 24, minute, 0, 0).ok()
}

/// A window from a time of the day for so many seconds.
fn window(weekdays: u8, from: Time, seconds: u64) -> crate::Restriction {
    let start = u64::from(from.hour() as u8) * 60 + u64::from(from.minute() as u8);
    let end = start + seconds / 60;
    let minute = end % 1440;
    crate::Restriction {
        weekdays,
        from,
        to: Time::constant((minute / 60) as i8, (minute % 60) as i8, 0, 0),
        days_later: (end / 1440).min(7) as u8,
    }
}

// === impl Import ===

impl Import {
    fn note(&mut self, text: String) {
        if !self.found.notes.contains(&text) {
            self.found.notes.push(text);
        }
    }

    /// Our id of a person of theirs; a new one from the name (or the part of the address before the @).
    fn person(&mut self, theirs: &str, name: &str, details: Option<Person>) -> String {
        let key = format!("user/{theirs}");
        let id = match self.ids.get(&key) {
            Some(id) => id.clone(),
            None => {
                let base = name.split('@').next().unwrap_or(name);
                let id = fresh(&slug(base, "person"), |id| {
                    self.found.people.contains_key(id)
                });
                self.ids.insert(key, id.clone());
                let email = if name.contains('@') { name } else { "" };
                let person = Person {
                    name: name.to_owned(),
                    email: email.to_owned(),
                    ..Person::default()
                };
                self.found.people.insert(id.clone(), person);
                id
            }
        };
        if let Some(details) = details
            && let Some(person) = self.found.people.get_mut(&id)
        {
            let Person {
                name,
                email,
                time_zone,
                phone,
            } = details;
            for (new, old) in [
                (name, &mut person.name),
                (email, &mut person.email),
                (time_zone, &mut person.time_zone),
                (phone, &mut person.phone),
            ] {
                if !new.is_empty() {
                    *old = new;
                }
            }
        }
        id
    }

    fn zone(&mut self, name: &str) -> (String, TimeZone) {
        let name = if name.is_empty() { "UTC" } else { name };
        match TimeZone::get(name) {
            Ok(zone) => (name.to_owned(), zone),
            Err(_) => {
                self.note(format!("unknown time zone {name:?}: UTC instead"));
                ("UTC".to_owned(), TimeZone::UTC)
            }
        }
    }

    fn add_schedule(&mut self, name: &str, zone: &str, layers: Vec<Layer>) -> usize {
        let (time_zone_name, time_zone) = self.zone(zone);
        let base = clean(name, "schedule");
        let name = fresh(&base, |name| {
            self.found.schedules.iter().any(|known| known.name == name)
        });
        if layers.is_empty() {
            self.note(format!("schedule {name:?} has no layers"));
        }
        self.found.schedules.push(Schedule {
            name,
            team: None,
            time_zone_name,
            time_zone,
            layers,
            overrides: Vec::new(),
        });
        self.found.schedules.len() - 1
    }

    /// An override, unless it is over.
    fn add_override(&mut self, schedule: usize, change: Change) {
        let Change {
            layer,
            kind,
            people,
            replaces,
            from,
            until,
        } = change;
        if until <= self.now || from >= until {
            return;
        }
        let schedule = &mut self.found.schedules[schedule];
        let number = schedule.overrides.len() + 1;
        if number > OVERRIDES_MAX {
            return;
        }
        schedule.overrides.push(Override {
            version: 1,
            id: format!("config-{number:04}"),
            schedule: schedule.name.clone(),
            layer,
            kind,
            people,
            replaces,
            from,
            until,
            by: "configuration".to_owned(),
            comment: String::new(),
        });
    }

    /// `schedule:NAME` for a schedule of theirs.
    fn schedule_target(&self, theirs: &str) -> Option<String> {
        let name = self.ids.get(&format!("schedule/{theirs}"))?;
        Some(format!("schedule:{name}"))
    }

    fn add_policy(&mut self, policy: Policy) {
        let base = clean(&policy.name, "policy");
        let name = fresh(&base, |name| {
            self.found.policies.iter().any(|known| known.name == name)
        });
        let steps: Vec<Step> = policy
            .steps
            .into_iter()
            .filter(|step| !step.notify.is_empty())
            .collect();
        if steps.is_empty() {
            return self.note(format!("policy {name:?} notifies nobody: left out"));
        }
        self.found.policies.push(Policy {
            name,
            steps,
            repeat: policy.repeat.min(100),
        });
    }
}

/// An override before it has a number.
struct Change {
    layer: Option<String>,
    kind: OverrideKind,
    people: Vec<String>,
    replaces: Option<String>,
    from: Timestamp,
    until: Timestamp,
}

/// Lower-case letters, digits and `-`.
fn slug(name: &str, otherwise: &str) -> String {
    let mut out = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' => out.push(c),
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            c if c.is_alphanumeric() => out.push(c),
            _ if !out.ends_with('-') && !out.is_empty() => out.push('-'),
            _ => {}
        }
        if out.len() > 60 {
            break;
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() {
        otherwise.to_owned()
    } else {
        out.to_owned()
    }
}

/// A name that our configuration takes: no colon, no control characters, not too long.
fn clean(name: &str, otherwise: &str) -> String {
    let text: String = name
        .chars()
        .map(|c| if c == ':' || c.is_control() { ' ' } else { c })
        .take(80)
        .collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        otherwise.to_owned()
    } else {
        text
    }
}

fn fresh(base: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = base.to_owned();
    let mut number = 2;
    while taken(&name) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}

// === impl Imported ===

impl Imported {
    /// The `oncall` section, with the notes as comments before it.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        for note in &self.notes {
            _ = writeln!(out, "# note: {}", note.replace('\n', " "));
        }
        out.push_str("oncall:\n");
        if !self.people.is_empty() {
            out.push_str("  people:\n");
        }
        for (id, person) in &self.people {
            _ = writeln!(out, "    {}:", quoted(id));
            let name = if person.name.is_empty() {
                id
            } else {
                &person.name
            };
            _ = writeln!(out, "      name: {}", quoted(name));
            for (key, value) in [
                ("email", &person.email),
                ("phone", &person.phone),
                ("timezone", &person.time_zone),
            ] {
                if !value.is_empty() {
                    _ = writeln!(out, "      {key}: {}", quoted(value));
                }
            }
        }
        if !self.schedules.is_empty() {
            out.push_str("  schedules:\n");
        }
        for schedule in &self.schedules {
            _ = writeln!(out, "    {}:", quoted(&schedule.name));
            out.push_str(&write::schedule(schedule, 6));
        }
        if !self.policies.is_empty() {
            out.push_str("  policies:\n");
        }
        for policy in &self.policies {
            _ = writeln!(out, "    {}:", quoted(&policy.name));
            out.push_str("      steps:\n");
            for step in &policy.steps {
                let notify: Vec<String> = step.notify.iter().map(|one| quoted(one)).collect();
                let wait = step.wait_minutes.max(1);
                _ = writeln!(
                    out,
                    "      - {{notify: [{}], wait: {wait}m}}",
                    notify.join(", ")
                );
            }
            if policy.repeat > 0 {
                _ = writeln!(out, "      repeat: {}", policy.repeat);
            }
        }
        out
    }
}
