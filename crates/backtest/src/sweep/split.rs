//! An expression taken apart at its threshold.

use bellwether_promql::Expr;
use bellwether_promql::ast::{BinaryExpr, BinaryOp};
use serde::Serialize;

/// Which way a value passes a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Comparison {
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessEqual,
}

// === impl Comparison ===

impl Comparison {
    fn of(op: BinaryOp) -> Option<Self> {
        match op {
            BinaryOp::Greater => Some(Self::Greater),
            BinaryOp::GreaterEqual => Some(Self::GreaterEqual),
            BinaryOp::Less => Some(Self::Less),
            BinaryOp::LessEqual => Some(Self::LessEqual),
            _ => None,
        }
    }

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Less => "<",
            Self::LessEqual => "<=",
        }
    }
}

/// A number as written, perhaps negative or in parentheses.
fn number(expr: &Expr) -> Option<f64> {
    match expr.unwrap_parens() {
        Expr::Number(literal) => Some(literal.value),
        Expr::Unary(unary) => {
            let value = number(&unary.expr)?;
            Some(if unary.negative { -value } else { value })
        }
        _ => None,
    }
}

/// `subject > number`, also before `and` and `unless`, whose right side does not look at the value: what is compared, how,
/// and with what.
pub fn comparison_of(expr: &Expr) -> Option<(Expr, Comparison, f64)> {
    let Expr::Binary(binary) = expr.unwrap_parens() else {
        return None;
    };
    if matches!(binary.op, BinaryOp::And | BinaryOp::Unless) {
        let (subject, comparison, threshold) = comparison_of(&binary.lhs)?;
        let narrowed = Expr::Binary(Box::new(BinaryExpr {
            lhs: subject,
            ..(**binary).clone()
        }));
        return Some((narrowed, comparison, threshold));
    }
    if binary.return_bool {
        return None;
    }
    let comparison = Comparison::of(binary.op)?;
    let threshold = number(&binary.rhs)?;
    // A metric is told apart from itself by its labels only: the value is looked at here.
    Some((binary.lhs.clone(), comparison, threshold))
}
