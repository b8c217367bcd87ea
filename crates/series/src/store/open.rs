//! Opening: take the folder, check the blocks, replay the log.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bellwether_model::Labels;
use bellwether_model::series::Value;

use super::append::{make_folder, replay};
use super::{Counters, Log, Maintenance, Store};
use crate::block::reader::BlockError;
use crate::block::{self, Block};
use crate::disk::{Disk, FolderLock, sync_folder};
use crate::head::Head;
use crate::head::series::Series;
use crate::options::Options;
use crate::report::{OpenError, OpenReport};
use crate::wal::record::{RecordWriter, Visit};
use crate::wal::{self, Closed, Wal};

/// Late samples beyond an hour would fall behind the head's border.
const WINDOW_MAX: Duration = Duration::from_hours(1);

#[expect(
    clippy::disallowed_types,
    reason = "looked up for every replayed sample; never iterated"
)]
type SeriesByRef = std::collections::HashMap<u64, Arc<Series>>;

/// Puts the records of one segment into the head.
struct Replay<'a> {
    head: &'a Head,
    span: i64,
    known: SeriesByRef,
    samples: u64,
    orphaned: u64,
    oldest: i64,
    newest: i64,
    /// Newest sample of the segment, whether it was still wanted or not.
    segment_newest: i64,
}

impl Visit for Replay<'_> {
    fn series(&mut self, reference: u64, labels: Labels) {
        if let Ok(series) = self.head.resolve(&labels, usize::MAX) {
            self.known.insert(reference, series);
        }
    }

    fn sample(&mut self, reference: u64, time: i64, value: Value) {
        self.segment_newest = self.segment_newest.max(time);
        let Some(series) = self.known.get(&reference) else {
            self.orphaned += 1;
            return;
        };
        if replay(series, time, value, self.head.min_valid(), self.span) {
            self.samples += 1;
            self.oldest = self.oldest.min(time);
            self.newest = self.newest.max(time);
        }
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Store {
    /// Opens (or creates) the store in `dir` and replays its log. Damage does not stop it: it is in the report.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, OpenReport), OpenError> {
        let folder = |path: PathBuf| {
            make_folder(&path).map_err(|source| OpenError::io("create folder", &path, source))?;
            Ok::<_, OpenError>(path)
        };
        folder(dir.to_owned())?;
        let lock = FolderLock::take(dir)?;
        let block_dir = folder(dir.join("blocks"))?;
        let wal_dir = folder(dir.join("wal"))?;
        let mut report = OpenReport::default();
        let (blocks, next_block) = open_blocks(&block_dir, &mut report)?;
        let min_valid = blocks.iter().map(|block| block.contents.head_end).max();
        let head = Head::new(min_valid.unwrap_or(i64::MIN));
        let span = millis(options.block_span).clamp(1_000, 1 << 40);
        let replayed = replay_log(&wal_dir, &head, span, &mut report)?;
        report.blocks = blocks.len();
        report.series = head.table().live();
        let disk = Disk::new(options.disk_budget.clone());
        let wal = Wal::new(
            wal_dir,
            disk.clone(),
            options.segment_bytes,
            replayed.closed,
            replayed.next_number,
        );
        let store = Self {
            dir: dir.to_owned(),
            span,
            window: millis(options.out_of_order_window.min(WINDOW_MAX)),
            disk,
            head,
            log: Mutex::new(Log {
                wal,
                series: RecordWriter::default(),
                samples: RecordWriter::default(),
                appends: 0,
            }),
            synced: Mutex::new(0),
            blocks: RwLock::new(Arc::new(blocks)),
            maintenance: Mutex::new(Maintenance { next_block }),
            counters: Counters::new(replayed.bounds.0, replayed.bounds.1),
            options,
            _lock: lock,
        };
        Ok((store, report))
    }
}

/// Opens every good block; puts bad ones aside and finishes interrupted merges.
fn open_blocks(dir: &Path, report: &mut OpenReport) -> Result<(Vec<Arc<Block>>, u64), OpenError> {
    let fail = |source| OpenError::io("read block folder", dir, source);
    let ids = block::list(dir).map_err(fail)?;
    let mut blocks = Vec::new();
    for id in &ids {
        let path = block::path(dir, *id);
        match Block::open(&path) {
            Ok(block) => blocks.push(Arc::new(block)),
            Err(BlockError::Io(source)) => return Err(OpenError::io("open block", &path, source)),
            Err(BlockError::Newer(found)) => {
                return Err(OpenError::NewerVersion {
                    path,
                    found,
                    known: block::VERSION,
                });
            }
            Err(BlockError::Damaged(damage)) => {
                report.damage.push(damage);
                put_aside(&path).map_err(|source| OpenError::io("put aside", &path, source))?;
            }
        }
    }
    let replaced: BTreeSet<u64> = blocks
        .iter()
        .flat_map(|block| block.contents.replaces.iter().copied())
        .collect();
    for block in blocks.iter().filter(|b| replaced.contains(&b.contents.id)) {
        fs::remove_file(&block.path).map_err(fail)?;
    }
    blocks.retain(|block| !replaced.contains(&block.contents.id));
    blocks.sort_by_key(|block| (block.contents.start, block.contents.id));
    let next = ids.iter().chain(&replaced).max().map_or(1, |id| id + 1);
    Ok((blocks, next))
}

/// Renames a bad block so that it is not opened again, and stays for whoever wants to look at it.
pub(super) fn put_aside(path: &Path) -> std::io::Result<()> {
    fs::rename(path, path.with_extension("bad"))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// What a replay leaves for the log that continues.
struct Replayed {
    closed: Vec<Closed>,
    next_number: u32,
    /// Oldest and newest sample in the head.
    bounds: (i64, i64),
}

/// Replays all segments; cuts the newest back to its last good record.
fn replay_log(
    dir: &Path,
    head: &Head,
    span: i64,
    report: &mut OpenReport,
) -> Result<Replayed, OpenError> {
    let fail = |source| OpenError::io("read log folder", dir, source);
    let numbers = wal::list(dir).map_err(fail)?;
    let mut closed = Vec::new();
    let mut bounds = (i64::MAX, i64::MIN);
    for (index, number) in numbers.iter().enumerate() {
        let path = wal::segment_path(dir, *number);
        let last = index + 1 == numbers.len();
        let mut to = Replay {
            head,
            span,
            known: SeriesByRef::default(),
            samples: 0,
            orphaned: 0,
            oldest: bounds.0,
            newest: bounds.1,
            segment_newest: i64::MIN,
        };
        let outcome = wal::reader::read(&path, last, &mut to)?;
        bounds = (to.oldest, to.newest);
        report.samples += to.samples;
        report.orphaned += to.orphaned;
        report.segments += 1;
        report.damage.extend(outcome.damage);
        if outcome.torn && last {
            let cut = |source| OpenError::io("cut log segment", &path, source);
            if outcome.good_len == 0 {
                // Not even its header was whole.
                fs::remove_file(&path).map_err(cut)?;
                continue;
            }
            let file = fs::File::options().write(true).open(&path).map_err(cut)?;
            file.set_len(outcome.good_len).map_err(cut)?;
            file.sync_all().map_err(cut)?;
        }
        closed.push(Closed {
            number: *number,
            bytes: fs::metadata(&path).map_err(fail)?.len(),
            max_time: to.segment_newest,
        });
    }
    Ok(Replayed {
        closed,
        next_number: numbers.last().map_or(1, |number| number + 1),
        bounds,
    })
}
