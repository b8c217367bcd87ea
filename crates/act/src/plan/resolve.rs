//! Steps to planned steps.
use super::{GivenInputs, Part, Plan, PlannedLimits};
use crate::runbook::Runbook;
use jiff::Timestamp;
use std::collections::BTreeMap;
pub(super) fn plan(runbook: &Runbook, _given: &GivenInputs, part: &Part, now: Timestamp) -> Plan {
    Plan {
        runbook: runbook.id.clone(),
        file: runbook.file.to_string(),
        title: runbook.title.clone(),
        runbook_hash: runbook.hash.clone(),
        part: part.clone(),
        inputs: BTreeMap::new(),
        steps: Vec::new(),
        undo: Vec::new(),
        limits: PlannedLimits::default(),
        approval: None,
        digest: String::new(),
        planned_at: now,
        problems: Vec::new(),
    }
}
