//! Runs as people look at them.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::{CaseId, RunId};
use jiff::Timestamp;
use serde::Serialize;

use crate::payload::{Outcome, Output};
use crate::plan::Part;
use crate::runbook::Effect;

use super::record::{Approval, Need, Role, RunRecord, StepRecord};
use super::{RunState, Runs, StepState, Trigger};

/// A run with its steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunView {
    pub id: RunId,
    pub case: Option<CaseId>,
    pub runbook: String,
    pub title: String,
    pub part: Part,
    pub digest: String,
    pub inputs: BTreeMap<String, String>,
    pub trigger: Trigger,
    pub started_by: String,
    pub approvals: Vec<Approval>,
    pub state: RunState,
    pub need: Option<Need>,
    /// Why it failed, was stopped or waits; for people.
    pub why: String,
    pub changes: bool,
    pub created_at: Timestamp,
    pub began_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// From begin to end, or to now.
    pub elapsed_ms: u64,
    pub lock: Option<String>,
    /// Whether [`super::RunEvent::Undo`] would do something.
    pub can_undo: bool,
    pub steps: Vec<StepView>,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepView {
    pub id: String,
    pub title: String,
    pub role: Role,
    pub effect: Effect,
    /// What runs, as text.
    pub body: String,
    pub state: StepState,
    pub attempt: u32,
    pub begun_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// From begin to end (verify included), or to now.
    pub elapsed_ms: u64,
    pub outcome: Option<Outcome>,
    pub output: Output,
    pub captured: BTreeMap<String, String>,
    /// Verify query, its state and last answer.
    pub verify: Option<VerifyView>,
    pub by: String,
    pub note: String,
}

/// The verify query of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifyView {
    pub query: String,
    /// `None` while it is being asked.
    pub holds: Option<bool>,
    pub asked: u32,
    pub until: Option<Timestamp>,
    pub last: String,
}

impl Runs {
    /// One run.
    pub fn run(&self, id: RunId, now: Timestamp) -> Option<RunView> {
        Some(self.view(self.by_id.get(&id)?, now))
    }

    /// Runs of a case, oldest first.
    pub fn runs_of_case(&self, case: CaseId, now: Timestamp) -> Vec<RunView> {
        self.by_id
            .values()
            .filter(|run| run.case == Some(case))
            .map(|run| self.view(run, now))
            .collect()
    }

    /// The latest runs, newest first.
    pub fn recent(&self, limit: usize, now: Timestamp) -> Vec<RunView> {
        self.by_id
            .values()
            .rev()
            .take(limit)
            .map(|run| self.view(run, now))
            .collect()
    }

    /// Runs that have not ended, oldest first.
    pub fn open_runs(&self, now: Timestamp) -> Vec<RunView> {
        self.open
            .iter()
            .filter_map(|id| self.run(*id, now))
            .collect()
    }

    /// A run's record, for the details that no view shows.
    pub fn record(&self, id: RunId) -> Option<&RunRecord> {
        self.by_id.get(&id)
    }

    /// A run's step records.
    pub fn step_records(&self, id: RunId) -> &[StepRecord] {
        self.steps.get(&id).map_or(&[], Vec::as_slice)
    }

    fn view(&self, run: &RunRecord, now: Timestamp) -> RunView {
        RunView {
            id: run.id,
            case: run.case,
            runbook: run.plan.runbook.clone(),
            title: run.plan.title.clone(),
            part: run.plan.part.clone(),
            digest: run.plan.digest.clone(),
            inputs: run.plan.inputs.clone(),
            trigger: run.trigger,
            started_by: run.started_by.clone(),
            approvals: run.approvals.clone(),
            state: run.state,
            need: run.need.clone(),
            why: run.why.clone(),
            changes: run.plan.changes(),
            created_at: run.created_at,
            began_at: run.began_at,
            ended_at: run.ended_at,
            elapsed_ms: elapsed_ms(run.began_at, run.ended_at, now),
            lock: run.plan.limits.lock.clone(),
            can_undo: self.can_undo(run.id),
            steps: self
                .step_records(run.id)
                .iter()
                .filter_map(|step| step_view(run, step, now))
                .collect(),
        }
    }
}

impl RunView {
    /// What the read steps saw, as text for a page: title, then the first lines of each output.
    pub fn findings(&self, lines_max: usize) -> Vec<(String, String)> {
        self.steps
            .iter()
            .filter(|step| step.effect == Effect::Read && step.outcome.is_some())
            .map(|step| {
                let shown = if step.output.stdout.trim().is_empty() {
                    &step.output.stderr
                } else {
                    &step.output.stdout
                };
                let mut lines: Vec<&str> = shown.trim_end().lines().take(lines_max).collect();
                let outcome = step.outcome.as_ref().map(Outcome::describe);
                if lines.is_empty()
                    && let Some(outcome) = &outcome
                {
                    lines.push(outcome);
                }
                (step.title.clone(), lines.join("\n"))
            })
            .collect()
    }
}

fn step_view(run: &RunRecord, step: &StepRecord, now: Timestamp) -> Option<StepView> {
    let planned = step.planned(&run.plan)?;
    Some(StepView {
        id: step.id.clone(),
        title: planned.title.clone(),
        role: step.role,
        effect: planned.effect,
        body: planned.body(),
        state: step.state,
        attempt: step.attempt,
        begun_at: step.begun_at,
        ended_at: step.ended_at,
        elapsed_ms: elapsed_ms(step.begun_at, step.ended_at, now),
        outcome: step.outcome.clone(),
        output: step.output.clone(),
        captured: step.captured.clone(),
        verify: planned.verify.as_ref().map(|verify| VerifyView {
            query: verify.query.clone(),
            holds: match step.state {
                StepState::Succeeded | StepState::Undone => Some(true),
                StepState::Failed if step.checks.is_some() => Some(false),
                _ => None,
            },
            asked: step.checks.as_ref().map_or(0, |checks| checks.asked),
            until: step.checks.as_ref().map(|checks| checks.until),
            last: step
                .checks
                .as_ref()
                .map_or_else(String::new, |checks| checks.last.clone()),
        }),
        by: step.by.clone(),
        note: step.note.clone(),
    })
}

fn elapsed_ms(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> u64 {
    let Some(from) = from else { return 0 };
    let elapsed = to.unwrap_or(now).duration_since(from);
    Duration::try_from(elapsed).map_or(0, |duration| duration.as_millis() as u64)
}
