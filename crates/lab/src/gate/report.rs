//! What the gate says, as text, Markdown and JUnit.

use std::fmt::Write as _;

use super::{GateReport, SeriesReport, short};
use crate::samples::signed_percent;
use crate::text::{JunitCase, cell, mark, table};

/// For a terminal.
pub fn plain(report: &GateReport) -> String {
    let mut rows =
        vec![["series", "now", "verdict", "what", "error rate of the gate"].map(str::to_owned)];
    for series in ordered(report) {
        rows.push([
            series.name.clone(),
            series
                .unit
                .show(series.values.last().copied().unwrap_or(f64::NAN)),
            format!(
                "{} {}{}",
                mark(series.verdict),
                series.verdict,
                if series.fails { " (fails)" } else { "" }
            ),
            series.why.clone(),
            rate(series),
        ]);
    }
    let mut out = table(&rows);
    writeln!(out, "{}", headline(report)).expect("writing to a string cannot fail");
    out
}

/// For a comment: what fails first, the rest folded away.
pub fn markdown(report: &GateReport) -> String {
    let mut out = format!("### Bellwether performance gate: {}\n\n", headline(report));
    out.push_str(
        "| series | now | verdict | what | error rate of the gate |\n|---|--:|---|---|---|\n",
    );
    let (told, quiet): (Vec<_>, Vec<_>) = ordered(report).into_iter().partition(|series| {
        series.fails
            || matches!(
                series.verdict,
                bellwether_stats::Verdict::Worse | bellwether_stats::Verdict::Better
            )
    });
    for series in &told {
        out.push_str(&row(series));
    }
    if !quiet.is_empty() {
        out.push_str("\n<details><summary>");
        let _infallible = write!(out, "{} series without a finding", quiet.len());
        out.push_str("</summary>\n\n| series | now | verdict | what | error rate of the gate |\n|---|--:|---|---|---|\n");
        for series in &quiet {
            out.push_str(&row(series));
        }
        out.push_str("\n</details>\n");
    }
    for series in &told {
        if let Some(confirmation) = &series.confirmation {
            let _infallible = write!(
                out,
                "\nRe-run of `{}`:\n\n{}",
                series.name.replace('`', "'"),
                crate::text::comparison(confirmation)
            );
        }
    }
    out
}

/// As JUnit: one case for each series; what cannot be told is skipped, not passed.
pub fn junit(report: &GateReport) -> String {
    junit_with(report, Vec::new())
}

/// As [`junit`], with further cases behind.
pub fn junit_with(report: &GateReport, more: Vec<JunitCase>) -> String {
    let mut cases: Vec<JunitCase> = report
        .series
        .iter()
        .map(|series| JunitCase {
            suite: "bellwether.gate".to_owned(),
            name: series.name.clone(),
            failure: series.fails.then(|| {
                (
                    format!("{}: {}", series.verdict, series.why),
                    changes(series),
                )
            }),
            skipped: (!series.fails && series.verdict == bellwether_stats::Verdict::CannotTell)
                .then(|| series.why.clone()),
            output: format!("{}: {}\n{}", series.verdict, series.why, rate(series)),
        })
        .collect();
    cases.extend(more);
    crate::text::junit("bellwether gate", &cases)
}

fn ordered(report: &GateReport) -> Vec<&SeriesReport> {
    let mut series: Vec<&SeriesReport> = report.series.iter().collect();
    series.sort_by_key(|series| (!series.fails, series.verdict, series.name.clone()));
    series
}

fn headline(report: &GateReport) -> String {
    let failing = report.series.iter().filter(|series| series.fails).count();
    let of = report.series.len();
    match failing {
        0 => format!(
            "{} {} at {} ({of} series)",
            mark(report.verdict),
            report.verdict,
            short(&report.commit)
        ),
        _ => format!(
            "{} {} at {} ({failing} of {of} series fail)",
            mark(report.verdict),
            report.verdict,
            short(&report.commit)
        ),
    }
}

fn row(series: &SeriesReport) -> String {
    format!(
        "| {} | {} | {} {} | {} | {} |\n",
        cell(&series.name),
        series
            .unit
            .show(series.values.last().copied().unwrap_or(f64::NAN)),
        mark(series.verdict),
        series.verdict,
        cell(&series.why),
        rate(series)
    )
}

fn rate(series: &SeriesReport) -> String {
    series.calibration.as_ref().map_or_else(
        || "too short to say".to_owned(),
        crate::calibrate::Calibration::line,
    )
}

fn changes(series: &SeriesReport) -> String {
    series
        .change_points
        .iter()
        .fold(String::new(), |mut out, change| {
            let _infallible = writeln!(
                out,
                "{} at {} (after {}): {} to {}, p = {:.2e}",
                signed_percent(change.point.effect_percent),
                short(&change.commit),
                short(&change.before_commit),
                series.unit.show(change.point.before),
                series.unit.show(change.point.after),
                change.point.p
            );
            out
        })
}
