use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

#[test]
fn scale_has_round_ends_and_ticks() {
    let scale = Scale::covering([0.13, 0.92, 0.4], true);
    assert_eq!((scale.low, scale.high), (0.0, 1.0));
    insta::assert_debug_snapshot!(nice_ticks(Scale::covering([12.0, 97.0], false)), @r"
    [
        0.0,
        25.0,
        50.0,
        75.0,
        100.0,
    ]
    ");
}

#[test]
fn nothing_and_flat_lines_have_a_scale() {
    assert_eq!(
        Scale::covering([f64::NAN], true),
        Scale {
            low: 0.0,
            high: 1.0
        }
    );
    let flat = Scale::covering([5.0, 5.0], false);
    assert!(flat.low < 5.0 && flat.high > 5.0, "{flat:?}");
}

#[test]
fn ticks_stay_on_round_local_hours_when_clocks_change() {
    let zone = TimeZone::get("Europe/Berlin").expect("bundled");
    // 25 October 2026: three o'clock comes twice.
    let from: Timestamp = "2026-10-24T20:00:00Z".parse().expect("time");
    let to: Timestamp = "2026-10-25T14:00:00Z".parse().expect("time");
    let labels: Vec<String> = time_ticks(&zone, from, to, 6)
        .into_iter()
        .map(|(_, label)| label)
        .collect();
    assert_eq!(labels.join(" "), "00:00 03:00 06:00 09:00 12:00 15:00");
}

#[test]
fn reducing_keeps_the_peak() {
    let points: Vec<_> = (0..10_000)
        .map(|i| (at(i), if i == 7777 { 99.0 } else { 1.0 }))
        .collect();
    let kept = reduce(&points, 100);
    assert!(kept.len() <= 420, "{}", kept.len());
    assert!(kept.contains(&(at(7777), 99.0)));
}

proptest! {
    #[test]
    fn every_value_lies_inside_its_scale(values in prop::collection::vec(prop::num::f64::ANY, 0..20), zero: bool) {
        let scale = Scale::covering(values.iter().copied(), zero);
        prop_assert!(scale.low.is_finite() && scale.high.is_finite() && scale.low < scale.high, "{scale:?}");
        for value in values.into_iter().filter(|value| value.is_finite()) {
            prop_assert!(scale.low <= value && value <= scale.high, "{value} outside {scale:?}");
            prop_assert!((0.0..=1.0).contains(&scale.place(value)));
        }
        let ticks = nice_ticks(scale);
        prop_assert!(ticks.len() <= 12);
        prop_assert!(ticks.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn reducing_keeps_order_ends_and_extremes(values in prop::collection::vec(-1e6f64..1e6, 1..500), slices in 1usize..60) {
        let points: Vec<_> = values.iter().enumerate().map(|(i, value)| (at(i as i64 * 7), *value)).collect();
        let kept = reduce(&points, slices);
        prop_assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        prop_assert_eq!(kept.first(), points.first());
        prop_assert_eq!(kept.last(), points.last());
        let max = |list: &[(Timestamp, f64)]| list.iter().map(|(_, v)| *v).fold(f64::MIN, f64::max);
        prop_assert_eq!(max(&kept), max(&points));
    }

    #[test]
    fn time_ticks_are_few_ordered_and_inside(start in 0i64..4_000_000_000, length in 1i64..40_000_000, zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu"])) {
        let zone = TimeZone::get(zone).expect("bundled");
        let (from, to) = (at(start), at(start + length));
        let ticks = time_ticks(&zone, from, to, 6);
        prop_assert!(ticks.len() <= 19, "{}", ticks.len());
        prop_assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0));
        prop_assert!(ticks.iter().all(|(tick, _)| *tick >= from && *tick <= to));
    }
}
