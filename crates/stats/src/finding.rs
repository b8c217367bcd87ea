//! The one result type, and its four verdicts.

use serde::{Deserialize, Serialize};

/// What a comparison says. `Same` and `CannotTell` are never confused: `Same` is a proof of equivalence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Worse by more than the floor, and not by chance.
    Worse,
    /// Better by more than the floor, and not by chance.
    Better,
    /// Equivalence shown: the whole interval lies within the floor.
    Same,
    /// The data do not decide it: too few, or too noisy.
    CannotTell,
}

/// Which direction of a quantity is the bad one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Latency, CPU time, memory.
    #[default]
    Lower,
    /// Throughput.
    Higher,
}

/// An interval of values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// How strong the evidence against "no difference" is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A p-value: valid for one look at a sample whose size was fixed beforehand.
    P(f64),
    /// An e-value: valid at every look; `1/e` bounds the p-value.
    E(f64),
}

/// The result of every comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The effect in the unit of the comparison (a difference of logarithms for ratios).
    pub estimate: f64,
    /// Interval of the estimate at `confidence`; unbounded sides are infinite. JSON has no infinity: `null` there.
    #[serde(with = "bounds")]
    pub interval: Interval,
    pub confidence: f64,
    pub evidence: Evidence,
    /// The estimate as a relative change in percent; positive is more.
    pub effect_percent: f64,
    /// How many independent observations the data are worth.
    pub n_effective: f64,
    pub verdict: Verdict,
}

// === impl Verdict ===

impl Verdict {
    /// The word used in logs, files and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Same => "same",
            Self::CannotTell => "cannot-tell",
        }
    }

    /// The verdict of an interval against a floor: the smallest effect that matters, in the unit of the interval.
    ///
    /// A difference is claimed when the interval excludes 0 *and* the estimate is beyond the floor; equivalence when
    /// the whole interval lies within the floor (two one-sided tests; Schuirmann 1987). Anything else cannot be told.
    pub fn of(estimate: f64, interval: Interval, floor: f64, better: Better) -> Self {
        if interval.low.is_nan() || interval.high.is_nan() || estimate.is_nan() {
            return Self::CannotTell;
        }
        let more = interval.low > 0.0 && estimate > floor;
        let less = interval.high < 0.0 && estimate < -floor;
        match (more, less, better) {
            (true, _, Better::Lower) | (_, true, Better::Higher) => Self::Worse,
            (true, _, Better::Higher) | (_, true, Better::Lower) => Self::Better,
            _ if interval.low > -floor && interval.high < floor => Self::Same,
            _ => Self::CannotTell,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl Interval ===

impl Interval {
    /// Everything: what no data say.
    pub const ALL: Self = Self {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };

    /// Whether a value lies in it, bounds included.
    pub fn contains(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Its width.
    pub fn width(self) -> f64 {
        self.high - self.low
    }

    /// Each bound through a growing function.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            low: f(self.low),
            high: f(self.high),
        }
    }
}

// === impl Evidence ===

impl Evidence {
    /// As a p-value: itself, or the bound `1/e` (Markov's inequality).
    pub fn p(self) -> f64 {
        match self {
            Self::P(p) => p,
            Self::E(e) => (1.0 / e).min(1.0),
        }
    }
}

/// A difference of logarithms as a relative change in percent.
pub fn percent(log_ratio: f64) -> f64 {
    log_ratio.exp_m1() * 100.0
}

mod bounds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Interval;

    #[derive(Serialize, Deserialize)]
    struct Bounds {
        low: Option<f64>,
        high: Option<f64>,
    }

    pub(super) fn serialize<S: Serializer>(interval: &Interval, to: S) -> Result<S::Ok, S::Error> {
        let finite = |value: f64| value.is_finite().then_some(value);
        Bounds {
            low: finite(interval.low),
            high: finite(interval.high),
        }
        .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Interval, D::Error> {
        let bounds = Bounds::deserialize(from)?;
        Ok(Interval {
            low: bounds.low.unwrap_or(f64::NEG_INFINITY),
            high: bounds.high.unwrap_or(f64::INFINITY),
        })
    }
}
