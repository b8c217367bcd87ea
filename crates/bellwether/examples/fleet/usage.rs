//! What a process and a folder cost, as the kernel counts it.

use std::path::Path;

/// One of the servers compared.
pub(crate) struct Server<'a> {
    pub(crate) name: &'a str,
    pub(crate) pid: &'a str,
    pub(crate) url: &'a str,
    client: reqwest::Client,
}

impl<'a> Server<'a> {
    /// From `NAME=PID=URL`.
    pub(crate) fn parse(text: &'a str) -> Self {
        let parts: Vec<&str> = text.splitn(3, '=').collect();
        let [name, pid, url] = parts[..] else {
            panic!("not NAME=PID=URL: {text}");
        };
        // Nothing is asked over TLS, but the client wants to know how it would.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            name,
            pid,
            url,
            client,
        }
    }

    /// What its query API answers, whole.
    pub(crate) async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Vec<u8> {
        let address =
            reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), query);
        let answer = self.client.get(address.unwrap()).send().await.unwrap();
        answer.bytes().await.unwrap().to_vec()
    }

    /// The one number an instant query gives; NaN when it gives none.
    pub(crate) async fn number(&self, query: &str) -> f64 {
        let answer = self.ask("query", &[("query", query)]).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["data"]["result"][0]["value"][1].as_str();
        value.and_then(|v| v.parse().ok()).unwrap_or(f64::NAN)
    }
}

/// Processor seconds (user and system) of a process so far.
pub(crate) fn cpu_seconds(pid: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields are counted behind the name, which may hold blanks.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    // The kernel shows hundredths of a second to every program (USER_HZ).
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A line of `/proc/PID/status` that is in kB, in MB.
pub(crate) fn memory(pid: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) * 1024.0 / 1e6
}

/// MB of all files under a folder.
pub(crate) fn disk(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk(&entry.path()),
            Ok(meta) => meta.len() as f64 / 1e6,
            Err(_) => 0.0,
        })
        .sum()
}

/// The machine's load over the last minute.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
