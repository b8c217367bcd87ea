//! Grafana OnCall's public API: `GET /api/v1/users`, `/schedules`, `/on_call_shifts`, `/escalation_chains`,
//! `/escalation_policies`.
//!
//! A shift is an event with a recurrence and a priority level; equal levels are on call together; overrides are above
//! all. Days of the week count for who is next when the frequency is daily, whole weeks do when it is weekly.

use std::collections::BTreeMap;

use jiff::civil::{DateTime, Weekday};
use serde_json::Value;

use super::{Import, Person, Policy, Step, items, text};
use crate::recur::{Frequency, Recurrence, Until};
use crate::{Cover, Layer, TurnCounts};

/// Above every level, which is 0 to 99.
const OVERRIDE_PRIORITY: i32 = 1000;

pub(super) fn read(import: &mut Import, documents: &[&Value]) {
    let mut all: Vec<&Value> = Vec::new();
    for document in documents {
        match document.get("results").and_then(Value::as_array) {
            Some(items) => all.extend(items),
            None => all.push(document),
        }
    }
    let shifts: BTreeMap<&str, &Value> = all
        .iter()
        .filter(|one| one.get("duration").is_some() && one.get("type").is_some())
        .map(|one| (text(one, "id"), *one))
        .collect();
    for one in all.iter().filter(|one| one.get("username").is_some()) {
        let details = Person {
            name: match text(one, "name") {
                "" => text(one, "username").to_owned(),
                name => name.to_owned(),
            },
            email: text(one, "email").to_owned(),
            time_zone: text(one, "timezone").to_owned(),
            phone: String::new(),
        };
        import.person(text(one, "id"), text(one, "username"), Some(details));
    }
    let is_schedule = |one: &&&Value| matches!(text(one, "type"), "web" | "calendar" | "ical");
    for one in all.iter().filter(is_schedule) {
        take_schedule(import, one, &shifts);
    }
    let mut policies: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for one in &all {
        if one.get("escalation_chain_id").is_some() {
            policies
                .entry(text(one, "escalation_chain_id"))
                .or_default()
                .push(one);
        }
    }
    for (chain, mut steps) in policies {
        steps.sort_by_key(|step| step["position"].as_i64().unwrap_or(0));
        let name = all
            .iter()
            .find(|one| text(one, "id") == chain && one.get("name").is_some())
            .map_or(chain, |one| text(one, "name"));
        take_chain(import, name, &steps);
    }
}

fn take_schedule(import: &mut Import, value: &Value, shifts: &BTreeMap<&str, &Value>) {
    let name = text(value, "name").to_owned();
    let zone_name = match text(value, "time_zone") {
        "" => "UTC",
        zone => zone,
    };
    for key in ["ical_url_primary", "ical_url_overrides"] {
        if !text(value, key).is_empty() {
            import.note(format!(
                "schedule {name:?} reads the calendar {}: fetch it and import it by itself",
                text(value, key)
            ));
        }
    }
    let mut layers = Vec::new();
    for id in items(value, "shifts").iter().filter_map(Value::as_str) {
        let Some(shift) = shifts.get(id) else {
            import.note(format!(
                "schedule {name:?} has shift {id}, which is not among the documents"
            ));
            continue;
        };
        match layer(import, shift, zone_name) {
            Ok(Some(layer)) => layers.push(layer),
            Ok(None) => {}
            Err(error) => import.note(format!(
                "schedule {name:?}, shift {:?}: {error}",
                text(shift, "name")
            )),
        }
    }
    let index = import.add_schedule(&name, zone_name, layers);
    let ours = import.found.schedules[index].name.clone();
    import
        .ids
        .insert(format!("schedule/{}", text(value, "id")), ours);
}

fn member(import: &mut Import, ids: &Value) -> Vec<String> {
    let list = ids.as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .filter_map(Value::as_str)
        .map(|id| import.person(id, id, None))
        .collect()
}

/// Times are local to the shift's zone (or the schedule's).
fn local_time(value: &Value, key: &str) -> Option<DateTime> {
    let text = text(value, key);
    text.trim_end_matches('Z').parse().ok()
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text.to_ascii_uppercase().as_str() {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    })
}

fn layer(import: &mut Import, shift: &Value, zone_name: &str) -> Result<Option<Layer>, String> {
    let kind = text(shift, "type");
    let start = local_time(shift, "start").ok_or("it has no start")?;
    let seconds = shift["duration"].as_u64().ok_or("it has no duration")?;
    if !(60..=366 * 86_400).contains(&seconds) {
        return Err("it lasts no time, or more than a year".to_owned());
    }
    let mut rule = Recurrence::every(1, Frequency::Daily);
    let mut members = match kind {
        "rolling_users" => items(shift, "rolling_users")
            .iter()
            .map(|ids| member(import, ids))
            .collect(),
        _ => vec![member(import, &shift["users"])],
    };
    let mut turn_counts = TurnCounts::Wall;
    match kind {
        "single_event" | "override" => rule.count = Some(1),
        "recurrent_event" | "rolling_users" => {
            rule = recurrence(shift)?;
            if rule.frequency == Frequency::Daily && !rule.by_day.is_empty() {
                turn_counts = TurnCounts::Worked;
            }
        }
        other => return Err(format!("unknown type {other:?}")),
    }
    if members.is_empty() {
        return Err("it has no users".to_owned());
    }
    let first = shift["start_rotation_from_user_index"]
        .as_u64()
        .unwrap_or(0) as usize;
    let length = members.len();
    members.rotate_left(first % length);
    // The first of the list has the first event that lasts beyond `rotation_start`.
    let rotation_start = local_time(shift, "rotation_start").filter(|from| *from > start);
    let length_of_event = jiff::SignedDuration::from_secs(seconds as i64);
    let start = match rotation_start {
        Some(from) => rule
            .from(start)
            .take(100_000)
            .find(|one| one.at.saturating_add(length_of_event) > from)
            .map_or(start, |one| one.at),
        None => start,
    };
    let cover = Cover::Events {
        rule: Box::new(rule),
        seconds: seconds as u32,
        per_member: 1,
        except: Vec::new(),
    };
    let name = match text(shift, "name") {
        "" => text(shift, "id"),
        name => name,
    };
    let mut layer = Layer::new(name, members, start, cover);
    layer.turn_counts = turn_counts;
    layer.from = rotation_start.filter(|from| *from > start);
    layer.priority = if kind == "override" {
        OVERRIDE_PRIORITY
    } else {
        shift["level"].as_i64().unwrap_or(0).clamp(0, 99) as i32
    };
    let zone = match text(shift, "time_zone") {
        "" => zone_name.to_owned(),
        own => own.to_owned(),
    };
    if zone != zone_name {
        layer.time_zone = Some(import.zone(&zone));
    }
    if kind == "override" || kind == "single_event" {
        let (_, zone) = import.zone(&zone);
        let end = crate::local_time::instant(&zone, start)
            + jiff::SignedDuration::from_secs(seconds as i64);
        if end <= import.now {
            return Ok(None);
        }
    }
    Ok(Some(layer))
}

fn recurrence(shift: &Value) -> Result<Recurrence, String> {
    let frequency = match text(shift, "frequency").to_ascii_lowercase().as_str() {
        "hourly" => Frequency::Hourly,
        "daily" => Frequency::Daily,
        "weekly" => Frequency::Weekly,
        "monthly" => Frequency::Monthly,
        other => return Err(format!("unknown frequency {other:?}")),
    };
    let interval = shift["interval"].as_u64().unwrap_or(1).clamp(1, 1000) as u32;
    let mut rule = Recurrence::every(interval, frequency);
    rule.by_day = items(shift, "by_day")
        .iter()
        .filter_map(|day| weekday(day.as_str()?))
        .map(|day| (0, day))
        .collect();
    let numbers = |key: &str| -> Vec<i8> {
        items(shift, key)
            .iter()
            .filter_map(Value::as_i64)
            .filter_map(|n| i8::try_from(n).ok())
            .filter(|n| *n != 0 && n.unsigned_abs() <= 31)
            .collect()
    };
    rule.by_month = numbers("by_month")
        .into_iter()
        .filter(|n| (1..=12).contains(n))
        .collect();
    rule.by_month_day = numbers("by_monthday");
    let start_day = text(shift, "week_start");
    rule.week_start = weekday(start_day).unwrap_or(Weekday::Monday);
    rule.until = local_time(shift, "until").map(Until::Local);
    Ok(rule)
}

fn take_chain(import: &mut Import, name: &str, found: &[&Value]) {
    let mut steps: Vec<Step> = Vec::new();
    let mut repeat = 0;
    for step in found {
        match text(step, "type") {
            "wait" => {
                let minutes = (step["duration"].as_u64().unwrap_or(300) / 60).max(1);
                if let Some(last) = steps.last_mut() {
                    last.wait_minutes = minutes;
                }
            }
            "notify_on_call_from_schedule" => {
                match import.schedule_target(text(step, "notify_on_call_from_schedule")) {
                    Some(target) => steps.push(Step {
                        notify: vec![target],
                        wait_minutes: 1,
                    }),
                    None => import.note(format!(
                        "chain {name:?} names a schedule that is not among the documents"
                    )),
                }
            }
            "notify_persons" => {
                let people = member(import, &step["persons_to_notify"]);
                let notify = people
                    .into_iter()
                    .map(|id| format!("person:{id}"))
                    .collect();
                steps.push(Step {
                    notify,
                    wait_minutes: 1,
                });
            }
            "notify_person_next_each_time" => {
                let people = member(import, &step["persons_to_notify_next_each_time"]);
                let notify = people
                    .into_iter()
                    .map(|id| format!("person:{id}"))
                    .collect();
                import.note(format!(
                    "chain {name:?}: a round robin notifies all of them here"
                ));
                steps.push(Step {
                    notify,
                    wait_minutes: 1,
                });
            }
            "repeat_escalation" => repeat = 5,
            other => import.note(format!(
                "chain {name:?}: a step of type {other:?} was left out"
            )),
        }
    }
    // The last step has no wait there.
    if let Some(last) = steps.last_mut() {
        last.wait_minutes = last.wait_minutes.max(5);
    }
    import.add_policy(Policy {
        name: name.to_owned(),
        steps,
        repeat,
    });
}
