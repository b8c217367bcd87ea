//! What can go wrong around a server: each a clear message, and the rest goes on.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::http::send;
use crate::server::Server;
use crate::support::{bellwether, pause, run, skip, wait_for, wait_until};
use crate::tiny::{Tiny, reply};

#[test]
fn a_port_in_use_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let mut serve = bellwether();
    serve
        .args(["serve", "--listen", &address, "--data"])
        .arg(data.path());
    let ran = run(&mut serve, 30);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains(&format!("error: listen on {address}"))
            && ran.err.contains("hint: another program"),
        "{}",
        ran.err
    );
}

#[test]
fn a_data_folder_has_one_server() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mut second = bellwether();
    second
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path());
    let ran = run(&mut second, 30);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err
            .contains("hint: is another server using this data folder?"),
        "{}",
        ran.err
    );
    // The first one neither noticed nor lost its files.
    assert_eq!(server.get("/-/ready").status, 200);
    assert!(data.path().join("server.json").exists());
    assert_eq!(server.get("/api/bellwether/v1/tokens").status, 200);
    server.stop();
}

#[test]
fn listening_for_everybody_takes_a_word() {
    let data = tempfile::tempdir().unwrap();
    let mut serve = bellwether();
    serve
        .args(["serve", "--listen", "0.0.0.0:0", "--data"])
        .arg(data.path());
    let ran = run(&mut serve, 30);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("refusing to listen on 0.0.0.0:0")
            && ran.err.contains("--behind-tls-proxy"),
        "{}",
        ran.err
    );
    // With the word it listens, and then nobody reads without saying who they are.
    let server = Server::start_with(
        data.path(),
        &["--listen", "0.0.0.0:0", "--behind-tls-proxy"],
    );
    let port = server.address.port();
    let here = crate::support::local(port);
    let answer = send(here, "GET", "/api/v1/query?query=1", &[], b"").unwrap();
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(
        send(here, "GET", "/-/healthy", &[], b"").unwrap().status,
        200
    );
}

/// Five faults, and the lines they are on.
const FAULTY: &str = "\
global:
  scrape_interval: 1 fortnight
scrape_configs:
  - job_name: a
    static_configs: [{targets: ['127.0.0.1:1']}]
  - job_name: a
    static_configs: [{targets: ['127.0.0.1:2']}]
route:
  receiver: nobody
receivers:
  - name: people
    page_configs: [{policy: default}]
slos:
  - name: x
    objective: 250
    errors: a
    total: b
probes:
  - {name: p, type: htpp, target: 'http://127.0.0.1/'}
";
const FAULTS: [(u32, &str); 5] = [
    (2, "fortnight"),
    (6, "a"),
    (9, "nobody"),
    (15, "objective"),
    (19, "htpp"),
];

fn all_five(text: &str) {
    for (line, word) in FAULTS {
        let place = format!("bellwether.yml:{line}:");
        let found = text
            .lines()
            .any(|said| said.contains(&place) && said.contains(word));
        assert!(found, "nothing about {word:?} in line {line}:\n{text}");
    }
}

#[test]
fn five_faults_are_said_at_once() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("bellwether.yml");
    std::fs::write(&file, FAULTY).unwrap();
    let ran = run(bellwether().arg("check").arg(&file), 30);
    assert_eq!(ran.code, Some(64), "{}{}", ran.out, ran.err);
    all_five(&format!("{}{}", ran.out, ran.err));
    let mut serve = bellwether();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .arg("--config")
        .arg(&file);
    let ran = run(&mut serve, 30);
    assert_eq!(ran.code, Some(64));
    all_five(&ran.err);
    assert!(
        !data.path().join("state.sqlite").exists(),
        "a server that does not start writes nothing"
    );
}

#[test]
fn a_faulty_reload_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let target = Tiny::text("good 1\n");
    let good = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: good\n    static_configs:\n      - targets: ['{}']\n",
        target.address
    );
    let server = Server::with_config(data.path(), &good);
    let jobs = || {
        let targets = server.get("/api/v1/targets").json();
        let all = targets["data"]["activeTargets"].as_array().unwrap().clone();
        let mut jobs: Vec<String> = all
            .iter()
            .map(|t| t["labels"]["job"].as_str().unwrap_or_default().to_owned())
            .collect();
        jobs.retain(|job| job == "good" || job == "better" || job == "a");
        jobs
    };
    let ok = || {
        server
            .get("/metrics")
            .text()
            .contains("bellwether_config_last_reload_successful 1\n")
    };
    let config = || server.get("/api/v1/status/config").text();
    wait_until("the target", 30, || server.value("good") == Some(1.0));
    let before = config();
    std::fs::write(data.path().join("bellwether.yml"), FAULTY).unwrap();
    let answer = server.request("POST", "/-/reload", &[], "");
    assert_eq!(answer.status, 500);
    assert!(
        answer
            .text()
            .starts_with("failed to reload config; nothing was changed")
    );
    all_five(&answer.text());
    assert!(!ok());
    let answer = server.post("/reload", &Value::Null);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (400, "application/problem+json")
    );
    server.process.signal("HUP");
    wait_until("the log's word on it", 20, || {
        server.log().matches("was not taken over").count() == 3
    });
    all_five(&server.log());
    assert_eq!(
        (jobs(), config()),
        (vec!["good".to_owned()], before.clone())
    );
    let samples = server.value("count_over_time(good[1h])");
    wait_until("more samples", 20, || {
        server.value("count_over_time(good[1h])") > samples
    });
    // A good one is taken over, by signal too.
    std::fs::write(
        data.path().join("bellwether.yml"),
        good.replace("job_name: good", "job_name: better"),
    )
    .unwrap();
    server.process.signal("HUP");
    wait_until("the new configuration", 20, || ok() && jobs() == ["better"]);
    assert_ne!(config(), before);
    server.stop();
}

/// Lines without end, each of them good.
fn endless(stream: &mut std::net::TcpStream) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n",
    )?;
    for number in 0_u64.. {
        stream.write_all(format!("endless{{n=\"{number}\"}} 1\n").as_bytes())?;
        pause(Duration::from_millis(1));
    }
    Ok(())
}

#[test]
fn hostile_targets_do_not_disturb_the_others() {
    let data = tempfile::tempdir().unwrap();
    let many: String = (0..1_000_000)
        .map(|n| format!("m{{n=\"{n}\"}} 1\n"))
        .collect();
    let good = Tiny::text("good 1\n");
    let endless = Tiny::start(0, |_, stream| endless(stream));
    let many = Tiny::text(many);
    let garbage = Tiny::start(0, |_, stream| {
        let noise: String = (0..5_000_u32)
            .map(|n| char::from_u32((n * 7919) % 0xd7ff).unwrap_or('x'))
            .collect();
        reply(stream, 200, &noise)
    });
    let silent = Tiny::start(0, |_, _| {
        pause(Duration::from_secs(8));
        Ok(())
    });
    let bomb = Tiny::start(0, |_, stream| {
        // Says that it is gzip, and is not.
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\nConnection: close\r\n\r\nabcd")
    });
    let mut config = "global: {scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}\nhost: false\nscrape_configs:\n".to_owned();
    let bad = [
        ("endless", &endless),
        ("many", &many),
        ("garbage", &garbage),
        ("silent", &silent),
        ("bomb", &bomb),
    ];
    for (job, tiny) in [("good", &good)].iter().chain(&bad) {
        let interval = if *job == "good" {
            "\n    scrape_interval: 1s\n    scrape_timeout: 1s"
        } else {
            ""
        };
        config.push_str(&format!(
            "  - job_name: {job}{interval}\n    static_configs: [{{targets: ['{}']}}]\n",
            tiny.address
        ));
    }
    let server = Server::with_config(data.path(), &config);
    wait_until("a verdict on each", 60, || {
        bad.iter()
            .all(|(job, _)| server.value(&format!("up{{job=\"{job}\"}}")) == Some(0.0))
    });
    let targets = server.get("/api/v1/targets").json();
    let mut reasons = Vec::new();
    for (job, _) in &bad {
        let all = targets["data"]["activeTargets"].as_array().unwrap();
        let target = all
            .iter()
            .find(|target| target["labels"]["job"] == *job)
            .unwrap();
        let reason = target["lastError"].as_str().unwrap().to_owned();
        println!("{job}: {reason}");
        assert!(!reason.is_empty() && reason.len() < 500, "{job}: {reason}");
        reasons.push(reason);
    }
    reasons.dedup();
    assert!(reasons.len() >= 4, "the reasons say little: {reasons:?}");
    wait_until("ten scrapes of the good one", 60, || {
        server.value("count_over_time(up{job=\"good\"}[5m])") >= Some(10.0)
    });
    assert_eq!(
        server.value("min_over_time(up{job=\"good\"}[5m])"),
        Some(1.0),
        "the good one suffered"
    );
    // Not one sample of a scrape that failed.
    assert_eq!(server.value("count({__name__=~\"m|endless\"})"), None);
    let memory =
        server.value("max_over_time(process_resident_memory_bytes{job=\"bellwether\"}[5m])");
    if let Some(memory) = memory {
        println!("{} MiB", memory / 1_048_576.0);
        assert!(memory < 1.5e9, "{memory}");
    }
    server.stop();
}

/// A small file system; `None` where mounting is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let Some(disk) = SmallDisk::mount("96m") else {
        return skip("a small file system cannot be mounted here");
    };
    let target = Tiny::text("good 1\n");
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nhost: false\nscrape_configs: \
         [{{job_name: good, static_configs: [{{targets: ['{}']}}]}}]\n",
        target.address
    );
    let data = disk.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // The log is elsewhere: the disk that it describes is full.
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("server.log");
    std::os::unix::fs::symlink(&log, data.join("server.log")).unwrap();
    let server = Server::with_config(&data, &config);
    wait_until("samples", 30, || server.value("good") == Some(1.0));
    let filler = disk.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    let block = vec![1_u8; 1 << 20];
    while file.write_all(&block).is_ok() {}
    for size in [4096, 64, 1] {
        while file.write_all(&block[..size]).is_ok() {}
    }
    // A case by hand cannot be recorded: it waits, and nobody is told what might be forgotten.
    let to = server.address;
    let bearer = format!("Bearer {}", server.token);
    let opening = std::thread::spawn(move || {
        let headers = [("Authorization", bearer.as_str()), crate::http::JSON];
        send(
            to,
            "POST",
            "/api/bellwether/v1/case-by-hand",
            &headers,
            b"{\"title\": \"during a full disk\"}",
        )
    });
    wait_until("the log to say it", 60, || {
        let said = server.log();
        said.contains("samples cannot be written") || said.contains("state could not be written")
    });
    // Reading goes on.
    assert_eq!(server.get("/-/healthy").status, 200);
    assert_eq!(server.get("/metrics").status, 200);
    assert_eq!(
        server.prometheus("/query", &[("query", "good")]).status,
        200
    );
    assert_eq!(server.get("/api/bellwether/v1/status").status, 200);
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    wait_until("the server to be ready again", 60, || {
        server.get("/-/ready").status == 200
    });
    let opened = opening
        .join()
        .unwrap()
        .expect("the case is answered once there is room");
    assert_eq!(opened.status, 200, "{}", opened.text());
    wait_until("the case", 30, || {
        server
            .api("/cases")
            .as_array()
            .unwrap()
            .iter()
            .any(|case| case["title"] == "during a full disk")
    });
    wait_for("fresh samples", 60, || {
        server
            .value("count_over_time(good[3s])")
            .filter(|count| *count >= 2.0)
    });
    server.kill();
    let server = Server::start(&data);
    assert!(
        server
            .api("/cases")
            .as_array()
            .unwrap()
            .iter()
            .any(|case| case["title"] == "during a full disk")
    );
    server.stop();
    println!(
        "{}",
        std::fs::read_to_string(&log)
            .unwrap()
            .lines()
            .filter(|line| line.contains("ERROR"))
            .take(5)
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut serve = bellwether();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(file.join("data"));
    let ran = run(&mut serve, 30);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("hint: name another folder with --data"),
        "{}",
        ran.err
    );
}
