//! Posted alerts.

use bellwether_model::labels::is_classic_label_name;
use bellwether_model::{Labels, PostedAlert};
use bellwether_page::matchers::Mode;
use serde::Deserialize;

use super::unreadable;
use crate::Refusal;
use crate::json::{Limited, Object, Pairs, Text, Time};

/// Alerts that one post may have.
pub const ALERTS_MAX: usize = 20_000;

/// What a post holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Those that are taken.
    pub good: Vec<PostedAlert>,
    /// Why the others are not.
    pub refused: Vec<String>,
}

/// Keys match without regard to case, as Go's decoder has it; the exact ones are fast.
#[derive(Deserialize)]
struct Alert<'a> {
    #[serde(default, alias = "Labels")]
    labels: Option<Pairs>,
    #[serde(default, alias = "Annotations")]
    annotations: Option<Pairs>,
    #[serde(default, rename = "startsAt", alias = "StartsAt", alias = "startsat")]
    starts_at: Time,
    #[serde(default, rename = "endsAt", alias = "EndsAt", alias = "endsat")]
    ends_at: Time,
    #[serde(
        borrow,
        default,
        rename = "generatorURL",
        alias = "GeneratorURL",
        alias = "generatorurl",
        alias = "generatorUrl"
    )]
    generator_url: Option<Text<'a>>,
}

/// Reads the body of `POST /alerts`. The good alerts of a mixed batch are given with the reasons of the others: store
/// the good ones, then answer 400 with [`Posted::answer`].
pub fn read_alerts(body: &[u8], mode: Mode) -> Result<Posted, Refusal> {
    if body.is_empty() {
        return Err(Refusal::coded(422, 602, "alerts in body is required"));
    }
    let alerts: Limited<Object<Alert<'_>>, ALERTS_MAX> =
        serde_json::from_slice(body).map_err(|error| unreadable("alerts", &error))?;
    let mut read = Vec::with_capacity(alerts.0.len());
    for (index, alert) in alerts.0.into_iter().enumerate() {
        let missing = || Refusal::coded(422, 602, format!("{index}.labels in body is required"));
        let alert = alert.0.ok_or_else(missing)?;
        let labels = alert.labels.ok_or_else(missing)?.labels;
        let url = alert.generator_url.map(|text| text.0).unwrap_or_default();
        if !is_uri(&url) {
            let shown: String = url.chars().take(200).collect();
            let message = format!("{index}.generatorURL in body must be of type uri: {shown:?}");
            return Err(Refusal::coded(422, 601, message));
        }
        read.push(PostedAlert {
            labels,
            annotations: alert.annotations.unwrap_or_default().labels,
            starts_at: alert.starts_at.0,
            ends_at: alert.ends_at.0,
            generator_url: url.into_owned(),
        });
    }
    let mut posted = Posted::default();
    for alert in read {
        match refusal(&alert, mode) {
            None => posted.good.push(alert),
            Some(text) => posted.refused.push(text),
        }
    }
    Ok(posted)
}

impl Posted {
    /// The answer once the good alerts are stored; `None` is an empty 200.
    pub fn answer(&self) -> Option<Refusal> {
        const TEXT_MAX: usize = 16 << 10;
        if self.refused.is_empty() {
            return None;
        }
        let mut text = self.refused.join("; ");
        if text.len() > TEXT_MAX {
            let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
            text.push_str("...");
        }
        Some(Refusal::text(400, text))
    }
}

/// Alertmanager's `Alert.Validate`, in its order, then our own limits.
fn refusal(alert: &PostedAlert, mode: Mode) -> Option<String> {
    if let (Some(start), Some(end)) = (alert.starts_at, alert.ends_at)
        && start > end
    {
        return Some("start time must be before end time".to_owned());
    }
    if let Some(name) = bad_name(&alert.labels, mode) {
        return Some(format!("invalid label set: invalid name {name:?}"));
    }
    if alert.labels.is_empty() {
        return Some("at least one label pair required".to_owned());
    }
    if let Some(name) = bad_name(&alert.annotations, mode) {
        return Some(format!("invalid annotations: invalid name {name:?}"));
    }
    bellwether_page::engine::alert_refusal(alert)
}

fn bad_name(labels: &Labels, mode: Mode) -> Option<String> {
    labels
        .iter()
        .find(|label| match mode {
            Mode::Classic => !is_classic_label_name(&label.name),
            Mode::Fallback | Mode::Utf8 => label.name.is_empty(),
        })
        .map(|label| label.name.chars().take(200).collect())
}

/// What Go's `url.ParseRequestURI` takes: a path, or something with a scheme.
fn is_uri(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    if text.contains(|c: char| c.is_ascii_control()) {
        return false;
    }
    let bytes = text.as_bytes();
    let escapes_are_good = bytes.iter().enumerate().all(|(index, byte)| {
        *byte != b'%'
            || bytes
                .get(index + 1..index + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    // Only the path's escapes are looked at; a query may hold anything.
    let in_query = text
        .find('?')
        .is_some_and(|query| !text[..query].contains('%') || escapes_are_good);
    if !escapes_are_good && !in_query {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let host = rest.strip_prefix("//").map_or("", |rest| {
        rest.split(['/', '?', '#']).next().unwrap_or(rest)
    });
    named && !host.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}'])
}
