//! What must hold, seen from the outside and from the inside.

use std::collections::BTreeSet;

use bellwether_model::PostedAlert;
use bellwether_model::state::DeliveryState;
use bellwether_page::{Case, CaseStatus, PageConfig};
use bellwether_store::{DeliveryFilter, EventFilter, Store};
use jiff::{SignedDuration, Timestamp};

use crate::world::{World, ready};

/// Violations that are kept; a broken engine would fill the log.
const KEPT: usize = 20;

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `PG1`, `PG2`, `PG4`, `AC1`…
    pub id: String,
    pub text: String,
    /// In true time.
    pub at: Timestamp,
}

/// A page-worthy alert that must reach somebody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    since: Timestamp,
    /// Time without decisions until then.
    outage: SignedDuration,
    met: bool,
}

/// State that must be the same after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Remembered {
    cases: Vec<Case>,
    runs: String,
}

fn span(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::from_hours(1))
}

/// By when an alert has reached a person, whatever single channel or person fails: a flush, the diagnosis, and each
/// step of the longest policy.
pub(crate) fn deadline(config: &PageConfig) -> SignedDuration {
    let nodes = config.routes.nodes.iter();
    let flush = nodes
        .map(|node| span(node.group_wait).max(span(node.group_interval)))
        .max()
        .unwrap_or_default();
    let policies = config.oncall.policies.iter();
    let steps = policies
        .map(|policy| policy.steps.iter().map(|step| span(step.wait)).sum())
        .max()
        .unwrap_or(SignedDuration::ZERO);
    flush + span(config.oncall.diagnosis_wait) + steps + SignedDuration::from_mins(5)
}

fn page_worthy(alert: &PostedAlert) -> bool {
    !matches!(
        alert.labels.get("severity"),
        "context" | "info" | "none" | "ticket" | "warning" | "low"
    )
}

impl World {
    pub(crate) fn violate(&mut self, id: &str, text: String) {
        self.figures.violations += 1;
        let known = |violation: &Violation| violation.id == id && violation.text == text;
        if self.violations.len() >= KEPT || self.violations.iter().any(known) {
            return;
        }
        self.note(format!("VIOLATION {id}: {text}"));
        let at = self.true_now;
        let id = id.to_owned();
        self.violations.push(Violation { id, text, at });
    }

    /// The engines' own checks.
    pub(crate) fn check_engines(&mut self) {
        for violation in self.flow.pager.check_invariants(self.now()) {
            self.violate(violation.id, violation.text);
        }
        for text in self.flow.runs.check_invariants() {
            let id = text.get(..3).unwrap_or("AC").to_owned();
            self.violate(&id, text);
        }
    }

    /// Alerts whose reception was recorded.
    pub(crate) fn note_alerts(&mut self, alerts: &[PostedAlert]) {
        let now = self.now();
        for alert in alerts.iter().filter(|alert| page_worthy(alert)) {
            let fingerprint = alert.labels.fingerprint();
            if alert.ends_at.is_some_and(|at| at <= now) {
                self.demands.remove(&fingerprint);
            } else if !self.demands.contains_key(&fingerprint) {
                self.figures.alerts += 1;
                let demand = Demand {
                    since: self.true_now,
                    outage: self.outage,
                    met: false,
                };
                self.demands.insert(fingerprint, demand);
            }
        }
    }

    /// PG1 from the outside: an alert has reached a person by its deadline, or there is a recorded reason.
    pub(crate) fn check_demands(&mut self) {
        let cases = self.flow.pager.cases();
        let mut late = Vec::new();
        let mut demands = std::mem::take(&mut self.demands);
        for (fingerprint, demand) in &mut demands {
            if demand.met {
                continue;
            }
            let hex = format!("{fingerprint:016x}");
            let about: Vec<&&Case> = cases
                .iter()
                .filter(|case| case.alerts.contains_key(&hex))
                .collect();
            demand.met = about.iter().any(|case| {
                self.outside.reached.contains_key(&case.id)
                    || case.status != CaseStatus::Open
                    || case.withheld.is_some()
                    || case.escalation.exhausted
            });
            let waited = self.true_now.duration_since(demand.since) - (self.outage - demand.outage);
            if !demand.met && waited > self.deadline && !self.is_muted(*fingerprint) {
                demand.met = true;
                late.push(hex);
            }
        }
        self.demands = demands;
        for hex in late {
            let text = format!(
                "alert {hex} has reached nobody in {} s",
                self.deadline.as_secs()
            );
            self.violate("PG1", text);
        }
    }

    /// Whether there is a reason not to page, or the alert is over.
    fn is_muted(&self, fingerprint: u64) -> bool {
        let hex = format!("{fingerprint:016x}");
        let alerts = self.flow.pager.alerts(self.now());
        let alert = alerts.iter().find(|alert| alert.fingerprint == hex);
        alert.is_none_or(|alert| {
            !alert.silenced_by.is_empty()
                || !alert.inhibited_by.is_empty()
                || !alert.muted_by.is_empty()
        })
    }

    /// An action that changes something outside: AC1 from there.
    pub(crate) fn check_change(&mut self, payload: &bellwether_act::ExecPayload, undo: bool) {
        let run = payload.run.parse().ok();
        let record = run.and_then(|run| self.flow.runs.record(run));
        let approved = record.is_some_and(|record| !record.approvals.is_empty());
        if !approved && !undo {
            let text = format!(
                "{} of {} runs without an approval",
                payload.step, payload.run
            );
            self.violate("AC1", text);
        }
        if undo {
            let begun = run.is_some_and(|run| {
                let steps = self.flow.runs.step_records(run);
                steps
                    .iter()
                    .any(|step| step.attempt > 0 && step.id != payload.step)
            });
            if !begun {
                self.violate("AC2", format!("{} undoes what never began", payload.run));
            }
        }
    }

    // === PG4: a crash loses nothing ===

    fn remembered(&self) -> Remembered {
        let now = self.true_now;
        Remembered {
            cases: self.flow.pager.cases().into_iter().cloned().collect(),
            runs: format!("{:?}", self.flow.runs.recent(usize::MAX, now)),
        }
    }

    pub(crate) fn remember_state(&mut self) {
        self.remembered = self.memory_is_stored.then(|| self.remembered());
        self.died_at = self.true_now;
    }

    pub(crate) fn compare_state(&mut self) {
        let Some(before) = self.remembered.take() else {
            return;
        };
        let then = std::mem::replace(&mut self.true_now, self.died_at);
        let after = self.remembered();
        self.true_now = then;
        if before.runs != after.runs {
            self.violate("PG4", "runs differ after a restart".to_owned());
        }
        for case in &before.cases {
            let same = after.cases.iter().find(|known| known.id == case.id);
            if same != Some(case) {
                self.violate("PG4", format!("case {} differs after a restart", case.id));
            }
        }
        if after.cases.len() != before.cases.len() {
            self.violate("PG4", "a case appeared in a restart".to_owned());
        }
    }

    /// Whatever is open in the store, somebody takes care of.
    pub(crate) fn check_outbox(&mut self) {
        if !self.up {
            return;
        }
        let driven = self.driven();
        let mut forgotten = Vec::new();
        for state in [DeliveryState::Pending, DeliveryState::Sending] {
            let filter = DeliveryFilter {
                state: Some(state),
                ..DeliveryFilter::default()
            };
            let open = ready(self.store.deliveries(filter)).unwrap_or_default();
            forgotten.extend(
                open.into_iter()
                    .filter(|open| !driven.contains(&open.new.id)),
            );
        }
        for delivery in forgotten {
            let text = format!("{} is {:?} and forgotten", delivery.new.key, delivery.state);
            self.violate("PG4", text);
        }
    }

    /// The checks at the end, when everything has long been well: nothing is open, nothing that was answered is
    /// missing.
    pub fn check_end(&mut self) {
        self.check_demands();
        self.check_outbox();
        let open: Vec<String> = self
            .flow
            .pager
            .cases()
            .into_iter()
            .filter(|case| !case.is_resolved())
            .map(|case| format!("case {} ({}) never ends", case.id, case.title))
            .collect();
        for text in open {
            self.violate("PG4", text);
        }
        let filter = EventFilter {
            kind: Some("acknowledged".to_owned()),
            ..EventFilter::default()
        };
        let stored: BTreeSet<String> = ready(self.store.events(filter))
            .unwrap_or_default()
            .into_iter()
            .map(|event| event.new.subject.id)
            .collect();
        for (case, person) in std::mem::take(&mut self.acked) {
            if !stored.contains(&case.to_string()) {
                self.violate("PG4", format!("{person}'s answer to {case} is missing"));
            }
        }
    }
}
