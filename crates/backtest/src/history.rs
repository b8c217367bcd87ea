//! What the rules of a backtest read: stored samples without what these rules themselves recorded when they were live,
//! and with what they record now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_judge::RuleSample;
use bellwether_model::histogram::Histogram;
use bellwether_model::labels::{ALERT_NAME, METRIC_NAME};
use bellwether_model::matcher::Matcher;
use bellwether_model::series::{
    SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError, Value,
};
use bellwether_model::{Labels, MatchOp};

/// The series that the live engine makes of alerts.
pub(crate) const SYNTHETIC: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// Stored series that are not to be seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden {
    /// Names that the rules record.
    pub(crate) metrics: BTreeSet<String>,
    /// Alerts of the rules: their `ALERTS` and `ALERTS_FOR_STATE`.
    pub(crate) alerts: BTreeSet<String>,
}

/// Samples of one recorded series, ascending in time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    timestamps: Vec<i64>,
    floats: Vec<f64>,
    histograms: Vec<(i64, Arc<Histogram>)>,
}

/// What rules recorded, by metric name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded(BTreeMap<String, BTreeMap<Labels, Column>>);

/// A source with some series hidden and others added.
pub(crate) struct History<'a> {
    pub(crate) base: &'a dyn SeriesSource,
    pub(crate) hidden: &'a Hidden,
    pub(crate) recorded: &'a Recorded,
}

/// Where a series is; at least one of them. What was recorded is newer.
#[derive(Clone, Copy)]
struct Place {
    base: Option<usize>,
    recorded: Option<usize>,
}

struct Selected<'a> {
    base: Option<Box<dyn SeriesSet + 'a>>,
    recorded: Vec<(&'a Labels, &'a Column)>,
    order: Vec<Place>,
    min: i64,
    max: i64,
}

// === impl Hidden ===

impl Hidden {
    fn hides(&self, labels: &Labels) -> bool {
        let name = labels.get(METRIC_NAME);
        self.metrics.contains(name)
            || (SYNTHETIC.contains(&name) && self.alerts.contains(labels.get(ALERT_NAME)))
    }

    /// Whether a metric may have series of which some are hidden.
    fn may_hide(&self, name: &str) -> bool {
        self.metrics.contains(name) || (SYNTHETIC.contains(&name) && !self.alerts.is_empty())
    }
}

// === impl Column ===

impl Column {
    pub(crate) fn push(&mut self, timestamp: i64, value: Value) {
        match value {
            Value::Float(value) => {
                self.timestamps.push(timestamp);
                self.floats.push(value);
            }
            Value::Histogram(histogram) => self.histograms.push((timestamp, histogram)),
        }
    }

    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    /// Adds another's samples; two rules may record one series, the sample that was there first stays.
    fn merge(&mut self, other: Self) {
        let ahead = other.timestamps.first() > self.timestamps.last();
        if self.timestamps.is_empty() || other.timestamps.is_empty() || ahead {
            self.timestamps.extend(other.timestamps);
            self.floats.extend(other.floats);
        } else {
            let mut all: BTreeMap<i64, f64> =
                other.timestamps.into_iter().zip(other.floats).collect();
            all.extend(
                self.timestamps
                    .iter()
                    .copied()
                    .zip(self.floats.iter().copied()),
            );
            (self.timestamps, self.floats) = all.into_iter().unzip();
        }
        self.histograms.extend(other.histograms);
        self.histograms.sort_by_key(|(timestamp, _)| *timestamp);
    }

    fn drop_before(&mut self, min: i64) {
        let old = self.timestamps.partition_point(|t| *t < min);
        self.timestamps.drain(..old);
        self.floats.drain(..old);
        let old = self.histograms.partition_point(|(t, _)| *t < min);
        self.histograms.drain(..old);
    }

    fn read(&self, min: i64, max: i64, buffer: &mut SampleBuffer) {
        let from = self.timestamps.partition_point(|t| *t < min);
        let to = self.timestamps.partition_point(|t| *t <= max);
        buffer
            .timestamps
            .extend_from_slice(&self.timestamps[from..to]);
        buffer.floats.extend_from_slice(&self.floats[from..to]);
        let from = self.histograms.partition_point(|(t, _)| *t < min);
        let to = self.histograms.partition_point(|(t, _)| *t <= max);
        buffer
            .histograms
            .extend_from_slice(&self.histograms[from..to]);
    }

    fn touches(&self, min: i64, max: i64) -> bool {
        let from = self.timestamps.partition_point(|t| *t < min);
        self.timestamps.get(from).is_some_and(|t| *t <= max)
            || self.histograms.iter().any(|(t, _)| (min..=max).contains(t))
    }
}

// === impl Recorded ===

impl Recorded {
    pub(crate) fn add(&mut self, labels: Labels, column: Column) {
        let name = labels.get(METRIC_NAME);
        let series = match self.0.get_mut(name) {
            Some(series) => series,
            None => self.0.entry(name.to_owned()).or_default(),
        };
        series.entry(labels).or_default().merge(column);
    }

    pub(crate) fn push(&mut self, sample: RuleSample) {
        let mut column = Column::default();
        column.push(sample.timestamp, sample.value);
        self.add(sample.labels, column);
    }

    pub(crate) fn append(&mut self, other: Self) {
        for (_, series) in other.0 {
            for (labels, column) in series {
                self.add(labels, column);
            }
        }
    }

    /// Forgets samples of a metric before a time.
    pub(crate) fn drop_before(&mut self, min: &dyn Fn(&str) -> i64) {
        self.0.retain(|name, series| {
            let min = min(name);
            series.retain(|_, column| {
                column.drop_before(min);
                column.len() > 0
            });
            !series.is_empty()
        });
    }

    fn matching<'a>(
        &'a self,
        matchers: &[Matcher],
        min: i64,
        max: i64,
    ) -> Vec<(&'a Labels, &'a Column)> {
        let all: Vec<&BTreeMap<Labels, Column>> = match name_of(matchers) {
            Some(name) => self.0.get(name).into_iter().collect(),
            None => self.0.values().collect(),
        };
        all.into_iter()
            .flatten()
            .filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)))
            .filter(|(_, column)| column.touches(min, max))
            .collect()
    }
}

/// The metric that matchers name with `=`.
pub(crate) fn name_of(matchers: &[Matcher]) -> Option<&str> {
    matchers
        .iter()
        .find(|m| &*m.name == METRIC_NAME && m.op == MatchOp::Equal)
        .map(|m| &*m.value)
}

// === impl History ===

impl History<'_> {
    fn base_labels(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        let mut all = self.base.series(selectors, min, max)?;
        all.retain(|labels| !self.hidden.hides(labels));
        let none = [Vec::new()];
        let selectors = if selectors.is_empty() {
            &none
        } else {
            selectors
        };
        for matchers in selectors {
            let more = self.recorded.matching(matchers, min, max);
            all.extend(more.into_iter().map(|(labels, _)| labels.clone()));
        }
        all.sort();
        all.dedup();
        Ok(all)
    }
}

impl SeriesSource for History<'_> {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let Selection { matchers, min, max } = selection;
        let recorded = self.recorded.matching(matchers, *min, *max);
        let name = name_of(matchers);
        let base = match name {
            Some(name) if self.hidden.metrics.contains(name) => None,
            _ => Some(self.base.select(selection)?),
        };
        if recorded.is_empty() && name.is_some_and(|name| !self.hidden.may_hide(name)) {
            return Ok(base.expect("a metric that is not hidden was selected"));
        }
        let mut keyed: Vec<(&Labels, Place)> = Vec::new();
        if let Some(base) = &base {
            keyed.extend(
                (0..base.len())
                    .map(|index| {
                        let place = Place {
                            base: Some(index),
                            recorded: None,
                        };
                        (base.labels(index), place)
                    })
                    .filter(|(labels, _)| !self.hidden.hides(labels)),
            );
        }
        let more = recorded.iter().enumerate();
        keyed.extend(more.map(|(index, (labels, _))| {
            let place = Place {
                base: None,
                recorded: Some(index),
            };
            (*labels, place)
        }));
        keyed.sort_by(|a, b| a.0.cmp(b.0));
        keyed.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1.base = kept.1.base.or(next.1.base);
                kept.1.recorded = kept.1.recorded.or(next.1.recorded);
            }
            same
        });
        let order = keyed.into_iter().map(|(_, place)| place).collect();
        Ok(Box::new(Selected {
            base,
            recorded,
            order,
            min: *min,
            max: *max,
        }))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let all = self.base_labels(selectors, min, max)?;
        let names: BTreeSet<&str> = all.iter().flatten().map(|label| &*label.name).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let all = self.base_labels(selectors, min, max)?;
        let values: BTreeSet<&str> = all.iter().map(|labels| labels.get(name)).collect();
        let present = values.into_iter().filter(|value| !value.is_empty());
        Ok(present.map(str::to_owned).collect())
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        self.base_labels(selectors, min, max)
    }
}

impl SeriesSet for Selected<'_> {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        let place = self.order[index];
        match (place.recorded, place.base, &self.base) {
            (Some(index), ..) => self.recorded[index].0,
            (None, Some(index), Some(base)) => base.labels(index),
            _ => unreachable!("a series is somewhere"),
        }
    }

    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError> {
        let place = self.order[index];
        buffer.clear();
        if let (Some(index), Some(base)) = (place.base, &self.base) {
            base.read(index, buffer)?;
        }
        if let Some(index) = place.recorded {
            self.recorded[index].1.read(self.min, self.max, buffer);
        }
        Ok(())
    }
}
