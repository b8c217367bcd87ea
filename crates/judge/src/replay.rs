//! The alert state machine over runs.
//!
//! Over history it is known when a condition holds: in runs of ticks. Between the edges of runs an alert changes its
//! state at times that can be computed (`for` has passed, `keep_firing_for` has), so the cost is that of transitions, not
//! of ticks. The steps themselves are those of the live engine: this only leaves out the ticks at which they do nothing.

use std::time::Duration;

use bellwether_model::Labels;
use bellwether_template::prometheus::QueryResult;
use jiff::Timestamp;

use crate::engine::EngineSettings;
use crate::engine::alert::{ActiveAlert, Holds};
use crate::engine::schedule;
use crate::rules::{GroupConfig, RuleConfig};
use crate::status::AlertState;
use crate::text::Context;

/// Times at which a rule is evaluated, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// `len` slots from `first`.
    Even {
        first: i64,
        interval: i64,
        len: usize,
    },
    /// Any times, ascending: slots without those at which the rule failed.
    Listed(Vec<i64>),
}

/// What a tick says of one alert's condition. What is not said is `Missing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The expression gives the alert.
    Holds,
    /// It does not, but `resolve_expr` does not end the alert either.
    Held,
}

/// Consecutive ticks that say the same; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first: usize,
    pub last: usize,
    pub condition: Condition,
}

/// One life of an alert. Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Episode {
    /// Pending since.
    pub active_at: i64,
    /// Firing since; `None`: it never fired.
    pub fired_at: Option<i64>,
    /// Neither pending nor firing since; `None`: it still was at the last tick.
    pub ended_at: Option<i64>,
}

/// Labels of a rule's alerts, for samples of history.
#[derive(Clone, Copy, Debug)]
pub struct AlertLabels<'a> {
    rule: &'a RuleConfig,
    settings: &'a EngineSettings,
}

// === impl Ticks ===

impl Ticks {
    /// Number of ticks.
    pub fn len(&self) -> usize {
        match self {
            Self::Even { len, .. } => *len,
            Self::Listed(times) => times.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Time of a tick.
    pub fn time(&self, index: usize) -> i64 {
        match self {
            Self::Even {
                first, interval, ..
            } => first + interval * index as i64,
            Self::Listed(times) => times[index],
        }
    }

    /// The first tick at or after a time; the number of ticks when there is none.
    pub fn at_or_after(&self, time: i64) -> usize {
        match self {
            Self::Even {
                first,
                interval,
                len,
            } => {
                let ahead = time.saturating_sub(*first).max(0);
                let steps = ahead / interval + i64::from(ahead % interval != 0);
                usize::try_from(steps).unwrap_or(usize::MAX).min(*len)
            }
            Self::Listed(times) => times.partition_point(|t| *t < time),
        }
    }
}

// === impl GroupConfig ===

impl GroupConfig {
    /// Milliseconds between evaluations.
    pub fn interval_ms(&self, settings: &EngineSettings) -> i64 {
        let interval = self.interval.unwrap_or(settings.evaluation_interval);
        (interval.as_millis() as i64).max(1)
    }

    /// How far before its slot the group's queries look, in milliseconds.
    pub fn query_offset_ms(&self, settings: &EngineSettings) -> i64 {
        self.query_offset
            .unwrap_or(settings.query_offset)
            .as_millis() as i64
    }

    /// The group's first slot at or after a time, as [`crate::RuleEngine`] would evaluate it.
    pub fn first_slot(&self, settings: &EngineSettings, from: i64) -> i64 {
        let interval = self.interval_ms(settings);
        let offset = schedule::offset_ms(&self.file, &self.name, interval);
        schedule::slot_from(from, interval, offset)
    }
}

// === impl AlertLabels ===

impl<'a> AlertLabels<'a> {
    /// Of one alerting rule.
    pub fn new(rule: &'a RuleConfig, settings: &'a EngineSettings) -> Self {
        Self { rule, settings }
    }

    /// Whether they can differ from tick to tick for one series. Errs on the side of yes.
    pub fn vary(&self) -> bool {
        self.rule.labels.iter().any(|(_, text)| {
            let bytes = text.as_str().as_bytes();
            let bare_dot = bytes.iter().enumerate().any(|(at, byte)| {
                *byte == b'.' && !bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic)
            });
            text.is_template()
                && (bare_dot
                    || ["alue", "query", "now"]
                        .iter()
                        .any(|word| text.as_str().contains(word)))
        })
    }

    /// Labels of the alert that a sample makes at a time (milliseconds since 1970).
    pub fn of(
        &self,
        sample: &Labels,
        value: f64,
        time: i64,
        query: &dyn Fn(&str) -> QueryResult,
    ) -> Labels {
        self.rule.alert_labels(
            sample,
            &Context {
                labels: sample,
                value,
                external_labels: &self.settings.external_labels,
                external_url: &self.settings.external_url,
                now_ms: time,
                query,
            },
        )
    }
}

// === the machine ===

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

struct Machine<'a> {
    ticks: &'a Ticks,
    times: Holds,
    alert: Option<ActiveAlert>,
    episodes: Vec<Episode>,
}

/// The lives of one alert of a rule. `runs` are ascending and do not overlap; at a tick in none of them the alert is
/// missing.
pub fn episodes(rule: &RuleConfig, ticks: &Ticks, runs: &[Run]) -> Vec<Episode> {
    episodes_with(rule.hold, rule.keep_firing_for, ticks, runs)
}

/// The same for given times.
pub fn episodes_with(
    hold: Duration,
    keep_firing_for: Duration,
    ticks: &Ticks,
    runs: &[Run],
) -> Vec<Episode> {
    let mut machine = Machine {
        ticks,
        times: Holds {
            hold,
            keep_firing_for,
        },
        alert: None,
        episodes: Vec::new(),
    };
    let mut next = 0;
    for run in runs {
        machine.missing(next, run.first);
        match run.condition {
            Condition::Holds => machine.holds(run.first, run.last),
            Condition::Held => machine.held(run.first, run.last),
        }
        next = run.last + 1;
    }
    machine.missing(next, ticks.len());
    machine.end(None);
    machine.episodes
}

impl Machine<'_> {
    fn now(&self, tick: usize) -> Timestamp {
        timestamp(self.ticks.time(tick))
    }

    fn holds(&mut self, first: usize, last: usize) {
        let now = self.now(first);
        let times = self.times;
        let alert = self
            .alert
            .get_or_insert_with(|| ActiveAlert::new(Labels::empty(), Labels::empty(), now, 0.0));
        alert.holds(now, times);
        if alert.state == AlertState::Pending {
            let due = alert
                .active_at
                .as_millisecond()
                .saturating_add(ms(times.hold));
            let tick = self.ticks.at_or_after(due);
            if tick <= last {
                let now = self.now(tick);
                if let Some(alert) = &mut self.alert {
                    alert.holds(now, times);
                }
            }
        }
    }

    fn held(&mut self, first: usize, last: usize) {
        let now = self.now(first);
        let times = self.times;
        let kept = self
            .alert
            .as_mut()
            .is_some_and(|alert| alert.is_held(now, times));
        if !kept {
            self.missing(first, last + 1);
        }
    }

    /// Ticks from `from` to before `to`.
    fn missing(&mut self, from: usize, to: usize) {
        if from >= to {
            return;
        }
        let times = self.times;
        let mut tick = from;
        loop {
            let now = self.now(tick);
            let Some(alert) = &mut self.alert else { return };
            let forgotten = alert.is_missing(now, times);
            if forgotten || !alert.is_active() {
                self.end(Some(self.ticks.time(tick)));
                return;
            }
            let since = alert.keep_firing_since.unwrap_or(now).as_millisecond();
            let due = since.saturating_add(ms(times.keep_firing_for));
            tick = self.ticks.at_or_after(due).max(tick + 1);
            if tick >= to {
                return;
            }
        }
    }

    fn end(&mut self, at: Option<i64>) {
        if let Some(alert) = self.alert.take() {
            self.episodes.push(Episode {
                active_at: alert.active_at.as_millisecond(),
                fired_at: alert.fired_at.map(Timestamp::as_millisecond),
                ended_at: at,
            });
        }
    }
}

#[cfg(test)]
mod tests;
