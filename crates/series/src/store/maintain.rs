//! Maintenance: head to blocks, blocks to larger ones, old blocks away, damaged blocks aside.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_model::series::SampleBuffer;
use jiff::Timestamp;

use super::open::{millis, put_aside};
use super::{Maintenance, Store, lock};
use crate::block::reader::BlockError;
use crate::block::{Block, BlockWriter, Plan};
use crate::report::{MaintainReport, SnapshotError};
use crate::wal::segment_path;

impl Store {
    /// Writes full spans of the head to blocks, merges blocks, deletes what is past retention, puts damaged blocks
    /// aside. Call it every half minute or so from a thread that may block; appends and reads go on meanwhile.
    pub fn maintain(&self, now: Timestamp) -> MaintainReport {
        let mut maintenance = lock(&self.maintenance);
        let mut report = MaintainReport::default();
        self.rescue_damaged(&mut maintenance, &mut report);
        if let Err(error) = self.compact_head(&mut maintenance, now, &mut report) {
            report
                .failures
                .push(format!("could not write a block from the head: {error}"));
        }
        self.merge_blocks(&mut maintenance, &mut report);
        self.retain(now, &mut report);
        report
    }

    /// Writes every span that is complete: no sample that would still be accepted can fall into it.
    fn compact_head(
        &self,
        maintenance: &mut Maintenance,
        now: Timestamp,
        report: &mut MaintainReport,
    ) -> io::Result<()> {
        // One sample from the future must not push the present out of the head.
        let newest = self.counters.newest.load(Ordering::SeqCst);
        let newest = newest.min(now.as_millisecond());
        let grace = (self.span / 2).max(self.window);
        loop {
            let oldest = self.counters.oldest.load(Ordering::SeqCst);
            if oldest > newest {
                return Ok(());
            }
            let start = oldest.div_euclid(self.span).saturating_mul(self.span);
            let end = start.saturating_add(self.span);
            if newest < end.saturating_add(grace) {
                return Ok(());
            }
            self.compact_span(maintenance, start, end, report)?;
        }
    }

    fn compact_span(
        &self,
        maintenance: &mut Maintenance,
        start: i64,
        end: i64,
        report: &mut MaintainReport,
    ) -> io::Result<()> {
        {
            // From here on no append adds to the span.
            let _log = lock(&self.log);
            self.head.set_min_valid(self.head.min_valid().max(end));
        }
        let mut series = self.head.all();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let plan = Plan {
            start,
            end,
            head_end: end,
            replaces: Vec::new(),
        };
        let mut writer = self.block_writer(maintenance, plan)?;
        let mut buffer = SampleBuffer::default();
        for series in &series {
            buffer.clear();
            series.lock().read(start, end - 1, &mut buffer);
            writer.add(&series.labels, &buffer)?;
        }
        if !writer.is_empty() {
            self.publish(writer, &[])?;
            report.written += 1;
        }
        report.series_dropped += self.head.truncate(end);
        self.measure_oldest();
        let mut log = lock(&self.log);
        if log.wal.has_samples() {
            log.wal.cut()?;
        }
        log.wal.drop_before(end)
    }

    /// Finds the oldest sample in the head again, while no append changes it.
    fn measure_oldest(&self) {
        let _log = lock(&self.log);
        let oldest = self
            .head
            .all()
            .iter()
            .filter_map(|series| series.lock().figures().time)
            .map(|(oldest, _)| oldest)
            .min();
        let oldest = oldest.unwrap_or(i64::MAX);
        self.counters.oldest.store(oldest, Ordering::SeqCst);
    }

    pub(super) fn block_writer(
        &self,
        maintenance: &mut Maintenance,
        plan: Plan,
    ) -> io::Result<BlockWriter> {
        let id = maintenance.next_block;
        maintenance.next_block += 1;
        BlockWriter::create(&self.dir.join("blocks"), &self.disk, id, plan)
    }

    /// Finishes a block and puts it in the place of `replaced`, which are removed from disk.
    pub(super) fn publish(&self, writer: BlockWriter, replaced: &[Arc<Block>]) -> io::Result<()> {
        let path = writer.finish()?;
        let block = Block::open(&path).map_err(|error| match error {
            BlockError::Io(error) => error,
            BlockError::Damaged(damage) => io::Error::other(damage.to_string()),
            BlockError::Newer(_) => io::Error::other("a block of another version appeared"),
        })?;
        self.change_blocks(|blocks| {
            blocks.retain(|known| replaced.iter().all(|gone| !Arc::ptr_eq(known, gone)));
            blocks.push(Arc::new(block));
        });
        for gone in replaced {
            remove_file(&gone.path)?;
        }
        Ok(())
    }

    /// Replaces each block that turned out damaged by one with what can still be read of it.
    fn rescue_damaged(&self, maintenance: &mut Maintenance, report: &mut MaintainReport) {
        for block in self.blocks().iter() {
            let Some(damage) = block.damage() else {
                continue;
            };
            if let Err(error) = self.rescue(maintenance, block) {
                report.failures.push(format!(
                    "could not put the damaged block {} aside: {error}",
                    block.path.display()
                ));
                continue;
            }
            report.damage.push(damage);
        }
    }

    fn rescue(&self, maintenance: &mut Maintenance, block: &Arc<Block>) -> io::Result<()> {
        let plan = Plan {
            start: block.contents.start,
            end: block.contents.end,
            head_end: block.contents.head_end,
            replaces: vec![block.contents.id],
        };
        let mut writer = self.block_writer(maintenance, plan)?;
        let mut whole = SampleBuffer::default();
        let mut part = SampleBuffer::default();
        for number in 0..block.series() {
            let Ok(entry) = block.entry(number) else {
                continue;
            };
            whole.clear();
            for meta in &entry.chunks {
                part.clear();
                if block.chunk(meta, &mut part).is_ok() {
                    whole.timestamps.append(&mut part.timestamps);
                    whole.floats.append(&mut part.floats);
                    whole.histograms.append(&mut part.histograms);
                }
            }
            writer.add(&entry.labels, &whole)?;
        }
        if writer.is_empty() {
            drop(writer);
        } else {
            self.publish(writer, &[])?;
        }
        put_aside(&block.path)?;
        self.change_blocks(|blocks| blocks.retain(|known| !Arc::ptr_eq(known, block)));
        Ok(())
    }

    /// Deletes blocks that are past retention, by time and by size.
    fn retain(&self, now: Timestamp, report: &mut MaintainReport) {
        let horizon = now
            .as_millisecond()
            .saturating_sub(millis(self.options.retention));
        let blocks = self.blocks();
        let mut total = lock(&self.log).wal.bytes();
        total += blocks.iter().map(|block| block.bytes).sum::<u64>();
        let limit = self.options.retention_bytes.unwrap_or(u64::MAX);
        for block in blocks.iter() {
            if block.contents.max >= horizon && total <= limit {
                continue;
            }
            if let Err(error) = remove_file(&block.path) {
                report.failures.push(format!(
                    "could not delete the old block {}: {error}",
                    block.path.display()
                ));
                continue;
            }
            total -= block.bytes;
            self.change_blocks(|blocks| blocks.retain(|known| !Arc::ptr_eq(known, block)));
            report.deleted += 1;
        }
    }

    /// Writes a copy of the store as it is now into the empty or missing folder `to`; it opens as a store. Blocks are
    /// linked where the file system can, so that a copy on the same disk costs little.
    pub fn snapshot(&self, to: &Path) -> Result<(), SnapshotError> {
        let fail = |source| SnapshotError::Io {
            path: to.to_owned(),
            source,
        };
        // Nothing may be merged or deleted meanwhile.
        let _maintenance = lock(&self.maintenance);
        fs::create_dir_all(to).map_err(fail)?;
        if fs::read_dir(to).map_err(fail)?.next().is_some() {
            return Err(SnapshotError::NotEmpty {
                path: to.to_owned(),
            });
        }
        self.copy_to(to).map_err(fail)
    }

    fn copy_to(&self, to: &Path) -> io::Result<()> {
        let (block_dir, wal_dir) = (to.join("blocks"), to.join("wal"));
        fs::create_dir(&block_dir)?;
        fs::create_dir(&wal_dir)?;
        // The log first: what is in no block is in it, and what moves to a block meanwhile cannot (maintenance waits).
        let segments = lock(&self.log).wal.segments();
        let source = lock(&self.log).wal.dir().to_owned();
        for (number, len) in segments {
            let target = segment_path(&wal_dir, number);
            let from = fs::File::open(segment_path(&source, number))?;
            let mut into = fs::File::create_new(&target)?;
            io::copy(&mut io::Read::take(from, len), &mut into)?;
            into.sync_all()?;
        }
        for block in self.blocks().iter() {
            let Some(name) = block.path.file_name() else {
                continue;
            };
            let target = block_dir.join(name);
            if fs::hard_link(&block.path, &target).is_err() {
                fs::copy(&block.path, &target)?;
                fs::File::open(&target)?.sync_all()?;
            }
        }
        for folder in [&block_dir, &wal_dir] {
            crate::disk::sync_folder(folder)?;
        }
        crate::disk::sync_folder(to)
    }
}

/// Removes a file; that it is gone already is fine.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
