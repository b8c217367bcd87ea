//! A crash at any point: what comes back from the records decides as the one that never fell would have.

use std::sync::LazyLock;

use bellwether_model::RunId;
use proptest::prelude::*;

use super::world::{World, plan_of};
use crate::payload::{Outcome, Output, StepResult, VerifyResult};
use crate::plan::{Part, Plan};
use crate::runs::{Automatic, Need, RunEvent, Settings, Trigger};

/// Steps of every kind: read, change with undo and verify, with probe, idempotent with retries, by hand, confirmed.
const PAGE: &str = r#"---
runbook: everything
limits: {runs: 5/1h, deadline: 20m}
---
# Everything
## Fix
```sh id=look effect=read timeout=10s capture=text
look
```
```sh id=stop effect=change timeout=10s probe=is-stopped
stop
```
```sh undo
start
```
```sh id=set effect=change idempotent retries=2 timeout=10s verify="up == 1" within=20s
set
```
```manual id=hand
Turn the key.
```
```sh id=last effect=change timeout=10s confirm
last
```
```sh id=is-stopped effect=read timeout=10s
is-stopped
```
## Verify
```promql id=good within=30s
good == 1
```
## Undo
```sh id=common
common
```
"#;

static PLAN: LazyLock<Plan> = LazyLock::new(|| plan_of(PAGE, &Part::Fix, &[]));

#[derive(Clone, Debug)]
enum Act {
    Start(bool),
    Approve(usize),
    Confirm(usize),
    Cancel(usize),
    Undo(usize),
    Brake(bool),
    Manual(usize, bool),
    Resolve(usize, bool),
    Begin(usize),
    Answer(usize, u8),
    /// What the run needs most, done well.
    Help(usize),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => any::<bool>().prop_map(Act::Start),
        4 => (0..3_usize).prop_map(Act::Approve),
        2 => (0..3_usize).prop_map(Act::Confirm),
        1 => (0..3_usize).prop_map(Act::Cancel),
        1 => (0..3_usize).prop_map(Act::Undo),
        1 => any::<bool>().prop_map(Act::Brake),
        3 => (0..3_usize, any::<bool>()).prop_map(|(run, done)| Act::Manual(run, done)),
        2 => (0..3_usize, any::<bool>()).prop_map(|(run, done)| Act::Resolve(run, done)),
        4 => (0..4_usize).prop_map(Act::Begin),
        40 => (0..3_usize).prop_map(Act::Help),
        12 => (0..3_usize, 0..12_u8).prop_map(|(which, how)| Act::Answer(which, how)),
        6 => prop_oneof![1..30_u64, 60..1_000_u64].prop_map(Act::Wait),
    ]
}

fn outcome(how: u8) -> Outcome {
    match how {
        0..=6 => Outcome::Exited { code: 0 },
        7 => Outcome::Exited { code: 1 },
        8 => Outcome::TimedOut,
        9 => Outcome::FailedToStart {
            error: "no shell".into(),
        },
        10 => Outcome::Signalled { signal: 9 },
        _ => Outcome::Unknown {
            reason: "restarted".into(),
        },
    }
}

fn to_event(act: &Act, world: &mut World, started: &mut Vec<RunId>) -> Option<RunEvent> {
    let actor = "user:ana".to_owned();
    let waiting = |world: &World, which: usize| {
        let count = world.deliveries.len();
        world
            .deliveries
            .get(count.checked_sub(1 + which)?)
            .map(|delivery| delivery.key.clone())
    };
    Some(match act {
        Act::Start(alert) => {
            let plan = PLAN.clone();
            let run = RunId::new(world.now, &mut world.ids);
            started.push(run);
            let trigger = if *alert {
                Trigger::Alert
            } else {
                Trigger::Person
            };
            let digest = plan.digest.clone();
            RunEvent::Start {
                run,
                plan: Box::new(plan),
                case: None,
                actor,
                digest,
                trigger,
            }
        }
        Act::Approve(index) => {
            let run = *started.get(*index)?;
            let digest = PLAN.digest.clone();
            RunEvent::Approve { run, actor, digest }
        }
        Act::Confirm(index) => RunEvent::Confirm {
            run: *started.get(*index)?,
            actor,
            count: None,
        },
        Act::Cancel(index) => RunEvent::Cancel {
            run: *started.get(*index)?,
            actor,
            reason: String::new(),
        },
        Act::Undo(index) => RunEvent::Undo {
            run: *started.get(*index)?,
            actor,
        },
        Act::Brake(engaged) => RunEvent::Brake {
            engaged: *engaged,
            actor,
            reason: "test".into(),
        },
        Act::Manual(index, done) => RunEvent::ManualDone {
            run: *started.get(*index)?,
            step: "hand".into(),
            actor,
            done: *done,
            note: "seen".into(),
        },
        Act::Resolve(index, done) => {
            let run = *started.get(*index)?;
            let step = match world.runs.record(run)?.need.clone()? {
                Need::Resolve { step } => step,
                _ => "stop".into(),
            };
            RunEvent::Resolve {
                run,
                step,
                actor,
                done: *done,
                note: String::new(),
            }
        }
        Act::Begin(which) => RunEvent::StepStarted {
            key: waiting(world, *which)?,
        },
        Act::Answer(which, how) => {
            let key = waiting(world, *which)?;
            if key.contains("/verify/") {
                let result = match how {
                    0..=5 => VerifyResult::Holds { text: "1".into() },
                    6..=9 => VerifyResult::NotYet {
                        text: String::new(),
                    },
                    _ => VerifyResult::Error {
                        error: "no answer".into(),
                    },
                };
                RunEvent::VerifyResult { key, result }
            } else {
                let result = StepResult {
                    outcome: outcome(*how),
                    output: Output::new("out", "err"),
                    duration_ms: 1,
                    secrets: std::collections::BTreeMap::new(),
                };
                RunEvent::StepOutcome { key, result }
            }
        }
        Act::Help(index) => return help(*index, world, started),
        Act::Wait(seconds) => {
            world.now += std::time::Duration::from_secs(*seconds);
            RunEvent::Tick
        }
    })
}

fn help(index: usize, world: &mut World, started: &mut Vec<RunId>) -> Option<RunEvent> {
    let run = *started.get(index)?;
    let record = world.runs.record(run)?;
    let act = match &record.need {
        Some(Need::Lock { .. }) => Act::Wait(60),
        Some(Need::Approval) => Act::Approve(index),
        Some(Need::Confirmation { .. } | Need::StepApproval { .. }) => Act::Confirm(index),
        Some(Need::Manual { .. }) => Act::Manual(index, true),
        Some(Need::Resolve { .. }) => Act::Resolve(index, true),
        Some(Need::UndoFailed { .. }) => Act::Undo(index),
        None => {
            let prefix = format!("{run}/");
            let from_end = world
                .deliveries
                .iter()
                .rev()
                .position(|d| d.key.starts_with(&prefix))?;
            Act::Answer(from_end, 0)
        }
    };
    to_event(&act, world, started)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// One world never falls, the other is restored from its records before every event: they decide alike, byte for
    /// byte; invariants hold and no delivery key is used twice (both asserted by [`World::step`]).
    #[test]
    fn restored_at_any_point_it_decides_alike(acts in proptest::collection::vec(act(), 1..80)) {
        let settings = Settings { automatic: Automatic::All, ..Settings::default() };
        let mut steady = World::new(settings);
        let mut started = Vec::new();
        for act in &acts {
            let Some(event) = to_event(act, &mut steady, &mut started) else { continue };
            let mut fallen = steady.clone();
            fallen.runs = steady.restored();
            let expected = steady.step(event.clone());
            let decision = fallen.step(event);
            prop_assert_eq!(&decision.batch, &expected.batch);
            prop_assert_eq!(decision.wake_at, expected.wake_at);
            prop_assert_eq!(decision.why, expected.why);
            if let Some(at) = expected.wake_at {
                prop_assert!(at > steady.now || !matches!(act, Act::Wait(_)), "a tick left a timer behind");
            }
        }
        // Every change step's attempts beyond the first have their reason on record.
        for run in started {
            for step in steady.runs.step_records(run) {
                let sent = steady
                    .deliveries
                    .iter()
                    .filter(|delivery| delivery.key.starts_with(&format!("{run}/{:03}/", step.index)))
                    .filter(|delivery| delivery.key.split('/').count() == 3)
                    .count();
                prop_assert!(sent <= 1 + step.retried_because.len(), "{} was sent {sent} times", step.id);
            }
        }
    }
}

/// The random acts above reach what they are for: every state of runs and steps, and nearly every reason.
#[test]
fn random_acts_reach_every_state() {
    use std::collections::BTreeSet;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let strategy = proptest::collection::vec(act(), 40..80);
    let (mut runs, mut steps, mut reasons) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..150 {
        let acts = strategy.new_tree(&mut runner).unwrap().current();
        let mut world = World::new(Settings::default());
        let mut started = Vec::new();
        for act in &acts {
            if let Some(event) = to_event(act, &mut world, &mut started) {
                reasons.extend(world.step(event).why);
            }
            for run in &started {
                runs.extend(world.runs.record(*run).map(|run| run.state));
                steps.extend(world.runs.step_records(*run).iter().map(|step| step.state));
            }
        }
    }
    let missing = |all: &[&str], seen: String| -> Vec<String> {
        all.iter()
            .filter(|word| !seen.contains(**word))
            .map(|word| (*word).to_owned())
            .collect()
    };
    let states = [
        "WaitingApproval",
        "Running",
        "Parked",
        "Undoing",
        "Succeeded",
        "Failed",
        "Cancelled",
        "Expired",
        "Undone",
    ];
    assert_eq!(missing(&states, format!("{runs:?}")), Vec::<String>::new());
    let states = [
        "Pending",
        "Intent",
        "Started",
        "Verifying",
        "Succeeded",
        "Failed",
        "Unknown",
        "Skipped",
        "Undone",
    ];
    assert_eq!(missing(&states, format!("{steps:?}")), Vec::<String>::new());
    let words = [
        "StepRetried",
        "ProbeBegun",
        "VerifyHeld",
        "VerifyFailed",
        "WaitsForConfirmation",
        "WaitsForPerson",
        "RunParked",
        "UndoBegun",
        "BrakeHeld",
        "LockHeld",
        "Late",
        "NothingToUndo",
    ];
    assert_eq!(
        missing(&words, format!("{reasons:?}")),
        Vec::<String>::new()
    );
}
