//! Shell steps that survive the death of this program.
//!
//! A step runs under a supervisor, a process of its own in its own session: this same program, started with a hidden
//! command that calls [`supervise()`]. The supervisor enforces the timeout, takes secrets out of the output, and
//! writes everything to the step's spool folder; the caller only watches that folder. So a restarted caller
//! re-attaches to a step that still runs, reads the result of one that has ended, and says *unknown* only when the
//! supervisor itself was killed.
//!
//! Exactly once: the folder is made once per key, and one file in it (`claim`) decides for good whether the
//! supervisor may start the command or a restarted caller has given it up. Normal output files hold at most the
//! first part of a stream; the last part is kept apart.
//!
//! A process that the step leaves in the background lives on after a normal end and is not waited for; after a
//! timeout the whole process group is killed.

mod capture;
mod remote;
mod spool;
mod supervise;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::Secret;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use spool::Spool;

pub use supervise::supervise;

/// Bytes of each stream that are kept from its beginning, and as many from its end.
pub const KEPT: u64 = 1 << 20;
/// How long a supervisor that a dead caller may have started can take to say who it is, before the step is given up.
const START_WAIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
const POLL_MAX: Duration = Duration::from_millis(250);

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A body for `bash -euo pipefail`.
    Bash(String),
    /// A body for `sh -eu`.
    Sh(String),
    /// A program and its arguments; no shell. `input` is its standard input.
    Argv {
        words: Vec<String>,
        #[serde(default)]
        input: String,
    },
    /// A body for `bash -euo pipefail` or `sh -eu` on another host, over the system's ssh.
    Ssh {
        host: String,
        /// Further options of ssh, such as `-F` and a file.
        options: Vec<String>,
        /// `bash` or `sh`.
        shell: String,
        body: String,
    },
}

/// A step to run. Holds no secret: those are handed to [`Executor::start`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// `run/step/attempt`: the same key is never run twice.
    pub key: String,
    pub program: Program,
    /// The whole environment, besides `PATH`, `LANG` and `HOME` where they are not given, and the secrets.
    pub env: BTreeMap<String, String>,
    /// Working directory; the spool folder if there is none.
    pub cwd: Option<PathBuf>,
    /// After this long the process group gets SIGTERM.
    pub timeout: Duration,
    /// After this much longer, SIGKILL.
    pub grace: Duration,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExecOutcome {
    /// It ended by itself.
    Exited { code: i32 },
    /// A signal that was not ours ended it.
    Signalled { signal: i32 },
    /// It took longer than its timeout and was killed.
    TimedOut,
    /// [`Executor::cancel`] ended it.
    Cancelled,
    /// It surely never ran.
    FailedToStart { error: String },
    /// It may have run, wholly or in part.
    Unknown { reason: String },
}

/// One stream of output, without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// Beginning and end, with a line between them that says how much is left out.
    #[serde(skip)]
    pub text: String,
    /// Size of the whole.
    pub bytes: u64,
    /// Whether something was left out of `text`.
    pub truncated: bool,
    /// SHA-256 of the whole, in hex.
    pub sha256: String,
}

/// A step's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResult {
    pub outcome: ExecOutcome,
    pub stdout: Captured,
    pub stderr: Captured,
    pub duration_ms: u64,
}

/// A stream of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Is told output as it comes (the first [`KEPT`] bytes of each stream).
pub type OutputSink = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// Runs steps. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Executor {
    folder: PathBuf,
    supervisor: Vec<String>,
}

// === impl Executor ===

impl Executor {
    /// Steps spool below `folder`. `supervisor` is a command line that, with the spool folder's path appended, calls
    /// [`supervise()`]: this program and its hidden command.
    pub fn new(folder: PathBuf, supervisor: Vec<String>) -> Self {
        // Steps run in their spool folder: a path relative to ours would lead nowhere there.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self { folder, supervisor }
    }

    /// Runs a step to its end. If the key was started before, re-attaches instead, as [`Executor::attach`] does.
    /// Dropping the future leaves the step running.
    pub async fn start(
        &self,
        spec: ExecSpec,
        secrets: BTreeMap<String, Secret>,
        sink: Option<OutputSink>,
    ) -> ExecResult {
        let spool = Spool::new(&self.folder, &spec.key);
        match spool.create(&spec) {
            Ok(true) => {}
            Ok(false) => return self.watch(&spool, None, sink).await,
            Err(error) => return ExecResult::never(&format!("cannot spool: {error}")),
        }
        match self.spawn(&spool, &secrets).await {
            Ok(supervisor) => self.watch(&spool, Some(supervisor), sink).await,
            // The claim decides whether it surely did not run.
            Err(error) => match spool.give_up(&format!("cannot start the supervisor: {error}")) {
                Some(result) => result,
                None => self.watch(&spool, None, sink).await,
            },
        }
    }

    /// Finds out what became of a step after a restart: its result, or waits for it if it still runs. `None`: a step
    /// of this key was never started.
    pub async fn attach(&self, key: &str, sink: Option<OutputSink>) -> Option<ExecResult> {
        let spool = Spool::new(&self.folder, key);
        if !spool.exists() {
            return None;
        }
        // The other host knows more than a dead supervisor: ask it.
        if spool.result().is_none()
            && spool.supervisor_is_alive() != Some(true)
            && let Some(ExecSpec {
                program: Program::Ssh { .. },
                ..
            }) = spool.read("spec")
            && spool.was_started()
            && spool.forget_supervisor().is_ok()
            && let Ok(supervisor) = self.spawn(&spool, &BTreeMap::new()).await
        {
            return Some(self.watch(&spool, Some(supervisor), sink).await);
        }
        Some(self.watch(&spool, None, sink).await)
    }

    /// Ends a step's process group as its timeout would. Returns whether there was something to end.
    pub fn cancel(&self, key: &str) -> bool {
        Spool::new(&self.folder, key).signal_supervisor()
    }

    /// Removes what is kept of a step that has ended, once its result is stored elsewhere.
    pub fn forget(&self, key: &str) -> std::io::Result<()> {
        Spool::new(&self.folder, key).remove()
    }

    async fn spawn(
        &self,
        spool: &Spool,
        secrets: &BTreeMap<String, Secret>,
    ) -> std::io::Result<Child> {
        let (program, arguments) = self
            .supervisor
            .split_first()
            .ok_or_else(|| std::io::Error::other("no supervisor is configured"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(spool.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let exposed: BTreeMap<&str, &str> = secrets
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.expose()))
            .collect();
        let go = serde_json::to_vec(&exposed)?;
        // Without the whole of it the supervisor starts nothing.
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&go).await?;
            stdin.shutdown().await?;
        }
        Ok(child)
    }

    /// Follows the spool folder to the end.
    async fn watch(
        &self,
        spool: &Spool,
        mut supervisor: Option<Child>,
        sink: Option<OutputSink>,
    ) -> ExecResult {
        let mut seen = [0, 0];
        let mut pause = POLL;
        let mut unborn = Duration::ZERO;
        loop {
            // Looked at before the result, so that a result written in between is not missed.
            let alive = spool.supervisor_is_alive();
            let result = spool.result();
            let news = sink
                .as_ref()
                .is_some_and(|sink| spool.feed(&mut seen, sink.as_ref()));
            if let Some(result) = result {
                return result;
            }
            match alive {
                Some(true) => {}
                Some(false) => return spool.lost(),
                // Our own supervisor: its end is seen below.
                None if supervisor.is_some() => {}
                None => {
                    unborn += pause;
                    if unborn > START_WAIT {
                        return spool.lost();
                    }
                }
            }
            pause = if news {
                POLL
            } else {
                (pause * 3 / 2).min(POLL_MAX)
            };
            match &mut supervisor {
                Some(child) => {
                    // It ended or the pause is over; either way the folder says what there is to know.
                    let ended = tokio::time::timeout(pause, child.wait()).await.is_ok();
                    if ended {
                        supervisor = None;
                        pause = POLL;
                        if spool.supervisor_is_alive().is_none() {
                            return spool.result().unwrap_or_else(|| spool.lost());
                        }
                    }
                }
                None => tokio::time::sleep(pause).await,
            }
        }
    }
}

// === impl ExecResult ===

impl ExecResult {
    fn without_output(outcome: ExecOutcome) -> Self {
        Self {
            outcome,
            stdout: Captured::default(),
            stderr: Captured::default(),
            duration_ms: 0,
        }
    }

    fn never(error: &str) -> Self {
        Self::without_output(ExecOutcome::FailedToStart {
            error: error.to_owned(),
        })
    }
}
