//! PromQL: asking a server, and working on its text.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ServerArgs, duration};

/// Where samples come from when no server of ours is asked.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// Data folder of a Prometheus: its blocks and log are read in place, whether it runs or not.
    #[arg(long, value_name = "DIR", conflicts_with = "series")]
    pub blocks: Option<PathBuf>,
    /// Address of any server with Prometheus' API (remote read, VictoriaMetrics' export, or queries).
    #[arg(long, value_name = "URL")]
    pub series: Option<String>,
    /// Bearer token for that server.
    #[arg(long, value_name = "TOKEN", requires = "series")]
    pub series_token: Option<String>,
}

#[derive(Debug, Args)]
pub struct Query {
    /// The expression.
    pub expr: String,
    /// Evaluation time (RFC 3339 or Unix seconds); now by default.
    #[arg(long)]
    pub time: Option<String>,
    /// Evaluate over a range that ends at --time and is this long.
    #[arg(long, value_parser = duration)]
    pub last: Option<std::time::Duration>,
    /// Step of the range.
    #[arg(long, value_parser = duration)]
    pub step: Option<std::time::Duration>,
    /// With the experimental functions and operators, when evaluated here.
    #[arg(long)]
    pub experimental: bool,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How an expression is evaluated.
#[derive(Debug, Args)]
pub struct Explain {
    /// The expression.
    pub expr: String,
    /// Evaluate it and say what each part cost; without a source only the plan is printed.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Data folder of ours with the samples.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["blocks", "series"])]
    pub data: Option<PathBuf>,
    /// Evaluation time (RFC 3339 or Unix seconds); now by default, for a Prometheus' folder its newest sample.
    #[arg(long)]
    pub time: Option<String>,
    /// Evaluate over a range that ends at --time and is this long.
    #[arg(long, value_parser = duration)]
    pub last: Option<std::time::Duration>,
    /// Step of the range.
    #[arg(long, value_parser = duration)]
    pub step: Option<std::time::Duration>,
    /// The plan as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Work on samples without a server.
#[derive(Debug, Subcommand)]
pub enum Series {
    /// Write samples as OpenMetrics text or as blocks that Prometheus opens.
    Export {
        /// Data folder of ours.
        #[arg(long, value_name = "DIR", default_value = "bellwether-data", conflicts_with_all = ["blocks", "series"])]
        data: PathBuf,
        #[command(flatten)]
        source: SourceArgs,
        /// Only these series; all by default.
        #[arg(long = "match", value_name = "SELECTOR")]
        matching: Option<String>,
        /// First moment (RFC 3339 or Unix seconds).
        #[arg(long)]
        start: Option<String>,
        /// Last moment.
        #[arg(long)]
        end: Option<String>,
        #[arg(long, value_enum, default_value = "openmetrics")]
        format: Format,
        /// File for OpenMetrics (`-` is standard output), folder for blocks.
        out: PathBuf,
    },
    /// Take samples into a data folder of ours that no server uses: OpenMetrics files or data folders of a Prometheus.
    Import {
        /// Data folder of ours.
        #[arg(long, value_name = "DIR", default_value = "bellwether-data")]
        data: PathBuf,
        #[arg(required = true)]
        from: Vec<PathBuf>,
    },
    /// Verify every checksum of a data folder of ours; exit 1 when something is damaged.
    Check {
        #[arg(default_value = "bellwether-data")]
        data: PathBuf,
    },
    /// Who makes the series: metrics, labels and label pairs with the most of the newest hours.
    Top {
        #[arg(long, value_name = "DIR", default_value = "bellwether-data")]
        data: PathBuf,
        /// How many of each kind.
        #[arg(long, default_value_t = 10)]
        count: usize,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Openmetrics,
    Blocks,
}

#[derive(Debug, Subcommand)]
pub enum Promql {
    /// Print an expression in its canonical form.
    Format { expr: String },
    /// Print how an expression is evaluated and, on samples, what each part costs.
    Explain(Explain),
}
