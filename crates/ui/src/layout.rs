//! The frame around every page.

use maud::{DOCTYPE, Markup, html};

use crate::assets::link;
use crate::chrome::{Chrome, Nav, Theme};
use crate::parts::{form, icon, shape};
use crate::path;
use crate::view::Tone;

/// An entry of the menu: where, its name, its path, its icon, its key after `g`.
type Entry = (Nav, &'static str, &'static str, &'static str, &'static str);

const ENTRIES: [Entry; 11] = [
    (Nav::Now, "Now", path::NOW, "now", "n"),
    (Nav::Cases, "Cases", path::CASES, "cases", "c"),
    (Nav::Oncall, "On-call", path::ONCALL, "oncall", "o"),
    (Nav::Explore, "Explore", path::EXPLORE, "explore", "e"),
    (Nav::Silences, "Silences", path::SILENCES, "silences", "l"),
    (Nav::Targets, "Targets", path::TARGETS, "targets", "t"),
    (Nav::Rules, "Rules", path::RULES, "rules", "r"),
    (Nav::Slos, "SLOs", path::SLOS, "slos", "s"),
    (Nav::Runbooks, "Runbooks", path::RUNBOOKS, "runbooks", "b"),
    (Nav::Lab, "Lab", path::LAB, "lab", "x"),
    (Nav::Status, "Status", path::STATUS, "status", "i"),
];

/// What a phone shows at the bottom; the rest is under "More".
const TABS: usize = 4;

/// A whole page, or its changing part when the script asks for it. `topics` say what makes it stale.
pub(crate) fn page(chrome: &Chrome, topics: &str, body: Markup) -> String {
    let main = html! {
        main #main tabindex="-1" data-topics=(topics) data-now=(chrome.now.as_millisecond()) data-csrf=(chrome.csrf_token) {
            @for warning in &chrome.warnings {
                p.notice.warn role="status" { (shape(Tone::Warn)) span { (warning) " " a href=(path::STATUS) { "Status" } } }
            }
            @for notice in &chrome.notices {
                p class={ "notice " (notice.tone.class()) } role="status" data-once="" { (shape(notice.tone)) span { (notice.text) } }
            }
            (body)
        }
    };
    if chrome.fragment {
        return html! { title { (title(chrome)) } (menu(chrome)) (main) }.into_string();
    }
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme(chrome)] {
            (head(chrome))
            body.signed {
                a.skip href="#main" { "Skip to content" }
                (menu(chrome))
                (main)
                (tail())
            }
        }
    }
    .into_string()
}

/// A page for someone who is not signed in: no menu.
pub(crate) fn bare(chrome: &Chrome, body: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme(chrome)] {
            (head(chrome))
            body.bare {
                main #main tabindex="-1" {
                    p.brand.big { (logo()) "Bellwether" }
                    @for notice in &chrome.notices {
                        p class={ "notice " (notice.tone.class()) } role="alert" { (shape(notice.tone)) span { (notice.text) } }
                    }
                    (body)
                }
            }
        }
    }
    .into_string()
}

fn theme(chrome: &Chrome) -> Option<&'static str> {
    match chrome.theme {
        Theme::Auto => None,
        other => Some(other.as_str()),
    }
}

fn title(chrome: &Chrome) -> String {
    match chrome.counts.cases {
        0 => format!("{} · Bellwether", chrome.title),
        open => format!("({open}) {} · Bellwether", chrome.title),
    }
}

fn head(chrome: &Chrome) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            title { (title(chrome)) }
            meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="same-origin";
            link rel="stylesheet" href=(link("/assets/ui.css"));
            link rel="icon" type="image/svg+xml" href=(link("/assets/logo.svg"));
            link rel="manifest" href=(link("/assets/manifest.json"));
            script src=(link("/assets/ui.js")) defer {}
        }
    }
}

fn logo() -> Markup {
    html! { img.logo src=(link("/assets/logo.svg")) alt="" width="26" height="26"; }
}

fn menu(chrome: &Chrome) -> Markup {
    html! {
        nav #menu aria-label="Main" {
            a.brand href=(path::NOW) { (logo()) span { "Bellwether" } }
            ul.side {
                @for entry in ENTRIES { li { (item(chrome, entry, true)) } }
            }
            ul.tabs {
                @for entry in ENTRIES.into_iter().take(TABS) { li { (item(chrome, entry, false)) } }
                li {
                    details.more {
                        summary { (icon("more")) span { "More" } }
                        div.sheet {
                            @for entry in ENTRIES.into_iter().skip(TABS) { (item(chrome, entry, false)) }
                            (foot(chrome, "phone"))
                        }
                    }
                }
            }
            (foot(chrome, "desk"))
        }
    }
}

fn item(chrome: &Chrome, (nav, name, href, picture, key): Entry, keys: bool) -> Markup {
    let (count, tone) = match nav {
        Nav::Cases => (chrome.counts.cases, Tone::Bad),
        Nav::Targets => (chrome.counts.targets_down, Tone::Warn),
        Nav::Rules => (chrome.counts.rules_firing, Tone::Warn),
        _ => (0, Tone::Quiet),
    };
    html! {
        a href=(href) aria-current=[(chrome.active == nav).then_some("page")] data-go=[keys.then_some(key)] {
            (icon(picture)) span { (name) }
            @if count > 0 { b class={ "count " (tone.class()) } { (count) } }
        }
    }
}

fn foot(chrome: &Chrome, class: &str) -> Markup {
    html! {
        div class={ "foot " (class) } {
            p.live data-live="" { span.pulse {} span { "not live" } }
            @if let Some(user) = &chrome.user {
                p.me { (crate::parts::person(user)) }
            }
            (form(chrome, path::THEME, "theme", html! {
                select name="theme" aria-label="Colours" data-theme-choice="" {
                    @for theme in [Theme::Auto, Theme::Light, Theme::Dark] {
                        option value=(theme.as_str()) selected[theme == chrome.theme] {
                            @match theme { Theme::Auto => "as the device", Theme::Light => "light", Theme::Dark => "dark" }
                        }
                    }
                }
                button.small.nojs { "Set" }
            }))
            div.links {
                a href=(path::HELP) data-help="" { "Help" }
                @if chrome.user.is_none() { a href=(path::LOGIN) { "Sign in" } }
                @if chrome.user.is_some() {
                    (form(chrome, path::LOGOUT, "plain inline", html! { button.link { "Sign out" } }))
                }
            }
            p.version { "bellwether " (chrome.version) }
        }
    }
}

fn tail() -> Markup {
    html! {
        div #toast role="status" aria-live="polite" {}
        dialog #help aria-label="Keyboard" {
            (keys())
            form method="dialog" { button { "Close" } }
        }
    }
}

/// The table of keys, for the overlay and the help page.
pub(crate) fn keys() -> Markup {
    const KEYS: [(&str, &str); 9] = [
        ("j  k", "next, previous row"),
        ("o  Enter", "open the row"),
        ("a", "acknowledge the case"),
        ("r", "resolve the case"),
        ("c", "write a comment"),
        ("/", "to the search or query box"),
        ("Ctrl Enter", "send the box one is in"),
        ("?", "this list"),
        ("Esc", "leave the box, close the list"),
    ];
    html! {
        h2 { "Keyboard" }
        dl.keys {
            @for (key, what) in KEYS {
                dt { @for part in key.split("  ") { kbd { (part) } " " } }
                dd { (what) }
            }
            @for (_, name, _, _, key) in ENTRIES {
                dt { kbd { "g" } " " kbd { (key) } }
                dd { "to " (name) }
            }
        }
    }
}
