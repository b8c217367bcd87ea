//! YAML with positions: text to a tree of nodes, and readers that take the tree apart.
//!
//! What it does: configuration, rule files and front matter are read by hand from [`Node`]s instead of through serde,
//! so that *every* fault is reported with file, line, column and a hint, and a bad part never hides a good one.
//!
//! Entry points: [`parse()`], [`parse_all`], [`MapReader`].
//!
//! Invariants: no panic on any text; size, depth and alias expansion are limited; duplicate keys are errors, merge
//! keys (`<<`) work, as in go-yaml.
//!
//! Not here: what the keys mean, and writing YAML.

mod parse;
mod read;

pub use parse::{parse, parse_all};
pub use read::{MapReader, Reader};

use std::sync::Arc;

/// Nesting that is accepted.
pub const DEPTH_MAX: usize = 64;
/// Nodes that one file may have after its aliases are expanded.
pub const NODES_MAX: usize = 2_000_000;
/// Size of one file in bytes.
pub const BYTES_MAX: usize = 64 << 20;

/// One node and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    /// File as the user named it.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// What a node holds. Scalars keep their text: what it means depends on who reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<(Node, Node)>),
}

// === impl Node ===

impl Node {
    /// Whether there is nothing: an empty document, `null`, `~` or an empty value.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Items of a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Entries of a map.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?
            .iter()
            .find(|(k, _)| k.as_text() == Some(key))
            .map(|(_, value)| value)
    }

    /// An error at this node.
    pub fn error(&self, message: impl Into<String>) -> bellwether_model::Problem {
        bellwether_model::Problem::error(&self.file, self.line, self.column, message)
    }

    /// A warning at this node.
    pub fn warning(&self, message: impl Into<String>) -> bellwether_model::Problem {
        bellwether_model::Problem::warning(&self.file, self.line, self.column, message)
    }

    /// What kind of node this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The node as JSON, with YAML 1.2 core types for plain scalars.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar { text, quoted: true } => text.clone().into(),
            Value::Scalar {
                text,
                quoted: false,
            } => match text.as_str() {
                "true" | "True" | "TRUE" => true.into(),
                "false" | "False" | "FALSE" => false.into(),
                _ => text
                    .parse::<i64>()
                    .map(Into::into)
                    .or_else(|_| text.parse::<f64>().map(Into::into))
                    .unwrap_or_else(|_| text.clone().into()),
            },
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| {
                        (
                            key.as_text().unwrap_or_default().to_owned(),
                            value.to_json(),
                        )
                    })
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
