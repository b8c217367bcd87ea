//! Many queries as one plan, evaluated at one moment ([`Engine::tick`]) or over a range ([`Engine::replay`]).
//!
//! Equal parts of the queries are computed once, and each series that several of them read is decoded once, however
//! many windows look at it. The answers are those that [`Engine::run`] gives for each query alone, bit for bit.

use bellwether_model::series::SeriesSource;

use crate::ast::Expr;
use crate::engine::{Engine, Interrupt};
use crate::error::QueryError;
use crate::value::{QueryResult, QueryStats};

/// Queries to evaluate together. Make it once per rule set and use it for every tick or part of a range.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    queries: Vec<Expr>,
}

/// What a plan gave.
#[derive(Debug)]
pub struct ReplayResult {
    /// One answer per query, in their order. A query that fails leaves the others alone.
    pub answers: Vec<Result<QueryResult, QueryError>>,
    /// What all of them cost. What queries share is counted here, and not in the answers' own figures.
    pub stats: QueryStats,
}

/// When a plan is evaluated; milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Tick(i64),
    Range { start: i64, end: i64, step: i64 },
}

impl Plan {
    /// A plan of these queries.
    pub fn new(queries: impl IntoIterator<Item = Expr>) -> Self {
        Self {
            queries: queries.into_iter().collect(),
        }
    }

    /// The queries, in their order.
    pub fn queries(&self) -> &[Expr] {
        &self.queries
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }
}

impl Engine {
    /// Evaluates every query of the plan at one time (milliseconds since 1970): vectors, as instant queries give.
    pub fn tick(
        &self,
        source: &dyn SeriesSource,
        plan: &Plan,
        time: i64,
        interrupt: &dyn Interrupt,
    ) -> ReplayResult {
        self.run_plan(source, plan, Times::Tick(time), interrupt)
    }

    /// Evaluates every query of the plan at `start`, `start + step` and so on up to `end` (milliseconds): matrices, as
    /// range queries give.
    ///
    /// Memory grows with queries x series x steps, so a long range goes in parts; any parts give the same points. A
    /// query may hold [`EngineOptions::samples_max`](crate::EngineOptions::samples_max) samples, what is shared that
    /// much times the number of queries.
    pub fn replay(
        &self,
        source: &dyn SeriesSource,
        plan: &Plan,
        start: i64,
        end: i64,
        step: i64,
        interrupt: &dyn Interrupt,
    ) -> ReplayResult {
        self.run_plan(source, plan, Times::Range { start, end, step }, interrupt)
    }
}
