//! The embedded time-series store: samples in, series out, one folder on disk.
//!
//! What it does: [`Store`] takes samples ([`SampleSink`](bellwether_model::series::SampleSink)), logs them, keeps the
//! newest hours compressed in memory, writes older ones to immutable block files, and answers selections
//! ([`SeriesSource`](bellwether_model::series::SeriesSource)) over both.
//!
//! How data flows: `append` -> write-ahead log (checksummed records, self-contained segments) -> head (one append-only
//! chunk per series) -> [`Store::maintain`] -> block file (columns, zone maps, checksums) -> merged blocks ->
//! retention. A read takes the head first and the blocks after it, and drops what it sees twice.
//!
//! Entry points: [`Store::open`], [`Options`], [`Store::maintain`], [`Store::sync`]; [`PrometheusFolder`] reads the blocks
//! of a Prometheus in place.
//!
//! The promise: a sample for which `append` returned survives the death of the process at any moment. A power loss
//! loses at most what was appended since the last [`Store::sync`] (nothing with [`Durability::EachAppend`]).
//!
//! Invariants: no byte from disk is used before its checksum was verified; damage is reported and contained, never
//! served; nothing that a stranger sent makes a decoder allocate more than its input justifies. No clock is read.
//!
//! Exemplars are kept in memory only, the newest of them ([`Exemplars`]).
//!
//! Not here: PromQL, HTTP, remote write, metadata.

mod block;
mod codec;
mod disk;
mod exemplars;
mod head;
mod index;
mod merged;
mod openmetrics;
mod options;
mod prometheus;
mod report;
mod store;
mod wal;

pub use exemplars::Exemplars;
pub use merged::MergedSource;
pub use openmetrics::{ExportError, ExportReport, write_openmetrics};
pub use options::{Durability, Options};
pub use prometheus::{PrometheusError, PrometheusFolder, write_prometheus_blocks};
pub use report::{
    Cardinality, Damage, DamageKind, ImportError, ImportReport, MaintainReport, OpenError,
    OpenReport, SnapshotError, Stats, VerifyReport,
};
pub use store::Store;
