//! Writing a block, series by series in order of their labels.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::labels::Labels;
use bellwether_model::series::SampleBuffer;

use super::{ChunkMeta, Contents, FOOTER_LEN, HEADER_LEN, MAGIC, Plan, header, path};
use crate::codec::bytes::{put_str, put_varint};
use crate::codec::{Encoding, Zone, encode_floats, encode_histograms};
use crate::disk::{Disk, sync_folder};

/// Samples per chunk in a block.
const CHUNK_SAMPLES: usize = 480;
const FLUSH_BYTES: usize = 1 << 20;

/// A file that is written in large pieces.
struct Output {
    file: File,
    disk: Disk,
    pending: Vec<u8>,
    flushed: u64,
}

/// A block in the making. Dropping it unfinished removes its files.
pub(crate) struct BlockWriter {
    dir: PathBuf,
    temporary: PathBuf,
    spool_path: PathBuf,
    out: Output,
    /// Series entries, appended to the file at the end so that they lie together.
    spool: Output,
    entry_lens: Vec<u32>,
    symbols: BTreeMap<Arc<str>, u32>,
    ordered: Vec<Arc<str>>,
    postings: BTreeMap<(Arc<str>, Arc<str>), Vec<u32>>,
    contents: Contents,
    done: bool,
}

// === impl Output ===

impl Output {
    fn create(path: &Path, disk: &Disk) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Self {
            file,
            disk: disk.clone(),
            pending: Vec::new(),
            flushed: 0,
        })
    }

    fn position(&self) -> u64 {
        self.flushed + self.pending.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.write_all(&mut self.file, &self.pending)?;
        self.flushed += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

// === impl BlockWriter ===

impl BlockWriter {
    /// Begins block `id` of `dir`.
    pub(crate) fn create(dir: &Path, disk: &Disk, id: u64, plan: Plan) -> io::Result<Self> {
        let temporary = dir.join(format!("{id:012}.tmp"));
        let spool_path = dir.join(format!("{id:012}.entries.tmp"));
        let mut out = Output::create(&temporary, disk)?;
        let spool = Output::create(&spool_path, disk)?;
        out.write(&header())?;
        Ok(Self {
            dir: dir.to_owned(),
            temporary,
            spool_path,
            out,
            spool,
            entry_lens: Vec::new(),
            symbols: BTreeMap::new(),
            ordered: Vec::new(),
            postings: BTreeMap::new(),
            contents: Contents {
                id,
                start: plan.start,
                end: plan.end,
                head_end: plan.head_end,
                min: i64::MAX,
                max: i64::MIN,
                replaces: plan.replaces,
                ..Contents::default()
            },
            done: false,
        })
    }

    /// Adds the next series; labels ascend from call to call. A series without samples is left out.
    pub(crate) fn add(&mut self, labels: &Labels, samples: &SampleBuffer) -> io::Result<()> {
        let mut metas = Vec::new();
        let columns = samples
            .timestamps
            .chunks(CHUNK_SAMPLES)
            .zip(samples.floats.chunks(CHUNK_SAMPLES));
        for (times, values) in columns {
            let (encoding, bytes) = encode_floats(times, values);
            let zone = Some(Zone::of(values));
            let range = (times[0], times[times.len() - 1]);
            metas.push(self.chunk(encoding, &bytes, times.len(), range, zone)?);
        }
        for part in samples.histograms.chunks(CHUNK_SAMPLES) {
            let bytes = encode_histograms(part);
            let range = (part[0].0, part[part.len() - 1].0);
            metas.push(self.chunk(Encoding::Histogram, &bytes, part.len(), range, None)?);
        }
        if metas.is_empty() {
            return Ok(());
        }
        let number = self.entry_lens.len() as u32;
        let mut entry = Vec::new();
        put_varint(&mut entry, labels.len() as u64);
        for label in labels {
            let name = self.symbol(&label.name);
            let value = self.symbol(&label.value);
            put_varint(&mut entry, u64::from(name));
            put_varint(&mut entry, u64::from(value));
            self.postings
                .entry((Arc::clone(&label.name), Arc::clone(&label.value)))
                .or_default()
                .push(number);
        }
        put_varint(&mut entry, metas.len() as u64);
        let mut before = (0, 0);
        for meta in &metas {
            meta.encode(&mut entry, before);
            before = meta.end();
        }
        let sum = crc32fast::hash(&entry);
        entry.extend_from_slice(&sum.to_le_bytes());
        self.entry_lens.push(entry.len() as u32);
        self.contents.series += 1;
        self.spool.write(&entry)
    }

    fn symbol(&mut self, text: &Arc<str>) -> u32 {
        if let Some(id) = self.symbols.get(text) {
            return *id;
        }
        let id = self.ordered.len() as u32;
        self.symbols.insert(Arc::clone(text), id);
        self.ordered.push(Arc::clone(text));
        id
    }

    fn chunk(
        &mut self,
        encoding: Encoding,
        bytes: &[u8],
        count: usize,
        (min, max): (i64, i64),
        zone: Option<Zone>,
    ) -> io::Result<ChunkMeta> {
        let offset = self.out.position();
        self.out.write(bytes)?;
        self.out.write(&crc32fast::hash(bytes).to_le_bytes())?;
        self.contents.min = self.contents.min.min(min);
        self.contents.max = self.contents.max.max(max);
        self.contents.samples += count as u64;
        self.contents.chunks += 1;
        Ok(ChunkMeta {
            min,
            max,
            count: count as u32,
            encoding,
            offset,
            len: bytes.len() as u32,
            zone,
        })
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.entry_lens.is_empty()
    }

    /// Writes the index, syncs, and puts the block in its place; returns its path.
    pub(crate) fn finish(mut self) -> io::Result<PathBuf> {
        self.copy_entries()?;
        self.write_index()?;
        let contents = self.contents.encode();
        self.out.write(&contents)?;
        let mut footer = [0; FOOTER_LEN as usize];
        footer[..4].copy_from_slice(&(contents.len() as u32).to_le_bytes());
        footer[4..8].copy_from_slice(&crc32fast::hash(&contents).to_le_bytes());
        footer[8..16].copy_from_slice(&self.out.position().to_le_bytes());
        footer[16..].copy_from_slice(MAGIC);
        self.out.write(&footer)?;
        self.out.flush()?;
        self.out.file.sync_all()?;
        let path = path(&self.dir, self.contents.id);
        fs::rename(&self.temporary, &path)?;
        sync_folder(&self.dir)?;
        self.done = true;
        fs::remove_file(&self.spool_path)?;
        Ok(path)
    }

    fn copy_entries(&mut self) -> io::Result<()> {
        self.spool.flush()?;
        self.spool.file.seek(SeekFrom::Start(0))?;
        let start = self.out.position();
        let mut piece = vec![0; 64 << 10];
        loop {
            let read = self.spool.file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            self.out.write(&piece[..read])?;
        }
        self.contents.entries = (start, self.out.position() - start);
        debug_assert!(start >= HEADER_LEN);
        Ok(())
    }

    /// Postings lists, then one part that says where everything is.
    fn write_index(&mut self) -> io::Result<()> {
        let start = self.out.position();
        let mut index = Vec::new();
        put_varint(&mut index, self.ordered.len() as u64);
        for symbol in &self.ordered {
            put_str(&mut index, symbol);
        }
        put_varint(&mut index, self.entry_lens.len() as u64);
        for len in &self.entry_lens {
            put_varint(&mut index, u64::from(*len));
        }
        put_varint(&mut index, self.postings.len() as u64);
        for ((name, value), numbers) in std::mem::take(&mut self.postings) {
            let mut list = Vec::new();
            let mut before = 0;
            for number in &numbers {
                put_varint(&mut list, u64::from(number - before));
                before = *number;
            }
            let sum = crc32fast::hash(&list);
            list.extend_from_slice(&sum.to_le_bytes());
            let symbol = |text| self.symbols.get(text).copied().unwrap_or_default();
            put_varint(&mut index, u64::from(symbol(&name)));
            put_varint(&mut index, u64::from(symbol(&value)));
            put_varint(&mut index, list.len() as u64);
            put_varint(&mut index, numbers.len() as u64);
            self.out.write(&list)?;
        }
        let offset = self.out.position();
        self.contents.postings = (start, offset - start);
        self.out.write(&index)?;
        self.contents.index = (offset, index.len() as u64);
        self.contents.index_sum = crc32fast::hash(&index);
        Ok(())
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed now is removed at the next start.
            drop(fs::remove_file(&self.temporary));
            drop(fs::remove_file(&self.spool_path));
        }
    }
}
