//! `bellwether demo`: the whole loop on a small web service that turns slow.
//!
//! Starts the web service here and a real `bellwether serve` as a process of its own, waits, gives one replica a
//! fault, and follows what happens through the API, as a person would: the symptom, the case, the page with what the
//! diagnosis saw, the tap, the drain, the recovery. `--ci` taps by itself and checks that each stage really happened.

mod follow;
mod screenshots;
pub mod service;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_model::Secret;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Demo, Fault};
use crate::client::Client;
use crate::core::pause;
use crate::serve::{SERVER_FILE, TOKEN_FILE};

/// Which replica gets the fault.
const BAD_REPLICA: usize = 2;
/// Time that the server may take to start.
const START_MAX: Duration = Duration::from_secs(30);

/// Why the demo stopped; the text is for the person at the terminal.
type Failure = String;

fn say(text: impl std::fmt::Display) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Runs the demo.
pub async fn run(args: Demo) -> ExitCode {
    bellwether_env::logging::init("warn");
    // Ended from outside, the server must not be left behind: dropping the play ends it.
    let outcome = tokio::select! {
        outcome = play(&args) => outcome,
        () = terminated() => Err("it was told to end".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the demo stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn terminated() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => drop(terminate.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// Runs only the web service, and prints its address.
pub async fn service_alone() -> ExitCode {
    match service::start().await {
        Ok(service) => {
            say(format_args!("http://{}", service.address));
            drop(tokio::signal::ctrl_c().await);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: start the service: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration of the demo, which is also an example: a service, its objective, and who is paged.
pub fn config(service: SocketAddr, automatic: bool) -> String {
    let automatic = if automatic {
        "[web-slow-replica, web-failing-replica]"
    } else {
        "never"
    };
    format!(
        "\
# The demo's configuration: one web service, its objectives, and the person at the keyboard.
global:
  scrape_interval: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: web
    static_configs:
      - targets: ['{service}']
slos:
  # 99 % of requests within 250 ms. The windows are short, so that a demo does not take an hour.
  - name: web-latency
    service: web
    objective: 99
    latency:
      metric: demo_http_request_duration_seconds{{job=\"web\"}}
      below: 250ms
    interval: 1s
    labels:
      balancer: http://{service}
    runbook: web-slow-replica
    windows:
      page:
        - {{burn: 14.4, long: 30s, short: 10s}}
      ticket: []
  - name: web-availability
    service: web
    objective: 99.5
    errors: demo_http_requests_total{{job=\"web\", code=~\"5..\"}}
    total: demo_http_requests_total{{job=\"web\"}}
    interval: 1s
    labels:
      balancer: http://{service}
    runbook: web-failing-replica
    windows:
      page:
        - {{burn: 14.4, long: 30s, short: 10s}}
      ticket: []
route:
  receiver: people
  group_by: [alertname, service]
  group_wait: 1s
  group_interval: 5s
  repeat_interval: 4h
receivers:
  - name: people
    page_configs:
      - policy: default
runbooks:
  automatic: {automatic}
  verify_poll: 1s
"
    )
}

/// A server in a process of its own.
pub struct Server {
    child: Child,
    /// Address of the pages.
    pub address: String,
    /// Its API, with the owner's token.
    pub client: Client,
}

// === impl Server ===

impl Server {
    /// Starts `bellwether serve` on a data folder and waits until it is ready.
    pub async fn start(
        config: &Path,
        data: &Path,
        listen: SocketAddr,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let program =
            std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
        Self::start_program(&program, config, data, listen, quiet).await
    }

    /// As [`Server::start`], with the program to start: tests are not `bellwether` themselves.
    pub async fn start_program(
        program: &Path,
        config: &Path,
        data: &Path,
        listen: SocketAddr,
        quiet: bool,
    ) -> Result<Self, Failure> {
        drop(std::fs::remove_file(data.join(SERVER_FILE)));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data.join("server.log"))
            .map_err(|error| format!("write the log: {error}"))?;
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--config")
            .arg(config)
            .arg("--data")
            .arg(data);
        command.arg("--listen").arg(listen.to_string());
        command.stdin(Stdio::null()).stderr(log).kill_on_drop(true);
        command.stdout(if quiet {
            Stdio::null()
        } else {
            Stdio::inherit()
        });
        let mut child = command
            .spawn()
            .map_err(|error| format!("start the server: {error}"))?;
        let clock = SystemClock::new();
        let about = loop {
            if let Ok(Some(status)) = child.try_wait() {
                let log = std::fs::read_to_string(data.join("server.log")).unwrap_or_default();
                return Err(format!("the server ended at once ({status}):\n{log}"));
            }
            let read = std::fs::read_to_string(data.join(SERVER_FILE)).ok();
            if let Some(about) = read.and_then(|text| serde_json::from_str::<Value>(&text).ok()) {
                break about;
            }
            if clock.monotonic() > START_MAX {
                return Err(format!("the server was not ready within {START_MAX:?}"));
            }
            pause(Duration::from_millis(50)).await;
        };
        let address = about["address"].as_str().unwrap_or_default().to_owned();
        let token = std::fs::read_to_string(data.join(TOKEN_FILE))
            .map_err(|error| format!("read the token: {error}"))?;
        let client = Client::with(address.clone(), Some(Secret::new(token.trim())));
        Ok(Self {
            child,
            address,
            client,
        })
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it as a crash would.
    pub async fn kill(mut self) -> Result<(), Failure> {
        self.child
            .kill()
            .await
            .map_err(|error| format!("kill the server: {error}"))
    }
}

fn data_folder(args: &Demo) -> Result<PathBuf, Failure> {
    let folder = args.data.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!(
            "bellwether-demo-{}",
            &bellwether_env::random_token()[..8]
        ))
    });
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("make {}: {error}", folder.display()))?;
    Ok(folder)
}

async fn play(args: &Demo) -> Result<(), Failure> {
    let service = service::start()
        .await
        .map_err(|error| format!("start the service: {error}"))?;
    let data = data_folder(args)?;
    let file = data.join("bellwether.yml");
    std::fs::write(&file, config(service.address, args.auto))
        .map_err(|error| format!("write {}: {error}", file.display()))?;
    let server = Server::start(&file, &data, args.listen, args.ci).await?;
    let link = server
        .client
        .post("/login-links", &json!({"name": "you"}))
        .await
        .map_err(|error| error.to_string())?;
    let link = link["link"].as_str().unwrap_or_default();
    say("");
    say(format_args!(
        "A web service with {} replicas runs at http://{} under steady load.",
        service::REPLICAS,
        service.address
    ));
    say(format_args!(
        "Watch it here (this link signs you in, once): {link}"
    ));
    if !args.ci {
        open_browser(link);
    }
    let mut follow = follow::Follow::new(&server, args);
    follow.warm_up(args.warmup).await?;
    let kind = match args.fault {
        Fault::Slow => "slow",
        Fault::Failing => "failing",
        Fault::Leaking => "leaking",
    };
    set_fault(service.address, kind).await?;
    say(format_args!(
        "\n{}  replica {BAD_REPLICA} is {kind} now; nothing is down",
        follow.clock()
    ));
    follow.see_it_through().await?;
    follow.print_timeline().await?;
    if args.ci || args.screenshots.is_some() {
        return follow.check();
    }
    say(format_args!(
        "\nThe server goes on at {}; Ctrl-C ends it. Its data: {}",
        server.address,
        data.display()
    ));
    drop(tokio::signal::ctrl_c().await);
    Ok(())
}

/// Gives one replica of the service a fault: `slow`, `failing`, `leaking` or `none`.
pub async fn set_fault(service: SocketAddr, kind: &str) -> Result<(), Failure> {
    let url = format!("http://{service}/admin/fault?replica={BAD_REPLICA}&kind={kind}");
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())?;
    let response = client
        .post(url)
        .send()
        .await
        .map_err(|error| format!("set the fault: {error}"))?;
    if response.status().is_success() {
        Ok(())
    } else {
        Err(format!("set the fault: {}", response.status()))
    }
}

/// Opens the page where there is a desktop to do so.
fn open_browser(link: &str) {
    let desktop = Path::new("/tmp/.X11-unix").is_dir() || Path::new("/run/user").is_dir();
    if desktop {
        let mut command = Command::new("xdg-open");
        command
            .arg(link)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Not installed, or no desktop after all: the link is printed anyway.
        drop(command.spawn());
    }
}
