//! The simulated outbox, with the semantics of the live one: record the attempt, perform it, record how it ended. And
//! the outside that it talks to: channels, shells, a balancer.

use std::collections::BTreeMap;

use bellwether_act::{
    ExecPayload, HttpPayload, Outcome as StepOutcome, Output, PromqlPayload, RunEvent, StepResult,
    VerifyResult,
};
use bellwether_flow::Input;
use bellwether_model::series::Value;
use bellwether_model::state::{Delivery, DeliveryState, DeliveryUpdate, NewDelivery, Receipt};
use bellwether_model::{CaseId, DeliveryId};
use bellwether_page::payload::PageKind;
use bellwether_page::{DeliveryResult, PagePayload, PagerEvent};
use bellwether_promql::{Engine, QueryValue};
use bellwether_store::{Begin, DeliveryFilter, Store};
use jiff::{SignedDuration, Timestamp};

use crate::world::{CrashPoint, Job, Reply, World, later, ready};

/// Attempts of a message that has no end of its own.
const ATTEMPTS_MAX: u32 = 20;
const MESSAGE_TIMEOUT: SignedDuration = SignedDuration::from_secs(15);

/// How a channel behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Refuses: HTTP 500.
    Fails,
    /// Takes the message and never answers.
    TimesOut,
    /// Neither takes it nor answers.
    Lost,
    /// Answers just before the timeout.
    Late,
    /// The message arrives twice, and its receipt too.
    Twice,
}

/// How an attempt ended, before it is recorded.
pub(crate) enum Performed {
    Delivered,
    Retry(&'static str),
    Step(Box<RunEvent>),
    Nothing,
}

/// A message as its receiver has it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) at: Timestamp,
    pub(crate) channel: String,
    pub(crate) target: String,
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) copies: u32,
}

/// One shell step in its spool folder: it outlives the process that began it.
struct Spooled {
    ends_at: Timestamp,
    result: StepResult,
}

/// Everything outside of the process.
#[derive(Default)]
pub(crate) struct Outside {
    behaviours: BTreeMap<String, (Behaviour, Timestamp)>,
    /// By key, in order of the first arrival.
    pub(crate) messages: BTreeMap<String, Message>,
    pub(crate) order: Vec<String>,
    /// What each page is about, and its one key.
    pages: BTreeMap<(CaseId, u32, String, String, String), String>,
    keys: BTreeMap<String, DeliveryId>,
    /// When a person was last reached about a case.
    pub(crate) reached: BTreeMap<CaseId, Timestamp>,
    spool: BTreeMap<String, Spooled>,
    /// How often each change was really made.
    changes: BTreeMap<String, u32>,
}

pub(crate) fn is_step(delivery: &Delivery) -> bool {
    matches!(
        delivery.new.channel.as_str(),
        "exec" | "http" | "promql" | "manual" | "sql"
    )
}

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn millis(milliseconds: i64) -> SignedDuration {
    SignedDuration::from_millis(milliseconds)
}

fn step(delivery: &Delivery, outcome: StepOutcome, text: &str, duration_ms: u64) -> Performed {
    let output = Output::new(text, "");
    let result = StepResult {
        secrets: BTreeMap::new(),
        outcome,
        output,
        duration_ms,
    };
    let key = delivery.new.key.clone();
    Performed::Step(Box::new(RunEvent::StepOutcome { key, result }))
}

impl Outside {
    /// Every delivery's key belongs to it alone.
    pub(crate) fn expect(&mut self, new: &NewDelivery) {
        self.keys.entry(new.key.clone()).or_insert(new.id);
    }

    fn behaviour(&self, channel: &str, now: Timestamp) -> Option<Behaviour> {
        let (behaviour, until) = self.behaviours.get(channel)?;
        (*until > now).then_some(*behaviour)
    }
}

impl World {
    /// A channel behaves badly for a while.
    pub fn disturb(&mut self, channel: &str, behaviour: Behaviour, duration: SignedDuration) {
        let until = later(self.true_now, duration);
        let until = (behaviour, until);
        self.outside.behaviours.insert(channel.to_owned(), until);
        self.note(format!(
            "{channel}: {behaviour:?} for {} s",
            duration.as_secs()
        ));
    }

    fn delivery(&self, id: DeliveryId) -> Option<Delivery> {
        ready(self.store.delivery(id)).ok().flatten()
    }

    /// Begins an attempt when its time has come: recorded before anything leaves.
    pub(crate) fn drive(&mut self, id: DeliveryId) {
        let Some(delivery) = self.delivery(id) else {
            return;
        };
        if delivery.state != DeliveryState::Pending {
            return;
        }
        let now = self.now();
        if delivery.new.due_at > now {
            return self.schedule_at(delivery.new.due_at, Job::Drive(id));
        }
        if delivery.new.expires_at.is_some_and(|at| at <= now) {
            return self.expire(&delivery);
        }
        let begin = Begin {
            now,
            lease_until: later(now, MESSAGE_TIMEOUT * 2),
            fence: None,
        };
        match ready(self.store.begin_attempts(vec![id], begin)) {
            Ok(begun) if begun.is_empty() => {}
            Ok(_) => {
                self.figures.attempts += 1;
                if self.crash_if(CrashPoint::AfterBegin) {
                    return;
                }
                if is_step(&delivery) {
                    let key = delivery.new.key.clone();
                    self.send(Input::Run(RunEvent::StepStarted { key }), Reply::Nobody);
                }
                let pause = millis(self.random.between(1, 40));
                self.schedule(pause, Job::Perform(id));
            }
            // Begun or not: if it was, nobody must begin it again, and it is settled as after a crash.
            Err(bellwether_store::StoreError::OutcomeUnknown { .. }) => self.settle_or_drive(id),
            Err(_) => self.schedule(secs(1), Job::Drive(id)),
        }
    }

    fn settle_or_drive(&mut self, id: DeliveryId) {
        match self.delivery(id) {
            Some(delivery) if delivery.state == DeliveryState::Sending => self.settle(&delivery),
            _ => self.schedule(secs(1), Job::Drive(id)),
        }
    }

    /// Does it.
    pub(crate) fn perform(&mut self, id: DeliveryId) {
        let Some(delivery) = self.delivery(id) else {
            return;
        };
        match delivery.new.channel.as_str() {
            "exec" => self.exec(&delivery),
            "http" => self.http(&delivery),
            "promql" => {
                let performed = self.promql(&delivery);
                self.schedule(millis(5), Job::Answer(id, performed));
            }
            "manual" => self.schedule(millis(1), Job::Answer(id, Performed::Nothing)),
            "sql" => {
                let error = "SQL steps are not supported yet".to_owned();
                let performed = step(&delivery, StepOutcome::FailedToStart { error }, "", 0);
                self.schedule(millis(1), Job::Answer(id, performed));
            }
            _ => self.message(&delivery),
        }
    }

    fn message(&mut self, delivery: &Delivery) {
        let id = delivery.new.id;
        let way = self.random.between(20, 400);
        match self.outside.behaviour(&delivery.new.channel, self.true_now) {
            None => {
                self.schedule(millis(way), Job::Arrive(id));
                self.schedule(millis(2 * way), Job::Answer(id, Performed::Delivered));
            }
            Some(Behaviour::Fails) => {
                self.schedule(millis(way), Job::Answer(id, Performed::Retry("HTTP 500")));
            }
            Some(Behaviour::TimesOut) => {
                self.schedule(secs(1), Job::Arrive(id));
                self.schedule(
                    MESSAGE_TIMEOUT,
                    Job::Answer(id, Performed::Retry("timed out")),
                );
            }
            Some(Behaviour::Lost) => {
                self.schedule(
                    MESSAGE_TIMEOUT,
                    Job::Answer(id, Performed::Retry("timed out")),
                );
            }
            Some(Behaviour::Late) => {
                self.schedule(secs(2), Job::Arrive(id));
                self.schedule(secs(14), Job::Answer(id, Performed::Delivered));
            }
            Some(Behaviour::Twice) => {
                self.schedule(millis(way), Job::Arrive(id));
                self.schedule(millis(way + 5), Job::Arrive(id));
                self.schedule(millis(2 * way), Job::Answer(id, Performed::Delivered));
                self.schedule(secs(3), Job::Receipt(id));
                self.schedule(secs(4), Job::Receipt(id));
            }
        }
    }

    /// A message reaches its receiver, whatever has become of its sender.
    pub(crate) fn arrive(&mut self, id: DeliveryId) {
        let Some(delivery) = self.delivery(id) else {
            return;
        };
        let new = &delivery.new;
        self.figures.messages += 1;
        let owner = self.outside.keys.entry(new.key.clone()).or_insert(id);
        if *owner != id {
            self.violate("PG2", format!("two deliveries carry the key {}", new.key));
        }
        let page: Option<PagePayload> = serde_json::from_value(new.payload.clone()).ok();
        let kind = page
            .as_ref()
            .map_or("notification", |page| match page.kind {
                PageKind::Page => "page",
                PageKind::Fallback => "fallback",
                PageKind::Resolved => "resolved",
            });
        let now = self.true_now;
        match self.outside.messages.get_mut(&new.key) {
            Some(message) => {
                message.copies += 1;
                self.figures.repeats += 1;
            }
            None => {
                let text = page.as_ref().map_or_else(
                    || {
                        new.payload["subject"]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned()
                    },
                    |page| page.subject.clone(),
                );
                let message = Message {
                    at: now,
                    channel: new.channel.clone(),
                    target: new.target.clone(),
                    kind: kind.to_owned(),
                    text,
                    copies: 1,
                };
                self.outside.order.push(new.key.clone());
                self.outside.messages.insert(new.key.clone(), message);
            }
        }
        if let Some(page) = page.filter(|page| page.kind != PageKind::Resolved) {
            let step = format!("{kind} {}", page.as_of_step);
            let about = (
                page.case,
                page.loop_number,
                step,
                page.person.clone(),
                new.channel.clone(),
            );
            let known = self
                .outside
                .pages
                .entry(about)
                .or_insert_with(|| new.key.clone());
            if *known != new.key {
                let text = format!("one page with two keys: {known} and {}", new.key);
                self.violate("PG2", text);
            }
            self.outside.reached.insert(page.case, now);
            self.paged(&page);
        }
        self.crash_if(CrashPoint::AfterArrival);
    }

    /// A receipt that comes late, and perhaps again.
    pub(crate) fn late_receipt(&mut self, id: DeliveryId) {
        let Some(delivery) = self.delivery(id) else {
            return;
        };
        let result = DeliveryResult {
            id,
            state: DeliveryState::Done,
            receipt: Receipt::Read,
            attempt: delivery.attempt,
            error: String::new(),
        };
        self.send(
            Input::Page(PagerEvent::DeliveryResult(result)),
            Reply::Nobody,
        );
    }

    // === steps ===

    fn exec(&mut self, delivery: &Delivery) {
        let Ok(payload) = serde_json::from_value::<ExecPayload>(delivery.new.payload.clone())
        else {
            return self.violate("AC1", format!("{} cannot be read", delivery.new.key));
        };
        let key = delivery.new.key.clone();
        let took = self.random.between(50, 4_000);
        if !self.outside.spool.contains_key(&key) {
            let (outcome, text) = self.shell(&payload);
            let result = StepResult {
                secrets: BTreeMap::new(),
                outcome,
                output: Output::new(&text, ""),
                duration_ms: took as u64,
            };
            let ends_at = later(self.true_now, millis(took));
            self.outside
                .spool
                .insert(key.clone(), Spooled { ends_at, result });
        }
        self.attach(delivery);
    }

    /// Waits for a shell step that was begun, by this process or an earlier one.
    fn attach(&mut self, delivery: &Delivery) {
        let key = delivery.new.key.clone();
        let (wait, performed) = match self.outside.spool.get(&key) {
            Some(spooled) => {
                let result = spooled.result.clone();
                let event = RunEvent::StepOutcome { key, result };
                let wait = spooled.ends_at.duration_since(self.true_now);
                (wait, Performed::Step(Box::new(event)))
            }
            None => {
                let error = "the server stopped before it began".to_owned();
                (
                    millis(1),
                    step(delivery, StepOutcome::FailedToStart { error }, "", 0),
                )
            }
        };
        self.schedule(wait, Job::Answer(delivery.new.id, performed));
    }

    /// A shell that knows `inspect`, `drain` and `undrain`, and now and then fails.
    fn shell(&mut self, payload: &ExecPayload) -> (StepOutcome, String) {
        let word = payload.body.split_whitespace().next().unwrap_or_default();
        let replica = payload
            .env
            .iter()
            .find(|(name, _)| name.to_ascii_lowercase().contains("replica"));
        let replica = replica.and_then(|(_, value)| value.parse::<u32>().ok());
        let fails = self.random.chance(60);
        if matches!(word, "drain" | "undrain") {
            self.check_change(payload, word == "undrain");
            if let Some(replica) = replica.filter(|_| !fails) {
                self.service.drain(replica, word == "drain");
                let made = format!("{word} {replica}");
                *self.outside.changes.entry(made.clone()).or_default() += 1;
                self.note(format!("outside: {made}"));
            }
        }
        if fails {
            return (
                StepOutcome::Exited { code: 1 },
                "it did not work".to_owned(),
            );
        }
        (
            StepOutcome::Exited { code: 0 },
            format!("{word} {replica:?}: ok"),
        )
    }

    fn http(&mut self, delivery: &Delivery) {
        let payload = serde_json::from_value::<HttpPayload>(delivery.new.payload.clone());
        let way = self.random.between(5, 800);
        let (outcome, text) = match (payload, self.outside.behaviour("http", self.true_now)) {
            (Ok(_), None) => (StepOutcome::Responded { status: 200 }, "ok"),
            (Ok(_), Some(Behaviour::Fails)) => (StepOutcome::Responded { status: 500 }, "no"),
            (Ok(_), Some(_)) => {
                let reason = "no answer in time".to_owned();
                (StepOutcome::Unknown { reason }, "")
            }
            (Err(error), _) => {
                let error = error.to_string();
                (StepOutcome::FailedToStart { error }, "")
            }
        };
        let performed = step(delivery, outcome, text, way as u64);
        self.schedule(millis(way), Job::Answer(delivery.new.id, performed));
    }

    fn promql(&mut self, delivery: &Delivery) -> Performed {
        let payload = serde_json::from_value::<PromqlPayload>(delivery.new.payload.clone());
        let Ok(payload) = payload else {
            let error = "the delivery cannot be read".to_owned();
            return step(delivery, StepOutcome::FailedToStart { error }, "", 0);
        };
        let answer = self.ask(&payload.query);
        let show = |samples: &[(bellwether_model::Labels, f64)]| {
            let lines = samples
                .iter()
                .map(|(labels, value)| format!("{labels} {value}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        if payload.verify {
            let result = match answer {
                Ok(samples) => {
                    let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
                    VerifyResult::of_values(&values, show(&samples))
                }
                Err(error) => VerifyResult::Error { error },
            };
            let key = delivery.new.key.clone();
            return Performed::Step(Box::new(RunEvent::VerifyResult { key, result }));
        }
        match answer {
            Ok(samples) => step(delivery, StepOutcome::Answered, &show(&samples), 5),
            Err(error) => step(delivery, StepOutcome::Refused { error }, "", 5),
        }
    }

    /// Asks the scraped series.
    pub(crate) fn ask(&self, query: &str) -> Result<Vec<(bellwether_model::Labels, f64)>, String> {
        let engine = Engine::default();
        let expr = engine.parse(query).map_err(|error| error.to_string())?;
        let at = self.now().as_millisecond();
        let answer = engine.instant(&self.service.series, &expr, at);
        let QueryValue::Vector(samples) = answer.map_err(|error| error.to_string())?.value else {
            return Ok(Vec::new());
        };
        let floats = samples.into_iter().filter_map(|sample| match sample.value {
            Value::Float(value) => Some((sample.labels, value)),
            Value::Histogram(_) => None,
        });
        Ok(floats.collect())
    }

    // === ends ===

    /// Records how an attempt ended, together with what that means to its engine.
    pub(crate) fn finish_attempt(&mut self, id: DeliveryId, performed: Performed) {
        let Some(delivery) = self.delivery(id) else {
            return;
        };
        let now = self.now();
        let mut update = DeliveryUpdate {
            id,
            state: DeliveryState::Done,
            due_at: delivery.new.due_at,
            attempt: delivery.attempt,
            fence: delivery.fence,
            lease_until: None,
            receipt: Receipt::Unknown,
            error: String::new(),
            provider_id: String::new(),
        };
        let message = |update: &DeliveryUpdate| {
            let result = PagerEvent::DeliveryResult(result_of(update));
            Some(Box::new(Input::Page(result)))
        };
        let mut reply = Reply::Nobody;
        let then = match performed {
            Performed::Nothing => None,
            Performed::Step(event) => Some(Box::new(Input::Run(*event))),
            Performed::Delivered => {
                update.receipt = Receipt::Accepted;
                message(&update)
            }
            Performed::Retry(error) => {
                error.clone_into(&mut update.error);
                let doubled = 1_i64 << delivery.attempt.saturating_sub(1).min(6);
                update.due_at = later(now, secs(doubled.min(60)));
                let over = match delivery.new.expires_at {
                    Some(end) => update.due_at >= end,
                    None => delivery.attempt >= ATTEMPTS_MAX,
                };
                if over {
                    update.state = DeliveryState::Failed;
                } else {
                    update.state = DeliveryState::Pending;
                    reply = Reply::Again(id, update.due_at);
                }
                update.receipt = Receipt::FailedTemporarily;
                message(&update)
            }
        };
        self.send(Input::Delivered { update, then }, reply);
    }

    fn expire(&mut self, delivery: &Delivery) {
        let error = "it could not be attempted in time".to_owned();
        let update = DeliveryUpdate {
            id: delivery.new.id,
            state: DeliveryState::Failed,
            due_at: delivery.new.due_at,
            attempt: delivery.attempt,
            fence: delivery.fence,
            lease_until: None,
            receipt: Receipt::FailedPermanently,
            error: error.clone(),
            provider_id: String::new(),
        };
        let then = if is_step(delivery) {
            let Performed::Step(event) =
                step(delivery, StepOutcome::FailedToStart { error }, "", 0)
            else {
                return;
            };
            Input::Run(*event)
        } else {
            Input::Page(PagerEvent::DeliveryResult(result_of(&update)))
        };
        let then = Some(Box::new(then));
        self.send(Input::Delivered { update, then }, Reply::Nobody);
    }

    /// After a start: waiting deliveries go on, attempts in flight are settled by their channel.
    pub(crate) fn recover(&mut self) {
        let with = |state| DeliveryFilter {
            state: Some(state),
            ..DeliveryFilter::default()
        };
        let waiting = ready(self.store.deliveries(with(DeliveryState::Pending)));
        let in_flight = ready(self.store.deliveries(with(DeliveryState::Sending)));
        for delivery in waiting.unwrap_or_default() {
            self.schedule_at(delivery.new.due_at, Job::Drive(delivery.new.id));
        }
        for delivery in in_flight.unwrap_or_default() {
            self.settle(&delivery);
        }
    }

    /// Settles an attempt whose process died, or whose beginning may not have been recorded.
    fn settle(&mut self, delivery: &Delivery) {
        let id = delivery.new.id;
        let safe = matches!(
            delivery.new.payload["method"].as_str(),
            Some("GET" | "HEAD")
        );
        match delivery.new.channel.as_str() {
            "exec" => self.attach(delivery),
            "http" if !safe => {
                let reason = "the server stopped while the request was under way".to_owned();
                let performed = step(delivery, StepOutcome::Unknown { reason }, "", 0);
                self.schedule(millis(1), Job::Answer(id, performed));
            }
            "http" | "promql" => self.schedule(millis(1), Job::Perform(id)),
            "manual" => self.schedule(millis(1), Job::Answer(id, Performed::Nothing)),
            _ => {
                let performed = Performed::Retry("the server stopped while it was under way");
                self.schedule(millis(1), Job::Answer(id, performed));
            }
        }
    }
}

fn result_of(update: &DeliveryUpdate) -> DeliveryResult {
    DeliveryResult {
        id: update.id,
        state: update.state,
        receipt: update.receipt,
        attempt: update.attempt,
        error: update.error.clone(),
    }
}
