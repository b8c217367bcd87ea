//! Reports as Markdown and JUnit.

use std::fmt::Write as _;

use bellwether_stats::finding::percent;
use bellwether_stats::{Finding, Verdict};

use crate::compare::Report;
use crate::samples::signed_percent;

/// An effect with its interval: `+9.8 % (+7.1 % to +12.9 %)`.
pub fn effect(finding: &Finding) -> String {
    let bound = |value: f64| {
        if value.is_finite() {
            signed_percent(percent(value))
        } else {
            "?".to_owned()
        }
    };
    if finding.estimate.is_nan() {
        return "unknown".to_owned();
    }
    format!(
        "{} ({} to {})",
        signed_percent(finding.effect_percent),
        bound(finding.interval.low),
        bound(finding.interval.high)
    )
}

/// A sign that stands before a verdict, so that colour is never alone.
pub fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Worse => "✗",
        Verdict::Better => "✓",
        Verdict::Same => "=",
        Verdict::CannotTell => "?",
    }
}

/// A comparison as Markdown.
pub fn comparison(report: &Report) -> String {
    let mut out = format!(
        "**{} {}**: {}\n\nbase: `{}`, candidate: `{}`\n\n",
        mark(report.verdict),
        report.verdict,
        report.why,
        code(&report.base),
        code(&report.candidate)
    );
    out.push_str("| metric | base | candidate | effect (interval) | floor | n | verdict |\n|---|--:|--:|--:|--:|--:|---|\n");
    for metric in &report.metrics {
        let unit = metric.metric.unit;
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {:.0} | {} {} |",
            cell(&metric.metric.name),
            unit.show(metric.base_median),
            unit.show(metric.candidate_median),
            effect(&metric.finding),
            floor(metric.metric.floor),
            metric.finding.n_effective,
            mark(metric.finding.verdict),
            metric.finding.verdict,
        )
        .expect("writing to a string cannot fail");
    }
    writeln!(
        out,
        "\n{}. All claims together hold with {} % confidence.",
        report.method,
        crate::samples::digits(report.confidence * 100.0)
    )
    .expect("writing to a string cannot fail");
    out
}

/// The same for a terminal: aligned columns.
pub fn comparison_plain(report: &Report) -> String {
    let mut rows = vec![
        [
            "metric",
            "base",
            "candidate",
            "effect (interval)",
            "floor",
            "n",
            "verdict",
        ]
        .map(str::to_owned),
    ];
    for metric in &report.metrics {
        let unit = metric.metric.unit;
        rows.push([
            metric.metric.name.clone(),
            unit.show(metric.base_median),
            unit.show(metric.candidate_median),
            effect(&metric.finding),
            floor(metric.metric.floor),
            format!("{:.0}", metric.finding.n_effective),
            format!(
                "{} {}",
                mark(metric.finding.verdict),
                metric.finding.verdict
            ),
        ]);
    }
    table(&rows)
}

/// Rows with aligned columns; the first is the heading.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    });
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let pad = width - cell.chars().count();
            write!(line, "{cell}{}  ", " ".repeat(pad)).expect("writing to a string cannot fail");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn floor(floor: f64) -> String {
    format!("{} %", crate::samples::digits(floor * 100.0))
}

/// Text inside a cell of a Markdown table.
pub fn cell(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace(['\n', '\r'], " ")
        .replace('<', "&lt;")
}

fn code(text: &str) -> String {
    text.replace('`', "'").replace(['\n', '\r'], " ")
}

/// One test case of a JUnit report.
#[derive(Clone, Debug)]
pub struct JunitCase {
    pub suite: String,
    pub name: String,
    /// Message and text, when it failed.
    pub failure: Option<(String, String)>,
    /// Why it was skipped.
    pub skipped: Option<String>,
    pub output: String,
}

/// Cases as JUnit XML, as GitLab and Jenkins read it.
pub fn junit(name: &str, cases: &[JunitCase]) -> String {
    let count = |f: fn(&JunitCase) -> bool| cases.iter().filter(|case| f(case)).count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{0}\" tests=\"{1}\" failures=\"{2}\" skipped=\"{3}\">\n  <testsuite name=\"{0}\" tests=\"{1}\" failures=\"{2}\" skipped=\"{3}\">\n",
        xml(name),
        cases.len(),
        count(|case| case.failure.is_some()),
        count(|case| case.skipped.is_some()),
    );
    for case in cases {
        let _infallible = write!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\">",
            xml(&case.suite),
            xml(&case.name)
        );
        if let Some((message, text)) = &case.failure {
            let _infallible = write!(
                out,
                "<failure message=\"{}\">{}</failure>",
                xml(message),
                xml(text)
            );
        }
        if let Some(why) = &case.skipped {
            let _infallible = write!(out, "<skipped message=\"{}\"/>", xml(why));
        }
        if !case.output.is_empty() {
            let _infallible = write!(out, "<system-out>{}</system-out>", xml(&case.output));
        }
        out.push_str("</testcase>\n");
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Text in XML; characters that XML 1.0 does not have are left out.
fn xml(text: &str) -> String {
    text.chars()
        .filter(|c| {
            matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
                && !matches!(c, '\u{7f}')
        })
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&apos;"),
                other => out.push(other),
            }
            out
        })
}
