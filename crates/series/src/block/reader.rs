//! Reading a block: checked at every step, by position, without loading more than is asked for.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use bellwether_model::labels::{Label, Labels};
use bellwether_model::series::SampleBuffer;

use super::{ChunkMeta, Contents, FOOTER_LEN, HEADER_LEN, MAGIC, VERSION};
use crate::codec::bytes::Reader;
use crate::codec::{Encoding, decode_floats, histogram};
use crate::index::LabelIndex;
use crate::report::{Damage, DamageKind};

/// Longest index and chunk that is believed.
const INDEX_MAX: u64 = 4 << 30;
const CHUNK_MAX: u32 = 64 << 20;

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) contents: Contents,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    file: File,
    symbols: Vec<Arc<str>>,
    /// Where each series entry starts, relative to the part; one more than there are series.
    entry_starts: Vec<u64>,
    names: Vec<Name>,
    /// First damage found since it was opened: the next maintenance puts the block aside.
    damage: Mutex<Option<Damage>>,
}

#[derive(Debug)]
struct Name {
    symbol: u32,
    values: Vec<List>,
}

#[derive(Debug)]
struct List {
    value: u32,
    offset: u64,
    len: u32,
    count: u32,
}

/// Why a block cannot be opened.
#[derive(Debug)]
pub(crate) enum BlockError {
    Io(io::Error),
    Damaged(Damage),
    Newer(u32),
}

/// Labels and chunks of one series.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<ChunkMeta>,
}

impl From<io::Error> for BlockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn damaged(path: &Path, offset: u64, detail: &str) -> BlockError {
    BlockError::Damaged(Damage {
        kind: DamageKind::BadBlock,
        path: path.to_owned(),
        offset,
        detail: detail.to_owned(),
    })
}

fn read_part(
    file: &File,
    path: &Path,
    (offset, len): (u64, u64),
    end: u64,
) -> Result<Vec<u8>, BlockError> {
    let inside = offset.checked_add(len).is_some_and(|to| to <= end);
    if !inside || len > INDEX_MAX {
        return Err(damaged(path, offset, "a part lies outside the file"));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

// === impl Block ===

impl Block {
    /// Opens a block and checks header, table of contents and index.
    pub(crate) fn open(path: &Path) -> Result<Self, BlockError> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        if len < HEADER_LEN + FOOTER_LEN {
            return Err(damaged(path, 0, "shorter than an empty block"));
        }
        let header = read_part(&file, path, (0, HEADER_LEN), len)?;
        let mut reader = Reader::new(&header[8..]);
        let (version, sum) = (reader.u32().unwrap_or(0), reader.u32().unwrap_or(0));
        if &header[..8] != MAGIC || sum != crc32fast::hash(&header[..12]) {
            return Err(damaged(path, 0, "header checksum"));
        }
        if version > VERSION {
            return Err(BlockError::Newer(version));
        }
        let contents = read_contents(&file, path, len)?;
        let index = read_part(&file, path, contents.index, len)?;
        if crc32fast::hash(&index) != contents.index_sum {
            return Err(damaged(path, contents.index.0, "index checksum"));
        }
        let mut block = Self {
            contents,
            path: path.to_owned(),
            bytes: len,
            file,
            symbols: Vec::new(),
            entry_starts: Vec::new(),
            names: Vec::new(),
            damage: Mutex::new(None),
        };
        if block.load_index(&index).is_none() {
            return Err(damaged(path, block.contents.index.0, "index content"));
        }
        Ok(block)
    }

    fn load_index(&mut self, bytes: &[u8]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        let count = reader.count()?;
        self.symbols = (0..count)
            .map(|_| reader.str().map(Arc::from))
            .collect::<Option<_>>()?;
        let count = reader.count()?;
        let mut start = 0_u64;
        self.entry_starts = Vec::with_capacity(count + 1);
        self.entry_starts.push(0);
        for _ in 0..count {
            start = start.checked_add(reader.varint()?)?;
            self.entry_starts.push(start);
        }
        let mut offset = self.contents.postings.0;
        for _ in 0..reader.count()? {
            let symbol = u32::try_from(reader.varint()?).ok()?;
            let value = u32::try_from(reader.varint()?).ok()?;
            self.symbols.get(symbol as usize)?;
            self.symbols.get(value as usize)?;
            let len = u32::try_from(reader.varint()?).ok()?;
            let list_count = u32::try_from(reader.varint()?).ok()?;
            let list = List {
                value,
                offset,
                len,
                count: list_count,
            };
            offset = offset.checked_add(u64::from(len))?;
            match self.names.last_mut() {
                Some(name) if name.symbol == symbol => name.values.push(list),
                _ => self.names.push(Name {
                    symbol,
                    values: vec![list],
                }),
            }
        }
        let postings_end = self.contents.postings.0 + self.contents.postings.1;
        (start == self.contents.entries.1
            && count as u64 == self.contents.series
            && offset == postings_end
            && reader.is_empty())
        .then_some(())
    }

    /// Notes damage found while reading, and returns it.
    fn note(&self, offset: u64, detail: &str) -> Damage {
        let damage = Damage {
            kind: DamageKind::BadBlock,
            path: self.path.clone(),
            offset,
            detail: detail.to_owned(),
        };
        let mut noted = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get_or_insert_with(|| damage.clone());
        damage
    }

    /// Damage found since the block was opened.
    pub(crate) fn damage(&self) -> Option<Damage> {
        self.damage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads bytes that end in their checksum, and returns them without it.
    fn read_checked(&self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>, Damage> {
        if len < 4 || offset.checked_add(len).is_none_or(|end| end > self.bytes) {
            return Err(self.note(offset, &format!("{what} lies outside the file")));
        }
        let mut bytes = vec![0; len as usize];
        if let Err(error) = self.file.read_exact_at(&mut bytes, offset) {
            return Err(self.note(offset, &format!("{what} cannot be read: {error}")));
        }
        let at = bytes.len() - 4;
        let sum = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        bytes.truncate(at);
        if crc32fast::hash(&bytes) != sum {
            return Err(self.note(offset, &format!("{what} checksum")));
        }
        Ok(bytes)
    }

    pub(crate) fn series(&self) -> u32 {
        (self.entry_starts.len() - 1) as u32
    }

    /// Labels and chunks of a series.
    pub(crate) fn entry(&self, number: u32) -> Result<Entry, Damage> {
        let index = number as usize;
        let bounds = self
            .entry_starts
            .get(index)
            .zip(self.entry_starts.get(index + 1));
        let Some((from, to)) = bounds else {
            return Err(self.note(self.contents.postings.0, "postings name an unknown series"));
        };
        let offset = self.contents.entries.0 + from;
        let bytes = self.read_checked(offset, to - from, "series entry")?;
        self.decode_entry(&bytes)
            .ok_or_else(|| self.note(offset, "series entry content"))
    }

    fn decode_entry(&self, bytes: &[u8]) -> Option<Entry> {
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
        let mut chunks = Vec::with_capacity(count);
        let mut before = (0, 0);
        for _ in 0..count {
            let meta = ChunkMeta::decode(&mut reader, before)?;
            before = meta.end();
            chunks.push(meta);
        }
        reader.is_empty().then(|| Entry {
            labels: Labels::from_sorted(labels),
            chunks,
        })
    }

    /// Decodes a chunk, appending to `buffer`.
    pub(crate) fn chunk(&self, meta: &ChunkMeta, buffer: &mut SampleBuffer) -> Result<(), Damage> {
        if meta.len > CHUNK_MAX {
            return Err(self.note(meta.offset, "chunk too long"));
        }
        let bytes = self.read_checked(meta.offset, u64::from(meta.len) + 4, "chunk")?;
        let count = meta.count as usize;
        let decoded = match meta.encoding {
            Encoding::Histogram => histogram::decode(&bytes, count, &mut buffer.histograms),
            encoding => decode_floats(
                encoding,
                &bytes,
                count,
                &mut buffer.timestamps,
                &mut buffer.floats,
            ),
        };
        decoded.ok_or_else(|| self.note(meta.offset, "chunk content"))
    }

    /// The series with these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Result<Option<Entry>, Damage> {
        let (mut low, mut high) = (0, self.series());
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle)?;
            match entry.labels.cmp(labels) {
                std::cmp::Ordering::Equal => return Ok(Some(entry)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let index = self
            .names
            .binary_search_by(|known| (*self.symbols[known.symbol as usize]).cmp(name))
            .ok()?;
        self.names.get(index)
    }

    /// Label names in order.
    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .map(|name| &*self.symbols[name.symbol as usize])
    }

    /// Values of a label in order.
    pub(crate) fn label_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.name(name)
            .into_iter()
            .flat_map(|name| &name.values)
            .map(|list| &*self.symbols[list.value as usize])
    }

    fn load(&self, list: &List) -> Result<Vec<u32>, Damage> {
        let bytes = self.read_checked(list.offset, u64::from(list.len), "postings")?;
        let mut reader = Reader::new(&bytes);
        let mut number = 0_u32;
        let mut numbers = Vec::with_capacity((list.count as usize).min(bytes.len()));
        while !reader.is_empty() {
            let next = reader
                .varint()
                .and_then(|step| u32::try_from(step).ok())
                .and_then(|step| number.checked_add(step));
            match next {
                Some(next) => number = next,
                None => return Err(self.note(list.offset, "postings content")),
            }
            numbers.push(number);
        }
        if numbers.len() != list.count as usize {
            return Err(self.note(list.offset, "postings content"));
        }
        Ok(numbers)
    }

    /// Reads everything; returns the number of chunks.
    pub(crate) fn verify(&self) -> Result<u64, Damage> {
        for list in self.names.iter().flat_map(|name| &name.values) {
            self.load(list)?;
        }
        let mut chunks = 0;
        let mut end = HEADER_LEN;
        let mut buffer = SampleBuffer::default();
        for number in 0..self.series() {
            for meta in &self.entry(number)?.chunks {
                buffer.clear();
                self.chunk(meta, &mut buffer)?;
                chunks += 1;
                end = meta.end().1;
            }
        }
        if end != self.contents.entries.0 {
            return Err(self.note(end, "bytes between chunks and entries"));
        }
        Ok(chunks)
    }
}

fn read_contents(file: &File, path: &Path, len: u64) -> Result<Contents, BlockError> {
    let footer = read_part(file, path, (len - FOOTER_LEN, FOOTER_LEN), len)?;
    let mut reader = Reader::new(&footer);
    let size = u64::from(reader.u32().unwrap_or(0));
    let sum = reader.u32().unwrap_or(0);
    let position = reader.u64().unwrap_or(0);
    let whole = &footer[16..] == MAGIC && position == len - FOOTER_LEN && size <= position;
    if !whole {
        return Err(damaged(path, len - FOOTER_LEN, "footer"));
    }
    let bytes = read_part(file, path, (position - size, size), len)?;
    if crc32fast::hash(&bytes) != sum {
        return Err(damaged(path, position - size, "contents checksum"));
    }
    Contents::decode(&bytes).ok_or_else(|| damaged(path, position - size, "contents"))
}

impl LabelIndex for Block {
    type Error = Damage;

    fn all(&self) -> Result<Vec<u32>, Damage> {
        Ok((0..self.series()).collect())
    }

    fn postings(&self, name: &str, value: &str) -> Result<Cow<'_, [u32]>, Damage> {
        let Some(name) = self.name(name) else {
            return Ok(Cow::Borrowed(&[]));
        };
        let found = name
            .values
            .binary_search_by(|list| (*self.symbols[list.value as usize]).cmp(value));
        match found {
            Ok(index) => self.load(&name.values[index]).map(Cow::Owned),
            Err(_) => Ok(Cow::Borrowed(&[])),
        }
    }

    fn postings_where(
        &self,
        name: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Cow<'_, [u32]>>, Damage> {
        self.name(name)
            .into_iter()
            .flat_map(|name| &name.values)
            .filter(|list| keep(&self.symbols[list.value as usize]))
            .map(|list| self.load(list).map(Cow::Owned))
            .collect()
    }
}
