//! What came against what was expected.

use std::fmt::Write as _;

use bellwether_model::Labels;
use bellwether_model::histogram::{Histogram, ResetHint};
use bellwether_model::labels::write_quoted;
use bellwether_model::series::Value;
use bellwether_promql::histogram::{compact, is_custom, to_text};
use bellwether_promql::{InstantSample, QueryValue};

use crate::unit::{ExpectedAlert, ExpectedSample, Pairs};

/// Lines that a diff looks at on each side.
const DIFF_LINES_MAX: usize = 2_000;

pub(super) fn floats(a: f64, b: f64, fuzzy: bool) -> bool {
    a == b || (fuzzy && (a.next_up() == b || a.next_down() == b))
}

fn histograms(expected: &Histogram, got: &Histogram) -> bool {
    let (e, g) = (compact(expected), compact(got));
    e.schema == g.schema
        && e.count == g.count
        && e.sum == g.sum
        && e.zero_count == g.zero_count
        && e.zero_threshold == g.zero_threshold
        && (!is_custom(&e) || e.custom_values == g.custom_values)
        && e.positive_spans == g.positive_spans
        && e.negative_spans == g.negative_spans
        && e.positive_buckets == g.positive_buckets
        && e.negative_buckets == g.negative_buckets
        && e.reset_hint == g.reset_hint
}

/// Samples of an answer, sorted by labels; `None` when it is neither a vector nor a scalar.
pub(super) fn samples(value: QueryValue) -> Option<Vec<InstantSample>> {
    let mut samples = match value {
        QueryValue::Vector(samples) => samples,
        QueryValue::Scalar { timestamp, value } => vec![InstantSample {
            labels: Labels::empty(),
            timestamp,
            value: Value::Float(value),
        }],
        QueryValue::String { .. } | QueryValue::Matrix(_) => return None,
    };
    samples.sort_by(|a, b| a.labels.cmp(&b.labels));
    Some(samples)
}

pub(super) fn same_samples(
    expected: &[ExpectedSample],
    got: &[InstantSample],
    fuzzy: bool,
) -> bool {
    expected.len() == got.len()
        && expected.iter().zip(got).all(|(expected, got)| {
            expected.labels == got.labels
                && match (&expected.histogram, &got.value) {
                    (None, Value::Float(got)) => floats(expected.value, *got, fuzzy),
                    (Some(histogram), Value::Histogram(got)) => {
                        floats(expected.value, 0.0, fuzzy) && histograms(histogram, got)
                    }
                    _ => false,
                }
        })
}

fn histogram_text(histogram: &Histogram) -> String {
    let mut text = to_text(histogram);
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => return text,
        ResetHint::Reset => "reset",
        ResetHint::NotReset => "not_reset",
        ResetHint::Gauge => "gauge",
    };
    write!(text, " counter_reset_hint:{hint}").expect("writing to a String");
    text
}

pub(super) fn expected_lines(samples: &[ExpectedSample]) -> Vec<String> {
    samples
        .iter()
        .map(|sample| match &sample.histogram {
            Some(histogram) => format!("{} {}", sample.labels, histogram_text(histogram)),
            None => format!("{} {}", sample.labels, sample.value),
        })
        .collect()
}

pub(super) fn got_lines(samples: &[InstantSample]) -> Vec<String> {
    samples
        .iter()
        .map(|sample| match &sample.value {
            Value::Histogram(histogram) => {
                format!("{} {}", sample.labels, histogram_text(histogram))
            }
            Value::Float(value) => format!("{} {value}", sample.labels),
        })
        .collect()
}

/// An alert per line, an annotation per further line.
pub(super) fn alert_lines(alerts: &[ExpectedAlert]) -> Vec<String> {
    let mut lines = Vec::new();
    for alert in alerts {
        lines.push(format!("{{{}}}", pairs_text(&alert.labels)));
        for pair in &alert.annotations {
            lines.push(format!("  {}", pairs_text(std::slice::from_ref(pair))));
        }
    }
    lines
}

fn pairs_text(pairs: &[(String, String)]) -> String {
    let mut text = String::new();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        write_quoted(&mut text, value).expect("writing to a String");
    }
    text
}

pub(super) fn pairs(labels: &Labels) -> Pairs {
    labels
        .iter()
        .map(|label| (label.name.to_string(), label.value.to_string()))
        .collect()
}

/// Lines of both sides in order: `  ` in both, `- ` only expected, `+ ` only got (longest common subsequence).
pub fn diff(expected: &[String], got: &[String]) -> Vec<String> {
    let (a, b) = (
        &expected[..expected.len().min(DIFF_LINES_MAX)],
        &got[..got.len().min(DIFF_LINES_MAX)],
    );
    let width = b.len() + 1;
    let mut longest = vec![0_u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i * width + j] = if a[i] == b[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(format!("  {}", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len()
            && (j == b.len() || longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            lines.push(format!("- {}", a[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", b[j]));
            j += 1;
        }
    }
    lines
}
