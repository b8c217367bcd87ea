//! `runbook show` and `runbook plan`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bellwether_act::{GivenInputs, Plan, Runbook, input_queries, native_wanted, plan as make_plan};
use bellwether_env::{Clock as _, SystemClock};
use bellwether_model::{Labels, Problems, Severity};
use serde_json::json;

use super::{Fault, say};
use crate::cli::{PlanArgs, ServerArgs};
use crate::client::Client;
use crate::commands::offline;
use crate::http::api::part;
use crate::steps::{Ask, FromNobody, FromPrometheus, native_plan};

const ROUNDS_MAX: usize = 8;
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads one page; its problems are printed.
pub(super) fn read_page(file: &Path) -> Result<Runbook, Fault> {
    let name = file.display().to_string();
    let bytes = std::fs::metadata(file)
        .map_err(|error| Fault::bad(format!("{name}: {error}")))?
        .len();
    if bytes > bellwether_act::runbook::BYTES_MAX as u64 {
        return Err(Fault::bad(format!(
            "{name}: {bytes} bytes; a page may have {}",
            bellwether_act::runbook::BYTES_MAX
        )));
    }
    let text = std::fs::read(file).map_err(|error| Fault::bad(format!("{name}: {error}")))?;
    let (page, problems) = Runbook::parse(&name, &String::from_utf8_lossy(&text));
    for problem in &problems.0 {
        eprintln!("{problem}");
    }
    page.filter(|_| !problems.has_errors())
        .ok_or_else(|| Fault::bad(format!("{name} cannot be used")))
}

pub(super) fn show(file: &Path, json: bool) -> Result<ExitCode, Fault> {
    let page = read_page(file)?;
    if json {
        say(json!(page));
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!(
        "{} ({}), owner {}, content {}",
        page.title,
        page.id,
        if page.owner.is_empty() {
            "nobody"
        } else {
            &page.owner
        },
        &page.hash[..page.hash.len().min(12)]
    ));
    for input in &page.inputs {
        say(format_args!("  input {:<16} {}", input.name, input.about));
    }
    for step in &page.steps {
        let effect = match step.effect {
            Some(bellwether_act::Effect::Read) => "read",
            Some(bellwether_act::Effect::Change) => "change",
            None => "unknown",
        };
        let place = format!("{}:{}", page.file, step.place.line);
        say(format_args!(
            "  {place}  {:<24} {effect:<8} {}",
            step.id, step.target
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn pairs(texts: &[String], option: &str) -> Result<BTreeMap<String, String>, Fault> {
    texts
        .iter()
        .map(|text| {
            text.split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| Fault::bad(format!("{option} {text:?} is not NAME=VALUE")))
        })
        .collect()
}

/// Who answers queries: the Prometheus that was named, else the server of the data folder, else nobody.
pub(super) fn asker(prometheus: Option<&str>, data: &Path) -> Arc<dyn Ask> {
    match prometheus {
        Some(url) => Arc::new(FromPrometheus(Client::with(url.to_owned(), None))),
        None if data.join(crate::serve::SERVER_FILE).exists() => {
            Arc::new(FromPrometheus(Client::new(&ServerArgs {
                server: None,
                data: data.to_owned(),
                token: None,
                json: false,
            })))
        }
        None => Arc::new(FromNobody),
    }
}

/// What a plan is made from.
pub(super) struct Wanted<'a> {
    pub(super) page: &'a Runbook,
    pub(super) inputs: &'a [String],
    pub(super) labels: &'a [String],
    pub(super) part: &'a str,
    pub(super) data: &'a Path,
}

/// Makes a plan: asks the queries of its inputs and the dry runs of its programs.
pub(super) async fn planned(wanted: &Wanted<'_>, ask: &dyn Ask) -> Result<Plan, Fault> {
    let labels = pairs(wanted.labels, "--label")?;
    let labels: Labels = labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut given = GivenInputs {
        values: pairs(wanted.inputs, "--input")?,
        labels: labels.into(),
        ..GivenInputs::default()
    };
    let mut unanswered = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let asked = given.queried.len();
        for query in input_queries(wanted.page, &given) {
            if given.queried.contains_key(&query.input) || unanswered.contains(&query.input) {
                continue;
            }
            match ask.ask(&query.query, QUERY_TIMEOUT).await {
                Ok(answer) => drop(given.queried.insert(query.input, answer.samples)),
                Err(error) => {
                    eprintln!("warning: {}: {error}", query.input);
                    unanswered.push(query.input);
                }
            }
        }
        if given.queried.len() == asked {
            break;
        }
    }
    let part = part(wanted.part);
    let now = SystemClock::new().now();
    let first = make_plan(wanted.page, &given, &part, now);
    for dry in native_wanted(&first) {
        match native_plan(&dry, &wanted.data.join("plans")).await {
            Ok(native) => drop(given.native.insert(dry.step, native)),
            Err(error) => eprintln!("warning: {}: no dry run: {error}", dry.step),
        }
    }
    Ok(make_plan(wanted.page, &given, &part, now))
}

pub(super) async fn plan(args: PlanArgs, json: bool) -> Result<ExitCode, Fault> {
    let page = read_page(&args.file)?;
    let wanted = Wanted {
        page: &page,
        inputs: &args.inputs,
        labels: &args.labels,
        part: &args.part,
        data: &args.data,
    };
    let ask = asker(args.prometheus.as_deref(), &args.data);
    let plan = planned(&wanted, &*ask).await?;
    if json {
        let mut body = serde_json::to_value(&plan).unwrap_or_default();
        body["problems"] = json!(plan.problems);
        body["runnable"] = json!(plan.runnable());
        body["targets"] = json!(plan.targets());
        say(body);
    } else {
        print_plan(&plan);
        offline::print_problems(&Problems(plan.problems.clone()), false, 1);
        say(format_args!("digest {}", plan.digest));
    }
    let errors = plan
        .problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    Ok(ExitCode::from(u8::from(errors || !plan.runnable())))
}

/// What would run where.
pub(super) fn print_plan(plan: &Plan) {
    let targets = plan.targets();
    let words: Vec<&str> = targets.iter().copied().collect();
    say(format_args!(
        "{}: {}, {} steps, {} targets to change{}{}",
        plan.title,
        plan.part.describe(),
        plan.steps.len(),
        words.len(),
        if words.is_empty() { "" } else { ": " },
        words.join(", "),
    ));
    for (name, value) in &plan.inputs {
        say(format_args!("  {name} = {value}"));
    }
    let mut opaque = Vec::new();
    for (number, step) in (1..).zip(&plan.steps) {
        let mut marks = vec![match step.effect {
            bellwether_act::Effect::Read => "read",
            bellwether_act::Effect::Change => "change",
        }];
        marks.push(&step.target);
        let wave = step
            .wave
            .map(|wave| format!("batch {}", wave + 1))
            .unwrap_or_default();
        marks.extend([wave.as_str()].into_iter().filter(|mark| !mark.is_empty()));
        marks.extend(step.approve.then_some("another person must approve"));
        marks.extend(step.confirm.then_some("must be confirmed"));
        say(format_args!(
            "{number}. {} [{}] ({})",
            step.title,
            step.id,
            marks.join(", ")
        ));
        for line in step.body().lines() {
            say(format_args!("     {line}"));
        }
        if let Some(verify) = &step.verify {
            say(format_args!(
                "     verify: {} within {} s",
                verify.query,
                verify.within_ms / 1_000
            ));
        }
        if let Some(native) = &step.native {
            let word = if native.advisory {
                "dry run (advisory)"
            } else {
                "dry run"
            };
            let empty = if native.empty { ": nothing to do" } else { ":" };
            say(format_args!("     {word}{empty}"));
            for line in native.summary.lines() {
                say(format_args!("     | {line}"));
            }
        } else if step.effect == bellwether_act::Effect::Change {
            opaque.push(step.id.as_str());
        }
        if let Some(undo) = &step.undo {
            say(format_args!("     undo: {}", undo.title));
        }
    }
    if !opaque.is_empty() {
        say(format_args!(
            "what these do is not known before they run: {}",
            opaque.join(", ")
        ));
    }
    if let Some(rule) = &plan.approval {
        let by = if rule.by.is_empty() {
            "somebody"
        } else {
            &rule.by
        };
        let other = if rule.other_person {
            ", not by the one who starts it"
        } else {
            ""
        };
        say(format_args!(
            "must be approved by {by}{other}, within {} s",
            rule.ttl_ms / 1_000
        ));
    }
}
