//! The data and functions of Alertmanager's notification templates: their names are the interface.

use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::labels::ALERT_NAME;
use jiff::{Timestamp, Zoned};

use crate::common::{self, to_text, wrong_count};
use crate::gotime;
use crate::set::Functions;
use crate::value::{Object, Value};

/// What a notification is rendered with (`.`).
#[derive(Clone, Debug, Default)]
pub struct Data {
    pub receiver: String,
    /// `firing` or `resolved`.
    pub status: String,
    pub alerts: Vec<Alert>,
    pub group_labels: Labels,
    pub common_labels: Labels,
    pub common_annotations: Labels,
    pub external_url: String,
}

/// One alert of a notification.
#[derive(Clone, Debug)]
pub struct Alert {
    /// `firing` or `resolved`.
    pub status: String,
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Timestamp,
    /// `None` while it fires: Go's zero time.
    pub ends_at: Option<Timestamp>,
    pub generator_url: String,
    pub fingerprint: String,
}

/// The functions; `since` measures from `now`.
#[derive(Clone, Copy, Debug)]
pub struct Alertmanager {
    pub now: Timestamp,
}

const NAMES: [&str; 16] = [
    "date",
    "humanizeDuration",
    "join",
    "match",
    "reReplaceAll",
    "safeHtml",
    "safeUrl",
    "since",
    "stringSlice",
    "title",
    "toJson",
    "toLower",
    "toUpper",
    "trimSpace",
    "tz",
    "urlUnescape",
];

/// `Alerts`: a list with `.Firing` and `.Resolved`.
struct Alerts(Arc<[Alert]>);
/// `KV`: a map of strings with `.SortedPairs`, `.Remove`, `.Names` and `.Values`.
struct Kv(Labels);
/// `Pairs`: a list of `Pair` with `.Names` and `.Values`.
struct Pairs(Vec<(String, String)>);
/// `Pair`: `.Name` and `.Value`.
struct Pair(String, String);

impl From<Data> for Value {
    fn from(data: Data) -> Self {
        Self::object(data)
    }
}

fn kv(labels: &Labels) -> Value {
    Value::object(Kv(labels.clone()))
}

fn texts<'t>(items: impl IntoIterator<Item = &'t String>) -> Value {
    Value::list(items.into_iter().map(Value::string))
}

impl Object for Data {
    fn type_name(&self) -> &'static str {
        "*template.Data"
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Receiver" => self.receiver.as_str().into(),
            "Status" => self.status.as_str().into(),
            "Alerts" => Value::object(Alerts(self.alerts.clone().into())),
            "GroupLabels" => kv(&self.group_labels),
            "CommonLabels" => kv(&self.common_labels),
            "CommonAnnotations" => kv(&self.common_annotations),
            "ExternalURL" => self.external_url.as_str().into(),
            _ => return None,
        })
    }
}

impl Object for Alerts {
    fn type_name(&self) -> &'static str {
        "template.Alerts"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let wanted = match method {
            "Firing" => "firing",
            "Resolved" => "resolved",
            _ => return None,
        };
        if !args.is_empty() {
            return Some(Err(wrong_count(method, 0, args)));
        }
        let found = self.0.iter().filter(|alert| alert.status == wanted);
        Some(Ok(Value::list(found.cloned().map(Value::object))))
    }

    fn underlying(&self) -> Value {
        Value::list(self.0.iter().cloned().map(Value::object))
    }
}

impl Object for Alert {
    fn type_name(&self) -> &'static str {
        "template.Alert"
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Status" => self.status.as_str().into(),
            "Labels" => kv(&self.labels),
            "Annotations" => kv(&self.annotations),
            "StartsAt" => Value::time(gotime::utc(self.starts_at)),
            "EndsAt" => Value::time(self.ends_at.map_or_else(zero_time, gotime::utc)),
            "GeneratorURL" => self.generator_url.as_str().into(),
            "Fingerprint" => self.fingerprint.as_str().into(),
            _ => return None,
        })
    }
}

/// Go's zero time: the first moment of year 1.
fn zero_time() -> Zoned {
    let first = Timestamp::from_second(-62_135_596_800).expect("year 1 is within range");
    gotime::utc(first)
}

impl Kv {
    /// `alertname` first, the others by name.
    fn pairs(&self) -> Pairs {
        let pair =
            |label: &bellwether_model::Label| (label.name.to_string(), label.value.to_string());
        let first = self.0.iter().filter(|label| &*label.name == ALERT_NAME);
        let others = self.0.iter().filter(|label| &*label.name != ALERT_NAME);
        Pairs(first.chain(others).map(pair).collect())
    }
}

impl Object for Kv {
    fn type_name(&self) -> &'static str {
        "template.KV"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        Some(match (method, args) {
            ("SortedPairs", []) => Ok(Value::object(self.pairs())),
            ("Names" | "Values", []) => return self.pairs().call(method, args),
            ("Remove", [names]) => match names.plain() {
                Value::List(names) => {
                    let gone = |name: &str| names.iter().any(|gone| gone.as_str() == Some(name));
                    Ok(kv(&self.0.retain(|name| !gone(name))))
                }
                _ => Err("Remove wants a list of names".to_owned()),
            },
            ("SortedPairs" | "Names" | "Values", args) => Err(wrong_count(method, 0, args)),
            ("Remove", args) => Err(wrong_count(method, 1, args)),
            _ => return None,
        })
    }

    fn underlying(&self) -> Value {
        Value::labels(&self.0)
    }
}

impl Object for Pairs {
    fn type_name(&self) -> &'static str {
        "template.Pairs"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        Some(match (method, args) {
            ("Names", []) => Ok(texts(self.0.iter().map(|pair| &pair.0))),
            ("Values", []) => Ok(texts(self.0.iter().map(|pair| &pair.1))),
            ("Names" | "Values", args) => Err(wrong_count(method, 0, args)),
            _ => return None,
        })
    }

    fn underlying(&self) -> Value {
        Value::list(
            self.0
                .iter()
                .map(|(name, value)| Value::object(Pair(name.clone(), value.clone()))),
        )
    }

    fn display(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.join(", ")
    }
}

impl Object for Pair {
    fn type_name(&self) -> &'static str {
        "template.Pair"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(self.0.as_str().into()),
            "Value" => Some(self.1.as_str().into()),
            _ => None,
        }
    }

    fn display(&self) -> String {
        format!("{{{} {}}}", self.0, self.1)
    }
}

impl Functions for Alertmanager {
    fn knows(&self, name: &str) -> bool {
        NAMES.contains(&name)
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String> {
        match (name, args) {
            // Unlike Prometheus, Alertmanager lowers the rest of each word.
            ("title", [text]) => Ok(common::title(&to_text(text)?.to_lowercase()).into()),
            ("trimSpace", [text]) => Ok(to_text(text)?.trim().into()),
            ("join", [separator, items]) => join(&to_text(separator)?, items),
            ("safeUrl", [text]) => Ok(Value::Html(to_text(text)?.as_ref().into())),
            ("urlUnescape", [text]) => unescape(&to_text(text)?).map(Value::from),
            ("stringSlice", items) => Ok(Value::list(items.iter().cloned())),
            ("date", [layout, Value::Time(time)]) => {
                Ok(gotime::format_layout(time, &to_text(layout)?).into())
            }
            ("tz", [zone, Value::Time(time)]) => {
                let zone = to_text(zone)?;
                let moved = time.in_tz(&zone).map_err(|error| error.to_string())?;
                Ok(Value::time(moved))
            }
            ("since", [Value::Time(time)]) => {
                Ok(Value::Duration(self.now.duration_since(time.timestamp())))
            }
            ("toJson", [value]) => Ok(json(value).to_string().into()),
            ("date" | "tz", [_, other]) | ("since", [other]) => Err(format!(
                "wrong type for value; expected time.Time; got {}",
                other.type_name()
            )),
            ("join" | "date" | "tz", args) => Err(wrong_count(name, 2, args)),
            (name, args) => {
                common::call(name, args).unwrap_or_else(|| Err(wrong_count(name, 1, args)))
            }
        }
    }
}

fn join(separator: &str, items: &Value) -> Result<Value, String> {
    let Value::List(items) = items.plain() else {
        return Err(format!(
            "wrong type for value; expected []string; got {}",
            items.type_name()
        ));
    };
    let texts: Vec<String> = items
        .iter()
        .map(|item| to_text(item).map(std::borrow::Cow::into_owned))
        .collect::<Result<_, _>>()?;
    Ok(texts.join(separator).into())
}

/// `url.QueryUnescape`.
fn unescape(text: &str) -> Result<String, String> {
    let invalid = || format!("invalid URL escape in {text:?}");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                high.zip(low)
                    .map(|(high, low)| (high * 16 + low) as u8)
                    .ok_or_else(invalid)?
            }
            byte => byte,
        });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) | Value::Html(text) => (**text).into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(map) => map
            .entries
            .iter()
            .map(|(key, value)| (key.to_string(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Time(time) => {
            gotime::format_layout(time, "2006-01-02T15:04:05.999999999Z07:00").into()
        }
        Value::Duration(duration) => (duration.as_nanos() as i64).into(),
        Value::Object(object) => match object.underlying() {
            Value::Nil => object.display().into(),
            inner => json(&inner),
        },
    }
}
