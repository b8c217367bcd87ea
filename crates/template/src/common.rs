//! What the functions of Prometheus and of Alertmanager have in common.

use jiff::SignedDuration;
use regex::RegexBuilder;

use crate::format::format_float;
use crate::value::Value;

/// A number, a text that is one, or a duration in seconds.
pub fn to_float(value: &Value) -> Result<f64, String> {
    match value.plain() {
        Value::Float(value) => Ok(value),
        Value::Int(value) => Ok(value as f64),
        Value::Duration(value) => Ok(value.as_secs_f64()),
        Value::String(text) | Value::Html(text) => parse_float(&text)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        _ => Err(format!("can't convert {} to float", value.type_name())),
    }
}

/// Go's `strconv.ParseFloat` as far as Rust's parser agrees with it.
fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let body = lower.trim_start_matches(['+', '-']);
    let valid = matches!(body, "inf" | "infinity" | "nan")
        || body
            .bytes()
            .all(|b| b.is_ascii_digit() || b".e+-".contains(&b));
    lower.parse().ok().filter(|_| valid)
}

/// Text of an argument.
pub fn to_text(value: &Value) -> Result<std::borrow::Cow<'_, str>, String> {
    match value {
        Value::String(text) | Value::Html(text) => Ok((&**text).into()),
        other => match other.plain() {
            Value::String(text) | Value::Html(text) => Ok(text.to_string().into()),
            _ => Err(format!(
                "wrong type for value; expected string; got {}",
                other.type_name()
            )),
        },
    }
}

fn short(value: f64) -> String {
    format_float(value, 'g', Some(4))
}

/// `1.235k`, `12.34m`: thousands with SI prefixes.
pub fn humanize(mut value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return short(value);
    }
    let mut prefix = "";
    if value.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1000.0 {
                break;
            }
            prefix = next;
            value /= 1000.0;
        }
        return format!("{}{prefix}", short(value));
    }
    let (value, prefix) = small(value);
    format!("{}{prefix}", short(value))
}

fn small(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

/// `1.5Gi`: powers of 1024.
pub fn humanize_1024(mut value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return short(value);
    }
    let mut prefix = "";
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if value.abs() < 1024.0 {
            break;
        }
        prefix = next;
        value /= 1024.0;
    }
    format!("{}{prefix}", short(value))
}

/// `1d 2h 3m 4s` for seconds; below a minute with four digits, below a second with a prefix.
pub fn humanize_duration(mut value: f64) -> String {
    if !value.is_finite() {
        return short(value);
    }
    if value == 0.0 {
        return "0s".to_owned();
    }
    if value.abs() < 1.0 {
        let (value, prefix) = small(value);
        return format!("{}{prefix}s", short(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    value = value.abs();
    let whole = value as i64;
    let (seconds, minutes) = (whole % 60, whole / 60 % 60);
    let (hours, days) = (whole / 3600 % 24, whole / 86400);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", short(value))
    }
}

/// `12.3%` for a ratio.
pub fn humanize_percentage(value: f64) -> String {
    format!("{}%", short(value * 100.0))
}

/// A duration of so many seconds.
pub fn to_duration(seconds: f64) -> Result<SignedDuration, String> {
    let nanos = seconds * 1e9;
    if !nanos.is_finite() {
        return Err(format!("value is NaN or Inf: {}", short(seconds)));
    }
    // Go refuses what an int64 of nanoseconds cannot hold.
    if nanos.abs() >= i64::MAX as f64 {
        return Err(format!(
            "{} cannot be represented as a duration",
            short(seconds)
        ));
    }
    Ok(SignedDuration::from_nanos(nanos as i64))
}

/// Upper case for the first letter of each word; the rest stays (Go's `strings.Title`: every sign but letters, digits
/// and `_` ends a word).
pub fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = if c.is_ascii() {
            c.is_ascii_alphanumeric() || c == '_'
        } else {
            !c.is_whitespace()
        };
    }
    out
}

fn compile(pattern: &str) -> Result<regex::Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .dfa_size_limit(1 << 20)
        .build()
        .map_err(|error| {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            format!("error parsing regexp {pattern:?}: {reason}")
        })
}

/// Whether a pattern is found somewhere in a text.
pub fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    Ok(compile(pattern)?.is_match(text))
}

/// Replaces every match; `$1`, `${name}` stand for groups.
pub fn replace_all(pattern: &str, replacement: &str, text: &str) -> Result<String, String> {
    let regex = compile(pattern)?;
    let worst = text.len().saturating_add(1) * replacement.len().saturating_add(1);
    if worst > 1 << 28 {
        return Err("text and replacement are too long".to_owned());
    }
    Ok(regex.replace_all(text, replacement).into_owned())
}

/// `host:port` split as Go's `net.SplitHostPort` does; `None` where that is an error.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return Some((inner.strip_suffix(']')?, port));
    }
    let clean = !host.contains([':', '[', ']']) && !port.contains(['[', ']']);
    clean.then_some((host, port))
}

/// `host` of `host:port`.
pub fn strip_port(text: &str) -> &str {
    split_host_port(text).map_or(text, |(host, _)| host)
}

/// `host:port` with only the first part of the host's name; addresses stay.
pub fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or_default();
    if port.is_empty() {
        name.to_owned()
    } else {
        format!("{name}:{port}")
    }
}

/// Functions that both know, by name; `None` when there is none of this name.
pub fn call(name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    let result = match (name, args) {
        ("toUpper", [text]) => to_text(text).map(|text| text.to_uppercase().into()),
        ("toLower", [text]) => to_text(text).map(|text| text.to_lowercase().into()),
        ("title", [text]) => to_text(text).map(|text| title(&text).into()),
        ("safeHtml", [text]) => to_text(text).map(|text| Value::Html(text.as_ref().into())),
        ("match", [pattern, text]) => {
            both(pattern, text).and_then(|(pattern, text)| Ok(matches(&pattern, &text)?.into()))
        }
        ("reReplaceAll", [pattern, replacement, text]) => {
            both(pattern, replacement).and_then(|(pattern, replacement)| {
                Ok(replace_all(&pattern, &replacement, &to_text(text)?)?.into())
            })
        }
        ("humanizeDuration", [value]) => to_float(value).map(|v| humanize_duration(v).into()),
        ("toUpper" | "toLower" | "title" | "safeHtml" | "humanizeDuration", args) => {
            Err(wrong_count(name, 1, args))
        }
        ("match", args) => Err(wrong_count(name, 2, args)),
        ("reReplaceAll", args) => Err(wrong_count(name, 3, args)),
        _ => return None,
    };
    Some(result)
}

/// Names of the functions that [`call`] knows.
pub const NAMES: [&str; 7] = [
    "humanizeDuration",
    "match",
    "reReplaceAll",
    "safeHtml",
    "title",
    "toLower",
    "toUpper",
];

fn both(a: &Value, b: &Value) -> Result<(String, String), String> {
    Ok((to_text(a)?.into_owned(), to_text(b)?.into_owned()))
}

/// Go's message for a wrong number of arguments.
pub fn wrong_count(name: &str, wanted: usize, args: &[Value]) -> String {
    format!(
        "wrong number of args for {name}: want {wanted} got {}",
        args.len()
    )
}
