//! This host, with node_exporter's metric names. Reads `/proc` and `/sys`; what a kernel or container does not show is
//! left out.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::proc_files::{TICKS_PER_SECOND, number, read};
use super::text::Text;

mod disks;
mod network;

/// Reads everything below `root` (`/` outside of tests).
pub(super) fn collect(root: &Path, now: Timestamp) -> String {
    let host = Host {
        proc_dir: root.join("proc"),
        sys_dir: root.join("sys"),
    };
    let mut text = Text::default();
    text.gauge(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        now.as_millisecond() as f64 / 1000.0,
    );
    host.stat(&mut text);
    host.load(&mut text);
    host.memory(&mut text);
    host.pressure(&mut text);
    host.vmstat(&mut text);
    host.file_handles(&mut text);
    Host::uname(&mut text);
    disks::disk_stats(&host, &mut text);
    disks::file_systems(&host, &mut text);
    network::devices(&host, &mut text);
    network::sockets(&host, &mut text);
    network::netstat(&host, &mut text);
    text.finish()
}

/// Where to read.
struct Host {
    proc_dir: PathBuf,
    sys_dir: PathBuf,
}

impl Host {
    fn proc_text(&self, name: &str) -> Option<String> {
        read(&self.proc_dir.join(name))
    }

    fn stat(&self, text: &mut Text) {
        const MODES: [&str; 8] = [
            "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
        ];
        let Some(stat) = self.proc_text("stat") else {
            return;
        };
        let lines = || {
            stat.lines()
                .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        };
        text.family(
            "node_cpu_seconds_total",
            "counter",
            "Seconds the CPUs spent in each mode.",
        );
        for words in lines() {
            let Some(cpu) = words
                .first()
                .and_then(|word| word.strip_prefix("cpu"))
                .filter(|cpu| !cpu.is_empty())
            else {
                continue;
            };
            for (index, mode) in MODES.iter().enumerate() {
                if let Some(ticks) = number(&words, index + 1) {
                    text.sample(
                        "node_cpu_seconds_total",
                        &[("cpu", cpu), ("mode", mode)],
                        ticks / TICKS_PER_SECOND,
                    );
                }
            }
        }
        for words in lines() {
            let Some(value) = number(&words, 1) else {
                continue;
            };
            match words[0] {
                "ctxt" => text.counter(
                    "node_context_switches_total",
                    "Total number of context switches.",
                    value,
                ),
                "intr" => text.counter(
                    "node_intr_total",
                    "Total number of interrupts serviced.",
                    value,
                ),
                "btime" => text.gauge(
                    "node_boot_time_seconds",
                    "Node boot time, in unixtime.",
                    value,
                ),
                "processes" => text.counter("node_forks_total", "Total number of forks.", value),
                "procs_running" => text.gauge(
                    "node_procs_running",
                    "Number of processes in runnable state.",
                    value,
                ),
                "procs_blocked" => {
                    text.gauge(
                        "node_procs_blocked",
                        "Number of processes blocked waiting for I/O to complete.",
                        value,
                    );
                }
                _ => {}
            }
        }
    }

    fn load(&self, text: &mut Text) {
        let Some(load) = self.proc_text("loadavg") else {
            return;
        };
        let words: Vec<&str> = load.split_ascii_whitespace().collect();
        for (index, minutes) in [(0, "1"), (1, "5"), (2, "15")] {
            if let Some(value) = number(&words, index) {
                text.gauge(
                    &format!("node_load{minutes}"),
                    &format!("{minutes}m load average."),
                    value,
                );
            }
        }
    }

    fn memory(&self, text: &mut Text) {
        let Some(info) = self.proc_text("meminfo") else {
            return;
        };
        for line in info.lines().take(200) {
            let Some((name, rest)) = line.split_once(':') else {
                continue;
            };
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            let Some(value) = number(&words, 0) else {
                continue;
            };
            let name: String = name
                .replace('(', "_")
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let (suffix, factor) = if words.get(1) == Some(&"kB") {
                ("_bytes", 1024.0)
            } else {
                ("", 1.0)
            };
            let metric = format!("node_memory_{name}{suffix}");
            text.gauge(
                &metric,
                &format!("Memory information field {name}{suffix}."),
                value * factor,
            );
        }
    }

    /// Pressure stall information; `some` is waiting, `full` is stalled.
    fn pressure(&self, text: &mut Text) {
        for (resource, kind, name) in [
            ("cpu", "some", "cpu_waiting"),
            ("memory", "some", "memory_waiting"),
            ("memory", "full", "memory_stalled"),
            ("io", "some", "io_waiting"),
            ("io", "full", "io_stalled"),
        ] {
            let total = self
                .proc_text(&format!("pressure/{resource}"))
                .and_then(|content| {
                    let line = content.lines().find(|line| line.starts_with(kind))?;
                    line.rsplit_once("total=")?.1.trim().parse::<f64>().ok()
                });
            if let Some(microseconds) = total {
                let help = format!(
                    "Total time in seconds that processes were {} for {resource}.",
                    name.rsplit('_').next().unwrap_or(kind)
                );
                text.counter(
                    &format!("node_pressure_{name}_seconds_total"),
                    &help,
                    microseconds / 1e6,
                );
            }
        }
    }

    fn vmstat(&self, text: &mut Text) {
        let Some(vmstat) = self.proc_text("vmstat") else {
            return;
        };
        for line in vmstat.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let name = words.first().copied().unwrap_or_default();
            let wanted = matches!(
                name,
                "oom_kill" | "pgfault" | "pgmajfault" | "pgpgin" | "pgpgout" | "pswpin" | "pswpout"
            );
            if let (true, Some(value)) = (wanted, number(&words, 1)) {
                let metric = format!("node_vmstat_{name}");
                text.family(
                    &metric,
                    "untyped",
                    &format!("/proc/vmstat information field {name}."),
                );
                text.sample(&metric, &[], value);
            }
        }
    }

    fn file_handles(&self, text: &mut Text) {
        let Some(content) = self.proc_text("sys/fs/file-nr") else {
            return;
        };
        let words: Vec<&str> = content.split_ascii_whitespace().collect();
        for (index, name) in [(0, "allocated"), (2, "maximum")] {
            if let Some(value) = number(&words, index) {
                text.gauge(
                    &format!("node_filefd_{name}"),
                    &format!("File descriptor statistics: {name}."),
                    value,
                );
            }
        }
    }

    fn uname(text: &mut Text) {
        let uname = rustix::system::uname();
        let part = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let (system, release, version) = (
            part(uname.sysname()),
            part(uname.release()),
            part(uname.version()),
        );
        let (machine, node) = (part(uname.machine()), part(uname.nodename()));
        text.family(
            "node_uname_info",
            "gauge",
            "Labeled system information as provided by the uname system call.",
        );
        let labels = [
            ("machine", machine.as_str()),
            ("nodename", &node),
            ("release", &release),
            ("sysname", &system),
            ("version", &version),
        ];
        text.sample("node_uname_info", &labels, 1.0);
    }
}

#[cfg(test)]
mod tests;
