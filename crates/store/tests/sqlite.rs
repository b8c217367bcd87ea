//! What only the file has: its schema, its owner, its copy, and that it is whole after `kill -9`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bellwether_model::DeliveryId;
use bellwether_model::state::{Batch, Kind, NewDelivery, NewEvent, Subject};
use bellwether_store::{DeliveryFilter, EventFilter, SqliteStore, Store as _, StoreError};
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::json;

const WRITER: Kind = Kind("writer");
const PIECE: Kind = Kind("piece");
const WRITERS: u64 = 4;

fn at() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

/// One batch: the writer's counter, a record, a delivery and an event, all of which must be there or none.
fn batch(writer: u64, number: u64) -> Batch {
    let name = format!("{writer}-{number}");
    let mut batch = Batch {
        deliveries: vec![NewDelivery {
            id: DeliveryId::from_raw(writer << 32 | number),
            key: name.clone(),
            subject: Subject::new("writer", writer),
            channel: "webhook".to_owned(),
            target: "ops".to_owned(),
            payload: json!({ "pad": "x".repeat(500) }),
            due_at: at(),
            expires_at: None,
        }],
        events: vec![NewEvent {
            at: at(),
            subject: Subject::new("writer", writer),
            kind: "written".to_owned(),
            actor: "system".to_owned(),
            text: name.clone(),
            data: json!(number),
        }],
        ..Batch::default()
    };
    batch.put(WRITER, writer, &number, None);
    batch.put(PIECE, name, &number, Some(at()));
    batch
}

async fn count_of(store: &SqliteStore, writer: u64) -> u64 {
    let found = store.get(WRITER, &writer.to_string()).await.unwrap();
    found.map_or(0, |record| record.body.as_u64().unwrap())
}

/// Not a test: the process that `acknowledged_batches_survive_kill_9` kills. It is told the file on its input.
#[tokio::test]
#[ignore = "started by another test"]
async fn crash_writer() {
    let mut path = String::new();
    std::io::stdin().read_line(&mut path).unwrap();
    if path.trim().is_empty() {
        return;
    }
    let store = SqliteStore::open(Path::new(path.trim())).unwrap();
    let write = async |writer: u64| {
        let mut number = count_of(&store, writer).await;
        loop {
            number += 1;
            store.commit(batch(writer, number), None).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "ack {writer} {number}").unwrap();
            out.flush().unwrap();
        }
    };
    futures_util::future::join_all((0..WRITERS).map(write)).await;
}

fn start_writer(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash_writer", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", path.display()).unwrap();
    child
}

#[tokio::test]
async fn acknowledged_batches_survive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut acknowledged = [0; WRITERS as usize];
    for round in 0..12 {
        let mut child = start_writer(&path);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Until a random number of answers, then kill; what the pipe still holds was answered too.
        let mut left = u64::from(bellwether_env::random_bytes::<1>()[0]) + 1;
        for line in lines {
            let line = line.unwrap();
            let Some((writer, number)) = line
                .split_once("ack ")
                .and_then(|(_, rest)| rest.split_once(' '))
            else {
                continue;
            };
            // A line that was cut off by the kill was not answered in full.
            let (Ok(writer), Ok(number)) = (writer.parse::<usize>(), number.parse::<u64>()) else {
                continue;
            };
            acknowledged[writer] = acknowledged[writer].max(number);
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert_eq!(left, 0, "the writer ended by itself in round {round}");
        check_whole(&path, &acknowledged).await;
    }
    assert!(
        acknowledged.iter().all(|number| *number > 10),
        "{acknowledged:?}"
    );
}

async fn check_whole(path: &Path, acknowledged: &[u64]) {
    let store = SqliteStore::open(path).unwrap();
    let mut total = 0;
    let pieces = store.load(PIECE).await.unwrap();
    let deliveries = store.deliveries(DeliveryFilter::default()).await.unwrap();
    let events = store.events(EventFilter::default()).await.unwrap();
    for (writer, acknowledged) in (0..WRITERS).zip(acknowledged) {
        let count = count_of(&store, writer).await;
        assert!(
            (*acknowledged..=acknowledged + 1).contains(&count),
            "writer {writer}: {acknowledged} answered, {count} stored"
        );
        total += count;
        let names: Vec<String> = (1..=count).map(|n| format!("{writer}-{n}")).collect();
        let of_events: Vec<&str> = events
            .iter()
            .filter(|event| event.new.subject.id == writer.to_string())
            .map(|event| event.new.text.as_str())
            .collect();
        assert_eq!(of_events, names);
        for name in &names {
            assert!(pieces.iter().any(|record| record.id == *name), "{name}");
            assert!(deliveries.iter().any(|d| d.new.key == *name), "{name}");
        }
    }
    assert_eq!(pieces.len() as u64, total);
    assert_eq!(deliveries.len() as u64, total);
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=total).collect::<Vec<u64>>());
}

#[tokio::test]
async fn state_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/state.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(1, 1), None).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(count_of(&store, 1).await, 1);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.engine, stats.schema_version), ("sqlite", 2));
    assert!(stats.bytes > 4096);
}

#[tokio::test]
async fn a_backup_is_a_whole_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
    store.commit(batch(1, 1), None).await.unwrap();
    let copy = folder.path().join("copy's.db");
    store.backup(&copy).await.unwrap();
    store.commit(batch(1, 2), None).await.unwrap();
    let again = store.backup(&copy).await.unwrap_err();
    assert!(matches!(again, StoreError::Backup { .. }), "{again}");
    let copy = SqliteStore::open(&copy).unwrap();
    assert_eq!(count_of(&copy, 1).await, 1);
    assert_eq!(copy.commit(batch(1, 2), None).await.unwrap().events, [2]);
}

#[test]
fn a_newer_schema_and_another_program_s_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(SqliteStore::open(&path).unwrap());
    let conn = Connection::open(&path).unwrap();
    conn.execute("insert into schema_version values (7)", [])
        .unwrap();
    drop(conn);
    let refused = SqliteStore::open(&path).unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::NewerSchema {
                found: 7,
                known: 2,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.to_string().contains("newer version"), "{refused}");

    let other = folder.path().join("other.db");
    let conn = Connection::open(&other).unwrap();
    conn.execute_batch("create table theirs (x)").unwrap();
    drop(conn);
    let refused = SqliteStore::open(&other).unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
    let garbage = folder.path().join("garbage.db");
    std::fs::write(
        &garbage,
        "not a database, but long enough to look at".repeat(200),
    )
    .unwrap();
    let refused = SqliteStore::open(&garbage).unwrap_err();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused}");
}

#[tokio::test]
async fn events_cannot_be_changed_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(1, 1), None).await.unwrap();
    let conn = Connection::open(&path).unwrap();
    for sql in ["update event set text = 'x'", "delete from event"] {
        let refused = conn.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
}

#[tokio::test]
async fn waiting_batches_share_a_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
    let commits = (1..=200).map(|number| store.commit(batch(1, number), None));
    for committed in futures_util::future::join_all(commits).await {
        committed.unwrap();
    }
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.batches, 200);
    assert!(stats.transactions < 100, "{}", stats.transactions);
}

#[tokio::test]
async fn a_full_disk_fails_the_batch_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(1, 1), None).await.unwrap();
    drop(store);
    let store = SqliteStore::open_limited(&path, 64).unwrap();
    let mut number = 1;
    let refused = loop {
        number += 1;
        if let Err(refused) = store.commit(batch(1, number), None).await {
            break refused;
        }
    };
    assert!(refused.is_retryable(), "{refused}");
    assert!(number > 10, "the limit leaves room for some: {number}");
    assert_eq!(count_of(&store, 1).await, number - 1);
    drop(store);
    // Space again.
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(1, number), None).await.unwrap();
    assert_eq!(count_of(&store, 1).await, number);
}
