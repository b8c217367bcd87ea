//! PromQL: asking a server, and working on its text.

use clap::{Args, Subcommand};

use super::{ServerArgs, duration};

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
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub enum Promql {
    /// Print an expression in its canonical form.
    Format { expr: String },
    /// Print how an expression will be evaluated.
    Explain { expr: String },
}
