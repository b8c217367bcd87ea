//! How fast the pager is by itself: steps, records and the store, without HTTP.
//!
//! `cargo run --profile profiling -p bellwether-sim --example pager_speed -- FOLDER [NAME]`: each line is what was
//! done, how often, and how long it took. `bench/pager` measures the same through HTTP, beside Alertmanager.

#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::path::PathBuf;
use std::sync::Arc;

use bellwether_env::{Clock as _, SystemClock, SystemIds};
use bellwether_flow::{Flow, Input};
use bellwether_model::state::Delivery;
use bellwether_model::{Labels, PostedAlert};
use bellwether_page::PagerEvent;
use bellwether_sim::read_page_config;
use bellwether_store::{Begin, SqliteStore, Store};
use jiff::{SignedDuration, Timestamp};

const HOOK: &str = "\
route: {receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 1m, repeat_interval: 4h}
receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:9/'}]}]
";
const PEOPLE: &str = "\
route: {receiver: people, group_by: [alertname], group_wait: 0s, group_interval: 1m, repeat_interval: 4h}
receivers: [{name: people, page_configs: [{policy: main}]}]
oncall:
  people:
    ana: {email: ana@example.org, ntfy: 'https://ntfy.example.org/ana', rules: {high: [ntfy]}}
    ben: {email: ben@example.org, ntfy: 'https://ntfy.example.org/ben', rules: {high: [ntfy]}}
  policies: {main: {steps: [{notify: ['person:ana'], wait: 5m}, {notify: ['person:ben'], wait: 5m}]}}
";

struct World {
    flow: Flow,
    store: Arc<dyn Store>,
    clock: SystemClock,
    now: Timestamp,
    bytes: usize,
}

impl World {
    fn new(config: &str, store: Arc<dyn Store>) -> Self {
        let clock = SystemClock::new();
        let now = clock.now();
        let config = read_page_config("bench", config).expect("the configuration is good");
        let (flow, _) = Flow::restore(config, bellwether_act::runs::Settings::default(), &[], now);
        Self {
            flow,
            store,
            clock,
            now,
            bytes: 0,
        }
    }

    /// One step and its commit; gives the number of deliveries.
    async fn take(&mut self, input: Input) -> Vec<bellwether_model::DeliveryId> {
        let outcome = self.flow.handle(self.now, input, &mut SystemIds);
        let made = outcome.batch.deliveries.iter().map(|new| new.id).collect();
        if !outcome.batch.is_empty() {
            let records = outcome.batch.records.iter();
            let texts = records.filter_map(|write| write.body.as_ref());
            if std::env::args().nth(3).is_some() {
                self.bytes += texts.map(|body| body.to_string().len()).sum::<usize>();
            }
            self.store
                .commit(outcome.batch, None)
                .await
                .expect("stored");
        }
        made
    }

    fn alert(&self, name: &str, instance: usize, ends_at: Option<Timestamp>) -> PostedAlert {
        PostedAlert {
            labels: Labels::new([
                ("alertname", name),
                ("cluster", "eu-central-1"),
                ("instance", &format!("node-{instance}.example.org:9100")),
                ("job", "node"),
                ("severity", "critical"),
            ]),
            annotations: Labels::new([
                ("summary", "Something is wrong with this machine"),
                (
                    "description",
                    "A longer text that says what is wrong and where to look first.",
                ),
            ]),
            starts_at: Some(self.now),
            ends_at,
            generator_url: "http://prometheus.example.org:9090/graph?g0.expr=up+%3D%3D+0"
                .to_owned(),
        }
    }
}

fn post(alerts: Vec<PostedAlert>) -> Input {
    Input::Page(PagerEvent::Alerts {
        alerts,
        source: "bench".to_owned(),
    })
}

fn say(what: &str, count: usize, seconds: f64) {
    println!(
        "{what}: {count} in {seconds:.3} s, {:.0}/s",
        count as f64 / seconds
    );
}

async fn ingest(world: &mut World, batch: usize, count: usize) {
    let started = world.clock.monotonic();
    let far = Some(world.now + SignedDuration::from_hours(1));
    for from in (0..count).step_by(batch) {
        let alerts = (from..from + batch)
            .map(|n| world.alert(&format!("B{batch}N{}", n / 10), n, far))
            .collect();
        world.take(post(alerts)).await;
    }
    let took = world
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    say(&format!("ingest, batches of {batch}"), count, took);
    let started = world.clock.monotonic();
    for from in (0..count).step_by(batch) {
        let alerts = (from..from + batch)
            .map(|n| world.alert(&format!("B{batch}N{}", n / 10), n, far))
            .collect();
        world.take(post(alerts)).await;
    }
    let took = world
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    say(&format!("the same again, batches of {batch}"), count, took);
}

async fn one_case(world: &mut World, count: usize) {
    let far = Some(world.now + SignedDuration::from_hours(1));
    let started = world.clock.monotonic();
    for n in 0..count {
        let alert = world.alert("One", n, far);
        world.take(post(vec![alert])).await;
    }
    world.now += SignedDuration::from_mins(2);
    world.take(Input::Tick).await;
    let took = world
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    say("alerts of one case, one by one", count, took);
    let started = world.clock.monotonic();
    for n in 0..count {
        let mut alert = world.alert("One", n, Some(world.now));
        alert.starts_at = Some(world.now - SignedDuration::from_mins(1));
        world.take(post(vec![alert])).await;
    }
    let took = world
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    say("ends of one case's alerts, one by one", count, took);
}

async fn storm(world: &mut World, count: usize) {
    let far = Some(world.now + SignedDuration::from_hours(1));
    let started = world.clock.monotonic();
    for from in (0..count).step_by(100) {
        let alerts = (from..from + 100)
            .map(|n| world.alert(&format!("Storm{n}"), n, far))
            .collect();
        world.take(post(alerts)).await;
    }
    world.now += SignedDuration::from_secs(2);
    let made = world.take(Input::Tick).await;
    let took = world
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    say("new groups flushed", made.len(), took);
    begin(world, made).await;
}

async fn begin(world: &mut World, made: Vec<bellwether_model::DeliveryId>) {
    let started = world.clock.monotonic();
    let begin = Begin {
        now: world.now,
        lease_until: world.now + SignedDuration::from_mins(1),
        fence: None,
    };
    let begun: Vec<Delivery> = world
        .store
        .begin_attempts(made, begin)
        .await
        .expect("begun");
    let took = world
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    say("attempts begun", begun.len(), took);
}

async fn escalations(world: &mut World, count: usize) {
    let far = Some(world.now + SignedDuration::from_hours(1));
    let alerts = (0..count)
        .map(|n| world.alert(&format!("Case{n}"), n, far))
        .collect();
    world.take(post(alerts)).await;
    world.take(Input::Tick).await;
    // Nobody answers: the second step of all of them is due at one moment.
    world.now += SignedDuration::from_mins(5);
    let started = world.clock.monotonic();
    let made = world.take(Input::Tick).await;
    let took = world
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    say(
        "escalations due at once, decided and stored",
        made.len(),
        took,
    );
    begin(world, made).await;
    let took = world
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    say("escalations handed over", count, took);
}

#[tokio::main]
async fn main() {
    let folder = PathBuf::from(
        std::env::args()
            .nth(1)
            .expect("usage: pager_speed FOLDER [NAME]"),
    );
    let wanted = std::env::args().nth(2).unwrap_or_default();
    let store = |name: &str| -> Arc<dyn Store> {
        let file = folder.join(format!("{name}.sqlite"));
        drop(std::fs::remove_file(&file));
        Arc::new(SqliteStore::open(&file).expect("it opens"))
    };
    for (name, config) in [
        ("ingest", HOOK),
        ("storm", HOOK),
        ("case", PEOPLE),
        ("escalations", PEOPLE),
    ] {
        if !name.starts_with(wanted.as_str()) {
            continue;
        }
        let mut world = World::new(config, store(name));
        match name {
            "ingest" => {
                ingest(&mut world, 64, 20_032).await;
                ingest(&mut world, 1_000, 20_000).await;
            }
            "storm" => storm(&mut world, 5_000).await,
            "case" => one_case(&mut world, 2_000).await,
            _ => escalations(&mut world, 6_000).await,
        }
        if world.bytes > 0 {
            println!("  {} bytes of records", world.bytes);
        }
    }
}
