use std::sync::Arc;

use bellwether_model::histogram::{Histogram, ResetHint, Span};
use bellwether_model::series::stale_nan;
use proptest::prelude::*;

use super::xor::XorChunk;
use super::*;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000_i64..1000).prop_map(|v| v as f64),
        2 => (-1000_i64..1000).prop_map(|v| v as f64 * 4096.0 + 17.0),
        3 => (-100_000_i64..100_000, 0..6_i32).prop_map(|(v, e)| v as f64 / 10_f64.powi(e)),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
        1 => prop::sample::select(vec![
            0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324,
            9_007_199_254_740_993.0, 1e300, -1e-300, 0.1 + 0.2,
        ]),
    ]
}

fn samples() -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
    let step = prop_oneof![8 => Just(15_000_i64), 3 => 1..40_000_i64, 1 => 1..i64::MAX / 1000];
    let start = prop_oneof![
        Just(1_700_000_000_000_i64),
        any::<i32>().prop_map(i64::from)
    ];
    (start, prop::collection::vec((step, value()), 1..300)).prop_map(|(start, steps)| {
        let mut time = start;
        steps
            .into_iter()
            .map(|(step, value)| {
                time += step;
                (time, value)
            })
            .unzip()
    })
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn histogram() -> impl Strategy<Value = Histogram> {
    (
        prop::sample::select(vec![-53, -4, 0, 3, 8]),
        prop::collection::vec(value(), 0..12),
        prop::collection::vec(value(), 0..4),
        [value(), value(), value()],
        prop::option::of(prop::collection::vec(value(), 0..4)),
        0..4_usize,
    )
        .prop_map(
            |(schema, positive, negative, [count, sum, zero], custom, hint)| Histogram {
                schema,
                zero_threshold: 0.001,
                zero_count: zero,
                count,
                sum,
                positive_spans: vec![Span {
                    offset: -2,
                    length: positive.len() as u32,
                }],
                positive_buckets: positive,
                negative_spans: vec![Span {
                    offset: 7,
                    length: negative.len() as u32,
                }],
                negative_buckets: negative,
                custom_values: custom.map(Into::into),
                reset_hint: [
                    ResetHint::Unknown,
                    ResetHint::Reset,
                    ResetHint::NotReset,
                    ResetHint::Gauge,
                ][hint],
            },
        )
}

proptest! {
    #[test]
    fn head_chunks_round_trip_bit_for_bit((times, values) in samples()) {
        let mut chunk = XorChunk::new(times[0], values[0]);
        for (time, value) in times.iter().zip(&values).skip(1) {
            chunk.push(*time, *value);
        }
        let (mut read_times, mut read_values) = (Vec::new(), Vec::new());
        let mut copy = Vec::new();
        chunk.copy_to(&mut copy);
        let bytes = chunk.into_bytes();
        prop_assert_eq!(&copy[..], &bytes[..]);
        xor::decode(&bytes, times.len(), &mut read_times, &mut read_values).unwrap();
        prop_assert_eq!(&read_times, &times);
        prop_assert_eq!(bits(&read_values), bits(&values));
        // One sample more than was written is not there (save for what the padding of the last byte may hold).
        prop_assert!(xor::decode(&bytes, times.len() + 9, &mut read_times, &mut read_values).is_none());
    }

    #[test]
    fn block_chunks_round_trip_bit_for_bit((times, values) in samples()) {
        let (encoding, bytes) = encode_floats(&times, &values);
        let (mut read_times, mut read_values) = (vec![7], vec![7.0]);
        decode_floats(encoding, &bytes, times.len(), &mut read_times, &mut read_values).unwrap();
        prop_assert_eq!(&read_times[1..], &times[..]);
        prop_assert_eq!(bits(&read_values[1..]), bits(&values));
    }

    #[test]
    fn columns_round_trip_whatever_the_numbers(numbers in prop::collection::vec(any::<i64>(), 1..200)) {
        let mut out = BitWriter::default();
        column::encode(&mut out, &numbers);
        let bytes = out.finish();
        let mut read = Vec::new();
        column::decode(&mut BitReader::new(&bytes), numbers.len(), &mut read).unwrap();
        prop_assert_eq!(read, numbers);
    }

    #[test]
    fn histograms_round_trip_bit_for_bit(
        samples in prop::collection::vec((1..100_000_i64, histogram()), 1..20)
    ) {
        let mut time = 1_700_000_000_000;
        let samples: Vec<(i64, Arc<Histogram>)> = samples
            .into_iter()
            .map(|(step, sample)| {
                time += step;
                (time, Arc::new(sample))
            })
            .collect();
        let bytes = encode_histograms(&samples);
        let mut read = Vec::new();
        histogram::decode(&bytes, samples.len(), &mut read).unwrap();
        prop_assert_eq!(read.len(), samples.len());
        for ((time, sample), (read_time, read_sample)) in samples.iter().zip(&read) {
            prop_assert_eq!(time, read_time);
            prop_assert!(histogram::same(sample, read_sample), "{:?} {:?}", sample, read_sample);
        }
        let mut alone = Vec::new();
        put_histogram(&mut alone, &samples[0].1);
        let mut reader = Reader::new(&alone);
        prop_assert!(histogram::same(&read_histogram(&mut reader).unwrap(), &samples[0].1));
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn decoders_survive_any_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        count in 0..70_000_usize,
    ) {
        let (mut times, mut values, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
        let _ = xor::decode(&bytes, count, &mut times, &mut values);
        for encoding in [Encoding::Xor, Encoding::Decimal, Encoding::Histogram] {
            let _ = decode_floats(encoding, &bytes, count, &mut times, &mut values);
        }
        let _ = histogram::decode(&bytes, count, &mut histograms);
        drop(read_histogram(&mut Reader::new(&bytes)));
        prop_assert!(times.len() <= 4 * CHUNK_SAMPLES_MAX && values.len() <= 4 * CHUNK_SAMPLES_MAX);
    }
}

#[test]
fn regular_counters_take_about_a_byte() {
    let times: Vec<i64> = (0..480).map(|i| 1_700_000_000_000 + i * 15_000).collect();
    let flat = vec![0.25; 480];
    assert!(encode_floats(&times, &flat).1.len() < 100);
    let mut counter = 0.0;
    let values: Vec<f64> = (0..480_u32)
        .map(|i| {
            counter += f64::from(i.wrapping_mul(2_654_435_761) >> 26);
            counter
        })
        .collect();
    let (encoding, bytes) = encode_floats(&times, &values);
    assert_eq!(encoding, Encoding::Decimal);
    assert!(bytes.len() < 500, "{}", bytes.len());
    // The same on a grid of pages costs little more.
    let pages: Vec<f64> = values.iter().map(|value| value * 4096.0 + 512.0).collect();
    let (encoding, paged) = encode_floats(&times, &pages);
    assert_eq!(encoding, Encoding::Decimal);
    assert!(paged.len() < bytes.len() + 25, "{}", paged.len());
    let mut read = (Vec::new(), Vec::new());
    decode_floats(encoding, &paged, 480, &mut read.0, &mut read.1).unwrap();
    assert_eq!(read, (times, pages));
}

#[test]
fn zones_bound_and_count_resets() {
    let zone = Zone::of(&[5.0, 9.0, stale_nan(), 2.0, 4.0, 1.0]);
    assert_eq!(
        (zone.min, zone.max, zone.first, zone.last),
        (1.0, 9.0, 5.0, 1.0)
    );
    assert_eq!(zone.reset_sum, 13.0);
    assert!(zone.special);
    assert!(!Zone::of(&[1.0]).special);
}
