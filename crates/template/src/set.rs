//! Named templates that can use each other.

use std::collections::BTreeMap;

use crate::exec;
use crate::node::Tree;
use crate::parse;
use crate::value::Value;

/// What is wrong with a template, or went wrong while it was rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {name}:{line}:{column}: {message}")]
pub struct TemplateError {
    /// Name of the template.
    pub name: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    pub message: String,
}

/// Functions beside the built-in ones.
pub trait Functions {
    /// Whether there is a function of this name.
    fn knows(&self, name: &str) -> bool;
    /// Calls one.
    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String>;
}

/// No functions but the built-in ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFunctions;

/// What is done to the result of each action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// Nothing: `text/template`.
    #[default]
    Text,
    /// `& < > " ' +` and the null byte become entities, except in [`Value::Html`].
    Html,
}

/// Limits of one render: a stranger's template ends.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the output, and of any one string made on the way.
    pub output: usize,
    /// Actions, calls and turns of loops.
    pub steps: usize,
    /// Templates inside templates.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output: 1 << 20,
            steps: 200_000,
            depth: 64,
        }
    }
}

/// Templates by name.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub(crate) trees: BTreeMap<String, Tree>,
    pub(crate) escape: Escape,
    pub(crate) limits: Limits,
}

/// One template and those it defines itself.
#[derive(Clone, Debug)]
pub struct Template {
    name: String,
    set: Set,
}

// === impl Set ===

impl Set {
    /// An empty set that renders text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is done to the result of each action.
    #[must_use]
    pub fn with_escape(mut self, escape: Escape) -> Self {
        self.escape = escape;
        self
    }

    /// Sets other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Parses a text and adds it under `name`, with all the templates it defines. A later definition replaces an
    /// earlier one of the same name, unless the later one is empty (as in Go).
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        for (defined, tree) in parse::parse(name, text)? {
            let keep_old = tree.is_empty() && self.trees.contains_key(&defined);
            if !keep_old {
                self.trees.insert(defined, tree);
            }
        }
        Ok(())
    }

    /// Whether there is a template of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.trees.contains_key(name)
    }

    /// Names of the templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(String::as_str)
    }

    /// Finds uses of functions and templates that do not exist; rendering would fail on them.
    pub fn check(&self, functions: &dyn Functions) -> Result<(), TemplateError> {
        for (name, tree) in &self.trees {
            tree.check(name, self, functions)?;
        }
        Ok(())
    }

    /// Renders one template over `data`.
    pub fn render(
        &self,
        name: &str,
        data: &Value,
        functions: &dyn Functions,
    ) -> Result<String, TemplateError> {
        exec::render(self, name, data, functions)
    }

    /// Renders a text that may use the templates of this set, as Alertmanager does with each configured text.
    pub fn render_text(
        &self,
        text: &str,
        data: &Value,
        functions: &dyn Functions,
    ) -> Result<String, TemplateError> {
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let mut set = self.clone();
        set.parse("", text)?;
        set.render("", data, functions)
    }
}

// === impl Template ===

impl Template {
    /// Parses one template.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let mut set = Set::new();
        set.parse(name, text)?;
        Ok(Self {
            name: name.to_owned(),
            set,
        })
    }

    /// Sets other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.set.limits = limits;
        self
    }

    /// Finds uses of functions and templates that do not exist.
    pub fn check(&self, functions: &dyn Functions) -> Result<(), TemplateError> {
        self.set.check(functions)
    }

    /// Renders it over `data`.
    pub fn render(&self, data: &Value, functions: &dyn Functions) -> Result<String, TemplateError> {
        self.set.render(&self.name, data, functions)
    }
}

impl Functions for NoFunctions {
    fn knows(&self, _: &str) -> bool {
        false
    }
    fn call(&self, name: &str, _: &[Value]) -> Result<Value, String> {
        Err(format!("function {name:?} not defined"))
    }
}
