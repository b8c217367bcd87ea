//! Service level objectives (`slos:`): read with positions, turned into rule groups, asked for their state.
//!
//! ```yaml
//! slos:
//!   - name: web-availability
//!     service: web
//!     objective: 99.9            # percent
//!     window: 30d
//!     errors: http_requests_total{job="web", code=~"5.."}
//!     total: http_requests_total{job="web"}
//!   - name: web-latency
//!     service: web
//!     objective: 99
//!     latency: {metric: 'http_request_duration_seconds{job="web"}', below: 300ms}
//! ```
//!
//! `good`, `errors` and `total` are either the selector of a counter, or an expression that counts events over
//! `[{{window}}]`. Good and total are kept as counts; ratios are formed last.

mod generate;
mod import;
mod ledger;
mod read;
mod state;

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::{Labels, Problems};
use bellwether_yaml::Node;
use serde::Serialize;

use crate::rules::GroupConfig;
use crate::text::TemplateText;
pub use import::{Imported, import};
pub use ledger::{Counters, Events, Ledger};
pub use state::{SloQueries, SloStatus, WindowBurn};

/// One objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    pub name: String,
    /// Whose objective it is; empty when not said.
    pub service: String,
    pub description: String,
    /// Share of good events, 0 to 1 exclusive (0.999 for `objective: 99.9`).
    pub objective: f64,
    /// Period of the error budget.
    pub window: Duration,
    pub indicator: Indicator,
    /// On every generated series and alert.
    pub labels: Labels,
    pub owner: String,
    pub runbook: String,
    /// Whether alerts are generated.
    pub alerting: bool,
    /// Name of its alerts.
    pub alert_name: String,
    /// On the alerts that page, over `labels`.
    pub page_labels: Labels,
    /// On the alerts that make a ticket, over `labels`.
    pub ticket_labels: Labels,
    /// Further annotations of the alerts; templates.
    pub annotations: Vec<(String, TemplateText)>,
    pub windows: Windows,
    /// Bad events in the long window below which no alert fires.
    pub bad_events_min: f64,
    /// Evaluation interval of the generated groups; `None`: the global one.
    pub interval: Option<Duration>,
    pub file: Arc<str>,
    pub line: u32,
}

/// How good and bad events are counted. Every text has `{{window}}` where the window goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Indicator {
    /// Counts bad events over a window.
    pub bad: String,
    /// Counts all events over a window.
    pub total: String,
    /// The counters behind both, when they are nothing else: then events can be counted one by one ([`Ledger`]).
    pub counters: Option<Counters>,
}

/// Pairs of windows by severity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Windows {
    pub page: Vec<BurnWindow>,
    pub ticket: Vec<BurnWindow>,
}

/// Alert when the budget burns `burn` times as fast as it may, over both windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BurnWindow {
    pub burn: f64,
    pub long: Duration,
    pub short: Duration,
}

/// Reads a `slos:` list. What is wrong is reported, the rest is returned.
pub fn read(node: &Node, problems: &mut Problems) -> Vec<Slo> {
    read::read(node, problems)
}

// === impl Slo ===

impl Slo {
    /// Name of the group that counts and alerts.
    pub fn group_name(&self) -> String {
        format!("slo:{}", self.name)
    }

    /// The rule groups: counts and burn rates per window with the alerts, and the budget on a slower interval.
    pub fn groups(&self) -> Vec<GroupConfig> {
        generate::groups(self)
    }

    /// The same as a plain Prometheus rule file.
    pub fn to_rule_file(&self) -> String {
        generate::rule_file(self)
    }

    /// Share of bad events that the objective allows.
    pub fn budget(&self) -> f64 {
        1.0 - self.objective
    }
}

// === impl Windows ===

impl Default for Windows {
    /// 14.4x over 1 h and 5 m, 6x over 6 h and 30 m page; 3x over 1 d and 2 h, 1x over 3 d and 6 h make a ticket (SRE
    /// Workbook, chapter 5, for a window of 30 days).
    fn default() -> Self {
        let minutes = |m: u64| Duration::from_secs(m * 60);
        let pair = |burn, long, short| BurnWindow { burn, long, short };
        Self {
            page: vec![
                pair(14.4, minutes(60), minutes(5)),
                pair(6.0, minutes(360), minutes(30)),
            ],
            ticket: vec![
                pair(3.0, minutes(1440), minutes(120)),
                pair(1.0, minutes(4320), minutes(360)),
            ],
        }
    }
}

#[cfg(test)]
mod tests;
