//! What automation would have done: a page's limits held against cases of the past.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::runbook::Runbook;
use crate::runs::Settings;

/// A case as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCase {
    pub id: String,
    pub alerts: BTreeSet<String>,
    /// What the page's lock would have been told apart by: its inputs from labels.
    pub target: String,
    pub opened: Timestamp,
    pub resolved: Option<Timestamp>,
    /// Whether a person took it, ran something or wrote about it.
    pub touched: bool,
    /// Whether a change run of this page was done by a person.
    pub fixed: bool,
}

/// Why automation would have kept away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBack {
    TooManyRuns,
    CoolingDown,
    Budget,
    SameFixAgain,
}

/// What would have become of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub case: String,
    pub at: Timestamp,
    pub held_back: Option<HeldBack>,
    /// It ended by itself within [`BY_ITSELF`] and nobody touched it: the alert was false, or the trouble over.
    pub false_alert: bool,
    /// A person then ran this page's fix.
    pub fixed: bool,
}

/// The sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub cases: usize,
    /// Cases whose alerts the page is for.
    pub fired: usize,
    pub held_back: usize,
    /// It would have acted.
    pub acted: usize,
    /// It would have acted where nothing was to be done.
    pub acted_on_false: usize,
    /// It would have acted as a person did.
    pub acted_as_a_person: usize,
    pub verdicts: Vec<Verdict>,
}

/// A case that ends so soon, untouched, was no work for anybody.
pub const BY_ITSELF: Duration = Duration::from_mins(5);

/// Holds a page's limits against cases, in the order they opened.
pub fn backtest(page: &Runbook, settings: &Settings, cases: &[PastCase]) -> Report {
    let mut cases: Vec<&PastCase> = cases.iter().collect();
    cases.sort_by_key(|case| (case.opened, &case.id));
    let mut report = Report {
        cases: cases.len(),
        ..Report::default()
    };
    let mut acted: Vec<(Timestamp, &str)> = Vec::new();
    for case in cases {
        if !page.alerts.iter().any(|alert| case.alerts.contains(alert)) {
            continue;
        }
        report.fired += 1;
        let within = |window: Duration, target: Option<&str>| {
            acted
                .iter()
                .filter(|(at, of)| {
                    *at > case.opened - window && target.is_none_or(|target| target == *of)
                })
                .count()
        };
        let target = Some(case.target.as_str());
        let limits = &page.limits;
        let held_back = if limits
            .runs
            .is_some_and(|(n, window)| within(window, target) >= n as usize)
        {
            Some(HeldBack::TooManyRuns)
        } else if limits
            .cooldown
            .is_some_and(|pause| within(pause, target) > 0)
        {
            Some(HeldBack::CoolingDown)
        } else if within(Duration::from_hours(24), target) >= settings.same_fix_max as usize {
            Some(HeldBack::SameFixAgain)
        } else if within(settings.budget_window, None) >= settings.budget_runs as usize {
            Some(HeldBack::Budget)
        } else {
            None
        };
        let soon = case
            .resolved
            .is_some_and(|end| end < case.opened + BY_ITSELF);
        let false_alert = soon && !case.touched && !case.fixed;
        if held_back.is_some() {
            report.held_back += 1;
        } else {
            report.acted += 1;
            report.acted_on_false += usize::from(false_alert);
            report.acted_as_a_person += usize::from(case.fixed);
            acted.push((case.opened, &case.target));
        }
        report.verdicts.push(Verdict {
            case: case.id.clone(),
            at: case.opened,
            held_back,
            false_alert,
            fixed: case.fixed,
        });
    }
    report
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{HeldBack, PastCase, backtest};
    use crate::runbook::Runbook;
    use crate::runs::Settings;

    #[test]
    fn the_past_says_what_it_would_have_done() {
        let page =
            "---\nrunbook: r\nalerts: [Slow]\nlimits: {runs: 2/1h, cooldown: 10m}\n---\n# R\n";
        let page = Runbook::parse("r.md", page).0.unwrap();
        let start: jiff::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let case = |minute: u64, alert: &str, lasted: Option<u64>, touched: bool| PastCase {
            id: format!("c{minute}"),
            alerts: [alert.to_owned()].into(),
            target: "web".to_owned(),
            opened: start + Duration::from_mins(minute),
            resolved: lasted.map(|lasted| start + Duration::from_mins(minute + lasted)),
            touched,
            fixed: touched,
        };
        let cases = [
            case(0, "Slow", Some(2), false),
            case(5, "Slow", Some(60), true),
            case(20, "Slow", Some(60), true),
            case(35, "Slow", None, false),
            case(36, "Other", None, false),
        ];
        let report = backtest(&page, &Settings::default(), &cases);
        assert_eq!(
            (
                report.fired,
                report.held_back,
                report.acted,
                report.acted_on_false,
                report.acted_as_a_person
            ),
            (4, 2, 2, 1, 1)
        );
        let why: Vec<_> = report
            .verdicts
            .iter()
            .map(|verdict| verdict.held_back)
            .collect();
        assert_eq!(
            why,
            [
                None,
                Some(HeldBack::CoolingDown),
                None,
                Some(HeldBack::TooManyRuns)
            ]
        );
    }
}
