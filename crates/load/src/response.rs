//! Where an HTTP/1.1 response ends.
//!
//! The generator does not need what is in a response, only its status and its end: framing is read, bodies are
//! counted and thrown away. Rules: RFC 9112, section 6.3.

use memchr::{memchr, memmem};

/// Bytes that the head of a response may have.
pub const HEAD_MAX: usize = 64 << 10;
/// Bytes that the line before a chunk may have.
const CHUNK_LINE_MAX: usize = 4 << 10;
/// Interim responses (1xx) before the real one.
const INTERIM_MAX: u8 = 16;

/// Why a response cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not HTTP/1.x, or its framing contradicts itself.
    Malformed,
    /// The head has no end within [`HEAD_MAX`].
    HeadTooLong,
    /// The connection ended in the middle of a response.
    Truncated,
}

/// What has been read so far of one response.
#[derive(Debug)]
pub struct Reading {
    state: State,
    /// Start of a head or of a chunk's line that came in pieces.
    held: Vec<u8>,
    status: u16,
    keep_alive: bool,
    interim: u8,
    head_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ToEnd,
    ChunkLine,
    /// Bytes of the chunk and the line end after it.
    Chunk(u64),
    Trailer,
}

/// What a piece of input brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is needed.
    More,
    /// The response has ended; so many bytes of the input belonged to it.
    Done(Ended),
}

/// A whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: u16,
    pub keep_alive: bool,
    pub used: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            state: State::Head,
            held: Vec::new(),
            status: 0,
            keep_alive: true,
            interim: 0,
            head_only: false,
        }
    }
}

impl Reading {
    /// Begins a response; one to HEAD has no body.
    pub fn begin(&mut self, head_only: bool) {
        self.state = State::Head;
        self.held.clear();
        self.interim = 0;
        self.head_only = head_only;
    }

    /// Whether nothing of the response has come.
    pub fn is_untouched(&self) -> bool {
        self.state == State::Head && self.held.is_empty() && self.interim == 0
    }

    /// Takes what came in.
    pub fn feed(&mut self, input: &[u8]) -> Result<Progress, Fault> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Head => match self.head(rest)? {
                    Some(used) => at += used,
                    None => return Ok(Progress::More),
                },
                State::Length(0) => return Ok(self.done(at)),
                State::Length(left) | State::Chunk(left) if rest.is_empty() && left > 0 => {
                    return Ok(Progress::More);
                }
                State::Length(left) => {
                    let taken = left.min(rest.len() as u64);
                    at += taken as usize;
                    self.state = State::Length(left - taken);
                }
                State::ToEnd => return Ok(Progress::More),
                State::Chunk(0) => self.state = State::ChunkLine,
                State::Chunk(left) => {
                    let taken = left.min(rest.len() as u64);
                    at += taken as usize;
                    self.state = State::Chunk(left - taken);
                }
                State::ChunkLine => match self.line(rest)? {
                    Some((used, line)) => {
                        at += used;
                        let size = chunk_size(&line).ok_or(Fault::Malformed)?;
                        self.state = match size {
                            0 => State::Trailer,
                            size => State::Chunk(size.checked_add(2).ok_or(Fault::Malformed)?),
                        };
                    }
                    None => return Ok(Progress::More),
                },
                State::Trailer => match self.line(rest)? {
                    Some((used, line)) => {
                        at += used;
                        if line.is_empty() {
                            return Ok(self.done(at));
                        }
                    }
                    None => return Ok(Progress::More),
                },
            }
        }
    }

    /// The connection has ended: the response with it, or in the middle of it.
    pub fn end(&mut self) -> Result<Ended, Fault> {
        match self.state {
            State::ToEnd => Ok(Ended {
                status: self.status,
                keep_alive: false,
                used: 0,
            }),
            _ => Err(Fault::Truncated),
        }
    }

    fn done(&self, used: usize) -> Progress {
        Progress::Done(Ended {
            status: self.status,
            keep_alive: self.keep_alive,
            used,
        })
    }

    /// Reads the head; how much of the input it took, when it is whole.
    fn head(&mut self, input: &[u8]) -> Result<Option<usize>, Fault> {
        if self.held.is_empty() {
            // What nearly always happens: the head is whole in one piece.
            if let Some(end) = memmem::find(input, b"\r\n\r\n") {
                let used = end + 4;
                if used > HEAD_MAX {
                    return Err(Fault::HeadTooLong);
                }
                self.understand(&input[..used])?;
                return Ok(Some(used));
            }
        }
        if begins_wrong(&self.held, input) {
            return Err(Fault::Malformed);
        }
        let before = self.held.len();
        let room = HEAD_MAX - before;
        self.held.extend_from_slice(&input[..input.len().min(room)]);
        let from = before.saturating_sub(3);
        let Some(end) = memmem::find(&self.held[from..], b"\r\n\r\n") else {
            if self.held.len() >= HEAD_MAX {
                return Err(Fault::HeadTooLong);
            }
            return Ok(None);
        };
        let used = from + end + 4;
        let held = std::mem::take(&mut self.held);
        let understood = self.understand(&held[..used]);
        self.held = held;
        self.held.clear();
        understood?;
        Ok(Some(used - before))
    }

    /// Reads a line of the chunked coding; lines may end with a bare line feed.
    fn line(&mut self, input: &[u8]) -> Result<Option<(usize, Vec<u8>)>, Fault> {
        let end = memchr(b'\n', input);
        let piece = &input[..end.map_or(input.len(), |end| end + 1)];
        if self.held.len() + piece.len() > CHUNK_LINE_MAX {
            return Err(Fault::Malformed);
        }
        self.held.extend_from_slice(piece);
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.held);
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        Ok(Some((piece.len(), line)))
    }

    /// Takes the status and the framing from a whole head.
    fn understand(&mut self, head: &[u8]) -> Result<(), Fault> {
        let digits = match head {
            [
                b'H',
                b'T',
                b'T',
                b'P',
                b'/',
                b'1',
                b'.',
                b'0' | b'1',
                b' ',
                a,
                b,
                c,
                b' ' | b'\r',
                ..,
            ] => [*a, *b, *c],
            _ => return Err(Fault::Malformed),
        };
        if !digits.iter().all(u8::is_ascii_digit) || digits[0] == b'0' {
            return Err(Fault::Malformed);
        }
        self.status = digits
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        self.keep_alive = head[7] == b'1';
        let mut length = None;
        let mut chunked = false;
        let mut coded = false;
        let mut rest = head;
        // The status line is passed over with the first turn.
        while let Some(end) = memchr(b'\n', rest) {
            rest = &rest[end + 1..];
            match rest.first() {
                Some(b'c' | b'C') => {
                    if let Some(value) = value_of(rest, b"content-length") {
                        let value = number(value).ok_or(Fault::Malformed)?;
                        if length.is_some_and(|length| length != value) {
                            return Err(Fault::Malformed);
                        }
                        length = Some(value);
                    } else if let Some(value) = value_of(rest, b"connection") {
                        if has_word(value, b"close") {
                            self.keep_alive = false;
                        } else if has_word(value, b"keep-alive") {
                            self.keep_alive = true;
                        }
                    }
                }
                Some(b't' | b'T') => {
                    if let Some(value) = value_of(rest, b"transfer-encoding") {
                        coded = true;
                        chunked = has_word(value, b"chunked");
                    }
                }
                _ => {}
            }
        }
        self.state = match self.status {
            // A switch of protocols was not asked for.
            101 => return Err(Fault::Malformed),
            100..=199 => {
                self.interim += 1;
                if self.interim > INTERIM_MAX {
                    return Err(Fault::Malformed);
                }
                State::Head
            }
            _ if self.head_only => State::Length(0),
            204 | 304 => State::Length(0),
            _ if chunked => State::ChunkLine,
            _ if coded => State::ToEnd,
            _ => length.map_or(State::ToEnd, State::Length),
        };
        Ok(())
    }
}

/// Whether the first bytes cannot become a response: garbage is found at once, not at the timeout.
fn begins_wrong(held: &[u8], input: &[u8]) -> bool {
    held.iter()
        .chain(input)
        .zip(b"HTTP/1.")
        .any(|(is, wanted)| is != wanted)
}

/// Value of a header line that has this lower-case name.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    let rest = rest.strip_prefix(b":")?;
    let end = memchr(b'\n', rest).unwrap_or(rest.len());
    Some(rest[..end].trim_ascii())
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        text.iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
    )
}

fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
}

/// Size of a chunk; what follows `;` is not looked at.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
