//! The watched service: replicas behind a balancer, and what a scrape of them shows.

use std::collections::BTreeSet;

use bellwether_model::Labels;
use bellwether_model::series::{MemorySeries, Value};

use crate::random::Random;

/// How long samples are kept: longer than any rule looks back.
const KEPT_MS: i64 = 15 * 60_000;

/// What can be wrong with a replica, or with the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Answers, but takes far too long.
    Slow,
    /// Every fifth request fails.
    Failing,
    /// The disk is nearly full: a ticket.
    DiskFull,
    /// The processor is busy: a cause, never a page.
    Busy,
}

/// Replicas with their faults, and the samples that were scraped.
#[derive(Clone, Debug, Default)]
pub struct Service {
    replicas: u32,
    faults: BTreeSet<(u32, Fault)>,
    drained: BTreeSet<u32>,
    requests: Vec<f64>,
    errors: Vec<f64>,
    /// Gauges that a scenario sets.
    gauges: Vec<(Labels, f64)>,
    pub(crate) series: MemorySeries,
}

// === impl Service ===

impl Service {
    /// Healthy replicas, numbered from 0.
    pub fn new(replicas: u32) -> Self {
        Self {
            replicas,
            requests: vec![0.0; replicas as usize],
            errors: vec![0.0; replicas as usize],
            ..Self::default()
        }
    }

    /// A fault begins.
    pub fn begin(&mut self, replica: u32, fault: Fault) {
        self.faults.insert((replica, fault));
    }

    /// A fault ends, and a replica that was taken out comes back.
    pub fn end(&mut self, replica: u32, fault: Fault) {
        self.faults.remove(&(replica, fault));
        self.drained.remove(&replica);
    }

    /// Takes a replica out of the balancer, or puts it back.
    pub fn drain(&mut self, replica: u32, out: bool) {
        if out {
            self.drained.insert(replica);
        } else {
            self.drained.remove(&replica);
        }
    }

    /// Sets a gauge that every scrape shows from now on.
    pub fn set_gauge(&mut self, labels: Labels, value: f64) {
        match self.gauges.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, known)) => *known = value,
            None => self.gauges.push((labels, value)),
        }
    }

    /// Whether nothing is wrong with it, and nothing that a scenario set could be.
    pub fn is_quiet(&self) -> bool {
        self.faults.is_empty() && self.gauges.is_empty()
    }

    /// One scrape at a time in milliseconds since 1970.
    pub fn scrape(&mut self, at: i64, every_seconds: f64, random: &mut Random) {
        for replica in 0..self.replicas {
            let has = |fault| self.faults.contains(&(replica, fault));
            let jitter = random.between(0, 50) as f64 / 1_000.0;
            let latency = if has(Fault::Slow) { 1.5 } else { 0.1 } + jitter;
            let in_balancer = !self.drained.contains(&replica);
            let index = replica as usize;
            if in_balancer {
                self.requests[index] += 10.0 * every_seconds;
                if has(Fault::Failing) {
                    self.errors[index] += 2.0 * every_seconds;
                }
            }
            let shown = [
                ("web_latency_seconds", latency),
                ("web_requests_total", self.requests[index]),
                ("web_errors_total", self.errors[index]),
                ("web_in_balancer", f64::from(u8::from(in_balancer))),
                (
                    "disk_free_ratio",
                    if has(Fault::DiskFull) { 0.02 } else { 0.6 },
                ),
                ("cpu_busy_ratio", if has(Fault::Busy) { 0.99 } else { 0.3 }),
            ];
            let name = replica.to_string();
            for (metric, value) in shown {
                let labels = Labels::new([
                    ("__name__", metric),
                    ("service", "web"),
                    ("replica", name.as_str()),
                ]);
                self.series.push(&labels, at, Value::Float(value));
            }
        }
        for (labels, value) in &self.gauges {
            self.series.push(labels, at, Value::Float(*value));
        }
        self.series.drop_before(at - KEPT_MS);
    }
}
