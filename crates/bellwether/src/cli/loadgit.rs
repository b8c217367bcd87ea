//! Load on git servers.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::duration;

#[derive(Debug, Subcommand)]
pub enum LoadTarget {
    /// Load a git server: clone, fetch or push, timed phase by phase.
    #[command(subcommand)]
    Git(LoadGit),
}

#[derive(Debug, Subcommand)]
pub enum LoadGit {
    /// Clone all branches and tags; packs are thrown away as they come.
    Clone {
        #[command(flatten)]
        common: GitArgs,
        /// Only the newest so many commits.
        #[arg(long, value_name = "N")]
        depth: Option<u32>,
    },
    /// Fetch what has come since a commit.
    Fetch {
        #[command(flatten)]
        common: GitArgs,
        /// Object id of a commit that the client has already; repeatable.
        #[arg(long = "have", value_name = "ID", required = true)]
        have: Vec<String>,
    },
    /// Push a new branch below bellwether-load/ with one commit; it is deleted afterwards.
    Push {
        #[command(flatten)]
        common: GitArgs,
        /// Bytes of the pushed file, random.
        #[arg(long, value_name = "BYTES", default_value_t = 65_536)]
        size: usize,
    },
}

#[derive(Debug, Args)]
pub struct GitArgs {
    /// http://host/path.git, https://..., ssh://user@host:port/path.git or user@host:path.git
    pub url: String,
    /// Closed: so many clients, each with one operation at a time. With --rate: the most operations at a time.
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    pub clients: usize,
    /// Operations that begin in a second, whether others have ended or not (the open model).
    #[arg(short, long, value_name = "RATE")]
    pub rate: Option<f64>,
    /// Operations in all.
    #[arg(short = 'n', long, value_name = "N")]
    pub operations: Option<u64>,
    /// No operation begins after this [default: 10s, or until --operations are done].
    #[arg(short = 'z', long, value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Time for a whole operation.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub timeout: Duration,
    /// Bytes a second that a client reads at most, such as 256kB or 1MiB.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub throttle: Option<u64>,
    /// A header of HTTP, "Name: value"; repeatable.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// The ssh command with its arguments, split at spaces.
    #[arg(long, value_name = "COMMAND", default_value = "ssh")]
    pub ssh: String,
    /// Take any certificate.
    #[arg(short = 'k', long)]
    pub insecure: bool,
    /// A further authority for the server's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the result as JSON to a file.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// The server is mine, or its owner knows: also servers outside this machine and private networks.
    #[arg(long)]
    pub i_own_this_target: bool,
}

/// A number of bytes with a unit.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        _ => return Err("write it as 256kB, 1MiB or a number of bytes".to_owned()),
    };
    let number: u64 = digits
        .trim()
        .parse()
        .map_err(|_| "write it as 256kB, 1MiB or a number of bytes".to_owned())?;
    number
        .checked_mul(unit)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "it must be above 0".to_owned())
}
