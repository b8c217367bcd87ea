//! Values of inputs.
use super::{GivenInputs, InputQuery};
use crate::runbook::Runbook;

/// Queries whose answers the page's inputs need, for those that nothing else fills.
pub fn input_queries(_runbook: &Runbook, _given: &GivenInputs) -> Vec<InputQuery> {
    Vec::new()
}
