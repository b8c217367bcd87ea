//! A store and the memory store are given the same random operations and must give the same answers.

use bellwether_model::DeliveryId;
use bellwether_model::state::{Batch, DeliveryState, Expect};
use bellwether_store::{Begin, DeliveryFilter, EventFilter, MemoryStore, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::suite::{CASE, at, delivery, event, id, put};

#[derive(Clone, Debug)]
enum Op {
    /// Writes of records 0-3: what is expected, and whether to delete. Deliveries by id and key. Events.
    Commit {
        records: Vec<(u8, Expect, bool)>,
        deliveries: Vec<(u64, u8)>,
        updates: Vec<(u64, DeliveryState, u32)>,
        events: u8,
        fence: Option<u64>,
    },
    Begin(Vec<u64>, i64),
    Acquire(u8, i64),
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        3 => Just(Expect::Any),
        1 => Just(Expect::Absent),
        1 => (1_u64..4).prop_map(Expect::Version),
    ]
}

fn state() -> impl Strategy<Value = DeliveryState> {
    use DeliveryState::{Cancelled, Done, Failed, Pending, Sending};
    prop::sample::select(vec![Pending, Sending, Done, Failed, Cancelled])
}

fn op() -> impl Strategy<Value = Op> {
    let commit = (
        prop::collection::vec((0_u8..4, expect(), any::<bool>()), 0..3),
        prop::collection::vec((0_u64..8, 0_u8..8), 0..3),
        prop::collection::vec((0_u64..8, state(), 0_u32..3), 0..3),
        0_u8..3,
        prop::option::weighted(0.2, 1_u64..3),
    );
    prop_oneof![
        5 => commit.prop_map(|(records, deliveries, updates, events, fence)| Op::Commit {
            records, deliveries, updates, events, fence,
        }),
        2 => (prop::collection::vec(0_u64..8, 0..4), 0_i64..20)
            .prop_map(|(ids, now)| Op::Begin(ids, now)),
        1 => (0_u8..2, 0_i64..20).prop_map(|(holder, now)| Op::Acquire(holder, now)),
    ]
}

fn ids(raw: &[u64]) -> Vec<DeliveryId> {
    raw.iter().map(|raw| id(*raw)).collect()
}

async fn apply(store: &dyn Store, op: &Op) -> String {
    match op {
        Op::Commit {
            records,
            deliveries,
            updates,
            events,
            fence,
        } => {
            let batch = Batch {
                records: records
                    .iter()
                    .map(|(n, expect, delete)| {
                        let mut write = put(CASE, &format!("r{n}"), *expect, json!(n));
                        write.due_at = Some(at(i64::from(*n)));
                        if *delete {
                            write.body = None;
                        }
                        write
                    })
                    .collect(),
                deliveries: deliveries
                    .iter()
                    .map(|(raw, key)| delivery(*raw, &format!("k{key}")))
                    .collect(),
                updates: updates
                    .iter()
                    .map(
                        |(raw, state, attempt)| bellwether_model::state::DeliveryUpdate {
                            id: id(*raw),
                            state: *state,
                            due_at: at(3),
                            attempt: *attempt,
                            fence: u64::from(*attempt),
                            lease_until: None,
                            receipt: bellwether_model::state::Receipt::Sent,
                            error: "e".to_owned(),
                            provider_id: "p".to_owned(),
                        },
                    )
                    .collect(),
                events: (0..*events).map(|_| event("a", "x")).collect(),
            };
            let fence = fence.map(|number| bellwether_store::Fence {
                lease: "main".to_owned(),
                number,
            });
            format!("{:?}", store.commit(batch, fence).await)
        }
        Op::Begin(raw, now) => {
            let begin = Begin {
                now: at(*now),
                lease_until: at(now + 5),
                fence: None,
            };
            format!("{:?}", store.begin_attempts(ids(raw), begin).await)
        }
        Op::Acquire(holder, now) => {
            let ttl = std::time::Duration::from_secs(3);
            let holder = format!("h{holder}");
            let lease = store.acquire_lease("main", &holder, ttl, at(*now)).await;
            format!("{lease:?}")
        }
    }
}

async fn everything(store: &dyn Store) -> String {
    format!(
        "{:#?}",
        (
            store.load(CASE).await,
            store.load_due(at(2), 3).await,
            store.deliveries(DeliveryFilter::default()).await,
            store.recover(at(9)).await,
            store.events(EventFilter::default()).await,
        )
    )
}

/// Runs `cases` random histories on fresh stores that `open` gives (with something to keep alive).
pub(crate) fn run<S, K, F>(cases: u32, open: impl Fn(u64) -> F)
where
    S: Store,
    F: Future<Output = (S, K)>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let opened = std::cell::Cell::new(0);
    runner
        .run(&prop::collection::vec(op(), 1..25), |ops| {
            opened.set(opened.get() + 1);
            runtime.block_on(async {
                let memory = MemoryStore::new();
                let (store, _keep) = open(opened.get()).await;
                // Several wait at once, in order: sharing a transaction must not change what any of them is answered.
                for together in ops.chunks(4) {
                    let mut expected = Vec::new();
                    for op in together {
                        expected.push(apply(&memory, op).await);
                    }
                    let answers = together.iter().map(|op| apply(&store, op));
                    let answers = futures_util::future::join_all(answers).await;
                    prop_assert_eq!(answers, expected, "{:?}", together);
                }
                prop_assert_eq!(everything(&store).await, everything(&memory).await);
                Ok(())
            })
        })
        .unwrap();
}
