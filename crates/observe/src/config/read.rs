//! Nodes to configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bellwether_model::labels::is_classic_label_name;
use bellwether_model::{Labels, LabelsBuilder, Problems, suggest};
use bellwether_yaml::{MapReader, Node};

use super::{Discovery, Limits, ScrapeConfig, ScrapeGlobals, ScrapeProtocol, TargetGroup};
use crate::http::read_http;
use crate::relabel::Relabel;

/// Discovery sections of Prometheus that are read and not run.
const OTHER_DISCOVERY: [&str; 29] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

const PROTOCOLS: [(&str, ScrapeProtocol); 5] = [
    ("PrometheusProto", ScrapeProtocol::PrometheusProto),
    ("OpenMetricsText0.0.1", ScrapeProtocol::OpenMetricsText0_0_1),
    ("OpenMetricsText1.0.0", ScrapeProtocol::OpenMetricsText1_0_0),
    ("PrometheusText0.0.4", ScrapeProtocol::PrometheusText0_0_4),
    ("PrometheusText1.0.0", ScrapeProtocol::PrometheusText1_0_0),
];

pub(super) fn read_globals(node: &Node, problems: &mut Problems) -> ScrapeGlobals {
    let mut globals = ScrapeGlobals::default();
    let mut map = MapReader::new(node, "global config", problems);
    let interval_node = map.take("scrape_interval");
    if let Some(interval) = map.duration("scrape_interval").filter(|d| !d.is_zero()) {
        globals.scrape_interval = interval;
    }
    let timeout = map.duration("scrape_timeout").filter(|d| !d.is_zero());
    if timeout.is_some_and(|timeout| timeout > globals.scrape_interval) {
        let at = map.take("scrape_timeout").or(interval_node).unwrap_or(node);
        map.problems().push(
            at.error("global scrape timeout greater than scrape interval")
                .with_hint("lower scrape_timeout or raise scrape_interval"),
        );
    }
    globals.scrape_timeout = timeout
        .unwrap_or(globals.scrape_timeout)
        .min(globals.scrape_interval);
    if let Some(interval) = map.duration("evaluation_interval").filter(|d| !d.is_zero()) {
        globals.evaluation_interval = interval;
    }
    globals.rule_query_offset = map.duration("rule_query_offset").unwrap_or_default();
    globals.external_labels = read_labels(&mut map, "external_labels");
    globals.protocols = read_protocols(&mut map);
    globals.limits = read_limits(&mut map, Limits::default());
    globals.keep_dropped_targets = read_count(&mut map, "keep_dropped_targets").unwrap_or(0);
    globals.legacy_names = read_legacy(&mut map, false);
    globals.extra_scrape_metrics = map.boolean("extra_scrape_metrics").unwrap_or(false);
    read_histogram_keys(&mut map);
    map.ignore(&["query_log_file", "scrape_failure_log_file"]);
    map.finish();
    globals
}

/// Reads `scrape_configs`: bad entries are left out, duplicate job names are problems.
pub fn read_scrape_configs(
    node: &Node,
    globals: &ScrapeGlobals,
    base_dir: &Path,
    problems: &mut Problems,
) -> Vec<ScrapeConfig> {
    let items = bellwether_yaml::Reader::new(problems).list(node, "scrape_configs");
    let mut configs = Vec::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for item in items {
        if item.is_null() {
            problems.push(item.error("empty or null scrape config section"));
            continue;
        }
        let Some(config) = read_scrape_config(item, globals, base_dir, problems) else {
            continue;
        };
        if let Some(line) = seen.insert(config.job_name.clone(), item.line) {
            let at = item.get("job_name").unwrap_or(item);
            problems.push(at.error(format!(
                "found multiple scrape configs with job name {:?}, the first at line {line}",
                config.job_name
            )));
            continue;
        }
        configs.push(config);
    }
    configs
}

pub(super) fn read_scrape_config(
    node: &Node,
    globals: &ScrapeGlobals,
    base_dir: &Path,
    problems: &mut Problems,
) -> Option<ScrapeConfig> {
    let mut map = MapReader::new(node, "scrape config", problems);
    let job_name = map.required_text("job_name");
    let mut config = ScrapeConfig::new(job_name.as_deref().unwrap_or_default(), globals);
    read_times(&mut map, &mut config, globals);
    if let Some(path) = map.text("metrics_path") {
        config.metrics_path = path;
    }
    if let Some(scheme_node) = map.take("scheme") {
        let scheme = map.text("scheme").unwrap_or_default().to_lowercase();
        if matches!(scheme.as_str(), "http" | "https") {
            config.scheme = scheme;
        } else {
            map.problems()
                .push(scheme_node.error(format!("scheme must be http or https, not {scheme:?}")));
        }
    }
    config.params = read_params(&mut map);
    let flag = |map: &mut MapReader<'_, '_>, key, default| map.boolean(key).unwrap_or(default);
    config.honor_labels = flag(&mut map, "honor_labels", false);
    config.honor_timestamps = flag(&mut map, "honor_timestamps", true);
    config.track_timestamps_staleness = flag(&mut map, "track_timestamps_staleness", false);
    config.enable_compression = flag(&mut map, "enable_compression", true);
    config.extra_scrape_metrics = flag(
        &mut map,
        "extra_scrape_metrics",
        globals.extra_scrape_metrics,
    );
    if let Some(protocols) = read_protocols(&mut map) {
        config.protocols = protocols;
    }
    if let Some(fallback_node) = map.take("fallback_scrape_protocol") {
        config.fallback_protocol = read_protocol(fallback_node, map.problems());
    }
    config.limits = read_limits(&mut map, globals.limits);
    config.keep_dropped_targets =
        read_count(&mut map, "keep_dropped_targets").unwrap_or(globals.keep_dropped_targets);
    config.legacy_names = read_legacy(&mut map, globals.legacy_names);
    read_histogram_keys(&mut map);
    map.ignore(&["scrape_failure_log_file"]);
    config.http = read_http(&mut map, base_dir);
    config.discovery = read_discovery(&mut map, base_dir);
    for (key, metric) in [("relabel_configs", false), ("metric_relabel_configs", true)] {
        if let Some(rules_node) = map.take(key) {
            let rules = Relabel::read_list(rules_node, config.legacy_names, map.problems());
            *(if metric {
                &mut config.metric_relabel
            } else {
                &mut config.relabel
            }) = rules;
        }
    }
    map.finish();
    job_name.is_some().then_some(config)
}

fn read_times(map: &mut MapReader<'_, '_>, config: &mut ScrapeConfig, globals: &ScrapeGlobals) {
    let node = map.node();
    if let Some(interval) = map.duration("scrape_interval").filter(|d| !d.is_zero()) {
        config.scrape_interval = interval;
    }
    let timeout = map.duration("scrape_timeout").filter(|d| !d.is_zero());
    if timeout.is_some_and(|timeout| timeout > config.scrape_interval) {
        let at = map.take("scrape_timeout").unwrap_or(node);
        map.problems().push(
            at.error(format!(
                "scrape timeout greater than scrape interval for scrape config with job name {:?}",
                config.job_name
            ))
            .with_hint("lower scrape_timeout or raise scrape_interval"),
        );
    }
    config.scrape_timeout = timeout
        .unwrap_or(globals.scrape_timeout)
        .min(config.scrape_interval);
}

fn read_params(map: &mut MapReader<'_, '_>) -> Vec<(String, Vec<String>)> {
    let Some(node) = map.take("params") else {
        return Vec::new();
    };
    let Some(entries) = node.as_map() else {
        map.problems()
            .push(node.error("params must be a map of names to lists of values"));
        return Vec::new();
    };
    entries
        .iter()
        .map(|(name, values)| {
            let values = match values.as_text() {
                Some(one) => vec![one.to_owned()],
                None => map.reader().texts(values, "params"),
            };
            (name.as_text().unwrap_or_default().to_owned(), values)
        })
        .collect()
}

fn read_protocols(map: &mut MapReader<'_, '_>) -> Option<Vec<ScrapeProtocol>> {
    let node = map.take_or_null("scrape_protocols")?;
    let items = map.reader().list(node, "scrape_protocols");
    if items.is_empty() {
        map.problems()
            .push(node.error("scrape_protocols cannot be empty"));
        return None;
    }
    let mut protocols = Vec::new();
    for item in items {
        if let Some(protocol) = read_protocol(item, map.problems()) {
            if protocols.contains(&protocol) {
                map.problems()
                    .push(item.error("duplicated protocol in scrape_protocols"));
            } else {
                protocols.push(protocol);
            }
        }
    }
    Some(protocols)
}

fn read_protocol(node: &Node, problems: &mut Problems) -> Option<ScrapeProtocol> {
    let text = node.as_text().unwrap_or_default();
    let found = PROTOCOLS.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names = PROTOCOLS.map(|(name, _)| name);
        let hint = match suggest(text, names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("supported: {}", names.join(", ")),
        };
        problems.push(
            node.error(format!("unknown scrape protocol {text:?}"))
                .with_hint(hint),
        );
    }
    found.map(|(_, protocol)| *protocol)
}

fn read_limits(map: &mut MapReader<'_, '_>, default: Limits) -> Limits {
    let mut count = |key, default| read_count(map, key).filter(|n| *n > 0).unwrap_or(default);
    let mut limits = Limits {
        body_size: default.body_size,
        samples: count("sample_limit", default.samples),
        labels: count("label_limit", default.labels),
        label_name_length: count("label_name_length_limit", default.label_name_length),
        label_value_length: count("label_value_length_limit", default.label_value_length),
        targets: count("target_limit", default.targets),
    };
    if let Some(node) = map.take("body_size_limit") {
        match node.as_text().and_then(parse_bytes) {
            Some(0) => {}
            Some(bytes) => limits.body_size = bytes,
            None => map.problems().push(
                node.error("body_size_limit is not a size")
                    .with_hint("write it as 10MB or 512KB"),
            ),
        }
    }
    limits
}

fn read_count(map: &mut MapReader<'_, '_>, key: &'static str) -> Option<usize> {
    let node = map.take(key)?;
    let number = map.integer(key)?;
    usize::try_from(number)
        .map_err(|_| {
            map.problems()
                .push(node.error(format!("{key} must not be negative")));
        })
        .ok()
}

/// Sizes in powers of 1024, with or without the `i`: `512KB`, `10MiB`.
fn parse_bytes(text: &str) -> Option<usize> {
    if text == "0" {
        return Some(0);
    }
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let (number, unit) = text.split_at(digits);
    let power = match unit.trim().replace('i', "").as_str() {
        "B" => 0,
        "KB" | "kB" => 1,
        "MB" => 2,
        "GB" => 3,
        "TB" => 4,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * 1024_f64.powi(power);
    (bytes < 1e15).then_some(bytes as usize)
}

fn read_legacy(map: &mut MapReader<'_, '_>, default: bool) -> bool {
    let legacy = match map.take("metric_name_validation_scheme") {
        None => default,
        Some(node) => match node.as_text() {
            Some("legacy") => true,
            Some("utf8" | "") => false,
            _ => {
                map.problems()
                    .push(node.error("metric_name_validation_scheme must be utf8 or legacy"));
                default
            }
        },
    };
    if let Some(node) = map.take("metric_name_escaping_scheme") {
        let known = ["allow-utf-8", "underscores", "dots", "values"];
        if !node.as_text().is_some_and(|text| known.contains(&text)) {
            map.problems().push(node.error(format!(
                "metric_name_escaping_scheme must be one of {}",
                known.join(", ")
            )));
        }
    }
    legacy
}

/// Keys about native histograms: known, checked, without effect as long as only text is scraped.
fn read_histogram_keys(map: &mut MapReader<'_, '_>) {
    for key in [
        "scrape_native_histograms",
        "always_scrape_classic_histograms",
        "scrape_classic_histograms",
        "convert_classic_histograms_to_nhcb",
    ] {
        if let Some(node) = map.take(key)
            && map.boolean(key) == Some(true)
            && !key.contains("classic_histograms")
        {
            map.problems().push(node.warning(format!(
                "{key}: native histograms are not scraped yet, classic ones are"
            )));
        }
    }
    for key in [
        "native_histogram_bucket_limit",
        "native_histogram_min_bucket_factor",
    ] {
        if map.take(key).is_some() {
            map.number(key);
        }
    }
}

fn read_discovery(map: &mut MapReader<'_, '_>, base_dir: &Path) -> Vec<Discovery> {
    let mut all = Vec::new();
    let mut groups = Vec::new();
    for (index, node) in map.list("static_configs").iter().enumerate() {
        groups.extend(read_static(node, index, map.problems()));
    }
    if !groups.is_empty() {
        all.push(Discovery::Static(groups));
    }
    for node in map.list("file_sd_configs") {
        all.extend(read_file_sd(node, base_dir, map.problems()));
    }
    for node in map.list("http_sd_configs") {
        all.extend(read_http_sd(node, base_dir, map.problems()));
    }
    for key in OTHER_DISCOVERY {
        if let Some(node) = map.take(key) {
            map.problems().push(
                node.warning(format!(
                    "{key} is not supported yet: these targets are not watched"
                ))
                .with_hint("list them with static_configs, file_sd_configs or http_sd_configs"),
            );
        }
    }
    all
}

fn read_static(node: &Node, index: usize, problems: &mut Problems) -> Option<TargetGroup> {
    if node.is_null() {
        problems.push(node.error("empty or null section in static_configs"));
        return None;
    }
    let mut map = MapReader::new(node, "static config", problems);
    let mut targets = Vec::new();
    for item in map.list("targets") {
        let text = map.reader().text(item, "targets").unwrap_or_default();
        match address_fault(&text) {
            None => targets.push(text),
            Some(reason) => map.problems().push(item.error(reason)),
        }
    }
    let labels = read_labels(&mut map, "labels");
    map.finish();
    Some(TargetGroup {
        targets,
        labels,
        source: index.to_string(),
    })
}

/// Why a text is not a target's address.
fn address_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        Some("empty target address".to_owned())
    } else if text.contains('/') {
        Some(format!(
            "{text:?} is not a valid hostname: a target is host:port, without scheme or path"
        ))
    } else {
        None
    }
}

fn read_labels(map: &mut MapReader<'_, '_>, key: &'static str) -> Labels {
    let Some(node) = map.take(key) else {
        return Labels::empty();
    };
    let mut builder = LabelsBuilder::default();
    let Some(entries) = node.as_map() else {
        map.problems()
            .push(node.error(format!("{key} must be a map, not {}", node.kind())));
        return Labels::empty();
    };
    for (name, value) in entries {
        let text = name.as_text().unwrap_or_default();
        if !is_classic_label_name(text) && (text.is_empty() || text.contains('\n')) {
            map.problems()
                .push(name.error(format!("{text:?} is not a valid label name")));
        } else if let Some(value) = map.reader().text(value, key) {
            builder.set(text, &value);
        }
    }
    builder.build()
}

fn read_file_sd(node: &Node, base_dir: &Path, problems: &mut Problems) -> Option<Discovery> {
    let mut map = MapReader::new(node, "file_sd config", problems);
    let mut patterns = Vec::new();
    let files = map.list("files");
    for item in files {
        let text = map.reader().text(item, "files").unwrap_or_default();
        let lower = text.to_lowercase();
        let name = text.rsplit('/').next().unwrap_or_default();
        let known = [".json", ".yml", ".yaml"]
            .iter()
            .any(|end| lower.ends_with(end));
        if !known || name.matches('*').count() > 1 || text.trim_end_matches(name).contains('*') {
            map.problems().push(
                item.error(format!(
                    "path name {text:?} is not valid for file discovery"
                ))
                .with_hint("it ends in .json, .yml or .yaml, with at most one * in the last part"),
            );
            continue;
        }
        patterns.push(base_dir.join(text));
    }
    if files.is_empty() {
        map.problems()
            .push(node.error("file service discovery config must contain at least one path name"));
    }
    let refresh = map
        .duration("refresh_interval")
        .unwrap_or(Duration::from_mins(5));
    map.finish();
    (!patterns.is_empty()).then_some(Discovery::File { patterns, refresh })
}

fn read_http_sd(node: &Node, base_dir: &Path, problems: &mut Problems) -> Option<Discovery> {
    let mut map = MapReader::new(node, "http_sd config", problems);
    let url_node = map.take("url");
    let url = map.required_text("url");
    let refresh = map
        .duration("refresh_interval")
        .filter(|d| !d.is_zero())
        .unwrap_or(Duration::from_mins(1));
    let http = read_http(&mut map, base_dir);
    map.finish();
    let url = url?;
    let fault = match reqwest::Url::parse(&url) {
        Err(error) => Some(error.to_string()),
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => {
            Some("URL scheme must be 'http' or 'https'".to_owned())
        }
        Ok(parsed) if !parsed.has_host() => Some("host is missing in URL".to_owned()),
        Ok(_) => None,
    };
    if let Some(reason) = fault {
        problems.push(url_node.unwrap_or(node).error(reason));
        return None;
    }
    Some(Discovery::Http {
        url,
        refresh,
        http: Box::new(http),
    })
}

#[cfg(test)]
mod tests;
