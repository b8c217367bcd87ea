//! How a page was read and what it lacks for the next rung.

use bellwether_model::Problem;

use crate::runbook::Runbook;

/// Reads pages, given as path and text, and reports: errors of reading, then for each page how its sections were
/// read and what is missing for the next rung. Only errors should fail a build.
pub fn lint<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Problem> {
    let mut out = Vec::new();
    for (path, text) in files {
        let (runbook, problems) = Runbook::parse(path, text);
        out.extend(problems.0);
        if let Some(runbook) = runbook {
            out.extend(lint_runbook(&runbook));
        }
    }
    out
}

/// Notes and warnings on one page that was read.
pub fn lint_runbook(_runbook: &Runbook) -> Vec<Problem> {
    Vec::new()
}
