//! One activation: what it wants recorded, collected while it decides.

use std::collections::BTreeSet;

use bellwether_model::state::{NewDelivery, NewEvent, Subject};
use bellwether_model::{Batch, Decision, DeliveryId, IdSource, RunId};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Reason;
use super::record::RunRecord;

/// Collects one activation's decision.
pub(super) struct Turn<'a> {
    pub(super) now: Timestamp,
    ids: &'a mut dyn IdSource,
    pub(super) batch: Batch,
    why: Vec<Reason>,
    /// Runs and steps whose record has changed.
    pub(super) runs: BTreeSet<RunId>,
    pub(super) steps: BTreeSet<(RunId, usize)>,
    /// Locks that became free.
    pub(super) freed: BTreeSet<String>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(now: Timestamp, ids: &'a mut dyn IdSource) -> Self {
        Self {
            now,
            ids,
            batch: Batch::default(),
            why: Vec::new(),
            runs: BTreeSet::new(),
            steps: BTreeSet::new(),
            freed: BTreeSet::new(),
        }
    }

    pub(super) fn finish(self, wake_at: Option<Timestamp>) -> Decision<Reason> {
        Decision {
            batch: self.batch,
            wake_at,
            why: self.why,
        }
    }

    pub(super) fn because(&mut self, reason: Reason) {
        self.why.push(reason);
    }

    /// An entry of the timeline: on the case when the run has one, else on the run.
    pub(super) fn event(
        &mut self,
        run: &RunRecord,
        kind: &str,
        actor: &str,
        text: String,
        mut data: Value,
    ) {
        if let Value::Object(map) = &mut data {
            map.insert("run".to_owned(), json!(run.id));
            map.insert("runbook".to_owned(), json!(run.plan.runbook));
        }
        let subject = match run.case {
            Some(case) => Subject::new("case", case),
            None => Subject::new("run", run.id),
        };
        self.batch.events.push(NewEvent {
            at: self.now,
            subject,
            kind: kind.to_owned(),
            actor: actor.to_owned(),
            text,
            data,
        });
    }

    /// A delivery about a run; returns its id.
    pub(super) fn deliver(
        &mut self,
        run: RunId,
        key: &str,
        (channel, target): (&str, &str),
        payload: Value,
        expires_at: Timestamp,
    ) -> DeliveryId {
        let id = DeliveryId::new(self.now, self.ids);
        self.batch.deliveries.push(NewDelivery {
            id,
            key: key.to_owned(),
            subject: Subject::new("run", run),
            channel: channel.to_owned(),
            target: target.to_owned(),
            payload,
            due_at: self.now,
            expires_at: Some(expires_at),
        });
        id
    }
}
