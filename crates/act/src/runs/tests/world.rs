//! A store, a clock and adapters for tests: what is recorded is kept as JSON, what is delivered waits to be answered.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::state::{Decision, NewDelivery, Record};
use bellwether_model::{IdSource, RunId};
use jiff::Timestamp;

use crate::payload::{Outcome, Output, StepResult, VerifyResult};
use crate::plan::{GivenInputs, Part, Plan, plan};
use crate::runbook::Runbook;
use crate::runs::view::RunView;
use crate::runs::{Reason, RunEvent, Runs, Settings, Trigger};

#[derive(Clone, Debug)]
pub(super) struct CountingIds(pub(super) u64);

impl IdSource for CountingIds {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn skip(&mut self, ids: u64) {
        self.0 += ids;
    }
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) runs: Runs,
    pub(super) settings: Settings,
    pub(super) now: Timestamp,
    pub(super) ids: CountingIds,
    /// Records by kind and id, with the time they are due.
    pub(super) records: BTreeMap<(String, String), (serde_json::Value, Option<Timestamp>)>,
    pub(super) deliveries: Vec<NewDelivery>,
    /// Deliveries that were answered.
    pub(super) answered: usize,
    pub(super) timeline: Vec<String>,
}

pub(super) const START: &str = "2026-03-01T12:00:00Z";

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            runs: Runs::new(settings.clone()),
            settings,
            now: START.parse().unwrap(),
            ids: CountingIds(0),
            records: BTreeMap::new(),
            deliveries: Vec::new(),
            answered: 0,
            timeline: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, event: RunEvent) -> Decision<Reason> {
        let decision = self.runs.step(self.now, event, &mut self.ids);
        let mut batch = decision.batch.clone();
        batch.compact();
        for write in batch.records {
            let key = (write.kind.0.to_owned(), write.id);
            match write.body {
                Some(body) => self.records.insert(key, (body, write.due_at)),
                None => self.records.remove(&key),
            };
        }
        for delivery in batch.deliveries {
            let known = self
                .deliveries
                .iter()
                .any(|known| known.key == delivery.key);
            assert!(!known, "key {} was used twice", delivery.key);
            self.deliveries.push(delivery);
        }
        let began: Timestamp = START.parse().unwrap();
        for event in batch.events {
            let at = event.at.duration_since(began).as_secs();
            self.timeline.push(format!(
                "{at:>4}s {} {}: {}",
                event.actor, event.kind, event.text
            ));
        }
        let broken = self.runs.check_invariants();
        assert!(broken.is_empty(), "{broken:?}");
        decision
    }

    /// The engine as it comes back after a crash.
    pub(super) fn restored(&self) -> Runs {
        let records = self
            .records
            .iter()
            .map(|((kind, id), (body, due_at))| Record {
                kind: kind.clone(),
                id: id.clone(),
                version: 1,
                due_at: *due_at,
                body: body.clone(),
            });
        let (runs, problems) = Runs::restore(self.settings.clone(), records);
        assert!(problems.0.is_empty(), "{problems}");
        runs
    }

    pub(super) fn start(
        &mut self,
        plan: &Plan,
        actor: &str,
        trigger: Trigger,
    ) -> (RunId, Vec<Reason>) {
        let run = RunId::new(self.now, &mut self.ids);
        let decision = self.step(RunEvent::Start {
            run,
            plan: Box::new(plan.clone()),
            case: None,
            actor: actor.to_owned(),
            digest: plan.digest.clone(),
            trigger,
        });
        (run, decision.why)
    }

    pub(super) fn approve(&mut self, run: RunId, actor: &str) -> Vec<Reason> {
        let digest = self
            .runs
            .record(run)
            .map_or_else(String::new, |run| run.plan.digest.clone());
        self.step(RunEvent::Approve {
            run,
            actor: actor.to_owned(),
            digest,
        })
        .why
    }

    /// The next delivery that nobody has answered.
    pub(super) fn take(&mut self) -> Option<NewDelivery> {
        let delivery = self.deliveries.get(self.answered)?.clone();
        self.answered += 1;
        Some(delivery)
    }

    /// Answers the next delivery.
    pub(super) fn answer(&mut self, outcome: Outcome, stdout: &str) -> Vec<Reason> {
        let delivery = self.take().expect("a delivery waits");
        self.answer_key(&delivery.key, outcome, stdout)
    }

    pub(super) fn answer_key(&mut self, key: &str, outcome: Outcome, stdout: &str) -> Vec<Reason> {
        self.step(RunEvent::StepOutcome {
            key: key.to_owned(),
            result: StepResult {
                outcome,
                output: Output::new(stdout, ""),
                duration_ms: 20,
                secrets: BTreeMap::new(),
            },
        })
        .why
    }

    pub(super) fn check(&mut self, holds: bool) -> Vec<Reason> {
        let delivery = self.take().expect("a check waits");
        assert!(delivery.key.contains("/verify/"), "{}", delivery.key);
        let text = "{} 1".to_owned();
        let result = if holds {
            VerifyResult::Holds { text }
        } else {
            VerifyResult::NotYet { text }
        };
        self.step(RunEvent::VerifyResult {
            key: delivery.key,
            result,
        })
        .why
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        drop(self.step(RunEvent::Tick));
    }

    pub(super) fn view(&self, run: RunId) -> RunView {
        self.runs.run(run, self.now).unwrap()
    }
}

/// A part of a page planned, with inputs given by name.
pub(super) fn plan_of(text: &str, part: &Part, values: &[(&str, &str)]) -> Plan {
    let (runbook, problems) = Runbook::parse("test.md", text);
    assert!(!problems.has_errors(), "{problems}");
    let given = GivenInputs {
        values: values
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        ..GivenInputs::default()
    };
    let plan = plan(&runbook.unwrap(), &given, part, START.parse().unwrap());
    assert!(plan.runnable(), "{:?}", plan.problems);
    plan
}

pub(super) const OK: Outcome = Outcome::Exited { code: 0 };
