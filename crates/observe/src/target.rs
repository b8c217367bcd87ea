//! What is watched, and how it is doing: the snapshot behind `/api/v1/targets` and the Targets page.

use std::time::Duration;

use bellwether_model::Labels;
use bellwether_model::series::Metadata;
use jiff::Timestamp;
use serde::Serialize;

/// Whether the last scrape of a target worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    Up,
    Down,
}

/// One active target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Name of the scrape config, probe or collector it belongs to.
    pub scrape_pool: String,
    /// Labels before relabelling, `__address__` and other `__` labels included.
    pub discovered_labels: Labels,
    /// Labels that its series carry.
    pub labels: Labels,
    /// What is scraped; `probe:` and `builtin:` addresses for what is not scraped over HTTP.
    pub scrape_url: String,
    pub health: Health,
    /// Why the last scrape failed; empty when it did not.
    pub last_error: String,
    /// When the last scrape began.
    pub last_scrape: Option<Timestamp>,
    pub last_scrape_duration: Duration,
    /// Samples the last scrape gave, before metric relabelling.
    pub samples_scraped: usize,
    /// Uncompressed size of the last body in bytes.
    pub body_bytes: usize,
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedTarget {
    pub scrape_pool: String,
    pub discovered_labels: Labels,
}

/// Snapshot of all targets, by pool and then by labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    pub active: Vec<TargetStatus>,
    /// At most [`crate::manager::DROPPED_MAX`] per pool (or `keep_dropped_targets`).
    pub dropped: Vec<DroppedTarget>,
    /// How many were dropped in each pool, those not listed included.
    pub dropped_counts: Vec<(String, usize)>,
    /// What discovery could not do: pool and reason.
    pub discovery_errors: Vec<(String, String)>,
}

/// What one target says about one of its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricMetadata {
    pub metric: String,
    pub metadata: Metadata,
    /// Labels of the target.
    pub target: Labels,
}

impl Health {
    /// The stable word for it: `unknown`, `up`, `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}
