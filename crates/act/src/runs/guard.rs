//! What stands between an approval and a change: brake, lock, limits of the runbook, budget of automation.

use std::time::Duration;

use bellwether_model::RunId;
use jiff::Timestamp;
use serde_json::json;

use super::record::{Brake, Lock, RunRecord};
use super::turn::Turn;
use super::{Automatic, BRAKE, LOCK, Reason, RunState, Runs, Trigger};
use crate::ladder::Earned;
use bellwether_model::state::{NewEvent, Subject};

impl Runs {
    /// Why a change may not begin now, when it may not.
    pub(super) fn guard_change(&self, run: &RunRecord, now: Timestamp) -> Option<Reason> {
        if self.brake.is_some() {
            return Some(Reason::BrakeHeld);
        }
        let limits = &run.plan.limits;
        if let Some(lock) = limits.lock.as_ref().and_then(|name| self.locks.get(name))
            && lock.holder.is_some_and(|holder| holder != run.id)
        {
            return Some(Reason::LockHeld);
        }
        // Earlier changes by the same page under the same lock, so on the same target.
        let earlier = || {
            self.by_id.values().filter(move |other| {
                other.id != run.id
                    && other.plan.runbook == run.plan.runbook
                    && other.plan.limits.lock == limits.lock
                    && other.plan.changes()
            })
        };
        if let Some((n, window_ms)) = limits.runs {
            let since = now - Duration::from_millis(window_ms);
            let count = earlier()
                .filter(|other| other.began_at.is_some_and(|began| began > since))
                .count();
            if count >= n as usize {
                return Some(Reason::TooManyRuns);
            }
        }
        if let Some(cooldown_ms) = limits.cooldown_ms {
            let since = now - Duration::from_millis(cooldown_ms);
            if earlier().any(|other| {
                other
                    .ended_at
                    .or(other.began_at)
                    .is_some_and(|at| at > since)
                    && other.began_at.is_some()
            }) {
                return Some(Reason::CoolingDown);
            }
        }
        None
    }

    /// Why a change may not begin without a tap, when it may not.
    pub(super) fn guard_automatic(&self, run: &RunRecord, now: Timestamp) -> Option<Reason> {
        let earned = self.earned(&run.plan.runbook, &run.plan.runbook_hash);
        let allowed = earned == Some(Earned::Automatic)
            || match &self.settings.automatic {
                Automatic::Never => false,
                Automatic::These(ids) => ids.contains(&run.plan.runbook),
                Automatic::All => true,
            };
        if run.plan.braked.is_some() {
            return Some(Reason::FleetBrake);
        }
        // What asks for a person anywhere is not automatic.
        let asks = run.plan.approval.is_some()
            || run
                .plan
                .steps
                .iter()
                .any(|step| step.approve || step.confirm);
        if !allowed || asks {
            return Some(Reason::NotAutomatic);
        }
        let automatic =
            |other: &&RunRecord| other.trigger == Trigger::Automatic && other.plan.changes();
        let day = now - Duration::from_hours(24);
        let same = self.by_id.values().filter(automatic).filter(|other| {
            other.plan.runbook == run.plan.runbook
                && other.plan.limits.lock == run.plan.limits.lock
                && other.plan.targets() == run.plan.targets()
                && other.plan.inputs == run.plan.inputs
                && other.began_at.is_some_and(|began| began > day)
        });
        if same.count() >= self.settings.same_fix_max as usize {
            return Some(Reason::SameFixAgain);
        }
        let since = now - self.settings.budget_window;
        let begun = self
            .by_id
            .values()
            .filter(automatic)
            .filter(|other| other.began_at.is_some_and(|began| began > since))
            .count();
        let open = self
            .open
            .iter()
            .filter_map(|id| self.by_id.get(id))
            .filter(automatic)
            .filter(|other| !matches!(other.state, RunState::WaitingApproval | RunState::Queued))
            .count();
        (begun >= self.settings.budget_runs as usize
            || open >= self.settings.budget_concurrent as usize)
            .then_some(Reason::BudgetSpent)
    }

    /// Takes the run's lock, which the guard has found free; returns the fence, 0 without a lock.
    pub(super) fn take_lock(&mut self, id: RunId, turn: &mut Turn<'_>) -> u64 {
        let Some(name) = self
            .by_id
            .get(&id)
            .and_then(|run| run.plan.limits.lock.clone())
        else {
            return 0;
        };
        let lock = self.locks.entry(name.clone()).or_insert_with(|| Lock {
            version: 1,
            name: name.clone(),
            holder: None,
            fence: 0,
        });
        lock.holder = Some(id);
        lock.fence += 1;
        turn.batch.put(LOCK, &name, &*lock, None);
        lock.fence
    }

    /// Gives the run's lock back; its fence stays as it is and only grows.
    pub(super) fn give_lock(&mut self, id: RunId, turn: &mut Turn<'_>) {
        let name = self
            .by_id
            .get(&id)
            .and_then(|run| run.plan.limits.lock.as_ref());
        if let Some(lock) = name.and_then(|name| self.locks.get_mut(name))
            && lock.holder == Some(id)
        {
            lock.holder = None;
            turn.freed.insert(lock.name.clone());
            turn.batch.put(LOCK, &lock.name, &*lock, None);
        }
    }

    pub(super) fn set_brake(
        &mut self,
        engaged: bool,
        actor: &str,
        reason: &str,
        turn: &mut Turn<'_>,
    ) {
        if engaged == self.brake.is_some() {
            return turn.because(Reason::NotWaiting);
        }
        let (kind, text) = if engaged {
            (
                "brake_engaged",
                format!("{actor} stopped all changes: {reason}"),
            )
        } else {
            ("brake_released", format!("{actor} allowed changes again"))
        };
        turn.batch.events.push(NewEvent {
            at: turn.now,
            subject: Subject::new("brake", "global"),
            kind: kind.to_owned(),
            actor: actor.to_owned(),
            text,
            data: json!({"reason": reason}),
        });
        if engaged {
            let brake = Brake {
                version: 1,
                actor: actor.to_owned(),
                reason: reason.to_owned(),
                since: turn.now,
            };
            turn.batch.put(BRAKE, "global", &brake, None);
            self.brake = Some(brake);
            turn.because(Reason::BrakeEngaged);
        } else {
            turn.batch.delete(BRAKE, "global");
            self.brake = None;
            turn.because(Reason::BrakeReleased);
        }
    }
}
