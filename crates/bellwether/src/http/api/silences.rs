//! Silences, and what one would hide before it is made.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use bellwether_model::duration::parse_duration;
use bellwether_page::{NewSilence, PagerEvent, matchers};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cases::send;
use super::misc::endpoint;
use super::{Endpoint, MaybeCaller, identity};
use crate::app::App;
use crate::http::auth::Scope;
use crate::http::problem::Problem;

type Answer = Result<Json<Value>, Problem>;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let schema = json!({
        "type": "object",
        "required": ["matchers"],
        "properties": {
            "matchers": {"type": "string", "description": "as in Alertmanager: service=\"shop\", severity=~\"page|ticket\""},
            "for": {"type": "string", "description": "length, by default 2h"},
            "ends_at": {"type": "string", "format": "date-time"},
            "starts_at": {"type": "string", "format": "date-time"},
            "comment": {"type": "string"},
        },
    });
    vec![
        endpoint(
            "GET",
            "/silences",
            Scope::Read,
            "Silences, also those that have ended lately",
            None,
            get(list),
        ),
        endpoint(
            "POST",
            "/silences",
            Scope::Respond,
            "A new silence",
            Some(schema.clone()),
            post(add),
        ),
        endpoint(
            "POST",
            "/silence-preview",
            Scope::Read,
            "What a silence with these matchers would hide now",
            Some(schema),
            post(preview),
        ),
        endpoint(
            "DELETE",
            "/silences/{id}",
            Scope::Respond,
            "End a silence",
            None,
            delete(end),
        ),
    ]
}

#[derive(Deserialize)]
struct Silence {
    matchers: String,
    #[serde(default, rename = "for")]
    lasts: Option<String>,
    ends_at: Option<Timestamp>,
    starts_at: Option<Timestamp>,
    #[serde(default)]
    comment: String,
}

impl Silence {
    fn read(self, app: &App, actor: &str) -> Result<NewSilence, Problem> {
        let mode = app.core.view(|flow| flow.pager.config().matcher_mode);
        let set = matchers::parse(&self.matchers, mode)
            .map_err(|error| Problem::bad(format!("matchers: {error}")))?;
        let now = app.clock.now();
        let from = self.starts_at.unwrap_or(now).max(now);
        let ends_at = match (self.ends_at, self.lasts) {
            (Some(end), None) => end,
            (Some(_), Some(_)) => {
                return Err(Problem::bad("`for` and `ends_at` exclude each other"));
            }
            (None, lasts) => {
                let text = lasts.unwrap_or_else(|| "2h".to_owned());
                parse_duration(&text)
                    .ok()
                    .and_then(|length| SignedDuration::try_from(length).ok())
                    .and_then(|length| from.checked_add(length).ok())
                    .ok_or_else(|| Problem::bad(format!("`for`: {text:?} is no length of time")))?
            }
        };
        Ok(NewSilence {
            matcher_sets: vec![set],
            starts_at: self.starts_at,
            ends_at,
            created_by: actor.trim_start_matches("user:").to_owned(),
            comment: self.comment,
            ..NewSilence::default()
        })
    }
}

async fn list(State(app): State<Arc<App>>) -> Answer {
    let now = app.clock.now();
    let all: Vec<Value> = app.core.view(|flow| {
        let all = flow.pager.silences(now);
        all.into_iter()
            .map(|view| {
                let silence = &view.silence;
                json!({
                    "id": silence.id,
                    "state": view.state,
                    "matchers": silence.matcher_sets.iter().map(|set| matchers::write_all(set)).collect::<Vec<_>>(),
                    "starts_at": silence.starts_at,
                    "ends_at": silence.ends_at,
                    "created_by": silence.created_by,
                    "comment": silence.comment,
                    "hides": flow.pager.silence_preview(&silence.matcher_sets, now).len(),
                })
            })
            .collect()
    });
    Ok(Json(json!(all)))
}

async fn preview(State(app): State<Arc<App>>, Json(silence): Json<Silence>) -> Answer {
    let new = silence.read(&app, "")?;
    let now = app.clock.now();
    if let Some(why) = bellwether_page::engine::silence_refusal(&new, now) {
        return Err(Problem::bad(why));
    }
    let alerts = app
        .core
        .view(|flow| flow.pager.silence_preview(&new.matcher_sets, now));
    Ok(Json(json!({"ends_at": new.ends_at, "alerts": alerts})))
}

async fn add(
    State(app): State<Arc<App>>,
    caller: MaybeCaller,
    Json(silence): Json<Silence>,
) -> Answer {
    let actor = identity(caller).actor;
    let new = silence.read(&app, &actor)?;
    send(&app, PagerEvent::SilenceSet(new)).await
}

async fn end(State(app): State<Arc<App>>, Path(id): Path<String>, caller: MaybeCaller) -> Answer {
    let actor = identity(caller).actor;
    send(&app, PagerEvent::SilenceExpire { id, actor }).await
}
