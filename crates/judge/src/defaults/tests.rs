use std::collections::BTreeSet;

use bellwether_model::Problems;

use crate::defaults::{FILES, groups};
use crate::rules::{RuleFile, RuleKind};

#[test]
fn built_in_rules_read_without_a_word() {
    let mut problems = Problems::default();
    for (file, text) in FILES {
        assert!(!RuleFile::read(file, text, &mut problems).is_empty());
    }
    assert_eq!(problems.to_string(), "");
    assert!(
        groups()
            .iter()
            .map(|group| group.rules.len())
            .sum::<usize>()
            > 20
    );
}

#[test]
fn what_pages_says_what_it_means_and_what_to_do() {
    let mut names = BTreeSet::new();
    for group in groups() {
        for rule in group.rules {
            assert_eq!(rule.kind, RuleKind::Alerting);
            assert!(
                names.insert(rule.name.clone()),
                "{} is there twice",
                rule.name
            );
            let labels = rule.label_texts();
            let annotations = rule.annotation_texts();
            let severity = labels.get("severity");
            assert!(
                ["page", "ticket", "context"].contains(&severity),
                "{}: {severity}",
                rule.name
            );
            for (name, text) in &rule.labels {
                assert!(
                    !text.is_template(),
                    "{}: label {name} changes its identity",
                    rule.name
                );
            }
            for name in ["summary", "description", "impact"] {
                assert!(annotations.contains(name), "{} has no {name}", rule.name);
            }
            if severity != "context" {
                assert!(
                    annotations.contains("runbook"),
                    "{} has no runbook",
                    rule.name
                );
            }
            assert_eq!(
                severity == "context",
                &*group.file == "builtin/causes.yml",
                "{}: causes never page",
                rule.name
            );
        }
    }
}

/// Plays samples against the built-in rules: one line per alert that fires, with its severity and the minute.
fn play(minutes: i64, samples: impl Fn(i64) -> Vec<(String, f64)>) -> Vec<String> {
    use bellwether_model::series::{MemorySeries, Value};
    let start = 1_800_000_000_000_i64;
    let at = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap();
    let settings = crate::EngineSettings {
        evaluation_interval: std::time::Duration::from_secs(15),
        ..crate::EngineSettings::default()
    };
    let mut engine = crate::RuleEngine::new(settings.clone());
    drop(engine.load(at(start), settings, groups()));
    let promql = bellwether_promql::Engine::default();
    let mut series = MemorySeries::default();
    let mut fired = Vec::new();
    for tick in 0..minutes * 4 {
        let now = start + tick * 15_000;
        for (name, value) in samples(tick / 4) {
            let labels = bellwether_promql::parse_metric(&name).unwrap();
            series.push(&labels, now, Value::Float(value));
        }
        for due in engine.due(at(now + 14_999)) {
            let outcome = engine
                .evaluate_group(&due.key, due.slot, &series, &promql)
                .unwrap();
            assert_eq!(outcome.errors, []);
            for event in outcome
                .batch
                .events
                .iter()
                .filter(|e| e.kind == "alert_firing")
            {
                assert!(!event.text.contains("error expanding"), "{}", event.text);
                let severity = event.data["labels"]["severity"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                fired.push(format!("{} {severity} {}", tick / 4, event.text));
            }
        }
    }
    fired
}

#[test]
fn one_target_down_is_context_all_of_them_page() {
    let up = |a: f64, b: f64| {
        vec![
            ("up{job=\"web\",instance=\"a\"}".to_owned(), a),
            ("up{job=\"web\",instance=\"b\"}".to_owned(), b),
        ]
    };
    assert_eq!(
        play(10, |minute| if minute < 2 {
            up(1.0, 1.0)
        } else {
            up(1.0, 0.0)
        }),
        ["3 context TargetDown is firing: b of web does not answer its scrapes"]
    );
    let all = play(10, |minute| {
        if minute < 2 {
            up(1.0, 1.0)
        } else {
            up(0.0, 0.0)
        }
    });
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(
        all[2],
        "4 page NothingAnswers is firing: No instance of web answers"
    );
    assert_eq!(play(10, |_| up(1.0, 1.0)), [""; 0]);
}

#[test]
fn probes_services_disks_and_certificates() {
    let fired = play(10, |_| {
        vec![
            (
                "probe_success{probe=\"shop\",instance=\"https://shop\",job=\"bellwether-probes\"}"
                    .to_owned(),
                0.0,
            ),
            ("redis_up{job=\"redis\",instance=\"r1\"}".to_owned(), 0.0),
            (
                "probe_ssl_earliest_cert_expiry{probe=\"shop\",instance=\"https://shop\"}"
                    .to_owned(),
                1_800_040_000.0,
            ),
            (
                "node_memory_MemAvailable_bytes{instance=\"h\"}".to_owned(),
                1.0,
            ),
            (
                "node_memory_MemTotal_bytes{instance=\"h\"}".to_owned(),
                100.0,
            ),
        ]
    });
    let short: Vec<String> = fired
        .iter()
        .map(|line| {
            line.split(' ')
                .skip(1)
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let expected = [
        "page ProbeFailing",
        "page ServiceDown",
        "page CertificateExpiresToday",
        "context HostMemoryLow",
    ];
    for line in expected {
        assert!(short.iter().any(|s| s == line), "{line}: {fired:?}");
    }
    assert_eq!(short.len(), expected.len(), "{fired:?}");
}

#[test]
fn a_disk_that_fills_pages_hours_before_it_is_full() {
    let labels = "instance=\"h\",device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"";
    let size = 100e9;
    let disk = |avail: f64| {
        vec![
            (format!("node_filesystem_avail_bytes{{{labels}}}"), avail),
            (format!("node_filesystem_size_bytes{{{labels}}}"), size),
            (format!("node_filesystem_readonly{{{labels}}}"), 0.0),
        ]
    };
    // 35 GB left, 10 GB an hour: full in three and a half hours.
    let fired = play(40, |minute| disk(35e9 - minute as f64 * 10e9 / 60.0));
    assert!(
        fired.iter().any(|line| line
            .contains("page DiskFullWithinHours is firing: / on h will be full within four hours")),
        "{fired:?}"
    );
    assert!(
        !fired.iter().any(|line| line.contains("DiskFull is")),
        "{fired:?}"
    );
    // Nearly full, but nothing is written: no page.
    assert_eq!(play(40, |_| disk(30e9)), [""; 0]);
}

#[test]
fn every_named_runbook_is_a_page_of_the_repository() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runbooks");
    for rule in groups().iter().flat_map(|group| &group.rules) {
        let annotations = rule.annotation_texts();
        let name = annotations.get("runbook");
        let page = folder.join(format!("{name}.md"));
        assert!(
            name.is_empty() || page.is_file(),
            "{}: no runbook {name:?}",
            rule.name
        );
    }
}
