//! Files: writing with an (injectable) limit, syncing folders, holding a folder against a second process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::report::OpenError;

/// Writes bytes to files; in tests it runs out of space on demand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    budget: Option<Arc<AtomicU64>>,
}

/// Holds a data folder for this process; dropping it (or dying) lets go.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

// === impl Disk ===

impl Disk {
    pub(crate) fn new(budget: Option<Arc<AtomicU64>>) -> Self {
        Self { budget }
    }

    /// Writes all bytes, or as many as fit and then fails, as a full disk does.
    pub(crate) fn write_all(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let Some(budget) = &self.budget else {
            return file.write_all(bytes);
        };
        let wanted = bytes.len() as u64;
        let before = budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(left.saturating_sub(wanted))
        });
        let fits = before.unwrap_or_default().min(wanted) as usize;
        file.write_all(&bytes[..fits])?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// Makes creations, renames and removals in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

// === impl FolderLock ===

impl FolderLock {
    /// Takes the lock file of `dir`, or says who has it.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("LOCK");
        let fail = |source| OpenError::io("lock", &path, source);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Not being able to read who it is must not hide that it is held.
                let read = Read::by_ref(&mut file)
                    .take(200)
                    .read_to_string(&mut holder);
                let holder = match holder.trim() {
                    text if read.is_ok() && !text.is_empty() => text.to_owned(),
                    _ => "another process".to_owned(),
                };
                return Err(OpenError::InUse {
                    path: dir.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let text = format!("process {}\n", std::process::id());
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.set_len(0))
            .and_then(|()| file.write_all(text.as_bytes()))
            // A full disk must not keep the store from opening for reading.
            .or_else(|error| match error.kind() {
                io::ErrorKind::StorageFull => Ok(()),
                _ => Err(error),
            })
            .map_err(fail)?;
        Ok(Self { _file: file })
    }
}
