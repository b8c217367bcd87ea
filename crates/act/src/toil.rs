//! Where human time goes: steps by the minutes that people spend on them in a month.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::plan::Action;
use crate::runs::{Role, Runs, Trigger};

/// One step's share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToilRow {
    pub runbook: String,
    pub title: String,
    pub step: String,
    /// Times a person was needed for it.
    pub times: u32,
    /// Minutes of people in 30 days.
    pub minutes_per_month: f64,
    /// What would save most of it.
    pub hint: &'static str,
}

/// A tap takes a person out of what they did; research on interrupted work finds far more, so this is a floor.
const TAP_MINUTES: f64 = 1.0;
/// Longest wait of one step that counts as work.
const WAIT_MAX_MINUTES: f64 = 60.0;
const DAY: f64 = 24.0 * 60.0;

/// Ranks steps by human time among the runs that began since. A manual step costs from its begin to a person's word, a
/// step that asked for a person the same, a run that a person started or approved one minute on its first step.
pub fn toil(runs: &Runs, since: Timestamp, now: Timestamp) -> Vec<ToilRow> {
    let mut rows: BTreeMap<(String, String), ToilRow> = BTreeMap::new();
    for view in runs.recent(usize::MAX, now) {
        let Some(run) = runs.record(view.id).filter(|run| run.created_at > since) else {
            continue;
        };
        if run.trigger == Trigger::Shadow {
            continue;
        }
        let person = |actor: &str| actor.starts_with("user:");
        let taps = run
            .approvals
            .iter()
            .filter(|approval| approval.step.is_none() && person(&approval.actor));
        let taps = taps.count().max(usize::from(person(&run.started_by)));
        for (number, step) in runs.step_records(run.id).iter().enumerate() {
            let Some(planned) = step
                .planned(&run.plan)
                .filter(|_| matches!(step.role, Role::Main { .. }))
            else {
                continue;
            };
            let waited = || match (step.begun_at, step.ended_at) {
                (Some(begun), Some(ended)) => {
                    (ended.duration_since(begun).as_secs_f64() / 60.0).clamp(0.0, WAIT_MAX_MINUTES)
                }
                _ => 0.0,
            };
            let manual = matches!(planned.action, Action::Manual { .. });
            let asked = run
                .approvals
                .iter()
                .any(|approval| approval.step == Some(number));
            let (minutes, hint) = if manual && !step.by.is_empty() {
                (waited().max(TAP_MINUTES), "write it as a step that runs")
            } else if !step.by.is_empty() {
                (
                    waited().max(TAP_MINUTES),
                    "give it a probe, so that nobody has to find out",
                )
            } else if asked {
                (TAP_MINUTES, "does it still need its own approval?")
            } else if number == 0 && taps > 0 {
                (
                    TAP_MINUTES * taps as f64,
                    "promote it when its evidence suffices",
                )
            } else {
                continue;
            };
            let key = (run.plan.runbook.clone(), step.id.clone());
            let row = rows.entry(key).or_insert_with(|| ToilRow {
                runbook: run.plan.runbook.clone(),
                title: planned.title.clone(),
                step: step.id.clone(),
                times: 0,
                minutes_per_month: 0.0,
                hint,
            });
            row.times += 1;
            row.minutes_per_month += minutes;
        }
    }
    let days = (now.duration_since(since).as_secs_f64() / 60.0 / DAY).max(1.0);
    let mut rows: Vec<ToilRow> = rows.into_values().collect();
    for row in &mut rows {
        row.minutes_per_month *= 30.0 / days;
    }
    rows.sort_by(|a, b| b.minutes_per_month.total_cmp(&a.minutes_per_month));
    rows
}
