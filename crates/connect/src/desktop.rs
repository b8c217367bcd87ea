//! Pages as desktop notifications, by `notify-send` where it is installed.

use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_model::state::Receipt;
use tokio::process::Command;

use crate::channel::{Attempt, Blame, BoxFuture, Channel, Outcome, Priority};

const PROGRAM: &str = "notify-send";
const MAX_TEXT: usize = 1000;

/// Shows notifications on the desktop of whoever started the server.
#[derive(Debug)]
pub struct Desktop {
    program: String,
    said: AtomicBool,
}

// === impl Desktop ===

impl Desktop {
    /// A channel through `notify-send`.
    pub fn new() -> Self {
        Self::with_program(PROGRAM)
    }

    /// A channel through a program that takes `notify-send`'s arguments.
    pub fn with_program(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            said: AtomicBool::new(false),
        }
    }

    /// Whether this machine can show notifications: `notify-send` is in one of the folders of `path`, and there is a
    /// display.
    pub fn is_here(path: &str, display: Option<&str>) -> bool {
        display.is_some()
            && std::env::split_paths(path).any(|folder| folder.join(PROGRAM).is_file())
    }

    async fn notify(&self, attempt: &Attempt) -> Outcome {
        let cut = |text: &str| text[..text.floor_char_boundary(MAX_TEXT)].replace('\0', " ");
        let urgency = match attempt.message.priority {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "critical",
        };
        let run = Command::new(&self.program)
            .args(["--app-name=Bellwether", "--urgency", urgency, "--"])
            .arg(cut(&attempt.message.title))
            .arg(cut(&attempt.message.text))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status();
        match tokio::time::timeout(attempt.timeout, run).await {
            Ok(Ok(status)) if status.success() => Outcome::done(Receipt::Sent, ""),
            Ok(Ok(status)) => Outcome::failed(
                format!("{} ended with {status}: is there a desktop?", self.program),
                Blame::Operator,
            ),
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
                if !self.said.swap(true, Ordering::Relaxed) {
                    tracing::info!(program = %self.program, "not installed: no desktop notifications");
                }
                Outcome::failed(
                    format!("{} is not installed", self.program),
                    Blame::Operator,
                )
            }
            Ok(Err(error)) => Outcome::failed(error.to_string(), Blame::Operator),
            Err(_) => Outcome::retry("the desktop does not answer", None, false),
        }
    }
}

impl Default for Desktop {
    fn default() -> Self {
        Self::new()
    }
}

impl Channel for Desktop {
    fn name(&self) -> &'static str {
        "desktop"
    }

    fn deliver(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.notify(&attempt).await })
    }
}
