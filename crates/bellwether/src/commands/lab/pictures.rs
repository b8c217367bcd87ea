//! Reports as what the pictures are made of; for SVG files and for the pages.

use bellwether_lab::Unit;
use bellwether_lab::compare::{MetricReport, Report, percent_interval};
use bellwether_lab::gate::{SeriesReport, short};
use bellwether_lab::samples::signed_percent;
use bellwether_stats::Verdict;
use bellwether_ui::Tone;
use bellwether_ui::lab::{CommitSeries, Distributions, LevelChange};

/// How a verdict feels.
pub(crate) fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Worse => Tone::Bad,
        Verdict::Better => Tone::Good,
        Verdict::Same => Tone::Quiet,
        Verdict::CannotTell => Tone::Warn,
    }
}

fn unit(unit: Unit) -> bellwether_ui::Unit {
    match unit {
        Unit::Seconds => bellwether_ui::Unit::Seconds,
        Unit::Bytes => bellwether_ui::Unit::Bytes,
        Unit::PerSecond => bellwether_ui::Unit::PerSecond,
        Unit::Count => bellwether_ui::Unit::None,
    }
}

/// One metric of a comparison.
pub(crate) fn distributions(report: &Report, metric: &MetricReport) -> Distributions {
    let interval = percent_interval(metric.finding.interval);
    Distributions {
        title: metric.metric.name.clone(),
        unit: unit(metric.metric.unit),
        base_name: report.base.clone(),
        candidate_name: report.candidate.clone(),
        base: metric.base_values.clone(),
        candidate: metric.candidate_values.clone(),
        effect: metric.finding.effect_percent,
        // A change of -100 % is the logarithm's unbounded side.
        low: if metric.finding.interval.low.is_finite() {
            interval.low
        } else {
            f64::NEG_INFINITY
        },
        high: interval.high,
        floor: metric.metric.floor * 100.0,
        tone: tone(metric.finding.verdict),
        verdict: metric.finding.verdict.to_string(),
    }
}

/// One series of the gate.
pub(crate) fn series(report: &SeriesReport) -> CommitSeries {
    CommitSeries {
        title: report.name.clone(),
        unit: unit(report.unit),
        commits: report
            .commits
            .iter()
            .map(|commit| short(commit).to_owned())
            .collect(),
        values: report.values.clone(),
        changes: report
            .change_points
            .iter()
            .map(|change| LevelChange {
                at: change.point.at,
                label: signed_percent(change.point.effect_percent),
                tone: match (change.is_fresh, change.is_worse) {
                    (false, _) => Tone::Quiet,
                    (true, true) => Tone::Bad,
                    (true, false) => Tone::Good,
                },
            })
            .collect(),
        budget: report.budget.as_ref().map(|budget| budget.budget),
    }
}
