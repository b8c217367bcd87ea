use bellwether_model::Problems;
use proptest::prelude::*;

use crate::rules::{GroupConfig, RuleFile, RuleKind};

fn read(text: &str) -> (Vec<GroupConfig>, String) {
    let mut problems = Problems::default();
    let groups = RuleFile::read("r.yml", text, &mut problems);
    (groups, problems.to_string())
}

fn rule_names(groups: &[GroupConfig]) -> Vec<String> {
    groups
        .iter()
        .flat_map(|group| &group.rules)
        .map(|rule| rule.name.clone())
        .collect()
}

#[test]
fn every_key_is_read() {
    let (groups, problems) = read(
        "\
groups:
  - name: g
    interval: 30s
    query_offset: 10s
    limit: 5
    labels: {team: db, kept: group}
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
        labels: {kept: rule}
      - alert: Down
        expr: |
          up
            == 0
        for: 5m
        keep_firing_for: 10m
        labels: {severity: page}
        annotations: {summary: '{{ $labels.job }}', runbook: own}
        owner: ana
        runbook: other
",
    );
    assert_eq!(problems, "");
    let group = &groups[0];
    assert_eq!(
        (group.interval, group.query_offset),
        (
            Some(std::time::Duration::from_secs(30)),
            Some(std::time::Duration::from_secs(10))
        )
    );
    assert_eq!((group.limit, group.line), (5, 2));
    let [record, alert] = &group.rules[..] else {
        panic!()
    };
    assert_eq!((record.kind, record.line), (RuleKind::Recording, 8));
    assert_eq!(
        record.label_texts().to_string(),
        r#"{kept="rule", team="db"}"#
    );
    assert_eq!(
        (
            alert.kind,
            alert.hold.as_secs(),
            alert.keep_firing_for.as_secs()
        ),
        (RuleKind::Alerting, 300, 600)
    );
    assert_eq!(alert.expr_text, "up\n  == 0");
    assert_eq!(
        alert.annotation_texts().to_string(),
        r#"{owner="ana", runbook="own", summary="{{ $labels.job }}"}"#
    );
}

#[test]
fn every_fault_is_reported_and_good_rules_stay() {
    let (groups, problems) = read(
        "\
groups:
  - name: a
    rules:
      - alert: BadExpr
        expr: sum(rate(x[5m])
      - alert: BadTemplate
        expr: up == 0
        annotations:
          summary: 'x {{ $lables.job }}'
      - alert: Good
        expr: up == 0
      - record: bad{name}
        expr: up
      - alert: BadFor
        expr: up
        for: 5 minutes
      - record: r
        alert: r
        expr: up
      - expr: up
      - alert: NoExpr
      - record: x
        expr: x[5m]
      - alert: BadKey
        expr: up
        annotation: {a: b}
      - record: y
        expr: up
        for: 1m
        labels: {__name__: z}
      - alert: BadBlock
        expr: |
          up == 0
            and sum(
          nosuch(up))
      - alert: BadFunction
        expr: up
        labels: {a: '{{ toJson . }}'}
      - alert: Soon
        expr: up == 0
        resolve_expr: up
      - alert: Gone
        expr: up
        absent_by: ['not a name']
  - name: a
    rules: []
  - name: b
    interval: 0s
    rules:
      - {record: good, expr: 1}
  - rules: []
",
    );
    assert_eq!(rule_names(&groups), ["Good", "good"]);
    assert_eq!(
        problems,
        "\
error: r.yml:5:30: expr: unclosed left parenthesis
  hint: count the parentheses
error: r.yml:9:26: annotation summary: undefined variable \"$lables\"
  hint: rules have $labels, $value, $externalLabels and $externalURL
error: r.yml:12:17: braces in the name of a recorded series: \"bad{name}\"
  hint: set labels with `labels:`; selectors belong into expr
error: r.yml:16:14: for: not a valid duration string: \"5 minutes\"
  hint: write it as 30s, 5m or 1h30m
error: r.yml:18:16: a rule has either record or alert, this one has both
  hint: make two rules of it
error: r.yml:20:9: this rule has neither record nor alert
  hint: `alert: Name` makes it an alert, `record: name` a series
error: r.yml:21:9: alert \"NoExpr\" has no expr
error: r.yml:23:15: a rule needs an instant vector or a scalar, this expression gives range vector
  hint: a range like `[5m]` belongs into a function such as rate()
error: r.yml:26:9: unknown key \"annotation\" in this rule
  hint: did you mean \"annotations\"?
error: r.yml:29:14: for has no meaning in a recording rule
error: r.yml:30:18: label __name__ cannot be set by a rule
  hint: the name of a recorded series is `record`
error: r.yml:35:11: expr: unknown function with name \"nosuch\"
  hint: the name is misspelt, or experimental and not switched on
error: r.yml:38:25: label a: function \"toJson\" not defined
  hint: Prometheus' functions are known here, Alertmanager's are not
error: r.yml:41:23: resolve_expr is not a comparison
  hint: write when the alert is over, as in `my_ratio < 0.01`
error: r.yml:44:20: absent_by: \"not a name\" is not a label name
  hint: write `absent_by: [instance]`: these labels tell apart what can be gone
error: r.yml:45:5: group \"a\" is repeated in the same file (first on line 2)
  hint: give it another name, or put its rules into the first one
error: r.yml:47:5: interval of this rule group is 0
  hint: leave it out to use the global evaluation_interval
error: r.yml:51:5: this rule group has no name
"
    );
}

#[test]
fn a_value_in_a_label_is_warned_of() {
    let rule = |more: &str| {
        format!(
            "groups:\n- name: g\n  rules:\n  - {{alert: A, expr: up, labels: {{v: '{{{{ $value }}}}'}}{more}}}\n"
        )
    };
    let (groups, problems) = read(&rule(", for: 5m"));
    assert_eq!(rule_names(&groups), ["A"]);
    assert!(
        problems.starts_with("warning: r.yml:4:5: label v contains the value"),
        "{problems}"
    );
    assert_eq!(read(&rule("")).1, "");
}

#[test]
fn no_text_is_too_strange() {
    for text in [
        "",
        "groups:",
        "groups: 5",
        "- a",
        "groups: [5, {name: [1]}, {name: x, rules: {a: b}}]",
        "groups: [{name: x, rules: [5, null, [], {alert: {}, expr: 1}, {alert: a, expr: []}, {alert: a, expr: 1, labels: 5, for: {}}]}]",
    ] {
        read(text);
    }
}

const WORDS: [&str; 24] = [
    "groups",
    "name",
    "rules",
    "alert",
    "record",
    "expr",
    "for",
    "labels",
    "annotations",
    "5m",
    "up == 0",
    "{{ $value }}",
    "{{ if }}",
    "sum(",
    "|",
    ">",
    "'",
    "\"",
    "- ",
    ": ",
    "\n  ",
    "\n      ",
    "[",
    "limit",
];

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        read(&text);
        read(&format!("groups:\n- name: g\n  rules:\n  - alert: {text}\n    expr: {text}\n"));
        read(&format!("groups:\n- name: g\n  rules:\n  - alert: a\n    expr: |\n      {text}\n    annotations:\n      a: >-\n        {text}\n"));
    }

    #[test]
    fn no_mix_of_words_panics(picks in prop::collection::vec(0..WORDS.len(), 0..30)) {
        let text: String = picks.iter().map(|i| WORDS[*i]).collect();
        read(&text);
        read(&format!("groups:\n- name: g\n  rules:\n  - alert: a\n    expr: 1\n    {text}"));
    }
}
