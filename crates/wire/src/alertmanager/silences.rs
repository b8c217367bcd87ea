//! Posted silences.

use std::collections::BTreeMap;

use bellwether_model::labels::is_classic_label_name;
use bellwether_model::{MatchOp, Matcher};
use bellwether_page::NewSilence;
use bellwether_page::matchers::Mode;
use jiff::Timestamp;
use serde::Deserialize;

use super::unreadable;
use crate::Refusal;
use crate::json::{Limited, Object, Pairs, Text, Time};

/// Matchers that one silence may have; more are refused before any is compiled.
const MATCHERS_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Silence<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    matchers: Option<Limited<Object<RawMatcher<'a>>, MATCHERS_MAX>>,
    #[serde(default, rename = "startsAt")]
    starts_at: Option<Time>,
    #[serde(default, rename = "endsAt")]
    ends_at: Option<Time>,
    #[serde(borrow, default, rename = "createdBy")]
    created_by: Option<Text<'a>>,
    #[serde(borrow, default)]
    comment: Option<Text<'a>>,
    #[serde(default)]
    annotations: Option<Pairs>,
}

#[derive(Default, Deserialize)]
struct RawMatcher<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(default, rename = "isRegex")]
    is_regex: Option<bool>,
    #[serde(default, rename = "isEqual")]
    is_equal: Option<bool>,
}

fn required(what: &str) -> Refusal {
    Refusal::coded(422, 602, format!("{what} in body is required"))
}

/// Reads the body of `POST /silences`. `exists` says whether a silence of an id is known.
pub fn read_silence(
    body: &[u8],
    mode: Mode,
    now: Timestamp,
    exists: impl FnOnce(&str) -> bool,
) -> Result<NewSilence, Refusal> {
    if body.is_empty() {
        return Err(required("silence"));
    }
    let read: Object<Silence<'_>> =
        serde_json::from_slice(body).map_err(|error| unreadable("silence", &error))?;
    let raw = read.0.ok_or_else(|| required("comment"))?;
    let comment = raw.comment.ok_or_else(|| required("comment"))?.0;
    let created_by = raw.created_by.ok_or_else(|| required("createdBy"))?.0;
    let ends_at = raw.ends_at.ok_or_else(|| required("endsAt"))?.0;
    let matchers = raw.matchers.ok_or_else(|| required("matchers"))?.0;
    if matchers.is_empty() {
        let message = "matchers in body should have at least 1 items";
        return Err(Refusal::coded(422, 612, message));
    }
    for (index, matcher) in matchers.iter().enumerate() {
        let matcher = matcher.0.as_ref();
        let has = |there: fn(&RawMatcher<'_>) -> bool| matcher.is_some_and(there);
        for (key, there) in [
            ("isRegex", has(|m| m.is_regex.is_some())),
            ("name", has(|m| m.name.is_some())),
            ("value", has(|m| m.value.is_some())),
        ] {
            if !there {
                return Err(required(&format!("matchers.{index}.{key}")));
            }
        }
    }
    let starts_at = raw.starts_at.ok_or_else(|| required("startsAt"))?.0;
    let ends_at = ends_at.unwrap_or(Timestamp::UNIX_EPOCH);
    if starts_at.is_some_and(|start| start >= ends_at) {
        let message = "Failed to create silence: start time must be before end time";
        return Err(Refusal::text(400, message));
    }
    if ends_at < now {
        let message = "Failed to create silence: end time can't be in the past";
        return Err(Refusal::text(400, message));
    }
    let id = raw.id.map(|id| id.0).filter(|id| !id.is_empty());
    if let Some(id) = &id
        && !exists(id)
    {
        return Err(Refusal::text(404, "silence not found"));
    }
    let mut set = Vec::with_capacity(matchers.len());
    for (index, raw) in matchers.into_iter().filter_map(|m| m.0).enumerate() {
        let made = matcher(&raw, mode);
        let invalid = |why| {
            let message = format!("invalid silence: invalid label matcher {index}: {why}");
            Refusal::text(400, message)
        };
        set.push(made.map_err(invalid)?);
    }
    let annotations: BTreeMap<String, String> = raw
        .annotations
        .unwrap_or_default()
        .labels
        .iter()
        .map(|label| (label.name.to_string(), label.value.to_string()))
        .collect();
    let new = NewSilence {
        id: id.map(std::borrow::Cow::into_owned),
        matcher_sets: vec![set],
        starts_at,
        ends_at,
        created_by: created_by.into_owned(),
        comment: comment.into_owned(),
        annotations,
    };
    match bellwether_page::engine::silence_refusal(&new, now) {
        Some(text) => Err(Refusal::text(400, format!("invalid silence: {text}"))),
        None => Ok(new),
    }
}

fn matcher(raw: &RawMatcher<'_>, mode: Mode) -> Result<Matcher, String> {
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
    let (name, value) = (
        text(&raw.name).unwrap_or_default(),
        text(&raw.value).unwrap_or_default(),
    );
    let good = match mode {
        Mode::Classic => is_classic_label_name(&name),
        Mode::Fallback | Mode::Utf8 => !name.is_empty(),
    };
    if !good {
        return Err(format!("invalid label name {name:?}"));
    }
    let op = match (raw.is_equal.unwrap_or(true), raw.is_regex.unwrap_or(false)) {
        (true, false) => MatchOp::Equal,
        (false, false) => MatchOp::NotEqual,
        (true, true) => MatchOp::Regex,
        (false, true) => MatchOp::NotRegex,
    };
    Matcher::new(op, &name, &value).map_err(|error| error.to_string())
}

/// What the pager said against a change of a silence, as Alertmanager answers it: `deleted` for `DELETE`.
pub fn silence_refusal(text: &str, deleted: bool) -> Refusal {
    if text.ends_with("not found") {
        return if deleted {
            Refusal::empty(404)
        } else {
            Refusal::text(404, "silence not found")
        };
    }
    Refusal::text(if deleted { 500 } else { 400 }, text)
}
