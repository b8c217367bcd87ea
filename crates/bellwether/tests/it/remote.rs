//! Debian's Prometheus beside us: it writes to us, reads from us and scrapes our federation, unmodified.

use bellwether_model::Labels;
use bellwether_model::series::{Exemplar, Value as Sample};
use bellwether_remote::write::{WriteRequest, WriteSeries, encode_v1, encode_v2};
use serde_json::Value;

use crate::http::send;
use crate::prometheus::start_prometheus;
use crate::server::Server;
use crate::support::{local, wait_until};
use crate::tiny::Tiny;

const TEXT: &str = "\
# HELP shop_orders_total Orders.
# TYPE shop_orders_total counter
shop_orders_total{region=\"eu\"} 17
shop_orders_total{region=\"us\"} 4
# TYPE shop_seconds histogram
shop_seconds_bucket{le=\"0.5\"} 8
shop_seconds_bucket{le=\"+Inf\"} 10
shop_seconds_sum 4.25
shop_seconds_count 10
";

fn ask(port: u16, query: &str) -> Value {
    let path = format!("/api/v1/query?{}", crate::http::form(&[("query", query)]));
    let answer = send(local(port), "GET", &path, &[], b"").unwrap();
    answer.json()["data"]["result"].clone()
}

#[test]
fn prometheus_writes_to_us_reads_from_us_and_scrapes_our_federation() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(
        data.path().join("bellwether.yml"),
        "host: false\nfind_services: false\ndefault_rules: false\n",
    )
    .unwrap();
    let server = Server::start_with(data.path(), &["--accept-remote-write"]);
    let target = Tiny::text(TEXT);
    let us = server.address;
    let config = format!(
        "global:
  scrape_interval: 1s
  external_labels: {{replica: a}}
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ['{}']}}]
  - job_name: federate
    honor_labels: true
    metrics_path: /federate
    params: {{'match[]': ['{{job=\"bellwether\",replica=\"\"}}']}}
    static_configs: [{{targets: ['{us}']}}]
remote_write:
  - url: http://{us}/api/v1/write
    queue_config: {{batch_send_deadline: 200ms}}
    # What came from us need not come back.
    write_relabel_configs: [{{source_labels: [job], regex: bellwether, action: drop}}]
    metadata_config: {{send_interval: 1s}}
remote_read:
  - url: http://{us}/api/v1/read
    read_recent: true
",
        target.address
    );
    let Some(prometheus) = start_prometheus(folder.path(), &config) else {
        return;
    };
    wait_until("Prometheus' samples with us", 60, || {
        server.value("count_over_time(shop_orders_total{region=\"eu\",replica=\"a\"}[1m])")
            >= Some(3.0)
    });
    assert_eq!(server.value("sum(shop_orders_total)"), Some(21.0));
    assert_eq!(
        server.value("histogram_quantile(0.5, shop_seconds_bucket)"),
        Some(0.3125)
    );
    wait_until("what it said about the metrics", 60, || {
        let about = server
            .get("/api/v1/metadata?metric=shop_orders_total")
            .json();
        about["data"]["shop_orders_total"][0]["type"] == "counter"
    });
    // What only we have, asked of it.
    let own = "bellwether_build_info";
    wait_until("our own samples", 60, || server.value(own).is_some());
    wait_until("our samples through its remote read", 60, || {
        ask(prometheus.port, &format!("{own}{{job=\"bellwether\"}}"))[0]["value"][1] == "1"
    });
    wait_until("our samples through federation", 60, || {
        let found = ask(prometheus.port, "up{job=\"federate\"}");
        found[0]["value"][1] == "1"
    });
    // A target that goes is stale with us too.
    drop(target);
    wait_until("the stale marks", 60, || {
        server.value("sum(shop_orders_total)").is_none()
    });
    let log = std::fs::read_to_string(&prometheus.log).unwrap();
    let lines = log
        .lines()
        .filter(|line| line.contains("remote") && line.contains("level=error"));
    assert_eq!(lines.collect::<Vec<_>>(), Vec::<&str>::new());
    server.stop();
}

fn request(time: i64, value: f64) -> WriteRequest {
    WriteRequest {
        series: vec![WriteSeries {
            labels: Labels::new([("__name__", "sent_total"), ("job", "sender")]),
            samples: vec![(time, Sample::Float(value))],
            exemplars: vec![Exemplar {
                labels: Labels::new([("trace_id", "abc")]),
                value: 0.5,
                timestamp: time,
            }],
        }],
        ..WriteRequest::default()
    }
}

const SNAPPY: (&str, &str) = ("Content-Encoding", "snappy");
const V1: (&str, &str) = ("Content-Type", "application/x-protobuf");
const V2: (&str, &str) = (
    "Content-Type",
    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
);

#[test]
fn both_versions_are_taken_and_faults_are_named() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(
        data.path().join("bellwether.yml"),
        "host: false\nfind_services: false\ndefault_rules: false\n",
    )
    .unwrap();
    let server = Server::start_with(data.path(), &["--accept-remote-write", "--max-series=2000"]);
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        send(server.address, "POST", "/api/v1/write", headers, body).unwrap()
    };
    let now = 1_800_000_000_000_i64;
    assert_eq!(
        post(&[V1, SNAPPY], &encode_v1(&request(now, 1.0))).status,
        204
    );
    let answer = post(&[V2, SNAPPY], &encode_v2(&request(now + 1_000, 2.0)));
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("x-prometheus-remote-write-samples-written"),
        "1"
    );
    assert_eq!(
        answer.header("x-prometheus-remote-write-exemplars-written"),
        "1"
    );
    // The same again is no fault; another value for the same time, or an older one, is, and sending it again is useless.
    assert_eq!(
        post(&[V2, SNAPPY], &encode_v2(&request(now + 1_000, 2.0))).status,
        204
    );
    let answer = post(&[V1, SNAPPY], &encode_v1(&request(now + 1_000, 3.0)));
    assert_eq!(
        (answer.status, answer.text().contains("duplicate sample")),
        (400, true)
    );
    let answer = post(&[V1, SNAPPY], &encode_v1(&request(now - 1_000, 3.0)));
    assert_eq!(
        (answer.status, answer.text().contains("out of order")),
        (400, true)
    );
    for (headers, body, status) in [
        (vec![V1, SNAPPY], b"nonsense".to_vec(), 400),
        (vec![V1], encode_v1(&request(now, 1.0)), 415),
        (
            vec![("Content-Type", "application/json"), SNAPPY],
            b"{}".to_vec(),
            415,
        ),
        (
            vec![
                ("Content-Type", "application/x-protobuf;proto=other"),
                SNAPPY,
            ],
            Vec::new(),
            415,
        ),
    ] {
        assert_eq!(post(&headers, &body).status, status, "{headers:?}");
    }
    let at = format!("/api/v1/query?query=sent_total&time={}", now / 1000 + 5);
    assert_eq!(server.get(&at).json()["data"]["result"][0]["value"][1], "2");
    let found = server
        .get("/api/v1/query_exemplars?query=rate(sent_total[5m])")
        .json();
    let exemplars = &found["data"][0];
    assert_eq!(exemplars["seriesLabels"]["job"], "sender");
    assert_eq!(exemplars["exemplars"][1]["labels"]["trace_id"], "abc");
    assert_eq!(exemplars["exemplars"][1]["value"], "0.5");
    // The limit of series holds and says who.
    let many = WriteRequest {
        series: (0..3_000)
            .map(|index| WriteSeries {
                labels: Labels::new([("__name__", "many".to_owned()), ("id", index.to_string())]),
                samples: vec![(now, Sample::Float(1.0))],
                exemplars: Vec::new(),
            })
            .collect(),
        ..WriteRequest::default()
    };
    let answer = post(&[V1, SNAPPY], &encode_v1(&many));
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .text()
            .contains("series limit of 2000 reached: refused"),
        "{}",
        answer.text()
    );
    let status = server.get("/api/v1/status/tsdb").json();
    assert_eq!(status["data"]["seriesCountByMetricName"][0]["name"], "many");
    // limit and lookback_delta of queries.
    let answer = server
        .get(&format!(
            "/api/v1/query?query=many&limit=3&time={}",
            now / 1000
        ))
        .json();
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 3);
    assert_eq!(answer["warnings"][0], "results truncated due to limit");
    let answer = server.get(&format!("{at}&lookback_delta=1s")).json();
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 0);
    // A copy while it runs opens as a store.
    let answer = server.request("POST", "/api/v1/admin/tsdb/snapshot", &[], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let name = answer.json()["data"]["name"].as_str().unwrap().to_owned();
    assert!(
        data.path()
            .join("snapshots")
            .join(name)
            .join("blocks")
            .is_dir()
    );
    server.stop();
}

#[test]
fn nobody_writes_unasked() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let body = encode_v1(&request(1, 1.0));
    let answer = send(
        server.address,
        "POST",
        "/api/v1/write",
        &[V1, SNAPPY],
        &body,
    )
    .unwrap();
    assert_eq!(answer.status, 404, "{}", answer.text());
    let foreign = [V1, SNAPPY, ("Host", "evil.example")];
    let answer = send(server.address, "POST", "/api/v1/write", &foreign, &body).unwrap();
    assert_eq!(answer.status, 401);
    let answer = send(
        server.address,
        "POST",
        "/api/v1/admin/tsdb/snapshot",
        &[],
        b"",
    )
    .unwrap();
    assert_eq!(answer.status, 401);
    server.stop();
}
