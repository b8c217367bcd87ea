//! Plans as durable runs: who approved what, what runs, what came of it, what is taken back.
//!
//! A run is a record, each of its steps another; both are written before a delivery is due, so after a crash the
//! records say what was intended, and the outbox says what was begun. Nothing in memory is needed to go on.

mod advance;
mod guard;
mod invariants;
mod record;
mod results;
mod start;
mod undo;
pub mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::state::{Decision, Kind, Record};
use bellwether_model::{CaseId, IdSource, Problems, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::{EVIDENCE, Evidence};
use crate::payload::{StepResult, VerifyResult};
use crate::plan::Plan;

pub use record::{Approval, Brake, Checks, Lock, Need, Probe, Role, RunRecord, StepRecord};
use start::Turn;

/// Records of runs, by run id.
pub const RUN: Kind = Kind("run");
/// Records of steps, by `run-…/index`.
pub const STEP: Kind = Kind("step");
/// Locks with their fence, by lock name.
pub const LOCK: Kind = Kind("lock");
/// The brake on all changes: one record, `global`.
pub const BRAKE: Kind = Kind("brake");

/// Kinds whose records [`Runs::restore`] wants.
pub const KINDS: [Kind; 5] = [RUN, STEP, LOCK, BRAKE, EVIDENCE];

/// Which runbooks may change something without a person's tap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Automatic {
    #[default]
    Never,
    /// These, by id.
    These(BTreeSet<String>),
    All,
}

/// Limits and times that hold for all runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub automatic: Automatic,
    /// Automatic change runs in any [`Settings::budget_window`].
    pub budget_runs: u32,
    pub budget_window: Duration,
    /// Automatic change runs at the same time.
    pub budget_concurrent: u32,
    /// How long an approval is waited for when the runbook does not say.
    pub approval_ttl: Duration,
    /// How long a delivery may wait for its adapter.
    pub start_window: Duration,
    /// How long after its last possible end a step's result is waited for before it counts as unknown.
    pub result_slack: Duration,
    /// Pause between checks of a verify query.
    pub verify_poll: Duration,
    /// Read steps of a diagnosis that run at the same time.
    pub parallel_reads: usize,
}

/// Who or what wants a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Person,
    /// An alert: diagnosis runs by itself, a change is proposed and waits for a tap.
    Alert,
    /// A change that policy lets run without a tap, within the budget.
    Automatic,
}

/// What can happen to runs.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEvent {
    /// Begin a run of a plan. `digest` is the one the starter saw. A plan that only reads runs at once; one that
    /// changes something waits for [`RunEvent::Approve`].
    Start {
        /// Made by the caller with [`RunId::new`]; a second start with the same id does nothing.
        run: RunId,
        plan: Box<Plan>,
        case: Option<CaseId>,
        /// `user:ana`, `rule:HighLatency`.
        actor: String,
        digest: String,
        trigger: Trigger,
    },
    /// The tap: let the plan with this digest change things. Also approves a single step that waits for it.
    Approve {
        run: RunId,
        actor: String,
        digest: String,
    },
    /// Confirm the step that waits for it; `count` is the number of targets that was typed, when one was asked for.
    Confirm {
        run: RunId,
        actor: String,
        count: Option<u32>,
    },
    /// Stop: nothing further is begun; what is in flight is waited for.
    Cancel {
        run: RunId,
        actor: String,
        reason: String,
    },
    /// An adapter has begun the delivery with this key.
    StepStarted { key: String },
    /// The delivery with this key has ended (also: cannot be known).
    StepOutcome { key: String, result: StepResult },
    /// A check of a verify query was answered.
    VerifyResult { key: String, result: VerifyResult },
    /// A person did (or could not do) a manual step.
    ManualDone {
        run: RunId,
        step: String,
        actor: String,
        done: bool,
        note: String,
    },
    /// A person says whether a step of unknown outcome was done.
    Resolve {
        run: RunId,
        step: String,
        actor: String,
        done: bool,
        note: String,
    },
    /// Take back what was done and what may have been done, in reverse.
    Undo { run: RunId, actor: String },
    /// Hold or release the brake: while it holds, no change step is begun.
    Brake {
        engaged: bool,
        actor: String,
        reason: String,
    },
    /// Time has passed.
    Tick,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for the approval of its plan.
    WaitingApproval,
    Running,
    /// Waits for a person: an unknown outcome, a step that must be approved or confirmed, a manual step, a failed
    /// undo. [`RunRecord::need`] says which.
    Parked,
    Undoing,
    Succeeded,
    Failed,
    Cancelled,
    /// Nobody approved in time.
    Expired,
    Undone,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Pending,
    /// Recorded, handed to the outbox; may not have begun.
    Intent,
    /// Its adapter has begun it.
    Started,
    /// It ended well; its verify query does not hold yet.
    Verifying,
    Succeeded,
    Failed,
    /// It may or may not have run.
    Unknown,
    /// Was not needed or not reached.
    Skipped,
    /// Taken back.
    Undone,
}

/// Why the engine did what it did, or did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    RunStarted,
    WaitsForApproval,
    Approved,
    StepBegun,
    StepRetried,
    StepStarted,
    StepSucceeded,
    StepFailed,
    StepUnknown,
    ProbeBegun,
    VerifyAsked,
    VerifyHeld,
    VerifyNotYet,
    VerifyFailed,
    WaitsForConfirmation,
    WaitsForStepApproval,
    WaitsForPerson,
    RunSucceeded,
    RunFailed,
    RunParked,
    RunCancelled,
    RunExpired,
    Cancelling,
    UndoBegun,
    RunUndone,
    BrakeEngaged,
    BrakeReleased,
    Waiting,
    /// Refused: nothing was changed.
    AlreadyStarted,
    DigestMismatch,
    PlanHasErrors,
    NoSuchRun,
    NoSuchStep,
    NotWaiting,
    SelfApproval,
    WrongCount,
    LockHeld,
    TooManyRuns,
    CoolingDown,
    BudgetSpent,
    NotAutomatic,
    BrakeHeld,
    NothingToUndo,
    /// An event about something that has already gone on.
    Late,
}

/// All runs, locks and evidence.
#[derive(Clone, Debug)]
pub struct Runs {
    settings: Settings,
    runs: BTreeMap<RunId, RunRecord>,
    /// Steps of each run by their index.
    steps: BTreeMap<RunId, Vec<StepRecord>>,
    locks: BTreeMap<String, Lock>,
    evidence: BTreeMap<String, Evidence>,
    brake: Option<Brake>,
    /// Runs that have not ended, so that a tick looks at no others.
    open: BTreeSet<RunId>,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            automatic: Automatic::Never,
            budget_runs: 10,
            budget_window: Duration::from_hours(1),
            budget_concurrent: 3,
            approval_ttl: Duration::from_mins(10),
            start_window: Duration::from_mins(2),
            result_slack: Duration::from_secs(30),
            verify_poll: Duration::from_secs(5),
            parallel_reads: 8,
        }
    }
}

// === impl Runs ===

impl Runs {
    /// No runs yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            runs: BTreeMap::new(),
            steps: BTreeMap::new(),
            locks: BTreeMap::new(),
            evidence: BTreeMap::new(),
            brake: None,
            open: BTreeSet::new(),
        }
    }

    /// Goes on from the stored records of [`KINDS`]. A record that cannot be read is reported and left out.
    pub fn restore(
        settings: Settings,
        records: impl IntoIterator<Item = Record>,
    ) -> (Self, Problems) {
        let mut runs = Self::new(settings);
        let mut problems = Problems::default();
        for record in records {
            runs.restore_one(record, &mut problems);
        }
        for steps in runs.steps.values_mut() {
            steps.sort_by_key(|step| step.index);
        }
        (runs, problems)
    }

    /// One activation: what to record and to do because of `event`, and when to be woken.
    pub fn step(
        &mut self,
        now: Timestamp,
        event: RunEvent,
        ids: &mut dyn IdSource,
    ) -> Decision<Reason> {
        let mut turn = Turn::new(now, ids);
        self.handle(event, &mut turn);
        let mut decision = turn.finish();
        decision.wake_at = self.next_wake();
        decision
    }

    /// Settings may change while runs go on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Evidence of one content of a runbook.
    pub fn evidence(&self, runbook: &str, hash: &str) -> Option<&Evidence> {
        self.evidence.get(&Evidence::record_id(runbook, hash))
    }

    /// Why the brake holds, when it does.
    pub fn brake(&self) -> Option<&Brake> {
        self.brake.as_ref()
    }
}

// === impl Reason ===

impl Reason {
    /// Whether the event was refused and changed nothing.
    pub fn is_refusal(self) -> bool {
        self >= Self::AlreadyStarted
    }
}
