//! Events in.
use super::*;
use bellwether_model::{Batch, IdSource};
pub(super) struct Turn<'a> {
    now: Timestamp,
    ids: &'a mut dyn IdSource,
    decision: Decision<Reason>,
}
impl<'a> Turn<'a> {
    pub(super) fn new(now: Timestamp, ids: &'a mut dyn IdSource) -> Self {
        Self {
            now,
            ids,
            decision: Decision {
                batch: Batch::default(),
                wake_at: None,
                why: Vec::new(),
            },
        }
    }
    pub(super) fn finish(self) -> Decision<Reason> {
        let _ = (self.now, &self.ids);
        self.decision
    }
}
impl Runs {
    pub(super) fn handle(&mut self, _event: RunEvent, _turn: &mut Turn<'_>) {}
    pub fn next_wake(&self) -> Option<Timestamp> {
        None
    }
    pub(super) fn restore_one(&mut self, _record: Record, _problems: &mut Problems) {}
    pub(super) fn can_undo(&self, _run: RunId) -> bool {
        false
    }
    /// Violations of AC1 to AC3, as text; empty when all hold.
    pub fn check_invariants(&self) -> Vec<String> {
        Vec::new()
    }
}
