//! Configuration: Alertmanager's sections as they are, `page_configs` receivers, and the `oncall` section.
//!
//! Every fault is a problem with its place and a hint; reading goes on, so that one run shows all of them.

mod global;
pub mod http;
mod integrations;
mod intervals;
mod oncall;
mod receivers;
mod route;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::{Labels, Matcher, Problems, Secret};
use bellwether_yaml::MapReader;
use serde::{Deserialize, Serialize};

pub use global::Global;
pub use http::{HttpConfig, TlsConfig};
pub use route::{RouteNode, RouteTree};

use crate::interval::TimeInterval;
use crate::schedule::Schedule;

/// Everything the pager needs to know. [`Default`] is the zero-configuration: one person at the keyboard.
#[derive(Clone, Debug)]
pub struct PageConfig {
    pub global: Global,
    pub routes: RouteTree,
    /// By name.
    pub receivers: BTreeMap<String, Receiver>,
    pub inhibit_rules: Vec<InhibitRule>,
    /// By name.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// Patterns of template files, as written.
    pub templates: Vec<String>,
    pub oncall: OnCall,
    /// Where this server is reached from outside; goes into payloads. Set by the caller.
    pub external_url: String,
    /// How long ended silences and overrides, and the notification log, are kept (Alertmanager's `--data.retention`);
    /// set by the caller.
    pub retention: Duration,
    /// How labels in matchers are read; set by the caller (Alertmanager's feature flag).
    pub matcher_mode: crate::matchers::Mode,
}

/// A receiver: all its integrations are told.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub name: String,
    /// What clients may filter receivers by.
    pub labels: Labels,
    pub integrations: Vec<Integration>,
}

/// One way a receiver is told.
#[derive(Clone, Debug)]
pub struct Integration {
    /// `webhook`, `email`, `page`, `slack`, ...
    pub kind: &'static str,
    /// Position among those of its kind.
    pub index: usize,
    pub send_resolved: bool,
    pub settings: Settings,
}

/// What an integration needs.
#[derive(Clone, Debug)]
pub enum Settings {
    Webhook(Box<WebhookSettings>),
    Email(Box<EmailSettings>),
    Page(PageSettings),
    /// A service over HTTP.
    Service(Box<ServiceSettings>),
    /// Accepted and validated, but not delivered yet.
    NotDelivered,
}

/// A webhook receiver.
#[derive(Clone, Debug, Default)]
pub struct WebhookSettings {
    pub url: Option<Secret>,
    pub url_file: Option<String>,
    pub http: HttpConfig,
    /// Zero is no limit.
    pub max_alerts: u64,
    /// Zero is no limit of its own.
    pub timeout: Duration,
    /// Alertmanager's custom body, with templates in its texts.
    pub payload: Option<serde_json::Value>,
}

/// An e-mail receiver, with the global defaults filled in.
#[derive(Clone, Debug, Default)]
pub struct EmailSettings {
    pub to: String,
    pub smtp: SmtpSettings,
    /// Canonical names.
    pub headers: BTreeMap<String, String>,
    /// Templates; `None` is Alertmanager's default.
    pub html: Option<String>,
    pub text: String,
    pub threading: bool,
    pub thread_by_date: String,
}

/// How to reach a mail server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SmtpSettings {
    /// `host:port`; empty when none is configured.
    pub smarthost: String,
    pub from: String,
    pub hello: String,
    pub auth_username: String,
    pub auth_password: Secret,
    pub auth_password_file: String,
    pub auth_secret: Secret,
    pub auth_secret_file: String,
    pub auth_identity: String,
    pub require_tls: bool,
    pub force_implicit_tls: Option<bool>,
    pub tls: TlsConfig,
}

/// The keys of an integration with a service, as Alertmanager names them, with what it takes from `global`.
#[derive(Clone, Default)]
pub struct ServiceSettings {
    /// Templates, addresses and secrets, as written.
    pub fields: serde_json::Map<String, serde_json::Value>,
    pub http: HttpConfig,
}

impl std::fmt::Debug for ServiceSettings {
    /// Names of the keys alone: their values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.fields.keys()).finish()
    }
}

/// Reaching people through an escalation policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSettings {
    pub policy: String,
    /// Instead of what the alerts' severity says.
    pub urgency: Option<crate::record::Urgency>,
}

/// Alerts that match the target are muted while an alert that matches the source fires, if `equal` labels agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InhibitRule {
    pub name: String,
    pub source: Vec<Matcher>,
    pub target: Vec<Matcher>,
    pub equal: Vec<String>,
}

/// The `oncall` section.
#[derive(Clone, Debug)]
pub struct OnCall {
    /// By id.
    pub people: BTreeMap<String, Person>,
    /// Sets of days, by name.
    pub holidays: BTreeMap<String, crate::schedule::holiday::Holidays>,
    /// By name.
    pub schedules: BTreeMap<String, Schedule>,
    /// In the order of the file; the first is the default.
    pub policies: Vec<Policy>,
    /// Accounts of services, by channel (`twilio` for SMS and voice).
    pub providers: BTreeMap<String, Provider>,
    /// Channels of the user's own.
    pub custom: BTreeMap<String, CustomChannel>,
    /// How long a case's first page waits for what the diagnosis sees.
    pub diagnosis_wait: Duration,
    /// After so long an acknowledged case that still fires is paged again; `None` is never.
    pub ack_timeout_high: Option<Duration>,
    pub ack_timeout_low: Option<Duration>,
}

/// Somebody who can be paged.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub id: String,
    pub name: String,
    pub email: Option<String>,
    /// `+` and digits, with the country.
    pub phone: Option<String>,
    pub ntfy: Option<Ntfy>,
    /// Addresses of the other channels: an id, a room, a webhook. Some are as good as a password.
    pub contacts: BTreeMap<Channel, Contact>,
    pub time_zone: String,
    pub high: Vec<Rule>,
    pub low: Vec<Rule>,
}

/// A push topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Ntfy {
    /// `https://ntfy.example.org`, without the topic.
    pub server: String,
    pub topic: String,
    pub token: Option<Secret>,
    pub token_file: Option<String>,
}

/// Where a person is reached on a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// User id, chat, room, number or webhook.
    pub to: Secret,
    /// Name in `channels.custom`; empty for the others.
    pub via: String,
}

/// The account through which a service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Empty: the service's own address.
    pub url: String,
    pub account: String,
    /// Number or messaging service that SMS and calls come from.
    pub from: String,
    pub token: Secret,
    pub token_file: String,
}

/// A service that the configuration describes: a request, and how its answer is read. Texts are templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomChannel {
    pub method: String,
    pub url: Secret,
    pub headers: Vec<(String, Secret)>,
    pub body: String,
    /// JSON pointers to the message's id and to the word that says how it stands.
    pub receipt_id: String,
    pub receipt_status: String,
    /// The service's words: `delivered`, `failed`, ... in ours.
    pub receipt_words: BTreeMap<String, String>,
}

/// After this long without an answer, this channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// From the start of the person's turn.
    #[serde(with = "seconds")]
    pub after: Duration,
    pub channel: Channel,
}

/// A way to reach a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Terminal,
    Browser,
    Desktop,
    Ntfy,
    Email,
    Slack,
    Mattermost,
    Msteams,
    Telegram,
    Discord,
    Matrix,
    Pagerduty,
    Opsgenie,
    Pushover,
    Sms,
    Voice,
    /// A channel of the user's own (`channels.custom`).
    Custom,
}

/// Who is told, in which order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub name: String,
    pub steps: Vec<Step>,
    /// How often the steps are gone through again.
    pub repeat: u32,
    /// Who is told when nobody answered; empty is everybody.
    pub fallback: Vec<Target>,
}

/// One step of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub notify: Vec<Target>,
    /// Until the next step.
    #[serde(with = "seconds")]
    pub wait: Duration,
    /// Wait even when there is nobody to notify.
    #[serde(default)]
    pub hold: bool,
}

/// Whom a step notifies; resolved when the step fires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Whoever is on call.
    Schedule(String),
    Person(String),
    Everyone,
}

/// Keys of the root map that [`PageConfig::read`] takes.
pub const SECTIONS: [&str; 10] = [
    "global",
    "route",
    "receivers",
    "inhibit_rules",
    "time_intervals",
    "mute_time_intervals",
    "templates",
    "oncall",
    "tracing",
    "event_recorder",
];

/// Name of the receiver, the policy and the person of the zero-configuration.
pub const DEFAULT_RECEIVER: &str = "people";
/// See [`DEFAULT_RECEIVER`].
pub const DEFAULT_POLICY: &str = "default";
/// See [`DEFAULT_RECEIVER`].
pub const DEFAULT_PERSON: &str = "you";

/// Alertmanager's default of `--data.retention`.
pub const RETENTION: Duration = Duration::from_hours(120);

/// How to read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Keys of `global` that belong to somebody else (Prometheus' `scrape_interval` and so on).
    pub foreign_global_keys: Vec<&'static str>,
    /// Alertmanager's own rules: a route is required, and `oncall` and `page_configs` are unknown.
    pub alertmanager_only: bool,
    pub matcher_mode: crate::matchers::Mode,
}

mod seconds {
    //! Durations as whole milliseconds in stored records.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_millis() as u64)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

// === impl PageConfig ===

impl Default for PageConfig {
    fn default() -> Self {
        Self {
            global: Global::default(),
            routes: RouteTree::to_receiver(DEFAULT_RECEIVER),
            receivers: BTreeMap::from([(
                DEFAULT_RECEIVER.to_owned(),
                Receiver {
                    name: DEFAULT_RECEIVER.to_owned(),
                    labels: Labels::empty(),
                    integrations: vec![Integration {
                        kind: "page",
                        index: 0,
                        send_resolved: true,
                        settings: Settings::Page(PageSettings {
                            policy: DEFAULT_POLICY.to_owned(),
                            urgency: None,
                        }),
                    }],
                },
            )]),
            inhibit_rules: Vec::new(),
            time_intervals: BTreeMap::new(),
            templates: Vec::new(),
            oncall: OnCall::default(),
            external_url: String::new(),
            retention: RETENTION,
            matcher_mode: crate::matchers::Mode::default(),
        }
    }
}

impl PageConfig {
    /// Leaves desktop notifications out of the rules that people have by default: this machine shows none.
    pub fn leave_out_desktop(&mut self) {
        let twilio = self.oncall.providers.contains_key("twilio");
        for person in &mut self.oncall.people.values_mut() {
            let default = oncall::default_high(
                person.email.as_deref(),
                person.ntfy.as_ref(),
                &person.contacts,
                person.phone.is_some() && twilio,
            );
            if person.high == default {
                person.high.retain(|rule| rule.channel != Channel::Desktop);
            }
        }
    }

    /// Reads the sections of [`SECTIONS`] from the root map of a configuration; the caller reads the other keys and
    /// calls `finish`. A section that is absent has its default. Errors are in the map's problems: when there are
    /// any, do not use the result.
    pub fn read(map: &mut MapReader<'_, '_>, options: &ReadOptions) -> Self {
        let mode = options.matcher_mode;
        let mut config = Self {
            matcher_mode: mode,
            ..Self::default()
        };
        let global_node = map.take("global");
        let global_values = global_node
            .map(|node| global::read(node, &options.foreign_global_keys, map.problems()));
        if let Some(values) = &global_values {
            config.global = Global::from_values(values);
        }
        let receivers_node = map.take("receivers");
        let receiver_items = map.list("receivers");
        let defaults = receivers::Defaults {
            global: &config.global,
            values: global_values.as_ref(),
        };
        let receivers = receivers::read(receiver_items, &defaults, options, map.problems());
        if receivers_node.is_some() {
            config.receivers = receivers;
        }
        for (key, what) in [
            ("mute_time_intervals", "mute time interval"),
            ("time_intervals", "time interval"),
        ] {
            let items = map.list(key);
            intervals::read(items, what, &mut config.time_intervals, map.problems());
        }
        let rules = map.list("inhibit_rules");
        config.inhibit_rules = route::read_inhibit_rules(rules, mode, map.problems());
        config.templates = map.texts("templates");
        map.ignore(&["tracing", "event_recorder"]);
        if !options.alertmanager_only
            && let Some(node) = map.take("oncall")
        {
            config.oncall = oncall::read(node, map.problems());
        }
        config.read_route(map, options, receivers_node.is_some());
        config.check_policies(receiver_items, map.problems());
        config
    }

    fn read_route(
        &mut self,
        map: &mut MapReader<'_, '_>,
        options: &ReadOptions,
        has_receivers: bool,
    ) {
        match map.take("route") {
            Some(node) => {
                self.routes = route::read(
                    node,
                    options.matcher_mode,
                    &self.receivers,
                    &self.time_intervals,
                    map.problems(),
                );
            }
            None if options.alertmanager_only => {
                let problem = map.node().error("no route provided in config");
                map.problems().push(problem);
            }
            None => {
                if has_receivers {
                    let default = Self::default().receivers;
                    for (name, receiver) in default {
                        self.receivers.entry(name).or_insert(receiver);
                    }
                    let warning = map
                        .node()
                        .warning("receivers without a route: nothing reaches them");
                    map.problems().push(warning.with_hint("add a route"));
                }
            }
        }
        // Without a policy of that name, the default receiver pages by the first one.
        let first = self
            .oncall
            .policies
            .first()
            .map(|policy| policy.name.clone());
        if let (Some(first), Some(receiver)) = (first, self.receivers.get_mut(DEFAULT_RECEIVER))
            && self.oncall.policy(DEFAULT_POLICY).is_none()
            && !has_receivers
        {
            for integration in &mut receiver.integrations {
                if let Settings::Page(page) = &mut integration.settings {
                    page.policy.clone_from(&first);
                }
            }
        }
    }

    fn check_policies(&self, items: &[bellwether_yaml::Node], problems: &mut Problems) {
        for item in items {
            let pages = item
                .get("page_configs")
                .and_then(bellwether_yaml::Node::as_list);
            for page in pages.unwrap_or_default() {
                let Some(node) = page.get("policy") else {
                    continue;
                };
                let name = node.as_text().unwrap_or_default();
                if name.is_empty() || self.oncall.policy(name).is_some() {
                    continue;
                }
                let names: Vec<&str> = self
                    .oncall
                    .policies
                    .iter()
                    .map(|p| p.name.as_str())
                    .collect();
                problems.push(
                    node.error(format!("undefined escalation policy {name:?}"))
                        .with_hint(format!("there is {}", names.join(", "))),
                );
            }
        }
    }

    /// Reads a file of Alertmanager's, by its rules. `None` when Alertmanager would refuse it.
    pub fn parse_alertmanager(
        file: &str,
        text: &str,
        matcher_mode: crate::matchers::Mode,
    ) -> (Option<Self>, Problems) {
        let mut problems = Problems::default();
        let Some(node) = bellwether_yaml::parse(file, text, &mut problems) else {
            return (None, problems);
        };
        let options = ReadOptions {
            alertmanager_only: true,
            matcher_mode,
            ..ReadOptions::default()
        };
        let mut map = MapReader::new(&node, "config", &mut problems);
        let config = Self::read(&mut map, &options);
        map.finish();
        let config = (!problems.has_errors()).then_some(config);
        (config, problems)
    }

    /// A receiver's integration, as a delivery's payload names it.
    pub fn integration(&self, receiver: &str, kind: &str, index: usize) -> Option<&Integration> {
        self.receivers
            .get(receiver)?
            .integrations
            .iter()
            .find(|integration| integration.kind == kind && integration.index == index)
    }
}

// === impl OnCall ===

impl OnCall {
    /// A policy by name.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }
}

// === impl Channel ===

impl Channel {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Terminal,
        Self::Browser,
        Self::Desktop,
        Self::Ntfy,
        Self::Email,
        Self::Slack,
        Self::Mattermost,
        Self::Msteams,
        Self::Telegram,
        Self::Discord,
        Self::Matrix,
        Self::Pagerduty,
        Self::Opsgenie,
        Self::Pushover,
        Self::Sms,
        Self::Voice,
        Self::Custom,
    ];

    /// Those whose address is a key of the person of the same name.
    pub const BY_CONTACT: [Self; 10] = [
        Self::Slack,
        Self::Mattermost,
        Self::Msteams,
        Self::Telegram,
        Self::Discord,
        Self::Matrix,
        Self::Pagerduty,
        Self::Opsgenie,
        Self::Pushover,
        Self::Custom,
    ];

    /// Name of the account that the channel needs, if it needs one.
    pub fn provider(self) -> Option<&'static str> {
        match self {
            Self::Slack | Self::Mattermost | Self::Telegram | Self::Matrix | Self::Pushover => {
                Some(self.as_str())
            }
            Self::Sms | Self::Voice => Some("twilio"),
            _ => None,
        }
    }

    /// The word, which is also the delivery's channel.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Browser => "browser",
            Self::Desktop => "desktop",
            Self::Ntfy => "ntfy",
            Self::Email => "email",
            Self::Slack => "slack",
            Self::Mattermost => "mattermost",
            Self::Msteams => "msteams",
            Self::Telegram => "telegram",
            Self::Discord => "discord",
            Self::Matrix => "matrix",
            Self::Pagerduty => "pagerduty",
            Self::Opsgenie => "opsgenie",
            Self::Pushover => "pushover",
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Custom => "custom",
        }
    }
}
