//! Public rule files: all of them load, or are refused with a reason a person can act on.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test reads files and says what it skipped"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bellwether_judge::{EngineSettings, GroupConfig, RuleEngine, RuleFile, RuleKind};
use bellwether_model::Problems;
use bellwether_model::problem::Severity;
use bellwether_model::series::MemorySeries;
use bellwether_promql::Engine;
use jiff::{SignedDuration, Timestamp};

/// Every `.yml` below a folder of the corpus, sorted; `None` when the corpus is not there.
fn files(folder: &str) -> Option<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpus/rules")
        .join(folder);
    if !root.is_dir() {
        assert!(
            bellwether_env::vars::CI.get().is_none(),
            "corpus missing: {}",
            root.display()
        );
        println!("skipped: no corpus at {}", root.display());
        return None;
    }
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "yml") {
                found.push(path);
            }
        }
    }
    found.sort();
    Some(found)
}

fn read(path: &Path, problems: &mut Problems) -> Vec<GroupConfig> {
    let text = std::fs::read_to_string(path).unwrap();
    // Short names, so that lists are the same on every machine.
    let name: String = path
        .to_string_lossy()
        .split("/rules/")
        .last()
        .unwrap_or_default()
        .to_owned();
    RuleFile::read(&name, &text, problems)
}

fn evaluate_once(groups: Vec<GroupConfig>) -> usize {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let mut engine = RuleEngine::new(EngineSettings::default());
    let batch = engine.load(start, EngineSettings::default(), groups);
    assert!(batch.is_empty());
    let source = MemorySeries::default();
    let promql = Engine::default();
    let mut errors = 0;
    for due in engine.due(start + SignedDuration::from_hours(2)) {
        let outcome = engine
            .evaluate_group(&due.key, due.slot, &source, &promql)
            .unwrap();
        for error in &outcome.errors {
            println!("{}: {}: {}", due.key.name, error.rule, error.message);
        }
        errors += outcome.errors.len();
    }
    errors
}

#[test]
fn awesome_prometheus_alerts_load_and_evaluate() {
    let Some(files) = files("awesome-prometheus-alerts") else {
        return;
    };
    let mut problems = Problems::default();
    let groups: Vec<GroupConfig> = files
        .iter()
        .flat_map(|path| read(path, &mut problems))
        .collect();
    assert!(!problems.has_errors(), "{problems}");
    let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
    assert_eq!(rules, 954);
    let templated = groups
        .iter()
        .flat_map(|group| &group.rules)
        .flat_map(|rule| rule.annotations.iter().chain(&rule.labels))
        .filter(|(_, text)| text.is_template())
        .count();
    assert!(templated > 1_000, "{templated} templates");
    assert_eq!(evaluate_once(groups), 0);
}

#[test]
fn gitlab_rules_load_or_are_refused_with_a_reason() {
    let Some(files) = files("gitlab-2020") else {
        return;
    };
    let mut problems = Problems::default();
    let mut groups = Vec::new();
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        if text.contains("groups:") {
            groups.extend(read(path, &mut problems));
        }
    }
    let count = |kind| {
        groups
            .iter()
            .flat_map(|group| &group.rules)
            .filter(|rule| rule.kind == kind)
            .count()
    };
    let mut refused = String::new();
    for problem in problems.0.iter().filter(|p| p.severity == Severity::Error) {
        assert!(problem.line > 0 && problem.column > 0, "{problem}");
        writeln!(refused, "{problem}").unwrap();
    }
    println!(
        "{} files, {} groups, {} alerts, {} recordings; refused:\n{refused}",
        files.len(),
        groups.len(),
        count(RuleKind::Alerting),
        count(RuleKind::Recording)
    );
    assert_eq!(refused, include_str!("gitlab-refused.txt"));
    assert_eq!(evaluate_once(groups), 0);
}

#[test]
fn promtool_takes_the_same_files_with_the_same_rules() {
    for folder in ["awesome-prometheus-alerts", "gitlab-2020"] {
        let Some(files) = files(folder) else {
            return;
        };
        let with_groups: Vec<&PathBuf> = files
            .iter()
            .filter(|path| std::fs::read_to_string(path).unwrap().contains("groups:"))
            .collect();
        let output = match std::process::Command::new("promtool")
            .args(["check", "rules", "--lint=none"])
            .args(&with_groups)
            .output()
        {
            Ok(output) => output,
            Err(error) => {
                assert!(
                    bellwether_env::vars::CI.get().is_none(),
                    "promtool: {error}"
                );
                println!("skipped: no promtool: {error}");
                return;
            }
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let counts: Vec<usize> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("SUCCESS: "))
            .filter_map(|rest| rest.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(counts.len(), with_groups.len(), "{text}");
        for (path, count) in with_groups.iter().zip(counts) {
            let mut problems = Problems::default();
            let groups = read(path, &mut problems);
            assert!(!problems.has_errors(), "{problems}");
            let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
            assert_eq!(rules, count, "{}", path.display());
        }
    }
}
