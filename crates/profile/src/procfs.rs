//! What `/proc` says of a process: threads, system calls, processor time, pressure.

use std::collections::BTreeMap;
use std::fs;

use syscalls::Sysno;

/// Threads of one process that are looked at.
pub(crate) const THREADS_MAX: usize = 512;

/// Where a thread is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whereabouts {
    /// On a processor, or ready for one.
    Running,
    /// In a system call, by its name.
    Call(String),
    /// Waiting in the kernel, but not in a system call (a page fault), or not to be told.
    Blocked,
}

/// The threads of a process now.
pub(crate) fn threads(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut threads: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    threads.sort_unstable();
    threads.truncate(THREADS_MAX);
    threads
}

/// The program's name.
pub(crate) fn command(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(text.trim().to_owned())
}

/// Name of a thread.
pub(crate) fn thread_name(pid: i32, tid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm"))
        .map_or_else(|_| tid.to_string(), |text| text.trim().to_owned())
}

/// Processor time of a process in seconds: user and system.
pub(crate) fn cpu_seconds(pid: i32) -> Option<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, also parentheses: fields are counted from the last one.
    let rest = text.rsplit_once(')')?.1;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Some((next()? / per_second, next()? / per_second))
}

/// Where a thread is now; an error when that may not be known.
pub(crate) fn whereabouts(pid: i32, tid: i32) -> std::io::Result<Whereabouts> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall"))?;
    Ok(parse_whereabouts(&text))
}

fn parse_whereabouts(text: &str) -> Whereabouts {
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    match first.parse::<i64>() {
        Ok(number) if number >= 0 => Whereabouts::Call(Sysno::new(number as usize).map_or_else(
            || format!("syscall {number}"),
            |call| call.name().to_owned(),
        )),
        Ok(_) => Whereabouts::Blocked,
        Err(_) => Whereabouts::Running,
    }
}

/// Total stall times in seconds: (resource, kind) to time, of the host or of a control group.
pub(crate) fn pressure(folder: &str, suffix: &str) -> BTreeMap<(String, String), f64> {
    let mut all = BTreeMap::new();
    for resource in ["cpu", "io", "memory"] {
        let Ok(text) = fs::read_to_string(format!("{folder}/{resource}{suffix}")) else {
            continue;
        };
        for (kind, seconds) in parse_pressure(&text) {
            all.insert((resource.to_owned(), kind), seconds);
        }
    }
    all
}

fn parse_pressure(text: &str) -> Vec<(String, f64)> {
    text.lines()
        .filter_map(|line| {
            let kind = line.split_ascii_whitespace().next()?;
            let total = line.rsplit_once("total=")?.1;
            let micros: f64 = total.trim().parse().ok()?;
            Some((kind.to_owned(), micros / 1e6))
        })
        .collect()
}

/// Folder of a process' control group (version 2), when it is not the root.
pub(crate) fn control_group(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    (path != "/" && !path.contains("..")).then(|| format!("/sys/fs/cgroup{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        assert_eq!(parse_whereabouts("running\n"), Whereabouts::Running);
        assert_eq!(parse_whereabouts("-1 0x7f 0x7f\n"), Whereabouts::Blocked);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            parse_whereabouts("232 0x4 0x7f 0x1 0xffffffff 0x0 0x0 0x7f 0x7f\n"),
            Whereabouts::Call("epoll_wait".to_owned())
        );
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(
            parse_pressure(text),
            [("some".to_owned(), 2.5), ("full".to_owned(), 0.0)]
        );
        assert!(parse_pressure("nonsense").is_empty());
    }
}
