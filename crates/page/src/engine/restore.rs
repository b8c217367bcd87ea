//! Going on after a start, from the records.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::state::Record;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::Pager;
use super::state::{Alert, Due, Group, Owner, after, span};
use crate::record::{
    ALERT, CASE, Case, GROUP, NFLOG, OVERRIDE, SILENCE, Silence, StoredAlert, StoredGroup,
    StoredNflog,
};
use crate::schedule::Override;

fn read<T: DeserializeOwned>(record: &Record, problems: &mut Vec<String>) -> Option<T> {
    match serde_json::from_value(record.body.clone()) {
        Ok(value) => Some(value),
        Err(error) => {
            problems.push(format!("record {}/{}: {error}", record.kind, record.id));
            None
        }
    }
}

impl Pager {
    pub(super) fn take_records(&mut self, records: &[Record], now: Timestamp) -> Vec<String> {
        let mut problems = Vec::new();
        let mut sorted: Vec<&Record> = records.iter().collect();
        sorted.sort_by(|a, b| (&a.kind, &a.id).cmp(&(&b.kind, &b.id)));
        for record in sorted {
            let problems = &mut problems;
            match record.kind.as_str() {
                kind if kind == ALERT.0 => {
                    if let Some(stored) = read(record, problems) {
                        self.take_stored_alert(stored, now);
                    }
                }
                kind if kind == GROUP.0 => {
                    if let Some(stored) = read(record, problems) {
                        self.take_stored_group(&record.id, stored);
                    }
                }
                kind if kind == NFLOG.0 => {
                    if let Some(entry) = read::<StoredNflog>(record, problems) {
                        self.set_timer(Due::Nflog(record.id.clone()), Some(entry.expires_at));
                        self.nflog.insert(record.id.clone(), entry);
                    }
                }
                kind if kind == CASE.0 => {
                    if let Some(case) = read::<Case>(record, problems) {
                        self.take_stored_case(case);
                    }
                }
                kind if kind == SILENCE.0 => {
                    if let Some(silence) = read::<Silence>(record, problems) {
                        self.index_silence(silence);
                    }
                }
                kind if kind == OVERRIDE.0 => {
                    if let Some(stored) = read::<Override>(record, problems) {
                        self.index_override(stored);
                    }
                }
                _ => {}
            }
        }
        self.adopt_config(now);
        let groups: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for id in groups {
            self.schedule_group(&id);
        }
        let cases: Vec<_> = self.cases.keys().copied().collect();
        for id in cases {
            self.schedule_restored(id);
        }
        problems
    }

    fn take_stored_alert(&mut self, mut stored: StoredAlert, now: Timestamp) {
        let fingerprint = stored.labels.fingerprint();
        if !stored.resolved {
            if stored.ends_at <= now {
                // It ran out while nobody was listening: that is no word of its sender.
                stored.ends_at = after(now, span(self.config.global.resolve_timeout));
                stored.timeout = true;
                self.touch(Due::Alert(fingerprint));
            }
            self.set_timer(Due::Alert(fingerprint), Some(stored.ends_at));
        }
        self.alerts.insert(
            fingerprint,
            Alert {
                stored,
                groups: Vec::new(),
            },
        );
    }

    fn take_stored_group(&mut self, id: &str, stored: StoredGroup) {
        let id: Arc<str> = id.into();
        for (integration, flight) in &stored.in_flight {
            self.deliveries.insert(
                flight.delivery,
                Owner::Notification(Arc::clone(&id), integration.clone()),
            );
        }
        self.groups.insert(
            id,
            Group {
                stored,
                node: 0,
                members: BTreeSet::new(),
            },
        );
    }

    fn take_stored_case(&mut self, case: Case) {
        let slot = (case.group.clone(), case.integration.clone());
        if case.is_resolved() {
            if case.resolved_by_hand && !slot.0.is_empty() {
                let later = self
                    .closed_by_hand
                    .get(&slot)
                    .and_then(|id| self.cases.get(id))
                    .is_some_and(|known| known.resolved_at > case.resolved_at);
                if !later {
                    self.closed_by_hand.insert(slot, case.id);
                }
            }
        } else {
            if !slot.0.is_empty() {
                self.open_cases.insert(slot, case.id);
            }
            for (fingerprint, _) in case.firing() {
                if let Ok(fingerprint) = u64::from_str_radix(fingerprint, 16) {
                    self.cases_of_alert
                        .entry(fingerprint)
                        .or_default()
                        .insert(case.id);
                }
            }
        }
        self.own_pages(&case);
        self.cases.insert(case.id, case);
    }

    /// Sets the timer of a restored case without writing it again.
    fn schedule_restored(&mut self, id: bellwether_model::CaseId) {
        let untouched = !self.is_touched(&Due::Case(id));
        self.schedule_case(id);
        if untouched {
            self.untouch(&Due::Case(id));
        }
    }
}
