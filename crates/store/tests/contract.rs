//! One contract, three stores.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    clippy::print_stdout,
    reason = "says what it skips, and which case fails"
)]

#[path = "contract/differential.rs"]
mod differential;
#[path = "contract/postgres.rs"]
mod postgres;
#[path = "contract/suite.rs"]
mod suite;

use bellwether_model::Batch;
use bellwether_model::state::Expect;
use bellwether_store::{
    EventFilter, MemoryStore, PostgresStore, SqliteStore, Store as _, StoreError,
};

#[tokio::test]
async fn memory_keeps_the_contract() {
    for (name, case) in suite::CASES {
        println!("{name}");
        case(&MemoryStore::new()).await;
    }
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    for (name, case) in suite::CASES {
        println!("{name}");
        let folder = tempfile::tempdir().unwrap();
        case(&SqliteStore::open(&folder.path().join("state.db")).unwrap()).await;
    }
}

#[test]
fn sqlite_and_memory_answer_alike() {
    differential::run(64, |_| async {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
        (store, folder)
    });
}

/// One test, because one server serves all of it.
#[test]
fn postgres_keeps_the_contract() {
    let Some(server) = postgres::Server::start() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for (name, case) in suite::CASES {
            println!("{name}");
            let address = server.database(name).await;
            case(&PostgresStore::connect(&address).await.unwrap()).await;
        }
        events_cannot_be_changed(&server).await;
        a_newer_schema_is_refused(&server).await;
        nodes_migrate_one_after_the_other(&server).await;
        two_nodes_lose_nothing(&server).await;
        a_lost_connection_is_made_again(&server).await;
    });
    drop(runtime);
    differential::run(12, async |n| {
        let address = server.database(&format!("differential_{n}")).await;
        (PostgresStore::connect(&address).await.unwrap(), ())
    });
}

async fn events_cannot_be_changed(server: &postgres::Server) {
    let address = server.database("triggers").await;
    let store = PostgresStore::connect(&address).await.unwrap();
    store.commit(one_event(), None).await.unwrap();
    for sql in [
        "update bellwether.event set text = 'x'",
        "delete from bellwether.event",
        "truncate bellwether.event",
    ] {
        let refused = server.execute("triggers", sql).await;
        assert_eq!(refused.unwrap_err(), "the timeline is append-only", "{sql}");
    }
}

async fn a_newer_schema_is_refused(server: &postgres::Server) {
    let address = server.database("newer").await;
    drop(PostgresStore::connect(&address).await.unwrap());
    let newer = "insert into bellwether.schema_version values (99)";
    server.execute("newer", newer).await.unwrap();
    let refused = PostgresStore::connect(&address).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::NewerSchema { found: 99, .. }),
        "{refused}"
    );
}

async fn nodes_migrate_one_after_the_other(server: &postgres::Server) {
    let address = server.database("nodes").await;
    let all = (0..8).map(|_| PostgresStore::connect(&address));
    for store in futures_util::future::join_all(all).await {
        store.unwrap().health().await.unwrap();
    }
}

async fn two_nodes_lose_nothing(server: &postgres::Server) {
    let address = server.database("two").await;
    let nodes = [
        PostgresStore::connect(&address).await.unwrap(),
        PostgresStore::connect(&address).await.unwrap(),
    ];
    // Each increments the same record by compare-and-set, in opposite order with a second one, so that they collide.
    let one = async |node: usize| {
        let store = &nodes[node];
        let ids = if node == 0 { ["a", "b"] } else { ["b", "a"] };
        let mut stored = 0;
        while stored < 20 {
            let mut batch = Batch::default();
            for id in ids {
                let found = store.get(suite::CASE, id).await.unwrap();
                let (expect, count) = found.map_or((Expect::Absent, 0), |record| {
                    (
                        Expect::Version(record.version),
                        record.body.as_u64().unwrap(),
                    )
                });
                batch
                    .records
                    .push(suite::put(suite::CASE, id, expect, (count + 1).into()));
            }
            batch.events.push(suite::event("a", "x"));
            match store.commit(batch, None).await {
                Ok(_) => stored += 1,
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    };
    futures_util::future::join(one(0), one(1)).await;
    for id in ["a", "b"] {
        let record = nodes[0].get(suite::CASE, id).await.unwrap().unwrap();
        assert_eq!((record.version, record.body), (40, 40.into()));
    }
    let events = nodes[1].events(EventFilter::default()).await.unwrap();
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=40).collect::<Vec<u64>>());
}

async fn a_lost_connection_is_made_again(server: &postgres::Server) {
    let address = server.database("lost").await;
    let store = PostgresStore::connect(&address).await.unwrap();
    store.commit(one_event(), None).await.unwrap();
    server
        .admin("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'lost'")
        .await;
    assert_eq!(store.commit(one_event(), None).await.unwrap().events, [2]);
    server
        .admin("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'lost'")
        .await;
    let all = store.events(EventFilter::default()).await.unwrap();
    assert_eq!(all.len(), 2);
    server.stop("immediate");
    let refused = store.commit(one_event(), None).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    server.up();
    assert_eq!(store.commit(one_event(), None).await.unwrap().events, [3]);
}

fn one_event() -> Batch {
    Batch {
        events: vec![suite::event("a", "x")],
        ..Batch::default()
    }
}
