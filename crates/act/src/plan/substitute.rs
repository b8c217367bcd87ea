//! `{{input}}` in the bodies of steps. A value never becomes part of a program: a shell gets a reference to an
//! environment variable, SQL a parameter; PromQL, URLs and JSON get it escaped for the very place it stands in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::runbook::variable_of;

pub(super) type Values = BTreeMap<String, String>;

static BRACED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}").expect("a fixed pattern")
});
static AGAIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\beval\b|\b(?:ba|z|da)?sh\s+(?:-[a-z]+\s+)*-[a-z]*c\b|\bssh\b|\bsu\b.*\s-c\b|\bxargs\b|\bwatch\b|\bparallel\b|\bpython3?\s+-c\b|\bperl\s+-[a-z]*e\b|\bruby\s+-e\b|\bawk\b|\bsed\b|\bpsql\b.*-c\b|\bmysql\b.*-e\b|\bjq\b")
        .expect("a fixed pattern")
});

/// One piece of a text: as written, or the name in `{{name}}`.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut at = 0;
    for found in BRACED.captures_iter(text) {
        let whole = found.get(0).expect("group 0 is the match");
        out.push(Piece::Text(&text[at..whole.start()]));
        out.push(Piece::Name(
            found.get(1).expect("group 1 always takes part").as_str(),
        ));
        at = whole.end();
    }
    out.push(Piece::Text(&text[at..]));
    out
}

fn value<'a>(values: &'a Values, name: &str) -> Result<&'a str, String> {
    values
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| format!("{{{{{name}}}}} has no value"))
}

/// Whether no shell, pattern or query language gives any of the characters a meaning.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| {
        b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'/' | b'@' | b',')
    }) && !value.starts_with('-')
}

// === shell ===

/// Where the shell's reader stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Bare,
    Double,
    Single,
    /// `$'…'`
    AnsiC,
    /// `$(…)` or `(…)`
    Paren,
    Backtick,
}

/// Turns `{{x}}` into a quoted reference to the variable `X`, fitting the quotes it stands in.
pub(super) fn shell(body: &str, values: &Values) -> Result<String, String> {
    let mut out = String::new();
    let mut scanner = Scanner {
        stack: vec![Frame::Bare],
        comment: false,
        heredoc: false,
        word_begins: true,
    };
    let mut line = String::new();
    for piece in pieces(body) {
        match piece {
            Piece::Text(text) => {
                scanner.read(text);
                out.push_str(text);
                match text.rfind('\n') {
                    Some(at) => text[at + 1..].clone_into(&mut line),
                    None => line.push_str(text),
                }
            }
            Piece::Name(name) => {
                let known = value(values, name)?;
                let again = AGAIN.is_match(&line);
                if again && !is_plain(known) {
                    return Err(format!(
                        "{{{{{name}}}}} is read a second time by another program on its line, and {known:?} has \
                         characters that mean something there"
                    ));
                }
                let variable = variable_of(name);
                let reference = match scanner.top() {
                    _ if scanner.comment => format!("{{{{{name}}}}}"),
                    _ if scanner.heredoc => {
                        return Err(format!(
                            "{{{{{name}}}}} in a here-document: write ${{{variable}}} there"
                        ));
                    }
                    Frame::AnsiC => {
                        return Err(format!("{{{{{name}}}}} inside $'…': use other quotes"));
                    }
                    Frame::Double => format!("${{{variable}}}"),
                    Frame::Single => format!("'\"${{{variable}}}\"'"),
                    Frame::Bare | Frame::Paren | Frame::Backtick => format!("\"${{{variable}}}\""),
                };
                out.push_str(&reference);
                scanner.word_begins = false;
                // A flag or a program's name in the same place would be taken as such.
                line.push_str(name);
            }
        }
    }
    Ok(out)
}

struct Scanner {
    stack: Vec<Frame>,
    comment: bool,
    heredoc: bool,
    word_begins: bool,
}

impl Scanner {
    fn top(&self) -> Frame {
        self.stack.last().copied().unwrap_or(Frame::Bare)
    }

    fn read(&mut self, text: &str) {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if self.comment {
                self.comment = c != '\n';
                self.word_begins = true;
                continue;
            }
            let next = chars.peek().copied();
            match (self.top(), c) {
                (Frame::Single | Frame::AnsiC, '\'') | (Frame::Double, '"') => {
                    self.stack.pop();
                }
                (Frame::Single, _) => {}
                (_, '\\') => {
                    chars.next();
                }
                (Frame::AnsiC, _) => {}
                (top, '$') if next == Some('(') => {
                    debug_assert!(top != Frame::Single);
                    chars.next();
                    self.stack.push(Frame::Paren);
                    self.word_begins = true;
                    continue;
                }
                (Frame::Backtick, '`') => {
                    self.stack.pop();
                }
                (_, '`') => self.stack.push(Frame::Backtick),
                (Frame::Double, _) => {}
                (_, '$') if next == Some('\'') => {
                    chars.next();
                    self.stack.push(Frame::AnsiC);
                }
                (_, '\'') => self.stack.push(Frame::Single),
                (_, '"') => self.stack.push(Frame::Double),
                (_, '(') => self.stack.push(Frame::Paren),
                (Frame::Paren, ')') => {
                    self.stack.pop();
                }
                (_, '#') if self.word_begins => self.comment = true,
                (_, '<') if next == Some('<') => {
                    chars.next();
                    // `<<<` is a here-string: an ordinary word follows.
                    if chars.peek() == Some(&'<') {
                        chars.next();
                    } else {
                        self.heredoc = true;
                    }
                }
                _ => {}
            }
            self.word_begins = c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(');
        }
    }
}

/// Environment of a shell body: the inputs it mentions, as `{{x}}` or as `$X`.
pub(super) fn shell_env(body: &str, values: &Values) -> BTreeMap<String, String> {
    values
        .iter()
        .filter(|(name, _)| {
            let variable = variable_of(name);
            pieces(body)
                .iter()
                .any(|piece| matches!(piece, Piece::Name(used) if used == name))
                || body.contains(&format!("${variable}"))
                || body.contains(&format!("${{{variable}"))
        })
        .map(|(name, value)| (variable_of(name), value.clone()))
        .collect()
}

// === PromQL ===

/// Puts values into a query: escaped inside quotes (as a pattern too, where the matcher is one), and outside of
/// quotes only numbers and durations.
pub(super) fn promql(body: &str, values: &Values) -> Result<String, String> {
    let mut out = String::new();
    let mut quote: Option<char> = None;
    let mut pattern = false;
    for piece in pieces(body) {
        match piece {
            Piece::Text(text) => {
                let mut chars = text.chars();
                while let Some(c) = chars.next() {
                    match quote {
                        None if matches!(c, '"' | '\'' | '`') => {
                            quote = Some(c);
                            let before = out.trim_end();
                            pattern = before.ends_with("=~") || before.ends_with("!~");
                        }
                        Some('`') if c == '`' => quote = None,
                        Some(q) if c == q => quote = None,
                        Some('"' | '\'') if c == '\\' => {
                            out.push(c);
                            out.extend(chars.next());
                            continue;
                        }
                        _ => {}
                    }
                    out.push(c);
                }
            }
            Piece::Name(name) => {
                let raw = value(values, name)?;
                let known = if pattern && quote.is_some() {
                    regex::escape(raw)
                } else {
                    raw.to_owned()
                };
                match quote {
                    Some('`') if known.contains('`') => {
                        return Err(format!(
                            "{{{{{name}}}}} has a backtick and stands between backticks"
                        ));
                    }
                    Some('`') => out.push_str(&known),
                    Some(q) => {
                        for c in known.chars() {
                            match c {
                                '\\' => out.push_str("\\\\"),
                                '\n' => out.push_str("\\n"),
                                c if c == q => out.extend(['\\', c]),
                                c => out.push(c),
                            }
                        }
                    }
                    None if is_number_or_duration(&known) => out.push_str(&known),
                    None => {
                        return Err(format!(
                            "{{{{{name}}}}} stands outside of quotes, where only a number or a duration may be put"
                        ));
                    }
                }
            }
        }
    }
    Ok(out)
}

fn is_number_or_duration(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
        || bellwether_model::duration::parse_duration(text).is_ok()
}

// === SQL ===

/// Turns `{{x}}` into `$1`, `$2`… and lists the values to bind.
pub(super) fn sql(body: &str, values: &Values) -> Result<(String, Vec<String>), String> {
    let (mut out, mut params, mut names) = (String::new(), Vec::new(), Vec::<&str>::new());
    let mut quoted = false;
    for piece in pieces(body) {
        match piece {
            Piece::Text(text) => {
                quoted ^= text.matches('\'').count() % 2 == 1;
                out.push_str(text);
            }
            Piece::Name(name) if quoted => {
                return Err(format!(
                    "{{{{{name}}}}} is bound as a parameter: leave its quotes out"
                ));
            }
            Piece::Name(name) => {
                let index = match names.iter().position(|known| *known == name) {
                    Some(index) => index,
                    None => {
                        names.push(name);
                        params.push(value(values, name)?.to_owned());
                        names.len() - 1
                    }
                };
                out.push_str(&format!("${}", index + 1));
            }
        }
    }
    Ok((out, params))
}

// === HTTP ===

/// Puts values into a URL: whole at its beginning, as a host, or percent-encoded in path and query.
pub(super) fn url(template: &str, values: &Values) -> Result<String, String> {
    let mut out = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Name(name) => {
                let known = value(values, name)?;
                if out.is_empty() {
                    let base = known.trim_end_matches('/');
                    let plain = base.bytes().all(|b| b.is_ascii_graphic())
                        && !base.contains(['"', '\\', '<', '>', '^', '`', '{', '|', '}', '@']);
                    if !(plain && (base.starts_with("http://") || base.starts_with("https://"))) {
                        return Err(format!("{{{{{name}}}}} is not an http address: {known:?}"));
                    }
                    out.push_str(base);
                } else if out.ends_with("://") || !out.splitn(4, '/').skip(3).any(|_| true) {
                    let host = known.bytes().all(|b| {
                        b.is_ascii_alphanumeric()
                            || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_')
                    });
                    if !host {
                        return Err(format!("{{{{{name}}}}} is not a host: {known:?}"));
                    }
                    out.push_str(known);
                } else {
                    percent_encode(known, &mut out);
                }
            }
        }
    }
    if !(out.starts_with("http://") || out.starts_with("https://")) {
        return Err(format!("not an http address: {out:?}"));
    }
    Ok(out)
}

fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// How a value is put into a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    Json,
    Form,
    Text,
}

/// Puts values into a body, escaped for its form. In JSON a value stands inside quotes, or is a number or boolean.
pub(super) fn http_body(template: &str, form: BodyForm, values: &Values) -> Result<String, String> {
    let mut out = String::new();
    let mut quoted = false;
    for piece in pieces(template) {
        match piece {
            Piece::Text(text) => {
                let mut escaped = false;
                for c in text.chars() {
                    if c == '"' && !escaped {
                        quoted = !quoted;
                    }
                    escaped = quoted && c == '\\' && !escaped;
                }
                out.push_str(text);
            }
            Piece::Name(name) => {
                let known = value(values, name)?;
                match form {
                    BodyForm::Text => out.push_str(known),
                    BodyForm::Form => percent_encode(known, &mut out),
                    BodyForm::Json if quoted => {
                        let json = serde_json::Value::from(known).to_string();
                        out.push_str(&json[1..json.len() - 1]);
                    }
                    BodyForm::Json
                        if matches!(known, "true" | "false")
                            || serde_json::from_str::<serde_json::Number>(known).is_ok() =>
                    {
                        out.push_str(known);
                    }
                    BodyForm::Json => {
                        return Err(format!("{{{{{name}}}}} in JSON stands outside of quotes"));
                    }
                }
            }
        }
    }
    Ok(out)
}

/// Puts a value into a header line.
pub(super) fn header(template: &str, values: &Values) -> Result<String, String> {
    let out = plain(template, values)?;
    if out.chars().any(char::is_control) {
        return Err("a control character in a header".to_owned());
    }
    Ok(out)
}

/// Puts values into text for people, and into names of locks.
pub(super) fn plain(template: &str, values: &Values) -> Result<String, String> {
    pieces(template)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => Ok(text),
            Piece::Name(name) => value(values, name),
        })
        .collect()
}
