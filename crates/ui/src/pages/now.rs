//! Now: what hurts, since when, who has it; and when nothing does, that this is known and not guessed.

use maud::{Markup, html};

use super::case::CauseView;
use super::cases::{CaseRow, case_card};
use super::slos::SloView;
use crate::chrome::Chrome;
use crate::format;
use crate::parts::{ago, badge, bar, clock, empty, labels, people, shape};
use crate::view::{OnDuty, Tone};
use crate::{layout, path};

/// The first page.
#[derive(Clone, Debug, Default)]
pub struct NowPage {
    /// Open cases, the most urgent first.
    pub cases: Vec<CaseRow>,
    pub slos: Vec<SloView>,
    pub on_call: Vec<OnDuty>,
    /// Alerts that explain rather than hurt.
    pub causes: Vec<CauseView>,
    pub quiet: QuietDay,
    pub pools: Vec<PoolCount>,
    /// Services found without being configured: `PostgreSQL on 127.0.0.1:5432`.
    pub found: Vec<String>,
    /// What to do first on a fresh installation: text and address; empty later.
    pub hints: Vec<(String, String)>,
}

/// The last 24 hours in numbers.
#[derive(Clone, Debug, Default)]
pub struct QuietDay {
    pub cases: usize,
    pub pages: usize,
    pub resolved_by_runbook: usize,
    /// Rule evaluations in the last 24 hours: the proof that someone looked.
    pub evaluations: u64,
    pub samples: u64,
    /// When the last case ended.
    pub quiet_since: Option<jiff::Timestamp>,
    /// When rules were evaluated last.
    pub last_evaluation: Option<jiff::Timestamp>,
}

/// Targets of a scrape pool.
#[derive(Clone, Debug)]
pub struct PoolCount {
    pub name: String,
    pub up: usize,
    pub down: usize,
    pub unknown: usize,
}

/// Renders the first page.
pub fn render_now(chrome: &Chrome, page: &NowPage) -> String {
    let NowPage {
        cases,
        slos,
        on_call,
        causes,
        quiet,
        pools,
        found,
        hints,
    } = page;
    let body = html! {
        (headline(chrome, cases, quiet))
        @for case in cases { (case_card(chrome, case)) }
        @if cases.is_empty() { (quiet_day(chrome, quiet)) }
        @if !causes.is_empty() {
            details.causes open[!cases.is_empty()] {
                summary { h2 { "Possible causes" } span.quiet { (causes.len()) " context alerts, nobody is paged for them" } }
                (cause_list(chrome, causes))
            }
        }
        @if !hints.is_empty() {
            section.card { h2 { "To begin" } ul.hints { @for (text, href) in hints { li { a href=(href) { (text) } } } } }
        }
        div.grid {
            section.card aria-labelledby="now-slo" {
                h2 #now-slo { a href=(path::SLOS) { "Objectives" } }
                @if slos.is_empty() { (empty("No objectives are set.")) }
                ul.rows { @for slo in slos { (slo_line(slo)) } }
            }
            section.card aria-labelledby="now-oncall" {
                h2 #now-oncall { a href=(path::ONCALL) { "On call" } }
                @if on_call.is_empty() { (empty("No schedule is set: pages go to the administrator.")) }
                ul.rows { @for duty in on_call { (duty_line(chrome, duty)) } }
            }
            section.card aria-labelledby="now-watch" {
                h2 #now-watch { a href=(path::TARGETS) { "Watched" } }
                @if pools.is_empty() { (empty("No targets yet.")) }
                ul.rows { @for pool in pools { (pool_line(pool)) } }
                @if !found.is_empty() { p.quiet.found { "Found here: " (found.join(", ")) } }
            }
        }
    };
    layout::page(chrome, "now cases targets rules slos oncall", body)
}

fn headline(chrome: &Chrome, cases: &[CaseRow], quiet: &QuietDay) -> Markup {
    use crate::view::{CaseState, Urgency};
    let paging = cases
        .iter()
        .filter(|case| case.urgency == Urgency::Page)
        .count();
    let nobody = cases
        .iter()
        .filter(|case| case.urgency == Urgency::Page && case.state == CaseState::Triggered)
        .count();
    html! {
        @if cases.is_empty() {
            header.hero.good {
                h1 { "Nothing hurts." }
                p {
                    @if let Some(at) = quiet.last_evaluation { "Last looked " (ago(chrome, at)) "." }
                    @if let Some(at) = quiet.quiet_since { " Quiet since " (clock(chrome, at)) "." }
                }
            }
        } @else if paging == 0 {
            header.hero.warn {
                h1 { (count(cases.len(), "thing", "things")) " to look at." }
                p { "Tickets only: nobody needs to be woken." }
            }
        } @else {
            header.hero.bad {
                h1 { (count(paging, "thing hurts", "things hurt")) "." }
                p {
                    @if nobody == 0 { "Someone is on it." }
                    @else if nobody == paging { (shape(Tone::Bad)) " Nobody has taken it yet." }
                    @else { (shape(Tone::Bad)) " " (nobody) " not taken by anyone yet." }
                }
            }
        }
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    const WORDS: [&str; 10] = [
        "No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine",
    ];
    let word = if number == 1 { one } else { many };
    match WORDS.get(number) {
        Some(name) => format!("{name} {word}"),
        None => format!("{number} {word}"),
    }
}

fn quiet_day(chrome: &Chrome, quiet: &QuietDay) -> Markup {
    html! {
        section.card.day aria-label="The last 24 hours" {
            dl.figures {
                div { dt { "cases in 24 h" } dd { (quiet.cases) } }
                div { dt { "pages sent" } dd { (quiet.pages) } }
                div { dt { "fixed by a runbook" } dd { (quiet.resolved_by_runbook) } }
                div { dt { "rule evaluations" } dd { (format::count(quiet.evaluations)) } }
                div { dt { "samples" } dd { (format::value(quiet.samples as f64, format::Unit::None)) } }
            }
            @if let Some(at) = quiet.quiet_since {
                p.quiet { "The last case ended " (ago(chrome, at)) ". " a href={ (path::CASES) "?show=resolved" } { "See what it was" } }
            }
        }
    }
}

/// Context alerts, beside the case they may explain.
pub(crate) fn cause_list(chrome: &Chrome, causes: &[CauseView]) -> Markup {
    html! {
        ul.rows.causes-list {
            @for cause in causes {
                li {
                    div.row-head {
                        b { @if cause.href.is_empty() { (cause.title) } @else { a href=(cause.href) { (cause.title) } } }
                        @if let Some(at) = cause.since { span.quiet { "since " (clock(chrome, at)) " (" (crate::parts::lasting(chrome, at)) ")" } }
                    }
                    @if !cause.text.is_empty() { p { (cause.text) } }
                    (labels(&cause.labels))
                }
            }
        }
    }
}

fn slo_line(slo: &SloView) -> Markup {
    let tone = slo.tone();
    html! {
        li {
            div.row-head {
                b { a href={ (path::SLOS) "#" (path::encode(&slo.name)) } { (slo.name) } }
                (badge(tone, slo.word()))
            }
            @if let Some(left) = slo.budget_left { (bar(left, tone)) }
            p.quiet { "budget left: " (slo.budget())
                @if let Some(burn) = slo.fastest_burn() { " · burning " (format::plain(burn)) "×" } }
        }
    }
}

fn duty_line(chrome: &Chrome, duty: &OnDuty) -> Markup {
    html! {
        li {
            div.row-head {
                b { (duty.schedule) }
                @if duty.people.is_empty() { (badge(Tone::Bad, "nobody")) } @else { (people(&duty.people)) }
            }
            p.quiet {
                @if let Some(until) = duty.until { "until " (clock(chrome, until)) }
                @if let Some(next) = &duty.next { ", then " (next) }
            }
        }
    }
}

fn pool_line(pool: &PoolCount) -> Markup {
    html! {
        li {
            div.row-head {
                b { a href={ (path::TARGETS) "#" (path::encode(&pool.name)) } { (pool.name) } }
                @if pool.down > 0 { (badge(Tone::Bad, &format!("{} down", pool.down))) }
                @else if pool.up == 0 && pool.unknown > 0 { (badge(Tone::Quiet, "not seen yet")) }
                @else { (badge(Tone::Good, &format!("{} up", pool.up))) }
            }
            @if pool.down > 0 || (pool.unknown > 0 && pool.up > 0) { p.quiet { (pool.up) " up, " (pool.unknown) " not seen yet" } }
        }
    }
}
