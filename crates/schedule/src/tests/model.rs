//! What the model can say beyond plain rotations, and laws over all of it.

use std::collections::BTreeMap;

use bellwether_model::Problems;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{any_zone, at, change, instant, layer, local, schedule, show};
use crate::holiday::Holidays;
use crate::{Cover, OverrideKind, Schedule, Turn, read, report, write};

fn parse(text: &str) -> (Schedule, Problems) {
    let mut problems = Problems::default();
    let node = bellwether_yaml::parse("s.yml", text, &mut problems).unwrap();
    let holidays: BTreeMap<String, Holidays> = BTreeMap::from([(
        "de".to_owned(),
        Holidays {
            name: "de".to_owned(),
            days: vec![
                "12-25..12-26".parse().unwrap(),
                "2026-04-03".parse().unwrap(),
            ],
        },
    )]);
    let people = ["ana", "bo", "cy", "dan"];
    let known = read::Known {
        people: &people,
        holidays: &holidays,
    };
    let made = read::schedule("s".to_owned(), &node, known, &mut problems);
    (made, problems)
}

fn good(text: &str) -> Schedule {
    let (made, problems) = parse(text);
    assert!(problems.0.is_empty(), "{problems}");
    let (again, _) = parse(&write::schedule(&made, 0));
    assert_eq!(again, made, "{}", write::schedule(&made, 0));
    made
}

const ALL: &str = r#"
team: web
timezone: Europe/Berlin
layers:
- name: base
  members: [ana, EMPTY, [bo, cy]]
  start: 2026-03-02T09:00
  from: 2026-03-03T09:00
  until: 2026-12-31T00:00
  turn: 1d
  turn_counts: worked
  restrictions:
  - {weekdays: [mon:fri], from: "09:00", to: "17:00"}
- name: weekend
  priority: 2
  members: [dan]
  start: 2026-01-01T00:00
  turn: clock 12h
  restrictions:
  - {weekdays: [fri], from: "17:00", to: "mon 08:00"}
- name: holidays
  priority: 3
  members: [cy]
  start: 2026-01-01T00:00
  turn: 1mo
  holidays: {only: de}
- name: events
  priority: 1
  members: [bo, ana]
  start: 2026-03-02T20:00
  rrule: FREQ=WEEKLY;BYDAY=MO,TH
  duration: 10h
  shifts_per_member: 2
  except: [2026-03-05T20:00]
  timezone: Europe/Lisbon
overrides:
- {people: [ana], from: 2026-03-11T00:00, until: 2026-03-11T06:00}
- {kind: replace, replaces: dan, people: [bo], layer: weekend, from: "2026-03-14T00:00:00Z", until: "2026-03-14T12:00:00Z", comment: "a: swap"}
"#;

#[test]
fn everything_at_once() {
    let made = good(ALL);
    let shifts = made.shifts(at("2026-03-01T00:00:00Z"), at("2026-03-17T00:00:00Z"), &[]);
    insta::assert_snapshot!(show(&made, &shifts), @r##"
    Sun 01 Mar 01:00 - Mon 02 Mar 08:00  dan (layer weekend)
    Mon 02 Mar 21:00 - Tue 03 Mar 07:00  bo (layer events)
    Wed 04 Mar 09:00 - Wed 04 Mar 17:00  bo (layer base)
    Wed 04 Mar 09:00 - Wed 04 Mar 17:00  cy (layer base)
    Thu 05 Mar 09:00 - Thu 05 Mar 17:00  ana (layer base)
    Fri 06 Mar 17:00 - Mon 09 Mar 08:00  dan (layer weekend)
    Mon 09 Mar 09:00 - Mon 09 Mar 17:00  bo (layer base)
    Mon 09 Mar 09:00 - Mon 09 Mar 17:00  cy (layer base)
    Mon 09 Mar 21:00 - Tue 10 Mar 07:00  ana (layer events)
    Tue 10 Mar 09:00 - Tue 10 Mar 17:00  ana (layer base)
    Wed 11 Mar 00:00 - Wed 11 Mar 06:00  ana (override config-0001)
    Thu 12 Mar 09:00 - Thu 12 Mar 17:00  bo (layer base)
    Thu 12 Mar 09:00 - Thu 12 Mar 17:00  cy (layer base)
    Thu 12 Mar 21:00 - Fri 13 Mar 07:00  ana (layer events)
    Fri 13 Mar 09:00 - Fri 13 Mar 17:00  ana (layer base)
    Fri 13 Mar 17:00 - Sat 14 Mar 01:00  dan (layer weekend)
    Sat 14 Mar 01:00 - Sat 14 Mar 13:00  bo (override config-0002)
    Sat 14 Mar 13:00 - Mon 16 Mar 08:00  dan (layer weekend)
    Mon 16 Mar 21:00 - Tue 17 Mar 01:00  bo (layer events)
    "##);
    let easter = made.on_call_at(at("2026-04-03T10:00:00Z"), &[]);
    assert_eq!(easter[0].0, "cy");
}

#[test]
fn turns_that_a_restriction_hides_count_or_do_not() {
    let text = |counts: &str| {
        format!(
            "timezone: UTC\nlayers:\n- {{name: l, members: [ana, bo], start: 2026-03-02T00:00, turn: 1d, turn_counts: {counts}, \
             restrictions: [{{weekdays: [mon, wed, fri], from: '08:00', to: '20:00'}}]}}\n"
        )
    };
    let who = |counts: &str| -> Vec<String> {
        let made = good(&text(counts));
        let shifts = made.shifts(at("2026-03-02T00:00:00Z"), at("2026-03-10T00:00:00Z"), &[]);
        shifts.into_iter().map(|shift| shift.person).collect()
    };
    // By the clock every second day is bo's; by work they alternate.
    assert_eq!(who("wall"), ["ana", "ana", "ana", "bo"]);
    assert_eq!(who("worked"), ["ana", "bo", "ana", "bo"]);
    // Asked for in the middle, it is the same.
    let made = good(&text("worked"));
    let late = made.on_call_at(at("2027-03-05T12:00:00Z"), &[]);
    let shifts = made.shifts(at("2026-03-02T00:00:00Z"), at("2027-03-06T00:00:00Z"), &[]);
    assert_eq!(late[0].0, shifts.last().unwrap().person);
}

#[test]
fn clock_hours_do_not_count_a_repeated_hour_twice() {
    // GoAlert's example: 24-hour turns stay at 01:30 over both changes of the clock.
    let made = schedule(
        "America/New_York",
        vec![layer(
            "l",
            0,
            &[&["a"], &["b"]],
            "2026-03-01T01:30",
            Turn::ClockHours(24),
        )],
    );
    for (from, to) in [
        ("2026-03-06T00:00:00Z", "2026-03-11T00:00:00Z"),
        ("2026-10-30T00:00:00Z", "2026-11-03T00:00:00Z"),
    ] {
        let shifts = made.shifts(at(from), at(to), &[]);
        for shift in &shifts[1..] {
            assert_eq!(
                local(&made.time_zone, shift.start)
                    .strftime("%H:%M")
                    .to_string(),
                "01:30"
            );
        }
    }
}

#[test]
fn only_beats_overrides_beats_layers() {
    let made = schedule(
        "UTC",
        vec![layer(
            "l",
            0,
            &[&["ana"]],
            "2026-03-02T00:00",
            Turn::Weeks(1),
        )],
    );
    let span = ("2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z");
    let only = change("a", OverrideKind::Only, &["dan"], span.0, span.1);
    let add = change("b", OverrideKind::Add, &["bo"], span.0, span.1);
    let remove = change("c", OverrideKind::Remove, &["ana"], span.0, span.1);
    let who = |changes: &[crate::Override]| -> Vec<String> {
        let found = made.on_call_at(at("2026-03-03T12:00:00Z"), changes);
        found.into_iter().map(|(person, _)| person).collect()
    };
    assert_eq!(who(&[add.clone(), remove.clone(), only]), ["dan"]);
    assert_eq!(who(&[add.clone(), remove.clone()]), ["bo"]);
    assert_eq!(who(&[add]), ["ana", "bo"]);
    assert!(who(&[remove]).is_empty());
}

#[test]
fn mistakes_have_a_place_and_a_hint() {
    let (_, problems) = parse(
        "timezone: Europe/Berln\nlayers:\n- {name: l, members: [anna], start: yesterday, turn: soon, rrule: FREQ=NEVER, \
         restrictions: [{weekdays: [mon, tue], from: '9', to: 'wed 08:00'}], holidays: {off: fr}, turn_counts: sometimes}\n\
         overrides: [{kind: replace, people: [], from: 2026-01-02T00:00, until: 2026-01-01T00:00}]\n",
    );
    let lines: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r##"
    error: s.yml:1:11: unknown time zone "Europe/Berln"
      hint: an IANA name such as Europe/Berlin
    error: s.yml:3:23: there is no person "anna"
      hint: did you mean "ana"?
    error: s.yml:3:37: start: not a local time: "yesterday"
      hint: write it as 2026-01-05T09:00
    error: s.yml:3:3: this layer has no valid start
      hint: a local time such as 2026-01-05T09:00
    error: s.yml:3:54: `turn` and `rrule` exclude each other
    error: s.yml:3:67: rrule: FREQ=NEVER is unknown
      hint: as in RFC 5545: FREQ=WEEKLY;BYDAY=MO,TU
    error: s.yml:3:67: a layer with `rrule` has a duration of a minute to a year
      hint: how long each event is: duration: 12h
    error: s.yml:3:181: turn_counts: unknown word "sometimes"
      hint: wall or worked
    error: s.yml:3:123: from: not a time of the day
      hint: write it as "09:00", up to "24:00"
    error: s.yml:3:163: there are no holidays "fr"
      hint: there is de
    error: s.yml:4:13: `replaces` belongs to the kind replace, and is needed there
    error: s.yml:4:13: this override names nobody
    error: s.yml:4:13: an override ends after it begins
    "##);
}

#[test]
fn load_and_what_an_edit_changes() {
    let text = "timezone: Europe/Berlin\nlayers:\n- {name: l, members: [ana, bo], start: 2026-03-16T09:00, turn: 1w}\n";
    let before = good(text);
    let mut after = good(
        &text
            .replace("[ana, bo]", "[ana, cy]")
            .replace("turn: 1w", "turn: 1d"),
    );
    after.overrides.push(change(
        "o",
        OverrideKind::Only,
        &[],
        "2026-03-20T00:00:00Z",
        "2026-03-20T03:00:00Z",
    ));
    let span = (at("2026-03-16T08:00:00Z"), at("2026-04-06T07:00:00Z"));
    let (old, new) = (
        before.shifts(span.0, span.1, &[]),
        after.shifts(span.0, span.1, &[]),
    );
    let fair = report::fairness(&before, &old, span, &|_| None);
    insta::assert_json_snapshot!(fair, @r##"
    {
      "schedule": "s",
      "from": "2026-03-16T08:00:00Z",
      "to": "2026-04-06T07:00:00Z",
      "people": [
        {
          "person": "ana",
          "shifts": 2,
          "hours": 336.0,
          "night_hours": 112.0,
          "weekend_hours": 96.0,
          "nights": 14,
          "nights_in_a_row": 12,
          "clock_change_nights": 0,
          "least_rest_hours": 167.0,
          "share": 1.34
        },
        {
          "person": "bo",
          "shifts": 1,
          "hours": 167.0,
          "night_hours": 55.0,
          "weekend_hours": 47.0,
          "nights": 7,
          "nights_in_a_row": 6,
          "clock_change_nights": 1,
          "least_rest_hours": null,
          "share": 0.66
        }
      ],
      "evenness": 0.5,
      "night_evenness": 0.49
    }
    "##);
    let changes = report::changes(&before, &old, &new, span);
    assert_eq!(changes.gaps_added.len(), 1);
    assert_eq!(changes.clock_change_nights_added, ["ana: 2026-03-28"]);
    assert!(changes.moved.len() > 5);
    assert!(report::changes(&before, &old, &old, span).is_empty());
}

fn any_cover() -> impl Strategy<Value = Cover> {
    let events = (
        "FREQ=(DAILY|WEEKLY|MONTHLY)(;BYDAY=MO,WE,SA)?(;INTERVAL=[12])?",
        1_u32..60,
        1_u32..4,
    )
        .prop_map(|(rule, hours, per_member)| Cover::Events {
            rule: Box::new(rule.parse().unwrap()),
            seconds: hours * 3600,
            per_member,
            except: Vec::new(),
        });
    prop_oneof![
        (1_u32..47).prop_map(|h| Cover::Turns(Turn::Seconds(h * 1800))),
        (1_u32..40).prop_map(|h| Cover::Turns(Turn::ClockHours(h))),
        (1_u32..7).prop_map(|n| Cover::Turns(Turn::Days(n))),
        events,
    ]
}

proptest! {
    /// Any mixture of layers, in any zone: a person has no two shifts at once, the shifts of one instant are those of
    /// the whole, asking in two pieces is asking once, and what is written is read again.
    #[test]
    fn any_mixture_of_layers_is_consistent(
        zone in any_zone(),
        covers in prop::collection::vec((any_cover(), 0_i32..3, 1_usize..4), 1..4),
        day in 0_i64..18_000,
        cut in 1_i64..500,
    ) {
        let start = jiff::civil::date(1990, 1, 1).checked_add(jiff::ToSpan::days(day)).unwrap().at(9, 30, 0, 0);
        let names = ["ana", "bo", "cy"];
        let layers = covers
            .into_iter()
            .enumerate()
            .map(|(n, (cover, priority, people))| {
                let members: Vec<&[&str]> = (0..people).map(|n| &names[n..=n]).collect();
                let mut made = layer(&format!("l{n}"), priority, &members, "1990-01-01T00:00", Turn::Days(1));
                (made.start, made.cover) = (start, cover);
                made
            })
            .collect();
        let made = schedule(&zone, layers);
        let from = instant(&made.time_zone, start) - SignedDuration::from_hours(24);
        let to = from + SignedDuration::from_hours(24 * 30);
        let shifts = made.shifts(from, to, &[]);
        let mut by_person: BTreeMap<&str, Vec<&crate::Shift>> = BTreeMap::new();
        for shift in &shifts {
            prop_assert!(shift.start < shift.end && from <= shift.start && shift.end <= to);
            by_person.entry(&shift.person).or_default().push(shift);
        }
        for own in by_person.values() {
            prop_assert!(own.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
        let middle = from + SignedDuration::from_hours(cut);
        let now: Vec<String> = made.on_call_at(middle, &[]).into_iter().map(|(person, _)| person).collect();
        let mut whole: Vec<String> = shifts
            .iter()
            .filter(|shift| shift.start <= middle && middle < shift.end)
            .map(|shift| shift.person.clone())
            .collect();
        whole.sort();
        prop_assert_eq!(now, whole);
        let covered = |shifts: &[crate::Shift]| -> i64 {
            shifts.iter().map(|shift| shift.end.duration_since(shift.start).as_secs()).sum()
        };
        let pieces = [made.shifts(from, middle, &[]), made.shifts(middle, to, &[])].concat();
        prop_assert_eq!(covered(&pieces), covered(&shifts));
        if TimeZone::get(&zone).is_ok() && !zone.contains(['+', '"']) {
            let (again, problems) = parse(&write::schedule(&made, 0));
            prop_assert!(problems.0.is_empty(), "{}", problems);
            prop_assert_eq!(again.layers, made.layers);
        }
    }

    /// Hand-overs by the clock's hours leave no gap and no overlap in any zone.
    #[test]
    fn clock_hours_tile_time(zone in any_zone(), hours in 1_u32..30, day in 0_i64..18_000, minute in 0_i64..1440) {
        let start = jiff::civil::date(1990, 1, 1).checked_add(jiff::ToSpan::days(day)).unwrap().at(0, 0, 0, 0)
            .checked_add(jiff::ToSpan::minutes(minute)).unwrap();
        let mut one = layer("l", 0, &[&["a"], &["b"], &["c"]], "1990-01-01T00:00", Turn::ClockHours(hours));
        one.start = start;
        let made = schedule(&zone, vec![one]);
        let from = instant(&made.time_zone, start);
        let to = from + SignedDuration::from_hours(24 * 40);
        prop_assert!(made.gaps(from, to, &[]).is_empty());
        let shifts = made.shifts(from, to, &[]);
        prop_assert!(shifts.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}
