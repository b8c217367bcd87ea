//! The write-ahead log: numbered segments of checksummed records.
//!
//! Every segment stands alone: a series is described in each segment that has samples of it, before the first of them.
//! So a damaged segment harms no other, and an old segment is dropped by deleting its file. Layout:
//! `docs/formats/series.md`.

pub(crate) mod reader;
pub(crate) mod record;

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, sync_folder};

pub(crate) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"BWSERLOG";
/// Magic, version, checksum of both.
pub(crate) const HEADER_LEN: u64 = 16;

/// A segment that is no longer written to.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    /// Newest sample in it; once blocks cover this time, the segment can go.
    pub(crate) max_time: i64,
}

/// The segment that is being written.
#[derive(Debug)]
struct Active {
    number: u32,
    file: File,
    bytes: u64,
    series_bytes: u64,
    max_time: i64,
}

/// The log of one store. Not shared: the store holds it behind its append lock.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: PathBuf,
    disk: Disk,
    segment_bytes: u64,
    closed: Vec<Closed>,
    active: Option<Active>,
    next_number: u32,
}

pub(crate) fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

/// Numbers of the segments in a folder, ascending.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log"))
            .filter(|stem| stem.len() >= 8)
            .and_then(|stem| stem.parse::<u32>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn header() -> [u8; HEADER_LEN as usize] {
    let mut header = [0; HEADER_LEN as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&sum.to_le_bytes());
    header
}

// === impl Wal ===

impl Wal {
    /// A log that continues after the `closed` segments in `dir`.
    pub(crate) fn new(
        dir: PathBuf,
        disk: Disk,
        segment_bytes: u64,
        closed: Vec<Closed>,
        next_number: u32,
    ) -> Self {
        Self {
            dir,
            disk,
            segment_bytes,
            closed,
            active: None,
            next_number,
        }
    }

    /// Makes sure a segment is open and returns its number: series not described in it must be, before their samples.
    pub(crate) fn begin(&mut self) -> io::Result<u32> {
        if let Some(active) = &self.active {
            let allowed = self.segment_bytes.max(5 * active.series_bytes);
            if active.bytes < allowed {
                return Ok(active.number);
            }
            self.cut()?;
        }
        let number = self.next_number;
        let path = segment_path(&self.dir, number);
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)?;
        // The number is spent even if the header does not fit, so that a half-made file is never reused.
        self.next_number += 1;
        let created = self
            .disk
            .write_all(&mut file, &header())
            .and_then(|()| sync_folder(&self.dir));
        if let Err(error) = created {
            // Nothing was acknowledged from this file; if it stays it is found torn and cut at the next start.
            drop(fs::remove_file(&path));
            return Err(error);
        }
        self.active = Some(Active {
            number,
            file,
            bytes: HEADER_LEN,
            series_bytes: 0,
            max_time: i64::MIN,
        });
        Ok(number)
    }

    /// Writes whole records, or nothing: what did not fit is cut off again.
    pub(crate) fn write(
        &mut self,
        records: &[u8],
        series_bytes: usize,
        max_time: i64,
    ) -> io::Result<()> {
        let Some(active) = &mut self.active else {
            return Err(io::Error::other("no log segment is open"));
        };
        if let Err(error) = self.disk.write_all(&mut active.file, records) {
            let cut = active
                .file
                .set_len(active.bytes)
                .and_then(|()| active.file.seek(SeekFrom::Start(active.bytes)));
            if cut.is_err() {
                // The segment ends in a torn record now; the next append opens another one. What is good in it may
                // still have to reach the disk; the error to report is the first one.
                drop(active.file.sync_data());
                self.retire();
            }
            return Err(error);
        }
        active.bytes += records.len() as u64;
        active.series_bytes += series_bytes as u64;
        active.max_time = active.max_time.max(max_time);
        Ok(())
    }

    /// A handle to the segment being written, to sync it without holding up appends.
    pub(crate) fn handle(&self) -> io::Result<Option<File>> {
        self.active
            .as_ref()
            .map(|active| active.file.try_clone())
            .transpose()
    }

    /// Ends the segment being written, after forcing it to disk.
    pub(crate) fn cut(&mut self) -> io::Result<()> {
        if let Some(active) = &self.active {
            active.file.sync_data()?;
            sync_folder(&self.dir)?;
        }
        self.retire();
        Ok(())
    }

    /// Ends the segment being written as it is.
    pub(crate) fn retire(&mut self) {
        if let Some(active) = self.active.take() {
            self.closed.push(Closed {
                number: active.number,
                bytes: active.bytes,
                max_time: active.max_time,
            });
        }
    }

    /// Whether the segment being written holds samples.
    pub(crate) fn has_samples(&self) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.max_time > i64::MIN)
    }

    /// Deletes closed segments whose samples are all older than `time`.
    pub(crate) fn drop_before(&mut self, time: i64) -> io::Result<()> {
        let mut kept = Vec::new();
        let mut result = Ok(());
        for segment in self.closed.drain(..) {
            let gone = segment.max_time < time && result.is_ok();
            if gone {
                match fs::remove_file(segment_path(&self.dir, segment.number)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
                    _ => continue,
                }
            }
            kept.push(segment);
        }
        self.closed = kept;
        result
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number and length of each segment, for a copy.
    pub(crate) fn segments(&self) -> Vec<(u32, u64)> {
        let closed = self.closed.iter().map(|c| (c.number, c.bytes));
        let active = self.active.iter().map(|a| (a.number, a.bytes));
        closed.chain(active).collect()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments().iter().map(|(_, bytes)| bytes).sum()
    }
}
