use bellwether_model::Problems;
use bellwether_stats::random::Random;

use super::*;
use crate::compare::{Comparison, Limits, Metric, Pair};

fn history(levels: impl Fn(usize) -> f64, n: usize, spread: f64) -> Vec<Entry> {
    let mut random = Random::new(5);
    (0..n)
        .map(|index| Entry {
            version: 1,
            commit: format!("{index:040x}"),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            results: vec![Samples {
                name: "parse".into(),
                unit: Unit::Seconds,
                better: Better::Lower,
                values: (0..8)
                    .map(|_| levels(index) * (spread * random.normal()).exp())
                    .collect(),
            }],
            accepted: Vec::new(),
        })
        .collect()
}

fn config(text: &str) -> GateConfig {
    let mut problems = Problems::default();
    let config = GateConfig::read("gate.yml", text, &mut problems).unwrap();
    assert!(problems.0.is_empty(), "{problems}");
    config
}

#[test]
fn a_regression_fails_with_its_commit_and_the_error_rate_beside_it() {
    let config = config("results: [bench.json]");
    let report = check(
        &config,
        &history(|i| if i < 30 { 0.1 } else { 0.11 }, 40, 0.02),
        false,
    );
    assert_eq!((report.verdict, report.fails), (Verdict::Worse, true));
    let change = report.series[0].suspect().unwrap();
    assert_eq!(change.commit, format!("{:040x}", 30));
    insta::assert_snapshot!(plain(&report), @r#"
    series  now     verdict          what                                            error rate of the gate
    parse   111 ms  ✗ worse (fails)  +10.3 % since 0000000000, both detectors agree  0 % false alarms, finds 3 % in 100 %
    ✗ worse at 0000000000 (1 of 1 series fail)
    "#);
    insta::assert_snapshot!(markdown(&report), @r#"
    ### Bellwether performance gate: ✗ worse at 0000000000 (1 of 1 series fail)

    | series | now | verdict | what | error rate of the gate |
    |---|--:|---|---|---|
    | parse | 111 ms | ✗ worse | +10.3 % since 0000000000, both detectors agree | 0 % false alarms, finds 3 % in 100 % |
    "#);
    insta::assert_snapshot!(junit(&report), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="bellwether gate" tests="1" failures="1" skipped="0">
      <testsuite name="bellwether gate" tests="1" failures="1" skipped="0">
        <testcase classname="bellwether.gate" name="parse"><failure message="worse: +10.3 % since 0000000000, both detectors agree">+10.3 % at 0000000000 (after 0000000000): 99.88 ms to 110.2 ms, p = 2.29e-7
    </failure><system-out>worse: +10.3 % since 0000000000, both detectors agree
    0 % false alarms, finds 3 % in 100 %</system-out></testcase>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_quiet_series_is_the_same_and_a_short_one_cannot_tell() {
    let config = config("results: [bench.json]");
    let same = check(&config, &history(|_| 0.1, 40, 0.02), false);
    assert_eq!((same.verdict, same.fails), (Verdict::Same, false));
    let short = check(&config, &history(|_| 0.1, 6, 0.02), false);
    assert_eq!(
        (short.verdict, short.series[0].why.as_str()),
        (Verdict::CannotTell, "6 commits; at least 12 are needed")
    );
    assert!(
        check(&config, &history(|_| 0.1, 6, 0.02), true).fails,
        "strict"
    );
    let loud = check(&config, &history(|_| 0.1, 40, 2.0), false);
    assert_eq!(loud.verdict, Verdict::CannotTell);
}

#[test]
fn budgets_speak_on_the_first_commit() {
    let config =
        config("results: [bench.json]\nrules:\n  - match: par*\n    budget: 90ms\n    floor: 5%\n");
    let over = check(&config, &history(|_| 0.1, 1, 0.01), false);
    assert_eq!((over.verdict, over.fails), (Verdict::Worse, true));
    assert_eq!(
        over.series[0].why,
        "99.7 ms is over the budget of 90 ms; 1 commits; at least 12 are needed"
    );
    let near = check(&config, &history(|_| 0.0905, 1, 0.05), false);
    assert_eq!(
        (near.series[0].budget.as_ref().unwrap().verdict, near.fails),
        (Verdict::CannotTell, false)
    );
}

#[test]
fn accepted_and_old_changes_are_no_news() {
    let config = config("results: [bench.json]\nfresh: 15");
    let mut entries = history(|i| if i < 30 { 0.1 } else { 0.12 }, 60, 0.02);
    assert!(!check(&config, &entries, false).fails, "thirty commits ago");
    entries.truncate(40);
    assert!(check(&config, &entries, false).fails);
    entries[35].accepted.push("parse".to_owned());
    assert!(!check(&config, &entries, false).fails);
}

#[test]
fn a_suspect_must_be_confirmed_when_the_rules_say_so() {
    let config = config("run: ./bench\nconfirm: true");
    let entries = history(|i| if i < 30 { 0.1 } else { 0.11 }, 40, 0.02);
    let report = check(&config, &entries, false);
    assert_eq!((report.verdict, report.fails), (Verdict::Worse, false));
    let rerun = |factor: f64| {
        let metric = Metric {
            name: "parse".into(),
            unit: Unit::Seconds,
            better: Better::Lower,
            floor: 0.03,
        };
        let mut comparison = Comparison::new(vec![metric], Limits::default());
        let mut random = Random::new(3);
        while !comparison.is_over() {
            let mut draw = |f: f64| vec![f * (0.01 * random.normal()).exp()];
            comparison.push(Pair {
                base: draw(1.0),
                candidate: draw(factor),
            });
        }
        comparison.report("base", "head")
    };
    let mut confirmed = report.series[0].clone();
    confirmed.confirm(rerun(1.1), false);
    assert!(
        confirmed.fails && confirmed.why.contains("confirmed by a re-run"),
        "{}",
        confirmed.why
    );
    let mut refuted = report.series[0].clone();
    refuted.confirm(rerun(1.0), false);
    assert_eq!((refuted.verdict, refuted.fails), (Verdict::Same, false));
}

#[test]
fn faults_of_the_file_have_a_place_and_a_hint() {
    let mut problems = Problems::default();
    let text = "histry: git\nfloor: lots\nformat: junit\nrules:\n  - budget: 12 parsecs\n  - match: a\n    budget: 12 parsecs\nconfirm: true\n";
    GateConfig::read("gate.yml", text, &mut problems);
    problems.sort();
    insta::assert_snapshot!(problems.to_string(), @r#"
    error: gate.yml:1:1: unknown key "histry" in this gate file
      hint: did you mean "history"?
    error: gate.yml:1:1: nothing to measure: neither `run`, `results` nor `queries`
      hint: name the command that measures (`run:`), or the files that it writes (`results:`)
    error: gate.yml:1:1: `confirm` needs `run`: the command that measures again
    error: gate.yml:2:8: floor must be from 0 to 10, not "lots"
      hint: write it as 3% or 0.03
    error: gate.yml:3:9: unknown format "junit"
      hint: one of auto, criterion, hyperfine, pytest-benchmark, go, jmh, load, samples, lines
    error: gate.yml:5:5: a rule needs `match`: the names it is for
      hint: `*` stands for anything
    error: gate.yml:7:13: budget must be a number with a unit, not "12 parsecs"
      hint: such as 120ms, 1.5s, 64MiB or 1000
    "#);
}

#[test]
fn patterns_match_names() {
    let is = |pattern: &str, name: &str| config::matches(pattern, name);
    assert!(
        is("*", "x")
            && is("a*c", "abc")
            && is("a*", "a")
            && is("*/p99", "GET x/p99")
            && is("a*b*c", "a1b2c")
    );
    assert!(!is("a", "ab") && !is("a*c", "ab") && !is("a*b*b", "ab"));
}

#[test]
fn five_hundred_noise_series_seldom_alarm() {
    // The whole gate, not only the detector: 500 series of 100 commits in one check.
    let config = config("results: [bench.json]\nfresh: 100\nfloor: 0\ntrials: 0");
    let mut alarms = 0;
    for batch in 0..5 {
        let mut random = Random::new(90 + batch);
        let entries: Vec<Entry> = (0..100)
            .map(|index| Entry {
                version: 1,
                commit: format!("{index:040x}"),
                at: "2026-01-01T00:00:00Z".parse().unwrap(),
                results: (0..100)
                    .map(|series| Samples {
                        name: format!("s{series:03}"),
                        unit: Unit::Count,
                        better: Better::Lower,
                        values: vec![10.0 + random.normal()],
                    })
                    .collect(),
                accepted: Vec::new(),
            })
            .collect();
        alarms += check(&config, &entries, false)
            .series
            .iter()
            .filter(|series| series.fails)
            .count();
    }
    assert!(alarms <= 5, "{alarms} of 500");
}
