use proptest::prelude::*;

use super::*;
use crate::random::Random;

#[test]
fn merged_p99_of_ten_shards_is_within_the_stated_error_of_the_exact_one() {
    let mut random = Random::new(3);
    let mut all = Vec::new();
    let mut merged = Histogram::new();
    for shard in 0..10 {
        let mut histogram = Histogram::new();
        for _ in 0..5_000 {
            // Lognormal, and each shard of another speed.
            let micros = (random.normal() * 0.8 + 7.0 + f64::from(shard) * 0.1)
                .exp()
                .round();
            all.push(micros);
            histogram.record_micros(micros as u64);
        }
        merged.merge(&histogram);
    }
    all.sort_by(f64::total_cmp);
    assert_eq!(merged.count(), 50_000);
    for q in [0.5, 0.9, 0.95, 0.99, 0.999] {
        let exact = all[required_rank(q, 50_000) as usize - 1] / 1e3;
        let found = merged.quantile_ms(q);
        assert!(
            (found / exact - 1.0).abs() <= Histogram::RELATIVE_ERROR,
            "q {q}: {found} and {exact}"
        );
    }
}

#[test]
fn extremes_and_odd_values() {
    let mut histogram = Histogram::new();
    assert_eq!(
        (histogram.quantile_ms(0.99), histogram.mean_ms()),
        (0.0, 0.0)
    );
    assert_eq!(histogram.interval_ms(0.5, 0.95), None);
    histogram.record_ms(f64::NAN);
    assert_eq!(histogram.count(), 0);
    histogram.record(Duration::from_hours(24));
    assert!((histogram.max_ms() / 3_600_000.0 - 1.0).abs() < 1e-3);
    histogram.record_ms(-1.0);
    assert_eq!(histogram.min_ms(), 0.0);
    assert_eq!(histogram.share_within(1.0), 0.5);
}

#[test]
fn interval_is_that_of_the_order_statistics() {
    let mut histogram = Histogram::new();
    let values: Vec<f64> = (1..=1000).map(f64::from).collect();
    for value in &values {
        histogram.record_micros(*value as u64);
    }
    let exact = crate::quantile::quantile_interval(&values, 0.9, 0.95).unwrap();
    let found = histogram.interval_ms(0.9, 0.95).unwrap();
    assert!((found.low * 1e3 / exact.low - 1.0).abs() < 1e-3);
    assert!((found.high * 1e3 / exact.high - 1.0).abs() < 1e-3);
    // Worth a tenth of the values: wider.
    let wide = histogram.interval_effective(0.9, 0.95, 100.0).unwrap();
    assert!(wide.low < found.low && wide.high > found.high);
}

#[test]
fn other_peoples_bytes_are_refused_with_a_reason() {
    for text in [
        "",
        "not base64!",
        "AAAA",
        "HISTFAAAABV42pNpmSzMwMDAxAABzFCaEUoz2X+AMAAfAAA",
    ] {
        assert!(Histogram::decode(text).is_err(), "{text}");
    }
    // A header that promises four gigabytes.
    let mut bytes = COOKIE_V2.to_be_bytes().to_vec();
    bytes.extend([0xff; 4]);
    bytes.extend([0; 32]);
    let error = Histogram::decode(&STANDARD.encode(bytes)).unwrap_err();
    assert!(
        error.to_string().contains("promises 4294967295 bytes"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(values in prop::collection::vec(0u64..5_000_000_000, 0..200)) {
        let mut histogram = Histogram::new();
        for value in &values {
            histogram.record_micros(*value);
        }
        let text = histogram.encode();
        let read = Histogram::decode(&text).unwrap();
        prop_assert_eq!(read.count(), histogram.count());
        for q in [0.0, 0.5, 0.99, 1.0] {
            let (a, b) = (read.quantile_ms(q), histogram.quantile_ms(q));
            prop_assert!((a - b).abs() <= 1e-3 * b.max(1e-3), "{} and {}", a, b);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(Histogram::decode(&STANDARD.encode(&bytes)));
    }
}
