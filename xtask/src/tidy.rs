//! What the compiler does not check: dependency direction, file lengths, links of the documents, paths of a machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Outcome, root};

/// Which of our crates each may use; a crate that is not named here is a fault. `bellwether` alone wires them all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("env", &["model"]),
    ("yaml", &["model"]),
    ("template", &["model"]),
    ("promql", &["model"]),
    ("judge", &["model", "yaml", "template", "promql"]),
    ("schedule", &["model", "yaml"]),
    ("page", &["model", "yaml", "template", "schedule"]),
    ("act", &["model", "yaml", "promql"]),
    ("backtest", &["model", "yaml", "judge", "page", "promql"]),
    ("wire", &["model", "page"]),
    ("flow", &["model", "judge", "page", "act", "promql"]),
    ("stats", &[]),
    ("lab", &["model", "yaml", "stats"]),
    ("measure", &["model", "env", "lab", "stats"]),
    ("ui", &["model"]),
    ("observe", &["model", "env", "yaml"]),
    ("series", &["model", "env"]),
    ("store", &["model", "env"]),
    ("remote", &["model"]),
    ("connect", &["model", "env"]),
    ("profile", &["env", "stats"]),
    ("load", &["model", "env", "yaml", "stats", "lab"]),
    (
        "sim",
        &[
            "model", "yaml", "promql", "judge", "page", "act", "flow", "store",
        ],
    ),
];

/// Lines that a Rust file may have. Files that are longer today are listed with their length, which may only shrink.
const LINES_MAX: usize = 800;
const LONGER: &[(&str, usize)] = &[
    // Tables of settings by integration.
    ("crates/page/src/config/integrations.rs", 840),
    // One grammar, one parser.
    ("crates/promql/src/parser/parse.rs", 865),
    // The pages about cases; to be cut by page when the next one comes.
    ("crates/bellwether/src/http/ui/cases.rs", 832),
    // One fixture for each page.
    ("crates/ui/examples/gallery/fixtures.rs", 1163),
];

pub(crate) fn check(_: &[String]) -> Outcome {
    let mut faults = Vec::new();
    directions(&mut faults)?;
    let files = tracked_files()?;
    for file in &files {
        check_file(file, &mut faults);
    }
    adr_numbers(&files, &mut faults);
    if faults.is_empty() {
        println!("tidy: {} files, nothing to complain about", files.len());
        return Ok(());
    }
    Err(faults.join("\n"))
}

/// Reads the crates' manifests: an edge that [`MAY_USE`] does not allow is a fault.
fn directions(faults: &mut Vec<String>) -> Outcome {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let folders =
        fs::read_dir(root().join("crates")).map_err(|error| format!("list crates: {error}"))?;
    for folder in folders.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        if name == "bellwether" {
            continue;
        }
        let Ok(manifest) = fs::read_to_string(folder.path().join("Cargo.toml")) else {
            continue;
        };
        let Some(may_use) = allowed.get(name.as_str()) else {
            faults.push(format!(
                "crates/{name}: say in xtask/src/tidy.rs which crates it may use"
            ));
            continue;
        };
        let normal = manifest
            .split("[dev-dependencies]")
            .next()
            .unwrap_or_default();
        for line in normal
            .lines()
            .filter_map(|line| line.strip_prefix("bellwether-"))
        {
            let used: String = line
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            if !may_use.contains(&used.as_str()) {
                faults.push(format!(
                    "crates/{name} must not use bellwether-{used} (ARCHITECTURE.md, direction)"
                ));
            }
        }
    }
    Ok(())
}

fn tracked_files() -> Result<Vec<String>, String> {
    let output = std::process::Command::new("git")
        .args(["ls-files"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("start git: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect())
}

fn check_file(file: &str, faults: &mut Vec<String>) {
    let path = root().join(file);
    let Ok(text) = fs::read_to_string(&path) else {
        return;
    };
    let is = |end: &str| {
        Path::new(file)
            .extension()
            .is_some_and(|found| found == end)
    };
    if is("rs") {
        let lines = text.lines().count();
        let max = LONGER
            .iter()
            .find(|(name, _)| *name == file)
            .map_or(LINES_MAX, |(_, lines)| *lines);
        if lines > max {
            faults.push(format!(
                "{file}: {lines} lines, more than {max}: would a reader rather have two files?"
            ));
        }
        if file.ends_with("/mod.rs") {
            faults.push(format!("{file}: name the module's file after the module"));
        }
    }
    let is_text = ["rs", "md", "toml", "yml", "yaml", "js", "css", "sh"]
        .into_iter()
        .any(is);
    if is_text || file.starts_with(".ci/") {
        for (index, line) in text.lines().enumerate() {
            let at = format!("{file}:{}", index + 1);
            if file != "xtask/src/tidy.rs"
                && ["/work/", "/root/", "/home/"]
                    .iter()
                    .any(|path| line.contains(path))
            {
                faults.push(format!("{at}: a path of a machine"));
            }
        }
    }
    if is("md") && !file.starts_with("runbooks/") {
        links(file, &path, &text, faults);
    }
}

/// Links to files of the repository must lead somewhere.
fn links(file: &str, path: &Path, text: &str, faults: &mut Vec<String>) {
    for (index, line) in text.lines().enumerate() {
        for target in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#', ' ']).next())
        {
            let elsewhere = target.is_empty() || target.contains(':') || target.starts_with('/');
            let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
            if !elsewhere && !folder.join(target).exists() {
                faults.push(format!(
                    "{file}:{}: link to {target}, which does not exist",
                    index + 1
                ));
            }
        }
    }
}

/// Decision records are numbered without gaps.
fn adr_numbers(files: &[String], faults: &mut Vec<String>) {
    let names = files
        .iter()
        .filter_map(|file| file.strip_prefix("docs/adr/"));
    let mut numbers: Vec<usize> = names
        .filter_map(|name| name.get(..4)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    for (expected, number) in (1..).zip(numbers) {
        if number != expected {
            faults.push(format!(
                "docs/adr: number {expected:04} is missing or taken twice"
            ));
            return;
        }
    }
}
