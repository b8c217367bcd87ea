//! `oncall sim`: who would be paged when.

use std::process::ExitCode;
use std::sync::Arc;

use bellwether_model::Problems;
use bellwether_page::PageConfig;
use bellwether_sim::oncall::{Failure, Played, Rehearsal, differences, read_alerts, rehearse};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::oncall::{LINES_MAX, load, local};
use super::{complain, offline, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::OncallSim;
use crate::oncall::parse_time;

/// Days that one rehearsal may cover.
const DAYS_MAX: i64 = 100;

pub(super) fn run(args: &OncallSim) -> ExitCode {
    match rehearse_all(args) {
        Ok(code) => code,
        Err(code) => code,
    }
}

fn bad(error: impl std::fmt::Display) -> ExitCode {
    complain(error);
    ExitCode::from(EXIT_BAD_INPUT)
}

fn plan(
    args: &OncallSim,
    config: Arc<PageConfig>,
    zone: &TimeZone,
    (from, to): (Timestamp, Timestamp),
) -> Result<Rehearsal, ExitCode> {
    let name = args.alerts.display().to_string();
    let text = std::fs::read_to_string(&args.alerts)
        .map_err(|error| bad(format_args!("{name}: {error}")))?;
    let mut problems = Problems::default();
    let alerts = read_alerts(&name, &text, zone, from, &mut problems);
    if problems.has_errors() {
        return Err(offline::print_problems(&problems, false, EXIT_BAD_INPUT));
    }
    let failures = args
        .fail
        .iter()
        .map(|text| Failure::parse(text, &config.oncall))
        .collect::<Result<Vec<_>, String>>()
        .map_err(|error| bad(format_args!("--fail: {error}")))?;
    Ok(Rehearsal {
        config,
        from,
        to,
        alerts,
        failures,
        answer_in: args.answer_in,
    })
}

fn rehearse_all(args: &OncallSim) -> Result<ExitCode, ExitCode> {
    let config = Arc::clone(&load(&args.config)?.page);
    let zone = match &args.timezone {
        Some(name) => TimeZone::get(name).map_err(|_| {
            bad(format_args!(
                "unknown time zone {name:?}\nhint: an IANA name such as Europe/Berlin"
            ))
        })?,
        None => {
            let first = config.oncall.schedules.values().next();
            first.map_or(TimeZone::UTC, |schedule| schedule.time_zone.clone())
        }
    };
    let time = |text: &str, what: &str| {
        parse_time(text, &zone).map_err(|error| bad(format_args!("{what}: {error}")))
    };
    let (from, to) = (time(&args.from, "--from")?, time(&args.to, "--to")?);
    if from >= to || to.duration_since(from) > SignedDuration::from_hours(24 * DAYS_MAX) {
        return Err(bad(format_args!(
            "--to is after --from, by at most {DAYS_MAX} days"
        )));
    }
    let played = rehearse(&plan(args, config, &zone, (from, to))?);
    if let Some(before) = &args.before {
        let before = Arc::clone(&load(before)?.page);
        let was = rehearse(&plan(args, before, &zone, (from, to))?);
        let lines = differences(&was, &played);
        if args.json {
            say(json!({"before": was.cases, "after": played.cases, "differences": lines}));
        } else if lines.is_empty() {
            say("nothing changes");
        } else {
            for line in lines.iter().take(LINES_MAX) {
                say(line);
            }
            say(format_args!("{} cases differ", lines.len()));
        }
        return Ok(verdict(&played));
    }
    if args.json {
        say(json!(played));
    } else {
        print(&played, &zone);
    }
    Ok(verdict(&played))
}

/// 1 when somebody was to be paged and nobody answered before it was over.
fn verdict(played: &Played) -> ExitCode {
    let unanswered = played
        .cases
        .iter()
        .any(|case| case.exhausted && case.acknowledged.is_none());
    ExitCode::from(u8::from(unanswered))
}

fn print(played: &Played, zone: &TimeZone) {
    let at = |at: Timestamp| {
        at.to_zoned(zone.clone())
            .strftime("%a %F %H:%M:%S")
            .to_string()
    };
    for line in &played.lines {
        say(format_args!(
            "{}  {:<5}  {}",
            at(line.at),
            line.case,
            line.text
        ));
    }
    for note in &played.notes {
        say(format_args!("not paged: {note}"));
    }
    for case in &played.cases {
        let first = case.first_page.as_ref().map_or_else(
            || "nobody was paged".to_owned(),
            |(person, channel, when)| {
                format!(
                    "first page {} to {person} by {channel}",
                    local(&json!(when), zone)
                )
            },
        );
        let answer = match &case.acknowledged {
            Some((person, when)) => format!("{person} took it at {}", local(&json!(when), zone)),
            None if case.exhausted => {
                "nobody answered: the policy ended at its fallback".to_owned()
            }
            None => "nobody had answered when it was over".to_owned(),
        };
        say(format_args!(
            "{} {}: {first}, {} pages to {}; {answer}",
            case.code,
            case.title,
            case.pages,
            if case.paged.is_empty() {
                "nobody".to_owned()
            } else {
                case.paged.join(", ")
            },
        ));
    }
    if played.cases.is_empty() {
        say("no case was opened");
    }
}
