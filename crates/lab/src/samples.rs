//! What a benchmark prints, once its format is gone: named lists of numbers.

use bellwether_stats::Better;
use serde::{Deserialize, Serialize};

/// Repeated measurements of one quantity of one benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Benchmark and, after a slash, the metric when there are several: `parse/large`, `GET orders/p99`.
    pub name: String,
    pub unit: Unit,
    #[serde(default)]
    pub better: Better,
    /// In the order in which they were measured.
    pub values: Vec<f64>,
}

/// The unit of a quantity. Times are always in seconds inside, whatever the benchmark printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Seconds,
    Bytes,
    /// Per second.
    PerSecond,
    /// Anything else: allocations, instructions, queries, a plain number.
    #[default]
    Count,
}

impl Unit {
    /// A value as people read it: three significant digits and a fitting unit.
    pub fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return "unknown".to_owned();
        }
        let size = value.abs();
        let (scaled, suffix) = match self {
            Self::Seconds if size >= 1.0 || size == 0.0 => (value, " s"),
            Self::Seconds if size >= 1e-3 => (value * 1e3, " ms"),
            Self::Seconds if size >= 1e-6 => (value * 1e6, " µs"),
            Self::Seconds => (value * 1e9, " ns"),
            Self::Bytes if size >= 1073741824.0 => (value / 1073741824.0, " GiB"),
            Self::Bytes if size >= 1048576.0 => (value / 1048576.0, " MiB"),
            Self::Bytes if size >= 1024.0 => (value / 1024.0, " KiB"),
            Self::Bytes => (value, " B"),
            Self::PerSecond => (value, "/s"),
            Self::Count => (value, ""),
        };
        format!("{}{suffix}", digits(scaled))
    }
}

/// Four significant digits at most, without a trailing fraction of zeros.
pub fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = (3 - magnitude).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A relative change with its sign: `+3.2 %`.
pub fn signed_percent(percent: f64) -> String {
    if percent == f64::INFINITY {
        "+∞ %".to_owned()
    } else if percent.is_nan() {
        "unknown".to_owned()
    } else {
        let decimals = usize::from(percent.abs() < 100.0);
        format!("{percent:+.decimals$} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_well() {
        let shown = |unit: Unit, value| unit.show(value);
        assert_eq!(shown(Unit::Seconds, 0.0123456), "12.35 ms");
        assert_eq!(shown(Unit::Seconds, 3.0), "3 s");
        assert_eq!(shown(Unit::Seconds, 4.2e-8), "42 ns");
        assert_eq!(shown(Unit::Bytes, 1536.0), "1.5 KiB");
        assert_eq!(shown(Unit::Count, 123456.0), "123456");
        assert_eq!(shown(Unit::PerSecond, f64::NAN), "unknown");
        assert_eq!(
            (signed_percent(3.15159), signed_percent(-250.4)),
            ("+3.2 %".into(), "-250 %".into())
        );
    }
}
