//! Cases: what is open, what was.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::chart::{Chart, sparkline};
use crate::chrome::Chrome;
use crate::parts::{ago, badge, clock, empty, form, heading, lasting, people, shape};
use crate::view::{CaseState, Urgency};
use crate::{format, layout, path};

/// The list of cases.
#[derive(Clone, Debug, Default)]
pub struct CasesPage {
    pub cases: Vec<CaseRow>,
    pub filter: CasesFilter,
    pub search: String,
    /// How many there are beyond those shown, and the address of the next page.
    pub more: Option<(usize, String)>,
    pub n_open: usize,
    pub n_resolved: usize,
    /// Whether the person may open a case by hand.
    pub may_open: bool,
}

/// Which cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CasesFilter {
    #[default]
    Open,
    Mine,
    Resolved,
    All,
}

/// A case in a list.
#[derive(Clone, Debug)]
pub struct CaseRow {
    pub id: String,
    /// Short code that people say aloud.
    pub code: String,
    pub title: String,
    /// One sentence: what users feel.
    pub summary: String,
    pub state: CaseState,
    pub urgency: Urgency,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// Who has it.
    pub owners: Vec<String>,
    /// Who is being told when nobody has it: `paged ana 40 s ago`.
    pub telling: String,
    pub n_alerts: usize,
    /// The symptom, small.
    pub spark: Option<Chart>,
    /// The latest value beside its limit: `1.84 s`, `limit 500 ms`.
    pub reading: Option<(String, String)>,
    /// How it ended: `runbook drain-replica`, `by itself`.
    pub ended_by: String,
    /// Whether the person may acknowledge it from here.
    pub may_ack: bool,
}

impl CasesFilter {
    /// Value of the query parameter `show`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Mine => "mine",
            Self::Resolved => "resolved",
            Self::All => "all",
        }
    }

    /// Reads the query parameter; anything unknown is `Open`.
    pub fn from_query(text: &str) -> Self {
        match text {
            "mine" => Self::Mine,
            "resolved" => Self::Resolved,
            "all" => Self::All,
            _ => Self::Open,
        }
    }
}

/// Renders the list of cases.
pub fn render_cases(chrome: &Chrome, page: &CasesPage) -> String {
    let filters = [
        (CasesFilter::Open, "Open", Some(page.n_open)),
        (CasesFilter::Mine, "Mine", None),
        (CasesFilter::Resolved, "Resolved", Some(page.n_resolved)),
        (CasesFilter::All, "All", None),
    ];
    let body = html! {
        (heading("Cases", html! {}))
        div.toolbar {
            ul.pills aria-label="Which cases" {
                @for (filter, name, count) in filters {
                    li { a href={ (path::CASES) "?show=" (filter.as_str()) } aria-current=[(filter == page.filter).then_some("true")] {
                        (name) @if let Some(count) = count { " " span.quiet { (count) } }
                    } }
                }
            }
            form.search method="get" action=(path::CASES) role="search" {
                input type="hidden" name="show" value=(page.filter.as_str());
                input type="search" name="q" value=(page.search) placeholder="Search titles and labels" aria-label="Search cases" data-search="";
            }
        }
        @if page.cases.is_empty() {
            (empty(match page.filter {
                CasesFilter::Open => "Nothing is open.",
                CasesFilter::Mine => "Nothing waits for you.",
                _ => "No case matches.",
            }))
        } @else {
            div.scroll { table.cases {
                thead { tr { th scope="col" { "State" } th scope="col" { "Case" } th scope="col" { "Who" } th scope="col" { "Since" } th scope="col" { "For" } } }
                tbody { @for case in &page.cases { (row(chrome, case)) } }
            } }
        }
        @if let Some((count, href)) = &page.more { p { a.button href=(href) { (count) " more" } } }
        @if page.may_open {
            details.card.confirm.wide {
                summary { "Open a case by hand…" }
                (form(chrome, path::CASE_OPEN, "stack", html! {
                    label { "What hurts" input name="title" required maxlength="200"; }
                    label { "Details" textarea name="text" rows="3" {} }
                    label { "Urgency" select name="urgency" { option value="page" { "page: wake the person on call" } option value="ticket" { "ticket: in working hours" } } }
                    button.caution { "Open it" }
                }))
            }
        }
    };
    layout::page(chrome, "cases", body)
}

fn row(chrome: &Chrome, case: &CaseRow) -> Markup {
    html! {
        tr data-row="" {
            td { (badge(case.urgency.tone(), case.urgency.word())) " " (badge(case.state.tone(), case.state.word())) }
            td.main { a href=(path::case(&case.id)) data-open="" { (case.title) } @if !case.summary.is_empty() { p.quiet { (case.summary) } } }
            td { (people(&case.owners)) @if case.owners.is_empty() { span.quiet { (case.telling) } } @if !case.ended_by.is_empty() { span.quiet { (case.ended_by) } } }
            td { (clock(chrome, case.opened_at)) }
            td.num {
                @if let Some(end) = case.resolved_at { (format::span(end.duration_since(case.opened_at))) }
                @else { (lasting(chrome, case.opened_at)) }
            }
        }
    }
}

/// A case as the first page shows it: large enough for a thumb.
pub(crate) fn case_card(chrome: &Chrome, case: &CaseRow) -> Markup {
    let tone = if case.state == CaseState::Triggered {
        case.urgency.tone()
    } else {
        case.state.tone()
    };
    html! {
        article class={ "case-card " (tone.class()) } data-row="" id={ "card-" (case.id) } {
            div.case-main {
                p.over { (badge(case.urgency.tone(), case.urgency.word())) " " (badge(case.state.tone(), case.state.word())) span.code { "#" (case.code) } }
                h2 { a href=(path::case(&case.id)) data-open="" { (case.title) } }
                @if !case.summary.is_empty() { p.summary { (case.summary) } }
                p.meta {
                    span { "for " b { (lasting(chrome, case.opened_at)) } }
                    span { "since " (clock(chrome, case.opened_at)) }
                    @if case.n_alerts > 1 { span { (case.n_alerts) " alerts" } }
                }
                p.who {
                    @if case.owners.is_empty() { (shape(case.state.tone())) " " (case.telling) }
                    @else { (people(&case.owners)) "has it" }
                }
            }
            @if let Some(spark) = &case.spark {
                div.case-spark {
                    @if let Some((value, limit)) = &case.reading { p.reading { b { (value) } " " span.quiet { (limit) } } }
                    (sparkline(spark))
                    p.quiet { "from " (ago(chrome, spark.from)) }
                }
            }
            div.case-actions {
                @if case.may_ack {
                    (form(chrome, &path::case_action(&case.id, "ack"), "act", html! { button.primary.big data-key="a" { "Acknowledge" } }))
                }
                a.button.big href=(path::case(&case.id)) { "Open" }
            }
        }
    }
}
