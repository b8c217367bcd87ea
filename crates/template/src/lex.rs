//! Text to tokens.

use crate::node::Pos;

/// One token and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) pos: Pos,
    /// White space stands before it: `.A .B` is two operands, `.A.B` one.
    pub(crate) spaced: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Text(String),
    /// `{{`
    Left,
    /// `}}`
    Right,
    Field(String),
    /// With its `$`.
    Variable(String),
    /// A function, a keyword or a constant.
    Word(String),
    Dot,
    String(String),
    Char(i64),
    Number(String),
    Declare,
    Assign,
    Pipe,
    LeftParen,
    RightParen,
    Comma,
}

/// What could not be read, and where.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) pos: Pos,
    pub(crate) message: String,
}

struct Lexer<'t> {
    rest: &'t str,
    pos: Pos,
    tokens: Vec<Token>,
}

/// Splits a template into tokens; comments and trimmed white space are gone.
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, LexError> {
    let mut lexer = Lexer {
        rest: text,
        pos: Pos { line: 1, column: 1 },
        tokens: Vec::new(),
    };
    let mut trim = false;
    while !lexer.rest.is_empty() {
        trim = lexer.text_then_action(trim)?;
    }
    Ok(lexer.tokens)
}

fn fail<T>(pos: Pos, message: impl Into<String>) -> Result<T, LexError> {
    Err(LexError {
        pos,
        message: message.into(),
    })
}

/// White space that trim markers take away.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

// === impl Lexer ===

impl<'t> Lexer<'t> {
    /// Takes `bytes` bytes off the front and moves the position past them.
    fn advance(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        for c in taken.chars() {
            if c == '\n' {
                self.pos.line += 1;
                self.pos.column = 1;
            } else {
                self.pos.column += 1;
            }
        }
        taken
    }

    fn push(&mut self, pos: Pos, spaced: bool, kind: Kind) {
        self.tokens.push(Token { pos, spaced, kind });
    }

    /// The text up to the next action, and that action. Returns whether the action trims what follows.
    fn text_then_action(&mut self, trim_start: bool) -> Result<bool, LexError> {
        let pos = self.pos;
        let (end, has_action) = match self.rest.find("{{") {
            Some(at) => (at, true),
            None => (self.rest.len(), false),
        };
        let mut text = self.advance(end);
        if trim_start {
            text = text.trim_start_matches(is_space);
        }
        let trims_left = has_action
            && self
                .rest
                .strip_prefix("{{-")
                .is_some_and(|rest| rest.starts_with(is_space));
        if trims_left {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            self.push(pos, false, Kind::Text(text.to_owned()));
        }
        if !has_action {
            return Ok(false);
        }
        let start = self.pos;
        self.advance(if trims_left { 3 } else { 2 });
        let after_space = self.rest.trim_start_matches(is_space);
        if (trims_left && after_space.starts_with("/*")) || self.rest.starts_with("/*") {
            return self.comment(start);
        }
        self.push(start, false, Kind::Left);
        self.action(start)
    }

    fn comment(&mut self, start: Pos) -> Result<bool, LexError> {
        let Some(end) = self.rest.find("*/") else {
            return fail(start, "unclosed comment");
        };
        self.advance(end + 2);
        if self.rest.starts_with("}}") {
            self.advance(2);
            return Ok(false);
        }
        if self.rest.starts_with(is_space) && self.rest[1..].starts_with("-}}") {
            self.advance(4);
            return Ok(true);
        }
        fail(start, "comment ends before closing delimiter")
    }

    /// The inside of `{{ }}`.
    fn action(&mut self, start: Pos) -> Result<bool, LexError> {
        let mut parens = 0_u32;
        loop {
            let blank = self.rest.len() - self.rest.trim_start_matches(is_space).len();
            let spaced = blank > 0;
            self.advance(blank);
            let pos = self.pos;
            let trims_right = spaced && self.rest.starts_with("-}}");
            if trims_right || self.rest.starts_with("}}") {
                if parens > 0 {
                    return fail(pos, "unclosed left paren");
                }
                self.advance(if trims_right { 3 } else { 2 });
                self.push(pos, spaced, Kind::Right);
                return Ok(trims_right);
            }
            let Some(first) = self.rest.chars().next() else {
                return fail(start, "unclosed action");
            };
            match first {
                '(' => parens += 1,
                ')' if parens == 0 => return fail(pos, "unexpected right paren"),
                ')' => parens -= 1,
                _ => {}
            }
            let kind = self.token(first)?;
            self.push(pos, spaced, kind);
        }
    }

    fn token(&mut self, first: char) -> Result<Kind, LexError> {
        let pos = self.pos;
        let second = self.rest.chars().nth(1);
        Ok(match first {
            '(' => self.single(Kind::LeftParen),
            ')' => self.single(Kind::RightParen),
            ',' => self.single(Kind::Comma),
            '|' => self.single(Kind::Pipe),
            '=' => self.single(Kind::Assign),
            ':' => {
                if second != Some('=') {
                    return fail(pos, "expected :=");
                }
                self.advance(2);
                Kind::Declare
            }
            '"' => Kind::String(self.quoted()?),
            '`' => {
                let Some(end) = self.rest[1..].find('`') else {
                    return fail(pos, "unterminated raw quoted string");
                };
                let raw = self.advance(end + 2);
                Kind::String(raw[1..=end].replace('\r', ""))
            }
            '\'' => Kind::Char(self.character()?),
            '$' => {
                self.advance(1);
                Kind::Variable(format!("${}", self.word()?))
            }
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => {
                self.advance(1);
                let name = self.word()?;
                if name.is_empty() {
                    Kind::Dot
                } else {
                    Kind::Field(name)
                }
            }
            '+' | '-' | '.' | '0'..='9' => Kind::Number(self.number()?),
            c if is_alphanumeric(c) => Kind::Word(self.word()?),
            c => {
                return fail(
                    pos,
                    format!("unexpected character U+{:04X} {c:?} in action", c as u32),
                );
            }
        })
    }

    fn single(&mut self, kind: Kind) -> Kind {
        self.advance(1);
        kind
    }

    fn word(&mut self) -> Result<String, LexError> {
        let end = self
            .rest
            .find(|c| !is_alphanumeric(c))
            .unwrap_or(self.rest.len());
        let word = self.advance(end).to_owned();
        match self.rest.chars().next() {
            Some(c) if !is_space(c) && !".,|:()=}".contains(c) => {
                fail(self.pos, format!("bad character U+{:04X} {c:?}", c as u32))
            }
            _ => Ok(word),
        }
    }

    fn number(&mut self) -> Result<String, LexError> {
        let start = self.pos;
        let mut previous = ' ';
        let end = self
            .rest
            .find(|c: char| {
                let sign =
                    matches!(c, '+' | '-') && matches!(previous, ' ' | 'e' | 'E' | 'p' | 'P');
                let part = sign || c == '.' || is_alphanumeric(c);
                previous = c;
                !part
            })
            .unwrap_or(self.rest.len());
        let number = self.advance(end);
        if number.bytes().any(|b| b.is_ascii_digit()) {
            Ok(number.to_owned())
        } else {
            fail(start, format!("bad number syntax: {number:?}"))
        }
    }

    /// A `"…"` literal with Go's escapes.
    fn quoted(&mut self) -> Result<String, LexError> {
        let start = self.pos;
        let mut escaped = false;
        let end = self.rest[1..].find(|c| {
            let ends = (c == '"' && !escaped) || c == '\n';
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end.filter(|end| self.rest[1 + end..].starts_with('"')) else {
            return fail(start, "unterminated quoted string");
        };
        let literal = self.advance(end + 2);
        match unquote(&literal[1..=end]) {
            Some(text) => Ok(text),
            None => fail(start, format!("invalid escape in {literal}")),
        }
    }

    /// A `'c'` literal.
    fn character(&mut self) -> Result<i64, LexError> {
        let start = self.pos;
        let mut escaped = false;
        let end = self.rest[1..].find(|c| {
            let ends = (c == '\'' && !escaped) || c == '\n';
            escaped = c == '\\' && !escaped;
            ends
        });
        let literal = match end {
            Some(end) if self.rest[1 + end..].starts_with('\'') => self.advance(end + 2),
            _ => return fail(start, "unterminated character constant"),
        };
        let inner = &literal[1..literal.len() - 1];
        let text = if inner == "\\'" {
            Some("'".to_owned())
        } else {
            unquote(inner)
        };
        match text.as_deref().map(|text| {
            let mut chars = text.chars();
            (chars.next(), chars.next())
        }) {
            Some((Some(c), None)) => Ok(i64::from(c as u32)),
            _ => fail(start, format!("malformed character constant: {literal}")),
        }
    }
}

/// Go's `strconv.Unquote` without the quotes. Bytes that are not UTF-8 become U+FFFD.
fn unquote(inner: &str) -> Option<String> {
    if !inner.contains('\\') {
        return Some(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let simple = |byte| Some((byte, 0));
        let (byte, digits) = match chars.next()? {
            'a' => simple(7),
            'b' => simple(8),
            'f' => simple(12),
            'n' => simple(b'\n'),
            'r' => simple(b'\r'),
            't' => simple(b'\t'),
            'v' => simple(11),
            '\\' => simple(b'\\'),
            '"' => simple(b'"'),
            'x' => Some((0, 2)),
            'u' => Some((0, 4)),
            'U' => Some((0, 8)),
            first @ '0'..='7' => {
                let octal: String = [Some(first), chars.next(), chars.next()]
                    .into_iter()
                    .collect::<Option<_>>()?;
                simple(u8::from_str_radix(&octal, 8).ok()?)
            }
            _ => None,
        }?;
        if digits == 0 {
            bytes.push(byte);
            continue;
        }
        let hex: String = chars.by_ref().take(digits).collect();
        if hex.len() != digits || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let code = u32::from_str_radix(&hex, 16).ok()?;
        if digits == 2 {
            bytes.push(code as u8);
        } else {
            let c = char::from_u32(code)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
