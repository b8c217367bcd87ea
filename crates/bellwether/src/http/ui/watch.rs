//! Targets, rules and objectives: what is watched and judged.

use std::collections::BTreeMap;

use bellwether_judge::slo::Slo;
use bellwether_judge::{AlertState, GroupStatus, Health as RuleHealth, RuleKind, RuleStatus};
use bellwether_model::duration::format_duration;
use bellwether_observe::probe::{ProbeConfig, ProbeKind};
use bellwether_observe::{Health, TargetStatus, Watch};
use bellwether_promql::QueryValue;
use bellwether_ui as ui;
use bellwether_ui::path;
use jiff::{SignedDuration, Timestamp};

use super::charts;
use super::frame::{Page, Visitor, pairs, shown};
use crate::queries::Times;

const QUERY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Steps of the strip that shows a day.
const STRIP_STEP: SignedDuration = SignedDuration::from_mins(6);

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

// === Targets ===

fn health(health: Health) -> ui::Health {
    match health {
        Health::Up => ui::Health::Up,
        Health::Down => ui::Health::Down,
        Health::Unknown => ui::Health::Unknown,
    }
}

/// Targets of each pool, for the first page.
pub(super) fn pool_counts(visitor: &Visitor) -> Vec<ui::PoolCount> {
    let mut pools: BTreeMap<String, ui::PoolCount> = BTreeMap::new();
    for target in visitor.app.scrapes.targets().active {
        let pool = pools
            .entry(target.scrape_pool.clone())
            .or_insert_with(|| ui::PoolCount {
                name: target.scrape_pool.clone(),
                up: 0,
                down: 0,
                unknown: 0,
            });
        match target.health {
            Health::Up => pool.up += 1,
            Health::Down => pool.down += 1,
            Health::Unknown => pool.unknown += 1,
        }
    }
    pools.into_values().collect()
}

fn probe_kind(probe: &ProbeConfig) -> &'static str {
    match probe.kind {
        ProbeKind::Http { .. } => "http",
        ProbeKind::Tcp => "tcp",
        ProbeKind::Tls { .. } => "tls",
        ProbeKind::Dns { .. } => "dns",
        ProbeKind::Icmp => "icmp",
    }
}

/// All targets.
pub(super) async fn targets(visitor: Visitor) -> Page {
    let found = visitor.app.scrapes.targets();
    let config = visitor.app.config();
    let (probed, scraped): (Vec<TargetStatus>, Vec<TargetStatus>) = found
        .active
        .into_iter()
        .partition(|target| target.scrape_url.starts_with("probe:"));
    let mut pools: BTreeMap<String, ui::PoolView> = BTreeMap::new();
    for target in scraped {
        let pool = pools
            .entry(target.scrape_pool.clone())
            .or_insert_with(|| ui::PoolView {
                name: target.scrape_pool.clone(),
                note: format!(
                    "every {}, within {}",
                    ui::format::took(signed(target.scrape_interval)),
                    ui::format::took(signed(target.scrape_timeout))
                ),
                targets: Vec::new(),
                n_dropped: 0,
                error: String::new(),
            });
        pool.targets.push(target_view(target));
    }
    let empty = |name: &str| ui::PoolView {
        name: name.to_owned(),
        note: String::new(),
        targets: Vec::new(),
        n_dropped: 0,
        error: String::new(),
    };
    for (name, count) in found.dropped_counts {
        pools
            .entry(name.clone())
            .or_insert_with(|| empty(&name))
            .n_dropped = count;
    }
    for (name, error) in found.discovery_errors {
        pools
            .entry(name.clone())
            .or_insert_with(|| empty(&name))
            .error = error;
    }
    let probes = probed.into_iter().map(|target| {
        let probe = config
            .probes
            .iter()
            .find(|probe| probe.name == target.scrape_pool);
        ui::ProbeView {
            name: target.scrape_pool.clone(),
            kind: probe.map_or("", probe_kind).to_owned(),
            target: probe.map_or_else(|| target.scrape_url.clone(), |probe| probe.target.clone()),
            health: health(target.health),
            last_at: target.last_scrape,
            took: target
                .last_scrape
                .map(|_| signed(target.last_scrape_duration)),
            detail: target.last_error,
        }
    });
    let discovered = visitor
        .app
        .scrapes
        .found()
        .into_iter()
        .map(|one| ui::DiscoveredView {
            service: one.name,
            address: one.address.to_string(),
            watched: true,
            detail: match one.watch {
                Watch::Scrape(_) if one.detail.is_empty() => "scraped".to_owned(),
                _ => one.detail,
            },
        });
    let page = ui::TargetsPage {
        pools: pools.into_values().collect(),
        probes: probes.collect(),
        discovered: discovered.collect(),
        only_down: visitor.param("show") == "down",
    };
    Ok(shown(ui::render_targets(
        &visitor.chrome("Targets", ui::Nav::Targets),
        &page,
    )))
}

fn target_view(target: TargetStatus) -> ui::TargetView {
    let seen = target.last_scrape.is_some();
    ui::TargetView {
        url: target.scrape_url,
        health: health(target.health),
        labels: pairs(&target.labels),
        last_scrape: target.last_scrape,
        took: seen.then(|| signed(target.last_scrape_duration)),
        samples: seen.then_some(target.samples_scraped as u64),
        error: target.last_error,
    }
}

// === Rules ===

/// The page of a rule, by its name alone.
pub(super) fn rule_path(visitor: &Visitor, name: &str) -> Option<String> {
    let status = visitor.app.judge.status();
    let group = status
        .groups
        .iter()
        .find(|group| group.rules.iter().any(|rule| rule.name == name))?;
    Some(path::rule(&group.name, name))
}

fn alert_state(state: AlertState) -> ui::AlertState {
    match state {
        AlertState::Firing => ui::AlertState::Firing,
        AlertState::Pending => ui::AlertState::Pending,
        AlertState::Inactive => ui::AlertState::Inactive,
    }
}

fn rule_view(rule: &RuleStatus, history: Vec<ui::StateSpan>) -> ui::RuleView {
    const ALERTS_MAX: usize = 200;
    let unit = charts::unit_of(&rule.query);
    ui::RuleView {
        name: rule.name.clone(),
        kind: if rule.kind == RuleKind::Alerting {
            ui::RuleKind::Alert
        } else {
            ui::RuleKind::Record
        },
        expr: rule.query.clone(),
        hold: if rule.hold.is_zero() {
            String::new()
        } else {
            format_duration(rule.hold)
        },
        state: alert_state(rule.state),
        health: match rule.health {
            RuleHealth::Ok => ui::Health::Up,
            RuleHealth::Error => ui::Health::Down,
            RuleHealth::Unknown => ui::Health::Unknown,
        },
        error: rule.last_error.clone(),
        last_at: rule.last_evaluation,
        took: None,
        samples: rule.last_evaluation.map(|_| rule.samples_read as u64),
        labels: pairs(&rule.labels),
        annotations: pairs(&rule.annotations),
        alerts: rule
            .alerts
            .iter()
            .take(ALERTS_MAX)
            .map(|alert| ui::ActiveAlert {
                state: if alert.keep_firing_since.is_some() {
                    ui::AlertState::KeepFiring
                } else {
                    alert_state(alert.state)
                },
                since: alert.fired_at.unwrap_or(alert.active_at),
                value: ui::format::value(alert.value, unit),
                labels: pairs(&alert.labels),
            })
            .collect(),
        history,
    }
}

/// State of each alerting rule over the last day, from the `ALERTS` series that the rules themselves write.
async fn histories(visitor: &Visitor) -> BTreeMap<String, Vec<ui::StateSpan>> {
    let query = "count by (alertname, alertstate) (ALERTS)";
    let Ok(expr) = visitor.app.queries.engine().parse(query) else {
        return BTreeMap::new();
    };
    let step = STRIP_STEP.as_millis() as i64;
    let end = visitor.now.as_millisecond();
    let start = (end - DAY.as_millis() as i64) / step * step;
    let times = Times {
        start,
        end,
        step: Some(step),
    };
    let Ok(result) = visitor.app.queries.run(expr, times, QUERY_TIMEOUT).await else {
        return BTreeMap::new();
    };
    let QueryValue::Matrix(series) = result.value else {
        return BTreeMap::new();
    };
    let slots = ((end - start) / step + 1) as usize;
    let mut states: BTreeMap<String, Vec<AlertState>> = BTreeMap::new();
    for one in &series {
        let state = if one.labels.get("alertstate") == "firing" {
            AlertState::Firing
        } else {
            AlertState::Pending
        };
        let row = states
            .entry(one.labels.get("alertname").to_owned())
            .or_insert_with(|| vec![AlertState::Inactive; slots]);
        for (at, _) in &one.floats {
            if let Some(slot) = row.get_mut(((at - start) / step) as usize) {
                *slot = (*slot).max(state);
            }
        }
    }
    states
        .into_iter()
        .map(|(name, row)| (name, spans(&row, start, step, visitor.now)))
        .collect()
}

/// Slots of equal state, joined.
fn spans(row: &[AlertState], start: i64, step: i64, now: Timestamp) -> Vec<ui::StateSpan> {
    let at = |slot: usize| {
        Timestamp::from_millisecond(start + slot as i64 * step).map_or(now, |at| at.min(now))
    };
    let mut spans: Vec<ui::StateSpan> = Vec::new();
    for (slot, state) in row.iter().enumerate() {
        let (state, to) = (alert_state(*state), at(slot + 1));
        match spans.last_mut() {
            Some(last) if last.state == state => last.to = to,
            _ => spans.push(ui::StateSpan {
                from: at(slot),
                to,
                state,
            }),
        }
    }
    spans
}

fn all_quiet(now: Timestamp) -> Vec<ui::StateSpan> {
    vec![ui::StateSpan {
        from: now - DAY,
        to: now,
        state: ui::AlertState::Inactive,
    }]
}

fn history_of(
    histories: &BTreeMap<String, Vec<ui::StateSpan>>,
    rule: &RuleStatus,
    now: Timestamp,
) -> Vec<ui::StateSpan> {
    if rule.kind != RuleKind::Alerting {
        return Vec::new();
    }
    histories
        .get(&rule.name)
        .cloned()
        .unwrap_or_else(|| all_quiet(now))
}

fn source_of(group: &GroupStatus) -> String {
    if group.file.is_empty() {
        "built in".to_owned()
    } else {
        group.file.to_string()
    }
}

/// All rules.
pub(super) async fn rules(visitor: Visitor) -> Page {
    let status = visitor.app.judge.status();
    let histories = histories(&visitor).await;
    let groups = status.groups.iter().map(|group| ui::RuleGroupView {
        name: group.name.clone(),
        source: source_of(group),
        interval: signed(group.interval),
        last_at: group.last_evaluation,
        took: group.last_evaluation.map(|_| signed(group.evaluation_time)),
        rules: group
            .rules
            .iter()
            .map(|rule| rule_view(rule, history_of(&histories, rule, visitor.now)))
            .collect(),
    });
    let page = ui::RulesPage {
        groups: groups.collect(),
        only_active: visitor.param("show") == "active",
    };
    Ok(shown(ui::render_rules(
        &visitor.chrome("Rules", ui::Nav::Rules),
        &page,
    )))
}

/// One rule with its graph.
pub(super) async fn rule(visitor: Visitor) -> Page {
    let status = visitor.app.judge.status();
    let (group_name, name) = (visitor.param("group"), visitor.param("name"));
    let found = status
        .groups
        .iter()
        .filter(|group| group_name.is_empty() || group.name == group_name)
        .find_map(|group| {
            group
                .rules
                .iter()
                .find(|rule| rule.name == name)
                .map(|rule| (group, rule))
        });
    let Some((group, rule)) = found else {
        return Err(visitor.missing("rule"));
    };
    let since = rule
        .alerts
        .iter()
        .map(|alert| alert.active_at)
        .min()
        .unwrap_or(visitor.now);
    let range = charts::range_around(
        since.min(visitor.now - SignedDuration::from_mins(45)),
        visitor.now,
    );
    let chart = charts::of_rule(&visitor.app, &rule.query, None, range)
        .await
        .map(|chart| ui::Chart {
            id: "rule-chart".to_owned(),
            title: if rule.kind == RuleKind::Alerting {
                "What it compares".to_owned()
            } else {
                "What it records".to_owned()
            },
            spans: rule
                .alerts
                .iter()
                .filter_map(|alert| {
                    alert.fired_at.map(|from| ui::Span {
                        from,
                        to: visitor.now,
                        label: "firing".to_owned(),
                        tone: ui::Tone::Bad,
                    })
                })
                .take(1)
                .collect(),
            ..chart
        });
    let case = visitor.app.core.view(|flow| {
        let cases = flow.pager.cases();
        let mut open = cases.into_iter().filter(|case| !case.is_resolved());
        open.find(|case| {
            case.alerts
                .values()
                .any(|alert| alert.labels.get("alertname") == name)
        })
        .map(|case| (case.id.to_string(), case.title.clone()))
    });
    let config = visitor.app.config();
    let labels = rule.labels.with("alertname", name);
    let runbook = config.runbooks.for_alert(&labels, &rule.annotations);
    let histories = histories(&visitor).await;
    let page = ui::RulePage {
        group: group.name.clone(),
        source: source_of(group),
        rule: rule_view(rule, history_of(&histories, rule, visitor.now)),
        chart,
        case,
        runbook: runbook.map(|runbook| (runbook.id.clone(), runbook.title.clone())),
    };
    Ok(shown(ui::render_rule(
        &visitor.chrome(name, ui::Nav::Rules),
        &page,
    )))
}

// === Objectives ===

/// How all objectives stand; with charts for their own page.
pub(super) async fn slo_views(visitor: &Visitor, charts: bool) -> Vec<ui::SloView> {
    let config = visitor.app.config();
    let mut views = Vec::new();
    for slo in &config.slos {
        if let Some(view) = slo_view(visitor, slo, charts).await {
            views.push(view);
        }
    }
    views
}

async fn slo_view(visitor: &Visitor, slo: &Slo, with_chart: bool) -> Option<ui::SloView> {
    let app = &visitor.app;
    let (engine, source, asked) = (
        app.queries.engine().clone(),
        std::sync::Arc::clone(app.queries.source()),
        slo.clone(),
    );
    let time = visitor.now.as_millisecond();
    let status = app
        .queries
        .off_loop(QUERY_TIMEOUT, move || asked.status(&*source, &engine, time))
        .await
        .ok()?;
    let pairs = || slo.windows.page.iter().chain(&slo.windows.ticket);
    let burns = status
        .burn
        .iter()
        .map(|one| {
            let limits = pairs().filter(|pair| pair.short == one.window || pair.long == one.window);
            ui::BurnWindow {
                window: format_duration(one.window),
                rate: one.burn,
                limit: limits.map(|pair| pair.burn).fold(f64::INFINITY, f64::min),
            }
        })
        .collect();
    let attained = status
        .bad
        .zip(status.total)
        .filter(|(_, total)| *total > 0.0)
        .map(|(bad, total)| 1.0 - bad / total);
    let case = app.core.view(|flow| {
        let cases = flow.pager.cases();
        let mut open = cases.into_iter().filter(|case| !case.is_resolved());
        open.find(|case| case.labels.get("slo") == slo.name)
            .map(|case| (case.id.to_string(), case.title.clone()))
    });
    let chart = if with_chart {
        slo_chart(visitor, slo).await
    } else {
        None
    };
    Some(ui::SloView {
        name: slo.name.clone(),
        description: slo.description.clone(),
        objective: slo.objective,
        window: format_duration(slo.window),
        attained: attained.or(status
            .budget_left
            .map(|left| 1.0 - (1.0 - left) * slo.budget())),
        budget_left: status.budget_left,
        burns,
        runs_out_at: status.runs_out_in.map(|after| visitor.now + signed(after)),
        chart,
        case,
        expr: slo.queries().budget_left,
        pages: crate::backtests::Backtests::slo(app, &slo.name).map(|figure| ui::SloPages {
            pages: figure.pages,
            tickets: figure.tickets,
            days: figure.days,
            incidents: figure.incidents,
        }),
    })
}

async fn slo_chart(visitor: &Visitor, slo: &Slo) -> Option<ui::Chart> {
    // From where there is something to see: the window, or the first sample.
    let oldest = visitor
        .app
        .series
        .stats()
        .time
        .and_then(|(first, _)| Timestamp::from_millisecond(first).ok());
    let window = visitor.now - signed(slo.window).min(DAY * 400);
    let from = oldest.map_or(window, |oldest| oldest.max(window));
    let chart = charts::of_expr(
        &visitor.app,
        &slo.queries().budget_left,
        (from, visitor.now),
    )
    .await?;
    Some(ui::Chart {
        id: format!("slo-{}", path::encode(&slo.name)),
        title: "Budget left".to_owned(),
        unit: ui::Unit::Ratio,
        ..chart
    })
}

/// All objectives.
pub(super) async fn slos(visitor: Visitor) -> Page {
    let page = ui::SlosPage {
        slos: slo_views(&visitor, true).await,
    };
    Ok(shown(ui::render_slos(
        &visitor.chrome("SLOs", ui::Nav::Slos),
        &page,
    )))
}
