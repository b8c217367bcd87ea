//! A Prometheus' data folder, read in place: blocks (index version 2, float chunks, tombstones) and, for what is in no
//! block yet, the write-ahead log.
//!
//! Format: `tsdb/docs/format` in Prometheus' repository. Native histograms in chunks of blocks are not read: they fail the
//! query that meets them.

mod block;
mod checksum;
mod chunk;
mod log;
mod writer;

#[cfg(test)]
mod tests;

pub use writer::write_prometheus_blocks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::series::{SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError};
use bellwether_model::{Labels, Matcher};

use crate::head::series::{sort, trim};
use crate::index::matching;
use crate::report::Damage;
use block::{Chunk, ForeignBlock};
use log::ForeignLog;

/// Blocks and log of a Prometheus data folder, read only. Prometheus may go on using the folder; what it writes later is
/// seen after [`PrometheusFolder::open`] is called again. The log (the last two to three hours) is in memory.
#[derive(Debug)]
pub struct PrometheusFolder {
    blocks: Vec<ForeignBlock>,
    log: ForeignLog,
}

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read Prometheus' data folder {path}", path = .path.display())]
pub struct PrometheusError {
    pub path: PathBuf,
    #[source]
    pub source: std::io::Error,
}

struct Item {
    labels: Labels,
    /// Place of a block (that of the log is one past the last), and the series number there.
    parts: Vec<(usize, u32)>,
}

struct Selected<'a> {
    folder: &'a PrometheusFolder,
    items: Vec<Item>,
    min: i64,
    max: i64,
}

fn source_error(damage: Damage) -> SourceError {
    SourceError::Io(damage.to_string())
}

fn overlaps(chunks: &[Chunk], min: i64, max: i64) -> bool {
    chunks
        .iter()
        .any(|chunk| chunk.min <= max && chunk.max >= min)
}

// === impl PrometheusFolder ===

impl PrometheusFolder {
    /// Opens every block in `dir` and reads the log; what cannot be read is left out and reported.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Damage>), PrometheusError> {
        let fail = |source| PrometheusError {
            path: dir.to_owned(),
            source,
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let temporary = path.extension().is_some();
            if !temporary && path.join("meta.json").is_file() && path.join("index").is_file() {
                paths.push(path);
            }
        }
        // Names are ULIDs, which sort by time of writing; of two samples at one time the newest block's stays.
        paths.sort_by(|a, b| b.cmp(a));
        let mut blocks = Vec::new();
        let mut damage = Vec::new();
        for path in paths {
            match ForeignBlock::open(&path) {
                Ok(block) => blocks.push(block),
                Err(found) => damage.push(found),
            }
        }
        let log = ForeignLog::open(dir, &mut damage);
        Ok((Self { blocks, log }, damage))
    }

    /// Oldest and newest sample, as far as blocks and log tell without reading samples of blocks.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        let blocks = self.blocks.iter().map(ForeignBlock::bounds);
        let log = self.log.series.iter().flat_map(|(_, buffer)| {
            let floats = buffer.timestamps.first().zip(buffer.timestamps.last());
            let histograms = buffer.histograms.first().zip(buffer.histograms.last());
            let histograms = histograms.map(|((first, _), (last, _))| (*first, *last));
            floats
                .map(|(first, last)| (*first, *last))
                .into_iter()
                .chain(histograms)
        });
        blocks
            .chain(log)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn find(&self, matchers: &[Matcher], min: i64, max: i64) -> Result<Vec<Item>, Damage> {
        let mut found = Vec::new();
        for (place, block) in self.blocks.iter().enumerate() {
            for number in matching(block, matchers)? {
                let (labels, chunks) = block.series(number)?;
                if overlaps(&chunks, min, max) {
                    found.push((labels, place, number));
                }
            }
        }
        for (number, (labels, buffer)) in self.log.series.iter().enumerate() {
            let inside = |time: &i64| (min..=max).contains(time);
            let any = buffer.timestamps.iter().any(inside)
                || buffer.histograms.iter().any(|(time, _)| inside(time));
            if any && matchers.iter().all(|m| m.matches_labels(labels)) {
                found.push((labels.clone(), self.blocks.len(), number as u32));
            }
        }
        found.sort();
        let mut items: Vec<Item> = Vec::new();
        for (labels, place, number) in found {
            match items.last_mut().filter(|item| item.labels == labels) {
                Some(item) => item.parts.push((place, number)),
                None => items.push(Item {
                    labels,
                    parts: vec![(place, number)],
                }),
            }
        }
        Ok(items)
    }

    fn find_labels(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<BTreeSet<Labels>, SourceError> {
        let all = [Vec::new()];
        let selectors = if selectors.is_empty() {
            &all[..]
        } else {
            selectors
        };
        let mut out = BTreeSet::new();
        for selector in selectors {
            let items = self.find(selector, min, max).map_err(source_error)?;
            out.extend(items.into_iter().map(|item| item.labels));
        }
        Ok(out)
    }
}

impl Selected<'_> {
    fn read_parts(&self, item: &Item, buffer: &mut SampleBuffer) -> Result<(), Damage> {
        for (place, number) in &item.parts {
            let Some(block) = self.folder.blocks.get(*place) else {
                let (_, samples) = &self.folder.log.series[*number as usize];
                let first = (buffer.timestamps.len(), buffer.histograms.len());
                buffer.timestamps.extend_from_slice(&samples.timestamps);
                buffer.floats.extend_from_slice(&samples.floats);
                buffer.histograms.extend_from_slice(&samples.histograms);
                trim(buffer, first, self.min, self.max);
                continue;
            };
            let (_, chunks) = block.series(*number)?;
            for chunk in chunks {
                if chunk.min > self.max || chunk.max < self.min {
                    continue;
                }
                let first = (buffer.timestamps.len(), buffer.histograms.len());
                block.read(*number, &chunk, buffer)?;
                trim(buffer, first, self.min, self.max);
            }
        }
        sort(buffer, (0, 0));
        Ok(())
    }
}

impl SeriesSet for Selected<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.items[index].labels
    }

    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError> {
        buffer.clear();
        self.read_parts(&self.items[index], buffer)
            .map_err(source_error)
    }
}

impl SeriesSource for PrometheusFolder {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let (min, max) = (selection.min, selection.max);
        let items = self
            .find(&selection.matchers, min, max)
            .map_err(source_error)?;
        Ok(Box::new(Selected {
            folder: self,
            items,
            min,
            max,
        }))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let found = self.find_labels(selectors, min, max)?;
        let names: BTreeSet<Arc<str>> = found
            .iter()
            .flatten()
            .map(|label| Arc::clone(&label.name))
            .collect();
        Ok(names.iter().map(ToString::to_string).collect())
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let found = self.find_labels(selectors, min, max)?;
        let values: BTreeSet<&str> = found.iter().map(|labels| labels.get(name)).collect();
        let present = values.into_iter().filter(|value| !value.is_empty());
        Ok(present.map(str::to_owned).collect())
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        let found = self.find_labels(selectors, min, max)?;
        Ok(found.into_iter().collect())
    }
}
