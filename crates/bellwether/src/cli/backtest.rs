//! Rules over history.

use std::path::PathBuf;

use clap::Args;

use super::duration;

/// Replay rules over stored history to the pages they would have sent.
#[derive(Debug, Args)]
pub struct RulesBacktest {
    /// Rule files, folders with rule files, or patterns.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub history: HistoryArgs,
    #[command(flatten)]
    pub paging: PagingArgs,
    /// Compare with these rules, which are what is live now; exit 3 when an incident is lost.
    #[arg(long, value_name = "RULES")]
    pub diff: Vec<PathBuf>,
    /// With --diff: exit 3 when there are more new pages than this.
    #[arg(long, value_name = "N", requires = "diff")]
    pub max_new_pages: Option<u64>,
    /// Phases of the evaluation slots to try; the pages are shown as a range.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=60))]
    pub phases: u8,
    /// Show rules that paged nobody, too.
    #[arg(long)]
    pub all: bool,
    /// The whole report as JSON, with every page.
    #[arg(long)]
    pub json: bool,
}

/// Where history comes from, and which part of it.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Data folder of this program (its server must be stopped, or use --server).
    #[arg(long, value_name = "DIR", default_value = "bellwether-data")]
    pub data: PathBuf,
    /// Data folder of a Prometheus, read in place.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub prometheus: Option<PathBuf>,
    /// A Prometheus-compatible server: raw samples are pulled once and kept in memory.
    #[arg(long, value_name = "URL", conflicts_with_all = ["data", "prometheus"])]
    pub server: Option<String>,
    /// Bearer token for --server.
    #[arg(long, value_name = "TOKEN", requires = "server")]
    pub token: Option<String>,
    /// How much of the history, up to --to.
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration)]
    pub last: std::time::Duration,
    /// Begin (RFC 3339 or Unix seconds), instead of --last.
    #[arg(long, value_name = "TIME", conflicts_with = "last")]
    pub from: Option<String>,
    /// End; by default the newest sample, or now.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Interval of groups that name none.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub evaluation_interval: std::time::Duration,
    /// Query offset of groups that name none: how late samples are.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub query_offset: std::time::Duration,
    /// Threads; all processors by default.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// What becomes of alerts, and what they are held against.
#[derive(Debug, Args)]
pub struct PagingArgs {
    /// Routing: an Alertmanager's configuration, or one of this program. Without: grouped by alert name.
    #[arg(long, value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// Receivers whose notifications are pages; by default those with an integration that wakes people.
    #[arg(long, value_name = "RECEIVER")]
    pub page_receiver: Vec<String>,
    /// Silences, as Alertmanager's API lists them (JSON).
    #[arg(long, value_name = "FILE")]
    pub silences: Option<PathBuf>,
    /// Incidents: a CSV, JSON or YAML file, or `stored` for the urgent cases of the data folder that people took.
    #[arg(long, value_name = "FILE|stored")]
    pub incidents: Option<String>,
    /// When it is night.
    #[arg(long, value_name = "HH:MM-HH:MM", default_value = "22:00-07:00")]
    pub night: String,
    /// Where it is night.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
}

/// Try thresholds and durations of one alert on one evaluation: pages against missed incidents.
#[derive(Debug, Args)]
pub struct RulesSweep {
    /// Name of the alert.
    pub rule: String,
    /// Rule files, folders with rule files, or patterns; the alert is in one of them.
    #[arg(long = "rules", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Thresholds to try: `0.5..5`, `0.5..5:20` for so many of them (100 by default), or a list `1,2,5`.
    #[arg(long, value_name = "A..B", allow_hyphen_values = true)]
    pub threshold: Option<String>,
    /// Durations to try instead of the rule's `for`: `1m,5m,10m`, or `0s..30m` for ten of them.
    #[arg(long = "for", value_name = "DURATIONS")]
    pub hold: Option<String>,
    #[command(flatten)]
    pub history: HistoryArgs,
    #[command(flatten)]
    pub paging: PagingArgs,
    /// Every combination as JSON.
    #[arg(long)]
    pub json: bool,
}
