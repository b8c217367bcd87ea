//! Status: how the program itself is.

use jiff::Timestamp;
use maud::html;

use crate::chrome::Chrome;
use crate::parts::{ago, badge, empty, heading};
use crate::view::{Health, Tone};
use crate::{format, layout};

/// The program's own state.
#[derive(Clone, Debug, Default)]
pub struct StatusPage {
    pub started_at: Option<Timestamp>,
    pub problems: Vec<ProblemView>,
    pub channels: Vec<ChannelHealth>,
    /// Build, store, series, judge, invariants, ...
    pub sections: Vec<StatusSection>,
    /// The loaded configuration with secrets hidden; empty if none.
    pub config: String,
}

/// Facts that belong together.
#[derive(Clone, Debug)]
pub struct StatusSection {
    pub title: String,
    pub facts: Vec<StatusFact>,
}

/// A fact.
#[derive(Clone, Debug)]
pub struct StatusFact {
    pub name: String,
    pub value: String,
    /// `Quiet`: no judgement.
    pub tone: Tone,
}

/// A fault of the configuration, or of a part of the program.
#[derive(Clone, Debug)]
pub struct ProblemView {
    pub tone: Tone,
    /// `bellwether.yml:12:3`; empty if it has no place.
    pub place: String,
    pub text: String,
    pub hint: String,
}

/// How a channel delivers.
#[derive(Clone, Debug)]
pub struct ChannelHealth {
    pub name: String,
    pub health: Health,
    pub last_ok: Option<Timestamp>,
    pub n_sent: u64,
    pub n_failed: u64,
    pub n_waiting: u64,
    pub error: String,
}

/// Renders the program's own state.
pub fn render_status(chrome: &Chrome, page: &StatusPage) -> String {
    let body = html! {
        (heading("Status", html! { "bellwether " (chrome.version) @if let Some(at) = page.started_at { ", started " (ago(chrome, at)) } }))
        section.card {
            h2 { "Problems" }
            @if page.problems.is_empty() { p { (badge(Tone::Good, "none known")) } }
            ul.rows { @for problem in &page.problems { li {
                div.row-head { (badge(problem.tone, match problem.tone { Tone::Bad => "error", Tone::Warn => "warning", _ => "note" })) @if !problem.place.is_empty() { code { (problem.place) } } }
                p { (problem.text) }
                @if !problem.hint.is_empty() { p.quiet { "Hint: " (problem.hint) } }
            } } }
        }
        section.card {
            h2 { "Ways to reach people" }
            @if page.channels.is_empty() { (empty("No channel is configured.")) }
            @else { div.scroll { table {
                thead { tr { th scope="col" { "State" } th scope="col" { "Channel" } th scope="col" { "Last success" } th.num scope="col" { "Sent" } th.num scope="col" { "Failed" } th.num scope="col" { "Waiting" } } }
                tbody { @for channel in &page.channels { tr {
                    td { (badge(channel.health.tone(), channel.health.word())) }
                    td.main { (channel.name) @if !channel.error.is_empty() { p.bad-text { (channel.error) } } }
                    td data-k="last success" { @match channel.last_ok { Some(at) => (ago(chrome, at)), None => span.quiet { "never" } } }
                    td.num data-k="sent" { (format::count(channel.n_sent)) } td.num data-k="failed" { (format::count(channel.n_failed)) } td.num data-k="waiting" { (format::count(channel.n_waiting)) }
                } } }
            } } }
        }
        div.grid {
            @for section in &page.sections {
                section.card { h2 { (section.title) }
                    dl.pairs { @for fact in &section.facts { dt { (fact.name) } dd { @if fact.tone == Tone::Quiet { (fact.value) } @else { (badge(fact.tone, &fact.value)) } } } }
                }
            }
        }
        @if !page.config.is_empty() { details.card.fold { summary { h2 { "Configuration in force" } } pre.code tabindex="0" { code { (page.config) } } } }
    };
    layout::page(chrome, "status", body)
}
