//! The text of a series to its name and labels.

use std::borrow::Cow;

use bellwether_model::labels::METRIC_NAME;
use bellwether_model::{Labels, LabelsBuilder};
use memchr::memchr;

/// A series taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series<'a> {
    pub name: Cow<'a, str>,
    /// In the order of the text; names are unique.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Series<'_> {
    /// As a label set with `__name__`.
    pub fn to_labels(&self) -> Labels {
        let mut builder = LabelsBuilder::default();
        builder.set(METRIC_NAME, &self.name);
        for (name, value) in &self.labels {
            builder.set(name, value);
        }
        builder.build()
    }
}

/// Takes `name{label="value",...}` (or `{"name",...}`) apart. The error is the reason.
pub fn decode_series(text: &[u8]) -> Result<Series<'_>, String> {
    let brace = text
        .iter()
        .position(|byte| matches!(byte, b'{' | b' ' | b'\t'));
    let (name, rest) = text.split_at(brace.unwrap_or(text.len()));
    let mut series = Series {
        name: Cow::Borrowed(""),
        labels: Vec::new(),
    };
    if !name.is_empty() {
        if !is_name(name, true) {
            return Err(format!("invalid metric name {}", super::shown(name)));
        }
        series.name =
            Cow::Borrowed(std::str::from_utf8(name).map_err(|_| "invalid UTF-8 in a name")?);
    }
    decode_labels(rest.trim_ascii(), &mut series)?;
    if series.name.is_empty() {
        return Err("the metric has no name".to_owned());
    }
    let mut names: Vec<&str> = series.labels.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("label name {:?} is not unique", pair[0])),
        None => Ok(series),
    }
}

/// `{...}` or nothing.
fn decode_labels<'a>(text: &'a [u8], series: &mut Series<'a>) -> Result<(), String> {
    let Some(mut rest) = text.strip_prefix(b"{") else {
        return if text.is_empty() {
            Ok(())
        } else {
            Err("expected labels".to_owned())
        };
    };
    loop {
        rest = rest.trim_ascii_start();
        if rest == b"}" {
            return Ok(());
        }
        let (name, quoted, tail) = if let Some(inner) = rest.strip_prefix(b"\"") {
            let (raw, tail) = split_quoted(inner).ok_or("a quoted name does not end")?;
            (unquote(raw).ok_or("invalid UTF-8 in a name")?, true, tail)
        } else {
            let end = rest
                .iter()
                .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
                .unwrap_or(rest.len());
            let (name, tail) = rest.split_at(end);
            if !is_name(name, false) {
                return Err(format!(
                    "expected a label name, got {}",
                    super::shown(&rest[..rest.len().min(20)])
                ));
            }
            (
                Cow::Borrowed(std::str::from_utf8(name).map_err(|_| "invalid UTF-8 in a name")?),
                false,
                tail,
            )
        };
        rest = tail.trim_ascii_start();
        if let Some(tail) = rest.strip_prefix(b"=") {
            let inner = tail
                .trim_ascii_start()
                .strip_prefix(b"\"")
                .ok_or_else(|| format!("the value of label {name:?} is not quoted"))?;
            let (raw, tail) = split_quoted(inner).ok_or("a label value does not end")?;
            let value = unquote(raw)
                .ok_or_else(|| format!("invalid UTF-8 in the value of label {name:?}"))?;
            if name.is_empty() {
                return Err("empty label name".to_owned());
            }
            series.labels.push((name, value));
            rest = tail.trim_ascii_start();
        } else if quoted && series.name.is_empty() && !name.is_empty() {
            series.name = name;
        } else {
            return Err(format!("label {name:?} has no value"));
        }
        match rest.first() {
            Some(b',') => rest = &rest[1..],
            Some(b'}') if rest.len() == 1 => return Ok(()),
            _ => return Err("expected a comma or the closing brace after a label".to_owned()),
        }
    }
}

fn is_name(name: &[u8], colon: bool) -> bool {
    let start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_' || (colon && *byte == b':');
    name.first().is_some_and(start) && name.iter().all(|byte| start(byte) || byte.is_ascii_digit())
}

/// Splits behind the quote that ends a text whose opening quote is already gone.
fn split_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Replaces `\\`, `\"` and `\n`; other escapes stay as they are, as in Prometheus. `None`: not UTF-8.
pub(super) fn unquote(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    Some(unescape(text, true))
}

/// The text of a help line without its escapes (`\\` and `\n`).
pub fn unescape_help(text: &str) -> Cow<'_, str> {
    unescape(text, false)
}

fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quotes => out.push('"'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}
