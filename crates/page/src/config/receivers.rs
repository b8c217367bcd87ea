//! `receivers`: every integration's keys, what they take from `global`, and our own `page_configs`.

use std::collections::BTreeMap;

use bellwether_model::{Labels, Problems, Secret};
use bellwether_yaml::{MapReader, Node, Reader};

use super::integrations::{self, KINDS, Kind, canonical_header};
use super::value::{self, Form, Spec, Values};
use super::{
    EmailSettings, Global, Integration, PageSettings, ReadOptions, Receiver, ServiceSettings,
    Settings, SmtpSettings, WebhookSettings, http,
};
use crate::record::Urgency;

const PAGE: Spec = Spec {
    what: "page config",
    keys: &[
        ("policy", Form::Text),
        ("urgency", Form::Text),
        ("send_resolved", Form::Bool),
    ],
    check: |values| {
        if !values.has("policy") {
            return Some("this page config has no policy".to_owned());
        }
        (!matches!(values.text("urgency"), "" | "high" | "low")).then(|| {
            format!(
                "urgency {:?} is neither high nor low",
                values.text("urgency")
            )
        })
    },
};

/// What receivers need to know of `global`.
pub(super) struct Defaults<'v, 'n> {
    pub(super) global: &'v Global,
    /// `None` when there is no such section.
    pub(super) values: Option<&'v Values<'n>>,
}

impl Defaults<'_, '_> {
    fn has(&self, key: &str) -> bool {
        self.values.is_some_and(|values| values.has(key))
    }
}

/// Reads the list.
pub(super) fn read(
    items: &[Node],
    defaults: &Defaults<'_, '_>,
    options: &ReadOptions,
    problems: &mut Problems,
) -> BTreeMap<String, Receiver> {
    let mut receivers = BTreeMap::new();
    for item in items {
        let mut map = MapReader::new(item, "receiver", problems);
        let name = map.required_text("name").unwrap_or_default();
        let labels = labels(&mut map);
        let mut integrations = Vec::new();
        for kind in &KINDS {
            let configs = map.list(kind.key);
            for (index, config) in configs.iter().enumerate() {
                integrations.push(integration(kind, index, config, defaults, map.problems()));
            }
            if !configs.is_empty()
                && !matches!(kind.name, "webhook" | "email")
                && !is_service(kind.name)
            {
                let warning = configs[0].warning(format!(
                    "receiver {name:?}: {} is not delivered yet",
                    kind.key
                ));
                map.problems()
                    .push(warning.with_hint("webhook, email, page, slack, mattermost, msteams, telegram, discord, pagerduty, opsgenie and pushover are"));
            }
        }
        if !options.alertmanager_only {
            for (index, config) in map.list("page_configs").iter().enumerate() {
                integrations.push(page(index, config, map.problems()));
            }
        }
        map.finish();
        let receiver = Receiver {
            name: name.clone(),
            labels,
            integrations,
        };
        if receivers.insert(name.clone(), receiver).is_some() {
            problems.push(item.error(format!("notification config name {name:?} is not unique")));
        }
    }
    receivers
}

/// The `labels` of a receiver or a route.
pub(super) fn labels(map: &mut MapReader<'_, '_>) -> Labels {
    match map.take("labels") {
        Some(node) => Labels::new(map.reader().text_map(node, "labels")),
        None => Labels::empty(),
    }
}

fn page(index: usize, config: &Node, problems: &mut Problems) -> Integration {
    let values = value::read(config, &PAGE, problems);
    Integration {
        kind: "page",
        index,
        send_resolved: true,
        settings: Settings::Page(PageSettings {
            policy: values.text("policy").to_owned(),
            urgency: match values.text("urgency") {
                "high" => Some(Urgency::High),
                "low" => Some(Urgency::Low),
                _ => None,
            },
        }),
    }
}

fn integration(
    kind: &Kind,
    index: usize,
    config: &Node,
    defaults: &Defaults<'_, '_>,
    problems: &mut Problems,
) -> Integration {
    let mut quiet = Problems::default();
    let values = if config.is_null() {
        if !kind.may_be_null {
            problems.push(config.error(format!("missing {} config", kind.name)));
        }
        // An empty map breaks rules that Alertmanager does not apply to nothing.
        value::read(config, kind.spec, &mut quiet)
    } else {
        value::read(config, kind.spec, problems)
    };
    if let Some(message) = missing_default(kind.name, &values, defaults) {
        let hint = format!("set it here or in global, for all {} receivers", kind.name);
        problems.push(config.error(message).with_hint(hint));
    }
    let settings = match kind.name {
        "webhook" => Settings::Webhook(Box::new(webhook(&values, defaults))),
        "email" => Settings::Email(Box::new(email(&values, &defaults.global.smtp))),
        name if is_service(name) => {
            Settings::Service(Box::new(service(kind.name, config, &values, defaults)))
        }
        _ => Settings::NotDelivered,
    };
    Integration {
        kind: kind.name,
        index,
        send_resolved: values
            .node("send_resolved")
            .map_or(kind.send_resolved, |_| values.is_true("send_resolved")),
        settings,
    }
}

/// What neither the integration nor `global` has.
fn missing_default(kind: &str, values: &Values<'_>, defaults: &Defaults<'_, '_>) -> Option<String> {
    let any = |own: [&str; 2], global: [&str; 2]| {
        own.iter().any(|key| values.has(key)) || global.iter().any(|key| defaults.has(key))
    };
    let missing = match kind {
        "email" if !any(["smarthost", ""], ["smtp_smarthost", ""]) => {
            "no global SMTP smarthost set"
        }
        "email" if !any(["from", ""], ["smtp_from", ""]) => "no global SMTP from set",
        "slack" => return slack(values, defaults),
        "opsgenie"
            if !any(
                ["api_key", "api_key_file"],
                ["opsgenie_api_key", "opsgenie_api_key_file"],
            ) =>
        {
            "no global OpsGenie API Key set either inline or in a file"
        }
        "wechat"
            if !any(
                ["api_secret", "api_secret_file"],
                ["wechat_api_secret", "wechat_api_secret_file"],
            ) =>
        {
            "no global Wechat Api Secret set either inline or in a file"
        }
        "wechat" if !any(["corp_id", ""], ["wechat_api_corp_id", ""]) => {
            "no global Wechat CorpID set"
        }
        "victorops"
            if !any(
                ["api_key", "api_key_file"],
                ["victorops_api_key", "victorops_api_key_file"],
            ) =>
        {
            "no global VictorOps API Key set"
        }
        "telegram"
            if !any(
                ["bot_token", "bot_token_file"],
                ["telegram_bot_token", "telegram_bot_token_file"],
            ) =>
        {
            "missing bot_token or bot_token_file on telegram_config"
        }
        "jira" if !any(["api_url", ""], ["jira_api_url", ""]) => "no global Jira Cloud URL set",
        "rocketchat"
            if !any(
                ["token_id", "token_id_file"],
                ["rocketchat_token_id", "rocketchat_token_id_file"],
            ) =>
        {
            "no global Rocketchat TokenID set either inline or in a file"
        }
        "rocketchat"
            if !any(
                ["token", "token_file"],
                ["rocketchat_token", "rocketchat_token_file"],
            ) =>
        {
            "no global Rocketchat Token set either inline or in a file"
        }
        "mattermost"
            if !any(
                ["webhook_url", "webhook_url_file"],
                ["mattermost_webhook_url", "mattermost_webhook_url_file"],
            ) =>
        {
            "missing webhook_url or webhook_url_file on mattermost_config"
        }
        _ => return None,
    };
    Some(missing.to_owned())
}

fn slack(values: &Values<'_>, defaults: &Defaults<'_, '_>) -> Option<String> {
    let http = values.node("http_config");
    let authorized = integrations::has_authorization(http);
    let own_token = values.has("app_token") || values.has("app_token_file");
    let takes_token = !own_token && !authorized && !values.has("api_url");
    let token = own_token
        || (takes_token
            && (defaults.has("slack_app_token") || defaults.has("slack_app_token_file")));
    let url = ["api_url", "api_url_file"]
        .iter()
        .any(|key| values.has(key))
        || ["slack_api_url", "slack_api_url_file"]
            .iter()
            .any(|key| defaults.has(key));
    if !url && !token {
        return Some("no Slack API URL nor App token set either inline or in a file".to_owned());
    }
    let authorized = match http {
        Some(_) => authorized,
        None => defaults.global.http.authorization.is_some(),
    };
    (token && authorized)
        .then(|| "http authorization can't be set when using Slack App tokens".to_owned())
}

fn webhook(values: &Values<'_>, defaults: &Defaults<'_, '_>) -> WebhookSettings {
    let text = |key: &str| Some(values.text(key).to_owned()).filter(|text| !text.is_empty());
    WebhookSettings {
        url: text("url").map(Secret::new),
        url_file: text("url_file"),
        http: match values.node("http_config") {
            Some(node) => http::read_http(node, &mut Problems::default()),
            None => defaults.global.http.clone(),
        },
        max_alerts: values.text("max_alerts").parse().unwrap_or(0),
        timeout: value::go_duration(values.text("timeout")).unwrap_or_default(),
        payload: values.node("payload").map(Node::to_json),
    }
}

/// Services that are delivered.
fn is_service(name: &str) -> bool {
    matches!(
        name,
        "pagerduty"
            | "opsgenie"
            | "slack"
            | "pushover"
            | "telegram"
            | "discord"
            | "msteams"
            | "msteamsv2"
            | "mattermost"
    )
}

/// Keys of an integration that `global` has under another name.
const FROM_GLOBAL: [(&str, &str); 14] = [
    ("api_url", "slack_api_url"),
    ("api_url_file", "slack_api_url_file"),
    ("app_token", "slack_app_token"),
    ("app_token_file", "slack_app_token_file"),
    ("app_url", "slack_app_url"),
    ("url", "pagerduty_url"),
    ("api_url", "opsgenie_api_url"),
    ("api_key", "opsgenie_api_key"),
    ("api_key_file", "opsgenie_api_key_file"),
    ("api_url", "telegram_api_url"),
    ("bot_token", "telegram_bot_token"),
    ("bot_token_file", "telegram_bot_token_file"),
    ("webhook_url", "mattermost_webhook_url"),
    ("webhook_url_file", "mattermost_webhook_url_file"),
];

fn service(
    what: &str,
    config: &Node,
    values: &Values<'_>,
    defaults: &Defaults<'_, '_>,
) -> ServiceSettings {
    let mut fields = match config.to_json() {
        serde_json::Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    for (own, global) in FROM_GLOBAL {
        let prefix = global.split('_').next().unwrap_or_default();
        // A secret in a file and one written down exclude each other: what is here wins over both of `global`.
        let base = own.trim_end_matches("_file");
        let has_own = values.has(base) || values.has(&format!("{base}_file"));
        if prefix == what
            && !has_own
            && let Some(text) = defaults.values.map(|values| values.text(global))
            && !text.is_empty()
        {
            fields.insert(own.to_owned(), text.into());
        }
    }
    ServiceSettings {
        fields,
        http: match values.node("http_config") {
            Some(node) => http::read_http(node, &mut Problems::default()),
            None => defaults.global.http.clone(),
        },
    }
}

fn email(values: &Values<'_>, global: &SmtpSettings) -> EmailSettings {
    let mut quiet = Problems::default();
    let or = |key: &str, global: &str| match values.text(key) {
        "" => global.to_owned(),
        text => text.to_owned(),
    };
    let own_password = values.has("auth_password") || values.has("auth_password_file");
    let own_secret = values.has("auth_secret") || values.has("auth_secret_file");
    let pick = |own: bool, key: &str, global: &str| {
        if own {
            values.text(key).to_owned()
        } else {
            global.to_owned()
        }
    };
    let smtp = SmtpSettings {
        smarthost: or("smarthost", &global.smarthost),
        from: or("from", &global.from),
        hello: or("hello", &global.hello),
        auth_username: or("auth_username", &global.auth_username),
        auth_password: Secret::new(pick(
            own_password,
            "auth_password",
            global.auth_password.expose(),
        )),
        auth_password_file: pick(
            own_password,
            "auth_password_file",
            &global.auth_password_file,
        ),
        auth_secret: Secret::new(pick(own_secret, "auth_secret", global.auth_secret.expose())),
        auth_secret_file: pick(own_secret, "auth_secret_file", &global.auth_secret_file),
        auth_identity: or("auth_identity", &global.auth_identity),
        require_tls: values
            .node("require_tls")
            .map_or(global.require_tls, |_| values.is_true("require_tls")),
        force_implicit_tls: values
            .node("force_implicit_tls")
            .map(|_| values.is_true("force_implicit_tls"))
            .or(global.force_implicit_tls),
        tls: match values.node("tls_config") {
            Some(node) => http::read_tls(node, &mut quiet),
            None => global.tls.clone(),
        },
    };
    let threading = values.node("threading");
    let in_threading = |key: &str| {
        threading
            .and_then(|node| node.get(key))
            .and_then(Node::as_text)
            .unwrap_or_default()
    };
    EmailSettings {
        to: values.text("to").to_owned(),
        smtp,
        headers: values
            .node("headers")
            .map(|node| Reader::new(&mut quiet).text_map(node, "headers"))
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (canonical_header(&name), value))
            .collect(),
        html: values.node("html").map(|_| values.text("html").to_owned()),
        text: values.text("text").to_owned(),
        threading: matches!(
            in_threading("enabled"),
            "true" | "True" | "TRUE" | "yes" | "on"
        ),
        thread_by_date: in_threading("thread_by_date").to_owned(),
    }
}
