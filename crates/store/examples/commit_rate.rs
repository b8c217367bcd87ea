//! Durable commits per second, by how many wait at once.
//!
//! `cargo run --release -p bellwether-store --example commit_rate -- state.db` (or a `postgres://` address).

#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock, random_token};
use bellwether_model::DeliveryId;
use bellwether_model::state::{Batch, Kind, NewDelivery, NewEvent, Subject};
use bellwether_store::{PostgresStore, SqliteStore, Store};
use jiff::Timestamp;
use serde_json::json;

const FOR: Duration = Duration::from_secs(3);

/// What handling an alert stores: two records, a delivery, two events.
fn batch(run: &str, writer: u64, number: u64, now: Timestamp) -> Batch {
    let name = format!("{run}-{writer}-{number}");
    let event = |kind: &str| NewEvent {
        at: now,
        subject: Subject::new("case", &name),
        kind: kind.to_owned(),
        actor: "system".to_owned(),
        text: "something happened to something".to_owned(),
        data: json!({ "writer": writer }),
    };
    let mut batch = Batch {
        deliveries: vec![NewDelivery {
            id: DeliveryId::new(now, &mut bellwether_env::SystemIds),
            key: name.clone(),
            subject: Subject::new("case", &name),
            channel: "webhook".to_owned(),
            target: "ops".to_owned(),
            payload: json!({ "title": "disk full", "labels": { "instance": "a", "severity": "page" } }),
            due_at: now,
            expires_at: None,
        }],
        events: vec![event("case_opened"), event("page_planned")],
        ..Batch::default()
    };
    batch.put(Kind("case"), &name, &json!({ "state": "open" }), Some(now));
    batch.put(Kind("group"), writer, &json!({ "last": number }), Some(now));
    batch
}

#[tokio::main]
async fn main() {
    let place = std::env::args()
        .nth(1)
        .expect("usage: commit_rate FILE|postgres://...");
    let store: Arc<dyn Store> = if place.starts_with("postgres") {
        Arc::new(PostgresStore::connect(&place).await.expect("it opens"))
    } else {
        Arc::new(SqliteStore::open(Path::new(&place)).expect("it opens"))
    };
    let clock = SystemClock::new();
    for waiting in [1_u64, 16, 64, 512] {
        let run = random_token();
        let before = store.stats().await.expect("it answers");
        let started = clock.monotonic();
        let mut latencies: Vec<Duration> = Vec::new();
        let writers: Vec<_> = (0..waiting)
            .map(|writer| {
                let (store, run) = (Arc::clone(&store), run.clone());
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    let mut number = 0;
                    while clock.monotonic() < started + FOR {
                        number += 1;
                        let begun = clock.monotonic();
                        let batch = batch(&run, writer, number, clock.now());
                        store.commit(batch, None).await.expect("it is stored");
                        latencies.push(clock.monotonic().saturating_sub(begun));
                    }
                    latencies
                })
            })
            .collect();
        for writer in writers {
            latencies.extend(writer.await.expect("it does not panic"));
        }
        let took = clock.monotonic().saturating_sub(started).as_secs_f64();
        latencies.sort();
        let after = store.stats().await.expect("it answers");
        let at = |quantile: f64| latencies[((latencies.len() - 1) as f64 * quantile) as usize];
        println!(
            "{waiting:4} waiting: {:8.0} commits/s in {:6.0} transactions/s, p50 {:6.2} ms, p99 {:7.2} ms",
            latencies.len() as f64 / took,
            (after.transactions - before.transactions) as f64 / took,
            at(0.5).as_secs_f64() * 1e3,
            at(0.99).as_secs_f64() * 1e3,
        );
    }
}
