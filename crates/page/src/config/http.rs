//! `http_config` and `tls_config` as Prometheus' common library reads them.

use std::collections::BTreeMap;

use bellwether_model::{Problems, Secret};
use bellwether_yaml::{Node, Reader};

use super::value::{self, Form, Spec, Values, fine};

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

const TLS: Spec = Spec {
    what: "tls_config",
    keys: &[
        ("ca", Form::Text),
        ("cert", Form::Text),
        ("key", Form::Text),
        ("ca_file", Form::Text),
        ("cert_file", Form::Text),
        ("key_file", Form::Text),
        ("ca_ref", Form::Text),
        ("cert_ref", Form::Text),
        ("key_ref", Form::Text),
        ("server_name", Form::Text),
        ("insecure_skip_verify", Form::Bool),
        ("min_version", Form::Text),
        ("max_version", Form::Text),
    ],
    check: check_tls,
};

fn check_tls(values: &Values<'_>) -> Option<String> {
    for (a, b, c) in [
        ("ca", "ca_file", "ca_ref"),
        ("cert", "cert_file", "cert_ref"),
        ("key", "key_file", "key_ref"),
    ] {
        if [a, b, c].iter().filter(|key| values.has(key)).count() > 1 {
            return Some(format!("at most one of {a}, {b} & {c} must be configured"));
        }
    }
    let cert = ["cert", "cert_file", "cert_ref"]
        .iter()
        .any(|key| values.has(key));
    let key = ["key", "key_file", "key_ref"]
        .iter()
        .any(|key| values.has(key));
    if cert != key {
        return Some("a client certificate and its key must be configured together".to_owned());
    }
    ["min_version", "max_version"]
        .iter()
        .find(|key| !matches!(values.text(key), "" | "TLS10" | "TLS11" | "TLS12" | "TLS13"))
        .map(|key| format!("unknown TLS version: {}", values.text(key)))
}

const BASIC_AUTH: Spec = Spec {
    what: "basic_auth",
    keys: &[
        ("username", Form::Text),
        ("username_file", Form::Text),
        ("username_ref", Form::Text),
        ("password", Form::Text),
        ("password_file", Form::Text),
        ("password_ref", Form::Text),
    ],
    check: |values| {
        values
            .both("username", "username_file")
            .or_else(|| values.both("password", "password_file"))
            .or_else(|| values.both("username", "username_ref"))
            .or_else(|| values.both("password", "password_ref"))
    },
};

const AUTHORIZATION: Spec = Spec {
    what: "authorization",
    keys: &[
        ("type", Form::Text),
        ("credentials", Form::Text),
        ("credentials_file", Form::Text),
        ("credentials_ref", Form::Text),
    ],
    check: |values| {
        if values.text("type").trim().eq_ignore_ascii_case("basic") {
            return Some(
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead"
                    .to_owned(),
            );
        }
        values
            .both("credentials", "credentials_file")
            .or_else(|| values.both("credentials", "credentials_ref"))
    },
};

const OAUTH2: Spec = Spec {
    what: "oauth2",
    keys: &[
        ("client_id", Form::Text),
        ("client_secret", Form::Text),
        ("client_secret_file", Form::Text),
        ("client_secret_ref", Form::Text),
        ("client_certificate_key_id", Form::Text),
        ("client_certificate_key", Form::Text),
        ("client_certificate_key_file", Form::Text),
        ("client_certificate_key_ref", Form::Text),
        ("grant_type", Form::Text),
        ("signature_algorithm", Form::Text),
        ("iss", Form::Text),
        ("audience", Form::Text),
        ("claims", Form::AnyMap),
        ("scopes", Form::Texts),
        ("token_url", Form::Text),
        ("endpoint_params", Form::TextMap),
        ("tls_config", Form::Tls),
        ("proxy_url", Form::Text),
        ("no_proxy", Form::Text),
        ("proxy_from_environment", Form::Bool),
        ("proxy_connect_header", Form::AnyMap),
    ],
    check: |values| {
        if !values.has("client_id") {
            return Some("oauth2 client_id must be configured".to_owned());
        }
        if !values.has("token_url") {
            return Some("oauth2 token_url must be configured".to_owned());
        }
        values
            .both("client_secret", "client_secret_file")
            .or_else(|| check_proxy(values))
    },
};

const HEADER: Spec = Spec {
    what: "http header",
    keys: &[
        ("values", Form::Texts),
        ("secrets", Form::Texts),
        ("files", Form::Texts),
    ],
    check: fine,
};

const HTTP: Spec = Spec {
    what: "http_config",
    keys: &[
        ("basic_auth", Form::Map(&BASIC_AUTH)),
        ("authorization", Form::Map(&AUTHORIZATION)),
        ("oauth2", Form::Map(&OAUTH2)),
        ("bearer_token", Form::Text),
        ("bearer_token_file", Form::Text),
        ("tls_config", Form::Tls),
        ("follow_redirects", Form::Bool),
        ("enable_http2", Form::Bool),
        ("proxy_url", Form::Text),
        ("no_proxy", Form::Text),
        ("proxy_from_environment", Form::Bool),
        ("proxy_connect_header", Form::AnyMap),
        ("http_headers", Form::AnyMap),
    ],
    check: |values| {
        let ways = ["basic_auth", "authorization", "oauth2"];
        let set = ways.iter().filter(|key| values.node(key).is_some()).count();
        let bearer = values.has("bearer_token") || values.has("bearer_token_file");
        if set + usize::from(bearer) > 1 {
            return Some(
                "at most one of basic_auth, oauth2, bearer_token & authorization must be configured"
                    .to_owned(),
            );
        }
        values
            .both("bearer_token", "bearer_token_file")
            .or_else(|| check_proxy(values))
    },
};

fn check_proxy(values: &Values<'_>) -> Option<String> {
    let environment = values.is_true("proxy_from_environment");
    if environment && (values.has("proxy_url") || values.has("no_proxy")) {
        return Some(
            "if proxy_from_environment is configured, proxy_url and no_proxy must not be configured"
                .to_owned(),
        );
    }
    if values.has("no_proxy") && !values.has("proxy_url") {
        return Some("if no_proxy is configured, proxy_url must also be configured".to_owned());
    }
    (values.node("proxy_connect_header").is_some() && !environment && !values.has("proxy_url")).then(
        || {
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be \
             configured"
                .to_owned()
        },
    )
}

/// Headers that the client sets itself.
const RESERVED_HEADERS: [&str; 14] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
];

/// Reads a `tls_config`.
pub(super) fn read_tls(node: &Node, problems: &mut Problems) -> TlsConfig {
    let values = value::read(node, &TLS, problems);
    let text = |key| values.text(key).to_owned();
    TlsConfig {
        ca: text("ca"),
        ca_file: text("ca_file"),
        cert: text("cert"),
        cert_file: text("cert_file"),
        key: Secret::new(values.text("key")),
        key_file: text("key_file"),
        server_name: text("server_name"),
        insecure_skip_verify: values.is_true("insecure_skip_verify"),
        min_version: text("min_version"),
        max_version: text("max_version"),
    }
}

/// Reads an `http_config`.
pub(super) fn read_http(node: &Node, problems: &mut Problems) -> HttpConfig {
    let values = value::read(node, &HTTP, problems);
    let mut quiet = Problems::default();
    let default = HttpConfig::default();
    let bearer = values.has("bearer_token") || values.has("bearer_token_file");
    let switch = |key, unset| values.node(key).map_or(unset, |_| values.is_true(key));
    HttpConfig {
        basic_auth: values.node("basic_auth").map(|node| {
            let values = value::read(node, &BASIC_AUTH, &mut quiet);
            BasicAuth {
                username: values.text("username").to_owned(),
                username_file: values.text("username_file").to_owned(),
                password: Secret::new(values.text("password")),
                password_file: values.text("password_file").to_owned(),
            }
        }),
        authorization: match values.node("authorization") {
            Some(node) => {
                let values = value::read(node, &AUTHORIZATION, &mut Problems::default());
                let scheme = match values.text("type").trim() {
                    "" => "Bearer",
                    scheme => scheme,
                };
                Some(Authorization {
                    scheme: scheme.to_owned(),
                    credentials: Secret::new(values.text("credentials")),
                    credentials_file: values.text("credentials_file").to_owned(),
                })
            }
            None => bearer.then(|| Authorization {
                scheme: "Bearer".to_owned(),
                credentials: Secret::new(values.text("bearer_token")),
                credentials_file: values.text("bearer_token_file").to_owned(),
            }),
        },
        oauth2: values.node("oauth2").map(read_oauth2),
        tls: values
            .node("tls_config")
            .map(|node| read_tls(node, &mut Problems::default()))
            .unwrap_or_default(),
        follow_redirects: switch("follow_redirects", default.follow_redirects),
        enable_http2: switch("enable_http2", default.enable_http2),
        proxy: read_proxy(&values),
        headers: values
            .node("http_headers")
            .map(|node| read_headers(node, problems))
            .unwrap_or_default(),
    }
}

fn read_oauth2(node: &Node) -> OAuth2 {
    let mut quiet = Problems::default();
    let values = value::read(node, &OAUTH2, &mut quiet);
    OAuth2 {
        client_id: values.text("client_id").to_owned(),
        client_secret: Secret::new(values.text("client_secret")),
        client_secret_file: values.text("client_secret_file").to_owned(),
        scopes: values
            .node("scopes")
            .map(|node| Reader::new(&mut quiet).texts(node, "scopes"))
            .unwrap_or_default(),
        token_url: values.text("token_url").to_owned(),
        endpoint_params: values
            .node("endpoint_params")
            .map(|node| Reader::new(&mut quiet).text_map(node, "endpoint_params"))
            .unwrap_or_default()
            .into_iter()
            .collect(),
        tls: values
            .node("tls_config")
            .map(|node| read_tls(node, &mut quiet))
            .unwrap_or_default(),
        proxy: read_proxy(&values),
    }
}

fn read_proxy(values: &Values<'_>) -> ProxyConfig {
    let mut quiet = Problems::default();
    ProxyConfig {
        url: values.text("proxy_url").to_owned(),
        no_proxy: values.text("no_proxy").to_owned(),
        from_environment: values.is_true("proxy_from_environment"),
        connect_headers: values
            .node("proxy_connect_header")
            .and_then(Node::as_map)
            .unwrap_or_default()
            .iter()
            .filter_map(|(name, list)| {
                let values = Reader::new(&mut quiet).texts(list, "proxy_connect_header");
                Some((
                    name.as_text()?.to_owned(),
                    values.into_iter().map(Secret::new).collect(),
                ))
            })
            .collect(),
    }
}

fn read_headers(node: &Node, problems: &mut Problems) -> BTreeMap<String, HeaderValues> {
    let mut headers = BTreeMap::new();
    for (name, node) in node.as_map().unwrap_or_default() {
        let Some(text) = name.as_text() else { continue };
        if RESERVED_HEADERS.contains(&text.to_ascii_lowercase().as_str()) {
            problems.push(name.error(format!("setting header {text:?} is not allowed")));
        }
        let values = value::read(node, &HEADER, problems);
        let mut quiet = Problems::default();
        let mut list = |key| {
            values
                .node(key)
                .map(|node| Reader::new(&mut quiet).texts(node, key))
                .unwrap_or_default()
        };
        headers.insert(
            text.to_owned(),
            HeaderValues {
                values: list("values"),
                secrets: list("secrets").into_iter().map(Secret::new).collect(),
                files: list("files"),
            },
        );
    }
    headers
}
