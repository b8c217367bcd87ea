//! Everything that brings samples in.
//!
//! What it does: scrapes targets (Prometheus text and OpenMetrics over HTTP, found by static, file and HTTP
//! discovery, relabelled), probes endpoints (HTTP, TCP, TLS, DNS, ICMP), collects from this host, and finds
//! well-known services on loopback. All of it is one path: a source gives exposition text, the text is parsed,
//! relabelled, limited, and written to a [`bellwether_model::series::SampleSink`] with `up` and the `scrape_*` series
//! beside it.
//!
//! Entry points: [`ScrapeManager`] with [`Jobs`]; [`ScrapeGlobals::read`], [`ScrapeConfig::read`],
//! [`read_probes`] for the configuration; [`openmetrics::check`]; [`find_services`].
//!
//! Invariants: one scrape is stored whole or not at all (and then `up` is 0 and its series are marked stale); a
//! target costs at most its body limit in memory and its timeout in time; no panic on anything a target sends; only
//! the manager spawns tasks, and [`ScrapeManager::shutdown`] ends them all.
//!
//! Not here: the store, rules, received samples (remote write, OTLP), native histograms over protobuf, and service
//! discovery other than static, file and HTTP (such sections are read, and reported as not supported yet).

pub mod exposition;
pub mod openmetrics;
pub mod relabel;

pub mod config;
pub mod http;

pub mod collect;
pub mod discovery;
pub mod find;
pub mod ingest;
pub mod manager;
pub mod probe;
mod scrape;
pub mod target;
#[cfg(test)]
mod testing;

pub use collect::{CollectorConfig, CollectorKind};
pub use config::{ScrapeConfig, ScrapeGlobals, read_scrape_configs};
pub use find::{FindOptions, FoundService, ServiceKind, Watch, find_services};
pub use http::HttpConfig;
pub use manager::{Jobs, ScrapeManager};
pub use probe::{ProbeConfig, ProbeKind, read_probes};
pub use relabel::Relabel;
pub use target::{DroppedTarget, Health, MetricMetadata, TargetStatus, Targets};
