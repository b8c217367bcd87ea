//! The command line: what there is, and which part answers it.

mod alertmanager;
mod backtest;
mod capture;
mod lab;
mod lint;
mod load;
mod loadgit;
mod oncall;
mod page;
mod promql;
mod rules;
mod ruletest;
mod runbook;
mod silence;
mod slo;

use std::net::SocketAddr;
use std::path::PathBuf;

use bellwether_model::duration::parse_duration;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use alertmanager::{Alertmanager, LogFormat};
pub use backtest::{HistoryArgs, PagingArgs, RulesBacktest, RulesSweep};
pub use capture::{Capture, CaptureCommand};
pub use lab::{CommentArgs, Compare, CompareOptions, Exp, ExpFolder, Gate, GateArgs, SubjectKind};
pub use lint::{FailOn, LintFormat, RulesLint};
pub use load::{ArrivalKind, Load};
pub use loadgit::{GitArgs, LoadGit, LoadTarget};
pub use oncall::{Oncall, OncallProduct, OncallSim, OncallSource, OncallSpan};
pub use page::Page;
pub use promql::{Explain, Format, Promql, Query, Series, SourceArgs};
pub use rules::Rules;
pub use ruletest::RulesTest;
pub use runbook::{Audit, Brake, Place, PlanArgs, RunArgs, Runbook, Rung, Settle};
pub use silence::Silence;
pub use slo::Slo;

/// Hidden command that supervises a shell step.
pub const SUPERVISE: &str = "supervise-step";

/// The production engineer in a box: observe, judge, page, act.
#[derive(Debug, Parser)]
#[command(
    name = "bellwether",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch this host and what the configuration names; judge, page and act.
    Serve(Serve),
    /// Run only the pager, in the place of an Alertmanager: its flags, file, API and log lines.
    #[command(disable_version_flag = true)]
    Alertmanager(Box<Alertmanager>),
    /// Show the whole loop on a small web service that turns slow.
    Demo(Demo),
    /// Validate a configuration and everything it names, offline.
    Check {
        /// The configuration.
        #[arg(default_value = "bellwether.yml")]
        file: PathBuf,
        /// Findings as JSON.
        #[arg(long)]
        json: bool,
        /// The file is an Alertmanager's: accept or refuse it as Alertmanager does.
        #[arg(long)]
        alertmanager: bool,
    },
    /// Evaluate PromQL on a running server.
    Query(Query),
    /// Work on PromQL text.
    #[command(subcommand)]
    Promql(Promql),
    /// Samples without a server: export, import, check.
    #[command(subcommand)]
    Series(Series),
    /// Run Prometheus' PromQL test scripts.
    Promqltest {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Results as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Work on the text format of metrics.
    #[command(subcommand)]
    Openmetrics(Openmetrics),
    /// Work on rule files.
    #[command(subcommand)]
    Rules(Rules),
    /// Service level objectives: rules from them, import from other tools.
    #[command(subcommand)]
    Slo(Slo),
    /// Cases: who is paged for what, and taking them.
    #[command(subcommand)]
    Page(Page),
    /// Schedules: who is on call.
    #[command(subcommand)]
    Oncall(Oncall),
    /// Silences: what is not told of, and what one would hide.
    #[command(subcommand)]
    Silence(Silence),
    /// Runbooks: reading, planning and running them.
    #[command(subcommand)]
    Runbook(Runbook),
    /// See what a process does: where its processor time goes, what it waits for.
    Capture(Capture),
    /// Send requests when they are due, and measure from then.
    Load(Box<Load>),
    /// Compare two commands, URLs or result sets: better, worse, the same, or cannot tell.
    Compare(Compare),
    /// The performance gate: budgets, and regressions over the commits.
    #[command(subcommand)]
    Gate(Gate),
    /// Experiments: a hypothesis, its measurement, and numbers that anybody can compute again.
    #[command(subcommand)]
    Exp(Exp),
    /// The record of who did what, chained so that no row can be changed unseen.
    #[command(subcommand)]
    Audit(Audit),
    /// Simulate the loop with faults: thousands of hours in seconds.
    Sim(Sim),
    /// Scores on the public corpora.
    #[command(hide = true)]
    Conformance {
        /// Folder of the corpora.
        corpus: PathBuf,
    },
    /// Supervise one shell step in its spool folder.
    #[command(hide = true, name = SUPERVISE)]
    Supervise { folder: PathBuf },
    /// The demo's web service alone.
    #[command(hide = true)]
    DemoService,
    /// Completion script for a shell.
    Completion { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration; without one, this host and what is found on it are watched.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for samples and state.
    #[arg(long, value_name = "DIR", default_value = "bellwether-data")]
    pub data: PathBuf,
    /// Address to listen on; port 0 lets the system pick one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9876")]
    pub listen: SocketAddr,
    /// Keep state in PostgreSQL instead of the data folder: postgres://user@host/database.
    #[arg(long, value_name = "URL")]
    pub state: Option<String>,
    /// Address that people and other systems reach this server at, for links.
    #[arg(long, value_name = "URL")]
    pub external_url: Option<String>,
    /// Listen beyond loopback although there is no TLS here (a proxy before it does that).
    #[arg(long)]
    pub behind_tls_proxy: bool,
    /// Over loopback too, posting alerts and silences needs an API token.
    #[arg(long)]
    pub require_token: bool,
    /// Days that samples are kept.
    #[arg(long, value_name = "DURATION", default_value = "31d", value_parser = duration)]
    pub retention: std::time::Duration,
    /// Bytes that samples may take on disk; the oldest blocks go first (512MB, 20GB).
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub retention_size: Option<u64>,
    /// Take samples that other servers send to /api/v1/write (remote write 1.0 and 2.0).
    #[arg(long)]
    pub accept_remote_write: bool,
    /// How late a sample may come, at most an hour.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub out_of_order: std::time::Duration,
    /// Series that may be active at once; further ones are refused.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    pub max_series: usize,
    /// Sync each write to disk before it is acknowledged, instead of once a second.
    #[arg(long)]
    pub fsync_each: bool,
    /// Answer queries and rules from this server with Prometheus' API as well (a bigger engine that has the history).
    #[arg(long, value_name = "URL")]
    pub series: Option<String>,
    /// Bearer token for that server.
    #[arg(long, value_name = "TOKEN", requires = "series")]
    pub series_token: Option<String>,
    /// Allow PromQL's experimental functions and operators.
    #[arg(long)]
    pub promql_experimental: bool,
    /// Samples that one query may hold in memory.
    #[arg(long, value_name = "NUMBER", default_value_t = 50_000_000)]
    pub query_max_samples: usize,
    /// Time that one query may take.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub query_timeout: std::time::Duration,
    /// Queries that run at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub query_concurrency: usize,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Drain the bad replica without asking.
    #[arg(long)]
    pub auto: bool,
    /// Unattended: tap the button, check each stage, exit 0 only if all really happened.
    #[arg(long)]
    pub ci: bool,
    /// Time before the fault.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub warmup: std::time::Duration,
    /// Which fault the replica gets.
    #[arg(long, value_enum, default_value = "slow")]
    pub fault: Fault,
    /// Folder for the demo's data; a fresh temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address of the user interface; port 0 lets the system pick one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Take the pictures of the documentation on the way (needs chromium).
    #[arg(long, value_name = "DIR")]
    pub screenshots: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    Slow,
    Failing,
    Leaking,
}

/// How to reach a running server.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Address of the server; by default that of the data folder's running server, else `http://127.0.0.1:9876`.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Data folder of the server on this machine, for its address and token.
    #[arg(long, value_name = "DIR", default_value = "bellwether-data")]
    pub data: PathBuf,
    /// API token.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Openmetrics {
    /// Accept (exit 0) or refuse (exit 1, with line and reason) a file.
    Check {
        /// Hold it to every rule of the specification.
        #[arg(long)]
        strict: bool,
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Sim {
    /// Seed of the first run.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of seeds.
    #[arg(long, default_value_t = 1)]
    pub seeds: u64,
    /// Simulated days per seed.
    #[arg(long, default_value_t = 30)]
    pub days: u32,
    /// Print the whole timeline.
    #[arg(long)]
    pub timeline: bool,
    /// Run a scenario file instead.
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
}

/// Bytes with a unit of powers of 1,024, as Prometheus writes them.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 7] = [
        ("KB", 10),
        ("MB", 20),
        ("GB", 30),
        ("TB", 40),
        ("PB", 50),
        ("EB", 60),
        ("B", 0),
    ];
    let (number, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is no size such as 512MB"))?;
    let bytes = number * 2_f64.powi(shift as i32);
    if !(1.0..9e18).contains(&bytes) {
        return Err(format!("{text:?} is out of range"));
    }
    Ok(bytes as u64)
}

/// A duration as Prometheus writes it.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

impl Default for Serve {
    /// As the command line has them when nothing is said.
    fn default() -> Self {
        match Cli::try_parse_from(["bellwether", "serve"]).map(|cli| cli.command) {
            Ok(Command::Serve(serve)) => serve,
            _ => unreachable!("every flag of `serve` has a default"),
        }
    }
}
