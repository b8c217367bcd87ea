//! Runbooks by rung, promotion and demotion, the brake, and broken glass.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use bellwether_act::{Earned, PageFacts, RunEvent, Runbook};
use bellwether_flow::{Input, Why};
use bellwether_model::RunId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Endpoint, MaybeCaller, identity};
use crate::app::App;
use crate::http::auth::Scope;
use crate::http::problem::Problem;

type Answer = Result<Json<Value>, Problem>;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let object = json!({"type": "object"});
    let change = |path, scope, summary, properties: Value, handler| Endpoint {
        method: "POST",
        path,
        scope,
        summary,
        request: Some(json!({"type": "object", "properties": properties})),
        response: object.clone(),
        handler,
    };
    vec![
        Endpoint {
            method: "GET",
            path: "/runbooks",
            scope: Scope::Read,
            summary: "Runbooks with their rung and evidence",
            request: None,
            response: json!({"type": "array", "items": {"type": "object"}}),
            handler: get(list),
        },
        change(
            "/runbooks/{runbook}/promote",
            Scope::Admin,
            "Give a runbook a higher rung; refused unless its evidence suffices",
            json!({"to": {"type": "string", "enum": ["shadow", "automatic"]}}),
            post(promote),
        ),
        change(
            "/runbooks/{runbook}/demote",
            Scope::Run,
            "Take a runbook's rung away",
            json!({"text": {"type": "string"}}),
            post(demote),
        ),
        change(
            "/brake",
            Scope::Run,
            "Stop all changes, or allow them again",
            json!({"engaged": {"type": "boolean"}, "text": {"type": "string"}}),
            post(brake),
        ),
        change(
            "/runs/{run}/break-glass",
            Scope::Run,
            "Approve although another person should; a case is opened about it",
            json!({"digest": {"type": "string"}, "text": {"type": "string"}}),
            post(break_glass),
        ),
    ]
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    to: Option<Earned>,
    engaged: bool,
    digest: String,
    text: String,
}

type MaybeBody = Option<Json<Body>>;

fn page(app: &App, id: &str) -> Result<Arc<Runbook>, Problem> {
    let config = app.config();
    let page = config.runbooks.get(id).cloned();
    page.ok_or_else(|| Problem::not_found("runbook"))
}

fn shown(app: &App, page: &Runbook) -> Value {
    let now = app.clock.now();
    app.core.view(|flow| {
        let standing = flow.runs.standing(&page.id, &page.hash, now);
        let evidence = flow.runs.evidence(&page.id, &page.hash);
        let facts = PageFacts::of(page);
        json!({
            "id": page.id, "title": page.title, "file": page.file, "owner": page.owner, "alerts": page.alerts,
            "hash": page.hash, "written_for": bellwether_act::lint::readiness(page).0,
            "earned": flow.runs.rung_record(&page.id, &page.hash), "standing": standing,
            "missing": bellwether_act::ladder::missing(Earned::Automatic, &facts, evidence, now),
        })
    })
}

async fn list(State(app): State<Arc<App>>) -> Answer {
    let config = app.config();
    let all: Vec<Value> = config
        .runbooks
        .iter()
        .map(|page| shown(&app, page))
        .collect();
    Ok(Json(json!(all)))
}

/// Gives an event to the runs; a refusal is a conflict with its word.
async fn send(app: &App, event: RunEvent) -> Result<(), Problem> {
    let reply = app.core.send(Input::Run(event)).await?;
    for why in &reply.why {
        if let Why::Run(reason) = why
            && reason.is_refusal()
        {
            return Err(Problem::conflict(reason.describe()));
        }
    }
    Ok(())
}

async fn promote(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: MaybeCaller,
    body: MaybeBody,
) -> Answer {
    let page = page(&app, &id)?;
    let to = body
        .and_then(|Json(body)| body.to)
        .unwrap_or(Earned::Automatic);
    let facts = PageFacts::of(&page);
    let now = app.clock.now();
    let lacks = app.core.view(|flow| {
        let evidence = flow.runs.evidence(&page.id, &page.hash);
        bellwether_act::ladder::missing(to, &facts, evidence, now)
    });
    let event = RunEvent::Promote {
        page: facts,
        to,
        actor: identity(caller).actor,
    };
    if let Err(refused) = send(&app, event).await {
        if lacks.is_empty() {
            return Err(refused);
        }
        return Err(Problem::conflict(lacks.join("; ")));
    }
    let mut shown = shown(&app, &page);
    shown["text"] = json!(format!("{id} is promoted"));
    Ok(Json(shown))
}

async fn demote(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: MaybeCaller,
    body: MaybeBody,
) -> Answer {
    let page = page(&app, &id)?;
    let event = RunEvent::Demote {
        runbook: id,
        actor: identity(caller).actor,
        reason: body.map(|Json(body)| body.text).unwrap_or_default(),
    };
    send(&app, event).await?;
    Ok(Json(shown(&app, &page)))
}

async fn brake(State(app): State<Arc<App>>, caller: MaybeCaller, body: MaybeBody) -> Answer {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let event = RunEvent::Brake {
        engaged: body.engaged,
        actor: identity(caller).actor,
        reason: body.text,
    };
    send(&app, event).await?;
    Ok(Json(
        json!({"brake": app.core.view(|flow| flow.runs.brake().cloned())}),
    ))
}

async fn break_glass(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    caller: MaybeCaller,
    body: MaybeBody,
) -> Answer {
    let run: RunId = run.parse().map_err(|_| Problem::not_found("run"))?;
    let body = body.map(|Json(body)| body).unwrap_or_default();
    if body.text.trim().is_empty() {
        return Err(Problem::bad("`text` says why nobody else could approve"));
    }
    let event = RunEvent::BreakGlass {
        run,
        actor: identity(caller).actor,
        digest: body.digest,
        reason: body.text,
    };
    send(&app, event).await?;
    let view = app.core.view(|flow| flow.runs.run(run, app.clock.now()));
    Ok(Json(json!(view)))
}
