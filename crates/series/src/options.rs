//! What can be chosen when a store is opened.

use std::time::Duration;

/// When appended samples are forced to stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The caller runs [`Store::sync`](crate::Store::sync) about every `interval`; a power loss loses at most that.
    Fsync { interval: Duration },
    /// Every append waits for the disk: nothing acknowledged is lost, even to a power loss. Concurrent appends share
    /// one wait.
    EachAppend,
    /// The operating system writes back when it likes. The death of the process still loses nothing.
    None,
}

/// Settings of a store. All have defaults that suit one machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Blocks whose newest sample is older than this are deleted. Default 31 days.
    pub retention: Duration,
    /// Blocks and log together take no more than this; the oldest blocks go first. Default: no limit.
    pub retention_bytes: Option<u64>,
    /// Default: `Fsync` every second.
    pub durability: Durability,
    /// Series that may be in the head at once. Default 1,000,000.
    pub max_series: usize,
    /// How much older than the newest sample of its series a sample may be. Default zero; at most one hour counts.
    pub out_of_order_window: Duration,
    /// Time that the first blocks cover. Default two hours.
    pub block_span: Duration,
    /// Size at which the log starts a new segment. Default 64 MiB.
    pub segment_bytes: u64,
    /// Series that one selection may return. Default 10,000,000.
    pub max_selected_series: usize,
    /// Test aid: bytes that may still be written before every write fails as on a full disk.
    #[doc(hidden)]
    pub disk_budget: Option<std::sync::Arc<std::sync::atomic::AtomicU64>>,
}

// === impl Durability ===

impl Durability {
    /// How often the caller should run [`Store::sync`](crate::Store::sync), if at all.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Fsync { interval } => Some(interval),
            Self::EachAppend | Self::None => None,
        }
    }
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            retention: Duration::from_hours(31 * 24),
            retention_bytes: None,
            durability: Durability::Fsync {
                interval: Duration::from_secs(1),
            },
            max_series: 1_000_000,
            out_of_order_window: Duration::ZERO,
            block_span: Duration::from_hours(2),
            segment_bytes: 64 << 20,
            max_selected_series: 10_000_000,
            disk_budget: None,
        }
    }
}
