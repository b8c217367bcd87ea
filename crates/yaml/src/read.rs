//! Taking nodes apart, problem by problem.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_model::duration::parse_duration;
use bellwether_model::{Labels, LabelsBuilder, Problems, Secret, suggest};

use crate::{Node, Value};

/// Reads single nodes; a node of the wrong form becomes a problem and `None`.
#[derive(Debug)]
pub struct Reader<'p> {
    problems: &'p mut Problems,
}

/// Reads a map key by key and at the end reports the keys that nobody asked for.
#[derive(Debug)]
pub struct MapReader<'n, 'p> {
    node: &'n Node,
    what: &'static str,
    entries: &'n [(Node, Node)],
    asked: BTreeSet<&'static str>,
    problems: &'p mut Problems,
}

// === impl Reader ===

impl<'p> Reader<'p> {
    /// A reader that reports into `problems`.
    pub fn new(problems: &'p mut Problems) -> Self {
        Self { problems }
    }

    /// Any single value as text.
    pub fn text(&mut self, node: &Node, key: &str) -> Option<String> {
        match &node.value {
            Value::Scalar { text, .. } => Some(text.clone()),
            Value::Null => Some(String::new()),
            _ => self.refuse(node, key, "a single value"),
        }
    }

    /// `true` or `false` (and go-yaml's `yes`, `no`, `on`, `off`).
    pub fn boolean(&mut self, node: &Node, key: &str) -> Option<bool> {
        match node.as_text() {
            Some("true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y") => {
                Some(true)
            }
            Some(
                "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n",
            ) => Some(false),
            _ => self.refuse(node, key, "true or false"),
        }
    }

    /// A whole number.
    pub fn integer(&mut self, node: &Node, key: &str) -> Option<i64> {
        match node
            .as_text()
            .and_then(|text| text.replace('_', "").parse().ok())
        {
            Some(number) => Some(number),
            None => self.refuse(node, key, "a whole number"),
        }
    }

    /// A number.
    pub fn number(&mut self, node: &Node, key: &str) -> Option<f64> {
        match node.as_text().and_then(|text| text.parse().ok()) {
            Some(number) => Some(number),
            None => self.refuse(node, key, "a number"),
        }
    }

    /// A duration as Prometheus writes it.
    pub fn duration(&mut self, node: &Node, key: &str) -> Option<Duration> {
        let text = node.as_text()?;
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.problems.push(
                    node.error(format!("{key}: {error}"))
                        .with_hint("write it as 30s, 5m or 1h30m"),
                );
                None
            }
        }
    }

    /// Items of a list; nothing counts as an empty list.
    pub fn list<'n>(&mut self, node: &'n Node, key: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => {
                let _: Option<()> = self.refuse(node, key, "a list");
                &[]
            }
        }
    }

    /// A list of single values.
    pub fn texts(&mut self, node: &Node, key: &str) -> Vec<String> {
        let items = self.list(node, key);
        items
            .iter()
            .filter_map(|item| self.text(item, key))
            .collect()
    }

    /// A map of single values, as labels. (Empty values are kept out, as in every label set.)
    pub fn labels(&mut self, node: &Node, key: &str) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in self.text_map(node, key) {
            builder.set(&name, &value);
        }
        builder.build()
    }

    /// A map of single values, in the order of the file.
    pub fn text_map(&mut self, node: &Node, key: &str) -> Vec<(String, String)> {
        match &node.value {
            Value::Map(entries) => entries
                .iter()
                .filter_map(|(name, value)| {
                    Some((
                        name.as_text()?.to_owned(),
                        self.text(value, name.as_text()?)?,
                    ))
                })
                .collect(),
            Value::Null => Vec::new(),
            _ => {
                let _: Option<()> = self.refuse(node, key, "a map");
                Vec::new()
            }
        }
    }

    /// Where problems go.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    fn refuse<T>(&mut self, node: &Node, key: &str, wanted: &str) -> Option<T> {
        let message = match node.as_text() {
            Some(text) => {
                let text: String = text.chars().take(60).collect();
                format!("{key} must be {wanted}, not {text:?}")
            }
            None => format!("{key} must be {wanted}, not {}", node.kind()),
        };
        self.problems.push(node.error(message));
        None
    }
}

// === impl MapReader ===

impl<'n, 'p> MapReader<'n, 'p> {
    /// Starts on a node; `what` names it in messages ("scrape config"). Nothing counts as an empty map; anything else
    /// that is not a map is a problem and reads as empty.
    pub fn new(node: &'n Node, what: &'static str, problems: &'p mut Problems) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                problems.push(node.error(format!("{what} must be a map, not {}", node.kind())));
                &[]
            }
        };
        Self {
            node,
            what,
            entries,
            asked: BTreeSet::new(),
            problems,
        }
    }

    /// The node of a key, when it is there and not null.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.take_or_null(key).filter(|node| !node.is_null())
    }

    /// The node of a key, when it is there.
    pub fn take_or_null(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.insert(key);
        self.entries
            .iter()
            .find(|(name, _)| name.as_text() == Some(key))
            .map(|(_, value)| value)
    }

    /// The map itself, for messages.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// A reader for single nodes, and the way to the problems.
    pub fn reader(&mut self) -> Reader<'_> {
        Reader::new(self.problems)
    }

    /// Where problems go.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// Text of a key.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let node = self.take(key)?;
        self.reader().text(node, key)
    }

    /// Text of a key that must be there and not empty.
    pub fn required_text(&mut self, key: &'static str) -> Option<String> {
        match self.take_or_null(key) {
            Some(node) => match self.reader().text(node, key) {
                Some(text) if text.is_empty() => {
                    self.problems
                        .push(node.error(format!("{key} of this {} is empty", self.what)));
                    None
                }
                text => text,
            },
            None => {
                self.problems
                    .push(self.node.error(format!("this {} has no {key}", self.what)));
                None
            }
        }
    }

    /// A secret.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        self.text(key).map(Secret::new)
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let node = self.take(key)?;
        self.reader().boolean(node, key)
    }

    /// A whole number.
    pub fn integer(&mut self, key: &'static str) -> Option<i64> {
        let node = self.take(key)?;
        self.reader().integer(node, key)
    }

    /// A number.
    pub fn number(&mut self, key: &'static str) -> Option<f64> {
        let node = self.take(key)?;
        self.reader().number(node, key)
    }

    /// A duration.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let node = self.take(key)?;
        self.reader().duration(node, key)
    }

    /// Items of a list; empty when the key is absent.
    pub fn list(&mut self, key: &'static str) -> &'n [Node] {
        match self.take(key) {
            Some(node) => self.reader().list(node, key),
            None => &[],
        }
    }

    /// A list of single values; empty when the key is absent.
    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        match self.take(key) {
            Some(node) => self.reader().texts(node, key),
            None => Vec::new(),
        }
    }

    /// A map of single values as labels; empty when the key is absent.
    pub fn labels(&mut self, key: &'static str) -> Labels {
        match self.take(key) {
            Some(node) => self.reader().labels(node, key),
            None => Labels::empty(),
        }
    }

    /// A map of single values in the order of the file; empty when the key is absent.
    pub fn text_map(&mut self, key: &'static str) -> Vec<(String, String)> {
        match self.take(key) {
            Some(node) => self.reader().text_map(node, key),
            None => Vec::new(),
        }
    }

    /// Marks keys as known that are read elsewhere.
    pub fn ignore(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// Reports the keys nobody asked for as errors, with the nearest known one as a hint.
    pub fn finish(self) {
        for (key, _) in self.entries {
            let Some(text) = key.as_text() else { continue };
            if self.asked.contains(text) {
                continue;
            }
            let shown: String = text.chars().take(60).collect();
            let problem = key.error(format!("unknown key {shown:?} in this {}", self.what));
            self.problems
                .push(match suggest(text, self.asked.iter().copied()) {
                    Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
                    None => problem,
                });
        }
    }
}
