//! Clients made from settings, and bodies read with a limit.

use std::sync::Arc;

use base64::Engine as _;
use bellwether_model::Secret;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Auth, HttpConfig, SecretSource, TlsConfig};

/// Why a client cannot be made or a request not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("read {path}: {source}")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("TLS settings: {0}")]
    Tls(String),
    #[error("HTTP client: {0}")]
    Client(String),
    #[error("credentials cannot be sent in a header")]
    Credentials,
}

/// Redirects followed.
const REDIRECTS_MAX: usize = 10;
/// Size of a file with a secret or a certificate.
const FILE_BYTES_MAX: u64 = 4 << 20;

impl SecretSource {
    /// The value; a file is read now, without white space at its end.
    pub(crate) fn load(&self) -> Result<Secret, ClientError> {
        let path = match self {
            Self::Inline(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let fail = |source| ClientError::File {
            path: path.display().to_string(),
            source,
        };
        if std::fs::metadata(path).map_err(fail)?.len() > FILE_BYTES_MAX {
            return Err(fail(std::io::Error::other("larger than 4 MiB")));
        }
        let text = std::fs::read_to_string(path).map_err(fail)?;
        Ok(Secret::new(text.trim_end()))
    }
}

/// A client for these settings. `compression`: ask for gzip and take it apart.
pub fn build_client(
    config: &HttpConfig,
    compression: bool,
) -> Result<reqwest::Client, ClientError> {
    build(config, compression, 1)
}

/// A client that connects anew for each request, so that a probe sees the whole way, and tells the certificate.
pub(crate) fn build_probe_client(config: &HttpConfig) -> Result<reqwest::Client, ClientError> {
    build(config, true, 0)
}

fn build(
    config: &HttpConfig,
    compression: bool,
    idle: usize,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config(&config.tls, config.enable_http2)?)
        .user_agent(concat!("Bellwether/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(idle)
        .tls_info(idle == 0)
        .no_proxy();
    builder = builder.redirect(if config.follow_redirects {
        reqwest::redirect::Policy::limited(REDIRECTS_MAX)
    } else {
        reqwest::redirect::Policy::none()
    });
    if !config.enable_http2 {
        builder = builder.http1_only();
    }
    if !compression {
        builder = builder.no_gzip();
    }
    if let Some(proxy) = &config.proxy_url {
        let proxy = reqwest::Proxy::all(proxy.expose())
            .map_err(|_| ClientError::Client("the proxy URL is not usable".to_owned()))?;
        builder = builder.proxy(proxy);
    }
    builder
        .build()
        .map_err(|error| ClientError::Client(error.to_string()))
}

/// Adds credentials and headers to a request; files are read now.
pub(crate) fn authorize(
    mut request: reqwest::RequestBuilder,
    config: &HttpConfig,
) -> Result<reqwest::RequestBuilder, ClientError> {
    let sensitive = |text: String| {
        let mut value = HeaderValue::from_str(&text).map_err(|_| ClientError::Credentials)?;
        value.set_sensitive(true);
        Ok::<_, ClientError>(value)
    };
    match &config.auth {
        None => {}
        Some(Auth::Basic { username, password }) => {
            let pair = format!(
                "{}:{}",
                username.load()?.expose(),
                password.load()?.expose()
            );
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            request = request.header(AUTHORIZATION, sensitive(format!("Basic {encoded}"))?);
        }
        Some(Auth::Header {
            scheme,
            credentials,
        }) => {
            request = request.header(
                AUTHORIZATION,
                sensitive(format!("{scheme} {}", credentials.load()?.expose()))?,
            );
        }
    }
    for (name, value) in &config.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| ClientError::Credentials)?;
        request = request.header(name, sensitive(value.load()?.expose().to_owned())?);
    }
    Ok(request)
}

/// Reads a body up to `limit` bytes (after decompression); `Ok(None)`: it is larger. Never holds more than the limit
/// and one chunk.
pub(crate) async fn read_limited(
    response: &mut reqwest::Response,
    limit: usize,
    body: &mut Vec<u8>,
) -> Result<Option<()>, reqwest::Error> {
    body.clear();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(()))
}

/// TLS of a client, with ring.
pub(crate) fn tls_config(tls: &TlsConfig, http2: bool) -> Result<ClientConfig, ClientError> {
    let wrong = |error: &dyn std::fmt::Display| ClientError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = if tls.tls13_only {
        &[&rustls::version::TLS13]
    } else if tls.tls12_only {
        &[&rustls::version::TLS12]
    } else {
        rustls::DEFAULT_VERSIONS
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| wrong(&error))?;
    let verifier: Arc<dyn ServerCertVerifier> = if tls.insecure_skip_verify {
        Arc::new(AnyServer(provider))
    } else {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), provider)
            .build()
            .map_err(|error| wrong(&error))?;
        match &tls.server_name {
            None => inner,
            Some(name) => Arc::new(NamedServer {
                name: ServerName::try_from(name.clone()).map_err(|error| wrong(&error))?,
                inner,
            }),
        }
    };
    // "Dangerous" is the builder's name for every verifier that is not its own; ours check or say that they do not.
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let cert = cert.load()?;
            let chain: Vec<CertificateDer<'static>> =
                CertificateDer::pem_slice_iter(cert.expose().as_bytes())
                    .collect::<Result<_, _>>()
                    .map_err(|error| wrong(&error))?;
            let key = PrivateKeyDer::from_pem_slice(key.load()?.expose().as_bytes())
                .map_err(|error| wrong(&error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| wrong(&error))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(config)
}

/// The authorities to trust: those of the settings, else the system's, else Mozilla's.
fn roots(tls: &TlsConfig) -> Result<RootCertStore, ClientError> {
    let mut store = RootCertStore::empty();
    if let Some(ca) = &tls.ca {
        for cert in CertificateDer::pem_slice_iter(ca.load()?.expose().as_bytes()) {
            let cert = cert.map_err(|error| ClientError::Tls(error.to_string()))?;
            store
                .add(cert)
                .map_err(|error| ClientError::Tls(error.to_string()))?;
        }
        return Ok(store);
    }
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(store)
}

/// Verifies against a fixed name instead of that of the address.
#[derive(Debug)]
struct NamedServer {
    name: ServerName<'static>,
    inner: Arc<WebPkiServerVerifier>,
}

/// Takes any certificate: `insecure_skip_verify`.
#[derive(Debug)]
struct AnyServer(Arc<rustls::crypto::CryptoProvider>);

type Checked<T> = Result<T, rustls::Error>;

impl ServerCertVerifier for NamedServer {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Checked<ServerCertVerified> {
        self.inner
            .verify_server_cert(end, chain, &self.name, ocsp, now)
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Checked<ServerCertVerified> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
