//! Our own API under `/api/bellwether/v1`: one table gives the routes, the scopes and the OpenAPI document.

mod cases;
mod doc;
mod misc;
mod runs;

pub(crate) use runs::part;

use std::sync::Arc;

use axum::extract::Extension;
use axum::routing::MethodRouter;
use axum::{Router, middleware};
use serde_json::Value;

use crate::app::App;
use crate::http::auth::{Identity, Scope};
use crate::http::guard::{Caller, require};

/// Where this API lives.
pub const PREFIX: &str = "/api/bellwether/v1";

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
    router.route("/openapi.json", axum::routing::get(doc::serve))
}

/// Who is asking; behind [`require`] there is always somebody.
fn identity(caller: Option<Extension<Caller>>) -> Identity {
    caller.map_or_else(Identity::anonymous, |Extension(Caller(identity))| identity)
}

type MaybeCaller = Option<Extension<Caller>>;
