//! A configuration that may be shown.
//!
//! Works on the parsed tree, not on lines: `{password: x}` on one line, folded text and quoted keys are all seen.

use bellwether_model::Problems;
use bellwether_yaml::{Node, Value};

/// Parts of key names whose values are secret; `…_file` only names a place.
const SECRET: [&str; 12] = [
    "password",
    "secret",
    "token",
    "credentials",
    "api_key",
    "service_key",
    "routing_key",
    "user_key",
    "_url",
    "webhook",
    "authorization",
    "topic",
];
const HIDDEN: &str = "<secret>";
/// Stands for an address that is secret, where an address must be.
const BLANK: &str = "http://secret.invalid/";

/// The text with its secrets replaced.
pub(super) fn redact(text: &str) -> String {
    let mut out = String::new();
    if let Some(node) = bellwether_yaml::parse("", text, &mut Problems::default()) {
        write(&node, 0, false, false, &mut out);
    }
    out.trim_start_matches('\n').to_owned()
}

/// The sections that an Alertmanager's file has, so that its tools can read them: secrets hidden in the form that they
/// accept, our own receivers left out.
pub(super) fn alertmanager(text: &str) -> String {
    let mut out = String::new();
    let Some(node) = bellwether_yaml::parse("", text, &mut Problems::default()) else {
        return out;
    };
    let Value::Map(entries) = node.value else {
        return out;
    };
    for (key, mut value) in entries {
        let name = key.as_text().unwrap_or_default();
        match name {
            "global" => keep(&mut value, |key| !super::PROMETHEUS_GLOBALS.contains(&key)),
            "receivers" => {
                if let Value::List(receivers) = &mut value.value {
                    for receiver in receivers {
                        keep(receiver, |key| key != "page_configs");
                        blank_webhooks(receiver);
                    }
                }
            }
            "route" | "inhibit_rules" | "time_intervals" | "mute_time_intervals" | "templates" => {}
            _ => continue,
        }
        if matches!(&value.value, Value::Map(entries) if entries.is_empty()) {
            continue;
        }
        out.push_str(&format!("{name}:"));
        write(&value, 1, false, name == "receivers", &mut out);
    }
    out
}

fn keep(node: &mut Node, wanted: impl Fn(&str) -> bool) {
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|(key, _)| key.as_text().is_some_and(&wanted));
    }
}

/// Older tools want an address where newer ones accept `<secret>`.
fn blank_webhooks(receiver: &mut Node) {
    let Value::Map(entries) = &mut receiver.value else {
        return;
    };
    let webhooks = entries
        .iter_mut()
        .filter(|(key, _)| key.as_text() == Some("webhook_configs"));
    for (_, configs) in webhooks {
        let Value::List(configs) = &mut configs.value else {
            continue;
        };
        for config in configs {
            let Value::Map(keys) = &mut config.value else {
                continue;
            };
            for (key, value) in keys {
                if let Value::Scalar { text, .. } = &mut value.value
                    && key.as_text() == Some("url")
                {
                    BLANK.clone_into(text);
                }
            }
        }
    }
}

fn is_secret(key: &str, in_receiver: bool) -> bool {
    let key = key.to_ascii_lowercase();
    let named = key == "key" || SECRET.iter().any(|word| key.contains(word));
    // The address of a receiver is often its only lock.
    (named && !key.ends_with("_file")) || (in_receiver && key == "url")
}

/// Writes what follows a key's colon or a list's dash. `hide` holds for scalars and lists of them, not for maps.
fn write(node: &Node, depth: usize, hide: bool, in_receiver: bool, out: &mut String) {
    match &node.value {
        Value::Null => out.push('\n'),
        Value::Scalar { text, .. } if text == BLANK => out.push_str(&format!(" {text}\n")),
        Value::Scalar { .. } if hide => out.push_str(&format!(" {HIDDEN}\n")),
        Value::Scalar { text, quoted } => out.push_str(&format!(" {}\n", scalar(text, *quoted))),
        Value::List(items) if items.is_empty() => out.push_str(" []\n"),
        Value::List(items) => {
            out.push('\n');
            for item in items {
                out.push_str(&format!("{:1$}-", "", depth * 2));
                write(item, depth + 1, hide, in_receiver, out);
            }
        }
        Value::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Value::Map(entries) => {
            out.push('\n');
            for (key, value) in entries {
                let key = key.as_text().unwrap_or_default();
                out.push_str(&format!("{:1$}{2}:", "", depth * 2, scalar(key, false)));
                // Whoever knows the address may post there.
                if key == "chats" {
                    out.push_str(&format!(" {HIDDEN}\n"));
                    continue;
                }
                let in_receiver = in_receiver || key == "receivers";
                write(
                    value,
                    depth + 1,
                    is_secret(key, in_receiver),
                    in_receiver,
                    out,
                );
            }
        }
    }
}

/// A scalar that reads back as it was; the password of an address is hidden.
fn scalar(text: &str, quoted: bool) -> String {
    let text = without_password(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./$".contains(c);
    if !quoted
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '/')
        && text.chars().all(plain)
    {
        return text;
    }
    serde_json::Value::from(text).to_string()
}

/// `http://user:password@host` without the password.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority
        .rsplit_once('@')
        .map(|(user, host)| (user.split_once(':'), host))
    {
        Some((Some((user, _)), host)) => format!("{scheme}://{user}:{HIDDEN}@{host}{path}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_however_they_are_written() {
        let text = "\
# comment
global: {smtp_auth_password: a1, smtp_from: 'x@y'}
scrape_configs:
  - job_name: a
    basic_auth: {username: u, \"password\": 'a2', password_file: /a/place}
    authorization:
      credentials: >-
        a3
    params: {token: [a4], module: [m]}
    static_configs: [{targets: ['127.0.0.1:1', \"http://u:a5@h/p\"]}]
receivers:
  - name: r
    webhook_configs:
      - url: https://h/a6
        send_resolved: true
empty:
none: []
";
        let shown = redact(text);
        for secret in 1..=6 {
            assert!(!shown.contains(&format!("a{secret}")), "{shown}");
        }
        let mut problems = Problems::default();
        let again =
            bellwether_yaml::parse("", &shown, &mut problems).expect("what is shown can be read");
        assert!(problems.0.is_empty(), "{problems}\n{shown}");
        let json = again.to_json();
        assert_eq!(json["scrape_configs"][0]["basic_auth"]["password"], HIDDEN);
        assert_eq!(
            json["scrape_configs"][0]["basic_auth"]["password_file"],
            "/a/place"
        );
        assert_eq!(
            json["scrape_configs"][0]["static_configs"][0]["targets"][0],
            "127.0.0.1:1"
        );
        assert_eq!(json["receivers"][0]["webhook_configs"][0]["url"], HIDDEN);
        assert_eq!(
            json["receivers"][0]["webhook_configs"][0]["send_resolved"],
            true
        );
        assert_eq!(redact(""), "");
    }
}
