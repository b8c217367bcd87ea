//! Range functions over native histograms.

use std::sync::Arc;

use bellwether_model::histogram::{Histogram, ResetHint};

use super::rate::Ends;
use super::{Call, Window};
use crate::annotations::HistogramOperation;
use crate::engine::series::Sample;
use crate::histogram::{self, Sum};

/// `rate`, `increase` or `delta` of histograms.
pub(super) struct HistogramRate<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) metric: &'a str,
    pub(super) counter: bool,
}

impl HistogramRate<'_> {
    pub(super) fn compute(
        &self,
        window: &Window<'_>,
        factor: &dyn Fn(Ends) -> f64,
    ) -> Option<Arc<Histogram>> {
        let points = window.histograms;
        if points.len() < 2 {
            return None;
        }
        let result = self.difference(points)?;
        let ends = Ends {
            first: points[0].0,
            last: points[points.len() - 1].0,
            gaps: points.len() - 1,
            zero: (points[0].1.count, result.count),
        };
        Some(Arc::new(histogram::mul(&result, factor(ends))))
    }

    fn difference(&self, points: &[(i64, Arc<Histogram>)]) -> Option<Histogram> {
        let (first, last) = (&points[0].1, &points[points.len() - 1].1);
        let gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
        let annotations = &self.call.context.annotations;
        let span = self.call.span;
        if self.counter && points.iter().any(|(_, h)| gauge(h)) {
            let mut annotations = annotations.borrow_mut();
            annotations.not_counter_histogram(span, self.metric);
        }
        let second = &points[1].1;
        // Nothing of the first sample counts when the second is a reset.
        let empty = Histogram {
            schema: second.schema,
            custom_values: second.custom_values.clone(),
            ..Histogram::default()
        };
        let skip_first = self.counter && histogram::detect_reset(second, first);
        let start: &Histogram = if skip_first { &empty } else { first };
        let custom = histogram::is_custom(start);
        let inner = &points[1..points.len() - 1];
        let differs = |h: &Histogram| histogram::is_custom(h) != custom;
        if differs(last) || (self.counter && inner.iter().any(|(_, h)| differs(h))) {
            self.call.warn_mixed_schemas(self.metric);
            return None;
        }
        let mut schema = last.schema.min(start.schema);
        if self.counter {
            schema = inner.iter().fold(schema, |s, (_, h)| s.min(h.schema));
        }
        let base = histogram::to_schema(last, schema);
        let Ok((mut result, note)) = histogram::sub(&base, start) else {
            self.call.warn_mixed_schemas(self.metric);
            return None;
        };
        let note_reconciled = |operation| {
            let mut annotations = annotations.borrow_mut();
            annotations.mismatched_custom_buckets(span, operation);
        };
        if note.reconciled {
            note_reconciled(HistogramOperation::Subtraction);
        }
        if self.counter {
            let mut previous = start;
            for (_, current) in &points[1..] {
                if histogram::detect_reset(current, previous) {
                    let Ok((sum, note)) = histogram::add(&result, previous) else {
                        self.call.warn_mixed_schemas(self.metric);
                        return None;
                    };
                    result = sum;
                    if note.reconciled {
                        note_reconciled(HistogramOperation::Addition);
                    }
                }
                previous = current;
            }
        } else if !gauge(first) || !gauge(last) {
            let mut annotations = annotations.borrow_mut();
            annotations.not_gauge_histogram(span, self.metric);
        }
        result.reset_hint = ResetHint::Gauge;
        Some(histogram::compact(&result))
    }
}

impl Call<'_> {
    fn warn_mixed_schemas(&self, metric: &str) {
        let mut annotations = self.context.annotations.borrow_mut();
        annotations.mixed_exponential_custom(self.span, metric);
    }

    /// `irate` and `idelta`.
    pub(super) fn instant_value(
        &self,
        metric: &str,
        window: &Window<'_>,
        rate: bool,
    ) -> Option<Sample> {
        let mut last: Vec<(i64, Sample)> = Vec::new();
        for (time, value) in window.times().iter().zip(window.floats()).rev().take(2) {
            last.push((*time, Sample::Float(*value)));
        }
        for (time, histogram) in window.histograms.iter().rev().take(2) {
            last.push((*time, Sample::Histogram(Arc::clone(histogram))));
        }
        last.sort_by_key(|(time, _)| *time);
        let [.., (t1, before), (t2, after)] = last.as_slice() else {
            return None;
        };
        if t1 == t2 {
            return None;
        }
        let seconds = (t2 - t1) as f64 / 1000.0;
        match (before, after) {
            (Sample::Float(before), Sample::Float(after)) => {
                let reset = rate && after < before;
                let value = if reset { *after } else { after - before };
                Some(Sample::Float(if rate { value / seconds } else { value }))
            }
            (Sample::Histogram(before), Sample::Histogram(after)) => {
                self.instant_histogram(metric, before, after, rate.then_some(seconds))
            }
            _ => {
                self.note_mixed(metric);
                None
            }
        }
    }

    fn instant_histogram(
        &self,
        metric: &str,
        before: &Histogram,
        after: &Histogram,
        seconds: Option<f64>,
    ) -> Option<Sample> {
        let gauges = [before, after].map(|h| h.reset_hint == ResetHint::Gauge);
        let rate = seconds.is_some();
        {
            let mut annotations = self.context.annotations.borrow_mut();
            if rate && gauges.contains(&true) {
                annotations.not_counter_histogram(self.span, metric);
            }
            if !rate && gauges.contains(&false) {
                annotations.not_gauge_histogram(self.span, metric);
            }
        }
        let mut result = after.clone();
        if !rate || !histogram::detect_reset(after, before) {
            let Ok((difference, note)) = histogram::sub(after, before) else {
                self.warn_mixed_schemas(metric);
                return None;
            };
            if note.reconciled {
                let mut annotations = self.context.annotations.borrow_mut();
                annotations.mismatched_custom_buckets(self.span, HistogramOperation::Subtraction);
            }
            result = difference;
        }
        result.reset_hint = ResetHint::Gauge;
        let mut result = histogram::compact(&result);
        if let Some(seconds) = seconds {
            result = histogram::div(&result, seconds);
        }
        Some(Sample::Histogram(Arc::new(result)))
    }

    /// Sum or mean of the histograms in the window.
    fn fold_histograms(&self, mut sum: Sum, metric: &str, window: &Window<'_>) -> Option<Sum> {
        for (_, histogram) in window.histograms {
            if sum.add(histogram).is_err() {
                self.warn_mixed_schemas(metric);
                return None;
            }
        }
        let mut annotations = self.context.annotations.borrow_mut();
        if sum.collided() {
            annotations.reset_collision(self.span, HistogramOperation::Aggregation);
        }
        if sum.reconciled() {
            annotations.mismatched_custom_buckets(self.span, HistogramOperation::Aggregation);
        }
        Some(sum)
    }

    pub(super) fn sum_histograms(&self, metric: &str, window: &Window<'_>) -> Option<Sample> {
        let sum = self.fold_histograms(Sum::default(), metric, window)?;
        Some(Sample::Histogram(Arc::new(sum.total())))
    }

    pub(super) fn avg_histograms(&self, metric: &str, window: &Window<'_>) -> Option<Sample> {
        let sum = self.fold_histograms(Sum::for_mean(), metric, window)?;
        Some(Sample::Histogram(Arc::new(sum.mean())))
    }
}
