//! A page as read: sections, steps, inputs, and what was found besides.

mod attributes;
mod front;
mod markdown;
mod parse;
mod section;
mod shell;
mod step;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::Problems;
use serde::Serialize;

pub use section::section_kind;
pub(crate) use section::slug;
pub(crate) use shell::{
    braced_names, is_interactive as looks_interactive, parse_http, variable_of,
};
pub(crate) use step::VERIFY_WITHIN;

/// Largest page that is read, in bytes.
pub const BYTES_MAX: usize = 4 << 20;
/// Most steps of one page.
pub const STEPS_MAX: usize = 1_000;
/// Longest info string of a fence that is read for attributes, in bytes.
pub const INFO_MAX: usize = 4 << 10;
/// Most attributes of one fence.
pub const ATTRIBUTES_MAX: usize = 32;
/// Most inputs of one page.
pub const INPUTS_MAX: usize = 64;

/// A place in a page, from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// What a section is for, by its heading or the heading above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    Overview,
    Diagnosis,
    Fix,
    Verify,
    Undo,
    Escalation,
    /// Links, background, architecture: for reading.
    Reference,
    /// No word of the heading is known.
    Other,
}

/// A heading and what stands under it, up to the next heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    pub title: String,
    /// 1 to 6; 0 for what stands before the first heading.
    pub level: u8,
    pub kind: SectionKind,
    /// Whether the kind comes from a heading above.
    pub inherited: bool,
    pub place: Place,
    /// Line after its last.
    pub end_line: u32,
}

/// Whether a step only looks or changes something.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Read,
    Change,
}

/// What a step is written in, and so who performs it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Lang {
    Sh,
    Bash,
    Promql,
    Http,
    Sql,
    Manual,
    /// One `kubectl` command line; below an empty line, its standard input.
    Kubectl,
    /// A folder of Terraform, and further arguments of its plan.
    Terraform,
    /// Arguments of `ansible-playbook`.
    Ansible,
    /// Arguments of `chef-client`.
    Chef,
    /// A message to a chat room.
    Chat,
}

/// Where a step was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Fence,
    /// Indented code.
    Indented,
    /// Inline code in an item of a list.
    Inline,
}

/// How the output of a step becomes fields of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureAs {
    Text,
    Json,
    Regex,
}

/// `capture=json`, `capture=text`, `capture="regex:…"` (named groups become fields).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Capture {
    pub form: CaptureAs,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pattern: String,
}

/// A PromQL condition that must come true before a step counts as succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verify {
    pub query: String,
    pub within: Duration,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `id=` as written, else slug of the nearest heading and an ordinal: stable when text above changes.
    pub id: String,
    /// Whether the id is written in the page.
    pub named: bool,
    pub title: String,
    /// Index into [`Runbook::sections`].
    pub section: usize,
    pub kind: SectionKind,
    pub lang: Lang,
    pub body: String,
    /// What a `console` block shows after its commands.
    pub expected: String,
    /// SHA-256 of language, body and attributes: evidence belongs to this, not to the id.
    pub hash: String,
    pub place: Place,
    pub origin: Origin,
    pub in_list: bool,
    pub in_quote: bool,
    /// As declared, or known from the language (`promql`, `GET`); `None` is treated as a change.
    pub effect: Option<Effect>,
    pub target: String,
    /// As declared; see [`Step::timeout_or_default`].
    pub timeout: Option<Duration>,
    pub grace: Option<Duration>,
    pub retries: u32,
    pub idempotent: bool,
    /// Exit codes or HTTP statuses that count as success; empty for the usual (0; 200 to 299).
    pub ok: Vec<i32>,
    /// Id of the step that finds out whether this one was done (exit 0 done, 1 not done).
    pub probe: Option<String>,
    /// Id of the step that takes this one back.
    pub undo: Option<String>,
    pub capture: Option<Capture>,
    /// Regular expression that the output must match.
    pub expect: Option<String>,
    pub verify: Option<Verify>,
    /// Another person must approve this very step.
    pub approve: bool,
    /// Somebody must confirm this very step.
    pub confirm: bool,
    /// This block takes back the change step before it (flag `undo`).
    pub is_undo: bool,
    /// Cannot be taken back: on a primary it needs another person's approval.
    pub destructive: bool,
    /// PromQL that holds when the target is a primary.
    pub primary: Option<String>,
    /// Undeclared inputs in the body: `<name>`, `XXX`, `{{name}}` without a declaration.
    pub placeholders: Vec<String>,
    /// Needs a terminal and a person: always a manual step.
    pub interactive: bool,
    /// Declared inputs used as `{{name}}`.
    pub uses: Vec<String>,
}

/// Type of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    String,
    Int,
    Duration,
    Enum(Vec<String>),
    Host,
    HostList,
    Bool,
    /// The value is a reference such as `secret://env/NAME`, never the secret.
    Secret,
}

/// A declared input, and where its value comes from when nobody gives one. Sources are tried in the order of the
/// fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Input {
    pub name: String,
    pub about: String,
    pub kind: InputType,
    pub alert_label: Option<String>,
    pub annotation: Option<String>,
    /// PromQL; the label `label` of the first sample is the value (its value, when `label` is empty).
    pub promql: Option<String>,
    /// Label to take from the query's answer; the input's name by default.
    pub label: String,
    pub default: Option<String>,
    pub pattern: Option<String>,
    pub place: Place,
}

/// Limits of automatic and tapped change runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Name of the lock, with `{{inputs}}`; the runbook's id when it has change steps and none is given.
    pub lock: Option<String>,
    /// So many runs in so long a time, per lock.
    pub runs: Option<(u32, Duration)>,
    /// Pause between runs, per lock.
    pub cooldown: Option<Duration>,
    pub max_targets: Option<u32>,
    /// Steps on several targets go in batches of so many.
    pub batch: Option<Batch>,
    /// Pause between batches; each must have been verified.
    pub pause_between: Option<Duration>,
    /// PromQL with one sample per member of the fleet; zero is unhealthy.
    pub fleet: Option<String>,
    /// Automation stops when more than this share of the fleet is unhealthy.
    pub max_unhealthy: f64,
    /// Largest share of the fleet that one run may change.
    pub max_percent: Option<f64>,
    /// What to do when the lock is held.
    pub when_locked: WhenLocked,
    /// For a whole run once it is approved.
    pub deadline: Option<Duration>,
}

/// Size of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    Targets(u32),
    /// Of the targets; one at least.
    Percent(f64),
}

/// What becomes of a change whose lock another run holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenLocked {
    /// It waits for its turn.
    #[default]
    Queue,
    Reject,
    /// It takes the place of those that wait.
    Replace,
}

/// Who must approve a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalRule {
    /// Group or person, as the shell knows them; empty for anybody.
    pub by: String,
    pub ttl: Duration,
    /// Whether it must be someone other than the one who started the run.
    pub other_person: bool,
}

/// Counts over one page, for the table that `lint` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    pub headings: u32,
    /// Fenced blocks of any language.
    pub fences: u32,
    pub fences_in_lists: u32,
    pub fences_without_language: u32,
    pub indented: u32,
    pub tables: u32,
    /// Steps from fenced and indented blocks.
    pub block_steps: u32,
    /// Steps from inline code in lists.
    pub inline_steps: u32,
    pub console_blocks: u32,
    pub with_expected_output: u32,
    pub with_placeholders: u32,
    pub interactive: u32,
}

/// A page, read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Runbook {
    /// Front matter `runbook:`, else the file's name without its ending.
    pub id: String,
    /// Whether the id is written in the front matter.
    pub named: bool,
    pub file: Arc<str>,
    pub title: String,
    pub owner: String,
    /// Names of alerts it is for.
    pub alerts: Vec<String>,
    pub inputs: Vec<Input>,
    pub limits: Limits,
    pub approve: Option<ApprovalRule>,
    pub sections: Vec<Section>,
    pub steps: Vec<Step>,
    pub found: Found,
    /// SHA-256 of the file.
    pub hash: String,
    /// The page itself.
    #[serde(skip)]
    pub text: Arc<str>,
    /// Line where the Markdown begins, after the front matter.
    pub body_line: u32,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            lock: None,
            runs: None,
            cooldown: None,
            max_targets: None,
            batch: None,
            pause_between: None,
            fleet: None,
            max_unhealthy: 0.3,
            max_percent: None,
            when_locked: WhenLocked::default(),
            deadline: None,
        }
    }
}

impl Batch {
    /// Targets of one batch among so many.
    pub fn size(self, targets: usize) -> usize {
        let size = match self {
            Self::Targets(count) => count as usize,
            Self::Percent(percent) => (targets as f64 * percent / 100.0).floor() as usize,
        };
        size.max(1)
    }
}

// === impl Runbook ===

impl Runbook {
    /// Reads a page. Problems never hide the rest; only a page beyond [`BYTES_MAX`] gives nothing.
    pub fn parse(file: &str, text: &str) -> (Option<Self>, Problems) {
        parse::parse(file, text)
    }

    /// The step with this id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// The Markdown without the front matter, for showing.
    pub fn markdown(&self) -> &str {
        let at = self
            .text
            .split_inclusive('\n')
            .take(self.body_line.saturating_sub(1) as usize)
            .map(str::len)
            .sum::<usize>();
        &self.text[at..]
    }

    /// Steps of a kind of section, without undo blocks, in the order of the page.
    pub fn steps_of(&self, kind: SectionKind) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(move |step| step.kind == kind && !step.is_undo)
    }
}

// === impl Step ===

impl Step {
    /// Time it may take: as declared, else 5 minutes.
    pub fn timeout_or_default(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_mins(5))
    }

    /// Time between SIGTERM and SIGKILL: as declared, else 10 seconds.
    pub fn grace_or_default(&self) -> Duration {
        self.grace.unwrap_or(Duration::from_secs(10))
    }

    /// Read only when that is known.
    pub fn effect_or_change(&self) -> Effect {
        self.effect.unwrap_or(Effect::Change)
    }
}
