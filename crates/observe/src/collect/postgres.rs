//! A PostgreSQL server without credentials: is it there, and how fast does it answer.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_env::Clock;

use super::plain_http::exchange;
use super::text::Text;

/// Asks whether TLS is spoken (`SSLRequest`): the one question that needs no user and leaves nothing in the log.
pub(crate) async fn answers(address: SocketAddr, timeout: Duration) -> bool {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    let answer = exchange(address, &SSL_REQUEST, timeout, 1, |bytes| !bytes.is_empty()).await;
    answer.is_ok_and(|bytes| bytes == b"S" || bytes == b"N")
}

/// Its metrics as text.
pub(crate) async fn collect(address: SocketAddr, timeout: Duration, clock: &dyn Clock) -> String {
    let begin = clock.monotonic();
    let up = answers(address, timeout.mul_f64(0.8)).await;
    let duration = clock.monotonic().saturating_sub(begin).as_secs_f64();
    let mut text = Text::default();
    text.gauge(
        "pg_up",
        "Whether the PostgreSQL server answers.",
        f64::from(u8::from(up)),
    );
    text.gauge(
        "pg_connect_duration_seconds",
        "How long connecting and the first answer took.",
        duration,
    );
    text.finish()
}
