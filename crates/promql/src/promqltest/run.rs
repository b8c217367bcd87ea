//! Runs one eval in all its forms.

use bellwether_model::series::{MemorySeries, Value};

use super::compare::{self, Mismatch};
use super::script::{Eval, When};
use crate::ast::{At, Expr};
use crate::engine::Engine;
use crate::value::{InstantSample, QueryValue};

/// A form of an eval that failed.
pub(super) struct Problem {
    pub(super) form: String,
    pub(super) expected: String,
    pub(super) got: String,
}

/// Functions that vary with the evaluation time even if all their arguments are pinned.
const VARYING: [&str; 11] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

/// Functions that depend on the query's range.
const OF_RANGE: [&str; 4] = ["start", "end", "step", "range"];

fn calls(expr: &Expr, names: &[&str]) -> bool {
    let mut found = false;
    expr.walk(&mut |node| {
        if let Expr::Call(call) = node {
            found |= names.contains(&call.function.name);
        }
    });
    found
}

/// Pins every selector and subquery that is not pinned, nor inside a pinned subquery, to a time.
fn pin(expr: &mut Expr, time: i64) {
    let at = |slot: &mut Option<At>| {
        if !matches!(slot, Some(At::Timestamp(_))) {
            *slot = Some(At::Timestamp(time));
        }
    };
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(e) => at(&mut e.at),
        Expr::Matrix(e) => at(&mut e.selector.at),
        Expr::Subquery(e) => at(&mut e.at),
        Expr::Paren(e) => pin(&mut e.expr, time),
        Expr::Unary(e) => pin(&mut e.expr, time),
        Expr::Binary(e) => {
            pin(&mut e.lhs, time);
            pin(&mut e.rhs, time);
        }
        Expr::Aggregate(e) => {
            if let Some(param) = &mut e.param {
                pin(param, time);
            }
            pin(&mut e.expr, time);
        }
        Expr::Call(e) => {
            for arg in &mut e.args {
                pin(arg, time);
            }
        }
    }
}

/// The query as it is, and pinned at other times.
fn forms(engine: &Engine, query: &str, time: i64) -> Vec<(String, i64)> {
    let mut forms = vec![(query.to_owned(), time)];
    let Ok(mut expr) = engine.parse(query) else {
        return forms;
    };
    if calls(&expr, &VARYING) {
        return forms;
    }
    pin(&mut expr, time);
    let pinned = expr.to_string();
    let times = if time == 0 {
        vec![-1000, 0, 1000]
    } else {
        vec![-10 * time, 0, time / 5, time, 10 * time]
    };
    forms.extend(times.into_iter().map(|time| (pinned.clone(), time)));
    forms
}

pub(super) fn run_eval(engine: &Engine, store: &MemorySeries, eval: &Eval) -> Result<(), Problem> {
    match eval.when {
        When::Range { start, end, step } => run_range(engine, store, eval, (start, end, step))
            .map_err(|(expected, got)| Problem {
                form: eval.line.clone(),
                expected,
                got,
            }),
        When::Instant(time) => {
            for (query, time) in forms(engine, &eval.query, time) {
                run_instant(engine, store, eval, &query, time).map_err(|(expected, got)| {
                    Problem {
                        form: format!("{} [as {query} at {time} ms]", eval.line),
                        expected,
                        got,
                    }
                })?;
            }
            Ok(())
        }
    }
}

fn expected_failure(eval: &Eval, error: &str) -> Result<(), Mismatch> {
    match &eval.fail {
        Some(text) if compare::text_matches(text, error) => Ok(()),
        Some(text) => Err((format!("failure {text:?}"), error.to_owned())),
        None => Err(("a result".to_owned(), format!("error: {error}"))),
    }
}

fn run_range(
    engine: &Engine,
    store: &MemorySeries,
    eval: &Eval,
    (start, end, step): (i64, i64, i64),
) -> Result<(), Mismatch> {
    let expr = match engine.parse(&eval.query) {
        Ok(expr) => expr,
        Err(error) => return expected_failure(eval, &error.to_string()),
    };
    let result = match engine.range(store, &expr, start, end, step) {
        Ok(result) => result,
        Err(error) => return expected_failure(eval, &error.to_string()),
    };
    if eval.fail.is_some() {
        return Err(("a failure".to_owned(), format!("{:?}", result.value)));
    }
    compare::annotations("warn", &eval.warns, eval.no_warn, &result.warnings)?;
    compare::annotations("info", &eval.infos, eval.no_info, &result.infos)?;
    match &result.value {
        QueryValue::Matrix(series) => compare::matrix(eval, series, (start, step)),
        other => Err(("a matrix".to_owned(), format!("{other:?}"))),
    }
}

fn run_instant(
    engine: &Engine,
    store: &MemorySeries,
    eval: &Eval,
    query: &str,
    time: i64,
) -> Result<(), Mismatch> {
    let expr = match engine.parse(query) {
        Ok(expr) => expr,
        Err(error) => return expected_failure(eval, &error.to_string()),
    };
    let result = match engine.instant(store, &expr, time) {
        Ok(result) => result,
        Err(error) => return expected_failure(eval, &error.to_string()),
    };
    if eval.fail.is_some() {
        return Err(("a failure".to_owned(), format!("{:?}", result.value)));
    }
    compare::annotations("warn", &eval.warns, eval.no_warn, &result.warnings)?;
    compare::annotations("info", &eval.infos, eval.no_info, &result.infos)?;
    compare::instant(eval, &result.value)?;
    if eval.range_vector.is_some() || eval.string.is_some() || calls(&expr, &OF_RANGE) {
        return Ok(());
    }
    middle_of_range(engine, store, eval, &expr, time)
}

/// The same query as the middle step of a range.
fn middle_of_range(
    engine: &Engine,
    store: &MemorySeries,
    eval: &Eval,
    expr: &Expr,
    time: i64,
) -> Result<(), Mismatch> {
    let range = engine.range(store, expr, time - 60_000, time + 60_000, 60_000);
    let series = match range {
        Ok(result) => match result.value {
            QueryValue::Matrix(series) => series,
            other => return Err(("a matrix".to_owned(), format!("{other:?}"))),
        },
        Err(error) => {
            return Err((
                "the same as a range query".to_owned(),
                format!("error: {error}"),
            ));
        }
    };
    if eval.ordered {
        return Ok(());
    }
    let mut samples = Vec::new();
    for one in &series {
        let float = one.floats.iter().find(|(t, _)| *t == time);
        let histogram = one.histograms.iter().find(|(t, _)| *t == time);
        let value = match (float, histogram) {
            (Some((_, value)), _) => Value::Float(*value),
            (None, Some((_, histogram))) => Value::Histogram(histogram.clone()),
            (None, None) => continue,
        };
        samples.push(InstantSample {
            labels: one.labels.clone(),
            timestamp: time,
            value,
        });
    }
    let as_range = |(expected, got): Mismatch| (expected, format!("as a range query: {got}"));
    if eval.scalar.is_some() {
        return match samples.first().map(|sample| &sample.value) {
            Some(Value::Float(value)) => compare::scalar(eval, *value).map_err(as_range),
            _ => Err(("a scalar".to_owned(), "nothing".to_owned())),
        };
    }
    compare::vector(eval, &samples, false).map_err(as_range)
}
