//! Runs without a server: the same engine, the same journal, one process at a time per data folder.
//!
//! Data flow: an event -> the engine -> one commit for all that waits -> deliveries are begun (durable) and performed
//! -> their results are events. After a crash [`Local::recover`] takes up what was under way.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_act::runs::Reason;
use bellwether_act::runs::{KINDS, Settings};
use bellwether_act::{Outcome, RunEvent, Runs};
use bellwether_env::{Clock, SystemIds};
use bellwether_model::Batch;
use bellwether_model::state::{Delivery, DeliveryState, DeliveryUpdate, Receipt};
use bellwether_store::{Begin, DeliveryFilter, SqliteStore, Store, StoreError};
use jiff::SignedDuration;
use tokio::sync::mpsc;

use crate::core::{pause, pause_until};
use crate::steps::{Performer, step_outcome, time_max};

/// File in the data folder that whoever writes the journal has locked.
pub const LOCK_FILE: &str = "journal.lock";
/// Results that share one commit at most.
const TOGETHER: usize = 512;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("{folder}: {error}")]
    Folder {
        folder: String,
        error: std::io::Error,
    },
    #[error(
        "another Bellwether is at work on {0}\nhint: wait for it, or name another folder with --data"
    )]
    Busy(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the journal cannot be read:\n{0}")]
    Unreadable(bellwether_model::Problems),
}

type Ended = (Delivery, Option<RunEvent>);

/// The runs of a data folder, driven by this process.
pub struct Local {
    pub runs: Runs,
    pub store: Arc<dyn Store>,
    performer: Arc<Performer>,
    clock: Arc<dyn Clock>,
    /// Is shown every batch once it is committed.
    on_commit: Box<dyn Fn(&Batch) + Send>,
    ended: mpsc::UnboundedReceiver<Ended>,
    end: mpsc::UnboundedSender<Ended>,
    _lock: File,
}

/// Takes the journal of a data folder for this process.
pub fn lock_journal(data: &Path) -> Result<File, LocalError> {
    let folder = |error| LocalError::Folder {
        folder: data.display().to_string(),
        error,
    };
    std::fs::create_dir_all(data).map_err(folder)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data.join(LOCK_FILE))
        .map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(LocalError::Busy(data.display().to_string())),
        Err(std::fs::TryLockError::Error(error)) => Err(folder(error)),
    }
}

// === impl Local ===

impl Local {
    /// Opens (or begins) the journal of a data folder.
    pub async fn open(
        data: &Path,
        settings: Settings,
        performer: Performer,
        on_commit: Box<dyn Fn(&Batch) + Send>,
    ) -> Result<Self, LocalError> {
        let lock = lock_journal(data)?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&data.join("state.sqlite"))?);
        let mut records = Vec::new();
        for kind in KINDS {
            records.extend(store.load(kind).await?);
        }
        let (runs, problems) = Runs::restore(settings, records);
        if problems.has_errors() {
            return Err(LocalError::Unreadable(problems));
        }
        let (end, ended) = mpsc::unbounded_channel();
        Ok(Self {
            runs,
            store,
            clock: Arc::clone(&performer.clock),
            performer: Arc::new(performer),
            on_commit,
            ended,
            end,
            _lock: lock,
        })
    }

    /// Spool folders below a data folder.
    pub fn spool(data: &Path) -> PathBuf {
        data.join("spool")
    }

    /// Takes up what an earlier process left.
    pub async fn recover(&mut self) -> Result<usize, LocalError> {
        let with = |state| DeliveryFilter {
            state: Some(state),
            ..DeliveryFilter::default()
        };
        let waiting = self.store.deliveries(with(DeliveryState::Pending)).await?;
        let in_flight = self.store.deliveries(with(DeliveryState::Sending)).await?;
        let ours = |delivery: &Delivery| delivery.new.subject.kind == "run";
        let waiting: Vec<Delivery> = waiting.into_iter().filter(ours).collect();
        let in_flight: Vec<Delivery> = in_flight.into_iter().filter(ours).collect();
        let found = waiting.len() + in_flight.len();
        for delivery in in_flight {
            let (performer, end) = (Arc::clone(&self.performer), self.end.clone());
            tokio::spawn(async move {
                let event = performer.settle(&delivery).await;
                drop(end.send((delivery, event)));
            });
        }
        self.begin(waiting).await?;
        Ok(found)
    }

    /// Gives events to the engine and waits until what they led to is recorded; says why for each.
    pub async fn send(&mut self, events: Vec<RunEvent>) -> Result<Vec<Vec<Reason>>, LocalError> {
        self.step(events, Vec::new()).await
    }

    /// Drives runs until the condition holds; `stop` ends the waiting early.
    pub async fn drive(&mut self, mut done: impl FnMut(&Runs) -> bool) -> Result<(), LocalError> {
        while !done(&self.runs) {
            let wake = self.runs.next_wake();
            let mut ended = Vec::new();
            let timer = async {
                match wake {
                    Some(at) => pause(pause_until(at, self.clock.now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.ended.recv_many(&mut ended, TOGETHER) => {}
                () = timer => {}
            }
            let updates = ended
                .iter()
                .map(|(delivery, _)| done_update(delivery))
                .collect();
            let mut events: Vec<RunEvent> =
                ended.into_iter().filter_map(|(_, event)| event).collect();
            events.push(RunEvent::Tick);
            self.step(events, updates).await?;
        }
        Ok(())
    }

    async fn step(
        &mut self,
        events: Vec<RunEvent>,
        updates: Vec<DeliveryUpdate>,
    ) -> Result<Vec<Vec<Reason>>, LocalError> {
        let now = self.clock.now();
        let mut batch = Batch {
            updates,
            ..Batch::default()
        };
        let mut why = Vec::new();
        for event in events {
            let decision = self.runs.step(now, event, &mut SystemIds);
            batch.append(decision.batch);
            why.push(decision.why);
        }
        if batch.is_empty() {
            return Ok(why);
        }
        self.store.commit(batch.clone(), None).await?;
        (self.on_commit)(&batch);
        let new = batch.deliveries.into_iter().map(|new| Delivery {
            new,
            state: DeliveryState::Pending,
            attempt: 0,
            fence: 0,
            lease_until: None,
            receipt: Receipt::Unknown,
            error: String::new(),
            provider_id: String::new(),
        });
        self.begin(new.collect()).await?;
        Ok(why)
    }

    /// Makes attempts durable, then performs them.
    async fn begin(&mut self, deliveries: Vec<Delivery>) -> Result<(), LocalError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let lease = deliveries
            .iter()
            .filter_map(time_max)
            .max()
            .unwrap_or_default();
        let lease = SignedDuration::try_from(lease).unwrap_or(SignedDuration::from_mins(5));
        let begin = Begin {
            now,
            lease_until: now + lease,
            fence: None,
        };
        let ids = deliveries.iter().map(|delivery| delivery.new.id).collect();
        let begun = self.store.begin_attempts(ids, begin).await?;
        let late = deliveries.into_iter().filter(|delivery| {
            delivery.new.expires_at.is_some_and(|at| at <= now)
                && !begun.iter().any(|begun| begun.new.id == delivery.new.id)
        });
        for delivery in late {
            let error = "it could not be attempted in time".to_owned();
            let event = step_outcome(&delivery, Outcome::FailedToStart { error });
            drop(self.end.send((delivery, Some(event))));
        }
        for delivery in begun {
            let (performer, end) = (Arc::clone(&self.performer), self.end.clone());
            tokio::spawn(async move {
                let event = performer.perform(&delivery).await;
                drop(end.send((delivery, event)));
            });
        }
        Ok(())
    }
}

fn done_update(delivery: &Delivery) -> DeliveryUpdate {
    DeliveryUpdate {
        id: delivery.new.id,
        state: DeliveryState::Done,
        due_at: delivery.new.due_at,
        attempt: delivery.attempt,
        fence: delivery.fence,
        lease_until: None,
        receipt: Receipt::Unknown,
        error: String::new(),
        provider_id: String::new(),
    }
}
