//! Whole runs, told by their timeline.

use bellwether_model::Labels;

use super::world::{OK, START, World, plan_of};
use crate::payload::Outcome;
use crate::plan::{GivenInputs, Part, input_queries, plan};
use crate::runbook::{Effect, Runbook};
use crate::runs::{Need, Reason, RunEvent, RunState, Settings, StepState, Trigger};

fn demo_page() -> Runbook {
    let text = include_str!("../../../../../runbooks/web-slow-replica.md");
    let (runbook, problems) = Runbook::parse("runbooks/web-slow-replica.md", text);
    assert!(problems.0.is_empty(), "{problems}");
    runbook.unwrap()
}

fn demo_inputs(runbook: &Runbook) -> GivenInputs {
    let mut given = GivenInputs {
        annotations: Labels::new([("balancer", "http://127.0.0.1:4000")]).into(),
        ..GivenInputs::default()
    };
    let queries = input_queries(runbook, &given);
    assert_eq!(queries.len(), 1);
    assert_eq!(queries[0].input, "replica");
    given.queried.insert(
        "replica".into(),
        vec![(Labels::new([("replica", "2")]), 1.8)],
    );
    given
}

#[test]
fn the_page_arrives_with_findings_and_one_tap_fixes() {
    let runbook = demo_page();
    let given = demo_inputs(&runbook);
    let mut world = World::new(Settings::default());

    let diagnosis = plan(&runbook, &given, &Part::Diagnosis, START.parse().unwrap());
    assert!(
        diagnosis.runnable() && !diagnosis.changes(),
        "{:?}",
        diagnosis.problems
    );
    let (run, why) = world.start(&diagnosis, "rule:WebLatencyBurn", Trigger::Alert);
    assert!(why.contains(&Reason::RunStarted), "{why:?}");
    // Read steps do not wait for each other.
    assert_eq!(world.deliveries.len(), 4);
    world.answer(
        Outcome::Answered,
        "{replica=\"2\"} 1.8\n{replica=\"1\"} 0.04\n",
    );
    world.answer(Outcome::Answered, "");
    world.answer(
        Outcome::Answered,
        "{replica=\"1\"} 20\n{replica=\"2\"} 20\n",
    );
    assert_eq!(
        world.deliveries[3].payload["url"],
        "http://127.0.0.1:4000/admin/status"
    );
    world.answer(Outcome::Responded { status: 200 }, "1: active\n2: active\n");
    let view = world.view(run);
    assert_eq!(view.state, RunState::Succeeded);
    assert_eq!(
        view.findings(2)[0],
        (
            "p99 latency by replica (s)".to_owned(),
            "{replica=\"2\"} 1.8\n{replica=\"1\"} 0.04".to_owned()
        )
    );

    let fix = plan(&runbook, &given, &Part::Fix, START.parse().unwrap());
    assert!(fix.runnable() && fix.changes(), "{:?}", fix.problems);
    let (run, why) = world.start(&fix, "rule:WebLatencyBurn", Trigger::Alert);
    assert_eq!(why, [Reason::WaitsForApproval]);
    assert_eq!(world.deliveries.len(), 4, "nothing is sent before the tap");
    world.wait(30);
    world.approve(run, "user:ana");
    let drain = world.deliveries[4].clone();
    assert_eq!(drain.payload["method"], "POST");
    assert_eq!(
        drain.payload["url"],
        "http://127.0.0.1:4000/admin/drain?replica=2"
    );
    assert_eq!(drain.key, format!("{run}/000/1"));
    world.answer(Outcome::Responded { status: 200 }, "draining");
    world.check(false);
    world.wait(5);
    world.check(true);
    assert_eq!(world.view(run).state, RunState::Succeeded);
    let evidence = world
        .runs
        .evidence("web-slow-replica", &runbook.hash)
        .unwrap();
    assert_eq!((evidence.n, evidence.ok), (1, 1));
    assert!(evidence.people.contains("user:ana"));

    assert!(world.view(run).can_undo);
    drop(world.step(RunEvent::Undo {
        run,
        actor: "user:bo".into(),
    }));
    assert_eq!(
        world.deliveries.last().unwrap().payload["url"],
        "http://127.0.0.1:4000/admin/undrain?replica=2"
    );
    world.answer(Outcome::Responded { status: 200 }, "");
    assert_eq!(world.view(run).state, RunState::Undone);
    assert!(!world.view(run).can_undo);

    let timeline = world
        .timeline
        .join("\n")
        .replace(fix.short_digest(), "<digest>");
    insta::assert_snapshot!(timeline, @r#"
     0s rule:WebLatencyBurn run_started: One replica of a web service is slow: diagnosis started by rule:WebLatencyBurn
     0s rule:WebLatencyBurn step_started: p99 latency by replica (s): started
     0s rule:WebLatencyBurn step_started: Error ratio by replica: started
     0s rule:WebLatencyBurn step_started: Requests per second by replica: started
     0s rule:WebLatencyBurn step_started: Balancer: replicas and requests in flight: started
     0s system step_finished: p99 latency by replica (s): answered
     0s system step_finished: Error ratio by replica: answered
     0s system step_finished: Requests per second by replica: answered
     0s system step_finished: Balancer: replicas and requests in flight: HTTP 200
     0s system run_succeeded: One replica of a web service is slow: diagnosis succeeded
     0s rule:WebLatencyBurn run_proposed: One replica of a web service is slow waits for approval of plan <digest>
    30s user:ana run_started: One replica of a web service is slow: fix started by user:ana
    30s user:ana step_started: Drain replica 2: started
    30s system step_finished: Drain replica 2: HTTP 200
    30s user:ana step_started: 99 % of requests are fast again: started
    35s system verify_held: Verified: 99 % of requests are fast again
    35s system run_succeeded: One replica of a web service is slow: fix succeeded
    35s user:bo undo_started: One replica of a web service is slow: user:bo takes it back
    35s user:bo undo_step_started: Undrain replica 2: started
    35s system undo_step_finished: Undrain replica 2: HTTP 200
    35s system undo_finished: One replica of a web service is slow: fix was taken back
    "#);
}

const TWO_CHANGES: &str = "\
# T
## Fix
```sh id=one effect=change probe=probe
one
```
```sh undo
undo-one
```
```sh id=two effect=change
two
```
```sh id=probe effect=read
probe
```
## Undo
```sh id=rest effect=change
undo-rest
```
";

fn running(page: &str) -> (World, bellwether_model::RunId) {
    let mut world = World::new(Settings::default());
    let (run, _) = world.start(&plan_of(page, &Part::Fix, &[]), "user:ana", Trigger::Person);
    world.approve(run, "user:ana");
    (world, run)
}

fn states(world: &World, run: bellwether_model::RunId) -> Vec<(String, StepState)> {
    world
        .view(run)
        .steps
        .iter()
        .map(|step| (step.id.clone(), step.state))
        .collect()
}

#[test]
fn an_unknown_step_asks_its_probe() {
    for (exit, attempts, state) in [(0, 1, StepState::Succeeded), (1, 2, StepState::Intent)] {
        let (mut world, run) = running(TWO_CHANGES);
        world.answer(
            Outcome::Unknown {
                reason: "restarted".into(),
            },
            "",
        );
        let probe = world.deliveries.last().unwrap();
        assert_eq!(
            (probe.key.clone(), &probe.payload["body"]),
            (format!("{run}/000/1/probe/1"), &"probe".into())
        );
        world.answer(Outcome::Exited { code: exit }, "");
        let step = &world.runs.step_records(run)[0];
        assert_eq!((step.attempt, step.state), (attempts, state));
    }
}

#[test]
fn what_no_probe_can_tell_waits_for_a_person() {
    let (mut world, run) = running(TWO_CHANGES);
    world.answer(OK, "");
    world.answer(
        Outcome::Unknown {
            reason: "restarted".into(),
        },
        "",
    );
    let view = world.view(run);
    assert_eq!(view.state, RunState::Parked);
    assert_eq!(view.need, Some(Need::Resolve { step: "two".into() }));
    assert_eq!(
        world.deliveries.len(),
        2,
        "a change that is not idempotent is not repeated"
    );
    // A result that comes back after all settles it.
    let key = world.deliveries[1].key.clone();
    world.answer_key(&key, OK, "late");
    assert_eq!(world.view(run).state, RunState::Succeeded);
    let evidence = world
        .runs
        .evidence("test", &world.runs.record(run).unwrap().plan.runbook_hash)
        .unwrap();
    assert_eq!(
        (
            evidence.n,
            evidence.ok,
            evidence.unverified,
            evidence.unknown
        ),
        (1, 0, 1, 1)
    );
}

#[test]
fn a_person_settles_what_is_unknown() {
    for (done, deliveries, state) in [
        (true, 2, RunState::Succeeded),
        (false, 3, RunState::Running),
    ] {
        let (mut world, run) = running(TWO_CHANGES);
        world.answer(OK, "");
        world.answer(
            Outcome::Unknown {
                reason: "restarted".into(),
            },
            "",
        );
        let actor = "user:bo".to_owned();
        drop(world.step(RunEvent::Resolve {
            run,
            step: "two".into(),
            actor,
            done,
            note: "looked".into(),
        }));
        assert_eq!(
            (world.deliveries.len(), world.view(run).state),
            (deliveries, state)
        );
        assert_eq!(world.view(run).steps[1].by, "user:bo");
    }
}

#[test]
fn no_result_in_time_is_unknown_and_reads_are_repeated() {
    let page = "# T\n## Diagnosis\n```sh id=look effect=read timeout=5s\nlook\n```\n";
    let mut world = World::new(Settings::default());
    let (run, _) = world.start(
        &plan_of(page, &Part::Diagnosis, &[]),
        "rule:X",
        Trigger::Alert,
    );
    let key = world.take().unwrap().key;
    drop(world.step(RunEvent::StepStarted { key }));
    world.wait(5 + 10 + 29);
    assert_eq!(states(&world, run)[0].1, StepState::Started);
    world.wait(1);
    assert_eq!(states(&world, run)[0].1, StepState::Intent);
    assert_eq!(world.runs.step_records(run)[0].attempt, 2);
    world.answer(OK, "fine");
    assert_eq!(world.view(run).state, RunState::Succeeded);
}

#[test]
fn undo_goes_backwards_over_done_and_unknown() {
    let (mut world, run) = running(TWO_CHANGES);
    world.answer(OK, "");
    world.answer(
        Outcome::Unknown {
            reason: "restarted".into(),
        },
        "",
    );
    drop(world.step(RunEvent::Undo {
        run,
        actor: "user:ana".into(),
    }));
    let bodies = |world: &World| -> Vec<String> {
        world
            .deliveries
            .iter()
            .map(|d| d.payload["body"].as_str().unwrap_or("").to_owned())
            .collect()
    };
    world.answer(OK, "");
    world.answer(OK, "");
    assert_eq!(bodies(&world), ["one", "two", "undo-one", "undo-rest"]);
    assert_eq!(
        states(&world, run),
        [
            ("one".to_owned(), StepState::Undone),
            ("two".to_owned(), StepState::Undone),
            (world.view(run).steps[2].id.clone(), StepState::Succeeded),
            ("rest".to_owned(), StepState::Succeeded),
        ]
    );
    assert_eq!(world.view(run).state, RunState::Undone);
}

#[test]
fn a_failed_undo_parks_and_can_be_tried_again() {
    let (mut world, run) = running(TWO_CHANGES);
    world.answer(Outcome::Exited { code: 3 }, "");
    assert_eq!(world.view(run).state, RunState::Failed);
    assert_eq!(world.view(run).why, "Fix: exit 3");
    assert_eq!(states(&world, run)[1].1, StepState::Skipped);
    let undo = |world: &mut World| {
        world
            .step(RunEvent::Undo {
                run,
                actor: "user:ana".into(),
            })
            .why
    };
    undo(&mut world);
    world.answer(Outcome::Exited { code: 1 }, "");
    assert!(matches!(
        world.view(run).need,
        Some(Need::UndoFailed { .. })
    ));
    undo(&mut world);
    world.answer(OK, "");
    assert_eq!(world.view(run).state, RunState::Undone);
    assert_eq!(undo(&mut world), [Reason::NothingToUndo]);
}

#[test]
fn a_step_that_surely_never_ran_is_not_undone() {
    let (mut world, run) = running(TWO_CHANGES);
    world.answer(
        Outcome::FailedToStart {
            error: "no bash".into(),
        },
        "",
    );
    assert_eq!(world.view(run).state, RunState::Failed);
    assert!(!world.view(run).can_undo);
}

#[test]
fn a_verify_that_does_not_come_true_fails_the_run() {
    let page = "# T\n## Fix\n```sh id=a effect=change verify=\"up == 1\" within=10s\na\n```\n";
    let (mut world, run) = running(page);
    world.answer(OK, "");
    for _ in 0..2 {
        world.check(false);
        world.wait(5);
    }
    assert_eq!(world.view(run).state, RunState::Running);
    let why = world.check(false);
    assert!(
        why.contains(&Reason::VerifyFailed) && why.contains(&Reason::RunFailed),
        "{why:?}"
    );
    assert_eq!(
        world.view(run).steps[0].verify.as_ref().unwrap().holds,
        Some(false)
    );
    assert!(!world.view(run).can_undo || world.view(run).steps[0].effect == Effect::Change);
    let hash = world.runs.record(run).unwrap().plan.runbook_hash.clone();
    let evidence = world.runs.evidence("test", &hash).unwrap();
    assert_eq!((evidence.n, evidence.ok), (1, 0));
}

#[test]
fn manual_steps_wait_for_a_person_and_name_them() {
    let page =
        "# T\n## Fix\n```manual id=key\nTurn the key.\n```\n```sh id=b effect=change\nb\n```\n";
    let (mut world, run) = running(page);
    assert_eq!(
        world.view(run).need,
        Some(Need::Manual { step: "key".into() })
    );
    // That nobody could be told in time does not end the step.
    let key = world.deliveries[0].key.clone();
    let expired = Outcome::FailedToStart {
        error: "expired".into(),
    };
    assert_eq!(
        world.answer_key(&key, expired, ""),
        [Reason::WaitsForPerson]
    );
    world.wait(100_000);
    assert_eq!(
        world.view(run).state,
        RunState::Parked,
        "a person takes the time it takes"
    );
    let told = |done| RunEvent::ManualDone {
        run,
        step: "key".into(),
        actor: "user:bo".into(),
        done,
        note: "left".into(),
    };
    drop(world.step(told(true)));
    assert_eq!(world.step(told(true)).why, [Reason::NotWaiting]);
    assert_eq!(world.view(run).steps[0].by, "user:bo");
    world.take();
    world.answer(OK, "");
    assert_eq!(world.view(run).state, RunState::Succeeded);
}

#[test]
fn idempotent_steps_are_repeated_with_growing_pauses() {
    let page = "# T\n## Fix\n```sh id=a effect=change idempotent retries=2\na\n```\n";
    let (mut world, run) = running(page);
    for (pause, attempt) in [(2, 1), (4, 2)] {
        world.answer(Outcome::TimedOut, "");
        world.wait(pause - 1);
        assert_eq!(world.deliveries.len(), attempt);
        world.wait(1);
        assert_eq!(world.deliveries.len(), attempt + 1);
    }
    world.answer(Outcome::Signalled { signal: 9 }, "");
    assert_eq!(world.view(run).why, "Fix: killed by signal 9");
}

#[test]
fn captured_fields_reach_later_steps_as_environment() {
    let page = "# T\n## Diagnosis\n```sh id=who effect=read capture=json\nwho\n```\n```sh id=next effect=read\necho \"$CAPTURE_WHO_NAME\"\n```\n";
    let mut world = World::new(Settings::default());
    let (runbook, _) = Runbook::parse("t.md", page);
    let mut runbook = runbook.unwrap();
    runbook.steps[1].placeholders.clear();
    let plan = plan(
        &runbook,
        &GivenInputs::default(),
        &Part::Diagnosis,
        START.parse().unwrap(),
    );
    world.start(&plan, "rule:X", Trigger::Alert);
    assert_eq!(
        world.deliveries.len(),
        1,
        "steps wait for each other when one captures"
    );
    world.answer(OK, "{\"name\": \"ana\", \"n\": 3}");
    assert_eq!(
        world.deliveries[1].payload["env"],
        serde_json::json!({"CAPTURE_WHO_NAME": "ana", "CAPTURE_WHO_N": "3"})
    );
}
