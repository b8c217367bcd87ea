//! Prometheus' own test scripts, each eval in all its forms.

#![expect(clippy::print_stdout, reason = "the counts are what one reads")]

use std::path::{Path, PathBuf};

use bellwether_promql::promqltest::run_script;

/// `file:line` of evals that may fail, each with its reason. May only shrink.
const ALLOWED: &[(&str, usize, &str)] = &[];

fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/promqltest");
    if path.is_dir() {
        return Some(path);
    }
    let ci = option_env!("CI").is_some_and(|value| value == "true");
    assert!(!ci, "{} is missing", path.display());
    println!("skipped: {} is missing", path.display());
    None
}

fn run_folder(folder: &Path) -> (usize, Vec<String>) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the entry can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    let (mut passed, mut failed) = (0, Vec::new());
    for file in files {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&file).expect("the file can be read");
        let report = run_script(&name, &text);
        passed += report.passed;
        println!(
            "{name}: {} passed, {} failed",
            report.passed,
            report.failed.len()
        );
        for failure in report.failed {
            let allowed = ALLOWED
                .iter()
                .any(|(file, line, _)| *file == name && *line == failure.line);
            if !allowed {
                failed.push(format!(
                    "{name}:{}: {}\n  expected: {}\n  got: {}",
                    failure.line,
                    failure.eval,
                    failure.expected.replace('\n', "\n            "),
                    failure.got.replace('\n', "\n       ")
                ));
            }
        }
    }
    (passed, failed)
}

#[test]
fn upstream_scripts() {
    let Some(folder) = corpus() else {
        return;
    };
    let (passed, failed) = run_folder(&folder);
    println!("{passed} passed, {} failed", failed.len());
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(passed > 500);
}

#[test]
fn own_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let (passed, failed) = run_folder(&folder);
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(passed > 0);
}
