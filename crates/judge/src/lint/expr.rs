//! Expressions that do not do what they seem to.

use bellwether_model::problem::Severity;
use bellwether_promql::Expr;
use bellwether_promql::ast::{AggregateOp, BinaryOp};

use crate::lint::shape::{
    LabelSet, any, calls, is_comparison, is_number, labels, metric, selectors,
};
use crate::lint::symptom::counted_errors;
use crate::lint::{Finding, Level, Nature, RuleSet, Subject};
use crate::rules::{GroupConfig, RuleConfig};

/// Series that any rule reads and none records.
pub(super) fn dependencies(
    group: &GroupConfig,
    rule: &RuleConfig,
    set: &RuleSet<'_>,
    findings: &mut Vec<Finding>,
) {
    if set.recorded.is_empty() {
        return;
    }
    let mut seen = Vec::new();
    for selector in selectors(&rule.expr) {
        let Some(name) = metric(selector).filter(|name| name.contains(':')) else {
            continue;
        };
        if set.recorded.contains(name) || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        findings.push(Finding {
            check: "unknown-recording",
            severity: Severity::Note,
            file: group.file.clone(),
            line: rule.line,
            column: rule.column,
            group: group.name.clone(),
            rule: rule.name.clone(),
            level: None,
            message: format!("reads {name}, which none of these files records"),
            hint: Some("name the file that records it, too; or the rule is gone".to_owned()),
        });
    }
}

pub(super) fn check(subject: &Subject<'_>, set: &RuleSet<'_>, findings: &mut Vec<Finding>) {
    let expr = &subject.rule.expr;
    comparison(subject, findings);
    counters(subject, findings);
    joins(subject, expr, findings);
    lost_labels(subject, findings);
    absence(subject, set, findings);
    if subject.level != Level::Context
        && let Some(name) = counted_errors(expr)
    {
        subject
            .find(
                findings,
                "error-count",
                "expr",
                format!(
                    "a number of {name}: the same threshold is nothing by day and a lot by night"
                ),
            )
            .hint("divide by all of them");
    }
    if any(expr, |e| {
        matches!(e, Expr::Aggregate(a) if matches!(
            a.op,
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
        ))
    }) {
        subject
            .find(
                findings,
                "fragile-sampling",
                "expr",
                "the series it picks change from one evaluation to the next, so alerts come and go"
                    .to_owned(),
            )
            .hint("compare with a threshold instead of taking the first few");
    }
    ratios(subject, findings);
}

/// Something must decide whether it fires.
fn comparison(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let expr = &subject.rule.expr;
    let decides = any(expr, |e| match e {
        Expr::Binary(b) => {
            (is_comparison(b.op) && !b.return_bool)
                || matches!(b.op, BinaryOp::Unless | BinaryOp::And)
        }
        Expr::Call(c) => matches!(c.function.name, "absent" | "absent_over_time"),
        _ => false,
    });
    // An alert that always fires, to see that alerts arrive, reads nothing. One on a state series reads `ALERTS`.
    let reads = selectors(expr);
    let only_alerts = reads.iter().all(|s| metric(s) == Some("ALERTS"));
    if !decides && !reads.is_empty() && !only_alerts {
        subject
            .find(
                findings,
                "no-comparison",
                "expr",
                "fires for every series that exists, whatever its value".to_owned(),
            )
            .hint("compare with a threshold: `... > 0`");
    }
}

/// A counter only grows, so a threshold on it is passed once and for all.
fn counters(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    fn raw_counter(expr: &Expr) -> Option<&str> {
        match expr {
            Expr::Vector(selector) => metric(selector)
                .filter(|name| name.ends_with("_total") && selector.offset.is_none()),
            Expr::Paren(inner) => raw_counter(&inner.expr),
            Expr::Aggregate(inner)
                if matches!(
                    inner.op,
                    AggregateOp::Sum | AggregateOp::Max | AggregateOp::Min
                ) =>
            {
                raw_counter(&inner.expr)
            }
            _ => None,
        }
    }
    let mut found = None;
    subject.rule.expr.walk(&mut |node| {
        if let Expr::Binary(binary) = node
            && is_comparison(binary.op)
            && is_number(&binary.rhs)
            && !matches!(binary.op, BinaryOp::Equal)
            && let Some(name) = raw_counter(&binary.lhs)
        {
            found.get_or_insert(name);
        }
    });
    if let Some(name) = found {
        subject
            .find(
                findings,
                "counter-without-rate",
                "expr",
                format!(
                    "{name} is a counter: once above the threshold it stays there until a restart"
                ),
            )
            .hint(format!("increase({name}[10m])"));
    }
}

/// Two sides whose labels can never be equal.
fn joins(subject: &Subject<'_>, expr: &Expr, findings: &mut Vec<Finding>) {
    let mut found = None;
    expr.walk(&mut |node| {
        let Expr::Binary(binary) = node else { return };
        let Some(matching) = &binary.matching else {
            return;
        };
        if binary.op == BinaryOp::Or {
            return;
        }
        let (left, right) = (labels(&binary.lhs), labels(&binary.rhs));
        let differs = |label: &str| left.may_have(label) != right.may_have(label);
        let odd: Option<String> = if matching.on {
            matching.labels.iter().find(|l| differs(l)).cloned()
        } else {
            let (LabelSet::Only(a), LabelSet::Only(b)) = (&left, &right) else {
                return;
            };
            a.symmetric_difference(b)
                .find(|l| !matching.labels.contains(l))
                .cloned()
        };
        if let Some(label) = odd {
            found.get_or_insert((binary.op.as_str(), label, left.clone()));
        }
    });
    if let Some((op, label, left)) = found {
        let (has, lacks) = if left.may_have(&label) {
            ("left", "right")
        } else {
            ("right", "left")
        };
        subject
            .find(
                findings,
                "impossible-join",
                "expr",
                format!(
                    "label {label} is on the {has} of `{op}` and dropped on the {lacks}: the two sides never match"
                ),
            )
            .hint("aggregate both sides by the same labels, or say on (...) or ignoring (...)");
    }
}

/// `$labels.x` of a label that the expression does not give.
fn lost_labels(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let given = labels(&subject.rule.expr);
    let mut seen = Vec::new();
    for (key, text) in subject.rule.annotations.iter().chain(&subject.rule.labels) {
        for label in label_names(text.as_str()) {
            // In annotations labels are those of the sample, without those of the rule.
            if given.may_have(&label) || seen.contains(&label) {
                continue;
            }
            subject
                .find(
                    findings,
                    "label-lost",
                    key,
                    format!("{key} asks for $labels.{label}, which the expression drops: it is always empty"),
                )
                .hint(format!("aggregate by ({label}, ...), or leave it out"));
            seen.push(label);
        }
    }
}

/// Names in `$labels.name` inside actions of a template.
pub(super) fn label_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for action in text.split("{{").skip(1) {
        let action = action.split("}}").next().unwrap_or_default();
        for part in action.split("$labels.").skip(1) {
            let name: String = part
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn absence(subject: &Subject<'_>, set: &RuleSet<'_>, findings: &mut Vec<Finding>) {
    let expr = &subject.rule.expr;
    if calls(expr, &["absent"]) {
        if subject.rule.hold.is_zero() {
            subject
                .find(
                    findings,
                    "absent-without-for",
                    "expr",
                    "absent() fires at a restart of the target or of the server".to_owned(),
                )
                .hint("add `for`, longer than a restart takes");
        }
        return;
    }
    if calls(expr, &["absent_over_time"]) || subject.verdict.nature != Nature::Symptom {
        return;
    }
    let metrics: Vec<&str> = selectors(expr)
        .into_iter()
        .filter_map(metric)
        .filter(|name| !name.contains(':') && *name != "up" && !name.starts_with("ALERTS"))
        .collect();
    if let Some(name) = metrics.first()
        && !metrics.iter().any(|name| set.absent.contains(*name))
    {
        subject
            .find(
                findings,
                "absent-missing",
                "expr",
                format!("when {name} vanishes, this page goes quiet and no rule says so"),
            )
            .hint(format!("add an alert on absent({name})"));
    }
}

/// Ratios: NaN in an aggregation, and few events.
fn ratios(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let expr = &subject.rule.expr;
    let is_ratio = |e: &Expr| matches!(e, Expr::Binary(b) if b.op == BinaryOp::Div && calls(&b.rhs, &["rate", "increase", "irate"]));
    if any(
        expr,
        |e| matches!(e, Expr::Aggregate(a) if any(&a.expr, is_ratio)),
    ) {
        subject
            .find(
                findings,
                "nan-ratio",
                "expr",
                "a ratio inside an aggregation: one member without traffic is NaN and makes the whole NaN, and every member counts the same".to_owned(),
            )
            .hint("aggregate both sides first, then divide");
    }
    let errors = selectors(expr).into_iter().any(|s| {
        s.matchers.iter().any(|m| m.value.starts_with('5'))
            || metric(s).is_some_and(|n| n.contains("error") || n.contains("fail"))
    });
    let guarded = any(
        expr,
        |e| matches!(e, Expr::Binary(b) if b.op == BinaryOp::And),
    );
    if subject.level != Level::Context && any(expr, is_ratio) && errors && !guarded {
        subject
            .find(
                findings,
                "low-traffic",
                "expr",
                "with little traffic a single failure is a large share".to_owned(),
            )
            .hint("add `and sum(increase(total[5m])) > 100`, or make it an SLO, which has a guard");
    }
}
