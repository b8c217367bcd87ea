//! Objectives and backtests.

use bellwether_ui::{
    BacktestFigures, BacktestIncident, BacktestPage, BacktestResult, BacktestRule, BacktestSide,
    BacktestState, BurnWindow, Chart, Line, SloPages, SloView, Tone, Unit,
};
use jiff::SignedDuration;

use super::{ago, ahead, now};

pub(super) fn slo(name: &str, left: f64, rate: f64) -> SloView {
    SloView {
        name: name.to_owned(),
        description: "Requests answered within 500 ms without an error.".to_owned(),
        objective: 0.999,
        window: "30d".to_owned(),
        attained: Some(1.0 - 0.001 * (1.0 - left)),
        budget_left: Some(left),
        burns: ["5m", "1h", "6h", "3d"]
            .into_iter()
            .zip([
                (rate, 14.4),
                (rate * 0.9, 14.4),
                (rate * 0.3, 6.0),
                (rate * 0.06, 1.0),
            ])
            .map(|(window, (rate, limit))| BurnWindow {
                window: window.to_owned(),
                rate: Some(rate),
                limit,
            })
            .collect(),
        runs_out_at: (rate > 5.0).then(|| ahead(60 * 9)),
        chart: Some(Chart {
            id: format!("slo-{name}"),
            title: "Budget left, last 30 days".to_owned(),
            unit: Unit::Ratio,
            from: ago(60 * 24 * 30),
            to: now(),
            lines: vec![Line {
                name: name.to_owned(),
                points: (0..=360)
                    .map(|i| {
                        let step = if i > 280 {
                            f64::from(i - 280) * 0.0012
                        } else {
                            0.0
                        };
                        (
                            ago(60 * 24 * 30) + SignedDuration::from_hours(2 * i64::from(i)),
                            1.0 - (1.0 - left) * f64::from(i) / 500.0 - step,
                        )
                    })
                    .collect(),
            }],
            from_zero: true,
            ..Chart::default()
        }),
        case: (rate > 14.0).then(|| {
            (
                "case-0001f3a9c2".to_owned(),
                "Checkout is slow for customers".to_owned(),
            )
        }),
        expr:
            "sum(rate(http_requests_total{code=~\"5..\"}[5m])) / sum(rate(http_requests_total[5m]))"
                .to_owned(),
        pages: Some(SloPages {
            pages: 3,
            tickets: 1,
            days: 30,
            incidents: Some((2, 2)),
        }),
    }
}

const RULES: &str = "groups:
- name: web
  rules:
  - alert: CheckoutErrors
    expr: job:errors:ratio > 0.05
    for: 10m
    labels: {severity: page}
";

fn side(every: i64) -> BacktestSide {
    BacktestSide {
        figures: BacktestFigures {
            pages: (30 * 24 / every + 1).to_string(),
            night: "9".to_owned(),
            short: "20".to_owned(),
            caught: "10 of 12".to_owned(),
            precision: "36 %".to_owned(),
            detect: "7m50s".to_owned(),
            reset: "-12s".to_owned(),
        },
        pages: (0..=30 * 24 / every)
            .map(|page| ago(60 * page * every))
            .collect(),
    }
}

pub(super) fn page() -> BacktestPage {
    let (before, after) = (side(22), side(60));
    let incidents = (0..12).map(|number| BacktestIncident {
        id: format!("INC-{number}"),
        title: "Checkout is slow".to_owned(),
        from: ago(60 * (59 * number + 11)),
        to: ago(60 * (59 * number + 11)) + SignedDuration::from_mins(20 + 40 * (number % 5)),
        caught_before: number != 3,
        caught_after: number != 3 && number != 7,
    });
    BacktestPage {
        rules: RULES.to_owned(),
        last: "30d".to_owned(),
        may_run: true,
        problems: Vec::new(),
        oldest: Some(ago(60 * 24 * 31)),
        state: BacktestState::Done(Box::new(BacktestResult {
            from: ago(60 * 24 * 30),
            to: now(),
            finished_at: ago(2),
            verdict: "20 fewer pages, one incident lost".to_owned(),
            tone: Tone::Bad,
            rules: vec![BacktestRule {
                name: "CheckoutErrors (page)".to_owned(),
                kind: "edited".to_owned(),
                before: Some(before.figures.clone()),
                after: Some(after.figures.clone()),
            }],
            before,
            after,
            incidents: incidents.collect(),
            notes: vec!["stored samples may have come late".to_owned()],
        })),
    }
}

pub(super) fn running() -> BacktestPage {
    BacktestPage {
        problems: vec!["error: rules:3:11: expr: unclosed left parenthesis".to_owned()],
        state: BacktestState::Running {
            since: ago(1),
            share: 0.42,
            left: Some(SignedDuration::from_secs(80)),
        },
        ..page()
    }
}
