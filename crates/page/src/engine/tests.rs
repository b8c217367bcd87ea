//! Scenarios in simulated time, and laws.

mod laws;
mod notifications;
mod scenarios;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::state::{Batch, Decision, DeliveryState, NewDelivery, Receipt, Record};
use bellwether_model::{CaseId, IdSource, Labels, PostedAlert, Problems};
use bellwether_yaml::{MapReader, parse};
use jiff::{SignedDuration, Timestamp};

use crate::config::{PageConfig, ReadOptions};
use crate::event::{DeliveryResult, PagerEvent};
use crate::reason::Reason;
use crate::{Case, Pager};

#[derive(Clone)]
pub(super) struct Counter(u64);
impl IdSource for Counter {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn skip(&mut self, ids: u64) {
        self.0 += ids;
    }
}

pub(super) const START: &str = "2026-03-02T08:00:00Z";

/// A pager, a store, and an outbox whose deliveries arrive at once (or fail, by channel).
pub(super) struct World {
    pub(super) pager: Pager,
    pub(super) now: Timestamp,
    pub(super) records: BTreeMap<(String, String), Record>,
    pub(super) outbox: Vec<NewDelivery>,
    pub(super) sent: Vec<(Timestamp, NewDelivery)>,
    pub(super) keys: BTreeMap<String, u32>,
    pub(super) log: Vec<String>,
    pub(super) ids: Counter,
    /// Channels whose deliveries fail for good.
    pub(super) broken: Vec<&'static str>,
    /// Channels that never report anything.
    pub(super) mute: Vec<&'static str>,
    pub(super) last: Vec<Reason>,
    pub(super) last_batch: Batch,
    /// When it was last stepped.
    pub(super) stepped: Timestamp,
}

pub(super) fn config(text: &str) -> Arc<PageConfig> {
    let mut problems = Problems::default();
    let node = parse("test.yml", text, &mut problems).unwrap();
    let mut map = MapReader::new(&node, "config", &mut problems);
    let config = PageConfig::read(&mut map, &ReadOptions::default());
    map.finish();
    assert!(!problems.has_errors(), "{problems}");
    Arc::new(config)
}

pub(super) fn alert(pairs: &[(&str, &str)]) -> PostedAlert {
    PostedAlert {
        labels: Labels::new(pairs.iter().copied()),
        annotations: Labels::new([("summary", "it hurts")]),
        starts_at: None,
        ends_at: None,
        generator_url: String::new(),
    }
}

impl World {
    pub(super) fn new(text: &str) -> Self {
        Self::with(config(text))
    }

    pub(super) fn with(config: Arc<PageConfig>) -> Self {
        Self {
            pager: Pager::new(config),
            now: START.parse().unwrap(),
            records: BTreeMap::new(),
            outbox: Vec::new(),
            sent: Vec::new(),
            keys: BTreeMap::new(),
            log: Vec::new(),
            ids: Counter(0),
            broken: Vec::new(),
            mute: Vec::new(),
            last: Vec::new(),
            last_batch: Batch::default(),
            stepped: START.parse().unwrap(),
        }
    }

    pub(super) fn step(&mut self, event: PagerEvent) -> &mut Self {
        let decision = self.pager.step(self.now, event, &mut self.ids);
        self.record(decision);
        self.deliver();
        self
    }

    fn record(&mut self, decision: Decision<Reason>) {
        self.stepped = self.now;
        let violations = self.pager.check_invariants(self.now);
        assert!(
            violations.is_empty(),
            "{violations:?}\n{}",
            self.log.join("\n")
        );
        self.last = decision.why;
        self.last_batch = decision.batch.clone();
        for write in &decision.batch.records {
            let key = (write.kind.0.to_owned(), write.id.clone());
            match &write.body {
                Some(body) => {
                    let record = Record {
                        kind: key.0.clone(),
                        id: key.1.clone(),
                        version: 1,
                        due_at: write.due_at,
                        body: body.clone(),
                    };
                    self.records.insert(key, record);
                }
                None => drop(self.records.remove(&key)),
            }
        }
        for event in &decision.batch.events {
            let start: Timestamp = START.parse().unwrap();
            let passed = event.at.duration_since(start).as_secs();
            self.log.push(format!(
                "{:>4}:{:02} {}: {} [{}]",
                passed / 60,
                passed % 60,
                event.kind,
                event.text,
                event.actor
            ));
        }
        for update in &decision.batch.updates {
            self.outbox.retain(|delivery| delivery.id != update.id);
        }
        for delivery in decision.batch.deliveries {
            let times = self.keys.entry(delivery.key.clone()).or_default();
            *times += 1;
            assert_eq!(*times, 1, "one key twice: {}", delivery.key);
            self.outbox.push(delivery);
        }
    }

    fn deliver(&mut self) {
        while let Some(index) = self
            .outbox
            .iter()
            .position(|delivery| !self.mute.contains(&delivery.channel.as_str()))
        {
            let delivery = self.outbox.remove(index);
            let broken = self.broken.contains(&delivery.channel.as_str());
            let result = DeliveryResult {
                id: delivery.id,
                state: if broken {
                    DeliveryState::Failed
                } else {
                    DeliveryState::Done
                },
                receipt: if broken {
                    Receipt::FailedPermanently
                } else {
                    Receipt::Accepted
                },
                attempt: 1,
                error: if broken {
                    "refused".to_owned()
                } else {
                    String::new()
                },
            };
            self.sent.push((self.now, delivery));
            let decision =
                self.pager
                    .step(self.now, PagerEvent::DeliveryResult(result), &mut self.ids);
            self.record(decision);
        }
    }

    pub(super) fn fire(&mut self, pairs: &[(&str, &str)]) -> &mut Self {
        self.post(vec![alert(pairs)])
    }

    pub(super) fn post(&mut self, alerts: Vec<PostedAlert>) -> &mut Self {
        self.step(PagerEvent::Alerts {
            alerts,
            source: "test".to_owned(),
        })
    }

    pub(super) fn end(&mut self, pairs: &[(&str, &str)]) -> &mut Self {
        let mut ended = alert(pairs);
        ended.ends_at = Some(self.now);
        self.post(vec![ended])
    }

    /// Lets time pass, waking the pager whenever it wants.
    pub(super) fn advance(&mut self, duration: SignedDuration) -> &mut Self {
        let until = self.now + duration;
        while let Some(wake) = self.pager.next_wake().filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.step(PagerEvent::Tick);
        }
        self.now = until;
        self
    }

    pub(super) fn minutes(&mut self, minutes: i64) -> &mut Self {
        self.advance(SignedDuration::from_mins(minutes))
    }

    pub(super) fn seconds(&mut self, seconds: i64) -> &mut Self {
        self.advance(SignedDuration::from_secs(seconds))
    }

    /// Keeps alerts firing for a while, as Prometheus does.
    pub(super) fn hold(&mut self, alerts: &[&[(&str, &str)]], minutes: i64) -> &mut Self {
        for _ in 0..minutes {
            self.post(alerts.iter().map(|pairs| alert(pairs)).collect());
            self.minutes(1);
        }
        self
    }

    pub(super) fn crash(&mut self) -> &mut Self {
        let records: Vec<Record> = self.records.values().cloned().collect();
        self.pager = Pager::new(Arc::clone(self.pager.config()));
        let problems = self.pager.restore(&records, self.now);
        assert!(problems.is_empty(), "{problems:?}");
        self.log.push("     -- crash and restart --".to_owned());
        self
    }

    pub(super) fn case_id(&self) -> CaseId {
        self.pager.cases()[0].id
    }

    pub(super) fn case(&self) -> &Case {
        self.pager.cases()[0]
    }

    pub(super) fn words(&self) -> Vec<String> {
        self.last.iter().map(Reason::as_str).collect()
    }

    pub(super) fn timeline(&self) -> String {
        self.log.join("\n")
    }
}
