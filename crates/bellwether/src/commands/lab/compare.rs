//! `bellwether compare`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use bellwether_lab::compare::{Comparison, Limits, Report, compare_samples};
use bellwether_lab::import::Format;
use bellwether_lab::text;
use bellwether_measure::command::Subject;
use bellwether_measure::compare::{Floors, Output, Plan, Side, load_subject};
use bellwether_stats::Verdict;
use serde_json::json;

use super::{Fault, draw, ended};
use crate::cli::{Compare, CompareOptions, SubjectKind};
use crate::commands::say;

pub(in crate::commands) fn run(args: &Compare) -> ExitCode {
    ended(compare(args))
}

fn compare(args: &Compare) -> Result<ExitCode, Fault> {
    let report = report(&args.base, &args.candidate, &args.options, args.quiet)?;
    if args.json {
        say(json!(report));
    } else if args.markdown {
        say(text::comparison(&report));
    } else {
        say(text::comparison_plain(&report).trim_end());
        say(format_args!("{}: {}", report.verdict, report.why));
    }
    if let Some(folder) = &args.svg {
        draw(&report, folder)?;
    }
    Ok(code(report.verdict, args.strict))
}

/// The exit code of a verdict.
pub(super) fn code(verdict: Verdict, strict: bool) -> ExitCode {
    match verdict {
        Verdict::Worse => ExitCode::FAILURE,
        Verdict::CannotTell if strict => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// The limits that the options ask for.
pub(super) fn limits(options: &CompareOptions) -> Result<Limits, Fault> {
    let good = (1..=1_000).contains(&options.pairs_min)
        && (options.pairs_min..=1_000).contains(&options.pairs_max)
        && (0.5..1.0).contains(&options.confidence);
    if !good {
        return Err(Fault::input(
            "pairs must be from 1 to 1000, --pairs-max at least --pairs-min, and --confidence from 0.5 to below 1",
        ));
    }
    Ok(Limits {
        pairs_min: options.pairs_min,
        pairs_max: options.pairs_max,
        confidence: options.confidence,
    })
}

/// Compares, whatever the two are.
pub(super) fn report(
    base: &str,
    candidate: &str,
    options: &CompareOptions,
    quiet: bool,
) -> Result<Report, Fault> {
    let limits = limits(options)?;
    let format = options.read.as_deref().map(format_named).transpose()?;
    let kind = options.as_.unwrap_or_else(|| guessed(base, candidate));
    if kind == SubjectKind::Results {
        let read = |file: &str| -> Result<Vec<bellwether_lab::Samples>, Fault> {
            let config = bellwether_lab::gate::GateConfig {
                format: format.flatten(),
                ..Default::default()
            };
            bellwether_measure::gate::read_files(&config, &[file.into()]).map_err(Fault::input)
        };
        let (a, b) = (read(base)?, read(candidate)?);
        let (a, b) = (one_name(a, &b), b);
        let floor = |samples: &bellwether_lab::Samples| match samples.unit {
            bellwether_lab::Unit::Bytes => options.floor_memory,
            _ => options.floor,
        };
        return Ok(compare_samples(
            (base, &a),
            (candidate, &b),
            floor,
            options.confidence,
        ));
    }
    let output = match (kind, format) {
        (SubjectKind::Urls, _) => Some(Output::Load),
        (_, Some(format)) => Some(Output::Benchmark(format, Vec::new())),
        (_, None) => None,
    };
    let side = |subject: &str, server: Option<u32>| -> Result<Side, Fault> {
        let subject = match kind {
            SubjectKind::Urls => url_subject(subject, options)?,
            _ => Subject {
                shell: subject.to_owned(),
                ..Subject::default()
            },
        };
        Ok(Side { subject, server })
    };
    let plan = Plan {
        base: side(base, options.pid_base)?,
        candidate: side(candidate, options.pid_candidate)?,
        limits,
        floors: Floors {
            time: options.floor,
            cpu: options.floor_cpu,
            memory: options.floor_memory,
        },
        warmup: options.warmup,
        timeout: options.timeout,
        before_each: options.before_each.clone(),
        output,
    };
    let mut progress = Progress::new(quiet);
    let comparison = bellwether_measure::compare::run(&plan, |so_far| progress.tell(so_far))
        .map_err(Fault::failed)?;
    progress.end();
    Ok(comparison.report(base, candidate))
}

/// Files with one unnamed series each are about the same thing, whatever the files are called.
fn one_name(
    mut a: Vec<bellwether_lab::Samples>,
    b: &[bellwether_lab::Samples],
) -> Vec<bellwether_lab::Samples> {
    if let ([only], [other]) = (a.as_mut_slice(), b) {
        only.name.clone_from(&other.name);
    }
    a
}

fn guessed(base: &str, candidate: &str) -> SubjectKind {
    let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    if is_url(base) && is_url(candidate) {
        SubjectKind::Urls
    } else if Path::new(base).exists() && Path::new(candidate).exists() && !is_program(base) {
        SubjectKind::Results
    } else {
        SubjectKind::Commands
    }
}

/// An executable file is a command, not a result.
fn is_program(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A format by its name; `auto` is none.
fn format_named(name: &str) -> Result<Option<Format>, Fault> {
    match Format::named(name) {
        Some(format) => Ok(Some(format)),
        None if name == "auto" => Ok(None),
        None => {
            let known = Format::NAMES.map(|(name, _)| name).join(", ");
            Err(Fault::input(format_args!(
                "unknown format {name:?}\nhint: one of auto, {known}"
            )))
        }
    }
}

/// The load generator on a URL, as a process of its own.
fn url_subject(url: &str, options: &CompareOptions) -> Result<Subject, Fault> {
    let program = std::env::current_exe().map_err(Fault::failed)?;
    let mut arguments = vec![
        format!("--rate={}", options.rate),
        format!("--duration={}ms", options.duration.as_millis()),
    ];
    arguments.extend(options.load_args.iter().cloned());
    Ok(load_subject(&program, url, &arguments, None))
}

/// One line on a terminal, renewed after each pair.
pub(super) struct Progress {
    on: bool,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            on: !quiet && std::io::stderr().is_terminal(),
        }
    }

    pub(super) fn tell(&mut self, so_far: &Comparison) {
        if !self.on {
            return;
        }
        let report = so_far.report("", "");
        let told: Vec<String> = report
            .metrics
            .iter()
            .take(4)
            .map(|metric| {
                format!(
                    "{} {} {}",
                    metric.metric.name,
                    text::mark(metric.finding.verdict),
                    text::effect(&metric.finding)
                )
            })
            .collect();
        eprint!(
            "\r\x1b[2Kpair {}: {}",
            so_far.pairs().len(),
            told.join("; ")
        );
    }

    pub(super) fn end(&mut self) {
        if self.on {
            eprint!("\r\x1b[2K");
        }
    }
}
