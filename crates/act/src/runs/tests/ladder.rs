//! Scripted histories: a rung is earned exactly when the evidence suffices, and lost at the first doubt.

use super::world::{OK, World, plan_of};
use crate::ladder::{Earned, PageFacts};
use crate::payload::{Outcome, VerifyResult};
use crate::plan::{Part, Plan};
use crate::runbook::Runbook;
use crate::runs::{Reason, RunEvent, RunState, Settings, Trigger};
use bellwether_model::CaseId;

const PAGE: &str = "---\nrunbook: r\nowner: web\nlimits: {runs: 999/1h}\n---\n# T\n## Fix\n\
                    ```sh id=a effect=change idempotent timeout=5s\na\n```\n\
                    ## Verify\n```promql timeout=5s\nup == 1\n```\n";
const DAY: u64 = 24 * 3_600;

fn facts(page: &str) -> PageFacts {
    PageFacts::of(&Runbook::parse("r.md", page).0.unwrap())
}

struct History {
    world: World,
    plan: Plan,
}

impl History {
    fn new() -> Self {
        Self {
            world: World::new(Settings::default()),
            plan: plan_of(PAGE, &Part::Fix, &[]),
        }
    }

    /// One run by a person, with a verify that holds or not.
    fn run(&mut self, who: &str, well: bool) {
        let (run, _) = self.world.start(&self.plan, who, Trigger::Person);
        self.world.approve(run, who);
        self.world.answer(OK, "");
        self.verify(well);
        let state = if well {
            RunState::Succeeded
        } else {
            RunState::Failed
        };
        assert_eq!(self.world.view(run).state, state);
        self.world.wait(60);
    }

    fn verify(&mut self, well: bool) {
        let result = |well: bool| {
            if well {
                VerifyResult::Holds { text: "1".into() }
            } else {
                VerifyResult::NotYet { text: "0".into() }
            }
        };
        loop {
            let Some(check) = self
                .world
                .deliveries
                .last()
                .filter(|d| d.key.contains("/verify/"))
            else {
                panic!("nothing is being verified");
            };
            let key = check.key.clone();
            let why = self
                .world
                .step(RunEvent::VerifyResult {
                    key,
                    result: result(well),
                })
                .why;
            if well || why.contains(&Reason::VerifyFailed) {
                self.world.answered = self.world.deliveries.len();
                return;
            }
            self.world.wait(5);
        }
    }

    fn promote(&mut self, to: Earned, page: &str) -> Vec<Reason> {
        let event = RunEvent::Promote {
            page: facts(page),
            to,
            actor: "user:ana".into(),
        };
        self.world.step(event).why
    }

    fn earned(&self) -> Option<Earned> {
        self.world.runs.earned("r", &self.plan.runbook_hash)
    }

    fn twenty(&mut self) {
        for n in 0..20 {
            self.run(if n % 2 == 0 { "user:ana" } else { "user:bo" }, true);
        }
    }
}

#[test]
fn twenty_verified_runs_of_two_people_are_enough_and_nineteen_are_not() {
    let mut history = History::new();
    for n in 0..18 {
        history.run(if n % 2 == 0 { "user:ana" } else { "user:bo" }, true);
        assert_eq!(
            history.promote(Earned::Automatic, PAGE),
            [Reason::NotEarned],
            "{n}"
        );
    }
    // 18/18 has 0.824, 19/19 has 0.832.
    history.run("user:ana", true);
    assert_eq!(history.promote(Earned::Automatic, PAGE), [Reason::Promoted]);
    assert_eq!(history.earned(), Some(Earned::Automatic));
    history.world.runs = history.world.restored();
    assert_eq!(history.earned(), Some(Earned::Automatic));
}

#[test]
fn one_person_is_not_enough_and_neither_are_old_runs() {
    let mut history = History::new();
    for _ in 0..40 {
        history.run("user:ana", true);
    }
    assert_eq!(
        history.promote(Earned::Automatic, PAGE),
        [Reason::NotEarned]
    );
    history.run("user:bo", true);
    history.world.wait(31 * DAY);
    assert_eq!(
        history.promote(Earned::Automatic, PAGE),
        [Reason::NotEarned]
    );
    history.run("user:ana", true);
    assert_eq!(history.promote(Earned::Automatic, PAGE), [Reason::Promoted]);
    let mut history = History::new();
    history.twenty();
    history.world.wait(91 * DAY);
    history.run("user:ana", true);
    history.run("user:bo", true);
    assert_eq!(
        history.promote(Earned::Automatic, PAGE),
        [Reason::NotEarned]
    );
}

#[test]
fn one_failed_verify_demotes_at_once() {
    let mut history = History::new();
    history.twenty();
    history.promote(Earned::Automatic, PAGE);
    let (run, why) = history
        .world
        .start(&history.plan, "rule:X", Trigger::Automatic);
    assert!(why.contains(&Reason::RunStarted), "{why:?}");
    history.world.answer(OK, "");
    history.verify(false);
    assert_eq!(history.world.view(run).state, RunState::Failed);
    assert_eq!(history.earned(), None);
    let (_, why) = history
        .world
        .start(&history.plan, "rule:X", Trigger::Automatic);
    assert_eq!(why, [Reason::NotAutomatic]);
    // 20 of 21 has 0.77: it must be earned again.
    assert_eq!(
        history.promote(Earned::Automatic, PAGE),
        [Reason::NotEarned]
    );
    for n in 0..8 {
        history.run(if n % 2 == 0 { "user:ana" } else { "user:bo" }, true);
    }
    // 28 of 29 has 0.828, 29 of 30 has 0.833.
    assert_eq!(
        history.promote(Earned::Automatic, PAGE),
        [Reason::NotEarned]
    );
    history.run("user:ana", true);
    assert_eq!(history.promote(Earned::Automatic, PAGE), [Reason::Promoted]);
}

#[test]
fn an_unknown_outcome_demotes_at_once() {
    let mut history = History::new();
    history.twenty();
    history.promote(Earned::Automatic, PAGE);
    history
        .world
        .start(&history.plan, "rule:X", Trigger::Automatic);
    let reason = "x".to_owned();
    history.world.answer(Outcome::Unknown { reason }, "");
    history.world.answer(OK, "");
    history.verify(true);
    assert_eq!(history.earned(), None);
}

#[test]
fn an_edit_demotes_and_starts_new_evidence() {
    let mut history = History::new();
    history.twenty();
    history.promote(Earned::Automatic, PAGE);
    let edited = PAGE.replace("\na\n", "\nb\n");
    drop(history.world.step(RunEvent::Pages(vec![facts(PAGE)])));
    assert_eq!(history.earned(), Some(Earned::Automatic));
    assert_eq!(
        history
            .world
            .step(RunEvent::Pages(vec![facts(&edited)]))
            .why,
        [Reason::Demoted]
    );
    assert_eq!(history.earned(), None);
    assert_eq!(
        history.promote(Earned::Automatic, &edited),
        [Reason::NotEarned]
    );
    history.promote(Earned::Automatic, PAGE);
    let ownerless = PAGE.replace("owner: web\n", "");
    assert_eq!(
        history
            .world
            .step(RunEvent::Pages(vec![facts(&ownerless)]))
            .why,
        [Reason::Demoted]
    );
}

#[test]
fn a_promotion_needs_a_persons_name() {
    let mut history = History::new();
    history.twenty();
    let event = RunEvent::Promote {
        page: facts(PAGE),
        to: Earned::Automatic,
        actor: "rule:X".into(),
    };
    assert_eq!(history.world.step(event).why, [Reason::NotEarned]);
}

/// In shadow nothing runs; what the person did is the measure.
#[test]
fn a_shadow_is_compared_with_the_person() {
    let mut history = History::new();
    assert_eq!(history.promote(Earned::Shadow, PAGE), [Reason::Promoted]);
    let case = |n: u64| CaseId::from_raw(n);
    let start = |history: &mut History, case, trigger, actor: &str| {
        let run = bellwether_model::RunId::new(history.world.now, &mut history.world.ids);
        drop(history.world.step(RunEvent::Start {
            run,
            plan: Box::new(history.plan.clone()),
            case: Some(case),
            actor: actor.to_owned(),
            digest: history.plan.digest.clone(),
            trigger,
        }));
        run
    };
    let shadow = start(&mut history, case(1), Trigger::Shadow, "automation");
    assert_eq!(history.world.view(shadow).state, RunState::Shadowed);
    assert!(history.world.deliveries.is_empty());
    let real = start(&mut history, case(1), Trigger::Person, "user:ana");
    history.world.approve(real, "user:ana");
    history.world.answer(OK, "");
    history.verify(true);
    drop(history.world.step(RunEvent::Cleared { case: case(1) }));
    // Another case: the alert ended by itself.
    start(&mut history, case(2), Trigger::Shadow, "automation");
    drop(history.world.step(RunEvent::Cleared { case: case(2) }));
    let now = history.world.now;
    let standing = history
        .world
        .runs
        .standing("r", &history.plan.runbook_hash, now);
    assert_eq!(
        (standing.shadows, standing.shadows_agreed, standing.n),
        (2, 1, 1)
    );
}

/// What an automatic run was to fix has ended: no further change is begun.
#[test]
fn what_is_no_longer_needed_is_not_done() {
    let mut history = History::new();
    history.world.runs.set_settings(Settings {
        automatic: crate::runs::Automatic::All,
        ..Settings::default()
    });
    let page = PAGE.replace(
        "## Verify",
        "```sh id=b effect=change idempotent\nb\n```\n## Verify",
    );
    let plan = plan_of(&page, &Part::Fix, &[]);
    let run = bellwether_model::RunId::new(history.world.now, &mut history.world.ids);
    let case = CaseId::from_raw(7);
    drop(history.world.step(RunEvent::Start {
        run,
        plan: Box::new(plan.clone()),
        case: Some(case),
        actor: "rule:X".into(),
        digest: plan.digest,
        trigger: Trigger::Automatic,
    }));
    assert_eq!(history.world.deliveries.len(), 1);
    drop(history.world.step(RunEvent::Cleared { case }));
    history.world.answer(OK, "");
    assert_eq!(history.world.deliveries.len(), 1);
    let view = history.world.view(run);
    assert_eq!(
        (view.state, view.why.contains("no longer needed")),
        (RunState::Cancelled, true)
    );
}
