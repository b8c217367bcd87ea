//! Maps whose keys have known forms: read, checked, and handed on as nodes.

use std::collections::BTreeMap;

use bellwether_model::Problems;
use bellwether_yaml::{MapReader, Node, Reader};

use super::http;

/// What a key must hold.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Text,
    Bool,
    Int,
    /// Not negative.
    Count,
    /// As Prometheus writes durations.
    Duration,
    /// As Go writes durations, or nanoseconds.
    GoDuration,
    /// `http` or `https`, with a host.
    Url,
    /// The same, or `<secret>` as Alertmanager's API shows it.
    SecretUrl,
    /// The same, or a template.
    TemplateUrl,
    TextMap,
    AnyMap,
    Texts,
    /// A list of texts, or a map as described.
    TextsOr(&'static Spec),
    /// A single text, or a map as described.
    TextOr(&'static Spec),
    /// `host:port`.
    HostPort,
    Http,
    Tls,
    Any,
    Map(&'static Spec),
    List(&'static Spec),
}

/// The keys of a map. `check` sees what was read and says what is wrong with the whole.
pub(super) struct Spec {
    pub(super) what: &'static str,
    pub(super) keys: &'static [(&'static str, Form)],
    pub(super) check: fn(&Values<'_>) -> Option<String>,
}

/// What was read: nodes that are there and not null.
pub(super) struct Values<'n> {
    found: BTreeMap<&'static str, &'n Node>,
}

/// Nothing to check.
pub(super) fn fine(_: &Values<'_>) -> Option<String> {
    None
}

impl<'n> Values<'n> {
    pub(super) fn node(&self, key: &str) -> Option<&'n Node> {
        self.found.get(key).copied()
    }

    /// Text of a key, empty when there is none.
    pub(super) fn text(&self, key: &str) -> &'n str {
        self.node(key).and_then(Node::as_text).unwrap_or_default()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        !self.text(key).is_empty()
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        matches!(
            self.text(key),
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y"
        )
    }

    /// Both of two keys that exclude each other.
    pub(super) fn both(&self, a: &str, b: &str) -> Option<String> {
        (self.has(a) && self.has(b)).then(|| format!("at most one of {a} & {b} must be configured"))
    }

    /// None of two keys of which one is needed.
    pub(super) fn neither(&self, a: &str, b: &str) -> Option<String> {
        (!self.has(a) && !self.has(b)).then(|| format!("one of {a} or {b} must be configured"))
    }
}

/// Reads a map by its spec; unknown keys, wrong forms and the spec's own checks become problems.
pub(super) fn read<'n>(node: &'n Node, spec: &'static Spec, problems: &mut Problems) -> Values<'n> {
    read_but(node, spec, &[], problems)
}

/// The same, with keys that belong to somebody else.
pub(super) fn read_but<'n>(
    node: &'n Node,
    spec: &'static Spec,
    foreign: &[&'static str],
    problems: &mut Problems,
) -> Values<'n> {
    let mut map = MapReader::new(node, spec.what, problems);
    map.ignore(foreign);
    let mut values = Values {
        found: BTreeMap::new(),
    };
    for (key, form) in spec.keys {
        if let Some(node) = map.take(key) {
            check_form(node, key, *form, map.problems());
            values.found.insert(key, node);
        }
    }
    map.finish();
    if let Some(message) = (spec.check)(&values) {
        problems.push(node.error(message));
    }
    values
}

fn check_form(node: &Node, key: &str, form: Form, problems: &mut Problems) {
    match form {
        Form::Any => {}
        Form::Map(spec) => drop(read(node, spec, problems)),
        Form::List(spec) => {
            for item in Reader::new(problems).list(node, key) {
                if !item.is_null() {
                    read(item, spec, problems);
                }
            }
        }
        Form::TextOr(spec) => {
            if node.as_text().is_none() {
                read(node, spec, problems);
            }
        }
        Form::TextsOr(spec) => match node.as_list() {
            Some(_) => drop(Reader::new(problems).texts(node, key)),
            None => drop(read(node, spec, problems)),
        },
        Form::Http => drop(http::read_http(node, problems)),
        Form::Tls => drop(http::read_tls(node, problems)),
        Form::AnyMap => {
            if node.as_map().is_none() {
                problems.push(node.error(format!("{key} must be a map, not {}", node.kind())));
            }
        }
        Form::TextMap => drop(Reader::new(problems).text_map(node, key)),
        Form::Texts => drop(Reader::new(problems).texts(node, key)),
        Form::Bool => drop(Reader::new(problems).boolean(node, key)),
        Form::Int => drop(Reader::new(problems).integer(node, key)),
        Form::Count => {
            if Reader::new(problems)
                .integer(node, key)
                .is_some_and(|n| n < 0)
            {
                problems.push(node.error(format!("{key} must not be negative")));
            }
        }
        Form::Duration => {
            if node.as_text().is_none() {
                problems.push(node.error(format!("{key} must be a duration, not {}", node.kind())));
            }
            Reader::new(problems).duration(node, key);
        }
        Form::Text
        | Form::GoDuration
        | Form::Url
        | Form::SecretUrl
        | Form::TemplateUrl
        | Form::HostPort => {
            if let Some(text) = Reader::new(problems).text(node, key)
                && let Some(wrong) = wrong_text(&text, form)
            {
                problems.push(node.error(format!("{key}: {wrong}")));
            }
        }
    }
}

fn wrong_text(text: &str, form: Form) -> Option<String> {
    match form {
        Form::Url => wrong_url(text),
        Form::SecretUrl if text == "<secret>" => None,
        Form::SecretUrl => wrong_url(text),
        Form::TemplateUrl if text.is_empty() || text == "<secret>" => None,
        Form::TemplateUrl if text.contains("{{") => {
            (!balanced(text)).then(|| "invalid template syntax: an action is not closed".to_owned())
        }
        Form::TemplateUrl => wrong_url(text),
        Form::GoDuration => go_duration(text)
            .is_none()
            .then(|| format!("not a valid duration string: {text:?}")),
        Form::HostPort => wrong_host_port(text),
        _ => None,
    }
}

/// Whether every `{{` of a template has its `}}`.
pub(super) fn balanced(text: &str) -> bool {
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        match rest[start + 2..].find("}}") {
            Some(end) if end > 0 => rest = &rest[start + 2 + end + 2..],
            _ => return false,
        }
    }
    true
}

fn wrong_url(text: &str) -> Option<String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        return Some(format!("unsupported scheme {scheme:?} for URL"));
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Some(format!("unsupported scheme {scheme:?} for URL"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or_default();
    if host.is_empty() {
        return Some("missing host for URL".to_owned());
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"`{}|\\^".contains(c)) {
        return Some("invalid character in host name".to_owned());
    }
    if text.contains(|c: char| c.is_ascii_control()) {
        return Some("invalid control character in URL".to_owned());
    }
    let port = match host.rfind(']') {
        Some(end) => host[end + 1..].strip_prefix(':'),
        None => host.split_once(':').map(|(_, port)| port),
    };
    port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()))
        .then(|| "invalid port after host".to_owned())
}

fn wrong_host_port(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, tail)) => (host, tail.strip_prefix(':')),
            None => return Some(format!("address {text}: missing ']' in address")),
        },
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    match port {
        None => Some(format!("address {text}: missing port in address")),
        Some("") => Some(format!("address {text:?}: port cannot be empty")),
        Some(_) if host.contains(':') && !text.starts_with('[') => {
            Some(format!("address {text}: too many colons in address"))
        }
        Some(_) => None,
    }
}

/// `1h30m`, `1.5s`, `-2ms`, `0`; a bare whole number is nanoseconds.
pub(super) fn go_duration(text: &str) -> Option<std::time::Duration> {
    if let Ok(nanos) = text.parse::<i64>() {
        return Some(std::time::Duration::from_nanos(nanos.max(0) as u64));
    }
    let negative = text.starts_with('-');
    let mut rest = text.trim_start_matches(['-', '+']);
    if rest.is_empty() || text.len() - rest.len() > 1 {
        return None;
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|end| *end > 0)?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |length| end + length);
        let unit = match &rest[end..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number * unit;
        rest = &rest[unit_end..];
    }
    if negative {
        seconds = 0.0;
    }
    std::time::Duration::try_from_secs_f64(seconds).ok()
}
