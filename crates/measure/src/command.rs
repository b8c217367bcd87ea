//! One command, run once in a fresh process and measured.

use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use bellwether_env::{Clock, SystemClock};
use nix::sys::resource::{UsageWho, getrusage};

/// What is run.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Given to `sh -c`.
    pub shell: String,
    /// Where; the present folder by default.
    pub folder: Option<PathBuf>,
    pub variables: Vec<(String, String)>,
}

/// What one run cost.
#[derive(Clone, Debug)]
pub struct Measured {
    /// From the start of the process to its end.
    pub wall: Duration,
    /// User and system time of the process and of all its children that it waited for.
    pub cpu: Duration,
    /// The highest resident memory of any one process of it; 0 when it ended before it could be read.
    pub peak_bytes: u64,
    /// What it printed, up to [`OUTPUT_MAX`].
    pub output: String,
    /// The end of what it printed to standard error.
    pub errors: String,
}

/// Why a run gave no measurement.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("start {command:?}: {source}")]
    Start {
        command: String,
        source: std::io::Error,
    },
    #[error("{command:?} ended with {status}{errors}")]
    Failed {
        command: String,
        status: String,
        errors: String,
    },
    #[error("{command:?} was ended after {seconds} s, its time limit")]
    TimedOut { command: String, seconds: u64 },
    #[error("{command:?} printed more than {max} bytes")]
    TooMuch { command: String, max: usize },
}

/// Bytes of standard output that are kept; a run that prints more is an error, because results would be missing.
pub const OUTPUT_MAX: usize = 64 << 20;
const ERRORS_MAX: usize = 4096;

/// One at a time: the CPU time of children is one counter of the whole process.
static ONE: Mutex<()> = Mutex::new(());

/// Runs a command and waits for its end. Blocks; two measurements never run at once.
pub fn measure(subject: &Subject, limit: Duration) -> Result<Measured, RunError> {
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let clock = SystemClock::new();
    let command = || subject.shell.clone();
    let cpu_before = children_cpu();
    let start = clock.monotonic();
    let mut builder = Command::new("sh");
    builder
        .args(["-c", &subject.shell])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .envs(subject.variables.iter().map(|(name, value)| (name, value)))
        .process_group(0);
    if let Some(folder) = &subject.folder {
        builder.current_dir(folder);
    }
    let mut child = builder.spawn().map_err(|source| RunError::Start {
        command: command(),
        source,
    })?;
    let pid = child.id();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (done, is_done) = channel::<()>();
    let (wall, status, peak_bytes, timed_out, output, errors) = std::thread::scope(|scope| {
        let output = scope.spawn(move || {
            stdout
                .map(|pipe| read_up_to(pipe, OUTPUT_MAX))
                .unwrap_or_default()
        });
        let errors = scope.spawn(move || {
            stderr
                .map(|pipe| read_up_to(pipe, 1 << 20))
                .unwrap_or_default()
        });
        let watch = scope.spawn(move || watch(pid, limit, &is_done));
        let status = child.wait();
        let wall = clock.monotonic().saturating_sub(start);
        drop(done);
        let (peak, timed_out) = watch.join().unwrap_or_default();
        // A grandchild that keeps the pipe open would hold the readers up for ever.
        end_group(pid);
        (
            wall,
            status,
            peak,
            timed_out,
            output.join().unwrap_or_default(),
            errors.join().unwrap_or_default(),
        )
    });
    let cpu = children_cpu().saturating_sub(cpu_before);
    if timed_out {
        return Err(RunError::TimedOut {
            command: command(),
            seconds: limit.as_secs(),
        });
    }
    let errors = tail(&String::from_utf8_lossy(&errors));
    let status = status.map_err(|source| RunError::Start {
        command: command(),
        source,
    })?;
    if !status.success() {
        let status = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown status".to_owned(),
        };
        let errors = if errors.is_empty() {
            errors
        } else {
            format!(": {}", errors.trim_end())
        };
        return Err(RunError::Failed {
            command: command(),
            status,
            errors,
        });
    }
    if output.len() > OUTPUT_MAX {
        return Err(RunError::TooMuch {
            command: command(),
            max: OUTPUT_MAX,
        });
    }
    Ok(Measured {
        wall,
        cpu,
        peak_bytes,
        output: String::from_utf8_lossy(&output).into_owned(),
        errors,
    })
}

/// User and system time of all children that have ended and been waited for.
fn children_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Duration::ZERO;
    };
    let micros = [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec())
        .sum::<i64>();
    Duration::from_micros(micros.unsigned_abs())
}

/// Follows the memory of the process and its children until it ends, and ends it when its time is over.
fn watch(pid: u32, limit: Duration, is_done: &Receiver<()>) -> (u64, bool) {
    let clock = SystemClock::new();
    let mut peak = 0;
    loop {
        peak = peak.max(tree_peak(pid, 0));
        // Often at first, so that short runs are seen too.
        let pause =
            (clock.monotonic() / 50).clamp(Duration::from_millis(1), Duration::from_millis(20));
        match is_done.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) if clock.monotonic() > limit => {
                end_group(pid);
                return (peak, true);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return (peak, false),
        }
    }
}

/// The highest `VmHWM` of a process and its children. It never falls while a process lives, so the last look counts.
fn tree_peak(pid: u32, depth: usize) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024);
    if depth > 16 {
        return own;
    }
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .map(|child| tree_peak(child, depth + 1))
        .fold(own, u64::max)
}

fn end_group(pid: u32) {
    if let Some(group) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // The group is gone when everything in it has ended, which is what is wanted.
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// Reads to the end, keeping one byte more than the limit at most: the writer must not be held up.
fn read_up_to(mut pipe: impl Read, max: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        let room = (max + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    kept
}

fn tail(text: &str) -> String {
    let from = text.len().saturating_sub(ERRORS_MAX);
    let from = (from..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(shell: &str) -> Result<Measured, RunError> {
        let subject = Subject {
            shell: shell.to_owned(),
            ..Subject::default()
        };
        measure(&subject, Duration::from_secs(20))
    }

    #[test]
    fn time_memory_and_output_are_measured() {
        let measured = run("i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo $i").unwrap();
        assert_eq!(measured.output, "60000\n");
        assert!(
            measured.cpu > Duration::ZERO && measured.cpu <= measured.wall * 2,
            "{measured:?}"
        );
        assert!(
            (100_000..1 << 30).contains(&measured.peak_bytes),
            "{measured:?}"
        );
        let large = run("head -c 50000000 /dev/zero | tail -c 40000000 | wc -c").unwrap();
        assert!(
            large.peak_bytes > 35_000_000,
            "tail keeps it all: {large:?}"
        );
    }

    #[test]
    fn failures_say_what_happened() {
        let failed = run("echo no such luck >&2; exit 3")
            .unwrap_err()
            .to_string();
        assert!(
            failed.ends_with("ended with exit code 3: no such luck"),
            "{failed}"
        );
        assert!(
            run("kill -9 $$")
                .unwrap_err()
                .to_string()
                .contains("signal 9")
        );
        let subject = Subject {
            shell: "sleep 60 & wait".to_owned(),
            ..Subject::default()
        };
        let late = measure(&subject, Duration::from_millis(200)).unwrap_err();
        assert!(matches!(late, RunError::TimedOut { .. }), "{late}");
    }

    #[test]
    fn a_child_left_behind_does_not_hold_up_the_run() {
        let measured = run("sleep 60 & echo done").unwrap();
        assert_eq!(measured.output, "done\n");
        assert!(measured.wall < Duration::from_secs(10));
    }
}
