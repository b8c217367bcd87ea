use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bellwether_model::series::{
    AppendReport, MemorySeries, RefSample, SampleBuffer, SampleSink, Selection, SeriesSource,
    SinkError, Value, stale_nan,
};
use bellwether_model::{Labels, MatchOp, Matcher};
use jiff::Timestamp;
use tempfile::TempDir;

use super::Store;
use crate::options::{Durability, Options};
use crate::report::{DamageKind, OpenError, SnapshotError};

mod damage;
mod model;

const START: i64 = 1_700_000_000_000;

fn open(dir: &TempDir, options: Options) -> Store {
    let (store, report) = Store::open(dir.path(), options).unwrap();
    assert_eq!(report.damage, [], "nothing is damaged");
    store
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn labels(index: usize) -> Labels {
    Labels::new([
        ("__name__", ["up", "http_requests_total", "load"][index % 3]),
        ("instance", &format!("host-{index}:9100")),
        ("job", ["api", "db"][index % 2]),
    ])
}

fn append(store: &Store, samples: &[(usize, i64, f64)]) -> Result<AppendReport, SinkError> {
    let samples: Vec<RefSample> = samples
        .iter()
        .map(|(series, timestamp, value)| {
            Ok(RefSample {
                series: store.resolve(&labels(*series))?,
                timestamp: *timestamp,
                value: Value::Float(*value),
            })
        })
        .collect::<Result<_, SinkError>>()?;
    store.append(&samples)
}

type Content = BTreeMap<Labels, Vec<(i64, u64)>>;

fn dump(source: &dyn SeriesSource, matchers: Vec<Matcher>, min: i64, max: i64) -> Content {
    let set = source.select(&Selection { matchers, min, max }).unwrap();
    let mut buffer = SampleBuffer::default();
    let mut out = Content::new();
    for index in 0..set.len() {
        set.read(index, &mut buffer).unwrap();
        let bits = buffer.floats.iter().map(|value| value.to_bits());
        let samples: Vec<(i64, u64)> = buffer.timestamps.iter().copied().zip(bits).collect();
        assert!(samples.windows(2).all(|pair| pair[0].0 < pair[1].0));
        if index > 0 {
            assert!(
                set.labels(index - 1) < set.labels(index),
                "sorted by labels"
            );
        }
        if !samples.is_empty() {
            out.insert(set.labels(index).clone(), samples);
        }
    }
    out
}

fn all(store: &Store) -> Content {
    dump(store, Vec::new(), i64::MIN, i64::MAX)
}

/// Ten hours of three series, with maintenance on the way.
fn fill(store: &Store) {
    for step in 0..2400_i64 {
        let time = START + step * 15_000;
        let batch: Vec<_> = (0..3)
            .map(|s| (s, time, (step * (s as i64 + 1)) as f64))
            .collect();
        assert_eq!(append(store, &batch).unwrap().appended, 3);
        if step % 120 == 0 {
            let report = store.maintain(at(time));
            assert_eq!(report.failures, [""; 0]);
        }
    }
}

#[test]
fn hours_move_to_blocks_and_nothing_changes_for_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Options::default());
    fill(&store);
    let stats = store.stats();
    assert!(
        stats.blocks >= 1 && stats.blocks <= 3,
        "merged on the way: {stats:?}"
    );
    assert!(stats.head_samples < 3 * 3 * 240 * 2, "{stats:?}");
    assert_eq!(stats.head_samples + stats.block_samples, 7200);
    assert_eq!(stats.time, Some((START, START + 2399 * 15_000)));
    let content = all(&store);
    assert_eq!(content.len(), 3);
    for samples in content.values() {
        assert_eq!(samples.len(), 2400);
    }
    drop(store);
    let store = open(&dir, Options::default());
    assert_eq!(all(&store), content);
    assert!(store.stats().wal_segments <= 4);
    // Bytes: three counters, about a byte a sample.
    assert!(stats.block_bytes < 2 * stats.block_samples, "{stats:?}");
}

#[test]
fn duplicates_conflicts_and_late_samples_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        out_of_order_window: Duration::from_mins(1),
        ..Options::default()
    };
    let store = open(&dir, options);
    let report = append(
        &store,
        &[
            (0, START, 1.0),
            (0, START + 100_000, 2.0),
            (0, START + 100_000, 2.0),
            (0, START + 100_000, 3.0),
            (0, START + 50_000, 1.5),
            (0, START + 50_000, 1.5),
            (0, START + 39_999, 9.0),
        ],
    )
    .unwrap();
    let expected = AppendReport {
        appended: 3,
        out_of_order: 1,
        duplicate: 2,
        conflicting: 1,
        unknown: 0,
    };
    assert_eq!(report, expected);
    let again = append(
        &store,
        &[
            (0, START + 50_000, 7.0),
            (0, START + 60_000, 5.0),
            (0, START + 100_000, 2.0),
        ],
    );
    let report = again.unwrap();
    assert_eq!(
        (report.appended, report.conflicting, report.duplicate),
        (1, 1, 1)
    );
    let times: Vec<i64> = all(&store)[&labels(0)]
        .iter()
        .map(|s| s.0 - START)
        .collect();
    assert_eq!(times, [0, 50_000, 60_000, 100_000]);
    let unknown = store
        .append(&[RefSample {
            series: bellwether_model::series::SeriesRef(99),
            timestamp: START,
            value: Value::Float(1.0),
        }])
        .unwrap();
    assert_eq!(unknown.unknown, 1);
}

#[test]
fn a_series_beyond_the_limit_is_refused_and_the_report_says_who_did_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        max_series: 5,
        ..Options::default()
    };
    let store = open(&dir, options);
    for index in 0..5 {
        append(&store, &[(index, START, 1.0)]).unwrap();
    }
    let error = append(&store, &[(5, START, 1.0)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"series limit of 5 reached: refused load{instance="host-5:9100", job="db"}"#
    );
    append(&store, &[(4, START + 1, 1.0)]).unwrap();
    assert_eq!(store.stats().series_refused, 1);
    let report = store.cardinality(2);
    assert_eq!(report.series, 5);
    assert_eq!(
        report.metrics,
        [("http_requests_total".to_owned(), 2), ("up".to_owned(), 2)]
    );
    assert_eq!(
        report.labels,
        [("instance".to_owned(), 5), ("__name__".to_owned(), 3)]
    );
    assert_eq!(
        report.pairs,
        [
            ("job=api".to_owned(), 3),
            ("__name__=http_requests_total".to_owned(), 2)
        ]
    );
}

#[test]
fn a_folder_is_held_by_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Options::default());
    let error = Store::open(dir.path(), Options::default()).err().unwrap();
    let OpenError::InUse { holder, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*holder, format!("process {}", std::process::id()));
    drop(store);
    open(&dir, Options::default());
}

#[test]
fn old_blocks_go_by_time_and_by_size() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Options::default());
    fill(&store);
    let newest = START + 2399 * 15_000;
    let report = store.maintain(at(newest + 31 * 86_400_000));
    assert!(report.deleted >= 1 && !all(&store).is_empty());
    drop(store);
    let options = Options {
        retention_bytes: Some(0),
        ..Options::default()
    };
    let store = open(&dir, options);
    store.maintain(at(newest));
    let stats = store.stats();
    assert_eq!(stats.blocks, 0);
    assert!(stats.head_samples > 0);
}

#[test]
fn idle_series_leave_the_head_and_their_reference_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Options::default());
    let idle = store.resolve(&labels(7)).unwrap();
    append(&store, &[(7, START, 4.0)]).unwrap();
    fill(&store);
    assert_eq!(store.stats().series, 3);
    let sample = RefSample {
        series: idle,
        timestamp: START + 2500 * 15_000,
        value: Value::Float(stale_nan()),
    };
    assert_eq!(store.append(&[sample]).unwrap().unknown, 1);
    // Its place is taken by another series, whose reference is a different one.
    assert_ne!(store.resolve(&labels(8)).unwrap(), idle);
    assert_eq!(all(&store)[&labels(7)], [(START, 4.0_f64.to_bits())]);
}

#[test]
fn a_snapshot_opens_as_the_store_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Options::default());
    fill(&store);
    let copy = tempfile::tempdir().unwrap();
    store.snapshot(&copy.path().join("at")).unwrap();
    let content = all(&store);
    append(&store, &[(0, START + 3000 * 15_000, 1.0)]).unwrap();
    let error = store.snapshot(copy.path()).unwrap_err();
    assert!(matches!(error, SnapshotError::NotEmpty { .. }), "{error}");
    let (restored, report) = Store::open(&copy.path().join("at"), Options::default()).unwrap();
    assert_eq!(report.damage, []);
    assert_eq!(all(&restored), content);
}

#[test]
fn a_full_disk_refuses_appends_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let budget = Arc::new(AtomicU64::new(2_000));
    let options = Options {
        disk_budget: Some(Arc::clone(&budget)),
        ..Options::default()
    };
    let store = open(&dir, options);
    let mut expected = Content::new();
    let (mut refused, mut step) = (0, 0);
    // Space comes back in small and large pieces, so that every write is cut at many places.
    for piece in [0, 1, 5, 13, 40, 100, 333, 100_000] {
        budget.fetch_add(piece, Ordering::SeqCst);
        for _ in 0..300 {
            step += 1;
            let batch: Vec<_> = (0..5)
                .map(|s| (s, START + step, step as f64 * 0.5))
                .collect();
            match append(&store, &batch) {
                Ok(report) => {
                    assert_eq!(report.appended, 5);
                    for (series, time, value) in batch {
                        let samples = expected.entry(labels(series)).or_default();
                        samples.push((time, value.to_bits()));
                    }
                }
                Err(SinkError::Io(error)) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(all(&store), expected, "after {piece} more bytes");
    }
    assert!(refused > 1000 && step > 2000, "{refused} of {step}");
    drop(store);
    let store = open(&dir, Options::default());
    assert_eq!(all(&store), expected);
}

#[test]
fn a_full_disk_at_maintenance_is_reported_and_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let budget = Arc::new(AtomicU64::new(u64::MAX / 2));
    let options = Options {
        disk_budget: Some(Arc::clone(&budget)),
        ..Options::default()
    };
    let store = open(&dir, options);
    for step in 0..1000_i64 {
        append(
            &store,
            &[
                (0, START + step * 15_000, step as f64),
                (1, START + step * 15_000, 0.1),
            ],
        )
        .unwrap();
    }
    let content = all(&store);
    let now = at(START + 1000 * 15_000);
    for space in [0, 10, 100, 300, 500] {
        budget.store(space, Ordering::SeqCst);
        let report = store.maintain(now);
        assert_eq!(report.failures.len(), 1, "{report:?}");
        assert_eq!(report.written, 0);
        assert_eq!(all(&store), content);
        assert_eq!(fs::read_dir(dir.path().join("blocks")).unwrap().count(), 0);
    }
    budget.store(u64::MAX / 2, Ordering::SeqCst);
    assert!(store.maintain(now).written > 0);
    assert_eq!(all(&store), content);
}

#[test]
fn a_reader_sees_a_batch_of_a_series_whole_or_not_at_all() {
    const BATCH: i64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        block_span: Duration::from_mins(1),
        durability: Durability::None,
        ..Options::default()
    };
    let store = Arc::new(open(&dir, options));
    let barrier = Arc::new(Barrier::new(2));
    let writer = {
        let (store, barrier) = (Arc::clone(&store), Arc::clone(&barrier));
        std::thread::spawn(move || {
            barrier.wait();
            for batch in 0..600_i64 {
                let mut samples = Vec::new();
                for step in 0..BATCH {
                    let time = START + (batch * BATCH + step) * 100;
                    samples.extend([(0, time, batch as f64), (1, time, batch as f64)]);
                }
                assert_eq!(append(&store, &samples).unwrap().appended, samples.len());
                if batch % 50 == 0 {
                    let report = store.maintain(at(START + batch * BATCH * 100));
                    assert_eq!(report.failures, [""; 0]);
                }
            }
        })
    };
    barrier.wait();
    let mut before = 0;
    while !writer.is_finished() {
        let content = all(&store);
        for samples in content.values() {
            assert_eq!(samples.len() % BATCH as usize, 0);
            let gap = samples.windows(2).find(|pair| pair[1].0 - pair[0].0 != 100);
            assert_eq!(gap, None, "samples that moved to a block are not missed");
        }
        let count = content.values().map(Vec::len).sum();
        assert!(count >= before, "what was seen stays");
        before = count;
    }
    writer.join().unwrap();
    assert_eq!(all(&store).values().map(Vec::len).sum::<usize>(), 12_000);
}

#[test]
fn each_append_syncs_and_concurrent_writers_all_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        durability: Durability::EachAppend,
        ..Options::default()
    };
    let store = Arc::new(open(&dir, options));
    let threads: Vec<_> = (0..4)
        .map(|series| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                for step in 0..20 {
                    let report = append(&store, &[(series, START + step, 1.0)]).unwrap();
                    assert_eq!(report.appended, 1);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    store.sync().unwrap();
    drop(store);
    assert_eq!(all(&open(&dir, Options::default())).len(), 4);
}

#[test]
fn times_at_the_ends_of_the_scale_harm_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Options::default());
    append(
        &store,
        &[
            (0, i64::MIN, 1.0),
            (1, i64::MIN + 5, 2.0),
            (2, -1, 3.0),
            (3, i64::MAX, 4.0),
        ],
    )
    .unwrap();
    append(
        &store,
        &[(0, -7, 5.0), (1, i64::MAX - 1, 6.0), (2, START, 7.0)],
    )
    .unwrap();
    let mut content = all(&store);
    assert_eq!(content.values().map(Vec::len).sum::<usize>(), 7);
    let options = Options {
        retention: Duration::MAX,
        ..Options::default()
    };
    drop(store);
    let store = open(&dir, options.clone());
    let report = store.maintain(at(START + 86_400_000));
    assert_eq!(report.failures, [""; 0]);
    assert!(report.written >= 3, "{report:?}");
    // The longest retention there is reaches back 292 million years from now, not to the beginning of the scale.
    assert_eq!(report.deleted, 1);
    for samples in content.values_mut() {
        samples.retain(|(time, _)| *time > i64::MIN + 5);
    }
    assert_eq!(all(&store), content);
    assert_eq!(
        append(&store, &[(4, START + 8_000_000, 1.0)])
            .unwrap()
            .appended,
        1
    );
    drop(store);
    let store = open(&dir, options);
    assert_eq!(all(&store).len(), 5);
    assert_eq!(store.verify().damage, []);
}

#[test]
fn absurd_labels_and_histograms_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Options::default());
    let long = Labels::new([("a", "x".repeat(2 << 20))]);
    assert!(matches!(store.resolve(&long), Err(SinkError::Io(_))));
    let series = store.resolve(&labels(0)).unwrap();
    let huge = bellwether_model::histogram::Histogram {
        positive_buckets: vec![0.0; 70_000],
        ..Default::default()
    };
    let value = Value::Histogram(Arc::new(huge));
    let sample = RefSample {
        series,
        timestamp: START,
        value,
    };
    assert!(matches!(store.append(&[sample]), Err(SinkError::Io(_))));
    assert_eq!(append(&store, &[(0, START, 1.0)]).unwrap().appended, 1);
}
