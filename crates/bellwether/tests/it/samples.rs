//! Other people's data from the command line: a Prometheus' folder, its server, exports and imports.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::prometheus::{promtool, start_prometheus};
use crate::server::Server;
use crate::support::{Ran, bellwether, run, wait_until};
use crate::tiny::Tiny;

/// A block that Debian's Prometheus wrote.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../series/testdata/prometheus/data")
}

#[track_caller]
fn good(args: &[&str]) -> Ran {
    let ran = run(bellwether().args(args), 60);
    assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.out, ran.err);
    ran
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_prometheus_folder_is_asked_exported_and_imported() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = folder();
    let count = "sum(count_over_time({__name__=~\".+\"}[1d]))";
    let offline = good(&["query", count, "--blocks", text(&blocks), "--json"]);
    let answer: Value = serde_json::from_str(&offline.out).unwrap();
    let samples: u64 = answer["data"]["result"][0]["value"][1]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(samples > 500, "{answer}");
    let plan = good(&["promql", "explain", count, "--blocks", text(&blocks)]);
    assert!(
        plan.out.contains("samples decoded, 1 series given")
            || plan.out.contains("samples decoded"),
        "{}",
        plan.out
    );
    assert!(
        plan.out.lines().last().unwrap().contains("series read, "),
        "{}",
        plan.out
    );
    // OpenMetrics into a folder of ours, asked without a server.
    let om = dir.path().join("export.om");
    good(&["series", "export", "--blocks", text(&blocks), text(&om)]);
    let data = dir.path().join("data");
    good(&["series", "import", "--data", text(&data), text(&om)]);
    let time = answer["data"]["result"][0]["value"][0].to_string();
    let ours = good(&[
        "query",
        count,
        "--data",
        text(&data),
        "--time",
        &time,
        "--json",
    ]);
    let stale = 67;
    let again: Value = serde_json::from_str(&ours.out).unwrap();
    let there: u64 = again["data"]["result"][0]["value"][1]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        there <= samples && there + stale >= samples,
        "{there} of {samples}"
    );
    let checked = good(&["series", "check", text(&data)]);
    assert!(
        checked.out.trim_end().ends_with(" 0 damaged"),
        "{}",
        checked.out
    );
    good(&["series", "top", "--data", text(&data), "--json"]);
    // Blocks that promtool opens.
    let exported = dir.path().join("blocks");
    good(&[
        "series",
        "export",
        "--data",
        text(&data),
        "--format",
        "blocks",
        text(&exported),
    ]);
    std::fs::create_dir_all(exported.join("wal")).unwrap();
    if let Some(dump) = promtool(&["tsdb", "dump", text(&exported)]) {
        assert_eq!(dump.code, Some(0), "{}", dump.err);
        assert_eq!(dump.out.lines().count() as u64, there);
    }
    // Wrong input is named.
    let bad = dir.path().join("bad.om");
    std::fs::write(&bad, "# TYPE a gauge\na 1\n# EOF\n").unwrap();
    let ran = run(
        bellwether().args(["series", "import", "--data", text(&data), text(&bad)]),
        60,
    );
    assert!(
        ran.code == Some(1) && ran.err.contains("bad.om:2: the sample has no timestamp"),
        "{}",
        ran.err
    );
    let ran = run(
        bellwether().args(["query", "sum(", "--blocks", text(&blocks)]),
        60,
    );
    assert_eq!(ran.code, Some(64));
}

#[test]
fn another_server_answers_for_everything() {
    let folder = tempfile::tempdir().unwrap();
    let target =
        Tiny::text("# TYPE shop_orders_total counter\nshop_orders_total{region=\"eu\"} 17\n");
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: shop\n    static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let Some(prometheus) = start_prometheus(folder.path(), &config) else {
        return;
    };
    let url = format!("http://127.0.0.1:{}", prometheus.port);
    let query = "count_over_time(shop_orders_total[1m])";
    wait_until("samples", 60, || {
        let ran = run(bellwether().args(["query", query, "--series", &url]), 60);
        ran.out.contains("region=\"eu\"")
    });
    // A server of ours with that history behind it.
    let data = tempfile::tempdir().unwrap();
    std::fs::write(
        data.path().join("bellwether.yml"),
        "host: false\nfind_services: false\ndefault_rules: false\n",
    )
    .unwrap();
    let server = Server::start_with(data.path(), &["--series", &url]);
    wait_until("an answer from both", 60, || {
        server.value("sum(shop_orders_total) + sum(bellwether_build_info)") == Some(18.0)
    });
    let names = server.get("/api/v1/label/region/values").json();
    assert_eq!(names["data"][0], "eu");
    server.stop();
    let ran = run(
        bellwether().args(["query", "up", "--series", "http://127.0.0.1:1"]),
        60,
    );
    assert!(
        ran.code == Some(1) && ran.err.contains("http://127.0.0.1:1: "),
        "{}",
        ran.err
    );
}
