//! The `oncall` section.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::Problems;
use bellwether_yaml::{MapReader, Node, Value};

mod channels;

use super::{
    Channel, Contact, DEFAULT_PERSON, DEFAULT_POLICY, Ntfy, OnCall, Person, Policy, Rule, Step,
    Target,
};
use crate::schedule::holiday::Holidays;
use crate::schedule::read::{self as schedules, with_names, zone};

const MINUTE: Duration = Duration::from_mins(1);

impl Default for OnCall {
    /// The person at the keyboard.
    fn default() -> Self {
        let you = Person {
            id: DEFAULT_PERSON.to_owned(),
            name: "You".to_owned(),
            email: None,
            phone: None,
            ntfy: None,
            contacts: BTreeMap::new(),
            time_zone: "UTC".to_owned(),
            high: default_high(None, None, &BTreeMap::new(), false),
            low: default_low(None),
        };
        Self {
            people: BTreeMap::from([(you.id.clone(), you)]),
            holidays: BTreeMap::new(),
            schedules: BTreeMap::new(),
            policies: vec![default_policy(vec![Target::Person(
                DEFAULT_PERSON.to_owned(),
            )])],
            providers: BTreeMap::new(),
            custom: BTreeMap::new(),
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

/// Terminal, browser and desktop at once; push, mail and chat too when there is an address; a text message after a
/// minute and a call after three when there is a number and an account for them.
pub(super) fn default_high(
    email: Option<&str>,
    ntfy: Option<&Ntfy>,
    contacts: &BTreeMap<Channel, Contact>,
    phone: bool,
) -> Vec<Rule> {
    let mut rules: Vec<Rule> = [Channel::Terminal, Channel::Browser, Channel::Desktop]
        .into_iter()
        .map(now_on)
        .collect();
    rules.extend(ntfy.map(|_| now_on(Channel::Ntfy)));
    rules.extend(email.map(|_| now_on(Channel::Email)));
    rules.extend(contacts.keys().copied().map(now_on));
    if phone {
        for (minutes, channel) in [(1, Channel::Sms), (3, Channel::Voice)] {
            rules.push(Rule {
                after: Duration::from_mins(minutes),
                channel,
            });
        }
    }
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
    if let Some(node) = map.take("channels") {
        channels::read(node, &mut oncall, map.problems());
    }
    if let Some(node) = map.take("people") {
        oncall.people = named(node, "person", map.problems())
            .into_iter()
            .map(|(id, node)| (id.clone(), person(id, node, &oncall, map.problems())))
            .collect();
        if oncall.people.is_empty() {
            let problem = node.error("nobody can be paged: people is empty");
            map.problems()
                .push(problem.with_hint("leave the key out to be the one person"));
        }
    }
    if let Some(node) = map.take("holidays") {
        oncall.holidays = named(node, "set of holidays", map.problems())
            .into_iter()
            .map(|(name, node)| {
                let made = schedules::holidays(&name, node, map.problems());
                (name, made)
            })
            .collect::<BTreeMap<String, Holidays>>();
    }
    if let Some(node) = map.take("schedules") {
        let people: Vec<&str> = oncall.people.keys().map(String::as_str).collect();
        let known = schedules::Known {
            people: &people,
            holidays: &oncall.holidays,
        };
        oncall.schedules = named(node, "schedule", map.problems())
            .into_iter()
            .map(|(id, node)| {
                let made = schedules::schedule(id.clone(), node, known, map.problems());
                (id, made)
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

fn person(id: String, node: &Node, oncall: &OnCall, problems: &mut Problems) -> Person {
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
    let phone = map.take("phone").and_then(|node| {
        let text: String = node
            .as_text()
            .unwrap_or_default()
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '(' | ')'))
            .collect();
        let digits = text.strip_prefix('+').unwrap_or_default();
        let good = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !good {
            map.problems().push(
                node.error("not a telephone number")
                    .with_hint("with the country: \"+491701234567\""),
            );
        }
        good.then_some(text)
    });
    let ntfy = map
        .take("ntfy")
        .and_then(|node| read_ntfy(node, map.problems()));
    let contacts = channels::contacts(&mut map, oncall);
    let calls = phone.is_some() && oncall.providers.contains_key("twilio");
    let time_zone = zone(&mut map).map_or_else(|| "UTC".to_owned(), |(name, _)| name);
    let mut high = default_high(email.as_deref(), ntfy.as_ref(), &contacts, calls);
    let mut low = default_low(email.as_deref());
    if let Some(node) = map.take("rules") {
        let mut rules_map = MapReader::new(node, "rules", map.problems());
        for (key, rules) in [("high", &mut high), ("low", &mut low)] {
            if let Some(node) = rules_map.take(key) {
                let has = |channel: Channel| match channel {
                    Channel::Terminal | Channel::Browser | Channel::Desktop => true,
                    Channel::Email => email.is_some(),
                    Channel::Ntfy => ntfy.is_some(),
                    Channel::Sms | Channel::Voice => phone.is_some(),
                    other => contacts.contains_key(&other),
                };
                *rules = read_rules(node, &has, oncall, rules_map.problems());
            }
        }
        rules_map.finish();
    }
    map.finish();
    Person {
        id,
        name,
        email,
        phone,
        ntfy,
        contacts,
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

fn read_rules(
    node: &Node,
    has: &dyn Fn(Channel) -> bool,
    oncall: &OnCall,
    problems: &mut Problems,
) -> Vec<Rule> {
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
                &Channel::ALL.map(Channel::as_str),
            ));
            continue;
        };
        if !has(channel) {
            problems.push(node.error(format!("this person has no {text} address")));
        } else if let Some(provider) = channel.provider()
            && !oncall.providers.contains_key(provider)
        {
            problems.push(
                node.error(format!("{text} needs an account"))
                    .with_hint(format!("set oncall.channels.{provider}")),
            );
        }
        rules.push(Rule { after, channel });
    }
    rules.sort_by_key(|rule| rule.after);
    rules
}

fn known_person(
    name: &str,
    people: &BTreeMap<String, Person>,
    node: &Node,
    problems: &mut Problems,
) {
    if !people.contains_key(name) {
        let problem = node.error(format!("there is no person {name:?}"));
        let names: Vec<&str> = people.keys().map(String::as_str).collect();
        problems.push(with_names(problem, name, &names));
    }
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
                    let names: Vec<&str> = oncall.schedules.keys().map(String::as_str).collect();
                    map.problems().push(with_names(problem, name, &names));
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
