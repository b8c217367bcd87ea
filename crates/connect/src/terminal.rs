//! Pages in the terminal of whoever started the server.

use std::io::Write;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use bellwether_model::state::Receipt;

use crate::channel::{Attempt, Blame, BoxFuture, Channel, Message, Outcome, Priority};

/// Pages that may wait for a terminal that is stopped.
const MAX_WAITING: usize = 64;
const WIDTH: usize = 78;
const MAX_LINES: usize = 40;

/// Prints framed pages. Never blocks: a thread writes, and a terminal that takes nothing only fills a short queue.
#[derive(Clone, Debug)]
pub struct Terminal {
    queue: SyncSender<String>,
}

// === impl Terminal ===

impl Terminal {
    /// Prints to a writer, usually standard output.
    pub fn new(mut writer: Box<dyn Write + Send>) -> Self {
        let (queue, pages) = sync_channel::<String>(MAX_WAITING);
        std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || {
                for page in pages {
                    // A terminal that is gone is no fault of the page; the other channels carry it.
                    drop(
                        writer
                            .write_all(page.as_bytes())
                            .and_then(|()| writer.flush()),
                    );
                }
            })
            .expect("a process that starts can start a thread");
        Self { queue }
    }
}

impl Channel for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn deliver(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        let outcome = match self.queue.try_send(frame(&attempt.message)) {
            Ok(()) => Outcome::done(Receipt::Sent, ""),
            Err(TrySendError::Full(_)) => Outcome::retry("the terminal takes nothing", None, true),
            Err(TrySendError::Disconnected(_)) => {
                Outcome::failed("the terminal is gone", Blame::Us)
            }
        };
        Box::pin(std::future::ready(outcome))
    }
}

/// A page in a frame. Control characters are taken out: an alert's text must not steer the terminal.
fn frame(message: &Message) -> String {
    let head = match message.priority {
        Priority::High => "PAGE",
        Priority::Normal => "note",
        Priority::Low => "over",
    };
    let mut lines = wrap(&message.title);
    lines.push(String::new());
    for line in message.text.lines() {
        lines.extend(wrap(line));
    }
    let left_out = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    if left_out > 0 {
        lines.push(format!("… {left_out} more lines"));
    }
    if let Some(link) = &message.link {
        lines.push(String::new());
        lines.extend(wrap(link));
    }
    let mut text = format!("\n┌─ {head} {}\n", "─".repeat(WIDTH - head.len() - 2));
    for line in lines {
        text.push_str("│ ");
        text.push_str(&line);
        text.push('\n');
    }
    text.push('└');
    text.push_str(&"─".repeat(WIDTH));
    text.push('\n');
    text
}

fn wrap(text: &str) -> Vec<String> {
    let clean = text.replace(|c: char| c.is_control(), " ");
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in clean.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if used > 0 && used + length > WIDTH {
            lines.push(String::new());
            used = 0;
        }
        used += word.chars().count();
        lines
            .last_mut()
            .expect("there is always a line")
            .push_str(word);
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

#[cfg(test)]
mod tests;
