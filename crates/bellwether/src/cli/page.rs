//! Cases.

use clap::Subcommand;

use super::ServerArgs;

#[derive(Debug, Subcommand)]
pub enum Page {
    /// List cases.
    List {
        /// Resolved ones too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// One case with its timeline.
    Show {
        case: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Why was I paged, why not.
    Why {
        case: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Take a case.
    Ack {
        case: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Close a case.
    Resolve {
        case: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Go to the next step of the policy now.
    Escalate {
        case: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Open a case by hand: users see it first.
    Open {
        title: String,
        /// Let it wake people.
        #[arg(long)]
        high: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
}
