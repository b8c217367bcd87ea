//! One small request without TLS to a server on this host.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What came back, cut off at 64 KiB.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lower-case header lines.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Value of a header, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }
}

/// Asks for `path`; `None` when there is no HTTP answer in time.
pub(crate) async fn get(address: SocketAddr, path: &str, timeout: Duration) -> Option<Answer> {
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: Bellwether\r\nAccept: */*\r\n\r\n"
    );
    let bytes = exchange(
        address,
        request.as_bytes(),
        timeout,
        ANSWER_BYTES_MAX,
        |_| false,
    )
    .await
    .ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head
        .strip_prefix("HTTP/1.")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    Some(Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    })
}

/// Sends and reads until the other side closes, `max` bytes are there, `done` says so, or time is up. What was read
/// until then counts; an error means that nothing came.
pub(crate) async fn exchange(
    address: SocketAddr,
    request: &[u8],
    timeout: Duration,
    max: usize,
    done: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let work = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut buffer = [0; 4096];
        while bytes.len() < max && !done(&bytes) {
            match stream.read(&mut buffer).await? {
                0 => break,
                n => bytes.extend_from_slice(&buffer[..n]),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let result = match tokio::time::timeout(timeout, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("timeout".to_owned()),
    };
    match result {
        Err(reason) if bytes.is_empty() => Err(reason),
        _ => Ok(bytes),
    }
}
