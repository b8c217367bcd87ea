use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/prometheus")
}

fn read_all(source: &dyn SeriesSource, min: i64, max: i64) -> BTreeMap<String, Vec<(i64, f64)>> {
    let matchers = Vec::new();
    let set = source.select(&Selection { matchers, min, max }).unwrap();
    let mut buffer = SampleBuffer::default();
    let mut out = BTreeMap::new();
    for index in 0..set.len() {
        set.read(index, &mut buffer).unwrap();
        let samples = buffer
            .timestamps
            .iter()
            .copied()
            .zip(buffer.floats.iter().copied());
        out.insert(set.labels(index).to_string(), samples.collect());
    }
    out
}

/// What `promtool tsdb dump` printed: labels, value, time.
fn dump() -> BTreeMap<String, Vec<(i64, f64)>> {
    let text = fs::read_to_string(folder().join("dump.txt")).unwrap();
    let mut out: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.rsplitn(3, ' ');
        let time = parts.next().unwrap().parse().unwrap();
        let value = parts.next().unwrap().parse().unwrap();
        // {__name__="up", job="api"}
        let pairs = parts.next().unwrap().trim_matches(['{', '}']);
        let labels = Labels::new(pairs.split(", ").map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name, value.trim_matches('"'))
        }));
        out.entry(labels.to_string())
            .or_default()
            .push((time, value));
    }
    out
}

fn assert_same(
    got: &BTreeMap<String, Vec<(i64, f64)>>,
    expected: &BTreeMap<String, Vec<(i64, f64)>>,
) {
    assert_eq!(
        got.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (labels, samples) in got {
        assert_eq!(samples.len(), expected[labels].len(), "{labels}");
        for (got, expected) in samples.iter().zip(&expected[labels]) {
            assert_eq!(got.0, expected.0, "{labels}");
            let same = got.1 == expected.1 || got.1.is_nan() && expected.1.is_nan();
            assert!(same, "{labels}: {got:?} {expected:?}");
        }
    }
}

#[test]
fn a_block_of_prometheus_reads_as_promtool_dumps_it() {
    let (source, damage) = PrometheusFolder::open(&folder().join("data")).unwrap();
    assert_eq!(damage, []);
    assert_eq!(source.blocks(), 1);
    let expected = dump();
    assert_eq!(expected.values().map(Vec::len).sum::<usize>(), 740 - 67);
    assert_same(&read_all(&source, i64::MIN, i64::MAX), &expected);
    let (min, max) = (1_700_007_500_000, 1_700_008_500_000);
    let mut part = expected;
    for samples in part.values_mut() {
        samples.retain(|(time, _)| (min..=max).contains(time));
    }
    part.retain(|_, samples| !samples.is_empty());
    assert_same(&read_all(&source, min, max), &part);
    let api = [vec![Matcher::equal("job", "api")]];
    let all = (i64::MIN, i64::MAX);
    assert_eq!(
        source.label_names(&api, all.0, all.1).unwrap(),
        ["__name__", "instance", "job"]
    );
    assert_eq!(
        source.label_values("zone", &[], all.0, all.1).unwrap(),
        ["ü"]
    );
    assert_eq!(source.series(&api, all.0, all.1).unwrap().len(), 3);
}

#[test]
fn blocks_that_are_written_read_the_same_and_promtool_opens_them() {
    let (source, _) = PrometheusFolder::open(&folder().join("data")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let all = Selection {
        matchers: Vec::new(),
        min: i64::MIN,
        max: i64::MAX,
    };
    let report = write_prometheus_blocks(&source, &all, dir.path()).unwrap();
    assert_eq!(report.samples, 740 - 67);
    let (back, damage) = PrometheusFolder::open(dir.path()).unwrap();
    assert_eq!(damage, []);
    assert_same(&read_all(&back, i64::MIN, i64::MAX), &dump());
    let promtool = Path::new("/usr/bin/promtool");
    if !promtool.exists() {
        assert!(
            bellwether_env::vars::CI.get().is_none(),
            "promtool is missing"
        );
        return;
    }
    // A data folder has a log too; promtool makes an empty one.
    fs::create_dir_all(dir.path().join("wal")).unwrap();
    let ran = std::process::Command::new(promtool)
        .args(["tsdb", "dump"])
        .arg(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let expected = fs::read_to_string(folder().join("dump.txt")).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        sorted(&text),
        sorted(&expected),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[test]
fn checksums_are_castagnoli() {
    // The check value of the catalogue of CRC algorithms.
    assert_eq!(checksum::crc32c(b"123456789"), 0xe306_9283);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_flipped_bit_never_changes_an_answer(
        file in prop::sample::select(vec!["index", "chunks/000001", "tombstones"]),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let name = fs::read_dir(folder().join("data")).unwrap().next().unwrap().unwrap().file_name();
        let (from, to) = (folder().join("data").join(&name), dir.path().join(&name));
        fs::create_dir_all(to.join("chunks")).unwrap();
        for part in ["index", "chunks/000001", "tombstones", "meta.json"] {
            fs::copy(from.join(part), to.join(part)).unwrap();
        }
        let mut bytes = fs::read(to.join(file)).unwrap();
        let offset = place.index(bytes.len());
        bytes[offset] ^= 1 << bit;
        fs::write(to.join(file), &bytes).unwrap();
        let (source, damage) = PrometheusFolder::open(dir.path()).unwrap();
        if !damage.is_empty() {
            prop_assert_eq!(source.blocks(), 0);
            return Ok(());
        }
        let (good, _) = PrometheusFolder::open(&folder().join("data")).unwrap();
        let expected = read_all(&good, i64::MIN, i64::MAX);
        let selection = Selection { matchers: Vec::new(), min: i64::MIN, max: i64::MAX };
        let Ok(set) = source.select(&selection) else {
            return Ok(());
        };
        let mut buffer = SampleBuffer::default();
        for index in 0..set.len() {
            if set.read(index, &mut buffer).is_ok() {
                let samples = &expected[&set.labels(index).to_string()];
                let bits = |value: &f64| value.to_bits();
                prop_assert_eq!(
                    buffer.floats.iter().map(bits).collect::<Vec<_>>(),
                    samples.iter().map(|(_, value)| value.to_bits()).collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn decoders_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut buffer = SampleBuffer::default();
        let _ = chunk::decode_floats(&bytes, &mut buffer);
        prop_assert!(buffer.floats.len() <= crate::codec::CHUNK_SAMPLES_MAX);
        drop(block::parse_tombstones(&bytes));
    }
}

#[test]
fn history_is_imported_beside_what_the_store_has() {
    use bellwether_model::series::{RefSample, SampleSink, Value};

    use crate::{Options, Store};

    let (source, _) = PrometheusFolder::open(&folder().join("data")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), Options::default()).unwrap();
    let extra = Labels::new([("__name__", "own")]);
    let append = |store: &Store, timestamp| {
        let sample = RefSample {
            series: store.resolve(&extra).unwrap(),
            timestamp,
            value: Value::Float(1.0),
        };
        store.append(&[sample]).unwrap().appended
    };
    // Own samples lie in the same hours: the import must not make them too old.
    assert_eq!(append(&store, 1_700_006_500_000), 1);
    let everything = Selection {
        matchers: Vec::new(),
        min: i64::MIN,
        max: i64::MAX,
    };
    let report = store.import(&source, &everything).unwrap();
    assert_eq!((report.blocks, report.samples), (1, 673));
    assert_eq!(store.import(&source, &everything).unwrap().samples, 673);
    assert_eq!(append(&store, 1_700_006_501_000), 1);
    let check = |store: &Store| {
        let mut all = read_all(store, i64::MIN, i64::MAX);
        let own = all.remove(&extra.to_string()).unwrap();
        assert_eq!(own, [(1_700_006_500_000, 1.0), (1_700_006_501_000, 1.0)]);
        assert_same(&all, &dump());
    };
    check(&store);
    drop(store);
    let (store, report) = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!((report.samples, report.blocks), (2, 2));
    check(&store);
}
