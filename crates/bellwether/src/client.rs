//! The command line's way to a running server.

use std::path::Path;
use std::time::Duration;

use bellwether_model::Secret;
use serde_json::Value;

use crate::cli::ServerArgs;
use crate::http::api::PREFIX;
use crate::serve::{SERVER_FILE, TOKEN_FILE};

/// A server and the token for it.
pub struct Client {
    http: reqwest::Client,
    address: String,
    token: Option<Secret>,
}

/// Why there is no answer; the text is for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "no server at {address}: {reason}\nhint: start one with `bellwether serve`, or name it with --server"
    )]
    Unreachable { address: String, reason: String },
    #[error("{detail}{hint}")]
    Refused { detail: String, hint: String },
}

fn read(file: &Path) -> Option<String> {
    std::fs::read_to_string(file)
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

// === impl Client ===

impl Client {
    /// The server that the arguments, the environment or the data folder name.
    pub fn new(args: &ServerArgs) -> Self {
        let running = read(&args.data.join(SERVER_FILE))
            .and_then(|text| serde_json::from_str::<Value>(&text).ok())
            .and_then(|about| about["address"].as_str().map(str::to_owned));
        let named = args
            .server
            .clone()
            .or_else(|| bellwether_env::vars::SERVER.get());
        let address = named
            .or(running)
            .unwrap_or_else(|| "http://127.0.0.1:9876".to_owned());
        let token = args
            .token
            .clone()
            .map(Secret::new)
            .or_else(|| bellwether_env::vars::TOKEN.secret());
        let token = token.or_else(|| read(&args.data.join(TOKEN_FILE)).map(Secret::new));
        Self::with(address, token)
    }

    /// A server by address and token.
    pub fn with(address: String, token: Option<Secret>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(130))
            .no_proxy()
            .build();
        Self {
            http: http.unwrap_or_default(),
            address: address.trim_end_matches('/').to_owned(),
            token,
        }
    }

    /// `GET` on our own API.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send(self.http.get(format!("{}{PREFIX}{path}", self.address)))
            .await
    }

    /// `DELETE` on our own API.
    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.send(self.http.delete(format!("{}{PREFIX}{path}", self.address)))
            .await
    }

    /// `POST` on our own API.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let request = self.http.post(format!("{}{PREFIX}{path}", self.address));
        self.send(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
        .await
    }

    /// A form to Prometheus' API.
    pub async fn prometheus(
        &self,
        path: &str,
        form: &[(&str, String)],
    ) -> Result<Value, ClientError> {
        let encode = |text: &str| {
            text.bytes()
                .map(|b| {
                    if b.is_ascii_alphanumeric() {
                        char::from(b).to_string()
                    } else {
                        format!("%{b:02X}")
                    }
                })
                .collect::<String>()
        };
        let pairs: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let request = self.http.post(format!("{}/api/v1{path}", self.address));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(pairs.join("&"))).await
    }

    /// Samples to the server's store, as the body of a remote-write request of version 1.
    pub async fn remote_write(&self, body: Vec<u8>) -> Result<(), ClientError> {
        let request = self.http.post(format!("{}/api/v1/write", self.address));
        let request = request
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0");
        self.send(request.body(body)).await.map(drop)
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Value, ClientError> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            address: self.address.clone(),
            reason: std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() {
            return Ok(body);
        }
        let detail = body["detail"]
            .as_str()
            .or(body["error"].as_str())
            .map_or_else(|| body.to_string(), str::to_owned);
        let hint = body["hint"]
            .as_str()
            .map(|hint| format!("\nhint: {hint}"))
            .unwrap_or_default();
        Err(ClientError::Refused { detail, hint })
    }
}
