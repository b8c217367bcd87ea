//! Schedules: who is on call, shifts, gaps, load, as code.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use bellwether_page::schedule::Schedule;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Endpoint;
use super::misc::endpoint;
use crate::app::App;
use crate::http::auth::Scope;
use crate::http::problem::Problem;
use crate::oncall::OnCallView;

type Answer = Result<Json<Value>, Problem>;
/// Time that one look at a calendar may span.
const SPAN_MAX: SignedDuration = SignedDuration::from_hours(24 * 400);
/// What is shown when no end is given.
const SPAN: SignedDuration = SignedDuration::from_hours(24 * 14);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let read = |path, summary, handler| endpoint("GET", path, Scope::Read, summary, None, handler);
    vec![
        read("/oncall", "Who is on call now, by schedule", get(on_call)),
        read(
            "/oncall/schedules",
            "Schedules: zone, team, layers, people, and their text as configuration",
            get(schedules),
        ),
        read(
            "/oncall/calendars",
            "Addresses of iCalendar feeds by schedule, person and team; whoever has one can read it",
            get(calendars),
        ),
        read(
            "/oncall/{schedule}/who",
            "Who is on call at ?from (by default now)",
            get(who),
        ),
        read(
            "/oncall/{schedule}/shifts",
            "Shifts between ?from and ?to",
            get(shifts),
        ),
        read(
            "/oncall/{schedule}/gaps",
            "Stretches between ?from and ?to in which nobody is on call",
            get(gaps),
        ),
        read(
            "/oncall/{schedule}/fairness",
            "Hours, nights and weekends of each person between ?from and ?to",
            get(fairness),
        ),
    ]
}

/// Looks at the schedules with the overrides that hold.
pub(crate) fn with_view<T>(app: &App, look: impl FnOnce(&OnCallView<'_>) -> T) -> T {
    app.core.view(|flow| {
        let config = Arc::clone(flow.pager.config());
        let overrides = flow.pager.overrides().into_iter().cloned().collect();
        look(&OnCallView {
            oncall: &config.oncall,
            overrides,
        })
    })
}

async fn on_call(State(app): State<Arc<App>>) -> Answer {
    let now = app.clock.now();
    let all = with_view(&app, |view| {
        let all = view.schedules(None);
        all.into_iter()
            .map(|schedule| view.who(schedule, now))
            .collect::<Vec<_>>()
    });
    Ok(Json(json!(all)))
}

async fn schedules(State(app): State<Arc<App>>) -> Answer {
    let all = with_view(&app, |view| {
        let all = view.schedules(None);
        all.into_iter()
            .map(|schedule| view.about(schedule))
            .collect::<Vec<_>>()
    });
    Ok(Json(json!(all)))
}

async fn calendars(State(app): State<Arc<App>>) -> Answer {
    let names = with_view(&app, crate::http::calendars::names);
    let all: Vec<Value> = names
        .into_iter()
        .map(|(kind, name)| {
            let url = crate::http::calendars::address(&app, kind, &name);
            json!({"kind": kind, "name": name, "url": url})
        })
        .collect();
    Ok(Json(json!(all)))
}

#[derive(Deserialize)]
struct Span {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

fn look(
    app: &App,
    schedule: &str,
    span: &Span,
    look: impl FnOnce(&OnCallView<'_>, &Schedule, Timestamp, Timestamp) -> Value,
) -> Answer {
    let from = span.from.unwrap_or_else(|| app.clock.now());
    let to = span
        .to
        .or_else(|| from.checked_add(SPAN).ok())
        .unwrap_or(Timestamp::MAX);
    if to.duration_since(from) > SPAN_MAX {
        return Err(Problem::bad("`from` to `to` spans more than 400 days"));
    }
    with_view(app, |view| match view.schedules(Some(schedule)).first() {
        None => Err(Problem::not_found("schedule")),
        Some(schedule) => Ok(Json(look(view, schedule, from, to))),
    })
}

async fn who(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(span): Query<Span>,
) -> Answer {
    look(&app, &name, &span, |view, schedule, from, _| {
        view.who(schedule, from)
    })
}

async fn shifts(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(span): Query<Span>,
) -> Answer {
    look(&app, &name, &span, |view, schedule, from, to| {
        view.shifts(schedule, from, to)
    })
}

async fn gaps(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(span): Query<Span>,
) -> Answer {
    look(&app, &name, &span, |view, schedule, from, to| {
        view.gaps(schedule, from, to)
    })
}

async fn fairness(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(span): Query<Span>,
) -> Answer {
    look(&app, &name, &span, |view, schedule, from, to| {
        view.fairness(schedule, from, to)
    })
}
