//! Built-in collectors: sources of exposition text that are not scraped over HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bellwether_env::Clock;
use bellwether_model::Labels;

mod host;
pub(crate) mod nginx;
pub(crate) mod plain_http;
pub(crate) mod postgres;
pub(crate) mod proc_files;
mod processes;
pub(crate) mod redis;
pub(crate) mod text;

/// What a built-in collector reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CollectorKind {
    /// This host, with node_exporter's metric names.
    Host,
    /// Processes of this host grouped by name, with process-exporter's metric names.
    Processes,
    /// A Redis server, with redis_exporter's metric names.
    Redis(SocketAddr),
    /// A PostgreSQL server without credentials: `pg_up` and how long connecting takes.
    Postgres(SocketAddr),
    /// An nginx server: `nginx_up`, and its `stub_status` page when `path` names one.
    Nginx {
        address: SocketAddr,
        path: Option<String>,
    },
}

/// One built-in collector to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorConfig {
    /// Value of the `job` label, unique among all jobs.
    pub job: String,
    /// Value of the `instance` label.
    pub instance: String,
    /// More labels for its series.
    pub labels: Labels,
    pub interval: Duration,
    pub timeout: Duration,
    pub kind: CollectorKind,
}

impl CollectorConfig {
    /// The host collector as job `bellwether-host`, with the host's name as `instance`.
    pub fn host(interval: Duration) -> Self {
        Self::builtin("bellwether-host", interval, CollectorKind::Host)
    }

    /// The process collector as job `bellwether-processes`.
    pub fn processes(interval: Duration) -> Self {
        Self::builtin("bellwether-processes", interval, CollectorKind::Processes)
    }

    fn builtin(job: &str, interval: Duration, kind: CollectorKind) -> Self {
        Self {
            job: job.to_owned(),
            instance: hostname(),
            labels: Labels::empty(),
            interval,
            timeout: interval.min(Duration::from_secs(10)),
            kind,
        }
    }
}

/// The host's name.
pub fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Reads a collector: exposition text, or why there is none.
pub(crate) async fn collect(
    kind: &CollectorKind,
    timeout: Duration,
    clock: &dyn Clock,
) -> Result<String, String> {
    match kind {
        CollectorKind::Host => {
            let now = clock.now();
            blocking(move || host::collect(Path::new("/"), now)).await
        }
        CollectorKind::Processes => blocking(|| processes::collect(Path::new("/proc"))).await,
        CollectorKind::Redis(address) => Ok(redis::collect(*address, timeout, clock).await),
        CollectorKind::Postgres(address) => Ok(postgres::collect(*address, timeout, clock).await),
        CollectorKind::Nginx { address, path } => {
            Ok(nginx::collect(*address, path.as_deref(), timeout).await)
        }
    }
}

async fn blocking(read: impl FnOnce() -> String + Send + 'static) -> Result<String, String> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| error.to_string())
}
