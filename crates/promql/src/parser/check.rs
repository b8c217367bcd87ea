//! Types, arities and matching clauses, with Prometheus' messages.

use bellwether_model::labels::METRIC_NAME;

use super::ParseError;
use crate::ast::{
    AggregateOp, BinaryExpr, CallExpr, Cardinality, Expr, Span, ValueType, VectorSelector,
};

type Checked = Result<(), ParseError>;

fn fail(query: &str, span: Span, message: impl Into<String>) -> Checked {
    Err(ParseError::new(query, span, message))
}

/// Checks the tree and completes what depends on types.
pub(super) fn check(query: &str, expr: &mut Expr) -> Checked {
    match expr {
        Expr::Number(_) | Expr::String(_) => Ok(()),
        Expr::Vector(selector) => check_selector(query, selector),
        Expr::Matrix(matrix) => check_selector(query, &matrix.selector),
        Expr::Paren(paren) => check(query, &mut paren.expr),
        Expr::Subquery(subquery) => {
            check(query, &mut subquery.expr)?;
            let inner = subquery.expr.value_type();
            if inner != ValueType::Vector {
                return fail(
                    query,
                    subquery.span,
                    format!(
                        "subquery is only allowed on instant vector, got {} instead",
                        inner.as_str()
                    ),
                );
            }
            Ok(())
        }
        Expr::Unary(unary) => {
            check(query, &mut unary.expr)?;
            let inner = unary.expr.value_type();
            if !matches!(inner, ValueType::Scalar | ValueType::Vector) {
                return fail(
                    query,
                    unary.span,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                        inner.documented()
                    ),
                );
            }
            Ok(())
        }
        Expr::Aggregate(aggregate) => {
            check(query, &mut aggregate.expr)?;
            expect_type(
                query,
                &aggregate.expr,
                ValueType::Vector,
                "aggregation expression",
            )?;
            if let Some(param) = &mut aggregate.param {
                check(query, param)?;
                let wanted = if aggregate.op == AggregateOp::CountValues {
                    ValueType::String
                } else {
                    ValueType::Scalar
                };
                expect_type(query, param, wanted, "aggregation parameter")?;
            }
            Ok(())
        }
        Expr::Binary(binary) => check_binary(query, binary),
        Expr::Call(call) => check_call(query, call),
    }
}

fn expect_type(query: &str, expr: &Expr, wanted: ValueType, context: &str) -> Checked {
    let got = expr.value_type();
    if got == wanted {
        return Ok(());
    }
    fail(
        query,
        expr.span(),
        format!(
            "expected type {} in {context}, got {}",
            wanted.documented(),
            got.documented()
        ),
    )
}

fn check_call(query: &str, call: &mut CallExpr) -> Checked {
    let (function, given) = (call.function, call.args.len());
    let wanted = function.args.len();
    let name = function.name;
    if function.variadic == 0 {
        if wanted != given {
            return fail(
                query,
                call.span,
                format!("expected {wanted} argument(s) in call to {name:?}, got {given}"),
            );
        }
    } else {
        let least = wanted - 1;
        if given < least {
            return fail(
                query,
                call.span,
                format!("expected at least {least} argument(s) in call to {name:?}, got {given}"),
            );
        }
        let most = least + function.variadic.max(0) as usize;
        if function.variadic > 0 && given > most {
            return fail(
                query,
                call.span,
                format!("expected at most {most} argument(s) in call to {name:?}, got {given}"),
            );
        }
    }
    if name == "info"
        && let Some(arg) = call.args.get_mut(1)
    {
        check_info_selector(query, call.span, arg)?;
    }
    for (index, arg) in call.args.iter_mut().enumerate() {
        check(query, arg)?;
        let wanted = function.args[index.min(wanted - 1)];
        let got = arg.value_type();
        if got != wanted {
            return fail(
                query,
                arg.span(),
                format!(
                    "expected type {} in call to function {name:?}, got {}",
                    wanted.documented(),
                    got.documented()
                ),
            );
        }
    }
    Ok(())
}

fn check_info_selector(query: &str, call: Span, arg: &mut Expr) -> Checked {
    if arg.value_type() != ValueType::Vector {
        return fail(
            query,
            call,
            format!(
                "expected type instant vector in call to function \"info\", got {}",
                arg.value_type().documented()
            ),
        );
    }
    let span = arg.span();
    match arg {
        Expr::Vector(selector) if selector.name.is_some() => fail(
            query,
            span,
            "expected label selectors only, got vector selector instead",
        ),
        Expr::Vector(selector) => {
            selector.labels_only = true;
            Ok(())
        }
        _ => fail(query, span, "expected label selectors only"),
    }
}

fn check_binary(query: &str, binary: &mut BinaryExpr) -> Checked {
    check(query, &mut binary.lhs)?;
    check(query, &mut binary.rhs)?;
    let (left, right) = (binary.lhs.value_type(), binary.rhs.value_type());
    let op = binary.op;
    let between = Span::new(
        binary.lhs.span().end.min(query.len()),
        binary.rhs.span().start.min(query.len()),
    );
    let op_span = trim(query, between);
    if binary.return_bool && !op.is_comparison() {
        return fail(
            query,
            op_span,
            "bool modifier can only be used on comparison operators",
        );
    }
    let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
    if op.is_comparison() && !binary.return_bool && scalars {
        return fail(
            query,
            op_span,
            "comparisons between scalars must use BOOL modifier",
        );
    }
    let mut matching = binary.matching.take().unwrap_or_default();
    if op.is_set() && matching.card == Cardinality::OneToOne {
        matching.card = Cardinality::ManyToMany;
    }
    if matching.on
        && let Some(label) = matching
            .labels
            .iter()
            .find(|l| matching.include.contains(l))
    {
        return fail(
            query,
            op_span,
            format!("label {label:?} must not occur in ON and GROUP clause at once"),
        );
    }
    for side in [&binary.lhs, &binary.rhs] {
        if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
            return fail(
                query,
                side.span(),
                "binary expression must contain only scalar and instant vector types",
            );
        }
    }
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    if left != ValueType::Vector || right != ValueType::Vector {
        if !matching.labels.is_empty() {
            return fail(
                query,
                binary.span,
                "vector matching only allowed between instant vectors",
            );
        }
        if fills {
            return fail(
                query,
                binary.span,
                "filling in missing series only allowed between instant vectors",
            );
        }
        if op.is_set() {
            return fail(
                query,
                binary.span,
                format!(
                    "set operator {:?} not allowed in binary scalar expression",
                    op.as_str()
                ),
            );
        }
        return Ok(());
    }
    if op.is_set() {
        if matching.card != Cardinality::ManyToMany {
            return fail(
                query,
                binary.span,
                format!("no grouping allowed for {:?} operation", op.as_str()),
            );
        }
        if fills {
            return fail(
                query,
                binary.span,
                "filling in missing series not allowed for set operators",
            );
        }
    }
    binary.matching = Some(matching);
    Ok(())
}

fn trim(query: &str, span: Span) -> Span {
    let Some(text) = query.get(span.start..span.end) else {
        return span;
    };
    let start = span.start + (text.len() - text.trim_start().len());
    Span::new(start, span.start + text.trim_end().len())
}

/// Checks the matchers of a selector.
pub(super) fn check_selector(query: &str, selector: &VectorSelector) -> Checked {
    if let Some(name) = &selector.name {
        let inside = &selector.matchers[..selector.matchers.len() - 1];
        if let Some(twice) = inside.iter().find(|m| &*m.name == METRIC_NAME) {
            return fail(
                query,
                selector.span,
                format!(
                    "metric name must not be set twice: {name:?} or {:?}",
                    twice.value
                ),
            );
        }
        return Ok(());
    }
    if !selector.labels_only
        && selector
            .matchers
            .iter()
            .all(bellwether_model::Matcher::matches_empty)
    {
        return fail(
            query,
            selector.span,
            "vector selector must contain at least one non-empty matcher",
        );
    }
    Ok(())
}
