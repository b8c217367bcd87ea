//! iCalendar in and out.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{at, layer, local, schedule};
use crate::{Turn, ical, import};

const CALENDAR: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n\
BEGIN:VEVENT\r\nUID:weekly\r\nSUMMARY:[L1] ana\r\nDTSTART;TZID=Europe/Berlin:20260302T090000\r\n\
DTEND;TZID=Europe/Berlin:20260302T170000\r\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU\r\n\
EXDATE;TZID=Europe/Berlin:20260303T090000\r\nBEGIN:VALARM\r\nTRIGGER:-PT5M\r\nDESCRIPTION:x\r\nEND:VALARM\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:weekly\r\nRECURRENCE-ID;TZID=Europe/Berlin:20260309T090000\r\nSUMMARY:[L1] bo@exam\r\n ple.org\r\n\
DTSTART;TZID=Europe/Berlin:20260309T120000\r\nDURATION:PT2H\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:weekly\r\nRECURRENCE-ID;TZID=Europe/Berlin:20260310T090000\r\nSTATUS:CANCELLED\r\n\
SUMMARY:[L1] ana\r\nDTSTART;TZID=Europe/Berlin:20260310T090000\r\nDTEND;TZID=Europe/Berlin:20260310T170000\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:days\r\nSUMMARY:cy\\, dan\r\nDTSTART;VALUE=DATE:20260307\r\nDTEND;VALUE=DATE:20260309\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:none\r\nSUMMARY:nobody knows when\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn a_calendar_becomes_layers() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let imported = import::calendar("team", CALENDAR, "Europe/Berlin", &zone);
    let made = &imported.schedules[0];
    let shifts = made.shifts(at("2026-03-01T00:00:00Z"), at("2026-03-17T00:00:00Z"), &[]);
    let lines: Vec<String> = shifts
        .iter()
        .map(|shift| {
            let time = |t| {
                local(&made.time_zone, t)
                    .strftime("%a %d %H:%M")
                    .to_string()
            };
            format!(
                "{} - {} {}",
                time(shift.start),
                time(shift.end),
                shift.person
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Mon 02 09:00 - Mon 02 17:00 ana
    Sat 07 00:00 - Mon 09 00:00 cy
    Sat 07 00:00 - Mon 09 00:00 dan
    Mon 09 12:00 - Mon 09 14:00 bo
    Mon 16 09:00 - Mon 16 17:00 ana
    "##);
    assert_eq!(
        imported.notes,
        ["event \"nobody knows when\": it has no start"]
    );
    assert_eq!(imported.people["bo"].email, "bo@example.org");
}

#[test]
fn a_feed_is_read_back_and_keeps_its_ids() {
    let made = schedule(
        "Europe/Berlin",
        vec![layer(
            "l",
            0,
            &[&["ana"], &["bo"]],
            "2026-03-02T09:00",
            Turn::Weeks(1),
        )],
    );
    let (from, to) = (at("2026-03-02T08:00:00Z"), at("2026-04-13T00:00:00Z"));
    let shifts = made.shifts(from, to, &[]);
    let name = |id: &str| {
        (id == "ana")
            .then_some("Ana, the \"first\"; very long name that has to be folded somewhere here ä")
    };
    let text = ical::feed("on call", ical::entries(&made, &shifts, &name), from);
    assert!(text.lines().all(|line| line.len() <= 75), "{text}");
    assert!(text.contains("BEGIN:VALARM"));
    let (layers, problems) = ical::read(&text, &TimeZone::UTC);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(layers.len(), shifts.len());
    // Seen a day later, the running shift is cut, and has its id still.
    let later = made.shifts(from + jiff::SignedDuration::from_hours(24), to, &[]);
    let again = ical::feed("on call", ical::entries(&made, &later, &name), from);
    let ids = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with("UID:"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(ids(&text), ids(&again));
}

proptest! {
    #[test]
    fn any_calendar_is_read_or_refused(
        lines in prop::collection::vec(
            "(BEGIN:VEVENT|END:VEVENT|SUMMARY:.{0,8}|DTSTART:[0-9TZ]{0,16}|DTSTART:20260101T000000Z|DTEND:20260102T000000Z|DURATION:P[0-9DTHMS]{0,6}|RRULE:FREQ=DAILY[;A-Z=0-9]{0,12}|RDATE:20260105T000000|EXDATE:2026010[0-9]|RECURRENCE-ID:20260101T000000Z|[ -~]{0,20})",
            0..40,
        ),
    ) {
        let text = format!("BEGIN:VCALENDAR\n{}\nEND:VCALENDAR", lines.join("\n"));
        let made = import::calendar("c", &text, "UTC", &TimeZone::UTC);
        for schedule in &made.schedules {
            let shifts = schedule.shifts(at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"), &[]);
            prop_assert!(shifts.iter().all(|shift| shift.start < shift.end));
        }
    }
}
