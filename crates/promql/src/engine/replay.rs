//! Many queries over one range: common sub-expressions are computed once and each series is decoded once.
//!
//! Expressions are hash-consed by their canonical text. A *pipeline* is a part that works series by series on one
//! selector (`sum by (job) (rate(m[5m]))`, `m > 5`). Pipelines on the same metric and overlapping times are fed
//! together: a series is decoded once, then every pipeline's kernel runs over it. Everything else is evaluated as a
//! single query would be, taking the results of pipelines and shared parts from memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bellwether_model::Labels;
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{SampleBuffer, Selection, SeriesSet, SeriesSource};

use super::aggregate::Fold;
use super::durations::Times;
use super::eval::{Context, Evaluated, Sink, names_metric};
use super::select::Points;
use super::series::{Grid, Series};
use super::{Engine, Interrupt, Query, has_at};
use crate::annotations::Annotations;
use crate::ast::{AggregateOp, Expr, Span, ValueType, VectorSelector};
use crate::error::QueryError;
use crate::inspect::{self, SelectorNeed};
use crate::plan::{Plan, ReplayResult, Times as PlanTimes};

/// The series that all pipelines see now.
#[derive(Debug, Default)]
pub(crate) struct Current {
    pub(crate) labels: Labels,
    pub(crate) buffer: SampleBuffer,
    pub(crate) points: Points,
}

/// Results that several parts of a plan use.
pub(crate) struct Shared {
    grid: Grid,
    /// Node of an expression, by where it stands in memory. Only looked up, never iterated.
    nodes: BTreeMap<usize, usize>,
    outcomes: RefCell<Vec<Option<Rc<Outcome>>>>,
}

/// What evaluating a node gave.
struct Outcome {
    series: Evaluated<Vec<Series>>,
    annotations: Annotations,
    /// Places of the node's parts in the query it was evaluated for.
    spans: Vec<Span>,
}

/// A part of a plan that one selector feeds.
struct Pipeline<'e> {
    node: usize,
    expr: &'e Expr,
    need: SelectorNeed,
    state: Result<State, QueryError>,
    annotations: Annotations,
}

enum State {
    Fold(Fold),
    Collect(Vec<Series>),
}

/// Finds nodes and pipelines.
struct Finder<'e> {
    lookback: i64,
    times: Times,
    by_text: BTreeMap<String, usize>,
    /// Expressions of each node, with how often it is used.
    uses: Vec<Vec<&'e Expr>>,
    pipelines: Vec<Pipeline<'e>>,
}

fn address(expr: &Expr) -> usize {
    std::ptr::from_ref(expr) as usize
}

fn spans(expr: &Expr) -> Vec<Span> {
    let mut all = Vec::new();
    expr.walk(&mut |node| all.push(node.span()));
    all
}

fn selector_free(expr: &Expr) -> bool {
    let mut free = true;
    expr.walk(&mut |node| free &= !matches!(node, Expr::Vector(_) | Expr::Matrix(_)));
    free
}

/// Functions that work value by value on their first argument.
fn per_value(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "abs",
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atanh",
        "ceil",
        "clamp",
        "clamp_max",
        "clamp_min",
        "cos",
        "cosh",
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "days_in_month",
        "deg",
        "exp",
        "floor",
        "histogram_avg",
        "histogram_count",
        "histogram_stddev",
        "histogram_stdvar",
        "histogram_sum",
        "hour",
        "ln",
        "log10",
        "log2",
        "minute",
        "month",
        "rad",
        "round",
        "sgn",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
        "timestamp",
        "year",
    ];
    NAMES.binary_search(&name).is_ok()
}

/// The selector of an expression that works series by series on it alone.
fn chain(expr: &Expr) -> Option<&VectorSelector> {
    let named = |selector: &VectorSelector| names_metric(&selector.matchers);
    match expr {
        Expr::Paren(e) => chain(&e.expr),
        Expr::Unary(e) => chain(&e.expr),
        Expr::Vector(selector) => Some(&**selector).filter(|s| named(s)),
        Expr::Binary(e) => match (e.lhs.value_type(), e.rhs.value_type()) {
            (ValueType::Scalar, ValueType::Vector) if selector_free(&e.lhs) => chain(&e.rhs),
            (ValueType::Vector, ValueType::Scalar) if selector_free(&e.rhs) => chain(&e.lhs),
            _ => None,
        },
        Expr::Call(e) => {
            let matrix = |arg: &&Expr| arg.value_type() == ValueType::Matrix;
            if let Some(range) = e.args.iter().find(matrix) {
                let others = e.args.iter().filter(|arg| !matrix(arg));
                let Expr::Matrix(matrix) = range.unwrap_parens() else {
                    return None;
                };
                let plain =
                    e.function.name != "absent_over_time" && others.into_iter().all(selector_free);
                return Some(&matrix.selector).filter(|s| plain && named(s));
            }
            let (first, rest) = e.args.split_first()?;
            if !per_value(e.function.name) || !rest.iter().all(selector_free) {
                return None;
            }
            chain(first)
        }
        _ => None,
    }
}

/// The selector of a pipeline.
fn pipeline(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::Aggregate(e)
            if !e.op.selects()
                && e.op != AggregateOp::CountValues
                && e.param.as_ref().is_none_or(selector_free) =>
        {
            chain(&e.expr)
        }
        other => chain(other),
    }
}

impl<'e> Finder<'e> {
    fn visit(&mut self, expr: &'e Expr) {
        match expr {
            Expr::Paren(e) => return self.visit(&e.expr),
            Expr::Matrix(_) | Expr::Subquery(_) | Expr::String(_) | Expr::Number(_) => return,
            _ => {}
        }
        if expr.value_type() == ValueType::Vector {
            let text = expr.to_string();
            let known = self.uses.len();
            let node = *self.by_text.entry(text).or_insert(known);
            if node < known {
                self.uses[node].push(expr);
                return;
            }
            self.uses.push(vec![expr]);
            if pipeline(expr).is_some() {
                let mut needs = Vec::new();
                let range = (self.times.start, self.times.end);
                inspect::collect(expr, &self.times, range, self.lookback, &mut needs);
                if let Some(need) = needs.pop() {
                    self.pipelines.push(Pipeline {
                        node,
                        expr,
                        need,
                        state: Ok(State::Collect(Vec::new())),
                        annotations: Annotations::default(),
                    });
                }
                return;
            }
        }
        // What `info` reads depends on what it finds.
        if matches!(expr, Expr::Call(e) if e.function.name == "info") {
            return;
        }
        for child in expr.children() {
            self.visit(child);
        }
    }
}

impl Shared {
    /// The node of an expression whose results are kept, if it is evaluated on the plan's own steps.
    pub(crate) fn node(&self, expr: &Expr, grid: &Grid) -> Option<usize> {
        if self.grid != *grid {
            return None;
        }
        self.nodes.get(&address(expr)).copied()
    }
}

impl Context<'_> {
    pub(crate) fn stream_shared(
        &self,
        shared: &Shared,
        node: usize,
        expr: &Expr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let known = shared.outcomes.borrow()[node].clone();
        let outcome = match known {
            Some(outcome) => outcome,
            None => {
                let before = self.annotations.take();
                let mut all = Vec::new();
                let done = self.stream_own(expr, grid, &mut |series| {
                    self.hold(series.size())?;
                    all.push(series);
                    Ok(())
                });
                let outcome = Rc::new(Outcome {
                    series: done.map(|()| all),
                    annotations: self.annotations.replace(before),
                    spans: spans(expr),
                });
                shared.outcomes.borrow_mut()[node] = Some(Rc::clone(&outcome));
                outcome
            }
        };
        let moved: BTreeMap<Span, Span> = outcome.spans.iter().copied().zip(spans(expr)).collect();
        self.annotations
            .borrow_mut()
            .add_moved(&outcome.annotations, &moved);
        match &outcome.series {
            Ok(all) => all.iter().try_for_each(|series| sink(series.clone())),
            Err(error) => Err(error.clone()),
        }
    }

    /// Runs `work` with the annotations of a pipeline.
    fn annotating<T>(&self, annotations: &mut Annotations, work: impl FnOnce() -> T) -> T {
        let before = self.annotations.replace(std::mem::take(annotations));
        let result = work();
        *annotations = self.annotations.replace(before);
        result
    }

    fn begin(&self, pipeline: &mut Pipeline<'_>, grid: &Grid) {
        let mut annotations = std::mem::take(&mut pipeline.annotations);
        if let Expr::Aggregate(aggregate) = pipeline.expr {
            let begun = self.annotating(&mut annotations, || self.begin_fold(aggregate, grid));
            pipeline.state = begun.map(State::Fold);
        }
        pipeline.annotations = annotations;
    }

    /// Runs the current series through a pipeline.
    fn feed(&self, pipeline: &mut Pipeline<'_>, grid: &Grid) {
        let Pipeline {
            expr,
            state,
            annotations,
            ..
        } = pipeline;
        let fed = match state {
            Err(_) => return,
            Ok(State::Fold(fold)) => {
                let Expr::Aggregate(aggregate) = expr else {
                    return;
                };
                self.annotating(annotations, || {
                    self.stream(&aggregate.expr, grid, &mut |series| {
                        self.fold(aggregate, fold, grid, series)
                    })
                })
            }
            Ok(State::Collect(all)) => self.annotating(annotations, || {
                self.stream(expr, grid, &mut |series| {
                    self.hold(series.size())?;
                    all.push(series);
                    Ok(())
                })
            }),
        };
        if let Err(error) = fed {
            *state = Err(error);
        }
    }

    fn finish(&self, pipeline: Pipeline<'_>, grid: &Grid) -> Outcome {
        let mut annotations = pipeline.annotations;
        let series = match (pipeline.state, pipeline.expr) {
            (Ok(State::Fold(fold)), Expr::Aggregate(aggregate)) => {
                let mut all = Vec::new();
                let done = self.annotating(&mut annotations, || {
                    self.finish_fold(aggregate, fold, grid, &mut |series| {
                        self.hold(series.size())?;
                        all.push(series);
                        Ok(())
                    })
                });
                done.map(|()| all)
            }
            (Ok(State::Collect(all)), _) => Ok(all),
            (Ok(State::Fold(_)), _) => Err(QueryError::execution("expected an aggregation")),
            (Err(error), _) => Err(error),
        };
        Outcome {
            series,
            annotations,
            spans: spans(pipeline.expr),
        }
    }

    /// Feeds pipelines on one metric from one pass over its series.
    fn feed_together(&self, pipelines: &mut [Pipeline<'_>], grid: &Grid) -> Evaluated<()> {
        let min = pipelines.iter().map(|p| p.need.min).min().unwrap_or(0);
        let max = pipelines.iter().map(|p| p.need.max).max().unwrap_or(0);
        // Pipelines with the same matchers share a selection.
        let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, pipeline) in pipelines.iter().enumerate() {
            let matchers = pipeline.need.matchers.iter().map(ToString::to_string);
            let key: Vec<String> = matchers.collect();
            members.entry(key.join(",")).or_default().push(index);
        }
        let members: Vec<Vec<usize>> = members.into_values().collect();
        let mut sets: Vec<Box<dyn SeriesSet + '_>> = Vec::new();
        for indices in &members {
            let selection = Selection {
                matchers: pipelines[indices[0]].need.matchers.clone(),
                min,
                max,
            };
            sets.push(self.source.select(&selection)?);
        }
        let mut next = vec![0_usize; sets.len()];
        let mut current = Rc::new(Current::default());
        loop {
            let heads = sets.iter().zip(&next);
            let heads = heads.filter(|(set, at)| **at < set.len());
            let Some(labels) = heads.map(|(set, at)| set.labels(*at)).min().cloned() else {
                return Ok(());
            };
            self.check_interrupt()?;
            let mut read = false;
            for place in 0..sets.len() {
                let (set, at) = (&sets[place], next[place]);
                if at >= set.len() || *set.labels(at) != labels {
                    continue;
                }
                next[place] += 1;
                if !read {
                    self.read_current(&mut current, &labels, &**set, at)?;
                    self.current.replace(Some(Rc::clone(&current)));
                    read = true;
                }
                for index in &members[place] {
                    self.feed(&mut pipelines[*index], grid);
                }
            }
            self.current.replace(None);
            self.release(current.buffer.floats.len() + current.buffer.histograms.len());
        }
    }

    fn read_current(
        &self,
        current: &mut Rc<Current>,
        labels: &Labels,
        set: &dyn SeriesSet,
        at: usize,
    ) -> Evaluated<()> {
        if Rc::get_mut(current).is_none() {
            *current = Rc::default();
        }
        let Some(now) = Rc::get_mut(current) else {
            return Ok(());
        };
        now.labels = labels.clone();
        set.read(at, &mut now.buffer)?;
        now.points.take(&now.buffer);
        let samples = now.buffer.floats.len() + now.buffer.histograms.len();
        self.series_read.set(self.series_read.get() + 1);
        self.samples_read.set(self.samples_read.get() + samples);
        self.hold(samples)
    }
}

fn metric(need: &SelectorNeed) -> &str {
    let named = need.matchers.iter().find(|m| &*m.name == METRIC_NAME);
    named.map_or("", |m| &m.value)
}

/// Sorts by metric and time and cuts where neither is shared.
fn groups<'p, 'e>(pipelines: &'p mut [Pipeline<'e>]) -> Vec<&'p mut [Pipeline<'e>]> {
    pipelines.sort_by(|a, b| {
        let key = |p: &Pipeline<'_>| (p.need.min, p.need.max, p.node);
        metric(&a.need)
            .cmp(metric(&b.need))
            .then_with(|| key(a).cmp(&key(b)))
    });
    let mut lengths = Vec::new();
    let (mut length, mut reach) = (0, i64::MIN);
    for index in 0..pipelines.len() {
        let need = &pipelines[index].need;
        let same = index > 0 && metric(&pipelines[index - 1].need) == metric(need);
        if length > 0 && !(same && need.min <= reach) {
            lengths.push(length);
            (length, reach) = (0, i64::MIN);
        }
        length += 1;
        reach = reach.max(need.max);
    }
    lengths.push(length);
    let mut rest = pipelines;
    let mut out = Vec::new();
    for length in lengths {
        let (head, tail) = std::mem::take(&mut rest).split_at_mut(length);
        out.push(head);
        rest = tail;
    }
    out
}

impl Engine {
    pub(crate) fn run_plan(
        &self,
        source: &dyn SeriesSource,
        plan: &Plan,
        at: PlanTimes,
        interrupt: &dyn Interrupt,
    ) -> ReplayResult {
        let (times, grid) = match at {
            PlanTimes::Tick(time) => (
                Times {
                    start: time,
                    end: time,
                    step: 0,
                },
                Grid::at(time),
            ),
            PlanTimes::Range { start, end, step } => (
                Times { start, end, step },
                Grid::of_range(start, end, step.max(1)),
            ),
        };
        let query = |expr| Query {
            expr,
            start: times.start,
            end: times.end,
            step: match at {
                PlanTimes::Tick(_) => None,
                PlanTimes::Range { step, .. } => Some(step),
            },
        };
        let exprs = plan.queries();
        let good: Vec<bool> = exprs
            .iter()
            .map(|expr| super::check(&query(expr)).is_ok())
            .collect();
        let mut finder = Finder {
            lookback: self.options.lookback_ms,
            times,
            by_text: BTreeMap::new(),
            uses: Vec::new(),
            pipelines: Vec::new(),
        };
        for (expr, good) in exprs.iter().zip(&good) {
            if *good {
                finder.visit(expr);
            }
        }
        let Finder {
            uses,
            mut pipelines,
            ..
        } = finder;
        let mut shared = Shared {
            grid,
            nodes: BTreeMap::new(),
            outcomes: RefCell::new(uses.iter().map(|_| None).collect()),
        };
        let fed: Vec<usize> = pipelines.iter().map(|pipeline| pipeline.node).collect();
        for (node, exprs) in uses.iter().enumerate() {
            if exprs.len() > 1 || fed.contains(&node) {
                shared
                    .nodes
                    .extend(exprs.iter().map(|expr| (address(expr), node)));
            }
        }
        let mut wide = self.clone();
        wide.options.samples_max = self.options.samples_max.saturating_mul(exprs.len().max(1));
        let pinned = exprs.iter().any(has_at);
        let context = wide.context(source, times, interrupt, pinned);
        if !pipelines.is_empty() {
            for group in groups(&mut pipelines) {
                for pipeline in group.iter_mut() {
                    context.begin(pipeline, &grid);
                }
                if let Err(error) = context.feed_together(group, &grid) {
                    for pipeline in group {
                        pipeline.state = Err(error.clone());
                    }
                }
                context.current.replace(None);
            }
        }
        for pipeline in pipelines {
            let node = pipeline.node;
            let outcome = context.finish(pipeline, &grid);
            shared.outcomes.borrow_mut()[node] = Some(Rc::new(outcome));
        }
        let mut stats = context.stats();
        let answers = exprs
            .iter()
            .map(|expr| {
                let answer =
                    self.run_shared(source, &query(expr), interrupt, Some(&shared), None)?;
                stats.series += answer.stats.series;
                stats.samples += answer.stats.samples;
                stats.peak_samples = stats.peak_samples.max(answer.stats.peak_samples);
                Ok(answer)
            })
            .collect();
        ReplayResult { answers, stats }
    }
}
