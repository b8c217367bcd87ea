//! From discovered addresses to targets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::duration::{format_duration, parse_duration};
use bellwether_model::{Labels, LabelsBuilder};

use crate::collect::{CollectorConfig, CollectorKind};
use crate::config::{Limits, ScrapeConfig, TargetGroup};
use crate::ingest::Rules;
use crate::probe::{ProbeConfig, ProbeKind};
use crate::relabel;
use crate::scrape::{HttpSource, Source, TargetSpec};

/// Targets that one job may have, whatever its configuration says.
const TARGETS_MAX: usize = 100_000;
/// Job of all probes.
pub(crate) const PROBE_JOB: &str = "bellwether-probes";

/// What makes two targets the same: their labels and their address.
pub(crate) type TargetKey = (Labels, String);

/// The targets of a job.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) active: BTreeMap<TargetKey, TargetSpec>,
    pub(crate) dropped: Vec<Labels>,
    pub(crate) dropped_count: usize,
    /// Targets that cannot be used, with the reason.
    pub(crate) errors: Vec<String>,
}

/// Relabels every discovered address of a job.
pub(crate) fn resolve(
    config: &ScrapeConfig,
    source: &Result<Arc<HttpSource>, String>,
    groups: &[TargetGroup],
) -> Resolved {
    let mut resolved = Resolved::default();
    let dropped_max = if config.keep_dropped_targets == 0 {
        super::DROPPED_MAX
    } else {
        config.keep_dropped_targets
    };
    let addresses = groups
        .iter()
        .flat_map(|group| group.targets.iter().map(move |target| (group, target)));
    for (group, address) in addresses.take(TARGETS_MAX) {
        let discovered = discovered_labels(config, group, address);
        let Some(labels) = relabel::apply(&config.relabel, &discovered) else {
            resolved.dropped_count += 1;
            if resolved.dropped.len() < dropped_max {
                resolved.dropped.push(discovered);
            }
            continue;
        };
        match make_target(config, source, discovered, &labels) {
            Ok(spec) => {
                resolved
                    .active
                    .insert((spec.rules.target.clone(), spec.url.clone()), spec);
            }
            Err(reason) => {
                if resolved.errors.len() < 20 {
                    resolved
                        .errors
                        .push(format!("target {address:?}: {reason}"));
                }
            }
        }
    }
    let limit = config.limits.targets;
    if limit > 0 && resolved.active.len() > limit {
        let reason = format!(
            "target_limit exceeded (number of targets: {}, limit: {limit})",
            resolved.active.len()
        );
        for spec in resolved.active.values_mut() {
            spec.source = Source::Refused(reason.clone());
        }
    }
    resolved
}

/// Labels of an address before relabelling.
fn discovered_labels(config: &ScrapeConfig, group: &TargetGroup, address: &str) -> Labels {
    let mut builder = group.labels.to_builder();
    builder.set("__address__", address);
    let set_default = |builder: &mut LabelsBuilder, name: &str, value: &str| {
        if builder.get(name).is_empty() {
            builder.set(name, value);
        }
    };
    set_default(&mut builder, "job", &config.job_name);
    set_default(
        &mut builder,
        "__scrape_interval__",
        &format_duration(config.scrape_interval),
    );
    set_default(
        &mut builder,
        "__scrape_timeout__",
        &format_duration(config.scrape_timeout),
    );
    set_default(&mut builder, "__metrics_path__", &config.metrics_path);
    set_default(&mut builder, "__scheme__", &config.scheme);
    for (name, values) in &config.params {
        if let Some(first) = values.first() {
            builder.set(&format!("__param_{name}"), first);
        }
    }
    builder.build()
}

fn make_target(
    config: &ScrapeConfig,
    source: &Result<Arc<HttpSource>, String>,
    discovered: Labels,
    labels: &Labels,
) -> Result<TargetSpec, String> {
    let address = labels.get("__address__");
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let time = |name: &str| match parse_duration(labels.get(name)) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err(format!("{name} cannot be 0")),
        Err(error) => Err(format!("{name}: {error}")),
    };
    let (interval, timeout) = (time("__scrape_interval__")?, time("__scrape_timeout__")?);
    if timeout > interval {
        return Err("scrape timeout cannot be greater than scrape interval".to_owned());
    }
    let url = target_url(config, labels)?;
    let mut own = labels.retain(|name| !name.starts_with("__"));
    if !own.contains("instance") {
        own = own.with("instance", address);
    }
    Ok(TargetSpec {
        pool: config.job_name.clone(),
        discovered,
        url,
        interval,
        timeout,
        rules: Arc::new(Rules {
            target: own,
            honor_labels: config.honor_labels,
            honor_timestamps: config.honor_timestamps,
            track_timestamps_staleness: config.track_timestamps_staleness,
            legacy_names: config.legacy_names,
            limits: config.limits,
            metric_relabel: config.metric_relabel.clone(),
        }),
        extra_scrape_metrics: config.extra_scrape_metrics,
        source: match source {
            Ok(source) => Source::Http(Arc::clone(source)),
            Err(reason) => Source::Refused(reason.clone()),
        },
    })
}

/// Scheme, address, path and parameters as relabelling left them.
fn target_url(config: &ScrapeConfig, labels: &Labels) -> Result<String, String> {
    let scheme = labels.get("__scheme__");
    if !matches!(scheme, "http" | "https") {
        return Err(format!("scheme must be http or https, not {scheme:?}"));
    }
    let mut url = reqwest::Url::parse(&format!("{scheme}://{}", labels.get("__address__")))
        .map_err(|error| error.to_string())?;
    url.set_path(labels.get("__metrics_path__"));
    let mut params: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, values) in &config.params {
        params.insert(name, values.iter().map(String::as_str).collect());
    }
    for label in labels {
        if let Some(name) = label.name.strip_prefix("__param_") {
            let values = params.entry(name).or_default();
            match values.first_mut() {
                Some(first) => *first = &label.value,
                None => values.push(&label.value),
            }
        }
    }
    if params.values().any(|values| !values.is_empty()) {
        let mut query = url.query_pairs_mut();
        for (name, values) in params {
            for value in values {
                query.append_pair(name, value);
            }
        }
    }
    Ok(url.to_string())
}

/// The one target of a built-in collector.
pub(crate) fn collector_target(config: &CollectorConfig) -> TargetSpec {
    let kind = match &config.kind {
        CollectorKind::Host => "host".to_owned(),
        CollectorKind::Processes => "processes".to_owned(),
        CollectorKind::Redis(address) => format!("redis/{address}"),
        CollectorKind::Postgres(address) => format!("postgres/{address}"),
        CollectorKind::Nginx { address, .. } => format!("nginx/{address}"),
    };
    let labels = config
        .labels
        .with("job", &config.job)
        .with("instance", &config.instance);
    builtin(
        &config.job,
        labels,
        format!("builtin:{kind}"),
        (config.interval, config.timeout),
        Source::Collector(config.kind.clone()),
    )
}

/// The one target of a probe.
pub(crate) fn probe_target(config: &ProbeConfig) -> TargetSpec {
    let kind = match config.kind {
        ProbeKind::Http { .. } => "http",
        ProbeKind::Tcp => "tcp",
        ProbeKind::Tls { .. } => "tls",
        ProbeKind::Dns { .. } => "dns",
        ProbeKind::Icmp => "icmp",
    };
    let labels = config
        .labels
        .with("job", PROBE_JOB)
        .with("instance", &config.target)
        .with("probe", &config.name);
    let url = format!("probe:{kind}:{}", config.target);
    builtin(
        PROBE_JOB,
        labels,
        url,
        (config.interval, config.timeout),
        Source::Probe(Arc::new(config.clone())),
    )
}

fn builtin(
    pool: &str,
    labels: Labels,
    url: String,
    (interval, timeout): (std::time::Duration, std::time::Duration),
    source: Source,
) -> TargetSpec {
    TargetSpec {
        pool: pool.to_owned(),
        discovered: labels.clone(),
        url,
        interval,
        // A probe ends by its own timeout and reports that; ours is only the last resort.
        timeout: if matches!(source, Source::Probe(_)) {
            timeout + std::time::Duration::from_secs(1)
        } else {
            timeout
        },
        rules: Arc::new(Rules {
            target: labels,
            honor_labels: false,
            honor_timestamps: false,
            track_timestamps_staleness: false,
            legacy_names: false,
            limits: Limits::default(),
            metric_relabel: Vec::new(),
        }),
        extra_scrape_metrics: false,
        source,
    }
}
