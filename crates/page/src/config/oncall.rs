//! The `oncall` section.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::{Problem, Problems, suggest};
use bellwether_yaml::{MapReader, Node, Value};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use super::intervals::minute_of_day;
use super::{
    Channel, DEFAULT_PERSON, DEFAULT_POLICY, Ntfy, OnCall, Person, Policy, Rule, Step, Target,
};
use crate::schedule::{Layer, Restriction, Schedule, Turn};

const MINUTE: Duration = Duration::from_mins(1);

impl Default for OnCall {
    /// The person at the keyboard.
    fn default() -> Self {
        let you = Person {
            id: DEFAULT_PERSON.to_owned(),
            name: "You".to_owned(),
            email: None,
            ntfy: None,
            time_zone: "UTC".to_owned(),
            high: default_high(None, None),
            low: default_low(None),
        };
        Self {
            people: BTreeMap::from([(you.id.clone(), you)]),
            schedules: BTreeMap::new(),
            policies: vec![default_policy(vec![Target::Person(
                DEFAULT_PERSON.to_owned(),
            )])],
            diagnosis_wait: Duration::from_secs(8),
            ack_timeout_high: Some(30 * MINUTE),
            ack_timeout_low: None,
        }
    }
}

pub(super) fn default_policy(first: Vec<Target>) -> Policy {
    let step = |notify| Step {
        notify,
        wait: 5 * MINUTE,
        hold: false,
    };
    Policy {
        name: DEFAULT_POLICY.to_owned(),
        steps: vec![step(first), step(vec![Target::Everyone])],
        repeat: 2,
        fallback: Vec::new(),
    }
}

fn now_on(channel: Channel) -> Rule {
    Rule {
        after: Duration::ZERO,
        channel,
    }
}

/// Terminal, browser and desktop at once; push and mail too when there is an address.
pub(super) fn default_high(email: Option<&str>, ntfy: Option<&Ntfy>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = [Channel::Terminal, Channel::Browser, Channel::Desktop]
        .into_iter()
        .map(now_on)
        .collect();
    rules.extend(ntfy.map(|_| now_on(Channel::Ntfy)));
    rules.extend(email.map(|_| now_on(Channel::Email)));
    rules
}

/// The browser, and mail when there is an address: nothing that wakes anybody.
pub(super) fn default_low(email: Option<&str>) -> Vec<Rule> {
    let mut rules = vec![now_on(Channel::Browser)];
    rules.extend(email.map(|_| now_on(Channel::Email)));
    rules
}

// === reading ===

/// Times that a policy may repeat.
const REPEAT_MAX: i64 = 100;
const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Reads the section. What is absent has its default.
pub(super) fn read(node: &Node, problems: &mut Problems) -> OnCall {
    let mut oncall = OnCall::default();
    let mut map = MapReader::new(node, "oncall section", problems);
    oncall.diagnosis_wait = map
        .duration("diagnosis_wait")
        .unwrap_or(oncall.diagnosis_wait);
    for (key, timeout) in [
        ("ack_timeout", &mut oncall.ack_timeout_high),
        ("ack_timeout_low", &mut oncall.ack_timeout_low),
    ] {
        if let Some(duration) = map.duration(key) {
            *timeout = Some(duration).filter(|duration| !duration.is_zero());
        }
    }
    if let Some(node) = map.take("people") {
        oncall.people = named(node, "person", map.problems())
            .into_iter()
            .map(|(id, node)| (id.clone(), person(id, node, map.problems())))
            .collect();
        if oncall.people.is_empty() {
            let problem = node.error("nobody can be paged: people is empty");
            map.problems()
                .push(problem.with_hint("leave the key out to be the one person"));
        }
    }
    if let Some(node) = map.take("schedules") {
        oncall.schedules = named(node, "schedule", map.problems())
            .into_iter()
            .map(|(id, node)| {
                (
                    id.clone(),
                    schedule(id, node, &oncall.people, map.problems()),
                )
            })
            .collect();
    }
    match map.take("policies") {
        Some(node) => {
            oncall.policies = named(node, "policy", map.problems())
                .into_iter()
                .map(|(id, node)| policy(id, node, &oncall, map.problems()))
                .collect();
        }
        None => {
            let first = match oncall.schedules.keys().next() {
                Some(name) => Target::Schedule(name.clone()),
                None => Target::Everyone,
            };
            oncall.policies = vec![default_policy(vec![first])];
        }
    }
    map.finish();
    oncall
}

/// Entries of a map by key, or of a list by `name` (or `id`); names are unique.
fn named<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Vec<(String, &'n Node)> {
    let mut found: Vec<(String, &Node)> = Vec::new();
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                found.push((key.as_text().unwrap_or_default().to_owned(), value));
            }
        }
        Value::List(items) => {
            for item in items {
                let key = item.get("id").or(item.get("name")).and_then(Node::as_text);
                match key {
                    Some(key) if found.iter().any(|(known, _)| known == key) => {
                        problems.push(item.error(format!("{what} {key:?} is not unique")));
                    }
                    Some(key) => found.push((key.to_owned(), item)),
                    None => problems.push(item.error(format!("this {what} has no name"))),
                }
            }
        }
        Value::Null => {}
        Value::Scalar { .. } => {
            problems.push(node.error(format!("a map or a list is wanted here, of {what} by name")));
        }
    }
    found.retain(|(key, node)| {
        let fits = !key.is_empty()
            && key.len() <= 100
            && !key.contains(|c: char| c.is_control() || c == ':');
        if !fits {
            problems.push(node.error(format!("not a name for a {what}: {key:?}")));
        }
        fits
    });
    found
}

fn zone(map: &mut MapReader<'_, '_>) -> Option<(String, TimeZone)> {
    let node = match map.take("timezone") {
        Some(node) => node,
        None => map.take("time_zone")?,
    };
    let name = node.as_text().unwrap_or_default();
    match TimeZone::get(name) {
        Ok(zone) => Some((name.to_owned(), zone)),
        Err(_) => {
            map.problems().push(
                node.error(format!("unknown time zone {name:?}"))
                    .with_hint("an IANA name such as Europe/Berlin"),
            );
            None
        }
    }
}

fn person(id: String, node: &Node, problems: &mut Problems) -> Person {
    let mut map = MapReader::new(node, "person", problems);
    map.ignore(&["id"]);
    let name = map.text("name").unwrap_or_else(|| id.clone());
    let email = map.text("email").filter(|text| !text.is_empty());
    if let (Some(email), Some(node)) = (&email, map.take("email"))
        && !email.contains('@')
    {
        map.problems()
            .push(node.error(format!("not an e-mail address: {email:?}")));
    }
    let ntfy = map
        .take("ntfy")
        .and_then(|node| read_ntfy(node, map.problems()));
    let time_zone = zone(&mut map).map_or_else(|| "UTC".to_owned(), |(name, _)| name);
    let mut high = default_high(email.as_deref(), ntfy.as_ref());
    let mut low = default_low(email.as_deref());
    if let Some(node) = map.take("rules") {
        let mut rules_map = MapReader::new(node, "rules", map.problems());
        for (key, rules) in [("high", &mut high), ("low", &mut low)] {
            if let Some(node) = rules_map.take(key) {
                *rules = read_rules(node, email.is_some(), ntfy.is_some(), rules_map.problems());
            }
        }
        rules_map.finish();
    }
    map.finish();
    Person {
        id,
        name,
        email,
        ntfy,
        time_zone,
        high,
        low,
    }
}

/// `https://ntfy.example.org/topic`, or a map.
fn read_ntfy(node: &Node, problems: &mut Problems) -> Option<Ntfy> {
    let (url, token, token_file) = if let Some(text) = node.as_text() {
        (text.to_owned(), None, None)
    } else {
        let mut map = MapReader::new(node, "ntfy topic", problems);
        let url = map.text("url");
        let server = map.text("server").unwrap_or_default();
        let topic = map.text("topic").unwrap_or_default();
        let token = map.secret("token");
        let token_file = map.text("token_file");
        map.finish();
        let joined = format!("{}/{topic}", server.trim_end_matches('/'));
        (url.unwrap_or(joined), token, token_file)
    };
    let topic_at = url.rfind('/').filter(|at| *at + 1 < url.len());
    match topic_at {
        Some(at) if url.starts_with("http://") || url.starts_with("https://") => Some(Ntfy {
            server: url[..at].to_owned(),
            topic: url[at + 1..].to_owned(),
            token,
            token_file,
        }),
        _ => {
            problems.push(
                node.error("not the address of an ntfy topic")
                    .with_hint("write it as https://ntfy.example.org/topic"),
            );
            None
        }
    }
}

fn read_rules(node: &Node, email: bool, ntfy: bool, problems: &mut Problems) -> Vec<Rule> {
    let items = bellwether_yaml::Reader::new(problems).list(node, "rules");
    let mut rules: Vec<Rule> = Vec::new();
    for item in items {
        let (after, channel_node) = if item.as_text().is_some() {
            (Duration::ZERO, Some(item))
        } else {
            let mut map = MapReader::new(item, "rule", problems);
            let after = map.duration("after").unwrap_or_default();
            let channel = map.take("channel");
            map.finish();
            (after, channel)
        };
        let Some(node) = channel_node else {
            problems.push(item.error("this rule has no channel"));
            continue;
        };
        let text = node.as_text().unwrap_or_default();
        let known = Channel::ALL
            .into_iter()
            .find(|channel| channel.as_str() == text);
        let Some(channel) = known else {
            let problem = node.error(format!("unknown channel {text:?}"));
            problems.push(with_names(
                problem,
                text,
                &mut Channel::ALL.into_iter().map(Channel::as_str),
            ));
            continue;
        };
        if (channel == Channel::Email && !email) || (channel == Channel::Ntfy && !ntfy) {
            problems.push(node.error(format!("this person has no {text} address")));
        }
        rules.push(Rule { after, channel });
    }
    rules.sort_by_key(|rule| rule.after);
    rules
}

fn with_names(problem: Problem, word: &str, names: &mut dyn Iterator<Item = &str>) -> Problem {
    let names: Vec<&str> = names.collect();
    match suggest(word, names.iter().copied()) {
        Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
        None => problem.with_hint(format!("there is {}", names.join(", "))),
    }
}

fn known_person(
    name: &str,
    people: &BTreeMap<String, Person>,
    node: &Node,
    problems: &mut Problems,
) {
    if !people.contains_key(name) {
        let problem = node.error(format!("there is no person {name:?}"));
        problems.push(with_names(
            problem,
            name,
            &mut people.keys().map(String::as_str),
        ));
    }
}

fn schedule(
    name: String,
    node: &Node,
    people: &BTreeMap<String, Person>,
    problems: &mut Problems,
) -> Schedule {
    let mut map = MapReader::new(node, "schedule", problems);
    map.ignore(&["id", "name"]);
    let (time_zone_name, time_zone) = match zone(&mut map) {
        Some(zone) => zone,
        None => ("UTC".to_owned(), TimeZone::UTC),
    };
    let layers = map
        .list("layers")
        .iter()
        .enumerate()
        .map(|(index, node)| layer(index, node, people, map.problems()))
        .collect::<Vec<_>>();
    if layers.is_empty() {
        let problem = node.error(format!("schedule {name:?} has no layers"));
        map.problems()
            .push(problem.with_hint("nobody is ever on call on it"));
    }
    map.finish();
    Schedule {
        name,
        time_zone_name,
        time_zone,
        layers,
    }
}

fn layer(
    index: usize,
    node: &Node,
    people: &BTreeMap<String, Person>,
    problems: &mut Problems,
) -> Layer {
    let mut map = MapReader::new(node, "layer", problems);
    let name = map
        .text("name")
        .unwrap_or_else(|| format!("layer {}", index + 1));
    let priority = map.integer("priority").unwrap_or(0) as i32;
    let mut members = Vec::new();
    for node in map.list("members") {
        let member: Vec<String> = match &node.value {
            Value::Scalar { text, .. } => vec![text.clone()],
            Value::Null => Vec::new(),
            _ => map.reader().texts(node, "members"),
        };
        for person in &member {
            known_person(person, people, node, map.problems());
        }
        members.push(member);
    }
    if members.is_empty() {
        map.problems().push(node.error("this layer has no members"));
    }
    let start = date_time(&mut map, "start");
    if start.is_none() {
        let problem = node.error("this layer has no valid start");
        map.problems()
            .push(problem.with_hint("a local time such as 2026-01-05T09:00"));
    }
    let until = date_time(&mut map, "until");
    let turn = match map.take("turn") {
        None => Turn::Weeks(1),
        Some(node) => read_turn(node.as_text().unwrap_or_default()).unwrap_or_else(|| {
            let problem = node.error("not the length of a turn");
            map.problems()
                .push(problem.with_hint("write it as 12h, 1d, 2w or 1mo"));
            Turn::Weeks(1)
        }),
    };
    let restrictions = map
        .list("restrictions")
        .iter()
        .filter_map(|node| restriction(node, map.problems()))
        .collect();
    map.finish();
    Layer {
        name,
        priority,
        members,
        start: start.unwrap_or(DateTime::constant(2026, 1, 5, 9, 0, 0, 0)),
        until,
        turn,
        restrictions,
    }
}

fn date_time(map: &mut MapReader<'_, '_>, key: &'static str) -> Option<DateTime> {
    let node = map.take(key)?;
    let text = node.as_text().unwrap_or_default().trim();
    match text.replacen(' ', "T", 1).parse() {
        Ok(time) => Some(time),
        Err(_) => {
            map.problems().push(
                node.error(format!("{key}: not a local time: {text:?}"))
                    .with_hint("write it as 2026-01-05T09:00"),
            );
            None
        }
    }
}

/// Whole days become local days: the clock decides, not the seconds.
fn read_turn(text: &str) -> Option<Turn> {
    if let Some(months) = text.strip_suffix("mo") {
        return months
            .parse()
            .ok()
            .filter(|n| (1..=120).contains(n))
            .map(Turn::Months);
    }
    let seconds = bellwether_model::duration::parse_duration(text)
        .ok()?
        .as_secs();
    const DAY: u64 = 86_400;
    match seconds {
        60..=315_360_000 if seconds % (7 * DAY) == 0 => {
            Some(Turn::Weeks((seconds / 7 / DAY) as u32))
        }
        60..=315_360_000 if seconds % DAY == 0 => Some(Turn::Days((seconds / DAY) as u32)),
        60..=315_360_000 => Some(Turn::Seconds(seconds as u32)),
        _ => None,
    }
}

fn restriction(node: &Node, problems: &mut Problems) -> Option<Restriction> {
    let mut map = MapReader::new(node, "restriction", problems);
    let mut weekdays = 0_u8;
    for node in map.list("weekdays") {
        let text = node.as_text().unwrap_or_default().to_lowercase();
        let day = |text: &str| {
            DAY_NAMES
                .iter()
                .position(|day| text.len() >= 3 && text.starts_with(day))
        };
        let range = match text.split_once([':', '-']) {
            Some((from, to)) => day(from).zip(day(to)),
            None => day(&text).zip(day(&text)),
        };
        match range {
            Some((from, to)) => {
                let days = (to + 7 - from) % 7;
                weekdays |= (0..=days).fold(0, |mask, offset| mask | 1 << ((from + offset) % 7));
            }
            None => {
                let problem = node.error(format!("not a weekday: {text:?}"));
                map.problems()
                    .push(problem.with_hint("mon to sun, or a range such as mon:fri"));
            }
        }
    }
    let mut time = |key: &'static str| {
        let Some(node) = map.take(key) else {
            return Some(Time::midnight());
        };
        let minute = minute_of_day(node.as_text().unwrap_or_default());
        if minute.is_none() {
            let problem = node.error(format!("{key}: not a time of the day"));
            map.problems()
                .push(problem.with_hint("write it as \"09:00\", up to \"24:00\""));
        }
        let minute = minute? % 1440;
        Time::new((minute / 60) as i8, (minute % 60) as i8, 0, 0).ok()
    };
    let (from, to) = (time("from"), time("to"));
    map.finish();
    Some(Restriction {
        weekdays: if weekdays == 0 { 0x7f } else { weekdays },
        from: from?,
        to: to?,
    })
}

fn policy(name: String, node: &Node, oncall: &OnCall, problems: &mut Problems) -> Policy {
    let mut map = MapReader::new(node, "policy", problems);
    map.ignore(&["id", "name"]);
    let mut steps = Vec::new();
    for node in map.list("steps") {
        let mut step = MapReader::new(node, "step", map.problems());
        let notify = targets(&mut step, "notify", oncall);
        let wait = step.duration("wait").unwrap_or(5 * MINUTE);
        let hold = step.boolean("hold").unwrap_or(false);
        step.finish();
        steps.push(Step { notify, wait, hold });
    }
    if steps.is_empty() {
        map.problems()
            .push(node.error(format!("policy {name:?} has no steps")));
    }
    let repeat = map.integer("repeat").unwrap_or(0);
    if !(0..=REPEAT_MAX).contains(&repeat) {
        map.problems()
            .push(node.error(format!("repeat must be 0 to {REPEAT_MAX}")));
    }
    let fallback = targets(&mut map, "fallback", oncall);
    map.finish();
    Policy {
        name,
        steps,
        repeat: repeat.clamp(0, REPEAT_MAX) as u32,
        fallback,
    }
}

fn targets(map: &mut MapReader<'_, '_>, key: &'static str, oncall: &OnCall) -> Vec<Target> {
    let mut found = Vec::new();
    for node in map.list(key) {
        let text = node.as_text().unwrap_or_default();
        match text.split_once(':').map(|(kind, name)| (kind, name.trim())) {
            None if text == "everyone" => found.push(Target::Everyone),
            Some(("person", name)) => {
                known_person(name, &oncall.people, node, map.problems());
                found.push(Target::Person(name.to_owned()));
            }
            Some(("schedule", name)) => {
                if !oncall.schedules.contains_key(name) {
                    let problem = node.error(format!("there is no schedule {name:?}"));
                    let names = &mut oncall.schedules.keys().map(String::as_str);
                    map.problems().push(with_names(problem, name, names));
                }
                found.push(Target::Schedule(name.to_owned()));
            }
            _ => {
                let problem = node.error(format!("not somebody to notify: {text:?}"));
                map.problems()
                    .push(problem.with_hint("schedule:NAME, person:NAME or everyone"));
            }
        }
    }
    found
}
