//! Queries and samples without a server of ours.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_model::series::{MemorySeries, Selection, SeriesSource, Value};
use bellwether_model::{Matcher, Secret};
use bellwether_observe::exposition::{Entry, Format as TextFormat, Parser, decode_series};
use bellwether_promql::{
    Engine, EngineOptions, ExplainNode, ParserOptions, Query as EngineQuery, explain, parse,
    parse_metric_selector, pretty,
};
use bellwether_series::{Options, PrometheusFolder, Store};
use serde_json::json;

use super::{complain, remote, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::{Explain, Format, Promql, Query, Series, SourceArgs};
use crate::http::prometheus::{answer_text, parse_time};
use crate::serve::SERVER_FILE;

/// A source, and its newest sample where that is known.
type Opened = (Arc<dyn SeriesSource>, Option<i64>);

/// Whether a query is evaluated here: it names a source, or its data folder has samples and no server.
pub(super) fn is_offline(args: &Query) -> bool {
    let named = args.source.blocks.is_some() || args.source.series.is_some();
    let asks = args.server.server.is_some() || bellwether_env::vars::SERVER.get().is_some();
    let data = &args.server.data;
    named || (!asks && data.join("series").is_dir() && !data.join(SERVER_FILE).exists())
}

fn open(source: &SourceArgs, data: Option<&Path>) -> Result<Option<Opened>, String> {
    if let Some(dir) = &source.blocks {
        let (folder, damage) = PrometheusFolder::open(dir).map_err(|error| {
            let reason = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", reason.unwrap_or_default())
        })?;
        for one in damage {
            complain(format_args!("left out: {one}"));
        }
        let newest = folder.bounds().map(|(_, newest)| newest);
        return Ok(Some((Arc::new(folder), newest)));
    }
    if let Some(address) = &source.series {
        let token = source.series_token.clone().map(Secret::new);
        return Ok(Some((
            Arc::new(crate::fetch::remote_source(address, token)?),
            None,
        )));
    }
    data.map(|dir| Ok((Arc::new(store(dir)?) as _, None)))
        .transpose()
}

/// Our own store; no server may use it.
fn store(data: &Path) -> Result<Store, String> {
    let dir = data.join("series");
    if !dir.is_dir() {
        return Err(format!("{} has no samples", data.display()));
    }
    let options = Options {
        // Nothing is deleted from here.
        retention: std::time::Duration::from_secs(1 << 40),
        ..Options::default()
    };
    let (store, report) = Store::open(&dir, options).map_err(|error| {
        format!("{error}\nhint: is a server using this folder? then ask it: --server")
    })?;
    for damage in report.damage {
        complain(damage);
    }
    Ok(store)
}

fn moment(text: Option<&str>, default: i64, option: &str) -> Result<i64, String> {
    match text {
        None => Ok(default),
        Some(text) => parse_time(text).ok_or_else(|| {
            format!("{option}: {text:?} is neither RFC 3339 nor seconds since 1970")
        }),
    }
}

/// Start, end and step in milliseconds.
type Times = (i64, i64, Option<i64>);

fn times(
    time: Option<&str>,
    last: Option<std::time::Duration>,
    step: Option<std::time::Duration>,
    newest: Option<i64>,
) -> Result<Times, String> {
    let now = newest.unwrap_or_else(|| SystemClock::new().now().as_millisecond());
    let end = moment(time, now, "--time")?;
    let Some(last) = last else {
        return Ok((end, end, None));
    };
    let step = step.unwrap_or(last / 60).as_millis().max(1) as i64;
    Ok((end - last.as_millis() as i64, end, Some(step)))
}

/// Runs what may block away from the runtime's threads; what it says is an error for the person at the terminal.
async fn blocking(work: impl FnOnce() -> Result<ExitCode, String> + Send + 'static) -> ExitCode {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            complain(error);
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}

fn engine(experimental: bool) -> Engine {
    Engine::new(EngineOptions {
        parser: if experimental {
            ParserOptions::experimental()
        } else {
            ParserOptions::default()
        },
        ..EngineOptions::default()
    })
}

pub(super) async fn query(args: Query) -> ExitCode {
    let engine = engine(args.experimental);
    let expr = match engine.parse(&args.expr) {
        Ok(expr) => expr,
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    let opened = match open(&args.source, Some(&args.server.data)) {
        Ok(opened) => opened,
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    blocking(move || {
        let (source, newest) = opened.ok_or("name a source")?;
        let (start, end, step) = times(args.time.as_deref(), args.last, args.step, newest)?;
        let query = EngineQuery {
            expr: &expr,
            start,
            end,
            step,
        };
        let result = engine
            .run(&*source, &query, &())
            .map_err(|error| error.to_string())?;
        let text = answer_text(result);
        if args.server.json {
            say(text);
        } else {
            let body = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            remote::show_result(&body);
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}

pub(super) async fn promql(command: Promql) -> ExitCode {
    let (Promql::Format { expr: text } | Promql::Explain(Explain { expr: text, .. })) = &command;
    let expr = match parse(text, &ParserOptions::experimental()) {
        Ok(expr) => expr,
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    let Promql::Explain(args) = command else {
        say(pretty(&expr));
        return ExitCode::SUCCESS;
    };
    let opened = match open(&args.source, args.data.as_deref()) {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            show_plan(&explain(&expr), args.json);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    blocking(move || {
        let (source, newest) = opened;
        let (start, end, step) = times(args.time.as_deref(), args.last, args.step, newest)?;
        let query = EngineQuery {
            expr: &expr,
            start,
            end,
            step,
        };
        let clock = SystemClock::new();
        let (result, plan) = engine(true)
            .profile(&*source, &query, &(), &|| {
                clock.monotonic().as_nanos() as u64
            })
            .map_err(|error| error.to_string())?;
        show_plan(&plan, args.json);
        if !args.json {
            say(format_args!(
                "{} series read, {} samples decoded, at most {} held, {:.3} ms",
                result.stats.series,
                result.stats.samples,
                result.stats.peak_samples,
                clock.monotonic().as_secs_f64() * 1e3
            ));
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}

fn show_plan(plan: &ExplainNode, json: bool) {
    fn value(node: &ExplainNode) -> serde_json::Value {
        let mut value = json!({
            "operation": node.operation,
            "strategy": node.strategy,
            "children": node.children.iter().map(value).collect::<Vec<_>>(),
        });
        if let Some(cost) = node.cost {
            value["nanoseconds"] = json!(cost.nanos);
            value["seriesRead"] = json!(cost.series_read);
            value["samplesDecoded"] = json!(cost.samples_read);
            value["series"] = json!(cost.series);
        }
        value
    }
    fn print(node: &ExplainNode, depth: usize) {
        let mut line = format!(
            "{:indent$}{}  [{}]",
            "",
            node.operation,
            node.strategy,
            indent = depth * 2
        );
        if let Some(cost) = node.cost {
            line.push_str(&format!("  {:.3} ms", cost.nanos as f64 / 1e6));
            if cost.series_read > 0 {
                line.push_str(&format!(
                    ", {} series read, {} samples decoded",
                    cost.series_read, cost.samples_read
                ));
            }
            line.push_str(&format!(", {} series given", cost.series));
        }
        say(line);
        for child in &node.children {
            print(child, depth + 1);
        }
    }
    if json {
        say(value(plan));
    } else {
        print(plan, 0);
    }
}

pub(super) async fn series(command: Series) -> ExitCode {
    // The runtime must be known to a source that asks another server.
    let opened = match &command {
        Series::Export { data, source, .. } => open(source, Some(data)),
        _ => Ok(None),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    blocking(move || match command {
        Series::Export {
            matching,
            start,
            end,
            format,
            out,
            ..
        } => {
            let (source, _) = opened.ok_or("name a source")?;
            let matchers: Vec<Matcher> = match matching {
                Some(text) => parse_metric_selector(&text).map_err(|error| error.to_string())?,
                None => vec![
                    Matcher::new(bellwether_model::MatchOp::Regex, "__name__", ".+")
                        .map_err(|e| e.to_string())?,
                ],
            };
            let selection = Selection {
                matchers,
                min: moment(start.as_deref(), i64::MIN / 2, "--start")?,
                max: moment(end.as_deref(), i64::MAX / 2, "--end")?,
            };
            export(&*source, &selection, format, &out)
        }
        Series::Import { data, from } => import(&data, &from),
        Series::Check { data } => check(&data),
        Series::Top { data, count, json } => top(&data, count, json),
    })
    .await
}

fn export(
    source: &dyn SeriesSource,
    selection: &Selection,
    format: Format,
    out: &Path,
) -> Result<ExitCode, String> {
    let fail = |error: &dyn std::error::Error| {
        let reason = error.source().map(|source| format!(": {source}"));
        format!("{}: {error}{}", out.display(), reason.unwrap_or_default())
    };
    let report = if format == Format::Blocks {
        bellwether_series::write_prometheus_blocks(source, selection, out)
    } else if out == Path::new("-") {
        let mut to = std::io::BufWriter::new(std::io::stdout().lock());
        let report = bellwether_series::write_openmetrics(source, selection, &mut to);
        to.flush().map_err(|error| fail(&error))?;
        report
    } else {
        let file = std::fs::File::create(out).map_err(|error| fail(&error))?;
        let mut to = std::io::BufWriter::new(file);
        let report = bellwether_series::write_openmetrics(source, selection, &mut to);
        to.flush().map_err(|error| fail(&error))?;
        report
    };
    let report = report.map_err(|error| fail(&error))?;
    eprintln!(
        "{} samples of {} series exported, {} left out (the format has no form for them)",
        report.samples, report.series, report.skipped
    );
    Ok(ExitCode::SUCCESS)
}

/// Samples of an OpenMetrics text; those without a time cannot be history.
fn read_openmetrics(name: &str, bytes: &[u8]) -> Result<MemorySeries, String> {
    let mut memory = MemorySeries::default();
    for entry in Parser::new(bytes, TextFormat::OpenMetrics) {
        let entry = entry.map_err(|error| format!("{name}:{}: {}", error.line, error.reason))?;
        let Entry::Sample(sample) = entry else {
            continue;
        };
        let at = |reason: &str| format!("{name}:{}: {reason}", sample.line);
        let time = sample.timestamp.ok_or_else(|| {
            at("the sample has no timestamp\nhint: history needs one on every line")
        })?;
        let series = decode_series(sample.series).map_err(|reason| at(&reason))?;
        memory.push(&series.to_labels(), time, Value::Float(sample.value));
    }
    Ok(memory)
}

fn import(data: &Path, from: &[std::path::PathBuf]) -> Result<ExitCode, String> {
    std::fs::create_dir_all(data.join("series")).map_err(|error| error.to_string())?;
    let store = store(data)?;
    let all = Selection {
        matchers: Vec::new(),
        min: i64::MIN / 2,
        max: i64::MAX / 2,
    };
    for path in from {
        let name = path.display().to_string();
        let source: Box<dyn SeriesSource> = if path.is_dir() {
            let (folder, damage) =
                PrometheusFolder::open(path).map_err(|error| error.to_string())?;
            for one in damage {
                complain(format_args!("left out: {one}"));
            }
            Box::new(folder)
        } else {
            let bytes = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
            Box::new(read_openmetrics(&name, &bytes)?)
        };
        let report = store
            .import(&*source, &all)
            .map_err(|error| format!("{name}: {error}"))?;
        say(format_args!(
            "{name}: {} samples in {} blocks",
            report.samples, report.blocks
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn check(data: &Path) -> Result<ExitCode, String> {
    let report = store(data)?.verify();
    for damage in &report.damage {
        say(damage);
    }
    say(format_args!(
        "{} blocks, {} chunks, {} damaged",
        report.blocks,
        report.chunks,
        report.damage.len()
    ));
    Ok(if report.damage.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn top(data: &Path, count: usize, as_json: bool) -> Result<ExitCode, String> {
    let found = store(data)?.cardinality(count);
    if as_json {
        say(json!({
            "series": found.series, "metrics": found.metrics, "labels": found.labels, "pairs": found.pairs,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!("{} series", found.series));
    for (title, list) in [
        ("series by metric", &found.metrics),
        ("values by label", &found.labels),
        ("series by label pair", &found.pairs),
    ] {
        say(format_args!("{title}:"));
        for (name, number) in list {
            say(format_args!("{number:>10}  {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
