//! A Prometheus-compatible server over HTTP, for [`RemoteSource`]: address, token, time limit, retries.

use std::time::Duration;

use bellwether_env::{Backoff, Clock as _, SystemClock, random_bytes};
use bellwether_model::Secret;
use bellwether_remote::source::{Fetch, RemoteSource, Request, Response, SourceOptions};
use futures_util::StreamExt as _;
use tokio::runtime::Handle;

/// Time for one request.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Requests in a row that may fail.
const ATTEMPTS: u32 = 4;

/// Sends requests from a thread outside the runtime's own.
pub struct HttpFetch {
    http: reqwest::Client,
    address: String,
    token: Option<Secret>,
    runtime: Handle,
    clock: SystemClock,
    bytes_max: usize,
}

/// The server at `address` (`http://host:9090`, with a path where it has one) as a source. Call it on the runtime; use
/// the source from threads that may block.
pub fn remote_source(
    address: &str,
    token: Option<Secret>,
) -> Result<RemoteSource<HttpFetch>, String> {
    let http = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| error.to_string())?;
    let scheme = address.starts_with("http://") || address.starts_with("https://");
    if !scheme {
        return Err(format!(
            "{address:?} is no address such as http://prometheus:9090"
        ));
    }
    let options = SourceOptions::default();
    let fetch = HttpFetch {
        http,
        address: address.trim_end_matches('/').to_owned(),
        token,
        runtime: Handle::current(),
        clock: SystemClock::new(),
        bytes_max: options.limits.bytes,
    };
    Ok(RemoteSource::new(fetch, options))
}

impl HttpFetch {
    async fn once(&self, request: &Request) -> Result<Response, String> {
        let url = format!("{}{}", self.address, request.path);
        let mut builder = if request.body.is_empty() {
            self.http.get(url)
        } else {
            self.http.post(url).body(request.body.clone())
        };
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token.expose());
        }
        let why = |error: reqwest::Error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let reason = source.unwrap_or_else(|| error.to_string());
            format!("{}: {reason}", self.address)
        };
        let response = builder.send().await.map_err(why)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let mut parts = response.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(why)?;
            if body.len() + part.len() > self.bytes_max {
                return Err(format!(
                    "{}: the answer has more than {} bytes",
                    self.address, self.bytes_max
                ));
            }
            body.extend_from_slice(&part);
        }
        Ok(Response { status, body })
    }
}

impl Fetch for HttpFetch {
    fn fetch(&self, request: &Request) -> Result<Response, String> {
        self.runtime.block_on(async {
            let mut attempt = 1;
            loop {
                let answer = self.once(request).await;
                let again = match &answer {
                    Ok(response) => matches!(response.status, 429 | 500 | 502..=504),
                    Err(_) => true,
                };
                if !again || attempt == ATTEMPTS {
                    return answer;
                }
                let jitter = u64::from_le_bytes(random_bytes());
                crate::core::pause(PAUSES.pause(attempt, jitter)).await;
                attempt += 1;
            }
        })
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }
}

const PAUSES: Backoff = Backoff {
    first: Duration::from_millis(200),
    max: Duration::from_secs(2),
};
