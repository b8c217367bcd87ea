//! Schedules: from a configuration, or from a running server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_page::schedule::import::{self, Product};
use bellwether_page::schedule::report;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{complain, offline, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::{Oncall, OncallProduct, OncallSource, OncallSpan};
use crate::client::Client;
use crate::config::Config;
use crate::oncall::{OnCallView, parse_time};

/// Bytes of a file to import.
const IMPORT_MAX: u64 = 64 << 20;
/// Gaps, moved shifts and so on that the terminal shows.
pub(super) const LINES_MAX: usize = 200;

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// An error for the terminal, and how the program ends.
struct Failed(ExitCode);

fn bad(error: impl std::fmt::Display) -> Failed {
    complain(error);
    Failed(ExitCode::from(EXIT_BAD_INPUT))
}

pub(super) async fn run(command: Oncall) -> ExitCode {
    let result = match command {
        Oncall::Who {
            schedule,
            at,
            source,
        } => who(schedule.as_deref(), at.as_deref(), &source).await,
        Oncall::Show { span, source } => show(&span, &source).await,
        Oncall::Gaps { span, source } => gaps(&span, &source).await,
        Oncall::Fairness { span, source } => fairness(&span, &source).await,
        Oncall::Diff {
            before,
            after,
            span,
            json,
        } => diff(&before, &after, &span, json),
        Oncall::Import {
            from,
            files,
            name,
            timezone,
            json,
        } => import_files(from, &files, &name, &timezone, json),
        Oncall::Sim(args) => Ok(super::oncall_sim::run(&args)),
        Oncall::Export {
            person,
            span,
            source,
        } => export(person.as_deref(), &span, &source).await,
    };
    result.unwrap_or_else(|Failed(code)| code)
}

/// A configuration without errors; its problems are printed.
pub(super) fn load(file: &Path) -> Result<Config, ExitCode> {
    let (config, problems) = Config::load(file);
    let good = !problems.has_errors();
    config
        .filter(|_| good)
        .ok_or_else(|| offline::print_problems(&problems, false, EXIT_BAD_INPUT))
}

/// Where schedules are asked for.
enum Source {
    File(Box<Config>),
    Server(Client),
}

impl Source {
    fn open(source: &OncallSource) -> Result<Self, Failed> {
        match &source.config {
            Some(file) => load(file)
                .map(|config| Self::File(Box::new(config)))
                .map_err(Failed),
            None => Ok(Self::Server(Client::new(&source.server))),
        }
    }

    async fn get(client: &Client, path: &str) -> Result<Value, Failed> {
        client.get(path).await.map_err(|error| {
            complain(error);
            Failed(ExitCode::FAILURE)
        })
    }

    /// Names and zones of the schedules that are asked for.
    async fn schedules(&self, name: Option<&str>) -> Result<Vec<(String, TimeZone)>, Failed> {
        let all: Vec<(String, String)> = match self {
            Self::File(config) => config
                .page
                .oncall
                .schedules
                .values()
                .map(|schedule| (schedule.name.clone(), schedule.time_zone_name.clone()))
                .collect(),
            Self::Server(client) => Self::get(client, "/oncall/schedules")
                .await?
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| {
                    (
                        text(one, "schedule").to_owned(),
                        text(one, "time_zone").to_owned(),
                    )
                })
                .collect(),
        };
        let found: Vec<(String, TimeZone)> = all
            .iter()
            .filter(|(known, _)| name.is_none_or(|name| name == known))
            .map(|(name, zone)| (name.clone(), TimeZone::get(zone).unwrap_or(TimeZone::UTC)))
            .collect();
        match name {
            Some(name) if found.is_empty() => {
                let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
                let hint = match names.as_slice() {
                    [] => "there are no schedules in the oncall section".to_owned(),
                    names => format!("there is {}", names.join(", ")),
                };
                Err(bad(format_args!(
                    "there is no schedule {name:?}\nhint: {hint}"
                )))
            }
            _ => Ok(found),
        }
    }

    /// One view (`shifts`, `gaps`, `fairness`, `who`) of a schedule.
    async fn view(
        &self,
        what: &str,
        schedule: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Value, Failed> {
        match self {
            Self::Server(client) => {
                let path = format!("/oncall/{}/{what}?from={from}&to={to}", encode(schedule));
                Self::get(client, &path).await
            }
            Self::File(config) => {
                let view = OnCallView {
                    oncall: &config.page.oncall,
                    overrides: Vec::new(),
                };
                let schedule = &config.page.oncall.schedules[schedule];
                Ok(match what {
                    "who" => view.who(schedule, from),
                    "gaps" => view.gaps(schedule, from, to),
                    "fairness" => view.fairness(schedule, from, to),
                    _ => view.shifts(schedule, from, to),
                })
            }
        }
    }
}

/// A name in a path.
fn encode(name: &str) -> String {
    name.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => (b as char).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

fn span_of(span: &OncallSpan, zone: &TimeZone) -> Result<(Timestamp, Timestamp), Failed> {
    let from = match &span.from {
        Some(text) => {
            parse_time(text, zone).map_err(|error| bad(format_args!("--from: {error}")))?
        }
        None => {
            let now = SystemClock::new().now();
            Timestamp::from_second(now.as_second()).unwrap_or(now)
        }
    };
    let to = match &span.to {
        Some(text) => parse_time(text, zone).map_err(|error| bad(format_args!("--to: {error}")))?,
        None => {
            let ahead =
                SignedDuration::try_from(span.ahead).unwrap_or(SignedDuration::from_hours(336));
            from.checked_add(ahead).unwrap_or(Timestamp::MAX)
        }
    };
    if from >= to {
        return Err(bad("--to is not after --from"));
    }
    if to.duration_since(from) > SignedDuration::from_hours(24 * 400) {
        return Err(bad("at most 400 days at once"));
    }
    Ok((from, to))
}

pub(super) fn local(at: &Value, zone: &TimeZone) -> String {
    let at: Option<Timestamp> = at.as_str().and_then(|text| text.parse().ok());
    at.map(|at| {
        at.to_zoned(zone.clone())
            .strftime("%a %F %H:%M")
            .to_string()
    })
    .unwrap_or_default()
}

/// Asks one view of every schedule: name, zone, answer.
async fn each(
    what: &str,
    span: &OncallSpan,
    source: &OncallSource,
) -> Result<Vec<(String, TimeZone, Value)>, Failed> {
    let from = Source::open(source)?;
    let mut found = Vec::new();
    for (name, zone) in from.schedules(span.schedule.as_deref()).await? {
        let (start, end) = span_of(span, &zone)?;
        let value = from.view(what, &name, start, end).await?;
        found.push((name, zone, value));
    }
    if found.is_empty() && !source.server.json {
        say("there are no schedules in the oncall section");
    }
    Ok(found)
}

async fn who(
    schedule: Option<&str>,
    at: Option<&str>,
    source: &OncallSource,
) -> Result<ExitCode, Failed> {
    let from = Source::open(source)?;
    let mut all = Vec::new();
    for (name, zone) in from.schedules(schedule).await? {
        let at = match at {
            Some(text) => {
                parse_time(text, &zone).map_err(|error| bad(format_args!("--at: {error}")))?
            }
            None => SystemClock::new().now(),
        };
        let end = at.checked_add(SignedDuration::from_secs(1)).unwrap_or(at);
        all.push(from.view("who", &name, at, end).await?);
    }
    if source.server.json {
        say(json!(all));
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        say("there are no schedules in the oncall section");
    }
    for schedule in &all {
        let people: Vec<String> = schedule["on_call"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| format!("{} ({})", text(one, "name"), text(one, "source")))
            .collect();
        let people = if people.is_empty() {
            "nobody".to_owned()
        } else {
            people.join(", ")
        };
        say(format_args!("{}: {people}", text(schedule, "schedule")));
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(span: &OncallSpan, source: &OncallSource) -> Result<ExitCode, Failed> {
    let all = each("shifts", span, source).await?;
    if source.server.json {
        let all: Vec<Value> = all
            .into_iter()
            .map(|(name, _, shifts)| json!({"schedule": name, "shifts": shifts}))
            .collect();
        say(json!(all));
        return Ok(ExitCode::SUCCESS);
    }
    for (name, zone, shifts) in &all {
        say(format_args!(
            "{name} ({})",
            zone.iana_name().unwrap_or("UTC")
        ));
        for shift in shifts.as_array().into_iter().flatten() {
            say(format_args!(
                "  {} - {}  {} ({})",
                local(&shift["start"], zone),
                local(&shift["end"], zone),
                text(shift, "person"),
                text(shift, "source"),
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn length(seconds: i64) -> String {
    let duration = std::time::Duration::from_secs(seconds.unsigned_abs());
    bellwether_model::duration::format_brief(duration)
}

async fn gaps(span: &OncallSpan, source: &OncallSource) -> Result<ExitCode, Failed> {
    let all = each("gaps", span, source).await?;
    let count: usize = all
        .iter()
        .map(|(_, _, gaps)| gaps.as_array().map_or(0, Vec::len))
        .sum();
    if source.server.json {
        let all: Vec<Value> = all.into_iter().map(|(_, _, gaps)| gaps).collect();
        let flat: Vec<&Value> = all.iter().filter_map(Value::as_array).flatten().collect();
        say(json!(flat));
    } else {
        for (name, zone, gaps) in &all {
            for gap in gaps.as_array().into_iter().flatten().take(LINES_MAX) {
                say(format_args!(
                    "{name}: nobody from {} to {} ({})",
                    local(&gap["start"], zone),
                    local(&gap["end"], zone),
                    length(gap["seconds"].as_i64().unwrap_or(0)),
                ));
            }
        }
        match count {
            0 => say("no gaps"),
            1 => say("1 gap"),
            n => say(format_args!("{n} gaps")),
        }
    }
    Ok(ExitCode::from(u8::from(count > 0)))
}

async fn fairness(span: &OncallSpan, source: &OncallSource) -> Result<ExitCode, Failed> {
    let all = each("fairness", span, source).await?;
    if source.server.json {
        let all: Vec<Value> = all.into_iter().map(|(_, _, report)| report).collect();
        say(json!(all));
        return Ok(ExitCode::SUCCESS);
    }
    for (name, _, report) in &all {
        let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or(0.0);
        say(format_args!(
            "{name}: hours even to {:.0} %, nights to {:.0} %",
            number(report, "evenness") * 100.0,
            number(report, "night_evenness") * 100.0,
        ));
        say(
            "  person            shifts   hours  night  weekend  nights  in a row  clock change  least rest  share",
        );
        for one in report["people"].as_array().into_iter().flatten() {
            let rest = one["least_rest_hours"]
                .as_f64()
                .map_or_else(|| "-".to_owned(), |hours| format!("{hours:.1} h"));
            let count = |key: &str| one[key].as_u64().unwrap_or(0);
            say(format_args!(
                "  {:<16} {:>7} {:>7.1} {:>6.1} {:>8.1} {:>7} {:>9} {:>13} {:>11} {:>5.0}%",
                text(one, "person"),
                count("shifts"),
                number(one, "hours"),
                number(one, "night_hours"),
                number(one, "weekend_hours"),
                count("nights"),
                count("nights_in_a_row"),
                count("clock_change_nights"),
                rest,
                number(one, "share") * 100.0,
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn people(names: &[String]) -> String {
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}

fn diff(before: &Path, after: &Path, span: &OncallSpan, json: bool) -> Result<ExitCode, Failed> {
    let (old, new) = (load(before).map_err(Failed)?, load(after).map_err(Failed)?);
    let (old, new) = (&old.page.oncall.schedules, &new.page.oncall.schedules);
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut findings = false;
    let mut all = Vec::new();
    for name in names {
        if span.schedule.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let Some(schedule) = new.get(name).or_else(|| old.get(name)) else {
            continue;
        };
        let (from, to) = span_of(span, &schedule.time_zone)?;
        let shifts = |one: Option<&bellwether_page::schedule::Schedule>| {
            one.map(|one| one.shifts(from, to, &[])).unwrap_or_default()
        };
        let (was, is) = (shifts(old.get(name)), shifts(new.get(name)));
        let changes = report::changes(schedule, &was, &is, (from, to));
        findings |= !changes.gaps_added.is_empty();
        if json {
            all.push(json!({"schedule": name, "changes": changes}));
            continue;
        }
        let zone = &schedule.time_zone;
        let at = |at: Timestamp| local(&json!(at), zone);
        if changes.is_empty() {
            say(format_args!("{name}: nothing changes"));
            continue;
        }
        let how = match (old.get(name), new.get(name)) {
            (None, _) => " (new)",
            (_, None) => " (gone)",
            _ => "",
        };
        say(format_args!("{name}{how}:"));
        for moved in changes.moved.iter().take(LINES_MAX) {
            say(format_args!(
                "  {} - {}  {} -> {}",
                at(moved.start),
                at(moved.end),
                people(&moved.before),
                people(&moved.after)
            ));
        }
        if changes.moved.len() > LINES_MAX {
            say(format_args!(
                "  and {} more",
                changes.moved.len() - LINES_MAX
            ));
        }
        for (word, gaps) in [
            ("new gap", &changes.gaps_added),
            ("gap closed", &changes.gaps_closed),
        ] {
            for gap in gaps {
                say(format_args!(
                    "  {word}: {} - {} ({})",
                    at(gap.start),
                    at(gap.end),
                    length(gap.seconds)
                ));
            }
        }
        for (word, lines) in [
            (
                "nights in a row over a hand-over",
                &changes.nights_in_a_row_added,
            ),
            (
                "night with a change of the clock",
                &changes.clock_change_nights_added,
            ),
        ] {
            for line in lines {
                say(format_args!("  {word}: {line}"));
            }
        }
    }
    if json {
        say(json!(all));
    }
    Ok(ExitCode::from(u8::from(findings)))
}

fn read_file(file: &Path) -> Result<String, Failed> {
    let failed = |error: std::io::Error| bad(format_args!("{}: {error}", file.display()));
    let size = std::fs::metadata(file).map_err(failed)?.len();
    if size > IMPORT_MAX {
        return Err(bad(format_args!(
            "{}: more than {} MiB",
            file.display(),
            IMPORT_MAX >> 20
        )));
    }
    std::fs::read_to_string(file).map_err(failed)
}

fn import_files(
    from: OncallProduct,
    files: &[PathBuf],
    name: &str,
    timezone: &str,
    as_json: bool,
) -> Result<ExitCode, Failed> {
    let product = match from {
        OncallProduct::Pagerduty => Product::PagerDuty,
        OncallProduct::Opsgenie => Product::Opsgenie,
        OncallProduct::GrafanaOncall => Product::GrafanaOnCall,
        OncallProduct::Goalert => Product::GoAlert,
        OncallProduct::Ical => return import_calendar(files, name, timezone, as_json),
    };
    let mut documents = Vec::new();
    for file in files {
        let text = read_file(file)?;
        // One document, or one per line.
        for document in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            documents.push(document.map_err(|error| {
                let (line, column) = (error.line(), error.column());
                bad(format_args!(
                    "{}:{line}:{column}: not JSON: {error}\nhint: save the API's answers as they are",
                    file.display()
                ))
            })?);
        }
    }
    let found = import::import(product, &documents, SystemClock::new().now());
    Ok(print_import(&found, as_json))
}

fn import_calendar(
    files: &[PathBuf],
    name: &str,
    timezone: &str,
    as_json: bool,
) -> Result<ExitCode, Failed> {
    let [file] = files else {
        return Err(bad("one iCalendar file at a time"));
    };
    let zone = TimeZone::get(timezone).map_err(|_| {
        bad(format_args!(
            "unknown time zone {timezone:?}\nhint: an IANA name such as Europe/Berlin"
        ))
    })?;
    let found = import::calendar(name, &read_file(file)?, timezone, &zone);
    Ok(print_import(&found, as_json))
}

fn print_import(found: &import::Imported, as_json: bool) -> ExitCode {
    let yaml = found.to_yaml();
    if as_json {
        say(json!({"yaml": yaml, "notes": found.notes}));
    } else {
        say(yaml.trim_end());
    }
    let empty =
        found.schedules.iter().all(|one| one.layers.is_empty()) && found.policies.is_empty();
    if empty {
        for note in &found.notes {
            complain(note);
        }
        return ExitCode::from(EXIT_BAD_INPUT);
    }
    ExitCode::SUCCESS
}

async fn export(
    person: Option<&str>,
    span: &OncallSpan,
    source: &OncallSource,
) -> Result<ExitCode, Failed> {
    use bellwether_page::schedule::{Shift, ShiftSource, ical};
    let all = each("shifts", span, source).await?;
    let mut shifts: Vec<(String, String, Shift)> = Vec::new();
    for (schedule, _, found) in &all {
        for one in found.as_array().into_iter().flatten() {
            if person.is_some_and(|person| person != text(one, "person")) {
                continue;
            }
            let (Ok(start), Ok(end)) = (text(one, "start").parse(), text(one, "end").parse())
            else {
                continue;
            };
            let shift = Shift {
                start,
                end,
                person: text(one, "person").to_owned(),
                source: ShiftSource::Layer(
                    text(one, "source").trim_start_matches("layer ").to_owned(),
                ),
            };
            shifts.push((schedule.clone(), text(one, "name").to_owned(), shift));
        }
    }
    let entries = shifts.iter().map(|(schedule, name, shift)| ical::Entry {
        schedule,
        shift,
        name,
    });
    let calendar = ical::feed("on call", entries, SystemClock::new().now());
    say(calendar.trim_end());
    Ok(ExitCode::SUCCESS)
}
