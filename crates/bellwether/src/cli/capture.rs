//! Profiles.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::duration;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
The process goes on undisturbed: nothing is attached to it. What the kernel does not allow is said.

Exit codes: 0 captured; 1 nothing could be captured; 64 bad input.

Examples:
  bellwether capture --pid 4711 --for 30s --svg flame.svg
  bellwether capture --pid 4711 --output before.json
  bellwether capture diff before.json after.json --requests 10000,12000 --svg diff.svg"
)]
pub struct Capture {
    #[command(subcommand)]
    pub command: Option<CaptureCommand>,
    /// The process.
    #[arg(long, value_name = "PID")]
    pub pid: Option<i32>,
    /// How long.
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub duration: Duration,
    /// Samples a second of each thread's processor time.
    #[arg(long, value_name = "HZ", default_value_t = 99, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub frequency: u64,
    /// Draw the flame graph.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Write folded stacks, as other flame graph programs read them.
    #[arg(long, value_name = "FILE")]
    pub folded: Option<PathBuf>,
    /// Write the profile as JSON.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the profile as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum CaptureCommand {
    /// How two profiles (JSON, or folded stacks) differ; only significant frames are coloured.
    Diff {
        before: PathBuf,
        after: PathBuf,
        /// Requests served meanwhile, before and after: cost per request is compared instead of shares.
        #[arg(long, value_name = "N,M")]
        requests: Option<String>,
        /// Draw the flame graph of the second profile, coloured by the difference.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// Print the differences as JSON.
        #[arg(long)]
        json: bool,
    },
}
