//! Lines to statements. Setup lines become a configuration, so a scenario cannot mean what a configuration could not.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bellwether_model::Labels;
use bellwether_model::duration::parse_duration;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Scenario, ScenarioError, Statement};
use crate::outbox::Behaviour;
use crate::world::CrashPoint;

/// Lines that a scenario may have.
const LINES_MAX: usize = 10_000;

#[derive(Default)]
struct Draft {
    people: Vec<(String, String)>,
    named: BTreeSet<String>,
    schedules: Vec<(String, String)>,
    policies: String,
    timing: String,
    rules: String,
    start: Option<Timestamp>,
    statements: Vec<(usize, Statement)>,
}

pub(super) fn read(text: &str) -> Result<Scenario, ScenarioError> {
    let mut draft = Draft::default();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let fault = |text: String| ScenarioError {
            line: line_number,
            text,
        };
        if index >= LINES_MAX {
            return Err(fault(format!("more than {LINES_MAX} lines")));
        }
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        draft.line(line_number, line).map_err(fault)?;
    }
    draft.finish()
}

fn duration(word: &str) -> Result<SignedDuration, String> {
    let parsed = parse_duration(word).map_err(|error| format!("{word:?}: {error}"))?;
    SignedDuration::try_from(parsed).map_err(|_| format!("{word:?} is too long"))
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("{word:?} is not a number"))
}

/// `HH:MM` as seconds of a day.
fn clock(word: &str) -> Result<i64, String> {
    let parts = word
        .split_once(':')
        .ok_or_else(|| format!("{word:?} is not HH:MM"))?;
    let (hours, minutes): (i64, i64) = (number(parts.0)?, number(parts.1)?);
    if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
        return Err(format!("{word:?} is not a time of day"));
    }
    Ok(hours * 3_600 + minutes * 60)
}

/// `disk_full service=shop severity=ticket`: an alert, by default worth a page.
fn alert(words: &[&str]) -> Result<Labels, String> {
    let (name, pairs) = words.split_first().ok_or("an alert has a name")?;
    let mut labels = Labels::new([("alertname", *name), ("severity", "page")]);
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("{pair:?} is not label=value"))?;
        labels = labels.with(key, value);
    }
    Ok(labels)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Draft {
    fn line(&mut self, line: usize, text: &str) -> Result<(), String> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        // `fire x at 02:10`: first the time, then the rest.
        if let [.., "at", time] = words.as_slice()
            && words.first() != Some(&"start")
        {
            let at = Statement::At(clock(time)?);
            self.statements.push((line, at));
            words.truncate(words.len() - 2);
        }
        if self.setup(&words, text)? {
            return Ok(());
        }
        let statement = statement(&words)?;
        self.statements.push((line, statement));
        Ok(())
    }

    fn setup(&mut self, words: &[&str], text: &str) -> Result<bool, String> {
        match words {
            ["start", date, time] => {
                let at = format!("{date}T{time}:00Z");
                self.start = Some(at.parse().map_err(|_| format!("{at} is not a time"))?);
            }
            ["person", name, rules @ ..] => {
                let rules = Self::person_rules(rules)?;
                self.people.push(((*name).to_owned(), rules));
            }
            ["schedule", name, turn, rest @ ..] => self.schedule(name, turn, rest)?,
            ["policy", name, ..] => {
                let rest = text
                    .splitn(3, char::is_whitespace)
                    .nth(2)
                    .unwrap_or_default();
                self.policy(name, rest)?;
            }
            ["group", key @ ("wait" | "interval"), value] => {
                duration(value)?;
                writeln!(self.timing, "  group_{key}: {value}").expect("a string takes everything");
            }
            ["repeat", "interval", value] => {
                duration(value)?;
                writeln!(self.timing, "  repeat_interval: {value}")
                    .expect("a string takes everything");
            }
            ["rule", name, ..] => {
                let expr = text
                    .splitn(3, char::is_whitespace)
                    .nth(2)
                    .unwrap_or_default();
                self.rule(name, expr)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `ntfy, email after 2m`
    fn person_rules(words: &[&str]) -> Result<String, String> {
        let joined = words.join(" ");
        let mut rules = Vec::new();
        for rule in joined.split(',').map(str::trim) {
            match rule.split_whitespace().collect::<Vec<_>>().as_slice() {
                [channel] => rules.push((*channel).to_owned()),
                [channel, "after", wait] => {
                    duration(wait)?;
                    rules.push(format!("{{after: {wait}, channel: {channel}}}"));
                }
                _ => {
                    return Err(format!(
                        "{rule:?} is not a channel, or a channel after a time"
                    ));
                }
            }
        }
        Ok(rules.join(", "))
    }

    /// `weekly Mon 09:00 Europe/Berlin ana,bo`
    fn schedule(&mut self, name: &str, turn: &str, rest: &[&str]) -> Result<(), String> {
        let (day, time, zone, members) = match (turn, rest) {
            ("weekly", [day, time, zone, members]) => (Some(*day), *time, *zone, *members),
            ("daily", [time, zone, members]) => (None, *time, *zone, *members),
            _ => {
                return Err(
                    "write `schedule NAME weekly DAY HH:MM ZONE a,b`, or `daily HH:MM ZONE a,b`"
                        .to_owned(),
                );
            }
        };
        clock(time)?;
        TimeZone::get(zone).map_err(|_| format!("unknown time zone {zone:?}"))?;
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let offset = match day {
            None => 0,
            Some(day) => DAYS
                .iter()
                .position(|known| *known == day)
                .ok_or_else(|| format!("{day:?} is not one of {}", DAYS.join(", ")))?,
        };
        // 2024-01-01 was a Monday.
        let turn = if day.is_some() { "1w" } else { "1d" };
        let members: Vec<&str> = members.split(',').collect();
        self.named
            .extend(members.iter().map(|member| (*member).to_owned()));
        let layer = format!(
            "{{timezone: {zone}, layers: [{{name: all, members: [{}], start: 2024-01-0{}T{time}, turn: {turn}}}]}}",
            members.join(", "),
            1 + offset
        );
        self.schedules.push((name.to_owned(), layer));
        Ok(())
    }

    /// `primary wait 5m, bo wait 5m, repeat 2, fallback everyone`
    fn policy(&mut self, name: &str, text: &str) -> Result<(), String> {
        let (mut steps, mut repeat, mut fallback) = (Vec::new(), 0_u32, Vec::new());
        for part in text.split(',').map(str::trim) {
            match part.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["repeat", count] => repeat = number(count)?,
                ["fallback", who] => fallback.push(self.target(who)),
                [who, "wait", wait] => {
                    duration(wait)?;
                    steps.push(format!("{{notify: [{}], wait: {wait}}}", self.target(who)));
                }
                _ => {
                    return Err(format!(
                        "{part:?} is not `WHO wait TIME`, `repeat N` or `fallback WHO`"
                    ));
                }
            }
        }
        writeln!(
            self.policies,
            "    {}: {{steps: [{}], repeat: {repeat}, fallback: [{}]}}",
            quoted(name),
            steps.join(", "),
            fallback.join(", ")
        )
        .expect("a string takes everything");
        Ok(())
    }

    fn target(&mut self, who: &str) -> String {
        if who == "everyone" {
            "everyone".to_owned()
        } else if self.schedules.iter().any(|(name, _)| name == who) {
            quoted(&format!("schedule:{who}"))
        } else {
            self.named.insert(who.to_owned());
            quoted(&format!("person:{who}"))
        }
    }

    /// `EXPR for 1m severity page`
    fn rule(&mut self, name: &str, text: &str) -> Result<(), String> {
        let (expr, severity) = match text.rsplit_once(" severity ") {
            Some((expr, severity)) => (expr, severity.trim()),
            None => (text, "page"),
        };
        let (expr, hold) = match expr.rsplit_once(" for ") {
            Some((expr, hold)) => (expr, hold.trim()),
            None => (expr, "0s"),
        };
        duration(hold)?;
        writeln!(
            self.rules,
            "      - {{alert: {}, expr: {}, for: {hold}, labels: {{severity: {}}}}}",
            quoted(name),
            quoted(expr.trim()),
            quoted(severity)
        )
        .expect("a string takes everything");
        Ok(())
    }

    fn finish(self) -> Result<Scenario, ScenarioError> {
        let mut people = self.people;
        for name in &self.named {
            if !people.iter().any(|(known, _)| known == name) {
                people.push((name.clone(), "ntfy, {after: 2m, channel: email}".to_owned()));
            }
        }
        let whole = |text: &str| ScenarioError {
            line: 0,
            text: text.to_owned(),
        };
        if people.is_empty() || self.policies.is_empty() {
            return Err(whole("a scenario needs people and a `policy`"));
        }
        let policy = if self.policies.trim_start().starts_with("'default'") {
            "default"
        } else {
            let name = self.policies.split('\'').nth(1);
            name.ok_or_else(|| whole("a policy has a name"))?
        };
        let mut config = format!(
            "route:\n  receiver: people\n  group_by: [alertname]\n{}receivers:\n  - {{name: people, page_configs: \
             [{{policy: {}}}]}}\noncall:\n  people:\n",
            if self.timing.is_empty() {
                "  group_wait: 10s\n  group_interval: 1m\n"
            } else {
                self.timing.as_str()
            },
            quoted(policy)
        );
        for (name, rules) in &people {
            writeln!(
                config,
                "    {name}: {{email: {name}@example.org, ntfy: 'https://ntfy.example.org/{name}', rules: {{high: \
                 [{rules}], low: [browser]}}}}"
            )
            .expect("a string takes everything");
        }
        if !self.schedules.is_empty() {
            config.push_str("  schedules:\n");
        }
        for (name, layer) in &self.schedules {
            writeln!(config, "    {name}: {layer}").expect("a string takes everything");
        }
        config.push_str("  policies:\n");
        config.push_str(&self.policies);
        let rules = if self.rules.is_empty() {
            String::new()
        } else {
            format!(
                "groups:\n  - name: scenario\n    interval: 30s\n    rules:\n{}",
                self.rules
            )
        };
        let start = self
            .start
            .unwrap_or_else(|| "2026-03-02T00:00:00Z".parse().expect("a time"));
        Ok(Scenario {
            config,
            rules,
            start,
            statements: self.statements,
        })
    }
}

fn statement(words: &[&str]) -> Result<Statement, String> {
    let own = |word: &str| word.to_owned();
    Ok(match words {
        ["fire", alert_words @ ..] => Statement::Fire(alert(alert_words)?),
        ["clear", alert_words @ ..] => Statement::Clear(alert(alert_words)?),
        ["advance", time] => Statement::Advance(duration(time)?),
        ["ack", person, "after", time] => Statement::AckAfter(own(person), duration(time)?),
        ["ack", person] => Statement::AckNow(own(person)),
        ["asleep", person] => Statement::Asleep(own(person), true),
        ["awake", person] => Statement::Asleep(own(person), false),
        ["resolve", person] => Statement::Resolve(own(person)),
        ["escalate", person] => Statement::Escalate(own(person)),
        ["silence", pair, "for", time] => {
            let (name, value) = pair.split_once('=').ok_or("a silence is label=value")?;
            Statement::Silence(own(name), own(value), duration(time)?)
        }
        ["receiver", channel, what, "for", time] => {
            let behaviour = match *what {
                "fails" => Behaviour::Fails,
                "hangs" => Behaviour::TimesOut,
                "loses" => Behaviour::Lost,
                "late" => Behaviour::Late,
                "twice" => Behaviour::Twice,
                other => {
                    return Err(format!(
                        "{other:?} is not fails, hangs, loses, late or twice"
                    ));
                }
            };
            Statement::Receiver(own(channel), behaviour, duration(time)?)
        }
        ["set", series, value] => {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let mut set = Labels::new([("__name__", name)]);
            for pair in labels
                .trim_end_matches('}')
                .split(',')
                .filter(|pair| !pair.is_empty())
            {
                let (key, value) = pair.split_once('=').ok_or("labels are name=value")?;
                set = set.with(key, value.trim_matches('"'));
            }
            Statement::Set(set, number(value)?)
        }
        ["scraping", "stops"] => Statement::Scraping(false),
        ["scraping", "goes", "on"] => Statement::Scraping(true),
        ["crash"] => Statement::Crash(CrashPoint::Now, SignedDuration::from_secs(2)),
        ["crash", "for", time] => Statement::Crash(CrashPoint::Now, duration(time)?),
        ["crash", when @ ("before" | "after"), what] => {
            let point = match (*when, *what) {
                ("before", "commit") => CrashPoint::BeforeCommit,
                ("after", "commit") => CrashPoint::AfterCommit,
                ("after", "begin") => CrashPoint::AfterBegin,
                ("after", "arrival") => CrashPoint::AfterArrival,
                _ => {
                    return Err(
                        "before commit, after commit, after begin or after arrival".to_owned()
                    );
                }
            };
            Statement::Crash(point, SignedDuration::from_secs(2))
        }
        ["store", "refuses", count] => Statement::Refuse(number(count)?),
        ["store", "loses", count] => Statement::Lose(number(count)?),
        ["clock", "jumps", time] => Statement::Jump(duration(time)?),
        ["clock", "jumps", "back", time] => Statement::Jump(-duration(time)?),
        ["show", "timeline"] => Statement::ShowTimeline,
        ["show", "messages"] => Statement::ShowMessages,
        ["show", "cases"] => Statement::ShowCases,
        _ => return Err(format!("not a statement: {}", words.join(" "))),
    })
}
