//! What a runbook's past runs prove: the numbers that a rung is earned with.

use std::collections::BTreeSet;

use bellwether_model::state::Kind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Records of evidence, by `runbook@hash`.
pub const EVIDENCE: Kind = Kind("evidence");

/// Ended change runs of one content of one runbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub version: u32,
    pub runbook: String,
    /// Content hash of the page; a change of the page starts new evidence.
    pub hash: String,
    /// Runs that ended by themselves, well or badly.
    pub n: u32,
    /// Of those: every step succeeded and every verify held, with at least one verify.
    pub ok: u32,
    /// Of those: succeeded, but nothing was verified.
    pub unverified: u32,
    /// Runs with a step whose outcome was unknown at some time.
    pub unknown: u32,
    /// Runs that were undone.
    pub undone: u32,
    /// Who approved runs that ended well.
    pub people: BTreeSet<String>,
    pub last: Option<Timestamp>,
    pub last_ok: Option<Timestamp>,
    /// The runs one by one, oldest first; the latest few hundred.
    #[serde(default)]
    pub runs: Vec<EvidenceRun>,
}

/// One ended run, or one shadow plan that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRun {
    pub at: Timestamp,
    /// Every step succeeded and something was verified.
    pub ok: bool,
    pub unknown: bool,
    /// A step was skipped, or settled by a person's word.
    pub edited: bool,
    pub people: BTreeSet<String>,
    pub automatic: bool,
    /// Only planned: whether the person then did the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<bool>,
}

impl Evidence {
    /// No runs yet.
    pub fn new(runbook: &str, hash: &str) -> Self {
        Self {
            version: 1,
            runbook: runbook.to_owned(),
            hash: hash.to_owned(),
            n: 0,
            ok: 0,
            unverified: 0,
            unknown: 0,
            undone: 0,
            people: BTreeSet::new(),
            last: None,
            last_ok: None,
            runs: Vec::new(),
        }
    }

    /// Id of its record.
    pub fn record_id(runbook: &str, hash: &str) -> String {
        format!("{runbook}@{hash}")
    }

    /// Lower end of the Wilson 95 % interval of verified success.
    pub fn wilson_lower(&self) -> f64 {
        wilson_lower(self.ok, self.n)
    }
}

/// Lower end of the Wilson score interval at 95 % (E. B. Wilson, 1927); 0 without trials.
pub fn wilson_lower(ok: u32, n: u32) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let z = 1.959_963_984_540_054_f64;
    let (n, p) = (f64::from(n), f64::from(ok) / f64::from(n));
    let centre = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - spread) / (1.0 + z * z / n)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::wilson_lower;

    #[test]
    fn what_n_runs_buy() {
        for (ok, n, bound) in [
            (10, 10, 0.72),
            (20, 20, 0.84),
            (29, 30, 0.83),
            (30, 30, 0.89),
            (48, 50, 0.87),
            (50, 50, 0.93),
        ] {
            assert!((wilson_lower(ok, n) - bound).abs() < 0.005, "{ok}/{n}");
        }
    }
}
