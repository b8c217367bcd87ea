use bellwether_page::PageConfig;
use bellwether_page::config::Settings;
use serde_json::{Value, json};

use super::{Build, DEFAULT_TEMPLATES, Rendered, data_of, templates};

fn notification() -> Value {
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"Slow\"}", "status": "firing", "receiver": "team",
        "groupLabels": {"alertname": "Slow"}, "commonLabels": {"alertname": "Slow", "service": "shop"},
        "commonAnnotations": {"summary": "too slow"}, "externalURL": "http://b.example.org",
        "alerts": [{"status": "firing", "labels": {"alertname": "Slow", "service": "shop"}, "annotations": {"summary": "too slow"},
            "startsAt": "2026-03-02T08:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://p/graph", "fingerprint": "a"}],
    })
}

fn body(config: &str, make: impl Fn(&Build<'_>) -> super::Made) -> Value {
    let (config, problems) = PageConfig::parse_alertmanager(
        "am.yml",
        config,
        bellwether_page::matchers::Mode::default(),
    );
    assert!(!problems.has_errors(), "{problems}");
    let config = config.unwrap();
    let Settings::Service(settings) = &config.receivers["team"].integrations[0].settings else {
        panic!("no service: {problems}");
    };
    let rendered = Rendered {
        set: templates(&[], std::path::Path::new(".")).unwrap(),
        data: data_of(&notification()).into(),
        functions: super::Alertmanager {
            now: "2026-03-02T09:00:00Z".parse().unwrap(),
        },
        fields: &settings.fields,
    };
    make(&Build {
        r: &rendered,
        resolved: false,
    })
    .unwrap()
    .1
}

#[test]
fn the_default_templates_are_good() {
    let mut set = super::Set::new();
    set.parse("default", DEFAULT_TEMPLATES).unwrap();
    let functions = super::Alertmanager {
        now: "2026-03-02T09:00:00Z".parse().unwrap(),
    };
    set.check(&functions).unwrap();
}

#[test]
fn slack_as_alertmanager_sends_it() {
    let made = body(
        "global: {slack_api_url: 'http://127.0.0.1:1/hook'}\nroute: {receiver: team}\n\
         receivers: [{name: team, slack_configs: [{channel: '#ops', text: '{{ .CommonAnnotations.summary }}!', fields: [{title: S, value: '{{ .CommonLabels.service }}'}]}]}]\n",
        |build| build.slack(&mut super::HttpSettings::default()),
    );
    let attachment = &made["attachments"][0];
    assert_eq!(attachment["title"], "[FIRING:1] Slow (shop)");
    assert_eq!(
        attachment["title_link"],
        "http://b.example.org/#/alerts?receiver=team"
    );
    assert_eq!(attachment["text"], "too slow!");
    assert_eq!(attachment["color"], "danger");
    assert_eq!(attachment["fields"][0]["value"], "shop");
    assert_eq!(made["username"], "Alertmanager");
}

#[test]
fn pagerduty_and_the_others() {
    let made = body(
        "route: {receiver: team}\nreceivers: [{name: team, pagerduty_configs: [{routing_key: abc, details: {extra: '{{ .Status }}'}}]}]\n",
        |build| build.pagerduty(&notification()),
    );
    assert_eq!(made["event_action"], "trigger");
    assert_eq!(made["payload"]["summary"], "[FIRING:1] Slow (shop)");
    assert_eq!(made["payload"]["severity"], "error");
    assert_eq!(made["payload"]["custom_details"]["num_firing"], "1");
    assert_eq!(made["payload"]["custom_details"]["extra"], "firing");
    let made = body(
        "route: {receiver: team}\nreceivers: [{name: team, telegram_configs: [{bot_token: 'x:y', chat_id: -12}]}]\n",
        |build| {
            let made = build.telegram()?;
            Ok(made)
        },
    );
    assert_eq!(made["parse_mode"], "HTML");
    assert!(made["text"].as_str().unwrap().contains("Alerts Firing:"));
    let made = body(
        "route: {receiver: team}\nreceivers: [{name: team, opsgenie_configs: [{api_key: x, tags: 'a, b'}]}]\n",
        |build| build.opsgenie(&mut super::HttpSettings::default()),
    );
    assert_eq!(
        (&made["message"], &made["tags"]),
        (&json!("[FIRING:1] Slow (shop)"), &json!(["a", "b"]))
    );
}
