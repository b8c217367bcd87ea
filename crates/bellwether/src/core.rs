//! The one writer: inputs from everywhere, engine steps, one commit for all that waits, then the effects.
//!
//! Data flow: [`Core::send`] -> queue -> [`run`] takes all that waits, steps [`Flow`] for each, commits one batch,
//! answers the senders, and only then hands new deliveries to the outbox, wanted work to the planner, and news to
//! whoever watches. When the store refuses, the batch is kept and tried again: nothing is acted upon before it is
//! recorded, and nothing recorded is forgotten.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bellwether_env::{Backoff, Clock, SystemIds};
use bellwether_flow::{Flow, Input, Wanted, Why};
use bellwether_model::Batch;
use bellwether_model::state::{Delivery, DeliveryState, Receipt};
use bellwether_store::Store;
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::live::{Live, topics_of};

/// Inputs that may wait; senders wait when there are more.
const QUEUE: usize = 8_192;
/// Inputs that share one commit at most.
const TOGETHER: usize = 512;
const COMMIT_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(5),
};

/// Handle of the core: cheap to clone.
#[derive(Clone)]
pub struct Core {
    queue: mpsc::Sender<Message>,
    flow: Arc<RwLock<Flow>>,
    health: Arc<CoreHealth>,
}

/// How the core is doing.
#[derive(Debug, Default)]
pub struct CoreHealth {
    /// Commits that did not succeed at once.
    pub commit_failures: AtomicU64,
    /// Batches committed.
    pub commits: AtomicU64,
    /// Whether a commit is being retried now: decisions wait for the store.
    pub waiting_for_store: AtomicBool,
}

/// What a sender learns once its input is recorded.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Why the engines did what they did, for this input.
    pub why: Vec<Why>,
}

struct Message {
    input: Input,
    reply: Option<oneshot::Sender<Reply>>,
}

/// What the core hands on after a commit.
pub struct Effects {
    /// Deliveries to perform.
    pub deliveries: mpsc::UnboundedSender<Delivery>,
    /// Runs to plan.
    pub wanted: mpsc::UnboundedSender<Wanted>,
    /// What changed, for open pages.
    pub live: broadcast::Sender<Live>,
}

/// The core has ended: the process is stopping.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server is stopping")]
pub struct Stopped;

/// The side of the queue that [`run`] reads.
pub struct Inbox(mpsc::Receiver<Message>);

// === impl Core ===

impl Core {
    /// A core over a restored flow, and the inbox to [`run`] it with.
    pub fn new(flow: Flow) -> (Self, Inbox) {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let core = Self {
            queue,
            flow: Arc::new(RwLock::new(flow)),
            health: Arc::default(),
        };
        (core, Inbox(inbox))
    }

    /// Gives an input and waits until what it led to is recorded.
    pub async fn send(&self, input: Input) -> Result<Reply, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(Message {
                input,
                reply: Some(reply),
            })
            .await
            .map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Looks at the engines. Keep it short: the core waits meanwhile.
    pub fn view<R>(&self, look: impl FnOnce(&Flow) -> R) -> R {
        look(&self.flow.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes settings that are not state.
    pub fn configure(&self, change: impl FnOnce(&mut Flow)) {
        change(&mut self.flow.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// How the core is doing.
    pub fn health(&self) -> &CoreHealth {
        &self.health
    }
}

/// Runs the core until every handle is gone.
pub async fn run(
    core: Core,
    mut inbox: Inbox,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    effects: Effects,
) {
    let (flow, health) = (Arc::clone(&core.flow), Arc::clone(&core.health));
    drop(core);
    let mut wake_at = Some(clock.now());
    loop {
        let mut messages = Vec::new();
        let pause = wake_at.map(|at| pause_until(at, clock.now()));
        tokio::select! {
            received = inbox.0.recv_many(&mut messages, TOGETHER) => if received == 0 { return },
            () = sleep_or_never(pause) => {}
        }
        let now = clock.now();
        let (batch, wanted, replies, next) = step(&flow, now, messages);
        wake_at = next;
        commit(&*store, &health, &batch).await;
        for (reply, answer) in replies {
            // A sender that no longer waits is no reason to stop.
            drop(reply.send(answer));
        }
        hand_on(batch, wanted, &effects);
    }
}

type Stepped = (
    Batch,
    Vec<Wanted>,
    Vec<(oneshot::Sender<Reply>, Reply)>,
    Option<Timestamp>,
);

/// Steps the flow for each message; without one, for the time that has passed.
fn step(flow: &RwLock<Flow>, now: Timestamp, messages: Vec<Message>) -> Stepped {
    let mut flow = flow.write().unwrap_or_else(PoisonError::into_inner);
    let (mut batch, mut wanted, mut replies) = (Batch::default(), Vec::new(), Vec::new());
    let tick = Message {
        input: Input::Tick,
        reply: None,
    };
    let mut wake_at = None;
    for message in messages.into_iter().chain([tick]) {
        let outcome = flow.handle(now, message.input, &mut SystemIds);
        batch.append(outcome.batch);
        wanted.extend(outcome.wanted);
        wake_at = outcome.wake_at;
        if let Some(reply) = message.reply {
            replies.push((reply, Reply { why: outcome.why }));
        }
    }
    (batch, wanted, replies, wake_at)
}

/// Commits, again and again until it succeeds: nothing is acted upon before it is recorded.
async fn commit(store: &dyn Store, health: &CoreHealth, batch: &Batch) {
    if batch.is_empty() {
        return;
    }
    let mut attempt = 0_u32;
    while let Err(error) = store.commit(batch.clone(), None).await {
        attempt = attempt.saturating_add(1);
        health.commit_failures.fetch_add(1, Ordering::Relaxed);
        health.waiting_for_store.store(true, Ordering::Relaxed);
        if attempt.is_power_of_two() {
            tracing::error!(attempt, %error, "state could not be written; trying again");
        }
        pause(COMMIT_BACKOFF.pause(attempt, 0)).await;
    }
    health.commits.fetch_add(1, Ordering::Relaxed);
    health.waiting_for_store.store(false, Ordering::Relaxed);
}

fn hand_on(batch: Batch, wanted: Vec<Wanted>, effects: &Effects) {
    let topics = topics_of(&batch);
    // Those that a repeated commit found stored already are handed on too: the outbox begins each one once, and none
    // that is not its own.
    for new in batch.deliveries {
        let delivery = Delivery {
            new,
            state: DeliveryState::Pending,
            attempt: 0,
            fence: 0,
            lease_until: None,
            receipt: Receipt::Unknown,
            error: String::new(),
            provider_id: String::new(),
        };
        drop(effects.deliveries.send(delivery));
    }
    for work in wanted {
        drop(effects.wanted.send(work));
    }
    if !topics.is_empty() {
        drop(effects.live.send(Live::Changed(topics)));
    }
}

/// How long to wait for a moment; at most an hour, so that a wrong clock mends itself.
pub fn pause_until(at: Timestamp, now: Timestamp) -> Duration {
    let span = at.duration_since(now);
    if span.is_negative() {
        Duration::ZERO
    } else {
        span.unsigned_abs().min(Duration::from_hours(1))
    }
}

/// Waits on the runtime's timer: the shell's one place to wait.
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

async fn sleep_or_never(duration: Option<Duration>) {
    match duration {
        Some(duration) => pause(duration).await,
        None => std::future::pending().await,
    }
}
