//! What the pager shows.

use bellwether_model::{CaseId, Labels, Matcher};
use jiff::Timestamp;

use super::Pager;
use super::cases::case_waits;
use super::state::hex;
use crate::record::{Case, CaseStatus};
use crate::schedule::{Override, Shift};
use crate::view::{AlertState, AlertView, CaseView, GroupView, OnCallView, SilenceView};

impl Pager {
    /// Cases: open ones first, then resolved ones (kept for a while), newest first.
    pub fn cases(&self) -> Vec<&Case> {
        let mut cases: Vec<&Case> = self.cases.values().collect();
        cases.sort_by_key(|case| (case.is_resolved(), std::cmp::Reverse(case.id)));
        cases
    }

    /// One case with its causes and what happens next.
    pub fn case(&self, id: CaseId, now: Timestamp) -> Option<CaseView> {
        let case = self.cases.get(&id)?;
        Some(CaseView {
            causes: if case.is_resolved() {
                Vec::new()
            } else {
                self.causes_of(case)
            },
            next: next_of(case),
            withheld: match case.status {
                CaseStatus::Open => self.why_withheld(case, now),
                _ => None,
            },
            case: case.clone(),
        })
    }

    /// A case by id, or by its five-character code when one open case (or else one resolved case) has it.
    pub fn find_case(&self, text: &str) -> Option<CaseId> {
        if let Ok(id) = text.parse() {
            return self.cases.contains_key(&id).then_some(id);
        }
        for resolved in [false, true] {
            let mut found = self
                .cases
                .values()
                .filter(|case| case.is_resolved() == resolved)
                .filter(|case| case.code.eq_ignore_ascii_case(text));
            match (found.next(), found.next()) {
                (Some(case), None) => return Some(case.id),
                (Some(_), Some(_)) => return None,
                _ => {}
            }
        }
        None
    }

    /// Why this case pages, or does not, in sentences.
    pub fn why(&self, id: CaseId, now: Timestamp) -> Vec<String> {
        let Some(view) = self.case(id, now) else {
            return Vec::new();
        };
        let case = &view.case;
        let mut lines = case.why.clone();
        for page in &case.pages {
            lines.push(format!(
                "{}: {} by {} (step {}, loop {}, rule {}): {:?}{}",
                page.at,
                page.person,
                page.channel.as_str(),
                page.step + 1,
                page.loop_number,
                page.rule + 1,
                page.state,
                if page.error.is_empty() {
                    String::new()
                } else {
                    format!(", {}", page.error)
                }
            ));
        }
        for ladder in &case.ladders {
            lines.push(format!(
                "{} is being tried: {}",
                ladder.person, ladder.source
            ));
        }
        lines.extend(view.withheld.map(|why| format!("no page now: {why}")));
        lines.extend(view.next.map(|(at, what)| format!("next, at {at}: {what}")));
        lines
    }

    /// Groups with their alerts, in the order of Alertmanager's `alerts/groups`: by labels, then receiver.
    pub fn groups(&self, now: Timestamp) -> Vec<GroupView> {
        let mut groups: Vec<GroupView> = self
            .groups
            .values()
            .filter(|group| !group.members.is_empty())
            .map(|group| GroupView {
                key: group.stored.key.clone(),
                labels: group.stored.labels.clone(),
                receiver: self.config.routes.nodes[group.node].receiver.clone(),
                route_labels: self.config.routes.nodes[group.node].labels.clone(),
                muted_by: self
                    .route_muted(&self.config.routes.nodes[group.node], now)
                    .map(|(name, _)| name)
                    .into_iter()
                    .collect(),
                alerts: group
                    .members
                    .iter()
                    .filter_map(|fingerprint| self.alert_view(*fingerprint, now))
                    .collect(),
                next_flush: group.stored.next_flush,
            })
            .filter(|group| !group.alerts.is_empty())
            .collect();
        groups.sort_by(|a, b| (&a.labels, &a.receiver).cmp(&(&b.labels, &b.receiver)));
        groups
    }

    /// Alerts that have not ended, by fingerprint.
    pub fn alerts(&self, now: Timestamp) -> Vec<AlertView> {
        self.alerts
            .keys()
            .filter_map(|fingerprint| self.alert_view(*fingerprint, now))
            .collect()
    }

    fn alert_view(&self, fingerprint: u64, now: Timestamp) -> Option<AlertView> {
        let alert = self.alerts.get(&fingerprint)?;
        let stored = &alert.stored;
        if stored.resolved || stored.ends_at <= now {
            return None;
        }
        let silenced_by: Vec<String> = self
            .silenced_by(&stored.labels, now)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let inhibited_by: Vec<String> = self
            .inhibited_by(fingerprint, &stored.labels)
            .into_iter()
            .map(hex)
            .collect();
        let groups = || alert.groups.iter().filter_map(|id| self.groups.get(id));
        let muted_by: Vec<String> = groups()
            .filter_map(|group| self.route_muted(&self.config.routes.nodes[group.node], now))
            .map(|(name, _)| name)
            .collect();
        let mut receivers: Vec<String> = groups()
            .map(|group| self.config.routes.nodes[group.node].receiver.clone())
            .collect();
        receivers.dedup();
        let suppressed =
            !silenced_by.is_empty() || !inhibited_by.is_empty() || !muted_by.is_empty();
        let state = if suppressed {
            AlertState::Suppressed
        } else if groups().any(|group| group.stored.flushed) {
            AlertState::Active
        } else {
            AlertState::Unprocessed
        };
        Some(AlertView {
            fingerprint: hex(fingerprint),
            labels: stored.labels.clone(),
            annotations: stored.annotations.clone(),
            starts_at: stored.starts_at,
            ends_at: stored.ends_at,
            updated_at: stored.updated_at,
            generator_url: stored.generator_url.clone(),
            receivers,
            state,
            silenced_by,
            inhibited_by,
            muted_by,
            cases: self
                .cases_of_alert
                .get(&fingerprint)
                .map(|cases| cases.iter().copied().collect())
                .unwrap_or_default(),
        })
    }

    /// Silences, also those that have ended less than the retention (120 h) ago.
    pub fn silences(&self, now: Timestamp) -> Vec<SilenceView> {
        self.silences
            .values()
            .map(|silence| SilenceView {
                state: silence.state(now),
                silence: silence.clone(),
            })
            .collect()
    }

    /// What a silence with these matchers would hide now.
    pub fn silence_preview(&self, matcher_sets: &[Vec<Matcher>], now: Timestamp) -> Vec<AlertView> {
        let hit = |labels: &Labels| {
            matcher_sets.iter().any(|set| {
                !set.is_empty() && set.iter().all(|matcher| matcher.matches_labels(labels))
            })
        };
        self.alerts
            .iter()
            .filter(|(_, alert)| hit(&alert.stored.labels))
            .filter_map(|(fingerprint, _)| self.alert_view(*fingerprint, now))
            .collect()
    }

    /// One silence.
    pub fn silence(&self, id: &str, now: Timestamp) -> Option<SilenceView> {
        self.silences.get(id).map(|silence| SilenceView {
            state: silence.state(now),
            silence: silence.clone(),
        })
    }

    /// Silences, ended ones included.
    pub fn silence_count(&self) -> usize {
        self.silences.len()
    }

    /// Groups that have alerts, whether these have ended or not.
    pub fn group_count(&self) -> usize {
        self.groups
            .values()
            .filter(|group| !group.members.is_empty())
            .count()
    }

    /// Overrides, by id; those that have ended stay for the retention.
    pub fn overrides(&self) -> Vec<&Override> {
        self.overrides.values().collect()
    }

    /// Who is on call. An unknown schedule is nobody.
    pub fn who_is_on_call(&self, schedule: &str, at: Timestamp) -> Vec<OnCallView> {
        self.on_call(schedule, at)
            .into_iter()
            .map(|(person, source)| OnCallView {
                name: self
                    .config
                    .oncall
                    .people
                    .get(&person)
                    .map_or_else(|| person.clone(), |known| known.name.clone()),
                person,
                source,
            })
            .collect()
    }

    pub(super) fn on_call(&self, schedule: &str, at: Timestamp) -> Vec<(String, String)> {
        let Some(found) = self.config.oncall.schedules.get(schedule) else {
            return Vec::new();
        };
        found
            .on_call_at(at, &self.overrides_of(schedule))
            .into_iter()
            .map(|(person, source)| (person, source.to_string()))
            .collect()
    }

    fn overrides_of(&self, schedule: &str) -> Vec<Override> {
        self.overrides
            .values()
            .filter(|stored| stored.schedule == schedule)
            .cloned()
            .collect()
    }

    /// Shifts of a schedule in `[from, to)`, with the layer or override they come from.
    pub fn shifts(&self, schedule: &str, from: Timestamp, to: Timestamp) -> Vec<Shift> {
        self.config
            .oncall
            .schedules
            .get(schedule)
            .map(|found| found.shifts(from, to, &self.overrides_of(schedule)))
            .unwrap_or_default()
    }

    /// Receivers that alerts with these labels go to, as `amtool config routes test` prints them.
    pub fn routes_for(&self, labels: &Labels) -> Vec<String> {
        self.config
            .routes
            .matching(labels)
            .into_iter()
            .map(|index| self.config.routes.nodes[index].receiver.clone())
            .collect()
    }

    /// How many timers are overdue, and by how much the first is: zero when the pager is stepped in time.
    pub fn overdue(&self, now: Timestamp) -> Option<jiff::SignedDuration> {
        let first = self.first_due()?;
        (first < now).then(|| now.duration_since(first))
    }
}

fn next_of(case: &Case) -> Option<(Timestamp, String)> {
    let escalation = &case.escalation;
    match case.status {
        CaseStatus::Resolved => None,
        CaseStatus::Acknowledged => case.acknowledged_until.map(|at| {
            (
                at,
                "the acknowledgement runs out and paging begins again".to_owned(),
            )
        }),
        CaseStatus::Snoozed => case
            .snoozed_until
            .map(|at| (at, "the snooze ends and paging begins again".to_owned())),
        CaseStatus::Open => {
            let at = case_waits(case)?;
            if escalation.next_at != Some(at) {
                return Some((at, "the next rule of whoever is being paged".to_owned()));
            }
            let steps = escalation.policy.steps.len();
            let what = if case.context_until.is_some() {
                "the first page, with what the diagnosis has seen by then".to_owned()
            } else if (escalation.next_step as usize) < steps {
                format!("step {} of {steps}", escalation.next_step + 1)
            } else if escalation.passes < escalation.policy.repeat {
                "the policy begins again".to_owned()
            } else {
                "the fallback".to_owned()
            };
            Some((at, what))
        }
    }
}
