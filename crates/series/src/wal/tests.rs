use std::fs;

use bellwether_model::Labels;
use bellwether_model::series::Value;
use proptest::prelude::*;

use super::reader::read;
use super::record::{RecordWriter, Visit};
use super::*;
use crate::report::DamageKind;

#[derive(Debug, Default, PartialEq, Clone)]
struct Seen {
    series: Vec<(u64, Labels)>,
    samples: Vec<(u64, i64, u64)>,
}

impl Visit for Seen {
    fn series(&mut self, reference: u64, labels: Labels) {
        self.series.push((reference, labels));
    }
    fn sample(&mut self, reference: u64, time: i64, value: Value) {
        if let Value::Float(value) = value {
            self.samples.push((reference, time, value.to_bits()));
        }
    }
}

/// Writes records and returns the folder, what was written after each of them, and where each ends.
fn small_log() -> (tempfile::TempDir, Vec<(u64, Seen)>) {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = Wal::new(
        dir.path().to_owned(),
        Disk::default(),
        1 << 20,
        Vec::new(),
        1,
    );
    assert_eq!(wal.begin().unwrap(), 1);
    let mut seen = Seen::default();
    let mut steps = vec![(HEADER_LEN, seen.clone())];
    let values = [
        1.0,
        -3.0,
        0.25,
        f64::NAN,
        -0.0,
        1e300,
        1234567.0,
        f64::INFINITY,
    ];
    for batch in 0..4_u64 {
        let mut record = RecordWriter::default();
        if batch % 2 == 0 {
            let labels = Labels::new([("__name__", "up"), ("n", &batch.to_string())]);
            record.series(batch, &labels);
            record.close();
            seen.series.push((batch, labels));
            wal.write(&record.out, record.out.len(), i64::MIN).unwrap();
            steps.push((wal.bytes(), seen.clone()));
        }
        record.clear();
        for (index, value) in values.iter().enumerate() {
            let reference = batch + index as u64 * 7 % 3;
            let time = 1_700_000_000_000 + batch as i64 * 15_000 + index as i64 % 2;
            record.sample(reference, time, &Value::Float(*value));
            seen.samples.push((reference, time, value.to_bits()));
        }
        record.close();
        wal.write(&record.out, 0, 0).unwrap();
        steps.push((wal.bytes(), seen.clone()));
    }
    (dir, steps)
}

#[test]
fn a_log_cut_at_any_byte_opens_to_what_was_whole() {
    let (dir, steps) = small_log();
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    for len in 0..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let mut seen = Seen::default();
        let outcome = read(&path, true, &mut seen).unwrap();
        let expected = steps.iter().rev().find(|(end, _)| *end <= len as u64);
        let (end, expected) = expected.cloned().unwrap_or_default();
        assert_eq!(seen, expected, "cut at {len}");
        assert_eq!(outcome.good_len, end, "cut at {len}");
        assert_eq!(outcome.torn, end != len as u64 || len == 0, "cut at {len}");
        assert_eq!(outcome.damage.is_empty(), !outcome.torn);
        assert!(
            outcome
                .damage
                .iter()
                .all(|damage| damage.kind == DamageKind::TornTail)
        );
    }
}

#[test]
fn every_flipped_bit_is_reported_and_costs_one_record() {
    let (dir, steps) = small_log();
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let all = &steps[steps.len() - 1].1;
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let mut seen = Seen::default();
        let outcome = read(&path, true, &mut seen).unwrap();
        assert_eq!(outcome.damage.len(), 1, "bit {bit}");
        // What is left is what the other records say.
        let hit = steps
            .iter()
            .position(|(end, _)| *end > bit as u64 / 8)
            .unwrap();
        let mut expected = all.clone();
        if hit > 0 {
            let (before, after) = (&steps[hit - 1].1, &steps[hit].1);
            expected
                .series
                .drain(before.series.len()..after.series.len());
            expected
                .samples
                .drain(before.samples.len()..after.samples.len());
        }
        assert_eq!(seen, expected, "bit {bit}");
    }
}

#[test]
fn a_segment_of_a_newer_version_is_refused_by_name() {
    let (dir, _) = small_log();
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let error = read(&path, true, &mut Seen::default()).unwrap_err();
    assert!(error.to_string().contains("format version 9"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut seen = Seen::default();
        let _ = record::visit(&bytes, &mut seen);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut file = header().to_vec();
        file.extend_from_slice(&record::MARK);
        file.extend_from_slice(&bytes);
        fs::write(&path, &file).unwrap();
        let outcome = read(&path, false, &mut Seen::default()).unwrap();
        prop_assert!(!outcome.damage.is_empty());
    }

    #[test]
    fn samples_come_back_bit_for_bit(
        samples in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>()), 1..50)
    ) {
        let mut record = RecordWriter::default();
        for (reference, time, bits) in &samples {
            record.sample(*reference, *time, &Value::Float(f64::from_bits(*bits)));
        }
        record.close();
        let mut seen = Seen::default();
        record::visit(&record.out[record::FRAME_LEN..], &mut seen).unwrap();
        prop_assert_eq!(seen.samples, samples);
    }
}
