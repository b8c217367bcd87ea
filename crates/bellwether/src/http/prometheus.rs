//! Prometheus' HTTP API, in its words and its error format: `promtool`, Grafana and every other client of it work.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bellwether_model::duration::parse_duration;
use bellwether_model::series::Value as SampleValue;
use bellwether_model::{Labels, Matcher};
use bellwether_promql::{
    Annotation, QueryError, QueryResult, QueryValue, RangeSeries, parse_metric_selector,
};
use serde_json::{Value, json};

use crate::app::App;
use crate::queries::{TIMEOUT, Times};

/// Points that one series of a range query may have, as in Prometheus.
const POINTS_MAX: i64 = 11_000;
/// Body of a form that is accepted.
const FORM_MAX: usize = 1 << 20;

/// An error in Prometheus' words.
#[derive(Debug)]
pub struct ApiError {
    kind: &'static str,
    message: String,
}

type Answer = Result<Response, ApiError>;

/// The routes below `/api/v1`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/query", get(query).post(query))
        .route("/query_range", get(query_range).post(query_range))
        .route("/format_query", get(format_query).post(format_query))
        .route("/parse_query", get(parse_query).post(parse_query))
        .route("/series", get(series).post(series))
        .route("/labels", get(labels).post(labels))
        .route("/label/{name}/values", get(label_values))
        .route("/metadata", get(metadata))
        .route("/targets", get(targets))
        .route("/targets/metadata", get(targets_metadata))
        .route("/scrape_pools", get(scrape_pools))
        .route("/rules", get(rules))
        .route("/alerts", get(alerts))
        .route("/alertmanagers", get(alertmanagers))
        .route("/query_exemplars", get(exemplars).post(exemplars))
        .route("/status/buildinfo", get(build_info))
        .route("/status/runtimeinfo", get(runtime_info))
        .route("/status/flags", get(flags))
        .route("/status/config", get(config))
        .route("/status/tsdb", get(tsdb))
        .fallback(unknown)
}

/// Parameters of the address and of a form, in that order; names may repeat.
struct Params(Vec<(String, String)>);

// === queries ===

async fn query(
    State(app): State<Arc<App>>,
    raw: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let params = Params::read(raw, &headers, &body)?;
    let time = match params.get("time") {
        Some(text) => parse_time(text).ok_or_else(|| bad_time("time", text))?,
        None => app.clock.now().as_millisecond(),
    };
    let expr = app
        .queries
        .engine()
        .parse(params.get("query").unwrap_or_default())?;
    let result = app
        .queries
        .run(expr, Times::at(time), params.timeout()?)
        .await?;
    Ok(answer_query(&result, params.get("stats").is_some()))
}

async fn query_range(
    State(app): State<Arc<App>>,
    raw: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let params = Params::read(raw, &headers, &body)?;
    let start = params.required_time("start")?;
    let end = params.required_time("end")?;
    if end < start {
        return Err(ApiError::bad_data(
            "invalid parameter \"end\": end timestamp must not be before start time".to_owned(),
        ));
    }
    let text = params.get("step").unwrap_or_default();
    let step = parse_step(text).ok_or_else(|| {
        ApiError::bad_data(format!(
            "invalid parameter \"step\": cannot parse {text:?} to a valid duration"
        ))
    })?;
    if step <= 0 {
        return Err(ApiError::bad_data(
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. \
             Try a positive integer"
                .to_owned(),
        ));
    }
    if (end - start) / step > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
             (?step=XX)"
                .to_owned(),
        ));
    }
    let expr = app
        .queries
        .engine()
        .parse(params.get("query").unwrap_or_default())?;
    let times = Times {
        start,
        end,
        step: Some(step),
    };
    let result = app.queries.run(expr, times, params.timeout()?).await?;
    Ok(answer_query(&result, params.get("stats").is_some()))
}

async fn format_query(
    State(app): State<Arc<App>>,
    raw: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let params = Params::read(raw, &headers, &body)?;
    let expr = app
        .queries
        .engine()
        .parse(params.get("query").unwrap_or_default())?;
    Ok(success(json!(bellwether_promql::pretty(&expr))))
}

/// The expression, how it would be evaluated. (Prometheus gives its own syntax tree here; ours says what ours is.)
async fn parse_query(
    State(app): State<Arc<App>>,
    raw: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    fn node(plan: &bellwether_promql::ExplainNode) -> Value {
        json!({
            "operation": plan.operation,
            "strategy": plan.strategy,
            "children": plan.children.iter().map(node).collect::<Vec<_>>(),
        })
    }
    let params = Params::read(raw, &headers, &body)?;
    let expr = app
        .queries
        .engine()
        .parse(params.get("query").unwrap_or_default())?;
    Ok(success(node(&bellwether_promql::explain(&expr))))
}

// === labels and series ===

struct Selectors {
    all: Vec<Vec<Matcher>>,
    min: i64,
    max: i64,
    limit: usize,
}

impl Params {
    /// `match[]`, `start`, `end` and `limit`.
    fn selectors(&self) -> Result<Selectors, ApiError> {
        let all = self
            .all("match[]")
            .map(parse_metric_selector)
            .collect::<Result<_, _>>();
        let all = all.map_err(|error| {
            ApiError::bad_data(format!("invalid parameter \"match[]\": {error}"))
        })?;
        let min = self.time("start")?.unwrap_or(i64::MIN / 2);
        let max = self.time("end")?.unwrap_or(i64::MAX / 2);
        let limit = match self.get("limit").unwrap_or("0") {
            "0" => usize::MAX,
            text => text.parse().map_err(|_| {
                ApiError::bad_data(format!(
                    "invalid parameter \"limit\": cannot parse {text:?} to a valid limit"
                ))
            })?,
        };
        Ok(Selectors {
            all,
            min,
            max,
            limit,
        })
    }
}

fn limited<T: serde::Serialize>(mut items: Vec<T>, limit: usize) -> Response {
    if items.len() <= limit {
        return success(json!(items));
    }
    items.truncate(limit);
    let body =
        json!({"status": "success", "data": items, "warnings": ["results truncated due to limit"]});
    respond(StatusCode::OK, body.to_string())
}

async fn series(
    State(app): State<Arc<App>>,
    raw: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let params = Params::read(raw, &headers, &body)?;
    let Selectors {
        all,
        min,
        max,
        limit,
    } = params.selectors()?;
    if all.is_empty() {
        return Err(ApiError::bad_data(
            "no match[] parameter provided".to_owned(),
        ));
    }
    let source = Arc::clone(app.queries.source());
    let found = app
        .queries
        .off_loop(TIMEOUT, move || source.series(&all, min, max))
        .await??;
    Ok(limited(found, limit))
}

async fn labels(
    State(app): State<Arc<App>>,
    raw: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let params = Params::read(raw, &headers, &body)?;
    let Selectors {
        all,
        min,
        max,
        limit,
    } = params.selectors()?;
    let source = Arc::clone(app.queries.source());
    let found = app
        .queries
        .off_loop(TIMEOUT, move || source.label_names(&all, min, max))
        .await??;
    Ok(limited(found, limit))
}

async fn label_values(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    raw: RawQuery,
    headers: HeaderMap,
) -> Answer {
    let params = Params::read(raw, &headers, &Bytes::new())?;
    let Selectors {
        all,
        min,
        max,
        limit,
    } = params.selectors()?;
    if name.is_empty() {
        return Err(ApiError::bad_data("invalid label name: \"\"".to_owned()));
    }
    // Prometheus' escaping of names outside the classic form.
    let name = name.strip_prefix("U__").map_or(name.clone(), unescape_name);
    let source = Arc::clone(app.queries.source());
    let found = app
        .queries
        .off_loop(TIMEOUT, move || source.label_values(&name, &all, min, max))
        .await??;
    Ok(limited(found, limit))
}

/// `U__http_2e_status` is `http.status`: `_x_` is a character by its hexadecimal code, `__` an underscore.
fn unescape_name(escaped: &str) -> String {
    let (mut name, mut rest) = (String::new(), escaped);
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code = rest.find('_').and_then(|end| {
            let code = u32::from_str_radix(&rest[..end], 16)
                .ok()
                .and_then(char::from_u32)?;
            Some((code, end))
        });
        match code {
            Some((c, end)) => {
                name.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                name.push('_');
                rest = rest.strip_prefix('_').unwrap_or(rest);
            }
        }
    }
    name.push_str(rest);
    name
}

// === targets, rules, alerts ===

async fn metadata(State(app): State<Arc<App>>, raw: RawQuery) -> Answer {
    let params = Params::read(raw, &HeaderMap::new(), &Bytes::new())?;
    let limit = params
        .get("limit")
        .and_then(|text| text.parse().ok())
        .unwrap_or(usize::MAX);
    let per_metric = params
        .get("limit_per_metric")
        .and_then(|text| text.parse().ok())
        .unwrap_or(usize::MAX);
    let mut by_metric: std::collections::BTreeMap<String, Vec<Value>> =
        std::collections::BTreeMap::new();
    for entry in app.scrapes.metadata() {
        if params
            .get("metric")
            .is_some_and(|wanted| wanted != entry.metric)
        {
            continue;
        }
        let known = json!({"type": entry.metadata.kind, "help": entry.metadata.help, "unit": entry.metadata.unit});
        let of_metric = by_metric.entry(entry.metric).or_default();
        if !of_metric.contains(&known) && of_metric.len() < per_metric {
            of_metric.push(known);
        }
    }
    let kept: serde_json::Map<_, _> = by_metric
        .into_iter()
        .take(limit)
        .map(|(metric, all)| (metric, json!(all)))
        .collect();
    Ok(success(Value::Object(kept)))
}

async fn targets(State(app): State<Arc<App>>, raw: RawQuery) -> Answer {
    let params = Params::read(raw, &HeaderMap::new(), &Bytes::new())?;
    let pool = params.get("scrapePool").unwrap_or_default();
    let state = params.get("state").unwrap_or("any");
    let all = app.scrapes.targets();
    let wanted = |name: &str| pool.is_empty() || pool == name;
    let active: Vec<Value> = all
        .active
        .iter()
        .filter(|target| wanted(&target.scrape_pool) && state != "dropped")
        .map(|target| {
            json!({
                "discoveredLabels": target.discovered_labels,
                "labels": target.labels,
                "scrapePool": target.scrape_pool,
                "scrapeUrl": target.scrape_url,
                "globalUrl": target.scrape_url,
                "lastError": target.last_error,
                "lastScrape": target.last_scrape.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |t| t.to_string()),
                "lastScrapeDuration": target.last_scrape_duration.as_secs_f64(),
                "health": target.health.as_str(),
                "scrapeInterval": bellwether_model::duration::format_duration(target.scrape_interval),
                "scrapeTimeout": bellwether_model::duration::format_duration(target.scrape_timeout),
            })
        })
        .collect();
    let dropped: Vec<Value> = all
        .dropped
        .iter()
        .filter(|target| wanted(&target.scrape_pool) && state != "active")
        .map(|target| json!({"discoveredLabels": target.discovered_labels, "scrapePool": target.scrape_pool}))
        .collect();
    let counts: serde_json::Map<_, _> = all
        .dropped_counts
        .iter()
        .map(|(pool, count)| (pool.clone(), json!(count)))
        .collect();
    Ok(success(
        json!({"activeTargets": active, "droppedTargets": dropped, "droppedTargetCounts": counts}),
    ))
}

async fn targets_metadata(State(app): State<Arc<App>>, raw: RawQuery) -> Answer {
    let params = Params::read(raw, &HeaderMap::new(), &Bytes::new())?;
    let matchers = match params.get("match_target") {
        Some(text) => parse_metric_selector(text).map_err(|error| {
            ApiError::bad_data(format!("invalid parameter \"match_target\": {error}"))
        })?,
        None => Vec::new(),
    };
    let metric = params.get("metric");
    let limit = params
        .get("limit")
        .and_then(|text| text.parse().ok())
        .unwrap_or(usize::MAX);
    let found: Vec<Value> = app
        .scrapes
        .metadata()
        .into_iter()
        .filter(|entry| matchers.iter().all(|m| m.matches_labels(&entry.target)))
        .filter(|entry| metric.is_none_or(|metric| metric == entry.metric))
        .take(limit)
        .map(|entry| {
            let mut value = json!({
                "target": entry.target, "type": entry.metadata.kind,
                "help": entry.metadata.help, "unit": entry.metadata.unit,
            });
            if metric.is_none() {
                value["metric"] = json!(entry.metric);
            }
            value
        })
        .collect();
    Ok(success(json!(found)))
}

async fn scrape_pools(State(app): State<Arc<App>>) -> Answer {
    let pools: std::collections::BTreeSet<String> = app
        .scrapes
        .targets()
        .active
        .into_iter()
        .map(|target| target.scrape_pool)
        .collect();
    Ok(success(json!({"scrapePools": pools})))
}

async fn rules(State(app): State<Arc<App>>, raw: RawQuery) -> Answer {
    let params = Params::read(raw, &HeaderMap::new(), &Bytes::new())?;
    Ok(success(crate::http::rules::rules_json(
        &app.judge.status(),
        &|name| params.all(name).map(str::to_owned).collect(),
    )))
}

async fn alerts(State(app): State<Arc<App>>) -> Answer {
    Ok(success(crate::http::rules::alerts_json(
        &app.judge.status(),
    )))
}

async fn alertmanagers() -> Answer {
    Ok(success(
        json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}),
    ))
}

/// Exemplars are not stored yet: the answer is empty, not an error, as for a Prometheus without the feature.
async fn exemplars() -> Answer {
    Ok(success(json!([])))
}

// === status ===

async fn build_info() -> Answer {
    // `version` is what clients look at to know which features the API has.
    Ok(success(json!({
        "version": "3.5.0",
        "revision": env!("CARGO_PKG_VERSION"),
        "branch": "bellwether",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "application": "bellwether",
    })))
}

async fn runtime_info(State(app): State<Arc<App>>) -> Answer {
    let stats = app.series.stats();
    Ok(success(json!({
        "startTime": app.started_at.to_string(),
        "CWD": "",
        "reloadConfigSuccess": app.reload_ok(),
        "lastConfigTime": app.config_loaded_at().to_string(),
        "corruptionCount": 0,
        "goroutineCount": 0,
        "storageRetention": bellwether_model::duration::format_duration(app.retention),
        "seriesCount": stats.series,
    })))
}

async fn flags(State(app): State<Arc<App>>) -> Answer {
    Ok(success(json!({
        "storage.tsdb.retention.time": bellwether_model::duration::format_duration(app.retention),
        "web.listen-address": app.listen.to_string(),
        "query.lookback-delta": "5m",
        "query.timeout": "2m",
    })))
}

/// The configuration without its secrets: as Prometheus, `<secret>` stands in their place.
async fn config(State(app): State<Arc<App>>) -> Answer {
    Ok(success(json!({"yaml": app.config().redacted()})))
}

async fn tsdb(State(app): State<Arc<App>>) -> Answer {
    let top = app.series.cardinality(10);
    let stats = app.series.stats();
    let pairs = |all: &[(String, usize)]| -> Vec<Value> {
        all.iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect()
    };
    let (min_time, max_time) = stats.head_time.unwrap_or_default();
    Ok(success(json!({
        "headStats": {
            "numSeries": stats.series,
            "numLabelPairs": stats.label_pairs,
            "chunkCount": stats.head_chunks,
            "minTime": min_time,
            "maxTime": max_time,
        },
        "seriesCountByMetricName": pairs(&top.metrics),
        "labelValueCountByLabelName": pairs(&top.labels),
        "memoryInBytesByLabelName": pairs(&top.label_bytes),
        "seriesCountByLabelValuePair": pairs(&top.pairs),
    })))
}

async fn unknown() -> Answer {
    Err(ApiError {
        kind: "not_found",
        message: "no such endpoint".to_owned(),
    })
}

// === answers ===

/// `{"status":"success","data":…}`.
pub fn success(data: Value) -> Response {
    respond(
        StatusCode::OK,
        json!({"status": "success", "data": data}).to_string(),
    )
}

fn respond(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Written by hand: a range query's answer is large, and its numbers have Prometheus' form.
fn answer_query(result: &QueryResult, with_stats: bool) -> Response {
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

fn push_series(out: &mut String, series: &RangeSeries) {
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

fn push_labels(out: &mut String, labels: &Labels) {
    out.push_str(&serde_json::to_string(labels).expect("labels are text"));
}

fn push_point(out: &mut String, time: i64, value: f64) {
    out.push('[');
    push_time(out, time);
    let _ = write!(out, ",\"{}\"]", format_float(value));
}

/// Seconds with up to three decimals, as Prometheus writes them.
fn push_time(out: &mut String, ms: i64) {
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

fn histogram_json(histogram: &bellwether_model::histogram::Histogram) -> Value {
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

// === parameters ===

impl Params {
    fn read(RawQuery(raw): RawQuery, headers: &HeaderMap, body: &Bytes) -> Result<Self, ApiError> {
        let mut all = parse_form(raw.as_deref().unwrap_or_default().as_bytes());
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if body.len() > FORM_MAX {
            return Err(ApiError::bad_data(
                "the form is larger than 1 MiB".to_owned(),
            ));
        }
        if kind.starts_with("application/x-www-form-urlencoded") {
            all.extend(parse_form(body));
        }
        Ok(Self(all))
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    fn time(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        self.get(name)
            .map(|text| parse_time(text).ok_or_else(|| bad_time(name, text)))
            .transpose()
    }

    fn required_time(&self, name: &'static str) -> Result<i64, ApiError> {
        self.time(name)?.ok_or_else(|| bad_time(name, ""))
    }

    fn timeout(&self) -> Result<Duration, ApiError> {
        let Some(text) = self.get("timeout") else {
            return Ok(TIMEOUT);
        };
        let asked = parse_step(text).filter(|ms| *ms > 0).ok_or_else(|| {
            ApiError::bad_data(format!(
                "invalid parameter \"timeout\": cannot parse {text:?} to a valid duration"
            ))
        })?;
        Ok(TIMEOUT.min(Duration::from_millis(asked as u64)))
    }
}

fn parse_form(bytes: &[u8]) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let mut out = Vec::with_capacity(part.len());
        let mut rest = part.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let mut ahead = rest.clone();
                    let code = [ahead.next(), ahead.next()]
                        .map(|b| b.and_then(|b| (b as char).to_digit(16)));
                    if let [Some(high), Some(low)] = code {
                        out.push((high * 16 + low) as u8);
                        rest = ahead;
                    } else {
                        out.push(b'%');
                    }
                }
                byte => out.push(byte),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let text = String::from_utf8_lossy(bytes);
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Unix seconds with decimals, or RFC 3339.
fn parse_time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1000.0).round();
        return (seconds.is_finite() && ms.abs() < 9.2e18).then_some(ms as i64);
    }
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_millisecond)
}

/// Seconds with decimals, or a Prometheus duration, in milliseconds.
fn parse_step(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = seconds * 1000.0;
        return (seconds.is_finite() && ms.abs() < 9.2e15).then_some(ms as i64);
    }
    parse_duration(text)
        .ok()
        .map(|duration| duration.as_millis() as i64)
}

fn bad_time(name: &str, text: &str) -> ApiError {
    ApiError::bad_data(format!(
        "invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp"
    ))
}

// === impl ApiError ===

impl ApiError {
    fn bad_data(message: String) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_have_prometheus_form() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e6, "1000000"),
            (1e21, "1e+21"),
            (1e-7, "1e-07"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (1.5e300, "1.5e+300"),
        ] {
            assert_eq!(format_float(value), text);
        }
        let mut out = String::new();
        push_time(&mut out, 1_435_781_430_781);
        push_time(&mut out, -1_005);
        assert_eq!(out, "1435781430.781-1.005");
        assert_eq!(parse_time("1435781430.781"), Some(1_435_781_430_781));
        assert_eq!(
            parse_time("2015-07-01T20:10:30.781Z"),
            Some(1_435_781_430_781)
        );
        assert_eq!(parse_step("1m"), Some(60_000));
        assert_eq!(parse_step("0.5"), Some(500));
    }

    #[test]
    fn forms_and_escaped_names_are_read() {
        let form = parse_form(b"query=a%2Bb+c&match%5B%5D=%7Bx%3D%22y%22%7D&bad=%zz");
        assert_eq!(form[0], ("query".to_owned(), "a+b c".to_owned()));
        assert_eq!(form[1], ("match[]".to_owned(), "{x=\"y\"}".to_owned()));
        assert_eq!(form[2].1, "%zz");
        assert_eq!(unescape_name("http_2e_status__code"), "http.status_code");
    }
}
