//! `topk`, `bottomk`, `limitk` and `limit_ratio`: some of the input series, per step.

use std::collections::BTreeMap;

use bellwether_model::Labels;

use super::group_labels;
use crate::ast::{AggregateExpr, AggregateOp};
use crate::engine::eval::{Context, Evaluated, Sink};
use crate::engine::series::{Collector, Grid, Sample, Series};
use crate::engine::xxhash;
use crate::error::QueryError;

/// A value and the series it is from.
type Ranked = (f64, usize);

/// Largest whole number that can be a count (of series).
const COUNT_MAX: f64 = 9_223_372_036_854_774_784.0;

fn before(a: f64, b: f64, smallest_first: bool) -> bool {
    if a.is_nan() {
        return true;
    }
    if smallest_first { a < b } else { a > b }
}

/// A binary heap with the first to go on top, moving elements exactly as Go's `container/heap` does, so that ties
/// fall as they do upstream.
struct Heap {
    items: Vec<Ranked>,
    smallest_first: bool,
}

impl Heap {
    fn less(&self, i: usize, j: usize) -> bool {
        before(self.items[i].0, self.items[j].0, self.smallest_first)
    }

    fn push(&mut self, item: Ranked) {
        self.items.push(item);
        let mut j = self.items.len() - 1;
        while j > 0 {
            let parent = (j - 1) / 2;
            if !self.less(j, parent) {
                break;
            }
            self.items.swap(parent, j);
            j = parent;
        }
    }

    fn replace_top(&mut self, item: Ranked) {
        self.items[0] = item;
        let n = self.items.len();
        let mut i = 0;
        loop {
            let left = 2 * i + 1;
            if left >= n {
                break;
            }
            let mut child = left;
            if left + 1 < n && self.less(left + 1, left) {
                child = left + 1;
            }
            if !self.less(child, i) {
                break;
            }
            self.items.swap(i, child);
            i = child;
        }
    }

    fn offer(&mut self, item: Ranked, k: usize) {
        if self.items.len() < k {
            self.push(item);
            return;
        }
        let top = self.items[0].0;
        let better = if self.smallest_first {
            top < item.0
        } else {
            top > item.0
        };
        if better || (top.is_nan() && !item.0.is_nan()) {
            self.replace_top(item);
        }
    }

    /// Best first, NaN last.
    fn sorted(mut self) -> Vec<Ranked> {
        let rank = |a: &Ranked, b: &Ranked| match (a.0.is_nan(), b.0.is_nan()) {
            (true, true) => std::cmp::Ordering::Equal,
            (true, false) => std::cmp::Ordering::Greater,
            (false, true) => std::cmp::Ordering::Less,
            (false, false) if self.smallest_first => b.0.partial_cmp(&a.0).expect("neither is NaN"),
            (false, false) => a.0.partial_cmp(&b.0).expect("neither is NaN"),
        };
        self.items.sort_by(rank);
        self.items
    }
}

impl Context<'_> {
    pub(super) fn select_series(
        &self,
        aggregate: &AggregateExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let params = self.aggregate_param(aggregate, grid)?;
        let all = self.eval(&aggregate.expr, grid)?;
        self.release_all(&all);
        if !self.check_params(aggregate, &params)? {
            return Ok(());
        }
        let mut index: BTreeMap<Labels, usize> = BTreeMap::new();
        let group_of: Vec<usize> = all
            .iter()
            .map(|series| {
                let next = index.len();
                *index
                    .entry(group_labels(aggregate, &series.labels))
                    .or_insert(next)
            })
            .collect();
        let mut chosen = Chosen {
            context: self,
            aggregate,
            all: &all,
            group_of,
            groups: index.len(),
            out: Collector::new(grid.len, self.delayed()),
        };
        for (step, param) in params.iter().enumerate() {
            match aggregate.op {
                AggregateOp::Topk | AggregateOp::Bottomk => chosen.by_value(step, *param)?,
                AggregateOp::Limitk => chosen.first_of_each(step, *param)?,
                _ => chosen.by_hash(step, *param)?,
            }
        }
        for series in chosen.out.finish() {
            sink(series)?;
        }
        Ok(())
    }

    /// Whether there can be any result.
    fn check_params(&self, aggregate: &AggregateExpr, params: &[f64]) -> Evaluated<bool> {
        // As Go's math.Max and Min would, NaN wins here.
        let max = params.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = params.iter().copied().fold(f64::INFINITY, f64::min);
        let nan = params.iter().any(|p| p.is_nan());
        if aggregate.op == AggregateOp::LimitRatio {
            if nan {
                return Err(QueryError::execution("Ratio value is NaN"));
            }
            if max == 0.0 && min == 0.0 {
                return Ok(false);
            }
            let span = aggregate.param.as_ref().map(crate::ast::Expr::span);
            let mut annotations = self.annotations.borrow_mut();
            if max > 1.0 {
                annotations.invalid_ratio(span.unwrap_or_default(), max, 1.0);
            }
            if min < -1.0 {
                annotations.invalid_ratio(span.unwrap_or_default(), min, -1.0);
            }
            return Ok(true);
        }
        if nan {
            return Err(QueryError::execution("Parameter value is NaN"));
        }
        if max < 1.0 {
            return Ok(false);
        }
        let limit = |value: f64, word: &str| {
            Err(QueryError::execution(format!(
                "Scalar value {} {word} int64",
                crate::annotations::go_float(value)
            )))
        };
        if min <= -9_223_372_036_854_775_808.0 {
            return limit(min, "underflows");
        }
        if max >= COUNT_MAX {
            return limit(max, "overflows");
        }
        Ok(true)
    }
}

struct Chosen<'a> {
    context: &'a Context<'a>,
    aggregate: &'a AggregateExpr,
    all: &'a [Series],
    group_of: Vec<usize>,
    groups: usize,
    out: Collector,
}

impl Chosen<'_> {
    fn emit(&mut self, index: usize, step: usize) -> Evaluated<()> {
        let series = &self.all[index];
        match series.get(step) {
            Some(sample) => self.out.add(&series.labels, series.drop_name, step, sample),
            None => Ok(()),
        }
    }

    fn k(&self, param: f64) -> usize {
        (param as i64).clamp(0, self.all.len() as i64) as usize
    }

    fn by_value(&mut self, step: usize, param: f64) -> Evaluated<()> {
        let k = self.k(param);
        if k == 0 {
            return Ok(());
        }
        let smallest_first = self.aggregate.op == AggregateOp::Topk;
        let mut heaps: Vec<Heap> = (0..self.groups)
            .map(|_| Heap {
                items: Vec::new(),
                smallest_first,
            })
            .collect();
        for (index, series) in self.all.iter().enumerate() {
            match series.get(step) {
                Some(Sample::Float(value)) => {
                    heaps[self.group_of[index]].offer((value, index), k);
                }
                Some(Sample::Histogram(_)) => {
                    let mut annotations = self.context.annotations.borrow_mut();
                    annotations.histogram_ignored_in_aggregation(
                        self.aggregate.span,
                        self.aggregate.op.as_str(),
                    );
                }
                None => {}
            }
        }
        for heap in heaps {
            for (_, index) in heap.sorted() {
                self.emit(index, step)?;
            }
        }
        Ok(())
    }

    fn first_of_each(&mut self, step: usize, param: f64) -> Evaluated<()> {
        let k = self.k(param);
        let mut taken = vec![0; self.groups];
        for index in 0..self.all.len() {
            let group = self.group_of[index];
            if taken[group] < k && self.all[index].has(step) {
                taken[group] += 1;
                self.emit(index, step)?;
            }
        }
        Ok(())
    }

    fn by_hash(&mut self, step: usize, ratio: f64) -> Evaluated<()> {
        let ratio = ratio.clamp(-1.0, 1.0);
        for index in 0..self.all.len() {
            let at = xxhash::of_labels(&self.all[index].labels) as f64 / u64::MAX as f64;
            let taken = if ratio >= 0.0 {
                at < ratio
            } else {
                at >= 1.0 + ratio
            };
            if taken {
                self.emit(index, step)?;
            }
        }
        Ok(())
    }
}
