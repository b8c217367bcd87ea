//! `bellwether load`: arguments to a plan, the run with its live view, the report in all its forms.

mod git;
mod live;
mod plan;
mod print;
mod push;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_load::hdrlog::HdrLog;
use bellwether_load::knee::{self, Probe, Search};
use bellwether_load::plan::Model;
use bellwether_load::{Plan, Report, Stop};

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::{Load, LoadTarget};

/// The run measured the generator, not the target.
const EXIT_INVALID: u8 = 3;
/// Users that the search for the knee goes up to.
const USERS_MAX: usize = 512;

pub(super) async fn run(mut args: Load) -> ExitCode {
    if let Some(LoadTarget::Git(command)) = args.other.take() {
        return git::run(command).await;
    }
    let plan = match plan::build(&args) {
        Ok(plan) => plan,
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    let target = plan::name(&args, &plan);
    let stop = Stop::default();
    let watched = stop.clone();
    drop(tokio::spawn(async move {
        // The first asks for the results so far; a second one ends the program at once.
        if tokio::signal::ctrl_c().await.is_ok() {
            watched.stop();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            live::leave();
        }
    }));
    raise_file_limit();
    let quiet = args.quiet;
    let shown = target.clone();
    let (hdr_log, find_knee) = (args.hdr_log.clone(), args.find_knee);
    let search = Search {
        objective: args.slo_p99,
        rate_max: plan.rate_max,
        users_max: USERS_MAX,
    };
    let step = args.step;
    // The threads of a run block; the runtime stays free for the signal.
    let result = tokio::task::spawn_blocking(move || {
        if find_knee {
            find(&plan, search, step, &stop, &shown, quiet)
        } else {
            measure(plan, &stop, &shown, quiet, hdr_log.as_deref())
        }
    })
    .await;
    let mut report = match result {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            complain(error);
            return ExitCode::FAILURE;
        }
        Err(error) => {
            complain(format_args!("the run ended early: {error}"));
            return ExitCode::FAILURE;
        }
    };
    report.target = target;
    let checked = args.assertions.iter().map(|one| one.check(&report));
    report.assertions = checked.collect();
    finish(&args, &report).await
}

fn measure(
    plan: Plan,
    stop: &Stop,
    target: &str,
    quiet: bool,
    hdr_log: Option<&Path>,
) -> Result<Report, String> {
    let mut log = match hdr_log {
        Some(path) => {
            let start = SystemClock::new().now().as_millisecond() as f64 / 1e3;
            let begun = File::create(path)
                .and_then(|file| HdrLog::begin(BufWriter::new(file), start, target));
            Some(begun.map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    let mut failed = None;
    let mut live = live::Live::new(&plan, target, quiet);
    let report = bellwether_load::run(plan, stop, log.is_some(), |progress| {
        live.show(progress);
        if let Some(log) = &mut log
            && let Err(error) = log.add(progress.newest)
        {
            failed = Some(error);
        }
    });
    live.end();
    if let Some(error) = failed {
        complain(format_args!("the histogram log is not whole: {error}"));
    }
    report.map_err(|error| error.to_string())
}

/// Searches for the knee; the report is that of the last run, with the knee.
fn find(
    plan: &Plan,
    search: Search,
    step: Duration,
    stop: &Stop,
    target: &str,
    quiet: bool,
) -> Result<Report, String> {
    let mut last = None;
    let mut number = 0;
    let knee = knee::search(search, |probe| {
        number += 1;
        let mut plan = plan.clone();
        plan.duration = step;
        plan.warmup = bellwether_load::plan::Warmup::None;
        match probe {
            Probe::Users(users) => {
                plan.model = Model::Closed;
                plan.threads = std::thread::available_parallelism()
                    .map_or(1, usize::from)
                    .min(users);
                plan = plan.with_connections(users);
            }
            Probe::Rate(rate) => {
                let poisson = plan.model.is_poisson();
                plan.model = Model::open(rate, poisson);
            }
        }
        if stop.is_stopped() {
            return Err("stopped before the knee was found".to_owned());
        }
        let report = measure(plan, stop, target, true, None)?;
        if !quiet {
            live::knee_step(number, probe, &report);
        }
        last = Some(report.clone());
        Ok(report)
    })?;
    let mut report = last.ok_or("nothing was measured")?;
    // Whether single steps were good is the knee's matter.
    report.valid = knee.invalid * 4 <= number;
    report.invalid = if report.valid {
        Vec::new()
    } else {
        vec![format!(
            "in {} of {number} measurements the generator was late, starved or stopped",
            knee.invalid
        )]
    };
    report.knee = Some(knee);
    Ok(report)
}

async fn finish(args: &Load, report: &Report) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let json = serde_json::to_string_pretty(report).unwrap_or_default();
    let mut write = |path: &Path, text: &str| {
        if let Err(error) = std::fs::write(path, text) {
            complain(format_args!("{}: {error}", path.display()));
            code = ExitCode::FAILURE;
        }
    };
    if let Some(path) = &args.output {
        write(path, &json);
    }
    if let Some(path) = &args.svg {
        write(path, &print::picture(report));
    }
    if args.server.json {
        say(&json);
    } else {
        print::report(report);
    }
    if let Some(name) = &args.push
        && let Err(error) = push::send(&args.server, name, report).await
    {
        complain(error);
        code = ExitCode::FAILURE;
    }
    if !report.valid {
        for why in &report.invalid {
            complain(format_args!("invalid: {why}"));
        }
        return ExitCode::from(EXIT_INVALID);
    }
    let missed = report.assertions.iter().any(|one| one.verdict == "missed");
    if missed || report.answered == 0 {
        return ExitCode::FAILURE;
    }
    code
}

/// As many open files as this process may have: connections need them.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Without it there are just fewer connections, which the run reports.
    let _ = setrlimit(Resource::Nofile, wanted);
}
