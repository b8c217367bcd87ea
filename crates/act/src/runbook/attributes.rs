//! The info string of a fence: `lang key=value key="quoted value" flag`, or `lang {"json": "object"}`.
//!
//! What cannot be read is an error at its column; nothing is guessed or left out silently.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{ATTRIBUTES_MAX, INFO_MAX};

/// A value and the character it begins at, counted from the info string's first (0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    /// `None` for a flag.
    pub(super) value: Option<String>,
    pub(super) at: usize,
}

/// An info string, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) lang: String,
    pub(super) attributes: BTreeMap<String, Attribute>,
    /// What follows a `#`: a comment for people.
    pub(super) comment: String,
    /// Faults: offset in characters, and what is wrong.
    pub(super) faults: Vec<(usize, String)>,
}

/// Language of an info string in lower case, without its attributes.
pub(super) fn language(info: &str) -> String {
    info.trim_start()
        .chars()
        .take_while(|c| !c.is_whitespace() && *c != '{')
        .take(64)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Takes an info string apart.
pub(super) fn read_info(info: &str) -> Info {
    let mut out = Info {
        lang: language(info),
        ..Info::default()
    };
    if info.len() > INFO_MAX {
        let fault = format!("info string of {} bytes; {INFO_MAX} at most", info.len());
        out.faults.push((0, fault));
        return out;
    }
    let chars: Vec<char> = info.chars().collect();
    let lead = chars.iter().take_while(|c| c.is_whitespace()).count();
    let mut at = lead
        + chars[lead..]
            .iter()
            .take_while(|c| !c.is_whitespace() && **c != '{')
            .count();
    at = skip_space(&chars, at);
    if chars.get(at) == Some(&'{') {
        read_json(&chars, at, &mut out);
    } else {
        read_words(&chars, at, &mut out);
    }
    out
}

fn skip_space(chars: &[char], mut at: usize) -> usize {
    while chars.get(at).is_some_and(|c| c.is_whitespace()) {
        at += 1;
    }
    at
}

fn read_json(chars: &[char], at: usize, out: &mut Info) {
    let text: String = chars[at..].iter().collect();
    let object: serde_json::Map<String, serde_json::Value> = match serde_json::from_str(&text) {
        Ok(object) => object,
        Err(error) => {
            let place = at + error.column().saturating_sub(1);
            out.faults
                .push((place, format!("attributes are not a JSON object: {error}")));
            return;
        }
    };
    for (key, value) in object {
        let value = match value {
            serde_json::Value::Bool(true) => None,
            serde_json::Value::Bool(false) => continue,
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            other => {
                out.faults.push((
                    at,
                    format!("attribute {key:?} must be a single value, not {other}"),
                ));
                continue;
            }
        };
        insert(out, key, Attribute { value, at });
    }
}

fn read_words(chars: &[char], mut at: usize, out: &mut Info) {
    while at < chars.len() {
        if chars[at] == '#' {
            let comment: String = chars[at + 1..].iter().collect();
            comment.trim().clone_into(&mut out.comment);
            return;
        }
        let begin = at;
        while chars
            .get(at)
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        {
            at += 1;
        }
        let key: String = chars[begin..at].iter().collect();
        if key.is_empty() {
            let fault = format!("unexpected {:?} where an attribute should begin", chars[at]);
            out.faults.push((at, fault));
            return;
        }
        let mut value = None;
        if chars.get(at) == Some(&'=') {
            at += 1;
            match read_value(chars, at) {
                Ok((text, end)) => (value, at) = (Some(text), end),
                Err(fault) => {
                    out.faults.push((at, format!("attribute {key:?}: {fault}")));
                    return;
                }
            }
        }
        if chars.get(at).is_some_and(|c| !c.is_whitespace()) {
            let fault = format!("unexpected {:?} after attribute {key:?}", chars[at]);
            out.faults.push((at, fault));
            return;
        }
        insert(out, key, Attribute { value, at: begin });
        if out.attributes.len() > ATTRIBUTES_MAX {
            let fault = format!("more than {ATTRIBUTES_MAX} attributes");
            out.faults.push((begin, fault));
            return;
        }
        at = skip_space(chars, at);
    }
}

/// A value and the place after it.
fn read_value(chars: &[char], mut at: usize) -> Result<(String, usize), &'static str> {
    let mut text = String::new();
    let Some(quote) = chars.get(at).copied().filter(|c| matches!(c, '"' | '\'')) else {
        while let Some(c) = chars.get(at).filter(|c| !c.is_whitespace()) {
            text.push(*c);
            at += 1;
        }
        return if text.is_empty() {
            Err("nothing after `=`")
        } else {
            Ok((text, at))
        };
    };
    at += 1;
    loop {
        match chars.get(at) {
            None => return Err("the quote never ends"),
            Some(c) if *c == quote => return Ok((text, at + 1)),
            // Only the quote and the backslash are escaped, so that regular expressions stay readable.
            Some('\\') if matches!(chars.get(at + 1), Some(c) if *c == quote || *c == '\\') => {
                text.push(chars[at + 1]);
                at += 2;
            }
            Some(c) => {
                text.push(*c);
                at += 1;
            }
        }
    }
}

fn insert(out: &mut Info, key: String, attribute: Attribute) {
    match out.attributes.entry(key) {
        Entry::Occupied(entry) => {
            let fault = format!("attribute {:?} is already set", entry.key());
            out.faults.push((attribute.at, fault));
        }
        Entry::Vacant(entry) => {
            entry.insert(attribute);
        }
    }
}
