//! Remote write and read, federation, snapshots: what other servers ask of a Prometheus.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{
    SampleBuffer, Selection, SeriesSource, SourceError, Value, is_stale,
};
use bellwether_model::{Labels, Matcher};
use bellwether_remote::read::{ReadRequest, ReadSeries, encode_samples};
use bellwether_remote::write::{Version, decode};
use bellwether_remote::{DecodeError, Limits};
use serde_json::json;

use super::Answer;
use super::answer::{ApiError, format_float, success};
use super::params::Params;
use crate::app::App;
use crate::queries::TIMEOUT;

/// Body of a write request that is accepted, compressed.
pub(super) const WRITE_BODY_MAX: usize = 32 << 20;
/// How far back federation looks for a sample.
const LOOKBACK_MS: i64 = 300_000;
/// Samples that one remote-read answer may have.
const READ_SAMPLES_MAX: usize = 50_000_000;

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    (status, body.into()).into_response()
}

/// Which message a body holds, by its content type.
fn version(headers: &HeaderMap) -> Option<Version> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parts = kind.split(';').map(str::trim);
    if parts.next() != Some("application/x-protobuf") {
        return None;
    }
    match parts.find_map(|part| part.strip_prefix("proto=")) {
        None | Some("prometheus.WriteRequest") => Some(Version::V1),
        Some("io.prometheus.write.v2.Request") => Some(Version::V2),
        Some(_) => None,
    }
}

/// `POST /api/v1/write`.
pub(super) async fn write(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !app.ingest.accepts {
        return text(
            StatusCode::NOT_FOUND,
            "remote write receiver needs to be enabled with --accept-remote-write\n",
        );
    }
    let Some(version) = version(&headers) else {
        return text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected application/x-protobuf with prometheus.WriteRequest or io.prometheus.write.v2.Request\n",
        );
    };
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_none_or(|encoding| encoding != "snappy") {
        return text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected the encoding snappy\n",
        );
    }
    let here = Arc::clone(&app);
    let stored = tokio::task::spawn_blocking(move || {
        let request = decode(&body, version, &Limits::default())?;
        Ok::<_, DecodeError>(here.ingest.write(request))
    });
    let written = match stored.await {
        Ok(Ok(Ok(written))) => written,
        Ok(Err(error)) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        Ok(Ok(Err(error))) => {
            tracing::error!(%error, "remote write could not be stored");
            return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
        }
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    let mut response = match written.refused {
        Some(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        None => StatusCode::NO_CONTENT.into_response(),
    };
    for (name, count) in [
        (
            "x-prometheus-remote-write-samples-written",
            written.counts.samples,
        ),
        (
            "x-prometheus-remote-write-histograms-written",
            written.counts.histograms,
        ),
        (
            "x-prometheus-remote-write-exemplars-written",
            written.counts.exemplars,
        ),
    ] {
        response.headers_mut().insert(name, count.into());
    }
    response
}

fn read_series(
    source: &dyn SeriesSource,
    matchers: &[Matcher],
    (min, max): (i64, i64),
    room: &mut usize,
) -> Result<Vec<ReadSeries>, SourceError> {
    let set = source.select(&Selection {
        matchers: matchers.to_vec(),
        min,
        max,
    })?;
    let mut buffer = SampleBuffer::default();
    let mut out = Vec::with_capacity(set.len());
    for index in 0..set.len() {
        set.read(index, &mut buffer)?;
        let count = buffer.timestamps.len() + buffer.histograms.len();
        *room = room.checked_sub(count).ok_or_else(|| {
            SourceError::Cancelled(format!(
                "the answer has more than {READ_SAMPLES_MAX} samples"
            ))
        })?;
        let floats = buffer.timestamps.iter().zip(&buffer.floats);
        let floats = floats.map(|(time, value)| (*time, Value::Float(*value)));
        let histograms = buffer.histograms.drain(..);
        let histograms = histograms.map(|(time, histogram)| (time, Value::Histogram(histogram)));
        let mut samples: Vec<(i64, Value)> = floats.chain(histograms).collect();
        samples.sort_by_key(|sample| sample.0);
        if !samples.is_empty() {
            out.push((set.labels(index).clone(), samples));
        }
    }
    Ok(out)
}

/// `POST /api/v1/read`: samples, the kind of answer that every client takes.
pub(super) async fn read(State(app): State<Arc<App>>, body: Bytes) -> Answer {
    let request = ReadRequest::decode(&body, &Limits::default())
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let source = Arc::clone(app.queries.source());
    let body = app
        .queries
        .off_loop(TIMEOUT, move || {
            let mut room = READ_SAMPLES_MAX;
            let results: Result<Vec<_>, SourceError> = request
                .queries
                .iter()
                .map(|query| {
                    read_series(&*source, &query.matchers, (query.min, query.max), &mut room)
                })
                .collect();
            results.map(|results| encode_samples(&results))
        })
        .await??;
    Ok((
        [
            (header::CONTENT_TYPE, "application/x-protobuf"),
            (header::CONTENT_ENCODING, "snappy"),
        ],
        body,
    )
        .into_response())
}

/// `GET /federate`: the newest samples in the text format.
pub(super) async fn federate(State(app): State<Arc<App>>, raw: RawQuery) -> Answer {
    let params = Params::read(raw, &HeaderMap::new(), &Bytes::new())?;
    let selectors = params.selectors()?.all;
    let now = app.clock.now().as_millisecond();
    let external = app.config().globals.external_labels.clone();
    let source = Arc::clone(app.queries.source());
    let body = app
        .queries
        .off_loop(TIMEOUT, move || {
            newest(&*source, &selectors, now).map(|found| exposition(found, &external))
        })
        .await??;
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        body,
    )
        .into_response())
}

/// Newest sample of each series that is not stale, once.
fn newest(
    source: &dyn SeriesSource,
    selectors: &[Vec<Matcher>],
    now: i64,
) -> Result<std::collections::BTreeMap<Labels, (i64, f64)>, SourceError> {
    let mut found = std::collections::BTreeMap::new();
    let mut buffer = SampleBuffer::default();
    for matchers in selectors {
        let set = source.select(&Selection {
            matchers: matchers.clone(),
            min: now - LOOKBACK_MS + 1,
            max: now,
        })?;
        for index in 0..set.len() {
            set.read(index, &mut buffer)?;
            if let (Some(time), Some(value)) = (buffer.timestamps.last(), buffer.floats.last())
                && !is_stale(*value)
            {
                found.insert(set.labels(index).clone(), (*time, *value));
            }
        }
    }
    Ok(found)
}

fn exposition(found: std::collections::BTreeMap<Labels, (i64, f64)>, external: &Labels) -> String {
    use std::fmt::Write as _;
    let mut all: Vec<_> = found.into_iter().collect();
    all.sort_by(|a, b| (a.0.metric_name(), &a.0).cmp(&(b.0.metric_name(), &b.0)));
    let mut out = String::new();
    let mut metric = String::new();
    for (labels, (time, value)) in all {
        let mut builder = labels.to_builder();
        for label in external {
            if labels.get(&label.name).is_empty() {
                builder.set(&label.name, &label.value);
            }
        }
        let labels = builder.build();
        let name = labels.metric_name();
        if name.is_empty() {
            continue;
        }
        if metric != name {
            let _ = writeln!(out, "# TYPE {name} untyped");
            name.clone_into(&mut metric);
        }
        out.push_str(name);
        out.push('{');
        let mut pairs: Vec<(&str, &str)> = labels
            .iter()
            .filter(|label| &*label.name != METRIC_NAME)
            .map(|label| (&*label.name, &*label.value))
            .collect();
        if labels.get("instance").is_empty() {
            // Whoever scrapes this must not put its own in the place of none.
            pairs.push(("instance", ""));
        }
        for (index, (name, value)) in pairs.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(out, "{name}=\"{value}\"");
        }
        let _ = writeln!(out, "}} {} {time}", format_float(value));
    }
    out
}

/// `POST /api/v1/admin/tsdb/snapshot`: a copy of the samples in the data folder, which opens as a store.
pub(super) async fn snapshot(State(app): State<Arc<App>>) -> Answer {
    let stamp = app.clock.now().strftime("%Y%m%dT%H%M%S.%3fZ").to_string();
    let to = app.data.join("snapshots").join(&stamp);
    let store = Arc::clone(&app.series);
    let done = tokio::task::spawn_blocking(move || store.snapshot(&to)).await;
    match done {
        Ok(Ok(())) => Ok(success(json!({"name": stamp}))),
        Ok(Err(error)) => Err(ApiError::internal(error.to_string())),
        Err(error) => Err(ApiError::internal(error.to_string())),
    }
}

/// `GET` or `POST /api/v1/query_exemplars`.
pub(super) async fn exemplars(
    State(app): State<Arc<App>>,
    raw: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let params = Params::read(raw, &headers, &body)?;
    let min = params.time("start")?.unwrap_or(i64::MIN / 2);
    let max = params.time("end")?.unwrap_or(i64::MAX / 2);
    if max < min {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp".to_owned(),
        ));
    }
    let expr = app
        .queries
        .engine()
        .parse(params.get("query").unwrap_or_default())?;
    let selectors: Vec<Vec<Matcher>> = expr
        .selectors(min, max, 0)
        .into_iter()
        .map(|need| need.matchers)
        .collect();
    let found: Vec<_> = app
        .ingest
        .exemplars
        .select(&selectors, min, max)
        .into_iter()
        .map(|(series, all)| {
            let all: Vec<_> = all
                .iter()
                .map(|exemplar| {
                    json!({
                        "labels": exemplar.labels,
                        "value": format_float(exemplar.value),
                        "timestamp": exemplar.timestamp as f64 / 1000.0,
                    })
                })
                .collect();
            json!({"seriesLabels": series, "exemplars": all})
        })
        .collect();
    Ok(success(json!(found)))
}
