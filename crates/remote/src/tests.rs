use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::histogram::{Histogram, ResetHint, Span};
use bellwether_model::series::{Exemplar, Metadata, Value};
use bellwether_model::{Labels, MatchOp, Matcher};
use proptest::prelude::*;

use crate::read::{ReadQuery, ReadRequest, decode_samples, encode_samples};
use crate::write::{Version, WriteRequest, WriteSeries, decode, encode_v1, encode_v2};
use crate::{DecodeError, Limits, compress};

fn histogram() -> Histogram {
    Histogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 12.0,
        sum: -4.5,
        positive_spans: vec![
            Span {
                offset: -3,
                length: 2,
            },
            Span {
                offset: 4,
                length: 1,
            },
        ],
        positive_buckets: vec![3.0, 4.0, 1.0],
        negative_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        negative_buckets: vec![2.0],
        custom_values: None,
        reset_hint: ResetHint::Gauge,
    }
}

fn request() -> WriteRequest {
    let trace = Labels::new([("trace_id", "abc")]);
    WriteRequest {
        series: vec![
            WriteSeries {
                labels: Labels::new([("__name__", "http_total"), ("job", "api")]),
                samples: vec![
                    (-5, Value::Float(1.5)),
                    (1_700_000_000_000, Value::Float(f64::NEG_INFINITY)),
                ],
                exemplars: vec![Exemplar {
                    labels: trace,
                    value: 0.25,
                    timestamp: 7,
                }],
            },
            WriteSeries {
                labels: Labels::new([("__name__", "latency"), ("ü", "→")]),
                samples: vec![(9, Value::Histogram(Arc::new(histogram())))],
                exemplars: Vec::new(),
            },
        ],
        metadata: BTreeMap::from([(
            "http_total".to_owned(),
            Metadata {
                kind: "counter".to_owned(),
                help: "Requests.".to_owned(),
                unit: String::new(),
            },
        )]),
    }
}

#[test]
fn requests_come_back_as_they_were() {
    let sent = request();
    for (version, body) in [
        (Version::V1, encode_v1(&sent)),
        (Version::V2, encode_v2(&sent)),
    ] {
        let got = decode(&body, version, &Limits::default()).unwrap();
        assert_eq!(format!("{got:?}"), format!("{sent:?}"), "{version:?}");
    }
}

#[test]
fn answers_and_questions_come_back_as_they_were() {
    let results = vec![
        vec![(
            Labels::new([("a", "b")]),
            vec![(1, Value::Float(2.0)), (3, Value::Float(4.0))],
        )],
        Vec::new(),
    ];
    let got = decode_samples(&encode_samples(&results), &Limits::default()).unwrap();
    assert_eq!(format!("{got:?}"), format!("{results:?}"));
    let asked = ReadRequest {
        queries: vec![ReadQuery {
            min: -1,
            max: 10,
            matchers: vec![
                Matcher::new(MatchOp::NotRegex, "job", "a|b.*").unwrap(),
                Matcher::equal("__name__", "up"),
            ],
        }],
    };
    let got = ReadRequest::decode(&asked.encode(), &Limits::default()).unwrap();
    assert_eq!(format!("{got:?}"), format!("{asked:?}"));
}

#[test]
fn what_is_too_large_is_refused_before_it_costs_memory() {
    let limits = Limits {
        bytes: 1_000,
        ..Limits::default()
    };
    assert_eq!(
        decode(&compress(&vec![0; 1_001]), Version::V1, &limits).unwrap_err(),
        DecodeError::TooLarge(1_000)
    );
    let few = Limits {
        series: 1,
        ..Limits::default()
    };
    for (version, body) in [
        (Version::V1, encode_v1(&request())),
        (Version::V2, encode_v2(&request())),
    ] {
        assert_eq!(
            decode(&body, version, &few).unwrap_err(),
            DecodeError::TooManySeries(1)
        );
        let narrow = Limits {
            labels: 1,
            ..Limits::default()
        };
        assert_eq!(
            decode(&body, version, &narrow).unwrap_err(),
            DecodeError::TooManyLabels(1)
        );
    }
}

#[test]
fn malformed_series_are_named() {
    let text = |pairs: &[(&str, &str)]| {
        let mut writer = crate::proto::Writer::default();
        writer.message(1, |w| {
            for (name, value) in pairs {
                w.message(1, |w| {
                    w.text(1, name);
                    w.text(2, value);
                });
            }
        });
        let error = decode(&compress(&writer.out), Version::V1, &Limits::default()).unwrap_err();
        error.to_string()
    };
    assert_eq!(
        text(&[("a", "1"), ("a", "2")]),
        "a series has the label \"a\" twice"
    );
    assert_eq!(text(&[]), "a series has no labels");
    assert_eq!(text(&[("", "x")]), "a label has no name");
}

proptest! {
    #[test]
    fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let limits = Limits::default();
        for body in [bytes.clone(), compress(&bytes)] {
            drop(decode(&body, Version::V1, &limits));
            drop(decode(&body, Version::V2, &limits));
            drop(ReadRequest::decode(&body, &limits));
            drop(decode_samples(&body, &limits));
        }
    }

    #[test]
    fn changed_messages_are_safe(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), second: bool
    ) {
        let body = if second { encode_v2(&request()) } else { encode_v1(&request()) };
        let mut bytes = crate::decompress(&body, 1 << 20).unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let body = compress(&bytes);
        drop(decode(&body, Version::V1, &Limits::default()));
        drop(decode(&body, Version::V2, &Limits::default()));
        drop(decode_samples(&body, &Limits::default()));
    }
}
