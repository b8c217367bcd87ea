//! Runbooks of strangers: every page reads without an error, and what is found can be checked by eye.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_env::{Clock, SystemClock};
use bellwether_model::Severity;

use super::Runbook;
use crate::runbook::Found;

/// The pages of the corpus, or `None` where it is not at hand (an error in continuous integration).
fn corpus() -> Option<Vec<(String, String)>> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/runbooks/gitlab-2020");
    if !root.is_dir() {
        assert!(
            bellwether_env::vars::CI.get().as_deref() != Some("true"),
            "the corpus of runbooks is missing"
        );
        println!("skipped: no corpus of runbooks");
        return None;
    }
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    Some(
        paths
            .into_iter()
            .map(|path| {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                (name, text)
            })
            .collect(),
    )
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            out.push(path);
        }
    }
}

/// Every page reads without an error, all of them quickly (100 ms in a release build; this bound is for debug builds on
/// a busy machine), and the counts are those below. Five pages are listed so that they can be checked by eye.
#[test]
fn every_page_reads_without_an_error() {
    let Some(files) = corpus() else { return };
    let clock = SystemClock::new();
    let begin = clock.monotonic();
    let read: Vec<_> = files
        .iter()
        .map(|(name, text)| Runbook::parse(name, text))
        .collect();
    let took = clock.monotonic().saturating_sub(begin);
    println!("{} pages read in {took:?}", files.len());
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut rows = vec![TITLES.to_owned()];
    let (mut total, mut warnings) = ([0; 11], Vec::new());
    for (runbook, problems) in &read {
        assert!(!problems.has_errors(), "{problems}");
        warnings.extend(problems.0.iter().map(ToString::to_string));
        let runbook = runbook.as_ref().expect("a page of this size is read");
        let counts = counts(&runbook.found);
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
        if SHOWN.contains(&&*runbook.file) {
            rows.push(row(&runbook.file, counts));
        }
    }
    rows.push(row(&format!("all {}", files.len()), total));
    insta::assert_snapshot!(rows.join("\n"), @r##"
    fences list nolang indent tables | blocks inline console output | placeholders interactive
         4    0      3      0      0 |      3      0       1      1 |            1           0  README.md
        12    7      4      0      0 |      9      1       2      2 |            0           0  docs/bastions/gstg-bastions.md
        10    0      4      0      0 |      7      0       1      1 |            0           0  docs/patroni/pg_repack.md
        35    0     15      0      0 |     30      8      19     10 |            0           2  docs/redis/redis.md
         1    0      1      0      0 |      0      2       0      0 |            0           1  docs/uncategorized/manage-cog.md
      1016  218    570     17     24 |    659    324     211     81 |          128          68  all 375
    "##);
    // Four pages really have a fence that nothing ends.
    insta::assert_snapshot!(warnings.join("\n"), @r##"
    warning: docs/patroni/pg-ha.md:85:5: this fence never ends
      hint: close it with the same characters on a line of their own
    warning: docs/pgbouncer/pgbouncer-connections.md:106:1: this fence never ends
      hint: close it with the same characters on a line of their own
    warning: docs/uncategorized/geo-recover-repo-from-azure.md:9:5: this fence never ends
      hint: close it with the same characters on a line of their own
    warning: docs/uncategorized/manage-cog.md:17:1: this fence never ends
      hint: close it with the same characters on a line of their own
    "##);
}

const SHOWN: [&str; 5] = [
    "README.md",
    "docs/bastions/gstg-bastions.md",
    "docs/patroni/pg_repack.md",
    "docs/redis/redis.md",
    "docs/uncategorized/manage-cog.md",
];
const TITLES: &str =
    "fences list nolang indent tables | blocks inline console output | placeholders interactive";

fn counts(found: &Found) -> [u32; 11] {
    [
        found.fences,
        found.fences_in_lists,
        found.fences_without_language,
        found.indented,
        found.tables,
        found.block_steps,
        found.inline_steps,
        found.console_blocks,
        found.with_expected_output,
        found.with_placeholders,
        found.interactive,
    ]
}

fn row(name: &str, c: [u32; 11]) -> String {
    format!(
        "{:>6} {:>4} {:>6} {:>6} {:>6} | {:>6} {:>6} {:>7} {:>6} | {:>12} {:>11}  {name}",
        c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10]
    )
}

/// The ids of a page do not depend on the order in which pages are read, and every page lints without an error.
#[test]
fn every_page_lints_at_the_first_rung() {
    let Some(files) = corpus() else { return };
    let pairs: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let problems = crate::lint::lint(pairs.iter().copied());
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    assert_eq!(errors.join("\n"), "");
    let (library, _) = crate::Library::load(pairs);
    assert_eq!(library.len(), files.len());
    assert_eq!(
        &*library
            .by_link("https://ops.gitlab.net/runbooks/docs/redis/redis.md")
            .unwrap()
            .file,
        "docs/redis/redis.md"
    );
}
