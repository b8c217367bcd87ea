//! Results of other benchmark tools, by what they print or write.
//!
//! Source of each format: criterion.rs `target/criterion/<name>/new/sample.json`; hyperfine `--export-json`;
//! pytest-benchmark `--benchmark-json`; Go `go test -bench` text (golang.org/design/14313-benchmark-format); JMH `-rf json`;
//! our own `bellwether load --json`, `bellwether compare --json`; and plain numbers, one to a line, each with an optional name.

mod go;
mod text;

use bellwether_stats::Better;
use serde::Deserialize as _;
use serde_json::Value;

use crate::samples::{Samples, Unit};

/// Bytes that one result file may have.
pub const BYTES_MAX: usize = 256 << 20;
/// Values that one benchmark may have; more are refused, not dropped.
pub const VALUES_MAX: usize = 1_000_000;
/// Benchmarks that one file may have.
pub const NAMES_MAX: usize = 20_000;

/// A format of benchmark results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    Criterion,
    Hyperfine,
    PytestBenchmark,
    Go,
    Jmh,
    /// `bellwether load --json`.
    Load,
    /// Our own list of [`Samples`].
    Samples,
    /// Numbers, one to a line; `name value` or `name: value unit` names them.
    Lines,
}

/// Why results cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{file}: {bytes} bytes, more than the {max} that are read")]
    TooLong {
        file: String,
        bytes: usize,
        max: usize,
    },
    #[error("{file}:{line}:{column}: {message}")]
    Json {
        file: String,
        line: usize,
        column: usize,
        message: String,
    },
    #[error("{file}: {message}")]
    Content { file: String, message: String },
    #[error(
        "{file}: no numbers found; known formats: criterion, hyperfine, pytest-benchmark, go, jmh, load, lines"
    )]
    Nothing { file: String },
}

impl Format {
    /// All, with the names they are chosen by.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("criterion", Self::Criterion),
        ("hyperfine", Self::Hyperfine),
        ("pytest-benchmark", Self::PytestBenchmark),
        ("go", Self::Go),
        ("jmh", Self::Jmh),
        ("load", Self::Load),
        ("samples", Self::Samples),
        ("lines", Self::Lines),
    ];

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, format)| *format)
    }

    /// The format that a text looks like.
    pub fn detect(text: &str) -> Self {
        let Ok(json) = serde_json::from_str::<Value>(text) else {
            return if go::looks_like(text) {
                Self::Go
            } else {
                Self::Lines
            };
        };
        let has = |key: &str| json.get(key).is_some();
        let first = |key: &str| json.get(0).is_some_and(|item| item.get(key).is_some());
        if has("sampling_mode") || (has("iters") && has("times")) {
            Self::Criterion
        } else if has("benchmarks") {
            Self::PytestBenchmark
        } else if json["results"][0].get("command").is_some() {
            Self::Hyperfine
        } else if first("primaryMetric") {
            Self::Jmh
        } else if has("latency") || has("service") {
            Self::Load
        } else if first("values") {
            Self::Samples
        } else {
            Self::Lines
        }
    }
}

/// Reads results. `file` names the source in errors and, where the format has no name of its own, the benchmark.
pub fn read(file: &str, text: &str, format: Option<Format>) -> Result<Vec<Samples>, ImportError> {
    if text.len() > BYTES_MAX {
        return Err(ImportError::TooLong {
            file: file.to_owned(),
            bytes: text.len(),
            max: BYTES_MAX,
        });
    }
    let format = format.unwrap_or_else(|| Format::detect(text));
    let found = match format {
        Format::Go => Ok(go::read(text)),
        Format::Lines => text::read(file, text),
        json => {
            let value: Value = serde_json::from_str(text).map_err(|error| ImportError::Json {
                file: file.to_owned(),
                line: error.line(),
                column: error.column(),
                message: error.to_string(),
            })?;
            match json {
                Format::Criterion => criterion(file, &value),
                Format::Hyperfine => hyperfine(&value),
                Format::PytestBenchmark => pytest(&value),
                Format::Jmh => jmh(&value),
                Format::Load => load(file, &value),
                _ => Vec::<Samples>::deserialize(&value).map_err(|error| error.to_string()),
            }
        }
    };
    let found = found.map_err(|message| ImportError::Content {
        file: file.to_owned(),
        message,
    })?;
    checked(file, found)
}

/// Limits, and at least one finite number each.
fn checked(file: &str, found: Vec<Samples>) -> Result<Vec<Samples>, ImportError> {
    let fail = |message: String| ImportError::Content {
        file: file.to_owned(),
        message,
    };
    if found.len() > NAMES_MAX {
        return Err(fail(format!(
            "{} benchmarks, more than {NAMES_MAX}",
            found.len()
        )));
    }
    for samples in &found {
        if samples.values.len() > VALUES_MAX {
            return Err(fail(format!(
                "{}: more than {VALUES_MAX} values",
                samples.name
            )));
        }
        if let Some(bad) = samples.values.iter().find(|value| !value.is_finite()) {
            return Err(fail(format!(
                "{}: {bad} is not a finite number",
                samples.name
            )));
        }
    }
    let found: Vec<Samples> = found
        .into_iter()
        .filter(|samples| !samples.values.is_empty())
        .collect();
    if found.is_empty() {
        return Err(ImportError::Nothing {
            file: file.to_owned(),
        });
    }
    Ok(found)
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

fn text_at(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

/// One `sample.json`: `iters` of each sample and the total `times` in ns.
fn criterion(file: &str, value: &Value) -> Result<Vec<Samples>, String> {
    let (iters, times) = (numbers(&value["iters"]), numbers(&value["times"]));
    if iters.len() != times.len() {
        return Err(format!(
            "{} iteration counts for {} times",
            iters.len(),
            times.len()
        ));
    }
    let per_iteration = iters
        .iter()
        .zip(&times)
        .filter(|(count, _)| **count > 0.0)
        .map(|(count, time)| time / count * 1e-9);
    Ok(vec![Samples {
        name: criterion_name(file),
        unit: Unit::Seconds,
        better: Better::Lower,
        values: per_iteration.collect(),
    }])
}

/// `.../criterion/group/bench/new/sample.json` is `group/bench`.
fn criterion_name(file: &str) -> String {
    let parts: Vec<&str> = file.split(['/', '\\']).collect();
    let from = parts
        .iter()
        .rposition(|part| *part == "criterion")
        .map_or(0, |at| at + 1);
    let to = parts.len().saturating_sub(2);
    match parts.get(from..to) {
        Some(inner) if !inner.is_empty() && from > 0 => inner.join("/"),
        _ => stem(file),
    }
}

/// The file's name without folder and extension.
pub(crate) fn stem(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.split('.')
        .next()
        .filter(|stem| !stem.is_empty())
        .unwrap_or(name)
        .to_owned()
}

fn hyperfine(value: &Value) -> Result<Vec<Samples>, String> {
    let results = value["results"].as_array().ok_or("no list `results`")?;
    Ok(results
        .iter()
        .map(|result| Samples {
            name: text_at(result, "command").unwrap_or_default(),
            unit: Unit::Seconds,
            better: Better::Lower,
            values: match numbers(&result["times"]) {
                times if times.is_empty() => result["mean"].as_f64().into_iter().collect(),
                times => times,
            },
        })
        .collect())
}

/// `stats.data` in seconds; without `--benchmark-save-data` only the median is there.
fn pytest(value: &Value) -> Result<Vec<Samples>, String> {
    let benchmarks = value["benchmarks"]
        .as_array()
        .ok_or("no list `benchmarks`")?;
    Ok(benchmarks
        .iter()
        .map(|benchmark| {
            let stats = &benchmark["stats"];
            Samples {
                name: text_at(benchmark, "fullname")
                    .or_else(|| text_at(benchmark, "name"))
                    .unwrap_or_default(),
                unit: Unit::Seconds,
                better: Better::Lower,
                values: match numbers(&stats["data"]) {
                    data if data.is_empty() => stats["median"].as_f64().into_iter().collect(),
                    data => data,
                },
            }
        })
        .collect())
}

/// JMH: `primaryMetric.rawData` is a list of forks, each a list of iterations.
fn jmh(value: &Value) -> Result<Vec<Samples>, String> {
    let results = value.as_array().ok_or("not a list of results")?;
    results.iter().map(jmh_result).collect()
}

fn jmh_result(result: &Value) -> Result<Samples, String> {
    let metric = &result["primaryMetric"];
    let written = text_at(metric, "scoreUnit").unwrap_or_default();
    let mode = text_at(result, "mode").unwrap_or_default();
    let (unit, scale, better) =
        jmh_unit(&written).ok_or_else(|| format!("unknown unit {written:?}"))?;
    let params: Vec<String> = result["params"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let mut name = text_at(result, "benchmark").unwrap_or_default();
    if !params.is_empty() {
        name = format!("{name}({})", params.join(","));
    }
    let raw: Vec<f64> = metric["rawData"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(numbers_of)
        .collect();
    let values = if raw.is_empty() {
        metric["score"].as_f64().into_iter().collect()
    } else {
        raw
    };
    Ok(Samples {
        name: if mode.is_empty() {
            name
        } else {
            format!("{name}/{mode}")
        },
        unit,
        better,
        values: values.into_iter().map(|value| value * scale).collect(),
    })
}

fn numbers_of(value: &Value) -> Vec<f64> {
    numbers(value)
}

/// `ops/s` and `ms/op`: unit, factor to ours, which direction is better.
fn jmh_unit(written: &str) -> Option<(Unit, f64, Better)> {
    let time = |name: &str| {
        Some(match name {
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            "min" => 60.0,
            _ => return None,
        })
    };
    match written.split_once('/') {
        Some(("ops", per)) => Some((Unit::PerSecond, 1.0 / time(per)?, Better::Higher)),
        Some((amount, "op")) => match time(amount) {
            Some(scale) => Some((Unit::Seconds, scale, Better::Lower)),
            None => Some((Unit::Count, 1.0, Better::Lower)),
        },
        _ => Some((Unit::Count, 1.0, Better::Lower)),
    }
}

/// A load run: one value for each percentile, of the latency from the intended send.
fn load(file: &str, value: &Value) -> Result<Vec<Samples>, String> {
    let name = text_at(value, "name").unwrap_or_else(|| stem(file));
    if value["valid"] == Value::Bool(false) {
        let why = value["invalid_because"].to_string();
        return Err(format!("the run is marked invalid: {why}"));
    }
    let percentiles = ["p50", "p90", "p95", "p99", "p999"];
    Ok(percentiles
        .into_iter()
        .filter_map(|percentile| {
            let ms = value["latency"][format!("{percentile}_ms")].as_f64()?;
            Some(Samples {
                name: format!("{name}/{percentile}"),
                unit: Unit::Seconds,
                better: Better::Lower,
                values: vec![ms / 1e3],
            })
        })
        .collect())
}

#[cfg(test)]
mod tests;
