//! The door: who is asking, may they, and does the request come from where it should.
//!
//! - A request over loopback may read without saying who it is, unless its `Host` is foreign (a page elsewhere that
//!   rebinds a name to 127.0.0.1 gets nothing). Everything else needs a session or an API token.
//! - A session that changes something must carry its CSRF token (header `X-CSRF-Token` or form field `csrf`).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::http::auth::{COOKIE, Identity, Scope};
use crate::http::problem::Problem;

/// Header that carries the CSRF token.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// The caller of a request, put into its extensions by [`identify`].
#[derive(Clone, Debug)]
pub struct Caller(pub Identity);

/// Cookie of a request, by name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Finds out who is asking. Without any identity the request goes on as nobody; [`require`] decides.
pub async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            value
                .strip_prefix("Bearer ")
                .or_else(|| value.strip_prefix("GenieKey "))
        });
    let known = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .identify(cookie(headers, COOKIE), bearer, app.clock.now());
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    let local = app.listen.ip().is_loopback() && peer.is_some_and(|ip| ip.is_loopback());
    let identity = match known {
        Some(identity) => Some(identity),
        None if local && host_is_ours(headers, &app) => Some(Identity::anonymous()),
        None => None,
    };
    if let Some(identity) = identity {
        request.extensions_mut().insert(Caller(identity));
    }
    next.run(request).await
}

/// Whether the `Host` header names loopback or the external address.
fn host_is_ours(headers: &HeaderMap, app: &App) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    host.is_some_and(|host| names_loopback(host) || names(&app.external_url, host))
}

/// `localhost` or an address of loopback, with or without a port. Only a whole address counts: `127.0.0.1.example.org`
/// is a name that its owner may let point anywhere.
fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a URL's host and port are `host`.
fn names(url: &str, host: &str) -> bool {
    url.split("//")
        .nth(1)
        .is_some_and(|rest| rest.split('/').next() == Some(host))
}

/// Lets a request through when its caller has a scope, and, for a change through a session, its CSRF token.
pub async fn require(State(scope): State<Scope>, request: Request, next: Next) -> Response {
    match check(
        request.extensions().get::<Caller>(),
        scope,
        request.method(),
        request.headers(),
    ) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The check of [`require`], for handlers that read the CSRF token from their form.
pub fn check(
    caller: Option<&Caller>,
    scope: Scope,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Some(Caller(identity)) = caller else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "log in or send an API token",
        ));
    };
    if !identity.may(scope) {
        let status = if identity.actor == "anonymous" {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::FORBIDDEN
        };
        return Err(Problem::new(
            status,
            "forbidden",
            format!("{} may not do this", identity.actor),
        )
        .with_hint("log in, or send an API token that has the scope"));
    }
    if method.is_safe() {
        return Ok(());
    }
    if let Some(csrf) = &identity.csrf {
        let sent = headers
            .get(CSRF_HEADER)
            .and_then(|value| value.to_str().ok());
        if sent != Some(csrf.as_str()) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "csrf",
                "the request does not come from our own page",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_of_loopback_are_ours() {
        for host in [
            "localhost",
            "localhost:9876",
            "127.0.0.1:80",
            "127.8.9.1",
            "[::1]:9876",
            "[::1]",
        ] {
            assert!(names_loopback(host), "{host}");
        }
        for host in [
            "127.0.0.1.example.org",
            "127.example.org:80",
            "localhost.example.org",
            "10.0.0.1",
            "",
            ":80",
            "evil",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
        assert!(names("https://us.example.org/x", "us.example.org"));
        assert!(!names(
            "https://us.example.org",
            "us.example.org.evil.example"
        ));
    }
}
