//! An operator between two samples.

use std::sync::Arc;

use bellwether_model::histogram::{Histogram, ResetHint};

use crate::annotations::HistogramOperation;
use crate::ast::{BinaryExpr, BinaryOp};
use crate::engine::eval::Context;
use crate::engine::series::Sample;
use crate::histogram;

/// One side.
#[derive(Clone, Copy)]
pub(super) enum Element<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl<'a> Element<'a> {
    pub(super) fn of(sample: &'a Sample) -> Self {
        match sample {
            Sample::Float(value) => Self::Float(*value),
            Sample::Histogram(histogram) => Self::Histogram(histogram),
        }
    }
}

/// An arithmetic operator.
pub(super) fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => power(left, right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => f64::NAN,
    }
}

/// As Go's `math.Pow`.
fn power(base: f64, exponent: f64) -> f64 {
    if exponent == 0.0 || base == 1.0 {
        return 1.0;
    }
    if base == -1.0 && exponent.is_infinite() {
        return 1.0;
    }
    base.powf(exponent)
}

pub(super) fn note_types(context: &Context<'_>, binary: &BinaryExpr, left: &str, right: &str) {
    let mut annotations = context.annotations.borrow_mut();
    annotations.incompatible_types(binary.span, left, binary.op.as_str(), right);
}

/// The result and whether a filter keeps it; `None` when the types do not go together.
pub(super) fn apply(
    context: &Context<'_>,
    binary: &BinaryExpr,
    left: Element<'_>,
    right: Element<'_>,
) -> Option<(Sample, bool)> {
    let op = binary.op;
    match (left, right) {
        (Element::Float(l), Element::Float(r)) => {
            if op.changes_schema() {
                return Some((Sample::Float(arithmetic(op, l, r)), true));
            }
            if op.is_comparison() {
                return Some((Sample::Float(l), super::scalar_op(op, l, r) == 1.0));
            }
            note_types(context, binary, "float", "float");
            None
        }
        (Element::Float(l), Element::Histogram(r)) => match op {
            BinaryOp::Mul => of(histogram::compact(&histogram::mul(r, l))),
            _ => {
                note_types(context, binary, "float", "histogram");
                None
            }
        },
        (Element::Histogram(l), Element::Float(r)) => match op {
            BinaryOp::Mul => of(histogram::compact(&histogram::mul(l, r))),
            BinaryOp::Div => of(histogram::compact(&histogram::div(l, r))),
            BinaryOp::TrimUpper => of(histogram::trim(l, r, true)),
            BinaryOp::TrimLower => of(histogram::trim(l, r, false)),
            _ => {
                note_types(context, binary, "histogram", "float");
                None
            }
        },
        (Element::Histogram(l), Element::Histogram(r)) => match op {
            BinaryOp::Add | BinaryOp::Sub => combine(context, binary, l, r),
            BinaryOp::Equal => Some((Sample::Histogram(Arc::clone(l)), histogram::equals(l, r))),
            BinaryOp::NotEqual => {
                Some((Sample::Histogram(Arc::clone(l)), !histogram::equals(l, r)))
            }
            _ => {
                note_types(context, binary, "histogram", "histogram");
                None
            }
        },
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the arms of a match want one type"
)]
fn of(histogram: Histogram) -> Option<(Sample, bool)> {
    Some((Sample::Histogram(Arc::new(histogram)), true))
}

fn combine(
    context: &Context<'_>,
    binary: &BinaryExpr,
    left: &Histogram,
    right: &Histogram,
) -> Option<(Sample, bool)> {
    let (result, operation) = if binary.op == BinaryOp::Add {
        (histogram::add(left, right), HistogramOperation::Addition)
    } else {
        (histogram::sub(left, right), HistogramOperation::Subtraction)
    };
    let mut annotations = context.annotations.borrow_mut();
    let Ok((mut result, note)) = result else {
        annotations.incompatible_buckets_binary(binary.span, binary.op.as_str());
        return None;
    };
    if note.collided {
        annotations.reset_collision(binary.span, operation);
    }
    if note.reconciled {
        annotations.mismatched_custom_buckets(binary.span, operation);
    }
    if binary.op == BinaryOp::Sub {
        result.reset_hint = ResetHint::Gauge;
    }
    of(histogram::compact(&result))
}
