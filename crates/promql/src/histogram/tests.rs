use bellwether_model::histogram::{Histogram, ResetHint, Span};

use super::*;

fn histogram(schema: i32, offset: i32, counts: &[f64]) -> Histogram {
    Histogram {
        schema,
        count: counts.iter().sum(),
        sum: 1.0,
        positive_spans: vec![Span {
            offset,
            length: counts.len() as u32,
        }],
        positive_buckets: counts.to_vec(),
        ..Histogram::default()
    }
}

#[test]
fn bounds_of_exponential_buckets() {
    let all = buckets(&histogram(0, -1, &[1.0, 1.0, 1.0]));
    let bounds: Vec<(f64, f64)> = all.iter().map(|b| (b.lower, b.upper)).collect();
    assert_eq!(bounds, [(0.25, 0.5), (0.5, 1.0), (1.0, 2.0)]);
    let all = buckets(&histogram(-1, 1, &[1.0, 1.0]));
    assert_eq!((all[0].upper, all[1].upper), (4.0, 16.0));
}

#[test]
fn sums_meet_at_the_lower_resolution() {
    let fine = histogram(1, 1, &[1.0, 2.0, 3.0, 4.0]);
    let coarse = histogram(0, 1, &[5.0]);
    let (sum, note) = add(&fine, &coarse).unwrap();
    assert_eq!(sum.schema, 0);
    assert_eq!(sum.positive_buckets, [8.0, 7.0]);
    assert_eq!(note, Note::default());
    let (difference, _) = sub(&sum, &coarse).unwrap();
    assert_eq!(difference.positive_buckets, [3.0, 7.0]);
}

#[test]
fn a_wider_zero_bucket_takes_what_it_covers() {
    let narrow = Histogram {
        zero_threshold: 0.5,
        zero_count: 1.0,
        ..histogram(0, 0, &[2.0, 3.0])
    };
    let wide = Histogram {
        zero_threshold: 1.0,
        zero_count: 4.0,
        ..histogram(0, 1, &[5.0])
    };
    let (sum, _) = add(&narrow, &wide).unwrap();
    assert_eq!(sum.zero_threshold, 1.0);
    assert_eq!(sum.zero_count, 7.0);
    assert_eq!(sum.positive_buckets, [8.0]);
}

#[test]
fn resets_are_found() {
    let before = histogram(0, 0, &[1.0, 2.0]);
    assert!(!detect_reset(&histogram(0, 0, &[1.0, 3.0]), &before));
    assert!(detect_reset(&histogram(0, 0, &[0.0, 5.0]), &before));
    let told = Histogram {
        reset_hint: ResetHint::Reset,
        ..histogram(0, 0, &[9.0, 9.0])
    };
    assert!(detect_reset(&told, &before));
}

#[test]
fn custom_bounds_are_reconciled() {
    let custom = |bounds: &[f64], counts: &[f64]| Histogram {
        custom_values: Some(bounds.into()),
        ..histogram(
            bellwether_model::histogram::CUSTOM_BUCKETS_SCHEMA,
            0,
            counts,
        )
    };
    let (sum, note) = add(
        &custom(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 1.0]),
        &custom(&[1.0, 3.0], &[1.0, 1.0, 1.0]),
    )
    .unwrap();
    assert!(note.reconciled);
    assert_eq!(sum.custom_values.as_deref(), Some(&[1.0, 3.0][..]));
    assert_eq!(sum.positive_buckets, [2.0, 3.0, 2.0]);
    assert!(add(&custom(&[1.0], &[1.0]), &histogram(0, 0, &[1.0])).is_err());
}
