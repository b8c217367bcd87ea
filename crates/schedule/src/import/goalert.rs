//! GoAlert: answers of its GraphQL API, whatever the query asked for: `rotations`, `schedules` with `targets`,
//! `userOverrides`, `temporarySchedules`, `escalationPolicies`, `users`.
//!
//! A schedule is the union of its active rules. Which member of a rotation is active is state there: it is turned so
//! that the same person has the turn now.

use std::collections::BTreeMap;

use jiff::civil::{DateTime, Time};
use serde_json::Value;

use super::{Change, Import, Person, Policy, Step, clock, instant, items, local_to, text};
use crate::{Cover, Layer, OverrideKind, Restriction, Turn};

pub(super) fn read(import: &mut Import, documents: &[&Value]) {
    let mut found = Found::default();
    for document in documents {
        let data = document.get("data").unwrap_or(document);
        let Some(map) = data.as_object() else {
            continue;
        };
        for (key, value) in map {
            let all: Vec<&Value> = match value {
                Value::Array(items) => items.iter().collect(),
                one if one.get("nodes").is_some() => items(one, "nodes").iter().collect(),
                one => vec![one],
            };
            let list = match key.as_str() {
                "rotation" | "rotations" => &mut found.rotations,
                "schedule" | "schedules" => &mut found.schedules,
                "userOverride" | "userOverrides" => &mut found.overrides,
                "escalationPolicy" | "escalationPolicies" => &mut found.policies,
                "user" | "users" => &mut found.users,
                _ => continue,
            };
            list.extend(all.into_iter().cloned());
        }
    }
    for user in &found.users {
        let details = Person {
            name: text(user, "name").to_owned(),
            email: text(user, "email").to_owned(),
            ..Person::default()
        };
        import.person(text(user, "id"), text(user, "name"), Some(details));
    }
    let rotations: BTreeMap<&str, &Value> = found
        .rotations
        .iter()
        .map(|rotation| (text(rotation, "id"), rotation))
        .collect();
    for schedule in &found.schedules {
        take_schedule(import, schedule, &rotations);
    }
    for one in &found.overrides {
        take_override(import, one);
    }
    for policy in &found.policies {
        take_policy(import, policy, &rotations);
    }
}

#[derive(Default)]
struct Found {
    rotations: Vec<Value>,
    schedules: Vec<Value>,
    overrides: Vec<Value>,
    policies: Vec<Value>,
    users: Vec<Value>,
}

fn user(import: &mut Import, value: &Value) -> String {
    let id = text(value, "id");
    let name = match text(value, "name") {
        "" => id,
        name => name,
    };
    import.person(id, name, None)
}

/// A rotation as a layer without windows.
fn rotation(import: &mut Import, value: &Value) -> Option<Layer> {
    let name = text(value, "name").to_owned();
    let (zone_name, zone) = import.zone(text(value, "timeZone"));
    let start = instant(value, "start")?;
    let mut members: Vec<Vec<String>> = items(value, "users")
        .iter()
        .map(|one| vec![user(import, one)])
        .collect();
    if members.is_empty() {
        import.note(format!("rotation {name:?} has no users"));
        return None;
    }
    let length = value["shiftLength"].as_u64().unwrap_or(1).clamp(1, 9000) as u32;
    let turn = match text(value, "type") {
        "hourly" => Turn::ClockHours(length),
        "daily" => Turn::Days(length),
        "monthly" => Turn::Months(length),
        _ => Turn::Weeks(length),
    };
    let start = local_to(&zone, start);
    // GoAlert works to the minute.
    let start = start
        .date()
        .to_datetime(Time::constant(start.hour(), start.minute(), 0, 0));
    let active = value["activeUserIndex"].as_u64();
    let mut layer = Layer::new(&name, members.clone(), start, Cover::Turns(turn));
    layer.time_zone = Some((zone_name, zone));
    if let Some(active) = active {
        // Turn the list until the one who is active there is on call here.
        let probe = crate::Schedule {
            name: String::new(),
            team: None,
            time_zone_name: "UTC".to_owned(),
            time_zone: jiff::tz::TimeZone::UTC,
            layers: vec![Layer {
                members: (0..members.len()).map(|n| vec![n.to_string()]).collect(),
                ..layer.clone()
            }],
            overrides: Vec::new(),
        };
        let now = probe.on_call_at(import.now, &[]);
        let position = now.first().and_then(|(n, _)| n.parse::<usize>().ok());
        if let Some(position) = position {
            let length = members.len();
            let by = (active as usize + length - position) % length;
            members.rotate_left(by);
            layer.members = members;
        }
    }
    Some(layer)
}

fn take_schedule(import: &mut Import, value: &Value, rotations: &BTreeMap<&str, &Value>) {
    let name = text(value, "name").to_owned();
    let (zone_name, zone) = import.zone(text(value, "timeZone"));
    let mut layers: Vec<Layer> = Vec::new();
    for entry in items(value, "targets") {
        let target = &entry["target"];
        let base = match text(target, "type") {
            "rotation" => match rotations.get(text(target, "id")) {
                Some(found) => rotation(import, found),
                None => {
                    import.note(format!(
                        "schedule {name:?} uses rotation {:?}, which is not among the documents",
                        text(target, "name")
                    ));
                    None
                }
            },
            "user" => {
                let person = user(import, target);
                let start = DateTime::constant(2020, 1, 6, 0, 0, 0, 0);
                let cover = Cover::Turns(Turn::Weeks(1));
                let named = text(target, "name");
                Some(Layer::new(named, vec![vec![person]], start, cover))
            }
            _ => None,
        };
        let Some(base) = base else { continue };
        let windows: Vec<Restriction> = items(entry, "rules").iter().filter_map(rule).collect();
        if windows.is_empty() {
            continue;
        }
        // Windows are in the schedule's zone, turns in the rotation's: the same zone, or it has to be said.
        let mut layer = base;
        if let Some((own, _)) = &layer.time_zone {
            if *own == zone_name {
                layer.time_zone = None;
            } else if windows.iter().any(|window| !is_always(window)) {
                import.note(format!(
                    "schedule {name:?}: its rules are in {zone_name}, rotation {:?} is in {own}; here both are in {own}",
                    layer.name
                ));
            }
        }
        if !windows.iter().any(is_always) {
            layer.restrictions = windows;
        }
        layers.push(layer);
    }
    let index = import.add_schedule(&name, &zone_name, layers);
    let ours = import.found.schedules[index].name.clone();
    import
        .ids
        .insert(format!("schedule/{}", text(value, "id")), ours);
    for temporary in items(value, "temporarySchedules") {
        take_temporary(import, index, temporary);
    }
    drop(zone);
}

fn is_always(window: &Restriction) -> bool {
    window.weekdays == 0x7f && window.from == window.to && window.days_later == 1
}

/// `weekdayFilter` begins on Sunday; equal clocks are the whole day.
fn rule(value: &Value) -> Option<Restriction> {
    let weekdays = items(value, "weekdayFilter")
        .iter()
        .enumerate()
        .filter(|(_, on)| on.as_bool() == Some(true))
        .fold(0_u8, |mask, (day, _)| mask | 1 << ((day + 6) % 7));
    let (from, to) = (clock(text(value, "start"))?, clock(text(value, "end"))?);
    (weekdays != 0).then_some(Restriction {
        weekdays,
        from,
        to,
        days_later: u8::from(to <= from),
    })
}

/// A temporary schedule is alone in its window: its shifts, and nobody between them.
fn take_temporary(import: &mut Import, index: usize, value: &Value) {
    let (Some(start), Some(end)) = (instant(value, "start"), instant(value, "end")) else {
        return;
    };
    let mut edges = vec![start, end];
    let mut shifts = Vec::new();
    for shift in items(value, "shifts") {
        let (Some(from), Some(until)) = (instant(shift, "start"), instant(shift, "end")) else {
            continue;
        };
        let person = match shift.get("user") {
            Some(one) => user(import, one),
            None => import.person(text(shift, "userID"), text(shift, "userID"), None),
        };
        edges.extend([from.max(start), until.min(end)]);
        shifts.push((from, until, person));
    }
    edges.sort_unstable();
    edges.dedup();
    for pair in edges.windows(2) {
        let people: Vec<String> = shifts
            .iter()
            .filter(|(from, until, _)| *from <= pair[0] && pair[1] <= *until)
            .map(|(_, _, person)| person.clone())
            .collect();
        let kind = OverrideKind::Only;
        let change = Change {
            layer: None,
            kind,
            people,
            replaces: None,
            from: pair[0],
            until: pair[1],
        };
        import.add_override(index, change);
    }
}

fn take_override(import: &mut Import, value: &Value) {
    let theirs = match text(&value["target"], "id") {
        "" => text(value, "scheduleID"),
        id => id,
    };
    let name = import.ids.get(&format!("schedule/{theirs}")).cloned();
    let index = match name {
        Some(name) => import
            .found
            .schedules
            .iter()
            .position(|one| one.name == name),
        None if import.found.schedules.len() == 1 => Some(0),
        None => None,
    };
    let (Some(index), Some(from), Some(until)) =
        (index, instant(value, "start"), instant(value, "end"))
    else {
        return import.note("an override that names no schedule was left out".to_owned());
    };
    let add = value.get("addUser").filter(|one| !one.is_null());
    let remove = value.get("removeUser").filter(|one| !one.is_null());
    let (kind, people, replaces) = match (add, remove) {
        (Some(add), Some(remove)) => {
            let replaced = user(import, remove);
            (
                OverrideKind::Replace,
                vec![user(import, add)],
                Some(replaced),
            )
        }
        (Some(add), None) => (OverrideKind::Add, vec![user(import, add)], None),
        (None, Some(remove)) => (OverrideKind::Remove, vec![user(import, remove)], None),
        (None, None) => return,
    };
    import.add_override(
        index,
        Change {
            layer: None,
            kind,
            people,
            replaces,
            from,
            until,
        },
    );
}

fn take_policy(import: &mut Import, value: &Value, rotations: &BTreeMap<&str, &Value>) {
    let name = text(value, "name").to_owned();
    let mut steps = Vec::new();
    for step in items(value, "steps") {
        let mut notify = Vec::new();
        for target in items(step, "targets") {
            match text(target, "type") {
                "schedule" => match import.schedule_target(text(target, "id")) {
                    Some(target) => notify.push(target),
                    None => import.note(format!(
                        "policy {name:?} names schedule {:?}, which is not among the documents",
                        text(target, "name")
                    )),
                },
                "user" => notify.push(format!("person:{}", user(import, target))),
                "rotation" => {
                    // Here a rotation is a schedule of one layer.
                    let id = text(target, "id");
                    let known = import.schedule_target(id);
                    let made = known.or_else(|| {
                        let found = rotations.get(id)?;
                        let mut layer = rotation(import, found)?;
                        let zone = layer
                            .time_zone
                            .take()
                            .map_or("UTC".to_owned(), |(name, _)| name);
                        let index = import.add_schedule(&layer.name.clone(), &zone, vec![layer]);
                        let ours = import.found.schedules[index].name.clone();
                        import.ids.insert(format!("schedule/{id}"), ours);
                        import.schedule_target(id)
                    });
                    notify.extend(made);
                }
                other => import.note(format!(
                    "policy {name:?}: a target of type {other:?} was left out"
                )),
            }
        }
        steps.push(Step {
            notify,
            wait_minutes: step["delayMinutes"].as_u64().unwrap_or(15),
        });
    }
    // -1 is for ever: as often as a policy may repeat here, then the fallback.
    let repeat = match value["repeat"].as_i64() {
        Some(-1) => 100,
        Some(times) => times.max(0) as u64,
        None => 0,
    };
    import.add_policy(Policy {
        name,
        steps,
        repeat,
    });
}
