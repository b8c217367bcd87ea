//! `oncall.channels`: accounts of services and channels of the user's own; and people's addresses on them.

use std::collections::BTreeMap;

use bellwether_model::{Problems, Secret};
use bellwether_yaml::{MapReader, Node};

use crate::config::{Channel, Contact, CustomChannel, OnCall, Provider};
use crate::schedule::read::with_names;

/// Words of `receipts.words`, as our receipts are called.
const RECEIPT_WORDS: [&str; 8] = [
    "queued",
    "accepted",
    "sent",
    "delivered",
    "read",
    "answered",
    "failed_temporarily",
    "failed",
];
const PROVIDERS: [&str; 8] = [
    "slack",
    "mattermost",
    "telegram",
    "matrix",
    "pushover",
    "twilio",
    "pagerduty",
    "opsgenie",
];

/// Reads the section.
pub(super) fn read(node: &Node, oncall: &mut OnCall, problems: &mut Problems) {
    let mut map = MapReader::new(node, "channels section", problems);
    for name in PROVIDERS {
        if let Some(node) = map.take(name) {
            let made = provider(name, node, map.problems());
            oncall.providers.insert(name.to_owned(), made);
        }
    }
    if let Some(node) = map.take("custom") {
        oncall.custom = super::named(node, "channel", map.problems())
            .into_iter()
            .map(|(name, node)| (name, custom(node, map.problems())))
            .collect();
    }
    map.finish();
}

fn is_address(text: &str) -> bool {
    text.strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

fn provider(name: &str, node: &Node, problems: &mut Problems) -> Provider {
    let mut map = MapReader::new(node, "channel", problems);
    let url_node = map.take("url");
    let url = url_node
        .and_then(Node::as_text)
        .unwrap_or_default()
        .to_owned();
    if let Some(node) = url_node
        && !is_address(&url)
    {
        map.problems().push(node.error("not an http address"));
    }
    let made = Provider {
        url,
        account: map.text("account").unwrap_or_default(),
        from: map.text("from").unwrap_or_default(),
        token: map.secret("token").unwrap_or_default(),
        token_file: map.text("token_file").unwrap_or_default(),
    };
    map.finish();
    let has_token = !made.token.is_empty() || !made.token_file.is_empty();
    let missing = match name {
        "mattermost" if made.url.is_empty() => Some("url: the address of an incoming webhook"),
        "matrix" if made.url.is_empty() => Some("url: the homeserver's address"),
        "twilio" if made.account.is_empty() => Some("account: the account's SID"),
        "twilio" if made.from.is_empty() => Some("from: the number that messages come from"),
        "slack" | "telegram" | "matrix" | "pushover" | "twilio" if !has_token => {
            Some("token or token_file")
        }
        _ => None,
    };
    if let Some(missing) = missing {
        problems.push(node.error(format!("{name} has no {missing}")));
    }
    made
}

fn custom(node: &Node, problems: &mut Problems) -> CustomChannel {
    let mut map = MapReader::new(node, "channel", problems);
    let mut made = CustomChannel {
        method: map.text("method").unwrap_or_else(|| "POST".to_owned()),
        url: map.secret("url").unwrap_or_default(),
        headers: Vec::new(),
        body: map.text("body").unwrap_or_default(),
        ..CustomChannel::default()
    };
    if !matches!(made.method.as_str(), "POST" | "PUT" | "PATCH" | "GET") {
        let problem = node.error(format!("not a method for a message: {:?}", made.method));
        map.problems()
            .push(problem.with_hint("POST, PUT, PATCH or GET"));
    }
    if made.url.is_empty() {
        map.problems().push(node.error("this channel has no url"));
    }
    made.headers = map
        .text_map("headers")
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)))
        .collect();
    if let Some(node) = map.take("receipts") {
        let mut receipts = MapReader::new(node, "receipts", map.problems());
        made.receipt_id = receipts.text("id").unwrap_or_default();
        made.receipt_status = receipts.text("status").unwrap_or_default();
        made.receipt_words = receipts.text_map("words").into_iter().collect();
        for (key, pointer) in [("id", &made.receipt_id), ("status", &made.receipt_status)] {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                let problem = node.error(format!("{key}: not a JSON pointer: {pointer:?}"));
                receipts
                    .problems()
                    .push(problem.with_hint("as in /data/id"));
            }
        }
        for word in made.receipt_words.values() {
            if !RECEIPT_WORDS.contains(&word.as_str()) {
                let problem = node.error(format!("unknown receipt {word:?}"));
                receipts
                    .problems()
                    .push(with_names(problem, word, &RECEIPT_WORDS));
            }
        }
        receipts.finish();
    }
    map.finish();
    made
}

/// A person's keys named after channels.
pub(super) fn contacts(map: &mut MapReader<'_, '_>, oncall: &OnCall) -> BTreeMap<Channel, Contact> {
    let mut found = BTreeMap::new();
    for channel in Channel::BY_CONTACT {
        let key = channel.as_str();
        let Some(node) = map.take(key) else {
            continue;
        };
        let mut contact = Contact::default();
        if channel == Channel::Custom {
            let mut inner = MapReader::new(node, "contact", map.problems());
            contact.via = inner.required_text("channel").unwrap_or_default();
            contact.to = inner.secret("to").unwrap_or_default();
            inner.finish();
            if !oncall.custom.contains_key(&contact.via) {
                let names: Vec<&str> = oncall.custom.keys().map(String::as_str).collect();
                let problem = node.error(format!("there is no channel {:?}", contact.via));
                map.problems()
                    .push(with_names(problem, &contact.via, &names));
            }
        } else {
            contact.to = Secret::new(node.as_text().unwrap_or_default());
        }
        let to = contact.to.expose();
        let problem = match channel {
            Channel::Custom => None,
            _ if to.is_empty() => Some(format!("{key}: an address is wanted here")),
            Channel::Msteams | Channel::Discord if !is_address(to) => {
                Some(format!("{key}: the address of a webhook is wanted here"))
            }
            _ => None,
        };
        if let Some(text) = problem {
            map.problems().push(node.error(text));
        }
        if let Some(provider) = channel.provider()
            && !oncall.providers.contains_key(provider)
        {
            map.problems().push(
                node.error(format!("{key} needs an account"))
                    .with_hint(format!("set oncall.channels.{provider}")),
            );
        }
        found.insert(channel, contact);
    }
    found
}
