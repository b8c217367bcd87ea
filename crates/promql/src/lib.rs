//! PromQL as Prometheus 3 defines it: text to syntax tree, syntax tree to answers.
//!
//! What it does: parses, checks, prints and formats expressions; evaluates them over a
//! [`bellwether_model::series::SeriesSource`] at one time or over a range; runs Prometheus' own test scripts.
//!
//! Entry points: [`parse`], [`Engine`], [`Plan`], [`inspect`], [`promqltest::run_script`].
//!
//! Invariants: no clock, no IO beyond the source it is given, no hash order: equal inputs give equal results. Any text
//! is safe to parse (length and depth are limited) and any query safe to run (samples are limited, an
//! [`Interrupt`] can stop it).
//!
//! How it is fast: a range query is evaluated series by series. Each series is decoded once; a kernel walks all steps
//! with moving cursors; values are dense arrays, one slot per step; aggregations fold each series into
//! `[group x step]` arrays as it arrives, so that the input is never held whole.
//!
//! Not here: rules, HTTP, storage.

pub mod annotations;
pub mod ast;
pub mod engine;
pub mod error;
pub mod functions;
pub mod histogram;
pub mod inspect;
pub mod parser;
pub mod plan;
pub mod printer;
pub mod promqltest;
pub mod value;

pub use annotations::Annotation;
pub use ast::{Expr, Span, ValueType};
pub use engine::{Engine, EngineOptions, Interrupt, Interruption, Query};
pub use error::QueryError;
pub use inspect::{
    ExplainNode, NodeCost, SelectorNeed, explain, function_names, needed_range, referenced_metrics,
};
pub use parser::{ParseError, ParserOptions, parse, parse_metric, parse_metric_selector};
pub use plan::{Plan, ReplayResult};
pub use printer::pretty;
pub use value::{InstantSample, QueryResult, QueryStats, QueryValue, RangeSeries};
