//! The lab: comparing, gating, experiments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::duration;

#[derive(Debug, Args)]
#[command(after_help = "\
Commands and URLs are run by turns (A B, B A, A B, ...), each run in a fresh process, until everything is decided or the \
pairs are used up; looking after every pair is allowed for. `same` means that equivalence within the floor was shown; \
what the data do not decide is `cannot-tell`.

Exit codes: 0 same, better or cannot-tell; 1 worse (with --strict also cannot-tell); 64 bad input.

Examples:
  bellwether compare 'sort -u old.txt' 'sort old.txt | uniq'
  bellwether compare http://127.0.0.1:8080/ http://127.0.0.1:8081/ --rate 200 --duration 5s --pid-base 11 --pid-candidate 12
  bellwether compare before.json after.json
  bellwether compare --read go 'cd old && go test -bench .' 'cd new && go test -bench .'")]
pub struct Compare {
    /// A command, a URL, or a file of results.
    pub base: String,
    /// The same for the other side.
    pub candidate: String,
    #[command(flatten)]
    pub options: CompareOptions,
    /// Result as JSON, raw values included.
    #[arg(long)]
    pub json: bool,
    /// Result as Markdown.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Draw the distributions of each metric: one SVG file in this folder for each.
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// `cannot-tell` fails too.
    #[arg(long)]
    pub strict: bool,
    /// Show nothing while it goes on.
    #[arg(short, long)]
    pub quiet: bool,
}

/// How a comparison is made; experiments keep these.
#[derive(Clone, Debug, Args)]
pub struct CompareOptions {
    /// What the two are; by default URLs begin with http, files exist, everything else is a command.
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    pub as_: Option<SubjectKind>,
    /// Pairs of runs before the first verdict.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub pairs_min: usize,
    /// Pairs of runs at most.
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub pairs_max: usize,
    /// Confidence of all claims together.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    pub confidence: f64,
    /// Smallest change of a time or result that matters.
    #[arg(long, value_name = "SHARE", default_value = "3%", value_parser = share)]
    pub floor: f64,
    /// Smallest change of CPU time that matters.
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    pub floor_cpu: f64,
    /// Smallest change of peak memory that matters.
    #[arg(long, value_name = "SHARE", default_value = "3%", value_parser = share)]
    pub floor_memory: f64,
    /// Runs of each side that are thrown away first.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub warmup: usize,
    /// Time limit of one run.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub timeout: Duration,
    /// A command before each run, not measured.
    #[arg(long, value_name = "COMMAND")]
    pub before_each: Option<String>,
    /// The commands print results: compare those, in this format (auto, criterion, hyperfine, pytest-benchmark, go, jmh, lines).
    #[arg(long, value_name = "FORMAT")]
    pub read: Option<String>,
    /// Of URLs: requests a second.
    #[arg(long, value_name = "RATE", default_value_t = 100.0)]
    pub rate: f64,
    /// Of URLs: length of each run.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub duration: Duration,
    /// Of URLs: a further argument for the load generator; repeatable.
    #[arg(long = "load-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub load_args: Vec<String>,
    /// Of URLs: the server's process, for CPU per request and memory.
    #[arg(long, value_name = "PID")]
    pub pid_base: Option<u32>,
    #[arg(long, value_name = "PID")]
    pub pid_candidate: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SubjectKind {
    Commands,
    Urls,
    Results,
}

/// Where the gate's file is, and how it answers.
#[derive(Clone, Debug, Args)]
pub struct GateArgs {
    /// The gate's file.
    #[arg(long, value_name = "FILE", default_value = "bellwether-gate.yml")]
    pub config: PathBuf,
    /// The commit in question.
    #[arg(long, value_name = "COMMIT", default_value = "HEAD")]
    pub commit: String,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Gate {
    /// Measure this commit and judge it against the budgets and the commits before it.
    ///
    /// Exit codes: 0 nothing fails; 1 something does (with --strict also what cannot be told); 64 bad input.
    Check {
        #[command(flatten)]
        gate: GateArgs,
        /// Result files instead of running and reading what the gate's file names; a folder means criterion's.
        #[arg(long, value_name = "FILE")]
        results: Vec<PathBuf>,
        /// What cannot be told fails too.
        #[arg(long)]
        strict: bool,
        /// Keep this commit's results in the history.
        #[arg(long)]
        record: bool,
        /// Do not run anything again, although the gate's file asks for it.
        #[arg(long)]
        no_confirm: bool,
        /// Write Markdown to a file.
        #[arg(long, value_name = "FILE")]
        markdown: Option<PathBuf>,
        /// Write JUnit XML to a file.
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
        /// Draw each series: one SVG file in this folder for each.
        #[arg(long, value_name = "DIR")]
        svg: Option<PathBuf>,
        #[command(flatten)]
        comment: CommentArgs,
    },
    /// Compare this commit with another, both built and run again by turns.
    Ab {
        #[command(flatten)]
        gate: GateArgs,
        /// The commit to compare with.
        #[arg(long, value_name = "COMMIT")]
        base: String,
        /// Only this series; repeatable.
        #[arg(long, value_name = "SERIES")]
        only: Vec<String>,
        /// `cannot-tell` fails too.
        #[arg(long)]
        strict: bool,
        /// Write Markdown to a file.
        #[arg(long, value_name = "FILE")]
        markdown: Option<PathBuf>,
        #[command(flatten)]
        comment: CommentArgs,
    },
    /// Keep this commit's results in the history.
    Record {
        #[command(flatten)]
        gate: GateArgs,
        /// Result files instead of running and reading what the gate's file names.
        #[arg(long, value_name = "FILE")]
        results: Vec<PathBuf>,
    },
    /// Take a series' level at this commit as the new normal.
    Accept {
        #[command(flatten)]
        gate: GateArgs,
        #[arg(required = true)]
        series: Vec<String>,
    },
    /// How often the gate errs on your series: shuffled and injected-shift trials.
    Calibrate {
        #[command(flatten)]
        gate: GateArgs,
        /// Series from files (one number to a line, oldest first) instead of the history.
        files: Vec<PathBuf>,
        /// Trials of each kind.
        #[arg(long, value_name = "N", default_value_t = 500)]
        trials: usize,
        /// Seed of the trials.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Find the commit that made a series worse, by git bisect with the gate's own test.
    Bisect {
        #[command(flatten)]
        gate: GateArgs,
        /// A commit before it.
        #[arg(long, value_name = "COMMIT")]
        good: String,
        /// A commit after it.
        #[arg(long, value_name = "COMMIT", default_value = "HEAD")]
        bad: String,
        /// The series that became worse; all by default.
        #[arg(long, value_name = "SERIES")]
        only: Vec<String>,
    },
    /// One step of a bisection, in the present folder.
    #[command(hide = true)]
    BisectStep {
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        good_folder: PathBuf,
        #[arg(long)]
        only: Vec<String>,
    },
}

/// Where a comment goes. Tokens come from the environment: GITLAB_TOKEN, GITHUB_TOKEN.
#[derive(Clone, Debug, Default, Args)]
pub struct CommentArgs {
    /// Write or renew a comment on this GitLab merge request: `group/project!12`, or `12345!12` by the project's number.
    #[arg(long, value_name = "PROJECT!NUMBER")]
    pub gitlab: Option<String>,
    /// Address of GitLab's API.
    #[arg(long, value_name = "URL", default_value = "https://gitlab.com/api/v4")]
    pub gitlab_api: String,
    /// Write or renew a comment on this GitHub pull request: `owner/repository#12`.
    #[arg(long, value_name = "OWNER/REPOSITORY#NUMBER")]
    pub github: Option<String>,
    /// Address of GitHub's API.
    #[arg(long, value_name = "URL", default_value = "https://api.github.com")]
    pub github_api: String,
}

#[derive(Debug, Subcommand)]
pub enum Exp {
    /// Plan an experiment: a hypothesis and the two things that are compared.
    New {
        title: String,
        /// What you expect, and why.
        #[arg(long)]
        hypothesis: String,
        #[arg(long, value_name = "SUBJECT")]
        base: String,
        #[arg(long, value_name = "SUBJECT")]
        candidate: String,
        #[command(flatten)]
        options: Box<CompareOptions>,
        #[command(flatten)]
        folder: ExpFolder,
    },
    /// Run a planned experiment, once.
    Run {
        /// Its name or number.
        id: String,
        #[command(flatten)]
        folder: ExpFolder,
        /// Show nothing while it goes on.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show an experiment, every number computed again from its raw data.
    ///
    /// Exit codes: 0 as it was written; 1 a file was changed, or the numbers are not reproduced.
    Show {
        /// Its name or number.
        id: String,
        #[command(flatten)]
        folder: ExpFolder,
        /// Draw the distributions of each metric: one SVG file in this folder for each.
        #[arg(long, value_name = "DIR")]
        svg: Option<PathBuf>,
    },
    /// List experiments.
    List {
        #[command(flatten)]
        folder: ExpFolder,
    },
    /// Write down what was decided, once.
    Decide {
        /// Its name or number.
        id: String,
        /// In a word: adopted, rejected.
        decision: String,
        #[arg(long)]
        why: String,
        #[command(flatten)]
        folder: ExpFolder,
    },
    /// How many statements a request costs PostgreSQL, on a small and a large input: budgets and N+1.
    ///
    /// Reads pg_stat_statements before and after. Exit codes: 0 within the budget and no N+1; 1 not; 64 bad input.
    Queries {
        /// postgres://user@host/database, with a role that may read pg_stat_statements (BELLWETHER_QUERIES_DATABASE).
        #[arg(long, value_name = "URL")]
        database: Option<String>,
        /// A URL that is requested, or a command: on the small input.
        #[arg(long, value_name = "URL|COMMAND")]
        small: String,
        /// The same on the large input.
        #[arg(long, value_name = "URL|COMMAND")]
        large: String,
        /// Items of the small input.
        #[arg(long, value_name = "N", default_value_t = 1.0)]
        small_items: f64,
        /// Items of the large input.
        #[arg(long, value_name = "N", default_value_t = 10.0)]
        large_items: f64,
        /// Requests of each.
        #[arg(long, value_name = "N", default_value_t = 5)]
        requests: u64,
        /// Statements that one request on the large input may cost.
        #[arg(long, value_name = "N")]
        budget: Option<f64>,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Where experiments are.
#[derive(Clone, Debug, Args)]
pub struct ExpFolder {
    /// Folder of the experiments.
    #[arg(long, value_name = "DIR", default_value = ".bellwether/experiments")]
    pub dir: PathBuf,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `3%` or `0.03`.
fn share(text: &str) -> Result<f64, String> {
    bellwether_lab::gate::parse_share(text)
        .filter(|share| (0.0..=10.0).contains(share))
        .ok_or_else(|| "write it as 3% or 0.03".to_owned())
}
