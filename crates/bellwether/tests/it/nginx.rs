//! Debian's nginx with two backends, watched by twenty lines: slow is a page, stopped is a ticket, restored is the end.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::http::send;
use crate::prometheus::node_exporter;
use crate::server::Server;
use crate::support::{BIN, Process, free_port, local, part, pause, wait_for, wait_until};
use crate::tiny::{Tiny, reply};

/// nginx in its own folder.
pub(crate) fn start_nginx(folder: &Path, servers: &str) -> Option<Process> {
    let program = part("nginx", &BIN)?;
    let file = folder.join("nginx.conf");
    let place = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {place}/{kind};\n"))
        .collect();
    let config = format!(
        "daemon off;\npid {place}/nginx.pid;\nerror_log {place}/error.log;\nworker_processes 1;\nevents {{}}\n\
         http {{\n  access_log off;\n{temporary}{servers}\n}}\n"
    );
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command
        .arg("-e")
        .arg(folder.join("error.log"))
        .arg("-c")
        .arg(&file);
    Some(Process::spawn(&mut command))
}

/// One backend; slow when told so.
fn backend(port: u16, slow: &Arc<AtomicBool>) -> Tiny {
    let slow = Arc::clone(slow);
    Tiny::start(port, move |_, stream| {
        if slow.load(Ordering::Relaxed) {
            pause(Duration::from_millis(1_200));
        }
        reply(stream, 200, "hello\n")
    })
}

/// The configuration of the acceptance: 20 lines.
fn config(nginx: u16, backend: u16, node: u16) -> String {
    let windows = |severity: &str, other: &str| {
        format!("windows: {{{severity}: [{{burn: 4, long: 30s, short: 10s}}], {other}: []}}")
    };
    let (page, ticket) = (windows("page", "ticket"), windows("ticket", "page"));
    let slo = |name: &str, service: &str, errors: &str, of: &str, windows: &str| {
        format!(
            "  - name: {name}\n    {{service}}: {service}\n    objective: 95\n    \
             errors: 'sum(count_over_time(({errors})[{{{{window}}}}:2s]))'\n    \
             total: 'sum(count_over_time({of}[{{{{window}}}}]))'\n    {windows}\n"
        )
        .replace("{service}", "service")
    };
    format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         scrape_configs: [{{job_name: node, static_configs: [{{targets: ['127.0.0.1:{node}']}}]}}]\n\
         probes:\n  \
         - {{name: web, type: http, target: 'http://127.0.0.1:{nginx}/', interval: 2s, timeout: 2s}}\n  \
         - {{name: backend-2, type: tcp, target: '127.0.0.1:{backend}', interval: 2s, timeout: 2s}}\n\
         slos:\n{}{}\
         route: {{receiver: people, group_by: [alertname, service], group_wait: 1s, group_interval: 5s}}\n\
         receivers: [{{name: people, page_configs: [{{policy: default}}]}}]\n",
        slo(
            "web-latency",
            "web",
            "probe_duration_seconds{probe=\"web\"} > 0.8",
            "probe_duration_seconds{probe=\"web\"}",
            &page
        ),
        slo(
            "web-spare",
            "spare",
            "probe_success{probe=\"backend-2\"} == 0",
            "probe_success{probe=\"backend-2\"}",
            &ticket
        ),
    )
}

/// Users: a request every 50 ms; counts those that failed.
struct Users {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
}

impl Users {
    fn start(port: u16) -> Self {
        let users = Self {
            stop: Arc::default(),
            failed: Arc::default(),
            served: Arc::default(),
        };
        let (stop, failed, served) = (
            Arc::clone(&users.stop),
            Arc::clone(&users.failed),
            Arc::clone(&users.served),
        );
        // Several at once, so that no rhythm of theirs decides which backend a probe gets.
        for number in 0..6 {
            let (stop, failed, served) =
                (Arc::clone(&stop), Arc::clone(&failed), Arc::clone(&served));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let good = send(local(port), "GET", "/", &[], b"")
                        .is_ok_and(|answer| answer.status == 200);
                    (if good { &served } else { &failed }).fetch_add(1, Ordering::Relaxed);
                    pause(Duration::from_millis(70 + 30 * number));
                }
            });
        }
        users
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn has(timeline: &[Value], kind: &str) -> bool {
    timeline.iter().any(|event| event["kind"] == kind)
}

fn resolved(server: &Server, service: &str) -> Option<Value> {
    server
        .cases(service)
        .into_iter()
        .next()
        .filter(|case| case["status"] == "resolved")
}

#[test]
fn a_slow_backend_pages_a_stopped_one_is_a_ticket() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, never) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let first = backend(0, &never);
    let second = backend(0, &slow);
    let (port, node_port, backend_port) = (free_port(), free_port(), second.address.port());
    let servers = format!(
        "  upstream web {{ server {}; server {}; }}\n  \
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://web; }} }}",
        first.address, second.address
    );
    let Some(_nginx) = start_nginx(folder.path(), &servers) else {
        return;
    };
    let Some(_node) = node_exporter(node_port) else {
        return;
    };
    wait_until("nginx", 20, || {
        send(local(port), "GET", "/", &[], b"").is_ok_and(|answer| answer.status == 200)
    });

    let config = config(port, backend_port, node_port);
    assert!(
        config.lines().count() <= 20,
        "{} lines:\n{config}",
        config.lines().count()
    );
    let server = Server::with_config(folder.path(), &config);
    let users = Users::start(port);
    wait_until("probes of both and node_exporter", 60, || {
        server.value("sum(probe_success)") == Some(2.0)
            && server.value("up{job=\"node\"}") == Some(1.0)
    });
    assert!(server.value("node_load1").is_some());
    wait_until("ten seconds of history", 60, || {
        server.value("count_over_time(probe_success{probe=\"web\"}[1m])") >= Some(5.0)
    });
    assert!(
        server.api("/cases").as_array().unwrap().is_empty(),
        "a case without a fault"
    );

    // Slow, not down.
    slow.store(true, Ordering::Relaxed);
    let paged = wait_for("a page", 180, || {
        server.cases("web").into_iter().find(|case| {
            let view = server.api(&format!("/cases/{}", case["id"].as_str().unwrap()));
            has(view["timeline"].as_array().unwrap(), "page_sent")
        })
    });
    assert_eq!(paged["urgency"], "high", "{paged}");
    assert_eq!(
        server.value("min_over_time(probe_success{probe=\"web\"}[5m])"),
        Some(1.0),
        "a probe failed"
    );
    assert_eq!(users.failed.load(Ordering::Relaxed), 0, "a request failed");
    slow.store(false, Ordering::Relaxed);
    let case = wait_for("the end of slowness", 90, || resolved(&server, "web"));
    let timeline = server.timeline(&case);
    for kind in ["case_opened", "page_sent", "resolved"] {
        assert!(has(&timeline, kind), "{kind}");
    }

    // Stopped: nginx goes to the other one, so that nobody is hurt; the spare is gone, which is a ticket.
    drop(second);
    let ticket = wait_for("a ticket", 90, || server.cases("spare").into_iter().next());
    assert_eq!(ticket["urgency"], "low", "{ticket}");
    let second = backend(backend_port, &slow);
    let case = wait_for("the spare to be back", 90, || resolved(&server, "spare"));
    let timeline = server.timeline(&case);
    assert!(has(&timeline, "case_opened") && has(&timeline, "resolved"));
    assert_eq!(
        server.cases("web").len(),
        1,
        "a stopped backend that nobody notices paged"
    );
    assert_eq!(users.failed.load(Ordering::Relaxed), 0, "a request failed");
    println!(
        "{} requests served, none failed",
        users.served.load(Ordering::Relaxed)
    );
    drop((users, second, first));
    server.stop();
}
