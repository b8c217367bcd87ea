//! Rules over a range of history: the lives of their alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bellwether_judge::replay::{Episode, Run, Ticks, episodes};
use bellwether_judge::{EngineSettings, GroupConfig, RuleKind};
use bellwether_model::Labels;
use bellwether_model::series::SeriesSource;
use bellwether_promql::Engine;

use crate::history::{Hidden, History, Recorded};
use crate::order::{Batch, Order, Span};
use crate::ranged::Ranged;
use crate::stepped::Stepped;
use crate::sweep::{Scale, Values};
use crate::{Progress, Stopped};

/// Points of recorded series that are kept at once; a longer range is replayed in slices.
const RECORDED_MAX: usize = 24_000_000;

/// What to replay.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub groups: &'a [GroupConfig],
    /// Global interval and offset, labels and address for templates.
    pub settings: &'a EngineSettings,
}

/// Over which time; milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: i64,
    pub to: i64,
    /// How long before `from` evaluation begins, so that it is known what fires at the start.
    pub warmup: i64,
    /// Which of the phases, and of how many: the slots are moved by that share of their interval. `(0, 1)` are the slots
    /// of the live engine.
    pub phase: (usize, usize),
}

/// How to replay.
#[derive(Clone, Copy)]
pub struct Replaying<'a> {
    pub source: &'a dyn SeriesSource,
    pub promql: &'a Engine,
    pub threads: usize,
    /// Longest slice in milliseconds, for tests; `None`: as memory allows.
    pub slice: Option<i64>,
    pub progress: &'a dyn Progress,
}

/// All lives of one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertHistory {
    /// Position of its group and of its rule there.
    pub group: usize,
    pub rule: usize,
    /// Without the external labels.
    pub labels: Labels,
    /// In order of time.
    pub episodes: Vec<Episode>,
}

/// A rule that could not be evaluated at some ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub group: usize,
    pub rule: usize,
    /// Ticks at which it failed.
    pub ticks: usize,
    /// The first one, milliseconds since 1970.
    pub first_at: i64,
    pub message: String,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// By rule, then labels.
    pub alerts: Vec<AlertHistory>,
    pub failures: Vec<Failure>,
    /// Samples read.
    pub samples: u64,
    /// Series that were read by the widest evaluation.
    pub series: usize,
    /// Evaluations of rules.
    pub evaluations: u64,
}

/// A batch with what it knows between slices.
enum Work {
    Ranged(Ranged),
    Stepped(Box<Stepped>),
}

/// What a batch gave in one slice.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) recorded: Recorded,
    pub(crate) samples: u64,
    pub(crate) series: usize,
    pub(crate) evaluations: u64,
}

/// What all batches share.
pub(crate) struct Shared<'a> {
    pub(crate) rules: Rules<'a>,
    pub(crate) order: &'a Order<'a>,
    pub(crate) promql: &'a Engine,
    pub(crate) progress: &'a dyn Progress,
    /// The rule whose values are looked at, and how.
    pub(crate) tap: Option<((usize, usize), &'a Scale)>,
}

/// Runs all rules over a range.
pub fn replay(rules: Rules<'_>, range: Range, with: Replaying<'_>) -> Result<Replayed, Stopped> {
    replay_with(rules, range, with, None).map(|(replayed, _)| replayed)
}

/// The same, and the values of one rule on a scale. `None` when that rule had to be evaluated slot by slot.
pub(crate) fn replay_with(
    rules: Rules<'_>,
    range: Range,
    with: Replaying<'_>,
    tap: Option<((usize, usize), &Scale)>,
) -> Result<(Replayed, Option<Values>), Stopped> {
    let span = Span {
        from: range.from,
        to: range.to,
        warmup: range.warmup,
        phase: range.phase,
        lookback: with.promql.options().lookback_ms,
    };
    let order = Order::new(rules.groups, rules.settings, span);
    let shared = Shared {
        rules,
        order: &order,
        promql: with.promql,
        progress: with.progress,
        tap,
    };
    let mut stages: Vec<Vec<Mutex<Work>>> = order
        .stages
        .iter()
        .map(|batches| {
            batches
                .iter()
                .map(|batch| Mutex::new(Work::new(batch, &shared)))
                .collect()
        })
        .collect();
    with.progress.begin(expected(&order));
    let mut recorded = Recorded::default();
    let mut total = Given::default();
    let begin = order.begin();
    let slice = match with.slice {
        Some(slice) => slice.max(1),
        None => slice_for(&shared, with.source, begin, span),
    };
    let mut at = begin;
    while at <= span.to {
        let next = at.saturating_add(slice).min(span.to.saturating_add(1));
        for stage in &stages {
            let given = run_stage(stage, &shared, with, &recorded, next)?;
            for given in given {
                recorded.append(given.recorded);
                total.samples += given.samples;
                total.series = total.series.max(given.series);
                total.evaluations += given.evaluations;
            }
        }
        recorded.drop_before(&|name| {
            let reach = order.reach.get(name).copied().unwrap_or(0);
            next.saturating_sub(reach)
        });
        at = next;
    }
    let mut replayed = Replayed {
        samples: total.samples,
        series: total.series,
        evaluations: total.evaluations,
        ..Replayed::default()
    };
    let mut values = None;
    for work in stages.drain(..).flatten() {
        let work = work.into_inner().unwrap_or_else(PoisonError::into_inner);
        work.finish(&shared, &mut replayed, &mut values);
    }
    replayed
        .alerts
        .sort_by(|a, b| (a.group, a.rule, &a.labels).cmp(&(b.group, b.rule, &b.labels)));
    replayed
        .failures
        .sort_by_key(|failure| (failure.group, failure.rule));
    Ok((replayed, values))
}

/// Evaluations that are to come, for the progress.
fn expected(order: &Order<'_>) -> u64 {
    let batches = order.stages.iter().flatten();
    let rules = batches.flat_map(|batch| match batch {
        Batch::Ranged { rules, .. } | Batch::Stepped { rules } => rules,
    });
    rules
        .map(|rule| order.slots[order.rules[*rule].group].ticks.len() as u64)
        .sum()
}

/// How long slices can be so that what is recorded fits into memory: asked at a few moments how many series there are.
fn slice_for(shared: &Shared<'_>, source: &dyn SeriesSource, begin: i64, span: Span) -> i64 {
    let whole = span.to.saturating_sub(begin).saturating_add(1).max(1);
    let Order { rules, slots, .. } = shared.order;
    let recording: Vec<_> = shared
        .order
        .stages
        .iter()
        .flatten()
        .flat_map(|batch| match batch {
            Batch::Ranged { rules, .. } | Batch::Stepped { rules } => rules,
        })
        .map(|rule| &rules[*rule])
        .filter(|place| place.config.kind == RuleKind::Recording)
        .collect();
    let nothing = (Hidden::default(), Recorded::default());
    let history = History {
        base: source,
        hidden: &nothing.0,
        recorded: &nothing.1,
    };
    let mut points = 0.0;
    for place in recording {
        let interval = slots[place.group].interval;
        let series = [span.from, i64::midpoint(span.from, span.to), span.to]
            .into_iter()
            .filter_map(|time| {
                let answer = shared.promql.instant(&history, &place.config.expr, time);
                match answer.ok()?.value {
                    bellwether_promql::QueryValue::Vector(vector) => Some(vector.len()),
                    _ => Some(1),
                }
            })
            .max()
            .unwrap_or(1)
            .max(1);
        points += series as f64 * (whole / interval) as f64;
    }
    let parts = (points / RECORDED_MAX as f64).ceil().max(1.0);
    ((whole as f64 / parts).ceil() as i64).max(60_000)
}

fn run_stage(
    stage: &[Mutex<Work>],
    shared: &Shared<'_>,
    with: Replaying<'_>,
    recorded: &Recorded,
    until: i64,
) -> Result<Vec<Given>, Stopped> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, Result<Given, Stopped>>> = Mutex::default();
    let history = History {
        base: with.source,
        hidden: &shared.order.hidden,
        recorded,
    };
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = stage.get(index) else {
                return;
            };
            let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
            let result = batch.advance(shared, &history, until);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.insert(index, result);
        }
    };
    let threads = with.threads.clamp(1, stage.len().max(1));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_values().collect()
}

// === impl Work ===

impl Work {
    fn new(batch: &Batch, shared: &Shared<'_>) -> Self {
        match batch {
            Batch::Ranged { group, rules } => Self::Ranged(Ranged::new(*group, rules, shared)),
            Batch::Stepped { rules } => Self::Stepped(Box::new(Stepped::new(rules, shared))),
        }
    }

    fn advance(
        &mut self,
        shared: &Shared<'_>,
        history: &History<'_>,
        until: i64,
    ) -> Result<Given, Stopped> {
        if shared.progress.stopped() {
            return Err(Stopped);
        }
        match self {
            Self::Ranged(ranged) => ranged.advance(shared, history, until),
            Self::Stepped(stepped) => stepped.advance(shared, history, until),
        }
    }

    fn finish(self, shared: &Shared<'_>, replayed: &mut Replayed, values: &mut Option<Values>) {
        match self {
            Self::Ranged(ranged) => ranged.finish(shared, replayed, values),
            Self::Stepped(stepped) => stepped.finish(replayed),
        }
    }
}

/// The ticks of a group without those at which a rule failed, and runs in their numbering.
pub(crate) fn lives(
    shared: &Shared<'_>,
    group: usize,
    rule: usize,
    runs: &[Run],
    failed: &BTreeSet<usize>,
) -> Vec<Episode> {
    let config = &shared.rules.groups[group].rules[rule];
    let (ticks, runs) = good(&shared.order.slots[group].ticks, runs, failed);
    episodes(config, &ticks, &runs)
}

/// Ticks without those that failed, and runs in their numbering.
fn good(ticks: &Ticks, runs: &[Run], failed: &BTreeSet<usize>) -> (Ticks, Vec<Run>) {
    if failed.is_empty() {
        return (ticks.clone(), runs.to_vec());
    }
    let good: Vec<usize> = (0..ticks.len())
        .filter(|tick| !failed.contains(tick))
        .collect();
    let place = |tick: usize| good.partition_point(|known| *known < tick);
    let runs = runs
        .iter()
        .map(|run| (place(run.first), place(run.last + 1), run.condition))
        .filter(|(first, end, _)| first < end)
        .map(|(first, end, condition)| Run {
            first,
            last: end - 1,
            condition,
        })
        .collect();
    let times = good.iter().map(|tick| ticks.time(*tick)).collect();
    (Ticks::Listed(times), runs)
}
