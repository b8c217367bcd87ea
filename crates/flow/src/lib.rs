//! The loop without its IO: the pager and the runs wired together, one decision per event.
//!
//! What it does: [`Flow::handle`] gives each event to the engine it is for, and the consequences to the other one: a
//! case that waits for context wants its runbook's diagnosis run; a diagnosis that has ended is the context, and
//! may be followed by the fix. The binary and the simulator both drive this, so they cannot
//! differ.
//!
//! Data flow: [`Input`] -> engine -> [`Outcome`] (a batch to commit, then [`Wanted`] work and the next wake time).
//!
//! Invariants: pure and synchronous; whatever must survive a crash is in the batch; [`Flow::wanted`] finds again,
//! from the engines' records alone, the work that a crash left undone.
//!
//! Not here: planning (it needs queries answered), performing deliveries, evaluating rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_act::runs::{Automatic, KINDS as RUN_KINDS, Settings};
use bellwether_act::{Part, Reason as RunReason, RunEvent, Runs};
use bellwether_model::state::{DeliveryUpdate, Kind, NewEvent, Record};
use bellwether_model::{
    Batch, CaseId, Decision, IdSource, Labels, PostedAlert, Problem, Problems, RunId,
};
use bellwether_page::config::PageConfig;
use bellwether_page::{Case, NewCase, Pager, PagerEvent, Reason as PageReason, Urgency};
use jiff::Timestamp;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Rules were evaluated: what judge wants recorded, and the alerts it sends. Both become one transaction.
    Judged {
        batch: Batch,
        alerts: Vec<PostedAlert>,
    },
    /// For the pager.
    Page(PagerEvent),
    /// For the runs.
    Run(RunEvent),
    /// An attempt of a delivery ended: its new state, and what that means to its engine.
    Delivered {
        update: DeliveryUpdate,
        then: Option<Box<Input>>,
    },
    /// Only records (users, sessions), to be committed in order with everything else.
    Record(Batch),
    /// Nothing but time has passed.
    Tick,
}

/// Why an engine did what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Page(PageReason),
    Run(RunReason),
}

/// Work that needs the outside world before it is an event: find the runbook, ask its input queries, make the plan,
/// and start it with [`RunEvent::Start`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub case: CaseId,
    pub part: Part,
}

/// What an input led to.
#[must_use]
#[derive(Debug, Default)]
pub struct Outcome {
    pub batch: Batch,
    pub wake_at: Option<Timestamp>,
    pub why: Vec<Why>,
    pub wanted: Vec<Wanted>,
}

/// Pager and runs.
#[derive(Debug)]
pub struct Flow {
    pub pager: Pager,
    pub runs: Runs,
    automatic: Automatic,
}

/// Lines of each diagnosis step that go into the page.
const FINDING_LINES: usize = 8;

/// What the runs did that a person must hear of: broken glass at once, a fix that does not help as a ticket.
fn worth_a_case(event: &NewEvent) -> Option<NewCase> {
    let (urgency, word) = match event.kind.as_str() {
        "break_glass" => (Urgency::High, "review"),
        "run_refused" if event.data["reason"] == "same_fix_again" => (Urgency::Low, "problem"),
        "run_parked" if event.data["need"]["kind"] == "undo_failed" => (Urgency::High, "undo"),
        _ => return None,
    };
    let runbook = event.data["runbook"].as_str().unwrap_or_default();
    Some(NewCase {
        title: event.text.clone(),
        summary: format!("Runbook {runbook}, by {}", event.actor),
        urgency,
        policy: None,
        actor: "policy:act".to_owned(),
        labels: Labels::from_iter([("runbook", runbook), ("about", word)]),
        annotations: Labels::empty(),
    })
}

/// Kinds whose records [`Flow::restore`] wants.
pub fn kinds() -> Vec<Kind> {
    bellwether_page::record::KINDS
        .iter()
        .chain(RUN_KINDS.iter())
        .copied()
        .collect()
}

// === impl Flow ===

impl Flow {
    /// Goes on from records. Those that cannot be read come back as problems; the others are used.
    pub fn restore(
        config: Arc<PageConfig>,
        settings: Settings,
        records: &[Record],
        now: Timestamp,
    ) -> (Self, Problems) {
        let automatic = settings.automatic.clone();
        let mut pager = Pager::new(config);
        let unreadable = pager.restore(records, now);
        let (runs, mut problems) = Runs::restore(settings, records.iter().cloned());
        for text in unreadable {
            problems.push(Problem::error(&Arc::from("state"), 0, 0, text));
        }
        (
            Self {
                pager,
                runs,
                automatic,
            },
            problems,
        )
    }

    /// Forgets what was decided since `records` and goes on from them, with the same configuration.
    pub fn step_back(&mut self, records: &[Record], now: Timestamp) -> Problems {
        let config = Arc::clone(self.pager.config());
        let settings = self.runs.settings().clone();
        let (flow, problems) = Self::restore(config, settings, records, now);
        *self = flow;
        problems
    }

    /// Takes new settings of the runs; what is under way goes on.
    pub fn set_run_settings(&mut self, settings: Settings) {
        self.automatic = settings.automatic.clone();
        self.runs.set_settings(settings);
    }

    /// Takes one input. Whatever is due at `now` is done first.
    pub fn handle(&mut self, now: Timestamp, input: Input, ids: &mut dyn IdSource) -> Outcome {
        let mut outcome = Outcome::default();
        self.dispatch(now, input, ids, &mut outcome);
        outcome.wake_at = [self.pager.next_wake(), self.runs.next_wake()]
            .into_iter()
            .flatten()
            .min();
        outcome
    }

    fn dispatch(
        &mut self,
        now: Timestamp,
        input: Input,
        ids: &mut dyn IdSource,
        outcome: &mut Outcome,
    ) {
        match input {
            Input::Judged { batch, alerts } => {
                outcome.batch.append(batch);
                if !alerts.is_empty() {
                    let event = PagerEvent::Alerts {
                        alerts,
                        source: "judge".to_owned(),
                    };
                    self.page(now, event, ids, outcome);
                }
            }
            Input::Page(event) => self.page(now, event, ids, outcome),
            Input::Run(event) => self.run(now, event, ids, outcome),
            Input::Delivered { update, then } => {
                outcome.batch.updates.push(update);
                if let Some(then) = then {
                    self.dispatch(now, *then, ids, outcome);
                }
            }
            Input::Record(batch) => outcome.batch.append(batch),
            Input::Tick => {
                self.page(now, PagerEvent::Tick, ids, outcome);
                self.run(now, RunEvent::Tick, ids, outcome);
            }
        }
    }

    fn page(
        &mut self,
        now: Timestamp,
        event: PagerEvent,
        ids: &mut dyn IdSource,
        outcome: &mut Outcome,
    ) {
        let Decision {
            batch,
            wake_at: _,
            why,
        } = self.pager.step(now, event, ids);
        for reason in &why {
            if let PageReason::WaitsForContext { case } = reason
                && let Ok(case) = case.parse()
            {
                outcome.wanted.push(Wanted {
                    case,
                    part: Part::Diagnosis,
                });
            }
        }
        let resolved: Vec<CaseId> = batch
            .events
            .iter()
            .filter(|event| event.kind == "resolved" && event.subject.kind == "case")
            .filter_map(|event| event.subject.id.parse().ok())
            .collect();
        outcome.batch.append(batch);
        outcome.why.extend(why.into_iter().map(Why::Page));
        for case in resolved {
            self.run(now, RunEvent::Cleared { case }, ids, outcome);
        }
    }

    fn run(
        &mut self,
        now: Timestamp,
        event: RunEvent,
        ids: &mut dyn IdSource,
        outcome: &mut Outcome,
    ) {
        let Decision {
            batch,
            wake_at: _,
            why,
        } = self.runs.step(now, event, ids);
        let ended: BTreeSet<RunId> = batch
            .events
            .iter()
            .filter(|event| event.kind.starts_with("run_"))
            .filter_map(|event| event.data["run"].as_str()?.parse().ok())
            .filter(|run| {
                self.runs
                    .record(*run)
                    .is_some_and(|record| record.state.ended())
            })
            .collect();
        let told: Vec<NewCase> = batch.events.iter().filter_map(worth_a_case).collect();
        outcome.batch.append(batch);
        outcome.why.extend(why.into_iter().map(Why::Run));
        for case in told {
            self.page(now, PagerEvent::OpenCase(case), ids, outcome);
        }
        for run in ended {
            self.run_ended(now, run, ids, outcome);
        }
    }

    /// A diagnosis that has ended is the context its case waits for; then the fix may be wanted.
    fn run_ended(
        &mut self,
        now: Timestamp,
        run: RunId,
        ids: &mut dyn IdSource,
        outcome: &mut Outcome,
    ) {
        let Some(view) = self.runs.run(run, now) else {
            return;
        };
        let Some(case) = view.case.filter(|_| view.part == Part::Diagnosis) else {
            return;
        };
        let findings = view.findings(FINDING_LINES);
        let text: Vec<String> = findings
            .iter()
            .map(|(title, seen)| {
                format!(
                    "{title}
{seen}
"
                )
            })
            .collect();
        let text = text.concat();
        let earned = self.runs.record(run).and_then(|record| {
            self.runs
                .earned(&record.plan.runbook, &record.plan.runbook_hash)
        });
        let automatic = earned.is_some()
            || match &self.automatic {
                Automatic::Never => false,
                Automatic::These(ids) => ids.contains(&view.runbook),
                Automatic::All => true,
            };
        self.page(now, PagerEvent::ContextReady { case, text }, ids, outcome);
        if automatic
            && self
                .pager
                .case(case, now)
                .is_some_and(|view| !view.case.is_resolved())
        {
            outcome.wanted.push(Wanted {
                case,
                part: Part::Fix,
            });
        }
    }

    /// Work that is wanted by the records as they are: for the start after a crash.
    pub fn wanted(&self, now: Timestamp) -> Vec<Wanted> {
        let waits = |case: &&Case| {
            !case.is_resolved()
                && case.context_until.is_some()
                && case.context.is_none()
                && self.runs.runs_of_case(case.id, now).is_empty()
        };
        let cases = self.pager.cases();
        cases
            .into_iter()
            .filter(waits)
            .map(|case| Wanted {
                case: case.id,
                part: Part::Diagnosis,
            })
            .collect()
    }
}
