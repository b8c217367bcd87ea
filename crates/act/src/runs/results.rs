//! What came of steps, probes and checks.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::RunId;
use regex::Regex;
use serde_json::{Value, json};

use super::advance::new_checks;
use super::record::{Need, Role};
use super::turn::Turn;
use super::{Reason, RunState, Runs, StepState};
use crate::payload::{Outcome, Output, StepResult, VerifyResult};
use crate::plan::{Action, PlannedStep};
use crate::runbook::{Capture, CaptureAs};

/// Longest value and most fields of a capture.
const CAPTURED_BYTES_MAX: usize = 4 << 10;
const CAPTURED_FIELDS_MAX: usize = 64;

/// Whose result a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Step,
    Probe,
    Check,
}

impl Runs {
    /// Finds what a key belongs to, when that still waits for it.
    fn locate(&self, key: &str) -> Option<(RunId, usize, Of)> {
        let mut parts = key.split('/');
        let id: RunId = parts.next()?.parse().ok()?;
        let index: usize = parts.next()?.parse().ok()?;
        let step = self.steps.get(&id)?.get(index)?;
        let of = match parts.nth(1) {
            None => Of::Step,
            Some("probe") => Of::Probe,
            Some(_) => Of::Check,
        };
        let expected = match of {
            Of::Step => Some(step.key.as_str()),
            Of::Probe => step
                .probe
                .as_ref()
                .filter(|probe| probe.outcome.is_none())
                .map(|probe| probe.key.as_str()),
            Of::Check => step
                .checks
                .as_ref()
                .and_then(|checks| checks.key.as_deref()),
        };
        let waiting = match of {
            Of::Step => step.in_flight() || step.state == StepState::Unknown,
            Of::Probe => step.state == StepState::Unknown,
            Of::Check => step.state == StepState::Verifying,
        };
        (waiting && expected == Some(key)).then_some((id, index, of))
    }

    pub(super) fn step_started(&mut self, key: &str, turn: &mut Turn<'_>) -> Option<RunId> {
        let Some((id, index, Of::Step)) = self.locate(key) else {
            turn.because(Reason::Late);
            return None;
        };
        let settings = self.settings.clone();
        let run = self.by_id.get(&id)?;
        let time_max = self.steps[&id][index].planned(&run.plan)?.time_max();
        let step = self.step_mut(id, index);
        if step.state == StepState::Intent {
            step.state = StepState::Started;
            step.begun_at = Some(turn.now);
            step.lost_at = Some(turn.now + time_max + settings.result_slack);
            turn.steps.insert((id, index));
            turn.runs.insert(id);
            turn.because(Reason::StepStarted);
        }
        Some(id)
    }

    pub(super) fn step_outcome(
        &mut self,
        key: &str,
        result: StepResult,
        turn: &mut Turn<'_>,
    ) -> Option<RunId> {
        let located = self.locate(key);
        let Some((id, index, of)) = located else {
            turn.because(Reason::Late);
            return None;
        };
        // What became of telling a person says nothing about what the person does.
        let planned = self.steps[&id][index].planned(&self.by_id[&id].plan);
        if of == Of::Step
            && planned.is_some_and(|step| matches!(step.action, Action::Manual { .. }))
        {
            turn.because(Reason::WaitsForPerson);
            return None;
        }
        turn.runs.insert(id);
        match of {
            Of::Probe => self.probe_answered(id, index, result.outcome, Some(&result.output), turn),
            // A check that could not even be handed over comes back as an outcome.
            Of::Check => {
                let text = result.outcome.describe();
                self.check_answered(id, index, None, text, turn);
            }
            Of::Step => match result.outcome {
                Outcome::Unknown { reason } => {
                    if self.steps[&id][index].state == StepState::Unknown {
                        turn.because(Reason::Late);
                    } else {
                        self.became_unknown(id, index, reason, turn);
                    }
                }
                _ => self.step_ended(id, index, result, turn),
            },
        }
        Some(id)
    }

    pub(super) fn verify_result(
        &mut self,
        key: &str,
        result: VerifyResult,
        turn: &mut Turn<'_>,
    ) -> Option<RunId> {
        let Some((id, index, Of::Check)) = self.locate(key) else {
            turn.because(Reason::Late);
            return None;
        };
        turn.runs.insert(id);
        match result {
            VerifyResult::Holds { text } => self.check_answered(id, index, Some(true), text, turn),
            VerifyResult::NotYet { text } => {
                self.check_answered(id, index, Some(false), text, turn);
            }
            VerifyResult::Error { error } => self.check_answered(id, index, None, error, turn),
        }
        Some(id)
    }

    pub(super) fn became_unknown(
        &mut self,
        id: RunId,
        index: usize,
        reason: String,
        turn: &mut Turn<'_>,
    ) {
        let step = self.step_mut(id, index);
        step.state = StepState::Unknown;
        step.probe = None;
        step.lost_at = None;
        step.ended_at = Some(turn.now);
        step.outcome = Some(Outcome::Unknown {
            reason: reason.clone(),
        });
        turn.steps.insert((id, index));
        turn.because(Reason::StepUnknown);
        if let Some(run) = self.by_id.get_mut(&id) {
            run.had_unknown = true;
        }
        turn.runs.insert(id);
        let (run, step) = (&self.by_id[&id], &self.steps[&id][index]);
        let text = format!("Step {} may or may not have run: {reason}", step.id);
        let data =
            json!({"step": step.id, "attempt": step.attempt, "key": step.key, "reason": reason});
        turn.event(run, "step_unknown", "system", text, data);
    }

    /// A step ended in a way that is known, perhaps after it was given up as unknown.
    fn step_ended(&mut self, id: RunId, index: usize, result: StepResult, turn: &mut Turn<'_>) {
        let StepResult {
            outcome,
            output,
            duration_ms,
            secrets,
        } = result;
        let run = &self.by_id[&id];
        let Some(planned) = self.steps[&id][index].planned(&run.plan).cloned() else {
            return;
        };
        let ended = run.state.ended();
        let verdict = judge(&planned, &outcome, &output);
        let step = self.step_mut(id, index);
        step.captured = match (&planned.capture, &verdict) {
            (Some(capture), Ok(())) => captured(capture, &output.stdout),
            _ => BTreeMap::new(),
        };
        step.outcome = Some(outcome.clone());
        step.output = output.capped();
        step.ended_at = Some(turn.now);
        step.lost_at = None;
        step.probe = None;
        turn.steps.insert((id, index));
        let (attempt, sha256) = (step.attempt, step.output.sha256.clone());
        let data = json!({
            "step": planned.id, "attempt": attempt, "outcome": outcome, "ok": verdict.is_ok(),
            "duration_ms": duration_ms, "output_sha256": sha256, "output": excerpt(&step.output), "secrets": secrets,
        });
        let main = matches!(step.role, Role::Main { .. });
        let kind = if main {
            "step_finished"
        } else {
            "undo_step_finished"
        };
        let text = match &verdict {
            Ok(()) => format!("{}: {}", planned.title, outcome.describe()),
            Err(fault) => format!("{}: {fault}", planned.title),
        };
        turn.event(&self.by_id[&id], kind, "system", text, data);
        match verdict {
            Ok(()) => self.step_went_well(id, index, &planned, turn),
            Err(fault) => {
                turn.because(Reason::StepFailed);
                if !ended && attempt <= planned.retries && planned.idempotent {
                    let pause = Duration::from_secs(1 << attempt.min(6));
                    self.again(
                        id,
                        index,
                        &format!("{fault}; it is idempotent"),
                        turn.now + pause,
                        turn,
                    );
                } else {
                    let step = self.step_mut(id, index);
                    step.state = StepState::Failed;
                    step.note = fault;
                }
            }
        }
        self.unpark(id, turn);
    }

    /// Done; now its verify query, when it has one.
    pub(super) fn step_went_well(
        &mut self,
        id: RunId,
        index: usize,
        planned: &PlannedStep,
        turn: &mut Turn<'_>,
    ) {
        let now = turn.now;
        let ended = self.by_id[&id].state.ended();
        let step = self.step_mut(id, index);
        step.note.clear();
        match &planned.verify {
            Some(verify) if !ended => {
                step.state = StepState::Verifying;
                step.checks = Some(new_checks(verify.within_ms, now));
            }
            _ => self.step_succeeded(id, index, turn),
        }
        turn.steps.insert((id, index));
    }

    fn step_succeeded(&mut self, id: RunId, index: usize, turn: &mut Turn<'_>) {
        let step = self.step_mut(id, index);
        step.state = StepState::Succeeded;
        step.ended_at = Some(turn.now);
        turn.steps.insert((id, index));
        turn.because(Reason::StepSucceeded);
        let role = step.role;
        self.mark_undone(id, role, turn);
    }

    /// A run that was parked for a step whose outcome is now known goes on.
    fn unpark(&mut self, id: RunId, turn: &mut Turn<'_>) {
        let undoing = self
            .step_records(id)
            .iter()
            .any(|step| !matches!(step.role, Role::Main { .. }));
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        let for_step = matches!(
            run.need,
            Some(Need::Resolve { .. } | Need::Manual { .. } | Need::UndoFailed { .. })
        );
        if run.state == RunState::Parked && for_step {
            run.state = if undoing {
                RunState::Undoing
            } else {
                RunState::Running
            };
            run.need = None;
            run.why.clear();
            turn.runs.insert(id);
        }
    }

    pub(super) fn probe_answered(
        &mut self,
        id: RunId,
        index: usize,
        outcome: Outcome,
        output: Option<&Output>,
        turn: &mut Turn<'_>,
    ) {
        let run = &self.by_id[&id];
        let Some(planned) = self.steps[&id][index].planned(&run.plan).cloned() else {
            return;
        };
        let Some(probe) = planned.probe.as_deref() else {
            return;
        };
        let done = probe_says(probe, &outcome, output);
        if let Some(record) = &mut self.step_mut(id, index).probe {
            record.outcome = Some(outcome.clone());
        }
        turn.steps.insert((id, index));
        let word = match done {
            Some(true) => "it was done",
            Some(false) => "it was not done",
            None => "it cannot tell",
        };
        let text = format!("Probe of step {}: {word}", planned.id);
        let data = json!({"step": planned.id, "outcome": outcome, "done": done});
        turn.event(&self.by_id[&id], "probe_finished", "system", text, data);
        if self.by_id[&id].state.ended() {
            return;
        }
        match done {
            Some(true) => self.step_went_well(id, index, &planned, turn),
            Some(false) => self.again(id, index, "its probe says it was not done", turn.now, turn),
            None => {}
        }
    }

    /// `holds` is `None` when the question could not be answered.
    pub(super) fn check_answered(
        &mut self,
        id: RunId,
        index: usize,
        holds: Option<bool>,
        text: String,
        turn: &mut Turn<'_>,
    ) {
        let poll = self.settings.verify_poll;
        let now = turn.now;
        let step = self.step_mut(id, index);
        let Some(checks) = &mut step.checks else {
            return;
        };
        checks.key = None;
        checks.last = text.chars().take(2_000).collect();
        turn.steps.insert((id, index));
        let (asked, until, name) = (checks.asked, checks.until, step.id.clone());
        let data = json!({"step": name, "asked": asked, "last": checks.last});
        if holds == Some(true) {
            self.step_succeeded(id, index, turn);
            turn.because(Reason::VerifyHeld);
            let text = format!("Verified: {}", self.title_of(id, index));
            turn.event(&self.by_id[&id], "verify_held", "system", text, data);
        } else if now >= until {
            let note = match holds {
                None => format!("its verify query could not be answered: {}", checks.last),
                _ => "its verify query did not come true in time".to_owned(),
            };
            step.state = StepState::Failed;
            step.ended_at = Some(now);
            step.note.clone_from(&note);
            turn.because(Reason::VerifyFailed);
            let text = format!("{}: {note}", self.title_of(id, index));
            turn.event(&self.by_id[&id], "verify_failed", "system", text, data);
        } else {
            checks.next_at = (now + poll).min(until);
            turn.because(Reason::VerifyNotYet);
        }
    }

    fn title_of(&self, id: RunId, index: usize) -> String {
        let step = &self.steps[&id][index];
        step.planned(&self.by_id[&id].plan)
            .map_or_else(|| step.id.clone(), |planned| planned.title.clone())
    }

    /// A person did a manual step, or says what came of a step of unknown outcome.
    pub(super) fn told(&mut self, told: Told<'_>, turn: &mut Turn<'_>) {
        let Told {
            run: id,
            step: name,
            actor,
            done,
            note,
            manual,
        } = told;
        let Some(run) = self.by_id.get(&id) else {
            return turn.because(Reason::NoSuchRun);
        };
        let waits = match &run.need {
            Some(Need::Manual { step }) => manual && step == name,
            Some(Need::Resolve { step }) => !manual && step == name,
            _ => false,
        };
        let state = if manual {
            StepState::Started
        } else {
            StepState::Unknown
        };
        let index = self
            .step_records(id)
            .iter()
            .position(|step| step.id == name && step.state == state);
        let Some(index) = index.filter(|_| waits && run.state == RunState::Parked) else {
            let known = run.plan.steps.iter().any(|step| step.id == name);
            return turn.because(if known {
                Reason::NotWaiting
            } else {
                Reason::NoSuchStep
            });
        };
        let Some(planned) = self.steps[&id][index].planned(&run.plan).cloned() else {
            return;
        };
        let step = self.step_mut(id, index);
        actor.clone_into(&mut step.by);
        step.ended_at = Some(turn.now);
        turn.steps.insert((id, index));
        let word = if done { "was done" } else { "was not done" };
        let data = json!({"step": name, "done": done, "note": note, "manual": manual});
        let kind = if manual {
            "step_finished"
        } else {
            "step_resolved"
        };
        turn.event(
            &self.by_id[&id],
            kind,
            actor,
            format!("{}: {actor} says it {word}", planned.title),
            data,
        );
        self.unpark(id, turn);
        if done {
            self.step_went_well(id, index, &planned, turn);
        } else if manual {
            let step = self.step_mut(id, index);
            step.state = StepState::Failed;
            step.note = format!("{actor}: {note}");
            // Nothing was done, so there is nothing to take back.
            step.outcome = None;
        } else {
            self.again(
                id,
                index,
                &format!("{actor} says it was not done"),
                turn.now,
                turn,
            );
        }
        let step = self.step_mut(id, index);
        if step.note.is_empty() {
            note.clone_into(&mut step.note);
        }
    }
}

/// A person's word about a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) run: RunId,
    pub(super) step: &'a str,
    pub(super) actor: &'a str,
    pub(super) done: bool,
    pub(super) note: &'a str,
    pub(super) manual: bool,
}

/// Whether an outcome counts as success, or why not.
fn judge(planned: &PlannedStep, outcome: &Outcome, output: &Output) -> Result<(), String> {
    let listed = |code: i32| planned.ok.contains(&code);
    let ok = match outcome {
        Outcome::Exited { code } => listed(*code) || (*code == 0 && planned.ok.is_empty()),
        Outcome::Responded { status } => {
            listed(i32::from(*status)) || (planned.ok.is_empty() && (200..300).contains(status))
        }
        Outcome::Answered => true,
        _ => false,
    };
    if !ok {
        return Err(outcome.describe());
    }
    let Some(expect) = &planned.expect else {
        return Ok(());
    };
    match Regex::new(expect) {
        Ok(regex) if regex.is_match(&output.stdout) || regex.is_match(&output.stderr) => Ok(()),
        _ => Err(format!(
            "{}, but its output does not match {expect:?}",
            outcome.describe()
        )),
    }
}

/// Whether a probe says that its step was done; `None` when it cannot tell.
fn probe_says(probe: &PlannedStep, outcome: &Outcome, output: Option<&Output>) -> Option<bool> {
    match outcome {
        Outcome::Exited { code: 0 } => match (&probe.expect, output) {
            (Some(_), Some(output)) => Some(judge(probe, outcome, output).is_ok()),
            _ => Some(true),
        },
        Outcome::Exited { code: 1 } => Some(false),
        Outcome::Responded { status } if *status < 500 => {
            Some(judge(probe, outcome, output.unwrap_or(&Output::default())).is_ok())
        }
        // A condition that holds has samples.
        Outcome::Answered if matches!(probe.action, Action::Promql { .. } | Action::Check) => {
            output.map(|output| !output.stdout.trim().is_empty())
        }
        Outcome::Answered => output.map(|output| judge(probe, outcome, output).is_ok()),
        _ => None,
    }
}

/// Fields of a step's output, for later steps.
fn captured(capture: &Capture, stdout: &str) -> BTreeMap<String, String> {
    let short = |text: &str| text[..text.floor_char_boundary(CAPTURED_BYTES_MAX)].to_owned();
    match capture.form {
        CaptureAs::Text => BTreeMap::from([("text".to_owned(), short(stdout.trim_end()))]),
        CaptureAs::Json => match serde_json::from_str::<Value>(stdout) {
            Ok(Value::Object(map)) => map
                .into_iter()
                .take(CAPTURED_FIELDS_MAX)
                .map(|(key, value)| {
                    let text = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    (key, short(&text))
                })
                .collect(),
            Ok(other) => BTreeMap::from([("json".to_owned(), short(&other.to_string()))]),
            Err(_) => BTreeMap::new(),
        },
        CaptureAs::Regex => {
            let Ok(regex) = Regex::new(&capture.pattern) else {
                return BTreeMap::new();
            };
            let Some(found) = regex.captures(stdout) else {
                return BTreeMap::new();
            };
            regex
                .capture_names()
                .flatten()
                .filter_map(|name| Some((name.to_owned(), short(found.name(name)?.as_str()))))
                .collect()
        }
    }
}

/// The first lines of an output, for the timeline.
fn excerpt(output: &Output) -> String {
    let text = if output.stdout.trim().is_empty() {
        &output.stderr
    } else {
        &output.stdout
    };
    let lines: Vec<&str> = text.lines().take(20).collect();
    let text = lines.join("\n");
    text[..text.floor_char_boundary(2_000)].to_owned()
}
