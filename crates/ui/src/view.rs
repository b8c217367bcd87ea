//! The vocabulary that several pages share.

use jiff::{SignedDuration, Timestamp};

/// How something is to be felt. Always shown with a shape and a word as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    Bad,
    Warn,
    Info,
    Good,
    Quiet,
}

/// What a case asks of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Someone is woken.
    Page,
    /// Someone looks in working hours.
    Ticket,
    /// For the record: a possible cause, not a symptom.
    Context,
}

/// How a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CaseState {
    /// Nobody has taken it.
    Triggered,
    Acknowledged,
    Snoozed,
    Resolved,
}

/// Whether a target or a part answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Down,
    /// Answers, but not as it should.
    Degraded,
    Unknown,
    Up,
}

/// State of an alert of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    Firing,
    /// True, but not for long enough.
    Pending,
    /// No longer true, held by `keep_firing_for`.
    KeepFiring,
    Inactive,
    Resolved,
    /// Not told: silenced or inhibited.
    Suppressed,
}

/// A person on duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDuty {
    pub schedule: String,
    /// Empty: nobody.
    pub people: Vec<String>,
    pub until: Option<Timestamp>,
    /// Who follows.
    pub next: Option<String>,
    /// Which layer or override says so.
    pub source: String,
}

/// How a run of a runbook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunState {
    Planned,
    Waiting,
    Running,
    Succeeded,
    Failed,
    Undone,
    Cancelled,
    /// A crash hid the outcome of a step: someone must look.
    Unknown,
    /// The condition cleared before a change was needed.
    NoLongerNeeded,
}

/// What a step does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// Reads only.
    Diagnose,
    Change,
    Verify,
    /// A person does it and says so.
    Manual,
    Undo,
    Note,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepState {
    NotRun,
    /// Waits for an approval or a confirmation.
    Waiting,
    Running,
    Succeeded,
    Failed,
    TimedOut,
    /// May have run: a crash hid its outcome.
    Unknown,
    Skipped,
    Undone,
}

/// A step of a runbook, with its latest run if there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct StepView {
    /// Unique within the page; also the anchor.
    pub id: String,
    pub title: String,
    pub kind: StepKind,
    /// Language of the body: `sh`, `promql`, `sql`, `http`.
    pub lang: String,
    pub body: String,
    /// Where it runs: `local`, `ssh:web-2`.
    pub target: String,
    pub state: StepState,
    pub started_at: Option<Timestamp>,
    pub took: Option<SignedDuration>,
    /// Who ran it: `ana`, `bellwether`.
    pub by: String,
    pub output: Option<Output>,
    /// What went wrong or what is waited for; empty if nothing.
    pub note: String,
    pub actions: Vec<StepAction>,
    /// `run/step` of the run whose output is being shown as it comes; empty otherwise.
    pub live: String,
}

/// What a step printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub text: String,
    /// Bytes left out between head and tail.
    pub truncated: u64,
    /// `exit 0`, `signal 9`; empty while it runs.
    pub exit: String,
}

/// A button of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepAction {
    /// `Run`, `Approve`, `Undo`.
    pub label: String,
    /// Where the form posts.
    pub path: String,
    /// Hidden fields.
    pub fields: Vec<(String, String)>,
    pub tone: Tone,
    /// Asked before it happens: a second tap.
    pub confirm: Option<String>,
    /// The person must type this (field `confirm`), for instance the number of targets.
    pub type_this: Option<String>,
    /// Why it cannot be used now; the button is shown disabled with it.
    pub disabled: Option<String>,
}

/// A block of rendered Markdown. Safe by construction: there is no raw HTML.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Level 1 to 6.
    Heading(u8, Vec<Inline>),
    Paragraph(Vec<Inline>),
    Code {
        lang: String,
        text: String,
    },
    List {
        /// First number of an ordered list.
        start: Option<u64>,
        items: Vec<Vec<Block>>,
    },
    Quote(Vec<Block>),
    Table {
        head: Vec<Vec<Inline>>,
        rows: Vec<Vec<Vec<Inline>>>,
    },
    Break,
    Step(Box<StepView>),
}

/// Inline Markdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inline {
    Text(String),
    Code(String),
    Emphasis(Vec<Inline>),
    Strong(Vec<Inline>),
    Strike(Vec<Inline>),
    Link { href: String, text: Vec<Inline> },
    LineBreak,
}

// === impl ===

impl Urgency {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Context => "context",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Page => Tone::Bad,
            Self::Ticket => Tone::Warn,
            Self::Context => Tone::Quiet,
        }
    }
}

impl CaseState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Triggered => "nobody has it",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Resolved => "resolved",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Triggered => Tone::Bad,
            Self::Acknowledged => Tone::Info,
            Self::Snoozed => Tone::Quiet,
            Self::Resolved => Tone::Good,
        }
    }
}

impl Health {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::Up => "up",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Down => Tone::Bad,
            Self::Degraded => Tone::Warn,
            Self::Unknown => Tone::Quiet,
            Self::Up => Tone::Good,
        }
    }
}

impl AlertState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::KeepFiring => "held",
            Self::Inactive => "inactive",
            Self::Resolved => "resolved",
            Self::Suppressed => "suppressed",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Firing => Tone::Bad,
            Self::Pending | Self::KeepFiring => Tone::Warn,
            Self::Inactive | Self::Suppressed => Tone::Quiet,
            Self::Resolved => Tone::Good,
        }
    }
}

impl RunState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Cancelled => "cancelled",
            Self::Unknown => "outcome unknown",
            Self::NoLongerNeeded => "no longer needed",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Planned | Self::Cancelled | Self::NoLongerNeeded => Tone::Quiet,
            Self::Waiting | Self::Undone => Tone::Warn,
            Self::Running => Tone::Info,
            Self::Succeeded => Tone::Good,
            Self::Failed | Self::Unknown => Tone::Bad,
        }
    }
}

impl StepKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Diagnose => "look",
            Self::Change => "change",
            Self::Verify => "verify",
            Self::Manual => "by hand",
            Self::Undo => "undo",
            Self::Note => "note",
        }
    }
}

impl StepState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NotRun => "not run",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Unknown => "outcome unknown",
            Self::Skipped => "skipped",
            Self::Undone => "undone",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::NotRun | Self::Skipped => Tone::Quiet,
            Self::Waiting | Self::Undone => Tone::Warn,
            Self::Running => Tone::Info,
            Self::Succeeded => Tone::Good,
            Self::Failed | Self::TimedOut | Self::Unknown => Tone::Bad,
        }
    }
}

impl Tone {
    /// The word used in class names.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Good => "good",
            Self::Quiet => "quiet",
        }
    }
}
