//! Simulated hours through the same path as a scrape: text, parser, series, log, head, blocks; only the network and
//! the clock are left out.

use std::path::Path;
use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::series::SampleSink;
use bellwether_observe::exposition::Format;
use bellwether_observe::ingest::{Ingest, Report, Rules};
use bellwether_series::{Options, Store};
use jiff::Timestamp;

use crate::usage::{cpu_seconds, disk, memory};
use crate::workload::Workload;

/// Start of a span of two hours.
const START: i64 = 1_700_006_400_000;
/// Milliseconds between scrapes, and scrapes of an hour.
const STEP: i64 = 15_000;
const SCRAPES_PER_HOUR: usize = 240;

/// Feeds the hours and prints what they cost.
pub(crate) fn run(hours: usize, targets: usize, series: usize, folder: &str) {
    let workload = Workload::new(series);
    let folder = Path::new(folder);
    let (store, _) = Store::open(folder, Options::default()).unwrap();
    let store = Arc::new(store);
    let sink: Arc<dyn SampleSink> = Arc::clone(&store) as _;
    let mut fleet: Vec<Ingest> = (0..targets)
        .map(|target| Ingest::new(Arc::clone(&sink), Arc::new(rules(target))))
        .collect();
    let mut body = String::new();
    let (mut making, mut maintaining) = (0.0, 0.0);
    println!("hour  CPU s  of it maintenance  RSS MB  log and blocks MB");
    let mut samples = 0;
    for hour in 0..hours {
        let begun = cpu();
        let (made, maintained) = (making, maintaining);
        for scrape in 0..SCRAPES_PER_HOUR {
            let step = hour * SCRAPES_PER_HOUR + scrape;
            let at = START + step as i64 * STEP;
            for (target, ingest) in fleet.iter_mut().enumerate() {
                let start = cpu();
                workload.render(target as u64, step as u64 * 15, &mut body);
                making += cpu() - start;
                let counts = ingest.store(body.as_bytes(), Format::Text, at).unwrap();
                samples += counts.post_relabel + 5;
                let report = Report {
                    up: true,
                    duration_seconds: 0.01,
                    counts,
                    extra: None,
                };
                ingest.report(&report, at).unwrap();
            }
            // The server does this every second and every minute.
            let start = cpu();
            store.sync().unwrap();
            if scrape % 4 == 3 {
                let report = store.maintain(Timestamp::from_millisecond(at).unwrap());
                assert!(report.failures.is_empty(), "{:?}", report.failures);
            }
            maintaining += cpu() - start;
        }
        println!(
            "{hour:>4}  {:>5.1}  {:>17.1}  {:>6.0}  {:>17.1}",
            cpu() - begun - (making - made),
            maintaining - maintained,
            memory("self", "VmRSS"),
            disk(folder),
        );
    }
    let (used, stats) = (cpu() - making, store.stats());
    println!(
        "\n{hours} simulated hours, {targets} targets x {series} series every 15 s: {samples} samples in {used:.1} CPU s \
         ({:.1} per simulated hour, {:.2} M samples per CPU second)",
        used / hours as f64,
        samples as f64 / used / 1e6
    );
    println!("RSS at its highest: {:.0} MB", memory("self", "VmHWM"));
    if stats.block_samples > 0 {
        println!(
            "blocks: {} with {} samples, {:.2} bytes per sample",
            stats.blocks,
            stats.block_samples,
            stats.block_bytes as f64 / stats.block_samples as f64
        );
    }
    println!(
        "head: {} samples, {:.2} bytes per sample in chunks; log {:.0} MB",
        stats.head_samples,
        stats.head_bytes as f64 / stats.head_samples as f64,
        stats.wal_bytes as f64 / 1e6
    );
    println!("(making the text took {making:.1} CPU s, which are not counted)");
}

fn rules(target: usize) -> Rules {
    let instance = format!("host-{target}.example.org:9100");
    Rules {
        target: Labels::new([("instance", instance.as_str()), ("job", "fleet")]),
        honor_labels: false,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        legacy_names: false,
        limits: bellwether_observe::config::Limits::default(),
        metric_relabel: Vec::new(),
    }
}

/// Processor seconds of this thread, finer than the process' figures.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanoseconds.map_or_else(|| cpu_seconds("self"), |n| n / 1e9)
}
