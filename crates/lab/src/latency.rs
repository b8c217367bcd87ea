//! How long requests took, in the words of every result file.

use bellwether_stats::{Histogram, Interval};
use serde::{Deserialize, Serialize};

/// A latency distribution in numbers. All durations in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Requests that were measured, failed ones included.
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p75_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    /// Interval of p99 at 95 % by order statistics; absent when there are too few requests for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_interval_ms: Option<Interval>,
    /// The whole distribution: HdrHistogram V2 with deflate in base64, values in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<String>,
}

impl LatencySummary {
    /// The summary of a histogram, which goes along whole.
    pub fn of(histogram: &Histogram) -> Self {
        let q = |q| histogram.quantile_ms(q);
        Self {
            count: histogram.count(),
            mean_ms: histogram.mean_ms(),
            p50_ms: q(0.5),
            p75_ms: q(0.75),
            p90_ms: q(0.9),
            p95_ms: q(0.95),
            p99_ms: q(0.99),
            p999_ms: q(0.999),
            max_ms: histogram.max_ms(),
            p99_interval_ms: histogram.interval_ms(0.99, 0.95),
            histogram: (histogram.count() > 0).then(|| histogram.encode()),
        }
    }

    /// The distribution, when the file has it and it can be read.
    pub fn histogram(&self) -> Option<Histogram> {
        Histogram::decode(self.histogram.as_ref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_goes_through_json_and_back() {
        let mut histogram = Histogram::new();
        for ms in 1..=1000 {
            histogram.record_ms(f64::from(ms));
        }
        let summary = LatencySummary::of(&histogram);
        let text = serde_json::to_string(&summary).unwrap();
        let read: LatencySummary = serde_json::from_str(&text).unwrap();
        assert_eq!(read, summary);
        assert!((read.p99_ms / 990.0 - 1.0).abs() < 1e-3);
        assert_eq!(read.histogram().unwrap().count(), 1000);
        assert!(summary.p99_interval_ms.unwrap().contains(990.0));
    }
}
