//! What a run found out, as it is printed, stored and sent on.

use std::collections::BTreeMap;

use bellwether_lab::LatencySummary;
use serde::{Deserialize, Serialize};

/// The result of a run. All times are in milliseconds unless their name says otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    pub target: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// `open` or `closed`.
    pub model: String,
    /// How requests arrived: `constant`, `poisson`, `ramp` or `replay`; `closed` for the closed model.
    pub arrival: String,
    /// Arrivals per second that were asked for (the highest of a ramp or replay); 0 when closed.
    pub rate: f64,
    /// How long requests were sent.
    pub duration_s: f64,
    pub connections: usize,
    pub threads: usize,
    pub timeout_ms: f64,
    pub seed: u64,
    /// Whether the numbers are about the target, not about the generator.
    pub valid: bool,
    /// Why they are not.
    pub invalid: Vec<String>,
    pub warnings: Vec<String>,
    /// Requests that were due and have ended, answered or not, without those of the warm-up.
    pub requests: u64,
    pub answered: u64,
    pub failed: u64,
    /// Answers whose status was not expected.
    pub unexpected: u64,
    /// Answers per second.
    pub throughput_rps: f64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// From the intended send to the end of the answer; a request without an answer counts with its timeout.
    pub latency: LatencySummary,
    /// From the real send to the end of the answer; answered requests.
    pub service: LatencySummary,
    pub statuses: BTreeMap<u16, u64>,
    pub errors: BTreeMap<String, u64>,
    pub endpoints: Vec<EndpointReport>,
    pub warmup: WarmupReport,
    pub generator: GeneratorReport,
    /// One entry for each interval, with the warm-up.
    pub series: Vec<Slice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knee: Option<crate::knee::Knee>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<crate::assertion::Checked>,
}

/// One kind of request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EndpointReport {
    pub name: String,
    pub requests: u64,
    pub failed: u64,
    pub unexpected: u64,
    pub latency: LatencySummary,
    pub service: LatencySummary,
    pub statuses: BTreeMap<u16, u64>,
    pub errors: BTreeMap<String, u64>,
}

/// What was left out at the beginning.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WarmupReport {
    pub cut_s: f64,
    pub requests: u64,
    /// Why so much.
    pub why: String,
}

/// How the generator itself did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GeneratorReport {
    /// How late arrivals were taken up. Part of `latency`.
    pub lateness: LatencySummary,
    pub cpu_s: f64,
    pub cpu_us_per_request: f64,
    /// The busiest thread's share of a processor.
    pub busiest_thread: f64,
    /// Time that threads were ready to run and had no processor.
    pub waited_for_cpu_s: f64,
    /// Longest time in which a thread should have run and did not, and when it ended.
    pub longest_pause_ms: f64,
    pub longest_pause_at_s: f64,
    /// All such time.
    pub paused_s: f64,
    /// Time in which the limit on the rate held users of the closed model back.
    pub held_back_s: f64,
    /// Most requests that waited for a connection at a time, and the longest wait.
    pub queue_max: u64,
    pub queue_age_max_ms: f64,
    pub in_flight_max: u64,
    pub connects: u64,
    pub resent: u64,
    /// Timeouts of requests for which there never was a connection.
    pub unsent: u64,
    pub broken_flows: u64,
    /// Requests that became due, and how many that is a second.
    pub due: u64,
    pub due_rps: f64,
}

/// One interval of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Begin, in seconds from the start.
    pub at_s: f64,
    pub length_s: f64,
    pub answered: u64,
    pub failed: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub service_p50_ms: f64,
    pub queue_max: u64,
    pub in_flight_max: u64,
    /// Latencies of the heat map: `[index, count]`; bucket i reaches from 2^(i/4) to 2^((i+1)/4) µs.
    #[serde(default)]
    pub heat: Vec<(u16, u64)>,
}
