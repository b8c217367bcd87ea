//! Services over HTTP: a person's channels, and Alertmanager's integrations with their templates.

use bellwether_connect::http::HttpSettings;
use bellwether_connect::services::{ReceiptMap, Service, ServiceChannel, TemplateCall, Twilio};
use bellwether_connect::{Message, Priority};
use bellwether_model::state::Receipt;
use bellwether_model::{Labels, Secret};
use bellwether_page::config::{Channel, CustomChannel, OnCall, Person, Provider, ServiceSettings};
use bellwether_page::{NotificationPayload, PagePayload, Urgency};
use bellwether_template::alertmanager::{Alert, Alertmanager, Data};
use bellwether_template::{Set, Value as Template};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::channels::{http_settings, read_secret, secret};
use crate::http::auth::hex;

/// Alertmanager's own templates, by the names that configurations use.
const DEFAULT_TEMPLATES: &str = include_str!("default.tmpl");
/// Bytes of a template file that are read.
const TEMPLATE_MAX: u64 = 1 << 20;

// === people ===

/// A person's channel that is a service.
pub(super) fn personal(
    channel: Channel,
    person: &Person,
    oncall: &OnCall,
    payload: &PagePayload,
    message: &Message,
    now: Timestamp,
) -> Result<ServiceChannel, String> {
    let none = Provider::default();
    let provider = channel
        .provider()
        .and_then(|name| oncall.providers.get(name));
    if channel.provider().is_some() && provider.is_none() {
        return Err(format!(
            "{} has no account: set oncall.channels",
            channel.as_str()
        ));
    }
    let provider = provider
        .or_else(|| oncall.providers.get(channel.as_str()))
        .unwrap_or(&none);
    let token = secret(&provider.token, &provider.token_file)?;
    let url = |default: &str| match provider.url.as_str() {
        "" => default.to_owned(),
        own => own.to_owned(),
    };
    let contact = person.contacts.get(&channel);
    let to = contact
        .map(|contact| contact.to.clone())
        .unwrap_or_default();
    let mut http = HttpSettings::default();
    let twilio = |http: &mut HttpSettings| {
        http.basic = Some((provider.account.clone(), token.clone().unwrap_or_default()));
        Twilio {
            url: url("https://api.twilio.com"),
            account: provider.account.clone(),
            from: provider.from.clone(),
            to: person.phone.clone().unwrap_or_default(),
            status_callback: None,
        }
    };
    let service = match channel {
        Channel::Slack => {
            http.bearer.clone_from(&token);
            Service::Slack {
                url: Secret::new(url("https://slack.com/api/chat.postMessage")),
                channel: to.expose().to_owned(),
            }
        }
        Channel::Mattermost => Service::Mattermost {
            url: Secret::new(url("")),
            channel: to.expose().to_owned(),
        },
        Channel::Msteams => Service::MsTeams { url: to },
        Channel::Discord => Service::Discord { url: to },
        Channel::Telegram => Service::Telegram {
            url: url("https://api.telegram.org"),
            token: token.unwrap_or_default(),
            chat: to.expose().to_owned(),
            thread: None,
        },
        Channel::Matrix => {
            http.bearer = token;
            Service::Matrix {
                url: url(""),
                room: to.expose().to_owned(),
            }
        }
        Channel::Pagerduty => Service::PagerDuty {
            url: url("https://events.pagerduty.com/v2/enqueue"),
            routing_key: to,
        },
        Channel::Opsgenie => {
            http.headers = vec![genie(&to)];
            Service::Opsgenie {
                url: url("https://api.opsgenie.com"),
            }
        }
        Channel::Pushover => Service::Pushover {
            url: url("https://api.pushover.net/1/messages.json"),
            token: token.unwrap_or_default(),
            user: to,
        },
        Channel::Sms => Service::TwilioSms(twilio(&mut http)),
        Channel::Voice => Service::TwilioVoice(twilio(&mut http)),
        Channel::Custom => {
            let via = contact
                .map(|contact| contact.via.as_str())
                .unwrap_or_default();
            let custom = oncall
                .custom
                .get(via)
                .ok_or(format!("there is no channel {via:?}"))?;
            let words = words_of(payload, message, to.expose());
            Service::Template(Box::new(call(custom, &words, now)?))
        }
        Channel::Terminal
        | Channel::Browser
        | Channel::Desktop
        | Channel::Ntfy
        | Channel::Email => {
            return Err(format!("{} is no service", channel.as_str()));
        }
    };
    ServiceChannel::new(service, http).map_err(|error| error.to_string())
}

fn genie(key: &Secret) -> (String, Secret) {
    let value = format!("GenieKey {}", key.expose());
    ("Authorization".to_owned(), Secret::new(value))
}

/// What the texts of a custom channel can use: `{{ .Title }}`, `{{ .Text | toJson }}`.
fn words_of(payload: &PagePayload, message: &Message, to: &str) -> Template {
    let acknowledge = message
        .actions
        .first()
        .map_or("", |action| action.url.expose());
    let urgency = match payload.urgency {
        Urgency::High => "high",
        Urgency::Low => "low",
    };
    let kind = match payload.kind {
        bellwether_page::payload::PageKind::Page => "page",
        bellwether_page::payload::PageKind::Fallback => "fallback",
        bellwether_page::payload::PageKind::Resolved => "resolved",
    };
    let case = payload.case.to_string();
    Template::string_map([
        ("Title", message.title.as_str()),
        ("Text", message.text.as_str()),
        ("Link", message.link.as_deref().unwrap_or_default()),
        ("Acknowledge", acknowledge),
        ("To", to),
        ("Person", payload.person.as_str()),
        ("Name", payload.person_name.as_str()),
        ("Code", payload.code.as_str()),
        ("Case", case.as_str()),
        ("Urgency", urgency),
        ("Severity", payload.severity.as_str()),
        ("Kind", kind),
    ])
}

fn call(custom: &CustomChannel, words: &Template, now: Timestamp) -> Result<TemplateCall, String> {
    let set = Set::new();
    let functions = Alertmanager { now };
    let render = |text: &str| {
        set.render_text(text, words, &functions)
            .map_err(|error| format!("template: {error}"))
    };
    let headers = custom
        .headers
        .iter()
        .map(|(name, value)| Ok((name.clone(), render(value.expose())?)))
        .collect::<Result<Vec<_>, String>>()?;
    let words = custom
        .receipt_words
        .iter()
        .map(|(theirs, ours)| (theirs.clone(), receipt(ours)))
        .collect();
    Ok(TemplateCall {
        method: custom.method.clone(),
        url: Secret::new(render(custom.url.expose())?),
        headers,
        body: render(&custom.body)?,
        receipts: ReceiptMap {
            id: custom.receipt_id.clone(),
            status: custom.receipt_status.clone(),
            words,
        },
    })
}

fn receipt(word: &str) -> Receipt {
    match word {
        "queued" => Receipt::Queued,
        "accepted" => Receipt::Accepted,
        "sent" => Receipt::Sent,
        "delivered" => Receipt::Delivered,
        "read" => Receipt::Read,
        "answered" => Receipt::Answered,
        "failed_temporarily" => Receipt::FailedTemporarily,
        "failed" => Receipt::FailedPermanently,
        _ => Receipt::Unknown,
    }
}

// === receivers ===

/// A receiver's service, and the message with the body that its templates give.
pub(super) struct ToReceiver {
    pub(super) channel: ServiceChannel,
    pub(super) message: Message,
    /// What the service knows the group by, in every notification.
    pub(super) thread: String,
}

struct Rendered<'a> {
    set: Set,
    data: Template,
    functions: Alertmanager,
    fields: &'a serde_json::Map<String, Value>,
}

/// Alertmanager's notification as its templates see it.
fn data_of(body: &Value) -> Data {
    let labels =
        |value: &Value| -> Labels { serde_json::from_value(value.clone()).unwrap_or_default() };
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let alerts = body["alerts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|alert| {
            let status = text(alert, "status");
            let ends_at = text(alert, "endsAt").parse().ok();
            Alert {
                ends_at: ends_at.filter(|_| status == "resolved"),
                status,
                labels: labels(&alert["labels"]),
                annotations: labels(&alert["annotations"]),
                starts_at: text(alert, "startsAt").parse().unwrap_or_default(),
                generator_url: text(alert, "generatorURL"),
                fingerprint: text(alert, "fingerprint"),
            }
        });
    Data {
        receiver: text(body, "receiver"),
        status: text(body, "status"),
        alerts: alerts.collect(),
        group_labels: labels(&body["groupLabels"]),
        common_labels: labels(&body["commonLabels"]),
        common_annotations: labels(&body["commonAnnotations"]),
        external_url: text(body, "externalURL"),
    }
}

impl Rendered<'_> {
    fn text(&self, key: &str, default: &str) -> Result<String, String> {
        let text = match self.fields.get(key) {
            None | Some(Value::Null) => default.to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        self.render(&text)
            .map_err(|error| format!("{key}: {error}"))
    }

    fn render(&self, text: &str) -> Result<String, String> {
        self.set
            .render_text(text, &self.data, &self.functions)
            .map_err(|error| error.to_string())
    }

    /// Every text of a value.
    fn deep(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.render(text)?),
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.deep(item))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(key, value)| Ok((key.clone(), self.deep(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }

    /// A secret that is written down, or in the file that `KEY_file` names.
    fn secret(&self, key: &str) -> Result<Option<Secret>, String> {
        let plain = |key: &str| {
            self.fields
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        if !plain(key).is_empty() {
            return Ok(Some(Secret::new(self.render(plain(key))?)));
        }
        match plain(&format!("{key}_file")) {
            "" => Ok(None),
            file => read_secret(file).map(Some),
        }
    }

    fn required(&self, key: &str) -> Result<Secret, String> {
        self.secret(key)?.ok_or(format!("{key} is empty"))
    }

    /// Sets what is not empty.
    fn fill(&self, body: &mut Value, keys: &[(&str, &str)]) -> Result<(), String> {
        for (key, default) in keys {
            let text = self.text(key, default)?;
            if !text.is_empty() {
                body[*key] = json!(text);
            }
        }
        Ok(())
    }

    fn copy(&self, body: &mut Value, keys: &[&str]) -> Result<(), String> {
        for key in keys {
            if let Some(value) = self.fields.get(*key) {
                body[*key] = self.deep(value)?;
            }
        }
        Ok(())
    }
}

/// Default and user templates in one set. A file that cannot be read or parsed fails the notification: silence about
/// it would be worse.
fn templates(patterns: &[String], base: &std::path::Path) -> Result<Set, String> {
    let mut set = Set::new();
    set.parse("default.tmpl", DEFAULT_TEMPLATES)
        .map_err(|error| format!("default templates: {error}"))?;
    for pattern in patterns {
        for file in crate::config::find_files(base, pattern)? {
            let name = file.display().to_string();
            let size = std::fs::metadata(&file).map_or(0, |about| about.len());
            if size > TEMPLATE_MAX {
                return Err(format!("{name} is larger than {TEMPLATE_MAX} bytes"));
            }
            let text =
                std::fs::read_to_string(&file).map_err(|error| format!("{name}: {error}"))?;
            set.parse(&name, &text).map_err(|error| error.to_string())?;
        }
    }
    Ok(set)
}

/// Makes the channel and the body for a receiver's integration.
pub(super) fn receiver(
    kind: &str,
    settings: &ServiceSettings,
    payload: &NotificationPayload,
    (patterns, base): (&[String], &std::path::Path),
    now: Timestamp,
) -> Result<ToReceiver, String> {
    let data = data_of(&payload.body);
    let resolved = data.status == "resolved";
    let rendered = Rendered {
        set: templates(patterns, base)?,
        data: data.into(),
        functions: Alertmanager { now },
        fields: &settings.fields,
    };
    let mut http = http_settings(&settings.http)?;
    let mut message = Message {
        title: payload.subject.clone(),
        text: payload.text.clone(),
        priority: if resolved {
            Priority::Low
        } else {
            Priority::High
        },
        ..Message::default()
    };
    let one = Build {
        r: &rendered,
        resolved,
    };
    let (service, body) = match kind {
        "slack" => one.slack(&mut http)?,
        "mattermost" => one.mattermost()?,
        "msteams" => one.teams_v1()?,
        "msteamsv2" => one.teams_v2()?,
        "telegram" => one.telegram()?,
        "discord" => one.discord()?,
        "pagerduty" => one.pagerduty(&payload.body)?,
        "opsgenie" => one.opsgenie(&mut http)?,
        "pushover" => one.pushover(&mut message)?,
        other => return Err(format!("{other} is not delivered yet")),
    };
    message.body = body;
    let channel = ServiceChannel::new(service, http).map_err(|error| error.to_string())?;
    let thread = hex(&Sha256::digest(payload.group_key.as_bytes()));
    Ok(ToReceiver {
        channel,
        message,
        thread,
    })
}

struct Build<'a> {
    r: &'a Rendered<'a>,
    resolved: bool,
}

type Made = Result<(Service, Value), String>;

impl Build<'_> {
    fn slack(&self, http: &mut HttpSettings) -> Made {
        let r = self.r;
        let (url, token) = match (r.secret("api_url")?, r.secret("app_token")?) {
            (_, Some(token)) => {
                let url = r.text("app_url", "https://slack.com/api/chat.postMessage")?;
                (Secret::new(url), Some(token))
            }
            (Some(url), None) => (url, None),
            (None, None) => return Err("neither api_url nor app_token".to_owned()),
        };
        if token.is_some() {
            http.bearer = token;
        }
        let mut attachment = json!({"mrkdwn_in": ["fallback", "pretext", "text"]});
        let color = r#"{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}"#;
        r.fill(
            &mut attachment,
            &[
                ("title", r#"{{ template "slack.default.title" . }}"#),
                (
                    "title_link",
                    r#"{{ template "slack.default.titlelink" . }}"#,
                ),
                ("pretext", r#"{{ template "slack.default.pretext" . }}"#),
                ("text", r#"{{ template "slack.default.text" . }}"#),
                ("fallback", r#"{{ template "slack.default.fallback" . }}"#),
                (
                    "callback_id",
                    r#"{{ template "slack.default.callbackid" . }}"#,
                ),
                ("footer", r#"{{ template "slack.default.footer" . }}"#),
                ("image_url", ""),
                ("thumb_url", ""),
                ("color", color),
            ],
        )?;
        r.copy(&mut attachment, &["fields", "actions", "mrkdwn_in"])?;
        let mut body = json!({"attachments": [attachment]});
        r.fill(
            &mut body,
            &[
                ("username", r#"{{ template "slack.default.username" . }}"#),
                (
                    "icon_emoji",
                    r#"{{ template "slack.default.iconemoji" . }}"#,
                ),
                ("icon_url", r#"{{ template "slack.default.iconurl" . }}"#),
                ("message_text", ""),
            ],
        )?;
        if let Some(text) = body
            .as_object_mut()
            .and_then(|body| body.remove("message_text"))
        {
            body["text"] = text;
        }
        r.copy(&mut body, &["link_names"])?;
        let channel = r.text("channel", "")?;
        Ok((Service::Slack { url, channel }, body))
    }

    fn mattermost(&self) -> Made {
        let r = self.r;
        let mut body = json!({});
        r.fill(
            &mut body,
            &[
                ("text", r#"{{ template "mattermost.default.text" . }}"#),
                (
                    "username",
                    r#"{{ template "mattermost.default.username" . }}"#,
                ),
                ("icon_url", ""),
                ("icon_emoji", ""),
            ],
        )?;
        r.copy(&mut body, &["attachments", "props", "priority"])?;
        let channel = r.text("channel", "")?;
        let url = r.required("webhook_url")?;
        Ok((Service::Mattermost { url, channel }, body))
    }

    fn teams_v1(&self) -> Made {
        let r = self.r;
        let title = r.text("title", r#"{{ template "msteams.default.title" . }}"#)?;
        let text = r.text("text", r#"{{ template "msteams.default.text" . }}"#)?;
        let summary = r.text("summary", r#"{{ template "msteams.default.summary" . }}"#)?;
        let body = json!({
            "@context": "http://schema.org/extensions", "type": "MessageCard", "title": title, "summary": summary,
            "text": text, "themeColor": if self.resolved { "2DC72D" } else { "8C1A1A" },
        });
        Ok((
            Service::MsTeams {
                url: r.required("webhook_url")?,
            },
            body,
        ))
    }

    fn teams_v2(&self) -> Made {
        let r = self.r;
        let title = r.text("title", r#"{{ template "msteamsv2.default.title" . }}"#)?;
        let text = r.text("text", r#"{{ template "msteamsv2.default.text" . }}"#)?;
        let color = if self.resolved { "Good" } else { "Attention" };
        let content = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
            "body": [
                {"type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium", "wrap": true,
                    "style": "heading", "color": color},
                {"type": "TextBlock", "text": text, "wrap": true},
            ],
            "msteams": {"width": "full"},
        });
        let body = json!({"type": "message", "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": content}]});
        Ok((
            Service::MsTeams {
                url: r.required("webhook_url")?,
            },
            body,
        ))
    }

    fn telegram(&self) -> Made {
        let r = self.r;
        let mode = r.text("parse_mode", "HTML")?;
        let text = r.text("message", r#"{{ template "telegram.default.message" . }}"#)?;
        // Telegram takes 4,096 characters.
        let text: String = text.chars().take(4096).collect();
        let mut body = json!({
            "text": text, "disable_web_page_preview": true,
            "disable_notification": r.fields.get("disable_notifications").and_then(Value::as_bool).unwrap_or(false),
        });
        if !mode.is_empty() {
            body["parse_mode"] = json!(mode);
        }
        let service = Service::Telegram {
            url: r.text("api_url", "https://api.telegram.org")?,
            token: r.required("bot_token")?,
            chat: match r.secret("chat_id")? {
                Some(chat) => chat.expose().trim().to_owned(),
                None => r.text("chat_id", "")?,
            },
            thread: r
                .text("message_thread_id", "")?
                .parse()
                .ok()
                .filter(|id| *id != 0),
        };
        Ok((service, body))
    }

    fn discord(&self) -> Made {
        let r = self.r;
        let cut = |text: String, max: usize| text.chars().take(max).collect::<String>();
        let title = cut(
            r.text("title", r#"{{ template "discord.default.title" . }}"#)?,
            256,
        );
        let text = cut(
            r.text("message", r#"{{ template "discord.default.message" . }}"#)?,
            4096,
        );
        let color = if self.resolved { 3_066_993 } else { 10_038_562 };
        let mut body = json!({"embeds": [{"title": title, "description": text, "color": color}]});
        r.fill(
            &mut body,
            &[
                ("content", r#"{{ template "discord.default.content" . }}"#),
                ("username", ""),
                ("avatar_url", ""),
            ],
        )?;
        Ok((
            Service::Discord {
                url: r.required("webhook_url")?,
            },
            body,
        ))
    }

    fn pagerduty(&self, notification: &Value) -> Made {
        let r = self.r;
        let Some(routing_key) = r.secret("routing_key")? else {
            return Err("service_key (Events API v1) is not delivered: use routing_key".to_owned());
        };
        let description = r.text(
            "description",
            r#"{{ template "pagerduty.default.description" . }}"#,
        )?;
        let summary: String = description.chars().take(1024).collect();
        let client = r.text("client", r#"{{ template "pagerduty.default.client" . }}"#)?;
        let mut payload = json!({"summary": summary, "severity": r.text("severity", "error")?});
        payload["source"] = json!(match r.text("source", "")? {
            source if source.is_empty() => client.clone(),
            source => source,
        });
        r.fill(
            &mut payload,
            &[("class", ""), ("component", ""), ("group", "")],
        )?;
        let count = |status: &str| {
            let alerts = notification["alerts"].as_array().into_iter().flatten();
            alerts
                .filter(|alert| alert["status"] == status)
                .count()
                .to_string()
        };
        let mut details = json!({
            "firing": r.render(r#"{{ template "pagerduty.default.instances" .Alerts.Firing }}"#)?,
            "resolved": r.render(r#"{{ template "pagerduty.default.instances" .Alerts.Resolved }}"#)?,
            "num_firing": count("firing"),
            "num_resolved": count("resolved"),
        });
        if let Some(own) = r.fields.get("details").and_then(Value::as_object) {
            for (key, value) in own {
                details[key] = r.deep(value)?;
            }
        }
        payload["custom_details"] = details;
        let mut body = json!({
            "event_action": if self.resolved { "resolve" } else { "trigger" },
            "payload": payload, "client": client,
            "client_url": r.text("client_url", r#"{{ template "pagerduty.default.clientURL" . }}"#)?,
        });
        r.copy(&mut body, &["images", "links"])?;
        let url = r.text("url", "https://events.pagerduty.com/v2/enqueue")?;
        Ok((Service::PagerDuty { url, routing_key }, body))
    }

    fn opsgenie(&self, http: &mut HttpSettings) -> Made {
        let r = self.r;
        http.headers.push(genie(&r.required("api_key")?));
        let base = r.text("api_url", "https://api.opsgenie.com/")?;
        let message: String = r
            .text("message", r#"{{ template "opsgenie.default.message" . }}"#)?
            .chars()
            .take(130)
            .collect();
        let mut body = json!({"message": message, "close": self.resolved});
        r.fill(
            &mut body,
            &[
                (
                    "description",
                    r#"{{ template "opsgenie.default.description" . }}"#,
                ),
                ("source", r#"{{ template "opsgenie.default.source" . }}"#),
                ("note", ""),
                ("priority", ""),
                ("entity", ""),
            ],
        )?;
        r.copy(&mut body, &["details", "responders"])?;
        for key in ["tags", "actions"] {
            let list: Vec<String> = r
                .text(key, "")?
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect();
            if !list.is_empty() {
                body[key] = json!(list);
            }
        }
        if !self.resolved
            && let Some(body) = body.as_object_mut()
        {
            body.remove("close");
        }
        Ok((Service::Opsgenie { url: base }, body))
    }

    fn pushover(&self, message: &mut Message) -> Made {
        let r = self.r;
        message.title = r.text("title", r#"{{ template "pushover.default.title" . }}"#)?;
        message.text = r.text("message", r#"{{ template "pushover.default.message" . }}"#)?;
        message.link = Some(r.text("url", r#"{{ template "pushover.default.url" . }}"#)?)
            .filter(|url| !url.is_empty());
        let default = r#"{{ if eq .Status "firing" }}2{{ else }}0{{ end }}"#;
        message.priority = match r.text("priority", default)?.as_str() {
            "2" => Priority::High,
            "-1" | "-2" => Priority::Low,
            _ => Priority::Normal,
        };
        let service = Service::Pushover {
            url: "https://api.pushover.net/1/messages.json".to_owned(),
            token: r.required("token")?,
            user: r.required("user_key")?,
        };
        Ok((service, Value::Null))
    }
}

#[cfg(test)]
mod tests;
