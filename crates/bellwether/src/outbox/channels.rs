//! Messages to people and systems: what the pager recorded becomes what a channel takes.

use bellwether_connect::email::{Email, EmailTarget, SmtpTls};
use bellwether_connect::http::HttpSettings;
use bellwether_connect::ntfy::{Ntfy, NtfyTarget};
use bellwether_connect::webhook::{Webhook, WebhookTarget};
use bellwether_connect::{Action, Attempt, Blame, Channel, Message, Outcome, Priority};
use bellwether_model::Secret;
use bellwether_model::state::{Delivery, Receipt};
use bellwether_page::config::{
    Channel as ServiceKind, HttpConfig, Integration, PageConfig, Person, Settings, SmtpSettings,
};
use bellwether_page::payload::PageKind;
use bellwether_page::{NotificationPayload, PagePayload, Urgency};

use super::services::{personal, receiver};
use super::{MESSAGE_TIMEOUT, Outbox};
use crate::links::AckLink;
use crate::live::Live;

impl Outbox {
    pub(super) async fn message(&self, delivery: &Delivery) -> Outcome {
        let payload = delivery.new.payload.clone();
        // A receiver's notification names its integration; everything else is a page to a person.
        if payload.get("integration").is_some() {
            match serde_json::from_value::<NotificationPayload>(payload) {
                Ok(payload) => self.to_receiver(delivery, &payload).await,
                Err(error) => unreadable(&error),
            }
        } else {
            match serde_json::from_value::<PagePayload>(payload) {
                Ok(payload) => self.to_person(delivery, &payload).await,
                Err(error) => unreadable(&error),
            }
        }
    }

    async fn to_person(&self, delivery: &Delivery, payload: &PagePayload) -> Outcome {
        let message = self.page_message(payload);
        let attempt = self.attempt(delivery, message, payload.case.to_string());
        let config = self
            .app
            .core
            .view(|flow| std::sync::Arc::clone(flow.pager.config()));
        let person = config.oncall.people.get(&payload.person);
        match delivery.new.channel.as_str() {
            "terminal" => self.terminal.deliver(attempt).await,
            "desktop" => self.desktop.deliver(attempt).await,
            "browser" => self.browser(delivery),
            "ntfy" => match person.map(ntfy) {
                Some(Ok(channel)) => channel.deliver(attempt).await,
                Some(Err(error)) => Outcome::failed(error, Blame::Operator),
                None => nobody(&payload.person),
            },
            "email" => match person {
                Some(person) => {
                    self.mail(&config.global.smtp, person.email.as_deref(), attempt)
                        .await
                }
                None => nobody(&payload.person),
            },
            name => {
                let known = ServiceKind::ALL
                    .into_iter()
                    .find(|kind| kind.as_str() == name);
                match (known, person) {
                    (Some(kind), Some(person)) => {
                        let (message, now) = (&attempt.message, self.now());
                        let made = personal(kind, person, &config.oncall, payload, message, now);
                        match made {
                            Ok(channel) => channel.deliver(attempt).await,
                            Err(error) => Outcome::failed(error, Blame::Operator),
                        }
                    }
                    (Some(_), None) => nobody(&payload.person),
                    (None, _) => {
                        Outcome::failed(format!("there is no channel {name:?}"), Blame::Us)
                    }
                }
            }
        }
    }

    fn browser(&self, delivery: &Delivery) -> Outcome {
        let open = self
            .app
            .live
            .send(Live::Page(delivery.new.payload.clone()))
            .unwrap_or(0);
        // Nobody has the pages open: it waits there, which is no proof of anything.
        Outcome::done(
            if open > 0 {
                Receipt::Sent
            } else {
                Receipt::Queued
            },
            "",
        )
    }

    async fn mail(&self, smtp: &SmtpSettings, to: Option<&str>, attempt: Attempt) -> Outcome {
        let Some(to) = to else {
            return Outcome::failed("this person has no e-mail address", Blame::Operator);
        };
        match email(smtp, to) {
            Ok(channel) => channel.deliver(attempt).await,
            Err(error) => Outcome::failed(error, Blame::Operator),
        }
    }

    async fn to_receiver(&self, delivery: &Delivery, payload: &NotificationPayload) -> Outcome {
        let config = self
            .app
            .core
            .view(|flow| std::sync::Arc::clone(flow.pager.config()));
        let Some(integration) = integration_of(&config, payload) else {
            let gone = format!(
                "receiver {:?} has no such integration any more",
                payload.receiver
            );
            return Outcome::failed(gone, Blame::Operator);
        };
        let message = Message {
            title: payload.subject.clone(),
            text: payload.text.clone(),
            body: payload.body.clone(),
            ..Message::default()
        };
        let mut attempt = self.attempt(delivery, message, payload.group_key.clone());
        match &integration.settings {
            Settings::Webhook(settings) => {
                if !settings.timeout.is_zero() {
                    attempt.timeout = settings.timeout;
                }
                let url = match (&settings.url, &settings.url_file) {
                    (Some(url), _) => Ok(url.clone()),
                    (None, Some(file)) => read_secret(file),
                    (None, None) => Err("the webhook has no url".to_owned()),
                };
                let target = url.and_then(|url| {
                    Ok(WebhookTarget {
                        url,
                        http: http_settings(&settings.http)?,
                    })
                });
                match target
                    .and_then(|target| Webhook::new(target).map_err(|error| error.to_string()))
                {
                    Ok(channel) => channel.deliver(attempt).await,
                    Err(error) => Outcome::failed(error, Blame::Operator),
                }
            }
            Settings::Email(settings) => {
                attempt.message.headers = settings
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                self.mail(&settings.smtp, Some(&settings.to), attempt).await
            }
            Settings::Service(settings) => {
                let file = self.app.config().file.clone();
                let base = file.as_deref().and_then(std::path::Path::parent);
                let base = base.unwrap_or(std::path::Path::new("."));
                let templates = (config.templates.as_slice(), base);
                let made = receiver(integration.kind, settings, payload, templates, self.now());
                match made {
                    Ok(made) => {
                        attempt.message = made.message;
                        attempt.thread = made.thread;
                        made.channel.deliver(attempt).await
                    }
                    Err(error) => Outcome::failed(error, Blame::Operator),
                }
            }
            Settings::Page(_) | Settings::NotDelivered => Outcome::failed(
                format!("{} is not delivered yet", integration.kind),
                Blame::Operator,
            ),
        }
    }

    fn attempt(&self, delivery: &Delivery, mut message: Message, thread: String) -> Attempt {
        if delivery.attempt > 1 {
            message.text.push_str("\n\n(This message may be a repeat.)");
        }
        Attempt {
            id: delivery.new.id,
            key: delivery.new.key.clone(),
            attempt: delivery.attempt,
            thread,
            now: self.now(),
            timeout: MESSAGE_TIMEOUT,
            message,
        }
    }

    fn page_message(&self, payload: &PagePayload) -> Message {
        let base = &self.app.external_url;
        let priority = match (payload.kind, payload.urgency) {
            (PageKind::Resolved, _) => Priority::Low,
            (_, Urgency::High) => Priority::High,
            (_, Urgency::Low) => Priority::Normal,
        };
        let actions = if payload.kind == PageKind::Resolved {
            Vec::new()
        } else {
            let link = AckLink {
                case: payload.case,
                person: payload.person.clone(),
                as_of: payload.as_of_step,
            };
            let url = Secret::new(format!("{base}{}", self.app.links.ack_path(&link)));
            vec![Action {
                label: "Acknowledge".to_owned(),
                url,
            }]
        };
        Message {
            title: payload.subject.clone(),
            text: payload.text.clone(),
            priority,
            tags: vec![payload.severity.clone()],
            link: Some(format!("{base}{}", payload.path)),
            actions,
            ..Message::default()
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Outcome {
    Outcome::failed(format!("the delivery cannot be read: {error}"), Blame::Us)
}

fn nobody(person: &str) -> Outcome {
    Outcome::failed(
        format!("{person:?} is not in the configuration any more"),
        Blame::Operator,
    )
}

fn integration_of<'a>(
    config: &'a PageConfig,
    payload: &NotificationPayload,
) -> Option<&'a Integration> {
    let receiver = config.receivers.get(&payload.receiver)?;
    receiver
        .integrations
        .iter()
        .find(|one| one.kind == payload.integration && one.index == payload.index)
}

pub(super) fn read_secret(file: &str) -> Result<Secret, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    Ok(Secret::new(text.trim()))
}

/// A secret that is given, or in a file.
pub(super) fn secret(value: &Secret, file: &str) -> Result<Option<Secret>, String> {
    match (value.is_empty(), file.is_empty()) {
        (false, _) => Ok(Some(value.clone())),
        (true, false) => read_secret(file).map(Some),
        (true, true) => Ok(None),
    }
}

fn ntfy(person: &Person) -> Result<Ntfy, String> {
    let ntfy = person
        .ntfy
        .as_ref()
        .ok_or("this person has no ntfy topic")?;
    let token = ntfy.token.clone().unwrap_or_default();
    let bearer = secret(&token, ntfy.token_file.as_deref().unwrap_or_default())?;
    let target = NtfyTarget {
        server: ntfy.server.clone(),
        topic: Secret::new(ntfy.topic.clone()),
        http: HttpSettings {
            bearer,
            ..HttpSettings::default()
        },
    };
    Ntfy::new(target).map_err(|error| error.to_string())
}

fn email(smtp: &SmtpSettings, to: &str) -> Result<Email, String> {
    if smtp.smarthost.is_empty() {
        return Err("no mail server: set `smtp_smarthost` and `smtp_from` in `global`".to_owned());
    }
    let (host, port) = smtp
        .smarthost
        .rsplit_once(':')
        .unwrap_or((&smtp.smarthost, "25"));
    let port: u16 = port
        .parse()
        .map_err(|_| format!("{port:?} is not a port"))?;
    let tls = match (smtp.force_implicit_tls, smtp.require_tls) {
        (Some(true), _) => SmtpTls::Implicit,
        (None, _) if port == 465 => SmtpTls::Implicit,
        (_, true) => SmtpTls::StartTls,
        (_, false) => SmtpTls::IfOffered,
    };
    let target = EmailTarget {
        host: host.to_owned(),
        port,
        tls,
        insecure: smtp.tls.insecure_skip_verify,
        hello: smtp.hello.clone(),
        user: smtp.auth_username.clone(),
        password: secret(&smtp.auth_password, &smtp.auth_password_file)?.unwrap_or_default(),
        from: smtp.from.clone(),
        to: to.to_owned(),
    };
    Email::new(target).map_err(|error| error.to_string())
}

pub(super) fn http_settings(config: &HttpConfig) -> Result<HttpSettings, String> {
    let read = |file: &str| {
        std::fs::read_to_string(file).map_err(|error| format!("{file} cannot be read: {error}"))
    };
    let mut settings = HttpSettings {
        insecure: config.tls.insecure_skip_verify,
        no_redirects: !config.follow_redirects,
        ..HttpSettings::default()
    };
    if let Some(basic) = &config.basic_auth {
        let user = if basic.username.is_empty() && !basic.username_file.is_empty() {
            read(&basic.username_file)?.trim().to_owned()
        } else {
            basic.username.clone()
        };
        settings.basic = Some((
            user,
            secret(&basic.password, &basic.password_file)?.unwrap_or_default(),
        ));
    }
    if let Some(authorization) = &config.authorization {
        let credentials = secret(&authorization.credentials, &authorization.credentials_file)?
            .unwrap_or_default();
        if authorization.scheme.eq_ignore_ascii_case("bearer") {
            settings.bearer = Some(credentials);
        } else {
            let value = format!("{} {}", authorization.scheme, credentials.expose());
            settings
                .headers
                .push(("Authorization".to_owned(), Secret::new(value)));
        }
    }
    for (name, values) in &config.headers {
        let plain = values.values.iter().map(|value| Secret::new(value.clone()));
        let all = plain.chain(values.secrets.iter().cloned());
        settings
            .headers
            .extend(all.map(|value| (name.clone(), value)));
    }
    if !config.tls.ca.is_empty() {
        settings.ca_pem = Some(config.tls.ca.clone());
    } else if !config.tls.ca_file.is_empty() {
        settings.ca_pem = Some(read(&config.tls.ca_file)?);
    }
    if !config.tls.cert_file.is_empty() && !config.tls.key_file.is_empty() {
        let pem = format!(
            "{}\n{}",
            read(&config.tls.cert_file)?,
            read(&config.tls.key_file)?
        );
        settings.identity_pem = Some(Secret::new(pem));
    }
    Ok(settings)
}
