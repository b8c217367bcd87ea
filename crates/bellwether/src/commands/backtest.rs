//! `rules backtest`: rules over history.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bellwether_backtest::pages::Routing;
use bellwether_backtest::run::Backtest;
use bellwether_backtest::score::Night;
use bellwether_backtest::text::{self, Shown};
use bellwether_backtest::{Incident, compare, incidents, run as backtest};
use bellwether_env::{Clock, SystemClock};
use bellwether_judge::{EngineSettings, GroupConfig, RuleFile};
use bellwether_model::{MatchOp, Matcher, Problem, Problems, Severity};
use bellwether_page::NewSilence;
use bellwether_page::config::{PageConfig, ReadOptions};
use bellwether_promql::Engine;
use bellwether_yaml::MapReader;
use serde::Deserialize;
use serde_json::json;

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::{HistoryArgs, PagingArgs, RulesBacktest};
use crate::files::rule_files;
use crate::history::{self, History};
use crate::progress::Bar;

/// An incident is lost, or there are too many new pages.
const EXIT_WORSE: u8 = 3;

/// Why a command ends before its work: what is wrong has been printed, or is said here.
pub(super) enum Refused {
    Said,
    Text(String),
}

impl From<String> for Refused {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Refused {
    pub(super) fn exit(self) -> ExitCode {
        if let Self::Text(text) = self {
            complain(text);
        }
        ExitCode::from(EXIT_BAD_INPUT)
    }
}

/// Everything that arguments name, read.
pub(super) struct Given {
    pub(super) history: History,
    pub(super) settings: EngineSettings,
    pub(super) threads: usize,
    pub(super) routing: Routing,
    pub(super) incidents: Option<Vec<Incident>>,
    pub(super) night: Night,
}

pub(super) fn run(args: &RulesBacktest) -> ExitCode {
    match run_inner(args) {
        Ok(code) => code,
        Err(refused) => refused.exit(),
    }
}

fn run_inner(args: &RulesBacktest) -> Result<ExitCode, Refused> {
    let clock = SystemClock::new();
    let groups = read_rules(&args.files)?;
    let mut before = read_rules(&args.diff)?;
    same_files(&mut before, &groups);
    let given = given(&args.history, &args.paging)?;
    let sets = if args.diff.is_empty() { 1 } else { 2 };
    let bar = Bar::new("evaluations", sets * u64::from(args.phases));
    let promql = Engine::default();
    let with = Backtest {
        source: &*given.history.source,
        promql: &promql,
        settings: &given.settings,
        from: given.history.from,
        to: given.history.to,
        phases: usize::from(args.phases),
        threads: given.threads,
        routing: &given.routing,
        incidents: given.incidents.as_deref(),
        night: &given.night,
        progress: &bar,
    };
    let stopped = |_| Refused::Text("stopped".to_owned());
    let shown = |all| Shown {
        all,
        took: Some((cpu_ms(), clock.monotonic().as_millis() as u64)),
    };
    if args.diff.is_empty() {
        let report = backtest(&groups, &with).map_err(stopped)?;
        bar.clear();
        if args.json {
            say(json!(report));
        } else {
            say(text::report(&report, shown(args.all)).trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let comparison = compare(&before, &groups, &with).map_err(stopped)?;
    bar.clear();
    if args.json {
        say(json!(comparison));
    } else {
        say(text::comparison(&comparison, shown(args.all)).trim_end());
    }
    Ok(if comparison.is_worse(args.max_new_pages) {
        ExitCode::from(EXIT_WORSE)
    } else {
        ExitCode::SUCCESS
    })
}

/// Milliseconds of processor time that this process has used.
pub(super) fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = fields.split(' ').skip(11).take(2);
    // Linux' user-visible clock tick is 1/100 s.
    ticks
        .filter_map(|text| text.parse::<u64>().ok())
        .sum::<u64>()
        * 10
}

/// Reads rule files; a fault in one of them is printed and ends the command.
pub(super) fn read_rules(arguments: &[PathBuf]) -> Result<Vec<GroupConfig>, Refused> {
    let mut problems = Problems::default();
    let mut groups = Vec::new();
    if arguments.is_empty() {
        return Ok(groups);
    }
    for file in rule_files(arguments)? {
        let name = file.path.display().to_string();
        match std::fs::read_to_string(&file.path) {
            Ok(text) if !file.directly && !text.contains("groups") => {}
            Ok(text) => groups.extend(RuleFile::read(&name, &text, &mut problems)),
            Err(error) => problems.push(Problem::error(
                &name.as_str().into(),
                0,
                0,
                format!("cannot be read: {error}"),
            )),
        }
    }
    refuse_errors(&problems)?;
    if groups.iter().all(|group| group.rules.is_empty()) {
        return Err(Refused::Text("these files have no rules".to_owned()));
    }
    Ok(groups)
}

fn refuse_errors(problems: &Problems) -> Result<(), Refused> {
    // Warnings are what `rules check` and `check` are for.
    for problem in &problems.0 {
        if problem.severity == Severity::Error {
            eprintln!("{problem}");
        }
    }
    if problems.has_errors() {
        return Err(Refused::Said);
    }
    Ok(())
}

/// A group's slots depend on the name of its file. The other set of rules lies elsewhere: its groups get the files that
/// groups of the same name have here, so that only rules differ.
fn same_files(before: &mut [GroupConfig], groups: &[GroupConfig]) {
    for group in before {
        let mut likes = groups.iter().filter(|like| like.name == group.name);
        if let (Some(like), None) = (likes.next(), likes.next()) {
            group.file = Arc::clone(&like.file);
        }
    }
}

pub(super) fn given(history: &HistoryArgs, paging: &PagingArgs) -> Result<Given, Refused> {
    let opened = history::open(history)?;
    for warning in &opened.warnings {
        eprintln!("warning: {warning}");
    }
    let mut routing = match &paging.routes {
        Some(file) => Routing::new(read_routes(file)?),
        None => Routing::built_in(),
    };
    routing.page_receivers = paging.page_receiver.iter().cloned().collect();
    let known: BTreeSet<&String> = routing.config.receivers.keys().collect();
    if let Some(unknown) = paging
        .page_receiver
        .iter()
        .find(|name| !known.contains(name))
    {
        let names: Vec<&str> = known.into_iter().map(String::as_str).collect();
        return Err(Refused::Text(format!(
            "--page-receiver {unknown}: no such receiver\nhint: there is {}",
            names.join(", ")
        )));
    }
    if let Some(file) = &paging.silences {
        routing.silences = read_silences(file)?;
    }
    let settings = EngineSettings {
        evaluation_interval: history.evaluation_interval,
        query_offset: history.query_offset,
        ..EngineSettings::default()
    };
    let incidents = match paging.incidents.as_deref() {
        None => None,
        Some("stored") => Some(stored_incidents(&history.data)?),
        Some(file) => Some(read_incidents(Path::new(file))?),
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Given {
        threads: history.threads.unwrap_or(processors).clamp(1, 256),
        history: opened,
        settings,
        routing,
        incidents,
        night: read_night(&paging.night, &paging.time_zone)?,
    })
}

fn read_text(file: &Path) -> Result<String, Refused> {
    std::fs::read_to_string(file)
        .map_err(|error| Refused::Text(format!("{}: cannot be read: {error}", file.display())))
}

/// An Alertmanager's file, or ours: what is not about paging is left alone.
fn read_routes(file: &Path) -> Result<PageConfig, Refused> {
    const ELSEWHERE: [&str; 15] = [
        "scrape_configs",
        "rule_files",
        "probes",
        "slos",
        "runbooks",
        "default_rules",
        "host",
        "find_services",
        "alerting",
        "remote_write",
        "remote_read",
        "storage",
        "otlp",
        "runtime",
        "scrape_config_files",
    ];
    let text = read_text(file)?;
    let name = file.display().to_string();
    let mut problems = Problems::default();
    let Some(node) = bellwether_yaml::parse(&name, &text, &mut problems) else {
        refuse_errors(&problems)?;
        return Err(Refused::Text(format!("{name}: empty")));
    };
    let options = ReadOptions {
        foreign_global_keys: crate::config::PROMETHEUS_GLOBALS.to_vec(),
        ..ReadOptions::default()
    };
    let mut map = MapReader::new(&node, "configuration", &mut problems);
    let config = PageConfig::read(&mut map, &options);
    map.ignore(&ELSEWHERE);
    map.finish();
    if node.get("route").is_none() {
        problems.push(
            node.error("no route in this file")
                .with_hint("--routes takes an alertmanager.yml"),
        );
    }
    refuse_errors(&problems)?;
    Ok(config)
}

/// A silence as Alertmanager's API v2 has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiSilence {
    matchers: Vec<ApiMatcher>,
    starts_at: jiff::Timestamp,
    ends_at: jiff::Timestamp,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiMatcher {
    name: String,
    value: String,
    #[serde(default)]
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

fn yes() -> bool {
    true
}

fn read_silences(file: &Path) -> Result<Vec<NewSilence>, Refused> {
    let fail = |error: String| Refused::Text(format!("{}: {error}", file.display()));
    let text = read_text(file)?;
    let all: Vec<ApiSilence> = serde_json::from_str(&text).map_err(|error| {
        fail(format!(
            "{error}\nhint: `amtool silence query -o json` prints such a list"
        ))
    })?;
    all.into_iter()
        .map(|silence| {
            let matchers: Result<Vec<Matcher>, _> = silence
                .matchers
                .iter()
                .map(|matcher| {
                    let op = match (matcher.is_regex, matcher.is_equal) {
                        (false, true) => MatchOp::Equal,
                        (false, false) => MatchOp::NotEqual,
                        (true, true) => MatchOp::Regex,
                        (true, false) => MatchOp::NotRegex,
                    };
                    Matcher::new(op, &matcher.name, &matcher.value)
                })
                .collect();
            Ok(NewSilence {
                id: None,
                matcher_sets: vec![matchers.map_err(|error| fail(error.to_string()))?],
                starts_at: Some(silence.starts_at),
                ends_at: silence.ends_at,
                created_by: silence.created_by,
                comment: silence.comment,
                ..NewSilence::default()
            })
        })
        .collect()
}

fn read_incidents(file: &Path) -> Result<Vec<Incident>, Refused> {
    let text = read_text(file)?;
    let mut problems = Problems::default();
    let all = incidents::read(&file.display().to_string(), &text, &mut problems);
    refuse_errors(&problems)?;
    Ok(all)
}

/// Urgent cases of a data folder that people took.
fn stored_incidents(data: &Path) -> Result<Vec<Incident>, Refused> {
    use bellwether_store::{EventFilter, SqliteStore, Store as _};
    let file = data.join("state.sqlite");
    if !file.is_file() {
        return Err(Refused::Text(format!(
            "{} has no cases\nhint: name the data folder of a server with --data",
            data.display()
        )));
    }
    let store = SqliteStore::open(&file).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let events = runtime
        .block_on(store.events(EventFilter::default()))
        .map_err(|error| error.to_string())?;
    let now = SystemClock::new().now();
    Ok(incidents::from_timeline(
        events.iter().map(|event| &event.new),
        now,
    ))
}

fn read_night(text: &str, zone: &str) -> Result<Night, Refused> {
    let minutes = |text: &str| -> Option<u32> {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour <= 24 && minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
    };
    let times = text
        .split_once('-')
        .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
    let (from, to) = times.ok_or_else(|| format!("--night {text:?}: write it as 22:00-07:00"))?;
    let zone = jiff::tz::TimeZone::get(zone).map_err(|error| format!("--time-zone: {error}"))?;
    Ok(Night { from, to, zone })
}
