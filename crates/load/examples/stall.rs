//! A server on one thread that answers at once, and stands still for a while in every period: the latency that users
//! see is known without measuring it.
//!
//! `stall PORT [PERIOD_MS STALL_MS]` (5000 and 1000 by default). Prints its address; ends when its input does.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example prints, reads the clock and stands still on purpose"
)]

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LISTENER: Token = Token(usize::MAX);

fn main() -> std::io::Result<()> {
    let arg = |at: usize, default: u64| {
        std::env::args()
            .nth(at)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let address = ([127, 0, 0, 1], arg(1, 0) as u16).into();
    let (period, stall) = (
        Duration::from_millis(arg(2, 5000)),
        Duration::from_millis(arg(3, 1000)),
    );
    let mut listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        std::process::exit(0);
    });
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Events::with_capacity(256);
    let mut next = Instant::now() + period;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        match poll.poll(&mut events, Some(left)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => other?,
        }
        for event in &events {
            if event.token() != LISTENER {
                answer(&mut streams[event.token().0]);
                continue;
            }
            while let Ok((mut stream, _)) = listener.accept() {
                let token = Token(streams.len());
                poll.registry()
                    .register(&mut stream, token, Interest::READABLE)?;
                streams.push(Some(stream));
            }
        }
        if Instant::now() >= next {
            std::thread::sleep(stall);
            next += period;
        }
    }
}

fn answer(slot: &mut Option<TcpStream>) {
    let Some(stream) = slot else { return };
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let heads = buffer[..count]
                    .windows(4)
                    .filter(|four| four == b"\r\n\r\n");
                for _ in heads {
                    if stream.write_all(ANSWER).is_err() {
                        *slot = None;
                        return;
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(_) => break,
        }
    }
    *slot = None;
}
