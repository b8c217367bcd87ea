//! The demo's web service: a balancer before three replicas, real HTTP on loopback, under steady load.
//!
//! Data flow: load generator -> balancer (`/`) -> replica -> answer; the balancer times each request and exposes
//! `/metrics`. A replica can be told to be slow, to fail or to leak (`POST /admin/fault?replica=2&kind=slow`), and the
//! balancer to stop using one (`POST /admin/drain?replica=2`).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bellwether_env::{Clock, SystemClock};
use parking::Fault;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Replicas behind the balancer.
pub const REPLICAS: usize = 3;
/// Requests per second that the load generator sends.
const RATE: u64 = 40;
/// Upper bounds of the latency histogram, in seconds.
const BOUNDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// A running service; dropping it stops all of it.
pub struct Service {
    /// Where the balancer listens.
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Balancer {
    replicas: Vec<Replica>,
    next: AtomicUsize,
    client: reqwest::Client,
    clock: SystemClock,
    in_flight: AtomicU64,
}

struct Replica {
    address: SocketAddr,
    drained: AtomicBool,
    fault: Arc<Fault>,
    ok: AtomicU64,
    failed: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

mod parking {
    //! The fault of one replica, and what it holds.

    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// Kinds of fault, as `/admin/fault?kind=` takes them.
    pub(super) const KINDS: [&str; 4] = ["none", "slow", "failing", "leaking"];

    #[derive(Default)]
    pub(super) struct Fault {
        kind: AtomicU8,
        leaked: Mutex<Vec<Vec<u8>>>,
    }

    impl Fault {
        pub(super) fn kind(&self) -> &'static str {
            KINDS[usize::from(self.kind.load(Ordering::Relaxed)) % KINDS.len()]
        }

        pub(super) fn set(&self, kind: &str) -> bool {
            let index = KINDS.iter().position(|known| *known == kind);
            if let Some(index) = index {
                self.kind.store(index as u8, Ordering::Relaxed);
                if let Ok(mut leaked) = self.leaked.lock() {
                    leaked.clear();
                }
            }
            index.is_some()
        }

        /// Keeps 64 KiB for ever, up to 256 MiB.
        pub(super) fn leak(&self) {
            if let Ok(mut leaked) = self.leaked.lock()
                && leaked.len() < 4096
            {
                leaked.push(vec![1; 64 << 10]);
            }
        }

        pub(super) fn leaked_bytes(&self) -> usize {
            self.leaked.lock().map_or(0, |leaked| leaked.len() << 16)
        }
    }
}

/// Starts replicas, balancer and load on ports that the system picks.
pub async fn start() -> std::io::Result<Service> {
    let mut tasks = JoinSet::new();
    let mut replicas = Vec::new();
    for number in 1..=REPLICAS {
        let fault = Arc::new(Fault::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/", get(answer)).with_state((
            number as u64,
            Arc::clone(&fault),
            Arc::new(AtomicU64::new(0)),
        ));
        tasks.spawn(async move { drop(axum::serve(listener, router).await) });
        replicas.push(Replica {
            address,
            drained: AtomicBool::new(false),
            fault,
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            buckets: Default::default(),
            sum_us: AtomicU64::new(0),
        });
    }
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .no_proxy()
        .build()
        .map_err(std::io::Error::other)?;
    let balancer = Arc::new(Balancer {
        replicas,
        next: AtomicUsize::new(0),
        client: client.clone(),
        clock: SystemClock::new(),
        in_flight: AtomicU64::new(0),
    });
    let router = Router::new()
        .route("/", get(forward))
        .route("/metrics", get(metrics))
        .route("/admin/status", get(status))
        .route("/admin/drain", post(drain))
        .route("/admin/undrain", post(undrain))
        .route("/admin/fault", post(set_fault))
        .with_state(balancer);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tasks.spawn(async move { drop(axum::serve(listener, router).await) });
    tasks.spawn(load(client, address));
    Ok(Service {
        address,
        _tasks: tasks,
    })
}

/// Open-model load: a request at each tick, whether or not the ones before have been answered.
async fn load(client: reqwest::Client, address: SocketAddr) {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut in_flight = JoinSet::new();
    loop {
        ticks.tick().await;
        while in_flight.try_join_next().is_some() {}
        if in_flight.len() < 1_000 {
            let request = client.get(format!("http://{address}/")).send();
            drop(in_flight.spawn(async move {
                if let Ok(response) = request.await {
                    drop(response.bytes().await);
                }
            }));
        }
    }
}

type ReplicaState = (u64, Arc<Fault>, Arc<AtomicU64>);

/// A replica's work: a few milliseconds, and its fault.
async fn answer(State((number, fault, served)): State<ReplicaState>) -> impl IntoResponse {
    let nth = served.fetch_add(1, Ordering::Relaxed);
    // Spread by a fixed pattern: no randomness is needed to look like work.
    let base_ms = 3 + (nth * 7 + number * 3) % 9;
    let (extra_ms, code) = match fault.kind() {
        "slow" => (350 + (nth * 37) % 400, StatusCode::OK),
        "failing" if nth.is_multiple_of(2) => (0, StatusCode::INTERNAL_SERVER_ERROR),
        "leaking" => {
            fault.leak();
            // What it holds makes it slower: 4 ms for each MiB.
            (fault.leaked_bytes() as u64 >> 18, StatusCode::OK)
        }
        _ => (0, StatusCode::OK),
    };
    tokio::time::sleep(Duration::from_millis(base_ms + extra_ms)).await;
    (code, format!("replica {number}\n"))
}

async fn forward(State(balancer): State<Arc<Balancer>>) -> impl IntoResponse {
    let Some(replica) = balancer.pick() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "no replica in service\n".to_owned(),
        );
    };
    balancer.in_flight.fetch_add(1, Ordering::Relaxed);
    let begun = balancer.clock.monotonic();
    let result = balancer
        .client
        .get(format!("http://{}/", replica.address))
        .send()
        .await;
    let (code, body) = match result {
        Ok(response) => (response.status(), response.text().await.unwrap_or_default()),
        Err(_) => (
            StatusCode::BAD_GATEWAY,
            "replica did not answer\n".to_owned(),
        ),
    };
    balancer.in_flight.fetch_sub(1, Ordering::Relaxed);
    replica.observe(balancer.clock.monotonic().saturating_sub(begun), code);
    (code, body)
}

#[derive(serde::Deserialize)]
struct Admin {
    replica: usize,
    #[serde(default)]
    kind: String,
}

async fn drain(state: State<Arc<Balancer>>, query: Query<Admin>) -> impl IntoResponse {
    state.admin(&query, |replica| {
        replica.drained.store(true, Ordering::Relaxed);
        true
    })
}

async fn undrain(state: State<Arc<Balancer>>, query: Query<Admin>) -> impl IntoResponse {
    state.admin(&query, |replica| {
        replica.drained.store(false, Ordering::Relaxed);
        true
    })
}

async fn set_fault(state: State<Arc<Balancer>>, query: Query<Admin>) -> impl IntoResponse {
    state.admin(&query, |replica| replica.fault.set(&query.kind))
}

async fn status(State(balancer): State<Arc<Balancer>>) -> String {
    let mut text = String::new();
    for (index, replica) in balancer.replicas.iter().enumerate() {
        let drained = if replica.drained.load(Ordering::Relaxed) {
            "drained"
        } else {
            "in service"
        };
        let _ = writeln!(
            text,
            "replica {} {} {drained}: {} answered, {} failed",
            index + 1,
            replica.address,
            replica.ok.load(Ordering::Relaxed),
            replica.failed.load(Ordering::Relaxed),
        );
    }
    text
}

async fn metrics(State(balancer): State<Arc<Balancer>>) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        "text/plain; version=0.0.4; charset=utf-8"
            .parse()
            .expect("a valid header"),
    );
    (headers, Body::from(balancer.exposition()))
}

// === impl Balancer ===

impl Balancer {
    fn pick(&self) -> Option<&Replica> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        (0..self.replicas.len())
            .map(|step| &self.replicas[(start + step) % self.replicas.len()])
            .find(|replica| !replica.drained.load(Ordering::Relaxed))
    }

    fn admin(&self, query: &Admin, act: impl FnOnce(&Replica) -> bool) -> (StatusCode, String) {
        let Some(replica) = query
            .replica
            .checked_sub(1)
            .and_then(|index| self.replicas.get(index))
        else {
            return (
                StatusCode::NOT_FOUND,
                format!("there are replicas 1 to {}\n", self.replicas.len()),
            );
        };
        if act(replica) {
            (StatusCode::OK, format!("replica {}: done\n", query.replica))
        } else {
            (
                StatusCode::BAD_REQUEST,
                format!("kind is one of {}\n", parking::KINDS.join(", ")),
            )
        }
    }

    fn exposition(&self) -> String {
        let mut text = String::new();
        let mut out = |line: std::fmt::Arguments<'_>| {
            let _ = text.write_fmt(line);
            text.push('\n');
        };
        out(format_args!(
            "# HELP demo_http_requests_total Requests answered.\n# TYPE demo_http_requests_total counter"
        ));
        for (n, replica) in (1..).zip(&self.replicas) {
            for (code, count) in [("200", &replica.ok), ("500", &replica.failed)] {
                let count = count.load(Ordering::Relaxed);
                out(format_args!(
                    "demo_http_requests_total{{replica=\"{n}\",code=\"{code}\"}} {count}"
                ));
            }
        }
        let name = "demo_http_request_duration_seconds";
        out(format_args!(
            "# HELP {name} Time to answer, seen by the balancer.\n# TYPE {name} histogram"
        ));
        for (n, replica) in (1..).zip(&self.replicas) {
            let mut total = 0;
            for (bound, bucket) in BOUNDS.iter().zip(&replica.buckets) {
                total += bucket.load(Ordering::Relaxed);
                out(format_args!(
                    "{name}_bucket{{replica=\"{n}\",le=\"{bound}\"}} {total}"
                ));
            }
            total += replica.buckets[BOUNDS.len()].load(Ordering::Relaxed);
            out(format_args!(
                "{name}_bucket{{replica=\"{n}\",le=\"+Inf\"}} {total}"
            ));
            let sum = replica.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
            out(format_args!(
                "{name}_sum{{replica=\"{n}\"}} {sum}\n{name}_count{{replica=\"{n}\"}} {total}"
            ));
        }
        out(format_args!(
            "# HELP demo_replica_drained 1 while the balancer leaves a replica out.\n# TYPE demo_replica_drained gauge"
        ));
        for (n, replica) in (1..).zip(&self.replicas) {
            let drained = u8::from(replica.drained.load(Ordering::Relaxed));
            out(format_args!(
                "demo_replica_drained{{replica=\"{n}\"}} {drained}"
            ));
        }
        out(format_args!(
            "# HELP demo_replica_leaked_bytes Memory that a leaking replica holds.\n# TYPE demo_replica_leaked_bytes gauge"
        ));
        for (n, replica) in (1..).zip(&self.replicas) {
            out(format_args!(
                "demo_replica_leaked_bytes{{replica=\"{n}\"}} {}",
                replica.fault.leaked_bytes()
            ));
        }
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        out(format_args!(
            "# HELP demo_http_requests_in_flight Requests not answered yet.\n# TYPE demo_http_requests_in_flight gauge\ndemo_http_requests_in_flight {in_flight}"
        ));
        text
    }
}

// === impl Replica ===

impl Replica {
    fn observe(&self, took: Duration, code: StatusCode) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        let counter = if code.is_success() {
            &self.ok
        } else {
            &self.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
