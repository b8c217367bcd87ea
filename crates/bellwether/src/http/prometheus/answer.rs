//! Answers in Prometheus' form, and its errors.

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwether_model::Labels;
use bellwether_model::series::Value as SampleValue;
use bellwether_promql::{Annotation, QueryError, QueryResult, QueryValue, RangeSeries};
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

/// Written by hand: a range query's answer is large, and its numbers have Prometheus' form.
pub(super) fn answer_query(result: &QueryResult, with_stats: bool) -> Response {
    let mut out = String::with_capacity(4096);
    let kind = match &result.value {
        QueryValue::Scalar { .. } => "scalar",
        QueryValue::String { .. } => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    };
    let _ = write!(
        out,
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":"
    );
    match &result.value {
        QueryValue::Scalar { timestamp, value } => push_point(&mut out, *timestamp, *value),
        QueryValue::String { timestamp, value } => {
            out.push('[');
            push_time(&mut out, *timestamp);
            let _ = write!(out, ",{}]", json!(value));
        }
        QueryValue::Vector(samples) => {
            out.push('[');
            for (index, sample) in samples.iter().enumerate() {
                out.push_str(if index > 0 {
                    ",{\"metric\":"
                } else {
                    "{\"metric\":"
                });
                push_labels(&mut out, &sample.labels);
                match &sample.value {
                    SampleValue::Float(value) => {
                        out.push_str(",\"value\":");
                        push_point(&mut out, sample.timestamp, *value);
                    }
                    SampleValue::Histogram(histogram) => {
                        out.push_str(",\"histogram\":[");
                        push_time(&mut out, sample.timestamp);
                        let _ = write!(out, ",{}]", histogram_json(histogram));
                    }
                }
                out.push('}');
            }
            out.push(']');
        }
        QueryValue::Matrix(all) => {
            out.push('[');
            for (index, series) in all.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_series(&mut out, series);
            }
            out.push(']');
        }
    }
    if with_stats {
        let stats = json!({
            "timings": {},
            "samples": {"totalQueryableSamples": result.stats.samples, "peakSamples": result.stats.peak_samples},
        });
        let _ = write!(out, ",\"stats\":{stats}");
    }
    out.push('}');
    for (name, all) in [("warnings", &result.warnings), ("infos", &result.infos)] {
        if !all.is_empty() {
            let texts: Vec<String> = all.iter().map(Annotation::to_string).collect();
            let _ = write!(out, ",\"{name}\":{}", json!(texts));
        }
    }
    out.push('}');
    respond(StatusCode::OK, out)
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
