//! Runbooks and their runs.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::chrome::Chrome;
use crate::parts::{
    ago, badge, blocks, button, clock, empty, form, heading, labels, lasting, step,
};
use crate::view::{Block, RunState, StepAction, StepView, Tone};
use crate::{format, layout, path};

/// All runbooks.
#[derive(Clone, Debug, Default)]
pub struct RunbooksPage {
    pub runbooks: Vec<RunbookRow>,
    pub runs: Vec<RunRow>,
    /// Faults of files: place and message.
    pub problems: Vec<String>,
}

/// A runbook in the list.
#[derive(Clone, Debug)]
pub struct RunbookRow {
    pub id: String,
    pub title: String,
    /// `document`, `parameterised`, `guarded`, `automatic`.
    pub rung: String,
    pub owner: String,
    pub alerts: Vec<String>,
    pub last_run: Option<Timestamp>,
    pub last_verified: Option<Timestamp>,
    pub n_runs: u32,
    pub n_succeeded: u32,
}

/// A run in a list.
#[derive(Clone, Debug)]
pub struct RunRow {
    pub id: String,
    pub code: String,
    pub runbook: String,
    pub state: RunState,
    pub by: String,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Case: identity and title.
    pub case: Option<(String, String)>,
}

/// A runbook.
#[derive(Clone, Debug)]
pub struct RunbookPage {
    pub row: RunbookRow,
    pub file: String,
    pub hash: String,
    /// Name, type, default.
    pub inputs: Vec<(String, String, String)>,
    pub blocks: Vec<Block>,
    pub actions: Vec<StepAction>,
    /// Parts that the person may start without a case: the word of the part, and the button's text.
    pub start: Vec<(String, String)>,
    pub runs: Vec<RunRow>,
    pub problems: Vec<String>,
}

/// A run.
#[derive(Clone, Debug)]
pub struct RunPage {
    pub row: RunRow,
    pub runbook_id: String,
    pub inputs: Vec<(String, String)>,
    pub steps: Vec<StepView>,
    /// Approve, cancel, undo.
    pub actions: Vec<StepAction>,
    /// What it waits for or why it ended; empty if nothing.
    pub note: String,
    /// Digest that an approval is bound to.
    pub plan: String,
    /// The journal: when, what.
    pub journal: Vec<(Timestamp, String)>,
}

/// Renders the list of runbooks.
pub fn render_runbooks(chrome: &Chrome, page: &RunbooksPage) -> String {
    let body = html! {
        (heading("Runbooks", html! { "What to do, and how often it worked." }))
        @for problem in &page.problems { p.notice.warn { (crate::parts::shape(Tone::Warn)) span { (problem) } } }
        section.card {
            @if page.runbooks.is_empty() { (empty("No runbooks are loaded. Point `runbooks:` at a folder of Markdown files.")) }
            @else {
                div.toolbar { input type="search" placeholder="Filter" aria-label="Filter runbooks" data-filter="tr[data-row]" data-search=""; }
                div.scroll { table {
                    thead { tr { th scope="col" { "Runbook" } th scope="col" { "Rung" } th scope="col" { "Owner" } th scope="col" { "Verified" } th.num scope="col" { "Worked" } } }
                    tbody { @for row in &page.runbooks { tr data-row="" {
                        td.main { a href=(path::runbook(&row.id)) data-open="" { (row.title) } @if !row.alerts.is_empty() { p.quiet { "for " (row.alerts.join(", ")) } } }
                        td { (row.rung) }
                        td { (row.owner) }
                        td data-k="verified" { @match row.last_verified { Some(at) => (ago(chrome, at)), None => span.quiet { "never" } } }
                        td.num data-k="worked" { @if row.n_runs == 0 { span.quiet { "not run" } } @else { (row.n_succeeded) " of " (row.n_runs) } }
                    } } }
                } }
            }
        }
        @if !page.runs.is_empty() { section.card { h2 { "Runs" } (run_table(chrome, &page.runs)) } }
    };
    layout::page(chrome, "runs", body)
}

pub(super) fn run_table(chrome: &Chrome, runs: &[RunRow]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "State" } th scope="col" { "Run" } th scope="col" { "Started" } th.num scope="col" { "Took" } th scope="col" { "By" } } }
            tbody { @for run in runs { tr data-row="" {
                td { (badge(run.state.tone(), run.state.word())) }
                td.main { a href=(path::run(&run.id)) data-open="" { (run.runbook) } @if let Some((id, title)) = &run.case { p.quiet { "for " a href=(path::case(id)) { (title) } } } }
                td { (clock(chrome, run.started_at)) }
                td.num { (run_length(chrome, run)) }
                td { (run.by) }
            } } }
        } }
    }
}

fn run_length(chrome: &Chrome, run: &RunRow) -> Markup {
    match run.ended_at {
        Some(end) => html! { (format::took(end.duration_since(run.started_at))) },
        None => lasting(chrome, run.started_at),
    }
}

/// Renders a runbook.
pub fn render_runbook(chrome: &Chrome, page: &RunbookPage) -> String {
    let row = &page.row;
    let body = html! {
        (heading(&row.title, html! { (badge(Tone::Info, &row.rung)) @if !row.owner.is_empty() { " owned by " (row.owner) } }))
        @for problem in &page.problems { p.notice.warn { (crate::parts::shape(Tone::Warn)) span { (problem) } } }
        dl.figures {
            div { dt { "worked" } dd { @if row.n_runs == 0 { "not run yet" } @else { (row.n_succeeded) " of " (row.n_runs) } } }
            div { dt { "verified" } dd { @match row.last_verified { Some(at) => (ago(chrome, at)), None => "never" } } }
            @if !row.alerts.is_empty() { div { dt { "for" } dd { (row.alerts.join(", ")) } } }
        }
        @if !page.inputs.is_empty() {
            section.card { h2 { "Inputs" } div.scroll { table.small { thead { tr { th scope="col" { "Name" } th scope="col" { "Type" } th scope="col" { "Default" } } }
                tbody { @for (name, kind, default) in &page.inputs { tr { td { code { (name) } } td { (kind) } td { (default) } } } } } } }
        }
        @if !page.actions.is_empty() { div.actions { @for action in &page.actions { (button(chrome, action)) } } }
        section.card.runbook { (blocks(chrome, &page.blocks)) }
        @if !page.start.is_empty() { (start_form(chrome, page)) }
        @if !page.runs.is_empty() { section.card { h2 { "Runs" } (run_table(chrome, &page.runs)) } }
        p.quiet.small-print { (page.file) @if !page.hash.is_empty() { " · " (page.hash) } }
    };
    layout::page(chrome, "runs", body)
}

/// Starts a run without a case: inputs that are left empty are found as the runbook says.
fn start_form(chrome: &Chrome, page: &RunbookPage) -> Markup {
    html! {
        section.card #start {
            h2 { "Run it without a case" }
            (form(chrome, &path::runbook_action(&page.row.id, "start"), "fields", html! {
                @for (name, kind, default) in &page.inputs {
                    label { (name) input name={ "input." (name) } maxlength="400" autocomplete="off" placeholder=(if default.is_empty() { kind } else { default }); }
                }
                @for (part, text) in &page.start { button name="part" value=(part) { (text) } }
            }))
            p.quiet { "What changes something waits for your approval on the next page." }
        }
    }
}

/// Renders a run.
pub fn render_run(chrome: &Chrome, page: &RunPage) -> String {
    let run = &page.row;
    let body = html! {
        (heading(&run.runbook, html! { (badge(run.state.tone(), run.state.word())) " run " span.code { "#" (run.code) } " by " (run.by) }))
        @if !page.note.is_empty() { p class={ "notice " (run.state.tone().class()) } role="status" { (crate::parts::shape(run.state.tone())) span { (page.note) } } }
        dl.figures {
            div { dt { "started" } dd { (clock(chrome, run.started_at)) } }
            div { dt { @if run.ended_at.is_some() { "took" } @else { "running for" } } dd { (run_length(chrome, run)) } }
            @if let Some((id, title)) = &run.case { div { dt { "case" } dd { a href=(path::case(id)) { (title) } } } }
            div { dt { "runbook" } dd { a href=(path::runbook(&page.runbook_id)) { "read it" } } }
        }
        (labels(&page.inputs))
        @if !page.actions.is_empty() { div.actions.run-actions { @for action in &page.actions { (button(chrome, action)) } } }
        ol.steps aria-live="polite" { @for view in &page.steps { li { (step(chrome, view)) } } }
        @if !page.journal.is_empty() {
            details.card.fold { summary { h2 { "Journal" } } ol.journal { @for (at, text) in &page.journal { li { span.when { (clock(chrome, *at)) } " " (text) } } } }
        }
        @if !page.plan.is_empty() { p.quiet.small-print { "plan " (page.plan) } }
    };
    layout::page(chrome, &format!("run:{} runs", run.id), body)
}
