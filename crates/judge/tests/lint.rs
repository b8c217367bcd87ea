//! Lint of public rules against the runbooks that belong to them.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test reads files and says what it skipped"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bellwether_judge::RuleFile;
use bellwether_judge::lint::{Options, RunbookIndex, Source, lint};
use bellwether_model::Problems;

fn corpus(folder: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpus")
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
    Some(root)
}

/// Every file below a folder: path from the folder, and bytes as text.
fn files(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                let bytes = std::fs::read(&path).unwrap();
                found.push((name, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    found.sort();
    found
}

fn has_extension(name: &str, wanted: &str) -> bool {
    Path::new(name).extension().is_some_and(|ext| ext == wanted)
}

/// What a plain reading of the text says: alerts with `pager: pagerduty` and no line `runbook`, or one whose page is
/// not there. Knows nothing of YAML: a rule goes from `- alert:` to the next `- alert:` or `- record:`.
fn by_lines(text: &str, runbooks: &BTreeSet<String>) -> BTreeSet<String> {
    let mut rules: Vec<Vec<&str>> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with("- alert:") {
            rules.push(Vec::new());
            inside = true;
        } else if start.starts_with("- record:") || start.starts_with("- name:") {
            inside = false;
        }
        if inside && let Some(rule) = rules.last_mut() {
            rule.push(start);
        }
    }
    rules
        .into_iter()
        .filter(|rule| rule.contains(&"pager: pagerduty"))
        .filter(|rule| {
            let link = rule.iter().find_map(|line| {
                let rest = line.strip_prefix("runbook")?;
                let (_, link) = rest.split_once(':')?;
                Some(link.trim().trim_matches(['"', '\'']))
            });
            match link {
                None => true,
                Some(link) if link.contains("{{") || link.contains("://") => false,
                Some(link) => !runbooks.contains(link.split('#').next().unwrap_or_default()),
            }
        })
        .map(|rule| rule[0].trim_start_matches("- alert:").trim().to_owned())
        .collect()
}

#[test]
fn every_page_whose_runbook_is_missing_or_dead_is_named() {
    let (Some(rules), Some(pages)) = (corpus("rules/gitlab-2020"), corpus("runbooks/gitlab-2020"))
    else {
        return;
    };
    let mut index = RunbookIndex::default();
    let mut known = BTreeSet::new();
    for (name, text) in files(&pages) {
        index.add(&name, has_extension(&name, "md").then_some(text.as_str()));
        known.insert(name);
    }
    let mut problems = Problems::default();
    let (mut groups, mut sources) = (Vec::new(), Vec::new());
    let mut expected = BTreeSet::new();
    for (name, text) in files(&rules) {
        if has_extension(&name, "yml") && text.contains("groups:") {
            groups.extend(RuleFile::read(&name, &text, &mut problems));
            expected.extend(by_lines(&text, &known));
            sources.push(Source {
                file: name.as_str().into(),
                text,
            });
        }
    }
    assert!(!problems.has_errors(), "{problems}");
    let options = Options {
        page: vec![bellwether_promql::parse_metric_selector("{pager=\"pagerduty\"}").unwrap()],
        runbooks: Some(index),
        ..Options::default()
    };
    let report = lint(&groups, &sources, &options);
    let found: BTreeSet<String> = report
        .findings
        .iter()
        .filter(|f| f.level == Some(bellwether_judge::lint::Level::Page))
        .filter(|f| ["runbook-missing", "runbook-dead"].contains(&f.check))
        .map(|f| f.rule.clone())
        .collect();
    assert!(expected.len() >= 10, "{expected:?}");
    assert_eq!(found, expected);
    // Each finding stands on a line of its rule.
    for finding in report.findings.iter().filter(|f| !f.rule.is_empty()) {
        let source = sources.iter().find(|s| s.file == finding.file).unwrap();
        let line = source.text.lines().nth(finding.line as usize - 1);
        assert!(
            line.is_some_and(|line| !line.trim().is_empty()),
            "{finding}"
        );
    }
}
