//! Debian's Prometheus in a folder of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bellwether_env::Clock as _;
use bellwether_remote::write::{WriteRequest, encode_v1};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = "/usr/bin/prometheus";

pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: Option<TempDir>,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

impl Prometheus {
    pub(crate) fn start() -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            assert!(
                bellwether_env::vars::CI.get().is_none(),
                "{PROGRAM} is missing"
            );
            println!("skipped: {PROGRAM} is missing");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let child = Command::new(PROGRAM)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg("--storage.tsdb.retention.time=100y")
            .arg("--web.enable-remote-write-receiver")
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            address,
            folder: Some(folder),
        };
        let clock = bellwether_env::SystemClock::new();
        while server
            .send("GET", "/-/ready", "", b"")
            .is_none_or(|(status, _)| status != 200)
        {
            assert!(
                clock.monotonic() < Duration::from_secs(60),
                "Prometheus does not start"
            );
            std::thread::yield_now();
        }
        Some(server)
    }

    /// Stops it as an administrator would; its folder is left.
    pub(crate) fn stop(&mut self) -> TempDir {
        let ended = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(ended.unwrap().success());
        self.child.wait().unwrap();
        self.folder.take().unwrap()
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n{headers}\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let cut = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
        let status = std::str::from_utf8(&answer[..cut])
            .ok()?
            .split(' ')
            .nth(1)?
            .parse()
            .ok()?;
        Some((status, answer.split_off(cut + 4)))
    }

    pub(crate) fn write(&self, request: &WriteRequest) {
        let headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        let (status, text) = self
            .send("POST", "/api/v1/write", headers, &encode_v1(request))
            .unwrap();
        assert!(status < 300, "{status}: {}", String::from_utf8_lossy(&text));
    }

    fn get(&self, path: &str) -> Value {
        let (_, body) = self.send("GET", path, "", b"").unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) fn instant(&self, query: &str, time: i64) -> Value {
        self.get(&format!(
            "/api/v1/query?query={}&time={}",
            encode(query),
            time as f64 / 1000.0
        ))
    }

    pub(crate) fn range(&self, query: &str, start: i64, end: i64, step: i64) -> Value {
        let [start, end, step] = [start, end, step].map(|ms| ms as f64 / 1000.0);
        self.get(&format!(
            "/api/v1/query_range?query={}&start={start}&end={end}&step={step}",
            encode(query)
        ))
    }
}
