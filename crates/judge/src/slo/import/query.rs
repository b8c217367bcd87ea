//! Queries of rates as counts over `{{window}}`.

use bellwether_promql::ast::{CallExpr, DurationExpr, MatrixSelector, NumberLiteral};
use bellwether_promql::{Expr, ParserOptions, Span, ValueType, function_names, parse};

/// A duration that no query has, to find the windows again.
const MARKER: &str = "77777777ms";
const MARKER_SECONDS: f64 = 77_777.777;
/// The marker as it is printed.
const PRINTED: &str = "21h36m17s777ms";

/// Ways to write the window.
const WINDOWS: [&str; 6] = [
    "{{.window}}",
    "{{ .window }}",
    "{{window}}",
    "{{ window }}",
    "{{.Window}}",
    "$window",
];

/// A query with windows, or one that names counters (or, if it does not, gauges of counts per minute), as a count of
/// events over `{{window}}`.
pub(super) fn counted(text: &str, is_counter: bool) -> Result<String, String> {
    let mut marked = text.trim().to_owned();
    for window in WINDOWS {
        marked = marked.replace(window, MARKER);
    }
    let has_window = marked.contains(MARKER);
    let mut expr =
        parse(&marked, &ParserOptions::default()).map_err(|error| format!("query: {error}"))?;
    let mut ranges = false;
    expr.walk(&mut |node| ranges |= matches!(node, Expr::Matrix(_) | Expr::Subquery(_)));
    if !has_window && !ranges {
        if !is_counter {
            return Ok(format!("sum_over_time(({expr})[{{{{window}}}}:1m])"));
        }
        count_vectors(&mut expr)?;
    }
    if expr.value_type() != ValueType::Vector {
        return Err("query: it must give an instant vector".to_owned());
    }
    rates_to_increases(&mut expr, has_window)?;
    let printed = expr.to_string();
    if !printed.contains(PRINTED) {
        return Err("query: it has no window that could be another one".to_owned());
    }
    Ok(printed.replace(PRINTED, "{{window}}"))
}

fn increase() -> Result<&'static bellwether_promql::functions::Function, String> {
    function_names()
        .iter()
        .find(|function| function.name == "increase")
        .ok_or_else(|| "increase is not known".to_owned())
}

fn marker(span: Span) -> DurationExpr {
    DurationExpr::Number(NumberLiteral {
        value: MARKER_SECONDS,
        duration: true,
        span,
    })
}

/// `x` becomes `increase(x[w])`.
fn count_vectors(expr: &mut Expr) -> Result<(), String> {
    if let Expr::Vector(selector) = expr {
        let span = selector.span;
        *expr = Expr::Call(Box::new(CallExpr {
            function: increase()?,
            args: vec![Expr::Matrix(Box::new(MatrixSelector {
                selector: (**selector).clone(),
                range: marker(span),
                span,
            }))],
            span,
        }));
        return Ok(());
    }
    for child in children_mut(expr) {
        count_vectors(child)?;
    }
    Ok(())
}

/// `rate(x[w])` becomes `increase(x[w])`; a query without `{{window}}` has the window in place of its ranges.
fn rates_to_increases(expr: &mut Expr, has_window: bool) -> Result<(), String> {
    if let Expr::Call(call) = expr
        && matches!(call.function.name, "rate" | "irate" | "increase")
        && let Some(Expr::Matrix(matrix)) = call.args.first_mut()
    {
        let is_marker = matches!(&matrix.range, DurationExpr::Number(n) if (n.value - MARKER_SECONDS).abs() < 1e-6);
        if !has_window {
            matrix.range = marker(matrix.span);
        }
        if is_marker || !has_window {
            call.function = increase()?;
        }
        return Ok(());
    }
    for child in children_mut(expr) {
        rates_to_increases(child, has_window)?;
    }
    Ok(())
}

fn children_mut(expr: &mut Expr) -> Vec<&mut Expr> {
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
        Expr::Subquery(inner) => vec![&mut inner.expr],
        Expr::Paren(inner) => vec![&mut inner.expr],
        Expr::Unary(inner) => vec![&mut inner.expr],
        Expr::Binary(inner) => {
            let inner = &mut **inner;
            vec![&mut inner.lhs, &mut inner.rhs]
        }
        Expr::Aggregate(inner) => {
            let inner = &mut **inner;
            inner
                .param
                .iter_mut()
                .chain(std::iter::once(&mut inner.expr))
                .collect()
        }
        Expr::Call(inner) => inner.args.iter_mut().collect(),
    }
}

/// A ratio over a window as a number of bad (or good) minutes, and the minutes there are.
pub(super) fn minutes(text: &str) -> Result<(String, String), String> {
    let mut marked = text.trim().to_owned();
    for window in WINDOWS {
        marked = marked.replace(window, "{{window}}");
    }
    parse(
        &marked.replace("{{window}}", "5m"),
        &ParserOptions::default(),
    )
    .map_err(|error| format!("query: {error}"))?;
    let all = "count_over_time(vector(1)[{{window}}:1m])";
    Ok((
        format!("sum({marked}) * scalar({all})"),
        format!("sum({all})"),
    ))
}
