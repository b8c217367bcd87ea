//! Probes: is it there, does it answer as it should, how fast, and until when is its certificate valid.
//!
//! Metric names are those of blackbox_exporter. A probe that fails says why in `probe_failure_info{reason}`, with one
//! of a few fixed words. `up` of a probe is 1 whenever the probe itself could run; `probe_success` is the result.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bellwether_env::Clock;
use bellwether_model::{Labels, Problems};
use bellwether_yaml::Node;
use regex::Regex;

use crate::collect::text::Text;
use crate::config::ScrapeGlobals;
use crate::http::HttpConfig;

mod certificate;
mod http;
mod icmp;
mod read;
mod tls;

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
        /// All must match somewhere in the body.
        body_matches: Vec<Regex>,
        /// None may match anywhere in the body.
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

/// Why a probe failed: a closed set of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Timeout,
    Dns,
    Connect,
    Status,
    Body,
    Certificate,
    CertificateExpires,
    Settings,
    NotAllowed,
    NoAnswer,
}

impl Failure {
    fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Status => "status",
            Self::Body => "body",
            Self::Certificate => "certificate",
            Self::CertificateExpires => "certificate_expires",
            Self::Settings => "settings",
            Self::NotAllowed => "not_allowed",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// Reads the `probes:` section: a list. Bad probes are left out, each with its problem.
pub fn read_probes(
    node: &Node,
    globals: &ScrapeGlobals,
    problems: &mut Problems,
) -> Vec<ProbeConfig> {
    read::read_probes(node, globals, problems)
}

/// Runs a probe once and gives its metrics as exposition text.
pub(crate) async fn run(probe: &ProbeConfig, clock: &dyn Clock) -> String {
    let begin = clock.monotonic();
    let mut text = Text::default();
    let work = attempt(probe, clock, &mut text);
    let result = match tokio::time::timeout(probe.timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Timeout),
    };
    let duration = clock.monotonic().saturating_sub(begin).as_secs_f64();
    text.gauge(
        "probe_duration_seconds",
        "Returns how long the probe took to complete in seconds",
        duration,
    );
    text.gauge(
        "probe_success",
        "Displays whether or not the probe was a success",
        f64::from(u8::from(result.is_ok())),
    );
    if let Err(failure) = result {
        text.family("probe_failure_info", "gauge", "Why the probe failed");
        text.sample("probe_failure_info", &[("reason", failure.as_str())], 1.0);
    }
    text.finish()
}

async fn attempt(probe: &ProbeConfig, clock: &dyn Clock, text: &mut Text) -> Result<(), Failure> {
    match &probe.kind {
        ProbeKind::Http { .. } => http::run(probe, clock, text).await,
        ProbeKind::Tcp => {
            let address = look_up(&probe.target, clock, text).await?;
            let stream = tokio::net::TcpStream::connect(address).await;
            stream.map(drop).map_err(|_| Failure::Connect)
        }
        ProbeKind::Tls { .. } => tls::run(probe, clock, text).await,
        ProbeKind::Dns { record, expect } => {
            let host = probe.target.trim_end_matches('.');
            let addresses = resolve(host, 0, clock, text).await?;
            let wanted: Vec<IpAddr> = addresses
                .into_iter()
                .filter(|ip| match record.as_str() {
                    "A" => ip.is_ipv4(),
                    "AAAA" => ip.is_ipv6(),
                    _ => true,
                })
                .collect();
            text.gauge(
                "probe_dns_answer_rrs",
                "Returns number of entries in the answer resource record list",
                wanted.len() as f64,
            );
            let fits =
                expect.is_empty() || wanted.iter().any(|ip| expect.contains(&ip.to_string()));
            match (wanted.is_empty(), fits) {
                (true, _) => Err(Failure::Dns),
                (_, false) => Err(Failure::Body),
                _ => Ok(()),
            }
        }
        ProbeKind::Icmp => {
            let addresses = resolve(&probe.target, 0, clock, text).await?;
            let address = *addresses.first().ok_or(Failure::Dns)?;
            icmp::run(address, probe.timeout, clock, text).await
        }
    }
}

/// The first address of `host:port`, with how long finding it took.
async fn look_up(target: &str, clock: &dyn Clock, text: &mut Text) -> Result<SocketAddr, Failure> {
    let (host, port) = target.rsplit_once(':').ok_or(Failure::Settings)?;
    let port: u16 = port.parse().map_err(|_| Failure::Settings)?;
    let addresses = resolve(host, port, clock, text).await?;
    Ok(SocketAddr::new(
        *addresses.first().ok_or(Failure::Dns)?,
        port,
    ))
}

/// Addresses of a host by the system's resolver, sorted.
async fn resolve(
    host: &str,
    port: u16,
    clock: &dyn Clock,
    text: &mut Text,
) -> Result<Vec<IpAddr>, Failure> {
    let begin = clock.monotonic();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, port)).await;
    let seconds = clock.monotonic().saturating_sub(begin).as_secs_f64();
    text.gauge(
        "probe_dns_lookup_time_seconds",
        "Returns the time taken for probe dns lookup in seconds",
        seconds,
    );
    let mut addresses: Vec<IpAddr> = found
        .map_err(|_| Failure::Dns)?
        .map(|address| address.ip())
        .collect();
    addresses.sort_by_key(|ip| (ip.is_ipv6(), *ip));
    addresses.dedup();
    if let Some(first) = addresses.first() {
        text.gauge(
            "probe_ip_protocol",
            "Specifies whether probe ip protocol is IP4 or IP6",
            if first.is_ipv4() { 4.0 } else { 6.0 },
        );
    }
    Ok(addresses)
}

/// Writes until when a certificate is valid and judges it.
fn judge_expiry(
    expires: i64,
    min_days: Option<f64>,
    clock: &dyn Clock,
    text: &mut Text,
) -> Result<(), Failure> {
    text.gauge(
        "probe_ssl_earliest_cert_expiry",
        "Returns last SSL chain expiry in unixtime",
        expires as f64,
    );
    let left_days = (expires - clock.now().as_second()) as f64 / 86_400.0;
    match min_days {
        Some(min) if left_days < min => Err(Failure::CertificateExpires),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
