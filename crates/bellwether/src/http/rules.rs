//! Rules and alerts in the words of Prometheus' API.

use bellwether_judge::{AlertState, AlertStatus, Health, RuleKind, RuleStatus, Status};
use bellwether_promql::parse_metric_selector;
use serde_json::{Value, json};

use crate::http::prometheus::format_float;

const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

fn alert_json(alert: &AlertStatus) -> Value {
    let mut value = json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": alert.state.as_str(),
        "activeAt": alert.active_at.to_string(),
        "value": format_exponent(alert.value),
    });
    if let Some(since) = alert.keep_firing_since {
        value["keepFiringSince"] = json!(since.to_string());
    }
    value
}

/// Go's `strconv.FormatFloat(v, 'e', -1, 64)`, which Prometheus uses for an alert's value.
fn format_exponent(value: f64) -> String {
    if !value.is_finite() {
        return format_float(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn rule_json(rule: &RuleStatus, seconds: f64, exclude_alerts: bool) -> Value {
    let health = match rule.health {
        Health::Unknown => "unknown",
        Health::Ok => "ok",
        Health::Error => "err",
    };
    let mut value = json!({
        "name": rule.name,
        "query": rule.query,
        "labels": rule.labels,
        "health": health,
        "evaluationTime": seconds,
        "lastEvaluation": rule.last_evaluation.map_or_else(|| ZERO_TIME.to_owned(), |t| t.to_string()),
        "type": if rule.kind == RuleKind::Alerting { "alerting" } else { "recording" },
    });
    if !rule.last_error.is_empty() {
        value["lastError"] = json!(rule.last_error);
    }
    if rule.kind == RuleKind::Alerting {
        value["state"] = json!(rule.state.as_str());
        value["duration"] = json!(rule.hold.as_secs_f64());
        value["keepFiringFor"] = json!(rule.keep_firing_for.as_secs_f64());
        value["annotations"] = json!(rule.annotations);
        let alerts: Vec<Value> = if exclude_alerts {
            Vec::new()
        } else {
            rule.alerts.iter().map(alert_json).collect()
        };
        value["alerts"] = json!(alerts);
    }
    value
}

/// `/api/v1/rules`, with its filters `type`, `rule_name[]`, `rule_group[]`, `file[]`, `match[]` and `exclude_alerts`.
pub fn rules_json(status: &Status, params: &dyn Fn(&str) -> Vec<String>) -> Value {
    let kind = params("type").pop();
    let (names, groups, files) = (
        params("rule_name[]"),
        params("rule_group[]"),
        params("file[]"),
    );
    let exclude_alerts = params("exclude_alerts")
        .iter()
        .any(|value| value == "true" || value == "1");
    let selectors: Vec<_> = params("match[]")
        .iter()
        .filter_map(|text| parse_metric_selector(text).ok())
        .collect();
    let any =
        |all: &[String], name: &str| all.is_empty() || all.iter().any(|wanted| wanted == name);
    let wanted = |rule: &RuleStatus| {
        let of_kind = match kind.as_deref() {
            Some("alert") => rule.kind == RuleKind::Alerting,
            Some("record") => rule.kind == RuleKind::Recording,
            _ => true,
        };
        let matching = selectors.is_empty()
            || selectors
                .iter()
                .any(|all| all.iter().all(|m| m.matches_labels(&rule.labels)));
        of_kind && matching && any(&names, &rule.name)
    };
    let all: Vec<Value> = status
        .groups
        .iter()
        .filter(|group| any(&groups, &group.name) && any(&files, &group.file))
        .filter_map(|group| {
            let seconds = group.evaluation_time.as_secs_f64();
            let rules: Vec<Value> = group
                .rules
                .iter()
                .filter(|rule| wanted(rule))
                .map(|rule| rule_json(rule, seconds / group.rules.len().max(1) as f64, exclude_alerts))
                .collect();
            (!rules.is_empty() || group.rules.is_empty()).then(|| {
                json!({
                    "name": group.name,
                    "file": group.file,
                    "interval": group.interval.as_secs_f64(),
                    "limit": group.limit,
                    "rules": rules,
                    "evaluationTime": seconds,
                    "lastEvaluation": group.last_evaluation.map_or_else(|| ZERO_TIME.to_owned(), |t| t.to_string()),
                })
            })
        })
        .collect();
    json!({"groups": all})
}

/// `/api/v1/alerts`.
pub fn alerts_json(status: &Status) -> Value {
    let all: Vec<Value> = status
        .alerts()
        .filter(|(_, _, alert)| alert.state != AlertState::Inactive)
        .map(|(_, _, alert)| alert_json(alert))
        .collect();
    json!({"alerts": all})
}
