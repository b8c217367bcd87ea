//! Logging in and out, the first administrator, and signed links.

use std::sync::{Arc, PoisonError};

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bellwether_flow::Input;
use bellwether_model::Secret;
use bellwether_page::PagerEvent;
use serde::Deserialize;

use crate::app::App;
use crate::http::auth::{AuthError, COOKIE, Login, hash_password, verify_password};
use crate::http::guard::{Caller, cookie};
use crate::http::problem::Problem;
use crate::http::ui::pages;
use crate::links::AckLink;

/// The routes.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/login", get(login_page).post(log_in))
        .route("/setup", get(setup_page).post(set_up))
        .route("/logout", post(log_out))
        .route(
            "/a/{case}/{person}/{as_of}/{signature}",
            get(ack_page).post(acknowledge),
        )
}

#[derive(Deserialize)]
struct Ticket {
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    next: String,
}

/// Answers with the session's cookie. Strict: no other site can make a browser send it.
async fn begin(app: &App, login: Login, next: &str) -> Result<Response, Problem> {
    app.core.send(Input::Record(login.batch)).await?;
    let secure = if app.external_url.starts_with("https://") {
        "; Secure"
    } else {
        ""
    };
    let value = format!(
        "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        login.cookie.expose(),
        login.max_age.as_secs()
    );
    // Only paths of ours: a link must not send people elsewhere after they logged in.
    let next = if next.starts_with('/') && !next.starts_with("//") && !next.contains('\\') {
        next
    } else {
        "/"
    };
    // A page that redirects by itself: a strict cookie is not sent along a redirect that began on another site.
    let mut response = pages::redirect(next).into_response();
    let value = HeaderValue::from_str(&value).map_err(|_| Problem::bad("cookie"))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

async fn login_page(
    State(app): State<Arc<App>>,
    Query(query): Query<Ticket>,
) -> Result<Response, Problem> {
    if query.ticket.is_empty() {
        return Ok(pages::login(&app, &query.next, None).into_response());
    }
    let now = app.clock.now();
    let followed = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .follow_link(&query.ticket, now);
    match followed {
        Ok(login) => begin(&app, login, &query.next).await,
        Err(error) => Ok(refused(
            &error,
            pages::login(&app, &query.next, Some(&error.to_string())),
        )),
    }
}

fn refused(error: &AuthError, page: impl IntoResponse) -> Response {
    let status = match error {
        AuthError::TooMany => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::UNAUTHORIZED,
    };
    (status, page).into_response()
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
    /// The password once more, where a new one is set.
    password2: Option<String>,
    #[serde(default)]
    next: String,
    #[serde(default)]
    ticket: String,
}

/// Something slow about a password, off the event loop.
async fn off_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the password could not be checked",
        )
    })
}

async fn log_in(
    State(app): State<Arc<App>>,
    Form(form): Form<Credentials>,
) -> Result<Response, Problem> {
    let now = app.clock.now();
    let hash = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .attempt(&form.name, now);
    let login = match hash {
        Ok(hash) => {
            let password = Secret::new(form.password);
            let verified = off_loop(move || verify_password(&password, &hash)).await?;
            app.auth
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .log_in(&form.name, verified, now)
        }
        Err(error) => Err(error),
    };
    match login {
        Ok(login) => begin(&app, login, &form.next).await,
        Err(error) => Ok(refused(
            &error,
            pages::login(&app, &form.next, Some(&error.to_string())),
        )),
    }
}

async fn setup_page(State(app): State<Arc<App>>, Query(query): Query<Ticket>) -> Response {
    let now = app.clock.now();
    let good = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .ticket_is_good(&query.ticket, now);
    if good {
        pages::setup(&app, &query.ticket, None).into_response()
    } else {
        refused(
            &AuthError::Ticket,
            pages::login(&app, "/", Some(&AuthError::Ticket.to_string())),
        )
    }
}

async fn set_up(
    State(app): State<Arc<App>>,
    Form(form): Form<Credentials>,
) -> Result<Response, Problem> {
    let now = app.clock.now();
    let (ticket, password) = (form.ticket.clone(), Secret::new(form.password));
    if !app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .ticket_is_good(&ticket, now)
    {
        return Ok(refused(
            &AuthError::Ticket,
            pages::login(&app, "/", Some(&AuthError::Ticket.to_string())),
        ));
    }
    if form
        .password2
        .as_deref()
        .is_some_and(|again| again != password.expose())
    {
        let differ = AuthError::Invalid("the two passwords differ".to_owned());
        return Ok(refused(
            &differ,
            pages::setup(&app, &form.ticket, Some(&differ.to_string())),
        ));
    }
    let hash = off_loop(move || hash_password(&password)).await?;
    let login = hash.and_then(|hash| {
        app.auth
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set_up(&ticket, &form.name, hash, now)
    });
    match login {
        Ok(login) => begin(&app, login, "/").await,
        Err(error) => Ok(refused(
            &error,
            pages::setup(&app, &form.ticket, Some(&error.to_string())),
        )),
    }
}

#[derive(Deserialize)]
struct Csrf {
    #[serde(default)]
    csrf: String,
}

async fn log_out(
    State(app): State<Arc<App>>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    Form(form): Form<Csrf>,
) -> Result<Response, Problem> {
    let known = caller.and_then(|Extension(Caller(identity))| identity.csrf);
    if let (Some(csrf), Some(cookie)) = (known, cookie(&headers, COOKIE))
        && csrf == form.csrf
    {
        let batch = app
            .auth
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .log_out(cookie);
        app.core.send(Input::Record(batch)).await?;
    }
    let mut response = Redirect::to("/").into_response();
    let gone = HeaderValue::from_static(
        "bellwether_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0",
    );
    response.headers_mut().insert(header::SET_COOKIE, gone);
    Ok(response)
}

type AckPath = Path<(String, String, u32, String)>;

fn signed(app: &App, Path((case, person, as_of, signature)): AckPath) -> Result<AckLink, Problem> {
    let forged = || {
        Problem::new(
            StatusCode::FORBIDDEN,
            "link",
            "this link is not one of ours",
        )
    };
    let case = case.parse().map_err(|_| forged())?;
    let link = AckLink {
        case,
        person,
        as_of,
    };
    if app.links.verify(&link, &signature) {
        Ok(link)
    } else {
        Err(forged())
    }
}

/// A button: programs that open every link in a mail change nothing.
async fn ack_page(State(app): State<Arc<App>>, path: AckPath) -> Result<Response, Problem> {
    let link = signed(&app, path)?;
    Ok(pages::acknowledge(&app, &link, false).into_response())
}

async fn acknowledge(State(app): State<Arc<App>>, path: AckPath) -> Result<Response, Problem> {
    let link = signed(&app, path)?;
    let event = PagerEvent::Acknowledge {
        case: link.case,
        actor: format!("user:{}", link.person),
        as_of: Some(link.as_of),
    };
    app.core.send(Input::Page(event)).await?;
    Ok(pages::acknowledge(&app, &link, true).into_response())
}
