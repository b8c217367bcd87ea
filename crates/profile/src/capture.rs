//! Looking at a process for a while.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};

use crate::perf::{Perf, Sample};
use crate::procfs::{self, Whereabouts};
use crate::stacks::Stacks;
use crate::symbols::Symbols;
use crate::unwind::{self, Unwinder};

/// Samples of one capture.
const SAMPLES_MAX: usize = 2_000_000;
/// The rings are emptied this often.
const DRAIN: Duration = Duration::from_millis(50);
/// New threads are looked for this often.
const FOLLOW: Duration = Duration::from_secs(1);

/// What is captured.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub pid: i32,
    pub duration: Duration,
    /// Samples a second of each thread's processor time.
    pub frequency: u64,
}

/// Waits, or ends the capture early.
pub trait Pause {
    /// Waits so long; true when the capture is to end now.
    fn pause(&mut self, time: Duration) -> bool;
}

/// Why nothing was captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("there is no process {0}")]
    NoProcess(i32),
}

/// What was seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Profile {
    /// Version of this form.
    pub version: u32,
    pub pid: i32,
    pub command: String,
    /// RFC 3339.
    pub started: String,
    pub seconds: f64,
    pub frequency: u64,
    /// `perf` when the kernel gave samples, `proc` when only `/proc` was looked at.
    pub method: String,
    pub threads: usize,
    pub samples: u64,
    /// Samples that the kernel could not keep.
    pub lost: u64,
    /// Processor time that the process used meanwhile: in itself and in the kernel.
    pub user_s: f64,
    pub system_s: f64,
    pub stacks: Stacks,
    /// Where threads were whenever they were looked at, the most frequent first.
    pub syscalls: Vec<SyscallRow>,
    pub pressure: Vec<Pressure>,
    /// What was not allowed or not there, and what would help.
    pub could_not: Vec<String>,
    /// Whether the process ended before the capture did.
    pub ended: bool,
}

/// One line of the table of system calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SyscallRow {
    /// Name of the call; `(running)` on a processor or ready for one, `(blocked)` otherwise in the kernel.
    pub name: String,
    /// Looks that found a thread there.
    pub looks: u64,
    pub share: f64,
    /// Most threads that were there at once.
    pub threads_max: u64,
}

/// Stall time during the capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// `host` or `group` (the process' control group).
    pub scope: String,
    /// `cpu`, `io` or `memory`.
    pub resource: String,
    /// `some` (at least one task waited) or `full` (all did).
    pub kind: String,
    pub seconds: f64,
    pub share: f64,
}

/// Captures a process.
pub fn capture(options: &Options, pause: &mut dyn Pause) -> Result<Profile, CaptureError> {
    let pid = options.pid;
    let mut command = procfs::command(pid).ok_or(CaptureError::NoProcess(pid))?;
    let clock = SystemClock::new();
    let started = clock.now();
    let mut could_not = Vec::new();
    let mut perf = match Perf::open(pid, options.frequency) {
        Ok(perf) => Some(perf),
        Err(error) => {
            could_not.push(no_samples(&error));
            None
        }
    };
    let mut raw = Raw::default();
    let before = (procfs::cpu_seconds(pid), pressures(pid));
    let begin = clock.monotonic();
    let mut followed = begin;
    // Between two looks into `/proc`, as often as samples are taken, but not more than the rings need.
    let step = Duration::from_secs_f64(1.0 / options.frequency.clamp(1, 1000) as f64);
    let mut drained = begin;
    let mut ended = false;
    let mut after_cpu = before.0;
    loop {
        let now = clock.monotonic();
        if now.saturating_sub(begin) >= options.duration || raw.samples.len() >= SAMPLES_MAX {
            break;
        }
        if let Some(cpu) = procfs::cpu_seconds(pid) {
            after_cpu = Some(cpu);
        } else {
            ended = true;
            break;
        }
        raw.look(pid, perf.is_none());
        if let Some(perf) = &mut perf {
            if now.saturating_sub(drained) >= DRAIN {
                drained = now;
                perf.drain(|sample| raw.samples.push(sample));
            }
            if now.saturating_sub(followed) >= FOLLOW {
                followed = now;
                perf.follow();
                raw.remember(pid);
            }
        }
        let left = (begin + options.duration).saturating_sub(clock.monotonic());
        if pause.pause(step.min(left)) {
            break;
        }
    }
    let seconds = clock.monotonic().saturating_sub(begin).as_secs_f64();
    // It may have become another program meanwhile.
    command = procfs::command(pid).unwrap_or(command);
    raw.remember(pid);
    let mut profile = Profile {
        version: 1,
        pid,
        command,
        started: started.to_string(),
        seconds,
        frequency: options.frequency,
        method: if perf.is_some() { "perf" } else { "proc" }.to_owned(),
        threads: raw.names.len(),
        ended,
        pressure: stalled(&before.1, &pressures(pid), seconds),
        ..Profile::default()
    };
    if let (Some(before), Some(after)) = (before.0, after_cpu) {
        profile.user_s = (after.0 - before.0).max(0.0);
        profile.system_s = (after.1 - before.1).max(0.0);
    }
    if let Some(perf) = &mut perf {
        perf.drain(|sample| raw.samples.push(sample));
        limits_of(perf, &mut could_not);
        profile.lost = perf.lost;
        profile.threads = perf.threads();
    }
    // Nothing of ours is at the process any more while its names are looked up.
    drop(perf);
    raw.fill(&mut profile, &mut could_not);
    if profile.pressure.is_empty() {
        could_not.push(
            "no pressure stall information: the kernel was built or booted without it (psi=1)"
                .to_owned(),
        );
    }
    profile.could_not = could_not;
    Ok(profile)
}

/// What was gathered, before names are looked up.
#[derive(Default)]
struct Raw {
    samples: Vec<Sample>,
    /// Only `/proc`: where threads were, as stacks.
    looks: Stacks,
    calls: BTreeMap<Whereabouts, (u64, u64)>,
    refused: Option<String>,
    names: BTreeMap<i32, String>,
    mappings: Vec<unwind::Mapping>,
}

impl Raw {
    /// Looks where every thread is.
    fn look(&mut self, pid: i32, as_stacks: bool) {
        let mut now: BTreeMap<Whereabouts, u64> = BTreeMap::new();
        for tid in procfs::threads(pid) {
            match procfs::whereabouts(pid, tid) {
                Ok(place) => {
                    if as_stacks && place == Whereabouts::Running {
                        let name = self
                            .names
                            .entry(tid)
                            .or_insert_with(|| procfs::thread_name(pid, tid));
                        self.looks.add(&[name.as_str(), "(running)"], 1);
                    }
                    *now.entry(place).or_default() += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.refused = Some(error.to_string());
                }
                // The thread has ended.
                Err(_) => {}
            }
        }
        for (place, threads) in now {
            let entry = self.calls.entry(place).or_default();
            entry.0 += threads;
            entry.1 = entry.1.max(threads);
        }
    }

    /// Keeps what can only be asked while the process lives.
    fn remember(&mut self, pid: i32) {
        for tid in procfs::threads(pid) {
            self.names
                .entry(tid)
                .or_insert_with(|| procfs::thread_name(pid, tid));
        }
        for mapping in unwind::mappings(pid) {
            if !self.mappings.contains(&mapping) {
                self.mappings.push(mapping);
            }
        }
    }

    fn fill(self, profile: &mut Profile, could_not: &mut Vec<String>) {
        let all: u64 = self.calls.values().map(|(looks, _)| looks).sum();
        profile.syscalls = self
            .calls
            .iter()
            .map(|(place, (looks, threads_max))| SyscallRow {
                name: match place {
                    Whereabouts::Running => "(running)".to_owned(),
                    Whereabouts::Blocked => "(blocked)".to_owned(),
                    Whereabouts::Call(name) => name.clone(),
                },
                looks: *looks,
                share: *looks as f64 / all.max(1) as f64,
                threads_max: *threads_max,
            })
            .collect();
        profile
            .syscalls
            .sort_by(|a, b| b.looks.cmp(&a.looks).then_with(|| a.name.cmp(&b.name)));
        if let Some(error) = &self.refused {
            could_not.push(format!(
                "the system calls of its threads: {error}; it takes the same user as the process, or CAP_SYS_PTRACE"
            ));
        }
        if profile.method == "proc" {
            profile.samples = self.looks.total();
            profile.stacks = self.looks;
            return;
        }
        profile.samples = self.samples.len() as u64;
        if self.mappings.is_empty() && !self.samples.is_empty() {
            could_not.push("names of its functions: its memory map may not be read".to_owned());
        }
        let mut unwinder = Unwinder::new(&self.mappings);
        let mut symbols = Symbols::new(self.mappings);
        if !symbols.has_kernel() && self.samples.iter().any(|sample| !sample.kernel.is_empty()) {
            could_not.push(
                "names of the kernel's functions: /proc/kallsyms hides them (kernel.kptr_restrict)"
                    .to_owned(),
            );
        }
        for sample in &self.samples {
            let mut frames = vec![
                self.names
                    .get(&sample.tid)
                    .cloned()
                    .unwrap_or_else(|| profile.command.clone()),
            ];
            for address in unwind::best(&mut unwinder, sample).into_iter().rev() {
                frames.extend_from_slice(symbols.user(address));
            }
            for address in sample.kernel.iter().rev() {
                frames.push(format!("{}{}", symbols.kernel(*address), KERNEL_MARK));
            }
            profile.stacks.add(&frames, 1);
        }
    }
}

/// Ends the names of the kernel's functions, as other profilers write it.
pub(crate) const KERNEL_MARK: &str = "_[k]";

fn no_samples(error: &io::Error) -> String {
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let level = level.as_deref().unwrap_or("unknown").trim();
    format!(
        "samples of its stacks: {error} (kernel.perf_event_paranoid is {level}); it takes the same user as the process and a level of 2 or less, or CAP_PERFMON; threads were looked at in /proc instead"
    )
}

fn limits_of(perf: &Perf, could_not: &mut Vec<String>) {
    if !perf.with_kernel {
        could_not.push(
            "what happens in the kernel: it takes kernel.perf_event_paranoid of 1 or less, or CAP_PERFMON".to_owned(),
        );
    }
    if perf.without_stacks > 0 {
        could_not.push(format!(
            "stacks of {} threads by unwind tables, for want of locked memory (kernel.perf_event_mlock_kb): frame pointers only",
            perf.without_stacks
        ));
    }
    if let Some((count, why)) = perf.refused() {
        could_not.push(format!("samples of {count} threads: {why}"));
    }
    if perf.lost > 0 {
        could_not.push(format!("{} samples: the rings were full", perf.lost));
    }
}

type Pressures = BTreeMap<(String, String, String), f64>;

fn pressures(pid: i32) -> Pressures {
    let mut all = BTreeMap::new();
    let mut add = |scope: &str, found: BTreeMap<(String, String), f64>| {
        for ((resource, kind), seconds) in found {
            all.insert((scope.to_owned(), resource, kind), seconds);
        }
    };
    add("host", procfs::pressure("/proc/pressure", ""));
    if let Some(group) = procfs::control_group(pid) {
        add("group", procfs::pressure(&group, ".pressure"));
    }
    all
}

fn stalled(before: &Pressures, after: &Pressures, seconds: f64) -> Vec<Pressure> {
    after
        .iter()
        .filter_map(|(key, total)| {
            let stalled = total - before.get(key)?;
            Some(Pressure {
                scope: key.0.clone(),
                resource: key.1.clone(),
                kind: key.2.clone(),
                seconds: stalled,
                share: stalled / seconds.max(1e-9),
            })
        })
        .collect()
}
