//! `runbook run`, `resume`, `undo`, `approve`: on the journal of a data folder.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use bellwether_act::runs::{Need, Reason, Settings, Trigger};
use bellwether_act::{PlannedStep, RunEvent, RunState, Runs};
use bellwether_connect::exec::Executor;
use bellwether_env::{Clock, SystemClock, SystemIds};
use bellwether_model::RunId;

use super::planned::{Wanted, asker, pairs, planned, print_plan, read_page};
use super::show::Show;
use super::{EXIT_WAITS, Fault, say};
use crate::cli::{Place, RunArgs, Settle};
use crate::config::Config;
use crate::local::Local;
use crate::steps::{Connections, Performer};

/// Who is at the keyboard, as the system knows it: the environment can be made to say anything.
pub(super) fn person() -> String {
    let user = rustix::process::getuid().as_raw();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    });
    format!("user:{}", name.unwrap_or_else(|| user.to_string()))
}

fn configured(place: &Place) -> Result<(Settings, Connections), Fault> {
    let (mut settings, mut connections) = match &place.config {
        Some(file) => match Config::load(file) {
            (Some(config), problems) if !problems.has_errors() => (config.runs, config.connections),
            (_, problems) => return Err(Fault::bad(problems)),
        },
        None => (Settings::default(), Connections::default()),
    };
    if place.config.is_none() {
        // Here the groups are those of the system.
        let known = std::fs::read_to_string("/etc/group").unwrap_or_default();
        settings.groups = known
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?.to_owned();
                let members = fields.nth(2)?.split(',').map(str::to_owned);
                Some((name, members.collect()))
            })
            .collect();
    }
    connections
        .databases
        .extend(pairs(&place.databases, "--database")?);
    if let Some(file) = &place.ssh_config {
        connections.ssh_config = Some(file.clone());
    }
    Ok((settings, connections))
}

/// Opens the journal and takes up what was under way.
pub(super) async fn open(place: &Place, show: &Show) -> Result<Local, Fault> {
    let (settings, connections) = configured(place)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let listening = show.clone();
    let performer = Performer {
        executor: Executor::new(Local::spool(&place.data), crate::serve::supervisor()),
        clock,
        ask: asker(place.prometheus.as_deref(), &place.data),
        listener: Arc::new(move |run, step, stream, bytes| {
            listening.output(run, step, stream, bytes);
        }),
        connections: Arc::new(move || connections.clone()),
    };
    let shown = show.clone();
    let on_commit = Box::new(move |batch: &_| shown.batch(batch));
    Ok(Local::open(&place.data, settings, performer, on_commit).await?)
}

/// Why an event was refused.
fn refusal(why: &[Vec<Reason>]) -> Option<Reason> {
    why.iter()
        .flatten()
        .find(|reason| reason.is_refusal())
        .copied()
}

pub(super) async fn run(args: RunArgs) -> Result<ExitCode, Fault> {
    let page = read_page(&args.file)?;
    let place = args.place;
    let wanted = Wanted {
        page: &page,
        inputs: &args.inputs,
        labels: &args.labels,
        part: &args.part,
        data: &place.data,
    };
    let ask = asker(place.prometheus.as_deref(), &place.data);
    let plan = planned(&wanted, &*ask).await?;
    if !plan.runnable() {
        print_plan(&plan);
        for problem in &plan.problems {
            eprintln!("{problem}");
        }
        return Err(Fault::failed("this plan cannot run"));
    }
    if args.digest.len() < 8 || !plan.digest.starts_with(&args.digest) {
        print_plan(&plan);
        return Err(Fault::failed(format!(
            "the plan is another one now: digest {}\nhint: look at it; if it is what you want, run it with --digest {}",
            plan.digest, plan.digest
        )));
    }
    let show = Show::new(place.json);
    let mut local = open(&place, &show).await?;
    local.recover().await?;
    let now = SystemClock::new().now();
    let (id, actor, digest) = (
        RunId::new(now, &mut SystemIds),
        person(),
        plan.digest.clone(),
    );
    let changes = plan.changes();
    let start = RunEvent::Start {
        run: id,
        plan: Box::new(plan),
        case: None,
        actor: actor.clone(),
        digest: digest.clone(),
        trigger: Trigger::Person,
    };
    if !place.json {
        say(format_args!("{id}"));
    }
    let why = local.send(vec![start]).await?;
    if let Some(reason) = refusal(&why) {
        return Err(Fault::failed(format!("not started: {}", reason.describe())));
    }
    if changes {
        let approve = match args.break_glass {
            Some(reason) => RunEvent::BreakGlass {
                run: id,
                actor,
                digest: digest.clone(),
                reason,
            },
            None => RunEvent::Approve {
                run: id,
                actor,
                digest: digest.clone(),
            },
        };
        let why = local.send(vec![approve]).await?;
        match refusal(&why) {
            Some(Reason::SelfApproval | Reason::NotAllowed) => {
                say(format_args!(
                    "another person must approve: bellwether runbook approve {} --digest {digest} --data {}",
                    id.short(),
                    place.data.display()
                ));
                return Ok(ExitCode::from(EXIT_WAITS));
            }
            Some(reason) => {
                return Err(Fault::failed(format!("not started: {}", reason.describe())));
            }
            None => {}
        }
    }
    follow(&mut local, &[id], args.settle, place.json).await
}

/// Finds a run by its id or the end of it.
pub(super) fn find(runs: &Runs, text: &str) -> Result<RunId, Fault> {
    let now = SystemClock::new().now();
    let all = runs.recent(usize::MAX, now);
    let found: Vec<RunId> = all
        .iter()
        .map(|run| run.id)
        .filter(|id| id.to_string() == text || id.to_string().ends_with(text) || id.short() == text)
        .collect();
    match found[..] {
        [id] => Ok(id),
        [] => Err(Fault::bad(format!(
            "no run {text:?}: see `bellwether runbook history`"
        ))),
        _ => Err(Fault::bad(format!(
            "{text:?} may be any of {} runs: give more of its id",
            found.len()
        ))),
    }
}

pub(super) async fn resume(
    run: Option<&str>,
    settle: Settle,
    place: Place,
) -> Result<ExitCode, Fault> {
    let show = Show::new(place.json);
    let mut local = open(&place, &show).await?;
    let now = SystemClock::new().now();
    let ids = match run {
        Some(text) => vec![find(&local.runs, text)?],
        None => local.runs.open_runs(now).iter().map(|run| run.id).collect(),
    };
    let found = local.recover().await?;
    if !place.json {
        say(format_args!(
            "{} open runs, {found} steps under way",
            ids.len()
        ));
    }
    local.send(vec![RunEvent::Tick]).await?;
    follow(&mut local, &ids, settle, place.json).await
}

pub(super) async fn undo(run: &str, place: Place) -> Result<ExitCode, Fault> {
    let show = Show::new(place.json);
    let mut local = open(&place, &show).await?;
    let id = find(&local.runs, run)?;
    local.recover().await?;
    let actor = person();
    let why = local.send(vec![RunEvent::Undo { run: id, actor }]).await?;
    if let Some(reason) = refusal(&why) {
        return Err(Fault::failed(format!(
            "not taken back: {}",
            reason.describe()
        )));
    }
    follow(&mut local, &[id], Settle::default(), place.json).await
}

pub(super) async fn approve(run: &str, digest: &str, place: Place) -> Result<ExitCode, Fault> {
    let show = Show::new(place.json);
    let mut local = open(&place, &show).await?;
    let id = find(&local.runs, run)?;
    local.recover().await?;
    let event = RunEvent::Approve {
        run: id,
        actor: person(),
        digest: digest.to_owned(),
    };
    let why = local.send(vec![event]).await?;
    if let Some(reason) = refusal(&why) {
        return Err(Fault::failed(format!(
            "not approved: {}",
            reason.describe()
        )));
    }
    follow(&mut local, &[id], Settle::default(), place.json).await
}

fn waits(runs: &Runs, id: RunId) -> bool {
    runs.record(id).is_some_and(|run| {
        run.state.ended() || matches!(run.state, RunState::Parked | RunState::WaitingApproval)
    })
}

/// Drives runs until each has ended or waits for somebody who is not here.
async fn follow(
    local: &mut Local,
    ids: &[RunId],
    settle: Settle,
    json: bool,
) -> Result<ExitCode, Fault> {
    let mut words = settle;
    loop {
        let stopped = {
            let driving = local.drive(|runs| ids.iter().all(|id| waits(runs, *id)));
            tokio::select! {
                driven = driving => { driven?; false }
                _ = tokio::signal::ctrl_c() => true,
            }
        };
        if stopped {
            say("stopping: nothing further is begun; a step under way goes on (again to leave it)");
            let cancel = |id: &RunId| RunEvent::Cancel {
                run: *id,
                actor: person(),
                reason: "interrupted".to_owned(),
            };
            local.send(ids.iter().map(cancel).collect()).await?;
            let driving = local.drive(|runs| ids.iter().all(|id| waits(runs, *id)));
            tokio::select! {
                driven = driving => driven?,
                _ = tokio::signal::ctrl_c() => return Err(Fault::failed("left: `bellwether runbook resume` takes it up")),
            }
        }
        let parked: Vec<RunId> = ids
            .iter()
            .copied()
            .filter(|id| {
                local
                    .runs
                    .record(*id)
                    .is_some_and(|run| run.state == RunState::Parked)
            })
            .collect();
        let mut heard = false;
        for id in parked {
            if let Some(event) = hear(&local.runs, id, &mut words) {
                let why = local.send(vec![event]).await?;
                if let Some(reason) = refusal(&why) {
                    return Err(Fault::failed(format!("refused: {}", reason.describe())));
                }
                heard = true;
            }
        }
        if !heard {
            break;
        }
    }
    Ok(summary(local, ids, json))
}

/// The last lines: how each run ended, or what it waits for.
fn summary(local: &Local, ids: &[RunId], json: bool) -> ExitCode {
    let now = SystemClock::new().now();
    let mut code = 0;
    for id in ids {
        let Some(run) = local.runs.run(*id, now) else {
            continue;
        };
        let state = serde_json::to_value(run.state).unwrap_or_default();
        let state = state.as_str().unwrap_or_default().replace('_', " ");
        if !json {
            let why = if run.why.is_empty() {
                String::new()
            } else {
                format!(": {}", run.why)
            };
            let seconds = run.elapsed_ms as f64 / 1e3;
            say(format_args!(
                "{} {state} after {seconds:.1} s{why}",
                id.short()
            ));
        }
        code = code.max(match run.state {
            RunState::Succeeded | RunState::Undone => 0,
            RunState::Parked | RunState::WaitingApproval | RunState::Queued => EXIT_WAITS,
            _ => 1,
        });
        if run.state == RunState::Parked && !json {
            let hint = match &run.need {
                Some(Need::Manual { step }) => {
                    format!("do it, then: resume {} --done {step}", id.short())
                }
                Some(Need::Resolve { step }) => {
                    format!(
                        "find out, then: resume {} --done {step} (or --not-done {step})",
                        id.short()
                    )
                }
                Some(Need::Confirmation { targets, .. }) => {
                    format!(
                        "resume {} --confirm TARGETS (there are {targets})",
                        id.short()
                    )
                }
                Some(Need::StepApproval { .. }) => format!(
                    "another person: approve {} --digest {}",
                    id.short(),
                    run.digest
                ),
                Some(Need::UndoFailed { .. }) => format!("look, then: undo {}", id.short()),
                _ => continue,
            };
            say(format_args!("hint: bellwether runbook {hint}"));
        }
    }
    ExitCode::from(code)
}

fn ask(question: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let mut out = std::io::stdout().lock();
    drop(write!(out, "{question} "));
    drop(out.flush());
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .ok()
        .filter(|read| *read > 0)?;
    Some(line.trim().to_owned())
}

fn take(list: &mut Vec<String>, step: &str) -> bool {
    let at = list.iter().position(|known| known == step);
    at.map(|at| list.remove(at)).is_some()
}

/// What a person says to a run that waits: from the command line, else asked at the terminal.
fn hear(runs: &Runs, id: RunId, words: &mut Settle) -> Option<RunEvent> {
    let run = runs.record(id)?;
    let actor = person();
    let done_or_not = |words: &mut Settle, step: &str, question: String| {
        if take(&mut words.done, step) {
            return Some(true);
        }
        if take(&mut words.not_done, step) {
            return Some(false);
        }
        match ask(&question).as_deref() {
            Some("y" | "yes" | "done") => Some(true),
            Some("n" | "no") => Some(false),
            _ => None,
        }
    };
    match run.need.clone() {
        Some(Need::Confirmation { step, targets }) => {
            let count = match words.confirm.take() {
                Some(count) => Some(count),
                None => ask(&format!(
                    "{step} changes {targets} targets; type {targets} to proceed:"
                ))
                .and_then(|text| text.parse().ok()),
            };
            count.map(|count| RunEvent::Confirm {
                run: id,
                actor,
                count: Some(count),
            })
        }
        Some(Need::Manual { step }) => {
            let text = run.plan.steps.iter().find(|planned| planned.id == step);
            let text = text.map(PlannedStep::body).unwrap_or_default();
            done_or_not(words, &step, format!("by hand:\n{text}\ndone? [y/n]")).map(|done| {
                RunEvent::ManualDone {
                    run: id,
                    step,
                    actor,
                    done,
                    note: String::new(),
                }
            })
        }
        Some(Need::Resolve { step }) => {
            done_or_not(words, &step, format!("was step {step} done? [y/n]")).map(|done| {
                RunEvent::Resolve {
                    run: id,
                    step,
                    actor,
                    done,
                    note: String::new(),
                }
            })
        }
        _ => None,
    }
}

/// Whether a server works on a data folder.
pub(super) fn server_at(data: &Path) -> bool {
    data.join(crate::serve::SERVER_FILE).exists()
}
