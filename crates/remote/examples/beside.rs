//! The same data and the same queries in Debian's Prometheus, VictoriaMetrics (where it is installed) and ours:
//! `bench/engine/run` builds what it needs and calls this with the path of our program.
//!
//! What counts is the processor time of each server process, as the kernel counts it: everything from HTTP to JSON.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement is for reading and stops at what it did not expect"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bellwether_env::{Clock as _, SystemClock};
use bellwether_model::Labels;
use bellwether_model::series::Value;
use bellwether_remote::write::{WriteRequest, WriteSeries, encode_v1};
use tempfile::TempDir;

const STEP: i64 = 15_000;
const HOUR: i64 = 3_600_000;
/// How long each metric goes back, in hours.
const SLO_HOURS: i64 = 96;
const PLAIN_HOURS: i64 = 30;
const HISTOGRAM_HOURS: i64 = 6;

/// The list of Prometheus' own engine benchmarks, on a hundred series, with hours of range; steps of a minute.
const LIST: &[(&str, i64)] = &[
    ("a_hundred", 6),
    ("rate(a_hundred[1m])", 6),
    ("rate(a_hundred[5m])", 6),
    ("changes(a_hundred[1d])", 6),
    ("rate(a_hundred[1d])", 6),
    ("absent_over_time(a_hundred[1d])", 6),
    ("-a_hundred", 6),
    ("a_hundred - b_hundred", 6),
    ("a_hundred and b_hundred{l=~'.*[0-4]$'}", 6),
    ("a_hundred or b_hundred{l=~'.*[0-4]$'}", 6),
    ("a_hundred unless b_hundred{l=~'.*[0-4]$'}", 6),
    ("a_hundred and b_hundred{l='notfound'}", 6),
    ("abs(a_hundred)", 6),
    ("label_replace(a_hundred, 'l2', '$1', 'l', '(.*)')", 6),
    ("label_join(a_hundred, 'l2', '-', 'l', 'l')", 6),
    ("sum(a_hundred)", 6),
    ("avg(a_hundred)", 6),
    ("sum without (l)(h_hundred)", 5),
    ("sum without (le)(h_hundred)", 5),
    ("sum by (l)(h_hundred)", 5),
    ("sum by (le)(h_hundred)", 5),
    ("count_values('value', h_hundred)", 1),
    ("topk(1, a_hundred)", 6),
    ("topk(5, a_hundred)", 6),
    ("quantile(0.9, a_hundred)", 6),
    ("rate(a_hundred[1m]) + rate(b_hundred[1m])", 6),
    ("sum without (l)(rate(a_hundred[1m]))", 6),
    (
        "sum without (l)(rate(a_hundred[1m])) / sum without (l)(rate(b_hundred[1m]))",
        6,
    ),
    ("histogram_quantile(0.9, rate(h_hundred[5m]))", 5),
    (
        "histogram_quantile(0.9, sum by (le)(rate(h_hundred[5m])))",
        5,
    ),
    ("a_hundred + on(l) group_right a_one", 6),
    ("timestamp(a_hundred)", 6),
    ("max_over_time(rate(a_hundred[5m])[1h:5m])", 6),
    ("quantile_over_time(0.9, a_hundred[1h])", 6),
    ("stddev_over_time(a_hundred[1h])", 6),
];
/// Windows of objectives.
const SLO: &[(&str, i64)] = &[
    ("sum(rate(slo_total[6h]))", 20),
    ("sum(rate(slo_total[1d]))", 20),
    ("sum(rate(slo_total[3d]))", 20),
    (
        "sum by (job) (rate(slo_total{code=\"500\"}[3d])) / sum by (job) (rate(slo_total[3d]))",
        20,
    ),
];

struct Server {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        out.push('%');
        for half in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(half), 16).unwrap());
        }
    }
    out
}

impl Server {
    fn start(
        name: &'static str,
        program: &Path,
        args: &dyn Fn(&Path, SocketAddr) -> Vec<String>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let child = Command::new(program)
            .args(args(folder.path(), address))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            name,
            child,
            address,
            folder,
        };
        let clock = SystemClock::new();
        let up = || {
            let answer = server.send("GET", "/api/v1/query?query=1", "", b"");
            answer.is_some_and(|(status, _)| status == 200)
        };
        while !up() {
            assert!(clock.monotonic().as_secs() < 60, "{name} does not start");
            std::thread::yield_now();
        }
        server
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let (address, length) = (self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let cut = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&answer[..cut]).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_off(cut + 4)))
    }

    fn write(&self, body: &[u8]) {
        let headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                       X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        let (status, text) = self.send("POST", "/api/v1/write", headers, body).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(status < 300, "{}: {status} {text}", self.name);
    }

    /// User and system time in seconds; the kernel counts in hundredths.
    fn cpu(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = text.rsplit(')').next().unwrap().split_whitespace();
        let ticks = fields.skip(11).take(2);
        ticks.map(|t| t.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }

    fn memory(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|l| l.starts_with("RssAnon")).unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<f64>().unwrap() / 1024.0
    }

    /// Milliseconds of processor time for a query.
    fn query(&self, query: &str, hours: i64, end: i64) -> f64 {
        let (start, end) = (end / 1000 - hours * 3600, end / 1000);
        let path = format!(
            "/api/v1/query_range?query={}&start={start}&end={end}&step=60&nocache=1",
            encode(query)
        );
        let ask = || {
            let (status, body) = self.send("GET", &path, "", b"").unwrap();
            let body = String::from_utf8_lossy(&body);
            assert!(status == 200, "{}: {query}: {body}", self.name);
        };
        ask();
        let before = self.cpu();
        let mut rounds = 0;
        while rounds < 40 && (self.cpu() - before < 0.4 || rounds < 2) {
            ask();
            rounds += 1;
        }
        (self.cpu() - before) * 1000.0 / f64::from(rounds)
    }
}

fn folder_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A series, from when on it has samples, and its value.
struct Making {
    labels: Labels,
    from: i64,
    value: f64,
    step: u64,
}

fn series(end: i64) -> Vec<Making> {
    const BOUNDS: [&str; 11] = [
        "0.1", "0.2", "0.5", "1", "2", "3", "5", "8", "10", "20", "+Inf",
    ];
    let mut all = Vec::new();
    let mut add = |pairs: &[(&str, &str)], hours: i64, step: u64| {
        all.push(Making {
            labels: Labels::new(pairs.iter().copied()),
            from: end - hours * HOUR,
            value: 0.0,
            step,
        });
    };
    add(&[("__name__", "a_one"), ("l", "1")], PLAIN_HOURS, 100);
    for index in 0..100 {
        let l = index.to_string();
        add(&[("__name__", "a_hundred"), ("l", &l)], PLAIN_HOURS, 100);
        add(&[("__name__", "b_hundred"), ("l", &l)], PLAIN_HOURS, 17);
        let (job, code) = (format!("j{}", index % 5), ["200", "500"][index % 2]);
        let labels = [
            ("__name__", "slo_total"),
            ("pod", &l),
            ("job", &job),
            ("code", code),
        ];
        add(&labels, SLO_HOURS, 50);
        for le in BOUNDS {
            let labels = [("__name__", "h_hundred"), ("l", &l), ("le", le)];
            add(&labels, HISTOGRAM_HOURS, 9);
        }
    }
    all
}

fn ingest(servers: &[Server], end: i64) -> u64 {
    let mut all = series(end);
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    let mut time = end - SLO_HOURS * HOUR;
    let mut total = 0;
    while time < end {
        // Twenty samples of a series at a time, as a sender that catches up.
        let mut request = WriteRequest::default();
        for one in all.iter_mut().filter(|one| one.from <= time) {
            let samples = (0..20).map(|index| {
                one.value += (random() % one.step) as f64;
                if random() % 5_000 == 0 {
                    one.value = 0.0;
                }
                (time + index * STEP, Value::Float(one.value))
            });
            let samples: Vec<_> = samples.collect();
            total += samples.len() as u64;
            request.series.push(WriteSeries {
                labels: one.labels.clone(),
                samples,
                exemplars: Vec::new(),
            });
        }
        let body = encode_v1(&request);
        for server in servers {
            server.write(&body);
        }
        time += 20 * STEP;
    }
    total
}

fn config(folder: &Path, text: &str) -> String {
    let file = folder.join("config.yml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn start_all(program: &Path) -> Vec<Server> {
    let mut servers = vec![Server::start("bellwether", program, &|folder, address| {
        let quiet = "host: false\nfind_services: false\ndefault_rules: false\nglobal: {scrape_interval: 1h}\n";
        let arguments = [
            "serve",
            "--accept-remote-write",
            "--query-max-samples=500000000",
            "--listen",
            &address.to_string(),
            "--data",
            &folder.join("data").display().to_string(),
            "--config",
            &config(folder, quiet),
        ];
        arguments.map(str::to_owned).to_vec()
    })];
    let prometheus = Path::new("/usr/bin/prometheus");
    servers.push(Server::start(
        "prometheus",
        prometheus,
        &|folder, address| {
            vec![
                format!("--config.file={}", config(folder, "global: {}\n")),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                "--web.enable-remote-write-receiver".to_owned(),
                "--query.max-samples=500000000".to_owned(),
                format!("--web.listen-address={address}"),
            ]
        },
    ));
    let victoria = Path::new("/usr/bin/victoria-metrics");
    if victoria.exists() {
        servers.push(Server::start("victoria", victoria, &|folder, address| {
            vec![
                format!("-storageDataPath={}", folder.join("data").display()),
                format!("-httpListenAddr={address}"),
                "-search.disableCache".to_owned(),
            ]
        }));
    }
    servers
}

fn main() {
    let program = PathBuf::from(std::env::args().nth(1).expect("the path of our program"));
    let servers = start_all(&program);
    let end = SystemClock::new().now().as_millisecond() / 60_000 * 60_000;
    let before: Vec<f64> = servers.iter().map(Server::cpu).collect();
    let samples = ingest(&servers, end);
    println!("{samples} samples, 20 per series and request; ratios: bellwether / the other");
    row("", servers.iter().map(|s| s.name.to_owned()), &[]);
    let cpu = servers
        .iter()
        .zip(before)
        .map(|(s, before)| s.cpu() - before);
    let speed: Vec<f64> = cpu.map(|cpu| samples as f64 / cpu / 1e6).collect();
    figures("ingest: M samples per CPU second", &speed);
    let memory: Vec<f64> = servers.iter().map(Server::memory).collect();
    figures("memory after it, MB (anonymous)", &memory);
    let disk = |server: &Server| folder_bytes(&server.folder.path().join("data")) as f64;
    let disk = servers.iter().map(|server| disk(server) / samples as f64);
    figures("disk with log, bytes per sample", &disk.collect::<Vec<_>>());
    for (title, list) in [("engine list", LIST), ("objectives", SLO)] {
        let mut logs = vec![Vec::new(); servers.len()];
        for (query, hours) in list {
            let costs = servers
                .iter()
                .map(|s| s.query(query, *hours, end).max(0.01));
            let costs: Vec<f64> = costs.collect();
            figures(&format!("CPU ms: {query}"), &costs);
            for (log, cost) in logs.iter_mut().zip(&costs) {
                log.push((costs[0] / cost).ln());
            }
        }
        let mean = |logs: &Vec<f64>| (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        let worst = |logs: &Vec<f64>| logs.iter().copied().fold(f64::MIN, f64::max).exp();
        let means: Vec<f64> = logs.iter().map(mean).collect();
        row(
            &format!("{title}: geometric mean of the ratios"),
            texts(&means),
            &[],
        );
        let worst: Vec<f64> = logs.iter().map(worst).collect();
        row(&format!("{title}: largest ratio"), texts(&worst), &[]);
    }
}

fn texts(values: &[f64]) -> impl Iterator<Item = String> + '_ {
    values.iter().map(|value| format!("{value:.2}"))
}

fn row(what: &str, cells: impl Iterator<Item = String>, ratios: &[f64]) {
    let cells: Vec<String> = cells.map(|cell| format!("{cell:>12}")).collect();
    let ratios: Vec<String> = ratios.iter().map(|r| format!("{r:>8.2}")).collect();
    println!("{}  {:<16}  {what}", cells.concat(), ratios.concat());
}

fn figures(what: &str, values: &[f64]) {
    let ratios: Vec<f64> = values[1..].iter().map(|value| values[0] / value).collect();
    row(what, texts(values), &ratios);
}
