//! Results against what a script expects.

use bellwether_model::Labels;
use bellwether_model::histogram::Histogram;
use bellwether_model::series::{Value, is_stale};
use regex::Regex;

use super::points::Point;
use super::script::{Eval, Text};
use crate::annotations::Annotation;
use crate::histogram::{self, is_custom};
use crate::value::{InstantSample, QueryValue, RangeSeries};

/// Relative difference that still counts as equal.
const EPSILON: f64 = 1e-6;

/// What was expected and what came instead.
pub(super) type Mismatch = (String, String);

pub(super) fn floats_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) == is_stale(b);
    }
    histogram::nearly_equal(a, b, EPSILON)
}

fn histograms_equal(expected: &Histogram, got: &Histogram, hint: bool) -> bool {
    let close = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| floats_equal(*a, *b))
    };
    let expected_compact = histogram::compact(expected);
    let got_compact = histogram::compact(got);
    let (e, g) = (&expected_compact, &got_compact);
    e.schema == g.schema
        && floats_equal(e.count, g.count)
        && floats_equal(e.sum, g.sum)
        && (!is_custom(e)
            || close(
                e.custom_values.as_deref().unwrap_or_default(),
                g.custom_values.as_deref().unwrap_or_default(),
            ))
        && floats_equal(e.zero_threshold, g.zero_threshold)
        && floats_equal(e.zero_count, g.zero_count)
        && e.positive_spans == g.positive_spans
        && e.negative_spans == g.negative_spans
        && close(&e.positive_buckets, &g.positive_buckets)
        && close(&e.negative_buckets, &g.negative_buckets)
        && (!hint || e.reset_hint == g.reset_hint)
}

fn point_text(point: &Point) -> String {
    match point {
        Point::Omitted => "_".to_owned(),
        Point::Float(value) => value.to_string(),
        Point::Histogram(histogram, _) => histogram::to_text(histogram),
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Float(value) => value.to_string(),
        Value::Histogram(histogram) => {
            format!(
                "{} {:?}",
                histogram::to_text(histogram),
                histogram.reset_hint
            )
        }
    }
}

fn matches(point: &Point, value: &Value) -> bool {
    match (point, value) {
        (Point::Float(expected), Value::Float(got)) => floats_equal(*expected, *got),
        (Point::Histogram(expected, hint), Value::Histogram(got)) => {
            histograms_equal(expected, got, *hint)
        }
        _ => false,
    }
}

fn all_expected(eval: &Eval) -> String {
    if let Some(scalar) = eval.scalar {
        return scalar.to_string();
    }
    let lines: Vec<String> = eval
        .series
        .iter()
        .map(|line| {
            let points: Vec<String> = line.points.iter().map(point_text).collect();
            format!("{} {}", line.labels, points.join(" "))
        })
        .collect();
    lines.join("\n")
}

fn all_got(samples: &[InstantSample]) -> String {
    let lines: Vec<String> = samples
        .iter()
        .map(|s| format!("{} {}", s.labels, value_text(&s.value)))
        .collect();
    lines.join("\n")
}

/// Compares an instant vector. With two series of one name the later line counts.
pub(super) fn vector(
    eval: &Eval,
    samples: &[InstantSample],
    ordered: bool,
) -> Result<(), Mismatch> {
    let fail = || Err((all_expected(eval), all_got(samples)));
    if eval.scalar.is_some() || samples.len() != eval.series.len() {
        return fail();
    }
    for (position, sample) in samples.iter().enumerate() {
        let found = eval
            .series
            .iter()
            .position(|line| line.labels == sample.labels);
        let Some(index) = found else {
            return fail();
        };
        if ordered && index != position {
            return fail();
        }
        let points = &eval.series[index].points;
        if points.len() != 1 || !matches(&points[0], &sample.value) {
            return fail();
        }
    }
    Ok(())
}

/// Compares a matrix whose points stand at `start`, `start + step` and so on.
pub(super) fn matrix(
    eval: &Eval,
    got: &[RangeSeries],
    (start, step): (i64, i64),
) -> Result<(), Mismatch> {
    let text = || {
        let lines: Vec<String> = got
            .iter()
            .map(|s| {
                let histograms: Vec<(i64, String)> = s
                    .histograms
                    .iter()
                    .map(|(t, h)| (*t, histogram::to_text(h)))
                    .collect();
                format!("{} {:?} {histograms:?}", s.labels, s.floats)
            })
            .collect();
        lines.join("\n")
    };
    let fail = || Err((all_expected(eval), text()));
    if got.windows(2).any(|pair| pair[0].labels > pair[1].labels) {
        return Err(("series sorted by labels".to_owned(), text()));
    }
    let expected: Vec<(&Labels, Vec<(i64, &Point)>)> = eval
        .series
        .iter()
        .map(|line| {
            let points = line.points.iter().enumerate();
            let there = points
                .filter(|(_, point)| !matches!(point, Point::Omitted))
                .map(|(index, point)| (start + step * index as i64, point))
                .collect();
            (&line.labels, there)
        })
        .collect();
    if expected.len() != got.len() {
        return fail();
    }
    for series in got {
        let Some((_, points)) = expected
            .iter()
            .find(|(labels, _)| **labels == series.labels)
        else {
            return fail();
        };
        if points.len() != series.len() {
            return fail();
        }
        for (time, point) in points {
            let float = series.floats.iter().find(|(t, _)| t == time);
            let histogram = series.histograms.iter().find(|(t, _)| t == time);
            let value = match (float, histogram) {
                (Some((_, value)), None) => Value::Float(*value),
                (None, Some((_, histogram))) => Value::Histogram(histogram.clone()),
                _ => return fail(),
            };
            if !matches(point, &value) {
                return fail();
            }
        }
    }
    Ok(())
}

/// Compares the value of an instant query.
pub(super) fn instant(eval: &Eval, value: &QueryValue) -> Result<(), Mismatch> {
    match value {
        QueryValue::Vector(samples) => vector(eval, samples, eval.ordered),
        QueryValue::Scalar { value, .. } => scalar(eval, *value),
        QueryValue::String { value, .. } => match &eval.string {
            Some(expected) if expected == value => Ok(()),
            other => Err((format!("{other:?}"), value.clone())),
        },
        QueryValue::Matrix(series) => match eval.range_vector {
            Some((start, _, step)) => matrix(eval, series, (start, step)),
            None => Err((all_expected(eval), format!("a matrix: {series:?}"))),
        },
    }
}

pub(super) fn scalar(eval: &Eval, value: f64) -> Result<(), Mismatch> {
    match eval.scalar {
        Some(expected) if floats_equal(expected, value) => Ok(()),
        _ => Err((all_expected(eval), value.to_string())),
    }
}

pub(super) fn text_matches(text: &Text, got: &str) -> bool {
    match text {
        Text::Any => true,
        Text::Exactly(expected) => expected == got,
        Text::Matching(pattern) => Regex::new(pattern).is_ok_and(|regex| regex.is_match(got)),
    }
}

/// Checks annotations of one kind.
pub(super) fn annotations(
    kind: &str,
    expected: &[Text],
    none: bool,
    got: &[Annotation],
) -> Result<(), Mismatch> {
    let texts: Vec<&str> = got.iter().map(|a| a.message.as_str()).collect();
    let fail = |what: String| Err((what, format!("{kind}: {texts:?}")));
    if none && !got.is_empty() {
        return fail(format!("no {kind}"));
    }
    for text in expected {
        if !texts.iter().any(|got| text_matches(text, got)) {
            return fail(format!("{kind} {text:?}"));
        }
    }
    if !expected.is_empty()
        && let Some(extra) = texts
            .iter()
            .find(|got| !expected.iter().any(|text| text_matches(text, got)))
    {
        return fail(format!("no {kind} {extra:?}"));
    }
    Ok(())
}
