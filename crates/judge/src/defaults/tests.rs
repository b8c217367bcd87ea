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
