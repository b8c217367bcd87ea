//! What a step's delivery carries to its adapter, and what the adapter hands back.
//!
//! Channels: `exec` ([`ExecPayload`]), `promql` ([`PromqlPayload`]), `http` ([`HttpPayload`]), `manual`
//! ([`ManualPayload`]), `sql` ([`SqlPayload`]). The delivery's key is `run-…/step/attempt` and for a check of a
//! step's verify query `run-…/step/attempt/verify/n`; results are handed back under the same key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::sha256_hex;

/// Channel of shell steps.
pub const CHANNEL_EXEC: &str = "exec";
/// Channel of PromQL steps and checks.
pub const CHANNEL_PROMQL: &str = "promql";
/// Channel of HTTP steps.
pub const CHANNEL_HTTP: &str = "http";
/// Channel of SQL steps.
pub const CHANNEL_SQL: &str = "sql";
/// Channel of messages to chat rooms.
pub const CHANNEL_CHAT: &str = "chat";
/// Channel of steps that a person does.
pub const CHANNEL_MANUAL: &str = "manual";

/// Bytes of each output stream that are kept in the journal: half from its beginning, half from its end.
pub const OUTPUT_KEPT: usize = 32 << 10;

/// A shell step. Run `lang` (`bash -euo pipefail` or `sh -eu`) with the body on standard input or as a file, never
/// with inputs pasted into it: they are in `env`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecPayload {
    pub run: String,
    pub step: String,
    pub attempt: u32,
    /// `sh`, `bash`, or `program` for `words` without a shell.
    pub lang: String,
    pub body: String,
    pub env: BTreeMap<String, String>,
    /// Environment variables whose value is a secret, by reference; the executor looks it up when it spawns.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// A program and its arguments, for `program`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// Its standard input.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// `local`, `ssh:HOST`, `kube:…`.
    pub target: String,
    /// After this long the process group gets SIGTERM.
    pub timeout_ms: u64,
    /// After this much longer, SIGKILL.
    pub grace_ms: u64,
    /// Fence of the lock this run holds; 0 without a lock.
    #[serde(default)]
    pub fence: u64,
}

/// A PromQL query to evaluate at the present moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromqlPayload {
    pub run: String,
    pub step: String,
    pub attempt: u32,
    pub query: String,
    /// Whether this is a check of a verify query (answer with [`VerifyResult`]) or a step (answer with
    /// [`StepResult`], the samples as text in `stdout`, one `{labels} value` per line).
    pub verify: bool,
    pub timeout_ms: u64,
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpPayload {
    pub run: String,
    pub step: String,
    pub attempt: u32,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub timeout_ms: u64,
    /// To be sent as `Idempotency-Key` with anything but GET and HEAD.
    pub idempotency_key: String,
    #[serde(default)]
    pub fence: u64,
}

/// A SQL step; `params` are bound as `$1`, `$2`… in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlPayload {
    pub run: String,
    pub step: String,
    pub attempt: u32,
    pub target: String,
    pub body: String,
    pub params: Vec<String>,
    /// Whether it must run in a read-only transaction.
    pub read_only: bool,
    /// Rows as JSON objects, for a capture.
    #[serde(default)]
    pub json: bool,
    pub timeout_ms: u64,
    #[serde(default)]
    pub fence: u64,
}

/// A message to a chat room; its key is its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatPayload {
    pub run: String,
    pub step: String,
    pub attempt: u32,
    /// Name of the room in the configuration.
    pub room: String,
    pub text: String,
    pub timeout_ms: u64,
}

/// Something a person does by hand; the run waits for [`crate::RunEvent::ManualDone`], not for the delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualPayload {
    pub run: String,
    pub step: String,
    pub attempt: u32,
    pub title: String,
    pub text: String,
}

/// How an attempt of a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// A process ended by itself.
    Exited { code: i32 },
    /// A process was ended by a signal that was not ours.
    Signalled { signal: i32 },
    /// It took longer than its timeout and was killed (a query or request: given up).
    TimedOut,
    /// An HTTP response came.
    Responded { status: u16 },
    /// A query was answered.
    Answered,
    /// A query or statement was refused; it had no effect.
    Refused { error: String },
    /// It surely never ran: no such program, connection refused, delivery expired.
    FailedToStart { error: String },
    /// It may or may not have run.
    Unknown { reason: String },
}

/// What an attempt wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// Bytes of both streams before anything was cut off.
    pub bytes: u64,
    /// Whether something was cut off.
    pub truncated: bool,
    /// SHA-256 over stdout then stderr, before anything was cut off.
    pub sha256: String,
}

/// An attempt's end, from the adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    pub outcome: Outcome,
    #[serde(default)]
    pub output: Output,
    pub duration_ms: u64,
    /// Which version of each secret it got: `salt:sha256(salt, value)` by variable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

/// What a verify query said. A vector holds when it has samples and none of them is zero; see
/// [`VerifyResult::of_values`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum VerifyResult {
    /// The condition holds; `text` shows the samples.
    Holds { text: String },
    /// Not yet.
    NotYet { text: String },
    /// It could not be asked.
    Error { error: String },
}

// === impl Output ===

impl Output {
    /// Output as the journal keeps it, with its hash.
    pub fn new(stdout: &str, stderr: &str) -> Self {
        let mut all = Vec::with_capacity(stdout.len() + stderr.len());
        all.extend_from_slice(stdout.as_bytes());
        all.extend_from_slice(stderr.as_bytes());
        Self {
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
            bytes: all.len() as u64,
            truncated: false,
            sha256: sha256_hex(&all),
        }
        .capped()
    }

    /// This output with at most [`OUTPUT_KEPT`] bytes of each stream.
    pub fn capped(mut self) -> Self {
        for stream in [&mut self.stdout, &mut self.stderr] {
            if let Some(short) = head_and_tail(stream, OUTPUT_KEPT) {
                *stream = short;
                self.truncated = true;
            }
        }
        self
    }
}

/// Beginning and end of a text that is longer than `limit` bytes.
fn head_and_tail(text: &str, limit: usize) -> Option<String> {
    if text.len() <= limit {
        return None;
    }
    // The mark in the middle must not push a shortened text over the limit again.
    let half = (limit / 2).saturating_sub(40);
    let head = text.floor_char_boundary(half);
    let tail = text.ceil_char_boundary(text.len() - half);
    Some(format!(
        "{}\n… {} bytes left out …\n{}",
        &text[..head],
        tail - head,
        &text[tail..]
    ))
}

// === impl VerifyResult ===

impl VerifyResult {
    /// Judges the values of an instant query's result: it holds when there is at least one and none is zero or NaN.
    pub fn of_values(values: &[f64], text: impl Into<String>) -> Self {
        let text = text.into();
        if !values.is_empty() && values.iter().all(|value| *value != 0.0 && !value.is_nan()) {
            Self::Holds { text }
        } else {
            Self::NotYet { text }
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// A few words for people: `exit 1`, `HTTP 503`, `timed out`.
    pub fn describe(&self) -> String {
        match self {
            Self::Exited { code } => format!("exit {code}"),
            Self::Signalled { signal } => format!("killed by signal {signal}"),
            Self::TimedOut => "timed out".to_owned(),
            Self::Responded { status } => format!("HTTP {status}"),
            Self::Answered => "answered".to_owned(),
            Self::Refused { error } => format!("refused: {error}"),
            Self::FailedToStart { error } => format!("did not start: {error}"),
            Self::Unknown { reason } => format!("outcome unknown: {reason}"),
        }
    }
}
