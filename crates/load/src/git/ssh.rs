//! The system's ssh as a pipe to git on the other side.

use std::process::Stdio;

use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{Fault, GitPlan};

/// A session; it ends when it is dropped.
pub(crate) struct Session {
    pub(crate) child: Child,
    pub(crate) to: ChildStdin,
    pub(crate) from: Option<ChildStdout>,
}

/// Starts `service` (such as `git-upload-pack`) for a path on a host.
pub(crate) fn start(
    plan: &GitPlan,
    host: &str,
    port: Option<u16>,
    service: &str,
    path: &str,
) -> Result<Session, Fault> {
    let (program, args) = plan
        .ssh
        .split_first()
        .ok_or_else(|| Fault::Local("no command for ssh".to_owned()))?;
    let mut command = Command::new(program);
    command
        .args(args)
        .args(["-o", "BatchMode=yes", "-o", "SendEnv=GIT_PROTOCOL"]);
    if let Some(port) = port {
        command.arg("-p").arg(port.to_string());
    }
    // The path has no quote in it: `Remote::resolve` sees to that.
    command
        .arg("--")
        .arg(host)
        .arg(format!("{service} '{path}'"))
        .env("GIT_PROTOCOL", "version=2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| Fault::Local(format!("{program}: {error}")))?;
    let to = child.stdin.take().ok_or(Fault::Connect)?;
    let from = child.stdout.take();
    Ok(Session { child, to, from })
}

/// What ssh said last, for people.
pub(crate) async fn complaint(mut child: Child) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut text = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let read = stderr.take(4096);
        tokio::pin!(read);
        let all = read.read_to_end(&mut text);
        drop(tokio::time::timeout(std::time::Duration::from_millis(500), all).await);
    }
    let text = String::from_utf8_lossy(&text);
    text.lines().last().unwrap_or_default().trim().to_owned()
}
