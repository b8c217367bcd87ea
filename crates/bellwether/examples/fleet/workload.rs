//! What one exporter answers: series of a machine and of a web service, in the mix a node exporter has (a third never
//! changes, counters of integers and of seconds, gauges in pages of 4096 bytes, classic histograms).

use std::fmt::Write as _;

/// How a series moves. `t` counts seconds (or scrapes).
#[derive(Clone, Copy)]
enum Motion {
    Constant(u64),
    /// Grows by up to twice this per step, never falls.
    Counter(u64),
    /// The same in hundredths: seconds of processor time.
    Seconds(u64),
    /// Around a level, in steps of 4096.
    Pages(u64),
    /// Part of a counter, in thousandths: a bucket.
    Bucket(u64, u64),
}

/// The lines of an exporter with all that does not change.
pub(crate) struct Workload {
    lines: Vec<(String, Motion)>,
}

struct Builder {
    lines: Vec<(String, Motion)>,
    /// Description of the family, before its first line.
    head: String,
}

const MODES: [&str; 8] = [
    "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user",
];
const DISK: [&str; 11] = [
    "reads_completed_total",
    "reads_merged_total",
    "read_bytes_total",
    "read_time_seconds_total",
    "writes_completed_total",
    "writes_merged_total",
    "written_bytes_total",
    "write_time_seconds_total",
    "io_now",
    "io_time_seconds_total",
    "io_time_weighted_seconds_total",
];
const BOUNDS: [(&str, u64); 12] = [
    ("0.005", 310),
    ("0.01", 520),
    ("0.025", 700),
    ("0.05", 820),
    ("0.1", 900),
    ("0.25", 950),
    ("0.5", 975),
    ("1", 988),
    ("2.5", 995),
    ("5", 998),
    ("10", 999),
    ("+Inf", 1000),
];

/// A number that only depends on its inputs (the finisher of SplitMix64).
fn hash(a: u64, b: u64, c: u64) -> u64 {
    let mut x = a
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(b.rotate_left(21))
        .wrapping_add(c.rotate_left(42));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

// === impl Builder ===

impl Builder {
    fn family(&mut self, name: &str, kind: &str) {
        self.head = format!("# HELP {name} What {name} says.\n# TYPE {name} {kind}\n");
    }

    fn add(&mut self, series: &str, motion: Motion) {
        let head = std::mem::take(&mut self.head);
        self.lines.push((format!("{head}{series} "), motion));
    }

    fn machine(&mut self) {
        self.family("node_cpu_seconds_total", "counter");
        for cpu in 0..8 {
            for (index, mode) in MODES.iter().enumerate() {
                let motion = match index {
                    0 => Motion::Seconds(70),
                    6 | 7 => Motion::Seconds(12),
                    1 | 4 => Motion::Seconds(2),
                    _ => Motion::Constant(0),
                };
                let labels = format!("cpu=\"{cpu}\",mode=\"{mode}\"");
                self.add(&format!("node_cpu_seconds_total{{{labels}}}"), motion);
            }
        }
        for (index, name) in DISK.iter().enumerate() {
            self.family(&format!("node_disk_{name}"), "counter");
            for device in ["nvme0n1", "nvme1n1", "sda", "dm-0"] {
                let motion = match index {
                    2 | 6 => Motion::Counter(300_000),
                    3 | 7 | 9 | 10 => Motion::Seconds(9),
                    8 => Motion::Constant(0),
                    _ => Motion::Counter(40),
                };
                self.add(&format!("node_disk_{name}{{device=\"{device}\"}}"), motion);
            }
        }
        for way in ["receive", "transmit"] {
            for (index, what) in ["bytes", "packets", "errs", "drop", "fifo", "multicast"]
                .iter()
                .enumerate()
            {
                self.family(&format!("node_network_{way}_{what}_total"), "counter");
                for device in ["lo", "eth0", "eth1", "docker0"] {
                    let motion = match index {
                        0 => Motion::Counter(90_000),
                        1 => Motion::Counter(120),
                        _ => Motion::Constant(0),
                    };
                    let series = format!("node_network_{way}_{what}_total{{device=\"{device}\"}}");
                    self.add(&series, motion);
                }
            }
        }
        for (index, what) in [
            "size_bytes",
            "avail_bytes",
            "free_bytes",
            "files",
            "files_free",
            "readonly",
            "device_error",
        ]
        .iter()
        .enumerate()
        {
            self.family(&format!("node_filesystem_{what}"), "gauge");
            for mount in ["/", "/boot", "/home", "/var", "/var/lib/postgresql", "/srv"] {
                let motion = match index {
                    0 | 3 => Motion::Constant(1 << 38),
                    1 | 2 => Motion::Pages(9_000_000),
                    4 => Motion::Pages(70),
                    _ => Motion::Constant(0),
                };
                let labels =
                    format!("device=\"/dev/nvme0n1p2\",fstype=\"ext4\",mountpoint=\"{mount}\"");
                self.add(&format!("node_filesystem_{what}{{{labels}}}"), motion);
            }
        }
        for field in 0..40 {
            let name = format!("node_memory_field{field}_bytes");
            self.family(&name, "gauge");
            self.add(
                &name,
                if field % 3 == 0 {
                    Motion::Constant(16 << 30)
                } else {
                    Motion::Pages(500_000)
                },
            );
        }
        for field in 0..60 {
            let name = format!("node_netstat_field{field}");
            self.family(&name, "untyped");
            self.add(
                &name,
                if field % 2 == 0 {
                    Motion::Constant(field)
                } else {
                    Motion::Counter(25)
                },
            );
        }
    }

    fn service(&mut self) {
        let name = "http_request_duration_seconds";
        self.family(name, "histogram");
        for handler in [
            "/",
            "/login",
            "/search",
            "/item",
            "/cart",
            "/pay",
            "/api/v1/stock",
            "/static",
        ] {
            let rate = 20 + handler.len() as u64 * 7;
            for (bound, part) in BOUNDS {
                let labels = format!("handler=\"{handler}\",le=\"{bound}\"");
                self.add(
                    &format!("{name}_bucket{{{labels}}}"),
                    Motion::Bucket(rate, part),
                );
            }
            self.add(
                &format!("{name}_sum{{handler=\"{handler}\"}}"),
                Motion::Seconds(rate * 3),
            );
            self.add(
                &format!("{name}_count{{handler=\"{handler}\"}}"),
                Motion::Bucket(rate, 1000),
            );
        }
        for field in 0..30 {
            let name = format!("go_memstats_field{field}");
            self.family(&name, "gauge");
            self.add(
                &name,
                if field % 3 == 0 {
                    Motion::Counter(5_000)
                } else {
                    Motion::Pages(9_000)
                },
            );
        }
    }

    fn fill(&mut self, series: usize) {
        self.family("node_systemd_unit_state", "gauge");
        let mut number = 0_usize;
        while self.lines.len() < series {
            let state = ["active", "activating", "deactivating", "failed", "inactive"][number % 5];
            let labels = format!(
                "name=\"unit{}.service\",state=\"{state}\",type=\"simple\"",
                number / 5
            );
            let value = u64::from(number.is_multiple_of(5));
            self.add(
                &format!("node_systemd_unit_state{{{labels}}}"),
                Motion::Constant(value),
            );
            number += 1;
        }
        self.lines.truncate(series);
    }
}

// === impl Workload ===

impl Workload {
    /// An exporter with this many series.
    pub(crate) fn new(series: usize) -> Self {
        let mut builder = Builder {
            lines: Vec::new(),
            head: String::new(),
        };
        builder.machine();
        builder.service();
        builder.fill(series);
        Self {
            lines: builder.lines,
        }
    }

    /// What exporter number `target` answers at step `t`.
    pub(crate) fn render(&self, target: u64, t: u64, out: &mut String) {
        out.clear();
        for (index, (prefix, motion)) in self.lines.iter().enumerate() {
            out.push_str(prefix);
            let index = index as u64;
            // Below `rate`, so that a counter never falls.
            let noise = |rate: u64, index: u64| hash(target, index, t) % rate.max(1);
            let base = hash(target, index, u64::MAX) % 1_000_000;
            let written = match *motion {
                Motion::Constant(value) => writeln!(out, "{value}"),
                Motion::Counter(rate) => writeln!(out, "{}", base + rate * t + noise(rate, index)),
                Motion::Seconds(rate) => {
                    let hundredths = base + rate * t + noise(rate, index);
                    writeln!(out, "{}.{:02}", hundredths / 100, hundredths % 100)
                }
                Motion::Pages(level) => {
                    let pages = level + level / 10 + noise(1 + level / 5, index);
                    writeln!(out, "{}", pages * 4096)
                }
                Motion::Bucket(rate, part) => {
                    // All buckets of a handler are parts of one counter.
                    writeln!(out, "{}", (rate * t + noise(rate, rate)) * part / 1000)
                }
            };
            written.unwrap();
        }
    }
}
