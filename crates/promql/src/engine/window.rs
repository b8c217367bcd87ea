//! Functions over ranges: each series is read once and all steps are computed with moving cursors.

mod histograms;
mod rate;

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::histogram::Histogram;

use super::eval::{Context, Evaluated, Sink};
use super::kahan;
use super::select::{Points, RangeArg, no_histograms};
use super::series::{Grid, Sample, Series, merge_same_labels, same_labelset};
use crate::ast::{CallExpr, Expr, Extent, Span};
use crate::error::QueryError;

/// The samples that one step sees.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    /// All samples of the series.
    pub(super) points: &'a Points,
    /// Floats in the window.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Histograms in the window.
    pub(super) histograms: &'a [(i64, Arc<Histogram>)],
    /// Evaluation time.
    pub(super) time: i64,
    /// Bounds of the range, exclusive and inclusive.
    pub(super) start: i64,
    pub(super) end: i64,
}

impl<'a> Window<'a> {
    pub(super) fn floats(&self) -> &'a [f64] {
        &self.points.floats[self.from..self.to]
    }

    pub(super) fn times(&self) -> &'a [i64] {
        &self.points.times[self.from..self.to]
    }

    fn is_empty(&self) -> bool {
        self.from == self.to && self.histograms.is_empty()
    }
}

/// What a kernel needs besides the window.
pub(super) struct Call<'a> {
    pub(super) context: &'a Context<'a>,
    /// Place of the first argument in the query.
    pub(super) span: Span,
    pub(super) extent: Extent,
    /// Milliseconds.
    pub(super) window: i64,
}

const ANCHORED: &str = "changes, delta, increase, rate, resets";
const SMOOTHED: &str = "delta, increase, rate";

impl Context<'_> {
    /// A function with a range vector argument.
    pub(super) fn stream_range_call(
        &self,
        call: &CallExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let name = call.function.name;
        let position = call
            .args
            .iter()
            .position(|arg| arg.value_type() == crate::ast::ValueType::Matrix)
            .ok_or_else(|| QueryError::execution("expected a range vector"))?;
        let range = self.range_arg(&call.args[position])?;
        let allowed = match range.extent {
            Extent::Plain => "",
            Extent::Anchored => ANCHORED,
            Extent::Smoothed => SMOOTHED,
        };
        if range.extent != Extent::Plain && !allowed.split(", ").any(|f| f == name) {
            let word = if range.extent == Extent::Anchored {
                "anchored"
            } else {
                "smoothed"
            };
            return Err(QueryError::execution(format!(
                "{word} modifier can only be used with: {allowed} - not with {name}"
            )));
        }
        let mut params = Vec::new();
        for (index, arg) in call.args.iter().enumerate() {
            if index != position {
                params.push(self.scalar(arg, grid)?);
            }
        }
        let target = Call {
            context: self,
            span: call.args[0].unwrap_parens().span(),
            extent: range.extent,
            window: range.window,
        };
        if name == "absent_over_time" {
            return self.absent_over_time(&call.args[position], &range, grid, sink);
        }
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let drop_now = !keeps_name && !self.delayed();
        let counter = matches!(name, "rate" | "increase");
        let mut collected: Option<Vec<Series>> =
            (drop_now && !named(&call.args[position])).then(Vec::new);
        self.points_of(&range, grid, &mut |labels, drop_name, points| {
            let mut series = Series::new(labels.clone(), grid.len);
            let metric = labels.metric_name();
            if !target.run(name, metric, points, &range, grid, &params, &mut series)? {
                return Ok(());
            }
            if counter {
                self.annotate_counter(&series, labels, call.args[0].unwrap_parens().span());
            }
            series.drop_name = !keeps_name || drop_name;
            if drop_now {
                series.labels = super::series::without_name(&series.labels);
            }
            match &mut collected {
                Some(all) => {
                    all.push(series);
                    Ok(())
                }
                None => sink(series),
            }
        })?;
        if let Some(all) = collected {
            let before = all.len();
            let merged = merge_same_labels(all)?;
            if merged.len() < before {
                return same_labelset();
            }
            for series in merged {
                sink(series)?;
            }
        }
        Ok(())
    }

    fn annotate_counter(&self, series: &Series, labels: &Labels, span: Span) {
        let metric = labels.metric_name();
        let any = || {
            let stale = bellwether_model::series::is_stale;
            series.floats.iter().any(|v| !stale(*v))
        };
        if metric.is_empty() {
            return;
        }
        if self.options.type_and_unit_labels {
            let kind = labels.get("__type__");
            if kind != "counter" && kind != "histogram" && any() {
                let mut annotations = self.annotations.borrow_mut();
                annotations.possible_non_counter_label(span, metric, kind);
            }
        } else if !["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|suffix| metric.ends_with(suffix))
            && any()
        {
            self.annotations
                .borrow_mut()
                .possible_non_counter(span, metric);
        }
    }

    fn absent_over_time(
        &self,
        arg: &Expr,
        range: &RangeArg<'_>,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let mut seen = vec![false; grid.len];
        self.points_of(range, grid, &mut |_, _, points| {
            windows(points, range, grid, &mut |step, _| {
                seen[step] = true;
                Ok(())
            })
        })?;
        let mut series = Series::new(super::call::absent_labels(arg), grid.len);
        series.drop_name = true;
        for (step, seen) in seen.into_iter().enumerate() {
            if !seen {
                series.floats[step] = 1.0;
            }
        }
        if series.is_empty() {
            return Ok(());
        }
        sink(series)
    }
}

fn named(arg: &Expr) -> bool {
    match arg.unwrap_parens() {
        Expr::Matrix(matrix) => matrix.selector.matchers.iter().any(|m| {
            &*m.name == bellwether_model::labels::METRIC_NAME
                && m.op == bellwether_model::MatchOp::Equal
        }),
        _ => false,
    }
}

/// Calls `each` for every step whose window has samples.
fn windows<'p>(
    points: &'p Points,
    range: &RangeArg<'_>,
    grid: &Grid,
    each: &mut dyn FnMut(usize, Window<'p>) -> Evaluated<()>,
) -> Evaluated<()> {
    let (mut from, mut to, mut first, mut last) = (0, 0, 0, 0);
    for step in 0..grid.len {
        let time = grid.time(step);
        let end = range.reference.at(time);
        let start = end - range.window;
        while points.times.get(to).is_some_and(|t| *t <= end) {
            to += 1;
        }
        while from < to && points.times[from] <= start {
            from += 1;
        }
        while points.histograms.get(last).is_some_and(|(t, _)| *t <= end) {
            last += 1;
        }
        while first < last && points.histograms[first].0 <= start {
            first += 1;
        }
        let window = Window {
            points,
            from,
            to,
            histograms: &points.histograms[first..last],
            time,
            start,
            end,
        };
        if !window.is_empty() {
            each(step, window)?;
        }
    }
    Ok(())
}

type Kernel<'k> = dyn FnMut(usize, Window<'_>) -> Evaluated<Option<Sample>> + 'k;

#[expect(clippy::unnecessary_wraps, reason = "kernels may fail")]
fn float(value: f64) -> Evaluated<Option<Sample>> {
    Ok(Some(Sample::Float(value)))
}

impl Call<'_> {
    /// Fills the series; says whether there is any result.
    #[expect(clippy::too_many_arguments, reason = "one call per series")]
    fn run(
        &self,
        name: &str,
        metric: &str,
        points: &Points,
        range: &RangeArg<'_>,
        grid: &Grid,
        params: &[Vec<f64>],
        series: &mut Series,
    ) -> Evaluated<bool> {
        if self.extent != Extent::Plain {
            return self.run_extended(name, points, range, grid, series);
        }
        if matches!(name, "rate" | "increase" | "delta") {
            return self.run_rate(name, metric, points, range, grid, series);
        }
        if matches!(name, "max_over_time" | "min_over_time") {
            let larger = name == "max_over_time";
            return self.run_extreme(larger, metric, points, range, grid, series);
        }
        let mut scratch = Vec::new();
        let mut any = false;
        let mut fill = |kernel: &mut Kernel<'_>| {
            windows(points, range, grid, &mut |step, window| {
                if let Some(sample) = kernel(step, window)? {
                    series.set(step, sample);
                    any = true;
                }
                Ok(())
            })
        };
        match name {
            "irate" => fill(&mut |_, w| Ok(self.instant_value(metric, &w, true)))?,
            "idelta" => fill(&mut |_, w| Ok(self.instant_value(metric, &w, false)))?,
            "sum_over_time" => fill(&mut |_, w| self.sum_over_time(metric, &w))?,
            "avg_over_time" => fill(&mut |_, w| self.avg_over_time(metric, &w))?,
            "count_over_time" => {
                fill(&mut |_, w| float((w.floats().len() + w.histograms.len()) as f64))?;
            }
            "present_over_time" => fill(&mut |_, _| float(1.0))?,
            "last_over_time" => fill(&mut |_, w| Ok(last(&w)))?,
            "first_over_time" => fill(&mut |_, w| Ok(first(&w)))?,
            "ts_of_first_over_time" => fill(&mut |_, w| {
                let times = w.times().first().into_iter();
                let all = times.chain(w.histograms.first().map(|(t, _)| t));
                Ok(all.min().map(|t| Sample::Float(*t as f64 / 1000.0)))
            })?,
            "ts_of_last_over_time" => fill(&mut |_, w| {
                let times = w.times().last().into_iter();
                let all = times.chain(w.histograms.last().map(|(t, _)| t));
                Ok(all.max().map(|t| Sample::Float(*t as f64 / 1000.0)))
            })?,
            "ts_of_max_over_time" => fill(&mut |_, w| {
                Ok(self
                    .extreme(metric, &w, |value, best| value >= best)
                    .map(|i| Sample::Float(w.times()[i] as f64 / 1000.0)))
            })?,
            "ts_of_min_over_time" => fill(&mut |_, w| {
                Ok(self
                    .extreme(metric, &w, |value, best| value <= best)
                    .map(|i| Sample::Float(w.times()[i] as f64 / 1000.0)))
            })?,
            "stdvar_over_time" | "stddev_over_time" => fill(&mut |_, w| {
                if !self.floats_only(metric, &w) {
                    return Ok(None);
                }
                let variance = kahan::variance(w.floats());
                float(if name == "stddev_over_time" {
                    variance.sqrt()
                } else {
                    variance
                })
            })?,
            "mad_over_time" => fill(&mut |_, w| {
                if !self.floats_only(metric, &w) {
                    return Ok(None);
                }
                scratch.clear();
                scratch.extend_from_slice(w.floats());
                let median = kahan::quantile(0.5, &mut scratch);
                scratch.clear();
                scratch.extend(w.floats().iter().map(|v| (v - median).abs()));
                float(kahan::quantile(0.5, &mut scratch))
            })?,
            "quantile_over_time" => fill(&mut |step, w| {
                let q = params[0][step];
                if w.floats().is_empty() {
                    return Ok(None);
                }
                if !(0.0..=1.0).contains(&q) {
                    let mut annotations = self.context.annotations.borrow_mut();
                    annotations.invalid_quantile(self.span, q);
                }
                self.floats_only(metric, &w);
                scratch.clear();
                scratch.extend_from_slice(w.floats());
                float(kahan::quantile(q, &mut scratch))
            })?,
            "deriv" => fill(&mut |_, w| {
                Ok(self
                    .regression(metric, &w, |w| w.times()[0])
                    .map(|(slope, _)| Sample::Float(slope)))
            })?,
            "predict_linear" => fill(&mut |step, w| {
                Ok(self
                    .regression(metric, &w, |w| w.time)
                    .map(|(slope, intercept)| Sample::Float(slope * params[0][step] + intercept)))
            })?,
            "double_exponential_smoothing" => {
                fill(&mut |step, w| self.smoothing(metric, &w, params[0][step], params[1][step]))?;
            }
            "changes" | "resets" => fill(&mut |_, w| float(changes(&w, name == "resets") as f64))?,
            _ => {
                return Err(QueryError::execution(format!(
                    "function {name} takes no range"
                )));
            }
        }
        Ok(any)
    }

    /// Largest or smallest value of each window, from a queue of the samples that can still be it: each sample enters
    /// and leaves once.
    fn run_extreme(
        &self,
        larger: bool,
        metric: &str,
        points: &Points,
        range: &RangeArg<'_>,
        grid: &Grid,
        series: &mut Series,
    ) -> Evaluated<bool> {
        let floats = &points.floats;
        let worse = |a: f64, b: f64| if larger { a < b } else { a > b };
        let mut queue: VecDeque<usize> = VecDeque::new();
        let (mut next, mut any) = (0, false);
        windows(points, range, grid, &mut |step, window| {
            if !self.floats_only(metric, &window) {
                return Ok(());
            }
            while next < window.to {
                let value = floats[next];
                if !value.is_nan() {
                    while queue.back().is_some_and(|i| worse(floats[*i], value)) {
                        queue.pop_back();
                    }
                    queue.push_back(next);
                }
                next += 1;
            }
            while queue.front().is_some_and(|i| *i < window.from) {
                queue.pop_front();
            }
            series.floats[step] = queue.front().map_or(f64::NAN, |i| floats[*i]);
            any = true;
            Ok(())
        })?;
        Ok(any)
    }

    /// Whether there are floats; notes histograms beside them.
    fn floats_only(&self, metric: &str, window: &Window<'_>) -> bool {
        if window.floats().is_empty() {
            return false;
        }
        if !window.histograms.is_empty() {
            self.note_ignored(metric);
        }
        true
    }

    fn note_ignored(&self, metric: &str) {
        let mut annotations = self.context.annotations.borrow_mut();
        annotations.histogram_ignored_in_range(self.span, metric);
    }

    pub(super) fn note_mixed(&self, metric: &str) {
        let mut annotations = self.context.annotations.borrow_mut();
        annotations.mixed_floats_histograms(self.span, metric);
    }

    fn extreme(
        &self,
        metric: &str,
        window: &Window<'_>,
        better: impl Fn(f64, f64) -> bool,
    ) -> Option<usize> {
        if !self.floats_only(metric, window) {
            return None;
        }
        let floats = window.floats();
        let mut best = 0;
        for (index, value) in floats.iter().enumerate() {
            if better(*value, floats[best]) || floats[best].is_nan() {
                best = index;
            }
        }
        Some(best)
    }

    fn sum_over_time(&self, metric: &str, window: &Window<'_>) -> Evaluated<Option<Sample>> {
        match (window.floats().is_empty(), window.histograms.is_empty()) {
            (false, false) => {
                self.note_mixed(metric);
                Ok(None)
            }
            (true, _) => Ok(self.sum_histograms(metric, window)),
            (false, true) => float(kahan::sum(window.floats().iter().copied())),
        }
    }

    fn avg_over_time(&self, metric: &str, window: &Window<'_>) -> Evaluated<Option<Sample>> {
        match (window.floats().is_empty(), window.histograms.is_empty()) {
            (false, false) => {
                self.note_mixed(metric);
                Ok(None)
            }
            (true, _) => Ok(self.avg_histograms(metric, window)),
            (false, true) => float(kahan::mean(window.floats())),
        }
    }

    /// Slope and value at a time, by least squares.
    fn regression(
        &self,
        metric: &str,
        window: &Window<'_>,
        intercept: impl Fn(&Window<'_>) -> i64,
    ) -> Option<(f64, f64)> {
        let floats = window.floats();
        if !floats.is_empty() && !window.histograms.is_empty() {
            self.note_ignored(metric);
        }
        if floats.len() < 2 {
            return None;
        }
        let at = intercept(window);
        let (mut x_sum, mut x_lost, mut y_sum, mut y_lost) = (0.0, 0.0, 0.0, 0.0);
        let (mut xy_sum, mut xy_lost, mut xx_sum, mut xx_lost) = (0.0, 0.0, 0.0, 0.0);
        for (time, y) in window.times().iter().zip(floats) {
            let x = (time - at) as f64 / 1e3;
            (x_sum, x_lost) = kahan::add(x, x_sum, x_lost);
            (y_sum, y_lost) = kahan::add(*y, y_sum, y_lost);
            (xy_sum, xy_lost) = kahan::add(x * y, xy_sum, xy_lost);
            (xx_sum, xx_lost) = kahan::add(x * x, xx_sum, xx_lost);
        }
        if floats.iter().all(|y| *y == floats[0]) {
            return Some(if floats[0].is_infinite() {
                (f64::NAN, f64::NAN)
            } else {
                (0.0, floats[0])
            });
        }
        let n = floats.len() as f64;
        let (x, y) = (x_sum + x_lost, y_sum + y_lost);
        let covariance = (xy_sum + xy_lost) - x * y / n;
        let variance = (xx_sum + xx_lost) - x * x / n;
        let slope = covariance / variance;
        Some((slope, y / n - slope * x / n))
    }

    /// Holt's double exponential smoothing.
    fn smoothing(
        &self,
        metric: &str,
        window: &Window<'_>,
        factor: f64,
        trend: f64,
    ) -> Evaluated<Option<Sample>> {
        for (what, value) in [("smoothing", factor), ("trend", trend)] {
            if value <= 0.0 || value >= 1.0 {
                let short = if what == "smoothing" { "sf" } else { "tf" };
                return Err(QueryError::execution(format!(
                    "invalid {what} factor. Expected: 0 < {short} < 1, got: {value:.6}"
                )));
            }
        }
        let floats = window.floats();
        if !floats.is_empty() && !window.histograms.is_empty() {
            self.note_ignored(metric);
        }
        if floats.len() < 2 {
            return Ok(None);
        }
        let (mut previous, mut smoothed) = (0.0, floats[0]);
        let mut slope = floats[1] - floats[0];
        for (index, value) in floats.iter().enumerate().skip(1) {
            if index > 1 {
                slope = trend * (smoothed - previous) + (1.0 - trend) * slope;
            }
            let next = factor * value + (1.0 - factor) * (smoothed + slope);
            (previous, smoothed) = (smoothed, next);
        }
        float(smoothed)
    }
}

fn last(window: &Window<'_>) -> Option<Sample> {
    match (window.times().last(), window.histograms.last()) {
        (Some(time), Some((other, histogram))) if other >= time => {
            Some(Sample::Histogram(Arc::clone(histogram)))
        }
        (None, Some((_, histogram))) => Some(Sample::Histogram(Arc::clone(histogram))),
        (Some(_), _) => window.floats().last().map(|v| Sample::Float(*v)),
        (None, None) => None,
    }
}

fn first(window: &Window<'_>) -> Option<Sample> {
    match (window.times().first(), window.histograms.first()) {
        (Some(time), Some((other, histogram))) if other <= time => {
            Some(Sample::Histogram(Arc::clone(histogram)))
        }
        (None, Some((_, histogram))) => Some(Sample::Histogram(Arc::clone(histogram))),
        (Some(_), _) => window.floats().first().map(|v| Sample::Float(*v)),
        (None, None) => None,
    }
}

/// How often the value changed, or a counter was reset; floats and histograms in time order.
fn changes(window: &Window<'_>, resets: bool) -> usize {
    let differs = |a: f64, b: f64| {
        if resets {
            b < a
        } else {
            a != b && !(a.is_nan() && b.is_nan())
        }
    };
    let (floats, times) = (window.floats(), window.times());
    if window.histograms.is_empty() {
        return floats.windows(2).filter(|p| differs(p[0], p[1])).count();
    }
    let (mut next_float, mut next_histogram, mut count) = (0, 0, 0);
    let mut previous: Option<Sample> = None;
    while next_float < floats.len() || next_histogram < window.histograms.len() {
        let take_float = match (times.get(next_float), window.histograms.get(next_histogram)) {
            (Some(time), Some((other, _))) => time < other,
            (Some(_), None) => true,
            _ => false,
        };
        let current = if take_float {
            next_float += 1;
            Sample::Float(floats[next_float - 1])
        } else {
            next_histogram += 1;
            Sample::Histogram(Arc::clone(&window.histograms[next_histogram - 1].1))
        };
        let changed = match (&previous, &current) {
            (None, _) => false,
            (Some(Sample::Float(a)), Sample::Float(b)) => differs(*a, *b),
            (Some(Sample::Histogram(a)), Sample::Histogram(b)) if resets => {
                crate::histogram::detect_reset(b, a)
            }
            (Some(Sample::Histogram(a)), Sample::Histogram(b)) => !crate::histogram::equals(a, b),
            _ => true,
        };
        count += usize::from(changed);
        previous = Some(current);
    }
    count
}

impl Call<'_> {
    fn run_extended(
        &self,
        name: &str,
        points: &Points,
        range: &RangeArg<'_>,
        grid: &Grid,
        series: &mut Series,
    ) -> Evaluated<bool> {
        let lookback = self.context.options.lookback_ms;
        let smoothed = self.extent == Extent::Smoothed;
        let mut any = false;
        for step in 0..grid.len {
            let end = range.reference.at(grid.time(step));
            let start = end - range.window;
            let from = start - lookback;
            let to = if smoothed { end + lookback } else { end };
            if points.histograms.iter().any(|(t, _)| *t > from && *t <= to) {
                return no_histograms();
            }
            let low = points.times.partition_point(|t| *t <= from);
            let high = points.times.partition_point(|t| *t <= to);
            if low == high {
                continue;
            }
            let value = if matches!(name, "changes" | "resets") {
                extended_changes(points, low, high, start, name == "resets")
            } else {
                rate::extended(self, name, points, (low, high), (start, end))
            };
            if let Some(value) = value {
                series.floats[step] = value;
                any = true;
            }
        }
        Ok(any)
    }
}

/// Changes or resets with the sample at or before the start counted in.
fn extended_changes(
    points: &Points,
    low: usize,
    high: usize,
    start: i64,
    resets: bool,
) -> Option<f64> {
    if points.times[high - 1] <= start {
        return None;
    }
    let first = points.times[low..high].partition_point(|t| *t <= start);
    let from = low + first.saturating_sub(1);
    let window = Window {
        points,
        from,
        to: high,
        histograms: &[],
        time: 0,
        start,
        end: 0,
    };
    Some(changes(&window, resets) as f64)
}

/// The floats of a range selector's own value, with the bounds that its modifier adds.
pub(super) fn bounded(
    points: &Points,
    extent: Extent,
    start: i64,
    end: i64,
) -> Evaluated<Vec<(i64, f64)>> {
    let pairs = || {
        points
            .times
            .iter()
            .copied()
            .zip(points.floats.iter().copied())
    };
    if extent == Extent::Plain {
        return Ok(pairs().filter(|(t, _)| *t > start && *t <= end).collect());
    }
    if !points.histograms.is_empty() {
        return Err(QueryError::execution(
            "anchored modifier is not supported with histograms",
        ));
    }
    if points.times.is_empty() {
        return Ok(Vec::new());
    }
    let smoothed = extent == Extent::Smoothed;
    let mut last = points.times.len() - 1;
    let before_last = &points.times[..last];
    let first = before_last
        .partition_point(|t| *t <= start)
        .saturating_sub(1);
    if smoothed {
        last = before_last.partition_point(|t| *t < end);
    }
    if points.times[last] <= start {
        return Ok(Vec::new());
    }
    let left = if smoothed && points.times[first] < start {
        super::select::interpolate(points, first, start, false)
    } else {
        points.floats[first]
    };
    let right = if smoothed && last > 0 && points.times[last] > end {
        super::select::interpolate(points, last - 1, end, false)
    } else {
        points.floats[last]
    };
    let inner = pairs().filter(|(t, _)| *t > start && *t < end);
    Ok([(start, left)]
        .into_iter()
        .chain(inner)
        .chain([(end, right)])
        .collect())
}
