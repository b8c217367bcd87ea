//! Several sources as one: the store and a Prometheus folder, say.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::series::{SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError};
use bellwether_model::{Labels, Matcher};

use crate::head::series::sort;

#[cfg(test)]
mod tests;

/// Reads from all its sources. Of two samples of a series at one time, that of the source named first is served.
pub struct MergedSource {
    sources: Vec<Arc<dyn SeriesSource>>,
}

struct MergedSet<'a> {
    sets: Vec<Box<dyn SeriesSet + 'a>>,
    /// Labels, and where the series is: which set, which number.
    items: Vec<(Labels, Vec<(usize, usize)>)>,
}

impl MergedSource {
    pub fn new(sources: Vec<Arc<dyn SeriesSource>>) -> Self {
        Self { sources }
    }

    fn union<T: Ord>(
        &self,
        ask: impl Fn(&dyn SeriesSource) -> Result<Vec<T>, SourceError>,
    ) -> Result<Vec<T>, SourceError> {
        let mut all = BTreeSet::new();
        for source in &self.sources {
            all.extend(ask(&**source)?);
        }
        Ok(all.into_iter().collect())
    }
}

impl SeriesSet for MergedSet<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.items[index].0
    }

    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError> {
        let parts = &self.items[index].1;
        if let [(set, number)] = parts[..] {
            return self.sets[set].read(number, buffer);
        }
        buffer.clear();
        let mut part = SampleBuffer::default();
        for (set, number) in parts {
            self.sets[*set].read(*number, &mut part)?;
            buffer.timestamps.append(&mut part.timestamps);
            buffer.floats.append(&mut part.floats);
            buffer.histograms.append(&mut part.histograms);
        }
        sort(buffer, (0, 0));
        Ok(())
    }
}

impl SeriesSource for MergedSource {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let sets = self
            .sources
            .iter()
            .map(|source| source.select(selection))
            .collect::<Result<Vec<_>, _>>()?;
        let mut found: Vec<(Labels, usize, usize)> = Vec::new();
        for (place, set) in sets.iter().enumerate() {
            found.extend((0..set.len()).map(|number| (set.labels(number).clone(), place, number)));
        }
        found.sort();
        let mut items: Vec<(Labels, Vec<(usize, usize)>)> = Vec::new();
        for (labels, place, number) in found {
            match items.last_mut().filter(|item| item.0 == labels) {
                Some(item) => item.1.push((place, number)),
                None => items.push((labels, vec![(place, number)])),
            }
        }
        Ok(Box::new(MergedSet { sets, items }))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        self.union(|source| source.label_names(selectors, min, max))
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        self.union(|source| source.label_values(name, selectors, min, max))
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        self.union(|source| source.series(selectors, min, max))
    }
}
