//! What the pager holds in memory, its timers, and what a step has touched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bellwether_model::state::{Batch, Kind, NewEvent, Subject};
use bellwether_model::{CaseId, DeliveryId, IdSource, Labels};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::mute::{InhibitIndex, SilenceIndex};
use crate::config::PageConfig;
use crate::reason::Reason;
use crate::record::{
    ALERT, CASE, CASE_ALERT, Case, GROUP, NFLOG, OVERRIDE, SILENCE, Silence, StoredAlert,
    StoredCaseAlert, StoredGroup, StoredNflog, Urgency,
};
use crate::schedule::Override;

/// The paging engine. See [`step`](Pager::step).
#[derive(Debug)]
pub struct Pager {
    pub(super) config: Arc<PageConfig>,
    pub(super) alerts: BTreeMap<u64, Alert>,
    /// By id: the route's id, a colon, the group's labels.
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    pub(super) nflog: BTreeMap<String, StoredNflog>,
    pub(super) cases: BTreeMap<CaseId, Case>,
    /// Open case of a group and integration.
    pub(super) open_cases: BTreeMap<(String, String), CaseId>,
    /// The last case of a group and integration that a person resolved.
    pub(super) closed_by_hand: BTreeMap<(String, String), CaseId>,
    /// What is counted of a case's alerts, so that nobody counts them.
    pub(super) case_alerts: BTreeMap<CaseId, CaseAlerts>,
    /// Cases of whose alerts words have changed.
    pub(super) stale_cases: BTreeSet<CaseId>,
    /// Open cases of an alert.
    pub(super) cases_of_alert: BTreeMap<u64, BTreeSet<CaseId>>,
    /// Firing alerts that only explain others.
    pub(super) context_alerts: BTreeSet<u64>,
    pub(super) silences: BTreeMap<String, Silence>,
    pub(super) silence_index: SilenceIndex,
    pub(super) overrides: BTreeMap<String, Override>,
    pub(super) inhibit: InhibitIndex,
    pub(super) deliveries: BTreeMap<DeliveryId, Owner>,
    timers: BTreeMap<Due, Timestamp>,
    due: BTreeSet<(Timestamp, Due)>,
    /// Re-sent alerts whose new `ends_at` is not stored yet.
    pub(super) dirty: BTreeSet<u64>,
    touched: BTreeSet<Due>,
    pub(super) batch: Batch,
    pub(super) why: Vec<Reason>,
    /// Drawn once per step; the ids of the step are made from it.
    pub(super) ids: StepIds,
}

#[derive(Debug)]
pub(super) struct Alert {
    pub(super) stored: StoredAlert,
    pub(super) groups: Vec<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) stored: StoredGroup,
    pub(super) node: usize,
    pub(super) members: BTreeSet<u64>,
}

/// Of an open case's alerts.
#[derive(Debug, Default)]
pub(super) struct CaseAlerts {
    pub(super) firing: usize,
    /// In the order in which they ended.
    pub(super) ended: VecDeque<u64>,
}

/// Whose delivery it is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    Notification(Arc<str>, String),
    Page(CaseId),
}

/// Something with a record, and perhaps a timer. In the order in which things due at one instant are done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Alert(u64),
    Dirty,
    Silence(String),
    Override(String),
    Nflog(String),
    Group(Arc<str>),
    Case(CaseId),
    /// An alert of a case; it has no timer.
    CaseAlert(CaseId, u64),
}

/// The numbers of one step: the one that it drew, then those that follow it.
#[derive(Debug, Default)]
pub(super) struct StepIds {
    next: u64,
    taken: u64,
}

impl StepIds {
    pub(super) fn begin(ids: &mut dyn IdSource) -> Self {
        Self {
            next: ids.next_u64(),
            taken: 0,
        }
    }

    /// Tells the source which numbers are gone.
    pub(super) fn end(&self, ids: &mut dyn IdSource) {
        ids.skip(self.taken.saturating_sub(1));
    }
}

impl IdSource for StepIds {
    fn next_u64(&mut self) -> u64 {
        let number = self.next;
        self.skip(1);
        number
    }

    fn skip(&mut self, ids: u64) {
        self.next = self.next.wrapping_add(ids);
        self.taken += ids;
    }
}

/// Ended alerts that an open case remembers.
pub(super) const ENDED_KEPT: usize = 500;
/// Re-sent alerts that are stored in one step, and the pause until the next of them.
pub(super) const DIRTY_TOGETHER: usize = 500;
pub(super) const DIRTY_PAUSE: SignedDuration = SignedDuration::from_millis(250);
/// How often re-sent alerts are stored at most.
pub(super) const DIRTY_FLUSH: SignedDuration = SignedDuration::from_secs(30);
/// How long an empty group is kept, so that an alert that comes back soon meets its interval.
pub(super) const EMPTY_GROUP_KEPT: SignedDuration = SignedDuration::from_secs(30);
/// How long resolved cases stay in memory and in the store; their timeline stays.
pub(super) const RESOLVED_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// `0123456789abcdef`.
pub(super) fn hex(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

/// What `severity` asks for; `None`: never a case of its own. Unknown words and none at all page: a symptom that
/// somebody routed to people must not be lost to a typing error.
pub fn urgency_of(labels: &Labels) -> Option<Urgency> {
    match labels.get("severity").to_ascii_lowercase().as_str() {
        "context" | "info" | "informational" | "none" | "debug" | "notice" => None,
        "ticket" | "warning" | "warn" | "minor" | "low" => Some(Urgency::Low),
        _ => Some(Urgency::High),
    }
}

/// A `std` duration as jiff's.
pub(super) fn span(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::from_hours(24 * 365 * 200))
}

/// A time plus a duration, at most the end of time.
pub(super) fn after(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

// === impl Pager ===

impl Pager {
    pub(super) fn empty(config: Arc<PageConfig>) -> Self {
        Self {
            inhibit: InhibitIndex::default(),
            config,
            alerts: BTreeMap::new(),
            groups: BTreeMap::new(),
            nflog: BTreeMap::new(),
            cases: BTreeMap::new(),
            case_alerts: BTreeMap::new(),
            stale_cases: BTreeSet::new(),
            open_cases: BTreeMap::new(),
            closed_by_hand: BTreeMap::new(),
            cases_of_alert: BTreeMap::new(),
            context_alerts: BTreeSet::new(),
            silences: BTreeMap::new(),
            silence_index: SilenceIndex::default(),
            overrides: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            timers: BTreeMap::new(),
            due: BTreeSet::new(),
            dirty: BTreeSet::new(),
            touched: BTreeSet::new(),
            batch: Batch::default(),
            why: Vec::new(),
            ids: StepIds::default(),
        }
    }

    /// Sets, moves or removes the timer of something.
    pub(super) fn set_timer(&mut self, what: Due, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.timers.insert(what.clone(), at),
            None => self.timers.remove(&what),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, what.clone()));
        }
        if let Some(at) = at {
            self.due.insert((at, what));
        }
    }

    pub(super) fn timer(&self, what: &Due) -> Option<Timestamp> {
        self.timers.get(what).copied()
    }

    /// The next timer that is not after `now`, which it forgets.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Due> {
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        let (_, what) = self.due.pop_first()?;
        self.timers.remove(&what);
        Some(what)
    }

    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The record is written (or deleted, when its subject is gone) at the end of the step.
    pub(super) fn touch(&mut self, what: Due) {
        self.touched.insert(what);
    }

    pub(super) fn is_touched(&self, what: &Due) -> bool {
        self.touched.contains(what)
    }

    pub(super) fn untouch(&mut self, what: &Due) {
        self.touched.remove(what);
    }

    pub(super) fn new_delivery_id(&mut self, now: Timestamp) -> DeliveryId {
        DeliveryId::new(now, &mut self.ids)
    }

    pub(super) fn reason(&mut self, reason: Reason) {
        self.why.push(reason);
    }

    pub(super) fn event(
        &mut self,
        at: Timestamp,
        subject: (&str, &str),
        kind: &str,
        actor: &str,
        text: String,
        data: Value,
    ) {
        self.batch.events.push(NewEvent {
            at,
            subject: Subject::new(subject.0, subject.1),
            kind: kind.to_owned(),
            actor: actor.to_owned(),
            text,
            data,
        });
    }

    /// An entry of a case's timeline, by the pager itself.
    pub(super) fn case_event(
        &mut self,
        at: Timestamp,
        case: CaseId,
        kind: &str,
        actor: &str,
        text: String,
        data: Value,
    ) {
        self.event(at, ("case", &case.to_string()), kind, actor, text, data);
    }

    /// Writes what was touched and hands over the batch.
    pub(super) fn finish(&mut self) -> (Batch, Vec<Reason>) {
        for what in std::mem::take(&mut self.touched) {
            let timer = self.timers.get(&what).copied();
            let (kind, id) = record_name(&what);
            let batch = &mut self.batch;
            match &what {
                Due::Alert(fingerprint) => {
                    let stored = self.alerts.get(fingerprint).map(|alert| &alert.stored);
                    self.dirty.remove(fingerprint);
                    put(batch, kind, &id, stored, stored.map(|alert| alert.ends_at));
                }
                Due::Group(group) => {
                    let stored = self.groups.get(group).map(|group| &group.stored);
                    put(batch, kind, &id, stored, timer);
                }
                Due::Nflog(key) => put(batch, kind, &id, self.nflog.get(key), timer),
                Due::Case(case) => match self.cases.get_mut(case) {
                    Some(stored) => {
                        let alerts = std::mem::take(&mut stored.alerts);
                        batch.put(kind, &id, stored, timer);
                        stored.alerts = alerts;
                    }
                    None => batch.delete(kind, &id),
                },
                Due::CaseAlert(case, fingerprint) => {
                    let fingerprint = hex(*fingerprint);
                    let found = self.cases.get(case);
                    let found = found.and_then(|case| case.alerts.get(&fingerprint));
                    let stored = found.map(|alert| StoredCaseAlert {
                        version: 1,
                        case: *case,
                        fingerprint,
                        alert: alert.clone(),
                    });
                    put(batch, kind, &id, stored.as_ref(), None);
                }
                Due::Silence(key) => put(batch, kind, &id, self.silences.get(key), timer),
                Due::Override(key) => put(batch, kind, &id, self.overrides.get(key), timer),
                Due::Dirty => {}
            }
        }
        (
            std::mem::take(&mut self.batch),
            std::mem::take(&mut self.why),
        )
    }
}

fn put<T: serde::Serialize>(
    batch: &mut Batch,
    kind: Kind,
    id: &str,
    stored: Option<&T>,
    due_at: Option<Timestamp>,
) {
    match stored {
        Some(stored) => batch.put(kind, id, stored, due_at),
        None => batch.delete(kind, id),
    }
}

fn record_name(what: &Due) -> (Kind, String) {
    match what {
        Due::Alert(fingerprint) => (ALERT, hex(*fingerprint)),
        Due::Group(group) => (GROUP, group.to_string()),
        Due::Nflog(key) => (NFLOG, key.clone()),
        Due::Case(case) => (CASE, case.to_string()),
        Due::CaseAlert(case, fingerprint) => (CASE_ALERT, format!("{case}/{}", hex(*fingerprint))),
        Due::Silence(key) => (SILENCE, key.clone()),
        Due::Override(key) => (OVERRIDE, key.clone()),
        Due::Dirty => (ALERT, String::new()),
    }
}
