//! Prometheus' HTTP API, in its words and its error format: `promtool`, Grafana and every other client of it work.

mod answer;
mod params;
mod remote;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, middleware};
use bellwether_promql::{Engine, Expr, parse_metric_selector};
use serde_json::{Value, json};

pub use answer::{answer_text, format_float, success};
pub(crate) use params::parse_form;
pub use params::parse_time;

use answer::{ApiError, answer_query, respond};
use params::{Params, Selectors, bad_time, parse_step};

use crate::app::App;
use crate::http::auth::Scope;
use crate::http::guard;
use crate::queries::{TIMEOUT, Times};

/// Points that one series of a range query may have, as in Prometheus.
const POINTS_MAX: i64 = 11_000;
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
        .route(
            "/query_exemplars",
            get(remote::exemplars).post(remote::exemplars),
        )
        .route("/read", post(remote::read))
        .route("/status/walreplay", get(wal_replay))
        .route("/status/buildinfo", get(build_info))
        .route("/status/runtimeinfo", get(runtime_info))
        .route("/status/flags", get(flags))
        .route("/status/config", get(config))
        .route("/status/tsdb", get(tsdb))
        .fallback(unknown)
}

/// Routes below `/api/v1` that change something, with the scope each needs.
pub fn changing_routes() -> Router<Arc<App>> {
    let needs = |scope| middleware::from_fn_with_state(scope, guard::require);
    // Whoever turned the receiver on has said that this machine may write; elsewhere a token says so.
    let write = post(remote::write).layer(DefaultBodyLimit::max(remote::WRITE_BODY_MAX));
    let snapshot = post(remote::snapshot).put(remote::snapshot);
    Router::new()
        .route(
            "/write",
            write.layer(middleware::from_fn(guard::require_writer)),
        )
        .route("/admin/tsdb/snapshot", snapshot.layer(needs(Scope::Admin)))
}

/// `/federate`.
pub fn federation() -> Router<Arc<App>> {
    Router::new().route("/federate", get(remote::federate))
}

async fn wal_replay() -> Answer {
    // The log is read before the address is bound: who can ask finds it done.
    Ok(success(
        json!({"min": 0, "max": 0, "current": 0, "state": "done"}),
    ))
}

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
    evaluate(&app, &params, expr, Times::at(time)).await
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
    evaluate(&app, &params, expr, times).await
}

async fn evaluate(app: &App, params: &Params, expr: Expr, times: Times) -> Answer {
    let limit = params.limit()?;
    let mut options = app.queries.engine().options().clone();
    options.lookback_ms = params.lookback()?.unwrap_or(options.lookback_ms);
    let result = app
        .queries
        .run_with(Engine::new(options), expr, times, params.timeout()?)
        .await?;
    Ok(answer_query(result, params.get("stats").is_some(), limit))
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
    for (metric, about) in app.ingest.metadata() {
        if params.get("metric").is_some_and(|wanted| wanted != metric) {
            continue;
        }
        let known = json!({"type": about.kind, "help": about.help, "unit": about.unit});
        let of_metric = by_metric.entry(metric).or_default();
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
    Err(ApiError::not_found("no such endpoint".to_owned()))
}
