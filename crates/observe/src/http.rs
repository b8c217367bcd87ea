//! How an HTTP target is reached: credentials, TLS, redirects, as Prometheus' `http_config` has them.

use std::path::PathBuf;

use bellwether_model::Secret;

/// Credentials of a request. At most one kind per config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `basic_auth`.
    Basic {
        username: SecretSource,
        password: SecretSource,
    },
    /// `authorization` (or `bearer_token`): scheme and credentials.
    Header {
        scheme: String,
        credentials: SecretSource,
    },
}

/// A value written in the config or kept in a file that is read again for each scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    Inline(Secret),
    File(PathBuf),
}

/// TLS of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM text or file of the authorities to trust instead of the system's.
    pub ca: Option<SecretSource>,
    /// Client certificate, PEM.
    pub cert: Option<SecretSource>,
    /// Its key, PEM.
    pub key: Option<SecretSource>,
    /// Name the certificate must be for, when it is not that of the address.
    pub server_name: Option<String>,
    pub insecure_skip_verify: bool,
    /// TLS 1.3 only.
    pub tls13_only: bool,
    /// TLS 1.2 only.
    pub tls12_only: bool,
}

/// Settings of an HTTP client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub auth: Option<Auth>,
    pub tls: TlsConfig,
    pub follow_redirects: bool,
    pub enable_http2: bool,
    /// Additional headers, `http_headers`.
    pub headers: Vec<(String, SecretSource)>,
    pub proxy_url: Option<Secret>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            auth: None,
            tls: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            headers: Vec::new(),
            proxy_url: None,
        }
    }
}
