//! Takes secrets out of a byte stream, whatever way it is cut into chunks.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bellwether_model::Secret;

/// What stands in place of a secret.
pub const MARK: &[u8] = b"<secret>";
/// Shorter secrets are not looked for: they would be found everywhere.
pub const MIN_SECRET: usize = 4;
/// A line of a secret with several lines (a private key) is looked for by itself from this length.
const MIN_LINE: usize = 8;

/// The patterns to take out: each secret as it is, in JSON, in a URL, in base 64 at each of the three offsets, in hex.
#[derive(Clone, Default)]
pub struct Redactor {
    patterns: Vec<Vec<u8>>,
    /// Patterns by their first byte, so that most bytes cost one look.
    by_first: Vec<Vec<usize>>,
    longest: usize,
}

/// One stream being redacted.
#[derive(Debug)]
pub struct RedactStream {
    redactor: Redactor,
    held: Vec<u8>,
    /// How many bytes from the beginning of `held` belong to a secret that began before it.
    masked: usize,
}

// === impl Redactor ===

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} patterns)", self.patterns.len())
    }
}

impl Redactor {
    /// Looks for these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut patterns = Vec::new();
        for secret in secrets {
            let whole = secret.expose();
            add_forms(&mut patterns, whole.as_bytes());
            let trimmed = whole.trim();
            if trimmed != whole {
                add_forms(&mut patterns, trimmed.as_bytes());
            }
            if trimmed.contains('\n') {
                for line in trimmed.lines().filter(|line| line.len() >= MIN_LINE) {
                    add_forms(&mut patterns, line.as_bytes());
                }
            }
        }
        patterns.sort();
        patterns.dedup();
        let mut by_first = vec![Vec::new(); 256];
        for (index, pattern) in patterns.iter().enumerate() {
            if let Some(first) = pattern.first() {
                by_first[usize::from(*first)].push(index);
            }
        }
        Self {
            longest: patterns.iter().map(Vec::len).max().unwrap_or(0),
            patterns,
            by_first,
        }
    }

    /// Begins a stream.
    pub fn stream(&self) -> RedactStream {
        RedactStream {
            redactor: self.clone(),
            held: Vec::new(),
            masked: 0,
        }
    }

    /// Redacts a whole text.
    pub fn redact(&self, text: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut out = stream.push(text);
        out.extend(stream.finish());
        out
    }

    /// Length of the longest pattern that begins here.
    fn longest_at(&self, bytes: &[u8]) -> usize {
        let Some(candidates) = bytes
            .first()
            .and_then(|first| self.by_first.get(usize::from(*first)))
        else {
            return 0;
        };
        candidates
            .iter()
            .filter_map(|index| self.patterns.get(*index))
            .filter(|pattern| bytes.starts_with(pattern))
            .map(Vec::len)
            .max()
            .unwrap_or(0)
    }
}

// === impl RedactStream ===

impl RedactStream {
    /// Takes the next chunk; gives what is surely no part of a secret that is not complete yet.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        if self.redactor.longest == 0 {
            return chunk.to_vec();
        }
        self.held.extend_from_slice(chunk);
        let ready = (self.held.len() + 1).saturating_sub(self.redactor.longest);
        self.give(0..ready)
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> Vec<u8> {
        self.give(0..self.held.len())
    }

    /// Decides about each position of the range, which begins at 0. Matches may overlap: all of them are masked.
    fn give(&mut self, range: Range<usize>) -> Vec<u8> {
        let mut out = Vec::with_capacity(range.len());
        for at in range.clone() {
            let length = self.redactor.longest_at(&self.held[at..]);
            // A mark for each run of masked bytes, at its beginning.
            if length > 0 && at >= self.masked {
                out.extend_from_slice(MARK);
            }
            self.masked = self.masked.max(if length > 0 { at + length } else { 0 });
            if at >= self.masked {
                out.push(self.held[at]);
            }
        }
        self.held.drain(range.clone());
        self.masked = self.masked.saturating_sub(range.end);
        out
    }
}

fn add_forms(patterns: &mut Vec<Vec<u8>>, secret: &[u8]) {
    if secret.len() < MIN_SECRET {
        return;
    }
    patterns.push(secret.to_vec());
    let text = String::from_utf8_lossy(secret);
    let quoted = serde_json::to_string(&text).expect("a text can be written as JSON");
    patterns.push(quoted.as_bytes()[1..quoted.len() - 1].to_vec());
    for upper in [true, false] {
        patterns.push(percent_encoded(secret, upper));
        patterns.push(hex(secret, upper));
    }
    for offset in 0..3 {
        patterns.extend(base64_middles(secret, offset));
    }
}

fn percent_encoded(secret: &[u8], upper: bool) -> Vec<u8> {
    let mut out = String::new();
    for byte in secret {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            out.push(char::from(*byte));
        } else if upper {
            out.push_str(&format!("%{byte:02X}"));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out.into_bytes()
}

fn hex(secret: &[u8], upper: bool) -> Vec<u8> {
    let mut text = String::with_capacity(secret.len() * 2);
    for byte in secret {
        if upper {
            text.push_str(&format!("{byte:02X}"));
        } else {
            text.push_str(&format!("{byte:02x}"));
        }
    }
    text.into_bytes()
}

/// The characters of base 64 that the secret alone decides, when it begins `offset` bytes after a multiple of three.
fn base64_middles(secret: &[u8], offset: usize) -> Vec<Vec<u8>> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(secret);
    let from = (offset * 8).div_ceil(6);
    let to = padded.len() * 8 / 6;
    [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD]
        .iter()
        .filter_map(|alphabet| {
            let encoded = alphabet.encode(&padded);
            encoded
                .as_bytes()
                .get(from..to)
                .filter(|middle| middle.len() >= MIN_SECRET)
                .map(<[u8]>::to_vec)
        })
        .collect()
}

#[cfg(test)]
mod tests;
