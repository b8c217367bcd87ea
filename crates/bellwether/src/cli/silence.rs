//! Silences.

use clap::Subcommand;

use super::ServerArgs;

#[derive(Debug, Subcommand)]
pub enum Silence {
    /// Make a silence: alerts that match are told to nobody.
    Add {
        /// As in Alertmanager: service="shop" severity=~"page|ticket"; all must match.
        #[arg(required = true)]
        matchers: Vec<String>,
        /// How long.
        #[arg(long = "for", default_value = "2h", value_name = "DURATION")]
        lasts: String,
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// What a silence would hide now, without making it.
    Preview {
        #[arg(required = true)]
        matchers: Vec<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List silences.
    List {
        /// Those that have ended lately too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// End silences.
    Expire {
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
}
