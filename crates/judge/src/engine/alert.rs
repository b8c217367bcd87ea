//! The state machine of one alert.

use std::time::Duration;

use bellwether_model::Labels;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::RESOLVED_RETENTION;
use crate::status::AlertState;

/// An alert that is pending, firing, or resolved not long ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ActiveAlert {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) state: AlertState,
    /// When the condition began to hold.
    pub(crate) active_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fired_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resolved_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_firing_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_sent_at: Option<Timestamp>,
    /// Not a JSON number: those have no infinities.
    #[serde(with = "as_text")]
    pub(crate) value: f64,
}

/// Times of a rule that the state machine needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holds {
    pub(crate) hold: Duration,
    pub(crate) keep_firing_for: Duration,
}

/// Whether `from` lies at least `duration` before `to`.
fn elapsed(from: Timestamp, to: Timestamp, duration: Duration) -> bool {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    to.duration_since(from) >= duration
}

// === impl ActiveAlert ===

impl ActiveAlert {
    /// An alert whose condition holds for the first time.
    pub(crate) fn new(labels: Labels, annotations: Labels, now: Timestamp, value: f64) -> Self {
        Self {
            labels,
            annotations,
            state: AlertState::Pending,
            active_at: now,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
            last_sent_at: None,
            value,
        }
    }

    /// Whether it is pending or firing.
    pub(crate) fn is_active(&self) -> bool {
        self.state != AlertState::Inactive
    }

    /// The condition holds at `now`.
    pub(crate) fn holds(&mut self, now: Timestamp, times: Holds) {
        self.keep_firing_since = None;
        self.settle(now, times);
    }

    /// The condition does not hold at `now`, but what would end a firing alert does not hold either (hysteresis). Returns
    /// whether that keeps it; an alert that does not fire is not kept.
    pub(crate) fn is_held(&mut self, now: Timestamp, times: Holds) -> bool {
        let kept = self.state == AlertState::Firing;
        if kept {
            self.holds(now, times);
        }
        kept
    }

    /// The condition does not hold at `now`. Returns whether the alert may be forgotten.
    pub(crate) fn is_missing(&mut self, now: Timestamp, times: Holds) -> bool {
        if self.state == AlertState::Firing && !times.keep_firing_for.is_zero() {
            let since = *self.keep_firing_since.get_or_insert(now);
            if !elapsed(since, now, times.keep_firing_for) {
                self.settle(now, times);
                return false;
            }
        }
        let retention = SignedDuration::try_from(RESOLVED_RETENTION).expect("15 minutes fit");
        let forget = self.state == AlertState::Pending
            || self
                .resolved_at
                .is_some_and(|at| now.duration_since(at) > retention);
        if self.is_active() {
            self.state = AlertState::Inactive;
            self.resolved_at = Some(now);
        }
        forget
    }

    /// Pending becomes firing when `for` has passed; a raised `for` sends it back.
    fn settle(&mut self, now: Timestamp, times: Holds) {
        let due = elapsed(self.active_at, now, times.hold);
        match self.state {
            AlertState::Pending if due => {
                self.state = AlertState::Firing;
                self.fired_at = Some(now);
            }
            AlertState::Firing if !due => {
                self.state = AlertState::Pending;
                self.fired_at = None;
                self.keep_firing_since = None;
            }
            _ => {}
        }
    }

    /// Whether it must be sent at `now`, and if so notes that it is.
    pub(crate) fn take_for_sending(&mut self, now: Timestamp, resend_delay: Duration) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        let needs = match (self.resolved_at, self.last_sent_at) {
            (_, None) => true,
            (Some(resolved), Some(sent)) if resolved > sent => true,
            (_, Some(sent)) => {
                let delay = SignedDuration::try_from(resend_delay).unwrap_or(SignedDuration::MAX);
                now.duration_since(sent) > delay
            }
        };
        if needs {
            self.last_sent_at = Some(now);
        }
        needs
    }
}

mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands fields over by reference"
    )]
    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
