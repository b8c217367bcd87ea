//! Backtests on a running server: one at a time, off the event loop, and what each objective would have paged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_backtest::pages::Routing;
use bellwether_backtest::report::Comparison;
use bellwether_backtest::run::Backtest;
use bellwether_backtest::score::{Night, is_about};
use bellwether_backtest::{Incident, Progress, compare, incidents, run as backtest};
use bellwether_judge::GroupConfig;
use bellwether_page::NewSilence;
use bellwether_store::EventFilter;
use jiff::{SignedDuration, Timestamp};

use crate::app::{App, spawn};
use crate::live::Live;

/// How often the page is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// After this time the figures of the objectives are worked out anew, when somebody looks.
const SLOS_KEPT: SignedDuration = SignedDuration::from_hours(6);
/// History that objectives are held against.
const SLO_DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;

/// What the server knows of backtests.
#[derive(Default)]
pub struct Backtests {
    job: Mutex<Option<Job>>,
    slos: Mutex<SloFigures>,
}

/// The last backtest.
#[derive(Clone)]
pub struct Job {
    /// The rule file that is tried.
    pub rules: String,
    /// `30d`.
    pub last: String,
    pub since: Timestamp,
    pub count: Arc<Count>,
    pub outcome: Outcome,
}

/// How far it is.
#[derive(Clone)]
pub enum Outcome {
    Running,
    Failed(String),
    Done(Timestamp, Arc<Comparison>),
}

/// Evaluations done and expected; a wish to stop.
#[derive(Default)]
pub struct Count {
    total: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
}

/// What one objective would have paged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SloFigure {
    pub pages: usize,
    pub tickets: usize,
    pub days: u32,
    pub incidents: Option<(usize, usize)>,
}

#[derive(Default)]
struct SloFigures {
    known: BTreeMap<String, SloFigure>,
    /// When, and for which rules.
    made: Option<(Timestamp, String)>,
    running: bool,
}

impl Progress for Count {
    fn begin(&self, units: u64) {
        // Two sets of rules.
        self.total.fetch_max(units * 2, Ordering::Relaxed);
    }

    fn advance(&self, units: u64) {
        self.done.fetch_add(units, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Count {
    /// Share that is done, 0 to 1.
    pub fn share(&self) -> f64 {
        let total = self.total.load(Ordering::Relaxed).max(1);
        (self.done.load(Ordering::Relaxed) as f64 / total as f64).min(1.0)
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Live groups with rules put in the place of those of the same group and name; others are added.
pub fn with_rules(live: &[GroupConfig], tried: Vec<GroupConfig>) -> Vec<GroupConfig> {
    let mut groups = live.to_vec();
    for new in tried {
        let Some(group) = groups.iter_mut().find(|group| group.name == new.name) else {
            groups.push(new);
            continue;
        };
        let mut taken: BTreeSet<usize> = BTreeSet::new();
        for rule in new.rules {
            let place = group.rules.iter().enumerate().position(|(index, known)| {
                known.name == rule.name && known.kind == rule.kind && !taken.contains(&index)
            });
            match place {
                Some(place) => {
                    taken.insert(place);
                    group.rules[place] = rule;
                }
                None => {
                    taken.insert(group.rules.len());
                    group.rules.push(rule);
                }
            }
        }
    }
    groups
}

/// Everything a backtest on this server needs, taken at one moment.
struct Taken {
    routing: Routing,
    incidents: Vec<Incident>,
    from: i64,
    to: i64,
}

async fn take(app: &App, last: i64) -> Result<Taken, String> {
    let now = app.clock.now();
    let events = app
        .store
        .events(EventFilter::default())
        .await
        .map_err(|error| error.to_string())?;
    let to = now.as_millisecond();
    let oldest = app.series.stats().time.map_or(to, |(oldest, _)| oldest);
    let from = (to - last).max(oldest);
    let since = Timestamp::from_millisecond(from).unwrap_or(now);
    let mut all = incidents::from_timeline(events.iter().map(|event| &event.new), now);
    all.retain(|incident| incident.end > since);
    let mut routing = Routing::new((*app.config().page).clone());
    routing.silences = app.core.view(|flow| {
        let silences = flow.pager.silences(now).into_iter();
        silences
            .map(|view| NewSilence {
                matcher_sets: view.silence.matcher_sets,
                starts_at: Some(view.silence.starts_at),
                ends_at: view.silence.ends_at,
                created_by: view.silence.created_by,
                comment: view.silence.comment,
                ..NewSilence::default()
            })
            .collect()
    });
    if from >= to {
        return Err("there are no samples yet".to_owned());
    }
    Ok(Taken {
        routing,
        incidents: all,
        from,
        to,
    })
}

// === impl Backtests ===

impl Backtests {
    /// The last backtest.
    pub fn job(&self) -> Option<Job> {
        lock(&self.job).clone()
    }

    /// Begins one; refused while another runs.
    pub fn start(
        app: &Arc<App>,
        rules: String,
        last: &str,
        tried: Vec<GroupConfig>,
    ) -> Result<(), String> {
        let days = match last {
            "1d" => 1,
            "7d" => 7,
            _ => 30,
        };
        let count = Arc::new(Count::default());
        {
            let mut job = lock(&app.backtests.job);
            if job
                .as_ref()
                .is_some_and(|job| matches!(job.outcome, Outcome::Running))
            {
                return Err("another backtest runs; stop it or wait for it".to_owned());
            }
            *job = Some(Job {
                rules,
                last: format!("{days}d"),
                since: app.clock.now(),
                count: Arc::clone(&count),
                outcome: Outcome::Running,
            });
        }
        let app = Arc::clone(app);
        spawn("backtest", async move {
            let telling = tokio::spawn(tell(Arc::clone(&app)));
            let outcome = match run(&app, days * DAY_MS, tried, count).await {
                Ok(comparison) => Outcome::Done(app.clock.now(), Arc::new(comparison)),
                Err(text) => Outcome::Failed(text),
            };
            telling.abort();
            if let Some(job) = &mut *lock(&app.backtests.job) {
                job.outcome = outcome;
            }
            changed(&app, "backtest");
        });
        Ok(())
    }

    /// What an objective would have paged, when it is known. Works it out anew when it is old.
    pub fn slo(app: &Arc<App>, name: &str) -> Option<SloFigure> {
        let config = app.config();
        let rules: String = config
            .slos
            .iter()
            .map(bellwether_judge::slo::Slo::to_rule_file)
            .collect();
        let now = app.clock.now();
        let mut slos = lock(&app.backtests.slos);
        let fresh = slos.made.as_ref().is_some_and(|(at, made_for)| {
            now.duration_since(*at) < SLOS_KEPT && *made_for == rules
        });
        if !fresh && !slos.running {
            slos.running = true;
            let app = Arc::clone(app);
            spawn("objectives over history", async move {
                let known = slo_figures(&app).await;
                let mut slos = lock(&app.backtests.slos);
                slos.running = false;
                slos.made = Some((now, rules));
                match known {
                    Ok(known) => slos.known = known,
                    Err(error) => tracing::debug!("objectives over history: {error}"),
                }
                drop(slos);
                changed(&app, "slos");
            });
        }
        slos.known.get(name).copied()
    }
}

fn changed(app: &App, topic: &str) {
    drop(app.live.send(Live::Changed([topic.to_owned()].into())));
}

async fn tell(app: Arc<App>) {
    loop {
        crate::core::pause(TELL_EVERY).await;
        changed(&app, "backtest");
    }
}

async fn run(
    app: &Arc<App>,
    last: i64,
    tried: Vec<GroupConfig>,
    count: Arc<Count>,
) -> Result<Comparison, String> {
    let taken = take(app, last).await?;
    let (before, settings) = (app.config().groups(), app.judge.settings(app));
    let after = with_rules(&before, tried);
    let (source, promql) = (
        Arc::clone(app.queries.source()),
        app.queries.engine().clone(),
    );
    let work = move || {
        let with = Backtest {
            source: &*source,
            promql: &promql,
            settings: &settings,
            from: taken.from,
            to: taken.to,
            phases: 1,
            // The server has other things to do.
            threads: 1,
            routing: &taken.routing,
            incidents: Some(&taken.incidents),
            night: &Night {
                zone: jiff::tz::TimeZone::system(),
                ..Night::default()
            },
            progress: &*count,
        };
        compare(&before, &after, &with).map_err(|_| "stopped".to_owned())
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err("it ended by a fault of ours".to_owned()))
}

/// What each objective would have paged.
async fn slo_figures(app: &Arc<App>) -> Result<BTreeMap<String, SloFigure>, String> {
    let taken = take(app, SLO_DAYS * DAY_MS).await?;
    let config = app.config();
    let groups: Vec<GroupConfig> = config
        .slos
        .iter()
        .flat_map(bellwether_judge::slo::Slo::groups)
        .collect();
    let names: Vec<String> = config.slos.iter().map(|slo| slo.name.clone()).collect();
    let settings = app.judge.settings(app);
    let (source, promql) = (
        Arc::clone(app.queries.source()),
        app.queries.engine().clone(),
    );
    let work = move || {
        let with = Backtest {
            source: &*source,
            promql: &promql,
            settings: &settings,
            from: taken.from,
            to: taken.to,
            phases: 1,
            threads: 1,
            routing: &taken.routing,
            incidents: Some(&taken.incidents),
            night: &Night::default(),
            progress: &(),
        };
        let report = backtest(&groups, &with).map_err(|_| "stopped".to_owned())?;
        let days = u32::try_from((taken.to - taken.from) / DAY_MS)
            .unwrap_or(0)
            .max(1);
        let all = names.into_iter().map(|name| {
            let of = |labels: &bellwether_model::Labels| labels.get("slo") == name;
            let pages: Vec<_> = report
                .pages
                .iter()
                .map(|row| &row.page)
                .filter(|page| page.alerts.iter().any(of))
                .collect();
            let caught = |incident: &&Incident| pages.iter().any(|page| is_about(page, incident));
            let tickets = report.rules.iter().filter(|row| {
                row.severity == "ticket"
                    && groups.iter().any(|group| {
                        group.name == row.group
                            && group.rules.iter().any(|rule| of(&rule.label_texts()))
                    })
            });
            let figure = SloFigure {
                pages: pages.len(),
                tickets: tickets.map(|row| row.firings).sum(),
                days,
                incidents: (!taken.incidents.is_empty()).then(|| {
                    (
                        taken.incidents.iter().filter(caught).count(),
                        taken.incidents.len(),
                    )
                }),
            };
            (name, figure)
        });
        Ok(all.collect())
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err("it ended by a fault of ours".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_judge::RuleFile;
    use bellwether_model::Problems;

    fn groups(text: &str) -> Vec<GroupConfig> {
        let mut problems = Problems::default();
        let groups = RuleFile::read("r.yml", text, &mut problems);
        assert!(!problems.has_errors(), "{problems}");
        groups
    }

    #[test]
    fn tried_rules_take_the_place_of_live_ones() {
        let live = groups(
            "groups: [{name: a, rules: [{alert: X, expr: x > 1}, {alert: Y, expr: y > 1}, {alert: X, expr: x > 2}]}]",
        );
        let tried = groups(
            "groups: [{name: a, rules: [{alert: X, expr: x > 9}, {alert: Z, expr: z}]}, {name: b, rules: [{alert: Y, expr: y > 5}]}]",
        );
        let all = with_rules(&live, tried);
        let shown: Vec<String> = all
            .iter()
            .flat_map(|group| {
                let rules = group.rules.iter();
                rules.map(move |rule| format!("{}/{} {}", group.name, rule.name, rule.expr))
            })
            .collect();
        assert_eq!(
            shown,
            ["a/X x > 9", "a/Y y > 1", "a/X x > 2", "a/Z z", "b/Y y > 5"]
        );
    }
}
