//! Experiments: a question, how it was asked, every raw number, the answer and what was decided, kept so that nobody can
//! change it unseen and anybody can compute it again.
//!
//! On disk an experiment is a folder of JSON files, each written once; `manifest.json` holds their digests. Times are in UTC
//! and numbers in JSON, so nothing depends on time zone, locale or folder.

use std::collections::BTreeMap;

use bellwether_stats::Verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::compare::{Limits, Report};

/// The files of an experiment, in the order in which they are written.
pub const PLAN: &str = "plan.json";
pub const ENVIRONMENT: &str = "environment.json";
pub const RAW: &str = "raw.json";
pub const RESULT: &str = "result.json";
pub const DECISION: &str = "decision.json";
/// Digests of the others; written again with each.
pub const MANIFEST: &str = "manifest.json";

/// What is asked and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    /// `0007-batch-inserts`.
    pub id: String,
    pub title: String,
    /// What is expected, and why.
    pub hypothesis: String,
    /// The two subjects, as `compare` takes them.
    pub base: String,
    pub candidate: String,
    /// The arguments of the comparison, as they were given.
    pub setup: Vec<String>,
    pub limits: Limits,
    pub created_at: Timestamp,
}

/// Where it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    pub version: u32,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub kernel: String,
    pub cpu: String,
    pub cores: usize,
    /// Frequency governor of the first core; empty when the machine has none.
    pub governor: String,
    pub memory_bytes: u64,
    /// Load average over one minute, before and after.
    pub load_before: f64,
    pub load_after: f64,
    /// Commit of the working folder and whether it had changes; empty outside a repository.
    pub commit: String,
    pub is_dirty: bool,
    pub bellwether: String,
}

/// Every number that was measured, in a report whose findings are not trusted but computed again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    pub version: u32,
    pub limits: Limits,
    pub report: Report,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub version: u32,
    /// `adopted`, `rejected`, or what fits.
    pub decision: String,
    pub why: String,
    pub decided_at: Timestamp,
}

/// Digests of the files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    /// SHA-256 in hexadecimal, by file name.
    pub files: BTreeMap<String, String>,
}

/// An experiment as it is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    pub plan: Plan,
    pub environment: Option<Environment>,
    pub raw: Option<Raw>,
    pub result: Option<Report>,
    pub decision: Option<Decision>,
    /// What is wrong with the files: changed, missing, unreadable.
    pub faults: Vec<String>,
}

/// Why a folder is no experiment.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    #[error("{file}:{line}:{column}: {message}")]
    Json {
        file: String,
        line: usize,
        column: usize,
        message: String,
    },
    #[error("there is no {PLAN}")]
    NoPlan,
}

impl Experiment {
    /// From the files of its folder, by name. Files that do not agree with the manifest are faults, and still shown.
    pub fn read(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, ExperimentError> {
        let mut faults = Vec::new();
        let manifest: Manifest = parsed(files, MANIFEST)?.unwrap_or_default();
        for (name, digest) in &manifest.files {
            match files.get(name) {
                None => faults.push(format!("{name} is missing")),
                Some(bytes) if digest_of(bytes) != *digest => {
                    faults.push(format!("{name} was changed after it was written"));
                }
                Some(_) => {}
            }
        }
        for name in [PLAN, ENVIRONMENT, RAW, RESULT, DECISION] {
            if files.contains_key(name) && !manifest.files.contains_key(name) {
                faults.push(format!("{name} is not in the manifest"));
            }
        }
        Ok(Self {
            plan: parsed(files, PLAN)?.ok_or(ExperimentError::NoPlan)?,
            environment: parsed(files, ENVIRONMENT)?,
            raw: parsed(files, RAW)?,
            result: parsed(files, RESULT)?,
            decision: parsed(files, DECISION)?,
            faults,
        })
    }

    /// The result, computed again from the raw numbers; `None` before it has run.
    pub fn recomputed(&self) -> Option<Report> {
        let raw = self.raw.as_ref()?;
        Some(raw.report.recomputed(raw.limits))
    }

    /// Whether every number of the stored result is what the raw data give.
    pub fn reproduces(&self) -> Option<bool> {
        Some(self.recomputed()? == *self.result.as_ref()?)
    }

    /// Its verdict, when it has run.
    pub fn verdict(&self) -> Option<Verdict> {
        self.result.as_ref().map(|report| report.verdict)
    }

    /// Where it stands, in a word.
    pub fn state(&self) -> &'static str {
        match (&self.result, &self.decision) {
            (_, Some(_)) => "decided",
            (Some(_), None) => "run",
            (None, None) => "planned",
        }
    }

    /// As Markdown, with every number computed again.
    pub fn markdown(&self) -> String {
        let plan = &self.plan;
        let mut out = format!("# {}: {}\n\n", plan.id, plan.title);
        out.push_str(&format!(
            "Planned {} (UTC).\n\n## Hypothesis\n\n{}\n\n",
            shown(plan.created_at),
            plan.hypothesis
        ));
        out.push_str(&format!(
            "## Set-up\n\n- base: `{}`\n- candidate: `{}`\n- arguments: `{}`\n- at least {} pairs, at most {}, confidence {}\n\n",
            plan.base,
            plan.candidate,
            plan.setup.join(" "),
            plan.limits.pairs_min,
            plan.limits.pairs_max,
            plan.limits.confidence
        ));
        if let Some(environment) = &self.environment {
            out.push_str(&environment.markdown());
        }
        out.push_str("## Result\n\n");
        match (self.recomputed(), self.reproduces()) {
            (Some(report), reproduces) => {
                out.push_str(&crate::text::comparison(&report));
                out.push_str(match reproduces {
                    Some(true) => "\nComputed again from the raw data: every number is as it was stored.\n\n",
                    Some(false) => "\n**Computed again from the raw data: the numbers differ from those that were stored.**\n\n",
                    None => "\nNo result was stored; these are computed from the raw data.\n\n",
                });
            }
            (None, _) => out.push_str("It has not run yet.\n\n"),
        }
        if let Some(decision) = &self.decision {
            out.push_str(&format!(
                "## Decision\n\n**{}** on {} (UTC): {}\n\n",
                decision.decision,
                shown(decision.decided_at),
                decision.why
            ));
        }
        for fault in &self.faults {
            out.push_str(&format!("**Fault: {fault}**\n"));
        }
        out
    }
}

impl Environment {
    fn markdown(&self) -> String {
        let known = |text: &str| {
            if text.is_empty() {
                "unknown".to_owned()
            } else {
                text.to_owned()
            }
        };
        format!(
            "## Environment\n\n- ran {} to {} (UTC)\n- kernel {}, {} with {} cores, governor {}, {} of memory\n- load average {} before, {} after\n- commit {}{}\n- bellwether {}\n\n",
            shown(self.started_at),
            shown(self.ended_at),
            known(&self.kernel),
            known(&self.cpu),
            self.cores,
            known(&self.governor),
            crate::samples::Unit::Bytes.show(self.memory_bytes as f64),
            self.load_before,
            self.load_after,
            known(&self.commit),
            if self.is_dirty { " with changes" } else { "" },
            self.bellwether,
        )
    }
}

/// The bytes of a file and its digest: what is written, the same on every machine.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .expect("maps have text keys and numbers are written as JSON");
    bytes.push(b'\n');
    bytes
}

/// SHA-256 in hexadecimal.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            text.push_str(&format!("{byte:02x}"));
            text
        })
}

/// The words of a title that a folder can be named by.
pub fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
        if slug.len() >= 40 {
            break;
        }
    }
    let slug = slug.trim_matches('-').to_owned();
    if slug.is_empty() {
        "experiment".to_owned()
    } else {
        slug
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(
    files: &BTreeMap<String, Vec<u8>>,
    name: &str,
) -> Result<Option<T>, ExperimentError> {
    let Some(bytes) = files.get(name) else {
        return Ok(None);
    };
    serde_json::from_slice(bytes)
        .map(Some)
        .map_err(|error| ExperimentError::Json {
            file: name.to_owned(),
            line: error.line(),
            column: error.column(),
            message: error.to_string(),
        })
}

fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests;
