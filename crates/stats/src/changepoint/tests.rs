use proptest::prelude::*;

use super::*;
use crate::random::Random;

const TRIALS: u64 = 500;

/// The five families of the acceptance: each with mean about 10 and, where it has one, a standard deviation of 1.
fn noise(family: &str, random: &mut Random) -> Vec<f64> {
    let mut memory = random.normal();
    (0..100)
        .map(|_| {
            10.0 + match family {
                "normal" => random.normal(),
                "lognormal" => (random.normal()).exp() / 2.16,
                "ar(0.5)" => {
                    memory = 0.5 * memory + 0.75f64.sqrt() * random.normal();
                    memory
                }
                "2% outliers" => {
                    let far = if random.uniform() < 0.02 { 10.0 } else { 1.0 };
                    random.normal() * far
                }
                "bimodal" => {
                    let side = if random.uniform() < 0.5 { -0.95 } else { 0.95 };
                    side + 0.3 * random.normal()
                }
                other => panic!("no family {other}"),
            }
        })
        .collect()
}

const FAMILIES: [&str; 5] = ["normal", "lognormal", "ar(0.5)", "2% outliers", "bimodal"];

#[test]
fn noise_is_flagged_in_at_most_three_percent_of_each_family() {
    for (index, family) in FAMILIES.into_iter().enumerate() {
        let flagged = (0..TRIALS)
            .filter(|trial| {
                let mut random = Random::new(1_000 * index as u64 + trial);
                !change_points(&noise(family, &mut random), Settings::default()).is_empty()
            })
            .count();
        println!("{family}: {flagged} of {TRIALS} noise series flagged");
        assert!(flagged * 100 <= 3 * TRIALS as usize, "{family}: {flagged}");
    }
}

#[test]
fn a_step_of_one_and_a_half_deviations_is_found_nine_times_in_ten() {
    for family in FAMILIES {
        let (mut found, mut placed) = (0, 0);
        for trial in 0..TRIALS {
            let mut random = Random::new(70_000 + trial);
            let mut values = noise(family, &mut random);
            for value in &mut values[50..] {
                *value += 1.5;
            }
            let points = change_points(&values, Settings::default());
            found += usize::from(!points.is_empty());
            placed += usize::from(points.iter().any(|point| point.at.abs_diff(50) <= 5));
        }
        println!("{family}: {found} of {TRIALS} steps of 1.5 sd found, {placed} within 5 points");
        // A hundred values with an autocorrelation of 0.5 are worth 33: seven in ten is what they can give.
        let wanted = if family == "ar(0.5)" { 7 } else { 9 };
        assert!(found as u64 * 10 >= wanted * TRIALS, "{family}: {found}");
    }
}

#[test]
fn critical_values_are_those_of_the_design() {
    assert!((critical_value(0.01, 100) - 3.53).abs() < 0.02);
    assert!((critical_value(0.002, 100) - 3.99).abs() < 0.04);
    for n in [12, 17, 100, 450, 5_000] {
        for alpha in [0.3, 0.05, 0.01, 0.003] {
            let back = p_value(critical_value(alpha, n), n);
            assert!(back <= alpha * 1.01, "{n} {alpha}: {back}");
        }
    }
    assert!(p_value(9.0, 100) < 1e-9);
    assert_eq!(p_value(0.1, 100), 1.0);
}

#[test]
fn steps_are_placed_and_measured() {
    let mut random = Random::new(4);
    let values: Vec<f64> = (0..120)
        .map(|i| {
            let level = if i < 40 {
                100.0
            } else if i < 80 {
                120.0
            } else {
                90.0
            };
            level + 2.0 * random.normal()
        })
        .collect();
    let found = change_points(&values, Settings::default());
    assert_eq!(
        found.iter().map(|point| point.at).collect::<Vec<_>>(),
        [40, 80]
    );
    assert!((found[0].effect_percent - 20.0).abs() < 1.5);
    assert!(found[0].interval.contains(20.0) && found[0].p < 1e-6);
    // The floor drops what does not matter.
    let settings = Settings {
        floor: 0.22,
        ..Settings::default()
    };
    assert_eq!(
        change_points(&values, settings)
            .iter()
            .map(|p| p.at)
            .collect::<Vec<_>>(),
        [80]
    );
}

#[test]
fn spikes_constants_and_short_series_are_no_change() {
    let mut values = vec![5.0; 60];
    assert!(change_points(&values, Settings::default()).is_empty());
    values[30] = 500.0;
    values[31] = 500.0;
    assert!(change_points(&values, Settings::default()).is_empty());
    assert!(change_points(&[1.0, 9.0], Settings::default()).is_empty());
    values[3] = f64::NAN;
    assert!(change_points(&values, Settings::default()).is_empty());
}

#[test]
fn two_constants_are_a_change() {
    let values: Vec<f64> = (0..40).map(|i| if i < 20 { 1.0 } else { 2.0 }).collect();
    let found = change_points(&values, Settings::default());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].at, found[0].before, found[0].after),
        (20, 1.0, 2.0)
    );
}

#[test]
fn warm_up_ends_where_the_level_settles() {
    let mut random = Random::new(8);
    let mut slices: Vec<f64> = (0..60).map(|_| 3.0 + 0.2 * random.normal()).collect();
    assert_eq!(warm_up_end(&slices, 0.01), 0);
    for slice in &mut slices[..9] {
        *slice += 4.0;
    }
    assert_eq!(warm_up_end(&slices, 0.01), 9);
    // A change in the second half is the run's own.
    let late: Vec<f64> = (0..60)
        .map(|i| if i < 45 { 3.0 } else { 5.0 } + 0.2 * random.normal())
        .collect();
    assert_eq!(warm_up_end(&late, 0.01), 0);
}

proptest! {
    /// Only ranks decide: a growing function of the values changes nothing about the split.
    #[test]
    fn scale_does_not_matter(values in prop::collection::vec(0.0f64..6.0, 12..80)) {
        let stretched: Vec<f64> = values.iter().map(|v| v.exp()).collect();
        prop_assert_eq!(best_split(&values), best_split(&stretched));
    }

    #[test]
    fn places_are_inside_and_in_order(values in prop::collection::vec(prop::num::f64::ANY, 0..120)) {
        let found = change_points(&values, Settings { alpha: 0.5, floor: 0.0 });
        prop_assert!(found.windows(2).all(|pair| pair[0].at <= pair[1].at));
        prop_assert!(found.iter().all(|point| point.at > 0 && point.at < values.len()));
    }
}
