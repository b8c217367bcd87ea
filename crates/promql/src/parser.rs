//! Text to syntax tree: Prometheus' grammar, checks and error texts, with limits on length and depth.

mod check;
mod lex;
mod parse;
mod text;

use bellwether_model::{Labels, Matcher};

use crate::ast::{Expr, Span};

pub use text::is_keyword;
pub(crate) use text::{quote_bytes, unquote};

/// What the parser accepts beyond the stable language, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParserOptions {
    /// Experimental functions and aggregations.
    pub experimental_functions: bool,
    /// Arithmetic in durations: `[5m * 2]`, `step()`.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
    /// Bytes of text.
    pub length_max: usize,
    /// Levels of nesting; a chain of binary operators counts each one.
    pub depth_max: usize,
}

/// Why a text is not PromQL. Prints as Prometheus does: `1:5: parse error: ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: parse error: {message}")]
pub struct ParseError {
    pub message: String,
    pub span: Span,
    /// From 1.
    pub line: usize,
    /// From 1, in bytes.
    pub column: usize,
}

impl Default for ParserOptions {
    fn default() -> Self {
        Self {
            experimental_functions: false,
            duration_expressions: false,
            extended_range_selectors: false,
            fill_modifiers: false,
            length_max: 256 << 10,
            depth_max: 200,
        }
    }
}

impl ParserOptions {
    /// With every experimental part of the language.
    pub fn experimental() -> Self {
        Self {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            ..Self::default()
        }
    }
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        let (line, column) = span.position(query);
        Self {
            message: message.into(),
            span,
            line,
            column,
        }
    }
}

/// Parses and type-checks an expression.
pub fn parse(query: &str, options: &ParserOptions) -> Result<Expr, ParseError> {
    let mut parser = parse::Parser::new(query, options)?;
    let mut expr = parser.expression()?;
    check::check(query, &mut expr)?;
    Ok(expr)
}

/// Parses a selector such as `up{job="x"}` or `{__name__=~"a.*"}` into its matchers, for `match[]` parameters.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let options = ParserOptions::default();
    let mut parser = parse::Parser::new(text, &options)?;
    let selector = parser.selector_only()?;
    check::check_selector(text, &selector)?;
    Ok(selector.matchers)
}

/// Parses a series name such as `up{job="x"}` into its labels.
pub fn parse_metric(text: &str) -> Result<Labels, ParseError> {
    let options = ParserOptions::default();
    parse::Parser::new(text, &options)?.metric_only()
}

#[cfg(test)]
mod tests;
