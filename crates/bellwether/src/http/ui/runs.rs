//! Runs: how they stand, and the taps that move them.

use axum::extract::Path;
use axum::response::Response;
use bellwether_act::runbook::{Lang, Step};
use bellwether_act::runs::{Need, Role};
use bellwether_act::{
    Effect, Outcome, Part, RunEvent, RunState, RunView, Runbook, SectionKind, StepState,
};
use bellwether_flow::{Input, Why};
use bellwether_model::state::Subject;
use bellwether_model::{RunId, Severity};
use bellwether_page::Case;
use bellwether_store::EventFilter;
use bellwether_ui as ui;
use bellwether_ui::{Block, Tone, path};
use jiff::SignedDuration;

use super::cases::{actor_words, find};
use super::frame::{Page, Posted, Visitor, back_to, shown};
use crate::http::api;
use crate::http::auth::Scope;
use crate::http::problem::Problem;
use crate::planning;

const JOURNAL_MAX: u32 = 300;

// === views ===

fn run_state(run: &RunView) -> ui::RunState {
    match run.state {
        RunState::WaitingApproval | RunState::Queued => ui::RunState::Waiting,
        RunState::Running | RunState::Undoing => ui::RunState::Running,
        RunState::Parked if matches!(run.need, Some(Need::Resolve { .. })) => ui::RunState::Unknown,
        RunState::Parked => ui::RunState::Waiting,
        RunState::Succeeded => ui::RunState::Succeeded,
        RunState::Failed => ui::RunState::Failed,
        RunState::Cancelled | RunState::Expired | RunState::Shadowed => ui::RunState::Cancelled,
        RunState::Undone => ui::RunState::Undone,
    }
}

fn part_words(run: &RunView) -> String {
    match &run.part {
        Part::Diagnosis => format!("{}: look", run.title),
        Part::Fix => run.title.clone(),
        Part::Step(step) => {
            let title = run
                .steps
                .iter()
                .find(|one| one.id == *step)
                .map_or(step.as_str(), |one| one.title.as_str());
            format!("{}: {title}", run.title)
        }
    }
}

/// A run in a list.
pub(super) fn run_row(visitor: &Visitor, run: &RunView) -> ui::RunRow {
    let case = run.case.map(|id| {
        let title = visitor
            .app
            .core
            .view(|flow| flow.pager.case(id, visitor.now).map(|view| view.case.title));
        (id.to_string(), title.unwrap_or_else(|| id.to_string()))
    });
    ui::RunRow {
        id: run.id.to_string(),
        code: run.id.short(),
        runbook: part_words(run),
        state: run_state(run),
        by: actor_words(visitor, &run.started_by),
        started_at: run.began_at.unwrap_or(run.created_at),
        ended_at: run.ended_at,
        case,
    }
}

fn step_state(step: &bellwether_act::StepView) -> ui::StepState {
    match step.state {
        StepState::Pending => ui::StepState::NotRun,
        StepState::Intent | StepState::Started | StepState::Verifying => ui::StepState::Running,
        StepState::Succeeded => ui::StepState::Succeeded,
        StepState::Failed if step.outcome == Some(Outcome::TimedOut) => ui::StepState::TimedOut,
        StepState::Failed => ui::StepState::Failed,
        StepState::Unknown => ui::StepState::Unknown,
        StepState::Skipped => ui::StepState::Skipped,
        StepState::Undone => ui::StepState::Undone,
    }
}

fn step_output(step: &bellwether_act::StepView, running: bool) -> Option<ui::Output> {
    let mut text = step.output.stdout.trim_end().to_owned();
    if !step.output.stderr.trim().is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(step.output.stderr.trim_end());
    }
    let exit = step
        .outcome
        .as_ref()
        .map(Outcome::describe)
        .unwrap_or_default();
    let shown = step.output.stdout.len() + step.output.stderr.len();
    let truncated = if step.output.truncated {
        step.output.bytes.saturating_sub(shown as u64)
    } else {
        0
    };
    (running || !text.is_empty() || !exit.is_empty()).then_some(ui::Output {
        text,
        truncated,
        exit,
    })
}

/// A step of a run.
fn step_view(visitor: &Visitor, run: &RunView, step: &bellwether_act::StepView) -> ui::StepView {
    let state = step_state(step);
    let running = state == ui::StepState::Running;
    let mut note = step.note.clone();
    if let Some(verify) = &step.verify
        && step.state != StepState::Pending
    {
        let words = match verify.holds {
            Some(true) => "verified".to_owned(),
            Some(false) => format!("not verified, last: {}", verify.last),
            None if verify.asked > 0 => format!("checking, last: {}", verify.last),
            None => "verified afterwards".to_owned(),
        };
        note = if note.is_empty() {
            words
        } else {
            format!("{note}; {words}")
        };
    }
    ui::StepView {
        id: format!("step-{}-{}", run.id.short(), step.id),
        title: step.title.clone(),
        kind: match (step.role, step.effect) {
            (Role::Undo { .. } | Role::CommonUndo { .. }, _) => ui::StepKind::Undo,
            (Role::Main { .. }, Effect::Change) => ui::StepKind::Change,
            (Role::Main { .. }, Effect::Read) if run.part == Part::Fix => ui::StepKind::Verify,
            (Role::Main { .. }, Effect::Read) => ui::StepKind::Diagnose,
        },
        lang: String::new(),
        body: step.body.clone(),
        target: String::new(),
        state,
        started_at: step.begun_at,
        took: step
            .ended_at
            .map(|_| SignedDuration::from_millis(step.elapsed_ms as i64)),
        by: if step.by.is_empty() {
            String::new()
        } else {
            actor_words(visitor, &step.by)
        },
        note,
        output: step_output(step, running),
        actions: Vec::new(),
        live: if running {
            format!("{}/{}", run.id, step.id)
        } else {
            String::new()
        },
    }
}

fn action(
    label: &str,
    run: &RunView,
    verb: &str,
    tone: Tone,
    fields: &[(&str, &str)],
) -> ui::StepAction {
    ui::StepAction {
        label: label.to_owned(),
        path: path::run_action(&run.id.to_string(), verb),
        fields: fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        tone,
        confirm: None,
        type_this: None,
        disabled: None,
    }
}

/// What a person can do with a run now.
fn run_actions(visitor: &Visitor, run: &RunView) -> Vec<ui::StepAction> {
    if !visitor.may(Scope::Run) {
        return Vec::new();
    }
    let mut actions = Vec::new();
    let ended = run.ended_at.is_some();
    let changes: Vec<&str> = run
        .steps
        .iter()
        .filter(|step| step.effect == Effect::Change && matches!(step.role, Role::Main { .. }))
        .map(|step| step.title.as_str())
        .collect();
    match &run.need {
        Some(Need::Approval) => actions.push(ui::StepAction {
            confirm: Some(format!("This will: {}.", changes.join("; "))),
            ..action(
                "Approve and run",
                run,
                "approve",
                Tone::Warn,
                &[("digest", &run.digest)],
            )
        }),
        Some(Need::StepApproval { .. }) => {
            actions.push(action(
                "Approve this step",
                run,
                "approve",
                Tone::Warn,
                &[("digest", &run.digest)],
            ));
        }
        Some(Need::Lock { .. }) => {}
        Some(Need::Confirmation { step, targets }) => {
            let asks = run.steps.iter().find(|one| one.id == *step);
            actions.push(ui::StepAction {
                confirm: Some(format!(
                    "Confirm “{}”.",
                    asks.map_or(step.as_str(), |one| one.title.as_str())
                )),
                type_this: Some(targets.to_string()),
                ..action("Confirm", run, "confirm", Tone::Warn, &[])
            });
        }
        Some(Need::Manual { step }) => {
            actions.push(action(
                "I did it",
                run,
                "manual",
                Tone::Good,
                &[("step", step), ("done", "yes")],
            ));
            actions.push(action(
                "It could not be done",
                run,
                "manual",
                Tone::Quiet,
                &[("step", step), ("done", "no")],
            ));
        }
        Some(Need::Resolve { step }) => {
            actions.push(action(
                "It was done",
                run,
                "settle",
                Tone::Good,
                &[("step", step), ("done", "yes")],
            ));
            actions.push(action(
                "It was not done",
                run,
                "settle",
                Tone::Quiet,
                &[("step", step), ("done", "no")],
            ));
        }
        Some(Need::UndoFailed { .. }) | None => {}
    }
    if run.can_undo {
        actions.push(ui::StepAction {
            confirm: Some("Takes back what this run changed, in reverse.".to_owned()),
            ..action("Undo", run, "undo", Tone::Quiet, &[])
        });
    }
    if !ended && run.state != RunState::Undoing {
        actions.push(action("Stop", run, "cancel", Tone::Bad, &[]));
    }
    actions
}

// === the runbook's page ===

fn lang_word(lang: Lang) -> &'static str {
    match lang {
        Lang::Sh => "sh",
        Lang::Bash => "bash",
        Lang::Promql => "promql",
        Lang::Http => "http",
        Lang::Sql => "sql",
        Lang::Manual => "manual",
        Lang::Kubectl => "kubectl",
        Lang::Terraform => "terraform",
        Lang::Ansible => "ansible",
        Lang::Chef => "chef",
        Lang::Chat => "chat",
    }
}

/// A step as the page has it, before any run.
fn plain_step(step: &Step) -> ui::StepView {
    ui::StepView {
        id: format!("rb-{}", step.id),
        title: step.title.clone(),
        kind: match (step.is_undo, step.kind, step.effect_or_change()) {
            (true, _, _) | (_, SectionKind::Undo, _) => ui::StepKind::Undo,
            (_, SectionKind::Verify, _) => ui::StepKind::Verify,
            (_, _, Effect::Change) if step.lang == Lang::Manual || step.interactive => {
                ui::StepKind::Manual
            }
            (_, _, Effect::Change) => ui::StepKind::Change,
            (_, _, Effect::Read) => ui::StepKind::Diagnose,
        },
        lang: lang_word(step.lang).to_owned(),
        body: step.body.trim_end().to_owned(),
        target: step.target.clone(),
        state: ui::StepState::NotRun,
        started_at: None,
        took: None,
        by: String::new(),
        note: String::new(),
        output: None,
        actions: Vec::new(),
        live: String::new(),
    }
}

/// The page of a runbook with its code blocks as steps. `dress` may replace a step by one with its latest run.
pub(super) fn blocks(
    runbook: &Runbook,
    dress: &dyn Fn(&Step) -> Option<ui::StepView>,
) -> Vec<Block> {
    let mut steps: Vec<&Step> = runbook.steps.iter().collect();
    let mut blocks = ui::markdown::blocks(runbook.markdown());
    // The heading is the page's own.
    if matches!(blocks.first(), Some(Block::Heading(1, _))) {
        blocks.remove(0);
    }
    replace(&mut blocks, &mut steps, dress);
    blocks
}

fn replace(
    blocks: &mut [Block],
    steps: &mut Vec<&Step>,
    dress: &dyn Fn(&Step) -> Option<ui::StepView>,
) {
    for block in blocks {
        match block {
            Block::Code { text, .. } => {
                let same = |step: &&Step| step.body.trim() == text.trim();
                if let Some(index) = steps.iter().position(same) {
                    let step = steps.remove(index);
                    let view = dress(step).unwrap_or_else(|| plain_step(step));
                    *block = Block::Step(Box::new(view));
                }
            }
            Block::List { items, .. } => items
                .iter_mut()
                .for_each(|item| replace(item, steps, dress)),
            Block::Quote(inner) => replace(inner, steps, dress),
            _ => {}
        }
    }
}

/// What the page of a case shows of its runbook and its runs.
#[derive(Default)]
pub(super) struct CaseRuns {
    pub(super) diagnosis: Vec<ui::StepView>,
    pub(super) actions: Vec<ui::StepAction>,
    pub(super) note: String,
    pub(super) rows: Vec<ui::RunRow>,
    pub(super) blocks: Vec<Block>,
}

/// Runs of a case, the plan of its fix, and the runbook with both in it.
pub(super) async fn of_case(visitor: &Visitor, case: &Case, runbook: Option<&Runbook>) -> CaseRuns {
    let mut runs = visitor
        .app
        .core
        .view(|flow| flow.runs.runs_of_case(case.id, visitor.now));
    runs.reverse();
    let mut found = CaseRuns {
        rows: runs
            .iter()
            .map(|run| ui::RunRow {
                case: None,
                ..run_row(visitor, run)
            })
            .collect(),
        ..CaseRuns::default()
    };
    if let Some(run) = runs.iter().find(|run| run.part == Part::Diagnosis) {
        found.diagnosis = run
            .steps
            .iter()
            .map(|step| step_view(visitor, run, step))
            .collect();
    }
    for run in runs.iter().filter(|run| run.changes) {
        found.actions.extend(run_actions(visitor, run));
        if run.ended_at.is_none() && !run.why.is_empty() {
            found.note.clone_from(&run.why);
        }
    }
    let Some(runbook) = runbook else { return found };
    let busy = runs.iter().any(|run| run.changes && run.ended_at.is_none());
    let open = !case.is_resolved();
    if open && !busy {
        offer_fix(visitor, case, &mut found).await;
    }
    let may = open && visitor.may(Scope::Run);
    let dress = |step: &Step| {
        let latest = runs.iter().find_map(|run| {
            let own = |one: &&bellwether_act::StepView| {
                one.id == step.id && one.state != StepState::Pending
            };
            run.steps
                .iter()
                .find(own)
                .map(|one| step_view(visitor, run, one))
        });
        let plain = plain_step(step);
        let mut view = match latest {
            // In the diagnosis section above its output is shown already.
            Some(latest) if plain.kind == ui::StepKind::Diagnose && !found.diagnosis.is_empty() => {
                ui::StepView {
                    state: latest.state,
                    started_at: latest.started_at,
                    took: latest.took,
                    ..plain
                }
            }
            Some(latest) => ui::StepView {
                id: plain.id,
                kind: plain.kind,
                lang: plain.lang,
                target: plain.target,
                ..latest
            },
            None => plain,
        };
        if may && step.effect_or_change() == Effect::Read && view.state != ui::StepState::Running {
            view.actions = vec![tap_action("Run", case, &step.id, "", Tone::Quiet)];
        }
        Some(view)
    };
    found.blocks = blocks(runbook, &dress);
    found
}

fn tap_action(label: &str, case: &Case, part: &str, digest: &str, tone: Tone) -> ui::StepAction {
    let mut fields = vec![("part".to_owned(), part.to_owned())];
    if !digest.is_empty() {
        fields.push(("digest".to_owned(), digest.to_owned()));
    }
    ui::StepAction {
        label: label.to_owned(),
        path: path::case_action(&case.id.to_string(), "run"),
        fields,
        tone,
        confirm: None,
        type_this: None,
        disabled: None,
    }
}

/// The button that runs the whole fix, bound to the plan that is shown.
async fn offer_fix(visitor: &Visitor, case: &Case, found: &mut CaseRuns) {
    let Ok((_, plan)) = planning::plan_for_case(&visitor.app, case.id, Part::Fix).await else {
        return;
    };
    if plan.steps.is_empty() {
        return;
    }
    let errors: Vec<&str> = plan
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| problem.message.as_str())
        .collect();
    let changes: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.effect == Effect::Change)
        .map(|step| step.title.as_str())
        .collect();
    let label = if changes.len() == 1 {
        changes[0].to_owned()
    } else {
        "Run the fix".to_owned()
    };
    let disabled = if !visitor.may(Scope::Run) {
        Some("sign in to run it".to_owned())
    } else if !plan.runnable() {
        Some(errors.join("; "))
    } else {
        None
    };
    let verifies = plan.steps.len() - changes.len();
    let confirm = format!(
        "This will: {}.{} It can be stopped{}.",
        changes.join("; "),
        if verifies > 0 {
            " Then it checks whether that helped."
        } else {
            ""
        },
        if plan.steps.iter().any(|step| step.undo.is_some()) || !plan.undo.is_empty() {
            " and taken back"
        } else {
            ""
        },
    );
    found.actions.insert(
        0,
        ui::StepAction {
            confirm: Some(confirm),
            disabled,
            ..tap_action(&label, case, "fix", &plan.digest, Tone::Warn)
        },
    );
}

// === handlers ===

fn parse(visitor: &Visitor, run: &str) -> Result<(RunId, RunView), Response> {
    let id: RunId = run.parse().map_err(|_| visitor.missing("run"))?;
    let view = visitor.app.core.view(|flow| flow.runs.run(id, visitor.now));
    view.map(|view| (id, view))
        .ok_or_else(|| visitor.missing("run"))
}

/// One run.
pub(super) async fn show(visitor: Visitor, Path(run): Path<String>) -> Page {
    let (id, run) = parse(&visitor, &run)?;
    let filter = EventFilter {
        subject: Some(Subject::new("run", id)),
        limit: Some(JOURNAL_MAX),
        ..EventFilter::default()
    };
    let events = visitor
        .app
        .store
        .events(filter)
        .await
        .map_err(|error| visitor.fail(error))?;
    let note = match &run.need {
        Some(Need::Approval) => "Waits for a tap: nothing has been changed yet.".to_owned(),
        _ => run.why.clone(),
    };
    let page = ui::RunPage {
        row: run_row(&visitor, &run),
        runbook_id: run.runbook.clone(),
        inputs: run
            .inputs
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        steps: run
            .steps
            .iter()
            .map(|step| step_view(&visitor, &run, step))
            .collect(),
        actions: run_actions(&visitor, &run),
        note,
        plan: run.digest.clone(),
        journal: events
            .into_iter()
            .map(|event| {
                (
                    event.new.at,
                    format!(
                        "{} ({})",
                        event.new.text,
                        actor_words(&visitor, &event.new.actor)
                    ),
                )
            })
            .collect(),
    };
    Ok(shown(ui::render_run(
        &visitor.chrome(&run.title, ui::Nav::Runbooks),
        &page,
    )))
}

/// The tap on a case: runs a part of its runbook.
pub(super) async fn tap(Path(case): Path<String>, posted: Posted) -> Page {
    posted.need(Scope::Run)?;
    let case = find(&posted.visitor, &case)?.case.id;
    let digest = Some(posted.field("digest")).filter(|digest| !digest.is_empty());
    let part = api::part(posted.field("part"));
    let actor = &posted.visitor.identity.actor;
    let started = planning::tap(&posted.visitor.app, case, part, actor, digest).await;
    started.map_err(|error| posted.visitor.fail(error))?;
    Ok(back_to(&path::case(&case.to_string()), "run"))
}

/// `approve`, `confirm`, `manual`, `settle`, `undo`, `cancel`.
pub(super) async fn act(Path((run, verb)): Path<(String, String)>, posted: Posted) -> Page {
    posted.need(Scope::Run)?;
    let (run, view) = parse(&posted.visitor, &run)?;
    let actor = posted.visitor.identity.actor.clone();
    let (step, done, note) = (
        posted.field("step").to_owned(),
        posted.field("done") == "yes",
        posted.text("text", 1_000),
    );
    let (event, word) = match verb.as_str() {
        "approve" => (
            RunEvent::Approve {
                run,
                actor,
                digest: posted.field("digest").to_owned(),
            },
            "approve",
        ),
        "confirm" => (
            RunEvent::Confirm {
                run,
                actor,
                count: posted.field("confirm").trim().parse().ok(),
            },
            "confirm",
        ),
        "manual" => (
            RunEvent::ManualDone {
                run,
                step,
                actor,
                done,
                note,
            },
            "said",
        ),
        "settle" => (
            RunEvent::Resolve {
                run,
                step,
                actor,
                done,
                note,
            },
            "said",
        ),
        "undo" => (RunEvent::Undo { run, actor }, "undo"),
        "cancel" => (
            RunEvent::Cancel {
                run,
                actor,
                reason: note,
            },
            "cancel",
        ),
        _ => return Err(posted.visitor.missing("action")),
    };
    let reply = posted
        .visitor
        .app
        .core
        .send(Input::Run(event))
        .await
        .map_err(|error| posted.visitor.fail(error))?;
    let refused = reply.why.iter().find_map(|why| match why {
        Why::Run(reason) if reason.is_refusal() => Some(reason.describe()),
        _ => None,
    });
    if let Some(reason) = refused {
        return Err(posted.visitor.fail(Problem::conflict(reason)));
    }
    // Back to where the button was: the case when there is one.
    let back = view.case.map_or_else(
        || path::run(&run.to_string()),
        |case| path::case(&case.to_string()),
    );
    Ok(back_to(&back, word))
}
