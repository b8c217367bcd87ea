//! `bellwether exp`.

use std::process::ExitCode;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_lab::experiment::{
    DECISION, Decision, ENVIRONMENT, Experiment, Plan, RAW, RESULT, Raw, encode,
};
use bellwether_measure::environment;
use bellwether_measure::experiments::{Store, StoreError};
use clap::Parser as _;
use serde_json::json;

use super::{Fault, compare, draw, ended, queries};
use crate::cli::{Cli, Command, CompareOptions, Exp, ExpFolder};
use crate::commands::say;

pub(in crate::commands) fn run(command: Exp) -> ExitCode {
    ended(match command {
        Exp::New {
            title,
            hypothesis,
            base,
            candidate,
            options,
            folder,
        } => new(&title, hypothesis, base, candidate, &options, &folder),
        Exp::Run { id, folder, quiet } => run_once(&id, &folder, quiet),
        Exp::Show { id, folder, svg } => show(&id, &folder, svg.as_deref()),
        Exp::List { folder } => list(&folder),
        Exp::Decide {
            id,
            decision,
            why,
            folder,
        } => decide(&id, decision, why, &folder),
        queries @ Exp::Queries { .. } => queries::run(queries),
    })
}

fn of(error: StoreError) -> Fault {
    match error {
        StoreError::Unknown { .. } | StoreError::Ambiguous { .. } => Fault::input(error),
        other => Fault::failed(other),
    }
}

fn new(
    title: &str,
    hypothesis: String,
    base: String,
    candidate: String,
    options: &CompareOptions,
    folder: &ExpFolder,
) -> Result<ExitCode, Fault> {
    let plan = Plan {
        version: 1,
        id: String::new(),
        title: title.to_owned(),
        hypothesis,
        base,
        candidate,
        setup: arguments(options),
        limits: compare::limits(options)?,
        created_at: SystemClock::new().now(),
    };
    let plan = Store::new(&folder.dir).create(plan).map_err(of)?;
    if folder.json {
        say(json!(plan));
    } else {
        say(&plan.id);
    }
    Ok(ExitCode::SUCCESS)
}

/// The options as arguments that give them back.
fn arguments(options: &CompareOptions) -> Vec<String> {
    let mut list = vec![
        format!("--pairs-min={}", options.pairs_min),
        format!("--pairs-max={}", options.pairs_max),
        format!("--confidence={}", options.confidence),
        format!("--floor={}", options.floor),
        format!("--floor-cpu={}", options.floor_cpu),
        format!("--floor-memory={}", options.floor_memory),
        format!("--warmup={}", options.warmup),
        format!("--timeout={}ms", options.timeout.as_millis()),
        format!("--rate={}", options.rate),
        format!("--duration={}ms", options.duration.as_millis()),
    ];
    if let Some(kind) = options.as_ {
        list.push(format!("--as={}", format!("{kind:?}").to_lowercase()));
    }
    let texts = [
        ("before-each", &options.before_each),
        ("read", &options.read),
    ];
    list.extend(
        texts
            .into_iter()
            .filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?))),
    );
    list.extend(
        options
            .load_args
            .iter()
            .map(|arg| format!("--load-arg={arg}")),
    );
    let pids = [
        ("pid-base", options.pid_base),
        ("pid-candidate", options.pid_candidate),
    ];
    list.extend(
        pids.into_iter()
            .filter_map(|(name, pid)| Some(format!("--{name}={}", pid?))),
    );
    list
}

fn run_once(name: &str, folder: &ExpFolder, quiet: bool) -> Result<ExitCode, Fault> {
    let store = Store::new(&folder.dir);
    let id = store.find(name).map_err(of)?;
    let experiment = store.read(&id).map_err(of)?;
    if experiment.raw.is_some() {
        return Err(Fault::failed(format_args!(
            "{id} has run already; what is written is not changed\nhint: plan it again with `bellwether exp new`"
        )));
    }
    let plan = experiment.plan;
    let options = options_of(&plan)?;
    let mut environment = environment::describe(env!("CARGO_PKG_VERSION"));
    let report = compare::report(&plan.base, &plan.candidate, &options, quiet)?;
    environment.ended_at = SystemClock::new().now();
    environment.load_after = environment::load();
    let raw = Raw {
        version: 1,
        limits: plan.limits,
        report: report.clone(),
    };
    store
        .add(&id, ENVIRONMENT, &encode(&environment))
        .map_err(of)?;
    store.add(&id, RAW, &encode(&raw)).map_err(of)?;
    store.add(&id, RESULT, &encode(&report)).map_err(of)?;
    say(format_args!("{id}: {}: {}", report.verdict, report.why));
    Ok(ExitCode::SUCCESS)
}

/// The options that the plan's arguments stand for: read by the same parser that read them first.
fn options_of(plan: &Plan) -> Result<CompareOptions, Fault> {
    let line = ["bellwether", "compare"]
        .into_iter()
        .map(str::to_owned)
        .chain(plan.setup.iter().cloned())
        .chain(["--", "a", "b"].map(str::to_owned));
    match Cli::try_parse_from(line) {
        Ok(Cli {
            command: Command::Compare(args),
        }) => Ok(args.options),
        Ok(_) => Err(Fault::failed(
            "the plan's arguments are not those of a comparison",
        )),
        Err(error) => Err(Fault::failed(error)),
    }
}

fn show(name: &str, folder: &ExpFolder, svg: Option<&std::path::Path>) -> Result<ExitCode, Fault> {
    let store = Store::new(&folder.dir);
    let id = store.find(name).map_err(of)?;
    let experiment = store.read(&id).map_err(of)?;
    if folder.json {
        say(as_json(&experiment));
    } else {
        say(experiment.markdown().trim_end());
    }
    if let (Some(folder), Some(report)) = (svg, experiment.recomputed()) {
        draw(&report, folder)?;
    }
    let good = experiment.faults.is_empty() && experiment.reproduces() != Some(false);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn as_json(experiment: &Experiment) -> serde_json::Value {
    json!({
        "plan": experiment.plan,
        "environment": experiment.environment,
        "result": experiment.recomputed(),
        "reproduces": experiment.reproduces(),
        "decision": experiment.decision,
        "faults": experiment.faults,
    })
}

fn list(folder: &ExpFolder) -> Result<ExitCode, Fault> {
    let store = Store::new(&folder.dir);
    let mut rows = vec![["experiment", "state", "verdict", "decision", "title"].map(str::to_owned)];
    let mut all = Vec::new();
    for id in store.ids().map_err(of)? {
        match store.read(&id) {
            Ok(experiment) => {
                all.push(json!({
                    "id": id, "title": experiment.plan.title, "state": experiment.state(), "verdict": experiment.verdict(),
                    "decision": experiment.decision.as_ref().map(|decision| &decision.decision),
                    "created_at": experiment.plan.created_at, "faults": experiment.faults,
                }));
                rows.push([
                    id,
                    experiment.state().to_owned(),
                    experiment
                        .verdict()
                        .map_or(String::new(), |verdict| verdict.to_string()),
                    experiment
                        .decision
                        .map_or(String::new(), |decision| decision.decision),
                    experiment.plan.title,
                ]);
            }
            Err(error) => crate::commands::complain(error),
        }
    }
    if folder.json {
        say(json!(all));
    } else if rows.len() == 1 {
        say(format_args!("no experiments in {}", folder.dir.display()));
    } else {
        say(bellwether_lab::text::table(&rows).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn decide(
    name: &str,
    decision: String,
    why: String,
    folder: &ExpFolder,
) -> Result<ExitCode, Fault> {
    let store = Store::new(&folder.dir);
    let id = store.find(name).map_err(of)?;
    let decision = Decision {
        version: 1,
        decision,
        why,
        decided_at: SystemClock::new().now(),
    };
    store.add(&id, DECISION, &encode(&decision)).map_err(of)?;
    say(format_args!("{id}: {}", decision.decision));
    Ok(ExitCode::SUCCESS)
}
