//! Case: everything needed to decide, and the buttons to act, in the order one needs them at night.

use jiff::Timestamp;
use maud::{Markup, html};

use super::now::cause_list;
use super::runbooks::{RunRow, run_table};
use crate::chart::{Chart, chart};
use crate::chrome::Chrome;
use crate::parts::{
    ago, anchor, badge, blocks, button, clock, form, labels, lasting, people, shape, step,
};
use crate::view::{AlertState, Block, CaseState, StepAction, StepView, Tone, Urgency};
use crate::{format, layout, path};

/// One case.
#[derive(Clone, Debug)]
pub struct CasePage {
    pub facts: CaseFacts,
    pub chart: Option<Chart>,
    /// Expression of the symptom; links to the explorer.
    pub expr: String,
    /// What the diagnosis steps saw.
    pub diagnosis: Vec<StepView>,
    /// Context alerts that may explain it.
    pub causes: Vec<CauseView>,
    pub alerts: Vec<AlertView>,
    /// Identity and title of the runbook.
    pub runbook: Option<(String, String)>,
    /// Buttons for the runbook as a whole: run the fix, approve, undo.
    pub runbook_actions: Vec<StepAction>,
    /// What the buttons would do, or why they cannot; empty if there is nothing to say.
    pub runbook_note: String,
    /// Runs for this case, newest first.
    pub runs: Vec<RunRow>,
    /// The runbook's text with its steps.
    pub runbook_blocks: Vec<Block>,
    pub timeline: Vec<EventView>,
    pub deliveries: Vec<DeliveryView>,
    /// Why this paged, stage by stage.
    pub why: Vec<WhyView>,
}

/// The head of a case, and what the person may do.
#[derive(Clone, Debug)]
pub struct CaseFacts {
    pub id: String,
    pub code: String,
    pub title: String,
    pub summary: String,
    pub description: String,
    pub state: CaseState,
    pub urgency: Urgency,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub ended_by: String,
    pub owners: Vec<String>,
    pub acked_at: Option<Timestamp>,
    /// When the acknowledgement or the snooze ends and people are told again.
    pub held_until: Option<Timestamp>,
    /// What happens next if nobody does anything.
    pub next: Option<NextStep>,
    pub told: Vec<NotifiedView>,
    /// Labels all its alerts share.
    pub labels: Vec<(String, String)>,
    pub may_ack: bool,
    /// Whether it is theirs to give back.
    pub may_unack: bool,
    pub may_resolve: bool,
    pub may_snooze: bool,
    pub may_escalate: bool,
    pub may_comment: bool,
    /// Sent with `escalate`, so that a late tap cannot skip a step twice.
    pub escalate_as_of: String,
}

/// What is due.
#[derive(Clone, Debug)]
pub struct NextStep {
    pub at: Timestamp,
    /// `pages bo (step 2 of 2)`.
    pub text: String,
}

/// A person who was told.
#[derive(Clone, Debug)]
pub struct NotifiedView {
    pub who: String,
    pub channel: String,
    /// `delivered`, `failed`.
    pub word: String,
    pub tone: Tone,
    pub at: Timestamp,
}

/// A context alert.
#[derive(Clone, Debug, Default)]
pub struct CauseView {
    pub title: String,
    pub text: String,
    pub since: Option<Timestamp>,
    pub labels: Vec<(String, String)>,
    /// Its page; empty if none.
    pub href: String,
}

/// An alert of the case.
#[derive(Clone, Debug)]
pub struct AlertView {
    pub name: String,
    pub state: AlertState,
    pub since: Timestamp,
    pub ended: Option<Timestamp>,
    pub value: String,
    pub summary: String,
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    /// Page of the rule, or the sender's own address.
    pub href: String,
    /// `silenced by 3f…`, `inhibited by …`; empty if told.
    pub suppressed: String,
}

/// An entry of the timeline.
#[derive(Clone, Debug)]
pub struct EventView {
    pub at: Timestamp,
    /// Stable word: `case_opened`, `page_sent`.
    pub kind: String,
    pub actor: String,
    pub text: String,
    pub tone: Tone,
    /// More, folded; empty if none.
    pub detail: String,
}

/// A message to a person and how far it got.
#[derive(Clone, Debug)]
pub struct DeliveryView {
    pub at: Timestamp,
    pub to: String,
    pub channel: String,
    pub state: String,
    pub tone: Tone,
    /// `read`, `delivered`; empty if unknown.
    pub receipt: String,
    pub attempts: u32,
    pub error: String,
    pub next_at: Option<Timestamp>,
}

/// One stage on the way from the sample to the page.
#[derive(Clone, Debug)]
pub struct WhyView {
    /// `rule`, `route`, `group`, `silences`, `schedule`, `escalation`, `delivery`.
    pub stage: String,
    pub text: String,
    pub href: String,
}

/// Renders a case.
pub fn render_case(chrome: &Chrome, page: &CasePage) -> String {
    let CasePage {
        facts,
        chart: graph,
        expr,
        diagnosis,
        causes,
        alerts,
        runbook,
        runbook_blocks,
        timeline,
        deliveries,
        why,
        runbook_actions,
        runbook_note,
        runs,
    } = page;
    let body = html! {
        article.case {
            (head(chrome, facts))
            (actions(chrome, facts, runbook_actions.first()))
            div.case-columns {
                div.case-left {
                    @if let Some(graph) = graph {
                        section.card aria-label="The symptom" {
                            (chart(chrome, graph))
                            @if !expr.is_empty() { p.expr { a href=(path::explore(expr)) title="Open in Explore" { code { (expr) } } } }
                        }
                    }
                    @if !diagnosis.is_empty() {
                        section.card #diagnosis { h2 { "What it looks like" } @for view in diagnosis { (step(chrome, view)) } }
                    }
                    @if !causes.is_empty() {
                        section.card #causes { h2 { "Possible causes" } (cause_list(chrome, causes)) }
                    }
                    @if let Some((id, title)) = runbook {
                        section.card.runbook #runbook {
                            h2 { "Runbook: " a href=(path::runbook(id)) { (title) } }
                            @if !runs.is_empty() { (run_table(chrome, runs)) }
                            @if !runbook_note.is_empty() { p.note { (runbook_note) } }
                            @if !runbook_actions.is_empty() { div.actions { @for action in runbook_actions { (button(chrome, action)) } } }
                            (blocks(chrome, runbook_blocks))
                        }
                    }
                    section.card #alerts {
                        h2 { "Alerts " span.quiet { (alerts.len()) } }
                        ul.rows { @for alert in alerts { (alert_row(chrome, alert)) } }
                    }
                }
                div.case-right {
                    section.card #timeline { h2 { "Timeline" } (timeline_list(chrome, facts, timeline)) }
                    @if !deliveries.is_empty() { section.card #deliveries { h2 { "Who was told" } (delivery_table(chrome, deliveries)) } }
                    @if !why.is_empty() {
                        details.card.why { summary { h2 { "Why was I paged?" } }
                            ol.why-list { @for stage in why { li { b { (stage.stage) } " " @if stage.href.is_empty() { (stage.text) } @else { a href=(stage.href) { (stage.text) } } } } }
                        }
                    }
                }
            }
        }
    };
    layout::page(chrome, &format!("case:{} runs rules", facts.id), body)
}

fn head(chrome: &Chrome, facts: &CaseFacts) -> Markup {
    let tone = if facts.state == CaseState::Triggered {
        facts.urgency.tone()
    } else {
        facts.state.tone()
    };
    html! {
        header class={ "case-head " (tone.class()) } {
            p.over { (badge(facts.urgency.tone(), facts.urgency.word())) " " (badge(facts.state.tone(), facts.state.word())) span.code { "#" (facts.code) } }
            h1 { (facts.title) }
            @if !facts.summary.is_empty() { p.summary { (facts.summary) } }
            @if !facts.description.is_empty() { p.description { (facts.description) } }
            dl.facts {
                div { dt { "since" } dd { (clock(chrome, facts.opened_at)) } }
                div {
                    @if let Some(end) = facts.resolved_at {
                        dt { "lasted" } dd { (format::span(end.duration_since(facts.opened_at))) }
                    } @else {
                        dt { "for" } dd { (lasting(chrome, facts.opened_at)) }
                    }
                }
                div { dt { "who has it" } dd { @if facts.owners.is_empty() && facts.resolved_at.is_some() { "nobody took it" } @else if facts.owners.is_empty() { span.bad-text { "nobody yet" } } @else { (people(&facts.owners)) } } }
                @if let (Some(end), false) = (facts.resolved_at, facts.ended_by.is_empty()) { div { dt { "ended" } dd { (clock(chrome, end)) ", " (facts.ended_by) } } }
                @if let Some(at) = facts.held_until { div { dt { @if facts.state == CaseState::Snoozed { "snoozed until" } @else { "asks again" } } dd { (countdown(chrome, at)) } } }
            }
            @if !facts.told.is_empty() {
                ul.told aria-label="Told" { @for told in &facts.told { li { (shape(told.tone)) " " (told.who) " " span.quiet { (told.channel) " " (told.word) " " (ago(chrome, told.at)) } } } }
            }
            @if let Some(next) = &facts.next {
                p.next { "Next, " b { (countdown(chrome, next.at)) } ": " (next.text) }
            }
            (labels(&facts.labels))
        }
    }
}

fn countdown(chrome: &Chrome, at: Timestamp) -> Markup {
    html! { time.countdown datetime=(at) data-rel="until" title=(format::stamp(&chrome.zone, chrome.now, at)) { (format::relative(chrome.now, at)) } }
}

/// The big buttons; the fix is among them while it can be run.
fn actions(chrome: &Chrome, facts: &CaseFacts, fix: Option<&StepAction>) -> Markup {
    let CaseFacts {
        id,
        may_ack,
        may_unack,
        may_resolve,
        may_snooze,
        may_escalate,
        ..
    } = facts;
    if !(*may_ack || *may_resolve || *may_snooze || *may_escalate) {
        return html! {};
    }
    html! {
        div.case-buttons role="group" aria-label="What to do" {
            @if *may_ack {
                (form(chrome, &path::case_action(id, "ack"), "act", html! { button.primary.big data-key="a" { @if facts.state == CaseState::Acknowledged { "Take it over" } @else { "Acknowledge" } } }))
            }
            @if let Some(fix) = fix.filter(|fix| fix.disabled.is_none()) { (button(chrome, fix)) }
            @if *may_unack {
                (form(chrome, &path::case_action(id, "unack"), "act", html! { button.big { "Give it back" } }))
            }
            @if *may_resolve {
                (form(chrome, &path::case_action(id, "resolve"), "act", html! { button.big data-key="r" data-ask="Resolve this case?" { "Resolve" } }))
            }
            @if *may_snooze {
                (form(chrome, &path::case_action(id, "snooze"), "act with-select", html! {
                    select name="for" aria-label="Snooze for" { option value="30m" { "30 min" } option value="1h" selected { "1 h" } option value="4h" { "4 h" } option value="12h" { "12 h" } option value="1d" { "1 day" } }
                    button.big { "Snooze" }
                }))
            }
            @if *may_escalate {
                (form(chrome, &path::case_action(id, "escalate"), "act", html! {
                    input type="hidden" name="as_of" value=(facts.escalate_as_of);
                    button.big data-ask="Page the next step now?" { "Escalate" }
                }))
            }
        }
    }
}

fn alert_row(chrome: &Chrome, alert: &AlertView) -> Markup {
    html! {
        li {
            div.row-head {
                b { @if alert.href.is_empty() { (alert.name) } @else { (anchor(&alert.href, html! { (alert.name) })) } }
                (badge(alert.state.tone(), alert.state.word()))
                @if !alert.value.is_empty() { span.num { (alert.value) } }
                span.quiet {
                    "since " (clock(chrome, alert.since))
                    @if let Some(end) = alert.ended { " until " (clock(chrome, end)) }
                }
            }
            @if !alert.summary.is_empty() { p { (alert.summary) } }
            @if !alert.suppressed.is_empty() { p.quiet { (alert.suppressed) } }
            (labels(&alert.labels))
            @if !alert.annotations.is_empty() {
                details.fold { summary { "Annotations" } dl.pairs { @for (name, text) in &alert.annotations { dt { (name) } dd { (anchor(text, html! { (text) })) } } } }
            }
        }
    }
}

fn timeline_list(chrome: &Chrome, facts: &CaseFacts, timeline: &[EventView]) -> Markup {
    html! {
        @if facts.may_comment {
            (form(chrome, &path::case_action(&facts.id, "comment"), "comment", html! {
                textarea name="text" rows="2" required maxlength="4000" placeholder="Say what you see or did" aria-label="Comment" data-comment="" {}
                button { "Add" }
            }))
        }
        ol.timeline {
            @for event in timeline.iter().rev() {
                li class=(event.tone.class()) {
                    span.when { (clock(chrome, event.at)) }
                    div {
                        p { (event.text) }
                        p.quiet { (event.actor) " · " (event.kind.replace('_', " ")) }
                        @if !event.detail.is_empty() { details.fold { summary { "Details" } pre tabindex="0" { (event.detail) } } }
                    }
                }
            }
        }
    }
}

fn delivery_table(chrome: &Chrome, deliveries: &[DeliveryView]) -> Markup {
    html! {
        div.scroll { table.small {
            thead { tr { th scope="col" { "When" } th scope="col" { "To" } th scope="col" { "State" } th scope="col" { "Tries" } } }
            tbody { @for delivery in deliveries { tr {
                td { (clock(chrome, delivery.at)) }
                td { (delivery.to) br; span.quiet { (delivery.channel) } }
                td {
                    (badge(delivery.tone, &delivery.state))
                    @if !delivery.receipt.is_empty() { " " span.quiet { (delivery.receipt) } }
                    @if !delivery.error.is_empty() { p.bad-text { (delivery.error) } }
                    @if let Some(at) = delivery.next_at { p.quiet { "again " (countdown(chrome, at)) } }
                }
                td.num { (delivery.attempts) }
            } } }
        } }
    }
}
