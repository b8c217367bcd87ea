//! How this server is doing: for `/status`, the API and `/metrics`.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use bellwether_model::state::DeliveryState;
use serde_json::{Value, json};

use crate::app::App;

/// Figures for people and programs.
pub async fn status_json(app: &App) -> Value {
    let stats = app.series.stats();
    let store = app.store.stats().await;
    let loaded = app.loaded();
    let now = app.clock.now();
    let (violations, open) = app.core.view(|flow| {
        let mut violations: Vec<String> = flow
            .pager
            .check_invariants(now)
            .into_iter()
            .map(|v| format!("{}: {}", v.id, v.text))
            .collect();
        violations.extend(flow.runs.check_invariants());
        let open = flow
            .pager
            .cases()
            .into_iter()
            .filter(|case| !case.is_resolved())
            .count();
        (violations, open)
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": app.started_at,
        "external_url": app.external_url,
        "config": {
            "file": app.config().file,
            "loaded_at": loaded.at,
            "last_reload_ok": loaded.ok,
            "problems": loaded.problems.0,
        },
        "series": {
            "series": stats.series, "samples_appended": stats.samples_appended,
            "head_bytes": stats.head_bytes, "wal_bytes": stats.wal_bytes,
            "blocks": stats.blocks, "block_bytes": stats.block_bytes, "series_refused": stats.series_refused,
        },
        "state": match store {
            Ok(stats) => json!({
                "engine": stats.engine, "schema_version": stats.schema_version, "records": stats.records,
                "deliveries": stats.deliveries.iter().map(|(state, n)| (format!("{state:?}").to_lowercase(), json!(n)))
                    .collect::<serde_json::Map<_, _>>(),
                "events": stats.events, "bytes": stats.bytes, "batches": stats.batches,
                "transactions": stats.transactions,
            }),
            Err(error) => json!({"error": error.to_string()}),
        },
        "waiting_for_store": app.core.health().waiting_for_store.load(Ordering::Relaxed),
        "open_cases": open,
        "violations": violations,
    })
}

/// Our own metrics in the text format.
pub async fn metrics_text(app: &App) -> String {
    let (mut text, mut alertmanager) = (String::new(), String::new());
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(
                text,
                "{name}{labels} {}",
                crate::http::prometheus::format_float(*value)
            );
        }
    };
    let one = |value: f64| vec![(String::new(), value)];
    let stats = app.series.stats();
    family(
        "bellwether_build_info",
        "gauge",
        "Version of this program.",
        &[(
            format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
            1.0,
        )],
    );
    family(
        "bellwether_start_time_seconds",
        "gauge",
        "When this process started.",
        &one(app.started_at.as_millisecond() as f64 / 1e3),
    );
    family(
        "bellwether_config_last_reload_successful",
        "gauge",
        "Whether the last load of the configuration worked.",
        &one(f64::from(u8::from(app.reload_ok()))),
    );
    for (name, help, value) in [
        (
            "bellwether_series_head_series",
            "Series in memory.",
            stats.series as f64,
        ),
        (
            "bellwether_series_head_bytes",
            "Bytes of samples in memory.",
            stats.head_bytes as f64,
        ),
        (
            "bellwether_series_wal_bytes",
            "Bytes of the write-ahead log.",
            stats.wal_bytes as f64,
        ),
        (
            "bellwether_series_blocks",
            "Block files.",
            stats.blocks as f64,
        ),
        (
            "bellwether_series_block_bytes",
            "Bytes of block files.",
            stats.block_bytes as f64,
        ),
    ] {
        family(name, "gauge", help, &one(value));
    }
    let judge = &app.judge;
    let core = app.core.health();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed) as f64;
    for (name, help, value) in [
        (
            "bellwether_series_samples_appended_total",
            "Samples stored.",
            stats.samples_appended as f64,
        ),
        (
            "bellwether_series_samples_out_of_order_total",
            "Samples refused as too old.",
            stats.samples_out_of_order as f64,
        ),
        (
            "bellwether_series_refused_total",
            "Series refused by the limit.",
            stats.series_refused as f64,
        ),
        (
            "bellwether_rule_group_evaluations_total",
            "Rule groups evaluated.",
            load(&judge.evaluations),
        ),
        (
            "bellwether_rule_failures_total",
            "Rules that failed.",
            load(&judge.failures),
        ),
        (
            "bellwether_rule_group_iterations_missed_total",
            "Slots that were skipped.",
            load(&judge.missed),
        ),
        (
            "bellwether_rule_evaluation_seconds_total",
            "Time spent on rules.",
            load(&judge.busy_us) / 1e6,
        ),
        (
            "bellwether_queries_total",
            "Queries answered.",
            load(&app.queries.answered),
        ),
        (
            "bellwether_query_seconds_total",
            "Time spent on queries.",
            load(&app.queries.busy_us) / 1e6,
        ),
        (
            "bellwether_state_commits_total",
            "Batches of state committed.",
            load(&core.commits),
        ),
        (
            "bellwether_state_commit_failures_total",
            "Commits that had to be repeated.",
            load(&core.commit_failures),
        ),
        (
            "bellwether_state_refused_total",
            "Inputs given up because the store would never take what they led to.",
            load(&core.refused),
        ),
    ] {
        family(name, "counter", help, &one(value));
    }
    if let Ok(stats) = app.store.stats().await {
        // Every state from the start: a series that appears with its first failure hides it from `delta`.
        let samples = [
            DeliveryState::Pending,
            DeliveryState::Sending,
            DeliveryState::Done,
            DeliveryState::Failed,
            DeliveryState::Cancelled,
        ]
        .map(|state| {
            let word = format!("{state:?}").to_lowercase();
            let count = stats.deliveries.get(&state).copied().unwrap_or(0);
            (format!("{{state=\"{word}\"}}"), count as f64)
        });
        family(
            "bellwether_deliveries",
            "gauge",
            "Deliveries by state.",
            &samples,
        );
        family(
            "bellwether_state_bytes",
            "gauge",
            "Size of the state database.",
            &one(stats.bytes as f64),
        );
    }
    let now = app.clock.now();
    let (open, acknowledged, violations, overdue) = app.core.view(|flow| {
        let cases = flow.pager.cases();
        let open = cases.iter().filter(|c| !c.is_resolved()).count();
        let taken = cases
            .iter()
            .filter(|c| !c.is_resolved() && c.acknowledged_by.is_some())
            .count();
        let violations =
            flow.pager.check_invariants(now).len() + flow.runs.check_invariants().len();
        let overdue = flow
            .pager
            .next_wake()
            .map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
        (open, taken, violations, overdue)
    });
    family(
        "bellwether_cases_open",
        "gauge",
        "Cases that are not resolved.",
        &one(open as f64),
    );
    family(
        "bellwether_cases_acknowledged",
        "gauge",
        "Open cases that somebody has.",
        &one(acknowledged as f64),
    );
    family(
        "bellwether_invariant_violations",
        "gauge",
        "Broken promises that this server sees in itself.",
        &one(violations as f64),
    );
    family(
        "bellwether_oldest_due_timer_seconds",
        "gauge",
        "How late the oldest timer is.",
        &one(overdue),
    );
    let targets = app.scrapes.targets();
    let up = targets
        .active
        .iter()
        .filter(|t| t.health == bellwether_observe::Health::Up)
        .count();
    family(
        "bellwether_targets",
        "gauge",
        "Targets that are watched.",
        &one(targets.active.len() as f64),
    );
    family(
        "bellwether_targets_up",
        "gauge",
        "Targets whose last scrape worked.",
        &one(up as f64),
    );
    app.alertmanager.write(app, &mut alertmanager);
    for (name, kind, help, value) in process_metrics() {
        family(name, kind, help, &one(value));
    }
    text.push_str(&alertmanager);
    text
}

/// The `process_*` metrics that every exporter has.
fn process_metrics() -> Vec<(&'static str, &'static str, &'static str, f64)> {
    let mut all = Vec::new();
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat")
        && let Some((_, rest)) = stat.rsplit_once(") ")
    {
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |index: usize| {
            fields
                .get(index)
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or_default()
        };
        // Linux' user-visible clock tick is 1/100 s on every architecture Rust's std supports.
        all.push((
            "process_cpu_seconds_total",
            "counter",
            "CPU time used.",
            (number(11) + number(12)) / 100.0,
        ));
        all.push((
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory.",
            number(20),
        ));
        all.push(("process_threads", "gauge", "Threads.", number(17)));
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        if let Some(kb) =
            rss.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok())
        {
            all.push((
                "process_resident_memory_bytes",
                "gauge",
                "Memory in use.",
                kb * 1024.0,
            ));
        }
    }
    if let Ok(fds) = std::fs::read_dir("/proc/self/fd") {
        all.push((
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            fds.count() as f64,
        ));
    }
    all
}
