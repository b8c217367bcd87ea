//! On-call, silences, found services, status, tokens.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use bellwether_flow::Input;
use bellwether_page::schedule::OverrideKind;
use bellwether_page::{NewOverride, PagerEvent};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cases::send;
use super::{Endpoint, MaybeCaller, identity};
use crate::app::App;
use crate::http::auth::Scope;
use crate::http::problem::Problem;

type Answer = Result<Json<Value>, Problem>;

pub(super) fn endpoint(
    method: &'static str,
    path: &'static str,
    scope: Scope,
    summary: &'static str,
    request: Option<Value>,
    handler: axum::routing::MethodRouter<Arc<App>>,
) -> Endpoint {
    Endpoint {
        method,
        path,
        scope,
        summary,
        request,
        response: json!({}),
        handler,
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let new_override = json!({
        "type": "object",
        "required": ["schedule", "kind", "people", "from", "until"],
        "properties": {
            "schedule": {"type": "string"}, "layer": {"type": "string"},
            "kind": {"enum": ["add", "remove", "replace", "only"]},
            "people": {"type": "array", "items": {"type": "string"}}, "replaces": {"type": "string"},
            "from": {"type": "string", "format": "date-time"}, "until": {"type": "string", "format": "date-time"},
            "comment": {"type": "string"},
        },
    });
    let link = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let token = json!({
        "type": "object",
        "required": ["name", "scopes"],
        "properties": {
            "name": {"type": "string"},
            "scopes": {"type": "array", "items": {"enum": ["read", "respond", "run", "admin"]}},
        },
    });
    vec![
        endpoint(
            "POST",
            "/overrides",
            Scope::Respond,
            "Change who is on call for a time",
            Some(new_override),
            post(add_override),
        ),
        endpoint(
            "DELETE",
            "/overrides/{id}",
            Scope::Respond,
            "Take such a change back",
            None,
            delete(remove_override),
        ),
        endpoint(
            "GET",
            "/alerts",
            Scope::Read,
            "Alerts as the pager has them",
            None,
            get(alerts),
        ),
        endpoint(
            "GET",
            "/services",
            Scope::Read,
            "Services found on loopback",
            None,
            get(services),
        ),
        endpoint(
            "GET",
            "/functions",
            Scope::Read,
            "PromQL's functions with their signatures",
            None,
            get(functions),
        ),
        endpoint(
            "GET",
            "/status",
            Scope::Read,
            "How this server is doing",
            None,
            get(status),
        ),
        endpoint(
            "POST",
            "/reload",
            Scope::Admin,
            "Read the configuration again",
            None,
            post(reload),
        ),
        endpoint(
            "GET",
            "/tokens",
            Scope::Admin,
            "API tokens, without their values",
            None,
            get(tokens),
        ),
        endpoint(
            "POST",
            "/tokens",
            Scope::Admin,
            "A new API token; its value is shown once",
            Some(token),
            post(issue),
        ),
        endpoint(
            "DELETE",
            "/tokens/{name}",
            Scope::Admin,
            "End the tokens of a name",
            None,
            delete(revoke),
        ),
        endpoint(
            "POST",
            "/login-links",
            Scope::Admin,
            "A link that logs a browser in, once, as the caller or as `name`",
            Some(link),
            post(login_link),
        ),
    ]
}

#[derive(Deserialize)]
struct Override {
    schedule: String,
    layer: Option<String>,
    kind: OverrideKind,
    people: Vec<String>,
    replaces: Option<String>,
    from: Timestamp,
    until: Timestamp,
    #[serde(default)]
    comment: String,
}

async fn add_override(
    State(app): State<Arc<App>>,
    caller: MaybeCaller,
    Json(new): Json<Override>,
) -> Answer {
    let Override {
        schedule,
        layer,
        kind,
        people,
        replaces,
        from,
        until,
        comment,
    } = new;
    let actor = identity(caller).actor;
    let new = NewOverride {
        schedule,
        layer,
        kind,
        people,
        replaces,
        from,
        until,
        actor,
        comment,
    };
    send(&app, PagerEvent::OverrideAdd(new)).await
}

async fn remove_override(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: MaybeCaller,
) -> Answer {
    send(
        &app,
        PagerEvent::OverrideRemove {
            id,
            actor: identity(caller).actor,
        },
    )
    .await
}

async fn alerts(State(app): State<Arc<App>>) -> Answer {
    Ok(Json(json!(
        app.core.view(|flow| flow.pager.alerts(app.clock.now()))
    )))
}

async fn services(State(app): State<Arc<App>>) -> Answer {
    let found: Vec<Value> = app
        .scrapes
        .found()
        .into_iter()
        .map(|service| {
            json!({
                "kind": service.kind, "name": service.name,
                "address": service.address.to_string(), "detail": service.detail,
            })
        })
        .collect();
    Ok(Json(json!(found)))
}

async fn functions() -> Answer {
    let all: Vec<Value> = bellwether_promql::functions::FUNCTIONS
        .iter()
        .map(|function| json!({"name": function.name, "signature": function.signature(), "help": function.help}))
        .collect();
    Ok(Json(json!(all)))
}

async fn status(State(app): State<Arc<App>>) -> Answer {
    Ok(Json(crate::status::status_json(&app).await))
}

async fn reload(State(app): State<Arc<App>>) -> Answer {
    match app.reload().await {
        Ok(problems) => Ok(Json(json!({"problems": problems.0}))),
        Err(problems) => Err(Problem::bad(format!("nothing was changed:\n{problems}"))),
    }
}

async fn tokens(State(app): State<Arc<App>>) -> Answer {
    let all = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .tokens();
    let all: Vec<Value> = all
        .into_iter()
        .map(|(name, scopes, created_at)| json!({"name": name, "scopes": scopes, "created_at": created_at}))
        .collect();
    Ok(Json(json!(all)))
}

#[derive(Deserialize)]
struct NewToken {
    name: String,
    scopes: Vec<Scope>,
}

async fn issue(State(app): State<Arc<App>>, Json(new): Json<NewToken>) -> Answer {
    if new.name.is_empty() || new.name.len() > 64 || new.scopes.is_empty() {
        return Err(Problem::bad(
            "a token has a name of up to 64 characters and at least one scope",
        ));
    }
    let now = app.clock.now();
    let (token, batch) = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .issue_token(&new.name, new.scopes, now);
    app.core.send(Input::Record(batch)).await?;
    Ok(Json(json!({"name": new.name, "token": token.expose()})))
}

async fn revoke(State(app): State<Arc<App>>, Path(name): Path<String>) -> Answer {
    let batch = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .revoke_token(&name);
    if batch.is_empty() {
        return Err(Problem::not_found("token"));
    }
    app.core.send(Input::Record(batch)).await?;
    Ok(Json(json!({})))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NewLink {
    name: Option<String>,
}

async fn login_link(
    State(app): State<Arc<App>>,
    caller: MaybeCaller,
    body: Option<Json<NewLink>>,
) -> Answer {
    let NewLink { name } = body.map(|Json(body)| body).unwrap_or_default();
    let actor = name.unwrap_or_else(|| identity(caller).actor);
    if actor.is_empty() || actor.len() > 64 {
        return Err(Problem::bad("`name` has up to 64 characters"));
    }
    let now = app.clock.now();
    let ticket = app
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .open_link(&actor, now);
    Ok(Json(
        json!({"link": format!("{}/login?ticket={ticket}", app.external_url)}),
    ))
}
