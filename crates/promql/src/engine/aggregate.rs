//! Aggregation operators. One series per group: each input series is folded into the group's step arrays as it
//! arrives and then dropped.

mod rank;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::histogram::Histogram;
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::is_stale;

use super::eval::{Context, Evaluated, Sink};
use super::kahan;
use super::series::{Collector, Grid, Sample, Series};
use crate::annotations::HistogramOperation;
use crate::ast::{AggregateExpr, AggregateOp, Expr};
use crate::error::QueryError;
use crate::histogram::{self, Sum};
use crate::parser::quote_bytes;
use crate::printer::format_float;

/// One group under construction.
struct Group {
    labels: Labels,
    drop_name: bool,
    /// Number of values folded in, per step; 0 means nothing seen.
    counts: Vec<u32>,
    values: Vec<f64>,
    /// What rounding lost, or the running mean of a variance.
    extra: Vec<f64>,
    /// Running means where a sum would overflow; empty until then, NaN where there is none.
    means: Vec<Option<f64>>,
    /// Sums of histograms, per step; empty until the first.
    histograms: Vec<Histograms>,
    /// Columns of all series, for quantiles.
    columns: Vec<Vec<f64>>,
}

/// An aggregation under way: its groups in the order in which they appeared.
pub(super) struct Fold {
    /// The aggregation's parameter at each step.
    params: Vec<f64>,
    index: BTreeMap<Labels, usize>,
    groups: Vec<Group>,
}

/// Histograms of a group at one step.
#[derive(Clone, Default)]
struct Histograms {
    sum: Option<Sum>,
    has_float: bool,
    incompatible: bool,
}

fn group_labels(aggregate: &AggregateExpr, labels: &Labels) -> Labels {
    let named = |name: &str| aggregate.grouping.iter().any(|label| label == name);
    if aggregate.without {
        labels.retain(|name| name != METRIC_NAME && !named(name))
    } else if aggregate.grouping.is_empty() {
        Labels::empty()
    } else {
        labels.retain(named)
    }
}

impl Group {
    fn new(labels: Labels, steps: usize) -> Self {
        Self {
            labels,
            drop_name: false,
            counts: vec![0; steps],
            values: vec![0.0; steps],
            extra: vec![0.0; steps],
            means: Vec::new(),
            histograms: Vec::new(),
            columns: Vec::new(),
        }
    }

    fn fold_sum(&mut self, series: &Series) {
        for (step, value) in series.floats.iter().enumerate() {
            if is_stale(*value) {
                continue;
            }
            if self.counts[step] == 0 {
                self.values[step] = *value;
            } else {
                (self.values[step], self.extra[step]) =
                    kahan::add(*value, self.values[step], self.extra[step]);
            }
            self.counts[step] += 1;
        }
    }

    fn fold_average(&mut self, series: &Series) {
        for (step, value) in series.floats.iter().enumerate() {
            if is_stale(*value) {
                continue;
            }
            self.counts[step] += 1;
            let count = f64::from(self.counts[step]);
            if self.counts[step] == 1 {
                self.values[step] = *value;
                continue;
            }
            let mean = self.means.get(step).copied().flatten();
            let mean = if let Some(mean) = mean {
                mean
            } else {
                let (sum, lost) = kahan::add(*value, self.values[step], self.extra[step]);
                if !sum.is_infinite() {
                    (self.values[step], self.extra[step]) = (sum, lost);
                    continue;
                }
                self.extra[step] /= count - 1.0;
                self.values[step] / (count - 1.0)
            };
            let share = (count - 1.0) / count;
            let (mean, lost) = kahan::add(value / count, share * mean, share * self.extra[step]);
            if self.means.is_empty() {
                self.means = vec![None; self.counts.len()];
            }
            self.means[step] = Some(mean);
            self.extra[step] = lost;
        }
    }

    fn fold_extreme(&mut self, series: &Series, larger: bool) {
        for (step, value) in series.floats.iter().enumerate() {
            if is_stale(*value) {
                continue;
            }
            let best = self.values[step];
            let better = if larger { best < *value } else { best > *value };
            if self.counts[step] == 0 || better || best.is_nan() {
                self.values[step] = *value;
            }
            self.counts[step] += 1;
        }
    }

    fn fold_variance(&mut self, series: &Series) {
        for (step, value) in series.floats.iter().enumerate() {
            if is_stale(*value) {
                continue;
            }
            self.counts[step] += 1;
            if self.counts[step] == 1 {
                self.extra[step] = *value;
                self.values[step] = if value.is_finite() { 0.0 } else { f64::NAN };
                continue;
            }
            let delta = value - self.extra[step];
            self.extra[step] += delta / f64::from(self.counts[step]);
            self.values[step] += delta * (value - self.extra[step]);
        }
    }

    fn fold_count(&mut self, series: &Series) {
        for step in 0..self.counts.len() {
            self.counts[step] += u32::from(series.has(step));
        }
    }

    /// Histograms of a sum or mean; also notes at which steps there are floats beside them.
    fn fold_histograms(&mut self, series: &Series, op: AggregateOp) -> bool {
        if series.histograms.is_empty() {
            return true;
        }
        if self.histograms.is_empty() {
            self.histograms = vec![Histograms::default(); self.counts.len()];
        }
        let mut compatible = true;
        for (step, slot) in series.histograms.iter().enumerate() {
            let Some(histogram) = slot else {
                continue;
            };
            let state = &mut self.histograms[step];
            if state.incompatible {
                continue;
            }
            let sum = state.sum.get_or_insert_with(|| {
                if op == AggregateOp::Avg {
                    Sum::for_mean()
                } else {
                    Sum::default()
                }
            });
            if sum.add(histogram).is_err() {
                state.incompatible = true;
                compatible = false;
            }
        }
        compatible
    }
}

impl Context<'_> {
    pub(super) fn stream_aggregate(
        &self,
        aggregate: &AggregateExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        match aggregate.op {
            AggregateOp::CountValues => self.count_values(aggregate, grid, sink),
            op if op.selects() => self.select_series(aggregate, grid, sink),
            _ => self.fold_groups(aggregate, grid, sink),
        }
    }

    pub(super) fn aggregate_param(
        &self,
        aggregate: &AggregateExpr,
        grid: &Grid,
    ) -> Evaluated<Vec<f64>> {
        match &aggregate.param {
            Some(param) => self.scalar(param, grid),
            None => Ok(Vec::new()),
        }
    }

    fn note_quantiles(&self, aggregate: &AggregateExpr, params: &[f64]) {
        let Some(param) = &aggregate.param else {
            return;
        };
        let span = param.unwrap_parens().span();
        let mut annotations = self.annotations.borrow_mut();
        if params.iter().any(|q| q.is_nan()) {
            annotations.invalid_quantile(span, f64::NAN);
        }
        let max = params.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = params.iter().copied().fold(f64::INFINITY, f64::min);
        if max > 1.0 {
            annotations.invalid_quantile(span, max);
        }
        if min < 0.0 {
            annotations.invalid_quantile(span, min);
        }
    }

    fn fold_groups(
        &self,
        aggregate: &AggregateExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let mut fold = self.begin_fold(aggregate, grid)?;
        self.stream(&aggregate.expr, grid, &mut |series| {
            self.fold(aggregate, &mut fold, grid, series)
        })?;
        self.finish_fold(aggregate, fold, grid, sink)
    }

    /// An aggregation that has seen no series yet.
    pub(super) fn begin_fold(&self, aggregate: &AggregateExpr, grid: &Grid) -> Evaluated<Fold> {
        let params = self.aggregate_param(aggregate, grid)?;
        if aggregate.op == AggregateOp::Quantile {
            self.note_quantiles(aggregate, &params);
        }
        Ok(Fold {
            params,
            index: BTreeMap::new(),
            groups: Vec::new(),
        })
    }

    /// Folds one series into its group.
    pub(super) fn fold(
        &self,
        aggregate: &AggregateExpr,
        fold: &mut Fold,
        grid: &Grid,
        series: Series,
    ) -> Evaluated<()> {
        let op = aggregate.op;
        let labels = group_labels(aggregate, &series.labels);
        let groups = &mut fold.groups;
        let position = match fold.index.get(&labels) {
            Some(position) => *position,
            None => {
                self.hold(grid.len * 2)?;
                fold.index.insert(labels.clone(), groups.len());
                groups.push(Group::new(labels, grid.len));
                groups.len() - 1
            }
        };
        let group = &mut groups[position];
        group.drop_name |= series.drop_name;
        let ignores = matches!(
            op,
            AggregateOp::Min
                | AggregateOp::Max
                | AggregateOp::Stddev
                | AggregateOp::Stdvar
                | AggregateOp::Quantile
        );
        let span = || aggregate.expr.unwrap_parens().span();
        if ignores && series.histograms.iter().any(Option::is_some) {
            let mut annotations = self.annotations.borrow_mut();
            annotations.histogram_ignored_in_aggregation(span(), op.as_str());
        }
        match op {
            AggregateOp::Sum => group.fold_sum(&series),
            AggregateOp::Avg => group.fold_average(&series),
            AggregateOp::Max => group.fold_extreme(&series, true),
            AggregateOp::Min => group.fold_extreme(&series, false),
            AggregateOp::Stddev | AggregateOp::Stdvar => group.fold_variance(&series),
            AggregateOp::Quantile => {
                self.hold(grid.len)?;
                group.columns.push(series.floats);
                return Ok(());
            }
            _ => group.fold_count(&series),
        }
        if matches!(op, AggregateOp::Sum | AggregateOp::Avg) && !group.fold_histograms(&series, op)
        {
            let mut annotations = self.annotations.borrow_mut();
            annotations.mixed_exponential_custom(span(), series.labels.metric_name());
        }
        Ok(())
    }

    /// Hands the groups on.
    pub(super) fn finish_fold(
        &self,
        aggregate: &AggregateExpr,
        fold: Fold,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        for group in fold.groups {
            self.release(grid.len * (2 + group.columns.len()));
            let series = self.finish_group(aggregate, group, &fold.params, grid);
            if !series.is_empty() {
                sink(series)?;
            }
        }
        Ok(())
    }

    fn finish_group(
        &self,
        aggregate: &AggregateExpr,
        mut group: Group,
        params: &[f64],
        grid: &Grid,
    ) -> Series {
        let mut series = Series::new(std::mem::take(&mut group.labels), grid.len);
        series.drop_name = group.drop_name;
        let mut scratch = Vec::new();
        for step in 0..grid.len {
            if aggregate.op == AggregateOp::Quantile {
                scratch.clear();
                let column = group.columns.iter().map(|values| values[step]);
                scratch.extend(column.filter(|v| !is_stale(*v)));
                if !scratch.is_empty() {
                    series.floats[step] = kahan::quantile(params[step], &mut scratch);
                }
                continue;
            }
            if let Some(state) = group.histograms.get_mut(step)
                && state.sum.is_some()
            {
                state.has_float = group.counts[step] > 0;
                if let Some(histogram) = self.finish_histogram(aggregate, state) {
                    series.set(step, Sample::Histogram(histogram));
                }
                continue;
            }
            if group.counts[step] == 0 {
                continue;
            }
            let count = f64::from(group.counts[step]);
            let (value, extra) = (group.values[step], group.extra[step]);
            series.floats[step] = match aggregate.op {
                AggregateOp::Sum => value + extra,
                AggregateOp::Avg => match group.means.get(step).copied().flatten() {
                    Some(mean) => mean + extra,
                    None => value / count + extra / count,
                },
                AggregateOp::Stdvar => value / count,
                AggregateOp::Stddev => (value / count).sqrt(),
                AggregateOp::Count => count,
                AggregateOp::Group => 1.0,
                _ => value,
            };
        }
        series
    }

    fn finish_histogram(
        &self,
        aggregate: &AggregateExpr,
        state: &mut Histograms,
    ) -> Option<Arc<Histogram>> {
        let span = aggregate.expr.unwrap_parens().span();
        let mut annotations = self.annotations.borrow_mut();
        if state.has_float {
            annotations.mixed_floats_histograms_aggregation(span);
            return None;
        }
        let sum = state.sum.take()?;
        if sum.reconciled() {
            annotations.mismatched_custom_buckets(span, HistogramOperation::Aggregation);
        }
        if state.incompatible {
            return None;
        }
        if sum.collided() {
            annotations.reset_collision(span, HistogramOperation::Aggregation);
        }
        let result = if aggregate.op == AggregateOp::Avg {
            sum.mean()
        } else {
            sum.total()
        };
        Some(Arc::new(histogram::compact(&result)))
    }

    fn count_values(
        &self,
        aggregate: &AggregateExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let Some(Expr::String(label)) = aggregate.param.as_ref().map(Expr::unwrap_parens) else {
            return Err(QueryError::execution("expected a label name"));
        };
        if label.invalid_utf8.is_some() || label.value.is_empty() {
            let bytes = label.invalid_utf8.as_deref().unwrap_or_default();
            return Err(QueryError::execution(format!(
                "invalid label name {}",
                quote_bytes(bytes)
            )));
        }
        let mut with_label = aggregate.clone();
        if !aggregate.without {
            with_label.grouping.push(label.value.clone());
        }
        let all = self.eval(&aggregate.expr, grid)?;
        self.release_all(&all);
        let mut out = Collector::new(grid.len, false);
        for step in 0..grid.len {
            let mut counts: BTreeMap<Labels, usize> = BTreeMap::new();
            for series in &all {
                let text = match series.get(step) {
                    Some(Sample::Float(value)) => format_float(value),
                    Some(Sample::Histogram(histogram)) => histogram::to_text(&histogram),
                    None => continue,
                };
                let labels = series.labels.with(&label.value, &text);
                *counts
                    .entry(group_labels(&with_label, &labels))
                    .or_default() += 1;
            }
            self.hold(counts.len())?;
            for (labels, count) in counts {
                out.add(&labels, false, step, Sample::Float(count as f64))?;
            }
        }
        for series in out.finish() {
            self.release(grid.len);
            sink(series)?;
        }
        Ok(())
    }
}
