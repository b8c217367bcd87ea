use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::TimeInterval;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn every_field_must_hold() {
    let interval = TimeInterval {
        times: vec![(9 * 60, 17 * 60)],
        weekdays: vec![(1, 5)],
        months: vec![(3, 3)],
        years: vec![(2026, 2026)],
        ..TimeInterval::default()
    };
    assert!(interval.contains(at("2026-03-02T09:00:00Z")));
    assert!(interval.contains(at("2026-03-02T16:59:59Z")));
    for outside in [
        "2026-03-02T08:59:59Z",
        "2026-03-02T17:00:00Z",
        "2026-03-01T10:00:00Z",
        "2026-04-06T10:00:00Z",
        "2027-03-01T10:00:00Z",
    ] {
        assert!(!interval.contains(at(outside)), "{outside}");
    }
}

#[test]
fn negative_days_count_from_the_end_of_the_month_also_where_clocks_change() {
    let last_three = TimeInterval {
        days_of_month: vec![(-3, -1)],
        location: Some(TimeZone::get("Europe/Berlin").unwrap()),
        ..TimeInterval::default()
    };
    // Berlin's clocks change on 2026-03-29; the month ends at 22:00 UTC on the 31st.
    assert!(!last_three.contains(at("2026-03-28T22:59:59Z")));
    assert!(last_three.contains(at("2026-03-28T23:00:00Z")));
    assert!(last_three.contains(at("2026-03-31T21:59:59Z")));
    assert!(!last_three.contains(at("2026-03-31T22:00:00Z")));
    assert!(last_three.contains(at("2024-02-29T12:00:00Z")));
    let clamped = TimeInterval {
        days_of_month: vec![(29, 31)],
        ..TimeInterval::default()
    };
    assert!(
        !clamped.contains(at("2026-02-28T12:00:00Z")),
        "February has no 29th in 2026"
    );
    assert!(clamped.contains(at("2024-02-29T12:00:00Z")));
}
