use std::io::Write as _;
use std::path::Path;

use bellwether_env::SystemClock;
use bellwether_model::Problems;
use bellwether_model::series::is_stale;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::config::{ScrapeGlobals, read_scrape_configs};
use crate::target::{Health, TargetStatus};
use crate::testing::{MemorySink, serve, serve_text, until};

const PLAIN: &str = "Content-Type: text/plain\r\n";

fn manager() -> (Arc<MemorySink>, ScrapeManager) {
    let sink = Arc::new(MemorySink::default());
    let shared: Arc<dyn SampleSink> = sink.clone();
    (
        sink,
        ScrapeManager::new(shared, Arc::new(SystemClock::new())),
    )
}

fn configs(text: &str) -> Vec<ScrapeConfig> {
    let mut problems = Problems::default();
    let node = bellwether_yaml::parse("f", text, &mut problems).unwrap();
    let configs = read_scrape_configs(
        &node,
        &ScrapeGlobals::default(),
        Path::new("/"),
        &mut problems,
    );
    assert!(!problems.has_errors(), "{problems}");
    configs
}

fn jobs(text: &str) -> Jobs {
    Jobs {
        scrapes: configs(text),
        ..Jobs::default()
    }
}

/// Scrapes one target until its first result.
async fn first_result(address: &str, more: &str) -> (Arc<MemorySink>, TargetStatus) {
    let (sink, manager) = manager();
    manager.apply(jobs(&format!(
        "[{{job_name: t, scrape_interval: 900ms, scrape_timeout: 800ms, static_configs: [{{targets: ['{address}']}}]{more}}}]"
    )));
    until("the first scrape", || {
        manager
            .targets()
            .active
            .iter()
            .any(|target| target.health != Health::Unknown)
    })
    .await;
    let status = manager.targets().active.remove(0);
    manager.shutdown().await;
    (sink, status)
}

#[tokio::test]
async fn a_good_target_is_up_with_its_series() {
    let address = serve_text(PLAIN, "# TYPE a gauge\na{x=\"1\"} 5\n").await;
    let (sink, status) = first_result(&address, "").await;
    assert_eq!(
        (
            status.health,
            status.samples_scraped,
            status.last_error.as_str()
        ),
        (Health::Up, 1, "")
    );
    assert_eq!(status.scrape_url, format!("http://{address}/metrics"));
    assert_eq!(sink.last("a{"), Some(5.0));
    assert_eq!(
        sink.last(&format!("up{{instance=\"{address}\", job=\"t\"}}")),
        Some(1.0)
    );
}

/// Each bad target is down with a reason that says what to do, and stores nothing but its state.
#[tokio::test]
async fn bad_targets_are_down_and_say_why() {
    let garbage = serve_text(PLAIN, b"\x00\xff\xfe{{{ no metrics \x80".to_vec()).await;
    let html = serve_text("Content-Type: text/html\r\n", "<html></html>").await;
    let missing = serve(|_, mut stream| async move {
        drop(
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                .await,
        );
    })
    .await;
    let slow_head = serve(|_, stream| async move {
        tokio::time::sleep(Duration::from_mins(1)).await;
        drop(stream);
    })
    .await;
    let cut = serve(|_, mut stream| async move {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\na 1\n").await);
    })
    .await;
    let looping = serve(|_, mut stream| async move {
        drop(stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /metrics\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await);
    })
    .await;
    let no_eof = serve_text("Content-Type: application/openmetrics-text\r\n", "a 1\n").await;
    for (address, wanted) in [
        (garbage, "line 1: "),
        (html, "received unsupported Content-Type \"text/html\""),
        (missing, "server returned HTTP status 404 Not Found"),
        (slow_head, "no complete answer within 0.8 s"),
        (cut, "read the body"),
        (looping, "redirect"),
        (no_eof, "does not end with # EOF"),
        ("127.0.0.1:1".to_owned(), "connect"),
    ] {
        let (sink, status) = first_result(&address, "").await;
        assert_eq!(status.health, Health::Down, "{wanted}");
        assert!(
            status.last_error.contains(wanted),
            "{:?} lacks {wanted:?}",
            status.last_error
        );
        assert_eq!(sink.last("up{"), Some(0.0));
        assert_eq!(sink.dump().len(), 5, "{:?}", sink.dump());
    }
}

/// A stream without end costs its limit in memory and its timeout in time, no more.
#[tokio::test]
async fn an_endless_stream_ends_at_the_limit_or_the_timeout() {
    let fast = serve(|_, mut stream| async move {
        drop(
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
                .await,
        );
        while stream
            .write_all(&b"metric_without_end 1\n".repeat(1000))
            .await
            .is_ok()
        {}
    })
    .await;
    let (_, status) = first_result(&fast, ", body_size_limit: 1MB").await;
    assert_eq!(
        status.last_error,
        "body size limit exceeded: more than 1048576 bytes"
    );
    let slow = serve(|_, mut stream| async move {
        drop(
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
                .await,
        );
        while stream.write_all(b"a 1\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let (_, status) = first_result(&slow, "").await;
    assert_eq!(status.last_error, "no complete answer within 0.8 s");
}

/// A million series are refused as a whole: none of them reaches the sink.
#[tokio::test]
async fn a_million_series_are_refused() {
    let mut body = String::new();
    for n in 0..1_000_000 {
        body.push_str(&format!("m{{n=\"{n}\"}} 1\n"));
    }
    let address = serve_text(PLAIN, body).await;
    let (sink, manager) = manager();
    manager.apply(jobs(&format!("[{{job_name: t, scrape_interval: 9s, scrape_timeout: 8s, static_configs: [{{targets: ['{address}']}}]}}]")));
    until("the first scrape", || {
        manager.targets().active[0].health == Health::Down
    })
    .await;
    assert_eq!(
        manager.targets().active[0].last_error,
        "sample limit exceeded: more than 500000 samples"
    );
    assert_eq!(sink.0.lock().unwrap().series.len(), 5);
    manager.shutdown().await;
}

/// A small body that unpacks to a huge one stops at the limit of the unpacked size.
#[tokio::test]
async fn a_gzip_bomb_is_refused_and_gzip_works() {
    let pack = |text: &[u8], times: usize| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..times {
            encoder.write_all(text).unwrap();
        }
        encoder.finish().unwrap()
    };
    let gzip = "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n";
    let (_, status) = first_result(&serve_text(gzip, pack(b"a 1\n", 1)).await, "").await;
    assert_eq!(status.health, Health::Up);
    let bomb = pack(&vec![b'\n'; 1 << 16], 1 << 11);
    assert!(bomb.len() < 1 << 20);
    let (_, status) = first_result(&serve_text(gzip, bomb).await, ", body_size_limit: 4MB").await;
    assert_eq!(
        status.last_error,
        "body size limit exceeded: more than 4194304 bytes"
    );
}

#[tokio::test]
async fn credentials_parameters_and_redirects_arrive() {
    let address = serve(|head, mut stream| async move {
        let ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\n\r\na 1\n";
        let answer = if head.starts_with("GET /first?a=1&b=x+y HTTP/1.1") {
            "HTTP/1.1 301 Moved\r\nLocation: /second\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        } else if head.starts_with("GET /second ") && head.to_lowercase().contains("authorization: basic dtpw") {
            ok.to_owned()
        } else {
            format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n{head}", head.len())
        };
        drop(stream.write_all(answer.as_bytes()).await);
    })
    .await;
    let more = ", metrics_path: /first, params: {b: [x y], a: ['1']}, basic_auth: {username: u, password: p}";
    let (_, status) = first_result(&address, more).await;
    assert_eq!(
        (status.health, status.last_error.as_str()),
        (Health::Up, "")
    );
    let (_, status) = first_result(
        &address,
        ", metrics_path: /first, params: {b: [x y], a: ['1']}, follow_redirects: false",
    )
    .await;
    assert_eq!(
        status.last_error,
        "server returned HTTP status 301 Moved Permanently"
    );
}

#[tokio::test]
async fn a_reload_keeps_what_stays_and_marks_what_goes() {
    let (one, two) = (
        serve_text(PLAIN, "a 1\n").await,
        serve_text(PLAIN, "a 1\n").await,
    );
    let (sink, manager) = manager();
    let job = |targets: &str| {
        jobs(&format!(
            "[{{job_name: t, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{{targets: [{targets}]}}], relabel_configs: [{{source_labels: [__address__], regex: 'gone:1', action: drop}}]}}]"
        ))
    };
    manager.apply(job(&format!("'{one}', '{two}', 'gone:1'")));
    let series = |address: &str| format!("a{{instance=\"{address}\"");
    until("both are scraped", || {
        sink.last(&series(&one)).is_some() && sink.last(&series(&two)).is_some()
    })
    .await;
    let targets = manager.targets();
    assert_eq!((targets.active.len(), targets.dropped.len()), (2, 1));
    assert_eq!(targets.dropped_counts, [("t".to_owned(), 1)]);
    manager.apply(job(&format!("'{one}'")));
    until("the second is stale", || {
        sink.last(&series(&two)).is_some_and(is_stale)
    })
    .await;
    until("its up is stale", || {
        sink.last(&format!("up{{instance=\"{two}\""))
            .is_some_and(is_stale)
    })
    .await;
    assert_eq!(manager.targets().active.len(), 1);
    assert_eq!(sink.last(&series(&one)), Some(1.0));
    manager.shutdown().await;
    assert_eq!(
        sink.last(&series(&one)),
        Some(1.0),
        "a stop leaves the series as they are"
    );
}

#[tokio::test]
async fn files_and_addresses_give_targets() {
    let target = serve_text(PLAIN, "a 1\n").await;
    let list = serve_text(
        "Content-Type: application/json\r\n",
        format!("[{{\"targets\": [\"{target}\"], \"labels\": {{\"from\": \"http\"}}}}]"),
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.json"),
        format!("[{{\"targets\": [\"{target}\"], \"labels\": {{\"from\": \"file\"}}}}]"),
    )
    .unwrap();
    std::fs::write(folder.path().join("b.yml"), "- targets: [").unwrap();
    let (sink, manager) = manager();
    manager.apply(jobs(&format!(
        "[{{job_name: t, scrape_interval: 200ms, scrape_timeout: 200ms, file_sd_configs: [{{files: ['{0}/*.json', '{0}/*.yml']}}], http_sd_configs: [{{url: 'http://{list}/'}}]}}]",
        folder.path().display()
    )));
    until("both are scraped", || {
        sink.last("a{from=\"file\"").is_some() && sink.last("a{from=\"http\"").is_some()
    })
    .await;
    let targets = manager.targets();
    assert!(
        targets
            .discovery_errors
            .iter()
            .any(|(_, error)| error.contains("b.yml")),
        "{:?}",
        targets.discovery_errors
    );
    assert!(
        targets.active[0]
            .discovered_labels
            .get("__meta_filepath")
            .ends_with("a.json")
    );
    manager.shutdown().await;
}
