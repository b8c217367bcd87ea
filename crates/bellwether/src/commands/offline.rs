//! Commands that need no server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bellwether_model::Problems;
use bellwether_promql::promqltest;
use serde_json::json;

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::Openmetrics;
use crate::config::Config;

/// Prints findings; the exit code says whether one is an error.
pub(super) fn print_problems(problems: &Problems, json: bool, bad: u8) -> ExitCode {
    if json {
        say(json!(problems.0));
    } else {
        for problem in &problems.0 {
            say(problem);
        }
    }
    if problems.has_errors() {
        ExitCode::from(bad)
    } else {
        ExitCode::SUCCESS
    }
}

pub(super) fn check(file: &Path, json: bool) -> ExitCode {
    let (config, problems) = Config::load(file);
    let code = print_problems(&problems, json, EXIT_BAD_INPUT);
    if let Some(config) = config.filter(|_| !problems.has_errors() && !json) {
        let rules: usize = config.rules.iter().map(|group| group.rules.len()).sum();
        say(format_args!(
            "{}: good: {} scrape jobs, {} probes, {rules} rules in {} groups, {} SLOs, {} receivers, {} people, {} runbooks",
            file.display(),
            config.scrapes.len(),
            config.probes.len(),
            config.rules.len(),
            config.slos.len(),
            config.page.receivers.len(),
            config.page.oncall.people.len(),
            config.runbooks.len(),
        ));
    }
    code
}

pub(super) fn promqltest(files: &[PathBuf], json: bool) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    let mut all = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                complain(format_args!("{name}: {error}"));
                failed += 1;
                continue;
            }
        };
        let report = promqltest::run_script(&name, &text);
        passed += report.passed;
        failed += report.failed.len();
        for failure in report.failed {
            if json {
                all.push(json!({
                    "file": name, "line": failure.line, "eval": failure.eval,
                    "expected": failure.expected, "got": failure.got,
                }));
            } else {
                say(format_args!("{name}:{}: {}", failure.line, failure.eval));
                say(format_args!(
                    "  expected: {}",
                    failure.expected.replace('\n', "\n            ")
                ));
                say(format_args!(
                    "  got:      {}",
                    failure.got.replace('\n', "\n            ")
                ));
            }
        }
    }
    if json {
        say(json!({"passed": passed, "failed": failed, "failures": all}));
    } else {
        say(format_args!("{passed} passed, {failed} failed"));
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

pub(super) fn openmetrics(command: &Openmetrics) -> ExitCode {
    let Openmetrics::Check { strict, file } = command;
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            complain(format_args!("{}: {error}", file.display()));
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    match bellwether_observe::openmetrics::check_bytes(&bytes, *strict) {
        Ok(()) => {
            say(format_args!("{}: good", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(format_args!(
                "{}:{}: {}",
                file.display(),
                error.line,
                error.reason
            ));
            ExitCode::FAILURE
        }
    }
}
