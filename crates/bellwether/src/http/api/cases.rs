//! Cases: looking at them, taking them, opening one by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use bellwether_flow::{Input, Why};
use bellwether_model::state::Subject;
use bellwether_model::{CaseId, Labels};
use bellwether_page::{NewCase, PagerEvent, Reason, Urgency};
use bellwether_store::EventFilter;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Endpoint, MaybeCaller, identity};
use crate::app::App;
use crate::http::auth::Scope;
use crate::http::problem::Problem;

type Answer = Result<Json<Value>, Problem>;
/// Entries of a timeline that one answer has at most.
const TIMELINE_MAX: u32 = 2_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let actor_body = json!({"type": "object", "properties": {"text": {"type": "string"}}});
    let done = json!({"type": "object", "properties": {"why": {"type": "array", "items": {"type": "object"}}}});
    let change = |path, summary, request: Value, handler| Endpoint {
        method: "POST",
        path,
        scope: Scope::Respond,
        summary,
        request: Some(request),
        response: done.clone(),
        handler,
    };
    vec![
        Endpoint {
            method: "GET",
            path: "/cases",
            scope: Scope::Read,
            summary: "Cases, newest first; ?state=open leaves out the resolved ones",
            request: None,
            response: json!({"type": "array", "items": {"type": "object"}}),
            handler: get(list),
        },
        Endpoint {
            method: "GET",
            path: "/cases/{case}",
            scope: Scope::Read,
            summary: "One case with its timeline, runs and causes; by id or by its short code",
            request: None,
            response: json!({"type": "object", "required": ["case", "timeline", "runs"]}),
            handler: get(show),
        },
        Endpoint {
            method: "GET",
            path: "/cases/{case}/why",
            scope: Scope::Read,
            summary: "Why somebody was paged, or was not",
            request: None,
            response: json!({"type": "array", "items": {"type": "string"}}),
            handler: get(why),
        },
        Endpoint {
            method: "POST",
            path: "/case-by-hand",
            scope: Scope::Respond,
            summary: "Open a case by hand",
            request: Some(json!({
                "type": "object",
                "required": ["title"],
                "properties": {
                    "title": {"type": "string"}, "summary": {"type": "string"},
                    "high": {"type": "boolean"}, "policy": {"type": "string"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            })),
            response: json!({"type": "object", "required": ["case"]}),
            handler: post(open),
        },
        change(
            "/cases/{case}/acknowledge",
            "Take the case: escalation stops",
            json!({
                "type": "object", "properties": {"as_of": {"type": "integer"}},
            }),
            post(acknowledge),
        ),
        change(
            "/cases/{case}/unacknowledge",
            "Give the case back: escalation begins again",
            actor_body.clone(),
            post(unacknowledge),
        ),
        change(
            "/cases/{case}/resolve",
            "Close the case",
            actor_body.clone(),
            post(resolve),
        ),
        change(
            "/cases/{case}/snooze",
            "Quiet for a time",
            json!({
                "type": "object", "required": ["seconds"], "properties": {"seconds": {"type": "integer", "minimum": 1}},
            }),
            post(snooze),
        ),
        change(
            "/cases/{case}/escalate",
            "Go to the next step of the policy now",
            json!({
                "type": "object", "properties": {"as_of_step": {"type": "integer"}},
            }),
            post(escalate),
        ),
        change(
            "/cases/{case}/comment",
            "Add a note to the timeline",
            json!({
                "type": "object", "required": ["text"], "properties": {"text": {"type": "string"}},
            }),
            post(comment),
        ),
    ]
}

#[derive(Deserialize)]
struct ListQuery {
    #[serde(default)]
    state: String,
}

async fn list(State(app): State<Arc<App>>, Query(query): Query<ListQuery>) -> Answer {
    let cases = app.core.view(|flow| {
        let mut cases: Vec<Value> = flow
            .pager
            .cases()
            .into_iter()
            .filter(|case| query.state != "open" || !case.is_resolved())
            .map(|case| serde_json::to_value(case).unwrap_or_default())
            .collect();
        cases.reverse();
        cases
    });
    Ok(Json(Value::Array(cases)))
}

/// The case that a path names, by id or short code.
pub(super) fn find(app: &App, text: &str) -> Result<CaseId, Problem> {
    app.core
        .view(|flow| flow.pager.find_case(text))
        .ok_or_else(|| Problem::not_found("case"))
}

async fn show(State(app): State<Arc<App>>, Path(case): Path<String>) -> Answer {
    let id = find(&app, &case)?;
    let now = app.clock.now();
    let (view, runs) = app
        .core
        .view(|flow| (flow.pager.case(id, now), flow.runs.runs_of_case(id, now)));
    let view = view.ok_or_else(|| Problem::not_found("case"))?;
    let subject = Some(Subject::new("case", id));
    let filter = EventFilter {
        subject,
        limit: Some(TIMELINE_MAX),
        ..EventFilter::default()
    };
    let timeline = app.store.events(filter).await?;
    let runbook = crate::planning::runbook_of(&app, &view.case).map(|runbook| runbook.id.clone());
    let mut body = serde_json::to_value(&view).unwrap_or_default();
    body["timeline"] = json!(timeline);
    body["runs"] = json!(runs);
    body["runbook"] = json!(runbook);
    Ok(Json(body))
}

async fn why(State(app): State<Arc<App>>, Path(case): Path<String>) -> Answer {
    let id = find(&app, &case)?;
    Ok(Json(json!(
        app.core.view(|flow| flow.pager.why(id, app.clock.now()))
    )))
}

/// Gives an event to the pager; a refusal of the engine is a conflict with its reason.
pub(super) async fn send(app: &App, event: PagerEvent) -> Answer {
    let reply = app.core.send(Input::Page(event)).await?;
    let reasons: Vec<&Reason> = reply
        .why
        .iter()
        .filter_map(|why| match why {
            Why::Page(reason) => Some(reason),
            Why::Run(_) => None,
        })
        .collect();
    if let Some(Reason::Refused { text }) = reasons
        .iter()
        .find(|reason| matches!(reason, Reason::Refused { .. }))
    {
        return Err(Problem::conflict(text.clone()));
    }
    Ok(Json(json!({"why": reasons})))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Change {
    as_of: Option<u32>,
    as_of_step: Option<u32>,
    seconds: Option<i64>,
    text: String,
}

/// The body of a change; none at all is as good as an empty one.
type Body = Option<Json<Change>>;

fn body(body: Body) -> Change {
    body.map(|Json(change)| change).unwrap_or_default()
}

async fn acknowledge(
    State(app): State<Arc<App>>,
    Path(case): Path<String>,
    caller: MaybeCaller,
    change: Body,
) -> Answer {
    let (case, actor) = (find(&app, &case)?, identity(caller).actor);
    send(
        &app,
        PagerEvent::Acknowledge {
            case,
            actor,
            as_of: body(change).as_of,
        },
    )
    .await
}

async fn unacknowledge(
    State(app): State<Arc<App>>,
    Path(case): Path<String>,
    caller: MaybeCaller,
) -> Answer {
    let (case, actor) = (find(&app, &case)?, identity(caller).actor);
    send(&app, PagerEvent::Unacknowledge { case, actor }).await
}

async fn resolve(
    State(app): State<Arc<App>>,
    Path(case): Path<String>,
    caller: MaybeCaller,
    change: Body,
) -> Answer {
    let (case, actor) = (find(&app, &case)?, identity(caller).actor);
    send(
        &app,
        PagerEvent::Resolve {
            case,
            actor,
            text: body(change).text,
        },
    )
    .await
}

async fn snooze(
    State(app): State<Arc<App>>,
    Path(case): Path<String>,
    caller: MaybeCaller,
    change: Body,
) -> Answer {
    let (case, actor) = (find(&app, &case)?, identity(caller).actor);
    let seconds = body(change)
        .seconds
        .filter(|s| (1..=30 * 86_400).contains(s));
    let seconds = seconds.ok_or_else(|| Problem::bad("`seconds` must be 1 second to 30 days"))?;
    let until: Timestamp = app.clock.now() + SignedDuration::from_secs(seconds);
    send(&app, PagerEvent::Snooze { case, actor, until }).await
}

async fn escalate(
    State(app): State<Arc<App>>,
    Path(case): Path<String>,
    caller: MaybeCaller,
    change: Body,
) -> Answer {
    let (case, actor) = (find(&app, &case)?, identity(caller).actor);
    let fired = app.core.view(|flow| {
        flow.pager
            .case(case, app.clock.now())
            .map(|v| v.case.escalation.steps_fired)
    });
    let as_of_step = body(change).as_of_step.or(fired).unwrap_or_default();
    send(
        &app,
        PagerEvent::EscalateNow {
            case,
            actor,
            as_of_step,
        },
    )
    .await
}

async fn comment(
    State(app): State<Arc<App>>,
    Path(case): Path<String>,
    caller: MaybeCaller,
    change: Body,
) -> Answer {
    let (case, actor) = (find(&app, &case)?, identity(caller).actor);
    let text: String = body(change).text.chars().take(4_000).collect();
    if text.trim().is_empty() {
        return Err(Problem::bad("`text` is empty"));
    }
    send(&app, PagerEvent::Comment { case, actor, text }).await
}

#[derive(Deserialize)]
struct Open {
    title: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    high: bool,
    policy: Option<String>,
    #[serde(default)]
    labels: Labels,
}

async fn open(State(app): State<Arc<App>>, caller: MaybeCaller, Json(new): Json<Open>) -> Answer {
    let title: String = new.title.trim().chars().take(200).collect();
    if title.is_empty() {
        return Err(Problem::bad("`title` is empty"));
    }
    let event = PagerEvent::OpenCase(NewCase {
        title,
        summary: new.summary.chars().take(4_000).collect(),
        urgency: if new.high {
            Urgency::High
        } else {
            Urgency::Low
        },
        policy: new.policy,
        actor: identity(caller).actor,
        labels: new.labels,
        annotations: Labels::empty(),
    });
    let reply = app.core.send(Input::Page(event)).await?;
    let opened = reply.why.iter().find_map(|why| match why {
        Why::Page(Reason::CaseOpened { case }) => Some(case.clone()),
        _ => None,
    });
    opened
        .map(|case| Json(json!({"case": case})))
        .ok_or_else(|| Problem::conflict("the case was not opened"))
}
