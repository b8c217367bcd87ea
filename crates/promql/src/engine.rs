//! Evaluation.

pub(crate) mod durations;
pub(crate) mod kahan;

mod aggregate;
mod binary;
mod call;
mod eval;
mod profile;
mod replay;
mod select;
mod series;
mod window;
mod xxhash;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use bellwether_model::series::{SeriesSource, Value};

use self::binary::braces as binary_braces;
use self::durations::Times;
use self::eval::{Context, Evaluated};
use self::profile::Profile;
use self::replay::Shared;
use self::series::{Grid, Sample, Series, merge_same_labels, without_name};
use crate::annotations::Annotations;
use crate::ast::{At, Expr, ValueType};
use crate::error::QueryError;
use crate::inspect::ExplainNode;
use crate::parser::{ParseError, ParserOptions, parse};
use crate::value::{InstantSample, QueryResult, QueryStats, QueryValue, RangeSeries};

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
        self.run_shared(source, query, interrupt, None, None)
    }

    /// Evaluates a query and says what each of its parts cost. `clock` gives nanoseconds since any moment.
    pub fn profile(
        &self,
        source: &dyn SeriesSource,
        query: &Query<'_>,
        interrupt: &dyn Interrupt,
        clock: &dyn Fn() -> u64,
    ) -> Result<(QueryResult, ExplainNode), QueryError> {
        let profile = Profile::new(clock);
        let result = self.run_shared(source, query, interrupt, None, Some(&profile))?;
        let costs = profile.finish();
        let mut plan = crate::inspect::explain(query.expr);
        profile::attach(&mut plan, query.expr, &costs);
        Ok((result, plan))
    }

    fn context<'a>(
        &'a self,
        source: &'a dyn SeriesSource,
        times: Times,
        interrupt: &'a dyn Interrupt,
        pinned: bool,
    ) -> Context<'a> {
        Context {
            source,
            options: &self.options,
            interrupt,
            times,
            annotations: RefCell::new(Annotations::default()),
            held: Cell::new(0),
            peak: Cell::new(0),
            series_read: Cell::new(0),
            samples_read: Cell::new(0),
            pinned,
            shared: None,
            current: RefCell::new(None),
            profile: None,
        }
    }

    fn run_shared(
        &self,
        source: &dyn SeriesSource,
        query: &Query<'_>,
        interrupt: &dyn Interrupt,
        shared: Option<&Shared>,
        profile: Option<&Profile<'_>>,
    ) -> Result<QueryResult, QueryError> {
        check(query)?;
        let times = Times {
            start: query.start,
            end: query.end,
            step: query.step.unwrap_or(0),
        };
        let mut context = self.context(source, times, interrupt, has_at(query.expr));
        context.shared = shared;
        context.profile = profile;
        let value = match query.step {
            None => context.instant(query.expr, query.start)?,
            Some(step) => {
                let grid = Grid::of_range(query.start, query.end, step);
                context.hold(grid.len)?;
                context.release(grid.len);
                context.range(query.expr, &grid)?
            }
        };
        let stats = context.stats();
        let (warnings, infos) = context.annotations.into_inner().finish();
        Ok(QueryResult {
            value,
            warnings,
            infos,
            stats,
        })
    }
}

/// Times beyond this many milliseconds are refused, so that no arithmetic on them overflows.
const TIME_MAX: i64 = 1 << 56;

fn check(query: &Query<'_>) -> Evaluated<()> {
    let far = |time: i64| !(-TIME_MAX..=TIME_MAX).contains(&time);
    if far(query.start) || far(query.end) || query.step.is_some_and(far) {
        return Err(QueryError::BadData("time is out of range".to_owned()));
    }
    let Some(step) = query.step else {
        return Ok(());
    };
    if step <= 0 {
        return Err(QueryError::BadData(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
                .to_owned(),
        ));
    }
    let kind = query.expr.value_type();
    if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
        return Err(QueryError::BadData(format!(
            "invalid expression type {:?} for range query, must be Scalar or instant Vector",
            kind.documented()
        )));
    }
    Ok(())
}

fn has_at(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |node| {
        let at: Option<At> = match node {
            Expr::Vector(e) => e.at,
            Expr::Matrix(e) => e.selector.at,
            Expr::Subquery(e) => e.at,
            _ => None,
        };
        found |= at.is_some();
    });
    found
}

fn to_value(sample: Sample) -> Value {
    match sample {
        Sample::Float(value) => Value::Float(value),
        Sample::Histogram(histogram) => Value::Histogram(histogram),
    }
}

impl Context<'_> {
    fn stats(&self) -> QueryStats {
        QueryStats {
            series: self.series_read.get(),
            samples: self.samples_read.get(),
            peak_samples: self.peak.get(),
        }
    }

    /// All series, with the names that were to go gone.
    fn finished(&self, expr: &Expr, grid: &Grid) -> Evaluated<Vec<Series>> {
        let mut all = self.eval(expr, grid)?;
        if self.delayed() {
            for series in &mut all {
                if series.drop_name {
                    series.labels = without_name(&series.labels);
                }
            }
            all = merge_same_labels(all)?;
        }
        Ok(all)
    }

    fn instant(&self, expr: &Expr, time: i64) -> Evaluated<QueryValue> {
        let grid = Grid::at(time);
        match expr.value_type() {
            ValueType::Scalar => Ok(QueryValue::Scalar {
                timestamp: time,
                value: self.scalar(expr, &grid)?[0],
            }),
            ValueType::String => match expr.unwrap_parens() {
                Expr::String(literal) => Ok(QueryValue::String {
                    timestamp: time,
                    value: literal.value.clone(),
                }),
                _ => Err(QueryError::execution("expected a string literal")),
            },
            ValueType::Matrix => self.matrix(expr, &grid),
            ValueType::Vector => {
                let all = self.finished(expr, &grid)?;
                let samples = all.into_iter().filter_map(|series| {
                    Some(InstantSample {
                        timestamp: time,
                        value: to_value(series.get(0)?),
                        labels: series.labels,
                    })
                });
                Ok(QueryValue::Vector(samples.collect()))
            }
        }
    }

    /// The samples of a range selector or subquery as they are.
    fn matrix(&self, expr: &Expr, grid: &Grid) -> Evaluated<QueryValue> {
        let range = self.range_arg(expr)?;
        let (end, start) = {
            let end = range.reference.at(grid.start);
            (end, end - range.window)
        };
        let mut all: Vec<RangeSeries> = Vec::new();
        self.points_of(&range, grid, &mut |labels, drop_name, points| {
            let labels = if drop_name {
                without_name(labels)
            } else {
                labels.clone()
            };
            let floats = window::bounded(points, range.extent, start, end)?;
            let inside = |t: i64| t > start && t <= end;
            let histograms = points.histograms.iter().filter(|(t, _)| inside(*t));
            let series = RangeSeries {
                labels,
                floats,
                histograms: histograms.map(|(t, h)| (*t, Arc::clone(h))).collect(),
            };
            if !series.is_empty() {
                self.hold(series.len())?;
                all.push(series);
            }
            Ok(())
        })?;
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(QueryValue::Matrix(all))
    }

    fn range(&self, expr: &Expr, grid: &Grid) -> Evaluated<QueryValue> {
        let mut all = if expr.value_type() == ValueType::Scalar {
            let values = self.scalar(expr, grid)?;
            vec![Series::of_floats(bellwether_model::Labels::empty(), values)]
        } else {
            self.finished(expr, grid)?
        };
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        let stale = bellwether_model::series::is_stale;
        let matrix = all.into_iter().map(|series| {
            let floats = series.floats.iter().enumerate();
            let histograms = series.histograms.iter().enumerate();
            RangeSeries {
                floats: floats
                    .filter(|(_, v)| !stale(**v))
                    .map(|(step, v)| (grid.time(step), *v))
                    .collect(),
                histograms: histograms
                    .filter_map(|(step, h)| Some((grid.time(step), Arc::clone(h.as_ref()?))))
                    .collect(),
                labels: series.labels,
            }
        });
        Ok(QueryValue::Matrix(
            matrix.filter(|s| !s.is_empty()).collect(),
        ))
    }
}
