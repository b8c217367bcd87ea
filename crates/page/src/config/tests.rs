use std::collections::BTreeMap;
use std::path::Path;

use bellwether_model::{Labels, Problems};
use bellwether_yaml::{MapReader, parse};

use super::{Channel, PageConfig, ReadOptions, Settings};
use crate::matchers::Mode;
use crate::schedule::{Cover, Turn};

fn ours(text: &str) -> (PageConfig, String) {
    let mut problems = Problems::default();
    let Some(node) = parse("b.yml", text, &mut problems) else {
        return (PageConfig::default(), problems.to_string());
    };
    let mut map = MapReader::new(&node, "config", &mut problems);
    let options = ReadOptions {
        foreign_global_keys: vec!["scrape_interval"],
        ..ReadOptions::default()
    };
    let config = PageConfig::read(&mut map, &options);
    map.finish();
    (config, problems.to_string())
}

fn alertmanager(text: &str) -> Result<PageConfig, String> {
    let (config, problems) = PageConfig::parse_alertmanager("a.yml", text, Mode::Fallback);
    config.ok_or_else(|| problems.to_string())
}

/// What Alertmanager's own tests expect, by file name.
fn is_good(name: &str) -> bool {
    if name.ends_with("old-team.yml") {
        return false;
    }
    !["-both-", "-no-", "nil-"]
        .iter()
        .any(|word| name.contains(word))
}

#[test]
fn the_corpus_is_taken_and_refused_as_alertmanager_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/alertmanager");
    let Ok(files) = std::fs::read_dir(&folder) else {
        assert!(
            bellwether_env::vars::CI.get().is_none(),
            "the corpus is missing"
        );
        println!("skipped: {} is missing", folder.display());
        return;
    };
    let mut seen = 0;
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("conf.") {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let (config, problems) = PageConfig::parse_alertmanager(&name, &text, Mode::Fallback);
        assert_eq!(config.is_some(), is_good(&name), "{name}:\n{problems}");
    }
    assert!(seen >= 20, "only {seen} files");
}

#[test]
fn refusals_of_alertmanager() {
    const RECEIVERS: &str = "receivers: [{name: a}]\n";
    for (text, wanted) in [
        ("", "no route provided"),
        (
            "route: {receiver: b}\nreceivers: [{name: a}]",
            "undefined receiver \"b\"",
        ),
        (
            "route: {receiver: a, continue: true}\nreceivers: [{name: a}]",
            "continue in root",
        ),
        ("route: {}\nreceivers: [{name: a}]", "default receiver"),
        (
            "route: {receiver: a, match: {x: y}}\nreceivers: [{name: a}]",
            "any matchers",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a}, {name: a}]",
            "not unique",
        ),
        (
            "route: {receiver: a, group_by: [x, '...']}\nreceivers: [{name: a}]",
            "wildcard",
        ),
        (
            "route: {receiver: a, group_by: [x, x]}\nreceivers: [{name: a}]",
            "duplicated label",
        ),
        (
            "route: {receiver: a, group_by: x}\nreceivers: [{name: a}]",
            "must be a list",
        ),
        (
            "route: {receiver: a, group_interval: 0s}\nreceivers: [{name: a}]",
            "cannot be zero",
        ),
        (
            "route: {receiver: a, repeat_interval: 0s}\nreceivers: [{name: a}]",
            "cannot be zero",
        ),
        (
            "route: {receiver: a, routes: [{match_re: {x: }}]}\nreceivers: [{name: a}]",
            "invalid regexp",
        ),
        (
            "route: {receiver: a, routes: [{match: {0x: y}}]}\nreceivers: [{name: a}]",
            "invalid label name",
        ),
        (
            "route: {receiver: a, routes: [{matchers: ['x=~\"(\"']}]}\nreceivers: [{name: a}]",
            "invalid regular",
        ),
        (
            "route: {receiver: a, routes: [{mute_time_intervals: [x]}]}\nreceivers: [{name: a}]",
            "undefined time interval",
        ),
        (
            "route: {receiver: a, mute_time_intervals: [x]}\nreceivers: [{name: a}]",
            "root route",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{}]}]",
            "one of url or url_file",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [null]}]",
            "missing webhook config",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: 'ftp://x'}]}]",
            "unsupported scheme",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: 'http://'}]}]",
            "missing host",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, email_configs: [{to: x}]}]",
            "smarthost",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, nagios_configs: []}]",
            "unknown key",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, page_configs: []}]",
            "unknown key",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, jira_configs: [{project: p, issue_type: t}]}]",
            "Jira",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, sns_configs: [{topic_arn: t, target_arn: u}]}]",
            "SNS",
        ),
        (
            "route: {receiver: a}\ninhibit_rules: [{equal: ['']}]\nreceivers: [{name: a}]",
            "in equal list",
        ),
        (
            "global: {http_config: {bearer_token: x, basic_auth: {username: y}}}\nroute: {receiver: a}\nreceivers: [{name: a}]",
            "at most one of basic_auth",
        ),
        (
            "global: {smtp_smarthost: nowhere}\nroute: {receiver: a}\nreceivers: [{name: a}]",
            "missing port",
        ),
        (
            "time_intervals: [{name: n, time_intervals: [{times: [{start_time: '10:00', end_time: '09:00'}]}]}]\nroute: {receiver: a}\nreceivers: [{name: a}]",
            "start time",
        ),
        (
            "time_intervals: [{name: n, time_intervals: [{days_of_month: ['-1:5']}]}]\nroute: {receiver: a}\nreceivers: [{name: a}]",
            "must be negative",
        ),
        (
            "time_intervals: [{name: n, time_intervals: [{location: Nowhere}]}]\nroute: {receiver: a}\nreceivers: [{name: a}]",
            "unknown time zone",
        ),
        (
            "time_intervals: [{name: n}, {name: n}]\nroute: {receiver: a}\nreceivers: [{name: a}]",
            "not unique",
        ),
    ] {
        let refused = alertmanager(text).expect_err(text);
        assert!(refused.contains(wanted), "{text}\n{refused}");
    }
    assert!(alertmanager(&format!("route: {{receiver: a}}\n{RECEIVERS}")).is_ok());
}

#[test]
fn a_full_alertmanager_file_is_taken() {
    let config = alertmanager(
        r#"
global:
  resolve_timeout: 2m
  smtp_smarthost: 'localhost:25'
  smtp_from: am@example.org
  http_config: {authorization: {credentials: s3cret}}
templates: ['/etc/am/*.tmpl']
route:
  receiver: mail
  group_by: [alertname, cluster]
  routes:
    - receiver: hook
      matchers: ['severity="page"', '{team=~"a|b", env!="dev"}']
      group_by: ['...']
      continue: true
    - match: {service: db}
      match_re: {owner: 'team-.*'}
      mute_time_intervals: [nights]
      group_by: []
receivers:
  - name: mail
    email_configs:
      - {to: a@example.org, require_tls: false, headers: {subject: x}}
  - name: hook
    webhook_configs:
      - url: http://127.0.0.1:9/{{ .GroupLabels.alertname }}
        send_resolved: false
        max_alerts: 5
        timeout: 1m30s
    telegram_configs: [{chat_id: -1, bot_token: t}]
inhibit_rules:
  - source_match: {severity: page}
    target_match_re: {severity: 'warn.*'}
    equal: [cluster, "ünicode"]
time_intervals:
  - name: nights
    time_intervals:
      - times: [{start_time: '22:00', end_time: '24:00'}]
        weekdays: ['monday:friday', sunday]
        days_of_month: [1, '-3:-1']
        months: ['january:march', 12]
        years: ['2025:2030']
        location: Europe/Berlin
"#,
    )
    .unwrap();
    let keys: Vec<&str> = config
        .routes
        .nodes
        .iter()
        .map(|node| node.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "{}",
            r#"{}/{env!="dev",severity="page",team=~"a|b"}"#,
            r#"{}/{owner=~"team-.*",service="db"}"#
        ]
    );
    let route = &config.routes.nodes[2];
    assert!(
        route.group_by.is_empty() && !route.group_by_all,
        "an empty list overrides"
    );
    let labels = |pairs: &[(&str, &str)]| Labels::new(pairs.iter().copied());
    let both = labels(&[
        ("severity", "page"),
        ("team", "a"),
        ("service", "db"),
        ("owner", "team-x"),
    ]);
    assert_eq!(config.routes.matching(&both), [1, 2]);
    assert_eq!(config.routes.matching(&labels(&[("x", "y")])), [0]);
    let Settings::Email(email) = &config.receivers["mail"].integrations[0].settings else {
        panic!("not mail");
    };
    assert_eq!(email.smtp.smarthost, "localhost:25");
    assert!(!email.smtp.require_tls && !config.receivers["mail"].integrations[0].send_resolved);
    assert_eq!(
        email.headers,
        BTreeMap::from([("Subject".to_owned(), "x".to_owned())])
    );
    let Settings::Webhook(hook) = &config.receivers["hook"].integrations[0].settings else {
        panic!("not a webhook");
    };
    assert_eq!((hook.max_alerts, hook.timeout.as_secs()), (5, 90));
    assert!(hook.http.authorization.is_some(), "taken from global");
}

#[test]
fn our_sections_are_read_and_faults_named() {
    let (config, problems) = ours(
        r#"
global: {scrape_interval: 15s, resolve_timeout: 3m}
route:
  receiver: ops
receivers:
  - name: ops
    page_configs: [{policy: main}]
    slack_configs: [{api_url: 'https://hooks.example.org/x'}]
oncall:
  people:
    ana: {name: Ana, email: ana@example.org, ntfy: 'https://ntfy.example.org/ana', timezone: Europe/Berlin}
    bo:
      rules:
        high: [terminal, {after: 2m, channel: browser}]
  schedules:
    primary:
      timezone: Europe/Berlin
      layers:
        - {name: week, members: [ana, [ana, bo], []], start: 2026-01-05 09:00, turn: 7d}
        - name: hours
          priority: 2
          members: [bo]
          start: 2026-01-05T00:00
          turn: 12h
          restrictions: [{weekdays: [mon:fri], from: "09:00", to: "17:00"}]
  policies:
    - name: main
      steps:
        - {notify: ["schedule:primary"], wait: 3m}
        - {notify: ["person:bo", everyone]}
      repeat: 1
"#,
    );
    assert_eq!(problems, "");
    assert_eq!(config.oncall.people["ana"].high.len(), 5);
    assert_eq!(config.oncall.people["bo"].high[1].after.as_secs(), 120);
    let layers = &config.oncall.schedules["primary"].layers;
    assert_eq!(
        (layers[0].cover.clone(), layers[1].cover.clone()),
        (
            Cover::Turns(Turn::Weeks(1)),
            Cover::Turns(Turn::Seconds(43_200))
        )
    );
    assert_eq!(layers[1].restrictions[0].weekdays, 0b1_1111);
    assert_eq!(config.oncall.policies[0].steps[1].notify.len(), 2);

    let (_, problems) = ours(
        r#"
receivers: [{name: people, page_configs: [{policy: nope}]}]
route: {receiver: people}
oncall:
  people: {ana: {emial: x, rules: {high: [pigeon, email]}}}
  schedules: {s: {timezone: Mars, layers: [{members: [bob], start: soon, turn: 5}]}}
  policies: {p: {steps: [{notify: [ana, "person:anna", "schedule:t"]}], repeat: 1000}}
"#,
    );
    insta::assert_snapshot!(problems);
}

#[test]
fn without_a_config_the_person_at_the_keyboard_is_on_call() {
    let (config, problems) = ours("");
    assert_eq!(problems, "");
    assert_eq!(config.oncall.people.keys().collect::<Vec<_>>(), ["you"]);
    assert_eq!(config.routes.nodes[0].receiver, "people");
    assert!(config.oncall.policy("default").is_some());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[ \\na-z:\\-\\[\\]{}\"'0-9./]{0,300}") {
        let _ignored = ours(&format!("oncall:\n  people: {text}"));
        let _ignored = alertmanager(&format!("route: {text}\nreceivers: {text}"));
    }
}

#[test]
fn without_a_desktop_only_those_who_ask_for_it_are_told_there() {
    let (mut config, problems) =
        ours("oncall: {people: {ana: {}, bo: {rules: {high: [desktop, terminal]}}}}");
    assert_eq!(problems, "");
    config.leave_out_desktop();
    let channels = |person: &str| -> Vec<Channel> {
        let rules = &config.oncall.people[person].high;
        rules.iter().map(|rule| rule.channel).collect()
    };
    assert_eq!(channels("ana"), [Channel::Terminal, Channel::Browser]);
    assert_eq!(channels("bo"), [Channel::Desktop, Channel::Terminal]);
}
