//! Prometheus' own blocks, read in place: index version 2, float chunks, tombstones.
//!
//! Format: `tsdb/docs/format` in Prometheus' repository. Its log and head chunks are not read (a Prometheus that was shut
//! down cleanly and restarted with its admin snapshot has everything in blocks), nor are native histograms, which fail the
//! query that meets them.

mod block;
mod checksum;
mod chunk;

#[cfg(test)]
mod tests;

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

/// Blocks of a Prometheus data folder, read only. Prometheus may go on using the folder; blocks that it writes later are
/// seen after [`PrometheusFolder::open`] is called again.
#[derive(Debug)]
pub struct PrometheusFolder {
    blocks: Vec<ForeignBlock>,
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
    /// Place of a block, and the series number there.
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
    /// Opens every block in `dir`; blocks that cannot be read are left out and reported.
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
        Ok((Self { blocks }, damage))
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
            let block = &self.folder.blocks[*place];
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
