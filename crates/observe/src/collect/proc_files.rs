//! Small, bounded readers for `/proc`: what is missing or odd reads as nothing.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes of one file that are read.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Clock ticks per second in `/proc`: `USER_HZ`, 100 on every Linux architecture that Rust's standard library runs on.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

/// The text of a file; `None` when it cannot be read.
pub(crate) fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number at a place among the words of a line.
pub(crate) fn number(words: &[&str], index: usize) -> Option<f64> {
    words.get(index)?.parse().ok()
}
