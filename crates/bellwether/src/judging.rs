//! Rules, live: the rule engine driven by the clock, its samples to the store, its alerts to the pager.
//!
//! One task owns the engine. Evaluation runs off the event loop; what it decides (alert state, alerts to send) is one
//! input to the core, so that an alert's state and the page it causes are recorded in the same transaction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bellwether_env::Clock;
use bellwether_flow::Input;
use bellwether_judge::{EngineSettings, GroupConfig, GroupOutcome, RuleEngine, RuleSample, Status};
use bellwether_model::series::{RefSample, SampleSink as _};
use bellwether_model::state::Record;
use bellwether_observe::ScrapeGlobals;
use bellwether_promql::Engine;
use jiff::SignedDuration;
use tokio::sync::mpsc;

use crate::app::App;
use crate::core::NotTaken;
use crate::core::{pause, pause_until};
use crate::live::Live;

/// Shortest time that firing alerts are kept after a start.
const HOLD_MIN: SignedDuration = SignedDuration::from_secs(15);

/// The rules' side that others see.
pub struct Judge {
    status: ArcSwap<Status>,
    commands: mpsc::UnboundedSender<(EngineSettings, Vec<GroupConfig>)>,
    /// Groups evaluated, rules that failed, slots missed, time spent in microseconds.
    pub evaluations: AtomicU64,
    pub failures: AtomicU64,
    pub missed: AtomicU64,
    pub busy_us: AtomicU64,
}

/// New sets of rules, for [`run`].
pub type Commands = mpsc::UnboundedReceiver<(EngineSettings, Vec<GroupConfig>)>;

// === impl Judge ===

impl Judge {
    /// A judge without rules, and the way its task hears of new ones.
    pub fn new() -> (Self, Commands) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let judge = Self {
            status: ArcSwap::default(),
            commands,
            evaluations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
        };
        (judge, inbox)
    }

    /// What the rules share.
    pub fn settings(&self, app: &App) -> EngineSettings {
        settings_of(&app.config().globals, &app.external_url)
    }

    /// How the rules were at the last evaluation.
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// Takes over a new set of rules; state is kept where rules are the same.
    pub fn configure(&self, groups: Vec<GroupConfig>, globals: &ScrapeGlobals, external_url: &str) {
        let settings = settings_of(globals, external_url);
        // The task ends only when the server does.
        drop(self.commands.send((settings, groups)));
    }
}

/// What the rules of a configuration share.
fn settings_of(globals: &ScrapeGlobals, external_url: &str) -> EngineSettings {
    EngineSettings {
        evaluation_interval: globals.evaluation_interval,
        query_offset: globals.rule_query_offset,
        external_labels: globals.external_labels.clone(),
        external_url: external_url.to_owned(),
        ..EngineSettings::default()
    }
}

/// Evaluates until the server stops. `records` is the state of the run before this one.
pub async fn run(app: Arc<App>, mut commands: Commands, records: Vec<Record>) {
    let engine = Arc::new(Mutex::new(RuleEngine::new(EngineSettings::default())));
    let mut records = Some(records);
    loop {
        let wake_at = lock(&engine).wake_at();
        let wait = wake_at.map_or(Duration::from_hours(1), |at| {
            pause_until(at, app.clock.now())
        });
        tokio::select! {
            command = commands.recv() => {
                let Some((settings, groups)) = command else { return };
                let now = app.clock.now();
                let mut batch = lock(&engine).load(now, settings, groups);
                if let Some(records) = records.take() {
                    let mut engine = lock(&engine);
                    batch.append(engine.restore(now, &records));
                    engine.hold_firing(now + hold_after_start(&app));
                }
                publish(&app, &engine);
                if record(&app, Input::Record(batch)).await.is_err() {
                    return;
                }
            }
            () = pause(wait) => {
                if tick(&app, &engine).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// How long firing alerts are kept after a start: until rates have samples again.
fn hold_after_start(app: &App) -> SignedDuration {
    let interval = app
        .config()
        .globals
        .scrape_interval
        .max(app.config().globals.evaluation_interval);
    SignedDuration::try_from(interval * 4)
        .unwrap_or(HOLD_MIN)
        .max(HOLD_MIN)
}

fn lock(engine: &Mutex<RuleEngine>) -> std::sync::MutexGuard<'_, RuleEngine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

fn publish(app: &App, engine: &Mutex<RuleEngine>) {
    app.judge.status.store(Arc::new(lock(engine).status()));
    drop(app.live.send(Live::Changed(["rules".to_owned()].into())));
}

/// Gives the core what was judged. What the store refuses is a failure of these rules; the others go on.
async fn record(app: &App, input: Input) -> Result<(), Stopping> {
    match app.core.send(input).await {
        Ok(_) => Ok(()),
        Err(NotTaken::Stopped) => Err(Stopping),
        Err(NotTaken::Refused(_)) => {
            app.judge.failures.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
}

/// The process is stopping.
struct Stopping;

/// Evaluates every group whose slot has come.
async fn tick(app: &Arc<App>, engine: &Arc<Mutex<RuleEngine>>) -> Result<(), Stopping> {
    let (due, expired) = {
        let mut engine = lock(engine);
        let now = app.clock.now();
        (engine.due(now), engine.expire(now))
    };
    append(app, &expired);
    let evaluated = !due.is_empty();
    for group in due {
        app.judge.missed.fetch_add(group.missed, Ordering::Relaxed);
        let (engine, source) = (Arc::clone(engine), Arc::clone(app.queries.source()));
        let (promql, clock): (Engine, Arc<dyn Clock>) =
            (app.queries.engine().clone(), Arc::clone(&app.clock));
        let work = move || {
            let begun = clock.monotonic();
            let mut engine = lock(&engine);
            let outcome = engine.evaluate_group(&group.key, group.slot, &*source, &promql);
            let took = clock.monotonic().saturating_sub(begun);
            engine.note_duration(&group.key, took);
            (outcome, took)
        };
        let Ok((outcome, took)) = tokio::task::spawn_blocking(work).await else {
            app.judge.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!("evaluating a rule group ended by a fault of ours; the others go on");
            continue;
        };
        app.judge.evaluations.fetch_add(1, Ordering::Relaxed);
        app.judge
            .busy_us
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        let Ok(GroupOutcome {
            samples,
            alerts,
            batch,
            errors,
            ..
        }) = outcome
        else {
            continue;
        };
        for error in &errors {
            app.judge.failures.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(
                rule = error.rule,
                line = error.line,
                "rule failed: {}",
                error.message
            );
        }
        append(app, &samples);
        if !alerts.is_empty() || !batch.is_empty() {
            record(app, Input::Judged { batch, alerts }).await?;
        }
    }
    if evaluated {
        publish(app, engine);
    }
    Ok(())
}

/// Writes what rules gave. A series that the store refuses is left out; the store counts it.
fn append(app: &App, samples: &[RuleSample]) {
    let resolved: Vec<RefSample> = samples
        .iter()
        .filter_map(|sample| {
            let series = app.series.resolve(&sample.labels).ok()?;
            Some(RefSample {
                series,
                timestamp: sample.timestamp,
                value: sample.value.clone(),
            })
        })
        .collect();
    if !resolved.is_empty()
        && let Err(error) = app.series.append(&resolved)
    {
        tracing::error!(%error, "results of rules could not be stored");
    }
}
