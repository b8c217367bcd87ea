//! OpenSLO v1 (`apiVersion: openslo/v1`): SLO, SLI, Service, AlertPolicy, AlertCondition in one file.

use std::collections::BTreeMap;

use bellwether_yaml::Node;

use crate::slo::import::{Entry, Importing, at, label_name, pairs, query, take, text_at};

/// Reads all documents of a file; they may refer to each other.
pub(super) fn read(documents: &[&Node], importing: &mut Importing<'_>) {
    let mut indicators: BTreeMap<&str, &Node> = BTreeMap::new();
    for document in documents {
        let version = text_at(document, &["apiVersion"]).unwrap_or_default();
        if version != "openslo/v1" {
            importing.error(
                document,
                format!("apiVersion {version} is not known"),
                "convert it to openslo/v1",
            );
        }
        if text_at(document, &["kind"]) == Some("SLI")
            && let (Some(name), Some(spec)) = (
                text_at(document, &["metadata", "name"]),
                document.get("spec"),
            )
        {
            indicators.insert(name, spec);
        }
    }
    for document in documents {
        match text_at(document, &["kind"]).unwrap_or_default() {
            "SLO" => slo(document, &indicators, importing),
            "SLI" | "Service" | "DataSource" => {}
            "AlertPolicy" | "AlertCondition" | "AlertNotificationTarget" => importing.warning(
                document,
                "alerts of OpenSLO are left out: objectives get their own, over several windows",
            ),
            kind => importing.error(document, format!("kind {kind:?} is not known"), ""),
        }
    }
}

fn slo(document: &Node, indicators: &BTreeMap<&str, &Node>, importing: &mut Importing<'_>) {
    let Some(name) = text_at(document, &["metadata", "name"]) else {
        importing.error(document, "this SLO has no metadata.name", "");
        return;
    };
    let Some(spec) = document.get("spec") else {
        importing.error(document, "this SLO has no spec", "");
        return;
    };
    let indicator = match (
        at(spec, &["indicator", "spec"]),
        text_at(spec, &["indicatorRef"]),
    ) {
        (Some(node), _) => node,
        (None, Some(reference)) => match indicators.get(reference) {
            Some(node) => node,
            None => {
                importing.error(
                    spec,
                    format!("indicatorRef {reference:?} names no SLI of this file"),
                    "put the SLI into the same file",
                );
                return;
            }
        },
        (None, None) => {
            importing.error(spec, "this SLO has neither indicator nor indicatorRef", "");
            return;
        }
    };
    let Some(objectives) = at(spec, &["objectives"]).and_then(Node::as_list) else {
        importing.error(spec, "this SLO has no objectives", "");
        return;
    };
    let window = window(spec, importing);
    let mut labels: Vec<(String, String)> = pairs(at(document, &["metadata", "labels"]))
        .into_iter()
        .map(|(name, value)| (label_name(&name), value))
        .collect();
    let owner = take(&mut labels, &["owner", "team"]);
    let mut annotations = pairs(at(document, &["metadata", "annotations"]));
    let runbook = take(&mut annotations, &["runbook", "runbook_url"]);
    let description = text_at(spec, &["description"])
        .or_else(|| text_at(document, &["metadata", "displayName"]))
        .unwrap_or_default();
    for (index, objective) in objectives.iter().enumerate() {
        let Some(target) = target(objective, importing) else {
            continue;
        };
        let Some((part, total)) = counts(indicator, spec, objective, importing) else {
            continue;
        };
        let entry = Entry {
            name: match objectives.len() {
                1 => name.to_owned(),
                _ => format!("{name}-{}", index + 1),
            },
            service: text_at(spec, &["service"]).unwrap_or_default().to_owned(),
            description: description.to_owned(),
            objective: target,
            window: window.clone(),
            part,
            total,
            labels: labels.clone(),
            owner: owner.clone(),
            runbook: runbook.clone(),
            alerting: true,
            severities: (true, true),
            ..Entry::default()
        };
        importing.add(entry, objective);
    }
}

/// Percent.
fn target(objective: &Node, importing: &mut Importing<'_>) -> Option<f64> {
    let number = |key: &str| -> Option<f64> { text_at(objective, &[key])?.parse().ok() };
    let target = number("targetPercent").or_else(|| number("target").map(|share| share * 100.0));
    if target.is_none() {
        importing.error(
            objective,
            "this objective has neither target nor targetPercent",
            "target: 0.99",
        );
    }
    target
}

/// Duration of the budget; OpenSLO also has months, quarters and years.
fn window(spec: &Node, importing: &mut Importing<'_>) -> String {
    let Some(node) = at(spec, &["timeWindow"])
        .and_then(Node::as_list)
        .and_then(<[Node]>::first)
    else {
        return "30d".to_owned();
    };
    if text_at(node, &["isRolling"]) == Some("false") {
        importing.warning(node, "windows of the calendar roll here");
    }
    let text = text_at(node, &["duration"]).unwrap_or("30d");
    let days = |suffix: char, days: u64| -> Option<String> {
        let count: u64 = text.strip_suffix(suffix)?.parse().ok()?;
        Some(format!("{}d", count.checked_mul(days)?))
    };
    days('M', 30)
        .or_else(|| days('Q', 90))
        .or_else(|| days('Y', 365))
        .unwrap_or_else(|| text.to_owned())
}

type Part = (&'static str, String);

fn counts(
    indicator: &Node,
    spec: &Node,
    objective: &Node,
    importing: &mut Importing<'_>,
) -> Option<(Part, String)> {
    let method = text_at(spec, &["budgetingMethod"]).unwrap_or("Occurrences");
    let slice = text_at(objective, &["timeSliceWindow"]).unwrap_or("1m");
    if let Some(threshold) = at(indicator, &["thresholdMetric"]) {
        return threshold_counts(threshold, objective, slice, importing);
    }
    let Some(ratio) = at(indicator, &["ratioMetric"]) else {
        importing.error(
            indicator,
            "this indicator has neither ratioMetric nor thresholdMetric",
            "",
        );
        return None;
    };
    if let Some(raw) = at(ratio, &["raw"]) {
        let node = prometheus_query(raw, importing)?;
        let part = match text_at(ratio, &["rawType"]) {
            Some("success") => "good",
            _ => "errors",
        };
        return match query::minutes(node.as_text().unwrap_or_default()) {
            Ok((bad, total)) => {
                importing.warning(
                    node,
                    "a ratio without its events: minutes are counted, so traffic has no weight",
                );
                Some(((part, bad), total))
            }
            Err(message) => {
                importing.error(node, message, "the query must be PromQL");
                None
            }
        };
    }
    let is_counter = text_at(ratio, &["counter"]) != Some("false");
    let (part, node) = match (at(ratio, &["good"]), at(ratio, &["bad"])) {
        (Some(node), _) => ("good", node),
        (None, Some(node)) => ("errors", node),
        (None, None) => {
            importing.error(ratio, "this ratioMetric has neither good nor bad", "");
            return None;
        }
    };
    let Some(total) = at(ratio, &["total"]) else {
        importing.error(ratio, "this ratioMetric has no total", "");
        return None;
    };
    let (node, total) = (
        prometheus_query(node, importing)?,
        prometheus_query(total, importing)?,
    );
    let counted = importing.counted(node, is_counter);
    let (counted, total) = (counted?, importing.counted(total, is_counter)?);
    if method == "Occurrences" {
        return Some(((part, counted), total));
    }
    // Time slices: a slice is good when its share of good events reaches the target of slices.
    let Some(wanted) = text_at(objective, &["timeSliceTarget"]).and_then(|t| t.parse::<f64>().ok())
    else {
        importing.error(
            objective,
            format!("{method} needs timeSliceTarget"),
            "timeSliceTarget: 0.99",
        );
        return None;
    };
    let (counted, total) = (
        counted.replace("{{window}}", slice),
        total.replace("{{window}}", slice),
    );
    let good = match part {
        "good" => format!("sum({counted}) / sum({total}) >= bool {wanted}"),
        _ => format!("1 - sum({counted}) / sum({total}) >= bool {wanted}"),
    };
    Some((
        (
            "good",
            format!("sum_over_time(({good})[{{{{window}}}}:{slice}])"),
        ),
        format!("count_over_time((sum({total}) > 0)[{{{{window}}}}:{slice}])"),
    ))
}

/// A value is good or bad by itself: each slice counts as one event.
fn threshold_counts(
    threshold: &Node,
    objective: &Node,
    slice: &str,
    importing: &mut Importing<'_>,
) -> Option<(Part, String)> {
    let node = prometheus_query(threshold, importing)?;
    let text = node.as_text().unwrap_or_default().trim();
    if let Err(error) = bellwether_promql::parse(text, &bellwether_promql::ParserOptions::default())
    {
        importing.error(node, format!("query: {error}"), "the query must be PromQL");
        return None;
    }
    let op = match text_at(objective, &["op"]) {
        Some("lt") => "<",
        Some("lte") => "<=",
        Some("gt") => ">",
        Some("gte") => ">=",
        _ => {
            importing.error(
                objective,
                "a thresholdMetric needs op: lt, lte, gt or gte",
                "op: lte",
            );
            return None;
        }
    };
    let Some(value) = text_at(objective, &["value"]).and_then(|text| text.parse::<f64>().ok())
    else {
        importing.error(objective, "a thresholdMetric needs a value", "value: 0.5");
        return None;
    };
    Some((
        (
            "good",
            format!("sum(sum_over_time((({text}) {op} bool {value})[{{{{window}}}}:{slice}]))"),
        ),
        format!("sum(count_over_time(({text})[{{{{window}}}}:{slice}]))"),
    ))
}

/// `metricSource.spec.query` (older files: `metricSource.metricSourceRef` beside it).
fn prometheus_query<'n>(node: &'n Node, importing: &mut Importing<'_>) -> Option<&'n Node> {
    let source = at(node, &["metricSource"]).unwrap_or(node);
    if let Some(kind) = text_at(source, &["type"])
        && !kind.eq_ignore_ascii_case("prometheus")
    {
        importing.error(
            source,
            format!("a metric source of type {kind} cannot be asked"),
            "type: Prometheus",
        );
        return None;
    }
    let found = at(source, &["spec", "query"]).or_else(|| at(source, &["spec", "promql"]));
    if found.is_none() {
        importing.error(source, "metricSource.spec has no query", "");
    }
    found
}
