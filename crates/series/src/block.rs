//! Blocks: immutable files, each with the samples of one stretch of time, all their labels, and an index.
//!
//! Layout: `docs/formats/series.md`. A block is written under a temporary name, synced and renamed; it names the blocks
//! it replaces, so a crash between the rename and their removal is put right at the next start.

pub(crate) mod reader;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::codec::bytes::{Reader, put_signed, put_varint};
use crate::codec::{Encoding, Zone};

pub(crate) use reader::Block;
pub(crate) use writer::BlockWriter;

pub(crate) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"BWSERBLK";
/// Magic, version, checksum of both.
const HEADER_LEN: u64 = 16;
/// Length, checksum and magic of the table of contents.
const FOOTER_LEN: u64 = 24;
const SUFFIX: &str = "block";

/// What a block says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Ascends with every block ever written to a folder.
    pub(crate) id: u64,
    /// Stretch of time it stands for, `start` inclusive, `end` exclusive. Samples lie inside.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The head has handed over everything before this; the least value for imported blocks.
    pub(crate) head_end: i64,
    /// Oldest and newest sample, both inclusive.
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// Blocks it was merged from, which it replaces.
    pub(crate) replaces: Vec<u64>,
    pub(crate) series: u64,
    pub(crate) samples: u64,
    pub(crate) chunks: u64,
    /// Byte ranges of the parts, and the checksum of the last.
    entries: (u64, u64),
    postings: (u64, u64),
    index: (u64, u64),
    index_sum: u32,
}

/// What a block that is to be written stands for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) head_end: i64,
    pub(crate) replaces: Vec<u64>,
}

/// Where a chunk is and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChunkMeta {
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) count: u32,
    pub(crate) encoding: Encoding,
    pub(crate) offset: u64,
    /// Length without the checksum that follows.
    pub(crate) len: u32,
    /// Absent for histograms.
    pub(crate) zone: Option<Zone>,
}

pub(crate) fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:012}.{SUFFIX}"))
}

/// Ids of the blocks in a folder, ascending; temporary files that a crash left are removed.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|ext| ext.to_str());
        if extension == Some("tmp") {
            fs::remove_file(&path)?;
        } else if extension == Some(SUFFIX) {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            ids.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

fn header() -> [u8; HEADER_LEN as usize] {
    let mut header = [0; HEADER_LEN as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&sum.to_le_bytes());
    header
}

// === impl Contents ===

impl Contents {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.id);
        for time in [self.start, self.end, self.head_end, self.min, self.max] {
            put_signed(&mut out, time);
        }
        put_varint(&mut out, self.replaces.len() as u64);
        for id in &self.replaces {
            put_varint(&mut out, *id);
        }
        for number in [self.series, self.samples, self.chunks] {
            put_varint(&mut out, number);
        }
        for (offset, len) in [self.entries, self.postings, self.index] {
            put_varint(&mut out, offset);
            put_varint(&mut out, len);
        }
        out.extend_from_slice(&self.index_sum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let id = reader.varint()?;
        let [start, end, head_end, min, max] = [
            reader.signed()?,
            reader.signed()?,
            reader.signed()?,
            reader.signed()?,
            reader.signed()?,
        ];
        let replaced = reader.count()?;
        let replaces = (0..replaced)
            .map(|_| reader.varint())
            .collect::<Option<_>>()?;
        let [series, samples, chunks] = [reader.varint()?, reader.varint()?, reader.varint()?];
        let mut parts = [(0, 0); 3];
        for part in &mut parts {
            *part = (reader.varint()?, reader.varint()?);
        }
        Some(Self {
            id,
            start,
            end,
            head_end,
            min,
            max,
            replaces,
            series,
            samples,
            chunks,
            entries: parts[0],
            postings: parts[1],
            index: parts[2],
            index_sum: reader.u32()?,
        })
    }
}

// === impl ChunkMeta ===

impl ChunkMeta {
    /// Appends the description; `before` is the time and the offset where the chunk before ended.
    fn encode(&self, out: &mut Vec<u8>, before: (i64, u64)) {
        put_signed(out, self.min.wrapping_sub(before.0));
        put_varint(out, self.max.wrapping_sub(self.min) as u64);
        put_varint(out, u64::from(self.count));
        out.push(self.encoding.code());
        put_varint(out, self.offset - before.1);
        put_varint(out, u64::from(self.len));
        if let Some(zone) = self.zone {
            out.push(u8::from(zone.special));
            for value in [zone.min, zone.max, zone.first, zone.last, zone.reset_sum] {
                let bits = value.to_bits().to_be_bytes();
                let len = 8 - (value.to_bits().trailing_zeros() / 8) as usize;
                out.push(len as u8);
                out.extend_from_slice(&bits[..len]);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>, before: (i64, u64)) -> Option<Self> {
        let min = before.0.wrapping_add(reader.signed()?);
        let max = min.wrapping_add(reader.varint()? as i64);
        let count = u32::try_from(reader.varint()?).ok()?;
        let encoding = Encoding::from_code(reader.byte()?)?;
        let offset = before.1.checked_add(reader.varint()?)?;
        let len = u32::try_from(reader.varint()?).ok()?;
        let zone = match encoding {
            Encoding::Histogram => None,
            Encoding::Xor | Encoding::Decimal => Some(decode_zone(reader)?),
        };
        Some(Self {
            min,
            max,
            count,
            encoding,
            offset,
            len,
            zone,
        })
    }

    /// Time and offset after this chunk, from which the next one is described.
    fn end(&self) -> (i64, u64) {
        (self.max, self.offset + u64::from(self.len) + 4)
    }
}

fn decode_zone(reader: &mut Reader<'_>) -> Option<Zone> {
    let special = reader.byte()? != 0;
    let mut values = [0.0; 5];
    for value in &mut values {
        let len = usize::from(reader.byte()?);
        let mut bits = [0; 8];
        bits.get_mut(..len)?.copy_from_slice(reader.take(len)?);
        *value = f64::from_bits(u64::from_be_bytes(bits));
    }
    let [min, max, first, last, reset_sum] = values;
    Some(Zone {
        min,
        max,
        first,
        last,
        reset_sum,
        special,
    })
}
