//! Handing a step to its adapter, and the end of a run.

use std::time::Duration;

use bellwether_model::{DeliveryId, RunId};
use serde_json::json;

use super::advance::to_json;
use super::record::{RunRecord, StepRecord};
use super::turn::Turn;
use super::{Reason, RunState, Runs, StepState};
use crate::payload::{
    CHANNEL_CHAT, CHANNEL_EXEC, CHANNEL_HTTP, CHANNEL_MANUAL, CHANNEL_PROMQL, CHANNEL_SQL,
    ChatPayload, ExecPayload, HttpPayload, ManualPayload, PromqlPayload, SqlPayload,
};
use crate::plan::{Action, PlannedStep};
use crate::runbook::{CaptureAs, Effect, variable_of};

/// Stands in a manifest for a name that is the same in every attempt of a step and in no other.
const STEP_KEY: &str = "__STEP_KEY__";

impl Runs {
    /// Puts a step (or its probe) into the outbox.
    pub(super) fn hand_over(
        &self,
        run: &RunRecord,
        step: &StepRecord,
        planned: &PlannedStep,
        key: &str,
        turn: &mut Turn<'_>,
    ) -> DeliveryId {
        let (name, attempt) = (planned.id.clone(), step.attempt);
        let run_id = run.id.to_string();
        let target = planned.target.as_str();
        let (channel, payload) = match &planned.action {
            Action::Shell {
                lang,
                body,
                env,
                secrets,
            } => {
                let mut env = env.clone();
                for earlier in self.step_records(run.id) {
                    for (field, value) in &earlier.captured {
                        env.insert(
                            variable_of(&format!("capture_{}_{field}", earlier.id)),
                            value.clone(),
                        );
                    }
                }
                let payload = ExecPayload {
                    run: run_id,
                    step: name,
                    attempt,
                    lang: lang.clone(),
                    body: body.clone(),
                    env,
                    secrets: secrets.clone(),
                    words: Vec::new(),
                    input: String::new(),
                    target: target.to_owned(),
                    timeout_ms: planned.timeout_ms,
                    grace_ms: planned.grace_ms,
                    fence: run.fence,
                };
                (CHANNEL_EXEC, to_json(&payload))
            }
            // A check as a probe is an ordinary query: it is asked once.
            Action::Promql { .. } | Action::Check => {
                let payload = PromqlPayload {
                    run: run_id,
                    step: name,
                    attempt,
                    query: planned.body(),
                    verify: false,
                    timeout_ms: planned.timeout_ms,
                };
                (CHANNEL_PROMQL, to_json(&payload))
            }
            Action::Http {
                method,
                url,
                headers,
                body,
            } => {
                let payload = HttpPayload {
                    run: run_id,
                    step: name,
                    attempt,
                    method: method.clone(),
                    url: url.clone(),
                    headers: headers.clone(),
                    body: body.clone(),
                    timeout_ms: planned.timeout_ms,
                    idempotency_key: key.to_owned(),
                    fence: run.fence,
                };
                (CHANNEL_HTTP, to_json(&payload))
            }
            Action::Sql { body, params } => {
                let payload = SqlPayload {
                    run: run_id,
                    step: name,
                    attempt,
                    target: target.to_owned(),
                    body: body.clone(),
                    params: params.clone(),
                    read_only: planned.effect == Effect::Read,
                    json: matches!(&planned.capture, Some(capture) if capture.form == CaptureAs::Json),
                    timeout_ms: planned.timeout_ms,
                    fence: run.fence,
                };
                (CHANNEL_SQL, to_json(&payload))
            }
            Action::Program { words, input, env } => {
                let mark = format!("bw-{}-{:03}", run.id.short().to_lowercase(), step.index);
                let filled = |text: &String| text.replace(STEP_KEY, &mark);
                let payload = ExecPayload {
                    run: run_id,
                    step: name,
                    attempt,
                    lang: "program".to_owned(),
                    body: String::new(),
                    env: env.clone(),
                    secrets: std::collections::BTreeMap::new(),
                    words: words.iter().map(filled).collect(),
                    input: filled(input),
                    target: target.to_owned(),
                    timeout_ms: planned.timeout_ms,
                    grace_ms: planned.grace_ms,
                    fence: run.fence,
                };
                (CHANNEL_EXEC, to_json(&payload))
            }
            Action::Chat { text } => {
                let payload = ChatPayload {
                    run: run_id,
                    step: name,
                    attempt,
                    room: target.strip_prefix("chat:").unwrap_or_default().to_owned(),
                    text: text.clone(),
                    timeout_ms: planned.timeout_ms,
                };
                (CHANNEL_CHAT, to_json(&payload))
            }
            Action::Manual { text } => {
                let payload = ManualPayload {
                    run: run_id,
                    step: name,
                    attempt,
                    title: planned.title.clone(),
                    text: text.clone(),
                };
                (CHANNEL_MANUAL, to_json(&payload))
            }
        };
        // Telling a person that something is theirs to do may take until somebody looks.
        let window = match planned.action {
            Action::Manual { .. } => Duration::from_hours(24),
            _ => self.settings.start_window,
        };
        let expires = turn.now + window;
        turn.deliver(run.id, key, (channel, target), payload, expires)
    }

    /// Ends a run: what was not reached is skipped, the lock is given back, the evidence counted.
    pub(super) fn end(&mut self, id: RunId, state: RunState, why: &str, turn: &mut Turn<'_>) {
        for step in self.steps.get_mut(&id).into_iter().flatten() {
            if step.state == StepState::Pending {
                step.state = StepState::Skipped;
                turn.steps.insert((id, step.index));
            }
        }
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        run.state = state;
        run.need = None;
        run.ended_at = Some(turn.now);
        if !why.is_empty() {
            why.clone_into(&mut run.why);
        } else if matches!(state, RunState::Succeeded | RunState::Undone) {
            run.why.clear();
        }
        turn.runs.insert(id);
        self.open.remove(&id);
        self.give_lock(id, turn);
        let (kind, reason, word) = match state {
            RunState::Succeeded => ("run_succeeded", Reason::RunSucceeded, "succeeded"),
            RunState::Cancelled => ("run_cancelled", Reason::RunCancelled, "was stopped"),
            RunState::Expired => ("run_expired", Reason::RunExpired, "was not approved"),
            RunState::Shadowed => ("run_shadowed", Reason::RunShadowed, "was only planned"),
            RunState::Undone => ("undo_finished", Reason::RunUndone, "was taken back"),
            _ => ("run_failed", Reason::RunFailed, "failed"),
        };
        turn.because(reason);
        let run = &self.by_id[&id];
        let mut text = format!("{}: {} {word}", run.plan.title, run.plan.part.describe());
        if !run.why.is_empty() {
            text.push_str(": ");
            text.push_str(&run.why);
        }
        let took = run
            .began_at
            .map(|began| turn.now.duration_since(began).as_millis() as u64);
        let data =
            json!({"state": state, "why": run.why, "elapsed_ms": took, "part": run.plan.part});
        turn.event(run, kind, "system", text, data);
        self.count_evidence(id, turn);
    }
}
