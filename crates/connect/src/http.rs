//! One HTTP client for webhooks, ntfy and the HTTP steps of runbooks: bounded in time and size, no secret in errors.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bellwether_model::Secret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};

use crate::channel::{Blame, Outcome, Verdict, short};

/// How much of an answer is read.
pub const MAX_ANSWER: usize = 64 << 10;
const MAX_REDIRECTS: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients that are kept with their connections.
const MAX_CLIENTS: usize = 64;
/// Longest wait that an answer may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// How to talk to a server.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    pub bearer: Option<Secret>,
    /// User and password.
    pub basic: Option<(String, Secret)>,
    pub headers: Vec<(String, Secret)>,
    /// Certificates of further authorities, PEM.
    pub ca_pem: Option<String>,
    /// Client certificate and key, PEM, one after the other.
    pub identity_pem: Option<Secret>,
    /// Accept any certificate. The caller warns about it.
    pub insecure: bool,
    /// Do not follow redirects at all; otherwise those to the same host are followed.
    pub no_redirects: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub struct HttpCall {
    pub method: String,
    pub url: Secret,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Sent as `Idempotency-Key` unless it is empty.
    pub idempotency_key: String,
    pub timeout: Duration,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    /// At most [`MAX_ANSWER`] bytes.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub truncated: bool,
    pub retry_after: Option<Duration>,
}

/// Why there is no answer. The texts never hold the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("{reason}")]
    BadRequest { reason: String },
    #[error("cannot connect: {reason}")]
    Connect { reason: String },
    #[error("no answer within {}s", .after.as_secs_f64())]
    Timeout { after: Duration },
    #[error("connection lost: {reason}")]
    Lost { reason: String },
}

/// What a client with its connections is made from; everything else is said with each request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Transport {
    ca_pem: Option<String>,
    identity_pem: Option<String>,
    insecure: bool,
    no_redirects: bool,
}

/// So that making a channel for each delivery does not make new connections for each.
static CLIENTS: Mutex<BTreeMap<Transport, Client>> = Mutex::new(BTreeMap::new());

/// A client for one set of settings. Cheap to make and to clone: those with the same TLS settings share connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Client,
    settings: HttpSettings,
}

// === impl HttpError ===

impl HttpError {
    /// Whether the request surely did not reach the server.
    pub fn surely_not_sent(&self) -> bool {
        matches!(self, Self::BadRequest { .. } | Self::Connect { .. })
    }
}

// === impl HttpClient ===

impl HttpClient {
    /// A client. Fails when a certificate or a header is not well-formed.
    pub fn new(settings: HttpSettings) -> Result<Self, HttpError> {
        headers(&settings.headers)?;
        let transport = Transport {
            ca_pem: settings.ca_pem.clone(),
            identity_pem: settings
                .identity_pem
                .as_ref()
                .map(|pem| pem.expose().to_owned()),
            insecure: settings.insecure,
            no_redirects: settings.no_redirects,
        };
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match clients.get(&transport) {
            Some(client) => client.clone(),
            None => {
                let client = transport.client()?;
                if clients.len() >= MAX_CLIENTS {
                    clients.clear();
                }
                clients.insert(transport, client.clone());
                client
            }
        };
        Ok(Self { client, settings })
    }

    /// Makes one request.
    pub async fn call(&self, call: HttpCall) -> Result<HttpAnswer, HttpError> {
        let timeout = call.timeout;
        tokio::time::timeout(timeout, self.exchange(call))
            .await
            .unwrap_or(Err(HttpError::Timeout { after: timeout }))
    }

    async fn exchange(&self, call: HttpCall) -> Result<HttpAnswer, HttpError> {
        let bad = |reason: &str| HttpError::BadRequest {
            reason: reason.to_owned(),
        };
        let method =
            Method::from_bytes(call.method.as_bytes()).map_err(|_| bad("not an HTTP method"))?;
        let url = Url::parse(call.url.expose())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| bad("the address is not an http or https URL"))?;
        let mut request = self
            .client
            .request(method, url)
            .headers(headers(&self.settings.headers)?);
        if let Some(token) = &self.settings.bearer {
            request = request.bearer_auth(token.expose());
        }
        if let Some((user, password)) = &self.settings.basic {
            request = request.basic_auth(user, Some(password.expose()));
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if !call.idempotency_key.is_empty() {
            request = request.header("Idempotency-Key", call.idempotency_key);
        }
        let mut response = request.body(call.body).send().await.map_err(http_error)?;
        let mut answer = HttpAnswer {
            status: response.status().as_u16(),
            body: Vec::new(),
            truncated: false,
            retry_after: retry_after(response.headers()),
        };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = MAX_ANSWER - answer.body.len();
                    answer.body.extend(chunk.iter().take(room));
                    if chunk.len() > room {
                        answer.truncated = true;
                        break;
                    }
                }
                Ok(None) => break,
                // The status is what counts; a body that breaks off does not undo it.
                Err(_) => {
                    answer.truncated = true;
                    break;
                }
            }
        }
        Ok(answer)
    }
}

impl Transport {
    fn client(&self) -> Result<Client, HttpError> {
        // A second call finds the provider installed, which is what it wants.
        drop(rustls::crypto::ring::default_provider().install_default());
        let bad = |error: reqwest::Error| HttpError::BadRequest {
            reason: chain(&error.without_url()),
        };
        let mut builder = Client::builder()
            .user_agent(concat!("bellwether/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(4)
            .redirect(redirects(self.no_redirects))
            .danger_accept_invalid_certs(self.insecure);
        if let Some(pem) = &self.ca_pem {
            for authority in reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(bad)? {
                builder = builder.add_root_certificate(authority);
            }
        }
        if let Some(pem) = &self.identity_pem {
            let identity = reqwest::Identity::from_pem(pem.as_bytes()).map_err(bad)?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(bad)
    }
}

fn headers(pairs: &[(String, Secret)]) -> Result<HeaderMap, HttpError> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let bad = || HttpError::BadRequest {
            reason: format!("header {name:?} is not well-formed"),
        };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| bad())?;
        value.set_sensitive(true);
        map.append(header, value);
    }
    Ok(map)
}

/// Redirects to the same host and scheme only: a token must not travel to another one.
fn redirects(none: bool) -> Policy {
    if none {
        return Policy::none();
    }
    Policy::custom(|attempt| {
        let same = attempt.previous().last().is_some_and(|from| {
            let to = attempt.url();
            from.scheme() == to.scheme()
                && from.host_str() == to.host_str()
                && from.port_or_known_default() == to.port_or_known_default()
        });
        if same && attempt.previous().len() <= MAX_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

fn http_error(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let reason = chain(&error);
    if error.is_builder() {
        HttpError::BadRequest { reason }
    } else if error.is_connect() {
        HttpError::Connect { reason }
    } else {
        HttpError::Lost { reason }
    }
}

/// The error and its sources in one line.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    short(text)
}

/// The outcome of a delivery over HTTP: 2xx is taken, 408, 425, 429 and 5xx may pass, the rest is our request's fault.
pub(crate) fn outcome(answer: Result<HttpAnswer, HttpError>) -> Outcome {
    use bellwether_model::state::Receipt;
    match answer {
        Ok(HttpAnswer {
            status: 200..=299, ..
        }) => Outcome::done(Receipt::Accepted, ""),
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            let error = format!("HTTP {}: {}", answer.status, text.trim());
            match answer.status {
                // The server said no: it did not take it.
                408 | 425 | 429 | 503 => Outcome::retry(error, answer.retry_after, true),
                500..=599 => Outcome::retry(error, answer.retry_after, false),
                300..=399 => Outcome::failed(
                    format!(
                        "HTTP {}: redirects are followed only on the same host",
                        answer.status
                    ),
                    Blame::Operator,
                ),
                _ => Outcome::failed(error, Blame::Operator),
            }
        }
        Err(error @ HttpError::BadRequest { .. }) => {
            Outcome::failed(error.to_string(), Blame::Operator)
        }
        Err(error) => {
            let safe = error.surely_not_sent();
            Outcome {
                verdict: Verdict::Retry { after: None },
                ..Outcome::retry(error.to_string(), None, safe)
            }
        }
    }
}
