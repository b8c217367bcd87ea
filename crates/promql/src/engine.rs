//! Evaluation.

pub(crate) mod durations;

use bellwether_model::series::SeriesSource;

use crate::ast::{Expr, ValueType};
use crate::error::QueryError;
use crate::parser::{ParseError, ParserOptions, parse};
use crate::value::QueryResult;

/// Evaluates expressions. Cheap to make and to share.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
}

/// Settings of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample, in milliseconds.
    pub lookback_ms: i64,
    /// Samples that one query may hold at once.
    pub samples_max: usize,
    /// Drop metric names at the end of the query instead of at each function.
    pub delayed_name_removal: bool,
    /// Step of a subquery that names none, in milliseconds.
    pub subquery_step_ms: i64,
    /// Trust `__type__` and `__unit__` labels.
    pub type_and_unit_labels: bool,
    pub parser: ParserOptions,
}

/// Asked now and then during a query.
pub trait Interrupt {
    /// Why the query must stop now, if it must.
    fn interrupted(&self) -> Option<Interruption>;
}

/// Why a query is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    Timeout,
    Canceled,
}

/// An expression with the times to evaluate it at. Milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub expr: &'a Expr,
    pub start: i64,
    pub end: i64,
    /// Greater than 0; `None` for an instant query at `start`.
    pub step: Option<i64>,
}

/// Never interrupts.
impl Interrupt for () {
    fn interrupted(&self) -> Option<Interruption> {
        None
    }
}

impl<F: Fn() -> Option<Interruption>> Interrupt for F {
    fn interrupted(&self) -> Option<Interruption> {
        self()
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            delayed_name_removal: false,
            subquery_step_ms: 60_000,
            type_and_unit_labels: false,
            parser: ParserOptions::default(),
        }
    }
}

impl Engine {
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Parses with the engine's parser options.
    pub fn parse(&self, query: &str) -> Result<Expr, ParseError> {
        parse(query, &self.options.parser)
    }

    /// Evaluates at one time.
    pub fn instant(
        &self,
        source: &dyn SeriesSource,
        expr: &Expr,
        time: i64,
    ) -> Result<QueryResult, QueryError> {
        let query = Query {
            expr,
            start: time,
            end: time,
            step: None,
        };
        self.run(source, &query, &())
    }

    /// Evaluates at `start`, `start + step` and so on up to `end`.
    pub fn range(
        &self,
        source: &dyn SeriesSource,
        expr: &Expr,
        start: i64,
        end: i64,
        step: i64,
    ) -> Result<QueryResult, QueryError> {
        let query = Query {
            expr,
            start,
            end,
            step: Some(step),
        };
        self.run(source, &query, &())
    }

    /// Evaluates a query that can be interrupted.
    pub fn run(
        &self,
        source: &dyn SeriesSource,
        query: &Query<'_>,
        interrupt: &dyn Interrupt,
    ) -> Result<QueryResult, QueryError> {
        let _ = (source, interrupt);
        if let Some(step) = query.step {
            if step <= 0 {
                return Err(QueryError::BadData(
                    "zero or negative query resolution step widths are not accepted. Try a positive integer"
                        .to_owned(),
                ));
            }
            if !matches!(
                query.expr.value_type(),
                ValueType::Scalar | ValueType::Vector
            ) {
                return Err(QueryError::BadData(format!(
                    "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                    query.expr.value_type().documented()
                )));
            }
        }
        Err(QueryError::execution("evaluation is not built yet"))
    }
}
