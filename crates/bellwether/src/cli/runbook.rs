//! Runbooks.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::duration;

#[derive(Debug, Subcommand)]
pub enum Runbook {
    /// How files and folders read, and what is missing for the next rung.
    Lint {
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Findings as JSON.
        #[arg(long)]
        json: bool,
        /// Propose the missing declarations as a patch; changes no file.
        #[arg(long)]
        fix: bool,
        /// A table of what was found in each file.
        #[arg(long)]
        table: bool,
    },
    /// One runbook as it was read.
    Show {
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// What would run where, with its digest.
    Plan {
        #[command(flatten)]
        plan: PlanArgs,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run the plan with this very digest.
    Run(RunArgs),
    /// Go on with a run: after a crash, an approval, or a person's word.
    Resume {
        /// Its id, or the end of it; all open runs by default.
        run: Option<String>,
        #[command(flatten)]
        settle: Settle,
        #[command(flatten)]
        place: Place,
    },
    /// Take back what a run did and what it may have done, in reverse.
    Undo {
        run: String,
        #[command(flatten)]
        place: Place,
    },
    /// Approve the plan of a run as another person.
    Approve {
        run: String,
        /// The digest you looked at.
        #[arg(long)]
        digest: String,
        #[command(flatten)]
        place: Place,
    },
    /// Runs, newest first; one run with its steps.
    History {
        run: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Give a runbook a higher rung; refused unless its evidence suffices.
    Promote {
        file: PathBuf,
        #[arg(long, value_enum, default_value = "automatic")]
        to: Rung,
        #[command(flatten)]
        place: Place,
    },
    /// Take a runbook's rung away.
    Demote {
        /// File or id.
        runbook: String,
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        place: Place,
    },
    /// Stop all changes, or allow them again.
    Brake {
        #[arg(value_enum)]
        state: Brake,
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        place: Place,
    },
    /// Over the stored history: how often it would have fired, been held back, or acted on a false alert.
    Backtest {
        file: PathBuf,
        /// How far back.
        #[arg(long, default_value = "90d", value_parser = duration)]
        last: std::time::Duration,
        #[command(flatten)]
        place: Place,
    },
    /// Steps by the minutes of human time they take in a month.
    Toil {
        #[arg(long, default_value = "30d", value_parser = duration)]
        last: std::time::Duration,
        #[command(flatten)]
        place: Place,
    },
    /// A draft runbook from the commands of an incident: a shell history, or a file with one command per line.
    Draft {
        file: PathBuf,
        #[arg(long, default_value = "What happened")]
        title: String,
    },
    /// The record of who did what.
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check the chain; names the first bad row.
    Verify {
        /// File with heads that were exported before: lines of a row's number and its hash.
        #[arg(long, value_name = "FILE")]
        anchors: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Number and hash of the last row, to be kept elsewhere.
    Head {
        #[command(flatten)]
        place: Place,
    },
}

/// Where the journal is.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Folder with the journal.
    #[arg(long, value_name = "DIR", default_value = "bellwether-data")]
    pub data: PathBuf,
    /// Ask this server instead of working on the folder.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// API token for the server.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Configuration with databases, chat rooms and the file of ssh.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prometheus (or Bellwether) that answers queries.
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// Database of SQL steps: NAME=ADDRESS, the address perhaps a secret://… reference.
    #[arg(long = "database", value_name = "NAME=ADDRESS")]
    pub databases: Vec<String>,
    /// Configuration file of ssh.
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// One JSON object per line.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    pub file: PathBuf,
    /// Inputs: name=value.
    #[arg(long = "input", value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// Labels of an alert that inputs come from: name=value.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Which part: diagnosis, fix, or a step's id.
    #[arg(long, default_value = "fix")]
    pub part: String,
    /// Prometheus (or Bellwether) that answers queries.
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// Folder that keeps saved plans.
    #[arg(long, value_name = "DIR", default_value = "bellwether-data")]
    pub data: PathBuf,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    pub file: PathBuf,
    /// The digest that `plan` printed; a plan with another one does not run.
    #[arg(long)]
    pub digest: String,
    /// Inputs: name=value.
    #[arg(long = "input", value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// Labels of an alert that inputs come from: name=value.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Which part: diagnosis, fix, or a step's id.
    #[arg(long, default_value = "fix")]
    pub part: String,
    /// Run although another person should approve: it is recorded for review.
    #[arg(long, value_name = "REASON")]
    pub break_glass: Option<String>,
    #[command(flatten)]
    pub settle: Settle,
    #[command(flatten)]
    pub place: Place,
}

/// A person's word, for a run that waits for it; asked for at a terminal.
#[derive(Clone, Debug, Default, Args)]
pub struct Settle {
    /// Number of targets, for a step that must be confirmed.
    #[arg(long, value_name = "TARGETS")]
    pub confirm: Option<u32>,
    /// This step was done (a manual one, or one of unknown outcome).
    #[arg(long, value_name = "STEP")]
    pub done: Vec<String>,
    /// This step was not done.
    #[arg(long, value_name = "STEP")]
    pub not_done: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rung {
    Shadow,
    Automatic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Brake {
    On,
    Off,
}
