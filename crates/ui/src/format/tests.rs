use super::*;

#[test]
fn numbers_read_as_people_write_them() {
    let shown: Vec<String> = [
        value(0.0, Unit::None),
        value(1234.0, Unit::None),
        value(-2_500_000.0, Unit::None),
        value(0.000_012, Unit::None),
        value(0.0325, Unit::Ratio),
        value(97.25, Unit::Percent),
        value(1536.0, Unit::Bytes),
        value(12_582_912.0, Unit::BytesPerSecond),
        value(0.0421, Unit::Seconds),
        value(0.000_25, Unit::Seconds),
        value(5400.0, Unit::Seconds),
        value(f64::NAN, Unit::Seconds),
        value(f64::NEG_INFINITY, Unit::None),
        value(13.5, Unit::PerSecond),
    ]
    .to_vec();
    insta::assert_snapshot!(shown.join(" | "), @"0 | 1.234k | −2.5M | 1.20e−5 | 3.25 % | 97.25 % | 1.5 KiB | 12 MiB/s | 42.1 ms | 250 µs | 90 min | no data | −∞ | 13.5/s");
}

#[test]
fn spans_have_two_units_at_most() {
    let shown: Vec<String> = [0, 45, 61, 120, 754, 3600, 7500, 90_000, 1_000_000]
        .map(|s| span(SignedDuration::from_secs(s)))
        .to_vec();
    insta::assert_snapshot!(shown.join(" | "), @"0 s | 45 s | 1 min 1 s | 2 min | 12 min | 1 h | 2 h 5 min | 1 d 1 h | 11 d");
}

#[test]
fn times_are_said_by_how_far_they_are() {
    let zone = TimeZone::get("Europe/Berlin").expect("bundled");
    let now: Timestamp = "2026-11-21T22:14:05Z".parse().expect("time");
    let at = |text: &str| text.parse::<Timestamp>().expect("time");
    assert_eq!(relative(now, at("2026-11-21T22:10:05Z")), "4 min ago");
    assert_eq!(relative(now, at("2026-11-21T22:18:00Z")), "in 3 min 55 s");
    assert_eq!(relative(now, now), "now");
    assert_eq!(brief(&zone, now, at("2026-11-21T21:00:00Z")), "22:00");
    assert_eq!(brief(&zone, now, at("2026-11-20T21:00:00Z")), "Fri 22:00");
    assert_eq!(
        brief(&zone, now, at("2026-10-20T21:00:00Z")),
        "20 Oct 23:00"
    );
    assert_eq!(
        stamp(&zone, now, at("2025-10-20T21:00:00Z")),
        "Mon 20 Oct 2025 23:00:00"
    );
    assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
}
