//! Objectives that were written for other tools: OpenSLO v1, Sloth (`prometheus/v1` and its Kubernetes form), Pyrra.
//!
//! Each becomes an entry of `slos:`, as text, and is then read like one that a person wrote: one spec, one reader. What
//! the other format says and ours does not is reported, at its place in the file.
//!
//! Queries of a rate become counts: `rate(x[w])` over a window is `increase(x[w])` divided by a constant, and counts are
//! what windows can be added up from. Where a format knows only a ratio, minutes are counted.

mod openslo;
mod pyrra;
mod query;
mod sloth;

use std::fmt::Write as _;
use std::sync::Arc;

use bellwether_model::{Problem, Problems};
use bellwether_yaml::{Node, parse, parse_all};

use crate::slo::Slo;

/// Objectives of a file, and the same as an entry each of `slos:`.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    pub slos: Vec<Slo>,
    /// A `slos:` section; empty when there is nothing in it.
    pub text: String,
    /// Whose format the file has: `bellwether`, `openslo`, `sloth` or `pyrra`.
    pub format: &'static str,
}

/// An entry of `slos:` in the making.
#[derive(Clone, Debug, Default)]
struct Entry {
    name: String,
    service: String,
    description: String,
    /// Percent.
    objective: f64,
    window: String,
    /// `good` or `errors`, and its text.
    part: (&'static str, String),
    total: String,
    labels: Vec<(String, String)>,
    owner: String,
    runbook: String,
    alerting: bool,
    alert_name: String,
    /// Whether there is a page, and a ticket.
    severities: (bool, bool),
    page_labels: Vec<(String, String)>,
    ticket_labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
}

/// What all importers share.
struct Importing<'p> {
    problems: &'p mut Problems,
    entries: Vec<(Entry, Arc<str>, u32, u32)>,
}

/// Reads objectives of any known format.
pub fn import(file: &str, text: &str, problems: &mut Problems) -> Imported {
    let Some(documents) = parse_all(file, text, problems) else {
        return Imported::default();
    };
    let documents: Vec<Node> = documents.into_iter().filter(|d| !d.is_null()).collect();
    let version = |node: &Node, key: &str| {
        let text = node.get(key).and_then(Node::as_text).unwrap_or_default();
        text.to_owned()
    };
    let mut importing = Importing {
        problems,
        entries: Vec::new(),
    };
    let mut format = "";
    let openslo: Vec<&Node> = documents
        .iter()
        .filter(|d| version(d, "apiVersion").starts_with("openslo/"))
        .collect();
    if !openslo.is_empty() {
        format = "openslo";
        openslo::read(&openslo, &mut importing);
    }
    for document in &documents {
        let api = version(document, "apiVersion");
        if api.starts_with("openslo/") {
            continue;
        }
        if version(document, "version") == "prometheus/v1" || api.starts_with("sloth.") {
            format = "sloth";
            sloth::read(document, &mut importing);
        } else if api.starts_with("pyrra.") {
            format = "pyrra";
            pyrra::read(document, &mut importing);
        } else if let Some(node) = document.get("slos") {
            let slos = crate::slo::read(node, importing.problems);
            return Imported {
                slos,
                text: String::new(),
                format: "bellwether",
            };
        } else {
            importing.problems.push(
                document
                    .error("this is not a file of objectives that is known")
                    .with_hint(
                        "known are `slos:`, OpenSLO (apiVersion: openslo/v1), Sloth (version: prometheus/v1) and Pyrra (apiVersion: pyrra.dev/v1alpha1)",
                    ),
            );
        }
    }
    let Importing { problems, entries } = importing;
    let mut imported = Imported {
        format,
        ..Imported::default()
    };
    for (entry, file, line, column) in entries {
        let text = entry.to_yaml();
        let mut own = Problems::default();
        let slos = parse(&file, &format!("slos:\n{text}"), &mut own)
            .and_then(|root| {
                root.get("slos")
                    .map(|node| crate::slo::read(node, &mut own))
            })
            .unwrap_or_default();
        // Positions in the text that was made mean nothing to whoever wrote the file.
        problems.0.extend(own.0.into_iter().map(|problem| Problem {
            line,
            column,
            ..problem
        }));
        if slos.is_empty() {
            continue;
        }
        imported.text.push_str(&text);
        imported
            .slos
            .extend(slos.into_iter().map(|slo| Slo { line, ..slo }));
    }
    if !imported.text.is_empty() {
        imported.text.insert_str(0, "slos:\n");
    }
    imported
}

// === impl Importing ===

impl Importing<'_> {
    fn add(&mut self, entry: Entry, node: &Node) {
        self.entries
            .push((entry, node.file.clone(), node.line, node.column));
    }

    fn error(&mut self, node: &Node, message: impl Into<String>, hint: &str) {
        let problem = node.error(message);
        self.problems.push(if hint.is_empty() {
            problem
        } else {
            problem.with_hint(hint)
        });
    }

    fn warning(&mut self, node: &Node, message: impl Into<String>) {
        self.problems.push(node.warning(message));
    }

    /// A query turned into a count; a fault is reported.
    fn counted(&mut self, node: &Node, is_counter: bool) -> Option<String> {
        let text = node.as_text().unwrap_or_default();
        match query::counted(text, is_counter) {
            Ok(text) => Some(text),
            Err(message) => {
                self.error(node, message, "the query must be PromQL");
                None
            }
        }
    }
}

/// Text at a path of keys.
fn text_at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    at(node, path)?.as_text().filter(|text| !text.is_empty())
}

/// The node at a path of keys.
fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter()
        .try_fold(node, |node, key| node.get(key))
        .filter(|n| !n.is_null())
}

/// A map of texts; a list as a value (OpenSLO) gives its first.
fn pairs(node: Option<&Node>) -> Vec<(String, String)> {
    node.and_then(Node::as_map)
        .unwrap_or_default()
        .iter()
        .filter_map(|(key, value)| {
            let value = match value.as_list() {
                Some(list) => list.first()?.as_text()?,
                None => value.as_text()?,
            };
            Some((key.as_text()?.to_owned(), value.to_owned()))
        })
        .collect()
}

/// A label name of letters, digits and `_`.
fn label_name(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// Takes the value of a key out of pairs.
fn take(pairs: &mut Vec<(String, String)>, keys: &[&str]) -> String {
    for key in keys {
        if let Some(index) = pairs.iter().position(|(name, _)| name == key) {
            return pairs.remove(index).1;
        }
    }
    String::new()
}

// === impl Entry ===

impl Entry {
    /// The entry as YAML, indented as an item of a list.
    fn to_yaml(&self) -> String {
        let mut out = String::new();
        let mut first = true;
        let mut put = |key: &str, value: &str| {
            let lead = if std::mem::take(&mut first) {
                "  - "
            } else {
                "    "
            };
            let _ = writeln!(out, "{lead}{key}: {value}");
        };
        put("name", &scalar(&self.name));
        for (key, value) in [
            ("service", &self.service),
            ("description", &self.description),
        ] {
            if !value.is_empty() {
                put(key, &scalar(value));
            }
        }
        let objective = format!("{:.9}", self.objective);
        put(
            "objective",
            objective.trim_end_matches('0').trim_end_matches('.'),
        );
        put("window", &scalar(&self.window));
        put(self.part.0, &scalar(&self.part.1));
        put("total", &scalar(&self.total));
        for (key, value) in [
            ("owner", &self.owner),
            ("runbook", &self.runbook),
            ("alert_name", &self.alert_name),
        ] {
            if !value.is_empty() {
                put(key, &scalar(value));
            }
        }
        if !self.alerting {
            put("alerting", "false");
        }
        for (key, pairs) in [
            ("labels", &self.labels),
            ("page_labels", &self.page_labels),
            ("ticket_labels", &self.ticket_labels),
            ("annotations", &self.annotations),
        ] {
            if !pairs.is_empty() {
                let inner: Vec<String> = pairs
                    .iter()
                    .map(|(name, value)| format!("{}: {}", scalar(name), scalar(value)))
                    .collect();
                put(key, &format!("{{{}}}", inner.join(", ")));
            }
        }
        let page = "page: [{burn: 14.4, long: 1h, short: 5m}, {burn: 6, long: 6h, short: 30m}]";
        let ticket = "ticket: [{burn: 3, long: 1d, short: 2h}, {burn: 1, long: 3d, short: 6h}]";
        match self.severities {
            (true, true) => {}
            (true, false) => put("windows", &format!("{{{page}, ticket: []}}")),
            (false, true) => put("windows", &format!("{{page: [], {ticket}}}")),
            (false, false) => put("windows", "{page: [], ticket: []}"),
        }
        out
    }
}

/// A text as YAML: plain where that is safe, else as JSON.
fn scalar(text: &str) -> String {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
    if plain {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests;
