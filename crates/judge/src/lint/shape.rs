//! What can be told of an expression without evaluating it.

use std::collections::BTreeSet;

use bellwether_model::MatchOp;
use bellwether_model::labels::METRIC_NAME;
use bellwether_promql::ast::{AggregateOp, BinaryOp, Cardinality, DurationExpr, VectorSelector};
use bellwether_promql::{Expr, referenced_metrics};

use crate::lint::RuleSet;
use crate::rules::{GroupConfig, RuleKind};

/// Labels that the series of an expression can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LabelSet {
    /// These and no others.
    Only(BTreeSet<String>),
    /// Any but these.
    AllBut(BTreeSet<String>),
}

pub(super) fn rule_set(groups: &[GroupConfig]) -> RuleSet<'_> {
    let mut recorded = BTreeSet::new();
    let mut absent = BTreeSet::new();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        if rule.kind == RuleKind::Recording {
            recorded.insert(rule.name.as_str());
        }
        rule.expr.walk(&mut |node| {
            if let Expr::Call(call) = node
                && matches!(call.function.name, "absent" | "absent_over_time")
            {
                absent.extend(referenced_metrics(node).0);
            }
        });
    }
    RuleSet { recorded, absent }
}

/// Whether a node makes an alert depend on a value.
pub(super) fn is_comparison(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Greater
            | BinaryOp::Less
            | BinaryOp::GreaterEqual
            | BinaryOp::LessEqual
    )
}

/// Seconds of a duration that is written as a number.
fn seconds(duration: &DurationExpr) -> Option<f64> {
    match duration {
        DurationExpr::Number(number) => Some(number.value),
        DurationExpr::Paren { expr, .. } => seconds(expr),
        _ => None,
    }
}

/// Windows of range selectors and subqueries, in seconds.
pub(super) fn windows(expr: &Expr) -> Vec<f64> {
    let mut found = Vec::new();
    expr.walk(&mut |node| match node {
        Expr::Matrix(matrix) => found.extend(seconds(&matrix.range)),
        Expr::Subquery(subquery) => found.extend(seconds(&subquery.range)),
        _ => {}
    });
    found
}

/// Windows of range selectors alone, in seconds.
pub(super) fn ranges(expr: &Expr) -> Vec<f64> {
    let mut found = Vec::new();
    expr.walk(&mut |node| {
        if let Expr::Matrix(matrix) = node {
            found.extend(seconds(&matrix.range));
        }
    });
    found
}

/// How far back from its evaluation an expression looks, in seconds.
pub(super) fn reach(expr: &Expr) -> f64 {
    let offset = |offset: Option<&DurationExpr>| offset.and_then(seconds).unwrap_or(0.0);
    match expr {
        Expr::Vector(selector) => offset(selector.offset.as_ref()),
        Expr::Matrix(matrix) => {
            seconds(&matrix.range).unwrap_or(0.0) + offset(matrix.selector.offset.as_ref())
        }
        Expr::Subquery(subquery) => {
            seconds(&subquery.range).unwrap_or(0.0)
                + offset(subquery.offset.as_ref())
                + reach(&subquery.expr)
        }
        other => other.children().into_iter().map(reach).fold(0.0, f64::max),
    }
}

/// All selectors, left to right.
pub(super) fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    expr.walk(&mut |node| match node {
        Expr::Vector(selector) => found.push(&**selector),
        Expr::Matrix(matrix) => found.push(&matrix.selector),
        _ => {}
    });
    found
}

/// Name of the metric that a selector names.
pub(super) fn metric(selector: &VectorSelector) -> Option<&str> {
    if let Some(name) = &selector.name {
        return Some(name);
    }
    selector
        .matchers
        .iter()
        .find(|m| &*m.name == METRIC_NAME && m.op == MatchOp::Equal)
        .map(|m| &*m.value)
}

/// Whether any node is what `test` looks for.
pub(super) fn any(expr: &Expr, test: impl Fn(&Expr) -> bool) -> bool {
    let mut found = false;
    expr.walk(&mut |node| found |= test(node));
    found
}

/// Whether a function is called.
pub(super) fn calls(expr: &Expr, names: &[&str]) -> bool {
    any(
        expr,
        |node| matches!(node, Expr::Call(call) if names.contains(&call.function.name)),
    )
}

/// Whether it is a number, possibly computed.
pub(super) fn is_number(expr: &Expr) -> bool {
    match expr.unwrap_parens() {
        Expr::Number(_) => true,
        Expr::Unary(unary) => is_number(&unary.expr),
        Expr::Binary(binary) => is_number(&binary.lhs) && is_number(&binary.rhs),
        _ => false,
    }
}

/// The labels that series of an expression can have.
pub(super) fn labels(expr: &Expr) -> LabelSet {
    let set = |labels: &[String]| labels.iter().cloned().collect::<BTreeSet<String>>();
    match expr {
        Expr::Paren(inner) => labels(&inner.expr),
        Expr::Unary(inner) => labels(&inner.expr),
        Expr::Subquery(inner) => labels(&inner.expr),
        Expr::Number(_) | Expr::String(_) => LabelSet::Only(BTreeSet::new()),
        Expr::Vector(_) | Expr::Matrix(_) => LabelSet::AllBut(BTreeSet::new()),
        Expr::Aggregate(inner) => {
            let below = labels(&inner.expr);
            if inner.op.selects() {
                return below;
            }
            let mut result = match (inner.without, below) {
                (false, LabelSet::Only(below)) => {
                    LabelSet::Only(set(&inner.grouping).intersection(&below).cloned().collect())
                }
                (false, LabelSet::AllBut(gone)) => {
                    LabelSet::Only(set(&inner.grouping).difference(&gone).cloned().collect())
                }
                (true, LabelSet::Only(below)) => {
                    LabelSet::Only(below.difference(&set(&inner.grouping)).cloned().collect())
                }
                (true, LabelSet::AllBut(gone)) => {
                    LabelSet::AllBut(gone.union(&set(&inner.grouping)).cloned().collect())
                }
            };
            if inner.op == AggregateOp::CountValues
                && let Some(Expr::String(name)) = inner.param.as_ref().map(Expr::unwrap_parens)
            {
                add(&mut result, &name.value);
            }
            result
        }
        Expr::Call(call) => match call.function.name {
            "label_replace" | "label_join" => {
                let mut result = call.args.first().map_or_else(any_labels, labels);
                if let Some(Expr::String(name)) = call.args.get(1).map(Expr::unwrap_parens) {
                    add(&mut result, &name.value);
                }
                result
            }
            "absent" | "absent_over_time" => match call.args.first().map(Expr::unwrap_parens) {
                Some(Expr::Vector(selector)) => equal_labels(selector),
                Some(Expr::Matrix(matrix)) => equal_labels(&matrix.selector),
                _ => LabelSet::Only(BTreeSet::new()),
            },
            "vector" | "time" | "scalar" | "pi" => LabelSet::Only(BTreeSet::new()),
            "histogram_quantile" | "histogram_fraction" => {
                let below = call.args.last().map_or_else(any_labels, labels);
                match below {
                    LabelSet::Only(mut set) => {
                        set.remove("le");
                        LabelSet::Only(set)
                    }
                    LabelSet::AllBut(mut set) => {
                        set.insert("le".to_owned());
                        LabelSet::AllBut(set)
                    }
                }
            }
            "info" => any_labels(),
            _ => call
                .args
                .iter()
                .find(|arg| !is_number(arg) && !matches!(arg, Expr::String(_)))
                .map_or(LabelSet::Only(BTreeSet::new()), labels),
        },
        Expr::Binary(inner) => {
            let Some(matching) = &inner.matching else {
                let number = is_number(&inner.lhs)
                    || matches!(inner.lhs.value_type(), bellwether_promql::ValueType::Scalar);
                return labels(if number { &inner.rhs } else { &inner.lhs });
            };
            let (left, right) = (labels(&inner.lhs), labels(&inner.rhs));
            match (inner.op, matching.card) {
                (BinaryOp::Or, _) => union(left, right),
                (BinaryOp::And | BinaryOp::Unless, _) => left,
                (_, Cardinality::ManyToOne) => {
                    let mut result = left;
                    matching.include.iter().for_each(|l| add(&mut result, l));
                    result
                }
                (_, Cardinality::OneToMany) => {
                    let mut result = right;
                    matching.include.iter().for_each(|l| add(&mut result, l));
                    result
                }
                // A comparison that filters keeps its left side.
                (op, _) if is_comparison(op) && !inner.return_bool => left,
                _ if matching.on => match left {
                    LabelSet::Only(left) => {
                        LabelSet::Only(left.intersection(&set(&matching.labels)).cloned().collect())
                    }
                    LabelSet::AllBut(_) => LabelSet::Only(set(&matching.labels)),
                },
                _ => match left {
                    LabelSet::Only(left) => {
                        LabelSet::Only(left.difference(&set(&matching.labels)).cloned().collect())
                    }
                    LabelSet::AllBut(gone) => {
                        LabelSet::AllBut(gone.union(&set(&matching.labels)).cloned().collect())
                    }
                },
            }
        }
    }
}

fn any_labels() -> LabelSet {
    LabelSet::AllBut(BTreeSet::new())
}

fn equal_labels(selector: &VectorSelector) -> LabelSet {
    LabelSet::Only(
        selector
            .matchers
            .iter()
            .filter(|m| m.op == MatchOp::Equal && &*m.name != METRIC_NAME)
            .map(|m| m.name.to_string())
            .collect(),
    )
}

fn add(set: &mut LabelSet, label: &str) {
    match set {
        LabelSet::Only(set) => {
            set.insert(label.to_owned());
        }
        LabelSet::AllBut(set) => {
            set.remove(label);
        }
    }
}

fn union(a: LabelSet, b: LabelSet) -> LabelSet {
    match (a, b) {
        (LabelSet::Only(a), LabelSet::Only(b)) => LabelSet::Only(a.union(&b).cloned().collect()),
        (LabelSet::AllBut(a), LabelSet::AllBut(b)) => {
            LabelSet::AllBut(a.intersection(&b).cloned().collect())
        }
        (LabelSet::Only(only), LabelSet::AllBut(gone))
        | (LabelSet::AllBut(gone), LabelSet::Only(only)) => {
            LabelSet::AllBut(gone.difference(&only).cloned().collect())
        }
    }
}

impl LabelSet {
    /// Whether series can have a label.
    pub(super) fn may_have(&self, label: &str) -> bool {
        match self {
            Self::Only(set) => set.contains(label),
            Self::AllBut(set) => !set.contains(label),
        }
    }
}
