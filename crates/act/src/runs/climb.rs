//! Promotion by a person on evidence, demotion at once on doubt, and what an alert's end means to a run.

use bellwether_model::CaseId;
use bellwether_model::state::{NewEvent, Subject};
use serde_json::json;

use super::record::{Role, RunRecord};
use super::turn::Turn;
use super::{Reason, RunState, Runs, StepState, Trigger};
use crate::evidence::{EVIDENCE, Evidence, EvidenceRun};
use crate::ladder::{Earned, PageFacts, RUNG, RungRecord, Standing, missing};
use crate::runbook::Effect;

/// Runs that evidence remembers.
const REMEMBERED: usize = 500;

impl Runs {
    /// The rung that this content of a runbook has earned.
    pub fn earned(&self, runbook: &str, hash: &str) -> Option<Earned> {
        self.rung_record(runbook, hash).map(|held| held.rung)
    }

    /// Who gave this content of a runbook its rung.
    pub fn rung_record(&self, runbook: &str, hash: &str) -> Option<&RungRecord> {
        self.rungs.get(runbook).filter(|held| held.hash == hash)
    }

    /// How this content of a runbook stands.
    pub fn standing(&self, runbook: &str, hash: &str, now: jiff::Timestamp) -> Standing {
        Standing::of(self.evidence(runbook, hash), now)
    }

    pub(super) fn promote(
        &mut self,
        facts: &PageFacts,
        to: Earned,
        actor: &str,
        turn: &mut Turn<'_>,
    ) {
        let lacks = if actor.starts_with("user:") {
            missing(
                to,
                facts,
                self.evidence(&facts.runbook, &facts.hash),
                turn.now,
            )
        } else {
            vec!["a promotion needs a person's name".to_owned()]
        };
        let because = self
            .standing(&facts.runbook, &facts.hash, turn.now)
            .describe();
        let subject = Subject::new("runbook", &facts.runbook);
        let data = json!({"runbook": facts.runbook, "hash": facts.hash, "to": to, "missing": lacks, "evidence": because});
        if !lacks.is_empty() {
            turn.because(Reason::NotEarned);
            turn.batch.events.push(NewEvent {
                at: turn.now,
                subject,
                kind: "promotion_refused".to_owned(),
                actor: actor.to_owned(),
                text: format!("{} was not promoted: {}", facts.runbook, lacks.join("; ")),
                data,
            });
            return;
        }
        let record = RungRecord {
            version: 1,
            runbook: facts.runbook.clone(),
            hash: facts.hash.clone(),
            rung: to,
            by: actor.to_owned(),
            at: turn.now,
            because: because.clone(),
        };
        turn.batch.put(RUNG, &facts.runbook, &record, None);
        self.rungs.insert(facts.runbook.clone(), record);
        turn.because(Reason::Promoted);
        let word = if to == Earned::Automatic {
            "automatic"
        } else {
            "shadow"
        };
        turn.batch.events.push(NewEvent {
            at: turn.now,
            subject,
            kind: "runbook_promoted".to_owned(),
            actor: actor.to_owned(),
            text: format!("{} is {word} now: {because}", facts.runbook),
            data,
        });
    }

    pub(super) fn demote(&mut self, runbook: &str, actor: &str, why: &str, turn: &mut Turn<'_>) {
        if self.rungs.remove(runbook).is_none() {
            return turn.because(Reason::NotWaiting);
        }
        turn.batch.delete(RUNG, runbook);
        turn.because(Reason::Demoted);
        turn.batch.events.push(NewEvent {
            at: turn.now,
            subject: Subject::new("runbook", runbook),
            kind: "runbook_demoted".to_owned(),
            actor: actor.to_owned(),
            text: format!("{runbook} is no longer automatic: {why}"),
            data: json!({"runbook": runbook, "why": why}),
        });
    }

    /// The pages as they are now: a rung that was given to another content, or whose page or owner is gone, ends.
    pub(super) fn pages_changed(&mut self, pages: &[PageFacts], turn: &mut Turn<'_>) {
        let held: Vec<RungRecord> = self.rungs.values().cloned().collect();
        for held in held {
            let why = match pages.iter().find(|page| page.runbook == held.runbook) {
                None => "its page is gone",
                Some(page) if page.hash != held.hash => "its page was edited",
                Some(page) if page.owner.is_empty() => "nobody owns it",
                Some(page) if !page.guarded => "its page is no longer guarded",
                Some(_) => continue,
            };
            self.demote(&held.runbook, "policy:ladder", why, turn);
        }
    }

    /// The alerts of a case have ended: automatic changes that have not begun are not needed, and a shadow plan that
    /// nobody followed was not what the person did.
    pub(super) fn cleared(
        &mut self,
        case: CaseId,
        turn: &mut Turn<'_>,
    ) -> Vec<bellwether_model::RunId> {
        let of_case = self.by_id.values_mut().filter(|run| run.case == Some(case));
        let mut open = Vec::new();
        let (mut shadows, mut followed) = (Vec::new(), false);
        for run in of_case {
            if run.trigger == Trigger::Shadow && !run.counted {
                run.counted = true;
                shadows.push((
                    run.id,
                    run.plan.runbook.clone(),
                    run.plan.runbook_hash.clone(),
                ));
            }
            followed |=
                run.trigger == Trigger::Person && run.began_at.is_some() && run.plan.changes();
            if !run.state.ended() && run.trigger == Trigger::Automatic {
                run.cleared = true;
                open.push(run.id);
            }
        }
        for (id, runbook, hash) in shadows {
            turn.runs.insert(id);
            if !followed {
                self.remember(&runbook, &hash, shadow_run(turn.now, false), turn);
            }
        }
        turn.runs.extend(&open);
        open
    }

    pub(super) fn remember(
        &mut self,
        runbook: &str,
        hash: &str,
        run: EvidenceRun,
        turn: &mut Turn<'_>,
    ) {
        let key = Evidence::record_id(runbook, hash);
        let evidence = self
            .evidence
            .entry(key.clone())
            .or_insert_with(|| Evidence::new(runbook, hash));
        evidence.runs.push(run);
        let too_many = evidence.runs.len().saturating_sub(REMEMBERED);
        evidence.runs.drain(..too_many);
        turn.batch.put(EVIDENCE, &key, &*evidence, None);
    }

    /// Counts an ended run, compares it with its shadow, and takes the rung away when it gave doubt.
    pub(super) fn count_evidence(&mut self, id: bellwether_model::RunId, turn: &mut Turn<'_>) {
        let steps = self.step_records(id);
        let main = || {
            steps
                .iter()
                .filter(|step| matches!(step.role, Role::Main { .. }))
        };
        let verified =
            main().any(|step| step.checks.is_some() && step.state == StepState::Succeeded);
        let verify_failed =
            main().any(|step| step.checks.is_some() && step.state == StepState::Failed);
        let edited = main().any(|step| {
            step.state == StepState::Skipped || (!step.by.is_empty() && step.outcome.is_some())
        });
        let Some(run) = self.by_id.get_mut(&id) else {
            return;
        };
        let ended = matches!(run.state, RunState::Succeeded | RunState::Failed);
        let undone = run.state == RunState::Undone;
        if !run.plan.changes() || !(undone || (ended && !run.counted)) {
            return;
        }
        let ok = run.state == RunState::Succeeded && verified;
        let people: std::collections::BTreeSet<String> = run
            .approvals
            .iter()
            .map(|approval| approval.actor.clone())
            .chain([run.started_by.clone()])
            .filter(|actor| actor.starts_with("user:"))
            .collect();
        if !undone {
            run.counted = true;
        }
        let run = run.clone();
        let key = Evidence::record_id(&run.plan.runbook, &run.plan.runbook_hash);
        let evidence = self
            .evidence
            .entry(key.clone())
            .or_insert_with(|| Evidence::new(&run.plan.runbook, &run.plan.runbook_hash));
        if undone {
            evidence.undone += 1;
            turn.batch.put(EVIDENCE, &key, &*evidence, None);
            return;
        }
        evidence.n += 1;
        evidence.unknown += u32::from(run.had_unknown);
        evidence.last = Some(turn.now);
        if run.state == RunState::Succeeded {
            if verified {
                evidence.ok += 1;
                evidence.last_ok = Some(turn.now);
            } else {
                evidence.unverified += 1;
            }
            evidence.people.extend(people.iter().cloned());
        }
        let entry = EvidenceRun {
            at: turn.now,
            ok,
            unknown: run.had_unknown,
            edited: edited && run.state == RunState::Succeeded,
            people,
            automatic: run.trigger == Trigger::Automatic,
            shadow: None,
        };
        let (runbook, hash) = (run.plan.runbook.clone(), run.plan.runbook_hash.clone());
        self.remember(&runbook, &hash, entry, turn);
        self.compare_with_shadow(&run, turn);
        let why = if verify_failed {
            "a verify failed"
        } else if run.had_unknown {
            "the outcome of a step was unknown"
        } else if run.state == RunState::Failed {
            "a run failed"
        } else {
            return;
        };
        if self.earned(&runbook, &hash).is_some() {
            self.demote(&runbook, "policy:ladder", why, turn);
        }
    }

    fn compare_with_shadow(&mut self, run: &RunRecord, turn: &mut Turn<'_>) {
        let Some(case) = run.case.filter(|_| run.trigger == Trigger::Person) else {
            return;
        };
        let shadow = self.by_id.values_mut().find(|shadow| {
            shadow.trigger == Trigger::Shadow && shadow.case == Some(case) && !shadow.counted
        });
        let Some(shadow) = shadow else { return };
        shadow.counted = true;
        let steps = |run: &RunRecord| -> Vec<(String, String)> {
            let changes = run
                .plan
                .steps
                .iter()
                .filter(|step| step.effect == Effect::Change);
            changes
                .map(|step| (step.hash.clone(), step.target.clone()))
                .collect()
        };
        let agreed = steps(shadow) == steps(run) && shadow.plan.inputs == run.plan.inputs;
        let (id, runbook, hash) = (
            shadow.id,
            shadow.plan.runbook.clone(),
            shadow.plan.runbook_hash.clone(),
        );
        turn.runs.insert(id);
        let word = if agreed {
            "would have done the same"
        } else {
            "would have done something else"
        };
        let text = format!("{runbook}, in shadow, {word} as {}", run.started_by);
        turn.event(
            run,
            "shadow_compared",
            "policy:shadow",
            text,
            json!({"agreed": agreed, "shadow": id}),
        );
        self.remember(&runbook, &hash, shadow_run(turn.now, agreed), turn);
    }
}

fn shadow_run(at: jiff::Timestamp, agreed: bool) -> EvidenceRun {
    EvidenceRun {
        at,
        ok: false,
        unknown: false,
        edited: false,
        people: std::collections::BTreeSet::new(),
        automatic: false,
        shadow: Some(agreed),
    }
}
