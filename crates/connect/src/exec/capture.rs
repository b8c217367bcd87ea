//! One stream of output on its way to the spool folder: redacted, counted, hashed, its middle left out.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use sha2::{Digest as _, Sha256};

use super::spool::{Spool, hex};
use super::{Captured, KEPT};
use crate::redact::{RedactStream, Redactor};

pub(super) struct Capture {
    head: File,
    room: u64,
    tail: VecDeque<u8>,
    bytes: u64,
    hash: Sha256,
    redact: RedactStream,
}

impl Capture {
    pub(super) fn new(spool: &Spool, name: &str, redactor: &Redactor) -> io::Result<Self> {
        Ok(Self {
            head: create(spool, name)?,
            room: KEPT,
            tail: VecDeque::new(),
            bytes: 0,
            hash: Sha256::new(),
            redact: redactor.stream(),
        })
    }

    /// Takes bytes as the command wrote them.
    pub(super) fn push(&mut self, chunk: &[u8]) -> io::Result<()> {
        let clean = self.redact.push(chunk);
        self.keep(&clean)
    }

    fn keep(&mut self, clean: &[u8]) -> io::Result<()> {
        self.bytes += clean.len() as u64;
        self.hash.update(clean);
        let to_head = (self.room.min(clean.len() as u64)) as usize;
        let (head, rest) = clean.split_at(to_head);
        self.head.write_all(head)?;
        self.room -= to_head as u64;
        self.tail.extend(rest);
        let too_many = self.tail.len().saturating_sub(KEPT as usize);
        self.tail.drain(..too_many);
        Ok(())
    }

    /// Writes the rest and gives the figures.
    pub(super) fn finish(&mut self, spool: &Spool, name: &str) -> io::Result<Captured> {
        let rest = self.redact.finish();
        self.keep(&rest)?;
        self.head.sync_data()?;
        if !self.tail.is_empty() {
            let mut file = create(spool, &format!("{name}.tail"))?;
            file.write_all(self.tail.make_contiguous())?;
            file.sync_data()?;
        }
        Ok(Captured {
            text: String::new(),
            bytes: self.bytes,
            truncated: self.bytes > KEPT + self.tail.len() as u64,
            sha256: hex(&self.hash.clone().finalize()),
        })
    }
}

fn create(spool: &Spool, name: &str) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(spool.file(name))
}
