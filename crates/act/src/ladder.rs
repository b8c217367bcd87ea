//! The rungs that are earned: shadow and automatic. What they need, and who holds them.

use bellwether_model::state::Kind;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, wilson_lower};
use crate::lint::{Rung, readiness};
use crate::runbook::{Effect, Runbook, SectionKind};

/// Records of earned rungs, by runbook.
pub const RUNG: Kind = Kind("rung");
/// Days of runs that count.
pub const WINDOW_DAYS: i64 = 90;
/// Days since the last run that ended well.
pub const REHEARSED_DAYS: i64 = 30;
/// Lower end of the 95 % interval of verified success that is asked for.
pub const SUCCESS_MIN: f64 = 0.83;
pub const PEOPLE_MIN: usize = 2;

/// A rung that a person gave to a runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Earned {
    /// Its trigger makes a plan, nothing runs, and the plan is compared with what the person did.
    Shadow,
    /// Its fix runs without a tap, within the budget.
    Automatic,
}

/// Who holds which rung since when, and by whose word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungRecord {
    pub version: u32,
    pub runbook: String,
    /// Content it was given to: another content does not hold it.
    pub hash: String,
    pub rung: Earned,
    pub by: String,
    pub at: Timestamp,
    /// What the evidence was then.
    pub because: String,
}

/// What a page says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFacts {
    pub runbook: String,
    pub hash: String,
    pub owner: String,
    pub guarded: bool,
    /// Every change can be taken back or may be repeated.
    pub reversible: bool,
}

/// The evidence of a window, counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Standing {
    pub n: u32,
    /// Verified successes among them.
    pub ok: u32,
    pub people: usize,
    pub unknown: u32,
    /// Runs with a skipped step or a step that a person settled by word.
    pub edited: u32,
    pub wilson_lower: f64,
    pub last_ok: Option<Timestamp>,
    /// Shadow plans, and those that were what the person then did.
    pub shadows: u32,
    pub shadows_agreed: u32,
}

impl PageFacts {
    /// Of a page as read.
    pub fn of(runbook: &Runbook) -> Self {
        let (rung, _) = readiness(runbook);
        let common = runbook.steps_of(SectionKind::Undo).next().is_some();
        let mut fixes = runbook
            .steps_of(SectionKind::Fix)
            .filter(|step| step.effect_or_change() == Effect::Change);
        let reversible = fixes.all(|step| {
            let followed = runbook
                .steps
                .iter()
                .skip_while(|other| other.id != step.id)
                .nth(1)
                .is_some_and(|next| next.is_undo);
            step.undo.is_some() || followed || common || step.idempotent
        });
        Self {
            runbook: runbook.id.clone(),
            hash: runbook.hash.clone(),
            owner: runbook.owner.clone(),
            guarded: rung == Rung::Guarded,
            reversible,
        }
    }
}

impl Standing {
    /// Counts the runs of the last [`WINDOW_DAYS`].
    pub fn of(evidence: Option<&Evidence>, now: Timestamp) -> Self {
        let mut standing = Self::default();
        let Some(evidence) = evidence else {
            return standing;
        };
        let since = now - SignedDuration::from_hours(24 * WINDOW_DAYS);
        let mut people = std::collections::BTreeSet::new();
        for run in evidence.runs.iter().filter(|run| run.at > since) {
            if let Some(agreed) = run.shadow {
                standing.shadows += 1;
                standing.shadows_agreed += u32::from(agreed);
                continue;
            }
            standing.n += 1;
            standing.ok += u32::from(run.ok);
            standing.unknown += u32::from(run.unknown);
            standing.edited += u32::from(run.edited);
            if run.ok {
                people.extend(run.people.iter().filter(|actor| actor.starts_with("user:")));
                standing.last_ok = standing.last_ok.max(Some(run.at));
            }
        }
        standing.people = people.len();
        standing.wilson_lower = wilson_lower(standing.ok, standing.n);
        standing
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        format!(
            "{} of {} verified by {} people in {WINDOW_DAYS} days, lower bound {:.2}; {} of {} shadow plans agreed",
            self.ok, self.n, self.people, self.wilson_lower, self.shadows_agreed, self.shadows
        )
    }
}

/// What a page lacks for a rung; nothing when it may have it.
pub fn missing(
    to: Earned,
    facts: &PageFacts,
    evidence: Option<&Evidence>,
    now: Timestamp,
) -> Vec<String> {
    let mut out = Vec::new();
    let mut need = |holds: bool, text: String| {
        if !holds {
            out.push(text);
        }
    };
    need(
        facts.guarded,
        "the page is not written for rung guarded: see `runbook lint`".to_owned(),
    );
    need(
        !facts.owner.is_empty(),
        "nobody owns it: add owner:".to_owned(),
    );
    if to == Earned::Shadow {
        return out;
    }
    let standing = Standing::of(evidence, now);
    need(
        facts.reversible,
        "a change can neither be taken back nor repeated: add undo= or idempotent".to_owned(),
    );
    need(
        standing.wilson_lower >= SUCCESS_MIN,
        format!(
            "{} of {} runs verified in {WINDOW_DAYS} days: the lower bound is {:.2}, {SUCCESS_MIN} is asked for (20 of 20, 29 of 30, 48 of 50)",
            standing.ok, standing.n, standing.wilson_lower
        ),
    );
    need(
        standing.people >= PEOPLE_MIN,
        format!(
            "run well by {} people; {PEOPLE_MIN} are asked for",
            standing.people
        ),
    );
    need(
        standing.unknown == 0,
        format!("{} runs had a step of unknown outcome", standing.unknown),
    );
    need(
        standing.edited == 0,
        format!(
            "{} runs had a step that was skipped or settled by hand",
            standing.edited
        ),
    );
    let rehearsed = now - SignedDuration::from_hours(24 * REHEARSED_DAYS);
    need(
        standing.last_ok.is_some_and(|at| at > rehearsed),
        format!("no run ended well in the last {REHEARSED_DAYS} days"),
    );
    // Half a vote each, and only against: what nobody ran proves nothing about its effect.
    need(
        standing.shadows == 0 || standing.shadows_agreed * 2 >= standing.shadows,
        format!(
            "{} of {} shadow plans were not what the person did",
            standing.shadows - standing.shadows_agreed,
            standing.shadows
        ),
    );
    out
}
