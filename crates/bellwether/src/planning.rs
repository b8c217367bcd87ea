//! Plans: from a case and a part of its runbook to something that can be approved and run.
//!
//! The engines cannot ask queries, so this does: it finds the runbook, asks the queries that fill its inputs, makes
//! the plan, and starts the run.

use std::sync::Arc;
use std::time::Duration;

use bellwether_act::runs::Trigger;
use bellwether_act::{Earned, GivenInputs, Part, Plan, RunEvent, Runbook, input_queries, plan};
use bellwether_env::SystemIds;
use bellwether_flow::{Input, Wanted};
use bellwether_model::series::Value;
use bellwether_model::{CaseId, Labels, RunId, Severity};
use bellwether_page::{Case, PagerEvent};
use bellwether_promql::QueryValue;
use tokio::sync::mpsc;

use crate::app::App;

/// Rounds of input queries: each may use the answers of the one before.
const INPUT_ROUNDS_MAX: usize = 8;
/// Time that one input's query may take.
const INPUT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("there is no such case")]
    NoCase,
    #[error("no runbook is linked to this case: name one in the alert's `runbook` annotation")]
    NoRunbook,
    #[error("runbook {0:?} is not known")]
    UnknownRunbook(String),
    #[error("{0}")]
    NotRunnable(String),
    #[error("the plan has changed since you saw it: look at it again")]
    Changed,
    #[error(transparent)]
    NotTaken(#[from] crate::core::NotTaken),
}

/// Starts the runs that the engines want, one task each.
pub async fn run(app: Arc<App>, mut wanted: mpsc::UnboundedReceiver<Wanted>) {
    while let Some(work) = wanted.recv().await {
        let app = Arc::clone(&app);
        crate::app::spawn("plan a run", async move {
            let diagnosis = work.part == Part::Diagnosis;
            let trigger = if diagnosis {
                Trigger::Alert
            } else {
                automatic_or_shadow(&app, work.case)
            };
            let started =
                start_for_case(&app, work.case, work.part, trigger, "automation", None).await;
            let Err(error) = started else { return };
            tracing::debug!(case.id = %work.case, %error, "no run was started");
            if diagnosis {
                // The page must not wait for what will not come.
                let text = String::new();
                let event = PagerEvent::ContextReady {
                    case: work.case,
                    text,
                };
                drop(app.core.send(Input::Page(event)).await);
            } else {
                let text = format!("the fix was not started: {error}");
                let event = PagerEvent::Comment {
                    case: work.case,
                    actor: "automation".to_owned(),
                    text,
                };
                drop(app.core.send(Input::Page(event)).await);
            }
        });
    }
}

/// Whether a case's fix may run by itself, or is only planned to be compared with what a person does.
fn automatic_or_shadow(app: &App, case: CaseId) -> Trigger {
    let view = app.core.view(|flow| flow.pager.case(case, app.clock.now()));
    let runbook = view.and_then(|view| runbook_of(app, &view.case));
    let earned =
        runbook.and_then(|page| app.core.view(|flow| flow.runs.earned(&page.id, &page.hash)));
    if earned == Some(Earned::Shadow) {
        Trigger::Shadow
    } else {
        Trigger::Automatic
    }
}

/// The runbook of a case: by its annotations and labels, then by those of its alerts.
pub fn runbook_of(app: &App, case: &Case) -> Option<Arc<Runbook>> {
    let config = app.config();
    let library = &config.runbooks;
    let own = library.for_alert(&case.labels, &case.annotations);
    own.or_else(|| {
        case.alerts
            .values()
            .find_map(|alert| library.for_alert(&alert.labels, &alert.annotations))
    })
    .cloned()
}

/// Plans a part of a runbook for a case.
pub async fn plan_for_case(
    app: &App,
    case: CaseId,
    part: Part,
) -> Result<(Arc<Runbook>, Plan), PlanError> {
    let view = app
        .core
        .view(|flow| flow.pager.case(case, app.clock.now()))
        .ok_or(PlanError::NoCase)?;
    let runbook = runbook_of(app, &view.case).ok_or(PlanError::NoRunbook)?;
    let firing = view.case.firing().next();
    let given = GivenInputs {
        labels: firing
            .map_or(&view.case.labels, |(_, alert)| &alert.labels)
            .clone()
            .into(),
        annotations: firing
            .map_or(&view.case.annotations, |(_, alert)| &alert.annotations)
            .clone()
            .into(),
        ..GivenInputs::default()
    };
    let plan = plan_with(app, &runbook, given, &part).await;
    Ok((runbook, plan))
}

/// Plans a part of a runbook; inputs that come from queries are asked for now.
pub async fn plan_with(app: &App, runbook: &Runbook, mut given: GivenInputs, part: &Part) -> Plan {
    let now = app.clock.now();
    // An input's query may use another input's answer: ask until there is nothing new to ask.
    for _ in 0..INPUT_ROUNDS_MAX {
        let asked = given.queried.len();
        for wanted in input_queries(runbook, &given) {
            if given.queried.contains_key(&wanted.input) {
                continue;
            }
            let samples = ask(app, &wanted.query, now.as_millisecond()).await;
            given.queried.insert(wanted.input, samples);
        }
        if given.queried.len() == asked {
            break;
        }
    }
    plan(runbook, &given, part, now)
}

/// The samples of an input's query; none when it cannot be answered, which the plan then says.
async fn ask(app: &App, query: &str, now: i64) -> Vec<(Labels, f64)> {
    let Ok(expr) = app.queries.engine().parse(query) else {
        return Vec::new();
    };
    let times = crate::queries::Times::at(now);
    let Ok(result) = app.queries.run(expr, times, INPUT_TIMEOUT).await else {
        return Vec::new();
    };
    let QueryValue::Vector(samples) = result.value else {
        return Vec::new();
    };
    let floats = samples.into_iter().filter_map(|sample| match sample.value {
        Value::Float(value) => Some((sample.labels, value)),
        Value::Histogram(_) => None,
    });
    floats.collect()
}

/// Plans and starts a run for a case. With a `digest`, only that very plan is started.
pub async fn start_for_case(
    app: &App,
    case: CaseId,
    part: Part,
    trigger: Trigger,
    actor: &str,
    digest: Option<&str>,
) -> Result<RunId, PlanError> {
    let (_, plan) = plan_for_case(app, case, part).await?;
    start(app, plan, Some(case), trigger, actor, digest).await
}

/// Starts a run of a plan. A plan that changes something then waits for an approval, unless it may run by itself.
pub async fn start(
    app: &App,
    plan: Plan,
    case: Option<CaseId>,
    trigger: Trigger,
    actor: &str,
    digest: Option<&str>,
) -> Result<RunId, PlanError> {
    if !plan.runnable() {
        let errors = plan
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        let text: Vec<String> = errors.map(|problem| problem.message.clone()).collect();
        let text = if text.is_empty() {
            "this part of the runbook has no steps".to_owned()
        } else {
            text.join("; ")
        };
        return Err(PlanError::NotRunnable(text));
    }
    if digest.is_some_and(|digest| digest != plan.digest) {
        return Err(PlanError::Changed);
    }
    let run = RunId::new(app.clock.now(), &mut SystemIds);
    let digest = plan.digest.clone();
    let event = RunEvent::Start {
        run,
        plan: Box::new(plan),
        case,
        actor: actor.to_owned(),
        digest,
        trigger,
    };
    app.core.send(Input::Run(event)).await?;
    Ok(run)
}

/// The tap: plans a part for a case, starts it and approves it as one person's deliberate act on the digest they saw.
pub async fn tap(
    app: &App,
    case: CaseId,
    part: Part,
    actor: &str,
    digest: Option<&str>,
) -> Result<RunId, PlanError> {
    let (_, plan) = plan_for_case(app, case, part).await?;
    let (changes, approved) = (plan.changes(), plan.digest.clone());
    let run = start(app, plan, Some(case), Trigger::Person, actor, digest).await?;
    if changes {
        let event = RunEvent::Approve {
            run,
            actor: actor.to_owned(),
            digest: approved,
        };
        app.core.send(Input::Run(event)).await?;
    }
    Ok(run)
}
