//! Telling receivers: deduplication against the notification log, and the results of deliveries.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::DeliveryId;
use bellwether_model::state::{DeliveryState, DeliveryUpdate, NewDelivery, Receipt, Subject};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Pager;
use super::dispatch::Flush;
use super::state::{Due, Owner, after, hex, span};
use crate::config::{Integration, Settings};
use crate::event::DeliveryResult;
use crate::payload::NotificationPayload;
use crate::reason::Reason;
use crate::record::{InFlight, StoredNflog};

/// Why a notification goes out, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notify {
    First,
    NewAlerts,
    AllResolved,
    NewResolved,
    Repeat,
}

impl Notify {
    /// Alertmanager's words.
    fn as_str(self) -> &'static str {
        match self {
            Self::First => "first notification",
            Self::NewAlerts => "new alerts in group",
            Self::AllResolved => "all alerts resolved",
            Self::NewResolved => "new resolved alerts",
            Self::Repeat => "repeat interval elapsed",
        }
    }

    fn reason(self, group: String, integration: String) -> Reason {
        match self {
            Self::First => Reason::FirstNotification { group, integration },
            Self::NewAlerts => Reason::NewAlertsInGroup { group, integration },
            Self::AllResolved => Reason::AllAlertsResolved { group, integration },
            Self::NewResolved => Reason::NewResolvedAlerts { group, integration },
            Self::Repeat => Reason::RepeatIntervalElapsed { group, integration },
        }
    }
}

/// Both sorted.
fn subset(of: &[String], part: &[String]) -> bool {
    part.iter().all(|item| of.binary_search(item).is_ok())
}

fn wanted(
    entry: Option<&StoredNflog>,
    firing: &[String],
    resolved: &[String],
    send_resolved: bool,
    repeated_before: Timestamp,
) -> Option<Notify> {
    let Some(entry) = entry else {
        return (!firing.is_empty()).then_some(Notify::First);
    };
    if !subset(&entry.firing, firing) {
        return Some(if entry.firing.is_empty() {
            Notify::First
        } else {
            Notify::NewAlerts
        });
    }
    if firing.is_empty() {
        return (!entry.firing.is_empty()).then_some(Notify::AllResolved);
    }
    if send_resolved && !subset(&entry.resolved, resolved) {
        return Some(Notify::NewResolved);
    }
    (entry.at < repeated_before).then_some(Notify::Repeat)
}

impl Pager {
    pub(super) fn flush_to_receiver(
        &mut self,
        flush: &Flush,
        receiver: &str,
        integration: &Integration,
    ) {
        if flush.firing.is_empty() && flush.resolved.is_empty() {
            return;
        }
        let config = Arc::clone(&self.config);
        let node = &config.routes.nodes[flush.node];
        let name = format!("{}/{}", integration.kind, integration.index);
        let mut firing: Vec<String> = flush.firing.iter().copied().map(hex).collect();
        let mut resolved: Vec<String> = flush.resolved.iter().copied().map(hex).collect();
        firing.sort();
        resolved.sort();
        let key = nflog_key(&flush.group, receiver, &name);
        let repeat = span(node.repeat_interval);
        let before = flush.at.checked_sub(repeat).unwrap_or(Timestamp::MIN);
        let notify = wanted(
            self.nflog.get(&key),
            &firing,
            &resolved,
            integration.send_resolved,
            before,
        );
        let group = flush.group.to_string();
        let Some(notify) = notify else {
            self.reason(Reason::DoNotNotify {
                group,
                integration: name,
            });
            return;
        };
        if matches!(integration.settings, Settings::NotDelivered) {
            self.reason(Reason::IntegrationNotDelivered {
                group,
                integration: name,
            });
            return;
        }
        let flight = InFlight {
            delivery: DeliveryId::from_raw(0),
            firing,
            resolved,
            at: flush.at,
        };
        if !integration.send_resolved && flush.firing.is_empty() {
            // The log must know all the same, or the next firing would not be a first one.
            self.reason(Reason::ResolvedNotWanted {
                group,
                integration: name.clone(),
            });
            self.log_notification(&flush.group, receiver, &name, flight, repeat);
            return;
        }
        self.reason(notify.reason(group, name.clone()));
        self.send_notification(flush, receiver, integration, notify, &name, flight);
    }

    fn send_notification(
        &mut self,
        flush: &Flush,
        receiver: &str,
        integration: &Integration,
        notify: Notify,
        name: &str,
        mut flight: InFlight,
    ) {
        let payload = self.notification_payload(flush, receiver, integration, notify.as_str());
        let node = &self.config.routes.nodes[flush.node];
        let patience = span(node.group_interval).max(SignedDuration::from_secs(10));
        let id = self.new_delivery_id(flush.at);
        flight.delivery = id;
        let Some(group) = self.groups.get_mut(&flush.group) else {
            return;
        };
        group.stored.in_flight.insert(name.to_owned(), flight);
        let stored = &group.stored;
        let key = format!(
            "notify:{}:{}:{}:{receiver}:{name}",
            flush.group,
            stored.created_at.as_millisecond(),
            stored.flushes
        );
        self.deliveries.insert(
            id,
            Owner::Notification(Arc::clone(&flush.group), name.to_owned()),
        );
        self.batch.deliveries.push(NewDelivery {
            id,
            key,
            subject: Subject::new("group", &flush.group),
            channel: integration.kind.to_owned(),
            target: receiver.to_owned(),
            payload: serde_json::to_value(payload).expect("payloads are plain data"),
            due_at: flush.at,
            expires_at: Some(after(flush.at, patience)),
        });
    }

    fn notification_payload(
        &self,
        flush: &Flush,
        receiver: &str,
        integration: &Integration,
        reason: &str,
    ) -> NotificationPayload {
        let shown: Vec<u64> = flush
            .firing
            .iter()
            .chain(flush.resolved.iter().filter(|_| integration.send_resolved))
            .copied()
            .collect();
        let max = match &integration.settings {
            Settings::Webhook(webhook) if webhook.max_alerts > 0 => webhook.max_alerts as usize,
            _ => usize::MAX,
        };
        let body = self.webhook_body(flush, receiver, &shown, max, reason);
        let (subject, text) = self.notification_text(flush, &shown);
        NotificationPayload {
            receiver: receiver.to_owned(),
            integration: integration.kind.to_owned(),
            index: integration.index,
            group_key: self.groups[&flush.group].stored.key.clone(),
            reason: reason.to_owned(),
            body,
            subject,
            text,
        }
    }

    /// Alertmanager's webhook body, version 4.
    fn webhook_body(
        &self,
        flush: &Flush,
        receiver: &str,
        shown: &[u64],
        max: usize,
        reason: &str,
    ) -> Value {
        let stored: Vec<_> = shown
            .iter()
            .map(|fp| (*fp, &self.alerts[fp].stored))
            .collect();
        let alerts: Vec<Value> = stored
            .iter()
            .take(max)
            .map(|(fingerprint, alert)| {
                json!({
                    "status": if alert.resolved { "resolved" } else { "firing" },
                    "labels": alert.labels,
                    "annotations": alert.annotations,
                    "startsAt": alert.starts_at,
                    "endsAt": if alert.resolved { alert.ends_at.to_string() }
                              else { "0001-01-01T00:00:00Z".to_owned() },
                    "generatorURL": alert.generator_url,
                    "fingerprint": hex(*fingerprint),
                })
            })
            .collect();
        let group = &self.groups[&flush.group].stored;
        json!({
            "receiver": receiver,
            "status": if flush.firing.is_empty() { "resolved" } else { "firing" },
            "alerts": alerts,
            "groupLabels": group.labels,
            "commonLabels": common(stored.iter().map(|(_, alert)| &alert.labels)),
            "commonAnnotations": common(stored.iter().map(|(_, alert)| &alert.annotations)),
            "externalURL": self.config.external_url,
            "version": "4",
            "groupKey": group.key,
            "truncatedAlerts": stored.len().saturating_sub(max),
            "notification_reason": reason,
            "routeLabels": self.config.routes.nodes[flush.node].labels,
        })
    }

    fn notification_text(&self, flush: &Flush, shown: &[u64]) -> (String, String) {
        const LINES_MAX: usize = 50;
        let group = &self.groups[&flush.group].stored;
        let name = match group.labels.get("alertname") {
            "" => super::dispatch::group_labels_text(&group.labels),
            name => name.to_owned(),
        };
        let subject = if flush.firing.is_empty() {
            format!("Resolved: {name}")
        } else {
            format!("Firing ({}): {name}", flush.firing.len())
        };
        let mut lines: Vec<String> = Vec::new();
        for fingerprint in shown.iter().take(LINES_MAX) {
            let alert = &self.alerts[fingerprint].stored;
            let word = if alert.resolved { "resolved" } else { "firing" };
            lines.push(format!(
                "{word} since {}: {}",
                alert.starts_at,
                super::ingest::describe(&alert.labels)
            ));
            for key in ["summary", "description", "runbook_url", "runbook"] {
                let value = alert.annotations.get(key);
                if !value.is_empty() {
                    lines.push(format!("  {key}: {value}"));
                }
            }
        }
        if shown.len() > LINES_MAX {
            lines.push(format!("and {} more", shown.len() - LINES_MAX));
        }
        (subject, lines.join("\n"))
    }

    fn log_notification(
        &mut self,
        group: &Arc<str>,
        receiver: &str,
        integration: &str,
        flight: InFlight,
        repeat: SignedDuration,
    ) {
        let key = nflog_key(group, receiver, integration);
        let expires_at = after(
            flight.at,
            span(self.config.retention).min(repeat.saturating_mul(2)),
        );
        let entry = StoredNflog {
            version: 1,
            group: group.to_string(),
            receiver: receiver.to_owned(),
            integration: integration.to_owned(),
            firing: flight.firing,
            resolved: flight.resolved,
            at: flight.at,
            expires_at,
        };
        self.nflog.insert(key.clone(), entry);
        self.set_timer(Due::Nflog(key.clone()), Some(expires_at));
        self.touch(Due::Nflog(key));
    }

    /// A delivery's result: to the group's log, or to the case's page.
    pub(super) fn take_result(&mut self, now: Timestamp, result: &DeliveryResult) {
        match self.deliveries.get(&result.id).cloned() {
            Some(Owner::Notification(group, integration)) => {
                self.notification_result(now, &group, &integration, result);
            }
            Some(Owner::Page(case)) => self.page_result(now, case, result),
            None => self.reason(Reason::UnknownDelivery),
        }
    }

    fn notification_result(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        integration: &str,
        result: &DeliveryResult,
    ) {
        if !is_final(result.state) {
            return;
        }
        self.deliveries.remove(&result.id);
        let config = Arc::clone(&self.config);
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let Some(flight) = group.stored.in_flight.remove(integration) else {
            return;
        };
        let node = &config.routes.nodes[group.node];
        let key = group.stored.key.clone();
        let (group_name, integration_name) = (id.to_string(), integration.to_owned());
        let receiver = node.receiver.clone();
        if result.state == DeliveryState::Done {
            let text = format!("{key}: {receiver} told by {integration}");
            // From when it was told, not from the flush: so Alertmanager counts the repeat interval.
            let flight = InFlight { at: now, ..flight };
            self.log_notification(
                id,
                &receiver,
                integration,
                flight,
                span(node.repeat_interval),
            );
            self.reason(Reason::NotificationDelivered {
                group: group_name,
                integration: integration_name,
            });
            self.event(
                now,
                ("group", id),
                "notification_sent",
                "system",
                text,
                json!({}),
            );
        } else {
            group.stored.failed = true;
            let text = format!(
                "{key}: {integration} of {receiver} failed: {}",
                result.error
            );
            self.reason(Reason::NotificationFailed {
                group: group_name,
                integration: integration_name,
            });
            let data = json!({"error": result.error, "attempts": result.attempt});
            self.event(
                now,
                ("group", id),
                "notification_failed",
                "system",
                text,
                data,
            );
        }
        self.touch(Due::Group(Arc::clone(id)));
        self.forget_resolved(now, id);
    }

    /// Takes a delivery back that has not ended.
    pub(super) fn cancel_delivery(&mut self, now: Timestamp, id: DeliveryId) {
        self.batch.updates.push(DeliveryUpdate {
            id,
            state: DeliveryState::Cancelled,
            due_at: now,
            attempt: 0,
            fence: 0,
            lease_until: None,
            receipt: Receipt::Unknown,
            error: String::new(),
            provider_id: String::new(),
        });
    }
}

pub(super) fn is_final(state: DeliveryState) -> bool {
    matches!(
        state,
        DeliveryState::Done | DeliveryState::Failed | DeliveryState::Cancelled
    )
}

fn nflog_key(group: &str, receiver: &str, integration: &str) -> String {
    format!("{group}:{receiver}:{integration}")
}

/// Pairs that all sets share.
pub(super) fn common<'a>(
    mut sets: impl Iterator<Item = &'a bellwether_model::Labels>,
) -> BTreeMap<String, String> {
    let Some(first) = sets.next() else {
        return BTreeMap::new();
    };
    let mut shared: BTreeMap<String, String> = first
        .iter()
        .map(|label| (label.name.to_string(), label.value.to_string()))
        .collect();
    for set in sets {
        shared.retain(|name, value| set.get(name) == value);
    }
    shared
}
