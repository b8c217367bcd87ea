//! State: what must survive a crash. Records, the outbox of deliveries, the append-only timeline, and leases.
//!
//! What it does: stores a whole [`Batch`](bellwether_model::Batch) in one transaction or not at all, and hands back
//! what was stored. Three implementations of one trait: [`SqliteStore`] (embedded, the default), [`PostgresStore`],
//! and [`MemoryStore`] (for the simulator and tests; it can be told to fail and to crash).
//!
//! Entry point: [`Store`]. Data flow: `commit` -> queue -> one writer that stores all waiting batches in one
//! transaction, each behind its own savepoint -> `fsync` -> answer. Reads go through their own connections and see
//! every commit that was answered before they began.
//!
//! Invariants: an answered commit is durable; a refused one leaves nothing; two deliveries never share a key; an
//! event is never changed, deleted or renumbered; a fence only grows; the three implementations behave alike (one
//! contract suite runs on all of them).
//!
//! Not here: what a record means (its owner's crate), timers (the shell keeps a heap over `due_at`), any retry that
//! could repeat an effect, and the clock: every `now` is handed in.

mod api;
mod chain;
mod client;
mod conn;
mod error;
mod memory;
mod migrate;
mod ops;
mod postgres;
mod prepare;
mod rows;
mod sqlite;

pub use api::{
    Begin, BoxFuture, Committed, DeliveryFilter, EventFilter, Fence, Lease, Stats, Store,
};
pub use chain::{ChainCheck, ChainFault, ChainRow, GENESIS, chain_hash};
pub use error::{Blame, StoreError};
pub use memory::MemoryStore;
pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;
