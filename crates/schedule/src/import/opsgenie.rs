//! Opsgenie: `GET /v2/users`, `/v2/schedules?expand=rotation`, `/v2/schedules/{id}/overrides`, `/v2/escalations`.
//!
//! All rotations of a schedule are on call together; an override takes the place of everybody (of its rotations).

use serde_json::Value;

use super::{Change, Import, Person, Policy, Step, instant, items, local_to, text};
use crate::{Cover, Layer, OverrideKind, Restriction, Turn};

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

pub(super) fn read(import: &mut Import, documents: &[&Value]) {
    let mut all: Vec<&Value> = Vec::new();
    for document in documents {
        match document.get("data") {
            Some(Value::Array(items)) => all.extend(items),
            Some(one) => all.push(one),
            None => all.push(document),
        }
    }
    for one in all.iter().filter(|one| one.get("username").is_some()) {
        let details = Person {
            name: text(one, "fullName").to_owned(),
            email: text(one, "username").to_owned(),
            time_zone: text(one, "timeZone").to_owned(),
            phone: String::new(),
        };
        let name = match text(one, "fullName") {
            "" => text(one, "username"),
            name => name,
        };
        import.person(text(one, "id"), name, Some(details.clone()));
        let id = import.ids[&format!("user/{}", text(one, "id"))].clone();
        import.ids.insert(format!("user/{}", details.email), id);
    }
    for one in all
        .iter()
        .filter(|one| one.get("rotations").is_some() && one.get("startDate").is_none())
    {
        take_schedule(import, one);
    }
    for one in all
        .iter()
        .filter(|one| one.get("startDate").is_some() && one.get("user").is_some())
    {
        take_override(import, one);
    }
    for one in all.iter().filter(|one| one.get("rules").is_some()) {
        take_escalation(import, one);
    }
}

/// A participant's people; `None` is one that means something else.
fn participant(import: &mut Import, value: &Value) -> Option<Vec<String>> {
    match text(value, "type") {
        "none" => Some(Vec::new()),
        "user" => {
            let username = text(value, "username");
            let known = [text(value, "id"), username]
                .iter()
                .find_map(|id| import.ids.get(&format!("user/{id}")).cloned());
            Some(vec![known.unwrap_or_else(|| {
                let id = if username.is_empty() {
                    text(value, "id")
                } else {
                    username
                };
                import.person(id, id, None)
            })])
        }
        _ => None,
    }
}

fn take_schedule(import: &mut Import, value: &Value) {
    let name = text(value, "name").to_owned();
    let (zone_name, zone) = import.zone(text(value, "timezone"));
    if value["enabled"].as_bool() == Some(false) {
        import.note(format!(
            "schedule {name:?} is switched off there; it is on here"
        ));
    }
    let mut layers = Vec::new();
    for (index, one) in items(value, "rotations").iter().enumerate() {
        let until = instant(one, "endDate");
        if until.is_some_and(|until| until <= import.now) {
            continue;
        }
        let Some(start) = instant(one, "startDate") else {
            import.note(format!(
                "schedule {name:?}: a rotation without a start was left out"
            ));
            continue;
        };
        let mut members = Vec::new();
        for entry in items(one, "participants") {
            match participant(import, entry) {
                Some(people) => members.push(people),
                None => import.note(format!(
                    "schedule {name:?}: a participant of type {:?} is an empty turn here",
                    text(entry, "type")
                )),
            }
        }
        if members.is_empty() {
            import.note(format!(
                "schedule {name:?}: a rotation without participants was left out"
            ));
            continue;
        }
        let length = one["length"].as_u64().unwrap_or(1).clamp(1, 1000) as u32;
        let turn = match text(one, "type") {
            "daily" => Turn::Days(length),
            "hourly" => Turn::Seconds(length * 3600),
            _ => Turn::Weeks(length),
        };
        let rotation_name = match text(one, "name") {
            "" => format!("rotation {}", index + 1),
            name => name.to_owned(),
        };
        let start = local_to(&zone, start);
        let mut layer = Layer::new(&rotation_name, members, start, Cover::Turns(turn));
        layer.until = until.map(|until| local_to(&zone, until));
        layer.restrictions = restrictions(&one["timeRestriction"]);
        layers.push(layer);
    }
    let index = import.add_schedule(&name, &zone_name, layers);
    let ours = import.found.schedules[index].name.clone();
    for theirs in [text(value, "id"), &name] {
        import
            .ids
            .insert(format!("schedule/{theirs}"), ours.clone());
    }
}

fn restrictions(value: &Value) -> Vec<Restriction> {
    let one = value.get("restriction").into_iter();
    one.chain(items(value, "restrictions"))
        .filter_map(|window| {
            let number = |key: &str| window[key].as_u64();
            let from = number("startHour")? * 60 + number("startMin").unwrap_or(0);
            let to = number("endHour")? * 60 + number("endMin").unwrap_or(0);
            let day = |key: &str| {
                DAYS.iter()
                    .position(|day| *day == text(window, key).to_lowercase())
            };
            let (weekdays, days_later) = match day("startDay").zip(day("endDay")) {
                Some((first, last)) => {
                    let days = (last + 7 - first) % 7;
                    let days = if days == 0 && to <= from { 7 } else { days };
                    (1 << first, days as u8)
                }
                None => (0x7f, u8::from(to <= from)),
            };
            let time = |minute: u64| {
                jiff::civil::Time::new((minute / 60 % 24) as i8, (minute % 60) as i8, 0, 0).ok()
            };
            Some(Restriction {
                weekdays,
                from: time(from)?,
                to: time(to)?,
                days_later: days_later + u8::from(to == 1440 && days_later < 7),
            })
        })
        .collect()
}

fn take_override(import: &mut Import, value: &Value) {
    let theirs = [
        text(&value["parent"], "id"),
        text(&value["parent"], "name"),
        text(value, "schedule"),
    ];
    let name = theirs
        .iter()
        .find_map(|id| import.ids.get(&format!("schedule/{id}")).cloned());
    let index = match name {
        Some(name) => import
            .found
            .schedules
            .iter()
            .position(|one| one.name == name),
        None if import.found.schedules.len() == 1 => Some(0),
        None => None,
    };
    let (Some(index), Some(from), Some(until)) = (
        index,
        instant(value, "startDate"),
        instant(value, "endDate"),
    ) else {
        return import.note("an override that names no schedule was left out".to_owned());
    };
    let people = participant(import, &value["user"]).unwrap_or_default();
    let rotations: Vec<String> = items(value, "rotations")
        .iter()
        .map(|one| text(one, "name").to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let layers: Vec<Option<String>> = if rotations.is_empty() {
        vec![None]
    } else {
        rotations.into_iter().map(Some).collect()
    };
    for layer in layers {
        let people = people.clone();
        let kind = OverrideKind::Only;
        import.add_override(
            index,
            Change {
                layer,
                kind,
                people,
                replaces: None,
                from,
                until,
            },
        );
    }
}

fn take_escalation(import: &mut Import, value: &Value) {
    let name = text(value, "name").to_owned();
    // Their delays count from the alert's creation, ours from the step before.
    let minutes = |rule: &Value| {
        let amount = rule["delay"]["timeAmount"].as_u64().unwrap_or(0);
        match text(&rule["delay"], "timeUnit") {
            "hours" => amount * 60,
            "days" => amount * 1440,
            _ => amount,
        }
    };
    let mut rules: Vec<(u64, Vec<String>)> = Vec::new();
    for rule in items(value, "rules") {
        let mut notify = Vec::new();
        let one = rule.get("recipient").into_iter();
        for target in one.chain(items(rule, "recipients")) {
            match text(target, "type") {
                "schedule" => {
                    let found = [text(target, "id"), text(target, "name")]
                        .iter()
                        .find_map(|id| import.schedule_target(id));
                    match found {
                        Some(target) => notify.push(target),
                        None => import.note(format!(
                            "policy {name:?} names schedule {:?}, which is not among the documents",
                            text(target, "name")
                        )),
                    }
                }
                "user" => {
                    let people = participant(import, target).unwrap_or_default();
                    notify.extend(people.into_iter().map(|id| format!("person:{id}")));
                }
                other => import.note(format!(
                    "policy {name:?}: a recipient of type {other:?} was left out"
                )),
            }
        }
        if text(rule, "condition") == "if-not-closed" {
            import.note(format!(
                "policy {name:?}: a step for acknowledged alerts; here the ack timeout does that"
            ));
        }
        rules.push((minutes(rule), notify));
    }
    rules.sort_by_key(|(at, _)| *at);
    let mut steps: Vec<Step> = Vec::new();
    for (index, (at, notify)) in rules.iter().enumerate() {
        let next = rules.get(index + 1).map_or(at + 5, |(next, _)| *next);
        match steps.last_mut() {
            Some(last) if index > 0 && rules[index - 1].0 == *at => {
                last.notify.extend(notify.iter().cloned());
                last.wait_minutes = next.saturating_sub(*at).max(1);
            }
            _ => steps.push(Step {
                notify: notify.clone(),
                wait_minutes: next.saturating_sub(*at).max(1),
            }),
        }
    }
    if rules.first().is_some_and(|(at, _)| *at > 0) {
        import.note(format!(
            "policy {name:?} waits before its first step there; here it begins at once"
        ));
    }
    let repeat = value["repeat"]["count"].as_u64().unwrap_or(0);
    import.add_policy(Policy {
        name,
        steps,
        repeat,
    });
}
