//! `http_config` and `tls_config` as Prometheus' common library reads them.

use std::collections::BTreeMap;

use bellwether_model::Secret;

/// How an HTTP request is made.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub oauth2: Option<OAuth2>,
    pub tls: TlsConfig,
    pub follow_redirects: bool,
    pub enable_http2: bool,
    pub proxy: ProxyConfig,
    /// By name; several values each.
    pub headers: BTreeMap<String, HeaderValues>,
}

/// User name and password.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BasicAuth {
    pub username: String,
    pub username_file: String,
    pub password: Secret,
    pub password_file: String,
}

/// The `Authorization` header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authorization {
    /// `Bearer` unless set.
    pub scheme: String,
    pub credentials: Secret,
    pub credentials_file: String,
}

/// OAuth 2.0 client credentials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OAuth2 {
    pub client_id: String,
    pub client_secret: Secret,
    pub client_secret_file: String,
    pub scopes: Vec<String>,
    pub token_url: String,
    pub endpoint_params: BTreeMap<String, String>,
    pub tls: TlsConfig,
    pub proxy: ProxyConfig,
}

/// Through a proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfig {
    pub url: String,
    pub no_proxy: String,
    pub from_environment: bool,
    pub connect_headers: BTreeMap<String, Vec<Secret>>,
}

/// Values of one extra header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderValues {
    pub values: Vec<String>,
    pub secrets: Vec<Secret>,
    pub files: Vec<String>,
}

/// TLS towards a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    pub ca: String,
    pub ca_file: String,
    pub cert: String,
    pub cert_file: String,
    pub key: Secret,
    pub key_file: String,
    pub server_name: String,
    pub insecure_skip_verify: bool,
    /// `TLS12` and so on.
    pub min_version: String,
    pub max_version: String,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy: ProxyConfig::default(),
            headers: BTreeMap::new(),
        }
    }
}
