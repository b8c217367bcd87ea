//! Binary operators.

mod element;
mod vectors;

use bellwether_model::series::is_stale;

use self::element::{Element, apply};
pub(crate) use self::vectors::braces;
use super::eval::{Context, Evaluated, Sink};
use super::series::{ABSENT, Grid, Sample, Series};
use crate::ast::{BinaryExpr, BinaryOp, Expr, ValueType};

/// An operator between two scalars; comparisons give 0 or 1.
pub(super) fn scalar_op(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::GreaterEqual => truth(left >= right),
        BinaryOp::LessEqual => truth(left <= right),
        _ => element::arithmetic(op, left, right),
    }
}

impl Context<'_> {
    pub(super) fn stream_binary(
        &self,
        binary: &BinaryExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let left_scalar = binary.lhs.value_type() == ValueType::Scalar;
        let right_scalar = binary.rhs.value_type() == ValueType::Scalar;
        match (left_scalar, right_scalar) {
            (true, true) => {
                let left = self.scalar(&binary.lhs, grid)?;
                let right = self.scalar(&binary.rhs, grid)?;
                let pairs = left.into_iter().zip(right);
                let values = pairs.map(|(l, r)| scalar_op(binary.op, l, r)).collect();
                sink(Series::of_floats(bellwether_model::Labels::empty(), values))
            }
            (false, true) => {
                let scalar = self.scalar(&binary.rhs, grid)?;
                self.vector_scalar(binary, &binary.lhs, &scalar, false, grid, sink)
            }
            (true, false) => {
                let scalar = self.scalar(&binary.lhs, grid)?;
                self.vector_scalar(binary, &binary.rhs, &scalar, true, grid, sink)
            }
            (false, false) => self.stream_vectors(binary, grid, sink),
        }
    }

    /// A vector and a scalar; `swapped` when the scalar is on the left.
    fn vector_scalar(
        &self,
        binary: &BinaryExpr,
        vector: &Expr,
        scalar: &[f64],
        swapped: bool,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let mut change = |mut series: Series| {
            self.with_scalar(binary, &mut series, scalar, swapped);
            Ok(series)
        };
        if binary.op.changes_schema() || binary.return_bool {
            return self.map_dropping_name(vector, grid, sink, &mut change);
        }
        self.stream(vector, grid, &mut |series| {
            let series = change(series)?;
            if series.is_empty() {
                return Ok(());
            }
            sink(series)
        })
    }

    fn with_scalar(&self, binary: &BinaryExpr, series: &mut Series, scalar: &[f64], swapped: bool) {
        let op = binary.op;
        for (step, scalar) in scalar.iter().copied().enumerate() {
            let value = series.floats[step];
            if !is_stale(value) {
                let (left, right) = if swapped {
                    (scalar, value)
                } else {
                    (value, scalar)
                };
                series.floats[step] = if op.changes_schema() {
                    element::arithmetic(op, left, right)
                } else if op.is_comparison() {
                    let holds = scalar_op(op, left, right);
                    if binary.return_bool {
                        holds
                    } else if holds == 1.0 {
                        value
                    } else {
                        ABSENT
                    }
                } else {
                    element::note_types(self, binary, "float", "float");
                    ABSENT
                };
            } else if let Some(histogram) = series.histogram(step) {
                let (left, right) = if swapped {
                    (Element::Float(scalar), Element::Histogram(histogram))
                } else {
                    (Element::Histogram(histogram), Element::Float(scalar))
                };
                let result = apply(self, binary, left, right);
                series.histograms[step] = None;
                match result {
                    Some((Sample::Float(value), _)) => series.floats[step] = value,
                    Some((Sample::Histogram(histogram), true)) => {
                        series.histograms[step] = Some(histogram);
                    }
                    _ => {}
                }
            }
        }
    }
}
