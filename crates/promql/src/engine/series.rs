//! Values of one series over the steps of a query.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::histogram::Histogram;
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{STALE_NAN_BITS, is_stale};

use crate::error::QueryError;

/// Marks a step without a float. Results never hold the staleness marker, so its bits are free for this.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// The steps of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) len: usize,
}

/// One series: a slot per step.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// The name goes at the end of the query.
    pub(crate) drop_name: bool,
    /// [`ABSENT`] where there is no float.
    pub(crate) floats: Vec<f64>,
    /// As long as `floats` when any step has a histogram, else empty.
    pub(crate) histograms: Vec<Option<Arc<Histogram>>>,
}

/// The value of a series at one step.
#[derive(Clone, Debug)]
pub(crate) enum Sample {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// Builds series from samples that arrive step by step, one series per label set.
#[derive(Debug)]
pub(crate) struct Collector {
    steps: usize,
    /// Keep equal label sets apart; the end of the query checks them.
    apart: bool,
    index: BTreeMap<Labels, usize>,
    series: Vec<Series>,
}

impl Grid {
    pub(crate) fn at(time: i64) -> Self {
        Self {
            start: time,
            step: 1,
            len: 1,
        }
    }

    /// The steps of a range query.
    pub(crate) fn of_range(start: i64, end: i64, step: i64) -> Self {
        let len = (end - start) / step + 1;
        Self {
            start,
            step,
            len: usize::try_from(len.max(0)).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn time(&self, step: usize) -> i64 {
        self.start + self.step * step as i64
    }

    pub(crate) fn end(&self) -> i64 {
        self.time(self.len.saturating_sub(1))
    }

    pub(crate) fn is_instant(&self) -> bool {
        self.len == 1
    }
}

impl Series {
    pub(crate) fn new(labels: Labels, steps: usize) -> Self {
        Self {
            labels,
            drop_name: false,
            floats: vec![ABSENT; steps],
            histograms: Vec::new(),
        }
    }

    pub(crate) fn of_floats(labels: Labels, floats: Vec<f64>) -> Self {
        Self {
            labels,
            drop_name: false,
            floats,
            histograms: Vec::new(),
        }
    }

    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step).and_then(Option::as_ref)
    }

    pub(crate) fn has(&self, step: usize) -> bool {
        !is_stale(self.floats[step]) || self.histogram(step).is_some()
    }

    pub(crate) fn get(&self, step: usize) -> Option<Sample> {
        let value = self.floats[step];
        if !is_stale(value) {
            return Some(Sample::Float(value));
        }
        self.histogram(step).cloned().map(Sample::Histogram)
    }

    pub(crate) fn set(&mut self, step: usize, sample: Sample) {
        match sample {
            Sample::Float(value) => self.floats[step] = value,
            Sample::Histogram(histogram) => {
                if self.histograms.is_empty() {
                    self.histograms = vec![None; self.floats.len()];
                }
                self.histograms[step] = Some(histogram);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.iter().all(|v| is_stale(*v)) && self.histograms.iter().all(Option::is_none)
    }

    /// Samples held, a histogram counting more the more buckets it has.
    pub(crate) fn size(&self) -> usize {
        let histograms: usize = self
            .histograms
            .iter()
            .flatten()
            .map(|h| 2 + usize::midpoint(h.positive_buckets.len(), h.negative_buckets.len()))
            .sum();
        self.floats.len() + histograms
    }

    /// The same value at every step.
    pub(crate) fn broadcast(mut self, steps: usize) -> Self {
        let value = self.floats[0];
        self.floats = vec![value; steps];
        if let Some(histogram) = self.histograms.first().cloned() {
            self.histograms = vec![histogram; steps];
        }
        self
    }
}

/// The labels without name, type and unit.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    let metadata = |name: &str| matches!(name, METRIC_NAME | "__type__" | "__unit__");
    if labels.iter().any(|label| metadata(&label.name)) {
        labels.retain(|name| !metadata(name))
    } else {
        labels.clone()
    }
}

pub(crate) fn same_labelset<T>() -> Result<T, QueryError> {
    Err(QueryError::execution(
        "vector cannot contain metrics with the same labelset",
    ))
}

/// Merges series with equal labels; samples of two at one step are an error.
pub(crate) fn merge_same_labels(series: Vec<Series>) -> Result<Vec<Series>, QueryError> {
    let mut index: BTreeMap<Labels, usize> = BTreeMap::new();
    let mut merged: Vec<Series> = Vec::with_capacity(series.len());
    for one in series {
        match index.entry(one.labels.clone()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(merged.len());
                merged.push(one);
            }
            std::collections::btree_map::Entry::Occupied(entry) => {
                let base = &mut merged[*entry.get()];
                for step in 0..one.floats.len() {
                    if let Some(sample) = one.get(step) {
                        if base.has(step) {
                            return same_labelset();
                        }
                        base.set(step, sample);
                    }
                }
            }
        }
    }
    Ok(merged)
}

impl Collector {
    pub(crate) fn new(steps: usize, delayed_name_removal: bool) -> Self {
        Self {
            steps,
            apart: steps == 1 && delayed_name_removal,
            index: BTreeMap::new(),
            series: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        labels: &Labels,
        drop_name: bool,
        step: usize,
        sample: Sample,
    ) -> Result<(), QueryError> {
        let found = if self.apart {
            None
        } else {
            self.index.get(labels).copied()
        };
        let index = found.unwrap_or_else(|| {
            let mut series = Series::new(labels.clone(), self.steps);
            series.drop_name = drop_name;
            self.series.push(series);
            if !self.apart {
                self.index.insert(labels.clone(), self.series.len() - 1);
            }
            self.series.len() - 1
        });
        let series = &mut self.series[index];
        if series.has(step) {
            return same_labelset();
        }
        series.set(step, sample);
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<Series> {
        self.series
    }
}
