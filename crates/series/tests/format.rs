//! A store that version 1 of the format wrote opens for ever. `testdata/formats/v1` was written by the ignored test.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::Labels;
use bellwether_model::histogram::{Histogram, ResetHint, Span};
use bellwether_model::series::{
    RefSample, SampleBuffer, SampleSink, Selection, SeriesSource, Value, stale_nan,
};
use bellwether_series::{Durability, Options, Store};
use jiff::Timestamp;

const START: i64 = 1_700_000_000_000;
const STEPS: i64 = 60;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/formats/v1")
}

fn options() -> Options {
    Options {
        block_span: Duration::from_mins(1),
        out_of_order_window: Duration::from_mins(1),
        durability: Durability::None,
        ..Options::default()
    }
}

fn value(series: usize, step: i64) -> Value {
    Value::Float(match (series, step) {
        (_, 13) => stale_nan(),
        (0, _) => (step * step) as f64,
        (1, _) => step as f64 / 8.0 - 1.5,
        (2, _) => [f64::NAN, f64::INFINITY, -0.0, 1e-300, std::f64::consts::PI][step as usize % 5],
        (3, _) => (step % 7) as f64 * 4096.0 + 512.0,
        _ => {
            return Value::Histogram(Arc::new(Histogram {
                schema: if step < 30 { 2 } else { -53 },
                zero_threshold: 1e-128,
                zero_count: 1.0,
                count: 3.0 + 3.0 * step as f64,
                sum: step as f64 * 0.3,
                positive_spans: vec![Span {
                    offset: -3,
                    length: 2,
                }],
                positive_buckets: vec![step as f64, step as f64 * 2.0],
                negative_spans: vec![Span {
                    offset: 4,
                    length: 1,
                }],
                negative_buckets: vec![2.0],
                custom_values: (step >= 30).then(|| Arc::from([0.1, 2.5])),
                reset_hint: ResetHint::NotReset,
            }));
        }
    })
}

fn labels(series: usize) -> Labels {
    Labels::new([
        ("__name__", format!("fixture_{series}")),
        ("job", "format".to_owned()),
        ("über", "ünï\ncode".to_owned()),
    ])
}

fn check(store: &Store) {
    let selection = Selection {
        matchers: Vec::new(),
        min: i64::MIN,
        max: i64::MAX,
    };
    let set = store.select(&selection).unwrap();
    assert_eq!(set.len(), 5);
    for series in 0..5 {
        assert_eq!(*set.labels(series), labels(series));
        let mut buffer = SampleBuffer::default();
        set.read(series, &mut buffer).unwrap();
        let mut floats = buffer.timestamps.iter().zip(&buffer.floats);
        let mut histograms = buffer.histograms.iter();
        for step in 0..STEPS {
            let time = START + step * 5_000;
            match value(series, step) {
                Value::Float(expected) => {
                    let (found_time, found) = floats.next().unwrap();
                    assert_eq!(*found_time, time);
                    assert_eq!(
                        found.to_bits(),
                        expected.to_bits(),
                        "series {series} step {step}"
                    );
                }
                Value::Histogram(expected) => {
                    assert_eq!(*histograms.next().unwrap(), (time, expected));
                }
            }
        }
        assert!(floats.next().is_none() && histograms.next().is_none());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    copy(&folder(), dir.path());
    let (store, report) = Store::open(dir.path(), options()).unwrap();
    assert_eq!(report.damage, []);
    assert!(report.blocks > 0 && report.samples > 0, "{report:?}");
    check(&store);
    assert_eq!(store.verify().damage, []);
}

#[test]
#[ignore = "writes testdata/formats/v1 anew"]
fn write_version_1() {
    drop(fs::remove_dir_all(folder()));
    let (store, _) = Store::open(&folder(), options()).unwrap();
    for step in 0..STEPS {
        // One step comes late.
        let step = match step {
            40 => 41,
            41 => 40,
            step => step,
        };
        let timestamp = START + step * 5_000;
        let batch: Vec<RefSample> = (0..5)
            .map(|series| RefSample {
                series: store.resolve(&labels(series)).unwrap(),
                timestamp,
                value: value(series, step),
            })
            .collect();
        assert_eq!(store.append(&batch).unwrap().appended, 5);
    }
    let newest = Timestamp::from_millisecond(START + STEPS * 5_000).unwrap();
    let report = store.maintain(newest);
    assert!(report.failures.is_empty() && report.written > 0);
    check(&store);
    drop(store);
    fs::remove_file(folder().join("LOCK")).unwrap();
}
