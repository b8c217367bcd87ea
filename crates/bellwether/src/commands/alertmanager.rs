//! Running in the place of an Alertmanager, and checking its files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::process::ExitCode;

use bellwether_env::logging::{self, Style};
use bellwether_page::matchers::Mode;

use super::offline::print_problems;
use super::say;
use crate::app::SilenceLimits;
use crate::cli::{Alertmanager, Serve};
use crate::config::Config;
use crate::http::alertmanager::stats::ALERTMANAGER_VERSION;
use crate::serve::{self, Setup, Source, StartError};

pub(super) async fn run(args: Alertmanager) -> ExitCode {
    let about = format!(
        "alertmanager, version {ALERTMANAGER_VERSION} (branch: bellwether, revision: bellwether-{})",
        env!("CARGO_PKG_VERSION")
    );
    if args.version {
        say(about);
        return ExitCode::SUCCESS;
    }
    let style = match args.log_format {
        crate::cli::LogFormat::Logfmt => Style::Logfmt,
        crate::cli::LogFormat::Json => Style::LogfmtAsJson,
    };
    logging::init_as(args.log_level.as_str(), style);
    tracing::info!(version = %format_args!("(version={ALERTMANAGER_VERSION}, branch=bellwether, revision=bellwether-{})", env!("CARGO_PKG_VERSION")), "Starting Alertmanager");
    let file = args.config_file.display().to_string();
    tracing::info!(component = "configuration", %file, "Loading configuration file");
    match setup(args) {
        Ok(setup) => match serve::run_with(setup).await {
            Ok(code) => code,
            Err(StartError::Config(problems)) => {
                let err = problems.to_string();
                let err = err.trim_end();
                tracing::error!(component = "configuration", %file, err, "Loading configuration file failed");
                ExitCode::FAILURE
            }
            Err(error) => {
                tracing::error!(err = %error, "Alertmanager does not start");
                ExitCode::FAILURE
            }
        },
        Err(err) => {
            tracing::error!(err, "Alertmanager does not start");
            ExitCode::FAILURE
        }
    }
}

fn setup(args: Alertmanager) -> Result<Setup, String> {
    if !args.web_config.is_empty() {
        return Err(
            "--web.config.file is not supported: put a proxy with TLS and authentication before this address"
                .to_owned(),
        );
    }
    if !args.ignored.cluster_peer.is_empty() {
        tracing::warn!(
            peers = args.ignored.cluster_peer.join(","),
            "gossip between nodes is not supported: this node decides by itself"
        );
    }
    let mut listen = Vec::new();
    for text in &args.listen {
        listen.push(address(text)?);
    }
    if listen.iter().any(|address| !address.ip().is_loopback()) {
        tracing::warn!(
            "whoever can reach this address may post alerts and silences, as with Alertmanager; \
             listen on 127.0.0.1 behind a proxy to change that"
        );
    }
    let mode = match args
        .features
        .split(',')
        .map(str::trim)
        .find(|f| f.ends_with("-mode"))
    {
        Some("classic-mode") => Mode::Classic,
        Some("utf8-strict-mode") => Mode::Utf8,
        _ => Mode::Fallback,
    };
    let external_url = (!args.external_url.is_empty()).then_some(args.external_url);
    if let Some(url) = &external_url
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        return Err(format!(
            "failed to determine external URL: {url:?}: invalid scheme, only 'http' and 'https' are supported"
        ));
    }
    let of_url = external_url
        .as_deref()
        .and_then(|url| url.split_once("://"))
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(_, path)| path.to_owned());
    let prefix = args.route_prefix.or(of_url).unwrap_or_default();
    let prefix = prefix.trim_matches('/');
    let limit = |number: i64| match usize::try_from(number) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(number) => number,
    };
    Ok(Setup {
        args: Serve {
            data: args.storage_path,
            external_url,
            ..Serve::default()
        },
        source: Source::Alertmanager(args.config_file, mode),
        listen,
        page_retention: args.retention,
        open_posts: true,
        route_prefix: if prefix.is_empty() {
            String::new()
        } else {
            format!("/{prefix}")
        },
        silence_limits: SilenceLimits {
            silences: limit(args.max_silences),
            bytes: limit(args.max_silence_bytes),
        },
    })
}

/// `:9093`, `127.0.0.1:9093`, `localhost:9093`. Without a host it is every address of this machine.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port: u16 = port
            .parse()
            .map_err(|_| format!("{text:?} is not an address to listen on"))?;
        let six = std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        let any = if six {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        };
        return Ok(SocketAddr::new(any, port));
    }
    text.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| format!("{text:?} is not an address to listen on"))
}

/// `bellwether check --alertmanager`: as `amtool check-config` says it.
pub(super) fn check(file: &Path, json: bool) -> ExitCode {
    let (config, problems) = Config::load_alertmanager(file, Mode::Fallback);
    if json {
        return print_problems(&problems, true, 1);
    }
    say(format_args!(
        "Checking '{}'  {}",
        file.display(),
        if problems.has_errors() {
            "FAILED"
        } else {
            "SUCCESS"
        }
    ));
    if let Some(config) = config {
        let page = &config.page;
        say("Found:");
        say(" - global config");
        say(" - route");
        say(format_args!(
            " - {} inhibit rules",
            page.inhibit_rules.len()
        ));
        say(format_args!(" - {} receivers", page.receivers.len()));
        say(format_args!(" - {} templates", page.templates.len()));
    }
    print_problems(&problems, false, 1)
}
