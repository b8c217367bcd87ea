//! From the threads' records to the report.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::{Model, Plan, Warmup};
use crate::record::{Failure, Load, Record, Tally};
use crate::report::{EndpointReport, GeneratorReport, Report, Slice, WarmupReport};
use bellwether_lab::LatencySummary;
use bellwether_stats::Histogram;

/// Part of a run that may be cut off as warm-up at most.
const WARMUP_SHARE: f64 = 0.3;
/// How much earlier times must be above the later ones to be a warm-up.
const WARMUP_EFFECT: f64 = 0.1;
/// Chance that a run without warm-up is cut.
const WARMUP_ALPHA: f64 = 0.002;
/// Intervals, times names, that are kept apart until it is known whether they are warm-up: about 0.4 MB each.
const EARLY_MAX: usize = 240;
/// Intervals that may still get records from a thread that lags.
const OPEN_INTERVALS: usize = 3;

/// How a thread did.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadUse {
    pub cpu_ns: u64,
    pub waited_ns: u64,
    pub wall_ns: u64,
}

/// One finished interval, for the live view and the log.
#[derive(Clone, Debug)]
pub struct Finished {
    pub slice: Slice,
    /// Latency and service histogram in HdrHistogram's V2 form, when a log is wanted.
    pub encoded: Option<[String; 2]>,
}

/// Takes in the records as they come.
#[derive(Debug)]
pub struct Collector {
    plan: Arc<Plan>,
    early: Vec<Record>,
    late: Record,
    slices: Vec<Slice>,
    open: BTreeMap<usize, Sums>,
    encode: bool,
    /// Latencies of everything so far, for the live view.
    so_far: Tally,
}

/// One interval, threads added up.
#[derive(Debug, Default)]
struct Sums {
    total: Tally,
    load: Load,
}

impl Collector {
    /// Without a log nothing is encoded.
    pub fn new(plan: Arc<Plan>, encode: bool) -> Self {
        let late = Record::new(plan.scenario.groups.len());
        Self {
            plan,
            early: Vec::new(),
            late,
            slices: Vec::new(),
            open: BTreeMap::new(),
            encode,
            so_far: Tally::default(),
        }
    }

    fn intervals(&self) -> usize {
        let all = self.plan.duration.as_secs_f64() / self.plan.interval().as_secs_f64();
        ((all - 1e-9).ceil() as usize).max(1)
    }

    fn early_max(&self) -> usize {
        let all = self.intervals();
        let length = self.plan.interval().as_secs_f64();
        match self.plan.warmup {
            Warmup::None => 0,
            Warmup::Detect => {
                let groups = self.plan.scenario.groups.len().max(1);
                ((all as f64 * WARMUP_SHARE) as usize).min(EARLY_MAX / groups)
            }
            Warmup::Fixed(time) => ((time.as_secs_f64() / length).round() as usize).min(all - 1),
        }
    }

    /// Everything so far, the warm-up included.
    pub fn so_far(&self) -> &Tally {
        &self.so_far
    }

    /// Takes in one thread's interval. Gives the intervals that are finished by it.
    pub fn take(&mut self, record: &Record) -> Vec<Finished> {
        // What is answered after the end belongs to the last interval.
        let interval = record.interval.min(self.intervals() - 1);
        let interval = interval.max(self.slices.len());
        if interval < self.early_max() {
            let groups = self.plan.scenario.groups.len();
            while self.early.len() <= interval {
                self.early.push(Record::new(groups));
            }
            self.early[interval].merge(record);
        } else {
            self.late.merge(record);
        }
        let sums = self.open.entry(interval).or_default();
        for tally in &record.tallies {
            if tally.latency.count() > 0 {
                sums.total.merge(tally);
                self.so_far.merge(tally);
            }
        }
        sums.load.merge(&record.load);
        let newest = self.open.keys().next_back().copied().unwrap_or(0);
        self.finish((newest + 1).saturating_sub(OPEN_INTERVALS))
    }

    /// Finishes the intervals before this one.
    fn finish(&mut self, before: usize) -> Vec<Finished> {
        let mut finished = Vec::new();
        while self.slices.len() < before {
            let index = self.slices.len();
            let sums = self.open.remove(&index).unwrap_or_default();
            let length = self.plan.interval().as_secs_f64();
            let slice = slice_of(&sums, index, length);
            self.slices.push(slice.clone());
            let encoded = self
                .encode
                .then(|| [sums.total.latency.encode(), sums.total.service.encode()]);
            finished.push(Finished { slice, encoded });
        }
        finished
    }

    /// The intervals that are still open when the run is over.
    pub fn finish_all(&mut self) -> Vec<Finished> {
        let all = self.open.keys().next_back().map_or(0, |last| last + 1);
        self.finish(all)
    }

    /// Number of first intervals that are warm-up, and why.
    fn warmup(&self) -> (usize, String) {
        match self.plan.warmup {
            Warmup::None => (0, "nothing was to be left out".to_owned()),
            Warmup::Fixed(_) => (
                self.early_max().min(self.early.len()),
                "as asked for".to_owned(),
            ),
            Warmup::Detect => self.detect(),
        }
    }

    fn detect(&self) -> (usize, String) {
        let medians: Vec<f64> = self
            .slices
            .iter()
            .filter(|slice| slice.answered > 0)
            .map(|slice| slice.service_p50_ms)
            .collect();
        if medians.len() != self.slices.len() {
            return (0, "some intervals have no answers to compare".to_owned());
        }
        let most = self.early_max().min(self.early.len());
        match crate::warmup::end(&medians, most, WARMUP_ALPHA, WARMUP_EFFECT) {
            Some(end) => (
                end,
                "the median service time falls there (weighted normal-scores CUSUM, 0.2 %)"
                    .to_owned(),
            ),
            None => (0, "no fall of the median service time".to_owned()),
        }
    }

    /// The report, when everything was taken in.
    pub fn report(mut self, threads: &[ThreadUse], ended_ns: u64) -> Report {
        self.finish_all();
        let (cut, why) = self.warmup();
        let mut sum = std::mem::take(&mut self.late);
        let mut warm = Record::new(self.plan.scenario.groups.len());
        for (index, record) in self.early.iter().enumerate() {
            if index < cut {
                warm.merge(record);
            } else {
                sum.merge(record);
            }
        }
        let total = sum.total();
        let length = self.plan.interval().as_secs_f64();
        let cut_s = cut as f64 * length;
        let planned = self.plan.duration.as_secs_f64();
        let sent_s = planned.min(ended_ns as f64 / 1e9);
        // A run that was stopped, or that waited for answers beyond its end, took as long as it took.
        let measured_s = (ended_ns as f64 / 1e9).max(1e-9).min(sent_s.max(1e-9)) - cut_s;
        let mut all = sum.load;
        all.merge(&warm.load);
        let lateness = {
            let mut lateness = sum.lateness.clone();
            lateness.merge(&warm.lateness);
            lateness
        };
        let generator = generator(
            &all,
            &lateness,
            threads,
            sent_s,
            total_requests(&sum, &warm),
        );
        let in_time: u64 = self
            .slices
            .iter()
            .skip(cut)
            .map(|slice| slice.answered)
            .sum();
        let plan = &self.plan;
        Report {
            version: 1,
            model: match plan.model {
                Model::Open(_) => "open",
                Model::Closed => "closed",
            }
            .to_owned(),
            arrival: match &plan.model {
                Model::Open(arrival) => arrival.name(),
                Model::Closed => "closed",
            }
            .to_owned(),
            rate: match &plan.model {
                Model::Open(arrival) => arrival.peak(),
                Model::Closed => 0.0,
            },
            duration_s: sent_s,
            connections: plan.connections,
            threads: plan.threads,
            timeout_ms: plan.timeout.as_secs_f64() * 1e3,
            seed: plan.seed,
            requests: total.latency.count(),
            answered: total.answered(),
            failed: total.failed(),
            unexpected: total.unexpected,
            throughput_rps: in_time as f64 / measured_s.max(1e-9),
            bytes_in: all.bytes_in,
            bytes_out: all.bytes_out,
            latency: LatencySummary::of(&total.latency),
            service: LatencySummary::of(&total.service),
            statuses: statuses(&total),
            errors: errors(&total),
            endpoints: self.endpoints(&sum),
            warmup: WarmupReport {
                cut_s,
                requests: warm.total().latency.count(),
                why,
            },
            generator,
            series: self.slices,
            ..Report::default()
        }
    }

    fn endpoints(&self, sum: &Record) -> Vec<EndpointReport> {
        let names = &self.plan.scenario.groups;
        names
            .iter()
            .zip(&sum.tallies)
            .map(|(name, tally)| EndpointReport {
                name: name.clone(),
                requests: tally.latency.count(),
                failed: tally.failed(),
                unexpected: tally.unexpected,
                latency: LatencySummary::of(&tally.latency),
                service: LatencySummary::of(&tally.service),
                statuses: statuses(tally),
                errors: errors(tally),
            })
            .collect()
    }
}

fn total_requests(sum: &Record, warm: &Record) -> u64 {
    let all = sum.tallies.iter().chain(&warm.tallies);
    all.map(|tally| tally.latency.count()).sum()
}

fn generator(
    load: &Load,
    lateness: &Histogram,
    threads: &[ThreadUse],
    sent_s: f64,
    requests: u64,
) -> GeneratorReport {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let cpu_s: f64 = threads.iter().map(|thread| seconds(thread.cpu_ns)).sum();
    let busiest = threads
        .iter()
        .filter(|thread| thread.wall_ns > 0)
        .map(|thread| thread.cpu_ns as f64 / thread.wall_ns as f64)
        .fold(0.0, f64::max);
    GeneratorReport {
        lateness: LatencySummary::of(lateness),
        cpu_s,
        cpu_us_per_request: cpu_s * 1e6 / requests.max(1) as f64,
        busiest_thread: busiest,
        waited_for_cpu_s: threads.iter().map(|thread| seconds(thread.waited_ns)).sum(),
        longest_pause_ms: load.pause_max as f64 / 1e6,
        longest_pause_at_s: seconds(load.pause_at),
        paused_s: seconds(load.paused),
        held_back_s: seconds(load.held_back),
        queue_max: load.queue_max,
        queue_age_max_ms: load.queue_age_max as f64 / 1e6,
        in_flight_max: load.in_flight_max,
        connects: load.connects,
        resent: load.resent,
        unsent: load.unsent,
        broken_flows: load.broken_flows,
        due: load.due,
        due_rps: load.due as f64 / sent_s.max(1e-9),
    }
}

fn statuses(tally: &Tally) -> BTreeMap<u16, u64> {
    tally.statuses.iter().copied().collect()
}

fn errors(tally: &Tally) -> BTreeMap<String, u64> {
    Failure::ALL
        .into_iter()
        .zip(tally.failures)
        .filter(|(_, count)| *count > 0)
        .map(|(failure, count)| (failure.name().to_owned(), count))
        .collect()
}

fn slice_of(sums: &Sums, index: usize, length_s: f64) -> Slice {
    let (latency, service) = (&sums.total.latency, &sums.total.service);
    let mut heat: BTreeMap<u16, u64> = BTreeMap::new();
    for (ms, count) in latency.buckets_ms() {
        *heat.entry(heat_bucket(ms)).or_default() += count;
    }
    Slice {
        at_s: index as f64 * length_s,
        length_s,
        answered: service.count(),
        failed: sums.total.failed(),
        p50_ms: latency.quantile_ms(0.5),
        p90_ms: latency.quantile_ms(0.9),
        p99_ms: latency.quantile_ms(0.99),
        max_ms: latency.max_ms(),
        service_p50_ms: service.quantile_ms(0.5),
        queue_max: sums.load.queue_max,
        in_flight_max: sums.load.in_flight_max,
        heat: heat.into_iter().collect(),
    }
}

/// Row of the heat map: row i reaches from 2^(i/4) to 2^((i+1)/4) µs.
fn heat_bucket(ms: f64) -> u16 {
    ((ms * 1e3).max(1.0).log2() * 4.0).floor() as u16
}
