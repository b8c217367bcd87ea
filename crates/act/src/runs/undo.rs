//! Taking back: in reverse over what was done and what may have been done.

use bellwether_model::RunId;
use serde_json::json;

use super::record::{Need, Role, StepRecord};
use super::start::new_step;
use super::turn::Turn;
use super::{Reason, RunState, Runs, StepState};
use crate::runbook::Effect;

impl Runs {
    /// Whether an undo would do something now.
    pub(super) fn can_undo(&self, id: RunId) -> bool {
        let Some(run) = self.by_id.get(&id) else {
            return false;
        };
        let state = match run.state {
            RunState::Succeeded | RunState::Failed | RunState::Cancelled => true,
            RunState::Parked => !matches!(run.need, Some(Need::Manual { .. })),
            _ => false,
        };
        state && (self.failed_undo(id).is_some() || !self.undo_roles(id).is_empty())
    }

    fn failed_undo(&self, id: RunId) -> Option<usize> {
        self.step_records(id).iter().position(|step| {
            !matches!(step.role, Role::Main { .. })
                && matches!(
                    step.state,
                    StepState::Failed
                        | StepState::Unknown
                        | StepState::Skipped
                        | StepState::Pending
                )
        })
    }

    /// What is to be taken back, in the order it is done.
    fn undo_roles(&self, id: RunId) -> Vec<Role> {
        let Some(run) = self.by_id.get(&id) else {
            return Vec::new();
        };
        let mut roles = Vec::new();
        let mut common = false;
        for step in self.step_records(id).iter().rev() {
            let Role::Main { of } = step.role else {
                continue;
            };
            let Some(planned) = run.plan.steps.get(of) else {
                continue;
            };
            if planned.effect != Effect::Change || !step.may_have_run() {
                continue;
            }
            if planned.undo.is_some() {
                roles.push(Role::Undo { of });
            } else {
                common = true;
            }
        }
        if common {
            roles.extend((0..run.plan.undo.len()).map(|of| Role::CommonUndo { of }));
        }
        roles
    }

    pub(super) fn undo(&mut self, id: RunId, actor: &str, turn: &mut Turn<'_>) {
        let Some(run) = self.by_id.get(&id) else {
            return turn.because(Reason::NoSuchRun);
        };
        if !run.state.ended() && run.state != RunState::Parked {
            return turn.because(Reason::NotWaiting);
        }
        if !self.can_undo(id) {
            return turn.because(Reason::NothingToUndo);
        }
        let lock = run
            .plan
            .limits
            .lock
            .as_ref()
            .and_then(|name| self.locks.get(name));
        let holder = lock.and_then(|lock| lock.holder);
        if holder.is_some_and(|holder| holder != id) {
            return turn.because(Reason::LockHeld);
        }
        let fence = if holder == Some(id) {
            run.fence
        } else {
            self.take_lock(id, turn)
        };
        if self.failed_undo(id).is_some() {
            self.retry_undo(id, turn);
        } else {
            self.add_undo_steps(id, turn);
        }
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        run.fence = fence;
        run.state = RunState::Undoing;
        run.need = None;
        actor.clone_into(&mut run.undo_by);
        run.cancelling = false;
        run.ended_at = None;
        run.why.clear();
        self.open.insert(id);
        turn.runs.insert(id);
        turn.because(Reason::UndoBegun);
        let run = &self.by_id[&id];
        let steps: Vec<&str> = self
            .step_records(id)
            .iter()
            .filter(|step| {
                !matches!(step.role, Role::Main { .. }) && step.state == StepState::Pending
            })
            .map(|step| step.id.as_str())
            .collect();
        let text = format!("{}: {actor} takes it back", run.plan.title);
        turn.event(run, "undo_started", actor, text, json!({"steps": steps}));
    }

    fn retry_undo(&mut self, id: RunId, turn: &mut Turn<'_>) {
        for step in self.steps.get_mut(&id).into_iter().flatten() {
            let undo = !matches!(step.role, Role::Main { .. });
            if undo
                && matches!(
                    step.state,
                    StepState::Failed | StepState::Unknown | StepState::Skipped
                )
            {
                step.state = StepState::Pending;
                step.retried_because
                    .push("somebody asked for the undo again".to_owned());
                turn.steps.insert((id, step.index));
            }
        }
    }

    fn add_undo_steps(&mut self, id: RunId, turn: &mut Turn<'_>) {
        let roles = self.undo_roles(id);
        let Some(run) = self.by_id.get(&id) else {
            return;
        };
        let steps = self.steps.entry(id).or_default();
        // What was not reached stays so: an undo must not wake it.
        for step in steps
            .iter_mut()
            .filter(|step| step.state == StepState::Pending)
        {
            step.state = StepState::Skipped;
            turn.steps.insert((id, step.index));
        }
        for role in roles {
            let planned = match role {
                Role::Undo { of } => run.plan.steps.get(of).and_then(|step| step.undo.as_deref()),
                Role::CommonUndo { of } => run.plan.undo.get(of),
                Role::Main { .. } => None,
            };
            if let Some(planned) = planned {
                let index = steps.len();
                steps.push(new_step(id, index, planned, role));
                turn.steps.insert((id, index));
            }
        }
    }

    /// Marks what an undo that succeeded has taken back.
    pub(super) fn mark_undone(&mut self, id: RunId, role: Role, turn: &mut Turn<'_>) {
        let Some(run) = self.by_id.get(&id) else {
            return;
        };
        let Some(steps) = self.steps.get_mut(&id) else {
            return;
        };
        let last_common =
            |role: Role| matches!(role, Role::CommonUndo { of } if of + 1 == run.plan.undo.len());
        for step in steps.iter_mut() {
            let Role::Main { of } = step.role else {
                continue;
            };
            let Some(planned) = run.plan.steps.get(of) else {
                continue;
            };
            let taken = match role {
                Role::Undo { of: undone } => undone == of,
                Role::CommonUndo { .. } => {
                    last_common(role) && planned.undo.is_none() && planned.effect == Effect::Change
                }
                Role::Main { .. } => false,
            };
            if taken && StepRecord::may_have_run(step) {
                step.state = StepState::Undone;
                turn.steps.insert((id, step.index));
            }
        }
    }
}
