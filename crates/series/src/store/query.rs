//! Reading: the head first, the blocks after it, so that nothing is missed while samples move from one to the other.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bellwether_model::series::{SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError};
use bellwether_model::{Labels, Matcher};

use super::Store;
use crate::block::Block;
use crate::block::reader::Entry;
use crate::head::series::{Series, sort, trim};
use crate::index::matching;
use crate::report::Damage;

/// Where samples of a series are.
enum Part {
    Head(Arc<Series>),
    /// Place in the set's list of blocks, and number of the series there.
    Block(u32, u32),
}

struct Item {
    labels: Labels,
    head: Option<Arc<Series>>,
    blocks: Vec<(u32, u32)>,
}

/// Series a selection found. It keeps its blocks open, also when they are merged or deleted meanwhile.
struct Selected<'a> {
    store: &'a Store,
    items: Vec<Item>,
    blocks: Vec<Arc<Block>>,
    /// Newest block that was known when the set was made.
    last_block: u64,
    min: i64,
    max: i64,
}

fn source_error(damage: Damage) -> SourceError {
    SourceError::Io(damage.to_string())
}

impl Store {
    fn find(&self, matchers: &[Matcher], min: i64, max: i64) -> Result<Selected<'_>, SourceError> {
        let mut found: Vec<(Labels, Part)> = Vec::new();
        let limit = self.options.max_selected_series;
        {
            let table = self.head.table();
            let numbers = match matching(&table.postings, matchers) {
                Ok(numbers) => numbers,
                Err(never) => match never {},
            };
            for number in numbers {
                let Some(series) = table.by_number(number) else {
                    continue;
                };
                if series.lock().overlaps(min, max) {
                    found.push((series.labels.clone(), Part::Head(Arc::clone(series))));
                }
            }
        }
        let all = self.blocks();
        let last_block = all.iter().map(|block| block.contents.id).max();
        let hit = |block: &&Arc<Block>| block.contents.min <= max && block.contents.max >= min;
        let blocks: Vec<Arc<Block>> = all.iter().filter(hit).cloned().collect();
        for (place, block) in blocks.iter().enumerate() {
            for number in matching(&**block, matchers).map_err(source_error)? {
                let entry = block.entry(number).map_err(source_error)?;
                if entry.overlaps(min, max) {
                    found.push((entry.labels, Part::Block(place as u32, number)));
                }
            }
            if found.len() > limit.saturating_mul(blocks.len() + 1) {
                return Err(SourceError::TooManySeries { limit });
            }
        }
        let items = group(found);
        if items.len() > limit {
            return Err(SourceError::TooManySeries { limit });
        }
        Ok(Selected {
            store: self,
            items,
            blocks,
            last_block: last_block.unwrap_or(0),
            min,
            max,
        })
    }

    /// Labels of the series that match any of `selectors`, sorted.
    fn find_labels(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        let all = [Vec::new()];
        let selectors = if selectors.is_empty() {
            &all[..]
        } else {
            selectors
        };
        let mut out = Vec::new();
        for selector in selectors {
            let found = self.find(selector, min, max)?;
            out.extend(found.items.into_iter().map(|item| item.labels));
        }
        if selectors.len() > 1 {
            out.sort();
            out.dedup();
        }
        Ok(out)
    }

    /// Whether the head may hold a sample of the range.
    fn head_overlaps(&self, min: i64, max: i64) -> bool {
        let oldest = self.counters.oldest.load(Relaxed);
        let newest = self.counters.newest.load(Relaxed);
        oldest <= max && newest >= min
    }

    fn blocks_in(&self, min: i64, max: i64) -> Vec<Arc<Block>> {
        let hit = |block: &&Arc<Block>| block.contents.min <= max && block.contents.max >= min;
        self.blocks().iter().filter(hit).cloned().collect()
    }
}

/// Brings the parts of each series together, sorted by labels.
fn group(mut found: Vec<(Labels, Part)>) -> Vec<Item> {
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut items: Vec<Item> = Vec::new();
    for (labels, part) in found {
        let known = items.last_mut().filter(|item| item.labels == labels);
        let item = match known {
            Some(item) => item,
            None => {
                items.push(Item {
                    labels,
                    head: None,
                    blocks: Vec::new(),
                });
                let last = items.len() - 1;
                &mut items[last]
            }
        };
        match part {
            Part::Head(series) => item.head = Some(series),
            Part::Block(place, number) => item.blocks.push((place, number)),
        }
    }
    items
}

fn start(buffer: &SampleBuffer) -> (usize, usize) {
    (buffer.timestamps.len(), buffer.histograms.len())
}

/// Appends the samples of a series in a block.
pub(super) fn read_entry(
    block: &Block,
    entry: &Entry,
    min: i64,
    max: i64,
    buffer: &mut SampleBuffer,
) -> Result<(), Damage> {
    let first = start(buffer);
    for meta in &entry.chunks {
        if meta.min <= max && meta.max >= min {
            block.chunk(meta, buffer)?;
        }
    }
    trim(buffer, first, min, max);
    Ok(())
}

// === impl Entry ===

impl Entry {
    fn overlaps(&self, min: i64, max: i64) -> bool {
        self.chunks
            .iter()
            .any(|chunk| chunk.min <= max && chunk.max >= min)
    }
}

// === impl Selected ===

impl Selected<'_> {
    /// Blocks that appeared since the set was made: they may hold what has left the head meanwhile.
    fn read_new_blocks(&self, labels: &Labels, buffer: &mut SampleBuffer) -> Result<(), Damage> {
        for block in self.store.blocks().iter() {
            let new = block.contents.id > self.last_block;
            let wanted = block.contents.min <= self.max && block.contents.max >= self.min;
            if new
                && wanted
                && let Some(entry) = block.find(labels)?
            {
                read_entry(block, &entry, self.min, self.max, buffer)?;
            }
        }
        Ok(())
    }

    fn read_parts(&self, item: &Item, buffer: &mut SampleBuffer) -> Result<(), Damage> {
        let mut recent = SampleBuffer::default();
        if let Some(series) = &item.head {
            series.lock().read(self.min, self.max, &mut recent);
        }
        for (place, number) in &item.blocks {
            let block = &self.blocks[*place as usize];
            let entry = block.entry(*number)?;
            read_entry(block, &entry, self.min, self.max, buffer)?;
        }
        if item.head.is_some() {
            self.read_new_blocks(&item.labels, buffer)?;
        }
        if buffer.timestamps.is_empty() && buffer.histograms.is_empty() {
            std::mem::swap(buffer, &mut recent);
        } else {
            buffer.timestamps.append(&mut recent.timestamps);
            buffer.floats.append(&mut recent.floats);
            buffer.histograms.append(&mut recent.histograms);
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

impl SeriesSource for Store {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let found = self.find(&selection.matchers, selection.min, selection.max)?;
        Ok(Box::new(found))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        if selectors.is_empty() {
            // As Prometheus: what is asked for completion need not be exact to the sample, the indexes answer.
            if self.head_overlaps(min, max) {
                let table = self.head.table();
                names.extend(table.postings.counts().map(|(name, _)| name.to_owned()));
            }
            for block in self.blocks_in(min, max) {
                names.extend(block.label_names().map(str::to_owned));
            }
            return Ok(names.into_iter().collect());
        }
        for labels in self.find_labels(selectors, min, max)? {
            for label in &labels {
                if !names.contains(&*label.name) {
                    names.insert(label.name.to_string());
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let mut values: BTreeSet<String> = BTreeSet::new();
        if selectors.is_empty() {
            if self.head_overlaps(min, max) {
                let table = self.head.table();
                values.extend(table.postings.values(name).map(str::to_owned));
            }
            for block in self.blocks_in(min, max) {
                values.extend(block.label_values(name).map(str::to_owned));
            }
            return Ok(values.into_iter().collect());
        }
        for labels in self.find_labels(selectors, min, max)? {
            let value = labels.get(name);
            if !value.is_empty() && !values.contains(value) {
                values.insert(value.to_owned());
            }
        }
        Ok(values.into_iter().collect())
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        self.find_labels(selectors, min, max)
    }
}

/// The series of several blocks in order of their labels, each with the blocks that have it.
pub(super) struct MergeCursor<'a> {
    blocks: &'a [Arc<Block>],
    next: Vec<(u32, Option<Entry>)>,
}

impl<'a> MergeCursor<'a> {
    pub(super) fn new(blocks: &'a [Arc<Block>]) -> Result<Self, Damage> {
        let next = blocks
            .iter()
            .map(|block| Ok((0, (block.series() > 0).then(|| block.entry(0)).transpose()?)))
            .collect::<Result<_, Damage>>()?;
        Ok(Self { blocks, next })
    }

    /// The next series with its samples of all blocks; fills `buffer`.
    pub(super) fn next(&mut self, buffer: &mut SampleBuffer) -> Result<Option<Labels>, Damage> {
        let entries = self.next.iter().filter_map(|(_, entry)| entry.as_ref());
        let least = entries.map(|entry| &entry.labels).min().cloned();
        let Some(labels) = least else {
            return Ok(None);
        };
        buffer.clear();
        for (block, (number, slot)) in self.blocks.iter().zip(&mut self.next) {
            let Some(entry) = slot else { continue };
            if entry.labels.cmp(&labels) != Ordering::Equal {
                continue;
            }
            read_entry(block, entry, i64::MIN, i64::MAX, buffer)?;
            *number += 1;
            *slot = (*number < block.series())
                .then(|| block.entry(*number))
                .transpose()?;
        }
        sort(buffer, (0, 0));
        Ok(Some(labels))
    }
}
