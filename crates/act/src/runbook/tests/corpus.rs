//! Runbooks of strangers: every page reads without an error, and what is found can be checked by eye.

use std::path::{Path, PathBuf};

use super::Runbook;

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

#[test]
fn every_page_reads_without_an_error() {
    let Some(files) = corpus() else { return };
    let clock = bellwether_env::SystemClock::new();
    let begin = bellwether_env::Clock::monotonic(&clock);
    let read: Vec<_> = files
        .iter()
        .map(|(name, text)| Runbook::parse(name, text))
        .collect();
    let took = bellwether_env::Clock::monotonic(&clock).saturating_sub(begin);
    println!("{} pages in {took:?}", files.len());
    let mut total = super::super::Found::default();
    for ((name, _), (runbook, problems)) in files.iter().zip(&read) {
        for p in &problems.0 {
            println!("{p}");
        }
        let f = runbook.as_ref().unwrap().found;
        println!("{name} {f:?}");
        total.fences += f.fences;
        total.fences_in_lists += f.fences_in_lists;
        total.fences_without_language += f.fences_without_language;
        total.block_steps += f.block_steps;
        total.inline_steps += f.inline_steps;
        total.with_placeholders += f.with_placeholders;
        total.interactive += f.interactive;
        total.console_blocks += f.console_blocks;
        total.with_expected_output += f.with_expected_output;
        total.tables += f.tables;
        total.indented += f.indented;
        total.headings += f.headings;
    }
    println!("{total:?}");
}
