//! The chain over the timeline: each event's hash covers the hash before it and the event's own content.
//!
//! What it proves: a row that was changed, removed or put in by hand is found, and so is a cut end, if the last hash
//! was kept elsewhere. What it does not: whoever rewrites the whole chain is found only by such a copy.

use bellwether_model::state::NewEvent;
use sha2::{Digest as _, Sha256};

use crate::prepare::nanos;
use crate::rows;

/// What stands before the first hash.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An event as it is in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRow {
    pub seq: u64,
    /// Everything the hash covers, in one canonical text.
    pub content: String,
    /// `None` for events from before the chain.
    pub hash: Option<String>,
}

/// The first fault of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    /// The row to look at.
    pub seq: u64,
    pub what: &'static str,
}

/// Checks rows as they come, oldest first.
#[derive(Clone, Debug, Default)]
pub struct ChainCheck {
    last: Option<(u64, String)>,
    /// Rows from before the chain.
    pub unchained: u64,
    pub checked: u64,
}

/// The hash of an event after another one.
pub fn chain_hash(before: &str, content: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(b"\n");
    hash.update(content.as_bytes());
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// What an event's hash covers.
pub(crate) fn content_of(seq: u64, new: &NewEvent) -> String {
    let NewEvent {
        at,
        subject,
        kind,
        actor,
        text,
        data,
    } = new;
    content(
        seq,
        nanos(*at),
        [
            &subject.kind,
            &subject.id,
            kind,
            actor,
            text,
            &rows::json_text(data),
        ],
    )
}

pub(crate) fn content(seq: u64, at: i64, texts: [&str; 6]) -> String {
    serde_json::json!([seq, at, texts]).to_string()
}

impl ChainCheck {
    /// Takes the next row; the first fault ends the check.
    pub fn push(&mut self, row: &ChainRow) -> Result<(), ChainFault> {
        let fault = |what| Err(ChainFault { seq: row.seq, what });
        let expected = self.last.as_ref().map_or(1, |(seq, _)| seq + 1);
        if row.seq != expected && (self.last.is_some() || self.unchained == 0) {
            return Err(ChainFault {
                seq: expected,
                what: "it is missing",
            });
        }
        let before = match (&self.last, &row.hash) {
            (None, None) => {
                self.unchained += 1;
                return Ok(());
            }
            (Some(_), None) => return fault("it has no hash"),
            (None, Some(_)) => GENESIS,
            (Some((_, before)), Some(_)) => before,
        };
        let hash = chain_hash(before, &row.content);
        if row.hash.as_ref() != Some(&hash) {
            return fault("its content is not what was written");
        }
        self.checked += 1;
        self.last = Some((row.seq, hash));
        Ok(())
    }

    /// Number and hash of the last row.
    pub fn head(&self) -> Option<(u64, &str)> {
        self.last.as_ref().map(|(seq, hash)| (*seq, hash.as_str()))
    }
}
