//! The supervisor: the process between the server and a step.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_model::Secret;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::capture::Capture;
use super::spool::{Identity, Spool};
use super::{ExecOutcome, ExecResult, ExecSpec, Program, remote};
use crate::redact::Redactor;

/// Longest list of secrets on standard input.
const MAX_SECRETS: u64 = 4 << 20;
/// How long to wait for output that is still in the pipes after the command has ended.
const DRAIN: Duration = Duration::from_millis(500);
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the step whose spool folder this is, to its end. Standard input holds its secrets as a JSON object and must
/// be complete, or nothing is run. The program's hidden command returns what this returns.
pub fn supervise(folder: &Path) -> ExitCode {
    let spool = Spool::at(folder);
    match run(&spool) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever watches the folder learns why, if the command was not started yet.
            drop(spool.give_up(&format!("cannot supervise: {error}")));
            ExitCode::FAILURE
        }
    }
}

fn run(spool: &Spool) -> io::Result<()> {
    // Away from the terminal and the process group of the server: its end must not be ours.
    rustix::process::setsid()?;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let identity = Identity::of(pid).ok_or_else(|| io::Error::other("cannot read /proc"))?;
    spool.write("pid", &identity)?;
    let spec: ExecSpec = spool
        .read("spec")
        .ok_or_else(|| io::Error::other("the specification cannot be read"))?;
    let mut go = Vec::new();
    io::stdin().take(MAX_SECRETS).read_to_end(&mut go)?;
    let secrets: BTreeMap<String, Secret> = serde_json::from_slice(&go)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(run_step(spool, &spec, &secrets))?;
    if let Some(result) = &result {
        spool.write("exit", result)?;
        if matches!(spec.program, Program::Ssh { .. }) {
            runtime.block_on(remote::forget(&spec));
        }
    }
    // Pipes that a background process still holds must not keep us.
    runtime.shutdown_background();
    Ok(())
}

fn command(spool: &Spool, spec: &ExecSpec) -> io::Result<Command> {
    let shell = |shell: &str, options: &[&str], body: &str| {
        // A file, not standard input: a command of the body that reads its input must not eat the rest of the body.
        std::fs::write(spool.file("body"), body)?;
        let mut command = Command::new(shell);
        command.args(options).arg(spool.file("body"));
        Ok(command)
    };
    match &spec.program {
        Program::Bash(body) => shell("bash", &["-euo", "pipefail"], body),
        Program::Sh(body) => shell("sh", &["-eu"], body),
        Program::Argv { words, .. } => {
            let (program, arguments) = words
                .split_first()
                .ok_or_else(|| io::Error::other("the command is empty"))?;
            let mut command = Command::new(program);
            command.args(arguments);
            Ok(command)
        }
        Program::Ssh { .. } => Err(io::Error::other("runs on another host")),
    }
}

/// `None`: somebody has given the step up, so it must not run.
async fn run_step(
    spool: &Spool,
    spec: &ExecSpec,
    secrets: &BTreeMap<String, Secret>,
) -> io::Result<Option<ExecResult>> {
    let redactor = Redactor::new(secrets.values());
    let captures = [
        Arc::new(Mutex::new(Capture::new(spool, "stdout", &redactor)?)),
        Arc::new(Mutex::new(Capture::new(spool, "stderr", &redactor)?)),
    ];
    if let Program::Ssh { .. } = &spec.program {
        return run_there(spool, spec, secrets, captures).await;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let clock = SystemClock::new();
    let mut command = command(spool, spec)?;
    command
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .env("LANG", "C.UTF-8")
        .env("HOME", spool.path())
        .envs(&spec.env)
        .envs(secrets.iter().map(|(name, value)| (name, value.expose())))
        .current_dir(spec.cwd.as_deref().unwrap_or(spool.path()))
        .stdin(input(spool, spec)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if !spool.claim("started") {
        return Ok(None);
    }
    let started = clock.monotonic();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Ok(Some(ExecResult::never(&error.to_string())));
        }
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(identity) = pid.and_then(Identity::of) {
        spool.write("child", &identity)?;
    }
    let pumps = [
        pump(child.stdout.take(), Arc::clone(&captures[0])),
        pump(child.stderr.take(), Arc::clone(&captures[1])),
    ];
    let stop = async {
        let timeout = tokio::time::sleep(spec.timeout);
        tokio::pin!(timeout);
        loop {
            tokio::select! {
                () = &mut timeout => return ExecOutcome::TimedOut,
                _ = terminate.recv() => return ExecOutcome::Cancelled,
                _ = interrupt.recv() => return ExecOutcome::Cancelled,
                // The terminal of whoever started the server is gone: no reason to stop.
                _ = hang_up.recv() => {}
            }
        }
    };
    let outcome = tokio::select! {
        status = child.wait() => of_status(status?),
        outcome = stop => {
            kill(&mut child, pid, spec.grace).await?;
            outcome
        }
    };
    let duration = clock.monotonic().saturating_sub(started);
    for pump in pumps {
        // A background process may hold the pipe for ever.
        drop(tokio::time::timeout(DRAIN, pump).await);
    }
    result(spool, outcome, duration, &captures).map(Some)
}

fn result(
    spool: &Spool,
    outcome: ExecOutcome,
    duration: Duration,
    [stdout, stderr]: &[Arc<Mutex<Capture>>; 2],
) -> io::Result<ExecResult> {
    let finish = |capture: &Mutex<Capture>, name| {
        capture
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .finish(spool, name)
    };
    Ok(ExecResult {
        outcome,
        stdout: finish(stdout, "stdout")?,
        stderr: finish(stderr, "stderr")?,
        duration_ms: duration.as_millis() as u64,
    })
}

/// Standard input of the command: a file, so that nobody has to feed it.
fn input(spool: &Spool, spec: &ExecSpec) -> io::Result<Stdio> {
    match &spec.program {
        Program::Argv { input, .. } if !input.is_empty() => {
            std::fs::write(spool.file("input"), input)?;
            Ok(std::fs::File::open(spool.file("input"))?.into())
        }
        _ => Ok(Stdio::null()),
    }
}

/// A step on another host. A supervisor that finds the claim of an earlier one only asks what became of it.
async fn run_there(
    spool: &Spool,
    spec: &ExecSpec,
    secrets: &BTreeMap<String, Secret>,
    captures: [Arc<Mutex<Capture>>; 2],
) -> io::Result<Option<ExecResult>> {
    let attach = !spool.claim("started");
    if attach && !spool.was_started() {
        return Ok(None);
    }
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let mut hang_up = signal(SignalKind::hangup())?;
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let there = remote::Remote {
        spec,
        secrets,
        captures: captures.clone(),
        attach,
    };
    let running = remote::run(&there);
    tokio::pin!(running);
    let mut cancelled = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut running => break outcome?,
            _ = terminate.recv(), if !cancelled => cancelled = true,
            _ = interrupt.recv(), if !cancelled => cancelled = true,
            _ = hang_up.recv() => continue,
        }
        remote::stop(spec).await;
    };
    let outcome = match outcome {
        ExecOutcome::Exited { .. } | ExecOutcome::Signalled { .. } if cancelled => {
            ExecOutcome::Cancelled
        }
        outcome => outcome,
    };
    let took = clock.monotonic().saturating_sub(started);
    result(spool, outcome, took, &captures).map(Some)
}

fn of_status(status: ExitStatus) -> ExecOutcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExecOutcome::Exited { code },
        (None, Some(signal)) => ExecOutcome::Signalled { signal },
        (None, None) => ExecOutcome::Unknown {
            reason: status.to_string(),
        },
    }
}

/// SIGTERM to the process group, then SIGKILL to what is left of it.
async fn kill(child: &mut Child, pid: Option<i32>, grace: Duration) -> io::Result<()> {
    let group = pid.and_then(Pid::from_raw);
    let send = |signal| {
        if let Some(group) = group {
            // It fails only when nobody is left in the group.
            let _ = kill_process_group(group, signal);
        }
    };
    send(Signal::TERM);
    let ended = tokio::time::timeout(grace, child.wait()).await;
    // The command may have ended and left others behind that did not.
    send(Signal::KILL);
    if ended.is_err() {
        child.wait().await?;
    }
    Ok(())
}

fn pump(
    pipe: Option<impl AsyncRead + Unpin + Send + 'static>,
    capture: Arc<Mutex<Capture>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            let mut capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
            // A full disk must not stop the command: it goes on, its output does not.
            drop(capture.push(&buffer[..count]));
        }
    })
}
