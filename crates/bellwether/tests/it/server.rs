//! A running `bellwether serve`, and the demo's web service.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::http::{Answer, FORM, JSON, form, send};
use crate::support::{Process, bellwether, wait_for};

pub(crate) const API: &str = "/api/bellwether/v1";

/// A server with its data folder's token.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) data: PathBuf,
}

impl Server {
    /// Starts on `data`, with its `bellwether.yml` when there is one, and waits until it is ready.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    pub(crate) fn with_config(data: &Path, config: &str) -> Self {
        std::fs::write(data.join("bellwether.yml"), config).expect("write the configuration");
        Self::start(data)
    }

    pub(crate) fn start_with(data: &Path, args: &[&str]) -> Self {
        drop(std::fs::remove_file(data.join("server.json")));
        let mut process = Process::spawn(&mut command(data, args));
        let address = wait_for("the server to start", 60, || {
            if let Some(status) = process.ended() {
                panic!("the server ended at once ({status}):\n{}", log(data));
            }
            let about = std::fs::read(data.join("server.json")).ok()?;
            let about: Value = serde_json::from_slice(&about).ok()?;
            about["address"]
                .as_str()?
                .strip_prefix("http://")?
                .parse()
                .ok()
        });
        let token =
            std::fs::read_to_string(data.join("admin.token")).expect("the owner's token is there");
        Self {
            process,
            address,
            token: token.trim().to_owned(),
            data: data.to_owned(),
        }
    }

    /// What it printed and logged, of all runs on this folder.
    pub(crate) fn log(&self) -> String {
        log(&self.data)
    }

    /// With the owner's token.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = headers.to_vec();
        headers.push(("Authorization", &bearer));
        send(self.address, method, path, &headers, body.as_bytes())
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], "")
    }

    /// `GET` on our own API, which must succeed.
    #[track_caller]
    pub(crate) fn api(&self, path: &str) -> Value {
        let answer = self.get(&format!("{API}{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", &format!("{API}{path}"), &[JSON], &body.to_string())
    }

    /// `POST` of a form to Prometheus' API.
    pub(crate) fn prometheus(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        self.request("POST", &format!("/api/v1{path}"), &[FORM], &form(pairs))
    }

    /// The value of an instant query with one float result; `None` when there is none.
    pub(crate) fn value(&self, query: &str) -> Option<f64> {
        let answer = self.prometheus("/query", &[("query", query)]);
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    }

    /// Cases of a service, newest first.
    pub(crate) fn cases(&self, service: &str) -> Vec<Value> {
        let all = self.api("/cases");
        let of_service = |case: &&Value| case["labels"]["service"] == service;
        all.as_array()
            .expect("a list")
            .iter()
            .filter(of_service)
            .cloned()
            .collect()
    }

    /// Prints a case's timeline and gives it.
    pub(crate) fn timeline(&self, case: &Value) -> Vec<Value> {
        let view = self.api(&format!("/cases/{}", case["id"].as_str().expect("an id")));
        println!("{} {}", view["case"]["code"], view["case"]["title"]);
        let timeline = view["timeline"].as_array().expect("a list").clone();
        for event in &timeline {
            println!("  {} {} {}", event["at"], event["kind"], event["text"]);
        }
        timeline
    }

    /// Stops as an administrator would.
    pub(crate) fn stop(self) {
        let status = self.process.stop();
        assert!(status.success(), "{status}\n{}", log(&self.data));
    }

    /// Ends as in a crash.
    pub(crate) fn kill(self) {
        self.process.kill();
    }
}

fn log(data: &Path) -> String {
    std::fs::read_to_string(data.join("server.log")).unwrap_or_default()
}

/// `serve` on a data folder; its output goes to the folder's `server.log`.
pub(crate) fn command(data: &Path, args: &[&str]) -> Command {
    let log = File::options()
        .create(true)
        .append(true)
        .open(data.join("server.log"))
        .expect("write the log");
    let mut command = bellwether();
    command.arg("serve").arg("--data").arg(data);
    if !args.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let config = data.join("bellwether.yml");
    if config.exists() {
        command.arg("--config").arg(config);
    }
    command
        .args(args)
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log);
    command
}

/// The demo's web service in a process of its own.
pub(crate) struct Web {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Web {
    pub(crate) fn start() -> Self {
        use std::io::BufRead as _;
        let mut process = Process::spawn(bellwether().arg("demo-service").stdout(Stdio::piped()));
        let mut line = String::new();
        let out = process.0.stdout.take().expect("piped");
        std::io::BufReader::new(out)
            .read_line(&mut line)
            .expect("the service says its address");
        let address = line
            .trim()
            .trim_start_matches("http://")
            .parse()
            .expect("an address");
        Self {
            _process: process,
            address,
        }
    }

    pub(crate) fn post(&self, path: &str) {
        let answer = send(self.address, "POST", path, &[], b"").expect("the service answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
}

/// An answer's `Set-Cookie`, as a browser sends it back.
pub(crate) fn cookie_of(answer: &Answer) -> String {
    answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned()
}
