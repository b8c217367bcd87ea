//! The log: to standard error, filtered by [`crate::vars::LOG`].

use std::fmt;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock as _, SystemClock};
use crate::vars;

/// Form of the log in the place of another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `time=... level=INFO source=... msg="..." key=value`, as Go's `slog` writes.
    Logfmt,
    /// The same keys, one JSON object per line.
    LogfmtAsJson,
}

/// Starts the log. Later calls change nothing, so tests may call it freely. `default` is the filter when none is set.
pub fn init(default: &str) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(default))
        .with_writer(std::io::stderr);
    let started = if vars::LOG_FORMAT.get().as_deref() == Some("json") {
        builder.json().try_init()
    } else {
        let colour = std::io::stderr().is_terminal() && vars::NO_COLOR.get().is_none();
        builder.with_ansi(colour).with_target(false).try_init()
    };
    drop(started);
}

/// Starts the log in the form of another program.
pub fn init_as(default: &str, style: Style) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(default))
        .with_writer(std::io::stderr)
        .event_format(style);
    drop(builder.try_init());
}

fn filter(default: &str) -> EnvFilter {
    let filter = vars::LOG.get().unwrap_or_else(|| default.to_owned());
    EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(default))
}

/// The message, then the other fields.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}

impl tracing::field::Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.rest.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A value as `logfmt` has it: quoted where it must be.
fn logfmt(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"=\"".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        json(value)
    }
}

fn json(value: &str) -> String {
    use fmt::Write as _;
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => drop(write!(text, "\\u{:04x}", c as u32)),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

impl<S, N> FormatEvent<S, N> for Style
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let about = event.metadata();
        let file = about.file().and_then(|file| file.rsplit('/').next());
        let source = format!("{}:{}", file.unwrap_or(""), about.line().unwrap_or(0));
        let time = format!("{:.3}", SystemClock::new().now());
        let mut pairs = vec![
            ("time", time),
            ("level", about.level().to_string()),
            ("source", source),
            ("msg", fields.message),
        ];
        pairs.append(&mut fields.rest);
        let text: Vec<String> = match self {
            Self::Logfmt => {
                let pair = |(key, value): &(&str, String)| format!("{key}={}", logfmt(value));
                pairs.iter().map(pair).collect()
            }
            Self::LogfmtAsJson => {
                let pair = |(key, value): &(&str, String)| format!("{}:{}", json(key), json(value));
                pairs.iter().map(pair).collect()
            }
        };
        match self {
            Self::Logfmt => writeln!(writer, "{}", text.join(" ")),
            Self::LogfmtAsJson => writeln!(writer, "{{{}}}", text.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be() {
        assert_eq!(logfmt("plain:9093"), "plain:9093");
        assert_eq!(logfmt("two words"), "\"two words\"");
        assert_eq!(logfmt("a=\"b\"\n"), "\"a=\\\"b\\\"\\n\"");
        assert_eq!(logfmt(""), "\"\"");
    }
}
