//! Alertmanager's API v2 under `/api/v2`: what Prometheus, `amtool` and dashboards speak.
//!
//! Data flow: bytes -> [`bellwether_wire::alertmanager`] -> the core, answered once it is recorded. Refusals have the
//! original's bodies, also where the framework refuses.

pub mod stats;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bellwether_flow::{Input, Why};
use bellwether_page::matchers::Mode;
use bellwether_page::{PagerEvent, Reason};
use bellwether_wire::Refusal;
use bellwether_wire::alertmanager as wire;
use serde_json::json;

use super::auth::Scope;
use super::guard::{self, Caller};
use crate::app::App;
use crate::core::NotTaken;

/// Body of a post that is accepted.
const BODY_MAX: usize = 8 << 20;

type Answer = Result<Response, Response>;

/// The routes, with their own door: loopback may post without a token, as an Alertmanager's senders do, unless the
/// server was told otherwise.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/status", get(status))
        .route("/receivers", get(receivers))
        .route("/alerts", get(alerts).post(post_alerts))
        .route("/alerts/groups", get(groups))
        .route("/silences", get(silences).post(post_silence))
        .route("/silence/{id}", get(silence).delete(delete_silence))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(app), door))
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    match &refusal.body {
        Some(body) => (status, Json(body)).into_response(),
        None => status.into_response(),
    }
}

fn coded(status: StatusCode, message: impl Into<String>) -> Response {
    refuse(&Refusal::coded(status.as_u16(), status.as_u16(), message))
}

fn json_bytes(body: Vec<u8>) -> Response {
    (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response()
}

/// Reading as everywhere; changing with a token that may respond, or over loopback from something that is no page.
async fn door(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = app.clock.monotonic();
    let method = request.method().clone();
    let handler = stats::handler_of(request.uri().path());
    let response = match may(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(response) => response,
    };
    let seconds = app.clock.monotonic().saturating_sub(started).as_secs_f64();
    app.alertmanager.request(handler, &method, seconds);
    response
}

fn may(app: &App, request: &Request) -> Result<(), Response> {
    let headers = request.headers();
    let caller = request.extensions().get::<Caller>();
    let reads = request.method().is_safe() || request.method() == Method::OPTIONS;
    let scope = if reads { Scope::Read } else { Scope::Respond };
    let open = caller.is_some_and(|Caller(identity)| identity.is_anonymous()) && app.open_posts;
    if !reads && open {
        // A page elsewhere must not post through the browser of somebody on this machine.
        return match headers.get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) if guard::is_ours(origin, headers) => Ok(()),
            Some(_) => Err(coded(
                StatusCode::FORBIDDEN,
                "the request comes from a page elsewhere",
            )),
        };
    }
    guard::check(caller, scope, request.method(), headers).map_err(|problem| {
        let mut response = coded(problem.status, problem.detail);
        if problem.status == StatusCode::UNAUTHORIZED {
            let ask = axum::http::HeaderValue::from_static("Basic realm=\"bellwether\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        }
        response
    })
}

async fn unknown(uri: Uri) -> Response {
    coded(
        StatusCode::NOT_FOUND,
        format!("path {} was not found", full_path(uri.path())),
    )
}

fn full_path(path: &str) -> String {
    if path.starts_with("/api/v2") {
        path.to_owned()
    } else {
        format!("/api/v2{path}")
    }
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let allowed = match uri.path().rsplit('/').next() {
        Some("alerts" | "silences") => "GET,POST",
        _ if uri.path().contains("/silence/") => "DELETE,GET",
        _ => "GET",
    };
    let message = format!("method {method} is not allowed, but [{allowed}] are");
    let mut response = coded(StatusCode::METHOD_NOT_ALLOWED, message);
    if let Ok(value) = allowed.parse() {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn mode(app: &App) -> Mode {
    app.config().page.matcher_mode
}

fn params(RawQuery(raw): &RawQuery) -> Vec<(String, String)> {
    super::prometheus::parse_form(raw.as_deref().unwrap_or_default().as_bytes())
}

/// The body of a post, which must say that it is JSON.
fn json_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Response> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map_or("application/octet-stream", |kind| {
            kind.to_str().unwrap_or_default()
        });
    let plain = kind.split(';').next().unwrap_or_default().trim();
    if !plain.eq_ignore_ascii_case("application/json") {
        let message =
            format!("unsupported media type {kind:?}, only [application/json] are allowed");
        return Err(coded(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    body.map_err(|rejection| {
        let status = rejection.status();
        let message = if status == StatusCode::PAYLOAD_TOO_LARGE {
            format!("the body is larger than {} MiB", BODY_MAX >> 20)
        } else {
            rejection.body_text()
        };
        coded(status, message)
    })
}

fn not_taken(error: NotTaken) -> Response {
    let status = match error {
        NotTaken::Stopped => 503,
        NotTaken::Refused(_) => 500,
    };
    refuse(&Refusal::text(status, error.to_string()))
}

async fn status(State(app): State<Arc<App>>) -> Response {
    let version = wire::Version {
        version: stats::ALERTMANAGER_VERSION.to_owned(),
        revision: format!("bellwether-{}", env!("CARGO_PKG_VERSION")),
        build_date: String::new(),
    };
    let original = app.config().as_alertmanager();
    json_bytes(wire::status_json(&version, &original, app.started_at))
}

async fn receivers(State(app): State<Arc<App>>, query: RawQuery) -> Answer {
    let wanted = wire::receiver_query(&params(&query), mode(&app)).map_err(|r| refuse(&r))?;
    let config = app.config();
    Ok(json_bytes(wire::receivers_json(&config.page, &wanted)))
}

async fn alerts(State(app): State<Arc<App>>, query: RawQuery) -> Answer {
    let query = wire::Query::read(&params(&query), mode(&app)).map_err(|r| refuse(&r))?;
    let (now, config) = (app.clock.now(), app.config());
    let mut views = app.core.view(|flow| flow.pager.alerts(now));
    views.retain(|view| {
        let received = view
            .receivers
            .iter()
            .any(|name| query.wants_receiver(name, &config.page));
        received && query.wants(view)
    });
    Ok(json_bytes(wire::alerts_json(&views)))
}

async fn groups(State(app): State<Arc<App>>, query: RawQuery) -> Answer {
    let query = wire::Query::read(&params(&query), mode(&app)).map_err(|r| refuse(&r))?;
    let (now, config) = (app.clock.now(), app.config());
    let mut views = app.core.view(|flow| flow.pager.groups(now));
    views.retain_mut(|group| {
        group.alerts.retain(|view| query.wants(view));
        (query.wants_muted() || group.muted_by.is_empty())
            && query.wants_receiver(&group.receiver, &config.page)
            && !group.alerts.is_empty()
    });
    Ok(json_bytes(wire::groups_json(&views)))
}

async fn post_alerts(
    State(app): State<Arc<App>>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body = json_body(&headers, body)?;
    let mode = mode(&app);
    let mut posted = wire::read_alerts(&body, mode).map_err(|refusal| refuse(&refusal))?;
    let now = app.clock.now();
    let ended = |alert: &&bellwether_model::PostedAlert| alert.ends_at.is_some_and(|at| at <= now);
    let resolved = posted.good.iter().filter(ended).count();
    app.alertmanager
        .received(posted.good.len() - resolved, resolved, posted.refused.len());
    let alerts = std::mem::take(&mut posted.good);
    if !alerts.is_empty() {
        let source = source(caller.as_deref(), &headers);
        let event = PagerEvent::Alerts { alerts, source };
        app.core.send(Input::Page(event)).await.map_err(not_taken)?;
    }
    Ok(match posted.answer() {
        Some(refusal) => refuse(&refusal),
        None => StatusCode::OK.into_response(),
    })
}

/// Who sent an alert: the program's name, and the token if there was one.
fn source(caller: Option<&Caller>, headers: &HeaderMap) -> String {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .and_then(|agent| agent.split(['/', ' ']).next())
        .filter(|agent| !agent.is_empty())
        .unwrap_or("api");
    let agent: String = agent.chars().take(40).collect();
    match caller {
        Some(Caller(identity)) if !identity.is_anonymous() => {
            format!("{} ({})", agent.to_lowercase(), identity.actor)
        }
        _ => agent.to_lowercase(),
    }
}

async fn silences(State(app): State<Arc<App>>, query: RawQuery) -> Answer {
    let query = wire::SilenceQuery::read(&params(&query), mode(&app)).map_err(|r| refuse(&r))?;
    let now = app.clock.now();
    let mut views = app.core.view(|flow| flow.pager.silences(now));
    views.retain(|view| query.wants(view));
    Ok(json_bytes(wire::silences_json(views)))
}

fn known_id(id: &str) -> Result<(), Response> {
    if wire::is_uuid(id) || id.starts_with("sil-") {
        return Ok(());
    }
    let shown: String = id.chars().take(200).collect();
    let message = format!("silenceID in path must be of type uuid: {shown:?}");
    Err(refuse(&Refusal::coded(422, 601, message)))
}

async fn silence(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer {
    known_id(&id)?;
    let now = app.clock.now();
    match app.core.view(|flow| flow.pager.silence(&id, now)) {
        Some(view) => Ok(json_bytes(wire::silence_json(&view))),
        None => Err(StatusCode::NOT_FOUND.into_response()),
    }
}

async fn post_silence(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body = json_body(&headers, body)?;
    let now = app.clock.now();
    let limits = app.silence_limits;
    if body.len() > limits.bytes {
        let text = format!(
            "silence exceeded maximum size: {} bytes (limit: {} bytes)",
            body.len(),
            limits.bytes
        );
        return Err(refuse(&Refusal::text(400, text)));
    }
    let known = app.core.view(|flow| flow.pager.silence_count());
    if known >= limits.silences {
        let text = format!(
            "exceeded maximum number of silences: {known} (limit: {})",
            limits.silences
        );
        return Err(refuse(&Refusal::text(400, text)));
    }
    let exists = |id: &str| app.core.view(|flow| flow.pager.silence(id, now).is_some());
    let new = wire::read_silence(&body, mode(&app), now, exists).map_err(|r| refuse(&r))?;
    let event = PagerEvent::SilenceSet(new);
    let reply = app.core.send(Input::Page(event)).await.map_err(not_taken)?;
    let mut id = None;
    for why in reply.why {
        match why {
            Why::Page(
                Reason::SilenceCreated { id: made } | Reason::SilenceUpdated { id: made },
            ) => id = Some(made),
            Why::Page(Reason::Refused { text }) => {
                return Err(refuse(&wire::silence_refusal(&text, false)));
            }
            _ => {}
        }
    }
    match id {
        Some(id) => Ok(json_bytes(
            format!("{}\n", json!({"silenceID": id})).into_bytes(),
        )),
        None => Err(refuse(&Refusal::text(500, "the silence was not made"))),
    }
}

async fn delete_silence(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Option<Extension<Caller>>,
) -> Answer {
    known_id(&id)?;
    let actor = match caller {
        Some(Extension(Caller(identity))) => identity.actor,
        None => "anonymous".to_owned(),
    };
    let event = PagerEvent::SilenceExpire { id, actor };
    let reply = app.core.send(Input::Page(event)).await.map_err(not_taken)?;
    let refused = reply.why.into_iter().find_map(|why| match why {
        Why::Page(Reason::Refused { text }) => Some(text),
        _ => None,
    });
    match refused {
        Some(text) => Err(refuse(&wire::silence_refusal(&text, true))),
        None => Ok(StatusCode::OK.into_response()),
    }
}
