//! The `probes:` section.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bellwether_model::{Problems, suggest};
use bellwether_yaml::{MapReader, Node, Reader};
use regex::{Regex, RegexBuilder};

use super::{ProbeConfig, ProbeKind};
use crate::config::ScrapeGlobals;
use crate::http::read_http;

/// Compiled size of one pattern.
const PATTERN_BYTES_MAX: usize = 4 << 20;
const KINDS: [&str; 5] = ["http", "tcp", "tls", "dns", "icmp"];

pub(super) fn read_probes(
    node: &Node,
    globals: &ScrapeGlobals,
    problems: &mut Problems,
) -> Vec<ProbeConfig> {
    let mut names = BTreeSet::new();
    let mut probes = Vec::new();
    for item in Reader::new(problems).list(node, "probes") {
        let Some(probe) = read_probe(item, globals, problems) else {
            continue;
        };
        if names.insert(probe.name.clone()) {
            probes.push(probe);
        } else {
            problems.push(item.error(format!("a second probe with the name {:?}", probe.name)));
        }
    }
    probes
}

fn read_probe(
    node: &Node,
    globals: &ScrapeGlobals,
    problems: &mut Problems,
) -> Option<ProbeConfig> {
    let mut map = MapReader::new(node, "probe", problems);
    let target_node = map.take("target").unwrap_or(node);
    let target = map.required_text("target");
    let name = map.text("name").or_else(|| target.clone());
    let kind_node = map.take("type").unwrap_or(node);
    let kind = map.required_text("type");
    let interval = map
        .duration("interval")
        .filter(|d| !d.is_zero())
        .unwrap_or(globals.scrape_interval);
    let timeout_node = map.take("timeout").unwrap_or(node);
    let timeout = map.duration("timeout").filter(|d| !d.is_zero()).unwrap_or(
        globals
            .scrape_timeout
            .min(interval)
            .min(Duration::from_secs(10)),
    );
    if timeout > interval {
        map.problems()
            .push(timeout_node.error("timeout of this probe is greater than its interval"));
    }
    let labels = map.labels("labels");
    let known = kind.as_deref().filter(|kind| KINDS.contains(kind));
    if let (Some(kind), None) = (&kind, known) {
        let hint = match suggest(kind, KINDS) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("one of {}", KINDS.join(", ")),
        };
        map.problems().push(
            kind_node
                .error(format!("unknown type of probe {kind:?}"))
                .with_hint(hint),
        );
        return None;
    }
    let read = read_kind(known?, &mut map);
    map.finish();
    let (name, target) = (name?, target?);
    if let Some(reason) = target_fault(&read, &target) {
        problems.push(target_node.error(reason));
        return None;
    }
    Some(ProbeConfig {
        name,
        target,
        kind: read,
        interval,
        timeout,
        labels,
    })
}

fn read_kind(kind: &str, map: &mut MapReader<'_, '_>) -> ProbeKind {
    match kind {
        "http" => {
            let mut status = Vec::new();
            for item in map.list("status") {
                match map.reader().integer(item, "status").map(u16::try_from) {
                    Some(Ok(code)) if (100..600).contains(&code) => status.push(code),
                    Some(_) => map
                        .problems()
                        .push(item.error("status must be between 100 and 599")),
                    None => {}
                }
            }
            ProbeKind::Http {
                method: map
                    .text("method")
                    .unwrap_or_else(|| "GET".to_owned())
                    .to_uppercase(),
                body: map.text("body"),
                status,
                body_matches: patterns(map, "body_matches"),
                body_not_matches: patterns(map, "body_not_matches"),
                min_days: map.number("min_days"),
                http: Box::new(read_http(map, Path::new(""))),
            }
        }
        "tls" => ProbeKind::Tls {
            min_days: map.number("min_days"),
            server_name: map.text("server_name"),
            insecure_skip_verify: map.boolean("insecure_skip_verify").unwrap_or(false),
        },
        "dns" => {
            let record_node = map.take("record");
            let record = map
                .text("record")
                .unwrap_or_else(|| "ANY".to_owned())
                .to_uppercase();
            if let (Some(node), false) =
                (record_node, matches!(record.as_str(), "A" | "AAAA" | "ANY"))
            {
                map.problems()
                    .push(node.error("record must be A, AAAA or ANY"));
            }
            ProbeKind::Dns {
                record,
                expect: map.texts("expect"),
            }
        }
        "tcp" => ProbeKind::Tcp,
        _ => ProbeKind::Icmp,
    }
}

/// One pattern or a list of them.
fn patterns(map: &mut MapReader<'_, '_>, key: &'static str) -> Vec<Regex> {
    let Some(node) = map.take(key) else {
        return Vec::new();
    };
    let items = match node.as_list() {
        Some(items) => items,
        None => std::slice::from_ref(node),
    };
    let mut compiled = Vec::new();
    for item in items {
        let text = map.reader().text(item, key).unwrap_or_default();
        match RegexBuilder::new(&text)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
        {
            Ok(pattern) => compiled.push(pattern),
            Err(error) => {
                let reason = error.to_string();
                let last = reason
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim()
                    .trim_start_matches("error: ")
                    .to_owned();
                map.problems()
                    .push(item.error(format!("{key} is not a regular expression: {last}")));
            }
        }
    }
    compiled
}

fn target_fault(kind: &ProbeKind, target: &str) -> Option<String> {
    match kind {
        ProbeKind::Http { .. } => match reqwest::Url::parse(target) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => None,
            _ => Some(format!(
                "target of an http probe must be a URL with http or https, not {target:?}"
            )),
        },
        ProbeKind::Tcp | ProbeKind::Tls { .. } => {
            let fits = target.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
            });
            (!fits).then(|| format!("target of this probe must be host:port, not {target:?}"))
        }
        ProbeKind::Dns { .. } | ProbeKind::Icmp => (target.contains('/') || target.contains(' '))
            .then(|| {
                format!("target of this probe must be a host name or address, not {target:?}")
            }),
    }
}
