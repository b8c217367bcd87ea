//! Walks the syntax tree: each node hands its series, one at a time, to whoever asked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bellwether_model::Labels;
use bellwether_model::series::{SeriesSource, is_stale};

use super::durations::Times;
use super::profile::Profile;
use super::replay::{Current, Shared};
use super::series::{Grid, Series, merge_same_labels, without_name};
use super::{EngineOptions, Interrupt, Interruption};
use crate::annotations::Annotations;
use crate::ast::{Expr, UnaryExpr, ValueType};
use crate::error::QueryError;
use crate::histogram;

pub(crate) type Evaluated<T> = Result<T, QueryError>;
/// Receives the series of a node.
pub(crate) type Sink<'a> = dyn FnMut(Series) -> Evaluated<()> + 'a;

/// One query.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a dyn SeriesSource,
    pub(crate) options: &'a EngineOptions,
    pub(crate) interrupt: &'a dyn Interrupt,
    pub(crate) times: Times,
    pub(crate) annotations: RefCell<Annotations>,
    /// Samples held now.
    pub(crate) held: Cell<usize>,
    pub(crate) peak: Cell<usize>,
    pub(crate) series_read: Cell<usize>,
    pub(crate) samples_read: Cell<usize>,
    /// Whether any selector has `@`: only then can a part be the same at every step.
    pub(crate) pinned: bool,
    /// Results that several queries of a plan share.
    pub(crate) shared: Option<&'a Shared>,
    /// The one series that selectors see while a plan feeds its pipelines.
    pub(crate) current: RefCell<Option<Rc<Current>>>,
    /// Where time and samples are noted, when somebody wants to know.
    pub(crate) profile: Option<&'a Profile<'a>>,
}

/// Functions whose result depends on the evaluation time whatever their arguments are.
fn depends_on_time(function: &str) -> bool {
    matches!(
        function,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
    )
}

/// Whether the value is the same at every step.
fn is_step_invariant(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::String(_) => true,
        Expr::Vector(e) => e.at.is_some(),
        Expr::Matrix(e) => e.selector.at.is_some(),
        Expr::Subquery(e) => e.at.is_some(),
        Expr::Call(e) => !depends_on_time(e.function.name) && e.args.iter().all(is_step_invariant),
        other => other.children().into_iter().all(is_step_invariant),
    }
}

impl Context<'_> {
    pub(crate) fn delayed(&self) -> bool {
        self.options.delayed_name_removal
    }

    pub(crate) fn check_interrupt(&self) -> Evaluated<()> {
        match self.interrupt.interrupted() {
            None => Ok(()),
            Some(Interruption::Timeout) => Err(QueryError::Timeout),
            Some(Interruption::Canceled) => Err(QueryError::Canceled),
        }
    }

    /// Counts samples that are held from now on.
    pub(crate) fn hold(&self, samples: usize) -> Evaluated<()> {
        let held = self.held.get().saturating_add(samples);
        self.held.set(held);
        self.peak.set(self.peak.get().max(held));
        if held > self.options.samples_max {
            return Err(QueryError::TooManySamples);
        }
        Ok(())
    }

    pub(crate) fn release(&self, samples: usize) {
        self.held.set(self.held.get().saturating_sub(samples));
    }

    /// All series of a vector expression. They count as held until [`Self::release_all`].
    pub(crate) fn eval(&self, expr: &Expr, grid: &Grid) -> Evaluated<Vec<Series>> {
        let mut all = Vec::new();
        self.stream(expr, grid, &mut |series| {
            self.hold(series.size())?;
            all.push(series);
            Ok(())
        })?;
        Ok(all)
    }

    pub(crate) fn release_all(&self, series: &[Series]) {
        self.release(series.iter().map(Series::size).sum());
    }

    /// Values of a scalar expression.
    pub(crate) fn scalar(&self, expr: &Expr, grid: &Grid) -> Evaluated<Vec<f64>> {
        match expr {
            Expr::Number(number) => return Ok(vec![number.value; grid.len]),
            Expr::Paren(paren) => return self.scalar(&paren.expr, grid),
            Expr::Unary(unary) => {
                let mut values = self.scalar(&unary.expr, grid)?;
                if unary.negative {
                    for value in &mut values {
                        *value = -*value;
                    }
                }
                return Ok(values);
            }
            _ => {}
        }
        if self.pinned && !grid.is_instant() && is_step_invariant(expr) {
            let one = self.scalar(expr, &Grid { len: 1, ..*grid })?;
            return Ok(vec![one[0]; grid.len]);
        }
        match expr {
            Expr::Binary(binary) => {
                let left = self.scalar(&binary.lhs, grid)?;
                let right = self.scalar(&binary.rhs, grid)?;
                Ok(left
                    .into_iter()
                    .zip(right)
                    .map(|(l, r)| super::binary::scalar_op(binary.op, l, r))
                    .collect())
            }
            Expr::Call(call) => self.scalar_call(call, grid),
            _ => Err(QueryError::execution("expected a scalar expression")),
        }
    }

    /// Hands every series of a vector expression to `sink`.
    pub(crate) fn stream(&self, expr: &Expr, grid: &Grid, sink: &mut Sink<'_>) -> Evaluated<()> {
        self.check_interrupt()?;
        if grid.len == 0 {
            return Ok(());
        }
        if let Some(shared) = self.shared
            && let Some(node) = shared.node(expr, grid)
        {
            return self.stream_shared(shared, node, expr, grid, sink);
        }
        match self.profile {
            None => self.stream_own(expr, grid, sink),
            Some(profile) => {
                profile.measure(expr, sink, &mut |sink| self.stream_own(expr, grid, sink))
            }
        }
    }

    /// As [`Self::stream`], always computed.
    pub(crate) fn stream_own(
        &self,
        expr: &Expr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        if self.pinned
            && !grid.is_instant()
            && expr.value_type() == ValueType::Vector
            && is_step_invariant(expr)
        {
            let one = Grid { len: 1, ..*grid };
            return self.stream(expr, &one, &mut |series| sink(series.broadcast(grid.len)));
        }
        match expr {
            Expr::Paren(paren) => self.stream(&paren.expr, grid, sink),
            Expr::Vector(selector) => self.stream_selector(selector, grid, sink),
            Expr::Unary(unary) => self.stream_unary(unary, grid, sink),
            Expr::Binary(binary) => self.stream_binary(binary, grid, sink),
            Expr::Aggregate(aggregate) => self.stream_aggregate(aggregate, grid, sink),
            Expr::Call(call) => self.stream_call(call, grid, sink),
            Expr::Number(_) => {
                let values = self.scalar(expr, grid)?;
                sink(Series::of_floats(Labels::empty(), values))
            }
            Expr::String(_) | Expr::Matrix(_) | Expr::Subquery(_) => {
                Err(QueryError::execution("expected an instant vector"))
            }
        }
    }

    fn stream_unary(&self, unary: &UnaryExpr, grid: &Grid, sink: &mut Sink<'_>) -> Evaluated<()> {
        if !unary.negative {
            return self.stream(&unary.expr, grid, sink);
        }
        self.map_dropping_name(&unary.expr, grid, sink, &mut |mut series| {
            for value in &mut series.floats {
                if !is_stale(*value) {
                    *value = -*value;
                }
            }
            for slot in series.histograms.iter_mut().flatten() {
                *slot = std::sync::Arc::new(histogram::mul(slot, -1.0));
            }
            Ok(series)
        })
    }

    /// Applies a function that drops the metric name to every series.
    pub(crate) fn map_dropping_name(
        &self,
        expr: &Expr,
        grid: &Grid,
        sink: &mut Sink<'_>,
        change: &mut dyn FnMut(Series) -> Evaluated<Series>,
    ) -> Evaluated<()> {
        self.drop_names(expr, sink, &mut |sink| {
            self.stream(expr, grid, &mut |series| {
                let series = change(series)?;
                if series.is_empty() {
                    return Ok(());
                }
                sink(series)
            })
        })
    }

    /// Runs `produce` so that its series lose their names now or at the end, and equal label sets are merged.
    pub(crate) fn drop_names(
        &self,
        input: &Expr,
        sink: &mut Sink<'_>,
        produce: &mut dyn FnMut(&mut Sink<'_>) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let mark = |mut series: Series| {
            if self.delayed() {
                series.drop_name = true;
            } else {
                series.labels = without_name(&series.labels);
            }
            series
        };
        if self.delayed() || one_name(input) {
            return produce(&mut |series| sink(mark(series)));
        }
        let mut all = Vec::new();
        produce(&mut |series| {
            self.hold(series.size())?;
            all.push(mark(series));
            Ok(())
        })?;
        self.release_all(&all);
        for series in merge_same_labels(all)? {
            sink(series)?;
        }
        Ok(())
    }
}

/// Whether all series of the expression surely have one metric name, so that dropping it makes no two equal.
fn one_name(expr: &Expr) -> bool {
    match expr {
        Expr::Vector(e) => names_metric(&e.matchers),
        Expr::Matrix(e) => names_metric(&e.selector.matchers),
        Expr::Subquery(e) => one_name(&e.expr),
        Expr::Paren(e) => one_name(&e.expr),
        Expr::Unary(e) => one_name(&e.expr),
        Expr::Call(e) => {
            !matches!(e.function.name, "label_replace" | "label_join" | "info")
                && e.args.iter().all(|arg| {
                    matches!(arg.value_type(), ValueType::Scalar | ValueType::String)
                        || one_name(arg)
                })
        }
        // Their results have no name or were checked already.
        Expr::Aggregate(e) => !e.op.selects() || one_name(&e.expr),
        Expr::Number(_) | Expr::String(_) => true,
        Expr::Binary(_) => false,
    }
}

pub(crate) fn names_metric(matchers: &[bellwether_model::Matcher]) -> bool {
    matchers.iter().any(|m| {
        &*m.name == bellwether_model::labels::METRIC_NAME
            && m.op == bellwether_model::MatchOp::Equal
    })
}
