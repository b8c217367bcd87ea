//! Where a measurement was made.

use std::fs;

use bellwether_env::{Clock, SystemClock};
use bellwether_lab::experiment::Environment;

use crate::git::Repository;

/// The machine and the commit of the present folder, as they are now. What cannot be read stays empty.
pub fn describe(version: &str) -> Environment {
    let now = SystemClock::new().now();
    let cpuinfo = read("/proc/cpuinfo");
    let repository = Repository::here();
    Environment {
        version: 1,
        started_at: now,
        ended_at: now,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpu: cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or_else(String::new, |(_, name)| name.to_owned()),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
            .trim()
            .to_owned(),
        memory_bytes: memory(),
        load_before: load(),
        load_after: load(),
        commit: repository.head().unwrap_or_default(),
        is_dirty: repository.is_dirty().unwrap_or(false),
        bellwether: version.to_owned(),
    }
}

/// The load average over one minute.
pub fn load() -> f64 {
    read("/proc/loadavg")
        .split_whitespace()
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0)
}

fn memory() -> u64 {
    read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// User and system time that a process has used so far, in seconds; `None` when there is no such process.
pub fn process_cpu(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have spaces and parentheses; fields are counted from the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Peak resident memory of a process in bytes.
pub fn process_peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let environment = describe("test");
        assert!(
            !environment.kernel.is_empty()
                && environment.cores > 0
                && environment.memory_bytes > 1 << 20
        );
        assert!(
            process_cpu(std::process::id()).is_some() && process_peak(std::process::id()).is_some()
        );
        assert_eq!(process_cpu(u32::MAX), None);
    }
}
