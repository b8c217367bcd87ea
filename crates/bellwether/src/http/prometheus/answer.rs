//! Answers in Prometheus' form, and its errors.

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwether_model::Labels;
use bellwether_model::series::Value as SampleValue;
use bellwether_promql::{
    Annotation, InstantSample, QueryError, QueryResult, QueryValue, RangeSeries,
};
use serde_json::{Value, json};

/// An error in Prometheus' words.
#[derive(Debug)]
pub(super) struct ApiError {
    kind: &'static str,
    message: String,
}

/// `{"status":"success","data":…}`.
pub fn success(data: Value) -> Response {
    respond(
        StatusCode::OK,
        json!({"status": "success", "data": data}).to_string(),
    )
}

pub(super) fn respond(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Bytes that are sent at a time.
const PART_BYTES: usize = 64 << 10;

/// Written by hand: a range query's answer is large, and its numbers have Prometheus' form. It is written while it is
/// sent, so that it is never in memory as a whole.
pub(super) fn answer_query(result: QueryResult, with_stats: bool, limit: usize) -> Response {
    let parts = parts(result, with_stats, limit).map(Ok::<_, std::convert::Infallible>);
    let body = axum::body::Body::from_stream(futures_util::stream::iter(parts));
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}

/// The same as one text.
pub fn answer_text(result: QueryResult) -> String {
    parts(result, false, usize::MAX).collect()
}

fn parts(
    mut result: QueryResult,
    with_stats: bool,
    limit: usize,
) -> impl Iterator<Item = String> + Send {
    let truncated = truncate(&mut result.value, limit);
    let tail = tail(&result, with_stats, truncated);
    let (kind, first, mut items): (_, &str, Items) = match result.value {
        QueryValue::Scalar { timestamp, value } => {
            let mut text = String::new();
            push_point(&mut text, timestamp, value);
            ("scalar", "", Box::new(std::iter::once(text)))
        }
        QueryValue::String { timestamp, value } => {
            let mut text = "[".to_owned();
            push_time(&mut text, timestamp);
            let _ = write!(text, ",{}]", json!(value));
            ("string", "", Box::new(std::iter::once(text)))
        }
        QueryValue::Vector(samples) => {
            let all = samples.into_iter().map(|sample| {
                let mut text = String::new();
                push_sample(&mut text, &sample);
                text
            });
            ("vector", "[", Box::new(all))
        }
        QueryValue::Matrix(all) => {
            let all = all.into_iter().map(|series| {
                let mut text = String::new();
                push_series(&mut text, &series);
                text
            });
            ("matrix", "[", Box::new(all))
        }
    };
    let head =
        format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":{first}");
    let end = if first.is_empty() {
        tail
    } else {
        format!("]{tail}")
    };
    let (mut head, mut end) = (Some(head), Some(end));
    let mut some = false;
    std::iter::from_fn(move || {
        let mut part = head.take().unwrap_or_default();
        end.as_ref()?;
        while part.len() < PART_BYTES {
            match items.next() {
                Some(item) => {
                    if std::mem::replace(&mut some, true) {
                        part.push(',');
                    }
                    part.push_str(&item);
                }
                None => {
                    part.push_str(&end.take().unwrap_or_default());
                    break;
                }
            }
        }
        Some(part)
    })
}

type Items = Box<dyn Iterator<Item = String> + Send>;

/// Leaves the first `limit` series; says whether there were more.
fn truncate(value: &mut QueryValue, limit: usize) -> bool {
    let before = match value {
        QueryValue::Vector(all) => all.len(),
        QueryValue::Matrix(all) => all.len(),
        QueryValue::Scalar { .. } | QueryValue::String { .. } => return false,
    };
    match value {
        QueryValue::Vector(all) => all.truncate(limit),
        QueryValue::Matrix(all) => all.truncate(limit),
        QueryValue::Scalar { .. } | QueryValue::String { .. } => {}
    }
    before > limit
}

/// What follows the result.
fn tail(result: &QueryResult, with_stats: bool, truncated: bool) -> String {
    let mut out = String::new();
    if with_stats {
        let stats = json!({
            "timings": {},
            "samples": {"totalQueryableSamples": result.stats.samples, "peakSamples": result.stats.peak_samples},
        });
        let _ = write!(out, ",\"stats\":{stats}");
    }
    out.push('}');
    let texts = |all: &[Annotation]| all.iter().map(Annotation::to_string).collect::<Vec<_>>();
    let mut warnings = texts(&result.warnings);
    if truncated {
        warnings.push("results truncated due to limit".to_owned());
    }
    for (name, all) in [("warnings", warnings), ("infos", texts(&result.infos))] {
        if !all.is_empty() {
            let _ = write!(out, ",\"{name}\":{}", json!(all));
        }
    }
    out.push('}');
    out
}

fn push_sample(out: &mut String, sample: &InstantSample) {
    out.push_str("{\"metric\":");
    push_labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.push_str(",\"value\":");
            push_point(out, sample.timestamp, *value);
        }
        SampleValue::Histogram(histogram) => {
            out.push_str(",\"histogram\":[");
            push_time(out, sample.timestamp);
            let _ = write!(out, ",{}]", histogram_json(histogram));
        }
    }
    out.push('}');
}

pub(super) fn push_series(out: &mut String, series: &RangeSeries) {
    out.push_str("{\"metric\":");
    push_labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.push_str(",\"values\":[");
        for (index, (time, value)) in series.floats.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_point(out, *time, *value);
        }
        out.push(']');
    }
    if !series.histograms.is_empty() {
        out.push_str(",\"histograms\":[");
        for (index, (time, histogram)) in series.histograms.iter().enumerate() {
            out.push_str(if index > 0 { ",[" } else { "[" });
            push_time(out, *time);
            let _ = write!(out, ",{}]", histogram_json(histogram));
        }
        out.push(']');
    }
    out.push('}');
}

pub(super) fn push_labels(out: &mut String, labels: &Labels) {
    out.push_str(&serde_json::to_string(labels).expect("labels are text"));
}

pub(super) fn push_point(out: &mut String, time: i64, value: f64) {
    out.push('[');
    push_time(out, time);
    let _ = write!(out, ",\"{}\"]", format_float(value));
}

/// Seconds with up to three decimals, as Prometheus writes them.
pub(super) fn push_time(out: &mut String, ms: i64) {
    if ms < 0 {
        out.push('-');
    }
    let (seconds, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
    let _ = write!(out, "{seconds}");
    if rest > 0 {
        let _ = write!(out, ".{rest:03}");
    }
}

/// Go's `strconv.FormatFloat(v, 'f', -1, 64)`, with the exponent form that Prometheus' JSON takes far from 1.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent
            .strip_prefix('-')
            .map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value}")
}

pub(super) fn histogram_json(histogram: &bellwether_model::histogram::Histogram) -> Value {
    let buckets: Vec<Value> = bellwether_promql::histogram::buckets(histogram)
        .into_iter()
        .filter(|bucket| bucket.count != 0.0)
        .map(|bucket| {
            // Which bounds belong to the bucket, in the API's code.
            let code = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            json!([
                code,
                format_float(bucket.lower),
                format_float(bucket.upper),
                format_float(bucket.count)
            ])
        })
        .collect();
    let mut value =
        json!({"count": format_float(histogram.count), "sum": format_float(histogram.sum)});
    if !buckets.is_empty() {
        value["buckets"] = json!(buckets);
    }
    value
}

// === impl ApiError ===

impl ApiError {
    /// Something that does not exist.
    pub(super) fn not_found(message: String) -> Self {
        Self {
            kind: "not_found",
            message,
        }
    }

    /// A fault of ours or of the machine.
    pub(super) fn internal(message: String) -> Self {
        Self {
            kind: "internal",
            message,
        }
    }

    /// A parameter or an expression that is wrong.
    pub(super) fn bad_data(message: String) -> Self {
        Self {
            kind: "bad_data",
            message,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self {
            kind: error.error_type(),
            message: error.to_string(),
        }
    }
}

impl From<bellwether_promql::ParseError> for ApiError {
    fn from(error: bellwether_promql::ParseError) -> Self {
        QueryError::from(error).into()
    }
}

impl From<bellwether_model::series::SourceError> for ApiError {
    fn from(error: bellwether_model::series::SourceError) -> Self {
        QueryError::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self.kind {
            "bad_data" => StatusCode::BAD_REQUEST,
            "execution" => StatusCode::UNPROCESSABLE_ENTITY,
            "timeout" | "canceled" | "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            "not_found" => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = json!({"status": "error", "errorType": self.kind, "error": self.message});
        respond(status, body.to_string())
    }
}
