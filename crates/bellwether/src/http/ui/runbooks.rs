//! Runbooks: the list, and one page.

use axum::extract::Path;
use bellwether_act::runbook::InputType;
use bellwether_act::runs::Trigger;
use bellwether_act::{GivenInputs, Runbook, SectionKind};
use bellwether_ui as ui;
use bellwether_ui::path;

use super::frame::{Page, Posted, Visitor, back_to, shown};
use super::runs::{blocks, run_row};
use crate::http::api;
use crate::http::auth::Scope;
use crate::planning;

/// Characters of an input.
const INPUT_MAX: usize = 400;
const RUNS_MAX: usize = 30;

/// All runbooks.
pub(super) async fn list(visitor: Visitor) -> Page {
    let config = visitor.app.config();
    let runs = visitor
        .app
        .core
        .view(|flow| flow.runs.recent(RUNS_MAX, visitor.now));
    let page = ui::RunbooksPage {
        runbooks: config
            .runbooks
            .iter()
            .map(|runbook| row(&visitor, runbook))
            .collect(),
        runs: runs.iter().map(|run| run_row(&visitor, run)).collect(),
        problems: Vec::new(),
    };
    Ok(shown(ui::render_runbooks(
        &visitor.chrome("Runbooks", ui::Nav::Runbooks),
        &page,
    )))
}

/// How far a page has come: what it was given by evidence, what the configuration trusts, else what is written in it.
fn rung(visitor: &Visitor, runbook: &Runbook) -> &'static str {
    use bellwether_act::Earned;
    use bellwether_act::lint::{Rung, readiness};
    use bellwether_act::runs::Automatic;
    let trusted = match &visitor.app.config().runs.automatic {
        Automatic::Never => false,
        Automatic::All => true,
        Automatic::These(ids) => ids.contains(&runbook.id),
    };
    let earned = visitor
        .app
        .core
        .view(|flow| flow.runs.earned(&runbook.id, &runbook.hash));
    match (earned, readiness(runbook).0) {
        (Some(Earned::Automatic), _) => "automatic",
        _ if trusted => "automatic, by configuration",
        (Some(Earned::Shadow), _) => "shadow",
        (None, Rung::Document) => "document",
        (None, Rung::Parameterised) => "parameterised",
        (None, Rung::Guarded) => "guarded",
    }
}

fn row(visitor: &Visitor, runbook: &Runbook) -> ui::RunbookRow {
    let evidence = visitor
        .app
        .core
        .view(|flow| flow.runs.evidence(&runbook.id, &runbook.hash).cloned());
    ui::RunbookRow {
        id: runbook.id.clone(),
        title: runbook.title.clone(),
        rung: rung(visitor, runbook).to_owned(),
        owner: runbook.owner.clone(),
        alerts: runbook.alerts.clone(),
        last_run: evidence.as_ref().and_then(|known| known.last),
        last_verified: evidence.as_ref().and_then(|known| known.last_ok),
        n_runs: evidence.as_ref().map_or(0, |known| known.n),
        n_succeeded: evidence.as_ref().map_or(0, |known| known.ok),
    }
}

fn input_kind(kind: &InputType) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(serde_json::Value::Object(map)) => {
            let kind = map
                .get("type")
                .or_else(|| map.get("kind"))
                .and_then(|value| value.as_str());
            kind.map_or_else(
                || map.keys().next().cloned().unwrap_or_default(),
                str::to_owned,
            )
        }
        _ => String::new(),
    }
}

/// What can be started here without a case.
fn starts(visitor: &Visitor, runbook: &Runbook) -> Vec<(String, String)> {
    let has = |kind| runbook.steps.iter().any(|step| step.kind == kind);
    let may = visitor.may(Scope::Run);
    [
        ("diagnosis", "Run the diagnosis", SectionKind::Diagnosis),
        ("fix", "Plan the fix", SectionKind::Fix),
    ]
    .into_iter()
    .filter(|(_, _, kind)| may && has(*kind))
    .map(|(part, text, _)| (part.to_owned(), text.to_owned()))
    .collect()
}

/// Starts a part without a case; what changes something then waits for its approval.
pub(super) async fn start(Path(id): Path<String>, posted: Posted) -> Page {
    posted.need(Scope::Run)?;
    let visitor = &posted.visitor;
    let config = visitor.app.config();
    let Some(runbook) = config.runbooks.get(&id) else {
        return Err(visitor.missing("runbook"));
    };
    let mut given = GivenInputs::default();
    for input in &runbook.inputs {
        let text = posted.text(&format!("input.{}", input.name), INPUT_MAX);
        if !text.is_empty() {
            given.values.insert(input.name.clone(), text);
        }
    }
    let part = api::part(posted.field("part"));
    let plan = planning::plan_with(&visitor.app, runbook, given, &part).await;
    let actor = &visitor.identity.actor;
    let run = planning::start(&visitor.app, plan, None, Trigger::Person, actor, None)
        .await
        .map_err(|error| visitor.fail(error))?;
    Ok(back_to(&path::run(&run.to_string()), "run"))
}

/// One runbook.
pub(super) async fn show(visitor: Visitor, Path(id): Path<String>) -> Page {
    let config = visitor.app.config();
    let Some(runbook) = config.runbooks.get(&id) else {
        return Err(visitor.missing("runbook"));
    };
    let runs = visitor
        .app
        .core
        .view(|flow| flow.runs.recent(500, visitor.now));
    let source = |input: &bellwether_act::runbook::Input| {
        let from = [
            input
                .alert_label
                .as_ref()
                .map(|label| format!("label {label}")),
            input
                .annotation
                .as_ref()
                .map(|name| format!("annotation {name}")),
            input.promql.as_ref().map(|_| "a query".to_owned()),
            input.default.clone(),
        ];
        from.into_iter().flatten().collect::<Vec<_>>().join(", or ")
    };
    let page = ui::RunbookPage {
        row: row(&visitor, runbook),
        file: runbook.file.to_string(),
        hash: runbook.hash.chars().take(12).collect(),
        inputs: runbook
            .inputs
            .iter()
            .map(|input| (input.name.clone(), input_kind(&input.kind), source(input)))
            .collect(),
        blocks: blocks(runbook, &|_| None),
        actions: Vec::new(),
        start: starts(&visitor, runbook),
        runs: runs
            .iter()
            .filter(|run| run.runbook == id)
            .take(RUNS_MAX)
            .map(|run| run_row(&visitor, run))
            .collect(),
        problems: Vec::new(),
    };
    Ok(shown(ui::render_runbook(
        &visitor.chrome(&runbook.title, ui::Nav::Runbooks),
        &page,
    )))
}
