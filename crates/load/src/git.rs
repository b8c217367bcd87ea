//! Git load: clone, fetch and push over smart HTTP and SSH, timed phase by phase.
//!
//! The client speaks the protocol itself and throws packs away as they come: what is measured is the server, not the
//! unpacking. SSH goes through the system's `ssh`, so that keys, agents and configuration are those of its user.
//!
//! Protocol: `gitprotocol-v2(5)`, `gitprotocol-pack(5)`, `gitprotocol-http(5)`.

mod http;
mod operation;
mod pack;
mod packets;
mod remote;
mod ssh;

pub use pack::PushPack;
pub use remote::{Remote, RemoteError};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_lab::LatencySummary;
use bellwether_stats::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::arrival::Arrival;
use crate::plan::TlsOptions;
use crate::run::Stop;

/// What every client does.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// All branches and tags, or only the newest commits.
    Clone { depth: Option<u32> },
    /// What has come since these commits (object ids).
    Fetch { have: Vec<String> },
    /// A new branch with one commit of a file of so many random bytes; deleted afterwards.
    Push { bytes: usize },
}

impl Operation {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Clone { .. } => "clone",
            Self::Fetch { .. } => "fetch",
            Self::Push { .. } => "push",
        }
    }
}

/// A run of git operations.
#[derive(Clone, Debug)]
pub struct GitPlan {
    pub remote: Remote,
    pub operation: Operation,
    /// Closed: so many clients, each with one operation at a time. Open: the most operations at a time.
    pub clients: usize,
    /// Open: when operations begin; the closed model without.
    pub arrival: Option<Arrival>,
    /// Operations in all.
    pub operations: u64,
    /// No operation begins after this.
    pub duration: Duration,
    /// For a whole operation.
    pub timeout: Duration,
    /// Bytes a second that a client reads at most.
    pub throttle: Option<u64>,
    /// Headers of HTTP, such as `Authorization`.
    pub headers: Vec<(String, String)>,
    pub tls: TlsOptions,
    /// The command for SSH and its arguments.
    pub ssh: Vec<String>,
    pub seed: u64,
}

/// When an operation got how far, counted from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Marks {
    pub(crate) connected: Option<Duration>,
    pub(crate) first_packet: Option<Duration>,
    pub(crate) refs: Option<Duration>,
    pub(crate) first_pack: Option<Duration>,
    pub(crate) done: Option<Duration>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) pack_bytes: u64,
    pub(crate) refs_count: u64,
    pub(crate) version: u8,
}

/// What went wrong with an operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("connect")]
    Connect,
    #[error("tls")]
    Tls,
    #[error("timeout")]
    Timeout,
    #[error("status {0}")]
    Status(u16),
    #[error("closed")]
    Closed,
    #[error("malformed")]
    Malformed,
    /// The server said so.
    #[error("refused")]
    Refused(String),
    #[error("local")]
    Local(String),
}

/// The result of a run. Phases are counted from the beginning of an operation, the total from when it was due.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GitReport {
    /// Version of this form.
    pub version: u32,
    pub remote: String,
    pub operation: String,
    /// `open` or `closed`.
    pub model: String,
    pub started: String,
    pub duration_s: f64,
    pub clients: usize,
    pub operations: u64,
    pub completed: u64,
    pub failed: u64,
    pub errors: BTreeMap<String, u64>,
    /// What a server said with its refusals, a few of them.
    pub messages: Vec<String>,
    /// Versions of the protocol that were spoken.
    pub protocols: BTreeMap<u8, u64>,
    pub phases: Phases,
    /// From the intended beginning to the end; operations that failed count with the timeout.
    pub latency: LatencySummary,
    /// From the real beginning to the end.
    pub service: LatencySummary,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub pack_bytes: u64,
    pub bytes_per_second: f64,
    pub in_flight_max: usize,
    pub refs: u64,
}

/// Times of the phases.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Phases {
    /// The connection (with TLS) stands; over SSH: the client has started.
    pub connected: LatencySummary,
    /// The first packet of the server.
    pub first_packet: LatencySummary,
    /// The last of its references.
    pub refs: LatencySummary,
    /// The first packet with part of the pack; with a push: the pack has been sent.
    pub first_pack: LatencySummary,
    /// The end.
    pub done: LatencySummary,
}

#[derive(Debug, Default)]
struct Tally {
    phases: [Histogram; 5],
    latency: Histogram,
    service: Histogram,
    report: GitReport,
}

/// Messages of refusals that are kept.
const MESSAGES_MAX: usize = 5;

/// Runs the plan on the current runtime; `watch` is told after each operation how many are done and failed.
pub async fn run(plan: GitPlan, stop: &Stop, mut watch: impl FnMut(u64, u64)) -> GitReport {
    let clock = SystemClock::new();
    let started = clock.now();
    let begin = clock.monotonic();
    let plan = Arc::new(plan);
    let mut tally = Tally::default();
    let mut running: JoinSet<(u64, Duration, Duration, Marks, Option<Fault>)> = JoinSet::new();
    let mut arrivals = plan
        .arrival
        .as_ref()
        .map(|arrival| arrival.share(0, 1, plan.seed));
    let mut next = 0;
    let mut due = arrivals.as_mut().and_then(Iterator::next).map(|(ns, _)| ns);
    loop {
        let now = clock.monotonic().saturating_sub(begin);
        let may_begin = next < plan.operations && now < plan.duration && !stop.is_stopped();
        let is_due = match (&plan.arrival, due) {
            (None, _) => true,
            (Some(_), Some(due)) => Duration::from_nanos(due) <= now,
            (Some(_), None) => false,
        };
        if may_begin && is_due && running.len() < plan.clients {
            let intended = due.map_or(now, Duration::from_nanos);
            due = arrivals.as_mut().and_then(Iterator::next).map(|(ns, _)| ns);
            let (plan, number) = (Arc::clone(&plan), next);
            next += 1;
            running.spawn(async move {
                let mut marks = Marks::default();
                let began = clock.monotonic();
                let work = operation::perform(&plan, number, clock, began, &mut marks);
                let fault = match tokio::time::timeout(plan.timeout, work).await {
                    Ok(result) => result.err(),
                    Err(_) => Some(Fault::Timeout),
                };
                let ended = clock.monotonic().saturating_sub(began);
                // A push ends before it is taken back.
                marks.done = fault.is_none().then_some(marks.done.unwrap_or(ended));
                (number, intended, began.saturating_sub(begin), marks, fault)
            });
            tally.report.in_flight_max = tally.report.in_flight_max.max(running.len());
            continue;
        }
        if running.is_empty() && (!may_begin || (plan.arrival.is_some() && due.is_none())) {
            break;
        }
        let wait = match due {
            Some(due) if may_begin && running.len() < plan.clients => {
                Duration::from_nanos(due).saturating_sub(now)
            }
            _ => Duration::from_millis(200),
        };
        tokio::select! {
            Some(ended) = running.join_next(), if !running.is_empty() => {
                if let Ok((_, intended, began, marks, fault)) = ended {
                    tally.add(&plan, intended, began, &marks, fault);
                    watch(tally.report.completed, tally.report.failed);
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
    let elapsed = clock.monotonic().saturating_sub(begin);
    tally.finish(&plan, &started.to_string(), elapsed)
}

impl Tally {
    fn add(
        &mut self,
        plan: &GitPlan,
        intended: Duration,
        began: Duration,
        marks: &Marks,
        fault: Option<Fault>,
    ) {
        let all = [
            marks.connected,
            marks.first_packet,
            marks.refs,
            marks.first_pack,
            marks.done,
        ];
        for (histogram, mark) in self.phases.iter_mut().zip(all) {
            if let Some(mark) = mark {
                histogram.record(mark);
            }
        }
        let waited = began.saturating_sub(intended);
        let report = &mut self.report;
        report.operations += 1;
        report.bytes_in += marks.bytes_in;
        report.bytes_out += marks.bytes_out;
        report.pack_bytes += marks.pack_bytes;
        report.refs = report.refs.max(marks.refs_count);
        if marks.version > 0 {
            *report.protocols.entry(marks.version).or_default() += 1;
        }
        match (fault, marks.done) {
            (None, Some(done)) => {
                report.completed += 1;
                self.service.record(done);
                self.latency.record(waited + done);
            }
            (fault, _) => {
                report.failed += 1;
                self.latency.record(waited + plan.timeout);
                let fault = fault.unwrap_or(Fault::Timeout);
                *report.errors.entry(fault.to_string()).or_default() += 1;
                if let Fault::Refused(message) | Fault::Local(message) = fault
                    && report.messages.len() < MESSAGES_MAX
                    && !report.messages.contains(&message)
                {
                    report.messages.push(message);
                }
            }
        }
    }

    fn finish(self, plan: &GitPlan, started: &str, elapsed: Duration) -> GitReport {
        let [connected, first_packet, refs, first_pack, done] = &self.phases;
        let seconds = elapsed.as_secs_f64();
        GitReport {
            version: 1,
            remote: plan.remote.to_string(),
            operation: plan.operation.name().to_owned(),
            model: if plan.arrival.is_some() {
                "open"
            } else {
                "closed"
            }
            .to_owned(),
            started: started.to_owned(),
            duration_s: seconds,
            clients: plan.clients,
            phases: Phases {
                connected: LatencySummary::of(connected),
                first_packet: LatencySummary::of(first_packet),
                refs: LatencySummary::of(refs),
                first_pack: LatencySummary::of(first_pack),
                done: LatencySummary::of(done),
            },
            latency: LatencySummary::of(&self.latency),
            service: LatencySummary::of(&self.service),
            bytes_per_second: self.report.bytes_in as f64 / seconds.max(1e-9),
            ..self.report
        }
    }
}
