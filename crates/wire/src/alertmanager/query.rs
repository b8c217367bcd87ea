//! Parameters of the lists.

use bellwether_model::Matcher;
use bellwether_page::config::PageConfig;
use bellwether_page::matchers::{self, Mode};
use bellwether_page::record::Silence;
use bellwether_page::record::SilenceState;
use bellwether_page::view::{AlertState, AlertView, SilenceView};
use regex::{Regex, RegexBuilder};

use crate::Refusal;

/// Filters that one request may have.
const FILTERS_MAX: usize = 100;
/// Compiled size of the receiver's expression.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// Which alerts somebody wants to see.
#[derive(Clone, Debug)]
pub struct Query {
    filter: Vec<Matcher>,
    receiver: Option<Regex>,
    receiver_matchers: Vec<Matcher>,
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
}

/// Which silences somebody wants to see.
#[derive(Clone, Debug)]
pub struct SilenceQuery {
    filter: Vec<Matcher>,
    active: bool,
    pending: bool,
    expired: bool,
}

/// Go-openapi's idea of true; everything else is false.
fn is_true(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "1" | "yes" | "ok" | "y" | "on" | "selected" | "checked" | "t" | "enabled"
    )
}

/// A switch that is on unless something else is said; the last value counts.
fn switch(params: &[(String, String)], name: &str) -> bool {
    params
        .iter()
        .rev()
        .find(|(key, _)| key == name)
        .is_none_or(|(_, value)| value.is_empty() || is_true(value))
}

fn filters(params: &[(String, String)], name: &str, mode: Mode) -> Result<Vec<Matcher>, Refusal> {
    let texts: Vec<&String> = params
        .iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value)
        .collect();
    if texts.len() > FILTERS_MAX {
        return Err(Refusal::text(
            400,
            format!("more than {FILTERS_MAX} filters"),
        ));
    }
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        let mut found =
            matchers::parse(text, mode).map_err(|error| Refusal::text(400, error.to_string()))?;
        match (found.pop(), found.len()) {
            (Some(one), 0) => all.push(one),
            (None, _) => {
                return Err(Refusal::text(400, format!("bad matcher format: {text}")));
            }
            (Some(_), more) => {
                let message = format!("expected 1 matcher, found {}", more + 1);
                return Err(Refusal::text(400, message));
            }
        }
    }
    Ok(all)
}

/// `receiver_matchers`, for the list of receivers.
pub fn receiver_query(params: &[(String, String)], mode: Mode) -> Result<Vec<Matcher>, Refusal> {
    filters(params, "receiver_matchers", mode)
}

/// Whether a text is a UUID, as `format: uuid` demands.
pub fn is_uuid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| {
            if dashes.contains(&index) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
}

// === impl Query ===

impl Query {
    /// Reads the parameters of `GET /alerts` and `GET /alerts/groups`.
    pub fn read(params: &[(String, String)], mode: Mode) -> Result<Self, Refusal> {
        let filter = filters(params, "filter", mode)?;
        let receiver_matchers = filters(params, "receiver_matchers", mode)?;
        let receiver = params.iter().rev().find(|(key, _)| key == "receiver");
        let receiver = match receiver {
            Some((_, text)) if !text.is_empty() => {
                let made = RegexBuilder::new(&format!("^(?:{text})$"))
                    .size_limit(PATTERN_SIZE_MAX)
                    .build();
                Some(made.map_err(|error| {
                    let why = error.to_string();
                    let why = why.lines().last().unwrap_or_default();
                    let why = why.trim_start_matches("error: ");
                    let text = format!(
                        "failed to parse receiver param: error parsing regexp: {why}: `^(?:{text})$`"
                    );
                    Refusal::text(400, text)
                })?)
            }
            _ => None,
        };
        Ok(Self {
            filter,
            receiver,
            receiver_matchers,
            active: switch(params, "active"),
            silenced: switch(params, "silenced"),
            inhibited: switch(params, "inhibited"),
            muted: switch(params, "muted"),
        })
    }

    /// Whether groups whose alerts are all muted are wanted.
    pub fn wants_muted(&self) -> bool {
        self.muted
    }

    /// Whether an alert is wanted, whatever its receivers.
    pub fn wants(&self, alert: &AlertView) -> bool {
        (self.active || super::views::state(alert) != AlertState::Active)
            && (self.silenced || alert.silenced_by.is_empty())
            && (self.inhibited || alert.inhibited_by.is_empty())
            && self
                .filter
                .iter()
                .all(|matcher| matcher.matches_labels(&alert.labels))
    }

    /// Whether a receiver is wanted.
    pub fn wants_receiver(&self, name: &str, config: &PageConfig) -> bool {
        self.receiver
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(name))
            && (self.receiver_matchers.is_empty()
                || config.receivers.get(name).is_some_and(|receiver| {
                    self.receiver_matchers
                        .iter()
                        .all(|matcher| matcher.matches_labels(&receiver.labels))
                }))
    }
}

// === impl SilenceQuery ===

impl SilenceQuery {
    /// Reads the parameters of `GET /silences`.
    pub fn read(params: &[(String, String)], mode: Mode) -> Result<Self, Refusal> {
        Ok(Self {
            filter: filters(params, "filter", mode)?,
            active: switch(params, "active"),
            pending: switch(params, "pending"),
            expired: switch(params, "expired"),
        })
    }

    /// Whether a silence is wanted. A filter matches a matcher that is the same, not what it would match.
    pub fn wants(&self, view: &SilenceView) -> bool {
        let state = match view.state {
            SilenceState::Active => self.active,
            SilenceState::Pending => self.pending,
            SilenceState::Expired => self.expired,
        };
        state && self.filter.iter().all(|wanted| has(&view.silence, wanted))
    }
}

fn has(silence: &Silence, wanted: &Matcher) -> bool {
    silence
        .matcher_sets
        .iter()
        .flatten()
        .any(|matcher| matcher == wanted)
}
