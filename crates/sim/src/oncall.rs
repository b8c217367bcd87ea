//! A rehearsal: which people would be paged when, for given alerts and given failures, by the engine that pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::duration::parse_duration;
use bellwether_model::state::{Decision, DeliveryState, NewDelivery, Receipt};
use bellwether_model::{CaseId, DeliveryId, IdSource, Labels, PostedAlert, Problems};
use bellwether_page::config::{Channel, OnCall};
use bellwether_page::schedule::local_time;
use bellwether_page::{DeliveryResult, PageConfig, Pager, PagerEvent, Reason};
use bellwether_yaml::{MapReader, Node};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// Alerts of one rehearsal.
const ALERTS_MAX: usize = 10_000;
/// Steps of the engine: more is a configuration that never rests.
const STEPS_MAX: usize = 1_000_000;
/// How long a message is on its way.
const TRAVEL: SignedDuration = SignedDuration::from_secs(2);

/// An alert that fires at a time and ends some time later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedAlert {
    pub at: Timestamp,
    /// `None`: it fires until the end.
    pub lasts: Option<Duration>,
    pub labels: Labels,
    pub annotations: Labels,
}

/// Something that does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The person never answers, or not between two times of their day.
    Asleep {
        person: String,
        between: Option<(Time, Time)>,
    },
    /// The person answers so long after the first page.
    AnswersIn { person: String, after: Duration },
    /// A channel fails, for one person or for all.
    Broken {
        channel: Channel,
        person: Option<String>,
    },
    /// A channel never says whether anything arrived.
    Mute { channel: Channel },
}

/// What is rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    pub config: Arc<PageConfig>,
    pub from: Timestamp,
    pub to: Timestamp,
    pub alerts: Vec<PlannedAlert>,
    pub failures: Vec<Failure>,
    /// How long people take to answer a page.
    pub answer_in: Duration,
}

/// One line of what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub at: Timestamp,
    /// The case's code; empty when it is about something else.
    pub case: String,
    pub kind: String,
    pub text: String,
}

/// What became of one case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fate {
    pub code: String,
    pub title: String,
    pub opened_at: Timestamp,
    /// Person, channel and time of the first page.
    pub first_page: Option<(String, String, Timestamp)>,
    /// Everybody who was paged, in order.
    pub paged: Vec<String>,
    pub pages: usize,
    pub acknowledged: Option<(String, Timestamp)>,
    pub resolved_at: Option<Timestamp>,
    /// The policy ended and nobody had answered.
    pub exhausted: bool,
}

/// The whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Played {
    pub lines: Vec<Line>,
    pub cases: Vec<Fate>,
    /// Groups that opened no case: silenced, muted, no people in the receiver.
    pub notes: Vec<String>,
}

struct Counter(u64);

impl IdSource for Counter {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn skip(&mut self, ids: u64) {
        self.0 += ids;
    }
}

/// Reads alerts: a list (YAML or JSON) of `{at, for, labels, annotations}`; `startsAt` and `endsAt` as in
/// Alertmanager's API do as well. Times without an offset are local to `zone`.
pub fn read_alerts(
    file: &str,
    text: &str,
    zone: &TimeZone,
    from: Timestamp,
    problems: &mut Problems,
) -> Vec<PlannedAlert> {
    let Some(node) = bellwether_yaml::parse(file, text, problems) else {
        return Vec::new();
    };
    let node = node.get("alerts").unwrap_or(&node);
    let Some(items) = node.as_list() else {
        let problem = node.error("a list of alerts is wanted here");
        problems.push(
            problem.with_hint("- {at: 2026-03-01T02:10, for: 30m, labels: {alertname: Down}}"),
        );
        return Vec::new();
    };
    if items.len() > ALERTS_MAX {
        problems.push(node.error(format!("more than {ALERTS_MAX} alerts")));
    }
    items
        .iter()
        .take(ALERTS_MAX)
        .filter_map(|node| read_alert(node, zone, from, problems))
        .collect()
}

fn moment(node: &Node, zone: &TimeZone, problems: &mut Problems) -> Option<Timestamp> {
    let text = node.as_text().unwrap_or_default().trim();
    let local = || text.replacen(' ', "T", 1).parse().ok();
    let found = text
        .parse()
        .ok()
        .or_else(|| local().map(|at| local_time::instant(zone, at)));
    if found.is_none() {
        problems.push(
            node.error(format!("not a time: {text:?}"))
                .with_hint("2026-03-01T02:10 or 2026-03-01T01:10:00Z"),
        );
    }
    found
}

fn read_alert(
    node: &Node,
    zone: &TimeZone,
    from: Timestamp,
    problems: &mut Problems,
) -> Option<PlannedAlert> {
    let mut map = MapReader::new(node, "alert", problems);
    let at = match (map.take("at"), map.take("startsAt")) {
        (Some(node), _) | (None, Some(node)) => moment(node, zone, map.problems())?,
        (None, None) => from,
    };
    let end = map
        .take("endsAt")
        .and_then(|node| moment(node, zone, map.problems()));
    let lasts = map.duration("for").or_else(|| {
        let end = end.filter(|end| *end > at)?;
        Duration::try_from(end.duration_since(at)).ok()
    });
    let labels = map.labels("labels");
    let annotations = map.labels("annotations");
    map.ignore(&[
        "generatorURL",
        "fingerprint",
        "status",
        "updatedAt",
        "receivers",
    ]);
    map.finish();
    if labels.is_empty() {
        problems.push(node.error("this alert has no labels"));
        return None;
    }
    Some(PlannedAlert {
        at,
        lasts,
        labels,
        annotations,
    })
}

impl Failure {
    /// `ana: asleep`, `ana: asleep 22:00-07:00`, `ana: answers in 20m`, `ana: sms fails`, `ntfy: down`,
    /// `email: silent`.
    pub fn parse(text: &str, oncall: &OnCall) -> Result<Self, String> {
        let hint = "hint: \"ana: asleep\", \"ana: asleep 22:00-07:00\", \"ana: answers in 20m\", \"ana: sms fails\", \
                    \"ntfy: down\" or \"email: silent\"";
        let (who, what) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is not WHO: WHAT\n{hint}"))?;
        let (who, what) = (who.trim(), what.trim());
        let channel = |name: &str| Channel::ALL.into_iter().find(|one| one.as_str() == name);
        if let Some(channel) = channel(who) {
            return match what {
                "down" | "fails" | "broken" => Ok(Self::Broken {
                    channel,
                    person: None,
                }),
                "silent" | "mute" => Ok(Self::Mute { channel }),
                _ => Err(format!("{what:?} cannot happen to a channel\n{hint}")),
            };
        }
        if !oncall.people.contains_key(who) {
            let names: Vec<&str> = oncall.people.keys().map(String::as_str).collect();
            return Err(format!(
                "there is no person or channel {who:?}\nhint: people are {}",
                names.join(", ")
            ));
        }
        let person = who.to_owned();
        let words: Vec<&str> = what.split_whitespace().collect();
        match words.as_slice() {
            ["asleep" | "away"] | ["no", "answer"] => Ok(Self::Asleep {
                person,
                between: None,
            }),
            ["asleep" | "away", span] => {
                let (from, to) = span
                    .split_once('-')
                    .ok_or_else(|| format!("{span:?} is not FROM-TO\n{hint}"))?;
                let time = |text: &str| {
                    text.parse::<Time>()
                        .map_err(|_| format!("{text:?} is not a time of the day\n{hint}"))
                };
                Ok(Self::Asleep {
                    person,
                    between: Some((time(from)?, time(to)?)),
                })
            }
            ["answers" | "acks", "in", after] => Ok(Self::AnswersIn {
                person,
                after: parse_duration(after)
                    .map_err(|error| format!("{after:?}: {error}\n{hint}"))?,
            }),
            [name, "fails" | "down" | "broken"] => match channel(name) {
                Some(channel) => Ok(Self::Broken {
                    channel,
                    person: Some(person),
                }),
                None => Err(format!("there is no channel {name:?}\n{hint}")),
            },
            _ => Err(format!("{what:?} is not understood\n{hint}")),
        }
    }
}

enum Next {
    Fire(usize),
    Result(DeliveryId, bool, Receipt),
    Answer(CaseId, String),
}

struct World<'a> {
    plan: &'a Rehearsal,
    pager: Pager,
    ids: Counter,
    queue: BTreeMap<(Timestamp, usize), Next>,
    queued: usize,
    answering: BTreeSet<(CaseId, String)>,
    played: Played,
    fates: BTreeMap<CaseId, Fate>,
}

/// Plays it. Equal plans give equal results.
pub fn rehearse(plan: &Rehearsal) -> Played {
    let mut world = World {
        plan,
        pager: Pager::new(Arc::clone(&plan.config)),
        ids: Counter(0),
        queue: BTreeMap::new(),
        queued: 0,
        answering: BTreeSet::new(),
        played: Played::default(),
        fates: BTreeMap::new(),
    };
    for (index, alert) in plan.alerts.iter().enumerate() {
        if alert.at < plan.to {
            world.put(alert.at, Next::Fire(index));
        }
    }
    for _ in 0..STEPS_MAX {
        let event = world.queue.first_key_value().map(|((at, _), _)| *at);
        let wake = world.pager.next_wake();
        let Some(now) = event
            .into_iter()
            .chain(wake)
            .min()
            .filter(|now| *now < plan.to)
        else {
            break;
        };
        let what = match event {
            Some(at) if at <= now => world.queue.pop_first().map(|(_, next)| next),
            _ => None,
        };
        let event = match what {
            None => PagerEvent::Tick,
            Some(Next::Fire(index)) => world.fire(index),
            Some(Next::Result(id, good, receipt)) => PagerEvent::DeliveryResult(DeliveryResult {
                id,
                state: if good {
                    DeliveryState::Done
                } else {
                    DeliveryState::Failed
                },
                receipt,
                attempt: 1,
                error: if good {
                    String::new()
                } else {
                    "as rehearsed".to_owned()
                },
            }),
            Some(Next::Answer(case, actor)) => {
                world.answering.remove(&(case, actor.clone()));
                let open = world
                    .pager
                    .case(case, now)
                    .is_some_and(|view| view.case.status == bellwether_page::CaseStatus::Open);
                if !open {
                    continue;
                }
                PagerEvent::Acknowledge {
                    case,
                    actor,
                    as_of: None,
                }
            }
        };
        let decision = world.pager.step(now, event, &mut world.ids);
        world.take(now, decision);
    }
    world.finish()
}

impl World<'_> {
    fn put(&mut self, at: Timestamp, next: Next) {
        self.queued += 1;
        self.queue.insert((at, self.queued), next);
    }

    fn fire(&self, index: usize) -> PagerEvent {
        let alert = &self.plan.alerts[index];
        let far = SignedDuration::from_hours(24);
        let lasts = alert
            .lasts
            .and_then(|lasts| SignedDuration::try_from(lasts).ok());
        let end = match lasts {
            Some(lasts) => alert.at.checked_add(lasts),
            None => self.plan.to.checked_add(far),
        };
        PagerEvent::Alerts {
            alerts: vec![PostedAlert {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: Some(alert.at),
                ends_at: end.ok(),
                generator_url: String::new(),
            }],
            source: "rehearsal".to_owned(),
        }
    }

    fn take(&mut self, now: Timestamp, decision: Decision<Reason>) {
        for reason in &decision.why {
            if let Reason::Silenced { group, .. }
            | Reason::MutedByInterval { group }
            | Reason::OutsideActiveInterval { group }
            | Reason::Inhibited { group, .. }
            | Reason::ContextOnly { group } = reason
            {
                let note = format!("{group}: {}", reason.as_str());
                if !self.played.notes.contains(&note) {
                    self.played.notes.push(note);
                }
            }
        }
        for event in decision.batch.events {
            let case: Option<CaseId> = event.subject.id.parse().ok();
            let case = case.filter(|_| event.subject.kind == "case");
            if let Some(id) = case {
                self.note_fate(id, now, &event.kind, &event.actor);
            }
            let code = case
                .and_then(|id| self.pager.case(id, now))
                .map(|view| view.case.code)
                .unwrap_or_default();
            self.played.lines.push(Line {
                at: event.at,
                case: code,
                kind: event.kind,
                text: event.text,
            });
        }
        for delivery in decision.batch.deliveries {
            self.deliver(now, &delivery);
        }
    }

    fn note_fate(&mut self, id: CaseId, now: Timestamp, kind: &str, actor: &str) {
        let Some(view) = self.pager.case(id, now) else {
            return;
        };
        let fate = self.fates.entry(id).or_insert_with(|| Fate {
            code: view.case.code.clone(),
            opened_at: view.case.opened_at,
            ..Fate::default()
        });
        fate.title.clone_from(&view.case.title);
        match kind {
            "acknowledged" if fate.acknowledged.is_none() => {
                fate.acknowledged = Some((actor.to_owned(), now));
            }
            "resolved" => fate.resolved_at = Some(now),
            "policy_exhausted" => fate.exhausted = true,
            _ => {}
        }
    }

    fn deliver(&mut self, now: Timestamp, delivery: &NewDelivery) {
        let at = now.checked_add(TRAVEL).unwrap_or(now);
        let person = delivery.payload["person"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let resolved = delivery.payload["kind"].as_str() == Some("resolved");
        let channel = Channel::ALL
            .into_iter()
            .find(|channel| channel.as_str() == delivery.channel);
        let case: Option<CaseId> = delivery.subject.id.parse().ok();
        let (Some(channel), Some(case), false, false) =
            (channel, case, person.is_empty(), resolved)
        else {
            return self.put(at, Next::Result(delivery.id, true, Receipt::Accepted));
        };
        if let Some(fate) = self.fates.get_mut(&case) {
            fate.pages += 1;
            if fate.first_page.is_none() {
                fate.first_page = Some((person.clone(), channel.as_str().to_owned(), now));
            }
            if !fate.paged.contains(&person) {
                fate.paged.push(person.clone());
            }
        }
        let broken = self.plan.failures.iter().any(|failure| {
            matches!(failure, Failure::Broken { channel: broken, person: whose }
                if *broken == channel && whose.as_ref().is_none_or(|whose| *whose == person))
        });
        if broken {
            return self.put(
                at,
                Next::Result(delivery.id, false, Receipt::FailedPermanently),
            );
        }
        let mute =
            self.plan.failures.iter().any(
                |failure| matches!(failure, Failure::Mute { channel: mute } if *mute == channel),
            );
        if !mute {
            self.put(at, Next::Result(delivery.id, true, Receipt::Delivered));
        }
        self.answer(now, case, person);
    }

    /// The person will answer, unless they cannot.
    fn answer(&mut self, now: Timestamp, case: CaseId, person: String) {
        let own = self.plan.failures.iter().find_map(|failure| match failure {
            Failure::AnswersIn {
                person: whose,
                after,
            } if *whose == person => Some(*after),
            _ => None,
        });
        let after = own.unwrap_or(self.plan.answer_in);
        let at = SignedDuration::try_from(after)
            .ok()
            .and_then(|after| now.checked_add(after).ok())
            .unwrap_or(Timestamp::MAX);
        let zone = self
            .plan
            .config
            .oncall
            .people
            .get(&person)
            .and_then(|known| TimeZone::get(&known.time_zone).ok())
            .unwrap_or(TimeZone::UTC);
        let clock = local_time::local(&zone, now).time();
        let asleep = self.plan.failures.iter().any(|failure| match failure {
            Failure::Asleep {
                person: whose,
                between,
            } if *whose == person => match between {
                None => true,
                Some((from, to)) if from <= to => *from <= clock && clock < *to,
                Some((from, to)) => *from <= clock || clock < *to,
            },
            _ => false,
        });
        if !asleep && self.answering.insert((case, person.clone())) {
            self.put(at, Next::Answer(case, person));
        }
    }

    fn finish(self) -> Played {
        let mut played = self.played;
        played.cases = self.fates.into_values().collect();
        played
            .cases
            .sort_by(|a, b| (a.opened_at, &a.code).cmp(&(b.opened_at, &b.code)));
        played
    }
}

/// How two rehearsals of the same alerts differ: one line for each case whose pages or answer differ.
pub fn differences(before: &Played, after: &Played) -> Vec<String> {
    let key = |fate: &Fate| (fate.opened_at, fate.title.clone());
    let index = |played: &Played| -> BTreeMap<(Timestamp, String), Fate> {
        played
            .cases
            .iter()
            .map(|fate| (key(fate), fate.clone()))
            .collect()
    };
    let (old, new) = (index(before), index(after));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let first = |fate: &Fate| {
        fate.first_page
            .as_ref()
            .map_or("nobody".to_owned(), |(person, channel, _)| {
                format!("{person} by {channel}")
            })
    };
    let answered = |fate: &Fate| match &fate.acknowledged {
        None if fate.exhausted => "by nobody, to the end of the policy".to_owned(),
        None => "by nobody".to_owned(),
        Some((person, at)) => {
            let after = at.duration_since(fate.opened_at);
            let after = Duration::try_from(after).unwrap_or_default();
            format!(
                "by {person} after {}",
                bellwether_model::duration::format_brief(after)
            )
        }
    };
    let mut lines = Vec::new();
    for key in keys {
        let at = key.0;
        match (old.get(&key), new.get(&key)) {
            (Some(_), None) => lines.push(format!("{at} {}: pages nobody any more", key.1)),
            (None, Some(new)) => lines.push(format!("{at} {}: pages {} now", key.1, first(new))),
            (Some(old), Some(new)) => {
                let mut parts = Vec::new();
                if first(old) != first(new) {
                    parts.push(format!("first page {} -> {}", first(old), first(new)));
                }
                if old.paged != new.paged {
                    parts.push(format!(
                        "paged {} -> {}",
                        old.paged.join(", "),
                        new.paged.join(", ")
                    ));
                }
                if answered(old) != answered(new) {
                    parts.push(format!("answered {} -> {}", answered(old), answered(new)));
                }
                if !parts.is_empty() {
                    lines.push(format!("{at} {}: {}", key.1, parts.join("; ")));
                }
            }
            (None, None) => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests;
