//! Reports for a terminal.

use std::time::Duration;

use bellwether_model::duration::format_brief;

use crate::report::{Change, ChangeKind, Comparison, Report, RuleRow};
use crate::score::Figures;
use crate::sweep::Sweep;

macro_rules! line {
    ($out:expr, $($text:tt)*) => {{
        $out.push_str(&format!($($text)*));
        $out.push('\n');
    }};
}

/// What of a report is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Rules that paged nobody, too.
    pub all: bool,
    /// Milliseconds of processor and wall time that it took.
    pub took: Option<(u64, u64)>,
}

const HEADER: [&str; 10] = [
    "pages",
    "/week",
    "night",
    "<5min",
    "flaps",
    "caught",
    "missed",
    "precision",
    "detect p50/p90",
    "reset p50/p90",
];

/// A duration of milliseconds: `4m10s`, `-30s`.
pub fn span(ms: i64) -> String {
    let text = format_brief(Duration::from_millis(ms.unsigned_abs() / 1000 * 1000));
    let sign = if ms <= -1000 { "-" } else { "" };
    format!("{sign}{text}")
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn pages(figures: &Figures, phases: usize) -> String {
    let (low, high) = figures.pages_range;
    if phases > 1 {
        format!("{} ({low}-{high})", figures.pages)
    } else {
        figures.pages.to_string()
    }
}

fn pair(low: Option<i64>, high: Option<i64>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("{} / {}", span(low), span(high)),
        _ => "-".to_owned(),
    }
}

fn cells(figures: &Figures, phases: usize, incidents: Option<usize>) -> Vec<String> {
    let known = |text: String| incidents.map_or_else(|| "-".to_owned(), |_| text);
    vec![
        pages(figures, phases),
        format!("{:.1}", figures.pages_per_week),
        figures.pages_at_night.to_string(),
        figures.pages_short.to_string(),
        figures.flaps.to_string(),
        known(format!(
            "{}/{}",
            figures.caught,
            figures.caught + figures.missed
        )),
        known(figures.missed.to_string()),
        figures
            .precision
            .map_or_else(|| "-".to_owned(), |share| format!("{share:.2}")),
        pair(figures.detect_p50_ms, figures.detect_p90_ms),
        pair(figures.reset_p50_ms, figures.reset_p90_ms),
    ]
}

/// Columns of a table: the first to the left, the others to the right.
fn table(rows: &[(String, Vec<String>)], out: &mut String) {
    let columns = rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let width = |text: &str| text.chars().count();
    let first = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|(_, cells)| cells.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    for (name, cells) in rows {
        let mut line = format!("{name}{}", " ".repeat(first - width(name)));
        for (cell, width_max) in cells.iter().zip(&widths) {
            line.push_str("  ");
            line.push_str(&" ".repeat(width_max - width(cell)));
            line.push_str(cell);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn header(name: &str, phases: usize) -> (String, Vec<String>) {
    let mut cells: Vec<String> = HEADER.iter().map(ToString::to_string).collect();
    if phases > 1 {
        "pages (phases)".clone_into(&mut cells[0]);
    }
    (name.to_owned(), cells)
}

/// A report as lines of text.
pub fn report(report: &Report, shown: Shown) -> String {
    let mut out = String::new();
    head(report, shown, &mut out);
    let incidents = report.incidents.as_ref().map(Vec::len);
    let mut rows = vec![header("", report.phases)];
    rows.push((
        "all rules".to_owned(),
        cells(&report.total, report.phases, incidents),
    ));
    let mut order: Vec<&RuleRow> = report.rules.iter().collect();
    order.sort_by_key(|row| std::cmp::Reverse(row.figures.pages));
    let quiet = |row: &RuleRow| row.figures.pages_range.1 == 0;
    for row in order.iter().filter(|row| shown.all || !quiet(row)) {
        let name = format!(" {}", row.title());
        rows.push((name, cells(&row.figures, report.phases, incidents)));
    }
    table(&rows, &mut out);
    let hidden: Vec<&&RuleRow> = order
        .iter()
        .filter(|row| !shown.all && quiet(row))
        .collect();
    if !hidden.is_empty() {
        let fired = hidden.iter().filter(|row| row.firings > 0).count();
        line!(
            out,
            "and {} rules that paged nobody ({fired} of them fired); --all shows them",
            hidden.len()
        );
    }
    tail(report, &mut out);
    suggestions(report, &mut out);
    out
}

fn head(report: &Report, shown: Shown, out: &mut String) {
    let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1000.0);
    let took = shown.took.map_or_else(String::new, |(cpu, wall)| {
        format!("  {} CPU, {} wall,", seconds(cpu), seconds(wall))
    });
    line!(
        out,
        "{} to {}: {} rules, {} evaluations in {} phase{}{took} {} samples read",
        report.from.strftime("%Y-%m-%d %H:%M"),
        report.to.strftime("%Y-%m-%d %H:%M UTC"),
        report.rules_total,
        grouped(report.evaluations),
        report.phases,
        if report.phases == 1 { "," } else { "s," },
        grouped(report.samples),
    );
}

fn tail(report: &Report, out: &mut String) {
    if let Some(incidents) = &report.incidents {
        let missed: Vec<String> = incidents
            .iter()
            .filter(|incident| !incident.caught)
            .map(|incident| match incident.title.as_str() {
                "" => incident.id.clone(),
                title => format!("{} ({title})", incident.id),
            })
            .collect();
        if !missed.is_empty() {
            line!(out, "missed: {}", missed.join(", "));
        }
    }
    let mut sent: Vec<String> = report
        .notifications
        .iter()
        .map(|(channel, count)| format!("{channel} {count}"))
        .collect();
    if report.tickets > 0 {
        sent.push(format!("tickets {}", report.tickets));
    }
    if !sent.is_empty() {
        line!(out, "notifications: {}", sent.join(", "));
    }
    let suppressed = report.suppressed;
    if suppressed != crate::pages::Suppressed::default() {
        line!(
            out,
            "suppressed, alerts at flushes: {} inhibited, {} silenced; {} flushes muted by time intervals",
            suppressed.inhibited,
            suppressed.silenced,
            suppressed.muted
        );
    }
    if report.total.pages_in_worst_shift > 0 {
        line!(
            out,
            "worst 12 hours: {} pages; longest alert: {}",
            report.total.pages_in_worst_shift,
            span(report.total.longest_ms)
        );
    }
    for failure in &report.failures {
        line!(
            out,
            "{}:{}: {} failed at {} evaluations: {}",
            failure.file,
            failure.line,
            failure.rule,
            failure.evaluations,
            failure.message
        );
    }
    for note in &report.notes {
        line!(out, "note: {note}");
    }
}

/// Rules that cost sleep and catch nothing that others do not.
fn suggestions(report: &Report, out: &mut String) {
    const SHOWN_MAX: usize = 3;
    if report.incidents.as_ref().is_none_or(Vec::is_empty) {
        return;
    }
    let mut rows: Vec<&RuleRow> = report
        .rules
        .iter()
        .filter(|row| {
            row.caught_alone == 0
                && row.pages_alone >= 5
                && row.figures.precision.is_some_and(|share| share < 0.2)
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.pages_alone));
    for row in rows.into_iter().take(SHOWN_MAX) {
        line!(
            out,
            "try: {} as a ticket: -{} pages, no incident lost",
            row.title(),
            row.pages_alone
        );
    }
}

fn change_name(change: &Change, row: &RuleRow) -> String {
    let word = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Edited => "edited",
        ChangeKind::Affected => "unchanged, affected",
    };
    format!(" {} [{word}]", row.title())
}

/// Before and after as lines of text: only rules that differ.
pub fn comparison(comparison: &Comparison, shown: Shown) -> String {
    let (before, after) = (&comparison.before, &comparison.after);
    let mut out = String::new();
    head(after, shown, &mut out);
    let incidents = after.incidents.as_ref().map(Vec::len);
    let mut rows = vec![header("", after.phases)];
    rows.push((
        "all rules, before".to_owned(),
        cells(&before.total, before.phases, incidents),
    ));
    rows.push((
        "all rules, after".to_owned(),
        cells(&after.total, after.phases, incidents),
    ));
    for change in &comparison.rules {
        let old = change.before.map(|row| &before.rules[row]);
        let new = change.after.map(|row| &after.rules[row]);
        let Some(any) = new.or(old) else { continue };
        rows.push((change_name(change, any), Vec::new()));
        for (word, row) in [("  before", old), ("  after", new)] {
            if let Some(row) = row {
                rows.push((
                    word.to_owned(),
                    cells(&row.figures, after.phases, incidents),
                ));
            }
        }
    }
    table(&rows, &mut out);
    if comparison.rules.is_empty() {
        out.push_str("no alerting rule differs, nor what one pages\n");
    }
    tail(after, &mut out);
    let list = |ids: &[String]| match ids {
        [] => "none".to_owned(),
        ids => ids.join(", "),
    };
    if after.incidents.is_some() {
        line!(out, "incidents gained: {}", list(&comparison.gained));
        line!(out, "incidents lost: {}", list(&comparison.lost));
    }
    let sign = if comparison.pages_delta > 0 { "+" } else { "" };
    line!(
        out,
        "pages: {} -> {} ({sign}{})",
        before.total.pages,
        after.total.pages,
        comparison.pages_delta
    );
    out
}

/// A sweep as lines of text: the combinations worth showing, by pages.
pub fn sweep(sweep: &Sweep) -> String {
    const BAR: usize = 24;
    let mut out = String::new();
    let op = sweep.comparison.as_str();
    line!(
        out,
        "{} ({}): {} {op} threshold",
        sweep.rule,
        sweep.group,
        sweep.subject
    );
    let most = sweep
        .shown
        .iter()
        .map(|shown| shown.figures.pages)
        .max()
        .unwrap_or(0)
        .max(1);
    let mut rows = vec![(
        String::new(),
        [
            "threshold",
            "for",
            "pages",
            "firings",
            "caught",
            "missed",
            "precision",
            "detect p50",
        ]
        .map(str::to_owned)
        .to_vec(),
    )];
    for shown in &sweep.shown {
        let figures = &shown.figures;
        let known = |text: String| sweep.incidents.map_or_else(|| "-".to_owned(), |_| text);
        let bar = "#".repeat((figures.pages * BAR).div_ceil(most));
        let mark = match (shown.knee, shown.now) {
            (true, true) => "knee, now",
            (true, false) => "knee",
            (false, true) => "now",
            (false, false) => "",
        };
        rows.push((
            format!("{mark:>9} "),
            vec![
                format!("{:.6}", shown.point.threshold)
                    .trim_end_matches('0')
                    .trim_end_matches('.')
                    .to_owned(),
                span((shown.point.hold_s * 1000.0) as i64),
                figures.pages.to_string(),
                shown.point.firings.to_string(),
                known(figures.caught.to_string()),
                known(figures.missed.to_string()),
                figures
                    .precision
                    .map_or_else(|| "-".to_owned(), |share| format!("{share:.2}")),
                figures.detect_p50_ms.map_or_else(|| "-".to_owned(), span),
                format!("{bar:<BAR$}"),
            ],
        ));
    }
    table(&rows, &mut out);
    match sweep.incidents {
        None => line!(
            out,
            "note: without incidents only the pages are known; give --incidents"
        ),
        Some(count) => line!(
            out,
            "{} of {} combinations shown: those that no other one beats in both pages and missed incidents (of {count})",
            sweep.shown.len(),
            sweep.points.len()
        ),
    }
    out
}
