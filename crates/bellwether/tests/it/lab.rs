//! The lab's commands against real parts: git, PostgreSQL with pg_stat_statements, and servers that answer as GitLab and
//! GitHub do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::postgres::Postgres;
use crate::support::{Ran, bellwether, free_port, run};

/// How a command ended and what it printed.
struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

fn answer(command: &mut Command) -> Answer {
    let Ran { code, out, err } = run(command, 120);
    Answer {
        code: code.unwrap_or(-1),
        stdout: out,
        stderr: err,
    }
}

fn lab(folder: &Path, arguments: &[&str]) -> Answer {
    answer(bellwether().args(arguments).current_dir(folder))
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments)
        .current_dir(folder);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn commands_and_result_sets_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let slower = lab(
        here,
        &[
            "compare",
            "--read",
            "lines",
            "echo parse 100 ms",
            "echo parse 112 ms",
            "--svg",
            "pictures",
        ],
    );
    assert_eq!(slower.code, 1, "{}{}", slower.stdout, slower.stderr);
    assert!(
        slower.stdout.contains("+12.0 %")
            && slower
                .stdout
                .ends_with("worse: everything was decided after 10 pairs of runs\n"),
        "{}",
        slower.stdout
    );
    assert!(
        fs::read_to_string(here.join("pictures/parse.svg"))
            .unwrap()
            .contains("worse: +12.0 %")
    );

    let few = lab(
        here,
        &[
            "compare",
            "--pairs-min",
            "3",
            "--pairs-max",
            "3",
            "--read",
            "lines",
            "echo 1",
            "echo 1",
        ],
    );
    assert!(
        few.code == 0 && few.stdout.contains("cannot-tell: 3 pairs"),
        "{}",
        few.stdout
    );

    let values = |factor: f64| -> String {
        (0..30)
            .map(|i| format!("{}\n", factor * (100.0 + f64::from(i * 7 % 11) / 10.0)))
            .collect()
    };
    fs::write(here.join("a.txt"), values(1.0)).unwrap();
    fs::write(here.join("b.txt"), values(1.05)).unwrap();
    let same = lab(here, &["compare", "--json", "a.txt", "a.txt"]);
    let answer: Value = serde_json::from_str(&same.stdout).unwrap();
    assert_eq!((same.code, &answer["verdict"]), (0, &json!("same")));
    let worse = lab(here, &["compare", "--markdown", "a.txt", "b.txt"]);
    assert!(
        worse.code == 1 && worse.stdout.starts_with("**✗ worse**"),
        "{}",
        worse.stdout
    );

    assert_eq!(
        lab(here, &["compare", "--read", "tea", "echo 1", "echo 1"]).code,
        64
    );
    fs::write(here.join("bad.txt"), "1\nbanana\n").unwrap();
    let bad = lab(here, &["compare", "a.txt", "bad.txt"]);
    assert!(
        bad.code == 64
            && bad
                .stderr
                .contains("bad.txt: line 2: no number in \"banana\""),
        "{}",
        bad.stderr
    );
    let failing = lab(here, &["compare", "true", "echo broken >&2; false"]);
    assert!(
        failing.code == 1 && failing.stderr.contains("exit code 1: broken"),
        "{}",
        failing.stderr
    );
}

#[test]
fn an_experiment_gives_the_same_numbers_wherever_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let made = lab(
        here,
        &[
            "exp",
            "new",
            "Sleep less",
            "--hypothesis",
            "Half the sleep is faster.",
            "--base",
            "sleep 0.02",
            "--candidate",
            "sleep 0.01",
            "--pairs-max",
            "14",
        ],
    );
    assert_eq!(
        (made.code, made.stdout.as_str()),
        (0, "0001-sleep-less\n"),
        "{}",
        made.stderr
    );
    let ran = lab(here, &["exp", "run", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        lab(here, &["exp", "run", "1"]).code,
        1,
        "a second run is refused"
    );
    assert_eq!(
        lab(here, &["exp", "decide", "1", "adopted", "--why", "It is."]).code,
        0
    );
    let shown = lab(here, &["exp", "show", "1"]);
    assert_eq!(shown.code, 0, "{}{}", shown.stdout, shown.stderr);
    assert!(
        shown.stdout.contains("every number is as it was stored")
            && shown.stdout.contains("**adopted**"),
        "{}",
        shown.stdout
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let dir = here.join(".bellwether/experiments");
    for (zone, locale) in [
        ("Asia/Tokyo", "de_DE.UTF-8"),
        ("America/St_Johns", "C"),
        ("UTC", "tr_TR.UTF-8"),
    ] {
        let mut command = bellwether();
        command
            .args(["exp", "show", "1", "--dir"])
            .arg(&dir)
            .current_dir(elsewhere.path());
        let again = answer(
            command
                .env("TZ", zone)
                .env("LC_ALL", locale)
                .env("LANG", locale),
        );
        assert_eq!(
            (again.code, again.stdout),
            (0, shown.stdout.clone()),
            "{zone} {locale}"
        );
    }
    let listed = lab(here, &["exp", "list", "--json"]);
    let list: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        (&list[0]["state"], &list[0]["decision"]),
        (&json!("decided"), &json!("adopted"))
    );

    let raw = dir.join("0001-sleep-less/raw.json");
    let text = fs::read_to_string(&raw).unwrap();
    fs::remove_file(&raw).unwrap();
    fs::write(
        &raw,
        text.replacen("\"base_values\": [\n", "\"base_values\": [\n9.5,", 1),
    )
    .unwrap();
    let tampered = lab(here, &["exp", "show", "1"]);
    assert!(
        tampered.code == 1 && tampered.stdout.contains("Fault: raw.json was changed"),
        "{}",
        tampered.stdout
    );
    assert_eq!(lab(here, &["exp", "show", "77"]).code, 64);
}

/// A repository of forty commits; the thirtieth makes `parse` a tenth slower.
fn repository(here: &Path) -> Vec<String> {
    git(here, &["init", "--quiet"]);
    fs::write(here.join("gate.yml"), "run: cat value\nfloor: 3%\n").unwrap();
    let mut commits = Vec::new();
    for index in 0..40 {
        let noise = f64::from(index * 37 % 17) / 17.0;
        let level = if index < 30 { 100.0 } else { 110.0 };
        fs::write(
            here.join("value"),
            format!(
                "parse {} ms\nsteady {} ms\n",
                level + noise,
                50.0 + noise / 3.0
            ),
        )
        .unwrap();
        git(here, &["add", "--all"]);
        git(
            here,
            &["commit", "--quiet", "-m", &format!("commit {index}")],
        );
        let recorded = lab(here, &["gate", "record", "--config", "gate.yml"]);
        assert_eq!(recorded.code, 0, "{}", recorded.stderr);
        commits.push(git(here, &["rev-parse", "HEAD"]));
    }
    commits
}

#[test]
fn the_gate_finds_confirms_bisects_and_comments() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let commits = repository(here);
    let server = Recorded::start();
    let address = format!("{}/api/v4", server.address);
    fs::write(here.join("confirm.yml"), "run: cat value\nconfirm: true\n").unwrap();
    let mut command = bellwether();
    command.args([
        "gate",
        "check",
        "--config",
        "confirm.yml",
        "--markdown",
        "out/gate.md",
        "--junit",
        "out/gate.xml",
        "--svg",
        "out",
    ]);
    command.args(["--gitlab", "group/project!12", "--gitlab-api", &address]);
    command.args(["--github", "owner/name#7", "--github-api", &server.address]);
    command
        .env("GITLAB_TOKEN", "gl-secret")
        .env("GITHUB_TOKEN", "gh-secret")
        .current_dir(here);
    let checked = answer(&mut command);
    assert_eq!(checked.code, 1, "{}{}", checked.stdout, checked.stderr);
    let markdown = fs::read_to_string(here.join("out/gate.md")).unwrap();
    assert!(
        markdown.contains("confirmed by a re-run") && markdown.contains(&commits[30][..10]),
        "{markdown}"
    );
    assert!(markdown.contains("false alarms, finds"), "{markdown}");
    let junit = fs::read_to_string(here.join("out/gate.xml")).unwrap();
    assert!(junit.contains("tests=\"2\" failures=\"1\""), "{junit}");
    assert!(
        fs::read_to_string(here.join("out/parse.svg"))
            .unwrap()
            .starts_with("<svg ")
    );
    let seen = server.seen();
    let lines: Vec<&str> = seen.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /api/v4/projects/group%2Fproject/merge_requests/12/notes?per_page=100&page=1",
            "POST /api/v4/projects/group%2Fproject/merge_requests/12/notes",
            "GET /repos/owner/name/issues/7/comments?per_page=100&page=1",
            "PATCH /repos/owner/name/issues/comments/5",
        ]
    );
    assert_eq!(seen[1].headers["private-token"], "gl-secret");
    assert_eq!(seen[3].headers["authorization"], "Bearer gh-secret");
    let body: Value = serde_json::from_str(&seen[1].body).unwrap();
    assert_eq!(
        body["body"],
        json!(format!("<!-- bellwether-gate -->\n{markdown}"))
    );

    let found = lab(
        here,
        &[
            "gate",
            "bisect",
            "--config",
            "gate.yml",
            "--good",
            &commits[20],
            "--only",
            "parse",
        ],
    );
    assert_eq!(
        (found.code, found.stdout),
        (0, format!("{} is the first bad commit\n", commits[30])),
        "{}",
        found.stderr
    );
    assert_eq!(
        git(here, &["status", "--porcelain", "--untracked-files=no"]),
        "",
        "the work tree is left alone"
    );

    let calibrated = lab(
        here,
        &[
            "gate",
            "calibrate",
            "--config",
            "gate.yml",
            "--trials",
            "100",
        ],
    );
    assert!(
        calibrated
            .stdout
            .lines()
            .all(|line| line.contains("% false alarms, finds")),
        "{}",
        calibrated.stdout
    );
    let ab = lab(
        here,
        &["gate", "ab", "--config", "gate.yml", "--base", "HEAD~1"],
    );
    assert!(
        ab.code == 0 && ab.stdout.contains("same: "),
        "{}{}",
        ab.stdout,
        ab.stderr
    );
    assert_eq!(
        lab(here, &["gate", "accept", "--config", "gate.yml", "parse"]).code,
        0
    );
    let accepted = lab(here, &["gate", "check", "--config", "gate.yml", "--json"]);
    assert_eq!(
        accepted.code, 0,
        "what was accepted stays accepted: {}",
        accepted.stdout
    );
    let unknown = lab(here, &["gate", "accept", "--config", "gate.yml", "parze"]);
    assert!(
        unknown.code == 64 && unknown.stderr.contains("did you mean \"parse\"?"),
        "{}",
        unknown.stderr
    );
    assert_eq!(lab(here, &["gate", "check"]).code, 64, "no file");
}

/// What was asked.
struct Request {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Answers as GitLab (no comment yet) and GitHub (comment 5 is ours) do, and keeps what was asked.
struct Recorded {
    address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Recorded {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap() <= 2 {
                        break;
                    }
                    lines.push(line.trim_end().to_owned());
                }
                let Some(first) = lines.first() else { continue };
                let line = first.trim_end_matches(" HTTP/1.1").to_owned();
                let headers: BTreeMap<String, String> = lines[1..]
                    .iter()
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                    .collect();
                let length = headers
                    .get("content-length")
                    .map_or(0, |length| length.parse().unwrap());
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let answer = match (line.starts_with("GET"), line.contains("/repos/")) {
                    (true, true) => {
                        r#"[{"id":4,"body":"hello"},{"id":5,"body":"<!-- bellwether-gate -->\nold"}]"#
                    }
                    (true, false) => "[]",
                    (false, _) => r#"{"id":5,"html_url":"https://example.org/c/5"}"#,
                };
                kept.lock().unwrap().push(Request {
                    line,
                    headers,
                    body: String::from_utf8(body).unwrap(),
                });
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len()).unwrap();
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// A small service over PostgreSQL: `/faulty?n=` asks for each order's customer, `/joined?n=` asks once.
fn orders_service(database: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client
                .batch_execute(
                    "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
                     CREATE TABLE customers AS SELECT i AS id, 'customer ' || i AS name FROM generate_series(1, 200) i;
                     CREATE TABLE orders AS SELECT i AS id, i AS customer FROM generate_series(1, 200) i;",
                )
                .await
                .unwrap();
            let client = Arc::new(client);
            let rows = |client: Arc<tokio_postgres::Client>, sql: String| async move { client.query(&sql, &[]).await.unwrap() };
            let (faulty_client, joined_client) = (Arc::clone(&client), client);
            let size = |query: &BTreeMap<String, String>| query["n"].parse::<u32>().unwrap();
            let app = axum::Router::new()
                .route("/faulty", axum::routing::get(move |axum::extract::Query(query): axum::extract::Query<BTreeMap<String, String>>| {
                    let client = Arc::clone(&faulty_client);
                    async move {
                        let orders = rows(Arc::clone(&client), format!("SELECT customer FROM orders ORDER BY id LIMIT {}", size(&query))).await;
                        for order in &orders {
                            let customer: i32 = order.get(0);
                            rows(Arc::clone(&client), format!("SELECT name FROM customers WHERE id = {customer}")).await;
                        }
                        orders.len().to_string()
                    }
                }))
                .route("/joined", axum::routing::get(move |axum::extract::Query(query): axum::extract::Query<BTreeMap<String, String>>| {
                    let client = Arc::clone(&joined_client);
                    async move {
                        let sql = format!("SELECT c.name FROM orders o JOIN customers c ON c.id = o.customer ORDER BY o.id LIMIT {}", size(&query));
                        rows(client, sql).await.len().to_string()
                    }
                }));
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
            drop(connection);
        });
    });
    address
}

#[test]
fn a_query_for_each_row_fails_its_budget_and_a_join_does_not() {
    let Some(postgres) = Postgres::start(free_port()) else {
        return;
    };
    let service = orders_service(postgres.url.clone());
    crate::support::wait_until("the service", 30, || {
        reqwest_get(&format!("{service}/joined?n=1")).is_some_and(|answer| answer.ends_with('1'))
    });
    let folder = tempfile::tempdir().unwrap();
    let measured = |path: &str| {
        let (small, large) = (
            format!("{service}/{path}?n=10"),
            format!("{service}/{path}?n=100"),
        );
        let mut command = bellwether();
        command.args([
            "exp",
            "queries",
            "--small",
            &small,
            "--small-items",
            "10",
            "--large",
            &large,
            "--large-items",
            "100",
            "--budget",
            "20",
        ]);
        answer(
            command
                .env("BELLWETHER_QUERIES_DATABASE", &postgres.url)
                .current_dir(folder.path()),
        )
    };
    let faulty = measured("faulty");
    assert_eq!(faulty.code, 1, "{}{}", faulty.stdout, faulty.stderr);
    assert!(
        faulty
            .stdout
            .contains("✗ N+1  SELECT name FROM customers WHERE id = $1"),
        "{}",
        faulty.stdout
    );
    assert!(
        faulty
            .stdout
            .contains("11 queries per request at 10 items, 101 at 100; budget 20"),
        "{}",
        faulty.stdout
    );
    let joined = measured("joined");
    assert_eq!(joined.code, 0, "{}{}", joined.stdout, joined.stderr);
    assert!(
        joined
            .stdout
            .ends_with("1 queries per request at 10 items, 1 at 100; budget 20\ngood\n"),
        "{}",
        joined.stdout
    );
}

/// A plain GET on loopback.
fn reqwest_get(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/')?;
    let mut stream = std::net::TcpStream::connect(host).ok()?;
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
