//! How an HTTP target is reached: credentials, TLS, redirects, as Prometheus' `http_config` has them.

use std::path::{Path, PathBuf};

use bellwether_model::Secret;
use bellwether_yaml::{MapReader, Node};

mod client;

pub use client::{ClientError, build_client};
pub(crate) use client::{authorize, build_probe_client, read_limited, tls_config};

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
    /// Name the certificate must be for, when it is not that of the address. (SNI still carries the address's name.)
    pub server_name: Option<String>,
    pub insecure_skip_verify: bool,
    /// `min_version: TLS13`.
    pub tls13_only: bool,
    /// `max_version: TLS12`.
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
    /// Proxy to go through.
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

/// Reads the keys of an HTTP client that stand among others in a map.
pub(crate) fn read_http(map: &mut MapReader<'_, '_>, base_dir: &Path) -> HttpConfig {
    let mut config = HttpConfig::default();
    let mut ways: Vec<&'static str> = Vec::new();
    if let Some(node) = map.take("basic_auth") {
        ways.push("basic_auth");
        config.auth = Some(read_basic(node, base_dir, map));
    }
    if let Some(node) = map.take("authorization") {
        ways.push("authorization");
        config.auth = read_authorization(node, base_dir, map);
    }
    if let Some(node) = map.take("oauth2") {
        ways.push("oauth2");
        map.problems().push(
            node.warning("oauth2 is not supported yet: requests go out without credentials")
                .with_hint("use authorization with credentials_file and renew the file"),
        );
    }
    if let Some(source) = secret_source(map, "bearer_token", "bearer_token_file", base_dir) {
        ways.push("bearer_token");
        config.auth = Some(Auth::Header {
            scheme: "Bearer".to_owned(),
            credentials: source,
        });
    }
    if ways.len() > 1 {
        let node = map.node();
        map.problems().push(node.error(format!(
            "at most one of {} must be configured",
            ways.join(", ")
        )));
    }
    if let Some(node) = map.take("tls_config") {
        config.tls = read_tls(node, base_dir, map);
    }
    config.follow_redirects = map.boolean("follow_redirects").unwrap_or(true);
    config.enable_http2 = map.boolean("enable_http2").unwrap_or(true);
    if let Some(node) = map.take("proxy_url") {
        config.proxy_url = map.secret("proxy_url");
        let valid = node
            .as_text()
            .is_some_and(|text| reqwest::Url::parse(text).is_ok());
        if !valid {
            map.problems().push(node.error("proxy_url is not a URL"));
            config.proxy_url = None;
        }
    }
    for key in ["no_proxy", "proxy_from_environment", "proxy_connect_header"] {
        if let Some(node) = map.take(key) {
            map.problems()
                .push(node.warning(format!("{key} is not supported yet and has no effect")));
        }
    }
    if let Some(node) = map.take("http_headers") {
        config.headers = read_headers(node, base_dir, map);
    }
    config
}

fn read_basic(node: &Node, base_dir: &Path, outer: &mut MapReader<'_, '_>) -> Auth {
    let mut map = MapReader::new(node, "basic_auth", outer.problems());
    let username = secret_source(&mut map, "username", "username_file", base_dir);
    let password = secret_source(&mut map, "password", "password_file", base_dir);
    map.ignore(&["username_ref", "password_ref"]);
    map.finish();
    let empty = || SecretSource::Inline(Secret::default());
    Auth::Basic {
        username: username.unwrap_or_else(empty),
        password: password.unwrap_or_else(empty),
    }
}

fn read_authorization(node: &Node, base_dir: &Path, outer: &mut MapReader<'_, '_>) -> Option<Auth> {
    let mut map = MapReader::new(node, "authorization", outer.problems());
    let kind_node = map.take("type");
    let scheme = map
        .text("type")
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "Bearer".to_owned());
    if scheme.eq_ignore_ascii_case("basic") {
        map.problems().push(
            kind_node
                .unwrap_or(node)
                .error("authorization type cannot be set to \"basic\"")
                .with_hint("use basic_auth"),
        );
    }
    let credentials = secret_source(&mut map, "credentials", "credentials_file", base_dir);
    map.ignore(&["credentials_ref"]);
    map.finish();
    Some(Auth::Header {
        scheme,
        credentials: credentials?,
    })
}

/// A value given in the file itself or by the name of another file; not both.
fn secret_source(
    map: &mut MapReader<'_, '_>,
    key: &'static str,
    file_key: &'static str,
    base_dir: &Path,
) -> Option<SecretSource> {
    let inline = map.secret(key).filter(|secret| !secret.is_empty());
    let file_node = map.take(file_key);
    let file = map.text(file_key).filter(|text| !text.is_empty());
    match (inline, file, file_node) {
        (Some(_), Some(_), Some(node)) => {
            map.problems().push(node.error(format!(
                "at most one of {key} and {file_key} must be configured"
            )));
            None
        }
        (Some(secret), None, _) => Some(SecretSource::Inline(secret)),
        (None, Some(file), _) => Some(SecretSource::File(base_dir.join(file))),
        _ => None,
    }
}

fn read_tls(node: &Node, base_dir: &Path, outer: &mut MapReader<'_, '_>) -> TlsConfig {
    let mut map = MapReader::new(node, "tls_config", outer.problems());
    let mut tls = TlsConfig {
        ca: secret_source(&mut map, "ca", "ca_file", base_dir),
        cert: secret_source(&mut map, "cert", "cert_file", base_dir),
        key: secret_source(&mut map, "key", "key_file", base_dir),
        server_name: map.text("server_name").filter(|text| !text.is_empty()),
        insecure_skip_verify: map.boolean("insecure_skip_verify").unwrap_or(false),
        ..TlsConfig::default()
    };
    map.ignore(&["ca_ref", "cert_ref", "key_ref"]);
    for key in ["min_version", "max_version"] {
        let Some(version_node) = map.take(key) else {
            continue;
        };
        match version_node.as_text() {
            Some("TLS13") if key == "min_version" => tls.tls13_only = true,
            Some("TLS12") if key == "max_version" => tls.tls12_only = true,
            Some("TLS12" | "TLS13") => {}
            Some("TLS10" | "TLS11") if key == "min_version" => {
                map.problems().push(version_node.warning(format!(
                    "{key}: TLS below 1.2 is not spoken; 1.2 is the least"
                )));
            }
            _ => map
                .problems()
                .push(version_node.error(format!("{key} must be TLS12 or TLS13"))),
        }
    }
    if tls.cert.is_some() != tls.key.is_some() {
        let (has, lacks) = if tls.cert.is_some() {
            ("cert", "key")
        } else {
            ("key", "cert")
        };
        map.problems().push(node.error(format!(
            "exactly one of {lacks} or {lacks}_file must be configured when a client {has} is"
        )));
    }
    map.finish();
    tls
}

fn read_headers(
    node: &Node,
    base_dir: &Path,
    outer: &mut MapReader<'_, '_>,
) -> Vec<(String, SecretSource)> {
    /// Headers that other keys or the client itself set.
    const RESERVED: [&str; 8] = [
        "authorization",
        "host",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "connection",
        "accept-encoding",
    ];
    let mut headers = Vec::new();
    for (name_node, value) in node.as_map().unwrap_or_default() {
        let name = name_node.as_text().unwrap_or_default().to_owned();
        if RESERVED.contains(&name.to_lowercase().as_str()) {
            outer
                .problems()
                .push(name_node.error(format!("setting header {name:?} is not allowed")));
            continue;
        }
        let mut map = MapReader::new(value, "http header", outer.problems());
        let texts = map.texts("values").into_iter().chain(map.texts("secrets"));
        headers.extend(texts.map(|text| (name.clone(), SecretSource::Inline(Secret::new(text)))));
        let files = map.texts("files");
        headers.extend(
            files
                .into_iter()
                .map(|file| (name.clone(), SecretSource::File(base_dir.join(file)))),
        );
        map.finish();
    }
    headers
}
