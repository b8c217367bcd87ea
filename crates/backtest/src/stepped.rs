//! Rules slot by slot, by the live engine itself.

use std::collections::BTreeMap;

use bellwether_judge::replay::Episode;
use bellwether_judge::{GroupConfig, RuleEngine};
use bellwether_model::Labels;
use jiff::Timestamp;

use crate::Stopped;
use crate::history::{Hidden, History, Recorded};
use crate::replay::{AlertHistory, Failure, Given, Replayed, Shared};

/// A batch of rules, perhaps of several groups.
pub(crate) struct Stepped {
    engine: RuleEngine,
    /// Groups of the configuration with the rules of this batch, and which they are.
    groups: Vec<(usize, GroupConfig, Vec<usize>)>,
    /// The next tick of each.
    next: Vec<usize>,
    /// What these rules gave, as far as they look back.
    own: Recorded,
    /// Lives by rule (group, rule) and labels.
    lives: BTreeMap<(usize, usize), BTreeMap<Labels, Vec<Episode>>>,
    failures: BTreeMap<(usize, usize), Failure>,
}

// === impl Stepped ===

impl Stepped {
    pub(crate) fn new(rules: &[usize], shared: &Shared<'_>) -> Self {
        let mut by_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for rule in rules {
            let place = &shared.order.rules[*rule];
            by_group.entry(place.group).or_default().push(place.rule);
        }
        let groups: Vec<(usize, GroupConfig, Vec<usize>)> = by_group
            .into_iter()
            .map(|(group, mut rules)| {
                rules.sort_unstable();
                let config = &shared.rules.groups[group];
                let only = GroupConfig {
                    rules: rules
                        .iter()
                        .map(|rule| config.rules[*rule].clone())
                        .collect(),
                    ..config.clone()
                };
                (group, only, rules)
            })
            .collect();
        let settings = shared.rules.settings.clone();
        let mut engine = RuleEngine::new(settings.clone());
        let configs = groups.iter().map(|(_, config, _)| config.clone()).collect();
        drop(engine.load(Timestamp::UNIX_EPOCH, settings, configs));
        Self {
            engine,
            next: vec![0; groups.len()],
            groups,
            own: Recorded::default(),
            lives: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Evaluates all ticks before a time, in the order in which the live engine would.
    pub(crate) fn advance(
        &mut self,
        shared: &Shared<'_>,
        history: &History<'_>,
        until: i64,
    ) -> Result<Given, Stopped> {
        let mut given = Given::default();
        let nothing = Hidden::default();
        loop {
            let due = (0..self.groups.len())
                .filter_map(|place| {
                    let ticks = &shared.order.slots[self.groups[place].0].ticks;
                    let tick = self.next[place];
                    let slot = (tick < ticks.len()).then(|| ticks.time(tick))?;
                    (slot < until).then_some((slot, place))
                })
                .min();
            let Some((slot, place)) = due else { break };
            if shared.progress.stopped() {
                return Err(Stopped);
            }
            self.next[place] += 1;
            let (_, config, rules) = &self.groups[place];
            let both = History {
                base: history,
                hidden: &nothing,
                recorded: &self.own,
            };
            let outcome = self
                .engine
                .evaluate_group(&config.key(), slot, &both, shared.promql)
                .expect("its groups were loaded");
            given.samples += outcome.samples_read as u64;
            given.evaluations += rules.len() as u64;
            shared.progress.advance(rules.len() as u64);
            for event in &outcome.batch.events {
                self.note(place, slot, event);
            }
            for error in outcome.errors {
                self.fail(place, slot, &error);
            }
            for sample in outcome.samples {
                self.own.push(sample.clone());
                given.recorded.push(sample);
            }
        }
        // From here on it is part of the history.
        self.own = Recorded::default();
        Ok(given)
    }

    /// Position in the configuration of the rule that an event or error names.
    fn place_of(
        &self,
        group: usize,
        matches: impl Fn(&bellwether_judge::RuleConfig) -> bool,
    ) -> Option<(usize, usize)> {
        let (index, config, rules) = &self.groups[group];
        let found = config.rules.iter().position(matches)?;
        Some((*index, rules[found]))
    }

    fn note(&mut self, group: usize, slot: i64, event: &bellwether_model::state::NewEvent) {
        let name = event.data["rule"].as_str().unwrap_or_default();
        let Ok(labels) = serde_json::from_value::<Labels>(event.data["labels"].clone()) else {
            return;
        };
        // Rules of one name in one group differ by their labels.
        let Some(place) = self.place_of(group, |rule| {
            rule.name == name
                && rule
                    .labels
                    .iter()
                    .all(|(name, text)| text.is_template() || labels.get(name) == text.as_str())
        }) else {
            return;
        };
        let lives = self
            .lives
            .entry(place)
            .or_default()
            .entry(labels)
            .or_default();
        let open = lives.last().is_some_and(|last| last.ended_at.is_none());
        match event.kind.as_str() {
            "alert_pending" => {
                // A pending alert goes away without a word.
                if open {
                    lives.pop();
                }
                lives.push(Episode {
                    active_at: slot,
                    fired_at: None,
                    ended_at: None,
                });
            }
            "alert_firing" => {
                if !open {
                    lives.push(Episode {
                        active_at: slot,
                        fired_at: None,
                        ended_at: None,
                    });
                }
                if let Some(last) = lives.last_mut() {
                    let active_at: Option<Timestamp> =
                        serde_json::from_value(event.data["active_at"].clone()).ok();
                    last.active_at = active_at.map_or(slot, Timestamp::as_millisecond);
                    last.fired_at = Some(slot);
                }
            }
            "alert_resolved" => {
                if let Some(last) = lives.last_mut() {
                    last.ended_at = Some(slot);
                }
            }
            _ => {}
        }
    }

    fn fail(&mut self, group: usize, slot: i64, error: &bellwether_judge::RuleError) {
        let Some(place) = self.place_of(group, |rule| {
            rule.name == error.rule && rule.line == error.line
        }) else {
            return;
        };
        if let Some(lives) = self.lives.get_mut(&place) {
            // Over its limit, a rule drops all its alerts, without a word.
            if error.message.starts_with("exceeded limit") {
                for last in lives.values_mut().filter_map(|lives| lives.last_mut()) {
                    last.ended_at = last.ended_at.or(Some(slot));
                }
            }
        }
        self.failures
            .entry(place)
            .or_insert_with(|| Failure {
                group: place.0,
                rule: place.1,
                ticks: 0,
                first_at: slot,
                message: error.message.clone(),
            })
            .ticks += 1;
    }

    pub(crate) fn finish(self, replayed: &mut Replayed) {
        for ((group, rule), alerts) in self.lives {
            for (labels, episodes) in alerts {
                replayed.alerts.push(AlertHistory {
                    group,
                    rule,
                    labels,
                    episodes,
                });
            }
        }
        replayed.failures.extend(self.failures.into_values());
    }
}
