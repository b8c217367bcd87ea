//! Load for a pager that speaks Alertmanager's API v2, and a receiver that says when it was told. `bench/pager/run`
//! drives it; nothing but the standard library, so that it costs little beside what it measures.
//!
//! `post_alerts ingest ADDRESS COUNT BATCH CONNECTIONS PREFIX` prints alerts answered 2xx per second.
//! `post_alerts storm ADDRESS LISTEN GROUPS PREFIX` posts so many new groups, prints when the last first send came.
//! `post_alerts latency ADDRESS LISTEN COUNT PREFIX` posts one new group after the other, prints p50 and p99 until told.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement reads the clock, prints its figures and stops at what it did not expect"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

struct Client {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Client {
    fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            address: address.to_owned(),
            stream: BufReader::new(stream),
        }
    }

    fn post(&mut self, body: &str) {
        let head = format!(
            "POST /api/v2/alerts HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream
            .write_all(&[head.as_bytes(), body.as_bytes()].concat())
            .unwrap();
        let (status, _) = read_message(&mut self.stream).unwrap();
        assert!(status.contains(" 200 "), "{status}");
    }
}

/// The first line and the body.
fn read_message(from: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() && !first.is_empty() {
            break;
        }
        if first.is_empty() {
            line.clone_into(&mut first);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some((first, body))
}

fn alert(name: &str, instance: usize) -> String {
    format!(
        r#"{{"labels":{{"alertname":"{name}","cluster":"eu-central-1","instance":"node-{instance}.example.org:9100","job":"node","severity":"critical"}},"annotations":{{"summary":"Something is wrong with this machine","description":"A longer text that says what is wrong and where to look first."}},"endsAt":"2099-01-01T00:00:00Z","generatorURL":"http://prometheus.example.org:9090/graph?g0.expr=up+%3D%3D+0"}}"#
    )
}

fn post(client: &mut Client, alerts: &[String]) {
    client.post(&format!("[{}]", alerts.join(",")));
}

fn ingest(address: &str, count: usize, batch: usize, connections: usize, prefix: &str) {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..connections {
            scope.spawn(move || {
                let mut client = Client::new(address);
                let own = count / connections;
                for from in (0..own).step_by(batch) {
                    let alerts: Vec<String> = (from..(from + batch).min(own))
                        .map(|n| {
                            let number = thread * own + n;
                            alert(&format!("{prefix}{}", number / 10), number)
                        })
                        .collect();
                    post(&mut client, &alerts);
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{:.0}",
        (count / connections * connections) as f64 / seconds
    );
}

/// Group names as they are told, with when.
fn receiver(listen: &str) -> mpsc::Receiver<(String, Instant)> {
    let (told, hear) = mpsc::channel();
    let listener = TcpListener::bind(listen).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some((_, body)) = read_message(&mut stream) {
                    let at = Instant::now();
                    let text = String::from_utf8_lossy(&body);
                    let name = text.split("\"groupLabels\":{\"alertname\":\"").nth(1);
                    let name = name
                        .and_then(|rest| rest.split('"').next())
                        .unwrap_or_default();
                    drop(told.send((name.to_owned(), at)));
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    if stream.get_mut().write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    hear
}

fn storm(address: &str, listen: &str, groups: usize, prefix: &str) {
    let hear = receiver(listen);
    let started = Instant::now();
    let mut client = Client::new(address);
    for from in (0..groups).step_by(100) {
        let alerts: Vec<String> = (from..(from + 100).min(groups))
            .map(|n| alert(&format!("{prefix}{n}"), n))
            .collect();
        post(&mut client, &alerts);
    }
    let posted = started.elapsed();
    let mut told: BTreeMap<String, Instant> = BTreeMap::new();
    while told.len() < groups {
        let Ok((name, at)) = hear.recv_timeout(Duration::from_mins(1)) else {
            break;
        };
        if name.starts_with(prefix) {
            told.entry(name).or_insert(at);
        }
    }
    let last = told
        .values()
        .max()
        .map_or(f64::NAN, |at| (*at - started).as_secs_f64());
    println!("{last:.2} {} {:.2}", told.len(), posted.as_secs_f64());
}

fn latency(address: &str, listen: &str, count: usize, prefix: &str) {
    let hear = receiver(listen);
    let mut client = Client::new(address);
    let mut all: Vec<f64> = Vec::new();
    for n in 0..count {
        let name = format!("{prefix}{n}");
        let started = Instant::now();
        post(&mut client, &[alert(&name, n)]);
        while let Ok((told, at)) = hear.recv_timeout(Duration::from_secs(20)) {
            if told == name {
                all.push((at - started).as_secs_f64() * 1e3);
                break;
            }
        }
    }
    all.sort_by(f64::total_cmp);
    let at = |part: f64| all.get(((all.len() as f64 * part) as usize).min(all.len() - 1));
    println!("{:.1} {:.1}", at(0.5).unwrap(), at(0.99).unwrap());
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |index: usize| args.get(index).map_or("", String::as_str);
    let number = |index: usize| text(index).parse::<usize>().unwrap();
    match text(0) {
        "ingest" => ingest(text(1), number(2), number(3), number(4), text(5)),
        "storm" => storm(text(1), text(2), number(3), text(4)),
        "latency" => latency(text(1), text(2), number(3), text(4)),
        _ => println!("usage: post_alerts ingest|storm|latency ..."),
    }
}
