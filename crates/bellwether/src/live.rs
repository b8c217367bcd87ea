//! What open pages are told: that something changed, and pages for the person in front of the browser.

use std::collections::BTreeSet;

use bellwether_model::Batch;
use serde_json::Value;

/// A message to open pages.
#[derive(Clone, Debug)]
pub enum Live {
    /// Topics that changed: `cases`, `case:case-0…`, `runs`, `run:run-0…`, `silences`, `oncall`, `targets`, `rules`,
    /// `backtest`, `slos`.
    Changed(BTreeSet<String>),
    /// A page for a person, as [`bellwether_page::PagePayload`] in JSON.
    Page(Value),
    /// Output of a step as it comes.
    Output {
        run: String,
        step: String,
        text: String,
    },
}

/// Topics that a committed batch touches.
pub fn topics_of(batch: &Batch) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for record in &batch.records {
        match record.kind.0 {
            "case" | "group" => drop(topics.insert("cases".to_owned())),
            "silence" => drop(topics.insert("silences".to_owned())),
            "override" => drop(topics.insert("oncall".to_owned())),
            "run" | "step" => drop(topics.insert("runs".to_owned())),
            _ => {}
        }
    }
    for event in &batch.events {
        topics.insert(format!("{}:{}", event.subject.kind, event.subject.id));
    }
    topics
}
