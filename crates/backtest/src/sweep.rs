//! Thresholds and durations of one alert, tried on one evaluation.
//!
//! The left side of the alert's comparison is evaluated once. All that matters of a value is which thresholds it passes,
//! so each series becomes steps of equal rank; a threshold's runs are read off the steps, a duration only filters runs.
//! Firings and their times are exact. Pages are counted by group as the pager's routes group the alerts: the pager
//! itself is asked for the combinations that are worth showing.

mod curve;
mod split;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_judge::replay::{Condition, Episode, Run, Ticks, episodes_with};
use bellwether_judge::{GroupConfig, RuleKind};
use bellwether_model::Labels;
use serde::Serialize;

use crate::pages::page;
use crate::replay::{AlertHistory, Range, Replayed, Replaying, Rules, replay_with};
use crate::run::{Backtest, warmup_ms};
use crate::score::{Figures, figures};
use curve::Groups;
pub use split::{Comparison, comparison_of};

/// Combinations that the pager is asked for at most.
const SHOWN_MAX: usize = 16;

/// What to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Tries {
    /// Name of the alert; the first rule that has it.
    pub rule: String,
    /// Ascending, without repeats.
    pub thresholds: Vec<f64>,
    /// `for`.
    pub holds: Vec<Duration>,
}

/// Thresholds and which way values pass them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    thresholds: Vec<f64>,
    comparison: Comparison,
}

/// Ticks at which the value of a series passes the same thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    first: u32,
    last: u32,
    rank: u32,
}

/// The values of one rule on a scale.
#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) ticks: Ticks,
    pub(crate) failed: BTreeSet<usize>,
    pub(crate) steps: BTreeMap<Labels, Vec<Step>>,
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    pub threshold: f64,
    /// `for`, in seconds.
    pub hold_s: f64,
    /// Times that an alert fired.
    pub firings: usize,
    /// Pages, counted by group.
    pub pages: usize,
    pub caught: usize,
    pub missed: usize,
}

/// A combination with the pager's own figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    pub point: Point,
    pub figures: Figures,
    /// As the rule is now.
    pub now: bool,
    /// Where fewer pages begin to cost incidents: see [`Sweep::points`].
    pub knee: bool,
}

/// What a sweep found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    pub rule: String,
    pub group: String,
    /// The expression that is compared.
    pub subject: String,
    pub comparison: Comparison,
    pub incidents: Option<usize>,
    /// All combinations, by threshold, then duration.
    pub points: Vec<Point>,
    /// Those that no other one beats in both pages and missed incidents, and the present one; by pages. Without incidents
    /// thresholds with the present duration.
    pub shown: Vec<Shown>,
    /// Milliseconds since 1970.
    pub from: i64,
    pub to: i64,
}

/// Why there is no sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweepError {
    NoSuchAlert(String),
    /// The expression is no comparison with a number.
    NoThreshold(String),
    /// Its labels or its group's limit depend on the slot.
    SlotBySlot(String),
    /// The rule could not be evaluated at all.
    Failed(String),
    Stopped,
}

impl std::fmt::Display for SweepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchAlert(name) => write!(f, "these rules have no alert {name:?}"),
            Self::NoThreshold(name) => write!(
                f,
                "{name} has no threshold to try: its expression is not `something > number` (or >=, <, <=)"
            ),
            Self::SlotBySlot(name) => write!(
                f,
                "{name} cannot be swept: its labels, its limit or its expression mean something else at each slot"
            ),
            Self::Failed(text) => write!(f, "the rule failed at every evaluation: {text}"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
impl std::error::Error for SweepError {}

// === impl Scale ===

impl Scale {
    fn rank(&self, value: f64) -> u32 {
        let thresholds = &self.thresholds;
        let rank = match self.comparison {
            Comparison::Greater => thresholds.partition_point(|t| *t < value),
            Comparison::GreaterEqual => thresholds.partition_point(|t| *t <= value),
            Comparison::Less if value.is_nan() => thresholds.len(),
            Comparison::LessEqual if value.is_nan() => thresholds.len(),
            Comparison::Less => thresholds.partition_point(|t| *t <= value),
            Comparison::LessEqual => thresholds.partition_point(|t| *t < value),
        };
        rank as u32
    }

    /// Whether a value of this rank passes a threshold.
    fn passes(&self, rank: u32, threshold: usize) -> bool {
        let rank = rank as usize;
        match self.comparison {
            Comparison::Greater | Comparison::GreaterEqual => threshold < rank,
            Comparison::Less | Comparison::LessEqual => threshold >= rank,
        }
    }

    /// Adds a value at a tick that is later than those before.
    pub(crate) fn push(&self, steps: &mut Vec<Step>, tick: usize, value: f64) {
        let (tick, rank) = (tick as u32, self.rank(value));
        match steps.last_mut() {
            Some(last) if last.last + 1 == tick && last.rank == rank => last.last = tick,
            _ => steps.push(Step {
                first: tick,
                last: tick,
                rank,
            }),
        }
    }

    fn runs(&self, steps: &[Step], threshold: usize, runs: &mut Vec<Run>) {
        runs.clear();
        for step in steps
            .iter()
            .filter(|step| self.passes(step.rank, threshold))
        {
            let (first, last) = (step.first as usize, step.last as usize);
            match runs.last_mut() {
                Some(run) if run.last + 1 == first => run.last = last,
                _ => runs.push(Run {
                    first,
                    last,
                    condition: Condition::Holds,
                }),
            }
        }
    }
}

/// Lives of an alert that fired. Without `keep_firing_for` a duration only drops runs.
fn fired(ticks: &Ticks, runs: &[Run], hold: Duration, keep: Duration, out: &mut Vec<Episode>) {
    out.clear();
    if !keep.is_zero() {
        let all = episodes_with(hold, keep, ticks, runs);
        out.extend(all.into_iter().filter(|life| life.fired_at.is_some()));
        return;
    }
    let hold = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
    for run in runs {
        let active_at = ticks.time(run.first);
        let tick = ticks.at_or_after(active_at.saturating_add(hold));
        if tick <= run.last {
            out.push(Episode {
                active_at,
                fired_at: Some(ticks.time(tick)),
                ended_at: (run.last + 1 < ticks.len()).then(|| ticks.time(run.last + 1)),
            });
        }
    }
}

/// The one evaluation of a sweep; [`Evaluated::sweep`] can be asked again and again.
pub struct Evaluated {
    rule: bellwether_judge::RuleConfig,
    group: String,
    place: (usize, usize),
    scale: Scale,
    subject: String,
    threshold_now: f64,
    ticks: Ticks,
    steps: BTreeMap<Labels, Vec<Step>>,
}

/// Evaluates the left side of an alert's comparison over the range, on a scale of thresholds.
pub fn evaluate(
    groups: &[GroupConfig],
    tries: &Tries,
    with: &Backtest<'_>,
) -> Result<Evaluated, SweepError> {
    let name = &tries.rule;
    let place = groups
        .iter()
        .enumerate()
        .find_map(|(group, config)| {
            let rule = config
                .rules
                .iter()
                .position(|rule| rule.kind == RuleKind::Alerting && rule.name == *name)?;
            Some((group, rule))
        })
        .ok_or_else(|| SweepError::NoSuchAlert(name.clone()))?;
    let rule = groups[place.0].rules[place.1].clone();
    let (subject, comparison, threshold_now) =
        comparison_of(&rule.expr).ok_or_else(|| SweepError::NoThreshold(name.clone()))?;
    if rule.resolve.is_some() {
        return Err(SweepError::NoThreshold(format!(
            "{name} (with its resolve_expr)"
        )));
    }
    let mut thresholds = tries.thresholds.clone();
    thresholds.push(threshold_now);
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let scale = Scale {
        thresholds,
        comparison,
    };
    // The alert without its threshold; other alerts only where it may read them.
    let mut all = groups.to_vec();
    let reads_alerts = groups
        .iter()
        .flat_map(|group| &group.rules)
        .any(|rule| rule.expr_text.contains("ALERTS"));
    let text = subject.to_string();
    all[place.0].rules[place.1].expr = subject;
    let mut target = place;
    if !reads_alerts {
        for (group, config) in all.iter_mut().enumerate() {
            let mut index = 0;
            config.rules.retain(|rule| {
                let is_target = (group, index) == place;
                index += 1;
                is_target || rule.kind == RuleKind::Recording
            });
        }
        let before = groups[place.0].rules[..place.1].iter();
        target.1 = before
            .filter(|rule| rule.kind == RuleKind::Recording)
            .count();
    }
    let (replayed, values) = replay_with(
        Rules {
            groups: &all,
            settings: with.settings,
        },
        Range {
            from: with.from,
            to: with.to,
            warmup: warmup_ms(groups, with.settings)
                + tries
                    .holds
                    .iter()
                    .max()
                    .map_or(0, |hold| hold.as_millis() as i64),
            phase: (0, 1),
        },
        Replaying {
            source: with.source,
            promql: with.promql,
            threads: with.threads,
            slice: None,
            progress: with.progress,
        },
        Some((target, &scale)),
    )
    .map_err(|_| SweepError::Stopped)?;
    let values = values.ok_or_else(|| SweepError::SlotBySlot(name.clone()))?;
    if values.failed.len() == values.ticks.len() {
        let failures = replayed.failures.into_iter();
        let message = failures
            .map(|failure| failure.message)
            .next()
            .unwrap_or_default();
        return Err(SweepError::Failed(message));
    }
    let (ticks, steps) = values.without_failures();
    Ok(Evaluated {
        rule,
        group: groups[place.0].name.clone(),
        place,
        scale,
        subject: text,
        threshold_now,
        ticks,
        steps,
    })
}

impl Values {
    /// Ticks at which the rule failed changed nothing: they are left out, as if there had been none.
    fn without_failures(self) -> (Ticks, BTreeMap<Labels, Vec<Step>>) {
        let Self {
            ticks,
            failed,
            mut steps,
        } = self;
        if failed.is_empty() {
            return (ticks, steps);
        }
        let good: Vec<usize> = (0..ticks.len())
            .filter(|tick| !failed.contains(tick))
            .collect();
        let place = |tick: u32| good.partition_point(|known| *known < tick as usize) as u32;
        for all in steps.values_mut() {
            all.retain_mut(|step| {
                let end = place(step.last + 1);
                step.first = place(step.first);
                step.last = end.saturating_sub(1);
                step.first < end
            });
        }
        let times = good.iter().map(|tick| ticks.time(*tick)).collect();
        (Ticks::Listed(times), steps)
    }
}

impl Evaluated {
    /// Every combination, and the pager's figures of those worth showing.
    pub fn sweep(&self, tries: &Tries, with: &Backtest<'_>) -> Result<Sweep, SweepError> {
        let mut holds = tries.holds.clone();
        holds.push(self.rule.hold);
        holds.sort_unstable();
        holds.dedup();
        let points = self.points(&holds, with);
        let (frontier, knee) = if with.incidents.is_some() {
            let frontier = curve::frontier(&points);
            let knee = curve::knee(&points, &frontier);
            (frontier, knee)
        } else {
            // Pages over thresholds is all there is.
            let hold_s = self.rule.hold.as_secs_f64();
            let own = (0..points.len()).filter(|index| points[*index].hold_s == hold_s);
            let own: Vec<usize> = own.collect();
            let knee = curve::bend(&points, &own);
            (own, knee)
        };
        let now = points.iter().position(|point| {
            point.threshold == self.threshold_now && point.hold_s == self.rule.hold.as_secs_f64()
        });
        let mut wanted: BTreeSet<usize> =
            curve::thinned(&frontier, SHOWN_MAX).into_iter().collect();
        wanted.extend(knee);
        wanted.extend(now);
        let mut shown = Vec::new();
        for index in wanted {
            let point = points[index];
            shown.push(Shown {
                point,
                figures: self.figures(point, with)?,
                now: now == Some(index),
                knee: knee == Some(index),
            });
        }
        shown.sort_by_key(|shown| (shown.figures.pages, shown.figures.missed));
        Ok(Sweep {
            rule: self.rule.name.clone(),
            group: self.group.clone(),
            subject: self.subject.clone(),
            comparison: self.scale.comparison,
            incidents: with.incidents.map(<[_]>::len),
            points,
            shown,
            from: with.from,
            to: with.to,
        })
    }

    /// All combinations, by threshold, then duration.
    pub fn points(&self, holds: &[Duration], with: &Backtest<'_>) -> Vec<Point> {
        let labels: Vec<&Labels> = self.steps.keys().collect();
        let groups = Groups::new(&labels, with);
        let mut points = Vec::new();
        let mut all_runs: Vec<Vec<Run>> = vec![Vec::new(); labels.len()];
        let mut lives = Vec::new();
        let mut firing = Vec::new();
        for (index, threshold) in self.scale.thresholds.iter().enumerate() {
            for (runs, steps) in all_runs.iter_mut().zip(self.steps.values()) {
                self.scale.runs(steps, index, runs);
            }
            for hold in holds {
                firing.clear();
                for (series, runs) in all_runs.iter().enumerate() {
                    fired(
                        &self.ticks,
                        runs,
                        *hold,
                        self.rule.keep_firing_for,
                        &mut lives,
                    );
                    firing.extend(lives.iter().map(|life| (series, *life)));
                }
                let count = groups.count(&firing);
                points.push(Point {
                    threshold: *threshold,
                    hold_s: hold.as_secs_f64(),
                    ..count
                });
            }
        }
        points
    }

    /// Lives of the rule's alerts with another threshold and duration: those that fired.
    pub fn lives(&self, threshold: f64, hold: Duration) -> Vec<AlertHistory> {
        let at = self
            .scale
            .thresholds
            .iter()
            .position(|known| *known == threshold);
        let Some(at) = at else { return Vec::new() };
        let (mut runs, mut lives) = (Vec::new(), Vec::new());
        let mut all = Vec::new();
        for (labels, steps) in &self.steps {
            self.scale.runs(steps, at, &mut runs);
            fired(
                &self.ticks,
                &runs,
                hold,
                self.rule.keep_firing_for,
                &mut lives,
            );
            if !lives.is_empty() {
                all.push(AlertHistory {
                    group: self.place.0,
                    rule: self.place.1,
                    labels: labels.clone(),
                    episodes: lives.clone(),
                });
            }
        }
        all
    }

    /// What the pager makes of one combination.
    fn figures(&self, point: Point, with: &Backtest<'_>) -> Result<Figures, SweepError> {
        let alerts = self.lives(point.threshold, Duration::from_secs_f64(point.hold_s));
        let span = (with.from, with.to);
        let replayed = Replayed {
            alerts,
            ..Replayed::default()
        };
        let paged = page(&replayed, with.settings, with.routing, span, with.progress)
            .map_err(|_| SweepError::Stopped)?;
        let pages: Vec<_> = paged.pages.iter().collect();
        let alerts: Vec<_> = replayed.alerts.iter().collect();
        let incidents = with.incidents.unwrap_or_default();
        Ok(figures(&pages, &alerts, incidents, with.night, span))
    }
}
