//! `bellwether alertmanager`: Alertmanager's own flags.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_model::duration::parse_duration;
use clap::{ArgAction, Args, ValueEnum};

/// As Alertmanager 0.34 has them. Those that have no meaning here (gossip between nodes, Go's memory) are taken and
/// ignored.
#[derive(Debug, Args)]
pub struct Alertmanager {
    /// Alertmanager configuration file name.
    #[arg(
        long = "config.file",
        value_name = "FILE",
        default_value = "alertmanager.yml"
    )]
    pub config_file: PathBuf,
    /// Base path for data storage.
    #[arg(long = "storage.path", value_name = "DIR", default_value = "data/")]
    pub storage_path: PathBuf,
    /// How long to keep data for.
    #[arg(long = "data.retention", value_name = "DURATION", default_value = "120h", value_parser = duration)]
    pub retention: Duration,
    /// Addresses on which to expose metrics and web interface. Repeatable.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = ":9093"
    )]
    pub listen: Vec<String>,
    /// The URL under which Alertmanager is externally reachable.
    #[arg(long = "web.external-url", value_name = "URL", default_value = "")]
    pub external_url: String,
    /// Prefix for the internal routes of web endpoints. Defaults to path of --web.external-url.
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    pub route_prefix: Option<String>,
    /// Path to configuration file that can enable TLS or authentication (not supported: put a proxy before it).
    #[arg(long = "web.config.file", value_name = "FILE", default_value = "")]
    pub web_config: String,
    /// Maximum number of silences, including expired silences. If negative or zero, no limit is set.
    #[arg(
        long = "silences.max-silences",
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub max_silences: i64,
    /// Maximum silence size in bytes. If negative or zero, no limit is set.
    #[arg(
        long = "silences.max-per-silence-bytes",
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub max_silence_bytes: i64,
    /// Comma-separated experimental features: classic-mode, utf8-strict-mode; others have no effect.
    #[arg(long = "enable-feature", value_name = "FEATURES", default_value = "")]
    pub features: String,
    /// Only log messages with the given severity or above.
    #[arg(long = "log.level", value_enum, default_value = "info")]
    pub log_level: LogLevel,
    /// Output format of log messages.
    #[arg(long = "log.format", value_enum, default_value = "logfmt")]
    pub log_format: LogFormat,
    /// Show application version.
    #[arg(long, action = ArgAction::SetTrue)]
    pub version: bool,
    #[command(flatten)]
    pub ignored: Ignored,
}

/// Taken so that command lines work unchanged; without effect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Taken for compatibility, without effect")]
pub struct Ignored {
    #[arg(long = "alerts.gc-interval", value_name = "DURATION")]
    gc_interval: Option<String>,
    #[arg(long = "alerts.per-alertname-limit", value_name = "N")]
    per_alertname_limit: Option<String>,
    #[arg(long = "data.maintenance-interval", value_name = "DURATION")]
    maintenance_interval: Option<String>,
    #[arg(long = "dispatch.maintenance-interval", value_name = "DURATION")]
    dispatch_interval: Option<String>,
    #[arg(long = "dispatch.start-delay", value_name = "DURATION")]
    start_delay: Option<String>,
    #[arg(long = "web.get-concurrency", value_name = "N")]
    get_concurrency: Option<String>,
    #[arg(long = "web.timeout", value_name = "SECONDS")]
    timeout: Option<String>,
    #[arg(long = "web.systemd-socket")]
    systemd_socket: bool,
    #[arg(long = "auto-gomemlimit")]
    auto_gomemlimit: bool,
    #[arg(long = "no-auto-gomemlimit")]
    no_auto_gomemlimit: bool,
    #[arg(long = "auto-gomaxprocs")]
    auto_gomaxprocs: bool,
    #[arg(long = "no-auto-gomaxprocs")]
    no_auto_gomaxprocs: bool,
    #[arg(long = "auto-gomemlimit.ratio", value_name = "RATIO")]
    gomemlimit_ratio: Option<String>,
    #[arg(long = "cluster.listen-address", value_name = "ADDRESS")]
    cluster_listen: Option<String>,
    #[arg(long = "cluster.advertise-address", value_name = "ADDRESS")]
    cluster_advertise: Option<String>,
    /// Initial peers (may be repeated): each node here decides by itself.
    #[arg(long = "cluster.peer", value_name = "ADDRESS")]
    pub cluster_peer: Vec<String>,
    #[arg(long = "cluster.peer-timeout", value_name = "DURATION")]
    cluster_peer_timeout: Option<String>,
    #[arg(long = "cluster.peer-name", value_name = "NAME")]
    cluster_peer_name: Option<String>,
    #[arg(long = "cluster.peers-resolve-timeout", value_name = "DURATION")]
    cluster_resolve_timeout: Option<String>,
    #[arg(long = "cluster.gossip-interval", value_name = "DURATION")]
    cluster_gossip: Option<String>,
    #[arg(long = "cluster.pushpull-interval", value_name = "DURATION")]
    cluster_pushpull: Option<String>,
    #[arg(long = "cluster.tcp-timeout", value_name = "DURATION")]
    cluster_tcp: Option<String>,
    #[arg(long = "cluster.probe-timeout", value_name = "DURATION")]
    cluster_probe_timeout: Option<String>,
    #[arg(long = "cluster.probe-interval", value_name = "DURATION")]
    cluster_probe_interval: Option<String>,
    #[arg(long = "cluster.settle-timeout", value_name = "DURATION")]
    cluster_settle: Option<String>,
    #[arg(long = "cluster.reconnect-interval", value_name = "DURATION")]
    cluster_reconnect_interval: Option<String>,
    #[arg(long = "cluster.reconnect-timeout", value_name = "DURATION")]
    cluster_reconnect_timeout: Option<String>,
    #[arg(long = "cluster.tls-config", value_name = "FILE")]
    cluster_tls: Option<String>,
    #[arg(long = "cluster.label", value_name = "LABEL")]
    cluster_label: Option<String>,
    #[arg(long = "cluster.allow-insecure-public-advertise-address-discovery")]
    cluster_insecure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Logfmt,
    Json,
}

/// A duration as Go writes it; days and weeks as Prometheus writes them too.
fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

// === impl LogLevel ===

impl LogLevel {
    /// The word of a filter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}
