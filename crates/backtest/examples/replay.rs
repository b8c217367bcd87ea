//! What a backtest costs: `generate` writes history for promtool and rules, `run` backtests over the blocks it made.
//!
//! `cargo run --profile profiling -p bellwether-backtest --example replay -- generate DIR SERIES DAYS` and then
//! `... -- run PROMETHEUS_DIR DAYS RULES...`. `bench/backtest-slo/run` does both, beside Debian's Prometheus.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement stops at what it did not expect, and prints"
)]

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use bellwether_backtest::pages::Routing;
use bellwether_backtest::run::Backtest;
use bellwether_backtest::score::Night;
use bellwether_backtest::sweep::{Tries, evaluate};
use bellwether_env::{Clock, SystemClock};
use bellwether_judge::{EngineSettings, RuleFile, RuleKind};
use bellwether_model::Problems;
use bellwether_promql::Engine;
use bellwether_series::PrometheusFolder;

/// 2026-03-01, seconds since 1970.
const BEGIN: i64 = 1_772_323_200;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[1..] {
        ["generate", dir, series, days] => {
            generate(
                Path::new(dir),
                series.parse().unwrap(),
                days.parse().unwrap(),
            );
        }
        ["run", dir, days, ref rules @ ..] => run(Path::new(dir), days.parse().unwrap(), rules),
        _ => println!("generate DIR SERIES DAYS | run PROMETHEUS_DIR DAYS RULES..."),
    }
}

/// A service's requests and errors by instance, every minute, with an hour of trouble each third day.
fn generate(dir: &Path, series: i64, days: i64) {
    std::fs::create_dir_all(dir).unwrap();
    let mut out = BufWriter::new(std::fs::File::create(dir.join("history.txt")).unwrap());
    let mut random = 7_u64;
    let mut next = move |n: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % n
    };
    for (metric, bad) in [("requests", false), ("errors", true)] {
        writeln!(out, "# TYPE {metric} counter").unwrap();
        for instance in 0..series / 2 {
            let mut value = 0;
            for minute in 0..days * 1440 {
                let hurt = minute % 4320 < 60 && instance % 4 == 0;
                value += if bad {
                    u64::from(next(200) == 0) + if hurt { next(20) } else { 0 }
                } else {
                    50 + next(50)
                };
                let time = BEGIN + minute * 60;
                writeln!(
                    out,
                    "{metric}_total{{job=\"web\",instance=\"i{instance}\"}} {value} {time}"
                )
                .unwrap();
            }
        }
    }
    writeln!(out, "# EOF").unwrap();
    let mut rules = "groups:\n- name: slo\n  interval: 1m\n  rules:\n".to_owned();
    let windows = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];
    for window in windows {
        writeln!(
            rules,
            "  - record: job:burn:rate{window}\n    expr: sum by (job) (rate(errors_total[{window}])) / sum by (job) (rate(requests_total[{window}])) / 0.001"
        )
        .unwrap();
    }
    let alerts = "  - alert: Burn
    expr: (job:burn:rate1h > 14.4 and job:burn:rate5m > 14.4) or (job:burn:rate6h > 6 and job:burn:rate30m > 6)
    labels: {severity: page}
  - alert: SlowBurn
    expr: (job:burn:rate1d > 3 and job:burn:rate2h > 3) or (job:burn:rate3d > 1 and job:burn:rate6h > 1)
    labels: {severity: ticket}
  - alert: InstanceErrors
    expr: rate(errors_total[5m]) > 0.05
    for: 5m
    labels: {severity: page}
";
    // For promtool, which replays recording rules alone, and for us: all of them.
    std::fs::write(dir.join("record.yml"), &rules).unwrap();
    rules.push_str(alerts);
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
}

fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|f| f.parse::<u64>().unwrap())
        .sum();
    ticks as f64 / 100.0
}

fn run(dir: &Path, days: i64, rules: &[&str]) {
    let clock = SystemClock::new();
    let mut problems = Problems::default();
    let groups: Vec<_> = rules
        .iter()
        .flat_map(|file| {
            RuleFile::read(file, &std::fs::read_to_string(file).unwrap(), &mut problems)
        })
        .collect();
    assert!(!problems.has_errors(), "{problems}");
    let (source, damage) = PrometheusFolder::open(dir).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    let to = (BEGIN + days * 86_400 - 60) * 1000;
    let with = Backtest {
        source: &source,
        promql: &Engine::default(),
        settings: &EngineSettings::default(),
        from: BEGIN * 1000,
        to,
        phases: 1,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        routing: &Routing::built_in(),
        incidents: None,
        night: &Night::default(),
        progress: &(),
    };
    let report = bellwether_backtest::run(&groups, &with).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or_default();
    println!(
        "ours cpu_s {:.2} wall_s {:.2} peak {} rules {} evaluations {} samples {} pages {} failures {}",
        cpu_s(),
        clock.monotonic().as_secs_f64(),
        peak.trim(),
        report.rules_total,
        report.evaluations,
        report.samples,
        report.total.pages,
        report.failures.len(),
    );
    let alert = groups.iter().flat_map(|group| &group.rules).find(|rule| {
        rule.kind == RuleKind::Alerting
            && bellwether_backtest::sweep::comparison_of(&rule.expr).is_some()
    });
    if let Some(alert) = alert {
        let tries = Tries {
            rule: alert.name.clone(),
            thresholds: (1..=100).map(|step| f64::from(step) * 0.005).collect(),
            holds: (0..10).map(std::time::Duration::from_mins).collect(),
        };
        let evaluated = evaluate(&groups, &tries, &with).unwrap();
        let begun = clock.monotonic();
        let points = evaluated.points(&tries.holds, &with).len();
        let curve = clock.monotonic();
        evaluated.sweep(&tries, &with).unwrap();
        let mut text = String::new();
        write!(
            text,
            "sweep of {}: {points} combinations in {} ms; with the pager's figures of those shown {} ms",
            alert.name,
            curve.saturating_sub(begun).as_millis(),
            clock.monotonic().saturating_sub(curve).as_millis()
        )
        .unwrap();
        println!("{text}");
    }
}
