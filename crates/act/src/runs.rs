//! Plans as durable runs: who approved what, what runs, what came of it, what is taken back.
//!
//! A run is a record, each of its steps another; both are written before a delivery is due, so after a crash the
//! records say what was intended, and the outbox says what was begun. Nothing in memory is needed to go on.

mod advance;
mod climb;
mod guard;
mod hand;
mod invariants;
mod record;
mod results;
mod start;
mod turn;
mod undo;
pub mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::state::{Decision, Kind, Record};
use bellwether_model::{CaseId, IdSource, Problem, Problems, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::{EVIDENCE, Evidence};
use crate::ladder::{Earned, PageFacts, RUNG, RungRecord};
use crate::payload::{StepResult, VerifyResult};
use crate::plan::Plan;

pub use record::{
    Approval, Brake, BreakGlass, Checks, Lock, Need, Probe, Role, RunRecord, StepRecord,
};
use results::Told;
use start::Start;
use turn::Turn;

/// Records of runs, by run id.
pub const RUN: Kind = Kind("run");
/// Records of steps, by `run-…/index`.
pub const STEP: Kind = Kind("step");
/// Locks with their fence, by lock name.
pub const LOCK: Kind = Kind("lock");
/// The brake on all changes: one record, `global`.
pub const BRAKE: Kind = Kind("brake");

/// Kinds whose records [`Runs::restore`] wants.
pub const KINDS: [Kind; 6] = [RUN, STEP, LOCK, BRAKE, EVIDENCE, RUNG];

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
    /// How long an approved run waits for its lock.
    pub queue_ttl: Duration,
    /// Automatic fixes of the same target in a day before they stop: a loop is a fault, not a cure.
    pub same_fix_max: u32,
    /// Who belongs to which group, for `approve: {by: …}`.
    pub groups: BTreeMap<String, BTreeSet<String>>,
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
    /// Only planned, to be compared with what a person does.
    Shadow,
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
    /// Approve although the rule asks for somebody else: it is allowed, and the owner is paged about it.
    BreakGlass {
        run: RunId,
        actor: String,
        digest: String,
        reason: String,
    },
    /// Give a page a rung; refused unless the evidence suffices.
    Promote {
        page: PageFacts,
        to: Earned,
        actor: String,
    },
    /// Take a page's rung away.
    Demote {
        runbook: String,
        actor: String,
        reason: String,
    },
    /// The pages as they are now.
    Pages(Vec<PageFacts>),
    /// The alerts of a case have ended.
    Cleared { case: CaseId },
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
    /// Approved; another run holds the lock.
    Queued,
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
    /// Only planned.
    Shadowed,
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
    RunShadowed,
    Queued,
    BrokeGlass,
    Promoted,
    Demoted,
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
    FleetBrake,
    SameFixAgain,
    NotAllowed,
    NotEarned,
    BrakeHeld,
    NothingToUndo,
    /// An event about something that has already gone on.
    Late,
}

/// All runs, locks and evidence.
#[derive(Clone, Debug)]
pub struct Runs {
    settings: Settings,
    by_id: BTreeMap<RunId, RunRecord>,
    /// Steps of each run by their index.
    steps: BTreeMap<RunId, Vec<StepRecord>>,
    locks: BTreeMap<String, Lock>,
    evidence: BTreeMap<String, Evidence>,
    rungs: BTreeMap<String, RungRecord>,
    brake: Option<Brake>,
    /// Runs that have not ended, so that a tick looks at no others.
    open: BTreeSet<RunId>,
    /// When each run wants to be looked at, by run and in order of time.
    wake_at: BTreeMap<RunId, Timestamp>,
    wakes: BTreeSet<(Timestamp, RunId)>,
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
            queue_ttl: Duration::from_mins(30),
            same_fix_max: 3,
            groups: BTreeMap::new(),
        }
    }
}

// === impl Runs ===

impl Runs {
    /// No runs yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            by_id: BTreeMap::new(),
            steps: BTreeMap::new(),
            locks: BTreeMap::new(),
            evidence: BTreeMap::new(),
            rungs: BTreeMap::new(),
            brake: None,
            open: BTreeSet::new(),
            wake_at: BTreeMap::new(),
            wakes: BTreeSet::new(),
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
        let about = self.handle(event, &mut turn);
        for id in about {
            self.advance(id, &mut turn);
        }
        self.next_in_queue(&mut turn);
        self.record_changes(&mut turn);
        turn.finish(self.next_wake())
    }

    /// When it wants to be stepped again even if nothing happens.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Applies an event; gives the runs that may now go on.
    fn handle(&mut self, event: RunEvent, turn: &mut Turn<'_>) -> Vec<RunId> {
        match event {
            RunEvent::Start {
                run,
                plan,
                case,
                actor,
                digest,
                trigger,
            } => {
                self.start(
                    Start {
                        run,
                        plan: *plan,
                        case,
                        actor,
                        digest,
                        trigger,
                    },
                    turn,
                );
                vec![run]
            }
            RunEvent::Approve { run, actor, digest } => {
                self.approve(run, &actor, &digest, turn);
                vec![run]
            }
            RunEvent::BreakGlass {
                run,
                actor,
                digest,
                reason,
            } => {
                self.break_glass(run, &actor, &digest, &reason, turn);
                vec![run]
            }
            RunEvent::Promote { page, to, actor } => {
                self.promote(&page, to, &actor, turn);
                Vec::new()
            }
            RunEvent::Demote {
                runbook,
                actor,
                reason,
            } => {
                self.demote(&runbook, &actor, &reason, turn);
                Vec::new()
            }
            RunEvent::Pages(pages) => {
                self.pages_changed(&pages, turn);
                Vec::new()
            }
            RunEvent::Cleared { case } => self.cleared(case, turn),
            RunEvent::Confirm { run, actor, count } => {
                self.confirm(run, &actor, count, turn);
                vec![run]
            }
            RunEvent::Cancel { run, actor, reason } => {
                self.cancel(run, &actor, &reason, turn);
                vec![run]
            }
            RunEvent::StepStarted { key } => self.step_started(&key, turn).into_iter().collect(),
            RunEvent::StepOutcome { key, result } => {
                self.step_outcome(&key, result, turn).into_iter().collect()
            }
            RunEvent::VerifyResult { key, result } => {
                self.verify_result(&key, result, turn).into_iter().collect()
            }
            RunEvent::ManualDone {
                run,
                step,
                actor,
                done,
                note,
            } => {
                let told = Told {
                    run,
                    step: &step,
                    actor: &actor,
                    done,
                    note: &note,
                    manual: true,
                };
                self.told(told, turn);
                vec![run]
            }
            RunEvent::Resolve {
                run,
                step,
                actor,
                done,
                note,
            } => {
                let told = Told {
                    run,
                    step: &step,
                    actor: &actor,
                    done,
                    note: &note,
                    manual: false,
                };
                self.told(told, turn);
                vec![run]
            }
            RunEvent::Undo { run, actor } => {
                self.undo(run, &actor, turn);
                vec![run]
            }
            RunEvent::Brake {
                engaged,
                actor,
                reason,
            } => {
                self.set_brake(engaged, &actor, &reason, turn);
                self.open.iter().copied().collect()
            }
            RunEvent::Tick => {
                let due = self.wakes.iter().take_while(|(at, _)| *at <= turn.now);
                let due: Vec<RunId> = due.map(|(_, id)| *id).collect();
                // Their timers are over: set them anew, whatever came of it.
                turn.runs.extend(&due);
                due
            }
        }
    }

    /// Puts the changed runs and steps into the batch, and their timers in order.
    fn record_changes(&mut self, turn: &mut Turn<'_>) {
        // A step's timer is kept with its run.
        let touched = turn.steps.iter().map(|(id, _)| *id);
        turn.runs.extend(touched.collect::<Vec<_>>());
        for id in std::mem::take(&mut turn.runs) {
            let Some(run) = self.by_id.get(&id) else {
                continue;
            };
            let wake = self.wake_of(run, turn.now);
            turn.batch.put(RUN, id, run, wake);
            self.set_wake(id, wake);
        }
        for (id, index) in std::mem::take(&mut turn.steps) {
            if let Some(step) = self.steps.get(&id).and_then(|steps| steps.get(index)) {
                turn.batch.put(STEP, step.record_id(), step, None);
            }
        }
    }

    fn set_wake(&mut self, id: RunId, wake: Option<Timestamp>) {
        if let Some(old) = self.wake_at.remove(&id) {
            self.wakes.remove(&(old, id));
        }
        if let Some(at) = wake {
            self.wake_at.insert(id, at);
            self.wakes.insert((at, id));
        }
    }

    fn restore_one(&mut self, record: Record, problems: &mut Problems) {
        let Record {
            kind,
            id,
            body,
            due_at,
            ..
        } = record;
        let result = match kind.as_str() {
            "run" => serde_json::from_value(body).map(|run: RunRecord| {
                if !run.state.ended() {
                    self.open.insert(run.id);
                }
                self.set_wake(run.id, due_at);
                self.by_id.insert(run.id, run);
            }),
            "step" => serde_json::from_value(body).map(|step: StepRecord| {
                self.steps.entry(step.run).or_default().push(step);
            }),
            "lock" => serde_json::from_value(body).map(|lock: Lock| {
                self.locks.insert(lock.name.clone(), lock);
            }),
            "brake" => serde_json::from_value(body).map(|brake: Brake| self.brake = Some(brake)),
            "rung" => serde_json::from_value(body).map(|held: RungRecord| {
                self.rungs.insert(held.runbook.clone(), held);
            }),
            "evidence" => serde_json::from_value(body).map(|evidence: Evidence| {
                self.evidence.insert(id.clone(), evidence);
            }),
            _ => return,
        };
        if let Err(error) = result {
            let message = format!("record {kind}/{id} cannot be read: {error}");
            problems.push(Problem::error(&"".into(), 0, 0, message));
        }
    }

    /// The settings in use.
    pub fn settings(&self) -> &Settings {
        &self.settings
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
    /// A few words for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::DigestMismatch => "the plan is not the one that was seen",
            Self::PlanHasErrors => "the plan has errors",
            Self::SelfApproval => "somebody else must approve",
            Self::WrongCount => "the number of targets is another",
            Self::LockHeld => "another run holds the lock",
            Self::TooManyRuns => "it ran too often lately",
            Self::CoolingDown => "it ran a short while ago",
            Self::BudgetSpent => "the budget of automatic runs is spent",
            Self::NotAutomatic => "nobody allowed it to run without a tap",
            Self::BrakeHeld => "all changes are stopped",
            Self::FleetBrake => "too much of the fleet is unhealthy, or its metrics are old",
            Self::SameFixAgain => {
                "it fixed the same target too often: a loop is a fault, not a cure"
            }
            Self::NotAllowed => "only those that the page names may approve",
            Self::NotEarned => "the evidence does not suffice",
            Self::NothingToUndo => "there is nothing to take back",
            Self::NotWaiting => "it does not wait for this",
            Self::AlreadyStarted => "it has been started",
            Self::NoSuchRun => "there is no such run",
            Self::NoSuchStep => "there is no such step",
            Self::Late => "it is too late",
            _ => "as planned",
        }
    }

    /// Whether the event was refused and changed nothing.
    pub fn is_refusal(self) -> bool {
        self >= Self::AlreadyStarted
    }
}
