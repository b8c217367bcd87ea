//! What the store says about itself: what it found, did and holds.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bellwether_model::series::SourceError;

/// Why a store could not be opened. Damaged data is no reason: see [`OpenReport::damage`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("open the data folder {path}: it is in use by {holder}", path = .path.display())]
    InUse { path: PathBuf, holder: String },
    #[error("{action} {path}", path = .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "open the data folder {path}: it holds format version {found}, this program knows up to {known}",
        path = .path.display()
    )]
    NewerVersion {
        path: PathBuf,
        found: u32,
        known: u32,
    },
}

/// Why a snapshot could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("write a snapshot to {path}: the folder is not empty", path = .path.display())]
    NotEmpty { path: PathBuf },
    #[error("write a snapshot to {path}", path = .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Why an import ended early. What it had written before stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("read the samples to import")]
    Source(#[from] SourceError),
    #[error("write the imported samples")]
    Io(#[from] io::Error),
}

/// What an import brought in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Blocks written.
    pub blocks: usize,
    pub samples: u64,
}

/// What kind of damage was found on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DamageKind {
    /// The log ends in the middle of a record, as after a power loss: cut back to the last good record.
    TornTail,
    /// A log record whose checksum is wrong; it was skipped, the records after it were kept.
    BadRecord,
    /// The rest of a log segment cannot be read; it was skipped, later segments were kept.
    BadSegment,
    /// A block that cannot be trusted; it was renamed aside and the rest serves.
    BadBlock,
}

/// One piece of damage: where, what, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub kind: DamageKind,
    pub path: PathBuf,
    /// Byte at which it starts.
    pub offset: u64,
    pub detail: String,
}

/// What opening a store found.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// Good blocks.
    pub blocks: usize,
    /// Log segments that were replayed.
    pub segments: usize,
    /// Series in the head after the replay.
    pub series: usize,
    /// Samples that the replay put into the head.
    pub samples: u64,
    /// Samples in the log whose series record was damaged, so that they cannot be attributed.
    pub orphaned: u64,
    /// Everything that was not as it had been written.
    pub damage: Vec<Damage>,
}

/// What one [`Store::maintain`](crate::Store::maintain) did.
#[derive(Clone, Debug, Default)]
pub struct MaintainReport {
    /// Blocks written from the head.
    pub written: usize,
    /// Blocks that were merged into larger ones.
    pub merged: usize,
    /// Blocks deleted because of retention.
    pub deleted: usize,
    /// Series that left the head because they have no recent sample.
    pub series_dropped: usize,
    /// Blocks found damaged since the last run; renamed aside.
    pub damage: Vec<Damage>,
    /// What could not be done (a full disk, say), each a full sentence; it is tried again next time.
    pub failures: Vec<String>,
}

/// What checking every checksum found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    pub blocks: usize,
    pub chunks: u64,
    pub damage: Vec<Damage>,
}

/// Figures for `/api/v1/status/tsdb` and the self-metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series in the head.
    pub series: usize,
    /// Series created since the store was opened.
    pub series_created: u64,
    /// Series dropped from the head since the store was opened.
    pub series_removed: u64,
    /// Samples in the head.
    pub head_samples: u64,
    /// Chunks in the head.
    pub head_chunks: usize,
    /// Bytes of compressed samples in the head.
    pub head_bytes: u64,
    /// Oldest and newest sample in the head, milliseconds.
    pub head_time: Option<(i64, i64)>,
    /// Distinct label name and value pairs in the head.
    pub label_pairs: usize,
    pub blocks: usize,
    pub block_samples: u64,
    pub block_bytes: u64,
    pub wal_segments: usize,
    pub wal_bytes: u64,
    /// Oldest and newest sample anywhere, milliseconds.
    pub time: Option<(i64, i64)>,
    pub samples_appended: u64,
    pub samples_out_of_order: u64,
    pub samples_duplicate: u64,
    pub samples_conflicting: u64,
    /// Series refused because of the limit.
    pub series_refused: u64,
}

/// Who makes the series: the top of each list, largest first, then by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series in the head.
    pub series: usize,
    /// Metric names and their number of series.
    pub metrics: Vec<(String, usize)>,
    /// Label names and their number of different values.
    pub labels: Vec<(String, usize)>,
    /// Label names and the bytes of their different values.
    pub label_bytes: Vec<(String, usize)>,
    /// `name=value` pairs and their number of series.
    pub pairs: Vec<(String, usize)>,
}

// === impl OpenError ===

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

// === impl DamageKind ===

impl DamageKind {
    /// Stable word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TornTail => "torn_tail",
            Self::BadRecord => "bad_record",
            Self::BadSegment => "bad_segment",
            Self::BadBlock => "bad_block",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {} at byte {}: {}",
            self.kind.as_str(),
            self.path.display(),
            self.offset,
            self.detail
        )
    }
}
