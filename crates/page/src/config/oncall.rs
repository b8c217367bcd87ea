//! The `oncall` section.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Channel, DEFAULT_PERSON, DEFAULT_POLICY, OnCall, Person, Policy, Rule, Step, Target};

const MINUTE: Duration = Duration::from_secs(60);

impl Default for OnCall {
    /// The person at the keyboard.
    fn default() -> Self {
        let you = Person {
            id: DEFAULT_PERSON.to_owned(),
            name: "You".to_owned(),
            email: None,
            ntfy: None,
            time_zone: "UTC".to_owned(),
            high: default_high(None, None),
            low: default_low(None),
        };
        Self {
            people: BTreeMap::from([(you.id.clone(), you)]),
            schedules: BTreeMap::new(),
            policies: vec![default_policy(vec![Target::Person(
                DEFAULT_PERSON.to_owned(),
            )])],
            diagnosis_wait: Duration::from_secs(8),
            ack_timeout_high: Some(30 * MINUTE),
            ack_timeout_low: None,
        }
    }
}

pub(super) fn default_policy(first: Vec<Target>) -> Policy {
    let step = |notify| Step {
        notify,
        wait: 5 * MINUTE,
        hold: false,
    };
    Policy {
        name: DEFAULT_POLICY.to_owned(),
        steps: vec![step(first), step(vec![Target::Everyone])],
        repeat: 2,
        fallback: Vec::new(),
    }
}

fn now_on(channel: Channel) -> Rule {
    Rule {
        after: Duration::ZERO,
        channel,
    }
}

/// Terminal, browser and desktop at once; push and mail too when there is an address.
pub(super) fn default_high(email: Option<&str>, ntfy: Option<&super::Ntfy>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = [Channel::Terminal, Channel::Browser, Channel::Desktop]
        .into_iter()
        .map(now_on)
        .collect();
    rules.extend(ntfy.map(|_| now_on(Channel::Ntfy)));
    rules.extend(email.map(|_| now_on(Channel::Email)));
    rules
}

/// The browser, and mail when there is an address: nothing that wakes anybody.
pub(super) fn default_low(email: Option<&str>) -> Vec<Rule> {
    let mut rules = vec![now_on(Channel::Browser)];
    rules.extend(email.map(|_| now_on(Channel::Email)));
    rules
}
