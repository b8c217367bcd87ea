//! `rules test`: unit tests of rules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bellwether_judge::unit::{Coverage, Failure, FileReport, TestFile, diff, junit};
use bellwether_judge::{GroupConfig, RuleFile, RuleKind};
use bellwether_model::{Problem, Problems, Severity};
use bellwether_promql::ParserOptions;
use regex::Regex;
use serde_json::json;

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::RulesTest;
use crate::files::{find, rule_files};

pub(super) fn run(args: &RulesTest) -> ExitCode {
    let patterns: Result<Vec<Regex>, regex::Error> =
        args.run.iter().map(|text| Regex::new(text)).collect();
    let files = rule_files(&args.files);
    let (patterns, files) = match (patterns, files) {
        (Ok(patterns), Ok(files)) => (patterns, files),
        (Err(error), _) => {
            complain(format_args!("--run: {error}"));
            return ExitCode::from(EXIT_BAD_INPUT);
        }
        (_, Err(error)) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    let wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|p| p.is_match(name));
    let mut coverage = Coverage::default();
    let reports: Vec<FileReport> = files
        .iter()
        .map(|file| test_file(&file.path, args, &wanted, &mut coverage))
        .collect();
    if let Some(path) = &args.junit
        && let Err(error) = std::fs::write(path, junit(&reports))
    {
        complain(format_args!("{}: {error}", path.display()));
        return ExitCode::FAILURE;
    }
    let enough = args
        .min_coverage
        .is_none_or(|percent| coverage.percent() >= percent);
    let passed = reports.iter().all(FileReport::passed);
    if args.json {
        let (fired, alerts) = coverage.count(RuleKind::Alerting);
        let (recorded, recordings) = coverage.count(RuleKind::Recording);
        say(json!({
            "passed": passed && enough,
            "files": reports,
            "coverage": {
                "alerts": {"fired": fired, "all": alerts},
                "recordings": {"recorded": recorded, "all": recordings},
                "percent": coverage.percent(),
                "rules": coverage.rules(),
            },
        }));
    } else {
        for report in &reports {
            print_report(report, args.diff);
        }
        print_coverage(&coverage);
        print_sum(&reports);
        if !enough {
            say(format_args!(
                "coverage {:.1} % is below {} %",
                coverage.percent(),
                args.min_coverage.unwrap_or_default()
            ));
        }
    }
    if passed && enough {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn test_file(
    path: &Path,
    args: &RulesTest,
    wanted: &dyn Fn(&str) -> bool,
    coverage: &mut Coverage,
) -> FileReport {
    let name = path.display().to_string();
    let mut problems = Problems::default();
    let file = match std::fs::read_to_string(path) {
        Ok(text) => TestFile::read(&name, &text, &mut problems),
        Err(error) => {
            problems.push(Problem::error(
                &name.as_str().into(),
                0,
                0,
                format!("cannot be read: {error}"),
            ));
            None
        }
    };
    let loaded = file.map(|file| {
        let groups = groups(path, &file, args, &mut problems);
        (file, groups)
    });
    match loaded.filter(|_| !problems.has_errors()) {
        Some((file, groups)) => {
            let mut report = file.run(&groups, wanted, coverage);
            report.problems = problems.0;
            report
        }
        None => FileReport {
            file: name.as_str().into(),
            problems: problems.0,
            tests: Vec::new(),
            skipped: 0,
        },
    }
}

/// The groups of the rule files that a test file names.
fn groups(
    path: &Path,
    file: &TestFile,
    args: &RulesTest,
    problems: &mut Problems,
) -> Vec<GroupConfig> {
    let base = path.parent().unwrap_or(Path::new(""));
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    let reader = RuleFile {
        parser: if args.experimental {
            ParserOptions::experimental()
        } else {
            ParserOptions::default()
        },
        ignore_unknown_keys: args.ignore_unknown_fields,
    };
    let mut groups = Vec::new();
    for pattern in &file.rule_files {
        let found = find(base, &pattern.text);
        if found.is_empty() {
            problems.push(
                Problem::warning(
                    &file.file,
                    pattern.line,
                    pattern.column,
                    format!("no file matches {:?}", pattern.text),
                )
                .with_hint("paths are relative to the test file"),
            );
        }
        for path in found {
            if !seen.insert(path.clone()) {
                continue;
            }
            let name = path.display().to_string();
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let mut own = Problems::default();
                    groups.extend(reader.read_with(&name, &text, &mut own));
                    // Warnings about rules are for `rules check`.
                    own.0.retain(|p| p.severity == Severity::Error);
                    problems.append(own);
                }
                Err(error) => problems.push(Problem::error(
                    &name.as_str().into(),
                    0,
                    0,
                    format!("cannot be read: {error}"),
                )),
            }
        }
    }
    groups
}

fn print_report(report: &FileReport, as_diff: bool) {
    for problem in &report.problems {
        say(problem);
    }
    let failed = report.tests.iter().filter(|t| !t.failures.is_empty());
    let failed = failed.count();
    if report.passed() {
        say(format_args!(
            "{}: SUCCESS ({} tests, {} checks)",
            report.file,
            report.tests.len(),
            report.tests.iter().map(|test| test.checks).sum::<usize>()
        ));
        return;
    }
    say(format_args!(
        "{}: FAILED ({failed} of {} tests)",
        report.file,
        report.tests.len()
    ));
    for test in &report.tests {
        for failure in &test.failures {
            say(format_args!(
                "  {}:{}:{}: test {:?}: {}",
                report.file, failure.line, failure.column, test.name, failure.what
            ));
            print_failure(failure, as_diff);
        }
    }
}

fn print_failure(failure: &Failure, as_diff: bool) {
    let block = |title: &str, lines: &[String]| {
        if lines.is_empty() {
            say(format_args!("    {title}: nothing"));
            return;
        }
        say(format_args!("    {title}:"));
        for line in lines {
            say(format_args!("      {line}"));
        }
    };
    if let Some(error) = &failure.error {
        say(format_args!("    error: {error}"));
    } else if as_diff {
        say("    - expected, + got:");
        for line in diff(&failure.expected, &failure.got) {
            say(format_args!("    {line}"));
        }
    } else {
        block("expected", &failure.expected);
        block("got", &failure.got);
    }
}

fn print_coverage(coverage: &Coverage) {
    let (fired, alerts) = coverage.count(RuleKind::Alerting);
    let (recorded, recordings) = coverage.count(RuleKind::Recording);
    if alerts + recordings == 0 {
        return;
    }
    say(format_args!(
        "coverage: {fired} of {alerts} alerts fired, {recorded} of {recordings} recordings gave a series"
    ));
    for rule in coverage.rules() {
        if !rule.covered || !rule.never_fired.is_empty() || !rule.never_expected.is_empty() {
            say(format_args!("  {rule}"));
        }
    }
}

fn print_sum(reports: &[FileReport]) {
    let tests = || reports.iter().flat_map(|report| &report.tests);
    let skipped: usize = reports.iter().map(|report| report.skipped).sum();
    let failed_files = reports.iter().filter(|report| !report.passed()).count();
    let skipped = match skipped {
        0 => String::new(),
        n => format!(", {n} left out"),
    };
    say(format_args!(
        "{} files, {} tests, {} checks{skipped}: {}",
        reports.len(),
        tests().count(),
        tests().map(|test| test.checks).sum::<usize>(),
        match failed_files {
            0 => "all passed".to_owned(),
            n => format!("{n} files failed"),
        }
    ));
}
