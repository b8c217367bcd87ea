//! Cases: opened by a group (or by hand), joined by its alerts, resolved with the last of them.

use std::collections::BTreeMap;

use bellwether_model::{CaseId, Labels};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Pager;
use super::dispatch::Flush;
use super::ingest::describe;
use super::notify::common;
use super::state::{Due, ENDED_KEPT, Owner, RESOLVED_KEPT, after, hex, span, urgency_of};
use crate::config::{Integration, PageSettings, Policy, Target};
use crate::event::NewCase;
use crate::reason::Reason;
use crate::record::{Case, CaseAlert, CaseStatus, Escalation, Urgency};

/// Text that a person may put into a title, a summary or a comment.
const TEXT_MAX: usize = 16 << 10;
/// Alerts that join at one flush and are named in the timeline.
const JOINED_SHOWN: usize = 20;
/// How far ahead a case can be snoozed.
const SNOOZE_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);

fn clip(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

impl Pager {
    /// The people integration of a receiver, at a flush.
    pub(super) fn flush_to_people(
        &mut self,
        flush: &Flush,
        integration: &Integration,
        settings: &PageSettings,
    ) {
        let name = format!("page/{}", integration.index);
        let slot = (flush.group.to_string(), name);
        let wanted: Vec<(u64, Urgency)> = flush
            .firing
            .iter()
            .filter_map(|fingerprint| {
                let own = urgency_of(&self.alerts[fingerprint].stored.labels)?;
                Some((*fingerprint, settings.urgency.unwrap_or(own)))
            })
            .filter(|(fingerprint, _)| !self.dismissed(flush, &slot, *fingerprint))
            .collect();
        match self
            .open_cases
            .get(&slot)
            .copied()
            .or_else(|| self.adopt_case(&slot, flush, &wanted))
        {
            Some(case) => self.join_case(flush.at, case, &wanted),
            None if wanted.is_empty() => {
                if !flush.firing.is_empty() {
                    self.reason(Reason::ContextOnly { group: slot.0 });
                }
            }
            None => self.open_from_group(flush, slot, settings, &wanted),
        }
    }

    /// An open case of these alerts whose group a new configuration has taken away: it goes on in the new group.
    fn adopt_case(
        &mut self,
        slot: &(String, String),
        flush: &Flush,
        wanted: &[(u64, Urgency)],
    ) -> Option<CaseId> {
        let receiver = &self.config.routes.nodes[flush.node].receiver;
        let left = |case: &Case, fingerprint: u64| {
            self.groups
                .get(case.group.as_str())
                .is_none_or(|group| !group.members.contains(&fingerprint))
        };
        let id = wanted.iter().find_map(|(fingerprint, _)| {
            let cases = self.cases_of_alert.get(fingerprint)?;
            cases.iter().copied().find(|id| {
                self.cases.get(id).is_some_and(|case| {
                    case.receiver == *receiver
                        && case.integration == slot.1
                        && left(case, *fingerprint)
                })
            })
        })?;
        let group_key = self.groups[&flush.group].stored.key.clone();
        let case = self.cases.get_mut(&id)?;
        let before = (case.group.clone(), case.integration.clone());
        case.group.clone_from(&slot.0);
        case.group_key = group_key;
        self.open_cases.remove(&before);
        self.open_cases.insert(slot.clone(), id);
        self.schedule_case(id);
        Some(id)
    }

    /// A person has resolved the case of this alert, which fires on: that holds for the repeat interval.
    fn dismissed(&self, flush: &Flush, slot: &(String, String), fingerprint: u64) -> bool {
        let repeat = span(self.config.routes.nodes[flush.node].repeat_interval);
        let starts_at = self.alerts[&fingerprint].stored.starts_at;
        self.closed_by_hand
            .get(slot)
            .and_then(|case| self.cases.get(case))
            .is_some_and(|case| {
                case.resolved_at
                    .is_some_and(|at| flush.at < after(at, repeat))
                    && case
                        .alerts
                        .get(&hex(fingerprint))
                        .is_some_and(|alert| alert.starts_at == starts_at)
            })
    }

    fn case_alert(&self, fingerprint: u64) -> CaseAlert {
        let stored = &self.alerts[&fingerprint].stored;
        CaseAlert {
            labels: stored.labels.clone(),
            annotations: stored.annotations.clone(),
            starts_at: stored.starts_at,
            ended_at: None,
            generator_url: stored.generator_url.clone(),
        }
    }

    fn open_from_group(
        &mut self,
        flush: &Flush,
        slot: (String, String),
        settings: &PageSettings,
        wanted: &[(u64, Urgency)],
    ) {
        let now = flush.at;
        let node = &self.config.routes.nodes[flush.node];
        let group_key = self.groups[&flush.group].stored.key.clone();
        let receiver = node.receiver.clone();
        let policy = self.policy_or_default(Some(&settings.policy));
        let urgency = wanted
            .iter()
            .map(|(_, urgency)| *urgency)
            .max()
            .unwrap_or_default();
        let alerts: BTreeMap<String, CaseAlert> = wanted
            .iter()
            .map(|(fingerprint, _)| (hex(*fingerprint), self.case_alert(*fingerprint)))
            .collect();
        let since = alerts
            .values()
            .map(|alert| alert.starts_at)
            .min()
            .unwrap_or(now);
        let source = wanted
            .first()
            .map(|(fingerprint, _)| self.alerts[fingerprint].stored.source.clone())
            .unwrap_or_default();
        let why = vec![
            format!("alerts came from {source}"),
            format!("route {} leads to receiver {receiver}", node.id),
            format!("group {group_key}"),
            "not inhibited, not silenced, not muted by a time interval".to_owned(),
            format!("urgency {} by the alerts' severity", urgency.as_str()),
            format!("escalation policy {}", policy.name),
        ];
        let id = CaseId::new(now, &mut self.ids);
        let mut case = Self::new_case(id, now, policy, urgency);
        case.group.clone_from(&slot.0);
        case.integration.clone_from(&slot.1);
        case.group_key = group_key;
        case.receiver = receiver;
        case.since = since;
        "system".clone_into(&mut case.opened_by);
        case.alerts = alerts;
        case.why = why;
        describe_case(&mut case);
        for (fingerprint, _) in wanted {
            self.cases_of_alert
                .entry(*fingerprint)
                .or_default()
                .insert(id);
            self.touch(Due::CaseAlert(id, *fingerprint));
        }
        self.case_alerts.entry(id).or_default().firing = wanted.len();
        self.open_cases.insert(slot, id);
        self.begin_case(now, case, "system");
    }

    fn new_case(id: CaseId, now: Timestamp, policy: Policy, urgency: Urgency) -> Case {
        Case {
            version: 1,
            id,
            code: id.short(),
            status: CaseStatus::Open,
            urgency,
            title: String::new(),
            summary: String::new(),
            group: String::new(),
            group_key: String::new(),
            receiver: String::new(),
            integration: String::new(),
            labels: Labels::empty(),
            annotations: Labels::empty(),
            alerts: BTreeMap::new(),
            opened_at: now,
            opened_by: String::new(),
            since: now,
            resolved_at: None,
            acknowledged_by: None,
            acknowledged_at: None,
            acknowledged_until: None,
            snoozed_until: None,
            context: None,
            context_until: None,
            escalation: Escalation {
                policy,
                next_step: 0,
                loop_number: 1,
                passes: 0,
                steps_fired: 0,
                next_at: None,
                exhausted: false,
            },
            ladders: Vec::new(),
            pages: Vec::new(),
            why: Vec::new(),
            causes: Vec::new(),
            withheld: None,
            recheck_at: None,
            resolved_by_hand: false,
        }
    }

    /// A named policy, or the first, or one that tells everybody: there is always one.
    fn policy_or_default(&self, name: Option<&str>) -> Policy {
        name.and_then(|name| self.config.oncall.policy(name))
            .or(self.config.oncall.policies.first())
            .cloned()
            .unwrap_or(Policy {
                name: "everyone".to_owned(),
                steps: Vec::new(),
                repeat: 0,
                fallback: vec![Target::Everyone],
            })
    }

    /// The first page waits a little for the diagnosis, when there is a runbook to diagnose with.
    fn begin_case(&mut self, now: Timestamp, mut case: Case, actor: &str) {
        let id = case.id;
        let wait = span(self.config.oncall.diagnosis_wait);
        case.escalation.next_at = Some(now);
        if case.runbook().is_some() && wait > SignedDuration::ZERO {
            case.context_until = Some(after(now, wait));
            case.escalation.next_at = case.context_until;
            self.reason(Reason::WaitsForContext {
                case: id.to_string(),
            });
        }
        self.reason(Reason::CaseOpened {
            case: id.to_string(),
        });
        let text = format!("case opened: {}", case.title);
        let data = json!({
            "urgency": case.urgency,
            "group_key": case.group_key,
            "receiver": case.receiver,
            "policy": case.escalation.policy.name,
            "runbook": case.runbook(),
            "labels": case.labels,
            "alerts": case.alerts.keys().collect::<Vec<_>>(),
        });
        self.cases.insert(id, case);
        self.case_event(now, id, "case_opened", actor, text, data);
        self.schedule_case(id);
    }

    /// New alerts of the group: noted, and the urgency may rise.
    fn join_case(&mut self, now: Timestamp, id: CaseId, wanted: &[(u64, Urgency)]) {
        let Some(case) = self.cases.get(&id) else {
            return;
        };
        let new: Vec<(u64, Urgency)> = wanted
            .iter()
            .filter(|(fingerprint, _)| {
                case.alerts
                    .get(&hex(*fingerprint))
                    .is_none_or(|alert| alert.ended_at.is_some())
            })
            .copied()
            .collect();
        if new.is_empty() {
            return;
        }
        for (index, (fingerprint, _)) in new.iter().enumerate() {
            let alert = self.case_alert(*fingerprint);
            let text = format!("{} fires too", describe(&alert.labels));
            let data = json!({"fingerprint": hex(*fingerprint), "labels": alert.labels});
            let counts = self.case_alerts.entry(id).or_default();
            counts.firing += 1;
            counts.ended.retain(|ended| ended != fingerprint);
            self.touch(Due::CaseAlert(id, *fingerprint));
            self.cases_of_alert
                .entry(*fingerprint)
                .or_default()
                .insert(id);
            if let Some(case) = self.cases.get_mut(&id) {
                case.alerts.insert(hex(*fingerprint), alert);
            }
            self.reason(Reason::AlertJoined {
                case: id.to_string(),
            });
            if index < JOINED_SHOWN {
                self.case_event(now, id, "alert_joined", "system", text, data);
            }
        }
        if let Some(more) = new.len().checked_sub(JOINED_SHOWN).filter(|more| *more > 0) {
            let text = format!("{more} more alerts fire too");
            let data = json!({"alerts": more});
            self.case_event(now, id, "alert_joined", "system", text, data);
        }
        let urgency = new
            .iter()
            .map(|(_, urgency)| *urgency)
            .max()
            .unwrap_or_default();
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        describe_case(case);
        let raised = urgency > case.urgency;
        if raised {
            case.urgency = urgency;
        }
        let status = case.status;
        self.schedule_case(id);
        if !raised {
            return;
        }
        self.reason(Reason::UrgencyRaised {
            case: id.to_string(),
        });
        let text = format!("urgency is now {}", urgency.as_str());
        self.case_event(
            now,
            id,
            "urgency_raised",
            "system",
            text,
            json!({"urgency": urgency}),
        );
        match status {
            CaseStatus::Open => self.restart_escalation(now, id),
            CaseStatus::Acknowledged => {
                let until = self.ack_until(now, urgency);
                if let Some(case) = self.cases.get_mut(&id) {
                    case.acknowledged_until = case.acknowledged_until.or(until);
                }
                self.schedule_case(id);
            }
            CaseStatus::Snoozed | CaseStatus::Resolved => {}
        }
    }

    /// Words of an alert have changed.
    pub(super) fn refresh_in_cases(&mut self, fingerprint: u64) {
        let Some(cases) = self.cases_of_alert.get(&fingerprint) else {
            return;
        };
        for id in cases.clone() {
            let fresh = self.case_alert(fingerprint);
            if let Some(case) = self.cases.get_mut(&id)
                && let Some(alert) = case.alerts.get_mut(&hex(fingerprint))
            {
                alert.annotations = fresh.annotations;
                alert.generator_url = fresh.generator_url;
                self.touch(Due::CaseAlert(id, fingerprint));
                self.stale_cases.insert(id);
            }
        }
    }

    /// Once per step, however many words have changed.
    pub(super) fn describe_stale(&mut self) {
        for id in std::mem::take(&mut self.stale_cases) {
            if let Some(case) = self.cases.get_mut(&id) {
                describe_case(case);
                self.touch(Due::Case(id));
            }
        }
    }

    /// Counts an alert's end, and forgets the alert of the case that ended first when there are too many; gives how
    /// many fire.
    fn count_end(&mut self, id: CaseId, fingerprint: u64) -> usize {
        let counts = self.case_alerts.entry(id).or_default();
        counts.firing = counts.firing.saturating_sub(1);
        counts.ended.push_back(fingerprint);
        let left = counts.firing;
        if counts.ended.len() > ENDED_KEPT
            && let Some(first) = counts.ended.pop_front()
        {
            if let Some(case) = self.cases.get_mut(&id) {
                case.alerts.remove(&hex(first));
            }
            self.touch(Due::CaseAlert(id, first));
        }
        left
    }

    /// Counts a restored alert of a case, and knows the case by it.
    pub(super) fn index_case_alert(&mut self, id: CaseId, fingerprint: u64, firing: bool) {
        let open = self.cases.get(&id).is_some_and(|case| !case.is_resolved());
        let counts = self.case_alerts.entry(id).or_default();
        if !firing {
            counts.ended.push_back(fingerprint);
        } else {
            counts.firing += 1;
            if open {
                self.cases_of_alert
                    .entry(fingerprint)
                    .or_default()
                    .insert(id);
            }
        }
    }

    /// An alert has ended: its cases know at once, and those without a firing alert are over.
    pub(super) fn end_in_cases(&mut self, now: Timestamp, fingerprint: u64, ended_at: Timestamp) {
        let cases = self.cases_of_alert.remove(&fingerprint).unwrap_or_default();
        for id in cases {
            let Some(case) = self.cases.get_mut(&id) else {
                continue;
            };
            let Some(alert) = case.alerts.get_mut(&hex(fingerprint)) else {
                continue;
            };
            alert.ended_at = Some(ended_at);
            let labels = alert.labels.clone();
            self.touch(Due::CaseAlert(id, fingerprint));
            let left = self.count_end(id, fingerprint);
            let text = format!("{} ended, {left} still firing", describe(&labels));
            let data = json!({"fingerprint": hex(fingerprint), "firing": left});
            self.case_event(now, id, "alert_resolved", "system", text, data);
            if left == 0 {
                self.close_case(now, id, "system", "all alerts have ended", false);
            } else {
                self.schedule_case(id);
            }
        }
    }

    /// The case is over. People who were paged are told, quietly.
    fn close_case(&mut self, now: Timestamp, id: CaseId, actor: &str, text: &str, by_hand: bool) {
        self.stop_paging(now, id);
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        case.status = CaseStatus::Resolved;
        case.resolved_at = Some(now);
        case.resolved_by_hand = by_hand;
        case.acknowledged_until = None;
        case.snoozed_until = None;
        case.context_until = None;
        case.withheld = None;
        let slot = (case.group.clone(), case.integration.clone());
        let fingerprints: Vec<u64> = case
            .alerts
            .keys()
            .filter_map(|text| u64::from_str_radix(text, 16).ok())
            .collect();
        for fingerprint in fingerprints {
            if let Some(cases) = self.cases_of_alert.get_mut(&fingerprint) {
                cases.remove(&id);
                if cases.is_empty() {
                    self.cases_of_alert.remove(&fingerprint);
                }
            }
        }
        if self.open_cases.get(&slot) == Some(&id) {
            self.open_cases.remove(&slot);
        }
        if by_hand && !slot.0.is_empty() {
            self.closed_by_hand.insert(slot, id);
        }
        self.reason(Reason::CaseResolved {
            case: id.to_string(),
        });
        let data = json!({"by_hand": by_hand});
        self.case_event(
            now,
            id,
            "resolved",
            actor,
            format!("resolved: {text}"),
            data,
        );
        self.send_resolve_notices(now, id);
        self.schedule_case(id);
    }

    pub(super) fn forget_case(&mut self, id: CaseId) {
        if let Some(case) = self.cases.remove(&id) {
            self.closed_by_hand.retain(|_, closed| *closed != id);
            for page in &case.pages {
                self.deliveries.remove(&page.delivery);
            }
            for text in case.alerts.keys() {
                if let Ok(fingerprint) = u64::from_str_radix(text, 16) {
                    self.touch(Due::CaseAlert(id, fingerprint));
                }
            }
        }
        self.case_alerts.remove(&id);
        self.set_timer(Due::Case(id), None);
        self.touch(Due::Case(id));
    }

    pub(super) fn ack_until(&self, now: Timestamp, urgency: Urgency) -> Option<Timestamp> {
        let timeout = match urgency {
            Urgency::High => self.config.oncall.ack_timeout_high,
            Urgency::Low => self.config.oncall.ack_timeout_low,
        };
        timeout.map(|timeout| after(now, span(timeout)))
    }

    /// A case that a person wants to change; says why not.
    fn changeable(&mut self, id: CaseId) -> Option<CaseStatus> {
        match self.cases.get(&id).map(|case| case.status) {
            None => {
                self.reason(Reason::Refused {
                    text: format!("no case {id}"),
                });
                None
            }
            Some(CaseStatus::Resolved) => {
                self.reason(Reason::AlreadyResolved {
                    case: id.to_string(),
                });
                None
            }
            Some(status) => Some(status),
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        now: Timestamp,
        id: CaseId,
        actor: &str,
        as_of: Option<u32>,
    ) {
        let Some(status) = self.changeable(id) else {
            return;
        };
        let case = id.to_string();
        if status == CaseStatus::Acknowledged {
            self.reason(Reason::AlreadyAcknowledged { case });
            return;
        }
        self.stop_paging(now, id);
        let urgency = self.cases[&id].urgency;
        let until = self.ack_until(now, urgency);
        if let Some(case) = self.cases.get_mut(&id) {
            case.status = CaseStatus::Acknowledged;
            case.acknowledged_by = Some(actor.to_owned());
            case.acknowledged_at = Some(now);
            case.acknowledged_until = until;
            case.snoozed_until = None;
            case.context_until = None;
            case.withheld = None;
        }
        self.reason(Reason::Acknowledged { case });
        let text = format!("{actor} has it");
        let data = json!({"as_of_step": as_of, "until": until});
        self.case_event(now, id, "acknowledged", actor, text, data);
        self.schedule_case(id);
    }

    pub(super) fn unacknowledge(&mut self, now: Timestamp, id: CaseId, actor: &str) {
        match self.changeable(id) {
            Some(CaseStatus::Acknowledged | CaseStatus::Snoozed) => {
                self.reason(Reason::Unacknowledged {
                    case: id.to_string(),
                });
                let text = format!("{actor} gave it back");
                self.case_event(now, id, "unacknowledged", actor, text, json!({}));
                self.reopen(now, id);
            }
            Some(_) => self.reason(Reason::Refused {
                text: format!("case {id} is not acknowledged"),
            }),
            None => {}
        }
    }

    /// Open again: escalation begins anew, in the next loop.
    pub(super) fn reopen(&mut self, now: Timestamp, id: CaseId) {
        if let Some(case) = self.cases.get_mut(&id) {
            case.status = CaseStatus::Open;
            case.acknowledged_by = None;
            case.acknowledged_at = None;
            case.acknowledged_until = None;
            case.snoozed_until = None;
        }
        self.restart_escalation(now, id);
    }

    pub(super) fn resolve(&mut self, now: Timestamp, id: CaseId, actor: &str, text: &str) {
        if self.changeable(id).is_some() {
            let text = match clip(text) {
                text if text.is_empty() => format!("by {actor}"),
                text => text,
            };
            self.close_case(now, id, actor, &text, true);
        }
    }

    pub(super) fn snooze(&mut self, now: Timestamp, id: CaseId, actor: &str, until: Timestamp) {
        if self.changeable(id).is_none() {
            return;
        }
        if until <= now || until > after(now, SNOOZE_MAX) {
            self.reason(Reason::Refused {
                text: "a snooze ends in the future, within 31 days".to_owned(),
            });
            return;
        }
        self.stop_paging(now, id);
        if let Some(case) = self.cases.get_mut(&id) {
            case.status = CaseStatus::Snoozed;
            case.snoozed_until = Some(until);
            case.acknowledged_by = Some(actor.to_owned());
            case.acknowledged_until = None;
            case.context_until = None;
            case.withheld = None;
        }
        self.reason(Reason::Snoozed {
            case: id.to_string(),
        });
        let text = format!("{actor} snoozed it until {until}");
        self.case_event(now, id, "snoozed", actor, text, json!({"until": until}));
        self.schedule_case(id);
    }

    pub(super) fn comment(&mut self, now: Timestamp, id: CaseId, actor: &str, text: &str) {
        if !self.cases.contains_key(&id) || text.trim().is_empty() {
            self.reason(Reason::Refused {
                text: format!("no case {id}, or an empty comment"),
            });
            return;
        }
        self.reason(Reason::CommentAdded {
            case: id.to_string(),
        });
        self.case_event(now, id, "comment", actor, clip(text), json!({}));
    }

    pub(super) fn open_by_hand(&mut self, now: Timestamp, new: NewCase) {
        if new.title.trim().is_empty() {
            self.reason(Reason::Refused {
                text: "a case needs a title".to_owned(),
            });
            return;
        }
        if let Some(name) = &new.policy
            && self.config.oncall.policy(name).is_none()
        {
            self.reason(Reason::Refused {
                text: format!("no escalation policy {name:?}"),
            });
            return;
        }
        let policy = self.policy_or_default(new.policy.as_deref());
        let id = CaseId::new(now, &mut self.ids);
        let mut case = Self::new_case(id, now, policy, new.urgency);
        case.title = clip(&new.title);
        case.summary = clip(&new.summary);
        case.labels = new.labels;
        case.annotations = new.annotations;
        case.opened_by.clone_from(&new.actor);
        case.why = vec![
            format!("opened by {}", new.actor),
            format!("escalation policy {}", case.escalation.policy.name),
        ];
        self.begin_case(now, case, &new.actor);
    }

    pub(super) fn context_ready(&mut self, now: Timestamp, id: CaseId, text: &str) {
        let Some(case) = self.cases.get_mut(&id) else {
            self.reason(Reason::Refused {
                text: format!("no case {id}"),
            });
            return;
        };
        let text = clip(text);
        let waiting = case.context_until.take().is_some();
        if !text.is_empty() {
            case.context = Some(text.clone());
        }
        if waiting && case.status == CaseStatus::Open {
            case.escalation.next_at = Some(now);
        }
        self.reason(Reason::ContextReceived {
            case: id.to_string(),
        });
        if !text.is_empty() {
            self.case_event(
                now,
                id,
                "context_ready",
                "system",
                text,
                json!({"in_time": waiting}),
            );
        }
        self.schedule_case(id);
    }

    /// Sets the case's timer to the first thing it waits for, and has it written.
    pub(super) fn schedule_case(&mut self, id: CaseId) {
        let at = self.cases.get(&id).and_then(|case| {
            let waits = match case.status {
                CaseStatus::Resolved => {
                    return case.resolved_at.map(|at| after(at, RESOLVED_KEPT));
                }
                CaseStatus::Acknowledged => return case.acknowledged_until,
                CaseStatus::Snoozed => return case.snoozed_until,
                CaseStatus::Open => case_waits(case),
            };
            match case.recheck_at {
                Some(recheck) => waits.map(|at| at.max(recheck)),
                None => waits,
            }
        });
        self.set_timer(Due::Case(id), at);
        self.touch(Due::Case(id));
    }

    /// Registers whose deliveries the pages of a case are.
    pub(super) fn own_pages(&mut self, case: &Case) {
        for delivery in case.pages.iter().map(|page| page.delivery) {
            self.deliveries.insert(delivery, Owner::Page(case.id));
        }
    }
}

/// The first thing an open case waits for.
pub(super) fn case_waits(case: &Case) -> Option<Timestamp> {
    let ladders = case.ladders.iter().filter_map(|ladder| ladder.next_at);
    let receipts = case.pages.iter().filter_map(|page| page.receipt_by);
    ladders.chain(receipts).chain(case.escalation.next_at).min()
}

/// Title, summary and what all alerts share.
pub(super) fn describe_case(case: &mut Case) {
    if case.alerts.is_empty() {
        return;
    }
    let shared = |sets: Vec<&Labels>| Labels::new(common(sets.into_iter()));
    case.labels = shared(case.alerts.values().map(|alert| &alert.labels).collect());
    case.annotations = shared(
        case.alerts
            .values()
            .map(|alert| &alert.annotations)
            .collect(),
    );
    let lead = case
        .firing()
        .map(|(_, alert)| alert)
        .next()
        .or(case.alerts.values().next())
        .cloned();
    let Some(lead) = lead else { return };
    let name = match case.labels.get("alertname") {
        "" => lead.labels.get("alertname").to_owned(),
        name => name.to_owned(),
    };
    let pick = |key: &str| match case.annotations.get(key) {
        "" => lead.annotations.get(key).to_owned(),
        text => text.to_owned(),
    };
    let summary = match (pick("summary"), pick("description")) {
        (summary, description) if summary.is_empty() => description,
        (summary, _) => summary,
    };
    let where_ = ["service", "job", "instance", "cluster", "namespace"]
        .into_iter()
        .map(|key| case.labels.get(key))
        .find(|value| !value.is_empty());
    case.title = match where_ {
        Some(place) => format!("{name} on {place}"),
        None => name,
    };
    if case.title.is_empty() {
        case.title = describe(&lead.labels);
    }
    case.title = clip(&case.title);
    case.summary = clip(&summary);
}
