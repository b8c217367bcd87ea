//! The unit of what an expression gives, by the names of the metrics it reads and what it does to them.
//!
//! Never by the values: a gauge between 0 and 1 is not for that a ratio.

use bellwether_promql::ast::{AggregateOp, BinaryExpr, BinaryOp, CallExpr};
use bellwether_promql::{Expr, ParserOptions, parse};
use bellwether_ui::Unit;

/// What an expression most likely counts; `Unit::None` when that cannot be known.
pub(super) fn unit_of(expr: &str) -> Unit {
    parse(expr, &ParserOptions::default()).map_or(Unit::None, |expr| of(&expr))
}

fn of(expr: &Expr) -> Unit {
    match expr {
        Expr::Vector(selector) => of_metric(selector.name.as_deref().unwrap_or_default()),
        Expr::Matrix(matrix) => of_metric(matrix.selector.name.as_deref().unwrap_or_default()),
        Expr::Subquery(subquery) => of(&subquery.expr),
        Expr::Paren(paren) => of(&paren.expr),
        Expr::Unary(unary) => of(&unary.expr),
        Expr::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::Count
            | AggregateOp::CountValues
            | AggregateOp::Group
            | AggregateOp::Stdvar => Unit::None,
            _ => of(&aggregate.expr),
        },
        Expr::Call(call) => of_call(call),
        Expr::Binary(binary) => of_binary(binary),
        Expr::Number(_) | Expr::String(_) => Unit::None,
    }
}

/// By the suffixes that metrics carry by convention.
fn of_metric(name: &str) -> Unit {
    if name.contains("burn_rate")
        || name.ends_with("_timestamp_seconds")
        || name.ends_with("_count")
    {
        return Unit::None;
    }
    let name = ["_total", "_sum", "_bucket"]
        .into_iter()
        .fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    // As a word: it is also in "duration".
    if name.split(['_', ':']).any(|word| word == "ratio") {
        Unit::Ratio
    } else if name.ends_with("_seconds") {
        Unit::Seconds
    } else if name.ends_with("_bytes") {
        Unit::Bytes
    } else if name.ends_with("_percent") {
        Unit::Percent
    } else {
        Unit::None
    }
}

fn of_call(call: &CallExpr) -> Unit {
    let argument = |index: usize| call.args.get(index).map_or(Unit::None, of);
    match call.function.name {
        "rate" | "irate" | "deriv" => match argument(0) {
            Unit::Bytes => Unit::BytesPerSecond,
            // Seconds of waiting in each second: a share. Other seconds per second (processors) count things.
            Unit::Seconds if call.args.first().is_some_and(waits) => Unit::Ratio,
            _ => Unit::None,
        },
        "histogram_quantile" | "quantile_over_time" => {
            call.args.get(1).map_or(Unit::None, of_inner)
        }
        "absent" | "absent_over_time" | "changes" | "count_over_time" | "present_over_time"
        | "resets" | "stdvar_over_time" | "timestamp" | "histogram_count" => Unit::None,
        _ => argument(0),
    }
}

/// Of the metric inside, whatever was done to its buckets: a quantile of rates of seconds is in seconds.
fn of_inner(expr: &Expr) -> Unit {
    match expr {
        Expr::Call(call) => call.args.first().map_or(Unit::None, of_inner),
        Expr::Aggregate(aggregate) => of_inner(&aggregate.expr),
        Expr::Paren(paren) => of_inner(&paren.expr),
        other => of(other),
    }
}

fn waits(expr: &Expr) -> bool {
    metric(expr).is_some_and(|name| name.contains("waiting") || name.contains("pressure"))
}

/// Name of the first metric inside.
fn metric(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Vector(selector) => selector.name.as_deref(),
        Expr::Matrix(matrix) => matrix.selector.name.as_deref(),
        Expr::Subquery(subquery) => metric(&subquery.expr),
        Expr::Paren(paren) => metric(&paren.expr),
        Expr::Unary(unary) => metric(&unary.expr),
        Expr::Aggregate(aggregate) => metric(&aggregate.expr),
        Expr::Call(call) => call.args.iter().find_map(metric),
        Expr::Binary(binary) => metric(&binary.lhs).or_else(|| metric(&binary.rhs)),
        Expr::Number(_) | Expr::String(_) => None,
    }
}

fn of_binary(binary: &BinaryExpr) -> Unit {
    let (left, right) = (of(&binary.lhs), of(&binary.rhs));
    let (in_left, in_right) = (metric(&binary.lhs), metric(&binary.rhs));
    match binary.op {
        _ if binary.return_bool => Unit::None,
        BinaryOp::Div => match (in_left, in_right) {
            // The mean of a histogram: what it measured, not a share.
            (Some(sum), Some(count)) if sum.ends_with("_sum") && count.ends_with("_count") => {
                of_inner(&binary.lhs)
            }
            (Some(_), Some(_)) if left == right => Unit::Ratio,
            _ => Unit::None,
        },
        BinaryOp::Mul => match (&binary.lhs, &binary.rhs) {
            (_, Expr::Number(by)) if left == Unit::Ratio && by.value == 100.0 => Unit::Percent,
            (Expr::Number(by), _) if right == Unit::Ratio && by.value == 100.0 => Unit::Percent,
            _ => Unit::None,
        },
        BinaryOp::Add | BinaryOp::Sub => match (in_left, in_right) {
            (None, _) => right,
            (_, None) => left,
            _ if left == right => left,
            _ => Unit::None,
        },
        BinaryOp::Pow | BinaryOp::Atan2 => Unit::None,
        // Comparisons, filters and sets keep the values of the left side.
        _ if in_left.is_some() => left,
        _ => right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_from_names_and_operations() {
        let cases = [
            ("up", Unit::None),
            ("node_load1 > 0.5", Unit::None),
            ("scrape_duration_seconds", Unit::Seconds),
            ("process_start_timestamp_seconds", Unit::None),
            ("sum by (job) (process_resident_memory_bytes)", Unit::Bytes),
            (
                "rate(node_network_receive_bytes_total[5m])",
                Unit::BytesPerSecond,
            ),
            ("increase(sent_bytes_total[1h])", Unit::Bytes),
            ("rate(http_requests_total[5m])", Unit::None),
            ("rate(process_cpu_seconds_total[5m])", Unit::None),
            (
                "rate(node_pressure_cpu_waiting_seconds_total[5m])",
                Unit::Ratio,
            ),
            ("1 - avail_bytes / size_bytes", Unit::Ratio),
            ("100 * (a_bytes / b_bytes)", Unit::Percent),
            (
                "sum(rate(errors_total[5m])) / sum(rate(requests_total[5m]))",
                Unit::Ratio,
            ),
            (
                "rate(took_seconds_sum[5m]) / rate(took_seconds_count[5m])",
                Unit::Seconds,
            ),
            ("a_bytes / 1024", Unit::None),
            ("count(a_bytes)", Unit::None),
            (
                "histogram_quantile(0.99, sum by (le) (rate(took_seconds_bucket[5m])))",
                Unit::Seconds,
            ),
            ("slo:error_ratio:rate5m{slo=\"x\"} > 0.1", Unit::Ratio),
            ("max_over_time(disk_used_ratio[1h])", Unit::Ratio),
            ("this is no query", Unit::None),
        ];
        for (expr, unit) in cases {
            assert_eq!(unit_of(expr), unit, "{expr}");
        }
    }
}
