//! Functions over instant vectors and scalars.

mod classic;
mod info;
mod labels;
mod time;

use bellwether_model::Labels;
use bellwether_model::histogram::Histogram;
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::is_stale;
use bellwether_model::{MatchOp, Matcher};

use super::eval::{Context, Evaluated, Sink};
use super::series::{ABSENT, Grid, Series};
use crate::ast::{CallExpr, Expr, ValueType};
use crate::error::QueryError;
use crate::histogram;

/// Labels of `absent(selector)`: those that equality matchers fix.
pub(super) fn absent_labels(arg: &Expr) -> Labels {
    let matchers: &[Matcher] = match arg.unwrap_parens() {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut builder = Labels::empty().to_builder();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|m| &*m.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && !seen.contains(&&*matcher.name) {
            builder.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            builder.remove(&matcher.name);
        }
    }
    builder.build()
}

/// A function of one number.
fn unary(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "sgn" => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

/// A function of one native histogram.
fn of_histogram(name: &str) -> Option<fn(&Histogram) -> f64> {
    Some(match name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stdvar" => histogram::variance,
        "histogram_stddev" => |h| histogram::variance(h).sqrt(),
        _ => return None,
    })
}

/// As Go's `math.Max` and `math.Min`: NaN if either is.
fn clamped(value: f64, min: f64, max: f64) -> f64 {
    if value.is_nan() || min.is_nan() || max.is_nan() {
        return f64::NAN;
    }
    value.min(max).max(min)
}

impl Context<'_> {
    pub(super) fn scalar_call(&self, call: &CallExpr, grid: &Grid) -> Evaluated<Vec<f64>> {
        let constant = |value: f64| Ok(vec![value; grid.len]);
        match call.function.name {
            "pi" => constant(std::f64::consts::PI),
            "time" => Ok((0..grid.len)
                .map(|step| grid.time(step) as f64 / 1000.0)
                .collect()),
            "start" => constant(self.times.start as f64 / 1000.0),
            "end" => constant(self.times.end as f64 / 1000.0),
            "step" => constant(self.times.step as f64 / 1000.0),
            "range" => constant((self.times.end - self.times.start) as f64 / 1000.0),
            "min_of" | "max_of" => {
                let larger = call.function.name == "max_of";
                let left = self.scalar(&call.args[0], grid)?;
                let right = self.scalar(&call.args[1], grid)?;
                let pairs = left.into_iter().zip(right);
                // As Go's `math.Min` and `math.Max`: an infinity that decides does so over NaN.
                Ok(pairs
                    .map(|(l, r)| match (larger, l.is_nan() || r.is_nan()) {
                        (true, true) if l == f64::INFINITY || r == f64::INFINITY => f64::INFINITY,
                        (false, true) if l == f64::NEG_INFINITY || r == f64::NEG_INFINITY => {
                            f64::NEG_INFINITY
                        }
                        (_, true) => f64::NAN,
                        (true, false) => l.max(r),
                        (false, false) => l.min(r),
                    })
                    .collect())
            }
            "scalar" => {
                let mut found = vec![0_u8; grid.len];
                let mut values = vec![f64::NAN; grid.len];
                self.stream(&call.args[0], grid, &mut |series| {
                    for (step, value) in series.floats.iter().enumerate() {
                        if !is_stale(*value) {
                            found[step] = found[step].saturating_add(1);
                            values[step] = if found[step] == 1 { *value } else { f64::NAN };
                        }
                    }
                    Ok(())
                })?;
                Ok(values)
            }
            name => Err(QueryError::execution(format!(
                "function {name} gives no scalar"
            ))),
        }
    }

    pub(super) fn stream_call(
        &self,
        call: &CallExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let name = call.function.name;
        let args = &call.args;
        if args.iter().any(|arg| arg.value_type() == ValueType::Matrix) {
            return self.stream_range_call(call, grid, sink);
        }
        if call.function.returns == ValueType::Scalar {
            let values = self.scalar_call(call, grid)?;
            return sink(Series::of_floats(Labels::empty(), values));
        }
        if let Some(function) = unary(name) {
            return self.map_floats(&args[0], grid, sink, &mut |_, value| function(value));
        }
        if let Some(function) = of_histogram(name) {
            return self.map_dropping_name(&args[0], grid, sink, &mut |mut series| {
                for step in 0..grid.len {
                    series.floats[step] = series.histogram(step).map_or(ABSENT, |h| function(h));
                }
                series.histograms.clear();
                Ok(series)
            });
        }
        match name {
            "vector" => {
                let values = self.scalar(&args[0], grid)?;
                sink(Series::of_floats(Labels::empty(), values))
            }
            "absent" => self.absent(&args[0], grid, sink),
            "round" => {
                let nearest = match args.get(1) {
                    Some(arg) => self.scalar(arg, grid)?,
                    None => vec![1.0; grid.len],
                };
                self.map_floats(&args[0], grid, sink, &mut |step, value| {
                    let inverse = 1.0 / nearest[step];
                    (value * inverse + 0.5).floor() / inverse
                })
            }
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(call, grid, sink),
            "timestamp" => self.timestamp(&args[0], grid, sink),
            "sort" | "sort_desc" => self.sort_by_value(call, grid, sink),
            "sort_by_label" | "sort_by_label_desc" => self.sort_by_label(call, grid, sink),
            "label_replace" => self.label_replace(call, grid, sink),
            "label_join" => self.label_join(call, grid, sink),
            "histogram_quantile" | "histogram_quantiles" => {
                self.histogram_quantile(call, grid, sink)
            }
            "histogram_fraction" => self.histogram_fraction(call, grid, sink),
            "info" => self.info(call, grid, sink),
            _ => self.date(call, grid, sink),
        }
    }

    /// Applies a function to every float; histograms go.
    pub(super) fn map_floats(
        &self,
        arg: &Expr,
        grid: &Grid,
        sink: &mut Sink<'_>,
        function: &mut dyn FnMut(usize, f64) -> f64,
    ) -> Evaluated<()> {
        self.map_dropping_name(arg, grid, sink, &mut |mut series| {
            series.histograms.clear();
            for (step, value) in series.floats.iter_mut().enumerate() {
                if !is_stale(*value) {
                    *value = function(step, *value);
                }
            }
            Ok(series)
        })
    }

    fn clamp(&self, call: &CallExpr, grid: &Grid, sink: &mut Sink<'_>) -> Evaluated<()> {
        let bound = |index: usize, default: f64| match call.args.get(index) {
            Some(arg) => self.scalar(arg, grid),
            None => Ok(vec![default; grid.len]),
        };
        let (min, max) = match call.function.name {
            "clamp" => (bound(1, 0.0)?, bound(2, 0.0)?),
            "clamp_min" => (bound(1, 0.0)?, vec![f64::INFINITY; grid.len]),
            _ => (vec![f64::NEG_INFINITY; grid.len], bound(1, 0.0)?),
        };
        self.map_floats(&call.args[0], grid, sink, &mut |step, value| {
            if max[step] < min[step] {
                ABSENT
            } else {
                clamped(value, min[step], max[step])
            }
        })
    }

    fn absent(&self, arg: &Expr, grid: &Grid, sink: &mut Sink<'_>) -> Evaluated<()> {
        let mut result = vec![1.0; grid.len];
        self.stream(arg, grid, &mut |series| {
            for (step, value) in result.iter_mut().enumerate() {
                if series.has(step) {
                    *value = ABSENT;
                }
            }
            Ok(())
        })?;
        let series = Series::of_floats(absent_labels(arg), result);
        if series.is_empty() {
            return Ok(());
        }
        sink(series)
    }

    fn timestamp(&self, arg: &Expr, grid: &Grid, sink: &mut Sink<'_>) -> Evaluated<()> {
        if let Expr::Vector(selector) = arg.unwrap_parens() {
            return self.drop_names(arg, sink, &mut |sink| {
                self.stream_newest(selector, grid, true, sink)
            });
        }
        self.map_dropping_name(arg, grid, sink, &mut |mut series| {
            for step in 0..grid.len {
                if series.has(step) {
                    series.floats[step] = grid.time(step) as f64 / 1000.0;
                }
            }
            series.histograms.clear();
            Ok(series)
        })
    }
}
