//! Disks and file systems.

use std::collections::BTreeSet;

use rustix::fs::statvfs;

use super::super::proc_files::number;
use super::super::text::Text;
use super::Host;

/// Devices and mounts that are listed.
const ENTRIES_MAX: usize = 500;

/// Metric, kind, help, column in `/proc/diskstats`, factor.
const DISK_COLUMNS: [(&str, &str, &str, usize, f64); 11] = [
    (
        "reads_completed_total",
        "counter",
        "The total number of reads completed successfully.",
        3,
        1.0,
    ),
    (
        "reads_merged_total",
        "counter",
        "The total number of reads merged.",
        4,
        1.0,
    ),
    (
        "read_bytes_total",
        "counter",
        "The total number of bytes read successfully.",
        5,
        512.0,
    ),
    (
        "read_time_seconds_total",
        "counter",
        "The total number of seconds spent by all reads.",
        6,
        0.001,
    ),
    (
        "writes_completed_total",
        "counter",
        "The total number of writes completed successfully.",
        7,
        1.0,
    ),
    (
        "writes_merged_total",
        "counter",
        "The number of writes merged.",
        8,
        1.0,
    ),
    (
        "written_bytes_total",
        "counter",
        "The total number of bytes written successfully.",
        9,
        512.0,
    ),
    (
        "write_time_seconds_total",
        "counter",
        "The total number of seconds spent by all writes.",
        10,
        0.001,
    ),
    (
        "io_now",
        "gauge",
        "The number of I/Os currently in progress.",
        11,
        1.0,
    ),
    (
        "io_time_seconds_total",
        "counter",
        "Total seconds spent doing I/Os.",
        12,
        0.001,
    ),
    (
        "io_time_weighted_seconds_total",
        "counter",
        "The weighted number of seconds spent doing I/Os.",
        13,
        0.001,
    ),
];

pub(super) fn disk_stats(host: &Host, text: &mut Text) {
    let Some(stats) = host.proc_text("diskstats") else {
        return;
    };
    let disks: Vec<Vec<&str>> = stats
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|words| words.get(2).is_some_and(|device| !is_ignored(device)))
        .take(ENTRIES_MAX)
        .collect();
    if disks.is_empty() {
        return;
    }
    for (name, kind, help, column, factor) in DISK_COLUMNS {
        let metric = format!("node_disk_{name}");
        text.family(&metric, kind, help);
        for words in &disks {
            if let Some(value) = number(words, column) {
                text.sample(&metric, &[("device", words[2])], value * factor);
            }
        }
    }
}

/// RAM disks, loop devices and partitions, as node_exporter leaves them out.
fn is_ignored(device: &str) -> bool {
    let digits_after = |prefix: &str| {
        device
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let partition_of = |prefixes: &[&str]| {
        prefixes.iter().any(|prefix| {
            device.strip_prefix(prefix).is_some_and(|rest| {
                let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
                letters > 0
                    && rest.len() > letters
                    && rest[letters..].bytes().all(|b| b.is_ascii_digit())
            })
        })
    };
    let nvme_partition = device.starts_with("nvme")
        && device.rsplit_once('p').is_some_and(|(head, tail)| {
            head.contains('n') && !tail.is_empty() && tail.bytes().all(|b| b.is_ascii_digit())
        });
    ["ram", "loop", "fd", "zram"]
        .iter()
        .any(|prefix| digits_after(prefix))
        || partition_of(&["sd", "hd", "vd", "xvd"])
        || nvme_partition
}

pub(super) fn file_systems(host: &Host, text: &mut Text) {
    const VIRTUAL: [&str; 25] = [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "fusectl",
        "hugetlbfs",
        "iso9660",
        "mqueue",
        "nsfs",
        "overlay_ignored",
        "proc",
        "procfs",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tracefs",
        "erofs",
    ];
    let Some(mounts) = host
        .proc_text("1/mounts")
        .or_else(|| host.proc_text("self/mounts"))
    else {
        return;
    };
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for line in mounts.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [device, mount, kind, options, ..] = words[..] else {
            continue;
        };
        let mount = unescape(mount);
        let hidden = [
            "/proc",
            "/sys",
            "/dev",
            "/run/credentials",
            "/var/lib/docker",
            "/var/lib/containers/storage",
            "/run/user",
        ]
        .iter()
        .any(|prefix| mount == *prefix || mount.starts_with(&format!("{prefix}/")));
        // Network file systems can hang for ever when they are asked.
        let remote = kind.starts_with("nfs")
            || kind.starts_with("fuse")
            || matches!(kind, "cifs" | "smb3" | "9p" | "ceph" | "afs");
        if VIRTUAL.contains(&kind)
            || hidden
            || remote
            || !seen.insert(mount.clone())
            || rows.len() >= ENTRIES_MAX
        {
            continue;
        }
        let Ok(stat) = statvfs(mount.as_str()) else {
            continue;
        };
        if stat.f_blocks == 0 {
            continue;
        }
        let block = stat.f_frsize as f64;
        let read_only = options.split(',').any(|option| option == "ro");
        let values = [
            stat.f_blocks as f64 * block,
            stat.f_bfree as f64 * block,
            stat.f_bavail as f64 * block,
            stat.f_files as f64,
            stat.f_ffree as f64,
            f64::from(u8::from(read_only)),
        ];
        rows.push((unescape(device), mount, kind.to_owned(), values));
    }
    for (index, (name, help)) in [
        ("size_bytes", "Filesystem size in bytes."),
        ("free_bytes", "Filesystem free space in bytes."),
        (
            "avail_bytes",
            "Filesystem space available to non-root users in bytes.",
        ),
        ("files", "Filesystem total file nodes."),
        ("files_free", "Filesystem total free file nodes."),
        ("readonly", "Filesystem read-only status."),
    ]
    .into_iter()
    .enumerate()
    {
        let metric = format!("node_filesystem_{name}");
        text.family(&metric, "gauge", help);
        for (device, mount, kind, values) in &rows {
            text.sample(
                &metric,
                &[("device", device), ("fstype", kind), ("mountpoint", mount)],
                values[index],
            );
        }
    }
}

/// `\040` and the like in `/proc/mounts`.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}
