//! Relabelling, exactly as Prometheus does it.
//!
//! Source: Prometheus documentation, "Configuration", `relabel_config`. Invariant: [`apply`] is a pure function of its
//! rules and labels.

use bellwether_model::labels::{is_classic_label_name, is_classic_metric_name};
use bellwether_model::matcher::anchored;
use bellwether_model::{Labels, LabelsBuilder, Problems};
use bellwether_yaml::{MapReader, Node};
use md5::{Digest as _, Md5};
use regex::Regex;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

/// One rule, validated.
#[derive(Clone, Debug)]
pub struct Relabel {
    pub action: Action,
    pub source_labels: Vec<String>,
    pub separator: String,
    pub target_label: String,
    /// Anchored at both ends.
    pub regex: Regex,
    pub replacement: String,
    pub modulus: u64,
    /// Whether names outside the classic form may be made.
    pub utf8_names: bool,
}

// === impl Relabel ===

impl PartialEq for Relabel {
    fn eq(&self, other: &Self) -> bool {
        let key = |r: &Self| {
            (
                r.action,
                r.modulus,
                r.utf8_names,
                r.regex.as_str().to_owned(),
            )
        };
        key(self) == key(other)
            && self.source_labels == other.source_labels
            && self.separator == other.separator
            && self.target_label == other.target_label
            && self.replacement == other.replacement
    }
}

impl Relabel {
    /// A rule of an action with Prometheus' defaults: `regex: (.*)`, `separator: ;`, `replacement: $1`.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            target_label: String::new(),
            regex: anchored("(.*)").expect("the default pattern compiles"),
            replacement: "$1".to_owned(),
            modulus: 0,
            utf8_names: true,
        }
    }

    /// Reads a list of rules; rules that cannot be used are left out, each with its problem.
    pub fn read_list(node: &Node, legacy_names: bool, problems: &mut Problems) -> Vec<Self> {
        let Some(items) = node.as_list() else {
            if !node.is_null() {
                problems.push(node.error(format!(
                    "relabel configs must be a list, not {}",
                    node.kind()
                )));
            }
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| Self::read(item, legacy_names, problems))
            .collect()
    }

    /// Reads one rule.
    pub fn read(node: &Node, legacy_names: bool, problems: &mut Problems) -> Option<Self> {
        if node.is_null() {
            problems.push(node.error("empty or null relabeling rule"));
            return None;
        }
        let errors_before = problems.0.len();
        let mut map = MapReader::new(node, "relabel config", problems);
        let action_node = map.take("action");
        let action_text = map.text("action").unwrap_or_else(|| "replace".to_owned());
        let source_labels = map.texts("source_labels");
        let separator = map
            .take_or_null("separator")
            .map(|node| node.as_text().unwrap_or_default().to_owned());
        let target_label = map.text("target_label").unwrap_or_default();
        let regex_node = map.take_or_null("regex");
        let replacement_given = map
            .take_or_null("replacement")
            .map(|node| node.as_text().unwrap_or_default().to_owned());
        let modulus_node = map.take("modulus");
        let modulus = map.integer("modulus").unwrap_or(0);
        map.finish();

        let Some(action) = ACTIONS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&action_text))
            .map(|(_, action)| *action)
        else {
            let problem = action_node
                .unwrap_or(node)
                .error(format!("unknown relabel action {action_text:?}"));
            problems.push(
                match bellwether_model::suggest(&action_text, ACTIONS.iter().map(|(name, _)| *name))
                {
                    Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
                    None => problem,
                },
            );
            return None;
        };
        let mut rule = Self::new(action);
        let default = rule.clone();
        if let Some(regex_node) = regex_node {
            match anchored(regex_node.as_text().unwrap_or_default()) {
                Ok(regex) => rule.regex = regex,
                Err(error) => problems.push(regex_node.error(error.to_string())),
            }
        }
        rule.source_labels = source_labels;
        rule.utf8_names = !legacy_names;
        rule.target_label = target_label;
        rule.modulus = u64::try_from(modulus).unwrap_or_else(|_| {
            problems.push(
                modulus_node
                    .unwrap_or(node)
                    .error("modulus must not be negative"),
            );
            0
        });
        if let Some(separator) = separator {
            rule.separator = separator;
        }
        if let Some(replacement) = replacement_given {
            rule.replacement = replacement;
        }
        if let Some(reason) = rule.fault(&default) {
            problems.push(node.error(reason));
        }
        let failed = problems.0[errors_before..]
            .iter()
            .any(|problem| problem.severity == bellwether_model::Severity::Error);
        (!failed).then_some(rule)
    }

    /// What makes the combination of fields invalid, as Prometheus checks it.
    fn fault(&self, default: &Self) -> Option<String> {
        let name = ACTIONS
            .iter()
            .find(|(_, action)| *action == self.action)
            .map_or("", |(name, _)| *name);
        let valid_target = |text: &str| {
            if self.utf8_names {
                !text.is_empty()
            } else {
                is_legacy_target(text)
            }
        };
        let needs_target = matches!(
            self.action,
            Action::Replace
                | Action::HashMod
                | Action::Lowercase
                | Action::Uppercase
                | Action::KeepEqual
                | Action::DropEqual
        );
        if self.action == Action::HashMod && self.modulus == 0 {
            return Some("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        if needs_target && self.target_label.is_empty() {
            return Some(format!(
                "relabel configuration for {name} action requires 'target_label' value"
            ));
        }
        match self.action {
            Action::Replace
                if !self.target_label.contains('$') && !valid_target(&self.target_label) =>
            {
                return Some(format!(
                    "{:?} is invalid 'target_label' for {name} action",
                    self.target_label
                ));
            }
            Action::Replace
                if self.target_label.contains('$')
                    && !self.utf8_names
                    && !is_legacy_target(&self.target_label) =>
            {
                return Some(format!(
                    "{:?} is invalid 'target_label' for {name} action",
                    self.target_label
                ));
            }
            Action::HashMod
            | Action::Lowercase
            | Action::Uppercase
            | Action::KeepEqual
            | Action::DropEqual
                if !self.utf8_names && !is_classic_label_name(&self.target_label) =>
            {
                return Some(format!(
                    "{:?} is invalid 'target_label' for {name} action",
                    self.target_label
                ));
            }
            Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
                if self.replacement != default.replacement =>
            {
                return Some(format!("'replacement' can not be set for {name} action"));
            }
            Action::LabelMap if !valid_target(&self.replacement) => {
                return Some(format!(
                    "{:?} is invalid 'replacement' for {name} action",
                    self.replacement
                ));
            }
            _ => {}
        }
        if matches!(self.action, Action::DropEqual | Action::KeepEqual)
            && (self.regex.as_str() != default.regex.as_str()
                || self.modulus != 0
                || self.separator != default.separator)
        {
            return Some(format!(
                "{name} action requires only 'source_labels' and `target_label`, and no other fields"
            ));
        }
        if matches!(self.action, Action::LabelDrop | Action::LabelKeep)
            && (!self.source_labels.is_empty()
                || !self.target_label.is_empty()
                || self.modulus != 0
                || self.separator != default.separator
                || self.replacement != default.replacement)
        {
            return Some(format!(
                "{name} action requires only 'regex', and no other fields"
            ));
        }
        None
    }

    /// Applies this rule to `labels`; false: the target or series is dropped.
    fn apply_to(
        &self,
        labels: &mut LabelsBuilder,
        names: &mut dyn FnMut(&LabelsBuilder) -> Vec<(String, String)>,
    ) -> bool {
        let joined = || {
            let mut text = String::new();
            for (index, name) in self.source_labels.iter().enumerate() {
                if index > 0 {
                    text.push_str(&self.separator);
                }
                text.push_str(labels.get(name));
            }
            text
        };
        match self.action {
            Action::Drop => return !self.regex.is_match(&joined()),
            Action::Keep => return self.regex.is_match(&joined()),
            Action::DropEqual => return labels.get(&self.target_label) != joined(),
            Action::KeepEqual => return labels.get(&self.target_label) == joined(),
            Action::Replace => self.replace(&joined(), labels),
            Action::Lowercase => {
                let value = joined().to_lowercase();
                labels.set(&self.target_label, &value);
            }
            Action::Uppercase => {
                let value = joined().to_uppercase();
                labels.set(&self.target_label, &value);
            }
            Action::HashMod => {
                let value = hash_mod(&joined(), self.modulus).to_string();
                labels.set(&self.target_label, &value);
            }
            Action::LabelMap => {
                for (name, value) in names(labels) {
                    if let Some(captures) = self.regex.captures(&name) {
                        let mut target = String::new();
                        expand(&self.replacement, &captures, &mut target);
                        labels.set(&target, &value);
                    }
                }
            }
            Action::LabelDrop | Action::LabelKeep => {
                let drop_matching = self.action == Action::LabelDrop;
                for (name, _) in names(labels) {
                    if self.regex.is_match(&name) == drop_matching {
                        labels.remove(&name);
                    }
                }
            }
        }
        true
    }

    fn replace(&self, joined: &str, labels: &mut LabelsBuilder) {
        let Some(captures) = self.regex.captures(joined) else {
            return;
        };
        let mut target = String::new();
        expand(&self.target_label, &captures, &mut target);
        let valid = if self.utf8_names {
            !target.is_empty()
        } else {
            is_classic_label_name(&target)
        };
        if !valid {
            return;
        }
        let mut value = String::new();
        expand(&self.replacement, &captures, &mut value);
        labels.set(&target, &value);
    }
}

/// Applies rules in order. `None`: dropped.
pub fn apply(rules: &[Relabel], labels: &Labels) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut builder = labels.to_builder();
    let mut names = |builder: &LabelsBuilder| {
        builder
            .clone()
            .build()
            .iter()
            .map(|label| (label.name.to_string(), label.value.to_string()))
            .collect()
    };
    for rule in rules {
        if !rule.apply_to(&mut builder, &mut names) {
            return None;
        }
    }
    Some(builder.build())
}

/// Last eight bytes of the MD5 sum, big-endian, modulo `modulus`.
fn hash_mod(text: &str, modulus: u64) -> u64 {
    let sum = Md5::digest(text.as_bytes());
    let tail: [u8; 8] = sum[8..16].try_into().expect("an MD5 sum has 16 bytes");
    u64::from_be_bytes(tail).checked_rem(modulus).unwrap_or(0)
}

/// Go's `Regexp.Expand`: `$name`, `${name}`, `$1`, `$$`; the longest run of word characters is the name, what does not
/// exist is empty. (The regex crate's own expansion treats `$1x` and lone `$` alike.)
fn expand(template: &str, captures: &regex::Captures<'_>, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let (name, tail) = match rest.strip_prefix('{') {
            Some(inner) => match inner.split_once('}') {
                Some((name, tail)) if is_word(name) => (name, tail),
                _ => {
                    out.push('$');
                    continue;
                }
            },
            None => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if name.is_empty() {
            out.push('$');
            continue;
        }
        rest = tail;
        let value = match name.parse::<usize>() {
            Ok(index) => captures.get(index),
            Err(_) => captures.name(name),
        };
        out.push_str(value.map_or("", |found| found.as_str()));
    }
    out.push_str(rest);
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Prometheus' `^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$`: a label name that may hold references.
fn is_legacy_target(text: &str) -> bool {
    let mut rest = text;
    let mut first = true;
    while let Some(c) = rest.chars().next() {
        if c == '$' {
            let after = &rest[1..];
            rest = match after.strip_prefix('{') {
                Some(inner) => match inner.split_once('}') {
                    Some((name, tail)) if is_word(name) => tail,
                    _ => return false,
                },
                None => {
                    let end = after
                        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                        .unwrap_or(after.len());
                    if end == 0 {
                        return false;
                    }
                    &after[end..]
                }
            };
        } else {
            if !(c.is_ascii_alphabetic() || c == '_' || (!first && c.is_ascii_digit())) {
                return false;
            }
            rest = &rest[1..];
        }
        first = false;
    }
    !first
}

/// Whether a metric name may be stored.
pub(crate) fn is_valid_metric_name(name: &str, legacy: bool) -> bool {
    if legacy {
        is_classic_metric_name(name)
    } else {
        !name.is_empty()
    }
}

#[cfg(test)]
mod tests;
