//! TLS probes: until when is the certificate valid, and is it trusted.

use std::sync::Arc;

use bellwether_env::Clock;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Failure, ProbeConfig, ProbeKind, certificate, judge_expiry, look_up};
use crate::collect::text::Text;
use crate::http::{TlsConfig, tls_config};

pub(super) async fn run(
    probe: &ProbeConfig,
    clock: &dyn Clock,
    text: &mut Text,
) -> Result<(), Failure> {
    let ProbeKind::Tls {
        min_days,
        server_name,
        insecure_skip_verify,
    } = &probe.kind
    else {
        return Err(Failure::Settings);
    };
    let address = look_up(&probe.target, clock, text).await?;
    let host = probe.target.rsplit_once(':').map_or("", |(host, _)| host);
    let host = server_name
        .as_deref()
        .unwrap_or(host)
        .trim_start_matches('[')
        .trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Failure::Settings)?;
    // First without verification: how long an untrusted or expired certificate was valid is worth knowing too.
    let any = TlsConfig {
        insecure_skip_verify: true,
        ..TlsConfig::default()
    };
    let connect = async |settings: TlsConfig| {
        let config = tokio::task::spawn_blocking(move || tls_config(&settings, false)).await;
        let config = config
            .map_err(|_| Failure::Settings)?
            .map_err(|_| Failure::Settings)?;
        let stream = TcpStream::connect(address)
            .await
            .map_err(|_| Failure::Connect)?;
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect(name.clone(), stream)
            .await
            .map_err(|_| Failure::Certificate)
    };
    let stream = connect(any).await?;
    let (_, session) = stream.get_ref();
    let expires = session
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .filter_map(|cert| certificate::not_after(cert))
        .min();
    if let Some(version) = session.protocol_version() {
        text.family(
            "probe_tls_version_info",
            "gauge",
            "Returns the TLS version used or NaN when unknown",
        );
        let version = version
            .as_str()
            .unwrap_or("unknown")
            .replace("TLSv1_", "TLS 1.");
        text.sample("probe_tls_version_info", &[("version", &version)], 1.0);
    }
    drop(stream);
    let judged = judge_expiry(expires.ok_or(Failure::Certificate)?, *min_days, clock, text);
    if !insecure_skip_verify {
        connect(TlsConfig::default()).await?;
    }
    judged
}
