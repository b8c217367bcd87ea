//! One target: when to ask it, how to ask it, and what to do with the answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_env::Clock;
use bellwether_model::Labels;
use bellwether_model::series::{Metadata, SampleSink};
use tokio::sync::watch;

use crate::collect::{self, CollectorKind};
use crate::config::{BODY_BYTES_MAX_DEFAULT, ScrapeProtocol};
use crate::exposition::Format;
use crate::http::{HttpConfig, authorize, read_limited};
use crate::ingest::{Ingest, Report, Rules};
use crate::probe::{self, ProbeConfig};
use crate::target::{Health, TargetStatus};

/// All there is to know about a target to scrape it.
#[derive(Clone, Debug)]
pub(crate) struct TargetSpec {
    pub(crate) pool: String,
    pub(crate) discovered: Labels,
    pub(crate) url: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) rules: Arc<Rules>,
    pub(crate) extra_scrape_metrics: bool,
    pub(crate) source: Source,
}

/// Where the text comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Http(Arc<HttpSource>),
    Collector(CollectorKind),
    Probe(Arc<ProbeConfig>),
    /// Nothing is asked; each scrape fails for this reason.
    Refused(String),
}

/// What all targets of a scrape config share.
#[derive(Debug)]
pub(crate) struct HttpSource {
    pub(crate) client: reqwest::Client,
    pub(crate) http: HttpConfig,
    pub(crate) protocols: Vec<ScrapeProtocol>,
    pub(crate) fallback: Option<ScrapeProtocol>,
    pub(crate) body_limit: usize,
}

/// What a running target is told.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Go on, under this.
    Run(Arc<TargetSpec>),
    /// The target is gone: mark it stale and end.
    Remove,
    /// Bellwether stops: end, and leave the series as they are.
    Stop,
}

/// What others may see of a running target.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) status: Mutex<Option<TargetStatus>>,
    pub(crate) metadata: Mutex<Vec<(String, Metadata)>>,
}

/// What one attempt brought.
struct Outcome {
    error: String,
    report: Report,
    body_bytes: usize,
}

impl TargetSpec {
    /// The status before the first scrape.
    pub(crate) fn status(&self) -> TargetStatus {
        TargetStatus {
            scrape_pool: self.pool.clone(),
            discovered_labels: self.discovered.clone(),
            labels: self.rules.target.clone(),
            scrape_url: self.url.clone(),
            health: Health::Unknown,
            last_error: String::new(),
            last_scrape: None,
            last_scrape_duration: Duration::ZERO,
            samples_scraped: 0,
            body_bytes: 0,
            scrape_interval: self.interval,
            scrape_timeout: self.timeout,
        }
    }

    /// Where in the interval this target is scraped: the same after each start, spread over targets.
    fn offset_ms(&self) -> i64 {
        let hash = self.rules.target.with("__url__", &self.url).fingerprint();
        (hash % (self.interval.as_millis() as u64).max(1)) as i64
    }

    /// Milliseconds from `now` to the next scrape.
    fn wait_ms(&self, now: i64) -> i64 {
        let interval = (self.interval.as_millis() as i64).max(1);
        interval - (now - self.offset_ms()).rem_euclid(interval)
    }
}

/// Scrapes a target until told to end. The first scrape comes within two seconds, so that a fresh start shows
/// something at once; all later ones at the target's own place in the interval.
pub(crate) async fn run(
    mut commands: watch::Receiver<Command>,
    shared: Arc<Shared>,
    sink: Arc<dyn SampleSink>,
    clock: Arc<dyn Clock>,
) {
    let Command::Run(mut spec) = commands.borrow_and_update().clone() else {
        return;
    };
    let mut ingest = Ingest::new(sink, Arc::clone(&spec.rules));
    let mut body = Vec::new();
    let mut wait = spec.offset_ms() % 2_000;
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait as u64)) => {
                let scrape = scrape_once(&spec, ingest, body, &shared, &*clock);
                let Some(back) = scrape.await else { return };
                (ingest, body) = back;
            }
            changed = commands.changed() => {
                let command = if changed.is_ok() { commands.borrow_and_update().clone() } else { Command::Stop };
                match command {
                    Command::Stop => return,
                    Command::Remove => {
                        let at = clock.now().as_millisecond();
                        drop(tokio::task::spawn_blocking(move || ingest.end(at)).await);
                        return;
                    }
                    Command::Run(new) => {
                        ingest.set_rules(Arc::clone(&new.rules));
                        update(&shared, |status| {
                            status.discovered_labels = new.discovered.clone();
                            status.scrape_interval = new.interval;
                            status.scrape_timeout = new.timeout;
                        });
                        spec = new;
                    }
                }
            }
        }
        wait = spec.wait_ms(clock.now().as_millisecond());
    }
}

fn update(shared: &Shared, change: impl FnOnce(&mut TargetStatus)) {
    let mut status = shared.status.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(status) = status.as_mut() {
        change(status);
    }
}

/// Asks once and stores the answer. `None`: storing panicked, which is a fault of ours; the target ends.
async fn scrape_once(
    spec: &Arc<TargetSpec>,
    mut ingest: Ingest,
    mut body: Vec<u8>,
    shared: &Arc<Shared>,
    clock: &dyn Clock,
) -> Option<(Ingest, Vec<u8>)> {
    let started = clock.now();
    let begin = clock.monotonic();
    let asked = tokio::time::timeout(spec.timeout, ask(spec, &mut body, clock)).await;
    let asked = asked.unwrap_or_else(|_| {
        Err(format!(
            "no complete answer within {} s",
            spec.timeout.as_secs_f64()
        ))
    });
    let duration = clock.monotonic().saturating_sub(begin);
    let at = started.as_millisecond();
    let task = {
        let (spec, shared) = (Arc::clone(spec), Arc::clone(shared));
        tokio::task::spawn_blocking(move || {
            let outcome = store(&spec, &mut ingest, asked, &body, at, duration);
            publish_metadata(&ingest, &shared);
            // One huge answer must not hold memory for ever.
            if body.capacity() > (1 << 20) && body.capacity() > body.len() * 4 {
                body = Vec::new();
            }
            (ingest, body, outcome)
        })
    };
    let (ingest, body, outcome) = match task.await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(target.url = spec.url, %error, "storing a scrape panicked; this target is not watched any more");
            update(shared, |status| {
                status.health = Health::Down;
                "internal fault while storing; see the log".clone_into(&mut status.last_error);
            });
            return None;
        }
    };
    if !outcome.error.is_empty() {
        tracing::debug!(
            target.pool = spec.pool,
            target.url = spec.url,
            error = outcome.error,
            "scrape failed"
        );
    }
    update(shared, |status| {
        status.health = if outcome.report.up {
            Health::Up
        } else {
            Health::Down
        };
        status.last_error = outcome.error;
        status.last_scrape = Some(started);
        status.last_scrape_duration = duration;
        status.samples_scraped = outcome.report.counts.scraped;
        status.body_bytes = outcome.body_bytes;
    });
    Some((ingest, body))
}

fn store(
    spec: &TargetSpec,
    ingest: &mut Ingest,
    asked: Result<Format, String>,
    body: &[u8],
    at: i64,
    duration: Duration,
) -> Outcome {
    let body_bytes = if asked.is_ok() { body.len() } else { 0 };
    let stored = match asked {
        Ok(format) => ingest
            .store(body, format, at)
            .map_err(|error| error.to_string()),
        Err(error) => {
            ingest.fail(at);
            Err(error)
        }
    };
    let (counts, mut error) = match stored {
        Ok(counts) => (counts, String::new()),
        Err(error) => (crate::ingest::Counts::default(), error),
    };
    let extra = spec.extra_scrape_metrics.then(|| {
        let limit = spec.rules.limits.samples as f64;
        (spec.timeout.as_secs_f64(), limit, body_bytes as f64)
    });
    let report = Report {
        up: error.is_empty(),
        duration_seconds: duration.as_secs_f64(),
        counts,
        extra,
    };
    if let Err(failure) = ingest.report(&report, at) {
        tracing::warn!(target.url = spec.url, error = %failure, "the state of a target was not stored");
        if error.is_empty() {
            error = failure.to_string();
        }
    }
    Outcome {
        error,
        report,
        body_bytes,
    }
}

fn publish_metadata(ingest: &Ingest, shared: &Shared) {
    let mut seen = shared
        .metadata
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let now = ingest.metadata();
    let same = seen.len() == now.len()
        && seen
            .iter()
            .zip(now)
            .all(|((name, metadata), (n, m))| name == n && metadata == m);
    if !same {
        *seen = now
            .iter()
            .map(|(name, metadata)| (name.clone(), metadata.clone()))
            .collect();
    }
}

/// Fills `body` with text and says in which format it is.
async fn ask(spec: &TargetSpec, body: &mut Vec<u8>, clock: &dyn Clock) -> Result<Format, String> {
    body.clear();
    match &spec.source {
        Source::Http(source) => fetch(source, &spec.url, spec.timeout, body).await,
        Source::Refused(reason) => Err(reason.clone()),
        Source::Collector(kind) => {
            *body = collect::collect(kind, spec.timeout, clock)
                .await?
                .into_bytes();
            Ok(Format::Text)
        }
        Source::Probe(probe) => {
            *body = probe::run(probe, clock).await.into_bytes();
            Ok(Format::Text)
        }
    }
}

async fn fetch(
    source: &HttpSource,
    url: &str,
    timeout: Duration,
    body: &mut Vec<u8>,
) -> Result<Format, String> {
    let request = source
        .client
        .get(url)
        .header("Accept", accept(&source.protocols))
        .header(
            "X-Prometheus-Scrape-Timeout-Seconds",
            timeout.as_secs_f64().to_string(),
        );
    let request = authorize(request, &source.http).map_err(|error| error.to_string())?;
    let mut response = request.send().await.map_err(|error| chain(&error))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("server returned HTTP status {}", response.status()));
    }
    let content_type = response
        .headers()
        .get(reqwest::header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let format = format_of(content_type.as_deref(), source.fallback)?;
    let limit = if source.body_limit == 0 {
        BODY_BYTES_MAX_DEFAULT
    } else {
        source.body_limit
    };
    match read_limited(&mut response, limit, body).await {
        Ok(Some(())) => Ok(format),
        Ok(None) => Err(format!("body size limit exceeded: more than {limit} bytes")),
        Err(error) => Err(chain(&error)),
    }
}

/// The format a target says it answers in.
fn format_of(
    content_type: Option<&str>,
    fallback: Option<ScrapeProtocol>,
) -> Result<Format, String> {
    let media = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match (media.as_str(), fallback) {
        ("application/openmetrics-text", _) => Ok(Format::OpenMetrics),
        ("text/plain" | "", _) => Ok(Format::Text),
        ("application/vnd.google.protobuf", _) => {
            Err("the target answered in protobuf, which is not read yet".to_owned())
        }
        (_, Some(ScrapeProtocol::PrometheusText0_0_4 | ScrapeProtocol::PrometheusText1_0_0)) => {
            Ok(Format::Text)
        }
        (_, Some(ScrapeProtocol::OpenMetricsText0_0_1 | ScrapeProtocol::OpenMetricsText1_0_0)) => {
            Ok(Format::OpenMetrics)
        }
        _ => Err(format!(
            "received unsupported Content-Type {} and no fallback_scrape_protocol specified for target",
            crate::exposition::shown(content_type.unwrap_or_default().as_bytes())
        )),
    }
}

/// The `Accept` header: what is read, most wanted first.
fn accept(protocols: &[ScrapeProtocol]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut weight = protocols.len() + 1;
    for protocol in protocols {
        let media = match protocol {
            ScrapeProtocol::PrometheusProto => continue,
            ScrapeProtocol::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::OpenMetricsText1_0_0 => {
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8"
            }
            ScrapeProtocol::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            ScrapeProtocol::PrometheusText1_0_0 => "text/plain;version=1.0.0;escaping=allow-utf-8",
        };
        parts.push(format!("{media};q=0.{weight}"));
        weight -= 1;
    }
    parts.push(format!("*/*;q=0.{weight}"));
    parts.join(",")
}

/// An error with its causes, without the address (it is shown beside it, and may hold a password).
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "timeout".to_owned()
    } else if error.is_connect() {
        "connect".to_owned()
    } else if error.is_redirect() {
        "redirect".to_owned()
    } else if error.is_body() || error.is_decode() {
        "read the body".to_owned()
    } else {
        "send the request".to_owned()
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
