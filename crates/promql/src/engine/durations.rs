//! Values of duration expressions.

use crate::ast::{BinaryOp, DurationExpr};
use crate::error::QueryError;

/// Times of the whole query, in milliseconds; `step` is 0 for an instant query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
}

/// Value in seconds.
fn seconds(expr: &DurationExpr, times: &Times) -> Result<f64, QueryError> {
    Ok(match expr {
        DurationExpr::Number(number) => number.value,
        DurationExpr::Step(_) => times.step as f64 / 1000.0,
        DurationExpr::Range(_) => (times.end - times.start) as f64 / 1000.0,
        DurationExpr::Unary { negative, expr, .. } => {
            let value = seconds(expr, times)?;
            if *negative { -value } else { value }
        }
        DurationExpr::Paren { expr, .. } => seconds(expr, times)?,
        DurationExpr::Min { lhs, rhs, .. } => seconds(lhs, times)?.min(seconds(rhs, times)?),
        DurationExpr::Max { lhs, rhs, .. } => seconds(lhs, times)?.max(seconds(rhs, times)?),
        DurationExpr::Binary { op, lhs, rhs, .. } => {
            let (lhs, rhs) = (seconds(lhs, times)?, seconds(rhs, times)?);
            match op {
                BinaryOp::Add => lhs + rhs,
                BinaryOp::Sub => lhs - rhs,
                BinaryOp::Mul => lhs * rhs,
                BinaryOp::Pow => lhs.powf(rhs),
                BinaryOp::Div | BinaryOp::Mod if rhs == 0.0 => {
                    return Err(QueryError::execution(if *op == BinaryOp::Div {
                        "division by zero"
                    } else {
                        "modulo by zero"
                    }));
                }
                BinaryOp::Div => lhs / rhs,
                BinaryOp::Mod => lhs % rhs,
                _ => return Err(QueryError::execution("unexpected duration operator")),
            }
        }
    })
}

fn to_ms(expr: &DurationExpr, value: f64) -> Result<i64, QueryError> {
    if value.is_nan() || value.abs() > 9_223_372_036.0 {
        return Err(QueryError::execution("duration is out of range"));
    }
    Ok(if expr.is_literal() {
        (value * 1000.0).round() as i64
    } else {
        (value * 1000.0) as i64
    })
}

/// A range or step in milliseconds; must be positive.
pub(crate) fn seconds_ms(expr: &DurationExpr, times: &Times) -> Result<i64, QueryError> {
    let value = seconds(expr, times)?;
    if value <= 0.0 {
        return Err(QueryError::execution("duration must be greater than 0"));
    }
    to_ms(expr, value)
}

/// An offset in milliseconds.
pub(crate) fn offset_ms(expr: Option<&DurationExpr>, times: &Times) -> Result<i64, QueryError> {
    match expr {
        Some(expr) => to_ms(expr, seconds(expr, times)?),
        None => Ok(0),
    }
}
