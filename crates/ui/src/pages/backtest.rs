//! Backtest: try rules on the stored history, and see before and after.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::chrome::Chrome;
use crate::parts::{ago, badge, empty, form, heading};
use crate::view::Tone;
use crate::{format, layout, path};

/// The page.
#[derive(Clone, Debug, Default)]
pub struct BacktestPage {
    /// What was typed, or is to be edited.
    pub rules: String,
    /// `1d`, `7d`, `30d`.
    pub last: String,
    pub may_run: bool,
    /// Why the rules were not taken.
    pub problems: Vec<String>,
    pub state: BacktestState,
    /// How much history there is.
    pub oldest: Option<Timestamp>,
}

/// How far the last one is.
#[derive(Clone, Debug, Default)]
pub enum BacktestState {
    #[default]
    None,
    Running {
        since: Timestamp,
        /// 0 to 1.
        share: f64,
        left: Option<SignedDuration>,
    },
    Failed(String),
    Done(Box<BacktestResult>),
}

/// Before and after.
#[derive(Clone, Debug)]
pub struct BacktestResult {
    pub from: Timestamp,
    pub to: Timestamp,
    pub finished_at: Timestamp,
    /// One sentence: `12 pages fewer, no incident lost`.
    pub verdict: String,
    pub tone: Tone,
    pub before: BacktestSide,
    pub after: BacktestSide,
    pub rules: Vec<BacktestRule>,
    pub incidents: Vec<BacktestIncident>,
    pub notes: Vec<String>,
}

/// Figures and pages of one side.
#[derive(Clone, Debug, Default)]
pub struct BacktestSide {
    pub figures: BacktestFigures,
    pub pages: Vec<Timestamp>,
}

/// Figures, as texts.
#[derive(Clone, Debug, Default)]
pub struct BacktestFigures {
    pub pages: String,
    pub night: String,
    pub short: String,
    pub caught: String,
    pub precision: String,
    pub detect: String,
    pub reset: String,
}

/// A rule that differs.
#[derive(Clone, Debug)]
pub struct BacktestRule {
    pub name: String,
    /// `edited`, `added`, `unchanged, affected`.
    pub kind: String,
    pub before: Option<BacktestFigures>,
    pub after: Option<BacktestFigures>,
}

/// An incident of the timeline.
#[derive(Clone, Debug)]
pub struct BacktestIncident {
    pub id: String,
    pub title: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub caught_before: bool,
    pub caught_after: bool,
}

/// Renders the page.
pub fn render_backtest(chrome: &Chrome, page: &BacktestPage) -> String {
    let running = matches!(page.state, BacktestState::Running { .. });
    let body = html! {
        (heading("Backtest", html! { "What changed rules would have paged, before they are live." }))
        @for problem in &page.problems { div.notice.bad role="alert" { (crate::parts::shape(Tone::Bad)) pre { (problem) } } }
        (state(chrome, &page.state))
        section.card {
            h2 { "Rules to try" }
            @if page.may_run {
                (form(chrome, path::BACKTEST, "stack", html! {
                    label { "Rule file. A rule replaces the live one of its group and name; others are added; what is not named stays."
                        textarea name="rules" rows="14" spellcheck="false" required placeholder="groups:\n- name: web\n  rules:\n  - alert: HighErrors\n    expr: ..." { (page.rules) } }
                    label { "History"
                        select name="last" { @for (value, word) in [("1d", "the last day"), ("7d", "the last 7 days"), ("30d", "the last 30 days")] {
                            option value=(value) selected[page.last == value] { (word) }
                        } } }
                    button disabled[running] { "Run" }
                }))
            } @else { (empty("Your account may look, not run.")) }
            p.quiet { "Pages go through the configured routes, inhibitions and present silences. Incidents are the urgent cases that somebody took."
                @if let Some(oldest) = page.oldest { " The oldest sample is from " (format::brief(&chrome.zone, chrome.now, oldest)) "." } }
        }
    };
    layout::page(chrome, "backtest", body)
}

fn state(chrome: &Chrome, state: &BacktestState) -> Markup {
    match state {
        BacktestState::None => html! {},
        BacktestState::Failed(text) => {
            html! { p.notice.bad role="alert" { (crate::parts::shape(Tone::Bad)) span { (text) } } }
        }
        BacktestState::Running { since, share, left } => html! {
            section.card aria-live="polite" {
                div.row-head { h2 { "Running" } span.quiet { "begun " (ago(chrome, *since))
                    @if let Some(left) = left { ", about " (format::span(*left)) " left" } } }
                progress max="100" value=(format!("{:.0}", share * 100.0)) { (format!("{:.0} %", share * 100.0)) }
                (form(chrome, path::BACKTEST_STOP, "", html! { button { "Stop" } }))
            }
        },
        BacktestState::Done(result) => done(chrome, result),
    }
}

fn done(chrome: &Chrome, result: &BacktestResult) -> Markup {
    html! {
        section.card {
            div.row-head { h2 { "Result" } (badge(result.tone, &result.verdict)) span.quiet { "finished " (ago(chrome, result.finished_at)) } }
            (timeline(chrome, result))
            div.scroll { table {
                thead { tr { th scope="col" { "" } @for name in ["Pages", "At night", "Under 5 min", "Caught", "Precision", "Detected p50", "Reset p50"] { th.num scope="col" { (name) } } } }
                tbody {
                    (figures("All rules, before", &result.before.figures))
                    (figures("All rules, after", &result.after.figures))
                    @for rule in &result.rules {
                        tr { th scope="rowgroup" colspan="8" { (rule.name) " " span.quiet { (rule.kind) } } }
                        @if let Some(side) = &rule.before { (figures("before", side)) }
                        @if let Some(side) = &rule.after { (figures("after", side)) }
                    }
                }
            } }
            @if result.rules.is_empty() { p.quiet { "No alerting rule differs from the live ones, nor what one pages." } }
            @for note in &result.notes { p.quiet { (note) } }
        }
    }
}

fn figures(name: &str, figures: &BacktestFigures) -> Markup {
    html! { tr {
        td { (name) }
        @for (key, text) in [("pages", &figures.pages), ("at night", &figures.night), ("under 5 min", &figures.short), ("caught", &figures.caught), ("precision", &figures.precision), ("detected p50", &figures.detect), ("reset p50", &figures.reset)] {
            td.num data-k=(key) { (text) }
        }
    } }
}

/// Incidents as bands, pages as ticks: before above, after below.
fn timeline(chrome: &Chrome, result: &BacktestResult) -> Markup {
    const TICKS_MAX: usize = 2_000;
    let from = result.from.as_millisecond();
    let length = (result.to.as_millisecond() - from).max(1) as f64;
    let place =
        |at: Timestamp| ((at.as_millisecond() - from) as f64 / length * 100.0).clamp(0.0, 100.0);
    let rows = [
        ("before", &result.before.pages, 14),
        ("after", &result.after.pages, 52),
    ];
    let label = format!(
        "{} pages before, {} after, {} incidents",
        result.before.pages.len(),
        result.after.pages.len(),
        result.incidents.len()
    );
    html! {
        figure.timeline {
            svg.backtest width="100%" height="84" role="img" aria-label=(label) {
                @for incident in &result.incidents {
                    @let x = place(incident.from);
                    @let width = (place(incident.to) - x).max(0.3);
                    @let tone = match (incident.caught_before, incident.caught_after) { (true, false) => "bad", (false, true) => "good", (true, true) => "info", (false, false) => "warn" };
                    rect class=(tone) x={ (format!("{x:.2}")) "%" } y="0" width={ (format!("{width:.2}")) "%" } height="84" opacity="0.35" {
                        title { (incident.id) " " (incident.title) ", " (format::brief(&chrome.zone, chrome.now, incident.from))
                            @match (incident.caught_before, incident.caught_after) { (true, false) => ": lost", (false, true) => ": gained", (true, true) => ": caught", (false, false) => ": missed" } }
                    }
                }
                @for (name, pages, y) in rows {
                    line x1="0" x2="100%" y1=(y + 18) y2=(y + 18) stroke="currentColor" opacity="0.3" {}
                    text x="2" y=(y - 2) font-size="11" fill="currentColor" opacity="0.7" { (name) }
                    @for at in pages.iter().take(TICKS_MAX) {
                        rect x={ (format!("{:.2}", place(*at))) "%" } y=(y) width="2" height="18" fill="currentColor" {}
                    }
                }
            }
            figcaption.quiet {
                (format::brief(&chrome.zone, chrome.now, result.from)) " to " (format::brief(&chrome.zone, chrome.now, result.to))
                ": ticks are pages, bands are incidents"
                @let lost = result.incidents.iter().filter(|i| i.caught_before && !i.caught_after).count();
                @let gained = result.incidents.iter().filter(|i| !i.caught_before && i.caught_after).count();
                @if lost + gained > 0 { " (" (lost) " lost, " (gained) " gained)" } "."
            }
        }
    }
}
