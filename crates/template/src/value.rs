//! What templates work on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bellwether_model::Labels;
use jiff::{SignedDuration, Zoned};

use crate::format;

/// A value inside a template. Cheap to clone.
#[derive(Clone, Default)]
pub enum Value {
    /// Go's `nil`, and what is not there; printed by an action as `<no value>`.
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Arc<str>),
    /// Text that is HTML already: [`crate::Escape::Html`] leaves it as it is.
    Html(Arc<str>),
    List(Arc<[Value]>),
    Map(Arc<Map>),
    Time(Arc<Zoned>),
    Duration(SignedDuration),
    /// Data with named fields and methods.
    Object(Arc<dyn Object>),
}

/// A map with text keys, walked in their order.
#[derive(Clone, Default)]
pub struct Map {
    pub entries: BTreeMap<Arc<str>, Value>,
    /// What a key that is not there gives: `""` for a map of strings, nil else.
    pub missing: Value,
}

/// Data with fields and methods, as a Go struct (or a named list or map type) has them.
pub trait Object: Send + Sync {
    /// Go's name of the type, for messages.
    fn type_name(&self) -> &str;
    /// A field. `None`: there is none of that name.
    fn field(&self, name: &str) -> Option<Value>;
    /// Calls a method. `None`: there is none of that name. Asked before [`Object::field`].
    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let _ = (method, args);
        None
    }
    /// The list, map or text that this is under its name (`KV` is a map, `Alerts` a list); nil for a struct.
    fn underlying(&self) -> Value {
        Value::Nil
    }
    /// How an action prints it; by default as what it is underneath.
    fn display(&self) -> String {
        match self.underlying() {
            Value::Nil => self.type_name().to_owned(),
            value => format::sprint_value(&value),
        }
    }
}

// === impl Value ===

impl Value {
    /// Text.
    pub fn string(text: impl AsRef<str>) -> Self {
        Self::String(text.as_ref().into())
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// A map whose missing keys are nil (`map[string]any`).
    pub fn map<K: AsRef<str>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(Arc::new(Map {
            entries: entries
                .into_iter()
                .map(|(key, value)| (key.as_ref().into(), value))
                .collect(),
            missing: Self::Nil,
        }))
    }

    /// A map of strings, whose missing keys are empty (`map[string]string`).
    pub fn string_map<K: AsRef<str>, V: AsRef<str>>(
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::Map(Arc::new(Map {
            entries: entries
                .into_iter()
                .map(|(key, value)| (key.as_ref().into(), Self::string(value)))
                .collect(),
            missing: Self::string(""),
        }))
    }

    /// Labels as a map of strings.
    pub fn labels(labels: &Labels) -> Self {
        Self::Map(Arc::new(Map {
            entries: labels
                .iter()
                .map(|label| {
                    (
                        Arc::clone(&label.name),
                        Self::String(Arc::clone(&label.value)),
                    )
                })
                .collect(),
            missing: Self::string(""),
        }))
    }

    /// A moment, shown in the zone it carries.
    pub fn time(time: Zoned) -> Self {
        Self::Time(Arc::new(time))
    }

    /// Data with fields and methods.
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// The list, map or plain value that this is under its name.
    pub fn plain(&self) -> Self {
        match self {
            Self::Object(object) => object.underlying(),
            other => other.clone(),
        }
    }

    /// The text, when it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Html(text) => Some(text),
            _ => None,
        }
    }

    /// Go's truth: not the zero value; every struct and every time is true.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::String(text) | Self::Html(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Time(_) => true,
            Self::Duration(value) => !value.is_zero(),
            Self::Object(object) => match object.underlying() {
                Self::Nil => true,
                value => value.is_true(),
            },
        }
    }

    /// Go's name of the type, for messages and `%T`.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::String(_) => "string",
            Self::Html(_) => "template.HTML",
            Self::List(_) => "[]interface {}",
            Self::Map(map) => match map.missing {
                Self::String(_) => "map[string]string",
                _ => "map[string]interface {}",
            },
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Object(object) => object.type_name(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<SignedDuration> for Value {
    fn from(value: SignedDuration) -> Self {
        Self::Duration(value)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.type_name(), format::sprint_value(self))
    }
}

impl Map {
    /// The value of a key, or the map's zero value.
    pub fn get(&self, key: &str) -> Value {
        self.entries
            .get(key)
            .cloned()
            .unwrap_or_else(|| self.missing.clone())
    }
}
