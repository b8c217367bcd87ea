//! What an expression reads and how it would be evaluated, without evaluating it.

use bellwether_model::labels::METRIC_NAME;
use bellwether_model::{MatchOp, Matcher};

use crate::ast::{AggregateOp, At, Expr, Extent, Span, ValueType, VectorSelector};
use crate::engine::durations::{Times, offset_ms, seconds_ms};
use crate::functions::{FUNCTIONS, Function};
use crate::printer::short;

/// What one selector of an expression reads.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectorNeed {
    pub matchers: Vec<Matcher>,
    pub span: Span,
    /// First millisecond needed, for a query over the given range.
    pub min: i64,
    /// Last millisecond needed.
    pub max: i64,
    /// Window of a range selector in milliseconds; `None` for an instant selector.
    pub window: Option<i64>,
}

/// One node of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainNode {
    /// `sum by (job)`, `rate`, `metric{job="x"}[5m]`.
    pub operation: String,
    /// How it is evaluated.
    pub strategy: &'static str,
    pub returns: ValueType,
    pub span: Span,
    pub children: Vec<Self>,
    /// What it cost, when it was evaluated. A range selector's cost is in the function over it.
    pub cost: Option<NodeCost>,
}

/// What a part of a query cost, without its own parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCost {
    /// Nanoseconds.
    pub nanos: u64,
    /// Series it read from the source.
    pub series_read: usize,
    /// Samples it decoded.
    pub samples_read: usize,
    /// Series it gave.
    pub series: usize,
}

impl Expr {
    /// Every vector selector, those of range selectors too, with the time each needs for a query from `start` to
    /// `end` (milliseconds, equal for an instant query) and a lookback.
    pub fn selectors(&self, start: i64, end: i64, lookback_ms: i64) -> Vec<SelectorNeed> {
        let mut needs = Vec::new();
        let times = Times {
            start,
            end,
            step: 0,
        };
        collect(self, &times, (start, end), lookback_ms, &mut needs);
        needs
    }
}

fn shifted(
    range: (i64, i64),
    at: Option<At>,
    offset: Option<&crate::ast::DurationExpr>,
    times: &Times,
) -> (i64, i64) {
    let (min, max) = match at {
        Some(At::Timestamp(t)) => (t, t),
        Some(At::Start) => (times.start, times.start),
        Some(At::End) => (times.end, times.end),
        None => range,
    };
    let offset = offset_ms(offset, times).unwrap_or(0);
    (min.saturating_sub(offset), max.saturating_sub(offset))
}

fn need(
    selector: &VectorSelector,
    window: Option<i64>,
    times: &Times,
    range: (i64, i64),
    lookback: i64,
) -> SelectorNeed {
    let (min, max) = shifted(range, selector.at, selector.offset.as_ref(), times);
    let (before, after) = match (selector.extent, window) {
        (Extent::Plain, Some(window)) => (window, 0),
        (Extent::Plain, None) => (lookback, 0),
        (Extent::Anchored, window) => (window.unwrap_or(0).saturating_add(lookback), 0),
        (Extent::Smoothed, window) => (window.unwrap_or(0).saturating_add(lookback), lookback),
    };
    SelectorNeed {
        matchers: selector.matchers.clone(),
        span: selector.span,
        min: min.saturating_sub(before).saturating_add(1),
        max: max.saturating_add(after),
        window,
    }
}

pub(crate) fn collect(
    expr: &Expr,
    times: &Times,
    range: (i64, i64),
    lookback: i64,
    needs: &mut Vec<SelectorNeed>,
) {
    match expr {
        Expr::Vector(selector) => needs.push(need(selector, None, times, range, lookback)),
        Expr::Matrix(matrix) => {
            let window = seconds_ms(&matrix.range, times).unwrap_or(0);
            needs.push(need(&matrix.selector, Some(window), times, range, lookback));
        }
        Expr::Subquery(subquery) => {
            let window = seconds_ms(&subquery.range, times).unwrap_or(0);
            let (min, max) = shifted(range, subquery.at, subquery.offset.as_ref(), times);
            let inner = (min.saturating_sub(window), max);
            collect(&subquery.expr, times, inner, lookback, needs);
        }
        other => {
            for child in other.children() {
                collect(child, times, range, lookback, needs);
            }
        }
    }
}

/// First and last millisecond of samples that a query from `start` to `end` can touch; `None` when it reads nothing.
pub fn needed_range(expr: &Expr, start: i64, end: i64, lookback_ms: i64) -> Option<(i64, i64)> {
    let needs = expr.selectors(start, end, lookback_ms);
    let min = needs.iter().map(|need| need.min).min()?;
    let max = needs.iter().map(|need| need.max).max()?;
    Some((min, max))
}

/// Metric names that selectors of the expression name with `=`, sorted, each once. The flag says whether there is also
/// a selector that does not name its metric.
pub fn referenced_metrics(expr: &Expr) -> (Vec<String>, bool) {
    let mut names = Vec::new();
    let mut unnamed = false;
    for need in expr.selectors(0, 0, 0) {
        let name = need
            .matchers
            .iter()
            .find(|m| &*m.name == METRIC_NAME && m.op == MatchOp::Equal);
        match name {
            Some(matcher) => names.push(matcher.value.to_string()),
            None => unnamed = true,
        }
    }
    names.sort();
    names.dedup();
    (names, unnamed)
}

/// All functions with their signatures and help, by name.
pub fn function_names() -> &'static [Function] {
    FUNCTIONS
}

/// All aggregation operators, by name.
pub fn aggregation_names() -> [AggregateOp; 14] {
    AggregateOp::ALL
}

/// How an expression would be evaluated.
pub fn explain(expr: &Expr) -> ExplainNode {
    let strategy = match expr {
        Expr::Number(_) | Expr::String(_) => "constant",
        Expr::Vector(_) => "each series decoded once, newest sample per step",
        Expr::Matrix(_) => "each series decoded once, moving window",
        Expr::Subquery(_) => "inner expression on its own aligned steps",
        Expr::Paren(_) => "nothing",
        Expr::Unary(_) => "per value",
        Expr::Binary(e) => match e.matching {
            Some(_) => "series matched once by signature, then step arrays",
            None => "per value",
        },
        Expr::Aggregate(e) if e.op.selects() => "ranked per step",
        Expr::Aggregate(_) => "each series folded into [group x step]",
        Expr::Call(_) => "series by series",
    };
    ExplainNode {
        operation: short(expr),
        strategy,
        returns: expr.value_type(),
        span: expr.span(),
        children: expr.children().into_iter().map(explain).collect(),
        cost: None,
    }
}
