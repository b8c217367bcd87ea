//! The front matter: who owns a page, what it is for, what it needs to know, what it may do.

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::duration::parse_duration;
use bellwether_model::{Problem, Problems};
use bellwether_yaml::{MapReader, Node, parse};
use regex::Regex;

use super::shell::{is_reserved, variable_of};
use super::{ApprovalRule, Batch, INPUTS_MAX, Input, InputType, Limits, Place, WhenLocked};

/// What the front matter says. Everything is optional.
#[derive(Clone, Debug, Default)]
pub(super) struct Front {
    pub(super) id: Option<String>,
    pub(super) title: Option<String>,
    pub(super) owner: String,
    pub(super) alerts: Vec<String>,
    pub(super) inputs: Vec<Input>,
    pub(super) limits: Limits,
    pub(super) approve: Option<ApprovalRule>,
}

/// Splits a page into front matter and Markdown; the number is that of the lines before the Markdown.
pub(super) fn split_front(text: &str) -> (Option<&str>, &str, u32) {
    let Some(first) = text.split_inclusive('\n').next() else {
        return (None, text, 0);
    };
    if first.trim_end() != "---" {
        return (None, text, 0);
    }
    let (mut offset, mut lines) = (first.len(), 1);
    for line in text[first.len()..].split_inclusive('\n') {
        lines += 1;
        if matches!(line.trim_end(), "---" | "...") {
            let front = &text[first.len()..offset];
            return (Some(front), &text[offset + line.len()..], lines);
        }
        offset += line.len();
    }
    // A rule that nothing ends is a line across the page.
    (None, text, 0)
}

/// Reads front matter. Foreign front matter (without `runbook:`) may have other keys; ours may not.
pub(super) fn read_front(file: &Arc<str>, text: &str, problems: &mut Problems) -> Front {
    let mut front = Front::default();
    // The empty line stands for the opening `---`, so that places are those of the file.
    let mut found = Problems::default();
    let Some(node) = parse(file, &format!("\n{text}"), &mut found) else {
        problems.append(found);
        return front;
    };
    let ours = node.get("runbook").is_some();
    if !ours && node.as_map().is_none() {
        return front;
    }
    problems.append(found);
    let mut map = MapReader::new(&node, "front matter", problems);
    front.id = map.take("runbook").and_then(|id| read_id(&mut map, id));
    front.title = map.text("title");
    front.owner = map.text("owner").unwrap_or_default();
    if ours
        || node
            .get("alerts")
            .is_some_and(|alerts| alerts.as_list().is_some())
    {
        front.alerts = map.texts("alerts");
    }
    if ours {
        front.inputs = map
            .take("inputs")
            .map(|n| read_inputs(n, map.problems()))
            .unwrap_or_default();
        front.limits = map
            .take("limits")
            .map(|n| read_limits(n, map.problems()))
            .unwrap_or_default();
        front.approve = map
            .take("approve")
            .and_then(|n| read_approve(n, map.problems()));
        map.ignore(&["description", "tags"]);
        map.finish();
    }
    front
}

fn read_id(map: &mut MapReader<'_, '_>, node: &Node) -> Option<String> {
    let id = map.reader().text(node, "runbook")?;
    if super::parse::is_id(&id) {
        return Some(id);
    }
    map.problems().push(
        node.error(format!("runbook {id:?} is not a name"))
            .with_hint("letters, digits, `-`, `_` and `.`; 64 characters at most"),
    );
    None
}

fn read_inputs(node: &Node, problems: &mut Problems) -> Vec<Input> {
    let Some(entries) = node.as_map() else {
        problems.push(node.error(format!("inputs must be a map, not {}", node.kind())));
        return Vec::new();
    };
    if entries.len() > INPUTS_MAX {
        problems.push(node.error(format!("more than {INPUTS_MAX} inputs")));
    }
    entries
        .iter()
        .take(INPUTS_MAX)
        .filter_map(|(key, value)| read_input(key, value, problems))
        .collect()
}

fn read_input(key: &Node, node: &Node, problems: &mut Problems) -> Option<Input> {
    let name = key.as_text()?.to_owned();
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !begins
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    {
        problems.push(key.error(format!(
            "input {name:?}: a name has letters, digits, `_` and `-`"
        )));
        return None;
    }
    let variable = variable_of(&name);
    if is_reserved(&variable) {
        problems.push(
            key.error(format!(
                "input {name:?} would replace the environment variable {variable}"
            ))
            .with_hint("give it another name"),
        );
        return None;
    }
    let mut input = Input {
        label: name.clone(),
        name,
        about: String::new(),
        kind: InputType::String,
        alert_label: None,
        annotation: None,
        promql: None,
        default: None,
        pattern: None,
        place: Place {
            line: key.line,
            column: key.column,
        },
    };
    // `shard: string` is short for `shard: {type: string}`.
    if let Some(word) = node.as_text() {
        input.kind = read_type(word, Vec::new(), node, problems)?;
        return Some(input);
    }
    let mut map = MapReader::new(node, "input", problems);
    let values = map.texts("values");
    if let Some(kind) = map.take("type") {
        let word = map.reader().text(kind, "type")?;
        input.kind = read_type(&word, values, kind, map.problems())?;
    } else if !values.is_empty() {
        input.kind = InputType::Enum(values);
    }
    input.about = map
        .text("about")
        .or_else(|| map.text("description"))
        .unwrap_or_default();
    input.alert_label = map.text("alert_label");
    input.annotation = map.text("annotation");
    input.promql = map.text("promql");
    input.default = map.text("default");
    if let Some(label) = map.text("label") {
        input.label = label;
    }
    if let Some(from) = map.take("from") {
        read_from(from, &mut input, map.problems());
    }
    if let Some(pattern) = map.take("pattern") {
        let text = map.reader().text(pattern, "pattern")?;
        match Regex::new(&text) {
            Ok(_) => input.pattern = Some(text),
            Err(error) => map
                .problems()
                .push(pattern.error(format!("pattern: {error}"))),
        }
    }
    map.finish();
    Some(input)
}

const TYPES: [&str; 8] = [
    "string",
    "int",
    "duration",
    "enum",
    "host",
    "host_list",
    "bool",
    "secret",
];

fn read_type(
    word: &str,
    values: Vec<String>,
    node: &Node,
    problems: &mut Problems,
) -> Option<InputType> {
    Some(match word {
        "string" => InputType::String,
        "int" => InputType::Int,
        "duration" => InputType::Duration,
        "enum" => InputType::Enum(values),
        "host" => InputType::Host,
        "host_list" => InputType::HostList,
        "bool" => InputType::Bool,
        "secret" => InputType::Secret,
        other => {
            let problem = node.error(format!("unknown input type {other:?}"));
            problems.push(match bellwether_model::suggest(other, TYPES) {
                Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
                None => problem.with_hint(format!("one of {}", TYPES.join(", "))),
            });
            return None;
        }
    })
}

/// `promql: …`, `alert_label: …` (also `alert.label: …`), `annotation: …`.
fn read_from(node: &Node, input: &mut Input, problems: &mut Problems) {
    let entry = node.as_map().and_then(<[_]>::first);
    let pair = entry
        .and_then(|(key, value)| Some((key.as_text()?, value.as_text()?)))
        .or_else(|| node.as_text()?.split_once(':'));
    let Some((source, rest)) = pair.map(|(source, rest)| (source.trim(), rest.trim())) else {
        problems.push(
            node.error("from must name a source")
                .with_hint("`promql: …`, `alert_label: …` or `annotation: …`"),
        );
        return;
    };
    let rest = Some(rest.to_owned());
    match source {
        "promql" => input.promql = rest,
        "alert_label" | "alert.label" => input.alert_label = rest,
        "annotation" => input.annotation = rest,
        other => problems.push(
            node.error(format!("unknown source {other:?} of an input"))
                .with_hint("`promql: …`, `alert_label: …` or `annotation: …`"),
        ),
    }
}

fn read_limits(node: &Node, problems: &mut Problems) -> Limits {
    let mut map = MapReader::new(node, "limits", problems);
    let mut limits = Limits {
        lock: map.text("lock"),
        cooldown: map.duration("cooldown"),
        deadline: map.duration("deadline"),
        ..Limits::default()
    };
    if let Some(number) = map.integer("max_targets") {
        limits.max_targets = u32::try_from(number).ok();
    }
    limits.pause_between = map.duration("pause_between");
    limits.fleet = map.text("fleet");
    if let Some(node) = map.take("batch") {
        let text = node.as_text().unwrap_or_default();
        limits.batch = match (percent(text), text.parse::<u32>()) {
            (Some(share), _) => Some(Batch::Percent(share)),
            (None, Ok(count @ 1..)) => Some(Batch::Targets(count)),
            _ => {
                let problem = node.error(format!("batch: {text:?} is not a number of targets"));
                map.problems().push(problem.with_hint("write 2 or 10%"));
                None
            }
        };
    }
    for key in ["max_unhealthy", "max_percent"] {
        let Some(node) = map.take(key) else { continue };
        let text = node.as_text().unwrap_or_default();
        match percent(text) {
            Some(share) if key == "max_unhealthy" => limits.max_unhealthy = share / 100.0,
            Some(share) => limits.max_percent = Some(share / 100.0),
            None => {
                let problem = node.error(format!("{key}: {text:?} is not a share such as 30%"));
                map.problems().push(problem);
            }
        }
    }
    if let Some(node) = map.take("when_locked") {
        match node.as_text() {
            Some("queue") => limits.when_locked = WhenLocked::Queue,
            Some("reject") => limits.when_locked = WhenLocked::Reject,
            Some("replace") => limits.when_locked = WhenLocked::Replace,
            _ => {
                let problem = node.error("when_locked must be queue, reject or replace");
                map.problems().push(problem);
            }
        }
    }
    if limits.max_percent.is_some() && limits.fleet.is_none() {
        let problem = node.error("max_percent needs fleet: a query with one sample per member");
        map.problems().push(problem);
    }
    if let Some(runs) = map.take("runs") {
        let text = runs.as_text().unwrap_or_default();
        limits.runs = text.split_once('/').and_then(|(n, window)| {
            Some((n.trim().parse().ok()?, parse_duration(window.trim()).ok()?))
        });
        if limits.runs.is_none() {
            map.problems().push(
                runs.error(format!("runs: {text:?} is not a number of runs in a time"))
                    .with_hint("write it as 3/1h"),
            );
        }
    }
    map.finish();
    limits
}

/// `30%` as 30.
fn percent(text: &str) -> Option<f64> {
    let share: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&share).then_some(share)
}

fn read_approve(node: &Node, problems: &mut Problems) -> Option<ApprovalRule> {
    let mut rule = ApprovalRule {
        by: String::new(),
        ttl: Duration::from_mins(10),
        other_person: true,
    };
    if let Some(word) = node.as_text() {
        match word {
            "true" | "yes" => {}
            "false" | "no" => return None,
            by => by.clone_into(&mut rule.by),
        }
        return Some(rule);
    }
    let mut map = MapReader::new(node, "approve", problems);
    rule.by = map.text("by").unwrap_or_default();
    if let Some(ttl) = map.duration("ttl") {
        rule.ttl = ttl;
    }
    if let Some(other) = map.boolean("other_person") {
        rule.other_person = other;
    }
    map.finish();
    Some(rule)
}

/// An error at a place of the page.
pub(super) fn error_at(file: &Arc<str>, place: Place, message: impl Into<String>) -> Problem {
    Problem::error(file, place.line, place.column, message)
}
