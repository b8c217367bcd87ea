//! A process that appends is killed with SIGKILL at random moments; what it had been told is stored, is stored.
//!
//! The child is this test binary itself, run with the ignored test below in the store's folder. Rounds:
//! `cargo test -p bellwether-series --test crash` runs a few dozen;
//! `cargo test -p bellwether-series --test crash -- --ignored a_hundred` runs a hundred with syncing appends.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, and the figures of a run"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bellwether_model::Labels;
use bellwether_model::series::{
    RefSample, SampleBuffer, SampleSink, Selection, SeriesSource, Value,
};
use bellwether_series::{DamageKind, Durability, Options, Store};
use jiff::Timestamp;

const START: i64 = 1_700_000_000_000;
const SERIES: u64 = 20;
const STEP: i64 = 1_000;

fn options(durability: Durability) -> Options {
    Options {
        // Small spans and segments: the kills also hit compaction, merging and the change of segments.
        block_span: Duration::from_mins(1),
        segment_bytes: 20_000,
        durability,
        ..Options::default()
    }
}

fn labels(series: u64) -> Labels {
    Labels::new([("__name__", "work_total"), ("series", &series.to_string())])
}

fn value(series: u64, step: i64) -> f64 {
    let mixed = (step as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ series << 7;
    match series % 3 {
        0 => step as f64,
        1 => (mixed >> 44) as f64 / 100.0,
        _ => f64::from_bits(mixed >> 2),
    }
}

/// Steps of a series in the store: they must be 0, 1, 2, ... without a gap, each with its value.
fn check_series(store: &Store, series: u64) -> i64 {
    let selection = Selection {
        matchers: vec![bellwether_model::Matcher::equal(
            "series",
            &series.to_string(),
        )],
        min: i64::MIN,
        max: i64::MAX,
    };
    let set = store.select(&selection).unwrap();
    if set.is_empty() {
        return 0;
    }
    let mut buffer = SampleBuffer::default();
    set.read(0, &mut buffer).unwrap();
    for (index, (time, float)) in buffer.timestamps.iter().zip(&buffer.floats).enumerate() {
        let step = index as i64;
        assert_eq!(*time, START + step * STEP, "series {series} has a gap");
        assert_eq!(
            float.to_bits(),
            value(series, step).to_bits(),
            "series {series} step {step}"
        );
    }
    buffer.timestamps.len() as i64
}

/// The child: appends from where the store is, and prints the number of steps that it was told are stored.
#[test]
#[ignore = "the process that the other tests kill"]
fn child_appends_until_it_is_killed() {
    let dir = Path::new(".");
    let Ok(mode) = std::fs::read_to_string("child") else {
        return;
    };
    let durability = match mode.as_str() {
        "each" => Durability::EachAppend,
        _ => Durability::None,
    };
    let (store, _) = Store::open(dir, options(durability)).unwrap();
    let first = (0..SERIES).map(|s| check_series(&store, s)).min().unwrap();
    let mut out = std::io::stdout();
    for step in first..first + 1_000_000 {
        let samples: Vec<RefSample> = (0..SERIES)
            .map(|series| RefSample {
                series: store.resolve(&labels(series)).unwrap(),
                timestamp: START + step * STEP,
                value: Value::Float(value(series, step)),
            })
            .collect();
        let report = store.append(&samples).unwrap();
        assert_eq!(report.appended + report.duplicate, samples.len());
        writeln!(out, "stored {}", step + 1).unwrap();
        if step % 20 == 0 {
            let now = Timestamp::from_millisecond(START + step * STEP).unwrap();
            let report = store.maintain(now);
            assert!(report.failures.is_empty(), "{:?}", report.failures);
        }
    }
}

/// Kills a child after it has acknowledged about `appends` steps more; returns the last acknowledged step.
fn run_and_kill(dir: &Path, appends: u64, acknowledged: i64) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_appends_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .current_dir(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = acknowledged;
    let mut seen = 0;
    // The child runs on while these lines are read, so the kill hits it anywhere.
    for line in lines.by_ref() {
        let line = line.unwrap();
        let Some(step) = line
            .rsplit("stored ")
            .next()
            .and_then(|step| step.parse().ok())
        else {
            continue;
        };
        last = step;
        seen += 1;
        if seen > appends {
            child.kill().unwrap();
            break;
        }
    }
    assert!(seen > appends, "the child ended by itself");
    for line in lines {
        let Ok(line) = line else { break };
        if let Some(step) = line
            .strip_prefix("stored ")
            .and_then(|step| step.parse().ok())
        {
            last = step;
        }
    }
    child.wait().unwrap();
    last
}

fn kill_rounds(rounds: u64, mode: &str) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("child"), mode).unwrap();
    let mut random = bellwether_env::random_bytes::<8>().map(u64::from);
    let seed = random;
    let mut acknowledged = 0;
    let mut torn = 0;
    for round in 0..rounds {
        let slot = (round % 8) as usize;
        random[slot] = random[slot]
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(round);
        acknowledged = run_and_kill(dir.path(), (random[slot] >> 33) % 90, acknowledged);
        let (store, report) = Store::open(dir.path(), options(Durability::None)).unwrap();
        for damage in &report.damage {
            assert_eq!(
                damage.kind,
                DamageKind::TornTail,
                "{damage} (seed {seed:?})"
            );
            torn += 1;
        }
        for series in 0..SERIES {
            let steps = check_series(&store, series);
            assert!(
                steps >= acknowledged,
                "round {round}, seed {seed:?}: series {series} has {steps} of {acknowledged} steps"
            );
        }
        assert!(store.verify().damage.is_empty());
    }
    println!(
        "{rounds} kills, {acknowledged} steps of {SERIES} series acknowledged, {torn} torn tails"
    );
}

#[test]
fn what_was_acknowledged_survives_kills_at_random_moments() {
    kill_rounds(30, "none");
}

#[test]
fn what_was_acknowledged_with_sync_survives_kills_at_random_moments() {
    kill_rounds(10, "each");
}

#[test]
#[ignore = "takes minutes: a hundred kills of each kind"]
fn a_hundred_kills_of_each_kind() {
    kill_rounds(100, "none");
    kill_rounds(100, "each");
}
