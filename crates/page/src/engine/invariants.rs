//! PG1, PG2 and PG4 on the present state.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::state::{Due, hex, urgency_of};
use super::{Pager, Violation};
use crate::config::Settings;
use crate::record::CaseStatus;

impl Pager {
    /// Checks PG1, PG2 and PG4 on the present state. Call it after a step, with that step's `now`.
    ///
    /// PG1: every firing alert that is worth a page is in a case, in a group that will be flushed, or muted with a
    /// recorded reason; and no open case waits for nothing. PG2: the pages of a case have keys of their own. PG4:
    /// whatever waits has a timer, and whatever is on its way is known by its delivery.
    pub fn check_invariants(&self, now: Timestamp) -> Vec<Violation> {
        let mut found = Vec::new();
        self.check_alerts(now, &mut found);
        self.check_cases(now, &mut found);
        self.check_groups(now, &mut found);
        found
    }

    fn check_alerts(&self, now: Timestamp, found: &mut Vec<Violation>) {
        for (fingerprint, alert) in &self.alerts {
            let stored = &alert.stored;
            if stored.resolved {
                continue;
            }
            if stored.ends_at <= now || self.timer(&Due::Alert(*fingerprint)).is_none() {
                found.push(Violation {
                    id: "PG4",
                    text: format!(
                        "alert {} has ended, or nothing will notice",
                        hex(*fingerprint)
                    ),
                });
            }
            if urgency_of(&stored.labels).is_none() {
                continue;
            }
            for id in &alert.groups {
                let Some(group) = self.groups.get(id) else {
                    continue;
                };
                let node = &self.config.routes.nodes[group.node];
                let to_people =
                    self.config
                        .receivers
                        .get(&node.receiver)
                        .is_some_and(|receiver| {
                            receiver.integrations.iter().any(|integration| {
                                matches!(integration.settings, Settings::Page(_))
                            })
                        });
                let in_case = self.cases_of_alert.contains_key(fingerprint);
                let waits = self.timer(&Due::Group(std::sync::Arc::clone(id))).is_some();
                if to_people && !in_case && !waits && group.stored.muted.is_empty() {
                    found.push(Violation {
                        id: "PG1",
                        text: format!("alert {} reaches nobody", hex(*fingerprint)),
                    });
                }
            }
        }
    }

    fn check_cases(&self, now: Timestamp, found: &mut Vec<Violation>) {
        for case in self.cases.values() {
            let timer = self.timer(&Due::Case(case.id));
            if Self::is_silent(case) || (case.status == CaseStatus::Open && timer.is_none()) {
                found.push(Violation {
                    id: "PG1",
                    text: format!("case {} is open and waits for nothing", case.id),
                });
            }
            if case.status == CaseStatus::Open
                && case.withheld.is_none()
                && case.escalation.next_at.is_some_and(|at| at <= now)
            {
                found.push(Violation {
                    id: "PG1",
                    text: format!("case {} has an overdue step", case.id),
                });
            }
            let keys: BTreeSet<&str> = case.pages.iter().map(|page| page.key.as_str()).collect();
            let targets: BTreeSet<_> = case
                .pages
                .iter()
                .map(|page| (page.step_number, &page.person, page.rule))
                .collect();
            if keys.len() != case.pages.len() || targets.len() != case.pages.len() {
                found.push(Violation {
                    id: "PG2",
                    text: format!("case {} has paged twice for one rule", case.id),
                });
            }
            for page in &case.pages {
                if !super::notify::is_final(page.state)
                    && !self.deliveries.contains_key(&page.delivery)
                {
                    found.push(Violation {
                        id: "PG4",
                        text: format!("page {} of case {} is not known", page.delivery, case.id),
                    });
                }
            }
        }
    }

    fn check_groups(&self, now: Timestamp, found: &mut Vec<Violation>) {
        for (id, group) in &self.groups {
            let timer = self.timer(&Due::Group(std::sync::Arc::clone(id)));
            if timer.is_none_or(|at| at <= now) {
                found.push(Violation {
                    id: "PG4",
                    text: format!("group {} is overdue or has no timer", group.stored.key),
                });
            }
            for flight in group.stored.in_flight.values() {
                if !self.deliveries.contains_key(&flight.delivery) {
                    found.push(Violation {
                        id: "PG4",
                        text: format!("notification {} is not known", flight.delivery),
                    });
                }
            }
        }
    }
}
