//! Sloth: `version: prometheus/v1`, and `PrometheusServiceLevel` of its Kubernetes controller.

use bellwether_yaml::Node;

use crate::slo::import::{Entry, Importing, at, pairs, query, take, text_at};

/// Reads one document.
pub(super) fn read(document: &Node, importing: &mut Importing<'_>) {
    // The Kubernetes form has everything below `spec`, in camel case.
    let (root, keys) = match document.get("spec") {
        Some(spec) => (spec, &CAMEL),
        None => (document, &SNAKE),
    };
    let service = text_at(root, &["service"]).unwrap_or_default();
    if service.is_empty() {
        importing.error(root, "this file names no service", "add `service:`");
    }
    let common = pairs(root.get("labels"));
    let Some(list) = at(root, &["slos"]).and_then(Node::as_list) else {
        importing.error(root, "this file has no slos", "");
        return;
    };
    for node in list {
        if let Some(entry) = slo(node, service, &common, keys, importing) {
            importing.add(entry, node);
        }
    }
}

/// Names of keys that the two forms write differently.
struct Keys {
    error_query: &'static str,
    total_query: &'static str,
    error_ratio_query: &'static str,
    page: &'static str,
    ticket: &'static str,
}

const SNAKE: Keys = Keys {
    error_query: "error_query",
    total_query: "total_query",
    error_ratio_query: "error_ratio_query",
    page: "page_alert",
    ticket: "ticket_alert",
};
const CAMEL: Keys = Keys {
    error_query: "errorQuery",
    total_query: "totalQuery",
    error_ratio_query: "errorRatioQuery",
    page: "pageAlert",
    ticket: "ticketAlert",
};

fn slo(
    node: &Node,
    service: &str,
    common: &[(String, String)],
    keys: &Keys,
    importing: &mut Importing<'_>,
) -> Option<Entry> {
    let Some(name) = text_at(node, &["name"]) else {
        importing.error(node, "this slo has no name", "");
        return None;
    };
    let Some(objective) = text_at(node, &["objective"]).and_then(|text| text.parse().ok()) else {
        importing.error(
            node,
            "this slo has no objective in percent",
            "objective: 99.9",
        );
        return None;
    };
    let (errors, total) = indicator(node, keys, importing)?;
    let mut labels = common.to_vec();
    for (name, value) in pairs(node.get("labels")) {
        labels.retain(|(known, _)| *known != name);
        labels.push((name, value));
    }
    let owner = take(&mut labels, &["owner", "team"]);
    let alerting = node.get("alerting");
    let mut annotations = pairs(alerting.and_then(|a| a.get("annotations")));
    let runbook = take(&mut annotations, &["runbook", "runbook_url"]);
    let alert_labels = pairs(alerting.and_then(|a| a.get("labels")));
    let of = |key: &str| alerting.and_then(|a| a.get(key));
    let with = |key: &str| {
        let mut all = alert_labels.clone();
        for (name, value) in pairs(of(key).and_then(|a| a.get("labels"))) {
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        }
        all
    };
    for key in [keys.page, keys.ticket] {
        if let Some(node) = of(key).and_then(|alert| alert.get("annotations")) {
            importing.warning(node, format!("annotations of {key} alone are left out"));
        }
    }
    let disabled = |key: &str| of(key).and_then(|a| text_at(a, &["disable"])) == Some("true");
    Some(Entry {
        // As Sloth's own id: unique over services.
        name: format!("{service}-{name}"),
        service: service.to_owned(),
        description: text_at(node, &["description"])
            .unwrap_or_default()
            .to_owned(),
        objective,
        window: "30d".to_owned(),
        part: ("errors", errors),
        total,
        labels,
        owner,
        runbook,
        alerting: !(disabled(keys.page) && disabled(keys.ticket)),
        alert_name: alerting
            .and_then(|a| text_at(a, &["name"]))
            .unwrap_or_default()
            .to_owned(),
        severities: (!disabled(keys.page), !disabled(keys.ticket)),
        page_labels: with(keys.page),
        ticket_labels: with(keys.ticket),
        annotations,
    })
}

fn indicator(node: &Node, keys: &Keys, importing: &mut Importing<'_>) -> Option<(String, String)> {
    let Some(sli) = at(node, &["sli"]) else {
        importing.error(node, "this slo has no sli", "");
        return None;
    };
    if let Some(events) = at(sli, &["events"]) {
        let (Some(errors), Some(total)) =
            (events.get(keys.error_query), events.get(keys.total_query))
        else {
            let message = format!("events needs {} and {}", keys.error_query, keys.total_query);
            importing.error(events, message, "");
            return None;
        };
        let errors = importing.counted(errors, true);
        return Some((errors?, importing.counted(total, true)?));
    }
    if let Some(ratio) = at(sli, &["raw", keys.error_ratio_query]) {
        return match query::minutes(ratio.as_text().unwrap_or_default()) {
            Ok(counts) => {
                importing.warning(
                    ratio,
                    "a ratio without its events: bad minutes are counted, so traffic has no weight",
                );
                Some(counts)
            }
            Err(message) => {
                importing.error(ratio, message, "the query must be PromQL");
                None
            }
        };
    }
    importing.error(
        sli,
        "an sli of this kind cannot be imported",
        "plugins are programs: write their queries as `events`",
    );
    None
}
