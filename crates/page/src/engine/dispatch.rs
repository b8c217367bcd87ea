//! Groups: which alert is in which, and when they are flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::labels::{is_classic_label_name, write_quoted};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Pager;
use super::state::{Due, EMPTY_GROUP_KEPT, Group, after, span};
use crate::config::{RouteNode, Settings};
use crate::reason::Reason;
use crate::record::StoredGroup;

/// One flush on its way through the pipeline.
pub(super) struct Flush {
    pub(super) group: Arc<str>,
    pub(super) at: Timestamp,
    pub(super) node: usize,
    /// Not muted, in Alertmanager's order.
    pub(super) firing: Vec<u64>,
    pub(super) resolved: Vec<u64>,
}

/// Label sets in group keys: `{a="1", b="2"}`.
pub(super) fn group_labels_text(labels: &Labels) -> String {
    let mut text = String::from("{");
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        if is_classic_label_name(&label.name) {
            text.push_str(&label.name);
        } else {
            write_quoted(&mut text, &label.name).expect("a string takes everything");
        }
        text.push('=');
        write_quoted(&mut text, &label.value).expect("a string takes everything");
    }
    text.push('}');
    text
}

impl Pager {
    /// Puts an alert into the groups of its routes, next to those that still hold it.
    pub(super) fn join_groups(&mut self, now: Timestamp, fingerprint: u64, held: &[Arc<str>]) {
        let config = Arc::clone(&self.config);
        let Some(alert) = self.alerts.get(&fingerprint) else {
            return;
        };
        let (labels, starts_at) = (alert.stored.labels.clone(), alert.stored.starts_at);
        let resolved = alert.stored.resolved;
        let left = alert.stored.left.clone();
        let mut groups: Vec<Arc<str>> = Vec::new();
        for index in config.routes.matching(&labels) {
            let node = &config.routes.nodes[index];
            let group_labels = node.group_labels(&labels);
            let id: Arc<str> = format!("{}:{}", node.id, group_labels_text(&group_labels)).into();
            if groups.contains(&id) || left.iter().any(|gone| **gone == *id) {
                continue;
            }
            // An alert that has ended never opens a group.
            if resolved && !self.groups.contains_key(&id) {
                continue;
            }
            self.join_group(
                now,
                fingerprint,
                &id,
                (index, node),
                group_labels,
                starts_at,
            );
            groups.push(id);
        }
        for id in held.iter().filter(|id| !groups.contains(id)) {
            self.leave_group(fingerprint, id);
        }
        if let Some(alert) = self.alerts.get_mut(&fingerprint) {
            alert.groups = groups;
        }
    }

    fn join_group(
        &mut self,
        now: Timestamp,
        fingerprint: u64,
        id: &Arc<str>,
        (index, node): (usize, &RouteNode),
        labels: Labels,
        starts_at: Timestamp,
    ) {
        let group_wait = span(node.group_wait);
        if !self.groups.contains_key(id) {
            let stored = StoredGroup {
                version: 1,
                key: format!("{}:{}", node.key, group_labels_text(&labels)),
                route: node.id.clone(),
                labels,
                created_at: now,
                flushed: false,
                flushes: 0,
                next_flush: after(now, group_wait),
                empty_since: None,
                in_flight: BTreeMap::new(),
                failed: false,
                muted: String::new(),
            };
            let group = Group {
                stored,
                node: index,
                members: BTreeSet::new(),
            };
            self.groups.insert(Arc::clone(id), group);
            self.touch(Due::Group(Arc::clone(id)));
        }
        let group = self.groups.get_mut(id).expect("just made");
        group.members.insert(fingerprint);
        let mut touched = group.stored.empty_since.take().is_some();
        // The wait has been waited out already: at once.
        if !group.stored.flushed && after(starts_at, group_wait) < now {
            touched |= group.stored.next_flush > now;
            group.stored.next_flush = group.stored.next_flush.min(now);
        }
        if touched {
            self.touch(Due::Group(Arc::clone(id)));
        }
        self.schedule_group(id);
    }

    pub(super) fn schedule_group(&mut self, id: &Arc<str>) {
        let at = self.groups.get(id).map(|group| {
            let gone = group
                .stored
                .empty_since
                .map(|since| after(since, EMPTY_GROUP_KEPT));
            gone.map_or(group.stored.next_flush, |gone| {
                gone.min(group.stored.next_flush)
            })
        });
        self.set_timer(Due::Group(Arc::clone(id)), at);
    }

    /// Takes an alert out of a group, which goes away some time after its last one.
    pub(super) fn leave_group(&mut self, fingerprint: u64, id: &Arc<str>) {
        if let Some(group) = self.groups.get_mut(id) {
            group.members.remove(&fingerprint);
        }
    }

    pub(super) fn note_empty(&mut self, now: Timestamp, id: &Arc<str>) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.members.is_empty() && group.stored.empty_since.is_none() {
            group.stored.empty_since = Some(now);
            self.touch(Due::Group(Arc::clone(id)));
        }
        self.schedule_group(id);
    }

    pub(super) fn group_due(&mut self, now: Timestamp, id: &Arc<str>) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        let gone = group
            .stored
            .empty_since
            .is_some_and(|since| after(since, EMPTY_GROUP_KEPT) <= now);
        if group.members.is_empty() && gone && group.stored.in_flight.is_empty() {
            self.groups.remove(id);
            self.touch(Due::Group(Arc::clone(id)));
        } else if group.stored.next_flush <= now {
            self.flush(now, id);
        } else {
            self.schedule_group(id);
        }
    }

    /// One flush: settle, inhibit, intervals, silence, then every integration of the receiver.
    fn flush(&mut self, now: Timestamp, id: &Arc<str>) {
        let config = Arc::clone(&self.config);
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let index = group.node;
        let node = &config.routes.nodes[index];
        let stored = &mut group.stored;
        stored.flushed = true;
        stored.flushes += 1;
        stored.failed = false;
        let interval = span(node.group_interval).max(SignedDuration::from_millis(1));
        stored.next_flush = after(now, interval);
        let late = std::mem::take(&mut stored.in_flight);
        let members: Vec<u64> = group.members.iter().copied().collect();
        for flight in late.into_values() {
            self.deliveries.remove(&flight.delivery);
            self.cancel_delivery(now, flight.delivery);
        }
        let (flush, muted) = self.mute_pipeline(now, id, index, node, members);
        self.note_muted(now, id, muted);
        if let Some(receiver) = config.receivers.get(&node.receiver) {
            for integration in &receiver.integrations {
                match &integration.settings {
                    Settings::Page(page) => self.flush_to_people(&flush, integration, page),
                    _ => self.flush_to_receiver(&flush, &receiver.name, integration),
                }
            }
        }
        self.touch(Due::Group(Arc::clone(id)));
        self.forget_resolved(now, id);
        self.schedule_group(id);
    }

    fn mute_pipeline(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        index: usize,
        node: &RouteNode,
        mut members: Vec<u64>,
    ) -> (Flush, String) {
        let group = id.to_string();
        let total = members.len();
        let mut muted: Vec<String> = Vec::new();
        members.retain(|fingerprint| {
            self.alerts.get(fingerprint).is_some_and(|alert| {
                self.inhibited_by(*fingerprint, &alert.stored.labels)
                    .is_empty()
            })
        });
        if members.len() < total {
            let alerts = total - members.len();
            muted.push(format!("{alerts} inhibited"));
            self.reason(Reason::Inhibited {
                group: group.clone(),
                alerts,
            });
        }
        if let Some((name, by_mute)) = self.route_muted(node, now)
            && !members.is_empty()
        {
            members.clear();
            muted.push(if by_mute {
                format!("muted by time interval {name}")
            } else {
                format!("outside of active time interval {name}")
            });
            self.reason(if by_mute {
                Reason::MutedByInterval {
                    group: group.clone(),
                }
            } else {
                Reason::OutsideActiveInterval {
                    group: group.clone(),
                }
            });
        }
        let before = members.len();
        members.retain(|fingerprint| {
            self.alerts
                .get(fingerprint)
                .is_some_and(|alert| self.silenced_by(&alert.stored.labels, now).is_empty())
        });
        if members.len() < before {
            let alerts = before - members.len();
            muted.push(format!("{alerts} silenced"));
            self.reason(Reason::Silenced { group, alerts });
        }
        self.sort_alerts(&mut members);
        let (resolved, firing) = members
            .into_iter()
            .partition(|fingerprint| self.alerts[fingerprint].stored.resolved);
        let flush = Flush {
            group: Arc::clone(id),
            at: now,
            node: index,
            firing,
            resolved,
        };
        (flush, muted.join(", "))
    }

    /// Alertmanager's order: by `job`, then `instance`, then all labels; alerts without those last.
    fn sort_alerts(&self, alerts: &mut [u64]) {
        let key = |fingerprint: &u64| {
            let labels = &self.alerts[fingerprint].stored.labels;
            let edge = |name| {
                let value = labels.get(name);
                (value.is_empty(), value.to_owned())
            };
            (edge("job"), edge("instance"), labels.clone())
        };
        alerts.sort_by_cached_key(key);
    }

    /// A change of what mutes a group is in its timeline: the recorded reason of a page that does not come.
    fn note_muted(&mut self, now: Timestamp, id: &Arc<str>, muted: String) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.stored.muted == muted {
            return;
        }
        group.stored.muted.clone_from(&muted);
        let key = group.stored.key.clone();
        let (kind, text) = if muted.is_empty() {
            ("group_unmuted", format!("{key}: no longer muted"))
        } else {
            ("group_muted", format!("{key}: {muted}"))
        };
        let mut data = String::new();
        write!(data, "{muted}").expect("a string takes everything");
        self.event(
            now,
            ("group", id),
            kind,
            "system",
            text,
            json!({"muted": data}),
        );
    }

    /// Once everybody has been told, alerts that have ended leave the group.
    pub(super) fn forget_resolved(&mut self, now: Timestamp, id: &Arc<str>) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        if !group.stored.in_flight.is_empty() || group.stored.failed {
            return;
        }
        let done: Vec<u64> = group
            .members
            .iter()
            .copied()
            .filter(|fingerprint| {
                self.alerts
                    .get(fingerprint)
                    .is_none_or(|alert| alert.stored.resolved)
            })
            .collect();
        for fingerprint in done {
            self.leave_group(fingerprint, id);
            if let Some(alert) = self.alerts.get_mut(&fingerprint) {
                alert.groups.retain(|held| held != id);
                alert.stored.left.push(id.to_string());
                self.touch(Due::Alert(fingerprint));
                self.drop_if_done(fingerprint);
            }
        }
        self.note_empty(now, id);
    }
}
