//! Prometheus text 0.0.4 and OpenMetrics 1.0, as leniently as Prometheus' scraper reads them.
//!
//! What it does: walks over the bytes of a body once and yields borrowed entries. A sample keeps the text of its
//! series as it stands in the body, so that a known series costs one look-up and no decoding; [`decode_series`] takes
//! the text apart. Names outside the classic form are read in their quoted form (`{"a.b", "c d"="e"} 1`).
//!
//! Invariants: no panic on any bytes; no copy of the body; only what is asked for is decoded.
//!
//! Not here: what the specification demands beyond that ([`crate::openmetrics`]), and protobuf.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

mod decode;
mod number;

pub use decode::{Series, decode_series, unescape_help};

/// Which of the two formats a text is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text: timestamps in milliseconds.
    Text,
    /// OpenMetrics: timestamps in seconds, exemplars, `# EOF` at the end.
    OpenMetrics,
}

/// Where and why reading stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    pub reason: String,
}

/// One sample line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as they stand in the body.
    pub series: &'a [u8],
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub exemplar: Option<Exemplar<'a>>,
    pub line: usize,
}

/// An exemplar of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// `{...}` as it stands in the body.
    pub labels: &'a [u8],
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// Which fact about a metric family a line states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    Type,
    Help,
    Unit,
}

/// What one or more lines say.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    Sample(Sample<'a>),
    /// `text` of a help line still has its escapes ([`unescape_help`]); a type is one of Prometheus' words
    /// (`untyped` is given as `unknown`).
    Metadata {
        fact: Fact,
        name: Cow<'a, str>,
        text: Cow<'a, str>,
    },
}

/// Reads a body entry by entry. After an error it ends.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    format: Format,
    ended: bool,
}

const TYPES_TEXT: [&str; 6] = [
    "counter",
    "gauge",
    "histogram",
    "summary",
    "untyped",
    "unknown",
];
const TYPES_OPENMETRICS: [&str; 8] = [
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
    "unknown",
];

// === impl Parser ===

impl<'a> Parser<'a> {
    /// A parser over a whole body.
    pub fn new(bytes: &'a [u8], format: Format) -> Self {
        Self {
            bytes,
            at: 0,
            line: 1,
            format,
            ended: false,
        }
    }

    fn fail(&self, reason: impl Into<String>) -> ParseError {
        ParseError {
            line: self.line,
            reason: reason.into(),
        }
    }

    fn peek(&self) -> u8 {
        // The end of the body reads as the end of its last line.
        self.bytes.get(self.at).copied().unwrap_or(b'\n')
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// The rest of the line, and goes behind it.
    fn take_line(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += end + 1;
        self.line += 1;
        &rest[..end]
    }

    /// Bytes up to the next blank or line end.
    #[inline]
    fn take_word(&mut self) -> &'a [u8] {
        let start = self.at;
        while let Some(byte) = self.bytes.get(self.at) {
            if matches!(byte, b' ' | b'\t' | b'\n') {
                break;
            }
            self.at += 1;
        }
        &self.bytes[start..self.at]
    }

    /// The next entry; `None` at the end.
    fn step(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        loop {
            self.skip_blanks();
            let Some(first) = self.bytes.get(self.at) else {
                return match self.format {
                    Format::Text => Ok(None),
                    Format::OpenMetrics => Err(self.fail("data does not end with # EOF")),
                };
            };
            match first {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                }
                b'#' => match self.comment()? {
                    Comment::Entry(entry) => return Ok(Some(entry)),
                    Comment::Nothing => {}
                    Comment::Eof => return Ok(None),
                },
                _ => return self.sample().map(|sample| Some(Entry::Sample(sample))),
            }
        }
    }

    fn sample(&mut self) -> Result<Sample<'a>, ParseError> {
        let line = self.line;
        let series = self.series_text()?;
        let (value, timestamp) = self.value_and_time()?;
        let mut sample = Sample {
            series,
            value,
            timestamp,
            exemplar: None,
            line,
        };
        if self.peek() == b'#' && self.format == Format::OpenMetrics {
            self.at += 1;
            self.skip_blanks();
            if self.peek() != b'{' {
                return Err(self.fail("expected the labels of an exemplar"));
            }
            let start = self.at;
            self.skip_braces()?;
            let labels = &self.bytes[start..self.at];
            let (value, timestamp) = self.value_and_time()?;
            sample.exemplar = Some(Exemplar {
                labels,
                value,
                timestamp,
            });
        }
        if self.peek() != b'\n' {
            let word = self.take_word();
            return Err(self.fail(format!("expected the end of the line, got {}", shown(word))));
        }
        self.at += 1;
        self.line += 1;
        Ok(sample)
    }

    /// Name and labels, without taking them apart.
    #[inline]
    fn series_text(&mut self) -> Result<&'a [u8], ParseError> {
        let start = self.at;
        while let Some(byte) = self.bytes.get(self.at) {
            if matches!(byte, b'{' | b' ' | b'\t' | b'\n') {
                break;
            }
            self.at += 1;
        }
        let mut end = self.at;
        if self.peek() != b'{' {
            self.skip_blanks();
        }
        if self.peek() == b'{' {
            self.skip_braces()?;
            end = self.at;
        }
        Ok(&self.bytes[start..end])
    }

    /// Goes behind the `}` that closes the `{` here; braces inside quotes do not count.
    #[inline]
    fn skip_braces(&mut self) -> Result<(), ParseError> {
        let mut at = self.at + 1;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            // Label names are short, so a plain loop beats a search.
            let stop = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'}' | b'\n'));
            match stop.map(|offset| (offset, rest[offset])) {
                Some((offset, b'}')) => {
                    self.at = at + offset + 1;
                    return Ok(());
                }
                Some((offset, b'"')) => at = self.skip_quoted(at + offset + 1)?,
                _ => return Err(self.fail("the labels have no closing brace on this line")),
            }
        }
    }

    /// Position behind the quote that ends the text which begins at `at`.
    #[inline]
    fn skip_quoted(&self, mut at: usize) -> Result<usize, ParseError> {
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            match memchr2(b'"', b'\\', rest) {
                Some(offset) if rest[offset] == b'"' => return Ok(at + offset + 1),
                Some(offset) => at += offset + 2,
                None => return Err(self.fail("a quoted text does not end")),
            }
        }
    }

    #[inline]
    fn value_and_time(&mut self) -> Result<(f64, Option<i64>), ParseError> {
        self.skip_blanks();
        let word = self.take_word();
        let Some(value) = number::parse_value(word) else {
            return Err(self.fail(if word.is_empty() {
                "expected a value after the metric".to_owned()
            } else {
                format!("not a value: {}", shown(word))
            }));
        };
        self.skip_blanks();
        if matches!(self.peek(), b'\n' | b'#') {
            return Ok((value, None));
        }
        let word = self.take_word();
        let timestamp = match self.format {
            Format::Text => number::parse_millis(word),
            Format::OpenMetrics => number::parse_seconds(word),
        };
        match timestamp {
            Some(timestamp) => {
                self.skip_blanks();
                Ok((value, Some(timestamp)))
            }
            None => Err(self.fail(format!(
                "expected a timestamp or a new line, got {}",
                shown(word)
            ))),
        }
    }

    fn comment(&mut self) -> Result<Comment<'a>, ParseError> {
        let line_start = self.at;
        self.at += 1;
        self.skip_blanks();
        let spaced = self.at > line_start + 1;
        let word = self.take_word();
        if self.format == Format::OpenMetrics && spaced && word == b"EOF" {
            self.take_line();
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if rest.iter().all(u8::is_ascii_whitespace) {
                return Ok(Comment::Eof);
            }
            return Err(self.fail("data after # EOF"));
        }
        let fact = match word {
            b"HELP" if spaced => Fact::Help,
            b"TYPE" if spaced => Fact::Type,
            b"UNIT" if spaced && self.format == Format::OpenMetrics => Fact::Unit,
            _ => {
                self.take_line();
                return Ok(Comment::Nothing);
            }
        };
        if self.peek() == b'\n' {
            self.take_line();
            return Ok(Comment::Nothing);
        }
        self.skip_blanks();
        let name = self.metadata_name()?;
        self.skip_blanks();
        let line = self.line;
        let text = match fact {
            Fact::Help => String::from_utf8_lossy(self.take_line()),
            Fact::Type | Fact::Unit => String::from_utf8_lossy(self.take_line().trim_ascii()),
        };
        let text = match fact {
            Fact::Type => known_type(&text, self.format).ok_or_else(|| ParseError {
                line,
                reason: format!("invalid metric type {}", shown(text.as_bytes())),
            })?,
            Fact::Help | Fact::Unit => text,
        };
        Ok(Comment::Entry(Entry::Metadata { fact, name, text }))
    }

    fn metadata_name(&mut self) -> Result<Cow<'a, str>, ParseError> {
        let start = self.at;
        let name = if self.peek() == b'"' {
            let end = self.skip_quoted(start + 1)?;
            self.at = end;
            decode::unquote(&self.bytes[start + 1..end - 1])
        } else {
            std::str::from_utf8(self.take_word())
                .ok()
                .map(Cow::Borrowed)
        };
        match name {
            Some(name) if !name.is_empty() && !name.contains('\n') => Ok(name),
            _ => Err(self.fail("expected a metric name")),
        }
    }
}

enum Comment<'a> {
    Entry(Entry<'a>),
    Nothing,
    Eof,
}

fn known_type(text: &str, format: Format) -> Option<Cow<'static, str>> {
    let known: &[&'static str] = match format {
        Format::Text => &TYPES_TEXT,
        Format::OpenMetrics => &TYPES_OPENMETRICS,
    };
    let found = known.iter().find(|known| **known == text)?;
    Some(Cow::Borrowed(if *found == "untyped" {
        "unknown"
    } else {
        found
    }))
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.step().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

/// At most 60 characters of what a target sent, quoted, for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(240)]);
    let short: String = text.chars().take(60).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests;
