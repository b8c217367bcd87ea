//! One part of a page with its inputs resolved: exactly what would run, and the digest that is approved.

mod inputs;
mod resolve;
mod substitute;
mod targets;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::{Labels, Problem, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::runbook::{Capture, Effect, Runbook, WhenLocked};

pub use inputs::input_queries;
pub use targets::{NativeWanted, dry_run, native_wanted};
pub(crate) use words::kubectl_reads;

/// Which steps of a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The read-only steps of its diagnosis sections.
    Diagnosis,
    /// The steps of its fix sections, then the checks of its verify sections.
    Fix,
    /// One step by its id.
    Step(String),
}

/// What is known when a plan is made. A value given by name wins over every other source.
#[derive(Clone, Debug, Default)]
pub struct GivenInputs {
    pub values: BTreeMap<String, String>,
    pub labels: LabelSet,
    pub annotations: LabelSet,
    /// Answers to [`input_queries`], by input: the samples of the instant vector, in its order.
    pub queried: BTreeMap<String, Vec<(Labels, f64)>>,
    /// Answers to [`native_wanted`], by planned step's id.
    pub native: BTreeMap<String, NativePlan>,
}

/// Labels that default to none.
#[derive(Clone, Debug)]
pub struct LabelSet(pub Labels);

impl Default for LabelSet {
    fn default() -> Self {
        Self(Labels::empty())
    }
}

impl From<Labels> for LabelSet {
    fn from(labels: Labels) -> Self {
        Self(labels)
    }
}

/// A query whose answer fills an input; ask it, put the samples into [`GivenInputs::queried`], then plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputQuery {
    pub input: String,
    pub query: String,
}

/// What a planned step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    Shell {
        lang: String,
        /// The body as written, with `{{x}}` as a quoted reference to an environment variable.
        body: String,
        env: BTreeMap<String, String>,
        /// Environment variable to reference of a secret.
        secrets: BTreeMap<String, String>,
    },
    Promql {
        query: String,
    },
    /// Nothing but the step's verify query.
    Check,
    Http {
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        body: String,
    },
    Sql {
        body: String,
        params: Vec<String>,
    },
    Manual {
        text: String,
    },
    /// A program and its arguments; no shell.
    Program {
        words: Vec<String>,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        input: String,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    },
    /// A message to a chat room.
    Chat {
        text: String,
    },
}

/// What a program's own dry run says it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativePlan {
    /// For people.
    pub summary: String,
    /// Things that would be destroyed: more than none needs another person's approval.
    pub destroys: u32,
    /// Whether nothing would change.
    pub empty: bool,
    /// SHA-256 of what would change, in a canonical form.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// File that holds the plan, when the program can carry out a saved one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Whether the dry run may be wrong (`--check`, `--why-run`).
    pub advisory: bool,
}

/// A verify query, ready to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedVerify {
    pub query: String,
    pub within_ms: u64,
}

/// A step, ready to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub id: String,
    pub title: String,
    /// Content hash of the step in the page.
    pub hash: String,
    pub line: u32,
    pub effect: Effect,
    pub target: String,
    pub action: Action,
    pub timeout_ms: u64,
    pub grace_ms: u64,
    pub retries: u32,
    pub idempotent: bool,
    pub ok: Vec<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<PlannedVerify>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Box<PlannedStep>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Box<PlannedStep>>,
    /// Another person must approve this very step.
    pub approve: bool,
    /// Somebody must confirm this very step.
    pub confirm: bool,
    /// Steps of one wave are the same step on several targets; they may run together, and the next wave waits for
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
    /// Pause before its wave.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pause_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<NativePlan>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Limits with their templates filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLimits {
    /// Lock to hold while changing; `None` for a plan that only reads.
    pub lock: Option<String>,
    /// So many runs in so many milliseconds.
    pub runs: Option<(u32, u64)>,
    pub cooldown_ms: Option<u64>,
    pub deadline_ms: Option<u64>,
    pub max_targets: Option<u32>,
    #[serde(default)]
    pub when_locked: WhenLocked,
}

/// Who must approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedApproval {
    pub by: String,
    pub ttl_ms: u64,
    pub other_person: bool,
}

/// What would run. Approval is of its [`digest`](Self::digest).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub runbook: String,
    pub file: String,
    pub title: String,
    pub runbook_hash: String,
    pub part: Part,
    /// Resolved inputs; secrets as references.
    pub inputs: BTreeMap<String, String>,
    pub steps: Vec<PlannedStep>,
    /// Steps of the page's undo section that belong to no single step; run after the steps' own undos.
    pub undo: Vec<PlannedStep>,
    pub limits: PlannedLimits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<PlannedApproval>,
    /// SHA-256 over everything above in canonical JSON.
    pub digest: String,
    pub planned_at: Timestamp,
    /// Why automation must keep away now: too much is unhealthy, or nobody can see. Not part of the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub braked: Option<String>,
    /// Why it cannot run (errors) or what to know first (warnings, notes).
    #[serde(skip)]
    pub problems: Vec<Problem>,
}

/// Resolves one part of a page. Always gives a plan to look at; it may run only when [`Plan::runnable`].
pub fn plan(runbook: &Runbook, given: &GivenInputs, part: &Part, now: Timestamp) -> Plan {
    resolve::plan(runbook, given, part, now)
}

// === impl Part ===

impl Part {
    /// In words: `diagnosis`, `fix`, `step drain`.
    pub fn describe(&self) -> String {
        match self {
            Self::Diagnosis => "diagnosis".to_owned(),
            Self::Fix => "fix".to_owned(),
            Self::Step(id) => format!("step {id}"),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// Whether nothing stands against running it.
    pub fn runnable(&self) -> bool {
        !self.steps.is_empty()
            && self
                .problems
                .iter()
                .all(|problem| problem.severity != Severity::Error)
    }

    /// Whether any step changes something.
    pub fn changes(&self) -> bool {
        self.steps.iter().any(|step| step.effect == Effect::Change)
    }

    /// Targets that its change steps touch.
    pub fn targets(&self) -> std::collections::BTreeSet<&str> {
        let changes = self
            .steps
            .iter()
            .filter(|step| step.effect == Effect::Change);
        changes.map(|step| step.target.as_str()).collect()
    }

    /// First characters of the digest, for people.
    pub fn short_digest(&self) -> &str {
        &self.digest[..self.digest.len().min(8)]
    }

    /// The digest as it should be; differs from [`Plan::digest`] when the plan was tampered with.
    pub fn compute_digest(&self) -> String {
        let Self {
            runbook,
            file,
            title,
            runbook_hash,
            part,
            inputs,
            steps,
            undo,
            limits,
            approval,
            digest: _,
            planned_at: _,
            braked: _,
            problems: _,
        } = self;
        crate::digest::digest_of(&(
            (runbook, file, title, runbook_hash, part),
            (inputs, steps, undo, limits, approval),
        ))
    }
}

impl PlannedStep {
    /// Longest time from its delivery's first attempt to a known end.
    pub fn time_max(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.saturating_add(self.grace_ms))
    }

    /// What runs, as text for people.
    pub fn body(&self) -> String {
        match &self.action {
            Action::Shell { body, .. } => body.clone(),
            Action::Promql { query } => query.clone(),
            Action::Check => self
                .verify
                .as_ref()
                .map_or_else(String::new, |v| v.query.clone()),
            Action::Http {
                method, url, body, ..
            } if body.is_empty() => format!("{method} {url}"),
            Action::Http {
                method, url, body, ..
            } => format!("{method} {url}\n\n{body}"),
            Action::Sql { body, .. } => body.clone(),
            Action::Manual { text } | Action::Chat { text } => text.clone(),
            Action::Program { words, input, .. } if input.is_empty() => words.join(" "),
            Action::Program { words, input, .. } => format!("{}\n\n{input}", words.join(" ")),
        }
    }
}
