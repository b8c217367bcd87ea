//! One block: index, chunk segments and tombstones.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::labels::{Label, Labels};
use bellwether_model::series::SampleBuffer;

use super::checksum::crc32c;
use super::chunk::decode_floats;
use crate::codec::bytes::Reader;
use crate::index::LabelIndex;
use crate::report::{Damage, DamageKind};

const INDEX_MAGIC: u32 = 0xbaaa_d700;
const TOMBSTONES_MAGIC: u32 = 0x0130_ba30;
const CHUNKS_MAGIC: u32 = 0x85bd_40dd;
const TOC_LEN: u64 = 6 * 8 + 4;
/// Longest section, series entry and chunk that is believed.
const SECTION_MAX: u32 = 1 << 30;
const ENTRY_MAX: u64 = 64 << 20;
const FLOATS: u8 = 1;

type ValueOffsets = BTreeMap<Box<str>, u64>;

/// A block of Prometheus.
#[derive(Debug)]
pub(super) struct ForeignBlock {
    path: PathBuf,
    index: File,
    index_len: u64,
    segments: Vec<File>,
    symbols: Vec<Arc<str>>,
    postings: BTreeMap<Box<str>, ValueOffsets>,
    /// Deleted stretches by series.
    tombstones: BTreeMap<u32, Vec<(i64, i64)>>,
}

/// A chunk as the index describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) min: i64,
    pub(super) max: i64,
    reference: u64,
}

fn damage(path: &Path, offset: u64, detail: impl Into<String>) -> Damage {
    Damage {
        kind: DamageKind::BadBlock,
        path: path.to_owned(),
        offset,
        detail: detail.into(),
    }
}

fn be32(bytes: &[u8]) -> u32 {
    bytes
        .get(..4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}

fn be64(bytes: &[u8]) -> u64 {
    u64::from(be32(bytes)) << 32 | u64::from(be32(bytes.get(4..).unwrap_or_default()))
}

/// Reads `len` bytes, or fewer at the end of the file.
fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], offset + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

// === impl ForeignBlock ===

impl ForeignBlock {
    pub(super) fn open(path: &Path) -> Result<Self, Damage> {
        let failed = |error: io::Error| damage(path, 0, error.to_string());
        let index = File::open(path.join("index")).map_err(failed)?;
        let index_len = index.metadata().map_err(failed)?.len();
        let mut block = Self {
            path: path.to_owned(),
            index,
            index_len,
            segments: Vec::new(),
            symbols: Vec::new(),
            postings: BTreeMap::new(),
            tombstones: BTreeMap::new(),
        };
        block.read_index()?;
        block.open_segments().map_err(failed)?;
        block.read_tombstones()?;
        Ok(block)
    }

    /// First and last millisecond, as the block's `meta.json` says. It has no checksum: good for a default, not for
    /// leaving data out.
    pub(super) fn bounds(&self) -> (i64, i64) {
        let text = fs::read_to_string(self.path.join("meta.json")).unwrap_or_default();
        let number = |name: &str| {
            let (_, rest) = text.split_once(name)?;
            let rest = rest.trim_start_matches(['"', ':', ' ']);
            let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse::<i64>().ok()
        };
        let max = number("\"maxTime").map(|max| max.saturating_sub(1));
        (number("\"minTime").unwrap_or(0), max.unwrap_or(0))
    }

    fn bad(&self, offset: u64, detail: &str) -> Damage {
        damage(&self.path, offset, detail)
    }

    fn index_bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>, Damage> {
        read_at(&self.index, offset, len).map_err(|error| self.bad(offset, &error.to_string()))
    }

    /// A section of the index: length, content, checksum.
    fn section(&self, offset: u64) -> Result<Vec<u8>, Damage> {
        let len = be32(&self.index_bytes(offset, 4)?);
        if len > SECTION_MAX || offset.saturating_add(u64::from(len) + 8) > self.index_len {
            return Err(self.bad(offset, "index section lies outside the file"));
        }
        let mut bytes = self.index_bytes(offset + 4, len as usize + 4)?;
        let sum = be32(bytes.get(len as usize..).unwrap_or_default());
        bytes.truncate(len as usize);
        if crc32c(&bytes) != sum {
            return Err(self.bad(offset, "index section checksum"));
        }
        Ok(bytes)
    }

    fn read_index(&mut self) -> Result<(), Damage> {
        let header = self.index_bytes(0, 5)?;
        if be32(&header) != INDEX_MAGIC || self.index_len < TOC_LEN + 5 {
            return Err(self.bad(0, "index header"));
        }
        if header.get(4) != Some(&2) {
            return Err(self.bad(4, "only index version 2 is known"));
        }
        let at = self.index_len - TOC_LEN;
        let toc = self.index_bytes(at, TOC_LEN as usize)?;
        if toc.len() as u64 != TOC_LEN || crc32c(&toc[..48]) != be32(&toc[48..]) {
            return Err(self.bad(at, "table of contents checksum"));
        }
        let symbols_at = be64(&toc);
        let symbols = self.section(symbols_at)?;
        self.symbols = read_symbols(&symbols).ok_or_else(|| self.bad(symbols_at, "symbols"))?;
        let table_at = be64(&toc[40..]);
        let table = self.section(table_at)?;
        self.postings =
            read_postings_table(&table).ok_or_else(|| self.bad(table_at, "postings table"))?;
        Ok(())
    }

    fn open_segments(&mut self) -> io::Result<()> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.path.join("chunks"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()?;
        paths.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.parse::<u32>().is_ok())
        });
        paths.sort();
        for path in paths {
            let file = File::open(path)?;
            let header = read_at(&file, 0, 8)?;
            if be32(&header) != CHUNKS_MAGIC || header.get(4) != Some(&1) {
                return Err(io::Error::other("unknown kind of chunk segment"));
            }
            self.segments.push(file);
        }
        Ok(())
    }

    fn read_tombstones(&mut self) -> Result<(), Damage> {
        let path = self.path.join("tombstones");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(damage(&path, 0, error.to_string())),
        };
        let tombstones = parse_tombstones(&bytes);
        self.tombstones = tombstones.ok_or_else(|| damage(&path, 0, "tombstones"))?;
        Ok(())
    }

    /// Labels and chunks of a series.
    pub(super) fn series(&self, number: u32) -> Result<(Labels, Vec<Chunk>), Damage> {
        let offset = u64::from(number) * 16;
        let bytes = self.checked(&self.index, offset, 0)?;
        self.parse_series(&bytes)
            .ok_or_else(|| self.bad(offset, "series entry"))
    }

    /// Something that starts with its length and ends with its checksum; `extra` bytes belong to it beside the length.
    fn checked(&self, file: &File, offset: u64, extra: usize) -> Result<Vec<u8>, Damage> {
        const GUESS: usize = 1024;
        let failed = |error: io::Error| self.bad(offset, &error.to_string());
        let mut bytes = read_at(file, offset, GUESS).map_err(failed)?;
        let mut reader = Reader::new(&bytes);
        let len = reader.varint().filter(|len| *len <= ENTRY_MAX);
        let Some(len) = len else {
            return Err(self.bad(offset, "length"));
        };
        let len = len as usize + extra;
        let head = bytes.len() - reader.len();
        if bytes.len() < head + len + 4 {
            bytes = read_at(file, offset, head + len + 4).map_err(failed)?;
        }
        let (Some(body), Some(sum)) = (bytes.get(head..head + len), bytes.get(head + len..)) else {
            return Err(self.bad(offset, "cut short"));
        };
        if sum.len() < 4 || crc32c(body) != be32(sum) {
            return Err(self.bad(offset, "checksum"));
        }
        Ok(body.to_vec())
    }

    fn parse_series(&self, bytes: &[u8]) -> Option<(Labels, Vec<Chunk>)> {
        let mut reader = Reader::new(bytes);
        let count = reader.count()?;
        let mut labels: Vec<Label> = Vec::with_capacity(count);
        for _ in 0..count {
            let name = self.symbols.get(usize::try_from(reader.varint()?).ok()?)?;
            let value = self.symbols.get(usize::try_from(reader.varint()?).ok()?)?;
            if value.is_empty() || labels.last().is_some_and(|last| last.name >= *name) {
                return None;
            }
            labels.push(Label {
                name: Arc::clone(name),
                value: Arc::clone(value),
            });
        }
        let count = reader.count()?;
        let mut chunks: Vec<Chunk> = Vec::with_capacity(count);
        for _ in 0..count {
            let (min, reference) = match chunks.last() {
                None => (reader.signed()?, None),
                Some(before) => (
                    before.max.wrapping_add(reader.varint()? as i64),
                    Some(before.reference),
                ),
            };
            let max = min.wrapping_add(reader.varint()? as i64);
            let reference = match reference {
                None => reader.varint()?,
                Some(before) => before.wrapping_add(reader.signed()? as u64),
            };
            chunks.push(Chunk {
                min,
                max,
                reference,
            });
        }
        Some((Labels::from_sorted(labels), chunks))
    }

    /// Decodes a chunk of series `number`, appending to `buffer` what was not deleted.
    pub(super) fn read(
        &self,
        number: u32,
        chunk: &Chunk,
        buffer: &mut SampleBuffer,
    ) -> Result<(), Damage> {
        let offset = chunk.reference & 0xffff_ffff;
        let Some(file) = self.segments.get((chunk.reference >> 32) as usize) else {
            return Err(self.bad(offset, "a chunk in a segment that is not there"));
        };
        let bytes = self.checked(file, offset, 1)?;
        let first = buffer.timestamps.len();
        match bytes.split_first() {
            Some((&FLOATS, data)) => {
                decode_floats(data, buffer).ok_or_else(|| self.bad(offset, "chunk content"))?;
            }
            _ => return Err(self.bad(offset, "native histograms are not read yet")),
        }
        for (from, to) in self.tombstones.get(&number).into_iter().flatten() {
            let mut kept = first;
            for index in first..buffer.timestamps.len() {
                let time = buffer.timestamps[index];
                if time < *from || time > *to {
                    buffer.timestamps[kept] = time;
                    buffer.floats[kept] = buffer.floats[index];
                    kept += 1;
                }
            }
            buffer.timestamps.truncate(kept);
            buffer.floats.truncate(kept);
        }
        Ok(())
    }

    fn list(&self, offset: u64) -> Result<Vec<u32>, Damage> {
        let bytes = self.section(offset)?;
        let numbers = bytes.get(4..).unwrap_or_default();
        if numbers.len() != be32(&bytes) as usize * 4 {
            return Err(self.bad(offset, "postings"));
        }
        Ok(numbers.chunks_exact(4).map(be32).collect())
    }
}

fn read_symbols(bytes: &[u8]) -> Option<Vec<Arc<str>>> {
    let count = be32(bytes) as usize;
    let mut reader = Reader::new(bytes.get(4..)?);
    if count > reader.len() {
        return None;
    }
    (0..count).map(|_| reader.str().map(Arc::from)).collect()
}

fn read_postings_table(bytes: &[u8]) -> Option<BTreeMap<Box<str>, ValueOffsets>> {
    let count = be32(bytes);
    let mut reader = Reader::new(bytes.get(4..)?);
    let mut out: BTreeMap<Box<str>, ValueOffsets> = BTreeMap::new();
    for _ in 0..count {
        if reader.varint()? != 2 {
            return None;
        }
        let (name, value) = (reader.str()?, reader.str()?);
        let offset = reader.varint()?;
        out.entry(name.into())
            .or_default()
            .insert(value.into(), offset);
    }
    Some(out)
}

/// Tombstones: magic, version, (series, from, to) until the checksum, which covers what follows the magic.
pub(super) fn parse_tombstones(bytes: &[u8]) -> Option<BTreeMap<u32, Vec<(i64, i64)>>> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let content = body.get(5..)?;
    let checked = crc32c(body.get(4..)?) == be32(sum) || crc32c(content) == be32(sum);
    if be32(body) != TOMBSTONES_MAGIC || body.get(4) != Some(&1) || !checked {
        return None;
    }
    let mut reader = Reader::new(content);
    let mut out: BTreeMap<u32, Vec<(i64, i64)>> = BTreeMap::new();
    while !reader.is_empty() {
        let number = u32::try_from(reader.varint()?).ok()?;
        let stretch = (reader.signed()?, reader.signed()?);
        out.entry(number).or_default().push(stretch);
    }
    Some(out)
}

impl LabelIndex for ForeignBlock {
    type Error = Damage;

    fn all(&self) -> Result<Vec<u32>, Damage> {
        // The list of the empty label holds every series.
        let every = self.postings.get("").and_then(|values| values.get(""));
        every.map_or_else(|| Ok(Vec::new()), |offset| self.list(*offset))
    }

    fn postings(&self, name: &str, value: &str) -> Result<Cow<'_, [u32]>, Damage> {
        let found = self.postings.get(name).and_then(|values| values.get(value));
        match found {
            Some(offset) if !name.is_empty() => self.list(*offset).map(Cow::Owned),
            _ => Ok(Cow::Borrowed(&[])),
        }
    }

    fn postings_where(
        &self,
        name: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Cow<'_, [u32]>>, Damage> {
        if name.is_empty() {
            return Ok(Vec::new());
        }
        self.postings
            .get(name)
            .into_iter()
            .flatten()
            .filter(|(value, _)| keep(value))
            .map(|(_, offset)| self.list(*offset).map(Cow::Owned))
            .collect()
    }
}
