//! Schedules.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ServerArgs, duration};

#[derive(Debug, Subcommand)]
pub enum Oncall {
    /// Who is on call, now or at a time.
    Who {
        /// Only this schedule.
        schedule: Option<String>,
        /// At this time instead of now: 2026-03-01T09:00 (local to the schedule) or 2026-03-01T08:00:00Z.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        #[command(flatten)]
        source: OncallSource,
    },
    /// Shifts, one per line.
    Show {
        #[command(flatten)]
        span: OncallSpan,
        #[command(flatten)]
        source: OncallSource,
    },
    /// Stretches in which nobody is on call; exit 1 when there are any.
    Gaps {
        #[command(flatten)]
        span: OncallSpan,
        #[command(flatten)]
        source: OncallSource,
    },
    /// Hours, nights and weekends of each person, and how even they are.
    Fairness {
        #[command(flatten)]
        span: OncallSpan,
        #[command(flatten)]
        source: OncallSource,
    },
    /// What an edit of the configuration changes: people, gaps, nights in a row, nights with a change of the clock.
    Diff {
        /// The configuration before.
        before: PathBuf,
        /// The configuration after.
        after: PathBuf,
        #[command(flatten)]
        span: OncallSpan,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make an `oncall` section from what another product's API returned, or from an iCalendar file.
    Import {
        /// Where the files come from.
        #[arg(value_enum)]
        from: OncallProduct,
        /// JSON answers (users, schedules, overrides, escalation policies; all at once), or one .ics file.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Name of the schedule that an iCalendar file becomes.
        #[arg(long, default_value = "calendar")]
        name: String,
        /// Time zone of an iCalendar file's days and floating times.
        #[arg(long, default_value = "UTC", value_name = "ZONE")]
        timezone: String,
        /// What was found as JSON: the YAML and the notes.
        #[arg(long)]
        json: bool,
    },
    /// Rehearse alerts: who is paged when, by the engine that pages; exit 1 when somebody had to answer and nobody did.
    Sim(OncallSim),
    /// Shifts as an iCalendar file.
    Export {
        /// Only this person's shifts.
        #[arg(long)]
        person: Option<String>,
        #[command(flatten)]
        span: OncallSpan,
        #[command(flatten)]
        source: OncallSource,
    },
}

/// What is rehearsed.
#[derive(Debug, Args)]
pub struct OncallSim {
    /// The configuration.
    #[arg(long, default_value = "bellwether.yml", value_name = "FILE")]
    pub config: PathBuf,
    /// Another configuration: print what changes from it to `--config` instead of what happens.
    #[arg(long, value_name = "FILE")]
    pub before: Option<PathBuf>,
    /// Beginning: 2026-03-01, 2026-03-01T09:00 or 2026-03-01T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// End.
    #[arg(long, value_name = "TIME")]
    pub to: String,
    /// Alerts (YAML or JSON): a list of {at, for, labels, annotations}, or of alerts as Alertmanager's API has them.
    #[arg(long, value_name = "FILE")]
    pub alerts: PathBuf,
    /// What does not work: "ana: asleep", "ana: asleep 22:00-07:00", "ana: answers in 20m", "ana: sms fails",
    /// "ntfy: down", "email: silent". Repeatable.
    #[arg(long, value_name = "WHO: WHAT")]
    pub fail: Vec<String>,
    /// How long people take to answer a page.
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub answer_in: std::time::Duration,
    /// Zone of times without an offset; by default that of the first schedule.
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Everything as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which time, of which schedule.
#[derive(Debug, Args)]
pub struct OncallSpan {
    /// Only this schedule.
    pub schedule: Option<String>,
    /// From this time on: 2026-03-01, 2026-03-01T09:00 (local to the schedule) or 2026-03-01T08:00:00Z; by default now.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Until this time.
    #[arg(long, value_name = "TIME", conflicts_with = "ahead")]
    pub to: Option<String>,
    /// How far from `--from` on.
    #[arg(long, default_value = "2w", value_parser = duration)]
    pub ahead: std::time::Duration,
}

/// A configuration file, or a running server.
#[derive(Debug, Args)]
pub struct OncallSource {
    /// Read this configuration instead of asking a server; overrides that are made on the server are not in it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OncallProduct {
    Pagerduty,
    Opsgenie,
    GrafanaOncall,
    Goalert,
    Ical,
}
