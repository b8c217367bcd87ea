//! Commands that ask a running server (and those about schedules that need none).

use std::process::ExitCode;

use bellwether_env::{Clock as _, SystemClock};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::{Page as PageCommand, Query, ServerArgs};
use crate::client::{Client, ClientError};

fn answer(result: Result<Value, ClientError>, json: bool, show: impl FnOnce(&Value)) -> ExitCode {
    match result {
        Ok(value) if json => {
            say(&value);
            ExitCode::SUCCESS
        }
        Ok(value) => {
            show(&value);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

pub(super) async fn query(args: Query) -> ExitCode {
    if super::samples::is_offline(&args) {
        return super::samples::query(args).await;
    }
    let client = Client::new(&args.server);
    let mut form = vec![("query", args.expr.clone())];
    let path = match args.last {
        None => {
            form.extend(args.time.map(|time| ("time", time)));
            "/query"
        }
        Some(last) => {
            let end = match args.time.as_deref().map(str::parse::<Timestamp>) {
                Some(Ok(end)) => end,
                Some(Err(error)) => {
                    complain(format_args!("--time: {error}"));
                    return ExitCode::from(EXIT_BAD_INPUT);
                }
                None => SystemClock::new().now(),
            };
            let end_seconds = end.as_millisecond() as f64 / 1e3;
            let step = args.step.unwrap_or(last / 60).as_secs_f64().max(0.001);
            form.push(("start", (end_seconds - last.as_secs_f64()).to_string()));
            form.push(("end", end_seconds.to_string()));
            form.push(("step", step.to_string()));
            "/query_range"
        }
    };
    answer(
        client.prometheus(path, &form).await,
        args.server.json,
        show_result,
    )
}

/// Prints a result of Prometheus' API: one line per sample, `name{labels} value @time`.
pub(super) fn show_result(body: &Value) {
    for kind in ["warnings", "infos"] {
        for line in body[kind].as_array().into_iter().flatten() {
            eprintln!(
                "{}: {}",
                kind.trim_end_matches('s'),
                line.as_str().unwrap_or_default()
            );
        }
    }
    let point = |point: &Value| {
        format!(
            "{} @{}",
            point[1]
                .as_str()
                .map_or_else(|| point[1].to_string(), str::to_owned),
            point[0]
        )
    };
    let result = &body["data"]["result"];
    if matches!(text(&body["data"], "resultType"), "scalar" | "string") {
        return say(point(result));
    }
    for series in result.as_array().into_iter().flatten() {
        let labels: bellwether_model::Labels =
            serde_json::from_value(series["metric"].clone()).unwrap_or_default();
        for key in ["value", "histogram"] {
            if !series[key].is_null() {
                say(format_args!("{labels} {}", point(&series[key])));
            }
        }
        for key in ["values", "histograms"] {
            let Some(points) = series[key].as_array() else {
                continue;
            };
            say(&labels);
            for one in points {
                say(format_args!("  {}", point(one)));
            }
        }
    }
}

pub(super) async fn page(command: PageCommand) -> ExitCode {
    let change = async |case: &str, what: &str, server: &ServerArgs| {
        let result = Client::new(server)
            .post(&format!("/cases/{case}/{what}"), &json!({}))
            .await;
        answer(result, server.json, |_| {
            say(format_args!("{case}: {what}d"));
        })
    };
    match command {
        PageCommand::List { all, server } => {
            let path = if all { "/cases" } else { "/cases?state=open" };
            answer(
                Client::new(&server).get(path).await,
                server.json,
                show_cases,
            )
        }
        PageCommand::Show { case, server } => answer(
            Client::new(&server).get(&format!("/cases/{case}")).await,
            server.json,
            show_case,
        ),
        PageCommand::Why { case, server } => answer(
            Client::new(&server)
                .get(&format!("/cases/{case}/why"))
                .await,
            server.json,
            |why| {
                for line in why.as_array().into_iter().flatten() {
                    say(line.as_str().unwrap_or_default());
                }
            },
        ),
        PageCommand::Ack { case, server } => change(&case, "acknowledge", &server).await,
        PageCommand::Resolve { case, server } => change(&case, "resolve", &server).await,
        PageCommand::Escalate { case, server } => change(&case, "escalate", &server).await,
        PageCommand::Open {
            title,
            high,
            server,
        } => {
            let result = Client::new(&server)
                .post("/case-by-hand", &json!({"title": title, "high": high}))
                .await;
            answer(result, server.json, |opened| say(text(opened, "case")))
        }
    }
}

fn show_cases(cases: &Value) {
    let all = cases.as_array().map_or(&[][..], Vec::as_slice);
    if all.is_empty() {
        say("no open cases");
    }
    for case in all {
        say(format_args!(
            "{}  {:<12} {:<5} {}  {}",
            text(case, "code"),
            text(case, "status"),
            text(case, "urgency"),
            text(case, "opened_at"),
            text(case, "title"),
        ));
    }
}

/// Prints a case and its timeline.
pub fn show_case(view: &Value) {
    let case = &view["case"];
    say(format_args!(
        "{} {} ({}, {})",
        text(case, "code"),
        text(case, "title"),
        text(case, "status"),
        text(case, "urgency")
    ));
    if !text(case, "summary").is_empty() {
        say(format_args!("  {}", text(case, "summary")));
    }
    for cause in view["causes"].as_array().into_iter().flatten() {
        say(format_args!("  context: {}", cause["labels"]));
    }
    for event in view["timeline"].as_array().into_iter().flatten() {
        let at = text(event, "at");
        let what = text(event, "text").replace(
            '\n',
            "\n                                                   ",
        );
        say(format_args!(
            "  {:<24} {:<22} {what}  [{}]",
            &at[..at.len().min(23)],
            text(event, "kind"),
            text(event, "actor"),
        ));
    }
}
