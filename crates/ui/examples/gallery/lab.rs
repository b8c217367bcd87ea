//! The lab's pages with made-up measurements.

use bellwether_ui::lab::{CommitSeries, Distributions, LevelChange};
use bellwether_ui::{ExperimentPage, ExperimentRow, LabPage, MetricView, SeriesView, Tone, Unit};

use super::fixtures::now;

/// A repeatable scatter around 1.
fn scatter(index: usize) -> f64 {
    1.0 + ((index * 7919 + 13) % 101) as f64 / 2500.0
}

fn series(title: &str, tone: Tone, step: f64) -> SeriesView {
    let verdict = if tone == Tone::Bad { "worse" } else { "same" };
    SeriesView {
        tone,
        verdict: verdict.to_owned(),
        why: if tone == Tone::Bad {
            "+10.3 % since 5e1f0c22ab, both detectors agree"
        } else {
            "no change; one of 3 % would have been found"
        }
        .to_owned(),
        error_rate: "1.2 % false alarms, finds 5 % in 94 %".to_owned(),
        picture: CommitSeries {
            title: title.to_owned(),
            unit: Unit::Seconds,
            commits: (0..80)
                .map(|index| format!("{:010x}", index * 0x1234567))
                .collect(),
            values: (0..80)
                .map(|index| 0.1 * scatter(index) * if index >= 62 { step } else { 1.0 })
                .collect(),
            changes: if tone == Tone::Bad {
                vec![LevelChange {
                    at: 62,
                    label: "+10.3 %".to_owned(),
                    tone,
                }]
            } else {
                Vec::new()
            },
            budget: Some(0.12),
        },
    }
}

/// Benchmarks and experiments.
pub(crate) fn lab_page() -> LabPage {
    let row =
        |id: &str, title: &str, verdict: Option<(Tone, &str)>, decision: &str| ExperimentRow {
            id: id.to_owned(),
            title: title.to_owned(),
            state: "planned".to_owned(),
            verdict: verdict.map(|(tone, word)| (tone, word.to_owned())),
            decision: decision.to_owned(),
            created_at: now() - jiff::SignedDuration::from_hours(30),
        };
    LabPage {
        experiments: vec![
            row("0003-larger-pages", "Larger pages", None, ""),
            row(
                "0002-batch-inserts",
                "Batch inserts",
                Some((Tone::Good, "better")),
                "adopted",
            ),
            row(
                "0001-regex-instead-of-a-parser",
                "Regex instead of a parser",
                Some((Tone::Bad, "worse")),
                "rejected",
            ),
        ],
        series: vec![
            series("parse/large", Tone::Bad, 1.103),
            series("render/table", Tone::Quiet, 1.0),
        ],
        problems: Vec::new(),
        is_configured: true,
    }
}

/// One experiment that has run.
pub(crate) fn experiment_page() -> ExperimentPage {
    let metric =
        |name: &str, effect: f64, low: f64, high: f64, tone: Tone, verdict: &str| MetricView {
            name: name.to_owned(),
            base: "102.1 ms".to_owned(),
            candidate: "60.4 ms".to_owned(),
            effect: format!("{effect:+.1} % ({low:+.1} % to {high:+.1} %)"),
            tone,
            verdict: verdict.to_owned(),
            picture: Distributions {
                title: name.to_owned(),
                unit: Unit::Seconds,
                base_name: "./old".to_owned(),
                candidate_name: "./new".to_owned(),
                base: (0..14).map(|index| 0.1 * scatter(index)).collect(),
                candidate: (0..14)
                    .map(|index| 0.1 * scatter(index + 5) * (1.0 + effect / 100.0))
                    .collect(),
                effect,
                low,
                high,
                floor: 3.0,
                tone,
                verdict: verdict.to_owned(),
            },
        };
    ExperimentPage {
        id: "0002-batch-inserts".to_owned(),
        title: "Batch inserts".to_owned(),
        state: "run".to_owned(),
        verdict: Some((Tone::Good, "better".to_owned())),
        why: "everything was decided after 14 pairs of runs".to_owned(),
        hypothesis: "One round trip for a hundred rows instead of a hundred: a third faster."
            .to_owned(),
        created_at: now() - jiff::SignedDuration::from_hours(30),
        facts: vec![
            ("base".to_owned(), "./old".to_owned()),
            ("candidate".to_owned(), "./new".to_owned()),
            ("kernel".to_owned(), "6.1.0".to_owned()),
            (
                "load average".to_owned(),
                "0.2 before, 0.9 after".to_owned(),
            ),
        ],
        metrics: vec![
            metric("wall time", -8.4, -9.9, -6.6, Tone::Good, "better"),
            metric("cpu time", 0.4, -1.2, 2.0, Tone::Quiet, "same"),
            metric(
                "peak memory",
                2.2,
                -4.0,
                f64::INFINITY,
                Tone::Warn,
                "cannot-tell",
            ),
        ],
        reproduces: Some(true),
        decision: Some((
            "adopted".to_owned(),
            "Faster at the same memory.".to_owned(),
            now(),
        )),
        faults: Vec::new(),
    }
}
