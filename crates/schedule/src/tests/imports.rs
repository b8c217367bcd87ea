//! Answers of the products' APIs become a configuration that gives the same people at the same times.

use std::collections::BTreeMap;

use bellwether_model::Problems;
use serde_json::{Value, json};

use super::at;
use crate::import::{Imported, Product, import};
use crate::{Schedule, read};

const NOW: &str = "2026-03-04T12:00:00Z";

/// The written YAML, read again: it must be good and mean the same.
fn read_back(imported: &Imported) -> BTreeMap<String, Schedule> {
    let yaml = imported.to_yaml();
    let mut problems = Problems::default();
    let node = bellwether_yaml::parse("made.yml", &yaml, &mut problems).unwrap();
    let people: Vec<&str> = imported.people.keys().map(String::as_str).collect();
    let holidays = BTreeMap::new();
    let known = read::Known {
        people: &people,
        holidays: &holidays,
    };
    let schedules = node.get("oncall").unwrap().get("schedules").unwrap();
    let found: BTreeMap<String, Schedule> = schedules
        .as_map()
        .unwrap()
        .iter()
        .map(|(name, node)| {
            let name = name.as_text().unwrap().to_owned();
            (
                name.clone(),
                read::schedule(name, node, known, &mut problems),
            )
        })
        .collect();
    assert!(problems.0.is_empty(), "{problems}\n{yaml}");
    for schedule in &imported.schedules {
        let again = &found[&schedule.name];
        assert_eq!(again, schedule, "{yaml}");
    }
    found
}

fn imported(product: Product, documents: &[Value]) -> Imported {
    let made = import(product, documents, at(NOW));
    read_back(&made);
    made
}

fn on_call(imported: &Imported, schedule: usize, when: &str) -> String {
    let people: Vec<String> = imported.schedules[schedule]
        .on_call_at(at(when), &[])
        .into_iter()
        .map(|(person, source)| format!("{person} ({source})"))
        .collect();
    people.join(", ")
}

#[test]
fn pagerduty_v2() {
    let user = |id: &str, name: &str| json!({"user": {"id": id, "type": "user_reference", "summary": name}});
    let documents = [
        json!({"users": [{"id": "PA", "name": "Ana Ruiz", "email": "ana@example.org", "time_zone": "Europe/Madrid",
            "contact_methods": [{"type": "phone_contact_method", "country_code": 34, "address": "600000000"}]}]}),
        json!({"schedule": {"id": "PS1", "name": "Primary: EU", "time_zone": "Europe/Berlin", "schedule_layers": [
            {"name": "Office", "start": "2026-01-05T08:00:00Z", "rotation_virtual_start": "2026-01-05T08:00:00Z",
             "rotation_turn_length_seconds": 86400, "users": [user("PC", "Cy")],
             "restrictions": [{"type": "weekly_restriction", "start_day_of_week": 3, "start_time_of_day": "09:00:00", "duration_seconds": 28800}]},
            {"name": "Base", "start": "2026-01-05T08:00:00Z", "end": null, "rotation_virtual_start": "2025-12-29T08:00:00Z",
             "rotation_turn_length_seconds": 604800, "users": [user("PA", "Ana Ruiz"), user("PB", "Bo")], "restrictions": []},
            {"name": "Gone", "start": "2025-01-05T08:00:00Z", "end": "2025-06-05T08:00:00Z", "rotation_turn_length_seconds": 604800,
             "users": [user("PD", "Dan")], "restrictions": []}]}}),
        json!({"overrides": [{"id": "PO", "start": "2026-03-06T00:00:00+01:00", "end": "2026-03-07T00:00:00+01:00",
            "user": {"id": "PD", "summary": "Dan"}}]}),
        json!({"escalation_policies": [{"id": "PE", "name": "Default", "num_loops": 2, "escalation_rules": [
            {"escalation_delay_in_minutes": 10, "targets": [{"id": "PS1", "type": "schedule_reference", "summary": "Primary: EU"}]},
            {"escalation_delay_in_minutes": 5, "targets": [{"id": "PB", "type": "user_reference", "summary": "Bo"}]}]}]}),
    ];
    let made = imported(Product::PagerDuty, &documents);
    insta::assert_snapshot!(made.to_yaml(), @r##"
    oncall:
      people:
        ana-ruiz:
          name: "Ana Ruiz"
          email: ana@example.org
          phone: "+34600000000"
          timezone: Europe/Madrid
        bo:
          name: Bo
        cy:
          name: Cy
        dan:
          name: Dan
      schedules:
        "Primary EU":
          timezone: Europe/Berlin
          layers:
          - name: Base
            priority: 1
            members: [ana-ruiz, bo]
            start: 2025-12-29T09:00
            from: 2026-01-05T09:00
            turn: 1w
          - name: Office
            priority: 2
            members: [cy]
            start: 2026-01-05T09:00
            turn: 1d
            restrictions:
            - {weekdays: [wed], from: "09:00", to: "17:00"}
          overrides:
          - {people: [dan], from: "2026-03-05T23:00:00Z", until: "2026-03-06T23:00:00Z"}
      policies:
        Default:
          steps:
          - {notify: ["schedule:Primary EU"], wait: 10m}
          - {notify: ["person:bo"], wait: 5m}
          repeat: 2
    "##);
    assert_eq!(
        on_call(&made, 0, "2026-03-04T10:00:00Z"),
        "cy (layer Office)"
    );
    assert_eq!(on_call(&made, 0, "2026-03-04T18:00:00Z"), "bo (layer Base)");
    assert_eq!(
        on_call(&made, 0, "2026-03-06T10:00:00Z"),
        "dan (override config-0001)"
    );
    assert_eq!(
        on_call(&made, 0, "2026-03-09T10:00:00Z"),
        "ana-ruiz (layer Base)"
    );
}

#[test]
fn pagerduty_v3() {
    let event = |start: &str, end: &str, strategy: Value| {
        json!({"name": "e", "start_time": {"date_time": start, "time_zone": "Europe/Berlin"},
            "end_time": {"date_time": end, "time_zone": "Europe/Berlin"}, "effective_since": start, "effective_until": null,
            "recurrence": ["RRULE:FREQ=DAILY"], "assignment_strategy": strategy})
    };
    let member = |id: &str| json!({"type": "user_member", "user_id": id});
    let documents = [
        json!({"users": [{"id": "PA", "name": "Ana"}, {"id": "PB", "name": "Bo"}, {"id": "PC", "name": "Cy"}]}),
        json!({"schedule": {"id": "PS", "name": "v3", "time_zone": "Europe/Berlin", "rotations": [
            {"id": "R1", "name": "day", "events": [event("2026-03-02T08:00:00Z", "2026-03-02T20:00:00Z",
                json!({"type": "rotating_member_assignment_strategy", "shifts_per_member": 2,
                       "members": [member("PA"), {"type": "empty_member"}, member("PB")]}))]},
            {"id": "R2", "name": "all", "events": [event("2026-03-02T10:00:00Z", "2026-03-02T12:00:00Z",
                json!({"type": "every_member_assignment_strategy", "members": [member("PB"), member("PC")]}))]}],
            "overrides": [{"rotation_id": "R1", "start_time": "2026-03-03T08:00:00Z", "end_time": "2026-03-03T20:00:00Z",
                "overridden_member": member("PA"), "overriding_member": member("PC")}]}}),
    ];
    // The override is over at NOW, so ask from before.
    let made = import(Product::PagerDuty, &documents, at("2026-03-02T00:00:00Z"));
    read_back(&made);
    assert_eq!(on_call(&made, 0, "2026-03-02T09:00:00Z"), "ana (layer day)");
    assert_eq!(
        on_call(&made, 0, "2026-03-02T11:00:00Z"),
        "ana (layer day), bo (layer all), cy (layer all)"
    );
    assert_eq!(
        on_call(&made, 0, "2026-03-03T09:00:00Z"),
        "cy (override config-0001)"
    );
    assert_eq!(on_call(&made, 0, "2026-03-04T09:00:00Z"), "");
    assert_eq!(on_call(&made, 0, "2026-03-06T09:00:00Z"), "bo (layer day)");
}

#[test]
fn opsgenie() {
    let documents = [
        json!({"data": [{"id": "s1", "name": "ops", "timezone": "America/New_York", "enabled": true, "rotations": [
        {"id": "r1", "name": "week", "startDate": "2026-03-02T14:00:00Z", "type": "weekly", "length": 1,
         "participants": [{"type": "user", "username": "ana@example.org"}, {"type": "none"}]},
        {"id": "r2", "name": "nights", "startDate": "2026-03-02T05:00:00Z", "type": "daily", "length": 1,
         "participants": [{"type": "user", "username": "bo@example.org"}],
         "timeRestriction": {"type": "weekday-and-time-of-day", "restrictions": [
            {"startDay": "friday", "startHour": 18, "startMin": 0, "endDay": "monday", "endHour": 8, "endMin": 30}]}}]}]}),
        json!({"data": [{"alias": "o", "user": {"type": "user", "username": "cy@example.org"}, "startDate": "2026-03-05T00:00:00Z",
            "endDate": "2026-03-06T00:00:00Z", "rotations": [{"id": "r1", "name": "week"}]}]}),
        json!({"data": [{"id": "e", "name": "esc", "rules": [
            {"condition": "if-not-acked", "delay": {"timeAmount": 0, "timeUnit": "minutes"}, "recipient": {"type": "schedule", "id": "s1"}},
            {"condition": "if-not-acked", "delay": {"timeAmount": 10, "timeUnit": "minutes"}, "recipient": {"type": "user", "username": "ana@example.org"}}],
            "repeat": {"count": 3}}]}),
    ];
    let made = imported(Product::Opsgenie, &documents);
    insta::assert_snapshot!(made.to_yaml(), @r##"
    oncall:
      people:
        ana:
          name: ana@example.org
          email: ana@example.org
        bo:
          name: bo@example.org
          email: bo@example.org
        cy:
          name: cy@example.org
          email: cy@example.org
      schedules:
        ops:
          timezone: America/New_York
          layers:
          - name: week
            members: [ana, EMPTY]
            start: 2026-03-02T09:00
            turn: 1w
          - name: nights
            members: [bo]
            start: 2026-03-02T00:00
            turn: 1d
            restrictions:
            - {weekdays: [fri], from: "18:00", to: "mon 08:30"}
          overrides:
          - {layer: week, people: [cy], from: "2026-03-05T00:00:00Z", until: "2026-03-06T00:00:00Z"}
      policies:
        esc:
          steps:
          - {notify: ["schedule:ops"], wait: 10m}
          - {notify: ["person:ana"], wait: 5m}
          repeat: 3
    "##);
    assert_eq!(
        on_call(&made, 0, "2026-03-04T12:00:00Z"),
        "ana (layer week)"
    );
    assert_eq!(
        on_call(&made, 0, "2026-03-05T12:00:00Z"),
        "cy (override config-0001)"
    );
    assert_eq!(
        on_call(&made, 0, "2026-03-07T12:00:00Z"),
        "ana (layer week), bo (layer nights)"
    );
    assert_eq!(on_call(&made, 0, "2026-03-12T12:00:00Z"), "");
}

#[test]
fn grafana_oncall() {
    let documents = [
        json!({"results": [{"id": "U1", "username": "ana", "email": "ana@example.org"}, {"id": "U2", "username": "bo"}, {"id": "U3", "username": "cy"}]}),
        json!({"results": [{"id": "S1", "name": "web", "type": "web", "time_zone": "Europe/Berlin", "shifts": ["O1", "O2", "O3"]}]}),
        json!({"results": [
            {"id": "O1", "name": "work days", "type": "rolling_users", "level": 1, "start": "2026-03-02T09:00:00",
             "rotation_start": "2026-03-02T09:00:00", "duration": 28800, "frequency": "daily", "interval": 1,
             "by_day": ["MO", "WE", "FR"], "week_start": "MO", "rolling_users": [["U1"], ["U2"]], "start_rotation_from_user_index": 0},
            {"id": "O2", "name": "weeks", "type": "rolling_users", "level": 0, "start": "2026-03-02T00:00:00", "duration": 604800,
             "frequency": "weekly", "interval": 1, "rolling_users": [["U3"], ["U1", "U2"]], "start_rotation_from_user_index": 1},
            {"id": "O3", "name": "swap", "type": "override", "start": "2026-03-05T10:00:00", "duration": 3600, "users": ["U3"]}]}),
        json!({"results": [{"id": "E1", "escalation_chain_id": "C", "position": 0, "type": "notify_on_call_from_schedule", "notify_on_call_from_schedule": "S1"},
            {"id": "E2", "escalation_chain_id": "C", "position": 1, "type": "wait", "duration": 900},
            {"id": "E3", "escalation_chain_id": "C", "position": 2, "type": "notify_persons", "persons_to_notify": ["U2"]}]}),
    ];
    let made = imported(Product::GrafanaOnCall, &documents);
    insta::assert_snapshot!(made.to_yaml(), @r##"
    oncall:
      people:
        ana:
          name: ana
          email: ana@example.org
        bo:
          name: bo
        cy:
          name: cy
      schedules:
        web:
          timezone: Europe/Berlin
          layers:
          - name: "work days"
            priority: 1
            members: [ana, bo]
            start: 2026-03-02T09:00
            rrule: "FREQ=DAILY;BYDAY=MO,WE,FR"
            duration: 8h
          - name: weeks
            members: [[ana, bo], cy]
            start: 2026-03-02T00:00
            rrule: "FREQ=WEEKLY"
            duration: 7d
            turn_counts: wall
          - name: swap
            priority: 1000
            members: [cy]
            start: 2026-03-05T10:00
            rrule: "FREQ=DAILY;COUNT=1"
            duration: 1h
            turn_counts: wall
      policies:
        C:
          steps:
          - {notify: ["schedule:web"], wait: 15m}
          - {notify: ["person:bo"], wait: 5m}
    "##);
    // Monday ana, Wednesday bo, Friday ana, and Monday bo: only worked days count.
    for (when, who) in [
        ("2026-03-02T10:00:00Z", "ana (layer work days)"),
        ("2026-03-04T10:00:00Z", "bo (layer work days)"),
        ("2026-03-06T10:00:00Z", "ana (layer work days)"),
        ("2026-03-09T10:00:00Z", "bo (layer work days)"),
        (
            "2026-03-03T10:00:00Z",
            "ana (layer weeks), bo (layer weeks)",
        ),
        ("2026-03-10T10:00:00Z", "cy (layer weeks)"),
        ("2026-03-05T09:30:00Z", "cy (layer swap)"),
    ] {
        assert_eq!(on_call(&made, 0, when), who, "{when}");
    }
}

#[test]
fn goalert() {
    let user = |id: &str, name: &str| json!({"id": id, "name": name});
    let documents = [
        json!({"data": {"rotations": {"nodes": [{"id": "r1", "name": "rota", "start": "2026-01-01T08:00:30Z", "timeZone": "Europe/Berlin",
            "type": "daily", "shiftLength": 1, "activeUserIndex": 2, "users": [user("u1", "Ana"), user("u2", "Bo"), user("u3", "Cy")]}]}}}),
        json!({"data": {"schedule": {"id": "s1", "name": "sched", "timeZone": "Europe/Berlin", "targets": [
            {"target": {"id": "r1", "type": "rotation", "name": "rota"},
             "rules": [{"weekdayFilter": [true, true, true, true, true, true, true], "start": "00:00", "end": "00:00"}]},
            {"target": {"id": "u4", "type": "user", "name": "Dan"},
             "rules": [{"weekdayFilter": [false, false, false, false, true, false, false], "start": "22:00", "end": "06:00"}]}],
            "temporarySchedules": [{"start": "2026-03-10T00:00:00Z", "end": "2026-03-10T06:00:00Z",
                "shifts": [{"userID": "u2", "start": "2026-03-10T00:00:00Z", "end": "2026-03-10T03:00:00Z"}]}]}}}),
        json!({"data": {"userOverrides": {"nodes": [{"start": "2026-03-04T12:00:00Z", "end": "2026-03-04T14:00:00Z",
            "target": {"id": "s1"}, "addUser": user("u4", "Dan"), "removeUser": user("u3", "Cy")}]}}}),
        json!({"data": {"escalationPolicies": {"nodes": [{"id": "p", "name": "pol", "repeat": -1, "steps": [
            {"delayMinutes": 5, "targets": [{"type": "schedule", "id": "s1"}]},
            {"delayMinutes": 10, "targets": [{"type": "rotation", "id": "r1"}, {"type": "slackChannel", "id": "x"}]}]}]}}}),
    ];
    let made = imported(Product::GoAlert, &documents);
    insta::assert_snapshot!(made.to_yaml(), @r##"
    # note: policy "pol": a target of type "slackChannel" was left out
    oncall:
      people:
        ana:
          name: Ana
        bo:
          name: Bo
        cy:
          name: Cy
        dan:
          name: Dan
      schedules:
        sched:
          timezone: Europe/Berlin
          layers:
          - name: rota
            members: [ana, bo, cy]
            start: 2026-01-01T09:00
            turn: 1d
          - name: Dan
            members: [dan]
            start: 2020-01-06T00:00
            turn: 1w
            restrictions:
            - {weekdays: [thu], from: "22:00", to: "06:00"}
          overrides:
          - {people: [bo], from: "2026-03-10T00:00:00Z", until: "2026-03-10T03:00:00Z"}
          - {people: [], from: "2026-03-10T03:00:00Z", until: "2026-03-10T06:00:00Z"}
          - {kind: replace, people: [dan], replaces: cy, from: "2026-03-04T12:00:00Z", until: "2026-03-04T14:00:00Z"}
        rota:
          timezone: Europe/Berlin
          layers:
          - name: rota
            members: [ana, bo, cy]
            start: 2026-01-01T09:00
            turn: 1d
      policies:
        pol:
          steps:
          - {notify: ["schedule:sched"], wait: 5m}
          - {notify: ["schedule:rota"], wait: 10m}
          repeat: 100
    "##);
    assert_eq!(on_call(&made, 0, "2026-03-04T11:59:00Z"), "cy (layer rota)");
    assert_eq!(
        on_call(&made, 0, "2026-03-04T12:30:00Z"),
        "dan (override config-0003)"
    );
    assert_eq!(
        on_call(&made, 0, "2026-03-05T22:00:00Z"),
        "ana (layer rota), dan (layer Dan)"
    );
    assert_eq!(
        on_call(&made, 0, "2026-03-10T02:00:00Z"),
        "bo (override config-0001)"
    );
    assert_eq!(on_call(&made, 0, "2026-03-10T04:00:00Z"), "");
}

#[test]
fn documents_of_no_use_are_said_to_be() {
    for product in [
        Product::PagerDuty,
        Product::Opsgenie,
        Product::GrafanaOnCall,
        Product::GoAlert,
    ] {
        for document in [
            json!(null),
            json!({}),
            json!([1, "x"]),
            json!({"schedules": [{}], "data": {"rotations": [{}]}, "results": [{"type": "web"}]}),
        ] {
            let made = import(product, &[document], at(NOW));
            assert!(!made.notes.is_empty(), "{product:?}");
        }
    }
}
