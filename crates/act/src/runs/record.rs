//! What is stored of runs, steps, locks and the brake.

use std::collections::BTreeMap;

use bellwether_model::{CaseId, DeliveryId, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::payload::{Outcome, Output};
use crate::plan::{Plan, PlannedStep};

use super::{RunState, StepState, Trigger};

/// A tap: who let which digest run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub actor: String,
    pub at: Timestamp,
    pub digest: String,
    /// Index of the step it is for; `None` for the whole plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// Targets that were typed with a confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// What a parked or waiting run needs from a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Need {
    /// The tap for the plan.
    Approval,
    /// The approval of a step by another person.
    StepApproval { step: String },
    /// The confirmation of a step: the number of targets must be typed.
    Confirmation {
        step: String,
        #[serde(default)]
        targets: u32,
    },
    /// Another run holds the lock.
    Lock { name: String },
    /// A manual step.
    Manual { step: String },
    /// Whether a step was done.
    Resolve { step: String },
    /// An undo failed: somebody must look.
    UndoFailed { step: String },
}

/// A run as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub version: u32,
    pub id: RunId,
    pub case: Option<CaseId>,
    pub plan: Plan,
    pub trigger: Trigger,
    pub started_by: String,
    pub created_at: Timestamp,
    pub state: RunState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<Need>,
    pub approvals: Vec<Approval>,
    /// Until when an approval is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_until: Option<Timestamp>,
    /// When its first step could begin: at once, or with the approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Fence of its lock; 0 without one.
    pub fence: u64,
    /// Who asked for it to be taken back; empty when nobody did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub undo_by: String,
    /// Whether somebody wants it stopped.
    pub cancelling: bool,
    /// Why it failed or was stopped; for people.
    pub why: String,
    /// Whether a step's outcome was unknown at some time.
    pub had_unknown: bool,
    /// Whether its end has been counted in the evidence.
    pub counted: bool,
    /// The alerts that wanted it have ended.
    #[serde(default)]
    pub cleared: bool,
    /// Who went past the second person, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// A rule that somebody went past, to be reviewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    pub actor: String,
    pub at: Timestamp,
    pub reason: String,
}

/// What a step record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Role {
    /// A step of the plan, by its index.
    Main { of: usize },
    /// The undo of a step of the plan.
    Undo { of: usize },
    /// A step of the plan's common undo, by its index.
    CommonUndo { of: usize },
}

/// A probe of a step of unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub key: String,
    pub begun_at: Timestamp,
    /// When no answer counts as an answer.
    pub lost_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// The checks of a step's verify query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    pub since: Timestamp,
    pub until: Timestamp,
    /// Checks asked so far.
    pub asked: u32,
    /// Key of the check in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub next_at: Timestamp,
    /// What the last answer showed.
    pub last: String,
}

/// A step as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    pub version: u32,
    pub run: RunId,
    pub index: usize,
    /// Id and content hash as in the page, so that neither text above nor a renamed id orphans its history.
    pub id: String,
    pub hash: String,
    pub role: Role,
    pub state: StepState,
    /// Attempts begun.
    pub attempt: u32,
    /// Key of the last attempt's delivery.
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryId>,
    pub fence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When no result counts as unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<Timestamp>,
    /// Not to be begun (again) before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default)]
    pub output: Output,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub captured: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// Who did it by hand, or said what came of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What there is to say about its end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Why the last attempt is allowed although one went before; for the audit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried_because: Vec<String>,
}

/// A lock and its fence, which only grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub version: u32,
    pub name: String,
    pub holder: Option<RunId>,
    /// Number of the last holder; a write or delivery with an older one is stale.
    pub fence: u64,
}

/// The brake on all changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    pub version: u32,
    pub actor: String,
    pub reason: String,
    pub since: Timestamp,
}

// === impl ===

impl StepRecord {
    /// The step of the plan that this record is about.
    pub fn planned<'a>(&self, plan: &'a Plan) -> Option<&'a PlannedStep> {
        match self.role {
            Role::Main { of } => plan.steps.get(of),
            Role::Undo { of } => plan.steps.get(of)?.undo.as_deref(),
            Role::CommonUndo { of } => plan.undo.get(of),
        }
    }

    /// Id of its record.
    pub fn record_id(&self) -> String {
        format!("{}/{:03}", self.run, self.index)
    }

    /// Whether a delivery of it may be on its way.
    pub fn in_flight(&self) -> bool {
        matches!(self.state, StepState::Intent | StepState::Started)
    }

    /// Whether it may have had an effect: it must be undone when the run is.
    pub fn may_have_run(&self) -> bool {
        match self.state {
            StepState::Started
            | StepState::Intent
            | StepState::Verifying
            | StepState::Succeeded
            | StepState::Unknown => true,
            // A step that ended badly by itself, or was killed, may have done half of its work.
            StepState::Failed => !matches!(
                self.outcome,
                None | Some(Outcome::FailedToStart { .. } | Outcome::Refused { .. })
            ),
            StepState::Pending | StepState::Skipped | StepState::Undone => false,
        }
    }
}

impl RunState {
    /// Whether nothing more happens by itself or by approval.
    pub fn ended(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Failed
                | Self::Cancelled
                | Self::Expired
                | Self::Undone
                | Self::Shadowed
        )
    }
}
