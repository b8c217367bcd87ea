use jiff::civil::{DateTime, Time, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

use super::local_time::{instant, local};
mod calendars;
mod imports;
mod model;
mod recurrences;

use super::{
    Cover, Layer, Override, OverrideKind, Restriction, Schedule, Shift, ShiftSource, Turn,
};

fn layer(name: &str, priority: i32, members: &[&[&str]], start: &str, turn: Turn) -> Layer {
    let members = members
        .iter()
        .map(|member| member.iter().map(|person| (*person).to_owned()).collect())
        .collect();
    Layer {
        priority,
        ..Layer::new(name, members, start.parse().unwrap(), Cover::Turns(turn))
    }
}

fn schedule(zone: &str, layers: Vec<Layer>) -> Schedule {
    Schedule {
        name: "s".to_owned(),
        team: None,
        time_zone_name: zone.to_owned(),
        time_zone: TimeZone::get(zone).unwrap(),
        layers,
        overrides: Vec::new(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn change(id: &str, kind: OverrideKind, people: &[&str], from: &str, until: &str) -> Override {
    Override {
        version: 1,
        id: id.to_owned(),
        schedule: "s".to_owned(),
        layer: None,
        kind,
        people: people.iter().map(|person| (*person).to_owned()).collect(),
        replaces: None,
        from: at(from),
        until: at(until),
        by: "test".to_owned(),
        comment: String::new(),
    }
}

fn show(schedule: &Schedule, shifts: &[Shift]) -> String {
    let time = |t: Timestamp| {
        local(&schedule.time_zone, t)
            .strftime("%a %d %b %H:%M")
            .to_string()
    };
    let lines: Vec<String> = shifts
        .iter()
        .map(|shift| {
            format!(
                "{} - {}  {} ({})",
                time(shift.start),
                time(shift.end),
                shift.person,
                shift.source
            )
        })
        .collect();
    lines.join("\n")
}

#[test]
fn layers_restrictions_pairs_and_overrides() {
    let mut hours = layer("hours", 5, &[&["dan"]], "2026-03-01T00:00", Turn::Weeks(1));
    hours.restrictions.push(Restriction {
        weekdays: 0b0001,
        from: Time::constant(9, 0, 0, 0),
        to: Time::constant(17, 0, 0, 0),
        days_later: 0,
    });
    let week = layer(
        "week",
        0,
        &[&["ana"], &["bo", "cy"], &[]],
        "2026-03-02T09:00",
        Turn::Days(2),
    );
    let schedule = schedule("Europe/Berlin", vec![week, hours]);
    let mut replace = change(
        "o2",
        OverrideKind::Replace,
        &["eve"],
        "2026-03-10T00:00:00Z",
        "2026-03-10T06:00:00Z",
    );
    replace.replaces = Some("bo".to_owned());
    let changes = [
        change(
            "o1",
            OverrideKind::Add,
            &["eve"],
            "2026-03-03T12:00:00Z",
            "2026-03-03T18:00:00Z",
        ),
        replace,
        change(
            "o3",
            OverrideKind::Only,
            &["fay"],
            "2026-03-04T12:00:00Z",
            "2026-03-04T13:00:00Z",
        ),
        change(
            "o4",
            OverrideKind::Remove,
            &["cy"],
            "2026-03-05T00:00:00Z",
            "2026-03-05T06:00:00Z",
        ),
    ];
    let (from, to) = (at("2026-03-02T00:00:00Z"), at("2026-03-12T00:00:00Z"));
    let shifts = schedule.shifts(from, to, &changes);
    insta::assert_snapshot!(show(&schedule, &shifts));
    let gaps: Vec<String> = schedule
        .gaps(from, to, &changes)
        .into_iter()
        .map(|(a, b)| format!("{a} - {b}"))
        .collect();
    assert_eq!(
        gaps,
        [
            "2026-03-02T00:00:00Z - 2026-03-02T08:00:00Z",
            "2026-03-06T08:00:00Z - 2026-03-08T08:00:00Z"
        ]
    );
}

#[test]
fn zones_with_odd_changes_by_example() {
    // RFC 5545: a skipped time is read with the offset before; a doubled one is the first.
    for (zone, wall, utc) in [
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:30:00Z"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00Z"),
        ("America/Havana", "2026-03-08T00:30", "2026-03-08T05:30:00Z"),
        ("America/Havana", "2026-11-01T00:30", "2026-11-01T04:30:00Z"),
        (
            "Australia/Lord_Howe",
            "2026-10-04T02:15",
            "2026-10-03T15:45:00Z",
        ),
        (
            "Australia/Lord_Howe",
            "2026-04-05T01:45",
            "2026-04-04T14:45:00Z",
        ),
        ("Africa/Cairo", "2026-04-24T00:30", "2026-04-23T22:30:00Z"),
        ("Asia/Beirut", "2026-03-29T00:30", "2026-03-28T22:30:00Z"),
    ] {
        let zone_ = TimeZone::get(zone).unwrap();
        let wall_time: DateTime = wall.parse().unwrap();
        assert_eq!(instant(&zone_, wall_time), at(utc), "{zone} {wall}");
    }
}

#[test]
fn a_daily_hand_over_keeps_its_clock_where_clocks_change() {
    for zone in [
        "Europe/Berlin",
        "America/Havana",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Asia/Beirut",
    ] {
        let plan = schedule(
            zone,
            vec![layer(
                "d",
                0,
                &[&["a"], &["b"]],
                "2025-01-01T09:00",
                Turn::Days(1),
            )],
        );
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        let shifts = plan.shifts(from, to, &[]);
        assert!(plan.gaps(from, to, &[]).is_empty());
        for shift in &shifts[1..] {
            assert_eq!(
                local(&plan.time_zone, shift.start).time(),
                Time::constant(9, 0, 0, 0),
                "{zone}"
            );
        }
        assert!(
            shifts
                .windows(2)
                .all(|pair| pair[0].end == pair[1].start && pair[0].person != pair[1].person)
        );
    }
}

#[test]
fn a_year_of_ten_layers_and_fifty_overrides_is_answered() {
    let layers = (0..10)
        .map(|n| {
            layer(
                &format!("l{n}"),
                n % 3,
                &[&["a"], &["b"], &["c"]],
                "2025-01-01T09:00",
                Turn::Days(1 + n as u32),
            )
        })
        .collect();
    let plan = schedule("Europe/Berlin", layers);
    let first = at("2026-01-01T00:00:00Z");
    let changes: Vec<Override> = (0..50)
        .map(|n| {
            let from = first + SignedDuration::from_hours(160 * n);
            let mut made = change(
                &format!("o{n:02}"),
                OverrideKind::Add,
                &["d"],
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:00Z",
            );
            (made.from, made.until) = (from, from + SignedDuration::from_hours(12));
            made
        })
        .collect();
    let shifts = plan.shifts(first, at("2027-01-01T00:00:00Z"), &changes);
    assert!(shifts.len() > 100, "{}", shifts.len());
    assert!(
        shifts
            .iter()
            .any(|shift| shift.source == ShiftSource::Override("o49".to_owned()))
    );
}

fn any_zone() -> impl Strategy<Value = String> {
    let names: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.to_string())
        .collect();
    assert!(names.len() > 300, "no time zone database");
    proptest::sample::select(names)
}

fn any_turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        (1_u32..400).prop_map(|h| Turn::Seconds(h * 1800)),
        (1_u32..10).prop_map(Turn::Days),
        (1_u32..5).prop_map(Turn::Weeks),
        (1_u32..4).prop_map(Turn::Months),
    ]
}

proptest! {
    /// No gap, no double cover at one priority, monotone: any zone, any turn, any start, 1990-2040.
    #[test]
    fn cover_is_exact_in_every_zone(
        zone in any_zone(),
        turn in any_turn(),
        day in 0_i32..18_000,
        minute in 0_i64..1440,
        days in 1_i64..120,
        people in 1_usize..5,
    ) {
        let start = date(1990, 1, 1).checked_add(day.days()).unwrap().to_datetime(Time::midnight())
            .checked_add(minute.minutes()).unwrap();
        let names = ["a", "b", "c", "d", "e"];
        let members: Vec<&[&str]> = (0..people).map(|n| &names[n..=n]).collect();
        let mut made = layer("l", 0, &members, "1990-01-01T00:00", turn);
        made.start = start;
        let plan = schedule(&zone, vec![made]);
        let from = instant(&plan.time_zone, start);
        let to = from + SignedDuration::from_hours(24 * days);
        let shifts = plan.shifts(from, to, &[]);
        prop_assert!(plan.gaps(from, to, &[]).is_empty(), "gap in {zone}");
        prop_assert!(shifts.windows(2).all(|pair| pair[0].end == pair[1].start), "overlap in {zone}");
        prop_assert!(shifts.iter().all(|shift| shift.start < shift.end));
        // Asking for one instant says the same as asking for the whole.
        for shift in shifts.iter().take(5) {
            for time in [shift.start, shift.end - SignedDuration::from_secs(1)] {
                let now = plan.on_call_at(time, &[]);
                prop_assert_eq!(now.len(), 1);
                prop_assert_eq!(&now[0].0, &shift.person);
            }
        }
    }

    /// Windows that follow each other through the day leave no gap and do not overlap, also on days with a change.
    #[test]
    fn windows_of_a_day_tile_it(zone in any_zone(), day in 0_i32..18_000, cut in 1_i8..23, minute in 0_i8..60) {
        let time = Time::new(cut, minute, 0, 0).unwrap();
        let window = |from, to| Restriction { weekdays: 0x7f, from, to, days_later: u8::from(to <= from) };
        let mut early = layer("early", 0, &[&["a"]], "1989-12-25T00:00", Turn::Weeks(1));
        early.restrictions.push(window(Time::midnight(), time));
        let mut late = layer("late", 0, &[&["b"]], "1989-12-25T00:00", Turn::Weeks(1));
        late.restrictions.push(window(time, Time::midnight()));
        let plan = schedule(&zone, vec![early, late]);
        let from = instant(&plan.time_zone, date(1990, 1, 1).checked_add(day.days()).unwrap().to_datetime(Time::midnight()));
        let to = from + SignedDuration::from_hours(24 * 10);
        prop_assert!(plan.gaps(from, to, &[]).is_empty());
        let shifts = plan.shifts(from, to, &[]);
        prop_assert!(shifts.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }

    /// Where the clock moves on, so do instants, except within a skipped hour: then both ends move alike.
    #[test]
    fn instants_of_days_are_monotone(zone in any_zone(), day in 0_i32..18_000, minute in 0_i64..1440) {
        let zone = TimeZone::get(&zone).unwrap();
        let first = date(1990, 1, 1).checked_add(day.days()).unwrap().to_datetime(Time::midnight())
            .checked_add(minute.minutes()).unwrap();
        let times: Vec<Timestamp> = (0..5).map(|n: i64| instant(&zone, first.checked_add(n.days()).unwrap())).collect();
        prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1] || zone_skips_a_day(&pair[0], &pair[1])));
    }
}

/// Samoa and Kiribati have each left out a whole day: two local days then share their instant.
fn zone_skips_a_day(a: &Timestamp, b: &Timestamp) -> bool {
    a == b
}
