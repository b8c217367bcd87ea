//! Moving a run on: which step next, what waits, what has taken too long, how it ends.

use std::time::Duration;

use bellwether_model::RunId;
use jiff::Timestamp;
use serde_json::json;

use super::record::{Checks, Need, Probe, Role, RunRecord, StepRecord};
use super::start::approval_ran_out;
use super::turn::Turn;
use super::{Reason, RunState, Runs, Settings, StepState};
use crate::payload::{CHANNEL_PROMQL, Outcome, PromqlPayload};
use crate::plan::{Action, PlannedStep};
use crate::runbook::Effect;

/// Attempts of a step whose outcome stays unknown, before a person is asked.
const UNKNOWN_ATTEMPTS_MAX: u32 = 3;
/// How long one check of a verify query may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

const NO_LONGER_NEEDED: &str = "no longer needed: what it was to fix has ended";

/// How often a run that waits for its turn looks again.
const QUEUE_POLL: Duration = Duration::from_secs(15);

/// What an index of a run's steps needs next.
enum Next {
    /// Something changed: look again.
    Again,
    /// Nothing more can be done now.
    Rest,
}

impl Runs {
    /// Does all that can be done for a run now.
    pub(super) fn advance(&mut self, id: RunId, turn: &mut Turn<'_>) {
        while matches!(self.advance_once(id, turn), Next::Again) {}
    }

    fn advance_once(&mut self, id: RunId, turn: &mut Turn<'_>) -> Next {
        let Some(run) = self.by_id.get(&id) else {
            return Next::Rest;
        };
        match run.state {
            RunState::WaitingApproval if run.cancelling => {
                self.end(id, RunState::Cancelled, "", turn);
                Next::Rest
            }
            RunState::WaitingApproval => {
                if approval_ran_out(run, turn.now) {
                    self.end(id, RunState::Expired, "nobody approved it in time", turn);
                }
                Next::Rest
            }
            RunState::Queued if run.cancelling => {
                self.end(id, RunState::Cancelled, "", turn);
                Next::Rest
            }
            RunState::Queued if run.cleared => {
                self.end(id, RunState::Cancelled, NO_LONGER_NEEDED, turn);
                Next::Rest
            }
            RunState::Queued => {
                if run.approve_until.is_some_and(|until| turn.now >= until) {
                    self.end(id, RunState::Expired, "its turn did not come in time", turn);
                } else if self.leave_queue(id, turn) {
                    return Next::Again;
                }
                Next::Rest
            }
            RunState::Parked if run.cancelling => self.stop(id, turn),
            RunState::Parked => Next::Rest,
            RunState::Running | RunState::Undoing => {
                if let Some(index) = self.first_lost(id, turn.now) {
                    self.lose(id, index, turn);
                    return Next::Again;
                }
                if self.by_id[&id].state == RunState::Undoing {
                    self.advance_undo(id, turn)
                } else {
                    self.advance_main(id, turn)
                }
            }
            _ => Next::Rest,
        }
    }

    /// A step, probe or check whose answer is overdue.
    fn first_lost(&self, id: RunId, now: Timestamp) -> Option<usize> {
        self.step_records(id).iter().position(|step| {
            let step_lost = step.in_flight() && step.lost_at.is_some_and(|at| now >= at);
            let probe_lost = step.state == StepState::Unknown
                && step
                    .probe
                    .as_ref()
                    .is_some_and(|probe| probe.outcome.is_none() && now >= probe.lost_at);
            let check_lost = step.state == StepState::Verifying
                && step
                    .checks
                    .as_ref()
                    .is_some_and(|checks| checks.key.is_some() && now >= checks.next_at);
            step_lost || probe_lost || check_lost
        })
    }

    fn lose(&mut self, id: RunId, index: usize, turn: &mut Turn<'_>) {
        let reason = "no result came back in time".to_owned();
        match self.step_records(id)[index].state {
            StepState::Unknown => {
                self.probe_answered(id, index, Outcome::Unknown { reason }, None, turn);
            }
            StepState::Verifying => self.check_answered(id, index, None, reason, turn),
            _ => self.became_unknown(id, index, reason, turn),
        }
    }

    fn advance_main(&mut self, id: RunId, turn: &mut Turn<'_>) -> Next {
        let run = &self.by_id[&id];
        let steps = self.step_records(id);
        if run.cancelling {
            return self.stop(id, turn);
        }
        if let Some(index) = steps
            .iter()
            .position(|step| step.state == StepState::Unknown)
        {
            if steps[index]
                .probe
                .as_ref()
                .is_some_and(|probe| probe.outcome.is_none())
            {
                return Next::Rest;
            }
            return self.settle_unknown(id, index, turn);
        }
        if let Some(next) = self.ask_checks(id, turn) {
            return next;
        }
        let steps = self.step_records(id);
        let run = &self.by_id[&id];
        let busy = steps
            .iter()
            .filter(|step| step.in_flight() || step.state == StepState::Verifying)
            .count();
        let changes = run.plan.changes();
        let failed = steps
            .iter()
            .filter(|step| step.state == StepState::Failed)
            .count();
        if changes && failed > 0 && busy > 0 {
            // Others of its wave end by themselves; nothing further is begun.
            return Next::Rest;
        }
        if busy == 0 && changes && failed > 0 {
            let why = fail_reason(run, steps);
            self.end(id, RunState::Failed, &why, turn);
            return Next::Rest;
        }
        let pending = steps
            .iter()
            .position(|step| step.state == StepState::Pending);
        let overdue = run.deadline.is_some_and(|deadline| turn.now >= deadline);
        match pending {
            Some(_) if overdue && busy == 0 => {
                self.end(id, RunState::Failed, "its deadline has passed", turn);
                Next::Rest
            }
            Some(index) if !overdue => {
                let captures = run.plan.steps.iter().any(|step| step.capture.is_some());
                let wave =
                    |step: &StepRecord| step.planned(&run.plan).and_then(|planned| planned.wave);
                let next = wave(&steps[index]);
                let together = next.is_some()
                    && steps
                        .iter()
                        .filter(|step| step.in_flight() || step.state == StepState::Verifying)
                        .all(|step| wave(step) == next);
                let room = if (changes || captures) && !together {
                    1
                } else {
                    self.settings.parallel_reads.max(1)
                };
                if busy >= room {
                    return Next::Rest;
                }
                self.begin_step(id, index, turn)
            }
            None if busy == 0 => {
                let of = steps.len();
                if failed > 0 {
                    let why = format!("{failed} of {of} steps failed");
                    self.end(id, RunState::Failed, &why, turn);
                } else {
                    self.end(id, RunState::Succeeded, "", turn);
                }
                Next::Rest
            }
            _ => Next::Rest,
        }
    }

    /// Ends a run that somebody stopped, once nothing is in flight.
    fn stop(&mut self, id: RunId, turn: &mut Turn<'_>) -> Next {
        if self.by_id[&id].state == RunState::Running
            && self.step_records(id).iter().any(StepRecord::in_flight)
        {
            return Next::Rest;
        }
        for step in self.steps.get_mut(&id).into_iter().flatten() {
            // In flight here means a person was asked: nothing else is.
            if step.state == StepState::Verifying || step.in_flight() {
                "stopped before it was verified".clone_into(&mut step.note);
                step.state = StepState::Failed;
                step.ended_at = Some(turn.now);
                turn.steps.insert((id, step.index));
            }
        }
        self.end(id, RunState::Cancelled, "", turn);
        Next::Rest
    }

    /// A step of unknown outcome: its probe, else again when that is safe, else a person.
    fn settle_unknown(&mut self, id: RunId, index: usize, turn: &mut Turn<'_>) -> Next {
        let run = &self.by_id[&id];
        let step = &self.step_records(id)[index];
        let Some(planned) = step.planned(&run.plan) else {
            return Next::Rest;
        };
        let tries_left = step.attempt < UNKNOWN_ATTEMPTS_MAX;
        if step.probe.is_none() && planned.probe.is_some() {
            self.begin_probe(id, index, turn);
            return Next::Again;
        }
        let read = planned.effect == Effect::Read;
        if tries_left && (read || planned.idempotent) {
            let because = if read {
                "it only reads"
            } else {
                "it is idempotent"
            };
            self.again(
                id,
                index,
                &format!("outcome unknown, {because}"),
                turn.now,
                turn,
            );
            return Next::Again;
        }
        if read {
            // Nobody needs to be asked about what changes nothing.
            let step = self.step_mut(id, index);
            step.state = StepState::Failed;
            turn.steps.insert((id, index));
            return Next::Again;
        }
        let need = Need::Resolve {
            step: planned.id.clone(),
        };
        let why = format!("step {} may or may not have run", planned.id);
        self.park(id, need, &why, turn);
        Next::Rest
    }

    fn begin_probe(&mut self, id: RunId, index: usize, turn: &mut Turn<'_>) {
        let (run, step) = (&self.by_id[&id], &self.steps[&id][index]);
        let Some(probe) = step
            .planned(&run.plan)
            .and_then(|planned| planned.probe.as_deref())
        else {
            return;
        };
        let key = format!("{}/probe/1", step.key);
        let (run, step, probe) = (run.clone(), step.clone(), probe.clone());
        self.hand_over(&run, &step, &probe, &key, turn);
        let record = Probe {
            key,
            begun_at: turn.now,
            lost_at: lost_at(&self.settings, &probe, turn.now),
            outcome: None,
        };
        self.step_mut(id, index).probe = Some(record);
        turn.steps.insert((id, index));
        turn.because(Reason::ProbeBegun);
        let text = format!("Probing whether step {} was done: {}", step.id, probe.title);
        turn.event(
            &run,
            "probe_started",
            "system",
            text,
            json!({"step": step.id, "probe": probe.id}),
        );
    }

    /// Sends a step back to be begun again, with the reason why that is allowed.
    pub(super) fn again(
        &mut self,
        id: RunId,
        index: usize,
        because: &str,
        not_before: Timestamp,
        turn: &mut Turn<'_>,
    ) {
        let step = self.step_mut(id, index);
        step.state = StepState::Pending;
        step.probe = None;
        step.checks = None;
        step.lost_at = None;
        step.ended_at = None;
        step.not_before = Some(not_before);
        step.retried_because.push(because.to_owned());
        turn.steps.insert((id, index));
        turn.because(Reason::StepRetried);
        let step = &self.steps[&id][index];
        let text = format!("Step {} is begun again: {because}", step.id);
        let data = json!({"step": step.id, "attempt": step.attempt, "because": because});
        turn.event(&self.by_id[&id], "step_retried", "system", text, data);
    }

    pub(super) fn park(&mut self, id: RunId, need: Need, why: &str, turn: &mut Turn<'_>) {
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        run.state = RunState::Parked;
        run.need = Some(need);
        why.clone_into(&mut run.why);
        turn.runs.insert(id);
        turn.because(Reason::RunParked);
        let run = &self.by_id[&id];
        let text = format!("{} waits for a person: {why}", run.plan.title);
        turn.event(run, "run_parked", "system", text, json!({"need": run.need}));
    }

    /// Begins a step that is pending, or says what it waits for.
    fn begin_step(&mut self, id: RunId, index: usize, turn: &mut Turn<'_>) -> Next {
        let run = &self.by_id[&id];
        let step = &self.steps[&id][index];
        let Some(planned) = step.planned(&run.plan) else {
            return Next::Rest;
        };
        if step.not_before.is_some_and(|at| turn.now < at) {
            turn.because(Reason::Waiting);
            return Next::Rest;
        }
        if planned.pause_ms > 0 && step.attempt == 0 && step.not_before.is_none() {
            let until = turn.now + Duration::from_millis(planned.pause_ms);
            self.step_mut(id, index).not_before = Some(until);
            turn.steps.insert((id, index));
            turn.because(Reason::Waiting);
            return Next::Rest;
        }
        let change = planned.effect == Effect::Change && matches!(step.role, Role::Main { .. });
        if change && run.cleared {
            self.end(id, RunState::Cancelled, NO_LONGER_NEEDED, turn);
            return Next::Rest;
        }
        if change && self.brake.is_some() {
            turn.because(Reason::BrakeHeld);
            return Next::Rest;
        }
        let let_run = run
            .approvals
            .iter()
            .any(|approval| approval.step == Some(index));
        let asks = (planned.approve || planned.confirm) && matches!(step.role, Role::Main { .. });
        if asks && !let_run {
            let step = planned.id.clone();
            let (need, reason, word) = if planned.approve {
                (
                    Need::StepApproval { step: step.clone() },
                    Reason::WaitsForStepApproval,
                    "approved",
                )
            } else {
                (
                    Need::Confirmation {
                        step: step.clone(),
                        targets: run.plan.targets().len() as u32,
                    },
                    Reason::WaitsForConfirmation,
                    "confirmed",
                )
            };
            turn.because(reason);
            self.park(id, need, &format!("step {step} must be {word}"), turn);
            return Next::Rest;
        }
        self.attempt(id, index, turn);
        Next::Again
    }

    /// Records the intent of an attempt together with its delivery.
    pub(super) fn attempt(&mut self, id: RunId, index: usize, turn: &mut Turn<'_>) {
        let run = self.by_id[&id].clone();
        let settings = self.settings.clone();
        let step = self.step_mut(id, index);
        let Some(planned) = step.planned(&run.plan).cloned() else {
            return;
        };
        step.attempt += 1;
        step.key = format!("{}/{:03}/{}", run.id, step.index, step.attempt);
        step.begun_at = Some(turn.now);
        step.ended_at = None;
        step.outcome = None;
        step.fence = run.fence;
        turn.steps.insert((id, index));
        turn.because(Reason::StepBegun);
        let data = json!({
            "step": planned.id, "index": step.index, "attempt": step.attempt, "key": step.key,
            "effect": planned.effect, "hash": planned.hash, "role": step.role, "fence": step.fence,
        });
        let main = matches!(step.role, Role::Main { .. });
        let actor = match run.approvals.last() {
            _ if !main => run.undo_by.as_str(),
            Some(approval) => &approval.actor,
            None => &run.started_by,
        };
        let kind = if main {
            "step_started"
        } else {
            "undo_step_started"
        };
        turn.event(
            &run,
            kind,
            actor,
            format!("{}: started", planned.title),
            data,
        );
        if planned.action == Action::Check {
            step.state = StepState::Verifying;
            step.checks = planned
                .verify
                .as_ref()
                .map(|verify| new_checks(verify.within_ms, turn.now));
            return;
        }
        step.state = StepState::Intent;
        step.lost_at = Some(lost_at(&settings, &planned, turn.now));
        let (key, snapshot) = (step.key.clone(), step.clone());
        let delivery = self.hand_over(&run, &snapshot, &planned, &key, turn);
        let step = self.step_mut(id, index);
        step.delivery = Some(delivery);
        if let Action::Manual { .. } = planned.action {
            // A person takes the time it takes.
            step.lost_at = None;
            step.state = StepState::Started;
            turn.because(Reason::WaitsForPerson);
            let need = Need::Manual {
                step: planned.id.clone(),
            };
            self.park(
                id,
                need,
                &format!("step {} is done by hand", planned.id),
                turn,
            );
        }
    }

    /// Asks verify queries that are due. `None` when nothing was to do.
    fn ask_checks(&mut self, id: RunId, turn: &mut Turn<'_>) -> Option<Next> {
        let index = self.step_records(id).iter().position(|step| {
            step.state == StepState::Verifying
                && step
                    .checks
                    .as_ref()
                    .is_some_and(|checks| checks.key.is_none() && turn.now >= checks.next_at)
        })?;
        let run = &self.by_id[&id];
        let step = &self.steps[&id][index];
        let query = step.planned(&run.plan)?.verify.as_ref()?.query.clone();
        let checks = step.checks.as_ref()?;
        let key = format!("{}/verify/{}", step.key, checks.asked + 1);
        let payload = PromqlPayload {
            run: id.to_string(),
            step: step.id.clone(),
            attempt: step.attempt,
            query,
            verify: true,
            timeout_ms: CHECK_TIMEOUT.as_millis() as u64,
        };
        let lost = turn.now + CHECK_TIMEOUT + self.settings.result_slack;
        turn.deliver(id, &key, (CHANNEL_PROMQL, ""), to_json(&payload), lost);
        let checks = self.step_mut(id, index).checks.as_mut()?;
        checks.asked += 1;
        checks.key = Some(key);
        checks.next_at = lost;
        turn.steps.insert((id, index));
        turn.because(Reason::VerifyAsked);
        Some(Next::Again)
    }

    fn advance_undo(&mut self, id: RunId, turn: &mut Turn<'_>) -> Next {
        let steps = self.step_records(id);
        let undo = |step: &&StepRecord| !matches!(step.role, Role::Main { .. });
        if steps.iter().filter(undo).any(StepRecord::in_flight) {
            return Next::Rest;
        }
        if let Some(next) = self.ask_checks(id, turn) {
            return next;
        }
        let steps = self.step_records(id);
        if steps
            .iter()
            .filter(undo)
            .any(|step| step.state == StepState::Verifying)
        {
            return Next::Rest;
        }
        if let Some(step) = steps
            .iter()
            .filter(undo)
            .find(|step| matches!(step.state, StepState::Failed | StepState::Unknown))
        {
            let (index, name, tries) = (step.index, step.id.clone(), step.attempt);
            if step.state == StepState::Unknown && tries < UNKNOWN_ATTEMPTS_MAX {
                self.again(
                    id,
                    index,
                    "outcome unknown, an undo may run twice",
                    turn.now,
                    turn,
                );
                return Next::Again;
            }
            self.park(
                id,
                Need::UndoFailed { step: name.clone() },
                &format!("undo {name} failed"),
                turn,
            );
            return Next::Rest;
        }
        match steps
            .iter()
            .filter(undo)
            .find(|step| step.state == StepState::Pending)
        {
            Some(step) => {
                let index = step.index;
                self.begin_step(id, index, turn)
            }
            None => {
                self.end(id, RunState::Undone, "", turn);
                Next::Rest
            }
        }
    }

    pub(super) fn step_mut(&mut self, id: RunId, index: usize) -> &mut StepRecord {
        self.steps
            .get_mut(&id)
            .and_then(|steps| steps.get_mut(index))
            .expect("callers found this step before, and steps are never removed")
    }

    /// When a run wants to be looked at although nothing happens; `now` it has been.
    pub(super) fn wake_of(&self, run: &RunRecord, now: Timestamp) -> Option<Timestamp> {
        let steps = self.step_records(run.id);
        match run.state {
            RunState::WaitingApproval => run.approve_until,
            // Its lock may be free while a pause or the brake stands against it.
            RunState::Queued => run.approve_until.map(|until| until.min(now + QUEUE_POLL)),
            RunState::Running | RunState::Undoing => {
                let of_steps = steps.iter().filter_map(|step| match step.state {
                    StepState::Intent | StepState::Started => step.lost_at,
                    StepState::Verifying => step.checks.as_ref().map(|checks| checks.next_at),
                    StepState::Unknown => step.probe.as_ref().map(|probe| probe.lost_at),
                    StepState::Pending => step.not_before,
                    _ => None,
                });
                of_steps.chain(run.deadline).filter(|at| *at > now).min()
            }
            _ => None,
        }
    }
}

/// Latest moment at which a result may still come: queueing, running, killing, and some slack.
fn lost_at(settings: &Settings, planned: &PlannedStep, now: Timestamp) -> Timestamp {
    now + settings.start_window + planned.time_max() + settings.result_slack
}

pub(super) fn new_checks(within_ms: u64, now: Timestamp) -> Checks {
    Checks {
        since: now,
        until: now + Duration::from_millis(within_ms),
        asked: 0,
        key: None,
        next_at: now,
        last: String::new(),
    }
}

pub(super) fn to_json(payload: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(payload).expect("payloads are plain data that JSON can hold")
}

fn fail_reason(run: &RunRecord, steps: &[StepRecord]) -> String {
    let Some(step) = steps.iter().find(|step| step.state == StepState::Failed) else {
        return String::new();
    };
    let title = step
        .planned(&run.plan)
        .map_or(step.id.as_str(), |planned| &planned.title);
    let ending = match &step.outcome {
        _ if !step.note.is_empty() => step.note.clone(),
        Some(outcome) => outcome.describe(),
        None => "failed".to_owned(),
    };
    format!("{title}: {ending}")
}
