//! The functions of Prometheus' rule templates.

use bellwether_model::Labels;
use jiff::Timestamp;

use crate::common::{self, to_float, to_text, wrong_count};
use crate::format::format_float;
use crate::set::Functions;
use crate::value::{Object, Value};
use crate::{escape, gotime};

/// What a query in a template gives.
pub type QueryResult = Result<Vec<(Labels, f64)>, String>;

/// The 29 functions; `now` and the external address are passed in, queries go to a closure.
pub struct Prometheus<'a> {
    /// Evaluation time in milliseconds since 1970.
    pub now: i64,
    /// `http://host:9090/prefix`
    pub external_url: &'a str,
    /// Answers `query`.
    pub query: &'a dyn Fn(&str) -> QueryResult,
}

/// One sample of a query's result: `.Labels` and `.Value`.
#[derive(Clone, Debug)]
pub struct Sample {
    pub labels: Labels,
    pub value: f64,
}

const NAMES: [&str; 29] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

impl Object for Sample {
    fn type_name(&self) -> &'static str {
        "*template.sample"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(Value::labels(&self.labels)),
            "Value" => Some(self.value.into()),
            _ => None,
        }
    }

    fn display(&self) -> String {
        let labels = crate::format::sprint_value(&Value::labels(&self.labels));
        format!("{{{labels} {}}}", format_float(self.value, 'g', None))
    }
}

impl Functions for Prometheus<'_> {
    fn knows(&self, name: &str) -> bool {
        knows(name)
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String> {
        if let Some(result) = common::call(name, args) {
            return result;
        }
        match (name, args) {
            ("humanize", [value]) => to_float(value).map(|v| common::humanize(v).into()),
            ("humanize1024", [value]) => to_float(value).map(|v| common::humanize_1024(v).into()),
            ("humanizePercentage", [value]) => {
                to_float(value).map(|v| common::humanize_percentage(v).into())
            }
            ("humanizeTimestamp", [value]) => humanize_timestamp(value),
            ("toTime", [value]) => to_time(to_float(value)?),
            ("toDuration", [value]) => common::to_duration(to_float(value)?).map(Value::Duration),
            ("now", []) => Ok((self.now as f64 / 1000.0).into()),
            ("parseDuration", [text]) => parse_duration(&to_text(text)?),
            ("stripPort", [text]) => Ok(common::strip_port(&to_text(text)?).into()),
            ("stripDomain", [text]) => Ok(common::strip_domain(&to_text(text)?).into()),
            ("urlQueryEscape", [text]) => Ok(escape::query(&to_text(text)?).into()),
            ("graphLink", [text]) => Ok(link(&to_text(text)?, 0)),
            ("tableLink", [text]) => Ok(link(&to_text(text)?, 1)),
            ("externalURL", []) => Ok(self.external_url.into()),
            ("pathPrefix", []) => Ok(path_of(self.external_url).into()),
            ("args", args) => Ok(Value::map(
                args.iter()
                    .enumerate()
                    .map(|(index, arg)| (format!("arg{index}"), arg.clone())),
            )),
            ("query", [text]) => Ok(vector((self.query)(&to_text(text)?)?)),
            ("first", [items]) => match items.plain() {
                Value::List(items) => items
                    .first()
                    .cloned()
                    .ok_or_else(|| "first() called on vector with no elements".to_owned()),
                _ => Err(format!(
                    "wrong type for value; expected template.queryResult; got {}",
                    items.type_name()
                )),
            },
            ("label", [name, sample]) => Ok(label_of(sample, &to_text(name)?)?.into()),
            ("strvalue", [sample]) => Ok(label_of(sample, "__value__")?.into()),
            ("value", [sample]) => sample_field(sample, "Value"),
            ("sortByLabel", [name, items]) => sort_by_label(&to_text(name)?, items),
            ("now" | "externalURL" | "pathPrefix", args) => Err(wrong_count(name, 0, args)),
            ("label" | "sortByLabel", args) => Err(wrong_count(name, 2, args)),
            (name, args) => Err(wrong_count(name, 1, args)),
        }
    }
}

/// Whether Prometheus has a function of this name.
pub fn knows(name: &str) -> bool {
    NAMES.contains(&name)
}

/// A query's result as templates see it.
pub fn vector(samples: Vec<(Labels, f64)>) -> Value {
    Value::list(
        samples
            .into_iter()
            .map(|(labels, value)| Value::object(Sample { labels, value })),
    )
}

fn sample_field(sample: &Value, name: &str) -> Result<Value, String> {
    let wrong = || {
        format!(
            "wrong type for value; expected *template.sample; got {}",
            sample.type_name()
        )
    };
    match sample {
        Value::Object(object) => object.field(name).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn label_of(sample: &Value, label: &str) -> Result<String, String> {
    match sample_field(sample, "Labels")? {
        Value::Map(map) => Ok(map.get(label).as_str().unwrap_or_default().to_owned()),
        _ => Ok(String::new()),
    }
}

fn sort_by_label(label: &str, items: &Value) -> Result<Value, String> {
    let Value::List(items) = items.plain() else {
        return Err(format!(
            "wrong type for value; expected template.queryResult; got {}",
            items.type_name()
        ));
    };
    let mut keyed: Vec<(String, Value)> = items
        .iter()
        .map(|item| Ok((label_of(item, label)?, item.clone())))
        .collect::<Result<_, String>>()?;
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Value::list(keyed.into_iter().map(|(_, item)| item)))
}

fn to_timestamp(seconds: f64) -> Result<Timestamp, String> {
    let nanos = seconds * 1e9;
    if !nanos.is_finite() || nanos.abs() >= i64::MAX as f64 {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            format_float(seconds, 'g', None)
        ));
    }
    // Prometheus keeps milliseconds only.
    Timestamp::from_millisecond(nanos as i64 / 1_000_000).map_err(|error| error.to_string())
}

fn to_time(seconds: f64) -> Result<Value, String> {
    to_timestamp(seconds).map(|timestamp| Value::time(gotime::utc(timestamp)))
}

fn humanize_timestamp(value: &Value) -> Result<Value, String> {
    let seconds = to_float(value)?;
    if !seconds.is_finite() {
        return Ok(format_float(seconds, 'g', Some(4)).into());
    }
    to_timestamp(seconds).map(|timestamp| gotime::format_string(&gotime::utc(timestamp)).into())
}

fn parse_duration(text: &str) -> Result<Value, String> {
    bellwether_model::duration::parse_duration(text)
        .map(|duration| duration.as_secs_f64().into())
        .map_err(|error| error.to_string())
}

fn link(expression: &str, tab: u8) -> Value {
    format!("/graph?g0.expr={}&g0.tab={tab}", escape::query(expression)).into()
}

/// The path of an address: `/prefix` of `http://host/prefix`.
fn path_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(url, |at| &url[at + 3..]);
    match after_scheme.find('/') {
        Some(at) => after_scheme[at..]
            .split(['?', '#'])
            .next()
            .unwrap_or_default(),
        None => "",
    }
}
