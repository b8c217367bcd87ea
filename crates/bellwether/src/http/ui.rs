//! The pages: view models filled from the running parts, forms turned into commands, and the live stream.
//!
//! Data flow: a request -> [`frame::Visitor`] (who looks, how) -> a view model -> `bellwether_ui`. A form -> [`frame::Posted`]
//! (its CSRF token checked) -> one input to the core or the planner -> back to the page by a redirect.
//!
//! Not here: HTML (crate `ui`) and decisions (the engines).

mod backtest;
mod cases;
mod charts;
mod explore;
mod frame;
mod lab;
mod live;
mod oncall;
pub mod pages;
mod runbooks;
mod runs;
mod silences;
mod status;
mod units;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::app::App;

/// The routes.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(cases::now))
        .route("/cases", get(cases::list))
        .route("/cases/open", post(cases::open))
        .route("/cases/{case}", get(cases::show))
        .route("/cases/{case}/run", post(runs::tap))
        .route("/cases/{case}/{action}", post(cases::act))
        .route("/oncall", get(oncall::show))
        .route("/oncall/override", post(oncall::add))
        .route("/oncall/override/end", post(oncall::end))
        .route("/silences", get(silences::show))
        .route("/silences/add", post(silences::add))
        .route("/silences/end", post(silences::end))
        .route("/targets", get(watch::targets))
        .route("/explore", get(explore::show))
        .route("/rules", get(watch::rules))
        .route("/rule", get(watch::rule))
        .route("/slos", get(watch::slos))
        .route("/backtest", get(backtest::show).post(backtest::start))
        .route("/backtest/stop", post(backtest::stop))
        .route("/runbooks", get(runbooks::list))
        .route("/runbooks/{runbook}", get(runbooks::show))
        .route("/runbooks/{runbook}/start", post(runbooks::start))
        .route("/runs/{run}", get(runs::show))
        .route("/runs/{run}/{action}", post(runs::act))
        .route("/lab", get(lab::show))
        .route("/lab/experiments/{experiment}", get(lab::experiment))
        .route("/status", get(status::show))
        .route("/help", get(status::help))
        .route("/theme", post(frame::theme))
        .route("/ui/live", get(live::stream))
        .route("/assets/{file}", get(asset))
        .route("/favicon.ico", get(favicon))
        .fallback(frame::missing)
}

/// Browsers ask for it when they show something that is no page of ours.
async fn favicon() -> Redirect {
    Redirect::permanent("/assets/logo.svg")
}

/// Cached for ever: pages name the version in the query.
async fn asset(Path(file): Path<String>) -> Response {
    const FOREVER: &str = "public, max-age=31536000, immutable";
    match bellwether_ui::asset(&format!("/assets/{file}")) {
        Some(asset) => {
            let headers = [
                (header::CONTENT_TYPE, asset.content_type.to_owned()),
                (header::CACHE_CONTROL, FOREVER.to_owned()),
                (header::ETAG, format!("\"{}\"", asset.etag)),
            ];
            (headers, asset.bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
