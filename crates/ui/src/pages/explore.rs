//! Explore: ask the series a question; see it drawn, listed, and what it cost.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::chart::{Chart, chart};
use crate::chrome::Chrome;
use crate::parts::{empty, labels, shape};
use crate::view::Tone;
use crate::{layout, path};

/// A query and its answer.
#[derive(Clone, Debug, Default)]
pub struct ExplorePage {
    pub expr: String,
    pub range: ExploreRange,
    /// Draw a graph (range query) or list values (instant query).
    pub table: bool,
    pub chart: Option<Chart>,
    /// Latest values.
    pub rows: Vec<ResultRow>,
    /// Rows beyond those shown.
    pub n_more: usize,
    /// The expression as the formatter writes it; shown when it differs.
    pub formatted: String,
    /// Message and, when known, the byte offset in the expression.
    pub error: Option<(String, Option<usize>)>,
    pub warnings: Vec<String>,
    /// `12 series, 2 880 samples, 3.1 ms`.
    pub cost: String,
    /// Queries to begin with: what it shows, and the expression.
    pub examples: Vec<(String, String)>,
}

/// The time range asked for.
#[derive(Clone, Debug)]
pub struct ExploreRange {
    /// `15m`, `1h`, `6h`, `1d`, `7d`.
    pub length: String,
    /// `None`: until now.
    pub end: Option<Timestamp>,
    /// As typed; empty: chosen by the program.
    pub step: String,
    /// The step used: `15 s`.
    pub step_used: String,
}

/// A series with its latest value.
#[derive(Clone, Debug)]
pub struct ResultRow {
    /// Metric name; may be empty.
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: String,
}

impl Default for ExploreRange {
    fn default() -> Self {
        Self {
            length: "1h".to_owned(),
            end: None,
            step: String::new(),
            step_used: String::new(),
        }
    }
}

/// Renders the explorer.
pub fn render_explore(chrome: &Chrome, page: &ExplorePage) -> String {
    const LENGTHS: [&str; 8] = ["5m", "15m", "1h", "6h", "1d", "2d", "7d", "30d"];
    let range = &page.range;
    let body = html! {
        h1.sr { "Explore" }
        form.query method="get" action=(path::EXPLORE) role="search" data-query="" {
            div.editor {
                label.sr for="expr" { "PromQL expression" }
                textarea #expr name="expr" rows="2" spellcheck="false" autocapitalize="off" autocomplete="off" autocorrect="off"
                    placeholder="rate(http_requests_total[5m])" role="combobox" aria-autocomplete="list" aria-expanded="false"
                    aria-controls="complete" data-search="" { (page.expr) }
                ul #complete role="listbox" aria-label="Completions" hidden {}
            }
            div.controls {
                label { span { "Last" } select name="range" {
                    @if !LENGTHS.contains(&range.length.as_str()) { option value=(range.length) selected { (range.length) } }
                    @for length in LENGTHS { option value=(length) selected[length == range.length] { (length) } }
                } }
                label { span { "until" } input type="datetime-local" name="end" step="1"
                    value=[range.end.map(|end| end.to_zoned(chrome.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string())]; }
                label { span { "step" } input name="step" value=(range.step) placeholder=(if range.step_used.is_empty() { "auto" } else { &range.step_used }) size="6" pattern="[0-9.]+(ms|s|m|h|d)?"; }
                div.segments role="radiogroup" aria-label="Show" {
                    label { input type="radio" name="show" value="graph" checked[!page.table]; span { "Graph" } }
                    label { input type="radio" name="show" value="table" checked[page.table]; span { "Table" } }
                }
                button.primary { "Run" }
            }
        }
        @if let Some((message, at)) = &page.error { (fault(&page.expr, message, *at)) }
        @for warning in &page.warnings { p.notice.warn { (shape(Tone::Warn)) span { (warning) } } }
        @if !page.formatted.is_empty() && page.formatted != page.expr && page.error.is_none() {
            details.fold { summary { "Formatted" } pre.code tabindex="0" { code { (page.formatted) } } }
        }
        @if let Some(graph) = &page.chart { section.card { (chart(chrome, graph)) } }
        @if !page.rows.is_empty() {
            section.card {
                div.row-head { h2 { "Values" } span.quiet { (page.cost) } }
                div.scroll { table.values {
                    thead { tr { th scope="col" { "Series" } th.num scope="col" { "Value" } } }
                    tbody { @for row in &page.rows { tr data-row="" {
                        td.main { @if !row.name.is_empty() { code { (row.name) } } (labels(&row.labels)) @if row.name.is_empty() && row.labels.is_empty() { span.quiet { "no labels" } } }
                        td.num { (row.value) }
                    } } }
                } }
                @if page.n_more > 0 { p.quiet { "and " (page.n_more) " more series" } }
            }
        } @else if page.error.is_none() && !page.expr.is_empty() {
            (empty("The query has no result in this range."))
        }
        @if page.expr.is_empty() && !page.examples.is_empty() {
            section.card { h2 { "To begin with" } ul.examples { @for (what, expr) in &page.examples { li { a href=(path::explore(expr)) { (what) } code { (expr) } } } } }
        }
    };
    layout::page(chrome, "", body)
}

/// The message, and the place in the expression.
fn fault(expr: &str, message: &str, at: Option<usize>) -> Markup {
    let split = at.filter(|at| expr.is_char_boundary(*at) && *at <= expr.len());
    html! {
        div.notice.bad role="alert" {
            (shape(Tone::Bad))
            div {
                p { (message) }
                @if let Some(at) = split { pre.fault { (&expr[..at]) mark { (&expr[at..]) @if at == expr.len() { " " } } } }
            }
        }
    }
}
