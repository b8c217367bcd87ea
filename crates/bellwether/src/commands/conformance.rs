//! Scores on the public corpora: how much of each the program gets right.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bellwether_judge::RuleFile;
use bellwether_model::Problems;
use bellwether_page::PageConfig;

use super::say;
use crate::config::find_pages;

pub(super) fn run(corpus: &Path) -> ExitCode {
    promqltest(&corpus.join("promqltest"));
    openmetrics(&corpus.join("openmetrics"));
    rules(
        &corpus.join("rules/awesome-prometheus-alerts"),
        "rules of awesome-prometheus-alerts",
    );
    rules(&corpus.join("rules/gitlab-2020"), "rules of gitlab-2020");
    alertmanager(&corpus.join("alertmanager"));
    runbooks(&corpus.join("runbooks/gitlab-2020"));
    ExitCode::SUCCESS
}

fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let (mut waiting, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(path) = waiting.pop() {
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path
                .extension()
                .is_some_and(|end| ends.iter().any(|wanted| end == *wanted))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn promqltest(folder: &Path) {
    let (mut passed, mut failed) = (0, 0);
    for file in files(folder, &["test"]) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let report = bellwether_promql::promqltest::run_script(&file.display().to_string(), &text);
        passed += report.passed;
        failed += report.failed.len();
    }
    say(format_args!(
        "promqltest: {passed} of {} evals",
        passed + failed
    ));
}

fn openmetrics(folder: &Path) {
    let (mut right, mut all) = (0, 0);
    for test in files(folder, &["json"]) {
        let text = std::fs::read_to_string(&test).unwrap_or_default();
        let Ok(expected) = serde_json::from_str::<serde_json::Value>(&text) else {
            continue;
        };
        let bytes = std::fs::read(test.with_file_name("metrics")).unwrap_or_default();
        all += 1;
        let good = bellwether_observe::openmetrics::check_bytes(&bytes, true).is_ok();
        right += usize::from(expected["shouldParse"].as_bool() == Some(good));
    }
    say(format_args!("openmetrics: {right} of {all} cases"));
}

fn rules(folder: &Path, name: &str) {
    let (mut rules, mut good_files, mut all) = (0, 0, 0);
    for file in files(folder, &["yml", "yaml"]) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if !text.contains("groups:") {
            continue;
        }
        let mut problems = Problems::default();
        let groups = RuleFile::read(&file.display().to_string(), &text, &mut problems);
        rules += groups.iter().map(|group| group.rules.len()).sum::<usize>();
        all += 1;
        good_files += usize::from(!problems.has_errors());
    }
    say(format_args!(
        "{name}: {rules} rules, {good_files} of {all} files without error"
    ));
}

fn alertmanager(folder: &Path) {
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for file in files(folder, &["yml"]) {
        if file
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("openapi"))
        {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let name = file.display().to_string();
        let (config, _) = PageConfig::parse_alertmanager(
            &name,
            &text,
            bellwether_page::matchers::Mode::default(),
        );
        if config.is_some() {
            accepted.push(name);
        } else {
            refused.push(name);
        }
    }
    say(format_args!(
        "alertmanager: {} configurations accepted, {} refused",
        accepted.len(),
        refused.len()
    ));
}

fn runbooks(folder: &Path) {
    let Ok(pages) = find_pages(folder) else {
        return say("runbooks: none found");
    };
    let (mut read, mut steps) = (0, 0);
    for (path, text) in &pages {
        if let (Some(page), _) = bellwether_act::Runbook::parse(path, text) {
            read += 1;
            steps += page.steps.len();
        }
    }
    say(format_args!(
        "runbooks of gitlab-2020: {read} of {} pages read, {steps} steps",
        pages.len()
    ));
}
