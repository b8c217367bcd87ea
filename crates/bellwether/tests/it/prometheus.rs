//! Prometheus' own programs against us, and both answering the same questions on the same data.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::http::{FORM, form, send};
use crate::server::Server;
use crate::support::{BIN, Process, free_port, local, part, run, wait_for, wait_until};
use crate::tiny::Tiny;

/// Values that do not change: two servers that scrape them at different moments have the same data.
const CONSTANT: &str = "\
# HELP shop_orders_total Orders.
# TYPE shop_orders_total counter
shop_orders_total{region=\"eu\",kind=\"new\"} 17
shop_orders_total{region=\"eu\",kind=\"again\"} 4
shop_orders_total{region=\"us\",kind=\"new\"} 1.5e+09
# HELP shop_queue Waiting, by \\\"lane\\\" and\\nso on.
# TYPE shop_queue gauge
shop_queue{lane=\"a\\\"b\\\\c\"} -3.25
shop_queue{lane=\"leer\"} NaN
shop_queue{lane=\"voll\"} +Inf
# HELP shop_seconds Time.
# TYPE shop_seconds histogram
shop_seconds_bucket{le=\"0.1\"} 3
shop_seconds_bucket{le=\"0.5\"} 8
shop_seconds_bucket{le=\"1\"} 9
shop_seconds_bucket{le=\"+Inf\"} 10
shop_seconds_sum 4.25
shop_seconds_count 10
# HELP shop_size Size.
# TYPE shop_size summary
shop_size{quantile=\"0.5\"} 2
shop_size_sum 30
shop_size_count 12
shop_untyped 1
";

/// Debian's node_exporter on a port of its own.
pub(crate) fn node_exporter(port: u16) -> Option<Process> {
    let program = part("prometheus-node-exporter", &BIN)?;
    let mut command = Command::new(program);
    command
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let process = Process::spawn(&mut command);
    wait_until("node_exporter", 20, || {
        send(local(port), "GET", "/metrics", &[], b"").is_ok()
    });
    Some(process)
}

fn scrape_config(jobs: &[(&str, String)]) -> String {
    let mut text =
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nscrape_configs:\n".to_owned();
    for (job, target) in jobs {
        text.push_str(&format!(
            "  - job_name: {job}\n    static_configs:\n      - targets: ['{target}']\n"
        ));
    }
    text
}

pub(crate) struct Prometheus {
    _process: Process,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
}

pub(crate) fn start_prometheus(folder: &Path, config: &str) -> Option<Prometheus> {
    let program = part("prometheus", &BIN)?;
    let (file, log, port) = (
        folder.join("prometheus.yml"),
        folder.join("prometheus.log"),
        free_port(),
    );
    std::fs::write(&file, config).unwrap();
    let output = std::fs::File::create(&log).unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--log.level=debug")
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    let process = Process::spawn(&mut command);
    wait_until("Prometheus to be ready", 60, || {
        send(local(port), "GET", "/-/ready", &[], b"").is_ok_and(|answer| answer.status == 200)
    });
    Some(Prometheus {
        _process: process,
        port,
        log,
    })
}

pub(crate) fn promtool(args: &[&str]) -> Option<crate::support::Ran> {
    Some(run(Command::new(part("promtool", &BIN)?).args(args), 60))
}

#[test]
fn promtool_asks_us() {
    let target = Tiny::text(CONSTANT);
    let folder = tempfile::tempdir().unwrap();
    let config = scrape_config(&[("shop", target.address.to_string())]);
    let server = Server::with_config(folder.path(), &config);
    wait_until("samples", 60, || {
        server.value("up{job=\"shop\"}") == Some(1.0)
    });
    let url = format!("http://{}", server.address);
    let ask = |args: &[&str]| {
        let ran = promtool(args)?;
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.out, ran.err);
        Some(ran.out)
    };
    let Some(instant) = ask(&[
        "query",
        "instant",
        &url,
        "sum by (region) (shop_orders_total)",
    ]) else {
        return;
    };
    assert!(instant.contains("{region=\"eu\"} => 21 @["), "{instant}");
    assert!(
        instant.contains("{region=\"us\"} => 1500000000 @["),
        "{instant}"
    );
    let range = ask(&[
        "query",
        "range",
        "--step=1s",
        &url,
        "shop_queue{lane!=\"leer\"}",
    ])
    .unwrap();
    assert!(
        range.contains("lane=\"a\\\"b\\\\c\"")
            && range.contains("-3.25 @[")
            && range.contains("+Inf @["),
        "{range}"
    );
    let instance = target.address.to_string();
    let series = ask(&["query", "series", "--match=shop_seconds_bucket", &url]).unwrap();
    let expected = format!(
        "{{__name__=\"shop_seconds_bucket\", instance=\"{instance}\", job=\"shop\", le=\"0.5\"}}"
    );
    assert!(series.contains(&expected), "{series}");
    assert_eq!(
        series.lines().filter(|line| !line.is_empty()).count(),
        4,
        "{series}"
    );
    let lanes = ask(&["query", "labels", &url, "lane"]).unwrap();
    assert_eq!(
        lanes.lines().collect::<Vec<_>>(),
        ["a\"b\\c", "leer", "voll"]
    );
    let wrong = promtool(&["query", "instant", &url, "sum("]).unwrap();
    assert_ne!(wrong.code, Some(0));
    assert!(
        wrong.err.contains("bad_data") && wrong.err.contains("parse error"),
        "{}",
        wrong.err
    );
    server.stop();
}

#[test]
fn prometheus_scrapes_us_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let config = scrape_config(&[("bellwether", server.address.to_string())]);
    let Some(prometheus) = start_prometheus(folder.path(), &config) else {
        return;
    };
    let ask = |query: &str| {
        let path = format!("/api/v1/query?{}", form(&[("query", query)]));
        let answer = send(local(prometheus.port), "GET", &path, &[], b"")
            .unwrap()
            .json();
        answer["data"]["result"][0]["value"][1]
            .as_str()
            .and_then(|text| text.parse::<f64>().ok())
    };
    wait_until("some scrapes", 60, || {
        ask("count_over_time(up{job=\"bellwether\"}[1m])") >= Some(5.0)
    });
    assert_eq!(ask("min_over_time(up{job=\"bellwether\"}[1m])"), Some(1.0));
    assert_eq!(ask("bellwether_config_last_reload_successful"), Some(1.0));
    assert!(ask("scrape_samples_scraped{job=\"bellwether\"}") > Some(20.0));
    let log = std::fs::read_to_string(&prometheus.log).unwrap();
    let bad: Vec<&str> = log
        .lines()
        .filter(|line| {
            line.contains("level=warn")
                || line.contains("level=error")
                || line.contains("target=http")
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    // The same text held to the linter of Prometheus' own tool.
    let Some(promtool) = part("promtool", &BIN) else {
        return;
    };
    let file = folder.path().join("metrics.txt");
    std::fs::write(&file, server.get("/metrics").body).unwrap();
    let mut check = Command::new("sh");
    check.arg("-c").arg(format!(
        "'{}' check metrics < '{}'",
        promtool.display(),
        file.display()
    ));
    let ran = run(&mut check, 30);
    assert_eq!(
        ran.code,
        Some(0),
        "promtool check metrics: {}{}",
        ran.out,
        ran.err
    );
    server.stop();
}

/// Lists in order, series by their labels: neither server promises an order of a vector.
fn sorted(mut value: Value) -> Value {
    fn sort(value: &mut Value) {
        if let Value::Array(items) = value
            && items
                .iter()
                .any(|item| item.is_object() || item.is_string())
        {
            items.sort_by_key(ToString::to_string);
        }
        match value {
            Value::Array(items) => items.iter_mut().for_each(sort),
            Value::Object(map) => map.values_mut().for_each(sort),
            _ => {}
        }
    }
    sort(&mut value);
    value
}

struct Both<'a> {
    ours: &'a Server,
    theirs: u16,
}

impl Both<'_> {
    /// The same request to both, by `GET` and by `POST`: status and body.
    fn ask(&self, path: &str, pairs: &[(&str, &str)], post: bool) -> (Value, Value) {
        let text = form(pairs);
        let ask = |to| {
            let answer = if post {
                send(to, "POST", path, &[FORM], text.as_bytes())
            } else {
                send(to, "GET", &format!("{path}?{text}"), &[], b"")
            };
            let answer = answer.unwrap_or_else(|error| panic!("{path}?{text}: {error}"));
            assert!(
                answer
                    .header("content-type")
                    .starts_with("application/json"),
                "{path}: {:?}",
                answer.headers
            );
            json!({"code": answer.status, "body": answer.json()})
        };
        (ask(self.ours.address), ask(local(self.theirs)))
    }

    #[track_caller]
    fn same(&self, path: &str, pairs: &[(&str, &str)], posts: &[bool]) -> Value {
        let mut last = Value::Null;
        for post in posts {
            let (ours, theirs) = self.ask(path, pairs, *post);
            assert_eq!(theirs["code"], 200, "{path} {pairs:?}: {theirs}");
            let (ours, theirs) = (sorted(ours), sorted(theirs));
            assert_eq!(
                ours, theirs,
                "{path} {pairs:?} (POST: {post}): ours left, Prometheus' right"
            );
            last = ours;
        }
        last
    }
}

#[test]
fn grafanas_calls_are_answered_as_prometheus_does() {
    let folder = tempfile::tempdir().unwrap();
    let target = Tiny::text(CONSTANT);
    let node_port = free_port();
    let Some(_node) = node_exporter(node_port) else {
        return;
    };
    let config = scrape_config(&[
        ("shop", target.address.to_string()),
        ("node", local(node_port).to_string()),
    ]);
    let Some(prometheus) = start_prometheus(folder.path(), &config) else {
        return;
    };
    let ours = format!("{config}host: false\nfind_services: false\ndefault_rules: false\n");
    let server = Server::with_config(folder.path(), &ours);
    let both = Both {
        ours: &server,
        theirs: prometheus.port,
    };
    let enough = "min(count_over_time(up{job=~\"shop|node\"}[1m]))";
    wait_until("samples with us", 60, || server.value(enough) >= Some(6.0));
    let now = wait_for("samples with Prometheus", 60, || {
        let (_, theirs) = both.ask("/api/v1/query", &[("query", enough)], false);
        let point = &theirs["body"]["data"]["result"][0]["value"];
        let count: f64 = point[1].as_str()?.parse().ok()?;
        (count >= 6.0).then(|| point[0].as_f64()).flatten()
    });
    let (end, start) = (format!("{now:.3}"), format!("{:.3}", now - 3.0));
    for query in [
        "shop_orders_total",
        "sum by (region) (shop_orders_total)",
        "shop_queue",
        "shop_orders_total / on (region) group_left sum by (region) (shop_orders_total)",
        "histogram_quantile(0.9, shop_seconds_bucket)",
        "topk(1, shop_orders_total)",
        "max_over_time(shop_queue{lane=~\"a.*\"}[3s])",
        "label_replace(shop_untyped, \"where\", \"$1\", \"job\", \"(.*)\")",
        "absent(nothing_here)",
        "scalar(shop_untyped) + 1",
        "up{job=~\"shop|node\"}",
        "count by (job) (scrape_samples_scraped{job=\"shop\"})",
        "count by (mode) (node_cpu_seconds_total)",
        "count(node_filesystem_size_bytes)",
        "node_uname_info",
        "vector(1) or vector(time())",
        "\"text\"",
    ] {
        both.same(
            "/api/v1/query",
            &[("query", query), ("time", &end)],
            &[false, true],
        );
        if query != "\"text\"" {
            let range = [
                ("query", query),
                ("start", start.as_str()),
                ("end", end.as_str()),
                ("step", "1"),
            ];
            let answer = both.same("/api/v1/query_range", &range, &[false, true]);
            assert_eq!(answer["body"]["data"]["resultType"], "matrix");
        }
    }
    for matching in [
        "shop_orders_total",
        "{job=\"shop\"}",
        "{__name__=~\"node_(cpu_seconds_total|uname_info)\"}",
    ] {
        let pairs = [
            ("match[]", matching),
            ("start", start.as_str()),
            ("end", end.as_str()),
        ];
        let series = both.same("/api/v1/series", &pairs, &[false, true]);
        assert!(
            !series["body"]["data"].as_array().unwrap().is_empty(),
            "{matching}"
        );
        both.same("/api/v1/labels", &pairs, &[false, true]);
        both.same("/api/v1/label/__name__/values", &pairs, &[false]);
        both.same("/api/v1/label/job/values", &pairs, &[false]);
    }
    both.same("/api/v1/label/region/values", &[], &[false]);
    both.same("/api/v1/label/nothing/values", &[], &[false]);
    for metric in [
        "shop_orders_total",
        "shop_queue",
        "shop_seconds",
        "shop_size",
        "shop_untyped",
        "node_cpu_seconds_total",
        "nothing",
    ] {
        both.same("/api/v1/metadata", &[("metric", metric)], &[false]);
    }
    both.same(
        "/api/v1/format_query",
        &[("query", "sum(rate(a[5m]))by(b)/2")],
        &[false, true],
    );
    faults(&both);
    shapes(&both);
    server.stop();
}

/// What is refused: the same status and the same kind of error.
fn faults(both: &Both<'_>) {
    for (path, pairs) in [
        ("/api/v1/query", vec![("query", "sum(")]),
        (
            "/api/v1/query",
            vec![("query", "up"), ("time", "yesterday")],
        ),
        (
            "/api/v1/query",
            vec![(
                "query",
                "up + on (job) up + on(nope) group_left up{job=~\"shop|node\"}",
            )],
        ),
        (
            "/api/v1/query_range",
            vec![("query", "up"), ("start", "1"), ("end", "0"), ("step", "1")],
        ),
        (
            "/api/v1/query_range",
            vec![
                ("query", "up"),
                ("start", "0"),
                ("end", "100000"),
                ("step", "1"),
            ],
        ),
        (
            "/api/v1/query_range",
            vec![("query", "up"), ("start", "0"), ("end", "1"), ("step", "0")],
        ),
        (
            "/api/v1/query_range",
            vec![
                ("query", "up[5m]"),
                ("start", "0"),
                ("end", "1"),
                ("step", "1"),
            ],
        ),
        ("/api/v1/series", vec![]),
        ("/api/v1/series", vec![("match[]", "{")]),
        ("/api/v1/series", vec![("match[]", "{}")]),
    ] {
        let (ours, theirs) = both.ask(path, &pairs, false);
        for key in ["code", "/body/status", "/body/errorType"] {
            let of = |value: &Value| {
                if key == "code" {
                    value[key].clone()
                } else {
                    value.pointer(key).cloned().unwrap_or_default()
                }
            };
            assert_eq!(
                of(&ours),
                of(&theirs),
                "{path} {pairs:?}\nours:   {ours}\ntheirs: {theirs}"
            );
        }
        assert!(
            ours["body"]["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{ours}"
        );
    }
}

/// What differs in values must not differ in shape: each key that Prometheus gives is there with us, of its type.
fn shapes(both: &Both<'_>) {
    fn covers(ours: &Value, theirs: &Value, place: &str) {
        match theirs {
            Value::Object(map) => {
                for (key, value) in map {
                    let found = ours
                        .get(key)
                        .unwrap_or_else(|| panic!("{place}/{key} is missing in {ours}"));
                    covers(found, value, &format!("{place}/{key}"));
                }
            }
            Value::Array(items) => {
                assert!(ours.is_array(), "{place} is no list: {ours}");
                if let (Some(theirs), Some(ours)) = (items.first(), ours.get(0)) {
                    covers(ours, theirs, &format!("{place}/0"));
                }
            }
            Value::String(_) => assert!(ours.is_string(), "{place} is no text: {ours}"),
            Value::Number(_) => assert!(ours.is_number(), "{place} is no number: {ours}"),
            Value::Bool(_) => assert!(ours.is_boolean(), "{place} is no boolean: {ours}"),
            Value::Null => {}
        }
    }
    for path in [
        "/api/v1/status/buildinfo",
        "/api/v1/rules",
        "/api/v1/alerts",
    ] {
        let (ours, theirs) = both.ask(path, &[], false);
        covers(&ours, &theirs, path);
    }
    let (ours, theirs) = both.ask("/api/v1/targets", &[("state", "active")], false);
    let shop = |all: &Value| {
        let targets = all["body"]["data"]["activeTargets"]
            .as_array()
            .expect("a list");
        targets
            .iter()
            .find(|target| target["labels"]["job"] == "shop")
            .expect("the job is there")
            .clone()
    };
    covers(&shop(&ours), &shop(&theirs), "target");
    for key in [
        "labels",
        "scrapePool",
        "scrapeUrl",
        "lastError",
        "health",
        "scrapeInterval",
        "scrapeTimeout",
        "discoveredLabels",
    ] {
        assert_eq!(shop(&ours)[key], shop(&theirs)[key], "{key} of a target");
    }
}
