//! `rules lint`.

use std::path::Path;
use std::process::ExitCode;

use bellwether_backtest::run::warmup_ms;
use bellwether_backtest::{Range, Replaying, Rules, replay};
use bellwether_env::{Clock as _, SystemClock};
use bellwether_judge::lint::{
    Firing, History, Nature, Options, Report, RunbookIndex, Source, check, code_quality, lint,
    sarif,
};
use bellwether_judge::{EngineSettings, GroupConfig, RuleFile, RuleKind};
use bellwether_model::{Matcher, Problem, Problems, Severity};
use bellwether_promql::Engine;
use serde_json::json;

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::{FailOn, HistoryArgs, LintFormat, RulesLint};
use crate::files::rule_files;

/// Files of runbooks that are looked at, and the size of a page that is read.
const RUNBOOK_FILES_MAX: usize = 100_000;
const PAGE_BYTES_MAX: u64 = 4 << 20;

pub(super) fn run(args: &RulesLint) -> ExitCode {
    let (mut options, groups, sources, mut problems) = match prepare(args) {
        Ok(prepared) => prepared,
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    if let Some(folder) = &args.runbooks {
        match runbooks(folder) {
            Ok(index) => options.runbooks = Some(index),
            Err(error) => {
                complain(error);
                return ExitCode::from(EXIT_BAD_INPUT);
            }
        }
    }
    if args.data.is_some() || args.prometheus.is_some() {
        match history(args, &groups) {
            Ok(history) => options.history = Some(history),
            Err(error) => {
                complain(error);
                return ExitCode::from(EXIT_BAD_INPUT);
            }
        }
    }
    let mut report = lint(&groups, &sources, &options);
    report.findings.retain(|finding| {
        let named = |list: &[String]| list.iter().any(|id| id == finding.check);
        (args.only.is_empty() || named(&args.only)) && !named(&args.skip)
    });
    // What cannot be read is for `rules check`; here it only says that something is missing.
    problems.0.retain(|p| p.severity == Severity::Error);
    print(args, &report, &problems);
    let worst = report.findings.iter().map(|finding| finding.severity).min();
    let failed = match args.fail_on {
        FailOn::Error => worst == Some(Severity::Error),
        FailOn::Warning => worst.is_some_and(|worst| worst <= Severity::Warning),
        FailOn::Note => worst.is_some(),
        FailOn::Never => false,
    };
    if failed || problems.has_errors() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

type Prepared = (Options, Vec<GroupConfig>, Vec<Source>, Problems);

fn prepare(args: &RulesLint) -> Result<Prepared, String> {
    for id in args.only.iter().chain(&args.skip) {
        if check(id).is_none() {
            return Err(format!(
                "no check is called {id:?}; docs/user/lint.md lists them"
            ));
        }
    }
    let page: Vec<Vec<Matcher>> = args
        .page
        .iter()
        .map(|text| {
            let braced = if text.trim_start().starts_with('{') {
                text.clone()
            } else {
                format!("{{{text}}}")
            };
            bellwether_promql::parse_metric_selector(&braced)
                .map_err(|error| format!("--page {text}: {error}"))
        })
        .collect::<Result<_, _>>()?;
    let mut problems = Problems::default();
    let (mut groups, mut sources) = (Vec::new(), Vec::new());
    for file in rule_files(&args.files)? {
        let name = file.path.display().to_string();
        match std::fs::read_to_string(&file.path) {
            Ok(text) if !file.directly && !text.contains("groups") => {}
            Ok(text) => {
                groups.extend(RuleFile::read(&name, &text, &mut problems));
                sources.push(Source {
                    file: name.as_str().into(),
                    text,
                });
            }
            Err(error) => problems.push(Problem::error(
                &name.as_str().into(),
                0,
                0,
                format!("cannot be read: {error}"),
            )),
        }
    }
    let options = Options {
        page,
        evaluation_interval: args.evaluation_interval,
        scrape_interval: args.scrape_interval,
        retention: args.retention,
        response: args.response,
        today: SystemClock::new()
            .now()
            .to_zoned(jiff::tz::TimeZone::system())
            .date(),
        ..Options::default()
    };
    Ok((options, groups, sources, problems))
}

/// When the rules would have fired, replayed over stored samples.
fn history(args: &RulesLint, groups: &[GroupConfig]) -> Result<History, String> {
    let opened = crate::history::open(&HistoryArgs {
        server: None,
        token: None,
        data: args.data.clone().unwrap_or_default(),
        prometheus: args.prometheus.clone(),
        last: args.last,
        from: None,
        to: None,
        evaluation_interval: args.evaluation_interval,
        query_offset: std::time::Duration::ZERO,
        threads: None,
    })?;
    for warning in &opened.warnings {
        eprintln!("warning: {warning}");
    }
    let settings = EngineSettings {
        evaluation_interval: args.evaluation_interval,
        ..EngineSettings::default()
    };
    let promql = Engine::default();
    let replayed = replay(
        Rules {
            groups,
            settings: &settings,
        },
        Range {
            from: opened.from,
            to: opened.to,
            warmup: warmup_ms(groups, &settings),
            phase: (0, 1),
        },
        Replaying {
            source: &*opened.source,
            promql: &promql,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            slice: None,
            progress: &(),
        },
    )
    .map_err(|_| "the replay was stopped".to_owned())?;
    let mut history = History {
        from: opened.from,
        to: opened.to,
        ..History::default()
    };
    let failed = |group: usize, rule: usize| {
        let mut failures = replayed.failures.iter();
        failures.any(|failure| (failure.group, failure.rule) == (group, rule))
    };
    for (group_at, group) in groups.iter().enumerate() {
        for (rule_at, rule) in group.rules.iter().enumerate() {
            if rule.kind == RuleKind::Alerting && !failed(group_at, rule_at) {
                history
                    .firings
                    .insert((group.file.clone(), rule.line), Vec::new());
            }
        }
    }
    for alert in &replayed.alerts {
        let group = &groups[alert.group];
        let key = (group.file.clone(), group.rules[alert.rule].line);
        let Some(firings) = history.firings.get_mut(&key) else {
            continue;
        };
        firings.extend(alert.episodes.iter().filter_map(|episode| {
            Some(Firing {
                from: episode.fired_at?,
                to: episode.ended_at,
            })
        }));
        firings.sort_unstable();
    }
    Ok(history)
}

/// All files below a folder.
pub(super) fn runbooks(folder: &Path) -> Result<RunbookIndex, String> {
    let mut index = RunbookIndex::default();
    let mut folders = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(current) = folders.pop() {
        let entries = std::fs::read_dir(&current)
            .map_err(|error| format!("{}: {error}", current.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.file_name().is_some_and(|name| name == ".git") {
                continue;
            }
            if path.is_dir() {
                if !path.is_symlink() {
                    folders.push(path);
                }
                continue;
            }
            files += 1;
            if files > RUNBOOK_FILES_MAX {
                return Err(format!(
                    "more than {RUNBOOK_FILES_MAX} files in {}",
                    folder.display()
                ));
            }
            let name = path
                .strip_prefix(folder)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            let is_page = path
                .extension()
                .is_some_and(|ext| ext == "md" || ext == "markdown");
            let small = path
                .metadata()
                .is_ok_and(|meta| meta.len() <= PAGE_BYTES_MAX);
            if is_page && small {
                let bytes = std::fs::read(&path).unwrap_or_default();
                index.add(&name, Some(&String::from_utf8_lossy(&bytes)));
            } else {
                index.add(&name, None);
            }
        }
    }
    if index.is_empty() {
        return Err(format!("no Markdown page in {}", folder.display()));
    }
    Ok(index)
}

fn print(args: &RulesLint, report: &Report, problems: &Problems) {
    let format = if args.json {
        LintFormat::Json
    } else {
        args.format
    };
    match format {
        LintFormat::Json => say(json!({"report": report, "unreadable": problems.0})),
        LintFormat::Sarif => say(sarif(report)),
        LintFormat::CodeQuality => say(code_quality(report)),
        LintFormat::Text => print_text(report, problems),
    }
}

fn print_text(report: &Report, problems: &Problems) {
    for problem in &problems.0 {
        say(problem);
    }
    for finding in &report.findings {
        say(finding);
    }
    let count = |severity| {
        let of = report.findings.iter();
        of.filter(|finding| finding.severity == severity).count()
    };
    let nature = |nature| report.natures.get(&nature).copied().unwrap_or(0);
    say(format_args!(
        "{} alerts, {} page: {} symptoms, {} imminent harm, {} causes, {} unclear",
        report.alerts,
        report.pages,
        nature(Nature::Symptom),
        nature(Nature::Harm),
        nature(Nature::Cause),
        nature(Nature::Unknown),
    ));
    say(format_args!(
        "{} errors, {} warnings, {} notes, {} waived",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note),
        report.waived,
    ));
}
