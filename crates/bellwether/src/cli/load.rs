//! Load.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_load::assertion::Assertion;
use clap::{Args, ValueEnum};

use super::loadgit::LoadTarget;
use super::{ServerArgs, duration};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Requests are due at times that do not depend on answers (the open model), and latency counts from then; `service` is \
counted from the real send. A request without an answer within --timeout is a sample too.

Exit codes: 0 measured; 1 an assertion was missed, or nothing was answered; 3 the run is invalid, because the \
generator was late, starved or stopped; 64 bad input, or a target or limit that is not allowed.

Examples:
  bellwether load http://127.0.0.1:8080/ --rate 500 --duration 30s
  bellwether load http://127.0.0.1:8080/ --closed -c 64 --json
  bellwether load --scenario shop.yml --rate 200 --arrival poisson --assert 'p99<250ms' --assert 'errors<1%'
  bellwether load http://127.0.0.1:8080/ --find-knee --svg knee.svg
  bellwether load git clone http://127.0.0.1:8080/x.git --clients 50 -n 50 --throttle 256kB"
)]
pub struct Load {
    #[command(subcommand)]
    pub other: Option<LoadTarget>,
    /// Where to: http://host:port/path, or https.
    pub url: Option<String>,
    /// Requests (with a scenario: flows) a second.
    #[arg(short, long, visible_aliases = ["qps"], value_name = "RATE", default_value_t = 50.0, conflicts_with_all = ["closed", "replay"])]
    pub rate: f64,
    /// How arrivals follow each other.
    #[arg(long, value_enum, default_value = "constant", conflicts_with_all = ["closed", "replay"])]
    pub arrival: ArrivalKind,
    /// Go evenly from --rate to this rate over the run.
    #[arg(long, value_name = "RATE", conflicts_with_all = ["closed", "replay"])]
    pub ramp_to: Option<f64>,
    /// Replay an access log (common, combined or JSON lines) with its own gaps.
    #[arg(long, value_name = "LOG", conflicts_with_all = ["closed", "scenario"])]
    pub replay: Option<PathBuf>,
    /// Replay so many times faster.
    #[arg(
        long,
        value_name = "FACTOR",
        default_value_t = 1.0,
        requires = "replay"
    )]
    pub speed: f64,
    /// The closed model: each connection sends when its last answer has come. Stalls of the target hardly show.
    #[arg(long)]
    pub closed: bool,
    /// How long requests are sent [default: 10s, or as long as the log].
    #[arg(short = 'z', long, value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Stop after so many requests (flows).
    #[arg(short = 'n', long, value_name = "N")]
    pub requests: Option<u64>,
    /// Connections: opened at the start and kept. Open model by default: 16, more as they are needed; closed: 50.
    #[arg(short, long, value_name = "N")]
    pub connections: Option<usize>,
    /// Threads of the generator [default: one for 20,000 requests a second; closed: one for each processor].
    #[arg(short, long, value_name = "N")]
    pub threads: Option<usize>,
    /// Time for an answer, from the intended send.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    /// Method of the request [default: GET, with a body POST].
    #[arg(
        short = 'X',
        long,
        visible_short_alias = 'm',
        value_name = "METHOD",
        conflicts_with = "scenario"
    )]
    pub method: Option<axum::http::Method>,
    /// A header, "Name: value"; repeatable. ${seq}, ${random}, ${random:1..9}, ${uuid} get a value for each request,
    /// as in the path and the body.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// Body of the request.
    #[arg(short = 'd', long, value_name = "TEXT", conflicts_with = "scenario")]
    pub body: Option<String>,
    /// Body of the request from a file, as it stands.
    #[arg(short = 'D', long, value_name = "FILE", conflicts_with_all = ["scenario", "body"])]
    pub body_file: Option<PathBuf>,
    /// Requests with weights, flows and pauses, from a file.
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// HTTP/2 (over TLS, or by prior knowledge).
    #[arg(long)]
    pub http2: bool,
    /// Take any certificate.
    #[arg(short = 'k', long)]
    pub insecure: bool,
    /// A further authority for the target's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// What is left out at the beginning: `auto` (where the service time falls), `none`, or a duration.
    #[arg(long, value_name = "WHAT", default_value = "auto")]
    pub warmup: String,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Condition that must hold: 'p99<250ms', 'service.p50<5ms', 'errors<1%', 'rps>400'; repeatable.
    #[arg(long = "assert", value_name = "CONDITION")]
    pub assertions: Vec<Assertion>,
    /// Find the highest rate that the target takes, and how it scales.
    #[arg(long, conflicts_with_all = ["closed", "replay", "ramp_to", "requests"])]
    pub find_knee: bool,
    /// The p99 that is still good for --find-knee [default: five times that at a tenth of the highest throughput].
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "find_knee")]
    pub slo_p99: Option<Duration>,
    /// Length of each measurement of --find-knee.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub step: Duration,
    /// Write the result as JSON to a file.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write a histogram log that HdrHistogram's tools read (values in µs).
    #[arg(long, value_name = "FILE")]
    pub hdr_log: Option<PathBuf>,
    /// Draw the latency heat map, or the knee curve, as SVG.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Send the time series of the run to a running server, as bellwether_load_* with this name as label `run`.
    #[arg(long, value_name = "RUN")]
    pub push: Option<String>,
    /// Show nothing while the run goes on.
    #[arg(short, long)]
    pub quiet: bool,
    /// The target is mine, or its owner knows: also targets outside this machine and private networks.
    #[arg(long)]
    pub i_own_this_target: bool,
    /// Limit on requests a second.
    #[arg(long, value_name = "RATE", default_value_t = bellwether_load::plan::RATE_MAX)]
    pub max_rate: f64,
    /// Limit on the duration.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub max_duration: Duration,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArrivalKind {
    /// Equal gaps.
    Constant,
    /// Independent arrivals.
    Poisson,
}
