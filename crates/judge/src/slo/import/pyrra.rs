//! Pyrra: `apiVersion: pyrra.dev/v1alpha1`, `kind: ServiceLevelObjective`.

use bellwether_model::duration::parse_duration;
use bellwether_yaml::Node;

use crate::slo::import::{Entry, Importing, at, label_name, pairs, query, take, text_at};

/// Reads one document.
pub(super) fn read(document: &Node, importing: &mut Importing<'_>) {
    let Some(name) = text_at(document, &["metadata", "name"]) else {
        importing.error(document, "this objective has no metadata.name", "");
        return;
    };
    let Some(spec) = document.get("spec") else {
        importing.error(document, "this objective has no spec", "");
        return;
    };
    let Some(objective) = text_at(spec, &["target"]).and_then(|text| text.parse().ok()) else {
        importing.error(spec, "target must be a percentage", "target: \"99.5\"");
        return;
    };
    let Some(indicator) = at(spec, &["indicator"]) else {
        importing.error(spec, "this objective has no indicator", "");
        return;
    };
    let Some((part, total)) = counts(indicator, importing) else {
        return;
    };
    // Labels and annotations with this prefix are for the alerts, the others for Kubernetes.
    let own = |node: Option<&Node>| -> Vec<(String, String)> {
        pairs(node)
            .into_iter()
            .filter_map(|(name, value)| Some((label_name(name.strip_prefix("pyrra.dev/")?), value)))
            .collect()
    };
    let mut labels = own(at(document, &["metadata", "labels"]));
    let mut annotations = own(at(document, &["metadata", "annotations"]));
    let disabled = text_at(spec, &["alerting", "disabled"]) == Some("true")
        || text_at(spec, &["alerting", "burnrates"]) == Some("false");
    let entry = Entry {
        name: name.to_owned(),
        service: text_at(document, &["metadata", "namespace"])
            .unwrap_or_default()
            .to_owned(),
        description: text_at(spec, &["description"])
            .unwrap_or_default()
            .to_owned(),
        objective,
        window: text_at(spec, &["window"]).unwrap_or("4w").to_owned(),
        part,
        total,
        owner: take(&mut labels, &["owner", "team"]),
        runbook: take(&mut annotations, &["runbook", "runbook_url"]),
        labels,
        alerting: !disabled,
        alert_name: text_at(spec, &["alerting", "name"])
            .unwrap_or_default()
            .to_owned(),
        severities: (true, true),
        annotations,
        ..Entry::default()
    };
    importing.add(entry, document);
}

type Part = (&'static str, String);

fn counts(indicator: &Node, importing: &mut Importing<'_>) -> Option<(Part, String)> {
    let first = |names: &[&str]| names.iter().find_map(|name| at(indicator, &[name]));
    let kind = first(&[
        "ratio",
        "latency",
        "latencyNative",
        "bool_gauge",
        "boolGauge",
    ]);
    if let Some(grouping) = kind.and_then(|kind| at(kind, &["grouping"])) {
        importing.warning(
            grouping,
            "grouping is left out: all groups count together, as one objective",
        );
    }
    if let Some(ratio) = first(&["ratio"]) {
        let errors = metric(ratio, "errors", importing);
        let total = metric(ratio, "total", importing);
        return Some((("errors", summed(&errors?)?), summed(&total?)?));
    }
    if let Some(latency) = first(&["latency"]) {
        let good = metric(latency, "success", importing);
        let total = metric(latency, "total", importing);
        return Some((("good", summed(&good?)?), summed(&total?)?));
    }
    if let Some(native) = first(&["latencyNative", "latency_native"]) {
        let total = metric(native, "total", importing)?;
        let Some(below) = text_at(native, &["latency"]).and_then(|t| parse_duration(t).ok()) else {
            importing.error(native, "latency must be a duration", "latency: 100ms");
            return None;
        };
        let events = summed(&total)?;
        return Some((
            (
                "good",
                format!(
                    "histogram_fraction(0, {}, {events}) * histogram_count({events})",
                    below.as_secs_f64()
                ),
            ),
            format!("histogram_count({events})"),
        ));
    }
    if let Some(gauge) = first(&["bool_gauge", "boolGauge"]) {
        let metric = metric(gauge, "", importing)?;
        return Some((
            (
                "good",
                format!("sum(sum_over_time({metric}[{{{{window}}}}]))"),
            ),
            format!("sum(count_over_time({metric}[{{{{window}}}}]))"),
        ));
    }
    importing.error(
        indicator,
        "an indicator of this kind cannot be imported",
        "known are ratio, latency, latencyNative and bool_gauge",
    );
    None
}

/// `key.metric`, a selector.
fn metric(node: &Node, key: &str, importing: &mut Importing<'_>) -> Option<String> {
    let path: Vec<&str> = [key, "metric"]
        .into_iter()
        .filter(|k| !k.is_empty())
        .collect();
    let Some(found) = at(node, &path).filter(|node| node.as_text().is_some()) else {
        importing.error(node, format!("{} is missing", path.join(".")), "");
        return None;
    };
    let text = found.as_text().unwrap_or_default();
    if let Err(message) = query::counted(text, true) {
        importing.error(found, message, "it must be the selector of a metric");
        return None;
    }
    Some(text.trim().to_owned())
}

fn summed(selector: &str) -> Option<String> {
    let counted = query::counted(selector, true).ok()?;
    Some(format!("sum({counted})"))
}
