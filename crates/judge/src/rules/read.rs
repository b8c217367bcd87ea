//! The reader behind [`RuleFile`].

mod extensions;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::labels::{ALERT_NAME, METRIC_NAME};
use bellwether_model::{Problem, Problems};
use bellwether_promql::{Expr, ValueType};
use bellwether_yaml::{MapReader, Node, Reader, Value, parse};

use crate::rules::{GroupConfig, RuleConfig, RuleFile, RuleKind};
use crate::text::TemplateText;

/// Rules that one group may have.
const RULES_MAX: usize = 10_000;

pub(super) fn read(
    options: &RuleFile,
    file: &str,
    text: &str,
    problems: &mut Problems,
) -> Vec<GroupConfig> {
    let Some(root) = parse(file, text, problems) else {
        return Vec::new();
    };
    let mut map = MapReader::new(&root, "rule file", problems);
    let nodes = map.list("groups");
    map.finish();
    let mut reading = Reading {
        options,
        lines: text.lines().collect(),
        problems,
    };
    reading.forgive();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut groups = Vec::new();
    for node in nodes {
        let Some(group) = reading.group(node) else {
            continue;
        };
        if let Some(line) = seen.get(&group.name) {
            reading.problems.push(
                node.error(format!(
                    "group {:?} is repeated in the same file (first on line {line})",
                    group.name
                ))
                .with_hint("give it another name, or put its rules into the first one"),
            );
            continue;
        }
        seen.insert(group.name.clone(), group.line);
        groups.push(group);
    }
    groups
}

struct Reading<'a, 'p> {
    options: &'a RuleFile,
    lines: Vec<&'a str>,
    problems: &'p mut Problems,
}

// === impl Reading ===

impl Reading<'_, '_> {
    /// Makes warnings of unknown keys, if that is wanted.
    fn forgive(&mut self) {
        if !self.options.ignore_unknown_keys {
            return;
        }
        for problem in &mut self.problems.0 {
            if problem.message.starts_with("unknown key") {
                problem.severity = bellwether_model::Severity::Warning;
            }
        }
    }

    fn group(&mut self, node: &Node) -> Option<GroupConfig> {
        let mut map = MapReader::new(node, "rule group", self.problems);
        let name = map.required_text("name");
        let interval = map.duration("interval");
        let query_offset = map.duration("query_offset");
        let limit = map.integer("limit");
        let labels_node = map.take("labels");
        let rules_node = map.take("rules");
        map.finish();
        self.forgive();
        if interval == Some(Duration::ZERO) {
            self.problems.push(
                node.error("interval of this rule group is 0")
                    .with_hint("leave it out to use the global evaluation_interval"),
            );
        }
        if limit.is_some_and(|limit| limit < 0) {
            self.problems
                .push(node.error("limit of this rule group is negative"));
        }
        let group_labels = labels_node
            .map(|node| self.labels(node, "group"))
            .unwrap_or_default();
        let mut rules = Vec::new();
        let nodes = match rules_node {
            Some(node) => Reader::new(self.problems).list(node, "rules"),
            None => &[],
        };
        if nodes.len() > RULES_MAX {
            self.problems
                .push(node.error(format!("more than {RULES_MAX} rules in one group")));
        }
        for rule in nodes.iter().take(RULES_MAX) {
            rules.extend(self.rule(rule, &group_labels));
        }
        Some(GroupConfig {
            file: node.file.clone(),
            name: name?,
            interval: interval.filter(|interval| !interval.is_zero()),
            query_offset,
            limit: usize::try_from(limit.unwrap_or(0)).unwrap_or(0),
            rules,
            line: node.line,
        })
    }

    fn rule(&mut self, node: &Node, group_labels: &[(String, TemplateText)]) -> Option<RuleConfig> {
        let errors_before = error_count(self.problems);
        let mut map = MapReader::new(node, "rule", self.problems);
        let record = map.take_or_null("record");
        let alert = map.take_or_null("alert");
        let expr_node = map.take_or_null("expr");
        let hold_node = map.take("for");
        let hold = map.duration("for");
        let keep_node = map.take("keep_firing_for");
        let keep_firing_for = map.duration("keep_firing_for");
        let labels_node = map.take("labels");
        let annotations_node = map.take("annotations");
        let owner = map.text("owner").unwrap_or_default();
        let runbook = map.text("runbook").unwrap_or_default();
        let resolve_node = map.take("resolve_expr");
        let absent_node = map.take("absent_by");
        map.finish();
        self.forgive();

        let (kind, name) = self.kind_and_name(node, record, alert)?;
        let expr = expr_node.filter(|node| node.as_text().is_some_and(|t| !t.trim().is_empty()));
        let Some(expr_node) = expr else {
            let at = expr_node.unwrap_or(node);
            self.problems
                .push(at.error(format!("{} has no expr", described(kind, &name))));
            return None;
        };
        let (mut expr, expr_text) = self.expr(expr_node)?;
        if let Some(node) = absent_node {
            expr = self.absent_by(node, expr)?;
        }
        let resolve = match resolve_node {
            Some(node) => Some(self.resolve(node)?),
            None => None,
        };
        if kind == RuleKind::Recording {
            self.only_for_alerts("resolve_expr", resolve_node);
            self.only_for_alerts("absent_by", absent_node);
            self.only_for_alerts("for", hold_node);
            self.only_for_alerts("keep_firing_for", keep_node);
            self.only_for_alerts("annotations", annotations_node);
        }
        let mut labels = group_labels.to_vec();
        if let Some(node) = labels_node {
            let own = match kind {
                RuleKind::Alerting => self.labels(node, &name),
                RuleKind::Recording => self.plain_labels(node),
            };
            for (name, text) in own {
                labels.retain(|(known, _)| *known != name);
                labels.push((name, text));
            }
        }
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        if kind == RuleKind::Recording {
            // Prometheus expands templates in alerts only.
            for (_, text) in &mut labels {
                *text = TemplateText::plain(text.as_str());
            }
        }
        if kind == RuleKind::Alerting
            && let Some((_, text)) = labels.iter().find(|(name, _)| name == ALERT_NAME)
            && text.as_str() != name
        {
            self.problems.push(
                labels_node
                    .unwrap_or(node)
                    .warning("label alertname has no effect: it is always the name of the alert"),
            );
        }
        if kind == RuleKind::Alerting && !hold.unwrap_or_default().is_zero() {
            self.warn_of_changing_labels(node, &labels);
        }
        let mut annotations = annotations_node
            .map(|node| self.templates(node, "annotation", &name))
            .unwrap_or_default();
        for (key, text) in [("owner", &owner), ("runbook", &runbook)] {
            if !text.is_empty() && !annotations.iter().any(|(known, _)| known == key) {
                annotations.extend(
                    TemplateText::parse(key, text)
                        .ok()
                        .map(|text| (key.to_owned(), text)),
                );
            }
        }
        annotations.sort_by(|a, b| a.0.cmp(&b.0));
        if error_count(self.problems) > errors_before {
            return None;
        }
        Some(RuleConfig {
            kind,
            name,
            expr,
            expr_text,
            hold: hold.unwrap_or_default(),
            keep_firing_for: keep_firing_for.unwrap_or_default(),
            labels,
            annotations,
            resolve,
            owner,
            runbook,
            line: node.line,
            column: node.column,
        })
    }

    /// A label with the value in it makes another alert each time the value changes.
    fn warn_of_changing_labels(&mut self, node: &Node, labels: &[(String, TemplateText)]) {
        for (name, text) in labels {
            let text = text.as_str();
            if text.contains("{{") && (text.contains("$value") || text.contains(".Value")) {
                self.problems.push(
                    node.warning(format!("label {name} contains the value: `for` may never pass"))
                        .with_hint(
                            "each new value is another alert, pending from the start; put the value into an annotation",
                        ),
                );
            }
        }
    }

    fn kind_and_name(
        &mut self,
        node: &Node,
        record: Option<&Node>,
        alert: Option<&Node>,
    ) -> Option<(RuleKind, String)> {
        let (kind, name_node) = match (record, alert) {
            (Some(_), Some(alert)) => {
                self.problems.push(
                    alert
                        .error("a rule has either record or alert, this one has both")
                        .with_hint("make two rules of it"),
                );
                return None;
            }
            (Some(node), None) => (RuleKind::Recording, node),
            (None, Some(node)) => (RuleKind::Alerting, node),
            (None, None) => {
                self.problems.push(
                    node.error("this rule has neither record nor alert")
                        .with_hint("`alert: Name` makes it an alert, `record: name` a series"),
                );
                return None;
            }
        };
        let name = Reader::new(self.problems).text(name_node, "name")?;
        if name.is_empty() {
            self.problems
                .push(name_node.error("the name of this rule is empty"));
            return None;
        }
        if kind == RuleKind::Recording && name.contains(['{', '}']) {
            self.problems.push(
                name_node
                    .error(format!("braces in the name of a recorded series: {name:?}"))
                    .with_hint("set labels with `labels:`; selectors belong into expr"),
            );
            return None;
        }
        Some((kind, name))
    }

    fn only_for_alerts(&mut self, key: &str, node: Option<&Node>) {
        if let Some(node) = node {
            self.problems
                .push(node.error(format!("{key} has no meaning in a recording rule")));
        }
    }

    fn expr(&mut self, node: &Node) -> Option<(Expr, String)> {
        let text = node.as_text()?;
        match bellwether_promql::parse(text, &self.options.parser) {
            Ok(expr) => match expr.value_type() {
                ValueType::Vector | ValueType::Scalar => Some((expr, text.trim().to_owned())),
                other => {
                    self.problems.push(
                        node.error(format!(
                            "a rule needs an instant vector or a scalar, this expression gives {}",
                            other.documented()
                        ))
                        .with_hint("a range like `[5m]` belongs into a function such as rate()"),
                    );
                    None
                }
            },
            Err(error) => {
                let column = characters_before(text, error.line, error.column);
                let (line, column) = self.locate(node, error.line as u32, column);
                let problem =
                    Problem::error(&node.file, line, column, format!("expr: {}", error.message));
                self.problems.push(with_expr_hint(problem, text));
                None
            }
        }
    }

    /// Labels of a recording rule: no templates.
    fn plain_labels(&mut self, node: &Node) -> Vec<(String, TemplateText)> {
        self.no_metric_name(node);
        Reader::new(self.problems)
            .text_map(node, "labels")
            .into_iter()
            .map(|(name, text)| (name, TemplateText::plain(&text)))
            .collect()
    }

    fn no_metric_name(&mut self, node: &Node) {
        for (key, _) in node.as_map().unwrap_or_default() {
            if key.as_text() == Some(METRIC_NAME) {
                self.problems.push(
                    key.error("label __name__ cannot be set by a rule")
                        .with_hint("the name of a recorded series is `record`"),
                );
            }
        }
    }

    /// Labels of a rule or group: names are checked, values may be templates.
    fn labels(&mut self, node: &Node, owner: &str) -> Vec<(String, TemplateText)> {
        self.no_metric_name(node);
        self.templates(node, "label", owner)
    }

    fn templates(&mut self, node: &Node, what: &str, owner: &str) -> Vec<(String, TemplateText)> {
        let entries: &[(Node, Node)] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => return Vec::new(),
            _ => {
                self.problems
                    .push(node.error(format!("{what}s must be a map, not {}", node.kind())));
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (key, value) in entries {
            let Some(name) = key.as_text() else { continue };
            if name.is_empty() {
                self.problems
                    .push(key.error(format!("the name of a {what} is empty")));
                continue;
            }
            let Some(text) = Reader::new(self.problems).text(value, name) else {
                continue;
            };
            match TemplateText::parse(&format!("{what} {name} of {owner}"), &text) {
                Ok(text) => found.push((name.to_owned(), text)),
                Err(error) => {
                    let (line, column) = self.locate(value, error.line, error.column);
                    self.problems.push(with_template_hint(Problem::error(
                        &value.file,
                        line,
                        column,
                        format!("{what} {name}: {}", error.message),
                    )));
                }
            }
        }
        found
    }

    /// Where line and column (from 1) of a scalar's text stand in the file, as well as YAML lets us know.
    fn locate(&self, node: &Node, line: u32, column: u32) -> (u32, u32) {
        let source = |line: u32| self.lines.get(line as usize - 1).copied().unwrap_or("");
        let start: String = source(node.line)
            .chars()
            .skip(node.column as usize - 1)
            .collect();
        if start.starts_with(['|', '>']) {
            return self.locate_in_block(node.line, line, column);
        }
        let is_block = source(node.line.saturating_sub(1).max(1))
            .trim_end()
            .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+'))
            .ends_with(['|', '>']);
        if is_block {
            return self.locate_in_block(node.line - 1, line, column);
        }
        if line == 1 {
            let quote = u32::from(start.starts_with(['"', '\'']));
            return (node.line, node.column + quote + column - 1);
        }
        (node.line, node.column)
    }

    /// The same for a `|` or `>` block whose indicator stands on line `header`.
    fn locate_in_block(&self, header: u32, line: u32, column: u32) -> (u32, u32) {
        let body = self.lines.iter().skip(header as usize);
        let indent = body
            .clone()
            .find(|text| !text.trim().is_empty())
            .map_or(0, |text| text.len() - text.trim_start_matches(' ').len());
        (header + line, indent as u32 + column)
    }
}

fn error_count(problems: &Problems) -> usize {
    problems
        .0
        .iter()
        .filter(|problem| problem.severity == bellwether_model::Severity::Error)
        .count()
}

fn described(kind: RuleKind, name: &str) -> String {
    match kind {
        RuleKind::Recording => format!("recording rule {name:?}"),
        RuleKind::Alerting => format!("alert {name:?}"),
    }
}

/// A byte column turned into one of characters.
fn characters_before(text: &str, line: usize, column: usize) -> u32 {
    let line = text.split('\n').nth(line.saturating_sub(1)).unwrap_or("");
    let end = (0..=column.saturating_sub(1).min(line.len()))
        .rev()
        .find(|at| line.is_char_boundary(*at))
        .unwrap_or(0);
    line[..end].chars().count() as u32 + 1
}

fn with_expr_hint(problem: Problem, text: &str) -> Problem {
    if text.contains("{{") {
        problem.with_hint("templates work in labels and annotations, not in expr")
    } else if text.matches('(').count() != text.matches(')').count() {
        problem.with_hint("count the parentheses")
    } else if problem.message.contains("unknown function") {
        problem.with_hint("the name is misspelt, or experimental and not switched on")
    } else {
        problem
    }
}

fn with_template_hint(problem: Problem) -> Problem {
    if problem.message.contains("undefined variable") {
        problem.with_hint("rules have $labels, $value, $externalLabels and $externalURL")
    } else if problem.message.contains("not defined") {
        problem.with_hint("Prometheus' functions are known here, Alertmanager's are not")
    } else {
        problem
    }
}
