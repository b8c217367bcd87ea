//! Going on after a start, from the records.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::state::Record;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::Pager;
use super::state::{Alert, Due, Group, Owner, after, span};
use crate::record::{
    ALERT, CASE, CASE_ALERT, Case, GROUP, NFLOG, OVERRIDE, SILENCE, Silence, StoredAlert,
    StoredCaseAlert, StoredGroup, StoredNflog,
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
                kind if kind == CASE_ALERT.0 => {
                    if let Some(stored) = read::<StoredCaseAlert>(record, problems) {
                        self.take_stored_case_alert(stored);
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
        self.sort_ended();
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
        } else if !slot.0.is_empty() {
            self.open_cases.insert(slot, case.id);
        }
        self.own_pages(&case);
        let id = case.id;
        // Earlier versions kept them in the case's record: from now on they have their own.
        let alerts: Vec<(u64, bool)> = case
            .alerts
            .iter()
            .filter_map(|(text, alert)| {
                let fingerprint = u64::from_str_radix(text, 16).ok()?;
                Some((fingerprint, alert.ended_at.is_none()))
            })
            .collect();
        self.cases.insert(id, case);
        if !alerts.is_empty() {
            self.touch(Due::Case(id));
        }
        for (fingerprint, firing) in alerts {
            self.index_case_alert(id, fingerprint, firing);
            self.touch(Due::CaseAlert(id, fingerprint));
        }
    }

    fn take_stored_case_alert(&mut self, stored: StoredCaseAlert) {
        let StoredCaseAlert {
            case: id,
            fingerprint,
            alert,
            version: _,
        } = stored;
        let (Some(case), Ok(number)) = (
            self.cases.get_mut(&id),
            u64::from_str_radix(&fingerprint, 16),
        ) else {
            return;
        };
        let firing = alert.ended_at.is_none();
        if case.alerts.insert(fingerprint, alert).is_none() {
            self.index_case_alert(id, number, firing);
        }
    }

    /// Records come by fingerprint; what ended first is forgotten first.
    fn sort_ended(&mut self) {
        for (id, counts) in &mut self.case_alerts {
            let Some(case) = self.cases.get(id) else {
                continue;
            };
            let ended_at = |fingerprint: &u64| {
                case.alerts
                    .get(&super::state::hex(*fingerprint))
                    .and_then(|alert| alert.ended_at)
            };
            counts
                .ended
                .make_contiguous()
                .sort_by_key(|fingerprint| (ended_at(fingerprint), *fingerprint));
        }
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
