//! `alertmanager_*` metrics: the ones that Alertmanager's dashboards and alerts ask for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::http::Method;
use bellwether_page::record::SilenceState;
use sha2::{Digest as _, Sha256};

use crate::app::App;

/// The version whose interface this is.
pub const ALERTMANAGER_VERSION: &str = "0.34.0";

/// Upper bounds of `notification_latency_seconds`.
const LATENCY: [f64; 5] = [1.0, 5.0, 10.0, 15.0, 20.0];
/// Upper bounds of `http_request_duration_seconds`.
const DURATION: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 20.0, 60.0];

/// What is counted as it happens; the rest is asked of the engine when somebody looks.
#[derive(Debug, Default)]
pub struct Stats {
    firing: AtomicU64,
    resolved: AtomicU64,
    invalid: AtomicU64,
    /// By integration.
    notifications: Mutex<BTreeMap<String, Notifications>>,
    /// By handler and method.
    requests: Mutex<BTreeMap<(&'static str, String), Histogram<10>>>,
}

#[derive(Clone, Debug, Default)]
struct Notifications {
    total: u64,
    failed: u64,
    requests: u64,
    requests_failed: u64,
    latency: Histogram<5>,
}

#[derive(Clone, Debug)]
struct Histogram<const N: usize> {
    counts: [u64; N],
    count: u64,
    sum: f64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            counts: [0; N],
            count: 0,
            sum: 0.0,
        }
    }
}

impl<const N: usize> Histogram<N> {
    fn observe(&mut self, bounds: &[f64; N], value: f64) {
        self.count += 1;
        self.sum += value;
        for (count, bound) in self.counts.iter_mut().zip(bounds) {
            *count += u64::from(value <= *bound);
        }
    }

    fn write(&self, text: &mut String, name: &str, labels: &str, bounds: &[f64; N]) {
        for (count, bound) in self.counts.iter().zip(bounds) {
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let (count, sum) = (self.count, self.sum);
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}");
        let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
    }
}

/// The handler's name of a path below `/api/v2`.
pub(super) fn handler_of(path: &str) -> &'static str {
    match path.rsplit("/api/v2").next().unwrap_or(path) {
        "/alerts" => "/alerts",
        "/alerts/groups" => "/alerts/groups",
        "/silences" => "/silences",
        "/status" => "/status",
        "/receivers" => "/receivers",
        path if path.starts_with("/silence/") => "/silence/:id",
        _ => "/other",
    }
}

// === impl Stats ===

impl Stats {
    /// Alerts of one post.
    pub fn received(&self, firing: usize, resolved: usize, invalid: usize) {
        self.firing.fetch_add(firing as u64, Ordering::Relaxed);
        self.resolved.fetch_add(resolved as u64, Ordering::Relaxed);
        self.invalid.fetch_add(invalid as u64, Ordering::Relaxed);
    }

    /// One answered request.
    pub(super) fn request(&self, handler: &'static str, method: &Method, seconds: f64) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (handler, method.as_str().to_ascii_lowercase());
        if requests.len() < 100 || requests.contains_key(&key) {
            requests.entry(key).or_default().observe(&DURATION, seconds);
        }
    }

    /// One attempt of a notification, and whether it was the last one and failed.
    pub fn attempted(&self, integration: &str, seconds: f64, ok: bool, over: bool, first: bool) {
        let mut all = self
            .notifications
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let one = all.entry(integration.to_owned()).or_default();
        one.requests += 1;
        one.requests_failed += u64::from(!ok);
        one.total += u64::from(first);
        one.failed += u64::from(!ok && over);
        if ok || over {
            one.latency.observe(&LATENCY, seconds);
        }
    }

    /// The metrics in the text format.
    pub fn write(&self, app: &App, text: &mut String) {
        let now = app.clock.now();
        let config = app.config();
        let (active, suppressed, groups, silences) = app.core.view(|flow| {
            let alerts = flow.pager.alerts(now);
            let muted = |view: &&bellwether_page::view::AlertView| {
                !view.silenced_by.is_empty() || !view.inhibited_by.is_empty()
            };
            let suppressed = alerts.iter().filter(muted).count();
            let mut silences = [0_u64; 3];
            for view in flow.pager.silences(now) {
                silences[match view.state {
                    SilenceState::Active => 0,
                    SilenceState::Expired => 1,
                    SilenceState::Pending => 2,
                }] += 1;
            }
            let groups = flow.pager.group_count();
            (alerts.len() - suppressed, suppressed, groups, silences)
        });
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
            let name = format!("alertmanager_{name}");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let value = crate::http::prometheus::format_float(*value);
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let one = |value: f64| vec![(String::new(), value)];
        let by = |key: &str, pairs: &[(&str, u64)]| -> Vec<(String, f64)> {
            let line =
                |(word, count): &(&str, u64)| (format!("{{{key}=\"{word}\"}}"), *count as f64);
            pairs.iter().map(line).collect()
        };
        let states = [
            ("active", active as u64),
            ("suppressed", suppressed as u64),
            ("unprocessed", 0),
        ];
        family(
            "alerts",
            "gauge",
            "How many alerts by state.",
            &by("state", &states),
        );
        family(
            "marked_alerts",
            "gauge",
            "How many alerts by state are currently marked in the Alertmanager regardless of their expiry.",
            &by("state", &states),
        );
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        family(
            "alerts_received_total",
            "counter",
            "The total number of received alerts.",
            &[
                (
                    "{status=\"firing\",version=\"v2\"}".to_owned(),
                    load(&self.firing),
                ),
                (
                    "{status=\"resolved\",version=\"v2\"}".to_owned(),
                    load(&self.resolved),
                ),
            ],
        );
        family(
            "alerts_invalid_total",
            "counter",
            "The total number of received alerts that were invalid.",
            &[("{version=\"v2\"}".to_owned(), load(&self.invalid))],
        );
        family(
            "build_info",
            "gauge",
            "A metric with a constant '1' value labeled by version and revision.",
            &[(
                format!(
                    "{{branch=\"bellwether\",goversion=\"\",revision=\"bellwether-{}\",version=\"{ALERTMANAGER_VERSION}\"}}",
                    env!("CARGO_PKG_VERSION")
                ),
                1.0,
            )],
        );
        family(
            "cluster_enabled",
            "gauge",
            "Indicates whether the clustering is enabled or not.",
            &one(0.0),
        );
        let hash = Sha256::digest(config.redacted().as_bytes());
        let hash = hash
            .iter()
            .take(6)
            .fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
        family(
            "config_hash",
            "gauge",
            "Hash of the currently loaded alertmanager configuration.",
            &one(hash as f64),
        );
        family(
            "config_last_reload_success_timestamp_seconds",
            "gauge",
            "Timestamp of the last successful configuration reload.",
            &one(app.config_loaded_at().as_millisecond() as f64 / 1e3),
        );
        family(
            "config_last_reload_successful",
            "gauge",
            "Whether the last configuration reload attempt was successful.",
            &one(f64::from(u8::from(app.reload_ok()))),
        );
        family(
            "dispatcher_aggregation_groups",
            "gauge",
            "Number of active aggregation groups",
            &one(groups as f64),
        );
        let integrations: usize = config
            .page
            .receivers
            .values()
            .map(|receiver| receiver.integrations.len())
            .sum();
        family(
            "integrations",
            "gauge",
            "Number of configured integrations.",
            &one(integrations as f64),
        );
        family(
            "receivers",
            "gauge",
            "Number of configured receivers.",
            &one(config.page.receivers.len() as f64),
        );
        let [active, expired, pending] = silences;
        family(
            "silences",
            "gauge",
            "How many silences by state.",
            &by(
                "state",
                &[
                    ("active", active),
                    ("expired", expired),
                    ("pending", pending),
                ],
            ),
        );
        self.write_notifications(&config, text);
    }

    fn write_notifications(&self, config: &crate::config::Config, text: &mut String) {
        let mut all = self
            .notifications
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // From the start: a series that appears with its first failure hides it from `increase`.
        for integration in config.page.receivers.values().flat_map(|r| &r.integrations) {
            all.entry(integration.kind.to_owned()).or_default();
        }
        type Value = fn(&Notifications) -> u64;
        let counters: [(&str, &str, Value); 4] = [
            (
                "notifications_total",
                "The total number of attempted notifications.",
                |n| n.total,
            ),
            (
                "notifications_failed_total",
                "The total number of failed notifications.",
                |n| n.failed,
            ),
            (
                "notification_requests_total",
                "The total number of attempted notification requests.",
                |n| n.requests,
            ),
            (
                "notification_requests_failed_total",
                "The total number of failed notification requests.",
                |n| n.requests_failed,
            ),
        ];
        for (name, help, value) in counters {
            let name = format!("alertmanager_{name}");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for (integration, one) in &all {
                let value = value(one);
                let _ = writeln!(text, "{name}{{integration=\"{integration}\"}} {value}");
            }
        }
        let name = "alertmanager_notification_latency_seconds";
        let _ = writeln!(
            text,
            "# HELP {name} The latency of notifications in seconds.\n# TYPE {name} histogram"
        );
        for (integration, one) in &all {
            let labels = format!("integration=\"{integration}\"");
            one.latency.write(text, name, &labels, &LATENCY);
        }
        let name = "alertmanager_http_request_duration_seconds";
        let _ = writeln!(
            text,
            "# HELP {name} Histogram of latencies for HTTP requests.\n# TYPE {name} histogram"
        );
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((handler, method), one) in &*requests {
            let labels = format!("handler=\"{handler}\",method=\"{method}\"");
            one.write(text, name, &labels, &DURATION);
        }
    }
}
