//! Symptom or cause: evidence in the expression and the labels, weighed and shown.
//!
//! After "Site Reliability Engineering" (O'Reilly 2016), chapter 6: page on what users feel and on harm that is about to
//! come; causes explain, they do not page.

use bellwether_model::MatchOp;
use bellwether_promql::Expr;
use bellwether_promql::ast::{BinaryOp, VectorSelector};
use serde::Serialize;

use crate::lint::shape::{any, calls, is_comparison, is_number, labels, metric, selectors};
use crate::lint::{Finding, Level, Subject};
use crate::rules::RuleConfig;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// What users feel.
    Symptom,
    /// Harm that comes unless somebody acts: a full disk, an expired certificate.
    Harm,
    /// Why users may feel something.
    Cause,
    Unknown,
}

/// What an alert is about, and what in it says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub nature: Nature,
    /// Towards a symptom.
    pub symptom: Vec<String>,
    /// Towards imminent harm.
    pub harm: Vec<String>,
    /// Towards a cause.
    pub cause: Vec<String>,
}

/// Parts of names that are about requests of users.
const EDGE: [&str; 12] = [
    "request",
    "http",
    "grpc",
    "rpc",
    "probe",
    "ingress",
    "response",
    "transaction",
    "query_duration",
    "apdex",
    "latency",
    "web",
];
const ERRORS: [&str; 9] = [
    "error",
    "fail",
    "exception",
    "reject",
    "5xx",
    "drop",
    "timeout",
    "refused",
    "abort",
];
const SLO: [&str; 7] = [
    "slo:",
    "burnrate",
    "burn_rate",
    "error_ratio",
    "errors:ratio",
    "apdex",
    "sli_error",
];
const AGE: [&str; 6] = [
    "oldest",
    "_age",
    "last_success",
    "freshness",
    "queue_time",
    "queueing",
];
const HARM: [&str; 10] = [
    "cert",
    "not_after",
    "expir",
    "filesystem",
    "disk_free",
    "avail_bytes",
    "quota",
    "inodes",
    "wraparound",
    "volume_stats",
];
const CAUSE: [&str; 30] = [
    "cpu",
    "memory",
    "mem_",
    "_mem",
    "load1",
    "load5",
    "load15",
    "gc_",
    "goroutines",
    "threads",
    "open_fds",
    "file_descriptors",
    "pool",
    "cache_hit",
    "hit_ratio",
    "replication_lag",
    "replication",
    "restart",
    "saturation",
    "swap",
    "conntrack",
    "io_time",
    "iowait",
    "heap",
    "oom",
    "temperature",
    "entropy",
    "network_receive",
    "network_transmit",
    "connections",
];

/// Weighs a rule.
pub(super) fn judge(rule: &RuleConfig) -> Verdict {
    let expr = &rule.expr;
    let mut verdict = Verdict {
        nature: Nature::Unknown,
        symptom: Vec::new(),
        harm: Vec::new(),
        cause: Vec::new(),
    };
    names(expr, &mut verdict);
    ratios(expr, &mut verdict);
    counts(expr, &mut verdict);
    if calls(expr, &["predict_linear"]) {
        verdict.harm.push("predict_linear looks ahead".to_owned());
    }
    if calls(expr, &["absent", "absent_over_time"]) {
        verdict
            .symptom
            .push("asks whether something is there at all".to_owned());
    }
    if labels(expr).may_have("instance") && !any(expr, |e| matches!(e, Expr::Aggregate(_))) {
        verdict
            .cause
            .push("one alert per instance, which is not what users see".to_owned());
    }
    for list in [&mut verdict.symptom, &mut verdict.harm, &mut verdict.cause] {
        list.sort();
        list.dedup();
    }
    let declared = rule
        .labels
        .iter()
        .find(|(name, _)| name == "alert_type")
        .map(|(_, text)| text.as_str());
    let (symptom, harm, cause) = (
        verdict.symptom.len() * 2,
        verdict.harm.len() * 2,
        verdict.cause.len(),
    );
    verdict.nature = match declared {
        Some("symptom") => {
            verdict.symptom.push("says alert_type symptom".to_owned());
            Nature::Symptom
        }
        Some("cause") => {
            verdict.cause.push("says alert_type cause".to_owned());
            Nature::Cause
        }
        _ if symptom > 0 && symptom >= cause => Nature::Symptom,
        _ if harm > 0 && harm >= cause => Nature::Harm,
        _ if cause > 1 || (cause == 1 && !verdict.cause[0].starts_with("one alert per")) => {
            Nature::Cause
        }
        _ => Nature::Unknown,
    };
    verdict
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    if subject.level != Level::Page || subject.verdict.nature != Nature::Cause {
        return;
    }
    subject
        .find(
            findings,
            "page-on-cause",
            "expr",
            format!(
                "pages ({}) on a cause: {}",
                subject.level_why,
                subject.verdict.cause.join("; ")
            ),
        )
        .hint("make it severity: context, to be shown at the page of the symptom it explains, or severity: ticket");
}

fn contains(name: &str, parts: &[&'static str]) -> Option<&'static str> {
    parts.iter().find(|part| name.contains(**part)).copied()
}

/// Whether a selector only takes what went wrong.
fn selects_errors(selector: &VectorSelector) -> bool {
    let by_name = metric(selector).is_some_and(|name| contains(name, &ERRORS).is_some());
    by_name
        || selector.matchers.iter().any(|m| {
            matches!(
                &*m.name,
                "code"
                    | "status"
                    | "status_code"
                    | "http_status"
                    | "grpc_code"
                    | "result"
                    | "outcome"
            ) && (m.value.starts_with('5')
                || m.op == MatchOp::NotEqual
                || contains(&m.value, &ERRORS).is_some())
        })
}

fn names(expr: &Expr, verdict: &mut Verdict) {
    for selector in selectors(expr) {
        let Some(name) = metric(selector) else {
            continue;
        };
        let lower = name.to_ascii_lowercase();
        if contains(&lower, &SLO).is_some() {
            verdict.symptom.push(format!("{name} is a service level"));
            continue;
        }
        if lower == "up" || lower.ends_with(":up") {
            if any(expr, |e| matches!(e, Expr::Aggregate(_))) {
                verdict
                    .symptom
                    .push(format!("share of targets that are {name}"));
            } else {
                verdict
                    .cause
                    .push("a single target that is down".to_owned());
            }
            continue;
        }
        if lower.starts_with("probe_success") {
            verdict.symptom.push("a probe asks as users do".to_owned());
            continue;
        }
        if let Some(part) = contains(&lower, &HARM) {
            verdict.harm.push(format!("{name} ({part})"));
        } else if let Some(part) = contains(&lower, &CAUSE) {
            verdict.cause.push(format!("{name} ({part})"));
        } else if contains(&lower, &AGE).is_some() {
            verdict.symptom.push(format!("{name}: how old work is"));
        }
        let slow = ["duration", "latency", "response_time", "seconds_bucket"];
        if contains(&lower, &slow).is_some()
            && contains(&lower, &EDGE).is_some()
            && (calls(expr, &["histogram_quantile"]) || lower.ends_with("_bucket"))
        {
            verdict.symptom.push(format!("{name}: how long users wait"));
        }
    }
}

/// Errors over all of the same kind.
fn ratios(expr: &Expr, verdict: &mut Verdict) {
    expr.walk(&mut |node| {
        let Expr::Binary(binary) = node else { return };
        if binary.op != BinaryOp::Div {
            return;
        }
        let (above, below) = (selectors(&binary.lhs), selectors(&binary.rhs));
        let errors = above.iter().any(|s| selects_errors(s));
        let (Some(first), Some(second)) = (
            above.first().and_then(|s| metric(s)),
            below.first().and_then(|s| metric(s)),
        ) else {
            return;
        };
        let same_family = family(first) == family(second);
        let requests = contains(&second.to_ascii_lowercase(), &EDGE).is_some();
        if errors && (same_family || requests) {
            verdict
                .symptom
                .push(format!("share of failures: {first} over {second}"));
        }
    });
}

/// The beginning of a name that its metrics share.
fn family(name: &str) -> String {
    let parts: Vec<&str> = name.split(['_', ':']).collect();
    parts[..parts.len().min(3)].join("_")
}

/// Errors counted, with nothing to hold them against.
fn counts(expr: &Expr, verdict: &mut Verdict) {
    if let Some(name) = counted_errors(expr) {
        verdict.cause.push(format!(
            "a number of {name}, without how many there were in all"
        ));
    }
}

/// Metric of an error count that is compared with a number.
pub(super) fn counted_errors(expr: &Expr) -> Option<String> {
    let mut found = None;
    expr.walk(&mut |node| {
        let Expr::Binary(binary) = node else { return };
        if !is_comparison(binary.op) || !is_number(&binary.rhs) {
            return;
        }
        let divides = any(
            &binary.lhs,
            |e| matches!(e, Expr::Binary(b) if b.op == BinaryOp::Div && !is_number(&b.rhs)),
        );
        if divides || !calls(&binary.lhs, &["rate", "irate", "increase", "delta"]) {
            return;
        }
        let errors = selectors(&binary.lhs)
            .into_iter()
            .find(|s| selects_errors(s));
        if let Some(name) = errors.and_then(metric) {
            found.get_or_insert_with(|| name.to_owned());
        }
    });
    found
}
