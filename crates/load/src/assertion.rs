//! Conditions that a run must meet: `p99<250ms`, `service.p50<=5ms`, `errors<1%`, `rps>=400`.

use std::fmt;
use std::str::FromStr;

use bellwether_model::duration::parse_duration;
use serde::{Deserialize, Serialize};

use bellwether_lab::LatencySummary;

use crate::report::Report;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    subject: Subject,
    at_most: bool,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// A quantile by its name, of service time or of latency.
    Quantile(&'static str, bool),
    Errors,
    Throughput,
}

/// What became of a condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    pub assertion: String,
    pub value: f64,
    /// `met`, `missed`, or `cannot-tell` when the bound lies within the quantile's interval.
    pub verdict: String,
}

const QUANTILES: [&str; 8] = ["p50", "p75", "p90", "p95", "p99", "p999", "max", "mean"];

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = "write it as p99<250ms, service.p50<5ms, errors<1% or rps>400";
        let at = text
            .find(['<', '>'])
            .ok_or_else(|| format!("{text:?} compares nothing: {hint}"))?;
        let at_most = text[at..].starts_with('<');
        let name = text[..at].trim();
        let bound = text[at + 1..].trim_start_matches('=').trim();
        let (scope, quantile) = name.split_once('.').unwrap_or(("latency", name));
        let known = QUANTILES.into_iter().find(|known| *known == quantile);
        let (subject, bound) = match (scope, known, name) {
            ("latency" | "service", Some(quantile), _) => {
                let time = parse_duration(bound).map_err(|error| format!("{bound:?}: {error}"))?;
                (
                    Subject::Quantile(quantile, scope == "service"),
                    time.as_secs_f64() * 1e3,
                )
            }
            (_, _, "errors") => {
                let (number, unit) = match bound.strip_suffix('%') {
                    Some(number) => (number, 100.0),
                    None => (bound, 1.0),
                };
                let share: f64 = number
                    .trim()
                    .parse()
                    .map_err(|_| format!("{bound:?} is no share: {hint}"))?;
                (Subject::Errors, share / unit)
            }
            (_, _, "rps") => {
                let rate = bound
                    .parse()
                    .map_err(|_| format!("{bound:?} is no rate: {hint}"))?;
                (Subject::Throughput, rate)
            }
            _ => return Err(format!("{name:?} is nothing that a run measures: {hint}")),
        };
        Ok(Self {
            text: text.to_owned(),
            subject,
            at_most,
            bound,
        })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Assertion {
    /// Holds the condition against a run. A quantile's interval decides, not its point, where there is one.
    pub fn check(&self, report: &Report) -> Checked {
        let (value, interval) = match self.subject {
            Subject::Quantile(name, is_service) => {
                let quantiles = if is_service {
                    &report.service
                } else {
                    &report.latency
                };
                (value_of(quantiles, name), interval_of(quantiles, name))
            }
            Subject::Errors => {
                let bad = report.failed + report.unexpected;
                (bad as f64 / report.requests.max(1) as f64, None)
            }
            Subject::Throughput => (report.throughput_rps, None),
        };
        let holds = |value: f64| {
            if self.at_most {
                value <= self.bound
            } else {
                value >= self.bound
            }
        };
        let [low, high] = interval.unwrap_or([value, value]);
        let verdict = match (holds(low), holds(high)) {
            (true, true) => "met",
            (false, false) => "missed",
            _ => "cannot-tell",
        };
        Checked {
            assertion: self.text.clone(),
            value,
            verdict: verdict.to_owned(),
        }
    }
}

/// The 95 % interval of a quantile, when there are enough samples for one. It takes them as independent.
fn interval_of(quantiles: &LatencySummary, name: &str) -> Option<[f64; 2]> {
    let q = match name {
        "p50" => 0.5,
        "p75" => 0.75,
        "p90" => 0.9,
        "p95" => 0.95,
        "p99" => 0.99,
        "p999" => 0.999,
        _ => return None,
    };
    let interval = quantiles.histogram()?.interval_ms(q, 0.95)?;
    Some([interval.low, interval.high])
}

fn value_of(quantiles: &LatencySummary, name: &str) -> f64 {
    match name {
        "p50" => quantiles.p50_ms,
        "p75" => quantiles.p75_ms,
        "p90" => quantiles.p90_ms,
        "p95" => quantiles.p95_ms,
        "p99" => quantiles.p99_ms,
        "p999" => quantiles.p999_ms,
        "mean" => quantiles.mean_ms,
        _ => quantiles.max_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> String {
        let report = Report {
            requests: 100,
            failed: 2,
            throughput_rps: 50.0,
            latency: {
                // 1 to 1000 ms; the interval of p99 reaches from about 984 to 996 ms.
                let mut histogram = bellwether_stats::Histogram::new();
                (1..=1000).for_each(|ms| histogram.record_micros(ms * 1000));
                LatencySummary::of(&histogram)
            },
            service: LatencySummary {
                p50_ms: 1.0,
                ..LatencySummary::default()
            },
            ..Report::default()
        };
        text.parse::<Assertion>()
            .map_or_else(|error| error, |assertion| assertion.check(&report).verdict)
    }

    #[test]
    fn intervals_decide() {
        let all: Vec<_> = [
            "p99<1s",
            "p99<990ms",
            "p99<950ms",
            "max<=2s",
            "service.p50<1ms",
            "errors<1%",
            "errors<0.05",
            "rps>=50",
            "p98<1s",
            "p99",
            "errors<few",
        ]
        .map(|text| format!("{text}: {}", verdict(text)))
        .into();
        insta::assert_snapshot!(all.join("\n"));
    }
}
