//! Alerts to pages: the pager's own engine, fed with what alerts did in history.
//!
//! The pager hears of an alert when it begins to fire and when it ends; that it is sent again every minute in between
//! changes nothing for it. Receivers answer at once: every notification arrives, and whoever is paged takes the case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_judge::EngineSettings;
use bellwether_judge::replay::Episode;
use bellwether_model::state::{DeliveryState, NewDelivery, Receipt};
use bellwether_model::{IdSource, Labels, PostedAlert};
use bellwether_page::config::{PageConfig, RouteNode, Settings};
use bellwether_page::{
    DeliveryResult, NewSilence, NotificationPayload, Pager, PagerEvent, Reason, Urgency, urgency_of,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::replay::Replayed;
use crate::{Progress, Stopped};

/// Integrations that wake people.
pub const PAGING: [&str; 6] = [
    "page",
    "pagerduty",
    "opsgenie",
    "victorops",
    "incidentio",
    "pushover",
];

/// What becomes of alerts.
#[derive(Clone, Debug)]
pub struct Routing {
    pub config: Arc<PageConfig>,
    pub silences: Vec<NewSilence>,
    /// Receivers whose notifications are pages. Empty: those with one of the [`PAGING`] integrations, or all when there
    /// is none.
    pub page_receivers: BTreeSet<String>,
}

/// Why a notification went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The group's first.
    First,
    /// Alerts that the group did not have at the last one.
    NewAlerts,
    /// `repeat_interval` has passed.
    Repeat,
    /// A case that was low became high.
    Raised,
}

/// A page: somebody is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Milliseconds since 1970.
    pub at: i64,
    pub why: Why,
    pub receiver: String,
    /// `page`, `pagerduty`, `webhook`, ...
    pub channel: String,
    /// The group's key.
    pub group: String,
    /// Rules with a firing alert in it, as positions (group, rule) in the configuration.
    pub rules: BTreeSet<(usize, usize)>,
    /// Labels of its firing alerts.
    pub alerts: Vec<Labels>,
    /// When the last of these alerts ended; `None`: not within the range.
    pub resolved_at: Option<i64>,
}

/// Alerts that reached nobody at a flush, by what stopped them: counted once per alert and flush that begins it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Suppressed {
    pub inhibited: u64,
    pub silenced: u64,
    /// By time intervals: flushes of groups.
    pub muted: u64,
}

/// What the pager did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paged {
    /// In order of time.
    pub pages: Vec<Page>,
    /// All notifications of firing alerts by channel, pages among them.
    pub notifications: BTreeMap<String, u64>,
    /// Cases that only make a ticket.
    pub tickets: u64,
    pub suppressed: Suppressed,
}

/// One change of an alert.
struct Change<'a> {
    at: i64,
    labels: &'a Labels,
    fired_at: i64,
    ends: bool,
}

struct Counter(u64);

// === ids ===

impl IdSource for Counter {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn skip(&mut self, ids: u64) {
        self.0 += ids;
    }
}

struct Run<'a> {
    pager: Pager,
    ids: Counter,
    routing: &'a Routing,
    all_page: bool,
    /// Rules and lives of an alert by fingerprint as posted.
    known: &'a BTreeMap<u64, Known>,
    from: i64,
    out: Paged,
}

/// An alert as the pager knows it.
#[derive(Default)]
struct Known {
    labels: Labels,
    rules: BTreeSet<(usize, usize)>,
    episodes: Vec<Episode>,
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

// === impl Routing ===

impl Routing {
    /// Without a configuration: alerts grouped by name, those that only explain page nobody.
    pub fn built_in() -> Self {
        Self::new(PageConfig::default())
    }

    /// By a configuration. Every integration counts as delivered, and people take what pages them at once.
    pub fn new(mut config: PageConfig) -> Self {
        for receiver in config.receivers.values_mut() {
            for integration in &mut receiver.integrations {
                if !matches!(integration.settings, Settings::Page(_)) {
                    integration.settings = Settings::Webhook(Box::default());
                }
            }
        }
        config.oncall.diagnosis_wait = std::time::Duration::ZERO;
        config.oncall.ack_timeout_high = None;
        config.oncall.ack_timeout_low = None;
        Self {
            config: Arc::new(config),
            silences: Vec::new(),
            page_receivers: BTreeSet::new(),
        }
    }

    /// Whether alerts with these labels that take this route can page somebody.
    pub fn pages(&self, node: &RouteNode, labels: &Labels) -> bool {
        let Some(receiver) = self.config.receivers.get(&node.receiver) else {
            return false;
        };
        if !self.page_receivers.is_empty() {
            return self.page_receivers.contains(&node.receiver);
        }
        let all = !self.wakes_people();
        receiver
            .integrations
            .iter()
            .any(|integration| match &integration.settings {
                Settings::Page(page) => page.urgency.or(urgency_of(labels)) == Some(Urgency::High),
                _ => all || PAGING.contains(&integration.kind),
            })
    }

    /// Whether any receiver that a route names has an integration that wakes people.
    pub fn wakes_people(&self) -> bool {
        let used: BTreeSet<&str> = self
            .config
            .routes
            .nodes
            .iter()
            .map(|node| node.receiver.as_str())
            .collect();
        self.config
            .receivers
            .values()
            .filter(|receiver| used.contains(receiver.name.as_str()))
            .flat_map(|receiver| &receiver.integrations)
            .any(|integration| PAGING.contains(&integration.kind))
    }
}

/// Sends the alerts of a replay through the pager. Pages count from `from` on (milliseconds since 1970); time ends at `to`.
pub fn page(
    replayed: &Replayed,
    settings: &EngineSettings,
    routing: &Routing,
    (from, to): (i64, i64),
    progress: &dyn Progress,
) -> Result<Paged, Stopped> {
    let mut known: BTreeMap<u64, Known> = BTreeMap::new();
    let mut changes = Vec::new();
    for alert in &replayed.alerts {
        let mut labels = settings.external_labels.to_builder();
        for label in &alert.labels {
            labels.set(&label.name, &label.value);
        }
        let labels = labels.build();
        let entry = known.entry(labels.fingerprint()).or_default();
        entry.rules.insert((alert.group, alert.rule));
        entry
            .episodes
            .extend(alert.episodes.iter().filter(|life| life.fired_at.is_some()));
        entry.labels = labels;
    }
    for entry in known.values_mut() {
        entry.episodes.sort();
    }
    for entry in known.values() {
        for life in &entry.episodes {
            let fired_at = life.fired_at.unwrap_or(life.active_at);
            let change = |at, ends| Change {
                at,
                labels: &entry.labels,
                fired_at,
                ends,
            };
            changes.push(change(fired_at, false));
            changes.extend(life.ended_at.map(|at| change(at, true)));
        }
    }
    // What ends at a time is told before what begins.
    changes.sort_by(|a, b| (a.at, !a.ends, a.labels).cmp(&(b.at, !b.ends, b.labels)));
    let run = Run {
        pager: Pager::new(Arc::clone(&routing.config)),
        ids: Counter(1),
        all_page: routing.page_receivers.is_empty() && !routing.wakes_people(),
        routing,
        known: &known,
        from,
        out: Paged::default(),
    };
    run.all(&changes, to, progress)
}

impl Run<'_> {
    fn all(
        mut self,
        changes: &[Change<'_>],
        to: i64,
        progress: &dyn Progress,
    ) -> Result<Paged, Stopped> {
        let begin = changes
            .first()
            .map_or(self.from, |change| change.at.min(self.from));
        for silence in &self.routing.silences {
            self.step(begin, PagerEvent::SilenceSet(silence.clone()));
        }
        let mut rest = changes;
        loop {
            let wake = self.pager.next_wake().map(Timestamp::as_millisecond);
            let next = rest.first().map(|change| change.at);
            let at = match (wake, next) {
                (Some(wake), Some(next)) => wake.min(next),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => break,
            };
            if at > to {
                break;
            }
            if progress.stopped() {
                return Err(Stopped);
            }
            if next != Some(at) {
                // Sub-millisecond timers do not exist, so time goes on.
                self.step(at, PagerEvent::Tick);
                continue;
            }
            let count = rest.iter().take_while(|change| change.at == at).count();
            let (now, later) = rest.split_at(count);
            rest = later;
            let alerts = now.iter().map(Change::posted).collect();
            let source = "backtest".to_owned();
            self.step(at, PagerEvent::Alerts { alerts, source });
        }
        Ok(self.out)
    }

    fn step(&mut self, at: i64, event: PagerEvent) {
        let mut open = vec![event];
        let mut next = 0;
        while let Some(event) = open.get(next).cloned() {
            next += 1;
            let decision = self.pager.step(timestamp(at), event, &mut self.ids);
            for reason in &decision.why {
                self.reason(at, reason, &mut open);
            }
            for delivery in &decision.batch.deliveries {
                self.delivery(at, delivery, &mut open);
            }
        }
    }

    fn reason(&mut self, at: i64, reason: &Reason, open: &mut Vec<PagerEvent>) {
        let counts = at >= self.from;
        match reason {
            Reason::CaseOpened { case } => self.case(at, case, Why::First, open),
            Reason::UrgencyRaised { case } => self.case(at, case, Why::Raised, open),
            Reason::Inhibited { alerts, .. } if counts => {
                self.out.suppressed.inhibited += *alerts as u64;
            }
            Reason::Silenced { alerts, .. } if counts => {
                self.out.suppressed.silenced += *alerts as u64;
            }
            Reason::MutedByInterval { .. } | Reason::OutsideActiveInterval { .. } if counts => {
                self.out.suppressed.muted += 1;
            }
            _ => {}
        }
    }

    /// A case opens or becomes urgent: whoever is paged takes it.
    fn case(&mut self, at: i64, case: &str, why: Why, open: &mut Vec<PagerEvent>) {
        let Some(id) = self.pager.find_case(case) else {
            return;
        };
        let Some(view) = self.pager.case(id, timestamp(at)) else {
            return;
        };
        let case = view.case;
        open.push(PagerEvent::Acknowledge {
            case: id,
            actor: "backtest".to_owned(),
            as_of: None,
        });
        if at < self.from {
            return;
        }
        if case.urgency == Urgency::Low && self.routing.page_receivers.is_empty() {
            self.out.tickets += 1;
            return;
        }
        *self.out.notifications.entry("page".to_owned()).or_default() += 1;
        let prints: Vec<u64> = case
            .firing()
            .filter_map(|(fingerprint, _)| u64::from_str_radix(fingerprint, 16).ok())
            .collect();
        if self.is_page(&case.receiver, "page") {
            let page = self.page(at, why, &case.receiver, "page", &case.group_key, &prints);
            self.out.pages.push(page);
        }
    }

    fn delivery(&mut self, at: i64, delivery: &NewDelivery, open: &mut Vec<PagerEvent>) {
        open.push(PagerEvent::DeliveryResult(DeliveryResult {
            id: delivery.id,
            state: DeliveryState::Done,
            receipt: Receipt::Delivered,
            attempt: 1,
            error: String::new(),
        }));
        if delivery.subject.kind != "group" || at < self.from {
            return;
        }
        let Ok(payload) = serde_json::from_value::<NotificationPayload>(delivery.payload.clone())
        else {
            return;
        };
        let why = match payload.reason.as_str() {
            "first notification" => Why::First,
            "new alerts in group" => Why::NewAlerts,
            "repeat interval elapsed" => Why::Repeat,
            // Ends are good news.
            _ => return,
        };
        let channel = delivery.channel.clone();
        let alerts = payload.body["alerts"].as_array();
        let prints: Vec<u64> = alerts
            .into_iter()
            .flatten()
            .filter(|alert| alert["status"] == "firing")
            .filter_map(|alert| u64::from_str_radix(alert["fingerprint"].as_str()?, 16).ok())
            .collect();
        *self.out.notifications.entry(channel.clone()).or_default() += 1;
        if self.is_page(&payload.receiver, &channel) {
            let page = self.page(
                at,
                why,
                &payload.receiver,
                &channel,
                &payload.group_key,
                &prints,
            );
            self.out.pages.push(page);
        }
    }

    fn is_page(&self, receiver: &str, channel: &str) -> bool {
        if self.routing.page_receivers.is_empty() {
            self.all_page || PAGING.contains(&channel)
        } else {
            self.routing.page_receivers.contains(receiver)
        }
    }

    fn page(
        &self,
        at: i64,
        why: Why,
        receiver: &str,
        channel: &str,
        group: &str,
        prints: &[u64],
    ) -> Page {
        let known: Vec<&Known> = prints
            .iter()
            .filter_map(|print| self.known.get(print))
            .collect();
        let ends: Option<Vec<i64>> = known.iter().map(|known| known.end_after(at)).collect();
        Page {
            at,
            why,
            receiver: receiver.to_owned(),
            channel: channel.to_owned(),
            group: group.to_owned(),
            rules: known
                .iter()
                .flat_map(|known| known.rules.iter().copied())
                .collect(),
            alerts: known.iter().map(|known| known.labels.clone()).collect(),
            resolved_at: ends.and_then(|ends| ends.into_iter().max()),
        }
    }
}

impl Known {
    /// When the life that fires at a time ended.
    fn end_after(&self, at: i64) -> Option<i64> {
        self.episodes
            .iter()
            .rev()
            .find(|life| life.fired_at.is_some_and(|fired| fired <= at))
            .and_then(|life| life.ended_at)
    }
}

impl Change<'_> {
    fn posted(&self) -> PostedAlert {
        PostedAlert {
            labels: self.labels.clone(),
            annotations: Labels::empty(),
            starts_at: Some(timestamp(self.fired_at)),
            ends_at: if self.ends {
                Some(timestamp(self.at))
            } else {
                Some(Timestamp::MAX)
            },
            generator_url: String::new(),
        }
    }
}
