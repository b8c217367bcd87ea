//! PagerDuty: `GET /users`, `/schedules/{id}` (v2), `/v3/schedules/{id}`, `/schedules/{id}/overrides`,
//! `/escalation_policies`.
//!
//! v2: one person at a time, layers of which the first in the answer is on top; a turn passes also while a
//! restriction hides it. v3: rotations of events add up; an event's members take turns by event, and may be empty.

use jiff::Timestamp;
use serde_json::Value;

use super::{Change, Import, Person, Policy, Step, clock, instant, items, local_to, text, window};
use crate::read::turn_of_seconds;
use crate::recur::Recurrence;
use crate::{Cover, Layer, OverrideKind, Restriction, TurnCounts};

pub(super) fn read(import: &mut Import, documents: &[&Value]) {
    let every = |key_one: &str, key_all: &str| -> Vec<Value> {
        documents
            .iter()
            .flat_map(|document| {
                let one = document.get(key_one).filter(|value| value.is_object());
                one.into_iter()
                    .chain(items(document, key_all))
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    for user in every("user", "users") {
        take_user(import, &user);
    }
    for schedule in every("schedule", "schedules") {
        if schedule.get("rotations").is_some() {
            take_v3(import, &schedule);
        } else if schedule.get("schedule_layers").is_some() {
            take_v2(import, &schedule);
        } else {
            let name = text(&schedule, "name");
            import.note(format!(
                "schedule {name:?} came without its layers: ask for /schedules/{{id}} instead of the list"
            ));
        }
    }
    for document in documents {
        for one in items(document, "overrides") {
            take_override(import, one, None);
        }
    }
    for policy in every("escalation_policy", "escalation_policies") {
        take_policy(import, &policy);
    }
}

/// A user, or a reference to one.
fn user(import: &mut Import, user: &Value) -> String {
    let id = match text(user, "id") {
        "" => text(user, "user_id"),
        id => id,
    };
    let name = ["name", "summary", "email"]
        .iter()
        .map(|key| text(user, key))
        .find(|name| !name.is_empty())
        .unwrap_or(id);
    import.person(id, name, None)
}

fn take_user(import: &mut Import, value: &Value) {
    let phone = items(value, "contact_methods")
        .iter()
        .find(|method| {
            text(method, "type").starts_with("phone") || text(method, "type").starts_with("sms")
        })
        .map(|method| {
            let code = method["country_code"].as_u64().unwrap_or(1);
            format!("+{code}{}", text(method, "address"))
        });
    let details = Person {
        name: text(value, "name").to_owned(),
        email: text(value, "email").to_owned(),
        time_zone: text(value, "time_zone").to_owned(),
        phone: phone.unwrap_or_default(),
    };
    import.person(text(value, "id"), text(value, "name"), Some(details));
}

fn take_v2(import: &mut Import, value: &Value) {
    let name = text(value, "name").to_owned();
    let (zone_name, zone) = import.zone(text(value, "time_zone"));
    let all = items(value, "schedule_layers");
    let mut layers = Vec::new();
    // The answer has the newest layer first, and that one wins.
    for (index, one) in all.iter().enumerate() {
        let start = instant(one, "start");
        let virtual_start = instant(one, "rotation_virtual_start").or(start);
        let Some(first) = virtual_start else {
            import.note(format!(
                "schedule {name:?}: a layer without a start was left out"
            ));
            continue;
        };
        let until = instant(one, "end");
        if until.is_some_and(|until| until <= import.now) {
            continue;
        }
        let members: Vec<Vec<String>> = items(one, "users")
            .iter()
            .map(|entry| {
                let inner = entry.get("user").unwrap_or(entry);
                vec![user(import, inner)]
            })
            .collect();
        if members.is_empty() {
            import.note(format!(
                "schedule {name:?}: layer {:?} has no users",
                text(one, "name")
            ));
            continue;
        }
        let seconds = one["rotation_turn_length_seconds"]
            .as_u64()
            .unwrap_or(604_800);
        let cover = Cover::Turns(turn_of_seconds(seconds));
        let layer_name = match text(one, "name") {
            "" => format!("layer {}", all.len() - index),
            name => name.to_owned(),
        };
        let mut layer = Layer::new(&layer_name, members, local_to(&zone, first), cover);
        layer.priority = (all.len() - 1 - index) as i32;
        layer.from = start
            .filter(|start| *start > first)
            .map(|start| local_to(&zone, start));
        layer.until = until.map(|until| local_to(&zone, until));
        layer.restrictions = items(one, "restrictions")
            .iter()
            .filter_map(restriction)
            .collect();
        layers.push(layer);
    }
    layers.reverse();
    let index = import.add_schedule(&name, &zone_name, layers);
    register(import, value, index);
    let own = items(value, "overrides").iter();
    for one in own {
        take_override(import, one, Some(index));
    }
}

fn register(import: &mut Import, value: &Value, index: usize) {
    let name = import.found.schedules[index].name.clone();
    import
        .ids
        .insert(format!("schedule/{}", text(value, "id")), name);
}

fn restriction(value: &Value) -> Option<Restriction> {
    let from = clock(text(value, "start_time_of_day"))?;
    let seconds = value["duration_seconds"].as_u64()?;
    let weekdays = match value["start_day_of_week"].as_u64() {
        Some(day @ 1..=7) if text(value, "type") != "daily_restriction" => 1 << (day - 1),
        _ => 0x7f,
    };
    Some(window(weekdays, from, seconds))
}

fn take_override(import: &mut Import, value: &Value, schedule: Option<usize>) {
    let index = schedule.or_else(|| {
        let theirs = text(&value["schedule"], "id");
        let name = import.ids.get(&format!("schedule/{theirs}")).cloned();
        match name {
            Some(name) => import
                .found
                .schedules
                .iter()
                .position(|one| one.name == name),
            // An answer of /schedules/{id}/overrides does not name it: right when there is one schedule.
            None if import.found.schedules.len() == 1 => Some(0),
            None => None,
        }
    });
    let (Some(index), Some(from), Some(until)) =
        (index, instant(value, "start"), instant(value, "end"))
    else {
        return import.note("an override that names no schedule was left out".to_owned());
    };
    let person = user(import, &value["user"]);
    import.add_override(
        index,
        Change {
            layer: None,
            kind: OverrideKind::Only,
            people: vec![person],
            replaces: None,
            from,
            until,
        },
    );
}

/// `{date_time, time_zone}` or a text.
fn zoned(import: &mut Import, value: &Value, default: &str) -> Option<(Timestamp, String)> {
    let zone = match text(value, "time_zone") {
        "" => default.to_owned(),
        zone => zone.to_owned(),
    };
    let written = value.as_str().unwrap_or_else(|| text(value, "date_time"));
    let at = match written.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let (_, zone) = import.zone(&zone);
            crate::local_time::instant(&zone, written.parse().ok()?)
        }
    };
    Some((at, zone))
}

fn take_v3(import: &mut Import, value: &Value) {
    let name = text(value, "name").to_owned();
    let zone_name = text(value, "time_zone").to_owned();
    let mut layers = Vec::new();
    let rotations = items(value, "rotations");
    let mut named: Vec<(String, String)> = Vec::new();
    for (index, rotation) in rotations.iter().enumerate() {
        let rotation_name = match text(rotation, "name") {
            "" => format!("rotation {}", index + 1),
            name => name.to_owned(),
        };
        named.push((text(rotation, "id").to_owned(), rotation_name.clone()));
        for event in items(rotation, "events") {
            match event_layer(import, event, &rotation_name, &zone_name) {
                Ok(Some(layer)) => layers.push(layer),
                Ok(None) => {}
                Err(error) => {
                    import.note(format!("schedule {name:?}, {rotation_name:?}: {error}"));
                }
            }
        }
    }
    let custom = items(value, "custom_shifts").to_vec();
    let index = import.add_schedule(&name, &zone_name, layers);
    register(import, value, index);
    for shift in &custom {
        let times = zoned(import, &shift["start_time"], &zone_name).zip(zoned(
            import,
            &shift["end_time"],
            &zone_name,
        ));
        let Some(((from, _), (until, _))) = times else {
            import.note(format!(
                "schedule {name:?}: a custom shift without times was left out"
            ));
            continue;
        };
        let people = items(shift, "assignments")
            .iter()
            .chain(items(shift, "members"))
            .map(|one| one.get("member").unwrap_or(one).clone())
            .filter(|member| text(member, "type") != "empty_member")
            .map(|member| user(import, &member))
            .collect();
        let kind = OverrideKind::Add;
        import.add_override(
            index,
            Change {
                layer: None,
                kind,
                people,
                replaces: None,
                from,
                until,
            },
        );
    }
    for one in items(value, "overrides") {
        let times = zoned(import, &one["start_time"], &zone_name).zip(zoned(
            import,
            &one["end_time"],
            &zone_name,
        ));
        let Some(((from, _), (until, _))) = times else {
            take_override(import, one, Some(index));
            continue;
        };
        let layer = named
            .iter()
            .find(|(id, _)| !id.is_empty() && id == text(one, "rotation_id"))
            .map(|(_, name)| name.clone());
        let replaced = user(import, &one["overridden_member"]);
        let by = user(import, &one["overriding_member"]);
        import.add_override(
            index,
            Change {
                layer,
                kind: OverrideKind::Replace,
                people: vec![by],
                replaces: Some(replaced),
                from,
                until,
            },
        );
    }
}

fn event_layer(
    import: &mut Import,
    event: &Value,
    name: &str,
    zone_name: &str,
) -> Result<Option<Layer>, String> {
    let (start, start_zone) =
        zoned(import, &event["start_time"], zone_name).ok_or("an event without a start")?;
    let (end, _) = zoned(import, &event["end_time"], zone_name).ok_or("an event without an end")?;
    let seconds = end.duration_since(start).as_secs();
    if !(60..=366 * 86_400).contains(&seconds) {
        return Err("an event that lasts no time, or more than a year".to_owned());
    }
    let until = instant(event, "effective_until");
    if until.is_some_and(|until| until <= import.now) {
        return Ok(None);
    }
    let rule = items(event, "recurrence")
        .iter()
        .filter_map(Value::as_str)
        .find(|line| line.to_ascii_uppercase().contains("FREQ="));
    let rule: Recurrence = rule.ok_or("an event without a recurrence rule")?.parse()?;
    let strategy = &event["assignment_strategy"];
    let mut members: Vec<Vec<String>> = items(strategy, "members")
        .iter()
        .map(|member| match text(member, "type") {
            "empty_member" => Vec::new(),
            _ => vec![user(import, member)],
        })
        .collect();
    if text(strategy, "type").starts_with("every_member") {
        members = vec![members.concat()];
    }
    if members.is_empty() {
        return Err("an event without members".to_owned());
    }
    let per_member = strategy["shifts_per_member"]
        .as_u64()
        .unwrap_or(1)
        .clamp(1, 1000);
    let (zone_name_own, zone) = import.zone(&start_zone);
    let cover = Cover::Events {
        rule: Box::new(rule),
        seconds: seconds as u32,
        per_member: per_member as u32,
        except: Vec::new(),
    };
    let mut layer = Layer::new(name, members, local_to(&zone, start), cover);
    layer.turn_counts = TurnCounts::Worked;
    layer.from = instant(event, "effective_since").map(|since| local_to(&zone, since));
    layer.from = layer.from.filter(|from| *from > layer.start);
    layer.until = until.map(|until| local_to(&zone, until));
    if zone_name_own != zone_name {
        layer.time_zone = Some((zone_name_own, zone));
    }
    Ok(Some(layer))
}

fn take_policy(import: &mut Import, value: &Value) {
    let name = text(value, "name").to_owned();
    let mut steps = Vec::new();
    for rule in items(value, "escalation_rules") {
        let mut notify = Vec::new();
        for target in items(rule, "targets") {
            if text(target, "type").starts_with("schedule") {
                match import.schedule_target(text(target, "id")) {
                    Some(target) => notify.push(target),
                    None => import.note(format!(
                        "policy {name:?} names schedule {:?}, which is not among the documents",
                        text(target, "summary")
                    )),
                }
            } else {
                notify.push(format!("person:{}", user(import, target)));
            }
        }
        steps.push(Step {
            notify,
            wait_minutes: rule["escalation_delay_in_minutes"].as_u64().unwrap_or(30),
        });
    }
    let repeat = value["num_loops"].as_u64().unwrap_or(0);
    import.add_policy(Policy {
        name,
        steps,
        repeat,
    });
}
