//! The page that tries rules on the stored history.

use axum::response::{IntoResponse as _, Redirect};
use bellwether_backtest::report::{ChangeKind, Comparison, Report, RuleRow};
use bellwether_backtest::score::Figures;
use bellwether_backtest::text::span;
use bellwether_judge::{RuleConfig, RuleFile};
use bellwether_model::Problems;
use bellwether_model::duration::format_duration;
use bellwether_promql::ParserOptions;
use bellwether_ui as ui;
use bellwether_ui::path;
use jiff::{SignedDuration, Timestamp};

use super::frame::{Page, Posted, Visitor, shown};
use crate::backtests::{Backtests, Outcome};
use crate::http::auth::Scope;

/// Characters of a rule file that may be tried.
const RULES_MAX: usize = 1 << 20;

/// The form and the last result.
pub(super) async fn show(visitor: Visitor) -> Page {
    let mut page = page_of(&visitor);
    let (group, name) = (visitor.param("group"), visitor.param("name"));
    if !name.is_empty() {
        page.rules = rule_text(&visitor, group, name).unwrap_or_default();
    }
    Ok(render(&visitor, &page))
}

/// Begins one.
pub(super) async fn start(form: Posted) -> Page {
    form.need(Scope::Respond)?;
    let rules = form.text("rules", RULES_MAX).replace("\r\n", "\n");
    let mut problems = Problems::default();
    let groups = RuleFile::read("rules", &rules, &mut problems);
    let mut lines: Vec<String> = Vec::new();
    if problems.has_errors() {
        let errors = problems.0.iter();
        lines.extend(
            errors
                .filter(|p| p.severity == bellwether_model::Severity::Error)
                .map(ToString::to_string),
        );
    } else if groups.iter().all(|group| group.rules.is_empty()) {
        lines.push("there is no rule in it".to_owned());
    } else if let Err(text) =
        Backtests::start(&form.visitor.app, rules.clone(), form.field("last"), groups)
    {
        lines.push(text);
    }
    if lines.is_empty() {
        return Ok(Redirect::to(path::BACKTEST).into_response());
    }
    let page = ui::BacktestPage {
        rules,
        last: form.field("last").to_owned(),
        problems: lines,
        ..page_of(&form.visitor)
    };
    Ok(render(&form.visitor, &page))
}

/// Stops the one that runs.
pub(super) async fn stop(form: Posted) -> Page {
    form.need(Scope::Respond)?;
    if let Some(job) = form.visitor.app.backtests.job() {
        job.count.stop();
    }
    Ok(Redirect::to(path::BACKTEST).into_response())
}

fn render(visitor: &Visitor, page: &ui::BacktestPage) -> axum::response::Response {
    shown(ui::render_backtest(
        &visitor.chrome("Backtest", ui::Nav::Rules),
        page,
    ))
}

fn page_of(visitor: &Visitor) -> ui::BacktestPage {
    let app = &visitor.app;
    let job = app.backtests.job();
    let oldest = app.series.stats().time.map(|(oldest, _)| oldest);
    ui::BacktestPage {
        rules: job
            .as_ref()
            .map(|job| job.rules.clone())
            .unwrap_or_default(),
        last: job
            .as_ref()
            .map_or_else(|| "30d".to_owned(), |job| job.last.clone()),
        may_run: visitor.may(Scope::Respond),
        problems: Vec::new(),
        oldest: oldest.and_then(|at| Timestamp::from_millisecond(at).ok()),
        state: match job {
            None => ui::BacktestState::None,
            Some(job) => match &job.outcome {
                Outcome::Running => {
                    let share = job.count.share();
                    let took = visitor.now.duration_since(job.since).as_secs_f64();
                    let left = (share > 0.02).then(|| took / share - took);
                    ui::BacktestState::Running {
                        since: job.since,
                        share,
                        left: left
                            .map(|left| SignedDuration::from_secs(left.clamp(0.0, 1e9) as i64)),
                    }
                }
                Outcome::Failed(text) => ui::BacktestState::Failed(text.clone()),
                Outcome::Done(at, comparison) => {
                    ui::BacktestState::Done(Box::new(result(*at, comparison)))
                }
            },
        },
    }
}

fn figures(figures: &Figures, with_incidents: bool) -> ui::BacktestFigures {
    let dash = || "-".to_owned();
    ui::BacktestFigures {
        pages: figures.pages.to_string(),
        night: figures.pages_at_night.to_string(),
        short: figures.pages_short.to_string(),
        caught: if with_incidents {
            format!("{} of {}", figures.caught, figures.caught + figures.missed)
        } else {
            dash()
        },
        precision: figures
            .precision
            .map_or_else(dash, |share| format!("{:.0} %", share * 100.0)),
        detect: figures.detect_p50_ms.map_or_else(dash, span),
        reset: figures.reset_p50_ms.map_or_else(dash, span),
    }
}

fn result(finished_at: Timestamp, comparison: &Comparison) -> ui::BacktestResult {
    let (before, after) = (&comparison.before, &comparison.after);
    let known = after.incidents.as_ref().is_some_and(|all| !all.is_empty());
    let side = |report: &Report| ui::BacktestSide {
        figures: figures(&report.total, known),
        pages: report
            .pages
            .iter()
            .filter_map(|row| Timestamp::from_millisecond(row.page.at).ok())
            .collect(),
    };
    let of =
        |rows: &[RuleRow], row: Option<usize>| row.map(|row| figures(&rows[row].figures, known));
    let rules = comparison.rules.iter().map(|change| {
        let row = change.after.map(|row| &after.rules[row]);
        let row = row.or(change.before.map(|row| &before.rules[row]));
        ui::BacktestRule {
            name: row.map_or_else(|| change.name.clone(), RuleRow::title),
            kind: match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Removed => "removed",
                ChangeKind::Edited => "edited",
                ChangeKind::Affected => "unchanged, affected",
            }
            .to_owned(),
            before: of(&before.rules, change.before),
            after: of(&after.rules, change.after),
        }
    });
    let incidents = before
        .incidents
        .iter()
        .flatten()
        .zip(after.incidents.iter().flatten());
    let mut notes: Vec<String> = after
        .failures
        .iter()
        .map(|failure| {
            format!(
                "{} failed at {} evaluations: {}",
                failure.rule, failure.evaluations, failure.message
            )
        })
        .collect();
    if known {
        notes.extend(after.notes.iter().cloned());
    } else {
        notes.push("No urgent case of this time was taken by anybody: what these pages were worth is not known.".to_owned());
    }
    let delta = comparison.pages_delta;
    let pages = match delta {
        0 => "as many pages".to_owned(),
        1.. => format!("{delta} more pages"),
        _ => format!("{} fewer pages", -delta),
    };
    let (verdict, tone) = match (comparison.lost.len(), known) {
        (0, true) => (format!("{pages}, no incident lost"), ui::Tone::Good),
        (0, false) => (pages, ui::Tone::Info),
        (1, _) => (format!("{pages}, one incident lost"), ui::Tone::Bad),
        (lost, _) => (format!("{pages}, {lost} incidents lost"), ui::Tone::Bad),
    };
    ui::BacktestResult {
        from: after.from,
        to: after.to,
        finished_at,
        verdict,
        tone,
        before: side(before),
        after: side(after),
        rules: rules.collect(),
        incidents: incidents
            .map(|(old, new)| ui::BacktestIncident {
                id: new.id.clone(),
                title: new.title.clone(),
                from: new.start,
                to: new.end,
                caught_before: old.caught,
                caught_after: new.caught,
            })
            .collect(),
        notes,
    }
}

/// A live rule as a rule file, to be edited.
fn rule_text(visitor: &Visitor, group: &str, name: &str) -> Option<String> {
    let groups = visitor.app.config().groups();
    let (group, rule) = groups
        .iter()
        .filter(|known| group.is_empty() || known.name == group)
        .find_map(|known| Some((known, known.rules.iter().find(|rule| rule.name == name)?)))?;
    Some(format!(
        "groups:\n- name: {}\n  rules:\n{}",
        quoted(&group.name),
        rule_yaml(rule)
    ))
}

fn quoted(text: &str) -> String {
    // A JSON string is a YAML string.
    serde_json::Value::from(text).to_string()
}

fn rule_yaml(rule: &RuleConfig) -> String {
    // A rule with `absent_by` is shown as the expression that it became.
    let same = bellwether_promql::parse(&rule.expr_text, &ParserOptions::default())
        .is_ok_and(|expr| expr == rule.expr);
    let expr = if same {
        rule.expr_text.clone()
    } else {
        rule.expr.to_string()
    };
    let mut text = format!("  - alert: {}\n    expr: {}\n", rule.name, quoted(&expr));
    for (key, value) in [
        ("for", rule.hold),
        ("keep_firing_for", rule.keep_firing_for),
    ] {
        if !value.is_zero() {
            text.push_str(&format!("    {key}: {}\n", format_duration(value)));
        }
    }
    if let Some(resolve) = &rule.resolve {
        text.push_str(&format!("    resolve_expr: {}\n", quoted(&resolve.text)));
    }
    for (key, pairs) in [
        ("labels", rule.label_texts()),
        ("annotations", rule.annotation_texts()),
    ] {
        if !pairs.is_empty() {
            text.push_str(&format!("    {key}:\n"));
            for label in &pairs {
                text.push_str(&format!("      {}: {}\n", label.name, quoted(&label.value)));
            }
        }
    }
    text
}
