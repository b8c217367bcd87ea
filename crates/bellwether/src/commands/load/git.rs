//! `bellwether load git`.

use std::process::ExitCode;
use std::time::Duration;

use bellwether_lab::LatencySummary;
use bellwether_load::Stop;
use bellwether_load::arrival::Arrival;
use bellwether_load::git::{GitPlan, GitReport, Operation, Remote, RemoteError, run as run_git};
use bellwether_load::plan::TlsOptions;
use bellwether_load::target::TargetError;

use super::super::{complain, say};
use super::live::ms;
use crate::EXIT_BAD_INPUT;
use crate::cli::{GitArgs, LoadGit};

/// Clients at a time.
const CLIENTS_MAX: usize = 2000;
/// Operations a second.
const RATE_MAX: f64 = 1000.0;
const DURATION: Duration = Duration::from_secs(10);
const DURATION_MAX: Duration = Duration::from_hours(1);

pub(super) async fn run(command: LoadGit) -> ExitCode {
    let (args, operation) = match command {
        LoadGit::Clone { common, depth } => (common, Operation::Clone { depth }),
        LoadGit::Fetch { common, have } => (common, Operation::Fetch { have }),
        LoadGit::Push { common, size } => (common, Operation::Push { bytes: size }),
    };
    let plan = match plan(&args, operation) {
        Ok(plan) => plan,
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    super::raise_file_limit();
    let stop = Stop::default();
    let watched = stop.clone();
    drop(tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            watched.stop();
        }
    }));
    let report = run_git(plan, &stop, |_, _| {}).await;
    let json = serde_json::to_string_pretty(&report).unwrap_or_default();
    if let Some(path) = &args.output
        && let Err(error) = std::fs::write(path, &json)
    {
        complain(format_args!("{}: {error}", path.display()));
        return ExitCode::FAILURE;
    }
    if args.json {
        say(&json);
    } else {
        print(&report);
    }
    if report.completed == 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn plan(args: &GitArgs, operation: Operation) -> Result<GitPlan, String> {
    let remote = Remote::resolve(&args.url).map_err(|error| error.to_string())?;
    if !args.i_own_this_target {
        remote.must_be_near().map_err(|error| match error {
            TargetError::Foreign { .. } => {
                format!("{error}\nhint: if it is yours, say so with --i-own-this-target")
            }
            other => RemoteError::from(other).to_string(),
        })?;
    }
    if !(1..=CLIENTS_MAX).contains(&args.clients) {
        return Err(format!("--clients must be 1 to {CLIENTS_MAX}"));
    }
    if let Some(rate) = args.rate
        && !(rate > 0.0 && rate <= RATE_MAX)
    {
        return Err(format!("--rate must be above 0 and at most {RATE_MAX}"));
    }
    if let Operation::Fetch { have } = &operation
        && let Some(bad) = have.iter().find(|id| {
            id.len() != 40 && id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit())
        })
    {
        return Err(format!(
            "{bad:?} is no object id: print one with `git rev-parse HEAD~10`"
        ));
    }
    if let Operation::Push { bytes } = &operation
        && *bytes > 256 << 20
    {
        return Err("--size must be at most 256 MiB".to_owned());
    }
    // Asked for a number, they are all done, but not for ever.
    let duration = args.duration.unwrap_or(match args.operations {
        Some(_) => DURATION_MAX,
        None => DURATION,
    });
    if duration > DURATION_MAX {
        return Err("--duration must be at most 1h".to_owned());
    }
    let mut headers = Vec::new();
    for text in &args.headers {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| format!("header {text:?} has no colon: write 'Name: value'"))?;
        // The same rules as for other requests; what it means there does not matter.
        bellwether_load::scenario::header(name.trim(), value.trim())?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(GitPlan {
        remote,
        operation,
        clients: args.clients,
        arrival: args.rate.map(|rate| Arrival::Constant { rate }),
        operations: args.operations.unwrap_or(u64::MAX),
        duration,
        timeout: args.timeout,
        throttle: args.throttle,
        headers,
        tls: TlsOptions {
            insecure: args.insecure,
            ca_file: args.cacert.clone(),
        },
        ssh: args.ssh.split_whitespace().map(str::to_owned).collect(),
        seed: args.seed,
    })
}

fn print(report: &GitReport) {
    let line = |name: &str, text: String| say(format_args!("{name:<14}{text}"));
    line(
        "remote",
        format!(
            "{}   {}, {} model, {} clients",
            report.remote, report.operation, report.model, report.clients
        ),
    );
    let errors: Vec<String> = report
        .errors
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    line(
        "operations",
        format!(
            "{}   completed {}   failed {}{}",
            report.operations,
            report.completed,
            report.failed,
            if errors.is_empty() {
                String::new()
            } else {
                format!(" ({})", errors.join(", "))
            }
        ),
    );
    line(
        "bytes",
        format!(
            "{} in, {} out, {} of packs, {:.0} a second; {} references; {} at a time at most",
            report.bytes_in,
            report.bytes_out,
            report.pack_bytes,
            report.bytes_per_second,
            report.refs,
            report.in_flight_max
        ),
    );
    say(format_args!(
        "{:<14}{:>8}{:>11}{:>11}{:>11}{:>11}",
        "until", "number", "p50", "p90", "p99", "max"
    ));
    let row = |name: &str, of: &LatencySummary, what: &str| {
        say(format_args!(
            "{name:<14}{:>8}{:>11}{:>11}{:>11}{:>11}   {what}",
            of.count,
            ms(of.p50_ms),
            ms(of.p90_ms),
            ms(of.p99_ms),
            ms(of.max_ms)
        ));
    };
    let phases = &report.phases;
    row("connected", &phases.connected, "");
    row("first packet", &phases.first_packet, "");
    row("references", &phases.refs, "the last of them");
    let pack = match report.operation.as_str() {
        "push" => "the pack is sent",
        _ => "the first packet of the pack",
    };
    row("pack", &phases.first_pack, pack);
    row("done", &phases.done, "");
    row(
        "latency",
        &report.latency,
        "from the intended beginning, failures with the timeout",
    );
    for message in &report.messages {
        line("server said", message.clone());
    }
}
