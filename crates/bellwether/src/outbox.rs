//! The outbox: performs what is recorded, at least once, each with its idempotency key.
//!
//! Data flow: a committed delivery -> one task -> `begin_attempts` in the store (durable before anything leaves) ->
//! a channel -> the outcome as one input to the core, which records it together with what it means to its engine.
//! After a crash [`recover`] finds the attempts that were in flight: a shell step is re-attached or read from its
//! spool, a query is asked again, a message is sent again, a request that may have changed something is *unknown*.

mod channels;
mod services;

use std::sync::Arc;
use std::time::Duration;

use bellwether_act::{Outcome as StepOutcome, RunEvent};
use bellwether_connect::desktop::Desktop;
use bellwether_connect::terminal::Terminal;
use bellwether_connect::{Outcome, Verdict};
use bellwether_env::Backoff;
use bellwether_flow::Input;
use bellwether_model::state::{Delivery, DeliveryState, DeliveryUpdate, Receipt};
use bellwether_page::{DeliveryResult, PagerEvent};
use bellwether_store::{Begin, DeliveryFilter, StoreError};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Semaphore, mpsc};

use crate::app::{App, spawn};
use crate::core::{pause, pause_until};
use crate::steps::{self, Performer, is_step, step_outcome};

/// Messages on their way at the same time, and steps.
const MESSAGES_AT_ONCE: usize = 64;
const STEPS_AT_ONCE: usize = 32;
/// Time one message may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts of a message that has no end of its own.
const ATTEMPTS_MAX: u32 = 20;
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_mins(1),
};

/// Performs deliveries.
pub struct Outbox {
    app: Arc<App>,
    terminal: Terminal,
    desktop: Desktop,
    performer: Performer,
    messages: Semaphore,
    steps: Semaphore,
}

/// How an attempt ended, before it is recorded.
enum Performed {
    /// A message to a person or a system.
    Message(Outcome),
    /// A step or a check: what its engine is told.
    Step(RunEvent),
    /// Nothing was to be done.
    Nothing,
}

// === impl Outbox ===

impl Outbox {
    /// An outbox; `performer` performs steps.
    pub fn new(app: Arc<App>, terminal: Terminal, performer: Performer) -> Arc<Self> {
        Arc::new(Self {
            app,
            terminal,
            desktop: Desktop::new(),
            performer,
            messages: Semaphore::new(MESSAGES_AT_ONCE),
            steps: Semaphore::new(STEPS_AT_ONCE),
        })
    }

    fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// Attempts until the delivery has ended.
    async fn drive(self: Arc<Self>, mut delivery: Delivery) {
        // Whether the answer to a begun attempt may have been lost: then it is ours, and nothing was performed.
        let mut unsure = false;
        loop {
            while delivery.new.due_at > self.now() {
                pause(pause_until(delivery.new.due_at, self.now())).await;
            }
            if delivery.new.expires_at.is_some_and(|at| at <= self.now()) {
                return self.expire(&delivery).await;
            }
            let lane = if is_step(&delivery) {
                &self.steps
            } else {
                &self.messages
            };
            let Ok(_permit) = lane.acquire().await else {
                return;
            };
            delivery = match self.begin(&delivery).await {
                Ok(Some(begun)) => begun,
                Ok(None) => match self.look_again(&delivery, unsure).await {
                    Some(stored) if stored.state == DeliveryState::Sending => stored,
                    Some(waiting) => {
                        delivery = waiting;
                        continue;
                    }
                    // Cancelled or ended meanwhile, or somebody else's.
                    None => return,
                },
                Err(error) => {
                    unsure = true;
                    tracing::warn!(delivery.id = %delivery.new.id, %error, "an attempt could not be begun; trying again");
                    delivery.new.due_at = self.now() + SignedDuration::from_secs(1);
                    continue;
                }
            };
            unsure = false;
            let started = self.app.clock.monotonic();
            let performed = self.perform(&delivery).await;
            let took = self.app.clock.monotonic().saturating_sub(started);
            self.count(&delivery, &performed, took);
            match self.finish(&mut delivery, performed).await {
                Some(due_at) => delivery.new.due_at = due_at,
                None => return,
            }
        }
    }

    /// What became of a delivery that could not be begun: one in `Sending` is ours to perform now, one that waits is
    /// to be tried again (the clock went back, or the store does not answer).
    async fn look_again(&self, delivery: &Delivery, unsure: bool) -> Option<Delivery> {
        let soon = self.now() + SignedDuration::from_secs(1);
        match self.app.store.delivery(delivery.new.id).await {
            Ok(Some(stored)) => match stored.state {
                DeliveryState::Sending if unsure && stored.attempt == delivery.attempt + 1 => {
                    Some(stored)
                }
                DeliveryState::Pending => {
                    let mut waiting = stored;
                    waiting.new.due_at = waiting.new.due_at.max(soon);
                    Some(waiting)
                }
                _ => None,
            },
            Ok(None) => None,
            Err(_) => {
                let mut waiting = delivery.clone();
                waiting.new.due_at = soon;
                Some(waiting)
            }
        }
    }

    /// For Alertmanager's metrics: attempts to tell a receiver.
    fn count(&self, delivery: &Delivery, performed: &Performed, took: Duration) {
        let Performed::Message(outcome) = performed else {
            return;
        };
        if delivery.new.subject.kind != "group" {
            return;
        }
        let ok = matches!(outcome.verdict, Verdict::Done);
        let over = !matches!(outcome.verdict, Verdict::Retry { .. });
        self.app.alertmanager.attempted(
            &delivery.new.channel,
            took.as_secs_f64(),
            ok,
            over,
            delivery.attempt <= 1,
        );
    }

    async fn begin(&self, delivery: &Delivery) -> Result<Option<Delivery>, StoreError> {
        let now = self.now();
        let lease =
            SignedDuration::try_from(steps::time_max(delivery).unwrap_or(MESSAGE_TIMEOUT * 2));
        let begin = Begin {
            now,
            lease_until: now + lease.unwrap_or(SignedDuration::from_mins(5)),
            fence: None,
        };
        let begun = self
            .app
            .store
            .begin_attempts(vec![delivery.new.id], begin)
            .await?
            .pop();
        if begun.is_some() && is_step(delivery) {
            let started = RunEvent::StepStarted {
                key: delivery.new.key.clone(),
            };
            drop(self.app.core.send(Input::Run(started)).await);
        }
        Ok(begun)
    }

    async fn perform(&self, delivery: &Delivery) -> Performed {
        if !is_step(delivery) {
            return Performed::Message(self.message(delivery).await);
        }
        match self.performer.perform(delivery).await {
            Some(event) => Performed::Step(event),
            None => Performed::Nothing,
        }
    }

    /// Records how an attempt ended; gives the time of the next one, if there is to be one.
    async fn finish(&self, delivery: &mut Delivery, performed: Performed) -> Option<Timestamp> {
        let now = self.now();
        let mut update = DeliveryUpdate {
            id: delivery.new.id,
            state: DeliveryState::Done,
            due_at: delivery.new.due_at,
            attempt: delivery.attempt,
            fence: delivery.fence,
            lease_until: None,
            receipt: Receipt::Unknown,
            error: String::new(),
            provider_id: String::new(),
        };
        let then = match performed {
            Performed::Nothing => None,
            Performed::Step(event) => Some(Input::Run(event)),
            Performed::Message(outcome) => {
                update.receipt = outcome.receipt;
                update.error.clone_from(&outcome.error);
                update.provider_id.clone_from(&outcome.provider_id);
                update.state = Self::state_after(delivery, &outcome, now, &mut update.due_at);
                Some(Input::Page(PagerEvent::DeliveryResult(result_of(&update))))
            }
        };
        let next = (update.state == DeliveryState::Pending).then_some(update.due_at);
        delivery.error.clone_from(&update.error);
        let then = then.map(Box::new);
        if self
            .app
            .core
            .send(Input::Delivered { update, then })
            .await
            .is_err()
        {
            return None;
        }
        next
    }

    fn state_after(
        delivery: &Delivery,
        outcome: &Outcome,
        now: Timestamp,
        due_at: &mut Timestamp,
    ) -> DeliveryState {
        match outcome.verdict {
            Verdict::Done => DeliveryState::Done,
            Verdict::Failed => DeliveryState::Failed,
            Verdict::Retry { after } => {
                let jitter = u64::from(delivery.attempt) * 7 + delivery.new.key.len() as u64 * 131;
                let wait = BACKOFF
                    .pause(delivery.attempt, jitter)
                    .max(after.unwrap_or_default());
                let next =
                    now + SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_mins(1));
                let over = match delivery.new.expires_at {
                    Some(end) => next >= end,
                    None => delivery.attempt >= ATTEMPTS_MAX,
                };
                *due_at = next;
                if over {
                    DeliveryState::Failed
                } else {
                    DeliveryState::Pending
                }
            }
        }
    }

    async fn expire(&self, delivery: &Delivery) {
        let update = DeliveryUpdate {
            id: delivery.new.id,
            state: DeliveryState::Failed,
            due_at: delivery.new.due_at,
            attempt: delivery.attempt,
            fence: delivery.fence,
            lease_until: None,
            receipt: Receipt::FailedPermanently,
            error: if delivery.error.is_empty() {
                "it could not be attempted in time".to_owned()
            } else {
                delivery.error.clone()
            },
            provider_id: String::new(),
        };
        let then = if is_step(delivery) {
            Input::Run(step_outcome(
                delivery,
                StepOutcome::FailedToStart {
                    error: update.error.clone(),
                },
            ))
        } else {
            Input::Page(PagerEvent::DeliveryResult(result_of(&update)))
        };
        drop(
            self.app
                .core
                .send(Input::Delivered {
                    update,
                    then: Some(Box::new(then)),
                })
                .await,
        );
    }
}

/// Performs deliveries as they are committed.
pub async fn run(outbox: Arc<Outbox>, mut deliveries: mpsc::UnboundedReceiver<Delivery>) {
    while let Some(delivery) = deliveries.recv().await {
        spawn("perform a delivery", Arc::clone(&outbox).drive(delivery));
    }
}

/// Takes up what an earlier process left: waiting deliveries go on, attempts in flight are settled by their channel.
pub async fn recover(outbox: &Arc<Outbox>) -> Result<usize, StoreError> {
    let store = &outbox.app.store;
    let with = |state| DeliveryFilter {
        state: Some(state),
        ..DeliveryFilter::default()
    };
    let waiting = store.deliveries(with(DeliveryState::Pending)).await?;
    let in_flight = store.deliveries(with(DeliveryState::Sending)).await?;
    let found = waiting.len() + in_flight.len();
    for delivery in waiting {
        spawn("perform a delivery", Arc::clone(outbox).drive(delivery));
    }
    for delivery in in_flight {
        spawn("settle a delivery", Arc::clone(outbox).settle(delivery));
    }
    Ok(found)
}

impl Outbox {
    /// Settles an attempt whose process died.
    async fn settle(self: Arc<Self>, mut delivery: Delivery) {
        let performed = if is_step(&delivery) {
            match self.performer.settle(&delivery).await {
                Some(event) => Performed::Step(event),
                None => Performed::Nothing,
            }
        } else {
            // At least once: whether it arrived cannot be known, so it is said again.
            Performed::Message(Outcome::retry(
                "the server stopped while it was under way",
                None,
                false,
            ))
        };
        if let Some(due_at) = self.finish(&mut delivery, performed).await {
            delivery.new.due_at = due_at.min(self.now());
            self.drive_again(delivery).await;
        }
    }

    /// A boxed step into [`Outbox::drive`], whose first attempt may be begun at once.
    async fn drive_again(self: Arc<Self>, mut delivery: Delivery) {
        let stored = self
            .app
            .store
            .delivery(delivery.new.id)
            .await
            .ok()
            .flatten();
        if let Some(stored) = stored {
            delivery.new.due_at = stored.new.due_at;
        }
        self.drive(delivery).await;
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
