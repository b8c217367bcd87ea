use super::*;
use crate::format::Unit;
use crate::view::Tone;

fn picture() -> Distributions {
    Distributions {
        title: "wall <time>".into(),
        unit: Unit::Seconds,
        base_name: "old".into(),
        candidate_name: "new".into(),
        base: vec![0.100, 0.101, 0.102, 0.099],
        candidate: vec![0.110, 0.111, 0.112, f64::NAN],
        effect: 9.9,
        low: 8.0,
        high: f64::INFINITY,
        floor: 3.0,
        tone: Tone::Bad,
        verdict: "worse".into(),
    }
}

#[test]
fn pictures_stand_alone_and_escape_what_they_are_told() {
    let text = alone(&distributions(&picture()));
    assert!(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lab\""));
    assert!(
        text.contains("<style>") && text.contains("wall &lt;time&gt;") && !text.contains("<time>")
    );
    assert!(text.contains("worse: +9.9 % (+8.0 % to unbounded)") && !text.contains("NaN"));
    let series = CommitSeries {
        title: "parse".into(),
        unit: Unit::Seconds,
        commits: (0..40).map(|i| format!("c{i}")).collect(),
        values: (0..40).map(|i| if i < 20 { 0.1 } else { 0.11 }).collect(),
        changes: vec![LevelChange {
            at: 20,
            label: "+10.0 %".into(),
            tone: Tone::Bad,
        }],
        budget: Some(0.12),
    };
    let text = alone(&commit_series(&series));
    assert_eq!(
        (
            text.matches("class=\"level\"").count(),
            text.matches("class=\"point\"").count()
        ),
        (2, 40)
    );
    assert!(text.contains("budget 120 ms"));
}

#[test]
fn nothing_and_too_much_are_drawn_without_a_fall() {
    for values in [vec![], vec![1.0], vec![f64::NAN; 3], vec![0.0; 20_000]] {
        let empty = Distributions {
            base: values.clone(),
            candidate: values.clone(),
            effect: f64::NAN,
            ..picture()
        };
        assert!(!distributions(&empty).0.contains("NaN"));
        let series = CommitSeries {
            values,
            changes: vec![LevelChange {
                at: 9,
                label: String::new(),
                tone: Tone::Good,
            }],
            ..CommitSeries::default()
        };
        assert!(commit_series(&series).0.len() < 200_000);
    }
}
