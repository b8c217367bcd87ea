//! A step on another host, over the system's ssh.
//!
//! A small POSIX shell program on the other side ([`WRAPPER`]) keeps the step's own spool folder there
//! (`~/.bellwether/steps/KEY`): it starts the body once for its key, in a session of its own that outlives the
//! connection, and follows it. Asking again with the same key follows the same process; so a lost connection, a
//! killed server and a killed supervisor all end in the truth, and only a host that was restarted leaves *unknown*.
//!
//! Secrets go over standard input as environment of the body and are never written to a disk there.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_model::Secret;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::capture::Capture;
use super::spool::{folder_name, hex};
use super::{ExecOutcome, ExecSpec, Program};

const WRAPPER: &str = include_str!("remote.sh");
/// Longest frame that is believed.
const FRAME_MAX: usize = 1 << 20;
const CONNECT: Duration = Duration::from_secs(15);
/// How long a connection may be silent: the other side says something ten times a second.
const SILENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long the other side is looked for after the step's time is over.
const SEARCH: Duration = Duration::from_secs(30);

/// Where a step stands in its streams, kept over reconnections.
#[derive(Clone, Copy, Default)]
struct Seen {
    out: u64,
    err: u64,
}

/// How one connection ended.
enum Ended {
    Known(ExecOutcome),
    /// The connection broke; what ssh said.
    Lost(String),
}

/// What [`run`] needs.
pub(super) struct Remote<'a> {
    pub(super) spec: &'a ExecSpec,
    pub(super) secrets: &'a BTreeMap<String, Secret>,
    pub(super) captures: [Arc<Mutex<Capture>>; 2],
    /// The step was handed over before: only find out what became of it.
    pub(super) attach: bool,
}

/// Runs a step there, or finds it again, until its end is known or nobody can know it.
pub(super) async fn run(remote: &Remote<'_>) -> io::Result<ExecOutcome> {
    let Program::Ssh { host, .. } = &remote.spec.program else {
        return Ok(ExecOutcome::FailedToStart {
            error: "not a step for another host".to_owned(),
        });
    };
    if host.is_empty() || host.starts_with('-') || host.contains(char::is_whitespace) {
        return Ok(ExecOutcome::FailedToStart {
            error: format!("{host:?} is not a host"),
        });
    }
    let clock = SystemClock::new();
    let time_max = remote.spec.timeout + remote.spec.grace + SEARCH;
    let mut seen = Seen::default();
    let mut pause = PAUSE;
    // Nothing was handed over before a connection stands, so without one it surely did not run.
    if !remote.attach
        && let Err(error) = connect(remote).await
    {
        return Ok(ExecOutcome::FailedToStart { error });
    }
    loop {
        match follow(remote, &mut seen).await? {
            Ended::Known(outcome) => return Ok(outcome),
            Ended::Lost(why) if clock.monotonic() > time_max => {
                return Ok(ExecOutcome::Unknown {
                    reason: format!("{host} cannot be reached any more: {why}"),
                });
            }
            Ended::Lost(_) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Asks the other side to end the step.
pub(super) async fn stop(spec: &ExecSpec) {
    let mut command = ssh(spec, "stop", Seen::default(), 0);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let time = spec.grace + CONNECT;
    if let Ok(mut child) = command.spawn()
        && tokio::time::timeout(time, child.wait()).await.is_err()
    {
        // Its own timeout ends the step there.
        drop(child.kill().await);
    }
}

/// Removes the step's output and body there, once its result is stored here. Its folder stays for a week, so that the
/// key never runs again.
pub(super) async fn forget(spec: &ExecSpec) {
    let mut command = ssh(spec, "forget", Seen::default(), 0);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if let Ok(mut child) = command.spawn() {
        drop(tokio::time::timeout(CONNECT, child.wait()).await);
    }
}

/// Opens the shared connection, or says why there is none.
async fn connect(remote: &Remote<'_>) -> Result<(), String> {
    let Program::Ssh { host, options, .. } = &remote.spec.program else {
        return Err("not a step for another host".to_owned());
    };
    let mut command = base(host, options);
    command
        .arg("true")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let ran = tokio::time::timeout(CONNECT, command.output()).await;
    match ran {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(said(&output.stderr, &output.status.to_string())),
        Ok(Err(error)) => Err(format!("ssh: {error}")),
        Err(_) => Err(format!("no connection to {host} within {CONNECT:?}")),
    }
}

/// The last line that ssh wrote about its fault.
fn said(stderr: &[u8], status: &str) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    let line: String = line.unwrap_or(status).trim().chars().take(300).collect();
    format!("ssh: {line}")
}

/// One connection: hands over (again), and takes frames until there is an end.
async fn follow(remote: &Remote<'_>, seen: &mut Seen) -> io::Result<Ended> {
    let (input, size) = handover(remote);
    let mode = if remote.attach { "attach" } else { "run" };
    let mut command = ssh(remote.spec, mode, *seen, size);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Ended::Lost(error.to_string())),
    };
    let mut stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let feed = async move {
        if let Some(mut stdin) = stdin.take() {
            // One that attaches reads nothing. Dropping it is the end of the file.
            drop(stdin.write_all(&input).await);
        }
        std::future::pending::<()>().await;
    };
    let ended = match stdout {
        Some(stdout) => tokio::select! {
            ended = take_frames(BufReader::new(stdout), remote, seen) => ended,
            () = feed => None,
        },
        None => None,
    };
    Ok(match ended {
        Some(outcome) => {
            drop(child.kill().await);
            Ended::Known(outcome)
        }
        None => Ended::Lost(last_words(child).await),
    })
}

async fn last_words(mut child: Child) -> String {
    drop(child.start_kill());
    let mut text = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let reading = async { stderr.take(4_096).read_to_end(&mut text).await };
        drop(tokio::time::timeout(Duration::from_secs(1), reading).await);
    }
    drop(tokio::time::timeout(Duration::from_secs(2), child.wait()).await);
    said(&text, "the connection broke")
}

/// `None`: the stream ended, fell silent, or made no sense.
async fn take_frames(
    mut stream: BufReader<tokio::process::ChildStdout>,
    remote: &Remote<'_>,
    seen: &mut Seen,
) -> Option<ExecOutcome> {
    loop {
        let mut line = String::new();
        let mut limited = (&mut stream).take(512);
        let reading = limited.read_line(&mut line);
        let read = tokio::time::timeout(SILENCE, reading).await.ok()?.ok()?;
        if read == 0 || !line.ends_with('\n') {
            return None;
        }
        let (letter, rest) = line
            .trim_end()
            .split_once(' ')
            .unwrap_or((line.trim_end(), ""));
        match letter {
            "B" | "P" => {}
            "O" | "E" => {
                let size: usize = rest.parse().ok().filter(|size| *size <= FRAME_MAX)?;
                let mut bytes = vec![0; size];
                let reading = stream.read_exact(&mut bytes);
                tokio::time::timeout(SILENCE, reading).await.ok()?.ok()?;
                let (capture, at) = if letter == "O" {
                    (&remote.captures[0], &mut seen.out)
                } else {
                    (&remote.captures[1], &mut seen.err)
                };
                *at += size as u64;
                let mut capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
                // A full disk here must not stop the step there.
                drop(capture.push(&bytes));
            }
            "X" => return Some(ended_with(rest.parse().ok()?)),
            "T" => return Some(ExecOutcome::TimedOut),
            "N" => {
                return Some(ExecOutcome::FailedToStart {
                    error: "it was not handed over whole, or was given up before it began"
                        .to_owned(),
                });
            }
            "U" => {
                return Some(ExecOutcome::Unknown {
                    reason: rest.chars().take(300).collect(),
                });
            }
            _ => return None,
        }
    }
}

/// A shell says 128 + n for a process that signal n ended.
fn ended_with(code: i32) -> ExecOutcome {
    match code {
        129..=192 => ExecOutcome::Signalled { signal: code - 128 },
        code => ExecOutcome::Exited { code },
    }
}

/// The environment as shell words, a line that ends it, then the body; and the body's size.
fn handover(remote: &Remote<'_>) -> (Vec<u8>, usize) {
    let Program::Ssh { body, .. } = &remote.spec.program else {
        return (Vec::new(), 0);
    };
    let mut text = String::new();
    let plain = remote
        .spec
        .env
        .iter()
        .map(|(name, value)| (name, value.as_str()));
    let secret = remote
        .secrets
        .iter()
        .map(|(name, value)| (name, value.expose()));
    for (name, value) in plain.chain(secret) {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    text.push_str(&mark(&remote.spec.key));
    text.push('\n');
    text.push_str(body);
    (text.into_bytes(), body.len())
}

fn mark(key: &str) -> String {
    format!("#--{}--", &hex(&Sha256::digest(key.as_bytes()))[..32])
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn ssh(spec: &ExecSpec, mode: &str, seen: Seen, size: usize) -> Command {
    let Program::Ssh {
        host,
        options,
        shell,
        ..
    } = &spec.program
    else {
        return Command::new("false");
    };
    let shell = if shell == "sh" {
        "sh -eu"
    } else {
        "bash -euo pipefail"
    };
    let words = [
        folder_name(&spec.key),
        mode.to_owned(),
        spec.timeout.as_secs_f64().ceil().to_string(),
        spec.grace.as_secs_f64().ceil().to_string(),
        shell.to_owned(),
        seen.out.to_string(),
        seen.err.to_string(),
        size.to_string(),
        mark(&spec.key),
    ];
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let mut command = base(host, options);
    command.arg(format!(
        "sh -c {} bellwether {}",
        quoted(WRAPPER),
        words.join(" ")
    ));
    command
}

/// The system's ssh, never asking anybody anything, sharing one connection per host.
fn base(host: &str, options: &[String]) -> Command {
    let mut command = Command::new("ssh");
    command
        .args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"])
        .args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]);
    if let Some(folder) = sockets() {
        command
            .args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60"])
            .arg("-o")
            .arg(format!("ControlPath={}/%C", folder.display()));
    }
    command
        .args(options)
        .arg("--")
        .arg(host)
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A folder for the shared connections' sockets that is ours alone; a socket's path must be short.
fn sockets() -> Option<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("bellwether-ssh-{user}"));
    drop(std::fs::DirBuilder::new().mode(0o700).create(&folder));
    let found = std::fs::symlink_metadata(&folder).ok()?;
    (found.is_dir() && found.uid() == user && found.mode().trailing_zeros() >= 6).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::{ended_with, quoted};
    use crate::exec::ExecOutcome;

    #[test]
    fn words_are_quoted_for_any_shell() {
        assert_eq!(quoted("it's $HOME `x`\n"), "'it'\\''s $HOME `x`\n'");
    }

    #[test]
    fn a_shells_code_tells_a_signal() {
        assert_eq!(ended_with(143), ExecOutcome::Signalled { signal: 15 });
        assert_eq!(ended_with(255), ExecOutcome::Exited { code: 255 });
        assert_eq!(ended_with(0), ExecOutcome::Exited { code: 0 });
    }
}
