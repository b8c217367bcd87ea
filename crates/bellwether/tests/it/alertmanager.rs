//! In the place of an Alertmanager: Debian's amtool and Prometheus against us, and Debian's Alertmanager beside us.

mod crash;
mod twin;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::http::{Answer, JSON, send};
use crate::server::Server;
use crate::support::{BIN, Process, Ran, bellwether, free_port, local, part, run, wait_until};
use crate::tiny::{Tiny, reply};

/// An Alertmanager: ours, or Debian's.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Daemon {
    /// Ours, with Alertmanager's flags.
    pub(crate) fn ours(folder: &Path, config: &str) -> Self {
        let mut command = bellwether();
        command.arg("alertmanager");
        Self::start(command, folder, "ours", config, free_port())
    }

    /// Debian's; `None` when it is not installed.
    pub(crate) fn debians(folder: &Path, config: &str) -> Option<Self> {
        let program = part("prometheus-alertmanager", &BIN)?;
        let command = Command::new(program);
        Some(Self::start(command, folder, "debians", config, free_port()))
    }

    pub(crate) fn start(
        mut command: Command,
        folder: &Path,
        name: &str,
        config: &str,
        port: u16,
    ) -> Self {
        let file = folder.join(format!("{name}.yml"));
        std::fs::write(&file, config).unwrap();
        let log = folder.join(format!("{name}.log"));
        let to = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.join(name).display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(to.try_clone().unwrap())
            .stderr(to);
        let mut daemon = Self {
            process: Process::spawn(&mut command),
            address: local(port),
            log,
        };
        wait_until("the daemon to be ready", 60, || {
            if let Some(status) = daemon.process.ended() {
                panic!("it ended at once ({status}):\n{}", daemon.log());
            }
            send(daemon.address, "GET", "/-/ready", &[], b"")
                .is_ok_and(|answer| answer.status == 200)
        });
        daemon
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        let path = format!("/api/v2{path}");
        send(self.address, method, &path, &[JSON], body.as_bytes())
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.request("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }
}

const CONFIG: &str = "\
route:
  receiver: default
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
  routes:
    - matchers: [team=~\"web|shop\", severity!=\"none\"]
      receiver: web
receivers:
  - name: default
  - name: web
";

fn amtool(address: SocketAddr, args: &[&str]) -> Option<Ran> {
    let program = part("amtool", &BIN)?;
    let mut command = Command::new(program);
    command
        .arg(format!("--alertmanager.url=http://{address}"))
        .args(args);
    let ran = run(&mut command, 30);
    assert_eq!(ran.code, Some(0), "amtool {args:?}: {}{}", ran.out, ran.err);
    Some(ran)
}

/// Every command that `amtool` has, unmodified.
fn every_amtool_command(address: SocketAddr, folder: &Path) {
    if part("amtool", &BIN).is_none() {
        return;
    }
    let tool = |args: &[&str]| amtool(address, args).expect("installed").out;
    tool(&[
        "alert",
        "add",
        "Fire",
        "instance=a",
        "team=web",
        "--annotation=summary=smoke",
    ]);
    tool(&["alert", "add", "Flood", "instance=b"]);
    let found = tool(&["alert", "query", "-o", "extended"]);
    assert!(
        found.contains("Fire") && found.contains("summary=\"smoke\""),
        "{found}"
    );
    let found = tool(&["alert", "query", "alertname=Fire", "instance=~a|c"]);
    assert!(
        found.contains("Fire") && !found.contains("Flood"),
        "{found}"
    );
    let id = tool(&[
        "silence",
        "add",
        "alertname=Fire",
        "-c",
        "drill",
        "-a",
        "ana",
        "-d",
        "1h",
    ]);
    let id = id.trim();
    assert!(
        !tool(&["alert", "query"]).contains("Fire"),
        "it is silenced"
    );
    assert!(tool(&["alert", "query", "--silenced"]).contains("Fire"));
    assert_eq!(tool(&["silence", "query", "-q"]).trim(), id);
    assert!(tool(&["silence", "query", "alertname=Fire", "-o", "extended"]).contains("drill"));
    tool(&["silence", "update", "-d", "3h", "-c", "longer drill", id]);
    let saved = tool(&["silence", "query", "-o", "json"]);
    assert!(
        saved.contains("longer drill") && saved.contains(id),
        "{saved}"
    );
    let file = folder.join("silences.json");
    std::fs::write(&file, &saved).unwrap();
    tool(&["silence", "expire", id]);
    assert_eq!(tool(&["silence", "query", "-q"]).trim(), "");
    assert!(tool(&["silence", "query", "--expired", "-q"]).contains(id));
    tool(&["silence", "import", &file.display().to_string()]);
    let again = tool(&["silence", "query", "-q"]);
    assert!(again.trim() != id && again.trim().len() == 36, "{again}");
    assert!(tool(&["cluster", "show"]).contains("disabled"));
    assert!(tool(&["config", "show"]).contains("receiver: default"));
    assert!(tool(&["config", "routes", "show"]).contains("receiver: web"));
    assert_eq!(
        tool(&["config", "routes", "test", "team=shop"]).trim(),
        "web"
    );
    assert_eq!(
        tool(&["config", "routes", "test", "team=x"]).trim(),
        "default"
    );
}

#[test]
fn amtool_works_unmodified() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Daemon::ours(folder.path(), CONFIG);
    every_amtool_command(ours.address, folder.path());
    let log = ours.log();
    for line in [
        "msg=\"Starting Alertmanager\"",
        "msg=\"Listening on\" address=127.0.0.1:",
    ] {
        assert!(log.contains(line), "{log}");
    }
    let reload = send(ours.address, "POST", "/-/reload", &[], b"").unwrap();
    assert_eq!((reload.status, reload.text().as_str()), (200, ""));
    let healthy = send(ours.address, "GET", "/-/healthy", &[], b"").unwrap();
    assert_eq!(healthy.text(), "OK");
    let metrics = send(ours.address, "GET", "/metrics", &[], b"")
        .unwrap()
        .text();
    for line in [
        "alertmanager_alerts{state=\"active\"} 1",
        "alertmanager_alerts{state=\"suppressed\"} 1",
        "alertmanager_alerts_received_total{status=\"firing\",version=\"v2\"} 2",
        "alertmanager_silences{state=\"active\"} 1",
        "alertmanager_config_last_reload_successful 1",
        "alertmanager_receivers 2",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} is not in\n{metrics}"
        );
    }
    assert!(ours.process.stop().success());
}

/// The same on the whole server: over loopback without a token, unless it was told to want one.
#[test]
fn amtool_works_on_the_whole_server() {
    let data = tempfile::tempdir().unwrap();
    let config = format!("host: false\nfind_services: false\ndefault_rules: false\n{CONFIG}");
    let server = Server::with_config(data.path(), &config);
    every_amtool_command(server.address, data.path());
    let body = br#"[{"labels":{"alertname":"x"}}]"#;
    let elsewhere = [JSON, ("Origin", "http://evil.example")];
    let refused = send(server.address, "POST", "/api/v2/alerts", &elsewhere, body).unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
    let form = [("Content-Type", "text/plain")];
    let refused = send(server.address, "POST", "/api/v2/alerts", &form, body).unwrap();
    assert_eq!(refused.status, 415, "{}", refused.text());
    let rebound = [JSON, ("Host", "evil.example")];
    let refused = send(server.address, "POST", "/api/v2/alerts", &rebound, body).unwrap();
    assert_eq!(refused.status, 401, "{}", refused.text());
    server.stop();
    let server = Server::start_with(data.path(), &["--require-token"]);
    let refused = send(server.address, "POST", "/api/v2/alerts", &[JSON], body).unwrap();
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert!(refused.header("www-authenticate").starts_with("Basic"));
    use base64::Engine as _;
    let pair = format!("prometheus:{}", server.token);
    let basic = format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    );
    let with = [JSON, ("Authorization", basic.as_str())];
    let taken = send(server.address, "POST", "/api/v2/alerts", &with, body).unwrap();
    assert_eq!(taken.status, 200, "{}", taken.text());
    server.stop();
}

#[test]
fn prometheus_sends_alerts_with_its_normal_configuration() {
    let Some(program) = part("prometheus", &BIN) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (seen, arrivals) = recorder();
    let hook = format!(
        "{CONFIG}    webhook_configs: [{{url: 'http://{}/hook'}}]\n",
        seen.address
    );
    let ours = Daemon::ours(folder.path(), &hook);
    let rules = "groups: [{name: g, interval: 1s, rules: [{alert: Always, expr: vector(1), labels: {team: web}, annotations: {summary: '{{ $value }}'}}]}]\n";
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\nalerting:\n  alertmanagers:\n    - static_configs:\n        - targets: ['{}']\n",
        ours.address
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!(
            "--config.file={}",
            folder.path().join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{}", free_port()))
        // It drops what it sends before it has discovered us, and says it again after this time.
        .arg("--rules.alert.resend-delay=2s")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _prometheus = Process::spawn(&mut command);
    wait_until("the notification", 60, || {
        !arrivals.lock().unwrap().is_empty()
    });
    let body = arrivals.lock().unwrap()[0].1.clone();
    assert_eq!(
        body["groupKey"],
        "{}/{severity!=\"none\",team=~\"web|shop\"}:{alertname=\"Always\"}"
    );
    assert_eq!(
        body["alerts"][0]["labels"],
        json!({"alertname": "Always", "team": "web"})
    );
    assert_eq!(body["alerts"][0]["annotations"]["summary"], "1");
    let alerts = ours.get("/alerts");
    assert!(
        alerts[0]["generatorURL"]
            .as_str()
            .unwrap()
            .contains("/graph?g0.expr=")
    );
}

/// Bodies that a webhook receiver got, with the idempotency key.
type Arrivals = std::sync::Arc<std::sync::Mutex<Vec<(String, Value)>>>;

fn recorder() -> (Tiny, Arrivals) {
    let arrivals = Arrivals::default();
    let kept = Arrivals::clone(&arrivals);
    let tiny = Tiny::start(0, move |request, stream| {
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let key = request.header("idempotency-key").to_owned();
        kept.lock().unwrap().push((key, body));
        reply(stream, 200, "")
    });
    (tiny, arrivals)
}

/// The answers of both to the same requests: status, and the body where it does not name its program's parts.
#[test]
fn answers_are_those_of_alertmanager() {
    let folder = tempfile::tempdir().unwrap();
    let Some(theirs) = Daemon::debians(folder.path(), CONFIG) else {
        return;
    };
    let ours = Daemon::ours(folder.path(), CONFIG);
    let rest = r#""startsAt":"2020-01-01T00:00:00Z","endsAt":"2099-01-01T00:00:00Z","createdBy":"me","comment":"c"}"#;
    let silence = |matchers: &str| format!(r#"{{"matchers":{matchers},{rest}"#);
    // Method, path, body, and whether the bodies must be equal.
    let requests: Vec<(&str, &str, String, bool)> = vec![
        ("GET", "/receivers", String::new(), true),
        ("GET", "/alerts", String::new(), true),
        ("GET", "/alerts/groups", String::new(), true),
        ("GET", "/silences", String::new(), true),
        ("GET", "/alerts?filter=x", String::new(), true),
        ("GET", "/silences?filter=x", String::new(), true),
        ("GET", "/alerts?filter=a%3D~%22(%22", String::new(), false),
        ("GET", "/alerts?receiver=(", String::new(), false),
        ("GET", "/alerts?active=nope", String::new(), true),
        ("GET", "/nothing", String::new(), true),
        ("PUT", "/alerts", "[]".to_owned(), false),
        ("GET", "/silence/abc", String::new(), true),
        ("DELETE", "/silence/abc", String::new(), true),
        ("GET", "/silence/6d3a1d5a-7e4b-4c0e-9a4b-0123456789ab", String::new(), true),
        ("POST", "/alerts", String::new(), true),
        ("POST", "/alerts", "null".to_owned(), true),
        ("POST", "/alerts", "[]".to_owned(), true),
        ("POST", "/alerts", "[{}]".to_owned(), true),
        ("POST", "/alerts", "{}".to_owned(), false),
        ("POST", "/alerts", "nonsense".to_owned(), false),
        ("POST", "/alerts", r#"[{"labels":{"a":1}}]"#.to_owned(), false),
        ("POST", "/alerts", r#"[{"labels":{"a":"b"},"startsAt":"x"}]"#.to_owned(), false),
        ("POST", "/alerts", r#"[{"labels":{"a":"b"},"generatorURL":"not a url"}]"#.to_owned(), true),
        ("POST", "/alerts", r#"[{"labels":{"alertname":"good"}},{"labels":{}},{"labels":{"a":""}},{"labels":{"a":"b"},"startsAt":"2024-01-01T00:00:00Z","endsAt":"2023-01-01T00:00:00Z"}]"#.to_owned(), true),
        ("POST", "/silences", "{}".to_owned(), true),
        ("POST", "/silences", "null".to_owned(), true),
        ("POST", "/silences", String::new(), true),
        ("POST", "/silences", "[]".to_owned(), false),
        ("POST", "/silences", silence("[]"), true),
        ("POST", "/silences", silence("[{}]"), true),
        ("POST", "/silences", silence(r#"[{"name":"a","value":"(","isRegex":true}]"#), false),
        ("POST", "/silences", silence(r#"[{"name":"a","value":"","isRegex":false}]"#), false),
        ("POST", "/silences", format!(r#"{{"id":"nope","matchers":[{{"name":"a","value":"b","isRegex":false}}],{rest}"#), true),
    ];
    for (method, path, body, equal) in requests {
        let (a, b) = (
            theirs.request(method, path, &body),
            ours.request(method, path, &body),
        );
        let what = format!(
            "{method} {path} {body}\ntheirs: {}\nours: {}",
            a.text(),
            b.text()
        );
        assert_eq!(a.status, b.status, "{what}");
        if equal && !a.body.is_empty() {
            assert_eq!(a.json(), b.json(), "{what}");
        }
    }
    // The good alert of the mixed batch is stored by both, and shown alike but for times.
    let shape = |daemon: &Daemon| {
        let mut alert = daemon.get("/alerts")[0].clone();
        for time in ["startsAt", "endsAt", "updatedAt"] {
            assert_eq!(alert[time].as_str().unwrap().len(), 24, "{alert}");
            alert[time] = json!("");
        }
        // New since 0.25.
        alert["status"].as_object_mut().unwrap().remove("mutedBy");
        alert
    };
    assert_eq!(shape(&theirs), shape(&ours));
}

/// Whatever a stranger sends gets a clear answer, the good part of it is kept, and memory stays bounded.
#[test]
fn bad_input_is_refused_and_the_good_part_kept() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Daemon::ours(folder.path(), CONFIG);
    let large = format!(
        r#"[{{"labels":{{"alertname":"large","a":"{}"}}}},{{"labels":{{"alertname":"kept"}}}}]"#,
        "x".repeat(1 << 20)
    );
    let answer = ours.request("POST", "/alerts", &large);
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("bytes, more than"),
        "{}",
        answer.text()
    );
    let many = format!(
        "[{}]",
        vec![r#"{"labels":{"alertname":"many"}}"#; 100_000].join(",")
    );
    for _ in 0..5 {
        let answer = ours.request("POST", "/alerts", &many);
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    let huge = format!("[{}", " ".repeat(20 << 20));
    assert_eq!(ours.request("POST", "/alerts", &huge).status, 413);
    let bytes = b"[{\"labels\":{\"alertname\":\"\xff\xfe\"}}]";
    let answer = send(ours.address, "POST", "/api/v2/alerts", &[JSON], bytes).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(ours.request("POST", "/alerts", &deep).status, 400);
    let explodes = r#"{"matchers":[{"name":"a","value":"((((x{100}){100}){100}){100}){100}","isRegex":true}],"startsAt":"2020-01-01T00:00:00Z","endsAt":"2099-01-01T00:00:00Z","createdBy":"me","comment":"c"}"#;
    let answer = ours.request("POST", "/silences", explodes);
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("invalid regular expression"),
        "{}",
        answer.text()
    );
    let filter = "/alerts?filter=a%3D~%22((x%7B1000%7D)%7B1000%7D)%7B1000%7D%22";
    assert_eq!(ours.request("GET", filter, "").status, 400);
    assert_eq!(ours.get("/alerts").as_array().unwrap().len(), 1);
    assert_eq!(ours.get("/alerts")[0]["labels"]["alertname"], "kept");
    let status = std::fs::read_to_string(format!("/proc/{}/status", ours.process.0.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 400 << 10, "{peak} kB at most");
}

#[test]
fn a_bad_file_is_refused_as_alertmanager_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yml");
    std::fs::write(&file, "route: {receiver: nobody}\nreceivers: [{name: a}]\n").unwrap();
    let flag = format!("--config.file={}", file.display());
    let storage = format!("--storage.path={}", folder.path().join("d").display());
    let mut command = bellwether();
    command.args([
        "alertmanager",
        &flag,
        &storage,
        "--web.listen-address=127.0.0.1:0",
    ]);
    let ran = run(&mut command, 30);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err
            .contains("msg=\"Loading configuration file failed\"")
            && ran.err.contains("undefined receiver"),
        "{}",
        ran.err
    );
    let mut command = bellwether();
    command.args(["check", "--alertmanager"]).arg(&file);
    let ran = run(&mut command, 30);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.out.contains("FAILED") && ran.out.contains(":1:"),
        "{}",
        ran.out
    );
    // Called by its name.
    let link = folder.path().join("alertmanager");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bellwether"), &link).unwrap();
    let ran = run(Command::new(&link).arg("--version"), 30);
    assert!(
        ran.out.starts_with("alertmanager, version 0.34"),
        "{}",
        ran.out
    );
    let ran = run(Command::new(&link).arg("--no-such-flag"), 30);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
}
