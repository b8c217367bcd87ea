//! How this server itself is doing.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bellwether_model::Severity;
use bellwether_model::state::DeliveryState;
use bellwether_store::DeliveryFilter;
use bellwether_ui as ui;
use bellwether_ui::Tone;

use super::frame::{Page, Visitor, shown};
use crate::http::auth::Scope;

/// Deliveries that are looked at for the health of channels.
const DELIVERIES_MAX: u32 = 5_000;
/// Channels that carry out runbook steps; they are not ways to reach people.
const NOT_PEOPLE: [&str; 5] = ["exec", "promql", "http", "sql", "manual"];

/// The status page.
pub(super) async fn show(visitor: Visitor) -> Page {
    let page = ui::StatusPage {
        started_at: Some(visitor.app.started_at),
        problems: problems(&visitor),
        channels: channels(&visitor).await,
        sections: sections(&visitor).await,
        config: if visitor.may(Scope::Admin) {
            visitor.app.config().redacted()
        } else {
            String::new()
        },
    };
    Ok(shown(ui::render_status(
        &visitor.chrome("Status", ui::Nav::Status),
        &page,
    )))
}

/// The help page.
pub(super) async fn help(visitor: Visitor) -> Page {
    Ok(shown(ui::render_help(
        &visitor.chrome("Help", ui::Nav::Other),
    )))
}

fn problems(visitor: &Visitor) -> Vec<ui::ProblemView> {
    let loaded = visitor.app.loaded();
    let mut problems: Vec<ui::ProblemView> = loaded
        .problems
        .0
        .into_iter()
        .map(|problem| ui::ProblemView {
            tone: match problem.severity {
                Severity::Error => Tone::Bad,
                Severity::Warning => Tone::Warn,
                Severity::Note => Tone::Info,
            },
            place: match (problem.file.is_empty(), problem.line) {
                (true, _) => String::new(),
                (false, 0) => problem.file.to_string(),
                (false, line) => format!("{}:{line}:{}", problem.file, problem.column),
            },
            text: problem.message,
            hint: problem.hint.unwrap_or_default(),
        })
        .collect();
    let own = |text: String| ui::ProblemView {
        tone: Tone::Bad,
        place: String::new(),
        text,
        hint: String::new(),
    };
    problems.extend(visitor.app.core.view(|flow| {
        let pager = flow
            .pager
            .check_invariants(visitor.now)
            .into_iter()
            .map(|one| own(format!("{}: {}", one.id, one.text)));
        pager
            .chain(flow.runs.check_invariants().into_iter().map(own))
            .collect::<Vec<_>>()
    }));
    problems
}

async fn channels(visitor: &Visitor) -> Vec<ui::ChannelHealth> {
    let filter = DeliveryFilter {
        limit: Some(DELIVERIES_MAX),
        ..DeliveryFilter::default()
    };
    let deliveries = visitor
        .app
        .store
        .deliveries(filter)
        .await
        .unwrap_or_default();
    let mut channels: BTreeMap<String, ui::ChannelHealth> = BTreeMap::new();
    for delivery in deliveries {
        let name = delivery.new.channel.clone();
        if NOT_PEOPLE.contains(&name.as_str()) {
            continue;
        }
        let channel = channels
            .entry(name.clone())
            .or_insert_with(|| ui::ChannelHealth {
                name,
                health: ui::Health::Unknown,
                last_ok: None,
                n_sent: 0,
                n_failed: 0,
                n_waiting: 0,
                error: String::new(),
            });
        match delivery.state {
            DeliveryState::Done => {
                channel.n_sent += 1;
                channel.last_ok = channel.last_ok.max(Some(delivery.new.due_at));
                channel.health = ui::Health::Up;
                channel.error.clear();
            }
            DeliveryState::Failed => {
                channel.n_failed += 1;
                channel.health = ui::Health::Down;
                channel.error = delivery.error;
            }
            DeliveryState::Pending | DeliveryState::Sending => {
                channel.n_waiting += 1;
                if !delivery.error.is_empty() {
                    channel.health = ui::Health::Degraded;
                    channel.error = delivery.error;
                }
            }
            DeliveryState::Cancelled => {}
        }
    }
    channels.into_values().collect()
}

fn fact(name: &str, value: impl ToString) -> ui::StatusFact {
    ui::StatusFact {
        name: name.to_owned(),
        value: value.to_string(),
        tone: Tone::Quiet,
    }
}

fn judged(name: &str, good: bool, yes: &str, no: &str) -> ui::StatusFact {
    let (value, tone) = if good {
        (yes, Tone::Good)
    } else {
        (no, Tone::Bad)
    };
    ui::StatusFact {
        name: name.to_owned(),
        value: value.to_owned(),
        tone,
    }
}

async fn sections(visitor: &Visitor) -> Vec<ui::StatusSection> {
    let app = &visitor.app;
    let config = app.config();
    let bytes = |number: u64| ui::format::value(number as f64, ui::Unit::Bytes);
    let count = |number: u64| ui::format::count(number);
    let series = app.series.stats();
    let (judge, core) = (&app.judge, app.core.health());
    let busy_ms = |micros: &std::sync::atomic::AtomicU64, times: &std::sync::atomic::AtomicU64| {
        let times = times.load(Ordering::Relaxed).max(1);
        format!(
            "{} ms",
            ui::format::plain(micros.load(Ordering::Relaxed) as f64 / times as f64 / 1000.0)
        )
    };
    let (violations, overdue) = app.core.view(|flow| {
        let violations =
            flow.pager.check_invariants(visitor.now).len() + flow.runs.check_invariants().len();
        (violations, flow.pager.overdue(visitor.now))
    });
    let mut state = vec![
        judged(
            "writes",
            !core.waiting_for_store.load(Ordering::Relaxed),
            "go through",
            "wait for the store",
        ),
        fact("commits", count(core.commits.load(Ordering::Relaxed))),
        fact(
            "commits repeated",
            count(core.commit_failures.load(Ordering::Relaxed)),
        ),
    ];
    if let Ok(stats) = app.store.stats().await {
        state.extend([
            fact("engine", stats.engine),
            fact("size", bytes(stats.bytes)),
            fact("timeline entries", count(stats.events)),
        ]);
    }
    vec![
        ui::StatusSection {
            title: "This server".to_owned(),
            facts: vec![
                fact("version", env!("CARGO_PKG_VERSION")),
                fact("address", &app.external_url),
                fact(
                    "configuration",
                    config.file.as_ref().map_or_else(
                        || "none: defaults".to_owned(),
                        |file| file.display().to_string(),
                    ),
                ),
                judged("last load", app.reload_ok(), "worked", "failed"),
            ],
        },
        ui::StatusSection {
            title: "Promises".to_owned(),
            facts: vec![
                judged(
                    "invariants",
                    violations == 0,
                    "all held",
                    "broken: see the problems",
                ),
                judged(
                    "timers",
                    overdue.is_none_or(|late| late.as_secs() < 5),
                    "in time",
                    "late",
                ),
            ],
        },
        ui::StatusSection {
            title: "Samples".to_owned(),
            facts: vec![
                fact("series", count(series.series as u64)),
                fact("samples stored", count(series.samples_appended)),
                fact("refused as too old", count(series.samples_out_of_order)),
                fact("series refused by the limit", count(series.series_refused)),
                fact("in memory", bytes(series.head_bytes)),
                fact("on disk", bytes(series.block_bytes + series.wal_bytes)),
            ],
        },
        ui::StatusSection {
            title: "Rules and queries".to_owned(),
            facts: vec![
                fact(
                    "group evaluations",
                    count(judge.evaluations.load(Ordering::Relaxed)),
                ),
                fact("mean time", busy_ms(&judge.busy_us, &judge.evaluations)),
                fact(
                    "rules that failed",
                    count(judge.failures.load(Ordering::Relaxed)),
                ),
                fact("slots missed", count(judge.missed.load(Ordering::Relaxed))),
                fact(
                    "queries",
                    count(app.queries.answered.load(Ordering::Relaxed)),
                ),
                fact(
                    "mean time of a query",
                    busy_ms(&app.queries.busy_us, &app.queries.answered),
                ),
            ],
        },
        ui::StatusSection {
            title: "State".to_owned(),
            facts: state,
        },
    ]
}
