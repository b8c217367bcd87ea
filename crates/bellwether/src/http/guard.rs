//! The door: who is asking, may they, and does the request come from where it should.
//!
//! - A request over loopback may read without saying who it is, unless its `Host` is foreign (a page elsewhere that
//!   rebinds a name to 127.0.0.1 gets nothing) or the external address says that a proxy lets others in. Everything
//!   else needs a session or an API token.
//! - Callers from elsewhere send so many requests and no more ([`limits`]).
//! - A session that changes something must carry its CSRF token (header `X-CSRF-Token` or form field `csrf`).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::app::App;
use crate::http::auth::{COOKIE, Identity, Scope};
use crate::http::limits;
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
    let bearer = token_of(headers);
    let known = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .identify(cookie(headers, COOKIE), bearer.as_deref(), app.clock.now());
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    let local = app.listen.ip().is_loopback()
        && peer.is_some_and(|ip| ip.is_loopback())
        && host_of(&app.external_url).is_some_and(names_loopback);
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let identity = match known {
        Some(identity) => Some(identity),
        None if local && host.is_some_and(names_loopback) => Some(Identity::anonymous()),
        None if app.open_reads => Some(Identity::anonymous()),
        None => None,
    };
    if let Some(peer) = peer.filter(|_| !local)
        && let Err(wait) = app
            .limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(counted(identity.as_ref(), peer), app.clock.monotonic())
    {
        return too_many(wait);
    }
    if let Some(identity) = identity {
        request.extensions_mut().insert(Caller(identity));
    }
    next.run(request).await
}

/// Who a request is counted for.
fn counted(identity: Option<&Identity>, peer: IpAddr) -> limits::Caller {
    match identity {
        Some(identity) if identity.csrf.is_some() => limits::Caller::Person(identity.actor.clone()),
        Some(identity) => limits::Caller::Machine(identity.actor.clone()),
        None => limits::Caller::stranger(peer),
    }
}

fn too_many(wait: Duration) -> Response {
    let seconds = (wait.as_secs() + 1).to_string();
    let problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_requests",
        "too many requests from you",
    );
    let mut response = problem.into_response();
    if let Ok(value) = seconds.parse() {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// The token that a request carries: as a bearer, as Opsgenie's clients send theirs, or as the password of basic
/// authentication, whatever its user is called, for programs that know nothing else.
fn token_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    if let Some(token) = value
        .strip_prefix("Bearer ")
        .or_else(|| value.strip_prefix("GenieKey "))
    {
        return Some(token.to_owned());
    }
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?.trim()).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    pair.split_once(':')
        .map(|(_, password)| password.to_owned())
}

/// Whether an `Origin` is the address that the request was sent to.
pub fn is_ours(origin: &axum::http::HeaderValue, headers: &HeaderMap) -> bool {
    let text = |value: &axum::http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let host = headers.get(header::HOST).and_then(text);
    let origin = text(origin);
    host.zip(origin)
        .is_some_and(|(host, origin)| host_of(&origin) == Some(&*host))
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

/// Host and port of a URL.
fn host_of(url: &str) -> Option<&str> {
    url.split("//").nth(1)?.split('/').next()
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

/// Lets remote write through: with a token that may respond, or without one over loopback (what may write at all is
/// asked of the receiver's setting). A browser's session may not: a page elsewhere could use it.
pub async fn require_writer(request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    let may = caller.is_some_and(|Caller(identity)| {
        identity.csrf.is_none() && (identity.may(Scope::Respond) || identity.actor == "anonymous")
    });
    if may {
        return next.run(request).await;
    }
    let status = if caller.is_some() {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::UNAUTHORIZED
    };
    Problem::new(
        status,
        "forbidden",
        "writing samples needs a token that may respond",
    )
    .into_response()
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
        let status = if identity.is_anonymous() {
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
        assert_eq!(host_of("https://us.example.org/x"), Some("us.example.org"));
        assert_eq!(host_of("nonsense"), None);
    }
}
