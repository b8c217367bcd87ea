//! The store against the simplest thing that could be right.

use bellwether_model::histogram::Histogram;
use proptest::prelude::*;

use super::*;

const WINDOW: i64 = 30_000;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(usize, i64, f64)>),
    /// Moves time on, so that spans fill.
    Advance(i64),
    Maintain,
    Reopen,
    Sync,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        4 => (0..50_i64).prop_map(|v| v as f64),
        2 => (-500..500_i64).prop_map(|v| v as f64 / 8.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
    ];
    let sample = (0..6_usize, -45_000..10_000_i64, value);
    let step = prop_oneof![
        10 => prop::collection::vec(sample, 1..25).prop_map(Step::Append),
        6 => prop_oneof![Just(15_000_i64), 1..100_000_i64].prop_map(Step::Advance),
        3 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        1 => Just(Step::Sync),
    ];
    prop::collection::vec(step, 1..60)
}

/// What should be there, and how a batch should be judged.
#[derive(Default)]
struct Model {
    content: BTreeMap<Labels, BTreeMap<i64, u64>>,
}

impl Model {
    fn append(&mut self, batch: &[(usize, i64, f64)], min_valid: i64) -> AppendReport {
        let mut report = AppendReport::default();
        let mut order = batch.to_vec();
        order.sort_by_key(|(series, ..)| *series);
        for (series, time, value) in order {
            let samples = self.content.entry(labels(series)).or_default();
            let newest = samples.last_key_value().map_or(i64::MIN, |(time, _)| *time);
            let late = newest != i64::MIN && newest - time > WINDOW;
            if time < min_valid || late {
                report.out_of_order += 1;
                continue;
            }
            match samples.get(&time) {
                Some(known) if *known == value.to_bits() => report.duplicate += 1,
                Some(_) => report.conflicting += 1,
                None => {
                    samples.insert(time, value.to_bits());
                    report.appended += 1;
                }
            }
        }
        report
    }

    fn content(&self) -> Content {
        self.content
            .iter()
            .filter(|(_, samples)| !samples.is_empty())
            .map(|(labels, samples)| {
                (
                    labels.clone(),
                    samples.iter().map(|(t, v)| (*t, *v)).collect(),
                )
            })
            .collect()
    }

    fn memory(&self) -> MemorySeries {
        let mut memory = MemorySeries::default();
        for (labels, samples) in &self.content {
            for (time, bits) in samples {
                memory.push(labels, *time, Value::Float(f64::from_bits(*bits)));
            }
        }
        memory
    }
}

fn selections() -> Vec<Vec<Matcher>> {
    let regex = |op, name, value| Matcher::new(op, name, value).unwrap();
    vec![
        vec![],
        vec![Matcher::equal("__name__", "up")],
        vec![
            Matcher::equal("job", "db"),
            regex(MatchOp::Regex, "instance", "host-[13].*"),
        ],
        vec![regex(MatchOp::Regex, "__name__", "up|load|none")],
        vec![regex(MatchOp::NotEqual, "job", "db")],
        vec![
            regex(MatchOp::NotRegex, "instance", "host-1.*|host-2.*"),
            regex(MatchOp::NotEqual, "job", ""),
        ],
        vec![
            Matcher::equal("missing", ""),
            regex(MatchOp::Regex, "instance", ".+"),
        ],
        vec![Matcher::equal("job", "")],
        vec![regex(MatchOp::Regex, "job", "|api")],
        vec![regex(MatchOp::NotEqual, "missing", "")],
    ]
}

fn check_reads(store: &Store, model: &Model, now: i64) {
    let memory = model.memory();
    for (min, max) in [
        (i64::MIN, i64::MAX),
        (now - 70_000, now - 20_000),
        (now, i64::MAX),
    ] {
        for matchers in selections() {
            let expected = dump(&memory, matchers.clone(), min, max);
            let got = dump(store, matchers.clone(), min, max);
            assert_eq!(got, expected, "{matchers:?} {min}..={max}");
        }
    }
    let every = (i64::MIN, i64::MAX);
    for selectors in [
        vec![],
        selections(),
        vec![vec![Matcher::equal("job", "db")]],
    ] {
        let (min, max) = every;
        assert_eq!(
            store.label_names(&selectors, min, max).unwrap(),
            memory.label_names(&selectors, min, max).unwrap()
        );
        assert_eq!(
            store
                .label_values("instance", &selectors, min, max)
                .unwrap(),
            memory
                .label_values("instance", &selectors, min, max)
                .unwrap()
        );
        assert_eq!(
            store.series(&selectors, min, max).unwrap(),
            memory.series(&selectors, min, max).unwrap()
        );
    }
}

fn options() -> Options {
    Options {
        block_span: Duration::from_mins(1),
        out_of_order_window: Duration::from_millis(WINDOW as u64),
        durability: Durability::None,
        segment_bytes: 600,
        ..Options::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn appending_maintaining_and_reopening_equal_the_model(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir, options());
        let mut model = Model::default();
        let mut now = START;
        for step in steps {
            match step {
                Step::Append(batch) => {
                    let batch: Vec<_> = batch.into_iter().map(|(s, t, v)| (s, now + t, v)).collect();
                    let expected = model.append(&batch, store.head.min_valid());
                    prop_assert_eq!(append(&store, &batch).unwrap(), expected);
                }
                Step::Advance(by) => now += by,
                Step::Maintain => {
                    let report = store.maintain(at(now));
                    prop_assert!(report.failures.is_empty(), "{:?}", report.failures);
                }
                Step::Reopen => {
                    drop(store);
                    store = open(&dir, options());
                }
                Step::Sync => store.sync().unwrap(),
            }
            prop_assert_eq!(all(&store), model.content());
        }
        check_reads(&store, &model, now);
        prop_assert!(store.verify().damage.is_empty());
    }
}

#[test]
fn histograms_live_beside_floats_through_log_and_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, options());
    let name = Labels::new([("__name__", "latency")]);
    let sample = |step: i64| {
        if step % 50 == 7 {
            return Value::Float(stale_nan());
        }
        Value::Histogram(Arc::new(Histogram {
            schema: 3,
            count: step as f64 * 2.0,
            sum: step as f64 * 0.1,
            positive_spans: vec![bellwether_model::histogram::Span {
                offset: 1,
                length: 2,
            }],
            positive_buckets: vec![step as f64, step as f64],
            ..Histogram::default()
        }))
    };
    for step in 0..300 {
        let series = store.resolve(&name).unwrap();
        let timestamp = START + step * 1_000;
        let batch = [RefSample {
            series,
            timestamp,
            value: sample(step),
        }];
        assert_eq!(store.append(&batch).unwrap().appended, 1);
        assert_eq!(store.append(&batch).unwrap().duplicate, 1);
        if step % 40 == 0 {
            store.maintain(at(timestamp));
        }
    }
    let check = |store: &Store| {
        let selection = Selection {
            matchers: vec![],
            min: START + 5_000,
            max: i64::MAX,
        };
        let set = store.select(&selection).unwrap();
        let mut buffer = SampleBuffer::default();
        set.read(0, &mut buffer).unwrap();
        assert_eq!(buffer.timestamps.len(), 6);
        assert_eq!(buffer.histograms.len(), 289);
        for (time, found) in &buffer.histograms {
            let Value::Histogram(expected) = sample((time - START) / 1_000) else {
                panic!("a marker was expected at {time}");
            };
            assert_eq!(*found, expected);
        }
    };
    assert!(store.stats().blocks > 0);
    check(&store);
    drop(store);
    check(&open(&dir, options()));
}
