//! `for`, windows, and how long samples are kept.

use std::time::Duration;

use bellwether_model::duration::format_duration;
use bellwether_model::problem::Severity;
use bellwether_promql::Expr;
use bellwether_promql::ast::BinaryOp;

use crate::lint::shape::{any, calls, metric, ranges, reach, selectors, windows as all_windows};
use crate::lint::{Finding, Options, Subject};
use crate::rules::{GroupConfig, RuleConfig};

fn shown(seconds: f64) -> String {
    format_duration(Duration::from_secs_f64(seconds.clamp(0.0, 1e10)))
}

/// Windows of any rule against retention and scrapes.
pub(super) fn windows(
    group: &GroupConfig,
    rule: &RuleConfig,
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    let mut push = |check: &'static str, severity: Severity, message: String, hint: String| {
        findings.push(Finding {
            check,
            severity,
            file: group.file.clone(),
            line: rule.line,
            column: rule.column,
            group: group.name.clone(),
            rule: rule.name.clone(),
            level: None,
            message,
            hint: Some(hint),
        });
    };
    let reach = reach(&rule.expr);
    if reach > options.retention.as_secs_f64() {
        push(
            "window-over-retention",
            Severity::Error,
            format!(
                "looks {} back, samples are kept for {}: it silently sees less",
                shown(reach),
                format_duration(options.retention)
            ),
            "shorten the window, raise the retention, or say --retention if more is kept"
                .to_owned(),
        );
    }
    let shortest = ranges(&rule.expr).into_iter().fold(f64::INFINITY, f64::min);
    if shortest < 2.0 * options.scrape_interval.as_secs_f64() {
        push(
            "range-too-short",
            Severity::Warning,
            format!(
                "range [{}] has fewer than two samples at a scrape interval of {}",
                shown(shortest),
                format_duration(options.scrape_interval)
            ),
            "take at least four scrape intervals".to_owned(),
        );
    }
}

/// `for` and windows of an alert.
pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let hold = subject.rule.hold;
    let expr = &subject.rule.expr;
    let windows = all_windows(expr);
    // What a rule recorded was smoothed there, if anywhere.
    let recorded = selectors(expr)
        .into_iter()
        .any(|selector| metric(selector).is_some_and(|name| name.contains(':')));
    let smoothed = recorded
        || windows
            .iter()
            .any(|window| *window >= 2.0 * subject.interval.as_secs_f64());
    if hold < subject.interval * 2 && (!hold.is_zero() || !smoothed) {
        let message = if hold.is_zero() {
            format!(
                "without `for`, one evaluation (every {}) is enough to fire",
                format_duration(subject.interval)
            )
        } else {
            format!(
                "`for: {}` is shorter than two evaluations (every {}): a single spike fires it",
                format_duration(hold),
                format_duration(subject.interval)
            )
        };
        subject
            .find(findings, "for-too-short", "for", message)
            .hint(format!(
                "take at least {}",
                format_duration(subject.interval * 2)
            ));
    }
    if hold > subject.options.response {
        subject
            .find(
                findings,
                "for-too-long",
                "for",
                format!(
                    "pages after `for: {}`: if that may wait so long, it is a ticket",
                    format_duration(hold)
                ),
            )
            .hint("severity: ticket, or a shorter `for`");
    }
    let ratio = any(
        expr,
        |e| matches!(e, Expr::Binary(b) if b.op == BinaryOp::Div && calls(&b.rhs, &["rate", "increase"])),
    );
    let shortest = windows.iter().copied().fold(f64::INFINITY, f64::min);
    if ratio && shortest.is_finite() && shortest >= 3600.0 {
        subject
            .find(
                findings,
                "long-window-alone",
                "expr",
                format!(
                    "the shortest window is {0}: it goes on firing up to {0} after the end",
                    shown(shortest)
                ),
            )
            .hint("add the same ratio over a short window (a twelfth) with `and`");
    }
}
