//! The chain over the timeline: whole as written, and the first row that was changed by hand is named.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bellwether_model::Batch;
use bellwether_model::state::{NewEvent, Subject};
use bellwether_store::{ChainCheck, ChainFault, MemoryStore, SqliteStore, Store};
use proptest::prelude::*;

fn event(n: u64) -> NewEvent {
    NewEvent {
        at: jiff::Timestamp::from_second(1_700_000_000 + n as i64).unwrap(),
        subject: Subject::new("run", n % 3),
        kind: "step_finished".to_owned(),
        actor: format!("user:{n}"),
        text: format!("it's “{n}”\n"),
        data: serde_json::json!({"n": n, "b": [1.5, null], "a": "x"}),
    }
}

fn batch(from: u64, count: u64) -> Batch {
    Batch {
        events: (from..from + count).map(event).collect(),
        ..Batch::default()
    }
}

async fn check(store: &dyn Store) -> Result<ChainCheck, ChainFault> {
    let mut check = ChainCheck::default();
    for row in store.chain(0, u32::MAX).await.unwrap() {
        check.push(&row)?;
    }
    Ok(check)
}

#[tokio::test]
async fn stores_agree_on_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(&folder.path().join("state.sqlite")).unwrap();
    let memory = MemoryStore::new();
    for (from, count) in [(0, 1), (1, 5), (6, 2)] {
        sqlite.commit(batch(from, count), None).await.unwrap();
        memory.commit(batch(from, count), None).await.unwrap();
    }
    let (a, b) = (check(&sqlite).await.unwrap(), check(&memory).await.unwrap());
    assert_eq!(a.head(), b.head());
    assert_eq!((a.checked, a.unchained), (8, 0));
}

/// Changes one row of one column past the triggers; the row is named.
fn tamper(change: &str) -> Result<ChainCheck, ChainFault> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.sqlite");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&file).unwrap();
        store.commit(batch(0, 9), None).await.unwrap();
        drop(store);
        let by_hand = rusqlite::Connection::open(&file).unwrap();
        by_hand
            .execute_batch("drop trigger event_no_update; drop trigger event_no_delete;")
            .unwrap();
        by_hand.execute_batch(change).unwrap();
        drop(by_hand);
        check(&SqliteStore::open(&file).unwrap()).await
    })
}

#[test]
fn the_first_bad_row_is_named() {
    let bad = |change: &str| tamper(change).unwrap_err().seq;
    assert_eq!(bad("update event set actor = 'user:eve' where seq = 5"), 5);
    assert_eq!(
        bad("update event set text = text || '.' where seq in (7, 3)"),
        3
    );
    assert_eq!(bad("update event set at = at + 1 where seq = 1"), 1);
    assert_eq!(bad("update event set data = '{}' where seq = 9"), 9);
    assert_eq!(bad("update event set hash = null where seq = 4"), 4);
    assert_eq!(bad("delete from event where seq = 6"), 6);
    assert!(tamper("select 1").is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_row_and_any_text(seq in 1_u64..=9, column in prop::sample::select(vec!["actor", "text", "kind", "subject_id"]), text in "[a-z]{1,9}") {
        let fault = tamper(&format!("update event set {column} = '{text}' where seq = {seq}"));
        prop_assert_eq!(fault.unwrap_err().seq, seq);
    }
}
