//! The same rules in Debian's `promtool`: what fires when, and every template, byte for byte.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test writes files and says what it skipped"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use bellwether_judge::{AlertState, EngineSettings, RuleEngine, RuleFile, defaults, slo};
use bellwether_model::series::{MemorySeries, Value, stale_nan};
use bellwether_model::{Labels, Problems};
use bellwether_promql::Engine;
use jiff::{SignedDuration, Timestamp};

/// Runs `promtool` on files of a folder of its own; `None` when it is not installed.
fn promtool(args: &[&str], files: &[(&str, &str)]) -> Option<(bool, String)> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    match Command::new("promtool")
        .args(args)
        .current_dir(folder.path())
        .output()
    {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            ))
        }
        Err(error) => {
            assert!(
                bellwether_env::vars::CI.get().is_none(),
                "promtool: {error}"
            );
            println!("skipped: no promtool: {error}");
            None
        }
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn json_map(labels: &Labels) -> String {
    serde_json::to_string(labels).unwrap()
}

/// Firing alerts by rule, per minute from 0: what promtool is to expect.
type Firing = Vec<BTreeMap<String, Vec<(Labels, Labels)>>>;

/// Plays series (one value per minute, `stale` for a marker) through our engine.
fn play(rules: &str, series: &[(&str, Vec<&str>)], minutes: usize) -> Firing {
    let mut problems = Problems::default();
    let groups = RuleFile::read("r.yml", rules, &mut problems);
    assert!(!problems.has_errors(), "{problems}");
    // Group `g` has a slot at this time, and promtool's time begins at 0: both are whole minutes from the first.
    let mut engine = RuleEngine::new(EngineSettings::default());
    drop(engine.load(Timestamp::UNIX_EPOCH, EngineSettings::default(), groups));
    let offset = engine.wake_at().unwrap().as_millisecond();
    let promql = Engine::default();
    let mut source = MemorySeries::default();
    (0..minutes)
        .map(|minute| {
            let now = offset + minute as i64 * 60_000;
            for (name, values) in series {
                let labels = bellwether_promql::parse_metric(name).unwrap();
                let value = match values.get(minute) {
                    Some(&"stale") => stale_nan(),
                    Some(text) => text.parse().unwrap(),
                    None => continue,
                };
                source.push(&labels, now, Value::Float(value));
            }
            let now = Timestamp::from_millisecond(now).unwrap();
            for due in engine.due(now + SignedDuration::from_millis(1)) {
                let outcome = engine
                    .evaluate_group(&due.key, due.slot, &source, &promql)
                    .unwrap();
                assert_eq!(outcome.errors, []);
                for sample in outcome.samples {
                    source.push(&sample.labels, sample.timestamp, sample.value);
                }
            }
            let mut firing: BTreeMap<String, Vec<(Labels, Labels)>> = BTreeMap::new();
            for (_, rule, alert) in engine.status().alerts() {
                if alert.state == AlertState::Firing {
                    let entry = firing.entry(rule.name.clone()).or_default();
                    entry.push((alert.labels.without("alertname"), alert.annotations.clone()));
                }
            }
            firing
        })
        .collect()
}

fn test_file(names: &[&str], series: &[(&str, Vec<&str>)], firing: &Firing) -> String {
    let mut text =
        "rule_files: [r.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n"
            .to_owned();
    for (name, values) in series {
        writeln!(
            text,
            "  - {{series: {}, values: '{}'}}",
            json(name),
            values.join(" ")
        )
        .unwrap();
    }
    text.push_str("  alert_rule_test:\n");
    for (minute, alerts) in firing.iter().enumerate() {
        for name in names {
            writeln!(
                text,
                "  - eval_time: {minute}m\n    alertname: {name}\n    exp_alerts:"
            )
            .unwrap();
            for (labels, annotations) in alerts.get(*name).into_iter().flatten() {
                writeln!(
                    text,
                    "    - {{exp_labels: {}, exp_annotations: {}}}",
                    json_map(labels),
                    json_map(annotations)
                )
                .unwrap();
            }
        }
    }
    text
}

#[test]
fn the_same_alerts_fire_at_the_same_minutes() {
    let rules = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {alert: A, expr: m > 0}\n  - {alert: B, expr: m > 0, for: 2m}\n  - {alert: C, expr: m > 0, for: 1m, keep_firing_for: 2m}\n  - {alert: D, expr: m > 0, keep_firing_for: 3m, labels: {severity: page}}\n  - {record: twice, expr: m * 2}\n  - {alert: E, expr: 'twice > 0 unless on () ALERTS{alertname=\"B\", alertstate=\"firing\"}', for: 1m}\n";
    let minutes = 120;
    let mut state = 12_345_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match (state >> 33) % 8 {
            0 => "stale",
            1..=3 => "0",
            _ => "1",
        }
    };
    let series: Vec<(&str, Vec<&str>)> = ["m{i=\"a\"}", "m{i=\"b\"}"]
        .into_iter()
        .map(|name| (name, (0..minutes).map(|_| draw()).collect()))
        .collect();
    let firing = play(rules, &series, minutes);
    let total: usize = firing.iter().flat_map(BTreeMap::values).map(Vec::len).sum();
    assert!(total > 200, "{total}");
    let tests = test_file(&["A", "B", "C", "D", "E"], &series, &firing);
    let files = [("r.yml", rules), ("t.yml", tests.as_str())];
    if let Some((ok, text)) = promtool(&["test", "rules", "t.yml"], &files) {
        assert!(ok, "{text}");
    }
}

/// Texts whose result must be the same in Go. `$value` runs over the values below.
const TEMPLATES: [&str; 40] = [
    "{{ $value }} {{ .Value }} {{ printf \"%v\" $value }}",
    "{{ humanize $value }} {{ humanize1024 $value }} {{ humanizePercentage $value }}",
    "{{ humanizeDuration $value }}",
    "{{ printf \"%.2f|%8.3f|%-8.1f|%+.1f|%08.2f\" $value $value $value $value $value }}",
    "{{ printf \"%e|%.3e|%g|%.3g|%G\" $value $value $value $value $value }}",
    "{{ printf \"%d %s %t %q %x\" $value $value $value $value 255 }}",
    "{{ printf \"%5d|%-5d|%05d|%x|%X|%o|%b|%c|%U|%q\" 42 42 -42 255 255 8 5 65 8364 65 }}",
    "{{ printf \"%s|%10s|%-10s|%.2s|%q|%x\" $labels.i \"é\" \"ab\" \"abc\" \"a\\\"b\\n\" \"hi\" }}",
    "{{ printf \"%d\" }}|{{ printf \"%d\" 1 2 }}|{{ printf \"%z\" 1 }}|{{ printf \"%\" }}|{{ printf \"100%%\" }}",
    "{{ printf \"%[2]d %[1]d\" 1 2 }}|{{ printf \"%*d\" 5 1 }}|{{ printf \"%v %v\" true nil }}",
    "{{ printf \"%T %T %T %T\" 1 1.5 \"x\" true }}",
    "{{ print 1 2 \"a\" 3 4 }}|{{ println \"a\" 1 }}|{{ print }}",
    "{{ $labels }}|{{ $labels.missing }}|{{ len $labels }}|{{ index $labels \"i\" }}|{{ index $labels \"no\" }}",
    "{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}",
    "{{ if gt $value 1.0 }}high{{ else if eq $value 0.0 }}zero{{ else }}low{{ end }}",
    "{{ if and $value (ne $labels.i \"x\") }}a{{ end }}{{ or \"\" 0 \"b\" }}{{ not true }}",
    "{{ with $labels.missing }}a{{ else }}b{{ end }}{{ with $x := 5 }}{{ $x }}{{ . }}{{ end }}",
    "a  {{- 1 -}}  b {{- /* c */ -}} c {{/* d */}} d",
    "{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" $value }}{{ template \"t\" \"x\" }}",
    "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}",
    "{{ slice \"hello\" 1 3 }}|{{ index \"abc\" 1 }}|{{ len \"é\" }}",
    "{{ eq 1 2 1 }} {{ lt \"a\" \"b\" }} {{ le 2 2 }} {{ ge 1.5 2.5 }} {{ ne 1 1 }}",
    "{{ html \"<a href='x'>&\\\"\" }} {{ js \"it's <b>\\n\" }} {{ urlquery \"a b&c/é\" }}",
    "{{ \"aa bb-cc d's ee_ff\" | title }} {{ \"äB\" | toUpper }} {{ \"ÄB\" | toLower }}",
    "{{ match \"a+\" \"baac\" }} {{ reReplaceAll \"(a+)(b)\" \"$2-${1}\" \"aabxab\" }}",
    "{{ stripPort \"h.x:9100\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"h\" }} {{ stripDomain \"a.b.c:1\" }} {{ stripDomain \"10.0.0.1:1\" }}",
    "{{ graphLink \"up{a=\\\"b\\\"} > 1\" }} {{ tableLink \"x\" }}",
    "{{ 1435065584.128 | humanizeTimestamp }} {{ 0 | humanizeTimestamp }} {{ -1.5 | humanizeTimestamp }}",
    "{{ (1435065584.128 | toTime).Format \"Mon Jan _2 15:04:05.000 MST 2006 Z07:00 PM\" }}",
    "{{ (toTime 1e9).Year }} {{ (toTime 1e9).Month }} {{ (toTime 1e9).Weekday }} {{ (toTime 1e9).Unix }} {{ (toTime 1e9).YearDay }}",
    "{{ parseDuration \"1h2m10ms\" }} {{ parseDuration \"1d\" }}",
    "{{ query \"m\" | len }} {{ with query \"m\" }}{{ . | first | label \"__name__\" }}{{ end }}",
    "{{ range query \"m{i='2'}\" | sortByLabel \"i\" }}{{ .Labels.i }}={{ .Value }} {{ value . }} {{ strvalue . }};{{ end }}",
    "{{ query \"scalar(vector(3))\" | first | value }}",
    "{{ (args 1 \"b\" 2.5).arg1 }} {{ args 1 \"b\" }}",
    "{{ range $i, $e := query \"m{i='1'}\" }}{{ $i }}{{ break }}{{ end }}",
    "{{ `raw \\n` }} {{ \"\\t\\u00e9\\x41\" }} {{ 'a' }} {{ 0x1F }} {{ 1_000 }} {{ 1e3 }} {{ 0b11 }} {{ 017 }} {{ -3 }} {{ .5 }}",
    "{{ $v := humanize $value }}{{ $v | printf \"%-10s|\" }}{{ len $v }}",
    "{{ $externalLabels.none }}{{ $externalURL }}|",
    "{{ 123456789.0 }} {{ 100000.0 }} {{ 1000000.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e21 }} {{ 2.5e-8 }}",
];

const VALUES: [&str; 14] = [
    "0",
    "1",
    "-1",
    "0.25",
    "123456789",
    "1e6",
    "999999",
    "1e-7",
    "1234.5678",
    "-86461",
    "+Inf",
    "-Inf",
    "NaN",
    "0.1",
];

#[test]
fn templates_give_the_same_bytes() {
    let mut rules = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - alert: T\n    expr: m or m\n    annotations:\n".to_owned();
    for (index, template) in TEMPLATES.iter().enumerate() {
        writeln!(rules, "      t{index:02}: {}", json(template)).unwrap();
    }
    let names: Vec<String> = (0..VALUES.len())
        .map(|i| format!("m{{i=\"{i}\"}}"))
        .collect();
    let series: Vec<(&str, Vec<&str>)> = names
        .iter()
        .zip(VALUES)
        .map(|(name, value)| (name.as_str(), vec![value]))
        .collect();
    let firing = play(&rules, &series, 1);
    assert_eq!(firing[0]["T"].len(), VALUES.len());
    for (labels, annotations) in &firing[0]["T"] {
        for label in annotations {
            assert!(
                !label.value.contains("error expanding"),
                "{labels} {label:?}"
            );
        }
    }
    let tests = test_file(&["T"], &series, &firing);
    let files = [("r.yml", rules.as_str()), ("t.yml", tests.as_str())];
    if let Some((ok, text)) = promtool(&["test", "rules", "t.yml"], &files) {
        assert!(ok, "{text}");
    }
}

#[test]
fn promtool_takes_what_we_generate_and_ship() {
    let mut problems = Problems::default();
    let text = "[{name: a, objective: 99.9, errors: 'e{x=\"y\"}', total: t, description: 'it''s {{ bad }}'}, {name: b, objective: 95, latency: {metric: h, below: 250ms}}]";
    let node = bellwether_yaml::parse("c.yml", text, &mut problems).unwrap();
    let slos = slo::read(&node, &mut problems);
    assert_eq!((slos.len(), problems.0.len()), (2, 0), "{problems}");
    for slo in &slos {
        let file = slo.to_rule_file();
        if let Some((ok, text)) = promtool(&["check", "rules", "r.yml"], &[("r.yml", &file)]) {
            assert!(ok, "{text}\n{file}");
        }
    }
    for (name, text) in defaults::FILES {
        // Labels of a group are newer than Debian's promtool.
        let text = text.replace(
            "    labels:\n      severity: context\n    rules:",
            "    rules:",
        );
        if let Some((ok, output)) = promtool(&["check", "rules", "r.yml"], &[("r.yml", &text)]) {
            assert!(ok, "{name}: {output}");
        }
    }
}
