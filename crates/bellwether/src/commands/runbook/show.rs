//! What a person at the terminal sees of a run: its steps with elapsed time, and their output as it comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_connect::exec::Stream;
use bellwether_env::{Clock as _, SystemClock};
use bellwether_model::Batch;
use serde_json::json;

use super::say;

/// Longest line that is shown in one piece.
const LINE_MAX: usize = 4 << 10;

/// Prints a run as it goes.
#[derive(Clone)]
pub(super) struct Show {
    json: bool,
    silent: bool,
    clock: SystemClock,
    /// The unfinished last line of each step's streams.
    open: Arc<Mutex<BTreeMap<(String, bool), String>>>,
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            silent: false,
            clock: SystemClock::new(),
            open: Arc::default(),
        }
    }

    /// Prints nothing: the command says the result itself.
    pub(super) fn silent() -> Self {
        Self {
            silent: true,
            ..Self::new(false)
        }
    }

    fn elapsed(&self) -> String {
        let elapsed: Duration = self.clock.monotonic();
        format!("[{:>7.1}s]", elapsed.as_secs_f64())
    }

    /// Output of a step.
    pub(super) fn output(&self, run: &str, step: &str, stream: Stream, bytes: &[u8]) {
        if self.silent {
            return;
        }
        let error = stream == Stream::Stderr;
        let text = String::from_utf8_lossy(bytes);
        if self.json {
            let stream = if error { "stderr" } else { "stdout" };
            say(
                json!({"kind": "output", "run": run, "step": step, "stream": stream, "text": text}),
            );
            return;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let line = open.entry((step.to_owned(), error)).or_default();
        for c in text.chars() {
            if c == '\n' || line.len() >= LINE_MAX {
                self.line(step, error, line);
                line.clear();
            }
            if c != '\n' {
                line.push(c);
            }
        }
    }

    fn line(&self, step: &str, error: bool, line: &str) {
        let mark = if error { '!' } else { '|' };
        // Only text reaches the terminal: no escape of a step may move the cursor or set a title.
        let plain: String = line
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect();
        say(format_args!("{} {step:>14} {mark} {plain}", self.elapsed()));
    }

    fn finish_lines(&self, step: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for error in [false, true] {
            if let Some(line) = open.remove(&(step.to_owned(), error))
                && !line.is_empty()
            {
                self.line(step, error, &line);
            }
        }
    }

    /// What was recorded.
    pub(super) fn batch(&self, batch: &Batch) {
        if self.silent {
            return;
        }
        for event in &batch.events {
            if self.json {
                say(json!({
                    "kind": event.kind, "at": event.at, "actor": event.actor, "text": event.text, "data": event.data,
                }));
                continue;
            }
            let step = event.data["step"].as_str().unwrap_or_default();
            self.finish_lines(step);
            let mut text = event.text.clone();
            if let Some(ms) = event.data["duration_ms"].as_u64() {
                text.push_str(&format!(" ({:.1} s)", ms as f64 / 1e3));
            }
            say(format_args!("{} {text}", self.elapsed()));
        }
    }
}
