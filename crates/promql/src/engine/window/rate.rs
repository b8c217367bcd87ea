//! `rate`, `increase` and `delta`.
//!
//! A counter's resets are found once per series; each step adds the values before the resets inside its window to
//! `last - first`, in time order, so the result has the same bits as a loop over the window.

use super::histograms::HistogramRate;
use super::{Call, Window, windows};
use crate::ast::Extent;
use crate::engine::eval::Evaluated;
use crate::engine::select::{Points, RangeArg, interpolate};
use crate::engine::series::{Grid, Sample, Series};

/// How the ends of a window are extended to its bounds.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) first: i64,
    pub(super) last: i64,
    /// Samples minus one.
    pub(super) gaps: usize,
    /// First value and increase of a counter, for the point where it was zero.
    pub(super) zero: (f64, f64),
}

/// What to multiply the difference of first and last sample by.
fn extrapolation(ends: Ends, window: &Window<'_>, counter: bool) -> f64 {
    let mut to_start = (ends.first - window.start) as f64 / 1000.0;
    let mut to_end = (window.end - ends.last) as f64 / 1000.0;
    let sampled = (ends.last - ends.first) as f64 / 1000.0;
    let spacing = sampled / ends.gaps as f64;
    // Close enough to the bound: the series is taken to cover it. Else it starts or ends half a spacing away.
    let threshold = spacing * 1.1;
    if to_start >= threshold {
        to_start = spacing / 2.0;
    }
    if counter {
        let (first, increase) = ends.zero;
        let mut to_zero = to_start;
        if increase > 0.0 && first >= 0.0 {
            to_zero = sampled * (first / increase);
        }
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = spacing / 2.0;
    }
    (sampled + to_start + to_end) / sampled
}

impl Call<'_> {
    pub(super) fn run_rate(
        &self,
        name: &str,
        metric: &str,
        points: &Points,
        range: &RangeArg<'_>,
        grid: &Grid,
        series: &mut Series,
    ) -> Evaluated<bool> {
        let (counter, per_second) = (name != "delta", name == "rate");
        let resets = if counter { points.resets() } else { &[] };
        let (mut low, mut high) = (0, 0);
        let mut any = false;
        let seconds = range.window as f64 / 1000.0;
        windows(points, range, grid, &mut |step, window| {
            let factor_of = |ends| {
                let factor = extrapolation(ends, &window, counter);
                if per_second { factor / seconds } else { factor }
            };
            if !window.histograms.is_empty() {
                if !window.floats().is_empty() {
                    self.note_mixed(metric);
                    return Ok(());
                }
                let rate = HistogramRate {
                    call: self,
                    metric,
                    counter,
                };
                if let Some(histogram) = rate.compute(&window, &factor_of) {
                    series.set(step, Sample::Histogram(histogram));
                    any = true;
                }
                return Ok(());
            }
            let floats = window.floats();
            if floats.len() < 2 {
                return Ok(());
            }
            while high < resets.len() && resets[high].0 < window.to {
                high += 1;
            }
            while low < high && resets[low].0 <= window.from {
                low += 1;
            }
            let mut value = floats[floats.len() - 1] - floats[0];
            for (_, before) in &resets[low..high] {
                value += before;
            }
            let times = window.times();
            let factor = factor_of(Ends {
                first: times[0],
                last: times[times.len() - 1],
                gaps: times.len() - 1,
                zero: (floats[0], value),
            });
            series.floats[step] = value * factor;
            any = true;
            Ok(())
        })?;
        Ok(any)
    }
}

/// `rate`, `increase` and `delta` of an anchored or smoothed range: no extrapolation, values at the bounds instead.
pub(super) fn extended(
    call: &Call<'_>,
    name: &str,
    points: &Points,
    (low, high): (usize, usize),
    (start, end): (i64, i64),
) -> Option<f64> {
    let smoothed = call.extent == Extent::Smoothed;
    let counter = name != "delta";
    let times = &points.times;
    let mut last = high - 1;
    let before_last = &times[low..last];
    let mut first = low
        + before_last
            .partition_point(|t| *t <= start)
            .saturating_sub(1);
    if smoothed {
        last = low + before_last.partition_point(|t| *t < end);
    }
    if times[last] <= start {
        return None;
    }
    let left = if smoothed && times[first] < start {
        interpolate(points, first, start, counter)
    } else {
        points.floats[first]
    };
    let right = if smoothed && last > low && times[last] > end {
        interpolate(points, last - 1, end, counter)
    } else {
        points.floats[last]
    };
    let mut value = right - left;
    if counter {
        if times[first] <= start {
            first += 1;
        }
        let stop = if times[last] >= end { last } else { last + 1 };
        let (mut correction, mut previous) = (0.0, left);
        for value in points.floats.get(first..stop).unwrap_or_default() {
            if *value < previous {
                correction += previous;
            }
            previous = *value;
        }
        if right < previous {
            correction += previous;
        }
        value += correction;
    }
    if name == "rate" {
        value /= call.window as f64 / 1000.0;
    }
    Some(value)
}
