//! Text to tokens with byte positions.

use crate::ast::{AggregateOp, BinaryOp, Span};

/// Kind of a token; its text is the span of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Eof,
    /// The text cannot be read from here on.
    Error(String),
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    At,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// The token kind of a reserved word in lower case.
pub(super) fn keyword(word: &str) -> Option<Kind> {
    let keyword = match word {
        "and" => return Some(Kind::Op(BinaryOp::And)),
        "or" => return Some(Kind::Op(BinaryOp::Or)),
        "unless" => return Some(Kind::Op(BinaryOp::Unless)),
        "atan2" => return Some(Kind::Op(BinaryOp::Atan2)),
        "inf" | "nan" => return Some(Kind::Number),
        "offset" => Keyword::Offset,
        "smoothed" => Keyword::Smoothed,
        "anchored" => Keyword::Anchored,
        "by" => Keyword::By,
        "without" => Keyword::Without,
        "on" => Keyword::On,
        "ignoring" => Keyword::Ignoring,
        "group_left" => Keyword::GroupLeft,
        "group_right" => Keyword::GroupRight,
        "fill" => Keyword::Fill,
        "fill_left" => Keyword::FillLeft,
        "fill_right" => Keyword::FillRight,
        "bool" => Keyword::Bool,
        "start" => Keyword::Start,
        "end" => Keyword::End,
        "step" => Keyword::Step,
        "range" => Keyword::Range,
        "min_of" => Keyword::MinOf,
        "max_of" => Keyword::MaxOf,
        _ => {
            return AggregateOp::ALL
                .into_iter()
                .find(|op| op.as_str() == word)
                .map(Kind::Aggregate);
        }
    };
    Some(Kind::Keyword(keyword))
}

struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    parens: usize,
    brace: bool,
    bracket: bool,
    colon: bool,
    tokens: Vec<Token>,
}

/// All tokens; the last is `Eof` or `Error`.
pub(super) fn lex(input: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        input,
        pos: 0,
        start: 0,
        parens: 0,
        brace: false,
        bracket: false,
        colon: false,
        tokens: Vec::new(),
    };
    loop {
        let step = lexer.next_token();
        match step {
            Ok(()) => {
                if lexer.tokens.last().is_some_and(|t| t.kind == Kind::Eof) {
                    return lexer.tokens;
                }
            }
            Err(message) => {
                lexer.tokens.push(Token {
                    kind: Kind::Error(message),
                    span: Span::new(lexer.start, input.len()),
                });
                return lexer.tokens;
            }
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

/// A character in single quotes as Go prints it.
fn quoted(c: Option<char>) -> String {
    match c {
        Some('\'') => "'\\''".to_owned(),
        Some('\\') => "'\\\\'".to_owned(),
        Some('\n') => "'\\n'".to_owned(),
        Some('\t') => "'\\t'".to_owned(),
        Some('\r') => "'\\r'".to_owned(),
        Some(c) => format!("'{c}'"),
        None => "'\u{fffd}'".to_owned(),
    }
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.input[self.pos..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, want: impl Fn(char) -> bool) -> bool {
        let hit = self.peek().is_some_and(want);
        if hit {
            self.bump();
        }
        hit
    }

    fn skip(&mut self, want: impl Fn(char) -> bool) {
        while self.accept(&want) {}
    }

    fn emit(&mut self, kind: Kind) {
        self.tokens.push(Token {
            kind,
            span: Span::new(self.start, self.pos),
        });
    }

    fn text(&self) -> &str {
        &self.input[self.start..self.pos]
    }

    fn next_token(&mut self) -> Result<(), String> {
        self.skip(is_space);
        if self.peek() == Some('#') {
            self.skip(|c| c != '\n' && c != '\r');
            return Ok(());
        }
        self.start = self.pos;
        if self.brace {
            self.inside_braces()
        } else {
            self.statement()
        }
    }

    fn end(&mut self) -> Result<(), String> {
        if self.parens != 0 {
            return Err("unclosed left parenthesis".to_owned());
        }
        if self.bracket {
            return Err("unclosed left bracket".to_owned());
        }
        self.emit(Kind::Eof);
        Ok(())
    }

    fn statement(&mut self) -> Result<(), String> {
        let Some(c) = self.bump() else {
            return self.end();
        };
        let kind = match c {
            ',' => Kind::Comma,
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '^' => Kind::Op(BinaryOp::Pow),
            '@' => Kind::At,
            '=' if self.accept(|c| c == '=') => Kind::Op(BinaryOp::Equal),
            '=' if self.peek() == Some('~') => {
                return Err("unexpected character after '=': '~'".to_owned());
            }
            '=' => Kind::Assign,
            '!' if self.accept(|c| c == '=') => Kind::Op(BinaryOp::NotEqual),
            '!' => {
                return Err(format!(
                    "unexpected character after '!': {}",
                    quoted(self.peek())
                ));
            }
            '<' if self.accept(|c| c == '=') => Kind::Op(BinaryOp::LessEqual),
            '<' if self.accept(|c| c == '/') => Kind::Op(BinaryOp::TrimUpper),
            '<' => Kind::Op(BinaryOp::Less),
            '>' if self.accept(|c| c == '=') => Kind::Op(BinaryOp::GreaterEqual),
            '>' if self.accept(|c| c == '/') => Kind::Op(BinaryOp::TrimLower),
            '>' => Kind::Op(BinaryOp::Greater),
            '(' => {
                self.parens += 1;
                Kind::LeftParen
            }
            ')' => {
                self.parens = self
                    .parens
                    .checked_sub(1)
                    .ok_or("unexpected right parenthesis ')'")?;
                Kind::RightParen
            }
            '{' => {
                self.brace = true;
                Kind::LeftBrace
            }
            '[' if self.bracket => return Err("unexpected left bracket '['".to_owned()),
            '[' => {
                self.bracket = true;
                self.colon = false;
                Kind::LeftBracket
            }
            ']' if !self.bracket => return Err("unexpected right bracket ']'".to_owned()),
            ']' => {
                self.bracket = false;
                Kind::RightBracket
            }
            ':' if self.bracket => {
                if self.colon {
                    return Err("unexpected repeated colon in duration expression".to_owned());
                }
                if self
                    .tokens
                    .last()
                    .is_some_and(|t| t.kind == Kind::LeftBracket)
                {
                    return Err(
                        "unexpected colon before duration in duration expression".to_owned()
                    );
                }
                self.colon = true;
                Kind::Colon
            }
            '"' | '\'' | '`' => return self.string(c),
            c if c.is_ascii_digit()
                || (c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit())) =>
            {
                return self.number_or_duration();
            }
            c if is_alpha(c) || c == ':' => return self.word(c),
            c => return Err(format!("unexpected character: {}", quoted(Some(c)))),
        };
        self.emit(kind);
        Ok(())
    }

    fn word(&mut self, first: char) -> Result<(), String> {
        let colons = !self.bracket;
        self.skip(|c| is_alphanumeric(c) || (c == ':' && colons));
        let word = self.text().to_ascii_lowercase();
        let kind = match keyword(&word) {
            _ if self.bracket => match word.as_str() {
                "step" | "range" | "min_of" | "max_of" | "min" | "max" => {
                    keyword(&word).expect("these are keywords")
                }
                _ => {
                    return Err(format!(
                        "unexpected character in duration expression: {}",
                        quoted(Some(first))
                    ));
                }
            },
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.input[self.pos..].trim_start().starts_with('(') =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn inside_braces(&mut self) -> Result<(), String> {
        let Some(c) = self.bump() else {
            return Err("unexpected end of input inside braces".to_owned());
        };
        let kind = match c {
            ',' => Kind::Comma,
            '"' | '\'' | '`' => return self.string(c),
            '=' if self.accept(|c| c == '~') => Kind::EqualRegex,
            '=' => Kind::Assign,
            '!' if self.accept(|c| c == '~') => Kind::NotRegex,
            '!' if self.accept(|c| c == '=') => Kind::Op(BinaryOp::NotEqual),
            '!' => {
                return Err(format!(
                    "unexpected character after '!' inside braces: {}",
                    quoted(self.peek())
                ));
            }
            '{' => return Err("unexpected left brace '{'".to_owned()),
            '}' => {
                self.brace = false;
                Kind::RightBrace
            }
            c if is_alpha(c) => {
                self.skip(is_alphanumeric);
                Kind::Identifier
            }
            c => {
                return Err(format!(
                    "unexpected character inside braces: {}",
                    quoted(Some(c))
                ));
            }
        };
        self.emit(kind);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), String> {
        loop {
            match self.bump() {
                Some('\\') if quote != '`' => self.escape(quote)?,
                Some('\n') | None if quote != '`' => {
                    return Err("unterminated quoted string".to_owned());
                }
                None => return Err("unterminated raw string".to_owned()),
                Some(c) if c == quote => {
                    self.emit(Kind::String);
                    return Ok(());
                }
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), String> {
        let Some(c) = self.bump() else {
            return Err("escape sequence not terminated".to_owned());
        };
        let (digits, radix) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => (3, 8),
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            c => {
                return Err(format!(
                    "unknown escape sequence U+{:04X} '{c}'",
                    u32::from(c)
                ));
            }
        };
        let mut value = 0_u32;
        let mut next = if radix == 8 { Some(c) } else { self.bump() };
        for index in 0..digits {
            let Some(c) = next else {
                return Err("escape sequence not terminated".to_owned());
            };
            let Some(digit) = c.to_digit(radix) else {
                return Err(format!(
                    "illegal character U+{:04X} '{c}' in escape sequence",
                    u32::from(c)
                ));
            };
            value = value.wrapping_mul(radix).wrapping_add(digit);
            if index + 1 < digits {
                next = self.bump();
            }
        }
        let valid = if digits <= 3 {
            value <= 255
        } else {
            char::from_u32(value).is_some()
        };
        if valid {
            Ok(())
        } else {
            Err("escape sequence is an invalid Unicode code point".to_owned())
        }
    }

    fn number_or_duration(&mut self) -> Result<(), String> {
        self.pos = self.start;
        if self.number() {
            self.emit(Kind::Number);
            return Ok(());
        }
        if self.rest_of_duration() {
            self.emit(Kind::Duration);
            return Ok(());
        }
        Err(format!(
            "bad number or duration syntax: \"{}\"",
            self.text().escape_debug()
        ))
    }

    /// Leaves the position behind the digits when what follows makes it no number.
    fn number(&mut self) -> bool {
        let mut hex = false;
        if self.accept(|c| c == '0') && self.accept(|c| c == 'x' || c == 'X') {
            self.accept(|c| c == '_');
            hex = true;
        }
        let digit = move |c: char| {
            if hex {
                c.is_ascii_hexdigit()
            } else {
                c.is_ascii_digit()
            }
        };
        let (mut dot, mut exponent) = (false, false);
        loop {
            if self.accept(|c| c == '.') {
                if dot || hex || self.peek().is_some_and(|c| c == '_' || c == '.') {
                    return false;
                }
                dot = true;
            } else if !hex && self.peek().is_some_and(|c| c == 'e' || c == 'E') {
                if exponent {
                    return false;
                }
                self.bump();
                exponent = true;
                self.accept(|c| c == '+' || c == '-');
                if self
                    .peek()
                    .is_none_or(|c| matches!(c, '.' | '_' | 'e' | 'E'))
                {
                    return false;
                }
            } else if self.accept(|c| c == '_') {
                if self
                    .peek()
                    .is_none_or(|c| matches!(c, '.' | '_' | 'e' | 'E'))
                {
                    return false;
                }
            } else if !self.accept(digit) {
                break;
            }
        }
        !self.peek().is_some_and(is_alphanumeric)
    }

    fn rest_of_duration(&mut self) -> bool {
        if !self.accept(|c| "smhdwy".contains(c)) {
            return false;
        }
        self.accept(|c| c == 's');
        while self.accept(|c| c.is_ascii_digit()) {
            self.skip(|c| c.is_ascii_digit());
            if !self.accept(|c| "smhdw".contains(c)) {
                return false;
            }
            self.accept(|c| c == 's');
        }
        !self.peek().is_some_and(is_alphanumeric)
    }
}

// === impl Token ===

impl Token {
    /// The token as Prometheus' messages describe it.
    pub(super) fn describe(&self, input: &str) -> String {
        let text = &input[self.span.start..self.span.end];
        let quoted = |text: &str| format!("{text:?}");
        let long = |text: &str| {
            if text.len() > 10 {
                let cut: String = text.chars().take(10).collect();
                format!("{cut:?}...")
            } else {
                quoted(text)
            }
        };
        match &self.kind {
            Kind::Eof => "end of input".to_owned(),
            Kind::Error(message) => message.clone(),
            Kind::Identifier => format!("identifier {}", quoted(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quoted(text)),
            Kind::Number => format!("number {}", long(text)),
            Kind::Duration => format!("duration {}", long(text)),
            Kind::String => format!("string {}", long(text)),
            Kind::Keyword(_) => format!("<{text}>"),
            Kind::Op(_) | Kind::EqualRegex | Kind::NotRegex | Kind::At => format!("<op:{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            _ => quoted(text),
        }
    }
}
