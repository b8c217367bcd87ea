//! HTTP probes.

use bellwether_env::Clock;
use reqwest::tls::TlsInfo;

use super::{Failure, ProbeConfig, ProbeKind, certificate, judge_expiry, resolve};
use crate::collect::text::Text;
use crate::http::{authorize, build_probe_client, read_limited};

/// Bytes of a body that are read to match it.
const BODY_BYTES_MAX: usize = 4 << 20;

pub(super) async fn run(
    probe: &ProbeConfig,
    clock: &dyn Clock,
    text: &mut Text,
) -> Result<(), Failure> {
    let ProbeKind::Http {
        method,
        body,
        status,
        body_matches,
        body_not_matches,
        min_days,
        http,
    } = &probe.kind
    else {
        return Err(Failure::Settings);
    };
    let url = reqwest::Url::parse(&probe.target).map_err(|_| Failure::Settings)?;
    if let Some(host) = url.host_str() {
        resolve(host, 0, clock, text).await?;
    }
    let client = tokio::task::spawn_blocking({
        let http = http.clone();
        move || build_probe_client(&http)
    });
    let client = client
        .await
        .map_err(|_| Failure::Settings)?
        .map_err(|_| Failure::Settings)?;
    let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(|_| Failure::Settings)?;
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.body(body.clone());
    }
    let request = authorize(request, http).map_err(|_| Failure::Settings)?;
    let mut response = request.send().await.map_err(|error| failure_of(&error))?;
    let code = response.status().as_u16();
    text.gauge(
        "probe_http_status_code",
        "Response HTTP status code",
        f64::from(code),
    );
    let expires = response
        .extensions()
        .get::<TlsInfo>()
        .and_then(|info| certificate::not_after(info.peer_certificate()?));
    text.gauge(
        "probe_http_ssl",
        "Indicates if SSL was used for the final redirect",
        f64::from(u8::from(expires.is_some())),
    );
    let version = match response.version() {
        reqwest::Version::HTTP_10 => 1.0,
        reqwest::Version::HTTP_2 => 2.0,
        _ => 1.1,
    };
    text.gauge(
        "probe_http_version",
        "Returns the version of HTTP of the probe response",
        version,
    );
    let certificate = match expires {
        Some(expires) => judge_expiry(expires, *min_days, clock, text),
        None => Ok(()),
    };
    let mut content = Vec::new();
    // A longer body is cut: what was read of it is what the expectations see.
    let whole = read_limited(&mut response, BODY_BYTES_MAX, &mut content).await;
    whole.map_err(|error| failure_of(&error))?;
    text.gauge(
        "probe_http_uncompressed_body_length",
        "Length of uncompressed response body",
        content.len() as f64,
    );
    let content = String::from_utf8_lossy(&content);
    let body_fits = body_matches
        .iter()
        .all(|pattern| pattern.is_match(&content))
        && !body_not_matches
            .iter()
            .any(|pattern| pattern.is_match(&content));
    text.gauge(
        "probe_failed_due_to_regex",
        "Indicates if probe failed due to regex",
        f64::from(u8::from(!body_fits)),
    );
    let status_fits = if status.is_empty() {
        (200..300).contains(&code)
    } else {
        status.contains(&code)
    };
    if !status_fits {
        return Err(Failure::Status);
    }
    if !body_fits {
        return Err(Failure::Body);
    }
    certificate
}

fn failure_of(error: &reqwest::Error) -> Failure {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = source {
        let tls = cause.is::<rustls::Error>()
            || cause
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref)
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
        if tls {
            return Failure::Certificate;
        }
        source = cause.source();
    }
    if error.is_connect() {
        Failure::Connect
    } else {
        Failure::NoAnswer
    }
}
