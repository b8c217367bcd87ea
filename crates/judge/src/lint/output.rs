//! Findings for other programs.

use bellwether_model::Labels;
use bellwether_model::problem::Severity;
use serde_json::{Value, json};

use crate::lint::{CHECKS, Finding, Report};

/// Where the section of a check is.
fn help(id: &str) -> String {
    format!("docs/user/lint.md#{id}")
}

/// SARIF 2.1.0, as code hosts read it.
pub fn sarif(report: &Report) -> Value {
    let level = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let rules: Vec<Value> = CHECKS
        .iter()
        .map(|check| {
            json!({
                "id": check.id,
                "shortDescription": {"text": check.title},
                "helpUri": help(check.id),
                "defaultConfiguration": {"level": level(check.severity)},
            })
        })
        .collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "ruleId": finding.check,
                "level": level(finding.severity),
                "message": {"text": text(finding)},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": &*finding.file},
                    "region": {"startLine": finding.line.max(1), "startColumn": finding.column.max(1)},
                }}],
                "partialFingerprints": {"bellwether/v1": fingerprint(finding)},
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "bellwether", "rules": rules}},
            "results": results,
        }],
    })
}

/// GitLab's code quality report.
pub fn code_quality(report: &Report) -> Value {
    report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "description": text(finding),
                "check_name": finding.check,
                "fingerprint": fingerprint(finding),
                "severity": match finding.severity {
                    Severity::Error => "major",
                    Severity::Warning => "minor",
                    Severity::Note => "info",
                },
                "location": {"path": &*finding.file, "lines": {"begin": finding.line.max(1)}},
            })
        })
        .collect()
}

fn text(finding: &Finding) -> String {
    match finding.rule.as_str() {
        "" => finding.message.clone(),
        rule => format!("{rule}: {}", finding.message),
    }
}

/// The same for the same finding, wherever its line has moved to.
fn fingerprint(finding: &Finding) -> String {
    let parts = Labels::new([
        ("check", finding.check),
        ("file", &*finding.file),
        ("group", finding.group.as_str()),
        ("message", finding.message.as_str()),
        ("rule", finding.rule.as_str()),
    ]);
    format!("{:016x}", parts.fingerprint())
}
