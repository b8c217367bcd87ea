//! The pager: `step` in, decision out.
//!
//! Reading order: `ingest` (alerts), `dispatch` (groups and their flush), `mute` (inhibition, silences, intervals),
//! `notify` (receivers), `cases`, `escalate` (policies, people, pages), `messages` (what a page says), `changes`
//! (silences, overrides, configuration), `restore`, `views`, `invariants`. `state` holds it all.

mod cases;
mod changes;
mod dispatch;
mod escalate;
mod ingest;
mod invariants;
mod messages;
mod mute;
mod notify;
mod restore;
mod state;
mod views;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bellwether_model::IdSource;
use bellwether_model::state::{Decision, Record};
use jiff::Timestamp;

use crate::config::PageConfig;
use crate::event::PagerEvent;
use crate::reason::Reason;

pub use changes::silence_refusal;
pub use ingest::{ALERT_BYTES_MAX, LABELS_MAX, refusal as alert_refusal};
pub use state::{Pager, urgency_of};

use state::{Due, StepIds};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// `PG1`, `PG2`, `PG4`: see the architecture.
    pub id: &'static str,
    pub text: String,
}

impl Pager {
    /// A pager that knows nothing yet.
    pub fn new(config: Arc<PageConfig>) -> Self {
        Self::empty(config)
    }

    /// Takes over the records of [`KINDS`](crate::record::KINDS), in any order, after a start. A record that cannot
    /// be read is named in the answer and left alone; the rest goes on. Alerts that ran out while the pager was down
    /// get `resolve_timeout` to be heard of again. Afterwards feed a `DeliveryResult` for every delivery that has
    /// ended but whose result may not have been taken (repeats are harmless), then `Tick`.
    pub fn restore(&mut self, records: &[Record], now: Timestamp) -> Vec<String> {
        self.take_records(records, now)
    }

    /// Does what is due at `now`, then takes the event. Commit the decision's batch before performing its deliveries.
    pub fn step(
        &mut self,
        now: Timestamp,
        event: PagerEvent,
        ids: &mut dyn IdSource,
    ) -> Decision<Reason> {
        self.ids = StepIds::begin(ids);
        self.run_due(now);
        self.take(now, event);
        self.describe_stale();
        self.run_due(now);
        self.ids.end(ids);
        let (batch, why) = self.finish();
        Decision {
            batch,
            wake_at: self.next_wake(),
            why,
        }
    }

    /// When the pager wants the next `Tick`.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.first_due()
    }

    /// The configuration in use.
    pub fn config(&self) -> &Arc<PageConfig> {
        &self.config
    }

    fn run_due(&mut self, now: Timestamp) {
        while let Some(what) = self.pop_due(now) {
            match what {
                Due::Alert(fingerprint) => self.alert_due(now, fingerprint),
                Due::Dirty => self.flush_dirty(now),
                Due::Silence(id) => self.silence_due(&id),
                Due::Override(id) => {
                    self.overrides.remove(&id);
                    self.touch(Due::Override(id));
                }
                Due::Nflog(key) => {
                    self.nflog.remove(&key);
                    self.touch(Due::Nflog(key));
                }
                Due::Group(id) => self.group_due(now, &id),
                Due::Case(id) => self.case_due(now, id),
                Due::CaseAlert(..) => {}
            }
        }
    }

    fn take(&mut self, now: Timestamp, event: PagerEvent) {
        match event {
            PagerEvent::Alerts { alerts, source } => self.take_alerts(now, alerts, &source),
            PagerEvent::Tick => {}
            PagerEvent::DeliveryResult(result) => self.take_result(now, &result),
            PagerEvent::Acknowledge { case, actor, as_of } => {
                self.acknowledge(now, case, &actor, as_of);
            }
            PagerEvent::Unacknowledge { case, actor } => self.unacknowledge(now, case, &actor),
            PagerEvent::Resolve { case, actor, text } => self.resolve(now, case, &actor, &text),
            PagerEvent::Snooze { case, actor, until } => self.snooze(now, case, &actor, until),
            PagerEvent::EscalateNow {
                case,
                actor,
                as_of_step,
            } => self.escalate_now(now, case, &actor, as_of_step),
            PagerEvent::Comment { case, actor, text } => self.comment(now, case, &actor, &text),
            PagerEvent::OpenCase(new) => self.open_by_hand(now, new),
            PagerEvent::SilenceSet(new) => self.set_silence(now, new),
            PagerEvent::SilenceExpire { id, actor } => self.expire_silence(now, &id, &actor),
            PagerEvent::OverrideAdd(new) => self.add_override(now, new),
            PagerEvent::OverrideRemove { id, actor } => self.remove_override(now, &id, &actor),
            PagerEvent::ContextReady { case, text } => self.context_ready(now, case, &text),
            PagerEvent::Reconfigure(config) => self.reconfigure(now, config),
        }
    }
}
