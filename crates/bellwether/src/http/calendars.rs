//! iCalendar feeds of schedules, people and teams, at signed addresses: calendar programs cannot sign in.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bellwether_page::schedule::ical::feed_span;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::api::with_view;
use super::auth::hex;
use super::problem::Problem;
use crate::app::App;
use crate::oncall::OnCallView;

/// The routes.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/calendar/{kind}/{name}/{signature}", get(feed))
}

/// Kind and name of every feed that there is.
pub(crate) fn names(view: &OnCallView<'_>) -> Vec<(&'static str, String)> {
    let schedules = view.schedules(None);
    let teams: BTreeSet<&String> = schedules
        .iter()
        .filter_map(|schedule| schedule.team.as_ref())
        .collect();
    let mut all: Vec<(&'static str, String)> = Vec::new();
    all.extend(
        schedules
            .iter()
            .map(|schedule| ("schedule", schedule.name.clone())),
    );
    all.extend(
        view.oncall
            .people
            .keys()
            .map(|person| ("person", person.clone())),
    );
    all.extend(teams.into_iter().map(|team| ("team", team.clone())));
    all
}

/// The signed address of a feed.
pub(crate) fn address(app: &App, kind: &str, name: &str) -> String {
    format!(
        "{}/calendar/{kind}/{}/{}.ics",
        app.external_url,
        bellwether_ui::path::encode(name),
        app.links.calendar_signature(kind, name)
    )
}

async fn feed(
    State(app): State<Arc<App>>,
    Path((kind, name, file)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let signature = file.strip_suffix(".ics").unwrap_or(&file);
    if !app.links.verify_calendar(&kind, &name, signature) {
        return Problem::not_found("calendar").into_response();
    }
    // By the day, so that a program that polls is told that nothing has changed.
    let now = app.clock.now();
    let day = Timestamp::from_second(now.as_second() / 86_400 * 86_400).unwrap_or(now);
    let text = with_view(&app, |view| {
        let schedules: Vec<_> = view
            .schedules((kind == "schedule").then_some(name.as_str()))
            .into_iter()
            .filter(|schedule| kind != "team" || schedule.team.as_ref() == Some(&name))
            .collect();
        let person = (kind == "person").then_some(name.as_str());
        let title = format!("On call: {name}");
        view.calendar(&title, &schedules, person, feed_span(day), day)
    });
    let tag = format!("\"{}\"", hex(&Sha256::digest(text.as_bytes())[..16]));
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/calendar; charset=utf-8".to_owned(),
        ),
        (header::CACHE_CONTROL, "private, max-age=300".to_owned()),
        (header::ETAG, tag),
    ];
    (headers, text).into_response()
}
