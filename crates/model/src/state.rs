//! What engines ask the store to record, and the adapters to do.
//!
//! An engine answers each event with a [`Decision`]: new versions of records, deliveries for the outbox, entries of
//! the timeline. The shell commits all of it in one transaction ([`Batch`]) and only then lets adapters perform the
//! deliveries, at least once, each with its idempotency key. A record that waits for something carries the time in
//! `due_at`: the timer is part of the record, so it can neither outlive it nor fire for an older version.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::DeliveryId;

/// Kind of a record, a constant of the crate that owns it (`case`, `group`, `alert_rule`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Kind(pub &'static str);

/// What a record must look like for a write to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Expect {
    /// Any version: the writer owns this record.
    #[default]
    Any,
    /// The record must not exist.
    Absent,
    /// The record must have this version (compare-and-set).
    Version(u64),
}

/// A new version of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordWrite {
    pub kind: Kind,
    pub id: String,
    pub expect: Expect,
    /// `None` deletes the record.
    pub body: Option<Value>,
    /// When its owner wants to be woken.
    pub due_at: Option<Timestamp>,
}

/// A record as stored. The body is JSON with a `version` tag that its owner reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub kind: String,
    pub id: String,
    /// Grows by one with each write, from 1.
    pub version: u64,
    pub due_at: Option<Timestamp>,
    pub body: Value,
}

/// What an event or a delivery is about: `case/case-0…`, `run/run-0…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    pub kind: String,
    pub id: String,
}

/// Something for an adapter to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDelivery {
    pub id: DeliveryId,
    /// Idempotency key; a second delivery with the same key is not stored.
    pub key: String,
    pub subject: Subject,
    /// Which adapter: `webhook`, `email`, `ntfy`, `terminal`, `browser`, `desktop`, `exec`.
    pub channel: String,
    /// Where to, in the adapter's own terms: an address, a receiver's name, a person.
    pub target: String,
    /// What the adapter needs to do it. Never a secret: those are looked up by reference.
    pub payload: Value,
    /// Not before.
    pub due_at: Timestamp,
    /// No attempt is begun after this time; the delivery fails instead.
    pub expires_at: Option<Timestamp>,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for its time or its turn.
    Pending,
    /// An attempt is in flight; its outcome is unknown after a crash.
    Sending,
    /// The other side took it.
    Done,
    /// Given up.
    Failed,
    /// No longer wanted.
    Cancelled,
}

/// What is known of a message's way to a person, normalised over providers. Later states are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    Unknown,
    Queued,
    Accepted,
    Sent,
    Delivered,
    Read,
    Answered,
    FailedTemporarily,
    FailedPermanently,
}

/// A delivery as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    #[serde(flatten)]
    pub new: NewDelivery,
    pub state: DeliveryState,
    /// Attempts begun so far.
    pub attempt: u32,
    /// Fence of the owner that began the last attempt.
    pub fence: u64,
    /// Until when the attempt in flight may be left alone.
    pub lease_until: Option<Timestamp>,
    pub receipt: Receipt,
    /// Why the last attempt failed; empty when it did not.
    pub error: String,
    /// The provider's id of the message, when it gave one.
    pub provider_id: String,
}

/// A change of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryUpdate {
    pub id: DeliveryId,
    pub state: DeliveryState,
    /// When to try again, for `Pending`.
    pub due_at: Timestamp,
    /// Begun attempts; never falls.
    pub attempt: u32,
    pub fence: u64,
    pub lease_until: Option<Timestamp>,
    pub receipt: Receipt,
    pub error: String,
    pub provider_id: String,
}

/// An entry of the timeline, append-only: what happened, to what, by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    pub at: Timestamp,
    pub subject: Subject,
    /// Stable `snake_case` word: `case_opened`, `page_sent`, `step_finished`.
    pub kind: String,
    /// `system`, `user:ana`, `rule:HighLatency`.
    pub actor: String,
    /// One sentence for people.
    pub text: String,
    /// The facts behind it.
    pub data: Value,
}

/// A stored entry of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the log, from 1, without gaps in one store.
    pub seq: u64,
    #[serde(flatten)]
    pub new: NewEvent,
}

/// All that one activation wants recorded: stored in one transaction or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Batch {
    pub records: Vec<RecordWrite>,
    pub deliveries: Vec<NewDelivery>,
    pub updates: Vec<DeliveryUpdate>,
    pub events: Vec<NewEvent>,
}

/// What an engine answers to an event.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision<R = &'static str> {
    pub batch: Batch,
    /// When the engine wants to be stepped again even if nothing happens.
    pub wake_at: Option<Timestamp>,
    /// Why it acted or did not, in the order it decided.
    pub why: Vec<R>,
}

// === impl ===

impl Subject {
    /// A subject of a kind.
    pub fn new(kind: &str, id: impl ToString) -> Self {
        Self {
            kind: kind.to_owned(),
            id: id.to_string(),
        }
    }
}

impl Batch {
    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        let Self {
            records,
            deliveries,
            updates,
            events,
        } = self;
        records.is_empty() && deliveries.is_empty() && updates.is_empty() && events.is_empty()
    }

    /// Adds another batch, in order.
    pub fn append(&mut self, other: Self) {
        self.records.extend(other.records);
        self.deliveries.extend(other.deliveries);
        self.updates.extend(other.updates);
        self.events.extend(other.events);
    }

    /// Keeps one write per record: the body of the last, with what the first expected. Stores call it before they
    /// commit, so that steps taken together cost one write per record.
    pub fn compact(&mut self) {
        let mut last: BTreeMap<(Kind, String), usize> = BTreeMap::new();
        let mut kept: Vec<RecordWrite> = Vec::with_capacity(self.records.len());
        for write in self.records.drain(..) {
            match last.get(&(write.kind, write.id.clone())) {
                Some(index) => {
                    let expect = kept[*index].expect;
                    kept[*index] = RecordWrite { expect, ..write };
                }
                None => {
                    last.insert((write.kind, write.id.clone()), kept.len());
                    kept.push(write);
                }
            }
        }
        self.records = kept;
    }

    /// Puts a record, whatever version is there.
    pub fn put(
        &mut self,
        kind: Kind,
        id: impl ToString,
        body: &impl Serialize,
        due_at: Option<Timestamp>,
    ) {
        let body = serde_json::to_value(body).expect("records are plain data that JSON can hold");
        self.records.push(RecordWrite {
            kind,
            id: id.to_string(),
            expect: Expect::Any,
            body: Some(body),
            due_at,
        });
    }

    /// Deletes a record, whatever version is there.
    pub fn delete(&mut self, kind: Kind, id: impl ToString) {
        self.records.push(RecordWrite {
            kind,
            id: id.to_string(),
            expect: Expect::Any,
            body: None,
            due_at: None,
        });
    }
}

impl<R> Decision<R> {
    /// Adds a later decision of the same activation.
    pub fn append(&mut self, other: Self) {
        self.batch.append(other.batch);
        self.wake_at = match (self.wake_at, other.wake_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.why.extend(other.why);
    }
}
