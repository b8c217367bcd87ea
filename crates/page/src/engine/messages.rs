//! What a page says.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Pager;
use super::ingest::{describe, shared_labels};
use super::state::hex;
use crate::config::Person;
use crate::payload::{ALERTS_MAX, PageAlert, PageKind, PagePayload};
use crate::record::{Case, Ladder};
use crate::view::Cause;

/// Causes that a page lists.
const CAUSES_MAX: usize = 5;

impl Pager {
    pub(super) fn page_payload(
        &self,
        case: &Case,
        person: &Person,
        ladder: Option<&Ladder>,
        kind: PageKind,
        now: Timestamp,
    ) -> PagePayload {
        let mut why = case.why.clone();
        if let Some(ladder) = ladder {
            why.push(format!("{}: {}", person.id, ladder.source));
        }
        let causes: Vec<String> = self
            .causes_of(case)
            .iter()
            .take(CAUSES_MAX)
            .map(|cause| describe(&cause.labels))
            .collect();
        let alerts = case
            .alerts
            .iter()
            .take(ALERTS_MAX)
            .map(|(fingerprint, alert)| PageAlert {
                fingerprint: fingerprint.clone(),
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: alert.starts_at,
                firing: alert.ended_at.is_none(),
                generator_url: alert.generator_url.clone(),
            })
            .collect();
        PagePayload {
            kind,
            case: case.id,
            code: case.code.clone(),
            title: case.title.clone(),
            summary: case.summary.clone(),
            urgency: case.urgency,
            severity: severity_of(case),
            labels: case.labels.clone(),
            annotations: case.annotations.clone(),
            since: case.since,
            opened_at: case.opened_at,
            runbook: case.runbook().map(str::to_owned),
            diagnosis: case.context.clone(),
            alerts,
            alerts_total: case.alerts.len(),
            causes: causes.clone(),
            person: person.id.clone(),
            person_name: person.name.clone(),
            step: ladder.map_or(0, |ladder| ladder.step + 1),
            steps: case.escalation.policy.steps.len() as u32,
            loop_number: case.escalation.loop_number,
            as_of_step: case.escalation.steps_fired,
            ack_ref: format!("ack:{}:{}", case.id, person.id),
            path: format!("/cases/{}", case.id),
            why,
            subject: subject(case, kind),
            text: text(case, person, kind, &causes, now),
        }
    }

    /// Firing alerts of the severities that only explain: those that share most labels first, then the newest.
    pub(super) fn causes_of(&self, case: &Case) -> Vec<Cause> {
        const ALL_MAX: usize = 50;
        let mut found: Vec<Cause> = self
            .context_alerts
            .iter()
            .filter_map(|fingerprint| Some((fingerprint, self.alerts.get(fingerprint)?)))
            .map(|(fingerprint, alert)| Cause {
                fingerprint: hex(*fingerprint),
                labels: alert.stored.labels.clone(),
                annotations: alert.stored.annotations.clone(),
                starts_at: alert.stored.starts_at,
                shared: shared_labels(&case.labels, &alert.stored.labels),
            })
            .collect();
        found.sort_by(|a, b| {
            (b.shared.len(), b.starts_at, &a.fingerprint).cmp(&(
                a.shared.len(),
                a.starts_at,
                &b.fingerprint,
            ))
        });
        found.truncate(ALL_MAX);
        found
    }
}

fn severity_of(case: &Case) -> String {
    match case.labels.get("severity") {
        "" => case.urgency.as_str().to_owned(),
        severity => severity.to_owned(),
    }
}

fn subject(case: &Case, kind: PageKind) -> String {
    match kind {
        PageKind::Page => format!("{} [{}]", case.title, case.code),
        PageKind::Fallback => format!("Nobody answered: {} [{}]", case.title, case.code),
        PageKind::Resolved => format!("Resolved: {} [{}]", case.title, case.code),
    }
}

fn text(case: &Case, person: &Person, kind: PageKind, causes: &[String], now: Timestamp) -> String {
    let mut lines = vec![case.title.clone()];
    if !case.summary.is_empty() {
        lines.push(case.summary.clone());
    }
    let zone = TimeZone::get(&person.time_zone).unwrap_or(TimeZone::UTC);
    let since = case.since.to_zoned(zone).strftime("%a %H:%M").to_string();
    let lasted = std::time::Duration::try_from(now.duration_since(case.since)).unwrap_or_default();
    let brief = bellwether_model::duration::format_brief(lasted);
    match kind {
        PageKind::Resolved => lines.push(format!("It is over, after {brief}.")),
        PageKind::Page | PageKind::Fallback => {
            lines.push(format!(
                "Since {since} ({brief}), {} firing.",
                case.firing().count()
            ));
        }
    }
    if kind != PageKind::Resolved {
        if let Some(context) = &case.context {
            lines.push(String::new());
            lines.push(context.clone());
        }
        if !causes.is_empty() {
            lines.push(String::new());
            lines.push(format!("Also firing: {}", causes.join("; ")));
        }
        if let Some(runbook) = case.runbook() {
            lines.push(format!("Runbook: {runbook}"));
        }
    }
    lines.push(format!("Case {} ({})", case.code, case.id));
    lines.join("\n")
}
