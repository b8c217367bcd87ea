//! The parsed form of a template.

use std::sync::Arc;

use crate::set::{Functions, Set, TemplateError};
use crate::{builtins, value::Value};

/// Where something stands in its template's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pos {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// One named template.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// Name of the text it was parsed from, for messages.
    pub(crate) source: Arc<str>,
    pub(crate) nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(Arc<str>),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template {
        pos: Pos,
        name: Arc<str>,
        data: Option<Pipe>,
    },
    Break,
    Continue,
}

#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) list: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    pub(crate) pos: Pos,
    pub(crate) variables: Vec<Arc<str>>,
    /// `=` instead of `:=`.
    pub(crate) assign: bool,
    pub(crate) commands: Vec<Command>,
}

#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) args: Vec<Operand>,
}

#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub(crate) pos: Pos,
    pub(crate) kind: OperandKind,
    /// `.A.B` after it.
    pub(crate) fields: Vec<Arc<str>>,
}

#[derive(Clone, Debug)]
pub(crate) enum OperandKind {
    Dot,
    Nil,
    /// Bool, number or text.
    Constant(Value),
    Variable(Arc<str>),
    Function(Arc<str>),
    Pipe(Box<Pipe>),
}

// === impl Tree ===

impl Tree {
    /// Nothing but white space, as Go's `IsEmptyTree`.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }

    pub(crate) fn check(
        &self,
        name: &str,
        set: &Set,
        functions: &dyn Functions,
    ) -> Result<(), TemplateError> {
        let check = Check {
            name: if self.source.is_empty() {
                name
            } else {
                &self.source
            },
            set,
            functions,
        };
        check.nodes(&self.nodes)
    }
}

struct Check<'a> {
    name: &'a str,
    set: &'a Set,
    functions: &'a dyn Functions,
}

// === impl Check ===

impl Check<'_> {
    fn nodes(&self, nodes: &[Node]) -> Result<(), TemplateError> {
        nodes.iter().try_for_each(|node| match node {
            Node::Text(_) | Node::Break | Node::Continue => Ok(()),
            Node::Action(pipe) => self.pipe(pipe),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                self.pipe(&branch.pipe)?;
                self.nodes(&branch.list)?;
                self.nodes(&branch.otherwise)
            }
            Node::Template { pos, name, data } => {
                if !self.set.contains(name) {
                    return Err(self.error(*pos, format!("template {name:?} not defined")));
                }
                data.as_ref().map_or(Ok(()), |pipe| self.pipe(pipe))
            }
        })
    }

    fn pipe(&self, pipe: &Pipe) -> Result<(), TemplateError> {
        let mut operands = pipe.commands.iter().flat_map(|command| &command.args);
        operands.try_for_each(|operand| match &operand.kind {
            OperandKind::Function(name)
                if !builtins::knows(name) && !self.functions.knows(name) =>
            {
                Err(self.error(operand.pos, format!("function {name:?} not defined")))
            }
            OperandKind::Pipe(inner) => self.pipe(inner),
            _ => Ok(()),
        })
    }

    fn error(&self, pos: Pos, message: String) -> TemplateError {
        TemplateError {
            name: self.name.to_owned(),
            line: pos.line,
            column: pos.column,
            message,
        }
    }
}
