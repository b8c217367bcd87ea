//! Walks a tree over data.

use std::sync::Arc;

use crate::node::{Branch, Command, Node, Operand, OperandKind, Pipe, Pos, Tree};
use crate::set::{Escape, Functions, Set, TemplateError};
use crate::value::Value;
use crate::{builtins, escape, format, gotime};

/// Renders template `name` of a set.
pub(crate) fn render(
    set: &Set,
    name: &str,
    data: &Value,
    functions: &dyn Functions,
) -> Result<String, TemplateError> {
    let Some(tree) = set.trees.get(name) else {
        return Err(TemplateError {
            name: name.to_owned(),
            line: 1,
            column: 1,
            message: format!("template {name:?} not defined"),
        });
    };
    let mut run = Run {
        set,
        functions,
        out: String::new(),
        variables: Vec::new(),
        steps: 0,
        depth: 0,
    };
    run.template(tree, data)
        .map_err(|fault| fault.into_error(&tree.source, name))?;
    Ok(run.out)
}

struct Fault {
    /// Source text it happened in, when that is not the one rendering began with.
    source: Option<Arc<str>>,
    pos: Pos,
    message: String,
}

impl Fault {
    fn into_error(self, source: &str, name: &str) -> TemplateError {
        let source = self.source.as_deref().unwrap_or(source);
        TemplateError {
            name: if source.is_empty() { name } else { source }.to_owned(),
            line: self.pos.line,
            column: self.pos.column,
            message: self.message,
        }
    }
}

/// What a list of nodes ended with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'a> {
    set: &'a Set,
    functions: &'a dyn Functions,
    out: String,
    variables: Vec<(Arc<str>, Value)>,
    steps: usize,
    depth: usize,
}

fn fail<T>(pos: Pos, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault {
        source: None,
        pos,
        message: message.into(),
    })
}

// === impl Run ===

impl Run<'_> {
    fn template(&mut self, tree: &Tree, data: &Value) -> Result<(), Fault> {
        let outer = std::mem::replace(&mut self.variables, vec![("$".into(), data.clone())]);
        self.depth += 1;
        let result = self.nodes(&tree.nodes, data);
        self.depth -= 1;
        self.variables = outer;
        result.map(|_| ()).map_err(|fault| Fault {
            source: fault.source.or_else(|| Some(Arc::clone(&tree.source))),
            ..fault
        })
    }

    fn step(&mut self, pos: Pos) -> Result<(), Fault> {
        self.steps += 1;
        if self.steps > self.set.limits.steps {
            return fail(pos, format!("more than {} steps", self.set.limits.steps));
        }
        Ok(())
    }

    fn write(&mut self, pos: Pos, text: &str) -> Result<(), Fault> {
        if self.out.len() + text.len() > self.set.limits.output {
            return fail(
                pos,
                format!("output larger than {} bytes", self.set.limits.output),
            );
        }
        self.out.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Fault> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, Fault> {
        match node {
            Node::Text(text) => self.write(Pos::default(), text)?,
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.print(pipe.pos, &value)?;
                }
            }
            Node::If(branch) => return self.branch(branch, dot, false),
            Node::With(branch) => return self.branch(branch, dot, true),
            Node::Range(branch) => {
                let scope = self.variables.len();
                let flow = self.range(branch, dot);
                self.variables.truncate(scope);
                return flow;
            }
            Node::Template { pos, name, data } => {
                self.step(*pos)?;
                let data = match data {
                    Some(pipe) => self.pipe(pipe, dot)?,
                    None => Value::Nil,
                };
                let set = self.set;
                let Some(tree) = set.trees.get(&**name) else {
                    return fail(*pos, format!("template {name:?} not defined"));
                };
                if self.depth >= set.limits.depth {
                    return fail(
                        *pos,
                        format!("templates nested deeper than {}", set.limits.depth),
                    );
                }
                self.template(tree, &data)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, pos: Pos, value: &Value) -> Result<(), Fault> {
        let text = match value {
            Value::Nil if self.set.escape == Escape::Text => "<no value>".to_owned(),
            Value::Nil => String::new(),
            value => format::sprint_value(value),
        };
        match (self.set.escape, value) {
            (Escape::Text, _) | (Escape::Html, Value::Html(_)) => self.write(pos, &text),
            (Escape::Html, _) => {
                let text = escape::html(&text).replace('+', "&#43;");
                self.write(pos, &text)
            }
        }
    }

    fn branch(&mut self, branch: &Branch, dot: &Value, is_with: bool) -> Result<Flow, Fault> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if value.is_true() {
            self.nodes(&branch.list, if is_with { &value } else { dot })
        } else {
            self.nodes(&branch.otherwise, dot)
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, Fault> {
        let pos = branch.pipe.pos;
        // The pipeline's variables are set anew for each item.
        let value = self.pipe_value(&branch.pipe, dot)?;
        let items: Vec<(Value, Value)> = match value.plain() {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (Value::Int(index as i64), item.clone()))
                .collect(),
            Value::Map(map) => map
                .entries
                .iter()
                .map(|(key, item)| (Value::String(Arc::clone(key)), item.clone()))
                .collect(),
            Value::Int(count) => {
                if count > self.set.limits.steps as i64 {
                    return fail(pos, format!("more than {} steps", self.set.limits.steps));
                }
                (0..count.max(0))
                    .map(|index| (Value::Int(index), Value::Int(index)))
                    .collect()
            }
            Value::Nil => Vec::new(),
            _ => {
                return fail(
                    pos,
                    format!("range can't iterate over {}", format::sprint_value(&value)),
                );
            }
        };
        if items.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        for (key, item) in items {
            self.step(pos)?;
            let scope = self.variables.len();
            let values = if branch.pipe.variables.len() == 2 {
                vec![key, item.clone()]
            } else {
                vec![item.clone()]
            };
            for (name, value) in branch.pipe.variables.iter().zip(values) {
                self.set_variable(name, value, branch.pipe.assign);
            }
            let flow = self.nodes(&branch.list, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set_variable(&mut self, name: &Arc<str>, value: Value, assign: bool) {
        if assign
            && let Some(slot) = self
                .variables
                .iter_mut()
                .rev()
                .find(|(known, _)| known == name)
        {
            slot.1 = value;
        } else {
            self.variables.push((Arc::clone(name), value));
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, Fault> {
        let value = self.pipe_value(pipe, dot)?;
        for name in &pipe.variables {
            self.set_variable(name, value.clone(), pipe.assign);
        }
        Ok(value)
    }

    fn pipe_value(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, Fault> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or_default())
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Fault> {
        let (first, rest) = command
            .args
            .split_first()
            .expect("the parser makes no command without operands");
        self.step(first.pos)?;
        if let OperandKind::Function(name) = &first.kind
            && first.fields.is_empty()
        {
            return self.function(name, first.pos, rest, dot, last);
        }
        let has_arguments = !rest.is_empty() || last.is_some();
        if first.fields.is_empty() {
            if has_arguments {
                return fail(first.pos, "can't give argument to non-function");
            }
            if matches!(first.kind, OperandKind::Nil) {
                return fail(first.pos, "nil is not a command");
            }
            return self.operand(first, dot);
        }
        // Only the last field of the chain takes the arguments.
        let mut args = self.operands(rest, dot)?;
        args.extend(last);
        let (last_field, before) = first
            .fields
            .split_last()
            .expect("checked above that there are fields");
        let mut value = self.operand_base(first, dot)?;
        for field in before {
            value = self.field(first.pos, &value, field, &[])?;
        }
        self.field(first.pos, &value, last_field, &args)
    }

    fn operands(&mut self, operands: &[Operand], dot: &Value) -> Result<Vec<Value>, Fault> {
        operands
            .iter()
            .map(|operand| self.operand(operand, dot))
            .collect()
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Fault> {
        let mut value = self.operand_base(operand, dot)?;
        for field in &operand.fields {
            value = self.field(operand.pos, &value, field, &[])?;
        }
        Ok(value)
    }

    fn operand_base(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Fault> {
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::Nil),
            OperandKind::Constant(value) => Ok(value.clone()),
            OperandKind::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                match found {
                    Some((_, value)) => Ok(value.clone()),
                    None => fail(operand.pos, format!("undefined variable: {name}")),
                }
            }
            OperandKind::Function(name) => self.function(name, operand.pos, &[], dot, None),
            OperandKind::Pipe(pipe) => {
                let scope = self.variables.len();
                let value = self.pipe(pipe, dot);
                if !pipe.variables.is_empty() && !pipe.assign {
                    self.variables.truncate(scope);
                }
                value
            }
        }
    }

    fn function(
        &mut self,
        name: &str,
        pos: Pos,
        operands: &[Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Fault> {
        self.step(pos)?;
        if name == "and" || name == "or" {
            return self.short_circuit(name == "or", pos, operands, dot, last);
        }
        let mut args = self.operands(operands, dot)?;
        args.extend(last);
        let result = if self.functions.knows(name) {
            self.functions.call(name, &args)
        } else {
            builtins::call(name, &args)
                .unwrap_or_else(|| Err(format!("{name:?} is not a defined function")))
        };
        self.checked(
            pos,
            result.map_err(|message| format!("error calling {name}: {message}")),
        )
    }

    fn short_circuit(
        &mut self,
        stop_on: bool,
        pos: Pos,
        operands: &[Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Fault> {
        let mut value = None;
        for operand in operands {
            let found = self.operand(operand, dot)?;
            if found.is_true() == stop_on {
                return Ok(found);
            }
            value = Some(found);
        }
        match last.or(value) {
            Some(value) => Ok(value),
            None => fail(
                pos,
                "wrong number of args for and/or: want at least 1 got 0",
            ),
        }
    }

    /// Keeps strings made on the way within the limit of the output.
    fn checked(&self, pos: Pos, result: Result<Value, String>) -> Result<Value, Fault> {
        match result {
            Ok(value)
                if value
                    .as_str()
                    .is_some_and(|text| text.len() > self.set.limits.output) =>
            {
                fail(
                    pos,
                    format!("text larger than {} bytes", self.set.limits.output),
                )
            }
            Ok(value) => Ok(value),
            Err(message) => fail(pos, message),
        }
    }

    /// A field, a method or the key of a map.
    fn field(&self, pos: Pos, value: &Value, name: &str, args: &[Value]) -> Result<Value, Fault> {
        let called = match value {
            Value::Object(object) => object.call(name, args),
            Value::Time(time) => gotime::call_time(time, name, args),
            Value::Duration(duration) => gotime::call_duration(*duration, name, args),
            _ => None,
        };
        if let Some(result) = called {
            return self.checked(
                pos,
                result.map_err(|message| format!("error calling {name}: {message}")),
            );
        }
        let found = match value {
            Value::Object(object) => object.field(name).or_else(|| match object.underlying() {
                Value::Map(map) => Some(map.get(name)),
                _ => None,
            }),
            Value::Map(map) => Some(map.get(name)),
            // As Go with `missingkey=zero`: nothing has nothing.
            Value::Nil => Some(Value::Nil),
            _ => None,
        };
        match found {
            Some(_) if !args.is_empty() => fail(
                pos,
                format!("{name} has arguments but cannot be invoked as function"),
            ),
            Some(value) => Ok(value),
            None => fail(
                pos,
                format!("can't evaluate field {name} in type {}", value.type_name()),
            ),
        }
    }
}
