//! Rules: what is judged, how it stands, and when it was last looked at.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::chart::{Chart, chart};
use crate::chrome::Chrome;
use crate::parts::{ago, anchor, badge, clock, empty, heading, labels, lasting, took};
use crate::view::{AlertState, Health, Tone};
use crate::{layout, path};

/// All groups.
#[derive(Clone, Debug, Default)]
pub struct RulesPage {
    pub groups: Vec<RuleGroupView>,
    /// Show only rules that fire, wait or fail.
    pub only_active: bool,
}

/// A group of rules, evaluated in order.
#[derive(Clone, Debug)]
pub struct RuleGroupView {
    pub name: String,
    /// File, or `built in`.
    pub source: String,
    pub interval: SignedDuration,
    pub last_at: Option<Timestamp>,
    pub took: Option<SignedDuration>,
    pub rules: Vec<RuleView>,
}

/// Alerting or recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    Alert,
    Record,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleView {
    pub name: String,
    pub kind: RuleKind,
    pub expr: String,
    /// `5m`; empty if none.
    pub hold: String,
    pub state: AlertState,
    pub health: Health,
    pub error: String,
    pub last_at: Option<Timestamp>,
    pub took: Option<SignedDuration>,
    /// Samples that the last evaluation read; `None` before the first.
    pub samples: Option<u64>,
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    pub alerts: Vec<ActiveAlert>,
    /// State over the last day, oldest first.
    pub history: Vec<StateSpan>,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug)]
pub struct ActiveAlert {
    pub state: AlertState,
    pub since: Timestamp,
    pub value: String,
    pub labels: Vec<(String, String)>,
}

/// A stretch of time in one state.
#[derive(Clone, Debug)]
pub struct StateSpan {
    pub from: Timestamp,
    pub to: Timestamp,
    pub state: AlertState,
}

/// One rule with its graph.
#[derive(Clone, Debug)]
pub struct RulePage {
    pub group: String,
    pub source: String,
    pub rule: RuleView,
    pub chart: Option<Chart>,
    /// Open case: identity and title.
    pub case: Option<(String, String)>,
    pub runbook: Option<(String, String)>,
}

/// Renders all groups.
pub fn render_rules(chrome: &Chrome, page: &RulesPage) -> String {
    let rules = || page.groups.iter().flat_map(|group| &group.rules);
    let firing = rules()
        .filter(|rule| rule.state == AlertState::Firing)
        .count();
    let failing = rules().filter(|rule| rule.health == Health::Down).count();
    let body = html! {
        (heading("Rules", html! {
            (rules().count()) " rules in " (page.groups.len()) " groups, " (firing) " firing"
            @if failing > 0 { ", " b.bad-text { (failing) " cannot be evaluated" } }
        }))
        div.toolbar {
            ul.pills aria-label="Which rules" {
                li { a href=(path::RULES) aria-current=[(!page.only_active).then_some("true")] { "All" } }
                li { a href={ (path::RULES) "?show=active" } aria-current=[page.only_active.then_some("true")] { "Active" } }
            }
            a.button href=(path::BACKTEST) { "Backtest" }
            input type="search" placeholder="Filter by name or expression" aria-label="Filter rules" data-filter="tr[data-row]" data-search="";
        }
        @if page.groups.is_empty() { (empty("No rules are loaded.")) }
        @for group in &page.groups { (group_section(chrome, group, page.only_active)) }
    };
    layout::page(chrome, "rules", body)
}

fn group_section(chrome: &Chrome, group: &RuleGroupView, only_active: bool) -> Markup {
    let active = |rule: &&RuleView| {
        !only_active
            || !rule.alerts.is_empty()
            || rule.health == Health::Down
            || rule.state == AlertState::Firing
    };
    if only_active && !group.rules.iter().any(|rule| active(&rule)) {
        return html! {};
    }
    let timed = group.rules.iter().any(|rule| rule.took.is_some());
    html! {
        section.card {
            div.row-head {
                h2 { (group.name) }
                span.quiet { (group.source) ", every " (took(group.interval))
                    @if let Some(at) = group.last_at { ", evaluated " (ago(chrome, at)) }
                    @if let Some(length) = group.took { " in " (took(length)) }
                }
            }
            div.scroll { table.rules {
                thead { tr { th scope="col" { "State" } th scope="col" { "Rule" } th scope="col" { "Last day" } th.num scope="col" { "Reads" } @if timed { th.num scope="col" { "Took" } } } }
                tbody { @for rule in group.rules.iter().filter(active) { (rule_row(chrome, &group.name, rule, timed)) } }
            } }
        }
    }
}

fn state_badge(rule: &RuleView) -> Markup {
    if rule.health == Health::Down {
        badge(Tone::Bad, "error")
    } else if rule.kind == RuleKind::Record {
        badge(Tone::Quiet, "records")
    } else {
        badge(rule.state.tone(), rule.state.word())
    }
}

fn rule_row(chrome: &Chrome, group: &str, rule: &RuleView, timed: bool) -> Markup {
    html! {
        tr data-row="" {
            td { (state_badge(rule)) }
            td.main {
                a href=(path::rule(group, &rule.name)) data-open="" { (rule.name) }
                @if !rule.hold.is_empty() { " " span.quiet { "for " (rule.hold) } }
                p.expr { code { (rule.expr) } }
                @if !rule.error.is_empty() { p.bad-text { (rule.error) } }
                @if !rule.alerts.is_empty() { p.quiet { (rule.alerts.len()) " active" } }
            }
            td.history { @if !rule.history.is_empty() { (strip(chrome, &rule.history)) } }
            td.num data-k="samples read" { @if let Some(samples) = rule.samples { (crate::format::plain(samples as f64)) } }
            @if timed { td.num data-k="took" { @if let Some(length) = rule.took { (took(length)) } } }
        }
    }
}

/// States over time as one strip.
fn strip(chrome: &Chrome, history: &[StateSpan]) -> Markup {
    let (Some(first), Some(last)) = (history.first(), history.last()) else {
        return html! {};
    };
    let (from, length) = (
        first.from.as_millisecond(),
        (last.to.as_millisecond() - first.from.as_millisecond()).max(1) as f64,
    );
    html! {
        svg.strip width="100%" height="14" role="img" aria-label="State over time" {
            @for span in history {
                @let x = (span.from.as_millisecond() - from) as f64 / length * 100.0;
                @let width = (span.to.as_millisecond() - span.from.as_millisecond()) as f64 / length * 100.0;
                rect class=(span.state.tone().class()) x={ (format!("{x:.2}")) "%" } width={ (format!("{:.2}", width.max(0.4))) "%" } height="14" {
                    title { (span.state.word()) " from " (crate::format::brief(&chrome.zone, chrome.now, span.from)) " to " (crate::format::brief(&chrome.zone, chrome.now, span.to)) }
                }
            }
        }
    }
}

/// Renders one rule.
pub fn render_rule(chrome: &Chrome, page: &RulePage) -> String {
    let rule = &page.rule;
    let body = html! {
        (heading(&rule.name, html! { (state_badge(rule)) " in " (page.group) ", " (page.source) }))
        @if let Some((id, title)) = &page.case { p { "Open case: " a href=(path::case(id)) { (title) } } }
        @if !rule.error.is_empty() { p.notice.bad role="alert" { (crate::parts::shape(Tone::Bad)) span { (rule.error) } } }
        section.card {
            @if let Some(graph) = &page.chart { (chart(chrome, graph)) }
            p.expr { a href=(path::explore(&rule.expr)) title="Open in Explore" { code { (rule.expr) } } }
            dl.figures {
                @if !rule.hold.is_empty() { div { dt { "must hold for" } dd { (rule.hold) } } }
                @if let Some(at) = rule.last_at { div { dt { "evaluated" } dd { (ago(chrome, at)) } } }
                @if let Some(length) = rule.took { div { dt { "took" } dd { (took(length)) } } }
                @if let Some(samples) = rule.samples { div { dt { "samples read" } dd { (crate::format::plain(samples as f64)) } } }
                @if let Some((id, title)) = &page.runbook { div { dt { "runbook" } dd { a href=(path::runbook(id)) { (title) } } } }
            }
            (labels(&rule.labels))
            @if rule.kind == RuleKind::Alert { p { a.button href=(path::backtest(&page.group, &rule.name)) { "Backtest a change" } } }
            @if !rule.history.is_empty() { h3 { "The last day" } (strip(chrome, &rule.history)) }
        }
        @if rule.kind == RuleKind::Alert {
            section.card {
                h2 { "Active alerts " span.quiet { (rule.alerts.len()) } }
                @if rule.alerts.is_empty() { (empty("None.")) }
                ul.rows { @for alert in &rule.alerts { li {
                    div.row-head { (badge(alert.state.tone(), alert.state.word())) span.num { (alert.value) } span.quiet { "since " (clock(chrome, alert.since)) " (" (lasting(chrome, alert.since)) ")" } }
                    (labels(&alert.labels))
                } } }
            }
        }
        @if !rule.annotations.is_empty() {
            section.card { h2 { "Annotations" } dl.pairs { @for (name, text) in &rule.annotations { dt { (name) } dd { (anchor(text, html! { (text) })) } } } }
        }
    };
    layout::page(chrome, "rules", body)
}
