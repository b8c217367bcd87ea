//! Silences: what is not told of, until when, and what a new one would hide.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::chrome::Chrome;
use crate::parts::{badge, clock, empty, form, heading, labels};
use crate::view::Tone;
use crate::{format, layout, path};

/// All silences, and the one that is being made.
#[derive(Clone, Debug)]
pub struct SilencesPage {
    /// Active and pending ones, then those that have ended.
    pub silences: Vec<SilenceRow>,
    /// Where the person may make one.
    pub form: Option<SilenceForm>,
}

/// A silence.
#[derive(Clone, Debug)]
pub struct SilenceRow {
    pub id: String,
    /// As Alertmanager writes them: `{service="shop"}`.
    pub matchers: Vec<String>,
    pub state: SilenceWord,
    pub from: Timestamp,
    pub to: Timestamp,
    pub by: String,
    pub comment: String,
    /// Alerts that it hides now.
    pub hides: usize,
    pub may_end: bool,
}

/// Where a silence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilenceWord {
    Pending,
    Active,
    Expired,
}

/// A silence before it is saved.
#[derive(Clone, Debug, Default)]
pub struct SilenceForm {
    pub matchers: String,
    /// `2h`.
    pub lasts: String,
    pub comment: String,
    /// Why it cannot be saved as it is.
    pub problem: Option<String>,
    /// What it would hide; `None` before it was asked for.
    pub preview: Option<Preview>,
}

/// What a silence would hide now.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    pub alerts: Vec<PreviewAlert>,
    /// All that match; `alerts` may be fewer.
    pub total: usize,
    pub ends: Option<Timestamp>,
}

/// An alert that would be hidden.
#[derive(Clone, Debug)]
pub struct PreviewAlert {
    pub labels: Vec<(String, String)>,
    pub since: Timestamp,
    /// Open cases whose pages would be held back: id and title.
    pub cases: Vec<(String, String)>,
    /// Hidden already.
    pub suppressed: bool,
}

/// Renders all silences.
pub fn render_silences(chrome: &Chrome, page: &SilencesPage) -> String {
    let body = html! {
        (heading("Silences", html! { "What matches is not told of and pages nobody; it is still judged and shown." }))
        @if let Some(choices) = &page.form { (new_silence(chrome, choices)) }
        section.card {
            h2 { "In force" }
            @if !page.silences.iter().any(|one| one.state != SilenceWord::Expired) { (empty("Nothing is silenced.")) }
            (rows(chrome, page, false))
        }
        @if page.silences.iter().any(|one| one.state == SilenceWord::Expired) {
            details.fold { summary { h2 { "Ended" } } (rows(chrome, page, true)) }
        }
    };
    layout::page(chrome, "silences alerts", body)
}

fn rows(chrome: &Chrome, page: &SilencesPage, ended: bool) -> Markup {
    let wanted = |one: &&SilenceRow| (one.state == SilenceWord::Expired) == ended;
    html! {
        ul.rows.silences { @for one in page.silences.iter().filter(wanted) { li {
            div {
                p { @for set in &one.matchers { code { (set) } " " } (state(one)) }
                p.quiet {
                    @match one.state {
                        SilenceWord::Expired => { "ended " (clock(chrome, one.to)) }
                        SilenceWord::Pending => { "from " (clock(chrome, one.from)) " to " (clock(chrome, one.to)) }
                        SilenceWord::Active => { "until " (clock(chrome, one.to)) " (" time datetime=(one.to) data-rel="until" { (format::relative(chrome.now, one.to)) } ")" }
                    }
                    ", by " (one.by) @if !one.comment.is_empty() { ": " (one.comment) }
                }
                @if !ended { p.quiet { (alerts(one.hides)) " hidden now" } }
                @if one.may_end {
                    (form(chrome, path::SILENCE_END, "act inline", html! { input type="hidden" name="id" value=(one.id); button.small { "End it" } }))
                }
            }
        } } }
    }
}

fn alerts(count: usize) -> String {
    match count {
        1 => "1 alert".to_owned(),
        n => format!("{n} alerts"),
    }
}

fn state(one: &SilenceRow) -> Markup {
    match one.state {
        SilenceWord::Active => badge(Tone::Warn, "active"),
        SilenceWord::Pending => badge(Tone::Info, "pending"),
        SilenceWord::Expired => badge(Tone::Quiet, "ended"),
    }
}

fn new_silence(chrome: &Chrome, choices: &SilenceForm) -> Markup {
    let fields = |first: bool| {
        html! {
            label.wide { "Matchers" input name="matchers" value=(choices.matchers) required maxlength="2000" autocapitalize="none" autocomplete="off" spellcheck="false" placeholder="service=\"shop\", severity=~\"page|ticket\"" aria-describedby=[first.then_some("matchers-help")]; }
            label { "For" input name="for" value=(choices.lasts) required maxlength="20" placeholder="2h"; }
            label { "Why" input name="comment" value=(choices.comment) maxlength="500" placeholder="change, ticket"; }
        }
    };
    html! {
        section.card #silence {
            h2 { "Silence something" }
            form.fields method="get" action=(path::SILENCES) {
                (fields(true))
                p.quiet.wide #matchers-help { "As in Alertmanager: all of them must match." }
                button.primary { "Show what it hides" }
            }
            @if let Some(problem) = &choices.problem { p.bad-text role="alert" { (crate::parts::shape(Tone::Bad)) " " (problem) } }
            @if let Some(preview) = &choices.preview { (show_preview(chrome, choices, preview)) }
        }
    }
}

fn show_preview(chrome: &Chrome, choices: &SilenceForm, preview: &Preview) -> Markup {
    html! {
        div #preview role="status" {
            h3 { @if preview.total == 0 { "It hides nothing now" } @else { "It hides " (alerts(preview.total)) " now" } }
            ul.rows { @for alert in &preview.alerts { li { div {
                p { (labels(&alert.labels)) @if alert.suppressed { " " (badge(Tone::Quiet, "hidden already")) } }
                p.quiet { "since " (clock(chrome, alert.since))
                    @for (id, title) in &alert.cases { ", holds back " a href=(path::case(id)) { (title) } } }
            } } } }
            @if preview.alerts.len() < preview.total { p.quiet { "and " (preview.total - preview.alerts.len()) " more" } }
            @if let Some(ends) = preview.ends { p { "It would end " b { (clock(chrome, ends)) } "." } }
            (form(chrome, path::SILENCE_ADD, "act", html! {
                input type="hidden" name="matchers" value=(choices.matchers);
                input type="hidden" name="for" value=(choices.lasts);
                input type="hidden" name="comment" value=(choices.comment);
                button.primary { "Save the silence" }
            }))
        }
    }
}
