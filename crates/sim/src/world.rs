//! The simulated world: its clock, its one process, its store, and the queue of what happens next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bellwether_act::Library;
use bellwether_act::runs::Settings;
use bellwether_flow::{Flow, Input, Wanted, Why};
use bellwether_judge::GroupConfig;
use bellwether_judge::engine::ALERT_RULE;
use bellwether_model::state::{Batch, NewEvent, Record};
use bellwether_model::{CaseId, DeliveryId, Labels, PostedAlert, Problems};
use bellwether_page::config::ReadOptions;
use bellwether_page::{PageConfig, Reason};
use bellwether_store::{BoxFuture, Committed, MemoryStore, Store, StoreError};
use bellwether_yaml::{MapReader, parse};
use jiff::{SignedDuration, Timestamp};

use crate::checks::{Demand, Remembered, Violation};
use crate::month::Figures;
use crate::outbox::{Outside, Performed};
use crate::people::Person;
use crate::random::{Random, SimIds};
use crate::rules::Judge;
use crate::service::Service;

/// How often the service is scraped and rules get their chance.
const SCRAPE: SignedDuration = SignedDuration::from_secs(30);
/// How often an alert that a scenario fires is sent again.
const RESEND: SignedDuration = SignedDuration::from_secs(60);

/// After this long without a fault the service is neither scraped nor judged until the next one.
const QUIET: SignedDuration = SignedDuration::from_mins(30);
/// Steps that one moment may need.
const RESTLESS_MAX: u32 = 10_000;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    pub config: Arc<PageConfig>,
    pub rules: Vec<GroupConfig>,
    pub runbooks: Arc<Library>,
    pub runs: Settings,
    pub start: Timestamp,
    pub replicas: u32,
    pub seed: u64,
}

/// Where the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Right now.
    Now,
    /// At the next commit, before it is stored.
    BeforeCommit,
    /// After the next commit is stored, before anything follows from it.
    AfterCommit,
    /// After the next attempt is recorded as begun, before it is made.
    AfterBegin,
    /// After the next message has arrived, before its result is recorded.
    AfterArrival,
}

/// What happens at a time. The first group dies with the process.
pub(crate) enum Job {
    Retry,
    Drive(DeliveryId),
    Perform(DeliveryId),
    Answer(DeliveryId, Performed),
    Plan(Wanted),
    Receipt(DeliveryId),
    // The outside.
    Restart,
    Scrape,
    Resend,
    Arrive(DeliveryId),
    React(String, CaseId, u32),
    TapFix(String, CaseId),
}

/// Who waits for an input to be recorded.
pub(crate) enum Reply {
    Nobody,
    /// A person who tapped "acknowledge".
    Acked(String, CaseId, bool),
    /// The outbox, which begins the next attempt then.
    Again(DeliveryId, Timestamp),
}

/// A commit that has not succeeded yet.
pub(crate) struct Stuck {
    batch: Batch,
    wanted: Vec<Wanted>,
    replies: Vec<Reply>,
    alerts: Vec<PostedAlert>,
    attempt: u32,
}

/// The world. See the crate's header.
pub struct World {
    pub(crate) setup: Setup,
    /// Time that has really passed.
    pub(crate) true_now: Timestamp,
    /// What the machine's clock shows more than that.
    pub(crate) skew: SignedDuration,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) flow: Flow,
    pub(crate) up: bool,
    pub(crate) judge: Option<Judge>,
    inbox: VecDeque<(Input, Reply)>,
    pub(crate) stuck: Option<Stuck>,
    wake_at: Option<Timestamp>,
    jobs: BTreeMap<(Timestamp, u64), Job>,
    job_count: u64,
    pub(crate) crash_point: Option<(CrashPoint, SignedDuration)>,
    pub(crate) ids: SimIds,
    pub(crate) random: Random,
    pub(crate) service: Service,
    pub(crate) scraping: bool,
    pub(crate) people: BTreeMap<String, Person>,
    pub(crate) outside: Outside,
    /// Alerts that a scenario keeps firing.
    pub(crate) external: BTreeMap<Labels, PostedAlert>,
    pub(crate) demands: BTreeMap<u64, Demand>,
    pub(crate) acked: BTreeSet<(CaseId, String)>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) figures: Figures,
    /// The log: what happened, in order.
    pub(crate) lines: Vec<String>,
    /// Time during which nothing could be decided: down, or waiting for the store.
    pub(crate) outage: SignedDuration,
    pub(crate) deadline: SignedDuration,
    /// Whether the engines hold nothing that the store does not.
    pub(crate) memory_is_stored: bool,
    pub(crate) remembered: Option<Remembered>,
    pub(crate) died_at: Timestamp,
    /// Steps at one moment: an engine that never rests would hang the world.
    restless: (Timestamp, u32),
    /// When something was last wrong with the service.
    unwell_at: Timestamp,
}

/// Reads the paging part of a configuration.
pub fn read_page_config(file: &str, text: &str) -> Result<Arc<PageConfig>, String> {
    let mut problems = Problems::default();
    let node = parse(file, text, &mut problems);
    let Some(node) = node else {
        return Err(problems.to_string());
    };
    let mut map = MapReader::new(&node, "config", &mut problems);
    let config = PageConfig::read(&mut map, &ReadOptions::default());
    map.finish();
    if problems.has_errors() {
        return Err(problems.to_string());
    }
    Ok(Arc::new(config))
}

/// The value of a future of the memory store, which is ready at once.
pub(crate) fn ready<T>(mut future: BoxFuture<'_, T>) -> T {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the memory store answers at once"),
    }
}

// === impl World ===

impl World {
    /// A world at its start, with an empty store.
    pub fn new(setup: Setup) -> Self {
        let now = setup.start;
        let (flow, _) = Flow::restore(Arc::clone(&setup.config), setup.runs.clone(), &[], now);
        let mut random = Random::new(setup.seed);
        let ids = SimIds::new(random.draw());
        let deadline = crate::checks::deadline(&setup.config);
        let people = setup.config.oncall.people.keys();
        let mut world = Self {
            true_now: now,
            skew: SignedDuration::ZERO,
            store: Arc::new(MemoryStore::new()),
            flow,
            up: true,
            judge: None,
            inbox: VecDeque::new(),
            stuck: None,
            wake_at: None,
            jobs: BTreeMap::new(),
            job_count: 0,
            crash_point: None,
            ids,
            random,
            service: Service::new(setup.replicas),
            scraping: true,
            people: people.map(|id| (id.clone(), Person::default())).collect(),
            outside: Outside::default(),
            external: BTreeMap::new(),
            demands: BTreeMap::new(),
            acked: BTreeSet::new(),
            violations: Vec::new(),
            figures: Figures::default(),
            lines: Vec::new(),
            outage: SignedDuration::ZERO,
            deadline,
            memory_is_stored: true,
            remembered: None,
            died_at: now,
            restless: (now, 0),
            unwell_at: now,
            setup,
        };
        if !world.setup.rules.is_empty() {
            world.start_judge(world.setup.rules.clone(), &[]);
            world.schedule(SignedDuration::ZERO, Job::Scrape);
        }
        world.schedule(RESEND, Job::Resend);
        world
    }

    /// What the machine's clock shows.
    pub fn now(&self) -> Timestamp {
        later(self.true_now, self.skew)
    }

    /// Time that has really passed since the start, as a moment.
    pub fn true_now(&self) -> Timestamp {
        self.true_now
    }

    /// The log so far: timeline entries as they were recorded, and what happened outside.
    pub fn log(&self) -> &[String] {
        &self.lines
    }

    /// What did not hold, in order.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Counts.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The engines as they are.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The watched service, to break it.
    pub fn service_mut(&mut self) -> &mut Service {
        &mut self.service
    }

    pub(crate) fn schedule(&mut self, after: SignedDuration, job: Job) {
        let at = later(self.true_now, after.max(SignedDuration::ZERO));
        self.job_count += 1;
        self.jobs.insert((at, self.job_count), job);
    }

    /// Schedules for a moment of the machine's clock as it goes now.
    pub(crate) fn schedule_at(&mut self, at: Timestamp, job: Job) {
        let after = at.duration_since(self.now());
        self.schedule(after, job);
    }

    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        let line = format!("{} {}", self.stamp(), text.as_ref());
        self.lines.push(line);
    }

    fn stamp(&self) -> String {
        let passed = self.true_now.duration_since(self.setup.start);
        let seconds = passed.as_secs();
        format!(
            "{:>2}d {:02}:{:02}:{:02}.{:03}",
            seconds / 86_400,
            seconds / 3_600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            passed.subsec_millis()
        )
    }

    /// Lets time pass.
    pub fn advance(&mut self, duration: SignedDuration) {
        self.run_until(later(self.true_now, duration));
    }

    /// Does everything that happens until a moment of true time.
    pub fn run_until(&mut self, until: Timestamp) {
        self.pump();
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.pass_to(at.max(self.true_now));
            let job = self.jobs.first_key_value().map(|(key, _)| *key);
            if let Some(key) = job.filter(|key| key.0 <= self.true_now)
                && let Some(job) = self.jobs.remove(&key)
            {
                self.figures.jobs += 1;
                self.run_job(job);
            }
            self.pump();
        }
        self.pass_to(until.max(self.true_now));
    }

    fn pass_to(&mut self, at: Timestamp) {
        if !self.up || self.stuck.is_some() {
            self.outage += at.duration_since(self.true_now);
        }
        self.true_now = at;
    }

    fn next_at(&self) -> Option<Timestamp> {
        let job = self.jobs.first_key_value().map(|((at, _), _)| *at);
        let wake = self.wake_at.filter(|_| self.up && self.stuck.is_none());
        let wake = wake.map(|at| later(self.true_now, at.duration_since(self.now())));
        [job, wake].into_iter().flatten().min()
    }

    fn run_job(&mut self, job: Job) {
        match job {
            Job::Retry => self.retry(),
            Job::Drive(id) => self.drive(id),
            Job::Perform(id) => self.perform(id),
            Job::Answer(id, performed) => self.finish_attempt(id, performed),
            Job::Receipt(id) => self.late_receipt(id),
            Job::Plan(wanted) => self.plan_wanted(&wanted),
            Job::Restart => self.restart(),
            Job::Scrape => {
                if !self.service.is_quiet() {
                    self.unwell_at = self.true_now;
                }
                // Nothing would be evaluated differently while all has been well for long: that time is cheap.
                let well_for = self.true_now.duration_since(self.unwell_at);
                if well_for > QUIET {
                    return self.schedule(SCRAPE, Job::Scrape);
                }
                if self.up && self.scraping {
                    let at = self.now().as_millisecond();
                    self.service.scrape(at, 30.0, &mut self.random);
                }
                if self.up {
                    self.evaluate();
                }
                self.schedule(SCRAPE, Job::Scrape);
            }
            Job::Resend => {
                let alerts: Vec<PostedAlert> = self.external.values().cloned().collect();
                self.post(alerts);
                self.check_demands();
                self.schedule(RESEND, Job::Resend);
            }
            Job::Arrive(id) => self.arrive(id),
            Job::React(person, case, as_of) => self.react(&person, case, as_of),
            Job::TapFix(person, case) => self.tap_fix(&person, case),
        }
    }

    /// Posts alerts as an outside sender does; one that finds nobody listening sends again later.
    pub(crate) fn post(&mut self, alerts: Vec<PostedAlert>) {
        if self.up && !alerts.is_empty() {
            let event = bellwether_page::PagerEvent::Alerts {
                alerts,
                source: "outside".to_owned(),
            };
            self.send(Input::Page(event), Reply::Nobody);
        }
    }

    /// Gives the core an input. Nothing is heard while the process is down.
    pub(crate) fn send(&mut self, input: Input, reply: Reply) {
        if self.up {
            self.inbox.push_back((input, reply));
        }
    }

    /// The core's turn: all that waits, one commit, then what follows from it.
    pub(crate) fn pump(&mut self) {
        while self.up && self.stuck.is_none() {
            let now = self.now();
            let due = self.wake_at.is_none_or(|at| at <= now) && self.wake_at.is_some();
            if self.inbox.is_empty() && !due {
                return;
            }
            self.step(now);
        }
    }

    fn step(&mut self, now: Timestamp) {
        self.memory_is_stored = false;
        self.restless = match self.restless {
            (at, count) if at == self.true_now => (at, count + 1),
            _ => (self.true_now, 0),
        };
        if self.restless.1 > RESTLESS_MAX {
            self.violate(
                "PG4",
                "the engines want to be woken again and again".to_owned(),
            );
            self.schedule(SignedDuration::from_secs(1), Job::Retry);
            self.wake_at = None;
            return;
        }
        let (mut batch, mut wanted, mut replies) = (Batch::default(), Vec::new(), Vec::new());
        let mut alerts = Vec::new();
        let inbox = std::mem::take(&mut self.inbox);
        for (input, reply) in inbox.into_iter().chain([(Input::Tick, Reply::Nobody)]) {
            alerts.extend(posted(&input));
            let outcome = self.flow.handle(now, input, &mut self.ids);
            self.figures.steps += 1;
            batch.append(outcome.batch);
            wanted.extend(outcome.wanted);
            self.wake_at = outcome.wake_at;
            replies.push(match reply {
                // A case that was over already is no longer hers.
                Reply::Acked(person, case, _) => Reply::Acked(person, case, is_taken(&outcome.why)),
                reply => reply,
            });
        }
        self.check_engines();
        let stuck = Stuck {
            batch,
            wanted,
            replies,
            alerts,
            attempt: 0,
        };
        self.commit(stuck);
    }

    fn retry(&mut self) {
        if let Some(stuck) = self.stuck.take() {
            self.commit(stuck);
        }
    }

    fn commit(&mut self, mut stuck: Stuck) {
        if stuck.batch.is_empty() {
            self.memory_is_stored = true;
            return self.follow(stuck, &Committed::default());
        }
        if self.crash_if(CrashPoint::BeforeCommit) {
            return;
        }
        match ready(self.store.commit(stuck.batch.clone(), None)) {
            Ok(committed) => {
                self.memory_is_stored = true;
                if !self.crash_if(CrashPoint::AfterCommit) {
                    self.figures.commits += 1;
                    self.follow(stuck, &committed);
                }
            }
            Err(StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. }) => {
                stuck.attempt += 1;
                self.figures.refused += 1;
                self.note(format!("store: commit failed ({})", stuck.attempt));
                let wait = 100_i64 << stuck.attempt.min(5);
                self.schedule(SignedDuration::from_millis(wait.min(5_000)), Job::Retry);
                self.stuck = Some(stuck);
            }
            Err(error) => {
                self.violate(
                    "PG4",
                    format!("the store will never take this batch: {error}"),
                );
            }
        }
    }

    fn follow(&mut self, stuck: Stuck, committed: &Committed) {
        for event in &stuck.batch.events {
            self.record_line(event);
        }
        self.note_alerts(&stuck.alerts);
        for new in stuck.batch.deliveries {
            // After a lost answer the batch was stored twice: its own deliveries come back as duplicates.
            let known = || ready(self.store.delivery(new.id)).ok().flatten().is_some();
            if committed.duplicates.contains(&new.id) && !known() {
                self.violate("PG2", format!("two deliveries with the key {}", new.key));
                continue;
            }
            self.outside.expect(&new);
            self.schedule_at(new.due_at, Job::Drive(new.id));
        }
        for wanted in stuck.wanted {
            self.schedule(SignedDuration::from_millis(20), Job::Plan(wanted));
        }
        for reply in stuck.replies {
            match reply {
                Reply::Nobody => {}
                Reply::Acked(person, case, taken) => self.answered(person, case, taken),
                Reply::Again(id, due_at) => self.schedule_at(due_at, Job::Drive(id)),
            }
        }
    }

    fn record_line(&mut self, event: &NewEvent) {
        self.figures.count(&event.kind);
        let line = format!("{}: {} [{}]", event.kind, event.text, event.actor);
        self.note(line);
    }

    // === crashes ===

    /// Kills the process at a point; it starts again after `down`.
    pub fn crash(&mut self, point: CrashPoint, down: SignedDuration) {
        if point == CrashPoint::Now {
            self.crash_point = None;
            self.die(down);
        } else {
            self.crash_point = Some((point, down));
        }
    }

    /// Whether the process dies here.
    pub(crate) fn crash_if(&mut self, here: CrashPoint) -> bool {
        match self.crash_point {
            Some((point, down)) if point == here && self.up => {
                self.crash_point = None;
                self.note(format!("crash point: {here:?}"));
                self.die(down);
                true
            }
            _ => false,
        }
    }

    fn die(&mut self, down: SignedDuration) {
        if !self.up {
            return;
        }
        self.note("-- the process is killed --");
        self.figures.crashes += 1;
        self.remember_state();
        self.up = false;
        self.inbox.clear();
        self.stuck = None;
        self.judge = None;
        self.wake_at = None;
        self.jobs.retain(|_, job| {
            !matches!(
                job,
                Job::Retry
                    | Job::Drive(_)
                    | Job::Perform(_)
                    | Job::Answer(..)
                    | Job::Plan(_)
                    | Job::Receipt(_)
            )
        });
        self.schedule(down, Job::Restart);
    }

    /// A new process: everything from the store, nothing from before.
    fn restart(&mut self) {
        self.note("-- the process starts again --");
        let mut records: Vec<Record> = Vec::new();
        for kind in bellwether_flow::kinds().into_iter().chain([ALERT_RULE]) {
            records.extend(ready(self.store.load(kind)).unwrap_or_default());
        }
        let now = self.now();
        let settings = self.setup.runs.clone();
        let (flow, problems) =
            Flow::restore(Arc::clone(&self.setup.config), settings, &records, now);
        if problems.has_errors() {
            self.violate("PG4", format!("records cannot be read back: {problems}"));
        }
        self.flow = flow;
        self.up = true;
        self.compare_state();
        if !self.setup.rules.is_empty() {
            self.start_judge(self.setup.rules.clone(), &records);
        }
        self.recover();
        for wanted in self.flow.wanted(now) {
            self.schedule(SignedDuration::from_millis(20), Job::Plan(wanted));
        }
        self.send(Input::Tick, Reply::Nobody);
        self.pump();
        self.check_outbox();
    }

    /// Deliveries that some job of the process takes care of.
    pub(crate) fn driven(&self) -> BTreeSet<DeliveryId> {
        let of_jobs = self.jobs.values().filter_map(|job| match job {
            Job::Drive(id) | Job::Perform(id) | Job::Answer(id, _) => Some(*id),
            _ => None,
        });
        let of_inbox = self.inbox.iter().filter_map(|(input, _)| match input {
            Input::Delivered { update, .. } => Some(update.id),
            _ => None,
        });
        let of_stuck = self.stuck.iter().flat_map(|stuck| {
            let updates = stuck.batch.updates.iter().map(|update| update.id);
            updates.chain(stuck.batch.deliveries.iter().map(|new| new.id))
        });
        of_jobs.chain(of_inbox).chain(of_stuck).collect()
    }

    /// The machine's clock is set forward or back.
    pub fn jump_clock(&mut self, by: SignedDuration) {
        self.note(format!("-- the clock jumps by {} s --", by.as_secs()));
        self.skew += by;
        if by > SignedDuration::ZERO {
            // What was due meanwhile by the clock's word is done late, through no fault of the pager.
            self.outage += by;
        }
    }

    /// The store refuses commits and begun attempts.
    pub fn refuse_commits(&mut self, count: u32) {
        self.store.refuse_next(count);
    }

    /// The store takes commits but their answers are lost.
    pub fn lose_answers(&mut self, count: u32) {
        self.store.lose_next_answers(count);
    }
}

fn is_taken(why: &[Why]) -> bool {
    why.iter().any(|why| {
        matches!(
            why,
            Why::Page(Reason::Acknowledged { .. } | Reason::AlreadyAcknowledged { .. })
        )
    })
}

fn posted(input: &Input) -> Vec<PostedAlert> {
    match input {
        Input::Judged { alerts, .. }
        | Input::Page(bellwether_page::PagerEvent::Alerts { alerts, .. }) => alerts.clone(),
        _ => Vec::new(),
    }
}

/// A time plus a duration.
pub(crate) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
