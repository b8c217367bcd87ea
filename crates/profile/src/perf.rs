//! Processor samples by the kernel's performance events.
//!
//! One event for each thread, with a ring of its own: an event that follows new threads by itself cannot have one. New
//! threads are looked for while the capture goes on.

use std::collections::BTreeMap;
use std::io;

use perf_event::data::{Record, SampleRegsAbi};
use perf_event::events::Software;
use perf_event::{Builder, SampleFlag, Sampler};

use crate::procfs;
use crate::stacks::DEPTH_MAX;

/// Bytes of a thread's stack that a sample holds, for unwinding.
const STACK: u32 = 16 << 10;
/// Sizes of a thread's ring: with stacks, and without.
const RING_STACKS: usize = 512 << 10;
const RING_PLAIN: usize = 32 << 10;
/// The markers of the kernel in a call chain are above this.
const CONTEXT_MIN: u64 = u64::MAX - 4095;
const CONTEXT_KERNEL: u64 = u64::MAX - 127;
const CONTEXT_USER: u64 = u64::MAX - 511;

/// One sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) tid: i32,
    /// Innermost first.
    pub(crate) kernel: Vec<u64>,
    /// By frame pointers, innermost first.
    pub(crate) user: Vec<u64>,
    /// Registers and stack, for unwinding by tables.
    pub(crate) registers: Option<Registers>,
    pub(crate) stack: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) ip: u64,
    pub(crate) sp: u64,
    pub(crate) fp: u64,
    /// The link register.
    #[cfg(target_arch = "aarch64")]
    pub(crate) link: u64,
}

/// Samplers of all threads of a process.
pub(crate) struct Perf {
    pid: i32,
    frequency: u64,
    samplers: BTreeMap<i32, Sampler>,
    /// Threads that cannot be sampled, and why the first could not.
    refused: BTreeMap<i32, String>,
    pub(crate) with_kernel: bool,
    pub(crate) without_stacks: usize,
    pub(crate) lost: u64,
}

impl Perf {
    /// Opens events for all threads. An error when the kernel allows none.
    pub(crate) fn open(pid: i32, frequency: u64) -> io::Result<Self> {
        let mut perf = Self {
            pid,
            frequency,
            samplers: BTreeMap::new(),
            refused: BTreeMap::new(),
            with_kernel: true,
            without_stacks: 0,
            lost: 0,
        };
        let threads = procfs::threads(pid);
        let first = *threads
            .first()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        // What holds for one thread holds for the others.
        match perf.sampler(first) {
            Ok(sampler) => drop(perf.samplers.insert(first, sampler)),
            Err(error) if perf.with_kernel => {
                perf.with_kernel = false;
                let sampler = perf.sampler(first).map_err(|_| error)?;
                perf.samplers.insert(first, sampler);
            }
            Err(error) => return Err(error),
        }
        perf.follow();
        Ok(perf)
    }

    fn sampler(&mut self, tid: i32) -> io::Result<Sampler> {
        match self.build(tid, true) {
            Ok(sampler) => Ok(sampler),
            // Memory for rings is limited without privileges: without stacks a ring is small.
            Err(_) => {
                let sampler = self.build(tid, false)?;
                self.without_stacks += 1;
                Ok(sampler)
            }
        }
    }

    fn build(&self, tid: i32, stacks: bool) -> io::Result<Sampler> {
        let mut builder = Builder::new(Software::CPU_CLOCK);
        builder
            .observe_pid(tid)
            .any_cpu()
            .sample_frequency(self.frequency)
            .sample(SampleFlag::IP)
            .sample(SampleFlag::TID)
            .sample(SampleFlag::CALLCHAIN)
            .exclude_hv(true)
            .exclude_kernel(!self.with_kernel)
            .exclude_callchain_kernel(!self.with_kernel);
        if stacks {
            builder
                .sample(SampleFlag::REGS_USER)
                .sample(SampleFlag::STACK_USER)
                .sample_regs_user(registers::MASK)
                .sample_stack_user(STACK);
        }
        let mut sampler =
            builder
                .build()?
                .sampled(if stacks { RING_STACKS } else { RING_PLAIN })?;
        sampler.enable()?;
        Ok(sampler)
    }

    /// Opens events for threads that are new.
    pub(crate) fn follow(&mut self) {
        for tid in procfs::threads(self.pid) {
            if self.samplers.contains_key(&tid) || self.refused.contains_key(&tid) {
                continue;
            }
            match self.sampler(tid) {
                Ok(sampler) => drop(self.samplers.insert(tid, sampler)),
                Err(error) => drop(self.refused.insert(tid, error.to_string())),
            }
        }
    }

    /// Threads that were sampled.
    pub(crate) fn threads(&self) -> usize {
        self.samplers.len()
    }

    /// How many threads could not be sampled, and why.
    pub(crate) fn refused(&self) -> Option<(usize, &str)> {
        let first = self.refused.values().next()?;
        Some((self.refused.len(), first))
    }

    /// Takes what the rings hold.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Sample)) {
        for (tid, sampler) in &mut self.samplers {
            while let Some(record) = sampler.next_record() {
                match record.parse_record() {
                    Ok(Record::Sample(sample)) => {
                        let mut taken = Sample {
                            tid: sample.tid().map_or(*tid, |tid| tid as i32),
                            stack: sample.stack_user().unwrap_or_default().to_vec(),
                            ..Sample::default()
                        };
                        let known = sample
                            .regs_user()
                            .filter(|regs| regs.abi == SampleRegsAbi::ABI_64);
                        taken.registers = known.and_then(|regs| registers::of(&regs.regs));
                        split(sample.callchain().unwrap_or_default(), &mut taken);
                        each(taken);
                    }
                    Ok(Record::Lost(lost)) => self.lost += lost.lost,
                    _ => {}
                }
            }
        }
    }
}

/// Takes a call chain apart at the kernel's markers.
fn split(chain: &[u64], into: &mut Sample) {
    let mut in_kernel = false;
    for address in chain.iter().take(DEPTH_MAX * 2) {
        match *address {
            CONTEXT_KERNEL => in_kernel = true,
            CONTEXT_USER => in_kernel = false,
            marker if marker >= CONTEXT_MIN => {}
            address if in_kernel => into.kernel.push(address),
            address => into.user.push(address),
        }
    }
}

/// Numbers of the registers: `asm/perf_regs.h` of the architecture. The kernel writes them in the order of their
/// numbers.
#[cfg(target_arch = "x86_64")]
mod registers {
    use super::Registers;

    const BP: u64 = 6;
    const SP: u64 = 7;
    const IP: u64 = 8;
    pub(super) const MASK: u64 = 1 << BP | 1 << SP | 1 << IP;

    pub(super) fn of(values: &[u64]) -> Option<Registers> {
        match values {
            [fp, sp, ip] => Some(Registers {
                ip: *ip,
                sp: *sp,
                fp: *fp,
            }),
            _ => None,
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod registers {
    use super::Registers;

    pub(super) const MASK: u64 = 1 << 29 | 1 << 30 | 1 << 31 | 1 << 32;

    pub(super) fn of(values: &[u64]) -> Option<Registers> {
        match values {
            [fp, link, sp, ip] => Some(Registers {
                ip: *ip,
                sp: *sp,
                fp: *fp,
                link: *link,
            }),
            _ => None,
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod registers {
    use super::Registers;

    pub(super) const MASK: u64 = 1;

    pub(super) fn of(_: &[u64]) -> Option<Registers> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_split_at_their_markers() {
        let mut sample = Sample::default();
        split(
            &[
                CONTEXT_KERNEL,
                0xffff_ffff_8100_0000,
                CONTEXT_USER,
                0x10,
                0x20,
            ],
            &mut sample,
        );
        assert_eq!(sample.kernel, [0xffff_ffff_8100_0000]);
        assert_eq!(sample.user, [0x10, 0x20]);
    }
}
