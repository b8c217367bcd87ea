//! `slo`: objectives of any known format, shown and turned into rules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bellwether_judge::slo::{self, BurnWindow, Slo};
use bellwether_model::duration::{format_brief, format_duration};
use bellwether_model::{Problem, Problems};
use serde_json::{Value, json};

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::Slo as Command;
use crate::files::rule_files;

pub(super) fn run(command: &Command) -> ExitCode {
    match command {
        Command::Generate { files, out } => generate(files, out.as_deref()),
        Command::Show { files, json } => show(files, *json),
        Command::Import { files, out } => import(files, out.as_deref()),
    }
}

struct Read {
    slos: Vec<Slo>,
    /// Entries of `slos:`, without its first line.
    text: String,
}

/// Reads all files; problems are printed. `None`: one was an error.
fn read(arguments: &[PathBuf]) -> Result<Read, ExitCode> {
    let files = rule_files(arguments).map_err(|error| {
        complain(error);
        ExitCode::from(EXIT_BAD_INPUT)
    })?;
    let mut problems = Problems::default();
    let mut all = Read {
        slos: Vec::new(),
        text: String::new(),
    };
    for file in files {
        let name = file.path.display().to_string();
        match std::fs::read_to_string(&file.path) {
            Ok(text) => {
                let imported = slo::import(&name, &text, &mut problems);
                all.slos.extend(imported.slos);
                all.text
                    .push_str(imported.text.strip_prefix("slos:\n").unwrap_or_default());
            }
            Err(error) => problems.push(Problem::error(
                &name.as_str().into(),
                0,
                0,
                format!("cannot be read: {error}"),
            )),
        }
    }
    let mut names = BTreeSet::new();
    for slo in &all.slos {
        if !names.insert(&slo.name) {
            problems.push(Problem::error(
                &slo.file,
                slo.line,
                1,
                format!("slo {:?} is there twice", slo.name),
            ));
        }
    }
    for problem in &problems.0 {
        eprintln!("{problem}");
    }
    if problems.has_errors() {
        return Err(ExitCode::FAILURE);
    }
    if all.slos.is_empty() {
        complain("no objective in these files");
        return Err(ExitCode::FAILURE);
    }
    Ok(all)
}

fn write(text: &str, out: Option<&Path>) -> ExitCode {
    let Some(path) = out else {
        say(text.trim_end());
        return ExitCode::SUCCESS;
    };
    match std::fs::write(path, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{}: {error}", path.display()));
            ExitCode::FAILURE
        }
    }
}

fn generate(files: &[PathBuf], out: Option<&Path>) -> ExitCode {
    match read(files) {
        Ok(read) => {
            let mut text = "groups:\n".to_owned();
            for slo in &read.slos {
                let own = slo.to_rule_file();
                text.push_str(own.strip_prefix("groups:\n").unwrap_or(&own));
            }
            write(&text, out)
        }
        Err(code) => code,
    }
}

fn import(files: &[PathBuf], out: Option<&Path>) -> ExitCode {
    match read(files) {
        Ok(read) if read.text.is_empty() => {
            complain("these files already have `slos:` of this program");
            ExitCode::FAILURE
        }
        Ok(read) => write(&format!("slos:\n{}", read.text), out),
        Err(code) => code,
    }
}

fn show(files: &[PathBuf], as_json: bool) -> ExitCode {
    let read = match read(files) {
        Ok(read) => read,
        Err(code) => return code,
    };
    if as_json {
        say(read.slos.iter().map(as_value).collect::<Value>());
        return ExitCode::SUCCESS;
    }
    for (index, slo) in read.slos.iter().enumerate() {
        if index > 0 {
            say("");
        }
        print(slo);
    }
    ExitCode::SUCCESS
}

fn percent(share: f64) -> String {
    let text = format!("{:.6}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How long everything must fail before a pair of windows notices: the share of the long window that is over the
/// threshold when all of it is bad. `None`: never, even if everything fails.
fn noticed_after(slo: &Slo, pair: BurnWindow) -> Option<Duration> {
    let share = pair.burn * slo.budget();
    (share < 1.0).then(|| pair.long.mul_f64(share))
}

fn print(slo: &Slo) {
    let service = match slo.service.as_str() {
        "" => String::new(),
        service => format!(" of {service}"),
    };
    say(format_args!(
        "{}{service}: {} % good over {}",
        slo.name,
        percent(slo.objective),
        format_duration(slo.window)
    ));
    if !slo.description.is_empty() {
        say(format_args!("  {}", slo.description.trim()));
    }
    say(format_args!(
        "  budget: {} % may be bad, or {} of complete failure",
        percent(slo.budget()),
        format_brief(slo.window.mul_f64(slo.budget()))
    ));
    say(format_args!("  bad:    {}", slo.indicator.bad));
    say(format_args!("  total:  {}", slo.indicator.total));
    if !slo.alerting {
        say("  alerts: none");
        return;
    }
    for (word, pairs) in [("page", &slo.windows.page), ("ticket", &slo.windows.ticket)] {
        for pair in pairs {
            let after = match noticed_after(slo, *pair) {
                Some(after) => format!("complete failure is noticed after {}", format_brief(after)),
                None => {
                    "never, even if everything fails: the objective is too low for it".to_owned()
                }
            };
            say(format_args!(
                "  {word}:{:pad$} {} times too fast over {} and {}; {after}",
                "",
                pair.burn,
                format_duration(pair.long),
                format_duration(pair.short),
                pad = 6_usize.saturating_sub(word.len())
            ));
        }
    }
    say(format_args!(
        "  guard:  at least {} bad events, and Wilson's lower bound over the threshold: with {} or fewer events in the hour nothing pages",
        slo.bad_events_min,
        events_that_prove_nothing(slo)
    ));
}

/// The largest number of events of which even all bad ones do not page by the first pair of windows.
fn events_that_prove_nothing(slo: &Slo) -> u64 {
    const Z: f64 = 1.96;
    let Some(pair) = slo.windows.page.first().or(slo.windows.ticket.first()) else {
        return 0;
    };
    let threshold = (pair.burn * slo.budget()).min(0.999);
    let proves = |events: f64| {
        let square = Z * Z;
        let bound = (events + square / 2.0 - Z * (square / 4.0).sqrt()) / (events + square);
        bound > threshold && events >= slo.bad_events_min
    };
    (1..=100_000_u64)
        .find(|events| proves(*events as f64))
        .map_or(100_000, |events| events - 1)
}

fn as_value(slo: &Slo) -> Value {
    let pairs = |pairs: &[BurnWindow]| -> Value {
        pairs
            .iter()
            .map(|pair| {
                json!({
                    "burn": pair.burn,
                    "long": format_duration(pair.long),
                    "short": format_duration(pair.short),
                    "noticed_after_seconds": noticed_after(slo, *pair).map(|after| after.as_secs()),
                })
            })
            .collect()
    };
    json!({
        "name": slo.name,
        "service": slo.service,
        "description": slo.description,
        // Without the last bits that dividing by 100 leaves.
        "objective": (slo.objective * 1e12).round() / 1e12,
        "window": format_duration(slo.window),
        "budget_seconds": slo.window.mul_f64(slo.budget()).as_secs(),
        "bad": slo.indicator.bad,
        "total": slo.indicator.total,
        "alerting": slo.alerting,
        "alert_name": slo.alert_name,
        "page": pairs(&slo.windows.page),
        "ticket": pairs(&slo.windows.ticket),
        "owner": slo.owner,
        "runbook": slo.runbook,
        "labels": slo.labels,
        "file": &*slo.file,
        "line": slo.line,
    })
}
