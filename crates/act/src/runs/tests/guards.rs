//! What stands between a wish and a change.

use bellwether_model::RunId;

use super::world::{OK, World, plan_of};
use crate::payload::Outcome;
use crate::plan::Part;
use crate::runs::{Automatic, Reason, RunEvent, RunState, Settings, Trigger};

const PAGE: &str = "---\nrunbook: r\nlimits: {runs: 2/1h, cooldown: 5m}\n---\n# T\n## Fix\n```sh id=a effect=change\na\n```\n";

fn automatic() -> Settings {
    Settings {
        automatic: Automatic::All,
        ..Settings::default()
    }
}

#[test]
fn only_the_plan_that_was_seen_runs() {
    let mut world = World::new(Settings::default());
    let plan = plan_of(PAGE, &Part::Fix, &[]);
    let mut other = plan.clone();
    other.steps[0].timeout_ms += 1;
    assert_eq!(
        world.start(&other, "user:ana", Trigger::Person).1,
        [Reason::DigestMismatch]
    );
    let (run, _) = world.start(&plan, "user:ana", Trigger::Person);
    let event = RunEvent::Approve {
        run,
        actor: "user:ana".into(),
        digest: "another".into(),
    };
    assert_eq!(world.step(event).why, [Reason::DigestMismatch]);
    assert!(world.deliveries.is_empty());
    world.approve(run, "user:ana");
    assert_eq!(world.deliveries.len(), 1);
    let again = RunEvent::Start {
        run,
        plan: Box::new(plan.clone()),
        case: None,
        actor: "user:ana".into(),
        digest: plan.digest.clone(),
        trigger: Trigger::Person,
    };
    assert_eq!(world.step(again).why, [Reason::AlreadyStarted]);
}

#[test]
fn a_plan_with_errors_is_refused() {
    let mut world = World::new(Settings::default());
    let mut plan = plan_of(PAGE, &Part::Fix, &[]);
    plan.problems.push(bellwether_model::Problem::error(
        &"r.md".into(),
        1,
        1,
        "wrong",
    ));
    assert_eq!(
        world.start(&plan, "user:ana", Trigger::Person).1,
        [Reason::PlanHasErrors]
    );
}

#[test]
fn the_requester_cannot_approve_where_another_person_must() {
    let page = PAGE.replace("limits:", "approve: {by: owners, ttl: 5m}\nlimits:");
    let owners = ["ana", "bo"].map(str::to_owned).into();
    let mut world = World::new(Settings {
        groups: [("owners".to_owned(), owners)].into(),
        ..Settings::default()
    });
    let (run, _) = world.start(
        &plan_of(&page, &Part::Fix, &[]),
        "user:ana",
        Trigger::Person,
    );
    assert_eq!(world.approve(run, "user:ana"), [Reason::SelfApproval]);
    assert_eq!(world.approve(run, "user:cy"), [Reason::NotAllowed]);
    assert!(world.approve(run, "user:bo").contains(&Reason::Approved));
    world.answer(OK, "");
    world.wait(600);
    let (run, _) = world.start(
        &plan_of(&page, &Part::Fix, &[]),
        "user:ana",
        Trigger::Person,
    );
    world.wait(301);
    assert_eq!(world.view(run).state, RunState::Expired);
    assert_eq!(world.approve(run, "user:bo"), [Reason::NotWaiting]);
    assert_eq!(world.deliveries.len(), 1);
}

#[test]
fn single_steps_ask_for_their_own_approval_or_confirmation() {
    let page = "# T\n## Fix\n```sh id=a effect=change confirm\na\n```\n```sh id=b effect=change approve\nb\n```\n";
    let mut world = World::new(Settings::default());
    let (run, _) = world.start(&plan_of(page, &Part::Fix, &[]), "user:ana", Trigger::Person);
    world.approve(run, "user:ana");
    assert!(world.deliveries.is_empty());
    let confirm = |count| RunEvent::Confirm {
        run,
        actor: "user:ana".into(),
        count,
    };
    assert_eq!(world.step(confirm(Some(12))).why, [Reason::WrongCount]);
    drop(world.step(confirm(Some(1))));
    world.answer(OK, "");
    assert_eq!(world.approve(run, "user:ana"), [Reason::SelfApproval]);
    world.approve(run, "user:bo");
    world.answer(OK, "");
    assert_eq!(world.view(run).state, RunState::Succeeded);
    let approvals: Vec<_> = world
        .view(run)
        .approvals
        .iter()
        .map(|a| (a.actor.clone(), a.step))
        .collect();
    assert_eq!(
        approvals,
        [
            ("user:ana".to_owned(), None),
            ("user:ana".to_owned(), Some(0)),
            ("user:bo".to_owned(), Some(1))
        ]
    );
}

fn proposed(world: &mut World) -> RunId {
    let page = PAGE.replace("cooldown", "when_locked: reject, cooldown");
    world
        .start(&plan_of(&page, &Part::Fix, &[]), "rule:X", Trigger::Alert)
        .0
}

/// A fix that comes while another run holds the lock is not lost: it waits, and begins when its turn comes.
#[test]
fn whoever_finds_the_lock_held_waits_for_its_turn() {
    let page = PAGE.replace("runs: 2/1h, cooldown: 5m", "lock: web, runs: 9/1h");
    let plan = plan_of(&page, &Part::Fix, &[]);
    let mut world = World::new(automatic());
    let (first, _) = world.start(&plan, "rule:X", Trigger::Automatic);
    let (second, why) = world.start(&plan, "rule:Y", Trigger::Automatic);
    assert!(why.contains(&Reason::Queued), "{why:?}");
    let (third, _) = world.start(&plan, "user:ana", Trigger::Person);
    assert!(world.approve(third, "user:ana").contains(&Reason::Queued));
    assert_eq!(world.deliveries.len(), 1);
    // A restart forgets nobody who waits.
    world.runs = world.restored();
    world.answer(OK, "");
    assert_eq!(world.view(first).state, RunState::Succeeded);
    assert_eq!(world.view(second).state, RunState::Running);
    assert_eq!(world.view(third).state, RunState::Queued);
    world.answer(OK, "");
    world.answer(OK, "");
    assert_eq!(world.view(third).state, RunState::Succeeded);
    let fences = world
        .deliveries
        .iter()
        .map(|d| d.payload["fence"].as_u64().unwrap());
    assert_eq!(fences.collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn whoever_waits_too_long_or_is_replaced_does_not_run() {
    let page = PAGE.replace(
        "runs: 2/1h, cooldown: 5m",
        "lock: web, when_locked: replace",
    );
    let plan = plan_of(&page, &Part::Fix, &[]);
    let mut world = World::new(automatic());
    world.start(&plan, "rule:X", Trigger::Automatic);
    let (second, _) = world.start(&plan, "user:ana", Trigger::Person);
    world.approve(second, "user:ana");
    let (third, _) = world.start(&plan, "user:bo", Trigger::Person);
    world.approve(third, "user:bo");
    assert_eq!(world.view(second).state, RunState::Cancelled);
    world.wait(31 * 60);
    assert_eq!(world.view(third).state, RunState::Expired);
}

#[test]
fn broken_glass_goes_past_the_second_person_only_and_is_recorded() {
    let page = PAGE.replace("limits:", "approve: true\nlimits:");
    let plan = plan_of(&page, &Part::Fix, &[]);
    let mut world = World::new(Settings::default());
    let (run, _) = world.start(&plan, "user:ana", Trigger::Person);
    let glass = |digest: &str| RunEvent::BreakGlass {
        run,
        actor: "user:ana".into(),
        digest: digest.into(),
        reason: "nobody else is awake".into(),
    };
    assert_eq!(world.step(glass("another")).why, [Reason::DigestMismatch]);
    let brake = |engaged| RunEvent::Brake {
        engaged,
        actor: "user:bo".into(),
        reason: "stop".into(),
    };
    drop(world.step(brake(true)));
    assert_eq!(world.step(glass(&plan.digest)).why, [Reason::BrakeHeld]);
    drop(world.step(brake(false)));
    let why = world.step(glass(&plan.digest)).why;
    assert!(
        why.contains(&Reason::BrokeGlass) && why.contains(&Reason::RunStarted),
        "{why:?}"
    );
    assert!(
        world
            .timeline
            .iter()
            .any(|line| line.contains("break_glass"))
    );
    assert_eq!(
        world
            .runs
            .record(run)
            .unwrap()
            .break_glass
            .as_ref()
            .unwrap()
            .actor,
        "user:ana"
    );
}

/// A loop that fixes the same thing again and again is a fault, not a cure.
#[test]
fn the_same_fix_of_the_same_target_stops_after_three_a_day() {
    let page = PAGE.replace("runs: 2/1h, cooldown: 5m", "lock: web");
    let plan = plan_of(&page, &Part::Fix, &[]);
    let mut world = World::new(automatic());
    for _ in 0..3 {
        world.start(&plan, "rule:X", Trigger::Automatic);
        world.answer(OK, "");
        world.wait(7_200);
    }
    assert_eq!(
        world.start(&plan, "rule:X", Trigger::Automatic).1,
        [Reason::SameFixAgain]
    );
    world.wait(24 * 3_600);
    let (_, why) = world.start(&plan, "rule:X", Trigger::Automatic);
    assert!(why.contains(&Reason::RunStarted), "{why:?}");
}

#[test]
fn one_at_a_time_then_a_pause_then_so_many_an_hour() {
    let mut world = World::new(Settings {
        approval_ttl: std::time::Duration::from_hours(9),
        ..Settings::default()
    });
    let (first, second) = (proposed(&mut world), proposed(&mut world));
    world.approve(first, "user:ana");
    assert_eq!(world.approve(second, "user:ana"), [Reason::LockHeld]);
    world.answer(OK, "");
    assert_eq!(world.approve(second, "user:ana"), [Reason::CoolingDown]);
    world.wait(301);
    assert!(
        world
            .approve(second, "user:ana")
            .contains(&Reason::Approved)
    );
    let fences: Vec<_> = world
        .deliveries
        .iter()
        .map(|d| d.payload["fence"].as_u64().unwrap())
        .collect();
    assert_eq!(fences, [1, 2]);
    world.answer(OK, "");
    world.wait(301);
    let third = proposed(&mut world);
    assert_eq!(world.approve(third, "user:ana"), [Reason::TooManyRuns]);
    world.wait(3_600);
    assert!(world.approve(third, "user:ana").contains(&Reason::Approved));
}

#[test]
fn automation_needs_leave_and_a_budget() {
    let plan = |n: usize| {
        plan_of(
            &PAGE.replace("runbook: r", &format!("runbook: r{n}")),
            &Part::Fix,
            &[],
        )
    };
    let mut world = World::new(Settings::default());
    assert_eq!(
        world.start(&plan(0), "rule:X", Trigger::Automatic).1,
        [Reason::NotAutomatic]
    );

    let mut world = World::new(automatic());
    for n in 0..10 {
        let (run, why) = world.start(&plan(n), "rule:X", Trigger::Automatic);
        assert!(why.contains(&Reason::RunStarted), "{n}: {why:?}");
        assert_eq!(world.view(run).approvals[0].actor, "policy:automatic");
        world.answer(OK, "");
    }
    assert_eq!(
        world.start(&plan(10), "rule:X", Trigger::Automatic).1,
        [Reason::BudgetSpent]
    );
    world.wait(3_600);
    for n in 11..14 {
        world.start(&plan(n), "rule:X", Trigger::Automatic);
    }
    assert_eq!(
        world.start(&plan(14), "rule:X", Trigger::Automatic).1,
        [Reason::BudgetSpent],
        "three at a time"
    );
}

#[test]
fn the_brake_holds_changes_and_lets_go() {
    let page = "# T\n## Fix\n```sh id=a effect=change\na\n```\n```sh id=b effect=change\nb\n```\n";
    let mut world = World::new(Settings::default());
    let (run, _) = world.start(&plan_of(page, &Part::Fix, &[]), "user:ana", Trigger::Person);
    world.approve(run, "user:ana");
    let brake = |engaged| RunEvent::Brake {
        engaged,
        actor: "user:bo".into(),
        reason: "half the fleet is down".into(),
    };
    drop(world.step(brake(true)));
    assert!(world.answer(OK, "").contains(&Reason::BrakeHeld));
    assert_eq!(world.deliveries.len(), 1);
    let (other, _) = world.start(&plan_of(PAGE, &Part::Fix, &[]), "user:ana", Trigger::Person);
    assert_eq!(world.approve(other, "user:ana"), [Reason::BrakeHeld]);
    world.runs = world.restored();
    assert_eq!(world.runs.brake().unwrap().reason, "half the fleet is down");
    drop(world.step(brake(false)));
    assert_eq!(world.deliveries.len(), 2);
}

#[test]
fn a_run_past_its_deadline_begins_nothing_more() {
    let page = "---\nrunbook: r\nlimits: {deadline: 1m}\n---\n# T\n## Fix\n```sh id=a effect=change\na\n```\n```sh id=b effect=change\nb\n```\n";
    let mut world = World::new(Settings::default());
    let (run, _) = world.start(&plan_of(page, &Part::Fix, &[]), "user:ana", Trigger::Person);
    world.approve(run, "user:ana");
    world.wait(61);
    assert_eq!(
        world.view(run).state,
        RunState::Running,
        "what is in flight is waited for"
    );
    world.answer(OK, "");
    assert_eq!(
        (world.view(run).state, world.deliveries.len()),
        (RunState::Failed, 1)
    );
    assert_eq!(world.view(run).why, "its deadline has passed");
}

#[test]
fn stopping_waits_for_what_is_in_flight() {
    let page = "# T\n## Fix\n```sh id=a effect=change\na\n```\n```sh id=b effect=change\nb\n```\n";
    let mut world = World::new(Settings::default());
    let (run, _) = world.start(&plan_of(page, &Part::Fix, &[]), "user:ana", Trigger::Person);
    world.approve(run, "user:ana");
    drop(world.step(RunEvent::Cancel {
        run,
        actor: "user:bo".into(),
        reason: "wrong one".into(),
    }));
    assert_eq!(world.view(run).state, RunState::Running);
    world.answer(Outcome::Exited { code: 0 }, "");
    let view = world.view(run);
    assert_eq!(
        (view.state, view.why.as_str()),
        (RunState::Cancelled, "stopped by user:bo: wrong one")
    );
    assert_eq!(world.deliveries.len(), 1);
}

#[test]
fn every_reason_has_one_stable_word() {
    let word = |reason: Reason| serde_json::to_value(reason).unwrap();
    assert_eq!(word(Reason::LockHeld), "lock_held");
    assert!(Reason::LockHeld.is_refusal() && Reason::AlreadyStarted.is_refusal());
    assert!(!Reason::Waiting.is_refusal());
}
