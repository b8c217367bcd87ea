//! Random months of the loop: faults of the service, the channels, the store, the clock, the process and the people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bellwether_act::Library;
use bellwether_act::runs::Settings;
use bellwether_judge::RuleFile;
use bellwether_model::{Matcher, Problems};
use bellwether_page::schedule::OverrideKind;
use bellwether_page::{NewOverride, NewSilence, PagerEvent};
use jiff::{SignedDuration, Timestamp};

use crate::checks::Violation;
use crate::outbox::Behaviour;
use crate::random::Random;
use crate::service::Fault;
use crate::world::{CrashPoint, Reply, Setup, World, later, read_page_config};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Month {
    pub seed: u64,
    pub days: u32,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Page-worthy alerts that began.
    pub alerts: u64,
    /// Timeline entries by kind: `case_opened`, `page_sent`…
    pub events: BTreeMap<String, u64>,
    /// Messages that arrived, and those that arrived again under the same key.
    pub messages: u64,
    pub repeats: u64,
    /// Taps that were answered.
    pub acknowledgements: u64,
    pub attempts: u64,
    pub crashes: u64,
    /// Commits that succeeded, and those that did not at once.
    pub commits: u64,
    pub refused: u64,
    pub steps: u64,
    pub jobs: u64,
    pub evaluations: u64,
    pub violations: u64,
}

/// One run: its counts, its log, and what did not hold.
#[derive(Clone, Debug)]
pub struct Report {
    pub month: Month,
    pub figures: Figures,
    pub log: Vec<String>,
    pub violations: Vec<Violation>,
    /// Of the log: equal for equal seeds.
    pub hash: u64,
}

const CONFIG: &str = r#"
route:
  receiver: people
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 4h
  routes:
    - {receiver: hook, matchers: ['alertname=~".+"'], continue: true}
    - {receiver: people, matchers: ['alertname=~".+"']}
receivers:
  - {name: people, page_configs: [{policy: main}]}
  - {name: hook, webhook_configs: [{url: "http://hook.example.org/"}]}
inhibit_rules:
  - {source_matchers: ['alertname="SiteDown"'], target_matchers: ['alertname="JobFailed"']}
oncall:
  ack_timeout: 45m
  people:
    ana: {email: ana@example.org, ntfy: "https://ntfy.example.org/ana", rules: {high: [ntfy, {after: 2m, channel: email}], low: [email]}}
    bo: {email: bo@example.org, ntfy: "https://ntfy.example.org/bo", rules: {high: [ntfy, email], low: [email]}}
    cy: {email: cy@example.org, rules: {high: [email, {after: 1m, channel: browser}]}}
  schedules:
    primary: {timezone: Europe/Berlin, layers: [{name: week, members: [ana, bo], start: 2026-03-02T09:00, turn: 1w}]}
  policies:
    main:
      steps:
        - {notify: ["schedule:primary"], wait: 5m}
        - {notify: ["person:bo"], wait: 5m}
        - {notify: ["person:cy"], wait: 5m}
      repeat: 2
      fallback: [everyone]
"#;

const RULES: &str = r#"
groups:
  - name: web
    interval: 1m
    rules:
      - alert: WebSlow
        expr: max by (service) (web_latency_seconds and on (replica) (web_in_balancer == 1)) > 0.5
        for: 1m
        labels: {severity: page}
        annotations: {summary: "users wait", runbook: slow-replica}
      - alert: WebFailing
        expr: sum by (service) (rate(web_errors_total[3m])) / sum by (service) (rate(web_requests_total[3m])) > 0.03
        for: 1m
        labels: {severity: page}
        annotations: {summary: "requests fail"}
      - alert: DiskFills
        expr: disk_free_ratio < 0.1
        for: 5m
        labels: {severity: ticket}
      - alert: CpuBusy
        expr: cpu_busy_ratio > 0.9
        labels: {severity: context}
"#;

const RUNBOOK: &str = r#"---
runbook: slow-replica
inputs:
  replica:
    about: the slowest replica
    promql: topk(1, web_latency_seconds and on (replica) (web_in_balancer == 1))
    label: replica
    pattern: '[0-9]+'
limits:
  lock: balancer
  deadline: 10m
---

# A replica is slow

## Diagnosis

```promql id=latency title="Latency by replica"
sort_desc(web_latency_seconds)
```

```sh id=look title="Look at {{replica}}" effect=read timeout=10s
inspect {{replica}}
```

## Fix

```sh id=drain title="Drain {{replica}}" effect=change timeout=20s undo=undrain
drain {{replica}}
```

## Verify

```promql id=fast title="Fast again" within=3m
max(web_latency_seconds and on (replica) (web_in_balancer == 1)) < bool 0.5
```

## Undo

```sh id=undrain title="Put {{replica}} back" effect=change timeout=20s
undrain {{replica}}
```
"#;

/// Something that happens at a time.
#[derive(Clone, Debug)]
enum Act {
    Begin(u32, Fault),
    End(u32, Fault),
    Fire(&'static str, u32),
    Clear(&'static str, u32),
    Disturb(&'static str, Behaviour, i64),
    Refuse(u32),
    Lose(u32),
    Crash(CrashPoint, i64),
    Jump(i64),
    Night(bool),
    Gap(bool),
    Silence(i64),
    Override(i64),
}

/// The setup of a random month.
pub fn setup(seed: u64) -> Setup {
    let mut problems = Problems::default();
    let rules = RuleFile::read("sim", RULES, &mut problems);
    let (runbooks, unreadable) = Library::load([("slow-replica.md", RUNBOOK)]);
    assert!(
        !problems.has_errors() && !unreadable.has_errors(),
        "the built-in rules and runbook are sound: {problems} {unreadable}"
    );
    Setup {
        config: read_page_config("sim", CONFIG).expect("the built-in configuration is sound"),
        rules,
        runbooks: Arc::new(runbooks),
        runs: Settings::default(),
        start: "2026-03-02T00:00:00Z".parse().expect("a time"),
        replicas: 3,
        seed,
    }
}

const CHANNELS: [&str; 4] = ["ntfy", "email", "webhook", "browser"];
const NAMES: [&str; 3] = ["SiteDown", "JobFailed", "QueueStuck"];
const BEHAVIOURS: [Behaviour; 5] = [
    Behaviour::Fails,
    Behaviour::TimesOut,
    Behaviour::Lost,
    Behaviour::Late,
    Behaviour::Twice,
];
const POINTS: [CrashPoint; 5] = [
    CrashPoint::Now,
    CrashPoint::BeforeCommit,
    CrashPoint::AfterCommit,
    CrashPoint::AfterBegin,
    CrashPoint::AfterArrival,
];

/// What happens in one day, at seconds since the start.
fn plan_day(day: i64, random: &mut Random, acts: &mut Vec<(i64, Act)>) {
    let base = day * 86_400;
    let at = |random: &mut Random| base + random.between(0, 86_000);
    acts.push((base + 22 * 3_600, Act::Night(true)));
    acts.push((base + 7 * 3_600, Act::Night(false)));
    for _ in 0..random.between(1, 4) {
        let (from, replica) = (at(random), random.between(0, 2) as u32);
        let faults = [Fault::Slow, Fault::Failing, Fault::DiskFull, Fault::Busy];
        let fault = *random.pick(&faults);
        let until = from + random.between(60, 5_400);
        acts.push((from, Act::Begin(replica, fault)));
        acts.push((until, Act::End(replica, fault)));
        // Most trouble comes while there is trouble already.
        if random.chance(700) {
            let point = *random.pick(&POINTS);
            let when = random.between(from, until + 120);
            acts.push((when, Act::Crash(point, random.between(1, 240))));
        }
        if random.chance(400) {
            let channel = *random.pick(&CHANNELS);
            let behaviour = *random.pick(&BEHAVIOURS);
            let lasts = random.between(5, 1_800);
            acts.push((from, Act::Disturb(channel, behaviour, lasts)));
        }
        if random.chance(300) {
            let when = random.between(from, until);
            let count = random.between(1, 6) as u32;
            let act = if random.chance(500) {
                Act::Refuse(count)
            } else {
                Act::Lose(count)
            };
            acts.push((when, act));
        }
    }
    for _ in 0..random.between(0, 3) {
        let name = random.pick(&NAMES);
        let count = if random.chance(100) {
            40
        } else {
            random.between(1, 5) as u32
        };
        let from = at(random);
        acts.push((from, Act::Fire(name, count)));
        acts.push((from + random.between(30, 7_200), Act::Clear(name, count)));
    }
    if random.chance(200) {
        let from = at(random);
        acts.push((from, Act::Gap(true)));
        acts.push((from + random.between(60, 900), Act::Gap(false)));
    }
    if random.chance(200) {
        acts.push((
            at(random),
            Act::Jump(*random.pick(&[-60, -5, 30, 600, 7_200])),
        ));
    }
    if random.chance(200) {
        acts.push((at(random), Act::Silence(random.between(600, 7_200))));
    }
    if random.chance(150) {
        acts.push((at(random), Act::Override(random.between(3_600, 40_000))));
    }
}

fn act(world: &mut World, act: &Act, random: &mut Random) {
    let secs = SignedDuration::from_secs;
    match act {
        Act::Begin(replica, fault) => {
            world.note(format!("outside: replica {replica} {fault:?} begins"));
            world.service.begin(*replica, *fault);
        }
        Act::End(replica, fault) => {
            world.note(format!("outside: replica {replica} {fault:?} ends"));
            world.service.end(*replica, *fault);
        }
        Act::Fire(name, count) => world.fire(&alerts(name, *count)),
        Act::Clear(name, count) => world.clear(&alerts(name, *count)),
        Act::Disturb(channel, behaviour, lasts) => world.disturb(channel, *behaviour, secs(*lasts)),
        Act::Refuse(count) => world.refuse_commits(*count),
        Act::Lose(count) => world.lose_answers(*count),
        Act::Crash(point, down) => world.crash(*point, secs(*down)),
        Act::Jump(by) => world.jump_clock(secs(*by)),
        Act::Night(asleep) => {
            for person in ["ana", "bo", "cy"] {
                let sleeps = *asleep && random.chance(600);
                world.set_asleep(person, sleeps);
            }
        }
        Act::Gap(gap) => world.scraping = !gap,
        Act::Silence(lasts) => {
            let name = random.pick(&NAMES);
            let silence = NewSilence {
                matcher_sets: vec![vec![Matcher::equal("alertname", name)]],
                ends_at: later(world.now(), secs(*lasts)),
                created_by: "ana".to_owned(),
                ..NewSilence::default()
            };
            world.tell(PagerEvent::SilenceSet(silence));
        }
        Act::Override(lasts) => {
            let now = world.now();
            let change = NewOverride {
                schedule: "primary".to_owned(),
                layer: None,
                kind: OverrideKind::Only,
                people: vec!["cy".to_owned()],
                replaces: None,
                from: now,
                until: later(now, secs(*lasts)),
                actor: "user:cy".to_owned(),
                comment: String::new(),
            };
            world.tell(PagerEvent::OverrideAdd(change));
        }
    }
}

fn alerts(name: &str, count: u32) -> Vec<bellwether_model::Labels> {
    let one = |index: u32| {
        let instance = format!("host-{index}");
        bellwether_model::Labels::new([
            ("alertname", name),
            ("instance", instance.as_str()),
            ("severity", "page"),
        ])
    };
    (0..count).map(one).collect()
}

/// Runs a random month.
pub fn run_month(month: Month) -> Report {
    let mut world = World::new(setup(month.seed));
    let mut random = Random::new(month.seed ^ 0x5eed);
    for person in ["ana", "bo", "cy"] {
        world.set_acks_after(person, None);
        world.set_taps_fix(person, true);
    }
    let mut acts = Vec::new();
    for day in 0..i64::from(month.days) {
        plan_day(day, &mut random, &mut acts);
    }
    acts.sort_by_key(|(at, _)| *at);
    let start = world.true_now();
    let at = |seconds: i64| later(start, SignedDuration::from_secs(seconds));
    for (seconds, what) in &acts {
        world.run_until(at(*seconds));
        act(&mut world, what, &mut random);
    }
    world.run_until(at(i64::from(month.days) * 86_400));
    world.make_well();
    world.advance(SignedDuration::from_hours(4));
    world.check_end();
    let hash = hash(&world.lines);
    Report {
        month,
        figures: world.figures,
        log: world.lines,
        violations: world.violations,
        hash,
    }
}

/// FNV-1a over the lines.
pub fn hash(lines: &[String]) -> u64 {
    let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

// === impl World ===

impl World {
    /// Alerts begin to fire and go on until they are cleared.
    pub fn fire(&mut self, alerts: &[bellwether_model::Labels]) {
        let mut posted = Vec::new();
        for labels in alerts {
            let alert = bellwether_model::PostedAlert {
                labels: labels.clone(),
                annotations: bellwether_model::Labels::empty(),
                starts_at: Some(self.now()),
                ends_at: None,
                generator_url: String::new(),
            };
            self.external.entry(labels.clone()).or_insert_with(|| {
                posted.push(alert.clone());
                alert
            });
        }
        self.note(format!("outside: {} alerts fire", posted.len()));
        self.post(posted);
        self.pump();
    }

    /// Alerts end.
    pub fn clear(&mut self, alerts: &[bellwether_model::Labels]) {
        let now = self.now();
        let mut ended = Vec::new();
        for labels in alerts {
            if let Some(mut alert) = self.external.remove(labels) {
                alert.ends_at = Some(now);
                ended.push(alert);
            }
        }
        self.note(format!("outside: {} alerts end", ended.len()));
        self.post(ended);
        self.pump();
    }

    /// Something a person does in the interface.
    pub fn tell(&mut self, event: PagerEvent) {
        self.send(bellwether_flow::Input::Page(event), Reply::Nobody);
        self.pump();
    }

    /// Every fault ends.
    pub fn make_well(&mut self) {
        let external: Vec<_> = self.external.keys().cloned().collect();
        self.clear(&external);
        self.refuse_commits(0);
        self.lose_answers(0);
        self.crash_point = None;
        self.scraping = true;
        for replica in 0..self.setup.replicas {
            for fault in [Fault::Slow, Fault::Failing, Fault::DiskFull, Fault::Busy] {
                self.service.end(replica, fault);
            }
        }
    }
}

// === impl Report ===

impl Report {
    /// One line that repeats a failed run; `commit` names the source.
    pub fn repro(&self, commit: &str) -> String {
        let Month { seed, days } = self.month;
        let first = self
            .violations
            .first()
            .map_or_else(String::new, |violation| {
                format!(": {} {}", violation.id, violation.text)
            });
        format!(
            "repeat with `bellwether sim --seed {seed} --days {days}` at commit {commit}{first}"
        )
    }

    /// Figures in a line.
    pub fn summary(&self) -> String {
        let figures = &self.figures;
        let of = |kind: &str| figures.events.get(kind).copied().unwrap_or_default();
        let mut text = String::new();
        write!(
            text,
            "seed {}: {} alerts, {} cases, {} pages, {} messages arrived ({} repeats), {} taps, {} runs, {} crashes, \
             {} commits ({} refused), {} evaluations, {} violations, log {:016x}",
            self.month.seed,
            figures.alerts,
            of("case_opened"),
            of("page_sent"),
            figures.messages,
            figures.repeats,
            figures.acknowledgements,
            of("run_started"),
            figures.crashes,
            figures.commits,
            figures.refused,
            figures.evaluations,
            figures.violations,
            self.hash,
        )
        .expect("a string takes everything");
        text
    }
}

// === impl Figures ===

impl Figures {
    pub(crate) fn count(&mut self, kind: &str) {
        match self.events.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.events.insert(kind.to_owned(), 1);
            }
        }
    }

    /// Timeline entries of a kind.
    pub fn of(&self, kind: &str) -> u64 {
        self.events.get(kind).copied().unwrap_or_default()
    }
}

/// The moment that a month begins.
pub fn month_start() -> Timestamp {
    setup(0).start
}
