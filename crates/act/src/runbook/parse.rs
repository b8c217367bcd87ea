//! Putting a page together from its blocks.
use super::Runbook;
use bellwether_model::Problems;
pub(super) fn parse(_file: &str, _text: &str) -> (Option<Runbook>, Problems) {
    (None, Problems::default())
}
