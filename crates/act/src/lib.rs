//! Runbooks: a plain Markdown page that a person can follow is also the program that runs.
//!
//! What it does: reads any CommonMark page into sections and steps ([`Runbook::parse`]), keeps them findable by id,
//! alert name and link ([`Library`]), resolves one part of a page and its inputs into a [`Plan`] with a digest
//! ([`plan`](plan::plan)), and drives approved plans as durable runs ([`Runs`]).
//!
//! How data flows: text -> [`Runbook`] -> [`Plan`] -> [`RunEvent::Start`] -> deliveries (`exec`, `promql`, `http`,
//! `manual`; see [`payload`]) -> their results come back as events -> records, timeline, evidence.
//!
//! Invariants ([`Runs::check_invariants`]): **AC1** no change step without the approval of its plan's digest; **AC2**
//! undo only for steps that may have run; **AC3** at most one attempt of a step is in flight, each attempt has its own
//! key, and a change step gets a second one only when the first is known not to have run or when the step is
//! idempotent. All state is in records, so a restart at any point goes on with the same decisions.
//!
//! Deliberately not here: performing a step, evaluating PromQL, reading files, secrets' values, clocks.

pub mod backtest;
pub mod digest;
pub mod draft;
pub mod evidence;
pub mod ladder;
pub mod library;
pub mod lint;
pub mod payload;
pub mod plan;
pub mod runbook;
pub mod runs;
pub mod toil;

pub use evidence::Evidence;
pub use ladder::{Earned, PageFacts, Standing};
pub use library::Library;
pub use lint::lint;
pub use payload::{
    ChatPayload, ExecPayload, HttpPayload, ManualPayload, Outcome, Output, PromqlPayload,
    SqlPayload, StepResult, VerifyResult,
};
pub use plan::{
    GivenInputs, InputQuery, NativePlan, NativeWanted, Part, Plan, PlannedStep, dry_run,
    input_queries, native_wanted, plan,
};
pub use runbook::{Effect, Runbook, SectionKind, Step};
pub use runs::view::{RunView, StepView};
pub use runs::{Reason, RunEvent, RunState, Runs, Settings, StepState};
