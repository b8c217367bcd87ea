//! Label matchers, as PromQL selectors, silences and routes use them.

use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::labels::{Labels, is_classic_label_name, write_quoted};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MatchOp {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "=~")]
    Regex,
    #[serde(rename = "!~")]
    NotRegex,
}

/// One condition on one label. Regular expressions are fully anchored and `.` matches newlines, as in Prometheus 3.
#[derive(Clone)]
pub struct Matcher {
    pub name: Arc<str>,
    pub op: MatchOp,
    pub value: Arc<str>,
    pattern: Option<Pattern>,
}

#[derive(Clone)]
enum Pattern {
    /// An alternation of literals, `a|b|c`, sorted: the common case, matched without the regex engine.
    Literals(Arc<[Box<str>]>),
    Regex(Regex),
}

/// A regular expression that does not compile, or that is too large to compile within the limit.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid regular expression {pattern:?}: {reason}")]
pub struct BadPattern {
    pub pattern: String,
    pub reason: String,
}

/// Compiled size that one expression may have, in bytes: a stranger's pattern cannot take all memory.
pub const PATTERN_SIZE_MAX: usize = 4 << 20;

/// Compiles `pattern` as Prometheus does: anchored at both ends, `.` matches newlines, size limited.
pub fn anchored(pattern: &str) -> Result<Regex, BadPattern> {
    RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(PATTERN_SIZE_MAX)
        .dfa_size_limit(PATTERN_SIZE_MAX)
        .build()
        .map_err(|error| BadPattern {
            pattern: pattern.chars().take(200).collect(),
            reason: last_line(&error.to_string()),
        })
}

fn last_line(text: &str) -> String {
    text.lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

fn literals(pattern: &str) -> Option<Arc<[Box<str>]>> {
    let special = |c: char| "\\.+*?()[]{}^$".contains(c);
    if pattern.contains(special) {
        return None;
    }
    let mut parts: Vec<Box<str>> = pattern.split('|').map(Box::from).collect();
    parts.sort_unstable();
    parts.dedup();
    Some(parts.into())
}

// === impl Matcher ===

impl Matcher {
    /// A matcher; fails only for a regular expression that does not compile.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, BadPattern> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(match literals(value) {
                Some(parts) => Pattern::Literals(parts),
                None => Pattern::Regex(anchored(value)?),
            }),
        };
        Ok(Self {
            name: name.into(),
            op,
            value: value.into(),
            pattern,
        })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
            pattern: None,
        }
    }

    /// Whether a label value satisfies this matcher; an absent label has the value `""`.
    pub fn matches(&self, value: &str) -> bool {
        let hit = match &self.pattern {
            None => *self.value == *value,
            Some(Pattern::Literals(parts)) => {
                parts.binary_search_by(|part| (**part).cmp(value)).is_ok()
            }
            Some(Pattern::Regex(regex)) => regex.is_match(value),
        };
        hit == matches!(self.op, MatchOp::Equal | MatchOp::Regex)
    }

    /// Whether a label set satisfies this matcher.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name))
    }

    /// Whether a series without this label would satisfy it.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The literal values a `=` or `=~"a|b"` matcher allows, sorted: an index can look these up directly.
    pub fn literal_values(&self) -> Option<Vec<&str>> {
        match (self.op, &self.pattern) {
            (MatchOp::Equal, _) => Some(vec![&self.value]),
            (MatchOp::Regex, Some(Pattern::Literals(parts))) => {
                Some(parts.iter().map(|part| &**part).collect())
            }
            _ => None,
        }
    }
}

impl MatchOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}
impl Eq for Matcher {}
impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Matcher {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.name, self.op, &self.value).cmp(&(&other.name, other.op, &other.value))
    }
}
impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_classic_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            write_quoted(f, &self.name)?;
        }
        f.write_str(self.op.as_str())?;
        write_quoted(f, &self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Serialize, Deserialize)]
struct StoredMatcher {
    name: String,
    op: MatchOp,
    value: String,
}

impl Serialize for Matcher {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StoredMatcher {
            name: self.name.to_string(),
            op: self.op,
            value: self.value.to_string(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = StoredMatcher::deserialize(deserializer)?;
        Self::new(stored.op, &stored.name, &stored.value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regexes_are_anchored_and_see_newlines() {
        let matcher = Matcher::new(MatchOp::Regex, "a", "b.*").unwrap();
        assert!(matcher.matches("bc\nd"));
        assert!(!matcher.matches("ab"));
        let literals = Matcher::new(MatchOp::NotRegex, "a", "x|y").unwrap();
        assert!(literals.matches("z") && !literals.matches("y"));
        assert!(Matcher::new(MatchOp::Regex, "a", "(((a{999}){999}){999})").is_err());
        assert!(
            Matcher::new(MatchOp::Regex, "a", "|a")
                .unwrap()
                .matches_empty()
        );
    }
}
