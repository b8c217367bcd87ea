//! Alertmanager's two matcher languages: classic, and UTF-8 with a fallback.

use bellwether_model::matcher::BadPattern;
use bellwether_model::{MatchOp, Matcher};

/// Which language matchers are read in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// UTF-8 first; where the two differ, or only classic can read it, classic: Alertmanager's default.
    #[default]
    Fallback,
    Classic,
    Utf8,
}

/// Why matchers were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    #[error("bad matcher format: {0}")]
    Format(String),
    #[error("matcher value contains unescaped double quote: {0}")]
    Quote(String),
    #[error("expected {wanted} at {rest:?}")]
    Expected { wanted: &'static str, rest: String },
    #[error("invalid quoted text: {0}")]
    BadQuoted(String),
    #[error(transparent)]
    Pattern(#[from] BadPattern),
}

/// Text that one set of matchers may have.
const TEXT_MAX: usize = 64 << 10;

/// Reads `a="b"`, `{a="b",c!~"d"}` and so on. Empty text is no matchers.
pub fn parse(text: &str, mode: Mode) -> Result<Vec<Matcher>, MatcherError> {
    if text.len() > TEXT_MAX {
        return Err(MatcherError::Format(format!(
            "longer than {TEXT_MAX} bytes"
        )));
    }
    match mode {
        Mode::Classic => classic(text),
        Mode::Utf8 => utf8(text),
        Mode::Fallback => match (utf8(text), classic(text)) {
            (Ok(new), Ok(old)) if new == old => Ok(new),
            (_, Ok(old)) => Ok(old),
            (Ok(new), Err(_)) => Ok(new),
            (Err(_), Err(error)) => Err(error),
        },
    }
}

/// As Alertmanager writes a matcher.
pub fn write(matcher: &Matcher) -> String {
    let reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
    let quote = |text: &str| {
        let text = text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("\"{text}\"")
    };
    let name = if matcher.name.chars().any(reserved) {
        quote(&matcher.name)
    } else {
        matcher.name.to_string()
    };
    format!("{name}{}{}", matcher.op.as_str(), quote(&matcher.value))
}

/// As Alertmanager writes a list: `{a="b",c!="d"}`.
pub fn write_all(matchers: &[Matcher]) -> String {
    let parts: Vec<String> = matchers.iter().map(write).collect();
    format!("{{{}}}", parts.join(","))
}

const OPERATORS: [(&str, MatchOp); 4] = [
    ("=~", MatchOp::Regex),
    ("!~", MatchOp::NotRegex),
    ("!=", MatchOp::NotEqual),
    ("=", MatchOp::Equal),
];

fn classic(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let (mut inside, mut escaped, mut start) = (false, false, 0);
    let mut tokens = Vec::new();
    for (index, c) in inner.char_indices() {
        match c {
            ',' if !inside => {
                tokens.push(&inner[start..index]);
                start = index + 1;
                escaped = false;
            }
            '"' if !escaped => inside = !inside,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    if start < inner.len() {
        tokens.push(&inner[start..]);
    }
    tokens.into_iter().map(classic_matcher).collect()
}

fn classic_matcher(token: &str) -> Result<Matcher, MatcherError> {
    // What Go's `\s` means.
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    let bad = || MatcherError::Format(token.to_owned());
    let rest = token.trim_matches(space);
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .ok_or_else(bad)?;
    let (name, rest) = rest.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let rest = rest.trim_start_matches(space);
    let (op, rest) = OPERATORS
        .iter()
        .find_map(|(sign, op)| Some((*op, rest.strip_prefix(sign)?)))
        .ok_or_else(bad)?;
    let value = classic_value(rest.trim_matches(space))?;
    Ok(Matcher::new(op, name, &value)?)
}

fn classic_value(raw: &str) -> Result<String, MatcherError> {
    let bad = || MatcherError::Quote(raw.to_owned());
    let (mut quoted, body) = match raw.strip_prefix('"') {
        Some(body) => (true, body),
        None => (false, raw),
    };
    let mut value = String::with_capacity(body.len());
    let mut escaped = false;
    for (index, c) in body.char_indices() {
        let last = index + c.len_utf8() == body.len();
        if escaped {
            escaped = false;
            match c {
                'n' => value.push('\n'),
                '"' | '\\' => value.push(c),
                _ => value.extend(['\\', c]),
            }
        } else if c == '\\' && !last {
            escaped = true;
        } else if c == '"' {
            if !quoted || !last {
                return Err(bad());
            }
            quoted = false;
        } else {
            value.push(c);
        }
    }
    if quoted { Err(bad()) } else { Ok(value) }
}

fn utf8(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let mut scanner = Scanner { rest: text };
    let mut matchers = Vec::new();
    scanner.skip_space();
    let braces = scanner.accept("{");
    loop {
        scanner.skip_space();
        if scanner.rest.is_empty() || scanner.rest.starts_with('}') {
            break;
        }
        let name = scanner.text("a label name")?;
        scanner.skip_space();
        let op = OPERATORS
            .iter()
            .find(|(sign, _)| scanner.accept(sign))
            .map(|(_, op)| *op)
            .ok_or_else(|| scanner.expected("an operator: =, !=, =~ or !~"))?;
        scanner.skip_space();
        let value = scanner.text("a label value")?;
        matchers.push(Matcher::new(op, &name, &value)?);
        scanner.skip_space();
        if !scanner.accept(",") {
            break;
        }
    }
    scanner.skip_space();
    if braces && !scanner.accept("}") {
        return Err(scanner.expected("a closing brace"));
    }
    scanner.skip_space();
    if !scanner.rest.is_empty() {
        return Err(scanner.expected("a comma or the end"));
    }
    Ok(matchers)
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn accept(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expected(&self, wanted: &'static str) -> MatcherError {
        MatcherError::Expected {
            wanted,
            rest: self.rest.chars().take(40).collect(),
        }
    }

    /// Quoted, or a run of characters that mean nothing else.
    fn text(&mut self, wanted: &'static str) -> Result<String, MatcherError> {
        if self.rest.starts_with('"') {
            let (text, rest) = unquote(self.rest)?;
            self.rest = rest;
            return Ok(text);
        }
        let reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
        let end = self.rest.find(reserved).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.expected(wanted));
        }
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(text.to_owned())
    }
}

/// Reads a Go string literal in double quotes; the text after it comes back too.
fn unquote(text: &str) -> Result<(String, &str), MatcherError> {
    let bad = || MatcherError::BadQuoted(text.chars().take(60).collect());
    let mut bytes: Vec<u8> = Vec::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => {
                let value = String::from_utf8(bytes).map_err(|_| bad())?;
                return Ok((value, &text[index + 1..]));
            }
            '\n' => return Err(bad()),
            '\\' => {
                let (_, escape) = chars.next().ok_or_else(bad)?;
                let mut number = |digits: usize, radix: u32, first: Option<char>| {
                    let mut value = 0_u32;
                    let more = digits - usize::from(first.is_some());
                    let tail = (0..more).map(|_| chars.next().map(|(_, c)| c));
                    for c in first.map(Some).into_iter().chain(tail) {
                        let digit = c.and_then(|c| c.to_digit(radix))?;
                        value = value.checked_mul(radix)?.checked_add(digit)?;
                    }
                    Some(value)
                };
                match escape {
                    'a' => bytes.push(7),
                    'b' => bytes.push(8),
                    'f' => bytes.push(12),
                    'n' => bytes.push(b'\n'),
                    'r' => bytes.push(b'\r'),
                    't' => bytes.push(b'\t'),
                    'v' => bytes.push(11),
                    '\\' | '"' => bytes.push(escape as u8),
                    'x' => bytes.push(number(2, 16, None).ok_or_else(bad)? as u8),
                    '0'..='7' => {
                        let value = number(3, 8, Some(escape)).ok_or_else(bad)?;
                        bytes.push(u8::try_from(value).map_err(|_| bad())?);
                    }
                    'u' | 'U' => {
                        let digits = if escape == 'u' { 4 } else { 8 };
                        let value = number(digits, 16, None).ok_or_else(bad)?;
                        let c = char::from_u32(value).ok_or_else(bad)?;
                        bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                    }
                    _ => return Err(bad()),
                }
            }
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Err(bad())
}

#[cfg(test)]
mod tests;
