use std::time::Duration;

use bellwether_model::Labels;
use bellwether_model::series::{MemorySeries, Value};
use bellwether_promql::parse_metric_selector;
use proptest::prelude::*;

use super::{BUCKET_MS, Counters, Events, Ledger};

fn counters(good: bool) -> Counters {
    Counters {
        part: parse_metric_selector("part").unwrap(),
        part_is_good: good,
        total: parse_metric_selector("all").unwrap(),
    }
}

/// Increments of one counter: time in milliseconds, and how much it grew; a reset where it says so.
type Growth = Vec<(i64, u32, bool)>;

fn growth() -> impl Strategy<Value = Growth> {
    prop::collection::vec(
        (1_000..200_000_i64, 0..50_u32, prop::bool::weighted(0.05)),
        1..80,
    )
    .prop_map(|steps| {
        let mut time = 0;
        steps
            .into_iter()
            .map(|(step, grown, reset)| {
                time += step;
                (time, grown, reset)
            })
            .collect()
    })
}

fn store(source: &mut MemorySeries, name: &str, instance: &str, growth: &Growth) {
    let labels = Labels::new([("__name__", name), ("instance", instance)]);
    let mut value = 0.0;
    source.push(&labels, 0, Value::Float(0.0));
    for (time, grown, reset) in growth {
        // After a reset the counter starts from 0 again and has what it grew by.
        value = if *reset {
            f64::from(*grown)
        } else {
            value + f64::from(*grown)
        };
        source.push(&labels, *time, Value::Float(value));
    }
}

/// What was added at a time, seen through the value: a reset to a larger value looks like growth.
fn reference(growths: &[Growth], after: i64, to: i64) -> f64 {
    let mut sum = 0.0;
    for growth in growths {
        let mut value = 0.0;
        for (time, grown, reset) in growth {
            let next = if *reset {
                f64::from(*grown)
            } else {
                value + f64::from(*grown)
            };
            let grown = if next >= value { next - value } else { next };
            value = next;
            if *time > after && *time <= to {
                sum += grown;
            }
        }
    }
    sum
}

proptest! {
    #[test]
    fn every_window_is_exact_in_one_piece_or_many(
        part in prop::collection::vec(growth(), 1..3),
        all in prop::collection::vec(growth(), 1..3),
        cuts in prop::collection::vec(1..4_000_000_i64, 0..6),
        window in 1..200_u64,
    ) {
        let mut source = MemorySeries::default();
        for (index, growth) in part.iter().enumerate() {
            store(&mut source, "part", &index.to_string(), growth);
        }
        for (index, growth) in all.iter().enumerate() {
            store(&mut source, "all", &index.to_string(), growth);
        }
        let end = 200 * BUCKET_MS - 1;
        let mut cuts = cuts;
        cuts.sort_unstable();
        cuts.push(end);
        let window_length = Duration::from_secs(window * 60);
        for good in [false, true] {
            let mut ledger = Ledger::default();
            for cut in &cuts {
                ledger.advance(&counters(good), &source, -1, *cut).unwrap();
            }
            let mut whole = Ledger::default();
            whole.advance(&counters(good), &source, -1, end).unwrap();
            let after = end - window as i64 * BUCKET_MS;
            let total = reference(&all, after, end);
            let part = reference(&part, after, end);
            let bad = if good { total - part } else { part };
            let expected = Events { bad, total };
            prop_assert_eq!(ledger.over(end, window_length), expected);
            prop_assert_eq!(whole.over(end, window_length), expected);
            whole.trim(end, window_length);
            prop_assert_eq!(whole.over(end, window_length), expected);
            prop_assert!(whole.sums.len() as u64 <= window + 1);
        }
    }
}

#[test]
fn few_events_prove_little() {
    let bound = |bad: f64, total: f64| Events { bad, total }.lower_bound(1.96).unwrap();
    assert!(bound(1.0, 2.0) < 0.1, "{}", bound(1.0, 2.0));
    assert!(bound(500.0, 1000.0) > 0.46);
    assert_eq!(bound(0.0, 10.0), 0.0);
    assert_eq!(Events::default().lower_bound(1.96), None);
    assert_eq!(Events::default().ratio(), None);
}
