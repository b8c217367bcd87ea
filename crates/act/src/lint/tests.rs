use super::{Rung, lint, readiness};
use crate::runbook::Runbook;

fn printed(files: &[(&str, &str)]) -> String {
    let lines: Vec<String> = lint(files.iter().copied())
        .iter()
        .map(ToString::to_string)
        .collect();
    lines.join("\n")
}

#[test]
fn a_strangers_page_is_told_what_is_missing() {
    let page = "# Redis is down\n\n## Symptoms\n\n- Look at `redis-cli info`\n\n## Resolution\n\n\
                Restart it:\n\n```shell\nssh <host> sudo systemctl restart redis\n```\n\n### Replicas\n\nSee above.\n";
    insta::assert_snapshot!(printed(&[("redis.md", page)]), @r##"
    note: redis.md:1:1: "redis": 2 steps, written for rung document; 6 missing for parameterised
    note: redis.md:1:1: no front matter with `runbook:`
      hint: begin the file with ---, runbook: a-name, owner: a-team, ---
    note: redis.md:3:1: "Symptoms" is read as diagnosis; 1 step: 1 of unknown effect
    warning: redis.md:5:11: step "symptoms-1" does not say whether it changes anything
      hint: add effect=read or effect=change
    note: redis.md:5:11: step "symptoms-1" has no timeout; 5m is used
      hint: add timeout=30s
    note: redis.md:7:1: "Resolution" is read as fix; 1 step: 1 of unknown effect
    warning: redis.md:11:1: step "resolution-1" has undeclared inputs: <host>
      hint: declare them under inputs: in the front matter and write them as {{name}}
    warning: redis.md:11:1: step "resolution-1" does not say whether it changes anything
      hint: add effect=read or effect=change
    note: redis.md:11:1: step "resolution-1" has no timeout; 5m is used
      hint: add timeout=30s
    note: redis.md:15:1: "Replicas" is read as fix (by the heading above); no steps
    "##);
}

#[test]
fn faults_carry_file_line_and_column() {
    let page = "---\nrunbook: a\nlimits: {runs: often}\n---\n# A\n## Fix\n```sh effect=read timeot=5s\nx\n```\n\
                - item\n\n  ```sh id=x retries=3 undo=y\n  y\n  ```\n";
    insta::assert_snapshot!(printed(&[("a.md", page), ("b.md", "---\nrunbook: a\n---\n")]), @r##"
    note: a.md:1:1: "a": 2 steps, written for rung document; 3 missing for parameterised
    error: a.md:3:16: runs: "often" is not a number of runs in a time
      hint: write it as 3/1h
    note: a.md:6:1: "Fix" is read as fix; 2 steps: 1 read, 1 of unknown effect
    note: a.md:7:1: step "fix-1" has no timeout; 5m is used
      hint: add timeout=30s
    error: a.md:7:19: unknown attribute "timeot" of a step
      hint: did you mean "timeout"?
    warning: a.md:12:3: step "x" does not say whether it changes anything
      hint: add effect=read or effect=change
    note: a.md:12:3: step "x" has no timeout; 5m is used
      hint: add timeout=30s
    error: a.md:12:14: retries need the flag idempotent: a step that is not may not run twice
    error: a.md:12:24: undo=y: no step has this id
      hint: did you mean "x"?
    error: b.md:1:1: runbook "a" is also in a.md
      hint: give each page its own `runbook:` in the front matter
    "##);
}

#[test]
fn the_example_pages_are_written_for_the_guarded_rung() {
    for (path, page) in [
        (
            "web-slow-replica.md",
            include_str!("../../../../runbooks/web-slow-replica.md"),
        ),
        (
            "nginx-backend-down.md",
            include_str!("../../../../runbooks/nginx-backend-down.md"),
        ),
        (
            "disk-full.md",
            include_str!("../../../../runbooks/disk-full.md"),
        ),
    ] {
        let (runbook, problems) = Runbook::parse(path, page);
        assert!(problems.0.is_empty(), "{problems}");
        let (rung, missing) = readiness(&runbook.unwrap());
        assert_eq!((rung, missing), (Rung::Guarded, Vec::new()), "{path}");
        let shown = printed(&[(path, page)]);
        assert!(
            !shown.contains("warning:") && !shown.contains("error:"),
            "{shown}"
        );
    }
}

#[test]
fn a_condition_that_never_holds_is_named() {
    let page = |query: &str| {
        format!(
            "# Page\n\n## Fix\n\n```sh effect=change idempotent timeout=30s verify=\"{query}\" within=1m\ntrue\n```\n"
        )
    };
    let says = |query: &str| printed(&[("a.md", &page(query))]).contains("never holds");
    for query in [
        "up == 0",
        "0 == up",
        "(up == 0) and on () x",
        "a == 0 or b == 0",
    ] {
        assert!(
            says(query),
            "{query}: {}",
            printed(&[("a.md", &page(query))])
        );
    }
    for query in [
        "up == bool 0",
        "up == 1",
        "absent(up)",
        "a == 0 or b",
        "up > 0",
    ] {
        assert!(!says(query), "{query}");
    }
}
