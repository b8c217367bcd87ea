//! Selectors: samples of the source, read once per series.

use std::cell::OnceCell;
use std::sync::Arc;

use bellwether_model::histogram::Histogram;
use bellwether_model::series::{SampleBuffer, Selection, is_stale};

use super::durations::{offset_ms, seconds_ms};
use super::eval::{Context, Evaluated, Sink};
use super::series::{ABSENT, Grid, Sample, Series};
use crate::ast::{At, DurationExpr, Expr, Extent, MatrixSelector, VectorSelector};
use crate::error::QueryError;

/// Where the selector's time stands for each step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pinned: Option<i64>,
    offset: i64,
}

impl Reference {
    /// The time a selector looks at for an evaluation at `time`.
    pub(crate) fn at(&self, time: i64) -> i64 {
        self.pinned.unwrap_or(time).saturating_sub(self.offset)
    }
}

/// Samples of one series without stale markers, in columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points {
    pub(crate) times: Vec<i64>,
    pub(crate) floats: Vec<f64>,
    pub(crate) histograms: Vec<(i64, Arc<Histogram>)>,
    resets: OnceCell<Resets>,
}

/// Where a counter fell: index of the sample after the fall, value before it.
pub(crate) type Resets = Vec<(usize, f64)>;

impl Points {
    /// Where the floats fell, found once.
    pub(crate) fn resets(&self) -> &[(usize, f64)] {
        self.resets.get_or_init(|| {
            let pairs = self.floats.windows(2).enumerate();
            pairs
                .filter(|(_, pair)| pair[1] < pair[0])
                .map(|(index, pair)| (index + 1, pair[0]))
                .collect()
        })
    }

    pub(crate) fn clear(&mut self) {
        self.resets.take();
        self.times.clear();
        self.floats.clear();
        self.histograms.clear();
    }

    /// Takes the samples of a buffer that are not stale.
    pub(crate) fn take(&mut self, buffer: &SampleBuffer) {
        self.clear();
        if buffer.floats.iter().any(|v| is_stale(*v)) {
            for (time, value) in buffer.timestamps.iter().zip(&buffer.floats) {
                if !is_stale(*value) {
                    self.times.push(*time);
                    self.floats.push(*value);
                }
            }
        } else {
            self.times.extend_from_slice(&buffer.timestamps);
            self.floats.extend_from_slice(&buffer.floats);
        }
        let live = buffer.histograms.iter().filter(|(_, h)| !is_stale(h.sum));
        self.histograms.extend(live.cloned());
    }
}

impl Context<'_> {
    pub(crate) fn reference(
        &self,
        at: Option<At>,
        offset: Option<&DurationExpr>,
    ) -> Evaluated<Reference> {
        let pinned = match at {
            None => None,
            // Far beyond any sample, and far from overflow.
            Some(At::Timestamp(time)) => Some(time.clamp(-(1 << 60), 1 << 60)),
            Some(At::Start) => Some(self.times.start),
            Some(At::End) => Some(self.times.end),
        };
        Ok(Reference {
            pinned,
            offset: offset_ms(offset, &self.times)?,
        })
    }

    /// Reads the series a selector matches between two times, one after the other.
    pub(crate) fn read(
        &self,
        selector: &VectorSelector,
        min: i64,
        max: i64,
        each: &mut dyn FnMut(&bellwether_model::Labels, &SampleBuffer) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let current = self.current.borrow().clone();
        if let Some(current) = current {
            return each(&current.labels, &current.buffer);
        }
        let selection = Selection {
            matchers: selector.matchers.clone(),
            min,
            max,
        };
        let set = self.source.select(&selection)?;
        let mut buffer = SampleBuffer::default();
        self.series_read.set(self.series_read.get() + set.len());
        for index in 0..set.len() {
            if index % 64 == 0 {
                self.check_interrupt()?;
            }
            set.read(index, &mut buffer)?;
            let samples = buffer.floats.len() + buffer.histograms.len();
            self.samples_read.set(self.samples_read.get() + samples);
            if let Some(profile) = self.profile {
                profile.read(samples);
            }
            self.hold(samples)?;
            each(set.labels(index), &buffer)?;
            self.release(samples);
        }
        Ok(())
    }

    pub(crate) fn stream_selector(
        &self,
        selector: &VectorSelector,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        if selector.extent == Extent::Smoothed {
            return self.stream_smoothed(selector, grid, sink);
        }
        self.stream_newest(selector, grid, false, sink)
    }

    /// The newest sample at each step, or its time in seconds.
    pub(crate) fn stream_newest(
        &self,
        selector: &VectorSelector,
        grid: &Grid,
        times: bool,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let reference = self.reference(selector.at, selector.offset.as_ref())?;
        let lookback = self.options.lookback_ms;
        let min = reference.at(grid.start) - lookback + 1;
        let max = reference.at(grid.end());
        self.read(selector, min, max, &mut |labels, buffer| {
            let mut series = Series::new(labels.clone(), grid.len);
            if newest(buffer, grid, reference, lookback, times, &mut series) {
                sink(series)?;
            }
            Ok(())
        })
    }

    fn stream_smoothed(
        &self,
        selector: &VectorSelector,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let reference = self.reference(selector.at, selector.offset.as_ref())?;
        let lookback = self.options.lookback_ms;
        let min = reference.at(grid.start) - lookback + 1;
        let max = reference.at(grid.end()) + lookback;
        let mut points = Points::default();
        self.read(selector, min, max, &mut |labels, buffer| {
            points.take(buffer);
            let mut series = Series::new(labels.clone(), grid.len);
            for step in 0..grid.len {
                let time = reference.at(grid.time(step));
                let (from, to) = (time - lookback, time + lookback);
                if points.histograms.iter().any(|(t, _)| *t > from && *t <= to) {
                    return no_histograms();
                }
                let first = points.times.partition_point(|t| *t <= from);
                let last = points.times.partition_point(|t| *t <= to);
                let next = points.times.partition_point(|t| *t < time);
                series.floats[step] = if next < last && points.times[next] == time {
                    points.floats[next]
                } else if next > first && next < last {
                    interpolate(&points, next - 1, time, false)
                } else if next > first {
                    points.floats[next - 1]
                } else {
                    ABSENT
                };
            }
            if series.is_empty() {
                return Ok(());
            }
            sink(series)
        })
    }

    /// Samples for a range selector or subquery, wide enough for all steps; `each` gets the labels, whether the name
    /// is to be dropped, and the points.
    pub(crate) fn points_of(
        &self,
        range: &RangeArg<'_>,
        grid: &Grid,
        each: &mut dyn FnMut(&bellwether_model::Labels, bool, &Points) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let lookback = self.options.lookback_ms;
        let (before, after) = match range.extent {
            Extent::Plain => (0, 0),
            Extent::Anchored => (lookback, 0),
            Extent::Smoothed => (lookback, lookback),
        };
        let first = range.reference.at(grid.start) - range.window;
        let last = range.reference.at(grid.end());
        let mut points = Points::default();
        match range.inner {
            Inner::Selector(selector) => {
                let current = self.current.borrow().clone();
                if let Some(current) = current {
                    return each(&current.labels, false, &current.points);
                }
                let (min, max) = (first - before + 1, last + after);
                self.read(selector, min, max, &mut |labels, buffer| {
                    points.take(buffer);
                    each(labels, false, &points)
                })
            }
            Inner::Subquery { expr, step } => {
                let mut start = step * (first / step);
                if start <= first {
                    start += step;
                }
                if start > last {
                    return Ok(());
                }
                let inner = Grid {
                    start,
                    step,
                    len: ((last - start) / step) as usize + 1,
                };
                self.hold(inner.len)?;
                self.stream(expr, &inner, &mut |series| {
                    points_of_series(&series, &inner, &mut points);
                    each(&series.labels, series.drop_name, &points)
                })?;
                self.release(inner.len);
                Ok(())
            }
        }
    }

    /// The range argument of a function.
    pub(crate) fn range_arg<'e>(&self, expr: &'e Expr) -> Evaluated<RangeArg<'e>> {
        match expr.unwrap_parens() {
            Expr::Matrix(matrix) => self.matrix_arg(matrix),
            Expr::Subquery(subquery) => {
                let step = match &subquery.step {
                    Some(step) => seconds_ms(step, &self.times)?.max(1),
                    None => self.options.subquery_step_ms.max(1),
                };
                Ok(RangeArg {
                    inner: Inner::Subquery {
                        expr: &subquery.expr,
                        step,
                    },
                    window: seconds_ms(&subquery.range, &self.times)?,
                    reference: self.reference(subquery.at, subquery.offset.as_ref())?,
                    extent: Extent::Plain,
                })
            }
            _ => Err(QueryError::execution("expected a range vector")),
        }
    }

    fn matrix_arg<'e>(&self, matrix: &'e MatrixSelector) -> Evaluated<RangeArg<'e>> {
        Ok(RangeArg {
            inner: Inner::Selector(&matrix.selector),
            window: seconds_ms(&matrix.range, &self.times)?,
            reference: self.reference(matrix.selector.at, matrix.selector.offset.as_ref())?,
            extent: matrix.selector.extent,
        })
    }
}

/// A range selector or subquery with its times resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeArg<'e> {
    pub(crate) inner: Inner<'e>,
    /// Milliseconds.
    pub(crate) window: i64,
    pub(crate) reference: Reference,
    pub(crate) extent: Extent,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Inner<'e> {
    Selector(&'e VectorSelector),
    Subquery { expr: &'e Expr, step: i64 },
}

pub(crate) fn no_histograms<T>() -> Evaluated<T> {
    Err(QueryError::execution(
        "smoothed and anchored modifiers do not work with native histograms",
    ))
}

/// Value at `time` on the line from point `before` to the next; a counter that was reset starts at 0.
pub(crate) fn interpolate(points: &Points, before: usize, time: i64, counter: bool) -> f64 {
    let (t1, t2) = (points.times[before], points.times[before + 1]);
    let (mut y1, y2) = (points.floats[before], points.floats[before + 1]);
    if counter && y2 < y1 {
        y1 = 0.0;
    }
    y1 + (y2 - y1) * (time - t1) as f64 / (t2 - t1) as f64
}

/// A subquery's series as samples. What was known of counter resets does not hold between its steps.
fn points_of_series(series: &Series, grid: &Grid, points: &mut Points) {
    points.clear();
    for step in 0..grid.len {
        match series.get(step) {
            Some(Sample::Float(value)) => {
                points.times.push(grid.time(step));
                points.floats.push(value);
            }
            Some(Sample::Histogram(histogram)) => {
                let histogram = crate::histogram::forget_reset(histogram);
                points.histograms.push((grid.time(step), histogram));
            }
            None => {}
        }
    }
}

/// Fills the slots of `series`; says whether there was any sample.
fn newest(
    buffer: &SampleBuffer,
    grid: &Grid,
    reference: Reference,
    lookback: i64,
    times: bool,
    series: &mut Series,
) -> bool {
    let (mut next_float, mut next_histogram) = (0, 0);
    let mut any = false;
    for step in 0..grid.len {
        let time = reference.at(grid.time(step));
        while buffer
            .timestamps
            .get(next_float)
            .is_some_and(|t| *t <= time)
        {
            next_float += 1;
        }
        while buffer
            .histograms
            .get(next_histogram)
            .is_some_and(|(t, _)| *t <= time)
        {
            next_histogram += 1;
        }
        let float_time = next_float.checked_sub(1).map(|i| buffer.timestamps[i]);
        let histogram_time = next_histogram
            .checked_sub(1)
            .map(|i| buffer.histograms[i].0);
        let Some(newest) = float_time.max(histogram_time) else {
            continue;
        };
        if newest <= time - lookback {
            continue;
        }
        if float_time >= histogram_time {
            let value = buffer.floats[next_float - 1];
            if is_stale(value) {
                continue;
            }
            series.floats[step] = if times { newest as f64 / 1000.0 } else { value };
        } else {
            let histogram = &buffer.histograms[next_histogram - 1].1;
            if is_stale(histogram.sum) {
                continue;
            }
            if times {
                series.floats[step] = newest as f64 / 1000.0;
            } else {
                series.set(step, Sample::Histogram(Arc::clone(histogram)));
            }
        }
        any = true;
    }
    any
}
