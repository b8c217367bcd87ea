//! The trait and its words.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bellwether_model::DeliveryId;
use bellwether_model::state::{Batch, Delivery, DeliveryState, Event, Kind, Record, Subject};
use jiff::Timestamp;

use crate::chain::ChainRow;
use crate::error::StoreError;

/// A boxed future, so that [`Store`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Proof of holding a lease. A write that carries one is refused once somebody else has taken the lease since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Name of the lease.
    pub lease: String,
    /// The number that [`Store::acquire_lease`] gave.
    pub number: u64,
}

/// A lease as it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub holder: String,
    /// Grows by at least one with each grant of this name, whoever gets it.
    pub number: u64,
    pub until: Timestamp,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Sequence numbers of the batch's events, in the batch's order.
    pub events: Vec<u64>,
    /// Deliveries that were not stored because their key was known already.
    pub duplicates: Vec<DeliveryId>,
    /// Updates that came too late and changed nothing (see [`Store::commit`]), or whose delivery does not exist.
    pub stale: Vec<DeliveryId>,
}

/// How to begin attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    pub now: Timestamp,
    /// Until when the attempt may be left alone; then [`Store::recover`] lists it.
    pub lease_until: Timestamp,
    /// Recorded with the attempt, and checked as in [`Store::commit`].
    pub fence: Option<Fence>,
}

/// Which deliveries to list. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub state: Option<DeliveryState>,
    pub subject: Option<Subject>,
    pub channel: Option<String>,
    /// Only those whose `due_at` is not later.
    pub due_by: Option<Timestamp>,
    /// At most so many; `None` is no limit.
    pub limit: Option<u32>,
}

/// Which events to list. The default is all of them, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub subject: Option<Subject>,
    pub kind: Option<String>,
    /// Only those with a greater `seq`.
    pub after: Option<u64>,
    /// Only those with a smaller `seq`.
    pub before: Option<u64>,
    pub newest_first: bool,
    /// At most so many; `None` is no limit.
    pub limit: Option<u32>,
}

/// Figures about a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// `sqlite`, `postgres` or `memory`.
    pub engine: &'static str,
    pub schema_version: u32,
    /// Records by kind.
    pub records: BTreeMap<String, u64>,
    /// Deliveries by state.
    pub deliveries: BTreeMap<DeliveryState, u64>,
    pub events: u64,
    /// Size on disk; 0 where that is not known.
    pub bytes: u64,
    /// Batches stored since start.
    pub batches: u64,
    /// Transactions that stored them: fewer, because waiting batches share one.
    pub transactions: u64,
}

/// Where state lives. All methods may be called at any time from any thread.
///
/// A time after the year 2261 is stored as the end of that range, and a NUL character in a text as U+FFFD.
pub trait Store: Send + Sync {
    /// Stores a batch: all of it in one durable transaction, or nothing.
    ///
    /// - The batch is compacted first (one write per record).
    /// - A record that is not as its [`Expect`](bellwether_model::state::Expect) says refuses the batch with
    ///   [`StoreError::Conflict`].
    /// - A fence that is not the lease's latest refuses it with [`StoreError::StaleFence`].
    /// - A delivery whose key is known already is left out and named in [`Committed::duplicates`].
    /// - An update is left out and named in [`Committed::stale`] when its delivery has ended (only `Done` and
    ///   `Failed` may still replace an end) or has a later attempt or fence. `Cancelled` needs neither: it ends
    ///   whatever has not ended. Attempt and fence never fall.
    ///
    /// After [`StoreError::OutcomeUnknown`] the batch may or may not be stored: read before repeating it.
    fn commit(
        &self,
        batch: Batch,
        fence: Option<Fence>,
    ) -> BoxFuture<'_, Result<Committed, StoreError>>;

    /// All records of a kind, by id.
    fn load(&self, kind: Kind) -> BoxFuture<'_, Result<Vec<Record>, StoreError>>;

    /// One record.
    fn get(&self, kind: Kind, id: &str) -> BoxFuture<'_, Result<Option<Record>, StoreError>>;

    /// Records of every kind whose `due_at` is not after `now`, the longest overdue first.
    fn load_due(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Record>, StoreError>>;

    /// Deliveries by `due_at`, then id.
    fn deliveries(
        &self,
        filter: DeliveryFilter,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>>;

    /// One delivery.
    fn delivery(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<Delivery>, StoreError>>;

    /// Begins an attempt of each delivery that is pending, due and not expired: `Pending` -> `Sending`, attempt + 1,
    /// durable before the answer. Returns those that this caller may now perform; the others were taken, ended, or
    /// are not due.
    fn begin_attempts(
        &self,
        ids: Vec<DeliveryId>,
        begin: Begin,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>>;

    /// Deliveries in `Sending` whose lease has run out: their outcome is unknown. What to do about it (ask the
    /// provider, repeat, give up) depends on the channel; the caller says so by an update.
    fn recover(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>>;

    /// Entries of the timeline.
    fn events(&self, filter: EventFilter) -> BoxFuture<'_, Result<Vec<Event>, StoreError>>;

    /// Rows of the timeline's chain with a greater `seq`, oldest first; see [`ChainCheck`](crate::ChainCheck).
    fn chain(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<ChainRow>, StoreError>>;

    /// Takes a lease that is free, has run out, or is held by the same holder (whose earlier fences become stale).
    /// `None`: somebody else holds it.
    fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Lease>, StoreError>>;

    /// Prolongs a lease. `None`: it was taken by somebody else.
    fn renew_lease(
        &self,
        lease: &Lease,
        ttl: Duration,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Lease>, StoreError>>;

    /// Gives a lease back. One that was taken by somebody else is left alone.
    fn release_lease(&self, lease: &Lease) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whether a write could be done now.
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Figures for metrics and `/status`.
    fn stats(&self) -> BoxFuture<'_, Result<Stats, StoreError>>;

    /// Writes a consistent copy to a file that does not exist yet, while the store is in use. The copy is a SQLite
    /// database that [`SqliteStore::open`](crate::SqliteStore::open) opens. PostgreSQL refuses: `pg_dump` does it.
    fn backup(&self, path: &Path) -> BoxFuture<'_, Result<(), StoreError>>;
}

// === impl Lease ===

impl Lease {
    /// The proof to write with.
    pub fn fence(&self) -> Fence {
        Fence {
            lease: self.name.clone(),
            number: self.number,
        }
    }
}
