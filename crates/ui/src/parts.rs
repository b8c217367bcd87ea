//! Pieces that pages share.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, PreEscaped, html};

use crate::assets::link;
use crate::chrome::Chrome;
use crate::format;
use crate::view::{Block, Inline, Output, StepAction, StepKind, StepState, StepView, Tone};

/// A form that changes something: always a POST with the token.
pub(crate) fn form(chrome: &Chrome, action: &str, class: &str, body: Markup) -> Markup {
    html! {
        form method="post" action=(action) class=(class) {
            input type="hidden" name="csrf" value=(chrome.csrf_token);
            (body)
        }
    }
}

/// A picture of the sprite; decoration only, the word stands beside it.
pub(crate) fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" width="20" height="20" { use href={ (link("/assets/icons.svg")) "#" (name) } {} } }
}

/// The shape that goes with a tone, so that colour is never alone.
pub(crate) fn shape(tone: Tone) -> Markup {
    let path = match tone {
        // An octagon, a triangle, a half-filled ring, a tick, a dash.
        Tone::Bad => "M3.8 0h4.4L12 3.8v4.4L8.2 12H3.8L0 8.2V3.8z",
        Tone::Warn => "M6 .6 12 11.6H0z",
        Tone::Info => "M6 .5a5.5 5.5 0 1 1 0 11zM6 .5a5.5 5.5 0 0 0 0 11v-1.4a4.1 4.1 0 0 1 0-8.2z",
        Tone::Good => "M1.2 6.6 2.8 5l2 2 4.6-5L11 3.6 4.8 10.2z",
        Tone::Quiet => "M1 5h10v2H1z",
    };
    PreEscaped(format!(
        "<svg class=\"shape {}\" viewBox=\"0 0 12 12\" width=\"11\" height=\"11\" aria-hidden=\"true\"><path d=\"{path}\"/></svg>",
        tone.class()
    ))
}

/// A state: colour, shape and word.
pub(crate) fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (shape(tone)) (word) } }
}

/// `3 min ago`, kept current by the script.
pub(crate) fn ago(chrome: &Chrome, at: Timestamp) -> Markup {
    moment(chrome, at, "ago", &format::relative(chrome.now, at))
}

/// How long since then: `12 min`.
pub(crate) fn lasting(chrome: &Chrome, at: Timestamp) -> Markup {
    moment(
        chrome,
        at,
        "for",
        &format::span(chrome.now.duration_since(at)),
    )
}

/// The clock: `22:14`, `Sat 22:14`.
pub(crate) fn clock(chrome: &Chrome, at: Timestamp) -> Markup {
    moment(chrome, at, "", &format::brief(&chrome.zone, chrome.now, at))
}

fn moment(chrome: &Chrome, at: Timestamp, kind: &str, text: &str) -> Markup {
    html! {
        time datetime=(at) data-rel=[(!kind.is_empty()).then_some(kind)]
            title=(format::stamp(&chrome.zone, chrome.now, at)) { (text) }
    }
}

/// A person: initials in their own colour, and the name.
pub(crate) fn person(name: &str) -> Markup {
    let initials: String = name
        .split([' ', '.', '-', '_', '@'])
        .filter_map(|part| part.chars().next())
        .take(2)
        .flat_map(char::to_uppercase)
        .collect();
    html! { span.person { span class={ "face p" (colour(name)) } aria-hidden="true" { (initials) } span.name { (name) } } }
}

/// The same colour for the same name, everywhere.
pub(crate) fn colour(name: &str) -> u32 {
    name.bytes().fold(7u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    }) % 8
}

/// Several people in a row.
pub(crate) fn people(names: &[String]) -> Markup {
    html! { @for name in names { (person(name)) " " } }
}

/// Labels as chips.
pub(crate) fn labels(pairs: &[(String, String)]) -> Markup {
    html! {
        @if !pairs.is_empty() {
            ul.labels { @for (name, value) in pairs { li { span.k { (name) } span.v { (value) } } } }
        }
    }
}

/// What is shown instead of an empty table.
pub(crate) fn empty(text: &str) -> Markup {
    html! { p.empty { (text) } }
}

/// A measure from 0 to 1 as a bar.
pub(crate) fn bar(ratio: f64, tone: Tone) -> Markup {
    let width = format!("{:.1}%", ratio.clamp(0.0, 1.0) * 100.0);
    html! {
        svg class={ "bar " (tone.class()) } width="100%" height="8" aria-hidden="true" {
            rect.rail width="100%" height="8" rx="4" {}
            rect.fill width=(width) height="8" rx="4" {}
        }
    }
}

/// How long something took.
pub(crate) fn took(duration: SignedDuration) -> String {
    format::took(duration)
}

/// The heading of a page with what stands beside it.
pub(crate) fn heading(title: &str, lead: Markup) -> Markup {
    html! { header.page { h1 { (title) } div.lead { (lead) } } }
}

/// A step of a runbook with its output and buttons.
pub(crate) fn step(chrome: &Chrome, step: &StepView) -> Markup {
    let change = matches!(step.kind, StepKind::Change | StepKind::Undo);
    html! {
        section class={ "step " (step.state.tone().class()) @if change { " change" } } id=(step.id) {
            header {
                span class={ "kind " @if change { "warn" } @else { "quiet" } } { (step.kind.word()) }
                h4 { (step.title) }
                @if step.state != StepState::NotRun { (badge(step.state.tone(), step.state.word())) }
            }
            @if !step.body.is_empty() {
                pre.code data-lang=(step.lang) tabindex="0" { code { (step.body) } }
            }
            p.meta {
                @if !step.target.is_empty() { span { "on " b { (step.target) } } }
                @if let Some(at) = step.started_at {
                    @if step.state == StepState::Running { span { "running for " (lasting(chrome, at)) } }
                    @else { span { (ago(chrome, at)) } }
                }
                @if let Some(length) = step.took { span { "took " (took(length)) } }
                @if !step.by.is_empty() { span { "by " (step.by) } }
            }
            @if !step.note.is_empty() { p.note { (step.note) } }
            @if let Some(out) = &step.output { (output(out, &step.live)) }
            @if !step.actions.is_empty() { div.actions { @for action in &step.actions { (button(chrome, action)) } } }
        }
    }
}

/// What a command printed.
fn output(output: &Output, live: &str) -> Markup {
    html! {
        div.output {
            pre tabindex="0" aria-label="output" data-out=[(!live.is_empty()).then_some(live)] { (output.text) }
            p.meta {
                @if !output.exit.is_empty() { span { (output.exit) } }
                @if output.truncated > 0 { span { (format::value(output.truncated as f64, format::Unit::Bytes)) " left out" } }
            }
        }
    }
}

/// A button of a step; one that changes something takes a second tap, with or without script.
pub(crate) fn button(chrome: &Chrome, action: &StepAction) -> Markup {
    let class = match action.tone {
        Tone::Bad => "danger",
        Tone::Warn => "caution",
        Tone::Quiet => "",
        Tone::Info | Tone::Good => "primary",
    };
    if let Some(reason) = &action.disabled {
        return html! { button class=(class) disabled title=(reason) { (action.label) } span.reason { (reason) } };
    }
    let fields = html! { @for (name, value) in &action.fields { input type="hidden" name=(name) value=(value); } };
    if action.confirm.is_none() && action.type_this.is_none() {
        return form(
            chrome,
            &action.path,
            "act",
            html! { (fields) button class=(class) { (action.label) } },
        );
    }
    html! {
        details.confirm {
            summary class={ "button " (class) } { (action.label) "…" }
            (form(chrome, &action.path, "act", html! {
                (fields)
                @if let Some(question) = &action.confirm { p { (question) } }
                @if let Some(text) = &action.type_this {
                    label { "Type " b { (text) } " to go on" input name="confirm" required autocomplete="off" inputmode="text" size="12"; }
                }
                button class=(class) { "Yes, " (lower_first(&action.label)) }
            }))
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

/// Rendered Markdown.
pub(crate) fn blocks(chrome: &Chrome, list: &[Block]) -> Markup {
    html! { @for block in list { (one_block(chrome, block)) } }
}

fn one_block(chrome: &Chrome, block: &Block) -> Markup {
    match block {
        Block::Heading(level, text) => match level {
            // The page's own heading is the first level.
            1 | 2 => html! { h3 { (inlines(text)) } },
            3 => html! { h4 { (inlines(text)) } },
            _ => html! { h5 { (inlines(text)) } },
        },
        Block::Paragraph(text) => html! { p { (inlines(text)) } },
        Block::Code { lang, text } => {
            html! { pre.code data-lang=(lang) tabindex="0" { code { (text) } } }
        }
        Block::List { start, items } => {
            let items = html! { @for item in items { li { (blocks(chrome, item)) } } };
            match start {
                Some(first) => html! { ol start=(first) { (items) } },
                None => html! { ul { (items) } },
            }
        }
        Block::Quote(inner) => html! { blockquote { (blocks(chrome, inner)) } },
        Block::Table { head, rows } => html! {
            div.scroll { table {
                thead { tr { @for cell in head { th scope="col" { (inlines(cell)) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (inlines(cell)) } } } } }
            } }
        },
        Block::Break => html! { hr; },
        Block::Step(view) => step(chrome, view),
    }
}

fn inlines(list: &[Inline]) -> Markup {
    html! {
        @for inline in list {
            @match inline {
                Inline::Text(text) => { (text) }
                Inline::Code(text) => { code { (text) } }
                Inline::Emphasis(inner) => { em { (inlines(inner)) } }
                Inline::Strong(inner) => { strong { (inlines(inner)) } }
                Inline::Strike(inner) => { s { (inlines(inner)) } }
                Inline::LineBreak => { br; }
                Inline::Link { href, text } => { (anchor(href, inlines(text))) }
            }
        }
    }
}

/// A link to an address that came from outside: only web and mail addresses and paths of this server become links.
pub(crate) fn anchor(href: &str, text: Markup) -> Markup {
    let lower = href.trim().to_ascii_lowercase();
    let outside = lower.starts_with("https://") || lower.starts_with("http://");
    let inside = (href.starts_with('/') && !href.starts_with("//") && !href.starts_with("/\\"))
        || href.starts_with('#');
    if outside {
        html! { a href=(href.trim()) rel="noopener noreferrer" target="_blank" { (text) } }
    } else if inside || lower.starts_with("mailto:") {
        html! { a href=(href.trim()) { (text) } }
    } else {
        html! { (text) }
    }
}
