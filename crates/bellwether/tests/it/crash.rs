//! `kill -9` at random moments of the whole loop: nothing is lost, nothing is said twice beyond the attempt in flight.
//!
//! After each kill the state database is read before the server starts again: what it says is what the server must
//! say then. A webhook counts what really arrives.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_model::state::{Delivery, DeliveryState, Event};
use bellwether_store::{DeliveryFilter, EventFilter, SqliteStore, Store};
use serde_json::Value;

use crate::server::{Server, Web};
use crate::support::{pause, wait_for, wait_until};
use crate::tiny::{Tiny, reply};

/// What the store holds while no server runs.
struct Stored {
    /// Whether each case is resolved.
    cases: BTreeMap<String, bool>,
    deliveries: Vec<Delivery>,
    events: Vec<Event>,
}

fn stored(data: &Path) -> Stored {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&data.join("state.sqlite"))
            .expect("the database is sound after a crash");
        let kind = bellwether_flow::kinds()
            .into_iter()
            .find(|kind| kind.0 == "case")
            .expect("cases are records");
        let cases = store.load(kind).await.unwrap();
        let cases = cases
            .into_iter()
            .map(|case| (case.id, case.body["status"] == "resolved"))
            .collect();
        let deliveries = store.deliveries(DeliveryFilter::default()).await.unwrap();
        let events = store.events(EventFilter::default()).await.unwrap();
        Stored {
            cases,
            deliveries,
            events,
        }
    })
}

/// Numbers without a pattern; the same in each run, while what the server does at these moments is not.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

type Arrivals = Arc<Mutex<BTreeMap<String, u32>>>;

/// Counts notifications by their idempotency key.
fn receiver() -> (Tiny, Arrivals) {
    let arrivals = Arrivals::default();
    let counted = Arc::clone(&arrivals);
    let tiny = Tiny::start(0, move |request, stream| {
        *counted
            .lock()
            .unwrap()
            .entry(request.header("idempotency-key").to_owned())
            .or_default() += 1;
        reply(stream, 200, "")
    });
    (tiny, arrivals)
}

/// Samples of one query, by series: `time -> value`.
type Samples = BTreeMap<String, BTreeMap<u64, String>>;

fn samples(server: &Server) -> Samples {
    let answer = server.prometheus("/query", &[("query", "demo_http_requests_total[20m]")]);
    let mut all = Samples::new();
    for series in answer.json()["data"]["result"]
        .as_array()
        .expect("a matrix")
    {
        let values = series["values"].as_array().expect("floats");
        let points: BTreeMap<u64, String> = values
            .iter()
            .map(|point| {
                (
                    (point[0].as_f64().unwrap() * 1e3).round() as u64,
                    point[1].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(
            points.len(),
            values.len(),
            "a time is there twice: {series}"
        );
        let counted: Vec<f64> = points
            .values()
            .map(|value| value.parse().unwrap())
            .collect();
        assert!(
            counted.is_sorted(),
            "a counter that only grows went back: {series}"
        );
        all.insert(series["metric"].to_string(), points);
    }
    all
}

/// What was there before a kill is there after it, up to what had not been handed to the system yet.
fn compare_samples(before: &Samples, after: &Samples) {
    const UNSYNCED_MS: u64 = 1_500;
    let newest = before
        .values()
        .filter_map(|points| points.keys().last())
        .max()
        .copied()
        .unwrap_or_default();
    for (series, points) in before {
        let kept = after
            .get(series)
            .unwrap_or_else(|| panic!("{series} is gone"));
        for (time, value) in points {
            match kept.get(time) {
                Some(found) => assert_eq!(found, value, "{series} at {time} is torn"),
                None => assert!(
                    time + UNSYNCED_MS > newest,
                    "{series} at {time} is lost; newest was {newest}"
                ),
            }
        }
    }
}

fn crash(rounds: u32) {
    let web = Web::start();
    let (webhook, arrivals) = receiver();
    let folder = tempfile::tempdir().unwrap();
    let people = "      - policy: default\n";
    let hook = format!(
        "{people}    webhook_configs:\n      - url: http://{}/\n",
        webhook.address
    );
    let config = bellwether::demo::config(web.address, true);
    assert!(config.contains(people));
    let config = config.replace(people, &hook);
    let mut random = Random(7);
    let mut repeats: BTreeMap<String, u32> = BTreeMap::new();
    let mut server = Server::with_config(folder.path(), &config);
    web.post("/admin/fault?replica=2&kind=slow");
    for round in 1..=rounds {
        // After a resolved case the next one begins.
        let cases = server.cases("web");
        if !cases.is_empty() && cases.iter().all(|case| case["status"] == "resolved") {
            web.post("/admin/undrain?replica=2");
        }
        pause(Duration::from_millis(200 + random.below(6_000)));
        let before = samples(&server);
        server.kill();
        let left = stored(folder.path());
        for delivery in left
            .deliveries
            .iter()
            .filter(|delivery| delivery.state == DeliveryState::Sending)
        {
            *repeats.entry(delivery.new.key.clone()).or_default() += 1;
        }
        server = Server::start(folder.path());
        let after = samples(&server);
        compare_samples(&before, &after);
        let now: BTreeMap<String, bool> = server
            .api("/cases")
            .as_array()
            .unwrap()
            .iter()
            .map(|case| {
                (
                    case["id"].as_str().unwrap().to_owned(),
                    case["status"] == "resolved",
                )
            })
            .collect();
        for (case, resolved) in &left.cases {
            let found = now
                .get(case)
                .unwrap_or_else(|| panic!("round {round}: case {case} is gone"));
            assert!(
                *found || !resolved,
                "round {round}: case {case} was resolved and is open again"
            );
        }
        let open = left.cases.values().filter(|resolved| !**resolved).count();
        println!(
            "round {round}: {} cases, {open} open, {} deliveries, {} events, {} series",
            left.cases.len(),
            left.deliveries.len(),
            left.events.len(),
            before.len(),
        );
    }
    wait_until("a case of the slow replica", 90, || {
        !server.cases("web").is_empty()
    });
    to_the_end(&server, &web);
    wait_until("all deliveries to end", 60, || {
        let status = server.api("/status");
        let left = |state: &str| status["state"]["deliveries"][state].as_u64().unwrap_or(0);
        left("pending") + left("sending") == 0
    });
    assert_eq!(
        server.api("/status")["violations"],
        Value::Array(Vec::new())
    );
    // A last notification may have begun at that very moment: the next start takes it up.
    let end = loop {
        server.stop();
        let end = stored(folder.path());
        let open = |delivery: &&Delivery| {
            matches!(
                delivery.state,
                DeliveryState::Pending | DeliveryState::Sending
            )
        };
        let left: Vec<&Delivery> = end.deliveries.iter().filter(open).collect();
        if left.is_empty() {
            break end;
        }
        for delivery in left
            .iter()
            .filter(|delivery| delivery.state == DeliveryState::Sending)
        {
            *repeats.entry(delivery.new.key.clone()).or_default() += 1;
        }
        server = Server::start(folder.path());
        wait_until("what was left to end", 60, || {
            let status = server.api("/status");
            let left = |state: &str| status["state"]["deliveries"][state].as_u64().unwrap_or(0);
            left("pending") + left("sending") == 0
        });
    };
    check_deliveries(&end, &repeats, &arrivals.lock().unwrap());
}

/// Waits until the loop is done. Where a step's outcome is unknown, a person looks and does it by hand, as the page says.
fn to_the_end(server: &Server, web: &Web) {
    let clock = bellwether_env::SystemClock::new();
    let mut helped = false;
    while server
        .cases("web")
        .iter()
        .any(|case| case["status"] != "resolved")
    {
        let waited = bellwether_env::Clock::monotonic(&clock);
        if waited > Duration::from_secs(30) && !helped {
            helped = true;
            println!("by hand:");
            for case in server.cases("web") {
                server.timeline(&case);
            }
            web.post("/admin/drain?replica=2");
        }
        assert!(waited < Duration::from_secs(120), "the cases do not end");
        pause(Duration::from_millis(500));
    }
}

fn check_deliveries(
    end: &Stored,
    repeats: &BTreeMap<String, u32>,
    arrivals: &BTreeMap<String, u32>,
) {
    let mut keys: Vec<&str> = end
        .deliveries
        .iter()
        .map(|delivery| delivery.new.key.as_str())
        .collect();
    keys.sort_unstable();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count, "two deliveries have the same key");
    for delivery in &end.deliveries {
        let (key, channel) = (&delivery.new.key, delivery.new.channel.as_str());
        let allowed = 1 + repeats.get(key).copied().unwrap_or(0);
        // What was under way when its group changed gives way to the newer notification, which must have arrived.
        let replaced = delivery.state == DeliveryState::Cancelled
            && end.deliveries.iter().any(|other| {
                let newer = other.new.id > delivery.new.id && other.new.channel == channel;
                newer && channel == "webhook" && other.state == DeliveryState::Done
            });
        // A desktop is not there, which is known at once.
        if channel != "desktop" && !replaced {
            assert_eq!(
                delivery.state,
                DeliveryState::Done,
                "{channel} {key}: {}",
                delivery.error
            );
        }
        assert!(
            delivery.attempt <= allowed,
            "{channel} {key}: {} attempts, {allowed} allowed",
            delivery.attempt
        );
        if channel == "webhook" {
            let arrived = arrivals.get(key).copied().unwrap_or(0);
            assert!(
                (u32::from(!replaced)..=delivery.attempt).contains(&arrived),
                "{key}: arrived {arrived} times in {} attempts",
                delivery.attempt
            );
        }
    }
    for key in arrivals.keys() {
        assert!(
            keys.contains(&key.as_str()),
            "{key} arrived, but was never recorded"
        );
    }
    let seqs: Vec<u64> = end.events.iter().map(|event| event.seq).collect();
    assert!(
        seqs.iter().copied().eq(1..=seqs.len() as u64),
        "the log has gaps: {seqs:?}"
    );
    for case in end.cases.keys() {
        let of_case = |kind: &str| {
            let here = |event: &&Event| event.new.kind == kind && event.new.subject.id == *case;
            end.events.iter().filter(here).count()
        };
        assert_eq!(of_case("case_opened"), 1, "case {case}");
        let diagnoses = end.events.iter().filter(|event| {
            let of_diagnosis = event.new.data["part"] == "diagnosis";
            event.new.kind == "run_started" && of_diagnosis && event.new.subject.id == *case
        });
        assert!(diagnoses.count() <= 1, "the diagnosis of {case} ran twice");
        assert!(of_case("page_sent") >= 1, "nobody was paged for {case}");
    }
    let sent: u32 = arrivals.values().sum();
    println!(
        "{} deliveries, {sent} arrivals at the webhook, {} repeats",
        count,
        sent as usize - arrivals.len()
    );
}

#[test]
fn kill_at_random_moments_loses_nothing() {
    crash(8);
}

/// The long variant: `cargo test -p bellwether --test it -- --ignored fifty`.
#[test]
#[ignore = "takes several minutes"]
fn kill_at_fifty_random_moments_loses_nothing() {
    crash(50);
}

#[test]
fn a_kill_within_the_first_moments_of_a_start_is_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    for pause_ms in [5, 20, 60, 150, 300] {
        let process =
            crate::support::Process::spawn(&mut crate::server::command(folder.path(), &[]));
        pause(Duration::from_millis(pause_ms));
        process.kill();
    }
    let server = Server::start(folder.path());
    wait_for("samples", 60, || server.value("count(up)"));
    server.stop();
}
