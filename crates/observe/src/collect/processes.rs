//! Processes grouped by name, with process-exporter's metric names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::proc_files::{TICKS_PER_SECOND, number, read};
use super::text::Text;

/// Processes that are looked at.
const PROCESSES_MAX: usize = 20_000;
/// Groups that are listed: those with most CPU time and those with most memory, this many of each.
const TOP: usize = 15;
/// Processes of a group whose open files are counted: each costs a directory listing.
const FILES_COUNTED_MAX: usize = 2_000;

/// What the processes of one name use together.
#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    processes: f64,
    threads: f64,
    cpu_user: f64,
    cpu_system: f64,
    resident: f64,
    virtual_size: f64,
    major_faults: f64,
    oldest_start: f64,
    open_files: Option<f64>,
}

/// Metric, kind and help (empty when the family goes on), label, and the figure it shows.
type Family = (
    &'static str,
    &'static str,
    &'static str,
    Option<(&'static str, &'static str)>,
    fn(&Group) -> Option<f64>,
);

/// Reads all processes of `/proc`.
pub(super) fn collect(proc_dir: &Path) -> String {
    let groups = top_groups(read_groups(proc_dir));
    let boot = read(&proc_dir.join("stat")).and_then(|stat| {
        stat.lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok())
    });
    let mut text = Text::default();
    let families: [Family; 9] = [
        (
            "num_procs",
            "gauge",
            "Number of processes in this group.",
            None,
            |g| Some(g.processes),
        ),
        ("num_threads", "gauge", "Number of threads.", None, |g| {
            Some(g.threads)
        }),
        (
            "cpu_seconds_total",
            "counter",
            "CPU user time in seconds.",
            Some(("mode", "user")),
            |g| Some(g.cpu_user),
        ),
        ("cpu_seconds_total", "", "", Some(("mode", "system")), |g| {
            Some(g.cpu_system)
        }),
        (
            "memory_bytes",
            "gauge",
            "Number of bytes of memory in use.",
            Some(("memtype", "resident")),
            |g| Some(g.resident),
        ),
        ("memory_bytes", "", "", Some(("memtype", "virtual")), |g| {
            Some(g.virtual_size)
        }),
        (
            "major_page_faults_total",
            "counter",
            "Major page faults.",
            None,
            |g| Some(g.major_faults),
        ),
        (
            "open_filedesc",
            "gauge",
            "Number of open file descriptors.",
            None,
            |g| g.open_files,
        ),
        (
            "oldest_start_time_seconds",
            "gauge",
            "Start time of the oldest process in the group.",
            None,
            |g| Some(g.oldest_start),
        ),
    ];
    for (name, kind, help, label, pick) in families {
        let metric = format!("namedprocess_namegroup_{name}");
        if !kind.is_empty() {
            text.family(&metric, kind, help);
        }
        for (group, values) in &groups {
            let Some(mut value) = pick(values) else {
                continue;
            };
            if name == "oldest_start_time_seconds" {
                let Some(boot) = boot else { continue };
                value += boot;
            }
            let mut labels = vec![("groupname", group.as_str())];
            labels.extend(label);
            text.sample(&metric, &labels, value);
        }
    }
    text.finish()
}

fn read_groups(proc_dir: &Path) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(proc_dir) else {
        return groups;
    };
    let mut files_counted = 0;
    for entry in entries.flatten().take(PROCESSES_MAX) {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        let Some(stat) = is_process
            .then(|| read(&entry.path().join("stat")))
            .flatten()
        else {
            continue;
        };
        let Some((name, one)) = parse_stat(&stat) else {
            continue;
        };
        // Kernel threads have no memory.
        if one.virtual_size == 0.0 {
            continue;
        }
        let group = groups.entry(name).or_insert_with(|| Group {
            oldest_start: f64::INFINITY,
            ..Group::default()
        });
        group.processes += 1.0;
        group.threads += one.threads;
        group.cpu_user += one.cpu_user;
        group.cpu_system += one.cpu_system;
        group.resident += one.resident;
        group.virtual_size += one.virtual_size;
        group.major_faults += one.major_faults;
        group.oldest_start = group.oldest_start.min(one.oldest_start);
        files_counted += 1;
        if files_counted <= FILES_COUNTED_MAX
            && let Ok(files) = std::fs::read_dir(entry.path().join("fd"))
        {
            *group.open_files.get_or_insert(0.0) += files.count() as f64;
        }
    }
    groups
}

/// Name and figures of `/proc/<pid>/stat`. The name is in parentheses and may hold anything, parentheses included.
fn parse_stat(stat: &str) -> Option<(String, Group)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    // From field 3 (state) on.
    let words: Vec<&str> = tail.split_ascii_whitespace().collect();
    let field = |n: usize| number(&words, n - 3);
    let group = Group {
        processes: 1.0,
        major_faults: field(12)?,
        cpu_user: field(14)? / TICKS_PER_SECOND,
        cpu_system: field(15)? / TICKS_PER_SECOND,
        threads: field(20)?,
        oldest_start: field(22)? / TICKS_PER_SECOND,
        virtual_size: field(23)?,
        resident: field(24)? * rustix::param::page_size() as f64,
        open_files: None,
    };
    Some((name.to_owned(), group))
}

/// Keeps the biggest groups.
fn top_groups(groups: BTreeMap<String, Group>) -> BTreeMap<String, Group> {
    let biggest = |size: fn(&Group) -> f64| {
        let mut names: Vec<&String> = groups.keys().collect();
        names.sort_by(|a, b| {
            size(&groups[*b])
                .total_cmp(&size(&groups[*a]))
                .then(a.cmp(b))
        });
        names
            .into_iter()
            .take(TOP)
            .cloned()
            .collect::<BTreeSet<String>>()
    };
    let mut kept = biggest(|group| group.cpu_user + group.cpu_system);
    kept.extend(biggest(|group| group.resident));
    groups
        .into_iter()
        .filter(|(name, _)| kept.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_read() {
        let stat = "42 (a) (b c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 1000 4096 2 0";
        let (name, group) = parse_stat(stat).unwrap();
        assert_eq!(name, "a) (b c");
        assert_eq!(
            (group.cpu_user, group.cpu_system, group.threads),
            (1.5, 0.5, 3.0)
        );
        assert_eq!(
            (group.major_faults, group.oldest_start, group.virtual_size),
            (9.0, 10.0, 4096.0)
        );
        assert_eq!(parse_stat("garbage"), None);
        assert_eq!(parse_stat(") ("), None);
    }

    #[test]
    fn only_the_biggest_groups_are_listed() {
        let groups = (0..100)
            .map(|n| {
                (
                    format!("p{n:02}"),
                    Group {
                        cpu_user: f64::from(n),
                        resident: f64::from(100 - n),
                        ..Group::default()
                    },
                )
            })
            .collect();
        let kept = top_groups(groups);
        assert_eq!(kept.len(), 2 * TOP);
        assert!(kept.contains_key("p99") && kept.contains_key("p00") && !kept.contains_key("p50"));
    }

    #[test]
    fn this_host_has_processes() {
        assert!(
            collect(Path::new("/proc")).contains("namedprocess_namegroup_num_procs{groupname=")
        );
    }
}
