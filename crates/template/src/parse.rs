//! Tokens to trees.

use std::sync::Arc;

use crate::lex::{Kind, Token, lex};
use crate::node::{Branch, Command, Node, Operand, OperandKind, Pipe, Pos, Tree};
use crate::set::TemplateError;
use crate::value::Value;

/// Blocks inside blocks and parentheses inside parentheses.
const NESTING_MAX: u32 = 50;
/// Bytes of one template's text.
const TEXT_MAX: usize = 1 << 20;

/// Parses a text: the template of that name and the ones it defines.
pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<(String, Tree)>, TemplateError> {
    let error = |pos: Pos, message: String| TemplateError {
        name: name.to_owned(),
        line: pos.line,
        column: pos.column,
        message,
    };
    if text.len() > TEXT_MAX {
        return Err(error(
            Pos { line: 1, column: 1 },
            format!("larger than {} KiB", TEXT_MAX >> 10),
        ));
    }
    let tokens = lex(text).map_err(|fault| error(fault.pos, fault.message))?;
    let mut parser = Parser {
        source: name.into(),
        tokens,
        at: 0,
        variables: vec!["$".into()],
        loops: 0,
        depth: 0,
        defined: Vec::new(),
    };
    parser
        .template(name)
        .map_err(|fault| error(fault.0, fault.1))?;
    Ok(parser.defined)
}

type Fault = (Pos, String);

struct Parser {
    source: Arc<str>,
    tokens: Vec<Token>,
    at: usize,
    variables: Vec<Arc<str>>,
    loops: u32,
    depth: u32,
    defined: Vec<(String, Tree)>,
}

/// What ended a list of nodes.
enum End {
    Closed,
    /// `{{else`, with the rest of that action still to read.
    Else(Pos),
    Text,
}

const KEYWORDS: [&str; 11] = [
    "block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with",
];

// === impl Parser ===

impl Parser {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn peek_at(&self, ahead: usize) -> Option<&Kind> {
        self.tokens.get(self.at + ahead).map(|token| &token.kind)
    }

    fn pos(&self) -> Pos {
        self.tokens
            .get(self.at)
            .or(self.tokens.last())
            .map_or(Pos { line: 1, column: 1 }, |token| token.pos)
    }

    fn next(&mut self) -> Option<Kind> {
        let kind = self.tokens.get(self.at).map(|token| token.kind.clone());
        self.at += 1;
        kind
    }

    fn unexpected<T>(&self, context: &str) -> Result<T, Fault> {
        let found = self.peek().map_or_else(|| "the end".to_owned(), describe);
        Err((self.pos(), format!("unexpected {found} in {context}")))
    }

    fn expect_right(&mut self, context: &str) -> Result<(), Fault> {
        if self.peek() == Some(&Kind::Right) {
            self.at += 1;
            Ok(())
        } else {
            self.unexpected(context)
        }
    }

    fn template(&mut self, name: &str) -> Result<(), Fault> {
        let mut nodes = Vec::new();
        loop {
            if self.peek().is_none() {
                break;
            }
            if self.is_keyword("define") {
                self.define()?;
                continue;
            }
            let pos = self.pos();
            match self.list(&mut nodes)? {
                End::Text => break,
                End::Closed => return Err((pos, "unexpected {{end}}".to_owned())),
                End::Else(pos) => return Err((pos, "unexpected {{else}}".to_owned())),
            }
        }
        let source = Arc::clone(&self.source);
        self.defined.push((name.to_owned(), Tree { source, nodes }));
        Ok(())
    }

    fn is_keyword(&self, word: &str) -> bool {
        self.peek() == Some(&Kind::Left)
            && matches!(self.peek_at(1), Some(Kind::Word(found)) if found == word)
    }

    /// Reads nodes up to `{{end}}`, `{{else` or the end of the text; at the top also up to a `{{define`.
    fn list(&mut self, nodes: &mut Vec<Node>) -> Result<End, Fault> {
        loop {
            let pos = self.pos();
            match self.next() {
                None => return Ok(End::Text),
                Some(Kind::Text(text)) => nodes.push(Node::Text(text.into())),
                Some(Kind::Left) => {
                    let word = match self.peek() {
                        Some(Kind::Word(word)) => word.clone(),
                        _ => String::new(),
                    };
                    match word.as_str() {
                        "end" => {
                            self.at += 1;
                            self.expect_right("end")?;
                            return Ok(End::Closed);
                        }
                        "else" => {
                            self.at += 1;
                            return Ok(End::Else(pos));
                        }
                        "define" if self.depth == 0 => {
                            self.at -= 1;
                            self.define()?;
                        }
                        _ => {
                            let node = self.action(&word, pos)?;
                            nodes.push(node);
                        }
                    }
                }
                Some(_) => {
                    self.at -= 1;
                    return self.unexpected("input");
                }
            }
        }
    }

    fn define(&mut self) -> Result<(), Fault> {
        let pos = self.pos();
        self.at += 2;
        let name = self.name("define clause")?;
        self.expect_right("define clause")?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let mut nodes = Vec::new();
        self.nested(pos)?;
        let end = self.list(&mut nodes)?;
        self.depth -= 1;
        self.variables = outer;
        finish(end, pos, "define clause")?;
        let source = Arc::clone(&self.source);
        self.add(name, Tree { source, nodes }, pos)
    }

    fn add(&mut self, name: String, tree: Tree, pos: Pos) -> Result<(), Fault> {
        match self.defined.iter().position(|(known, _)| *known == name) {
            Some(index) if self.defined[index].1.is_empty() => self.defined[index].1 = tree,
            Some(_) if tree.is_empty() => {}
            Some(_) => return Err((pos, format!("multiple definition of template {name:?}"))),
            None => self.defined.push((name, tree)),
        }
        Ok(())
    }

    fn nested(&mut self, pos: Pos) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err((pos, format!("nested deeper than {NESTING_MAX} levels")));
        }
        Ok(())
    }

    fn name(&mut self, context: &str) -> Result<String, Fault> {
        match self.peek() {
            Some(Kind::String(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected(context),
        }
    }

    fn action(&mut self, word: &str, pos: Pos) -> Result<Node, Fault> {
        match word {
            "if" | "with" | "range" => {
                self.at += 1;
                self.control(word, pos)
            }
            "template" => {
                self.at += 1;
                let name = self.name("template clause")?;
                let data = self.optional_pipe("template clause")?;
                Ok(Node::Template {
                    pos,
                    name: name.into(),
                    data,
                })
            }
            "block" => {
                self.at += 1;
                let name = self.name("block clause")?;
                let data = self.pipeline("block clause", &Kind::Right)?;
                let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
                let mut nodes = Vec::new();
                self.nested(pos)?;
                let end = self.list(&mut nodes)?;
                self.depth -= 1;
                self.variables = outer;
                finish(end, pos, "block clause")?;
                let source = Arc::clone(&self.source);
                self.add(name.clone(), Tree { source, nodes }, pos)?;
                Ok(Node::Template {
                    pos,
                    name: name.into(),
                    data: Some(data),
                })
            }
            "break" | "continue" => {
                self.at += 1;
                if self.loops == 0 {
                    return Err((pos, format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.expect_right(word)?;
                Ok(if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                })
            }
            "define" => Err((pos, "unexpected {{define}} inside another block".to_owned())),
            _ => Ok(Node::Action(self.pipeline("command", &Kind::Right)?)),
        }
    }

    fn optional_pipe(&mut self, context: &str) -> Result<Option<Pipe>, Fault> {
        if self.peek() == Some(&Kind::Right) {
            self.at += 1;
            return Ok(None);
        }
        self.pipeline(context, &Kind::Right).map(Some)
    }

    /// `if`, `with` or `range` after its word, with everything up to its `{{end}}`.
    fn control(&mut self, word: &str, pos: Pos) -> Result<Node, Fault> {
        self.nested(pos)?;
        let scope = self.variables.len();
        let is_range = word == "range";
        let pipe = self.pipeline(word, &Kind::Right)?;
        if pipe.variables.len() > 1 && !is_range {
            return Err((pipe.pos, format!("too many declarations in {word}")));
        }
        self.loops += u32::from(is_range);
        let mut list = Vec::new();
        let end = self.list(&mut list)?;
        self.loops -= u32::from(is_range);
        let mut otherwise = Vec::new();
        match end {
            End::Else(else_pos) => {
                let chained = match self.peek() {
                    Some(Kind::Word(next)) if !is_range && (next == "if" || next == "with") => {
                        Some(next.clone())
                    }
                    _ => None,
                };
                if let Some(next) = chained {
                    self.at += 1;
                    otherwise.push(self.control(&next, else_pos)?);
                } else {
                    self.expect_right("else")?;
                    let end = self.list(&mut otherwise)?;
                    finish(end, pos, word)?;
                }
            }
            other => finish(other, pos, word)?,
        }
        self.variables.truncate(scope);
        self.depth -= 1;
        let branch = Branch {
            pipe,
            list,
            otherwise,
        };
        Ok(match word {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// A pipeline and the token that ends it.
    fn pipeline(&mut self, context: &str, end: &Kind) -> Result<Pipe, Fault> {
        let pos = self.pos();
        let mut pipe = Pipe {
            pos,
            variables: Vec::new(),
            assign: false,
            commands: Vec::new(),
        };
        self.declarations(&mut pipe, context)?;
        loop {
            if self.peek() == Some(end) {
                self.at += 1;
                break;
            }
            match self.peek() {
                None
                | Some(
                    Kind::Pipe
                    | Kind::Right
                    | Kind::RightParen
                    | Kind::Comma
                    | Kind::Declare
                    | Kind::Assign,
                ) => return self.unexpected(context),
                _ => {
                    let command = self.command(context)?;
                    pipe.commands.push(command);
                }
            }
            if self.peek() == Some(&Kind::Pipe) {
                self.at += 1;
                if self.peek() == Some(end) {
                    return Err((self.pos(), format!("missing command after | in {context}")));
                }
            }
        }
        if pipe.commands.is_empty() {
            return Err((pos, format!("missing value for {context}")));
        }
        for command in &pipe.commands[1..] {
            let first = &command.args[0];
            let constant = matches!(first.kind, OperandKind::Constant(_) | OperandKind::Nil)
                || (matches!(first.kind, OperandKind::Dot) && first.fields.is_empty());
            if constant {
                return Err((first.pos, "non executable command in pipeline".to_owned()));
            }
        }
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), Fault> {
        let first = match self.peek() {
            Some(Kind::Variable(name)) => name.clone(),
            _ => return Ok(()),
        };
        let (names, operator) = match (self.peek_at(1), self.peek_at(2), self.peek_at(3)) {
            (Some(Kind::Declare | Kind::Assign), _, _) => (vec![first], 1),
            (
                Some(Kind::Comma),
                Some(Kind::Variable(second)),
                Some(Kind::Declare | Kind::Assign),
            ) if context == "range" => (vec![first, second.clone()], 3),
            (Some(Kind::Comma), _, _) => {
                return Err((self.pos(), format!("too many declarations in {context}")));
            }
            _ => return Ok(()),
        };
        let pos = self.pos();
        pipe.assign = self.peek_at(operator) == Some(&Kind::Assign);
        self.at += operator + 1;
        for name in names {
            let name: Arc<str> = name.into();
            if !pipe.assign {
                self.variables.push(Arc::clone(&name));
            } else if !self.variables.contains(&name) {
                return Err((pos, format!("undefined variable {name:?}")));
            }
            pipe.variables.push(name);
        }
        Ok(())
    }

    fn command(&mut self, context: &str) -> Result<Command, Fault> {
        let mut args = Vec::new();
        loop {
            args.push(self.operand(context)?);
            let spaced = self.tokens.get(self.at).is_some_and(|token| token.spaced);
            match self.peek() {
                None | Some(Kind::Right | Kind::RightParen | Kind::Pipe) => break,
                Some(_) if spaced => {}
                // `foo(bar)` without a space is two operands in Go as well.
                Some(Kind::LeftParen) => {}
                Some(_) => return self.unexpected("operand"),
            }
        }
        Ok(Command { args })
    }

    fn operand(&mut self, context: &str) -> Result<Operand, Fault> {
        let pos = self.pos();
        let mut fields = Vec::new();
        let kind = match self.next() {
            Some(Kind::Dot) => OperandKind::Dot,
            Some(Kind::Field(name)) => {
                fields.push(name.into());
                OperandKind::Dot
            }
            Some(Kind::String(text)) => OperandKind::Constant(text.into()),
            Some(Kind::Char(code)) => OperandKind::Constant(Value::Int(code)),
            Some(Kind::Number(text)) => OperandKind::Constant(
                number(&text).ok_or_else(|| (pos, format!("bad number syntax: {text:?}")))?,
            ),
            Some(Kind::Variable(name)) => {
                let name: Arc<str> = name.into();
                if !self.variables.contains(&name) {
                    return Err((pos, format!("undefined variable {name:?}")));
                }
                OperandKind::Variable(name)
            }
            Some(Kind::Word(word)) => match word.as_str() {
                "nil" => OperandKind::Nil,
                "true" => OperandKind::Constant(Value::Bool(true)),
                "false" => OperandKind::Constant(Value::Bool(false)),
                word if KEYWORDS.contains(&word) => {
                    return Err((pos, format!("unexpected <{word}> in {context}")));
                }
                word => OperandKind::Function(word.into()),
            },
            Some(Kind::LeftParen) => {
                self.nested(pos)?;
                let pipe = self.pipeline("parenthesized pipeline", &Kind::RightParen)?;
                self.depth -= 1;
                OperandKind::Pipe(Box::new(pipe))
            }
            _ => {
                self.at -= 1;
                return self.unexpected(context);
            }
        };
        let bare = matches!(kind, OperandKind::Constant(_) | OperandKind::Nil)
            || (matches!(kind, OperandKind::Dot) && fields.is_empty());
        while let Some(Token {
            spaced: false,
            kind: Kind::Field(name),
            ..
        }) = self.tokens.get(self.at)
        {
            if bare {
                return Err((self.pos(), "unexpected . after term".to_owned()));
            }
            fields.push(name.as_str().into());
            self.at += 1;
        }
        Ok(Operand { pos, kind, fields })
    }
}

fn finish(end: End, start: Pos, context: &str) -> Result<(), Fault> {
    match end {
        End::Closed => Ok(()),
        End::Else(pos) => Err((pos, format!("unexpected {{{{else}}}} in {context}"))),
        End::Text => Err((start, format!("{context} is not closed: no {{{{end}}}}"))),
    }
}

/// A number as Go's template package reads it: an int when it is one, else a float.
fn number(text: &str) -> Option<Value> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let plain = digits.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let radix = match lower.get(..2) {
        Some("0x") => Some((16, &lower[2..])),
        Some("0b") => Some((2, &lower[2..])),
        Some("0o") => Some((8, &lower[2..])),
        Some(two) if two.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) => {
            Some((8, &lower[1..]))
        }
        _ => None,
    };
    if let Some((radix, digits)) = radix {
        return i64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| !digits.starts_with(['+', '-']))
            .map(|value| Value::Int(sign * value));
    }
    if plain.bytes().all(|b| b.is_ascii_digit()) {
        return format!("{}{plain}", if sign < 0 { "-" } else { "" })
            .parse()
            .ok()
            .map(Value::Int);
    }
    let float_like = plain
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if !float_like {
        return None;
    }
    plain
        .parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .map(|value| Value::Float(f64::from(sign as i32) * value))
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "text".to_owned(),
        Kind::Left => "{{".to_owned(),
        Kind::Right => "}}".to_owned(),
        Kind::Field(name) => format!("<.{name}>"),
        Kind::Variable(name) | Kind::Word(name) | Kind::Number(name) => format!("<{name}>"),
        Kind::Dot => "<.>".to_owned(),
        Kind::String(text) => format!("{text:?}"),
        Kind::Char(_) => "character".to_owned(),
        Kind::Declare => "\":=\"".to_owned(),
        Kind::Assign => "\"=\"".to_owned(),
        Kind::Pipe => "\"|\"".to_owned(),
        Kind::LeftParen => "\"(\"".to_owned(),
        Kind::RightParen => "\")\"".to_owned(),
        Kind::Comma => "\",\"".to_owned(),
    }
}
