//! Rules over what was scraped, evaluated as the live judge does it.

use bellwether_flow::Input;
use bellwether_judge::engine::ALERT_RULE;
use bellwether_judge::{EngineSettings, GroupConfig, RuleEngine};
use bellwether_model::state::Record;
use bellwether_promql::Engine;

use crate::world::{Reply, World};

/// The judge of one process.
pub(crate) struct Judge {
    pub(crate) engine: RuleEngine,
    pub(crate) promql: Engine,
}

impl World {
    /// A judge as a starting process has it; its clean-up of records is sent like any input.
    pub(crate) fn start_judge(&mut self, groups: Vec<GroupConfig>, records: &[Record]) {
        let mut engine = RuleEngine::new(EngineSettings::default());
        let mut batch = engine.load(self.now(), EngineSettings::default(), groups);
        let own: Vec<Record> = records
            .iter()
            .filter(|record| record.kind == ALERT_RULE.0)
            .cloned()
            .collect();
        batch.append(engine.restore(self.now(), &own));
        let promql = Engine::default();
        self.judge = Some(Judge { engine, promql });
        if !batch.is_empty() {
            self.send(Input::Record(batch), Reply::Nobody);
        }
    }

    /// Evaluates the groups whose slot has come.
    pub(crate) fn evaluate(&mut self) {
        let now = self.now();
        let Some(judge) = &mut self.judge else { return };
        let mut inputs = Vec::new();
        for due in judge.engine.due(now) {
            self.figures.evaluations += 1;
            let series = &self.service.series;
            let outcome = judge
                .engine
                .evaluate_group(&due.key, due.slot, series, &judge.promql);
            let Ok(outcome) = outcome else { continue };
            for sample in &outcome.samples {
                let value = sample.value.clone();
                self.service
                    .series
                    .push(&sample.labels, sample.timestamp, value);
            }
            for error in outcome.errors {
                self.lines
                    .push(format!("rule {} failed: {}", error.rule, error.message));
            }
            if !outcome.alerts.is_empty() || !outcome.batch.is_empty() {
                inputs.push(Input::Judged {
                    batch: outcome.batch,
                    alerts: outcome.alerts,
                });
            }
        }
        for input in inputs {
            self.send(input, Reply::Nobody);
        }
    }
}
