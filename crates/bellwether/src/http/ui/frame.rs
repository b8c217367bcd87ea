//! Who looks at a page, how they want it, and what is around it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use bellwether_judge::AlertState;
use bellwether_model::Labels;
use bellwether_observe::Health;
use bellwether_page::config::DEFAULT_PERSON;
use bellwether_ui::{Chrome, Counts, ErrorPage, Nav, Notice, Theme, Tone, path};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::app::App;
use crate::http::auth::{Identity, Scope};
use crate::http::guard::{Caller, cookie};
use crate::http::problem::Problem;

/// A page or the reason why there is none, as a page too.
pub(super) type Page = Result<Response, Response>;

/// Somebody who looks at a page.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) app: Arc<App>,
    pub(super) identity: Identity,
    pub(super) now: Timestamp,
    /// Query parameters, the last of each name.
    pub(super) query: BTreeMap<String, String>,
    fragment: bool,
    theme: Theme,
}

/// A form that somebody sent.
pub(super) struct Posted {
    pub(super) visitor: Visitor,
    fields: BTreeMap<String, String>,
}

// === impl Visitor ===

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Caller>();
        let Some(Caller(identity)) = caller.filter(|caller| caller.0.may(Scope::Read)) else {
            let here = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let next = if parts.method.is_safe() { here } else { "/" };
            return Err(
                Redirect::to(&format!("{}?next={}", path::LOGIN, path::encode(next)))
                    .into_response(),
            );
        };
        let query = axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| query.0)
            .unwrap_or_default();
        Ok(Self {
            app: Arc::clone(app),
            identity: identity.clone(),
            now: app.clock.now(),
            query,
            fragment: parts.headers.contains_key("x-fragment"),
            theme: Theme::from_cookie(cookie(&parts.headers, "theme").unwrap_or_default()),
        })
    }
}

impl Visitor {
    /// Whether they may do something; the buttons for what they may not are left out.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.identity.may(scope)
    }

    /// A query parameter; empty when it is not given.
    pub(super) fn param(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Name of the person behind an actor: `user:ana` is `Ana Ferreira` when the on-call section knows `ana`.
    pub(super) fn name_of(&self, actor: &str) -> String {
        let id = actor.split_once(':').map_or(actor, |(_, id)| id);
        let config = self.app.config();
        config
            .page
            .oncall
            .people
            .get(id)
            .map_or_else(|| id.to_owned(), |person| person.name.clone())
    }

    /// Identity of the person signed in, as the on-call section names people.
    pub(super) fn person(&self) -> &str {
        match self.identity.actor.split_once(':') {
            Some(("user", id)) => id,
            _ => "",
        }
    }

    /// Their zone, else the server's.
    pub(super) fn zone(&self) -> TimeZone {
        let config = self.app.config();
        let own = config
            .page
            .oncall
            .people
            .get(self.person())
            .filter(|person| person.id != DEFAULT_PERSON);
        own.and_then(|person| TimeZone::get(&person.time_zone).ok())
            .unwrap_or_else(TimeZone::system)
    }

    /// The frame of a page.
    pub(super) fn chrome(&self, title: &str, active: Nav) -> Chrome {
        let signed_in = self.identity.actor != "anonymous";
        Chrome {
            user: signed_in.then(|| self.name_of(&self.identity.actor)),
            csrf_token: self.identity.csrf.clone().unwrap_or_default(),
            counts: self.counts(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            theme: self.theme,
            zone: self.zone(),
            fragment: self.fragment,
            notices: self.notices(),
            warnings: self.warnings(),
            ..Chrome::new(title, active, self.now)
        }
    }

    fn counts(&self) -> Counts {
        let actor = &self.identity.actor;
        let (cases, mine) = self.app.core.view(|flow| {
            let open = flow
                .pager
                .cases()
                .into_iter()
                .filter(|case| !case.is_resolved());
            open.fold((0, 0), |(all, mine), case| {
                let is_mine = case.acknowledged_by.as_ref() == Some(actor)
                    || case
                        .ladders
                        .iter()
                        .any(|ladder| ladder.person == self.person());
                (all + 1, mine + usize::from(is_mine))
            })
        });
        let targets = self.app.scrapes.targets();
        let status = self.app.judge.status();
        let rules = status.groups.iter().flat_map(|group| &group.rules);
        Counts {
            cases,
            mine,
            targets_down: targets
                .active
                .iter()
                .filter(|target| target.health == Health::Down)
                .count(),
            rules_firing: rules
                .filter(|rule| rule.state == AlertState::Firing)
                .count(),
        }
    }

    /// What the form before did, by the word in the address.
    fn notices(&self) -> Vec<Notice> {
        let text = match self.param("done") {
            "ack" => "It is yours. Nobody else is told while you have it.",
            "unack" => "It is nobody's again: people are told as before.",
            "resolve" => "Resolved.",
            "snooze" => "Snoozed.",
            "escalate" => "The next step has been paged.",
            "comment" => "Noted.",
            "open" => "The case is open.",
            "run" => "The run has begun.",
            "approve" => "Approved.",
            "confirm" => "Confirmed.",
            "cancel" => "Nothing further is begun.",
            "undo" => "Taking it back.",
            "said" => "Recorded.",
            "silence" => "The silence is saved.",
            "silence-end" => "The silence has ended.",
            "override" => "The override is set.",
            "override-end" => "The override has ended.",
            _ => return Vec::new(),
        };
        vec![Notice {
            tone: Tone::Good,
            text: text.to_owned(),
        }]
    }

    /// What is wrong with this server itself.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self
            .app
            .core
            .health()
            .waiting_for_store
            .load(Ordering::Relaxed)
        {
            warnings
                .push("State cannot be written at the moment: decisions wait for it.".to_owned());
        }
        if !self.app.reload_ok() {
            warnings
                .push("The last reload failed: the configuration before it is in use.".to_owned());
        }
        warnings
    }

    /// Says why there is no page.
    pub(super) fn fail(&self, problem: impl Into<Problem>) -> Response {
        let problem: Problem = problem.into();
        let mut links = vec![("Back to Now".to_owned(), path::NOW.to_owned())];
        let signed_in = self.identity.actor != "anonymous";
        if !signed_in
            && matches!(
                problem.status,
                StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED
            )
        {
            links.insert(0, ("Sign in".to_owned(), path::LOGIN.to_owned()));
        }
        let title = match problem.status {
            StatusCode::NOT_FOUND => "Not here",
            StatusCode::CONFLICT => "That did not work",
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => "You may not do this",
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "That cannot be done so",
            _ => "Something is wrong",
        };
        let page = ErrorPage {
            status: problem.status.as_u16(),
            title: title.to_owned(),
            text: sentence(&problem.detail, problem.hint.as_deref()),
            links,
            request_id: String::new(),
        };
        let html = bellwether_ui::render_error(&self.chrome(title, Nav::Other), &page);
        answer(problem.status, html)
    }

    /// There is no such thing.
    pub(super) fn missing(&self, what: &str) -> Response {
        self.fail(Problem::not_found(what))
    }
}

/// The detail as a sentence, then the hint.
fn sentence(detail: &str, hint: Option<&str>) -> String {
    let mut letters = detail.chars();
    let mut text: String = letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    if let Some(hint) = hint {
        text.push(' ');
        text.push_str(&sentence(hint, None));
    }
    text
}

// === impl Posted ===

impl FromRequest<Arc<App>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let form =
            Form::<BTreeMap<String, String>>::from_request(Request::from_parts(parts, body), app)
                .await;
        let Form(fields) = form.map_err(|error| visitor.fail(Problem::bad(error.to_string())))?;
        if let Some(csrf) = &visitor.identity.csrf
            && fields.get("csrf") != Some(csrf)
        {
            let text = "the form is not from our own page, or too old";
            let problem = Problem::new(StatusCode::FORBIDDEN, "csrf", text)
                .with_hint("reload the page and try again");
            return Err(visitor.fail(problem));
        }
        Ok(Self { visitor, fields })
    }
}

impl Posted {
    /// A field; empty when it is not there.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// At most so many characters of a field, without blanks around it.
    pub(super) fn text(&self, name: &str, max: usize) -> String {
        self.field(name).trim().chars().take(max).collect()
    }

    /// Refuses when the sender lacks a scope.
    pub(super) fn need(&self, scope: Scope) -> Result<(), Response> {
        if self.visitor.may(scope) {
            return Ok(());
        }
        let anonymous = self.visitor.identity.actor == "anonymous";
        let (status, text) = if anonymous {
            (
                StatusCode::UNAUTHORIZED,
                "sign in first: only reading needs no name here",
            )
        } else {
            (
                StatusCode::FORBIDDEN,
                "your account lacks the right to do this",
            )
        };
        Err(self.visitor.fail(Problem::new(status, "forbidden", text)))
    }
}

// === small helpers ===

/// Answers with a page.
pub(super) fn shown(html: String) -> Response {
    answer(StatusCode::OK, html)
}

fn answer(status: StatusCode, html: String) -> Response {
    let headers = [(CACHE_CONTROL, "no-store"), (VARY, "x-fragment, cookie")];
    (status, headers, Html(html)).into_response()
}

/// Back to a page that says what was done.
pub(super) fn back_to(path: &str, word: &str) -> Response {
    Redirect::to(&format!("{path}?done={word}")).into_response()
}

/// Labels as the pages take them.
pub(super) fn pairs(labels: &Labels) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|label| (label.name.to_string(), label.value.to_string()))
        .collect()
}

/// Stores the choice of colours.
pub(super) async fn theme(State(_): State<Arc<App>>, request: Request) -> Response {
    let back = request
        .headers()
        .get("referer")
        .and_then(|value| value.to_str().ok())
        .and_then(|url| url.splitn(4, '/').nth(3))
        .map_or_else(
            || path::NOW.to_owned(),
            |rest| format!("/{}", rest.trim_start_matches('/')),
        );
    let form = Form::<BTreeMap<String, String>>::from_request(request, &()).await;
    let wanted = form
        .map(|Form(fields)| fields.get("theme").cloned().unwrap_or_default())
        .unwrap_or_default();
    // Only our own words go into the header.
    let theme = Theme::from_cookie(&wanted).as_str();
    let mut response = Redirect::to(&back).into_response();
    let value = format!("theme={theme}; Path=/; Max-Age=31536000; SameSite=Lax");
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
    response
}

/// No such page.
pub(super) async fn missing(visitor: Visitor) -> Response {
    visitor.missing("page")
}

/// A frame for people who are not signed in.
pub(super) fn bare(app: &App, title: &str) -> Chrome {
    let needs_setup = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .needs_setup();
    let notices = if needs_setup {
        let text = "Nobody has an account yet. Open the one-time link that the server printed when it started.";
        vec![Notice {
            tone: Tone::Info,
            text: text.to_owned(),
        }]
    } else {
        Vec::new()
    };
    Chrome {
        notices,
        zone: TimeZone::system(),
        ..Chrome::new(title, Nav::Other, app.clock.now())
    }
}
