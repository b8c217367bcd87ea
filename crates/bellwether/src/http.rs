//! HTTP: Prometheus' API, our own, the pages, and the door before all of them.
//!
//! `/api/v1` speaks Prometheus' words and errors, `/api/bellwether/v1` ours (problem+json); pages are HTML. Every
//! route asks for a scope ([`guard`]); sizes and times are limited here for all.

pub mod alertmanager;
pub mod api;
pub mod auth;
pub mod calendars;
pub mod guard;
pub mod limits;
pub mod problem;
pub mod prometheus;
pub mod rules;
pub mod session;
pub mod ui;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::app::App;
use crate::http::auth::Scope;

/// Body of a request that is accepted.
const BODY_MAX: usize = 4 << 20;
/// Time that stopping waits for requests under way.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// All routes of a server.
pub fn router(app: Arc<App>) -> Router {
    let read = || middleware::from_fn_with_state(Scope::Read, guard::require);
    // An Alertmanager's callers reload it without saying who they are.
    let reloader = if app.open_reads {
        Scope::Read
    } else {
        Scope::Admin
    };
    let admin = || middleware::from_fn_with_state(reloader, guard::require);
    let prefix = app.route_prefix.clone();
    let router = Router::new()
        .nest(
            "/api/v1",
            prometheus::routes()
                .layer(read())
                .merge(prometheus::changing_routes()),
        )
        .merge(prometheus::federation().layer(read()))
        .nest("/api/v2", alertmanager::routes(&app))
        .nest(api::PREFIX, api::routes())
        .route("/metrics", get(metrics).layer(read()))
        .route("/-/reload", post(reload).put(reload).layer(admin()))
        .merge(session::routes())
        .merge(calendars::routes())
        .merge(ui::routes())
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            guard::identify,
        ))
        // Before the door: whoever watches us must not need a token to see that we live.
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new())
        .layer(middleware::map_response(harden))
        .with_state(app);
    if prefix.is_empty() {
        router
    } else {
        Router::new().nest(&prefix, router)
    }
}

/// Headers that every answer has.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let set = |headers: &mut axum::http::HeaderMap, name, value| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set(
        headers,
        header::CONTENT_SECURITY_POLICY,
        bellwether_ui::CONTENT_SECURITY_POLICY,
    );
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::REFERRER_POLICY, "same-origin");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    response
}

/// Serves until `stop` resolves.
pub async fn serve(
    listeners: Vec<TcpListener>,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = router(app);
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        let service = router
            .clone()
            .into_make_service_with_connect_info::<SocketAddr>();
        let mut stopped = stopped.clone();
        servers.spawn(
            axum::serve(listener, service)
                .with_graceful_shutdown(async move {
                    drop(stopped.wait_for(|stopped| *stopped).await);
                })
                .into_future(),
        );
    }
    let mut waiting = stopped.clone();
    let all = async {
        while let Some(ended) = servers.join_next().await {
            ended.map_err(std::io::Error::other)??;
        }
        Ok(())
    };
    let stop = async move {
        stop.await;
        stopping.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = all => result,
        () = stop => Ok(()),
        () = async {
            // Open event streams would hold the server for ever.
            drop(waiting.wait_for(|stopped| *stopped).await);
            crate::core::pause(STOP_WAIT).await;
        } => Ok(()),
    }
}

async fn healthy(State(app): State<Arc<App>>) -> &'static str {
    if app.pager_only {
        "OK"
    } else {
        "Bellwether is Healthy.\n"
    }
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.store.health().await {
        Ok(()) if app.pager_only => "OK".into_response(),
        Ok(()) => "Bellwether is Ready.\n".into_response(),
        Err(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("state cannot be written: {error}\n"),
        )
            .into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = crate::status::metrics_text(&app).await;
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

async fn reload(State(app): State<Arc<App>>) -> Response {
    match app.reload().await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(problems) => {
            let text = format!("failed to reload config; nothing was changed:\n{problems}");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
