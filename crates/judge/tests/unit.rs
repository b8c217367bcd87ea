//! Unit tests of rules: the same verdict as Debian's `promtool`, check for check, and rule coverage.
#![expect(clippy::unwrap_used, reason = "a test reads files")]

use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_judge::unit::{Coverage, FileReport, TestFile, junit};
use bellwether_judge::{GroupConfig, RuleFile};
use bellwether_model::Problems;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/unit")
}

/// Runs a test file of the folder; rule files are plain names in it.
fn ours(name: &str, coverage: &mut Coverage) -> FileReport {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let mut problems = Problems::default();
    let mut groups: Vec<GroupConfig> = Vec::new();
    let file = TestFile::read(name, &text, &mut problems);
    for pattern in file.iter().flat_map(|file| &file.rule_files) {
        let path = folder().join(pattern.text.replace("rul*", "rules"));
        if let Ok(text) = std::fs::read_to_string(&path) {
            groups.extend(RuleFile::read(&pattern.text, &text, &mut problems));
        }
    }
    problems
        .0
        .retain(|p| p.severity == bellwether_model::Severity::Error);
    match file.filter(|_| !problems.has_errors()) {
        Some(file) => file.run(&groups, &|_| true, coverage),
        None => FileReport {
            file: name.into(),
            problems: problems.0,
            tests: Vec::new(),
            skipped: 0,
        },
    }
}

/// `alert A at 5m` or `sum(up) at 1m` for every check that promtool says has failed, sorted.
fn failed_in_promtool(output: &str) -> Vec<String> {
    let mut failed = Vec::new();
    for line in output.lines() {
        let line = line.trim();
        let (what, time) = if let Some(rest) = line.strip_prefix("alertname: ") {
            let Some((name, rest)) = rest.split_once(", time: ") else {
                continue;
            };
            (format!("alert {name}"), rest)
        } else if let Some(rest) = line.strip_prefix("expr: ") {
            let Some((expr, rest)) = rest.rsplit_once(", time: ") else {
                continue;
            };
            let expr: String = serde_json::from_str(expr).unwrap();
            (expr, rest)
        } else {
            continue;
        };
        let time = time.split(',').next().unwrap_or_default().trim();
        failed.push(format!("{what} at {time}"));
    }
    failed.sort();
    failed
}

#[test]
fn the_same_verdict_as_promtool_check_for_check() {
    let mut names: Vec<String> = folder()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("pass-") || name.starts_with("fail-"))
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{names:?}");
    for name in &names {
        let report = ours(name, &mut Coverage::default());
        assert_eq!(report.passed(), name.starts_with("pass-"), "{report:#?}");
        let mut failed: Vec<String> = report
            .tests
            .iter()
            .flat_map(|test| &test.failures)
            .filter(|failure| failure.what.contains(" at "))
            .map(|failure| failure.what.clone())
            .collect();
        failed.sort();
        // What promtool 2.42 does not know.
        if name.contains("-new-") {
            continue;
        }
        let output = match Command::new("promtool")
            .args(["test", "rules", name])
            .current_dir(folder())
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
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(report.passed(), output.status.success(), "{name}:\n{text}");
        assert_eq!(failed, failed_in_promtool(&text), "{name}:\n{text}");
    }
}

#[test]
fn coverage_names_what_no_test_made_fire() {
    let mut coverage = Coverage::default();
    for name in ["pass-alerts.yml", "pass-external.yml"] {
        assert!(ours(name, &mut coverage).passed());
    }
    let lines: Vec<String> = coverage
        .rules()
        .iter()
        .filter(|rule| !rule.covered || !rule.never_fired.is_empty())
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    rules.yml:7: record job:requests:rate5m: never gave a series
    rules.yml:10: alert InstanceDown
        pending only: {alertname="InstanceDown", instance="b", job="web", severity="page"}
        pending only: {alertname="InstanceDown", instance="c", job="db", severity="page"}
        pending only: {alertname="InstanceDown", job="web", severity="page"}
    rules.yml:32: alert Busy: never fired
    "#);
    assert!((coverage.percent() - 100.0 * 7.0 / 9.0).abs() < 1e-9);
}

#[test]
fn results_as_junit() {
    let reports = [
        ours("fail-between-ticks.yml", &mut Coverage::default()),
        ours("fail-bad-number.yml", &mut Coverage::default()),
        ours("pass-external.yml", &mut Coverage::default()),
    ];
    insta::assert_snapshot!(junit(&reports), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites>
      <testsuite name="fail-between-ticks.yml" tests="1" failures="1" errors="0" skipped="0">
        <testcase classname="fail-between-ticks.yml" name="unnamed#0" assertions="2">
          <failure message="alert Empty at 1m59s">fail-between-ticks.yml:7: alert Empty at 1m59s&#10;expected:&#10;{alertname=&quot;Empty&quot;, instance=&quot;a&quot;, job=&quot;web&quot;}&#10;  note=&quot;&quot;&#10;got:&#10;</failure>
          <failure message="timestamp(up) at 2m50s">fail-between-ticks.yml:9: timestamp(up) at 2m50s&#10;expected:&#10;{instance=&quot;a&quot;, job=&quot;web&quot;} 170&#10;got:&#10;{instance=&quot;a&quot;, job=&quot;web&quot;} 120</failure>
        </testcase>
      </testsuite>
      <testsuite name="fail-bad-number.yml" tests="1" failures="0" errors="1" skipped="0">
        <testcase name="fail-bad-number.yml">
          <error>error: fail-bad-number.yml:3:73: value must be a number&#10;  hint: YAML writes .NaN, .Inf and -.Inf</error>
        </testcase>
      </testsuite>
      <testsuite name="pass-external.yml" tests="1" failures="0" errors="0" skipped="0">
        <testcase classname="pass-external.yml" name="unnamed#0" assertions="1"/>
      </testsuite>
    </testsuites>
    "#);
}
