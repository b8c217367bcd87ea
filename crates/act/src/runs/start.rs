//! Beginning, approving and stopping runs.

use std::time::Duration;

use bellwether_model::{CaseId, RunId};
use jiff::Timestamp;
use serde_json::json;

use super::record::{Approval, BreakGlass, Need, Role, RunRecord, StepRecord};
use super::turn::Turn;
use super::{Reason, RunState, Runs, StepState, Trigger};
use crate::payload::Output;
use crate::plan::{Plan, PlannedStep};
use crate::runbook::WhenLocked;

/// What [`super::RunEvent::Start`] carries.
pub(super) struct Start {
    pub(super) run: RunId,
    pub(super) plan: Plan,
    pub(super) case: Option<CaseId>,
    pub(super) actor: String,
    pub(super) digest: String,
    pub(super) trigger: Trigger,
}

/// Actor of changes that nobody tapped.
const POLICY_ACTOR: &str = "policy:automatic";

impl Runs {
    pub(super) fn start(&mut self, start: Start, turn: &mut Turn<'_>) {
        let Start {
            run: id,
            plan,
            case,
            actor,
            digest,
            trigger,
        } = start;
        if self.by_id.contains_key(&id) {
            turn.because(Reason::AlreadyStarted);
            return;
        }
        let run = RunRecord {
            version: 1,
            id,
            case,
            trigger,
            started_by: actor,
            created_at: turn.now,
            state: RunState::WaitingApproval,
            need: Some(Need::Approval),
            approvals: Vec::new(),
            approve_until: Some(turn.now + self.approval_ttl(&plan)),
            began_at: None,
            deadline: None,
            ended_at: None,
            fence: 0,
            undo_by: String::new(),
            cancelling: false,
            why: String::new(),
            had_unknown: false,
            counted: false,
            cleared: false,
            break_glass: None,
            plan,
        };
        let changes = run.plan.changes();
        let refused = if run.plan.digest != digest || run.plan.compute_digest() != digest {
            Some(Reason::DigestMismatch)
        } else if !run.plan.runnable() {
            Some(Reason::PlanHasErrors)
        } else if changes && trigger == Trigger::Automatic {
            self.guard_automatic(&run, turn.now)
                .or_else(|| self.guard_change(&run, turn.now))
                .filter(|reason| *reason != Reason::LockHeld || !queues(&run))
        } else {
            None
        };
        if let Some(reason) = refused {
            refuse(&run, reason, turn);
            return;
        }
        let steps = run
            .plan
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| new_step(id, index, step, Role::Main { of: index }));
        self.steps.insert(id, steps.collect());
        turn.steps
            .extend((0..run.plan.steps.len()).map(|index| (id, index)));
        self.by_id.insert(id, run);
        self.open.insert(id);
        turn.runs.insert(id);
        if trigger == Trigger::Shadow {
            self.end(id, RunState::Shadowed, "", turn);
        } else if changes && trigger == Trigger::Automatic {
            self.begin_or_queue(id, POLICY_ACTOR, turn);
        } else if changes {
            turn.because(Reason::WaitsForApproval);
            let run = &self.by_id[&id];
            let text = format!(
                "{} waits for approval of plan {}",
                run.plan.title,
                run.plan.short_digest()
            );
            let data = json!({"digest": run.plan.digest, "until": run.approve_until});
            turn.event(run, "run_proposed", &run.started_by, text, data);
        } else {
            let actor = self.by_id[&id].started_by.clone();
            self.begin(id, &actor, turn);
        }
    }

    fn approval_ttl(&self, plan: &Plan) -> Duration {
        plan.approval
            .as_ref()
            .map_or(self.settings.approval_ttl, |rule| {
                Duration::from_millis(rule.ttl_ms)
            })
    }

    /// Begins a run, or lets it wait for its lock. The other guards have been asked.
    fn begin_or_queue(&mut self, id: RunId, actor: &str, turn: &mut Turn<'_>) {
        let held = |run: &RunRecord| self.guard_change(run, turn.now) == Some(Reason::LockHeld);
        let Some(run) = self.by_id.get(&id).filter(|run| held(run)) else {
            return self.begin(id, actor, turn);
        };
        let name = run.plan.limits.lock.clone().unwrap_or_default();
        if run.plan.limits.when_locked == WhenLocked::Replace {
            let waiting: Vec<RunId> = self
                .queued(&name)
                .filter(|other| other.plan.runbook == run.plan.runbook)
                .map(|other| other.id)
                .collect();
            for other in waiting {
                self.end(
                    other,
                    RunState::Cancelled,
                    "a newer run took its place",
                    turn,
                );
            }
        }
        let until = turn.now + self.settings.queue_ttl;
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        run.state = RunState::Queued;
        run.approve_until = Some(until);
        run.need = Some(Need::Lock { name: name.clone() });
        run.approvals.push(Approval {
            actor: actor.to_owned(),
            at: turn.now,
            digest: run.plan.digest.clone(),
            step: None,
            count: None,
        });
        turn.runs.insert(id);
        turn.because(Reason::Queued);
        let run = &self.by_id[&id];
        let text = format!("{} waits for the lock {name:?}", run.plan.title);
        turn.event(
            run,
            "run_queued",
            actor,
            text,
            json!({"lock": name, "until": until}),
        );
    }

    fn queued<'a>(&'a self, lock: &'a str) -> impl Iterator<Item = &'a RunRecord> {
        let open = self.open.iter().filter_map(|id| self.by_id.get(id));
        open.filter(move |run| {
            run.state == RunState::Queued && run.plan.limits.lock.as_deref() == Some(lock)
        })
    }

    /// Lets whoever waited longest for a lock that became free go on.
    pub(super) fn next_in_queue(&mut self, turn: &mut Turn<'_>) {
        while let Some(lock) = turn.freed.pop_first() {
            let first = self.queued(&lock).map(|run| run.id).next();
            if let Some(id) = first {
                turn.runs.insert(id);
                self.advance(id, turn);
            }
        }
    }

    /// Begins a run that waited for its lock, when it is its turn and nothing else stands against it.
    pub(super) fn leave_queue(&mut self, id: RunId, turn: &mut Turn<'_>) -> bool {
        let run = &self.by_id[&id];
        let lock = run.plan.limits.lock.as_deref().unwrap_or_default();
        let first = self.queued(lock).map(|run| run.id).next();
        if first != Some(id) || self.guard_change(run, turn.now).is_some() {
            return false;
        }
        let actor = run
            .approvals
            .last()
            .map_or_else(|| run.started_by.clone(), |approval| approval.actor.clone());
        self.begin(id, &actor, turn);
        true
    }

    /// Whether the page's rule lets this person approve.
    fn may_approve(&self, run: &RunRecord, actor: &str) -> bool {
        let Some(rule) = run
            .plan
            .approval
            .as_ref()
            .filter(|rule| !rule.by.is_empty())
        else {
            return true;
        };
        let name = actor.strip_prefix("user:").unwrap_or(actor);
        rule.by == name
            || rule.by == actor
            || self
                .settings
                .groups
                .get(&rule.by)
                .is_some_and(|group| group.contains(name))
    }

    /// Approves in spite of the rule about who; every other guard stands.
    pub(super) fn break_glass(
        &mut self,
        id: RunId,
        actor: &str,
        digest: &str,
        reason: &str,
        turn: &mut Turn<'_>,
    ) {
        let Some(run) = self.by_id.get(&id) else {
            return turn.because(Reason::NoSuchRun);
        };
        let step = matches!(run.need, Some(Need::StepApproval { .. }));
        let refused = if run.plan.digest != digest {
            Some(Reason::DigestMismatch)
        } else if step {
            None
        } else if run.state != RunState::WaitingApproval || run.cancelling {
            Some(Reason::NotWaiting)
        } else {
            self.guard_change(run, turn.now)
                .filter(|reason| *reason != Reason::LockHeld || !queues(run))
        };
        if let Some(reason) = refused {
            let run = run.clone();
            return refuse_approval(&run, actor, reason, turn);
        }
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        run.break_glass = Some(BreakGlass {
            actor: actor.to_owned(),
            at: turn.now,
            reason: reason.to_owned(),
        });
        turn.runs.insert(id);
        turn.because(Reason::BrokeGlass);
        let run = &self.by_id[&id];
        let text = format!("{}: {actor} broke the glass: {reason}", run.plan.title);
        turn.event(
            run,
            "break_glass",
            actor,
            text,
            json!({"reason": reason, "digest": digest}),
        );
        if step {
            self.release_step(id, actor, None, turn);
        } else {
            self.begin_or_queue(id, actor, turn);
        }
    }

    /// Lets a run's steps begin. The guards have been asked; for a change, `actor`'s approval is recorded.
    fn begin(&mut self, id: RunId, actor: &str, turn: &mut Turn<'_>) {
        let fence = self.take_lock(id, turn);
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        if run.plan.changes() && !run.approvals.iter().any(|approval| approval.step.is_none()) {
            run.approvals.push(Approval {
                actor: actor.to_owned(),
                at: turn.now,
                digest: run.plan.digest.clone(),
                step: None,
                count: None,
            });
            turn.because(Reason::Approved);
        }
        run.fence = fence;
        run.state = RunState::Running;
        run.need = None;
        run.began_at = Some(turn.now);
        run.deadline = run
            .plan
            .limits
            .deadline_ms
            .map(|ms| turn.now + Duration::from_millis(ms));
        turn.runs.insert(id);
        turn.because(Reason::RunStarted);
        let run = &self.by_id[&id];
        let what = run.plan.part.describe();
        let text = format!("{}: {what} started by {actor}", run.plan.title);
        let data = json!({
            "digest": run.plan.digest, "part": run.plan.part, "inputs": run.plan.inputs,
            "trigger": run.trigger, "started_by": run.started_by, "fence": run.fence,
        });
        turn.event(run, "run_started", actor, text, data);
    }

    pub(super) fn approve(&mut self, id: RunId, actor: &str, digest: &str, turn: &mut Turn<'_>) {
        let Some(run) = self.by_id.get(&id) else {
            return turn.because(Reason::NoSuchRun);
        };
        let refused = if run.plan.digest != digest {
            Some(Reason::DigestMismatch)
        } else {
            match (&run.state, &run.need) {
                (RunState::WaitingApproval, _) if run.cancelling => Some(Reason::NotWaiting),
                (RunState::WaitingApproval, _)
                    if run.approve_until.is_some_and(|until| turn.now >= until) =>
                {
                    Some(Reason::Late)
                }
                (RunState::WaitingApproval, _) => {
                    let other = run
                        .plan
                        .approval
                        .as_ref()
                        .is_some_and(|rule| rule.other_person);
                    (other && run.started_by == actor)
                        .then_some(Reason::SelfApproval)
                        .or_else(|| (!self.may_approve(run, actor)).then_some(Reason::NotAllowed))
                        .or_else(|| {
                            self.guard_change(run, turn.now)
                                .filter(|reason| *reason != Reason::LockHeld || !queues(run))
                        })
                }
                (RunState::Parked, Some(Need::StepApproval { .. })) => (run.started_by == actor)
                    .then_some(Reason::SelfApproval)
                    .or_else(|| (!self.may_approve(run, actor)).then_some(Reason::NotAllowed)),
                _ => Some(Reason::NotWaiting),
            }
        };
        if let Some(reason) = refused {
            let run = run.clone();
            refuse_approval(&run, actor, reason, turn);
            return;
        }
        if run.state == RunState::WaitingApproval {
            self.begin_or_queue(id, actor, turn);
        } else {
            self.release_step(id, actor, None, turn);
        }
    }

    pub(super) fn confirm(
        &mut self,
        id: RunId,
        actor: &str,
        count: Option<u32>,
        turn: &mut Turn<'_>,
    ) {
        let Some(run) = self.by_id.get(&id) else {
            return turn.because(Reason::NoSuchRun);
        };
        if !matches!(
            (run.state, &run.need),
            (RunState::Parked, Some(Need::Confirmation { .. }))
        ) {
            return turn.because(Reason::NotWaiting);
        }
        let targets = run.plan.targets().len() as u32;
        // For one target a tap is enough; more must be counted by the one who confirms.
        if count.map_or(targets > 1, |count| count != targets) {
            let run = run.clone();
            return refuse_approval(&run, actor, Reason::WrongCount, turn);
        }
        self.release_step(id, actor, count, turn);
    }

    /// Records who let the waiting step run, and goes on.
    fn release_step(&mut self, id: RunId, actor: &str, count: Option<u32>, turn: &mut Turn<'_>) {
        let waiting = self
            .step_records(id)
            .iter()
            .position(|step| step.state == StepState::Pending);
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        run.approvals.push(Approval {
            actor: actor.to_owned(),
            at: turn.now,
            digest: run.plan.digest.clone(),
            step: waiting,
            count,
        });
        run.state = RunState::Running;
        run.need = None;
        turn.runs.insert(id);
        turn.because(Reason::Approved);
        let run = &self.by_id[&id];
        let name = waiting
            .and_then(|index| run.plan.steps.get(index))
            .map_or("", |step| &step.id);
        let text = format!("{actor} let step {name} run");
        turn.event(
            run,
            "step_approved",
            actor,
            text,
            json!({"step": name, "count": count}),
        );
    }

    pub(super) fn cancel(&mut self, id: RunId, actor: &str, reason: &str, turn: &mut Turn<'_>) {
        let Some(run) = self.by_id.get_mut(&id) else {
            return turn.because(Reason::NoSuchRun);
        };
        if run.state.ended() || run.cancelling {
            return turn.because(Reason::NotWaiting);
        }
        run.cancelling = true;
        run.why = if reason.is_empty() {
            format!("stopped by {actor}")
        } else {
            format!("stopped by {actor}: {reason}")
        };
        turn.runs.insert(id);
        turn.because(Reason::Cancelling);
        let run = &self.by_id[&id];
        let text = format!("{}: {}", run.plan.title, run.why);
        turn.event(
            run,
            "run_cancelling",
            actor,
            text,
            json!({"reason": reason}),
        );
    }
}

/// Whether a run waits for a held lock.
fn queues(run: &RunRecord) -> bool {
    run.plan.limits.when_locked != WhenLocked::Reject
}

/// A step that has not been begun.
pub(super) fn new_step(run: RunId, index: usize, step: &PlannedStep, role: Role) -> StepRecord {
    StepRecord {
        version: 1,
        run,
        index,
        id: step.id.clone(),
        hash: step.hash.clone(),
        role,
        state: StepState::Pending,
        attempt: 0,
        key: String::new(),
        delivery: None,
        fence: 0,
        begun_at: None,
        ended_at: None,
        lost_at: None,
        not_before: None,
        outcome: None,
        output: Output::default(),
        captured: std::collections::BTreeMap::new(),
        probe: None,
        checks: None,
        by: String::new(),
        note: String::new(),
        retried_because: Vec::new(),
    }
}

/// A refused start: no run, but a trace of who wanted what and why not.
fn refuse(run: &RunRecord, reason: Reason, turn: &mut Turn<'_>) {
    turn.because(reason);
    let text = format!("{} was not started: {}", run.plan.title, reason.describe());
    let data = json!({"reason": reason, "digest": run.plan.digest, "trigger": run.trigger});
    turn.event(run, "run_refused", &run.started_by, text, data);
}

fn refuse_approval(run: &RunRecord, actor: &str, reason: Reason, turn: &mut Turn<'_>) {
    turn.because(reason);
    let text = format!(
        "{}: approval by {actor} refused: {}",
        run.plan.title,
        reason.describe()
    );
    turn.event(
        run,
        "approval_refused",
        actor,
        text,
        json!({"reason": reason}),
    );
}

/// The end of a run's waiting for approval, seen by a tick.
pub(super) fn approval_ran_out(run: &RunRecord, now: Timestamp) -> bool {
    run.state == RunState::WaitingApproval && run.approve_until.is_some_and(|until| now >= until)
}
