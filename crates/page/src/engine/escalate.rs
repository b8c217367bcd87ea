//! Escalation: steps, the people behind them, their rules, and the pages.

use bellwether_model::CaseId;
use bellwether_model::state::{DeliveryState, NewDelivery, Receipt, Subject};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Pager;
use super::cases::case_waits;
use super::notify::is_final;
use super::state::{Due, Owner, after, span};
use crate::config::{Channel, Person, Rule, Target};
use crate::event::DeliveryResult;
use crate::payload::PageKind;
use crate::reason::Reason;
use crate::record::{Case, CaseStatus, Ladder, Page, Urgency};

/// Between steps of a case of low urgency, at least: a ticket does not nag.
const LOW_WAIT: SignedDuration = SignedDuration::from_hours(24);
/// Between two tellings of the fallback.
const FALLBACK_AGAIN: SignedDuration = SignedDuration::from_mins(30);
/// How often a case whose pages are withheld is looked at.
const RECHECK: SignedDuration = SignedDuration::from_secs(60);
/// Pages that a case remembers.
const PAGES_MAX: usize = 200;

/// How long a channel may take until a positive receipt; then the next rule fires.
fn deliver_within(channel: Channel) -> SignedDuration {
    match channel {
        Channel::Email => SignedDuration::from_secs(120),
        Channel::Sms => SignedDuration::from_secs(60),
        // 45 s of ringing, and the time to be put through.
        Channel::Voice => SignedDuration::from_secs(75),
        _ => SignedDuration::from_secs(20),
    }
}

/// How long an attempt to reach a person is worth anything.
fn worth_until(now: Timestamp, urgency: Urgency) -> Timestamp {
    let patience = match urgency {
        Urgency::High => SignedDuration::from_mins(15),
        Urgency::Low => SignedDuration::from_hours(12),
    };
    after(now, patience)
}

impl Pager {
    /// The case's timer fired.
    pub(super) fn case_due(&mut self, now: Timestamp, id: CaseId) {
        let Some(case) = self.cases.get(&id) else {
            return;
        };
        match case.status {
            CaseStatus::Resolved => return self.forget_case(id),
            CaseStatus::Acknowledged => {
                self.reason(Reason::AcknowledgementExpired {
                    case: id.to_string(),
                });
                let text = "acknowledged, but it still fires: paging again".to_owned();
                self.case_event(
                    now,
                    id,
                    "acknowledgement_expired",
                    "system",
                    text,
                    json!({}),
                );
                return self.reopen(now, id);
            }
            CaseStatus::Snoozed => {
                self.reason(Reason::SnoozeEnded {
                    case: id.to_string(),
                });
                let text = "the snooze is over: paging again".to_owned();
                self.case_event(now, id, "snooze_ended", "system", text, json!({}));
                return self.reopen(now, id);
            }
            CaseStatus::Open => {}
        }
        if !self.withhold(now, id) {
            self.run_ladders(now, id);
            self.run_steps(now, id);
        }
        self.schedule_case(id);
    }

    /// Whether every firing alert of the case is muted just now; then nothing is sent, and the reason is recorded.
    fn withhold(&mut self, now: Timestamp, id: CaseId) -> bool {
        let Some(case) = self.cases.get(&id) else {
            return true;
        };
        let why = self.why_withheld(case, now);
        let changed = case.withheld != why;
        if changed {
            let (kind, text) = match &why {
                Some(why) => ("page_withheld", format!("no page now: {why}")),
                None => ("page_released", "no longer muted".to_owned()),
            };
            self.case_event(now, id, kind, "system", text, json!({"why": why}));
            if let Some(why) = &why {
                self.reason(Reason::PageWithheld {
                    case: id.to_string(),
                    why: why.clone(),
                });
            }
            if let Some(case) = self.cases.get_mut(&id) {
                case.withheld.clone_from(&why);
            }
        }
        let withheld = why.is_some();
        if let Some(case) = self.cases.get_mut(&id) {
            case.recheck_at = withheld.then(|| after(now, RECHECK));
        }
        withheld
    }

    pub(super) fn why_withheld(&self, case: &Case, now: Timestamp) -> Option<String> {
        if let Some(group) = self.groups.get(case.group.as_str()) {
            let node = &self.config.routes.nodes[group.node];
            if let Some((name, _)) = self.route_muted(node, now) {
                return Some(format!("muted by time interval {name}"));
            }
        }
        let mut why = None;
        for (fingerprint, alert) in case.firing() {
            let fingerprint = u64::from_str_radix(fingerprint, 16).unwrap_or_default();
            why = Some(self.muted(fingerprint, &alert.labels, now)?);
        }
        why
    }

    /// From the first step, in the next loop; whatever is on its way is taken back.
    pub(super) fn restart_escalation(&mut self, now: Timestamp, id: CaseId) {
        self.stop_paging(now, id);
        if let Some(case) = self.cases.get_mut(&id) {
            let escalation = &mut case.escalation;
            escalation.next_step = 0;
            escalation.passes = 0;
            escalation.loop_number += 1;
            escalation.exhausted = false;
            escalation.next_at = Some(now);
        }
        self.schedule_case(id);
    }

    /// No further rule or step fires, and pages that have not gone out are taken back.
    pub(super) fn stop_paging(&mut self, now: Timestamp, id: CaseId) {
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        case.ladders.clear();
        case.escalation.next_at = None;
        let mut cancelled = Vec::new();
        for page in &mut case.pages {
            page.receipt_by = None;
            if !is_final(page.state) {
                page.state = DeliveryState::Cancelled;
                cancelled.push(page.delivery);
            }
        }
        case.recheck_at = None;
        for delivery in cancelled {
            self.cancel_delivery(now, delivery);
        }
    }

    /// A person asks for the next step now.
    pub(super) fn escalate_now(&mut self, now: Timestamp, id: CaseId, actor: &str, as_of: u32) {
        let Some(case) = self.cases.get(&id) else {
            self.reason(Reason::Refused {
                text: format!("no case {id}"),
            });
            return;
        };
        if case.is_resolved() {
            self.reason(Reason::AlreadyResolved {
                case: id.to_string(),
            });
            return;
        }
        if case.escalation.steps_fired != as_of {
            self.reason(Reason::StaleEscalate {
                case: id.to_string(),
            });
            return;
        }
        let was_open = case.status == CaseStatus::Open;
        let text = format!("{actor} escalates");
        self.case_event(
            now,
            id,
            "escalated_by_hand",
            actor,
            text,
            json!({"as_of_step": as_of}),
        );
        if !was_open {
            return self.reopen(now, id);
        }
        if let Some(case) = self.cases.get_mut(&id) {
            case.escalation.next_at = Some(now);
            case.context_until = None;
        }
        self.schedule_case(id);
    }

    /// Fires steps until one waits.
    fn run_steps(&mut self, now: Timestamp, id: CaseId) {
        while let Some(case) = self.cases.get_mut(&id) {
            if case.escalation.next_at.is_none_or(|at| at > now) {
                return;
            }
            let overdue_context = case.context_until.take().is_some_and(|until| until <= now);
            if overdue_context {
                self.reason(Reason::ContextOverdue {
                    case: id.to_string(),
                });
            }
            self.run_step(now, id);
        }
    }

    fn run_step(&mut self, now: Timestamp, id: CaseId) {
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        let low = case.urgency == Urgency::Low;
        let escalation = &mut case.escalation;
        let index = escalation.next_step;
        let Some(step) = escalation.policy.steps.get(index as usize).cloned() else {
            return self.end_of_policy(now, id);
        };
        escalation.steps_fired += 1;
        escalation.next_step += 1;
        let number = escalation.steps_fired;
        let loop_number = escalation.loop_number;
        let wait = span(step.wait).max(if low { LOW_WAIT } else { SignedDuration::ZERO });
        let people = self.people_of(&step.notify, now);
        let case_name = id.to_string();
        if people.is_empty() && !step.hold {
            self.reason(Reason::EmptyStepSkipped {
                case: case_name,
                step: index + 1,
            });
            let text = format!("step {} skipped: nobody is on call", index + 1);
            let data = json!({"step": index + 1, "targets": step.notify});
            self.case_event(now, id, "step_skipped", "system", text, data);
            return;
        }
        if let Some(case) = self.cases.get_mut(&id) {
            case.escalation.next_at = Some(after(now, wait));
        }
        if people.is_empty() {
            self.reason(Reason::StepHeld {
                case: case_name,
                step: index + 1,
            });
            let text = format!("step {} waits although nobody is on call", index + 1);
            self.case_event(
                now,
                id,
                "step_held",
                "system",
                text,
                json!({"step": index + 1}),
            );
            return;
        }
        self.reason(Reason::StepFired {
            case: case_name,
            step: index + 1,
        });
        let names: Vec<&str> = people
            .iter()
            .map(|(person, _)| person.id.as_str())
            .collect();
        let text = format!(
            "step {}, loop {loop_number}: paging {}",
            index + 1,
            names.join(", ")
        );
        let data = json!({
            "step": index + 1,
            "loop": loop_number,
            "people": people
                .iter()
                .map(|(person, source)| json!({"person": person.id, "source": source}))
                .collect::<Vec<_>>(),
        });
        self.case_event(now, id, "escalated", "system", text, data);
        self.start_ladders(now, id, people, index, number, false);
    }

    fn end_of_policy(&mut self, now: Timestamp, id: CaseId) {
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        let low = case.urgency == Urgency::Low;
        let escalation = &mut case.escalation;
        escalation.loop_number += 1;
        if !low && !escalation.exhausted && escalation.passes < escalation.policy.repeat {
            escalation.passes += 1;
            escalation.next_step = 0;
            let passes = escalation.passes;
            self.reason(Reason::PolicyRepeats {
                case: id.to_string(),
            });
            let text = format!("nobody answered: the policy begins again ({passes})");
            self.case_event(
                now,
                id,
                "policy_repeated",
                "system",
                text,
                json!({"pass": passes}),
            );
            return;
        }
        let first = !escalation.exhausted;
        escalation.exhausted = true;
        escalation.steps_fired += 1;
        escalation.next_at = Some(after(now, if low { LOW_WAIT } else { FALLBACK_AGAIN }));
        let (number, index) = (escalation.steps_fired, escalation.next_step);
        let targets = match escalation.policy.fallback.as_slice() {
            [] => vec![Target::Everyone],
            targets => targets.to_vec(),
        };
        if first {
            self.reason(Reason::PolicyExhausted {
                case: id.to_string(),
            });
            let text = "end of the policy, and nobody answered".to_owned();
            self.case_event(now, id, "policy_exhausted", "system", text, json!({}));
        }
        let mut people = self.people_of(&targets, now);
        if people.is_empty() {
            people = self.people_of(&[Target::Everyone], now);
        }
        if people.is_empty() {
            self.reason(Reason::NobodyToPage {
                case: id.to_string(),
            });
            let text = "there is nobody to page: add people to the oncall section".to_owned();
            self.case_event(now, id, "nobody_to_page", "system", text, json!({}));
            return;
        }
        self.reason(Reason::FallbackPaged {
            case: id.to_string(),
        });
        let names: Vec<&str> = people
            .iter()
            .map(|(person, _)| person.id.as_str())
            .collect();
        let text = format!("fallback: paging {}", names.join(", "));
        self.case_event(
            now,
            id,
            "fallback_paged",
            "system",
            text,
            json!({"people": names}),
        );
        self.start_ladders(now, id, people, index, number, true);
    }

    /// The people behind targets at this moment, each once, and why.
    fn people_of(&self, targets: &[Target], now: Timestamp) -> Vec<(Person, String)> {
        let oncall = &self.config.oncall;
        let mut found: Vec<(Person, String)> = Vec::new();
        let mut add = |id: &str, source: String| {
            if let Some(person) = oncall.people.get(id)
                && !found.iter().any(|(known, _)| known.id == person.id)
            {
                found.push((person.clone(), source));
            }
        };
        for target in targets {
            match target {
                Target::Person(id) => add(id, "named in the policy".to_owned()),
                Target::Everyone => {
                    for id in oncall.people.keys() {
                        add(id, "everyone".to_owned());
                    }
                }
                Target::Schedule(name) => {
                    for (id, source) in self.on_call(name, now) {
                        add(&id, format!("schedule {name}, {source}"));
                    }
                }
            }
        }
        found
    }

    fn start_ladders(
        &mut self,
        now: Timestamp,
        id: CaseId,
        people: Vec<(Person, String)>,
        step: u32,
        step_number: u32,
        fallback: bool,
    ) {
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        let urgency = case.urgency;
        let loop_number = case.escalation.loop_number;
        // The step before has had its time.
        case.ladders.clear();
        for page in &mut case.pages {
            page.receipt_by = None;
        }
        for (person, source) in people {
            let mut rules = match urgency {
                Urgency::High => person.high.clone(),
                Urgency::Low => person.low.clone(),
            };
            if rules.is_empty() {
                rules = vec![Rule {
                    after: std::time::Duration::ZERO,
                    channel: Channel::Browser,
                }];
            }
            case.ladders.push(Ladder {
                person: person.id,
                source,
                next_at: rules.first().map(|rule| after(now, span(rule.after))),
                rules,
                next_rule: 0,
                started_at: now,
                step,
                step_number,
                loop_number,
                fallback,
            });
        }
        self.run_ladders(now, id);
    }

    /// Fires the rules that are due, and those whose page before them got no receipt in time.
    fn run_ladders(&mut self, now: Timestamp, id: CaseId) {
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        let mut late: Vec<(String, u32)> = Vec::new();
        for page in &mut case.pages {
            if page.receipt_by.is_some_and(|at| at <= now) {
                page.receipt_by = None;
                late.push((page.person.clone(), page.step_number));
            }
        }
        for (person, step_number) in late {
            self.reason(Reason::ReceiptOverdue {
                case: id.to_string(),
                person: person.clone(),
            });
            self.hurry_ladder(now, id, &person, step_number);
        }
        while let Some((ladder, rule)) = self.next_rule(now, id) {
            self.fire_rule(now, id, &ladder, rule);
        }
    }

    /// The person's next rule fires now.
    fn hurry_ladder(&mut self, now: Timestamp, id: CaseId, person: &str, step_number: u32) {
        let ladder = self.cases.get_mut(&id).and_then(|case| {
            case.ladders.iter_mut().find(|ladder| {
                ladder.person == person
                    && ladder.step_number == step_number
                    && ladder.next_at.is_some()
            })
        });
        if let Some(ladder) = ladder {
            ladder.next_at = Some(now);
        }
    }

    /// Takes one due rule off its ladder.
    fn next_rule(&mut self, now: Timestamp, id: CaseId) -> Option<(Ladder, u32)> {
        let case = self.cases.get_mut(&id)?;
        let ladder = case
            .ladders
            .iter_mut()
            .find(|ladder| ladder.next_at.is_some_and(|at| at <= now))?;
        let rule = ladder.next_rule;
        let before = ladder.clone();
        ladder.next_rule += 1;
        ladder.next_at = ladder
            .rules
            .get(ladder.next_rule as usize)
            .map(|rule| after(ladder.started_at, span(rule.after)).max(now));
        Some((before, rule))
    }

    fn fire_rule(&mut self, now: Timestamp, id: CaseId, ladder: &Ladder, rule_index: u32) {
        let Some(rule) = ladder.rules.get(rule_index as usize) else {
            return;
        };
        let channel = rule.channel;
        let config = std::sync::Arc::clone(&self.config);
        let person = config.oncall.people.get(&ladder.person);
        let target = person.and_then(|person| address(person, channel));
        let (Some(person), Some(target)) = (person, target) else {
            self.reason(Reason::ChannelUnavailable {
                case: id.to_string(),
                person: ladder.person.clone(),
                channel: channel.as_str().to_owned(),
            });
            let text = format!("{} has no {} address", ladder.person, channel.as_str());
            let data = json!({"person": ladder.person, "channel": channel});
            self.case_event(now, id, "channel_unavailable", "system", text, data);
            self.hurry_ladder(now, id, &ladder.person, ladder.step_number);
            return;
        };
        let kind = if ladder.fallback {
            PageKind::Fallback
        } else {
            PageKind::Page
        };
        let Some(case) = self.cases.get(&id) else {
            return;
        };
        let urgency = case.urgency;
        let payload = self.page_payload(case, person, Some(ladder), kind, now);
        let step = if ladder.fallback {
            "fallback".to_owned()
        } else {
            ladder.step.to_string()
        };
        let key = format!(
            "page:{id}:{}:{step}:{}:{rule_index}",
            ladder.loop_number, ladder.person
        );
        let delivery = self.new_delivery_id(now);
        self.deliveries.insert(delivery, Owner::Page(id));
        self.batch.deliveries.push(NewDelivery {
            id: delivery,
            key: key.clone(),
            subject: Subject::new("case", id),
            channel: channel.as_str().to_owned(),
            target,
            payload: serde_json::to_value(payload).expect("payloads are plain data"),
            due_at: now,
            expires_at: Some(worth_until(now, urgency)),
        });
        let last = rule_index as usize + 1 >= ladder.rules.len();
        let page = Page {
            delivery,
            key,
            person: ladder.person.clone(),
            channel,
            at: now,
            step_number: ladder.step_number,
            step: ladder.step,
            loop_number: ladder.loop_number,
            rule: rule_index,
            fallback: ladder.fallback,
            state: DeliveryState::Pending,
            receipt: Receipt::Unknown,
            error: String::new(),
            receipt_by: (!last).then(|| after(now, deliver_within(channel))),
        };
        if let Some(case) = self.cases.get_mut(&id) {
            case.pages.push(page);
            if case.pages.len() > PAGES_MAX {
                let forgotten = case.pages.remove(0);
                self.deliveries.remove(&forgotten.delivery);
            }
        }
        self.reason(Reason::PageSent {
            case: id.to_string(),
            person: ladder.person.clone(),
            channel: channel.as_str().to_owned(),
        });
        let text = format!("page to {} by {}", ladder.person, channel.as_str());
        let data = json!({
            "person": ladder.person,
            "channel": channel,
            "source": ladder.source,
            "step": ladder.step + 1,
            "loop": ladder.loop_number,
            "delivery": delivery,
        });
        self.case_event(now, id, "page_sent", "system", text, data);
    }

    pub(super) fn page_result(&mut self, now: Timestamp, id: CaseId, result: &DeliveryResult) {
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        let open = case.status == CaseStatus::Open;
        let Some(page) = case
            .pages
            .iter_mut()
            .find(|page| page.delivery == result.id)
        else {
            return;
        };
        // Late callbacks cannot move a page backwards.
        if is_final(page.state) && (page.state == result.state || !is_final(result.state)) {
            if page.state == DeliveryState::Done && result.receipt > page.receipt {
                page.receipt = result.receipt;
                if is_proof(result.receipt) {
                    page.receipt_by = None;
                }
                self.touch(Due::Case(id));
                self.schedule_case(id);
            }
            return;
        }
        page.state = result.state;
        page.receipt = page.receipt.max(result.receipt);
        page.error.clone_from(&result.error);
        let page = page.clone();
        let (case_name, person) = (id.to_string(), page.person.clone());
        let channel = page.channel.as_str().to_owned();
        let data = json!({
            "person": page.person,
            "channel": page.channel,
            "receipt": page.receipt,
            "attempts": result.attempt,
            "error": page.error,
        });
        match result.state {
            DeliveryState::Done => {
                let text = arrival(&person, &channel, page.receipt);
                self.case_event(now, id, "page_delivered", "system", text, data);
                self.reason(Reason::PageDelivered {
                    case: case_name,
                    person,
                    channel,
                });
                if is_proof(page.receipt) {
                    self.settle_page(id, result.id);
                }
            }
            DeliveryState::Failed => {
                let text = format!("page to {person} by {channel} failed: {}", page.error);
                self.case_event(now, id, "page_failed", "system", text, data);
                self.reason(Reason::PageFailed {
                    case: case_name,
                    person,
                    channel,
                });
                self.settle_page(id, result.id);
                if open {
                    self.hurry_ladder(now, id, &page.person, page.step_number);
                    self.run_ladders(now, id);
                    self.step_unreached(now, id, page.step_number);
                }
            }
            _ => {}
        }
        self.schedule_case(id);
    }

    /// The page waits for nothing any more.
    fn settle_page(&mut self, id: CaseId, delivery: bellwether_model::DeliveryId) {
        let page = self
            .cases
            .get_mut(&id)
            .and_then(|case| case.pages.iter_mut().find(|page| page.delivery == delivery));
        if let Some(page) = page {
            page.receipt_by = None;
        }
    }

    /// Every page of the present step has failed and no rule is left: the next step fires now.
    fn step_unreached(&mut self, now: Timestamp, id: CaseId, step_number: u32) {
        let Some(case) = self.cases.get_mut(&id) else {
            return;
        };
        let current = case.escalation.steps_fired == step_number && !case.escalation.exhausted;
        let left = case.ladders.iter().any(|ladder| ladder.next_at.is_some());
        let all_failed = case
            .pages
            .iter()
            .filter(|page| page.step_number == step_number)
            .all(|page| page.state == DeliveryState::Failed);
        if current && !left && all_failed && case.escalation.next_at.is_some_and(|at| at > now) {
            case.escalation.next_at = Some(now);
            let text = "nobody of this step could be reached: next step now".to_owned();
            self.case_event(now, id, "step_unreached", "system", text, json!({}));
        }
    }

    /// Everybody who was paged is told that it is over, on the channels that were used.
    pub(super) fn send_resolve_notices(&mut self, now: Timestamp, id: CaseId) {
        let config = std::sync::Arc::clone(&self.config);
        let Some(case) = self.cases.get(&id) else {
            return;
        };
        let mut told: Vec<(String, Channel)> = case
            .pages
            .iter()
            .filter(|page| page.state == DeliveryState::Done)
            .map(|page| (page.person.clone(), page.channel))
            .collect();
        told.sort();
        told.dedup();
        for (person, channel) in told {
            let Some(person) = config.oncall.people.get(&person) else {
                continue;
            };
            let (Some(target), Some(case)) = (address(person, channel), self.cases.get(&id)) else {
                continue;
            };
            let payload = self.page_payload(case, person, None, PageKind::Resolved, now);
            let delivery = self.new_delivery_id(now);
            self.batch.deliveries.push(NewDelivery {
                id: delivery,
                key: format!("resolved:{id}:{}:{}", person.id, channel.as_str()),
                subject: Subject::new("case", id),
                channel: channel.as_str().to_owned(),
                target,
                payload: serde_json::to_value(payload).expect("payloads are plain data"),
                due_at: now,
                expires_at: Some(after(now, SignedDuration::from_hours(1))),
            });
        }
    }

    /// Whether an open case waits for something: one that does not would be silent.
    pub(super) fn is_silent(case: &Case) -> bool {
        case.status == CaseStatus::Open && case_waits(case).is_none()
    }
}

/// Whether a receipt shows that the page is on its way to a person and does not only lie somewhere.
fn is_proof(receipt: Receipt) -> bool {
    matches!(
        receipt,
        Receipt::Accepted | Receipt::Sent | Receipt::Delivered | Receipt::Read | Receipt::Answered
    )
}

/// What is known of a page that has gone out, and no more.
fn arrival(person: &str, channel: &str, receipt: Receipt) -> String {
    let what = match receipt {
        Receipt::Queued if channel == "browser" => "waits until a page is opened: none is open now",
        Receipt::Unknown | Receipt::Queued => "is handed over; nothing shows yet that it arrived",
        _ => "arrived",
    };
    format!("page to {person} by {channel} {what}")
}

/// Where a person is reached on a channel, in the adapter's terms.
fn address(person: &Person, channel: Channel) -> Option<String> {
    match channel {
        Channel::Terminal | Channel::Browser | Channel::Desktop => Some(person.id.clone()),
        Channel::Email => person.email.clone(),
        // Looked up by person: an address may be as good as a password.
        Channel::Ntfy => person.ntfy.as_ref().map(|_| person.id.clone()),
        Channel::Sms | Channel::Voice => person.phone.as_ref().map(|_| person.id.clone()),
        other => person.contacts.get(&other).map(|_| person.id.clone()),
    }
}
