//! An nginx server, with the metric names of nginx-prometheus-exporter.

use std::net::SocketAddr;
use std::time::Duration;

use super::plain_http::get;
use super::text::Text;

/// Where `stub_status` usually is.
pub(crate) const STATUS_PATHS: [&str; 4] =
    ["/nginx_status", "/stub_status", "/basic_status", "/status"];

/// Whether a page is that of `stub_status`.
pub(crate) fn is_status(body: &str) -> bool {
    body.starts_with("Active connections:")
}

/// Its metrics as text.
pub(crate) async fn collect(address: SocketAddr, path: Option<&str>, timeout: Duration) -> String {
    let answer = get(address, path.unwrap_or("/"), timeout.mul_f64(0.8)).await;
    let mut text = Text::default();
    let up = answer
        .as_ref()
        .is_some_and(|answer| path.is_none() || is_status(&answer.body));
    text.gauge(
        "nginx_up",
        "Status of the last metric scrape.",
        f64::from(u8::from(up)),
    );
    if let (Some(answer), Some(_)) = (answer, path) {
        write_status(&answer.body, &mut text);
    }
    text.finish()
}

fn write_status(body: &str, text: &mut Text) {
    // "Active connections: 1 \nserver accepts handled requests\n 2 3 4 \nReading: 5 Writing: 6 Waiting: 7"
    let numbers: Vec<f64> = body
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [
        active,
        accepted,
        handled,
        requests,
        reading,
        writing,
        waiting,
    ] = numbers[..]
    else {
        return;
    };
    text.gauge(
        "nginx_connections_active",
        "Active client connections.",
        active,
    );
    text.counter(
        "nginx_connections_accepted",
        "Accepted client connections.",
        accepted,
    );
    text.counter(
        "nginx_connections_handled",
        "Handled client connections.",
        handled,
    );
    text.counter(
        "nginx_http_requests_total",
        "Total http requests.",
        requests,
    );
    text.gauge(
        "nginx_connections_reading",
        "Connections where nginx is reading the request header.",
        reading,
    );
    text.gauge(
        "nginx_connections_writing",
        "Connections where nginx is writing the response back.",
        writing,
    );
    text.gauge(
        "nginx_connections_waiting",
        "Idle client connections.",
        waiting,
    );
}
