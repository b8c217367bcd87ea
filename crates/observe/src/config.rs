//! `global` and `scrape_configs` as Prometheus has them, read with positions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_model::{Labels, Problems};
use bellwether_yaml::Node;

use crate::http::HttpConfig;
use crate::relabel::Relabel;

mod read;

pub use read::read_scrape_configs;

/// Samples that one scrape may give when `sample_limit` is not set. (Prometheus has no limit then; here one broken
/// target must not take the store down. Set `sample_limit` to allow more.)
pub const SAMPLES_MAX_DEFAULT: usize = 500_000;
/// Bytes of body, uncompressed, when `body_size_limit` is not set.
pub const BODY_BYTES_MAX_DEFAULT: usize = 64 << 20;

/// Limits of one scrape; 0 means the default of Bellwether for `body_size` and `samples`, no limit for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of uncompressed body.
    pub body_size: usize,
    /// Samples after metric relabelling.
    pub samples: usize,
    pub labels: usize,
    pub label_name_length: usize,
    pub label_value_length: usize,
    /// Targets of one job after relabelling.
    pub targets: usize,
}

/// A format to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScrapeProtocol {
    PrometheusProto,
    OpenMetricsText0_0_1,
    OpenMetricsText1_0_0,
    PrometheusText0_0_4,
    PrometheusText1_0_0,
}

/// The scrape part of `global`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeGlobals {
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    pub evaluation_interval: Duration,
    pub rule_query_offset: Duration,
    pub external_labels: Labels,
    pub protocols: Option<Vec<ScrapeProtocol>>,
    pub limits: Limits,
    /// 0: [`crate::manager::DROPPED_MAX`].
    pub keep_dropped_targets: usize,
    /// `metric_name_validation_scheme: legacy`.
    pub legacy_names: bool,
    /// Store `scrape_timeout_seconds`, `scrape_sample_limit`, `scrape_body_size_bytes` too.
    pub extra_scrape_metrics: bool,
}

/// Where targets of a job come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Discovery {
    Static(Vec<TargetGroup>),
    File {
        patterns: Vec<PathBuf>,
        refresh: Duration,
    },
    Http {
        url: String,
        refresh: Duration,
        http: Box<HttpConfig>,
    },
}

/// Addresses that share labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    pub targets: Vec<String>,
    pub labels: Labels,
    /// Where the group comes from: `__meta_filepath` and the like are set from it.
    pub source: String,
}

/// One entry of `scrape_configs`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeConfig {
    pub job_name: String,
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Query parameters: name, values.
    pub params: Vec<(String, Vec<String>)>,
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    pub enable_compression: bool,
    pub protocols: Vec<ScrapeProtocol>,
    /// Format to assume when the target does not say one we know.
    pub fallback_protocol: Option<ScrapeProtocol>,
    pub limits: Limits,
    pub keep_dropped_targets: usize,
    pub legacy_names: bool,
    pub extra_scrape_metrics: bool,
    pub http: HttpConfig,
    pub discovery: Vec<Discovery>,
    pub relabel: Vec<Relabel>,
    pub metric_relabel: Vec<Relabel>,
}

impl Default for ScrapeGlobals {
    fn default() -> Self {
        Self {
            scrape_interval: Duration::from_mins(1),
            scrape_timeout: Duration::from_secs(10),
            evaluation_interval: Duration::from_mins(1),
            rule_query_offset: Duration::ZERO,
            external_labels: Labels::empty(),
            protocols: None,
            limits: Limits::default(),
            keep_dropped_targets: 0,
            legacy_names: false,
            extra_scrape_metrics: false,
        }
    }
}

impl ScrapeGlobals {
    /// Reads `global`. Keys that belong to other stages are known and not looked at.
    pub fn read(node: &Node, problems: &mut Problems) -> Self {
        read::read_globals(node, problems)
    }
}

impl ScrapeConfig {
    /// A job with the defaults of `globals` and static targets, as the finder and the demo make them.
    pub fn with_targets(job_name: &str, globals: &ScrapeGlobals, targets: Vec<String>) -> Self {
        Self {
            discovery: vec![Discovery::Static(vec![TargetGroup {
                targets,
                labels: Labels::empty(),
                source: "0".to_owned(),
            }])],
            ..Self::new(job_name, globals)
        }
    }

    /// A job with the defaults of `globals` and no targets.
    pub fn new(job_name: &str, globals: &ScrapeGlobals) -> Self {
        Self {
            job_name: job_name.to_owned(),
            scrape_interval: globals.scrape_interval,
            scrape_timeout: globals.scrape_timeout,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: Vec::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            protocols: globals.protocols.clone().unwrap_or_else(|| {
                vec![
                    ScrapeProtocol::OpenMetricsText1_0_0,
                    ScrapeProtocol::OpenMetricsText0_0_1,
                    ScrapeProtocol::PrometheusText1_0_0,
                    ScrapeProtocol::PrometheusText0_0_4,
                ]
            }),
            fallback_protocol: None,
            limits: globals.limits,
            keep_dropped_targets: globals.keep_dropped_targets,
            legacy_names: globals.legacy_names,
            extra_scrape_metrics: globals.extra_scrape_metrics,
            http: HttpConfig::default(),
            discovery: Vec::new(),
            relabel: Vec::new(),
            metric_relabel: Vec::new(),
        }
    }

    /// Reads one entry. Paths are relative to `base_dir`. `None` when it cannot be used at all; then, and for every
    /// fault that can be lived with, there is a problem.
    pub fn read(
        node: &Node,
        globals: &ScrapeGlobals,
        base_dir: &Path,
        problems: &mut Problems,
    ) -> Option<Self> {
        read::read_scrape_config(node, globals, base_dir, problems)
    }
}
