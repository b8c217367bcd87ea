//! Explore: a query, its graph and its values.

use std::time::Duration;

use bellwether_model::Labels;
use bellwether_model::duration::parse_duration;
use bellwether_model::series::Value;
use bellwether_promql::{QueryError, QueryResult, QueryValue, pretty};
use bellwether_ui as ui;
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::charts;
use super::frame::{Page, Visitor, pairs, shown};
use crate::queries::Times;

const TIMEOUT: Duration = Duration::from_secs(30);
const POINTS_MAX: i64 = 11_000;
const ROWS_MAX: usize = 250;

/// A query, or where to begin.
pub(super) async fn show(visitor: Visitor) -> Page {
    let expr = visitor.param("expr").trim().to_owned();
    let mut page = ui::ExplorePage {
        table: visitor.param("show") == "table",
        range: range(&visitor),
        examples: examples(),
        ..ui::ExplorePage::default()
    };
    if !expr.is_empty() {
        ask(&visitor, &expr, &mut page).await;
    }
    page.expr = expr;
    Ok(shown(ui::render_explore(
        &visitor.chrome("Explore", ui::Nav::Explore),
        &page,
    )))
}

fn range(visitor: &Visitor) -> ui::ExploreRange {
    let length = visitor.param("range");
    let good = parse_duration(length).is_ok_and(|length| !length.is_zero());
    let end: Option<DateTime> = visitor.param("end").parse().ok();
    ui::ExploreRange {
        length: if good {
            length.to_owned()
        } else {
            "1h".to_owned()
        },
        end: end
            .and_then(|end| end.to_zoned(visitor.zone()).ok())
            .map(|zoned| zoned.timestamp()),
        step: visitor.param("step").trim().to_owned(),
        step_used: String::new(),
    }
}

fn examples() -> Vec<(String, String)> {
    [
        ("What is up", "up"),
        ("Samples per target", "topk(10, scrape_samples_scraped)"),
        ("How long scrapes take", "scrape_duration_seconds"),
        ("Alerts that fire or wait", "ALERTS"),
        (
            "Metrics with the most series",
            "topk(10, count by (__name__) ({__name__!=\"\"}))",
        ),
    ]
    .into_iter()
    .map(|(what, expr)| (what.to_owned(), expr.to_owned()))
    .collect()
}

async fn ask(visitor: &Visitor, text: &str, page: &mut ui::ExplorePage) {
    let expr = match visitor.app.queries.engine().parse(text) {
        Ok(expr) => expr,
        Err(error) => {
            page.error = Some((error.message.clone(), Some(error.span.start)));
            return;
        }
    };
    page.formatted = pretty(&expr);
    let to = page.range.end.unwrap_or(visitor.now);
    let length = parse_duration(&page.range.length).unwrap_or(Duration::from_hours(1));
    let from = to - SignedDuration::try_from(length).unwrap_or(SignedDuration::from_hours(1));
    let step = match parse_step(&page.range.step) {
        Ok(step) => step.unwrap_or_else(|| charts::step_for(from, to) * 1000),
        Err(message) => {
            page.error = Some((message, None));
            return;
        }
    };
    if length.as_millis() as i64 / step > POINTS_MAX {
        page.error = Some((
            format!("more than {POINTS_MAX} points per series: take a longer step"),
            None,
        ));
        return;
    }
    page.range.step_used = ui::format::span(SignedDuration::from_millis(step)).replace(' ', "");
    let end = to.as_millisecond();
    let times = if page.table {
        Times::at(end)
    } else {
        // Counted back from the end, so that the newest sample is always seen.
        Times {
            start: end - length.as_millis() as i64 / step * step,
            end,
            step: Some(step),
        }
    };
    let begun = visitor.app.clock.monotonic();
    match visitor.app.queries.run(expr, times, TIMEOUT).await {
        Ok(result) => {
            let took = visitor.app.clock.monotonic().saturating_sub(begun);
            fill(page, &result, (from, to), text, took);
        }
        Err(error) => page.error = Some((describe(&error), None)),
    }
}

/// In milliseconds; `None` when it is left to us.
fn parse_step(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| seconds.is_finite())
        .map(|seconds| (seconds * 1e3) as i64);
    let parsed = seconds.or_else(|| {
        parse_duration(text)
            .ok()
            .map(|length| length.as_millis() as i64)
    });
    match parsed {
        Some(step) if step > 0 => Ok(Some(step)),
        _ => Err(format!("the step {text:?} is not a duration such as 15s")),
    }
}

fn describe(error: &QueryError) -> String {
    match error {
        QueryError::Parse(error) => error.message.clone(),
        other => other.to_string(),
    }
}

fn fill(
    page: &mut ui::ExplorePage,
    result: &QueryResult,
    (from, to): (Timestamp, Timestamp),
    text: &str,
    took: Duration,
) {
    page.warnings = result
        .warnings
        .iter()
        .chain(&result.infos)
        .map(ToString::to_string)
        .collect();
    let took = SignedDuration::try_from(took).unwrap_or_default();
    let rows = rows(result);
    page.cost = format!(
        "{} series, {} samples read, {}",
        ui::format::count(rows.len() as u64),
        ui::format::count(result.stats.samples as u64),
        ui::format::took(took)
    );
    page.n_more = rows.len().saturating_sub(ROWS_MAX);
    page.rows = rows.into_iter().take(ROWS_MAX).collect();
    let lines = charts::lines(result);
    if lines.iter().any(|line| !line.points.is_empty()) {
        page.chart = Some(ui::Chart {
            id: "explore-chart".to_owned(),
            title: "Result".to_owned(),
            unit: charts::unit_of(text),
            from,
            to,
            lines,
            size: ui::ChartSize::Tall,
            ..ui::Chart::default()
        });
    }
}

fn row(labels: &Labels, value: String) -> ui::ResultRow {
    ui::ResultRow {
        name: labels.metric_name().to_owned(),
        labels: pairs(labels)
            .into_iter()
            .filter(|(name, _)| name != "__name__")
            .collect(),
        value,
    }
}

/// The latest value of each series.
fn rows(result: &QueryResult) -> Vec<ui::ResultRow> {
    let none = Labels::empty();
    match &result.value {
        QueryValue::Scalar { value, .. } => vec![row(&none, value.to_string())],
        QueryValue::String { value, .. } => vec![row(&none, value.clone())],
        QueryValue::Vector(samples) => samples
            .iter()
            .map(|sample| {
                let value = match &sample.value {
                    Value::Float(value) => value.to_string(),
                    Value::Histogram(histogram) => {
                        format!("histogram, {} observations", histogram.count)
                    }
                };
                row(&sample.labels, value)
            })
            .collect(),
        QueryValue::Matrix(series) => series
            .iter()
            .map(|one| {
                let value = match (one.floats.last(), one.histograms.last()) {
                    (Some((_, value)), _) => value.to_string(),
                    (None, Some((_, histogram))) => {
                        format!("histogram, {} observations", histogram.count)
                    }
                    (None, None) => String::new(),
                };
                row(&one.labels, value)
            })
            .collect(),
    }
}
