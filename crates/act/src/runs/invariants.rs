//! What must hold of every run, whatever happened; the simulator and the tests ask after each step.

use super::record::{Role, RunRecord, StepRecord};
use super::{Runs, StepState};
use crate::runbook::Effect;

impl Runs {
    /// Violations of AC1 to AC3, as text; empty when all hold.
    pub fn check_invariants(&self) -> Vec<String> {
        let mut out = Vec::new();
        for run in self.by_id.values() {
            let steps = self.step_records(run.id);
            for step in steps {
                check_approval(run, step, &mut out);
                check_undo(steps, step, &mut out);
                check_attempts(run, step, &mut out);
            }
            let changing = steps
                .iter()
                .filter(|step| {
                    step.in_flight()
                        && step
                            .planned(&run.plan)
                            .is_some_and(|p| p.effect == Effect::Change)
                })
                .count();
            if changing > 1 {
                out.push(format!(
                    "AC3: {} has {changing} change steps in flight",
                    run.id
                ));
            }
            let lock = run
                .plan
                .limits
                .lock
                .as_ref()
                .and_then(|name| self.locks.get(name));
            if changing > 0
                && run.plan.limits.lock.is_some()
                && lock.and_then(|lock| lock.holder) != Some(run.id)
            {
                out.push(format!(
                    "AC3: {} changes something without its lock",
                    run.id
                ));
            }
        }
        out
    }
}

/// AC1: no change step is begun without the approval of its plan's digest, and its own where it asks for one.
fn check_approval(run: &RunRecord, step: &StepRecord, out: &mut Vec<String>) {
    let Role::Main { of } = step.role else { return };
    let Some(planned) = run.plan.steps.get(of) else {
        return;
    };
    if step.attempt == 0 || planned.effect != Effect::Change {
        return;
    }
    let approved = |index: Option<usize>| {
        run.approvals.iter().any(|approval| {
            approval.step == index
                && approval.digest == run.plan.digest
                && !approval.actor.is_empty()
        })
    };
    if !approved(None) {
        out.push(format!(
            "AC1: {} began {} without an approval",
            run.id, step.id
        ));
    }
    if (planned.approve || planned.confirm) && !approved(Some(step.index)) {
        out.push(format!(
            "AC1: {} began {} without its own approval",
            run.id, step.id
        ));
    }
    if run.plan.compute_digest() != run.plan.digest {
        out.push(format!(
            "AC1: the plan of {} is not the one that was approved",
            run.id
        ));
    }
}

/// AC2: an undo is begun only for a step that was begun.
fn check_undo(steps: &[StepRecord], step: &StepRecord, out: &mut Vec<String>) {
    if step.attempt == 0 {
        return;
    }
    let begun = match step.role {
        Role::Main { .. } => return,
        Role::Undo { of } => steps.get(of).is_some_and(|step| step.attempt > 0),
        Role::CommonUndo { .. } => steps
            .iter()
            .any(|step| matches!(step.role, Role::Main { .. }) && step.attempt > 0),
    };
    if !begun {
        out.push(format!(
            "AC2: {} undoes what never began: {}",
            step.run, step.id
        ));
    }
}

/// AC3: every attempt after the first has its reason on record.
fn check_attempts(run: &RunRecord, step: &StepRecord, out: &mut Vec<String>) {
    let allowed = step.retried_because.len() as u32 + 1;
    if step.attempt > allowed {
        out.push(format!(
            "AC3: {} attempts of {} in {}, {allowed} allowed",
            step.attempt, step.id, run.id
        ));
    }
    if step.in_flight() && step.key.is_empty() {
        out.push(format!(
            "AC3: {} of {} is in flight without a key",
            step.id, run.id
        ));
    }
    if step.state == StepState::Undone && step.attempt == 0 {
        out.push(format!(
            "AC2: {} of {} is undone but never began",
            step.id, run.id
        ));
    }
}
