//! Finds well-known services that listen on this host's loopback.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bellwether_model::Labels;

use crate::collect::plain_http::get;
use crate::collect::{CollectorConfig, CollectorKind, nginx, postgres, redis};
use crate::config::{ScrapeConfig, ScrapeGlobals};

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

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Listening ports that are looked at.
const PORTS_MAX: usize = 1_000;

/// Ports where a `/metrics` page of this program is to be expected.
const EXPORTERS: [(u16, &str); 18] = [
    (9100, "node_exporter"),
    (9090, "prometheus"),
    (9091, "pushgateway"),
    (9093, "alertmanager"),
    (9104, "mysqld_exporter"),
    (9113, "nginx_exporter"),
    (9115, "blackbox_exporter"),
    (9117, "apache_exporter"),
    (9121, "redis_exporter"),
    (9150, "memcached_exporter"),
    (9187, "postgres_exporter"),
    (9216, "mongodb_exporter"),
    (9256, "process_exporter"),
    (9308, "kafka_exporter"),
    (15692, "rabbitmq"),
    (2019, "caddy"),
    (3000, "grafana"),
    (8428, "victoriametrics"),
];
const REDIS_PORTS: [u16; 2] = [6379, 6380];
const POSTGRES_PORTS: [u16; 3] = [5432, 5433, 5434];
const WEB_PORTS: [u16; 5] = [80, 8000, 8080, 8081, 8888];

/// Looks at the listening loopback ports and asks the well-known ones what they are, all at once. What is on a
/// well-known port is asked one harmless question of that protocol; other ports are never touched.
pub async fn find_services(options: &FindOptions) -> Vec<FoundService> {
    let addresses = tokio::task::spawn_blocking(|| listening(Path::new("/proc/net")))
        .await
        .unwrap_or_default();
    let mut asked = tokio::task::JoinSet::new();
    for address in addresses {
        if options.skip_ports.contains(&address.port()) || options.skip_addresses.contains(&address)
        {
            continue;
        }
        let interval = options.interval;
        asked.spawn(async move { look_at(address, interval).await });
    }
    let mut found = Vec::new();
    while let Some(result) = asked.join_next().await {
        found.extend(result.ok().flatten());
    }
    found.sort_by_key(|service: &FoundService| (service.kind, service.address));
    found
}

/// Addresses on loopback that something listens on, one per port.
fn listening(net: &Path) -> Vec<SocketAddr> {
    let mut by_port: std::collections::BTreeMap<u16, IpAddr> = std::collections::BTreeMap::new();
    for file in ["tcp", "tcp6"] {
        let Some(content) = crate::collect::proc_files::read(&net.join(file)) else {
            continue;
        };
        for line in content.lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(local), Some(&"0A")) = (words.get(1), words.get(3)) else {
                continue;
            };
            let Some((ip, port)) = parse_address(local) else {
                continue;
            };
            if by_port.len() < PORTS_MAX && (ip.is_loopback() || ip.is_unspecified()) {
                let reachable = match ip {
                    IpAddr::V6(v6) if v6.is_loopback() => ip,
                    _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
                };
                by_port.entry(port).or_insert(reachable);
            }
        }
    }
    by_port
        .into_iter()
        .map(|(port, ip)| SocketAddr::new(ip, port))
        .collect()
}

/// `0100007F:1F90`: the address in host byte order by 32-bit words (little-endian on what we run on), the port in hex.
fn parse_address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        Some(
            u32::from_str_radix(ip.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    match ip.len() {
        8 => Some((IpAddr::V4(Ipv4Addr::from(word(0)?)), port)),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            Some((IpAddr::V6(Ipv6Addr::from(bytes)), port))
        }
        _ => None,
    }
}

async fn look_at(address: SocketAddr, interval: Duration) -> Option<FoundService> {
    let port = address.port();
    if REDIS_PORTS.contains(&port) {
        return look_at_redis(address, interval).await;
    }
    if POSTGRES_PORTS.contains(&port) {
        let detail = "answers; without credentials only whether and how fast";
        return postgres::answers(address, ASK_TIMEOUT).await.then(|| {
            built_in(
                ServiceKind::Postgres,
                "PostgreSQL",
                address,
                detail,
                CollectorKind::Postgres(address),
                interval,
            )
        });
    }
    if WEB_PORTS.contains(&port) {
        return look_at_web(address, interval).await;
    }
    let (_, name) = EXPORTERS.iter().find(|(known, _)| *known == port)?;
    let answer = get(address, "/metrics", ASK_TIMEOUT).await?;
    let kind = answer.header("content-type").unwrap_or_default();
    if answer.status != 200
        || !(kind.starts_with("text/plain") || kind.starts_with("application/openmetrics-text"))
    {
        return None;
    }
    // Bellwether on another port is a neighbour that watches itself.
    if answer.body.contains("bellwether_build_info") {
        return None;
    }
    let globals = ScrapeGlobals {
        scrape_interval: interval,
        scrape_timeout: interval.min(Duration::from_secs(10)),
        ..ScrapeGlobals::default()
    };
    Some(FoundService {
        kind: ServiceKind::Exporter,
        name: (*name).to_owned(),
        address,
        detail: "has a /metrics page".to_owned(),
        watch: Watch::Scrape(Box::new(ScrapeConfig::with_targets(
            name,
            &globals,
            vec![address.to_string()],
        ))),
    })
}

async fn look_at_redis(address: SocketAddr, interval: Duration) -> Option<FoundService> {
    let detail = match redis::ask(address, ASK_TIMEOUT).await {
        redis::Said::Info(_) => "answers INFO without a password",
        redis::Said::NoAuth => "wants a password: only whether it answers",
        redis::Said::Other => return None,
    };
    Some(built_in(
        ServiceKind::Redis,
        "Redis",
        address,
        detail,
        CollectorKind::Redis(address),
        interval,
    ))
}

async fn look_at_web(address: SocketAddr, interval: Duration) -> Option<FoundService> {
    let answer = get(address, "/", ASK_TIMEOUT).await?;
    if !answer
        .header("server")
        .is_some_and(|server| server.starts_with("nginx"))
    {
        return None;
    }
    let mut path = None;
    for candidate in nginx::STATUS_PATHS {
        let page = get(address, candidate, ASK_TIMEOUT).await;
        if page.is_some_and(|page| page.status == 200 && nginx::is_status(&page.body)) {
            path = Some(candidate.to_owned());
            break;
        }
    }
    let detail = match &path {
        Some(path) => format!("stub_status at {path}"),
        None => "no stub_status page at the usual paths: only whether it answers".to_owned(),
    };
    Some(built_in(
        ServiceKind::Nginx,
        "nginx",
        address,
        &detail,
        CollectorKind::Nginx { address, path },
        interval,
    ))
}

fn built_in(
    kind: ServiceKind,
    name: &str,
    address: SocketAddr,
    detail: &str,
    collector: CollectorKind,
    interval: Duration,
) -> FoundService {
    FoundService {
        kind,
        name: name.to_owned(),
        address,
        detail: detail.to_owned(),
        watch: Watch::Collector(CollectorConfig {
            // One job per address, so that two servers of a kind do not share one.
            job: format!("{}-{}", name.to_lowercase(), address.port()),
            instance: address.to_string(),
            labels: Labels::empty(),
            interval,
            timeout: interval.min(Duration::from_secs(5)),
            kind: collector,
        }),
    }
}

#[cfg(test)]
mod tests;
