//! Pages held against incidents.
//!
//! *Recall*: incidents with a page in `[start - 5 m, end]`. *Precision*: pages in such a time / pages. *Detection delay*:
//! first such page - start. *Reset delay*: end of the last alert that those pages were about - end of the incident. (The
//! four of the Site Reliability Workbook, chapter 5.)

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::incidents::Incident;
use crate::pages::Page;
use crate::replay::AlertHistory;

/// How long before its written start a page counts as being about an incident: people write starts down late.
pub const EARLY_MS: i64 = 5 * 60_000;
/// A page that is over within this time was noise.
pub const SHORT_MS: i64 = 5 * 60_000;
/// An alert that fires again within this time flaps.
pub const FLAP_MS: i64 = 60 * 60_000;
const WEEK_MS: f64 = 7.0 * 86_400_000.0;

/// When it is night for those who are paged.
#[derive(Clone, Debug)]
pub struct Night {
    /// Minutes after midnight; the night may go past it.
    pub from: u32,
    pub to: u32,
    pub zone: TimeZone,
}

/// Figures of one rule, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    pub pages: usize,
    /// Fewest and most pages over the phases.
    pub pages_range: (usize, usize),
    pub pages_per_week: f64,
    pub pages_at_night: usize,
    /// Over within five minutes.
    pub pages_short: usize,
    /// Alerts that fired again within an hour.
    pub flaps: usize,
    /// Longest time that an alert fired, in milliseconds.
    pub longest_ms: i64,
    /// Most pages in one shift of twelve hours.
    pub pages_in_worst_shift: usize,
    pub caught: usize,
    pub missed: usize,
    /// Share of the pages that were about an incident; none without incidents or pages.
    pub precision: Option<f64>,
    /// Share of the incidents that were caught; none without incidents.
    pub recall: Option<f64>,
    pub detect_p50_ms: Option<i64>,
    pub detect_p90_ms: Option<i64>,
    pub reset_p50_ms: Option<i64>,
    pub reset_p90_ms: Option<i64>,
}

/// What became of one incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub id: String,
    pub title: String,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Pages that were about it.
    pub pages: usize,
    pub caught: bool,
    pub first_page_at: Option<Timestamp>,
    pub detect_ms: Option<i64>,
    pub reset_ms: Option<i64>,
}

/// A range of time in milliseconds since 1970.
pub type Span = (i64, i64);

// === impl Night ===

impl Default for Night {
    /// 22:00 to 07:00, UTC.
    fn default() -> Self {
        Self {
            from: 22 * 60,
            to: 7 * 60,
            zone: TimeZone::UTC,
        }
    }
}

impl Night {
    /// Whether it is night at a time (milliseconds since 1970).
    pub fn covers(&self, at: i64) -> bool {
        let Ok(at) = Timestamp::from_millisecond(at) else {
            return false;
        };
        let local = at.to_zoned(self.zone.clone());
        let minute = local.hour() as u32 * 60 + local.minute() as u32;
        if self.from <= self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

/// Whether a page is about an incident.
pub fn is_about(page: &Page, incident: &Incident) -> bool {
    let start = incident.start.as_millisecond() - EARLY_MS;
    let fits = |alert: &bellwether_model::Labels| {
        incident
            .labels
            .iter()
            .all(|label| alert.get(&label.name) == &*label.value)
    };
    (start..=incident.end.as_millisecond()).contains(&page.at)
        && (incident.labels.is_empty() || page.alerts.iter().any(fits))
}

/// The value that a share of the sorted values does not exceed (nearest rank).
pub fn percentile(sorted: &[i64], share: f64) -> Option<i64> {
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

/// What became of each incident.
pub fn outcomes(pages: &[&Page], incidents: &[Incident]) -> Vec<Outcome> {
    incidents
        .iter()
        .map(|incident| {
            let about: Vec<&&Page> = pages
                .iter()
                .filter(|page| is_about(page, incident))
                .collect();
            let first = about.iter().map(|page| page.at).min();
            let ends: Option<Vec<i64>> = about.iter().map(|page| page.resolved_at).collect();
            let last = ends.and_then(|ends| ends.into_iter().max());
            Outcome {
                id: incident.id.clone(),
                title: incident.title.clone(),
                start: incident.start,
                end: incident.end,
                pages: about.len(),
                caught: first.is_some(),
                first_page_at: first.and_then(|at| Timestamp::from_millisecond(at).ok()),
                detect_ms: first.map(|at| at - incident.start.as_millisecond()),
                reset_ms: last.map(|at| at - incident.end.as_millisecond()),
            }
        })
        .collect()
}

/// The figures of some pages and of the alerts behind them.
pub fn figures(
    pages: &[&Page],
    alerts: &[&AlertHistory],
    incidents: &[Incident],
    night: &Night,
    span: Span,
) -> Figures {
    let outcomes = outcomes(pages, incidents);
    let caught = outcomes.iter().filter(|outcome| outcome.caught).count();
    let about = pages
        .iter()
        .filter(|page| incidents.iter().any(|incident| is_about(page, incident)))
        .count();
    let sorted = |values: Vec<i64>| {
        let mut values = values;
        values.sort_unstable();
        values
    };
    let detect = sorted(
        outcomes
            .iter()
            .filter_map(|outcome| outcome.detect_ms)
            .collect(),
    );
    let reset = sorted(
        outcomes
            .iter()
            .filter_map(|outcome| outcome.reset_ms)
            .collect(),
    );
    let weeks = (span.1 - span.0).max(1) as f64 / WEEK_MS;
    let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
    Figures {
        pages: pages.len(),
        pages_range: (pages.len(), pages.len()),
        pages_per_week: pages.len() as f64 / weeks,
        pages_at_night: pages.iter().filter(|page| night.covers(page.at)).count(),
        pages_short: pages
            .iter()
            .filter(|page| page.resolved_at.is_some_and(|end| end - page.at < SHORT_MS))
            .count(),
        flaps: alerts.iter().map(|alert| flaps(alert, span)).sum(),
        longest_ms: alerts
            .iter()
            .map(|alert| longest(alert, span))
            .max()
            .unwrap_or(0),
        pages_in_worst_shift: worst_shift(pages, span),
        caught,
        missed: incidents.len() - caught,
        precision: share(about, pages.len()).filter(|_| !incidents.is_empty()),
        recall: share(caught, incidents.len()),
        detect_p50_ms: percentile(&detect, 0.5),
        detect_p90_ms: percentile(&detect, 0.9),
        reset_p50_ms: percentile(&reset, 0.5),
        reset_p90_ms: percentile(&reset, 0.9),
    }
}

/// Times that an alert fired again within an hour of its end.
fn flaps(alert: &AlertHistory, span: Span) -> usize {
    let mut before: Option<i64> = None;
    let mut count = 0;
    for life in &alert.episodes {
        let Some(fired) = life.fired_at else { continue };
        let soon = before.is_some_and(|end| fired - end < FLAP_MS);
        count += usize::from(soon && (span.0..=span.1).contains(&fired));
        before = life.ended_at;
    }
    count
}

/// Longest time that it fired inside the range.
fn longest(alert: &AlertHistory, span: Span) -> i64 {
    let fired = alert.episodes.iter().filter_map(|life| {
        let from = life.fired_at?.max(span.0);
        Some(life.ended_at.unwrap_or(span.1).min(span.1) - from)
    });
    fired.max().unwrap_or(0).max(0)
}

fn worst_shift(pages: &[&Page], span: Span) -> usize {
    const SHIFT_MS: i64 = 12 * 3_600_000;
    let mut counts: std::collections::BTreeMap<i64, usize> = std::collections::BTreeMap::new();
    for page in pages {
        *counts
            .entry((page.at - span.0).div_euclid(SHIFT_MS))
            .or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}
