//! Alerts coming in and ending.

use std::sync::Arc;

use bellwether_model::labels::METRIC_NAME;
use bellwether_model::{Labels, PostedAlert};
use jiff::Timestamp;
use serde_json::json;

use super::Pager;
use super::state::{
    Alert, DIRTY_FLUSH, DIRTY_PAUSE, DIRTY_TOGETHER, Due, after, hex, span, urgency_of,
};
use crate::reason::Reason;
use crate::record::StoredAlert;

/// Labels or annotations that one alert may have.
pub const LABELS_MAX: usize = 256;
/// Bytes that labels and annotations of one alert may have together.
pub const ALERT_BYTES_MAX: usize = 256 << 10;

/// Why Alertmanager would refuse an alert; `None` when it would take it.
pub fn refusal(alert: &PostedAlert) -> Option<String> {
    if alert.labels.is_empty() {
        return Some("at least one label pair required".to_owned());
    }
    if let (Some(start), Some(end)) = (alert.starts_at, alert.ends_at)
        && start > end
    {
        return Some("start time must be before end time".to_owned());
    }
    for (what, labels) in [("label", &alert.labels), ("annotation", &alert.annotations)] {
        if labels.len() > LABELS_MAX {
            return Some(format!("more than {LABELS_MAX} {what}s"));
        }
        if labels.iter().any(|label| label.name.is_empty()) {
            return Some(format!("a {what} without a name"));
        }
    }
    let bytes = alert.labels.byte_len() + alert.annotations.byte_len();
    if bytes > ALERT_BYTES_MAX {
        return Some(format!(
            "labels and annotations have {bytes} bytes, more than {ALERT_BYTES_MAX}"
        ));
    }
    None
}

impl Pager {
    pub(super) fn take_alerts(&mut self, now: Timestamp, alerts: Vec<PostedAlert>, source: &str) {
        for (index, alert) in alerts.into_iter().enumerate() {
            match refusal(&alert) {
                Some(text) => self.reason(Reason::AlertRefused { index, text }),
                None => self.take_alert(now, alert, source),
            }
        }
    }

    fn take_alert(&mut self, now: Timestamp, posted: PostedAlert, source: &str) {
        let fingerprint = posted.labels.fingerprint();
        let mut new = fill_in(
            posted,
            now,
            after(now, span(self.config.global.resolve_timeout)),
            source,
        );
        let old = self.alerts.get(&fingerprint);
        if let Some(old) = old {
            new = merge(&old.stored, new, now);
        }
        let was_firing = old.is_some_and(|old| !old.stored.resolved);
        let firing = new.ends_at > now;
        let steady = old.is_some_and(|old| {
            old.stored.annotations == new.annotations
                && old.stored.starts_at == new.starts_at
                && old.stored.generator_url == new.generator_url
        });
        match (was_firing, firing) {
            (true, true) => {
                let alert = self.alerts.get_mut(&fingerprint).expect("it was firing");
                alert.stored = new;
                let ends_at = alert.stored.ends_at;
                if steady {
                    self.mark_dirty(now, fingerprint);
                } else {
                    self.touch(Due::Alert(fingerprint));
                    self.refresh_in_cases(fingerprint);
                }
                // A later end needs no new timer: when the old one fires it looks again.
                let timer = self.timer(&Due::Alert(fingerprint));
                if timer.is_none_or(|timer| timer > ends_at) {
                    self.set_timer(Due::Alert(fingerprint), Some(ends_at));
                }
            }
            (true, false) => {
                self.alerts
                    .get_mut(&fingerprint)
                    .expect("it was firing")
                    .stored = new;
                self.end_alert(now, fingerprint);
            }
            (false, true) => self.begin_alert(now, fingerprint, new),
            // Ended before it was seen, or told again that it ended: nobody needs to know.
            (false, false) => self.reason(Reason::AlertResolved {
                fingerprint: hex(fingerprint),
            }),
        }
    }

    fn begin_alert(&mut self, now: Timestamp, fingerprint: u64, stored: StoredAlert) {
        let labels = stored.labels.clone();
        let ends_at = stored.ends_at;
        let before = self.alerts.insert(
            fingerprint,
            Alert {
                stored,
                groups: Vec::new(),
            },
        );
        let held: Vec<Arc<str>> = before.map(|alert| alert.groups).unwrap_or_default();
        self.index_firing(fingerprint, &labels);
        self.set_timer(Due::Alert(fingerprint), Some(ends_at));
        self.touch(Due::Alert(fingerprint));
        self.reason(Reason::AlertReceived {
            fingerprint: hex(fingerprint),
        });
        self.join_groups(now, fingerprint, &held);
        if urgency_of(&labels).is_none() {
            self.show_as_cause(now, fingerprint);
        }
    }

    /// Bookkeeping of an alert that fires.
    pub(super) fn index_firing(&mut self, fingerprint: u64, labels: &Labels) {
        let config = Arc::clone(&self.config);
        self.inhibit.add(&config.inhibit_rules, fingerprint, labels);
        if urgency_of(labels).is_none() {
            self.context_alerts.insert(fingerprint);
        }
    }

    /// The end of an alert, whether somebody said so or its time ran out.
    pub(super) fn end_alert(&mut self, now: Timestamp, fingerprint: u64) {
        let Some(alert) = self.alerts.get_mut(&fingerprint) else {
            return;
        };
        alert.stored.resolved = true;
        let labels = alert.stored.labels.clone();
        let ended_at = alert.stored.ends_at;
        let config = Arc::clone(&self.config);
        self.inhibit
            .remove(&config.inhibit_rules, fingerprint, &labels);
        self.context_alerts.remove(&fingerprint);
        self.set_timer(Due::Alert(fingerprint), None);
        self.touch(Due::Alert(fingerprint));
        self.reason(Reason::AlertResolved {
            fingerprint: hex(fingerprint),
        });
        self.end_in_cases(now, fingerprint, ended_at);
        self.drop_if_done(fingerprint);
    }

    /// The alert's timer fired.
    pub(super) fn alert_due(&mut self, now: Timestamp, fingerprint: u64) {
        match self.alerts.get(&fingerprint) {
            Some(alert) if alert.stored.resolved => {}
            Some(alert) if alert.stored.ends_at > now => {
                let ends_at = alert.stored.ends_at;
                self.set_timer(Due::Alert(fingerprint), Some(ends_at));
            }
            Some(_) => self.end_alert(now, fingerprint),
            None => {}
        }
    }

    /// Forgets an ended alert that no group holds.
    pub(super) fn drop_if_done(&mut self, fingerprint: u64) {
        let done = self
            .alerts
            .get(&fingerprint)
            .is_some_and(|alert| alert.stored.resolved && alert.groups.is_empty());
        if done {
            self.alerts.remove(&fingerprint);
            self.set_timer(Due::Alert(fingerprint), None);
            self.touch(Due::Alert(fingerprint));
        }
    }

    fn mark_dirty(&mut self, now: Timestamp, fingerprint: u64) {
        self.dirty.insert(fingerprint);
        if self.timer(&Due::Dirty).is_none() {
            self.set_timer(Due::Dirty, Some(after(now, DIRTY_FLUSH)));
        }
    }

    /// Stores re-sent alerts, some at a time: thousands of them must not hold up what is due.
    pub(super) fn flush_dirty(&mut self, now: Timestamp) {
        for _ in 0..DIRTY_TOGETHER {
            let Some(fingerprint) = self.dirty.pop_first() else {
                return;
            };
            if self.alerts.contains_key(&fingerprint) {
                self.touch(Due::Alert(fingerprint));
            }
        }
        if !self.dirty.is_empty() {
            self.set_timer(Due::Dirty, Some(after(now, DIRTY_PAUSE)));
        }
    }

    /// A new alert that only explains: noted in the timeline of the open cases it shares labels with.
    fn show_as_cause(&mut self, now: Timestamp, fingerprint: u64) {
        const CASES_MAX: usize = 50;
        const CAUSES_MAX: usize = 20;
        let Some(alert) = self.alerts.get(&fingerprint) else {
            return;
        };
        let labels = alert.stored.labels.clone();
        let id = hex(fingerprint);
        let related: Vec<_> = self
            .open_cases
            .values()
            .take(CASES_MAX)
            .filter_map(|case| self.cases.get(case))
            .filter(|case| case.causes.len() < CAUSES_MAX && !case.causes.contains(&id))
            .filter(|case| !shared_labels(&case.labels, &labels).is_empty())
            .map(|case| case.id)
            .collect();
        for case in related {
            if let Some(case) = self.cases.get_mut(&case) {
                case.causes.push(id.clone());
            }
            self.touch(Due::Case(case));
            let text = format!("{} fires too: it may be a cause", describe(&labels));
            let data = json!({"fingerprint": id, "labels": labels});
            self.case_event(now, case, "cause_seen", "system", text, data);
        }
    }
}

/// Names of the labels that two sets agree on, other than those that say nothing about the place.
pub(super) fn shared_labels(a: &Labels, b: &Labels) -> Vec<String> {
    a.iter()
        .filter(|label| !matches!(&*label.name, "alertname" | "severity" | METRIC_NAME))
        .filter(|label| b.get(&label.name) == &*label.value)
        .map(|label| label.name.to_string())
        .collect()
}

/// `HostCpuHigh {instance="a"}`, without the severity.
pub(super) fn describe(labels: &Labels) -> String {
    let rest = labels.without("alertname").without("severity");
    match (labels.get("alertname"), rest.is_empty()) {
        ("", _) => labels.to_string(),
        (name, true) => name.to_owned(),
        (name, false) => format!("{name} {rest}"),
    }
}

fn fill_in(
    posted: PostedAlert,
    now: Timestamp,
    timeout_at: Timestamp,
    source: &str,
) -> StoredAlert {
    let PostedAlert {
        labels,
        annotations,
        starts_at,
        ends_at,
        generator_url,
    } = posted;
    StoredAlert {
        version: 1,
        labels,
        annotations,
        starts_at: starts_at.or(ends_at).unwrap_or(now),
        ends_at: ends_at.unwrap_or(timeout_at),
        timeout: ends_at.is_none(),
        updated_at: now,
        generator_url,
        source: source.to_owned(),
        resolved: false,
        left: Vec::new(),
    }
}

/// Alertmanager's merge of two statements about one alert whose times overlap: the earliest start, the newest words,
/// the latest explicit end.
fn merge(old: &StoredAlert, new: StoredAlert, now: Timestamp) -> StoredAlert {
    let overlaps = (new.ends_at > old.starts_at && new.ends_at < old.ends_at)
        || (new.starts_at > old.starts_at && new.starts_at < old.ends_at);
    if !overlaps {
        return new;
    }
    let mut merged = new;
    merged.starts_at = merged.starts_at.min(old.starts_at);
    let resolved = |alert: &StoredAlert| alert.ends_at <= now;
    let old_end_wins = if resolved(&merged) {
        resolved(old) && old.ends_at > merged.ends_at
    } else {
        old.ends_at > merged.ends_at && !old.timeout
    };
    if old_end_wins {
        merged.ends_at = old.ends_at;
        merged.timeout = old.timeout;
    }
    merged
}
