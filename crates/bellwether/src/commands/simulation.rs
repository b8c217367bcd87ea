//! `sim`: random months and scenario files.

use std::path::Path;
use std::process::ExitCode;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_sim::{Month, Scenario, run_month};

use super::say;
use crate::EXIT_BAD_INPUT;
use crate::cli::Sim;

/// Days of one run: more would keep their whole log in memory.
const DAYS_MAX: u32 = 3_660;

pub(super) fn run(args: &Sim) -> ExitCode {
    match &args.scenario {
        Some(path) => scenario(path, args.seed),
        None => months(args),
    }
}

fn scenario(path: &Path, seed: u64) -> ExitCode {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: read {}: {error}", path.display());
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    let played = match Scenario::read(&text).and_then(|scenario| scenario.play(seed)) {
        Ok(played) => played,
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    say(played.shown.trim_end());
    for violation in &played.violations {
        eprintln!(
            "violation: {} {}: repeat with `bellwether sim --scenario {} --seed {seed}` at commit {}",
            violation.id,
            violation.text,
            path.display(),
            commit()
        );
    }
    if played.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn months(args: &Sim) -> ExitCode {
    let clock = SystemClock::new();
    let (days, mut failed) = (args.days.clamp(1, DAYS_MAX), false);
    for seed in args.seed..args.seed.saturating_add(args.seeds.max(1)) {
        let begun = clock.monotonic();
        let report = run_month(Month { seed, days });
        let took = clock.monotonic().saturating_sub(begun).as_secs_f64();
        if args.timeline {
            for line in &report.log {
                say(line);
            }
        }
        let speed = f64::from(days) * 86_400.0 / took.max(1e-9);
        say(format_args!(
            "{}; {days} days in {took:.2} s, {speed:.0} x real time",
            report.summary()
        ));
        if !report.violations.is_empty() {
            failed = true;
            eprintln!("violation: {}", report.repro(&commit()));
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The commit of the working copy that this runs in; outside of one, the version.
fn commit() -> String {
    let version = || env!("CARGO_PKG_VERSION").to_owned();
    let git = Path::new(".git");
    let Ok(head) = std::fs::read_to_string(git.join("HEAD")) else {
        return version();
    };
    let head = head.trim();
    match head.strip_prefix("ref: ") {
        Some(name) => std::fs::read_to_string(git.join(name))
            .map_or_else(|_| version(), |id| id.trim().to_owned()),
        None => head.to_owned(),
    }
}
