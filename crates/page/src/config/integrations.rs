//! The keys of Alertmanager's integrations, and what its validation says about them.

use super::value::{Form, Spec, Values, balanced, fine};

/// An integration of a receiver.
pub(super) struct Kind {
    /// Key of the receiver.
    pub(super) key: &'static str,
    /// As in notification logs and metrics.
    pub(super) name: &'static str,
    pub(super) spec: &'static Spec,
    pub(super) send_resolved: bool,
    /// Whether an empty item counts as one without keys.
    pub(super) may_be_null: bool,
}

const fn kind(
    key: &'static str,
    name: &'static str,
    spec: &'static Spec,
    send_resolved: bool,
) -> Kind {
    Kind {
        key,
        name,
        spec,
        send_resolved,
        may_be_null: false,
    }
}

const fn nullable(kind: Kind) -> Kind {
    Kind {
        may_be_null: true,
        ..kind
    }
}

/// All of them, in the order in which Alertmanager builds them.
pub(super) const KINDS: [Kind; 18] = [
    kind("webhook_configs", "webhook", &WEBHOOK, true),
    kind("email_configs", "email", &EMAIL, false),
    kind("pagerduty_configs", "pagerduty", &PAGERDUTY, true),
    nullable(kind("opsgenie_configs", "opsgenie", &OPSGENIE, true)),
    nullable(kind("wechat_configs", "wechat", &WECHAT, false)),
    nullable(kind("slack_configs", "slack", &SLACK, false)),
    kind("victorops_configs", "victorops", &VICTOROPS, true),
    kind("pushover_configs", "pushover", &PUSHOVER, true),
    kind("sns_configs", "sns", &SNS, true),
    kind("telegram_configs", "telegram", &TELEGRAM, true),
    kind("discord_configs", "discord", &DISCORD, true),
    kind("webex_configs", "webex", &WEBEX, true),
    kind("msteams_configs", "msteams", &MSTEAMS, true),
    kind("msteamsv2_configs", "msteamsv2", &MSTEAMSV2, true),
    kind("jira_configs", "jira", &JIRA, true),
    nullable(kind("rocketchat_configs", "rocketchat", &ROCKETCHAT, false)),
    kind("mattermost_configs", "mattermost", &MATTERMOST, true),
    kind("incidentio_configs", "incidentio", &INCIDENTIO, true),
];

const SEND_RESOLVED: (&str, Form) = ("send_resolved", Form::Bool);
const HTTP_CONFIG: (&str, Form) = ("http_config", Form::Http);

pub(super) const WEBHOOK: Spec = Spec {
    what: "webhook config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("url", Form::TemplateUrl),
        ("url_file", Form::Text),
        ("max_alerts", Form::Count),
        ("timeout", Form::GoDuration),
        ("payload", Form::Any),
    ],
    check: |values| {
        values
            .neither("url", "url_file")
            .or_else(|| values.both("url", "url_file"))
    },
};

const THREADING: Spec = Spec {
    what: "threading",
    keys: &[("enabled", Form::Bool), ("thread_by_date", Form::Text)],
    check: |values| {
        (values.is_true("enabled") && !matches!(values.text("thread_by_date"), "none" | "daily"))
            .then(|| "threading.thread_by_date must be either 'none' or 'daily'".to_owned())
    },
};

pub(super) const EMAIL: Spec = Spec {
    what: "email config",
    keys: &[
        SEND_RESOLVED,
        ("to", Form::Text),
        ("from", Form::Text),
        ("hello", Form::Text),
        ("smarthost", Form::HostPort),
        ("auth_username", Form::Text),
        ("auth_password", Form::Text),
        ("auth_password_file", Form::Text),
        ("auth_secret", Form::Text),
        ("auth_secret_file", Form::Text),
        ("auth_identity", Form::Text),
        ("headers", Form::TextMap),
        ("html", Form::Text),
        ("text", Form::Text),
        ("require_tls", Form::Bool),
        ("tls_config", Form::Tls),
        ("force_implicit_tls", Form::Bool),
        ("threading", Form::Map(&THREADING)),
    ],
    check: check_email,
};

/// Go's canonical form of a header name: `content-type` is `Content-Type`.
pub(super) fn canonical_header(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.bytes().all(plain) {
        return name.to_owned();
    }
    let parts: Vec<String> = name
        .split('-')
        .map(|part| {
            let mut chars = part.chars();
            chars.next().map_or_else(String::new, |first| {
                first.to_ascii_uppercase().to_string() + &chars.as_str().to_ascii_lowercase()
            })
        })
        .collect();
    parts.join("-")
}

fn check_email(values: &Values<'_>) -> Option<String> {
    if !values.has("to") {
        return Some("missing to address in email config".to_owned());
    }
    let mut seen: Vec<String> = Vec::new();
    for (name, _) in values
        .node("headers")
        .and_then(bellwether_yaml::Node::as_map)
        .unwrap_or_default()
    {
        let name = canonical_header(name.as_text().unwrap_or_default());
        if seen.contains(&name) {
            return Some(format!("duplicate header {name:?} in email config"));
        }
        seen.push(name);
    }
    let threaded = values
        .node("threading")
        .and_then(|node| node.get("enabled"))
        .is_some_and(|node| {
            matches!(
                node.as_text(),
                Some("true" | "True" | "TRUE" | "yes" | "on")
            )
        });
    ["References", "In-Reply-To"]
        .into_iter()
        .find(|name| threaded && seen.iter().any(|seen| seen == name))
        .map(|name| format!("threading.enabled conflicts with custom {name} header"))
}

const LINK: Spec = Spec {
    what: "link",
    keys: &[("href", Form::Text), ("text", Form::Text)],
    check: fine,
};
const IMAGE: Spec = Spec {
    what: "image",
    keys: &[
        ("src", Form::Text),
        ("alt", Form::Text),
        ("href", Form::Text),
    ],
    check: fine,
};
const PAGERDUTY: Spec = Spec {
    what: "pagerduty config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("service_key", Form::Text),
        ("service_key_file", Form::Text),
        ("routing_key", Form::Text),
        ("routing_key_file", Form::Text),
        ("url", Form::Url),
        ("client", Form::Text),
        ("client_url", Form::Text),
        ("description", Form::Text),
        ("details", Form::AnyMap),
        ("images", Form::List(&IMAGE)),
        ("links", Form::List(&LINK)),
        ("source", Form::Text),
        ("severity", Form::Text),
        ("class", Form::Text),
        ("component", Form::Text),
        ("group", Form::Text),
        ("timeout", Form::GoDuration),
    ],
    check: |values| {
        let keys = [
            "service_key",
            "service_key_file",
            "routing_key",
            "routing_key_file",
        ];
        if !keys.iter().any(|key| values.has(key)) {
            return Some("missing service or routing key in PagerDuty config".to_owned());
        }
        values
            .both("routing_key", "routing_key_file")
            .or_else(|| values.both("service_key", "service_key_file"))
    },
};

const RESPONDER: Spec = Spec {
    what: "responder",
    keys: &[
        ("id", Form::Text),
        ("name", Form::Text),
        ("username", Form::Text),
        ("type", Form::Text),
    ],
    check: |values| {
        if !["id", "username", "name"].iter().any(|key| values.has(key)) {
            return Some("a responder needs at least one of id, username or name".to_owned());
        }
        let text = values.text("type");
        if text.contains("{{") {
            return (!balanced(text))
                .then(|| "responder type contains invalid template syntax".to_owned());
        }
        let known = ["team", "teams", "user", "escalation", "schedule"];
        (!known.contains(&text.to_lowercase().as_str()))
            .then(|| format!("responder type {text:?} is none of {}", known.join(", ")))
    },
};
const OPSGENIE: Spec = Spec {
    what: "opsgenie config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_key", Form::Text),
        ("api_key_file", Form::Text),
        ("api_url", Form::Url),
        ("message", Form::Text),
        ("description", Form::Text),
        ("source", Form::Text),
        ("details", Form::TextMap),
        ("entity", Form::Text),
        ("responders", Form::List(&RESPONDER)),
        ("actions", Form::Text),
        ("tags", Form::Text),
        ("note", Form::Text),
        ("priority", Form::Text),
        ("update_alerts", Form::Bool),
    ],
    check: |values| values.both("api_key", "api_key_file"),
};

const WECHAT: Spec = Spec {
    what: "wechat config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_secret", Form::Text),
        ("api_secret_file", Form::Text),
        ("corp_id", Form::Text),
        ("message", Form::Text),
        ("api_url", Form::Url),
        ("to_user", Form::Text),
        ("to_party", Form::Text),
        ("to_tag", Form::Text),
        ("agent_id", Form::Text),
        ("message_type", Form::Text),
    ],
    check: |values| {
        let text = values.text("message_type");
        if !matches!(text, "" | "text" | "markdown") {
            return Some(format!(
                "message type {text:?} is neither text nor markdown"
            ));
        }
        values.both("api_secret", "api_secret_file")
    },
};

const CONFIRM: Spec = Spec {
    what: "Slack confirmation",
    keys: &[
        ("text", Form::Text),
        ("title", Form::Text),
        ("ok_text", Form::Text),
        ("dismiss_text", Form::Text),
    ],
    check: |values| {
        (!values.has("text")).then(|| "missing text in Slack confirmation configuration".to_owned())
    },
};
const ACTION: Spec = Spec {
    what: "Slack action",
    keys: &[
        ("type", Form::Text),
        ("text", Form::Text),
        ("url", Form::Text),
        ("style", Form::Text),
        ("name", Form::Text),
        ("value", Form::Text),
        ("confirm", Form::Map(&CONFIRM)),
    ],
    check: |values| {
        if !values.has("url") && !values.has("name") {
            return Some("missing name or url in Slack action configuration".to_owned());
        }
        ["type", "text"]
            .iter()
            .find(|key| !values.has(key))
            .map(|key| format!("missing {key} in Slack action configuration"))
    },
};
const FIELD: Spec = Spec {
    what: "field",
    keys: &[
        ("title", Form::Text),
        ("value", Form::Text),
        ("short", Form::Bool),
    ],
    check: |values| {
        ["title", "value"]
            .iter()
            .find(|key| !values.has(key))
            .map(|key| format!("missing {key} in field configuration"))
    },
};
/// Slack's method that takes bot tokens.
pub(super) const CHAT_POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

const SLACK: Spec = Spec {
    what: "slack config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_url", Form::SecretUrl),
        ("api_url_file", Form::Text),
        ("app_token", Form::Text),
        ("app_token_file", Form::Text),
        ("app_url", Form::Url),
        ("channel", Form::Text),
        ("username", Form::Text),
        ("color", Form::Text),
        ("title", Form::Text),
        ("title_link", Form::Text),
        ("pretext", Form::Text),
        ("text", Form::Text),
        ("message_text", Form::Text),
        ("fields", Form::List(&FIELD)),
        ("short_fields", Form::Bool),
        ("footer", Form::Text),
        ("fallback", Form::Text),
        ("callback_id", Form::Text),
        ("icon_emoji", Form::Text),
        ("icon_url", Form::Text),
        ("image_url", Form::Text),
        ("thumb_url", Form::Text),
        ("link_names", Form::Bool),
        ("mrkdwn_in", Form::Texts),
        ("actions", Form::List(&ACTION)),
        ("update_message", Form::Bool),
        ("post_updates_to_thread", Form::Bool),
        ("timeout", Form::GoDuration),
    ],
    check: |values| {
        let url = values.has("api_url") || values.has("api_url_file");
        let token = values.has("app_token") || values.has("app_token_file");
        values
            .both("api_url", "api_url_file")
            .or_else(|| values.both("app_token", "app_token_file"))
            .or_else(|| {
                (url && token).then(|| {
                    "at most one of api_url/api_url_file & app_token/app_token_file must be configured"
                        .to_owned()
                })
            })
            .or_else(|| {
                ["update_message", "post_updates_to_thread"]
                    .iter()
                    .find(|key| values.is_true(key))
                    .filter(|_| values.text("api_url") != CHAT_POST_MESSAGE)
                    .map(|key| {
                        format!(
                            "{key} can only be used with bot tokens. api_url must be set to \
                             {CHAT_POST_MESSAGE}"
                        )
                    })
            })
    },
};

const VICTOROPS: Spec = Spec {
    what: "victorops config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_key", Form::Text),
        ("api_key_file", Form::Text),
        ("api_url", Form::Url),
        ("routing_key", Form::Text),
        ("message_type", Form::Text),
        ("state_message", Form::Text),
        ("entity_display_name", Form::Text),
        ("monitoring_tool", Form::Text),
        ("custom_fields", Form::TextMap),
    ],
    check: |values| {
        const FIXED: [&str; 7] = [
            "routing_key",
            "message_type",
            "state_message",
            "entity_display_name",
            "monitoring_tool",
            "entity_id",
            "entity_state",
        ];
        if !values.has("routing_key") {
            return Some("missing Routing key in VictorOps config".to_owned());
        }
        let custom = values.node("custom_fields");
        values.both("api_key", "api_key_file").or_else(|| {
            FIXED
                .iter()
                .find(|name| custom.is_some_and(|node| node.get(name).is_some()))
                .map(|name| format!("custom field {name} conflicts with the fixed fields"))
        })
    },
};

const PUSHOVER: Spec = Spec {
    what: "pushover config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("user_key", Form::Text),
        ("user_key_file", Form::Text),
        ("token", Form::Text),
        ("token_file", Form::Text),
        ("title", Form::Text),
        ("message", Form::Text),
        ("url", Form::Text),
        ("url_title", Form::Text),
        ("device", Form::Text),
        ("sound", Form::Text),
        ("priority", Form::Text),
        ("retry", Form::GoDuration),
        ("expire", Form::GoDuration),
        ("ttl", Form::GoDuration),
        ("html", Form::Bool),
        ("monospace", Form::Bool),
    ],
    check: |values| {
        values
            .neither("user_key", "user_key_file")
            .or_else(|| values.both("user_key", "user_key_file"))
            .or_else(|| values.neither("token", "token_file"))
            .or_else(|| values.both("token", "token_file"))
            .or_else(|| {
                (values.is_true("html") && values.is_true("monospace"))
                    .then(|| "at most one of monospace & html must be configured".to_owned())
            })
    },
};

const SIGV4: Spec = Spec {
    what: "sigv4",
    keys: &[
        ("region", Form::Text),
        ("access_key", Form::Text),
        ("secret_key", Form::Text),
        ("profile", Form::Text),
        ("role_arn", Form::Text),
        ("external_id", Form::Text),
        ("use_fips_sts_endpoint", Form::Bool),
        ("service_name", Form::Text),
    ],
    check: |values| {
        (values.has("access_key") != values.has("secret_key")).then(|| {
            "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the \
             SigV4 config"
                .to_owned()
        })
    },
};
const SNS: Spec = Spec {
    what: "sns config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_url", Form::Text),
        ("sigv4", Form::Map(&SIGV4)),
        ("topic_arn", Form::Text),
        ("phone_number", Form::Text),
        ("target_arn", Form::Text),
        ("subject", Form::Text),
        ("message", Form::Text),
        ("attributes", Form::TextMap),
        ("use_aws_http_client", Form::Bool),
    ],
    // An odd number of the three must be missing: Alertmanager's own test.
    check: |values| {
        let missing = |key| !values.has(key);
        ((missing("target_arn") != missing("topic_arn")) != missing("phone_number")).then(|| {
            "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config".to_owned()
        })
    },
};

const TELEGRAM: Spec = Spec {
    what: "telegram config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_url", Form::Url),
        ("bot_token", Form::Text),
        ("bot_token_file", Form::Text),
        ("chat_id", Form::Int),
        ("chat_id_file", Form::Text),
        ("message_thread_id", Form::Int),
        ("message", Form::Text),
        ("disable_notifications", Form::Bool),
        ("parse_mode", Form::Text),
        ("timeout", Form::GoDuration),
    ],
    check: |values| {
        let chat = values.has("chat_id") && values.text("chat_id") != "0";
        if !chat && !values.has("chat_id_file") {
            return Some("missing chat_id or chat_id_file on telegram_config".to_owned());
        }
        if chat && values.has("chat_id_file") {
            return Some("at most one of chat_id & chat_id_file must be configured".to_owned());
        }
        if !matches!(
            values.text("parse_mode"),
            "" | "Markdown" | "MarkdownV2" | "HTML"
        ) {
            return Some(
                "unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty \
                 string"
                    .to_owned(),
            );
        }
        values.both("bot_token", "bot_token_file")
    },
};

fn check_webhook_url(values: &Values<'_>) -> Option<String> {
    values
        .neither("webhook_url", "webhook_url_file")
        .or_else(|| values.both("webhook_url", "webhook_url_file"))
}

const DISCORD: Spec = Spec {
    what: "discord config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("webhook_url", Form::SecretUrl),
        ("webhook_url_file", Form::Text),
        ("content", Form::Text),
        ("title", Form::Text),
        ("message", Form::Text),
        ("username", Form::Text),
        ("avatar_url", Form::Text),
    ],
    check: check_webhook_url,
};

const WEBEX: Spec = Spec {
    what: "webex config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_url", Form::Url),
        ("message", Form::Text),
        ("room_id", Form::Text),
    ],
    check: |values| {
        if !values.has("room_id") {
            return Some("missing room_id on webex_config".to_owned());
        }
        has_authorization(values.node("http_config"))
            .then_some(())
            .is_none()
            .then(|| "missing webex_configs.http_config.authorization".to_owned())
    },
};

/// Whether an `http_config` has an `authorization` (a bearer token becomes one).
pub(super) fn has_authorization(http: Option<&bellwether_yaml::Node>) -> bool {
    http.is_some_and(|http| {
        let text = |key| {
            http.get(key)
                .and_then(bellwether_yaml::Node::as_text)
                .unwrap_or_default()
        };
        http.get("authorization")
            .is_some_and(|node| !node.is_null())
            || !text("bearer_token").is_empty()
            || !text("bearer_token_file").is_empty()
    })
}

const MSTEAMS: Spec = Spec {
    what: "msteams config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("webhook_url", Form::SecretUrl),
        ("webhook_url_file", Form::Text),
        ("title", Form::Text),
        ("summary", Form::Text),
        ("text", Form::Text),
    ],
    check: check_webhook_url,
};
const MSTEAMSV2: Spec = Spec {
    what: "msteamsv2 config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("webhook_url", Form::SecretUrl),
        ("webhook_url_file", Form::Text),
        ("title", Form::Text),
        ("text", Form::Text),
    ],
    check: check_webhook_url,
};

const JIRA_FIELD: Spec = Spec {
    what: "jira field",
    keys: &[("template", Form::Text), ("enable_update", Form::Bool)],
    check: fine,
};
const JIRA_LABELS: Spec = Spec {
    what: "jira labels",
    keys: &[("values", Form::Texts), ("enable_update", Form::Bool)],
    check: fine,
};
const JIRA: Spec = Spec {
    what: "jira config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_url", Form::Url),
        ("api_type", Form::Text),
        ("project", Form::Text),
        ("summary", Form::TextOr(&JIRA_FIELD)),
        ("description", Form::TextOr(&JIRA_FIELD)),
        ("labels", Form::TextsOr(&JIRA_LABELS)),
        ("priority", Form::Text),
        ("issue_type", Form::Text),
        ("reopen_transition", Form::Text),
        ("resolve_transition", Form::Text),
        ("wont_fix_resolution", Form::Text),
        ("reopen_duration", Form::Duration),
        ("fields", Form::AnyMap),
    ],
    check: |values| {
        if let Some(key) = ["project", "issue_type"]
            .iter()
            .find(|key| !values.has(key))
        {
            return Some(format!("missing {key} in jira_config"));
        }
        (!matches!(
            values.text("api_type"),
            "" | "auto" | "cloud" | "datacenter"
        ))
        .then(|| "unknown api_type on jira_config, must be auto, cloud or datacenter".to_owned())
    },
};

const ROCKET_ACTION: Spec = Spec {
    what: "rocketchat action",
    keys: &[
        ("type", Form::Text),
        ("text", Form::Text),
        ("url", Form::Text),
        ("imageurl", Form::Text),
        ("iswebview", Form::Bool),
        ("webviewheightratio", Form::Text),
        ("msg", Form::Text),
        ("msginchatwindow", Form::Bool),
        ("msgprocessingtype", Form::Text),
    ],
    check: fine,
};
const ROCKET_FIELD: Spec = Spec {
    what: "rocketchat field",
    keys: &[
        ("short", Form::Bool),
        ("title", Form::Text),
        ("value", Form::Text),
    ],
    check: fine,
};
const ROCKETCHAT: Spec = Spec {
    what: "rocketchat config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("api_url", Form::Url),
        ("token_id", Form::Text),
        ("token_id_file", Form::Text),
        ("token", Form::Text),
        ("token_file", Form::Text),
        ("channel", Form::Text),
        ("color", Form::Text),
        ("title", Form::Text),
        ("title_link", Form::Text),
        ("text", Form::Text),
        ("fields", Form::List(&ROCKET_FIELD)),
        ("short_fields", Form::Bool),
        ("emoji", Form::Text),
        ("icon_url", Form::Text),
        ("image_url", Form::Text),
        ("thumb_url", Form::Text),
        ("link_names", Form::Bool),
        ("actions", Form::List(&ROCKET_ACTION)),
    ],
    check: |values| {
        values
            .both("token", "token_file")
            .or_else(|| values.both("token_id", "token_id_file"))
    },
};

const ATTACHMENT: Spec = Spec {
    what: "mattermost attachment",
    keys: &[
        ("fallback", Form::Text),
        ("color", Form::Text),
        ("pretext", Form::Text),
        ("text", Form::Text),
        ("author_name", Form::Text),
        ("author_link", Form::Text),
        ("author_icon", Form::Text),
        ("title", Form::Text),
        ("title_link", Form::Text),
        ("fields", Form::List(&FIELD)),
        ("thumb_url", Form::Text),
        ("footer", Form::Text),
        ("footer_icon", Form::Text),
        ("image_url", Form::Text),
    ],
    check: fine,
};
const PROPS: Spec = Spec {
    what: "mattermost props",
    keys: &[("card", Form::Text)],
    check: fine,
};
const PRIORITY: Spec = Spec {
    what: "mattermost priority",
    keys: &[
        ("priority", Form::Text),
        ("requested_ack", Form::Bool),
        ("persistent_notifications", Form::Bool),
    ],
    check: fine,
};
const MATTERMOST: Spec = Spec {
    what: "mattermost config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("webhook_url", Form::SecretUrl),
        ("webhook_url_file", Form::Text),
        ("channel", Form::Text),
        ("username", Form::Text),
        ("text", Form::Text),
        ("fallback", Form::Text),
        ("color", Form::Text),
        ("pretext", Form::Text),
        ("author_name", Form::Text),
        ("author_link", Form::Text),
        ("author_icon", Form::Text),
        ("title", Form::Text),
        ("title_link", Form::Text),
        ("fields", Form::List(&FIELD)),
        ("thumb_url", Form::Text),
        ("footer", Form::Text),
        ("footer_icon", Form::Text),
        ("image_url", Form::Text),
        ("icon_url", Form::Text),
        ("icon_emoji", Form::Text),
        ("attachments", Form::List(&ATTACHMENT)),
        ("type", Form::Text),
        ("props", Form::Map(&PROPS)),
        ("priority", Form::Map(&PRIORITY)),
    ],
    check: |values| values.both("webhook_url", "webhook_url_file"),
};

const INCIDENTIO: Spec = Spec {
    what: "incidentio config",
    keys: &[
        SEND_RESOLVED,
        HTTP_CONFIG,
        ("url", Form::Url),
        ("url_file", Form::Text),
        ("alert_source_token", Form::Text),
        ("alert_source_token_file", Form::Text),
        ("max_alerts", Form::Count),
        ("timeout", Form::GoDuration),
    ],
    check: |values| {
        let token = values.has("alert_source_token") || values.has("alert_source_token_file");
        let http = values.node("http_config");
        let authorized = has_authorization(http);
        values
            .neither("url", "url_file")
            .or_else(|| values.both("url", "url_file"))
            .or_else(|| values.both("alert_source_token", "alert_source_token_file"))
            .or_else(|| {
                (authorized && token).then(|| {
                    "cannot specify alert_source_token or alert_source_token_file when using \
                     http_config.authorization"
                        .to_owned()
                })
            })
            .or_else(|| {
                (http.is_some() && !authorized && !token).then(|| {
                    "at least one of alert_source_token, alert_source_token_file or \
                     http_config.authorization must be configured"
                        .to_owned()
                })
            })
    },
};
