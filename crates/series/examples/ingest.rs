//! Measures the store: `cargo run --release -p bellwether-series --example ingest [SERIES] [HOURS] [EXPORT]`.
//! With a third argument the data is written to that file as OpenMetrics text, for a comparison on the same data.
//!
//! Data: series as a node exporter has them (constant, counters of integers and of seconds, gauges), every 15 s.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_env::{Clock, SystemClock};
use bellwether_model::Labels;
use bellwether_model::series::{
    RefSample, SampleBuffer, SampleSink, Selection, SeriesSource, Value,
};
use bellwether_series::{Durability, Options, Store, write_openmetrics};
use jiff::Timestamp;

const START: i64 = 1_700_006_400_000;
const STEP: i64 = 15_000;
/// Series of one target: one batch each.
const TARGET: usize = 500;

struct Generator {
    state: u64,
    values: Vec<f64>,
}

impl Generator {
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn next(&mut self, index: usize) -> f64 {
        let random = self.random();
        let small = (random >> 40) as f64;
        let value = self.values[index];
        let next = match index % 10 {
            0..=3 => value,
            4 | 5 => value + (random >> 54) as f64,
            6 => value + (random >> 44) as f64 * 512.0,
            7 => ((value * 100.0).round() + (random >> 57) as f64) / 100.0,
            8 => 4.0e9 + (small % 1.0e6) * 4096.0,
            _ => value + small / 1.0e7 - 0.8,
        };
        self.values[index] = next;
        next
    }
}

/// A figure in kB of `/proc/self/status`.
fn memory(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .unwrap_or_default()
        / 1024.0
}

/// Processor time of this thread, so that what else the machine does does not count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

fn megabytes(dir: &Path) -> f64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.metadata().map_or(0, |meta| meta.len()) as f64 / 1e6)
        .sum()
}

#[expect(clippy::print_stdout, reason = "a measurement is for reading")]
fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let series = arguments.first().copied().unwrap_or(10_000);
    let hours = arguments.get(1).copied().unwrap_or(6);
    let clock = SystemClock::new();
    let dir = tempfile::tempdir().expect("a folder for the measurement");
    let options = Options {
        durability: Durability::Fsync {
            interval: Duration::from_secs(1),
        },
        ..Options::default()
    };
    let (store, _) = Store::open(dir.path(), options.clone()).expect("an empty folder opens");
    let before = memory("VmRSS");
    let started = clock.monotonic();
    let references: Vec<_> = (0..series)
        .map(|index| {
            let labels = Labels::new([
                ("__name__", format!("node_metric_{}_total", index % TARGET)),
                ("cpu", (index % 8).to_string()),
                ("device", format!("device{}", index % 11)),
                ("env", "production".to_owned()),
                (
                    "instance",
                    format!("host-{}.example.org:9100", index / TARGET),
                ),
                ("job", "node".to_owned()),
                (
                    "mode",
                    ["idle", "user", "system", "iowait"][index % 4].to_owned(),
                ),
            ]);
            store.resolve(&labels).expect("below the limit")
        })
        .collect();
    let resolved = clock.monotonic().saturating_sub(started);
    println!(
        "{series} series resolved in {resolved:.1?}, {:.0} B each",
        (memory("VmRSS") - before) * 1048576.0 / series as f64
    );

    let mut generator = Generator {
        state: 88_172_645_463_325_252,
        values: (0..series).map(|index| (index % 97) as f64).collect(),
    };
    let steps = hours * 240;
    let (mut appending, mut maintaining) = (Duration::ZERO, Duration::ZERO);
    let mut samples = 0_usize;
    for step in 0..steps {
        let timestamp = START + step as i64 * STEP;
        let batches: Vec<Vec<RefSample>> = references
            .chunks(TARGET)
            .enumerate()
            .map(|(number, references)| {
                let samples = references.iter().enumerate();
                let samples = samples.map(|(index, reference)| RefSample {
                    series: *reference,
                    timestamp,
                    value: Value::Float(generator.next(number * TARGET + index)),
                });
                samples.collect()
            })
            .collect();
        let started = cpu_time();
        for batch in &batches {
            let report = store.append(batch).expect("room on the disk");
            samples += report.appended;
        }
        appending += cpu_time().saturating_sub(started);
        if step == 479 {
            let stats = store.stats();
            println!(
                "after two hours: {:.0} B of memory per series, {:.2} B per sample in chunks, log {:.2} B per sample",
                (memory("VmRSS") - before) * 1048576.0 / series as f64,
                stats.head_bytes as f64 / stats.head_samples as f64,
                stats.wal_bytes as f64 / samples as f64,
            );
        }
        if step % 40 == 0 {
            store.sync().expect("room on the disk");
            let started = cpu_time();
            let now = Timestamp::from_millisecond(timestamp).expect("a time of our days");
            let report = store.maintain(now);
            assert!(report.failures.is_empty(), "{:?}", report.failures);
            maintaining += cpu_time().saturating_sub(started);
        }
    }
    let stats = store.stats();
    println!(
        "append: {samples} samples, {:.2} M samples per CPU second; maintenance: {:.2} CPU s for {} samples in {} blocks",
        samples as f64 / appending.as_secs_f64() / 1e6,
        maintaining.as_secs_f64(),
        stats.block_samples,
        stats.blocks,
    );
    println!(
        "blocks {:.1} MB = {:.2} B per sample, log {:.1} MB, peak memory {:.0} MB",
        megabytes(&dir.path().join("blocks")),
        stats.block_bytes as f64 / (stats.block_samples as f64).max(1.0),
        megabytes(&dir.path().join("wal")),
        memory("VmHWM"),
    );

    for round in ["first", "second"] {
        let started = cpu_time();
        let selection = Selection {
            matchers: Vec::new(),
            min: i64::MIN,
            max: i64::MAX,
        };
        let set = store.select(&selection).expect("a whole store");
        let selected = cpu_time().saturating_sub(started);
        let mut buffer = SampleBuffer::default();
        let mut read = 0;
        for index in 0..set.len() {
            set.read(index, &mut buffer).expect("a whole store");
            read += buffer.timestamps.len();
        }
        let took = cpu_time().saturating_sub(started);
        println!(
            "{round} read of everything: select {selected:.1?}, {:.1} M samples per CPU second",
            read as f64 / took.as_secs_f64() / 1e6
        );
    }
    if let Some(path) = std::env::args().nth(3) {
        let selection = Selection {
            matchers: Vec::new(),
            min: i64::MIN,
            max: i64::MAX,
        };
        let file = std::fs::File::create(&path).expect("the file for the export");
        let mut out = std::io::BufWriter::new(file);
        let report = write_openmetrics(&store, &selection, &mut out).expect("room for the export");
        println!("exported {} samples to {path}", report.samples);
    }
    drop(store);
    let started = clock.monotonic();
    let (store, report) = Store::open(dir.path(), options).expect("the folder opens again");
    println!(
        "open: {:.1?}, {} samples replayed",
        clock.monotonic().saturating_sub(started),
        report.samples
    );
    drop(Arc::new(store));
}
