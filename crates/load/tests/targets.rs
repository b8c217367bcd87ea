//! Targets good and bad: everything that became due is counted, and nothing waits longer than its timeout.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_load::plan::{Model, Plan, Warmup};
use bellwether_load::scenario::{Endpoint, Scenario};
use bellwether_load::{Report, Stop, Target, run};

/// Serves every connection on a thread of its own.
fn serve(each: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    port
}

/// Answers every request with the same bytes until the other side closes.
fn answering(answer: &'static [u8]) -> u16 {
    serve(move |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(count) = stream.read(&mut buffer) {
            let requests = buffer[..count]
                .windows(4)
                .filter(|four| four == b"\r\n\r\n")
                .count();
            if count == 0 || (0..requests).any(|_| stream.write_all(answer).is_err()) {
                return;
            }
        }
    })
}

/// Sends the bytes again and again, with a pause, whatever is asked.
fn trickling(start: &'static [u8], piece: &'static [u8], pause: Option<Duration>) -> u16 {
    serve(move |mut stream| {
        stream
            .set_read_timeout(Some(pause.unwrap_or(Duration::from_micros(1))))
            .unwrap();
        let mut buffer = [0; 4096];
        if stream.write_all(start).is_err() {
            return;
        }
        loop {
            // The pause: nothing more is asked, so this waits as long as its timeout.
            if pause.is_some() {
                drop(stream.read(&mut buffer));
            }
            if stream.write_all(piece).is_err() {
                return;
            }
        }
    })
}

const TIMEOUT: Duration = Duration::from_millis(300);

fn load(port: u16, change: impl FnOnce(&mut Plan)) -> Report {
    let target = Target::resolve(&format!("http://127.0.0.1:{port}/")).unwrap();
    let scenario = Scenario::single("GET /".to_owned(), Endpoint::get("/"));
    let mut plan = Plan::new(&target, scenario, Model::open(200.0, false));
    plan.duration = Duration::from_millis(500);
    plan.timeout = TIMEOUT;
    plan.warmup = Warmup::None;
    change(&mut plan);
    let clock = SystemClock::new();
    let limit = plan.duration + plan.timeout + Duration::from_secs(10);
    let report = run(plan, &Stop::default(), false, |_| {}).unwrap();
    // Ten seconds for a machine that does much else; without a bound it would be for ever.
    assert!(clock.monotonic() < limit);
    assert_eq!(report.requests, report.answered + report.failed);
    assert_eq!(report.generator.due, report.requests);
    report
}

/// All requests failed, in this way alone.
fn all_failed(port: u16, kind: &str) {
    let report = load(port, |_| {});
    assert_eq!(report.requests, 100, "{kind}");
    assert_eq!(report.errors.get(kind), Some(&100), "{:?}", report.errors);
    // A failure counts as the timeout at least: the percentiles do not look better for it.
    assert!(report.latency.p50_ms >= 299.0, "{:?}", report.latency);
    assert_eq!(report.service.count, 0);
}

#[test]
fn a_good_target_is_measured() {
    let port = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let report = load(port, |_| {});
    assert_eq!((report.requests, report.answered), (100, 100));
    assert_eq!(report.statuses.get(&200), Some(&100));
    assert!(report.latency.p50_ms >= report.service.p50_ms);
    assert_eq!(report.model, "open");
}

#[test]
fn the_closed_model_and_a_number_of_requests() {
    let port = answering(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n");
    let report = load(port, |plan| {
        plan.model = Model::Closed;
        plan.requests_max = Some(500);
        plan.connections = 7;
        plan.pool = 7;
        plan.threads = 2;
    });
    assert_eq!((report.requests, report.unexpected), (500, 500));
    assert_eq!(report.generator.connects, 7);
}

#[test]
fn a_target_without_keep_alive_is_connected_to_again() {
    let port = serve(|mut stream| {
        let mut buffer = [0; 4096];
        drop(stream.read(&mut buffer));
        drop(stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello"));
    });
    let report = load(port, |_| {});
    assert_eq!(report.answered, 100, "{:?}", report.errors);
    assert!(report.generator.connects >= 100);
}

#[test]
fn a_body_in_chunks_and_one_that_is_large() {
    let chunked =
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(load(chunked, |_| {}).answered, 100);
    let large: &'static [u8] = Box::leak(
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".as_slice(),
            &vec![b'x'; 1_000_000],
        ]
        .concat()
        .into_boxed_slice(),
    );
    let report = load(answering(large), |plan| {
        plan.model = Model::open(20.0, false);
        plan.timeout = Duration::from_secs(5);
    });
    assert_eq!(report.answered, 10, "{:?}", report.errors);
    assert!(report.bytes_in > 10_000_000);
}

#[test]
fn one_that_closes() {
    all_failed(serve(drop), "closed");
}

#[test]
fn one_that_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    all_failed(port, "connect");
}

#[test]
fn one_that_never_answers() {
    all_failed(
        serve(|mut stream| drop(stream.read_to_end(&mut Vec::new()))),
        "timeout",
    );
}

#[test]
fn one_that_trickles() {
    let slowly = Some(Duration::from_millis(20));
    all_failed(
        trickling(
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
            b"x",
            slowly,
        ),
        "timeout",
    );
}

#[test]
fn one_that_answers_garbage() {
    all_failed(answering(b"\x00\x01\x02 what is this?\r\n"), "malformed");
}

#[test]
fn one_with_a_header_without_end() {
    all_failed(
        trickling(b"HTTP/1.1 200 OK\r\n", &[b'a'; 2048], None),
        "head_too_long",
    );
}

#[test]
fn one_with_a_body_without_end() {
    static PIECE: [u8; 65536] = [b'a'; 65536];
    all_failed(
        trickling(b"HTTP/1.1 200 OK\r\n\r\n", &PIECE, None),
        "timeout",
    );
}
