//! The one writer: inputs from everywhere, engine steps, one commit for all that waits, then the effects.
//!
//! Data flow: [`Core::send`] -> queue -> [`run`] takes all that waits, steps [`Flow`] for each, commits one batch,
//! answers the senders, and only then hands new deliveries to the outbox, wanted work to the planner, and news to
//! whoever watches. While the store is away the batch is kept and tried again: nothing is acted upon before it is
//! recorded, and nothing recorded is forgotten. A batch that the store will never take (too large, an id taken) must not
//! stop the others: the engines go back to what is recorded, and the inputs are taken again one by one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bellwether_env::{Backoff, Clock, SystemIds};
use bellwether_flow::{Flow, Input, Outcome, Wanted, Why};
use bellwether_model::Batch;
use bellwether_model::state::{Delivery, DeliveryState, Receipt};
use bellwether_store::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
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

/// How long to leave the engines alone after the store has refused what they want.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_secs(5);

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
    /// Inputs given up because the store will never take what they led to.
    pub refused: AtomicU64,
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
    reply: Option<oneshot::Sender<Result<Reply, NotTaken>>>,
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

/// An input was not taken; nothing of it was recorded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotTaken {
    /// The core has ended: the process is stopping.
    #[error("the server is stopping")]
    Stopped,
    /// The store will never take what the input led to.
    #[error("it cannot be recorded: {0}")]
    Refused(String),
}

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
    pub async fn send(&self, input: Input) -> Result<Reply, NotTaken> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(Message {
                input,
                reply: Some(reply),
            })
            .await
            .map_err(|_| NotTaken::Stopped)?;
        answer.await.map_err(|_| NotTaken::Stopped)?
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
    let writer = Writer {
        flow: Arc::clone(&core.flow),
        health: Arc::clone(&core.health),
        store,
        clock,
        effects,
    };
    drop(core);
    let mut wake_at = Some(writer.clock.now());
    loop {
        let mut messages = Vec::new();
        let pause = wake_at.map(|at| pause_until(at, writer.clock.now()));
        tokio::select! {
            received = inbox.0.recv_many(&mut messages, TOGETHER) => if received == 0 { return },
            () = sleep_or_never(pause) => {}
        }
        let inputs: Vec<Input> = messages.iter().map(|m| m.input.clone()).collect();
        let replies: Vec<_> = messages.into_iter().map(|message| message.reply).collect();
        match writer.take(inputs.clone()).await {
            Ok((answers, next)) => {
                wake_at = next;
                for (reply, answer) in replies.into_iter().zip(answers) {
                    tell(reply, Ok(answer));
                }
            }
            Err(error) => {
                writer.step_back(&error).await;
                for (input, reply) in inputs.into_iter().zip(replies) {
                    match writer.take(vec![input]).await {
                        Ok((mut answers, _)) => {
                            tell(reply, answers.pop().ok_or(NotTaken::Stopped));
                        }
                        Err(error) => {
                            writer.step_back(&error).await;
                            writer.health.refused.fetch_add(1, Ordering::Relaxed);
                            tell(reply, Err(NotTaken::Refused(error.to_string())));
                        }
                    }
                }
                // What is due may be what is refused: not at once again.
                wake_at = writer.clock.now().checked_add(AFTER_REFUSAL).ok();
            }
        }
    }
}

/// What the one writer needs.
struct Writer {
    flow: Arc<RwLock<Flow>>,
    health: Arc<CoreHealth>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    effects: Effects,
}

fn tell(to: Option<oneshot::Sender<Result<Reply, NotTaken>>>, answer: Result<Reply, NotTaken>) {
    if let Some(to) = to {
        // A sender that no longer waits is no reason to stop.
        drop(to.send(answer));
    }
}

// === impl Writer ===

impl Writer {
    /// Steps the engines for each input, then for the time that has passed; commits; hands on. Answers one reply per
    /// input and when to wake; an error is a refusal for good.
    async fn take(
        &self,
        inputs: Vec<Input>,
    ) -> Result<(Vec<Reply>, Option<Timestamp>), StoreError> {
        let (batch, wanted, replies, next) = step(&self.flow, self.clock.now(), inputs);
        self.commit(&batch).await?;
        hand_on(batch, wanted, &self.effects);
        Ok((replies, next))
    }

    /// Commits, again and again while the store is away: nothing is acted upon before it is recorded.
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut attempt = 0_u32;
        while let Err(error) = self.store.commit(batch.clone(), None).await {
            if error.is_refusal() {
                return Err(error);
            }
            self.failed(&mut attempt, &error, "state could not be written");
            pause(COMMIT_BACKOFF.pause(attempt, 0)).await;
        }
        self.health.commits.fetch_add(1, Ordering::Relaxed);
        self.health
            .waiting_for_store
            .store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The engines have decided what will never be recorded: they go on from what is.
    async fn step_back(&self, error: &StoreError) {
        tracing::error!(%error, "the store will never take this; going on from what is recorded");
        let mut records = Vec::new();
        let mut attempt = 0_u32;
        for kind in bellwether_flow::kinds() {
            loop {
                match self.store.load(kind).await {
                    Ok(loaded) => break records.extend(loaded),
                    Err(error) => {
                        self.failed(&mut attempt, &error, "state could not be read");
                        pause(COMMIT_BACKOFF.pause(attempt, 0)).await;
                    }
                }
            }
        }
        let mut flow = self.flow.write().unwrap_or_else(PoisonError::into_inner);
        let unreadable = flow.step_back(&records, self.clock.now());
        if !unreadable.0.is_empty() {
            tracing::error!("some state could not be read and was left aside:\n{unreadable}");
        }
    }

    fn failed(&self, attempt: &mut u32, error: &StoreError, what: &str) {
        *attempt = attempt.saturating_add(1);
        self.health.commit_failures.fetch_add(1, Ordering::Relaxed);
        self.health.waiting_for_store.store(true, Ordering::Relaxed);
        if attempt.is_power_of_two() {
            tracing::error!(attempt, %error, "{what}; trying again");
        }
    }
}

type Stepped = (Batch, Vec<Wanted>, Vec<Reply>, Option<Timestamp>);

fn step(flow: &RwLock<Flow>, now: Timestamp, inputs: Vec<Input>) -> Stepped {
    let mut flow = flow.write().unwrap_or_else(PoisonError::into_inner);
    let (mut batch, mut wanted, mut replies) = (Batch::default(), Vec::new(), Vec::new());
    let mut add = |outcome: Outcome| {
        batch.append(outcome.batch);
        wanted.extend(outcome.wanted);
        (outcome.why, outcome.wake_at)
    };
    for input in inputs {
        let (why, _) = add(flow.handle(now, input, &mut SystemIds));
        replies.push(Reply { why });
    }
    let (_, wake_at) = add(flow.handle(now, Input::Tick, &mut SystemIds));
    (batch, wanted, replies, wake_at)
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

#[cfg(test)]
mod tests {
    use bellwether_act::runs::Settings;
    use bellwether_env::SystemClock;
    use bellwether_model::{Labels, Problems};
    use bellwether_page::PagerEvent;
    use bellwether_page::config::{PageConfig, ReadOptions};
    use bellwether_page::event::NewCase;
    use bellwether_page::record::Urgency;
    use bellwether_store::MemoryStore;
    use bellwether_yaml::{MapReader, parse};

    use super::*;

    fn flow() -> Flow {
        let mut problems = Problems::default();
        let text = "receivers: [{name: you, page_configs: [{}]}]\nroute: {receiver: you}\n";
        let node = parse("test.yml", text, &mut problems).unwrap();
        let mut map = MapReader::new(&node, "config", &mut problems);
        let config = PageConfig::read(&mut map, &ReadOptions::default());
        map.finish();
        let now = SystemClock::new().now();
        Flow::restore(Arc::new(config), Settings::default(), &[], now).0
    }

    fn open(title: &str) -> Input {
        Input::Page(PagerEvent::OpenCase(NewCase {
            title: title.to_owned(),
            summary: String::new(),
            labels: Labels::default(),
            annotations: Labels::default(),
            urgency: Urgency::High,
            policy: None,
            actor: "test".to_owned(),
        }))
    }

    #[tokio::test]
    async fn what_the_store_will_never_take_stops_nobody_else() {
        let store = Arc::new(MemoryStore::default());
        let (core, inbox) = Core::new(flow());
        let mut poison = Batch::default();
        let body = serde_json::Value::String("x".repeat(64 << 20));
        poison.put(bellwether_model::state::Kind("user"), "big", &body, None);
        let (deliveries, _performed) = mpsc::unbounded_channel();
        let (wanted, _planned) = mpsc::unbounded_channel();
        let (live, _) = broadcast::channel(8);
        let effects = Effects {
            deliveries,
            wanted,
            live,
        };
        // All three wait when the core begins, and so share one commit.
        let work = async {
            let first = core.send(open("first"));
            let refused = core.send(Input::Record(poison));
            let last = core.send(open("last"));
            let all = tokio::join!(first, refused, last);
            let titles = core.view(|flow| {
                let mut titles: Vec<_> =
                    flow.pager.cases().iter().map(|c| c.title.clone()).collect();
                titles.sort();
                titles
            });
            assert!(all.0.is_ok() && all.2.is_ok());
            assert!(matches!(all.1, Err(NotTaken::Refused(_))));
            assert_eq!(titles, ["first", "last"]);
            assert_eq!(core.health().refused.load(Ordering::Relaxed), 1);
        };
        let clock = Arc::new(SystemClock::new());
        tokio::select! {
            biased;
            () = work => {}
            () = run(core.clone(), inbox, Arc::clone(&store) as _, clock, effects) => {}
        }
        let stored = store.load(bellwether_page::record::CASE).await.unwrap();
        assert_eq!(stored.len(), 2);
    }
}
