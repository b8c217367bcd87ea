//! Names of addresses.

use std::collections::BTreeMap;
use std::fs;

use addr2line::{Loader, demangle_auto};

use crate::unwind::Mapping;

/// Names of one process' code and of the kernel.
pub(crate) struct Symbols {
    mappings: Vec<Mapping>,
    /// One for each mapping.
    files: Vec<Opened>,
    known: BTreeMap<u64, Vec<String>>,
    kernel: Vec<(u64, String)>,
}

/// A mapped file, opened when a name is needed.
enum Opened {
    NotYet,
    Unreadable,
    File(Box<File>),
}

struct File {
    loader: Loader,
    bias: u64,
}

impl Symbols {
    pub(crate) fn new(mappings: Vec<Mapping>) -> Self {
        let files = mappings.iter().map(|_| Opened::NotYet).collect();
        Self {
            mappings,
            files,
            known: BTreeMap::new(),
            kernel: kernel_symbols(),
        }
    }

    /// Whether the kernel tells its names.
    pub(crate) fn has_kernel(&self) -> bool {
        !self.kernel.is_empty()
    }

    /// Functions at an address, outermost first: more than one where calls were inlined.
    pub(crate) fn user(&mut self, address: u64) -> &[String] {
        if !self.known.contains_key(&address) {
            let names = self.look_up(address);
            self.known.insert(address, names);
        }
        &self.known[&address]
    }

    fn look_up(&mut self, address: u64) -> Vec<String> {
        let found = self
            .mappings
            .iter()
            .position(|mapping| mapping.addresses.contains(&address));
        let Some(index) = found else {
            return vec!["[unknown]".to_owned()];
        };
        let mapping = &self.mappings[index];
        let short = mapping.name.rsplit('/').next().unwrap_or_default();
        let unnamed = vec![format!("[{short}]")];
        if matches!(self.files[index], Opened::NotYet) {
            self.files[index] =
                open(mapping).map_or(Opened::Unreadable, |file| Opened::File(Box::new(file)));
        }
        let Opened::File(file) = &self.files[index] else {
            return unnamed;
        };
        let at = address.wrapping_sub(file.bias);
        let mut names = inlined(&file.loader, at);
        if names.is_empty() {
            names.extend(file.loader.find_symbol(at).map(demangled));
        }
        if names.is_empty() { unnamed } else { names }
    }

    /// The kernel's function at an address.
    pub(crate) fn kernel(&self, address: u64) -> String {
        let after = self.kernel.partition_point(|(begin, _)| *begin <= address);
        match after.checked_sub(1).and_then(|at| self.kernel.get(at)) {
            Some((_, name)) => name.clone(),
            None => "[kernel]".to_owned(),
        }
    }
}

fn open(mapping: &Mapping) -> Option<File> {
    let cached = object::read::ReadCache::new(fs::File::open(&mapping.file).ok()?);
    let bias = mapping.bias(&object::File::parse(&cached).ok()?)?;
    let loader = Loader::new(&mapping.file).ok()?;
    // The loader counts from its own base.
    let bias = bias.wrapping_add(loader.relative_address_base());
    Some(File { loader, bias })
}

/// Functions by the debug information.
fn inlined(loader: &Loader, at: u64) -> Vec<String> {
    let mut names = Vec::new();
    let Ok(mut frames) = loader.find_frames(at) else {
        return names;
    };
    while let Ok(Some(frame)) = frames.next() {
        let Some(function) = frame.function else {
            continue;
        };
        if let Ok(name) = function.raw_name() {
            names.push(demangle_auto(name.clone(), function.language).into_owned());
        }
    }
    names.reverse();
    names.iter().map(|name| without_hash(name)).collect()
}

fn demangled(name: &str) -> String {
    without_hash(&demangle_auto(name.into(), None))
}

/// Rust's names end in a hash that differs from build to build: two profiles could not be compared.
fn without_hash(name: &str) -> String {
    let plain = match name.rsplit_once("::h") {
        Some((plain, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            plain
        }
        _ => name,
    };
    plain.to_owned()
}

/// Functions of the kernel by address; empty when it hides them.
fn kernel_symbols() -> Vec<(u64, String)> {
    let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let mut symbols: Vec<(u64, String)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let kind = words.next()?;
            let name = words.next()?;
            (address != 0 && matches!(kind, "t" | "T")).then(|| (address, name.to_owned()))
        })
        .collect();
    symbols.sort_unstable();
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_between_builds() {
        assert_eq!(without_hash("a::b::h0123456789abcdef"), "a::b");
        assert_eq!(without_hash("a::home"), "a::home");
    }
}
