//! How an objective stands.

use std::time::Duration;

use bellwether_model::duration::format_duration;
use bellwether_model::series::{SeriesSource, Value};
use bellwether_promql::{Engine, QueryValue};
use serde::Serialize;

use crate::slo::Slo;
use crate::slo::read::equals;

/// What to ask to know how an objective stands; each gives at most one sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SloQueries {
    /// Share of the budget that is left, 1 to below 0.
    pub budget_left: String,
    /// Bad events in the objective's window.
    pub bad: String,
    /// All events in the objective's window.
    pub total: String,
    /// Burn rate per window, shortest first.
    pub burn: Vec<(Duration, String)>,
    /// Burn rate of every window at once, for a graph.
    pub burn_all: String,
}

/// How an objective stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloStatus {
    pub name: String,
    pub service: String,
    pub objective: f64,
    pub window: Duration,
    /// Share of the budget that is left; negative when it is overspent. `None` before there is data.
    pub budget_left: Option<f64>,
    pub bad: Option<f64>,
    pub total: Option<f64>,
    /// Shortest window first.
    pub burn: Vec<WindowBurn>,
    /// When the budget is gone if it goes on burning as over the longest alert window; `None`: not within the window.
    pub runs_out_in: Option<Duration>,
}

/// Burn rate over one window: 1 uses the budget up exactly at the end of its period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WindowBurn {
    pub window: Duration,
    pub burn: Option<f64>,
}

impl Slo {
    /// The queries for its state.
    pub fn queries(&self) -> SloQueries {
        let slo = equals("slo", &self.name);
        let over = |name: &str, window: Duration| {
            format!(
                "{name}{{{slo},{}}}",
                equals("window", &format_duration(window))
            )
        };
        let pairs = self.windows.page.iter().chain(&self.windows.ticket);
        let mut windows: Vec<Duration> = pairs.flat_map(|pair| [pair.short, pair.long]).collect();
        windows.sort_unstable();
        windows.dedup();
        SloQueries {
            budget_left: format!("slo:error_budget:remaining{{{slo}}}"),
            bad: over("slo:bad_events:count", self.window),
            total: over("slo:events:count", self.window),
            burn: windows
                .into_iter()
                .map(|window| (window, over("slo:burn_rate:ratio", window)))
                .collect(),
            burn_all: format!("slo:burn_rate:ratio{{{slo}}}"),
        }
    }

    /// Asks them at a time (milliseconds since 1970).
    pub fn status(&self, source: &dyn SeriesSource, promql: &Engine, time: i64) -> SloStatus {
        let ask = |query: &str| one_value(source, promql, query, time);
        let queries = self.queries();
        let burn: Vec<WindowBurn> = queries
            .burn
            .iter()
            .map(|(window, query)| WindowBurn {
                window: *window,
                burn: ask(query),
            })
            .collect();
        let budget_left = ask(&queries.budget_left);
        let pace = burn.iter().rev().find_map(|entry| entry.burn);
        let runs_out_in = budget_left.zip(pace).and_then(|(left, pace)| {
            let seconds = left.max(0.0) * self.window.as_secs_f64() / pace;
            (pace > 0.0 && seconds <= self.window.as_secs_f64())
                .then(|| Duration::from_secs_f64(seconds))
        });
        SloStatus {
            name: self.name.clone(),
            service: self.service.clone(),
            objective: self.objective,
            window: self.window,
            budget_left,
            bad: ask(&queries.bad),
            total: ask(&queries.total),
            burn,
            runs_out_in,
        }
    }
}

fn one_value(source: &dyn SeriesSource, promql: &Engine, query: &str, time: i64) -> Option<f64> {
    let expr = promql.parse(query).ok()?;
    match promql.instant(source, &expr, time).ok()?.value {
        QueryValue::Vector(samples) => match samples.first()?.value {
            Value::Float(value) => Some(value),
            Value::Histogram(_) => None,
        },
        QueryValue::Scalar { value, .. } => Some(value),
        QueryValue::String { .. } | QueryValue::Matrix(_) => None,
    }
}
