//! From registers and a piece of stack to return addresses, by the unwind tables of the mapped files.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

#[cfg(target_arch = "aarch64")]
use framehop::aarch64::{
    CacheAarch64 as Cache, UnwindRegsAarch64 as Regs, UnwinderAarch64 as NativeUnwinder,
};
#[cfg(target_arch = "x86_64")]
use framehop::x86_64::{
    CacheX86_64 as Cache, UnwindRegsX86_64 as Regs, UnwinderX86_64 as NativeUnwinder,
};
use framehop::{ExplicitModuleSectionInfo, Module, Unwinder as _};
use object::{Object as _, ObjectSection as _, ObjectSegment as _};

use crate::perf::{Registers, Sample};
use crate::stacks::DEPTH_MAX;

/// A file that is mapped with code in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) addresses: Range<u64>,
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// As the process calls it.
    pub(crate) name: String,
    /// Where we can read it: the process may have another root.
    pub(crate) file: PathBuf,
}

/// Files of which the tables are read.
const FILE_MAX: u64 = 2 << 30;

/// Code that a process has mapped.
pub(crate) fn mappings(pid: i32) -> Vec<Mapping> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    text.lines()
        .filter_map(|line| parse_mapping(pid, line))
        .collect()
}

/// `55d0-55e0 r-xp 00001000 fe:00 1234    /usr/bin/x`
fn parse_mapping(pid: i32, line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (begin, end) = words.next()?.split_once('-')?;
    let flags = words.next()?;
    let offset = words.next()?;
    let name = words.nth(2)?.trim();
    if !flags.contains('x') || !name.starts_with('/') {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let name = name.trim_end_matches(" (deleted)");
    Some(Mapping {
        addresses: hex(begin)?..hex(end)?,
        offset: hex(offset)?,
        name: name.to_owned(),
        file: PathBuf::from(format!("/proc/{pid}/root{name}")),
    })
}

impl Mapping {
    /// Difference between addresses in the process and those in the file.
    pub(crate) fn bias<'d>(&self, file: &impl object::Object<'d>) -> Option<u64> {
        let segment = file.segments().find(|segment| {
            let (offset, size) = segment.file_range();
            // Mappings begin at whole pages, segments need not.
            (offset & !0xfff..offset + size).contains(&self.offset)
        })?;
        let (offset, _) = segment.file_range();
        let begin = segment.address() - (offset - (offset & !0xfff));
        let at = begin + (self.offset - (offset & !0xfff));
        Some(self.addresses.start.wrapping_sub(at))
    }
}

/// Unwinds the stacks of one process.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) struct Unwinder {
    native: NativeUnwinder<Vec<u8>>,
    cache: Cache,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Unwinder {
    /// With the tables of the files; those that cannot be read are left out.
    pub(crate) fn new(mappings: &[Mapping]) -> Self {
        let mut native = NativeUnwinder::new();
        for mapping in mappings {
            if let Some(module) = module(mapping) {
                native.add_module(module);
            }
        }
        Self {
            native,
            cache: Cache::new(),
        }
    }

    /// Addresses of the frames, innermost first; as far as the piece of stack reaches. Return addresses are given less
    /// one, so that they lie within the call.
    pub(crate) fn frames(&mut self, registers: Registers, stack: &[u8]) -> Vec<u64> {
        let base = registers.sp;
        let mut read = |address: u64| -> Result<u64, ()> {
            let at = usize::try_from(address.checked_sub(base).ok_or(())?).map_err(|_| ())?;
            let bytes = stack.get(at..at + 8).ok_or(())?;
            Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| ())?))
        };
        #[cfg(target_arch = "x86_64")]
        let regs = Regs::new(registers.ip, registers.sp, registers.fp);
        #[cfg(target_arch = "aarch64")]
        let regs = Regs::new(registers.link, registers.sp, registers.fp);
        let mut frames = Vec::new();
        let mut walk = self
            .native
            .iter_frames(registers.ip, regs, &mut self.cache, &mut read);
        while let Ok(Some(frame)) = walk.next() {
            frames.push(frame.address_for_lookup());
            if frames.len() >= DEPTH_MAX {
                break;
            }
        }
        frames
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn module(mapping: &Mapping) -> Option<Module<Vec<u8>>> {
    let about = fs::metadata(&mapping.file).ok()?;
    if about.len() > FILE_MAX || !about.is_file() {
        return None;
    }
    let cached = object::read::ReadCache::new(fs::File::open(&mapping.file).ok()?);
    let file = object::File::parse(&cached).ok()?;
    let bias = mapping.bias(&file)?;
    let section = |name: &str| file.section_by_name(name);
    let range = |name: &str| {
        section(name).map(|section| section.address()..section.address() + section.size())
    };
    let data = |name: &str| section(name)?.data().ok().map(<[u8]>::to_vec);
    let info = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: range(".text"),
        text: data(".text"),
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        debug_frame: data(".debug_frame"),
        ..ExplicitModuleSectionInfo::default()
    };
    Some(Module::new(
        mapping.name.clone(),
        mapping.addresses.clone(),
        bias,
        info,
    ))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) struct Unwinder;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Unwinder {
    pub(crate) fn new(_: &[Mapping]) -> Self {
        Self
    }

    pub(crate) fn frames(&mut self, _: Registers, _: &[u8]) -> Vec<u64> {
        Vec::new()
    }
}

/// The deeper of the two ways to know the callers.
pub(crate) fn best(unwinder: &mut Unwinder, sample: &Sample) -> Vec<u64> {
    let by_tables = match sample.registers {
        Some(registers) if !sample.stack.is_empty() => unwinder.frames(registers, &sample.stack),
        _ => Vec::new(),
    };
    if by_tables.len() >= sample.user.len() {
        return by_tables;
    }
    // The first is where the thread is, the others are return addresses.
    let pointers = sample.user.iter().enumerate();
    pointers
        .map(|(index, address)| address - u64::from(index > 0 && *address > 0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        let line = "55d0a000-55d0b000 r-xp 00001000 fe:00 1234                       /usr/bin/a b (deleted)";
        let mapping = parse_mapping(7, line).unwrap();
        assert_eq!(mapping.addresses, 0x55d0_a000..0x55d0_b000);
        assert_eq!(
            (mapping.offset, mapping.name.as_str()),
            (0x1000, "/usr/bin/a b")
        );
        assert!(parse_mapping(7, "55d0-55d1 rw-p 0 0:0 0 [heap]").is_none());
        assert!(parse_mapping(7, "nonsense").is_none());
    }
}
