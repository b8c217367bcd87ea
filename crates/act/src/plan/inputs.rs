//! Values of inputs: given, from the alert, from a query, or the default; then checked against their type.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bellwether_model::Problem;
use bellwether_model::duration::parse_duration;
use regex::Regex;

use super::{GivenInputs, InputQuery};
use crate::plan::substitute::promql;
use crate::runbook::{Input, InputType, Runbook};

/// Longest value of an input, in bytes.
const VALUE_MAX: usize = 4 << 10;

static HOST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9a-fA-F:.]+\]|[0-9a-fA-F:]+)(?::[0-9]{1,5})?$")
        .expect("a fixed pattern")
});

/// Queries whose answers the page's inputs need, for those that nothing else fills. A query may use inputs that are
/// declared above it; with such a value missing it is left out, and planning says so.
pub fn input_queries(runbook: &Runbook, given: &GivenInputs) -> Vec<InputQuery> {
    let mut known = BTreeMap::new();
    let mut queries = Vec::new();
    for input in &runbook.inputs {
        if let Some(value) = direct(input, given) {
            known.insert(input.name.clone(), value);
        } else if let Some(query) = &input.promql {
            if let Ok(query) = promql(query, &known) {
                queries.push(InputQuery {
                    input: input.name.clone(),
                    query,
                });
            }
            if let Some(value) = from_answer(input, given) {
                known.insert(input.name.clone(), value);
            }
        } else if let Some(default) = &input.default {
            known.insert(input.name.clone(), default.clone());
        }
    }
    let more = super::targets::queries(runbook, &known).into_iter();
    queries.extend(more.map(|(input, query)| InputQuery { input, query }));
    queries
}

/// All values of a page's inputs, and what is wrong with them. `used` are those the planned steps need: only they
/// must have a value.
pub(super) fn resolve(
    runbook: &Runbook,
    given: &GivenInputs,
    used: &[String],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for name in given.values.keys() {
        if runbook.input(name).is_none() {
            let known = runbook.inputs.iter().map(|input| input.name.as_str());
            let problem = Problem::error(
                &runbook.file,
                0,
                0,
                format!("this runbook has no input {name:?}"),
            );
            problems.push(match bellwether_model::suggest(name, known) {
                Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
                None => problem,
            });
        }
    }
    for input in &runbook.inputs {
        let error = |message: String| {
            Problem::error(&runbook.file, input.place.line, input.place.column, message)
        };
        let value = direct(input, given)
            .or_else(|| from_answer(input, given))
            .or_else(|| input.default.clone());
        match value {
            Some(value) => match check(input, &value) {
                Ok(()) => {
                    values.insert(input.name.clone(), value);
                }
                Err(fault) => problems.push(error(format!("input {:?}: {fault}", input.name))),
            },
            None if used.contains(&input.name) => {
                problems.push(error(missing(input, given)).with_hint(source_hint(input)));
            }
            None => {}
        }
    }
    values
}

fn direct(input: &Input, given: &GivenInputs) -> Option<String> {
    let label = |name: &Option<String>, labels: &super::LabelSet| {
        name.as_deref()
            .map(|name| labels.0.get(name).to_owned())
            .filter(|value| !value.is_empty())
    };
    given
        .values
        .get(&input.name)
        .cloned()
        .or_else(|| label(&input.alert_label, &given.labels))
        .or_else(|| label(&input.annotation, &given.annotations))
}

fn from_answer(input: &Input, given: &GivenInputs) -> Option<String> {
    let samples = given.queried.get(&input.name)?;
    if input.kind == InputType::HostList {
        let hosts: Vec<&str> = samples
            .iter()
            .map(|(labels, _)| labels.get(&input.label))
            .filter(|host| !host.is_empty())
            .collect();
        return (!hosts.is_empty()).then(|| hosts.join(","));
    }
    let (labels, value) = samples.first()?;
    if input.label.is_empty() {
        return Some(value.to_string());
    }
    Some(labels.get(&input.label).to_owned()).filter(|value| !value.is_empty())
}

fn missing(input: &Input, given: &GivenInputs) -> String {
    match given.queried.get(&input.name) {
        Some(samples) if samples.is_empty() => {
            format!(
                "input {:?} has no value: its query found nothing",
                input.name
            )
        }
        Some(_) => format!(
            "input {:?} has no value: its query's answer has no label {:?}",
            input.name, input.label
        ),
        None => format!("input {:?} has no value", input.name),
    }
}

fn source_hint(input: &Input) -> String {
    let mut ways = vec!["give it by name".to_owned()];
    if let Some(label) = &input.alert_label {
        ways.push(format!("put label {label:?} on the alert"));
    }
    if let Some(annotation) = &input.annotation {
        ways.push(format!("put annotation {annotation:?} on the alert"));
    }
    ways.push("declare a default".to_owned());
    ways.join(", or ")
}

fn check(input: &Input, value: &str) -> Result<(), String> {
    let shown: String = value.chars().take(60).collect();
    let must = |ok: bool, what: &str| {
        if ok {
            Ok(())
        } else {
            Err(format!("{shown:?} is not {what}"))
        }
    };
    if value.len() > VALUE_MAX {
        return Err(format!(
            "value of {} bytes; {VALUE_MAX} at most",
            value.len()
        ));
    }
    if value.contains('\0') {
        return Err("a NUL character in the value".to_owned());
    }
    match &input.kind {
        InputType::String => Ok(()),
        InputType::Int => must(value.parse::<i64>().is_ok(), "a whole number"),
        InputType::Duration => must(parse_duration(value).is_ok(), "a duration such as 5m"),
        InputType::Enum(values) if values.is_empty() => Ok(()),
        InputType::Enum(values) => must(
            values.iter().any(|known| known == value),
            &format!("one of {}", values.join(", ")),
        ),
        InputType::Host => must(HOST.is_match(value), "a host name or address"),
        InputType::HostList => must(
            value.split(',').all(|host| HOST.is_match(host.trim())),
            "a list of hosts with commas between",
        ),
        InputType::Bool => must(matches!(value, "true" | "false"), "true or false"),
        // The value itself must not pass through here: it would end in the journal.
        InputType::Secret if value.starts_with("secret://") => Ok(()),
        InputType::Secret => {
            Err("a secret is given by reference, such as secret://env/NAME".to_owned())
        }
    }?;
    if let Some(pattern) = &input.pattern {
        let whole = Regex::new(&format!("^(?:{pattern})$"));
        must(
            whole.is_ok_and(|regex| regex.is_match(value)),
            &format!("of the form {pattern}"),
        )?;
    }
    Ok(())
}
