//! Simulated people: they wake up, tap, tap again, or sleep.

use bellwether_act::runs::Trigger;
use bellwether_act::{GivenInputs, Part, Plan, RunEvent, input_queries, plan};
use bellwether_flow::{Input, Wanted};
use bellwether_model::{CaseId, RunId};
use bellwether_page::{PagePayload, PagerEvent};
use jiff::SignedDuration;

use crate::world::{Job, Reply, World};

/// Rounds of input queries.
const INPUT_ROUNDS_MAX: usize = 8;

/// When somebody taps "acknowledge".
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acks {
    Never,
    After(SignedDuration),
    /// After a time drawn by chance.
    Sometime,
}

/// How somebody answers pages.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) asleep: bool,
    pub(crate) acks: Acks,
    pub(crate) taps_fix: bool,
    /// Cases they are about to answer.
    pub(crate) busy_with: Vec<CaseId>,
}

impl Default for Person {
    fn default() -> Self {
        Self {
            asleep: false,
            acks: Acks::Never,
            taps_fix: false,
            busy_with: Vec::new(),
        }
    }
}

impl World {
    /// Somebody sleeps, or is awake again.
    pub fn set_asleep(&mut self, person: &str, asleep: bool) {
        if let Some(person) = self.people.get_mut(person) {
            person.asleep = asleep;
        }
    }

    /// From now on somebody acknowledges each page after this time; `None` draws one by chance.
    pub fn set_acks_after(&mut self, person: &str, after: Option<SignedDuration>) {
        if let Some(person) = self.people.get_mut(person) {
            person.acks = after.map_or(Acks::Sometime, Acks::After);
        }
    }

    /// Whether somebody also taps the fix, when the runbook has one.
    pub fn set_taps_fix(&mut self, person: &str, taps: bool) {
        if let Some(person) = self.people.get_mut(person) {
            person.taps_fix = taps;
        }
    }

    /// A page has come to a person.
    pub(crate) fn paged(&mut self, page: &PagePayload) {
        let chance = SignedDuration::from_secs(self.random.between(20, 400));
        let Some(person) = self.people.get_mut(&page.person) else {
            return;
        };
        if person.asleep || person.busy_with.contains(&page.case) {
            return;
        }
        let after = match person.acks {
            Acks::Sometime => chance,
            Acks::After(after) => after,
            Acks::Never => return,
        };
        person.busy_with.push(page.case);
        let react = Job::React(page.person.clone(), page.case, page.as_of_step);
        self.schedule(after, react);
    }

    /// A person taps "acknowledge"; when nothing answers, again in a while.
    pub(crate) fn react(&mut self, person: &str, case: CaseId, as_of: u32) {
        if !self.up {
            let again = Job::React(person.to_owned(), case, as_of);
            return self.schedule(SignedDuration::from_secs(30), again);
        }
        let taps = if self.random.chance(150) { 2 } else { 1 };
        for _ in 0..taps {
            let event = PagerEvent::Acknowledge {
                case,
                actor: format!("user:{person}"),
                as_of: Some(as_of),
            };
            self.send(
                Input::Page(event),
                Reply::Acked(person.to_owned(), case, false),
            );
        }
    }

    /// The tap was answered: it is recorded.
    pub(crate) fn answered(&mut self, person: String, case: CaseId, taken: bool) {
        self.figures.acknowledgements += 1;
        if taken {
            self.acked.insert((case, person.clone()));
        }
        let Some(who) = self.people.get_mut(&person) else {
            return;
        };
        who.busy_with.retain(|known| *known != case);
        if taken && who.taps_fix {
            let soon = SignedDuration::from_secs(self.random.between(10, 90));
            self.schedule(soon, Job::TapFix(person, case));
        }
    }

    /// A person taps the fix: plans it, sees it, starts and approves it.
    pub(crate) fn tap_fix(&mut self, person: &str, case: CaseId) {
        if !self.up {
            return;
        }
        let open = self
            .flow
            .pager
            .case(case, self.now())
            .is_some_and(|view| !view.case.is_resolved());
        let Some(plan) = self.plan_for(case, &Part::Fix).filter(|_| open) else {
            return;
        };
        let (changes, digest) = (plan.changes(), plan.digest.clone());
        let actor = format!("user:{person}");
        let run = self.start(plan, case, &actor, Trigger::Person);
        if changes {
            let approve = RunEvent::Approve { run, actor, digest };
            self.send(Input::Run(approve), Reply::Nobody);
        }
    }

    fn start(&mut self, plan: Plan, case: CaseId, actor: &str, trigger: Trigger) -> RunId {
        let run = RunId::new(self.now(), &mut self.ids);
        let digest = plan.digest.clone();
        let start = RunEvent::Start {
            run,
            plan: Box::new(plan),
            case: Some(case),
            actor: actor.to_owned(),
            digest,
            trigger,
        };
        self.send(Input::Run(start), Reply::Nobody);
        run
    }

    /// Work that the engines want: a diagnosis, or a fix that may run by itself.
    pub(crate) fn plan_wanted(&mut self, wanted: &Wanted) {
        let diagnosis = wanted.part == Part::Diagnosis;
        match self.plan_for(wanted.case, &wanted.part) {
            Some(plan) => {
                let trigger = if diagnosis {
                    Trigger::Alert
                } else {
                    Trigger::Automatic
                };
                self.start(plan, wanted.case, "automation", trigger);
            }
            None if diagnosis => {
                let event = PagerEvent::ContextReady {
                    case: wanted.case,
                    text: String::new(),
                };
                self.send(Input::Page(event), Reply::Nobody);
            }
            None => {}
        }
    }

    /// A plan that can run, for a part of the case's runbook.
    fn plan_for(&self, case: CaseId, part: &Part) -> Option<Plan> {
        let now = self.now();
        let view = self.flow.pager.case(case, now)?;
        let library = &self.setup.runbooks;
        let own = library.for_alert(&view.case.labels, &view.case.annotations);
        let alerts = &view.case.alerts;
        let of_alert = || {
            alerts
                .values()
                .find_map(|alert| library.for_alert(&alert.labels, &alert.annotations))
        };
        let runbook = own.or_else(of_alert)?;
        let firing = view.case.firing().next().map(|(_, alert)| alert);
        let labels = firing.map_or(&view.case.labels, |alert| &alert.labels);
        let annotations = firing.map_or(&view.case.annotations, |alert| &alert.annotations);
        let mut given = GivenInputs {
            labels: labels.clone().into(),
            annotations: annotations.clone().into(),
            ..GivenInputs::default()
        };
        for _ in 0..INPUT_ROUNDS_MAX {
            let asked = given.queried.len();
            for wanted in input_queries(runbook, &given) {
                if given.queried.contains_key(&wanted.input) {
                    continue;
                }
                let samples = self.ask(&wanted.query).unwrap_or_default();
                given.queried.insert(wanted.input, samples);
            }
            if given.queried.len() == asked {
                break;
            }
        }
        Some(plan(runbook, &given, part, now)).filter(Plan::runnable)
    }
}
