//! Service level objectives: how much may still fail, how fast it goes, and when it runs out.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::chart::{Chart, chart};
use crate::chrome::Chrome;
use crate::parts::{badge, bar, clock, empty, heading};
use crate::view::Tone;
use crate::{format, layout, path};

/// All objectives.
#[derive(Clone, Debug, Default)]
pub struct SlosPage {
    pub slos: Vec<SloView>,
}

/// One objective.
#[derive(Clone, Debug)]
pub struct SloView {
    pub name: String,
    pub description: String,
    /// 0.999.
    pub objective: f64,
    /// `30d`.
    pub window: String,
    /// Share of good events in the window; `None` without data.
    pub attained: Option<f64>,
    /// 1 = untouched, 0 = used up, below 0 = overdrawn; `None` without data.
    pub budget_left: Option<f64>,
    pub burns: Vec<BurnWindow>,
    /// When the budget is gone at the present rate.
    pub runs_out_at: Option<Timestamp>,
    pub chart: Option<Chart>,
    /// Case that is open for it.
    pub case: Option<(String, String)>,
    /// Expressions of the share of bad events; links to the explorer.
    pub expr: String,
    /// What it would have paged; `None` while it is not known.
    pub pages: Option<SloPages>,
}

/// What an objective would have paged over the stored history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SloPages {
    pub pages: usize,
    pub tickets: usize,
    /// Days of history.
    pub days: u32,
    /// Caught and all; `None` without any.
    pub incidents: Option<(usize, usize)>,
}

/// Burn rate over one window.
#[derive(Clone, Debug)]
pub struct BurnWindow {
    /// `5m`, `1h`.
    pub window: String,
    /// 1 = uses the budget up exactly at the end of the window; `None` without data.
    pub rate: Option<f64>,
    /// From where on it alerts.
    pub limit: f64,
}

impl SloView {
    pub(crate) fn tone(&self) -> Tone {
        let burning = self
            .burns
            .iter()
            .any(|burn| burn.rate.is_some_and(|rate| rate >= burn.limit));
        let left = self.budget_left;
        if burning || left.is_some_and(|left| left <= 0.0) {
            Tone::Bad
        } else if left.is_none() {
            Tone::Quiet
        } else if left.is_some_and(|left| left < 0.25) {
            Tone::Warn
        } else {
            Tone::Good
        }
    }

    pub(crate) fn word(&self) -> &'static str {
        match self.tone() {
            Tone::Quiet | Tone::Info => "no data yet",
            Tone::Bad if self.budget_left.is_some_and(|left| left <= 0.0) => "used up",
            Tone::Bad => "burning",
            Tone::Warn => "low",
            Tone::Good => "kept",
        }
    }

    /// The budget in words.
    pub(crate) fn budget(&self) -> String {
        match self.budget_left {
            Some(left) => format::value(left, format::Unit::Ratio),
            None => "not known yet".to_owned(),
        }
    }

    /// The highest burn rate over any window that is known.
    pub(crate) fn fastest_burn(&self) -> Option<f64> {
        self.burns
            .iter()
            .filter_map(|burn| burn.rate)
            .max_by(f64::total_cmp)
            .filter(|rate| *rate >= 1.0)
    }
}

/// Renders all objectives.
pub fn render_slos(chrome: &Chrome, page: &SlosPage) -> String {
    let body = html! {
        (heading("Objectives", html! { "How much may still fail, and how fast it goes." }))
        @if page.slos.is_empty() { (empty("No objectives are set. Add a `slos:` section to the configuration.")) }
        @for slo in &page.slos { (card(chrome, slo)) }
    };
    layout::page(chrome, "slos rules", body)
}

fn card(chrome: &Chrome, slo: &SloView) -> Markup {
    let tone = slo.tone();
    html! {
        section class={ "card slo " (tone.class()) } id=(path::encode(&slo.name)) data-row="" {
            div.row-head { h2 { (slo.name) } (badge(tone, slo.word())) @if let Some((id, title)) = &slo.case { a href=(path::case(id)) { (title) } } }
            @if !slo.description.is_empty() { p.quiet { (slo.description) } }
            @if let Some(left) = slo.budget_left { (bar(left, tone)) }
            dl.figures {
                div { dt { "budget left" } dd { (slo.budget()) } }
                div { dt { "objective, " (slo.window) } dd { (percent(slo.objective)) } }
                div { dt { "attained" } dd { @match slo.attained { Some(share) => (percent(share)), None => "no data" } } }
                @if let Some(at) = slo.runs_out_at { div { dt { "runs out" } dd { time datetime=(at) data-rel="until" { (format::relative(chrome.now, at)) } " " span.quiet { (clock(chrome, at)) } } } }
            }
            @if !slo.burns.is_empty() {
                div.scroll { table.small {
                    thead { tr { th scope="col" { "Window" } th.num scope="col" { "Burn rate" } th.num scope="col" { "Alerts from" } th scope="col" { "" } } }
                    tbody { @for burn in &slo.burns { tr {
                        td { (burn.window) }
                        td.num { @match burn.rate { Some(rate) => { (format::plain(rate)) "×" }, None => "no data" } }
                        td.num { (format::plain(burn.limit)) "×" }
                        td { @if burn.rate.is_some_and(|rate| rate >= burn.limit) { (badge(Tone::Bad, "too fast")) } }
                    } } }
                } }
            }
            @if let Some(pages) = &slo.pages { (would_have(pages)) }
            @if let Some(graph) = &slo.chart { (chart(chrome, graph)) }
            @if !slo.expr.is_empty() { p.expr { a href=(path::explore(&slo.expr)) { code { (slo.expr) } } } }
        }
    }
}

fn would_have(pages: &SloPages) -> Markup {
    let plural = |count: usize, word: &str| {
        let end = if count == 1 { "" } else { "s" };
        format!("{count} {word}{end}")
    };
    html! {
        p { "At this objective you would have had " b { (plural(pages.pages, "page")) } " and " (plural(pages.tickets, "ticket"))
            " in " @if pages.days == 1 { "the last day" } @else { (pages.days) " days" }
            @if let Some((caught, all)) = pages.incidents { ", and " (caught) " of " (plural(all, "incident")) " caught" } "." }
    }
}

/// Per cent with as many nines as it has.
fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
