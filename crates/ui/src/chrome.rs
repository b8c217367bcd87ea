//! What surrounds every page: who looks, where, when, and what is new.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::view::Tone;

/// The frame of a page.
#[derive(Clone, Debug)]
pub struct Chrome {
    /// Shown in the window's title; the pages set their own heading.
    pub title: String,
    pub active: Nav,
    /// Name of the person signed in.
    pub user: Option<String>,
    /// Goes into every form as `csrf`.
    pub csrf_token: String,
    pub counts: Counts,
    /// Version of the program, shown small.
    pub version: String,
    pub theme: Theme,
    /// The time of this rendering; relative times count from it.
    pub now: Timestamp,
    /// Zone in which times are shown.
    pub zone: TimeZone,
    /// Send `<main>` alone (header `X-Fragment: 1`).
    pub fragment: bool,
    /// What the last form did, shown on top.
    pub notices: Vec<Notice>,
    /// What is wrong with the program itself (configuration problems, no way to page): shown on every page.
    pub warnings: Vec<String>,
}

/// Numbers beside the menu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open cases.
    pub cases: usize,
    /// Open cases waiting for the person signed in.
    pub mine: usize,
    pub targets_down: usize,
    pub rules_firing: usize,
}

/// One line about what just happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub tone: Tone,
    pub text: String,
}

/// The entries of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nav {
    Now,
    Cases,
    Oncall,
    Silences,
    Targets,
    Explore,
    Rules,
    Slos,
    Runbooks,
    Lab,
    Status,
    /// A page outside the menu (help, sign-in, errors).
    Other,
}

/// Light, dark, or as the device says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
}

// === impl ===

impl Theme {
    /// Reads the value of the cookie; anything unknown is `Auto`.
    pub fn from_cookie(value: &str) -> Self {
        match value {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }

    /// The value of the cookie.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Chrome {
    /// A frame with nothing special, in UTC.
    pub fn new(title: &str, active: Nav, now: Timestamp) -> Self {
        Self {
            title: title.to_owned(),
            active,
            user: None,
            csrf_token: String::new(),
            counts: Counts::default(),
            version: String::new(),
            theme: Theme::Auto,
            now,
            zone: TimeZone::UTC,
            fragment: false,
            notices: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
