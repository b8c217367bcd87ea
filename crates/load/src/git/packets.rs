//! Packet lines, read as they come and written.
//!
//! Form: `gitprotocol-common(5)`: four hexadecimal digits of length (their own included), then the content; `0000` ends
//! a message, `0001` a section, `0002` a response.

use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;

use super::Fault;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Data(Vec<u8>),
    /// `0000`, `0001` or `0002`.
    Mark(u8),
}

/// Where bytes come from.
pub(crate) enum Source {
    Http(Incoming),
    Pipe(ChildStdout),
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Pipe,
}

/// Packets of a source.
pub(crate) struct Packets {
    source: Source,
    buffer: BytesMut,
    pub(crate) bytes: u64,
    /// Bytes a second, and since when.
    throttle: Option<(u64, Duration)>,
    clock: SystemClock,
}

impl Packets {
    pub(crate) fn new(source: Source, throttle: Option<u64>, clock: SystemClock) -> Self {
        let now = clock.monotonic();
        Self {
            source,
            buffer: BytesMut::new(),
            bytes: 0,
            throttle: throttle.map(|rate| (rate.max(1), now)),
            clock,
        }
    }

    pub(crate) fn source_kind(&self) -> Kind {
        match self.source {
            Source::Http(_) => Kind::Http,
            Source::Pipe(_) => Kind::Pipe,
        }
    }

    /// The next packet; none at the end of the source.
    pub(crate) async fn next(&mut self) -> Result<Option<Packet>, Fault> {
        loop {
            if let Some(packet) = take(&mut self.buffer)? {
                return Ok(Some(packet));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(Fault::Closed)
                };
            }
        }
    }

    /// Everything up to the next mark.
    pub(crate) async fn until_mark(&mut self, most: usize) -> Result<Vec<Vec<u8>>, Fault> {
        let mut lines = Vec::new();
        loop {
            match self.next().await? {
                Some(Packet::Data(line)) if lines.len() < most => lines.push(line),
                Some(Packet::Mark(_)) => return Ok(lines),
                Some(Packet::Data(_)) => return Err(Fault::Malformed),
                None => return Err(Fault::Closed),
            }
        }
    }

    async fn fill(&mut self) -> Result<bool, Fault> {
        if let Some((rate, since)) = self.throttle {
            let allowed_at = since + Duration::from_secs_f64(self.bytes as f64 / rate as f64);
            let ahead = allowed_at.saturating_sub(self.clock.monotonic());
            if !ahead.is_zero() {
                tokio::time::sleep(ahead).await;
            }
        }
        let before = self.buffer.len();
        match &mut self.source {
            Source::Http(body) => match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) => return Err(Fault::Closed),
                None => return Ok(false),
            },
            Source::Pipe(pipe) => {
                self.buffer.reserve(16 << 10);
                if pipe
                    .read_buf(&mut self.buffer)
                    .await
                    .map_err(|_| Fault::Closed)?
                    == 0
                {
                    return Ok(false);
                }
            }
        }
        self.bytes += (self.buffer.len() - before) as u64;
        Ok(true)
    }
}

/// Takes a whole packet off the front.
fn take(buffer: &mut BytesMut) -> Result<Option<Packet>, Fault> {
    let Some(head) = buffer.get(..4) else {
        return Ok(None);
    };
    let length = std::str::from_utf8(head)
        .ok()
        .filter(|head| head.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|head| usize::from_str_radix(head, 16).ok())
        .ok_or(Fault::Malformed)?;
    match length {
        0..=2 => {
            buffer.advance(4);
            Ok(Some(Packet::Mark(length as u8)))
        }
        3 => Err(Fault::Malformed),
        length if buffer.len() >= length => {
            let packet = buffer.split_to(length);
            Ok(Some(Packet::Data(packet[4..].to_vec())))
        }
        _ => Ok(None),
    }
}

/// Appends a packet.
pub(crate) fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(format!("{:04x}", text.len() + 4).as_bytes());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_cut() {
        let mut out = Vec::new();
        put(&mut out, b"want x\n");
        out.extend_from_slice(b"0001000");
        let mut buffer = BytesMut::from(out.as_slice());
        assert_eq!(
            take(&mut buffer).unwrap(),
            Some(Packet::Data(b"want x\n".to_vec()))
        );
        assert_eq!(take(&mut buffer).unwrap(), Some(Packet::Mark(1)));
        assert_eq!(take(&mut buffer).unwrap(), None);
        assert!(take(&mut BytesMut::from("0003")).is_err());
        assert!(take(&mut BytesMut::from("+012x")).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_packets_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut buffer = BytesMut::from(bytes.as_slice());
            for _ in 0..100 {
                match take(&mut buffer) {
                    Ok(Some(_)) => {}
                    _ => break,
                }
            }
        }
    }
}
