use bellwether_stats::random::Random;
use proptest::prelude::*;

use super::*;

fn metric(floor: f64) -> Metric {
    Metric {
        name: "wall time".into(),
        unit: Unit::Seconds,
        better: Better::Lower,
        floor,
    }
}

/// Runs pairs until it is over; `spread` is the noise of one run, `slowdown` the factor of B.
fn run(random: &mut Random, metrics: usize, spread: f64, slowdown: f64) -> Report {
    let mut comparison = Comparison::new(vec![metric(0.03); metrics], Limits::default());
    while !comparison.is_over() {
        let mut side = |factor: f64| -> Vec<f64> {
            (0..metrics)
                .map(|_| factor * (spread * random.normal()).exp())
                .collect()
        };
        let pair = Pair {
            base: side(1.0),
            candidate: side(slowdown),
        };
        comparison.push(pair);
    }
    comparison.report("a", "b")
}

#[test]
fn the_same_program_is_seldom_called_better_or_worse() {
    let mut random = Random::new(61);
    let mut claims = 0;
    for trial in 0..200 {
        let spread = [0.005, 0.02, 0.05, 0.15][trial % 4];
        let verdict = run(&mut random, 4, spread, 1.0).verdict;
        claims += i32::from(matches!(verdict, Verdict::Worse | Verdict::Better));
    }
    assert!(claims <= 10, "{claims} of 200");
}

#[test]
fn a_tenth_slower_is_found() {
    let mut random = Random::new(62);
    let found = (0..40)
        .filter(|_| run(&mut random, 4, 0.04, 1.1).verdict == Verdict::Worse)
        .count();
    assert!(found >= 38, "{found} of 40");
}

#[test]
fn equivalence_is_shown_not_assumed() {
    let mut random = Random::new(63);
    let quiet = run(&mut random, 1, 0.003, 1.0);
    assert_eq!(quiet.verdict, Verdict::Same);
    assert!(quiet.metrics[0].base_values.len() < 20, "it stops early");
    let loud = run(&mut random, 1, 0.3, 1.0);
    assert_eq!(
        (loud.verdict, loud.metrics[0].base_values.len()),
        (Verdict::CannotTell, 40)
    );
}

#[test]
fn too_few_pairs_cannot_tell_however_clear_they_look() {
    let mut comparison = Comparison::new(vec![metric(0.03)], Limits::default());
    for _ in 0..9 {
        comparison.push(Pair {
            base: vec![1.0],
            candidate: vec![2.0],
        });
    }
    assert!(!comparison.is_over());
    let report = comparison.report("a", "b");
    assert_eq!(
        (report.verdict, report.why.as_str()),
        (
            Verdict::CannotTell,
            "only 9 pairs of runs; at least 10 are needed"
        )
    );
    let same = compare_samples(
        ("a", &[samples("x", &[1.0, 1.0, 1.0])]),
        ("b", &[samples("x", &[1.0, 1.0, 1.0])]),
        |_| 0.03,
        0.95,
    );
    assert_eq!(
        (same.verdict, same.why.as_str()),
        (
            Verdict::CannotTell,
            "too few values: 3 on one side, at least 6 are needed"
        )
    );
}

fn samples(name: &str, values: &[f64]) -> Samples {
    Samples {
        name: name.into(),
        unit: Unit::Seconds,
        better: Better::Lower,
        values: values.to_vec(),
    }
}

#[test]
fn result_sets_are_compared_by_name() {
    let mut random = Random::new(64);
    let mut draw = |factor: f64| -> Vec<f64> {
        (0..60)
            .map(|_| factor * (0.03 * random.normal()).exp())
            .collect()
    };
    let base = [
        samples("slower", &draw(1.0)),
        samples("same", &draw(1.0)),
        samples("gone", &[1.0]),
    ];
    let candidate = [
        samples("same", &draw(1.0)),
        samples("slower", &draw(1.1)),
        samples("new", &[1.0]),
    ];
    let report = compare_samples(("a", &base), ("b", &candidate), |_| 0.03, 0.95);
    let verdicts: Vec<(&str, Verdict)> = report
        .metrics
        .iter()
        .map(|m| (m.metric.name.as_str(), m.finding.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [("slower", Verdict::Worse), ("same", Verdict::Same)]
    );
    assert_eq!(report.verdict, Verdict::Worse);
    let none = compare_samples(("a", &base[2..]), ("b", &candidate[2..]), |_| 0.03, 0.95);
    assert_eq!(none.why, "no benchmark is in both");
}

#[test]
fn values_with_memory_claim_less() {
    // Two drifting runs of one program: 400 values each, worth a handful. As independent values they would differ.
    let mut random = Random::new(65);
    let mut claims = 0;
    for _ in 0..60 {
        let mut drift = || -> Vec<f64> {
            let mut level = 0.0;
            (0..400)
                .map(|_| {
                    level = 0.97 * level + 0.02 * random.normal();
                    level.exp()
                })
                .collect()
        };
        let (a, b) = (drift(), drift());
        let report = compare_samples(
            ("a", &[samples("x", &a)]),
            ("b", &[samples("x", &b)]),
            |_| 0.03,
            0.95,
        );
        claims += i32::from(matches!(report.verdict, Verdict::Worse | Verdict::Better));
    }
    assert!(claims <= 9, "{claims} of 60");
}

proptest! {
    #[test]
    fn a_report_recomputes_to_itself(
        values in prop::collection::vec((0.0f64..10.0, 0.0f64..10.0), 1..30),
    ) {
        let limits = Limits { pairs_max: 30, ..Limits::default() };
        let mut comparison = Comparison::new(vec![metric(0.05)], limits);
        for (a, b) in &values {
            comparison.push(Pair { base: vec![*a], candidate: vec![*b] });
        }
        let report = comparison.report("a", "b");
        let text = serde_json::to_string(&report).unwrap();
        let read: Report = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &report);
        prop_assert_eq!(read.recomputed(limits), report);
        let (a, b): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let fixed = compare_samples(("a", &[samples("x", &a)]), ("b", &[samples("x", &b)]), |_| 0.05, 0.95);
        prop_assert_eq!(fixed.recomputed(limits), fixed);
    }
}
