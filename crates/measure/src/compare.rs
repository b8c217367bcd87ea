//! Two commands or two URLs, run by turns.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_lab::compare::{Comparison, Limits, Metric, Pair};
use bellwether_lab::import::{self, Format};
use bellwether_lab::{Samples, Unit};
use bellwether_stats::Better;
use bellwether_stats::quantile::median;

use crate::command::{Measured, RunError, Subject, measure};
use crate::environment::{process_cpu, process_peak};

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    pub base: Side,
    pub candidate: Side,
    pub limits: Limits,
    pub floors: Floors,
    /// Runs of each side that are thrown away first.
    pub warmup: usize,
    /// Time limit of one run.
    pub timeout: Duration,
    /// Run before each run and not measured.
    pub before_each: Option<String>,
    /// What the run's output is read as; `None` measures the process alone.
    pub output: Option<Output>,
}

/// One of the two.
#[derive(Clone, Debug, Default)]
pub struct Side {
    pub subject: Subject,
    /// A server on this machine that the run loads: its CPU time and memory count instead of those of the run.
    pub server: Option<u32>,
}

/// What the output of a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A result of `bellwether load --json`.
    Load,
    /// Results of a benchmark; only the named series, or all.
    Benchmark(Option<Format>, Vec<String>),
}

/// The smallest relative changes that matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floors {
    pub time: f64,
    pub cpu: f64,
    pub memory: f64,
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Import(#[from] import::ImportError),
    #[error("{0}")]
    Output(String),
}

/// Times that an invalid load run is made again before it is an error.
const AGAIN: usize = 3;

impl Default for Floors {
    fn default() -> Self {
        Self {
            time: 0.03,
            cpu: 0.01,
            memory: 0.03,
        }
    }
}

/// Runs both sides by turns until everything is decided or the pairs are used up. `progress` is told after each pair.
pub fn run(plan: &Plan, mut progress: impl FnMut(&Comparison)) -> Result<Comparison, CompareError> {
    let mut first = one(plan, &plan.base)?;
    let mut shape = one(plan, &plan.candidate)?;
    for _ in 1..plan.warmup {
        first = one(plan, &plan.base)?;
        shape = one(plan, &plan.candidate)?;
    }
    // What both sides print is compared; the first pair says what that is.
    let metrics: Vec<Metric> = first
        .iter()
        .filter(|value| shape.iter().any(|other| other.name == value.name))
        .map(|value| Metric {
            name: value.name.clone(),
            unit: value.unit,
            better: value.better,
            floor: plan.floors.of(value),
        })
        .collect();
    if metrics.is_empty() {
        return Err(CompareError::Output(
            "the two sides print no result of the same name".to_owned(),
        ));
    }
    let mut comparison = Comparison::new(metrics.clone(), plan.limits);
    if plan.warmup == 0 {
        comparison.push(Pair {
            base: picked(&metrics, &first)?,
            candidate: picked(&metrics, &shape)?,
        });
        progress(&comparison);
    }
    while !comparison.is_over() {
        let (base, candidate);
        if comparison.candidate_first() {
            candidate = one(plan, &plan.candidate)?;
            base = one(plan, &plan.base)?;
        } else {
            base = one(plan, &plan.base)?;
            candidate = one(plan, &plan.candidate)?;
        }
        comparison.push(Pair {
            base: picked(&metrics, &base)?,
            candidate: picked(&metrics, &candidate)?,
        });
        progress(&comparison);
    }
    Ok(comparison)
}

fn picked(metrics: &[Metric], values: &[Reading]) -> Result<Vec<f64>, CompareError> {
    metrics
        .iter()
        .map(|metric| {
            let found = values.iter().find(|value| value.name == metric.name);
            found.map(|value| value.value).ok_or_else(|| {
                CompareError::Output(format!("a run printed no result for {}", metric.name))
            })
        })
        .collect()
}

struct Reading {
    name: String,
    unit: Unit,
    better: Better,
    value: f64,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Time,
    Cpu,
    Memory,
}

impl Floors {
    fn of(&self, value: &Reading) -> f64 {
        match value.kind {
            Kind::Time => self.time,
            Kind::Cpu => self.cpu,
            Kind::Memory => self.memory,
        }
    }
}

fn value(name: &str, unit: Unit, kind: Kind, value: f64) -> Reading {
    Reading {
        name: name.to_owned(),
        unit,
        better: Better::Lower,
        value,
        kind,
    }
}

/// One run of one side, as values.
fn one(plan: &Plan, side: &Side) -> Result<Vec<Reading>, CompareError> {
    let mut tries = 0;
    loop {
        if let Some(before) = &plan.before_each {
            let subject = Subject {
                shell: before.clone(),
                ..side.subject.clone()
            };
            measure(&subject, plan.timeout)?;
        }
        let cpu_before = side.server.and_then(process_cpu);
        let measured = measure(&side.subject, plan.timeout);
        tries += 1;
        // The generator says by exit code 3 that it was late: that run counts for nothing.
        if let Err(RunError::Failed { status, .. }) = &measured
            && plan.output == Some(Output::Load)
            && status == "exit code 3"
            && tries < AGAIN
        {
            continue;
        }
        let measured = measured?;
        let cpu = side
            .server
            .and_then(process_cpu)
            .zip(cpu_before)
            .map(|(after, before)| after - before);
        return values(plan, side, &measured, cpu);
    }
}

fn values(
    plan: &Plan,
    side: &Side,
    measured: &Measured,
    server_cpu: Option<f64>,
) -> Result<Vec<Reading>, CompareError> {
    match &plan.output {
        None => {
            let mut values = vec![
                value(
                    "wall time",
                    Unit::Seconds,
                    Kind::Time,
                    measured.wall.as_secs_f64(),
                ),
                value(
                    "cpu time",
                    Unit::Seconds,
                    Kind::Cpu,
                    measured.cpu.as_secs_f64(),
                ),
            ];
            if measured.peak_bytes > 0 {
                values.push(value(
                    "peak memory",
                    Unit::Bytes,
                    Kind::Memory,
                    measured.peak_bytes as f64,
                ));
            }
            Ok(values)
        }
        Some(Output::Load) => {
            let json: serde_json::Value = serde_json::from_str(&measured.output)
                .map_err(|error| CompareError::Output(format!("the load run's result: {error}")))?;
            let mut values = Vec::new();
            for percentile in ["p50", "p95", "p99"] {
                let ms = json["latency"][format!("{percentile}_ms")].as_f64();
                let ms = ms.ok_or_else(|| {
                    CompareError::Output(format!(
                        "the load run's result has no latency.{percentile}_ms"
                    ))
                })?;
                values.push(value(percentile, Unit::Seconds, Kind::Time, ms / 1e3));
            }
            let requests = json["latency"]["count"].as_f64().unwrap_or(0.0);
            if let Some(cpu) = server_cpu.filter(|_| requests > 0.0) {
                values.push(value(
                    "cpu per request",
                    Unit::Seconds,
                    Kind::Cpu,
                    cpu / requests,
                ));
            }
            if let Some(peak) = side.server.and_then(process_peak) {
                values.push(value("peak memory", Unit::Bytes, Kind::Memory, peak as f64));
            }
            Ok(values)
        }
        Some(Output::Benchmark(format, only)) => {
            let found = import::read("output", &measured.output, *format)?;
            Ok(found
                .iter()
                .filter(|samples| only.is_empty() || only.contains(&samples.name))
                .filter_map(of_samples)
                .collect())
        }
    }
}

/// A benchmark's samples within one run stand for one value: they are not independent of each other.
fn of_samples(samples: &Samples) -> Option<Reading> {
    let kind = match samples.unit {
        Unit::Bytes => Kind::Memory,
        _ => Kind::Time,
    };
    Some(Reading {
        name: samples.name.clone(),
        unit: samples.unit,
        better: samples.better,
        value: median(&samples.values)?,
        kind,
    })
}

/// The subject that loads a URL: this program's own generator, in a process of its own.
pub fn load_subject(
    program: &std::path::Path,
    url: &str,
    arguments: &[String],
    folder: Option<PathBuf>,
) -> Subject {
    let mut shell = quoted(&program.to_string_lossy());
    for argument in ["load", url, "--json", "--quiet"]
        .into_iter()
        .map(str::to_owned)
        .chain(arguments.iter().cloned())
    {
        shell.push(' ');
        shell.push_str(&quoted(&argument));
    }
    // `exec`: the generator is the process that is measured, not the shell.
    Subject {
        shell: format!("exec {shell}"),
        folder,
        variables: Vec::new(),
    }
}

/// One word of a shell command, whatever is in it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use bellwether_stats::Verdict;

    use super::*;

    fn plan(base: &str, candidate: &str) -> Plan {
        let side = |shell: &str| Side {
            subject: Subject {
                shell: shell.to_owned(),
                ..Subject::default()
            },
            server: None,
        };
        Plan {
            base: side(base),
            candidate: side(candidate),
            limits: Limits {
                pairs_max: 14,
                ..Limits::default()
            },
            floors: Floors::default(),
            warmup: 1,
            timeout: Duration::from_secs(20),
            before_each: None,
            output: Some(Output::Benchmark(None, Vec::new())),
        }
    }

    #[test]
    fn numbers_that_commands_print_are_compared_by_turns() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("order");
        let counting = |side: &str, value: &str| {
            format!(
                "echo {side} >> {log}; n=$(wc -l < {log}); echo \"parse {value}$((n % 3)) ms\"",
                log = log.display()
            )
        };
        let mut pairs = 0;
        let comparison = run(&plan(&counting("a", "10"), &counting("b", "13")), |_| {
            pairs += 1;
        })
        .unwrap();
        let report = comparison.report("a", "b");
        assert_eq!(
            (report.verdict, report.metrics[0].metric.name.as_str()),
            (Verdict::Worse, "parse")
        );
        assert_eq!(pairs, comparison.pairs().len());
        let order = std::fs::read_to_string(&log).unwrap().replace('\n', "");
        assert!(order.starts_with("ababbaabba"), "{order}");
    }

    #[test]
    fn what_prints_nothing_of_the_same_name_is_an_error() {
        let error = run(&plan("echo x 1", "echo y 1"), |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the two sides print no result of the same name"
        );
        assert!(run(&plan("exit 2", "echo y 1"), |_| {}).is_err());
    }

    #[test]
    fn processes_are_measured() {
        let plan = Plan {
            output: None,
            limits: Limits {
                pairs_min: 2,
                pairs_max: 2,
                ..Limits::default()
            },
            ..plan("sleep 0.02", "sleep 0.02")
        };
        let report = run(&plan, |_| {}).unwrap().report("a", "b");
        let names: Vec<&str> = report
            .metrics
            .iter()
            .map(|m| m.metric.name.as_str())
            .collect();
        assert_eq!(names, ["wall time", "cpu time", "peak memory"]);
        assert!(report.metrics[0].base_median >= 0.02 && report.metrics[2].base_median > 100_000.0);
    }

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
