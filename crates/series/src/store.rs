//! The store: one folder, shared by every thread that writes and reads.
//!
//! Locks, in the order they are taken: `maintenance` (one maintainer), `log` (one appender at a time: the order in the
//! log is the order in memory), the head's table, one series. `blocks` is a list behind an `Arc` that is swapped whole.

mod append;
mod import;
mod maintain;
mod merge;
mod open;
mod query;
mod status;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::block::Block;
use crate::disk::{Disk, FolderLock};
use crate::head::Head;
use crate::options::Options;
use crate::wal::Wal;
use crate::wal::record::RecordWriter;

/// The embedded store. Share it with an `Arc`; every method takes `&self`.
pub struct Store {
    dir: PathBuf,
    options: Options,
    /// Milliseconds of a first block.
    span: i64,
    /// Milliseconds that a sample may be late.
    window: i64,
    disk: Disk,
    head: Head,
    log: Mutex<Log>,
    /// Number of the last append that is on stable storage.
    synced: Mutex<u64>,
    blocks: RwLock<Arc<Vec<Arc<Block>>>>,
    maintenance: Mutex<Maintenance>,
    counters: Counters,
    _lock: FolderLock,
}

/// What an append needs for itself.
struct Log {
    wal: Wal,
    /// Descriptions of series, which go before the samples.
    series: RecordWriter,
    samples: RecordWriter,
    /// Number of appends so far.
    appends: u64,
}

/// What only maintenance needs.
struct Maintenance {
    next_block: u64,
}

/// Running figures.
#[derive(Default)]
struct Counters {
    appended: AtomicU64,
    out_of_order: AtomicU64,
    duplicate: AtomicU64,
    conflicting: AtomicU64,
    refused: AtomicU64,
    /// Bounds of the times in the head; not narrowed before the next compaction.
    oldest: AtomicI64,
    newest: AtomicI64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section leaves its data whole at each step that can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Store ===

impl Store {
    /// The blocks as they are now.
    fn blocks(&self) -> Arc<Vec<Arc<Block>>> {
        Arc::clone(&self.blocks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Swaps the list of blocks; `change` gets the present one.
    fn change_blocks(&self, change: impl FnOnce(&mut Vec<Arc<Block>>)) {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = blocks.to_vec();
        change(&mut next);
        next.sort_by_key(|block| (block.contents.start, block.contents.id));
        *blocks = Arc::new(next);
    }
}

// === impl Counters ===

impl Counters {
    fn new(oldest: i64, newest: i64) -> Self {
        Self {
            oldest: AtomicI64::new(oldest),
            newest: AtomicI64::new(newest),
            ..Self::default()
        }
    }

    fn add(counter: &AtomicU64, amount: usize) {
        if amount > 0 {
            counter.fetch_add(amount as u64, Ordering::Relaxed);
        }
    }
}
