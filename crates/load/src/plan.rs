//! What a load run is asked to do, and the limits it must keep.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::duration::format_duration;

use crate::arrival::Arrival;
use crate::scenario::Scenario;
use crate::target::Target;

/// Requests per second that a run may ask for unless the limit is raised.
pub const RATE_MAX: f64 = 100_000.0;
/// Time that a run may take unless the limit is raised.
pub const DURATION_MAX: Duration = Duration::from_hours(1);
/// Connections of one run.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Threads of one run.
pub const THREADS_MAX: usize = 256;
/// The longest time a request may be given.
pub const TIMEOUT_MAX: Duration = Duration::from_mins(30);

/// How requests come about.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// Requests are due at times that do not depend on answers, as users come.
    Open(Arrival),
    /// A number of users, each of which sends when the last answer has come (and it has thought): what most load
    /// generators do. A server that stalls is asked less, so its stalls hardly show.
    Closed,
}

impl Model {
    /// Arrivals at a rate, with equal gaps or independent of each other.
    pub fn open(rate: f64, poisson: bool) -> Self {
        Self::Open(if poisson {
            Arrival::Poisson { rate }
        } else {
            Arrival::Constant { rate }
        })
    }

    pub fn is_poisson(&self) -> bool {
        matches!(self, Self::Open(Arrival::Poisson { .. }))
    }
}

/// The version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// How the server's certificate is checked.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Accept any certificate.
    pub insecure: bool,
    /// A further authority, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// When the part of a run in which the target was still warming up ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warmup {
    /// Where the change-point detector sees the times fall, if it does.
    Detect,
    /// Nothing is left out.
    None,
    /// The first so much is left out.
    Fixed(Duration),
}

/// A run, checked and ready.
#[derive(Clone, Debug)]
pub struct Plan {
    pub scenario: Scenario,
    /// The flow of each arrival, in order and again from the start; by the weights when there is none.
    pub order: Option<Arc<[u32]>>,
    /// What the `Host` header says.
    pub host: String,
    /// Where every connection goes, in turn.
    pub addresses: Vec<SocketAddr>,
    /// Name for TLS.
    pub server_name: String,
    pub tls: bool,
    pub tls_options: TlsOptions,
    pub protocol: Protocol,
    pub model: Model,
    pub duration: Duration,
    /// Stop after so many flows.
    pub requests_max: Option<u64>,
    /// Open: the most connections at a time. Closed: users, each with a connection.
    pub connections: usize,
    /// Connections that are opened before the start and replaced when they end. More are opened, up to `connections`,
    /// while requests wait for one: few at first, more as they bring answers.
    pub pool: usize,
    pub threads: usize,
    /// From the intended send; a request that has no answer by then has failed.
    pub timeout: Duration,
    pub warmup: Warmup,
    pub seed: u64,
    /// Requests per second that are not exceeded, also when closed.
    pub rate_max: f64,
}

/// Threads that serve a rate comfortably: one for every so many requests a second.
const RATE_PER_THREAD: f64 = 20_000.0;
/// Connections opened before the start unless a number is asked for.
const POOL: usize = 16;

impl Plan {
    /// A run of the scenario against a target: HTTP/1.1, 10 s, answers within 5 s, no seed of its own.
    pub fn new(target: &Target, scenario: Scenario, model: Model) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (connections, pool, threads) = match &model {
            Model::Open(arrival) => {
                let wanted = (arrival.peak() / RATE_PER_THREAD).ceil().max(1.0) as usize;
                (10_000, POOL, wanted.min(processors))
            }
            Model::Closed => (50, 50, processors),
        };
        Self {
            scenario,
            order: None,
            host: target.host.clone(),
            addresses: target.addresses.clone(),
            server_name: target.name.clone(),
            tls: target.tls,
            tls_options: TlsOptions::default(),
            protocol: Protocol::Http1,
            model,
            duration: Duration::from_secs(10),
            requests_max: None,
            connections,
            pool,
            threads,
            timeout: Duration::from_secs(5),
            warmup: Warmup::Detect,
            seed: 1,
            rate_max: RATE_MAX,
        }
    }

    /// The number of connections to open at the start and to keep.
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self.pool = connections;
        self.threads = self.threads.min(connections).max(1);
        self
    }

    /// Refuses what is beyond a limit; the error says which, and how to raise it.
    pub fn check(&self, duration_max: Duration) -> Result<(), String> {
        if let Model::Open(arrival) = &self.model {
            let peak = arrival.peak();
            if !peak.is_finite() || peak <= 0.0 {
                return Err("the rate must be above 0".to_owned());
            }
            if peak > self.rate_max {
                return Err(format!(
                    "{peak:.0} requests a second are more than the limit of {:.0}; raise it with --max-rate",
                    self.rate_max
                ));
            }
        }
        if self.duration > duration_max {
            return Err(format!(
                "{} is longer than the limit of {}; raise it with --max-duration",
                format_duration(self.duration),
                format_duration(duration_max)
            ));
        }
        if self.duration < Duration::from_millis(100) {
            return Err("a run takes at least 100ms".to_owned());
        }
        if self.timeout.is_zero() || self.timeout > TIMEOUT_MAX {
            return Err("the timeout must be above 0 and at most 30m".to_owned());
        }
        let within = |what: &str, value: usize, max: usize| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(format!("{what} must be 1 to {max}, not {value}"))
            }
        };
        within("connections", self.connections, CONNECTIONS_MAX)?;
        within("threads", self.threads, THREADS_MAX)
    }

    /// Length of one entry of the time series: a second, shorter for short runs.
    pub fn interval(&self) -> Duration {
        let twentieth = self.duration.as_millis() / 20;
        Duration::from_millis(twentieth.clamp(100, 1000) as u64)
    }
}
