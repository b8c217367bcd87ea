use super::*;

fn series(spread: f64, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..100)
        .map(|_| 100.0 * (spread * random.normal()).exp())
        .collect()
}

#[test]
fn quiet_series_find_small_changes_and_loud_ones_say_what_they_cannot() {
    let settings = Settings::default();
    let quiet = calibrate(&series(0.02, 1), settings, Better::Lower, 300, 1).unwrap();
    assert!(quiet.false_alarms <= 0.03, "{quiet:?}");
    assert_eq!(quiet.finds.map(|(size, _)| size), Some(0.03), "{quiet:?}");
    assert_eq!(quiet.line(), "0.3 % false alarms, finds 3 % in 98 %");
    let loud = calibrate(&series(0.6, 2), settings, Better::Lower, 100, 1).unwrap();
    assert!(
        loud.finds.is_none_or(|(size, _)| size >= 0.5) && loud.line().contains('%'),
        "{}",
        loud.line()
    );
    assert!(calibrate(&[1.0; 5], settings, Better::Lower, 10, 1).is_none());
}

#[test]
fn a_step_in_the_history_is_not_taken_for_noise() {
    let mut values = series(0.02, 3);
    for value in &mut values[60..] {
        *value *= 1.4;
    }
    let found = calibrate(&values, Settings::default(), Better::Lower, 300, 1).unwrap();
    assert!(
        found.false_alarms <= 0.03 && found.finds.is_some_and(|(size, _)| size <= 0.05),
        "{found:?}"
    );
}

#[test]
fn equal_inputs_give_equal_numbers() {
    let values = series(0.05, 4);
    let run = || calibrate(&values, Settings::default(), Better::Higher, 50, 9);
    assert_eq!(run(), run());
}
