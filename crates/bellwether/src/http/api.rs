//! Our own API under `/api/bellwether/v1`: one table gives the routes, the scopes and the OpenAPI document.

mod cases;
mod doc;
mod ladder;
mod misc;
mod oncall;
mod runs;
mod silences;

pub(crate) use oncall::with_view;
pub(crate) use runs::part;

use std::sync::Arc;

use axum::extract::Extension;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use axum::{Router, middleware};
use serde_json::Value;

use crate::app::App;
use crate::http::auth::{Identity, Scope};
use crate::http::guard::{Caller, require};
use crate::http::problem::Problem;

/// Where this API lives.
pub const PREFIX: &str = "/api/bellwether/v1";
/// Text of a refusal that is looked at.
const REFUSAL_MAX: usize = 64 << 10;

/// One endpoint.
pub struct Endpoint {
    pub method: &'static str,
    /// Below [`PREFIX`], with `{name}` for parameters.
    pub path: &'static str,
    pub scope: Scope,
    pub summary: &'static str,
    /// JSON schema of the body, when there is one.
    pub request: Option<Value>,
    /// JSON schema of the answer.
    pub response: Value,
    handler: MethodRouter<Arc<App>>,
}

/// All endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    let mut all = cases::endpoints();
    all.extend(runs::endpoints());
    all.extend(ladder::endpoints());
    all.extend(oncall::endpoints());
    all.extend(silences::endpoints());
    all.extend(misc::endpoints());
    all
}

/// The routes, each behind its scope.
pub fn routes() -> Router<Arc<App>> {
    let mut router = Router::new();
    for endpoint in endpoints() {
        let guarded = endpoint
            .handler
            .layer(middleware::from_fn_with_state(endpoint.scope, require));
        router = router.route(endpoint.path, guarded);
    }
    router
        .route("/openapi.json", axum::routing::get(doc::serve))
        .fallback(async || Problem::not_found("endpoint"))
        .layer(middleware::map_response(as_problem))
}

/// What the framework itself refuses (a body that is no JSON, a wrong method) in the form of our own errors.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, REFUSAL_MAX)
        .await
        .unwrap_or_default();
    let text: String = String::from_utf8_lossy(&text).chars().take(500).collect();
    let detail = match text.trim() {
        "" => status.canonical_reason().unwrap_or("refused").to_owned(),
        text => text.to_owned(),
    };
    let mut problem = Problem::new(status, "refused", detail).into_response();
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

/// Who is asking; behind [`require`] there is always somebody.
fn identity(caller: Option<Extension<Caller>>) -> Identity {
    caller.map_or_else(Identity::anonymous, |Extension(Caller(identity))| identity)
}

type MaybeCaller = Option<Extension<Caller>>;
