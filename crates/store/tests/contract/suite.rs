//! What every store must do.

use std::time::Duration;

use bellwether_model::DeliveryId;
use bellwether_model::state::{
    Batch, Delivery, DeliveryState, DeliveryUpdate, Expect, Kind, NewDelivery, NewEvent, Receipt,
    RecordWrite, Subject,
};
use bellwether_store::{
    Begin, BoxFuture, DeliveryFilter, EventFilter, Fence, Lease, Store, StoreError,
};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) type Case = for<'a> fn(&'a dyn Store) -> BoxFuture<'a, ()>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CASES: &[(&str, Case)] = &[$((stringify!($name), |store| Box::pin($name(store)))),*];
    };
}

cases![
    records_count_their_versions,
    a_conflict_refuses_the_whole_batch,
    steps_taken_together_cost_one_write,
    records_are_found_by_kind_and_by_time,
    bodies_come_back_as_they_were,
    events_are_numbered_without_gaps,
    events_are_filtered,
    a_known_key_is_not_stored_again,
    a_taken_id_is_not_a_duplicate,
    an_attempt_is_begun_once,
    late_updates_change_nothing,
    expired_attempts_are_listed,
    deliveries_are_filtered,
    leases_are_exclusive_and_fences_grow,
    a_stale_fence_refuses_writes,
    too_large_or_too_deep_is_refused,
    odd_texts_and_times_are_stored,
    stats_count,
    health_is_good,
];

pub(crate) const CASE: Kind = Kind("case");
const GROUP: Kind = Kind("group");

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub(crate) fn put(kind: Kind, id: &str, expect: Expect, body: Value) -> RecordWrite {
    RecordWrite {
        kind,
        id: id.to_owned(),
        expect,
        body: Some(body),
        due_at: None,
    }
}

fn delete(kind: Kind, id: &str, expect: Expect) -> RecordWrite {
    RecordWrite {
        body: None,
        ..put(kind, id, expect, Value::Null)
    }
}

pub(crate) fn records(records: Vec<RecordWrite>) -> Batch {
    Batch {
        records,
        ..Batch::default()
    }
}

pub(crate) fn event(id: &str, kind: &str) -> NewEvent {
    NewEvent {
        at: at(1),
        subject: Subject::new("case", id),
        kind: kind.to_owned(),
        actor: "system".to_owned(),
        text: format!("{kind} happened to {id}"),
        data: json!({ "n": 1 }),
    }
}

fn events(events: Vec<NewEvent>) -> Batch {
    Batch {
        events,
        ..Batch::default()
    }
}

pub(crate) fn id(raw: u64) -> DeliveryId {
    DeliveryId::from_raw(raw)
}

pub(crate) fn delivery(raw: u64, key: &str) -> NewDelivery {
    NewDelivery {
        id: id(raw),
        key: key.to_owned(),
        subject: Subject::new("case", format!("c{}", raw % 3)),
        channel: if raw.is_multiple_of(2) {
            "webhook"
        } else {
            "email"
        }
        .to_owned(),
        target: "ops".to_owned(),
        payload: json!({ "title": "disk full" }),
        due_at: at(raw as i64),
        expires_at: None,
    }
}

pub(crate) fn deliveries(deliveries: Vec<NewDelivery>) -> Batch {
    Batch {
        deliveries,
        ..Batch::default()
    }
}

pub(crate) fn update(of: &Delivery, state: DeliveryState) -> DeliveryUpdate {
    DeliveryUpdate {
        id: of.new.id,
        state,
        due_at: of.new.due_at,
        attempt: of.attempt,
        fence: of.fence,
        lease_until: None,
        receipt: of.receipt,
        error: String::new(),
        provider_id: String::new(),
    }
}

pub(crate) fn updates(updates: Vec<DeliveryUpdate>) -> Batch {
    Batch {
        updates,
        ..Batch::default()
    }
}

fn begin(now: i64) -> Begin {
    Begin {
        now: at(now),
        lease_until: at(now + 10),
        fence: None,
    }
}

async fn ok(store: &dyn Store, batch: Batch) -> bellwether_store::Committed {
    store.commit(batch, None).await.unwrap()
}

async fn versions(store: &dyn Store, kind: Kind) -> Vec<(String, u64)> {
    let found = store.load(kind).await.unwrap();
    found.into_iter().map(|r| (r.id, r.version)).collect()
}

fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected
        .iter()
        .map(|(id, n)| ((*id).to_owned(), *n))
        .collect()
}

async fn records_count_their_versions(store: &dyn Store) {
    ok(store, records(vec![put(CASE, "a", Expect::Any, json!(1))])).await;
    ok(store, records(vec![put(CASE, "a", Expect::Any, json!(2))])).await;
    ok(
        store,
        records(vec![put(CASE, "a", Expect::Version(2), json!(3))]),
    )
    .await;
    ok(
        store,
        records(vec![put(CASE, "b", Expect::Absent, json!(4))]),
    )
    .await;
    assert_eq!(versions(store, CASE).await, pairs(&[("a", 3), ("b", 1)]));
    let record = store.get(CASE, "a").await.unwrap().unwrap();
    assert_eq!((record.version, record.body), (3, json!(3)));
    ok(
        store,
        records(vec![
            delete(CASE, "a", Expect::Version(3)),
            delete(CASE, "b", Expect::Any),
            delete(CASE, "none", Expect::Any),
        ]),
    )
    .await;
    assert_eq!(store.get(CASE, "a").await.unwrap(), None);
    assert_eq!(versions(store, CASE).await, []);
}

async fn a_conflict_refuses_the_whole_batch(store: &dyn Store) {
    ok(store, records(vec![put(CASE, "a", Expect::Any, json!(1))])).await;
    for (write, id) in [
        (put(CASE, "a", Expect::Absent, json!(9)), "a"),
        (put(CASE, "a", Expect::Version(2), json!(9)), "a"),
        (put(CASE, "b", Expect::Version(1), json!(9)), "b"),
        (delete(CASE, "a", Expect::Version(7)), "a"),
        (delete(CASE, "a", Expect::Absent), "a"),
    ] {
        let expected = write.expect;
        let batch = Batch {
            records: vec![put(CASE, "before", Expect::Any, json!(9)), write],
            deliveries: vec![delivery(1, "k1")],
            updates: vec![],
            events: vec![event("a", "x")],
        };
        let refused = store.commit(batch, None).await.unwrap_err();
        let conflict = StoreError::Conflict {
            kind: "case".to_owned(),
            id: id.to_owned(),
            expected,
        };
        assert_eq!(refused, conflict);
        assert!(!refused.is_retryable());
    }
    assert_eq!(versions(store, CASE).await, pairs(&[("a", 1)]));
    assert_eq!(store.delivery(id(1)).await.unwrap(), None);
    assert_eq!(store.events(EventFilter::default()).await.unwrap(), []);
}

async fn steps_taken_together_cost_one_write(store: &dyn Store) {
    ok(
        store,
        records(vec![
            put(CASE, "a", Expect::Absent, json!(1)),
            put(GROUP, "a", Expect::Any, json!("other kind")),
            put(CASE, "a", Expect::Any, json!(2)),
        ]),
    )
    .await;
    let record = store.get(CASE, "a").await.unwrap().unwrap();
    assert_eq!((record.version, record.body), (1, json!(2)));
}

async fn records_are_found_by_kind_and_by_time(store: &dyn Store) {
    let due = |kind, id: &str, seconds: Option<i64>| RecordWrite {
        due_at: seconds.map(at),
        ..put(kind, id, Expect::Any, json!({}))
    };
    ok(
        store,
        records(vec![
            due(CASE, "late", Some(30)),
            due(GROUP, "soon", Some(10)),
            due(CASE, "never", None),
            due(CASE, "soon", Some(10)),
            due(Kind("cas"), "other", Some(99)),
        ]),
    )
    .await;
    let ids = |found: Vec<bellwether_model::state::Record>| -> Vec<String> {
        found
            .into_iter()
            .map(|r| format!("{}/{}", r.kind, r.id))
            .collect()
    };
    let all = store.load(CASE).await.unwrap();
    assert_eq!(ids(all), ["case/late", "case/never", "case/soon"]);
    assert_eq!(
        ids(store.load_due(at(30), 10).await.unwrap()),
        ["case/soon", "group/soon", "case/late"]
    );
    assert_eq!(ids(store.load_due(at(29), 1).await.unwrap()), ["case/soon"]);
    assert_eq!(ids(store.load_due(at(9), 10).await.unwrap()), [""; 0]);
    // A new version brings its own time.
    ok(store, records(vec![due(CASE, "soon", None)])).await;
    ok(store, records(vec![delete(GROUP, "soon", Expect::Any)])).await;
    assert_eq!(
        ids(store.load_due(at(30), 10).await.unwrap()),
        ["case/late"]
    );
}

async fn bodies_come_back_as_they_were(store: &dyn Store) {
    let body = json!({
        "text": "ünïcode \u{1F4DF} \"quoted\" \\ \u{0} null",
        "numbers": [0.1, 1e300, -0.0, 5e-324, 9007199254740993_u64, i64::MIN, u64::MAX, 0.30000000000000004],
        "nested": { "b": null, "a": [true, {}] },
    });
    ok(
        store,
        records(vec![put(CASE, "a", Expect::Any, body.clone())]),
    )
    .await;
    assert_eq!(store.get(CASE, "a").await.unwrap().unwrap().body, body);
}

async fn events_are_numbered_without_gaps(store: &dyn Store) {
    let first = ok(store, events(vec![event("a", "x"), event("b", "y")])).await;
    assert_eq!(first.events, [1, 2]);
    let refused = Batch {
        records: vec![put(CASE, "none", Expect::Version(1), json!(1))],
        ..events(vec![event("a", "lost")])
    };
    store.commit(refused, None).await.unwrap_err();
    // Concurrent commits, so that some share a transaction; every second one is refused.
    let commits = (0..20).map(|n| {
        let records = if n % 2 == 0 {
            vec![]
        } else {
            vec![put(CASE, "none", Expect::Version(1), json!(1))]
        };
        let batch = Batch {
            records,
            ..events(vec![event("c", "z")])
        };
        store.commit(batch, None)
    });
    let mut seqs: Vec<u64> = futures_util::future::join_all(commits)
        .await
        .into_iter()
        .filter_map(Result::ok)
        .flat_map(|committed| committed.events)
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (3..=12).collect::<Vec<u64>>());
    let all = store.events(EventFilter::default()).await.unwrap();
    assert_eq!(
        all.iter().map(|e| e.seq).collect::<Vec<_>>(),
        (1..=12).collect::<Vec<u64>>()
    );
    assert_eq!(all[1].new, event("b", "y"));
}

async fn events_are_filtered(store: &dyn Store) {
    let all = (0..9).map(|n| event(["a", "b", "c"][n % 3], if n < 5 { "early" } else { "late" }));
    ok(store, events(all.collect())).await;
    let seqs = async |filter: EventFilter| -> Vec<u64> {
        let found = store.events(filter).await.unwrap();
        found.iter().map(|event| event.seq).collect()
    };
    let base = EventFilter::default;
    let of_b = Some(Subject::new("case", "b"));
    let late = Some("late".to_owned());
    assert_eq!(
        seqs(EventFilter {
            subject: of_b.clone(),
            ..base()
        })
        .await,
        [2, 5, 8]
    );
    assert_eq!(
        seqs(EventFilter {
            kind: late.clone(),
            ..base()
        })
        .await,
        [6, 7, 8, 9]
    );
    assert_eq!(
        seqs(EventFilter {
            after: Some(2),
            before: Some(6),
            ..base()
        })
        .await,
        [3, 4, 5]
    );
    assert_eq!(
        seqs(EventFilter {
            newest_first: true,
            limit: Some(2),
            ..base()
        })
        .await,
        [9, 8]
    );
    assert_eq!(
        seqs(EventFilter {
            limit: Some(2),
            after: Some(4),
            ..base()
        })
        .await,
        [5, 6]
    );
    let narrow = EventFilter {
        subject: of_b,
        kind: late,
        after: Some(1),
        before: Some(u64::MAX),
        newest_first: true,
        limit: Some(5),
    };
    assert_eq!(seqs(narrow).await, [8]);
    assert_eq!(
        seqs(EventFilter {
            after: Some(100),
            ..base()
        })
        .await,
        [0; 0]
    );
    assert_eq!(
        seqs(EventFilter {
            before: Some(0),
            ..base()
        })
        .await,
        [0; 0]
    );
}

async fn a_known_key_is_not_stored_again(store: &dyn Store) {
    ok(store, deliveries(vec![delivery(1, "k1")])).await;
    let batch = Batch {
        records: vec![put(CASE, "a", Expect::Any, json!(1))],
        ..deliveries(vec![
            delivery(2, "k1"),
            delivery(3, "k3"),
            delivery(4, "k3"),
            delivery(1, "k1"),
        ])
    };
    let committed = ok(store, batch).await;
    assert_eq!(committed.duplicates, [id(2), id(4), id(1)]);
    assert!(store.get(CASE, "a").await.unwrap().is_some());
    let all = store.deliveries(DeliveryFilter::default()).await.unwrap();
    let ids: Vec<_> = all.iter().map(|d| d.new.id).collect();
    assert_eq!(ids, [id(1), id(3)]);
    assert_eq!(all[0].new, delivery(1, "k1"));
    assert_eq!(all[0].state, DeliveryState::Pending);
    assert_eq!((all[0].attempt, all[0].fence), (0, 0));
    assert_eq!(all[0].receipt, Receipt::Unknown);
}

async fn a_taken_id_is_not_a_duplicate(store: &dyn Store) {
    ok(store, deliveries(vec![delivery(1, "k1")])).await;
    for batch in [
        deliveries(vec![delivery(1, "k2")]),
        deliveries(vec![delivery(2, "k3"), delivery(2, "k4")]),
    ] {
        let taken = batch.deliveries[0].id;
        let refused = store.commit(batch, None).await.unwrap_err();
        assert_eq!(refused, StoreError::IdTaken { id: taken });
    }
    let all = store.deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!(all.len(), 1);
}

async fn an_attempt_is_begun_once(store: &dyn Store) {
    let expired = NewDelivery {
        expires_at: Some(at(5)),
        ..delivery(3, "k3")
    };
    let later = NewDelivery {
        due_at: at(60),
        ..delivery(4, "k4")
    };
    ok(
        store,
        deliveries(vec![delivery(1, "k1"), delivery(2, "k2"), expired, later]),
    )
    .await;
    let wanted = vec![id(2), id(1), id(3), id(4), id(99)];
    let begun = store
        .begin_attempts(wanted.clone(), begin(5))
        .await
        .unwrap();
    let ids: Vec<_> = begun.iter().map(|d| d.new.id).collect();
    assert_eq!(ids, [id(2), id(1)]);
    assert!(begun.iter().all(|d| d.state == DeliveryState::Sending
        && d.attempt == 1
        && d.lease_until == Some(at(15))));
    assert_eq!(
        store.delivery(id(1)).await.unwrap().as_ref(),
        Some(&begun[1])
    );
    let again = store.begin_attempts(wanted, begin(6)).await.unwrap();
    assert_eq!(again, []);
    // Back to pending for a second attempt.
    let retry = DeliveryUpdate {
        due_at: at(20),
        error: "503".to_owned(),
        receipt: Receipt::FailedTemporarily,
        provider_id: "p-1".to_owned(),
        ..update(&begun[1], DeliveryState::Pending)
    };
    ok(store, updates(vec![retry])).await;
    assert_eq!(
        store.begin_attempts(vec![id(1)], begin(19)).await.unwrap(),
        []
    );
    let second = store
        .begin_attempts(vec![id(1)], begin(20))
        .await
        .unwrap()
        .remove(0);
    assert_eq!((second.attempt, second.error.as_str()), (2, "503"));
    assert_eq!(second.provider_id, "p-1");
    assert_eq!(second.receipt, Receipt::FailedTemporarily);
}

async fn late_updates_change_nothing(store: &dyn Store) {
    use DeliveryState::{Cancelled, Done, Failed, Pending, Sending};
    ok(
        store,
        deliveries(vec![delivery(1, "k1"), delivery(2, "k2")]),
    )
    .await;
    let first = store
        .begin_attempts(vec![id(1)], begin(5))
        .await
        .unwrap()
        .remove(0);
    ok(store, updates(vec![update(&first, Pending)])).await;
    let second = store
        .begin_attempts(vec![id(1)], begin(6))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(second.attempt, 2);
    let stale = async |update: DeliveryUpdate| -> bool {
        let id = update.id;
        let committed = ok(store, updates(vec![update])).await;
        assert!(committed.stale.is_empty() || committed.stale == [id]);
        !committed.stale.is_empty()
    };
    assert!(stale(update(&first, Done)).await, "an earlier attempt");
    let missing = DeliveryUpdate {
        id: id(77),
        ..update(&second, Done)
    };
    assert!(stale(missing).await);
    assert!(!stale(update(&second, Done)).await);
    for state in [Pending, Sending, Cancelled] {
        assert!(
            stale(update(&second, state)).await,
            "{state:?} after the end"
        );
    }
    assert!(
        !stale(update(&second, Failed)).await,
        "a receipt may say so later"
    );
    // Cancelling needs no attempt number; the attempt never falls.
    let waiting = store.delivery(id(2)).await.unwrap().unwrap();
    let begun = store
        .begin_attempts(vec![id(2)], begin(6))
        .await
        .unwrap()
        .remove(0);
    assert!(!stale(update(&waiting, Cancelled)).await);
    let cancelled = store.delivery(id(2)).await.unwrap().unwrap();
    assert_eq!((cancelled.state, cancelled.attempt), (Cancelled, 1));
    assert!(
        stale(update(&begun, Pending)).await,
        "no retry once cancelled"
    );
    assert!(!stale(update(&begun, Done)).await, "but it did arrive");
}

async fn expired_attempts_are_listed(store: &dyn Store) {
    ok(
        store,
        deliveries(vec![
            delivery(1, "k1"),
            delivery(2, "k2"),
            delivery(3, "k3"),
        ]),
    )
    .await;
    store.begin_attempts(vec![id(2)], begin(5)).await.unwrap();
    store.begin_attempts(vec![id(1)], begin(7)).await.unwrap();
    assert_eq!(store.recover(at(14)).await.unwrap(), []);
    let found = store.recover(at(15)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].new.id, id(2));
    let all: Vec<_> = store
        .recover(at(100))
        .await
        .unwrap()
        .into_iter()
        .map(|d| d.new.id)
        .collect();
    assert_eq!(all, [id(1), id(2)]);
}

async fn deliveries_are_filtered(store: &dyn Store) {
    let all = (1..=9).map(|n| delivery(n, &format!("k{n}")));
    ok(store, deliveries(all.collect())).await;
    store
        .begin_attempts(vec![id(2), id(4)], begin(5))
        .await
        .unwrap();
    let ids = async |filter: DeliveryFilter| -> Vec<DeliveryId> {
        let found = store.deliveries(filter).await.unwrap();
        found.iter().map(|d| d.new.id).collect()
    };
    let base = DeliveryFilter::default;
    assert_eq!(
        ids(DeliveryFilter {
            state: Some(DeliveryState::Sending),
            ..base()
        })
        .await,
        [id(2), id(4)]
    );
    assert_eq!(
        ids(DeliveryFilter {
            subject: Some(Subject::new("case", "c0")),
            ..base()
        })
        .await,
        [id(3), id(6), id(9)]
    );
    let due = DeliveryFilter {
        state: Some(DeliveryState::Pending),
        channel: Some("email".to_owned()),
        due_by: Some(at(5)),
        limit: Some(2),
        ..base()
    };
    assert_eq!(ids(due).await, [id(1), id(3)]);
}

async fn take(store: &dyn Store, holder: &str, now: i64) -> Option<Lease> {
    let ttl = Duration::from_secs(5);
    store
        .acquire_lease("main", holder, ttl, at(now))
        .await
        .unwrap()
}

async fn leases_are_exclusive_and_fences_grow(store: &dyn Store) {
    let ttl = Duration::from_secs(5);
    let a = take(store, "a", 0).await.unwrap();
    assert_eq!((a.number, a.until), (1, at(5)));
    assert_eq!(take(store, "b", 4).await, None);
    let a = store.renew_lease(&a, ttl, at(4)).await.unwrap().unwrap();
    assert_eq!((a.number, a.until), (1, at(9)));
    assert_eq!(take(store, "b", 8).await, None);
    let b = take(store, "b", 9).await.unwrap();
    assert_eq!(b.number, 2);
    assert_eq!(store.renew_lease(&a, ttl, at(10)).await.unwrap(), None);
    store.release_lease(&a).await.unwrap();
    assert_eq!(take(store, "a", 10).await, None, "not a's to release");
    // The same name after a restart is somebody else: its old fence must not write.
    let again = take(store, "b", 10).await.unwrap();
    assert_eq!(again.number, 3);
    assert_eq!(store.renew_lease(&b, ttl, at(11)).await.unwrap(), None);
    store.release_lease(&again).await.unwrap();
    assert_eq!(take(store, "a", 11).await.unwrap().number, 4);
    let other = store
        .acquire_lease("other", "b", ttl, at(0))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(other.number, 1);
}

async fn a_stale_fence_refuses_writes(store: &dyn Store) {
    let old = take(store, "a", 0).await.unwrap();
    let batch = || deliveries(vec![delivery(1, "k1")]);
    store.commit(batch(), Some(old.fence())).await.unwrap();
    let new = take(store, "b", 10).await.unwrap();
    let stale = StoreError::StaleFence {
        lease: "main".to_owned(),
        ours: 1,
        latest: 2,
    };
    let refused = store
        .commit(deliveries(vec![delivery(2, "k2")]), Some(old.fence()))
        .await;
    assert_eq!(refused.unwrap_err(), stale);
    assert_eq!(store.delivery(id(2)).await.unwrap(), None);
    let with = |fence: &Lease| Begin {
        fence: Some(fence.fence()),
        ..begin(10)
    };
    let refused = store.begin_attempts(vec![id(1)], with(&old)).await;
    assert_eq!(refused.unwrap_err(), stale);
    let begun = store
        .begin_attempts(vec![id(1)], with(&new))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(begun.fence, 2);
    let older = DeliveryUpdate {
        fence: 1,
        ..update(&begun, DeliveryState::Done)
    };
    let committed = ok(store, updates(vec![older])).await;
    assert_eq!(committed.stale, [id(1)]);
    let unknown = Fence {
        lease: "nobody's".to_owned(),
        number: 1,
    };
    store.commit(batch(), Some(unknown)).await.unwrap_err();
}

async fn too_large_or_too_deep_is_refused(store: &dyn Store) {
    let large = json!("x".repeat(17 << 20));
    let refused = store
        .commit(records(vec![put(CASE, "a", Expect::Any, large)]), None)
        .await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { .. })),
        "{refused:?}"
    );
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let refused = store
        .commit(records(vec![put(CASE, "a", Expect::Any, deep)]), None)
        .await;
    assert!(
        matches!(refused, Err(StoreError::TooDeep { .. })),
        "{refused:?}"
    );
    let fits = (0..100).fold(json!(1), |inner, _| json!([inner]));
    ok(
        store,
        records(vec![put(CASE, "b", Expect::Any, fits.clone())]),
    )
    .await;
    assert_eq!(store.get(CASE, "b").await.unwrap().unwrap().body, fits);
}

async fn odd_texts_and_times_are_stored(store: &dyn Store) {
    let mut odd = delivery(1, "k\0y'\"; drop table record; --$1 ?1");
    odd.due_at = Timestamp::MAX;
    odd.expires_at = Some(Timestamp::MIN);
    odd.target.push_str("ünï\u{1F4DF}\n");
    ok(store, deliveries(vec![odd.clone()])).await;
    let stored = store.delivery(id(1)).await.unwrap().unwrap().new;
    assert_eq!(stored.key, odd.key.replace('\0', "\u{fffd}"));
    assert_eq!(stored.target, odd.target);
    assert_eq!(stored.due_at.as_nanosecond(), i128::from(i64::MAX));
    let expires_at = stored.expires_at.map(Timestamp::as_nanosecond);
    assert_eq!(expires_at, Some(i128::from(i64::MIN)));
    let mut precise = event("a", "x");
    precise.at = "2026-11-21T22:33:44.123456789Z".parse().unwrap();
    ok(store, events(vec![precise.clone()])).await;
    let found = store.events(EventFilter::default()).await.unwrap();
    assert_eq!(found[0].new, precise);
}

async fn stats_count(store: &dyn Store) {
    let batch = Batch {
        records: vec![
            put(CASE, "a", Expect::Any, json!(1)),
            put(CASE, "b", Expect::Any, json!(1)),
            put(GROUP, "a", Expect::Any, json!(1)),
        ],
        deliveries: vec![delivery(1, "k1"), delivery(2, "k2")],
        updates: vec![],
        events: vec![event("a", "x")],
    };
    ok(store, batch).await;
    store.begin_attempts(vec![id(1)], begin(5)).await.unwrap();
    let stats = store.stats().await.unwrap();
    assert_eq!(
        stats.records.into_iter().collect::<Vec<_>>(),
        pairs(&[("case", 2), ("group", 1)])
    );
    assert_eq!(
        stats.deliveries.into_iter().collect::<Vec<_>>(),
        [(DeliveryState::Pending, 1), (DeliveryState::Sending, 1)]
    );
    assert_eq!((stats.events, stats.batches), (1, 1));
}

async fn health_is_good(store: &dyn Store) {
    store.health().await.unwrap();
}
