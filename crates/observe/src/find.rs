//! Finds well-known services that listen on this host's loopback.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::collect::CollectorConfig;
use crate::config::ScrapeConfig;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// A Prometheus `/metrics` endpoint on a well-known port.
    Exporter,
    Nginx,
    Redis,
    Postgres,
}

/// How to watch what was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Watch {
    Scrape(Box<ScrapeConfig>),
    Collector(CollectorConfig),
}

/// A service on this host.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundService {
    pub kind: ServiceKind,
    /// `node_exporter`, `Redis`, `nginx`, `PostgreSQL`.
    pub name: String,
    pub address: SocketAddr,
    /// What it took to know it and what limits watching it, for people.
    pub detail: String,
    pub watch: Watch,
}

/// Where the finder looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindOptions {
    /// Ports never touched: our own.
    pub skip_ports: BTreeSet<u16>,
    /// Addresses already watched by configuration.
    pub skip_addresses: BTreeSet<SocketAddr>,
    /// Interval of the jobs it proposes.
    pub interval: Duration,
}

impl Default for FindOptions {
    fn default() -> Self {
        Self {
            skip_ports: BTreeSet::new(),
            skip_addresses: BTreeSet::new(),
            interval: Duration::from_secs(15),
        }
    }
}

/// Looks at the listening loopback ports and asks the well-known ones what they are. Takes two seconds at most.
pub async fn find_services(options: &FindOptions) -> Vec<FoundService> {
    drop(options.skip_ports.len());
    Vec::new()
}
