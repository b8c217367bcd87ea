//! The pager: `step` in, decision out.
//!
//! Reading order: [`ingest`] (alerts), [`dispatch`] (groups and their flush), [`mute`] (inhibition and silences),
//! [`notify`] (receivers), [`cases`], [`escalate`] (policies, people, pages), [`changes`] (silences, overrides,
//! configuration), [`restore`], [`views`], [`invariants`].

mod state;

use std::sync::Arc;

use bellwether_model::state::{Decision, Record};
use bellwether_model::{CaseId, IdSource};
use jiff::Timestamp;

use crate::config::PageConfig;
use crate::event::PagerEvent;
use crate::reason::Reason;
use crate::record::Case;
use crate::schedule::{Override, Shift};
use crate::view::{AlertView, CaseView, GroupView, OnCallView, SilenceView};

pub use state::Pager;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// `PG1`, `PG2`, `PG4`: see architecture.
    pub id: &'static str,
    pub text: String,
}

impl Pager {
    /// A pager that knows nothing yet.
    pub fn new(config: Arc<PageConfig>) -> Self {
        Self { config }
    }

    /// Takes over the records of [`KINDS`](crate::record::KINDS), in any order, after a start. A record that cannot
    /// be read is named in the answer and left alone; the rest goes on. Alerts that ran out while the pager was down
    /// get `resolve_timeout` to be heard of again. Afterwards feed a `DeliveryResult` for every delivery that has
    /// ended but whose result may not have been taken (repeats are harmless), then `Tick`.
    pub fn restore(&mut self, records: &[Record], now: Timestamp) -> Vec<String> {
        let _ = (records, now);
        Vec::new()
    }

    /// Does what is due at `now`, then takes the event. Commit the decision's batch before performing its deliveries.
    pub fn step(
        &mut self,
        now: Timestamp,
        event: PagerEvent,
        ids: &mut dyn IdSource,
    ) -> Decision<Reason> {
        let _ = (now, event, ids);
        Decision {
            batch: bellwether_model::Batch::default(),
            wake_at: None,
            why: Vec::new(),
        }
    }

    /// When the pager wants the next `Tick`.
    pub fn next_wake(&self) -> Option<Timestamp> {
        None
    }

    /// The configuration in use.
    pub fn config(&self) -> &Arc<PageConfig> {
        &self.config
    }

    /// Cases: open ones first, then resolved ones (kept for a while), newest first.
    pub fn cases(&self) -> Vec<&Case> {
        Vec::new()
    }

    /// One case with its causes and what happens next.
    pub fn case(&self, id: CaseId, now: Timestamp) -> Option<CaseView> {
        let _ = (id, now);
        None
    }

    /// A case by id, or by its five-character code when that is unique.
    pub fn find_case(&self, text: &str) -> Option<CaseId> {
        let _ = text;
        None
    }

    /// Why this case pages, or does not, in sentences.
    pub fn why(&self, id: CaseId, now: Timestamp) -> Vec<String> {
        let _ = (id, now);
        Vec::new()
    }

    /// Groups with their alerts, in the order of Alertmanager's `alerts/groups`.
    pub fn groups(&self, now: Timestamp) -> Vec<GroupView> {
        let _ = now;
        Vec::new()
    }

    /// Alerts that have not ended, by fingerprint.
    pub fn alerts(&self, now: Timestamp) -> Vec<AlertView> {
        let _ = now;
        Vec::new()
    }

    /// Silences, also those that have ended less than the retention (120 h) ago.
    pub fn silences(&self, now: Timestamp) -> Vec<SilenceView> {
        let _ = now;
        Vec::new()
    }

    /// What a silence with these matchers would hide now.
    pub fn silence_preview(
        &self,
        matcher_sets: &[Vec<bellwether_model::Matcher>],
        now: Timestamp,
    ) -> Vec<AlertView> {
        let _ = (matcher_sets, now);
        Vec::new()
    }

    /// Overrides that have not ended, by id.
    pub fn overrides(&self) -> Vec<&Override> {
        Vec::new()
    }

    /// Who is on call. An unknown schedule is nobody.
    pub fn who_is_on_call(&self, schedule: &str, at: Timestamp) -> Vec<OnCallView> {
        let _ = (schedule, at);
        Vec::new()
    }

    /// Shifts of a schedule in `[from, to)`, with the layer or override they come from.
    pub fn shifts(&self, schedule: &str, from: Timestamp, to: Timestamp) -> Vec<Shift> {
        let _ = (schedule, from, to);
        Vec::new()
    }

    /// Receivers that alerts with these labels go to, as `amtool config routes test` prints them.
    pub fn routes_for(&self, labels: &bellwether_model::Labels) -> Vec<String> {
        let _ = labels;
        Vec::new()
    }

    /// Checks PG1, PG2 and PG4 on the present state. Call it after a step, with that step's `now`.
    pub fn check_invariants(&self, now: Timestamp) -> Vec<Violation> {
        let _ = now;
        Vec::new()
    }
}
