//! Whatever a page holds: no panic, no long wait, a clear word.

use std::time::Duration;

use bellwether_env::{Clock, SystemClock};
use proptest::prelude::*;

use super::faults;
use crate::runbook::{BYTES_MAX, Runbook};

/// Reads a page and asserts that it did not take long even in a debug build.
fn quickly(text: &str) -> (Option<Runbook>, String) {
    let clock = SystemClock::new();
    let begin = clock.monotonic();
    let (runbook, problems) = Runbook::parse("page.md", text);
    let took = clock.monotonic().saturating_sub(begin);
    let begins = &text[..text.floor_char_boundary(20)];
    assert!(took < Duration::from_secs(10), "{took:?} for {begins:?}");
    (runbook, problems.to_string())
}

#[test]
fn a_page_of_50_mb_is_refused_at_once() {
    let text = "```sh\nls\n```\n".repeat(4 << 20);
    assert!(text.len() > 50_000_000);
    let (runbook, faults) = quickly(&text);
    assert!(runbook.is_none());
    assert!(
        faults.starts_with("error: page.md:1:1: page of 54525952 bytes; 4 MiB at most"),
        "{faults}"
    );
}

#[test]
fn a_fence_without_end_is_an_error_and_no_step() {
    let (runbook, faults) = quickly(&format!(
        "---\nrunbook: x\n---\n\n```sh\n{}",
        "ls\n".repeat(100_000)
    ));
    assert_eq!(runbook.unwrap().steps.len(), 0);
    assert!(
        faults.starts_with("error: page.md:5:1: this fence never ends"),
        "{faults}"
    );
    assert_eq!(
        self::faults("# T\n- item\n  ~~~~sh\n  ls\n\nafter\n"),
        "warning: page.md:3:3: this fence never ends\n  hint: close it with the same characters on a line of their own\n"
    );
}

#[test]
fn an_attribute_bomb_is_an_error() {
    let many: Vec<String> = (0..100).map(|n| format!("a{n}=1")).collect();
    assert!(
        faults(&format!("```sh {}\nls\n```\n", many.join(" "))).contains("more than 32 attributes")
    );
    let (_, faults) = quickly(&format!(
        "```sh {}\nls\n```\n",
        "x=1 ".repeat(1 << 18).trim_end()
    ));
    assert!(faults.contains("4096 at most"), "{faults}");
    let (_, faults) = quickly(&format!("```sh {}\nls\n```\n", "{\"a\":".repeat(500)));
    assert!(faults.contains("not a JSON object"), "{faults}");
}

#[test]
fn so_many_steps_and_no_more() {
    let (runbook, faults) = quickly(&format!("# T\n{}", "```sh\nls\n```\n".repeat(5_000)));
    assert_eq!(runbook.unwrap().steps.len(), 1_000);
    assert_eq!(faults.matches("more than 1000 steps").count(), 1);
}

#[test]
fn shapes_that_parsers_dislike_stay_quick() {
    let size = 200_000;
    for text in [
        "> ".repeat(size),
        "- ".repeat(size),
        "[".repeat(size),
        "*a _b".repeat(size / 5),
        "`".repeat(size),
        format!("- {}", "`ls -l` ".repeat(size / 8)),
        "<a ".repeat(size / 3),
        "| a ".repeat(size / 4) + "\n" + &"|-".repeat(size / 2),
        "# h\n".repeat(size / 4),
        format!("```sh\n{}\n```\n", "<a> ".repeat(size)),
        "1. ```\n".repeat(size / 7),
    ] {
        assert!(text.len() <= BYTES_MAX);
        let _page = quickly(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in "(---\\n)?([ \\n\\t`~#>*<>{}=\"'$|:0-9a-f\\[\\]!\\\\é-]|```sh |\\{\\{a\\}\\}|id=|undo|\\$ |- `ls `|\\r\\n){0,120}") {
        let (runbook, problems) = Runbook::parse("page.md", &text);
        let runbook = runbook.expect("small pages always read");
        let lines = text.lines().count() as u32 + 2;
        for problem in &problems.0 {
            prop_assert!(problem.line >= 1 && problem.line <= lines && problem.column >= 1);
        }
        let mut ids: Vec<_> = runbook.steps.iter().map(|step| &step.id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), runbook.steps.len(), "step ids are unique");
        let _notes = crate::lint::lint_runbook(&runbook);
        prop_assert_eq!(Runbook::parse("page.md", &text).0, Some(runbook));
    }
}
