mod bounds;
mod corpus;
mod reading;

use super::Runbook;

/// A page without faults.
fn read(text: &str) -> Runbook {
    let (runbook, problems) = Runbook::parse("page.md", text);
    assert!(problems.0.is_empty(), "{problems}");
    runbook.unwrap()
}

/// The faults of a page.
fn faults(text: &str) -> String {
    Runbook::parse("page.md", text).1.to_string()
}
