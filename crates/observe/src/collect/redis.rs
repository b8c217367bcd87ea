//! A Redis server without credentials, with redis_exporter's metric names.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_env::Clock;

use super::plain_http::exchange;
use super::text::Text;

/// Bytes of `INFO` that are read.
const INFO_BYTES_MAX: usize = 256 << 10;

/// What a server on an address says.
pub(crate) enum Said {
    /// It answers `INFO`.
    Info(String),
    /// It is Redis and wants a password.
    NoAuth,
    /// Nothing, or nothing that Redis says.
    Other,
}

/// Metric, kind, field of `INFO`.
const FIELDS: [(&str, &str, &str); 24] = [
    ("uptime_in_seconds", "gauge", "uptime_in_seconds"),
    ("connected_clients", "gauge", "connected_clients"),
    ("blocked_clients", "gauge", "blocked_clients"),
    ("config_maxclients", "gauge", "maxclients"),
    ("memory_used_bytes", "gauge", "used_memory"),
    ("memory_used_rss_bytes", "gauge", "used_memory_rss"),
    ("memory_max_bytes", "gauge", "maxmemory"),
    (
        "mem_fragmentation_ratio",
        "gauge",
        "mem_fragmentation_ratio",
    ),
    (
        "connections_received_total",
        "counter",
        "total_connections_received",
    ),
    (
        "rejected_connections_total",
        "counter",
        "rejected_connections",
    ),
    (
        "commands_processed_total",
        "counter",
        "total_commands_processed",
    ),
    ("net_input_bytes_total", "counter", "total_net_input_bytes"),
    (
        "net_output_bytes_total",
        "counter",
        "total_net_output_bytes",
    ),
    ("expired_keys_total", "counter", "expired_keys"),
    ("evicted_keys_total", "counter", "evicted_keys"),
    ("keyspace_hits_total", "counter", "keyspace_hits"),
    ("keyspace_misses_total", "counter", "keyspace_misses"),
    ("connected_slaves", "gauge", "connected_slaves"),
    ("master_repl_offset", "gauge", "master_repl_offset"),
    (
        "rdb_changes_since_last_save",
        "gauge",
        "rdb_changes_since_last_save",
    ),
    (
        "rdb_last_save_timestamp_seconds",
        "gauge",
        "rdb_last_save_time",
    ),
    ("loading_dump_file", "gauge", "loading"),
    ("cpu_sys_seconds_total", "counter", "used_cpu_sys"),
    ("cpu_user_seconds_total", "counter", "used_cpu_user"),
];

/// Asks for `INFO`.
pub(crate) async fn ask(address: SocketAddr, timeout: Duration) -> Said {
    let done = |bytes: &[u8]| match bytes.first() {
        Some(b'$') => bytes
            .windows(2)
            .position(|end| end == b"\r\n")
            .and_then(|end| {
                Some(
                    end + 4
                        + std::str::from_utf8(&bytes[1..end])
                            .ok()?
                            .parse::<usize>()
                            .ok()?,
                )
            })
            .is_some_and(|whole| bytes.len() >= whole),
        Some(_) => bytes.ends_with(b"\r\n"),
        None => false,
    };
    match exchange(
        address,
        b"*1\r\n$4\r\nINFO\r\n",
        timeout,
        INFO_BYTES_MAX,
        done,
    )
    .await
    {
        Err(_) => Said::Other,
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if text.starts_with('$') && text.contains("redis_version:") {
                Said::Info(text)
            } else if text.starts_with("-NOAUTH")
                || text.starts_with("-DENIED")
                || text.starts_with("-NOPERM")
            {
                Said::NoAuth
            } else {
                Said::Other
            }
        }
    }
}

/// Its metrics as text.
pub(crate) async fn collect(address: SocketAddr, timeout: Duration, clock: &dyn Clock) -> String {
    let begin = clock.monotonic();
    // Leave time to report that there was no answer.
    let said = ask(address, timeout.mul_f64(0.8)).await;
    let duration = clock.monotonic().saturating_sub(begin).as_secs_f64();
    let mut text = Text::default();
    let up = !matches!(said, Said::Other);
    text.gauge(
        "redis_up",
        "Information about the Redis instance.",
        f64::from(u8::from(up)),
    );
    text.gauge(
        "redis_exporter_last_scrape_duration_seconds",
        "The last scrape duration.",
        duration,
    );
    if let Said::Info(info) = said {
        write_info(&info, &mut text);
    }
    text.finish()
}

fn write_info(info: &str, text: &mut Text) {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    for (metric, kind, name) in FIELDS {
        if let Some(value) = field(name).and_then(|value| value.parse().ok()) {
            let metric = format!("redis_{metric}");
            text.family(&metric, kind, &format!("{name} of INFO."));
            text.sample(&metric, &[], value);
        }
    }
    for (metric, name, good) in [
        ("redis_master_link_up", "master_link_status", "up"),
        (
            "redis_rdb_last_bgsave_status",
            "rdb_last_bgsave_status",
            "ok",
        ),
        ("redis_aof_last_write_status", "aof_last_write_status", "ok"),
    ] {
        if let Some(value) = field(name) {
            text.gauge(
                metric,
                &format!("{name} of INFO."),
                f64::from(u8::from(value == good)),
            );
        }
    }
    text.family(
        "redis_instance_info",
        "gauge",
        "Information about the Redis instance.",
    );
    let part = |name| field(name).unwrap_or_default();
    text.sample(
        "redis_instance_info",
        &[
            ("redis_version", part("redis_version")),
            ("role", part("role")),
        ],
        1.0,
    );
    text.family("redis_db_keys", "gauge", "Total number of keys by DB.");
    for line in info.lines().filter(|line| line.starts_with("db")).take(100) {
        if let Some((db, rest)) = line.split_once(":keys=")
            && let Some(keys) = rest.split(',').next().and_then(|keys| keys.parse().ok())
        {
            text.sample("redis_db_keys", &[("db", db)], keys);
        }
    }
}
