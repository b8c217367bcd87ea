//! The scenario language: who is on call, what happens, what is shown. See `docs/simulation.md`.

mod read;

use std::fmt::Write as _;
use std::sync::Arc;

use bellwether_act::Library;
use bellwether_act::runs::Settings;
use bellwether_judge::RuleFile;
use bellwether_model::{CaseId, Labels, Matcher, Problems};
use bellwether_page::{NewSilence, PagerEvent};
use jiff::{SignedDuration, Timestamp};

use crate::checks::Violation;
use crate::outbox::Behaviour;
use crate::world::{CrashPoint, Setup, World, later, read_page_config};

/// What a line of a scenario cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct ScenarioError {
    /// From 1; 0 for the scenario as a whole.
    pub line: usize,
    pub text: String,
}

/// Something to do, with its line.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    At(i64),
    Advance(SignedDuration),
    Fire(Labels),
    Clear(Labels),
    AckAfter(String, SignedDuration),
    AckNow(String),
    Asleep(String, bool),
    Silence(String, String, SignedDuration),
    Resolve(String),
    Escalate(String),
    Receiver(String, Behaviour, SignedDuration),
    Set(Labels, f64),
    Scraping(bool),
    Crash(CrashPoint, SignedDuration),
    Refuse(u32),
    Lose(u32),
    Jump(SignedDuration),
    ShowTimeline,
    ShowMessages,
    ShowCases,
}

/// A scenario that was read.
#[derive(Clone, Debug)]
pub struct Scenario {
    config: String,
    rules: String,
    start: Timestamp,
    statements: Vec<(usize, Statement)>,
}

/// What a scenario showed, and what did not hold.
#[derive(Clone, Debug)]
pub struct Played {
    pub shown: String,
    pub violations: Vec<Violation>,
}

impl Scenario {
    /// Reads a scenario; the first fault is told with its line.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        read::read(text)
    }

    /// Plays it with a seed.
    pub fn play(&self, seed: u64) -> Result<Played, ScenarioError> {
        let whole = |text: String| ScenarioError { line: 0, text };
        let mut problems = Problems::default();
        let rules = if self.rules.is_empty() {
            Vec::new()
        } else {
            RuleFile::read("scenario", &self.rules, &mut problems)
        };
        if problems.has_errors() {
            return Err(whole(problems.to_string()));
        }
        let config = read_page_config("scenario", &self.config).map_err(whole)?;
        let mut world = World::new(Setup {
            config,
            rules,
            runbooks: Arc::new(Library::load([]).0),
            runs: Settings::default(),
            start: self.start,
            replicas: 0,
            seed,
        });
        let mut shown = String::new();
        let mut shown_until = 0;
        for (line, statement) in &self.statements {
            let done = world.play(statement, &mut shown, &mut shown_until);
            done.map_err(|text| ScenarioError { line: *line, text })?;
        }
        world.check_demands();
        world.check_outbox();
        Ok(Played {
            shown,
            violations: world.violations,
        })
    }
}

impl World {
    fn newest_case(&self) -> Result<CaseId, String> {
        let cases = self.flow.pager.cases();
        let case = cases.first().ok_or("there is no case")?;
        Ok(case.id)
    }

    fn play(
        &mut self,
        statement: &Statement,
        shown: &mut String,
        shown_until: &mut usize,
    ) -> Result<(), String> {
        match statement {
            Statement::At(seconds) => {
                let mut at = later(self.setup.start, SignedDuration::from_secs(*seconds));
                while at < self.true_now {
                    at = later(at, SignedDuration::from_hours(24));
                }
                self.run_until(at);
            }
            Statement::Advance(duration) => self.advance(*duration),
            Statement::Fire(labels) => self.fire(std::slice::from_ref(labels)),
            Statement::Clear(labels) => self.clear(std::slice::from_ref(labels)),
            Statement::AckAfter(person, after) => self.set_acks_after(person, Some(*after)),
            Statement::AckNow(person) => {
                let case = self.newest_case()?;
                self.tell(PagerEvent::Acknowledge {
                    case,
                    actor: format!("user:{person}"),
                    as_of: None,
                });
            }
            Statement::Asleep(person, asleep) => self.set_asleep(person, *asleep),
            Statement::Silence(name, value, lasts) => {
                let silence = NewSilence {
                    matcher_sets: vec![vec![Matcher::equal(name, value)]],
                    ends_at: later(self.now(), *lasts),
                    created_by: "scenario".to_owned(),
                    ..NewSilence::default()
                };
                self.tell(PagerEvent::SilenceSet(silence));
            }
            Statement::Resolve(person) => {
                let case = self.newest_case()?;
                let actor = format!("user:{person}");
                let text = String::new();
                self.tell(PagerEvent::Resolve { case, actor, text });
            }
            Statement::Escalate(person) => {
                let case = self.newest_case()?;
                let fired = self.flow.pager.case(case, self.now());
                let as_of_step = fired.map_or(0, |view| view.case.escalation.steps_fired);
                let actor = format!("user:{person}");
                self.tell(PagerEvent::EscalateNow {
                    case,
                    actor,
                    as_of_step,
                });
            }
            Statement::Receiver(channel, behaviour, lasts) => {
                self.disturb(channel, *behaviour, *lasts);
            }
            Statement::Set(labels, value) => self.service.set_gauge(labels.clone(), *value),
            Statement::Scraping(on) => self.scraping = *on,
            Statement::Crash(point, down) => self.crash(*point, *down),
            Statement::Refuse(count) => self.refuse_commits(*count),
            Statement::Lose(count) => self.lose_answers(*count),
            Statement::Jump(by) => self.jump_clock(*by),
            Statement::ShowTimeline => {
                for line in &self.lines[*shown_until..] {
                    shown.push_str(line);
                    shown.push('\n');
                }
                *shown_until = self.lines.len();
            }
            Statement::ShowMessages => self.show_messages(shown),
            Statement::ShowCases => self.show_cases(shown),
        }
        Ok(())
    }

    fn show_messages(&self, shown: &mut String) {
        for key in &self.outside.order {
            let message = &self.outside.messages[key];
            let passed = message.at.duration_since(self.setup.start).as_secs();
            writeln!(
                shown,
                "{:02}:{:02}:{:02} {} to {} by {}: {} (x{})",
                passed / 3_600,
                passed / 60 % 60,
                passed % 60,
                message.kind,
                message.target,
                message.channel,
                message.text,
                message.copies
            )
            .expect("a string takes everything");
        }
    }

    fn show_cases(&self, shown: &mut String) {
        for case in self.flow.pager.cases() {
            let by = case.acknowledged_by.as_deref().unwrap_or("nobody");
            let (status, pages) = (case.status.as_str(), case.pages.len());
            writeln!(
                shown,
                "{}: {status}, taken by {by}, {pages} pages",
                case.title
            )
            .expect("a string takes everything");
        }
    }
}
