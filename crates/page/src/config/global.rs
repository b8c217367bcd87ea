//! Alertmanager's `global`.

use std::time::Duration;

use bellwether_model::{Problems, Secret};
use bellwether_yaml::{Node, Reader};

use super::value::{self, Form, Spec, Values};
use super::{HttpConfig, SmtpSettings, http, integrations};

/// Settings that hold unless a receiver says otherwise.
#[derive(Clone, Debug)]
pub struct Global {
    pub resolve_timeout: Duration,
    pub http: HttpConfig,
    pub smtp: SmtpSettings,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            resolve_timeout: Duration::from_mins(5),
            http: HttpConfig::default(),
            smtp: SmtpSettings {
                hello: "localhost".to_owned(),
                require_tls: true,
                ..SmtpSettings::default()
            },
        }
    }
}

pub(super) const GLOBAL: Spec = Spec {
    what: "global section",
    keys: &[
        ("resolve_timeout", Form::Duration),
        ("http_config", Form::Http),
        ("jira_api_url", Form::Url),
        ("smtp_from", Form::Text),
        ("smtp_hello", Form::Text),
        ("smtp_smarthost", Form::HostPort),
        ("smtp_auth_username", Form::Text),
        ("smtp_auth_password", Form::Text),
        ("smtp_auth_password_file", Form::Text),
        ("smtp_auth_secret", Form::Text),
        ("smtp_auth_secret_file", Form::Text),
        ("smtp_auth_identity", Form::Text),
        ("smtp_require_tls", Form::Bool),
        ("smtp_tls_config", Form::Tls),
        ("smtp_force_implicit_tls", Form::Bool),
        ("slack_api_url", Form::SecretUrl),
        ("slack_api_url_file", Form::Text),
        ("slack_app_token", Form::Text),
        ("slack_app_token_file", Form::Text),
        ("slack_app_url", Form::Url),
        ("pagerduty_url", Form::Url),
        ("opsgenie_api_url", Form::Url),
        ("opsgenie_api_key", Form::Text),
        ("opsgenie_api_key_file", Form::Text),
        ("wechat_api_url", Form::Url),
        ("wechat_api_secret", Form::Text),
        ("wechat_api_secret_file", Form::Text),
        ("wechat_api_corp_id", Form::Text),
        ("victorops_api_url", Form::Url),
        ("victorops_api_key", Form::Text),
        ("victorops_api_key_file", Form::Text),
        ("telegram_api_url", Form::Url),
        ("telegram_bot_token", Form::Text),
        ("telegram_bot_token_file", Form::Text),
        ("webex_api_url", Form::Url),
        ("rocketchat_api_url", Form::Url),
        ("rocketchat_token", Form::Text),
        ("rocketchat_token_file", Form::Text),
        ("rocketchat_token_id", Form::Text),
        ("rocketchat_token_id_file", Form::Text),
        ("mattermost_webhook_url", Form::SecretUrl),
        ("mattermost_webhook_url_file", Form::Text),
    ],
    check,
};

fn check(values: &Values<'_>) -> Option<String> {
    const PAIRS: [(&str, &str); 11] = [
        ("slack_app_token", "slack_app_token_file"),
        ("slack_api_url", "slack_api_url_file"),
        ("opsgenie_api_key", "opsgenie_api_key_file"),
        ("victorops_api_key", "victorops_api_key_file"),
        ("telegram_bot_token", "telegram_bot_token_file"),
        ("smtp_auth_password", "smtp_auth_password_file"),
        ("rocketchat_token", "rocketchat_token_file"),
        ("rocketchat_token_id", "rocketchat_token_id_file"),
        ("smtp_auth_secret", "smtp_auth_secret_file"),
        ("wechat_api_secret", "wechat_api_secret_file"),
        ("mattermost_webhook_url", "mattermost_webhook_url_file"),
    ];
    if let Some(message) = PAIRS.iter().find_map(|(a, b)| values.both(a, b)) {
        return Some(message);
    }
    let token = values.has("slack_app_token") || values.has("slack_app_token_file");
    let url = values.has("slack_api_url") || values.has("slack_api_url_file");
    let app_url = match values.text("slack_app_url") {
        "" => integrations::CHAT_POST_MESSAGE,
        url => url,
    };
    (token && url && values.text("slack_api_url") != app_url).then(|| {
        "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must \
         be configured"
            .to_owned()
    })
}

impl Global {
    pub(super) fn from_values(values: &Values<'_>) -> Self {
        let mut quiet = Problems::default();
        let default = Self::default();
        let text = |key| values.text(key).to_owned();
        let switch = |key, unset| values.node(key).map_or(unset, |_| values.is_true(key));
        Self {
            resolve_timeout: values
                .node("resolve_timeout")
                .and_then(|node| Reader::new(&mut quiet).duration(node, "resolve_timeout"))
                .unwrap_or(default.resolve_timeout),
            http: values
                .node("http_config")
                .map(|node| http::read_http(node, &mut Problems::default()))
                .unwrap_or_default(),
            smtp: SmtpSettings {
                smarthost: text("smtp_smarthost"),
                from: text("smtp_from"),
                hello: match values.text("smtp_hello") {
                    "" => default.smtp.hello,
                    hello => hello.to_owned(),
                },
                auth_username: text("smtp_auth_username"),
                auth_password: Secret::new(values.text("smtp_auth_password")),
                auth_password_file: text("smtp_auth_password_file"),
                auth_secret: Secret::new(values.text("smtp_auth_secret")),
                auth_secret_file: text("smtp_auth_secret_file"),
                auth_identity: text("smtp_auth_identity"),
                require_tls: switch("smtp_require_tls", true),
                force_implicit_tls: values
                    .node("smtp_force_implicit_tls")
                    .map(|_| values.is_true("smtp_force_implicit_tls")),
                tls: values
                    .node("smtp_tls_config")
                    .map(|node| http::read_tls(node, &mut Problems::default()))
                    .unwrap_or_default(),
            },
        }
    }
}

/// Reads the section.
pub(super) fn read<'n>(
    node: &'n Node,
    foreign: &[&'static str],
    problems: &mut Problems,
) -> Values<'n> {
    value::read_but(node, &GLOBAL, foreign, problems)
}
