//! Templated labels and annotations.

use std::fmt;

use bellwether_model::Labels;
use bellwether_template::prometheus::{Prometheus, QueryResult};
use bellwether_template::{Limits, Template, TemplateError, Value};

/// What Prometheus puts in front of every template of a rule.
const DEFINITIONS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// An annotation is a few sentences; a rule may have thousands of alerts.
const LIMITS: Limits = Limits {
    output: 64 << 10,
    steps: 50_000,
    depth: 32,
};

/// A text that may be a template, parsed once.
#[derive(Clone)]
pub struct TemplateText {
    text: String,
    template: Option<Template>,
}

/// What a template of a rule is rendered with.
pub(crate) struct Context<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) value: f64,
    pub(crate) external_labels: &'a Labels,
    pub(crate) external_url: &'a str,
    pub(crate) now_ms: i64,
    pub(crate) query: &'a dyn Fn(&str) -> QueryResult,
}

// === impl TemplateText ===

impl TemplateText {
    /// A text that stays as it is, whatever is in it.
    pub fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            template: None,
        }
    }

    /// Parses a text; `name` names it in messages. The position of an error is that inside `text`.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        if !text.contains("{{") {
            return Ok(Self::plain(text));
        }
        let own_position = |mut error: TemplateError| {
            if error.line == 1 {
                let before = DEFINITIONS.chars().count() as u32;
                error.column = error.column.saturating_sub(before).max(1);
            }
            error
        };
        let template = Template::parse(name, &format!("{DEFINITIONS}{text}"))
            .map_err(own_position)?
            .with_limits(LIMITS);
        let functions = Prometheus {
            now: 0,
            external_url: "",
            query: &|_| Ok(Vec::new()),
        };
        template.check(&functions).map_err(own_position)?;
        Ok(Self {
            text: text.to_owned(),
            template: Some(template),
        })
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has actions.
    pub fn is_template(&self) -> bool {
        self.template.is_some()
    }

    /// Renders it; an error becomes text, so that an alert fires all the same.
    pub(crate) fn expand(&self, context: &Context<'_>) -> String {
        let Some(template) = &self.template else {
            return self.text.clone();
        };
        let data = Value::map([
            ("Labels", Value::labels(context.labels)),
            ("ExternalLabels", Value::labels(context.external_labels)),
            ("ExternalURL", Value::string(context.external_url)),
            ("Value", Value::Float(context.value)),
        ]);
        let functions = Prometheus {
            now: context.now_ms,
            external_url: context.external_url,
            query: context.query,
        };
        template
            .render(&data, &functions)
            .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }
}

impl fmt::Debug for TemplateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl PartialEq for TemplateText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for TemplateText {}
