//! What rules of this tick gave, laid over the source the next ones read.

use std::collections::BTreeMap;

use bellwether_model::Labels;
use bellwether_model::matcher::Matcher;
use bellwether_model::series::{
    SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError, Value, is_stale,
};

use crate::engine::RuleSample;

/// A source with a few newer samples, at most one per series.
pub(super) struct Overlay<'a> {
    base: &'a dyn SeriesSource,
    newer: BTreeMap<Labels, (i64, Value)>,
}

struct OverlaySet<'a> {
    base: Box<dyn SeriesSet + 'a>,
    /// Sorted by labels: place in `base` and newer sample, at least one of them.
    series: Vec<Entry<'a>>,
}

struct Entry<'a> {
    base: Option<usize>,
    newer: Option<(&'a Labels, &'a (i64, Value))>,
}

// === impl Overlay ===

impl<'a> Overlay<'a> {
    pub(super) fn new(base: &'a dyn SeriesSource) -> Self {
        Self {
            base,
            newer: BTreeMap::new(),
        }
    }

    /// Adds what one rule gave. A stale marker does not hide a value another rule gave for the same series.
    pub(super) fn add(&mut self, samples: &[RuleSample]) {
        for sample in samples {
            let stale = matches!(sample.value, Value::Float(value) if is_stale(value));
            if stale && self.newer.contains_key(&sample.labels) {
                continue;
            }
            self.newer.insert(
                sample.labels.clone(),
                (sample.timestamp, sample.value.clone()),
            );
        }
    }

    fn matching(&self, selectors: &[Vec<Matcher>], min: i64, max: i64) -> Vec<&Labels> {
        self.newer
            .iter()
            .filter(|(_, (timestamp, _))| (min..=max).contains(timestamp))
            .map(|(labels, _)| labels)
            .filter(|labels| {
                selectors.is_empty()
                    || selectors
                        .iter()
                        .any(|all| all.iter().all(|m| m.matches_labels(labels)))
            })
            .collect()
    }
}

fn merged<T: Ord>(mut names: Vec<T>, more: Vec<T>) -> Vec<T> {
    names.extend(more);
    names.sort();
    names.dedup();
    names
}

impl SeriesSource for Overlay<'_> {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let base = self.base.select(selection)?;
        let mut newer: BTreeMap<&Labels, &(i64, Value)> = self
            .newer
            .iter()
            .filter(|(_, (timestamp, _))| (selection.min..=selection.max).contains(timestamp))
            .filter(|(labels, _)| selection.matchers.iter().all(|m| m.matches_labels(labels)))
            .collect();
        if newer.is_empty() {
            return Ok(base);
        }
        let mut keyed: Vec<(Labels, Entry<'_>)> = (0..base.len())
            .map(|index| {
                let labels = base.labels(index).clone();
                let newer = self
                    .newer
                    .get_key_value(&labels)
                    .filter(|(labels, _)| newer.remove(labels).is_some());
                let entry = Entry {
                    base: Some(index),
                    newer,
                };
                (labels, entry)
            })
            .collect();
        keyed.extend(newer.into_iter().map(|(labels, sample)| {
            let entry = Entry {
                base: None,
                newer: Some((labels, sample)),
            };
            (labels.clone(), entry)
        }));
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        let series = keyed.into_iter().map(|(_, entry)| entry).collect();
        Ok(Box::new(OverlaySet { base, series }))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let more = self
            .matching(selectors, min, max)
            .into_iter()
            .flat_map(|labels| labels.iter().map(|label| label.name.to_string()))
            .collect();
        Ok(merged(self.base.label_names(selectors, min, max)?, more))
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let more = self
            .matching(selectors, min, max)
            .into_iter()
            .map(|labels| labels.get(name).to_owned())
            .filter(|value| !value.is_empty())
            .collect();
        Ok(merged(
            self.base.label_values(name, selectors, min, max)?,
            more,
        ))
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        let more = self
            .matching(selectors, min, max)
            .into_iter()
            .cloned()
            .collect();
        Ok(merged(self.base.series(selectors, min, max)?, more))
    }
}

impl SeriesSet for OverlaySet<'_> {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        let entry = &self.series[index];
        match (entry.base, entry.newer) {
            (Some(index), _) => self.base.labels(index),
            (None, Some((labels, _))) => labels,
            (None, None) => unreachable!("an entry has a base series or a newer sample"),
        }
    }

    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError> {
        let entry = &self.series[index];
        buffer.clear();
        if let Some(index) = entry.base {
            self.base.read(index, buffer)?;
        }
        if let Some((_, (timestamp, value))) = entry.newer {
            let last_float = buffer.timestamps.last().copied().unwrap_or(i64::MIN);
            let last_histogram = buffer.histograms.last().map_or(i64::MIN, |sample| sample.0);
            // What is stored already stays: a slot evaluated twice changes nothing.
            if last_float.max(last_histogram) < *timestamp {
                buffer.push(*timestamp, value.clone());
            }
        }
        Ok(())
    }
}
