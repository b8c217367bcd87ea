//! Blocks and logs that changed on disk.

use proptest::prelude::*;

use super::*;

fn files(dir: &std::path::Path, extension: &str) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = ["blocks", "wal"]
        .iter()
        .flat_map(|folder| fs::read_dir(dir.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}

/// Small store with one block and a log.
fn sample_store(dir: &TempDir) -> Content {
    let store = open(dir, Options::default());
    for step in 0..900_i64 {
        let batch: Vec<_> = (0..4)
            .map(|s| (s, START + step * 15_000, (step % 40) as f64 / 4.0))
            .collect();
        append(&store, &batch).unwrap();
    }
    store.maintain(at(START + 900 * 15_000));
    assert!(store.stats().blocks > 0);
    all(&store)
}

/// Reads everything; damage found on the way is put aside and reading goes on.
fn survivors(store: &Store) -> (Content, usize) {
    let found = store.verify().damage.len();
    let report = store.maintain(at(START + 900 * 15_000));
    assert_eq!(report.damage.len(), found);
    (all(store), found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_flipped_bit_is_reported_and_never_served(place in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let dir = tempfile::tempdir().unwrap();
        let content = sample_store(&dir);
        let mut paths = files(dir.path(), "block");
        paths.extend(files(dir.path(), "log"));
        let total: u64 = paths.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        let mut offset = place.index(total as usize);
        for path in paths {
            let mut bytes = fs::read(&path).unwrap();
            if offset < bytes.len() {
                bytes[offset] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                break;
            }
            offset -= bytes.len();
        }
        let (store, report) = Store::open(dir.path(), Options::default()).unwrap();
        let (left, found) = survivors(&store);
        prop_assert_eq!(report.damage.len() + found, 1, "{:?}", report.damage);
        for (labels, samples) in &left {
            for sample in samples {
                prop_assert!(content[labels].contains(sample), "a sample that was never written");
            }
        }
    }

    #[test]
    fn any_bytes_as_a_block_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        sample_store(&dir);
        let path = files(dir.path(), "block").remove(0);
        let mut whole = fs::read(&path).unwrap();
        whole.truncate(cut.index(whole.len()));
        whole.extend_from_slice(&bytes);
        fs::write(&path, &whole).unwrap();
        let (store, report) = Store::open(dir.path(), Options::default()).unwrap();
        prop_assert_eq!(report.damage.len(), 1);
        prop_assert_eq!(report.damage[0].kind, DamageKind::BadBlock);
        prop_assert!(!all(&store).is_empty(), "the rest serves");
        prop_assert!(path.with_extension("bad").exists());
    }
}

#[test]
fn one_bad_chunk_fails_its_query_and_then_only_it_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let content = sample_store(&dir);
    let path = files(dir.path(), "block").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = open(&dir, Options::default());
    let selection = Selection {
        matchers: vec![],
        min: i64::MIN,
        max: i64::MAX,
    };
    let set = store.select(&selection).unwrap();
    let mut buffer = SampleBuffer::default();
    let errors = (0..set.len()).filter(|index| set.read(*index, &mut buffer).is_err());
    assert_eq!(errors.count(), 1);
    drop(set);
    let report = store.maintain(at(START));
    assert_eq!(report.damage.len(), 1);
    assert!(path.with_extension("bad").exists());
    let left = all(&store);
    let lost = content
        .iter()
        .filter(|(labels, samples)| left.get(*labels) != Some(*samples));
    assert_eq!(lost.count(), 1, "the series with the bad chunk");
    assert_eq!(store.verify().damage, []);
    let before = left;
    drop(store);
    assert_eq!(all(&open(&dir, Options::default())), before);
}

#[test]
fn an_interrupted_merge_is_finished_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, Options::default());
    let copies = tempfile::tempdir().unwrap();
    for step in 0..3000_i64 {
        let time = START + step * 15_000;
        append(&store, &[(0, time, step as f64)]).unwrap();
        if step % 240 == 0 {
            for path in files(dir.path(), "block") {
                let copy = copies.path().join(path.file_name().unwrap());
                if !copy.exists() {
                    fs::copy(&path, &copy).unwrap();
                }
            }
            store.maintain(at(time));
        }
    }
    let content = all(&store);
    let blocks = store.stats().blocks;
    drop(store);
    // The parts are back, as if the process had died before it removed them.
    for entry in fs::read_dir(copies.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(
            &path,
            dir.path().join("blocks").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    assert!(files(dir.path(), "block").len() > blocks);
    fs::write(dir.path().join("blocks/000000000099.tmp"), b"half").unwrap();
    let store = open(&dir, Options::default());
    assert_eq!(all(&store), content);
    assert_eq!(files(dir.path(), "block").len(), blocks);
    assert_eq!(files(dir.path(), "tmp").len(), 0);
}
