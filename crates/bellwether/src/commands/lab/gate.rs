//! `bellwether gate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_lab::Samples;
use bellwether_lab::calibrate::{Calibration, calibrate};
use bellwether_lab::gate::{self, Entry, GateConfig, GateReport};
use bellwether_lab::text::JunitCase;
use bellwether_measure::compare::quoted;
use bellwether_measure::gate::{self as hands, GateError};
use bellwether_measure::git::{GitError, Repository};
use bellwether_model::Problems;
use bellwether_stats::changepoint::Settings;
use bellwether_stats::quantile::median;
use bellwether_stats::{Better, Verdict};
use serde_json::json;

use super::compare::{Progress, code};
use super::{Fault, comment, ended, pictures, queries, write};
use crate::cli::{CommentArgs, Gate, GateArgs};
use crate::commands::{complain, say};

/// What `git bisect run` makes of an exit code.
const BISECT_SKIP: u8 = 125;

pub(in crate::commands) fn run(command: Gate) -> ExitCode {
    ended(match command {
        Gate::Check {
            gate,
            results,
            strict,
            record,
            no_confirm,
            markdown,
            junit,
            svg,
            comment,
        } => check(&Check {
            gate,
            results,
            strict,
            record,
            no_confirm,
            markdown,
            junit,
            svg,
            comment,
        }),
        Gate::Ab {
            gate,
            base,
            only,
            strict,
            markdown,
            comment,
        } => ab(&gate, &base, &only, strict, markdown.as_deref(), &comment),
        Gate::Record { gate, results } => record(&gate, &results),
        Gate::Accept { gate, series } => accept(&gate, series),
        Gate::Calibrate {
            gate,
            files,
            trials,
            seed,
        } => calibration(&gate, &files, trials, seed),
        Gate::Bisect {
            gate,
            good,
            bad,
            only,
        } => bisect(&gate, &good, &bad, &only),
        Gate::BisectStep {
            config,
            good_folder,
            only,
        } => return bisect_step(&config, &good_folder, &only),
    })
}

struct Check {
    gate: GateArgs,
    results: Vec<PathBuf>,
    strict: bool,
    record: bool,
    no_confirm: bool,
    markdown: Option<PathBuf>,
    junit: Option<PathBuf>,
    svg: Option<PathBuf>,
    comment: CommentArgs,
}

fn of(error: GateError) -> Fault {
    match error {
        GateError::Import(_) | GateError::NoRun | GateError::Entry { .. } => Fault::input(error),
        other => Fault::failed(other),
    }
}

/// Reads the gate's file; its problems are printed.
fn config(path: &Path) -> Result<GateConfig, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::input(format_args!("{}: {error}\nhint: name the gate's file with --config; docs/user/lab.md has an example", path.display()))
    })?;
    let mut problems = Problems::default();
    let config = GateConfig::read(&path.display().to_string(), &text, &mut problems);
    for problem in &problems.0 {
        eprintln!("{problem}");
    }
    match config {
        Some(config) if !problems.has_errors() => Ok(config),
        _ => Err(Fault::input(format_args!("{}: not usable", path.display()))),
    }
}

/// The commit that is asked about; outside a repository its name as it was given.
fn commit(repository: &Repository, gate: &GateArgs, config: &GateConfig) -> Result<String, Fault> {
    match repository.commit(&gate.commit) {
        Ok(commit) => Ok(commit),
        Err(_) if matches!(config.history, gate::History::Folder(_)) => Ok(gate.commit.clone()),
        Err(error) => Err(Fault::input(error)),
    }
}

fn measured(config: &GateConfig, results: &[PathBuf]) -> Result<Vec<Samples>, Fault> {
    if results.is_empty() {
        hands::measure(config, Path::new(".")).map_err(of)
    } else {
        hands::read_files(config, results).map_err(of)
    }
}

fn check(args: &Check) -> Result<ExitCode, Fault> {
    let config = config(&args.gate.config)?;
    let repository = Repository::here();
    let commit = commit(&repository, &args.gate, &config)?;
    let results = measured(&config, &args.results)?;
    let mut history = hands::history(&config, &repository, &commit).map_err(of)?;
    let accepted = take_accepted(&mut history, &commit);
    history.push(entry(&commit, results, accepted));
    let mut report = gate::check(&config, &history, args.strict);
    if config.confirm.is_some() && !args.no_confirm {
        report = confirmed(&config, &repository, report, args.strict)?;
    }
    let budgets = query_budgets(&config);
    if args.record
        && let Some(entry) = history.last()
    {
        hands::record(&config, &repository, entry).map_err(of)?;
    }
    let text = gate::markdown(&report) + &budgets.markdown;
    if args.gate.json {
        say(json!({"gate": report, "queries": budgets.json}));
    } else {
        for text in &budgets.plain {
            say(text.trim_end());
        }
        say(gate::plain(&report).trim_end());
    }
    if let Some(path) = &args.markdown {
        write(path, &text)?;
    }
    if let Some(path) = &args.junit {
        write(path, &gate::junit_with(&report, budgets.cases))?;
    }
    if let Some(folder) = &args.svg {
        for series in &report.series {
            let picture = bellwether_ui::lab::commit_series(&pictures::series(series));
            let name = format!("{}.svg", bellwether_lab::experiment::slug(&series.name));
            write(&folder.join(name), &bellwether_ui::lab::alone(&picture))?;
        }
    }
    comment::post(&args.comment, &text)?;
    Ok(if report.fails || budgets.fails {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Takes an earlier measurement of this commit out of the history; what was accepted at it stays accepted.
fn take_accepted(history: &mut Vec<Entry>, commit: &str) -> Vec<String> {
    let found = history.iter().position(|entry| entry.commit == commit);
    found.map_or_else(Vec::new, |index| history.remove(index).accepted)
}

fn entry(commit: &str, results: Vec<Samples>, accepted: Vec<String>) -> Entry {
    Entry {
        version: 1,
        commit: commit.to_owned(),
        at: SystemClock::new().now(),
        results,
        accepted,
    }
}

/// Runs base and head of each suspect again; series with the same suspect commit share a re-run.
fn confirmed(
    config: &GateConfig,
    repository: &Repository,
    report: GateReport,
    strict: bool,
) -> Result<GateReport, Fault> {
    let mut series = report.series;
    let mut bases: Vec<String> = series
        .iter()
        .filter_map(|series| Some(series.suspect()?.before_commit.clone()))
        .collect();
    bases.sort();
    bases.dedup();
    for base in bases {
        let is_concerned = |series: &gate::SeriesReport| {
            series.verdict == Verdict::Worse
                && series
                    .suspect()
                    .is_some_and(|suspect| suspect.before_commit == base)
        };
        let names: Vec<String> = series
            .iter()
            .filter(|series| is_concerned(series))
            .map(|series| series.name.clone())
            .collect();
        if names.is_empty() {
            continue;
        }
        eprintln!(
            "running {} again: {} against {}",
            names.join(", "),
            gate::short(&base),
            gate::short(&report.commit)
        );
        let below = Folder::new()?;
        let mut progress = Progress::new(false);
        let rerun = hands::confirm(
            config,
            repository,
            &below.0,
            [&base, &report.commit],
            &names,
            |so_far| progress.tell(so_far),
        )
        .map_err(of)?;
        progress.end();
        for series in series
            .iter_mut()
            .filter(|series| names.contains(&series.name))
        {
            series.confirm(rerun.clone(), strict);
        }
    }
    Ok(GateReport::of(report.commit, series))
}

/// What the query budgets say.
#[derive(Default)]
struct Budgets {
    fails: bool,
    plain: Vec<String>,
    markdown: String,
    json: Vec<serde_json::Value>,
    cases: Vec<JunitCase>,
}

fn query_budgets(config: &GateConfig) -> Budgets {
    let mut all = Budgets::default();
    for budget in &config.queries {
        let (passes, text, json) = match queries::measure_budget(budget) {
            Ok(report) => (report.passes(), report.text(), json!(report)),
            Err(Fault::Input(error) | Fault::Failed(error)) => {
                (false, error.clone(), json!({"error": error}))
            }
        };
        all.fails |= !passes;
        all.plain.push(format!("{}:\n{text}", budget.name));
        all.markdown.push_str(&format!(
            "\n#### Queries of {}\n\n```\n{}\n```\n",
            budget.name,
            text.replace("```", "'''").trim_end()
        ));
        all.json
            .push(json!({"name": budget.name, "passes": passes, "report": json}));
        all.cases.push(JunitCase {
            suite: "bellwether.queries".to_owned(),
            name: budget.name.clone(),
            failure: (!passes).then(|| ("the query budget is not kept".to_owned(), text.clone())),
            skipped: None,
            output: text,
        });
    }
    all
}

/// A temporary folder that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Fault> {
        let name = format!(
            "bellwether-gate-{}-{}",
            std::process::id(),
            SystemClock::new().now().as_nanosecond()
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(Fault::failed)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn ab(
    gate: &GateArgs,
    base: &str,
    only: &[String],
    strict: bool,
    markdown: Option<&Path>,
    comment: &CommentArgs,
) -> Result<ExitCode, Fault> {
    let config = config(&gate.config)?;
    let repository = Repository::here();
    let head = repository.commit(&gate.commit).map_err(Fault::input)?;
    let base = repository.commit(base).map_err(Fault::input)?;
    let below = Folder::new()?;
    let mut progress = Progress::new(gate.json);
    let report = hands::confirm(
        &config,
        &repository,
        &below.0,
        [&base, &head],
        only,
        |so_far| progress.tell(so_far),
    )
    .map_err(of)?;
    progress.end();
    let text = bellwether_lab::text::comparison(&report);
    if gate.json {
        say(json!(report));
    } else {
        say(bellwether_lab::text::comparison_plain(&report).trim_end());
        say(format_args!("{}: {}", report.verdict, report.why));
    }
    if let Some(path) = markdown {
        write(path, &text)?;
    }
    comment::post(
        comment,
        &format!("### Bellwether performance gate\n\n{text}"),
    )?;
    Ok(code(report.verdict, strict))
}

fn record(gate: &GateArgs, results: &[PathBuf]) -> Result<ExitCode, Fault> {
    let config = config(&gate.config)?;
    let repository = Repository::here();
    let commit = commit(&repository, gate, &config)?;
    let mut history = hands::history(&config, &repository, &commit).map_err(of)?;
    let accepted = take_accepted(&mut history, &commit);
    let entry = entry(&commit, measured(&config, results)?, accepted);
    hands::record(&config, &repository, &entry).map_err(of)?;
    say(format_args!(
        "{}: {} series recorded",
        gate::short(&commit),
        entry.results.len()
    ));
    Ok(ExitCode::SUCCESS)
}

fn accept(gate: &GateArgs, series: Vec<String>) -> Result<ExitCode, Fault> {
    let config = config(&gate.config)?;
    let repository = Repository::here();
    let commit = commit(&repository, gate, &config)?;
    let history = hands::history(&config, &repository, &commit).map_err(of)?;
    let Some(mut entry) = history.into_iter().find(|entry| entry.commit == commit) else {
        return Err(Fault::input(format_args!(
            "{} has no results yet\nhint: `bellwether gate record` keeps them",
            gate::short(&commit)
        )));
    };
    for name in &series {
        if !entry.results.iter().any(|samples| samples.name == *name) {
            let known = entry.results.iter().map(|samples| samples.name.as_str());
            let hint = bellwether_model::suggest(name, known).map_or(String::new(), |near| {
                format!("\nhint: did you mean {near:?}?")
            });
            return Err(Fault::input(format_args!(
                "{} has no series {name:?}{hint}",
                gate::short(&commit)
            )));
        }
    }
    entry.accepted.extend(series);
    entry.accepted.sort();
    entry.accepted.dedup();
    hands::record(&config, &repository, &entry).map_err(of)?;
    say(format_args!(
        "{}: accepted {}",
        gate::short(&commit),
        entry.accepted.join(", ")
    ));
    Ok(ExitCode::SUCCESS)
}

fn calibration(
    gate: &GateArgs,
    files: &[PathBuf],
    trials: usize,
    seed: u64,
) -> Result<ExitCode, Fault> {
    if !(10..=100_000).contains(&trials) {
        return Err(Fault::input("--trials must be from 10 to 100000"));
    }
    let (config, series) = if files.is_empty() {
        let config = config(&gate.config)?;
        let repository = Repository::here();
        let commit = commit(&repository, gate, &config)?;
        let history = hands::history(&config, &repository, &commit).map_err(of)?;
        let series = series_of(&history);
        (config, series)
    } else {
        let config = GateConfig {
            floor: 0.0,
            ..GateConfig::default()
        };
        let found = hands::read_files(&config, files).map_err(of)?;
        let series = found
            .into_iter()
            .map(|samples| (samples.name.clone(), samples.better, samples.values))
            .collect();
        (config, series)
    };
    let mut told = Vec::new();
    for (name, better, values) in &series {
        let rule = config.rule_for(name);
        let settings = Settings {
            alpha: config.alpha,
            floor: rule.floor,
        };
        let found = calibrate(
            values,
            settings,
            rule.better.unwrap_or(*better),
            trials,
            seed,
        );
        if !gate.json {
            let line = found.as_ref().map_or_else(
                || format!("{} points; at least 12 are needed", values.len()),
                Calibration::line,
            );
            say(format_args!("{name}: {line}"));
        }
        told.push(json!({"series": name, "calibration": found}));
    }
    if gate.json {
        say(json!(told));
    } else if series.is_empty() {
        say("no series: the history has no results yet");
    }
    Ok(ExitCode::SUCCESS)
}

/// Each series of the history: the median of each commit, oldest first.
fn series_of(history: &[Entry]) -> Vec<(String, Better, Vec<f64>)> {
    let mut series: Vec<(String, Better, Vec<f64>)> = Vec::new();
    for samples in history.iter().flat_map(|entry| &entry.results) {
        let Some(value) = median(&samples.values) else {
            continue;
        };
        match series.iter_mut().find(|(name, ..)| *name == samples.name) {
            Some((_, _, values)) => values.push(value),
            None => series.push((samples.name.clone(), samples.better, vec![value])),
        }
    }
    series
}

fn bisect(gate: &GateArgs, good: &str, bad: &str, only: &[String]) -> Result<ExitCode, Fault> {
    let settings = config(&gate.config)?;
    let repository = Repository::here();
    let good = repository.commit(good).map_err(Fault::input)?;
    let bad = repository.commit(bad).map_err(Fault::input)?;
    let below = Folder::new()?;
    let (good_folder, walk) = (below.0.join("good"), below.0.join("walk"));
    let git = |error: GitError| Fault::failed(error);
    repository.add_worktree(&good_folder, &good).map_err(git)?;
    repository.add_worktree(&walk, &bad).map_err(git)?;
    let found = (|| {
        hands::build(&settings, &good_folder).map_err(of)?;
        let program = std::env::current_exe().map_err(Fault::failed)?;
        let file = std::fs::canonicalize(&gate.config).map_err(Fault::failed)?;
        let mut step = vec![
            program.display().to_string(),
            "gate".to_owned(),
            "bisect-step".to_owned(),
            "--config".to_owned(),
            file.display().to_string(),
            "--good-folder".to_owned(),
            good_folder.display().to_string(),
        ];
        step.extend(
            only.iter()
                .flat_map(|name| ["--only".to_owned(), name.clone()]),
        );
        // `git bisect run` gives its words to a shell.
        let step: Vec<String> = [
            "sh".to_owned(),
            "-c".to_owned(),
            step.iter()
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" "),
        ]
        .into();
        Repository::at(&walk)
            .bisect(&good, &bad, &step)
            .map_err(git)
    })();
    for folder in [&good_folder, &walk] {
        drop(repository.remove_worktree(folder));
    }
    let said = found?;
    let first_bad = said
        .lines()
        .find_map(|line| line.strip_suffix(" is the first bad commit"));
    match first_bad {
        Some(commit) => {
            if gate.json {
                say(json!({"first_bad": commit, "log": said}));
            } else {
                say(format_args!("{commit} is the first bad commit"));
            }
            Ok(ExitCode::SUCCESS)
        }
        None => Err(Fault::failed(format_args!(
            "the bisection ended without a commit:\n{}",
            said.trim_end()
        ))),
    }
}

/// 0: as good as the good commit; 1: worse; 125: cannot tell, or it could not be built or run.
fn bisect_step(file: &Path, good: &Path, only: &[String]) -> ExitCode {
    let found = config(file).and_then(|config| {
        hands::build(&config, Path::new(".")).map_err(of)?;
        let comparison =
            hands::compare_folders(&config, [good, Path::new(".")], only, |_| {}).map_err(of)?;
        Ok(comparison.report("good", "this commit"))
    });
    match found {
        Ok(report) => {
            eprintln!("{}: {}", report.verdict, report.why);
            match report.verdict {
                Verdict::Worse => ExitCode::FAILURE,
                Verdict::CannotTell => ExitCode::from(BISECT_SKIP),
                Verdict::Same | Verdict::Better => ExitCode::SUCCESS,
            }
        }
        Err(Fault::Input(text) | Fault::Failed(text)) => {
            complain(text);
            ExitCode::from(BISECT_SKIP)
        }
    }
}
