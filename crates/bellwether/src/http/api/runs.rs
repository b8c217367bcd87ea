//! Runs of runbooks: planning, tapping, approving, undoing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use bellwether_act::{Part, RunEvent};
use bellwether_flow::{Input, Why};
use bellwether_model::RunId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cases::find;
use super::{Endpoint, MaybeCaller, identity};
use crate::app::App;
use crate::http::auth::Scope;
use crate::http::problem::Problem;
use crate::planning;

type Answer = Result<Json<Value>, Problem>;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let run = json!({"type": "object", "required": ["id", "state", "steps"]});
    let change = |path, summary, properties: Value, handler| Endpoint {
        method: "POST",
        path,
        scope: Scope::Run,
        summary,
        request: Some(json!({"type": "object", "properties": properties})),
        response: run.clone(),
        handler,
    };
    vec![
        Endpoint {
            method: "GET",
            path: "/cases/{case}/plan",
            scope: Scope::Read,
            summary: "What a part of the case's runbook would run now, with its digest; ?part=fix, diagnosis or a step",
            request: None,
            response: json!({"type": "object", "required": ["digest", "steps"]}),
            handler: get(plan),
        },
        change(
            "/cases/{case}/run",
            "Run a part of the case's runbook; with a digest, only that very plan",
            json!({"part": {"type": "string"}, "digest": {"type": "string"}}),
            post(tap),
        ),
        Endpoint {
            method: "GET",
            path: "/runs",
            scope: Scope::Read,
            summary: "The latest runs, newest first",
            request: None,
            response: json!({"type": "array", "items": {"type": "object"}}),
            handler: get(recent),
        },
        Endpoint {
            method: "GET",
            path: "/runs/{run}",
            scope: Scope::Read,
            summary: "One run with its steps and their output",
            request: None,
            response: run.clone(),
            handler: get(show),
        },
        change(
            "/runs/{run}/approve",
            "Approve the plan with this digest",
            json!({"digest": {"type": "string"}}),
            post(approve),
        ),
        change(
            "/runs/{run}/confirm",
            "Confirm the step that waits for it",
            json!({"count": {"type": "integer"}}),
            post(confirm),
        ),
        change(
            "/runs/{run}/cancel",
            "Begin nothing further",
            json!({"text": {"type": "string"}}),
            post(cancel),
        ),
        change(
            "/runs/{run}/undo",
            "Take back what was done, in reverse",
            json!({}),
            post(undo),
        ),
        change(
            "/runs/{run}/manual",
            "Say that a manual step was done, or could not be",
            json!({"step": {"type": "string"}, "done": {"type": "boolean"}, "text": {"type": "string"}}),
            post(manual),
        ),
        change(
            "/runs/{run}/settle",
            "Say whether a step of unknown outcome was done",
            json!({"step": {"type": "string"}, "done": {"type": "boolean"}, "text": {"type": "string"}}),
            post(settle),
        ),
    ]
}

#[derive(Deserialize)]
struct PartQuery {
    #[serde(default)]
    part: String,
}

/// `diagnosis`, `fix` (also the default) or a step's id.
pub(crate) fn part(text: &str) -> Part {
    match text {
        "" | "fix" => Part::Fix,
        "diagnosis" => Part::Diagnosis,
        step => Part::Step(step.to_owned()),
    }
}

async fn plan(
    State(app): State<Arc<App>>,
    Path(case): Path<String>,
    Query(query): Query<PartQuery>,
) -> Answer {
    let case = find(&app, &case)?;
    let (_, plan) = planning::plan_for_case(&app, case, part(&query.part)).await?;
    let mut body = serde_json::to_value(&plan).unwrap_or_default();
    body["problems"] = json!(plan.problems);
    body["runnable"] = json!(plan.runnable());
    Ok(Json(body))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Change {
    part: String,
    digest: Option<String>,
    count: Option<u32>,
    step: String,
    done: bool,
    text: String,
}

type Body = Option<Json<Change>>;

async fn tap(
    State(app): State<Arc<App>>,
    Path(case): Path<String>,
    caller: MaybeCaller,
    body: Body,
) -> Answer {
    let case = find(&app, &case)?;
    let Change {
        part: text, digest, ..
    } = body.map(|Json(change)| change).unwrap_or_default();
    let actor = identity(caller).actor;
    let run = planning::tap(&app, case, part(&text), &actor, digest.as_deref()).await?;
    view(&app, run)
}

fn view(app: &App, run: RunId) -> Answer {
    let view = app.core.view(|flow| flow.runs.run(run, app.clock.now()));
    view.map(|view| Json(json!(view)))
        .ok_or_else(|| Problem::not_found("run"))
}

fn parse(run: &str) -> Result<RunId, Problem> {
    run.parse().map_err(|_| Problem::not_found("run"))
}

async fn recent(State(app): State<Arc<App>>) -> Answer {
    Ok(Json(json!(
        app.core.view(|flow| flow.runs.recent(100, app.clock.now()))
    )))
}

async fn show(State(app): State<Arc<App>>, Path(run): Path<String>) -> Answer {
    view(&app, parse(&run)?)
}

/// Gives an event to the runs; a refusal of the engine is a conflict with its word.
async fn send(app: &App, run: RunId, event: RunEvent) -> Answer {
    let reply = app.core.send(Input::Run(event)).await?;
    for why in &reply.why {
        if let Why::Run(reason) = why
            && reason.is_refusal()
        {
            let word = serde_json::to_value(reason).unwrap_or_default();
            return Err(Problem::conflict(
                word.as_str().unwrap_or_default().replace('_', " "),
            ));
        }
    }
    view(app, run)
}

async fn approve(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    caller: MaybeCaller,
    body: Body,
) -> Answer {
    let run = parse(&run)?;
    let digest = body.map(|Json(change)| change).unwrap_or_default().digest;
    let digest = digest.ok_or_else(|| Problem::bad("`digest` says which plan you approve"))?;
    send(
        &app,
        run,
        RunEvent::Approve {
            run,
            actor: identity(caller).actor,
            digest,
        },
    )
    .await
}

async fn confirm(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    caller: MaybeCaller,
    body: Body,
) -> Answer {
    let run = parse(&run)?;
    let count = body.map(|Json(change)| change).unwrap_or_default().count;
    send(
        &app,
        run,
        RunEvent::Confirm {
            run,
            actor: identity(caller).actor,
            count,
        },
    )
    .await
}

async fn cancel(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    caller: MaybeCaller,
    body: Body,
) -> Answer {
    let run = parse(&run)?;
    let reason = body.map(|Json(change)| change).unwrap_or_default().text;
    send(
        &app,
        run,
        RunEvent::Cancel {
            run,
            actor: identity(caller).actor,
            reason,
        },
    )
    .await
}

async fn undo(State(app): State<Arc<App>>, Path(run): Path<String>, caller: MaybeCaller) -> Answer {
    let run = parse(&run)?;
    send(
        &app,
        run,
        RunEvent::Undo {
            run,
            actor: identity(caller).actor,
        },
    )
    .await
}

async fn manual(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    caller: MaybeCaller,
    body: Body,
) -> Answer {
    let run = parse(&run)?;
    let Change {
        step,
        done,
        text: note,
        ..
    } = body.map(|Json(change)| change).unwrap_or_default();
    send(
        &app,
        run,
        RunEvent::ManualDone {
            run,
            step,
            actor: identity(caller).actor,
            done,
            note,
        },
    )
    .await
}

async fn settle(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    caller: MaybeCaller,
    body: Body,
) -> Answer {
    let run = parse(&run)?;
    let Change {
        step,
        done,
        text: note,
        ..
    } = body.map(|Json(change)| change).unwrap_or_default();
    send(
        &app,
        run,
        RunEvent::Resolve {
            run,
            step,
            actor: identity(caller).actor,
            done,
            note,
        },
    )
    .await
}
