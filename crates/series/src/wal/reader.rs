//! Reading a segment: every good record, and a note of everything else.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::record::{FRAME_LEN, MARK, PAYLOAD_MAX, Visit, checksum, visit};
use super::{HEADER_LEN, MAGIC, VERSION};
use crate::report::{Damage, DamageKind, OpenError};

/// Bytes searched at a time for the next record behind a damaged one.
const WINDOW: usize = 1 << 20;

/// What reading a segment found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) damage: Vec<Damage>,
    /// Length up to the last good record: what the file should be cut to when `torn`.
    pub(crate) good_len: u64,
    /// Whether the file ends in something that is no record.
    pub(crate) torn: bool,
}

struct Segment<'a> {
    path: &'a Path,
    file: File,
    len: u64,
    payload: Vec<u8>,
}

/// Reads a segment. `last` says that this is the newest one, where an unfinished record is what a power loss leaves.
pub(crate) fn read(path: &Path, last: bool, to: &mut dyn Visit) -> Result<Outcome, OpenError> {
    let fail = |source| OpenError::io("read log segment", path, source);
    let file = File::open(path).map_err(fail)?;
    let len = file.metadata().map_err(fail)?.len();
    let mut segment = Segment {
        path,
        file,
        len,
        payload: Vec::new(),
    };
    let mut outcome = Outcome::default();
    segment.header(last, &mut outcome)?;
    if outcome.torn && len < HEADER_LEN {
        return Ok(outcome);
    }
    segment.records(last, to, &mut outcome).map_err(fail)?;
    Ok(outcome)
}

// === impl Segment ===

impl Segment<'_> {
    fn damage(&self, kind: DamageKind, offset: u64, detail: &str) -> Damage {
        Damage {
            kind,
            path: self.path.to_owned(),
            offset,
            detail: detail.to_owned(),
        }
    }

    fn header(&self, last: bool, outcome: &mut Outcome) -> Result<(), OpenError> {
        let mut header = [0; HEADER_LEN as usize];
        if self.len < HEADER_LEN {
            let kind = if last {
                DamageKind::TornTail
            } else {
                DamageKind::BadSegment
            };
            outcome
                .damage
                .push(self.damage(kind, 0, "shorter than a segment header"));
            outcome.torn = true;
            return Ok(());
        }
        self.file
            .read_exact_at(&mut header, 0)
            .map_err(|source| OpenError::io("read log segment", self.path, source))?;
        let sum = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let found = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if &header[..8] != MAGIC || sum != crc32fast::hash(&header[..12]) {
            // The records carry their own marks and checksums: they are still good.
            outcome
                .damage
                .push(self.damage(DamageKind::BadRecord, 0, "segment header damaged"));
        } else if found > VERSION {
            return Err(OpenError::NewerVersion {
                path: self.path.to_owned(),
                found,
                known: VERSION,
            });
        }
        Ok(())
    }

    fn records(&mut self, last: bool, to: &mut dyn Visit, outcome: &mut Outcome) -> io::Result<()> {
        let mut position = HEADER_LEN;
        outcome.good_len = position;
        while position < self.len {
            if let Some(next) = self.record_at(position)? {
                if visit(&self.payload, to).is_none() {
                    outcome.damage.push(self.damage(
                        DamageKind::BadRecord,
                        position,
                        "record with a right checksum and unknown content",
                    ));
                }
                position = next;
                outcome.good_len = next;
                continue;
            }
            let Some(next) = self.find_record(position + 1)? else {
                let (kind, detail) = if last {
                    (DamageKind::TornTail, "unfinished record at the end")
                } else {
                    (DamageKind::BadSegment, "no good record from here on")
                };
                outcome.damage.push(self.damage(kind, position, detail));
                outcome.torn = true;
                return Ok(());
            };
            let detail = format!("{} bytes skipped to the next good record", next - position);
            outcome
                .damage
                .push(self.damage(DamageKind::BadRecord, position, &detail));
            position = next;
        }
        Ok(())
    }

    /// Loads the record at `position` if it is good, and returns where the next one starts.
    fn record_at(&mut self, position: u64) -> io::Result<Option<u64>> {
        let Some(room) = (self.len - position).checked_sub(FRAME_LEN as u64) else {
            return Ok(None);
        };
        let mut frame = [0; FRAME_LEN];
        self.file.read_exact_at(&mut frame, position)?;
        let len = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
        let sum = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]);
        if frame[..4] != MARK || len as usize > PAYLOAD_MAX || u64::from(len) > room {
            return Ok(None);
        }
        self.payload.resize(len as usize, 0);
        self.file
            .read_exact_at(&mut self.payload, position + FRAME_LEN as u64)?;
        if checksum(&self.payload) != sum {
            return Ok(None);
        }
        Ok(Some(position + FRAME_LEN as u64 + u64::from(len)))
    }

    /// First good record at or after `position`.
    fn find_record(&mut self, mut position: u64) -> io::Result<Option<u64>> {
        let mut window = Vec::new();
        while position < self.len {
            let size = (self.len - position).min(WINDOW as u64) as usize;
            window.resize(size, 0);
            self.file.read_exact_at(&mut window, position)?;
            for (index, bytes) in window.windows(MARK.len()).enumerate() {
                if bytes == MARK && self.record_at(position + index as u64)?.is_some() {
                    return Ok(Some(position + index as u64));
                }
            }
            if size <= MARK.len() {
                break;
            }
            // Windows overlap by the length of a mark.
            position += (size - MARK.len() + 1) as u64;
        }
        Ok(None)
    }
}
