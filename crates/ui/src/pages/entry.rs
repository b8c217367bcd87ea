//! The pages at the door: sign in, set up, errors, help.

use maud::html;

use crate::chrome::Chrome;
use crate::parts::{form, heading};
use crate::{layout, path};

/// Sign in.
#[derive(Clone, Debug, Default)]
pub struct LoginPage {
    /// Why the last attempt failed; says nothing about which part was wrong.
    pub error: String,
    pub name: String,
    /// Path to go to afterwards.
    pub next: String,
}

/// First start: sets the administrator.
#[derive(Clone, Debug, Default)]
pub struct SetupPage {
    /// From the one-time link.
    pub ticket: String,
    pub error: String,
    pub name: String,
    /// Fewest letters of a password.
    pub password_min: usize,
}

/// A signed link that acknowledges: opening it shows this, the button does it.
#[derive(Clone, Debug, Default)]
pub struct AckPage {
    pub case_id: String,
    pub title: String,
    pub person: String,
    /// Where the button posts: the signed path itself.
    pub action: String,
    /// Whether it has been done.
    pub done: bool,
}

/// Something went wrong, said helpfully.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    pub status: u16,
    /// `No such case`.
    pub title: String,
    pub text: String,
    /// What to do: text and address.
    pub links: Vec<(String, String)>,
    /// Finds the log line.
    pub request_id: String,
}

/// Renders the sign-in page.
pub fn render_login(chrome: &Chrome, page: &LoginPage) -> String {
    let body = html! {
        section.card.door {
            h1 { "Sign in" }
            @if !page.error.is_empty() { p.notice.bad role="alert" { (crate::parts::shape(crate::view::Tone::Bad)) span { (page.error) } } }
            (form(chrome, path::LOGIN, "stack", html! {
                input type="hidden" name="next" value=(page.next);
                label { "Name" input name="name" value=(page.name) autocomplete="username" autocapitalize="off" required autofocus; }
                label { "Password" input type="password" name="password" autocomplete="current-password" required; }
                button.primary.big { "Sign in" }
            }))
        }
    };
    layout::bare(chrome, body)
}

/// Renders the set-up page.
pub fn render_setup(chrome: &Chrome, page: &SetupPage) -> String {
    let body = html! {
        section.card.door {
            h1 { "Welcome" }
            p { "You are the first here. Choose a name and a password: you will be the administrator, and on call until a schedule says otherwise." }
            @if !page.error.is_empty() { p.notice.bad role="alert" { (crate::parts::shape(crate::view::Tone::Bad)) span { (page.error) } } }
            (form(chrome, path::SETUP, "stack", html! {
                input type="hidden" name="ticket" value=(page.ticket);
                label { "Name" input name="name" value=(page.name) autocomplete="username" autocapitalize="off" required maxlength="64" autofocus; }
                label { "Password" input type="password" name="password" autocomplete="new-password" required minlength=(page.password_min); span.quiet { "at least " (page.password_min) " letters" } }
                label { "Once more" input type="password" name="password2" autocomplete="new-password" required minlength=(page.password_min); }
                button.primary.big { "Set up" }
            }))
        }
    };
    layout::bare(chrome, body)
}

/// Renders the page behind a signed link.
pub fn render_ack(chrome: &Chrome, page: &AckPage) -> String {
    let body = html! {
        section.card.door {
            @if page.done {
                h1 { "It is yours." }
                p { b { (page.person) } " has “" (page.title) "”. Nobody else is told while you have it." }
            } @else {
                h1 { (page.title) }
                p { "Take this case as " b { (page.person) } "?" }
                // No token: the path itself is signed.
                form.stack method="post" action=(page.action) { button.primary.big { "Acknowledge" } }
            }
            p.small-print { a href=(path::case(&page.case_id)) { "Open the case" } }
        }
    };
    layout::bare(chrome, body)
}

/// Renders an error. Without a person signed in the menu is left out.
pub fn render_error(chrome: &Chrome, page: &ErrorPage) -> String {
    let body = html! {
        section.card.door {
            p.quiet { "Error " (page.status) }
            h1 { (page.title) }
            p { (page.text) }
            ul.hints { @for (text, href) in &page.links { li { a href=(href) { (text) } } } }
            @if !page.request_id.is_empty() { p.quiet.small-print { "request " (page.request_id) } }
        }
    };
    if chrome.user.is_some() {
        layout::page(chrome, "", body)
    } else {
        layout::bare(chrome, body)
    }
}

/// Renders the help page (the overlay shows the same keys).
pub fn render_help(chrome: &Chrome) -> String {
    const WORDS: [(&str, &str); 9] = [
        (
            "alert",
            "What a rule found: a set of labels that is true now.",
        ),
        (
            "case",
            "What people handle: one or more alerts that belong together.",
        ),
        ("page", "One attempt to reach a person about a case."),
        ("symptom", "Something users feel. Symptoms page."),
        (
            "cause",
            "Something that may explain a symptom. Causes are context: shown, not paged.",
        ),
        (
            "acknowledge",
            "“I have it”: nobody else is told while you do.",
        ),
        (
            "resolve",
            "It is over. Cases also resolve by themselves when their alerts end.",
        ),
        (
            "run",
            "A runbook being carried out, with a journal and, where possible, an undo.",
        ),
        (
            "objective (SLO)",
            "What share of events must be good, and so how much may fail.",
        ),
    ];
    let body = html! {
        (heading("Help", html! {}))
        div.grid {
            section.card { (layout::keys()) }
            section.card { h2 { "Words" } dl.words { @for (word, meaning) in WORDS { dt { (word) } dd { (meaning) } } } }
        }
    };
    layout::page(chrome, "", body)
}
