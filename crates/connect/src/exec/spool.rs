//! The folder of one step: what is in it and what it means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Captured, ExecOutcome, ExecResult, ExecSpec, KEPT, Stream};

/// Longest folder name made of a key as it is.
const MAX_NAME: usize = 120;
/// How much new output is handed on at once.
const FEED: u64 = 256 << 10;

/// A process, told apart from later ones with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: i32,
    /// Clock ticks between boot and its start.
    start: u64,
    boot: String,
}

/// The folder of one step.
#[derive(Clone, Debug)]
pub(super) struct Spool(PathBuf);

// === impl Spool ===

impl Spool {
    pub(super) fn new(folder: &Path, key: &str) -> Self {
        Self(folder.join(folder_name(key)))
    }

    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Makes the folder with the specification in it. `false`: it was there.
    pub(super) fn create(&self, spec: &ExecSpec) -> io::Result<bool> {
        let parent = self.0.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
        match fs::DirBuilder::new().mode(0o700).create(&self.0) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        }
        self.write("spec", spec)?;
        File::open(parent)?.sync_all()?;
        Ok(true)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Writes a file that is there whole or not at all, also after a power cut.
    pub(super) fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let temporary = self.file(&format!(".{name}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.file(name))?;
        File::open(&self.0)?.sync_all()
    }

    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.file(name)).ok()?).ok()
    }

    /// Takes the right to decide whether the command runs; one taker ever gets it.
    pub(super) fn claim(&self, taker: &str) -> bool {
        let claimed = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.file("claim"))
            .and_then(|mut file| {
                file.write_all(taker.as_bytes())?;
                file.sync_all()?;
                File::open(&self.0)?.sync_all()
            });
        claimed.is_ok()
    }

    /// Makes room for a supervisor in the place of one that is dead.
    pub(super) fn forget_supervisor(&self) -> io::Result<()> {
        match fs::remove_file(self.file("pid")) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Whether a supervisor has taken the right to run it.
    pub(super) fn was_started(&self) -> bool {
        fs::read_to_string(self.file("claim")).is_ok_and(|taker| taker == "started")
    }

    /// Makes sure that the command never runs. `None`: the supervisor was faster.
    pub(super) fn give_up(&self, reason: &str) -> Option<ExecResult> {
        if !self.claim("given up") {
            return None;
        }
        let result = ExecResult::never(reason);
        // If this cannot be written, the claim still says that it never ran.
        drop(self.write("exit", &result));
        Some(result)
    }

    /// The result, when there is one.
    pub(super) fn result(&self) -> Option<ExecResult> {
        let mut result: ExecResult = self.read("exit")?;
        self.add_text(&mut result.stdout, "stdout");
        self.add_text(&mut result.stderr, "stderr");
        Some(result)
    }

    /// What is known of a step whose supervisor is gone and left no result.
    pub(super) fn lost(&self) -> ExecResult {
        if let Some(result) = self.result() {
            return result;
        }
        if let Some(result) = self.give_up("the supervisor ended before it started the command") {
            return result;
        }
        let taker = fs::read_to_string(self.file("claim")).unwrap_or_default();
        if taker == "given up" {
            return ExecResult::never("it was given up before it started");
        }
        let still_runs = self
            .read::<Identity>("child")
            .is_some_and(|child| child.is_alive());
        let reason = if still_runs {
            "its supervisor was killed and it may still be running"
        } else {
            "its supervisor was killed before it could write down how it ended"
        };
        let mut result = ExecResult::without_output(ExecOutcome::Unknown {
            reason: reason.to_owned(),
        });
        for (captured, name) in [
            (&mut result.stdout, "stdout"),
            (&mut result.stderr, "stderr"),
        ] {
            captured.bytes = fs::metadata(self.file(name)).map_or(0, |data| data.len());
            self.add_text(captured, name);
            captured.sha256 = hex(&Sha256::digest(captured.text.as_bytes()));
        }
        result
    }

    /// Whether the supervisor lives; `None` while it has not said who it is.
    pub(super) fn supervisor_is_alive(&self) -> Option<bool> {
        Some(self.read::<Identity>("pid")?.is_alive())
    }

    /// Asks the supervisor to end the step.
    pub(super) fn signal_supervisor(&self) -> bool {
        let Some(supervisor) = self.read::<Identity>("pid") else {
            return false;
        };
        supervisor.is_alive()
            && Pid::from_raw(supervisor.pid)
                .is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok())
    }

    /// Hands on output that came since the last call. Returns whether there was some.
    pub(super) fn feed(&self, seen: &mut [u64; 2], sink: &dyn Fn(Stream, &[u8])) -> bool {
        let mut news = false;
        for (index, (stream, name)) in [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")]
            .into_iter()
            .enumerate()
        {
            while let Ok(bytes) = read_from(&self.file(name), seen[index])
                && !bytes.is_empty()
            {
                seen[index] += bytes.len() as u64;
                sink(stream, &bytes);
                news = true;
            }
        }
        news
    }

    fn add_text(&self, captured: &mut Captured, name: &str) {
        let head = read_limited(&self.file(name), KEPT);
        let tail = read_limited(&self.file(&format!("{name}.tail")), KEPT);
        let left_out = captured
            .bytes
            .saturating_sub(head.len() as u64 + tail.len() as u64);
        captured.text = String::from_utf8_lossy(&head).into_owned();
        if left_out > 0 {
            captured
                .text
                .push_str(&format!("\n… {left_out} bytes left out …\n"));
        }
        captured.text.push_str(&String::from_utf8_lossy(&tail));
    }
}

fn read_from(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(FEED).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_limited(path: &Path, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What could be read is what there is to show.
        drop(file.take(limit).read_to_end(&mut bytes));
    }
    bytes
}

/// A folder name for a key: readable, without separators, and different for different keys.
pub(super) fn folder_name(key: &str) -> String {
    let mut name = String::new();
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'/' => name.push('+'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.is_empty() || name.len() > MAX_NAME {
        name.truncate(MAX_NAME);
        name.push('=');
        name.push_str(&hex(&Sha256::digest(key.as_bytes())));
    }
    name
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

// === impl Identity ===

impl Identity {
    /// The process with this number, if it lives.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let (start, _) = start_and_state(pid)?;
        Some(Self {
            pid,
            start,
            boot: boot_id(),
        })
    }

    fn is_alive(&self) -> bool {
        self.boot == boot_id()
            && start_and_state(self.pid)
                .is_some_and(|(start, state)| start == self.start && !matches!(state, 'Z' | 'X'))
    }
}

/// Fields 22 and 3 of `/proc/PID/stat`; the name in field 2 may hold anything, also parentheses.
fn start_and_state(pid: i32) -> Option<(u64, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((start, state))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}
