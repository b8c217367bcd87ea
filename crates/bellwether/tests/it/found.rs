//! Without a configuration: this host, the server itself, and what it finds on loopback.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::http::send;
use crate::nginx::start_nginx;
use crate::postgres::Postgres;
use crate::prometheus::node_exporter;
use crate::server::Server;
use crate::support::{BIN, Process, local, part, wait_until};

/// The first of the well-known ports that nobody has. (The finder asks only well-known ports, so these cannot be any.)
fn free_of(ports: &[u16]) -> Option<u16> {
    ports
        .iter()
        .copied()
        .find(|port| std::net::TcpListener::bind(local(*port)).is_ok())
}

fn redis(port: u16) -> Option<Process> {
    let mut command = Command::new(part("redis-server", &BIN)?);
    command.args([
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--port",
        &port.to_string(),
    ]);
    let process = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("Redis", 20, || {
        std::net::TcpStream::connect(local(port)).is_ok()
    });
    Some(process)
}

#[test]
fn a_bare_server_watches_its_host_itself_and_what_it_finds() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    let mut expect = |name: &'static str, port: Option<u16>| {
        expected.extend(port.map(|port| (name, port)));
        port
    };
    let _redis = expect("Redis", free_of(&[6379, 6380])).map(redis);
    let _postgres = expect("PostgreSQL", free_of(&[5432, 5433, 5434])).map(Postgres::start);
    let _node = expect("node_exporter", free_of(&[9100])).map(node_exporter);
    let nginx = expect("nginx", free_of(&[8080, 8000, 8081, 8888])).map(|port| {
        let servers = format!("  server {{ listen 127.0.0.1:{port}; location /nginx_status {{ stub_status; }} location / {{ return 200 hello; }} }}");
        let process = start_nginx(folder.path(), &servers);
        wait_until("nginx", 20, || process.is_none() || send(local(port), "GET", "/", &[], b"").is_ok());
        process
    });
    // Parts that are not installed were skipped with a word.
    let installed = |name: &str| match name {
        "Redis" => part("redis-server", &BIN).is_some(),
        "nginx" => part("nginx", &BIN).is_some(),
        "node_exporter" => part("prometheus-node-exporter", &BIN).is_some(),
        _ => part(
            "postgres",
            &[
                "/usr/lib/postgresql/15/bin",
                "/usr/lib/postgresql/16/bin",
                "/usr/lib/postgresql/17/bin",
            ],
        )
        .is_some(),
    };
    expected.retain(|(name, _)| installed(name));
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let services = || server.api("/services").as_array().unwrap().clone();
    wait_until("the services to be found", 60, || {
        let found = services();
        expected.iter().all(|(name, port)| {
            let address = local(*port).to_string();
            found
                .iter()
                .any(|service: &Value| service["name"] == *name && service["address"] == address)
        })
    });
    for service in services() {
        println!(
            "{} at {}: {}",
            service["name"], service["address"], service["detail"]
        );
    }
    let all_up = || {
        let answer = server.get("/api/v1/targets").json();
        let targets = answer["data"]["activeTargets"].as_array().unwrap().clone();
        expected.iter().all(|(_, port)| {
            let address = local(*port).to_string();
            targets
                .iter()
                .any(|target| target["labels"]["instance"] == address && target["health"] == "up")
        })
    };
    wait_until("all of them to be up", 60, all_up);
    let mut queries = vec![
        (
            "this host's CPUs",
            "count(count by (cpu) (node_cpu_seconds_total))",
        ),
        ("its memory", "count(node_memory_MemTotal_bytes)"),
        ("itself", "up{job=\"bellwether\"}"),
    ];
    for (name, _) in &expected {
        queries.push(match *name {
            "Redis" => ("Redis", "max(redis_up)"),
            "PostgreSQL" => ("PostgreSQL", "max(pg_up)"),
            "nginx" => ("nginx", "max(nginx_up)"),
            _ => ("node_exporter", "max(up{job=\"node_exporter\"})"),
        });
    }
    for (what, query) in queries {
        wait_until(&format!("{what}: {query}"), 60, || {
            server.value(query).is_some_and(|value| value >= 1.0)
        });
    }
    let rules = server.get("/api/v1/rules?type=alert").json();
    let groups = rules["data"]["groups"].as_array().unwrap().clone();
    let sick = |rule: &&Value| rule["health"] == "err";
    let sick: Vec<Value> = groups
        .iter()
        .flat_map(|g| {
            g["rules"]
                .as_array()
                .unwrap()
                .iter()
                .filter(sick)
                .cloned()
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(!groups.is_empty() && sick.is_empty(), "{sick:#?}");
    drop(nginx);
    server.stop();
}
